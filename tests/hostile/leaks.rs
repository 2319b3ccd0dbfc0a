//! P: leakage. Secrets are planted wherever one can be, everything is walked through with every line
//! of the log switched on, and then all that anybody can read is searched for them.

mod configuration;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::form_urlencoded::byte_serialize;

use crate::collector::{Collector, Manner};
use crate::faulty_provider::{Fault, Person as Account};
use crate::stage::{HTML, SAME_ORIGIN, SESSION, Stage, ask, request, send, session_line};
use crate::support::headscale_standin::{Device, HeadscaleStandin, Options, Script};
use crate::support::house::{CLIENT_SECRET, HEADSCALE_SECRET, More, headwarden};
use crate::support::person::Person;
use crate::support::raw::{Raw, Response};
use crate::support::tailnet::AUTH_ID;

/// Headscale's API key, in the configuration.
const API_KEY: &str = "hskey-api-C4n4ry-8d1f2a77e0b94c56";
/// With which a device came; an administrator may see it in Headscale's own answers.
const PRE_AUTH_KEY: &str = "preauth-C4n4ry-6b1e90d2ff43";
/// One that somebody types.
const OTHER_KEY: &str = "hskey-api-typed-C4n4ry-55aa01cc9e";
/// What an upstream says that nobody can read.
const UPSTREAMS: &str = "upstream-C4n4ry-b6620f3d71";
/// What strangers put into their requests.
const STRANGERS: &str = "strange-C4n4ry-0c9d7714fe2b";

/// Something that must not be read anywhere but where it belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Planted {
    name: &'static str,
    value: String,
}

/// Where a secret belongs, beside the store of its owner.
fn belongs(name: &str) -> &'static [&'static str] {
    match name {
        "session" | "attempt" => &["set-cookie"],
        "state" | "nonce" | "our code" | "id token" => &["location"],
        // Headscale's own redirect and cookies, which pass through.
        "headscale's state" | "headscale's nonce" => &["location", "set-cookie", "body"],
        "form token" => &["body"],
        // On the page that asks about it, on the way back to it, in Headscale's cookie for it.
        "device link" => &["body", "location", "set-cookie"],
        _ => &[],
    }
}

/// The ways in which a value may be written down; of a long one, each half.
fn spellings(value: &str) -> Vec<String> {
    let long = value.len() > 32 && value.is_ascii();
    let parts = if long {
        // A JWT's first part is no secret.
        let from = value.find('.').map_or(0, |dot| dot + 1);
        vec![&value[from..from + 24], &value[value.len() - 24..]]
    } else {
        vec![value]
    };
    let mut all = Vec::new();
    for part in parts {
        let bytes = part.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        all.extend([part.to_owned(), hex.to_uppercase(), hex]);
        all.push(byte_serialize(bytes).collect());
        all.push(bytes.iter().map(|byte| format!("%{byte:02X}")).collect());
        // Behind none, one or two other bytes; what those have part in is cut off.
        for before in 0..3_usize {
            let shifted = [&b"xx"[..before], bytes].concat();
            let whole = shifted.len() - shifted.len() % 3;
            for text in [
                STANDARD.encode(&shifted[..whole]),
                URL_SAFE_NO_PAD.encode(&shifted[..whole]),
            ] {
                all.push(text[[0, 2, 3][before]..].to_owned());
            }
        }
    }
    all
}

/// How much of a spelling is looked up; none is shorter.
const START: usize = 12;

/// Secrets with all their spellings, by the bytes these begin with.
struct Wanted {
    planted: Vec<Planted>,
    ways: HashMap<Vec<u8>, Vec<(usize, String)>>,
}

impl Wanted {
    fn new(planted: Vec<Planted>) -> Self {
        let mut ways: HashMap<_, Vec<_>> = HashMap::new();
        for (index, it) in planted.iter().enumerate() {
            for way in spellings(&it.value) {
                let start = way.as_bytes()[..START].to_vec();
                ways.entry(start).or_default().push((index, way));
            }
        }
        Self { planted, ways }
    }
}

/// Everything that was planted and is in `text`.
fn found<'a>(wanted: &'a Wanted, text: &str) -> Vec<&'a Planted> {
    let bytes = text.as_bytes();
    let mut there = BTreeSet::new();
    for (at, start) in bytes.windows(START).enumerate() {
        let ways = wanted.ways.get(start).into_iter().flatten();
        let whole = ways.filter(|(_, way)| bytes[at..].starts_with(way.as_bytes()));
        there.extend(whole.map(|(index, _)| *index));
    }
    there
        .into_iter()
        .map(|index| &wanted.planted[index])
        .collect()
}

/// The parts of an answer, by name.
fn parts(answer: &Response) -> Vec<(&'static str, String)> {
    let mut rest = String::new();
    // The style sheet is the same on every page, and most of it.
    let text = answer.text();
    let (before, behind) = text.split_once("<style>").unwrap_or((&text, ""));
    let behind = behind
        .split_once("</style>")
        .map_or(behind, |(_, rest)| rest);
    let mut parts = vec![("body", format!("{before}\n{behind}"))];
    for (name, value) in &answer.head.fields.0 {
        match name.to_ascii_lowercase().as_str() {
            "location" => parts.push(("location", value.clone())),
            "set-cookie" => parts.push(("set-cookie", value.clone())),
            _ => drop(writeln!(rest, "{name}: {value}")),
        }
    }
    parts.push(("fields", rest));
    parts
}

#[test]
fn the_search_finds_a_secret_however_it_is_written() {
    let value = "hw1.C4n4ry/+_-=~0123";
    let wanted = |value: &str| {
        let value = value.to_owned();
        Wanted::new(vec![Planted { name: "x", value }])
    };
    let (planted, long) = (wanted(value), wanted(&"0123456789".repeat(6)));
    for text in [
        format!("a={value};"),
        format!("Basic {}", STANDARD.encode(format!("id:{value}"))),
        format!("Basic {}", STANDARD.encode(format!("client:{value}x"))),
        URL_SAFE_NO_PAD.encode(format!("{{\"state\":\"{value}\"}}")),
        byte_serialize(value.as_bytes()).collect(),
        value.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ] {
        assert_eq!(found(&planted, &text).len(), 1, "{text}");
    }
    assert!(found(&planted, "hw1.C4n4ry").is_empty());
    assert_eq!(
        found(&long, "0123456789".repeat(3).as_str()).len(),
        1,
        "a part of it"
    );
}

/// What the walk brought to light: all answers of the house, and all that was secret in it.
#[derive(Default)]
struct Walk {
    answers: Vec<(String, Response)>,
    planted: BTreeSet<Planted>,
}

impl Walk {
    fn plant(&mut self, name: &'static str, value: &str) {
        if value.len() >= 12 {
            let value = value.to_owned();
            self.planted.insert(Planted { name, value });
        }
    }

    fn answer(&mut self, what: &str, answer: Response) {
        for set in answer.head.fields.values("set-cookie") {
            let pair = set.split(';').next().unwrap_or_default();
            match pair.split_once('=') {
                Some((SESSION, value)) => self.plant("session", value),
                Some((name, value)) if name.starts_with("headwarden-login-") => {
                    self.plant("attempt", value);
                }
                _ => {}
            }
        }
        let tokens = answer.text();
        for (at, _) in tokens.match_indices("name=\"token\" value=\"") {
            let rest = &tokens[at + 20..];
            self.plant("form token", rest.split('"').next().unwrap_or_default());
        }
        self.answers.push((what.to_owned(), answer));
    }

    fn person(&mut self, stage: &Stage, person: Person) {
        let origin = stage.house.plan.origin();
        for (url, answer) in person.answers {
            if url.origin().ascii_serialization() == origin {
                self.answer(url.path(), answer);
            }
        }
    }

    fn ask(&mut self, stage: &Stage, method: &str, target: &str, lines: &[&str]) {
        let answer = ask(&stage.house, method, target, lines);
        self.answer(&format!("{method} {target}"), answer);
    }
}

/// What leaves the house beside its log: the audit log's own file, and traces.
struct Outlets {
    audit: TempDir,
    collector: Collector,
}

impl Outlets {
    fn open() -> Self {
        Self {
            audit: tempfile::tempdir().expect("a directory"),
            collector: Collector::start(Manner::Well),
        }
    }

    fn config(&self) -> String {
        let path = self.audit.path().join("audit.jsonl");
        let audit = format!("audit: {{ path: {}, user_names: true }}\n", path.display());
        audit + &self.collector.config("")
    }

    /// All that came out of them.
    fn told(&self) -> [(&'static str, String); 2] {
        let audit = std::fs::read_to_string(self.audit.path().join("audit.jsonl"));
        let traces = format!("{:?}", self.collector.posts());
        let told = [("audit log", audit.expect("a file")), ("traces", traces)];
        for (place, text) in &told {
            assert!(text.len() > 5000, "the {place} says little: {text}");
        }
        told
    }
}

fn stage(format: &str, outlets: Option<&Outlets>, web_ui: &str) -> Stage {
    let top = format!(
        "access: [{{ path: \"/ui/**\", upstream: \"{web_ui}\", assertion: true }}]\n\
         api:\n  admins: [headscale-admins]\nlog: {{ format: {format}, level: trace }}\n\
         limits: {{ tunnels_per_minute: 5, open_requests_per_minute: 40 }}\n{}",
        outlets.map(Outlets::config).unwrap_or_default()
    );
    let stage = Stage::start_with(|_| More {
        headscale: Box::leak(format!("  api_key: {API_KEY}\n").into_boxed_str()),
        oidc: "  timeout: 5s\n",
        top: Box::leak(top.into_boxed_str()),
        ..More::default()
    });
    stage.headscale.configure(|options| {
        API_KEY.clone_into(&mut options.api_key);
        options.oidc.as_mut().expect("it trusts us").pkce = true;
    });
    stage
        .faulty
        .provider
        .set(|knobs| knobs.refresh_tokens = true);
    stage
}

/// A device, an SSH check with a step-up, the API, and the way out.
fn walk_as_an_insider(stage: &Stage, walk: &mut Walk) {
    stage.faulty.provider.bend(Fault::AuthTimeAbsent);
    let mut person = stage.somebody(Account::Admin);
    stage.faulty.provider.mend();
    // Links that were not copied well.
    for badly in ["/", ".", ")", "/x"] {
        person.open(&stage.house.url(&format!("/register/{AUTH_ID}{badly}")));
        person.open(&stage.house.url(&format!("/auth/{AUTH_ID}{badly}")));
    }
    let asked = person.open(&stage.house.url(&format!("/register/{AUTH_ID}")));
    let done = person.fill_in(&asked, "", &[]);
    assert!(done.text().contains("Node registered"), "{}", done.text());
    let question = person.open(&stage.house.url(&format!("/auth/{AUTH_ID}")));
    assert!(
        question.text().contains("confirm-ssh"),
        "{}",
        question.text()
    );
    let done = person.fill_in(&question, "", &[]);
    assert!(done.text().contains("authorized"), "{}", done.text());
    // A question that stays open, and one that is answered by somebody else.
    person.open(&stage.house.url(&format!("/auth/{AUTH_ID}")));
    let confirm = stage.house.url("/.headwarden/confirm-ssh");
    let body = format!("id={AUTH_ID}&token={STRANGERS}");
    person.request("POST", &confirm, &[SAME_ORIGIN, HTML], body.as_bytes());
    person.request("POST", &confirm, &[HTML], body.as_bytes());
    let user = stage.house.url("/api/v1/user");
    assert_eq!(
        person.request("GET", &user, &[SAME_ORIGIN], b"").status(),
        200
    );
    person.request("POST", &user, &[SAME_ORIGIN], b"{}");
    person.get(&stage.house.url("/ui/page"));
    walk_among_devices(stage, &mut person);
    person.get(&stage.house.url(&format!("/windows?token={STRANGERS}")));
    // What an upstream cannot say properly.
    for bytes in [
        format!(
            "HTTP/1.1 200 OK\r\nSet-Cookie: a={UPSTREAMS}\r\nLocation: /?code={UPSTREAMS}\r\nbad line\r\n\r\n"
        ),
        format!("HTTP/1.1 {UPSTREAMS}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: x{UPSTREAMS}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx{UPSTREAMS}\r\n"),
        format!("{UPSTREAMS}\r\n\r\n"),
        format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: {UPSTREAMS}\r\n\r\n"),
    ] {
        stage
            .headscale
            .script("/windows", Script::Bytes(bytes.into_bytes()));
        let line = session_line(&stage.house, &person);
        // Where the head was good and the body is not, the answer just ends.
        let mut raw = Raw::connect(stage.house.plan.public).expect("a connection");
        let asked = request(&stage.house, "GET", "/windows", &[HTML, &line]);
        if let Ok(answer) = raw.exchange(&asked) {
            walk.answer("a broken upstream", answer);
        }
    }
    stage.headscale.script("/windows", Script::Close);
    person.get(&stage.house.url("/windows"));
    stage.headscale.script(
        "/derp",
        Script::Bytes(format!("HTTP/1.1 {UPSTREAMS}\r\n\r\n").into_bytes()),
    );
    walk.ask(
        stage,
        "GET",
        "/derp",
        &["Connection: Upgrade", "Upgrade: DERP"],
    );
    let page = person.open(&stage.house.url("/.headwarden/logout"));
    assert_eq!(person.submit(&page, "", &[]).status(), 303);
    person.get(&stage.house.url("/.headwarden/signed-out"));
    walk.person(stage, person);
}

/// A device is looked at, renamed and removed, and Headscale answers with the key that it was asked with.
fn walk_among_devices(stage: &Stage, person: &mut Person) {
    let owner = format!(
        "{}/{}",
        stage.house.plan.issuer_url(),
        Account::Admin.subject()
    );
    let laptop = Device {
        pre_auth_key: Some(PRE_AUTH_KEY.to_owned()),
        ..Device::of(&owner, "laptop")
    };
    let id = stage.headscale.add_node(laptop);
    let list = stage.house.url("/.headwarden/devices");
    let page = person.open(&list);
    let form = format!("rename-{id}");
    let page = person.fill_in(&page, &form, &[("name", "desk")]);
    assert!(page.text().contains("has its new name"), "{}", page.text());
    for status in ["401 Unauthorized", "500 Oops", "409 Conflict", "200 OK"] {
        let body = format!(
            "{{\"code\":2,\"message\":\"invalid name, Bearer {API_KEY}\",\"detail\":\"{API_KEY}\"}}"
        );
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let path = format!("/api/v1/node/{id}");
        let script = Script::Bytes(answer.into_bytes());
        stage
            .headscale
            .script(&format!("{path}/rename/other"), script);
        let page = person.open(&list);
        let told = person.fill_in(&page, &form, &[("name", "other")]);
        assert_eq!(told.status() == 200, status == "200 OK", "{}", told.text());
    }
    person.open(&stage.house.url("/.headwarden/devices/people"));
    let asked = person.open(
        &stage
            .house
            .url(&format!("/.headwarden/devices/remove?id={id}")),
    );
    let done = person.fill_in(&asked, "", &[]);
    assert_eq!(done.status(), 200, "{}", done.text());
}

/// A provider that fails in each of its ways, and people who may not pass.
fn walk_with_a_bad_provider(stage: &Stage, walk: &mut Walk) {
    for fault in [
        Fault::TokenIsDown,
        Fault::TokenIsHtml,
        Fault::TokenIsHuge,
        Fault::TokenHangs,
        Fault::TokenRedirects,
        Fault::ErrorWith200,
        Fault::InvalidClient,
        Fault::NoIdToken,
        Fault::TokenTypeMac,
        Fault::NonceWrong,
        Fault::AudienceOfSomebodyElse,
        Fault::IssOfSomebodyElse,
        Fault::AlgNone,
        Fault::BadSignature,
        Fault::UnknownKid,
        Fault::Encrypted,
        Fault::TwoParts,
        Fault::PayloadIsNoJson,
        Fault::BadAtHash,
        Fault::SubEmpty,
        Fault::UserinfoRefuses,
        Fault::UserinfoOfSomebodyElse,
        Fault::UserinfoIsSigned,
        Fault::JwksIsHtml,
    ] {
        stage.faulty.provider.bend(fault);
        let mut person = Person::new();
        person.open(&stage.house.url("/windows"));
        walk.person(stage, person);
    }
    stage.faulty.provider.mend();
    stage.is_at_the_provider(Account::Outsider);
    let mut outsider = Person::new();
    assert_eq!(outsider.open(&stage.house.url("/windows")).status(), 403);
    // The same answer again; another's; with an `iss`; one that is doubled.
    stage.is_at_the_provider(Account::Member);
    let (answered, callback) = stage.callback_for(&mut outsider, "/windows");
    for more in [
        "&iss=https://evil.example/",
        "&code=b",
        "&state=b",
        "&error=x&error_description=y",
    ] {
        let mut stranger = Person::new();
        stranger.get(&format!("{callback}{more}"));
        walk.person(stage, stranger);
    }
    outsider.follow(answered);
    outsider.get(callback.as_str());
    walk.person(stage, outsider);
}

/// Whatever strangers send, with secrets in it.
fn walk_as_a_stranger(stage: &Stage, walk: &mut Walk) {
    let bearer = format!("Authorization: Bearer {OTHER_KEY}");
    let basic = format!(
        "Authorization: Basic {}",
        STANDARD.encode(format!("a:{OTHER_KEY}"))
    );
    let cookie = format!("Cookie: {SESSION}={STRANGERS}; headwarden-login-abcdefgh={STRANGERS}");
    let query = format!("?access_token={STRANGERS}&code={STRANGERS}");
    for (method, target, lines) in [
        ("GET", "/api/v1/user", &[bearer.as_str()][..]),
        ("GET", "/api/v2/tailnet", &[&basic]),
        ("GET", "/windows", &[&bearer, &cookie]),
        ("GET", "/windows", &[HTML, &cookie]),
        ("GET", "/key?v=140", &[&cookie, &bearer]),
        ("GET", "/.headwarden/logout", &[HTML, &cookie]),
        (
            "POST",
            "/.headwarden/logout",
            &[SAME_ORIGIN, &cookie, "Content-Length: 0"],
        ),
        ("GET", "/metrics", &[&bearer]),
    ] {
        walk.ask(stage, method, target, lines);
        walk.ask(
            stage,
            method,
            &format!("{target}{query}").replace("140?", "140&"),
            lines,
        );
    }
    walk.ask(
        stage,
        "GET",
        &format!("/oidc/callback{query}&state=hw1.{STRANGERS}"),
        &[HTML, &cookie],
    );
    walk.ask(
        stage,
        "GET",
        &format!("/oidc/callback{query}&state={STRANGERS}"),
        &[HTML, &cookie],
    );
    walk.ask(
        stage,
        "GET",
        &format!("/.headwarden/authorize{query}&state={STRANGERS}&nonce={STRANGERS}"),
        &[HTML],
    );
}

/// Tunnels, and heads that are none.
fn walk_before_the_door(stage: &Stage, walk: &mut Walk) {
    let bearer = format!("Authorization: Bearer {OTHER_KEY}");
    let cookie = format!("Cookie: {SESSION}={STRANGERS}");
    let query = format!("?access_token={STRANGERS}&code={STRANGERS}");
    let tunnel = [
        "Connection: Upgrade",
        "Upgrade: tailscale-control-protocol",
        &format!("X-Tailscale-Handshake: {STRANGERS}"),
        &bearer,
        &cookie,
    ];
    for _ in 0..8 {
        let mut raw = Raw::connect(stage.house.plan.public).expect("a connection");
        let asked = request(&stage.house, "POST", &format!("/ts2021{query}"), &tunnel);
        let answer = raw.exchange(&asked).expect("an answer");
        assert!(matches!(answer.status(), 101 | 429), "{}", answer.status());
        if answer.status() == 101 {
            raw.send(STRANGERS.as_bytes()).expect("it takes bytes");
            let echoed = raw.read_exact(STRANGERS.len()).expect("bytes come back");
            assert!(!echoed.is_empty());
        } else {
            walk.answer("a tunnel too many", answer);
        }
    }
    let host = stage.house.plan.public;
    for bytes in [
        format!("GET /windows{query} HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\n bad\r\n\r\n"),
        format!("GET /windows{query} HTTP/1.1\r\nHost: {host}\r\n{bearer}\n\r\n\r\n"),
        format!("GET /../{STRANGERS} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: {STRANGERS}.example\r\n{HTML}\r\n\r\n"),
        format!(
            "GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n",
            STRANGERS.repeat(2000)
        ),
        format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\n\r\n",
            STRANGERS.repeat(3000)
        ),
        format!("{STRANGERS}\r\n\r\n"),
    ] {
        let answer = send(host, bytes.as_bytes());
        assert!(answer.status() >= 400, "{bytes:.80}");
        walk.answer("a bad head", answer);
    }
}

/// The private listener, and the operator's.
fn walk_at_the_back(stage: &Stage, walk: &mut Walk) {
    let bearer = format!("Authorization: Bearer {OTHER_KEY}");
    let basic = format!(
        "Authorization: Basic {}",
        STANDARD.encode(format!("a:{OTHER_KEY}"))
    );
    let post = |body: &str, lines: &str| {
        format!(
            "POST /token HTTP/1.1\r\nHost: {}\r\n{lines}Content-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
            stage.house.plan.issuer,
            body.len()
        )
    };
    let userinfo = format!(
        "GET /userinfo HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {OTHER_KEY}\r\n\r\n",
        stage.house.plan.issuer
    );
    let form = format!(
        "grant_type=authorization_code&code={STRANGERS}&client_secret={OTHER_KEY}&client_id=headscale"
    );
    let right = STANDARD.encode(format!("headscale:{HEADSCALE_SECRET}"));
    for bytes in [
        post(&form, ""),
        post(&form, &format!("{basic}\r\n")),
        post(
            &form.replace("&client_secret", "&x"),
            &format!("Authorization: Basic {right}\r\n"),
        ),
        userinfo,
    ] {
        let answer = send(stage.house.plan.issuer, bytes.as_bytes());
        assert!((400..500).contains(&answer.status()), "{bytes}");
        walk.answer("the private listener", answer);
    }
    for path in [
        "/metrics",
        "/readyz",
        "/healthz",
        "/livez",
        &format!("/{STRANGERS}"),
    ] {
        let bytes =
            format!("GET {path}?{STRANGERS} HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\n\r\n");
        walk.answer(
            "the operator's listener",
            send(stage.house.plan.admin, bytes.as_bytes()),
        );
    }
}

/// Everything secret that is not seen in an answer.
fn plant_what_is_kept(stage: &Stage, walk: &mut Walk) {
    for (name, value) in [
        ("client secret", CLIENT_SECRET),
        ("headscale's client secret", HEADSCALE_SECRET),
        ("api key", API_KEY),
        ("a device's key", PRE_AUTH_KEY),
        ("typed key", OTHER_KEY),
        ("an upstream's text", UPSTREAMS),
        ("a stranger's text", STRANGERS),
        ("device link", AUTH_ID),
        ("e-mail address", "ada@company.example"),
        ("e-mail address", "ben@company.example"),
        ("e-mail address", "eve@elsewhere.example"),
    ] {
        walk.plant(name, value);
    }
    let mut kept = Vec::new();
    stage
        .faulty
        .provider
        .set(|knobs| kept.clone_from(&knobs.secrets));
    kept.extend(stage.headscale.secrets());
    for (name, value) in kept {
        walk.plant(name, &value);
    }
    let read = |file: &str| -> Value {
        let text = std::fs::read_to_string(stage.house.plan.files.join(file)).expect("a file");
        serde_json::from_str(&text).expect("JSON")
    };
    for key in read("keys.json").as_array().expect("keys") {
        walk.plant("a key of the ring", key["key"].as_str().unwrap_or_default());
    }
    let signing = read("issuer_key.json");
    walk.plant(
        "the signing key",
        signing["pkcs8"].as_str().unwrap_or_default(),
    );
}

/// What the subcommands say of it, for a ticket perhaps.
fn told_on_a_terminal(stage: &Stage, planted: &Wanted) -> Vec<String> {
    let mut leaks = Vec::new();
    for arguments in [
        &["check"][..],
        &["headscale-config"],
        &["headscale-migrate", "--from", "https://old.example/"],
        &["rotate-keys"],
        &["rotate-keys", "--forget-old"],
        &["health"],
    ] {
        let output = headwarden(&stage.house.plan, arguments);
        let said = [output.stdout, output.stderr].concat();
        assert!(!said.is_empty(), "{arguments:?}");
        let said = String::from_utf8_lossy(&said);
        let told = found(planted, &said);
        leaks.extend(
            told.iter()
                .map(|it| format!("{it:?} by {arguments:?}: {said}")),
        );
    }
    leaks
}

/// What has to have been there, for its absence to mean something.
const PLANTED: &[&str] = &[
    "client secret",
    "headscale's client secret",
    "api key",
    "a device's key",
    "assertion",
    "a key of the ring",
    "the signing key",
    "session",
    "attempt",
    "state",
    "nonce",
    "verifier",
    "code",
    "access",
    "refresh",
    "id token",
    "headscale's state",
    "headscale's nonce",
    "headscale's verifier",
    "our code",
    "our access token",
    "our id token",
    "form token",
    "e-mail address",
];

fn nothing_leaks(format: &str, outlets: Option<&Outlets>) {
    let web_ui = HeadscaleStandin::start(Options::default());
    let mut stage = stage(format, outlets, &web_ui.url());
    let mut walk = Walk::default();
    walk_as_an_insider(&stage, &mut walk);
    walk_with_a_bad_provider(&stage, &mut walk);
    walk_as_a_stranger(&stage, &mut walk);
    walk_before_the_door(&stage, &mut walk);
    walk_at_the_back(&stage, &mut walk);
    plant_what_is_kept(&stage, &mut walk);
    for seen in web_ui.requests() {
        for assertion in seen.fields.values("x-headwarden-assertion") {
            walk.plant("assertion", assertion);
        }
    }
    stage.house.signal("TERM");
    stage.house.wait();
    let names: BTreeSet<&str> = walk.planted.iter().map(|it| it.name).collect();
    let planted = Wanted::new(walk.planted.into_iter().collect());
    for name in PLANTED {
        assert!(names.contains(name), "no {name} was planted: {names:?}");
    }

    let log = stage.house.log();
    assert!(log.lines().count() > 150 && log.contains("DEBUG"), "{log}");
    let mut leaks = Vec::new();
    for it in found(&planted, &log) {
        let ways = spellings(&it.value);
        let mut lines = log.lines();
        let line = lines.find(|line| ways.iter().any(|way| line.contains(way)));
        leaks.push(format!("{it:?} in the log: {line:?}"));
    }
    leaks.extend(told_on_a_terminal(&stage, &planted));
    for (place, text) in outlets.iter().flat_map(|outlets| outlets.told()) {
        let found = found(&planted, &text).into_iter();
        leaks.extend(found.map(|it| format!("{it:?} in the {place}")));
    }
    for (what, answer) in &walk.answers {
        for (place, text) in parts(answer) {
            for it in found(&planted, &text) {
                // On their own pages; and in the ID token that goes back to the provider.
                let is_shown = it.name == "e-mail address" && ["body", "location"].contains(&place);
                if !belongs(it.name).contains(&place) && !is_shown {
                    leaks.push(format!("{it:?} in the {place} of {what}: {text:.300}"));
                }
            }
        }
    }
    // Of what upstreams are sent, only what is theirs.
    for seen in web_ui.requests() {
        let head = String::from_utf8_lossy(&seen.head).into_owned();
        let theirs = ["assertion", "e-mail address"];
        let sent = found(&planted, &head);
        let wrong = sent.iter().filter(|it| !theirs.contains(&it.name));
        leaks.extend(wrong.map(|it| format!("{it:?} sent to a web UI: {head}")));
    }
    for seen in stage.headscale.requests() {
        let head = String::from_utf8_lossy(&seen.head).into_owned();
        let theirs = |it: &&&Planted| match it.name {
            "headscale's state" | "headscale's nonce" | "our code" => {
                seen.path() == "/oidc/callback"
            }
            "device link" => true,
            "api key" | "typed key" => seen.path().starts_with("/api/"),
            "a stranger's text" => seen.target.contains(STRANGERS) || seen.path() == "/ts2021",
            _ => false,
        };
        let sent = found(&planted, &head);
        let wrong = sent.iter().filter(|it| !theirs(it));
        leaks.extend(wrong.map(|it| format!("{it:?} sent to headscale: {head}")));
        let of_our_own = seen.target == "/health"
            || seen.target == "/version"
            || seen.target == "/oidc/callback";
        if of_our_own {
            for field in ["cookie", "authorization"] {
                assert_eq!(seen.fields.value(field), None, "{head}");
            }
        }
        if let Some(referrer) = seen.fields.value("referer") {
            assert!(!referrer.contains('?'), "{head}");
        }
    }
    assert_eq!(leaks, Vec::<String>::new());
    assert!(walk.answers.len() > 100, "{}", walk.answers.len());
}

#[test]
fn no_secret_is_in_a_log_for_people_an_answer_or_a_metric_at_the_most_verbose_level() {
    nothing_leaks("human", None);
}

#[test]
fn no_secret_is_in_a_log_for_machines_an_audit_log_of_its_own_or_a_trace_either() {
    nothing_leaks("json", Some(&Outlets::open()));
}

#[test]
fn what_was_shown_to_one_person_is_kept_from_caches_that_others_share() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let line = session_line(&stage.house, &person);
    let script = |path: &str, fields: &str| {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
        stage
            .headscale
            .script(path, Script::Bytes(bytes.into_bytes()));
    };
    for (fields, meant) in [
        ("", "private"),
        (
            "Cache-Control: public, max-age=31536000, immutable\r\n",
            "max-age=31536000, immutable, private",
        ),
        (
            "Cache-Control: s-maxage=60\r\nCache-Control: must-revalidate\r\n",
            "must-revalidate, private",
        ),
        ("Cache-Control: no-store\r\n", "no-store"),
        (
            "Cache-Control: private, max-age=5\r\n",
            "private, max-age=5",
        ),
        (
            "CDN-Cache-Control: public\r\nSurrogate-Control: max-age=9\r\nX-Accel-Expires: 60\r\n",
            "private",
        ),
        (
            "X-Accel-Redirect: /etc/passwd\r\nX-Sendfile: /etc/passwd\r\n\
             Clear-Site-Data: \"cookies\"\r\n",
            "private",
        ),
    ] {
        for path in ["/windows", "/assets/app.js"] {
            script(path, fields);
            let answer = ask(&stage.house, "GET", path, &[&line]);
            assert_eq!(answer.status(), 200, "{path} {fields}");
            assert_eq!(
                answer.head.fields.values("cache-control"),
                [meant],
                "{path} {fields}"
            );
            for (name, _) in &answer.head.fields.0 {
                let name = name.to_ascii_lowercase();
                let order = name.starts_with("x-accel") || name.starts_with("x-send");
                let order = order || name == "clear-site-data";
                assert!(
                    !order && !name.contains("cdn-") && !name.starts_with("surrogate"),
                    "{name}"
                );
            }
        }
    }
    // Without a session there is nothing to keep, and what is anybody's stays so.
    let refused = ask(&stage.house, "GET", "/assets/app.js", &[]);
    assert_eq!(
        (refused.status(), refused.header("cache-control")),
        (401, Some("no-store"))
    );
    script("/key", "Cache-Control: public, max-age=60\r\n");
    let key = ask(&stage.house, "GET", "/key?v=140", &[]);
    assert_eq!(key.header("cache-control"), Some("public, max-age=60"));
}

#[test]
fn nobody_can_tell_by_an_answer_whether_a_session_a_person_or_a_device_exists() {
    let stage = Stage::start();
    let person = stage.somebody(Account::Member);
    let dead = session_line(&stage.house, &person);
    let out = ask(
        &stage.house,
        "POST",
        "/.headwarden/logout",
        &[SAME_ORIGIN, &dead, "Content-Length: 0"],
    );
    assert_eq!(out.status(), 303);
    let told = |lines: &[&str], target: &str| {
        let answer = ask(&stage.house, "GET", target, lines);
        let mut body = answer.json();
        body["support_id"] = json!(null);
        let mut fields = answer.head.fields.0.clone();
        fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        (answer.status(), fields, body)
    };
    let nothing = told(&[], "/windows");
    let unknown = format!("Cookie: {SESSION}={}", "A".repeat(43));
    for lines in [&[dead.as_str()][..], &[&unknown], &["Cookie: headwarden=x"]] {
        assert_eq!(told(lines, "/windows"), nothing, "{lines:?}");
    }
    for target in [
        format!("/register/{AUTH_ID}"),
        "/register/hskey-authreq-ffffffffffffffffffffffff".to_owned(),
        format!("/auth/{AUTH_ID}"),
        "/admin/users/ada".to_owned(),
    ] {
        assert_eq!(told(&[], &target), nothing, "{target}");
    }
}
