//! The provider as we know it: a snapshot of its metadata and keys that requests read without any
//! network, and the ways in which the snapshot gets newer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::discovery::{self, DiscoveryError, Metadata};
use super::http::{Answer, BuildError, Http, HttpError};
use super::id_token::TokenFault;
use super::jwks::{self, KeySet};
use super::login;
use super::person::Unverified;
use crate::config::Oidc;
use crate::domain::random::Random;
use crate::domain::time::{Clock, Timestamp};
use crate::ops::metrics::{Endpoint, Metrics};

/// How often a known provider is looked at again.
const REFRESH_EVERY: Duration = Duration::from_hours(1);
/// The wait after a first failure; it doubles from there.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait between two attempts to reach the provider.
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// What is known about the provider. Immutable.
#[derive(Clone, Debug)]
pub struct Snapshot {
    metadata: Metadata,
    keys: KeySet,
}

impl Snapshot {
    /// Its endpoints and abilities.
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Its keys.
    pub const fn keys(&self) -> &KeySet {
        &self.keys
    }
}

/// The provider people sign in with, from our side: one client of it.
#[derive(Debug)]
pub struct Provider {
    settings: Oidc,
    redirect_uri: String,
    clock: Arc<dyn Clock>,
    http: Http,
    known: Arc<Known>,
}

/// What is known, and who renews it; whatever the settings are by which it is asked.
#[derive(Debug)]
struct Known {
    snapshot: ArcSwapOption<Snapshot>,
    /// Held while the snapshot is renewed, so that only one fetch is under way; the value is when
    /// an unknown key last caused one, and for how long it causes no other.
    renewal: Mutex<Option<(Timestamp, Duration)>>,
}

impl Provider {
    /// A provider that is not known yet: see [`Provider::refresh`]. `redirect_uri` is our callback,
    /// as registered there. No network.
    ///
    /// # Errors
    /// [`BuildError`], mostly about `oidc.ca_path`.
    pub fn new(
        settings: &Oidc,
        redirect_uri: String,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, BuildError> {
        Ok(Arc::new(Self {
            http: Http::new(settings.ca_path.as_deref(), settings.timeout, metrics)?,
            settings: settings.clone(),
            redirect_uri,
            clock,
            known: Arc::new(Known {
                snapshot: ArcSwapOption::empty(),
                renewal: Mutex::new(None),
            }),
        }))
    }

    /// The same provider by other settings: what is known about it is known to both. Its issuer and our
    /// client id are to be the same.
    ///
    /// # Errors
    /// [`BuildError`], mostly about `oidc.ca_path`.
    pub fn with(&self, settings: &Oidc) -> Result<Arc<Self>, BuildError> {
        let metrics = Arc::clone(self.http.metrics());
        Ok(Arc::new(Self {
            http: Http::new(settings.ca_path.as_deref(), settings.timeout, metrics)?,
            settings: settings.clone(),
            redirect_uri: self.redirect_uri.clone(),
            clock: Arc::clone(&self.clock),
            known: Arc::clone(&self.known),
        }))
    }

    /// What is known about the provider; `None` until the first successful [`Provider::refresh`].
    /// No network, no lock.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.known.snapshot.load_full()
    }

    /// Fetches metadata and keys. On failure, what was known stays.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    pub async fn refresh(&self) -> Result<(), DiscoveryError> {
        let _alone = self.known.renewal.lock().await;
        self.renew().await.map(|_| ())
    }

    /// A snapshot that is newer than `seen`, whose keys did not verify a token: one that somebody
    /// else has fetched meanwhile, or that is fetched now. `None` if there is none, or if the last
    /// such fetch is not [`jwks::COOL_DOWN`] ago ([`jwks::AFTER_FAILURE`] if it failed). One fetch at
    /// a time; while the provider is down, the old keys stay.
    pub(super) async fn newer_than(&self, seen: &Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        let mut last = self.known.renewal.lock().await;
        let known = self.snapshot()?;
        if !Arc::ptr_eq(&known, seen) {
            return Some(known);
        }
        let now = self.clock.now();
        if jwks::is_cooling_down(*last, now) {
            return None;
        }
        *last = Some((now, jwks::COOL_DOWN));
        match self.renew().await {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                *last = Some((self.clock.now(), jwks::AFTER_FAILURE));
                tracing::warn!(%error, "the provider's keys cannot be renewed, the old ones stay");
                None
            }
        }
    }

    /// Judges a token by what is known; once more by newer keys, where those might change the verdict.
    pub(super) async fn judge<T: Send>(
        &self,
        snapshot: &Arc<Snapshot>,
        judge: impl Fn(&Snapshot) -> Result<T, TokenFault> + Send + Sync,
    ) -> Result<T, Unverified> {
        let fault = match judge(snapshot) {
            Ok(verdict) => return Ok(verdict),
            Err(fault) if !fault.may_be_rotation() => return Err(fault.into()),
            Err(fault) => fault,
        };
        match self.newer_than(snapshot).await {
            Some(newer) => Ok(judge(&newer)?),
            None => Err(Unverified {
                fault,
                for_want_of_keys: true,
            }),
        }
    }

    /// The caller holds `renewal`.
    async fn renew(&self) -> Result<Arc<Snapshot>, DiscoveryError> {
        let url = discovery::document_url(&self.settings.issuer)?;
        let answer = self.http.get(Endpoint::Discovery, &url, None).await;
        let answer = answer.and_then(Answer::ok);
        let document = answer
            .and_then(|answer| answer.object())
            .map_err(|source| DiscoveryError::Fetch {
                url: url.to_string(),
                source,
            })?;
        let metadata =
            discovery::parse_document(document, &self.settings.issuer, self.settings.allow_hs256)?;
        metadata.check_pkce(login::method(self.settings.pkce))?;
        let keys = self
            .fetch_keys(&metadata)
            .await
            .map_err(|source| DiscoveryError::Keys {
                url: metadata.jwks_uri.to_string(),
                source,
            })?;
        let snapshot = Arc::new(Snapshot { metadata, keys });
        self.known.snapshot.store(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<KeySet, HttpError> {
        let answer = self
            .http
            .get(Endpoint::Keys, &metadata.jwks_uri, None)
            .await?
            .ok()?;
        let keys = jwks::parse_keys(&answer.object()?)?;
        if keys.skipped() > 0 {
            tracing::warn!(
                skipped = keys.skipped(),
                "keys of the provider cannot be used"
            );
        }
        if keys.is_empty() && !self.settings.allow_hs256 {
            tracing::warn!("the provider has no usable key: give it a signing key");
        }
        Ok(keys)
    }

    /// Waits until the provider is known, trying again with growing pauses, but not longer than
    /// `timeout`.
    ///
    /// # Errors
    /// The last attempt's [`DiscoveryError`].
    pub async fn wait_until_available(
        &self,
        timeout: Duration,
        random: &dyn Random,
    ) -> Result<(), DiscoveryError> {
        let deadline = Instant::now() + timeout;
        let mut failures = 0;
        loop {
            let error = match timeout_at(deadline, self.refresh()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => DiscoveryError::Fetch {
                    url: self.settings.issuer.to_string(),
                    source: HttpError::Timeout,
                },
            };
            let pause = retry_pause(failures, random);
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::warn!(%error, retry_ms = millis(pause), "waiting for the provider");
            failures = failures.saturating_add(1);
            sleep(pause).await;
        }
    }

    /// Keeps the snapshot fresh until `shutdown` becomes true or its sender is gone: with growing
    /// pauses until the provider is known, then hourly. `present` says by which settings it is asked
    /// each time.
    pub async fn keep_fresh(
        present: impl Fn() -> Arc<Self> + Send,
        mut shutdown: watch::Receiver<bool>,
        random: &dyn Random,
    ) {
        let mut failures = 0;
        let mut pause = if present().snapshot().is_some() {
            REFRESH_EVERY
        } else {
            Duration::ZERO
        };
        loop {
            tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => return,
                () = sleep(pause) => {}
            }
            let provider = present();
            let outcome = tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => return,
                outcome = provider.refresh() => outcome,
            };
            pause = match outcome {
                Ok(()) => {
                    tracing::debug!(issuer = %provider.settings.issuer, "the provider is known");
                    failures = 0;
                    spread(REFRESH_EVERY, random)
                }
                Err(error) => {
                    let pause = retry_pause(failures, random);
                    failures = failures.saturating_add(1);
                    let known = provider.snapshot().is_some();
                    tracing::warn!(%error, known, retry_ms = millis(pause), "no discovery");
                    pause
                }
            };
        }
    }

    pub(super) const fn settings(&self) -> &Oidc {
        &self.settings
    }

    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    pub(super) const fn http(&self) -> &Http {
        &self.http
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The pause after `failures` earlier failures: doubling, bounded, and spread so that several
/// instances do not come at once.
fn retry_pause(failures: u32, random: &dyn Random) -> Duration {
    let factor = 1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX);
    spread(
        FIRST_RETRY.saturating_mul(factor).min(LONGEST_RETRY),
        random,
    )
}

/// Something between half of `duration` and all of it.
fn spread(duration: Duration, random: &dyn Random) -> Duration {
    let mut bytes = [0_u8; 2];
    random.fill(&mut bytes);
    let share = f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX);
    duration.mul_f64(0.5 + share / 2.0)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::testing::Always;

    #[test]
    fn pauses_double_up_to_a_minute_and_are_spread_over_their_upper_half() {
        for (failures, seconds) in [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (40, 60)] {
            let full = Duration::from_secs(seconds);
            assert_eq!(retry_pause(failures, &Always(0xff)), full, "{failures}");
            assert_eq!(retry_pause(failures, &Always(0)), full / 2, "{failures}");
        }
    }
}
