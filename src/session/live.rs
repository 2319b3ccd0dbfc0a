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
    pub(super) session: ArcSwap<Session>,
    pub(super) state: Mutex<State>,
    /// Seconds since the epoch.
    last_used: AtomicU64,
    /// Told when it ends, by being dropped; `None` once it has.
    followers: Mutex<Option<Vec<oneshot::Sender<()>>>>,
    followed: Followed,
}

/// What is left of a session that another one takes the place of.
pub(super) struct Kept {
    followers: Vec<oneshot::Sender<()>>,
    legs: Legs,
}

impl Live {
    /// When a request last used it.
    pub fn last_used(&self) -> Timestamp {
        self.entry.last_used()
    }

    /// Ready when the session has ended: for what lasts longer than a request. A follower is not a use.
    pub fn end(&self) -> oneshot::Receiver<()> {
        let (follower, ended) = oneshot::channel();
        if let Some(followers) = &mut *self.entry.followers() {
            followers.retain(|other| !other.is_closed());
            followers.push(follower);
            lock(&self.entry.followed).insert(self.key);
        }
        ended
    }

    /// Ends what is open and hangs on it, as the session's end would; the session goes on.
    pub fn let_go(&self) {
        if let Some(followers) = &mut *self.entry.followers() {
            followers.clear();
            lock(&self.entry.followed).remove(&self.key);
        }
    }

    /// Whether it has ended. Limits that nobody looked at since they were reached do not count.
    pub fn is_over(&self) -> bool {
        self.entry.followers().is_none()
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
            followers: Mutex::new(Some(Vec::new())),
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

    pub(super) fn last_used(&self) -> Timestamp {
        Timestamp::from_unix(self.last_used.load(Ordering::Relaxed))
    }

    pub(super) fn used(&self, now: Timestamp) {
        self.last_used.store(now.unix(), Ordering::Relaxed);
    }

    /// Tells everybody who follows it.
    pub(super) fn has_ended(&self) {
        *self.followers() = None;
        lock(&self.followed).remove(&self.key);
    }

    /// Whether somebody who wants to know its end is still there.
    pub(super) fn is_followed(&self) -> bool {
        let followers = self.followers();
        let mut followers = followers.iter().flatten();
        followers.any(|follower| !follower.is_closed())
    }

    /// Takes out what a session in its place goes on with. Who follows it is not told of its end.
    pub(super) fn put_aside(&self) -> Kept {
        Kept {
            followers: self.followers().take().unwrap_or_default(),
            legs: std::mem::take(&mut lock(&self.state).legs),
        }
    }

    /// Goes on with what another one left.
    pub(super) fn take_over(&self, kept: Kept) {
        lock(&self.followed).insert(self.key);
        *self.followers() = Some(kept.followers);
        lock(&self.state).legs = kept.legs;
    }

    #[cfg(test)]
    pub(super) fn followers_kept(&self) -> usize {
        self.followers().as_ref().map_or(0, Vec::len)
    }

    fn followers(&self) -> MutexGuard<'_, Option<Vec<oneshot::Sender<()>>>> {
        lock(&self.followers)
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
