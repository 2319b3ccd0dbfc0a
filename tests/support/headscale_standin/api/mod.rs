//! The REST API v1 by the shapes of 0.26 to 0.30, read from Headscale's sources of each version
//! (`hscontrol/grpcv1.go` up to 0.29, `hscontrol/api/v1` from 0.30 on), and of v2 the list of devices
//! (`hscontrol/api/v2/devices.go`). Up to 0.29 a gateway to gRPC
//! answers: a plain Go error is a 500. What is not here is answered as done, without a word.

pub(crate) mod devices;
mod hands;
pub(crate) mod keys;
mod people;
mod policy;
mod time;

use serde_json::{Value, json};

use super::server::Reply;
use super::{Seen, Shared, State};

/// What Headscale refuses: as 0.30 says it, and as the gateway of the versions before says it.
pub(super) struct Fault {
    status: u16,
    detail: String,
    errors: Vec<Value>,
    /// gRPC's number, which the gateway maps to a status.
    code: u32,
    message: String,
}

impl Fault {
    /// A Go error: code 2 and status 500 before 0.30, `status` and `detail` from then on.
    pub(super) fn error(status: u16, detail: &str, error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            status,
            detail: detail.to_owned(),
            errors: vec![json!({ "message": error.clone() })],
            code: 2,
            message: error,
        }
    }

    /// An error with a gRPC code of its own.
    pub(super) fn coded(status: u16, code: u32, message: &str) -> Self {
        Self {
            status,
            detail: message.to_owned(),
            errors: Vec::new(),
            code,
            message: message.to_owned(),
        }
    }

    /// What the versions before 0.30 say, where that is not the error alone.
    pub(super) fn before(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }
}

/// An answer of the API, before its version shapes it.
pub(super) type Answer = Result<Value, Fault>;

/// A call, split into what its handler needs.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// The segments after `/api/v1/`, percent-decoded.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: &'a [u8],
    pub(super) version: u32,
    /// Whether `?expiry=` is known: 0.27.1 and later.
    pub(super) expiry_in_query: bool,
}

impl<'a> Call<'a> {
    fn of(seen: &'a Seen, version: u32, named: &str) -> Self {
        let path = seen.path().strip_prefix("/api/v1/").unwrap_or_default();
        let decoded = |part: &str| {
            percent_encoding::percent_decode_str(part)
                .decode_utf8_lossy()
                .into_owned()
        };
        let query = seen.target.split_once('?').map_or("", |(_, query)| query);
        Self {
            method: &seen.method,
            path: path.split('/').map(decoded).collect(),
            query: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            body: &seen.body,
            version,
            expiry_in_query: version >= 27 && named.trim_start_matches('v') != "0.27.0",
        }
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The JSON object of the body, which may be absent. From 0.30 on a field that is not in `known` is
    /// refused; before, it is not looked at.
    pub(super) fn object(&self, known: &[&str]) -> Result<Value, Fault> {
        if self.body.is_empty() {
            return Ok(json!({}));
        }
        let Ok(body @ Value::Object(_)) = serde_json::from_slice::<Value>(self.body) else {
            return Err(Fault::coded(400, 3, "the body is not a JSON object"));
        };
        let unknown: Vec<Value> = body
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !known.contains(&name.as_str()))
            .map(|(name, value)| {
                let location = format!("body.{name}");
                json!({ "message": "unexpected property", "location": location, "value": value })
            })
            .collect();
        if self.version >= 30 && !unknown.is_empty() {
            return Err(Fault {
                errors: unknown,
                ..Fault::coded(422, 3, "validation failed")
            });
        }
        Ok(body)
    }
}

/// A decimal id, in a path or a body.
fn number(text: &str, name: &str) -> Result<u64, Fault> {
    let wrong = || {
        let what = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        let message = format!("type mismatch, parameter: {name}, error: {what}");
        Fault::coded(400, 3, &message)
    };
    text.parse().map_err(|_| wrong())
}

pub(super) fn answer(seen: &Seen, shared: &Shared, version: u32) -> Reply {
    let documents = [
        "/api/v1/docs",
        "/api/v1/openapi.json",
        "/api/v2/docs",
        "/api/v2/openapi.json",
    ];
    if version >= 30 && seen.method == "GET" && documents.contains(&seen.path()) {
        return Reply::json(200, &json!({ "openapi": "3.1.0" }));
    }
    shared.change(|state| {
        if let Err(refused) = keys::authenticate(state, seen, version) {
            return refused;
        }
        let v2 = seen.method == "GET" && seen.path() == "/api/v2/tailnet/-/devices";
        if v2 && version >= 30 {
            return Reply::json(200, &devices::list_v2(state));
        }
        let named = state.options.version.clone();
        let call = Call::of(seen, version, &named);
        match route(state, &call) {
            Some(Ok(body)) => Reply::json(200, &body),
            Some(Err(fault)) => said(&fault, version),
            None => unknown(&call),
        }
    })
}

fn route(state: &mut State, call: &Call<'_>) -> Option<Answer> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    Some(match (call.method, &path[..]) {
        ("GET" | "HEAD", ["user"]) => people::list(state, call),
        ("POST", ["user"]) => people::create(state, call),
        ("GET" | "HEAD", ["node"]) => devices::list(state, call),
        ("GET" | "HEAD", ["node", id]) => devices::get(state, call, id),
        ("DELETE", ["node", id]) => devices::delete(state, call, id),
        ("POST", ["node", id, "rename", name]) => devices::rename(state, call, id, name),
        ("POST", ["node", id, "expire"]) => devices::expire(state, call, id),
        ("POST", ["node", id, "tags"]) => devices::tag(state, call, id),
        ("GET" | "HEAD", ["preauthkey"]) => Ok(devices::pre_auth_keys(state, call)),
        ("POST", ["preauthkey"]) => devices::create_pre_auth_key(state, call),
        ("GET" | "HEAD", ["apikey"]) => Ok(keys::list(state, call)),
        ("POST", ["apikey"]) => keys::create(state, call),
        ("POST", ["apikey", "expire"]) => keys::expire(state, call),
        ("DELETE", ["apikey", prefix]) => keys::delete(state, call, prefix),
        ("GET" | "HEAD", ["policy"]) => policy::get(state),
        ("PUT", ["policy"]) => policy::put(state, call),
        ("POST", ["policy", "check"]) if call.version >= 29 => policy::check(state, call),
        ("POST", ["policy", "check"]) => return None,
        ("POST" | "PUT" | "DELETE", _) => Ok(json!({})),
        _ => return None,
    })
}

fn unknown(call: &Call<'_>) -> Reply {
    if call.version >= 30 {
        return Reply::text(404, "404 page not found\n");
    }
    Reply::json(
        404,
        &json!({ "code": 5, "message": "Not Found", "details": [] }),
    )
}

fn said(fault: &Fault, version: u32) -> Reply {
    if version >= 30 {
        return problem(fault.status, &fault.detail, &fault.errors);
    }
    // The gateway's own map from gRPC's codes.
    let status = match fault.code {
        3 => 400,
        5 => 404,
        6 => 409,
        _ => 500,
    };
    let body = json!({ "code": fault.code, "message": fault.message, "details": [] });
    Reply::json(status, &body)
}

/// RFC 9457, as 0.30 fills it in.
pub(super) fn problem(status: u16, detail: &str, errors: &[Value]) -> Reply {
    let title = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let mut body = json!({ "title": title, "status": status, "detail": detail });
    if !errors.is_empty() {
        body["errors"] = errors.into();
    }
    Reply::new(status, "application/problem+json", body.to_string())
}
