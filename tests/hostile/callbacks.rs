//! C: state and callback. What a browser did not begin here is never shown to the provider; what it
//! did begin is finished once, by itself, where it wanted to go.
//!
//! States of other browsers, without a cookie, tampered with, expired or used, doubled parameters
//! and all variants of `iss` are asked in `gate::sign_in`; the tie between Headscale's sign-in and a
//! session in `registration::legs`.

use std::collections::BTreeSet;

use url::Url;

use crate::faulty_provider::{Endpoint, Person as Account};
use crate::stage::{
    Faulty, HTML, SESSION, Stage, ask, cookie, log_at_info, request, session_value,
};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More};
use crate::support::jar::Sending;
use crate::support::person::Person;
use crate::support::raw::{Raw, Response};

/// What a browser's own navigation says.
const NAVIGATION: [&str; 3] = [HTML, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
const TYPED: Sending = Sending {
    same_site: true,
    safe_navigation: true,
};

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// One attempt that was begun without a browser: its state and its cookie, as a line.
fn begin(house: &House) -> (String, String) {
    let begun = ask(house, "GET", "/windows", &NAVIGATION);
    assert_eq!(begun.status(), 303, "{}", begun.text());
    let location = Url::parse(begun.header("location").expect("a redirect")).expect("a URL");
    let set = begun.header("set-cookie").expect("an attempt");
    let pair = set.split(';').next().unwrap_or_default();
    (parameter(&location, "state"), format!("Cookie: {pair}"))
}

fn callback(house: &House, query: &str, lines: &[&str]) -> Response {
    let target = format!("/oidc/callback?{query}");
    ask(house, "GET", &target, &[&NAVIGATION, lines].concat())
}

/// Where a house trusts this machine, another client with each number: limits are another matter.
fn from(number: usize) -> String {
    format!("X-Forwarded-For: 192.0.2.{}", number % 250)
}

const TRUSTING: &str = "trusted_proxies: [127.0.0.1/32]\n";

/// A house whose provider announced RFC 9207 before it was discovered.
fn stage_with_iss() -> Stage {
    let faulty = Faulty::start();
    faulty.provider.set(|knobs| knobs.advertises_iss = true);
    let headscale = HeadscaleStandin::start(Options::default());
    let (url, issuer) = (headscale.url(), faulty.provider.issuer());
    let more = More {
        top: TRUSTING,
        ..More::default()
    };
    let house = House::start(|plan| plan.config(&url, &issuer, &more));
    Stage {
        house,
        headscale,
        faulty,
    }
}

#[test]
fn a_code_is_redeemed_only_if_every_parameter_is_right_and_there_once() {
    let stage = stage_with_iss();
    let issuer = stage.faulty.provider.issuer();
    let iss = url::form_urlencoded::byte_serialize(issuer.as_bytes()).collect::<String>();
    let hits = || stage.faulty.provider.hits(Endpoint::Token);
    let issuers = [
        (format!("&iss={iss}"), true),
        (format!("&iss={iss}&iss={iss}"), false),
        (format!("&iss%5B%5D={iss}"), false),
        ("&iss=".to_owned(), false),
        (format!("&iss={}", iss.to_uppercase()), false),
        (String::new(), false),
    ];
    let codes = [
        ("code=a", true),
        ("code=a&code=a", false),
        ("code=a&%63ode=b", false),
        ("code%5B%5D=a", false),
        ("code%5B0%5D=a", false),
        ("CODE=a", false),
        ("code=", false),
        ("x=1", false),
    ];
    let errors = [
        ("", true),
        ("&error=access_denied", false),
        ("&error=a&error=b", false),
        ("&error=", false),
        ("&error_description=x", true),
        ("&error%5B%5D=x", true),
    ];
    let (spare, _) = begin(&stage.house);
    let mut redeemed = 0;
    let mut rows = 0;
    for (iss, iss_is_right) in &issuers {
        for (code, code_is_right) in codes {
            for (error, without_error) in errors {
                // Wherever the state is wrong, nothing else counts.
                for state in [
                    String::new(),
                    "&state=".to_owned(),
                    format!("&state={spare}"),
                    "&state%5B%5D=hw1.A".to_owned(),
                ] {
                    let query = format!("{code}{iss}{error}{state}");
                    let answer = callback(&stage.house, &query, &[&from(rows)]);
                    assert_eq!(answer.status(), 400, "{code}{iss}{error}{state}");
                    rows += 1;
                }
                assert_eq!(hits(), redeemed, "{code}{iss}{error} with a wrong state");
                // An attempt for each row that is refused later than at its state; of those that
                // differ in two parameters at once, one is enough.
                let wrong = [*iss_is_right, code_is_right, without_error];
                if wrong.iter().filter(|right| !**right).count() > 1 {
                    continue;
                }
                let (state, kept) = begin(&stage.house);
                let query = format!("{code}{iss}{error}&state={state}");
                let answer = callback(&stage.house, &query, &[&kept, &from(rows)]);
                let right = wrong.iter().all(|right| *right);
                redeemed += usize::from(right);
                assert_eq!(hits(), redeemed, "{query}");
                assert!(answer.status() >= 400, "{query}: the code is none");
                rows += 1;
            }
        }
    }
    assert!(rows > 1000 && redeemed > 0, "{rows} {redeemed}");
}

#[test]
fn only_a_navigation_brings_an_answer_and_another_site_may_navigate() {
    let stage = Stage::start();
    let (state, kept) = begin(&stage.house);
    let target = format!("/oidc/callback?code=a&state={state}");
    for mode in [
        "no-cors",
        "cors",
        "same-origin",
        "websocket",
        "nested-navigate",
        "",
    ] {
        let line = format!("Sec-Fetch-Mode: {mode}");
        for dest in ["image", "script", "empty", "iframe"] {
            let dest = format!("Sec-Fetch-Dest: {dest}");
            let answer = ask(&stage.house, "GET", &target, &[HTML, &line, &dest, &kept]);
            assert_eq!(answer.status(), 400, "{line} {dest}");
        }
    }
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "DELETE"] {
        let answer = ask(
            &stage.house,
            method,
            &target,
            &[HTML, &kept, "Content-Length: 0"],
        );
        assert!(matches!(answer.status(), 404 | 405), "{method}");
        assert_eq!(answer.header("set-cookie"), None, "{method}");
    }
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 0);
    // All that while the attempt was good.
    let answer = callback(
        &stage.house,
        &target[15..],
        &[&kept, "Sec-Fetch-Site: cross-site"],
    );
    assert_eq!(
        stage.faulty.provider.hits(Endpoint::Token),
        1,
        "{}",
        answer.text()
    );
    let mut person = Person::new();
    let (answered, _) = stage.callback_for(&mut person, "/windows");
    assert_eq!(person.follow(answered).status(), 200);
}

#[test]
fn fifty_tabs_that_open_at_once_each_land_on_their_own_page() {
    let stage = Stage::start();
    let mut person = Person::new();
    let home = Url::parse(&stage.house.url("/")).expect("a URL");
    let path = |tab: usize| format!("/windows?tab={tab}&q=%2F%2Fevil.example");
    // None of them waits for another, so none knows of the others' cookies.
    let begun: Vec<Url> = (0..50)
        .map(|tab| {
            let answer = ask(&stage.house, "GET", &path(tab), &NAVIGATION);
            for set in answer.head.fields.values("set-cookie") {
                person.jar.set(&home, set);
            }
            Url::parse(answer.header("location").expect("a redirect")).expect("a URL")
        })
        .collect();
    assert_eq!(person.jar.at(&home).len(), 50);
    let mut sessions = BTreeSet::new();
    for tab in (0..50).rev() {
        let answered = person.get(begun[tab].as_str());
        let landed = person.follow(answered);
        assert_eq!(landed.url.as_str(), stage.house.url(&path(tab)));
        assert_eq!(landed.status(), 200, "{}", landed.text());
        sessions.insert(session_value(&stage.house, &person));
    }
    assert_eq!(sessions.len(), 50, "each sign-in has an id of its own");
    assert_eq!(person.jar.at(&home).len(), 1, "the session is left");
    let line = |value: &String| format!("Cookie: {SESSION}={value}");
    let alive = sessions
        .iter()
        .filter(|value| ask(&stage.house, "GET", "/windows", &[&line(value)]).status() == 200);
    assert_eq!(alive.count(), 1, "and takes the place of the one before");
}

#[test]
fn a_thousand_visits_of_one_browser_leave_eight_attempts_and_a_small_head() {
    let stage = Stage::start_with(|_| More {
        top: TRUSTING,
        ..More::default()
    });
    let mut person = Person::new();
    let home = Url::parse(&stage.house.url("/")).expect("a URL");
    let mut raw = Raw::connect(stage.house.plan.public).expect("a connection");
    let (mut most, mut longest) = (0, 0);
    for visit in 0..1000_usize {
        // From many addresses, as one person's would not be: their limit is another matter.
        let from = from(visit);
        let path = format!("/windows?{}", "q".repeat(visit % 40 * 50));
        let cookies = person.jar.header(&home, TYPED);
        let cookies = cookies.map(|line| format!("Cookie: {line}"));
        let mut lines = NAVIGATION.to_vec();
        lines.push(&from);
        lines.extend(cookies.as_deref());
        let asked = request(&stage.house, "GET", &path, &lines);
        longest = longest.max(asked.len() - path.len());
        let answer = raw.exchange(&asked).expect("an answer");
        assert_eq!(answer.status(), 303, "visit {visit}: {}", answer.text());
        for set in answer.head.fields.values("set-cookie") {
            person.jar.set(&home, set);
        }
        most = most.max(person.jar.at(&home).len());
    }
    assert_eq!(most, 8);
    assert!(longest < 8 * 1024, "{longest}");
    assert!(
        stage
            .headscale
            .requests()
            .iter()
            .all(|seen| seen.path() != "/windows")
    );
}

#[test]
fn the_attempt_of_one_tab_finishes_no_other_tab() {
    let stage = Stage::start();
    let ((first, kept), (second, other)) = (begin(&stage.house), begin(&stage.house));
    let (name, value) = kept["Cookie: ".len()..].split_once('=').expect("a pair");
    let (other_name, other_value) = other["Cookie: ".len()..].split_once('=').expect("a pair");
    for (state, line) in [
        (&second, kept.clone()),
        (&first, other.clone()),
        (&second, format!("Cookie: {other_name}={value}")),
        (&first, format!("Cookie: {name}={other_value}")),
        (&first, format!("{kept}; {name}={other_value}")),
        (
            &first,
            format!("Cookie: {name}={other_value}; {name}={value}"),
        ),
        (&first, format!("{kept}; {name}={value}")),
        (&first, format!("{kept}\r\n{kept}")),
    ] {
        let answer = callback(&stage.house, &format!("code=a&state={state}"), &[&line]);
        assert_eq!(answer.status(), 400, "{line}");
        assert!(answer.text().contains("Cookies are needed"), "{line}");
        assert_eq!(answer.header("set-cookie"), None, "{line}");
    }
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 0);
    let both = format!("{kept}; {other_name}={other_value}");
    for state in [&first, &second] {
        callback(&stage.house, &format!("code=a&state={state}"), &[&both]);
    }
    assert_eq!(stage.faulty.provider.hits(Endpoint::Token), 2);
}

#[test]
fn a_code_of_somebody_else_signs_nobody_in() {
    let mut stage = Stage::start();
    let hits = |stage: &Stage| stage.faulty.provider.hits(Endpoint::Token);
    // Eve's own code, put into the answer to Ben's request.
    stage.is_at_the_provider(Account::Admin);
    let mut eve = Person::new();
    let (_, hers) = stage.callback_for(&mut eve, "/windows");
    let mut ben = Person::new();
    let begun = ben.get(&stage.house.url("/windows"));
    let asked = begun.redirect().expect("the provider").clone();
    let state = parameter(&asked, "state");
    let injected = |code: &str| {
        stage
            .house
            .url(&format!("/oidc/callback?code={code}&state={state}"))
    };
    let page = ben.open(&injected(&parameter(&hers, "code")));
    assert_eq!(page.status(), 502, "{}", page.text());
    assert_eq!(cookie(&stage.house, &ben, SESSION), None);
    assert_eq!(hits(&stage), 1, "the provider refused it by its challenge");
    stage
        .house
        .wait_for_log("the provider refused the code: invalid_grant");

    // She has seen his challenge, but the nonce is another.
    let mut ben = Person::new();
    let begun = ben.get(&stage.house.url("/windows"));
    let asked = begun.redirect().expect("the provider").clone();
    let bent = asked.as_str().replace(&parameter(&asked, "nonce"), "hers");
    assert_ne!(bent, asked.as_str());
    let hers = eve.get(&bent);
    let page = ben.get(hers.header("location").expect("a code"));
    assert_eq!(page.status(), 502, "{}", page.text());
    assert_eq!(cookie(&stage.house, &ben, SESSION), None);
    stage
        .house
        .wait_for_log("its nonce is not the one of this sign-in");

    // His code, finished in her browser with a state of hers.
    stage.is_at_the_provider(Account::Member);
    let mut ben = Person::new();
    let (_, his) = stage.callback_for(&mut ben, "/windows");
    let mut eve = Person::new();
    let begun = eve.get(&stage.house.url("/windows"));
    let state = parameter(begun.redirect().expect("the provider"), "state");
    let code = parameter(&his, "code");
    let page = eve.open(
        &stage
            .house
            .url(&format!("/oidc/callback?code={code}&state={state}")),
    );
    assert_eq!(page.status(), 502, "{}", page.text());
    assert_eq!(cookie(&stage.house, &eve, SESSION), None);
    // He is let in with it all the same: trying did not cost it.
    assert_eq!(ben.open(his.as_str()).status(), 200);
    assert!(!log_at_info(&stage.house).contains(&code));
}

#[test]
fn parameters_of_a_page_that_asks_for_a_sign_in_stay_with_the_page() {
    let stage = Stage::start();
    let names = |url: &Url| -> BTreeSet<String> {
        url.query_pairs()
            .map(|(name, _)| name.into_owned())
            .collect()
    };
    let plain = ask(&stage.house, "GET", "/windows", &NAVIGATION);
    let plain = Url::parse(plain.header("location").expect("a redirect")).expect("a URL");
    for query in [
        "scope=openid%20admin",
        "prompt=none",
        "redirect_uri=https://evil.example/",
        "login_hint=eve",
        "auth_request_params=x",
        "response_mode=form_post",
        "request=eyJ",
        "acr_values=0",
        "client_id=evil",
        "code_challenge=x&code_challenge_method=plain",
        "state=hw1.AAAA&nonce=b",
        "max_age=0",
    ] {
        for page in ["/windows", "/.headwarden/sign-in"] {
            let answer = ask(
                &stage.house,
                "GET",
                &format!("{page}?{query}"),
                &[&NAVIGATION[..], &["Sec-Fetch-Site: cross-site"]].concat(),
            );
            let location = answer.header("location").expect("a redirect");
            let location = Url::parse(location).expect("a URL");
            assert_eq!(names(&location), names(&plain), "{page} {query}");
            for same in [
                "scope",
                "client_id",
                "redirect_uri",
                "code_challenge_method",
            ] {
                assert_eq!(
                    parameter(&location, same),
                    parameter(&plain, same),
                    "{query}"
                );
            }
            assert!(!location.as_str().contains("evil"), "{location}");
        }
    }
}
