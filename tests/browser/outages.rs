//! What a person sees while the provider or Headscale is away.

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::scene::{Scene, Site, Visitor, shows};
use crate::support::certified_provider::MEMBER;
use crate::support::headscale_standin::{HeadscaleStandin, Options, Script};
use crate::support::house::{More, free_addresses};

#[test]
fn without_a_provider_nobody_can_sign_in_and_the_page_says_so() {
    let headscale = HeadscaleStandin::start(Options::default());
    let [nobody] = free_addresses();
    let more = More {
        waits_for_provider: false,
        ..More::default()
    };
    let issuer = format!("http://{nobody}/application/o/headscale/");
    let site = Site::start(&headscale.url(), &issuer, &more);
    let mut visitor = Visitor::new();
    let told = visitor.browser.open(&site.url("/windows"));
    shows(
        &site,
        &told,
        "/windows",
        503,
        "Sign-in is not available right now",
    );
    visitor.shoot("provider-down");
    let told = visitor.browser.press("Try again");
    shows(
        &site,
        &told,
        "/.headwarden/sign-in",
        503,
        "Sign-in is not available right now",
    );
}

#[test]
fn a_provider_that_goes_away_during_a_sign_in_is_reported_and_comes_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let provider = runtime.block_on(FaultyProvider::start());
    let headscale = HeadscaleStandin::start(Options::default());
    let site = Site::start(&headscale.url(), &provider.issuer(), &More::default());
    provider.bend(Fault::TokenIsDown);
    let mut visitor = Visitor::new();
    let told = visitor.browser.open(&site.url("/windows"));
    shows(
        &site,
        &told,
        "/oidc/callback",
        503,
        "Sign-in is not available right now",
    );
    provider.bend(Fault::BadSignature);
    let told = visitor.browser.press("Try again");
    shows(&site, &told, "/oidc/callback", 502, "The sign-in failed");
    visitor.shoot("sign-in-failed");
    provider.mend();
    let page = visitor.browser.press("Try again");
    assert_eq!((page.url, page.status), (site.url("/"), 200));
}

#[test]
fn a_headscale_that_is_away_is_not_taken_for_a_missing_page() {
    let scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    scene.sign_in(&mut visitor, "/", MEMBER);
    scene
        .headscale
        .script("/windows", Script::Bytes(b"nonsense\r\n\r\n".to_vec()));
    let told = visitor.browser.open(&scene.url("/windows"));
    scene.shows(&told, "/windows", 502, "The service is not available");
    visitor.shoot("headscale-nonsense");

    let Scene {
        provider: _provider,
        headscale,
        site,
    } = scene;
    drop(headscale);
    let told = visitor.browser.open(&site.url("/windows"));
    shows(
        &site,
        &told,
        "/windows",
        503,
        "The service is not available",
    );
    visitor.shoot("headscale-down");
}
