//! The process's wall clock, and the only file that reads it. Everything else takes a [`Clock`].

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::{Clock, Timestamp};

/// The wall clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// The present in whole seconds; a clock set before 1970 reads as zero, which makes every token
    /// "issued in the future" and so fails closed.
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one file that reads the clock"
        )]
        let now = SystemTime::now();
        Timestamp::from_unix(
            now.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
}

/// The present in nanoseconds since 1970, for times that are only written down.
pub(super) fn unix_nanos() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one file that reads the clock"
    )]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_is_after_this_was_written_and_does_not_run_backwards() {
        let first = SystemClock.now();
        assert!(first > Timestamp::from_unix(1_700_000_000));
        assert!(SystemClock.now() >= first);
    }
}
