//! A token taken apart: what can be said about it besides whether it verifies, and our names for
//! what the verifier says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::{ClaimsVerificationError, SignatureVerificationError};
use serde_json::{Map, Value};

use super::super::json::{self, JsonFault};
use super::{SKEW, TokenFault, Trust, Verified};
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::text::shortened;
use crate::domain::time::Timestamp;

/// The decoded halves of a token, unverified until [`verify`] is through with them.
pub(in crate::oidc) struct Parts {
    header: Map<String, Value>,
    payload: Map<String, Value>,
}

impl Parts {
    pub(in crate::oidc) fn decode(raw: &str) -> Result<Self, TokenFault> {
        let parts: Vec<&str> = raw.split('.').collect();
        match parts.as_slice() {
            [header, payload, signature] => {
                let parts = Self {
                    header: object(header, "header")?,
                    payload: object(payload, "payload")?,
                };
                // The verifier would take several spellings of one signature.
                match URL_SAFE_NO_PAD.decode(signature) {
                    Ok(_) => Ok(parts),
                    Err(_) => Err(TokenFault::Malformed(
                        "its signature is not base64url".to_owned(),
                    )),
                }
            }
            [_, _, _, _, _] => Err(TokenFault::Encrypted),
            other => Err(TokenFault::Malformed(format!(
                "it has {} parts",
                other.len()
            ))),
        }
    }

    /// A claim, as it is; null counts as absent.
    pub(in crate::oidc) fn claim(&self, name: &str) -> Option<&Value> {
        self.payload.get(name).filter(|value| !value.is_null())
    }

    /// Whether a claim is there at all, null or not.
    pub(in crate::oidc) fn has(&self, name: &str) -> bool {
        self.payload.contains_key(name)
    }

    /// A claim that is a text with something in it.
    pub(in crate::oidc) fn text(&self, claim: &str) -> Option<&str> {
        self.payload
            .get(claim)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    fn kid(&self) -> Option<String> {
        self.header
            .get("kid")
            .and_then(Value::as_str)
            .map(shortened)
    }

    pub(in crate::oidc) fn into_claims(self) -> Map<String, Value> {
        self.payload
    }

    /// Required claims (section 2), so that a missing one is called by its name.
    pub(in crate::oidc) fn check_presence(&self, with_nonce: bool) -> Result<(), TokenFault> {
        if self.text("sub").is_none() {
            return Err(TokenFault::SubjectMissing);
        }
        self.check_dates()?;
        if with_nonce && self.claim("nonce").is_none() {
            return Err(TokenFault::NonceMissing);
        }
        Ok(())
    }

    /// The two dates that every token has.
    pub(in crate::oidc) fn check_dates(&self) -> Result<(), TokenFault> {
        if self.claim("exp").is_none() {
            return Err(TokenFault::ExpiryMissing);
        }
        if self.claim("iat").is_none() {
            return Err(TokenFault::IssuedAtMissing);
        }
        Ok(())
    }

    /// The `NumericDate` of a claim.
    pub(in crate::oidc) fn date(&self, claim: &str) -> Option<Timestamp> {
        self.claim(claim).and_then(numeric_date)
    }

    /// What the verifier leaves alone and would mean something to another reader: a payload that is
    /// not base64url (RFC 7797 section 3), and dates that are no numbers, which would escape the
    /// judgement of [`Parts::check_times`].
    pub(in crate::oidc) fn check_form(&self) -> Result<(), TokenFault> {
        if self.header.contains_key("b64") {
            return Err(TokenFault::Header("b64 is not supported".to_owned()));
        }
        let strange = |claim: &&str| {
            self.payload
                .get(*claim)
                .is_some_and(|value| !value.is_null() && !value.is_number())
        };
        match ["exp", "iat", "nbf", "auth_time"].into_iter().find(strange) {
            Some(claim) => Err(TokenFault::Malformed(format!(
                "its claim {claim:?} is not a number of seconds"
            ))),
            None => Ok(()),
        }
    }

    pub(in crate::oidc) fn check_times(&self, now: Timestamp) -> Result<(), TokenFault> {
        let ahead = |claim| {
            let at = numeric_date(self.payload.get(claim)?)?;
            let seconds = at.since(now);
            (seconds > SKEW).then_some(seconds.as_secs())
        };
        if let Some(seconds) = ahead("iat") {
            return Err(TokenFault::IssuedInFuture { seconds });
        }
        if let Some(seconds) = ahead("nbf") {
            return Err(TokenFault::NotYetValid { seconds });
        }
        if let Some(seconds) = ahead("auth_time") {
            return Err(TokenFault::AuthTimeInFuture { seconds });
        }
        Ok(())
    }

    /// Our name for what the verifier said.
    pub(in crate::oidc) fn fault(
        &self,
        error: &ClaimsVerificationError,
        trust: &Trust<'_>,
    ) -> TokenFault {
        match error {
            ClaimsVerificationError::Expired(_) => {
                let exp = self.payload.get("exp").and_then(numeric_date);
                let seconds = exp.map_or(0, |exp| trust.now.since(exp).as_secs());
                TokenFault::Expired { seconds }
            }
            ClaimsVerificationError::InvalidAudience(_) => {
                let found = self
                    .payload
                    .get("aud")
                    .map(Value::to_string)
                    .unwrap_or_default();
                TokenFault::Audience {
                    found: shortened(&found),
                }
            }
            ClaimsVerificationError::InvalidIssuer(_) => TokenFault::Issuer {
                expected: trust.issuer.as_str().to_owned(),
                found: shortened(self.text("iss").unwrap_or_default()),
            },
            ClaimsVerificationError::InvalidNonce(_) => TokenFault::Nonce,
            ClaimsVerificationError::SignatureVerification(error) => self.signature_fault(error),
            ClaimsVerificationError::Unsupported(text) => TokenFault::Header(shortened(text)),
            other => TokenFault::Malformed(shortened(&other.to_string())),
        }
    }

    pub(in crate::oidc) fn signature_fault(
        &self,
        error: &SignatureVerificationError,
    ) -> TokenFault {
        match error {
            SignatureVerificationError::AmbiguousKeyId(_) => TokenFault::AmbiguousKey,
            SignatureVerificationError::CryptoError(_) => TokenFault::Signature { kid: self.kid() },
            SignatureVerificationError::DisallowedAlg(_)
            | SignatureVerificationError::UnsupportedAlg(_) => {
                let alg = self
                    .header
                    .get("alg")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                TokenFault::Algorithm {
                    found: shortened(alg),
                }
            }
            SignatureVerificationError::NoMatchingKey => TokenFault::UnknownKey { kid: self.kid() },
            SignatureVerificationError::NoSignature => TokenFault::Unsigned,
            other => TokenFault::UnusableKey(shortened(&other.to_string())),
        }
    }

    pub(in crate::oidc) fn into_verified(self) -> Result<Verified, TokenFault> {
        let subject = self
            .text("sub")
            .map(Subject::new)
            .ok_or(TokenFault::SubjectMissing)?;
        let date = |claim| self.payload.get(claim).and_then(numeric_date);
        Ok(Verified {
            subject,
            expires_at: date("exp").ok_or(TokenFault::ExpiryMissing)?,
            auth_time: date("auth_time"),
            provider_session: self.text("sid").map(ProviderSession::new),
            claims: self.payload,
        })
    }
}

fn object(part: &str, name: &str) -> Result<Map<String, Value>, TokenFault> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| JsonFault::NotAnObject)
        .and_then(|json| json::parse_object(&json))
        .map_err(|fault| {
            TokenFault::Malformed(match fault {
                JsonFault::NotAnObject => {
                    format!("its {name} is not base64url of a JSON object")
                }
                JsonFault::Repeated => format!("its {name} repeats a name"),
            })
        })
}

/// A `NumericDate` (RFC 7519 section 2), which may have a fraction.
pub(in crate::oidc) fn numeric_date(value: &Value) -> Option<Timestamp> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and a fraction of a second does not matter"
    )]
    let fractional = || value.as_f64().map(|seconds| seconds as u64);
    value.as_u64().or_else(fractional).map(Timestamp::from_unix)
}
