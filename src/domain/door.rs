//! Which door a request leads to, by its method, its canonical path and its exact upgrade token, and
//! by nothing else: no header names another path, no query matters, and "is this an upgrade?" is not
//! a question. Unknown means guarded.

use std::fmt;

use super::path::Target;

/// A device's or an SSH check's pending request, as Headscale 0.25 and newer name it: 24 characters,
/// with or without `hskey-authreq-`. Stricter than Headscale, which checks the length alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthId(String);

impl AuthId {
    /// Parses an id; `None` when no Headscale would have made it.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("hskey-authreq-").unwrap_or(text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        (rest.len() == 24 && rest.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AuthId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connection that carries one of Tailscale's own protocols after a 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// `POST /ts2021`, the control protocol of native clients.
    Control,
    /// `GET /ts2021` over a WebSocket, that of browsers.
    ControlWebSocket,
    /// `GET /derp`, the relay.
    Derp,
    /// The relay over a WebSocket.
    DerpWebSocket,
}

impl Tunnel {
    /// The `Upgrade` token.
    pub const fn upgrade_token(self) -> &'static str {
        match self {
            Self::Control => "tailscale-control-protocol",
            Self::Derp => "DERP",
            Self::ControlWebSocket | Self::DerpWebSocket => "websocket",
        }
    }

    /// A name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::ControlWebSocket => "control_websocket",
            Self::Derp => "derp",
            Self::DerpWebSocket => "derp_websocket",
        }
    }
}

/// Our own endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// `/oidc/callback`, shared with Headscale's own sign-in.
    Callback,
    /// `/.headwarden/authorize`
    Authorize,
    /// `/.headwarden/sign-in`
    SignIn,
    /// `/.headwarden/logout`
    Logout,
    /// `/.headwarden/signed-out`
    SignedOut,
    /// `/.headwarden/confirm-register`
    ConfirmRegister,
    /// `/.headwarden/confirm-ssh`
    ConfirmSsh,
    /// Anything else under `/.headwarden`.
    Unknown,
}

/// Parts of Headscale's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKind {
    /// `/api/v1`
    V1,
    /// `/api/v2`
    V2,
    /// `POST /api/v2/oauth/token`, whose credentials may be in the form.
    V2Token,
}

/// Paths behind a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// `/register/{id}`
    Register(AuthId),
    /// `/auth/{id}`
    SshCheck(AuthId),
    /// `/register/confirm/{id}`
    RegisterConfirm(AuthId),
    /// Everything else.
    Page,
}

/// Where a request leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// A tunnel; anyone, rate-limited.
    Machine(Tunnel),
    /// Forwarded without a session; anyone, rate-limited.
    Open,
    /// `/generate_204`, answered by us.
    NoContent,
    /// `POST /verify`, for configured peers.
    Verify,
    /// Answered by us.
    Own(Own),
    /// A Headscale API key, or a session with a role.
    Api(ApiKind),
    /// The API's documentation: a session with a role.
    ApiDocs,
    /// A session that the rules admit.
    Guarded(Guarded),
    /// Nobody.
    Closed,
}

impl Door {
    /// A name for logs and metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Machine(_) => "machine",
            Self::Open | Self::NoContent | Self::Verify => "open",
            Self::Own(_) => "own",
            Self::Api(_) => "api",
            Self::ApiDocs | Self::Guarded(_) => "guarded",
            Self::Closed => "closed",
        }
    }
}

/// What decides.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method, case-sensitive (RFC 9110 section 9.1).
    pub method: &'a str,
    /// The target.
    pub target: &'a Target,
    /// The one `Upgrade` token that `Connection` nominates.
    pub upgrade: Option<&'a str>,
}

/// A path that the operator opened: one method, one exact path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPath {
    /// `GET` also opens `HEAD`.
    pub method: String,
    /// Exact.
    pub path: String,
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Finds the door.
pub fn decide(asked: &Asked<'_>, open: &[OpenPath]) -> Door {
    let path = asked.target.path();
    if !METHODS.contains(&asked.method) {
        return Door::Closed;
    }
    if let Some(tunnel) = tunnel(asked, path) {
        return Door::Machine(tunnel);
    }
    if under(path, "/metrics") || under(path, "/debug") || under(path, "/oidc/register") {
        return Door::Closed;
    }
    if under(path, "/.headwarden") || path == "/oidc/callback" {
        return Door::Own(own(path));
    }
    match (asked.method, path) {
        ("GET" | "HEAD", "/generate_204") => return Door::NoContent,
        ("POST", "/verify") => return Door::Verify,
        ("GET" | "HEAD", "/derp/probe" | "/derp/latency-check")
        | ("GET", "/key" | "/bootstrap-dns" | "/health")
        | ("HEAD", "/machine/ping-response") => return Door::Open,
        _ => {}
    }
    let opened = open.iter().any(|open| {
        open.path == path
            && (open.method == asked.method || (open.method == "GET" && asked.method == "HEAD"))
    });
    if opened && asked.upgrade.is_none() {
        return Door::Open;
    }
    api(asked.method, path)
        .or_else(|| link(path))
        .unwrap_or(Door::Guarded(Guarded::Page))
}

/// Whether `path` is `root` or below it, at a segment's boundary.
fn under(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn tunnel(asked: &Asked<'_>, path: &str) -> Option<Tunnel> {
    // `websocket` is compared without case (RFC 6455 section 4.2.1); Tailscale's own as they are.
    let websocket = asked
        .upgrade
        .is_some_and(|token| token.eq_ignore_ascii_case("websocket"));
    match (asked.method, path, asked.upgrade) {
        ("POST", "/ts2021", Some("tailscale-control-protocol")) => Some(Tunnel::Control),
        ("GET", "/ts2021", _) if websocket => Some(Tunnel::ControlWebSocket),
        ("GET", "/derp", Some("DERP")) => Some(Tunnel::Derp),
        ("GET", "/derp", _) if websocket => Some(Tunnel::DerpWebSocket),
        _ => None,
    }
}

fn own(path: &str) -> Own {
    match path {
        "/oidc/callback" => Own::Callback,
        "/.headwarden/authorize" => Own::Authorize,
        "/.headwarden/sign-in" => Own::SignIn,
        "/.headwarden/logout" => Own::Logout,
        "/.headwarden/signed-out" => Own::SignedOut,
        "/.headwarden/confirm-register" => Own::ConfirmRegister,
        "/.headwarden/confirm-ssh" => Own::ConfirmSsh,
        _ => Own::Unknown,
    }
}

/// The API and its documentation, which Headscale serves under names that vary by version
/// (`openapi.json`, `openapi-3.0.yaml`, `docs`).
fn api(method: &str, path: &str) -> Option<Door> {
    if under(path, "/swagger") {
        return Some(Door::ApiDocs);
    }
    let (rest, kind) = match (path.strip_prefix("/api/v1"), path.strip_prefix("/api/v2")) {
        (Some(rest), _) => (rest, ApiKind::V1),
        (None, Some(rest)) => (rest, ApiKind::V2),
        (None, None) => return None,
    };
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    if under(rest, "/docs") || rest.starts_with("/openapi") {
        return Some(Door::ApiDocs);
    }
    Some(Door::Api(match (kind, method, rest) {
        (ApiKind::V2, "POST", "/oauth/token") => ApiKind::V2Token,
        (kind, _, _) => kind,
    }))
}

/// Links that devices and `ssh` show. What is no id leads nowhere.
fn link(path: &str) -> Option<Door> {
    let door = |id: &str, guarded: fn(AuthId) -> Guarded| {
        AuthId::parse(id).map_or(Door::Closed, |id| Door::Guarded(guarded(id)))
    };
    if let Some(id) = path.strip_prefix("/register/confirm/") {
        return Some(door(id, Guarded::RegisterConfirm));
    }
    if let Some(id) = path.strip_prefix("/register/") {
        return Some(door(id, Guarded::Register));
    }
    path.strip_prefix("/auth/")
        .map(|id| door(id, Guarded::SshCheck))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "hskey-authreq-0123456789abcdef01234567";

    fn decide_on(method: &str, target: &str, upgrade: Option<&str>) -> Door {
        let target = Target::parse(target.as_bytes()).unwrap();
        decide(
            &Asked {
                method,
                target: &target,
                upgrade,
            },
            &[],
        )
    }

    #[test]
    fn tunnels_open_for_their_exact_method_path_and_token() {
        for (method, path, token, tunnel) in [
            (
                "POST",
                "/ts2021",
                "tailscale-control-protocol",
                Tunnel::Control,
            ),
            ("GET", "/ts2021", "websocket", Tunnel::ControlWebSocket),
            (
                "GET",
                "/ts2021?X-Tailscale-Handshake=AA",
                "WebSocket",
                Tunnel::ControlWebSocket,
            ),
            ("GET", "/derp", "DERP", Tunnel::Derp),
            ("GET", "/derp", "websocket", Tunnel::DerpWebSocket),
        ] {
            assert_eq!(
                decide_on(method, path, Some(token)),
                Door::Machine(tunnel),
                "{path}"
            );
        }
    }

    #[test]
    fn neighbours_of_a_tunnel_are_guarded_like_everything_unknown() {
        for (method, path, token) in [
            ("POST", "/ts2021", None),
            ("GET", "/ts2021", None),
            ("GET", "/ts2021", Some("tailscale-control-protocol")),
            ("POST", "/ts2021", Some("websocket")),
            ("POST", "/ts2021", Some("h2c")),
            ("POST", "/ts2021", Some("Tailscale-Control-Protocol")),
            ("PUT", "/ts2021", Some("tailscale-control-protocol")),
            ("POST", "/ts2021/", Some("tailscale-control-protocol")),
            ("POST", "/ts2021x", Some("tailscale-control-protocol")),
            ("POST", "/TS2021", Some("tailscale-control-protocol")),
            ("POST", "/private", Some("tailscale-control-protocol")),
            ("GET", "/derp", None),
            ("GET", "/derp", Some("derp")),
            ("POST", "/derp", Some("DERP")),
            ("GET", "/derp/", Some("DERP")),
            ("GET", "/derp/admin", Some("DERP")),
            ("GET", "/private?/ts2021", Some("websocket")),
        ] {
            let door = decide_on(method, path, token);
            assert_eq!(
                door,
                Door::Guarded(Guarded::Page),
                "{method} {path} {token:?}"
            );
        }
    }

    #[test]
    fn every_other_path_has_its_door() {
        let id = || AuthId::parse(ID).unwrap();
        let register = Door::Guarded(Guarded::Register(id()));
        let rows: &[(&str, &str, Door)] = &[
            ("GET", "/key?v=39", Door::Open),
            ("HEAD", "/key", Door::Guarded(Guarded::Page)),
            ("POST", "/key", Door::Guarded(Guarded::Page)),
            ("GET", "/keys", Door::Guarded(Guarded::Page)),
            ("GET", "/key/", Door::Guarded(Guarded::Page)),
            ("GET", "/KEY", Door::Guarded(Guarded::Page)),
            ("GET", "/derp/probe", Door::Open),
            ("HEAD", "/derp/latency-check", Door::Open),
            ("GET", "/bootstrap-dns?q=a", Door::Open),
            ("HEAD", "/machine/ping-response?id=1", Door::Open),
            (
                "GET",
                "/machine/ping-response?id=1",
                Door::Guarded(Guarded::Page),
            ),
            ("GET", "/health", Door::Open),
            ("GET", "/healthz", Door::Guarded(Guarded::Page)),
            ("GET", "/health/", Door::Guarded(Guarded::Page)),
            ("GET", "/generate_204", Door::NoContent),
            ("POST", "/verify", Door::Verify),
            ("GET", "/verify", Door::Guarded(Guarded::Page)),
            ("GET", "/version", Door::Guarded(Guarded::Page)),
            ("GET", "/", Door::Guarded(Guarded::Page)),
            ("GET", "/windows", Door::Guarded(Guarded::Page)),
            ("GET", "/apple/ios", Door::Guarded(Guarded::Page)),
            ("OPTIONS", "/admin", Door::Guarded(Guarded::Page)),
            ("GET", "/metrics", Door::Closed),
            ("GET", "/metrics/", Door::Closed),
            ("GET", "/metricsx", Door::Guarded(Guarded::Page)),
            ("GET", "/debug", Door::Closed),
            ("GET", "/debug/pprof/heap", Door::Closed),
            ("GET", "/oidc/register/mkey:00", Door::Closed),
            (
                "GET",
                "/oidc/callback?code=a&state=b",
                Door::Own(Own::Callback),
            ),
            ("GET", "/oidc/callback/", Door::Guarded(Guarded::Page)),
            ("GET", "/oidc", Door::Guarded(Guarded::Page)),
            ("GET", "/.headwarden/authorize", Door::Own(Own::Authorize)),
            ("POST", "/.headwarden/logout", Door::Own(Own::Logout)),
            ("GET", "/.headwarden", Door::Own(Own::Unknown)),
            ("GET", "/.headwarden/logout/", Door::Own(Own::Unknown)),
            ("GET", "/.headwarden/Logout", Door::Own(Own::Unknown)),
            ("GET", "/.headwardenx", Door::Guarded(Guarded::Page)),
            ("GET", "/api/v1/node", Door::Api(ApiKind::V1)),
            ("GET", "/api/v1", Door::Api(ApiKind::V1)),
            ("GET", "/api/v12", Door::Guarded(Guarded::Page)),
            ("GET", "/api/v1/docs", Door::ApiDocs),
            ("GET", "/api/v1/openapi-3.0.json", Door::ApiDocs),
            ("GET", "/api/v2/docs/x", Door::ApiDocs),
            ("GET", "/swagger/v1/openapiv2.json", Door::ApiDocs),
            ("GET", "/api/v2/tailnet/-/devices", Door::Api(ApiKind::V2)),
            ("POST", "/api/v2/oauth/token", Door::Api(ApiKind::V2Token)),
            ("GET", "/api/v2/oauth/token", Door::Api(ApiKind::V2)),
            ("GET", "/api/v3/x", Door::Guarded(Guarded::Page)),
            (
                "GET",
                "/register/hskey-authreq-0123456789abcdef01234567",
                register,
            ),
            ("GET", "/register/confirm/x", Door::Closed),
            ("GET", "/register/short", Door::Closed),
            ("GET", "/register/a/b", Door::Closed),
            ("GET", "/register/mkey:00", Door::Closed),
            ("GET", "/register", Door::Guarded(Guarded::Page)),
            (
                "POST",
                "/register/confirm/0123456789abcdef01234567",
                Door::Guarded(Guarded::RegisterConfirm(
                    AuthId::parse("0123456789abcdef01234567").unwrap(),
                )),
            ),
            (
                "GET",
                "/auth/hskey-authreq-0123456789abcdef01234567",
                Door::Guarded(Guarded::SshCheck(id())),
            ),
            ("TRACE", "/key", Door::Closed),
            ("CONNECT", "/key", Door::Closed),
            ("get", "/key", Door::Closed),
            ("GETX", "/key", Door::Closed),
            ("PRI", "/key", Door::Closed),
        ];
        for (method, path, door) in rows {
            assert_eq!(decide_on(method, path, None), *door, "{method} {path}");
        }
    }

    #[test]
    fn an_upgrade_token_opens_nothing_that_was_not_open() {
        for token in [
            "websocket",
            "h2c",
            "DERP",
            "tailscale-control-protocol",
            "foo",
        ] {
            for path in ["/", "/admin", "/register", "/version"] {
                let door = decide_on("GET", path, Some(token));
                assert_eq!(door, Door::Guarded(Guarded::Page), "{path} {token}");
            }
        }
    }

    #[test]
    fn what_the_operator_opens_is_one_method_and_one_exact_path() {
        let open = [OpenPath {
            method: "GET".to_owned(),
            path: "/logo.png".to_owned(),
        }];
        for (method, path, is_open) in [
            ("GET", "/logo.png?v=1", true),
            ("HEAD", "/logo.png", true),
            ("POST", "/logo.png", false),
            ("GET", "/logo.png/", false),
            ("GET", "/Logo.png", false),
        ] {
            let target = Target::parse(path.as_bytes()).unwrap();
            let door = decide(
                &Asked {
                    method,
                    target: &target,
                    upgrade: None,
                },
                &open,
            );
            assert_eq!(door == Door::Open, is_open, "{method} {path}");
        }
    }
}
