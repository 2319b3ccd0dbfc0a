//! A request goes to one address, and counts there for as long as it is open.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use super::patient::{Patient, read_head};
use super::start;
use crate::stage::{SAME_ORIGIN, Stage, ask, request};
use crate::support::house::free_addresses;
use crate::support::raw::Raw;

const WEBSOCKET: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// A rule for `path` with two addresses.
fn rule(path: &str, addresses: [SocketAddr; 2], more: &str) -> String {
    let [one, two] = addresses;
    format!(
        "  - path: {path}/**\n    upstream: {{ urls: [\"http://{one}\", \"http://{two}\"]{more} }}\n"
    )
}

#[test]
fn a_websocket_goes_to_the_address_that_is_there() {
    let [dead] = free_addresses();
    let ui = Patient::start();
    let (stage, session) = start(&rule("/ui", [dead, ui.address], ", balance: first"));
    for _ in 0..2 {
        let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
        let lines = [&WEBSOCKET[..], &[&session]].concat();
        raw.send(&request(&stage.house, "GET", "/ui/socket", &lines))
            .expect("it is sent");
        assert_eq!(raw.read_head().expect("an answer").status, 101);
        let told = raw.read_exact(ui.port().len()).expect("a word");
        assert_eq!(told, ui.port().as_bytes());
    }
}

#[test]
fn a_request_that_was_sent_is_not_sent_to_another_address() {
    let [one, two] = [(); 2].map(|()| Patient::start());
    let first = ", balance: first, response_timeout: 1s";
    let (stage, session) = start(&rule("/ui", [one.address, two.address], first));
    for (method, target, expected) in [
        ("GET", "/ui/silent", 504),
        ("POST", "/ui/silent", 504),
        ("GET", "/ui/closes", 502),
        ("POST", "/ui/closes", 502),
        ("DELETE", "/ui/closes", 502),
    ] {
        let lines = [SAME_ORIGIN, "Content-Length: 0", &session];
        let answer = ask(&stage.house, method, target, &lines);
        assert_eq!(answer.status(), expected, "{method} {target}");
        let line = format!("{method} {target} ");
        assert_eq!(one.heads(&line).len(), 1, "{line}");
        assert_eq!(two.heads(&line).len(), 0, "{line}");
    }
}

/// A web UI that is gone, with its port, once it has heard a request for `/ui/last` over a connection that
/// it had answered on before. Whatever comes over a new one is `fresh`.
fn gone_with_the_last() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let over = Arc::new(AtomicBool::new(false));
    let (closed, is_closed) = channel::<()>();
    let is_closed = Arc::new(Mutex::new(is_closed));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if over.load(Ordering::SeqCst) {
                break;
            }
            let (over, is_closed) = (Arc::clone(&over), Arc::clone(&is_closed));
            std::thread::spawn(move || answer(client, address, &over, &is_closed));
        }
        // The listener goes first: whoever connects again is refused.
        drop((listener, closed));
    });
    address
}

fn answer(
    mut client: TcpStream,
    address: SocketAddr,
    over: &AtomicBool,
    is_closed: &Mutex<Receiver<()>>,
) {
    let mut fresh = true;
    while let Some(head) = read_head(&mut client) {
        if head.contains(" /ui/last ") && !fresh {
            over.store(true, Ordering::SeqCst);
            let _wake = TcpStream::connect(address);
            let _ = is_closed.lock().map(|closed| closed.recv());
            return;
        }
        let said = format!("HTTP/1.1 200 OK\r\nX-Fresh: {fresh}\r\nContent-Length: 0\r\n\r\n");
        let _ = client.write_all(said.as_bytes());
        fresh = false;
    }
}

#[test]
fn a_request_that_met_a_connection_as_it_closed_is_sent_elsewhere_only_if_that_does_nothing() {
    for (method, goes_on) in [("DELETE", false), ("PUT", false), ("GET", true)] {
        let two = Patient::start();
        let addresses = [gone_with_the_last(), two.address];
        let (stage, session) = start(&rule("/ui", addresses, ", balance: first"));
        let lines = [SAME_ORIGIN, &session];
        let mut answer = None;
        stage.house.wait_until("a connection that was kept", || {
            let found = ask(&stage.house, method, "/ui/last", &lines);
            let fresh = found.header("x-fresh") == Some("true");
            answer = Some(found);
            !fresh
        });
        let answer = answer.expect("it was asked");
        let heard = two.heads(&format!("{method} /ui/last ")).len();
        assert_eq!(heard, usize::from(goes_on), "{method}: {}", answer.status());
        let expected = if goes_on { 200..=200 } else { 502..=503 };
        assert!(
            expected.contains(&answer.status()),
            "{method}: {}",
            answer.status()
        );
    }
}

/// Opens a request that stays open, and says at which of `uis` it is.
fn open(stage: &Stage, session: &str, uis: &[&Patient; 2], websocket: bool) -> (Raw, usize) {
    let target = if websocket {
        "/ui/socket"
    } else {
        "/ui/silent"
    };
    let count = |ui: &Patient| ui.heads(&format!("GET {target} ")).len();
    let before = uis.map(count);
    let mut lines = vec![session];
    if websocket {
        lines.extend(WEBSOCKET);
    }
    let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
    raw.send(&request(&stage.house, "GET", target, &lines))
        .expect("it is sent");
    let mut place = None;
    stage.house.wait_until("the request", || {
        place = (0..2).find(|place| count(uis[*place]) > before[*place]);
        place.is_some()
    });
    (raw, place.expect("it came"))
}

#[test]
fn what_is_over_does_not_count_as_open_however_it_ended() {
    for websocket in [true, false] {
        let [one, two] = [(); 2].map(|()| Patient::start());
        let uis = [&one, &two];
        let addresses = [one.address, two.address];
        let (stage, session) = start(&rule("/ui", addresses, ", balance: least_connections"));
        let open = || open(&stage, &session, &uis, websocket);
        let held: Vec<(Raw, usize)> = (0..6).map(|_| open()).collect();
        let (at_one, at_two): (Vec<_>, Vec<_>) = held.into_iter().partition(|(_, at)| *at == 0);
        assert_eq!((at_one.len(), at_two.len()), (3, 3), "{websocket}");
        drop(at_one);
        // With three less there, the next three all go there.
        stage.house.wait_until("three at the first", || {
            let next: Vec<(Raw, usize)> = (0..3).map(|_| open()).collect();
            next.iter().all(|(_, at)| *at == 0)
        });
    }
}
