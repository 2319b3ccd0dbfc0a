//! Whoever reads a target behind us decides as we did: the door and the `access` rules of the bytes
//! that were judged are those of what each reader makes of them. What readers disagree on is refused.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::super::access::{Found, walk};
use super::super::methods::Methods;
use super::super::path::readers::{CARELESS, STRICT};
use super::*;

const ID: &str = "hskey-authreq-0123456789abcdef01234567";

/// What an operator opened.
const OPENED: [(&str, &str); 4] = [
    ("GET", "/public/page"),
    ("GET", "/logo@2x.png"),
    ("GET", "/caf%C3%A9"),
    ("GET", "/a%20b"),
];

/// An operator's rules, in their order.
const RULES: [&str; 7] = [
    "/ui/admin/**",
    "/ui/a@b/**",
    "/ui/one/*",
    "/ui/page",
    "/ui/caf%C3%A9/**",
    "/ui/**",
    "/register/**",
];

fn opened() -> Vec<OpenPath> {
    let path = |(method, path): (&str, &str)| OpenPath {
        method: method.to_owned(),
        path: path.to_owned(),
    };
    OPENED.map(path).to_vec()
}

/// What is decided about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Decision {
    door: Door,
    /// The rule it is routed by.
    rule: Option<usize>,
    /// The rules whose groups and users are asked for.
    asks: Vec<usize>,
}

impl Decision {
    /// `None` where the target is refused.
    fn on(method: &str, target: &str, upgrade: Option<&str>, open: &[OpenPath]) -> Option<Self> {
        let target = Target::parse(target.as_bytes()).ok()?;
        let asked = Asked {
            method,
            target: &target,
            upgrade,
        };
        let mut asks = Vec::new();
        let rules = RULES.into_iter().map(|pattern| (pattern, Methods::ALL));
        let rule = walk(&rules, method, target.path(), |place| {
            asks.push(place);
            Ok::<(), Infallible>(())
        });
        asks.sort_unstable();
        asks.dedup();
        Some(Self {
            door: decide(&asked, open),
            rule: match rule {
                Ok(Found::Rule(place)) => Some(place),
                Ok(Found::Nothing | Found::OtherMethods(_)) => None,
                Err(never) => match never {},
            },
            asks,
        })
    }

    /// Passes without a session.
    fn lets_anyone_in(&self) -> bool {
        match self.door {
            Door::Machine(_) | Door::Open | Door::NoContent | Door::Verify => true,
            Door::Own(_) | Door::Api(_) | Door::ApiDocs | Door::Guarded(_) | Door::Closed => false,
        }
    }
}

/// Paths that have a meaning here, their beginnings and their neighbours.
const STEMS: [&str; 40] = [
    "ts2021",
    "ts2021",
    "ts2021",
    "derp",
    "derp",
    "derp",
    "derp/probe",
    "derp/latency-check",
    "key",
    "health",
    "bootstrap-dns",
    "verify",
    "machine/ping-response",
    "generate_204",
    "register",
    "register/confirm",
    "auth",
    "oidc/callback",
    "oidc/register",
    "api/v1",
    "api/v1/docs",
    "api/v2/oauth/token",
    "api/v2",
    "swagger",
    "metrics",
    "debug",
    ".headwarden",
    ".headwarden/logout",
    "public/page",
    "public",
    "logo@2x.png",
    "a%20b",
    "ui",
    "ui/admin",
    "ui/a@b",
    "ui/one",
    "ui/page",
    "windows",
    "a",
    ID,
];

/// What readers have stumbled over.
const HOSTILE: [&str; 62] = [
    "..",
    ".",
    "...",
    "../",
    "/..",
    "/../",
    "/./",
    "//",
    "/.//",
    "%2e",
    "%2E",
    "%2e%2e",
    "%2e%2e%2f",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    "\\..\\",
    "..\\",
    "..;",
    "..;/",
    ";",
    ";x=1",
    "/;/",
    ";/../",
    "%3b",
    "%00",
    "%0a",
    "%0d%0a",
    "%09",
    "%20",
    "%20/",
    ".%20",
    "%23",
    "#",
    "?",
    "%3f",
    "%3F",
    "?/../",
    "%25",
    "%252e",
    "%252f",
    "%25252f",
    "%",
    "%z",
    "%u002e",
    "%c0%ae",
    "%c0%af",
    "%e0%80%ae",
    "%ef%bc%8f",
    "%ef%bc%8e",
    "%e2%80%a4",
    "%e3%80%82",
    "%ad",
    "\t",
    " ",
    "é",
    "\u{ff0f}",
    "^",
    "|",
    "\"<>",
    "*",
];

/// What is harmless, and yet written in more than one way.
const PLAIN: [&str; 20] = [
    "a",
    "B",
    "0",
    "-",
    "_",
    "~",
    "@",
    "%40",
    ",",
    "%2C",
    "%2c",
    "+",
    "%2B",
    "!",
    "%C3%A9",
    "%c3%a9",
    "%E6%97%A5",
    "%3F",
    "x",
    "Admin",
];

fn stem() -> impl Strategy<Value = String> {
    let chosen = proptest::sample::select(STEMS.to_vec());
    // Some letter in another case, or escaped though it needs no escape.
    (chosen, 0..12_u8, any::<prop::sample::Index>()).prop_map(|(stem, change, at)| {
        let at = at.index(stem.len());
        let (head, tail) = stem.split_at(at);
        let mut letters = tail.chars();
        match (change, letters.next()) {
            (0, Some(letter)) => format!("{head}%{:02x}{}", u32::from(letter), letters.as_str()),
            (1, Some(letter)) => {
                format!("{head}{}{}", letter.to_ascii_uppercase(), letters.as_str())
            }
            _ => stem.to_owned(),
        }
    })
}

/// A target of up to five pieces; most pieces are ordinary, so that many targets are.
fn target() -> impl Strategy<Value = String> {
    let hostile = proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned);
    let plain = proptest::sample::select(PLAIN.to_vec()).prop_map(str::to_owned);
    let separator = Just("/".to_owned());
    let piece = prop_oneof![3 => stem(), 2 => plain, 3 => separator, 2 => hostile];
    let ordinary = proptest::collection::vec(
        prop_oneof![3 => stem(), 1 => proptest::sample::select(PLAIN.to_vec()).prop_map(str::to_owned)],
        1..4,
    );
    let query = proptest::option::weighted(0.2, "[ -~]{0,8}");
    let path = prop_oneof![
        2 => proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat()),
        1 => ordinary.prop_map(|segments| segments.join("/")),
        1 => stem(),
    ];
    (path, query).prop_map(|(path, query)| match query {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    })
}

fn methods() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["GET", "GET", "HEAD", "POST", "OPTIONS", "PUT"])
}

fn upgrades() -> impl Strategy<Value = Option<&'static str>> {
    let tokens = vec!["tailscale-control-protocol", "DERP", "websocket", "h2c"];
    proptest::option::weighted(0.4, proptest::sample::select(tokens))
}

const CASES: u32 = 24_000;

fn run(
    strategy: impl Strategy<Value = (String, &'static str, Option<&'static str>)>,
    check: impl Fn(&str, &str, Option<&str>) -> Result<(), TestCaseError>,
) {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(CASES)
    };
    TestRunner::new(config)
        .run(&strategy, |(raw, method, upgrade)| {
            check(&raw, method, upgrade)
        })
        .unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn every_reader_decides_as_we_did() {
    let open = opened();
    let refused = Cell::new(0_u32);
    let doors: RefCell<BTreeMap<&str, u32>> = RefCell::default();
    run((target(), methods(), upgrades()), |raw, method, upgrade| {
        let Some(ours) = Decision::on(method, raw, upgrade, &open) else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        let kind = ours.rule.map_or(ours.door.label(), |_| "ruled");
        *doors.borrow_mut().entry(kind).or_default() += 1;
        for (name, read) in STRICT {
            // A reader that refuses acts on nothing.
            if let Some(path) = read(raw) {
                let theirs = Decision::on(method, &path, upgrade, &open);
                prop_assert_eq!(
                    theirs.as_ref(),
                    Some(&ours),
                    "{} reads {:?} as {:?}",
                    name,
                    raw,
                    path
                );
            }
        }
        Ok(())
    });
    // All of it would hold, too, if nothing were let in.
    let doors = doors.into_inner();
    let accepted: u32 = doors.values().sum();
    assert!(
        accepted >= CASES / 4,
        "only {accepted} of {CASES} were let in"
    );
    assert!(
        refused.get() >= CASES / 4,
        "only {} were refused",
        refused.get()
    );
    for (kind, least) in [
        ("machine", 15),
        ("open", 200),
        ("own", 100),
        ("api", 200),
        ("guarded", 1000),
        ("closed", 200),
        ("ruled", 500),
    ] {
        let drawn = doors.get(kind).copied().unwrap_or_default();
        assert!(drawn >= least, "{kind} was drawn {drawn} times: {doors:?}");
    }
}

#[test]
fn a_careless_reader_gives_nothing_away_that_was_not_asked_for() {
    let open = opened();
    let misread = Cell::new(0_u32);
    run((target(), methods(), upgrades()), |raw, method, upgrade| {
        let Some(ours) = Decision::on(method, raw, upgrade, &open) else {
            return Ok(());
        };
        for (name, read) in CARELESS {
            let Some(path) = read(raw) else { continue };
            let Some(theirs) = Decision::on(method, &path, upgrade, &open) else {
                return Err(TestCaseError::fail(format!(
                    "{name} reads {raw:?} as {path:?}"
                )));
            };
            misread.set(misread.get() + u32::from(theirs != ours));
            // Who came in without a session got what anyone gets.
            prop_assert!(
                !ours.lets_anyone_in() || theirs.door == ours.door,
                "{} reads {:?}, which is open, as {:?}",
                name,
                raw,
                path
            );
            // Whatever a rule asks for there was asked for here.
            prop_assert!(
                theirs.rule.is_none_or(|rule| ours.asks.contains(&rule)),
                "{} reads {:?}, for which {:?} are asked, as {:?}",
                name,
                raw,
                ours.asks,
                path
            );
        }
        Ok(())
    });
    assert!(misread.get() >= 400, "only {} were misread", misread.get());
}
