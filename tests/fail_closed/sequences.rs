//! Long walks through one house, one step at a time, with everything that can fail failing in
//! between. After each step everything that reached the upstream is judged.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use url::Url;

use crate::bookkeeper::{Bookkeeper, Limits};
use crate::draw::{Confession, Draw};
use crate::faulty_provider::{Fault, Key, Person};
use crate::inside::Inside;
use crate::support::headscale_standin::{Options, Script};
use crate::support::raw::{Raw, Response, request_to};
use crate::visitor::{Asked, Ground, NAVIGATION, SAME_ORIGIN, Visitor, set_cookies};
use crate::wire::Mood;

/// As `inside::SIDES` has them.
const LIMITS: Limits = Limits {
    idle: 600,
    lifetime: 3600,
};
/// When every walk begins.
const MORNING: u64 = 1_800_000_000;
const YEAR_2100: u64 = 4_102_444_800;
const STEPS: usize = 150;

/// The provider lies about who is there: nobody may be signed in.
const LIES: &[Fault] = &[
    Fault::AudienceOfSomebodyElse,
    Fault::AzpOfSomebodyElse,
    Fault::IssOfSomebodyElse,
    Fault::IssWithoutSlash,
    Fault::NonceAbsent,
    Fault::NonceWrong,
    Fault::AlgNone,
    Fault::Hs256WithPublicKey,
    Fault::Hs256WithClientSecret,
    Fault::BadSignature,
    Fault::SignedByForger,
    Fault::ExpiredFor(3600),
    Fault::ExpAbsent,
    Fault::IatAhead(3600),
    Fault::SubAbsent,
    Fault::SubEmpty,
    Fault::Encrypted,
    Fault::TwoParts,
    Fault::PayloadIsNoJson,
    Fault::CriticalHeader,
    Fault::BadAtHash,
    Fault::NoIdToken,
    Fault::ErrorWith200,
    Fault::InvalidClient,
    Fault::TokenIsDown,
    Fault::TokenIsHtml,
    Fault::TokenIsHuge,
    Fault::TokenIsMissing,
    Fault::TokenRedirects,
];
/// Somebody else speaks for it: nobody may be signed out.
const FORGED: &[Fault] = &[
    Fault::AlgNone,
    Fault::BadSignature,
    Fault::SignedByForger,
    Fault::Hs256WithPublicKey,
    Fault::Hs256WithClientSecret,
    Fault::Encrypted,
    Fault::TwoParts,
];
/// It fails in ways that a sign-in may survive.
const TROUBLES: &[Fault] = &[
    Fault::DiscoveryIsDown,
    Fault::DiscoveryIsHtml,
    Fault::JwksIsDown,
    Fault::JwksIsHtml,
    Fault::JwksWithoutKeys,
    Fault::JwksRedirects,
    Fault::UnknownKid,
    Fault::NoKid,
    Fault::UserinfoIsDown,
    Fault::AuthTimeAbsent,
    Fault::OnlyPostAuth,
];
/// Method, target and lines of what takes a session, and whether the house looks at it.
type Guarded = (&'static str, &'static str, &'static [&'static str], bool);
const ID: &str = "hskey-authreq-0123456789abcdef01234567";
const GUARDED: &[Guarded] = &[
    ("GET", "/windows", NAVIGATION, true),
    ("GET", "/windows", &[], true),
    ("HEAD", "/windows", &[], true),
    ("POST", "/windows", &[], true),
    (
        "OPTIONS",
        "/windows",
        &["Origin: https://elsewhere.example"],
        true,
    ),
    ("GET", "/", NAVIGATION, true),
    ("GET", "/version", &[], true),
    ("GET", "/nobody/knows?path=/key", &[], true),
    ("GET", "/admin/users", NAVIGATION, true),
    ("GET", "/admin/", &[], true),
    ("POST", "/admin/users", &[], true),
    ("GET", "/key/", &[], true),
    ("PUT", "/health", &[], true),
    (
        "GET",
        "/register/hskey-authreq-0123456789abcdef01234567",
        NAVIGATION,
        true,
    ),
    (
        "GET",
        "/auth/hskey-authreq-0123456789abcdef01234567",
        NAVIGATION,
        true,
    ),
    (
        "POST",
        "/register/confirm/hskey-authreq-0123456789abcdef01234567",
        &[SAME_ORIGIN],
        true,
    ),
    ("GET", "/api/v1/user", &[SAME_ORIGIN], true),
    ("DELETE", "/api/v1/node/1", &[SAME_ORIGIN], true),
    ("GET", "/api/v1/user", &["Authorization: Basic YTpi"], true),
    ("GET", "/swagger", NAVIGATION, true),
    (
        "GET",
        "/oidc/callback?state=0123456789&code=abc",
        NAVIGATION,
        false,
    ),
    (
        "GET",
        "/oidc/callback?state=hw1.AAAAAAAA&code=abc",
        NAVIGATION,
        false,
    ),
    (
        "GET",
        "/.headwarden/authorize?client_id=headscale",
        NAVIGATION,
        false,
    ),
    ("GET", "/.headwarden/signed-out", NAVIGATION, false),
    ("GET", "/metrics", &[], false),
    ("POST", "/verify", &[], false),
    (
        "GET",
        "/windows",
        &[
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: a",
            "Sec-WebSocket-Version: 13",
        ],
        true,
    ),
];
/// What takes none.
const OPEN: &[(&str, &str)] = &[
    ("GET", "/key?v=140"),
    ("GET", "/health"),
    ("HEAD", "/derp/probe"),
];

/// What one step does.
#[derive(Clone, Copy, Debug)]
enum Step {
    SignIn,
    Guarded,
    Open,
    Pair,
    Register,
    SignOut,
    Departure,
    Clock,
    Provider,
    Headscale,
    Panic,
    Restart,
    Calm,
}

const WEIGHTS: &[(usize, Step)] = &[
    (14, Step::SignIn),
    (40, Step::Guarded),
    (4, Step::Open),
    (8, Step::Pair),
    (8, Step::Register),
    (4, Step::SignOut),
    (5, Step::Departure),
    (9, Step::Clock),
    (8, Step::Provider),
    (8, Step::Headscale),
    (8, Step::Panic),
    (2, Step::Restart),
    (7, Step::Calm),
];

/// What a walk has shown, so that one that showed nothing fails.
#[derive(Debug, Default)]
struct Tally {
    forwarded: usize,
    refused: usize,
    sessions: usize,
    panics: usize,
    restarts: usize,
    calm: usize,
    callbacks: usize,
    departures: usize,
}

struct Walk {
    house: Inside,
    ground: Ground,
    draw: Draw,
    visitor: Visitor,
    /// What browsers hold; some of it is over.
    held: Vec<String>,
    capacity: usize,
    /// The most sessions that lived at once since the house opened.
    crowd: usize,
    fault: Option<Fault>,
    /// Logout tokens that counted.
    told: Vec<String>,
    judged: usize,
    /// The latest time that the clock has shown when all was calm.
    latest: u64,
    tally: Tally,
}

impl Walk {
    fn begin(index: u64, capacity: usize) -> Self {
        let house = Inside::start(MORNING, capacity as u64);
        let hands = Arc::clone(&house.hands);
        let ground = Ground {
            public: house.public(),
            books: Arc::new(Bookkeeper::new(LIMITS)),
            now: Box::new(move || hands.seconds()),
        };
        Self {
            house,
            ground,
            draw: Draw::seeded(index),
            visitor: Visitor::new("v", 0),
            held: Vec::new(),
            capacity,
            crowd: 0,
            fault: None,
            told: Vec::new(),
            judged: 0,
            latest: MORNING,
            tally: Tally::default(),
        }
    }

    fn step(&mut self, number: usize) {
        self.visitor.moves(number);
        match self.draw.weighted(WEIGHTS) {
            Step::SignIn => drop(self.sign_in()),
            Step::Guarded => self.guarded(),
            Step::Open => self.open(),
            Step::Pair => self.pair(),
            Step::Register => self.register(),
            Step::SignOut => self.sign_out(),
            Step::Departure => self.departure(),
            Step::Clock => self.move_clock(),
            Step::Provider => self.bend_provider(),
            Step::Headscale => self.bend_headscale(),
            Step::Panic => self.panic_within(),
            Step::Restart => self.restart(),
            Step::Calm => self.calm(),
        }
        self.crowd = self.crowd.max(self.ground.books.living());
        self.judge();
    }

    fn judge(&mut self) {
        let all = self.house.headscale.requests();
        for seen in &all[self.judged..] {
            match self.ground.books.judge(seen) {
                Ok(with_session) => self.tally.forwarded += usize::from(with_session),
                Err(why) => panic!("{why}"),
            }
        }
        self.judged = all.len();
    }

    /// A cookie from somewhere: held by a browser, over, bent, or made up.
    fn cookie(&mut self) -> Option<String> {
        let held = match self.held.len() {
            0 => None,
            _ => Some(self.draw.one(&self.held).clone()),
        };
        match self.draw.below(10) {
            0 => None,
            1 => Some(self.draw.text(43)),
            2 => {
                let length = self.draw.below(60);
                Some(self.draw.text(length))
            }
            3 => held.map(|held| self.bent(&held)),
            4 => {
                let index = self.draw.below(1000);
                self.ground.books.some_dead(index)
            }
            5 | 6 => held,
            _ => self.held.last().cloned(),
        }
    }

    /// Almost the same.
    fn bent(&mut self, cookie: &str) -> String {
        let at = self.draw.below(cookie.len());
        let (before, after) = cookie.split_at(at);
        match self.draw.below(4) {
            0 => before.to_owned(),
            1 => format!("{before}A{after}"),
            2 => format!("{cookie}="),
            _ => {
                let other = if after.starts_with('B') { 'C' } else { 'B' };
                format!("{before}{other}{}", &after[1..])
            }
        }
    }

    fn sign_in(&mut self) -> Option<String> {
        let who = *self.draw.one(&[
            Person::Member,
            Person::Member,
            Person::Admin,
            Person::Outsider,
        ]);
        let before = self.cookie().filter(|_| self.draw.percent(30));
        let jump = self.draw.percent(5).then_some(LIMITS.lifetime);
        let hands = Arc::clone(&self.house.hands);
        let meanwhile = || {
            if let Some(jump) = jump {
                hands.set(hands.seconds().saturating_add(jump));
            }
        };
        let began = self
            .visitor
            .sign_in(&self.ground, who, before.as_deref(), meanwhile)?;
        let lie = self.fault.filter(|fault| LIES.contains(fault));
        assert_eq!(lie, None, "a session began on a lie");
        assert_eq!(jump, None, "a session began from an attempt that was over");
        assert_ne!(who, Person::Outsider, "a session began against the rules");
        self.tally.sessions += 1;
        self.held.push(began.clone());
        if let Some(before) = before {
            self.ask_with(("GET", "/windows", &[], true), &[&before]);
        }
        Some(began)
    }

    fn guarded(&mut self) {
        let asked = *self.draw.one(GUARDED);
        let mut sessions: Vec<String> = self.cookie().into_iter().collect();
        if self.draw.percent(5) {
            sessions.extend(self.cookie());
        }
        let sessions: Vec<&str> = sessions.iter().map(String::as_str).collect();
        self.ask_with(asked, &sessions);
    }

    fn ask_with(&mut self, (method, target, lines, looks_up): Guarded, sessions: &[&str]) {
        let asked = Asked {
            method,
            target,
            lines,
            sessions,
            looks_up,
        };
        let answer = self.visitor.ask(&self.ground, asked);
        let refused = answer.is_none_or(|answer| matches!(answer.status(), 303 | 400..));
        self.tally.refused += usize::from(refused);
    }

    fn open(&mut self) {
        let (method, target) = *self.draw.one(OPEN);
        let cookie = self.cookie();
        let sessions: Vec<&str> = cookie.as_deref().into_iter().collect();
        let asked = Asked {
            method,
            target,
            lines: &[],
            sessions: &sessions,
            looks_up: false,
        };
        self.visitor.ask(&self.ground, asked);
    }

    /// Two requests on one connection: what the first one proved is not the second one's.
    fn pair(&mut self) {
        let Ok(mut raw) = Raw::connect(self.ground.public) else {
            return;
        };
        for _ in 0..2 {
            let cookie = self.cookie();
            let sessions: Vec<&str> = cookie.as_deref().into_iter().collect();
            let asked = Asked {
                method: "GET",
                target: "/windows",
                lines: &[],
                sessions: &sessions,
                looks_up: true,
            };
            let answer = self.visitor.ask_on(&mut raw, &self.ground, asked);
            if answer.is_none() {
                return;
            }
        }
    }

    /// A device's sign-in, with something happening between its requests.
    fn register(&mut self) {
        self.walk_a_device_in();
        self.recover();
    }

    fn walk_a_device_in(&mut self) {
        let newest = self.held.last().cloned();
        let anything = self.cookie();
        let Some(cookie) = newest.filter(|_| self.draw.percent(80)).or(anything) else {
            return;
        };
        let origin = self.ground.url("/");
        let (mut target, mut cookies) = (format!("/register/{ID}"), Vec::new());
        for _ in 0..3 {
            let answer = self.hop(&target, &cookie, &cookies);
            let Some((answer, next)) = answer.and_then(|answer| {
                let location = origin.join(answer.header("location")?).ok()?;
                Some((answer, location))
            }) else {
                return;
            };
            self.tally.callbacks += usize::from(next.path() == "/oidc/callback");
            if next.origin() != origin.origin() {
                return;
            }
            cookies.extend(set_cookies(&answer));
            target = Url::parse(next.as_str()).map_or_else(
                |_| unreachable!("it was a URL"),
                |url| format!("{}?{}", url.path(), url.query().unwrap_or_default()),
            );
            match self.draw.below(8) {
                0 => drop(self.visitor.sign_out(&self.ground, &cookie)),
                1 => self.move_clock(),
                2 => self.panic_next(),
                _ => {}
            }
        }
    }

    fn hop(&mut self, target: &str, cookie: &str, others: &[(String, String)]) -> Option<Response> {
        let pairs: Vec<String> = others
            .iter()
            .filter(|(name, _)| !name.starts_with("headwarden"))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let line = format!("Cookie: {}", pairs.join("; "));
        let mut lines = NAVIGATION.to_vec();
        if !pairs.is_empty() {
            lines.push(&line);
        }
        let asked = Asked {
            method: "GET",
            target,
            lines: &lines,
            sessions: &[cookie],
            looks_up: false,
        };
        self.visitor.ask(&self.ground, asked)
    }

    fn sign_out(&mut self) {
        if let Some(cookie) = self.cookie() {
            self.visitor.sign_out(&self.ground, &cookie);
        }
    }

    /// The provider says that somebody signed out there, in earnest, again, or forged.
    fn departure(&mut self) {
        let who = *self
            .draw
            .one(&[Person::Member, Person::Member, Person::Admin]);
        let again = self.told.last().cloned();
        let again = again.filter(|_| self.draw.percent(20));
        let is_new = again.is_none();
        let token = again.unwrap_or_else(|| {
            let everywhere = json!({ "sid": null });
            let provider = &self.house.provider;
            provider.logout_token(who, &json!({}), &everywhere)
        });
        let url = self.ground.url("/.headwarden/backchannel-logout");
        let form = ["Content-Type: application/x-www-form-urlencoded".to_owned()];
        let body = format!("logout_token={token}");
        let bytes = request_to("POST", &url, &form, body.as_bytes());
        let answer = Raw::connect(self.ground.public).and_then(|mut raw| raw.exchange(&bytes));
        let Ok(answer) = answer else {
            // It may have been heard all the same.
            if is_new {
                self.ground.books.left(who);
            }
            return;
        };
        if answer.status() != 200 {
            return;
        }
        let forged = self.fault.filter(|fault| FORGED.contains(fault));
        assert_eq!(forged, None, "a forged token counted");
        assert!(!self.told.contains(&token), "a token counted twice");
        self.told.push(token);
        self.ground.books.left(who);
        self.tally.departures += 1;
        for held in self.held.clone() {
            self.ask_with(("GET", "/windows", &[], true), &[&held]);
        }
    }

    fn move_clock(&mut self) {
        let now = self.house.hands.seconds();
        let moved = match self.draw.below(30) {
            0 => 0,
            1 => YEAR_2100,
            2 => MORNING,
            3 => now.saturating_sub(LIMITS.idle / 2),
            4 => now.saturating_sub(10 * LIMITS.lifetime),
            5 => now.saturating_add(LIMITS.lifetime),
            6 => now.saturating_add(LIMITS.idle),
            7 => now.saturating_add(LIMITS.idle - 1),
            _ => now.saturating_add(self.draw.below(60) as u64),
        };
        self.house.hands.set(moved);
    }

    fn bend_provider(&mut self) {
        self.fault = match self.draw.below(10) {
            0..5 => Some(*self.draw.one(LIES)),
            5..8 => Some(*self.draw.one(TROUBLES)),
            _ => None,
        };
        let fault = self.fault;
        self.house.provider.set(|knobs| knobs.fault = fault);
        if self.draw.percent(20) {
            let key = *self.draw.one(&[Key::Rsa, Key::Ec]);
            self.house.provider.rotate_to(key);
        }
    }

    fn bend_headscale(&mut self) {
        match self.draw.below(10) {
            0 => self.house.wire.set(Mood::Closes),
            1 => self.house.wire.set(Mood::Babbles),
            2 => self.house.wire.set(Mood::Breaks),
            3 if self.draw.percent(30) => {
                // Each request waits for its timeout: one is enough.
                self.house.wire.set(Mood::Swallows);
                self.guarded();
                self.house.wire.set(Mood::Carries);
            }
            4 => self.house.headscale.script("/windows", Script::Close),
            5 => {
                let answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
                self.house
                    .headscale
                    .script("/windows", Script::Bytes(answer.to_vec()));
            }
            6 => {
                let version = *self
                    .draw
                    .one(&["v0.26.1", "v0.28.0", "v0.29.2", "v0.30.0", "?"]);
                let turn = |options: &mut Options| version.clone_into(&mut options.version);
                self.house.headscale.configure(turn);
            }
            _ => self.house.wire.set(Mood::Carries),
        }
    }

    /// One of the next readings of the clock, or uses of randomness, panics.
    fn panic_next(&mut self) {
        let after = i64::try_from(self.draw.below(6)).expect("it is small");
        if self.draw.percent(60) {
            self.house.hands.fail_after(after);
        } else {
            self.house.dice.fail_after(after);
        }
    }

    fn recover(&mut self) {
        let (hands, dice) = (&self.house.hands, &self.house.dice);
        hands.recover();
        dice.recover();
    }

    fn panic_within(&mut self) {
        self.panic_next();
        let clock = self.house.hands.is_about_to_fail();
        match self.draw.below(4) {
            0 => drop(self.sign_in()),
            1 => self.register(),
            2 => self.sign_out(),
            _ => self.guarded(),
        }
        let left = if clock {
            self.house.hands.is_about_to_fail()
        } else {
            self.house.dice.is_about_to_fail()
        };
        self.tally.panics += usize::from(!left);
        self.recover();
    }

    /// The process ends and another one begins, with the same key ring, a new one, or a broken one.
    fn restart(&mut self) {
        self.house.close();
        self.ground.books.all_ended();
        // What counted is forgotten with the sessions.
        self.told.clear();
        self.crowd = 0;
        self.fault = None;
        self.house.provider.mend();
        self.house.wire.set(Mood::Carries);
        let ring = self.house.key_ring().to_owned();
        match self.draw.below(3) {
            0 => {}
            1 => std::fs::remove_file(&ring).expect("it was there"),
            _ => self.fail_to_open(&ring),
        }
        self.house.open().expect("it starts again");
        self.tally.restarts += 1;
    }

    fn fail_to_open(&mut self, ring: &Path) {
        let good = std::fs::read(ring).expect("it is there");
        // The last two bytes are a bracket and the end of its line.
        let broken = &good[..self.draw.below(good.len() - 1)];
        std::fs::write(ring, broken).expect("it is ours");
        let refused = self.house.open();
        let refused = refused.expect_err("a broken key ring is not served with");
        assert_eq!(refused.exit_code(), 6, "{refused}");
        self.guarded();
        std::fs::write(ring, good).expect("it is ours");
    }

    /// Everything works again: then it really does, for somebody who signs in.
    fn calm(&mut self) {
        self.fault = None;
        self.house.provider.mend();
        self.house.wire.set(Mood::Carries);
        self.house.provider.rotate_to(Key::Rsa);
        // Later than ever before, by more than the wait between two fetches of the keys.
        self.latest = self.latest.max(self.house.hands.seconds()) + 600;
        self.house.hands.set(self.latest);
        if !self.is_roomy() {
            return;
        }
        let who = Person::Member;
        let before = self.ground.books.living();
        // A busy machine may make somebody wait too long. That is a timeout, and no refusal.
        let mut tries = (0..10).map(|_| self.visitor.sign_in(&self.ground, who, None, || {}));
        let Some(began) = tries.find_map(|began| began) else {
            let last = &self.visitor.last;
            panic!("nobody can sign in although nothing is wrong ({before} live): {last}");
        };
        self.held.push(began.clone());
        self.tally.sessions += 1;
        let asked = Asked {
            method: "GET",
            target: "/apple",
            lines: &[],
            sessions: &[&began],
            looks_up: true,
        };
        let timed_out = |answer: &Response| matches!(answer.status(), 502..=504);
        let mut answers = (0..10).map(|_| self.visitor.ask(&self.ground, asked));
        let answer = answers.find(|answer| answer.as_ref().is_none_or(|a| !timed_out(a)));
        let status = answer.flatten().map(|answer| answer.status());
        assert_eq!(status, Some(200), "{}", self.visitor.last);
        self.tally.calm += 1;
    }

    /// Nobody can have been pushed out of the store.
    fn is_roomy(&self) -> bool {
        self.crowd < self.capacity
    }
}

fn walk(index: u64, capacity: usize) {
    let _confession = Confession(format!("walk {index}"));
    let mut walk = Walk::begin(index, capacity);
    for number in 0..STEPS {
        walk.step(number);
    }
    walk.house.close();
    walk.judge();
    let tally = &walk.tally;
    let shown = [
        tally.forwarded,
        tally.refused,
        tally.sessions,
        tally.departures,
    ];
    assert!(
        shown.iter().all(|count| *count > 0),
        "too quiet a walk: {tally:?}"
    );
    println!("walk {index}: {tally:?}");
}

#[test]
fn nothing_is_forwarded_without_a_session_whatever_fails_in_a_roomy_house() {
    for index in 0..3 {
        walk(index, 10_000);
    }
}

#[test]
fn nothing_is_forwarded_without_a_session_whatever_fails_in_a_house_for_two() {
    for index in 100..103 {
        walk(index, 2);
    }
}
