//! Discovery documents. Input: the configured issuer (empty for the usual one), then the document.

use headwarden::domain::identity::Issuer;
use headwarden::oidc::discovery::{DiscoveryError, Metadata, document_url, parse_document};
use headwarden::oidc::id_token::accepted_algorithms;
use serde_json::{Map, Value};
use url::Url;

use super::id_token::ISSUER;
use super::support::text_lines;

/// A password that a document may hold, in an address; no error may repeat it.
const CANARY: &str = "canary-0123456789abcdef";

pub fn run(data: &[u8]) {
    let Some(([issuer], document)) = text_lines::<1>(data) else {
        return;
    };
    let issuer = Issuer::new(if issuer.is_empty() { ISSUER } else { issuer });
    if let Ok(url) = document_url(&issuer) {
        check_url(&url);
        assert!(
            url.path().ends_with("/.well-known/openid-configuration"),
            "{url}"
        );
        let origin = Url::parse(issuer.as_str()).map(|url| url.origin());
        assert_eq!(origin, Ok(url.origin()), "{issuer} is asked for elsewhere");
    }
    let Ok(document) = serde_json::from_str::<Map<String, Value>>(document) else {
        return;
    };
    for allow_hs256 in [false, true] {
        match parse_document(document.clone(), &issuer, allow_hs256) {
            Ok(metadata) => check_metadata(&metadata, &document, &issuer, allow_hs256),
            Err(error) => check_error(&error),
        }
    }
}

/// An endpoint's address is told without its password.
fn check_error(error: &DiscoveryError) {
    if let DiscoveryError::Endpoint { url, .. } = error {
        let password = format!("://user:{CANARY}@");
        let address = url.starts_with("http://user:") || url.starts_with("https://user:");
        assert!(
            !(address && url.contains(&password)),
            "a password is told: {url}"
        );
    }
}

/// Where a code or a secret may be sent: TLS, or this very machine.
fn check_url(url: &Url) {
    let here = url.host_str().is_some_and(|host| {
        host == "localhost"
            || host == "[::1]"
            || (host.starts_with("127.") && url.domain().is_none())
    });
    assert!(
        url.scheme() == "https" || (url.scheme() == "http" && here),
        "{url}"
    );
    assert!(
        url.username().is_empty() && url.password().is_none(),
        "{url}"
    );
    assert!(url.fragment().is_none() && url.has_host(), "{url}");
}

pub fn check_metadata(
    metadata: &Metadata,
    document: &Map<String, Value>,
    issuer: &Issuer,
    allow_hs256: bool,
) {
    assert_eq!(
        document.get("issuer").and_then(Value::as_str),
        Some(issuer.as_str())
    );
    let endpoints = [
        Some(&metadata.authorization_endpoint),
        Some(&metadata.token_endpoint),
        Some(&metadata.jwks_uri),
        metadata.userinfo_endpoint.as_ref(),
        metadata.end_session_endpoint.as_ref(),
    ];
    for url in endpoints.into_iter().flatten() {
        check_url(url);
    }
    let accepted = accepted_algorithms(allow_hs256);
    assert!(!metadata.algorithms.is_empty() && !metadata.client_auth.is_empty());
    assert!(
        metadata
            .algorithms
            .iter()
            .all(|algorithm| accepted.contains(algorithm))
    );
}
