//! L10, G12: what is open ends when a limit of its session is reached, although nobody asks for anything
//! any more, and what is open is no use of the session.

use std::sync::Arc;
use std::time::Duration;

use headwarden::config::{Access, Balance, HostField, Settings, Upstream, WebUi};
use headwarden::domain::assurance::Assurance;
use headwarden::domain::demands::Demands;
use headwarden::domain::methods::Methods;
use headwarden::domain::rewrite::Rewrite;

use crate::bookkeeper::{Bookkeeper, Limits};
use crate::faulty_provider::Person;
use crate::inside::Inside;
use crate::support::raw::Raw;
use crate::support::streams::{EVENT, Streams};
use crate::visitor::{Ground, Visitor};

const NOW: u64 = 1_800_000_000;

/// A rule that sends `/ui/` there.
fn to(streams: &Streams) -> impl FnOnce(&mut Settings) {
    let upstream = Upstream {
        tls: false,
        host: streams.address.ip().to_string(),
        port: streams.address.port(),
        ca_path: None,
    };
    let web_ui = WebUi {
        addresses: vec![upstream],
        server_name: None,
        balance: Balance::First,
        connect_timeout: None,
        response_timeout: Duration::from_mins(5),
        rewrite: Rewrite::default(),
        host: HostField::Public,
        health: None,
    };
    |settings| {
        settings.access.push(Access {
            path: "/ui/**".to_owned(),
            upstream: Some(web_ui),
            methods: Methods::ALL,
            public: false,
            demands: Demands::default(),
            assurance: Assurance::default(),
            identity_headers: Vec::new(),
            assertion: None,
        });
    }
}

/// A stream that has begun.
fn open(house: &Inside, streams: &Streams, path: &str, session: &str) -> Raw {
    let mut raw = Raw::connect(house.public()).expect("a connection");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: headwarden={session}\r\n\
         X-Forwarded-For: 192.0.2.1\r\n\r\n",
        house.public()
    );
    raw.send(request.as_bytes()).expect("it is sent");
    assert_eq!(raw.read_head().expect("an answer").status, 200);
    // With what was said next, if that came at once.
    let first = raw.read_chunk().expect("a chunk").expect("not the last");
    assert!(first.starts_with(EVENT), "{first:?}");
    assert_eq!(streams.begun(), path);
    raw
}

/// Where the clock is set, and which of two streams are cut: the first session was used at the
/// beginning, the second again shortly before its idle limit.
#[test]
fn a_stream_that_nobody_disturbs_ends_at_the_limits_of_its_session() {
    let streams = Streams::start();
    let house = Inside::start_with(NOW, 100, to(&streams));
    let hands = Arc::clone(&house.hands);
    let ground = Ground {
        public: house.public(),
        books: Arc::new(Bookkeeper::new(Limits {
            idle: 600,
            lifetime: 3600,
        })),
        now: Box::new(move || hands.seconds()),
    };
    let sign_in = |name: &str| {
        let mut visitor = Visitor::new(name, 0);
        let session = visitor.sign_in(&ground, Person::Member, None, || {});
        session.expect("nothing is wrong")
    };
    for path in ["/ui/silent", "/ui/chatty"] {
        house.hands.set(NOW);
        let (idle, busy) = (
            sign_in(&format!("idle{path}")),
            sign_in(&format!("busy{path}")),
        );
        let mut first = open(&house, &streams, path, &idle);
        let mut second = open(&house, &streams, path, &busy);
        house.hands.set(NOW + 599);
        let mut third = open(&house, &streams, path, &busy);
        // What the first stream says all the time is no use of its session.
        house.hands.set(NOW + 600);
        while let Ok(more) = first.read_chunk() {
            assert!(more.is_some(), "{path}: a last chunk passes for the end");
        }
        assert_eq!(streams.ended(), path);
        assert!(streams.all_others_go_on(), "{path}");
        for used in (NOW + 1100..NOW + 3600).step_by(500) {
            house.hands.set(used);
            drop(open(&house, &streams, path, &busy));
            assert_eq!(streams.ended(), path);
        }
        assert!(streams.all_others_go_on(), "{path}");
        // However much it is used, the lifetime is its end.
        house.hands.set(NOW + 3600);
        for stream in [&mut second, &mut third] {
            while let Ok(more) = stream.read_chunk() {
                assert!(more.is_some(), "{path}: a last chunk passes for the end");
            }
            assert_eq!(streams.ended(), path);
        }
    }
}
