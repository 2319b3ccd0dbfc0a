//! Which sessions belong to a person, or to one session at the provider: what a logout from the
//! provider's side needs (OpenID Connect Back-Channel Logout 1.0 section 2.6).
//!
//! It holds names only, never a session, so a stale entry can end nobody else's session. Its lock is
//! never held while the store is called.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::id::SessionKey;
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::session::Session;

/// Session keys by `sub` and by `sid`.
#[derive(Debug, Default)]
pub(super) struct Index(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    by_subject: Keys<Subject>,
    by_provider_session: Keys<ProviderSession>,
}

/// Keys of sessions, the oldest first; few, so that a list does.
type Keys<K> = HashMap<K, Vec<SessionKey>>;

impl Index {
    /// Files `key` under the person and the provider session of `session`. Of more than `most` of one
    /// person, the oldest is taken out and returned: it must end. Of several at once, each gets another.
    pub(super) fn insert(
        &self,
        key: SessionKey,
        session: &Session,
        most: usize,
    ) -> Option<SessionKey> {
        let mut tables = self.tables();
        if let Some(sid) = &session.provider_session {
            let of_sid = tables.by_provider_session.entry(sid.clone()).or_default();
            of_sid.push(key);
        }
        let subject = session.identity.subject.clone();
        let of_person = tables.by_subject.entry(subject).or_default();
        of_person.push(key);
        (of_person.len() > most).then(|| of_person.remove(0))
    }

    /// Forgets `key`; what is not there is no error.
    pub(super) fn remove(&self, key: &SessionKey, session: &Session) {
        let mut tables = self.tables();
        drop_from(&mut tables.by_subject, &session.identity.subject, key);
        if let Some(sid) = &session.provider_session {
            drop_from(&mut tables.by_provider_session, sid, key);
        }
    }

    /// Files `key` under the provider session of `now` instead of that of `before`; the person is the
    /// same.
    pub(super) fn refile(&self, key: SessionKey, before: &Session, now: &Session) {
        let mut tables = self.tables();
        if let Some(sid) = &before.provider_session {
            drop_from(&mut tables.by_provider_session, sid, &key);
        }
        if let Some(sid) = &now.provider_session {
            let of_sid = tables.by_provider_session.entry(sid.clone()).or_default();
            of_sid.push(key);
        }
    }

    /// Every session of this person.
    pub(super) fn of_subject(&self, subject: &Subject) -> Vec<SessionKey> {
        self.tables()
            .by_subject
            .get(subject)
            .cloned()
            .unwrap_or_default()
    }

    /// Every session that began from this session at the provider.
    pub(super) fn of_provider_session(&self, sid: &ProviderSession) -> Vec<SessionKey> {
        self.tables()
            .by_provider_session
            .get(sid)
            .cloned()
            .unwrap_or_default()
    }

    /// How many keys each table holds, for the tests that compare it with the store.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        let tables = self.tables();
        (
            tables.by_subject.values().map(Vec::len).sum(),
            tables.by_provider_session.values().map(Vec::len).sum(),
        )
    }

    /// No code panics while it holds this lock, and no half-done change could harm: going on after a
    /// poisoned lock is right.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_from<K: Eq + Hash>(table: &mut Keys<K>, at: &K, key: &SessionKey) {
    if let Some(keys) = table.get_mut(at) {
        keys.retain(|other| other != key);
        if keys.is_empty() {
            table.remove(at);
        }
    }
}
