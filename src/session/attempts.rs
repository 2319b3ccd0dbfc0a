//! Sign-ins on their way. The browser keeps each one for us, sealed in a cookie of its own, so that
//! several tabs can sign in at once and nobody can fill our memory by beginning.
//!
//! What a cookie proves is that this browser began this attempt, here. That it is answered only once
//! is [`super::used`]'s business.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use subtle::ConstantTimeEq as _;

use super::cookie::{Cookies, LoginCookie};
use super::keyring::{KeyRing, SealError, bound};
use crate::domain::login::{self, Attempt};
use crate::domain::return_to::ReturnTo;
use crate::domain::time::Timestamp;

/// What is sealed here, as the key ring's purpose. What follows names the deployment.
const PURPOSE: &str = "login attempt";
/// Attempts that one browser may have open.
const MOST: usize = 8;
/// What all of them together may add to a request's head: servers refuse heads of 8 KiB.
const MOST_BYTES: usize = 6 * 1024;
/// Browsers refuse a cookie whose name and value are longer together.
const LONGEST_COOKIE: usize = 4096;
/// Deletions in one response; what is left over goes with the next one.
const MOST_DELETIONS: usize = 64;

/// Login attempts in cookies.
#[derive(Debug)]
pub struct Attempts {
    cookies: Cookies,
    keys: Arc<KeyRing>,
    purpose: String,
}

/// Why a callback's `state` names no attempt that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// This browser holds no such attempt: it was begun elsewhere, dropped, changed, or the browser
    /// keeps no cookies.
    #[error("the browser brought no login attempt for this state")]
    Missing,
    /// It was begun here, too long ago.
    #[error("the login attempt has expired")]
    Expired,
}

impl Attempts {
    /// Attempts in cookies of these names, sealed with these keys.
    pub fn new(cookies: Cookies, keys: Arc<KeyRing>) -> Self {
        Self {
            cookies,
            keys,
            purpose: PURPOSE.to_owned(),
        }
    }

    /// Ties the attempts to one deployment, named by these texts (its origin, its provider, its
    /// client id): another one with the same keys opens none of them.
    #[must_use]
    pub fn bound_to(mut self, deployment: &[&str]) -> Self {
        self.purpose = bound(&self.purpose, deployment);
        self
    }

    /// The `Set-Cookie` values that put `attempt` into the browser: its own first, then deletions, so
    /// that no more than 8 attempts and 6 KiB of them are left of those that `headers` bring. What is
    /// unreadable or expired goes first, then the oldest.
    ///
    /// A return path that would make the cookie longer than browsers take is replaced by `/`.
    ///
    /// # Errors
    /// [`SealError`] when the attempt cannot be written at all: its state is not one of ours.
    pub fn plant(
        &self,
        attempt: &Attempt,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Vec<String>, SealError> {
        let tag = tag_of(&attempt.state).ok_or(SealError)?;
        let name = self.cookies.login_name(&tag);
        let mut sealed = self.seal(&name, attempt)?;
        if name.len() + sealed.len() > LONGEST_COOKIE {
            let ending_at_root = Attempt {
                return_to: ReturnTo::root(),
                ..attempt.clone()
            };
            sealed = self.seal(&name, &ending_at_root)?;
        }
        let size = name.len() + sealed.len();
        let surplus = self.surplus(headers, &tag, size, now);
        let set = self.cookies.set_login(&tag, &sealed, login::LIFETIME);
        Ok(std::iter::once(set).chain(surplus).collect())
    }

    /// The attempt that a callback's `state` answers.
    ///
    /// # Errors
    /// [`AttemptError`]; in either case nothing may be redeemed.
    pub fn find(
        &self,
        state: &str,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Attempt, AttemptError> {
        let tag = tag_of(state).ok_or(AttemptError::Missing)?;
        let mut cookies = self
            .cookies
            .login_cookies(headers)
            .filter(|cookie| cookie.tag == tag);
        // Of two cookies with one name, one was planted, and nothing tells which.
        let (Some(cookie), None) = (cookies.next(), cookies.next()) else {
            return Err(AttemptError::Missing);
        };
        let attempt = self.open(&cookie).ok_or(AttemptError::Missing)?;
        if !bool::from(attempt.state.as_bytes().ct_eq(state.as_bytes())) {
            return Err(AttemptError::Missing);
        }
        if attempt.expired(now) {
            Err(AttemptError::Expired)
        } else {
            Ok(attempt)
        }
    }

    /// The `Set-Cookie` value that takes the attempt with this `state` out of the browser; `None` for
    /// a state that is none of ours.
    pub fn forget(&self, state: &str) -> Option<String> {
        tag_of(state).map(|tag| self.cookies.delete_login(&tag))
    }

    fn seal(&self, name: &str, attempt: &Attempt) -> Result<String, SealError> {
        let text = serde_json::to_vec(attempt).map_err(|_| SealError)?;
        self.keys.seal(name, &self.purpose, &text)
    }

    fn open(&self, cookie: &LoginCookie<'_>) -> Option<Attempt> {
        let name = self.cookies.login_name(cookie.tag);
        let text = self.keys.open(&name, &self.purpose, cookie.value)?;
        serde_json::from_slice(&text).ok()
    }

    /// Deletions of what the browser holds too much of once a cookie of `size` bytes is added.
    fn surplus(
        &self,
        headers: &HeaderMap,
        added: &str,
        size: usize,
        now: Timestamp,
    ) -> impl Iterator<Item = String> {
        let mut held: HashMap<&str, (Option<Timestamp>, usize)> = HashMap::new();
        for cookie in self
            .cookies
            .login_cookies(headers)
            .filter(|cookie| cookie.tag != added)
        {
            let open = self.open(&cookie).filter(|attempt| !attempt.expired(now));
            let size = self.cookies.login_name(cookie.tag).len() + cookie.value.len();
            held.entry(cookie.tag)
                .and_modify(|(begun, _)| *begun = None)
                .or_insert((open.map(|attempt| attempt.started_at), size));
        }
        let mut newest_first: Vec<_> = held.into_iter().collect();
        newest_first.sort_unstable_by_key(|(tag, (started_at, _))| (Reverse(*started_at), *tag));
        let (mut count, mut bytes) = (1, size);
        newest_first.retain(|(_, (started_at, size))| {
            count += 1;
            bytes += size;
            started_at.is_none() || count > MOST || bytes > MOST_BYTES
        });
        let oldest_first = newest_first.into_iter().rev().take(MOST_DELETIONS);
        oldest_first.map(|(tag, _)| self.cookies.delete_login(tag))
    }
}

/// The name of the attempt that `state` belongs to; `None` for a state that we cannot have made.
fn tag_of(state: &str) -> Option<String> {
    Some(login::tag(state)).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests;
