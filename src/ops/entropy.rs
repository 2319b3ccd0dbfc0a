//! The process's randomness, and the only file that asks the operating system for it. Everything
//! else takes a [`Random`].

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ring::rand::SecureRandom as _;

use crate::domain::random::Random;

/// The operating system's cryptographically secure generator.
#[derive(Clone, Debug)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    /// A handle; it holds no state of its own.
    pub fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    /// # Panics
    /// When the operating system has no randomness to give. Nothing that needs a secret may go on
    /// with a predictable one; the panic ends that request and no other.
    #[expect(
        clippy::expect_used,
        reason = "going on without randomness would make secrets guessable"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        self.0
            .fill(buffer)
            .expect("the operating system gives random bytes");
    }
}

/// Bytes that [`InBulk`] draws at a time.
const BULK: usize = 4096;

/// Another source, asked for many bytes at a time: for what every request needs a little of, and what is
/// no secret, such as its id. Each byte is given once.
pub struct InBulk {
    source: Arc<dyn Random>,
    left: Mutex<Vec<u8>>,
}

impl InBulk {
    /// Nothing is drawn yet.
    pub fn new(source: Arc<dyn Random>) -> Self {
        Self {
            source,
            left: Mutex::default(),
        }
    }
}

impl Random for InBulk {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() > BULK {
            return self.source.fill(buffer);
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() < buffer.len() {
            // Not in its place: a source that panics leaves nothing behind that looks drawn.
            let mut drawn = vec![0; BULK];
            self.source.fill(&mut drawn);
            *left = drawn;
        }
        let rest = left.len() - buffer.len();
        for (to, from) in buffer.iter_mut().zip(left.drain(rest..)) {
            *to = from;
        }
    }
}

impl fmt::Debug for InBulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InBulk").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::panic::AssertUnwindSafe;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn tokens_do_not_repeat_and_every_bit_of_them_varies() {
        let random = SystemRandom::new();
        let mut seen = HashSet::new();
        let (mut ones, mut zeros) = ([0_u8; 32], [0_u8; 32]);
        for _ in 0..2000 {
            let mut bytes = [0_u8; 32];
            random.fill(&mut bytes);
            for (at, byte) in bytes.iter().enumerate() {
                ones[at] |= byte;
                zeros[at] |= !byte;
            }
            assert!(seen.insert(bytes));
        }
        assert_eq!(ones, [0xff; 32]);
        assert_eq!(zeros, [0xff; 32]);
    }

    /// Counts up, and how often it is asked.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize, AtomicUsize);

    impl Random for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            self.1.fetch_add(1, Ordering::Relaxed);
            for pair in buffer.chunks_mut(2) {
                let next = self.0.fetch_add(1, Ordering::Relaxed);
                let bytes = u16::try_from(next).unwrap().to_be_bytes();
                pair.copy_from_slice(&bytes[..pair.len()]);
            }
        }
    }

    /// Fails at its first use.
    #[derive(Debug, Default)]
    struct Faltering(Counting, AtomicUsize);

    impl Random for Faltering {
        fn fill(&self, buffer: &mut [u8]) {
            assert_ne!(
                self.1.fetch_add(1, Ordering::Relaxed),
                0,
                "as the test asked for"
            );
            self.0.fill(buffer);
        }
    }

    #[test]
    fn a_draw_that_fails_leaves_nothing_that_looks_drawn() {
        let bulk = InBulk::new(Arc::new(Faltering::default()));
        let mut bytes = [0_u8; 10];
        let failed = std::panic::catch_unwind(AssertUnwindSafe(|| bulk.fill(&mut bytes)));
        assert!(failed.is_err());
        for _ in 0..100 {
            bulk.fill(&mut bytes);
            assert_ne!(bytes, [0; 10]);
        }
    }

    #[test]
    fn what_is_drawn_in_bulk_is_given_once_and_the_source_is_asked_seldom() {
        let source = Arc::new(Counting::default());
        let bulk = InBulk::new(Arc::<Counting>::clone(&source));
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            let mut bytes = [0_u8; 10];
            bulk.fill(&mut bytes);
            assert!(seen.insert(bytes), "{bytes:?} was given before");
        }
        assert_eq!(source.1.load(Ordering::Relaxed), 3);
        bulk.fill(&mut [0; BULK + 1]);
        assert_eq!(source.1.load(Ordering::Relaxed), 4);
        assert!(!format!("{bulk:?}").contains("left"));
    }
}
