//! Who asks before a device joins: Headscale from 0.29 on, before that we, and whoever is not known
//! is taken for old.

use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::headscale_standin::{HeadscaleStandin, Options, Script};
use crate::support::house::More;
use crate::support::person::{Page, Person};
use crate::support::tailnet::{AUTH_ID, Tailnet};
use crate::{SHORT_AUTH_ID, asked, register, signed_in};

fn is_ours(page: &Page) -> bool {
    page.text().contains("/.headwarden/confirm-register")
}

#[test]
fn before_0_29_and_with_an_unknown_version_we_ask_and_headscale_is_not_contacted_before() {
    for version in ["v0.28.0", "v0.26.1", "dev"] {
        let tailnet = Tailnet::start(version);
        let mut person = Person::new();
        // The stand-in takes "dev" for the newest, as it is.
        let id = if version == "dev" {
            AUTH_ID
        } else {
            SHORT_AUTH_ID
        };
        let link = register(id);
        let page = tailnet.sign_in(&mut person, &link, MEMBER);
        assert!(is_ours(&page), "{version}: {}", page.text());
        assert!(page.text().contains(id), "it names the device");
        assert_eq!(asked(&tailnet, &link), 0, "{version}");
        let mut done = person.fill_in(&page, "", &[]);
        if version == "dev" {
            assert!(done.text().contains("Confirm node"), "{}", done.text());
            done = person.fill_in(&done, "", &[]);
        }
        assert!(done.text().contains("Node registered"), "{}", done.text());
        assert_eq!(tailnet.headscale.nodes().len(), 1, "{version}");

        let again = person.open(&tailnet.house.url(&link));
        assert!(is_ours(&again), "{version}: a yes counts once");
        assert_eq!(asked(&tailnet, &link), 1, "{version}");
    }
}

#[test]
fn a_confirmation_needs_a_proof_a_session_and_its_own_token() {
    let tailnet = Tailnet::start("v0.28.0");
    let mut person = signed_in(&tailnet, MEMBER);
    let link = register(SHORT_AUTH_ID);
    let page = person.open(&tailnet.house.url(&link));
    let form = page.form("");
    let body = |form: &crate::support::html::Form| {
        let pairs = &form.fields;
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish()
    };
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let ours = format!("Origin: {}", tailnet.house.plan.origin());
    for lines in [
        &[kind][..],
        &[kind, "Sec-Fetch-Site: cross-site"],
        &[kind, "Sec-Fetch-Site: same-site", &ours],
        &[kind, "Sec-Fetch-Site: none"],
        &[kind, "Origin: null"],
        &[kind, "Origin: http://evil.example"],
    ] {
        let url = form.action.as_str();
        let answer = person.request("POST", url, lines, body(&form).as_bytes());
        assert_eq!(answer.status(), 403, "{lines:?}");
    }
    let proven = [kind, "Sec-Fetch-Site: same-origin", "Accept: text/html"];
    let url = form.action.as_str();
    let nobody = Person::new().request("POST", url, &proven, body(&form).as_bytes());
    assert_eq!(nobody.status(), 400);
    let mut dominic = signed_in(&tailnet, ADMIN);
    let other = dominic.request("POST", url, &proven, body(&form).as_bytes());
    assert_eq!(other.status(), 400, "another session's token");
    for (name, value) in [
        ("id", "0123456789abcdefABCDEF-x"),
        ("token", "guessed"),
        ("id", ""),
    ] {
        let mut bent = form.clone();
        for field in &mut bent.fields {
            if field.0 == name {
                value.clone_into(&mut field.1);
            }
        }
        let answer = person.request("POST", url, &proven, body(&bent).as_bytes());
        assert_eq!(answer.status(), 400, "{name}={value}");
    }
    let ssh = url.replace("register", "ssh");
    let answer = person.request("POST", &ssh, &proven, body(&form).as_bytes());
    assert_eq!(answer.status(), 400, "the token of another question");
    assert_eq!(asked(&tailnet, &link), 0);

    let good = person.request("POST", url, &proven, body(&form).as_bytes());
    assert_eq!(good.status(), 303);
    let again = person.request("POST", url, &proven, body(&form).as_bytes());
    assert_eq!(again.status(), 400, "a token counts once");
}

#[test]
fn from_0_29_on_headscale_asks_alone() {
    let tailnet = Tailnet::start("v0.30.0");
    let mut person = Person::new();
    let page = tailnet.sign_in(&mut person, &register(AUTH_ID), MEMBER);
    assert_eq!(page.url.path(), "/oidc/callback");
    assert!(page.text().contains("Confirm node"), "{}", page.text());
    let paths: Vec<&str> = page.hops.iter().map(|hop| hop.url.path()).collect();
    assert!(
        !paths.iter().any(|path| path.contains("confirm")),
        "{paths:?}"
    );
}

#[test]
fn a_headscale_before_0_26_is_told_of_and_gets_no_registration() {
    let headscale = HeadscaleStandin::start(Options::default());
    let body = "{\"version\":\"v0.25.1\"}";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    headscale.script("/version", Script::Bytes(answer.into_bytes()));
    let tailnet = Tailnet::start_around(headscale, |_| More::default());
    let mut person = signed_in(&tailnet, MEMBER);
    let link = register(SHORT_AUTH_ID);
    let page = person.open(&tailnet.house.url(&link));
    assert_eq!(page.status(), 503);
    assert!(page.text().contains("0.26 or newer"), "{}", page.text());
    assert_eq!(asked(&tailnet, &link), 0);
    assert!(tailnet.house.log().contains("older than 0.26"));
}

#[test]
fn headscales_own_confirmation_is_not_taken_from_another_site_or_without_a_session() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = Person::new();
    let page = tailnet.sign_in(&mut person, &register(AUTH_ID), MEMBER);
    let form = page.form("");
    let path = form.action.path().to_owned();
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let (name, value) = &form.fields[0];
    let body = format!("{name}={value}");
    let url = form.action.as_str();
    let crossed = [
        kind,
        "Sec-Fetch-Site: cross-site",
        "Origin: http://evil.example",
    ];
    let answer = person.request("POST", url, &crossed, body.as_bytes());
    assert_eq!(answer.status(), 403);
    let proven = [kind, "Sec-Fetch-Site: same-origin"];
    let answer = Person::new().request("POST", url, &proven, body.as_bytes());
    assert_eq!(answer.status(), 401);
    assert_eq!(asked(&tailnet, &path), 0);
    assert!(tailnet.headscale.nodes().is_empty());
    // Headscale's own page sends no referrer, so its form says `Origin: null`.
    let done = person.fill_in(&page, "", &[]);
    assert!(done.text().contains("Node registered"), "{}", done.text());
    let seen = tailnet.headscale.wait_for_request(&path);
    assert_eq!(seen.fields.value("origin"), Some("null"));
}
