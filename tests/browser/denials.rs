//! People who may not, and what they are told.

use serde_json::{Value, json};

use crate::scene::{Scene, Visitor};
use crate::support::certified_provider::{ADMIN, MEMBER, OUTSIDER};
use crate::support::house::More;
use crate::support::tailnet::AUTH_ID;

/// All three lists, and a page for admins.
const STRICT: More = More {
    listen: "",
    sign_in: "issuer",
    issuer: "",
    headscale: "",
    oidc: "  allowed_groups: [headscale]\n  allowed_domains: [acmecorp.net]\n  \
           allowed_users: [dominic@acmecorp.net, mia@acmecorp.net, 9lives@acmecorp.net]\n",
    top: "access:\n  - { path: \"/admin/**\", groups: [headscale-admins] }\n",
    waits_for_provider: true,
};

fn invent(scene: &mut Scene, username: &str, email: &Value) {
    let claims = json!({ "name": "Nora Newcomer", "email": email, "groups": ["headscale"] });
    scene.provider.set_person(username, &claims);
}

#[test]
fn every_kind_of_denial_says_what_is_missing_and_leaves_a_way_out() {
    let mut scene = Scene::start_with("v0.29.2", STRICT);
    invent(&mut scene, "nora", &json!("nora@elsewhere.example"));
    invent(&mut scene, "nils", &json!("nils@acmecorp.net"));
    invent(&mut scene, "nemo", &Value::Null);
    let mut visitor = Visitor::new();
    let mut told = scene.sign_in(&mut visitor, "/windows", OUTSIDER);
    for (next, rule, name) in [
        ("nora", "in none of the groups", "denied-by-group"),
        ("nils", "a domain that may not use", "denied-by-domain"),
        ("nemo", "not on the list of people", "denied-by-user"),
        (MEMBER, "sent no e-mail address", "denied-without-email"),
    ] {
        scene.shows(&told, "/oidc/callback", 403, "You have no access");
        assert!(told.text.contains(rule), "{rule}: {}", told.text);
        assert_eq!(
            visitor.cookie_names(&scene.url("/")),
            [""; 0],
            "{name}: a session"
        );
        visitor.shoot(name);
        let form = visitor.browser.press("Sign in as someone else");
        scene.is_asked_by_the_provider(&form);
        told = visitor.browser.sign_in(next);
    }
    assert_eq!((told.url, told.status), (scene.url("/"), 200));
}

#[test]
fn an_address_that_nobody_verified_is_no_address() {
    let mut scene = Scene::start_with("v0.29.2", STRICT);
    scene.provider.set(&json!({ "email_verified": false }));
    let mut visitor = Visitor::new();
    let told = scene.sign_in(&mut visitor, "/windows", MEMBER);
    scene.shows(
        &told,
        "/oidc/callback",
        403,
        "has not verified your e-mail address",
    );
    visitor.shoot("denied-unverified");
    // What the page advises: verify, and sign in again.
    scene.provider.set(&json!({ "email_verified": true }));
    let page = visitor.browser.press("Sign in again");
    assert_eq!((page.url, page.status), (scene.url("/"), 200));
}

#[test]
fn somebody_who_may_not_can_sign_out() {
    let scene = Scene::start_with("v0.29.2", STRICT);
    let mut visitor = Visitor::new();
    scene.sign_in(&mut visitor, "/windows", OUTSIDER);
    let out = visitor.browser.press("Sign out");
    scene.shows(&out, "/.headwarden/signed-out", 200, "You are signed out");
}

#[test]
fn a_page_for_admins_is_refused_to_members_and_opens_for_an_admin() {
    let scene = Scene::start_with("v0.29.2", STRICT);
    let mut visitor = Visitor::new();
    let told = scene.sign_in(&mut visitor, "/admin/users", MEMBER);
    scene.shows(&told, "/admin/users", 403, "but not this page");
    visitor.shoot("denied-page");
    let form = visitor.browser.press("Sign in as someone else");
    scene.is_asked_by_the_provider(&form);
    visitor.browser.sign_in(ADMIN);
    // Headscale has no such page, but it is the one who says so.
    let page = visitor.browser.open(&scene.url("/admin/users"));
    assert!(page.text.contains("404 page not found"), "{page:?}");
}

#[test]
fn a_name_that_headscale_would_refuse_is_refused_with_its_rule() {
    let mut scene = Scene::start_with("v0.29.2", STRICT);
    invent(&mut scene, "9lives", &json!("9lives@acmecorp.net"));
    let mut visitor = Visitor::new();
    let told = scene.sign_in(&mut visitor, &format!("/register/{AUTH_ID}"), "9lives");
    scene.shows(
        &told,
        "/.headwarden/authorize",
        403,
        "must begin with a letter",
    );
    visitor.shoot("denied-username");
    assert!(scene.headscale.users().is_empty());
}
