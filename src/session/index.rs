//! Which sessions belong to a person, or to one session at the provider: what a logout from the
//! provider's side needs (OpenID Connect Back-Channel Logout 1.0 section 2.6).
//!
//! It holds numbers only, never a session. Its lock is never held while the store is called. A number may
//! be stale, and two names may be filed as one by chance, which nobody can help along: so whoever asks
//! compares the sessions that the numbers lead to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::id::SessionKey;
use crate::domain::hash::sha256;
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::session::Session;

/// Session keys by `sub` and by `sid`.
#[derive(Debug, Default)]
pub(super) struct Index(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    by_subject: HashMap<Name, Keys>,
    by_provider_session: HashMap<Name, Keys>,
}

/// The first 64 bits of a SHA-256 of what a person or a session at the provider is called.
type Name = u64;

/// Numbers of sessions' keys, the oldest first. Almost everybody has one; of the tables, which double when
/// they are full, it is what a session costs.
#[derive(Debug)]
enum Keys {
    One(u64),
    More(Box<Several>),
}

#[derive(Debug)]
struct Several(Vec<u64>);

impl Keys {
    fn push(&mut self, key: u64) {
        match self {
            Self::One(first) => *self = Self::More(Box::new(Several(vec![*first, key]))),
            Self::More(keys) => keys.0.push(key),
        }
    }

    fn as_slice(&self) -> &[u64] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::More(keys) => &keys.0,
        }
    }

    /// The oldest, taken out; `None` if it is the only one.
    fn take_oldest(&mut self) -> Option<u64> {
        match self {
            Self::One(_) => None,
            Self::More(keys) => (keys.0.len() > 1).then(|| keys.0.remove(0)),
        }
    }
}

impl Index {
    /// Files `key` under the person and the provider session of `session`. Of more than `most` of one
    /// person, the oldest is taken out and returned: it must end. Of several at once, each gets another.
    pub(super) fn insert(&self, key: &SessionKey, session: &Session, most: usize) -> Option<u64> {
        let key = key.number();
        let mut tables = self.tables();
        if let Some(sid) = &session.provider_session {
            add_to(&mut tables.by_provider_session, sid.as_str(), key);
        }
        let of_person = add_to(
            &mut tables.by_subject,
            session.identity.subject.as_str(),
            key,
        );
        let too_many = of_person.as_slice().len() > most;
        too_many.then(|| of_person.take_oldest()).flatten()
    }

    /// Forgets `key`; what is not there is no error.
    pub(super) fn remove(&self, key: &SessionKey, session: &Session) {
        let key = key.number();
        let mut tables = self.tables();
        let subject = session.identity.subject.as_str();
        drop_from(&mut tables.by_subject, subject, key);
        if let Some(sid) = &session.provider_session {
            drop_from(&mut tables.by_provider_session, sid.as_str(), key);
        }
    }

    /// Files `key` under the provider session of `now` instead of that of `before`; the person is the
    /// same.
    pub(super) fn refile(&self, key: &SessionKey, before: &Session, now: &Session) {
        let key = key.number();
        let mut tables = self.tables();
        if let Some(sid) = &before.provider_session {
            drop_from(&mut tables.by_provider_session, sid.as_str(), key);
        }
        if let Some(sid) = &now.provider_session {
            add_to(&mut tables.by_provider_session, sid.as_str(), key);
        }
    }

    /// Every session of this person, the oldest first.
    pub(super) fn of_subject(&self, subject: &Subject) -> Vec<u64> {
        keys_in(&self.tables().by_subject, subject.as_str())
    }

    /// Every session that began from this session at the provider.
    pub(super) fn of_provider_session(&self, sid: &ProviderSession) -> Vec<u64> {
        keys_in(&self.tables().by_provider_session, sid.as_str())
    }

    /// How many keys each table holds, for the tests that compare it with the store.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        let tables = self.tables();
        let len = |keys: &Keys| keys.as_slice().len();
        (
            tables.by_subject.values().map(len).sum(),
            tables.by_provider_session.values().map(len).sum(),
        )
    }

    /// No code panics while it holds this lock, and no half-done change could harm: going on after a
    /// poisoned lock is right.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(text: &str) -> Name {
    let hash = sha256(text.as_bytes());
    hash.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

fn add_to<'a>(table: &'a mut HashMap<Name, Keys>, at: &str, key: u64) -> &'a mut Keys {
    match table.entry(name(at)) {
        Entry::Vacant(free) => free.insert(Keys::One(key)),
        Entry::Occupied(filed) => {
            let keys = filed.into_mut();
            keys.push(key);
            keys
        }
    }
}

fn keys_in(table: &HashMap<Name, Keys>, at: &str) -> Vec<u64> {
    let keys = table.get(&name(at));
    keys.map(|keys| keys.as_slice().to_vec())
        .unwrap_or_default()
}

fn drop_from(table: &mut HashMap<Name, Keys>, at: &str, key: u64) {
    let Entry::Occupied(mut filed) = table.entry(name(at)) else {
        return;
    };
    let is_empty = match filed.get_mut() {
        Keys::One(only) => *only == key,
        Keys::More(keys) => {
            keys.0.retain(|other| *other != key);
            keys.0.is_empty()
        }
    };
    if is_empty {
        filed.remove();
    }
}
