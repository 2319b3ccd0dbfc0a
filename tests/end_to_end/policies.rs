//! Groups in the policy of a real Headscale: that it takes and keeps what we write, byte for byte, and what
//! it says where it does not.

use std::path::Path;
use std::process::Output;

use crate::support::certified_provider::ADMIN;
use crate::support::house::headwarden;
use crate::support::real_tailnet::{Binaries, RealTailnet};
use crate::users;

fn set(tailnet: &RealTailnet, file: &Path, policy: &str) {
    std::fs::write(file, policy).expect("a file");
    tailnet.headscale_says(&["policy", "set", "--file", file.to_str().expect("text")]);
}

fn get(tailnet: &RealTailnet) -> String {
    let said = tailnet.headscale_says(&["policy", "get"]);
    // The command ends what it prints with a line's end of its own.
    said.strip_suffix('\n').unwrap_or(&said).to_owned()
}

fn sync(tailnet: &RealTailnet, argument: &str) -> Output {
    headwarden(&tailnet.house.plan, &["policy-sync", argument])
}

const RULE: &str = "\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]";

#[test]
fn a_real_headscale_takes_our_groups_in_every_layout_and_keeps_each_byte_of_the_rest() {
    let Some(binaries) = Binaries::named() else {
        return;
    };
    let mut tailnet = RealTailnet::start(&binaries);
    let file = tailnet.house.plan.files.join("policy.hujson");
    let rule = |policy: &str| policy.replace("RULE", RULE);
    let bare = rule("{\n  RULE,\n}\n");
    set(&tailnet, &file, &bare);
    let key = tailnet.api_key("24h");
    tailnet.reconfigure(|plan, config| {
        let files = plan.files.display();
        let more = format!(
            "policy_sync:\n  interval: 1h\n  state_path: {files}/people\n  \
             groups: [{{ name: admins, from: [headscale-admins] }}]\nheadscale:\n  api_key: {key}\n"
        );
        let socket = format!("admin: {{ socket_path: {files}/admin.sock, ");
        config
            .replace("headscale:\n", &more)
            .replace("admin: { ", &socket)
    });
    let mut dominic = tailnet.person();
    let desk = tailnet.node("desk");
    let up = desk.up(&[]);
    let page = tailnet.sign_in(&mut dominic, &up.url, ADMIN);
    dominic.fill_in(&page, "", &[]);
    up.succeeds();
    let (_, _, id) = users(&tailnet)["dominic"].clone();
    let member = format!("\"{id}@\"");

    for (name, policy) in [
        (
            "plain",
            "{\n  // ours\n  \"groups\": {\n    \"group:none\": [], // nobody\n  },\n  RULE,\n}\n",
        ),
        (
            "no groups",
            "// first\n{\n\t/* a */ RULE // b\n\t,\n}\n// last\n",
        ),
        ("one line", "{\"groups\":{\"group:none\":[]},RULE}"),
        (
            "windows",
            "{\r\n  // ours\r\n  \"groups\": {\r\n    \"group:none\": [],\r\n  },\r\n  RULE\r\n}\r\n",
        ),
        ("another case", "{\n  \"Groups\": {},\n  RULE,\n}\n"),
        (
            "blanks and signs",
            "\n\n{ \"groups\" : { \"group:none\" : [ ] , } , // \u{e9} \u{1f980}\n RULE , }\n\n",
        ),
        ("no end of line", "{\n  RULE\n}"),
    ] {
        let policy = rule(policy);
        set(&tailnet, &file, &policy);
        let output = sync(&tailnet, "--once");
        assert!(output.status.success(), "{name}: {output:?}");
        let there = get(&tailnet);
        assert_eq!(there.matches(&member).count(), 1, "{name}: {there}");
        let (begin, end) = (
            there.find("headwarden: begin"),
            there.find("headwarden: end"),
        );
        let (begin, end) = (begin.expect("a mark"), end.expect("a mark"));
        // What was there is before and behind, and nothing else is.
        let common = there
            .bytes()
            .zip(policy.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        let rest = policy.get(common..).expect("a border");
        assert!(common <= begin && there.ends_with(rest), "{name}: {there}");
        assert!(there.len() - rest.len() > end, "{name}: {there}");
        // Twice is once.
        let again = sync(&tailnet, "--once");
        assert!(again.status.success(), "{name}: {again:?}");
        assert_eq!(get(&tailnet), there, "{name}");
    }

    // Headscale's own tests of a policy that our group would break.
    let tested = rule(
        "{\n  \"groups\": {\n    // headwarden: begin\n    \"group:admins\": [],\n    // headwarden: end\n  },\n  \
         \"acls\": [{\"action\": \"accept\", \"src\": [\"group:admins\"], \"dst\": [\"*:*\"]}],\n  \
         \"tests\": [{\"src\": \"dominic@acmecorp.net\", \"deny\": [\"100.64.0.99:22\"]}],\n}\n",
    );
    set(&tailnet, &file, &tested);
    let output = sync(&tailnet, "--once");
    println!("{output:?}");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(get(&tailnet), tested, "left alone");
}
