//! Which `sub` values can be told to Headscale.
//!
//! Headscale's key for a person is `<issuer>/<sub>`, and it tidies that text up as a URL first:
//! empty path segments and blanks around them go, percent sequences are decoded and encoded again, a
//! query begins in the middle, an empty fragment disappears; before 0.29 dot segments were resolved,
//! too. Two accounts with different `sub`s could become one user, and at a provider where people
//! choose the text that becomes their `sub` (a user name, for instance) that is a way into somebody
//! else's devices. The issuer therefore vouches only for a `sub` that comes out of the tidying as it
//! went in, or encoded in a way that no other `sub` shares.

/// Why an account cannot be told to Headscale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// It is empty: Headscale's key would be our issuer alone.
    #[error("the subject is empty")]
    Empty,
    /// A slash at either end, or two in a row: Headscale drops empty segments.
    #[error("the subject has a slash at its beginning or end, or two in a row")]
    Slash,
    /// A segment that is `.` or `..`: resolved as a path before Headscale 0.29.
    #[error("the subject has a segment of dots")]
    Dots,
    /// A blank at the edge of a segment: Headscale trims it.
    #[error("the subject has a blank at its beginning or end, or beside a slash")]
    Blank,
    /// `%`, `?` or `#`, which have a meaning of their own in a URL (what stands before a `?` is tidied
    /// as if the text ended there), or a control character, which none may contain.
    #[error("the subject has a character that headscale cannot keep apart: {0:?}")]
    Character(char),
}

/// Yes, or why not.
pub(crate) fn check_subject(sub: &str) -> Result<(), SubjectError> {
    if sub.is_empty() {
        return Err(SubjectError::Empty);
    }
    let odd = |c: &char| matches!(c, '%' | '?' | '#') || c.is_control();
    if let Some(character) = sub.chars().find(odd) {
        return Err(SubjectError::Character(character));
    }
    sub.split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), SubjectError> {
    match segment {
        "" => Err(SubjectError::Slash),
        "." | ".." => Err(SubjectError::Dots),
        _ if segment.trim() != segment => Err(SubjectError::Blank),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subjects_that_providers_really_send_are_fine() {
        for sub in [
            "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "42",
            "ann",
            "ann@acmecorp.net",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "3f1c1c1e-8f3e-4d5e-9c57-0c8b7d1b0c11",
            "tenant/ann",
            "Ann B.",
            "zo\u{eb}",
            "a=b&c+d",
        ] {
            assert_eq!(check_subject(sub), Ok(()), "{sub:?}");
        }
    }

    #[test]
    fn a_subject_that_becomes_another_ones_key_is_refused() {
        for (sub, error) in [
            ("", SubjectError::Empty),
            ("/", SubjectError::Slash),
            ("/ann", SubjectError::Slash),
            ("ann/", SubjectError::Slash),
            ("a//b", SubjectError::Slash),
            (".", SubjectError::Dots),
            ("..", SubjectError::Dots),
            ("x/../ann", SubjectError::Dots),
            ("./ann", SubjectError::Dots),
            (" ann", SubjectError::Blank),
            ("ann ", SubjectError::Blank),
            ("\u{a0}ann", SubjectError::Blank),
            ("ann\u{2003}", SubjectError::Blank),
            ("a /b", SubjectError::Blank),
            ("%61nn", SubjectError::Character('%')),
            ("ann%2F", SubjectError::Character('%')),
            ("ann#", SubjectError::Character('#')),
            ("ann /?", SubjectError::Character('?')),
            ("?", SubjectError::Character('?')),
            ("ann\n", SubjectError::Character('\n')),
            ("\u{85}ann", SubjectError::Character('\u{85}')),
            ("a\0nn", SubjectError::Character('\0')),
        ] {
            assert_eq!(check_subject(sub), Err(error), "{sub:?}");
        }
    }
}
