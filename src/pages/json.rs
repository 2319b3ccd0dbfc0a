//! The JSON twin of a page, for requests that are no navigation.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::shell::guarded;

/// `{"error": code, "message": …, "support_id": …}` with the headers of a page. `code` is a stable
/// word for programs, `message` a sentence for people. A 401's `WWW-Authenticate` is the caller's:
/// it depends on the door.
pub fn json(status: StatusCode, code: &str, message: &str, support_id: &str) -> Response<Bytes> {
    json_with(status, code, message, support_id, Map::new())
}

/// The same with `more` members.
pub(super) fn json_with(
    status: StatusCode,
    code: &str,
    message: &str,
    support_id: &str,
    more: Map<String, Value>,
) -> Response<Bytes> {
    let mut body = json!({ "error": code, "message": message, "support_id": support_id });
    if let Some(body) = body.as_object_mut() {
        body.extend(more);
    }
    guarded(status, "application/json", format!("{body}\n"))
}

/// The same in the words of OAuth 2.0 (RFC 6749 section 5.2), as OpenID Connect Back-Channel Logout
/// section 2.8 wants it.
pub fn oauth_error(
    status: StatusCode,
    code: &str,
    description: &str,
    support_id: &str,
) -> Response<Bytes> {
    let body = json!({
        "error": code, "error_description": description, "support_id": support_id,
    });
    guarded(status, "application/json", format!("{body}\n"))
}
