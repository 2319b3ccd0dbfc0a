//! The provider says that somebody signed out there, as it does when all is well.
//!
//! What is wrong with a token, and what somebody else makes of these doors: `hostile::logout`.

use serde_json::json;

use crate::faulty_provider::{Endpoint, Ill, Person as Account};
use crate::stage::{HTML, SESSION, Stage, admin, ask, cookie, member, request, send, session_line};
use crate::support::certified_provider::MEMBER;
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::raw::Response;
use crate::support::tailnet::Tailnet;

fn is_signed_in(house: &House, session: &str) -> bool {
    ask(house, "GET", "/windows", &[session]).status() == 200
}

fn post(house: &House, token: &str) -> Response {
    let body = format!("logout_token={token}");
    let length = format!("Content-Length: {}", body.len());
    let form = "Content-Type: application/x-www-form-urlencoded";
    let target = "/.headwarden/backchannel-logout";
    let mut bytes = request(house, "POST", target, &[form, &length]);
    bytes.extend_from_slice(body.as_bytes());
    send(house.plan.public, &bytes)
}

#[test]
fn whoever_is_signed_out_by_the_provider_is_signed_out_here() {
    let mut tailnet = Tailnet::start("v0.29.2");
    let sessions = [member(&tailnet), member(&tailnet), admin(&tailnet)]
        .map(|person| session_line(&tailnet.house, &person));
    let told = tailnet.provider.end_sessions(MEMBER);
    assert_eq!(told.len(), 2, "{told:?}");
    for answer in &told {
        assert_eq!(answer["outcome"], "accepted", "{told:?}");
    }
    for (session, signed_in) in sessions.iter().zip([false, false, true]) {
        assert_eq!(is_signed_in(&tailnet.house, session), signed_in);
    }
    let line = tailnet.house.wait_for_log("signed out by the provider");
    assert!(
        line.contains("kind=\"back_channel\"") && line.contains("sessions=1"),
        "{line}"
    );
}

#[test]
fn signing_out_on_the_providers_own_page_ends_the_session_here_and_no_other() {
    let tailnet = Tailnet::start("v0.29.2");
    let (mut person, other) = (member(&tailnet), admin(&tailnet));
    let [ours, others] = [&person, &other].map(|person| session_line(&tailnet.house, person));
    let asked = person.open(&format!("{}end-session/", tailnet.provider.issuer()));
    let out = person.fill_in(&asked, "", &[]);
    assert!(
        out.text().contains("You have been logged out"),
        "{}",
        out.text()
    );
    assert!(!is_signed_in(&tailnet.house, &ours));
    assert!(is_signed_in(&tailnet.house, &others));
    // In the person's own browser: back to the provider, which asks.
    let next = person.open(&tailnet.house.url("/windows"));
    assert!(
        next.url.as_str().starts_with(tailnet.provider.origin()),
        "{}",
        next.url
    );
}

#[test]
fn a_token_that_comes_before_the_keys_may_come_again() {
    let faulty = |stage: &Stage| {
        let provider = &stage.faulty.provider;
        provider.logout_token(Account::Member, &json!({}), &json!({}))
    };
    let mut stage = Stage::start();
    let token = faulty(&stage);
    stage
        .faulty
        .provider
        .sicken(Endpoint::Discovery, Ill::Status(503));
    let config = stage.house.plan.files.join("config.yaml");
    let text = std::fs::read_to_string(&config).expect("its configuration");
    let text = text.replace(
        "only_start_if_oidc_is_available: true",
        "only_start_if_oidc_is_available: false",
    );
    std::fs::write(&config, text).expect("it is written");
    stage.house.restart(&[]);
    stage.house.wait_for_log("serving");
    let early = post(&stage.house, &token);
    assert_eq!(early.status(), 503, "{}", early.text());
    assert_eq!(early.header("cache-control"), Some("no-store"));
    assert!(early.header("retry-after").is_some());
    assert_eq!(early.json()["error"], "temporarily_unavailable");
    stage.faulty.provider.mend();
    stage.house.wait_for_log("the provider is known");
    assert_eq!(post(&stage.house, &token).status(), 200);
    assert_eq!(post(&stage.house, &token).status(), 400);
}

#[test]
fn a_sign_in_that_is_on_its_way_when_the_provider_ends_it_does_not_begin() {
    let mut stage = Stage::start();
    let sid = |stage: &Stage| stage.faulty.provider.sid(Account::Member);
    for names in [
        json!({ "sub": null }),
        json!({ "sid": null }),
        json!({}),
        json!("frame"),
    ] {
        let mut person = Person::new();
        stage.is_at_the_provider(Account::Member);
        let (answered, _) = stage.callback_for(&mut person, "/windows");
        let asked = stage.faulty.provider.hits(Endpoint::Userinfo);
        let held = stage.faulty.provider.hold(Endpoint::Userinfo);
        let landed = std::thread::scope(|scope| {
            let callback = scope.spawn(|| {
                let page = person.step(answered);
                (page, person)
            });
            // Its code is redeemed and its ID token verified.
            while stage.faulty.provider.hits(Endpoint::Userinfo) == asked {
                std::thread::yield_now();
            }
            if names == "frame" {
                let (issuer, sid) = (stage.faulty.provider.issuer(), sid(&stage).expect("a sid"));
                let target = format!("/.headwarden/frontchannel-logout?iss={issuer}&sid={sid}");
                assert_eq!(ask(&stage.house, "GET", &target, &[HTML]).status(), 200);
            } else {
                let provider = &stage.faulty.provider;
                let token = provider.logout_token(Account::Member, &json!({}), &names);
                assert_eq!(post(&stage.house, &token).status(), 200);
            }
            drop(held);
            callback.join().expect("it ran")
        });
        let (page, mut person) = landed;
        assert_eq!(page.status(), 403, "{names}: {}", page.text());
        assert!(
            page.text().contains("You were signed out meanwhile"),
            "{}",
            page.text()
        );
        assert_eq!(cookie(&stage.house, &person, SESSION), None, "{names}");
        stage
            .house
            .wait_for_log("the provider ended its session meanwhile");
        // It is over, and the next one is not.
        let again = person.open(&stage.house.url("/windows"));
        assert_eq!(again.status(), 200, "{names}: {}", again.text());
    }
    // Somebody else's departure is nobody's business.
    let mut person = Person::new();
    let (answered, _) = stage.callback_for(&mut person, "/windows");
    let asked = stage.faulty.provider.hits(Endpoint::Userinfo);
    let held = stage.faulty.provider.hold(Endpoint::Userinfo);
    let page = std::thread::scope(|scope| {
        let callback = scope.spawn(|| person.step(answered));
        while stage.faulty.provider.hits(Endpoint::Userinfo) == asked {
            std::thread::yield_now();
        }
        let provider = &stage.faulty.provider;
        let token = provider.logout_token(Account::Admin, &json!({}), &json!({}));
        assert_eq!(post(&stage.house, &token).status(), 200);
        drop(held);
        callback.join().expect("it ran")
    });
    assert_eq!(page.status(), 303, "{}", page.text());
}

#[test]
fn a_sign_out_ends_here_where_the_provider_cannot_be_asked_or_keeps_the_browser() {
    let mut stage = Stage::start_with(|_| More::default());
    let sign_out = |stage: &Stage| {
        let mut person = stage.somebody(Account::Member);
        let session = session_line(&stage.house, &person);
        let page = person.open(&stage.house.url("/.headwarden/logout"));
        let out = person.submit(&page, "", &[]);
        assert_eq!(out.status(), 303);
        assert!(!is_signed_in(&stage.house, &session));
        (person, out)
    };
    // authentik before 2026.5 shows its own page, and so does any provider without the return URI.
    let (mut person, out) = sign_out(&stage);
    let there = person.follow(out);
    assert!(
        there.text().contains("You've logged out"),
        "{}",
        there.text()
    );
    let by_hand = person.open(&stage.house.url("/.headwarden/signed-out"));
    assert!(
        by_hand.text().contains("may still be signed in"),
        "{}",
        by_hand.text()
    );
    // With it, the browser comes back with the state.
    let back = stage.house.url("/.headwarden/signed-out");
    stage
        .faulty
        .provider
        .set(|knobs| knobs.post_logout_redirect_uris = vec![back]);
    let (mut person, out) = sign_out(&stage);
    let there = person.follow(out);
    assert!(
        there.text().contains("was told, and answered"),
        "{}",
        there.text()
    );
    // An ID token that no URL has room for.
    let long = json!({ "padding": "x".repeat(8_000) });
    stage.faulty.provider.set(|knobs| {
        knobs.id_claims = long.as_object().expect("an object").clone();
    });
    let asked = stage.faulty.provider.hits(Endpoint::EndSession);
    let (mut person, out) = sign_out(&stage);
    assert_eq!(out.header("location"), Some("/.headwarden/signed-out"));
    let there = person.follow(out);
    assert!(
        there.text().contains("may still be signed in"),
        "{}",
        there.text()
    );
    assert_eq!(cookie(&stage.house, &person, "headwarden-sign-out"), None);
    stage
        .house
        .wait_for_log("the ID token is too long to be a hint");
    assert_eq!(stage.faulty.provider.hits(Endpoint::EndSession), asked);
}
