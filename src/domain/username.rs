//! The user name that Headscale gets.
//!
//! Headscale takes `preferred_username` when its own check likes it, and otherwise silently leaves
//! the name empty. So the same check runs here first, and a name that would be refused is a denial
//! with the rule instead.

use super::identity::Identity;

/// `strip_email_domain`, with what the guide means by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripDomain {
    /// `user@example.net` becomes `user`.
    Strip,
    /// `user@example.net` becomes `user.example.net`.
    Dot,
    /// The key is absent: the name is left as it is.
    Keep,
}

/// The rule of Headscale that a name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// The provider sent none, or an empty one.
    #[error("the provider sent no user name")]
    Missing,
    /// Fewer than two characters (after the domain was stripped).
    #[error("a user name needs at least two characters")]
    TooShort,
    /// A digit or a sign comes first.
    #[error("a user name must begin with a letter")]
    FirstNotLetter,
    /// A character other than letters, digits, `-`, `.`, `_` and `@`.
    #[error("a user name may not contain {0:?}")]
    Character(char),
    /// More than one `@`.
    #[error("a user name may contain only one \"@\"")]
    SecondAt,
    /// An `@` at the end, which Headscale's policy reserves for its own user notation.
    #[error("a user name may not end in \"@\"")]
    FinalAt,
}

/// The name for Headscale: the configured claim, its domain treated as `strip` says if it is an
/// e-mail address, in lower case (ASCII only: no Unicode folding may make two names one).
///
/// # Errors
/// The first of Headscale's rules that the resulting name breaks.
pub fn for_headscale(identity: &Identity, strip: StripDomain) -> Result<String, UsernameError> {
    let claim = identity.username.as_deref().unwrap_or_default();
    if claim.is_empty() {
        return Err(UsernameError::Missing);
    }
    let name = match (strip, address_parts(claim)) {
        (StripDomain::Strip, Some((local, _))) => local.to_owned(),
        (StripDomain::Dot, Some((local, domain))) => format!("{local}.{domain}"),
        (StripDomain::Keep, _) | (_, None) => claim.to_owned(),
    };
    check(&name)?;
    Ok(name.to_ascii_lowercase())
}

/// The parts around the only `@`, both non-empty.
fn address_parts(name: &str) -> Option<(&str, &str)> {
    let (local, domain) = name.split_once('@')?;
    let whole = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    whole.then_some((local, domain))
}

/// Headscale's `ValidateUsername`, and its policy's rule about the last character.
fn check(name: &str) -> Result<(), UsernameError> {
    if name.len() < 2 {
        return Err(UsernameError::TooShort);
    }
    if !name.starts_with(is_letter) {
        return Err(UsernameError::FirstNotLetter);
    }
    let allowed =
        |c: char| is_letter(c) || c.is_ascii_digit() || matches!(c, '-' | '.' | '_' | '@');
    if let Some(other) = name.chars().find(|c| !allowed(*c)) {
        return Err(UsernameError::Character(other));
    }
    if name.matches('@').count() > 1 {
        return Err(UsernameError::SecondAt);
    }
    if name.ends_with('@') {
        return Err(UsernameError::FinalAt);
    }
    Ok(())
}

/// ASCII letters, and the accented Latin ones (Latin-1 to Latin Extended-B). Headscale takes every
/// Unicode letter; what is left out here would let look-alikes of other scripts into a policy.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || (matches!(c, '\u{c0}'..='\u{24f}') && !matches!(c, '×' | '÷'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claims::NamedClaims;
    use crate::domain::identity::{Issuer, Subject};

    fn named(username: Option<&str>) -> Identity {
        Identity {
            issuer: Issuer::new("https://id.example/"),
            subject: Subject::new("7"),
            email: None,
            email_verified: false,
            username: username.map(Into::into),
            name: None,
            picture: None,
            groups: Vec::new().into(),
            claims: NamedClaims::default(),
        }
    }

    #[test]
    fn names_come_out_as_headscale_takes_them() {
        use StripDomain::{Dot, Keep, Strip};
        for (claim, strip, expected) in [
            ("alice", Strip, "alice"),
            ("alice", Dot, "alice"),
            ("Alice", Keep, "alice"),
            ("Alice@Example.NET", Strip, "alice"),
            ("alice@example.net", Dot, "alice.example.net"),
            ("alice@example.net", Keep, "alice@example.net"),
            ("a.b-c_d9", Strip, "a.b-c_d9"),
            ("jürgen@example.net", Strip, "jürgen"),
            ("Élodie", Keep, "Élodie"),
            ("ab", Strip, "ab"),
            ("é1", Strip, "é1"),
        ] {
            let name = for_headscale(&named(Some(claim)), strip);
            assert_eq!(name.as_deref(), Ok(expected), "{claim} {strip:?}");
        }
    }

    #[test]
    fn a_name_headscale_would_refuse_is_an_error_with_the_rule() {
        use StripDomain::{Dot, Keep, Strip};
        use UsernameError::{Character, FinalAt, FirstNotLetter, Missing, SecondAt, TooShort};
        for (claim, strip, expected) in [
            (None, Strip, Missing),
            (Some(""), Keep, Missing),
            (Some("a"), Keep, TooShort),
            (Some("a@example.net"), Strip, TooShort),
            (Some("1alice"), Keep, FirstNotLetter),
            (Some("@example.net"), Strip, FirstNotLetter),
            (Some(" alice"), Keep, FirstNotLetter),
            (Some("-alice"), Keep, FirstNotLetter),
            (Some("_alice"), Keep, FirstNotLetter),
            (Some("alice "), Keep, Character(' ')),
            (Some("alice+ts@example.net"), Strip, Character('+')),
            (Some("alice/admin"), Keep, Character('/')),
            (Some("ali\r\nce"), Keep, Character('\r')),
            (Some("alice\0"), Keep, Character('\0')),
            (Some("</pre><script>"), Keep, FirstNotLetter),
            (Some("x</pre><script>"), Keep, Character('<')),
            (Some("alice@"), Strip, FinalAt),
            (Some("alice@"), Dot, FinalAt),
            (Some("alice@evil.net@example.net"), Strip, SecondAt),
            (Some("alice@evil.net@example.net"), Dot, SecondAt),
            // The Kelvin sign is a `k` to Unicode's lower case, and a full-width `＠` is no `@`.
            (Some("\u{212a}elvin"), Keep, FirstNotLetter),
            (Some("alice＠example.net"), Strip, Character('＠')),
            // A Cyrillic look-alike, and a combining mark that Headscale refuses too.
            (Some("\u{430}lice"), Keep, FirstNotLetter),
            (Some("e\u{301}lodie"), Keep, Character('\u{301}')),
            (Some("a×b"), Keep, Character('×')),
            (Some("ali\u{661}"), Keep, Character('\u{661}')),
        ] {
            assert_eq!(
                for_headscale(&named(claim), strip),
                Err(expected),
                "{claim:?} {strip:?}"
            );
        }
    }

    #[test]
    fn the_error_shows_a_control_character_escaped() {
        let error = UsernameError::Character('\u{1b}').to_string();
        assert_eq!(error, "a user name may not contain '\\u{1b}'");
    }
}
