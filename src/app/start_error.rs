//! Why there is no process, and with which exit code.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{inherited, socket, tls};
use crate::headscale::ProbeError;
use crate::ops::trace::ExportError;
use crate::proxy::upstream::TrustError;
use crate::session::{KeyRingError, SigningError};

/// Why the process does not start, or not any longer. Each is a sentence, and an exit code.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What systemd opened for us cannot be used.
    #[error(transparent)]
    Inherited(#[from] inherited::InheritedError),
    /// The process that was to hand over did not.
    #[error("the process before did not hand over: {0}")]
    Forebear(io::Error),
    /// The process that took over is no more.
    #[error("the process that took over has ended ({0})")]
    Successor(std::process::ExitStatus),
    /// The operator's socket cannot be opened.
    #[error("the admin socket cannot be opened: {0}")]
    AdminSocket(#[from] socket::SocketError),
    /// The audit log cannot be opened.
    #[error("the audit log {path:?} cannot be opened: {source}")]
    Audit {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// There can be no client for the ACME directory.
    #[error(transparent)]
    Acme(#[from] crate::acme::ClientError),
    /// An upstream's certificate could never be verified.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The key ring cannot be used.
    #[error("the key ring cannot be used: {0}")]
    KeyRing(#[from] KeyRingError),
    /// No signing key can be made of it.
    #[error("the key ring cannot be used: {0}")]
    Signing(#[from] SigningError),
    /// There can be no client for the session store.
    #[error("the client for the session store cannot be built: {0}")]
    Store(#[from] crate::session::redis::BuildError),
    /// What other replicas wrote cannot be used here.
    #[error("the replicas do not fit together: {0}")]
    Replicas(#[from] crate::session::shared::AgreeError),
    /// The issuer's signing key cannot be used.
    #[error("the issuer's signing key cannot be used: {0}")]
    IssuerKey(#[from] crate::issuer::KeyError),
    /// The issuer's URL cannot be served.
    #[error(transparent)]
    IssuerUrl(#[from] crate::issuer::IssuerUrlError),
    /// The HTTP client for the provider cannot be built.
    #[error("the client for the provider cannot be built: {0}")]
    Client(#[from] crate::oidc::http::BuildError),
    /// The HTTP client for Headscale cannot be built.
    #[error("the client for headscale cannot be built: {0}")]
    HeadscaleClient(#[from] ProbeError),
    /// `only_start_if_oidc_is_available` is set, and it was not.
    #[error("the provider did not become available within {} s: {source}", waited.as_secs())]
    Provider {
        /// How long it was waited for.
        waited: Duration,
        /// The last failure.
        source: crate::oidc::discovery::DiscoveryError,
    },
    /// Traces could never be sent.
    #[error("traces cannot be sent: {0}")]
    Traces(#[from] ExportError),
    /// Metrics collide.
    #[error("metrics cannot be registered: {0}")]
    Metrics(String),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
}

impl StartError {
    /// The process's exit code, as in `docs/deployment.md`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Bind { .. } | Self::Inherited(_) | Self::AdminSocket(_) | Self::Audit { .. } => 3,
            Self::Tls(_) | Self::Acme(_) | Self::Trust(_) | Self::Store(_) | Self::Traces(_) => 4,
            Self::Provider { .. } => 5,
            Self::KeyRing(_) | Self::Signing(_) | Self::IssuerKey(_) | Self::Replicas(_) => 6,
            Self::IssuerUrl(_)
            | Self::Client(_)
            | Self::HeadscaleClient(_)
            | Self::Metrics(_)
            | Self::Forebear(_)
            | Self::Successor(_)
            | Self::Signals(_) => 1,
        }
    }
}
