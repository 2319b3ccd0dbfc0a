//! What a tunnel costs in the house's own process: resident memory while it idles, after bytes went through
//! it, and after it has closed; and the CPU time of opening one and of carrying bytes.
//!
//! `cargo bench --bench tunnel_memory` opens 4,000 for each pairing of listener and upstream; a number after
//! `--` is another count. Each takes two descriptors here and two in the house. Where nginx is installed, it
//! carries the same tunnels over plain TCP, with one worker.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a benchmark that cannot be set up has to stop, and the table is what it is run for"
)]

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[path = "../tests/tunnels/rig.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod rig;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/tunnels/upstream.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod upstream;
#[path = "../tests/tunnels/wire.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod wire;

use rig::{DERP, Extra, Front, PAIRINGS, Rig};
use wire::Wire;

/// Without a number of its own.
const TUNNELS: u64 = 4_000;
/// Opened before anything is counted: what a process grows by once.
const WARM: u64 = 200;
/// Opening at the same time.
const AT_ONCE: usize = 64;
/// Goes through each tunnel and back, in pieces.
const CARRIED: usize = 256 * 1024;
const PIECE: usize = 32 * 1024;
/// Longest wait for memory to be given back: jemalloc's thread works over ten seconds.
const GIVEN_BACK: Duration = Duration::from_secs(40);

const ONE_WORKER: &str = "workers: 1\n\
    limits: { connections_per_address: 1000000, tunnels_per_minute: 1000000 }\n";

/// Who carries, and how to reach it.
struct Carrier<'a> {
    name: String,
    pids: Vec<u32>,
    connect: Connect<'a>,
}

/// How a client comes in.
#[derive(Clone, Copy)]
enum Connect<'a> {
    Rig(&'a Rig, Front),
    Plain(SocketAddr),
}

impl Connect<'_> {
    async fn open(self) -> Wire {
        let mut client = match self {
            Self::Rig(rig, front) => rig.connect(front).await,
            Self::Plain(address) => Wire::connect(address).await,
        };
        client.send(DERP).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }
}

fn main() {
    let count = std::env::args().find_map(|word| word.parse().ok());
    let count = count.unwrap_or(TUNNELS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    println!(
        "| who | idle, bytes | after 256 KiB each way | kept after closing | CPU to open | CPU per MiB |"
    );
    println!("|---|---|---|---|---|---|");
    runtime.block_on(async {
        for (front, behind) in PAIRINGS {
            let extra = Extra {
                top: ONE_WORKER,
                ..Extra::default()
            };
            let rig = Rig::echoing(behind, extra);
            let carrier = Carrier {
                name: format!("{front:?} to {behind:?}"),
                pids: vec![rig.house.pid()],
                connect: Connect::Rig(&rig, front),
            };
            measure(&carrier, count).await;
        }
        if let Some((nginx, rig)) = Nginx::start() {
            let carrier = Carrier {
                name: "nginx, plain to plain".to_owned(),
                pids: nginx.workers(),
                connect: Connect::Plain(nginx.address),
            };
            measure(&carrier, count).await;
            drop(rig);
        }
    });
}

/// One row of the table.
async fn measure(carrier: &Carrier<'_>, count: u64) {
    let warm = open(carrier.connect, WARM).await;
    let first = resident(&carrier.pids);
    let half = open(carrier.connect, count / 2).await;
    let middle = resident(&carrier.pids);
    let cpu = cpu_micros(&carrier.pids);
    let other_half = open(carrier.connect, count / 2).await;
    let opening = cpu_micros(&carrier.pids) - cpu;
    let idle = resident(&carrier.pids);
    let cpu = cpu_micros(&carrier.pids);
    let half = push(half).await;
    let other_half = push(other_half).await;
    let carrying = cpu_micros(&carrier.pids) - cpu;
    let used = resident(&carrier.pids);
    drop((warm, half, other_half));
    let kept = given_back(&carrier.pids, first).await;
    let mib = count * u64::try_from(2 * CARRIED).unwrap_or_default() / (1024 * 1024);
    println!(
        "| {} | {} and {} | {} | {} KiB | {} µs | {} µs |",
        carrier.name,
        middle.saturating_sub(first) / (count / 2),
        idle.saturating_sub(middle) / (count / 2),
        used.saturating_sub(first) / count,
        kept / 1024,
        opening / (count / 2),
        carrying / mib.max(1),
    );
}

async fn open(connect: Connect<'_>, count: u64) -> Vec<Wire> {
    let mut tunnels = Vec::new();
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    while left > 0 {
        let now = left.min(AT_ONCE);
        let opening = (0..now).map(|_| connect.open());
        tunnels.extend(together(opening).await);
        left -= now;
    }
    tunnels
}

/// All of them at once, on this task: they borrow the rig.
async fn together<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, done) in &mut futures {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, done)| done).collect()
}

/// [`CARRIED`] through each, and back.
async fn push(tunnels: Vec<Wire>) -> Vec<Wire> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut pushing = JoinSet::new();
    for mut client in tunnels {
        let places = Arc::clone(&places);
        pushing.spawn(async move {
            let place = places.acquire_owned().await;
            for _ in 0..CARRIED / PIECE {
                client.send(vec![b'x'; PIECE]).await;
                client.exact(PIECE).await;
            }
            drop(place);
            client
        });
    }
    pushing.join_all().await
}

/// What is still there beyond `first` when nothing more is given back.
async fn given_back(pids: &[u32], first: u64) -> u64 {
    let deadline = tokio::time::Instant::now() + GIVEN_BACK;
    let mut poll = tokio::time::interval(Duration::from_millis(500));
    while tokio::time::Instant::now() < deadline && resident(pids) > first {
        poll.tick().await;
    }
    resident(pids).saturating_sub(first)
}

/// Memory in RAM, in bytes, of all of them.
fn resident(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line?.split_whitespace().next()?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum::<u64>() * 1024
}

/// CPU time, in the kernel and out of it, of all of them. The kernel counts in hundredths of a second.
fn cpu_micros(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_whitespace().skip(11);
        let (user, system) = (times.next()?, times.next()?);
        Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
    };
    pids.iter().filter_map(of).sum::<u64>() * 10_000
}

/// nginx with one worker, before an upstream of the rig.
struct Nginx {
    master: Child,
    address: SocketAddr,
    _files: tempfile::TempDir,
}

impl Nginx {
    /// None where it is not installed, or does not start.
    fn start() -> Option<(Self, upstream::Upstream)> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"];
        let program = program.into_iter().find(|path| Path::new(path).exists())?;
        let upstream = upstream::Upstream::echo(None);
        let [address] = support::house::free_addresses();
        let files = tempfile::tempdir().ok()?;
        let conf = files.path().join("nginx.conf");
        fs::write(
            &conf,
            configuration(files.path(), address, upstream.address),
        )
        .ok()?;
        let master = Command::new(program)
            .args(["-e", "stderr", "-c"])
            .arg(&conf)
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let nginx = Self {
            master,
            address,
            _files: files,
        };
        while std::net::TcpStream::connect(address).is_err() {
            std::thread::yield_now();
        }
        Some((nginx, upstream))
    }

    fn workers(&self) -> Vec<u32> {
        let master = self.master.id();
        let children = format!("/proc/{master}/task/{master}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace();
        children.filter_map(|pid| pid.parse().ok()).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let master = i32::try_from(self.master.id()).ok();
        if let Some(master) = master.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(master, rustix::process::Signal::TERM);
        }
        let _ = self.master.wait();
    }
}

fn configuration(files: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let mut text = String::from("daemon off;\nworker_processes 1;\nworker_rlimit_nofile 20000;\n");
    let files = files.display();
    let _ = write!(
        text,
        "pid {files}/pid;\nevents {{ worker_connections 19000; }}\n\
         http {{\n  access_log off;\n  error_log stderr crit;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "  {kind}_temp_path {files}/{kind};");
    }
    let _ = write!(
        text,
        "  server {{\n    listen {address} backlog=4096;\n    location / {{\n      \
         proxy_pass http://{upstream};\n      proxy_http_version 1.1;\n      \
         proxy_set_header Upgrade $http_upgrade;\n      proxy_set_header Connection upgrade;\n      \
         proxy_read_timeout 1h;\n    }}\n  }}\n}}\n"
    );
    text
}
