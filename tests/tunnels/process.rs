//! The life of the process: what keeps it from starting, and how it ends.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::rig::DERP;
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, Plan, free_addresses};
use crate::support::raw::Raw;
use crate::support::tls::Authority;

/// Where nobody ever answers.
const NOWHERE: &str = "http://127.0.0.1:9/";
const KEY: &[u8] = b"GET /key?v=1 HTTP/1.1\r\nHost: a\r\n\r\n";

/// A configuration that needs no provider, before `headscale`.
fn alone(plan: &Plan, headscale: &str, top: &'static str) -> String {
    let more = More {
        sign_in: "none",
        top,
        waits_for_provider: false,
        ..More::default()
    };
    plan.config(headscale, NOWHERE, &more)
}

/// A house before a stand-in.
fn before_headscale(top: &'static str) -> (HeadscaleStandin, House) {
    let headscale = HeadscaleStandin::start(Options::default());
    let url = headscale.url();
    (headscale, House::start(|plan| alone(plan, &url, top)))
}

/// Starts what cannot start: its exit code, and everything it said.
fn refused(config: impl FnOnce(&Plan) -> String) -> (Option<i32>, String) {
    let mut house = House::launch(config, &[]);
    let status = house.wait();
    (status.code(), house.log())
}

fn connect(address: SocketAddr) -> Raw {
    Raw::connect(address).expect("it listens")
}

/// The listener closes as soon as its task has heard of it.
fn wait_until_refused(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        std::thread::yield_now();
    }
}

fn tunnel(house: &House) -> Raw {
    let mut client = connect(house.plan.public);
    client.send(DERP.as_bytes()).unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    client
}

#[test]
fn a_port_in_use_ends_the_process_with_its_address() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    for place in ["public", "admin", "issuer"] {
        let (code, log) = refused(|plan| {
            let more = More::default();
            let taken = match place {
                "public" => plan.public,
                "admin" => plan.admin,
                _ => plan.issuer,
            };
            let text = plan.config("http://127.0.0.1:9", NOWHERE, &more);
            text.replace(&taken.to_string(), &address)
        });
        assert_eq!(code, Some(3), "{place}: {log}");
        assert!(
            log.contains(&format!("cannot listen on {address}")),
            "{place}: {log}"
        );
    }
}

/// Spoils the files of a certificate, with another authority at hand.
type BreakIt = fn(&Path, &Authority);

#[test]
fn a_certificate_that_cannot_be_used_ends_the_process_before_it_waits_for_anybody() {
    let (one, another) = (Authority::new(), Authority::new());
    let broken: [(&str, BreakIt); 4] = [
        ("missing", |files, _| {
            std::fs::remove_file(files.join("tls.crt")).unwrap();
        }),
        ("empty", |files, _| {
            std::fs::write(files.join("tls.crt"), "").unwrap();
        }),
        ("no key", |files, _| {
            std::fs::write(files.join("tls.key"), "not a key\n").unwrap();
        }),
        ("another's key", |files, another| {
            let other = another.certificate(&["localhost"]);
            std::fs::write(files.join("tls.key"), other.key).unwrap();
        }),
    ];
    for (what, break_it) in broken {
        let (code, log) = refused(|plan| {
            let (chain, key) = one.certificate(&["localhost"]).write(&plan.files);
            break_it(&plan.files, &another);
            // It waits for a provider that never comes, for longer than this test waits.
            let text = plan.config("http://127.0.0.1:9", NOWHERE, &More::default());
            let tls = format!(
                "\"{}\"\n    tls: {{ cert_path: {}, key_path: {} }}\nadmin:",
                plan.public,
                chain.display(),
                key.display()
            );
            text.replace(&format!("\"{}\"\nadmin:", plan.public), &tls)
        });
        assert_eq!(code, Some(4), "{what}: {log}");
        assert!(log.contains("tls."), "it names the file: {log}");
    }
}

#[test]
fn broken_key_files_end_the_process_and_are_left_as_they_are() {
    for name in ["keys.json", "issuer_key.json"] {
        for broken in ["", "{", "{\"keys\": []}", "not json at all"] {
            let mut house = House::launch(
                |plan| {
                    std::fs::write(plan.files.join(name), broken).unwrap();
                    plan.config("http://127.0.0.1:9", NOWHERE, &More::default())
                },
                &[],
            );
            let code = house.wait().code();
            assert_eq!(code, Some(6), "{name} with {broken:?}: {}", house.log());
            assert!(
                house.log().contains(name),
                "it names the file: {}",
                house.log()
            );
            let now = std::fs::read_to_string(house.plan.files.join(name)).unwrap();
            assert_eq!(now, broken, "{name}");
        }
    }
}

#[test]
fn another_identity_is_refused_unless_the_operator_accepts_it() {
    let more = More {
        waits_for_provider: false,
        ..More::default()
    };
    let original = |plan: &Plan| plan.config("http://127.0.0.1:9", NOWHERE, &more);
    for what in ["provider", "issuer"] {
        let mut house = House::start(original);
        let config = house.plan.files.join("config.yaml");
        let key = house.plan.files.join("issuer_key.json");
        let (before, text) = (
            std::fs::read_to_string(&key).unwrap(),
            std::fs::read_to_string(&config).unwrap(),
        );
        let changed = match what {
            "provider" => text.replace(NOWHERE, "http://127.0.0.1:9/another/"),
            _ => text.replace(
                &format!("url: {}", house.plan.issuer_url()),
                &format!(
                    "url: {}",
                    house.plan.issuer_url().replace("127.0.0.1", "localhost")
                ),
            ),
        };
        assert_ne!(changed, text);
        std::fs::write(&config, changed).unwrap();
        house.restart(&[]);
        assert_eq!(house.wait().code(), Some(6), "{what}: {}", house.log());
        assert!(
            house.log().contains("--accept-new-identity"),
            "{}",
            house.log()
        );
        assert_eq!(std::fs::read_to_string(&key).unwrap(), before, "{what}");

        house.restart(&["serve", "--accept-new-identity"]);
        house.wait_for_log("serving");
        house.restart(&[]);
        house.wait_for_log("serving");
    }
}

#[test]
fn sigterm_ends_it_at_once_when_nothing_is_open() {
    let (_headscale, mut house) = before_headscale("shutdown: { grace: 10m }\n");
    // A connection that waits for its next request is nothing open.
    let mut idle = connect(house.plan.public);
    let answer = idle.exchange(KEY).unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let silent = connect(house.plan.public);
    house.signal("TERM");
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
    assert_eq!(idle.read_to_end().unwrap(), b"");
    drop(silent);
}

#[test]
fn an_open_request_is_waited_for() {
    let (headscale, mut house) = before_headscale("shutdown: { grace: 10m }\n");
    let gate = headscale.gate("/key");
    let mut client = connect(house.plan.public);
    client.send(KEY).unwrap();
    headscale.wait_for_request("/key");
    house.signal("TERM");
    house.wait_for_log("stopping");
    wait_until_refused(house.plan.public);
    drop(gate);
    assert_eq!(client.read_response("GET").unwrap().status(), 200);
    assert_eq!(client.read_to_end().unwrap(), b"");
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
    assert!(!house.log().contains("cutting"), "{}", house.log());
}

#[test]
fn an_open_tunnel_is_carried_until_the_grace_is_over() {
    let (_headscale, mut house) = before_headscale("shutdown: { grace: 5s }\n");
    let mut client = tunnel(&house);
    let told = Instant::now();
    house.signal("TERM");
    house.wait_for_log("stopping");
    client.send(b"still carried").unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"still carried") {
        heard.extend(client.read_some().unwrap());
    }
    let status = house.wait();
    assert_eq!(status.code(), Some(0), "{}", house.log());
    assert!(
        told.elapsed() >= Duration::from_secs(5),
        "{:?}",
        told.elapsed()
    );
    assert!(
        house.log().contains("cutting what is still open"),
        "{}",
        house.log()
    );
    assert_eq!(client.read_to_end().unwrap_or_default(), b"");
}

#[test]
fn a_tunnel_that_ends_during_the_grace_ends_the_process() {
    let (_headscale, mut house) = before_headscale("shutdown: { grace: 10m }\n");
    let client = tunnel(&house);
    house.signal("TERM");
    house.wait_for_log("stopping");
    drop(client);
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
    assert!(!house.log().contains("cutting"), "{}", house.log());
}

#[test]
fn a_second_signal_cuts_at_once() {
    for second in ["TERM", "INT"] {
        let (_headscale, mut house) = before_headscale("shutdown: { grace: 10m }\n");
        let mut client = tunnel(&house);
        house.signal("TERM");
        house.wait_for_log("stopping");
        house.signal(second);
        assert_eq!(house.wait().code(), Some(0), "{}", house.log());
        assert!(house.log().contains("told twice"), "{}", house.log());
        drop(client.read_to_end());
    }
}

#[test]
fn sighup_ends_neither_the_process_nor_a_tunnel() {
    let (_headscale, mut house) = before_headscale("");
    let mut client = tunnel(&house);
    house.signal("HUP");
    house.wait_for_log("SIGHUP");
    client.send(b"still carried").unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"still carried") {
        heard.extend(client.read_some().unwrap());
    }
    drop(client);
    house.signal("TERM");
    let status = house.wait();
    assert_eq!(
        (status.code(), status.signal()),
        (Some(0), None),
        "{}",
        house.log()
    );
}

#[test]
fn the_private_listener_opens_before_the_provider_comes_and_closes_after_everything_else() {
    let discovery = b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: ";
    let ask = |house: &House| {
        let host = house.plan.issuer.to_string();
        let request = [&discovery[..], host.as_bytes(), b"\r\n\r\n"].concat();
        connect(house.plan.issuer)
            .exchange(&request)
            .unwrap()
            .status()
    };
    // Waiting for a provider that does not come: Headscale can start all the same.
    let mut waiting = House::launch(
        |plan| plan.config("http://127.0.0.1:9", NOWHERE, &More::default()),
        &[],
    );
    waiting.wait_for_log("no discovery");
    assert_eq!(ask(&waiting), 200);
    assert!(TcpStream::connect(waiting.plan.public).is_err());

    let headscale = HeadscaleStandin::start(Options::default());
    let more = More {
        top: "shutdown: { grace: 10m }\n",
        waits_for_provider: false,
        ..More::default()
    };
    let url = headscale.url();
    let mut house = House::start(|plan| plan.config(&url, NOWHERE, &more));
    let _client = tunnel(&house);
    house.signal("TERM");
    house.wait_for_log("stopping");
    wait_until_refused(house.plan.public);
    assert_eq!(ask(&house), 200);
    house.signal("TERM");
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
    assert!(TcpStream::connect(house.plan.issuer).is_err());
}

#[test]
fn sigterm_ends_it_while_it_waits_for_the_provider() {
    let mut waiting = House::launch(
        |plan| plan.config("http://127.0.0.1:9", NOWHERE, &More::default()),
        &[],
    );
    waiting.wait_for_log("no discovery");
    waiting.signal("TERM");
    let status = waiting.wait();
    assert_eq!(status.code(), Some(0), "{}", waiting.log());
}

#[test]
fn one_address_holds_only_so_many_connections() {
    let (_headscale, house) = before_headscale("limits: { connections_per_address: 2 }\n");
    let first = tunnel(&house);
    let mut second = connect(house.plan.public);
    assert_eq!(second.exchange(KEY).unwrap().status(), 200);
    let mut third = connect(house.plan.public);
    let _ = third.send(KEY);
    assert_eq!(third.read_head().unwrap().status, 429);
    drop(first);
    // A place is free as soon as the house has seen the end.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut next = connect(house.plan.public);
        if next.send(KEY).is_ok() && next.read_head().is_ok_and(|head| head.status == 200) {
            break;
        }
        assert!(Instant::now() < deadline, "no place is given back");
    }
}

#[test]
fn slow_and_idle_clients_are_sent_away() {
    let (_headscale, house) = before_headscale("limits: { header_timeout: 1s }\n");
    let (_other, restless) = before_headscale("limits: { keepalive_timeout: 1s }\n");
    let mut silent = connect(house.plan.public);
    let [mut slow, mut later] = house.while_it_stands_still(|| {
        [
            b"GET /key?v=1 HTTP/1.1\r\nHost: a\r\nX-Slow: ".as_slice(),
            KEY,
        ]
        .map(|said| {
            let mut raw = connect(house.plan.public);
            raw.send(said).unwrap();
            raw
        })
    });
    assert_eq!(later.read_response("GET").unwrap().status(), 200);
    later.send(b"GET /key?v=1 HTTP/1.1\r\n").unwrap();
    let mut idle = connect(restless.plan.public);
    assert_eq!(idle.exchange(KEY).unwrap().status(), 200);

    // Each wait below is one second of the house's, and a failure after the client's twenty.
    assert_eq!(silent.read_to_end().unwrap(), b"", "nothing is owed");
    assert_eq!(slow.read_response("GET").unwrap().status(), 408);
    assert_eq!(slow.read_to_end().unwrap(), b"");
    assert_eq!(idle.read_to_end().unwrap(), b"", "nothing is owed");
    assert_eq!(later.read_response("GET").unwrap().status(), 408);
}

#[test]
fn a_head_that_trickles_is_sent_away_at_its_deadline() {
    let (_headscale, house) = before_headscale("limits: { header_timeout: 1s }\n");
    let mut socket = house.while_it_stands_still(|| {
        let mut socket = TcpStream::connect(house.plan.public).unwrap();
        let begun = b"GET /key?v=1 HTTP/1.1\r\nX-Slow: ";
        socket.write_all(begun).unwrap();
        socket
    });
    let started = Instant::now();
    // A byte whenever the socket takes one: each read of the house is quick, the head never ends.
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut answer = [0; 12];
    loop {
        let _ = socket.write_all(b"x");
        match std::io::Read::read(&mut socket, &mut answer) {
            Ok(read) => {
                assert_eq!(answer.get(..read).unwrap(), b"HTTP/1.1 408");
                break;
            }
            Err(_) => assert!(started.elapsed() < Duration::from_secs(30), "it never ends"),
        }
    }
}

#[test]
fn a_tls_client_that_says_nothing_holds_no_place_for_ever() {
    // The handshake's own limit is ten seconds; that it is there at all is what is shown.
    let authority = Authority::new();
    let [tls] = free_addresses();
    let house = House::start(|plan| {
        let (chain, key) = authority.certificate(&["localhost"]).write(&plan.files);
        let listen = format!(
            "listen:\n  - address: \"{tls}\"\n    tls: {{ cert_path: {}, key_path: {} }}\n",
            chain.display(),
            key.display()
        );
        alone(plan, "http://127.0.0.1:9", "").replace("listen:\n", &listen)
    });
    let mut silent = connect(tls);
    assert_eq!(silent.read_to_end().unwrap(), b"");
    drop(house);
}
