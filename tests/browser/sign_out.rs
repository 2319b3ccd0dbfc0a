//! Signing out, here and at the provider, and what may happen afterwards.

use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::scene::{HOST, Scene, Visitor};
use crate::support::browser::Browser;
use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::house::CLIENT_ID;

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
    scene.shows(
        &out,
        "/.headwarden/signed-out",
        200,
        "was told, and answered",
    );
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
    assert!(still.text.contains("may still be signed in"), "{still:?}");
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

/// The address that a page of the provider shows in a frame when somebody signs out there.
fn front_channel(scene: &mut Scene) -> String {
    let sids = scene.provider.sids(MEMBER, CLIENT_ID);
    let [sid] = sids.as_slice() else {
        panic!("one session at the provider, not {sids:?}")
    };
    let query = Serializer::new(String::new())
        .append_pair("iss", scene.provider.issuer())
        .append_pair("sid", sid)
        .finish();
    scene.url(&format!("/.headwarden/frontchannel-logout?{query}"))
}

#[test]
fn a_frame_on_the_providers_page_signs_out_without_a_cookie() {
    let mut scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    scene.sign_in(&mut visitor, "/windows", MEMBER);
    let page = visitor.browser.open(&scene.url("/.headwarden/logout"));
    assert!(page.text.contains("Mia Member"), "{}", page.text);
    let framed = front_channel(&mut scene);
    let frames = scene.provider.framing(&framed);
    let shown = visitor.browser.open(&frames);
    assert_eq!(shown.title, "Frames");
    let requests = visitor.browser.requests();
    let frame = requests.iter().find(|one| one["url"] == framed.as_str());
    assert_eq!(frame.expect("it was loaded")["status"], 200);
    let line = scene.site.house.wait_for_log("signed out by the provider");
    assert!(
        line.contains("front_channel") && line.contains("sessions=1"),
        "{line}"
    );
    let page = visitor.browser.open(&scene.url("/.headwarden/logout"));
    assert!(!page.text.contains("Mia Member"), "{}", page.text);
    // That the frame was shown: the console has nothing to say when the visitor leaves.
}

#[test]
fn no_other_page_may_frame_the_answer_and_the_provider_no_other_page() {
    let mut scene = Scene::start("v0.29.2");
    let mut visitor = Visitor::new();
    scene.sign_in(&mut visitor, "/windows", MEMBER);
    let framed = front_channel(&mut scene);
    // The same server under another name is another origin.
    let stranger = scene
        .provider
        .framing(&framed)
        .replace("//localhost:", "//127.0.0.1:");
    assert!(!stranger.starts_with(scene.provider.origin()));
    let [question, signed_out] = ["logout", "signed-out"].map(|page| {
        scene
            .provider
            .framing(&scene.url(&format!("/.headwarden/{page}")))
    });
    for page in [stranger, question, signed_out] {
        let settings = json!({ "hosts": { HOST: "127.0.0.1" }, "trust_any_certificate": true });
        let mut browser = Browser::start_with(&settings);
        assert_eq!(browser.open(&page).title, "Frames");
        let complaints = browser.console();
        let refused = complaints
            .iter()
            .any(|line| line.contains("frame-ancestors"));
        assert!(refused, "{page}: {complaints:?}");
    }
}
