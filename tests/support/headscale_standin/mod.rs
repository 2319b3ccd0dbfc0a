//! A Headscale stand-in: the routes of its main listener, its side of OpenID Connect, and upgrades
//! that carry bytes. It keeps every request head byte for byte, so that a test can tell what a
//! proxy really sent. It speaks from its own sockets: no HTTP library normalizes anything.

mod api;
pub(crate) mod jwt;
mod provider;
mod relying_party;
mod routes;
mod rows;
mod server;
pub(crate) mod tunnel;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::framing::Fields;
use super::raw::PATIENCE;
pub(crate) use api::devices::Device;
pub(crate) use api::keys::KeyRow;
use tunnel::Tunnel;

/// The first bytes of every tunnel, in the same write as the 101.
pub(crate) const FIRST_BYTES: &[u8] = b"\x02\x00\x30first bytes of the server";

/// How this Headscale is configured.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// What `GET /version` says; decides what differs between 0.26 and 0.30.
    pub(crate) version: String,
    /// Headscale's own `server_url`; empty is the stand-in itself.
    pub(crate) server_url: String,
    /// Its `oidc:` block.
    pub(crate) oidc: Option<Oidc>,
    /// The first API key. It ends in 2099.
    pub(crate) api_key: String,
    /// Where the policy is kept.
    pub(crate) policy: PolicyMode,
    /// A policy that holds the first is refused with the second.
    pub(crate) policy_faults: Vec<(String, String)>,
    /// Sent back by tunnels after the client has finished sending.
    pub(crate) farewell: Vec<u8>,
    /// Whether tunnels send back what they get.
    pub(crate) echo: bool,
    /// Answers every upgrade with these bytes and closes, instead of a 101.
    pub(crate) upgrade_answer: Option<Vec<u8>>,
    /// Node keys that `POST /verify` allows.
    pub(crate) members: BTreeSet<String>,
}

/// Headscale's `policy.mode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PolicyMode {
    /// The default, with what the file holds.
    File(Option<String>),
    /// What [`HeadscaleStandin::set_policy`] or the API has put in.
    Database,
}

/// Headscale's `oidc:` block.
#[derive(Clone, Debug)]
pub(crate) struct Oidc {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) scope: Vec<String>,
    pub(crate) extra_params: BTreeMap<String, String>,
    pub(crate) pkce: bool,
    pub(crate) email_verified_required: bool,
    pub(crate) use_expiry_from_token: bool,
}

impl Oidc {
    /// The block with Headscale's defaults.
    pub(crate) fn trusting(issuer: &str, client_id: &str, client_secret: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            scope: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            extra_params: BTreeMap::new(),
            pkce: false,
            email_verified_required: true,
            use_expiry_from_token: false,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: "v0.29.2".to_owned(),
            server_url: String::new(),
            oidc: None,
            api_key: "hskey-api-standin".to_owned(),
            policy: PolicyMode::File(None),
            policy_faults: Vec::new(),
            farewell: Vec::new(),
            echo: true,
            upgrade_answer: None,
            members: BTreeSet::new(),
        }
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The head, byte for byte.
    pub(crate) head: Vec<u8>,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The path without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// A user row, as OpenID Connect made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    /// Issuer without trailing slash, `/`, subject.
    pub(crate) provider_identifier: String,
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) email: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) picture: Option<String>,
}

/// A sign-in that let a device in; the device itself is a [`Device`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) auth_id: String,
    pub(crate) provider_identifier: String,
    /// `exp` of the ID token, where the block says so.
    pub(crate) expiry: Option<i64>,
}

/// What a path does instead of its route.
pub(crate) enum Script {
    /// Waits for a message, or for the sender to go, then answers as always.
    Gate(Receiver<()>),
    /// Sends these bytes, whatever they are, and closes.
    Bytes(Vec<u8>),
    /// Sends a 200 with a chunked body at once, then each message as a chunk, as a long poll does;
    /// the last chunk when the sender goes.
    Stream(Receiver<Vec<u8>>),
    /// Closes without a word.
    Close,
}

#[derive(Default)]
struct State {
    options: Options,
    seen: Vec<Seen>,
    users: Vec<User>,
    nodes: Vec<Node>,
    devices: Vec<Device>,
    devices_made: u64,
    returning: BTreeMap<String, u64>,
    keys: Vec<KeyRow>,
    keys_made: u64,
    pre_auth_keys: Vec<serde_json::Value>,
    policy: Option<String>,
    approved_ssh: Vec<Node>,
    problems: Vec<String>,
    secrets: Vec<(&'static str, String)>,
    expired: BTreeSet<String>,
    ssh_owners: BTreeMap<String, String>,
    scripts: BTreeMap<String, Script>,
    tunnels: Vec<Arc<Tunnel>>,
    sockets: Vec<TcpStream>,
    sign_ins: relying_party::SignIns,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and wakes whoever waits for it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    fn wait<T>(&self, what: &str, mut ready: impl FnMut(&State) -> Option<T>) -> T {
        let state = self.state();
        let waiting = |state: &mut State| ready(state).is_none();
        let (state, timeout) = self
            .changed
            .wait_timeout_while(state, PATIENCE, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !timeout.timed_out(),
            "the Headscale stand-in waited in vain for {what}"
        );
        ready(&state).unwrap_or_else(|| panic!("{what} came and went"))
    }
}

/// A running stand-in; everything it holds open ends when this is dropped.
pub(crate) struct HeadscaleStandin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl HeadscaleStandin {
    /// Starts on a free loopback port.
    pub(crate) fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || server::accept(&listener, &serving));
        let standin = Self {
            address,
            shared,
            accepting: Some(accepting),
        };
        standin.configure(|now| *now = options);
        standin
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its own origin, without a trailing slash.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the configuration while it runs (an `oidc:` block is discovered anew).
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Options)) {
        let own = self.url();
        self.shared.change(|state| {
            change(&mut state.options);
            if state.options.server_url.is_empty() {
                state.options.server_url = own;
            }
            api::keys::configured(state);
        });
    }

    /// Makes a path (without query) behave otherwise, for one request.
    pub(crate) fn script(&self, path: &str, script: Script) {
        self.shared
            .change(|state| state.scripts.insert(path.to_owned(), script));
    }

    /// Makes a path wait, for one request, until the sender sends or goes.
    pub(crate) fn gate(&self, path: &str) -> Sender<()> {
        let (sender, receiver) = channel();
        self.script(path, Script::Gate(receiver));
        sender
    }

    /// Makes a path stream, for one request, what the sender sends.
    pub(crate) fn stream(&self, path: &str) -> Sender<Vec<u8>> {
        let (sender, receiver) = channel();
        self.script(path, Script::Stream(receiver));
        sender
    }

    /// Every request head so far, byte for byte, in the order of arrival.
    pub(crate) fn heads(&self) -> Vec<Vec<u8>> {
        self.shared
            .state()
            .seen
            .iter()
            .map(|seen| seen.head.clone())
            .collect()
    }

    /// Every request so far whose body has arrived too.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// The last request for a path; waits for the first.
    pub(crate) fn wait_for_request(&self, path: &str) -> Seen {
        let last = |state: &State| state.seen.iter().rfind(|seen| seen.path() == path).cloned();
        self.shared.wait(path, last)
    }

    pub(crate) fn users(&self) -> Vec<User> {
        self.shared.state().users.clone()
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.shared.state().nodes.clone()
    }

    /// SSH checks that were approved.
    pub(crate) fn approved_ssh(&self) -> Vec<Node> {
        self.shared.state().approved_ssh.clone()
    }

    /// Why it refused what it refused: what Headscale would have logged.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.shared.state().problems.clone()
    }

    /// What it made, sent or got of its sign-ins that nobody else may learn, by name.
    pub(crate) fn secrets(&self) -> Vec<(&'static str, String)> {
        self.shared.state().secrets.clone()
    }

    /// The id is no longer pending.
    pub(crate) fn expire(&self, auth_id: &str) {
        self.shared
            .change(|state| state.expired.insert(auth_id.to_owned()));
    }

    /// Only this user (by provider identifier) owns the source of this SSH check.
    pub(crate) fn set_ssh_owner(&self, auth_id: &str, provider_identifier: &str) {
        let (id, owner) = (auth_id.to_owned(), provider_identifier.to_owned());
        self.shared
            .change(|state| state.ssh_owners.insert(id, owner));
    }

    /// The tunnel number `index`, in the order of upgrades; waits for it.
    pub(crate) fn tunnel(&self, index: usize) -> Arc<Tunnel> {
        self.shared
            .wait("a tunnel", |state| state.tunnels.get(index).cloned())
    }

    /// How many upgrades there were.
    pub(crate) fn tunnels(&self) -> usize {
        self.shared.state().tunnels.len()
    }
}

impl Drop for HeadscaleStandin {
    fn drop(&mut self) {
        let sockets = self.shared.change(|state| {
            state.stopped = true;
            state.scripts.clear();
            std::mem::take(&mut state.sockets)
        });
        for socket in sockets {
            drop(socket.shutdown(std::net::Shutdown::Both));
        }
        // Wakes the accepting thread, which looks at `stopped` first.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}
