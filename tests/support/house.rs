//! Headwarden itself, as an operator runs it: the binary, a configuration file, and its log.

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest wait for the process to say something or to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at what the process did.
const LOOK: Duration = Duration::from_millis(5);

/// Free addresses for one house, and where its files are.
pub(crate) struct Plan {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) issuer: SocketAddr,
    pub(crate) files: PathBuf,
}

impl Plan {
    /// The public origin over plain http.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.public)
    }

    /// The issuer string.
    pub(crate) fn issuer_url(&self) -> String {
        format!("http://{}", self.issuer)
    }

    /// A configuration in `issuer` mode over plain http, with `more` added to each section.
    pub(crate) fn config(&self, headscale: &str, provider_issuer: &str, more: &More) -> String {
        let (files, public, admin) = (self.files.display(), self.public, self.admin);
        let mut text = format!(
            "server_url: {}\nlisten:\n  - address: \"{public}\"\n{}admin: {{ address: \"{admin}\" }}\n\
             keys_path: {files}/keys.json\nheadscale:\n  url: {headscale}\n",
            self.origin(),
            more.listen
        );
        match more.sign_in {
            "issuer" => {
                let _ = write!(
                    text,
                    "  sign_in: issuer\n  issuer:\n    url: {}\n    address: \"{}\"\n    \
                     client_secret: {HEADSCALE_SECRET}\n    key_path: {files}/issuer_key.json\n",
                    self.issuer_url(),
                    self.issuer
                );
                text.push_str(more.issuer);
            }
            other => {
                let _ = writeln!(text, "  sign_in: {other}");
            }
        }
        let _ = write!(
            text,
            "{}oidc:\n  only_start_if_oidc_is_available: {}\n  issuer: \"{provider_issuer}\"\n  \
             client_id: {CLIENT_ID}\n  client_secret: {CLIENT_SECRET}\n{}{}",
            more.headscale, more.waits_for_provider, more.oidc, more.top
        );
        if !more.oidc.contains("allowed_") && !more.oidc.contains("allow_everyone") {
            text = text.replace("oidc:\n", "oidc:\n  allowed_groups: [/headscale]\n");
        }
        if !more.top.contains("limits:") {
            text.push_str(ROOMY);
        }
        // Nobody asks for readiness before it stops, unless the test does.
        let shutdown = "shutdown: {";
        if !more.top.contains(shutdown) {
            text.push_str("shutdown: { lead: 0s }\n");
        } else if !more.top.contains("lead:") {
            text = text.replace(shutdown, "shutdown: { lead: 0s,");
        }
        text
    }
}

/// One address asks for every row of a table. `limits: {}` gets what an operator gets.
const ROOMY: &str = "limits: { sign_ins_per_minute: 1000000, callbacks_per_minute: 1000000, \
    registrations_per_minute: 1000000, api_requests_per_minute: 1000000 }\n";

/// Additions to [`Plan::config`]: YAML lines with their indentation.
#[derive(Clone, Copy)]
pub(crate) struct More {
    /// Under the public listener (four spaces).
    pub(crate) listen: &'static str,
    pub(crate) sign_in: &'static str,
    /// Under `headscale.issuer` (four spaces).
    pub(crate) issuer: &'static str,
    /// Under `headscale` (two spaces).
    pub(crate) headscale: &'static str,
    /// Under `oidc` (two spaces). Without an `allowed_*` line the group `headscale` is allowed.
    pub(crate) oidc: &'static str,
    /// At the top level.
    pub(crate) top: &'static str,
    pub(crate) waits_for_provider: bool,
}

impl Default for More {
    fn default() -> Self {
        Self {
            listen: "",
            sign_in: "issuer",
            issuer: "",
            headscale: "",
            oidc: "",
            top: "",
            waits_for_provider: true,
        }
    }
}

/// Our client at the provider.
pub(crate) const CLIENT_ID: &str = "headwarden";
/// Our secret at the provider (the fault-injecting provider's own).
pub(crate) const CLIENT_SECRET: &str = "the-client-secret-0123456789abcdef";
/// Headscale's client at our issuer.
pub(crate) const HEADSCALE_ID: &str = "headscale";
/// Headscale's secret at our issuer.
pub(crate) const HEADSCALE_SECRET: &str = "headscales-own-secret-0000";

/// A running Headwarden; killed when dropped.
pub(crate) struct House {
    pub(crate) plan: Plan,
    child: Child,
    /// A file, not a pipe: what was written before an answer is there when the answer is.
    log: PathBuf,
    starts: usize,
    _files: TempDir,
}

/// Addresses that are free now, all different. Below the ports that the kernel gives to connections:
/// one of the many that tests make must not take an address before its house has it.
pub(crate) fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    const PORTS: std::ops::Range<u16> = 12_000..32_000;
    // Other test processes begin elsewhere.
    let next = NEXT.get_or_init(|| {
        let chance = RandomState::new().build_hasher().finish() % 20_000;
        AtomicU16::new(u16::try_from(chance).unwrap_or_default())
    });
    let held = [(); N].map(|()| {
        (0..PORTS.len())
            .find_map(|_| {
                let port = PORTS.start + next.fetch_add(1, Ordering::Relaxed) % 20_000;
                TcpListener::bind(("127.0.0.1", port)).ok()
            })
            .expect("a free port")
    });
    held.each_ref()
        .map(|listener| listener.local_addr().expect("it is bound"))
}

impl House {
    /// Starts with the configuration that `config` writes, and waits until it serves.
    pub(crate) fn start(config: impl FnOnce(&Plan) -> String) -> Self {
        let mut house = Self::launch(config, &[]);
        house.wait_for_log("serving");
        house
    }

    /// Starts, without waiting for anything.
    pub(crate) fn launch(config: impl FnOnce(&Plan) -> String, arguments: &[&str]) -> Self {
        Self::launch_in(config, arguments, |_, _| ())
    }

    /// The same, with what `around` does to the command that runs it: a program that runs another one.
    pub(crate) fn launch_in(
        config: impl FnOnce(&Plan) -> String,
        arguments: &[&str],
        around: impl FnOnce(&Plan, &mut Command),
    ) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let [public, admin, issuer] = free_addresses();
        let plan = Plan {
            public,
            admin,
            issuer,
            files: files.path().to_owned(),
        };
        let path = files.path().join("config.yaml");
        std::fs::write(&path, config(&plan)).expect("the configuration is written");
        let log = files.path().join("0.log");
        let child = spawn(&path, arguments, &log, |command| around(&plan, command));
        Self {
            plan,
            child,
            log,
            starts: 1,
            _files: files,
        }
    }

    /// Starts the process anew, with the same files and addresses.
    pub(crate) fn restart(&mut self, arguments: &[&str]) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.log = self.plan.files.join(format!("{}.log", self.starts));
        self.starts += 1;
        let config = self.plan.files.join("config.yaml");
        self.child = spawn(&config, arguments, &self.log, |_| ());
    }

    /// Waits until a line of the log holds `text`, and returns the first that does.
    pub(crate) fn wait_for_log(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let over =
                Instant::now() > deadline || self.child.try_wait().is_ok_and(|end| end.is_some());
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(!over, "the log never said {text:?}:\n{}", self.log());
            std::thread::park_timeout(LOOK);
        }
    }

    /// Waits until something is so: what an answer does not wait for, as a count or a line of the log
    /// that is written once the answer is out.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            let over = Instant::now() > deadline;
            assert!(!over, "waited in vain for {what}:\n{}", self.log());
            std::thread::park_timeout(LOOK);
        }
    }

    /// Everything the process wrote to its log until now.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log in UTF-8")
    }

    /// Sends a signal by name, e.g. `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// What `act` does at a house that stands still: all that it sends is there when the house looks
    /// again, however long that took. A limit of a second begins only then.
    pub(crate) fn while_it_stands_still<T>(&self, act: impl FnOnce() -> T) -> T {
        self.signal("STOP");
        let deadline = Instant::now() + PATIENCE;
        while !self.stands_still() {
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::park_timeout(LOOK);
        }
        let done = act();
        self.signal("CONT");
        done
    }

    /// Whether each of its threads is stopped (proc(5), `State`).
    fn stands_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        tasks.expect("it runs").flatten().all(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            status.is_empty() || status.contains("\nState:\tT")
        })
    }

    /// Waits for the process to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            std::thread::park_timeout(LOOK);
        }
        panic!("it does not end:\n{}", self.log());
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `path` at the public origin.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.plan.origin())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- headwarden's log ---\n{}", self.log());
        }
    }
}

/// Runs a subcommand to its end, with the configuration of a house.
pub(crate) fn headwarden(plan: &Plan, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headwarden"))
        .args(arguments)
        .arg("--config")
        .arg(plan.files.join("config.yaml"))
        .stdin(Stdio::null())
        .output()
        .expect("headwarden runs")
}

fn spawn(
    config: &Path,
    arguments: &[&str],
    log: &Path,
    around: impl FnOnce(&mut Command),
) -> Child {
    // The kernel ends it when the thread that started it ends, whatever way: start it on the test's.
    let mut command = Command::new("setpriv");
    // What is set for the tests is not set for Headwarden, which would refuse a name it does not know.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HEADWARDEN_") {
            command.env_remove(name);
        }
    }
    // A configuration that says how much it wants to be logged is left alone.
    let text = std::fs::read_to_string(config).expect("the configuration is there");
    if !text.contains("\nlog:") {
        command.env("HEADWARDEN_LOG_LEVEL", "info,headwarden=debug");
    }
    command.args(["--pdeathsig", "KILL"]);
    around(&mut command);
    command
        .arg(env!("CARGO_BIN_EXE_headwarden"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log).expect("a log"))
        .spawn()
        .expect("headwarden starts")
}
