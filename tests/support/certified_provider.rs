//! The certified OpenID provider of `tests/rig/provider`, which looks like authentik from outside.

use serde_json::{Value, json};

use super::child::JsonChild;

/// The admin: `dominic@acmecorp.net`, groups `headscale` and `headscale-admins`.
pub(crate) const ADMIN: &str = "dominic";
/// The member: `mia@acmecorp.net`, group `headscale`.
pub(crate) const MEMBER: &str = "mia";
/// The outsider: `olaf@elsewhere.example`, no group.
pub(crate) const OUTSIDER: &str = "olaf";

/// A running provider; it ends when this is dropped.
pub(crate) struct CertifiedProvider {
    child: JsonChild,
    origin: String,
    issuer: String,
}

impl CertifiedProvider {
    /// Starts it on a free port with its default settings.
    pub(crate) fn start() -> Self {
        Self::start_with(&json!({}))
    }

    /// Starts it on a free port. Settings: `host`, `email_verified`, `claims_in_id_token`,
    /// `refresh_tokens`, `id_token_ttl`, `logout_ends_session`, `clients`, `acr_values` (those of
    /// `silver` and `gold` that it does when it is asked for them), `amr` (of every sign-in).
    pub(crate) fn start_with(settings: &Value) -> Self {
        let environment = [("PROVIDER_CONFIG", settings.to_string())];
        let mut child = JsonChild::node("provider/provider.mjs", &environment);
        let ready = child.hear();
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        Self {
            origin: text("origin"),
            issuer: text("issuer"),
            child,
        }
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The issuer, with authentik's trailing slash.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Registers a confidential client with Basic authentication, the code grant, and ID tokens
    /// signed with `algorithm` (`RS256`, `ES256`, `HS256`).
    pub(crate) fn register(&mut self, id: &str, secret: &str, redirect: &str, algorithm: &str) {
        self.register_client(&json!({
            "client_id": id,
            "client_secret": secret,
            "redirect_uris": [redirect],
            "id_token_signed_response_alg": algorithm,
        }));
    }

    /// Registers a client, or replaces it: RFC 7591 metadata over the defaults of
    /// [`register`](Self::register); also `post_logout_redirect_uris`, `backchannel_logout_uri`.
    pub(crate) fn register_client(&mut self, client: &Value) {
        self.child.ask(&json!({ "do": "client", "client": client }));
    }

    /// Changes settings while it runs.
    pub(crate) fn set(&mut self, settings: &Value) {
        self.child
            .ask(&json!({ "do": "set", "settings": settings }));
    }

    /// Changes somebody's claims (`name`, `email`, `groups`, or any other), or invents somebody.
    pub(crate) fn set_person(&mut self, username: &str, claims: &Value) {
        self.child
            .ask(&json!({ "do": "person", "username": username, "claims": claims }));
    }

    /// Makes somebody's sessions there so many seconds older: who signs in by one of them did so
    /// that long ago.
    pub(crate) fn age(&mut self, username: &str, seconds: u32) {
        self.child
            .ask(&json!({ "do": "age", "username": username, "seconds": seconds }));
    }

    /// Deactivates somebody: sessions and tokens are gone, no client is told.
    pub(crate) fn deactivate(&mut self, username: &str) {
        self.child
            .ask(&json!({ "do": "deactivate", "username": username }));
    }

    /// Ends somebody's sessions and tells clients through the back channel; what each answered
    /// (`client_id`, `outcome`: `accepted` or the reason).
    pub(crate) fn end_sessions(&mut self, username: &str) -> Vec<Value> {
        let answer = self
            .child
            .ask(&json!({ "do": "end_sessions", "username": username }));
        answer["told"].as_array().cloned().unwrap_or_default()
    }

    /// What tokens for this client call somebody's sessions.
    pub(crate) fn sids(&mut self, username: &str, client: &str) -> Vec<String> {
        let asked = json!({ "do": "sids", "username": username, "client_id": client });
        serde_json::from_value(self.child.ask(&asked)["sids"].clone()).unwrap_or_default()
    }

    /// The address of a page of its own that shows `url` in a frame.
    pub(crate) fn framing(&self, url: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("src", url)
            .finish();
        format!("{}/frames/?{query}", self.origin)
    }

    /// Every request it got so far, as `METHOD /path`.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        let answer = self.child.ask(&json!({ "do": "requests" }));
        serde_json::from_value(answer["requests"].clone()).unwrap_or_default()
    }
}
