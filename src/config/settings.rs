//! What the configuration means, after every check. These types cannot hold nonsense: whoever has a
//! [`Settings`] need not look twice.

mod web_ui;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use ipnet::IpNet;
use url::Url;

use crate::domain::assurance::Assurance;
use crate::domain::demands::Demands;
use crate::domain::door::OpenPath;
use crate::domain::group_name::GroupSources;
use crate::domain::hash::sha256;
use crate::domain::identity::Issuer;
use crate::domain::identity_field::IdentityField;
use crate::domain::methods::Methods;
use crate::domain::policy::Rules;
use crate::domain::secret::Secret;
use crate::domain::session::{Limits, Recheck};
use crate::domain::username::StripDomain;

pub use web_ui::{Balance, HealthCheck, HostField, WebUi};

/// Everything the process needs to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The public origin, the same value as Headscale's `server_url`.
    pub server_url: ServerUrl,
    /// Public listeners; at least one.
    pub listen: Vec<Listener>,
    /// Where a listener's certificate comes from by itself; there where a listener wants one.
    pub acme: Option<AcmeSettings>,
    /// Where an operator asks.
    pub admin: Admin,
    /// Peers whose `X-Forwarded-For`, or PROXY header, counts. Never contains a default route.
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
    /// What becomes of the devices of people who are gone.
    pub offboarding: Offboarding,
    /// Groups of the provider's in Headscale's policy.
    pub policy_sync: PolicySync,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// Worker threads; `None` is one per processor.
    pub workers: Option<usize>,
    /// Bounds on what one client address may do.
    pub limits: ClientLimits,
    /// Logging.
    pub log: Log,
    /// Whether files that change are read again by themselves.
    pub watch: bool,
    /// The audit log.
    pub audit: Audit,
    /// Traces; `None` is off.
    pub tracing: Option<Tracing>,
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

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long it still accepts after it has said that it is not ready any more.
    pub lead: Duration,
    /// How long open requests and tunnels may go on after that.
    pub grace: Duration,
    /// How long tunnels may go on after another process has taken over.
    pub upgrade_grace: Duration,
}

/// One public listener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where to bind.
    pub address: SocketAddr,
    /// Every connection comes from a trusted proxy, and begins with a PROXY header.
    pub announced: bool,
    /// Certificates and who may connect; `None` is plaintext.
    pub tls: Option<ListenerTls>,
    /// HTTP/2 as well: by ALPN, or on plaintext by prior knowledge.
    pub http2: bool,
}

/// How a public listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// What clients are shown.
    pub certificates: Certificates,
    /// Whose certificates clients must show; `None` asks for none.
    pub clients: Option<ClientCertificates>,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// From files of the operator's, chosen by the name a client asks for; the first is for everybody
    /// else. At least one.
    Files(Vec<TlsFiles>),
    /// From the ACME directory of the settings.
    Acme,
}

/// A directory that issues certificates (RFC 8555), and what is to be said there.
#[derive(Clone, Debug)]
pub struct AcmeSettings {
    /// Where it begins.
    pub directory_url: String,
    /// Whom the authority may write to: `mailto:` URIs.
    pub contact: Vec<String>,
    /// What the certificate is for: DNS names in lower case, at least one.
    pub names: Vec<String>,
    /// Where account and certificate are kept.
    pub storage_path: PathBuf,
    /// How it is shown that the names are ours.
    pub challenge: ChallengeKind,
    /// A PEM bundle to verify the directory's own certificate with, instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// An account with the authority that ours belongs to.
    pub external: Option<ExternalAccount>,
}

/// How it is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// A file over plaintext HTTP on port 80 (RFC 8555 section 8.3).
    Http01,
    /// A handshake on port 443 (RFC 8737).
    TlsAlpn01,
}

impl ChallengeKind {
    /// Its name in the protocol and in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// An account with an authority, made elsewhere (RFC 8555 section 7.3.4).
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    /// Which.
    pub id: String,
    /// What shows that it is ours.
    pub key: Secret<Vec<u8>>,
}

impl AcmeSettings {
    /// What belongs to this directory. Another one (a test directory first, say) has a place of its
    /// own, so that neither its account nor its certificate is taken for this one's.
    pub fn place(&self) -> PathBuf {
        let mark = sha256(self.directory_url.as_bytes());
        let mark = mark
            .iter()
            .take(4)
            .fold(String::new(), |mark, byte| format!("{mark}{byte:02x}"));
        let rest = self.directory_url.split("://").nth(1).unwrap_or_default();
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        self.storage_path.join(format!("{host}-{mark}"))
    }

    /// The file that holds the chain and its key.
    pub fn certificate_path(&self) -> PathBuf {
        self.place().join("certificate.pem")
    }
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
    /// Scheme, host and port, without a port that goes without saying (RFC 6454 section 6.2).
    pub fn origin(&self) -> String {
        let (scheme, port) = if self.tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let authority = self.authority();
        let authority = match authority.rsplit_once(':') {
            Some((host, _)) if self.port == port => host,
            _ => &authority,
        };
        format!("{scheme}://{authority}")
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The same as browsers write it: without the port that its scheme has anyway.
    pub fn host_field(&self) -> String {
        let authority = self.authority();
        let usual = if self.tls { ":443" } else { ":80" };
        let short = authority.strip_suffix(usual).map(str::to_owned);
        short.unwrap_or(authority)
    }
}

/// The Headscale behind us.
#[derive(Clone, Debug)]
pub struct Headscale {
    /// Its main listener.
    pub upstream: Upstream,
    /// Its listener for gRPC, up to 0.29.
    pub grpc: Option<Upstream>,
    /// How it learns who signed in.
    pub sign_in: SignIn,
    /// Optional API key, for sessions with an API role.
    pub api_key: Option<Secret<String>>,
    /// Whether and how it is renewed.
    pub renewal: Option<KeyRenewal>,
    /// Peers that may `POST /verify`; empty closes it.
    pub verify_from: Vec<IpNet>,
    /// Longest wait for a response head, and for each piece of its body; tunnels have no such limit.
    pub response_timeout: Duration,
    /// Longest wait for a TCP (and TLS) connection.
    pub connect_timeout: Duration,
}

/// How Headscale's API key is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRenewal {
    /// The file that holds the key, and will hold the next one.
    pub path: PathBuf,
    /// How long before its end.
    pub before: Duration,
    /// How long a new one is good.
    pub lifetime: Duration,
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

impl SignIn {
    /// The issuer that Headscale's users are of, where people sign in here at `ours`; none where they are
    /// made by hand.
    pub fn users_issuer<'a>(&'a self, ours: &'a Issuer) -> Option<&'a Issuer> {
        match self {
            Self::Issuer(terms) => Some(&terms.url),
            Self::Own => Some(ours),
            Self::None => None,
        }
    }
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
    /// Claims that `access` rules name: kept with a session.
    pub kept_claims: Vec<String>,
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
    /// The methods it is about; a request of another one is not its.
    pub methods: Methods,
    /// Nobody is asked for a session. Then nothing is demanded, and nobody's identity is told.
    pub public: bool,
    /// Where it goes; `None` is Headscale.
    pub upstream: Option<WebUi>,
    /// What is needed on top of the general rules.
    pub demands: Demands,
    /// What the sign-in must have; what is missing is asked for at the provider.
    pub assurance: Assurance,
    /// What the upstream is told about the person, field by field.
    pub identity_headers: Vec<IdentityField>,
    /// Whom the signed assertion is for; without one, none is sent.
    pub assertion: Option<Arc<str>>,
}

impl Access {
    /// What requests it is about, as [`crate::domain::access::walk`] wants it.
    pub fn about(&self) -> (&str, Methods) {
        (&self.path, self.methods)
    }
}

/// Who may use Headscale's API through a session.
#[derive(Clone, Debug, Default)]
pub struct Api {
    /// Any method.
    pub admins: Vec<String>,
    /// Safe methods only.
    pub viewers: Vec<String>,
    /// Paths of `access` rules on whose pages a session counts on the API; empty is everywhere.
    pub from: Vec<String>,
    /// Whether a client's own `Authorization` is passed on to Headscale.
    pub bearer: bool,
}

/// What becomes of the devices of people who are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offboarding {
    /// Whether they expire.
    pub expire_nodes: bool,
    /// How long after it was noticed.
    pub after: Duration,
    /// Most people in an hour; with more, an operator has to look first.
    pub most: usize,
    /// Whether a refused refresh counts.
    pub refused_refresh: bool,
    /// Nothing is done; it is only said what would be.
    pub dry_run: bool,
    /// Where those who are noticed are written down, where replicas share no store.
    pub state_path: PathBuf,
}

/// Groups of the provider's in Headscale's policy.
#[derive(Clone, Debug)]
pub struct PolicySync {
    /// Which groups, and how they are called there; none, if the policy is not to be touched.
    pub sources: GroupSources,
    /// How often the policy is looked at, also if nobody's groups changed.
    pub interval: Duration,
    /// When somebody who has not come back is taken out.
    pub forget_after: Duration,
    /// Nothing is written, and what would be is said.
    pub dry_run: bool,
    /// Where people's groups are kept while the process is stopped, unless replicas share them.
    pub state_path: PathBuf,
}

impl PolicySync {
    /// Whether there is anything to do.
    pub const fn is_on(&self) -> bool {
        !self.sources.entries.is_empty()
    }
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

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where it is.
    pub place: AuditPlace,
    /// Whether people's user names are in it, beside their subjects.
    pub user_names: bool,
}

/// Where the audit log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditPlace {
    /// Among the lines of the ordinary log.
    Log,
    /// On standard output.
    Stdout,
    /// In a file of its own.
    File(PathBuf),
}

/// Traces over OTLP/HTTP.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Where spans are posted to.
    pub url: Url,
    /// One request of so many is recorded, unless a trusted proxy decides.
    pub one_in: u64,
    /// `service.name`.
    pub service_name: String,
    /// Fields of each request to the collector; both can be sent.
    pub headers: Vec<(String, Secret<String>)>,
    /// A PEM bundle to verify the collector's certificate with, beside the system's.
    pub ca_path: Option<PathBuf>,
}
