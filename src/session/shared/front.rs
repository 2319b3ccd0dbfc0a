//! What this process knows of the sessions in the store: memory in front of it, trusted for a few
//! seconds and only while nothing was missed, and the names of sessions that ended.
//!
//! A name is random and never given again, so a name that ended is dead for good here: no answer that
//! was on its way from the store brings it back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::super::id::SessionKey;
use super::super::live::{Entry, Followed, Live, lock};
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

/// How long an answer of the store is trusted without asking again.
pub(super) const TRUST: Duration = Duration::from_secs(5);
/// How long an ended name is remembered: longer than an answer can be on its way, or than a store that
/// was restored from a copy takes to forget it.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Ended names that are remembered.
const MOST_ENDED: usize = 100_000;

/// The memory in front of the store. Times are those of a clock that only goes forward.
#[derive(Debug)]
pub(super) struct Front {
    capacity: usize,
    followed: Followed,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<SessionKey, Known>,
    ended: HashSet<SessionKey>,
    /// The same names, oldest first.
    ended_in_order: VecDeque<(Duration, SessionKey)>,
    /// Goes up with everything that makes an answer on its way doubtful.
    epoch: u64,
    listening: bool,
    /// Names that ended here, and that the store was not told about.
    owed: HashSet<SessionKey>,
    /// Lists whose sessions are to end, likewise.
    owed_lists: HashSet<String>,
}

#[derive(Debug)]
struct Known {
    entry: Arc<Entry>,
    /// When the store was last asked.
    confirmed: Duration,
    /// Whether something was heard since, or may have been missed.
    doubtful: bool,
    /// When this process last told the store of a use.
    stamped: Option<Duration>,
}

/// What is known about a name.
#[derive(Debug)]
pub(super) enum Look {
    /// It ended.
    Ended,
    /// A session, as sure as can be.
    Trusted(Live),
    /// A session that the store confirmed so long ago.
    Known(Live, Duration),
    /// Nothing.
    Unknown,
}

/// The moment before the store is asked; its answer is measured by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    epoch: u64,
    at: Duration,
}

impl Front {
    pub(super) fn new(capacity: usize, followed: Followed) -> Self {
        Self {
            capacity: capacity.max(1),
            followed,
            inner: Mutex::default(),
        }
    }

    pub(super) fn look(&self, key: &SessionKey, now: Duration) -> Look {
        let inner = self.inner();
        if inner.ended.contains(key) {
            return Look::Ended;
        }
        let Some(known) = inner.known.get(key) else {
            return Look::Unknown;
        };
        let (live, age) = (known.entry.live(), now.saturating_sub(known.confirmed));
        if inner.listening && !known.doubtful && age < TRUST {
            Look::Trusted(live)
        } else {
            Look::Known(live, age)
        }
    }

    /// To be called before the store is asked.
    pub(super) fn asking(&self, now: Duration) -> Asked {
        Asked {
            epoch: self.inner().epoch,
            at: now,
        }
    }

    /// Takes in what the store answered. `None` if the session ended while the answer was on its way.
    pub(super) fn confirm(
        &self,
        key: SessionKey,
        session: Session,
        last_used: Timestamp,
        asked: Asked,
    ) -> Option<Live> {
        let mut inner = self.inner();
        if inner.ended.contains(&key) {
            return None;
        }
        let doubtful = inner.epoch != asked.epoch;
        if let Some(known) = inner.known.get_mut(&key) {
            // What is here may be newer than an answer that something overtook.
            if !doubtful {
                known.entry.session.store(Arc::new(session));
                known.doubtful = false;
                known.confirmed = known.confirmed.max(asked.at);
            }
            if last_used > known.entry.last_used() {
                known.entry.used(last_used);
            }
            return Some(known.entry.live());
        }
        let entry = Entry::new(key, session, last_used, Arc::clone(&self.followed));
        let live = entry.live();
        if inner.known.len() >= self.capacity {
            inner.make_room(asked.at);
        }
        if inner.known.len() < self.capacity {
            let known = Known {
                entry,
                confirmed: asked.at,
                doubtful,
                stamped: None,
            };
            inner.known.insert(key, known);
        }
        Some(live)
    }

    /// What is known is the newest there is: it was written a moment ago.
    pub(super) fn update(&self, key: &SessionKey, session: Arc<Session>) -> Option<Live> {
        let mut inner = self.inner();
        inner.epoch += 1;
        if inner.ended.contains(key) {
            return None;
        }
        let known = inner.known.get_mut(key)?;
        known.entry.session.store(session);
        Some(known.entry.live())
    }

    /// Whether the store has to be told of a use, at most once in `interval`; then it is told.
    pub(super) fn is_stamp_due(&self, key: &SessionKey, now: Duration, interval: Duration) -> bool {
        let mut inner = self.inner();
        let Some(known) = inner.known.get_mut(key) else {
            return true;
        };
        let due = known
            .stamped
            .is_none_or(|at| now.saturating_sub(at) >= interval);
        if due {
            known.stamped = Some(now);
        }
        due
    }

    /// The session is over, for good; who follows it hears of it.
    pub(super) fn end(&self, key: &SessionKey, now: Duration) {
        let gone = self.inner().end(key, now);
        if let Some(known) = gone {
            known.entry.has_ended();
        }
    }

    /// The store has no such session (any more).
    pub(super) fn is_gone(&self, key: &SessionKey, now: Duration) {
        // A name that nobody here ever knew is not worth a memory: anybody can make up names.
        if self.inner().known.contains_key(key) {
            self.end(key, now);
        }
    }

    /// Nothing is known about it any more; who follows it is told that it is over.
    pub(super) fn forget(&self, key: &SessionKey) {
        let gone = self.inner().known.remove(key);
        if let Some(known) = gone {
            known.entry.has_ended();
        }
    }

    /// Another replica changed it.
    pub(super) fn doubt(&self, key: &SessionKey) {
        let mut inner = self.inner();
        inner.epoch += 1;
        if let Some(known) = inner.known.get_mut(key) {
            known.doubtful = true;
        }
    }

    /// From now on, whatever happens elsewhere is heard of (or not any more). What was known before may
    /// have changed unheard.
    pub(super) fn listen(&self, listening: bool) {
        let mut inner = self.inner();
        inner.epoch += 1;
        inner.listening = listening;
        for known in inner.known.values_mut() {
            known.doubtful = true;
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.inner().listening
    }

    /// Everything that is known.
    pub(super) fn known(&self) -> Vec<Live> {
        let inner = self.inner();
        inner
            .known
            .values()
            .map(|known| known.entry.live())
            .collect()
    }

    /// What somebody in this process follows.
    pub(super) fn followed(&self) -> Vec<Live> {
        let inner = self.inner();
        let followed = inner
            .known
            .values()
            .filter(|known| known.entry.is_followed());
        followed.map(|known| known.entry.live()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.inner().known.len()
    }

    /// Forgets what the store did not confirm for `grace`, and what ended long ago.
    pub(super) fn sweep(&self, now: Duration, grace: Duration) {
        let mut inner = self.inner();
        inner.known.retain(|_, known| {
            now.saturating_sub(known.confirmed) < grace.max(TRUST) || known.entry.is_followed()
        });
        inner.forget_ended(now);
    }

    /// The store is to be told that this ended, when it answers again.
    pub(super) fn owe(&self, key: SessionKey) {
        let mut inner = self.inner();
        if inner.owed.len() < MOST_ENDED {
            inner.owed.insert(key);
        }
    }

    /// The store is to be asked for the sessions of this list, and to be told that they ended.
    pub(super) fn owe_list(&self, list: String) {
        let mut inner = self.inner();
        if inner.owed_lists.len() < MOST_ENDED {
            inner.owed_lists.insert(list);
        }
    }

    /// Takes out everything that is owed. What ended here in the last hour is in it too: a store that
    /// was replaced by its copy may not know.
    pub(super) fn take_owed(&self) -> (Vec<SessionKey>, Vec<String>) {
        let mut inner = self.inner();
        let mut owed: HashSet<SessionKey> = std::mem::take(&mut inner.owed);
        owed.extend(inner.ended.iter().copied());
        let lists = std::mem::take(&mut inner.owed_lists);
        (owed.into_iter().collect(), lists.into_iter().collect())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn end(&mut self, key: &SessionKey, now: Duration) -> Option<Known> {
        self.forget_ended(now);
        if self.ended.insert(*key) {
            self.ended_in_order.push_back((now, *key));
        }
        self.known.remove(key)
    }

    fn forget_ended(&mut self, now: Duration) {
        while let Some((at, key)) = self.ended_in_order.front().copied() {
            if self.ended.len() <= MOST_ENDED && now.saturating_sub(at) < REMEMBERED {
                break;
            }
            self.ended_in_order.pop_front();
            self.ended.remove(&key);
        }
    }

    fn make_room(&mut self, now: Duration) {
        self.known.retain(|_, known| {
            now.saturating_sub(known.confirmed) < TRUST || known.entry.is_followed()
        });
    }
}
