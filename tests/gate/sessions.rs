//! Sessions end when they are told to, here and at the provider, and for every copy of their cookie.
//!
//! Their limits in time are at least a minute by configuration; that both end a session is shown
//! with a clock that can be set, where the store is (`session::memory`).

use crate::faulty_provider::Person as Account;
use crate::stage::{
    HTML, SAME_ORIGIN, SESSION, Stage, ask, cookie, member, session_line, session_value,
};
use crate::support::person::Person;
use crate::support::tailnet::Tailnet;

const LOGOUT: &str = "/.headwarden/logout";
const EMPTY: &str = "Content-Length: 0";

#[test]
fn only_a_form_of_our_own_signs_out() {
    let tailnet = Tailnet::start("v0.29.2");
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let ours = format!("Origin: {}", tailnet.house.plan.origin());
    let port = format!(
        "Origin: http://127.0.0.1:{}",
        tailnet.house.plan.admin.port()
    );
    for (method, lines, status) in [
        ("GET", &[][..], 200),
        ("GET", &[SAME_ORIGIN, HTML], 200),
        ("HEAD", &[], 200),
        ("GET", &["Sec-Purpose: prefetch"], 200),
        (
            "GET",
            &["Sec-Fetch-Dest: image", "Sec-Fetch-Site: cross-site"],
            200,
        ),
        ("POST", &[EMPTY], 403),
        ("POST", &[EMPTY, "Sec-Fetch-Site: cross-site", &ours], 403),
        ("POST", &[EMPTY, "Sec-Fetch-Site: same-site", &ours], 403),
        ("POST", &[EMPTY, "Sec-Fetch-Site: none"], 403),
        ("POST", &[EMPTY, "Origin: null"], 403),
        ("POST", &[EMPTY, "Origin: https://evil.example"], 403),
        ("POST", &[EMPTY, &port], 403),
        ("POST", &[EMPTY, &ours, &ours], 403),
        ("POST", &[EMPTY, SAME_ORIGIN, SAME_ORIGIN], 403),
        ("POST", &[EMPTY, "Referer: http://127.0.0.1/"], 403),
        ("PUT", &[EMPTY, SAME_ORIGIN], 405),
        ("DELETE", &[SAME_ORIGIN], 405),
    ] {
        let answer = ask(
            &tailnet.house,
            method,
            LOGOUT,
            &[lines, &[&session]].concat(),
        );
        assert_eq!(answer.status(), status, "{method} {lines:?}");
        assert_eq!(answer.header("set-cookie"), None, "{method} {lines:?}");
        let still = ask(&tailnet.house, "GET", "/windows", &[&session]);
        assert_eq!(still.status(), 200, "{method} {lines:?} signed out");
    }
    // A browser that knows no fetch metadata proves it by its origin.
    let answer = ask(&tailnet.house, "POST", LOGOUT, &[EMPTY, &ours, &session]);
    assert_eq!(answer.status(), 303);
    assert_eq!(
        ask(&tailnet.house, "GET", "/windows", &[&session]).status(),
        401
    );
}

#[test]
fn signing_out_ends_both_sessions_and_stays_signed_out() {
    let mut tailnet = Tailnet::start("v0.29.2");
    let mut person = member(&tailnet);
    let copied = session_line(&tailnet.house, &person);
    let asked = person.open(&tailnet.house.url(LOGOUT));
    assert!(asked.text().contains("Mia Member"), "{}", asked.text());
    let out = person.submit(&asked, "", &[]);
    assert_eq!(out.status(), 303);
    let location = out.header("location").unwrap().to_owned();
    assert!(
        location.starts_with(tailnet.provider.origin()),
        "{location}"
    );
    for name in [
        "id_token_hint=ey",
        "client_id=headwarden",
        "state=",
        "post_logout_redirect_uri=",
    ] {
        assert!(location.contains(name), "{name} in {location}");
    }
    let deletion = out.header("set-cookie").unwrap();
    for part in [
        "headwarden=;",
        "Max-Age=0",
        "Path=/",
        "HttpOnly",
        "SameSite=Lax",
    ] {
        assert!(deletion.contains(part), "{deletion}");
    }
    // A copy of the cookie is dead the moment the answer is there.
    assert_eq!(
        ask(&tailnet.house, "GET", "/windows", &[&copied]).status(),
        401
    );
    let at_the_provider = person.follow(out);
    let back = person.fill_in(&at_the_provider, "", &[]);
    assert_eq!(back.url.path(), "/.headwarden/signed-out");
    assert_eq!(
        back.url.origin().ascii_serialization(),
        tailnet.house.plan.origin()
    );
    assert!(
        back.text().contains("You are signed out"),
        "{}",
        back.text()
    );
    assert!(
        back.text().contains("was told, and answered"),
        "{}",
        back.text()
    );
    // It stays there: nothing on it leads anywhere by itself, not even when it is read again.
    let before = tailnet.provider.requests().len();
    let again = person.open(back.url.as_str());
    assert_eq!((again.status(), again.hops.len()), (200, 1));
    assert!(
        again.text().contains("may still be signed in"),
        "what is known once is not claimed again"
    );
    assert!(!again.text().contains("http-equiv") && !again.text().contains("<script"));
    assert_eq!(again.header("refresh"), None);
    assert_eq!(tailnet.provider.requests().len(), before);
    // Whoever comes next is asked for a name.
    let next = person.open(&tailnet.house.url("/windows"));
    assert!(
        next.url.as_str().starts_with(tailnet.provider.origin()),
        "{}",
        next.url
    );
    let log = tailnet.house.log();
    assert!(log.contains("signed out") && !log.contains("id_token_hint") && !log.contains("eyJ"));
}

#[test]
fn signing_out_works_with_whatever_is_left_of_a_session() {
    let tailnet = Tailnet::start("v0.29.2");
    let dead = "A".repeat(43);
    for value in ["", "x", "%00", "\"quoted\"", "a.b.c", dead.as_str()] {
        let line = format!("Cookie: {SESSION}={value}");
        let answer = ask(&tailnet.house, "POST", LOGOUT, &[EMPTY, SAME_ORIGIN, &line]);
        assert_eq!(answer.status(), 303, "{value:?}");
        assert_eq!(answer.header("location"), Some("/.headwarden/signed-out"));
        assert!(
            answer
                .header("set-cookie")
                .unwrap()
                .starts_with("headwarden=;")
        );
    }
    let answer = ask(&tailnet.house, "POST", LOGOUT, &[EMPTY, SAME_ORIGIN]);
    assert_eq!(answer.status(), 303);
}

#[test]
fn the_signed_out_page_takes_a_dead_cookie_away_and_leaves_a_live_one() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = member(&tailnet);
    let page = person.get(&tailnet.house.url("/.headwarden/signed-out"));
    assert_eq!((page.status(), page.header("set-cookie")), (200, None));
    assert_eq!(person.get(&tailnet.house.url("/windows")).status(), 200);
    let dead = format!("Cookie: {SESSION}={}", "A".repeat(43));
    let answer = ask(&tailnet.house, "GET", "/.headwarden/signed-out", &[&dead]);
    assert!(
        answer
            .header("set-cookie")
            .unwrap()
            .starts_with("headwarden=;")
    );
}

#[test]
fn a_cookie_that_is_not_exactly_an_id_is_no_session() {
    let tailnet = Tailnet::start("v0.29.2");
    let person = member(&tailnet);
    let good = session_value(&tailnet.house, &person);
    let mut bad = vec![
        format!("Cookie: {SESSION}="),
        format!("Cookie: {SESSION}"),
        format!("Cookie: {good}"),
        format!("Cookie: {SESSION}=\"{good}\""),
        format!("Cookie: {SESSION}={good}="),
        format!("Cookie: {SESSION}={good}A"),
        format!("Cookie: {SESSION}={}", &good[1..]),
        format!("Cookie: {SESSION}={}", &good[..good.len() - 1]),
        format!("Cookie: {SESSION}={}", good.to_uppercase()),
        format!("Cookie: {SESSION}=%{good}"),
        format!("Cookie: {SESSION}={good}; {SESSION}={good}"),
        format!("Cookie: {SESSION}=x; {SESSION}={good}"),
        format!("Cookie: {SESSION}={good}\r\nCookie: {SESSION}=x"),
        format!("Cookie: __Host-{SESSION}={good}"),
        format!("Cookie: Headwarden={good}"),
        format!("Cookie: {SESSION}_0={good}"),
        format!("Cookie: {SESSION}={}", "A".repeat(16_000)),
        format!("Cookie: ;;;{SESSION}=;;"),
        format!("Authorization: Bearer {good}"),
        format!("X-Cookie: {SESSION}={good}"),
    ];
    for at in 0..good.len() - 1 {
        let mut flipped = good.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        bad.push(format!(
            "Cookie: {SESSION}={}",
            String::from_utf8(flipped).unwrap()
        ));
    }
    for line in bad {
        let shown = line.chars().take(80).collect::<String>();
        assert_eq!(
            ask(&tailnet.house, "GET", "/windows", &[&line]).status(),
            401,
            "{shown}"
        );
        let page = ask(&tailnet.house, "GET", "/windows", &[HTML, &line]);
        assert_eq!(page.status(), 303, "{shown}");
    }
    let line = format!("Cookie: a=b; {SESSION}={good} ;c");
    assert_eq!(
        ask(&tailnet.house, "GET", "/windows", &[&line]).status(),
        200
    );
}

#[test]
fn a_denied_person_can_switch_to_another_account() {
    // The certified provider cannot change accounts in the middle of an interaction.
    let stage = Stage::start();
    stage.is_at_the_provider(Account::Outsider);
    let mut person = Person::new();
    let denied = person.open(&stage.house.url("/windows"));
    assert_eq!(denied.status(), 403);
    assert_eq!(cookie(&stage.house, &person, SESSION), None);
    let mut links = denied.links().into_iter();
    let switch = links.find(|link| link.query() == Some("switch=1"));
    stage.is_at_the_provider(Account::Member);
    let asked = person.click(&denied, &switch.expect("a way to another account"));
    let location = asked.redirect().expect("the provider is asked");
    assert!(
        location.query().unwrap().contains("prompt=login"),
        "{location}"
    );
    let landed = person.follow(asked);
    assert_eq!(landed.url.as_str(), stage.house.url("/"));
    assert_eq!(landed.status(), 200, "{}", landed.text());
}
