//! What an operator's commands print, and what the operator's listener says about Headscale.

use std::process::Output;

use crate::support::house::{HEADSCALE_SECRET, House, More, headwarden};
use crate::support::person::Person;
use crate::support::tailnet::Tailnet;

/// Files of a configuration that nobody serves.
fn written(more: More) -> House {
    House::launch(
        |plan| plan.config("http://127.0.0.1:9", "http://127.0.0.1:9/o/hs/", &more),
        &["check"],
    )
}

fn run(house: &House, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = headwarden(&house.plan, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_block_for_headscale_names_us_and_keeps_the_secret() {
    let house = written(More::default());
    let (code, block, _) = run(&house, &["headscale-config"]);
    assert_eq!(code, Some(0));
    let block = block.as_str();
    for line in [
        "oidc:",
        &format!("  issuer: \"{}\"", house.plan.issuer_url()),
        "  client_id: \"headscale\"",
        "  only_start_if_oidc_is_available: true",
        "    enabled: true",
        "    method: S256",
        "  use_expiry_from_token: false",
    ] {
        assert!(
            block.lines().any(|found| found == line),
            "{line:?} in {block}"
        );
    }
    assert!(!block.contains(HEADSCALE_SECRET));
    let house = written(More {
        issuer: "    node_expiry: 90d\n",
        ..More::default()
    });
    let (_, block, _) = run(&house, &["headscale-config"]);
    assert!(block.contains("use_expiry_from_token: true"), "{block}");
}

#[test]
fn the_migration_moves_every_user_of_the_old_issuer_and_runs_nothing() {
    let house = written(More::default());
    let old = "https://authentik.company/application/o/headscale/";
    let (code, sql, _) = run(&house, &["headscale-migrate", "--from", old]);
    assert_eq!(code, Some(0));
    assert!(sql.contains("UPDATE users"), "{sql}");
    assert!(
        sql.contains(old) && sql.contains(&house.plan.issuer_url()),
        "{sql}"
    );
    let arguments = ["headscale-migrate", "--from", old, "--database", "postgres"];
    let (code, sql, _) = run(&house, &arguments);
    assert_eq!(code, Some(0));
    assert!(sql.contains("psql") && sql.contains("COMMIT;"), "{sql}");
    let (code, sql, why) = run(&house, &["headscale-migrate", "--from", "authentik"]);
    assert_eq!((code, sql.as_str()), (Some(2), ""));
    assert!(why.contains("old issuer \"authentik\""), "{why}");
    let same = house.plan.issuer_url();
    let (code, _, why) = run(&house, &["headscale-migrate", "--from", &same]);
    assert_eq!(code, Some(2));
    assert!(why.contains("nothing has to move"), "{why}");
}

#[test]
fn without_an_issuer_there_is_neither_a_block_nor_a_migration() {
    let house = written(More {
        sign_in: "own",
        ..More::default()
    });
    for arguments in [
        &["headscale-config"][..],
        &["headscale-migrate", "--from", "https://a/"],
    ] {
        let (code, printed, why) = run(&house, arguments);
        assert_eq!((code, printed.as_str()), (Some(2), ""));
        assert!(why.contains("headscale.sign_in is not `issuer`"), "{why}");
    }
}

#[test]
fn a_check_warns_of_devices_that_stay_and_reports_every_mistake_at_once() {
    let house = written(More::default());
    let (code, said, _) = run(&house, &["check"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("headscale.issuer.node_expiry"), "{said}");
    assert!(said.ends_with(" is good\n"), "{said}");

    let house = written(More {
        issuer: "    node_expiry: 1s\n    urll: x\n",
        oidc: "  allowed_domains: [a.example, b.example]\n  strip_email_domain: true\n",
        ..More::default()
    });
    let (code, said, why) = run(&house, &["check"]);
    assert_eq!((code, said.as_str()), (Some(2), ""));
    for key in [
        "headscale.issuer.node_expiry",
        "headscale.issuer.urll",
        "oidc.strip_email_domain",
    ] {
        assert!(why.contains(key), "{key} in {why}");
    }
    assert!(why.contains("3 mistakes"), "{why}");
    assert!(!why.contains(HEADSCALE_SECRET));

    let house = written(More {
        issuer: "    node_expiry: 90d\n",
        oidc: "  use_expiry_from_token: true\n",
        ..More::default()
    });
    let (code, _, why) = run(&house, &["check"]);
    assert_eq!(code, Some(2), "they exclude each other: {why}");
}

#[test]
fn readiness_says_to_restart_a_headscale_that_fell_back_to_its_command_line() {
    let tailnet = Tailnet::start("v0.29.2");
    let url = format!("http://{}/readyz", tailnet.house.plan.admin);
    let ready = Person::new().request("GET", &url, &[], b"");
    assert_eq!(ready.status(), 200, "{}", ready.text());
    tailnet.headscale.configure(|options| options.oidc = None);
    let fallen = Person::new().request("GET", &url, &[], b"");
    assert_eq!(fallen.status(), 503);
    assert!(
        fallen.text().contains("restart headscale"),
        "{}",
        fallen.text()
    );
}
