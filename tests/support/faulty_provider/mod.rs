//! An OpenID provider that can misbehave: a real HTTP server on a free port of this machine that
//! speaks authentik's dialect, and whose answers are bent by one [`Fault`] at a time.
//!
//! Its authorization endpoint signs in without asking (unless the knob `asks` says otherwise): the
//! [`Person`] that `login_hint` names, else the one of the knob. Everything else is real: codes work once, PKCE and redirect URIs are
//! checked, tokens are signed.
//!
//! Include it as `#[path = "…/support/faulty_provider/mod.rs"] mod faulty_provider;`; start it with
//! [`FaultyProvider::start`]; it stops when it is dropped.

mod answers;
mod fault;
mod ill;
mod people;
mod signing;
mod tls;
mod tokens;
mod who;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub(crate) use fault::Fault;
pub(crate) use ill::Ill;
pub(crate) use people::Person;
pub(crate) use signing::Key;

/// The one client that is registered.
pub(crate) const CLIENT_ID: &str = "headwarden";
/// Its secret.
pub(crate) const CLIENT_SECRET: &str = "the-client-secret-0123456789abcdef";

/// What can be asked of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Discovery,
    Jwks,
    Authorize,
    Token,
    Userinfo,
    EndSession,
    Other,
}

/// How the provider behaves. Change it with [`FaultyProvider::set`].
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Knobs {
    /// What it does wrong.
    pub(crate) fault: Option<Fault>,
    /// An endpoint that is not itself.
    pub(crate) ill: Option<(Endpoint, Ill)>,
    /// Members of the discovery document: put in, or taken out where null.
    pub(crate) discovery: Map<String, Value>,
    /// The whole key set.
    pub(crate) jwks: Option<Value>,
    /// Members of token answers: put in, or taken out where null.
    pub(crate) token_answer: Map<String, Value>,
    /// Members of userinfo answers: put in, or taken out where null.
    pub(crate) userinfo: Map<String, Value>,
    /// Parameters of the ID token's header: put in, or taken out where null.
    pub(crate) header: Map<String, Value>,
    /// Claims of the ID token alone: put in, or taken out where null.
    pub(crate) id_claims: Map<String, Value>,
    /// JSON that is put in front of the ID token's first claim.
    pub(crate) before_claims: &'static str,
    /// Who signs in where `login_hint` names nobody.
    pub(crate) person: Person,
    /// Whether people are asked who they are, as they are in the demo.
    pub(crate) asks: bool,
    /// What ID tokens are signed with.
    pub(crate) signing_key: Key,
    /// What the key set shows.
    pub(crate) published_keys: Vec<Key>,
    /// RFC 9207: announced, and `iss` sent in callbacks. authentik does neither.
    pub(crate) advertises_iss: bool,
    /// authentik's "Include claims in `id_token`".
    pub(crate) claims_in_id_token: bool,
    /// Whether ID tokens carry an `at_hash`; authentik's do not.
    pub(crate) at_hash: bool,
    /// Whether the token answer has a refresh token.
    pub(crate) refresh_tokens: bool,
    /// Whether a refresh token stays what it is, as in authentik below `refresh_token_threshold`; else
    /// each works once.
    pub(crate) refresh_tokens_stay: bool,
    /// Accounts that are not active any more: what was given out for them is refused.
    pub(crate) deactivated: Vec<Person>,
    /// An endpoint that answers when this is true.
    held: Option<(Endpoint, watch::Receiver<bool>)>,
    /// Claims that replace or join those of the person, as a property mapping would.
    pub(crate) extra_claims: Map<String, Value>,
    /// Authorization requests are answered with this error.
    pub(crate) authorize_error: Option<String>,
    /// Exact redirect URIs; empty saves the first one used, as authentik does.
    pub(crate) redirect_uris: Vec<String>,
    /// Where people may return to after signing out.
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// What it gave out or was sent that nobody else may learn, by name.
    pub(crate) secrets: Vec<(&'static str, String)>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            fault: None,
            ill: None,
            discovery: Map::new(),
            jwks: None,
            token_answer: Map::new(),
            userinfo: Map::new(),
            header: Map::new(),
            id_claims: Map::new(),
            before_claims: "",
            person: Person::Member,
            asks: false,
            signing_key: Key::Rsa,
            published_keys: vec![Key::Rsa],
            advertises_iss: false,
            claims_in_id_token: true,
            at_hash: false,
            refresh_tokens: false,
            refresh_tokens_stay: false,
            deactivated: Vec::new(),
            held: None,
            extra_claims: Map::new(),
            authorize_error: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

/// One authorization that was granted.
#[derive(Clone, Debug)]
struct Grant {
    person: Person,
    redirect_uri: String,
    nonce: Option<String>,
    challenge: Option<(String, String)>,
    auth_time: u64,
    sid: String,
    /// Not of a sign-in, but of a refresh token.
    refreshed: bool,
}

#[derive(Debug, Default)]
struct Memory {
    codes: HashMap<String, Grant>,
    access_tokens: HashMap<String, Grant>,
    refresh_tokens: HashMap<String, Grant>,
    /// When each person last proved who they are, and the session of it.
    sessions: HashMap<Person, (u64, String)>,
    serial: u64,
}

struct Shared {
    origin: String,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    knobs: Mutex<Knobs>,
    memory: Mutex<Memory>,
    hits: [AtomicUsize; 7],
}

impl Shared {
    fn issuer(&self) -> String {
        format!("{}/application/o/headscale/", self.origin)
    }

    fn knobs(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    fn has(&self, fault: Fault) -> bool {
        self.knobs().fault == Some(fault)
    }

    fn now(&self) -> u64 {
        (self.clock)()
    }

    /// A fresh value that nobody could guess, which is all that codes and tokens here need to be.
    fn fresh(&self, kind: &'static str) -> String {
        let serial = {
            let mut memory = self.memory();
            memory.serial += 1;
            memory.serial
        };
        let value = format!("{kind}-{serial}-{}", signing::random_text());
        if kind != "sid" {
            self.note(kind, &value);
        }
        value
    }

    /// Keeps a secret for whoever looks for it where it must not be.
    fn note(&self, name: &'static str, value: &str) {
        self.knobs().secrets.push((name, value.to_owned()));
    }
}

/// A running provider.
pub(crate) struct FaultyProvider {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl FaultyProvider {
    /// Starts a provider that lives in the present.
    pub(crate) async fn start() -> Self {
        Self::start_at(present).await
    }

    /// Starts a provider whose present is what `clock` says, in Unix seconds.
    pub(crate) async fn start_at(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::start_with(clock, None).await
    }

    /// Starts a provider behind TLS, at `https://localhost`, and gives the PEM certificate to trust.
    pub(crate) async fn start_tls() -> (Self, String) {
        let (acceptor, certificate) = tls::acceptor();
        (Self::start_with(present, Some(acceptor)).await, certificate)
    }

    async fn start_with(
        clock: impl Fn() -> u64 + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        Key::prepare();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = match tls {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let shared = Arc::new(Shared {
            origin,
            clock: Box::new(clock),
            knobs: Mutex::default(),
            memory: Mutex::default(),
            hits: Default::default(),
        });
        let server = tokio::spawn(serve(listener, tls, Arc::clone(&shared)));
        Self { shared, server }
    }

    /// The present, where nobody says otherwise, in Unix seconds.
    pub(crate) fn now() -> u64 {
        present()
    }

    /// The issuer, with its trailing slash.
    pub(crate) fn issuer(&self) -> String {
        self.shared.issuer()
    }

    /// The origin, for CSP and the like.
    pub(crate) fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// Turns knobs.
    pub(crate) fn set(&self, turn: impl FnOnce(&mut Knobs)) {
        turn(&mut self.shared.knobs());
    }

    /// Makes one mistake from now on, instead of any earlier one.
    pub(crate) fn bend(&self, fault: Fault) {
        self.set(|knobs| knobs.fault = Some(fault));
    }

    /// One endpoint is not itself from now on.
    pub(crate) fn sicken(&self, endpoint: Endpoint, ill: Ill) {
        self.set(|knobs| knobs.ill = Some((endpoint, ill)));
    }

    /// Behaves again, in every way that can be bent.
    pub(crate) fn mend(&self) {
        self.set(|knobs| {
            knobs.fault = None;
            knobs.ill = None;
            knobs.discovery.clear();
            knobs.jwks = None;
            knobs.token_answer.clear();
            knobs.userinfo.clear();
            knobs.header.clear();
            knobs.id_claims.clear();
            knobs.before_claims = "";
        });
    }

    /// Signs with another key from now on and publishes only that one, as authentik does.
    pub(crate) fn rotate_to(&self, key: Key) {
        self.set(|knobs| {
            knobs.signing_key = key;
            knobs.published_keys = vec![key];
        });
    }

    /// A logout token about somebody, and about their session if there is one, bent by the fault of the
    /// moment; members of its header and its claims are put in, or taken out where null.
    pub(crate) fn logout_token(&self, person: Person, header: &Value, claims: &Value) -> String {
        tokens::logout_token(&self.shared, person, header, claims)
    }

    /// The session of somebody, as tokens name it, if they signed in.
    pub(crate) fn sid(&self, person: Person) -> Option<String> {
        let memory = self.shared.memory();
        memory.sessions.get(&person).map(|it| it.1.clone())
    }

    /// Lets an endpoint wait with its answers until what is returned is dropped.
    pub(crate) fn hold(&self, endpoint: Endpoint) -> Held {
        let (release, held) = watch::channel(false);
        self.set(|knobs| knobs.held = Some((endpoint, held)));
        Held(release)
    }

    /// How often an endpoint was asked.
    pub(crate) fn hits(&self, endpoint: Endpoint) -> usize {
        self.shared.hits[endpoint as usize].load(Ordering::SeqCst)
    }
}

/// An endpoint that waits with its answers.
#[must_use = "it answers when this is dropped"]
pub(crate) struct Held(watch::Sender<bool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Drop for FaultyProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this provider is another machine: it has a clock"
)]
fn present() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropped, and every connection with it, when the provider is.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            match tls {
                None => speak(stream, shared).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        speak(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(|request| answers::answer(Arc::clone(&shared), request));
    // A client that hangs up is no concern of a server.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
