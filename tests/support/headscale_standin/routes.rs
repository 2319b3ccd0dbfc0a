//! Headscale's main listener without what upgrades: which request gets which answer.

use serde_json::{Value, json};

use super::relying_party::{self, Kind};
use super::server::Reply;
use super::{Seen, Shared, State, api, tunnel};

/// `0.<minor>` of a version text; a development build counts as the newest.
pub(super) fn minor(version: &str) -> u32 {
    let numbers = version
        .trim_start_matches('v')
        .strip_prefix("0.")
        .unwrap_or_default();
    numbers
        .split(['.', '-'])
        .next()
        .and_then(|minor| minor.parse().ok())
        .unwrap_or(u32::MAX)
}

pub(super) fn answer(seen: &Seen, shared: &Shared) -> Reply {
    let version = minor(&shared.state().options.version);
    let reply = route(seen, shared, version);
    if version < 29 {
        return reply;
    }
    reply
        .with("Content-Security-Policy", "frame-ancestors 'none'")
        .with("Referrer-Policy", "no-referrer")
        .with("X-Content-Type-Options", "nosniff")
        .with("X-Frame-Options", "DENY")
}

fn route(seen: &Seen, shared: &Shared, version: u32) -> Reply {
    let path = seen.path();
    let with_oidc = shared.state().options.oidc.is_some();
    match (seen.method.as_str(), path) {
        ("GET", "/oidc/callback") if with_oidc => relying_party::callback(seen, shared, version),
        (_, "/oidc/callback") if with_oidc => Reply::text(405, ""),
        (method, "/ts2021") => control_without_upgrade(seen, method, &shared.state()),
        (_, "/derp") => Reply::text(426, "DERP requires connection upgrade"),
        ("GET", _) if path.starts_with("/register/") => {
            register(shared, Kind::Register, &path["/register/".len()..])
        }
        ("GET", _) if path.starts_with("/auth/") && version >= 29 => {
            register(shared, Kind::SshCheck, &path["/auth/".len()..])
        }
        ("POST", _) if path.starts_with("/register/confirm/") && version >= 29 && with_oidc => {
            relying_party::confirm(seen, shared, &path["/register/confirm/".len()..])
        }
        (_, _) if path.starts_with("/api/") => api::answer(seen, shared, version),
        (method, _) => plain(method, seen, &shared.state(), version),
    }
}

/// What needs neither OpenID Connect nor a key.
fn plain(method: &str, seen: &Seen, state: &State, version: u32) -> Reply {
    let options = &state.options;
    let path = seen.path();
    let page = |title: &str| Reply::html(200, format!("<!DOCTYPE html><title>{title}</title>"));
    match (method, path) {
        ("GET", "/key") => key(seen),
        ("GET", "/health") => Reply::new(
            200,
            "application/health+json; charset=utf-8",
            "{\"status\":\"pass\"}",
        ),
        ("GET", "/version") if version >= 27 => {
            let go = json!({ "version": "go1.26", "os": "linux", "arch": "amd64" });
            let commit = "0123456789abcdef";
            Reply::json(
                200,
                &json!({ "version": options.version, "commit": commit, "go": go }),
            )
        }
        ("GET" | "HEAD", "/derp/probe" | "/derp/latency-check") => {
            Reply::text(200, "").with("Access-Control-Allow-Origin", "*")
        }
        (_, "/bootstrap-dns") => Reply::json(200, &json!({ "derp.test": ["127.0.0.1"] })),
        ("HEAD", "/machine/ping-response") if version >= 29 => Reply::text(200, ""),
        ("POST", "/verify") => {
            let asked: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
            let key = asked["NodePublic"].as_str().unwrap_or_default();
            Reply::json(200, &json!({ "Allow": options.members.contains(key) }))
        }
        ("GET", "/apple" | "/windows") => page("Headscale"),
        ("GET", "/apple/ios" | "/apple/macos-app-store" | "/apple/macos-standalone") => Reply::new(
            200,
            "application/x-apple-aspen-config; charset=utf-8",
            "<plist/>",
        ),
        ("GET", "/") if version >= 28 => page(""),
        ("GET", "/robots.txt") => Reply::text(200, "User-agent: *\nDisallow: /"),
        ("GET", "/swagger") if version <= 29 => page("Swagger"),
        // Not on Headscale's main listener: here to show that nobody asks for them.
        ("GET", "/metrics") => Reply::text(200, "headscale_secret_metric 1\n"),
        ("GET", _) if path.starts_with("/debug/") => Reply::text(200, "secret"),
        (_, "/key" | "/health" | "/version" | "/verify" | "/apple" | "/windows" | "/") => {
            Reply::text(405, "")
        }
        _ => Reply::text(404, "404 page not found\n"),
    }
}

/// `/ts2021` when it is no upgrade that succeeds.
fn control_without_upgrade(seen: &Seen, method: &str, state: &State) -> Reply {
    let websocket = method == "GET" && seen.fields.value("upgrade").is_some();
    if method != "POST" && (!websocket || tunnel::refuses_control_websocket(&state.options.version))
    {
        return Reply::text(405, "");
    }
    match seen.fields.value("upgrade") {
        None => Reply::text(500, "Internal error"),
        Some(_) => Reply::text(400, "missing or unknown handshake"),
    }
}

fn key(seen: &Seen) -> Reply {
    let query = seen.target.split_once('?').map_or("", |(_, query)| query);
    let version: Option<u32> = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "v")
        .and_then(|(_, value)| value.parse().ok());
    match version {
        None => Reply::text(400, "could not parse capability version"),
        Some(..39) => Reply::text(200, ""),
        Some(_) => {
            let public = format!("mkey:{}", "7a".repeat(32));
            let legacy = format!("mkey:{}", "00".repeat(32));
            Reply::json(
                200,
                &json!({ "legacyPublicKey": legacy, "publicKey": public }),
            )
        }
    }
}

fn register(shared: &Shared, kind: Kind, auth_id: &str) -> Reply {
    let version = minor(&shared.state().options.version);
    let valid = match version {
        29.. => auth_id.len() == 38 && auth_id.starts_with("hskey-authreq-"),
        _ => auth_id.len() == 24,
    };
    if !valid {
        return Reply::text(400, "invalid auth id");
    }
    if shared.state().options.oidc.is_some() {
        return relying_party::begin(shared, kind, auth_id);
    }
    let command = match kind {
        Kind::SshCheck => format!("headscale auth approve --auth-id {auth_id}"),
        Kind::Register => format!("headscale auth register --auth-id {auth_id} --user USERNAME"),
    };
    Reply::html(
        200,
        format!(
            "<!DOCTYPE html><title>Node registration - Headscale</title><code>{command}</code>"
        ),
    )
}
