//! Signing out: at the provider from our side (OpenID Connect RP-Initiated Logout 1.0), and here from
//! the provider's (Back-Channel Logout 1.0, Front-Channel Logout 1.0). The session here ends first in
//! either case: whatever the provider does, the person is signed out of Headwarden.

use url::Url;

use super::id_token::{TokenFault, Trust};
use super::logout_token::{self, LogoutToken};
use super::provider::Provider;
use super::refusal::Unavailable;
use crate::domain::secret::Secret;

/// The longest ID token that goes along as a hint, in bytes. It travels in a URL, and many servers take
/// no more than 8 KiB of one; a longer one would make a sign-out end in an error page.
const LONGEST_HINT: usize = 6 * 1024;

/// Why a posted logout token ends nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogoutRefused {
    /// Its keys were never fetched. Nothing is known about the token.
    #[error(transparent)]
    ProviderUnknown(#[from] Unavailable),
    /// It is not the provider's word.
    #[error("the logout token is refused: {0}")]
    Token(#[from] TokenFault),
}

impl Provider {
    /// Where a browser is sent, by GET, to sign out at the provider. `None` while the provider is not
    /// known, has no end-session endpoint, or could not take the ID token. No network.
    ///
    /// The ID token goes along always: newer authentik wants it whenever there is a return URI, and
    /// takes an expired one. `post_logout_redirect_uri` must be registered there, byte for byte.
    pub fn end_session_url(
        &self,
        id_token_hint: &Secret<String>,
        post_logout_redirect_uri: &str,
        state: &str,
    ) -> Option<Url> {
        let bytes = id_token_hint.expose().len();
        if bytes > LONGEST_HINT {
            tracing::info!(
                bytes,
                most = LONGEST_HINT,
                "the ID token is too long to be a hint"
            );
            return None;
        }
        let mut url = self.snapshot()?.metadata().end_session_endpoint.clone()?;
        url.query_pairs_mut()
            .append_pair("id_token_hint", id_token_hint.expose())
            .append_pair("client_id", &self.settings().client_id)
            .append_pair("post_logout_redirect_uri", post_logout_redirect_uri)
            .append_pair("state", state);
        Some(url)
    }

    /// Verifies a logout token that was posted to us. Newer keys are fetched where those might change
    /// the verdict, and not more often than for ID tokens.
    ///
    /// # Errors
    /// [`LogoutRefused`]; nothing may end then.
    pub async fn verify_logout_token(&self, raw: &str) -> Result<LogoutToken, LogoutRefused> {
        let snapshot = self.snapshot().ok_or(Unavailable)?;
        let settings = self.settings();
        let verdict = self.judge(&snapshot, |snapshot| {
            let trust = Trust {
                issuer: &settings.issuer,
                client_id: &settings.client_id,
                hs256_secret: settings.allow_hs256.then_some(&settings.client_secret),
                algorithms: &snapshot.metadata().algorithms,
                now: self.now(),
            };
            logout_token::verify(raw, snapshot.keys(), &trust)
        });
        Ok(verdict.await.map_err(|why| why.fault)?)
    }

    /// Whether `issuer` is the provider's, byte for byte.
    pub fn is_issued_by(&self, issuer: &str) -> bool {
        self.settings().issuer.as_str() == issuer
    }

    /// The origins that a form of ours may end at after redirects, for CSP `form-action`: those of
    /// the authorization and the end-session endpoint. Empty while the provider is not known.
    pub fn origins(&self) -> Vec<String> {
        let Some(snapshot) = self.snapshot() else {
            return Vec::new();
        };
        let metadata = snapshot.metadata();
        let mut origins = vec![origin(&metadata.authorization_endpoint)];
        origins.extend(metadata.end_session_endpoint.as_ref().map(origin));
        origins.dedup();
        origins
    }

    /// The origins whose pages may frame what tells them of a sign-out, for CSP `frame-ancestors`: those
    /// of [`Provider::origins`], and the issuer's.
    pub fn framing_origins(&self) -> Vec<String> {
        let mut origins = self.origins();
        let issuer = Url::parse(self.settings().issuer.as_str());
        origins.extend(issuer.ok().as_ref().map(origin));
        origins.sort();
        origins.dedup();
        origins
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
