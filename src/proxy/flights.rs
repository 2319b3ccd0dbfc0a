//! One errand at a time for each key: whoever needs its outcome while it is under way waits for that
//! one. The errand is a task of its own, which nobody who stops waiting can break off.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The errands under way.
#[derive(Debug)]
pub(super) struct Flights<K: Eq + Hash, T> {
    open: Open<K, T>,
}

type Open<K, T> = Arc<Mutex<HashMap<K, Flight<T>>>>;

/// One errand, seen by somebody who waits for it.
#[derive(Clone, Debug)]
pub(super) struct Flight<T> {
    began: Instant,
    outcome: watch::Receiver<Option<T>>,
}

/// Takes a flight off the list when it is over, also by a panic.
struct Listed<K: Eq + Hash, T> {
    key: K,
    open: Open<K, T>,
}

impl<K: Eq + Hash, T> Drop for Listed<K, T> {
    fn drop(&mut self) {
        lock(&self.open).remove(&self.key);
    }
}

impl<K, T> Flights<K, T>
where
    K: Copy + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self {
            open: Arc::default(),
        }
    }

    /// The errand of `key` that is under way, or else the one that `begin` makes, on its way from now
    /// on.
    pub(super) fn join<F>(&self, key: K, begin: impl FnOnce() -> F) -> Flight<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut open = lock(&self.open);
        if let Some(flight) = open.get(&key) {
            return flight.clone();
        }
        let (landed, outcome) = watch::channel(None);
        let flight = Flight {
            began: Instant::now(),
            outcome,
        };
        open.insert(key, flight.clone());
        drop(open);
        let listed = Listed {
            key,
            open: Arc::clone(&self.open),
        };
        let errand = begin();
        tokio::spawn(async move {
            let outcome = errand.await;
            drop(listed);
            landed.send_replace(Some(outcome));
        });
        flight
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        lock(&self.open).len()
    }
}

impl<T: Clone> Flight<T> {
    /// Its outcome; `None` if that is not there when the flight has taken `patience`, however long this
    /// one waited, or if it never comes.
    pub(super) async fn outcome(mut self, patience: Duration) -> Option<T> {
        let waiting = self.outcome.wait_for(Option::is_some);
        let landed = timeout_at(self.began + patience, waiting).await.ok()?;
        landed.ok()?.clone()
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn whoever_comes_while_one_is_under_way_gets_its_outcome() {
        let flights = Flights::new();
        let begun = Arc::new(AtomicUsize::new(0));
        let (land, landing) = oneshot::channel::<()>();
        let mut landing = Some(landing);
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let flight = flights.join("key", || {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let landing = landing.take();
                    async move {
                        landing.unwrap().await.unwrap();
                        7
                    }
                });
                tokio::spawn(flight.outcome(LONG))
            })
            .collect();
        assert_eq!(flights.len(), 1);
        let other = flights.join("other", || async { 8 });
        assert_eq!(other.outcome(LONG).await, Some(8));
        land.send(()).unwrap();
        for one in waiting {
            assert_eq!(one.await.unwrap(), Some(7));
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        assert_eq!(flights.len(), 0);
        let next = flights.join("key", || async { 9 });
        assert_eq!(next.outcome(LONG).await, Some(9));
    }

    #[tokio::test]
    async fn a_flight_goes_on_when_nobody_waits_for_it() {
        let flights = Flights::new();
        let (land, landing) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let flight = flights.join(1, || async {
            landing.await.unwrap();
            done.send(()).unwrap();
        });
        drop(flight);
        land.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn patience_counts_from_the_beginning_of_the_flight() {
        let flights = Flights::new();
        let begin = || std::future::pending::<()>();
        let patience = Duration::from_secs(2);
        let at = Instant::now();
        assert_eq!(flights.join(1, begin).outcome(patience).await, None);
        assert_eq!(at.elapsed(), patience);
        // The next one does not wait for what has taken too long already.
        assert_eq!(flights.join(1, begin).outcome(patience).await, None);
        assert_eq!(at.elapsed(), patience);
    }

    #[tokio::test]
    async fn a_flight_that_panics_has_no_outcome_and_makes_room_for_another() {
        let flights = Flights::new();
        let crash = flights.join(1, || async { panic!("as the test asked for") });
        assert_eq!(crash.outcome(LONG).await, None::<()>);
        assert_eq!(flights.len(), 0);
        let next = flights.join(1, || async {});
        assert_eq!(next.outcome(LONG).await, Some(()));
    }
}
