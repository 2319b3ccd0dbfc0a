//! Signing out at the provider (OpenID Connect RP-Initiated Logout 1.0). The session here has ended
//! before: whatever the provider does, the person is signed out of Headwarden.

use url::Url;

use super::provider::Provider;
use crate::domain::secret::Secret;

impl Provider {
    /// Where a browser is sent, by GET, to sign out at the provider. `None` while the provider is not
    /// known or has no end-session endpoint. No network.
    ///
    /// Always pass the ID token: newer authentik wants it whenever there is a return URI, and takes
    /// an expired one. `post_logout_redirect_uri` must be registered there, byte for byte.
    pub fn end_session_url(
        &self,
        id_token_hint: Option<&Secret<String>>,
        post_logout_redirect_uri: &str,
        state: &str,
    ) -> Option<Url> {
        let mut url = self.snapshot()?.metadata().end_session_endpoint.clone()?;
        let mut query = url.query_pairs_mut();
        if let Some(hint) = id_token_hint {
            query.append_pair("id_token_hint", hint.expose());
        }
        query
            .append_pair("client_id", &self.settings().client_id)
            .append_pair("post_logout_redirect_uri", post_logout_redirect_uri)
            .append_pair("state", state);
        drop(query);
        Some(url)
    }

    /// The origins that a form of ours may end at after redirects, for CSP `form-action`: those of
    /// the authorization and the end-session endpoint. Empty while the provider is not known.
    pub fn origins(&self) -> Vec<String> {
        let Some(snapshot) = self.snapshot() else {
            return Vec::new();
        };
        let metadata = snapshot.metadata();
        let mut origins = vec![
            metadata
                .authorization_endpoint
                .origin()
                .ascii_serialization(),
        ];
        origins.extend(
            metadata
                .end_session_endpoint
                .iter()
                .map(|url| url.origin().ascii_serialization()),
        );
        origins.dedup();
        origins
    }
}
