//! Another process takes the place of a running one, and nobody notices.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::faulty_provider::{Endpoint, Held, Person as Account};
use crate::stage::{Faulty, SAME_ORIGIN, Stage, ask, request, session_line};
use crate::support::headscale_standin::{FIRST_BYTES, HeadscaleStandin, Oidc, Options};
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, House, More, headwarden};
use crate::support::person::Person;
use crate::support::raw::Raw;

const REQUESTS: usize = 10_000;
const TUNNELS: usize = 100;
const THREADS: usize = 8;
const PATIENCE: Duration = Duration::from_mins(2);
const SERVES: &str = "another process serves";
const FAILED: &str = "no other process took over";

/// A house without limits whose log holds what matters here.
const TOP: &str = "limits: { connections_per_address: 100000, tunnels_per_minute: 100000, \
    open_requests_per_minute: 1000000, sign_ins_per_minute: 100000, callbacks_per_minute: 100000 }\n\
    log: { level: \"warn,headwarden::app=info\" }\n";

/// A stage whose successors end with it.
struct Upgradable {
    stage: Stage,
}

impl Upgradable {
    fn start() -> Self {
        Self::start_signing_in("issuer")
    }

    fn start_signing_in(sign_in: &'static str) -> Self {
        Self::start_with(More {
            sign_in,
            top: TOP,
            ..More::default()
        })
    }

    fn start_with(more: More) -> Self {
        let stage = Stage::start_with(|_| more);
        Self { stage }
    }

    /// With the operator's socket, and a Headscale that has not been told of its issuer's address yet.
    fn start_with_socket() -> Self {
        let faulty = Faulty::start();
        let headscale = HeadscaleStandin::start(Options::default());
        let (url, issuer) = (headscale.url(), faulty.provider.issuer());
        let more = More {
            top: TOP,
            ..More::default()
        };
        let house = House::start(|plan| {
            let path = plan.files.join("admin.sock");
            let socket = format!("admin: {{ socket_path: {}, ", path.display());
            let config = plan.config(&url, &issuer, &more);
            config.replace("admin: { ", &socket)
        });
        let (origin, trusted) = (house.plan.origin(), house.plan.issuer_url());
        headscale.configure(|options| {
            options.server_url = origin;
            options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        Self {
            stage: Stage {
                house,
                headscale,
                faulty,
            },
        }
    }

    /// The process that took over.
    fn successor(&self) -> Option<String> {
        let log = self.stage.house.log();
        let line = log.lines().rfind(|line| line.contains(SERVES))?;
        let (_, rest) = line.split_once("pid=")?;
        Some(rest.split(' ').next()?.to_owned())
    }

    fn upgrade(&mut self) {
        self.stage.house.signal("USR2");
        self.stage.house.wait_for_log(SERVES);
    }

    /// The process that took over is replaced too.
    fn upgrade_again(&self) {
        let before = self.successor().expect("one took over");
        signal("USR2", &before);
        let deadline = Instant::now() + PATIENCE;
        while self.successor().as_ref() == Some(&before) {
            assert!(Instant::now() < deadline, "{}", self.stage.house.log());
            std::thread::yield_now();
        }
    }

    /// With a session of somebody whom the provider is asked about every second, by tokens that count once.
    fn start_checking_again() -> (Self, String) {
        let place = Self::start_with(More {
            // The answer is held back for as long as another process takes to start.
            oidc: "  timeout: 30s\n",
            top: Box::leak(format!("{TOP}session: {{ recheck: 1s }}\n").into_boxed_str()),
            ..More::default()
        });
        let provider = &place.stage.faulty.provider;
        provider.set(|knobs| knobs.refresh_tokens = true);
        let session = session_line(&place.stage.house, &place.stage.somebody(Account::Member));
        (place, session)
    }

    /// How often the provider was asked for tokens.
    fn refreshes(&self) -> usize {
        self.stage.faulty.provider.hits(Endpoint::Token)
    }

    /// Asks for a page until the provider was asked so often.
    fn ask_until(&self, session: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.refreshes() < count {
            assert_eq!(self.status("GET", "/windows", &[session]), 200);
            assert!(Instant::now() < deadline, "{} of {count}", self.refreshes());
        }
    }

    /// Has another process started, which could serve, and waits until the running one waits for the
    /// provider's answer to a refresh, which comes when what is returned is dropped.
    fn wait_for_a_refresh(&mut self, session: &str) -> Held {
        let before = self.refreshes();
        let held = self.stage.faulty.provider.hold(Endpoint::Token);
        self.ask_until(session, before + 1);
        self.stage.house.signal("USR2");
        let waits = "once what the provider was asked is answered";
        self.stage.house.wait_for_log(waits);
        held
    }

    fn public(&self) -> SocketAddr {
        self.stage.house.plan.public
    }

    fn status(&self, method: &str, path: &str, lines: &[&str]) -> u16 {
        ask(&self.stage.house, method, path, lines).status()
    }
}

impl Drop for Upgradable {
    fn drop(&mut self) {
        if let Some(pid) = self.successor() {
            signal("KILL", &pid);
        }
    }
}

fn signal(name: &str, pid: &str) {
    let _ = Command::new("kill").args(["-s", name, pid]).status();
}

fn tunnel(to: SocketAddr) -> Raw {
    let mut raw = Raw::connect(to).unwrap();
    raw.send(
        b"POST /ts2021 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
          Upgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: AAAA\r\n\
          Content-Length: 0\r\n\r\n",
    )
    .unwrap();
    assert_eq!(raw.read_head().unwrap().status, 101);
    assert_eq!(raw.read_exact(FIRST_BYTES.len()).unwrap(), FIRST_BYTES);
    raw
}

fn echoes(raw: &mut Raw, text: &str) {
    raw.send(text.as_bytes()).unwrap();
    assert_eq!(raw.read_exact(text.len()).unwrap(), text.as_bytes());
}

/// Asks until there are enough answers and `over`, over connections that are kept for as long as the house
/// keeps them, or over a new one for each. What is not answered as it should be is lost.
fn asks(
    to: SocketAddr,
    rows: &[(Vec<u8>, u16)],
    keeps: bool,
    count: &AtomicUsize,
    over: &AtomicBool,
) {
    let mut kept: Option<Raw> = None;
    for (request, status) in rows.iter().cycle() {
        if over.load(Ordering::Acquire) && count.load(Ordering::Relaxed) >= REQUESTS {
            return;
        }
        let mut raw = kept
            .take()
            .unwrap_or_else(|| Raw::connect(to).expect("it listens"));
        let asked = count.fetch_add(1, Ordering::Relaxed);
        let answer = raw.exchange(request);
        let answer = answer.unwrap_or_else(|error| panic!("request {asked} is lost: {error}"));
        assert_eq!(
            answer.status(),
            *status,
            "request {asked}: {}",
            answer.text()
        );
        if keeps && answer.header("connection") != Some("close") {
            kept = Some(raw);
        }
    }
}

#[test]
fn ten_thousand_requests_and_a_hundred_tunnels_cross_an_upgrade_and_none_is_lost() {
    let mut place = Upgradable::start();
    let to = place.public();
    let session = session_line(&place.stage.house, &place.stage.somebody(Account::Member));
    let house = &place.stage.house;
    let rows = [
        (request(house, "GET", "/key?v=140", &[]), 200),
        (request(house, "GET", "/windows", &[&session]), 200),
        (request(house, "GET", "/generate_204", &[]), 204),
        (request(house, "GET", "/windows", &[]), 401),
    ];
    let home = house.url("/windows");
    let mut tunnels: Vec<Raw> = (0..TUNNELS).map(|_| tunnel(to)).collect();
    let (count, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let sign_ins = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let (rows, count, over) = (&rows, &count, &over);
            scope.spawn(move || asks(to, rows, number % 2 == 0, count, over));
        }
        // People who sign in meanwhile, each step wherever it leads.
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                let page = Person::new().open(&home);
                assert_eq!(page.status(), 200, "{}", page.text());
                sign_ins.fetch_add(1, Ordering::Relaxed);
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while count.load(Ordering::Relaxed) < REQUESTS / 4 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let upgraded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| place.upgrade()));
        let before = sign_ins.load(Ordering::Relaxed);
        while sign_ins.load(Ordering::Relaxed) < before + 3 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        over.store(true, Ordering::Release);
        upgraded.expect("another process serves");
    });
    assert!(count.load(Ordering::Relaxed) >= REQUESTS);

    // The old process carries its tunnels, the new one everything else.
    for (number, raw) in tunnels.iter_mut().enumerate() {
        echoes(raw, &format!("tunnel {number}"));
    }
    let mut new = tunnel(to);
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
    drop(tunnels);
    assert_eq!(
        place.stage.house.wait().code(),
        Some(0),
        "{}",
        place.stage.house.log()
    );
    echoes(&mut new, "and on");
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
    let lines = ["Content-Length: 0", SAME_ORIGIN, &session];
    assert_eq!(place.status("POST", "/.headwarden/logout", &lines), 303);
    assert_eq!(place.status("GET", "/windows", &[&session]), 401);
    drop(new);
    let pid = place.successor().unwrap();
    signal("TERM", &pid);
    let deadline = Instant::now() + PATIENCE;
    while Raw::connect(to).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        std::thread::yield_now();
    }
}

#[test]
fn a_process_that_cannot_start_changes_nothing_and_the_log_says_why() {
    let mut place = Upgradable::start();
    let session = session_line(&place.stage.house, &place.stage.somebody(Account::Member));
    let mut carried = tunnel(place.public());
    let mut kept = Raw::connect(place.public()).unwrap();
    let plan = &place.stage.house.plan;
    let (config, keys) = (plan.files.join("config.yaml"), plan.files.join("keys.json"));
    let good = std::fs::read_to_string(&config).unwrap();
    let good_keys = std::fs::read(&keys).unwrap();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("listen:\n  - address: \"{}\"\n", held.local_addr().unwrap());
    let rows = [
        (
            "a mistake",
            good.replace("keys_path", "keis_path"),
            &good_keys[..],
            "exit status: 2",
        ),
        ("no YAML", "{".to_owned(), &good_keys, "exit status: 2"),
        (
            "a port in use",
            good.replace("listen:\n", &taken),
            &good_keys,
            "exit status: 3",
        ),
        ("a broken key", good.clone(), b"{", "exit status: 6"),
    ];
    for (number, (what, text, key, why)) in rows.iter().enumerate() {
        std::fs::write(&config, text).unwrap();
        std::fs::write(&keys, key).unwrap();
        place.stage.house.signal("USR2");
        let deadline = Instant::now() + PATIENCE;
        let line = loop {
            let log = place.stage.house.log();
            if let Some(line) = log.lines().filter(|line| line.contains(FAILED)).nth(number) {
                break line.to_owned();
            }
            assert!(Instant::now() < deadline, "{what}: {log}");
            std::thread::yield_now();
        };
        assert!(line.contains(why), "{what}: {line}");
        let ready = format!("GET /readyz HTTP/1.1\r\nHost: a\r\nX-Row: {what}\r\n\r\n");
        let mut admin = Raw::connect(place.stage.house.plan.admin).unwrap();
        assert_eq!(
            admin.exchange(ready.as_bytes()).unwrap().status(),
            200,
            "{what}"
        );
        assert_eq!(place.status("GET", "/windows", &[&session]), 200, "{what}");
        let again = request(&place.stage.house, "GET", "/windows", &[&session]);
        let answer = kept.exchange(&again).unwrap();
        let how = (answer.status(), answer.header("connection"));
        assert_eq!(how, (200, Some("keep-alive")), "{what}");
        echoes(&mut carried, what);
    }
    // And when it is well again, it works.
    std::fs::write(&config, &good).unwrap();
    std::fs::write(&keys, &good_keys).unwrap();
    place.upgrade();
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
    echoes(&mut carried, "carried");
}

#[test]
fn a_process_of_another_deployment_takes_nothing_over() {
    let mut place = Upgradable::start_signing_in("own");
    let somebody = place.stage.somebody(Account::Member);
    let session = session_line(&place.stage.house, &somebody);
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
    let config = place.stage.house.plan.files.join("config.yaml");
    let good = std::fs::read_to_string(&config).unwrap();
    let other = good.replacen("client_id: ", "client_id: another-", 1);
    assert_ne!(other, good);
    std::fs::write(&config, other).unwrap();
    place.stage.house.signal("USR2");
    place.stage.house.wait_for_log("restart instead");
    // The one before goes on, and only that one has the session.
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
}

/// The children of a process.
fn children(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let mut all = Vec::new();
    for task in tasks.flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(text.split_whitespace().map(str::to_owned));
    }
    all
}

#[test]
fn a_process_that_dies_before_it_takes_over_leaves_the_other_serving() {
    // An issuer's key would be another's for another provider.
    let mut place = Upgradable::start_signing_in("none");
    let session = session_line(&place.stage.house, &place.stage.somebody(Account::Member));
    let config = place.stage.house.plan.files.join("config.yaml");
    let good = std::fs::read_to_string(&config).unwrap();
    // It waits for a provider that does not come.
    let issuer = place.stage.faulty.provider.issuer();
    std::fs::write(&config, good.replace(&issuer, "http://127.0.0.1:9/")).unwrap();
    place.stage.house.signal("USR2");
    place.stage.house.wait_for_log("no discovery");
    let found = children(place.stage.house.pid());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
    signal("KILL", &found[0]);
    let line = place.stage.house.wait_for_log(FAILED);
    assert!(line.contains("signal: 9"), "{line}");
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
    // Told to stop while another one starts, it stops, and takes that one along.
    place.stage.house.signal("USR2");
    let deadline = Instant::now() + PATIENCE;
    let starting = loop {
        let found = children(place.stage.house.pid());
        if let Some(pid) = found.first() {
            break pid.clone();
        }
        assert!(Instant::now() < deadline, "{}", place.stage.house.log());
    };
    place.stage.house.signal("TERM");
    assert_eq!(
        place.stage.house.wait().code(),
        Some(0),
        "{}",
        place.stage.house.log()
    );
    assert!(!std::path::Path::new(&format!("/proc/{starting}/exe")).exists());
}

#[test]
fn what_is_open_in_the_old_process_ends_with_a_session_that_ends_in_the_new_one() {
    let mut place = Upgradable::start();
    let [stays, leaves] = [Account::Member, Account::Admin]
        .map(|account| session_line(&place.stage.house, &place.stage.somebody(account)));
    let gates = ["/windows", "/apple"].map(|path| place.stage.headscale.gate(path));
    let open = |session: &str, row: &str, path: &str| {
        let mut raw = Raw::connect(place.public()).unwrap();
        let tag = format!("X-Row: {row}");
        let asked = request(&place.stage.house, "GET", path, &[session, &tag]);
        raw.send(&asked).unwrap();
        raw
    };
    let (mut one, mut other) = (
        open(&stays, "stays", "/windows"),
        open(&leaves, "leaves", "/apple"),
    );
    for row in ["stays", "leaves"] {
        let deadline = Instant::now() + PATIENCE;
        while crate::stage::seen(&place.stage.headscale, row).is_empty() {
            assert!(Instant::now() < deadline, "{row} does not arrive");
        }
    }
    place.upgrade();
    let lines = ["Content-Length: 0", SAME_ORIGIN, &leaves];
    assert_eq!(place.status("POST", "/.headwarden/logout", &lines), 303);
    assert_eq!(other.read_response("GET").unwrap().status(), 401);
    drop(gates);
    assert_eq!(one.read_response("GET").unwrap().status(), 200);
    assert_eq!(one.read_to_end().unwrap(), b"");
    assert_eq!(
        place.stage.house.wait().code(),
        Some(0),
        "{}",
        place.stage.house.log()
    );
}

/// The provider takes a refresh token once. One that comes a second time is a theft to it, and everything of
/// that sign-in is over.
#[test]
fn of_the_two_one_refreshes_a_session_and_the_other_knows_what_came_of_it() {
    let (mut place, session) = Upgradable::start_checking_again();
    let page = request(&place.stage.house, "GET", "/windows", &[&session]);
    let mut kept = Raw::connect(place.public()).unwrap();
    assert_eq!(kept.exchange(&page).unwrap().status(), 200);
    let held = place.wait_for_a_refresh(&session);
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
    assert!(place.successor().is_none(), "it waits");
    drop(held);
    place.stage.house.wait_for_log(SERVES);
    // Due again, in both: the one that serves asks.
    let held = place.stage.faulty.provider.hold(Endpoint::Token);
    let before = place.refreshes();
    place.ask_until(&session, before + 1);
    let last = kept.exchange(&page).unwrap();
    assert_eq!(
        (last.status(), last.header("connection")),
        (200, Some("close")),
        "by the one before"
    );
    assert_eq!(place.refreshes(), before + 1, "nobody else asks");
    drop(held);
    // And that goes on.
    place.ask_until(&session, before + 4);
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
}

#[test]
fn a_process_that_dies_while_it_takes_over_leaves_the_other_serving() {
    let (mut place, session) = Upgradable::start_checking_again();
    let mut carried = tunnel(place.public());
    let held = place.wait_for_a_refresh(&session);
    let [taking_over] = &children(place.stage.house.pid())[..] else {
        panic!("{}", place.stage.house.log())
    };
    // It hears everything, and does not get to say that it serves.
    signal("STOP", taking_over);
    drop(held);
    place.stage.house.wait_for_log("handing over sessions=");
    signal("KILL", taking_over);
    place.stage.house.wait_for_log(FAILED);
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
    echoes(&mut carried, "carried");
    echoes(&mut tunnel(place.public()), "and a new one");
    let before = place.refreshes();
    place.ask_until(&session, before + 2);
    // And the next one takes over.
    place.upgrade();
    assert_eq!(place.status("GET", "/windows", &[&session]), 200);
}

/// What the old one decided then, the new one would not know of.
#[test]
fn whoever_comes_in_the_middle_of_a_hand_over_is_served_by_the_new_process() {
    let top = format!("{TOP}session: {{ recheck: 1s }}\nreload: {{ watch: false }}\n");
    let mut place = Upgradable::start_with(More {
        oidc: "  timeout: 30s\n",
        top: top.leak(),
        ..More::default()
    });
    place
        .stage
        .faulty
        .provider
        .set(|knobs| knobs.refresh_tokens = true);
    let session = session_line(&place.stage.house, &place.stage.somebody(Account::Member));
    // By the rules of the new one, nobody is let in.
    let config = place.stage.house.plan.files.join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let closed = text.replace("allowed_groups: [/headscale]", "allowed_groups: [nobody]");
    assert_ne!(closed, text);
    std::fs::write(&config, closed).unwrap();
    let held = place.wait_for_a_refresh(&session);
    let [taking_over] = &children(place.stage.house.pid())[..] else {
        panic!("{}", place.stage.house.log())
    };
    signal("STOP", taking_over);
    drop(held);
    place.stage.house.wait_for_log("handing over sessions=");
    let mut comes = Raw::connect(place.public()).unwrap();
    let page = request(&place.stage.house, "GET", "/windows", &[&session]);
    comes.send(&page).unwrap();
    signal("CONT", taking_over);
    place.stage.house.wait_for_log(SERVES);
    let status = comes.read_response("GET").unwrap().status();
    assert!(matches!(status, 401 | 403), "{status}: by the old one");
}

#[test]
fn what_counts_once_has_counted_in_the_new_process_too() {
    let mut place = Upgradable::start();
    // Somebody comes back from the provider. Somebody else has the link, and the cookie that belongs to it.
    place.stage.is_at_the_provider(Account::Member);
    let mut person = Person::new();
    let (_, callback) = place.stage.callback_for(&mut person, "/windows");
    let mut other = Person::new();
    other.jar = person.jar.clone();
    assert_eq!(person.get(callback.as_str()).status(), 303);
    // The provider says that the person has signed out.
    let none = serde_json::json!({});
    let provider = &place.stage.faulty.provider;
    let body = format!(
        "logout_token={}",
        provider.logout_token(Account::Member, &none, &none)
    );
    let lines = [
        "Content-Type: application/x-www-form-urlencoded",
        &format!("Content-Length: {}", body.len()),
    ];
    let head = request(
        &place.stage.house,
        "POST",
        "/.headwarden/backchannel-logout",
        &lines,
    );
    let told = [&head, body.as_bytes()].concat();
    let tell = |place: &Upgradable| {
        let mut raw = Raw::connect(place.public()).unwrap();
        raw.exchange(&told).unwrap().status()
    };
    assert_eq!(tell(&place), 200);
    place.upgrade();
    assert_eq!(tell(&place), 400);
    let page = other.get(callback.as_str());
    assert_eq!(page.status(), 400, "{}", page.text());
}

#[test]
fn a_devices_registration_and_the_operators_socket_go_over() {
    const IDS: [&str; 2] = [
        "hskey-authreq-0123456789abcdef01234567",
        "hskey-authreq-0123456789abcdef01234568",
    ];
    let mut place = Upgradable::start_with_socket();
    let listed = |place: &Upgradable| {
        let output = headwarden(&place.stage.house.plan, &["sessions", "list"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    // Two devices: of one, Headscale has asked and not been answered; of the other, the code is out.
    let mut person = place.stage.somebody(Account::Member);
    let before = listed(&place);
    let mut begin = |id: &str| {
        let page = person.get(&place.stage.house.url(&format!("/register/{id}")));
        let next = page.redirect().unwrap_or_else(|| panic!("{}", page.text()));
        assert_eq!(next.path(), "/.headwarden/authorize");
        next.clone()
    };
    let (asked, answered) = (begin(IDS[0]), begin(IDS[1]));
    let page = person.get(answered.as_str());
    let callback = page.redirect().expect("a code").clone();
    place.upgrade();
    assert_eq!(
        place.stage.house.wait().code(),
        Some(0),
        "{}",
        place.stage.house.log()
    );
    let page = person.get(callback.as_str());
    assert_eq!(page.status(), 200, "{}", page.text());
    place.upgrade_again();
    let page = person.open(asked.as_str());
    assert_eq!(page.status(), 200, "{}", page.text());
    assert_eq!(
        listed(&place),
        before,
        "the socket is there, and so is everybody"
    );
    // And it goes with the last of them.
    signal("TERM", &place.successor().expect("one took over"));
    let socket = place.stage.house.plan.files.join("admin.sock");
    place.stage.house.wait_until("its end", || !socket.exists());
}

#[test]
fn a_process_that_took_over_and_died_takes_the_old_one_along_so_that_somebody_notices() {
    let mut place = Upgradable::start();
    let _carried = tunnel(place.public());
    place.upgrade();
    signal("KILL", &place.successor().unwrap());
    assert_eq!(
        place.stage.house.wait().code(),
        Some(1),
        "{}",
        place.stage.house.log()
    );
    let log = place.stage.house.log();
    assert!(
        log.contains("the process that took over has ended"),
        "{log}"
    );
}

#[test]
fn tunnels_of_the_first_process_outlive_the_second_when_a_third_takes_over() {
    let mut place = Upgradable::start_with(More {
        top: Box::leak(format!("{TOP}shutdown: {{ grace: 10m }}\n").into_boxed_str()),
        ..More::default()
    });
    let session = session_line(&place.stage.house, &place.stage.somebody(Account::Member));
    let mut carried = tunnel(place.public());
    let gate = place.stage.headscale.gate("/apple");
    let mut open = Raw::connect(place.public()).unwrap();
    let page = request(&place.stage.house, "GET", "/apple", &[&session]);
    open.send(&page).unwrap();
    place.stage.headscale.wait_for_request("/apple");
    place.upgrade();
    // Nothing is open in the second: it has nothing to stay for.
    place.upgrade_again();
    place.stage.house.wait_for_log("has been replaced too");
    // Nobody would say in the first any more that the session has ended: what hangs on it goes.
    let answer = open.read_head().map(|head| head.status);
    let cut = answer
        .as_ref()
        .is_err_and(|why| why.kind() != ErrorKind::WouldBlock);
    assert!(cut, "{answer:?}");
    drop(gate);
    echoes(&mut carried, "carried");
    assert_eq!(place.status("GET", "/generate_204", &[]), 204);
    drop(carried);
    assert_eq!(
        place.stage.house.wait().code(),
        Some(0),
        "{}",
        place.stage.house.log()
    );
}
