//! Verifying a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6): the provider's word
//! that a person, or one session of theirs there, is over.
//!
//! Keys, algorithms, issuer, audience and times are judged as an ID token's are, by the same code. What
//! is of its own: the type, the event, no nonce, and somebody or something whose sessions end. That a
//! token counts once is left to whoever acts on it: see [`LogoutToken::used_as`].

use std::time::Duration;

use serde_json::Value;

use super::id_token::parts::Parts;
use super::id_token::{SKEW, TokenFault, Trust};
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
const TYPES: &[&str] = &["application/logout+jwt", "application/jwt"];

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
    parts.check_header(TYPES)?;
    parts.check_origin(trust)?;
    parts.check_expiry(trust.now)?;
    parts.check_authorized_party(trust.client_id)?;
    parts.check_times(trust.now)?;
    check_age(&parts, trust)?;
    let read = read(&parts, trust)?;
    parts.check_signature(raw, keys, trust)?;
    Ok(read)
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
