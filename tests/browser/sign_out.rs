//! Signing out, here and at the provider, and what may happen afterwards.

use serde_json::json;

use crate::scene::{Scene, Visitor};
use crate::support::certified_provider::{ADMIN, MEMBER};

/// Signs in, and out again through our page and the provider's.
fn in_and_out(scene: &Scene, visitor: &mut Visitor) {
    scene.sign_in(visitor, "/windows", MEMBER);
    let question = visitor.browser.open(&scene.url("/.headwarden/logout"));
    scene.shows(&question, "/.headwarden/logout", 200, "Sign out?");
    assert!(question.text.contains("Mia Member"), "{}", question.text);
    visitor.shoot("sign-out-question");
    visitor.browser.press("Sign out");
    let out = visitor
        .browser
        .wait_for(&scene.url("/.headwarden/signed-out"));
    scene.shows(&out, "/.headwarden/signed-out", 200, "You are signed out");
    visitor.shoot("signed-out-at-last");
    assert_eq!(visitor.cookie_names(&scene.url("/")), [""; 0]);
}

#[test]
fn whoever_signs_out_stays_out_until_they_sign_in_again() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    in_and_out(&scene, &mut visitor);
    let left = visitor.requests_to(&format!("{}end-session/", scene.provider.issuer()));
    assert!(left > 0, "the provider was not told");

    let asked = visitor.browser.requests().len();
    let still = visitor.browser.reload();
    scene.shows(&still, "/.headwarden/signed-out", 200, "You are signed out");
    assert_eq!(
        visitor.browser.requests().len(),
        asked + 1,
        "only the reload"
    );

    let form = visitor.browser.press("Sign in again");
    scene.is_asked_by_the_provider(&form);
    let page = visitor.browser.sign_in(MEMBER);
    assert_eq!((page.url, page.status), (scene.url("/"), 200));
}

#[test]
fn where_the_provider_stays_signed_in_another_account_can_still_be_chosen() {
    let mut scene = Scene::start("v0.29.2");
    scene.provider.set(&json!({ "logout_ends_session": false }));
    let mut visitor = Visitor::new();
    in_and_out(&scene, &mut visitor);
    let form = visitor.browser.press("Sign in as someone else");
    scene.is_asked_by_the_provider(&form);
    visitor.browser.sign_in(ADMIN);
    let page = visitor.browser.open(&scene.url("/.headwarden/logout"));
    assert!(page.text.contains("Dominic Admin"), "{}", page.text);

    visitor.browser.press("Sign out");
    visitor
        .browser
        .wait_for(&scene.url("/.headwarden/signed-out"));
    let page = visitor.browser.press("Sign in again");
    assert_eq!((page.url, page.status), (scene.url("/"), 200), "silently");
}

#[test]
fn whoever_changes_their_mind_stays_signed_in() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    scene.sign_in(&mut visitor, "/windows", MEMBER);
    visitor.browser.open(&scene.url("/.headwarden/logout"));
    let page = visitor.browser.press("Stay signed in");
    assert_eq!((page.url, page.status), (scene.url("/"), 200));
}
