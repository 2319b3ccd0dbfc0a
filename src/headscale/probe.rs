//! Questions to Headscale that need no key: is it well, does it trust an issuer, which version is it.

use std::time::Duration;

use super::http::{Client, ClientError, FetchError};
use super::versions::Version;
use crate::config::{Headscale, Upstream};
use crate::domain::secret::Secret;

/// Longest wait for a whole answer, however long responses may take otherwise: readiness is asked
/// for often and must not pile up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client for the questions cannot be made.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ProbeError(#[from] ClientError);

/// What `GET /health` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Headscale and its database answer.
    Pass,
    /// Headscale answers, with this status; 500 is a database that does not.
    Fail(u16),
}

/// Whether Headscale has an OpenID issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It does: its callback is there.
    Trusts,
    /// It has no `oidc:` block, or could not reach the issuer when it started and fell back to its
    /// command line: it stays so until it is restarted.
    FellBack,
    /// The answer has another status; something else may be listening.
    Unclear(u16),
}

/// Asks one Headscale.
#[derive(Clone, Debug)]
pub struct Probe(Client);

impl Probe {
    /// A probe for the Headscale in `settings`.
    ///
    /// # Errors
    ///
    /// [`ProbeError`] when its certificates cannot be read.
    pub fn new(settings: &Headscale) -> Result<Self, ProbeError> {
        let total = settings.response_timeout.min(PATIENCE);
        Self::for_upstream(
            &settings.upstream,
            settings.connect_timeout.min(total),
            total,
        )
    }

    fn for_upstream(
        upstream: &Upstream,
        connect: Duration,
        total: Duration,
    ) -> Result<Self, ProbeError> {
        Ok(Self(Client::new(upstream, connect, total)?))
    }

    /// `GET /health`.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when there is no answer.
    pub async fn health(&self) -> Result<Health, FetchError> {
        let answer = self.0.get("/health").await?;
        Ok(if answer.status == 200 {
            Health::Pass
        } else {
            Health::Fail(answer.status)
        })
    }

    /// `GET /oidc/callback` without parameters, a route that is there only with an issuer: 400 for
    /// the missing ones. Without it 0.28 shows its blank page, all others have nothing there.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when there is no answer.
    pub async fn trust(&self) -> Result<Trust, FetchError> {
        Ok(match self.0.get("/oidc/callback").await?.status {
            400 => Trust::Trusts,
            200 | 404 => Trust::FellBack,
            other => Trust::Unclear(other),
        })
    }

    /// `GET path` of the API, with a key: a status, and a body that may be long.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when there is no answer.
    pub(super) async fn api(
        &self,
        path: &str,
        key: &Secret<String>,
    ) -> Result<(u16, Vec<u8>), FetchError> {
        let answer = self.0.get_with_key(path, key).await?;
        Ok((answer.status, answer.body))
    }

    /// `GET /version`, which Headscale before 0.27 does not have.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when there is no answer.
    pub async fn version(&self) -> Result<Version, FetchError> {
        let answer = self.0.get("/version").await?;
        Ok(if answer.status == 200 {
            Version::parse(&answer.body)
        } else {
            Version::Unknown
        })
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
