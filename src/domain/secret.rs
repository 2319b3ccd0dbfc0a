//! A value that must not reach a log, an error or a debug print.

use std::fmt;

/// Wraps a value whose `Debug` and `Display` never show it. Take it out with [`Secret::expose`],
/// which is easy to find in a review.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_by_nothing_but_expose() {
        let secret = Secret::new("swordfish");
        assert_eq!(*secret.expose(), "swordfish");
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?}"),
            "[secret] ".repeat(3).trim()
        );
    }
}
