//! What Headscale is told about a person, and who says whether it may still be told.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::subject::{self, SubjectError};
use crate::domain::identity::Identity;
use crate::domain::time::Timestamp;

/// Whether the holder of a code or an access token (a session, named by its key) still stands.
/// Implemented where sessions and rules meet.
#[async_trait]
pub trait Standing: Send + Sync {
    /// What Headscale may be told about the holder now: `None` unless the session lives, the rules
    /// admit the person and Headscale would take their name.
    async fn claims(&self, holder: &str) -> Option<Claims>;
}

/// The claims of one person, the same in the ID token and from userinfo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The provider's `sub`, verbatim; see [`SubjectError`] for those that cannot be passed on.
    pub sub: String,
    /// An address that counts: sent with `email_verified: true`, or neither is sent.
    pub email: Option<String>,
    /// A name that Headscale's own rules accept.
    pub preferred_username: String,
    /// How the person is called.
    pub name: Option<String>,
    /// Passed on, never fetched.
    pub picture: Option<String>,
    /// For the record; Headscale filters on none of them, since the rules ran here.
    pub groups: Vec<String>,
    /// When the person last proved who they are, where that is known.
    pub auth_time: Option<Timestamp>,
    /// The provider's own `exp`, only where `oidc.use_expiry_from_token` is set: the device's expiry.
    pub expires_at: Option<Timestamp>,
}

impl Claims {
    /// The claims for `identity` under the user name that was made for it. The address is left out
    /// unless the provider verified it or the operator does not ask for that
    /// (`email_verified_required: false`): Headscale believes what we send.
    ///
    /// # Errors
    ///
    /// [`SubjectError`] when Headscale could take this account for another one.
    pub fn new(
        identity: &Identity,
        preferred_username: String,
        email_verified_required: bool,
        auth_time: Option<Timestamp>,
        expires_at: Option<Timestamp>,
    ) -> Result<Self, SubjectError> {
        subject::check_subject(identity.subject.as_str())?;
        let counts = identity.email_verified || !email_verified_required;
        let email = identity
            .email
            .as_ref()
            .map(|email| email.as_str().to_owned());
        Ok(Self {
            sub: identity.subject.as_str().to_owned(),
            email: email.filter(|email| counts && !email.is_empty()),
            preferred_username,
            name: identity.name.as_deref().map(str::to_owned),
            picture: identity.picture.as_deref().map(str::to_owned),
            groups: identity.groups.to_strings(),
            auth_time,
            expires_at,
        })
    }

    /// The members that the ID token and userinfo share.
    pub(crate) fn person(&self) -> Person<'_> {
        Person {
            sub: &self.sub,
            preferred_username: &self.preferred_username,
            name: self.name.as_deref(),
            email: self.email.as_deref(),
            email_verified: self.email.is_some().then_some(true),
            picture: self.picture.as_deref(),
            groups: &self.groups,
        }
    }
}

/// The standard claims (OpenID Connect Core section 5.1) and `groups`.
#[derive(Debug, Serialize)]
pub(crate) struct Person<'a> {
    sub: &'a str,
    preferred_username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<&'a str>,
    groups: &'a [String],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claims::NamedClaims;
    use crate::domain::identity::{Email, Issuer, Subject};

    fn identity(email: Option<&str>, email_verified: bool) -> Identity {
        Identity {
            issuer: Issuer::new("https://authentik.company/"),
            subject: Subject::new("abc"),
            email: email.map(Email::new),
            email_verified,
            username: Some("ann".into()),
            name: None,
            picture: None,
            groups: vec![].into(),
            claims: NamedClaims::default(),
        }
    }

    #[test]
    fn an_address_and_its_verification_go_together_or_not_at_all() {
        for (email, verified, required, sent) in [
            (Some("a@b.c"), true, true, true),
            (Some("a@b.c"), true, false, true),
            (Some("a@b.c"), false, false, true),
            (Some("a@b.c"), false, true, false),
            (Some(""), true, true, false),
            (None, true, true, false),
            (None, false, false, false),
        ] {
            let now = Timestamp::from_unix(1);
            let claims = Claims::new(
                &identity(email, verified),
                "ann".to_owned(),
                required,
                Some(now),
                None,
            );
            let json = serde_json::to_value(claims.unwrap().person()).unwrap();
            let expected = sent.then(|| (email.unwrap_or_default().into(), true.into()));
            let found = json
                .get("email")
                .cloned()
                .zip(json.get("email_verified").cloned());
            assert_eq!(found, expected, "{email:?} {verified} {required}");
            assert_eq!(
                json.get("email").is_some(),
                json.get("email_verified").is_some()
            );
        }
    }

    #[test]
    fn a_subject_that_headscale_would_fold_is_no_claim() {
        let mut other = identity(None, false);
        other.subject = Subject::new("/abc");
        let claims = Claims::new(
            &other,
            "ann".to_owned(),
            true,
            Some(Timestamp::from_unix(1)),
            None,
        );
        assert_eq!(claims, Err(SubjectError::Slash));
    }
}
