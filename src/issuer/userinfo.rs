//! Userinfo (OpenID Connect Core section 5.3): the ID token's claims once more, for as long as the
//! person still stands.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};

use super::{Issuer, answer};

/// Answers a request to the userinfo endpoint. The claims are those of the ID token that was given
/// out together with the access token, never newer ones: Headscale prefers these and must not see
/// two different people.
pub(crate) async fn handle(issuer: &Issuer, request: &Request<Bytes>) -> Response<Bytes> {
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return answer::method_not_allowed("GET, POST");
    }
    let Some(token) = bearer(request) else {
        let response = answer::error(StatusCode::UNAUTHORIZED, "invalid_request", None);
        return answer::challenge(response, "Bearer");
    };
    let Ok(access) = issuer.access.peek(token, issuer.clock.now()).await else {
        tracing::warn!("userinfo was asked for while the replicas' store does not answer");
        return answer::unavailable();
    };
    let stands = match &access {
        Some(access) => issuer.standing.claims(&access.holder).await.is_some(),
        None => false,
    };
    let Some(access) = access.filter(|_| stands) else {
        tracing::warn!("userinfo was asked for with a token that is unknown or over");
        let response = answer::error(StatusCode::UNAUTHORIZED, "invalid_token", None);
        return answer::challenge(response, "Bearer error=\"invalid_token\"");
    };
    answer::json(StatusCode::OK, &access.claims.person())
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 section 2.1).
fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let mut found = request.headers().get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (found.next(), found.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
