//! A redis-server of the test's own: on a free port, in a directory of its own, gone with the test.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::house::free_addresses;
use crate::support::tls::Authority;

const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. It keeps everything it was told in a file, and reads it when it starts again.
pub(crate) struct Redis {
    pub(crate) address: SocketAddr,
    /// Whom clients have to trust, where it speaks TLS.
    pub(crate) ca_path: Option<PathBuf>,
    password: Option<&'static str>,
    /// The port that nodes of a cluster talk to each other on, and after how many milliseconds without an
    /// answer one of them counts as gone.
    cluster: Option<(u16, &'static str)>,
    more: Vec<String>,
    child: Option<Child>,
    directory: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with(None, false)
    }

    pub(crate) fn start_with(password: Option<&'static str>, tls: bool) -> Self {
        let [address] = free_addresses();
        let directory = tempfile::tempdir().expect("a directory");
        let ca_path = tls.then(|| {
            let authority = Authority::new();
            authority
                .certificate(&["localhost"])
                .write(directory.path());
            let path = directory.path().join("ca.crt");
            std::fs::write(&path, authority.pem()).expect("a directory to write to");
            path
        });
        let mut redis = Self {
            address,
            ca_path,
            password,
            cluster: None,
            more: Vec::new(),
            child: None,
            directory,
        };
        redis.start_again();
        redis
    }

    /// One with these arguments besides.
    pub(crate) fn start_as(arguments: &[&str]) -> Self {
        let mut redis = Self::start();
        redis.stop();
        redis.more = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        redis.start_again();
        redis
    }

    /// A node for a cluster, without slots.
    pub(crate) fn start_node(gone: &'static str) -> Self {
        let mut redis = Self::start();
        redis.stop();
        // Not the usual ten thousand above the other one, which may be anybody's.
        let [bus] = free_addresses();
        redis.cluster = Some((bus.port(), gone));
        redis.start_again();
        redis
    }

    /// Where other nodes of its cluster talk to it.
    pub(crate) fn bus_port(&self) -> u16 {
        let (port, _) = self.cluster.expect("it is a node of a cluster");
        port
    }

    /// A cluster of one node, which refuses what a larger one could not do.
    pub(crate) fn start_cluster() -> Self {
        let redis = Self::start_node("15000");
        redis.ask("CLUSTER ADDSLOTSRANGE 0 16383");
        let deadline = Instant::now() + PATIENCE;
        while !redis.ask("CLUSTER INFO").contains("cluster_state:ok") {
            assert!(Instant::now() < deadline, "{}", redis.log());
            std::thread::yield_now();
        }
        redis
    }

    /// Starts it anew, with what it knew.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let port = self.address.port().to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "redis-server", "--bind", "127.0.0.1"])
            .args(["--dir".as_ref(), self.directory.path().as_os_str()])
            .args([
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ])
            .args(["--loglevel", "warning"]);
        match &self.ca_path {
            None => command.args(["--port", &port]),
            Some(ca) => command
                .args([
                    "--port",
                    "0",
                    "--tls-port",
                    &port,
                    "--tls-auth-clients",
                    "no",
                ])
                .args(["--tls-ca-cert-file".as_ref(), ca.as_os_str()])
                .args(["--tls-cert-file".as_ref(), self.file("tls.crt").as_os_str()])
                .args(["--tls-key-file".as_ref(), self.file("tls.key").as_os_str()]),
        };
        if let Some((bus, gone)) = self.cluster {
            command
                .args(["--cluster-enabled", "yes"])
                .args(["--cluster-announce-ip", "127.0.0.1"])
                .args(["--cluster-node-timeout", gone])
                .args(["--cluster-port", &bus.to_string()]);
        }
        // A replica is not kept waiting for others that might come.
        command
            .args(["--repl-diskless-sync-delay", "0"])
            .args(&self.more);
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        let log = File::create(self.file("log")).expect("a log");
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts: run tests/setup.sh first");
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::yield_now();
        }
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// Whether it serves: behind TLS, whether it takes connections.
    fn answers(&self) -> bool {
        let Ok(mut socket) = TcpStream::connect(self.address) else {
            return false;
        };
        if self.ca_path.is_some() {
            return true;
        }
        let mut answer = [0; 32];
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let sent = socket.write_all(b"PING\r\n");
        let read = sent.and_then(|()| socket.read(&mut answer)).unwrap_or(0);
        // Loading is no answer; asking for a password is one.
        answer[..read].starts_with(b"+PONG") || answer[..read].starts_with(b"-NOAUTH")
    }

    /// The answer to a command without arguments that hold blanks, as it came.
    pub(crate) fn ask(&self, command: &str) -> String {
        let mut socket = TcpStream::connect(self.address).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let both = format!("{command}\r\nQUIT\r\n");
        socket.write_all(both.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Every byte that was ever written into it.
    pub(crate) fn everything_written(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let files = std::fs::read_dir(self.file("appendonlydir")).expect("it keeps a file");
        for file in files {
            all.extend(std::fs::read(file.expect("a file").path()).expect("a file"));
        }
        all
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::join(self.directory.path(), name)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
