//! Our cookies: their names, how they are read from a request, set, deleted, and kept away from the
//! upstreams. Every other cookie passes byte for byte.
//!
//! A `Cookie` header is read without ever failing: what is not exactly one well-formed cookie of ours
//! is none. Several headers count as one, joined by `; ` (RFC 9113 section 8.2.3).

use std::time::Duration;

use cookie::time::OffsetDateTime;
use cookie::{Cookie, CookieBuilder, SameSite};
use http::HeaderMap;
use http::header::COOKIE;

use super::id::SessionId;

/// Most session cookies of one request that are ended together: what a browser may have twice, and not
/// as many made-up ones as a head has room for.
const MOST_SESSIONS: usize = 4;
/// Longest tag of a login cookie that can be one of ours.
const LONGEST_TAG: usize = 32;

/// The names of our cookies. With TLS they carry the `__Host-` prefix, so that a browser takes them
/// from this very host over https only (RFC 6265bis section 4.1.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookies {
    secure: bool,
}

/// A login cookie as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginCookie<'a> {
    /// Which attempt it claims to be.
    pub tag: &'a str,
    /// The sealed attempt, or anything else.
    pub value: &'a [u8],
}

impl Cookies {
    /// The names for an https `server_url`, or (`secure` false) for a plaintext one.
    pub const fn new(secure: bool) -> Self {
        Self { secure }
    }

    /// The name of the session cookie.
    pub const fn session_name(self) -> &'static str {
        if self.secure {
            "__Host-headwarden"
        } else {
            "headwarden"
        }
    }

    /// The name of the cookie that holds the login attempt `tag`.
    pub fn login_name(self, tag: &str) -> String {
        format!("{}{tag}", self.login_prefix())
    }

    const fn login_prefix(self) -> &'static str {
        if self.secure {
            "__Host-headwarden-login-"
        } else {
            "headwarden-login-"
        }
    }

    /// The name of the cookie that holds the sign-out that is at the provider.
    pub const fn sign_out_name(self) -> &'static str {
        if self.secure {
            "__Host-headwarden-sign-out"
        } else {
            "headwarden-sign-out"
        }
    }

    /// The session id that the browser brought. `None` also when the cookie occurs twice (somebody
    /// else planted one of them, and nothing tells which) or is not an id.
    pub fn session_id(self, headers: &HeaderMap) -> Option<SessionId> {
        SessionId::parse(only(headers, self.session_name())?)
    }

    /// The session ids that the browser brought, four at most, also where [`Cookies::session_id`] takes
    /// none of them: for ending sessions, never for letting anybody through.
    pub fn session_ids(self, headers: &HeaderMap) -> impl Iterator<Item = SessionId> {
        pairs(headers)
            .filter(move |(name, _)| *name == self.session_name().as_bytes())
            .filter_map(|(_, value)| SessionId::parse(value))
            .take(MOST_SESSIONS)
    }

    /// Whether the request brings a session cookie at all, live or not, well-formed or not: then a
    /// deletion is worth sending.
    pub fn has_session_cookie(self, headers: &HeaderMap) -> bool {
        pairs(headers).any(|(name, _)| name == self.session_name().as_bytes())
    }

    /// Every login cookie, in the order of the headers; a tag may occur twice.
    pub fn login_cookies(self, headers: &HeaderMap) -> impl Iterator<Item = LoginCookie<'_>> {
        pairs(headers).filter_map(move |(name, value)| {
            let tag = name.strip_prefix(self.login_prefix().as_bytes())?;
            let ours =
                (1..=LONGEST_TAG).contains(&tag.len()) && tag.iter().all(|b| is_tag_byte(*b));
            let tag = std::str::from_utf8(tag).ok().filter(|_| ours)?;
            Some(LoginCookie { tag, value })
        })
    }

    /// `Set-Cookie` for a session. It has no `Max-Age`: the browser drops it when it closes, the
    /// server ends it by its limits.
    pub fn set_session(self, id: &SessionId) -> String {
        self.build(self.session_name(), &id.expose())
            .build()
            .to_string()
    }

    /// `Set-Cookie` that deletes the session cookie.
    pub fn delete_session(self) -> String {
        self.delete(self.session_name())
    }

    /// `Set-Cookie` for the login attempt `tag`; `sealed` is base64url.
    pub fn set_login(self, tag: &str, sealed: &str, max_age: Duration) -> String {
        self.set_for(&self.login_name(tag), sealed, max_age)
    }

    /// `Set-Cookie` that deletes the cookie of the login attempt `tag`.
    pub fn delete_login(self, tag: &str) -> String {
        self.delete(&self.login_name(tag))
    }

    /// The sealed sign-out that the browser brought; `None` also when the cookie occurs twice.
    pub fn sign_out(self, headers: &HeaderMap) -> Option<&[u8]> {
        only(headers, self.sign_out_name())
    }

    /// `Set-Cookie` for a sign-out; `sealed` is base64url.
    pub fn set_sign_out(self, sealed: &str, max_age: Duration) -> String {
        self.set_for(self.sign_out_name(), sealed, max_age)
    }

    /// `Set-Cookie` that deletes the cookie of a sign-out.
    pub fn delete_sign_out(self) -> String {
        self.delete(self.sign_out_name())
    }

    /// A `Cookie` header without our cookies, everything else as it was, byte for byte; `None` when
    /// no cookie is left, and the header with it.
    pub fn strip_ours(self, header: &[u8]) -> Option<Vec<u8>> {
        keep(header, |name| !self.is_ours(name))
    }

    /// Whether a cookie of this name is ours: nobody else may read it or set it. Without case, and
    /// for every login cookie's name whatever follows its prefix, since browsers and upstreams are
    /// lenient about both.
    pub fn is_ours(self, name: &[u8]) -> bool {
        let prefix = self.login_prefix().as_bytes();
        let whole = [self.session_name(), self.sign_out_name()];
        whole
            .iter()
            .any(|ours| name.eq_ignore_ascii_case(ours.as_bytes()))
            || name
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }

    fn build<'a>(self, name: &'a str, value: &'a str) -> CookieBuilder<'a> {
        Cookie::build((name, value))
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .path("/")
    }

    fn set_for(self, name: &str, value: &str, max_age: Duration) -> String {
        let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        self.build(name, value)
            .max_age(cookie::time::Duration::seconds(seconds))
            .build()
            .to_string()
    }

    fn delete(self, name: &str) -> String {
        self.build(name, "")
            .max_age(cookie::time::Duration::ZERO)
            .expires(OffsetDateTime::UNIX_EPOCH)
            .build()
            .to_string()
    }
}

/// A `Cookie` header with only the cookies called one of `names`, alone or with a suffix behind `_`,
/// each as it was, byte for byte; `None` when there is none. For the callback that two sign-ins share.
pub fn only_named(header: &[u8], names: &[&str]) -> Option<Vec<u8>> {
    keep(header, |name| {
        names.iter().any(|wanted| {
            name.strip_prefix(wanted.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"_"))
        })
    })
}

/// The parts of `header` whose cookie name is `wanted`. A header that is wanted whole is returned
/// unchanged, so that oddities of other people's cookies survive.
fn keep(header: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(header.len());
    let (mut whole, mut first) = (true, true);
    for part in header.split(|byte| *byte == b';') {
        if !wanted(split(part).0) {
            whole = false;
            continue;
        }
        if !std::mem::take(&mut first) {
            kept.push(b';');
        }
        kept.extend_from_slice(part);
    }
    if whole {
        return Some(kept).filter(|header| !header.is_empty());
    }
    // The first one left may have stood behind another: its blank belonged to the separator.
    if kept.first() == Some(&b' ') {
        kept.remove(0);
    }
    let empty = kept.iter().all(|byte| matches!(byte, b';' | b' ' | b'\t'));
    (!empty).then_some(kept)
}

/// The value of the cookie `name`, if it occurs exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = pairs(headers).filter(|(found, _)| *found == name.as_bytes());
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// Names and values of all cookies of a request.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .map(split)
}

/// Name and value of one cookie, blanks around both removed. Without `=` all of it is a value
/// (RFC 6265bis section 5.6).
fn split(part: &[u8]) -> (&[u8], &[u8]) {
    let at = part.iter().position(|byte| *byte == b'=');
    match at.and_then(|at| part.split_at_checked(at)) {
        Some((name, value)) => (
            name.trim_ascii(),
            value.strip_prefix(b"=").unwrap_or(value).trim_ascii(),
        ),
        None => (&[], part.trim_ascii()),
    }
}

const fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests;
