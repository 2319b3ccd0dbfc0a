//! Which of the provider's groups people are in, as it said last: known beyond their sessions, for a policy
//! that has to know it while nobody is signed in. Only the groups that somebody asked to be kept are.
//!
//! In memory, and sealed in a file ([`file`]) while the process is stopped; or in the store that replicas
//! share. What is forgotten while the store is away is forgotten when it answers again.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keyring::{KeyRing, bound};
use super::live::lock;
use super::sessions::StoreAway;
use super::shared::SharedSessions;
use crate::domain::identity::Subject;
use crate::domain::time::Timestamp;

pub use file::StateError;

/// What is sealed here, as the key ring's purpose. What follows names the deployment.
const PURPOSE: &str = "people and their groups";
/// Most people that are known; whoever was not seen for longest goes first.
const MOST: usize = 100_000;
/// Longest name of a group, and most groups of one person, that are kept.
const LONGEST_GROUP: usize = 512;
const MOST_GROUPS: usize = 500;

/// Somebody, and their groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who, at the provider.
    pub subject: Subject,
    /// Those of their groups that are kept.
    pub groups: BTreeSet<String>,
    /// When the provider said so last.
    pub seen: Timestamp,
}

/// The same as bytes.
#[derive(Serialize, Deserialize)]
struct Written {
    sub: String,
    groups: BTreeSet<String>,
    seen: Timestamp,
}

impl Known {
    fn written(&self) -> Written {
        Written {
            sub: self.subject.as_str().to_owned(),
            groups: self.groups.clone(),
            seen: self.seen,
        }
    }

    /// For a store.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.written()).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Written>(bytes)
            .ok()
            .map(Into::into)
    }

    /// Seen no earlier than before: in another session the provider may have vouched for them since.
    fn seen_after(&mut self, before: Option<&Self>) {
        self.seen = before.map_or(self.seen, |before| before.seen.max(self.seen));
    }

    /// Without what nobody has by honest means.
    fn bounded(mut self) -> Self {
        self.groups.retain(|group| group.len() <= LONGEST_GROUP);
        self.groups = self.groups.into_iter().take(MOST_GROUPS).collect();
        self
    }
}

impl From<Written> for Known {
    fn from(written: Written) -> Self {
        Self {
            subject: Subject::new(written.sub),
            groups: written.groups,
            seen: written.seen,
        }
    }
}

/// Everybody who signed in and is in one of the groups.
#[derive(Debug)]
pub struct People {
    place: Place,
    /// Whom the store still has to forget.
    owed: Mutex<BTreeSet<Subject>>,
}

#[derive(Debug)]
enum Place {
    Here(Here),
    Shared(Arc<SharedSessions>),
}

/// Those of one process.
#[derive(Debug)]
struct Here {
    path: PathBuf,
    keys: Arc<KeyRing>,
    purpose: String,
    inner: Mutex<Inner>,
    /// One writer of the file at a time.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    all: BTreeMap<Subject, Known>,
    /// Whether the file was read.
    read: bool,
    /// Who is to be forgotten, should the file know them.
    gone: BTreeSet<Subject>,
    /// Whether the file says something else.
    changed: bool,
    /// Another process keeps the file from now on.
    retired: bool,
}

impl People {
    /// Those that the file at `path` knows, which is sealed with `keys` for the deployment of these texts.
    pub fn at(path: PathBuf, keys: Arc<KeyRing>, deployment: &[&str]) -> Self {
        Self::new(Place::Here(Here {
            path,
            keys,
            purpose: bound(PURPOSE, deployment),
            inner: Mutex::default(),
            writing: Mutex::default(),
        }))
    }

    /// Those of all replicas.
    pub fn shared(shared: Arc<SharedSessions>) -> Self {
        Self::new(Place::Shared(shared))
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            owed: Mutex::default(),
        }
    }

    /// The provider vouched for somebody. Whoever is in no group that is kept is not known. Returns whether
    /// their groups are others than before.
    ///
    /// # Errors
    /// [`StoreAway`]: what was known of them still is.
    pub async fn note(&self, known: Known, life: Duration) -> Result<bool, StoreAway> {
        lock(&self.owed).remove(&known.subject);
        let mut known = known.bounded();
        match &self.place {
            Place::Here(here) => Ok(here.note(known)),
            Place::Shared(shared) => {
                let before = shared.person(&known.subject).await?;
                known.seen_after(before.as_ref());
                let before = before.map(|before| before.groups).unwrap_or_default();
                if known.groups.is_empty() {
                    shared.forget_person(&known.subject).await?;
                } else {
                    shared.keep_person(&known, life).await?;
                }
                Ok(before != known.groups)
            }
        }
    }

    /// The provider does not vouch for somebody any more; unless it did after `since`, in another session.
    /// Returns whether they were known. Where the store is away they are forgotten later.
    pub async fn forget(&self, subject: &Subject, since: Option<Timestamp>) -> bool {
        let vouched = |known: &Known| since.is_some_and(|since| known.seen > since);
        match &self.place {
            Place::Here(here) => here.forget(subject, vouched),
            Place::Shared(shared) => {
                let forgotten = match shared.person(subject).await {
                    Ok(None) => return false,
                    Ok(Some(known)) if vouched(&known) => return false,
                    Ok(Some(_)) => shared.forget_person(subject).await,
                    Err(away) => Err(away),
                };
                if forgotten.is_err() {
                    lock(&self.owed).insert(subject.clone());
                }
                true
            }
        }
    }

    /// Reads the file, if nobody did yet. Not on a thread that serves others.
    ///
    /// # Errors
    /// [`StateError`]: whom it knows is not known.
    pub fn load(&self) -> Result<(), StateError> {
        match &self.place {
            Place::Here(here) => here.load(),
            Place::Shared(_) => Ok(()),
        }
    }

    /// Everybody who was seen since `oldest`; whoever was not is forgotten. After [`People::load`].
    ///
    /// # Errors
    /// [`StateError`]: nobody is known.
    pub async fn all(&self, oldest: Timestamp) -> Result<Vec<Known>, StateError> {
        match &self.place {
            Place::Here(here) => Ok(here.all(oldest)),
            Place::Shared(shared) => {
                let owed: Vec<Subject> = lock(&self.owed).iter().cloned().collect();
                for subject in owed {
                    shared.forget_person(&subject).await?;
                    lock(&self.owed).remove(&subject);
                }
                shared.people(oldest).await
            }
        }
    }

    /// Forgets everybody of this process; the file is read for that. In a store that replicas share, another one
    /// may be told to know somebody. Not on a thread that serves others.
    ///
    /// # Errors
    /// [`StateError`]: the file cannot be used, and is as it was.
    pub fn clear(&self) -> Result<(), StateError> {
        match &self.place {
            Place::Here(here) => here.clear(),
            Place::Shared(_) => Ok(()),
        }
    }

    /// Writes the file, where it says something else. Not on a thread that serves others.
    ///
    /// # Errors
    /// [`StateError`]; the file is as it was.
    pub fn keep(&self) -> Result<(), StateError> {
        match &self.place {
            Place::Here(here) => here.keep(),
            Place::Shared(_) => Ok(()),
        }
    }

    /// Writes the file for the last time: another process goes on with it.
    ///
    /// # Errors
    /// As [`People::keep`].
    pub fn retire(&self) -> Result<(), StateError> {
        let kept = self.keep();
        if let Place::Here(here) = &self.place {
            lock(&here.inner).retired = true;
        }
        kept
    }

    /// Writes the file again: there is no other process after all.
    pub fn go_on(&self) {
        if let Place::Here(here) = &self.place {
            lock(&here.inner).retired = false;
        }
    }
}

impl Here {
    fn note(&self, mut known: Known) -> bool {
        let mut inner = lock(&self.inner);
        inner.gone.remove(&known.subject);
        inner.changed = true;
        if known.groups.is_empty() {
            let unread = !inner.read && inner.gone.insert(known.subject.clone());
            return inner.all.remove(&known.subject).is_some() || unread;
        }
        known.seen_after(inner.all.get(&known.subject));
        let groups = known.groups.clone();
        let before = inner.all.insert(known.subject.clone(), known);
        if inner.all.len() > MOST {
            let oldest = inner.all.values().min_by_key(|known| known.seen);
            if let Some(subject) = oldest.map(|known| known.subject.clone()) {
                inner.all.remove(&subject);
            }
        }
        before.is_none_or(|before| before.groups != groups)
    }

    fn forget(&self, subject: &Subject, vouched: impl Fn(&Known) -> bool) -> bool {
        let mut inner = lock(&self.inner);
        if inner.all.get(subject).is_some_and(vouched) {
            return false;
        }
        let known = inner.all.remove(subject).is_some();
        let unread = !inner.read && inner.gone.insert(subject.clone());
        inner.changed |= known || unread;
        known || unread
    }

    fn load(&self) -> Result<(), StateError> {
        if lock(&self.inner).read {
            return Ok(());
        }
        let found = self.read()?;
        let mut inner = lock(&self.inner);
        for known in found {
            if !inner.gone.contains(&known.subject) {
                inner.all.entry(known.subject.clone()).or_insert(known);
            }
        }
        inner.gone.clear();
        inner.read = true;
        Ok(())
    }

    fn clear(&self) -> Result<(), StateError> {
        self.load()?;
        {
            let mut inner = lock(&self.inner);
            inner.changed |= !inner.all.is_empty();
            inner.all.clear();
        }
        self.keep()
    }

    fn all(&self, oldest: Timestamp) -> Vec<Known> {
        let mut inner = lock(&self.inner);
        let before = inner.all.len();
        inner.all.retain(|_, known| known.seen >= oldest);
        inner.changed |= inner.all.len() != before;
        inner.all.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
