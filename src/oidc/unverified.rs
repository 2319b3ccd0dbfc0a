//! Claims that somebody hands in to be looked at: read as after a sign-in, and believed by nobody. What
//! comes out of here opens nothing; it is for `headwarden explain`.

use serde_json::Value;
use thiserror::Error;

use super::claims::{self, Claims, Names};
use super::id_token::parts::Parts;
use super::id_token::{TokenFault, numeric_date};
use super::json::{self, JsonFault};
use super::signed_in::SignedIn;
use crate::config::Oidc;
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::secret::Secret;
use crate::domain::session::Footing;
use crate::domain::time::Timestamp;

/// How the claims came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON object: the payload of an ID token, or what userinfo says.
    Object,
    /// A compact JWT, whose payload was read and whose signature was not.
    Token,
}

/// Why no claims can be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadFault {
    /// Neither JSON nor a token.
    #[error("the claims are neither a JSON object nor a compact JWT")]
    Neither,
    /// A name stands twice in one object.
    #[error("the claims name a member twice")]
    Repeated,
    /// A token that cannot be taken apart.
    #[error("the claims are a token that cannot be read: {0}")]
    Token(TokenFault),
    /// Nobody.
    #[error("the claims have no sub, and nobody is signed in without one")]
    NoSubject,
}

/// Claims as they were handed in.
#[derive(Clone, Debug)]
pub struct Unverified {
    claims: Claims,
    /// How they came.
    pub form: Form,
}

impl Unverified {
    /// Reads claims.
    ///
    /// # Errors
    /// [`ReadFault`].
    pub fn read(text: &str) -> Result<Self, ReadFault> {
        let text = text.trim();
        let looks_like_a_token = !text.starts_with('{') && text.contains('.');
        if looks_like_a_token {
            let parts = Parts::decode(text).map_err(ReadFault::Token)?;
            return Ok(Self {
                claims: parts.into_claims(),
                form: Form::Token,
            });
        }
        match json::parse_object(text.as_bytes()) {
            Ok(claims) => Ok(Self {
                claims,
                form: Form::Object,
            }),
            Err(JsonFault::Repeated) => Err(ReadFault::Repeated),
            Err(JsonFault::NotAnObject) => Err(ReadFault::Neither),
        }
    }

    /// The person that a sign-in with these claims would make.
    ///
    /// # Errors
    /// [`ReadFault::NoSubject`].
    pub fn person(&self, settings: &Oidc) -> Result<SignedIn, ReadFault> {
        let sub = self.claims.get("sub").and_then(Value::as_str);
        let sub = sub.filter(|sub| !sub.is_empty());
        let subject = Subject::new(sub.ok_or(ReadFault::NoSubject)?);
        let names = Names {
            username: &settings.username_claim,
            groups: &settings.groups_claim,
            kept: &settings.kept_claims,
        };
        let (acr, amr) = claims::assurance(&self.claims);
        let date = |name: &str| self.claims.get(name).and_then(numeric_date);
        let sid = self.claims.get("sid").and_then(Value::as_str);
        Ok(SignedIn {
            identity: claims::identity(&self.claims, &settings.issuer, subject, names),
            provider_session: sid.map(ProviderSession::new),
            auth_time: date("auth_time"),
            id_token: Secret::new(String::new()),
            token_expires_at: date("exp").unwrap_or(Timestamp::from_unix(0)),
            refresh_token: None,
            acr,
            amr,
            footing: Footing::default(),
        })
    }

    /// What a real sign-in with these claims would stumble over, as far as it can be seen without the
    /// provider's keys.
    pub fn doubts(&self, settings: &Oidc) -> Vec<String> {
        let mut doubts = Vec::new();
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str);
        if let Some(found) = text("iss")
            && found != settings.issuer.as_str()
        {
            doubts.push(format!(
                "iss is {found:?}, but oidc.issuer is {:?}: a sign-in is refused",
                settings.issuer.as_str()
            ));
        }
        let is_us = |value: &Value| value.as_str() == Some(&settings.client_id);
        let for_us = self.claims.get("aud").is_none_or(|aud| match aud {
            Value::Array(all) => all.iter().any(is_us),
            one => is_us(one),
        });
        if !for_us {
            doubts.push("aud does not name oidc.client_id: a sign-in is refused".to_owned());
        }
        doubts
    }

    /// The names of all claims, for a hint about the ones that were looked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.claims.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn claims_are_an_object_or_the_payload_of_a_token() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.{}", part("{}"), part("{\"sub\":\"7\"}"), part("x"));
        for (text, found) in [
            ("{\"sub\":\"7\"}", Ok(Form::Object)),
            ("\n {\"sub\":\"7\",\"x\":\"a.b.c\"}\n", Ok(Form::Object)),
            (token.as_str(), Ok(Form::Token)),
            ("{\"sub\":\"7\",\"sub\":\"8\"}", Err(ReadFault::Repeated)),
            ("", Err(ReadFault::Neither)),
            ("[]", Err(ReadFault::Neither)),
            ("hello", Err(ReadFault::Neither)),
            ("a.b.c.d.e", Err(ReadFault::Token(TokenFault::Encrypted))),
        ] {
            assert_eq!(
                Unverified::read(text).map(|read| read.form),
                found,
                "{text}"
            );
        }
        let broken = Unverified::read("a.b").unwrap_err().to_string();
        assert!(broken.contains("2 parts"), "{broken}");
    }
}
