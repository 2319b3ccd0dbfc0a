//! L10: what is open when its session ends. Streams, long polls, transfers and WebSockets are cut, in a
//! way that nobody takes for their end; what hangs on no session goes on.
//!
//! That the limits of a session cut as a sign-out does: `fail_closed::open`.

use std::io::ErrorKind;

use crate::faulty_provider::Person as Account;
use crate::stage::{Faulty, SAME_ORIGIN, ask, request, session_line};
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::raw::{Head, Raw};
use crate::support::streams::{EVENT, PROMISED, Streams};

const LOGOUT: &str = "/.headwarden/logout";
const EMPTY: &str = "Content-Length: 0";
const WEBSOCKET: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// A house whose Headscale, and whose web UI at `/ui/`, give answers that do not end.
struct Scene {
    house: House,
    streams: Streams,
    faulty: Faulty,
}

impl Scene {
    fn start() -> Self {
        let (faulty, streams) = (Faulty::start(), Streams::start());
        let url = format!("http://{}", streams.address);
        let top = format!(
            "access:\n  - {{ path: \"/ui/**\", upstream: \"{url}\" }}\n\
             api: {{ admins: [headscale-admins] }}\n"
        );
        let issuer = faulty.provider.issuer();
        let more = More {
            sign_in: "none",
            headscale: "  api_key: hskey-api-standin\n  response_timeout: 5m\n",
            top: top.leak(),
            ..More::default()
        };
        let house = House::start(|plan| plan.config(&url, &issuer, &more));
        Self {
            house,
            streams,
            faulty,
        }
    }

    /// The `Cookie` line of a new session of the administrator's.
    fn session(&self) -> String {
        self.faulty
            .provider
            .set(|knobs| knobs.person = Account::Admin);
        let mut person = Person::new();
        let page = person.open(&self.house.url("/windows"));
        assert_eq!(page.status(), 200, "{}", page.text());
        session_line(&self.house, &person)
    }

    fn sign_out(&self, session: &str) {
        let lines = [EMPTY, SAME_ORIGIN, session];
        assert_eq!(ask(&self.house, "POST", LOGOUT, &lines).status(), 303);
    }

    /// A request on a connection of its own, which has reached the upstream.
    fn open(&self, method: &str, path: &str, lines: &[&str]) -> Raw {
        let mut raw = Raw::connect(self.house.plan.public).expect("a connection");
        raw.send(&request(&self.house, method, path, lines))
            .expect("it is sent");
        assert_eq!(self.streams.begun(), path);
        raw
    }
}

fn begins(raw: &mut Raw) -> Head {
    let head = raw.read_head().expect("an answer");
    assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&head.raw));
    head
}

#[test]
fn a_stream_is_cut_with_its_session_whoever_answers_and_whether_it_speaks_or_not() {
    let scene = Scene::start();
    let derp = ["Connection: Upgrade", "Upgrade: DERP"];
    let mut relay = scene.open("GET", "/derp", &derp);
    assert_eq!(relay.read_head().expect("an answer").status, 101);
    let other = scene.session();
    for path in [
        "/ui/silent",
        "/ui/chatty",
        "/page/silent",
        "/page/chatty",
        "/api/v1/silent",
        "/api/v1/chatty",
    ] {
        let (session, cookie) = (scene.session(), other.as_str());
        let mut ours = scene.open("GET", path, &[SAME_ORIGIN, &session]);
        let mut theirs = scene.open("GET", path, &[SAME_ORIGIN, cookie]);
        for stream in [&mut ours, &mut theirs] {
            let head = begins(stream);
            assert_eq!(head.fields.value("transfer-encoding"), Some("chunked"));
            // With what was said next, if that came at once.
            let first = stream.read_chunk().expect("a chunk").expect("not the last");
            assert!(first.starts_with(EVENT), "{path}: {first:?}");
        }
        scene.sign_out(&session);
        let cut = loop {
            match ours.read_chunk() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(cut.is_err(), "{path}: a last chunk passes for the end");
        assert_eq!(scene.streams.ended(), path);
        if path.ends_with("chatty") {
            assert!(theirs.read_chunk().expect("a chunk").is_some(), "{path}");
        }
        assert!(scene.streams.all_others_go_on(), "{path}");
        drop(theirs);
        assert_eq!(scene.streams.ended(), path);
        // Nobody signs in by what was left of it.
        let lines = [SAME_ORIGIN, &session];
        assert_eq!(ask(&scene.house, "GET", path, &lines).status(), 401);
    }
    assert!(
        scene
            .house
            .log()
            .contains("request cut: its session has ended")
    );
    // A tunnel is no session's.
    relay.send(b"ping").expect("it is open");
    assert_eq!(relay.read_exact(4).expect("it comes back"), b"ping");
}

#[test]
fn a_transfer_breaks_off_before_its_end_whether_or_not_anybody_reads_it() {
    let scene = Scene::start();
    let session = scene.session();
    let mut ours = scene.open("GET", "/ui/download", &[&session]);
    let length = begins(&mut ours)
        .fields
        .value("content-length")
        .map(str::to_owned);
    assert_eq!(length, Some(PROMISED.to_string()));
    // An answer whose end is the connection's, where it comes from.
    let mut raw = scene.open("GET", "/ui/until-end", &[&session]);
    begins(&mut raw);
    assert_eq!(raw.read_chunk().expect("a part").as_deref(), Some(EVENT));
    // Nobody reads the download: it waits for its reader, and ends all the same.
    scene.sign_out(&session);
    assert!(raw.is_cut(), "it looks whole");
    let mut ended = [scene.streams.ended(), scene.streams.ended()];
    ended.sort();
    assert_eq!(ended, ["/ui/download", "/ui/until-end"]);
    assert!(ours.read_exact(PROMISED).is_err());
}

#[test]
fn a_long_poll_that_was_not_answered_hears_why_and_an_upload_is_cut() {
    let scene = Scene::start();
    for path in ["/ui/poll", "/page/poll", "/api/v1/poll"] {
        let session = scene.session();
        let mut poll = scene.open("GET", path, &[SAME_ORIGIN, &session]);
        scene.sign_out(&session);
        let answer = poll.read_response("GET").expect("an answer");
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(poll.read_to_end().expect("an orderly end"), b"", "{path}");
        assert_eq!(scene.streams.ended(), path);
    }
    for path in ["/ui/upload", "/api/v1/upload"] {
        let session = scene.session();
        let long = "Content-Length: 1000000";
        let mut upload = scene.open("POST", path, &[SAME_ORIGIN, long, &session]);
        upload.send(&vec![b'x'; 100_000]).expect("it is taken");
        scene.sign_out(&session);
        assert!(upload.is_cut(), "{path}");
        assert_eq!(scene.streams.ended(), path);
    }
}

#[test]
fn a_connection_that_another_session_uses_afterwards_is_that_ones() {
    let scene = Scene::start();
    let (first, second) = (scene.session(), scene.session());
    let mut raw = Raw::connect(scene.house.plan.public).expect("a connection");
    let whole = raw
        .exchange(&request(&scene.house, "GET", "/ui/page", &[&first]))
        .expect("an answer");
    assert_eq!(whole.status(), 200);
    raw.send(&request(
        &scene.house,
        "GET",
        "/ui/socket",
        &[&WEBSOCKET[..], &[&second]].concat(),
    ))
    .expect("it is sent");
    assert_eq!(raw.read_head().expect("an answer").status, 101);
    assert_eq!(scene.streams.begun(), "/ui/socket");
    scene.sign_out(&first);
    raw.send(b"ping").expect("it is open");
    assert_eq!(raw.read_exact(4).expect("it comes back"), b"ping");
    scene.sign_out(&second);
    assert!(raw.is_cut());
    assert_eq!(scene.streams.ended(), "/ui/socket");
}

#[test]
fn many_streams_of_one_session_end_together_and_give_their_places_back() {
    const STREAMS: usize = 400;
    let scene = Scene::start();
    let session = scene.session();
    for round in 0..2 {
        let session = if round == 0 {
            session.clone()
        } else {
            scene.session()
        };
        let mut all: Vec<Raw> = (0..STREAMS)
            .map(|_| scene.open("GET", "/ui/silent", &[&session]))
            .collect();
        for stream in &mut all {
            begins(stream);
        }
        scene.sign_out(&session);
        for stream in &mut all {
            let end = loop {
                match stream.read_chunk() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            let kind = end.map_err(|why| why.kind());
            assert_eq!(kind, Err(ErrorKind::ConnectionReset));
        }
        for _ in 0..STREAMS {
            assert_eq!(scene.streams.ended(), "/ui/silent");
        }
    }
}
