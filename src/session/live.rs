//! A session while it lives: what one request sees of it, and what changes beside it.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::confirmations::Confirmations;
use super::id::SessionKey;
use crate::domain::leg::Legs;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

/// What a session remembers for the next requests of its browser.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Headscale's sign-ins that were forwarded through this session.
    pub legs: Legs,
    /// Confirmation forms shown in this session.
    pub confirmations: Confirmations,
}

impl State {
    /// Whether there is nothing to remember.
    fn is_empty(&self) -> bool {
        self.legs.is_empty() && self.confirmations.is_empty()
    }
}

/// Names of sessions that something open may hang on.
pub(super) type Followed = Arc<Mutex<HashSet<SessionKey>>>;

/// A session that may be used, as one request sees it: a later update makes another one of these.
#[derive(Clone)]
pub struct Live {
    /// Its name on this side.
    pub key: SessionKey,
    /// Who signed in.
    pub session: Arc<Session>,
    pub(super) entry: Arc<Entry>,
}

/// What all views of one session share.
pub(super) struct Entry {
    key: SessionKey,
    session: ArcSwap<Session>,
    /// Most sessions never have one.
    state: Mutex<Option<Box<State>>>,
    /// Seconds since the epoch.
    last_used: AtomicU64,
    followers: Mutex<Followers>,
    followed: Followed,
}

/// Who wants to know what becomes of it.
enum Follower {
    /// When it ends. Told by being dropped.
    End(oneshot::Sender<()>),
    /// The next time that it is another.
    Change(oneshot::Sender<Live>),
}

impl Follower {
    fn is_gone(&self) -> bool {
        match self {
            Self::End(sender) => sender.is_closed(),
            Self::Change(sender) => sender.is_closed(),
        }
    }
}

/// Everybody who does.
enum Followers {
    /// Told while they are here.
    Here(Vec<Follower>),
    /// It has ended.
    Over,
    /// It may go on, but nobody here would hear of its end: whoever asks to is told at once.
    Unwatched,
}

/// What is left of a session that another one takes the place of.
pub(super) struct Kept {
    followers: Vec<Follower>,
    legs: Option<Legs>,
}

impl Live {
    /// When a request last used it.
    pub fn last_used(&self) -> Timestamp {
        self.entry.last_used()
    }

    /// The same session as it is by now.
    #[must_use]
    pub fn latest(&self) -> Self {
        self.entry.live()
    }

    /// Ready when the session has ended, or when nobody here would hear of its end: for what lasts longer
    /// than a request. A follower is not a use.
    pub fn end(&self) -> oneshot::Receiver<()> {
        let (follower, ended) = oneshot::channel();
        self.follow(Follower::End(follower));
        ended
    }

    /// The session as it is after its next update, or after that of the one that takes its place. An error when
    /// there will be none; [`Self::end`] says why. To be asked for before [`Self::latest`].
    pub fn change(&self) -> oneshot::Receiver<Self> {
        let (follower, changed) = oneshot::channel();
        self.follow(Follower::Change(follower));
        changed
    }

    fn follow(&self, follower: Follower) {
        if let Followers::Here(followers) = &mut *self.entry.followers() {
            followers.retain(|other| !other.is_gone());
            followers.push(follower);
            lock(&self.entry.followed).insert(self.key);
        }
    }

    /// Ends what is open and hangs on it, as the session's end would; the session goes on.
    pub fn let_go(&self) {
        if let Followers::Here(followers) = &mut *self.entry.followers() {
            followers.clear();
            lock(&self.entry.followed).remove(&self.key);
        }
    }

    /// Whether it has ended. Limits that nobody looked at since they were reached do not count.
    pub fn is_over(&self) -> bool {
        matches!(*self.entry.followers(), Followers::Over)
    }
}

impl Entry {
    pub(super) fn new(
        key: SessionKey,
        session: Session,
        now: Timestamp,
        followed: Followed,
    ) -> Arc<Self> {
        Arc::new(Self {
            key,
            session: ArcSwap::from_pointee(session),
            state: Mutex::default(),
            last_used: AtomicU64::new(now.unix()),
            followers: Mutex::new(Followers::Here(Vec::new())),
            followed,
        })
    }

    /// The session as it is now.
    pub(super) fn live(self: &Arc<Self>) -> Live {
        Live {
            key: self.key,
            session: self.session.load_full(),
            entry: Arc::clone(self),
        }
    }

    /// What is known of it now.
    pub(super) fn session(&self) -> Arc<Session> {
        self.session.load_full()
    }

    /// It goes on as `session`, and whoever wants to hear of that does; what it was before.
    pub(super) fn update(self: &Arc<Self>, session: Arc<Session>) -> Arc<Session> {
        let before = self.session.swap(session);
        let mut followers = self.followers();
        if let Followers::Here(all) = &mut *followers {
            for follower in all.extract_if(.., |one| matches!(one, Follower::Change(_))) {
                if let Follower::Change(sender) = follower {
                    drop(sender.send(self.live()));
                }
            }
        }
        before
    }

    pub(super) fn key(&self) -> &SessionKey {
        &self.key
    }

    pub(super) fn last_used(&self) -> Timestamp {
        Timestamp::from_unix(self.last_used.load(Ordering::Relaxed))
    }

    pub(super) fn used(&self, now: Timestamp) {
        self.last_used.store(now.unix(), Ordering::Relaxed);
    }

    /// Changes what it remembers, while nobody else can.
    pub(super) fn with_state<R>(&self, mut change: impl FnMut(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(state.get_or_insert_default());
        if state.as_ref().is_some_and(|state| state.is_empty()) {
            *state = None;
        }
        result
    }

    /// Remembers `state`, in place of what it remembered.
    pub(super) fn remember(&self, state: State) {
        *lock(&self.state) = (!state.is_empty()).then(|| Box::new(state));
    }

    /// Tells everybody who follows it.
    pub(super) fn has_ended(&self) {
        *self.followers() = Followers::Over;
        lock(&self.followed).remove(&self.key);
    }

    /// Nobody looks after it any more: who follows it is told, and so is whoever would later.
    pub(super) fn is_unwatched(&self) {
        let mut followers = self.followers();
        if matches!(*followers, Followers::Here(_)) {
            *followers = Followers::Unwatched;
        }
        lock(&self.followed).remove(&self.key);
    }

    /// The same, unless somebody follows it; true when it was done. Nobody can begin to in between.
    pub(super) fn let_out_of_sight(&self) -> bool {
        let mut followers = self.followers();
        if followers.are_there() {
            return false;
        }
        if matches!(*followers, Followers::Here(_)) {
            *followers = Followers::Unwatched;
        }
        lock(&self.followed).remove(&self.key);
        true
    }

    /// Whether somebody who wants to know its end is still there.
    pub(super) fn is_followed(&self) -> bool {
        self.followers().are_there()
    }

    /// Takes out what a session in its place goes on with. Who follows it is not told of its end.
    pub(super) fn put_aside(&self) -> Kept {
        let followers = match std::mem::replace(&mut *self.followers(), Followers::Over) {
            Followers::Here(followers) => followers,
            Followers::Over | Followers::Unwatched => Vec::new(),
        };
        lock(&self.followed).remove(&self.key);
        Kept {
            followers,
            legs: lock(&self.state).take().map(|state| state.legs),
        }
    }

    /// Goes on with what another one left, beside what it has. Who follows what is over already is told.
    pub(super) fn take_over(&self, kept: Kept) {
        if let Followers::Here(followers) = &mut *self.followers() {
            followers.extend(kept.followers);
            lock(&self.followed).insert(self.key);
        }
        let confirmations = Confirmations::default();
        *lock(&self.state) = kept.legs.map(|legs| {
            Box::new(State {
                legs,
                confirmations,
            })
        });
    }

    #[cfg(test)]
    pub(super) fn remembers(&self) -> bool {
        lock(&self.state).is_some()
    }

    #[cfg(test)]
    pub(super) fn followers_kept(&self) -> usize {
        match &*self.followers() {
            Followers::Here(followers) => followers.len(),
            Followers::Over | Followers::Unwatched => 0,
        }
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        lock(&self.followers)
    }
}

impl Followers {
    fn are_there(&self) -> bool {
        match self {
            Self::Here(followers) => followers.iter().any(|follower| !follower.is_gone()),
            Self::Over | Self::Unwatched => false,
        }
    }
}

/// Locked; never held across an await. A poisoned lock is taken as it is: an entry is either recorded
/// or not.
pub(super) fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
