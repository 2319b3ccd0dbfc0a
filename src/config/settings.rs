//! What the configuration means, after every check. These types cannot hold nonsense: whoever has a
//! [`Settings`] need not look twice.

mod headscale;
mod listening;
mod session;
mod web_ui;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use crate::domain::assurance::Assurance;
use crate::domain::demands::Demands;
use crate::domain::door::OpenPath;
use crate::domain::group_name::GroupSources;
use crate::domain::identity::Issuer;
use crate::domain::identity_field::IdentityField;
use crate::domain::methods::Methods;
use crate::domain::policy::Rules;
use crate::domain::secret::Secret;
use crate::domain::username::StripDomain;

pub use headscale::{Headscale, IssuerSettings, KeyRenewal, SignIn, Upstream};
pub use listening::{
    AcmeSettings, Admin, AdminSocket, Certificates, ChallengeKind, ClientCertificates,
    ExternalAccount, Listener, ListenerTls, ServerUrl, Shutdown, TlsFiles,
};
pub use session::{RedisSettings, RedisTopology, SessionSettings, Store};
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
