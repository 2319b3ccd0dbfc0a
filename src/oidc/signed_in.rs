//! The outcome of a sign-in. Whether the person may pass is `domain::policy`'s business.

use thiserror::Error;

use super::id_token::SKEW;
use crate::domain::identity::{Identity, ProviderSession};
use crate::domain::secret::Secret;
use crate::domain::session::Footing;
use crate::domain::time::Timestamp;

/// A person who signed in. Whether they may pass is not decided yet.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub identity: Identity,
    /// The provider's `sid`, if it sent one.
    pub provider_session: Option<ProviderSession>,
    /// When they proved it to the provider. `None` proves no freshness: see
    /// [`SignedIn::check_step_up`].
    pub auth_time: Option<Timestamp>,
    /// The ID token as received, for `id_token_hint`.
    pub id_token: Secret<String>,
    /// The ID token's `exp`.
    pub token_expires_at: Timestamp,
    /// A refresh token, if the provider gave one.
    pub refresh_token: Option<Secret<String>>,
    /// The ID token's `acr`.
    pub acr: Option<String>,
    /// The ID token's `amr`.
    pub amr: Vec<String>,
    /// What later words of the provider are compared with.
    pub footing: Footing,
}

/// Why a sign-in does not prove that the same person was there just now.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StepUpError {
    /// Somebody else signed in.
    #[error("another account signed in")]
    OtherSubject,
    /// The provider did not say when.
    #[error("the ID token has no auth_time")]
    NoAuthTime,
    /// The provider did not ask again.
    #[error("the provider did not ask the person to sign in again")]
    Stale,
}

impl SignedIn {
    /// Whether this is the account `subject`, authenticated at or after `since` where that is asked
    /// for, give or take [`SKEW`].
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check_step_up(
        &self,
        subject: &str,
        since: Option<Timestamp>,
    ) -> Result<(), StepUpError> {
        if self.identity.subject.as_str() != subject {
            return Err(StepUpError::OtherSubject);
        }
        let Some(since) = since else { return Ok(()) };
        let auth_time = self.auth_time.ok_or(StepUpError::NoAuthTime)?;
        if auth_time.plus(SKEW) < since {
            Err(StepUpError::Stale)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claims::NamedClaims;
    use crate::domain::identity::{Issuer, Subject};

    const ASKED: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn signed_in(auth_time: Option<u64>) -> SignedIn {
        SignedIn {
            identity: Identity {
                issuer: Issuer::new("https://idp.example/"),
                subject: Subject::new("ann"),
                email: None,
                email_verified: false,
                username: None,
                name: None,
                picture: None,
                groups: Vec::new().into(),
                claims: NamedClaims::default(),
            },
            provider_session: None,
            auth_time: auth_time.map(Timestamp::from_unix),
            id_token: Secret::new(String::new()),
            token_expires_at: ASKED,
            refresh_token: None,
            acr: None,
            amr: Vec::new(),
            footing: Footing::default(),
        }
    }

    #[test]
    fn a_step_up_is_the_same_account_authenticated_since_it_was_asked_for() {
        let asked = ASKED.unix();
        for (auth_time, verdict) in [
            (Some(asked + 30), Ok(())),
            (Some(asked), Ok(())),
            (Some(asked - 60), Ok(())),
            (Some(asked - 61), Err(StepUpError::Stale)),
            (Some(0), Err(StepUpError::Stale)),
            (None, Err(StepUpError::NoAuthTime)),
        ] {
            let found = signed_in(auth_time);
            let since = Some(ASKED);
            assert_eq!(found.check_step_up("ann", since), verdict, "{auth_time:?}");
            assert_eq!(found.check_step_up("ann", None), Ok(()), "{auth_time:?}");
            for other in ["Ann", "ann ", ""] {
                for since in [since, None] {
                    assert_eq!(
                        found.check_step_up(other, since),
                        Err(StepUpError::OtherSubject)
                    );
                }
            }
        }
    }
}
