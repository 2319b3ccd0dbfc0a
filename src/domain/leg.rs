//! What ties the two sign-ins together: a person's with the provider, and Headscale's with us.
//!
//! When a device's link is forwarded, Headscale answers with a redirect to our authorization
//! endpoint. That request is recorded in the session that asked. Only a request equal to it is
//! answered, once; and only the state and code that were issued to this session let a callback
//! through, once. So nobody can finish in their browser what was begun in another.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::door::AuthId;
use super::hash::sha256;
use super::time::Timestamp;

/// How many legs a session remembers; the oldest goes first.
const MOST: usize = 16;
/// How long: no longer than Headscale remembers its own part.
const LIFETIME: Duration = Duration::from_mins(15);

/// An authorization request of Headscale's, checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizeRequest {
    /// `state`.
    pub state: String,
    /// `nonce`, echoed in the ID token.
    pub nonce: String,
    /// The S256 `code_challenge`, if Headscale uses PKCE.
    pub challenge: Option<String>,
    /// Where the code goes.
    pub redirect_uri: String,
    /// As asked for.
    pub scope: String,
}

/// What a leg is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegKind {
    /// A device that wants to join.
    Register(AuthId),
    /// An SSH session that wants to begin.
    SshCheck(AuthId),
}

/// One authorization request that Headscale will make through this session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leg {
    /// What it will ask.
    pub request: AuthorizeRequest,
    /// What it is about.
    pub kind: LegKind,
    /// When it was seen.
    pub recorded_at: Timestamp,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegError {
    /// No link that was forwarded through this session led to it, or it was answered already, or it
    /// is too old.
    #[error("no open request with this state in this session")]
    Unknown,
    /// The state is known, but something else differs.
    #[error("the request differs from the one that headscale made")]
    Different,
}

/// A code that was given out, by its hash: a session holds nothing that could be redeemed.
#[derive(Serialize, Deserialize)]
struct Issued {
    state: String,
    code: [u8; 32],
    at: Timestamp,
}

/// The legs of one session.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Legs {
    open: VecDeque<Leg>,
    issued: VecDeque<Issued>,
}

impl Legs {
    /// Remembers what Headscale is about to ask. Of two with the same state the newer one counts, so
    /// that no state is answered twice.
    pub fn record(&mut self, leg: Leg, now: Timestamp) {
        self.forget(now);
        self.open
            .retain(|open| !same(&open.request.state, &leg.request.state));
        while self.open.len() >= MOST {
            self.open.pop_front();
        }
        self.open.push_back(leg);
    }

    /// Takes the leg that `request` belongs to; it is answered once.
    ///
    /// # Errors
    /// See [`LegError`]. A request that differs takes nothing.
    pub fn answer(&mut self, request: &AuthorizeRequest, now: Timestamp) -> Result<Leg, LegError> {
        self.forget(now);
        let at = self
            .open
            .iter()
            .position(|leg| same(&leg.request.state, &request.state))
            .ok_or(LegError::Unknown)?;
        if self.open.get(at).is_none_or(|leg| leg.request != *request) {
            return Err(LegError::Different);
        }
        self.open.remove(at).ok_or(LegError::Unknown)
    }

    /// Remembers the code that was given out for `state`; an earlier one for the same state is over.
    pub fn issued(&mut self, state: &str, code: &str, now: Timestamp) {
        self.forget(now);
        self.issued.retain(|issued| !same(&issued.state, state));
        while self.issued.len() >= MOST {
            self.issued.pop_front();
        }
        self.issued.push_back(Issued {
            state: state.to_owned(),
            code: hash(code),
            at: now,
        });
    }

    /// Whether a callback with this state and code is one that this session was sent to; once. A wrong
    /// code takes nothing.
    pub fn take_callback(&mut self, state: &str, code: &str, now: Timestamp) -> bool {
        self.forget(now);
        let code = hash(code);
        let ours =
            |issued: &Issued| same(&issued.state, state) && bool::from(issued.code.ct_eq(&code));
        match self.issued.iter().position(ours) {
            Some(at) => self.issued.remove(at).is_some(),
            None => false,
        }
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.issued.is_empty()
    }

    fn forget(&mut self, now: Timestamp) {
        self.open
            .retain(|leg| now.since(leg.recorded_at) < LIFETIME);
        self.issued.retain(|issued| now.since(issued.at) < LIFETIME);
    }
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn hash(code: &str) -> [u8; 32] {
    sha256(code.as_bytes())
}

/// For logs: without what would let somebody else finish it.
impl fmt::Debug for AuthorizeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeRequest")
            .field("redirect_uri", &self.redirect_uri)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
