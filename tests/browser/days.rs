//! The days of four people at one house: an administrator, somebody who may look, a member, and somebody who is
//! refused. Its configuration is that of the headscale-admin guide.

use crate::hands::{
    create_user_in_headscale_admin, delete_in_headscale_admin, expire_in_headscale_admin,
    make_key_in_headscale_admin, rename_in_headscale_admin, set_up_headscale_admin,
};
use crate::scene::Visitor;
use crate::support::certified_provider::{ADMIN, MEMBER, OUTSIDER};
use crate::ui_stage::{UiStage, VIEWER};

/// What a script of a page of this origin hears when it asks the API: the status, and what is said. The page is one
/// that everybody may see; the policy of ours would stop the script before it could ask.
pub(crate) fn asks(
    stage: &UiStage,
    visitor: &mut Visitor,
    method: &str,
    path: &str,
) -> (u64, String) {
    visitor.browser.open(&stage.scene.url("/health"));
    let script = format!(
        "fetch('{path}', {{ method: '{method}' }}).then(async (r) => [r.status, await r.text()])"
    );
    let heard = visitor.browser.evaluate(&script);
    let said = heard[1].as_str().unwrap_or_default().to_owned();
    (heard[0].as_u64().unwrap_or_default(), said)
}

#[test]
fn an_administrator_changes_devices_adds_a_user_and_a_key_and_signs_out() {
    let stage = UiStage::headscale_admin();
    let mut dominic = stage.visit(ADMIN, "/admin/");
    set_up_headscale_admin(&stage, &mut dominic);
    dominic.browser.wait_to_see("text=laptop");
    rename_in_headscale_admin(&mut dominic, &stage, 1, "notebook");
    dominic.browser.wait_to_see("text=notebook");
    expire_in_headscale_admin(&mut dominic, &stage, 2);
    stage
        .scene
        .headscale
        .wait_for_request("/api/v1/node/2/expire");
    dominic.browser.wait_to_see("text=/Expire[sd]/");
    let expired = |device: &crate::support::headscale_standin::Device| device.expiry.is_some();
    let devices = stage.scene.headscale.devices();
    assert_eq!(
        devices.iter().map(expired).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(stage.names(), ["notebook", "phone"]);
    delete_in_headscale_admin(&mut dominic, &stage, 2);
    dominic.browser.wait_to_see("text=/Deleted machine/");
    assert_eq!(stage.names(), ["notebook"]);
    dominic.browser.open(&stage.scene.url("/admin/users/"));
    create_user_in_headscale_admin(&mut dominic, &stage, "eva");
    dominic.browser.wait_to_see("text=Created user \"eva\"");
    // As a list that was read anew shows it.
    dominic.browser.open(&stage.scene.url("/admin/users/"));
    dominic.browser.wait_to_see("text=eva");
    make_key_in_headscale_admin(&mut dominic, &stage, 2);
    dominic.browser.wait_to_see("text=0f1e2d3c");
    let written = [
        "person POST /api/v1/node/1/rename/notebook 200 admin",
        "person POST /api/v1/node/2/expire 200 admin",
        "person DELETE /api/v1/node/2 200 admin",
        "person POST /api/v1/user 200 admin",
        "person POST /api/v1/preauthkey 200 admin",
    ];
    assert_eq!(stage.writes(ADMIN, 5), written);
    stage.only_our_key_was_used();
    UiStage::key_is_not_in(&mut dominic);
    dominic.shoot("day-administrator");
    // In the evening.
    let url = stage.scene.url("/.headwarden/logout");
    dominic.browser.open(&url);
    let out = dominic.browser.press("Sign out");
    stage
        .scene
        .shows(&out, "/.headwarden/signed-out", 200, "You are signed out");
    assert_eq!(
        asks(&stage, &mut dominic, "DELETE", "/api/v1/node/1").0,
        401
    );
    assert_eq!(stage.names(), ["notebook"]);
}

#[test]
fn a_viewer_sees_everything_and_is_told_in_words_that_changes_are_not_theirs() {
    let stage = UiStage::headscale_admin();
    let mut vera = stage.visit(VIEWER, "/admin/");
    set_up_headscale_admin(&stage, &mut vera);
    vera.browser.wait_to_see("text=laptop");
    vera.browser.wait_to_see("text=phone");
    rename_in_headscale_admin(&mut vera, &stage, 1, "mine");
    vera.browser
        .wait_to_see("text=your account has no role for this on the API");
    delete_in_headscale_admin(&mut vera, &stage, 1);
    vera.browser.wait_to_see("text=/Failed to Delete/");
    vera.browser.open(&stage.scene.url("/admin/users/"));
    create_user_in_headscale_admin(&mut vera, &stage, "eva");
    let told = "Failed to create user \"eva\": your account has no role for this on the API";
    vera.browser.wait_to_see(&format!("text={told}"));
    let shown = vera.browser.look().text;
    assert!(!shown.contains("Unspecified"), "{shown}");
    for (method, path) in [
        ("POST", "/api/v1/node/2/expire"),
        ("DELETE", "/api/v1/node/2"),
        ("POST", "/api/v1/apikey"),
    ] {
        assert_eq!(
            asks(&stage, &mut vera, method, path).0,
            403,
            "{method} {path}"
        );
    }
    assert_eq!(stage.names(), ["laptop", "phone"]);
    assert_eq!(stage.writes(VIEWER, 0), [""; 0]);
    let denied = [
        "person POST /api/v1/node/1/rename/mine api_role",
        "person DELETE /api/v1/node/1 api_role",
        "person POST /api/v1/user api_role",
        "person POST /api/v1/node/2/expire api_role",
        "person DELETE /api/v1/node/2 api_role",
        "person POST /api/v1/apikey api_role",
    ];
    assert_eq!(stage.denials(VIEWER, 6), denied);
    stage.only_our_key_was_used();
    UiStage::key_is_not_in(&mut vera);
    vera.shoot("day-viewer");
}

#[test]
fn a_member_has_their_devices_and_no_admin_pages_and_no_api() {
    let stage = UiStage::headscale_admin();
    let mut mia = stage.visit(MEMBER, "/admin/nodes/");
    let told = mia.browser.look();
    stage
        .scene
        .shows(&told, "/admin/nodes/", 403, "but not this page");
    mia.shoot("day-member-refused");
    for (method, path) in [("GET", "/api/v1/node"), ("POST", "/api/v1/node/1/expire")] {
        let (status, said) = asks(&stage, &mut mia, method, path);
        assert_eq!(status, 403, "{method} {path}");
        assert!(said.contains("no role for this on the API"), "{said}");
    }
    let page = mia.browser.open(&stage.scene.url("/.headwarden/devices"));
    assert_eq!(page.status, 200, "{page:?}");
    assert!(
        page.text.contains("laptop") && page.text.contains("phone"),
        "{page:?}"
    );
    mia.shoot("day-member-devices");
    assert_eq!(stage.names(), ["laptop", "phone"]);
}

#[test]
fn somebody_who_is_refused_hears_which_rule_it_was_and_has_nothing() {
    let stage = UiStage::headscale_admin();
    let mut olaf = stage.visit(OUTSIDER, "/admin/");
    let told = olaf.browser.look();
    let rule = "Your account is in none of the groups that may use this service.";
    stage.scene.shows(&told, "/oidc/callback", 403, rule);
    olaf.shoot("day-refused");
    for path in ["/admin/", "/windows"] {
        let form = olaf.browser.open(&stage.scene.url(path));
        assert_eq!(form.status, 403, "{path}: {form:?}");
    }
    assert_eq!(asks(&stage, &mut olaf, "GET", "/api/v1/node").0, 401);
    let asked = stage.scene.headscale.requests();
    let got = asked
        .iter()
        .find(|seen| seen.path() != "/version" && seen.path() != "/health");
    assert!(got.is_none(), "{got:?}");
}
