//! A body on its way to an upstream must get on: a client that sends a byte now and then would hold
//! our connection, and one of the upstream's, for as long as it likes.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long nobody asks: a link may be slow to begin with.
const GRACE: Duration = Duration::from_mins(1);
/// Bytes a second, on the average since the beginning, that are asked for afterwards. No link that
/// could show a web UI at all is slower.
const SLOWEST: u64 = 500;

/// Longest silence within a body over HTTP/2; over HTTP/1.1 pingora waits as long.
const SILENCE: Duration = Duration::from_mins(1);

/// How far a body has come, for somebody who watches it from outside.
#[derive(Debug)]
pub struct Progress(Mutex<Option<Instant>>);

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }
}

impl Progress {
    /// Another piece was taken, the last where it `ends`.
    pub fn note(&self, ends: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (!ends).then(Instant::now);
    }

    /// Ready when nothing has come for a minute; never once the body has ended.
    pub async fn stalled(&self) {
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match last.map(|last| last + SILENCE) {
                Some(end) if end <= Instant::now() => return,
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        }
    }
}

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
