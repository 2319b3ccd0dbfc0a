//! Group D: no redirect leads anywhere but to this origin, or to the provider's own endpoints. Every
//! place that redirects is asked: the way back after a sign-in, kept sealed or brought by somebody; the
//! callback, signing out, Headscale's authorization, confirmations, and the plaintext listener.

mod vectors;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use headwarden::domain::return_to::ReturnTo;
use headwarden::ops::entropy::SystemRandom;
use headwarden::session::KeyRing;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::faulty_provider::{Endpoint, Person as Account};
use crate::stage::{Faulty, HTML, SAME_ORIGIN, Stage, ask, send, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{CLIENT_ID, House, More};
use crate::support::html;
use crate::support::person::Person;
use crate::support::raw::Response;
use crate::support::tailnet::AUTH_ID;
use vectors::{BACKS, FRONTS, HARMLESS, HOSTILE, HOSTS};

const ORIGIN: &str = "https://headscale.company";
const CALLBACK: &str = "https://headscale.company/oidc/callback";
const SIGNED_OUT: &str = "https://headscale.company/.headwarden/signed-out";

/// The oracle: a browser that gets this `Location` from us stays with us, and so does a simpler one.
fn stays(location: &str) -> bool {
    let ours = Url::parse(ORIGIN).expect("a URL");
    let bytes = location.as_bytes();
    bytes.first() == Some(&b'/')
        && !matches!(bytes.get(1), Some(b'/' | b'\\'))
        && bytes.iter().all(u8::is_ascii_graphic)
        && ours
            .join(location)
            .is_ok_and(|url| url.origin() == ours.origin())
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The ways in which a text may have been read before it is taken for a target.
fn readings(text: &str) -> BTreeSet<String> {
    let once = decode(text);
    let plus = text.replace('+', " ");
    let mut all = BTreeSet::from([
        text.to_owned(),
        decode(&once),
        decode(&plus),
        once,
        plus,
        format!("/{text}"),
        format!("/{}", encode(text)),
        format!("/{}", encode(&encode(text))),
        text.trim().to_owned(),
    ]);
    all.insert(encode(text));
    all
}

/// Every front with every host and every back.
fn composed() -> impl Iterator<Item = String> {
    FRONTS.iter().flat_map(|front| {
        HOSTS
            .iter()
            .flat_map(move |host| BACKS.iter().map(move |back| format!("{front}{host}{back}")))
    })
}

#[test]
fn no_text_is_a_way_back_unless_a_browser_stays_with_us() {
    let (mut tried, mut taken) = (0, 0);
    let mut check = |text: &str| {
        let known = ReturnTo::parse(text);
        tried += 1;
        taken += usize::from(known.is_some());
        let fine = known.is_none_or(|to| to.as_str() == text && stays(text));
        assert!(fine, "{text:?} would be a way back");
    };
    for text in HOSTILE {
        assert_eq!(ReturnTo::parse(text), None, "{text:?}");
        for reading in readings(text) {
            check(&reading);
        }
    }
    for text in composed() {
        assert_eq!(ReturnTo::parse(&text), None, "{text:?}");
        for reading in readings(&text) {
            check(&reading);
        }
    }
    for text in HARMLESS {
        assert!(ReturnTo::parse(text).is_some(), "{text:?}");
        for reading in readings(text) {
            check(&reading);
        }
    }
    assert!(HOSTILE.len() >= 450 && HARMLESS.len() >= 90);
    assert!(
        tried >= 75_000 && taken >= 400,
        "{taken} of {tried} were taken"
    );
}

/// A house at [`ORIGIN`] behind a proxy that takes the TLS off and says who the client is.
struct Front {
    house: House,
    faulty: Faulty,
    clients: Cell<u32>,
    _headscale: HeadscaleStandin,
}

impl Front {
    fn start() -> Self {
        let faulty = Faulty::start();
        let headscale = HeadscaleStandin::start(Options::default());
        let house = House::start(|plan| {
            let more = More {
                top: "trusted_proxies: [127.0.0.1/32]\n",
                ..More::default()
            };
            let text = plan.config(&headscale.url(), &faulty.provider.issuer(), &more);
            text.replace(&plan.origin(), ORIGIN)
        });
        Self {
            house,
            faulty,
            clients: Cell::new(0),
            _headscale: headscale,
        }
    }

    /// One request, each of another client, so that no limit is in the way.
    fn ask(&self, method: &str, target: &str, lines: &[&str], body: &str) -> Response {
        let client = self.clients.replace(self.clients.get() + 1);
        let [_, b, c, d] = client.to_be_bytes();
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-For: 10.{b}.{c}.{d}\r\n"
        );
        if !lines.iter().any(|line| line.starts_with("Host: ")) {
            head.push_str("Host: headscale.company\r\n");
        }
        for line in lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        if method == "POST" {
            head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        send(
            self.house.plan.public,
            format!("{head}\r\n{body}").as_bytes(),
        )
    }

    /// The provider's endpoint of this name.
    fn at_the_provider(&self, endpoint: &str) -> String {
        let issuer = self.faulty.provider.issuer();
        let origin = Url::parse(&issuer).unwrap().origin().ascii_serialization();
        match endpoint {
            "authorize" => format!("{origin}/application/o/authorize/?"),
            other => format!("{issuer}{other}/?"),
        }
    }

    /// Whether this `Location` leads to a page of ours, or to an endpoint of the provider's with our own
    /// way back.
    fn is_allowed(&self, location: &str) -> bool {
        let back = |name: &str, value: &str| {
            let url = Url::parse(location).unwrap();
            let found: Vec<String> = url
                .query_pairs()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
                .collect();
            found == [value]
        };
        if location.starts_with(&self.at_the_provider("authorize")) {
            back("redirect_uri", CALLBACK)
        } else if location.starts_with(&self.at_the_provider("end-session")) {
            back("post_logout_redirect_uri", SIGNED_OUT)
        } else {
            stays(location)
        }
    }

    /// Goes on from the redirect that a sign-in begins with, through the provider, to where a person
    /// lands; and the session's cookie.
    fn finish(&self, begun: &Response) -> (String, String) {
        let away = begun.header("location").expect("a redirect");
        assert!(self.is_allowed(away), "{away}");
        let answered = Person::new().get(away);
        let back = answered.header("location").expect("the provider answers");
        let target = back.strip_prefix(ORIGIN).expect("the way back is ours");
        let attempt = pair(begun.header("set-cookie").expect("an attempt"));
        let cookie = format!("Cookie: {attempt}");
        let landed = self.ask("GET", target, &[HTML, &cookie], "");
        assert_eq!(landed.status(), 303, "{}", landed.text());
        let cookies = landed.head.fields.values("set-cookie");
        let session = cookies
            .iter()
            .find(|cookie| cookie.starts_with("__Host-headwarden="))
            .expect("a session");
        let location = landed.header("location").expect("a way back").to_owned();
        (location, format!("Cookie: {}", pair(session)))
    }
}

fn pair(cookie: &str) -> String {
    cookie.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn an_ordinary_link_is_where_a_person_lands_after_signing_in() {
    let front = Front::start();
    for link in HARMLESS {
        let begun = front.ask("GET", link, &[HTML], "");
        assert_eq!(begun.status(), 303, "{link}: {}", begun.text());
        let (landed, _) = front.finish(&begun);
        assert_eq!(landed, *link);
    }
}

#[test]
fn whatever_is_asked_for_a_person_lands_on_this_origin() {
    let front = Front::start();
    let (mut asked, mut signed_in) = (0, 0);
    let all: BTreeSet<String> = HOSTILE.iter().flat_map(|text| readings(text)).collect();
    for target in &all {
        asked += 1;
        let begun = front.ask("GET", target, &[HTML], "");
        match begun.status() {
            303 => {
                signed_in += 1;
                let (landed, _) = front.finish(&begun);
                assert!(stays(&landed), "{target:?} leads to {landed:?}");
                assert!(landed == *target || landed == "/", "{target:?}: {landed:?}");
            }
            status => {
                assert!(
                    matches!(status, 200 | 400 | 401 | 404 | 405 | 414),
                    "{target:?}: {status}"
                );
                assert_eq!(begun.header("location"), None, "{target:?}");
            }
        }
    }
    assert!(asked >= 2000 && signed_in >= 50, "{signed_in} of {asked}");
}

/// Names under which somebody reads where to go.
const NAMES: [&str; 24] = [
    "rd",
    "rd",
    "next",
    "url",
    "uri",
    "return",
    "return_to",
    "returnTo",
    "return_url",
    "redirect",
    "redirect_url",
    "redirect_uri",
    "redirectUrl",
    "post_logout_redirect_uri",
    "continue",
    "dest",
    "destination",
    "goto",
    "target",
    "to",
    "back",
    "RelayState",
    "service",
    "id",
];

/// `text` under all of the names, as a form.
fn under_every_name(text: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(NAMES.map(|name| (name, text)))
        .finish()
}

#[test]
fn no_parameter_leads_anywhere() {
    let front = Front::start();
    let begun = front.ask("GET", "/windows", &[HTML], "");
    let (_, session) = front.finish(&begun);
    let post: [&str; 2] = [SAME_ORIGIN, HTML];
    let forged = [
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Prefix: //evil.example",
        "X-Original-URL: //evil.example",
        "Referer: https://evil.example/",
        "Origin: https://evil.example",
    ];
    let origin = Url::parse(ORIGIN).unwrap();
    // Long ones are the business of another test.
    for text in HOSTILE.iter().filter(|text| text.len() < 60) {
        let form = under_every_name(text);
        for (method, path, lines) in [
            ("GET", "/.headwarden/sign-in", vec![HTML]),
            ("GET", "/.headwarden/logout", vec![HTML]),
            ("POST", "/.headwarden/logout", post.to_vec()),
            ("GET", "/.headwarden/signed-out", vec![HTML]),
            ("GET", "/.headwarden/authorize", vec![HTML, &session]),
            (
                "POST",
                "/.headwarden/confirm-register",
                [&post[..], &[&session]].concat(),
            ),
            (
                "POST",
                "/.headwarden/confirm-ssh",
                [&post[..], &[&session]].concat(),
            ),
            ("GET", "/oidc/callback", vec![HTML, &session]),
            ("GET", "/.headwarden/nothing", vec![HTML]),
            ("GET", "/register/x", vec![HTML, &session]),
        ] {
            let lines = [&lines[..], &forged[..]].concat();
            let target = format!("{path}?{form}");
            let answer = front.ask(method, &target, &lines, &form);
            let what = format!("{method} {path} with {text:?}");
            assert!(answer.status() < 500, "{what}: {}", answer.text());
            if let Some(location) = answer.header("location") {
                assert!(front.is_allowed(location), "{what}: {location:?}");
                assert!(!location.contains("evil"), "{what}: {location:?}");
            }
            assert_eq!(answer.header("refresh"), None, "{what}");
            // What a person could click or send stays as well, and says nothing of it.
            let page = answer.text();
            assert!(!page.contains("evil"), "{what}: {page}");
            let leads = html::links(&page, &origin).into_iter();
            for url in leads.chain(
                html::forms(&page, &origin)
                    .into_iter()
                    .map(|form| form.action),
            ) {
                assert_eq!(url.origin(), origin.origin(), "{what}: {url}");
            }
        }
    }
}

#[test]
fn a_bad_way_back_that_was_sealed_is_looked_at_again() {
    let front = Front::start();
    let path = front.house.plan.files.join("keys.json");
    let keys = KeyRing::load_or_create(&path, Arc::new(SystemRandom::new())).unwrap();
    // A sign-in as it begins, and what it is sealed for: with the deployment, or without.
    let begun = front.ask("GET", "/windows", &[HTML], "");
    let cookie = pair(begun.header("set-cookie").expect("an attempt"));
    let (name, sealed) = cookie.split_once('=').unwrap();
    let issuer = front.faulty.provider.issuer();
    let deployment =
        [ORIGIN, issuer.as_str(), CLIENT_ID].map(|text| format!(" {}:{text}", text.len()));
    let purposes = [
        "login attempt".to_owned(),
        format!("login attempt{}", deployment.concat()),
    ];
    let opened = |purpose: &&String| keys.open(name, purpose, sealed.as_bytes()).is_some();
    let purpose = purposes.iter().find(opened).expect("it is sealed for us");
    let text = keys.open(name, purpose, sealed.as_bytes()).unwrap();
    let attempt: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(attempt["return_to"], "/windows");
    let state = attempt["state"].as_str().unwrap().to_owned();
    // What an older or a careless version might have sealed.
    let brought = |return_to: &str| {
        let mut attempt = attempt.clone();
        attempt["return_to"] = return_to.into();
        let text = attempt.to_string();
        let sealed = keys.seal(name, purpose, text.as_bytes()).unwrap();
        let cookie = format!("Cookie: {name}={sealed}");
        let target = format!("/oidc/callback?state={state}&code=invented");
        front.ask("GET", &target, &[HTML, &cookie], "")
    };
    for text in HOSTILE.iter().filter(|text| text.len() < 1024) {
        let answer = brought(text);
        assert_eq!(answer.status(), 400, "{text:?}: {}", answer.text());
        assert_eq!(answer.header("location"), None, "{text:?}");
        assert!(answer.text().contains("Cookies are needed"), "{text:?}");
    }
    let redeemed = || front.faulty.provider.hits(Endpoint::Token);
    assert_eq!(redeemed(), 0, "nothing of it was redeemed");
    // One that is fine gets as far as its code, which nobody gave out.
    let answer = brought("/windows?tab=2");
    assert_eq!((answer.status(), redeemed()), (502, 1), "{}", answer.text());
}

#[test]
fn a_way_back_that_is_too_long_leads_to_the_front_page() {
    let front = Front::start();
    for (length, kept) in [(1024, true), (2048, true), (2049, false), (8000, false)] {
        let link = format!("/ui/{}", "a".repeat(length - 4));
        let begun = front.ask("GET", &link, &[HTML], "");
        let (landed, _) = front.finish(&begun);
        assert_eq!(landed == link, kept, "{length}");
        assert!(kept || landed == "/", "{length}");
    }
    for length in [8 * 1024 + 1, 64 * 1024] {
        let link = format!("//evil.example/{}", "a".repeat(length));
        let answer = front.ask("GET", &link, &[HTML], "");
        assert!(matches!(answer.status(), 414 | 431), "{length}");
        assert_eq!(answer.header("location"), None, "{length}");
    }
}

#[test]
fn signing_out_leads_to_the_provider_and_back_to_our_own_page() {
    let front = Front::start();
    for text in HOSTILE
        .iter()
        .filter(|text| text.starts_with("//") || text.contains(":/"))
        .step_by(9)
    {
        let begun = front.ask("GET", "/windows", &[HTML], "");
        let (_, session) = front.finish(&begun);
        let form = under_every_name(text);
        let target = format!("/.headwarden/logout?{form}");
        let lines = [
            SAME_ORIGIN,
            HTML,
            &session,
            "X-Forwarded-Host: evil.example",
        ];
        let answer = front.ask("POST", &target, &lines, &form);
        let location = answer.header("location").expect("a redirect");
        assert!(
            location.starts_with(&front.at_the_provider("end-session")),
            "{text:?}: {location}"
        );
        assert!(
            front.is_allowed(location) && !location.contains("evil"),
            "{text:?}: {location}"
        );
        // Once more, without a session: straight to our page.
        let answer = front.ask("POST", &target, &lines, &form);
        assert_eq!(
            answer.header("location"),
            Some("/.headwarden/signed-out"),
            "{text:?}"
        );
    }
}

#[test]
fn another_host_gets_no_redirect_however_much_it_looks_like_ours() {
    let front = Front::start();
    for (host, ours) in [
        ("headscale.company", true),
        ("HEADSCALE.COMPANY", true),
        ("headscale.company:443", true),
        ("headscale.company:8080", true),
        ("headscale.company.", false),
        ("evil.example", false),
        ("evilheadscale.company", false),
        ("headscale.company.evil.example", false),
        ("evil.headscale.company", false),
        ("headscale-company", false),
        ("headscaleXcompany", false),
        ("headscale.companyx", false),
        ("headscale.compan", false),
        ("company", false),
        ("www.headscale.company", false),
        ("xn--hedscale-8fg.company", false),
        ("headscale.company:8080@evil.example", false),
        ("evil.example#headscale.company", false),
        ("headscale.company, evil.example", false),
        ("headscale.company%2eevil.example", false),
        ("127.0.0.1", false),
        ("localhost", false),
    ] {
        let line = format!("Host: {host}");
        for (method, target) in [
            ("GET", "/windows"),
            ("GET", "/.headwarden/sign-in"),
            ("POST", "/.headwarden/logout"),
            ("GET", "/oidc/callback?state=hw1.x&code=x"),
        ] {
            let answer = front.ask(method, target, &[&line, HTML, SAME_ORIGIN], "");
            let location = answer.header("location");
            if ours {
                assert!(
                    location.is_none_or(|to| front.is_allowed(to)),
                    "{host} {target}"
                );
                assert_ne!(answer.status(), 421, "{host} {target}");
            } else {
                assert_eq!(location, None, "{host} {target}");
                assert!(matches!(answer.status(), 400 | 421), "{host} {target}");
            }
        }
    }
}

#[test]
fn headscales_authorization_comes_back_to_headscale_and_nowhere_else() {
    let mut stage = Stage::start();
    stage.house.wait_for_log("headscale's version");
    let mut person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    let asked = person.get(&stage.house.url(&format!("/register/{AUTH_ID}")));
    let genuine = asked.redirect().expect("headscale asks who it is").clone();
    assert_eq!(genuine.path(), "/.headwarden/authorize");
    let with = |name: &str, value: &str| {
        let mut url = genuine.clone();
        let others: Vec<(String, String)> = genuine.query_pairs().into_owned().collect();
        let mut query = url.query_pairs_mut();
        query.clear();
        for (key, old) in &others {
            query.append_pair(key, if key == name { value } else { old });
        }
        drop(query);
        format!("{}?{}", url.path(), url.query().unwrap_or_default())
    };
    let own = stage.house.url("/oidc/callback");
    let near = [
        format!("{own}/"),
        format!("{own}?x"),
        format!("{own}#x"),
        format!("{own}/../../evil"),
        own.to_uppercase(),
        own.replace("http://", "https://"),
        own.replace("http://", "http://evil.example@"),
        own.replace("127.0.0.1", "127.0.0.1.evil.example"),
        "/oidc/callback".to_owned(),
    ];
    let all = HOSTILE.iter().map(|text| (*text).to_owned()).chain(near);
    for value in all.filter(|value| value.len() < 1024) {
        for name in ["redirect_uri", "state"] {
            let answer = ask(&stage.house, "GET", &with(name, &value), &[&session, HTML]);
            assert_eq!(answer.status(), 400, "{name} {value:?}: {}", answer.text());
            assert_eq!(answer.header("location"), None, "{name} {value:?}");
        }
    }
    // Twice is not once.
    let twice = format!("{}&redirect_uri={own}", with("", ""));
    let answer = ask(&stage.house, "GET", &twice, &[&session, HTML]);
    assert_eq!(answer.header("location"), None);
    // The one that Headscale asked for is answered, at its own callback.
    let answer = ask(&stage.house, "GET", &with("", ""), &[&session, HTML]);
    let location = answer.header("location").expect("an answer");
    assert!(location.starts_with(&format!("{own}?code=")), "{location}");
}

#[test]
fn a_confirmation_leads_to_the_link_it_was_about_and_nowhere_else() {
    let mut stage = Stage::start();
    stage
        .headscale
        .configure(|options| options.version = "v0.28.0".to_owned());
    stage.house.wait_for_log("headscale's version");
    let mut person = stage.somebody(Account::Member);
    let link = stage.house.url(&format!("/auth/{AUTH_ID}"));
    let page = person.open(&link);
    let form = page.form("");
    assert_eq!(form.action.path(), "/.headwarden/confirm-ssh");
    for id in HOSTILE.iter().filter(|id| id.len() < 1024) {
        let answer = person.submit(&page, "", &[("id", id)]);
        assert_eq!(answer.status(), 400, "{id:?}: {}", answer.text());
        assert_eq!(answer.header("location"), None, "{id:?}");
    }
    let answer = person.submit(&page, "", &[("rd", "//evil.example"), ("id", AUTH_ID)]);
    let location = answer.header("location").map(str::to_owned);
    assert_eq!(
        location,
        Some(format!("/auth/{AUTH_ID}")),
        "{}",
        answer.text()
    );
}

#[test]
fn the_plaintext_listener_sends_people_to_our_own_https_and_nowhere_else() {
    let headscale = HeadscaleStandin::start(Options::default());
    let faulty = Faulty::start();
    let house = House::start(|plan| {
        let more = More {
            top: "trusted_proxies: [10.0.0.0/8]\n",
            ..More::default()
        };
        let text = plan.config(&headscale.url(), &faulty.provider.issuer(), &more);
        text.replace(&plan.origin(), ORIGIN)
    });
    let origin = Url::parse(ORIGIN).unwrap();
    let get = |method: &str, target: &str, host: &str| {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: evil.example\r\n{HTML}\r\n\r\n"
        );
        send(house.plan.public, head.as_bytes())
    };
    let (mut asked, mut redirected) = (0, 0);
    let hostile = HOSTILE.iter().flat_map(|text| readings(text));
    let all: BTreeSet<String> = hostile
        .chain(HARMLESS.iter().map(|text| (*text).to_owned()))
        .collect();
    for (at, target) in all.iter().enumerate() {
        let method = if at % 2 == 0 { "GET" } else { "HEAD" };
        let answer = get(method, target, "headscale.company");
        asked += 1;
        let Some(location) = answer.header("location") else {
            assert!(
                matches!(answer.status(), 400 | 414),
                "{target:?}: {}",
                answer.status()
            );
            continue;
        };
        redirected += 1;
        assert_eq!(answer.status(), 308, "{target:?}");
        assert_eq!(location, format!("{ORIGIN}{target}"));
        assert!(stays(target), "{target:?}");
        let url = Url::parse(location).unwrap();
        assert_eq!(url.origin(), origin.origin(), "{location}");
        assert_eq!((url.username(), url.password()), ("", None), "{location}");
    }
    assert!(
        asked >= 2000 && redirected >= HARMLESS.len(),
        "{redirected} of {asked}"
    );
    for host in [
        "evil.example",
        "headscale.company:80",
        "headscale.company.evil.example",
        "[::1]",
    ] {
        let answer = get("GET", "/windows", host);
        let location = answer.header("location").map(str::to_owned);
        assert_eq!(location, Some(format!("{ORIGIN}/windows")), "{host}");
    }
    assert!(
        headscale
            .requests()
            .iter()
            .all(|seen| seen.path() != "/windows")
    );
}

#[test]
fn no_page_redirects_for_a_slash_or_a_case() {
    let front = Front::start();
    let begun = front.ask("GET", "/windows", &[HTML], "");
    let (_, session) = front.finish(&begun);
    for target in [
        "/windows/",
        "/Windows",
        "/ui",
        "/ui/",
        "/register",
        "/register/",
        "/.headwarden",
        "/.headwarden/",
        "/apple/",
        "/oidc/callback/",
        "/health/",
        "/key/",
    ] {
        let answer = front.ask("GET", target, &[HTML, &session], "");
        assert_eq!(
            answer.header("location"),
            None,
            "{target}: {}",
            answer.status()
        );
    }
}

/// Pages of ours that people end up on, each with its status: what was asked, and with which cookies.
fn pages(front: &Front) -> Vec<(&'static str, Response)> {
    let begun = front.ask("GET", "/windows", &[HTML], "");
    let (_, session) = front.finish(&begun);
    let get =
        |target: &str, lines: &[&str]| front.ask("GET", target, &[&[HTML], lines].concat(), "");
    let error = "error=access_denied&error_description=%3Ca%20href=https://evil.example%3E&\
                 error_uri=https://evil.example/";
    let begun_anew = front.ask("GET", "/windows", &[HTML], "");
    let attempt = format!("Cookie: {}", pair(begun_anew.header("set-cookie").unwrap()));
    let away = Url::parse(begun_anew.header("location").unwrap()).unwrap();
    let state = away
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned();
    vec![
        ("signing out", get("/.headwarden/logout", &[&session])),
        (
            "signed out",
            get("/.headwarden/signed-out?rd=//evil.example", &[]),
        ),
        (
            "nothing here",
            get("/.headwarden/nothing?//evil.example", &[]),
        ),
        ("closed", get("/metrics?https://evil.example", &[])),
        (
            "misdirected",
            get("/windows?//evil.example", &["Host: evil.example"]),
        ),
        (
            "no answer",
            get("/oidc/callback?iss=https://evil.example", &[]),
        ),
        (
            "no cookie",
            get(&format!("/oidc/callback?state={state}&code=evil"), &[]),
        ),
        (
            "an error",
            get(
                &format!("/oidc/callback?state={state}&{error}"),
                &[&attempt],
            ),
        ),
        (
            "used",
            get(
                &format!("/oidc/callback?state={state}&{error}"),
                &[&attempt],
            ),
        ),
        (
            "start again",
            get("/oidc/callback?state=foreign&code=evil", &[&session]),
        ),
        (
            "authorize",
            get(
                "/.headwarden/authorize?redirect_uri=https://evil.example",
                &[&session],
            ),
        ),
        (
            "not by GET",
            get("/.headwarden/confirm-ssh?id=//evil.example", &[&session]),
        ),
        ("cross-site", {
            let lines = [
                HTML,
                "Sec-Fetch-Site: cross-site",
                "Origin: https://evil.example",
            ];
            front.ask("POST", "/.headwarden/logout", &lines, "rd=//evil.example")
        }),
        ("denied", {
            front
                .faulty
                .provider
                .set(|knobs| knobs.person = Account::Outsider);
            let begun = front.ask("GET", "/windows", &[HTML], "");
            let answered = Person::new().get(begun.header("location").unwrap());
            let back = answered.header("location").unwrap().to_owned();
            let attempt = format!("Cookie: {}", pair(begun.header("set-cookie").unwrap()));
            get(back.strip_prefix(ORIGIN).unwrap(), &[&attempt])
        }),
    ]
}

#[test]
fn the_links_and_forms_of_our_pages_lead_to_pages_of_ours() {
    let front = Front::start();
    let origin = Url::parse(ORIGIN).unwrap();
    let mut leads = 0;
    for (name, page) in pages(&front) {
        let text = page.text();
        assert!(
            text.starts_with("<!doctype html>"),
            "{name}: {} {text}",
            page.status()
        );
        assert_eq!(page.header("location"), None, "{name}");
        assert!(!text.contains("evil"), "{name}: {text}");
        assert!(
            !text.contains("<base") && !text.contains("http-equiv"),
            "{name}"
        );
        let forms = html::forms(&text, &origin)
            .into_iter()
            .map(|form| form.action);
        for url in html::links(&text, &origin).into_iter().chain(forms) {
            assert_eq!(url.origin(), origin.origin(), "{name}: {url}");
            assert!(stays(&url[url::Position::BeforePath..]), "{name}: {url}");
            leads += 1;
        }
        // A form may end at the provider, which signs people out, and nowhere else.
        let policy = page.header("content-security-policy").unwrap_or_default();
        let action = policy
            .split(';')
            .find(|part| part.trim_start().starts_with("form-action"));
        let provider = front.at_the_provider("authorize");
        for source in action
            .expect("a policy for forms")
            .split_whitespace()
            .skip(1)
        {
            let known = matches!(source, "'self'" | "'none'")
                || provider.starts_with(&format!("{source}/"));
            assert!(known, "{name}: {source}");
        }
        assert!(policy.contains("base-uri 'none'"), "{name}: {policy}");
    }
    assert!(leads >= 10, "{leads}");
}
