//! Devices that join, and SSH connections that need a person.

use serde_json::json;

use crate::scene::{Scene, Visitor};
use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::headscale_standin::Oidc;
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, More};
use crate::support::tailnet::AUTH_ID;

/// An id as Headscale before 0.29 makes them.
const SHORT_AUTH_ID: &str = "0123456789abcdefABCDEF-_";
/// Longer than `ssh_max_age`, in seconds.
const LONG_AGO: u32 = 3600;

#[test]
fn a_device_is_registered_in_a_browser_that_was_never_here() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    let asked = scene.sign_in(&mut visitor, &format!("/register/{AUTH_ID}"), MEMBER);
    assert_eq!(asked.title, "Confirm node registration - Headscale");
    assert!(
        asked.url.starts_with(&scene.url("/oidc/callback?")),
        "{}",
        asked.url
    );
    assert!(scene.headscale.nodes().is_empty(), "Headscale asks first");
    let done = visitor.browser.press("Confirm registration");
    assert_eq!(
        (&*done.title, done.status),
        ("Node registered - Headscale", 200)
    );
    assert_eq!(scene.headscale.nodes().len(), 1);
    assert_eq!(scene.headscale.problems(), Vec::<String>::new());
}

#[test]
fn where_headscale_does_not_ask_we_do() {
    let scene = Scene::start("v0.28.1");
    let mut visitor = Visitor::new();
    let link = format!("/register/{SHORT_AUTH_ID}");
    let asked = scene.sign_in(&mut visitor, &link, MEMBER);
    scene.shows(&asked, &link, 200, "Add this device to your network?");
    for shown in [SHORT_AUTH_ID, "Mia Member", "mia@acmecorp.net"] {
        assert!(asked.text.contains(shown), "{shown} in {}", asked.text);
    }
    visitor.shoot("asked-register");
    assert!(scene.headscale.nodes().is_empty() && scene.headscale.users().is_empty());
    let done = visitor.browser.press("Add this device");
    assert_eq!(
        (&*done.title, done.status),
        ("Node registered - Headscale", 200)
    );
    assert_eq!(scene.headscale.nodes().len(), 1);
    assert_eq!(scene.headscale.problems(), Vec::<String>::new());
}

#[test]
fn a_confirmation_may_lead_through_the_provider_where_headscale_signs_in_by_itself() {
    let own = More {
        sign_in: "own",
        ..More::default()
    };
    let mut scene = Scene::start_with("v0.28.1", own);
    scene.provider.register_client(&json!({
        "client_id": HEADSCALE_ID,
        "client_secret": HEADSCALE_SECRET,
        "redirect_uris": [scene.url("/oidc/callback")],
    }));
    let directly = Oidc::trusting(scene.provider.issuer(), HEADSCALE_ID, HEADSCALE_SECRET);
    scene
        .headscale
        .configure(|options| options.oidc = Some(directly));
    let mut visitor = Visitor::new();
    let link = format!("/register/{SHORT_AUTH_ID}");
    let asked = scene.sign_in(&mut visitor, &link, MEMBER);
    scene.shows(&asked, &link, 200, "Add this device to your network?");
    // The form's own redirects visit another site and come back: `form-action` must name it.
    let before = visitor.requests_to(scene.provider.origin());
    let done = visitor.browser.press("Add this device");
    assert_eq!(
        (&*done.title, done.status),
        ("Node registered - Headscale", 200)
    );
    assert_eq!(visitor.requests_to(scene.provider.origin()), before + 1);
    assert_eq!(scene.headscale.nodes().len(), 1);
}

#[test]
fn a_link_that_grew_old_says_where_the_new_one_is() {
    let scene = Scene::start("v0.29.2");
    scene.headscale.expire(AUTH_ID);
    let mut visitor = Visitor::new();
    let told = scene.sign_in(&mut visitor, &format!("/register/{AUTH_ID}"), MEMBER);
    scene.shows(&told, "/oidc/callback", 410, "This link is no longer valid");
    visitor.shoot("old-link");
    let told = visitor.browser.reload();
    scene.shows(&told, "/oidc/callback", 400, "Start again from your device");
    visitor.shoot("start-again");
}

#[test]
fn an_ssh_check_after_a_fresh_sign_in_asks_once_and_then_headscale_approves() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    let link = format!("/auth/{AUTH_ID}");
    let asked = scene.sign_in(&mut visitor, &link, MEMBER);
    scene.shows(&asked, &link, 200, "Approve this SSH connection?");
    assert!(
        asked.text.contains(AUTH_ID) && asked.text.contains("Mia Member"),
        "{}",
        asked.text
    );
    visitor.shoot("asked-ssh");
    assert!(scene.headscale.approved_ssh().is_empty());
    let done = visitor.browser.press("Approve the connection");
    assert_eq!(done.title, "SSH session authorized - Headscale", "{done:?}");
    assert_eq!(scene.headscale.approved_ssh().len(), 1);
    assert_eq!(scene.headscale.problems(), Vec::<String>::new());
}

/// Signs in as the member, with a provider session that is an hour old.
fn signed_in_long_ago(scene: &mut Scene, visitor: &mut Visitor) {
    scene.sign_in(visitor, "/windows", MEMBER);
    scene.provider.age(MEMBER, LONG_AGO);
    // Silently: the provider vouches for the sign-in of an hour ago.
    let page = visitor.browser.open(&scene.url("/.headwarden/sign-in"));
    assert_eq!((page.url, page.status), (scene.url("/"), 200));
}

#[test]
fn an_ssh_check_long_after_the_sign_in_needs_another_one() {
    let mut scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    signed_in_long_ago(&mut scene, &mut visitor);
    let link = format!("/auth/{AUTH_ID}");
    let form = visitor.browser.open(&scene.url(&link));
    scene.is_asked_by_the_provider(&form);
    let asked = visitor.browser.sign_in(MEMBER);
    scene.shows(&asked, &link, 200, "Approve this SSH connection?");
    let done = visitor.browser.press("Approve the connection");
    assert_eq!(done.title, "SSH session authorized - Headscale", "{done:?}");
    assert_eq!(scene.headscale.approved_ssh().len(), 1);
}

#[test]
fn an_ssh_check_is_not_approved_by_somebody_elses_sign_in() {
    let mut scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    signed_in_long_ago(&mut scene, &mut visitor);
    let form = visitor
        .browser
        .open(&scene.url(&format!("/auth/{AUTH_ID}")));
    scene.is_asked_by_the_provider(&form);
    let told = visitor.browser.sign_in(ADMIN);
    scene.shows(&told, "/oidc/callback", 403, "A fresh sign-in is needed");
    visitor.shoot("step-up-refused");
    // Who was signed in still is.
    let page = visitor.browser.open(&scene.url("/.headwarden/logout"));
    assert!(page.text.contains("Mia Member"), "{}", page.text);
    assert!(scene.headscale.approved_ssh().is_empty());
}
