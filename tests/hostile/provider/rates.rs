//! How often one client address may do what costs something. The burst passes, the next is a 429 that
//! says when to come back, and nobody else notices.

use url::form_urlencoded::Serializer;

use crate::faulty_provider::{Endpoint, Person as Account};
use crate::stage::{HTML, SAME_ORIGIN, SESSION, Stage, ask, seen, send, session_line};
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::raw::Response;
use crate::support::tailnet::AUTH_ID;

use super::stage_with;

/// Three of each a minute: the next is due after twenty seconds at the latest.
const LIMITS: &str = "limits:\n  open_requests_per_minute: 3\n  api_requests_per_minute: 3\n  \
    sign_ins_per_minute: 3\n  callbacks_per_minute: 3\n  registrations_per_minute: 3\n  \
    logouts_per_minute: 3\n  tunnels_per_minute: 3\ntrusted_proxies: [127.0.0.0/8]\n";
const LONGEST_WAIT: u64 = 20;

fn stage() -> Stage {
    stage_with(More {
        top: LIMITS,
        ..More::default()
    })
}

fn from(client: &str) -> String {
    format!("X-Forwarded-For: {client}")
}

/// A request with a body.
fn post(house: &House, target: &str, lines: &[&str], body: &str) -> Response {
    let mut text = format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n",
        house.plan.public,
        body.len()
    );
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    send(house.plan.public, format!("{text}\r\n{body}").as_bytes())
}

#[track_caller]
fn is_held_back(answer: &Response, row: &str) {
    assert_eq!(answer.status(), 429, "{row}: {}", answer.text());
    let wait = answer.header("retry-after").and_then(|it| it.parse().ok());
    let wait: u64 = wait.unwrap_or_else(|| panic!("{row}: no Retry-After"));
    assert!((1..=LONGEST_WAIT).contains(&wait), "{row}: {wait} s");
    assert_eq!(answer.header("set-cookie"), None, "{row}");
    assert_eq!(answer.header("location"), None, "{row}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{row}");
}

fn counted(house: &House, limit: &str) -> u64 {
    let asked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let text = send(house.plan.admin, asked.as_bytes()).text();
    let series = format!("headwarden_limits_hit_total{{kind=\"{limit}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("no {series} in {text}"))
}

/// The authorization request that Headscale would send a browser with.
fn authorize(house: &House) -> String {
    let query = Serializer::new(String::new())
        .append_pair("client_id", "headscale")
        .append_pair("redirect_uri", &house.url("/oidc/callback"))
        .append_pair("response_type", "code")
        .append_pair("scope", "openid profile email")
        .append_pair("state", "0123456789abcdef0123456789abcdef")
        .append_pair("nonce", "fedcba9876543210fedcba9876543210")
        .finish();
    format!("/.headwarden/authorize?{query}")
}

const BACK_CHANNEL: &str = "/.headwarden/backchannel-logout";
const SIGN_OUT: &str = "/.headwarden/logout";
const FRONT_CHANNEL: &str = "/.headwarden/frontchannel-logout?iss=a&sid=b";

/// One kind of request: what it is counted as, and how it is made.
struct Kind {
    limit: &'static str,
    name: &'static str,
    method: &'static str,
    target: String,
    lines: Vec<String>,
    body: &'static str,
}

impl Kind {
    fn new(limit: &'static str, name: &'static str, target: &str, lines: &[&str]) -> Self {
        Self {
            limit,
            name,
            method: "GET",
            target: target.to_owned(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            body: "",
        }
    }

    fn posted(mut self, body: &'static str) -> Self {
        self.method = "POST";
        self.body = body;
        self
    }

    fn ask(&self, house: &House, client: &str) -> Response {
        let (from, row) = (from(client), format!("X-Row: {}", self.name));
        let mut lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        lines.extend([from.as_str(), row.as_str()]);
        match self.method {
            "POST" => post(house, &self.target, &lines, self.body),
            method => ask(house, method, &self.target, &lines),
        }
    }
}

fn kinds(stage: &Stage, session: &str) -> Vec<Kind> {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
    let (register, check) = (format!("/register/{AUTH_ID}"), format!("/auth/{AUTH_ID}"));
    let confirm = format!("/register/confirm/{AUTH_ID}");
    let made_up = format!("Cookie: {SESSION}={}", "A".repeat(43));
    let kind = Kind::new;
    vec![
        kind("sign_ins", "a page", "/windows", &[HTML]),
        kind("sign_ins", "a link", "/.headwarden/sign-in", &[HTML]),
        kind("sign_ins", "a device nobody", &register, &[HTML]),
        kind(
            "callbacks",
            "ours",
            "/oidc/callback?state=hw1.x&code=y",
            &[HTML],
        ),
        kind(
            "callbacks",
            "foreign",
            "/oidc/callback?state=x&code=y",
            &[HTML],
        ),
        kind("callbacks", "none", "/oidc/callback", &[HTML]),
        kind(
            "callbacks",
            "script",
            "/oidc/callback?state=hw1.x&error=y",
            &[],
        ),
        kind("open_requests", "the key", "/key?v=140", &[]),
        kind("open_requests", "health", "/health", &[]),
        kind("open_requests", "a probe", "/derp/probe", &[]),
        kind(
            "api_requests",
            "a key",
            "/api/v1/node",
            &["Authorization: Bearer guess"],
        ),
        kind(
            "api_requests",
            "basic",
            "/api/v2/tailnet/-/devices",
            &["Authorization: Basic Z3Vlc3M6"],
        ),
        kind("api_requests", "token", "/api/v2/oauth/token", &[FORM])
            .posted("client_id=guess&client_secret=guess"),
        kind("registrations", "register", &register, &[HTML, session]),
        kind("registrations", "ssh", &check, &[HTML, session]),
        kind(
            "registrations",
            "their yes",
            &confirm,
            &[session, SAME_ORIGIN, FORM],
        )
        .posted("a=b"),
        kind(
            "registrations",
            "our yes",
            "/.headwarden/confirm-register",
            &[session, SAME_ORIGIN, FORM],
        )
        .posted("id=x&token=y"),
        kind(
            "registrations",
            "our yes ssh",
            "/.headwarden/confirm-ssh",
            &[session, SAME_ORIGIN, FORM],
        )
        .posted("id=x&token=y"),
        kind(
            "registrations",
            "authorize",
            &authorize(&stage.house),
            &[HTML, session],
        ),
        kind("logouts", "a token", BACK_CHANNEL, &[FORM]).posted("logout_token=a.b.c"),
        kind("logouts", "a frame", FRONT_CHANNEL, &[HTML]),
        kind(
            "logouts",
            "a made-up session",
            SIGN_OUT,
            &[SAME_ORIGIN, &made_up],
        )
        .posted(""),
        kind("logouts", "no session", SIGN_OUT, &[SAME_ORIGIN]).posted(""),
    ]
}

#[test]
fn each_kind_is_held_back_for_one_address_and_for_no_other() {
    let mut stage = stage();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    for (at, kind) in kinds(&stage, &session).iter().enumerate() {
        let name = kind.name;
        // Two addresses of one /64, its neighbour, and an IPv4 address in both spellings.
        let network = format!("2001:db8:{at:x}");
        let (first, second) = (format!("{network}:1::1"), format!("{network}:1:ffff::2"));
        let neighbour = format!("{network}:2::1");
        let (v4, mapped) = (format!("203.0.113.{at}"), format!("::ffff:203.0.113.{at}"));
        let before = counted(&stage.house, kind.limit);
        for client in [&first, &second, &first] {
            let answer = kind.ask(&stage.house, client);
            assert_ne!(answer.status(), 429, "{name}: {}", answer.text());
        }
        let served = seen(&stage.headscale, name).len();
        for client in [&first, &second] {
            is_held_back(&kind.ask(&stage.house, client), name);
        }
        assert_eq!(
            seen(&stage.headscale, name).len(),
            served,
            "{name}: forwarded"
        );
        for client in [&neighbour, &v4, &mapped, &v4] {
            assert_ne!(
                kind.ask(&stage.house, client).status(),
                429,
                "{name} {client}"
            );
        }
        is_held_back(&kind.ask(&stage.house, &mapped), name);
        assert_eq!(counted(&stage.house, kind.limit), before + 3, "{name}");
        let line = stage
            .house
            .wait_for_log(&format!("client={first} limit=\"{}\"", kind.limit));
        assert!(
            line.contains("too many requests from this address"),
            "{line}"
        );
        assert!(line.contains("retry_after_s="), "{line}");
        // Whoever is in stays in, from the same address.
        for client in [&first, &v4] {
            let from = from(client);
            for _ in 0..5 {
                let lines = [HTML, session.as_str(), from.as_str()];
                let answer = ask(&stage.house, "GET", "/windows", &lines);
                assert_eq!(answer.status(), 200, "{name}: {}", answer.text());
            }
        }
    }
}

#[test]
fn whoever_is_signed_in_may_sign_out_whatever_others_behind_the_same_address_do() {
    let stage = stage();
    let people: Vec<String> = (0..3)
        .map(|_| session_line(&stage.house, &stage.somebody(Account::Member)))
        .collect();
    let out = |lines: &[&str]| {
        let from = from("198.51.100.77");
        let lines: Vec<&str> = lines.iter().copied().chain([from.as_str()]).collect();
        post(&stage.house, SIGN_OUT, &lines, "").status()
    };
    let made_up = format!("Cookie: {SESSION}={}", "A".repeat(43));
    let nobody = || out(&[SAME_ORIGIN, &made_up]);
    while nobody() != 429 {}
    for session in &people {
        assert_eq!(out(&[SAME_ORIGIN, session]), 303);
        let gone = ask(&stage.house, "GET", "/windows", &[session]);
        assert_eq!(gone.status(), 401, "signed out indeed");
        assert_eq!(out(&[SAME_ORIGIN, session]), 429, "once");
    }
}

#[test]
fn a_hostile_page_in_one_browser_does_not_use_up_what_its_neighbours_need() {
    const WEBSOCKET: [&str; 5] = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: derp",
    ];
    let stage = stage();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let cross = "Sec-Fetch-Site: cross-site";
    let by_a_page: [&[&str]; 4] = [
        &[cross, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
        &[
            cross,
            "Sec-Fetch-Mode: cors",
            "Sec-Fetch-Dest: empty",
            "Origin: https://evil.example",
        ],
        &[cross, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
        &["Origin: https://evil.example"],
    ];
    let mut at = 0;
    for kind in kinds(&stage, &session) {
        if !["ours", "foreign", "the key", "token"].contains(&kind.name) {
            continue;
        }
        for made in by_a_page {
            at += 1;
            let client = format!("192.0.2.{at}");
            let row = format!("{} {made:?}", kind.name);
            let mut page = Kind::new(kind.limit, kind.name, &kind.target, made);
            page.lines.extend(kind.lines.clone());
            (page.method, page.body) = (kind.method, kind.body);
            for _ in 0..3 {
                assert_ne!(page.ask(&stage.house, &client).status(), 429, "{row}");
            }
            is_held_back(&page.ask(&stage.house, &client), &row);
            for _ in 0..3 {
                assert_ne!(kind.ask(&stage.house, &client).status(), 429, "{row}");
            }
            is_held_back(&kind.ask(&stage.house, &client), &row);
        }
    }
    assert_eq!(at, 16);
    // Whoever comes back from the provider comes from another site, and is no page.
    let from_here = from("192.0.2.100");
    let coming_back = [
        cross,
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Dest: document",
        &from_here,
    ];
    let callback = "/oidc/callback?state=hw1.x";
    for _ in 0..3 {
        ask(&stage.house, "GET", callback, &coming_back);
    }
    is_held_back(
        &ask(&stage.house, "GET", callback, &[&from_here]),
        "the same share",
    );

    let opened = |lines: &[&str]| {
        let from = from("192.0.2.101");
        let all: Vec<&str> = WEBSOCKET
            .iter()
            .chain(lines)
            .copied()
            .chain([from.as_str()])
            .collect();
        ask(&stage.house, "GET", "/derp", &all)
    };
    let evil = ["Origin: https://evil.example"];
    for _ in 0..3 {
        assert_eq!(opened(&evil).status(), 101);
    }
    is_held_back(&opened(&evil), "a page's websockets");
    assert_eq!(opened(&[]).status(), 101);
}

#[test]
fn a_derp_server_that_the_operator_named_asks_as_often_as_it_has_clients() {
    let stage = stage_with(More {
        top: LIMITS,
        headscale: "  verify_from: [198.51.100.0/24]\n",
        ..More::default()
    });
    for at in 0..20 {
        let from = from("198.51.100.7");
        let answer = post(&stage.house, "/verify", &[&from, "X-Row: verify"], "{}");
        assert!(
            ![404, 429].contains(&answer.status()),
            "{at}: {}",
            answer.text()
        );
    }
    assert_eq!(seen(&stage.headscale, "verify").len(), 20);
    let stranger = from("198.51.101.7");
    assert_eq!(
        post(&stage.house, "/verify", &[&stranger], "{}").status(),
        404
    );
}

#[test]
fn kinds_do_not_use_each_other_up() {
    let stage = stage();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let client = "192.0.2.1";
    let kinds = kinds(&stage, &session);
    let mut used = Vec::new();
    for kind in &kinds {
        if used.contains(&kind.limit) {
            is_held_back(&kind.ask(&stage.house, client), kind.name);
            continue;
        }
        used.push(kind.limit);
        for _ in 0..3 {
            assert_ne!(
                kind.ask(&stage.house, client).status(),
                429,
                "{}",
                kind.name
            );
        }
    }
    assert_eq!(used.len(), 6);
}

#[test]
fn what_is_refused_anyway_uses_up_nothing() {
    let stage = stage();
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let client = from("192.0.2.2");
    let register = format!("/register/{AUTH_ID}");
    for _ in 0..5 {
        // A script without a session, an API request without a key, a form from another site.
        assert_eq!(
            ask(&stage.house, "GET", "/windows", &[&client]).status(),
            401
        );
        assert_eq!(
            ask(&stage.house, "GET", &register, &[&client]).status(),
            401
        );
        assert_eq!(
            ask(&stage.house, "GET", "/api/v1/node", &[&client]).status(),
            401
        );
        let cross = ["Sec-Fetch-Site: cross-site", &session, &client];
        let answer = post(&stage.house, "/.headwarden/confirm-ssh", &cross, "id=x");
        assert_eq!(answer.status(), 403, "{}", answer.text());
        let answer = ask(&stage.house, "POST", "/oidc/callback", &[&client]);
        assert_eq!(answer.status(), 405, "{}", answer.text());
    }
    for kind in kinds(&stage, &session) {
        if ["a page", "ours", "a key", "register"].contains(&kind.name) {
            let answer = kind.ask(&stage.house, "192.0.2.2");
            assert_ne!(answer.status(), 429, "{}: {}", kind.name, answer.text());
        }
    }
}

#[test]
fn a_callback_or_an_answer_that_was_held_back_is_not_lost() {
    let stage = stage();
    let mut person = Person::new();
    let (_, callback) = stage.callback_for(&mut person, "/windows");
    let (crowded, quiet) = (from("192.0.2.3"), from("192.0.2.4"));
    for _ in 0..3 {
        ask(
            &stage.house,
            "GET",
            "/oidc/callback?state=hw1.x",
            &[&crowded],
        );
    }
    let redeemed = stage.faulty.provider.hits(Endpoint::Token);
    let held = person.request("GET", callback.as_str(), &[HTML, &crowded], b"");
    is_held_back(&held, "callback");
    assert!(held.text().contains("Wait a moment"), "{}", held.text());
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), redeemed);
    let answer = person.request("GET", callback.as_str(), &[HTML, &quiet], b"");
    assert_eq!(answer.status(), 303, "{}", answer.text());

    let session = session_line(&stage.house, &person);
    let check = format!("/auth/{AUTH_ID}");
    let question = person.open(&stage.house.url(&check));
    let form = question.form("");
    let body = Serializer::new(String::new())
        .extend_pairs(&form.fields)
        .finish();
    for _ in 0..3 {
        ask(&stage.house, "GET", &check, &[HTML, &session, &crowded]);
    }
    let urlencoded = "Content-Type: application/x-www-form-urlencoded";
    let mut answer = |client: &str| {
        let lines = [urlencoded, SAME_ORIGIN, client];
        person.request("POST", form.action.as_str(), &lines, body.as_bytes())
    };
    is_held_back(&answer(&crowded), "confirmation");
    assert_eq!(answer(&quiet).status(), 303);
}

#[test]
fn new_tunnels_of_one_address_are_held_back_and_those_of_its_neighbour_are_not() {
    const CONTROL: [&str; 3] = [
        "Connection: Upgrade",
        "Upgrade: tailscale-control-protocol",
        "X-Tailscale-Handshake: AAAA",
    ];
    let stage = stage();
    let open = |client: &str| {
        let from = from(client);
        let lines: Vec<&str> = CONTROL.iter().copied().chain([from.as_str()]).collect();
        ask(&stage.house, "POST", "/ts2021", &lines)
    };
    for client in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
        assert_eq!(open(client).status(), 101);
    }
    is_held_back(&open("2001:db8::4"), "tunnels");
    assert_eq!(open("2001:db8:0:1::1").status(), 101);
    assert_eq!(counted(&stage.house, "tunnels"), 1);
}

#[test]
fn somebody_who_guesses_headscales_client_secret_waits() {
    let stage = stage_with(More::default());
    let url = format!("{}/token", stage.house.plan.issuer_url());
    let guess = || {
        let form = "Content-Type: application/x-www-form-urlencoded";
        let body = b"grant_type=authorization_code&code=x&client_id=headscale&client_secret=guess";
        Person::new().request("POST", &url, &[form], body)
    };
    for at in 0..20 {
        assert_eq!(guess().status(), 401, "guess {at}");
    }
    let answer = guess();
    assert_eq!(answer.status(), 429, "{}", answer.text());
    let wait = answer.header("retry-after").and_then(|it| it.parse().ok());
    assert!(
        wait.is_some_and(|wait: u64| (1..=61).contains(&wait)),
        "{wait:?}"
    );
    assert_eq!(counted(&stage.house, "issuer_client"), 1);
}
