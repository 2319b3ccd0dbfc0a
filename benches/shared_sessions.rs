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

    /// A number of its own account, e.g. `used_memory`, in bytes.
    fn says(&self, name: &str) -> Result<f64, Failed> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.write_all(b"INFO\r\nQUIT\r\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        let lines = text.lines();
        let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(found.next().ok_or("no such number")?.trim().parse()?)
    }

    /// Commands that it carried out, and the seconds of CPU that it took.
    fn work(&self) -> Result<(f64, f64), Failed> {
        let cpu = self.says("used_cpu_user")? + self.says("used_cpu_sys")?;
        Ok((self.says("total_commands_processed")?, cpu))
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
    let before = server.says("used_memory")?;
    let begun = Instant::now();
    fill(&here, count).await?;
    let took = begun.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let each = (server.says("used_memory")? - before) / count.max(1) as f64;
    println!("| sessions | bytes each, in the server | sign-ins a second |");
    println!(
        "| {count} | {each:.0} | {} |",
        u128::from(count) * 1000 / took.as_millis().max(1)
    );
    for (name, to) in [("the same replica", &here), ("another replica", &there)] {
        let (median, most, longest) = revocations(&here, to, count).await?;
        println!(
            "revocation to refusal at {name}: median {median:?}, 99 % {most:?}, longest {longest:?}"
        );
    }
    drop((here, there));
    by_replicas(&server, &keys, count).await
}

/// Median, 99 % and longest of a thousand.
async fn revocations(
    here: &Sessions,
    there: &Sessions,
    count: u64,
) -> Result<(Duration, Duration, Duration), Failed> {
    let mut all = Vec::with_capacity(ROUNDS);
    for n in 0..ROUNDS {
        all.push(revocation(here, there, count + n as u64).await?);
    }
    all.sort_unstable();
    let at = |part: usize| {
        all.get((ROUNDS - 1) * part / 100)
            .copied()
            .unwrap_or_default()
    };
    Ok((at(50), at(99), at(100)))
}

/// What the server does for sessions that are used at each of so many replicas, and how long a revocation takes
/// to get to the last of them.
#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
async fn by_replicas(server: &Server, keys: &Arc<KeyRing>, count: u64) -> Result<(), Failed> {
    println!(
        "\n| replicas | commands for a sign-in | for a session found that memory has not | CPU µs each command | \
         revocation to refusal at the last: median | 99 % |\n|---|---|---|---|---|---|"
    );
    for replicas in [1, 2, 4, 8] {
        let made = (0..replicas).map(|_| replica(server.port, keys));
        let all = made.collect::<Result<Vec<_>, _>>()?;
        let (Some(first), Some(last)) = (all.first(), all.last()) else {
            continue;
        };
        for each in &all {
            each.start(session(u64::MAX)).await?;
        }
        let (at_first, _) = server.work()?;
        let mut ids = Vec::with_capacity(ROUNDS);
        for n in 0..ROUNDS {
            ids.push(first.start(session(count + n as u64)).await?.0);
        }
        let (signed_in, cpu) = server.work()?;
        // One that began here is in memory here: the others have to ask.
        let fresh = replica(server.port, keys)?;
        for id in &ids {
            fresh.find(id).await?.ok_or("it is not found")?;
        }
        let (found, more_cpu) = server.work()?;
        let (median, most, _) = revocations(first, last, count).await?;
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        let rounds = ROUNDS as f64;
        println!(
            "| {replicas} | {:.1} | {:.1} | {:.1} | {median:?} | {most:?} |",
            (signed_in - at_first) / rounds,
            (found - signed_in) / rounds,
            (more_cpu - cpu) / (found - signed_in).max(1.0) * 1e6,
        );
    }
    Ok(())
}
