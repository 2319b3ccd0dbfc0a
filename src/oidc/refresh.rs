//! Whether a person is still who they were: a refresh token for new tokens (RFC 6749 section 6), and
//! what those have to pass (OpenID Connect Core section 12.2). How often, and what becomes of the
//! session, is decided elsewhere.
//!
//! A refresh proves that the account is still there and what the provider says of it now. It is no
//! sign-in: it does not change when or how the person proved who they are.

use std::num::NonZeroU32;
use std::sync::Arc;

use thiserror::Error;

use super::claims::Claims;
use super::exchange::{self, Grant, Tokens};
use super::http::HttpError;
use super::id_token::{self, ExpectedNonce, TokenFault, Verified};
use super::person::Unverified;
use super::provider::{Provider, Snapshot};
use super::refusal::{AnswerFault, Endpoint, NoClaims, NoTokens, Unavailable, refusal_hint};
use crate::domain::identity::{Identity, Issuer, ProviderSession, Subject};
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;

/// What is known of the person who is checked again.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Where they signed in.
    pub issuer: &'a Issuer,
    /// Who they are there.
    pub subject: &'a Subject,
    /// The newest ID token.
    pub id_token: &'a Secret<String>,
    /// The newest refresh token.
    pub refresh_token: &'a Secret<String>,
}

/// What the provider says now. What is `None` it does not say, and what was known stays.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// Who the person is now: the same account, perhaps with other groups. Whether they may pass is
    /// not decided yet.
    pub identity: Identity,
    /// `sid`. authentik leaves it out once the person has signed out there.
    pub provider_session: Option<ProviderSession>,
    /// The new ID token, and its `exp`.
    pub id_token: Option<(Secret<String>, Timestamp)>,
    /// The refresh token that counts from now on. None comes from a provider that does not rotate them,
    /// or, as authentik, not before a threshold.
    pub refresh_token: Option<Secret<String>>,
    /// By which settings the claims were read, as in [`crate::domain::session::Footing`].
    pub read_by: NonZeroU32,
}

/// Why a refresh says nothing new about a person. Each variant is a decision; none carries a secret
/// that a `Display` would show.
#[derive(Clone, Debug, Error)]
pub enum RefreshError {
    /// The provider refuses it: the account is deactivated, the refresh token revoked, used or expired.
    /// It is over.
    #[error("the provider refused the refresh: {error} ({description})")]
    Refused {
        /// `error` (RFC 6749 section 5.2).
        error: String,
        /// `error_description`, or empty.
        description: String,
    },
    /// What the provider says cannot be believed. It is over, and the operator should know.
    #[error("the provider's answer to a refresh is refused: {0}")]
    Misbehaved(#[from] RefreshFault),
    /// Nothing was decided about the person; try again later.
    #[error("{reason}")]
    Unavailable {
        /// What is in the way.
        reason: Outage,
        /// The provider gave a new refresh token before something else went wrong: the old one may be
        /// worth nothing any more, so keep this one.
        rotated: Option<Secret<String>>,
    },
}

/// Why the answer to a refresh is not believed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RefreshFault {
    /// The session is of another provider than the configured one; it was not asked.
    #[error("the session began at another provider")]
    OtherIssuer,
    /// The token endpoint said yes without giving what it has to, or without telling in any way about
    /// whom.
    #[error("{0}")]
    Answer(#[from] AnswerFault),
    /// The ID token does not verify.
    #[error("the ID token is refused: {0}")]
    Token(#[from] TokenFault),
    /// The ID token is about somebody else.
    #[error("the ID token is about another subject")]
    OtherSubject,
    /// The ID token tells of another sign-in than the one that it continues.
    #[error("the ID token's auth_time is before the sign-in")]
    AuthTime,
    /// Userinfo did not take the access token of the same answer.
    #[error("the userinfo endpoint refused its own access token (status {0})")]
    UserinfoRefused(u16),
    /// Userinfo is about somebody else.
    #[error("the userinfo answer is about another subject")]
    UserinfoSubject,
}

/// What keeps the provider from saying anything about a person.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Outage {
    /// It was never reached.
    #[error(transparent)]
    Unknown(#[from] Unavailable),
    /// No usable answer.
    #[error("no usable answer from the provider's {endpoint}: {source}")]
    NoAnswer {
        /// Which endpoint.
        endpoint: Endpoint,
        /// What went wrong.
        source: HttpError,
    },
    /// It refuses us, whoever it is about.
    #[error(
        "the provider refuses this client: {error} ({description}){}",
        refresh_hint(error)
    )]
    Client {
        /// `error`.
        error: String,
        /// `error_description`, or empty.
        description: String,
    },
    /// The ID token might verify with newer keys, and there are none now.
    #[error("the provider's keys cannot be renewed, and the ID token needs newer ones: {0}")]
    Keys(TokenFault),
}

impl Outage {
    /// Whether the refresh token may be used up and its successor lost, where that was possible `before`
    /// the refresh that ended so.
    pub fn leaves_in_doubt(&self, before: bool) -> bool {
        match self {
            // Nothing was sent, or nothing was done about it.
            Self::Unknown(_)
            | Self::NoAnswer {
                endpoint: Endpoint::Token,
                source: HttpError::Status(429),
            } => before,
            Self::Client { error, .. } => {
                before || matches!(error.as_str(), "server_error" | "temporarily_unavailable")
            }
            // Who knows what was done: a proxy in front of the provider has answers of its own.
            Self::NoAnswer {
                endpoint: Endpoint::Token,
                ..
            } => true,
            // The tokens came.
            Self::NoAnswer {
                endpoint: Endpoint::Userinfo,
                ..
            }
            | Self::Keys(_) => false,
        }
    }
}

impl Provider {
    /// Asks the provider about the person again. One refresh of a session at a time: of two, a
    /// provider that rotates refresh tokens refuses one.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub async fn recheck(&self, known: Known<'_>) -> Result<Refreshed, RefreshError> {
        if *known.issuer != self.settings().issuer {
            return Err(RefreshFault::OtherIssuer.into());
        }
        let snapshot = self.snapshot().ok_or(Outage::from(Unavailable))?;
        let grant = Grant::Refresh {
            token: known.refresh_token.expose(),
        };
        let mut tokens =
            exchange::redeem(self.http(), snapshot.metadata(), self.settings(), grant).await?;
        let rotated = tokens.refresh_token.take();
        match self.refreshed(&snapshot, known, tokens).await {
            Ok(refreshed) => Ok(Refreshed {
                refresh_token: rotated,
                ..refreshed
            }),
            Err(RefreshError::Unavailable { reason, .. }) => {
                Err(RefreshError::Unavailable { reason, rotated })
            }
            Err(over) => Err(over),
        }
    }

    async fn refreshed(
        &self,
        snapshot: &Arc<Snapshot>,
        known: Known<'_>,
        tokens: Tokens,
    ) -> Result<Refreshed, RefreshError> {
        let verified = match &tokens.id_token {
            Some(id_token) => Some(
                self.verify_again(snapshot, known, id_token, &tokens.access_token)
                    .await?,
            ),
            // Then userinfo has to say about whom it is, and all that is to be known.
            None if snapshot.metadata().userinfo_endpoint.is_none() => {
                return Err(RefreshFault::Answer(AnswerFault::NoIdToken).into());
            }
            None => None,
        };
        let userinfo = exchange::userinfo(
            self.http(),
            snapshot.metadata(),
            &tokens.access_token,
            known.subject,
        )
        .await?;
        let (claims, provider_session, expires_at) = match verified {
            Some(verified) => (
                verified.claims,
                verified.provider_session,
                Some(verified.expires_at),
            ),
            None => (Claims::new(), None, None),
        };
        Ok(Refreshed {
            identity: self.identity(claims, userinfo, known.subject.clone()),
            provider_session,
            id_token: tokens.id_token.zip(expires_at),
            refresh_token: None,
            read_by: self.reads_by(),
        })
    }

    /// OpenID Connect Core section 12.2. Issuer and audience are those of the settings, as they were at
    /// the sign-in. `azp` is ours where there is one; that it may not come or go in between is not
    /// insisted on, it says nothing more.
    async fn verify_again(
        &self,
        snapshot: &Arc<Snapshot>,
        known: Known<'_>,
        id_token: &Secret<String>,
        access_token: &Secret<String>,
    ) -> Result<Verified, RefreshError> {
        let before = id_token::claims_of(known.id_token);
        let nonce = before.get("nonce").and_then(|nonce| nonce.as_str());
        let nonce = ExpectedNonce::AbsentOr(nonce);
        let verified = self.verify(snapshot, id_token, nonce, access_token).await?;
        if verified.subject != *known.subject {
            return Err(RefreshFault::OtherSubject.into());
        }
        let signed_in_at = before.get("auth_time").and_then(id_token::numeric_date);
        match (signed_in_at, verified.auth_time) {
            // A later one may be that of a sign-in elsewhere since, in the same session at the provider:
            // some move it then. It proves nothing here.
            (Some(then), Some(now)) if now < then => Err(RefreshFault::AuthTime.into()),
            _ => Ok(verified),
        }
    }
}

impl From<Outage> for RefreshError {
    fn from(reason: Outage) -> Self {
        Self::Unavailable {
            reason,
            rotated: None,
        }
    }
}

impl From<NoTokens> for RefreshError {
    fn from(why: NoTokens) -> Self {
        match why {
            NoTokens::Unavailable(source) => Outage::NoAnswer {
                endpoint: Endpoint::Token,
                source,
            }
            .into(),
            NoTokens::Refused { error, description } if is_about_us(&error) => {
                Outage::Client { error, description }.into()
            }
            NoTokens::Refused { error, description } => Self::Refused { error, description },
            NoTokens::Unusable(fault) => RefreshFault::Answer(fault).into(),
        }
    }
}

impl From<NoClaims> for RefreshError {
    fn from(why: NoClaims) -> Self {
        match why {
            NoClaims::Unavailable(source) => Outage::NoAnswer {
                endpoint: Endpoint::Userinfo,
                source,
            }
            .into(),
            NoClaims::Refused(status) => RefreshFault::UserinfoRefused(status).into(),
            NoClaims::OtherSubject => RefreshFault::UserinfoSubject.into(),
        }
    }
}

impl From<Unverified> for RefreshError {
    fn from(why: Unverified) -> Self {
        if why.for_want_of_keys {
            Outage::Keys(why.fault).into()
        } else {
            RefreshFault::Token(why.fault).into()
        }
    }
}

/// What to look at when a refresh is refused to us.
fn refresh_hint(error: &str) -> &'static str {
    match error {
        "unauthorized_client" | "unsupported_grant_type" => {
            "; is the refresh token grant allowed for this client at the provider?"
        }
        "invalid_scope" => "; does the provider still grant this client all of oidc.scope?",
        _ => refusal_hint(error),
    }
}

/// Whether a refusal says nothing about the person (RFC 6749 section 5.2): our secret was changed at one
/// end, the client may not use this grant or scope any more, or the provider has troubles of its own.
/// Everything else, known or not, is about the refresh token.
fn is_about_us(error: &str) -> bool {
    [
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "temporarily_unavailable",
        "server_error",
        "slow_down",
    ]
    .contains(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(error: &str) -> RefreshError {
        NoTokens::Refused {
            error: error.to_owned(),
            description: "no".to_owned(),
        }
        .into()
    }

    #[test]
    fn a_refresh_leaves_a_doubt_unless_its_answer_came_or_it_was_not_done() {
        let no_answer = |endpoint, source| Outage::NoAnswer { endpoint, source };
        let client = |error: &str| Outage::Client {
            error: error.to_owned(),
            description: String::new(),
        };
        let failed = || HttpError::Failed("reset".to_owned());
        for (outage, after_none, after_one) in [
            (no_answer(Endpoint::Token, HttpError::Timeout), true, true),
            (no_answer(Endpoint::Token, failed()), true, true),
            (
                no_answer(Endpoint::Token, HttpError::Status(502)),
                true,
                true,
            ),
            (no_answer(Endpoint::Token, HttpError::TooLarge), true, true),
            (client("server_error"), true, true),
            (client("temporarily_unavailable"), true, true),
            (
                no_answer(Endpoint::Token, HttpError::Status(429)),
                false,
                true,
            ),
            (client("invalid_client"), false, true),
            (Unavailable.into(), false, true),
            (
                no_answer(Endpoint::Userinfo, HttpError::Timeout),
                false,
                false,
            ),
            (Outage::Keys(TokenFault::Encrypted), false, false),
        ] {
            assert_eq!(outage.leaves_in_doubt(false), after_none, "{outage}");
            assert_eq!(outage.leaves_in_doubt(true), after_one, "{outage}");
        }
    }

    #[test]
    fn a_refusal_is_about_the_person_unless_it_is_known_to_be_about_us() {
        for (error, over) in [
            ("invalid_grant", true),
            ("invalid_request", true),
            ("interaction_required", true),
            ("access_denied", true),
            ("nobody_knows_this", true),
            ("", true),
            ("invalid_client", false),
            ("unauthorized_client", false),
            ("unsupported_grant_type", false),
            ("invalid_scope", false),
            ("temporarily_unavailable", false),
            ("server_error", false),
            ("slow_down", false),
        ] {
            let refused = refused(error);
            let is_over = matches!(refused, RefreshError::Refused { .. });
            assert_eq!(is_over, over, "{error}: {refused}");
        }
        for (error, words) in [
            ("invalid_client", "oidc.client_secret"),
            ("unauthorized_client", "refresh token grant"),
            ("unsupported_grant_type", "refresh token grant"),
            ("invalid_scope", "oidc.scope"),
        ] {
            let told = refused(error).to_string();
            assert!(told.contains(words), "{told}");
        }
    }
}
