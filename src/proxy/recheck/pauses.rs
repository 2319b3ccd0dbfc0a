//! Who pauses after failures, and for how long: each time twice as long, up to a bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::time::Timestamp;

/// The first pause and the longest, in seconds.
const PAUSES: (u64, u64) = (5, 30);

/// The last failures of each.
#[derive(Debug)]
pub(super) struct Pauses<K: Eq + Hash>(Mutex<HashMap<K, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    at: Timestamp,
    in_a_row: u32,
}

impl<K: Eq + Hash> Pauses<K> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// It failed now.
    pub(super) fn failed(&self, key: K, now: Timestamp) {
        let mut all = self.all();
        let failures = all.entry(key).or_insert(Failures {
            at: now,
            in_a_row: 0,
        });
        failures.at = now;
        failures.in_a_row = failures.in_a_row.saturating_add(1);
    }

    /// It did not.
    pub(super) fn over(&self, key: &K) {
        self.all().remove(key);
    }

    /// How many seconds it still pauses. A clock that was set back ends a pause.
    pub(super) fn left(&self, key: &K, now: Timestamp) -> u64 {
        let Some(last) = self.all().get(key).copied() else {
            return 0;
        };
        if last.at > now {
            return 0;
        }
        let (first, longest) = PAUSES;
        let doublings = last.in_a_row.saturating_sub(1).min(16);
        let pause = (first << doublings).min(longest);
        pause.saturating_sub(now.since(last.at).as_secs())
    }

    /// Forgets those whose pause is long over.
    pub(super) fn forget_old(&self, now: Timestamp) {
        let (_, longest) = PAUSES;
        self.all()
            .retain(|_, last| now.since(last.at).as_secs() <= 2 * longest);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<K, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_end_with_a_success() {
        let (pauses, mut now) = (Pauses::new(), 1000);
        let at = Timestamp::from_unix;
        assert_eq!(pauses.left(&"one", at(now)), 0);
        for pause in [5, 10, 20, 30, 30] {
            pauses.failed("one", at(now));
            for (since, left) in [(0, pause), (1, pause - 1), (pause, 0), (pause + 9, 0)] {
                let found = pauses.left(&"one", at(now + since));
                assert_eq!(found, left, "{since} s into {pause} s");
            }
            assert_eq!(pauses.left(&"one", at(now - 1)), 0);
            assert_eq!(pauses.left(&"other", at(now)), 0);
            now += pause;
        }
        pauses.over(&"one");
        pauses.failed("one", at(now));
        assert_eq!(pauses.left(&"one", at(now)), 5);
    }

    #[test]
    fn what_failed_long_ago_is_forgotten() {
        let pauses = Pauses::new();
        let at = Timestamp::from_unix;
        pauses.failed(1, at(1000));
        pauses.failed(2, at(1030));
        pauses.forget_old(at(1060));
        assert_eq!(pauses.all().len(), 2);
        pauses.forget_old(at(1061));
        assert_eq!(pauses.all().len(), 1);
        pauses.forget_old(at(0));
        assert_eq!(pauses.all().len(), 1);
    }
}
