//! Looking sessions up, and what is remembered with them.

use std::time::Duration;

use super::super::super::StoreAway;
use super::super::super::id::{SessionId, SessionKey};
use super::super::super::live::{Live, State};
use super::super::front::Look;
use super::super::names::head;
use super::{BURIED, STATE, SharedSessions};
use crate::domain::identity::Subject;
use crate::domain::session::Age;

/// Attempts to change a state while others change it too.
const MOST_ATTEMPTS: usize = 20;

impl SharedSessions {
    /// See [`super::super::super::Sessions::find`].
    pub(in super::super::super) async fn find(
        &self,
        id: &SessionId,
    ) -> Result<Option<Live>, StoreAway> {
        let key = id.key();
        let Some(live) = self.find_by_key(&key).await? else {
            return Ok(None);
        };
        let now = self.clock.now();
        live.entry.used(now);
        if !self
            .front()
            .is_stamp_due(&key, self.now(), self.stamp_interval())
        {
            return Ok(Some(live));
        }
        let life = self.life(&live.session, now, now);
        let place = self.names.session(&key);
        match self.store.stamp(&place, &head(now), life).await {
            Ok(false) => {
                self.front().is_gone(&key, self.now());
                Ok(None)
            }
            Ok(true) => Ok(Some(live)),
            // It was found, and whether its use is noted is no condition. It is to be noted next time.
            Err(StoreAway) => {
                self.front().is_not_stamped(&key);
                Ok(Some(live))
            }
        }
    }

    /// Uses within this time are told to the store once.
    fn stamp_interval(&self) -> Duration {
        (self.limits.idle / 10).min(Duration::from_mins(1))
    }

    /// See [`super::super::super::Sessions::find_by_key`].
    pub(in super::super::super) async fn find_by_key(
        &self,
        key: &SessionKey,
    ) -> Result<Option<Live>, StoreAway> {
        self.may_serve()?;
        let before = match self.front().look(key, self.now()) {
            Look::Ended => return Ok(None),
            Look::Trusted(live) if self.age(&live) == Age::Fresh => return Ok(Some(live)),
            // Idle here: it may have been used elsewhere meanwhile.
            Look::Trusted(live) => Some((live, Duration::ZERO)),
            Look::Known(live, age) => Some((live, age)),
            Look::Unknown => None,
        };
        match self.ask(key).await {
            Ok(found) => Ok(found.filter(|live| self.is_within_limits(live))),
            Err(StoreAway) => match before {
                Some((live, age)) if age < self.grace && !live.is_over() => match self.age(&live) {
                    Age::Fresh => Ok(Some(live)),
                    Age::Expired => Ok(None),
                    Age::Idle => Err(StoreAway),
                },
                _ => Err(StoreAway),
            },
        }
    }

    /// What the store says, whatever is known here.
    async fn ask(&self, key: &SessionKey) -> Result<Option<Live>, StoreAway> {
        let asked = self.front().asking(self.now());
        let Some(value) = self.store.get(&self.names.session(key)).await? else {
            self.front().is_gone(key, self.now());
            return Ok(None);
        };
        let Some((session, last_used)) = self.names.open_session(key, &value) else {
            // A replica with a newer key ring wrote it, say. Nobody is let in, and nothing is over.
            self.front().forget(key);
            return Ok(None);
        };
        Ok(self.front().confirm(*key, session, last_used, asked))
    }

    pub(super) fn age(&self, live: &Live) -> Age {
        let now = self.clock.now();
        self.limits
            .age(live.session.started_at, live.last_used(), now)
    }

    /// What the store confirmed just now, by our clock. What is not is left to the store, which ends it by
    /// itself: nobody else is told what may be true of this clock only.
    fn is_within_limits(&self, live: &Live) -> bool {
        let fresh = self.age(live) == Age::Fresh;
        if !fresh {
            self.front().forget(&live.key);
        }
        fresh
    }

    /// See [`super::super::super::Sessions::of_subject`].
    pub(in super::super::super) async fn of_subject(
        &self,
        subject: &Subject,
    ) -> Result<Vec<Live>, StoreAway> {
        let mut found: Vec<Live> = Vec::new();
        for list in self.names.lists("sub", subject.as_str()) {
            for live in self.alive_in(&list).await? {
                if found.iter().all(|other| other.key != live.key) {
                    found.push(live);
                }
            }
        }
        Ok(found)
    }

    /// See [`super::super::super::Sessions::every`].
    pub(in super::super::super) async fn every(&self) -> Result<Vec<Live>, StoreAway> {
        self.alive_in(&self.names.all()).await
    }

    /// The sessions of a list that are alive. A name leaves the list only where the store has nothing under
    /// it: what is known here does not count, nor does what cannot be opened. And not at once: a sign-in
    /// lists its name before it writes.
    pub(super) async fn alive_in(&self, list: &str) -> Result<Vec<Live>, StoreAway> {
        let (mut alive, mut dead) = (Vec::new(), Vec::new());
        for (key, since) in self.listed(list).await? {
            if let Some(live) = self.find_by_key(&key).await? {
                alive.push(live);
            } else if self.clock.now().since(since) > BURIED
                && self.store.get(&self.names.session(&key)).await?.is_none()
            {
                dead.push(key.bytes().to_vec());
            }
        }
        if !dead.is_empty() {
            self.store.unfile(list, &dead).await?;
        }
        Ok(alive)
    }

    /// See [`super::super::super::Sessions::with_state`].
    pub(in super::super::super) async fn with_state<R>(
        &self,
        live: &Live,
        mut change: impl FnMut(&mut State) -> R,
    ) -> Result<R, StoreAway> {
        self.may_serve()?;
        let place = self.names.state(&live.key);
        for _ in 0..MOST_ATTEMPTS {
            let before = self.store.get(&place).await?;
            let opened = before
                .as_deref()
                .and_then(|value| self.names.open_state(&live.key, value));
            let mut state = opened.unwrap_or_default();
            let was = serde_json::to_vec(&state).map_err(|_| StoreAway)?;
            let result = change(&mut state);
            let is = serde_json::to_vec(&state).map_err(|_| StoreAway)?;
            if is == was {
                return Ok(result);
            }
            let sealed = self.names.seal_state(&live.key, &is).ok_or(StoreAway)?;
            if self
                .store
                .swap(&place, before.as_deref(), &sealed, STATE)
                .await?
            {
                return Ok(result);
            }
        }
        Err(StoreAway)
    }
}
