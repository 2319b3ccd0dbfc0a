//! Replicas have one key ring and sign with one key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::faulty_provider::Person as Account;
use crate::redis::Redis;
use crate::stage::{Stage, eventually, session_line, url};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::House;
use crate::support::raw::Raw;

/// The key set as one replica serves it.
fn keys(house: &House, host: &str) -> serde_json::Value {
    let request = format!("GET /jwks HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer =
        Raw::connect(house.plan.issuer).and_then(|mut raw| raw.exchange(request.as_bytes()));
    answer.expect("an answer").json()
}

#[test]
fn every_replica_signs_with_one_key_whatever_its_own_file_holds() {
    let mut stage = Stage::start(3);
    let host = stage.replicas[0].plan.issuer.to_string();
    let first = keys(&stage.replicas[0], &host);
    assert!(first["keys"][0]["kid"].is_string(), "{first}");
    let mut files = std::collections::BTreeSet::new();
    for replica in &stage.replicas {
        assert_eq!(keys(replica, &host), first);
        let file = replica.plan.files.join("issuer_key.json");
        files.insert(std::fs::read_to_string(file).unwrap());
    }
    assert_eq!(files.len(), 3, "their files differ, and stay as they were");
    assert!(
        stage.replicas[2]
            .log()
            .contains("the key of the other replicas")
    );

    // A server that forgot everything is told the key that is in use, not the one of a file.
    stage.redis.ask("FLUSHALL");
    stage.redis.stop();
    stage.redis.start_again();
    for at in 0..3 {
        eventually("connected", || stage.store_check(at), |said| said == "pass");
    }
    stage.replicas[2].restart(&[]);
    stage.replicas[2].wait_for_log("serving");
    for replica in &stage.replicas {
        assert_eq!(keys(replica, &host), first);
    }
}

#[test]
fn what_any_replica_signs_for_an_upstream_is_verified_by_the_keys_of_every_one() {
    let ui = HeadscaleStandin::start(Options::default());
    let rule = format!(
        "access: [{{ path: /ui/**, upstream: \"{}\", assertion: true }}]\n",
        ui.url()
    );
    let stage = Stage::start_with(2, Redis::start(), "", &rule);
    let session = session_line(&stage.somebody(Account::Member, 0));
    let sets: Vec<Value> = [0, 1]
        .map(|at| stage.ask(at, "GET", "/.headwarden/jwks.json", &[]).json())
        .to_vec();
    assert_eq!(sets[0], sets[1]);
    for at in 0..2 {
        stage.ask(at, "GET", "/ui/page", &[&session]);
    }
    let heard: Vec<Value> = ui
        .requests()
        .iter()
        .filter_map(|seen| seen.fields.value("x-headwarden-assertion"))
        .filter_map(|assertion| URL_SAFE_NO_PAD.decode(assertion.split('.').next()?).ok())
        .filter_map(|header| serde_json::from_slice(&header).ok())
        .collect();
    assert_eq!(heard.len(), 2);
    for header in heard {
        assert_eq!(header["kid"], sets[0]["keys"][0]["kid"], "{header}");
    }
}

#[test]
fn a_replica_with_another_key_ring_or_of_another_identity_does_not_start() {
    let stage = Stage::start(1);
    let original =
        std::fs::read_to_string(stage.replicas[0].plan.files.join("config.yaml")).unwrap();
    let keys = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("keys_path"))
            .unwrap();
        line.to_owned()
    };
    for (what, said) in [
        ("key ring", "the replicas do not fit together"),
        ("issuer", "in the session store belongs to"),
    ] {
        let mut house = House::launch(
            |plan| {
                let text = stage.config(plan, "", "");
                match what {
                    "key ring" => text.replace(
                        &keys(&original),
                        &format!("keys_path: {}/other.json", plan.files.display()),
                    ),
                    _ => text.replace(
                        &format!("url: {}\n", stage.replicas[0].plan.issuer_url()),
                        "url: http://another.localhost\n",
                    ),
                }
            },
            &[],
        );
        let status = house.wait();
        assert_eq!(status.code(), Some(6), "{what}: {}", house.log());
        assert!(house.log().contains(said), "{what}: {}", house.log());
    }
    // The one that is there goes on.
    let person = stage.somebody(Account::Member, 0);
    assert_eq!(stage.status(0, &session_line(&person)), 200);
}

#[test]
fn a_replica_with_another_key_ring_that_is_started_without_the_store_serves_nobody() {
    let mut stage = Stage::start(1);
    let person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    let original =
        std::fs::read_to_string(stage.replicas[0].plan.files.join("config.yaml")).unwrap();
    let keys = original
        .lines()
        .find(|line| line.starts_with("keys_path"))
        .unwrap();
    stage.redis.stop();
    let mut stranger = House::start(|plan| {
        let other = format!("keys_path: {}/other.json", plan.files.display());
        stage.config(plan, "", "").replace(keys, &other)
    });
    stage.redis.start_again();
    stranger.wait_for_log("this replica does not agree with the others");
    stage.replicas.push(stranger);
    eventually("back", || stage.store_check(0), |said| said == "pass");
    assert_eq!(stage.status(0, &session), 200);
    assert_eq!(stage.store_check(1), "warn");
    assert_eq!(stage.status(1, &session), 503);
    let mut nobody = stage.nobody(1);
    let page = nobody.open(&url("/windows"));
    assert_eq!(page.status(), 503, "{}", page.text());
    // Whoever needs no session is served.
    assert_eq!(stage.ask(1, "GET", "/key?v=140", &[]).status(), 200);
}
