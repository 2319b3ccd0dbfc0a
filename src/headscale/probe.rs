//! Questions to Headscale that need no key: is it well, does it trust an issuer, which version is it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Method;
use serde_json::Value;

use super::http::{Client, ClientError, FetchError, Fetched};
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

/// Asks one Headscale. A copy asks by the same settings, also where they change.
#[derive(Clone, Debug)]
pub struct Probe(Arc<ArcSwap<Client>>);

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

    pub(super) fn for_upstream(
        upstream: &Upstream,
        connect: Duration,
        total: Duration,
    ) -> Result<Self, ProbeError> {
        let client = Client::new(upstream, connect, total)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(client))))
    }

    /// This one and its copies ask as `other` does from now on.
    pub fn take_over(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    async fn get(&self, path: &str) -> Result<Fetched, FetchError> {
        let client = self.0.load_full();
        client.get(path).await
    }

    /// `GET /health`.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when there is no answer.
    pub async fn health(&self) -> Result<Health, FetchError> {
        let answer = self.get("/health").await?;
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
        Ok(match self.get("/oidc/callback").await?.status {
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
        self.call(Method::GET, path, key, None).await
    }

    /// A request to the API, with a key: a status, and a body that may be long.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when there is no answer.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        key: &Secret<String>,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>), FetchError> {
        let client = self.0.load_full();
        let answer = client.call(method, path, key, body).await?;
        Ok((answer.status, answer.body))
    }

    /// `GET /version`, which Headscale before 0.27 does not have.
    ///
    /// # Errors
    ///
    /// [`FetchError`] when there is no answer.
    pub async fn version(&self) -> Result<Version, FetchError> {
        let answer = self.get("/version").await?;
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
