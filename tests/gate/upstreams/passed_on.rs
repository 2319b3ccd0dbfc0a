//! Answers as an upstream writes them, and what a client hears of each; and who hears that the other has gone.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::patient::read_head;
use super::start;
use crate::stage::{HTML, SAME_ORIGIN, Stage, ask, request};
use crate::support::raw::{PATIENCE, Raw};

/// What is answered to each path, byte for byte.
const ANSWERS: &[(&str, &str)] = &[
    (
        "/ui/interim",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nSet-Cookie: early=1\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "/ui/chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5\r\n\r\n\
         2;a=b\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ),
    ("/ui/old", "HTTP/1.0 200 Fine\r\n\r\nok"),
    (
        "/ui/nominates",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Ours, content-length\r\nX-Ours: 1\r\nUpgrade: h2c\r\n\
         Trailer: X-Trailer\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "/ui/until-end",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
    ),
    (
        "/ui/none",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "/ui/unchanged",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ),
    ("/ui/head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    (
        "/ui/two-lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    ),
    (
        "/ui/same-lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "/ui/coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "/ui/codings",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "/ui/text",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 60\r\n\r\n\
         aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
    (
        "/ui/packed",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\n\
         not gzip",
    ),
    (
        "/ui/cached",
        "HTTP/1.1 200 OK\r\nCache-Control: public\r\nCache-Control: max-age=5\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("/ui/nonsense", "hello\r\n\r\n"),
    (
        "/ui/switched",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    ),
];

/// A web UI that speaks as it is written above. It goes behind an answer that ends with its connection, and
/// in the middle of one when it is told to.
struct Scripted {
    address: SocketAddr,
    /// Requests, each with the number of its connection.
    heard: Arc<Mutex<Vec<(usize, String)>>>,
    go: Sender<()>,
    gone: Receiver<()>,
}

impl Scripted {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let heard: Arc<Mutex<Vec<(usize, String)>>> = Arc::default();
        let ((go, told), (left, gone)) = (channel(), channel());
        let (all, told) = (Arc::clone(&heard), Arc::new(Mutex::new(told)));
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
                let (all, told, left) = (Arc::clone(&all), Arc::clone(&told), left.clone());
                std::thread::spawn(move || serve(client, number, &all, &told, &left));
            }
        });
        Self {
            address,
            heard,
            go,
            gone,
        }
    }

    /// The connections over which `target` was asked for.
    fn connections(&self, target: &str) -> Vec<usize> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = heard.iter().filter(|(_, head)| {
            let mut words = head.split(' ');
            words.nth(1) == Some(target)
        });
        asked.map(|(number, _)| *number).collect()
    }
}

fn serve(
    mut client: TcpStream,
    number: usize,
    heard: &Mutex<Vec<(usize, String)>>,
    told: &Mutex<Receiver<()>>,
    left: &Sender<()>,
) {
    while let Some(head) = read_head(&mut client) {
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut all = heard.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((number, head));
        drop(all);
        if target == "/ui/silent" {
            let mut byte = [0];
            let _ = client.read(&mut byte);
            let _ = left.send(());
            return;
        }
        if target == "/ui/large" {
            let body = "0123456789abcdef".repeat(LARGE / 16);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            let _ = client.write_all((head + &body).as_bytes());
            continue;
        }
        if target == "/ui/broken" {
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbro");
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = told.recv_timeout(PATIENCE);
            return;
        }
        let answer = ANSWERS.iter().find(|(path, _)| *path == target);
        let (_, answer) = answer.unwrap_or_else(|| panic!("nobody wrote {target}"));
        let _ = client.write_all(answer.as_bytes());
        if ["/ui/old", "/ui/until-end"].contains(&target.as_str()) {
            return;
        }
    }
}

/// More than any buffer on the way.
const LARGE: usize = 4 * 1024 * 1024;

/// A house in front of it, and somebody's session.
fn stage() -> (Scripted, Stage, String) {
    let ui = Scripted::start();
    let rule = format!("  - path: /ui/**\n    upstream: http://{}\n", ui.address);
    let (stage, session) = start(&rule);
    (ui, stage, session)
}

#[test]
fn each_answer_is_framed_for_the_client_and_its_connection_is_kept() {
    let (ui, stage, session) = stage();
    let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
    for (method, target, status, body, length) in [
        ("GET", "/ui/interim", 200, "ok", Some("2")),
        ("GET", "/ui/chunks", 200, "ok", None),
        ("GET", "/ui/old", 200, "ok", None),
        ("GET", "/ui/nominates", 200, "ok", Some("2")),
        ("GET", "/ui/until-end", 200, "ok", None),
        ("GET", "/ui/none", 204, "", None),
        ("GET", "/ui/unchanged", 304, "", Some("5")),
        ("HEAD", "/ui/head", 200, "", Some("5")),
        ("HEAD", "/ui/head", 200, "", Some("5")),
    ] {
        let bytes = request(&stage.house, method, target, &[SAME_ORIGIN, &session]);
        raw.send(&bytes).expect("the connection is still there");
        let head = raw.read_head().expect("a head");
        let heard = raw.read_body(method, &head).expect("a body");
        assert_eq!(head.status, status, "{target}");
        assert_eq!(String::from_utf8_lossy(&heard), body, "{target}");
        assert_eq!(head.fields.value("content-length"), length, "{target}");
        let is_chunked = head.fields.value("transfer-encoding") == Some("chunked");
        assert_eq!(is_chunked, !body.is_empty() && length.is_none(), "{target}");
        assert_eq!(head.fields.values("date").len(), 1, "{target}");
        let connection = head.fields.values("connection");
        assert_eq!(connection, ["keep-alive"], "{target}");
        for name in [
            "set-cookie",
            "keep-alive",
            "x-trailer",
            "trailer",
            "x-ours",
            "upgrade",
        ] {
            assert_eq!(head.fields.value(name), None, "{target}: {name}");
        }
    }
    let [one, other] = ui.connections("/ui/head")[..] else {
        panic!("each was asked once")
    };
    assert_eq!(one, other, "the upstream's connection is kept too");
}

#[test]
fn nothing_is_packed_or_unpacked_on_the_way() {
    let (_ui, stage, session) = stage();
    let packings = "Accept-Encoding: gzip, br, zstd";
    // They go different ways.
    for method in ["GET", "POST"] {
        for (target, lines, coding, body) in [
            ("/ui/text", vec![packings], None, &*"a".repeat(60)),
            ("/ui/packed", vec![], Some("gzip"), "not gzip"),
            ("/ui/packed", vec![packings], Some("gzip"), "not gzip"),
        ] {
            let lines = [lines, vec![SAME_ORIGIN, &session]].concat();
            let answer = ask(&stage.house, method, target, &lines);
            assert_eq!(answer.status(), 200, "{method} {target}");
            assert_eq!(
                answer.header("content-encoding"),
                coding,
                "{method} {target}"
            );
            assert_eq!(answer.text(), body, "{method} {target}");
        }
    }
}

#[test]
fn no_shared_cache_may_keep_an_answer_whichever_way_it_came() {
    let (_ui, stage, session) = stage();
    for method in ["GET", "POST"] {
        for (target, meant) in [
            ("/ui/cached", "max-age=5, private"),
            ("/ui/text", "private"),
        ] {
            let lines = [SAME_ORIGIN, &session];
            let fields = ask(&stage.house, method, target, &lines).head.fields;
            assert_eq!(fields.values("cache-control"), [meant], "{method} {target}");
        }
    }
}

#[test]
fn an_answer_that_two_readers_could_frame_differently_is_a_502() {
    let (_ui, stage, session) = stage();
    for target in [
        "/ui/two-lengths",
        "/ui/same-lengths",
        "/ui/coding",
        "/ui/codings",
        "/ui/nonsense",
        "/ui/switched",
    ] {
        let answer = ask(&stage.house, "GET", target, &[SAME_ORIGIN, &session]);
        assert_eq!(answer.status(), 502, "{target}");
        assert_eq!(answer.header("connection"), Some("close"), "{target}");
    }
}

#[test]
fn an_answer_that_breaks_off_does_not_pass_for_whole() {
    let (ui, stage, session) = stage();
    let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
    let bytes = request(&stage.house, "GET", "/ui/broken", &[SAME_ORIGIN, &session]);
    raw.send(&bytes).expect("it is sent");
    assert_eq!(raw.read_head().expect("a head").status, 200);
    assert_eq!(raw.read_exact(3).expect("what was said"), b"bro");
    ui.go.send(()).expect("it is there");
    assert_eq!(raw.read_to_end().unwrap_or_default(), b"");
}

#[test]
fn a_large_answer_comes_whole_and_another_one_behind_it() {
    let (_ui, stage, session) = stage();
    let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
    for _ in 0..2 {
        let bytes = request(&stage.house, "GET", "/ui/large", &[SAME_ORIGIN, &session]);
        let answer = raw.exchange(&bytes).expect("an answer");
        assert_eq!(answer.body.len(), LARGE);
        let mut pieces = answer.body.chunks(16);
        assert!(pieces.all(|piece| piece == b"0123456789abcdef"));
    }
}

#[test]
fn requests_that_are_sent_at_once_are_answered_in_their_order() {
    let (_ui, stage, session) = stage();
    let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
    let lines = [SAME_ORIGIN, &session];
    let targets = [
        "/ui/interim",
        "/ui/none",
        "/ui/chunks",
        "/livez-is-not-here",
    ];
    let all: Vec<u8> = targets
        .iter()
        .flat_map(|target| request(&stage.house, "GET", target, &lines))
        .collect();
    raw.send(&all).expect("they are sent");
    let statuses = targets.map(|_| raw.read_response("GET").expect("an answer").status());
    assert_eq!(statuses[..3], [200, 204, 200]);
    let last = request(
        &stage.house,
        "GET",
        "/ui/interim",
        &[SAME_ORIGIN, &session, "Connection: close"],
    );
    let answer = raw.exchange(&last).expect("an answer");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(raw.read_to_end().expect("an end"), b"");
}

#[test]
fn an_upstream_hears_that_the_client_has_gone_also_behind_another_request() {
    let (ui, stage, session) = stage();
    let lines = [SAME_ORIGIN, &session];
    let first = request(&stage.house, "GET", "/ui/silent", &lines);
    let second = request(&stage.house, "GET", "/ui/chunks", &lines);
    for (asked, bytes) in [first.clone(), [first, second].concat()].iter().enumerate() {
        let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
        raw.send(bytes).expect("it is sent");
        stage.house.wait_until("the upstream was asked", || {
            ui.connections("/ui/silent").len() > asked
        });
        drop(raw);
        ui.gone.recv_timeout(PATIENCE).expect("it hears of that");
    }
    assert!(ui.connections("/ui/chunks").is_empty());
}

#[test]
fn an_answer_of_ours_is_framed_once() {
    let (_ui, stage, session) = stage();
    for (method, target, lines) in [
        ("GET", "/nowhere", vec![HTML]),
        ("HEAD", "/nowhere", vec![HTML]),
        ("GET", "/nowhere", vec![]),
        ("GET", "/.headwarden/nothing", vec![HTML, &session]),
        ("GET", "/ui/coding", vec![HTML, &session]),
        ("GET", "/api/v1/node", vec![]),
    ] {
        let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
        let bytes = request(&stage.house, method, target, &lines);
        let fields = raw.exchange(&bytes).expect("an answer").head.fields;
        for name in ["content-length", "connection", "date"] {
            assert_eq!(fields.values(name).len(), 1, "{method} {target}: {name}");
        }
        assert_eq!(fields.value("transfer-encoding"), None, "{target}");
    }
}
