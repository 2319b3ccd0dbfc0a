//! Sessions in this process's memory: bounded, limited in time, found by what a cookie holds, ended
//! from the person's side or the provider's.

pub mod kin;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::commons::Commons;
use super::id::{SessionId, SessionKey};
use super::index::Index;
use super::live::{Entry, Followed, Live, State, lock};
use super::snapshot::Kept;
use crate::domain::departure::Departure;
use crate::domain::identity::Subject;
use crate::domain::random::Random;
use crate::domain::session::{Age, Limits, Session};
use crate::domain::time::{Clock, Timestamp};

/// The store refuses longer times to live (by panicking), and nobody needs them.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);
/// Sessions that one person may have at a time: every browser on every device, many times over. With
/// no bound, one person with a script could push everybody else out of the store.
const MOST_OF_ONE_PERSON: usize = 100;

/// Every live session of a process that shares them with no other.
#[derive(Debug)]
pub(super) struct Memory {
    limits: Limits,
    /// By [`SessionKey::number`], which is shorter than the key. That of another session may be the same
    /// by chance, once in the life of the universe: so whoever is found here is compared.
    live: Cache<u64, Arc<Entry>>,
    commons: Box<Commons>,
    index: Arc<Index>,
    followed: Followed,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// The other process, while one takes the place of the other.
    kin: ArcSwapOption<kin::Kin>,
}

impl Memory {
    /// An empty one, see [`super::Sessions::new`].
    ///
    /// `limits` are judged by `clock` on every look-up. The store also applies them by the monotonic
    /// clock: that frees memory, and a wall clock that is set back cannot prolong a session.
    pub(super) fn new(
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
            .eviction_listener(move |_, gone: Arc<Entry>, _| {
                indexed.remove(gone.key(), &gone.session());
                gone.has_ended();
            })
            .build();
        Self {
            limits,
            live,
            commons: Box::default(),
            index,
            followed: Followed::default(),
            clock,
            random,
            kin: ArcSwapOption::empty(),
        }
    }

    /// How long each may live.
    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// See [`super::Sessions::start`].
    pub(super) async fn start(&self, session: Session) -> (SessionId, Live) {
        self.begin(session, |_| ()).await
    }

    /// Begins a session; what it takes over from another one is there before anybody can find it.
    async fn begin(&self, session: Session, take_over: impl FnOnce(&Entry)) -> (SessionId, Live) {
        let id = SessionId::generate(self.random.as_ref());
        let key = id.key();
        let (session, followed) = (self.commons.share(session), Arc::clone(&self.followed));
        let entry = Entry::new(key, session, self.clock.now(), followed);
        take_over(&entry);
        let (live, surplus) = self.keep(entry);
        if let Some(oldest) = surplus {
            self.end_entry(&oldest);
        }
        self.tell_began(&live).await;
        (id, live)
    }

    /// Takes in what begins, or is put back; and which session of the same person has to end then.
    fn keep(&self, entry: Arc<Entry>) -> (Live, Option<Arc<Entry>>) {
        let live = entry.live();
        self.live.insert(live.key.number(), entry);
        let surplus = self
            .index
            .insert(&live.key, &live.session, MOST_OF_ONE_PERSON);
        let oldest = surplus.and_then(|number| self.live.get(&number));
        self.forget_unless_kept(&live);
        (live, oldest)
    }

    /// Evicted before it was filed: nobody else would take the index's entry out again.
    fn forget_unless_kept(&self, live: &Live) {
        if !self.live.contains_key(&live.key.number()) {
            self.index.remove(&live.key, &live.session);
        }
    }

    /// See [`super::Sessions::renew`].
    pub(super) async fn renew(
        &self,
        old: &SessionKey,
        session: Session,
    ) -> Option<(SessionId, Live)> {
        let before = self.find_by_key(old)?;
        // Of a logout and a renewal at once, whoever takes the old session out goes first. Its followers
        // are kept from being told.
        let kept = before.entry.put_aside();
        self.end(old)?;
        let begun = self.begin(session, |entry| entry.take_over(kept)).await;
        Some(begun)
    }

    /// See [`super::Sessions::find`].
    pub(super) fn find(&self, id: &SessionId) -> Option<Live> {
        let now = self.clock.now();
        let live = self.fresh(&id.key(), now)?;
        live.entry.used(now);
        Some(live)
    }

    /// See [`super::Sessions::find_by_key`].
    pub(super) fn find_by_key(&self, key: &SessionKey) -> Option<Live> {
        self.fresh(key, self.clock.now())
    }

    /// See [`super::Sessions::update`].
    pub(super) async fn update(&self, live: &Live, session: Session) -> Option<Live> {
        let now = self.find_by_key(&live.key)?;
        let (entry, before) = (now.entry, now.session);
        entry.update(Arc::new(self.commons.share(session)));
        let live = entry.live();
        if before.provider_session != live.session.provider_session {
            self.index.refile(&live.key, &before, &live.session);
        }
        self.forget_unless_kept(&live);
        self.tell_updated(&live).await;
        (!live.is_over()).then_some(live)
    }

    /// See [`super::Sessions::with_state`].
    pub(super) async fn with_state<R>(
        &self,
        live: &Live,
        change: impl FnMut(&mut State) -> R,
    ) -> R {
        let changed = live.entry.with_state(change);
        self.tell_updated(live).await;
        changed
    }

    /// See [`super::Sessions::end`].
    pub(super) fn end(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.end_entry(self.entry(key)?.as_ref())
    }

    /// `None` if somebody else was faster.
    fn end_entry(&self, entry: &Entry) -> Option<Arc<Session>> {
        let gone = self.live.remove(&entry.key().number())?;
        self.tell_ended(gone.key());
        Some(gone.session())
    }

    /// See [`super::Sessions::end_departed`].
    pub(super) fn end_departed(&self, departure: &Departure) -> usize {
        let numbers = match departure {
            Departure::Person(subject) | Departure::SessionOf(_, subject) => {
                self.index.of_subject(subject)
            }
            Departure::Session(sid) => self.index.of_provider_session(sid),
        };
        let of_person = self.entries(numbers);
        let covered = of_person.filter(|entry| departure.covers(&entry.session()));
        covered
            .filter(|entry| self.end_entry(entry).is_some())
            .count()
    }

    /// See [`super::Sessions::end_every`].
    pub(super) fn end_every(&self) -> usize {
        self.entries(self.numbers())
            .filter(|entry| self.end_entry(entry).is_some())
            .count()
    }

    /// See [`super::Sessions::of_subject`].
    pub(super) fn of_subject(&self, subject: &Subject) -> Vec<Live> {
        let mut found = self.all_fresh(self.index.of_subject(subject));
        found.retain(|live| live.session.identity.subject == *subject);
        found
    }

    /// See [`super::Sessions::every`].
    pub(super) fn every(&self) -> Vec<Live> {
        self.all_fresh(self.numbers())
    }

    /// See [`super::Sessions::followed`].
    pub(super) fn followed(&self) -> Vec<Live> {
        let now = self.clock.now();
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

    /// See [`super::Sessions::put_back`].
    pub(super) fn put_back(&self, mut all: Vec<Kept>) -> usize {
        let now = self.clock.now();
        all.sort_by_key(|kept| kept.last_used);
        let mut count = 0;
        for kept in all {
            let started_at = kept.session.started_at;
            if self.limits.age(started_at, kept.last_used, now) != Age::Fresh {
                continue;
            }
            let session = self.commons.share(Arc::unwrap_or_clone(kept.session));
            let followed = Arc::clone(&self.followed);
            let (_, surplus) = self.keep(Entry::new(kept.key, session, kept.last_used, followed));
            if let Some(oldest) = surplus {
                self.live.invalidate(&oldest.key().number());
            }
            count += 1;
        }
        count
    }

    /// See [`super::Sessions::len`].
    pub(super) fn len(&self) -> u64 {
        self.live.run_pending_tasks();
        self.live.entry_count()
    }

    fn numbers(&self) -> Vec<u64> {
        self.live.iter().map(|(number, _)| *number).collect()
    }

    fn entry(&self, key: &SessionKey) -> Option<Arc<Entry>> {
        let found = self.live.get(&key.number())?;
        (found.key() == key).then_some(found)
    }

    fn entries(&self, numbers: Vec<u64>) -> impl Iterator<Item = Arc<Entry>> {
        numbers
            .into_iter()
            .filter_map(|number| self.live.get(&number))
    }

    fn fresh(&self, key: &SessionKey, now: Timestamp) -> Option<Live> {
        self.within_limits(&self.entry(key)?, now)
    }

    fn within_limits(&self, entry: &Arc<Entry>, now: Timestamp) -> Option<Live> {
        let live = entry.live();
        match self
            .limits
            .age(live.session.started_at, live.last_used(), now)
        {
            Age::Fresh => Some(live),
            Age::Idle | Age::Expired => {
                self.live.invalidate(&live.key.number());
                None
            }
        }
    }

    fn all_fresh(&self, numbers: Vec<u64>) -> Vec<Live> {
        let now = self.clock.now();
        self.entries(numbers)
            .filter_map(|entry| self.within_limits(&entry, now))
            .collect()
    }
}

#[cfg(test)]
mod tests;
