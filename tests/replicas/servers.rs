//! Several redis-servers that stand in for each other: a primary with a replica that Sentinels watch, and
//! a cluster.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::redis::Redis;
use crate::stage::eventually;
use crate::support::house::free_addresses;

const PATIENCE: Duration = Duration::from_mins(1);
/// After how long without an answer a server counts as gone, in milliseconds. Longer than a busy machine
/// keeps a server waiting; if not, the others change roles once more.
const GONE: &str = "2000";

/// A Sentinel that watches a server, which it calls `primary`.
pub(crate) struct Sentinel {
    pub(crate) address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Sentinel {
    /// One that acts when `quorum` of them say that the server is gone.
    pub(crate) fn start(redis: &Redis, quorum: usize) -> Self {
        let [address] = free_addresses();
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {}\ndir {}\n\
             sentinel monitor primary 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds primary {GONE}\n\
             sentinel failover-timeout primary 10000\n",
            address.port(),
            directory.path().display(),
            redis.address.port()
        );
        std::fs::write(&config, text).expect("a directory to write to");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server"])
            .arg(&config)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the Sentinel does not start");
            std::thread::yield_now();
        }
        Self {
            address,
            child,
            _directory: directory,
        }
    }

    /// What it knows about the server and who else watches it. Unlike a server, it takes no `QUIT`.
    fn knows(&self) -> String {
        let socket = TcpStream::connect(self.address).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        (&socket).write_all(b"INFO sentinel\r\n").expect("it reads");
        let mut answer = BufReader::new(socket);
        let mut length = String::new();
        answer.read_line(&mut length).expect("it answers");
        let length = length.trim().strip_prefix('$').expect("a text");
        let mut text = vec![0; length.parse().expect("its length")];
        answer.read_exact(&mut text).expect("it answers");
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A primary and its replica, and three Sentinels that know each other and both of them.
pub(crate) struct Watched {
    pub(crate) replica: Redis,
    pub(crate) sentinels: [Sentinel; 3],
}

impl Watched {
    pub(crate) fn start(primary: &Redis) -> Self {
        let port = primary.address.port().to_string();
        let arguments = ["--replicaof", "127.0.0.1", &port];
        let replica = Redis::start_as(&arguments);
        follows(&replica);
        let sentinels = [(); 3].map(|()| Sentinel::start(primary, 2));
        for sentinel in &sentinels {
            eventually(
                "the Sentinels know each other and the replica",
                || sentinel.knows(),
                |said| said.contains("slaves=1,sentinels=3"),
            );
        }
        Self { replica, sentinels }
    }
}

fn follows(replica: &Redis) {
    eventually(
        "it follows its primary",
        || replica.ask("INFO replication"),
        |said| said.contains("master_link_status:up"),
    );
}

/// Whatever was written into `primary` by now is in `replica`.
pub(crate) fn caught_up(primary: &Redis, replica: &Redis) {
    let written = offset(primary, "master_repl_offset:");
    eventually(
        "the replica has what was written",
        || offset(replica, "slave_repl_offset:"),
        |read| *read >= written,
    );
}

fn offset(redis: &Redis, field: &str) -> u64 {
    let said = redis.ask("INFO replication");
    let line = said.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.trim().parse().ok());
    number.unwrap_or_else(|| panic!("{field} {said}"))
}

/// A cluster of three primaries, of which the first has a replica: the last one here.
pub(crate) fn cluster() -> [Redis; 4] {
    let nodes = [(); 4].map(|()| Redis::start_node(GONE));
    let slots = ["0 5460", "5461 10922", "10923 16383"];
    for (node, slots) in nodes.iter().zip(slots) {
        node.ask(&format!("CLUSTER ADDSLOTSRANGE {slots}"));
    }
    let [first, others @ ..] = &nodes;
    for other in others {
        let (port, bus) = (other.address.port(), other.bus_port());
        first.ask(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"));
    }
    for node in &nodes {
        eventually(
            "they know each other",
            || node.ask("CLUSTER INFO"),
            |said| said.contains("cluster_known_nodes:4") && said.contains("cluster_state:ok"),
        );
    }
    let [first, _, _, replica] = &nodes;
    let id = first.ask("CLUSTER MYID");
    let id = id.lines().nth(1).expect("an id");
    eventually(
        "it takes the role",
        || replica.ask(&format!("CLUSTER REPLICATE {id}")),
        |said| said.starts_with("+OK"),
    );
    follows(replica);
    nodes
}
