//! Sessions in two processes, while one takes the place of the other: what changes in one of them, the other
//! hears. So a session that begins in the old one is known in the new one before its browser is, and what is
//! open in the old one ends with a session that the new one ends.
//!
//! Of a session that one side has ended, nothing that the other says brings it back: only what has just begun,
//! and what is told before the new process serves, makes one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::snapshot::Kept;
use super::{Live, Memory, SessionKey, State};
use crate::session::Sessions;

/// How long the beginning of a session waits for the other process to know of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// The length of a state's text.
const LENGTH: usize = 4;

/// What the other process is to be told of one session.
#[derive(Debug)]
pub enum Change {
    /// It began: as bytes, which hold its tokens.
    Began(Vec<u8>),
    /// It is another than it was.
    Updated(Vec<u8>),
    /// It ended.
    Ended(SessionKey),
    /// Of no session: a third process serves in the place of the one that tells.
    Replaced,
}

/// A change, and whom to tell that the other process has heard of it.
#[derive(Debug)]
pub struct News {
    /// What changed.
    pub change: Change,
    /// Waits for that.
    pub heard: Option<oneshot::Sender<()>>,
}

/// The other process writes sessions down in another way: it is of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session of the other process cannot be read here: it is of another version")]
pub struct Unreadable;

/// Takes news to the other process.
pub type Kin = mpsc::UnboundedSender<News>;

/// Nothing happens here where replicas share their sessions: the other process finds them where this one does.
impl Sessions {
    /// From now on another process hears of every change.
    pub fn tell(&self, kin: Kin) {
        if let Some(memory) = self.memory() {
            memory.kin.store(Some(Arc::new(kin)));
        }
    }

    /// The other process that `kin` leads to is there no more. A later one goes on hearing.
    pub fn tell_no_more(&self, kin: &Kin) {
        if let Some(memory) = self.memory() {
            memory.kin.rcu(|told| {
                let other = |told: &&Arc<Kin>| !told.same_channel(kin);
                told.as_ref().filter(other).cloned()
            });
        }
    }

    /// There is no other process any more.
    pub fn tell_nobody(&self) {
        if let Some(memory) = self.memory() {
            memory.kin.store(None);
        }
    }

    /// The names of all sessions that are kept here, and not in a store that replicas share.
    pub fn names(&self) -> Vec<SessionKey> {
        self.memory().map(Memory::names).unwrap_or_default()
    }

    /// The session of this name as bytes for another process, if it may still be used. They hold its tokens.
    pub fn to_bytes(&self, key: &SessionKey) -> Option<Vec<u8>> {
        to_bytes(&self.memory()?.find_by_key(key)?)
    }

    /// Takes over a session that the other process has begun, or had when it was asked for all of them.
    /// False if it is over here, by its limits.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn hear_of_new(&self, bytes: &[u8]) -> Result<bool, Unreadable> {
        let (kept, state) = from_bytes(bytes).ok_or(Unreadable)?;
        let memory = self.memory();
        Ok(memory.is_some_and(|memory| memory.hear_of_new(kept, state)))
    }

    /// Takes over what the other process knows of a session that is known here. False if it is not.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn hear_of_update(&self, bytes: &[u8]) -> Result<bool, Unreadable> {
        let (kept, state) = from_bytes(bytes).ok_or(Unreadable)?;
        let memory = self.memory();
        Ok(memory.is_some_and(|memory| memory.hear_of_update(kept, state)))
    }

    /// Ends a session that the other process has ended.
    pub fn hear_of_end(&self, key: &SessionKey) {
        if let Some(memory) = self.memory()
            && memory.entry(key).is_some()
        {
            memory.live.remove(&key.number());
        }
    }
}

impl Memory {
    fn names(&self) -> Vec<SessionKey> {
        let all = self.entries(self.numbers());
        all.map(|entry| *entry.key()).collect()
    }

    fn hear_of_new(&self, kept: Kept, state: State) -> bool {
        let key = kept.key;
        if self.entry(&key).is_some() {
            return self.hear_of_update(kept, state);
        }
        let taken = self.put_back(vec![kept]) == 1;
        if let Some(entry) = self.entry(&key) {
            entry.remember(state);
        }
        taken
    }

    fn hear_of_update(&self, kept: Kept, state: State) -> bool {
        let Some(entry) = self.entry(&kept.key) else {
            return false;
        };
        entry.remember(state);
        let before = entry.live().session;
        if before.checked_at > kept.session.checked_at {
            // It was told before the other one heard of what is here: these tokens and groups are the newer.
            return true;
        }
        let session = self.commons.share(Arc::unwrap_or_clone(kept.session));
        entry.update(Arc::new(session));
        let live = entry.live();
        if before.provider_session != live.session.provider_session {
            self.index.refile(&kept.key, &before, &live.session);
        }
        self.forget_unless_kept(&live);
        true
    }

    pub(super) async fn tell_began(&self, live: &Live) {
        self.tell_bytes(live, Change::Began).await;
    }

    pub(super) async fn tell_updated(&self, live: &Live) {
        self.tell_bytes(live, Change::Updated).await;
    }

    async fn tell_bytes(&self, live: &Live, change: fn(Vec<u8>) -> Change) {
        let Some(kin) = self.kin.load_full() else {
            return;
        };
        // As it is now, and not as this request saw it.
        let Some(bytes) = to_bytes(&live.entry.live()) else {
            return;
        };
        let (heard, waiting) = oneshot::channel();
        let news = News {
            change: change(bytes),
            heard: Some(heard),
        };
        // An error is an end of the other process; then there is nobody to wait for.
        if kin.send(news).is_err() {
            return;
        }
        // Who ended it meanwhile may have said so first, and that was no news to the other one.
        if live.is_over() {
            self.tell_ended(&live.key);
        }
        drop(tokio::time::timeout(PATIENCE, waiting).await);
    }

    pub(super) fn tell_ended(&self, key: &SessionKey) {
        if let Some(kin) = self.kin.load_full() {
            drop(kin.send(News {
                change: Change::Ended(*key),
                heard: None,
            }));
        }
    }
}

/// The state's length and text, and then the session.
fn to_bytes(live: &Live) -> Option<Vec<u8>> {
    let state = live
        .entry
        .with_state(|state| serde_json::to_vec(state))
        .ok()?;
    let mut bytes = u32::try_from(state.len()).ok()?.to_be_bytes().to_vec();
    bytes.extend(state);
    bytes.extend(Kept::from(live).to_bytes());
    Some(bytes)
}

fn from_bytes(bytes: &[u8]) -> Option<(Kept, State)> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (state, kept) = rest.split_at_checked(length)?;
    Some((
        Kept::from_bytes(kept)?,
        serde_json::from_slice::<State>(state).ok()?,
    ))
}

#[cfg(test)]
mod tests;
