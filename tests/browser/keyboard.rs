//! Somebody who has no mouse, and whose browser runs no scripts.

use serde_json::json;

use crate::scene::{Scene, Visitor};
use crate::support::certified_provider::MEMBER;
use crate::support::house::More;
use crate::ui_stage::furnish;

const LIST: &str = "/.headwarden/devices";
/// Headwarden with a key for Headscale's API.
pub(crate) const WITH_KEY: More = More {
    listen: "",
    sign_in: "issuer",
    issuer: "",
    headscale: "  api_key: hskey-api-standin\n",
    oidc: "",
    top: "",
    waits_for_provider: true,
};

fn names(scene: &Scene) -> Vec<String> {
    let devices = scene.headscale.devices().into_iter();
    devices.map(|device| device.given_name).collect()
}

#[test]
fn devices_are_renamed_signed_out_removed_and_added_by_keyboard_alone_without_scripts() {
    let scene = Scene::start_with("v0.29.2", WITH_KEY);
    furnish(&scene);
    let mut mia = Visitor::with(json!({ "scripts": false }));
    let list = scene.sign_in(&mut mia, LIST, MEMBER);
    scene.shows(&list, LIST, 200, "Your devices");
    assert!(!list.text.contains("Copy"), "a script ran: {list:?}");

    mia.browser.tab_to("Rename laptop");
    mia.browser.key("Space");
    mia.browser.tab_to("New name");
    mia.browser.write_over("notebook");
    let renamed = mia.browser.follow("Enter");
    scene.shows(&renamed, LIST, 200, "The device has its new name.");
    assert_eq!(names(&scene), ["notebook", "phone"]);

    mia.browser.tab_to("Sign out phone");
    let asked = mia.browser.follow("Enter");
    let question = "/.headwarden/devices/sign-out";
    scene.shows(&asked, question, 200, "Sign out this device?");
    mia.browser.tab_to("Leave it as it is");
    let list = mia.browser.follow("Enter");
    scene.shows(&list, LIST, 200, "Your devices");
    let phone = || scene.headscale.devices().pop().expect("it is there");
    assert_eq!(phone().expiry, None, "it was only asked about");
    mia.browser.tab_to("Sign out phone");
    mia.browser.follow("Enter");
    mia.browser.tab_to("Sign out the device");
    let signed_out = mia.browser.follow("Space");
    scene.shows(&signed_out, LIST, 200, "The device is signed out.");
    assert!(phone().expiry.is_some(), "{:?}", phone());

    mia.browser.tab_to("Remove phone");
    let asked = mia.browser.follow("Enter");
    let question = "/.headwarden/devices/remove";
    scene.shows(&asked, question, 200, "Remove this device?");
    mia.browser.tab_to("Remove the device");
    let removed = mia.browser.follow("Enter");
    scene.shows(&removed, LIST, 200, "The device is removed.");
    assert_eq!(names(&scene), ["notebook"]);

    mia.browser.tab_to("Add a device");
    let add = mia.browser.follow("Enter");
    let command = format!("sudo tailscale up --login-server {}", scene.url(""));
    scene.shows(&add, "/.headwarden/devices/add", 200, &command);
    mia.browser.tab_to("Devices");
    let list = mia.browser.follow("Enter");
    scene.shows(&list, LIST, 200, "notebook");
    mia.browser.tab_to("Sessions");
    let sessions = mia.browser.follow("Enter");
    let address = "/.headwarden/sessions";
    scene.shows(&sessions, address, 200, "Where you are signed in");
    mia.browser.tab_to("Sign out");
    let asked = mia.browser.follow("Enter");
    scene.shows(&asked, "/.headwarden/logout", 200, "Sign out?");
}
