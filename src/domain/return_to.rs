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
/// How often a target is decoded when it is looked at for line breaks. Nobody does it more often.
const DECODINGS: usize = 4;

/// The pages of ours that a person may want to come back to.
const OWN_PAGES: [&str; 4] = [
    "/.headwarden/sessions",
    "/.headwarden/devices",
    "/.headwarden/devices/add",
    "/.headwarden/devices/people",
];

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
    /// be visited again), and for our own endpoints (which would loop), a person's sessions and devices aside.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let target = Target::parse(text.as_bytes()).ok()?;
        let goes = OWN_PAGES.contains(&text) || !loops(target.path());
        (goes && !breaks_lines(text)).then(|| Self(text.to_owned()))
    }

    /// Path and query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a path leads to an endpoint of ours, also when somebody on the way decodes it.
fn loops(path: &str) -> bool {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let path = decoded.split('?').next().unwrap_or_default().trim_end();
    ["/oidc/callback", "/.headwarden"].iter().any(|own| {
        path.strip_prefix(own)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether `text`, however often it is decoded, has what could end a line.
fn breaks_lines(text: &str) -> bool {
    let mut text = text.to_owned();
    for _ in 0..DECODINGS {
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if ends_lines(&decoded) {
            return true;
        }
        if decoded == text {
            return false;
        }
        text = decoded;
    }
    false
}

/// A control character (in the query, since a path cannot have one), or what becomes a line break when
/// its code points are cut to bytes, as U+560A and U+560D did in the header of a large site. Others of
/// that kind are refused only in pairs, as CR LF is one: `上` and `不` are in many an honest link.
fn ends_lines(text: &str) -> bool {
    let cut = |c: char| {
        (c > '\u{2ff}')
            .then(|| u32::from(c) & 0xff)
            .filter(|low| matches!(low, 0x0a | 0x0d))
    };
    let pair = |(c, next)| matches!((cut(c), cut(next)), (Some(one), Some(other)) if one != other);
    text.chars()
        .any(|c| c.is_control() || matches!(c, '\u{560a}' | '\u{560d}'))
        || text.chars().zip(text.chars().skip(1)).any(pair)
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
