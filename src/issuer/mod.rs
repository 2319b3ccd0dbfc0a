//! What Headscale trusts: an OpenID issuer for one client, with one redirect URI and one key.
//!
//! Transport-free. [`Issuer::handle`] answers the private listener (discovery, keys, tokens,
//! userinfo), [`Issuer::authorize`] and [`Issuer::issue`] are for the public one, where the person
//! with their session is. Who may still be told about is asked through [`Standing`]; nothing here
//! knows sessions or rules. Not here: confirmations, the leg that a request belongs to, pages.

mod answer;
mod authorize;
mod block;
mod claims;
mod client;
mod codes;
mod discovery;
mod endpoints;
#[cfg(test)]
mod fixture;
mod form;
mod jwt;
mod keys;
mod subject;
mod token;
mod userinfo;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

pub use authorize::AuthorizeError;
pub use block::config_block;
pub use claims::{Claims, Standing};
pub use client::{MAX_FAILURES, Peer};
pub use codes::{Shelf, Unavailable};
pub use endpoints::{AUTHORIZE_PATH, CALLBACK_PATH, IssuerUrlError};
pub use keys::{KeyError, KeyIdentity, SigningKey};
pub use subject::SubjectError;

use crate::config::{IssuerSettings, ServerUrl};
use crate::domain::leg::AuthorizeRequest;
use crate::domain::random::Random;
use crate::domain::secret::Secret;
use crate::domain::time::Clock;
use client::Client;
use codes::Tickets;
use endpoints::{Endpoints, Place};

/// Largest body that the token endpoint reads; Headscale's has under 1 KiB.
pub const MAX_BODY: usize = 16 * 1024;
/// How long a code can be redeemed.
const CODE_LIFETIME: Duration = Duration::from_mins(1);
/// Codes and access tokens that are kept at once, each.
const CAPACITY: usize = 10_000;

/// Why no code is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Headscale could take this account for another one.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The device would get the provider's expiry, and that is over: sign in there again.
    #[error("the provider's token expired, and devices are to expire with it")]
    ProviderTokenExpired,
    /// Try again in a moment.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The issuer that Headscale trusts.
pub struct Issuer {
    endpoints: Endpoints,
    client: Client,
    signing: ArcSwap<Signing>,
    node_expiry: ArcSwap<Option<Duration>>,
    codes: Tickets<token::Grant>,
    access: Tickets<Access>,
    discovery: Bytes,
    standing: Arc<dyn Standing>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// The key, and its public half as it is served.
struct Signing {
    key: SigningKey,
    jwks: Bytes,
}

impl Signing {
    fn new(key: SigningKey) -> Self {
        let jwks = key.jwks().to_string().into();
        Self { key, jwks }
    }
}

/// What an access token stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Access {
    holder: String,
    claims: Claims,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer")
            .field("endpoints", &self.endpoints)
            .field("key", &self.signing.load().key)
            .finish_non_exhaustive()
    }
}

impl Issuer {
    /// An issuer for the client in `settings`, which comes back to `server_url`.
    ///
    /// # Errors
    ///
    /// [`IssuerUrlError`] when the issuer string is not a URL that Headscale could fetch from.
    pub fn new(
        settings: &IssuerSettings,
        server_url: &ServerUrl,
        key: SigningKey,
        standing: Arc<dyn Standing>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, IssuerUrlError> {
        let endpoints = Endpoints::new(&settings.url, server_url)?;
        Ok(Self {
            discovery: discovery::document(&endpoints).to_string().into(),
            client: Client::new(&settings.client_id, &settings.client_secret),
            node_expiry: ArcSwap::from_pointee(settings.node_expiry),
            codes: Tickets::new("code", CODE_LIFETIME, CAPACITY, None),
            access: Tickets::new("access", token::ACCESS_TOKEN_LIFETIME, CAPACITY, None),
            endpoints,
            signing: ArcSwap::from_pointee(Signing::new(key)),
            standing,
            clock,
            random,
        })
    }

    /// The same, with codes and access tokens where other replicas find them.
    #[must_use]
    pub fn sharing(self, shelf: &Arc<dyn Shelf>) -> Self {
        let shelf = || Some(Arc::clone(shelf));
        Self {
            codes: Tickets::new("code", CODE_LIFETIME, CAPACITY, shelf()),
            access: Tickets::new("access", token::ACCESS_TOKEN_LIFETIME, CAPACITY, shelf()),
            ..self
        }
    }

    /// Codes and access tokens that are out, as text for a process that takes the place of this one. It holds
    /// claims, and no name that could be redeemed.
    ///
    /// # Errors
    /// When something of it has no JSON form: a mistake of ours.
    pub fn tickets(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&(self.codes.every(), self.access.every()))
    }

    /// Redeems from now on what the process before gave out: what [`Self::tickets`] said there.
    ///
    /// # Errors
    /// When it said something else.
    pub fn take_over(&self, tickets: &[u8]) -> serde_json::Result<()> {
        let (codes, access) = serde_json::from_slice(tickets)?;
        self.codes.take_over(codes);
        self.access.take_over(access);
        Ok(())
    }

    /// The key that signs now.
    pub fn signing_key(&self) -> SigningKey {
        self.signing.load().key.clone()
    }

    /// Signs with `key` from now on: the one that the replicas agreed on.
    pub fn adopt(&self, key: SigningKey) {
        self.signing.store(Arc::new(Signing::new(key)));
    }

    /// The client has this secret from now on, and devices stay for so long.
    pub fn change(&self, client_secret: &Secret<String>, node_expiry: Option<Duration>) {
        self.client.change_secret(client_secret);
        self.node_expiry.store(Arc::new(node_expiry));
    }

    /// Answers a request to the private listener. Put the caller's [`Peer`] into the extensions, so
    /// that failed client authentications are counted apart.
    pub async fn handle(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if !self.endpoints.is_host(request.uri(), request.headers()) {
            let text = Some("this host is not the issuer's; compare headscale.issuer.url");
            return answer::error(StatusCode::MISDIRECTED_REQUEST, "invalid_request", text);
        }
        match self.endpoints.place(request.uri().path()) {
            Place::Discovery => document(request, &self.discovery),
            Place::Jwks => document(request, &self.signing.load().jwks),
            Place::Token => token::handle(self, request).await,
            Place::Userinfo => userinfo::handle(self, request).await,
            Place::Nowhere => answer::error(StatusCode::NOT_FOUND, "invalid_request", None),
        }
    }

    /// Checks an authorization request from the public listener; `query` is decoded, in order, with
    /// duplicates.
    ///
    /// # Errors
    ///
    /// See [`AuthorizeError`]; a page for the person, never a redirect.
    pub fn authorize(
        &self,
        query: &[(String, String)],
    ) -> Result<AuthorizeRequest, AuthorizeError> {
        authorize::parse(query, self.client.id(), &self.endpoints.redirect_uri)
    }

    /// Gives out a code for `request`, answered by the session `holder`: good once, for a minute,
    /// and only while [`Standing`] says that `holder` is still the same person.
    ///
    /// # Errors
    ///
    /// See [`IssueError`]; both are a page for the person.
    pub async fn issue(
        &self,
        request: &AuthorizeRequest,
        holder: &str,
        claims: &Claims,
    ) -> Result<String, IssueError> {
        subject::check_subject(&claims.sub)?;
        let now = self.clock.now();
        token::expiry(claims, **self.node_expiry.load(), now)
            .ok_or(IssueError::ProviderTokenExpired)?;
        let grant = token::Grant {
            holder: holder.to_owned(),
            sub: claims.sub.clone(),
            redirect_uri: request.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
        };
        Ok(self.codes.issue(&*self.random, now, grant).await?)
    }

    /// Where to send the browser with its code: Headscale's callback (RFC 6749 section 4.1.2).
    pub fn callback_location(request: &AuthorizeRequest, code: &str) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", code)
            .append_pair("state", &request.state)
            .finish();
        format!("{}?{query}", request.redirect_uri)
    }

    /// The public authorization endpoint as the discovery document names it: what Headscale's
    /// redirects must point at.
    pub fn authorization_endpoint(&self) -> &str {
        &self.endpoints.authorization
    }
}

fn document(request: &Request<Bytes>, text: &Bytes) -> Response<Bytes> {
    match *request.method() {
        Method::GET => answer::fixed(StatusCode::OK, text.clone()),
        Method::HEAD => answer::fixed(StatusCode::OK, Bytes::new()),
        _ => answer::method_not_allowed("GET, HEAD"),
    }
}

/// A holder's name as logs show it.
fn short(holder: &str) -> &str {
    holder.get(..12).unwrap_or(holder)
}

/// `text` as a double-quoted scalar; JSON's are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
