//! Answers of the private listener. None of them carries a CORS header: no page has any business
//! here.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

/// A JSON document that nobody keeps (RFC 6749 section 5.1 asks for both headers).
pub(crate) fn json<T: Serialize>(status: StatusCode, document: &T) -> Response<Bytes> {
    match serde_json::to_vec(document) {
        Ok(text) => fixed(status, Bytes::from(text)),
        Err(error) => {
            tracing::error!(%error, "an answer of the issuer could not be written as JSON");
            fixed(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(b"{}"))
        }
    }
}

/// A JSON document that was written before.
pub(crate) fn fixed(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An OAuth error (RFC 6749 section 5.2). The description is for whoever reads Headscale's log.
pub(crate) fn error(
    status: StatusCode,
    code: &'static str,
    description: Option<&'static str>,
) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Body {
        error: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_description: Option<&'static str>,
    }
    json(
        status,
        &Body {
            error: code,
            error_description: description,
        },
    )
}

/// `response`, naming how to authenticate.
pub(crate) fn challenge(mut response: Response<Bytes>, scheme: &'static str) -> Response<Bytes> {
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    response
}

/// 429, to come back after `seconds`.
pub(crate) fn too_many(seconds: u64) -> Response<Bytes> {
    let text = Some("too many failed client authentications; wait before the next");
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, "invalid_client", text);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// 503, to come back in a moment.
pub(crate) fn unavailable() -> Response<Bytes> {
    let mut response = error(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        None,
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// 405, naming the methods that are there.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response<Bytes> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", None);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
