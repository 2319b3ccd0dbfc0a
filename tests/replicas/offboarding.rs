//! People who are gone, written down where all replicas read it.

use std::time::Duration;

use crate::faulty_provider::{Fault, Person as Account};
use crate::redis::Redis;
use crate::stage::{Stage, session_line, until};
use crate::support::headscale_standin::Device;
use crate::support::house::More;

const PATIENCE: Duration = Duration::from_mins(1);

fn stage(keys: &str) -> Stage {
    let more = More {
        headscale: "  api_key: hskey-api-standin\n",
        oidc: "  scope: [openid, profile, email, offline_access]\n",
        ..More::default()
    };
    let top = format!("offboarding: {{ expire_nodes: true, {keys} }}\n");
    let stage = Stage::start_more(2, Redis::start(), ("  recheck: 1s\n", &top), more);
    stage.provider.set(|knobs| knobs.refresh_tokens = true);
    stage
}

fn add_device(stage: &Stage) -> u64 {
    let issuer = stage.replicas[0].plan.issuer_url();
    let owner = format!("{issuer}/{}", Account::Member.subject());
    stage.headscale.add_node(Device::of(&owner, "laptop"))
}

fn expiry(stage: &Stage, id: u64) -> Option<String> {
    stage.headscale.device(id).expect("it is there").expiry
}

/// Asks at replica `at` until the session is over.
fn over(stage: &Stage, at: usize, session: &str) {
    let ask = || stage.status(at, session);
    until("the session ends", PATIENCE, ask, |status| *status == 401);
}

fn waiting(stage: &Stage, at: usize) -> String {
    let text = stage.probe(at, "/metrics").text();
    let series = "headwarden_offboarding_people{state=\"waiting\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.expect("it is there").to_owned()
}

#[test]
fn who_is_gone_at_one_replica_loses_their_devices_once_whichever_acts() {
    let mut stage = stage("after: 2s");
    let id = add_device(&stage);
    let session = session_line(&stage.somebody(Account::Member, 0));
    stage
        .provider
        .set(|knobs| knobs.deactivated.push(Account::Member));
    over(&stage, 0, &session);
    // The one that heard of it is no more.
    stage.replicas[0].signal("KILL");
    stage.replicas[0].wait();
    until(
        "it expires",
        PATIENCE,
        || expiry(&stage, id),
        Option::is_some,
    );
    let path = format!("/api/v1/node/{id}/expire");
    until(
        "nobody is left",
        PATIENCE,
        || waiting(&stage, 1),
        |count| count == "0",
    );
    let asked = stage.headscale.requests();
    assert_eq!(asked.iter().filter(|seen| seen.path() == path).count(), 1);
}

#[test]
fn who_signs_in_at_another_replica_is_not_gone_for_any() {
    let mut stage = stage("after: 1h");
    let id = add_device(&stage);
    let session = session_line(&stage.somebody(Account::Member, 0));
    stage
        .provider
        .set(|knobs| knobs.deactivated.push(Account::Member));
    over(&stage, 0, &session);
    for at in [0, 1] {
        until(
            "both know",
            PATIENCE,
            || waiting(&stage, at),
            |count| count == "1",
        );
    }
    stage.provider.set(|knobs| knobs.deactivated.clear());
    stage.somebody(Account::Member, 1);
    for at in [0, 1] {
        until(
            "both know",
            PATIENCE,
            || waiting(&stage, at),
            |count| count == "0",
        );
    }
    assert_eq!(expiry(&stage, id), None);
    let line = stage.replicas[1].wait_for_log("not off-boarded");
    assert!(line.contains("reason=\"back\""), "{line}");
}

#[test]
fn an_answer_that_one_replica_lost_is_in_doubt_at_the_other() {
    let mut stage = stage("after: 1h");
    let session = session_line(&stage.somebody(Account::Member, 0));
    stage.provider.bend(Fault::TokenIsDown);
    let counted = |stage: &Stage| {
        let text = stage.probe(0, "/metrics").text();
        let series = "headwarden_refreshes_total{outcome=\"unavailable\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.is_some_and(|count| count != "0")
    };
    let lost = || {
        stage.status(0, &session);
        counted(&stage)
    };
    until("no answer", PATIENCE, lost, |lost| *lost);
    // From here on a rotating provider would know the token no more.
    stage.provider.set(|knobs| {
        knobs.fault = None;
        knobs
            .token_answer
            .insert("error".to_owned(), "invalid_grant".into());
    });
    over(&stage, 1, &session);
    let line = stage.replicas[1].wait_for_log("not off-boarded: this does not prove");
    assert!(line.contains("an earlier refresh was lost"), "{line}");
    assert_eq!(waiting(&stage, 1), "0");
}
