//! What this process knows of the sessions in the store: memory in front of it, trusted for a few
//! seconds and only while nothing was missed, and the names of sessions that ended.
//!
//! A name is random and never given again, so a name that ended is dead for good here: no answer that
//! was on its way from the store brings it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::super::id::SessionKey;
use super::super::live::{Entry, Followed, Live, lock};
use super::over::Over;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

/// How long an answer of the store is trusted without asking again.
pub(super) const TRUST: Duration = Duration::from_secs(5);

/// The memory in front of the store. Times are those of a clock that only goes forward.
#[derive(Debug)]
pub(super) struct Front {
    capacity: usize,
    followed: Followed,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    known: HashMap<SessionKey, Known>,
    pub(super) over: Over,
    /// Numbers what happens here: each question to the store, and each thing heard.
    order: u64,
    /// The last time that anything about any session was heard or missed.
    changed: u64,
    /// The last time that the others began or ceased to be heard.
    listened: u64,
    listening: bool,
}

#[derive(Debug)]
struct Known {
    entry: Arc<Entry>,
    /// When the store was last asked.
    confirmed: Duration,
    /// The question whose answer this is, or the write: an older answer is not taken in.
    seen: u64,
    /// When it was last heard that it changed.
    changed: u64,
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
    order: u64,
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
        if inner.over.contains(key) {
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
            order: self.inner().next(),
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
        if inner.over.contains(&key) {
            return None;
        }
        let listened = inner.listened;
        if let Some(known) = inner.known.get_mut(&key) {
            // Of two answers the one that was asked for later counts, in whatever order they arrive. What
            // was heard in between makes it doubtful, and it is newer than what is here all the same.
            if known.seen < asked.order {
                known.entry.update(Arc::new(session));
                known.seen = asked.order;
                known.doubtful = known.changed.max(listened) > asked.order;
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
            inner.make_room(asked.at, self.capacity);
        }
        if inner.known.len() < self.capacity {
            let known = Known {
                entry,
                confirmed: asked.at,
                seen: asked.order,
                changed: inner.changed,
                doubtful: inner.changed.max(listened) > asked.order,
                stamped: None,
            };
            inner.known.insert(key, known);
        } else {
            entry.is_unwatched();
        }
        Some(live)
    }

    /// What is known is the newest there is: it was written a moment ago.
    pub(super) fn update(&self, key: &SessionKey, session: Arc<Session>) -> Option<Live> {
        let mut inner = self.inner();
        let order = inner.next();
        inner.changed = order;
        if inner.over.contains(key) {
            return None;
        }
        let known = inner.known.get_mut(key)?;
        known.entry.update(session);
        known.seen = order;
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

    /// The store was not told of a use after all.
    pub(super) fn is_not_stamped(&self, key: &SessionKey) {
        if let Some(known) = self.inner().known.get_mut(key) {
            known.stamped = None;
        }
    }

    /// The session is over, for good; who follows it hears of it.
    pub(super) fn end(&self, key: &SessionKey, now: Duration) {
        let gone = {
            let mut inner = self.inner();
            inner.over.end(key, now);
            inner.known.remove(key)
        };
        if let Some(known) = gone {
            known.entry.has_ended();
        }
    }

    /// Whether this name is, or was lately, that of a session here. Anybody can make up others.
    pub(super) fn is_real(&self, key: &SessionKey) -> bool {
        let inner = self.inner();
        inner.known.contains_key(key) || inner.over.contains(key)
    }

    /// The store has no such session (any more).
    pub(super) fn is_gone(&self, key: &SessionKey, now: Duration) {
        // A name that nobody here ever knew is not worth a memory.
        if self.is_real(key) {
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
        let order = inner.next();
        inner.changed = order;
        if let Some(known) = inner.known.get_mut(key) {
            known.changed = order;
            known.doubtful = true;
        }
    }

    /// From now on, whatever happens elsewhere is heard of (or not any more). What was known before may
    /// have changed unheard.
    pub(super) fn listen(&self, listening: bool) {
        let mut inner = self.inner();
        inner.listened = inner.next();
        inner.listening = listening;
        for known in inner.known.values_mut() {
            known.doubtful = true;
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        self.inner().listening
    }

    /// The names of what is known, where `is` says so.
    pub(super) fn known_of(&self, is: impl Fn(&Session) -> bool) -> Vec<SessionKey> {
        let inner = self.inner();
        let these = inner
            .known
            .iter()
            .filter(|(_, known)| is(&known.entry.session()));
        these.map(|(key, _)| *key).collect()
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
            now.saturating_sub(known.confirmed) < grace.max(TRUST)
                || !known.entry.let_out_of_sight()
        });
        inner.over.forget(now);
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Lets go of what nobody follows: what the memory is no use for any more, and, where that is not
    /// enough, of any.
    fn make_room(&mut self, now: Duration, capacity: usize) {
        self.known.retain(|_, known| {
            now.saturating_sub(known.confirmed) < TRUST || !known.entry.let_out_of_sight()
        });
        // Some more than one, so that this is not done for each newcomer.
        let enough = capacity - (capacity / 16).max(1);
        let mut surplus = self.known.len().saturating_sub(enough);
        self.known.retain(|_, known| {
            let gone = surplus > 0 && known.entry.let_out_of_sight();
            surplus -= usize::from(gone);
            !gone
        });
    }
}
