//! What `tls` says below `listen` and the issuer.

use super::*;

fn listen(tls: &Value) -> Settings {
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
        let tls = listen(&tls).listen[0].tls.clone().unwrap();
        assert_eq!(tls.certificates, Certificates::Files(expected));
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
        "#,
    );
}

#[test]
fn the_private_listener_asks_for_no_certificates_and_orders_none() {
    for key in ["client_ca_path", "acme"] {
        let mut tls = json!({"cert_path": "/a", "key_path": "/k"});
        tls[key] = json!("/ca");
        let problems = bad(&[
            ("headscale.issuer.tls", tls),
            ("headscale.issuer.url", json!("https://headwarden:8181")),
        ]);
        let text = Problems(&problems).to_string();
        assert_eq!(problems.len(), 1, "{text}");
        assert_eq!(problems[0].key, format!("headscale.issuer.tls.{key}"));
        assert!(text.contains("no such key"), "{text}");
    }
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
        let settings = listen(&with(written.clone()));
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

/// A listener for validators, one that wants a certificate, and the section.
fn acme(section: Value) -> Vec<(&'static str, Value)> {
    let listen = json!([{"address": "[::]:443", "tls": {"acme": true}}, {"address": "[::]:80"}]);
    vec![("listen", listen), ("acme", section)]
}

#[test]
fn a_certificate_is_ordered_for_the_public_name_with_as_little_as_one_word() {
    let settings = good(&acme(json!({"terms_of_service_agreed": true})));
    assert_eq!(settings.warnings, Vec::<String>::new());
    let tls = settings.listen[0].tls.clone().unwrap();
    assert_eq!(tls.certificates, Certificates::Acme);
    let acme = settings.acme.unwrap();
    assert_eq!(acme.names, ["headscale.company"]);
    assert_eq!(acme.challenge, ChallengeKind::Http01);
    assert_eq!(
        acme.directory_url,
        "https://acme-v02.api.letsencrypt.org/directory"
    );
    let path = acme.certificate_path();
    let path = path.to_str().unwrap();
    let place = "/var/lib/headwarden/acme/acme-v02.api.letsencrypt.org-";
    assert!(
        path.starts_with(place) && path.ends_with("/certificate.pem"),
        "{path}"
    );
}

#[test]
fn everything_about_an_order_can_be_said() {
    let settings = good(&acme_with(&json!({
        "directory_url": "https://ca.internal:9000/acme/acme/directory",
        "contact": ["ops@company", "mailto:dev@company"],
        "names": ["Headscale.Company", "hs.company"],
        "storage_path": "/srv/acme", "challenge": "tls-alpn-01", "ca_path": "/ca.pem",
        "eab_key_id": "kid-1", "eab_hmac_key": "Y2FuYXJ5LTAxMjM0NTY3ODlhYmNkZWY=",
    })));
    let acme = settings.acme.unwrap();
    assert_eq!(acme.contact, ["mailto:ops@company", "mailto:dev@company"]);
    assert_eq!(acme.names, ["headscale.company", "hs.company"]);
    assert_eq!(acme.challenge, ChallengeKind::TlsAlpn01);
    assert_eq!(acme.ca_path.as_deref(), Some(Path::new("/ca.pem")));
    let external = acme.external.unwrap();
    assert_eq!(
        (external.id.as_str(), external.key.expose().as_slice()),
        ("kid-1", CANARY.as_bytes())
    );
    // Another directory has another place.
    let elsewhere = good(&acme_with(
        &json!({"directory_url": "https://ca.internal:9000/other"}),
    ));
    assert_ne!(
        elsewhere.acme.unwrap().place(),
        good(&acme_with(&json!({}))).acme.unwrap().place()
    );
}

fn acme_with(more: &Value) -> Vec<(&'static str, Value)> {
    let mut section = json!({"terms_of_service_agreed": true});
    for (key, value) in more.as_object().unwrap() {
        section[key] = value.clone();
    }
    acme(section)
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn an_order_that_could_never_be_is_refused() {
    for (section, key, words) in [
        (
            json!({}),
            "acme.terms_of_service_agreed",
            "made in your name",
        ),
        (
            json!({"terms_of_service_agreed": false}),
            "acme.terms_of_service_agreed",
            "must be true",
        ),
        (
            json!({"directory_url": "http://ca.internal/d"}),
            "acme.directory_url",
            "must be https",
        ),
        (
            json!({"directory_url": "ca.internal"}),
            "acme.directory_url",
            "must begin with",
        ),
        (
            json!({"contact": ["ops"]}),
            "acme.contact[0]",
            "not a mail address",
        ),
        (json!({"names": []}), "acme.names", "at least one"),
        (
            json!({"names": ["*.company"]}),
            "acme.names[0]",
            "a challenge over DNS",
        ),
        (
            json!({"names": ["10.0.0.1"]}),
            "acme.names[0]",
            "not a DNS name",
        ),
        (json!({"names": ["a.b", "A.B"]}), "acme.names[1]", "twice"),
        (
            json!({"challenge": "dns-01"}),
            "acme.challenge",
            "http-01 or tls-alpn-01",
        ),
        (
            json!({"eab_key_id": "kid"}),
            "acme.eab_hmac_key",
            "beside eab_key_id",
        ),
        (
            json!({"eab_hmac_key": CANARY}),
            "acme.eab_key_id",
            "beside eab_hmac_key",
        ),
        (
            json!({"eab_key_id": "kid", "eab_hmac_key": "canary!"}),
            "acme.eab_hmac_key",
            "base64url",
        ),
        (json!({"nonsense": 1}), "acme.nonsense", "no such key"),
    ] {
        let section = if section == json!({}) || section.get("terms_of_service_agreed").is_some() {
            acme(section)
        } else {
            acme_with(&section)
        };
        let problems = bad(&section);
        let text = Problems(&problems).to_string();
        assert_eq!(problems.len(), 1, "{key}:\n{text}");
        assert_eq!(problems[0].key, key, "{text}");
        assert!(text.contains(words), "{key}: {text}");
    }
    let tls = |tls: Value| json!([{"address": "[::]:443", "tls": tls}, {"address": "[::]:80"}]);
    let agreed = json!({"terms_of_service_agreed": true});
    for (listen, section, server_url, key) in [
        (tls(json!({"acme": true})), None, None, "acme"),
        (
            tls(json!({"acme": true, "cert_path": "/a"})),
            None,
            None,
            "listen[0].tls.acme",
        ),
        (
            tls(json!({"acme": false})),
            None,
            None,
            "listen[0].tls.cert_path",
        ),
        (
            json!([{"address": "[::]:443", "tls": {"acme": true}}]),
            Some(&agreed),
            None,
            "acme.challenge",
        ),
        (
            tls(json!({"acme": true})),
            Some(&agreed),
            Some("https://10.0.0.1"),
            "acme.names",
        ),
    ] {
        let mut changes = vec![("listen", listen)];
        changes.extend(section.map(|section| ("acme", section.clone())));
        changes.extend(server_url.map(|url| ("server_url", json!(url))));
        let problems = bad(&changes);
        assert_eq!(problems[0].key, key, "{}", Problems(&problems));
    }
    warned(&[("acme", agreed)], "not used");
    let others = acme_with(&json!({"names": ["other.company"]}));
    warned(&others, "the host of server_url is not among them");
}
