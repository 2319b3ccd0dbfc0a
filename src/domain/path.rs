//! A request target that can be read in one way only, or none.
//!
//! The path is forwarded byte for byte, so whatever an upstream could read differently from us is
//! refused here: dot segments, empty segments, encoded separators, path parameters, escapes of
//! characters that need none (RFC 3986 section 6.2.2), bytes that are no text. What is left means the
//! same to Go's net/http, nginx, Tomcat, Node and Python.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::text::draws;

#[cfg(test)]
pub(super) mod readers;

/// The longest target, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;

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
    /// A segment of dots and blanks only, such as `..`; some systems drop the blanks.
    #[error("it has a dot segment")]
    DotSegment,
    /// `%` without two hexadecimal digits.
    #[error("it has a broken escape")]
    BrokenEscape,
    /// An escape of a separator, `#`, a control character, `%`, or of what needs no escape.
    #[error("it has an escape that can be read in two ways")]
    AmbiguousEscape,
    /// The escapes do not make up UTF-8 text (overlong forms do not, RFC 3629 section 3), or text that
    /// cannot be seen or that looks like a separator.
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
            && !query.bytes().all(may_stand_in_query)
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

/// What browsers send in a query as it is (WHATWG URL, the query percent-encode set). Wider than RFC
/// 3986 section 3.4, which people's links are not written by; what browsers encode is read by some
/// parsers and refused by others.
fn may_stand_in_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"#\"<>".contains(&byte)
}

/// Whether two paths of [`Target`]s are the same to whoever decodes them: `/a%40b` is `/a@b`.
pub fn same_path(one: &str, other: &str) -> bool {
    // Neither holds an escaped separator, so whole paths can be compared.
    percent_decode_str(one).eq(percent_decode_str(other))
}

/// Escapes that mean something only as escapes, and the same thing to everybody. An encoded `#` has
/// been decoded and cut off by proxies before.
fn may_be_escaped(byte: u8) -> bool {
    !byte.is_ascii_control() && !byte.is_ascii_alphanumeric() && !b"-._~/\\%;#".contains(&byte)
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
    // Without an escape it is ASCII that draws, and looks like nothing else.
    let text = if path.contains('%') {
        let text = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| TargetError::NotText)?;
        if text.chars().any(|c| !draws(c) || is_look_alike(c)) {
            return Err(TargetError::NotText);
        }
        text
    } else {
        Cow::Borrowed(path)
    };
    // Decoding made no slash and no dot, so these are the segments of the path as received.
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment.is_empty() && !last {
            return Err(TargetError::EmptySegment);
        }
        // Whoever decodes before cutting at `?` sees what stands before it.
        let seen = segment.split('?').next().unwrap_or_default();
        if !seen.is_empty() && seen.chars().all(|c| c == '.' || c.is_whitespace()) {
            return Err(TargetError::DotSegment);
        }
    }
    Ok(())
}

/// Characters that compatibility forms (NFKC, IDNA) or "best fit" code pages fold into a separator,
/// a percent sign or a question mark, or into text that has one. All full-width ASCII is among them: a
/// folded letter leads to another path as well.
fn is_look_alike(c: char) -> bool {
    matches!(c, '\u{ff01}'..='\u{ff5e}' | '\u{fe50}'..='\u{fe6b}') // full-width, small forms
        || matches!(c, '\u{fe10}'..='\u{fe19}' | '\u{fe30}') // vertical forms
        || matches!(c, '\u{2024}'..='\u{2026}') // leaders, ellipsis
        || matches!(c, '\u{3002}' | '\u{ff61}') // ideographic full stops
        || matches!(c, '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{337}' | '\u{338}') // other solidi
        || matches!(c, '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}') // a/c, a/s, c/o, c/u
        || matches!(c, '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{20e5}') // reverse solidi
        || matches!(c, '\u{a5}' | '\u{20a9}') // yen and won, the backslash of two code pages
        || matches!(c, '\u{2047}'..='\u{2049}') // doubled question and exclamation marks
        || c == '\u{66a}' // the Arabic percent sign
        || c == '\u{37e}' // the Greek question mark, canonically a semicolon
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
