//! A panic in the middle of a request ends that request: nothing is forwarded, the connection is
//! closed, and the next one is served as if nothing had been.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use crate::bookkeeper::{Bookkeeper, Limits};
use crate::faulty_provider::Person;
use crate::inside::Inside;
use crate::visitor::{Asked, Ground, NAVIGATION, SAME_ORIGIN, Visitor};

const NOW: u64 = 1_800_000_000;

/// What fails.
#[derive(Clone, Copy, Debug)]
enum What {
    Clock,
    Randomness,
}

/// What fails, at which of the request's uses of it, and the request; the session comes along.
const ROWS: &[(What, i64, &str, &str, &[&str])] = &[
    // The session's look-up.
    (What::Clock, 0, "GET", "/windows", &[]),
    (What::Clock, 0, "GET", "/windows", NAVIGATION),
    (What::Clock, 0, "POST", "/windows", &[]),
    (What::Clock, 0, "GET", "/admin/users", NAVIGATION),
    (What::Clock, 0, "GET", "/api/v1/user", &[SAME_ORIGIN]),
    (What::Clock, 0, "GET", "/swagger", NAVIGATION),
    (
        What::Clock,
        0,
        "GET",
        "/oidc/callback?state=0123456789&code=abc",
        NAVIGATION,
    ),
    // The look-up is done, and what comes after it fails: with the lock on the session's
    // confirmations held, and with the lock on its legs held.
    (
        What::Clock,
        2,
        "GET",
        "/auth/hskey-authreq-0123456789abcdef01234567",
        NAVIGATION,
    ),
    (
        What::Clock,
        1,
        "GET",
        "/oidc/callback?state=0123456789&code=abc",
        NAVIGATION,
    ),
    // The token of a form.
    (
        What::Randomness,
        0,
        "GET",
        "/auth/hskey-authreq-0123456789abcdef01234567",
        NAVIGATION,
    ),
    (
        What::Randomness,
        0,
        "GET",
        "/.headwarden/sign-in",
        NAVIGATION,
    ),
    (
        What::Randomness,
        0,
        "POST",
        "/.headwarden/logout",
        &[SAME_ORIGIN],
    ),
];

#[test]
fn a_panic_within_a_request_forwards_nothing_and_hurts_no_other() {
    let house = Inside::start(NOW, 10_000);
    let hands = Arc::clone(&house.hands);
    let ground = Ground {
        public: house.public(),
        books: Arc::new(Bookkeeper::new(Limits {
            idle: 600,
            lifetime: 3600,
        })),
        now: Box::new(move || hands.seconds()),
    };
    let mut visitor = Visitor::new("v", 0);
    for row @ (what, after, method, target, lines) in ROWS {
        let session = visitor.sign_in(&ground, Person::Admin, None, || {});
        let session = session.unwrap_or_else(|| panic!("nobody signs in before {row:?}"));
        let sessions = [session.as_str()];
        let asked = |method, target, lines| Asked {
            method,
            target,
            lines,
            sessions: &sessions,
            looks_up: false,
        };
        let before = house.headscale.requests().len();
        match what {
            What::Clock => house.hands.fail_after(*after),
            What::Randomness => house.dice.fail_after(*after),
        }
        let answer = visitor.ask(&ground, asked(method, target, lines));
        assert!(answer.is_none(), "{row:?} was answered: {answer:?}");
        let came = house.hands.is_about_to_fail() || house.dice.is_about_to_fail();
        assert!(!came, "{row:?} never came to its panic");
        assert_eq!(house.headscale.requests().len(), before, "{row:?}");
        // The same person goes on, with the locks that the panic left behind. What had ended the
        // session before it panicked has ended it.
        let over = *target == "/.headwarden/logout";
        for target in ["/apple", "/auth/hskey-authreq-0123456789abcdef01234567"] {
            let next = visitor.ask(&ground, asked("GET", target, NAVIGATION));
            let status = if over { 303 } else { 200 };
            assert_eq!(
                next.map(|next| next.status()),
                Some(status),
                "{target} after {row:?}"
            );
        }
    }
}

#[test]
fn a_request_that_gets_no_number_of_its_own_is_answered_by_nobody_and_the_next_one_is() {
    let house = Inside::start(NOW, 10_000);
    let public = house.public();
    // Numbers are drawn for many requests at a time; the first of the next many is the one that fails.
    house.dice.fail_after(0);
    let mut answered = 0;
    while house.dice.is_about_to_fail() {
        assert!(answered < 2000, "no numbers were drawn");
        answered += usize::from(ask(public).is_some());
    }
    let reached = || {
        let mut all = house.headscale.requests();
        all.retain(|seen| seen.path() == "/key");
        all
    };
    assert_eq!(reached().len(), answered, "what was forwarded was answered");
    assert!(ask(public).is_some());
    let mut numbers = HashSet::new();
    for seen in reached() {
        let number = seen.fields.value("x-request-id").map(str::to_owned);
        assert!(
            numbers.insert(number.clone()),
            "{number:?} was given before"
        );
    }
}

/// `None` where the connection ends without an answer.
fn ask(public: SocketAddr) -> Option<u16> {
    let request = b"GET /key?v=140 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(public).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let status = answer.get(9..12)?;
    std::str::from_utf8(status).unwrap().parse().ok()
}
