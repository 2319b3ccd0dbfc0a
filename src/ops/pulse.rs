//! Whether the loops that everything hangs on still turn. Whoever wants to know beats; each loop answers when
//! it comes round. One that panicked or is stuck answers no more, and is missed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The one who beats.
#[derive(Clone, Debug)]
pub struct Pulse {
    beat: Arc<watch::Sender<u64>>,
    loops: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
}

/// A loop's part of it.
#[derive(Debug)]
pub struct Beat {
    heard: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
    loops: Arc<Mutex<Vec<Arc<AtomicU64>>>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            beat: Arc::new(watch::Sender::new(0)),
            loops: Arc::default(),
        }
    }
}

impl Pulse {
    /// A loop that has to answer from now on.
    pub fn join(&self) -> Beat {
        let heard = self.beat.subscribe();
        let answered = Arc::new(AtomicU64::new(*heard.borrow()));
        lock(&self.loops).push(Arc::clone(&answered));
        Beat {
            heard,
            answered,
            loops: Arc::clone(&self.loops),
        }
    }

    /// Whether every loop has answered the last beat; beats again then.
    pub fn beat(&self) -> bool {
        let last = *self.beat.borrow();
        let all = lock(&self.loops)
            .iter()
            .all(|answered| answered.load(Ordering::Acquire) == last);
        if all {
            self.beat.send_modify(|beat| *beat += 1);
        }
        all
    }
}

impl Beat {
    /// Ready when there is a beat to answer. Dropping this loses none.
    pub async fn heard(&mut self) {
        if self.heard.changed().await.is_err() {
            // Nobody beats any more.
            std::future::pending::<()>().await;
        }
    }

    /// Answers it.
    pub fn answer(&mut self) {
        let beat = *self.heard.borrow_and_update();
        self.answered.store(beat, Ordering::Release);
    }

    /// The loop ends as it should. One that ends without this word is missed for ever.
    pub fn leave(self) {
        lock(&self.loops).retain(|other| !Arc::ptr_eq(other, &self.answered));
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_does_not_answer_is_missed_until_it_does() {
        let pulse = Pulse::default();
        assert!(pulse.beat(), "there is nobody to miss");
        let mut beat = pulse.join();
        assert!(pulse.beat(), "it has just come");
        assert!(!pulse.beat(), "it has not answered");
        beat.heard().await;
        assert!(!pulse.beat(), "hearing is not answering");
        beat.answer();
        assert!(pulse.beat());
        beat.leave();
        assert!(pulse.beat() && pulse.beat(), "it went as it should");
    }

    #[test]
    fn a_loop_that_died_is_missed_for_ever() {
        let pulse = Pulse::default();
        let (dies, lives) = (pulse.join(), pulse.join());
        let thread = std::thread::spawn(move || {
            let _dies = dies;
            panic!("as a loop might");
        });
        assert!(thread.join().is_err());
        let mut lives = lives;
        assert!(pulse.beat());
        lives.answer();
        assert!(!pulse.beat());
        assert!(!pulse.beat());
    }
}
