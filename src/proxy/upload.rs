//! A body on its way to an upstream must get on: a client that sends a byte now and then would hold
//! our connection, and one of the upstream's, for as long as it likes.

use std::time::Duration;

/// How long nobody asks: a link may be slow to begin with.
const GRACE: Duration = Duration::from_mins(1);
/// Bytes a second, on the average since the beginning, that are asked for afterwards. No link that
/// could show a web UI at all is slower.
const SLOWEST: u64 = 500;

/// One body so far.
#[derive(Debug, Default)]
pub struct Upload {
    bytes: u64,
}

impl Upload {
    /// Counts a piece. False when this body, `elapsed` after its request began, is too slow.
    pub fn gets_on(&mut self, piece: usize, elapsed: Duration) -> bool {
        self.bytes = self.bytes.saturating_add(piece as u64);
        elapsed <= GRACE || self.bytes / elapsed.as_secs().max(1) >= SLOWEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_trickles_is_given_up_after_its_grace_and_a_slow_one_is_not() {
        let secs = Duration::from_secs;
        let mut trickle = Upload::default();
        for second in 0..=60 {
            assert!(trickle.gets_on(1, secs(second)), "{second}");
        }
        assert!(!trickle.gets_on(1, secs(61)));
        let mut modem = Upload::default();
        for second in 0..7200 {
            assert!(modem.gets_on(1000, secs(second)), "{second}");
        }
        // What came fast at first buys time, and not for ever.
        let mut stalling = Upload::default();
        assert!(stalling.gets_on(1_000_000, secs(1)));
        assert!(stalling.gets_on(1, secs(2000)));
        assert!(!stalling.gets_on(1, secs(2001)));
    }
}
