//! A token taken apart, and the checks that every token of the provider goes through, whatever it is for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Map, Value};

use super::super::algorithm::{Algorithm, Named};
use super::super::json::{self, JsonFault};
use super::super::jwks::{KeyFault, KeySet};
use super::{SKEW, TokenFault, Trust, Verified, form};
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::text::shortened;
use crate::domain::time::Timestamp;

/// The last second that the calendar has a name for (RFC 3339: the year has four digits).
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The decoded halves of a token, unverified until [`super::verify`] is through with them.
pub(in crate::oidc) struct Parts {
    header: Map<String, Value>,
    payload: Map<String, Value>,
    signature: Vec<u8>,
}

impl Parts {
    pub(in crate::oidc) fn decode(raw: &str) -> Result<Self, TokenFault> {
        let parts: Vec<&str> = raw.split('.').collect();
        match parts.as_slice() {
            [header, payload, signature] => {
                let (header, payload) = (object(header, "header")?, object(payload, "payload")?);
                // One spelling of it only.
                let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| {
                    TokenFault::Malformed("its signature is not base64url".to_owned())
                })?;
                Ok(Self {
                    header,
                    payload,
                    signature,
                })
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

    /// A claim that is a text, if an empty one.
    pub(super) fn claim_text(&self, name: &str) -> Option<&str> {
        self.payload.get(name).and_then(Value::as_str)
    }

    fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    fn kid(&self) -> Option<String> {
        self.header_text("kid").map(shortened)
    }

    /// All claims.
    pub(in crate::oidc) const fn claims(&self) -> &Map<String, Value> {
        &self.payload
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

    /// What would mean something else to another reader: a payload that is not base64url (RFC 7797 section
    /// 3), and dates that are no numbers or beyond any calendar.
    pub(in crate::oidc) fn check_form(&self) -> Result<(), TokenFault> {
        if self.header.contains_key("b64") {
            return Err(TokenFault::Header("b64 is not supported".to_owned()));
        }
        let strange = |claim: &&str| {
            self.payload
                .get(*claim)
                .is_some_and(|value| !value.is_null() && !value.is_number())
        };
        if let Some(claim) = ["exp", "iat", "nbf", "auth_time"].into_iter().find(strange) {
            return Err(TokenFault::Malformed(format!(
                "its claim {claim:?} is not a number of seconds"
            )));
        }
        let beyond = |claim: &&str| {
            let seconds = self.payload.get(*claim).and_then(Value::as_f64);
            seconds.is_some_and(|seconds| seconds.abs() > LAST_SECOND)
        };
        match ["exp", "iat", "auth_time"].into_iter().find(beyond) {
            Some(claim) => Err(TokenFault::Malformed(format!(
                "its claim {claim:?} is no date of a calendar"
            ))),
            None => Ok(()),
        }
    }

    /// The header of a signed token of one of these types, and the claims that say whose it is, as far as
    /// their types go.
    pub(in crate::oidc) fn check_header(&self, types: &[&str]) -> Result<(), TokenFault> {
        form::algorithm(&self.header)?;
        form::check_common(&self.payload)?;
        form::check_header(&self.header, types)
    }

    /// `iss` and `aud` (steps 2 and 3).
    pub(in crate::oidc) fn check_origin(&self, trust: &Trust<'_>) -> Result<(), TokenFault> {
        let issuer = self.claim_text("iss").unwrap_or_default();
        if issuer != trust.issuer.as_str() {
            return Err(TokenFault::Issuer {
                expected: trust.issuer.as_str().to_owned(),
                found: shortened(issuer),
            });
        }
        if self.audiences().any(|audience| audience == trust.client_id) {
            return Ok(());
        }
        let found = self.claim("aud").map(Value::to_string).unwrap_or_default();
        Err(TokenFault::Audience {
            found: shortened(&found),
        })
    }

    /// `aud`, which is a text or a list of them (section 2).
    fn audiences(&self) -> impl Iterator<Item = &str> {
        let all = match self.claim("aud") {
            Some(Value::Array(all)) => all.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        all.iter().filter_map(Value::as_str)
    }

    /// `azp`, where present, must be our client id; it must be present where the token has other
    /// audiences (steps 4 and 5).
    pub(in crate::oidc) fn check_authorized_party(
        &self,
        client_id: &str,
    ) -> Result<(), TokenFault> {
        match self.claim_text("azp") {
            Some(party) if party == client_id => Ok(()),
            None if self.audiences().count() == 1 => Ok(()),
            found => Err(TokenFault::AuthorizedParty {
                found: found.map(str::to_owned),
            }),
        }
    }

    /// Whether the provider signed `raw`, of which these are the parts, by an algorithm that is accepted from
    /// it (steps 6 to 8). The header chooses neither what is accepted nor whose keys count.
    pub(in crate::oidc) fn check_signature(
        &self,
        raw: &str,
        keys: &KeySet,
        trust: &Trust<'_>,
    ) -> Result<Algorithm, TokenFault> {
        let refused = || TokenFault::Algorithm {
            found: shortened(self.header_text("alg").unwrap_or_default()),
        };
        let algorithm = match form::algorithm(&self.header)? {
            Named::Accepted(algorithm) if trust.algorithms.contains(&algorithm) => algorithm,
            Named::Accepted(_) | Named::Other => return Err(refused()),
            Named::Unsigned => return Err(TokenFault::Unsigned),
        };
        let (signed, _) = raw.rsplit_once('.').unwrap_or_default();
        let signed = signed.as_bytes();
        let verdict = match (algorithm, trust.hs256_secret) {
            (Algorithm::Hs256, Some(secret)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
                hmac::verify(&key, signed, &self.signature).map_err(|_| KeyFault::Wrong)
            }
            // The secret of a client that keeps none is anybody's.
            (Algorithm::Hs256, None) => return Err(refused()),
            _ => keys.verify(self.header_text("kid"), algorithm, signed, &self.signature),
        };
        verdict.map_err(|fault| self.key_fault(fault))?;
        Ok(algorithm)
    }

    fn key_fault(&self, fault: KeyFault) -> TokenFault {
        match fault {
            KeyFault::Unknown => TokenFault::UnknownKey { kid: self.kid() },
            KeyFault::Ambiguous => TokenFault::AmbiguousKey,
            KeyFault::Unusable => TokenFault::UnusableKey(
                "it has another curve than the token's algorithm".to_owned(),
            ),
            KeyFault::Wrong => TokenFault::Signature { kid: self.kid() },
        }
    }

    /// `exp` (step 9), with the skew.
    pub(in crate::oidc) fn check_expiry(&self, now: Timestamp) -> Result<(), TokenFault> {
        let expires_at = self.date("exp").ok_or(TokenFault::ExpiryMissing)?;
        let over = now.since(expires_at);
        if over > SKEW {
            return Err(TokenFault::Expired {
                seconds: over.as_secs(),
            });
        }
        Ok(())
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
