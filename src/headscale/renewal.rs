//! The API key is renewed before it ends, and never lost: the new one is made, tried, written to the file,
//! and only then used; the old one ends later. Whatever breaks off, the file holds a key that works.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::api::{Api, ApiError, public_part};
use super::keyfile::{Held, KeyFile, KeyFileError};
use crate::config::{Current, KeyRenewal, Store};
use crate::domain::calendar::rfc3339;
use crate::domain::random::Random;
use crate::domain::secret::Secret;
use crate::domain::time::{Clock, Timestamp};
use crate::ops::audit::{Act, Actor, Audit, Entry};
use crate::ops::metrics::{KeyRenewed, Metrics};

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_mins(1);
/// Between two questions when the key ends: each costs Headscale a slow hash.
const QUESTION: Duration = Duration::from_hours(1);
/// How long the old key is good after the new one is in the file: for requests under way, and for whoever
/// shares the file and has not read it again.
const GRACE: Duration = Duration::from_mins(10);

/// Why the key is not renewed, or not looked at.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// Headscale did not do its part.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Headscale's list of keys does not show ours: nobody knows when it ends.
    #[error("headscale's list of keys does not show ours, so that nobody knows when it ends")]
    Unlisted,
    /// The new key does not do what it was made for.
    #[error("the new key is not as it was asked for")]
    Unproven,
    /// Somebody put another key into the file meanwhile.
    #[error("the file was changed meanwhile")]
    Changed,
    /// A thread of ours broke.
    #[error("the file could not be looked at")]
    Broken,
}

/// Keeps the key from ending.
#[derive(Debug)]
pub struct Renewal {
    settings: Current,
    api: Api,
    metrics: Arc<Metrics>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// When it was asked last, and how long that is enough.
    asked: Option<(Timestamp, Duration)>,
    failures: u32,
    /// What was replaced, and when it may end.
    old: Option<(Secret<String>, Timestamp)>,
    /// Since when somebody else has kept us from the file, or when that was last told.
    kept_out: Option<Timestamp>,
}

impl Renewal {
    /// Of the key that `api` asks with, by the settings of each time.
    pub fn new(
        settings: Current,
        api: Api,
        metrics: Arc<Metrics>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            settings,
            api,
            metrics,
            audit,
            clock,
            random,
            asked: None,
            failures: 0,
            old: None,
            kept_out: None,
        }
    }

    /// Looks every minute, until `shutdown` says true or its sender is gone.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        loop {
            if *shutdown.borrow() {
                return;
            }
            tokio::select! {
                () = self.look() => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Does what is due now, and tells of it.
    pub async fn look(&mut self) {
        // Also when there is no renewal any more: what it replaced is not left good.
        self.end_old().await;
        let settings = self.settings.now();
        let Some(terms) = &settings.headscale.renewal else {
            self.asked = None;
            self.kept_out = None;
            return;
        };
        let now = self.clock.now();
        let enough = |(at, pause): (Timestamp, Duration)| now >= at && now.since(at) < pause;
        if self.asked.is_some_and(enough) {
            return;
        }
        // Replicas may have a copy of the old key in a file of their own.
        let alone = !matches!(settings.session.store, Store::Redis(_));
        let pause = match self.keep(terms, alone).await {
            Ok(pause) => {
                self.failures = 0;
                pause
            }
            Err(why) => self.failed(&why),
        };
        self.asked = Some((self.clock.now(), pause));
    }

    fn failed(&mut self, why: &RenewalError) -> Duration {
        if matches!(why, RenewalError::Api(ApiError::KeyRefused)) {
            tracing::error!(
                "headscale does not take the API key: it has ended, or is another headscale's. \
                 Put a new one into the file of headscale.api_key_path"
            );
        } else {
            tracing::warn!(%why, "the API key is not renewed");
        }
        self.metrics.api_key_renewed(KeyRenewed::Failed);
        self.failures = self.failures.saturating_add(1);
        let factor = 1_u32 << self.failures.min(6).saturating_sub(1);
        LOOK.saturating_mul(factor).min(QUESTION)
    }

    /// How long what it found is enough.
    async fn keep(&mut self, terms: &KeyRenewal, alone: bool) -> Result<Duration, RenewalError> {
        let end = match self.end().await {
            Err(RenewalError::Api(ApiError::KeyRefused)) => {
                // Somebody may have put another one into the file.
                let found = self.read(terms).await?;
                if !self.goes_on_with(&found) {
                    return Err(ApiError::KeyRefused.into());
                }
                self.end().await?
            }
            other => other?,
        };
        self.metrics.api_key_ends(end);
        match end {
            Some(end) if end.since(self.clock.now()) <= terms.before => {
                self.renew(terms, alone).await
            }
            Some(_) | None => Ok(QUESTION),
        }
    }

    /// When our key ends.
    async fn end(&self) -> Result<Option<Timestamp>, RenewalError> {
        let key = self.api.key().now().ok_or(ApiError::NoKey)?;
        let keys = self.api.keys().await?;
        let ours = keys.iter().find(|entry| entry.is_of(&key));
        Ok(ours.ok_or(RenewalError::Unlisted)?.expiration)
    }

    async fn renew(&mut self, terms: &KeyRenewal, alone: bool) -> Result<Duration, RenewalError> {
        // Kept until the end.
        let Some(held) = self.hold(terms).await? else {
            return Ok(self.kept_out());
        };
        self.kept_out = None;
        let old = self.read(terms).await?;
        if self.is_another(&old) {
            // Ours works, as was just seen. What takes its place must, too.
            self.api.with_key(old.clone()).keys().await?;
            self.goes_on_with(&old);
            return Ok(LOOK);
        }
        self.end_drafts(terms, held.drafts(), &old).await;
        let file = KeyFile::new(terms.path.clone());
        let random = Arc::clone(&self.random);
        // Before there is a key that nobody could keep.
        in_background(move || file.can_be_replaced(random.as_ref())).await?;
        let until = self.clock.now().plus(terms.lifetime);
        let new = self.api.create_key(until).await?;
        if let Err(why) = self.put_in_place(terms, &old, &new, until).await {
            self.take_back(terms, &old, &new).await;
            return Err(why);
        }
        self.api.key().replace(Some(new.clone()));
        if alone {
            self.old = Some((old, self.clock.now().plus(GRACE)));
        }
        self.tell(&new, until);
        Ok(QUESTION)
    }

    /// Somebody else keeps the file from us: a moment is nothing, an hour is.
    fn kept_out(&mut self) -> Duration {
        let now = self.clock.now();
        let since = *self.kept_out.get_or_insert(now);
        if now.since(since) < QUESTION {
            return LOOK;
        }
        tracing::warn!(
            "the API key is not renewed: another process has had the directory of its file locked for an hour"
        );
        self.metrics.api_key_renewed(KeyRenewed::Failed);
        self.kept_out = Some(now);
        LOOK
    }

    /// A process that died before it put its new key into the file left it beside: nobody uses it.
    async fn end_drafts(&self, terms: &KeyRenewal, drafts: Vec<PathBuf>, used: &Secret<String>) {
        for draft in drafts {
            let file = KeyFile::new(draft.clone());
            let found = in_background(move || file.read()).await;
            if let Ok(key) = found
                && key != *used
                && public_part(&key).is_some()
            {
                match self.api.expire_key(&key).await {
                    Ok(()) | Err(ApiError::NotFound) => {}
                    Err(why) => {
                        tracing::warn!(%why, "an API key that was made and not used is not ended yet");
                        continue;
                    }
                }
                tracing::info!("an API key that a broken renewal left beside the file has ended");
            }
            let file = KeyFile::new(terms.path.clone());
            if let Err(why) = in_background(move || file.remove_draft(&draft)).await {
                tracing::warn!(%why, "what a broken renewal left beside the file stays");
            }
        }
    }

    fn tell(&self, new: &Secret<String>, until: Timestamp) {
        tracing::info!(until = rfc3339(until), "the API key is renewed");
        self.metrics.api_key_ends(Some(until));
        self.metrics.api_key_renewed(KeyRenewed::Done);
        self.audit.record(&Entry {
            key: public_part(new).filter(|public| public.len() == 12),
            ..Entry::new(Act::KeyRenewed, Actor::Headwarden, "")
        });
    }

    /// Tries the new key, and puts it into the file.
    async fn put_in_place(
        &self,
        terms: &KeyRenewal,
        old: &Secret<String>,
        new: &Secret<String>,
        until: Timestamp,
    ) -> Result<(), RenewalError> {
        let keys = self.api.with_key(new.clone()).keys().await?;
        let made = keys.iter().find(|entry| entry.is_of(new));
        if made.and_then(|entry| entry.expiration) != Some(until) {
            return Err(RenewalError::Unproven);
        }
        if self.read(terms).await? != *old {
            return Err(RenewalError::Changed);
        }
        let (file, key) = (KeyFile::new(terms.path.clone()), new.clone());
        let random = Arc::clone(&self.random);
        let placed = in_background(move || file.replace(&key, random.as_ref())).await;
        match placed {
            // It is there all the same: only the disk was not asked to keep it.
            Err(why) if self.read(terms).await.is_ok_and(|found| found == *new) => {
                tracing::warn!(%why, "the API key is in its file, perhaps not yet on the disk");
                Ok(())
            }
            placed => placed,
        }
    }

    /// Ends the new key, if it is certain that nobody will use it.
    async fn take_back(&self, terms: &KeyRenewal, old: &Secret<String>, new: &Secret<String>) {
        match self.read(terms).await {
            Ok(found) if found != *new => {}
            Ok(_) => return,
            Err(why) => {
                tracing::warn!(%why, "an API key that was made is left good: nobody knows whether the file has it");
                return;
            }
        }
        let ended = self.api.with_key(old.clone()).expire_key(new).await;
        if let Err(why) = ended {
            tracing::warn!(%why, "an API key that was made and not used stays until it ends");
        }
    }

    /// Ends the key before, when its time has come.
    async fn end_old(&mut self) {
        let now = self.clock.now();
        let Some((old, _)) = self.old.take_if(|(_, due)| now >= *due) else {
            return;
        };
        // An operator may have gone back to it.
        if self.api.key().now().is_none_or(|key| *key == old) {
            return;
        }
        match self.api.expire_key(&old).await {
            Ok(()) => tracing::info!("the API key before has ended"),
            Err(ApiError::NotFound) => {}
            Err(why) => {
                tracing::warn!(%why, "the API key before cannot be ended yet");
                self.old = Some((old, now.plus(QUESTION)));
            }
        }
    }

    /// Uses what is in the file, if that is something else.
    fn goes_on_with(&self, found: &Secret<String>) -> bool {
        let other = self.is_another(found);
        if other {
            tracing::info!("another API key is in the file, and used from now on");
            self.api.key().replace(Some(found.clone()));
        }
        other
    }

    fn is_another(&self, found: &Secret<String>) -> bool {
        let other = self.api.key().now().is_none_or(|key| *key != *found);
        other && !found.expose().is_empty()
    }

    async fn read(&self, terms: &KeyRenewal) -> Result<Secret<String>, RenewalError> {
        let file = KeyFile::new(terms.path.clone());
        in_background(move || file.read()).await
    }

    async fn hold(&self, terms: &KeyRenewal) -> Result<Option<Held>, RenewalError> {
        let file = KeyFile::new(terms.path.clone());
        in_background(move || file.hold()).await
    }
}

/// Files wait for disks.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyFileError> + Send + 'static,
) -> Result<T, RenewalError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(RenewalError::Broken),
    }
}
