//! Randomness as a parameter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A source of cryptographically secure random bytes. The process's own is `ops::entropy`; tests
/// bring a predictable one.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// A fresh 256-bit value, base64url without padding: 43 characters of `[A-Za-z0-9_-]`.
    fn token(&self) -> String {
        let mut bytes = [0_u8; 32];
        self.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A fresh 72-bit value in 12 such characters: to tell requests apart, and for nothing that must not be
    /// guessed.
    fn short_token(&self) -> String {
        let mut bytes = [0_u8; 9];
        self.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// Randomness that tests bring.
#[cfg(test)]
pub(crate) mod testing {
    /// The same byte for ever.
    #[derive(Debug)]
    pub(crate) struct Always(pub(crate) u8);

    impl super::Random for Always {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Always;
    use super::*;

    #[test]
    fn a_token_is_32_bytes_of_what_the_source_gives_in_base64url() {
        assert_eq!(Always(0xff).token(), format!("{}8", "_".repeat(42)));
        assert_eq!(Always(0).token(), "A".repeat(43));
        assert_eq!(Always(0xff).short_token(), "_".repeat(12));
    }
}
