//! Authorization codes and access tokens: random names for something kept here, each with an end.
//! Only the names' hashes are kept, so that a look into this memory gives nothing to redeem.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::hash::sha256;
use crate::domain::random::Random;
use crate::domain::time::Timestamp;

type Hash = [u8; 32];

/// Where tickets are kept when several replicas answer: what one gave out, any of them redeems.
/// Implemented where sessions are.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Keeps `value` for `life` under a `name` that nobody can guess.
    async fn put(
        &self,
        kind: &'static str,
        name: &str,
        value: &[u8],
        life: Duration,
    ) -> Result<(), Unavailable>;

    /// What was put there, which stays.
    async fn peek(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable>;

    /// What was put there, for the last time: of any number of callers one gets it.
    async fn take(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable>;
}

/// Whether there is such a ticket is not known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store that the replicas share does not answer")]
pub struct Unavailable;

/// Values under unguessable names. Bounded: the oldest goes first.
pub(crate) struct Tickets<T> {
    kind: &'static str,
    lifetime: Duration,
    capacity: usize,
    shelf: Option<Arc<dyn Shelf>>,
    inner: Mutex<Inner<T>>,
}

impl<T: std::fmt::Debug> std::fmt::Debug for Tickets<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets")
            .field("kind", &self.kind)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Inner<T> {
    kept: HashMap<Hash, (Timestamp, T)>,
    /// In the order of issue, which is also the order of expiry.
    order: VecDeque<(Timestamp, Hash)>,
}

impl<T: Clone + Serialize + DeserializeOwned> Tickets<T> {
    /// Tickets that live for `lifetime`: here, at most `capacity` of them, or on `shelf`.
    pub(crate) fn new(
        kind: &'static str,
        lifetime: Duration,
        capacity: usize,
        shelf: Option<Arc<dyn Shelf>>,
    ) -> Self {
        let inner = Inner {
            kept: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            kind,
            lifetime,
            capacity,
            shelf,
            inner: Mutex::new(inner),
        }
    }

    /// Keeps `value` and names it: 43 characters of `[A-Za-z0-9_-]`.
    pub(crate) async fn issue(
        &self,
        random: &dyn Random,
        now: Timestamp,
        value: T,
    ) -> Result<String, Unavailable> {
        let name = random.token();
        if let Some(shelf) = &self.shelf {
            let text = serde_json::to_vec(&(now, value)).map_err(|_| Unavailable)?;
            shelf.put(self.kind, &name, &text, self.lifetime).await?;
        } else {
            self.keep(&name, now, value);
        }
        Ok(name)
    }

    /// Everything that is kept here, the oldest first: for a process that takes the place of this one.
    pub(crate) fn every(&self) -> Vec<(Hash, Timestamp, T)> {
        let inner = self.lock();
        let all = inner.order.iter();
        all.filter_map(|(issued, hash)| {
            let (_, value) = inner.kept.get(hash)?;
            Some((*hash, *issued, value.clone()))
        })
        .collect()
    }

    /// Keeps what the process before kept.
    pub(crate) fn take_over(&self, all: Vec<(Hash, Timestamp, T)>) {
        for (hash, issued, value) in all {
            self.file(hash, issued, value);
        }
    }

    fn keep(&self, name: &str, now: Timestamp, value: T) {
        self.file(hash(name), now, value);
    }

    fn file(&self, hash: Hash, now: Timestamp, value: T) {
        let mut inner = self.lock();
        inner.drop_old(now, self.lifetime, self.capacity.saturating_sub(1));
        inner.kept.insert(hash, (now, value));
        inner.order.push_back((now, hash));
    }

    /// The value under `name`, which stays redeemable.
    pub(crate) async fn peek(&self, name: &str, now: Timestamp) -> Result<Option<T>, Unavailable> {
        match &self.shelf {
            Some(shelf) => Ok(self.read(shelf.peek(self.kind, name).await?, now)),
            None => Ok(self.peek_here(name, now)),
        }
    }

    fn peek_here(&self, name: &str, now: Timestamp) -> Option<T> {
        let inner = self.lock();
        let (issued, value) = inner.kept.get(&hash(name))?;
        self.lives(*issued, now).then(|| value.clone())
    }

    /// The value under `name`, for the last time: of any number of callers one gets it.
    pub(crate) async fn take(&self, name: &str, now: Timestamp) -> Result<Option<T>, Unavailable> {
        match &self.shelf {
            Some(shelf) => Ok(self.read(shelf.take(self.kind, name).await?, now)),
            None => Ok(self.take_here(name, now)),
        }
    }

    /// What another replica wrote, if it is not over.
    fn read(&self, text: Option<Vec<u8>>, now: Timestamp) -> Option<T> {
        let (issued, value) = serde_json::from_slice(&text?).ok()?;
        self.lives(issued, now).then_some(value)
    }

    fn take_here(&self, name: &str, now: Timestamp) -> Option<T> {
        let (issued, value) = self.lock().kept.remove(&hash(name))?;
        self.lives(issued, now).then_some(value)
    }

    fn lives(&self, issued: Timestamp, now: Timestamp) -> bool {
        now.since(issued) <= self.lifetime
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // No step below leaves the two halves in a state that the others cannot work with.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    /// Forgets what is over, then the oldest, until at most `room` are left.
    fn drop_old(&mut self, now: Timestamp, lifetime: Duration, room: usize) {
        while let Some((issued, hash)) = self.order.front().copied() {
            if now.since(issued) <= lifetime && self.order.len() <= room {
                break;
            }
            self.order.pop_front();
            self.kept.remove(&hash);
        }
    }
}

fn hash(name: &str) -> Hash {
    sha256(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::fixture::{Counting, wait_for};

    const START: Timestamp = Timestamp::from_unix(1_000_000);

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn tickets(capacity: usize) -> Tickets<String> {
        Tickets::new("code", Duration::from_mins(1), capacity, None)
    }

    fn issue(tickets: &Tickets<String>, random: &Counting, now: Timestamp, value: &str) -> String {
        wait_for(tickets.issue(random, now, value.to_owned())).unwrap()
    }

    #[test]
    fn a_ticket_is_taken_once() {
        let (tickets, random) = (tickets(10), Counting::default());
        let name = issue(&tickets, &random, START, "a");
        assert_eq!(tickets.peek_here(&name, START), Some("a".to_owned()));
        assert_eq!(tickets.take_here(&name, START), Some("a".to_owned()));
        assert_eq!(tickets.take_here(&name, START), None);
        assert_eq!(tickets.peek_here(&name, START), None);
    }

    #[test]
    fn a_ticket_lives_for_its_minute_and_not_a_second_longer() {
        let (tickets, random) = (tickets(10), Counting::default());
        let first = issue(&tickets, &random, START, "a");
        let second = issue(&tickets, &random, START, "b");
        assert_eq!(tickets.peek_here(&first, at(60)), Some("a".to_owned()));
        assert_eq!(tickets.peek_here(&first, at(61)), None);
        assert_eq!(tickets.take_here(&second, at(61)), None);
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let (tickets, random) = (tickets(2), Counting::default());
        let names = ["a", "b", "c"].map(|value| issue(&tickets, &random, START, value));
        assert_eq!(tickets.peek_here(&names[0], START), None);
        assert_eq!(tickets.peek_here(&names[1], START), Some("b".to_owned()));
        assert_eq!(tickets.peek_here(&names[2], START), Some("c".to_owned()));
    }

    #[test]
    fn what_is_over_leaves_the_memory() {
        let (tickets, random) = (tickets(100), Counting::default());
        for _ in 0..50 {
            issue(&tickets, &random, START, "a");
        }
        issue(&tickets, &random, at(120), "b");
        assert_eq!(tickets.lock().kept.len(), 1);
        assert_eq!(tickets.lock().order.len(), 1);
    }

    #[test]
    fn of_many_at_once_one_gets_it() {
        let (tickets, random) = (tickets(10), Counting::default());
        let name = issue(&tickets, &random, START, "a");
        let won: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| usize::from(tickets.take_here(&name, START).is_some())))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn the_names_themselves_are_not_kept() {
        let (tickets, random) = (tickets(10), Counting::default());
        let name = issue(&tickets, &random, START, "a");
        assert!(!format!("{tickets:?}").contains(&name));
    }
}
