//! A real tailnet: Headscale and Tailscale clients as people install them, behind Headwarden.
//!
//! Runs where `HEADSCALE_BIN`, `TAILSCALE_BIN` and `TAILSCALED_BIN` name them; no root, no network
//! device, nothing beyond loopback. `E2E_SECONDS` is how long the clients must stay connected (180).
#![cfg(test)]

#[path = "end_to_end/keys.rs"]
mod keys;
#[path = "end_to_end/offboarding.rs"]
mod offboarding;
#[path = "end_to_end/policies.rs"]
mod policies;
mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::certified_provider::{ADMIN, MEMBER, OUTSIDER};
use support::real_tailnet::{Binaries, Node, RealTailnet, poll};

#[path = "end_to_end/devices.rs"]
mod devices;

/// Between two looks at connected clients.
const LOOK: Duration = Duration::from_secs(5);

/// Headscale's users by name: id, e-mail, provider identifier.
fn users(tailnet: &RealTailnet) -> BTreeMap<String, (Value, String, String)> {
    let users = tailnet.headscale(&["users", "list"]);
    let users = users.as_array().cloned().unwrap_or_default();
    let row = |user: &Value| {
        let text = |key: &str| user[key].as_str().unwrap_or_default().to_owned();
        (
            text("name"),
            (user["id"].clone(), text("email"), text("provider_id")),
        )
    };
    users.iter().map(row).collect()
}

/// Headscale's nodes by name: id, user's name, user's e-mail.
fn nodes(tailnet: &RealTailnet) -> BTreeMap<String, (Value, String, String)> {
    let nodes = tailnet.headscale(&["nodes", "list"]);
    let nodes = nodes.as_array().cloned().unwrap_or_default();
    let row = |node: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let user = &node["user"];
        let owner = (
            node["id"].clone(),
            text(&user["name"]),
            text(&user["email"]),
        );
        (text(&node["name"]), owner)
    };
    nodes.iter().map(row).collect()
}

fn owner(of: &BTreeMap<String, (Value, String, String)>, node: &str) -> (String, String) {
    let (_, name, email) = of
        .get(node)
        .unwrap_or_else(|| panic!("no {node} in {of:?}"));
    (name.clone(), email.clone())
}

fn address(node: &Node) -> String {
    node.tailscale(&["ip", "-4"]).trim().to_owned()
}

/// Pings, and insists on the relay.
fn ping_over_derp(from: &Node, to: &Node) {
    let answer = from.tailscale(&["ping", "--until-direct=false", "-c", "3", &address(to)]);
    println!("{} pings {}:\n{}", from.name, to.name, answer.trim_end());
    let over_derp = answer.matches("via DERP(embedded)").count();
    assert_eq!(over_derp, 3, "{answer}");
}

/// Lines of Headwarden's log about tunnels that opened.
fn tunnels(tailnet: &RealTailnet) -> usize {
    tailnet.house.log().matches("tunnel open").count()
}

#[test]
fn devices_of_two_people_join_and_talk_through_us_and_an_outsiders_does_not() {
    let Some(binaries) = Binaries::named() else {
        return;
    };
    let tailnet = RealTailnet::start(&binaries);
    let [desk, phone, stranger] = ["desk", "phone", "stranger"].map(|name| tailnet.node(name));

    tailnet.register(&desk, desk.up(&[]), ADMIN);
    tailnet.register(&phone, phone.up(&[]), MEMBER);
    let up = stranger.up(&[]);
    let mut olaf = tailnet.person();
    let denied = tailnet.sign_in(&mut olaf, &up.url, OUTSIDER);
    assert_eq!(denied.status(), 403, "{}", denied.text());
    let again = olaf.open(&up.url);
    let at_provider = again.url.as_str().starts_with(tailnet.provider.origin());
    assert!(at_provider || again.status() == 403, "{}", again.text());

    let (users, nodes) = (users(&tailnet), nodes(&tailnet));
    println!("users: {users:#?}\nnodes: {nodes:#?}");
    assert_eq!(users.keys().collect::<Vec<_>>(), ["dominic", "mia"]);
    assert_eq!(users["dominic"].1, "dominic@acmecorp.net");
    assert_eq!(users["mia"].1, "mia@acmecorp.net");
    let issuer = format!("{}/", tailnet.house.plan.issuer_url());
    assert!(users.values().all(|(_, _, id)| id.starts_with(&issuer)));
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    assert_eq!(
        owner(&nodes, "desk"),
        pair("dominic", "dominic@acmecorp.net")
    );
    assert_eq!(owner(&nodes, "phone"), pair("mia", "mia@acmecorp.net"));
    assert_eq!(stranger.status()["BackendState"], "NeedsLogin");

    desk.wait_for_peers(1);
    phone.wait_for_peers(1);
    ping_over_derp(&desk, &phone);
    ping_over_derp(&phone, &desk);
    stay_connected(&tailnet, &[&desk, &phone]);
    ping_over_derp(&desk, &phone);
    assert_eq!(stranger.status()["BackendState"], "NeedsLogin");
    drop(up);
}

/// Looks at the clients for as long as asked: always running, never a new connection.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a connection lives is measured by the clock"
)]
fn stay_connected(tailnet: &RealTailnet, nodes: &[&Node]) {
    let seconds = std::env::var("E2E_SECONDS").map_or(180, |text| {
        text.parse().expect("E2E_SECONDS is a number of seconds")
    });
    let before = tunnels(tailnet);
    assert!(
        before >= nodes.len() * 2,
        "control and DERP of each: {before}"
    );
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut looks = 0;
    while Instant::now() < end {
        for node in nodes {
            let status = node.status();
            assert_eq!(status["BackendState"], "Running", "{status}");
            assert_eq!(status["Self"]["Online"], true, "{status}");
            let peers = status["Peer"].as_object().expect("peers");
            assert_eq!(peers.len(), nodes.len() - 1, "{status}");
            assert!(
                peers.values().all(|peer| peer["Online"] == true),
                "{status}"
            );
            // "No health check has anything to say", in the client's words; a relay or a control
            // connection that broke would be named here.
            assert_eq!(health(&status), Vec::<String>::new());
        }
        looks += 1;
        std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
    }
    let after = tunnels(tailnet);
    println!("connected for {seconds} s, {looks} looks, {before} tunnels before, {after} after");
    assert_eq!(after, before, "a client connected anew");
}

/// What the client is unhappy about, but for what a test cannot help.
fn health(status: &Value) -> Vec<String> {
    let all = status["Health"].as_array().cloned().unwrap_or_default();
    let texts = all.iter().filter_map(Value::as_str).map(str::to_owned);
    texts
        .filter(|text| text.contains("control") || text.contains("relay") || text.contains("DERP"))
        .collect()
}

#[test]
fn people_keep_their_ids_and_devices_when_the_issuer_is_renamed_and_the_users_are_moved() {
    let Some(binaries) = Binaries::named() else {
        return;
    };
    let mut tailnet = RealTailnet::start(&binaries);
    let [desk, phone] = ["old-desk", "old-phone"].map(|name| tailnet.node(name));
    tailnet.register(&desk, desk.up(&[]), ADMIN);
    tailnet.register(&phone, phone.up(&[]), MEMBER);
    let (users_before, nodes_before) = (users(&tailnet), nodes(&tailnet));

    tailnet.stop_headscale();
    let old = tailnet.house.plan.issuer_url();
    let new = format!("http://localhost:{}", tailnet.house.plan.issuer.port());
    tailnet.rename_issuer(&new, &[]);
    tailnet.house.wait_for_log("identity");
    assert_eq!(tailnet.house.wait().code(), Some(6), "not by accident");
    tailnet.rename_issuer(&new, &["serve", "--accept-new-identity"]);
    tailnet.house.wait_for_log("serving");
    let sql = tailnet.headwarden(&["headscale-migrate", "--from", &old]);
    println!("{sql}");
    run_sql(&tailnet, &sql);
    tailnet.start_headscale();

    let users_after = users(&tailnet);
    println!("before: {users_before:#?}\nafter: {users_after:#?}");
    for (name, (id, email, identifier)) in &users_before {
        let moved = identifier.replacen(&old, &new, 1);
        assert_ne!(moved, *identifier);
        assert_eq!(users_after[name], (id.clone(), email.clone(), moved));
    }
    desk.wait_for_peers(1);
    assert_eq!(nodes(&tailnet), nodes_before);

    tailnet.register(&desk, desk.up(&["--force-reauth"]), ADMIN);
    tailnet.register(&phone, phone.up(&["--force-reauth"]), MEMBER);
    assert_eq!(users(&tailnet), users_after, "nobody became somebody new");
    assert_eq!(nodes(&tailnet), nodes_before, "no device joined twice");
    desk.wait_for_peers(1);
    ping_over_derp(&desk, &phone);
    let online = || {
        let nodes = tailnet.headscale(&["nodes", "list"]);
        let nodes = nodes.as_array().cloned().unwrap_or_default();
        nodes
            .iter()
            .all(|node| node["online"] == true)
            .then_some(())
    };
    poll("both devices online", online);
}

/// Runs the script against Headscale's database, with python's sqlite3.
fn run_sql(tailnet: &RealTailnet, sql: &str) {
    let script = "import sqlite3, sys\n\
                  base = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                  base.executescript(sys.argv[2])\n\
                  base.close()\n";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(tailnet.database())
        .arg(sql)
        .output()
        .expect("python3 runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_group_of_the_provider_is_in_the_policy_and_its_rule_holds_until_the_group_is_lost() {
    let Some(binaries) = Binaries::named() else {
        return;
    };
    let mut tailnet = RealTailnet::start(&binaries);
    let policy = "{\n  // who is who\n  \"groups\": {\n    // headwarden: begin\n    \"group:admins\": [],\n    \
        // headwarden: end\n    \"group:none\": [], // nobody\n  },\n  \"acls\": [\n    \
        {\"action\": \"accept\", \"src\": [\"group:admins\"], \"dst\": [\"*:*\"]},\n  ],\n}\n";
    let file = tailnet.house.plan.files.join("policy.hujson");
    std::fs::write(&file, policy).unwrap();
    tailnet.headscale_says(&["policy", "set", "--file", file.to_str().unwrap()]);
    let key = tailnet.headscale(&["apikeys", "create", "--expiration", "24h"]);
    let key = key.as_str().expect("a key");
    let path = tailnet.house.plan.files.join("config.yaml");
    let state = tailnet.house.plan.files.join("people");
    let config = std::fs::read_to_string(&path).unwrap().replace(
        "headscale:\n",
        &format!(
            "policy_sync:\n  groups: [{{ name: admins, from: [headscale-admins] }}]\n  \
             state_path: {}\nheadscale:\n  api_key: {key}\n",
            state.display()
        ),
    );
    std::fs::write(&path, config).unwrap();
    tailnet.house.restart(&[]);
    tailnet.house.wait_for_log("the policy was looked at");

    let [desk, phone] = ["desk", "phone"].map(|name| tailnet.node(name));
    tailnet.register(&desk, desk.up(&[]), ADMIN);
    tailnet.register(&phone, phone.up(&[]), MEMBER);
    let (_, _, id) = users(&tailnet)["dominic"].clone();
    let with_one = policy.replace(
        "\"group:admins\": []",
        &format!("\"group:admins\": [\n      \"{id}@\", // dominic\n    ]"),
    );
    let now = |meant: &str| {
        poll("the policy", || {
            let there = tailnet.headscale_says(&["policy", "get"]);
            (there.trim() == meant.trim()).then_some(())
        });
    };
    now(&with_one);
    // Whom the rule is about reaches the other one, and so each knows of it.
    desk.wait_for_peers(1);
    phone.wait_for_peers(1);
    tailnet.house.wait_for_log("policy_written");

    // The group is gone at the provider, and he signs in again.
    let groups = serde_json::json!({ "groups": ["headscale"] });
    tailnet.provider.set_person(ADMIN, &groups);
    let mut dominic = tailnet.person();
    let page = format!("{}/windows", tailnet.origin());
    let page = tailnet.sign_in(&mut dominic, &page, ADMIN);
    assert_eq!(page.status(), 200, "{}", page.text());
    poll("an empty group", || {
        let there = tailnet.headscale_says(&["policy", "get"]);
        (there.trim() == policy.trim()).then_some(())
    });
    desk.wait_for_peers(0);
}
