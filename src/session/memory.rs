//! Sessions in this process's memory: bounded, limited in time, found by what a cookie holds, ended
//! from the person's side or the provider's.
//!
//! A session that was ended, evicted or outlived its limits is gone for every copy of its cookie:
//! nothing about it can be rebuilt from what a browser holds.

pub mod kin;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::id::{SessionId, SessionKey};
use super::index::Index;
use super::live::{Entry, Followed, Live, State, lock};
use super::shared::{Held, SharedSessions};
use super::snapshot::Kept;
use crate::domain::departure::Departure;
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::random::Random;
use crate::domain::session::{Age, Limits, Session};
use crate::domain::time::{Clock, Timestamp};

/// The store refuses longer times to live (by panicking), and nobody needs them.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);
/// Sessions that one person may have at a time: every browser on every device, many times over. With
/// no bound, one person with a script could push everybody else out of the store.
const MOST_OF_ONE_PERSON: usize = 100;

/// The store that replicas share does not answer: nothing is known, and nothing may be let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session store does not answer")]
pub struct StoreAway;

/// The right to refresh one session; given back when dropped.
#[derive(Debug)]
pub struct RefreshLock {
    key: SessionKey,
    held: Arc<Mutex<HashSet<SessionKey>>>,
    everywhere: Option<Held>,
}

impl Drop for RefreshLock {
    fn drop(&mut self) {
        lock(&self.held).remove(&self.key);
    }
}

/// Every live session.
#[derive(Debug)]
pub struct Sessions {
    limits: Limits,
    live: Cache<SessionKey, Arc<Entry>>,
    index: Arc<Index>,
    followed: Followed,
    refreshing: Arc<Mutex<HashSet<SessionKey>>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Where they really are, when replicas share them; then nothing is in `live`.
    shared: Option<Arc<SharedSessions>>,
    /// The other process, while one takes the place of the other.
    kin: ArcSwapOption<kin::Kin>,
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
            .eviction_listener(move |key: Arc<SessionKey>, gone: Arc<Entry>, _| {
                indexed.remove(&key, &gone.session.load());
                gone.has_ended();
            })
            .build();
        Self {
            limits,
            live,
            index,
            followed: Followed::default(),
            refreshing: Arc::default(),
            clock,
            random,
            shared: None,
            kin: ArcSwapOption::empty(),
        }
    }

    /// How long each may live.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Sessions that replicas share.
    #[must_use]
    pub fn shared(self, shared: Arc<SharedSessions>) -> Self {
        Self {
            shared: Some(shared),
            ..self
        }
    }

    /// Begins a session under a new random id. The id is for the cookie and is kept nowhere else. Beyond
    /// 100 sessions of one person, the oldest of them ends.
    ///
    /// # Errors
    /// [`StoreAway`]; nobody is signed in then.
    pub async fn start(&self, session: Session) -> Result<(SessionId, Live), StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.start(session).await;
        }
        self.begin(session, |_| ()).await
    }

    /// Begins a session; what it takes over from another one is there before anybody can find it.
    async fn begin(
        &self,
        session: Session,
        take_over: impl FnOnce(&Entry),
    ) -> Result<(SessionId, Live), StoreAway> {
        let id = SessionId::generate(self.random.as_ref());
        let key = id.key();
        let entry = Entry::new(key, session, self.clock.now(), Arc::clone(&self.followed));
        take_over(&entry);
        let live = entry.live();
        self.live.insert(key, entry);
        let surplus = self.index.insert(key, &live.session, MOST_OF_ONE_PERSON);
        if let Some(oldest) = surplus {
            self.end(&oldest).await?;
        }
        self.forget_unless_kept(&live);
        self.tell_began(&live).await;
        Ok((id, live))
    }

    /// Evicted before it was filed: nobody else would take the index's entry out again.
    fn forget_unless_kept(&self, live: &Live) {
        if !self.live.contains_key(&live.key) {
            self.index.remove(&live.key, &live.session);
        }
    }

    /// Begins a session in place of `old`: at every sign-in the id changes, and what an earlier
    /// holder of the browser (or an attacker who planted a cookie) had stops working.
    ///
    /// # Errors
    /// [`StoreAway`]; nobody is signed in then.
    pub async fn replace(
        &self,
        old: impl IntoIterator<Item = SessionKey> + Send,
        session: Session,
    ) -> Result<(SessionId, Live), StoreAway> {
        let old: Vec<SessionKey> = old.into_iter().collect();
        let started = self.start(session).await?;
        for key in old {
            self.end(&key).await?;
        }
        Ok(started)
    }

    /// Begins a session in place of `old`, which must be alive: at a step-up. What follows the old one
    /// and Headscale's sign-ins on their way go over to the new one. `None` if it is over, ended by a
    /// logout perhaps while the person was at the provider; then nothing begins.
    ///
    /// # Errors
    /// [`StoreAway`]; nothing begins.
    pub async fn renew(
        &self,
        old: &SessionKey,
        session: Session,
    ) -> Result<Option<(SessionId, Live)>, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.renew(old, session).await;
        }
        let Some(before) = self.find_by_key(old).await? else {
            return Ok(None);
        };
        // Of a logout and a renewal at once, whoever takes the old session out goes first. Its followers
        // are kept from being told.
        let kept = before.entry.put_aside();
        if self.end(old).await?.is_none() {
            return Ok(None);
        }
        let begun = self.begin(session, |entry| entry.take_over(kept)).await?;
        Ok(Some(begun))
    }

    /// The session of this cookie, if its limits allow, and counts as its use.
    ///
    /// # Errors
    /// [`StoreAway`]: whether there is one is not known.
    pub async fn find(&self, id: &SessionId) -> Result<Option<Live>, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.find(id).await;
        }
        let now = self.clock.now();
        let Some(live) = self.fresh(&id.key(), now) else {
            return Ok(None);
        };
        live.entry.used(now);
        Ok(Some(live))
    }

    /// The session of this name, if its limits allow. Not a use: what asks here acts for the
    /// session, not from its browser.
    ///
    /// # Errors
    /// [`StoreAway`]: whether there is one is not known.
    pub async fn find_by_key(&self, key: &SessionKey) -> Result<Option<Live>, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.find_by_key(key).await;
        }
        Ok(self.fresh(key, self.clock.now()))
    }

    /// Puts what a re-check found in place of what `live` shows, under the same name and with the same
    /// limits. `None` if the session ended meanwhile: this never brings one back.
    ///
    /// # Errors
    /// [`StoreAway`]: it is as it was.
    pub async fn update(&self, live: &Live, session: Session) -> Result<Option<Live>, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.update(live, session).await;
        }
        let Some(now) = self.fresh(&live.key, self.clock.now()) else {
            return Ok(None);
        };
        let (entry, before) = (now.entry, now.session);
        entry.session.store(Arc::new(session));
        let live = entry.live();
        if before.provider_session != live.session.provider_session {
            self.index.refile(live.key, &before, &live.session);
        }
        self.forget_unless_kept(&live);
        self.tell_updated(&live).await;
        Ok((!live.is_over()).then_some(live))
    }

    /// Ends a session. `None` if there was none; what is returned may have outlived its limits, and
    /// serves as a hint for the provider's logout only.
    ///
    /// # Errors
    /// [`StoreAway`]: other replicas may not have heard of it.
    pub async fn end(&self, key: &SessionKey) -> Result<Option<Arc<Session>>, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.end(key).await;
        }
        let ended = self.live.remove(key);
        if ended.is_some() {
            self.tell_ended(key);
        }
        Ok(ended.map(|entry| entry.session.load_full()))
    }

    /// Ends every session of a person at the provider; returns how many there were.
    ///
    /// # Errors
    /// [`StoreAway`]: some may not have ended.
    pub async fn end_subject(&self, subject: &Subject) -> Result<usize, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.end_subject(subject).await;
        }
        self.end_all(&self.index.of_subject(subject)).await
    }

    /// Ends every session that began from one session at the provider; returns how many there were.
    ///
    /// # Errors
    /// [`StoreAway`]: some may not have ended.
    pub async fn end_provider_session(&self, sid: &ProviderSession) -> Result<usize, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.end_provider_session(sid).await;
        }
        self.end_all(&self.index.of_provider_session(sid)).await
    }

    /// Ends every session that a departure covers; returns how many there were.
    ///
    /// # Errors
    /// [`StoreAway`]: some may not have ended.
    pub async fn end_departed(&self, departure: &Departure) -> Result<usize, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.end_departed(departure).await;
        }
        match departure {
            Departure::Person(subject) => self.end_subject(subject).await,
            Departure::Session(sid) => self.end_provider_session(sid).await,
            Departure::SessionOf(_, subject) => {
                let of_person = self.of_subject(subject).await?;
                let covered = of_person
                    .iter()
                    .filter(|live| departure.covers(&live.session));
                let keys: Vec<SessionKey> = covered.map(|live| live.key).collect();
                self.end_all(&keys).await
            }
        }
    }

    /// Ends every session there is; returns how many there were.
    ///
    /// # Errors
    /// [`StoreAway`]: some may not have ended.
    pub async fn end_every(&self) -> Result<usize, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.end_every().await;
        }
        let keys: Vec<SessionKey> = self.live.iter().map(|(key, _)| *key).collect();
        self.end_all(&keys).await
    }

    /// The sessions of a person, the oldest first.
    ///
    /// # Errors
    /// [`StoreAway`]: they are not known.
    pub async fn of_subject(&self, subject: &Subject) -> Result<Vec<Live>, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.of_subject(subject).await;
        }
        let now = self.clock.now();
        let keys = self.index.of_subject(subject);
        Ok(keys.iter().filter_map(|key| self.fresh(key, now)).collect())
    }

    /// Every session, in no order.
    ///
    /// # Errors
    /// [`StoreAway`]: they are not known.
    pub async fn every(&self) -> Result<Vec<Live>, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.every().await;
        }
        let now = self.clock.now();
        let keys: Vec<SessionKey> = self.live.iter().map(|(key, _)| *key).collect();
        Ok(keys.iter().filter_map(|key| self.fresh(key, now)).collect())
    }

    /// The sessions that something open in this process hangs on, see [`Live::end`].
    pub fn followed(&self) -> Vec<Live> {
        let now = self.clock.now();
        if let Some(shared) = &self.shared {
            return self.let_go_of_old(shared.followed(), now);
        }
        let keys: Vec<SessionKey> = lock(&self.followed).iter().copied().collect();
        let mut followed = Vec::with_capacity(keys.len());
        for key in keys {
            match self.fresh(&key, now) {
                Some(live) if live.entry.is_followed() => followed.push(live),
                Some(live) => {
                    lock(&self.followed).remove(&key);
                    // Whoever came just now may have found its name still there.
                    if live.entry.is_followed() {
                        lock(&self.followed).insert(key);
                        followed.push(live);
                    }
                }
                None => {
                    lock(&self.followed).remove(&key);
                }
            }
        }
        followed
    }

    /// Those within their limits; what is open and hangs on the others ends. That they are over is found
    /// out by whoever looks them up.
    fn let_go_of_old(&self, mut followed: Vec<Live>, now: Timestamp) -> Vec<Live> {
        followed.retain(|live| {
            let age = self
                .limits
                .age(live.session.started_at, live.last_used(), now);
            if age != Age::Fresh {
                live.let_go();
            }
            age == Age::Fresh
        });
        followed
    }

    /// Changes what the session remembers; of several at once, one after the other. `change` may be
    /// called again if somebody else was faster.
    ///
    /// # Errors
    /// [`StoreAway`]: nothing was changed.
    pub async fn with_state<R>(
        &self,
        live: &Live,
        mut change: impl FnMut(&mut State) -> R,
    ) -> Result<R, StoreAway> {
        if let Some(shared) = &self.shared {
            return shared.with_state(live, change).await;
        }
        let changed = change(&mut lock(&live.entry.state));
        self.tell_updated(live).await;
        Ok(changed)
    }

    /// The right to refresh this session at the provider; `None` while another has it.
    ///
    /// # Errors
    /// [`StoreAway`]: whether another has it is not known.
    pub async fn refresh_lock(&self, key: &SessionKey) -> Result<Option<RefreshLock>, StoreAway> {
        if !lock(&self.refreshing).insert(*key) {
            return Ok(None);
        }
        let mut here = RefreshLock {
            key: *key,
            held: Arc::clone(&self.refreshing),
            everywhere: None,
        };
        if let Some(shared) = &self.shared {
            here.everywhere = shared.hold_refresh(key).await?;
            return Ok(here.everywhere.is_some().then_some(here));
        }
        Ok(Some(here))
    }

    /// Ends the sessions that something open in this process hangs on and whose limits are reached,
    /// although nobody asks for them.
    pub async fn hold_followed_to_limits(&self) {
        let now = self.clock.now();
        for live in self.followed() {
            let age = self
                .limits
                .age(live.session.started_at, live.last_used(), now);
            if age != Age::Fresh {
                // Judged by what all replicas know of its use. While the store is away, nobody knows.
                drop(self.find_by_key(&live.key).await);
            }
        }
    }

    /// Puts sessions back that were here before the process was stopped, if their limits allow by now;
    /// returns how many are kept. The least recently used go in first, and out first where there is not
    /// enough room.
    pub fn put_back(&self, mut all: Vec<Kept>) -> usize {
        let now = self.clock.now();
        all.sort_by_key(|kept| kept.last_used);
        let mut count = 0;
        for Kept {
            key,
            last_used,
            session,
        } in all
        {
            if self.limits.age(session.started_at, last_used, now) != Age::Fresh {
                continue;
            }
            let session = Arc::unwrap_or_clone(session);
            let entry = Entry::new(key, session, last_used, Arc::clone(&self.followed));
            let live = entry.live();
            self.live.insert(key, entry);
            if let Some(oldest) = self.index.insert(key, &live.session, MOST_OF_ONE_PERSON) {
                self.live.invalidate(&oldest);
            }
            self.forget_unless_kept(&live);
            count += 1;
        }
        count
    }

    /// How many sessions are kept here. Settles pending evictions first: for metrics, not for requests.
    pub fn len(&self) -> u64 {
        if let Some(shared) = &self.shared {
            return shared.len() as u64;
        }
        self.live.run_pending_tasks();
        self.live.entry_count()
    }

    /// Whether no session is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn fresh(&self, key: &SessionKey, now: Timestamp) -> Option<Live> {
        let live = self.live.get(key)?.live();
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

    async fn end_all(&self, keys: &[SessionKey]) -> Result<usize, StoreAway> {
        let mut ended = 0;
        for key in keys {
            ended += usize::from(self.end(key).await?.is_some());
        }
        Ok(ended)
    }
}

#[cfg(test)]
mod tests;
