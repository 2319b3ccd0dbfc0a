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
    parse_document(document, &Issuer::new(ISSUER), false)
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
    assert_eq!(metadata.algorithms, [Algorithm::RsaSsaPkcs1V15Sha256]);
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
            "javascript:alert(1)",
            "https://u@x/",
        ] {
            let error = parse(with(member, json!(bad))).unwrap_err();
            assert!(
                matches!(&error, DiscoveryError::Endpoint { member: found, .. } if *found == member),
                "{member} {bad}: {error}"
            );
        }
        assert!(
            parse(with(member, json!("http://127.0.0.1:9000/x"))).is_ok(),
            "{member}"
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
                    .map(id_token::algorithm_name)
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
