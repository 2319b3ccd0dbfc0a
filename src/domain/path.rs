//! A request target that can be read in one way only, or none.
//!
//! The path is forwarded byte for byte, so whatever an upstream could read differently from us is
//! refused here: dot segments, empty segments, encoded separators, path parameters, escapes of
//! characters that need none (RFC 3986 section 6.2.2), bytes that are no text. What is left means the
//! same to Go's net/http, nginx, Tomcat, Node and Python.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The longest target, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;

/// Characters that some software folds into `/`, `\`, `.` or `%` (Unicode compatibility forms).
const LOOK_ALIKES: [char; 12] = [
    '\u{ff0f}', '\u{ff3c}', '\u{ff0e}', '\u{ff05}', '\u{2024}', '\u{2025}', '\u{2026}', '\u{2044}',
    '\u{2215}', '\u{2216}', '\u{29f8}', '\u{fe6a}',
];

/// A canonical request target in origin form (RFC 9112 section 3.2.1), exactly as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    whole: String,
    /// Where the path ends.
    path: usize,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Over [`MAX_TARGET`].
    #[error("it is too long")]
    TooLong,
    /// Absolute, authority or asterisk form, or empty.
    #[error("it is not in origin form")]
    NotOriginForm,
    /// A byte that may not stand in a target.
    #[error("it has a character that must be encoded")]
    Character,
    /// `//`.
    #[error("it has an empty segment")]
    EmptySegment,
    /// `.` or `..`, raw or encoded.
    #[error("it has a dot segment")]
    DotSegment,
    /// `%` without two hexadecimal digits.
    #[error("it has a broken escape")]
    BrokenEscape,
    /// An escape of a separator, a control character, `%`, or of what needs no escape.
    #[error("it has an escape that can be read in two ways")]
    AmbiguousEscape,
    /// The escapes do not make up UTF-8 text, or text that looks like a separator.
    #[error("its escapes are not plain text")]
    NotText,
}

impl Target {
    /// Parses the target of a request line.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(raw: &[u8]) -> Result<Self, TargetError> {
        if raw.len() > MAX_TARGET {
            return Err(TargetError::TooLong);
        }
        if raw.first() != Some(&b'/') {
            return Err(TargetError::NotOriginForm);
        }
        let whole = std::str::from_utf8(raw).map_err(|_| TargetError::Character)?;
        let (path, query) = match whole.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (whole, None),
        };
        check_path(path)?;
        if let Some(query) = query
            && !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
        {
            return Err(TargetError::Character);
        }
        Ok(Self {
            path: path.len(),
            whole: whole.to_owned(),
        })
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.whole.get(..self.path).unwrap_or_default()
    }

    /// The query, if there is a `?`.
    pub fn query(&self) -> Option<&str> {
        self.whole.get(self.path + 1..)
    }

    /// Path and query, exactly as received.
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// All values of a query parameter, decoded as a form, in order; duplicates show.
    pub fn query_values(&self, name: &str) -> Vec<String> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

/// `pchar` (RFC 3986 section 3.3) and `/`, without `;`.
fn may_stand_raw(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte)
}

/// Escapes that mean something only as escapes, and the same thing to everybody.
fn may_be_escaped(byte: u8) -> bool {
    !byte.is_ascii_control() && !byte.is_ascii_alphanumeric() && !b"-._~/\\%;".contains(&byte)
}

fn check_path(path: &str) -> Result<(), TargetError> {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex))
            else {
                return Err(TargetError::BrokenEscape);
            };
            if !may_be_escaped(high * 16 + low) {
                return Err(TargetError::AmbiguousEscape);
            }
        } else if !may_stand_raw(byte) {
            return Err(TargetError::Character);
        }
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for segment in inner.split('/') {
        if segment == "." || segment == ".." {
            return Err(TargetError::DotSegment);
        }
        if segment.is_empty() && path != "/" {
            return Err(TargetError::EmptySegment);
        }
    }
    let text = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| TargetError::NotText)?;
    let odd = |c: char| LOOK_ALIKES.contains(&c) || (!c.is_ascii() && c.is_control());
    if text.chars().any(odd) {
        Err(TargetError::NotText)
    } else {
        Ok(())
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_targets_are_kept_byte_for_byte() {
        for raw in [
            "/",
            "/register/hskey-authreq-AAAAAAAAAAAAAAAAAAAAAAAA",
            "/web/",
            "/a.b/c..d/...",
            "/admin/a%20b?q=%2f..%2f&x=;a=1&r=//evil",
            "/caf%C3%A9/%e6%97%a5",
            "/@vite/client.js?v=1",
            "/?",
        ] {
            let target = Target::parse(raw.as_bytes()).unwrap();
            assert_eq!(target.as_str(), raw);
        }
        let target = Target::parse(b"/a?b=1&b=2&c=%2B+x").unwrap();
        assert_eq!(
            (target.path(), target.query()),
            ("/a", Some("b=1&b=2&c=%2B+x"))
        );
        assert_eq!(target.query_values("b"), ["1", "2"]);
        assert_eq!(target.query_values("c"), ["+ x"]);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        use TargetError::*;
        for (raw, why) in [
            ("", NotOriginForm),
            ("*", NotOriginForm),
            ("http://evil/x", NotOriginForm),
            (":80/", NotOriginForm),
            ("evil", NotOriginForm),
            ("/public/../private", DotSegment),
            ("/public/./private", DotSegment),
            ("/public/..", DotSegment),
            ("/public/.", DotSegment),
            ("/..", DotSegment),
            ("/../", DotSegment),
            ("//private", EmptySegment),
            ("///", EmptySegment),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/public/..%2fprivate", AmbiguousEscape),
            ("/public/%2e%2e/private", AmbiguousEscape),
            ("/public/%2E%2e%2Fprivate", AmbiguousEscape),
            ("/public/%252e%252e/private", AmbiguousEscape),
            ("/public/..%5cprivate", AmbiguousEscape),
            ("/%70rivate", AmbiguousEscape),
            ("/%74s2021", AmbiguousEscape),
            ("/a%00b", AmbiguousEscape),
            ("/a%0d%0ab", AmbiguousEscape),
            ("/a%7fb", AmbiguousEscape),
            ("/a%3bb", AmbiguousEscape),
            ("/public;/../private", Character),
            ("/public/..;/private", Character),
            ("/;/private", Character),
            ("/a\\b", Character),
            ("/a b", Character),
            ("/a#b", Character),
            ("/a?b#c", Character),
            ("/a\tb", Character),
            ("/a\0b", Character),
            ("/a|b", Character),
            ("/a\"b", Character),
            ("/é", Character),
            ("/a?é", Character),
            ("/%", BrokenEscape),
            ("/%z", BrokenEscape),
            ("/%zz", BrokenEscape),
            ("/public/%0", BrokenEscape),
            ("/%u002e", BrokenEscape),
            ("/public/%c0%ae%c0%ae/", NotText),
            ("/%e0%80%ae", NotText),
            ("/%ff", NotText),
            ("/%ad", NotText),
            ("/%ef%bc%8f%ef%bc%8e", NotText),
            ("/a%e2%81%84b", NotText),
        ] {
            assert_eq!(Target::parse(raw.as_bytes()), Err(why), "{raw:?}");
        }
        assert_eq!(Target::parse(b"/\xff"), Err(Character));
        let long = format!("/{}", "a".repeat(MAX_TARGET));
        assert_eq!(Target::parse(long.as_bytes()), Err(TooLong));
    }

    proptest! {
        /// Decoding once, twice, cleaning and merging change no segment of what was accepted.
        #[test]
        fn an_accepted_path_has_the_same_segments_for_every_reader(raw in "/[a-z./%25;\\\\?#A-F0-9_ -]{0,24}") {
            if let Ok(target) = Target::parse(raw.as_bytes()) {
                let once = percent_decode_str(target.path()).decode_utf8().unwrap().into_owned();
                let twice = percent_decode_str(&once).decode_utf8_lossy().into_owned();
                prop_assert_eq!(once.matches('/').count(), target.path().matches('/').count());
                prop_assert_eq!(twice.matches('/').count(), target.path().matches('/').count());
                prop_assert!(!once.contains("//") && !once.contains('\\') && !once.contains(';'));
                prop_assert!(!twice.split('/').any(|s| s == "." || s == ".."));
            }
        }
    }
}
