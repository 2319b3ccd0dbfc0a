//! The way to the provider and back: who is sent there, what may come back, and what everybody else
//! is told.

use std::sync::Arc;

use headwarden::domain::login::{Attempt, AttemptKind};
use headwarden::domain::return_to::ReturnTo;
use headwarden::domain::time::{Clock as _, Timestamp};
use headwarden::ops::clock::SystemClock;
use headwarden::ops::entropy::SystemRandom;
use headwarden::session::{Attempts, Cookies, KeyRing};
use http::HeaderMap;
use serde_json::{Value, json};
use url::Url;

use crate::faulty_provider::{Endpoint, Fault, Person as Account};
use crate::stage::{
    Faulty, HTML, SESSION, Stage, ask, cookie, log_at_info, member, seen, send, session_value,
};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{CLIENT_ID, House, More};
use crate::support::jar::Kept;
use crate::support::person::Person;
use crate::support::raw::Response;
use crate::support::tailnet::{AUTH_ID, Tailnet};

const NAVIGATE: &str = "Sec-Fetch-Mode: navigate";
const DOCUMENT: &str = "Sec-Fetch-Dest: document";

fn cookies_of(answer: &Response) -> Vec<&str> {
    answer.head.fields.values("set-cookie")
}

fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).expect("an absolute URL");
    let found = url.query_pairs().find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[test]
fn a_navigation_is_sent_to_the_provider_with_a_sealed_attempt() {
    let tailnet = Tailnet::start("v0.29.2");
    for lines in [
        &[HTML][..],
        &[NAVIGATE, DOCUMENT, HTML],
        &[NAVIGATE, DOCUMENT],
        &[NAVIGATE, DOCUMENT, "Sec-Fetch-Site: cross-site"],
    ] {
        let answer = ask(&tailnet.house, "GET", "/admin?tab=2", lines);
        assert_eq!(answer.status(), 303, "{lines:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let location = answer.header("location").expect("a redirect");
        assert!(location.starts_with(&format!(
            "{}/application/o/authorize/?",
            tailnet.provider.origin()
        )));
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "headwarden"),
            ("code_challenge_method", "S256"),
            ("redirect_uri", &tailnet.house.url("/oidc/callback")),
        ] {
            assert_eq!(parameter(location, name), value, "{name}");
        }
        assert!(parameter(location, "state").starts_with("hw1."));
        assert!(parameter(location, "nonce").len() >= 43);
        assert_eq!(parameter(location, "code_challenge").len(), 43);
        let [planted] = &cookies_of(&answer)[..] else {
            panic!("{:?}", cookies_of(&answer))
        };
        assert!(planted.starts_with("headwarden-login-"), "{planted}");
        for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=600"] {
            assert!(planted.contains(attribute), "{planted}");
        }
        // Neither what comes back nor where it leads can be read off the cookie.
        assert!(!planted.contains("admin") && !planted.contains(&parameter(location, "state")));
    }
}

#[test]
fn whatever_is_not_a_navigation_gets_a_401_and_no_attempt() {
    let tailnet = Tailnet::start("v0.29.2");
    let image = "Sec-Fetch-Dest: image";
    for (row, (method, lines)) in [
        ("GET", &[][..]),
        ("GET", &["Accept: */*"]),
        ("GET", &["Accept: application/json"]),
        (
            "GET",
            &[HTML, "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"],
        ),
        ("GET", &[HTML, "Sec-Fetch-Mode: no-cors", image]),
        ("GET", &[HTML, image]),
        ("GET", &[HTML, NAVIGATE, "Sec-Fetch-Dest: iframe"]),
        ("GET", &[HTML, NAVIGATE, DOCUMENT, "Sec-Purpose: prefetch"]),
        (
            "GET",
            &[HTML, NAVIGATE, DOCUMENT, "Sec-Purpose: prefetch;prerender"],
        ),
        ("GET", &[HTML, "Purpose: prefetch"]),
        ("HEAD", &[HTML]),
        ("HEAD", &[NAVIGATE, DOCUMENT]),
        ("POST", &[HTML, NAVIGATE, DOCUMENT, "Content-Length: 0"]),
        (
            "OPTIONS",
            &[
                HTML,
                "Origin: https://evil.example",
                "Access-Control-Request-Method: GET",
            ],
        ),
        ("DELETE", &[HTML]),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("{row}");
        let tag = format!("X-Row: {row}");
        let answer = ask(&tailnet.house, method, "/admin", &[lines, &[&tag]].concat());
        assert_eq!(answer.status(), 401, "{method} {lines:?}");
        assert_eq!(answer.header("location"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert!(cookies_of(&answer).is_empty(), "{method} {lines:?}");
        if method == "HEAD" {
            assert!(answer.body.is_empty());
        } else {
            assert!(
                answer
                    .header("content-type")
                    .unwrap()
                    .starts_with("application/json")
            );
            assert_eq!(answer.json()["error"], "unauthorized", "{}", answer.text());
        }
        assert!(seen(&tailnet.headscale, &row).is_empty());
    }
}

#[test]
fn every_tab_lands_on_its_own_page() {
    let stage = Stage::start();
    let mut person = Person::new();
    let path = |tab: usize| format!("/windows?tab={tab}&x=%2F%2Fevil");
    let mut tabs: Vec<_> = (0..8)
        .map(|tab| person.get(&stage.house.url(&path(tab))))
        .collect();
    for tab in [3, 7, 0, 1, 6, 2, 5, 4] {
        let begun = tabs[tab].clone();
        let landed = person.follow(begun);
        assert_eq!(landed.url.as_str(), stage.house.url(&path(tab)));
        assert_eq!(landed.status(), 200, "{}", landed.text());
    }
    // Of more than eight some are forgotten, never the newest, and they say so.
    person.jar.clear();
    tabs = (0..10)
        .map(|tab| person.get(&stage.house.url(&path(tab))))
        .collect();
    let mut forgotten = 0;
    for (tab, begun) in tabs.into_iter().enumerate().rev() {
        let landed = person.follow(begun);
        if landed.url.as_str() == stage.house.url(&path(tab)) {
            continue;
        }
        assert!(tab < 9, "the newest was forgotten");
        assert_eq!(landed.status(), 400);
        assert!(landed.text().contains("Cookies are needed"));
        forgotten += 1;
    }
    assert_eq!(forgotten, 2);
}

#[test]
fn a_crowd_of_attempts_never_outgrows_the_browsers_head() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = Person::new();
    let long = "a".repeat(1500);
    let origin = Url::parse(&tailnet.house.url("/")).unwrap();
    for _ in 0..30 {
        person.get(&tailnet.house.url(&format!("/{long}")));
        let kept = person.jar.at(&origin);
        let bytes: usize = kept.iter().map(|c| c.name.len() + c.value.len() + 3).sum();
        assert!(
            kept.len() <= 8 && bytes < 7 * 1024,
            "{} {bytes}",
            kept.len()
        );
    }
}

#[test]
fn a_state_that_this_browser_did_not_begin_is_never_redeemed() {
    let stage = Stage::start();
    let token_hits = || stage.faulty.provider.hits(Endpoint::Token);
    let mut person = Person::new();
    let (answered, callback) = stage.callback_for(&mut person, "/windows");
    let (sent, code) = (
        parameter(callback.as_str(), "state"),
        parameter(callback.as_str(), "code"),
    );
    let mut stranger = Person::new();
    let (_, foreign) = stage.callback_for(&mut stranger, "/windows");
    let foreign = parameter(foreign.as_str(), "state");
    let mut queries = vec![
        format!("code={code}"),
        format!("code={code}&state="),
        format!("code={code}&state={sent}&state={sent}"),
        format!("code={code}&state={sent}&state={foreign}"),
        format!("code={code}&state={foreign}"),
        format!("code={code}&state={sent}x"),
        format!("code={code}&state={}", &sent[..sent.len() - 1]),
        format!("code={code}&state={}", &sent[..12]),
        format!("code={code}&state=hw1."),
        format!("code={code}&state=hw1.{}", "A".repeat(7000)),
        format!("code={code}&State={sent}"),
        format!("code={code}&state%5B%5D={sent}"),
        format!("error=access_denied&state={foreign}"),
        "error=access_denied".to_owned(),
        "error=access_denied&state=deadbeef".to_owned(),
        String::new(),
    ];
    for at in 0..sent.len() {
        let mut flipped = sent.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).unwrap();
        queries.push(format!("code={code}&state={flipped}"));
    }
    for query in queries {
        let page = person.get(&stage.house.url(&format!("/oidc/callback?{query}")));
        assert_eq!(page.status(), 400, "{query}");
        assert!(page.redirect().is_none(), "{query}");
        assert_eq!(cookie(&stage.house, &person, SESSION), None, "{query}");
    }
    assert_eq!(token_hits(), 0);
    // All that while the real one was good.
    let landed = person.follow(answered);
    assert_eq!(landed.url.as_str(), stage.house.url("/windows"));
    assert_eq!(token_hits(), 1);
}

#[test]
fn a_callback_with_doubled_parameters_or_without_a_code_is_not_redeemed() {
    let stage = Stage::start();
    for more in ["&code=b", "&iss=a&iss=b", "&error=a&error=b"] {
        let mut person = Person::new();
        let (_, callback) = stage.callback_for(&mut person, "/windows");
        let page = person.get(&format!("{callback}{more}"));
        assert_eq!(page.status(), 400, "{more}");
    }
    for code in ["", "code=&"] {
        let mut person = Person::new();
        let (_, callback) = stage.callback_for(&mut person, "/windows");
        let sent = parameter(callback.as_str(), "state");
        let page = person.get(
            &stage
                .house
                .url(&format!("/oidc/callback?{code}state={sent}")),
        );
        assert_eq!(page.status(), 400, "{code:?}");
    }
    let mut person = Person::new();
    let (_, callback) = stage.callback_for(&mut person, "/windows");
    for (method, lines, status) in [
        ("POST", &[][..], 405),
        ("HEAD", &[], 405),
        ("GET", &["Sec-Fetch-Mode: no-cors"], 400),
    ] {
        let answer = person.request(method, callback.as_str(), lines, b"");
        assert_eq!(answer.status(), status, "{method} {lines:?}");
    }
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 0);
}

#[test]
fn a_sign_in_that_took_too_long_says_so() {
    let stage = Stage::start();
    let random = Arc::new(SystemRandom::new());
    let keys = KeyRing::load_or_create(&stage.house.plan.files.join("keys.json"), random.clone());
    let attempts = Attempts::new(Cookies::new(false), Arc::new(keys.unwrap())).bound_to(&[
        &stage.house.plan.origin(),
        &stage.faulty.provider.issuer(),
        CLIENT_ID,
    ]);
    let now = SystemClock.now().unix();
    for (age, status) in [(601, 400), (86_400, 400), (300, 502)] {
        let begun = Timestamp::from_unix(now - age);
        let return_to = ReturnTo::parse("/windows").unwrap();
        let attempt = Attempt::begin(random.as_ref(), return_to, AttemptKind::SignIn, begun);
        let planted = attempts.plant(&attempt, &HeaderMap::new(), begun).unwrap();
        let line = format!("Cookie: {}", planted[0].split(';').next().unwrap());
        let target = format!("/oidc/callback?code=a&state={}", attempt.state);
        let answer = ask(&stage.house, "GET", &target, &[HTML, &line]);
        assert_eq!(answer.status(), status, "{}", answer.text());
        assert_eq!(answer.text().contains("took too long"), status == 400);
    }
    // Only the one that was young enough was tried at the provider.
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 1);
}

#[test]
fn a_callback_that_comes_back_again_is_not_redeemed_again() {
    let stage = Stage::start();
    let mut person = Person::new();
    let (answered, callback) = stage.callback_for(&mut person, "/windows");
    let attempt = person.jar.at(&callback)[0].clone();
    person.follow(answered);
    // The Back button; and somebody who kept the attempt's cookie.
    for kept in [None, Some(attempt)] {
        if let Some(kept) = kept {
            person.jar.plant(kept);
        }
        let again = person.get(callback.as_str());
        assert_eq!(again.status(), 400);
        assert!(again.text().contains("already used"), "{}", again.text());
    }
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 1);
    assert_eq!(person.get(&stage.house.url("/windows")).status(), 200);
}

#[test]
fn an_error_of_the_provider_has_its_page_and_leaves_the_session_alone() {
    let stage = Stage::start();
    let mut person = stage.somebody(Account::Member);
    let before = session_value(&stage.house, &person);
    for (error, status, words) in [
        ("access_denied", 403, "said no"),
        ("login_required", 403, "not finished"),
        ("temporarily_unavailable", 503, "not available right now"),
        ("server_error", 503, "not available right now"),
        ("invalid_scope", 502, "reported an error"),
        (
            "%3Cscript%3Ealert(1)%3C/script%3E",
            502,
            "reported an error",
        ),
    ] {
        stage
            .faulty
            .provider
            .set(|knobs| knobs.authorize_error = Some(error.to_owned()));
        let page = person.open(&stage.house.url("/.headwarden/sign-in"));
        assert_eq!(page.status(), status, "{error}");
        assert!(page.text().contains(words), "{}", page.text());
        assert_eq!(page.header("retry-after").is_some(), status == 503);
        assert!(!page.text().contains("alert(1)"));
        assert_eq!(session_value(&stage.house, &person), before, "{error}");
    }
    for query in [
        "error=access_denied",
        "error=access_denied&state=hw1.AAAAAAAAAAAA",
        "error=x&state=y",
    ] {
        let page = person.get(&stage.house.url(&format!("/oidc/callback?{query}")));
        assert_eq!(page.status(), 400, "{query}");
    }
    assert_eq!(session_value(&stage.house, &person), before);
    assert_eq!(person.get(&stage.house.url("/windows")).status(), 200);
}

/// A house whose provider announced RFC 9207 before it was discovered.
fn stage_with_iss() -> Stage {
    let faulty = Faulty::start();
    faulty.provider.set(|knobs| knobs.advertises_iss = true);
    let headscale = HeadscaleStandin::start(Options::default());
    let (url, issuer) = (headscale.url(), faulty.provider.issuer());
    let house = House::start(|plan| plan.config(&url, &issuer, &More::default()));
    Stage {
        house,
        headscale,
        faulty,
    }
}

#[test]
fn an_answer_of_another_issuer_is_refused_before_the_code_is_shown_to_anybody() {
    let stage = stage_with_iss();
    let issuer = stage.faulty.provider.issuer();
    for iss in [
        None,
        Some(String::new()),
        Some("https://evil.example/".to_owned()),
        Some(issuer.trim_end_matches('/').to_owned()),
        Some(format!("{issuer}/")),
        Some(issuer.to_uppercase()),
    ] {
        let mut person = Person::new();
        let (_, mut callback) = stage.callback_for(&mut person, "/windows");
        let (sent, code) = (
            parameter(callback.as_str(), "state"),
            parameter(callback.as_str(), "code"),
        );
        let mut query = callback.query_pairs_mut();
        query
            .clear()
            .append_pair("code", &code)
            .append_pair("state", &sent);
        if let Some(iss) = &iss {
            query.append_pair("iss", iss);
        }
        drop(query);
        let page = person.get(callback.as_str());
        assert_eq!(page.status(), 502, "{iss:?}: {}", page.text());
        assert!(page.text().contains("The sign-in failed"));
        assert_eq!(cookie(&stage.house, &person, SESSION), None);
    }
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 0);
    let landed = Person::new().open(&stage.house.url("/windows"));
    assert_eq!(landed.status(), 200, "the right issuer is let through");
}

#[test]
fn a_wrong_issuer_is_refused_also_where_none_was_announced() {
    let stage = Stage::start();
    let mut person = Person::new();
    let (_, callback) = stage.callback_for(&mut person, "/windows");
    let page = person.get(&format!("{callback}&iss=https%3A%2F%2Fevil.example%2F"));
    assert_eq!(page.status(), 502, "{}", page.text());
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 0);
}

#[test]
fn a_browser_without_cookies_gets_a_page_and_no_loop() {
    let stage = Stage::start();
    let mut person = Person::new();
    person.blocks_cookies = true;
    let page = person.open(&stage.house.url("/windows"));
    assert_eq!(
        (page.status(), page.hops.len()),
        (400, 3),
        "{:?}",
        page.hops
    );
    assert!(
        page.text().contains("Cookies are needed"),
        "{}",
        page.text()
    );
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 0);
}

/// What a person would read to their administrator.
fn support_id(page: &str) -> &str {
    let behind = page
        .split("Support id <code>")
        .nth(1)
        .expect("a support id");
    behind.split('<').next().unwrap_or_default()
}

#[test]
fn each_kind_of_denial_has_its_page_and_its_reason_in_the_log() {
    let mut stage = Stage::start_with(|_| More {
        oidc: "  allowed_groups: [headscale]\n  allowed_domains: [company.example]\n  \
               allowed_users: [ada@company.example, ben@company.example]\n",
        ..More::default()
    });
    for (claims, rule, words) in [
        (json!({ "groups": [] }), "group", "in none of the groups"),
        (
            json!({ "groups": ["Headscale"] }),
            "group",
            "in none of the groups",
        ),
        (json!({ "groups": null }), "group", "in none of the groups"),
        (
            json!({ "email": "ben@elsewhere.example" }),
            "domain",
            "belongs to a domain",
        ),
        (
            json!({ "email": "ben@company.example@elsewhere.example" }),
            "domain",
            "domain",
        ),
        (json!({ "email": null }), "domain", "sent no e-mail address"),
        (
            json!({ "email": "carl@company.example" }),
            "user",
            "not on the list",
        ),
        (
            json!({ "email": "BEN@company.example" }),
            "user",
            "not on the list",
        ),
        (
            json!({ "email_verified": false }),
            "unverified_email",
            "has not verified",
        ),
        (
            json!({ "email_verified": null }),
            "unverified_email",
            "has not verified",
        ),
    ] {
        let Value::Object(extra) = claims.clone() else {
            unreachable!()
        };
        stage
            .faulty
            .provider
            .set(|knobs| knobs.extra_claims = extra);
        let mut person = Person::new();
        let page = person.open(&stage.house.url("/windows"));
        assert_eq!(page.status(), 403, "{claims}: {}", page.text());
        assert!(page.text().contains(words), "{claims}: {}", page.text());
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(cookie(&stage.house, &person, SESSION), None, "{claims}");
        let line = stage.house.wait_for_log(&format!(
            "denied by a rule request_id=\"{}\"",
            support_id(&page.text())
        ));
        assert!(line.contains("INFO") && line.contains("subject="), "{line}");
        assert!(
            line.contains(&format!("rule=\"{rule}\"")),
            "{claims}: {line}"
        );
    }
    let log = log_at_info(&stage.house);
    for email in ["@company.example", "@elsewhere.example"] {
        assert!(!log.contains(email), "{log}");
    }
    stage
        .faulty
        .provider
        .set(|knobs| knobs.extra_claims.clear());
    assert_eq!(
        Person::new().open(&stage.house.url("/windows")).status(),
        200
    );
}

#[test]
fn a_name_that_headscale_would_refuse_is_a_page_at_the_door_of_a_device() {
    let mut stage = Stage::start();
    stage.faulty.provider.set(|knobs| {
        knobs
            .extra_claims
            .insert("preferred_username".to_owned(), json!("7"));
    });
    let mut person = Person::new();
    assert_eq!(person.open(&stage.house.url("/windows")).status(), 200);
    let page = person.open(&stage.house.url(&format!("/register/{AUTH_ID}")));
    assert_eq!(page.status(), 403, "{}", page.text());
    assert!(
        page.text().contains("Headscale cannot use your user name"),
        "{}",
        page.text()
    );
    stage.house.wait_for_log("no claims");
    assert!(stage.headscale.users().is_empty());
}

#[test]
fn every_sign_in_makes_a_new_session_and_a_planted_one_dies() {
    let tailnet = Tailnet::start("v0.29.2");
    let attacker = member(&tailnet);
    let planted = session_value(&tailnet.house, &attacker);
    let url = Url::parse(&tailnet.house.url("/")).unwrap();
    let kept = (*attacker.jar.at(&url)[0]).clone();
    let mut victim = Person::new();
    victim.jar.plant(kept);
    let link = tailnet.house.url("/.headwarden/sign-in");
    let page = victim.open(&link);
    let landed = victim.fill_in(&page, "login", &[("username", "dominic")]);
    assert_eq!(landed.url.as_str(), tailnet.house.url("/"));
    let first = session_value(&tailnet.house, &victim);
    assert_ne!(first, planted);
    let with = |value: &str| {
        let brought = format!("Cookie: {SESSION}={value}");
        ask(&tailnet.house, "GET", "/windows", &[&brought]).status()
    };
    assert_eq!((with(&planted), with(&first)), (401, 200));
    // Signed in as oneself already, the id changes all the same.
    victim.open(&link);
    let second = session_value(&tailnet.house, &victim);
    assert_ne!(second, first);
    assert_eq!((with(&first), with(&second)), (401, 200));
}

#[test]
fn an_id_that_nobody_was_given_is_never_adopted() {
    let stage = Stage::start();
    let mut person = Person::new();
    let chosen = "A".repeat(43);
    person.jar.plant(Kept {
        host: stage.house.plan.public.to_string(),
        name: SESSION.to_owned(),
        value: chosen.clone(),
        path: "/".to_owned(),
        secure: false,
        http_only: true,
        same_site: ::cookie::SameSite::Lax,
    });
    assert_eq!(person.open(&stage.house.url("/windows")).status(), 200);
    assert_ne!(session_value(&stage.house, &person), chosen);
}

#[test]
fn parameters_of_a_sign_in_link_change_neither_the_request_nor_the_way_back() {
    let stage = Stage::start();
    let mut person = Person::new();
    let link = "/.headwarden/sign-in?rd=//evil.example&redirect_uri=https://evil.example/&prompt=none\
                &login_hint=eve&scope=admin&state=a&return_to=https://evil.example/";
    let begun = person.get(&stage.house.url(link));
    let location = begun.header("location").unwrap();
    assert!(
        !location.contains("evil") && !location.contains("eve&"),
        "{location}"
    );
    assert_eq!(parameter(location, "prompt"), "");
    let landed = person.follow(begun);
    assert_eq!(landed.url.as_str(), stage.house.url("/"));
}

/// A house at `https://headscale.company` whose TLS a proxy on this machine takes off.
fn behind_a_proxy(faulty: &Faulty, headscale: &HeadscaleStandin) -> House {
    House::start(|plan| {
        let more = More {
            top: "trusted_proxies: [127.0.0.1/32]\n",
            ..More::default()
        };
        let text = plan.config(&headscale.url(), &faulty.provider.issuer(), &more);
        text.replace(&plan.origin(), "https://headscale.company")
    })
}

#[test]
fn behind_a_proxy_that_ends_tls_every_cookie_is_prefixed_and_secure() {
    let faulty = Faulty::start();
    let headscale = HeadscaleStandin::start(Options::default());
    let house = behind_a_proxy(&faulty, &headscale);
    let get = |target: &str, cookies: &str| {
        let text = format!(
            "GET {target} HTTP/1.1\r\nHost: headscale.company\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Host: evil.example\r\n{HTML}\r\nCookie: {cookies}\r\n\r\n"
        );
        send(house.plan.public, text.as_bytes())
    };
    let begun = get("/windows", "a=b");
    assert_eq!(begun.status(), 303, "{}", begun.text());
    let location = begun.header("location").unwrap();
    let redirect_uri = "https://headscale.company/oidc/callback";
    assert_eq!(parameter(location, "redirect_uri"), redirect_uri);
    let attempt = cookies_of(&begun)[0].to_owned();
    assert!(attempt.starts_with("__Host-headwarden-login-"), "{attempt}");

    let mut person = Person::new();
    let answered = person.get(location);
    let back = answered.header("location").unwrap().to_owned();
    let target = back.strip_prefix("https://headscale.company").unwrap();
    let landed = get(target, attempt.split(';').next().unwrap());
    assert_eq!(
        (landed.status(), landed.header("location")),
        (303, Some("/windows"))
    );
    let set = cookies_of(&landed);
    assert_eq!(set.len(), 2, "{set:?}");
    for cookie in set.iter().copied().chain([attempt.as_str()]) {
        for attribute in [
            "__Host-headwarden",
            "; Secure",
            "; HttpOnly",
            "; SameSite=Lax",
            "; Path=/",
        ] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!cookie.to_ascii_lowercase().contains("domain"), "{cookie}");
    }
    let session = set
        .iter()
        .find(|cookie| cookie.starts_with("__Host-headwarden="))
        .unwrap();
    let session = session.split(';').next().unwrap();
    assert_eq!(get("/windows", session).status(), 200);
    // The unprefixed name, which anybody may set, is not a session.
    let unprefixed = session.trim_start_matches("__Host-");
    assert_eq!(get("/windows", unprefixed).status(), 303);
}

#[test]
fn a_provider_that_is_away_is_a_503_and_one_that_is_wrong_a_failed_sign_in() {
    let stage = Stage::start_with(|_| More {
        // One row waits for it, and all others are answered within it.
        oidc: "  timeout: 5s\n",
        ..More::default()
    });
    let mut insider = stage.somebody(Account::Member);
    for (fault, status) in [
        (Fault::TokenIsDown, 503),
        (Fault::TokenHangs, 503),
        (Fault::InvalidClient, 502),
        (Fault::TokenIsHtml, 503),
        (Fault::TokenIsHuge, 503),
        (Fault::TokenRedirects, 503),
        (Fault::ErrorWith200, 502),
        (Fault::NoIdToken, 502),
        (Fault::TokenTypeMac, 502),
        (Fault::NonceWrong, 502),
        (Fault::NonceAbsent, 502),
        (Fault::AlgNone, 502),
        (Fault::Hs256WithClientSecret, 502),
        (Fault::SignedByForger, 502),
        (Fault::AudienceOfSomebodyElse, 502),
        (Fault::IssWithoutSlash, 502),
        (Fault::ExpiredFor(600), 502),
        (Fault::SubAbsent, 502),
        (Fault::Encrypted, 502),
    ] {
        stage.faulty.provider.bend(fault);
        let mut person = Person::new();
        let page = person.open(&stage.house.url("/windows"));
        assert_eq!(page.status(), status, "{fault:?}: {}", page.text());
        let words = if status == 503 {
            "not available right now"
        } else {
            "The sign-in failed"
        };
        assert!(page.text().contains(words), "{fault:?}: {}", page.text());
        assert_eq!(
            page.header("retry-after").is_some(),
            status == 503,
            "{fault:?}"
        );
        assert_eq!(cookie(&stage.house, &person, SESSION), None, "{fault:?}");
        assert_eq!(person.jar.at(&page.url), Vec::<&Kept>::new(), "{fault:?}");
        // Whoever is in stays in.
        assert_eq!(
            insider.get(&stage.house.url("/windows")).status(),
            200,
            "{fault:?}"
        );
    }
    stage.faulty.provider.mend();
    let landed = Person::new().open(&stage.house.url("/windows"));
    assert_eq!(landed.status(), 200, "{}", landed.text());
    let log = stage.house.log();
    for secret in ["the-client-secret", "code-", "access-", "hw1."] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
