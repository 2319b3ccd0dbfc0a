//! What else replicas share: names that work once, rights that one of them holds, values that all of
//! them agree on, and tickets.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::StoreAway;
use super::super::super::id::SessionKey;
use super::super::{SharedStore, When};
use super::SharedSessions;

/// What all replicas agree on has no end of its own.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 10);

/// How often a change begins anew because somebody else was faster.
const MOST_REWRITES: usize = 50;

/// Entries that a log keeps, and for how long after the last one.
pub const MOST_LOGGED: u64 = 10_000;
const LOGGED: Duration = Duration::from_hours(24);

/// Why replicas do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgreeError {
    /// The store does not answer.
    #[error(transparent)]
    Away(#[from] StoreAway),
    /// Another key ring, or another deployment, sealed what is there.
    #[error(
        "what another replica wrote cannot be opened: the replicas need the same keys_path, server_url, oidc.issuer and oidc.client_id, or a session.redis.prefix of their own"
    )]
    Sealed,
}

/// A right that one replica holds; given back when dropped, and over by itself after a while.
pub struct Held {
    store: Arc<dyn SharedStore>,
    place: String,
    token: String,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

impl Held {
    pub(super) fn new(store: &Arc<dyn SharedStore>, place: String, token: String) -> Self {
        Self {
            store: Arc::clone(store),
            place,
            token,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Without a runtime the process is about to end.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (store, token) = (Arc::clone(&self.store), std::mem::take(&mut self.token));
        let place = std::mem::take(&mut self.place);
        runtime.spawn(async move {
            let _ = store.remove_if(&place, token.as_bytes()).await;
        });
    }
}

impl SharedSessions {
    /// The right to refresh this session; `None` while somebody has it.
    pub(in super::super::super) async fn hold_refresh(
        &self,
        key: &SessionKey,
    ) -> Result<Option<Held>, StoreAway> {
        self.may_serve()?;
        let (place, token) = (self.names.refresh(key), self.random.token());
        let free = self
            .store
            .set(&place, token.as_bytes(), self.refresh, When::Absent)
            .await?;
        // What is here may be older than what the last holder wrote.
        self.front().doubt(key);
        Ok(free.then(|| Held {
            store: Arc::clone(&self.store),
            place,
            token,
        }))
    }

    /// True for the first caller with this `kind` and `name` within `life`, in any replica.
    ///
    /// # Errors
    /// [`StoreAway`]: whether it was used is not known.
    pub async fn first_use(
        &self,
        kind: &str,
        name: &str,
        life: Duration,
    ) -> Result<bool, StoreAway> {
        self.may_serve()?;
        let place = self.names.once(kind, name);
        self.store.set(&place, b"1", life, When::Absent).await
    }

    /// Whether [`SharedSessions::first_use`] was called with it.
    ///
    /// # Errors
    /// [`StoreAway`]: whether it was used is not known.
    pub async fn was_used(&self, kind: &str, name: &str) -> Result<bool, StoreAway> {
        self.may_serve()?;
        Ok(self
            .store
            .get(&self.names.once(kind, name))
            .await?
            .is_some())
    }

    /// Keeps `value` under a `name` that nobody can guess.
    ///
    /// # Errors
    /// [`StoreAway`]: it is not kept.
    pub async fn put(
        &self,
        kind: &str,
        name: &str,
        value: &[u8],
        life: Duration,
    ) -> Result<(), StoreAway> {
        self.may_serve()?;
        let place = self.names.once(kind, name);
        let sealed = self.names.seal(&place, value).ok_or(StoreAway)?;
        let written = self.store.set(&place, &sealed, life, When::Absent).await?;
        if written { Ok(()) } else { Err(StoreAway) }
    }

    /// What was put there, which stays.
    ///
    /// # Errors
    /// [`StoreAway`]: it is not known.
    pub async fn peek(&self, kind: &str, name: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        self.may_serve()?;
        let place = self.names.once(kind, name);
        let value = self.store.get(&place).await?;
        Ok(value.and_then(|value| self.names.open(&place, &value)))
    }

    /// What was put there, for the last time: of any number of callers one gets it.
    ///
    /// # Errors
    /// [`StoreAway`]: it is gone, or it is not.
    pub async fn take(&self, kind: &str, name: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        self.may_serve()?;
        let place = self.names.once(kind, name);
        let value = self.store.take(&place).await?;
        Ok(value.and_then(|value| self.names.open(&place, &value)))
    }

    /// Adds to a log that all replicas read.
    ///
    /// # Errors
    /// [`StoreAway`]: others may not read it.
    pub async fn append(&self, log: &str, entry: &[u8]) -> Result<(), StoreAway> {
        let place = self.names.once("log", log);
        let sealed = self.names.seal(&place, entry).ok_or(StoreAway)?;
        self.store
            .append(&place, &sealed, MOST_LOGGED, LOGGED)
            .await
    }

    /// Where a log ends now.
    ///
    /// # Errors
    /// [`StoreAway`]: it is not known.
    pub async fn position(&self, log: &str) -> Result<u64, StoreAway> {
        self.store.position(&self.names.once("log", log)).await
    }

    /// What was added to a log since it ended there. An entry that cannot be opened is `None`: something
    /// was added, and nobody knows what.
    ///
    /// # Errors
    /// [`StoreAway`]: it is not known.
    pub async fn since(&self, log: &str, position: u64) -> Result<Vec<Option<Vec<u8>>>, StoreAway> {
        let place = self.names.once("log", log);
        let entries = self.store.since(&place, position).await?;
        let opened = entries.iter().map(|entry| self.names.open(&place, entry));
        Ok(opened.collect())
    }

    /// What all replicas go by under this `name`: `mine`, if nobody said anything before.
    ///
    /// # Errors
    /// [`AgreeError`].
    pub async fn agree(&self, name: &str, mine: &[u8]) -> Result<Vec<u8>, AgreeError> {
        let place = self.names.once("agreed", name);
        let sealed = self.names.seal(&place, mine).ok_or(AgreeError::Sealed)?;
        if self
            .store
            .set(&place, &sealed, FOR_EVER, When::Absent)
            .await?
        {
            return Ok(mine.to_vec());
        }
        let value = self.store.get(&place).await?.ok_or(StoreAway)?;
        let agreed = self.names.open(&place, &value).ok_or(AgreeError::Sealed)?;
        if !self.names.is_newest(&value)
            && let Some(renewed) = self.names.seal(&place, &agreed)
        {
            // The key that sealed it goes with the next rotation.
            let swap = self.store.swap(&place, Some(&value), &renewed, FOR_EVER);
            swap.await?;
        }
        Ok(agreed)
    }

    /// Changes the value that all replicas have under this `name`, in one step: `step` gets what is there
    /// now, and says what is to be there; `None` leaves it. It is asked again where somebody else was
    /// faster.
    ///
    /// # Errors
    /// [`AgreeError`]: nothing has changed.
    pub(in super::super::super) async fn rewrite(
        &self,
        name: &str,
        step: &mut (dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>> + Send),
    ) -> Result<(), AgreeError> {
        self.may_serve()?;
        let place = self.names.once("shared", name);
        for _ in 0..MOST_REWRITES {
            let value = self.store.get(&place).await?;
            let old = match &value {
                Some(value) => Some(self.names.open(&place, value).ok_or(AgreeError::Sealed)?),
                None => None,
            };
            let fresh = value
                .as_deref()
                .is_none_or(|value| self.names.is_newest(value));
            let new = step(old.clone());
            if new.is_none() || (new == old && fresh) {
                return Ok(());
            }
            let new = new.unwrap_or_default();
            let sealed = self.names.seal(&place, &new).ok_or(AgreeError::Sealed)?;
            let swap = self.store.swap(&place, value.as_deref(), &sealed, FOR_EVER);
            if swap.await? {
                return Ok(());
            }
        }
        Err(StoreAway.into())
    }

    /// All replicas go by `mine` from now on, once they ask.
    ///
    /// # Errors
    /// [`AgreeError`].
    pub async fn insist(&self, name: &str, mine: &[u8]) -> Result<(), AgreeError> {
        let place = self.names.once("agreed", name);
        let sealed = self.names.seal(&place, mine).ok_or(AgreeError::Sealed)?;
        if !self
            .store
            .set(&place, &sealed, FOR_EVER, When::Absent)
            .await?
        {
            self.store
                .set(&place, &sealed, FOR_EVER, When::Present)
                .await?;
        }
        Ok(())
    }
}
