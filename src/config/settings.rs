//! What the configuration means, after every check. These types cannot hold nonsense: whoever has a
//! [`Settings`] need not look twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;
use ipnet::IpNet;

use crate::domain::assurance::Assurance;
use crate::domain::door::OpenPath;
use crate::domain::identity::Issuer;
use crate::domain::policy::Rules;
use crate::domain::secret::Secret;
use crate::domain::session::{Limits, Recheck};
use crate::domain::username::StripDomain;

/// Everything the process needs to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The public origin, the same value as Headscale's `server_url`.
    pub server_url: ServerUrl,
    /// Public listeners; at least one.
    pub listen: Vec<Listener>,
    /// Where an operator asks.
    pub admin: Admin,
    /// Peers whose `X-Forwarded-For` counts. Never contains a default route.
    pub trusted_proxies: Vec<IpNet>,
    /// The Headscale behind us.
    pub headscale: Headscale,
    /// The provider people sign in with.
    pub oidc: Oidc,
    /// Who may pass at all.
    pub rules: Rules,
    /// Session limits and bounds.
    pub session: SessionSettings,
    /// Where the key ring that seals cookies is kept; created at first start.
    pub keys_path: PathBuf,
    /// Paths that the operator opened to everybody.
    pub open: Vec<OpenPath>,
    /// Browser paths that go elsewhere or ask for more; first match wins.
    pub access: Vec<Access>,
    /// Who may use Headscale's API through a session.
    pub api: Api,
    /// How long open requests and tunnels may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// Worker threads; `None` is one per processor.
    pub workers: Option<usize>,
    /// Bounds on what one client address may do.
    pub limits: ClientLimits,
    /// Logging.
    pub log: Log,
    /// Whether files that change are read again by themselves.
    pub watch: bool,
    /// Things that are allowed but that the operator should know; logged at start, printed by
    /// `check`.
    pub warnings: Vec<String>,
}

/// Where an operator asks the running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Health, readiness and metrics over TCP; `None` switches them off.
    pub address: Option<SocketAddr>,
    /// Sessions are shown and ended there too. There is no sign-in: whoever reaches it may.
    pub sessions: bool,
    /// A socket for the operator's command line; `None` switches it off.
    pub socket: Option<AdminSocket>,
}

/// A Unix socket, whose permissions are the wall around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSocket {
    /// Absolute, and short enough for the address of a socket.
    pub path: PathBuf,
    /// Whether its group may use it, beside its owner.
    pub group: bool,
}

/// The public origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// `https`, or `http` on loopback (or where the operator insists).
    pub secure: bool,
    /// Host and optional port, as browsers send it in `Host`.
    pub authority: Authority,
    /// The serialized origin (RFC 6454 section 6.2), e.g. `https://headscale.company`: no trailing
    /// slash, no default port.
    pub origin: String,
}

impl ServerUrl {
    /// `path` (which begins with `/`) at this origin.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

/// One public listener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where to bind.
    pub address: SocketAddr,
    /// Certificates and who may connect; `None` is plaintext.
    pub tls: Option<ListenerTls>,
}

/// How a public listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// What clients are shown, by the name they ask for; the first is for everybody else. At least
    /// one.
    pub certificates: Vec<TlsFiles>,
    /// Whose certificates clients must show; `None` asks for none.
    pub clients: Option<ClientCertificates>,
}

/// Which certificates of clients are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// A PEM bundle of the authorities that issue them.
    pub ca_path: PathBuf,
    /// Whether there is no connection without one.
    pub required: bool,
    /// One of these subject alternative names is needed; empty takes every certificate of the
    /// authorities.
    pub names: Vec<String>,
}

/// PEM files of a certificate chain and its private key; they may be one and the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert_path: PathBuf,
    /// The private key.
    pub key_path: PathBuf,
}

/// An HTTP origin we send requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// TLS or not.
    pub tls: bool,
    /// Host name or address, for SNI, certificate verification and `Host`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// A PEM bundle to verify the upstream's certificate with, instead of the system's.
    pub ca_path: Option<PathBuf>,
}

impl Upstream {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The Headscale behind us.
#[derive(Clone, Debug)]
pub struct Headscale {
    /// Its main listener.
    pub upstream: Upstream,
    /// How it learns who signed in.
    pub sign_in: SignIn,
    /// Optional API key, for sessions with an API role.
    pub api_key: Option<Secret<String>>,
    /// Peers that may `POST /verify`; empty closes it.
    pub verify_from: Vec<IpNet>,
    /// Longest wait for a response head, and for each piece of its body; tunnels have no such limit.
    pub response_timeout: Duration,
    /// Longest wait for a TCP (and TLS) connection.
    pub connect_timeout: Duration,
}

/// How Headscale learns who signed in (design: issuer, own, none).
#[derive(Clone, Debug)]
pub enum SignIn {
    /// Headwarden is the OpenID issuer that Headscale trusts.
    Issuer(Box<IssuerSettings>),
    /// Headscale has its own `oidc:` block with the provider.
    Own,
    /// Headscale has no `oidc:` block.
    None,
}

/// The issuer that Headscale trusts.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The issuer string, for ever; no trailing slash.
    pub url: Issuer,
    /// Where Headscale reaches discovery, keys and the token endpoint; not public.
    pub address: SocketAddr,
    /// As those of a public listener. Required when `address` is not loopback, unless plaintext is
    /// allowed.
    pub tls: Option<Vec<TlsFiles>>,
    /// The one client.
    pub client_id: String,
    /// The one client's secret.
    pub client_secret: Secret<String>,
    /// The ES256 signing key with the identity it belongs to; created at first start, mode 0600.
    pub key_path: PathBuf,
    /// `exp` of the ID token, from now; `None` is five minutes.
    pub node_expiry: Option<Duration>,
    /// What a sign-in must have to approve an SSH check; its age is always asked for.
    pub ssh: Assurance,
}

/// The provider people sign in with.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Wait for the provider at start, and exit when it does not come.
    pub only_start_if_available: bool,
    /// How long that wait is.
    pub start_timeout: Duration,
    /// The expected issuer, compared byte for byte.
    pub issuer: Issuer,
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there.
    pub client_secret: Secret<String>,
    /// Requested scopes; always contains `openid`.
    pub scope: Vec<String>,
    /// Extra authorization request parameters; never a protocol parameter.
    pub extra_params: BTreeMap<String, String>,
    /// PKCE method; S256 unless the operator asked for plain.
    pub pkce: Pkce,
    /// Accept ID tokens signed with HS256 and the client secret.
    pub allow_hs256: bool,
    /// Which claim is the user name.
    pub username_claim: String,
    /// Which claim holds the groups: a plain, dotted or namespaced name.
    pub groups_claim: String,
    /// Strip `@domain` from user names that are e-mail addresses.
    pub strip_email_domain: StripDomain,
    /// Give devices the provider's own token expiry.
    pub use_expiry_from_token: bool,
    /// A PEM bundle to verify the provider's certificate with, beside the system's.
    pub ca_path: Option<PathBuf>,
    /// Longest wait for one answer of the provider.
    pub timeout: Duration,
}

/// PKCE (RFC 7636).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// The challenge is the verifier's SHA-256.
    S256,
    /// The challenge is the verifier; only because the operator asked for it.
    Plain,
}

/// Session limits and bounds.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// Where sessions are kept.
    pub store: Store,
    /// Idle and absolute limits.
    pub limits: Limits,
    /// How often people are checked again at the provider.
    pub recheck: Recheck,
    /// Most sessions kept; the least recently used goes first.
    pub capacity: u64,
    /// Where sessions wait, sealed, while the process is stopped; `None` forgets them.
    pub snapshot_path: Option<PathBuf>,
}

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// In this process.
    Memory,
    /// In Redis or Valkey, for all replicas.
    Redis(Box<RedisSettings>),
}

/// Redis or Valkey.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Which kind of servers the nodes are.
    pub topology: RedisTopology,
    /// Host and port of each node; at least one, and one only for [`RedisTopology::One`].
    pub nodes: Vec<(String, u16)>,
    /// TLS or not, to all of them.
    pub tls: bool,
    /// A PEM bundle to verify their certificates with, instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// The user; `None` is the default one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret<String>>,
    /// Which of the numbered databases; 0 in a cluster.
    pub database: i64,
    /// What every key begins with.
    pub prefix: String,
    /// Longest wait for one answer, and for a connection.
    pub timeout: Duration,
    /// How long sessions known to this process go on while the store is away.
    pub grace: Duration,
}

/// Which kind of servers the nodes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    One,
    /// Sentinels, which know the primary of this name.
    Sentinel {
        /// The name.
        name: String,
    },
    /// Nodes of a cluster.
    Cluster,
}

/// What `access` says about a set of paths.
#[derive(Clone, Debug)]
pub struct Access {
    /// `/admin/**`, `/web/*`, or an exact path.
    pub path: String,
    /// Where it goes; `None` is Headscale.
    pub upstream: Option<Upstream>,
    /// One of these groups is needed, on top of the general rules; empty asks for nothing more.
    pub groups: Vec<String>,
    /// One of these e-mail addresses is needed; empty asks for nothing more.
    pub users: Vec<String>,
    /// What the sign-in must have; what is missing is asked for at the provider.
    pub assurance: Assurance,
    /// Which identity headers the upstream gets.
    pub identity_headers: IdentityHeaders,
}

/// Presets of identity headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityHeaders {
    /// None.
    None,
    /// `Remote-User`, `Remote-Email`, `Remote-Name`, `Remote-Groups`.
    Remote,
}

/// Who may use Headscale's API through a session.
#[derive(Clone, Debug, Default)]
pub struct Api {
    /// Any method.
    pub admins: Vec<String>,
    /// Safe methods only.
    pub viewers: Vec<String>,
    /// Whether a client's own `Authorization` is passed on to Headscale.
    pub bearer: bool,
}

/// Bounds on what one client address may do.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Concurrent connections from one address (/64 for IPv6).
    pub connections_per_address: u32,
    /// New tunnels a minute from one address.
    pub tunnels_per_minute: u32,
    /// Requests a minute through open doors from one address.
    pub open_requests_per_minute: u32,
    /// Requests a minute to the API with credentials that Headscale checks, from one address.
    pub api_requests_per_minute: u32,
    /// Sign-ins a minute begun from one address.
    pub sign_ins_per_minute: u32,
    /// Callbacks a minute from one address.
    pub callbacks_per_minute: u32,
    /// Requests a minute about registering a device or approving an SSH check, from one address.
    pub registrations_per_minute: u32,
    /// Logouts a minute that one address tells us of from the provider's side.
    pub logouts_per_minute: u32,
    /// From accepting a connection (or the first byte of a later request) to the end of its head.
    pub header_timeout: Duration,
    /// How long a connection may idle between requests.
    pub keepalive_timeout: Duration,
}

/// Logging.
#[derive(Clone, Debug)]
pub struct Log {
    /// `human` or `json`.
    pub json: bool,
    /// A `tracing` filter directive, e.g. `info`.
    pub level: String,
}
