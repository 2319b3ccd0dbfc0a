use serde_json::json;

use super::*;

const ISSUER: &str = "https://idp.example/application/o/headscale/";

fn document() -> Map<String, Value> {
    let document = json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://idp.example/application/o/authorize/",
        "token_endpoint": "https://idp.example/application/o/token/",
        "jwks_uri": "https://idp.example/application/o/headscale/jwks/",
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    document.as_object().unwrap().clone()
}

fn with(member: &str, value: Value) -> Map<String, Value> {
    let mut document = document();
    document.insert(member.to_owned(), value);
    document
}

fn parse(document: Map<String, Value>) -> Result<Metadata, DiscoveryError> {
    let metadata = parse_document(document, &Issuer::new(ISSUER), false)?;
    metadata.check_pkce("S256").map(|()| metadata)
}

#[test]
fn the_document_is_below_the_issuer_without_a_doubled_slash() {
    for (issuer, url) in [
        (
            ISSUER,
            "https://idp.example/application/o/headscale/.well-known/openid-configuration",
        ),
        (
            "https://idp.example",
            "https://idp.example/.well-known/openid-configuration",
        ),
        (
            "https://idp.example/",
            "https://idp.example/.well-known/openid-configuration",
        ),
        (
            "https://idp.example/a",
            "https://idp.example/a/.well-known/openid-configuration",
        ),
        (
            "http://127.0.0.1:9000/a/",
            "http://127.0.0.1:9000/a/.well-known/openid-configuration",
        ),
    ] {
        assert_eq!(document_url(&Issuer::new(issuer)).unwrap().as_str(), url);
    }
}

#[test]
fn an_issuer_must_be_an_https_url_or_on_this_machine() {
    for (issuer, taken) in [
        ("https://idp.example/", true),
        ("http://localhost:9000/", true),
        ("http://127.8.9.10/", true),
        ("http://[::1]:9000/", true),
        ("http://idp.example/", false),
        ("http://localhost.example/", false),
        ("http://127.0.0.1.example/", false),
        ("http://10.0.0.1/", false),
        ("https://user:password@idp.example/", false),
        ("https://idp.example/?query", false),
        ("https://idp.example/#fragment", false),
        ("ftp://idp.example/", false),
        ("file:///etc/passwd", false),
        ("idp.example", false),
        ("", false),
    ] {
        assert_eq!(
            document_url(&Issuer::new(issuer)).is_ok(),
            taken,
            "{issuer}"
        );
    }
}

#[test]
fn a_minimal_document_is_enough() {
    let metadata = parse(document()).unwrap();
    assert_eq!(metadata.userinfo_endpoint, None);
    assert_eq!(metadata.end_session_endpoint, None);
    assert_eq!(metadata.client_auth, [ClientAuth::Basic]);
    assert_eq!(metadata.algorithms, [Algorithm::Rs256]);
    assert!(!metadata.advertises_iss);
}

#[test]
fn a_required_member_that_is_missing_or_of_a_wrong_type_is_named() {
    for member in [
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
    ] {
        let mut without = document();
        without.remove(member);
        for document in [without, with(member, json!(7))] {
            let error = parse(document).unwrap_err();
            assert!(matches!(error, DiscoveryError::Malformed(_)), "{error}");
            assert!(error.to_string().contains(member), "{error}");
        }
    }
}

#[test]
fn the_issuer_is_compared_byte_for_byte_and_the_slash_is_explained() {
    for (found, hint) in [
        (
            "https://idp.example/application/o/headscale",
            "remove the trailing slash",
        ),
        (
            "https://idp.example/application/o/headscale//",
            "add a trailing slash",
        ),
        (
            "https://IDP.example/application/o/headscale/",
            "byte for byte",
        ),
        (
            "https://idp.example:443/application/o/headscale/",
            "byte for byte",
        ),
        (
            "http://idp.internal/application/o/headscale/",
            "public name",
        ),
        ("", "byte for byte"),
    ] {
        let error = parse(with("issuer", json!(found))).unwrap_err();
        assert!(
            matches!(error, DiscoveryError::IssuerMismatch { .. }),
            "{error}"
        );
        let message = error.to_string();
        for part in [hint, ISSUER, found] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn every_endpoint_must_be_secure() {
    for member in [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "end_session_endpoint",
    ] {
        for bad in [
            "http://idp.example/x",
            "/relative",
            "//idp.example/x",
            "javascript:alert(1)",
            "data:application/json,{}",
            "file:///etc/passwd",
            "https://u@x/",
            "https://idp.example/#x",
            // Not for a provider that is elsewhere, in whatever spelling.
            "http://127.0.0.1:9000/x",
            "https://127.0.0.1:9000/x",
            "https://localhost/x",
            "https://[::1]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            // Where clouds keep their metadata, and where nobody is.
            "http://169.254.169.254/latest/meta-data/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::ffff:169.254.169.254]/x",
            "https://[fe80::1]/x",
            "https://0.0.0.0/x",
            "https://[::]/x",
            "https://255.255.255.255/x",
            "https://224.0.0.1/x",
            "https://[ff02::1]/x",
        ] {
            let error = parse(with(member, json!(bad))).unwrap_err();
            assert!(
                matches!(&error, DiscoveryError::Endpoint { member: found, .. } if *found == member),
                "{member} {bad}: {error}"
            );
        }
        for good in ["https://elsewhere.example/x?y", "https://10.0.0.1:8443/x"] {
            assert!(parse(with(member, json!(good))).is_ok(), "{member} {good}");
        }
    }
}

#[test]
fn a_provider_on_this_machine_may_have_its_endpoints_here_in_plaintext_and_no_other() {
    for issuer in [
        "http://127.0.0.1:9000/",
        "http://localhost:9000/",
        "http://[::1]:9000/",
        "https://localhost/",
    ] {
        let token = |url: &str| {
            let mut document = with("token_endpoint", json!(url));
            document.insert("issuer".to_owned(), json!(issuer));
            parse_document(document, &Issuer::new(issuer), false).is_ok()
        };
        assert!(token("http://127.0.0.1:9000/token"), "{issuer}");
        assert!(token("https://idp.example/token"), "{issuer}");
        for bad in [
            "http://idp.example/token",
            "http://10.0.0.1/token",
            "http://169.254.169.254/token",
            "https://169.254.169.254/token",
            "https://0.0.0.0/token",
        ] {
            assert!(!token(bad), "{issuer} {bad}");
        }
    }
}

#[test]
fn what_is_announced_must_not_rule_out_what_is_sent() {
    for (member, without, enough) in [
        (
            "response_types_supported",
            json!(["id_token", "code token"]),
            json!(["code"]),
        ),
        (
            "response_modes_supported",
            json!(["fragment", "form_post"]),
            json!(["form_post", "query"]),
        ),
        (
            "code_challenge_methods_supported",
            json!(["plain"]),
            json!(["plain", "S256"]),
        ),
    ] {
        let error = parse(with(member, without)).unwrap_err();
        assert!(
            matches!(&error, DiscoveryError::Unsupported { member: found, .. } if *found == member),
            "{member}: {error}"
        );
        assert!(error.to_string().contains(member), "{error}");
        for fine in [enough, json!([]), json!(null)] {
            assert!(parse(with(member, fine.clone())).is_ok(), "{member} {fine}");
        }
        assert!(parse(with(member, json!("code"))).is_err(), "no list");
    }
}

#[test]
fn a_document_of_a_megabyte_makes_a_short_line_in_the_log() {
    let long = "x".repeat(1024 * 1024);
    let many = vec![long.clone(); 3];
    for document in [
        with("issuer", json!(long)),
        with("token_endpoint", json!(long)),
        with("token_endpoint", json!(format!("https://a/{long}#"))),
        with("jwks_uri", json!({ "long": long })),
        with("id_token_signing_alg_values_supported", json!(long)),
        with("id_token_signing_alg_values_supported", json!(many)),
        with("response_types_supported", json!(many)),
        with("response_types_supported", json!(vec!["x"; 100_000])),
    ] {
        let error = parse(document).unwrap_err();
        assert!(
            error.to_string().len() < 4096,
            "{}",
            error.to_string().len()
        );
    }
}

#[test]
fn no_error_repeats_the_password_of_an_address() {
    for url in [
        "http://user:secret-word@idp.example/x",
        "https://user:secret-word@idp.example/x",
        "https://user:secret-word@idp.example:99999/x",
        "https://user:secret-word@idp example/x",
        "https://user:secret-word@@[/x",
    ] {
        let error = parse(with("token_endpoint", json!(url))).unwrap_err();
        assert!(matches!(error, DiscoveryError::Endpoint { .. }), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("secret-word"),
            "{url}: {error}"
        );
    }
}

#[test]
fn an_optional_endpoint_may_be_null_or_empty() {
    for value in [json!(null), json!("")] {
        let metadata = parse(with("userinfo_endpoint", value)).unwrap();
        assert_eq!(metadata.userinfo_endpoint, None);
    }
}

#[test]
fn the_algorithms_are_those_both_announced_and_accepted() {
    for (announced, allow_hs256, usable) in [
        (json!(["RS256"]), false, &["RS256"][..]),
        (json!(["ES512", "ES384", "none"]), false, &["ES384"]),
        (json!(["HS256", "RS256"]), false, &["RS256"]),
        (json!(["HS256", "RS256"]), true, &["RS256", "HS256"]),
        (json!(["EdDSA"]), false, &["EdDSA"]),
        (json!(["HS256"]), false, &[]),
        (json!(["none"]), true, &[]),
        (json!(["ES512"]), true, &[]),
        (json!(["rs256"]), false, &[]),
        (json!([]), false, &["RS256", "ES256", "ES384", "EdDSA"]),
        (json!(null), false, &["RS256", "ES256", "ES384", "EdDSA"]),
    ] {
        let document = with("id_token_signing_alg_values_supported", announced.clone());
        let found = parse_document(document, &Issuer::new(ISSUER), allow_hs256)
            .map(|it| {
                it.algorithms
                    .iter()
                    .map(|algorithm| algorithm.name())
                    .collect::<Vec<_>>()
            })
            .unwrap_or_default();
        assert_eq!(found, usable, "{announced} {allow_hs256}");
    }
}

#[test]
fn the_client_authenticates_with_basic_unless_only_post_is_offered() {
    use ClientAuth::{Basic, Post};
    for (announced, methods) in [
        (json!(null), &[Basic][..]),
        (
            json!(["client_secret_post", "client_secret_basic"]),
            &[Basic, Post],
        ),
        (json!(["client_secret_post"]), &[Post]),
        (json!(["private_key_jwt"]), &[Basic]),
    ] {
        let document = with("token_endpoint_auth_methods_supported", announced);
        assert_eq!(parse(document).unwrap().client_auth, methods);
    }
}
