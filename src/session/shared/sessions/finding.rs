//! Looking sessions up, and what is remembered with them.

use std::time::Duration;

use super::super::super::StoreAway;
use super::super::super::id::{SessionId, SessionKey};
use super::super::super::live::{Live, State};
use super::super::front::Look;
use super::super::names::head;
use super::{STATE, SharedSessions};
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
            // It was found, and whether its use is noted is no condition.
            Ok(true) | Err(StoreAway) => Ok(Some(live)),
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
        let before = match self.front().look(key, self.now()) {
            Look::Ended => return Ok(None),
            Look::Trusted(live) => return Ok(self.judged(live)),
            Look::Known(live, age) => Some((live, age)),
            Look::Unknown => None,
        };
        match self.ask(key).await {
            Ok(found) => Ok(found.and_then(|live| self.judged(live))),
            Err(StoreAway) => match before {
                Some((live, age)) if age < self.grace && !live.is_over() => Ok(self.judged(live)),
                _ => Err(StoreAway),
            },
        }
    }

    /// What the store says, whatever is known here.
    pub(super) async fn ask(&self, key: &SessionKey) -> Result<Option<Live>, StoreAway> {
        let asked = self.front().asking(self.now());
        let value = self.store.get(&self.names.session(key)).await?;
        let session = value.and_then(|value| self.names.open_session(key, &value));
        let Some((session, last_used)) = session else {
            self.front().is_gone(key, self.now());
            return Ok(None);
        };
        Ok(self.front().confirm(*key, session, last_used, asked))
    }

    fn judged(&self, live: Live) -> Option<Live> {
        let now = self.clock.now();
        match self
            .limits
            .age(live.session.started_at, live.last_used(), now)
        {
            Age::Fresh => Some(live),
            Age::Idle | Age::Expired => {
                self.front().end(&live.key, self.now());
                None
            }
        }
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

    /// The sessions of a list that are alive; the others are taken out of it.
    pub(super) async fn alive_in(&self, list: &str) -> Result<Vec<Live>, StoreAway> {
        let (mut alive, mut dead) = (Vec::new(), Vec::new());
        for key in self.listed(list).await? {
            match self.find_by_key(&key).await? {
                Some(live) => alive.push(live),
                None => dead.push(key.bytes().to_vec()),
            }
        }
        self.store.unfile(list, &dead).await?;
        Ok(alive)
    }

    /// See [`super::super::super::Sessions::with_state`].
    pub(in super::super::super) async fn with_state<R>(
        &self,
        live: &Live,
        mut change: impl FnMut(&mut State) -> R,
    ) -> Result<R, StoreAway> {
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
