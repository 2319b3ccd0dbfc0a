//! Verifying an ID token (OpenID Connect Core section 3.1.3.7), in the order of that section. Every refusal
//! has a name.
//!
//! Whether somebody signed it is `parts` and [`super::jwks`], with ring's algorithms; the types of what it
//! says are `form`. Tests put the same tokens to the `openidconnect` crate: what that refuses is refused here.
//!
//! Not supported: ES512 (P-521), Ed448, RSASSA-PSS, and encrypted tokens.

mod fault;
pub(super) mod form;
pub(super) mod parts;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::algorithm::Algorithm;
use super::jwks::KeySet;
use crate::domain::identity::{Issuer, ProviderSession, Subject};
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;

pub use fault::TokenFault;
use parts::Parts;
pub(super) use parts::numeric_date;

/// How far the provider's clock may be off, in either direction. Exactly this much is tolerated.
pub const SKEW: Duration = Duration::from_mins(1);

/// What a token must match.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a Issuer,
    /// Must be in `aud`; must be `azp` where that is present or `aud` has others.
    pub client_id: &'a str,
    /// The client secret, only where HS256 is accepted.
    pub hs256_secret: Option<&'a Secret<String>>,
    /// Accepted algorithms.
    pub algorithms: &'a [Algorithm],
    /// What `nonce` must be.
    pub nonce: ExpectedNonce<'a>,
    /// The access token of the same answer, for `at_hash`.
    pub access_token: &'a Secret<String>,
    /// The present.
    pub now: Timestamp,
}

/// What every token of the provider must match, whatever it is for; as in [`Expected`].
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a Issuer,
    /// Must be in `aud`; must be `azp` where that is present or `aud` has others.
    pub client_id: &'a str,
    /// The client secret, only where HS256 is accepted.
    pub hs256_secret: Option<&'a Secret<String>>,
    /// Accepted algorithms.
    pub algorithms: &'a [Algorithm],
    /// The present.
    pub now: Timestamp,
}

impl<'a> Expected<'a> {
    const fn trust(&self) -> Trust<'a> {
        Trust {
            issuer: self.issuer,
            client_id: self.client_id,
            hs256_secret: self.hs256_secret,
            algorithms: self.algorithms,
            now: self.now,
        }
    }
}

/// What the `nonce` of a token must be.
#[derive(Clone, Copy, Debug)]
pub enum ExpectedNonce<'a> {
    /// Of a sign-in: there, and this one (section 3.1.3.7).
    Equal(&'a str),
    /// Of a refresh: best not there; where it is, the one of the token before, which is the sign-in's.
    /// Where that is not known, no nonce is the right one (section 12.2).
    AbsentOr(Option<&'a str>),
}

impl ExpectedNonce<'_> {
    const fn must_be_there(self) -> bool {
        matches!(self, Self::Equal(_))
    }

    fn check(self, found: Option<&str>) -> Result<(), TokenFault> {
        let is = |wanted: &str| {
            found.is_some_and(|found| bool::from(found.as_bytes().ct_eq(wanted.as_bytes())))
        };
        let right = match self {
            Self::Equal(nonce) => is(nonce),
            Self::AbsentOr(known) => found.is_none() || known.is_some_and(is),
        };
        right.then_some(()).ok_or(TokenFault::Nonce)
    }
}

/// The claims of a token that passed every check.
#[derive(Clone, Debug)]
pub struct Verified {
    /// All of them, as the provider sent them.
    pub claims: Map<String, Value>,
    /// `sub`.
    pub subject: Subject,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `auth_time`.
    pub auth_time: Option<Timestamp>,
    /// `sid`.
    pub provider_session: Option<ProviderSession>,
}

/// The claims of a token that was verified when it came, to compare a newer one with; none where it is
/// no token.
pub(super) fn claims_of(raw: &Secret<String>) -> Map<String, Value> {
    Parts::decode(raw.expose())
        .map(Parts::into_claims)
        .unwrap_or_default()
}

/// The algorithms accepted at all, most usual first.
pub fn accepted_algorithms(allow_hs256: bool) -> Vec<Algorithm> {
    let mut algorithms = vec![
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ];
    if allow_hs256 {
        algorithms.push(Algorithm::Hs256);
    }
    algorithms
}

/// Verifies a token that came straight from the token endpoint.
///
/// # Errors
/// The first [`TokenFault`]; nothing of the token may be used then.
pub fn verify(raw: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Verified, TokenFault> {
    let trust = expected.trust();
    let parts = Parts::decode(raw)?;
    parts.check_presence(expected.nonce.must_be_there())?;
    parts.check_form()?;
    form::check_all(parts.claims())?;
    parts.check_header(form::ID_TOKEN)?;
    parts.check_origin(&trust)?;
    let algorithm = parts.check_signature(raw, keys, &trust)?;
    parts.check_expiry(expected.now)?;
    expected.nonce.check(parts.claim_text("nonce"))?;
    parts.check_authorized_party(expected.client_id)?;
    check_access_token_hash(&parts, algorithm, expected.access_token)?;
    parts.check_times(expected.now)?;
    parts.into_verified()
}

/// `at_hash` is optional in the code flow, but a wrong one is refused (section 3.1.3.8): the left half of
/// the hash that goes with the algorithm.
fn check_access_token_hash(
    parts: &Parts,
    algorithm: Algorithm,
    access_token: &Secret<String>,
) -> Result<(), TokenFault> {
    let Some(found) = parts.claim_text("at_hash") else {
        return Ok(());
    };
    let hash = algorithm.hash(access_token.expose().as_bytes());
    let (half, _) = hash.split_at(hash.len() / 2);
    if URL_SAFE_NO_PAD.encode(half) == found {
        Ok(())
    } else {
        Err(TokenFault::AccessTokenHash)
    }
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
pub(super) mod tests;
