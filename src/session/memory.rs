//! Sessions in this process's memory: bounded, limited in time, found by what a cookie holds, ended
//! from the person's side or the provider's.
//!
//! A session that was ended, evicted or outlived its limits is gone for every copy of its cookie:
//! nothing about it can be rebuilt from what a browser holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::oneshot;

use super::confirmations::Confirmations;
use super::id::{SessionId, SessionKey};
use super::index::Index;
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::leg::Legs;
use crate::domain::random::Random;
use crate::domain::session::{Age, Limits, Session};
use crate::domain::time::{Clock, Timestamp};

/// The store refuses longer times to live (by panicking), and nobody needs them.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);
/// Sessions that one person may have at a time: every browser on every device, many times over. With
/// no bound, one person with a script could push everybody else out of the store.
const MOST_OF_ONE_PERSON: usize = 100;

/// A session that may be used, and what changes while it lives.
#[derive(Debug)]
pub struct Live {
    /// Its name on this side.
    pub key: SessionKey,
    /// Who signed in; never changes.
    pub session: Arc<Session>,
    /// Headscale's sign-ins that were forwarded through this session.
    pub legs: Mutex<Legs>,
    /// Confirmation forms shown in this session.
    pub confirmations: Mutex<Confirmations>,
    /// Seconds since the epoch.
    last_used: AtomicU64,
    /// Told when it ends, by being dropped; `None` once it has.
    followers: Mutex<Option<Vec<oneshot::Sender<()>>>>,
}

impl Live {
    /// When a request last used it.
    pub fn last_used(&self) -> Timestamp {
        Timestamp::from_unix(self.last_used.load(Ordering::Relaxed))
    }

    /// Ready when the session has ended: for what lasts longer than a request. A follower is not a use.
    pub fn end(&self) -> oneshot::Receiver<()> {
        let (follower, ended) = oneshot::channel();
        if let Some(followers) = &mut *self.followers() {
            followers.retain(|other| !other.is_closed());
            followers.push(follower);
        }
        ended
    }

    fn has_ended(&self) {
        *self.followers() = None;
    }

    fn followers(&self) -> MutexGuard<'_, Option<Vec<oneshot::Sender<()>>>> {
        self.followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Live::legs`], locked; never hold it across an await. A poisoned lock is taken as it is:
    /// an entry is either recorded or not.
    pub fn legs(&self) -> MutexGuard<'_, Legs> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Live::confirmations`], locked, with the same manners as [`Live::legs`].
    pub fn confirmations(&self) -> MutexGuard<'_, Confirmations> {
        self.confirmations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every live session.
#[derive(Debug)]
pub struct Sessions {
    limits: Limits,
    live: Cache<SessionKey, Arc<Live>>,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Sessions {
    /// An empty store for at most `capacity` sessions (at least one); beyond that the least recently
    /// used one is signed out.
    ///
    /// `limits` are judged by `clock` on every look-up. The store also applies them by the monotonic
    /// clock: that frees memory, and a wall clock that is set back cannot prolong a session.
    pub fn new(
        limits: Limits,
        capacity: u64,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let index = Arc::new(Index::default());
        let indexed = Arc::clone(&index);
        let live = Cache::builder()
            .max_capacity(capacity.max(1))
            // Not the default policy: that one may refuse to keep a newcomer, whose sign-in would
            // then never succeed.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(limits.lifetime.min(LONGEST))
            .time_to_idle(limits.idle.min(LONGEST))
            .eviction_listener(move |key: Arc<SessionKey>, gone: Arc<Live>, _| {
                indexed.remove(&key, &gone.session);
                gone.has_ended();
            })
            .build();
        Self {
            limits,
            live,
            index,
            clock,
            random,
        }
    }

    /// Begins a session under a new random id. The id is for the cookie and is kept nowhere else. Beyond
    /// 100 sessions of one person, the oldest of them ends.
    pub fn start(&self, session: Session) -> (SessionId, Arc<Live>) {
        self.begin(session, Legs::default(), Vec::new())
    }

    fn begin(
        &self,
        session: Session,
        legs: Legs,
        followers: Vec<oneshot::Sender<()>>,
    ) -> (SessionId, Arc<Live>) {
        let id = SessionId::generate(self.random.as_ref());
        let key = id.key();
        let live = Arc::new(Live {
            key,
            session: Arc::new(session),
            legs: Mutex::new(legs),
            confirmations: Mutex::default(),
            last_used: AtomicU64::new(self.clock.now().unix()),
            followers: Mutex::new(Some(followers)),
        });
        self.live.insert(key, Arc::clone(&live));
        let surplus = self.index.insert(key, &live.session, MOST_OF_ONE_PERSON);
        if let Some(oldest) = surplus {
            self.end(&oldest);
        }
        // Evicted before it was filed: nobody else would take the entry out again.
        if !self.live.contains_key(&key) {
            self.index.remove(&key, &live.session);
        }
        (id, live)
    }

    /// Begins a session in place of `old`: at every sign-in the id changes, and what an earlier
    /// holder of the browser (or an attacker who planted a cookie) had stops working.
    pub fn replace(
        &self,
        old: impl IntoIterator<Item = SessionKey>,
        session: Session,
    ) -> (SessionId, Arc<Live>) {
        let started = self.start(session);
        for key in old {
            self.end(&key);
        }
        started
    }

    /// Begins a session in place of `old`, which must be alive: at a step-up. What follows the old one
    /// and Headscale's sign-ins on their way go over to the new one. `None` if it is over, ended by a
    /// logout perhaps while the person was at the provider; then nothing begins.
    pub fn renew(&self, old: &SessionKey, session: Session) -> Option<(SessionId, Arc<Live>)> {
        let before = self.find_by_key(old)?;
        let followers = before.followers().take().unwrap_or_default();
        // Of a logout and a renewal at once, whoever takes the old session out goes first.
        self.end(old)?;
        let legs = std::mem::take(&mut *before.legs());
        Some(self.begin(session, legs, followers))
    }

    /// The session of this cookie, if its limits allow, and counts as its use.
    pub fn find(&self, id: &SessionId) -> Option<Arc<Live>> {
        let now = self.clock.now();
        let live = self.fresh(&id.key(), now)?;
        live.last_used.store(now.unix(), Ordering::Relaxed);
        Some(live)
    }

    /// The session of this name, if its limits allow. Not a use: what asks here acts for the
    /// session, not from its browser.
    pub fn find_by_key(&self, key: &SessionKey) -> Option<Arc<Live>> {
        self.fresh(key, self.clock.now())
    }

    /// Ends a session. `None` if there was none; what is returned may have outlived its limits, and
    /// serves as a hint for the provider's logout only.
    pub fn end(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.live.remove(key).map(|live| Arc::clone(&live.session))
    }

    /// Ends every session of a person at the provider; returns how many there were.
    pub fn end_subject(&self, subject: &Subject) -> usize {
        self.end_all(&self.index.of_subject(subject))
    }

    /// Ends every session that began from one session at the provider; returns how many there were.
    pub fn end_provider_session(&self, sid: &ProviderSession) -> usize {
        self.end_all(&self.index.of_provider_session(sid))
    }

    /// How many sessions are kept. Settles pending evictions first: for metrics, not for requests.
    pub fn len(&self) -> u64 {
        self.live.run_pending_tasks();
        self.live.entry_count()
    }

    /// Whether no session is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn fresh(&self, key: &SessionKey, now: Timestamp) -> Option<Arc<Live>> {
        let live = self.live.get(key)?;
        match self
            .limits
            .age(live.session.started_at, live.last_used(), now)
        {
            Age::Fresh => Some(live),
            Age::Idle | Age::Expired => {
                self.live.invalidate(key);
                None
            }
        }
    }

    fn end_all(&self, keys: &[SessionKey]) -> usize {
        keys.iter().filter(|key| self.end(key).is_some()).count()
    }
}

#[cfg(test)]
mod tests;
