//! Verifying an ID token (OpenID Connect Core section 3.1.3.7).
//!
//! Signature, key choice, algorithm, issuer, audience, expiry and nonce are judged by the
//! `openidconnect` crate; what it leaves to its caller is judged here: `azp`, `iat` and `nbf` in the
//! future, `at_hash`, and a `sub` that says something. Every refusal has a name.
//!
//! Not supported, because the crate is not: ES512 (P-521), Ed448, and encrypted tokens.

mod fault;
pub(super) mod parts;

use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use openidconnect::core::{
    CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier, CoreJsonWebKey,
    CoreJwsSigningAlgorithm as Algorithm,
};
use openidconnect::{
    AccessToken, AccessTokenHash, ClientId, ClientSecret, IssuerUrl, JsonWebKey as _, Nonce,
};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

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

    fn check(self, found: Option<&Nonce>) -> Result<(), String> {
        let found = found.map(Nonce::secret).map(String::as_str);
        let is = |wanted: &str| {
            found.is_some_and(|found| bool::from(found.as_bytes().ct_eq(wanted.as_bytes())))
        };
        let right = match self {
            Self::Equal(nonce) => is(nonce),
            Self::AbsentOr(known) => found.is_none() || known.is_some_and(is),
        };
        right
            .then_some(())
            .ok_or_else(|| "another nonce".to_owned())
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
        Algorithm::RsaSsaPkcs1V15Sha256,
        Algorithm::EcdsaP256Sha256,
        Algorithm::EcdsaP384Sha384,
        Algorithm::EdDsa,
    ];
    if allow_hs256 {
        algorithms.push(Algorithm::HmacSha256);
    }
    algorithms
}

/// The name of an algorithm in `alg` (RFC 7518 section 3.1).
pub fn algorithm_name(algorithm: &Algorithm) -> String {
    match serde_json::to_value(algorithm) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Verifies a token that came straight from the token endpoint.
///
/// # Errors
/// The first [`TokenFault`]; nothing of the token may be used then.
pub fn verify(raw: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Verified, TokenFault> {
    let parts = Parts::decode(raw)?;
    parts.check_presence(expected.nonce.must_be_there())?;
    parts.check_form()?;
    let token = CoreIdToken::from_str(raw).map_err(|error| unreadable(&error))?;
    let trust = expected.trust();
    let verifier = verifier(keys, &trust)?;
    let claims = token
        .claims(&verifier, |found: Option<&Nonce>| {
            expected.nonce.check(found)
        })
        .map_err(|error| parts.fault(&error, &trust))?;
    check_authorized_party(claims, expected.client_id)?;
    check_access_token_hash(&token, claims, &verifier, expected)?;
    parts.check_times(expected.now)?;
    parts.into_verified()
}

/// Judges issuer, audience, time, algorithm and signature.
pub(super) fn verifier<'a>(
    keys: &KeySet,
    trust: &Trust<'a>,
) -> Result<CoreIdTokenVerifier<'a>, TokenFault> {
    let client_id = ClientId::new(trust.client_id.to_owned());
    let issuer = IssuerUrl::new(trust.issuer.as_str().to_owned())
        .map_err(|error| TokenFault::Malformed(error.to_string()))?;
    let keys = keys.keys().clone();
    let verifier = match trust.hs256_secret {
        Some(secret) => CoreIdTokenVerifier::new_confidential_client(
            client_id,
            ClientSecret::new(secret.expose().clone()),
            issuer,
            keys,
        ),
        None => CoreIdTokenVerifier::new_public_client(client_id, issuer, keys),
    };
    // The verifier refuses at `now >= exp`: one second more makes the whole skew tolerated.
    let earlier = trust.now.unix().saturating_sub(SKEW.as_secs() + 1);
    let clock = SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(earlier))
        .unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(verifier
        .set_allowed_algs(trust.algorithms.iter().cloned())
        .set_time_fn(move || clock.into())
        // Some providers list several clients; `check_authorized_party` then wants ours in `azp`.
        .set_other_audience_verifier_fn(|_| true))
}

/// `azp`, where present, must be our client id; it must be present where the token has other
/// audiences (steps 4 and 5).
pub(super) fn check_authorized_party(
    claims: &CoreIdTokenClaims,
    client_id: &str,
) -> Result<(), TokenFault> {
    let found = claims.authorized_party().map(|party| party.as_str());
    match found {
        Some(party) if party == client_id => Ok(()),
        None if claims.audiences().len() == 1 => Ok(()),
        _ => Err(TokenFault::AuthorizedParty {
            found: found.map(str::to_owned),
        }),
    }
}

/// `at_hash` is optional in the code flow, but a wrong one is refused (section 3.1.3.8).
fn check_access_token_hash(
    token: &CoreIdToken,
    claims: &CoreIdTokenClaims,
    verifier: &CoreIdTokenVerifier<'_>,
    expected: &Expected<'_>,
) -> Result<(), TokenFault> {
    let Some(found) = claims.access_token_hash() else {
        return Ok(());
    };
    let algorithm = token
        .signing_alg()
        .map_err(|_| TokenFault::AccessTokenHash)?;
    let access_token = AccessToken::new(expected.access_token.expose().clone());
    let hash = if *algorithm == Algorithm::HmacSha256 {
        let key = CoreJsonWebKey::new_symmetric(Vec::new());
        AccessTokenHash::from_token(&access_token, algorithm, &key)
    } else {
        let key = token
            .signing_key(verifier)
            .map_err(|_| TokenFault::AccessTokenHash)?;
        AccessTokenHash::from_token(&access_token, algorithm, key)
    };
    match hash {
        Ok(hash) if hash == *found => Ok(()),
        _ => Err(TokenFault::AccessTokenHash),
    }
}

/// The parser quotes the value it choked on, which may be about a person: only the claim's name is
/// kept.
pub(super) fn unreadable(error: &serde_json::Error) -> TokenFault {
    let message = error.to_string();
    let claim = message
        .split_once("Error(\"")
        .and_then(|(_, rest)| rest.split_once(": "))
        .map(|(claim, _)| claim)
        .filter(|claim| claim.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    TokenFault::Malformed(claim.map_or_else(
        || "a header or claim has the wrong type".to_owned(),
        |claim| format!("its claim {claim:?} has the wrong type"),
    ))
}

#[cfg(test)]
pub(super) mod tests;
