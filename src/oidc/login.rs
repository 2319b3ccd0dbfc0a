//! Signing in: the authorization request, and what a callback has to pass before somebody is
//! somebody. The attempt itself (state, nonce, verifier) is `domain::login`'s; keeping it in a cookie
//! is the `session` room's.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::claims;
use super::exchange::{self, Grant};
use super::id_token::{ExpectedNonce, Verified};
use super::provider::{Provider, Snapshot};
use super::refusal::{AnswerFault, CallbackError, IssMismatch, Unavailable};
use super::signed_in::SignedIn;
use crate::config::Pkce;
use crate::domain::login::Attempt;
use crate::domain::secret::Secret;

/// What an authorization request asks for beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct AuthorizeOptions {
    /// `prompt=login`: the person has to prove again who they are.
    pub prompt_login: bool,
    /// `max_age`, in whole seconds; less than one second is sent as one, since authentik ignores 0.
    pub max_age: Option<Duration>,
    /// `acr_values`: any of these will do. In place of what the operator's `extra_params` ask for.
    pub acr_values: Vec<String>,
    /// `login_hint`.
    pub login_hint: Option<String>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("iss", &self.iss)
            .finish_non_exhaustive()
    }
}

/// What came back through the browser. `Debug` shows neither state nor code.
#[derive(Clone)]
pub struct Callback {
    /// `state`, to be equal to the attempt's.
    pub state: String,
    /// `code`.
    pub code: Secret<String>,
    /// `iss` (RFC 9207), if there was one.
    pub iss: Option<String>,
}

impl Provider {
    /// The URL that a browser is sent to. No network.
    ///
    /// # Errors
    /// [`Unavailable`] while the provider is not known.
    pub fn authorization_url(
        &self,
        attempt: &Attempt,
        options: &AuthorizeOptions,
    ) -> Result<Url, Unavailable> {
        let snapshot = self.snapshot().ok_or(Unavailable)?;
        let settings = self.settings();
        let mut url = snapshot.metadata().authorization_endpoint.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", self.redirect_uri())
            .append_pair("scope", &settings.scope.join(" "))
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair(
                "code_challenge",
                &challenge(settings.pkce, &attempt.verifier),
            )
            .append_pair("code_challenge_method", method(settings.pkce));
        if options.prompt_login {
            query.append_pair("prompt", "login");
        }
        if let Some(age) = options.max_age {
            query.append_pair("max_age", &age.as_secs().max(1).to_string());
        }
        if let Some(hint) = &options.login_hint {
            query.append_pair("login_hint", hint);
        }
        let own_classes = !options.acr_values.is_empty();
        if own_classes {
            query.append_pair("acr_values", &options.acr_values.join(" "));
        }
        let rest = settings.extra_params.iter();
        query.extend_pairs(rest.filter(|(name, _)| !(own_classes && *name == "acr_values")));
        drop(query);
        Ok(url)
    }

    /// Checks the `iss` of a callback: required where the provider announces it, and equal to the
    /// issuer byte for byte where it is present. Call it before anything is done with the code, also
    /// for an error callback. No network.
    ///
    /// # Errors
    /// [`IssMismatch`].
    pub fn check_iss(&self, iss: Option<&str>) -> Result<(), IssMismatch> {
        let expected = self.settings().issuer.as_str();
        match iss {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(IssMismatch::Other {
                expected: expected.to_owned(),
                found: found.chars().take(200).collect(),
            }),
            None if self
                .snapshot()
                .is_some_and(|it| it.metadata().advertises_iss) =>
            {
                Err(IssMismatch::Missing)
            }
            None => Ok(()),
        }
    }

    /// Redeems the code of a callback, verifies the ID token and merges userinfo.
    ///
    /// State, age and `iss` are checked first: if they are wrong, nothing is sent to the provider.
    ///
    /// # Errors
    /// [`CallbackError`]; nobody is signed in then.
    pub async fn redeem(
        &self,
        attempt: &Attempt,
        callback: &Callback,
    ) -> Result<SignedIn, CallbackError> {
        let same = attempt.state.as_bytes().ct_eq(callback.state.as_bytes());
        if !bool::from(same) {
            return Err(CallbackError::StateMismatch);
        }
        if attempt.expired(self.now()) {
            return Err(CallbackError::AttemptExpired);
        }
        self.check_iss(callback.iss.as_deref())?;
        let snapshot = self.snapshot().ok_or(Unavailable)?;
        let grant = Grant::Code {
            code: callback.code.expose(),
            verifier: &attempt.verifier,
            redirect_uri: self.redirect_uri(),
        };
        let mut tokens =
            exchange::redeem(self.http(), snapshot.metadata(), self.settings(), grant).await?;
        let id_token = tokens.id_token.take().ok_or(AnswerFault::NoIdToken)?;
        let nonce = ExpectedNonce::Equal(&attempt.nonce);
        let verified = self
            .verify(&snapshot, &id_token, nonce, &tokens.access_token)
            .await
            .map_err(|unverified| unverified.fault)?;
        self.sign_in(&snapshot, id_token, tokens, verified).await
    }

    async fn sign_in(
        &self,
        snapshot: &Snapshot,
        id_token: Secret<String>,
        tokens: exchange::Tokens,
        verified: Verified,
    ) -> Result<SignedIn, CallbackError> {
        let Verified {
            claims,
            subject,
            expires_at,
            auth_time,
            provider_session,
        } = verified;
        let userinfo = exchange::userinfo(
            self.http(),
            snapshot.metadata(),
            &tokens.access_token,
            &subject,
        )
        .await?;
        let (acr, amr) = claims::assurance(&claims);
        let footing = self.footing(&tokens);
        Ok(SignedIn {
            identity: self.identity(claims, userinfo, subject),
            provider_session,
            auth_time,
            id_token,
            token_expires_at: expires_at,
            refresh_token: tokens.refresh_token,
            acr,
            amr,
            footing,
        })
    }
}

/// The name of a PKCE method (RFC 7636 section 4.3).
pub(super) const fn method(pkce: Pkce) -> &'static str {
    match pkce {
        Pkce::S256 => "S256",
        Pkce::Plain => "plain",
    }
}

/// The PKCE challenge of a verifier (RFC 7636 section 4.2).
fn challenge(pkce: Pkce, verifier: &str) -> String {
    match pkce {
        Pkce::S256 => {
            let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
            URL_SAFE_NO_PAD.encode(hash)
        }
        Pkce::Plain => verifier.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let hashed = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge(Pkce::S256, verifier), hashed);
        assert_eq!(challenge(Pkce::Plain, verifier), verifier);
    }
}
