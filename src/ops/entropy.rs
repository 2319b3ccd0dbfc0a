//! The process's randomness, and the only file that asks the operating system for it. Everything
//! else takes a [`Random`].

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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
}
