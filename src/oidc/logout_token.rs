//! Verifying a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6): the provider's word
//! that a person, or one session of theirs there, is over.
//!
//! Keys, algorithms, issuer, audience and times are judged as an ID token's are, by the same code. What
//! is of its own: the type, the event, no nonce, and somebody or something whose sessions end. That a
//! token counts once is left to whoever acts on it: see [`LogoutToken::used_as`].

use std::str::FromStr as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey, CoreJwsSigningAlgorithm as Algorithm,
};
use openidconnect::{
    JsonWebKey as _, JsonWebTokenType, NormalizedJsonWebTokenType, SignatureVerificationError,
};
use serde_json::{Map, Value};

use super::id_token::parts::Parts;
use super::id_token::{SKEW, TokenFault, Trust, check_authorized_party, unreadable, verifier};
use super::jwks::KeySet;
use crate::domain::departure::Departure;
use crate::domain::identity::{ProviderSession, Subject};

/// The longest time between a token's `iat` and its arrival, the skew aside: providers keep them in
/// queues, for minutes where those are long. A token can be valid for no longer, and so its `jti`
/// need not be remembered for longer.
pub const LONGEST_AGE: Duration = Duration::from_hours(1);

/// The member of `events` that makes a token a logout token (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// `typ` of a logout token, and what those who came before the name call it (section 2.4).
const TYPES: [&str; 2] = ["logout+jwt", "JWT"];

/// A token that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// Whose sessions end.
    pub departure: Departure,
    /// What the token is remembered as, so that it counts once: its issuer and its `jti`.
    pub used_as: String,
}

/// Verifies a token that somebody posted.
///
/// # Errors
/// The first [`TokenFault`]; nothing may end then.
pub fn verify(raw: &str, keys: &KeySet, trust: &Trust<'_>) -> Result<LogoutToken, TokenFault> {
    let parts = Parts::decode(raw)?;
    parts.check_dates()?;
    parts.check_form()?;
    let token = stand_in(raw, &parts)?;
    // The signature is over the claims as they came, and not over those of the stand-in: see below.
    let verifier = verifier(keys, trust)?
        .set_allowed_jose_types(types())
        .insecure_disable_signature_check();
    let claims = token
        .claims(&verifier, |_: Option<&openidconnect::Nonce>| Ok(()))
        .map_err(|error| parts.fault(&error, trust))?;
    check_authorized_party(claims, trust.client_id)?;
    parts.check_times(trust.now)?;
    check_age(&parts, trust)?;
    let read = read(&parts, trust)?;
    check_signature(raw, &token, &verifier, trust)
        .map_err(|error| parts.signature_fault(&error))?;
    Ok(read)
}

fn types() -> impl Iterator<Item = NormalizedJsonWebTokenType> {
    TYPES
        .into_iter()
        .filter_map(|kind| JsonWebTokenType::new(kind.to_owned()).normalize().ok())
}

/// The token as an ID token of the same header, for the one verifier that there is: it reads nothing
/// without a `sub`, which a logout token need not have. Only what it judges goes along.
fn stand_in(raw: &str, parts: &Parts) -> Result<CoreIdToken, TokenFault> {
    let mut claims: Map<String, Value> = ["iss", "aud", "azp", "exp", "iat"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), parts.claim(name)?.clone())))
        .collect();
    claims.insert("sub".to_owned(), "anybody".into());
    let claims = URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
    let (header, rest) = raw.split_once('.').unwrap_or_default();
    let (_, signature) = rest.split_once('.').unwrap_or_default();
    CoreIdToken::from_str(&format!("{header}.{claims}.{signature}"))
        .map_err(|error| unreadable(&error))
}

/// Whether the key that the header names signed `raw`, by the verifier's choice of keys.
fn check_signature(
    raw: &str,
    token: &CoreIdToken,
    verifier: &CoreIdTokenVerifier<'_>,
    trust: &Trust<'_>,
) -> Result<(), SignatureVerificationError> {
    let algorithm = token.signing_alg()?;
    if !trust.algorithms.contains(algorithm) {
        let name = super::id_token::algorithm_name(algorithm);
        return Err(SignatureVerificationError::DisallowedAlg(name));
    }
    let (signed, signature) = raw.rsplit_once('.').unwrap_or_default();
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| SignatureVerificationError::NoSignature)?;
    let verify =
        |key: &CoreJsonWebKey| key.verify_signature(algorithm, signed.as_bytes(), &signature);
    match (algorithm, trust.hs256_secret) {
        (Algorithm::HmacSha256, Some(secret)) => verify(&CoreJsonWebKey::new_symmetric(
            secret.expose().clone().into_bytes(),
        )),
        (Algorithm::HmacSha256, None) => Err(SignatureVerificationError::DisallowedAlg(
            "HS256".to_owned(),
        )),
        _ => verify(token.signing_key(verifier)?),
    }
}

/// A token that lay about for long is rather stolen than late.
fn check_age(parts: &Parts, trust: &Trust<'_>) -> Result<(), TokenFault> {
    let issued_at = parts.date("iat").ok_or(TokenFault::IssuedAtMissing)?;
    let age = trust.now.since(issued_at);
    if age > LONGEST_AGE + SKEW {
        return Err(TokenFault::Stale {
            seconds: age.as_secs(),
        });
    }
    Ok(())
}

/// What the claims say (section 2.4), in the order of section 2.6.
fn read(parts: &Parts, trust: &Trust<'_>) -> Result<LogoutToken, TokenFault> {
    let text = |name: &str| match (parts.claim(name), parts.text(name)) {
        (Some(_), None) => Err(TokenFault::Malformed(format!(
            "its claim {name:?} is not a text"
        ))),
        (_, text) => Ok(text),
    };
    let subject = text("sub")?.map(Subject::new);
    let session = text("sid")?.map(ProviderSession::new);
    let departure = match (subject, session) {
        (Some(subject), Some(session)) => Departure::SessionOf(session, subject),
        (Some(subject), None) => Departure::Person(subject),
        (None, Some(session)) => Departure::Session(session),
        (None, None) => return Err(TokenFault::NobodyNamed),
    };
    let event = parts
        .claim("events")
        .and_then(|events| events.as_object()?.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(TokenFault::NoLogoutEvent);
    }
    // Even null: whoever writes it there means an ID token.
    if parts.has("nonce") {
        return Err(TokenFault::NonceForbidden);
    }
    let identifier = text("jti")?.ok_or(TokenFault::IdentifierMissing)?;
    Ok(LogoutToken {
        departure,
        // With the length of the first, so that no two pairs are one text.
        used_as: format!(
            "logout token {}:{} {identifier}",
            trust.issuer.as_str().len(),
            trust.issuer
        ),
    })
}

#[cfg(test)]
mod tests;
