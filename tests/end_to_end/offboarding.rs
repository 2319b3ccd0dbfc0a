//! Off-boarding at a real Headscale, with real devices.

use serde_json::{Value, json};

use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::person::Person;
use crate::support::real_tailnet::{Binaries, Node, RealTailnet, poll};

/// Headscale's row of a device.
fn row(tailnet: &RealTailnet, name: &str) -> Value {
    let nodes = tailnet.headscale(&["nodes", "list"]);
    let nodes = nodes.as_array().cloned().unwrap_or_default();
    let found = nodes.iter().find(|node| node["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {nodes:#?}"))
        .clone()
}

fn state(node: &Node) -> String {
    let status = node.status();
    status["BackendState"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Joins with a browser that stays signed in.
fn join(tailnet: &RealTailnet, node: &Node, person: &mut Person, who: &str) {
    let up = node.up(&[]);
    let page = person.open(&up.url);
    let at_provider = page.url.as_str().starts_with(tailnet.provider.origin());
    let asked = if at_provider {
        person.fill_in(&page, "login", &[("username", who)])
    } else {
        page
    };
    assert!(asked.text().contains("Confirm"), "{}", asked.text());
    let done = person.fill_in(&asked, "", &[]);
    assert_eq!(done.status(), 200, "{}", done.text());
    up.succeeds();
}

#[test]
fn the_devices_of_who_is_gone_need_a_login_and_are_the_same_when_they_come_back() {
    let Some(binaries) = Binaries::named() else {
        return;
    };
    let mut tailnet = RealTailnet::start(&binaries);
    tailnet.provider.set(&json!({ "refresh_tokens": true }));
    let policy = "{\n  \"tagOwners\": { \"tag:server\": [] },\n  \
                  \"acls\": [{ \"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"] }],\n}\n";
    let file = tailnet.house.plan.files.join("policy.hujson");
    std::fs::write(&file, policy).expect("a file");
    tailnet.headscale_says(&["policy", "set", "--file", file.to_str().expect("text")]);
    let key = tailnet.api_key("24h");
    tailnet.reconfigure(|plan, config| {
        let files = plan.files.display();
        let more = format!(
            "session: {{ recheck: 1s }}\naudit: {{ path: {files}/audit.jsonl }}\n\
             offboarding: {{ expire_nodes: true, after: 0s, state_path: {files}/offboarding.json }}\n\
             headscale:\n  api_key: {key}\n"
        );
        config
            .replace("headscale:\n", &more)
            .replace("oidc:\n", "oidc:\n  scope: [openid, profile, email, offline_access]\n")
    });

    let [desk, phone, server] = ["desk", "phone", "server"].map(|name| tailnet.node(name));
    let (mut dominic, mut mia) = (tailnet.person(), tailnet.person());
    join(&tailnet, &desk, &mut dominic, ADMIN);
    join(&tailnet, &phone, &mut mia, MEMBER);
    join(&tailnet, &server, &mut mia, MEMBER);
    let id = row(&tailnet, "server")["id"].to_string();
    let id = id.trim_matches('"');
    tailnet.headscale_says(&["nodes", "tag", "-i", id, "-t", "tag:server"]);
    desk.wait_for_peers(2);
    let (before, address) = (row(&tailnet, "phone"), phone.tailscale(&["ip", "-4"]));

    tailnet.provider.deactivate(MEMBER);
    let page = format!("{}/windows", tailnet.origin());
    poll("mia to be signed out", || {
        let page = mia.get(&page);
        (page.status() != 200).then_some(())
    });
    tailnet.house.wait_for_log("off-boarded: devices expired");
    poll("the phone to need a login", || {
        (state(&phone) == "NeedsLogin").then_some(())
    });
    let audit = tailnet.house.plan.files.join("audit.jsonl");
    let audit = std::fs::read_to_string(audit).expect("an audit log");
    assert_eq!(audit.matches("\"device_expired\"").count(), 1, "{audit}");
    for stays in [&desk, &server] {
        assert_eq!(state(stays), "Running", "{}", stays.name);
    }
    poll("the desk to hear of it", || {
        let status = desk.status();
        let peers = status["Peer"].as_object().expect("peers").values();
        let ended = peers.filter(|peer| peer["Expired"] == true);
        let names: Vec<&str> = ended.filter_map(|it| it["HostName"].as_str()).collect();
        (names == ["phone"]).then_some(())
    });

    // The account is enabled again.
    let claims =
        json!({ "name": "Mia Member", "email": "mia@acmecorp.net", "groups": ["headscale"] });
    tailnet.provider.set_person(MEMBER, &claims);
    let mut mia = tailnet.person();
    join(&tailnet, &phone, &mut mia, MEMBER);
    assert_eq!(state(&phone), "Running");
    assert_eq!(phone.tailscale(&["ip", "-4"]), address);
    let after = row(&tailnet, "phone");
    for same in ["id", "given_name", "ip_addresses", "user"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    desk.wait_for_peers(2);
}
