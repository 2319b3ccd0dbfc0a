//! Where a person goes after signing in: always a path of ours.
//!
//! A target is taken only when it is a canonical [`Target`], whose every reading stays on this
//! origin: it begins with one `/` and has no second one, no backslash, no dot segment and no
//! escape of any of these. Checked again whenever it is read back from where it was kept.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::path::Target;

/// The longest target that is remembered, in bytes.
const LONGEST: usize = 2048;

/// A path and query of this origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReturnTo(String);

/// It is no path that a person may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path of this origin")]
pub struct NotOurs;

impl ReturnTo {
    /// The front page.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Parses a target; `None` for whatever is not provably ours, for the callback (which must never
    /// be visited again), and for our own endpoints (which would loop).
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let target = Target::parse(text.as_bytes()).ok()?;
        let path = target.path();
        let loops = path == "/oidc/callback"
            || path == "/.headwarden"
            || path.starts_with("/.headwarden/")
            || path.starts_with("/oidc/callback/");
        (!loops && !breaks_lines(text)).then(|| Self(text.to_owned()))
    }

    /// Path and query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text`, decoded once, has a control character (in the query, since a path cannot), or one
/// that becomes a line break when its code point is cut to a byte, as U+560A did in the header of a
/// large site. The first letters of Unicode are left alone: `č` is one of them.
fn breaks_lines(text: &str) -> bool {
    percent_decode_str(text)
        .decode_utf8_lossy()
        .chars()
        .any(|c| c.is_control() || (c > '\u{2ff}' && matches!(u32::from(c) & 0xff, 0x0a | 0x0d)))
}

impl TryFrom<String> for ReturnTo {
    type Error = NotOurs;

    fn try_from(text: String) -> Result<Self, NotOurs> {
        Self::parse(&text).ok_or(NotOurs)
    }
}

impl From<ReturnTo> for String {
    fn from(target: ReturnTo) -> Self {
        target.0
    }
}

#[cfg(test)]
mod tests;
