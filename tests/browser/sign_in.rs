//! Signing in.

use serde_json::json;

use crate::faulty_provider::FaultyProvider;
use crate::scene::{HOST, Scene, Site, Visitor, WRONG_HOST, shows};
use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::More;

#[test]
fn a_person_comes_back_from_the_provider_to_the_page_they_wanted() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    let page = scene.sign_in(&mut visitor, "/windows?from=link", MEMBER);
    assert_eq!(
        (page.url, page.status),
        (scene.url("/windows?from=link"), 200)
    );
    assert_eq!(page.title, "Headscale");

    let [cookie] = &visitor.browser.cookies(&scene.url("/"))[..] else {
        panic!("one cookie, and no attempt left behind")
    };
    assert!(
        cookie["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("__Host-"))
    );
    assert_eq!(
        (
            &cookie["secure"],
            &cookie["httpOnly"],
            &cookie["sameSite"],
            &cookie["path"]
        ),
        (&json!(true), &json!(true), &json!("Lax"), &json!("/"))
    );
    assert_eq!(cookie["domain"], HOST);

    let asked = visitor.requests_to(scene.provider.origin());
    assert_eq!(visitor.browser.reload().status, 200);
    visitor.browser.new_tab();
    assert_eq!(visitor.browser.open(&scene.url("/apple")).status, 200);
    assert_eq!(
        visitor.requests_to(scene.provider.origin()),
        asked,
        "asked again"
    );
}

#[test]
fn a_person_signs_in_over_plain_http_on_loopback() {
    let scene = Scene::start_plain("v0.29.2");
    let mut visitor = Visitor::new();
    let page = scene.sign_in(&mut visitor, "/windows", ADMIN);
    assert_eq!((page.url, page.status), (scene.url("/windows"), 200));
    visitor.browser.open(&scene.url("/.headwarden/logout"));
    visitor.browser.press("Sign out");
    let out = visitor
        .browser
        .wait_for(&scene.url("/.headwarden/signed-out"));
    scene.shows(&out, "/.headwarden/signed-out", 200, "You are signed out");
}

#[test]
fn a_sign_in_that_was_cancelled_can_be_tried_again() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    visitor.browser.open(&scene.url("/windows"));
    let refused = visitor.browser.press("Cancel");
    scene.shows(
        &refused,
        "/oidc/callback",
        403,
        "Your identity provider said no",
    );
    visitor.shoot("cancelled");
    let form = visitor.browser.press("Try again");
    scene.is_asked_by_the_provider(&form);
    assert_eq!(visitor.browser.sign_in(MEMBER).url, scene.url("/"));
}

#[test]
fn a_callback_that_is_loaded_again_is_told_from_a_browser_without_cookies() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    visitor.browser.open(&scene.url("/windows"));
    visitor.browser.press("Cancel");
    let again = visitor.browser.reload();
    scene.shows(
        &again,
        "/oidc/callback",
        400,
        "This sign-in was already used",
    );
    visitor.shoot("already-used");
}

#[test]
fn a_browser_that_refuses_cookies_is_told_so_and_never_goes_round_in_circles() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    // The certified provider needs cookies itself; this one asks nobody for anything.
    let provider = runtime.block_on(FaultyProvider::start());
    let headscale = HeadscaleStandin::start(Options::default());
    let site = Site::start(&headscale.url(), &provider.issuer(), &More::default());
    let mut visitor = Visitor::with(json!({ "cookies": false }));
    let told = visitor.browser.open(&site.url("/windows"));
    shows(
        &site,
        &told,
        "/oidc/callback",
        400,
        "Cookies are needed to sign in",
    );
    visitor.shoot("cookies-refused");
    assert_eq!(visitor.browser.requests().len(), 3, "here, there, and back");

    let told = visitor.browser.press("Try again");
    shows(
        &site,
        &told,
        "/oidc/callback",
        400,
        "Cookies are needed to sign in",
    );
    assert_eq!(
        visitor.browser.requests().len(),
        6,
        "{:?}",
        visitor.browser.requests()
    );
    assert_eq!(visitor.cookie_names(&site.url("/")), [""; 0]);
}

#[test]
fn another_name_for_the_same_socket_is_no_way_in() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    let url = scene.url("/windows").replace(HOST, WRONG_HOST);
    let told = visitor.browser.open(&url);
    assert_eq!((told.url, told.status), (url.clone(), 421));
    assert!(
        told.text.contains("Wrong address") && told.text.contains(HOST),
        "{}",
        told.text
    );
    visitor.shoot("misdirected");
    assert_eq!(visitor.cookie_names(&url), [""; 0]);
    assert_eq!(visitor.requests_to(scene.provider.origin()), 0);
}

#[test]
fn what_is_nobodys_is_not_found_without_a_sign_in() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    for path in ["/metrics", "/debug/pprof", "/.headwarden/nothing"] {
        let told = visitor.browser.open(&scene.url(path));
        scene.shows(&told, path, 404, "Page not found");
    }
    visitor.shoot("nowhere");
    assert_eq!(visitor.requests_to(scene.provider.origin()), 0);
}
