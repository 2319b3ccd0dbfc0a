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
use super::session::Footing;

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
    /// The answer to an earlier refresh was lost: it may have had the token that counts now.
    #[error(
        "the answer to an earlier refresh was lost, and the refresh token may have changed by it"
    )]
    LostAnswer,
    /// The provider says itself that it is about something else than the account.
    #[error("the provider says that it is about the token or its session, not the account")]
    TokenOnly,
    /// The sign-in did not ask for `offline_access`: the token ends with the session at the provider.
    #[error("a refresh token without offline_access ends with the session at the provider")]
    EndsWithSession,
    /// The operator counts no refusals.
    #[error("offboarding.refused_refresh is false")]
    Unwanted,
    /// The rules of now would not have admitted the person before, either.
    #[error("the rules have changed, not the person")]
    OurRules,
    /// What the rule asks about did not come at all: more often a mapping than a person.
    #[error("the provider said nothing at all of what the rule asks about")]
    NotTold,
    /// The claims were read by other settings before.
    #[error("the settings by which claims are asked for and read have changed, or are not known")]
    OtherReading,
    /// The provider does not call the address verified any more.
    #[error("an address that is not verified tells nothing of the account")]
    Unverified,
}

/// How much a refused refresh is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// Whether refusals count at all.
    pub count: bool,
    /// What is known of the refused token.
    pub footing: Footing,
}

/// Descriptions that are about the token or its session (Keycloak), compared without case.
const OF_TOKENS: &[&str] = &[
    "token is not active",
    "session not active",
    "offline session not active",
    "offline user session not found",
    "offline session invalid because offline access not granted anymore",
    "client session not active",
    "session doesn't have required client",
    "unmatching clients",
    "refresh token issued before the user session started",
    "refresh token issued before the client session started",
    "stale token",
    "maximum allowed refresh token reuse exceeded",
];
/// What every description of Entra's begins with. Most of its codes are about a token, a device, a place,
/// a password or a second factor, and new ones come: only known ones are about the account.
const CODED: &str = "AADSTS";
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
    // `AADSTS50057` is also the beginning of `AADSTS500571`.
    let code = text.split(|c: char| !c.is_ascii_alphanumeric()).next();
    let has_one_of = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
    if !refusals.count {
        Err(Doubt::Unwanted)
    } else if error != "invalid_grant" {
        Err(Doubt::OtherError)
    } else if is_one_of(OF_ACCOUNTS) || has_one_of(CODES_OF_ACCOUNTS) {
        Ok(Why::Refused)
    } else if refusals.footing.in_doubt {
        Err(Doubt::LostAnswer)
    } else if is_one_of(OF_TOKENS) || text.starts_with(CODED) {
        Err(Doubt::TokenOnly)
    } else if !refusals.footing.offline {
        Err(Doubt::EndsWithSession)
    } else {
        Ok(Why::Refused)
    }
}

/// Whether a person whom `rules` admit no longer, as the provider describes them now, has lost a right
/// there: not where the operator took it, which the person as `before` shows, nor where it may be that only
/// what is read of the provider's claims has changed, which `same_reading` denies.
///
/// # Errors
/// Why not.
pub fn weigh_denial(
    rules: &Rules,
    before: &Identity,
    denial: &Denial,
    same_reading: bool,
) -> Result<Why, Doubt> {
    match denial {
        Denial::UnverifiedEmail { .. } => Err(Doubt::Unverified),
        Denial::Group { has } if has.is_empty() => Err(Doubt::NotTold),
        Denial::Domain { email: None } | Denial::User { email: None } => Err(Doubt::NotTold),
        _ if !same_reading => Err(Doubt::OtherReading),
        _ if rules.decide(before).is_err() => Err(Doubt::OurRules),
        Denial::Group { .. } | Denial::Domain { .. } | Denial::User { .. } => Ok(Why::LostRight),
    }
}

#[cfg(test)]
mod tests;
