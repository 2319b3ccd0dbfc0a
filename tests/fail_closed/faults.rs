//! A clock and a source of randomness that do as they are told, or panic in the middle of a request.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use headwarden::domain::random::Random;
use headwarden::domain::time::{Clock, Timestamp};
use headwarden::ops::entropy::SystemRandom;

/// A panic that comes at one of the next uses, once.
#[derive(Debug)]
struct Mine(AtomicI64);

impl Mine {
    /// Negative: none is laid.
    const NONE: i64 = -1;

    const fn new() -> Self {
        Self(AtomicI64::new(Self::NONE))
    }

    fn lay(&self, after: i64) {
        self.0.store(after, Ordering::SeqCst);
    }

    fn clear(&self) {
        self.0.store(Self::NONE, Ordering::SeqCst);
    }

    fn is_laid(&self) -> bool {
        self.0.load(Ordering::SeqCst) > Self::NONE
    }

    fn step(&self, what: &str) {
        let left = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                (left > Self::NONE).then(|| left - 1)
            });
        assert_ne!(left, Ok(0), "{what} failed, as the test asked for");
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct Hands {
    seconds: AtomicU64,
    mine: Mine,
}

impl Hands {
    pub(crate) fn at(seconds: u64) -> Self {
        Self {
            seconds: AtomicU64::new(seconds),
            mine: Mine::new(),
        }
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.seconds.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.seconds.store(seconds, Ordering::SeqCst);
    }

    /// The reading after `after` more ones panics.
    pub(crate) fn fail_after(&self, after: i64) {
        self.mine.lay(after);
    }

    /// No reading panics any more.
    pub(crate) fn recover(&self) {
        self.mine.clear();
    }

    /// Whether the panic is still to come.
    pub(crate) fn is_about_to_fail(&self) -> bool {
        self.mine.is_laid()
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        self.mine.step("the clock");
        Timestamp::from_unix(self.seconds())
    }
}

/// The system's randomness, until it is told to fail.
#[derive(Debug)]
pub(crate) struct Dice {
    random: SystemRandom,
    mine: Mine,
}

impl Dice {
    pub(crate) fn new() -> Self {
        Self {
            random: SystemRandom::new(),
            mine: Mine::new(),
        }
    }

    /// The use after `after` more ones panics, as when the system has no randomness to give.
    pub(crate) fn fail_after(&self, after: i64) {
        self.mine.lay(after);
    }

    pub(crate) fn recover(&self) {
        self.mine.clear();
    }

    pub(crate) fn is_about_to_fail(&self) -> bool {
        self.mine.is_laid()
    }
}

impl Random for Dice {
    fn fill(&self, buffer: &mut [u8]) {
        self.mine.step("the randomness");
        self.random.fill(buffer);
    }
}
