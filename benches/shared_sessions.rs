//! Sessions in a real redis-server: what one takes there, and how long it is until one that was ended is
//! refused, by the same replica and by another one.
//!
//! `cargo bench --bench shared_sessions -- 1000000` fills it with so many; 10,000 without a number.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwarden::config::{RedisSettings, RedisTopology};
use headwarden::domain::session::Limits;
use headwarden::ops::clock::SystemClock;
use headwarden::ops::entropy::SystemRandom;
use headwarden::ops::metrics::Metrics;
use headwarden::session::redis::Redis;
use headwarden::session::shared::{SharedSessions, SharedSettings};
use headwarden::session::{KeyRing, Sessions};

#[path = "support/people.rs"]
mod people;
use people::session;

type Failed = Box<dyn Error + Send + Sync>;

const LIMITS: Limits = Limits {
    idle: Duration::from_hours(8),
    lifetime: Duration::from_hours(24 * 7),
};
/// How many revocations are measured.
const ROUNDS: usize = 1_000;
/// Sign-ins at a time, while it is filled.
const AT_ONCE: u64 = 64;

/// A server that keeps nothing on disk.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Result<Self, Failed> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self { child, port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Ok(server)
    }

    /// Bytes that its data takes, by its own account.
    fn used(&self) -> Result<u64, Failed> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.write_all(b"INFO memory\r\nQUIT\r\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.ok_or("no used_memory")?.trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One replica.
fn replica(port: u16, keys: &Arc<KeyRing>) -> Result<Arc<Sessions>, Failed> {
    let settings = RedisSettings {
        topology: RedisTopology::One,
        nodes: vec![("127.0.0.1".to_owned(), port)],
        tls: false,
        ca_path: None,
        username: None,
        password: None,
        database: 0,
        prefix: "headwarden".to_owned(),
        timeout: Duration::from_secs(5),
        grace: Duration::from_mins(5),
    };
    let redis = Redis::new(&settings, Arc::new(Metrics::new()?))?;
    let shared = SharedSettings {
        limits: LIMITS,
        capacity: 100_000,
        grace: settings.grace,
        prefix: &settings.prefix,
        deployment: &["https://headscale.company"],
        refresh: Duration::from_mins(1),
    };
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    let shared = SharedSessions::new(Arc::new(redis), &shared, Arc::clone(keys), clock, random);
    let shared = Arc::new(shared);
    let (sender, _) = tokio::sync::watch::channel(0);
    tokio::spawn(Arc::clone(&shared).keep_up(sender));
    Ok(Arc::new(Sessions::shared(shared)))
}

async fn fill(sessions: &Arc<Sessions>, count: u64) -> Result<(), Failed> {
    let mut tasks = tokio::task::JoinSet::new();
    for first in 0..AT_ONCE {
        let sessions = Arc::clone(sessions);
        tasks.spawn(async move {
            for n in (first..count).step_by(usize::try_from(AT_ONCE).unwrap_or(1)) {
                sessions.start(session(n)).await?;
            }
            Ok::<_, Failed>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// From the beginning of a revocation at `here` to the first refusal at `there`.
async fn revocation(here: &Sessions, there: &Sessions, n: u64) -> Result<Duration, Failed> {
    let (id, live) = here.start(session(n)).await?;
    if there.find(&id).await?.is_none() {
        return Err("it is not found".into());
    }
    let begun = Instant::now();
    here.end(&live.key).await?;
    while there.find(&id).await?.is_some() {
        tokio::task::yield_now().await;
    }
    Ok(begun.elapsed())
}

#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
#[tokio::main]
async fn main() -> Result<(), Failed> {
    let count = std::env::args().find_map(|text| text.parse().ok());
    let count: u64 = count.unwrap_or(10_000);
    let server = Server::start()?;
    let files = tempfile::tempdir()?;
    let random = Arc::new(SystemRandom::new());
    let keys = Arc::new(KeyRing::load_or_create(
        &files.path().join("keys.json"),
        random,
    )?);
    let (here, there) = (replica(server.port, &keys)?, replica(server.port, &keys)?);
    // Both are connected when each has asked once.
    here.start(session(u64::MAX)).await?;
    there.start(session(u64::MAX)).await?;
    let before = server.used()?;
    let begun = Instant::now();
    fill(&here, count).await?;
    let took = begun.elapsed();
    let each = (server.used()? - before) / count.max(1);
    println!("| sessions | bytes each, in the server | sign-ins a second |");
    println!(
        "| {count} | {each} | {} |",
        u128::from(count) * 1000 / took.as_millis().max(1)
    );
    for (name, to) in [("the same replica", &here), ("another replica", &there)] {
        let mut all = Vec::with_capacity(ROUNDS);
        for n in 0..ROUNDS {
            all.push(revocation(&here, to, count + n as u64).await?);
        }
        all.sort_unstable();
        let at = |part: usize| {
            all.get((ROUNDS - 1) * part / 100)
                .copied()
                .unwrap_or_default()
        };
        println!(
            "revocation to refusal at {name}: median {:?}, 99 % {:?}, longest {:?}",
            at(50),
            at(99),
            at(100)
        );
    }
    Ok(())
}
