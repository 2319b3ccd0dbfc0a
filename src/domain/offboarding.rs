//! Off-boarding: what proves that a person is gone, and whose turn it is ([`ledger`]). Pure.
//!
//! A refusal that has another explanation proves nothing. Refresh tokens end for many reasons that have
//! nothing to do with the account: they expire, are rotated, or end with the session at the provider. One
//! that was given for `offline_access` outlives that session (OpenID Connect Core section 11), and is not
//! revoked by a logout (Back-Channel Logout section 2.7): where it is refused, little else is left.

pub mod ledger;

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::policy::{Denial, Rules};

pub use ledger::{Case, Ledger, Noticed};

/// What was heard of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The provider refuses their refresh token.
    Refused,
    /// The provider vouches for them, and the rules do not admit them any more.
    LostRight,
}

impl Why {
    /// The word for logs and for the audit log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refused => "refresh_refused",
            Self::LostRight => "lost_right",
        }
    }
}

/// Why nobody is off-boarded by what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// `error` is another than `invalid_grant`: a second factor that is asked for, say.
    #[error("only invalid_grant tells of an account, and this is another error")]
    OtherError,
    /// The provider says itself that it is about the token, or the session it belongs to.
    #[error("the provider says that the token or its session has ended, not the account")]
    TokenOnly,
    /// Nobody asked for `offline_access`: the token ends with the session at the provider.
    #[error("a refresh token without offline_access ends with the session at the provider")]
    EndsWithSession,
    /// The operator counts no refusals.
    #[error("offboarding.refused_refresh is false")]
    Unwanted,
    /// The rules of now would not have admitted the person before, either.
    #[error("the rules have changed, not the person")]
    OurRules,
    /// The provider does not call the address verified any more.
    #[error("an address that is not verified tells nothing of the account")]
    Unverified,
}

/// How much a refused refresh is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// Whether refusals count at all.
    pub count: bool,
    /// Whether `offline_access` is asked for.
    pub offline: bool,
}

/// Descriptions that are about the token or its session (Keycloak), compared without case.
const OF_TOKENS: &[&str] = &[
    "token is not active",
    "session not active",
    "offline session not active",
    "session doesn't have required client",
    "stale token",
    "maximum allowed refresh token reuse exceeded",
];
/// What Entra's descriptions begin with that are: expired, unused for too long, a password that was
/// changed, a sign-in or a second factor that is due.
const CODES_OF_TOKENS: &[&str] = &[
    "AADSTS70008",
    "AADSTS700082",
    "AADSTS700084",
    "AADSTS70043",
    "AADSTS50173",
    "AADSTS50076",
    "AADSTS50078",
    "AADSTS50079",
];
/// Descriptions that are about the account, whatever the token was given for.
const OF_ACCOUNTS: &[&str] = &["user disabled"];
const CODES_OF_ACCOUNTS: &[&str] = &["AADSTS50057", "AADSTS50034"];

/// Whether a refused refresh (RFC 6749 section 5.2) proves that the account is gone.
///
/// # Errors
/// Why it does not.
pub fn weigh_refusal(error: &str, description: &str, refusals: Refusals) -> Result<Why, Doubt> {
    let text = description.trim().trim_end_matches('.');
    let is_one_of = |texts: &[&str]| texts.iter().any(|known| text.eq_ignore_ascii_case(known));
    // `AADSTS70008` is also the beginning of `AADSTS700082`.
    let code = text.split(|c: char| !c.is_ascii_alphanumeric()).next();
    let has_one_of = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
    if !refusals.count {
        Err(Doubt::Unwanted)
    } else if error != "invalid_grant" {
        Err(Doubt::OtherError)
    } else if is_one_of(OF_ACCOUNTS) || has_one_of(CODES_OF_ACCOUNTS) {
        Ok(Why::Refused)
    } else if is_one_of(OF_TOKENS) || has_one_of(CODES_OF_TOKENS) {
        Err(Doubt::TokenOnly)
    } else if !refusals.offline {
        Err(Doubt::EndsWithSession)
    } else {
        Ok(Why::Refused)
    }
}

/// Whether a person whom `rules` admit no longer, as the provider describes them now, has lost a right
/// there: not where the operator took it, which the person as `before` shows.
///
/// # Errors
/// Why not.
pub fn weigh_denial(rules: &Rules, before: &Identity, denial: &Denial) -> Result<Why, Doubt> {
    match denial {
        Denial::UnverifiedEmail { .. } => Err(Doubt::Unverified),
        _ if rules.decide(before).is_err() => Err(Doubt::OurRules),
        Denial::Group { .. } | Denial::Domain { .. } | Denial::User { .. } => Ok(Why::LostRight),
    }
}

#[cfg(test)]
mod tests;
