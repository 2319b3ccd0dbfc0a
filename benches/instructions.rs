//! How many instructions one signed-in request takes, and how often it asks for memory, in Headwarden and
//! in a bare pingora proxy: counted by callgrind, so that a busy machine changes nothing about it.
//!
//! The programs themselves run, each with one worker, before the same upstream. One keep-alive connection
//! sends request after request; the counts of several rounds are taken, and the median is told, so that
//! neither the start nor what happens now and then beside the requests is in it.
//!
//! `judge` as an argument compares with `benches/instructions.bounds`, `bless` writes that anew: what was
//! counted, and a twentieth more as the bound. `PROGRAMS` in the environment names
//! a directory with other builds of `headwarden` and `examples/bare_proxy`; `KEEP` one for what callgrind
//! wrote, for `callgrind_annotate`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that cannot be run has nothing to say, and what it says is its result"
)]

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::faulty_provider::{FaultyProvider, Person as Account};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, free_addresses};
use crate::support::person::Person;
use crate::support::raw::Raw;

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/faulty_provider/mod.rs"]
mod faulty_provider;
#[path = "../tests/support/mod.rs"]
mod support;

/// What is counted at a time, and how often.
const REQUESTS: u64 = 100;
const ROUNDS: usize = 7;
/// Before anything is counted.
const WARM_UP: u64 = 50;
/// Longest wait for a program to listen, and for a count.
const PATIENCE: Duration = Duration::from_mins(2);
/// What the compiler calls for memory.
const ALLOCATES: [&str; 3] = ["__rust_alloc", "__rust_realloc", "__rust_alloc_zeroed"];
/// What an upstream answers with, as small as a script's question usually is.
const ANSWER: usize = 1024;

/// What one request takes.
#[derive(Clone, Copy)]
struct Cost {
    instructions: u64,
    allocations: u64,
}

/// What callgrind counted between two requests for it.
struct Counted {
    instructions: u64,
    allocations: u64,
}

/// One row of the table.
struct Row {
    name: &'static str,
    count: u64,
}

fn main() -> ExitCode {
    for name in ["headwarden", "examples/bare_proxy"] {
        let program = program(name);
        if !program.is_file() {
            // Not so grave that other benchmarks should not run.
            eprintln!("{} is missing: build it first", program.display());
            return ExitCode::from(u8::from(is_judging()));
        }
    }
    let kept = tempfile::tempdir().expect("a directory");
    let kept = std::env::var_os("KEEP").map_or(kept.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&kept).expect("a directory");
    let upstream = upstream();
    let bare = bare(&kept, upstream);
    let logged = signed_in(&kept, "logged", upstream, "log: { level: info }\n");
    let quiet = signed_in(&kept, "quiet", upstream, "log: { level: warn }\n");
    let rows = [
        ("bare pingora, instructions", bare.instructions),
        (
            "headwarden without a line in the log, instructions",
            quiet.instructions,
        ),
        ("headwarden with one, instructions", logged.instructions),
        ("bare pingora, allocations", bare.allocations),
        (
            "headwarden without a line in the log, allocations",
            quiet.allocations,
        ),
        ("headwarden with one, allocations", logged.allocations),
    ];
    let rows = rows.map(|(name, count)| Row { name, count });
    println!("| one signed-in request | |");
    println!("|---|---|");
    for row in &rows {
        println!("| {} | {} |", row.name, row.count);
    }
    if std::env::args().any(|argument| argument == "bless") {
        bless(&rows);
    }
    if is_judging() {
        judge(&rows);
    }
    ExitCode::SUCCESS
}

/// A program built beside this one, or elsewhere.
fn program(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_BIN_EXE_headwarden"));
    let beside = here.parent().expect("a file is in a directory");
    let directory = std::env::var_os("PROGRAMS").map_or(beside.to_owned(), PathBuf::from);
    directory.join(name)
}

/// Whether the counts are held to their bounds.
fn is_judging() -> bool {
    std::env::args().any(|argument| argument == "judge")
}

/// The words before a program that is to be counted.
fn counting(kept: &Path, name: &str) -> Vec<String> {
    let to = kept.join(name);
    let words = [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--cache-sim=no",
        "--branch-sim=no",
    ];
    let file = format!("--callgrind-out-file={}", to.display());
    words.map(str::to_owned).into_iter().chain([file]).collect()
}

/// What bare pingora takes.
fn bare(kept: &Path, upstream: SocketAddr) -> Cost {
    let [listen] = free_addresses();
    let words = counting(kept, "bare");
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .args(&words)
        .arg(program("examples/bare_proxy"))
        .args([listen.to_string(), upstream.to_string()])
        .stdin(Stdio::null());
    let mut child = Ended(command.spawn().expect("valgrind starts"));
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(listen).is_err() {
        assert!(Instant::now() < deadline, "it does not listen");
        let over = child.0.try_wait().expect("it is our child");
        assert!(over.is_none(), "it ended: {over:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    count(kept, "bare", child.0.id(), listen, &request(listen, ""))
}

/// A child that does not outlive this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What Headwarden takes for somebody who is signed in, in front of a web UI that is told who they are.
fn signed_in(kept: &Path, name: &str, upstream: SocketAddr, log: &str) -> Cost {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let provider = runtime.block_on(FaultyProvider::start());
    let headscale = HeadscaleStandin::start(Options::default());
    let top = format!(
        "workers: 1\n{log}access:\n  - path: /admin/**\n    upstream: http://{upstream}\n    \
         groups: [headscale]\n    identity_headers: remote\n"
    );
    let more = More {
        sign_in: "none",
        top: String::leak(top),
        ..More::default()
    };
    let words = counting(kept, name);
    let measured = program("headwarden");
    let house = House::launch_in(
        |plan| plan.config(&headscale.url(), &provider.issuer(), &more),
        &[],
        |_, command| {
            // The name of the program that would be started comes behind, and is `$0` to this one.
            let words = words.join(" ");
            let run = format!("exec {words} {} \"$@\"", measured.display());
            command.args(["sh", "-c", &run]);
        },
    );
    // No line says so at every level; the listener opens when everything is there.
    house.wait_until("it serves", || {
        TcpStream::connect(house.plan.public).is_ok()
    });
    provider.set(|knobs| knobs.person = Account::Member);
    let mut person = Person::new();
    let page = person.open(&house.url("/admin/machines"));
    assert_eq!(page.status(), 200, "{}", page.text());
    let kept_cookies = person.jar.at(&house.url("/").parse().expect("a URL"));
    let session = kept_cookies
        .iter()
        .find(|cookie| cookie.name == "headwarden")
        .expect("somebody is signed in");
    let cookie = format!(
        "Cookie: theme=dark; headwarden={}; lang=en\r\n",
        session.value
    );
    let asked = request(house.plan.public, &cookie);
    count(kept, name, house.pid(), house.plan.public, &asked)
}

/// What a browser sends for a script of a page.
fn request(to: SocketAddr, cookie: &str) -> Vec<u8> {
    format!(
        "GET /admin/machines?sort=name HTTP/1.1\r\nHost: {to}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         {cookie}Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n\
         Connection: keep-alive\r\n\r\n"
    )
    .into_bytes()
}

/// Asks over one connection, and counts: what one request takes, the median of the rounds.
fn count(kept: &Path, name: &str, pid: u32, to: SocketAddr, asked: &[u8]) -> Cost {
    let mut connection = Raw::connect(to).expect("a connection");
    let mut ask = |times: u64| {
        for _ in 0..times {
            let answer = connection.exchange(asked).expect("an answer");
            assert_eq!(answer.status(), 200, "{}", answer.text());
        }
    };
    ask(WARM_UP);
    // What came before is in the first one.
    take(kept, name, pid, 1);
    let rounds: Vec<Counted> = (0..ROUNDS)
        .map(|round| {
            ask(REQUESTS);
            take(kept, name, pid, round + 2)
        })
        .collect();
    let median = |what: fn(&Counted) -> u64| {
        let mut each: Vec<u64> = rounds.iter().map(|round| what(round) / REQUESTS).collect();
        each.sort_unstable();
        eprintln!("{name}: {each:?}");
        each[ROUNDS / 2]
    };
    Cost {
        instructions: median(|round| round.instructions),
        allocations: median(|round| round.allocations),
    }
}

/// What was counted since the last time.
fn take(kept: &Path, name: &str, pid: u32, nth: usize) -> Counted {
    let told = Command::new("callgrind_control")
        .args(["--dump", &pid.to_string()])
        .output()
        .expect("callgrind_control runs");
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    let file = kept.join(format!("{name}.{nth}"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut lines = text.lines().rev();
        if let Some(total) = lines.find_map(|line| line.strip_prefix("totals: ")) {
            return Counted {
                instructions: total.trim().parse().expect("a number"),
                allocations: allocations(&text),
            };
        }
        assert!(Instant::now() < deadline, "no count in {}", file.display());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// How often the program asked its allocator for memory, or for more of it. A name stands behind its
/// number where that occurs first; a call is counted in the line behind the name of whom it called.
fn allocations(text: &str) -> u64 {
    let (mut asking, mut called) = (HashSet::new(), "");
    let mut count = 0;
    for line in text.lines() {
        let named = line.strip_prefix("cfn=").or(line.strip_prefix("fn="));
        if let Some((number, name)) = named.and_then(|named| named.split_once(' '))
            && ALLOCATES.iter().any(|what| name.contains(what))
        {
            asking.insert(number);
        }
        if let Some(callee) = line.strip_prefix("cfn=") {
            called = callee.split(' ').next().unwrap_or_default();
        } else if let Some(calls) = line.strip_prefix("calls=")
            && asking.contains(called)
        {
            let times = calls.split(' ').next().unwrap_or_default();
            count += times.parse::<u64>().expect("a number");
        }
    }
    count
}

/// Answers every request on every connection with the same.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {ANSWER}\r\n\r\n{}",
        "x".repeat(ANSWER)
    );
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || serve(socket, answer.as_bytes()));
        }
    });
    address
}

fn serve(mut socket: TcpStream, answer: &[u8]) {
    let _ = socket.set_nodelay(true);
    let mut held = Vec::new();
    let mut chunk = [0; 8192];
    while let Ok(read @ 1..) = socket.read(&mut chunk) {
        held.extend_from_slice(&chunk[..read]);
        while let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            held.drain(..end + 4);
            if socket.write_all(answer).is_err() {
                return;
            }
        }
    }
}

/// Where the bounds are.
fn bounds_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.bounds")
}

/// Makes what was counted now the measure: the words at the beginning stay.
fn bless(rows: &[Row]) {
    let before = std::fs::read_to_string(bounds_path()).unwrap_or_default();
    let words = before.lines().filter(|line| line.starts_with('#'));
    let rows = rows.iter().map(|row| {
        let bound = row.count + row.count.div_ceil(20);
        format!("{}: {bound} (counted: {})", row.name, row.count)
    });
    let lines: Vec<String> = words.map(str::to_owned).chain(rows).collect();
    std::fs::write(bounds_path(), lines.join("\n") + "\n").expect("the bounds are written");
}

/// Holds each row to what `benches/instructions.bounds` allows.
fn judge(rows: &[Row]) {
    let path = bounds_path();
    let bounds = std::fs::read_to_string(&path).expect("the bounds");
    let mut failed = 0;
    for row in rows {
        let bound = bounds
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| *name == row.name)
            .find_map(|(_, most)| most.split(' ').next()?.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("no bound for {:?} in {}", row.name, path.display()));
        let verdict = if row.count > bound {
            "TOO MANY"
        } else {
            "good"
        };
        failed += usize::from(row.count > bound);
        println!("{}: {} of at most {bound}: {verdict}", row.name, row.count);
    }
    assert_eq!(
        failed, 0,
        "see benches/instructions.bounds for what is counted and why"
    );
}
