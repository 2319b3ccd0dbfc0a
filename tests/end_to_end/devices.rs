//! My devices at a real Headscale, with real devices: what the page says is so, and what its forms do is done.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::person::{Page, Person};
use crate::support::real_tailnet::{Binaries, Node, RealTailnet, poll};

const LIST: &str = "/.headwarden/devices";

/// Headscale's rows by their names in the tailnet, with their ids.
fn rows(tailnet: &RealTailnet) -> BTreeMap<String, (String, Value)> {
    let nodes = tailnet.headscale(&["nodes", "list"]);
    let nodes = nodes.as_array().cloned().unwrap_or_default();
    let row = |node: Value| {
        let name = node["given_name"].as_str().unwrap_or_default().to_owned();
        let id = node["id"].to_string().trim_matches('"').to_owned();
        (name, (id, node))
    };
    nodes.into_iter().map(row).collect()
}

fn names(tailnet: &RealTailnet) -> Vec<String> {
    rows(tailnet).into_keys().collect()
}

fn open(tailnet: &RealTailnet, person: &mut Person, rest: &str) -> Page {
    person.open(&format!("{}{LIST}{rest}", tailnet.origin()))
}

fn becomes(node: &Node, state: &str) {
    poll(&format!("{} to be {state}", node.name), || {
        (node.status()["BackendState"] == state).then_some(())
    });
}

/// Starts Headwarden anew, with a key of the API and an administrator of it.
fn give_a_key(tailnet: &mut RealTailnet) {
    let key = tailnet.headscale(&["apikeys", "create", "--expiration", "24h"]);
    let key = key.as_str().expect("a key");
    let path = tailnet.house.plan.files.join("config.yaml");
    let config = std::fs::read_to_string(&path).expect("it was written");
    let keyed = format!("api: {{ admins: [headscale-admins] }}\nheadscale:\n  api_key: {key}\n");
    std::fs::write(&path, config.replace("headscale:\n", &keyed)).expect("a file of ours");
    tailnet.house.restart(&[]);
    tailnet
        .house
        .wait_for_log("headscale's version version=0.29");
}

#[test]
fn people_rename_sign_out_and_remove_their_own_devices_at_a_real_headscale_and_no_other() {
    let Some(binaries) = Binaries::named() else {
        return;
    };
    let mut tailnet = RealTailnet::start(&binaries);
    give_a_key(&mut tailnet);
    let [desk, phone] = ["desk", "phone"].map(|name| tailnet.node(name));
    tailnet.register(&desk, desk.up(&[]), MEMBER);
    tailnet.register(&phone, phone.up(&[]), ADMIN);
    let before = rows(&tailnet);
    let (desks, phones) = (&before["desk"].0, &before["phone"].0);

    let mut mia = tailnet.person();
    let url = format!("{}{LIST}", tailnet.origin());
    let page = tailnet.sign_in(&mut mia, &url, MEMBER);
    let text = page.text();
    assert_eq!(page.status(), 200, "{text}");
    for shown in ["desk", "100.64.0.1", "Online"] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert!(!text.contains("phone"), "{text}");

    let renamed = mia.fill_in(&page, &format!("rename-{desks}"), &[("name", "office")]);
    assert!(
        renamed.text().contains("has its new name"),
        "{}",
        renamed.text()
    );
    assert_eq!(names(&tailnet), ["office", "phone"]);
    // A name that is taken, in Headscale's own words.
    let taken = mia.fill_in(&renamed, &format!("rename-{desks}"), &[("name", "phone")]);
    assert_eq!(taken.status(), 409, "{}", taken.text());

    // Somebody else's, by its id.
    for (path, more) in [("", "&name=mine"), ("/sign-out", ""), ("/remove", "")] {
        let page = open(&tailnet, &mut mia, "");
        let forms = page.forms();
        let mut fields = forms.iter().flat_map(|form| &form.fields);
        let (_, token) = fields.find(|(name, _)| name == "token").expect("a token");
        let body = format!("id={phones}&token={token}{more}");
        let url = format!("{}{LIST}{path}", tailnet.origin());
        let lines = [
            "Sec-Fetch-Site: same-origin",
            "Accept: text/html",
            "Content-Type: application/x-www-form-urlencoded",
        ];
        let refused = mia.request("POST", &url, &lines, body.as_bytes());
        assert_eq!(refused.status(), 404, "{path}: {}", refused.text());
    }
    assert_eq!(
        open(&tailnet, &mut mia, &format!("?user={phones}")).status(),
        404
    );
    let after = rows(&tailnet);
    assert_eq!(after["phone"].1["expiry"], before["phone"].1["expiry"]);
    assert_eq!(names(&tailnet), ["office", "phone"]);

    // Signed out: it has to sign in again, and is the same then.
    let asked = open(&tailnet, &mut mia, &format!("/sign-out?id={desks}"));
    let done = mia.fill_in(&asked, "", &[]);
    assert!(done.text().contains("Signed out"), "{}", done.text());
    becomes(&desk, "NeedsLogin");
    becomes(&phone, "Running");
    tailnet.register(&desk, desk.up(&["--force-reauth"]), MEMBER);
    becomes(&desk, "Running");
    let again = rows(&tailnet);
    assert_eq!(again["office"].0, *desks, "no other device than before");
    assert_eq!(
        again["office"].1["ip_addresses"],
        before["desk"].1["ip_addresses"]
    );

    // An administrator sees both, and changes another's.
    let mut dominic = tailnet.person();
    let page = tailnet.sign_in(&mut dominic, &url, ADMIN);
    assert!(page.text().contains("phone") && !page.text().contains("office"));
    let people = open(&tailnet, &mut dominic, "/people");
    assert!(people.text().contains("mia"), "{}", people.text());
    let user = before["desk"].1["user"]["id"].to_string();
    let theirs = open(
        &tailnet,
        &mut dominic,
        &format!("?user={}", user.trim_matches('"')),
    );
    let renamed = dominic.fill_in(&theirs, &format!("rename-{desks}"), &[("name", "desk-2")]);
    assert!(
        renamed.text().contains("has its new name"),
        "{}",
        renamed.text()
    );

    let asked = open(&tailnet, &mut mia, &format!("/remove?id={desks}"));
    assert!(asked.text().contains("desk-2"), "{}", asked.text());
    let done = mia.fill_in(&asked, "", &[]);
    assert_eq!(done.status(), 200, "{}", done.text());
    assert_eq!(names(&tailnet), ["phone"]);
}
