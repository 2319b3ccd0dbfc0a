//! Why nobody is signed in. Each variant is a decision for the caller (which page, which status) and
//! its message says exactly why, without a token, a code or a secret.

use std::fmt;

use thiserror::Error;

use super::http::HttpError;
use super::id_token::TokenFault;

/// The provider is not known yet: its discovery document was never fetched. Nobody can sign in now.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the provider's discovery document was not fetched yet")]
pub struct Unavailable;

/// The `iss` of a callback (RFC 9207 section 2.4) is wrong: perhaps another provider's answer was
/// mixed in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IssMismatch {
    /// The provider promises an `iss` and there is none.
    #[error("the callback has no iss although the provider announces it")]
    Missing,
    /// It is another issuer's.
    #[error("the callback's iss is {found:?}, not {expected:?}")]
    Other {
        /// `oidc.issuer`.
        expected: String,
        /// `iss` of the callback.
        found: String,
    },
}

/// The provider's endpoints, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Where codes are redeemed.
    Token,
    /// Where claims are read.
    Userinfo,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token endpoint",
            Self::Userinfo => "userinfo endpoint",
        })
    }
}

/// What a 200 of the token endpoint lacks.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AnswerFault {
    /// Anything but `Bearer` (RFC 6749 section 7.1).
    #[error("its token_type is {0:?}, not Bearer")]
    TokenType(String),
    /// Required by RFC 6749 section 5.1.
    #[error("it has no access token")]
    NoAccessToken,
    /// Required by OpenID Connect Core section 3.1.3.3.
    #[error("it has no ID token; is openid among oidc.scope?")]
    NoIdToken,
}

/// Why the token endpoint gave nothing that can be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum NoTokens {
    #[error(transparent)]
    Unavailable(#[from] HttpError),
    #[error("{error} ({description})")]
    Refused { error: String, description: String },
    #[error(transparent)]
    Unusable(#[from] AnswerFault),
}

/// Why the userinfo endpoint told nothing about the person.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum NoClaims {
    #[error(transparent)]
    Unavailable(#[from] HttpError),
    #[error("status {0}")]
    Refused(u16),
    #[error("another subject")]
    OtherSubject,
}

/// Why a callback does not sign anybody in. No variant carries a token, a code or a secret.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallbackError {
    /// The callback belongs to another attempt. Nothing was sent to the provider.
    #[error("the callback's state is not the one of this sign-in")]
    StateMismatch,
    /// The attempt is too old. Nothing was sent to the provider.
    #[error("the sign-in took too long")]
    AttemptExpired,
    /// RFC 9207. Nothing was sent to the provider.
    #[error(transparent)]
    IssMismatch(#[from] IssMismatch),
    /// The provider was never reached. Nothing was sent to it.
    #[error(transparent)]
    ProviderUnknown(#[from] Unavailable),
    /// No usable answer: a 503 for the browser, and the person may try again.
    #[error("no usable answer from the provider's {endpoint}: {source}")]
    ProviderUnavailable {
        /// Which endpoint.
        endpoint: Endpoint,
        /// What went wrong.
        source: HttpError,
    },
    /// The token endpoint said no (RFC 6749 section 5.2): the code is old, used, or not ours.
    #[error(
        "the provider refused the code: {error} ({description}){}",
        refusal_hint(error)
    )]
    CodeRefused {
        /// `error`.
        error: String,
        /// `error_description`, or empty.
        description: String,
    },
    /// The token endpoint said yes without giving what it has to.
    #[error("the provider's token answer is unusable: {0}")]
    AnswerInvalid(#[from] AnswerFault),
    /// The ID token is a JWE.
    #[error("the ID token is encrypted: unset the Encryption Key of the provider's application")]
    Encrypted,
    /// The ID token says nobody.
    #[error("the ID token has no sub")]
    SubjectMissing,
    /// The ID token is not believed.
    #[error("the ID token is refused: {reason}")]
    TokenInvalid {
        /// Why.
        reason: TokenFault,
    },
    /// Userinfo did not take the access token of the same answer.
    #[error("the provider's userinfo endpoint refused its own access token (status {0})")]
    UserinfoRefused(u16),
    /// Userinfo is about somebody else (OpenID Connect Core section 5.3.2).
    #[error("the userinfo answer is about another subject than the ID token")]
    UserinfoSubject,
}

impl From<TokenFault> for CallbackError {
    fn from(reason: TokenFault) -> Self {
        match reason {
            TokenFault::Encrypted => Self::Encrypted,
            TokenFault::SubjectMissing => Self::SubjectMissing,
            reason => Self::TokenInvalid { reason },
        }
    }
}

impl From<NoTokens> for CallbackError {
    fn from(why: NoTokens) -> Self {
        match why {
            NoTokens::Unavailable(source) => Self::ProviderUnavailable {
                endpoint: Endpoint::Token,
                source,
            },
            NoTokens::Refused { error, description } => Self::CodeRefused { error, description },
            NoTokens::Unusable(fault) => Self::AnswerInvalid(fault),
        }
    }
}

impl From<NoClaims> for CallbackError {
    fn from(why: NoClaims) -> Self {
        match why {
            NoClaims::Unavailable(source) => Self::ProviderUnavailable {
                endpoint: Endpoint::Userinfo,
                source,
            },
            NoClaims::Refused(status) => Self::UserinfoRefused(status),
            NoClaims::OtherSubject => Self::UserinfoSubject,
        }
    }
}

pub(super) fn refusal_hint(error: &str) -> &'static str {
    match error {
        // authentik also says this when only the redirect URI differs.
        "invalid_client" => {
            "; check oidc.client_id, oidc.client_secret and the redirect URI at the provider"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_client_is_told_where_to_look() {
        let refused = |error: &str| CallbackError::CodeRefused {
            error: error.to_owned(),
            description: "no".to_owned(),
        };
        assert_eq!(
            refused("invalid_grant").to_string(),
            "the provider refused the code: invalid_grant (no)"
        );
        assert!(
            refused("invalid_client")
                .to_string()
                .contains("oidc.client_secret")
        );
    }
}
