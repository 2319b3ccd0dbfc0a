//! A person's own sessions, in two browsers of theirs.

use crate::scene::{Scene, Visitor};
use crate::support::browser::View;
use crate::support::certified_provider::MEMBER;

const LIST: &str = "/.headwarden/sessions";
const HEADING: &str = "Where you are signed in";

/// How many sessions a list shows.
fn count(list: &View) -> usize {
    list.text.matches("Chrome on Linux").count()
}

#[test]
fn one_browser_ends_the_session_of_another_which_is_asked_to_sign_in_again() {
    let scene = Scene::start("v0.29.2");
    let (mut one, mut other) = (Visitor::new(), Visitor::new());
    scene.sign_in(&mut one, "/windows", MEMBER);
    scene.sign_in(&mut other, "/windows", MEMBER);
    let asked = one.browser.open(&scene.url("/.headwarden/logout"));
    scene.shows(&asked, "/.headwarden/logout", 200, "Sign out?");
    let list = one.browser.press("See your sessions");
    scene.shows(&list, LIST, 200, HEADING);
    for part in ["Mia Member", "This browser", "Chrome on Linux", "127.0.0.1"] {
        assert!(list.text.contains(part), "{part} in {}", list.text);
    }
    assert_eq!(count(&list), 2, "{}", list.text);
    one.shoot("sessions");
    let list = one.browser.press("End this session");
    scene.shows(&list, LIST, 200, HEADING);
    assert_eq!(count(&list), 1, "{}", list.text);
    assert!(
        !list.text.contains("End all other sessions"),
        "{}",
        list.text
    );
    // The other one finds out at its next step, and is let in again by the provider, silently.
    let before = other.requests_to(scene.provider.origin());
    let page = other.browser.open(&scene.url(LIST));
    scene.shows(&page, LIST, 200, HEADING);
    assert!(
        other.requests_to(scene.provider.origin()) > before,
        "{page:?}"
    );
}

#[test]
fn all_other_sessions_end_at_once_and_the_one_at_hand_by_signing_out() {
    let scene = Scene::start("v0.29.2");
    let (mut one, mut other) = (Visitor::new(), Visitor::new());
    scene.sign_in(&mut one, "/windows", MEMBER);
    scene.sign_in(&mut other, "/windows", MEMBER);
    let list = one.browser.open(&scene.url(LIST));
    assert_eq!(count(&list), 2, "{}", list.text);
    let list = one.browser.press("End all other sessions");
    scene.shows(&list, LIST, 200, HEADING);
    assert_eq!(count(&list), 1, "{}", list.text);
    let before = other.requests_to(scene.provider.origin());
    other.browser.open(&scene.url("/windows"));
    assert!(other.requests_to(scene.provider.origin()) > before);
    // This tab's page is older than what the other browser did since.
    let list = one.browser.reload();
    assert_eq!(count(&list), 2, "{}", list.text);
    one.browser.press("Sign out here");
    let out = one.browser.wait_for(&scene.url("/.headwarden/signed-out"));
    scene.shows(&out, "/.headwarden/signed-out", 200, "You are signed out");
}
