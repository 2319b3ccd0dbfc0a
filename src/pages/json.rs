//! The JSON twin of a page, for requests that are no navigation.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::shell::guarded;

/// Whose clients read an error of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Nobody's in particular.
    Any,
    /// Those of Headscale's API up to 0.29, which a gateway to gRPC answers.
    Gateway,
    /// Those of its API from 0.30 on, and of its API v2, which answer with problem details (RFC 9457).
    Problem,
}

/// `{"error": code, "message": …, "support_id": …}` with the headers of a page. `code` is a stable
/// word for programs, `message` a sentence for people. A 401's `WWW-Authenticate` is the caller's:
/// it depends on the door.
pub fn json(status: StatusCode, code: &str, message: &str, support_id: &str) -> Response<Bytes> {
    json_for(Readers::Any, status, code, message, support_id)
}

/// The same, with what clients of Headscale's API look for as well.
pub fn json_for(
    readers: Readers,
    status: StatusCode,
    code: &str,
    message: &str,
    support_id: &str,
) -> Response<Bytes> {
    json_with(readers, status, code, message, support_id, Map::new())
}

/// The same with `more` members.
pub(super) fn json_with(
    readers: Readers,
    status: StatusCode,
    code: &str,
    message: &str,
    support_id: &str,
    more: Map<String, Value>,
) -> Response<Bytes> {
    let mut body = json!({ "error": code, "message": message, "support_id": support_id });
    if let Some(body) = body.as_object_mut() {
        if readers != Readers::Any {
            body.extend(of_the_api(status, message));
        }
        body.extend(more);
    }
    let kind = match readers {
        Readers::Any | Readers::Gateway => "application/json",
        Readers::Problem => "application/problem+json",
    };
    guarded(status, kind, format!("{body}\n"))
}

/// Both what the gateway says and what problem details have, in every answer at the API: a web UI may be of
/// another version than Headscale.
fn of_the_api(status: StatusCode, message: &str) -> Map<String, Value> {
    let title = status.canonical_reason().unwrap_or("Error");
    let members = [
        ("code", json!(grpc_code(status))),
        ("details", json!([])),
        ("title", json!(title)),
        ("status", json!(status.as_u16())),
        ("detail", json!(message)),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    members.into_iter().collect()
}

/// The number that gRPC has for what the status means.
const fn grpc_code(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        408 | 504 => 4,
        405 => 12,
        429 => 8,
        502 | 503 => 14,
        _ => 13,
    }
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
