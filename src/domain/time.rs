//! Time as a parameter: decisions take a [`Timestamp`], long-lived parts hold a [`Clock`].

use std::time::Duration;

/// Whole seconds since the Unix epoch, as in a JWT's `NumericDate` (RFC 7519 section 2).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `seconds` after the Unix epoch.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// This instant moved forward by `duration` (whole seconds; saturates).
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// How long ago `earlier` was; zero when it lies in the future (a clock that jumped back must
    /// not panic or underflow).
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// Where the present comes from. The process's own clock is `ops::clock`; tests bring their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_neither_overflows_nor_runs_below_zero() {
        let at = Timestamp::from_unix;
        assert_eq!(at(1_800_000_000).unix(), 1_800_000_000);
        assert_eq!(at(10).plus(Duration::from_millis(5999)), at(15));
        assert_eq!(at(u64::MAX).plus(Duration::from_secs(1)), at(u64::MAX));
        assert_eq!(at(15).since(at(10)), Duration::from_secs(5));
        assert_eq!(at(10).since(at(15)), Duration::ZERO);
    }
}
