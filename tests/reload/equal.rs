//! Whatever the two configurations are: after a reload the house decides as one that was started with the
//! second.

use std::fmt::Write as _;

use crate::draw::{Confession, Draw};
use crate::faulty_provider::Person as Account;
use crate::ground::{BY_SIGNAL, Ground};
use crate::stage::{SAME_ORIGIN, ask};
use crate::support::house::More;

/// Pairs of configurations.
const PAIRS: u64 = 6;

/// A configuration like `ground`'s, with rules that are drawn.
fn drawn(ground: &Ground, draw: &mut Draw) -> String {
    let rules = [
        "allow_everyone: true",
        "allowed_groups: [headscale]",
        "allowed_groups: [headscale-admins]",
        "allowed_groups: [/headscale]\n  exact_group_names: true",
        "allowed_groups: [visitors, headscale]",
        "allowed_domains: [company.example]",
        "allowed_domains: [company.example]\n  allowed_groups: [headscale-admins]",
        "allowed_users: [ben@company.example, eve@elsewhere.example]",
        "allowed_users: [nobody@company.example]",
    ];
    let paths = ["/a/**", "/a/b/**", "/a/*", "/web", "/register/**"];
    let people = [
        "",
        ", groups: [headscale]",
        ", groups: [headscale-admins]",
        ", users: [ben@company.example]",
        ", acr: [gold]",
        ", amr: [mfa]",
    ];
    let rules = *draw.one(&rules);
    let mut text = ground.with("allowed_groups: [/headscale]", rules);
    let mut used = Vec::new();
    text.push_str("access:\n");
    for _ in 0..=draw.below(3) {
        let path = *draw.one(&paths);
        if !used.contains(&path) {
            let _ = writeln!(text, "  - {{ path: \"{path}\"{} }}", draw.one(&people));
            used.push(path);
        }
    }
    let open = draw.one(&["[]", "[GET /a/open]", "[GET /web, GET /a/b/open]"]);
    let trusted = draw.one(&["[]", "[127.0.0.1/32]", "[10.0.0.0/8]"]);
    let verify = draw.one(&["[]", "[127.0.0.0/8]", "[203.0.113.0/24]"]);
    let admins = draw.one(&["[]", "[headscale]", "[headscale-admins]", "[visitors]"]);
    let bearer = draw.one(&["allow", "deny"]);
    let _ = writeln!(
        text,
        "open: {open}\ntrusted_proxies: {trusted}\napi: {{ admins: {admins}, viewers: [visitors], bearer: {bearer} }}"
    );
    text.replace(
        "  sign_in: issuer\n",
        &format!("  verify_from: {verify}\n  sign_in: issuer\n"),
    )
}

/// How the house decides about everybody and everything.
fn decisions(ground: &Ground, people: &[String]) -> Vec<String> {
    let bearer = "Authorization: Bearer somebody-elses-key";
    let forwarded = "X-Forwarded-For: 203.0.113.9";
    let mut told = Vec::new();
    let nobody = String::from("X-Nobody: 1");
    for who in people.iter().chain([&nobody]) {
        for (method, target, lines) in [
            ("GET", "/", &[][..]),
            ("GET", "/windows", &[]),
            ("GET", "/a/open", &[]),
            ("GET", "/a/b/open", &[]),
            ("GET", "/a/b/c", &[]),
            ("GET", "/A/b", &[]),
            ("GET", "/web", &[]),
            ("GET", "/web/", &[]),
            ("GET", "/register/abc", &[]),
            ("GET", "/api/v1/node", &[SAME_ORIGIN]),
            ("DELETE", "/api/v1/node/1", &[SAME_ORIGIN]),
            ("GET", "/api/v1/node", &[bearer]),
            ("GET", "/swagger", &[]),
            ("POST", "/verify", &["Content-Length: 0"]),
            ("POST", "/verify", &["Content-Length: 0", forwarded]),
            ("GET", "/metrics", &[]),
        ] {
            let status = ask(ground.house(), method, target, &[lines, &[who]].concat()).status();
            let name = people.iter().position(|one| one == who);
            told.push(format!("{name:?} {method} {target} {lines:?}: {status}"));
        }
    }
    told
}

#[test]
fn after_a_reload_the_house_decides_as_one_that_was_started_so() {
    let more = More {
        headscale: "  api_key: the-api-key-0123456\n",
        ..More::default()
    };
    // Sessions go on over a restart.
    let top = format!("{BY_SIGNAL}session: {{ snapshot_path: \"{{files}}/sessions\" }}\n");
    let mut ground = Ground::start(&more, &top);
    let everybody = ground.with("allowed_groups: [/headscale]", "allow_everyone: true");
    ground.change_to(&everybody);
    let people: Vec<String> = [Account::Admin, Account::Member, Account::Outsider]
        .into_iter()
        .map(|account| ground.sign_in(account))
        .collect();
    for pair in 0..PAIRS {
        let mut draw = Draw::seeded(pair);
        let _told = Confession(format!("pair {pair}"));
        let (first, second) = (drawn(&ground, &mut draw), drawn(&ground, &mut draw));
        ground.change_to(&first);
        let before = decisions(&ground, &people);
        ground.change_to(&second);
        let reloaded = decisions(&ground, &people);
        ground.stage.house.signal("TERM");
        assert_eq!(ground.stage.house.wait().code(), Some(0));
        ground.stage.house.restart(&[]);
        ground.stage.house.wait_for_log("serving");
        let started = decisions(&ground, &people);
        for (reloaded, started) in reloaded.iter().zip(&started) {
            assert_eq!(reloaded, started, "from\n{first}\nto\n{second}");
        }
        assert_ne!(
            before, reloaded,
            "a pair that shows nothing:\n{first}\n{second}"
        );
    }
}
