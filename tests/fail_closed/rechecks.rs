//! A session whose person cannot be checked again lets nothing through when the grace is over, at no
//! door; and the re-check itself is one, however many ask.

use std::sync::Arc;
use std::time::Instant;

use url::form_urlencoded::Serializer;
use url::{Position, Url};

use crate::bookkeeper::{Bookkeeper, Limits};
use crate::faulty_provider::{Endpoint, Fault, Key, Person};
use crate::inside::Inside;
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET};
use crate::support::raw::{PATIENCE, Raw, Response, request_to};
use crate::visitor::{Asked, Ground, NAVIGATION, SAME_ORIGIN, Visitor};

const NOW: u64 = 1_800_000_000;
/// The defaults of `session.recheck` and `session.recheck_grace`, in seconds.
const EVERY: u64 = 300;
const GRACE: u64 = 900;
const SSH_CHECK: &str = "/auth/hskey-authreq-0123456789abcdef01234567";
const REGISTER: &str = "/register/hskey-authreq-0123456789abcdef01234567";
const API_KEY: &str = "Authorization: Bearer hskey-api-standin";

struct Stage {
    house: Inside,
    ground: Ground,
    visitor: Visitor,
    session: String,
}

impl Stage {
    /// An administrator with a session and a refresh token.
    fn start() -> Self {
        let house = Inside::start(NOW, 10_000);
        house.provider.rotate_to(Key::Ec);
        house.provider.set(|knobs| knobs.refresh_tokens = true);
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
        let session = visitor.sign_in(&ground, Person::Admin, None, || {});
        let mut stage = Self {
            house,
            ground,
            visitor,
            session: session.expect("nothing is wrong"),
        };
        // Until it is known which Headscale it is, we ask before a device is registered.
        let deadline = Instant::now() + PATIENCE;
        while stage.ask("GET", REGISTER, NAVIGATION).status() != 302 {
            assert!(Instant::now() < deadline, "it is never known");
        }
        stage
    }

    fn ask(&mut self, method: &str, target: &str, lines: &[&str]) -> Response {
        let asked = Asked {
            method,
            target,
            lines,
            sessions: &[&self.session],
            looks_up: false,
        };
        let answer = self.visitor.ask(&self.ground, asked);
        answer.expect("it answers")
    }

    fn at(&self, seconds: u64) {
        self.house.hands.set(NOW + seconds);
    }

    fn reached(&self) -> usize {
        self.house.headscale.requests().len()
    }
}

/// What lets something through by the session, and how it answers when that is good.
const DOORS: &[(&str, &str, &[&str], u16)] = &[
    ("GET", "/windows", &[], 200),
    ("GET", "/windows", NAVIGATION, 200),
    ("GET", "/admin/users", NAVIGATION, 404),
    ("GET", "/api/v1/user", &[SAME_ORIGIN], 200),
    ("DELETE", "/api/v1/user/1", &[SAME_ORIGIN], 200),
    ("GET", "/swagger", NAVIGATION, 200),
    ("GET", SSH_CHECK, NAVIGATION, 303),
    ("GET", REGISTER, NAVIGATION, 302),
    (
        "GET",
        "/oidc/callback?state=0123456789&code=abc",
        NAVIGATION,
        400,
    ),
    (
        "POST",
        "/.headwarden/confirm-ssh",
        &[SAME_ORIGIN, NAVIGATION[0]],
        400,
    ),
];

/// What does not, and how it answers always.
const OTHERS: &[(&str, &str, &[&str], u16)] = &[
    ("GET", "/key?v=140", &[], 200),
    ("GET", "/api/v1/user", &[API_KEY], 200),
    ("GET", "/.headwarden/logout", NAVIGATION, 200),
    ("GET", "/.headwarden/signed-out", NAVIGATION, 200),
    ("GET", "/.headwarden/sign-in", NAVIGATION, 303),
];

#[test]
fn when_the_grace_is_over_no_door_lets_anything_through_until_the_provider_is_back() {
    let mut stage = Stage::start();
    stage.house.provider.bend(Fault::TokenIsDown);
    for seconds in [EVERY + 1, EVERY + 400, EVERY + GRACE - 1] {
        stage.at(seconds);
        for (method, target, lines, status) in [DOORS, OTHERS].concat() {
            let answer = stage.ask(method, target, lines);
            assert_eq!(answer.status(), status, "{method} {target} at {seconds}");
        }
    }
    stage.at(EVERY + GRACE);
    for (method, target, lines, _) in DOORS {
        let before = stage.reached();
        let answer = stage.ask(method, target, lines);
        assert_eq!(answer.status(), 503, "{method} {target}");
        assert_eq!(stage.reached(), before, "{method} {target}");
        let retry: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&retry), "{method} {target}: {retry}");
        assert_eq!(answer.header("set-cookie"), None, "{method} {target}");
        if lines.contains(&NAVIGATION[0]) {
            let text = answer.text();
            assert!(text.contains("identity provider"), "{text}");
        } else {
            assert_eq!(answer.json()["error"], "provider_unavailable");
        }
    }
    for (method, target, lines, status) in OTHERS {
        let answer = stage.ask(method, target, lines);
        assert_eq!(answer.status(), *status, "{method} {target}");
    }
    stage.house.provider.mend();
    stage.at(EVERY + GRACE + 31);
    for (method, target, lines, status) in DOORS {
        let answer = stage.ask(method, target, lines);
        assert_eq!(answer.status(), *status, "{method} {target}");
    }
}

/// A person who signs out does so also then.
#[test]
fn signing_out_needs_no_provider() {
    let mut stage = Stage::start();
    stage.house.provider.bend(Fault::TokenIsDown);
    stage.at(EVERY);
    assert_eq!(stage.ask("GET", "/windows", &[]).status(), 200);
    stage.at(EVERY + 500);
    assert_eq!(stage.ask("GET", "/windows", &[]).status(), 200);
    stage.at(EVERY + GRACE);
    assert_eq!(stage.ask("GET", "/windows", &[]).status(), 503);
    let session = stage.session.clone();
    assert!(stage.visitor.sign_out(&stage.ground, &session));
    assert_eq!(stage.ask("GET", "/windows", &[]).status(), 401);
}

/// Fifty connections, whose requests are all there before the provider answers one.
#[test]
fn of_requests_that_come_at_once_one_asks_the_provider() {
    let stage = Stage::start();
    for round in 1..=2 {
        stage.at(EVERY * round);
        let before = stage.house.provider.hits(Endpoint::Token);
        let held = stage.house.provider.hold(Endpoint::Token);
        let lines = [format!("Cookie: headwarden={}", stage.session)];
        let request = request_to("GET", &stage.ground.url("/windows"), &lines, b"");
        let mut raws: Vec<Raw> = (0..50)
            .map(|_| {
                let mut raw = Raw::connect(stage.ground.public).unwrap();
                raw.send(&request).unwrap();
                raw
            })
            .collect();
        let deadline = Instant::now() + PATIENCE;
        while stage.house.provider.hits(Endpoint::Token) == before {
            assert!(Instant::now() < deadline, "the provider is never asked");
            std::thread::yield_now();
        }
        drop(held);
        for raw in &mut raws {
            assert_eq!(raw.read_response("GET").unwrap().status(), 200);
        }
        assert_eq!(stage.house.provider.hits(Endpoint::Token), before + 1);
    }
}

/// Headscale redeems a code up to a minute after it was given out; by then the person may be gone.
#[test]
fn the_issuer_vouches_for_nobody_who_is_checked_again_then_and_refused() {
    for (fault, status) in [(None, 200), (Some(Fault::ErrorWith200), 400)] {
        let mut stage = Stage::start();
        stage.at(EVERY - 10);
        let redirect = stage.ask("GET", REGISTER, NAVIGATION);
        let authorize = Url::parse(redirect.header("location").unwrap()).unwrap();
        let authorize = &authorize[Position::BeforePath..];
        let granted = stage.ask("GET", authorize, NAVIGATION);
        let callback = Url::parse(granted.header("location").unwrap()).unwrap();
        let (_, code) = callback
            .query_pairs()
            .find(|(name, _)| name == "code")
            .unwrap();
        stage.at(EVERY);
        if let Some(fault) = fault {
            stage.house.provider.bend(fault);
        }
        let back = format!("http://{}/oidc/callback", stage.ground.public);
        let form = Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", &code)
            .append_pair("redirect_uri", &back)
            .append_pair("client_id", HEADSCALE_ID)
            .append_pair("client_secret", HEADSCALE_SECRET)
            .finish();
        let lines = ["Content-Type: application/x-www-form-urlencoded".to_owned()];
        let url = Url::parse(&format!("http://{}/token", stage.house.issuer())).unwrap();
        let request = request_to("POST", &url, &lines, form.as_bytes());
        let answer = Raw::connect(stage.house.issuer())
            .unwrap()
            .exchange(&request);
        let answer = answer.unwrap();
        assert_eq!(answer.status(), status, "{fault:?}: {}", answer.text());
    }
}
