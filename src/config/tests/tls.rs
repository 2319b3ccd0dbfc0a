//! What `tls` says below `listen` and the issuer.

use super::*;

fn listen(tls: Value) -> Settings {
    let listen = json!([{"address": "[::]:443", "tls": tls}]);
    good(&[("listen", listen)])
}

#[test]
fn a_listener_has_one_pair_or_several() {
    let files = |cert: &str, key: &str| TlsFiles {
        cert_path: cert.into(),
        key_path: key.into(),
    };
    let (a, b) = (files("/a", "/ak"), files("/b", "/bk"));
    let one = json!({"cert_path": "/a", "key_path": "/ak"});
    let two = json!({"certificates": [
        {"cert_path": "/a", "key_path": "/ak"},
        {"cert_path": "/b", "key_path": "/bk"},
    ]});
    for (tls, expected) in [
        (one, vec![a.clone()]),
        (two.clone(), vec![a.clone(), b.clone()]),
    ] {
        let tls = listen(tls).listen[0].tls.clone().unwrap();
        assert_eq!(tls.certificates, expected);
        assert_eq!(tls.clients, None);
    }
    let settings = good(&[
        ("headscale.issuer.tls", two),
        ("headscale.issuer.url", json!("https://headwarden:8181")),
    ]);
    let SignIn::Issuer(issuer) = settings.headscale.sign_in else {
        panic!("issuer mode")
    };
    assert_eq!(issuer.tls, Some(vec![a, b]));
    refused(
        r#"
        listen | [{"address": "[::]:443", "tls": {"certificates": []}}] | listen[0].tls.certificates | at least one
        listen | [{"address": "[::]:443", "tls": {"certificates": [{"cert_path": "/a"}]}}] | listen[0].tls.certificates[0].key_path | is required
        listen | [{"address": "[::]:443", "tls": {"certificates": "/a"}}] | listen[0].tls.certificates | must be a list
        listen | [{"address": "[::]:443", "tls": {"key_path": "/k", "certificates": [{"cert_path": "/a", "key_path": "/k"}]}}] | listen[0].tls.certificates | only one of the two
        headscale.issuer.tls | {"certificates": []} | headscale.issuer.tls.certificates | at least one
        headscale.issuer.tls | {"client_ca_path": "/ca", "cert_path": "/a", "key_path": "/k"} | headscale.issuer.tls.client_ca_path | no such key
        "#,
    );
}

#[test]
fn clients_must_show_a_certificate_only_where_somebody_says_whose() {
    let with = |more: Value| {
        let mut tls = json!({"cert_path": "/a", "key_path": "/k"});
        for (key, value) in more.as_object().unwrap() {
            tls[key] = value.clone();
        }
        tls
    };
    for (written, required, names) in [
        (json!({"client_ca_path": "/ca"}), true, vec![]),
        (
            json!({"client_ca_path": "/ca", "client_auth": "required"}),
            true,
            vec![],
        ),
        (
            json!({"client_ca_path": "/ca", "client_auth": "optional", "client_names": ["lb.internal"]}),
            false,
            vec!["lb.internal".to_owned()],
        ),
    ] {
        let settings = listen(with(written.clone()));
        let tls = settings.listen[0].tls.clone().unwrap();
        let expected = ClientCertificates {
            ca_path: "/ca".into(),
            required,
            names,
        };
        assert_eq!(tls.clients, Some(expected), "{written}");
    }
    refused(
        r#"
        listen | [{"address": "[::]:443", "tls": {"cert_path": "/a", "key_path": "/k", "client_auth": "required"}}] | listen[0].tls.client_auth | write client_ca_path
        listen | [{"address": "[::]:443", "tls": {"cert_path": "/a", "key_path": "/k", "client_names": ["a"]}}] | listen[0].tls.client_names | write client_ca_path
        listen | [{"address": "[::]:443", "tls": {"cert_path": "/a", "key_path": "/k", "client_ca_path": null}}] | listen[0].tls.client_ca_path | anybody could connect
        listen | [{"address": "[::]:443", "tls": {"cert_path": "/a", "key_path": "/k", "client_ca_path": "/ca", "client_auth": "maybe"}}] | listen[0].tls.client_auth | required or optional
        listen | [{"address": "[::]:443", "tls": {"cert_path": "/a", "key_path": "/k", "client_ca_path": "/ca", "client_names": []}}] | listen[0].tls.client_names | would admit every certificate
        listen | [{"address": "[::]:443", "tls": {"cert_path": "/a", "key_path": "/k", "client_ca_path": "/ca", "client_names": [""]}}] | listen[0].tls.client_names[0] | empty entry
        "#,
    );
}
