//! Authorization codes and access tokens: random names for something kept here, each with an end.
//! Only the names' hashes are kept, so that a look into this memory gives nothing to redeem.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest;

use crate::domain::random::Random;
use crate::domain::time::Timestamp;

type Hash = [u8; 32];

/// Values under unguessable names. Bounded: the oldest goes first.
#[derive(Debug)]
pub(crate) struct Tickets<T> {
    lifetime: Duration,
    capacity: usize,
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    kept: HashMap<Hash, (Timestamp, T)>,
    /// In the order of issue, which is also the order of expiry.
    order: VecDeque<(Timestamp, Hash)>,
}

impl<T: Clone> Tickets<T> {
    /// Tickets that live for `lifetime`, at most `capacity` of them.
    pub(crate) fn new(lifetime: Duration, capacity: usize) -> Self {
        let inner = Inner {
            kept: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            lifetime,
            capacity,
            inner: Mutex::new(inner),
        }
    }

    /// Keeps `value` and names it: 43 characters of `[A-Za-z0-9_-]`.
    pub(crate) fn issue(&self, random: &dyn Random, now: Timestamp, value: T) -> String {
        let name = random.token();
        let hash = hash(&name);
        let mut inner = self.lock();
        inner.drop_old(now, self.lifetime, self.capacity.saturating_sub(1));
        inner.kept.insert(hash, (now, value));
        inner.order.push_back((now, hash));
        name
    }

    /// The value under `name`, which stays redeemable.
    pub(crate) fn peek(&self, name: &str, now: Timestamp) -> Option<T> {
        let inner = self.lock();
        let (issued, value) = inner.kept.get(&hash(name))?;
        self.lives(*issued, now).then(|| value.clone())
    }

    /// The value under `name`, for the last time: of any number of callers one gets it.
    pub(crate) fn take(&self, name: &str, now: Timestamp) -> Option<T> {
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
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, name.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::fixture::Counting;

    const START: Timestamp = Timestamp::from_unix(1_000_000);

    fn at(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn tickets(capacity: usize) -> Tickets<&'static str> {
        Tickets::new(Duration::from_mins(1), capacity)
    }

    #[test]
    fn a_ticket_is_taken_once() {
        let (tickets, random) = (tickets(10), Counting::default());
        let name = tickets.issue(&random, START, "a");
        assert_eq!(tickets.peek(&name, START), Some("a"));
        assert_eq!(tickets.take(&name, START), Some("a"));
        assert_eq!(tickets.take(&name, START), None);
        assert_eq!(tickets.peek(&name, START), None);
    }

    #[test]
    fn a_ticket_lives_for_its_minute_and_not_a_second_longer() {
        let (tickets, random) = (tickets(10), Counting::default());
        let first = tickets.issue(&random, START, "a");
        let second = tickets.issue(&random, START, "b");
        assert_eq!(tickets.peek(&first, at(60)), Some("a"));
        assert_eq!(tickets.peek(&first, at(61)), None);
        assert_eq!(tickets.take(&second, at(61)), None);
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let (tickets, random) = (tickets(2), Counting::default());
        let names = ["a", "b", "c"].map(|value| tickets.issue(&random, START, value));
        assert_eq!(tickets.peek(&names[0], START), None);
        assert_eq!(tickets.peek(&names[1], START), Some("b"));
        assert_eq!(tickets.peek(&names[2], START), Some("c"));
    }

    #[test]
    fn what_is_over_leaves_the_memory() {
        let (tickets, random) = (tickets(100), Counting::default());
        for _ in 0..50 {
            tickets.issue(&random, START, "a");
        }
        tickets.issue(&random, at(120), "b");
        assert_eq!(tickets.lock().kept.len(), 1);
        assert_eq!(tickets.lock().order.len(), 1);
    }

    #[test]
    fn of_many_at_once_one_gets_it() {
        let (tickets, random) = (tickets(10), Counting::default());
        let name = tickets.issue(&random, START, "a");
        let won: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| usize::from(tickets.take(&name, START).is_some())))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn the_names_themselves_are_not_kept() {
        let (tickets, random) = (tickets(10), Counting::default());
        let name = tickets.issue(&random, START, "a");
        assert!(!format!("{tickets:?}").contains(&name));
    }
}
