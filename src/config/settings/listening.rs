//! Where connections come in: our listeners, their certificates, the operator's places, and the end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;

use crate::domain::hash::sha256;
use crate::domain::secret::Secret;

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
