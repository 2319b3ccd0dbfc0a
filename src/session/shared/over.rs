//! What is over: names that ended, and what the store does not know of yet.
//!
//! Names that ended are remembered for a while, the oldest forgotten first. What is owed to the store is
//! kept apart from them, until it is paid: nothing that ends later washes it out.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::super::id::SessionKey;
use super::front::Front;
use crate::domain::departure::Departure;

/// How long an ended name is remembered: longer than an answer can be on its way, or than a store that
/// was restored from a copy takes to forget it.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Ended names that are remembered.
pub(super) const MOST_ENDED: usize = 100_000;
/// Names that are owed. Only those of sessions that were known here, or stood in a list.
const MOST_NAMES: usize = 200_000;
/// Departures that are owed, of each kind.
const MOST_DEPARTURES: usize = 50_000;

/// What the store is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Debt {
    /// This session ended.
    One(SessionKey),
    /// Whoever is covered by it left.
    Left(Departure),
    /// Every session ended.
    Every,
}

/// Names that ended here or were heard to have, and debts.
#[derive(Debug, Default)]
pub(super) struct Over {
    ended: HashSet<SessionKey>,
    /// The same names, oldest first.
    in_order: VecDeque<(Duration, SessionKey)>,
    names: HashSet<SessionKey>,
    left: HashSet<Departure>,
    /// Sessions at the provider alone: anybody can name one, so they do not take the others' places.
    sids: HashSet<Departure>,
    every: bool,
    /// Whether the log was told that there is no more room, since everything was paid.
    told: bool,
}

impl Over {
    /// Whether this name is over, for good.
    pub(super) fn contains(&self, key: &SessionKey) -> bool {
        self.ended.contains(key) || self.names.contains(key)
    }

    pub(super) fn end(&mut self, key: &SessionKey, now: Duration) {
        self.forget(now);
        if self.ended.insert(*key) {
            self.in_order.push_back((now, *key));
        }
    }

    /// Forgets what ended long ago.
    pub(super) fn forget(&mut self, now: Duration) {
        while let Some((at, key)) = self.in_order.front().copied() {
            if self.ended.len() <= MOST_ENDED && now.saturating_sub(at) < REMEMBERED {
                break;
            }
            self.in_order.pop_front();
            self.ended.remove(&key);
        }
    }

    pub(super) fn ended(&self) -> Vec<SessionKey> {
        self.in_order.iter().map(|(_, key)| *key).collect()
    }

    /// The store is to be told, when it answers again.
    pub(super) fn owe(&mut self, debt: Debt) {
        let kept = match debt {
            Debt::Every => {
                self.every = true;
                true
            }
            Debt::One(key) => put(&mut self.names, key, MOST_NAMES),
            Debt::Left(sid @ Departure::Session(_)) => put(&mut self.sids, sid, MOST_DEPARTURES),
            Debt::Left(left) => put(&mut self.left, left, MOST_DEPARTURES),
        };
        if !kept && !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                "more sign-outs than can be remembered until the session store answers: some hold at \
                 this replica only, and only for a while"
            );
        }
    }

    pub(super) fn paid(&mut self, debt: &Debt) {
        match debt {
            Debt::Every => self.every = false,
            Debt::One(key) => {
                self.names.remove(key);
            }
            Debt::Left(sid @ Departure::Session(_)) => {
                self.sids.remove(sid);
            }
            Debt::Left(left) => {
                self.left.remove(left);
            }
        }
        self.told &= self.owes();
    }

    pub(super) fn owes(&self) -> bool {
        self.every || !(self.names.is_empty() && self.left.is_empty() && self.sids.is_empty())
    }

    /// Everything that is owed; it stays so until it is [`Over::paid`].
    pub(super) fn debts(&self) -> Vec<Debt> {
        let names = self.names.iter().copied().map(Debt::One);
        let left = self.left.iter().chain(&self.sids);
        let left = left.cloned().map(Debt::Left);
        names
            .chain(left)
            .chain(self.every.then_some(Debt::Every))
            .collect()
    }
}

/// What the memory in front owes.
impl Front {
    /// The store is to be told, when it answers again.
    pub(super) fn owe(&self, debt: Debt) {
        self.inner().over.owe(debt);
    }

    pub(super) fn paid(&self, debt: &Debt) {
        self.inner().over.paid(debt);
    }

    pub(super) fn owes(&self) -> bool {
        self.inner().over.owes()
    }

    /// Everything that is owed.
    pub(super) fn debts(&self) -> Vec<Debt> {
        self.inner().over.debts()
    }

    /// What ended in the last hour, the oldest first.
    pub(super) fn ended(&self) -> Vec<SessionKey> {
        self.inner().over.ended()
    }
}

/// False when there is no room for it.
fn put<T: Eq + std::hash::Hash>(set: &mut HashSet<T>, what: T, most: usize) -> bool {
    set.contains(&what) || (set.len() < most && set.insert(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::{ProviderSession, Subject};

    #[test]
    fn what_is_owed_is_owed_until_it_is_paid_and_made_up_logouts_take_nobodys_room() {
        let mut over = Over::default();
        let key = SessionKey::from_bytes(&[1; SessionKey::LENGTH]).unwrap();
        let person = Debt::Left(Departure::Person(Subject::new("ann")));
        let sid = |name: &str| Debt::Left(Departure::Session(ProviderSession::new(name)));
        assert!(!over.owes());
        for made_up in 0..=MOST_DEPARTURES {
            over.owe(sid(&made_up.to_string()));
        }
        assert!(over.told, "the log was told that there is no room");
        assert_eq!(over.debts().len(), MOST_DEPARTURES);
        let real = [Debt::One(key), person, Debt::Every];
        for debt in &real {
            over.owe(debt.clone());
            over.owe(debt.clone());
        }
        assert!(over.contains(&key));
        assert_eq!(over.debts().len(), MOST_DEPARTURES + real.len());
        for debt in over.debts() {
            assert!(over.owes());
            over.paid(&debt);
        }
        assert!(!over.owes() && !over.told);
        assert!(!over.contains(&key));
        for debt in real {
            over.owe(debt.clone());
            assert_eq!(over.debts(), std::slice::from_ref(&debt));
            over.paid(&debt);
        }
    }

    #[test]
    fn ended_names_are_forgotten_in_their_order_and_after_an_hour() {
        let mut over = Over::default();
        let key = |n: u8| SessionKey::from_bytes(&[n; SessionKey::LENGTH]).unwrap();
        over.end(&key(1), Duration::ZERO);
        over.end(&key(2), Duration::from_secs(1));
        over.end(&key(1), Duration::from_secs(2));
        assert_eq!(over.ended(), [key(1), key(2)]);
        over.forget(REMEMBERED);
        assert_eq!(over.ended(), [key(2)]);
        assert!(!over.contains(&key(1)) && over.contains(&key(2)));
    }
}
