//! Why an ID token, or a logout token, is not believed.

use thiserror::Error;

/// Why a token is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum TokenFault {
    #[error("it is encrypted: unset the Encryption Key of the provider's application")]
    Encrypted,
    #[error("it is malformed: {0}")]
    Malformed(String),
    #[error("its header is not acceptable: {0}")]
    Header(String),
    #[error("it was issued by {found:?}, not by {expected:?}")]
    Issuer { expected: String, found: String },
    #[error("its audience {found:?} is not our client id")]
    Audience { found: String },
    #[error("it was issued to another client (azp {found:?})")]
    AuthorizedParty { found: Option<String> },
    #[error("it is not signed (alg none)")]
    Unsigned,
    #[error("its algorithm {found:?} is not accepted")]
    Algorithm { found: String },
    #[error("no key of the provider has its kid {kid:?} and algorithm")]
    UnknownKey { kid: Option<String> },
    #[error("it has no kid and the provider has several keys")]
    AmbiguousKey,
    #[error("the provider's key cannot be used: {0}")]
    UnusableKey(String),
    #[error("its signature is wrong")]
    Signature { kid: Option<String> },
    #[error("it has no sub")]
    SubjectMissing,
    #[error("it has no exp")]
    ExpiryMissing,
    #[error("it expired {seconds} s ago; is a clock wrong?")]
    Expired { seconds: u64 },
    #[error("it has no iat")]
    IssuedAtMissing,
    #[error("it was issued {seconds} s in the future; is a clock wrong?")]
    IssuedInFuture { seconds: u64 },
    #[error("it is not valid for another {seconds} s (nbf); is a clock wrong?")]
    NotYetValid { seconds: u64 },
    #[error("its auth_time is {seconds} s in the future; is a clock wrong?")]
    AuthTimeInFuture { seconds: u64 },
    #[error("it has no nonce")]
    NonceMissing,
    #[error("its nonce is not the one of this sign-in")]
    Nonce,
    #[error("its at_hash does not belong to the access token")]
    AccessTokenHash,
    #[error("it has a nonce, which a logout token must not have")]
    NonceForbidden,
    #[error("its events do not say that it is a logout token")]
    NoLogoutEvent,
    #[error("it has neither sub nor sid")]
    NobodyNamed,
    #[error("it has no jti")]
    IdentifierMissing,
    #[error("it was issued {seconds} s ago, which is too long for a logout token")]
    Stale { seconds: u64 },
}

impl TokenFault {
    /// Whether newer keys or metadata might change the verdict: the key is unknown, the signature is
    /// wrong (there are providers that give a new key the name of the old one), or the algorithm is
    /// not announced (authentik announces only the one of its current key).
    pub(in crate::oidc) const fn may_be_rotation(&self) -> bool {
        matches!(
            self,
            Self::UnknownKey { .. } | Self::Signature { .. } | Self::Algorithm { .. }
        )
    }
}
