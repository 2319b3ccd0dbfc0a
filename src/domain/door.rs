//! Which door a request leads to, by its method, its canonical path and its exact upgrade token, and
//! by nothing else: no header names another path, no query matters, and "is this an upgrade?" is not
//! a question. Unknown means guarded.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::methods::METHODS;
use super::path::{Target, same_path};

/// A device's or an SSH check's pending request, as Headscale 0.25 and newer name it: 24 characters,
/// with or without `hskey-authreq-`. Stricter than Headscale, which checks the length alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl From<AuthId> for String {
    fn from(id: AuthId) -> Self {
        id.0
    }
}

impl TryFrom<String> for AuthId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not an id of headscale's")
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
    /// `/.headwarden/step-up`
    StepUp,
    /// `/.headwarden/logout`
    Logout,
    /// `/.headwarden/signed-out`
    SignedOut,
    /// `/.headwarden/sessions`
    Sessions,
    /// `/.headwarden/devices`
    Devices,
    /// `/.headwarden/devices/add`
    DevicesAdd,
    /// `/.headwarden/devices/people`
    DevicesPeople,
    /// `/.headwarden/devices/sign-out`
    DevicesSignOut,
    /// `/.headwarden/devices/remove`
    DevicesRemove,
    /// `/.headwarden/backchannel-logout`
    BackchannelLogout,
    /// `/.headwarden/frontchannel-logout`
    FrontchannelLogout,
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
    /// `POST /headscale.v1.HeadscaleService/…`: gRPC, up to Headscale 0.29.
    Grpc,
}

/// Paths behind a session. The first three are told by their path, whatever the method, so that no
/// method gets past what is asked there: whoever answers checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// `/register/{id}`, to `GET`.
    Register(AuthId),
    /// `/auth/{id}`, to `GET`.
    SshCheck(AuthId),
    /// `/register/confirm/{id}`, to `POST`.
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

/// A path that the operator opened: one method, one exact path. It opens what would be
/// [`Guarded::Page`], and never a path that has another door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPath {
    /// `GET` also opens `HEAD`.
    pub method: String,
    /// Exact, in any spelling that an upstream decodes to it.
    pub path: String,
}

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
    grpc(asked.method, path)
        .or_else(|| api(asked.method, path))
        .or_else(|| link(path))
        .or_else(|| opened(asked, path, open))
        .unwrap_or(Door::Guarded(Guarded::Page))
}

/// What the operator opened. An upgrade is more than the operator was asked about.
fn opened(asked: &Asked<'_>, path: &str, open: &[OpenPath]) -> Option<Door> {
    let covers = |open: &OpenPath| {
        same_path(&open.path, path)
            && (open.method == asked.method || (open.method == "GET" && asked.method == "HEAD"))
    };
    (asked.upgrade.is_none() && open.iter().any(covers)).then_some(Door::Open)
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
        "/.headwarden/step-up" => Own::StepUp,
        "/.headwarden/logout" => Own::Logout,
        "/.headwarden/signed-out" => Own::SignedOut,
        "/.headwarden/sessions" => Own::Sessions,
        "/.headwarden/devices" => Own::Devices,
        "/.headwarden/devices/add" => Own::DevicesAdd,
        "/.headwarden/devices/people" => Own::DevicesPeople,
        "/.headwarden/devices/sign-out" => Own::DevicesSignOut,
        "/.headwarden/devices/remove" => Own::DevicesRemove,
        "/.headwarden/backchannel-logout" => Own::BackchannelLogout,
        "/.headwarden/frontchannel-logout" => Own::FrontchannelLogout,
        "/.headwarden/confirm-register" => Own::ConfirmRegister,
        "/.headwarden/confirm-ssh" => Own::ConfirmSsh,
        _ => Own::Unknown,
    }
}

/// One method of Headscale's service. Other services, its reflection for one, are nobody's.
fn grpc(method: &str, path: &str) -> Option<Door> {
    let called = path.strip_prefix("/headscale.v1.HeadscaleService/")?;
    let is_name = !called.is_empty() && called.bytes().all(|b| b.is_ascii_alphanumeric());
    (method == "POST" && is_name).then_some(Door::Api(ApiKind::Grpc))
}

/// The API and its documentation, which Headscale serves under names that vary by version
/// (`openapi.json`, `openapi-3.0.yaml`, `docs`), and to everybody: just any `Authorization` would
/// open it as `Api`, so rather too much is taken for documentation here.
fn api(method: &str, path: &str) -> Option<Door> {
    if path.starts_with("/swagger") {
        return Some(Door::ApiDocs);
    }
    let rest = path.strip_prefix("/api/v")?;
    let (version, rest) = rest.split_once('/').unwrap_or((rest, ""));
    if version.is_empty() || !version.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if under(rest, "docs") || under(rest, "schemas") || rest.starts_with("openapi") {
        return Some(Door::ApiDocs);
    }
    match (version, method, rest) {
        ("1", _, _) => Some(Door::Api(ApiKind::V1)),
        ("2", "POST", "oauth/token") => Some(Door::Api(ApiKind::V2Token)),
        ("2", _, _) => Some(Door::Api(ApiKind::V2)),
        _ => None,
    }
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
mod differential;
#[cfg(test)]
mod tests;
