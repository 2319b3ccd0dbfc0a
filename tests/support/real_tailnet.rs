//! A real Headscale and real Tailscale clients, where their binaries are named, around a Headwarden
//! with TLS and a certified provider. Everything is on loopback, in one directory, and ends with it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::certified_provider::CertifiedProvider;
use super::house::{
    CLIENT_ID, CLIENT_SECRET, HEADSCALE_SECRET, House, Plan, free_addresses, headwarden,
};
use super::person::{Page, Person};
use super::tls::Authority;

/// Longest wait for a program to say something, to end, or to reach a state.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at a program that cannot tell when something changes.
const PAUSE: Duration = Duration::from_millis(250);

/// The three programs.
#[derive(Clone)]
pub(crate) struct Binaries {
    headscale: PathBuf,
    tailscale: PathBuf,
    tailscaled: PathBuf,
}

impl Binaries {
    /// From the environment: all of them, or none.
    pub(crate) fn named() -> Option<Self> {
        let [headscale, tailscale, tailscaled] =
            ["HEADSCALE_BIN", "TAILSCALE_BIN", "TAILSCALED_BIN"].map(|name| {
                let path = PathBuf::from(std::env::var_os(name)?);
                assert!(path.is_file(), "{name} names no file: {}", path.display());
                Some(path)
            });
        if headscale.is_none() && tailscale.is_none() && tailscaled.is_none() {
            // Not by `eprintln!`, which the harness hides for a test that passes.
            let _ = std::io::stderr().write_all(
                b"SKIPPED, NOTHING WAS TESTED: set HEADSCALE_BIN, TAILSCALE_BIN, TAILSCALED_BIN\n",
            );
            return None;
        }
        let missing = "HEADSCALE_BIN, TAILSCALE_BIN and TAILSCALED_BIN go together";
        Some(Self {
            headscale: headscale.expect(missing),
            tailscale: tailscale.expect(missing),
            tailscaled: tailscaled.expect(missing),
        })
    }
}

/// A program that runs beside the test, with everything it wrote; killed when dropped.
struct Program {
    name: String,
    child: Child,
    lines: Receiver<()>,
    log: Arc<Mutex<String>>,
}

impl Program {
    fn start(name: &str, command: &Command) -> Self {
        // The kernel ends it when the test that started it ends, whatever way.
        let mut child = Command::new("setpriv");
        child
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (key, value) in command.get_envs() {
            child.env(key, value.unwrap_or_default());
        }
        let mut child = child
            .spawn()
            .unwrap_or_else(|why| panic!("{name} does not start: {why}"));
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        keep(
            child.stdout.take().expect("it is piped"),
            &log,
            sender.clone(),
        );
        keep(child.stderr.take().expect("it is piped"), &log, sender);
        Self {
            name: name.to_owned(),
            child,
            lines,
            log,
        }
    }

    fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    /// Waits until what it wrote makes `found` find something.
    fn wait_for<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(&self.log()) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(()) => {}
                // What came in between was not looked at yet.
                Err(why) => match found(&self.log()) {
                    Some(found) => return found,
                    None => panic!("{}: no {what} ({why})\n{}", self.name, self.log()),
                },
            }
        }
    }

    /// Waits for its end.
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return self.child.wait().expect("it is our child");
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} does not end:\n{}", self.name, self.log())
                }
            }
        }
    }

    /// Asks it to end, and waits for that.
    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        self.wait();
    }
}

fn keep(from: impl Read + Send + 'static, log: &Arc<Mutex<String>>, said: Sender<()>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(log, "{line}");
            drop(log);
            let _ = said.send(());
        }
    });
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(12_000);
            let from = (from..=log.len()).find(|at| log.is_char_boundary(*at));
            eprintln!(
                "--- {} ---\n{}",
                self.name,
                &log[from.unwrap_or_default()..]
            );
        }
    }
}

/// The whole of it. Fields are dropped in this order.
pub(crate) struct RealTailnet {
    binaries: Binaries,
    headscale: Option<Program>,
    headscale_address: SocketAddr,
    stun: SocketAddr,
    pub(crate) house: House,
    pub(crate) provider: CertifiedProvider,
    authority: Authority,
    files: TempDir,
}

impl RealTailnet {
    /// Starts the provider, Headwarden, and a Headscale with the block that Headwarden prints.
    pub(crate) fn start(binaries: &Binaries) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        write(files.path(), "ca.pem", &authority.pem());
        write(files.path(), "client_secret", HEADSCALE_SECRET);
        let mut provider = CertifiedProvider::start();
        let [headscale_address] = free_addresses();
        let issuer = provider.issuer().to_owned();
        let house = House::start(|plan| {
            let certificate = authority.certificate(&["127.0.0.1"]);
            certificate.write(&plan.files);
            configuration(plan, headscale_address, &issuer, &plan.issuer_url())
        });
        let origin = format!("https://{}", house.plan.public);
        provider.register_client(&json!({
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": [format!("{origin}/oidc/callback")],
            "id_token_signed_response_alg": "RS256",
        }));
        let stun = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let mut tailnet = Self {
            binaries: binaries.clone(),
            headscale: None,
            headscale_address,
            stun: stun.expect("a free port"),
            house,
            provider,
            authority,
            files,
        };
        tailnet.start_headscale();
        tailnet
    }

    /// The public origin.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}", self.house.plan.public)
    }

    /// Runs a subcommand of Headwarden with the configuration of the house; what it printed.
    pub(crate) fn headwarden(&self, arguments: &[&str]) -> String {
        let output = headwarden(&self.house.plan, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Writes Headscale's configuration anew, with the block that Headwarden prints now, and starts
    /// it.
    pub(crate) fn start_headscale(&mut self) {
        let block = self.headwarden(&["headscale-config"]);
        let place = self.files.path().display();
        let (origin, listen, stun) = (self.origin(), self.headscale_address, self.stun);
        let config = format!(
            "server_url: {origin}\nlisten_addr: {listen}\nmetrics_listen_addr: \"\"\n\
             trusted_proxies: [\"127.0.0.1/32\"]\n\
             noise: {{ private_key_path: {place}/noise.key }}\n\
             prefixes: {{ v4: 100.64.0.0/10, v6: \"fd7a:115c:a1e0::/48\", allocation: sequential }}\n\
             database: {{ type: sqlite, sqlite: {{ path: {place}/db.sqlite }} }}\n\
             derp:\n  server:\n    enabled: true\n    region_id: 999\n    region_code: embedded\n    \
             region_name: embedded\n    verify_clients: true\n    stun_listen_addr: \"{stun}\"\n    \
             private_key_path: {place}/derp.key\n    ipv4: 127.0.0.1\n  urls: []\n  paths: []\n  \
             auto_update_enabled: false\n\
             dns: {{ magic_dns: true, base_domain: tail.test, override_local_dns: false }}\n\
             policy: {{ mode: database }}\nlog: {{ level: debug }}\n\
             unix_socket: {place}/hs.sock\nunix_socket_permission: \"0700\"\n\
             disable_check_updates: true\n{block}\n"
        );
        write(self.files.path(), "headscale.yaml", &config);
        let mut command = self.headscale_command();
        command.arg("serve");
        let program = Program::start("headscale", &command);
        program.wait_for("listener", |log| log.contains("serving HTTP").then_some(()));
        self.headscale = Some(program);
        self.house.wait_for_log("headscale's version version=0.29");
    }

    fn headscale_command(&self) -> Command {
        let mut command = Command::new(&self.binaries.headscale);
        command
            .arg("-c")
            .arg(self.files.path().join("headscale.yaml"))
            // The one thing in the block that a test cannot have where it says.
            .env(
                "HEADSCALE_OIDC_CLIENT_SECRET_PATH",
                self.files.path().join("client_secret"),
            );
        command
    }

    pub(crate) fn stop_headscale(&mut self) {
        self.headscale.take().expect("it runs").stop();
    }

    /// What `headscale … -o json` prints.
    pub(crate) fn headscale(&self, arguments: &[&str]) -> Value {
        let mut command = self.headscale_command();
        let output = command.args(arguments).args(["-o", "json"]).output();
        let output = output.expect("headscale runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|why| panic!("{arguments:?}: {why} in {output:?}"))
    }

    /// What `headscale …` prints for people.
    pub(crate) fn headscale_says(&self, arguments: &[&str]) -> String {
        let output = self.headscale_command().args(arguments).output();
        let output = output.expect("headscale runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Headscale's database, only while it is stopped.
    pub(crate) fn database(&self) -> PathBuf {
        assert!(self.headscale.is_none(), "it may not run");
        self.files.path().join("db.sqlite")
    }

    /// Stops Headwarden, gives it another issuer string (the address stays), and starts it again.
    pub(crate) fn rename_issuer(&mut self, url: &str, arguments: &[&str]) {
        let plan = &self.house.plan;
        let text = configuration(plan, self.headscale_address, self.provider.issuer(), url);
        write(&plan.files, "config.yaml", &text);
        self.house.restart(arguments);
    }

    /// Starts Headwarden anew with what `edit` makes of its configuration.
    pub(crate) fn reconfigure(&mut self, edit: impl FnOnce(&Plan, String) -> String) {
        let path = self.house.plan.files.join("config.yaml");
        let text = std::fs::read_to_string(&path).expect("it was written");
        let edited = edit(&self.house.plan, text);
        std::fs::write(&path, edited).expect("a file of ours");
        self.house.restart(&[]);
        self.house.wait_for_log("serving");
    }

    /// Where Headscale listens.
    pub(crate) fn headscale_url(&self) -> String {
        format!("http://{}", self.headscale_address)
    }

    /// A new key of Headscale's API, good for so long.
    pub(crate) fn api_key(&self, life: &str) -> String {
        let key = self.headscale(&["apikeys", "create", "--expiration", life]);
        key.as_str().expect("a key").to_owned()
    }

    /// Somebody with a browser of their own.
    pub(crate) fn person(&self) -> Person {
        Person::new().trusting(self.authority.client(&["http/1.1"]))
    }

    /// Opens a device's link in a fresh browser and signs in; where that ends.
    pub(crate) fn sign_in(&self, person: &mut Person, url: &str, who: &str) -> Page {
        let page = person.open(url);
        let at_provider = page.url.as_str().starts_with(self.provider.origin());
        assert!(at_provider, "{} {}", page.url, page.text());
        person.fill_in(&page, "login", &[("username", who)])
    }

    /// The whole sign-in of a device, Headscale's own question included.
    pub(crate) fn register(&self, node: &Node, up: Up, who: &str) {
        let mut person = self.person();
        let asked = self.sign_in(&mut person, &up.url, who);
        let text = asked.text();
        assert_eq!(asked.status(), 200, "{text}");
        assert!(text.contains("Confirm"), "{text}");
        assert!(text.contains(&node.name), "it names the device: {text}");
        assert!(asked.header("server").is_none() && asked.url.path() == "/oidc/callback");
        let done = person.fill_in(&asked, "", &[]);
        assert_eq!(done.status(), 200, "{}", done.text());
        up.succeeds();
    }

    /// A Tailscale client of this name, not yet signed in.
    pub(crate) fn node(&self, name: &str) -> Node {
        let place = self.files.path().join(name);
        std::fs::create_dir(&place).expect("a directory");
        let mut command = Command::new(&self.binaries.tailscaled);
        command
            .args(["--tun=userspace-networking", "--port=0"])
            .arg("--no-logs-no-support")
            .arg(format!("--statedir={}", place.display()))
            .arg(format!("--state={}", place.join("state").display()))
            .arg(format!("--socket={}", place.join("sock").display()))
            .env("SSL_CERT_FILE", self.files.path().join("ca.pem"))
            .env("TS_NO_LOGS_NO_SUPPORT", "true")
            .env("TS_LOGS_DIR", &place)
            .env("TS_DISABLE_PORTMAPPER", "true")
            .env("TS_DEBUG_ALWAYS_USE_DERP", "true")
            .env("HOME", &place);
        let daemon = Program::start(name, &command);
        let socket = place.join("sock");
        poll("the daemon's socket", || socket.exists().then_some(()));
        Node {
            name: name.to_owned(),
            tailscale: self.binaries.tailscale.clone(),
            origin: self.origin(),
            socket,
            _daemon: daemon,
        }
    }
}

fn configuration(plan: &Plan, headscale: SocketAddr, provider: &str, issuer: &str) -> String {
    let Plan {
        public,
        admin,
        issuer: issuer_address,
        files,
    } = plan;
    let files = files.display();
    format!(
        "server_url: https://{public}\n\
         listen:\n  - address: \"{public}\"\n    \
         tls: {{ cert_path: {files}/tls.crt, key_path: {files}/tls.key }}\n\
         admin: {{ address: \"{admin}\" }}\nkeys_path: {files}/keys.json\n\
         headscale:\n  url: http://{headscale}\n  sign_in: issuer\n  issuer:\n    url: {issuer}\n    \
         address: \"{issuer_address}\"\n    client_secret: {HEADSCALE_SECRET}\n    \
         key_path: {files}/issuer_key.json\n\
         oidc:\n  issuer: \"{provider}\"\n  client_id: {CLIENT_ID}\n  \
         client_secret: {CLIENT_SECRET}\n  allowed_groups: [/headscale]\n"
    )
}

/// A Tailscale client.
pub(crate) struct Node {
    pub(crate) name: String,
    tailscale: PathBuf,
    origin: String,
    socket: PathBuf,
    _daemon: Program,
}

/// `tailscale up` on its way, waiting for somebody to sign in.
pub(crate) struct Up {
    program: Program,
    /// Where.
    pub(crate) url: String,
}

impl Up {
    /// Waits until the device is in.
    pub(crate) fn succeeds(mut self) {
        let status = self.program.wait();
        assert!(status.success(), "{}", self.program.log());
    }
}

impl Node {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tailscale);
        command
            .arg(format!("--socket={}", self.socket.display()))
            .args(arguments);
        command
    }

    /// What a command of the client prints.
    pub(crate) fn tailscale(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("tailscale runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}{said}");
        text
    }

    /// Begins to sign in; `more` are further flags.
    pub(crate) fn up(&self, more: &[&str]) -> Up {
        let server = format!("--login-server={}", self.origin);
        let name = format!("--hostname={}", self.name);
        let mut command = self.command(&["up", &server, &name, "--accept-dns=false"]);
        command.args(more);
        let program = Program::start(&format!("{} up", self.name), &command);
        let prefix = format!("{}/register/", self.origin);
        let url = program.wait_for("link to sign in with", |log| {
            let mut words = log.split_whitespace();
            words
                .find(|word| word.starts_with(&prefix))
                .map(str::to_owned)
        });
        Up { program, url }
    }

    /// `tailscale status`.
    pub(crate) fn status(&self) -> Value {
        let text = self.tailscale(&["status", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"))
    }

    /// Waits until it runs and sees so many others online at their relay.
    pub(crate) fn wait_for_peers(&self, count: usize) -> Vec<Value> {
        poll(&format!("{} to see {count} others", self.name), || {
            let status = self.status();
            let peers: Vec<Value> = status["Peer"]
                .as_object()
                .map(|peers| peers.values().cloned().collect())
                .unwrap_or_default();
            // Whose relay is not known yet cannot be reached through it.
            let reachable = |peer: &&Value| peer["Online"] == true && peer["Relay"] == "embedded";
            let online = peers.iter().filter(reachable).count();
            (status["BackendState"] == "Running" && online == count).then_some(peers)
        })
    }
}

/// Looks again and again; for programs that can only be asked.
#[expect(
    clippy::disallowed_methods,
    reason = "these programs tell nobody when something changes"
)]
pub(crate) fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("a directory to write to");
}
