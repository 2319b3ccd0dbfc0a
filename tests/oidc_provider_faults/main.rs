//! The relying party against a provider that misbehaves: every mistake is refused for its own
//! reason, and what must not be asked is not asked.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests stop the test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headwarden::config::{Oidc, Pkce};
use headwarden::domain::identity::Issuer;
use headwarden::domain::login::{Attempt, AttemptKind};
use headwarden::domain::random::Random;
use headwarden::domain::return_to::ReturnTo;
use headwarden::domain::secret::Secret;
use headwarden::domain::time::{Clock, Timestamp};
use headwarden::domain::username::StripDomain;
use headwarden::oidc::discovery::DiscoveryError;
use headwarden::oidc::http::HttpError;
use headwarden::oidc::id_token::TokenFault;
use headwarden::oidc::{
    AnswerFault, AuthorizeOptions, Callback, CallbackError, Endpoint as Answering, IssMismatch,
    LogoutRefused, Provider, SignedIn, StepUpError,
};
use headwarden::ops::metrics::Metrics;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use url::Url;

#[expect(dead_code, reason = "another test crate uses the rest of it")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;

mod callback;
mod discovery;
mod endpoints;
mod forgeries;
mod id_token;
mod keys;
mod logout;
mod orders;
mod person;
mod recheck;
mod refresh;

use faulty_provider::{
    CLIENT_ID, CLIENT_SECRET, Endpoint, Fault, FaultyProvider, Ill, Key, Person,
};

const REDIRECT_URI: &str = "https://headscale.example/oidc/callback";
const START: u64 = 1_800_000_000;

#[derive(Debug)]
struct TestClock(AtomicU64);

impl TestClock {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct SystemEntropy;

impl Random for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        SystemRandom::new().fill(buffer).unwrap();
    }
}

fn settings(issuer: String) -> Oidc {
    Oidc {
        only_start_if_available: true,
        start_timeout: Duration::from_secs(5),
        issuer: Issuer::new(issuer),
        client_id: CLIENT_ID.to_owned(),
        client_secret: Secret::new(CLIENT_SECRET.to_owned()),
        scope: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
        extra_params: BTreeMap::from(
            [("acr_values", "bronze"), ("domain_hint", "company.example")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        ),
        pkce: Pkce::S256,
        allow_hs256: false,
        username_claim: "preferred_username".to_owned(),
        groups_claim: "groups".to_owned(),
        strip_email_domain: StripDomain::Strip,
        use_expiry_from_token: false,
        ca_path: None,
        // Long enough for a key of RSA that is made meanwhile, on a machine that has other things to do.
        timeout: Duration::from_mins(1),
    }
}

/// A provider and its relying party, which share a clock.
struct Scene {
    idp: FaultyProvider,
    clock: Arc<TestClock>,
    rp: Arc<Provider>,
}

impl Scene {
    async fn unknown(adjust: impl FnOnce(&mut Oidc)) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START)));
        let theirs = Arc::clone(&clock);
        let idp = FaultyProvider::start_at(move || theirs.0.load(Ordering::SeqCst)).await;
        let mut settings = settings(idp.issuer());
        adjust(&mut settings);
        let ours: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
        let rp = Provider::new(&settings, REDIRECT_URI.to_owned(), ours, metrics()).unwrap();
        Self { idp, clock, rp }
    }

    async fn known() -> Self {
        let scene = Self::unknown(|_| {}).await;
        scene.rp.refresh().await.unwrap();
        scene
    }

    /// The same, with keys that are quick to sign with.
    async fn quick(adjust: impl FnOnce(&mut Oidc)) -> Self {
        let scene = Self::unknown(adjust).await;
        scene.idp.rotate_to(Key::Ec);
        scene.rp.refresh().await.unwrap();
        scene
    }

    fn attempt(&self) -> Attempt {
        let kind = AttemptKind::SignIn;
        Attempt::begin(&SystemEntropy, ReturnTo::root(), kind, self.clock.now())
    }

    /// Sends the browser to the provider and takes what it comes back with.
    async fn authorize(&self, attempt: &Attempt, options: &AuthorizeOptions) -> Callback {
        let url = self.rp.authorization_url(attempt, options).unwrap();
        let target = Url::parse(&location(&url).await.unwrap()).unwrap();
        assert!(target.as_str().starts_with(REDIRECT_URI), "{target}");
        let query: BTreeMap<_, _> = target.query_pairs().into_owned().collect();
        Callback {
            state: query["state"].clone(),
            code: Secret::new(query["code"].clone()),
            iss: query.get("iss").cloned(),
        }
    }

    async fn sign_in_with(&self, options: &AuthorizeOptions) -> Result<SignedIn, CallbackError> {
        let attempt = self.attempt();
        let callback = self.authorize(&attempt, options).await;
        self.rp.redeem(&attempt, &callback).await
    }

    async fn sign_in(&self) -> Result<SignedIn, CallbackError> {
        self.sign_in_with(&AuthorizeOptions::default()).await
    }

    async fn refused(&self) -> CallbackError {
        match self.sign_in().await {
            Err(error) => error,
            Ok(signed_in) => panic!("{signed_in:?} was signed in"),
        }
    }
}

/// What a browser would do next: `Location`, if the answer is a redirect.
async fn location(url: &Url) -> Option<String> {
    let address = url.socket_addrs(|| None).unwrap()[0];
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let target = &url[url::Position::BeforePath..];
    let request = http::Request::get(target)
        .header("Host", address.to_string())
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    answer
        .headers()
        .get("Location")
        .map(|value| value.to_str().unwrap().to_owned())
}

fn invalid(reason: TokenFault) -> CallbackError {
    CallbackError::TokenInvalid { reason }
}

/// The members of an object.
fn members(object: &Value) -> Map<String, Value> {
    object.as_object().unwrap().clone()
}

fn unavailable(endpoint: Answering, source: HttpError) -> CallbackError {
    CallbackError::ProviderUnavailable { endpoint, source }
}

/// Counters that nobody looks at.
fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new().unwrap())
}
