//! A whole issuer for the tests: a clock that stands still, a Headscale that asks, people who stand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use serde_json::Value;

use super::*;
use crate::domain::assurance::Assurance;
use crate::domain::identity::Issuer as IssuerName;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;

pub(crate) const ISSUER: &str = "http://127.0.0.1:8181";
pub(crate) const SECRET: &str = "a secret: +%&";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const HOLDER: &str = "0123456789abcdef0123456789abcdef";

/// Predictable "randomness": every call gives another value.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (to, from) in buffer.iter_mut().zip(n.iter().cycle()) {
            *to = *from;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Still(AtomicU64);

impl Still {
    pub(crate) fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::Relaxed))
    }
}

/// The one session there is, or none.
#[derive(Debug)]
pub(crate) struct People(pub(crate) Mutex<Option<Claims>>);

#[async_trait]
impl Standing for People {
    async fn claims(&self, holder: &str) -> Option<Claims> {
        self.0.lock().unwrap().clone().filter(|_| holder == HOLDER)
    }
}

pub(crate) fn server_url() -> ServerUrl {
    ServerUrl {
        secure: true,
        authority: "headscale.company".parse().unwrap(),
        origin: "https://headscale.company".to_owned(),
    }
}

pub(crate) fn settings() -> IssuerSettings {
    IssuerSettings {
        url: IssuerName::new(ISSUER),
        address: "127.0.0.1:8181".parse().unwrap(),
        tls: None,
        client_id: "headscale".to_owned(),
        client_secret: Secret::new(SECRET.to_owned()),
        key_path: "unused".into(),
        node_expiry: None,
        ssh: Assurance::default(),
    }
}

pub(crate) fn claims() -> Claims {
    Claims {
        sub: "0f1e2d3c".to_owned(),
        email: Some("zoe@acmecorp.net".to_owned()),
        preferred_username: "zoe".to_owned(),
        name: Some("Zo\u{eb} \u{5d0}".to_owned()),
        picture: Some("https://acmecorp.net/zoe.png".to_owned()),
        groups: vec!["headscale".to_owned(), "staff".to_owned()],
        auth_time: Some(Timestamp::from_unix(1_799_999_000)),
        expires_at: None,
    }
}

pub(crate) struct House {
    pub(crate) issuer: Issuer,
    pub(crate) clock: Arc<Still>,
    pub(crate) people: Arc<People>,
}

/// An answer of the issuer, its body read as JSON.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(&settings())
    }

    pub(crate) fn with(settings: &IssuerSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = KeyIdentity {
            issuer: settings.url.clone(),
            provider_issuer: IssuerName::new("https://authentik.company/"),
        };
        let path = directory.path().join("issuer.json");
        let key = SigningKey::load_or_create(&path, &identity, false).unwrap();
        let clock = Arc::new(Still(AtomicU64::new(1_800_000_000)));
        let people = Arc::new(People(Mutex::new(Some(claims()))));
        let random = Arc::new(Counting::default());
        let issuer = Issuer::new(
            settings,
            &server_url(),
            key,
            people.clone(),
            clock.clone(),
            random,
        );
        Self {
            issuer: issuer.unwrap(),
            clock,
            people,
        }
    }

    pub(crate) fn stands(&self, claims: Option<Claims>) {
        *self.people.0.lock().unwrap() = claims;
    }

    /// A code as a browser would bring it back, asked for with a PKCE challenge or without.
    pub(crate) fn code(&self, pkce: bool) -> String {
        let claims = wait_for(self.people.claims(HOLDER)).unwrap_or_else(claims);
        wait_for(self.issuer.issue(&authorize_request(pkce), HOLDER, &claims)).unwrap()
    }

    pub(crate) fn ask(&self, request: &Request<Bytes>) -> Answer {
        let (head, body) = wait_for(self.issuer.handle(request)).into_parts();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    /// Headscale's token request, with fields replaced, added, or (by an empty text) left out.
    pub(crate) fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        self.ask(&token_request(
            code,
            changes,
            Some(basic("headscale", SECRET)),
        ))
    }

    pub(crate) fn userinfo(&self, access_token: &str) -> Answer {
        let mut request = get("/userinfo");
        let value = format!("Bearer {access_token}").parse().unwrap();
        request.headers_mut().insert(AUTHORIZATION, value);
        self.ask(&request)
    }
}

/// What `future` gives, without a runtime around it.
pub(crate) fn wait_for<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

pub(crate) fn authorize_request(pkce: bool) -> AuthorizeRequest {
    let challenge = ring::digest::digest(&ring::digest::SHA256, VERIFIER.as_bytes());
    AuthorizeRequest {
        state: "state-of-headscale".to_owned(),
        nonce: "nonce-of-headscale".to_owned(),
        challenge: pkce.then(|| URL_SAFE_NO_PAD.encode(challenge)),
        redirect_uri: "https://headscale.company/oidc/callback".to_owned(),
        scope: "openid profile email".to_owned(),
    }
}

pub(crate) fn get(path: &str) -> Request<Bytes> {
    Request::get(path)
        .header(HOST, "127.0.0.1:8181")
        .body(Bytes::new())
        .unwrap()
}

/// Basic credentials as Go's client sends them.
pub(crate) fn basic(id: &str, secret: &str) -> String {
    let encode = |text| form_urlencoded::byte_serialize(str::as_bytes(text)).collect::<String>();
    format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))
    )
}

pub(crate) fn token_request(
    code: &str,
    changes: &[(&str, &str)],
    authorization: Option<String>,
) -> Request<Bytes> {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "https://headscale.company/oidc/callback"),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let mut request = Request::post("/token")
        .header(HOST, "127.0.0.1:8181")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    request.body(body.into()).unwrap()
}
