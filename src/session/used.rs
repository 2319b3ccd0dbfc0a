//! What was used already and must not be used again: the `state` of a login attempt that came back.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::sessions::StoreAway;
use super::shared::SharedSessions;
use crate::domain::hash::sha256;

/// Remembers the `state` of each attempt that came back, so that a callback works once: the sealed
/// cookie itself proves only that the attempt was ours.
///
/// Bounded by count, not by time: beyond `capacity` the state used longest ago is forgotten, and no
/// other. So nothing depends on a clock, and a flood pushes a state out only by being longer than
/// the memory. A state is kept as its SHA-256. A plain set behind a lock, not the cache that the
/// sessions are in: that one may tell two callers at once that both were first.
pub struct UsedOnce {
    capacity: usize,
    seen: Mutex<Seen>,
    shared: Option<Elsewhere>,
}

/// Where replicas remember together.
struct Elsewhere {
    sessions: Arc<SharedSessions>,
    kind: &'static str,
    life: Duration,
}

#[derive(Default)]
struct Seen {
    states: HashSet<[u8; 32]>,
    /// Oldest first; the same states.
    order: VecDeque<[u8; 32]>,
}

impl UsedOnce {
    /// Remembers at most `capacity` states (at least one), at about 100 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            seen: Mutex::default(),
            shared: None,
        }
    }

    /// Remembers where other replicas do, those of the same `kind`, for `life`: longer than a state can
    /// come back.
    #[must_use]
    pub fn shared(self, sessions: Arc<SharedSessions>, kind: &'static str, life: Duration) -> Self {
        let shared = Some(Elsewhere {
            sessions,
            kind,
            life,
        });
        Self { shared, ..self }
    }

    /// True for the first caller with this `state`, false for every later one; of several at once,
    /// exactly one is first.
    ///
    /// # Errors
    /// [`StoreAway`]: whether it was used is not known.
    pub async fn first_use(&self, state: &str) -> Result<bool, StoreAway> {
        let Some(there) = &self.shared else {
            return Ok(self.first_use_here(state));
        };
        if self.was_used_here(state) {
            return Ok(false);
        }
        let Elsewhere {
            sessions,
            kind,
            life,
        } = there;
        // While nobody answers, it is not used up.
        let first = sessions.first_use(kind, state, *life).await?;
        self.first_use_here(state);
        Ok(first)
    }

    fn first_use_here(&self, state: &str) -> bool {
        self.keep(hash(state))
    }

    /// True if it was not kept yet.
    fn keep(&self, hash: [u8; 32]) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.states.insert(hash) {
            return false;
        }
        seen.order.push_back(hash);
        while seen.order.len() > self.capacity {
            if let Some(oldest) = seen.order.pop_front() {
                seen.states.remove(&oldest);
            }
        }
        true
    }

    /// Everything that is remembered here, as it is kept, the oldest first: for a process that takes the
    /// place of this one.
    pub fn every(&self) -> Vec<[u8; 32]> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.order.iter().copied().collect()
    }

    /// Remembers what the process before remembered.
    pub fn take_over(&self, all: &[[u8; 32]]) {
        for hash in all {
            self.keep(*hash);
        }
    }

    /// Whether `state` was used and is still remembered; it is not used by asking.
    ///
    /// # Errors
    /// [`StoreAway`]: whether it was used is not known.
    pub async fn was_used(&self, state: &str) -> Result<bool, StoreAway> {
        match &self.shared {
            Some(there) if !self.was_used_here(state) => {
                there.sessions.was_used(there.kind, state).await
            }
            _ => Ok(self.was_used_here(state)),
        }
    }

    fn was_used_here(&self, state: &str) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.states.contains(&hash(state))
    }
}

fn hash(state: &str) -> [u8; 32] {
    sha256(state.as_bytes())
}

impl fmt::Debug for UsedOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsedOnce").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn asking_whether_a_state_was_used_does_not_use_it() {
        let used = UsedOnce::new(10);
        assert!(!used.was_used_here("a"));
        assert!(used.first_use_here("a") && used.was_used_here("a"));
        assert!(!used.was_used_here("b") && used.first_use_here("b"));
    }

    #[test]
    fn a_state_is_used_once() {
        let used = UsedOnce::new(10);
        assert!(used.first_use_here("hw1.a"));
        assert!(!used.first_use_here("hw1.a"));
        assert!(used.first_use_here("hw1.b"));
        assert!(!used.first_use_here("hw1.a"));
    }

    #[test]
    fn of_many_at_once_exactly_one_is_first() {
        let used = UsedOnce::new(10);
        let barrier = Barrier::new(8);
        for round in 0..50 {
            let first: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            usize::from(used.first_use_here(&format!("hw1.{round}")))
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .sum()
            });
            assert_eq!(first, 1);
        }
    }

    #[test]
    fn a_full_memory_forgets_the_oldest_only() {
        let used = UsedOnce::new(16);
        for n in 0..200_u32 {
            assert!(used.first_use_here(&format!("hw1.{n}")));
            for newest in n.saturating_sub(15)..=n {
                assert!(
                    !used.first_use_here(&format!("hw1.{newest}")),
                    "{newest} passed twice"
                );
            }
        }
        let seen = used.seen.lock().unwrap();
        assert_eq!((seen.states.len(), seen.order.len()), (16, 16));
        drop(seen);
        assert!(used.first_use_here("hw1.0"));
    }

    #[test]
    fn a_debug_print_says_what_it_is_and_shows_no_state() {
        let used = UsedOnce::new(10);
        used.first_use_here("hw1.a");
        assert_eq!(format!("{used:?}"), "UsedOnce { .. }");
    }
}
