//! The recipes of `docs/guides`, each with its web UI in a real browser. Headwarden's configuration is the one
//! on the page, and so is Headplane's own.

use crate::days::asks;
use crate::hands::{rename_in_headplane, rename_in_headscale_ui, set_up_headscale_admin};
use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::ui_stage::{SECOND_ADMIN, UiStage, VIEWER};

#[test]
fn an_admin_renames_a_device_in_headscale_ui_and_has_typed_no_key() {
    let stage = UiStage::headscale_ui();
    let mut visitor = stage.visit(ADMIN, "/web/devices.html");
    visitor.browser.wait_to_see("text=1: laptop");
    visitor.browser.wait_to_see("text=2: phone");
    rename_in_headscale_ui(&stage, &mut visitor, 1, "notebook");
    visitor.browser.wait_to_see("text=1: notebook");
    assert_eq!(stage.names(), ["notebook", "phone"]);
    stage.only_our_key_was_used();
    UiStage::key_is_not_in(&mut visitor);
    let written = "person POST /api/v1/node/1/rename/notebook 200 admin";
    assert_eq!(stage.writes(ADMIN, 1), [written]);
}

#[test]
fn a_key_that_somebody_left_in_headscale_ui_is_replaced() {
    let stage = UiStage::headscale_ui();
    let mut visitor = stage.visit(ADMIN, "/web/settings.html");
    let keep = "localStorage.setItem('headscaleAPIKey', 'hskey-api-of-long-ago')";
    visitor.browser.evaluate(keep);
    visitor.browser.open(&stage.scene.url("/web/devices.html"));
    visitor.browser.wait_to_see("text=1: laptop");
    stage.only_our_key_was_used();
    UiStage::key_is_not_in(&mut visitor);
}

#[test]
fn headplane_believes_who_signed_in_here_and_nobody_else() {
    let stage = UiStage::headplane();
    let unknown = stage.directly("/admin/machines");
    assert!(unknown.contains("/admin/login"), "{unknown}");
    let mut owner = stage.visit(ADMIN, "/admin/machines");
    owner.browser.wait_to_see("text=laptop");
    if !stage.real {
        let shown = owner.browser.look().text;
        for part in ["Dominic Admin", "dominic@acmecorp.net", "owner"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        owner.browser.wait_to_see("body[data-live=yes]");
    }
    rename_in_headplane(&stage, &mut owner, 1, "notebook");
    owner.browser.wait_to_see("text=notebook");
    assert_eq!(stage.names(), ["notebook", "phone"]);
    stage.only_our_key_was_used();
    UiStage::key_is_not_in(&mut owner);
    // It asks Headscale by itself, so nothing of it is in our audit log.
    assert_eq!(stage.writes(ADMIN, 0), [""; 0]);
}

#[test]
fn nobody_becomes_headplanes_owner_by_saying_so() {
    let stage = UiStage::headplane();
    drop(stage.visit(ADMIN, "/admin/"));
    let mut second = stage.visit(SECOND_ADMIN, "/admin/");
    // Whatever a script of a page adds is gone before Headplane sees it.
    for name in ["Remote-User", "remote_user", "REMOTE-USER"] {
        let script = format!(
            "fetch('/admin/', {{ headers: {{ '{name}': '{ADMIN}' }} }}).then((r) => r.text())"
        );
        let page = second.browser.evaluate(&script);
        let page = page.as_str().expect("a page");
        let is_second = page.contains("Sam Second") && !page.contains("Dominic");
        assert!(is_second, "{name}: {page}");
    }
}

#[test]
fn a_web_ui_for_admins_is_shown_to_nobody_else() {
    for (stage, path) in [
        (UiStage::headscale_ui(), "/web/devices.html"),
        (UiStage::headplane(), "/admin/machines"),
    ] {
        for who in [VIEWER, MEMBER] {
            let mut visitor = stage.visit(who, path);
            let told = visitor.browser.look();
            stage.scene.shows(&told, path, 403, "but not this page");
        }
        let asked = stage.scene.headscale.requests();
        let by_api = asked
            .iter()
            .any(|seen| seen.path().starts_with("/api/v1/node"));
        assert!(!by_api, "{path}: somebody got as far as the API");
    }
}

#[test]
fn the_pages_of_api_from_use_the_api_and_another_page_of_the_origin_does_not() {
    let ui = UiStage::headscale_ui_of_the_api();
    let mut dominic = ui.visit(ADMIN, "/web/devices.html");
    dominic.browser.wait_to_see("text=1: laptop");
    rename_in_headscale_ui(&ui, &mut dominic, 1, "notebook");
    dominic.browser.wait_to_see("text=1: notebook");
    let admin = UiStage::headscale_admin_alone();
    let mut sam = admin.visit(ADMIN, "/admin/");
    set_up_headscale_admin(&admin, &mut sam);
    sam.browser.wait_to_see("text=laptop");
    for (stage, visitor) in [(&ui, &mut dominic), (&admin, &mut sam)] {
        for (method, path) in [("GET", "/api/v1/node"), ("DELETE", "/api/v1/node/1")] {
            let (status, said) = asks(stage, visitor, method, path);
            assert_eq!(status, 403, "{method} {path}: {said}");
            // Headscale 0.29 has its pages keep back which they are.
            let words = ["this page may not use the API", "which page asks"];
            assert!(words.iter().any(|told| said.contains(told)), "{said}");
        }
        stage.only_our_key_was_used();
        UiStage::key_is_not_in(visitor);
    }
    assert_eq!(ui.names(), ["notebook", "phone"]);
    assert_eq!(admin.names(), ["laptop", "phone"]);
}

#[test]
fn a_viewer_looks_at_devices_in_headscale_ui_and_is_told_that_changes_are_not_theirs() {
    let stage = UiStage::headscale_ui_of_the_api();
    let mut vera = stage.visit(VIEWER, "/web/devices.html");
    vera.browser.wait_to_see("text=1: laptop");
    vera.browser.wait_to_see("text=2: phone");
    rename_in_headscale_ui(&stage, &mut vera, 1, "mine");
    let told = "text=your account has no role for this on the API";
    vera.browser.wait_to_see(told);
    assert_eq!(stage.names(), ["laptop", "phone"]);
    let denied = "person POST /api/v1/node/1/rename/mine api_role";
    assert_eq!(stage.denials(VIEWER, 1), [denied]);
    stage.only_our_key_was_used();
    UiStage::key_is_not_in(&mut vera);
}
