//! A real browser at the provider and the stand-in.

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::certified_provider::MEMBER;
use crate::support::headscale_standin::{Options, Script};
use crate::{AUTH_ID, trusting};

#[test]
fn a_browser_signs_in_at_the_provider_and_a_screenshot_shows_the_result() {
    let (_provider, standin) = trusting(Options::default(), true, "ES256");
    let pictures = tempfile::tempdir().unwrap();
    let mut browser = Browser::start();
    let form = browser.open(&format!("{}/register/{AUTH_ID}", standin.url()));
    assert_eq!((form.title.as_str(), form.status), ("Sign in", 200));
    let asked = browser.sign_in(MEMBER);
    assert_eq!(
        asked.title, "Confirm node registration - Headscale",
        "{asked:?}"
    );
    assert_eq!(
        browser.press("Confirm registration").title,
        "Node registered - Headscale"
    );
    browser.screenshot(pictures.path(), "registered");
    let picture = std::fs::read(pictures.path().join("registered.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 1000);
    assert_eq!(standin.nodes().len(), 1);
    let callback = browser.requests().into_iter().find(|request| {
        request["url"]
            .as_str()
            .is_some_and(|url| url.contains("/oidc/callback"))
    });
    assert_eq!(callback.expect("a callback")["status"], 200);
    let cookies = browser.cookies(&format!("{}/oidc/callback", standin.url()));
    assert!(
        cookies.iter().any(|cookie| cookie["httpOnly"] == true),
        "{cookies:?}"
    );
}

#[test]
fn a_browser_without_cookies_sends_none() {
    let (_provider, standin) = trusting(Options::default(), true, "ES256");
    let mut browser = Browser::start_with(&json!({ "cookies": false }));
    let url = format!("{}/register/{AUTH_ID}", standin.url());
    browser.open(&url);
    let again = browser.open(&url);
    assert_eq!(
        (again.title.as_str(), again.status),
        ("Request failed", 400)
    );
    let [_, second] = &standin.requests()[..2] else {
        panic!("two requests")
    };
    assert_eq!(second.fields.value("cookie"), None);
    assert_eq!(browser.cookies(&url), Vec::<Value>::new());

    standin.script(
        "/bare",
        Script::Bytes(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
    );
    assert_eq!(browser.open(&format!("{}/bare", standin.url())).status, 404);
}

#[test]
fn a_browser_finds_named_hosts_and_is_signed_out_without_a_press() {
    let (provider, standin) = trusting(Options::default(), true, "ES256");
    let hosts = json!({ "hosts": { "headscale.test": "127.0.0.1" }, "phone": true, "dark": true });
    let mut browser = Browser::start_with(&hosts);
    let port = standin.address().port();
    browser.open(&format!("http://headscale.test:{port}/windows"));
    assert_eq!(
        standin.wait_for_request("/windows").fields.value("host"),
        Some(&*format!("headscale.test:{port}"))
    );
    assert_eq!(
        browser.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"),
        true
    );
    assert_eq!(browser.evaluate("innerWidth"), 390);

    browser.new_tab();
    let registration = format!("{}/register/{AUTH_ID}", standin.url());
    browser.open(&registration);
    browser.sign_in(MEMBER);
    browser.open(&format!(
        "{}end-session/?client_id=headscale",
        provider.issuer()
    ));
    let done = browser.wait_for(&format!("{}end-session/success", provider.issuer()));
    assert_eq!(done.title, "You have been logged out");
    assert_eq!(browser.open(&registration).title, "Sign in");
}
