//! G: sessions and cookies. A cookie that is not, bit for bit, one that this very deployment gave out
//! for this very purpose is the same as none.
//!
//! Limits in time are shown with a clock that can be set, in `session::memory` and
//! `session::attempts`; what a session cookie may not look like, in `gate::sessions`.

use std::sync::Arc;

use headwarden::domain::login::{Attempt, AttemptKind};
use headwarden::domain::return_to::ReturnTo;
use headwarden::domain::time::Clock as _;
use headwarden::ops::clock::SystemClock;
use headwarden::ops::entropy::SystemRandom;
use headwarden::session::{Attempts, Cookies, KeyRing};
use http::HeaderMap;
use url::Url;

use crate::faulty_provider::{Endpoint, Fault, Person as Account};
use crate::stage::{Faulty, HTML, SESSION, Stage, ask, request, session_line, session_value};
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options};
use crate::support::house::{CLIENT_ID, HEADSCALE_ID, HEADSCALE_SECRET, House, More, headwarden};
use crate::support::jar::Kept;
use crate::support::person::Person;
use crate::support::raw::{Raw, Response};
use crate::support::tailnet::AUTH_ID;
use crate::support::tls::Authority;

const NAVIGATION: [&str; 3] = [HTML, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];

/// A house that takes many addresses' word: limits are another matter.
fn stage() -> Stage {
    Stage::start_with(|_| More {
        top: "trusted_proxies: [127.0.0.1/32]\n",
        ..More::default()
    })
}

/// What an answer says, without what is new in each.
fn told(answer: &Response) -> (u16, Vec<String>, String) {
    let cut = |text: &str, at: char| text.split(at).next().unwrap_or_default().to_owned();
    let mut fields = Vec::new();
    for (name, value) in &answer.head.fields.0 {
        let value = match name.to_ascii_lowercase().as_str() {
            "date" => continue,
            "location" => cut(value, '?'),
            "set-cookie" => {
                let (pair, attributes) = value.split_once(';').unwrap_or_default();
                format!("{};{attributes}", &pair[..pair.len().min(17)])
            }
            _ => value.clone(),
        };
        fields.push(format!("{name}: {value}"));
    }
    let mut body = answer.text();
    for before in ["Support id <code>", "\"support_id\":\""] {
        if let Some((start, rest)) = body.clone().split_once(before) {
            body = format!("{start}{}", &rest[12..]);
        }
    }
    (answer.status(), fields, body)
}

/// Asks on one connection, and opens another when that one has ended.
struct Asker<'a> {
    house: &'a House,
    raw: Option<Raw>,
    asked: u32,
}

impl<'a> Asker<'a> {
    fn new(house: &'a House) -> Self {
        let (raw, asked) = (None, 0);
        Self { house, raw, asked }
    }

    fn ask(&mut self, target: &str, lines: &[&str], cookie: Option<&[u8]>) -> Response {
        self.asked += 1;
        let from = format!("X-Forwarded-For: 192.0.2.{}", self.asked % 250);
        let mut bytes = request(self.house, "GET", target, &[lines, &[&from]].concat());
        if let Some(cookie) = cookie {
            bytes.truncate(bytes.len() - 2);
            bytes.extend_from_slice(b"Cookie: ");
            bytes.extend_from_slice(cookie);
            bytes.extend_from_slice(b"\r\n\r\n");
        }
        let kept = self.raw.take();
        let answer = kept.and_then(|mut raw| Some((raw.exchange(&bytes).ok()?, raw)));
        let (answer, raw) = answer.unwrap_or_else(|| {
            let mut raw = Raw::connect(self.house.plan.public).expect("a connection");
            (raw.exchange(&bytes).expect("an answer"), raw)
        });
        self.raw = Some(raw);
        answer
    }
}

/// Every text that differs from this one in one bit.
fn flipped(text: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..text.len() * 8).map(|bit| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    })
}

/// Such a byte ends a request before anybody looks at its cookies.
fn is_malformed(cookie: &[u8]) -> bool {
    cookie
        .iter()
        .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
}

#[test]
fn a_session_cookie_with_any_bit_flipped_is_no_cookie() {
    let stage = stage();
    let person = stage.somebody(Account::Member);
    let value = session_value(&stage.house, &person);
    let mut asker = Asker::new(&stage.house);
    let (mut same, mut refused) = (0, 0);
    for lines in [&["Accept: application/json"][..], &NAVIGATION] {
        let without = told(&asker.ask("/windows", lines, None));
        for bytes in flipped(&value) {
            let cookie = [format!("{SESSION}=").as_bytes(), &bytes].concat();
            let answer = asker.ask("/windows", lines, Some(&cookie));
            let shown = String::from_utf8_lossy(&cookie);
            if is_malformed(&bytes) {
                assert_eq!(answer.status(), 400, "{shown}");
                refused += 1;
            } else {
                assert_eq!(told(&answer), without, "{shown}");
                same += 1;
            }
        }
    }
    assert!(
        same + refused == 2 * 43 * 8 && refused < same,
        "{same} {refused}"
    );
    assert_eq!(
        stage
            .headscale
            .requests()
            .iter()
            .filter(|it| it.path() == "/windows")
            .count(),
        1
    );
    let line = session_line(&stage.house, &person);
    assert_eq!(ask(&stage.house, "GET", "/windows", &[&line]).status(), 200);
}

/// An attempt that was begun here: its state, and its cookie's name and value.
fn begun(house: &House) -> (String, String, String) {
    let answer = ask(house, "GET", "/windows", &NAVIGATION);
    let location = Url::parse(answer.header("location").expect("a redirect")).expect("a URL");
    let state = location.query_pairs().find(|(name, _)| name == "state");
    let set = answer.header("set-cookie").expect("an attempt");
    let (name, value) = set
        .split(';')
        .next()
        .unwrap_or_default()
        .split_once('=')
        .expect("a pair");
    let state = state.expect("a state").1.into_owned();
    (state, name.to_owned(), value.to_owned())
}

#[test]
fn an_attempts_cookie_with_any_bit_flipped_is_no_cookie() {
    let stage = stage();
    let (state, name, value) = begun(&stage.house);
    let target = format!("/oidc/callback?code=a&state={state}");
    let mut asker = Asker::new(&stage.house);
    let without = told(&asker.ask(&target, &NAVIGATION, None));
    assert_eq!(without.0, 400);
    let mut same = 0;
    for bytes in flipped(&value) {
        let cookie = [format!("{name}=").as_bytes(), &bytes].concat();
        let answer = asker.ask(&target, &NAVIGATION, Some(&cookie));
        let shown = String::from_utf8_lossy(&cookie);
        if is_malformed(&bytes) {
            assert_eq!(answer.status(), 400, "{shown}");
        } else {
            assert_eq!(told(&answer), without, "{shown}");
            same += 1;
        }
    }
    assert!(same > 1500, "{same}");
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 0);
    let good = format!("{name}={value}");
    asker.ask(&target, &NAVIGATION, Some(good.as_bytes()));
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 1);
}

#[test]
fn garbage_in_place_of_a_cookie_is_no_cookie_and_too_much_of_it_a_431() {
    let stage = stage();
    let person = stage.somebody(Account::Member);
    let good = session_value(&stage.house, &person);
    let mut asker = Asker::new(&stage.house);
    let without = told(&asker.ask("/windows", &[], None));
    let ours = |value: &[u8]| [format!("{SESSION}=").as_bytes(), value].concat();
    let mut rows: Vec<Vec<u8>> = vec![
        ours(b""),
        ours(b"A"),
        ours(b"="),
        ours(b"====="),
        ours(b"\"\""),
        ours(format!("\"{good}\"").as_bytes()),
        ours(format!("{good}\"").as_bytes()),
        ours(format!("{good}.").as_bytes()),
        ours(format!("{good},{good}").as_bytes()),
        ours(format!("{good}%3D").as_bytes()),
        ours(format!("%20{good}").as_bytes()),
        ours(good.replace(|c: char| c.is_ascii_digit(), "+").as_bytes()),
        ours("é".repeat(21).as_bytes()),
        ours(&[0xff; 43]),
        ours(&[b'/'; 43]),
        ours("ａ".repeat(43).as_bytes()),
        SESSION.as_bytes().to_vec(),
        b"=".to_vec(),
        b";;;".to_vec(),
        b";;; ;; = ; ==".to_vec(),
        format!("{SESSION};{good}").into_bytes(),
        format!("={SESSION}={good}").into_bytes(),
        format!("$Version=1; $Path=/; x{SESSION}={good}").into_bytes(),
        format!("{SESSION}={good}; {SESSION}=x").into_bytes(),
        format!("{SESSION}=x; {SESSION}={good}").into_bytes(),
        format!("{SESSION}=; a=b; {SESSION}={good}").into_bytes(),
        format!("{SESSION}={good}; a=b; {SESSION}={good}").into_bytes(),
        format!("{SESSION}={good}\r\nCookie: {SESSION}={good}").into_bytes(),
        format!("{SESSION}=x\r\nCookie: {SESSION}={good}").into_bytes(),
        format!("{SESSION}={good}\r\nCookie: a=b; {SESSION}=").into_bytes(),
        format!("{SESSION} \t=\t{good}x").into_bytes(),
        ours(&vec![b'A'; 20_000]),
    ];
    rows.extend((0..good.len()).map(|length| ours(&good.as_bytes()[..length])));
    for row in &rows {
        let answer = asker.ask("/windows", &[], Some(row));
        let shown = String::from_utf8_lossy(row);
        assert_eq!(told(&answer), without, "{shown:.120}");
    }
    for (row, status) in [
        (ours(&vec![b'A'; 65_536]), 431),
        (vec![b';'; 65_536], 431),
        ("a=b; ".repeat(13_000).into_bytes(), 431),
        (ours(b"\0"), 400),
        (ours(format!("{good}\0").as_bytes()), 400),
        (ours(format!("{good}\x0b").as_bytes()), 400),
        (ours(format!("{good}\n x").as_bytes()), 400),
        (ours(format!("{good}\r\n x").as_bytes()), 400),
    ] {
        let answer = asker.ask("/windows", &[], Some(&row));
        assert_eq!(
            answer.status(),
            status,
            "{:.60}",
            String::from_utf8_lossy(&row)
        );
    }
    let line = session_line(&stage.house, &person);
    assert_eq!(ask(&stage.house, "GET", "/windows", &[&line]).status(), 200);
}

/// The keys of a house, as its replicas would read them.
fn keys_of(house: &House) -> Arc<KeyRing> {
    let random = Arc::new(SystemRandom::new());
    let path = house.plan.files.join("keys.json");
    Arc::new(KeyRing::load_or_create(&path, random).expect("a key ring"))
}

fn attempt() -> Attempt {
    let now = SystemClock.now();
    Attempt::begin(
        &SystemRandom::new(),
        ReturnTo::root(),
        AttemptKind::SignIn,
        now,
    )
}

/// The pair of an attempt's cookie.
fn sealed(attempts: &Attempts, attempt: &Attempt) -> String {
    let planted = attempts.plant(attempt, &HeaderMap::new(), SystemClock.now());
    let planted = planted.expect("it can be sealed");
    planted[0].split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn a_cookie_of_another_place_key_name_or_purpose_is_none() {
    let stage = stage();
    let origin = stage.house.plan.origin();
    let issuer = stage.faulty.provider.issuer();
    let keys = keys_of(&stage.house);
    let ours = Attempts::new(Cookies::new(false), Arc::clone(&keys))
        .bound_to(&[&origin, &issuer, CLIENT_ID]);
    let here = attempt();
    let text = serde_json::to_vec(&here).expect("JSON");
    let good = sealed(&ours, &here);
    let (name, value) = good.split_once('=').expect("a pair");
    let of = |deployment: &[&str]| {
        let attempts = Attempts::new(Cookies::new(false), Arc::clone(&keys));
        sealed(&attempts.bound_to(deployment), &here)
    };
    let with = |purpose: &str| {
        let sealed = keys.seal(name, purpose, &text).expect("it can be sealed");
        format!("{name}={sealed}")
    };
    let elsewhere = tempfile::tempdir().expect("a directory");
    let other_keys = KeyRing::load_or_create(
        &elsewhere.path().join("keys.json"),
        Arc::new(SystemRandom::new()),
    );
    let other_keys = Attempts::new(Cookies::new(false), Arc::new(other_keys.expect("keys")));
    let prefixed = Attempts::new(Cookies::new(true), Arc::clone(&keys))
        .bound_to(&[&origin, &issuer, CLIENT_ID]);
    let other = attempt();
    let target = format!("/oidc/callback?code=a&state={}", here.state);
    let mut asker = Asker::new(&stage.house);
    let without = told(&asker.ask(&target, &NAVIGATION, None));
    for (what, pair) in [
        ("no deployment", of(&[])),
        (
            "another origin",
            of(&["https://other.example", &issuer, CLIENT_ID]),
        ),
        (
            "another provider",
            of(&[&origin, "https://other.example/", CLIENT_ID]),
        ),
        ("another client", of(&[&origin, &issuer, "another"])),
        ("another purpose", with("session")),
        ("no purpose", with("")),
        ("the purpose alone", with("login attempt")),
        ("other keys", sealed(&other_keys, &here)),
        ("over TLS", sealed(&prefixed, &here)),
        (
            "over TLS, renamed",
            format!(
                "{name}={}",
                sealed(&prefixed, &here).split_once('=').unwrap().1
            ),
        ),
        (
            "another attempt, renamed",
            format!(
                "{name}={}",
                sealed(&ours, &other).split_once('=').unwrap().1
            ),
        ),
        ("the name of a session", format!("{SESSION}={value}")),
        (
            "a name in capitals",
            format!("{}={value}", name.to_uppercase()),
        ),
        (
            "not sealed at all",
            format!("{name}={}", String::from_utf8_lossy(&text)),
        ),
    ] {
        let answer = asker.ask(&target, &NAVIGATION, Some(pair.as_bytes()));
        assert_eq!(told(&answer), without, "{what}");
    }
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 0);
    // Sealed as it should be, it is ours: so nothing else was wrong with the others.
    asker.ask(&target, &NAVIGATION, Some(good.as_bytes()));
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 1);

    // And neither can stand for the other.
    let person = stage.somebody(Account::Member);
    let id = session_value(&stage.house, &person);
    let without = told(&asker.ask("/windows", &[], None));
    for pair in [format!("{SESSION}={value}"), format!("{name}={id}")] {
        assert_eq!(
            told(&asker.ask("/windows", &[], Some(pair.as_bytes()))),
            without
        );
    }
    let neighbour = self::stage();
    let line = format!("Cookie: {SESSION}={id}");
    assert_eq!(
        ask(&neighbour.house, "GET", "/windows", &[&line]).status(),
        401
    );
}

#[test]
fn a_sign_in_ends_every_session_that_the_browser_brought() {
    let stage = Stage::start();
    let attacker = stage.somebody(Account::Admin);
    let planted = session_value(&stage.house, &attacker);
    let mut victim = stage.somebody(Account::Member);
    let own = session_value(&stage.house, &victim);
    let kept = |value: &str, path: &str| Kept {
        host: stage.house.plan.public.to_string(),
        name: SESSION.to_owned(),
        value: value.to_owned(),
        path: path.to_owned(),
        secure: false,
        http_only: false,
        same_site: ::cookie::SameSite::Lax,
    };
    // Tossed in from somewhere with a longer path, it comes first at the callback; the two of them
    // are nobody.
    victim.jar.plant(kept(&planted, "/oidc"));
    let page = victim.open(&stage.house.url("/.headwarden/sign-in"));
    let mut held = victim.jar.at(&page.url).into_iter();
    let after = held.find(|kept| kept.name == SESSION && kept.path == "/");
    let after = after.expect("a session").value.clone();
    assert!(after != planted && after != own);
    let alive = |value: &str| {
        let line = format!("Cookie: {SESSION}={value}");
        ask(&stage.house, "GET", "/windows", &[&line]).status()
    };
    assert_eq!(
        (alive(&planted), alive(&own), alive(&after)),
        (401, 401, 200),
        "{}",
        page.url
    );
}

#[test]
fn the_key_ring_is_rotated_by_a_command_and_a_restart() {
    let mut stage = Stage::start();
    let plan = |stage: &Stage, arguments: &[&str]| {
        let output = headwarden(&stage.house.plan, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let restart = |stage: &mut Stage| {
        stage.house.restart(&[]);
        stage.house.wait_for_log("serving");
    };
    let begin = |stage: &Stage| {
        let mut person = Person::new();
        let (answered, _) = stage.callback_for(&mut person, "/windows");
        (person, answered)
    };
    // Begun before, finished after.
    let (mut person, answered) = begin(&stage);
    let said = plan(&stage, &["rotate-keys"]);
    assert!(said.contains("is the newest key"), "{said}");
    assert!(said.contains("still opens what it sealed"), "{said}");
    restart(&mut stage);
    let landed = person.follow(answered);
    assert_eq!(
        landed.url.as_str(),
        stage.house.url("/windows"),
        "{}",
        landed.text()
    );
    assert_eq!(landed.status(), 200);

    // With the newest key first.
    let text = std::fs::read_to_string(stage.house.plan.files.join("keys.json"));
    let ring: serde_json::Value = serde_json::from_str(&text.expect("a file")).expect("JSON");
    let newest = ring[0]["id"].as_str().expect("an id").to_owned();
    assert!(said.starts_with(&newest), "{said}");
    let (mut person, answered) = begin(&stage);

    // Dropped, it opens nothing.
    let said = plan(&stage, &["rotate-keys", "--forget-old"]);
    assert!(said.contains(&format!("{newest} is gone")), "{said}");
    restart(&mut stage);
    let hits = stage.faulty.provider.hits(Endpoint::Token);
    let landed = person.follow(answered);
    assert_eq!(landed.status(), 400);
    assert!(
        landed.text().contains("Cookies are needed"),
        "{}",
        landed.text()
    );
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), hits);
    // Nothing of the keys was said.
    for key in ring.as_array().expect("keys") {
        assert!(!said.contains(key["key"].as_str().expect("a key")));
    }
    assert_eq!(
        Person::new().open(&stage.house.url("/windows")).status(),
        200
    );
}

#[test]
fn after_a_restart_nobody_is_in_and_the_rules_are_those_of_the_file() {
    let mut stage = Stage::start();
    let mut person = stage.somebody(Account::Member);
    let line = session_line(&stage.house, &person);
    let path = stage.house.plan.files.join("config.yaml");
    let text = std::fs::read_to_string(&path).expect("a file");
    let text = text.replace("allowed_groups: [/headscale]", "allowed_groups: [others]");
    std::fs::write(&path, text).expect("it can be written");
    stage.house.restart(&[]);
    stage.house.wait_for_log("serving");
    assert_eq!(ask(&stage.house, "GET", "/windows", &[&line]).status(), 401);
    let page = person.open(&stage.house.url("/windows"));
    assert_eq!(page.status(), 403, "{}", page.text());
    assert_eq!(ask(&stage.house, "GET", "/windows", &[&line]).status(), 401);
}

/// A house with TLS of its own, at `https://localhost`.
struct Secure {
    _house: House,
    faulty: Faulty,
    authority: Authority,
    origin: String,
    _headscale: HeadscaleStandin,
}

impl Secure {
    fn start() -> Self {
        let faulty = Faulty::start();
        let headscale = HeadscaleStandin::start(Options::default());
        let authority = Authority::new();
        let mut origin = String::new();
        let house = House::start(|plan| {
            origin = format!("https://localhost:{}", plan.public.port());
            let (chain, key) = authority.certificate(&["localhost"]).write(&plan.files);
            let listen = format!("  - address: \"{}\"\n", plan.public);
            let tls = format!(
                "    tls: {{ cert_path: {}, key_path: {} }}\n",
                chain.display(),
                key.display()
            );
            let issuer = faulty.provider.issuer();
            let text = plan.config(&headscale.url(), &issuer, &More::default());
            text.replace(&plan.origin(), &origin)
                .replace(&listen, &format!("{listen}{tls}"))
        });
        let (server_url, issuer) = (origin.clone(), house.plan.issuer_url());
        headscale.configure(|options| {
            options.server_url = server_url;
            options.oidc = Some(Oidc::trusting(&issuer, HEADSCALE_ID, HEADSCALE_SECRET));
        });
        Self {
            _house: house,
            faulty,
            authority,
            origin,
            _headscale: headscale,
        }
    }

    fn person(&self) -> Person {
        Person::new().trusting(self.authority.client(&[]))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

/// Walks to every answer that sets or deletes a cookie of ours; all answers of the house.
fn every_answer(secure: &Secure) -> Vec<(Url, Response)> {
    let mut person = secure.person();
    // Attempts, and deletions of the oldest.
    for tab in 0..12 {
        person.get(&secure.url(&format!("/windows?{tab}")));
    }
    // A sign-in; its callback once more; one that the provider refuses; one that fails.
    let landed = person.open(&secure.url("/windows"));
    assert_eq!(landed.status(), 200, "{}", landed.text());
    let callback = landed
        .hops
        .iter()
        .find(|hop| hop.url.path() == "/oidc/callback");
    let callback = callback.expect("it came back").url.clone();
    person.get(callback.as_str());
    secure
        .faulty
        .provider
        .set(|knobs| knobs.authorize_error = Some("access_denied".to_owned()));
    person.open(&secure.url("/.headwarden/sign-in"));
    secure
        .faulty
        .provider
        .set(|knobs| knobs.authorize_error = None);
    secure.faulty.provider.bend(Fault::NonceWrong);
    person.open(&secure.url("/.headwarden/sign-in?switch=1"));
    // A step-up: what the provider does not date is not fresh.
    secure.faulty.provider.bend(Fault::AuthTimeAbsent);
    person.open(&secure.url("/.headwarden/sign-in"));
    let asked = person.get(&secure.url(&format!("/auth/{AUTH_ID}")));
    assert_eq!(asked.status(), 303, "{}", asked.text());
    person.follow(asked);
    secure.faulty.provider.mend();
    // Somebody whom the rules refuse; a callback whose parameters are doubled.
    secure
        .faulty
        .provider
        .set(|knobs| knobs.person = Account::Outsider);
    let mut outsider = secure.person();
    assert_eq!(outsider.open(&secure.url("/windows")).status(), 403);
    secure
        .faulty
        .provider
        .set(|knobs| knobs.person = Account::Member);
    let begun = outsider.get(&secure.url("/windows"));
    let answered = outsider.step(begun);
    let doubled = format!("{}&code=b", answered.redirect().expect("an answer"));
    assert_eq!(outsider.get(&doubled).status(), 400);
    // Signing out; the page after it, with a cookie that is dead.
    let asked = person.open(&secure.url("/.headwarden/logout"));
    let dead = person
        .jar
        .at(&asked.url)
        .into_iter()
        .cloned()
        .collect::<Vec<_>>();
    let out = person.submit(&asked, "", &[]);
    assert_eq!(out.status(), 303, "{}", out.text());
    for kept in dead {
        person.jar.plant(kept);
    }
    person.get(&secure.url("/.headwarden/signed-out"));
    let there = out.redirect().expect("the provider").clone();
    let mut pairs = there.query_pairs();
    let (_, state) = pairs.find(|(name, _)| name == "state").expect("a state");
    person.get(&secure.url(&format!("/.headwarden/signed-out?state={state}")));
    assert_eq!(
        (&person.jar.refused, &outsider.jar.refused),
        (&vec![], &vec![])
    );
    let mut answers = person.answers;
    answers.extend(outsider.answers);
    answers.retain(|(url, _)| url.origin().ascii_serialization() == secure.origin);
    answers
}

#[test]
fn every_cookie_that_is_set_or_deleted_belongs_to_this_host_over_tls_alone() {
    let secure = Secure::start();
    let answers = every_answer(&secure);
    let mut kinds: Vec<String> = Vec::new();
    for (url, answer) in &answers {
        for field in answer.head.fields.values("set-cookie") {
            let mut parts = field.split("; ");
            let (name, value) = parts
                .next()
                .unwrap_or_default()
                .split_once('=')
                .expect("a pair");
            let attributes: Vec<&str> = parts.collect();
            let kind = match name {
                "__Host-headwarden" => "session",
                "__Host-headwarden-sign-out" => "sign-out",
                login if login.starts_with("__Host-headwarden-login-") => "login",
                _ => panic!("{field}"),
            };
            let always = ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"];
            let deletes = ["Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"];
            let more: &[&str] = match (value, kind) {
                ("", _) => &deletes,
                (_, "session") => &[],
                _ => &["Max-Age=600"],
            };
            assert_eq!(attributes, [&always[..], more].concat(), "{url}: {field}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{url}");
            kinds.push(format!(
                "{kind} {}",
                if value.is_empty() { "deleted" } else { "set" }
            ));
        }
    }
    let count = |kind: &str| kinds.iter().filter(|it| *it == kind).count();
    assert!(kinds.len() > 20, "{kinds:?}");
    for (kind, least) in [
        ("login set", 2),
        ("login deleted", 2),
        ("session set", 2),
        ("session deleted", 2),
        ("sign-out set", 1),
        ("sign-out deleted", 1),
    ] {
        assert!(count(kind) >= least, "{kind}: {kinds:?}");
    }
    // Without its prefix, a cookie is anybody's.
    let mut person = secure.person();
    person.open(&secure.url("/windows"));
    let home = Url::parse(&secure.url("/")).expect("a URL");
    let id = person.jar.at(&home)[0].value.clone();
    for (pair, status) in [
        (format!("__Host-headwarden={id}"), 200),
        (format!("headwarden={id}"), 401),
        (format!("__Secure-headwarden={id}"), 401),
        (format!("__host-headwarden={id}"), 401),
        (format!("__HOST-HEADWARDEN={id}"), 401),
    ] {
        let line = format!("Cookie: {pair}");
        let answer = Person::new()
            .trusting(secure.authority.client(&[]))
            .request("GET", &secure.url("/windows"), &[&line], b"");
        assert_eq!(answer.status(), status, "{pair}");
    }
}
