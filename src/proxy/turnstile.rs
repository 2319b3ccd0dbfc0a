//! Tunnels are begun a few at a time, so that somebody who only wants a page is not behind all of them.
//!
//! After a restart every device comes back at once, and setting a tunnel up is work: thousands of tasks would be
//! ready, and a page would wait for each of them. Nobody waits here for the network: whoever has begun lets the next
//! one in when the runtime comes round to it again, which is after what else was ready, or much of it.

use std::pin::Pin;
use std::task::Poll;

use tokio::sync::Semaphore;

use super::fetch::once;

/// How many have begun and did not have another turn yet.
const AT_ONCE: usize = 16;

/// Lets work begin in the order in which it came.
#[derive(Debug)]
pub struct Turnstile(Semaphore);

impl Default for Turnstile {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Turnstile {
    /// What comes of `work`, which begins when it is its turn. Pinned by the caller: taken by value it would
    /// have its room twice.
    pub async fn through<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        // It is never closed.
        let place = self.0.acquire().await;
        if let Poll::Ready(done) = once(work.as_mut()).await {
            return done;
        }
        tokio::task::yield_now().await;
        drop(place);
        work.await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn a_few_begin_in_each_turn_and_all_of_them_in_the_end() {
        let (turnstile, begun) = (
            Arc::new(Turnstile::default()),
            Arc::<AtomicUsize>::default(),
        );
        let mut all = JoinSet::new();
        for _ in 0..10 * AT_ONCE {
            let (turnstile, begun) = (Arc::clone(&turnstile), Arc::clone(&begun));
            let work = async move {
                begun.fetch_add(1, Ordering::Relaxed);
                // Nobody waits for those that wait for something else.
                std::future::pending::<()>().await;
            };
            all.spawn(async move { turnstile.through(pin!(work)).await });
        }
        let mut turns = 0;
        while begun.load(Ordering::Relaxed) < all.len() {
            let before = begun.load(Ordering::Relaxed);
            yield_now().await;
            assert!(begun.load(Ordering::Relaxed) - before <= AT_ONCE);
            turns += 1;
        }
        assert!(turns >= 10, "{turns}");
    }

    #[tokio::test]
    async fn work_that_is_done_at_once_or_given_up_leaves_its_place() {
        let turnstile = Turnstile::default();
        for done in 0..2 * AT_ONCE {
            assert_eq!(turnstile.through(pin!(async { done })).await, done);
        }
        for _ in 0..2 * AT_ONCE {
            let never = pin!(std::future::pending::<()>());
            let waits = pin!(turnstile.through(never));
            assert!(once(waits).await.is_pending());
        }
        assert_eq!(turnstile.0.available_permits(), AT_ONCE);
    }
}
