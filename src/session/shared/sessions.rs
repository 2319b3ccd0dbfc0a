//! Sessions in a store that replicas share, with memory in front.
//!
//! The store decides. What this process answers without asking is at most five seconds old, and only
//! while it hears what the others do; while the store is away, what it confirmed within the grace still
//! counts, and nothing else does.

mod ending;
mod finding;
mod holding;
mod people;
mod starting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::StoreAway;
use super::super::id::SessionKey;
use super::super::keyring::KeyRing;
use super::super::live::{Followed, Live};
use super::SharedStore;
use super::front::Front;
use super::names::Names;
use crate::domain::random::Random;
use crate::domain::session::{Age, Limits, Session};
use crate::domain::time::{Clock, Timestamp};

pub use self::holding::{AgreeError, Held, MOST_LOGGED};

/// How long an ended name stays buried: longer than a sign-in that had begun takes to write its session.
const BURIED: Duration = Duration::from_mins(1);
/// How long a session's state is kept: longer than anything in it counts.
const STATE: Duration = Duration::from_mins(20);

/// What sessions in a shared store need to know.
#[derive(Clone, Copy, Debug)]
pub struct SharedSettings<'a> {
    /// Idle and absolute limits.
    pub limits: Limits,
    /// Sessions kept in the memory in front.
    pub capacity: u64,
    /// How long known sessions go on while the store is away.
    pub grace: Duration,
    /// What every key begins with.
    pub prefix: &'a str,
    /// What names this deployment; nothing that another one wrote is opened.
    pub deployment: &'a [&'a str],
    /// How long one refresh at the provider may take at most.
    pub refresh: Duration,
}

/// A clock that only goes forward; tests bring one that obeys.
pub(super) type Ticks = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Sessions in a shared store.
pub struct SharedSessions {
    store: Arc<dyn SharedStore>,
    names: Names,
    front: Front,
    limits: Limits,
    grace: Duration,
    refresh: Duration,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    ticks: Ticks,
    /// Cleared while nobody knows whether the others have the same keys, or it is known that they do not.
    serves: AtomicBool,
}

impl std::fmt::Debug for SharedSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedSessions").finish_non_exhaustive()
    }
}

impl SharedSessions {
    /// Sessions in `store`, sealed with `keys`. Somebody has to [`SharedSessions::keep_up`].
    pub fn new(
        store: Arc<dyn SharedStore>,
        settings: &SharedSettings<'_>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let start = Instant::now();
        Self {
            store,
            names: Names::new(settings.prefix, settings.deployment, keys),
            front: Front::new(
                usize::try_from(settings.capacity).unwrap_or(usize::MAX),
                Followed::default(),
            ),
            limits: settings.limits,
            grace: settings.grace,
            refresh: settings.refresh,
            clock,
            random,
            ticks: Arc::new(move || start.elapsed()),
            serves: AtomicBool::new(true),
        }
    }

    /// The same with another clock for what is measured and not dated.
    #[cfg(test)]
    pub(super) fn with_ticks(self, ticks: Ticks) -> Self {
        Self { ticks, ..self }
    }

    #[cfg(test)]
    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Whether this replica may serve. One that does not agree with the others must not: to it, the store
    /// counts as away, and nothing known here counts either. What ends here still ends.
    pub fn serve(&self, serves: bool) {
        self.serves.store(serves, Ordering::SeqCst);
    }

    fn may_serve(&self) -> Result<(), StoreAway> {
        if self.serves.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(StoreAway)
        }
    }

    /// How long each may live.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// How many sessions the memory in front holds.
    pub fn len(&self) -> usize {
        self.front.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the other replicas are heard, and agree.
    pub fn is_connected(&self) -> bool {
        self.front.is_listening() && self.may_serve().is_ok()
    }

    /// The sessions within their limits that something open in this process hangs on. What hangs on the
    /// others ends; that they are over is found out by whoever looks them up.
    pub fn followed(&self) -> Vec<Live> {
        let mut followed = self.front.followed();
        followed.retain(|live| {
            let fresh = self.age(live) == Age::Fresh;
            if !fresh {
                live.let_go();
            }
            fresh
        });
        followed
    }

    pub(super) fn sweep(&self) {
        self.front.sweep(self.now(), self.grace);
    }

    pub(super) fn store(&self) -> &dyn SharedStore {
        self.store.as_ref()
    }

    pub(super) fn ticks(&self) -> Duration {
        self.now()
    }

    pub(super) fn front(&self) -> &Front {
        &self.front
    }

    fn now(&self) -> Duration {
        (self.ticks)()
    }

    /// How long a session that was last used at `last_used` may stay in the store.
    fn life(&self, session: &Session, last_used: Timestamp, now: Timestamp) -> Duration {
        let idle = self.limits.idle.saturating_sub(now.since(last_used));
        let left = self
            .limits
            .lifetime
            .saturating_sub(now.since(session.started_at));
        idle.min(left)
    }

    /// The lists that a session stands in.
    fn lists(&self, session: &Session) -> Vec<String> {
        let mut lists = self.names.lists("sub", session.identity.subject.as_str());
        if let Some(sid) = &session.provider_session {
            lists.extend(self.names.lists("sid", sid.as_str()));
        }
        lists.push(self.names.all());
        lists
    }

    /// The sessions of a list, the oldest first, each with its beginning.
    async fn listed(&self, list: &str) -> Result<Vec<(SessionKey, Timestamp)>, StoreAway> {
        const PAGE: u64 = 1000;
        let mut keys = Vec::new();
        loop {
            let page = self.store.filed(list, keys.len() as u64, PAGE).await?;
            let full = page.len() as u64 == PAGE;
            keys.extend(page.iter().filter_map(|(bytes, score)| {
                let key = SessionKey::from_bytes(bytes)?;
                Some((key, Timestamp::from_unix(*score)))
            }));
            if !full {
                return Ok(keys);
            }
        }
    }
}
