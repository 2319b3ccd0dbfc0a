//! B: header fields that claim what only we may say.

#[path = "fields/names.rs"]
pub(crate) mod names;

use std::fmt::Write as _;

use names::{BELIEVED, spellings};

use crate::faulty_provider::Person as Account;
use crate::framing::place::{CREW, KEY, NO_LIMITS, Place};
use crate::stage::{HTML, SAME_ORIGIN, SESSION, Stage, request, seen, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options, Script};
use crate::support::house::{House, More};
use crate::support::raw::{Raw, Response};
use crate::support::tailnet::AUTH_ID;

/// What a client writes, and nobody may read.
const FORGED: &str = "f0rged";
/// Fields a head may hold beside those that a way needs.
const AT_ONCE: usize = 80;

impl Place {
    /// Asks on a connection of its own, and gives back what an upstream saw of it: its head.
    fn pass(&self, method: &str, target: &str, lines: &[&str], row: &str) -> (Response, String) {
        let tag = format!("X-Row: {row}");
        let lines = [lines, &[&tag]].concat();
        let bytes = request(&self.stage.house, method, target, &lines);
        let answer = self.connect().exchange(&bytes);
        let answer = answer.unwrap_or_else(|error| panic!("{method} {target} {lines:?}: {error}"));
        let mut heads: Vec<String> = seen(&self.stage.headscale, row)
            .iter()
            .map(|seen| String::from_utf8_lossy(&seen.head).into_owned())
            .collect();
        let of_ui = self.ui.asked().into_iter().filter(|asked| {
            let tag = asked.fields.value("x-row");
            tag == Some(row)
        });
        heads.extend(of_ui.map(|asked| {
            let lines = asked.fields.0.iter();
            let lines = lines.map(|(name, value)| format!("{name}: {value}\r\n"));
            format!("{}\r\n{}", asked.line, lines.collect::<String>())
        }));
        let [head] = &heads[..] else {
            panic!("{method} {target} {row}: {} upstream requests", heads.len())
        };
        (answer, head.clone())
    }
}

fn raw(answer: &Response) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    format!("{}{body}", String::from_utf8_lossy(&answer.head.raw))
}

#[test]
fn no_spelling_of_a_name_that_somebody_believes_leads_to_an_upstream_or_back() {
    let place = Place::start(NO_LIMITS);
    let all: Vec<String> = BELIEVED
        .iter()
        .flat_map(|name| spellings(name))
        .map(|name| format!("{name}: {FORGED}"))
        .collect();
    for (at, (method, target, lines)) in place.ways().into_iter().enumerate() {
        // A third of them on each way, another third on the next: every door sees every class.
        let mine = all.iter().skip(at % 3).step_by(3).map(String::as_str);
        let mine: Vec<&str> = mine.collect();
        for (part, forged) in mine.chunks(AT_ONCE).enumerate() {
            let lines = [&lines[..], forged].concat();
            let (answer, head) = place.pass(method, target, &lines, &format!("{at}-{part}"));
            assert!(answer.status() < 500, "{method} {target}: {}", raw(&answer));
            assert!(!head.contains(FORGED), "{method} {target}:\n{head}");
            assert!(!raw(&answer).contains(FORGED), "{method} {target}");
        }
    }
}

#[test]
fn a_name_that_one_rule_tells_its_upstream_comes_from_no_client_on_any_door() {
    let place = Place::start(NO_LIMITS);
    let session = place.session.as_str();
    let crew = [
        ("GET", "/crew/page", vec![session]),
        ("POST", "/crew/form", vec![session, "Content-Length: 0"]),
    ];
    let plain = CREW;
    let mut said: Vec<String> = spellings(CREW)
        .iter()
        .map(|name| format!("{name}: {FORGED}"))
        .collect();
    said.push(format!("{plain}: {FORGED}, {FORGED}"));
    said.push(format!("{plain}:{FORGED}"));
    for (at, (method, target, lines)) in place.ways().into_iter().chain(crew).enumerate() {
        let upgrades = lines.iter().any(|line| line.starts_with("Connection: "));
        let nominated = (!upgrades).then_some("Connection: keep-alive, X-Crew");
        let said = said.iter().map(String::as_str).chain(nominated);
        let lines: Vec<&str> = lines.iter().copied().chain(said).collect();
        let (answer, head) = place.pass(method, target, &lines, &at.to_string());
        assert!(!head.contains(FORGED), "{method} {target}:\n{head}");
        assert!(!raw(&answer).contains(FORGED), "{method} {target}");
        let told = head.to_lowercase().matches("\r\nx-crew: ").count();
        assert_eq!(
            told,
            usize::from(target.starts_with("/crew/")),
            "{target}:\n{head}"
        );
    }
}

#[test]
fn a_name_said_twice_joined_or_in_two_cases_is_as_gone_as_said_once() {
    let place = Place::start(NO_LIMITS);
    for (at, (method, target, lines)) in place.ways().into_iter().enumerate() {
        for (part, names) in BELIEVED.chunks(25).enumerate() {
            let said: Vec<String> = names
                .iter()
                .flat_map(|name| {
                    [
                        format!("{name}: {FORGED}, {FORGED}"),
                        format!("{}: a,{FORGED}", name.to_uppercase()),
                        format!("{}:{FORGED}", name.to_lowercase()),
                    ]
                })
                .collect();
            let said: Vec<&str> = said.iter().map(String::as_str).collect();
            let lines = [&lines[..], &said].concat();
            let (answer, head) = place.pass(method, target, &lines, &format!("{at}-{part}"));
            assert!(!head.contains(FORGED), "{method} {target}:\n{head}");
            assert!(!raw(&answer).contains(FORGED), "{method} {target}");
        }
    }
}

#[test]
fn what_clients_need_passes_on_every_door_as_it_was_sent() {
    let place = Place::start(NO_LIMITS);
    let needed = [
        "Accept: application/json;q=0.9, */*",
        "Accept-Language: de",
        "User-Agent: Go-http-client/1.1",
        "Idempotency-Key: 1",
        "Ideal-Node: 900a",
        "If-None-Match: W/\"a\"",
        "Sec-Fetch-User: ?1",
        "X-Requested-With: XMLHttpRequest",
        "X-CSRF-Token: t",
        "X-Auth: a",
        "X-API-Key: a",
        "HX-Current-URL: https://x/",
        "Next-Router-State-Tree: %5B%5D",
        "X-Tailscale-Challenge: c",
        "Traceparent: 00-0-0-00",
    ];
    for (at, (method, target, lines)) in place.ways().into_iter().enumerate() {
        let lines = [&lines[..], &needed].concat();
        let (_, head) = place.pass(method, target, &lines, &at.to_string());
        let head = head.to_lowercase();
        for line in needed {
            let (name, value) = line.split_once(": ").unwrap();
            let line = format!("\r\n{}: {}\r\n", name.to_lowercase(), value.to_lowercase());
            assert!(head.contains(&line), "{method} {target} {line:?}:\n{head}");
        }
    }
}

#[test]
fn a_connection_field_takes_nothing_of_ours_along_on_any_door() {
    let place = Place::start(NO_LIMITS);
    // pingora takes fewer than ten at a time.
    let first = "Connection: cookie, content-length, authorization, transfer-encoding, x-hop, TE";
    let second = "Connection: True-Client-IP, X-Real-IP, X-Request-Id, Remote-User, Remote-Groups, \
                  Keep-Alive, Proxy-Connection, Trailer, X-Hop";
    let hops = [
        "X-Hop: f0rged",
        "TE: trailers, f0rged",
        "Keep-Alive: f0rged",
        "Proxy-Connection: f0rged",
        "Trailer: f0rged",
    ];
    for nominated in [first, second] {
        for (at, (method, target, lines)) in place.ways().into_iter().enumerate() {
            let plain = lines.iter().filter(|line| !line.contains("Content-Length"));
            let lines: Vec<&str> = plain.copied().chain(hops).chain([nominated]).collect();
            let row = format!("{}{at}", nominated.len());
            let (_, head) = place.pass(method, target, &lines, &row);
            let lower = head.to_lowercase();
            assert!(!head.contains(FORGED), "{method} {target}:\n{head}");
            for name in ["host", "true-client-ip", "x-real-ip", "x-forwarded-for"] {
                let line = format!("\r\n{name}: ");
                assert_eq!(lower.matches(&line).count(), 1, "{target} {name}:\n{head}");
            }
            if target.starts_with("/ui/") && !target.ends_with("open") {
                assert!(lower.contains("\r\nremote-user: "), "{target}:\n{head}");
            }
            if target.starts_with("/api/") {
                // A key that the caller nominated is the caller's loss.
                let lost = lines.contains(&KEY) && nominated == first;
                let key = "\r\nauthorization: bearer hskey-api-standin";
                assert_eq!(lower.contains(key), !lost, "{target}:\n{head}");
            }
        }
    }
}

#[test]
fn what_connection_may_not_take_is_a_400_and_on_a_tunnel_it_stays() {
    let place = Place::start(NO_LIMITS);
    for name in [
        "Host",
        "X-Forwarded-For",
        "x-forwarded-host",
        "X-FORWARDED-PROTO",
    ] {
        let line = format!("Connection: Upgrade, {name}");
        for (at, (method, target, lines)) in place.ways().into_iter().enumerate() {
            let tunnel = matches!(target, "/ts2021" | "/derp");
            let row = format!("{name}-{at}");
            let lines: Vec<&str> = lines
                .into_iter()
                .filter(|line| !line.starts_with("Connection"))
                .chain([line.as_str()])
                .collect();
            if tunnel {
                let (answer, head) = place.pass(method, target, &lines, &row);
                assert_eq!(answer.status(), 101, "{target}");
                let kept = format!("\r\n{}: ", name.to_lowercase());
                assert!(head.to_lowercase().contains(&kept), "{name}:\n{head}");
                continue;
            }
            let tag = format!("X-Row: {row}");
            let lines = [&lines[..], &[&tag]].concat();
            let bytes = request(&place.stage.house, method, target, &lines);
            let answer = place.connect().exchange(&bytes).unwrap();
            assert_eq!(answer.status(), 400, "{method} {target} {name}");
            assert!(seen(&place.stage.headscale, &row).is_empty());
            assert!(!place.ui.heard(&tag));
        }
    }
}

/// Requests that we answer ourselves, and what with.
fn own_answers(session: &str) -> Vec<(&'static str, &'static str, Vec<&str>, u16)> {
    vec![
        ("GET", "/", vec![HTML], 303),
        ("GET", "/windows", vec![], 401),
        ("HEAD", "/windows", vec![], 401),
        ("OPTIONS", "/windows", vec![], 401),
        (
            "OPTIONS",
            "/api/v1/user",
            vec![
                "Origin: https://evil.example",
                "Access-Control-Request-Method: PUT",
                "Access-Control-Request-Headers: remote-user",
            ],
            401,
        ),
        ("GET", "/api/v1/user", vec![], 401),
        ("GET", "/metrics", vec![HTML], 404),
        ("GET", "/metrics", vec![], 404),
        ("GET", "/generate_204", vec![], 204),
        ("GET", "/.headwarden/sign-in", vec![HTML], 303),
        ("GET", "/.headwarden/logout", vec![HTML], 200),
        ("GET", "/.headwarden/signed-out", vec![HTML], 200),
        ("GET", "/.headwarden/authorize", vec![HTML, session], 400),
        ("GET", "/oidc/callback?state=hw1.x&code=a", vec![HTML], 400),
        ("GET", "/oidc/callback", vec![HTML], 400),
        ("PUT", "/.headwarden/logout", vec!["Content-Length: 0"], 405),
        ("GET", "/windows", vec![session, "Connection: host"], 400),
        ("GET", "/%2e%2e/", vec![], 400),
        ("GET", "/a#b", vec![], 400),
    ]
}

#[test]
fn no_answer_of_ours_repeats_a_field_or_sets_one_for_a_stranger() {
    let place = Place::start(NO_LIMITS);
    let forged: Vec<String> = BELIEVED
        .iter()
        .map(|name| format!("{name}: {FORGED}"))
        .collect();
    for (method, target, lines, status) in own_answers(&place.session) {
        for forged in forged.chunks(AT_ONCE) {
            let forged: Vec<&str> = forged.iter().map(String::as_str).collect();
            let lines = [&lines[..], &forged].concat();
            let bytes = request(&place.stage.house, method, target, &lines);
            let answer = place.connect().exchange(&bytes).unwrap();
            let text = raw(&answer);
            assert_eq!(answer.status(), status, "{method} {target}: {text}");
            assert!(!text.contains(FORGED), "{method} {target}: {text}");
            for name in ["access-control-allow-origin", "remote-user", "x-real-ip"] {
                assert_eq!(answer.header(name), None, "{method} {target} {name}");
            }
        }
    }
}

#[test]
fn trailers_bring_no_field_to_any_upstream() {
    let place = Place::start(NO_LIMITS);
    let trailers = "Remote-User: f0rged\r\nX-Forwarded-For: f0rged\r\nCookie: f0rged\r\n\
                    Authorization: f0rged\r\nContent-Length: 5\r\nHost: f0rged\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked";
    let announced = "Trailer: Remote-User, X-Forwarded-For, Cookie, Host";
    for (at, (method, target, lines)) in [
        ("POST", "/ui/form", vec![place.session.as_str()]),
        ("GET", "/ui/open", vec![]),
        (
            "POST",
            "/ui/form",
            vec![place.session.as_str(), "TE: trailers", announced],
        ),
        ("GET", "/ui/open", vec![announced]),
    ]
    .into_iter()
    .enumerate()
    {
        let tag = format!("X-Row: {at}");
        let lines = [&lines[..], &[chunked, &tag]].concat();
        let mut bytes = request(&place.stage.house, method, target, &lines);
        bytes.extend_from_slice(format!("2\r\nhi\r\n0\r\n{trailers}").as_bytes());
        // The connection is as good as new: what follows is the next request, and that only.
        let follows = request(&place.stage.house, "GET", "/ui/page", &["X-Row: follows"]);
        let mut raw = place.connect();
        let answer = raw.exchange(&bytes).unwrap();
        assert_eq!(answer.status(), 200, "{target}");
        assert_eq!(raw.exchange(&follows).unwrap().status(), 401, "{target}");
        let asked = place.ui.asked();
        assert_eq!(asked.last().unwrap().body, b"hi", "{target}");
    }
    assert!(!place.ui.heard(FORGED), "a trailer reached the upstream");
    assert!(!place.ui.heard("trailer"), "nor its announcement");
    assert!(!place.ui.heard("follows"));
    assert_eq!(place.ui.asked().len(), 4);
}

#[test]
fn headscales_callback_gets_its_own_cookies_and_nothing_else_of_the_client() {
    let place = Place::start_signing_in("own", NO_LIMITS);
    let forged: Vec<String> = BELIEVED
        .iter()
        .flat_map(|name| spellings(name))
        .map(|name| format!("{name}: {FORGED}"))
        .collect();
    let target = "/oidc/callback?state=headscales&code=abc";
    let value = place.session.strip_prefix("Cookie: ").unwrap();
    let cookies = format!(
        "Cookie: theme=dark; state_abc=1; {value}; nonce_abc=2; headwarden-login-a=b; statex=1"
    );
    for (part, forged) in forged.chunks(AT_ONCE).enumerate() {
        let forged = forged.iter().map(String::as_str);
        let lines: Vec<&str> = [cookies.as_str(), KEY].into_iter().chain(forged).collect();
        let (answer, head) = place.pass("GET", target, &lines, &part.to_string());
        assert!(!head.contains(FORGED), "{head}");
        assert!(!raw(&answer).contains(FORGED));
        let lower = head.to_lowercase();
        assert!(
            lower.contains("\r\ncookie: state_abc=1; nonce_abc=2\r\n"),
            "{head}"
        );
        assert!(!lower.contains("authorization"), "{head}");
    }
}

#[test]
fn a_malformed_field_ends_the_connection_on_every_door() {
    let place = Place::start(NO_LIMITS);
    let fields: &[&[u8]] = &[
        b"Remote-User : a",
        b"Remote-User\t: a",
        b" Remote-User: a",
        b"\tRemote-User: a",
        b"X-A: b\r\n Remote-User: a",
        b"X-A: b\r\n\tRemote-User: a",
        b"X-A: b\nRemote-User: a",
        b"X-A: b\rRemote-User: a",
        b"X-A: b\r\r\nRemote-User: a",
        b"X-A: b\0c",
        b"X-A: b\x0bc",
        b"X-A: b\x0cc",
        b"X-A: b\x7fc",
        b"X-A: b\x01c",
        b": a",
        b"Remote-User",
        b"Remote User: a",
        b"Remote-User\x80: a",
        b"Remote-User\xc2\xa0: a",
        b"(Remote-User): a",
        b"\"Remote-User\": a",
        b"Remote-User\0: a",
        b"Remote\r-User: a",
        b"@: a",
        b"X[]: a",
    ];
    let host = place.host();
    for (method, target, lines) in place.ways() {
        for field in fields {
            let shown = field.escape_ascii();
            let first = format!("{method} {target} HTTP/1.1\r\n{host}\r\n");
            let last = format!("X-Row: malformed\r\n{}\r\n\r\n", lines.join("\r\n"));
            let bytes = [first.as_bytes(), field, b"\r\n", last.as_bytes()].concat();
            let mut raw = place.connect();
            raw.send(&bytes).unwrap();
            let answer = raw.read_response("GET");
            let answer = answer.unwrap_or_else(|error| panic!("{shown} {target}: {error}"));
            assert_eq!(answer.status(), 400, "{shown} on {method} {target}");
            assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{shown}");
        }
    }
    assert!(seen(&place.stage.headscale, "malformed").is_empty());
    assert!(!place.ui.heard("malformed"));
}

#[test]
fn our_cookies_reach_no_upstream_and_others_stay_as_they_are() {
    let place = Place::start(NO_LIMITS);
    let ours = place.session.strip_prefix("Cookie: ").unwrap();
    let id = ours.split_once('=').unwrap().1.to_owned();
    let login = "headwarden-login-AAAAAAAA=s3aled";
    // What a person's browser may hold, and what is left of it.
    for (at, (sent, left)) in [
        (format!("{ours}; {login}"), None),
        (format!("a=1; {ours}; b=2"), Some("a=1; b=2")),
        (format!("a=1;{ours};b=2"), Some("a=1;b=2")),
        (format!("a=1;;  {ours} ;; b=2"), Some("a=1;;; b=2")),
        (format!("{ours}; a=\"q; {login}; x\""), Some("a=\"q; x\"")),
        (format!("{ours}; a=1=2==; b"), Some("a=1=2==; b")),
        (format!("\t{ours}\t; a=1"), Some("a=1")),
        (
            format!("{ours}; headwarden_0=1; headwarden.sig=2"),
            Some("headwarden_0=1; headwarden.sig=2"),
        ),
        (
            format!("{ours}; Headwarden-Login-=s3aled; HEADWARDEN-LOGIN-x=s3aled; a=1"),
            Some("a=1"),
        ),
        (
            format!("{ours}; __Host-headwarden=old; __Secure-x=1"),
            Some("__Host-headwarden=old; __Secure-x=1"),
        ),
        (format!("{ours}; a=\u{e9}"), Some("a=\u{e9}")),
    ]
    .into_iter()
    .enumerate()
    {
        for target in ["/windows", "/ui/page"] {
            let line = format!("Cookie: {sent}");
            let (answer, head) = place.pass("GET", target, &[&line], &format!("{target}{at}"));
            assert_eq!(answer.status(), 200, "{sent}");
            assert!(
                !head.contains(&id) && !head.contains("s3aled"),
                "{sent}:\n{head}"
            );
            let cookies: Vec<&str> = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
                .map(|(_, value)| value)
                .collect();
            assert_eq!(cookies, left.into_iter().collect::<Vec<_>>(), "{sent}");
        }
    }
    // In several fields: each is looked at by itself.
    let lines = [
        "Cookie: a=1",
        &place.session,
        "Cookie: b=2; headwarden-login-x=s3aled",
    ];
    let (_, head) = place.pass("GET", "/ui/page", &lines, "several");
    assert!(head.contains("a=1") && head.contains("b=2"), "{head}");
    assert!(!head.contains(&id) && !head.contains("s3aled"), "{head}");
    // Doors that carry no identity pass none, whoever is there.
    for (at, (method, target, lines)) in place.ways().into_iter().enumerate() {
        if lines.contains(&place.session.as_str()) && !target.starts_with("/api/") {
            continue;
        }
        let cookies = format!("Cookie: a=1; {ours}; {login}");
        let lines: Vec<&str> = lines
            .into_iter()
            .filter(|line| !line.starts_with("Cookie"))
            .chain([cookies.as_str()])
            .collect();
        let (_, head) = place.pass(method, target, &lines, &format!("none-{at}"));
        assert!(
            !head.to_lowercase().contains("\r\ncookie:"),
            "{target}:\n{head}"
        );
    }
}

/// `Set-Cookie` values that a browser would take for one of ours, or that are nobody's business.
const PLANTED: &[&str] = &[
    "headwarden=planted",
    "headwarden=planted; Path=/; HttpOnly",
    "Headwarden=planted; Path=/",
    "HEADWARDEN=planted",
    " headwarden=planted",
    "\theadwarden\t=planted",
    "headwarden =planted",
    "headwarden= planted; Max-Age=0",
    "headwarden=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    "headwarden; Path=/planted",
    "headwarden",
    "=headwarden=planted",
    "= headwarden=planted",
    "=planted",
    " =planted",
    ";headwarden=planted",
    "headwarden-login-AAAAAAAA=planted",
    "Headwarden-Login-AAAAAAAA=planted; Path=/oidc/callback",
    "headwarden-login-=planted",
    "headwarden-login-planted",
    "headwarden=\"planted\"",
    "headwarden=planted; Domain=127.0.0.1; Path=/ui",
];
const HARMLESS: &[&str] = &[
    "theme=dark; Path=/",
    "a=headwarden=x",
    "headwardenx=1",
    "xheadwarden=1; SameSite=None",
    "\"headwarden\"=1",
    "__Secure-ui=1; Secure",
    "session=\"a; b\"",
];
/// Headscale's own; from nobody else.
const HEADSCALES: &[&str] = &[
    "state_abcdef=1; Path=/oidc/callback",
    "nonce_abcdef=1",
    "State=1",
    "headscale_register_confirm=1",
    "__Host-other=1; Secure; Path=/",
    "__HOST-other=1",
];

fn setting(status: &str, body: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (at, cookie) in PLANTED.iter().chain(HARMLESS).chain(HEADSCALES).enumerate() {
        let name = ["Set-Cookie", "set-cookie", "SET-COOKIE"][at % 3];
        let _ = write!(head, "{name}: {cookie}\r\n");
    }
    format!("{head}{body}").into_bytes()
}

const OK_BODY: &str = "Content-Length: 2\r\n\r\nok";

#[test]
fn an_upstream_cannot_plant_a_cookie_of_ours_in_any_answer() {
    let place = Place::start(NO_LIMITS);
    let harmless: Vec<&str> = HARMLESS.to_vec();
    let with_headscales = [HARMLESS, HEADSCALES].concat();
    for status in [
        "200 OK",
        "302 Found",
        "404 Not Found",
        "500 Internal Server Error",
    ] {
        let answer = setting(status, OK_BODY);
        place.ui.answer("/ui/page", &answer);
        place.ui.answer("/ui/open", &answer);
        for (target, lines, kept) in [
            ("/ui/page", vec![place.session.as_str()], &harmless),
            ("/ui/open", vec![], &harmless),
            ("/windows", vec![place.session.as_str()], &with_headscales),
            ("/key", vec![], &with_headscales),
            ("/api/v1/user", vec![KEY], &with_headscales),
            (
                "/api/v1/user",
                vec![place.session.as_str(), SAME_ORIGIN],
                &with_headscales,
            ),
        ] {
            place
                .stage
                .headscale
                .script(target, Script::Bytes(answer.clone()));
            let bytes = request(&place.stage.house, "GET", target, &lines);
            let answer = place.connect().exchange(&bytes).unwrap();
            assert_eq!(
                answer.head.fields.values("set-cookie"),
                *kept,
                "{target} {status}"
            );
            assert!(!raw(&answer).contains("planted"), "{target}");
        }
    }
}

#[test]
fn an_interim_answer_plants_nothing_and_the_final_one_arrives() {
    let place = Place::start(NO_LIMITS);
    let interim = [
        setting("103 Early Hints", "Link: </a.css>; rel=preload\r\n\r\n"),
        b"HTTP/1.1 102 Processing\r\nSet-Cookie: headwarden=planted\r\n\r\n".to_vec(),
        b"HTTP/1.1 100 Continue\r\nSet-Cookie: headwarden=planted\r\n\r\n".to_vec(),
        b"HTTP/1.1 199 Odd\r\nSet-Cookie: headwarden=planted\r\n\r\n".to_vec(),
    ]
    .concat();
    let whole = [&interim[..], b"HTTP/1.1 200 OK\r\n", OK_BODY.as_bytes()].concat();
    for (target, lines) in [
        ("/ui/page", vec![place.session.as_str()]),
        ("/ui/open", vec![]),
        ("/windows", vec![place.session.as_str()]),
        ("/key", vec![]),
    ] {
        place.ui.answer(target, &whole);
        place
            .stage
            .headscale
            .script(target, Script::Bytes(whole.clone()));
        let mut raw = place.connect();
        raw.send(&request(&place.stage.house, "GET", target, &lines))
            .unwrap();
        let head = raw.read_head().unwrap();
        assert_eq!(head.status, 200, "{target}: an interim answer came through");
        assert_eq!(raw.read_body("GET", &head).unwrap(), b"ok", "{target}");
        let head = String::from_utf8_lossy(&head.raw);
        assert!(!head.contains("planted"), "{target}: {head}");
    }
    // Even when nothing follows, there is an answer.
    place
        .stage
        .headscale
        .script("/windows", Script::Bytes(interim.clone()));
    let bytes = request(&place.stage.house, "GET", "/windows", &[&place.session]);
    let answer = place.connect().exchange(&bytes).unwrap();
    assert_eq!(answer.status(), 502, "{}", raw(&answer));
    // And a page of ours takes the place of an answer that began with a hint.
    let gone = [
        &interim[..],
        b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    ]
    .concat();
    let link = format!("/register/{AUTH_ID}");
    place.stage.headscale.script(&link, Script::Bytes(gone));
    let bytes = request(&place.stage.house, "GET", &link, &[&place.session, HTML]);
    let answer = place.connect().exchange(&bytes).unwrap();
    let text = raw(&answer);
    assert!(answer.status() == 410 || text.contains(AUTH_ID), "{text}");
    assert!(!text.contains("planted"), "{text}");
}

#[test]
fn an_upgrade_plants_nothing_whether_it_is_accepted_or_refused() {
    let place = Place::start(NO_LIMITS);
    let origin = format!("Origin: {}", place.stage.house.plan.origin());
    let websocket = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        &origin,
        &place.session,
    ];
    let switch = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (status, rest) in [
        ("101 Switching Protocols", switch),
        ("200 OK", OK_BODY),
        ("403 Forbidden", OK_BODY),
    ] {
        place.ui.answer("/ui/socket", &setting(status, rest));
        let bytes = request(&place.stage.house, "GET", "/ui/socket", &websocket);
        let answer = place.connect().exchange(&bytes).unwrap();
        assert!(
            status.starts_with(&answer.status().to_string()),
            "{}",
            raw(&answer)
        );
        assert_eq!(
            answer.head.fields.values("set-cookie"),
            HARMLESS,
            "{status}"
        );
    }
    // A tunnel of a machine carries no cookie at all.
    for (method, target, lines) in place.ways() {
        let token = lines.iter().find_map(|line| line.strip_prefix("Upgrade: "));
        let Some(token) = token else { continue };
        let switch = format!("Connection: Upgrade\r\nUpgrade: {token}\r\n\r\n");
        for (status, rest) in [
            ("101 Switching Protocols", switch.as_str()),
            ("426 Upgrade Required", OK_BODY),
            ("103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK", OK_BODY),
        ] {
            let answer = setting(status, rest);
            place.stage.headscale.script(target, Script::Bytes(answer));
            let bytes = request(&place.stage.house, method, target, &lines);
            let answer = place.connect().exchange(&bytes).unwrap();
            assert_ne!(answer.status(), 502, "{target} {status}");
            assert!(
                answer.head.fields.values("set-cookie").is_empty(),
                "{target}"
            );
            assert!(!raw(&answer).contains("planted"), "{target}");
        }
    }
}

#[test]
fn behind_tls_our_cookies_have_their_prefix_and_nobody_can_plant_them_either() {
    let headscale = HeadscaleStandin::start(Options::default());
    let faulty = crate::stage::Faulty::start();
    let house = House::start(|plan| {
        let more = More {
            top: "trusted_proxies: [127.0.0.1/32]\n",
            ..More::default()
        };
        plan.config(&headscale.url(), &faulty.provider.issuer(), &more)
            .replace(&plan.origin(), "https://headscale.company")
    });
    let ask = |target: &str, lines: &[&str]| -> Response {
        let lines = lines.join("\r\n");
        let text = format!(
            "GET {target} HTTP/1.1\r\nHost: headscale.company\r\nX-Forwarded-Proto: https\r\n{lines}\r\n\r\n"
        );
        let mut raw = Raw::connect(house.plan.public).unwrap();
        raw.exchange(text.as_bytes()).unwrap()
    };
    let begun = ask("/", &[HTML]);
    let cookie = begun.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-headwarden-login-"), "{cookie}");
    for part in ["; Secure", "; HttpOnly", "; Path=/", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.to_lowercase().contains("domain"), "{cookie}");
    let planted = "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-headwarden=planted; Secure; Path=/\r\n\
        set-cookie: __HOST-HEADWARDEN=planted\r\nSet-Cookie:  __host-Headwarden-Login-x=planted\r\n\
        Set-Cookie: __Host-headwarden\r\nSet-Cookie: =__Host-headwarden=planted\r\n\
        Set-Cookie: theme=dark\r\nContent-Length: 2\r\n\r\nok";
    headscale.script("/key", Script::Bytes(planted.as_bytes().to_vec()));
    let answer = ask("/key", &["X-Row: key"]);
    assert_eq!(answer.head.fields.values("set-cookie"), ["theme=dark"]);
}

#[test]
fn a_hundred_fields_are_enough_for_anybody_and_more_have_their_answer() {
    let place = Place::start(NO_LIMITS);
    let fields =
        |count: usize| -> Vec<String> { (0..count).map(|at| format!("X-Field-{at}: 1")).collect() };
    let big = format!("X-Big: {}", "a".repeat(64 * 1024));
    let cookies: String = (0..5000).map(|at| format!("c{at}=1; ")).collect();
    let many_cookies = format!("Cookie: {cookies}a=1");
    let within: String = (0..1000).map(|at| format!("c{at}=1; ")).collect();
    let within = format!("Cookie: {within}a=1");
    for (what, lines, status) in [
        ("98 fields", fields(98), 200),
        ("101 fields", fields(101), 431),
        ("300 fields", fields(300), 431),
        ("a field of 64 kB", vec![big], 431),
        ("5000 cookies", vec![many_cookies], 431),
        ("1000 cookies", vec![within], 200),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let bytes = request(&place.stage.house, "GET", "/ui/open", &lines);
        let mut raw = place.connect();
        let answer = raw
            .exchange(&bytes)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status(), status, "{what}");
        if status == 431 {
            assert_eq!(answer.header("connection"), Some("close"), "{what}");
            assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{what}");
        }
    }
}

#[test]
fn credentials_say_nothing_about_who_somebody_is() {
    let place = Place::start(NO_LIMITS);
    let value = place.session.strip_prefix("Cookie: ").unwrap();
    let id = value.split_once('=').unwrap().1;
    let as_bearer = format!("Authorization: Bearer {id}");
    let as_basic = "Authorization: Basic YWRtaW46YWRtaW4=";
    let other_name = format!("Cookie: x{SESSION}={id}");
    let twice = format!("Cookie: {value}; {SESSION}=other");
    for lines in [
        &[as_bearer.as_str()][..],
        &[as_basic],
        &[KEY],
        &[other_name.as_str()],
        &[twice.as_str()],
        &["Remote-User: admin", "Remote-Groups: headscale-admins"],
        &["X-Forwarded-User: admin", "X-Auth-Request-User: admin"],
    ] {
        for target in ["/windows", "/ui/page"] {
            let lines = [lines, &["X-Row: credentials"]].concat();
            let bytes = request(&place.stage.house, "GET", target, &lines);
            assert_eq!(
                place.connect().exchange(&bytes).unwrap().status(),
                401,
                "{lines:?}"
            );
        }
    }
    assert!(seen(&place.stage.headscale, "credentials").is_empty());
    assert!(!place.ui.heard("credentials"));
    // On a door for anybody they end here.
    let (_, head) = place.pass("GET", "/key?v=140", &[KEY, &place.session], "open");
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
    assert!(!head.contains(id), "{head}");
}

#[test]
fn a_member_stays_a_member_whatever_the_request_says() {
    let stage = Stage::start_with(|_| More {
        headscale: "  api_key: hskey-api-standin\n",
        top: "api: { admins: [headscale-admins] }\naccess:\n  - { path: \"/admin/**\", groups: [headscale-admins] }\n",
        ..More::default()
    });
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    for lines in [
        &["Remote-Groups: headscale-admins", "Remote-User: admin"][..],
        &["X-authentik-groups: headscale-admins"],
        &[
            "X-Forwarded-Groups: headscale-admins",
            "X-Auth-Request-Groups: headscale-admins",
        ],
    ] {
        for (target, more) in [("/admin/x", None), ("/api/v1/user", Some(SAME_ORIGIN))] {
            let all: Vec<&str> = lines
                .iter()
                .copied()
                .chain([session.as_str()])
                .chain(more)
                .collect();
            let bytes = request(&stage.house, "GET", target, &all);
            let mut raw = Raw::connect(stage.house.plan.public).unwrap();
            assert_eq!(
                raw.exchange(&bytes).unwrap().status(),
                403,
                "{target} {lines:?}"
            );
        }
    }
}
