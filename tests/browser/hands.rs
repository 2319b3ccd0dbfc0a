//! What a hand does on a web UI: on the stand-in by its words, on the real one by its markup.

use crate::scene::Visitor;
use crate::ui_stage::UiStage;

/// Gives a device another name in headscale-ui, whose list of devices is shown.
pub(crate) fn rename_in_headscale_ui(stage: &UiStage, visitor: &mut Visitor, at: u32, to: &str) {
    let browser = &mut visitor.browser;
    if stage.real {
        let card = format!(".card-primary >> nth={}", at - 1);
        browser.click(&format!("{card} >> button >> nth=0"));
        browser.type_into("input.card-input[placeholder=name]", to);
        browser.click(&format!("{card} >> form button >> nth=0"));
    } else {
        browser.type_into(&format!("[name=name-{at}]"), to);
        browser.click(&format!("[name=name-{at}] + button"));
    }
}

/// Types something for a key into headscale-admin, which insists on one, and opens its list of devices.
pub(crate) fn set_up_headscale_admin(stage: &UiStage, visitor: &mut Visitor) {
    let browser = &mut visitor.browser;
    browser.wait_for(&stage.scene.url("/admin/settings"));
    browser.type_into("#api-key, [name=apiKey]", "typed-by-hand");
    browser.click("button:has-text('Save Settings')");
    browser.wait_to_see("text=/^Authorized/");
    browser.open(&stage.scene.url("/admin/nodes/"));
}

/// Gives a device another name in headscale-admin, whose list of devices is shown.
pub(crate) fn rename_in_headscale_admin(visitor: &mut Visitor, stage: &UiStage, at: u32, to: &str) {
    let browser = &mut visitor.browser;
    if stage.real {
        let card = format!("[data-testid=accordion-item] >> nth={}", at - 1);
        browser.click(&format!("{card} >> button >> nth=0"));
        browser.click(&format!("{card} >> [role=region] button >> nth=0"));
        browser.type_into("[id^=rename-node]", to);
        browser.click("form button[type=submit]");
    } else {
        browser.type_into(&format!("[name=name-{at}]"), to);
        browser.click(&format!("[name=name-{at}] + button"));
    }
}

/// Expires a device in headscale-admin, whose list of devices is shown.
pub(crate) fn expire_in_headscale_admin(visitor: &mut Visitor, stage: &UiStage, at: u32) {
    let browser = &mut visitor.browser;
    if stage.real {
        let card = format!("[data-testid=accordion-item] >> nth={}", at - 1);
        browser.click(&format!("{card} >> button >> nth=0"));
        // It asks once more, with a button in front of the first.
        for _ in 0..2 {
            let entry = "div:has(> div:text-is('Expires:')) button >> nth=0";
            browser.click(&format!("{card} >> {entry}"));
        }
    } else {
        browser.click(&format!("[name=name-{at}] + button + button"));
    }
}

/// Removes a device in headscale-admin, from its list as it is now.
pub(crate) fn delete_in_headscale_admin(visitor: &mut Visitor, stage: &UiStage, at: u32) {
    let browser = &mut visitor.browser;
    browser.open(&stage.scene.url("/admin/nodes/"));
    if stage.real {
        let card = format!("[data-testid=accordion-item] >> nth={}", at - 1);
        browser.click(&format!("{card} >> button >> nth=0"));
        // It asks once more, with a button in front of the first.
        for _ in 0..2 {
            let entry = "div:has(> div:text-is('Delete Node:')) button >> nth=0";
            browser.click(&format!("{card} >> {entry}"));
        }
    } else {
        browser.click(&format!("[name=name-{at}] + button + button + button"));
    }
}

/// Creates a user in headscale-admin, on its page of users.
pub(crate) fn create_user_in_headscale_admin(visitor: &mut Visitor, stage: &UiStage, name: &str) {
    let browser = &mut visitor.browser;
    let field = "[placeholder='New Username...']";
    if stage.real {
        browser.click("button:has-text('Create') >> nth=0");
        browser.type_into(field, name);
        browser.click(&format!("form:has({field}) button[type=submit]"));
    } else {
        browser.type_into(field, name);
        browser.click("button:has-text('Create user')");
    }
}

/// Makes a key that lets a device in, for the user at this place of headscale-admin's list.
pub(crate) fn make_key_in_headscale_admin(visitor: &mut Visitor, stage: &UiStage, at: u32) {
    let browser = &mut visitor.browser;
    if stage.real {
        let card = format!("[data-testid=accordion-item] >> nth={}", at - 1);
        browser.click(&format!("{card} >> button >> nth=0"));
        browser.click(&format!(
            "{card} >> [role=region] button:has-text('Create')"
        ));
        let form = "div:has(> div > input[type=datetime-local]) > div >> nth=0";
        browser.click(&format!("{card} >> {form} >> button >> nth=0"));
    } else {
        browser.click(&format!("button:has-text('Create key {at}')"));
    }
}

/// Gives a device another name in Headplane.
pub(crate) fn rename_in_headplane(stage: &UiStage, visitor: &mut Visitor, at: u32, to: &str) {
    let browser = &mut visitor.browser;
    if stage.real {
        browser.open(&stage.scene.url(&format!("/admin/machines/{at}")));
        browser.click("button:has-text('Machine Settings')");
        browser.click("[role=menuitem]:has-text('Edit machine name')");
        let dialog = ":is([role=dialog],[role=alertdialog])";
        browser.type_into(&format!("{dialog} input:not([type=hidden])"), to);
        browser.click(&format!("{dialog} button[type=submit]"));
    } else {
        let form = format!("form:has([name=node_id][value='{at}'])");
        browser.type_into(&format!("{form} [name=name]"), to);
        browser.click(&format!("{form} [value=rename]"));
    }
}
