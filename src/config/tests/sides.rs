//! Our listeners and public name, Headscale, and the private listener between.

use super::*;

#[test]
fn server_url_is_an_https_origin() {
    refused(
        r#"
        server_url | null | server_url | is required
        server_url | "headscale.company" | server_url | must begin with https://
        server_url | "ftp://headscale.company" | server_url | must begin with https://
        server_url | "https://" | server_url | not a valid URL
        server_url | "https://headscale.company/x" | server_url | write https://headscale.company
        server_url | "https://headscale.company/?a" | server_url | scheme, host and port
        server_url | "https://headscale.company/#a" | server_url | scheme, host and port
        server_url | "https://u:canary@headscale.company" | server_url | user name
        server_url | "https://headscale.company:0" | server_url | not a valid URL
        server_url | "https://headscale.company." | server_url | not a valid URL
        server_url | "https://head scale.company" | server_url | no URL has
        server_url | "https:\\\\headscale.company" | server_url | no URL has
        server_url | "http://headscale.company" | server_url | must be https
        server_url | "http://127.0.0.1.nip.io" | server_url | must be https
        server_url | "http://10.0.0.1" | server_url | must be https
        "#,
    );
    for (text, origin, secure) in [
        (
            "https://headscale.company/",
            "https://headscale.company",
            true,
        ),
        (
            "https://HEADSCALE.company:443",
            "https://headscale.company",
            true,
        ),
        (
            "https://headscale.company:8443",
            "https://headscale.company:8443",
            true,
        ),
        ("http://localhost:8000", "http://localhost:8000", false),
        ("http://[::1]:8000", "http://[::1]:8000", false),
    ] {
        let server_url = good(&[("server_url", json!(text))]).server_url;
        assert_eq!(
            (server_url.origin.as_str(), server_url.secure),
            (origin, secure),
            "{text}"
        );
        assert_eq!(server_url.join("/x"), format!("{origin}/x"));
    }
    warned(
        &[
            ("server_url", json!("http://localhost:8000")),
            ("listen", json!([{"address": "127.0.0.1:8001"}])),
        ],
        "plain http",
    );
    warned(
        &[
            ("server_url", json!("http://headscale.company")),
            ("allow_insecure_server_url", json!(true)),
        ],
        "plain http",
    );
}

#[test]
fn listeners_are_addresses_of_their_own() {
    let tls = json!({"cert_path": "/c", "key_path": "/k"});
    refused(
        r#"
        listen | [] | listen | at least one
        listen | [{}] | listen[0].address | is required
        listen | [null] | listen[0].address | is required
        listen | [{"address": "localhost:80"}] | listen[0].address | not an address
        listen | [{"address": "0.0.0.0"}] | listen[0].address | not an address
        listen | [{"address": "0.0.0.0:70000"}] | listen[0].address | not an address
        listen | [{"address": "0.0.0.0:80", "tls": {"cert_path": "/c"}}] | listen[0].tls.key_path | is required
        listen | [{"address": "0.0.0.0:80", "tls": {"key_path": "/c"}}] | listen[0].tls.cert_path | is required
        listen | [{"address": "0.0.0.0:443", "tls": null}] | listen[0].tls | would speak plaintext
        listen | [{"address": "0.0.0.0:80", "tls": {"cert_path": "${NO}/c", "key_path": "/k"}}] | listen[0].tls.cert_path | NO is not set
        listen | [{"address": "0.0.0.0:80"}, {"address": "127.0.0.1:80"}] | listen[1].address | same address and port as listen[0].address
        listen | [{"address": "127.0.0.1:9181"}] | admin.address | same address and port
        listen | [{"address": "0.0.0.0:8181"}] | headscale.issuer.address | same address and port
        admin | {"address": "9181"} | admin.address | not an address
        listen | "0.0.0.0:80" | listen | must be a list
        listen | ["0.0.0.0:80"] | listen[0] | must be a map
        "#,
    );
    let listen = good(&[(
        "listen",
        json!([{"address": "[::]:443", "tls": tls}, {"address": "0.0.0.0:80"}]),
    )])
    .listen;
    assert!(listen[0].tls.is_some());
    assert!(listen[1].tls.is_none());
    assert_eq!(
        good(&[("admin", json!({"enabled": false}))]).admin.address,
        None
    );
    let any = json!([{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0"}]);
    assert_eq!(good(&[("listen", any)]).listen.len(), 2);
    warned(
        &[("admin", json!({"address": "0.0.0.0:9181"}))],
        "not loopback",
    );
}

#[test]
fn what_an_operator_may_ask_is_switched_on_by_name() {
    let long = format!("/{}", "x".repeat(100));
    refused(&format!(
        r#"
        admin | {{"socket_path": "admin.sock"}} | admin.socket_path | not the absolute path
        admin | {{"socket_path": "/"}} | admin.socket_path | not the absolute path
        admin | {{"socket_path": "/run/x/.."}} | admin.socket_path | not the absolute path
        admin | {{"socket_path": " "}} | admin.socket_path | the path is empty
        admin | {{"socket_path": "${{NO_SUCH}}/a"}} | admin.socket_path | is not set
        admin | {{"socket_path": "{long}"}} | admin.socket_path | longer than 100 bytes
        admin | {{"socket_path": 5}} | admin.socket_path | text
        admin | {{"socket_path": "/a", "socket_access": "everybody"}} | admin.socket_access | owner or group
        admin | {{"socket_path": "/a", "socket_access": 660}} | admin.socket_access | text
        admin | {{"sessions": "yes"}} | admin.sessions | true or false
        "#
    ));
    let admin = |value| good(&[("admin", value)]).admin;
    let off = admin(json!({}));
    assert_eq!((off.socket, off.sessions), (None, false));
    for (access, group) in [
        (json!({}), false),
        (json!({"socket_access": "owner"}), false),
        (json!({"socket_access": "group"}), true),
    ] {
        let mut value = access;
        value["socket_path"] = json!("/run/headwarden/admin.sock");
        let socket = admin(value).socket.unwrap();
        assert_eq!(socket.path, Path::new("/run/headwarden/admin.sock"));
        assert_eq!(socket.group, group);
    }
    assert!(admin(json!({"sessions": true})).sessions);
    for (value, told) in [
        (
            json!({"sessions": true, "address": "0.0.0.0:9181"}),
            "can sign everybody out",
        ),
        (
            json!({"sessions": true, "enabled": false}),
            "means nothing while admin.enabled is false",
        ),
        (
            json!({"socket_access": "group"}),
            "means nothing without admin.socket_path",
        ),
    ] {
        warned(&[("admin", value)], told);
    }
}

#[test]
fn a_missing_load_balancer_is_a_mistake_only_where_tls_is_missing() {
    refused("trusted_proxies | [] | trusted_proxies | no listener has tls");
    let tls = json!([{"address": "[::]:443", "tls": {"cert_path": "/c", "key_path": "/k"}}]);
    assert!(
        good(&[("trusted_proxies", json!([])), ("listen", tls)])
            .warnings
            .is_empty()
    );
}

#[test]
fn nobody_can_trust_everybody() {
    refused(
        r#"
        trusted_proxies | ["0.0.0.0/0"] | trusted_proxies | trusts everybody
        trusted_proxies | ["::/0"] | trusted_proxies | trusts everybody
        trusted_proxies | ["10.0.0.0/8", "::/0"] | trusted_proxies | trusts everybody
        trusted_proxies | ["0.0.0.0/1", "128.0.0.0/1"] | trusted_proxies | trusts everybody
        trusted_proxies | ["::ffff:0:0/96"] | trusted_proxies | trusts everybody
        trusted_proxies | ["::/1"] | trusted_proxies | trusts everybody
        trusted_proxies | ["10.0.0.1/8"] | trusted_proxies[0] | write 10.0.0.0/8
        trusted_proxies | ["10.0.0.0/33"] | trusted_proxies[0] | not a network
        trusted_proxies | ["lb.company"] | trusted_proxies[0] | not a network
        trusted_proxies | [""] | trusted_proxies[0] | an empty entry
        "#,
    );
    let nets = json!(["10.0.0.1", "::1", "::ffff:192.168.0.0/112", "2001:db8::/32"]);
    let nets: Vec<String> = good(&[("trusted_proxies", nets)])
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        nets,
        ["10.0.0.1/32", "::1/128", "192.168.0.0/16", "2001:db8::/32"]
    );
}

#[test]
fn headscale_is_an_origin_that_is_not_ourselves() {
    refused(
        r#"
        headscale.url | "127.0.0.1:8080" | headscale.url | must begin with
        headscale.url | "http://127.0.0.1:8080/x" | headscale.url | scheme, host and port
        headscale.url | "http://user@127.0.0.1:8080" | headscale.url | user name
        headscale.url | "http://127.0.0.1:8000" | headscale.url | is Headwarden itself
        headscale.url | "http://localhost:8000" | headscale.url | is Headwarden itself
        headscale.url | "http://127.0.0.1:8181" | headscale.url | is Headwarden itself
        headscale.url | "https://headscale.company" | headscale.url | is Headwarden itself
        headscale.ca_path | "/ca" | headscale.url | not https
        headscale.connect_timeout | "1h" | headscale.connect_timeout | must be between 1s and 10m
        headscale.response_timeout | "soon" | headscale.response_timeout | not a duration
        headscale.verify_from | ["x"] | headscale.verify_from[0] | not a network
        headscale.sign_in | null | headscale.sign_in | is required
        headscale.sign_in | "proxy" | headscale.sign_in | issuer, own or none
        "#,
    );
    let upstream = good(&[("headscale.url", json!("https://[2001:db8::1]"))])
        .headscale
        .upstream;
    assert_eq!(
        (upstream.tls, upstream.authority().as_str()),
        (true, "[2001:db8::1]:443")
    );
    warned(
        &[("headscale.verify_from", json!(["0.0.0.0/0"]))],
        "open to everybody",
    );
}

#[test]
fn the_issuer_string_has_one_spelling() {
    let key = "headscale.issuer.url";
    refused(
        r#"
        headscale.issuer.url | null | headscale.issuer.url | is required
        headscale.issuer.url | "http://127.0.0.1:8181/" | headscale.issuer.url | must not end in a slash
        headscale.issuer.url | "http://127.0.0.1:8181/issuer" | headscale.issuer.url | scheme, host and port only
        headscale.issuer.url | "http://127.0.0.1:8181?x" | headscale.issuer.url | scheme, host and port only
        headscale.issuer.url | "HTTP://127.0.0.1:8181" | headscale.issuer.url | lower case
        headscale.issuer.url | "http://Headwarden:8181" | headscale.issuer.url | write http://headwarden:8181
        headscale.issuer.url | "https://headwarden:443" | headscale.issuer.url | write https://headwarden
        headscale.issuer.url | "headwarden:8181" | headscale.issuer.url | must begin with
        headscale.issuer.url | "http://a@127.0.0.1:8181" | headscale.issuer.url | user name
        headscale.issuer.url | "https://headscale.company" | headscale.issuer.url | an address of its own
        "#,
    );
    let same = json!("https://id.company");
    let problems = bad(&[(key, same.clone()), ("oidc.issuer", same)]);
    assert_eq!(problems[0].key, key);
}

#[test]
fn the_private_listener_is_private() {
    let address = "headscale.issuer.address";
    refused(
        r#"
        headscale.issuer.address | "0.0.0.0:8181" | headscale.issuer.address | allow_plaintext: true
        headscale.issuer.address | "10.0.0.1:8181" | headscale.issuer.address | codes and the client secret
        headscale.issuer.address | "headwarden:8181" | headscale.issuer.address | not an address
        headscale.issuer.tls | {"cert_path": "/c", "key_path": "/k"} | headscale.issuer.url | is http although
        headscale.issuer.tls | {"cert_path": "/c"} | headscale.issuer.tls.key_path | is required
        headscale.issuer.key_path | "/var/lib/headwarden/keys.json" | headscale.issuer.key_path | same file
        headscale.issuer.tls | null | headscale.issuer.tls | would speak plaintext
        headscale.issuer.client_id | "" | headscale.issuer.client_id | is empty
        headscale.issuer.client_id | "a b" | headscale.issuer.client_id | visible ASCII
        headscale.issuer.ssh_max_age | "1s" | headscale.issuer.ssh_max_age | between 30s and 1day
        headscale.issuer.node_expiry | "0s" | headscale.issuer.node_expiry | between 5m and
        "#,
    );
    warned(
        &[
            (address, json!("0.0.0.0:8181")),
            ("headscale.issuer.allow_plaintext", json!(true)),
        ],
        "keep this network private",
    );
    let tls = json!({"cert_path": "/c", "key_path": "/k"});
    let settings = good(&[
        (address, json!("0.0.0.0:8181")),
        ("headscale.issuer.tls", tls),
        ("headscale.issuer.url", json!("https://headwarden:8181")),
    ]);
    assert!(settings.warnings.is_empty());
    warned(
        &[("headscale.issuer.url", json!("https://headwarden:8181"))],
        "terminate TLS",
    );
}

#[test]
fn an_issuer_that_is_not_used_is_a_warning() {
    for word in ["own", "none"] {
        warned(&[("headscale.sign_in", json!(word))], "not used");
    }
    warned(
        &[
            ("headscale.sign_in", json!("own")),
            ("oidc.use_expiry_from_token", json!(true)),
        ],
        "no effect here",
    );
}

#[test]
fn a_device_has_one_expiry_and_lasting_ones_are_told() {
    let expiry = ("headscale.issuer.node_expiry", json!("90d"));
    let token = ("oidc.use_expiry_from_token", json!(true));
    let problems = bad(&[expiry.clone(), token.clone()]);
    assert_eq!(problems[0].key, "oidc.use_expiry_from_token");
    assert!(problems[0].reason.contains("node_expiry"));
    let SignIn::Issuer(issuer) = good(std::slice::from_ref(&expiry)).headscale.sign_in else {
        panic!("not issuer")
    };
    assert_eq!(issuer.node_expiry, Some(Duration::from_hours(90 * 24)));
    let no_key = ("headscale.api_key", json!(null));
    warned(std::slice::from_ref(&no_key), "keeps the devices");
    for other in [expiry, token] {
        assert!(good(&[no_key.clone(), other]).warnings.is_empty());
    }
}
