//! Every live session, wherever it is: in this process's memory, or in a store that replicas share.
//! Here is what a caller may ask; how it is done is said by [`Memory`] and [`SharedSessions`].
//!
//! A session that was ended, evicted or outlived its limits is gone for every copy of its cookie:
//! nothing about it can be rebuilt from what a browser holds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::id::{SessionId, SessionKey};
use super::live::{Live, State, lock};
use super::memory::Memory;
use super::shared::{Held, SharedSessions};
use super::snapshot::Kept;
use crate::domain::departure::Departure;
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::random::Random;
use crate::domain::session::{Limits, Session};
use crate::domain::time::Clock;

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
    place: Place,
    refreshing: Arc<Mutex<HashSet<SessionKey>>>,
}

/// Where sessions are.
#[derive(Debug)]
enum Place {
    Memory(Memory),
    Shared(Arc<SharedSessions>),
}

impl Sessions {
    /// None yet, in this process's memory: at most `capacity` (at least one); beyond that the least
    /// recently used one is signed out.
    pub fn new(
        limits: Limits,
        capacity: u64,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let memory = Memory::new(limits, capacity, clock, random);
        Self::at(Place::Memory(memory))
    }

    /// Those that replicas share.
    pub fn shared(shared: Arc<SharedSessions>) -> Self {
        Self::at(Place::Shared(shared))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            refreshing: Arc::default(),
        }
    }

    /// How long each may live.
    pub fn limits(&self) -> Limits {
        match &self.place {
            Place::Memory(memory) => memory.limits(),
            Place::Shared(shared) => shared.limits(),
        }
    }

    /// Begins a session under a new random id. The id is for the cookie and is kept nowhere else. Beyond
    /// 100 sessions of one person, the oldest of them ends.
    ///
    /// # Errors
    /// [`StoreAway`]; nobody is signed in then.
    pub async fn start(&self, session: Session) -> Result<(SessionId, Live), StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.start(session).await),
            Place::Shared(shared) => shared.start(session).await,
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
        match &self.place {
            Place::Memory(memory) => Ok(memory.renew(old, session).await),
            Place::Shared(shared) => shared.renew(old, session).await,
        }
    }

    /// The session of this cookie, if its limits allow, and counts as its use.
    ///
    /// # Errors
    /// [`StoreAway`]: whether there is one is not known.
    pub async fn find(&self, id: &SessionId) -> Result<Option<Live>, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.find(id)),
            // Boxed: a request whose session is at hand does not carry the room for a question.
            Place::Shared(shared) => Box::pin(shared.find(id)).await,
        }
    }

    /// The session of this name, if its limits allow. Not a use: what asks here acts for the
    /// session, not from its browser.
    ///
    /// # Errors
    /// [`StoreAway`]: whether there is one is not known.
    pub async fn find_by_key(&self, key: &SessionKey) -> Result<Option<Live>, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.find_by_key(key)),
            Place::Shared(shared) => shared.find_by_key(key).await,
        }
    }

    /// Puts what a re-check found in place of what `live` shows, under the same name and with the same
    /// limits. `None` if the session ended meanwhile: this never brings one back.
    ///
    /// # Errors
    /// [`StoreAway`]: it is as it was.
    pub async fn update(&self, live: &Live, session: Session) -> Result<Option<Live>, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.update(live, session).await),
            Place::Shared(shared) => shared.update(live, session).await,
        }
    }

    /// Ends a session. `None` if there was none; what is returned may have outlived its limits, and
    /// serves as a hint for the provider's logout only.
    ///
    /// # Errors
    /// [`StoreAway`]: other replicas may not have heard of it.
    pub async fn end(&self, key: &SessionKey) -> Result<Option<Arc<Session>>, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.end(key)),
            Place::Shared(shared) => shared.end(key).await,
        }
    }

    /// Ends every session of a person at the provider; returns how many there were.
    ///
    /// # Errors
    /// [`StoreAway`]: some may not have ended.
    pub async fn end_subject(&self, subject: &Subject) -> Result<usize, StoreAway> {
        self.end_departed(&Departure::Person(subject.clone())).await
    }

    /// Ends every session that began from one session at the provider; returns how many there were.
    ///
    /// # Errors
    /// [`StoreAway`]: some may not have ended.
    pub async fn end_provider_session(&self, sid: &ProviderSession) -> Result<usize, StoreAway> {
        self.end_departed(&Departure::Session(sid.clone())).await
    }

    /// Ends every session that a departure covers; returns how many there were.
    ///
    /// # Errors
    /// [`StoreAway`]: some may not have ended.
    pub async fn end_departed(&self, departure: &Departure) -> Result<usize, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.end_departed(departure)),
            Place::Shared(shared) => shared.end_departed(departure).await,
        }
    }

    /// Ends every session there is; returns how many there were.
    ///
    /// # Errors
    /// [`StoreAway`]: some may not have ended.
    pub async fn end_every(&self) -> Result<usize, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.end_every()),
            Place::Shared(shared) => shared.end_every().await,
        }
    }

    /// The sessions of a person, the oldest first.
    ///
    /// # Errors
    /// [`StoreAway`]: they are not known.
    pub async fn of_subject(&self, subject: &Subject) -> Result<Vec<Live>, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.of_subject(subject)),
            Place::Shared(shared) => shared.of_subject(subject).await,
        }
    }

    /// Every session, in no order.
    ///
    /// # Errors
    /// [`StoreAway`]: they are not known.
    pub async fn every(&self) -> Result<Vec<Live>, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.every()),
            Place::Shared(shared) => shared.every().await,
        }
    }

    /// The sessions within their limits that something open in this process hangs on, see [`Live::end`].
    /// What hangs on the others ends.
    pub fn followed(&self) -> Vec<Live> {
        match &self.place {
            Place::Memory(memory) => memory.followed(),
            Place::Shared(shared) => shared.followed(),
        }
    }

    /// Ends what is open in this process and hangs on sessions whose limits are reached, although nobody
    /// asks for them.
    pub fn hold_followed_to_limits(&self) {
        drop(self.followed());
    }

    /// Changes what the session remembers; of several at once, one after the other. `change` may be
    /// called again if somebody else was faster.
    ///
    /// # Errors
    /// [`StoreAway`]: nothing was changed.
    pub async fn with_state<R>(
        &self,
        live: &Live,
        change: impl FnMut(&mut State) -> R,
    ) -> Result<R, StoreAway> {
        match &self.place {
            Place::Memory(memory) => Ok(memory.with_state(live, change).await),
            Place::Shared(shared) => shared.with_state(live, change).await,
        }
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
        if let Place::Shared(shared) = &self.place {
            here.everywhere = shared.hold_refresh(key).await?;
            return Ok(here.everywhere.is_some().then_some(here));
        }
        Ok(Some(here))
    }

    /// Puts sessions back that were here before the process was stopped, if their limits allow by now;
    /// returns how many are kept. The least recently used go in first, and out first where there is not
    /// enough room. What replicas share needs no putting back.
    pub fn put_back(&self, all: Vec<Kept>) -> usize {
        match &self.place {
            Place::Memory(memory) => memory.put_back(all),
            Place::Shared(_) => 0,
        }
    }

    /// How many sessions are kept here. Settles pending evictions first: for metrics, not for requests.
    pub fn len(&self) -> u64 {
        match &self.place {
            Place::Memory(memory) => memory.len(),
            Place::Shared(shared) => shared.len() as u64,
        }
    }

    /// Whether no session is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where they are, unless replicas share them.
    pub(super) const fn memory(&self) -> Option<&Memory> {
        match &self.place {
            Place::Memory(memory) => Some(memory),
            Place::Shared(_) => None,
        }
    }
}
