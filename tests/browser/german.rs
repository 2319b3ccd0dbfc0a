//! Somebody whose browser asks for German.

use serde_json::json;

use crate::keyboard::WITH_KEY;
use crate::scene::{Scene, Visitor};
use crate::support::browser::View;
use crate::support::certified_provider::{MEMBER, OUTSIDER};
use crate::ui_stage::furnish;

/// Fails unless it is our page with this heading, and in German.
fn is_german(scene: &Scene, visitor: &mut Visitor, view: &View, at: (&str, u16), heading: &str) {
    scene.shows(view, at.0, at.1, heading);
    let language = visitor.browser.evaluate("document.documentElement.lang");
    assert_eq!(language, "de", "{view:?}");
}

#[test]
fn a_german_browser_hears_german_from_a_refused_sign_in_to_the_sign_out() {
    let scene = Scene::start_with("v0.29.2", WITH_KEY);
    furnish(&scene);
    let mut visitor = Visitor::with(json!({ "locale": "de-DE" }));
    let form = visitor.browser.open(&scene.url("/windows"));
    scene.is_asked_by_the_provider(&form);
    let told = visitor.browser.press("Cancel");
    let (at, heading) = ("/oidc/callback", "Ihr Identitätsanbieter hat abgelehnt");
    is_german(&scene, &mut visitor, &told, (at, 403), heading);
    visitor.shoot("de-provider-denied");

    let form = visitor.browser.press("Noch einmal versuchen");
    scene.is_asked_by_the_provider(&form);
    let told = visitor.browser.sign_in(OUTSIDER);
    is_german(
        &scene,
        &mut visitor,
        &told,
        (at, 403),
        "Sie haben keinen Zugriff",
    );
    assert!(told.text.contains("in keiner der Gruppen"), "{told:?}");
    let id = "Kennung für Rückfragen";
    assert!(told.text.contains(id), "{told:?}");
    visitor.shoot("de-denied");

    let form = visitor.browser.press("Mit anderem Konto anmelden");
    scene.is_asked_by_the_provider(&form);
    visitor.browser.sign_in(MEMBER);
    let list = visitor.browser.open(&scene.url("/.headwarden/devices"));
    let at = "/.headwarden/devices";
    is_german(&scene, &mut visitor, &list, (at, 200), "Ihre Geräte");
    assert!(list.text.contains("laptop"), "{list:?}");
    visitor.shoot("de-devices");

    let list = visitor.browser.press("Sitzungen");
    let at = "/.headwarden/sessions";
    is_german(
        &scene,
        &mut visitor,
        &list,
        (at, 200),
        "Wo Sie angemeldet sind",
    );
    for part in ["Chrome auf Linux", "Dieser Browser", "gerade eben"] {
        assert!(list.text.contains(part), "{part} in {list:?}");
    }
    visitor.shoot("de-sessions");

    let asked = visitor.browser.press("Abmelden");
    let at = "/.headwarden/logout";
    is_german(&scene, &mut visitor, &asked, (at, 200), "Abmelden?");
    assert!(asked.text.contains("Mia Member"), "{asked:?}");
    visitor.browser.press("Abmelden");
    let at = "/.headwarden/signed-out";
    let out = visitor.browser.wait_for(&scene.url(at));
    is_german(&scene, &mut visitor, &out, (at, 200), "Sie sind abgemeldet");
    visitor.shoot("de-signed-out");
}
