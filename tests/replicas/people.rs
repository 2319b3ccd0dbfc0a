//! What the provider says about a person at one replica holds at all of them.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::faulty_provider::{Endpoint, Person as Account};
use crate::redis::Redis;
use crate::stage::{Stage, session_line, until};
use crate::support::raw::PATIENCE;

/// Checked again every second, with refresh tokens that work once.
fn checked(replicas: usize) -> Stage {
    let stage = Stage::start_with(replicas, Redis::start(), "  recheck: 1s\n", "");
    stage.provider.set(|knobs| knobs.refresh_tokens = true);
    stage
}

/// How often replica `at` counted a re-check with this outcome.
fn counted(stage: &Stage, at: usize, outcome: &str) -> u64 {
    let answer = stage.probe(at, "/metrics");
    let text = answer.text();
    let name = format!("headwarden_refreshes_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("the series is there").parse().expect("a count")
}

#[test]
fn replicas_that_are_asked_at_once_refresh_one_after_the_other() {
    let stage = checked(2);
    let session = session_line(&stage.somebody(Account::Member, 0));
    let before = stage.provider.hits(Endpoint::Token);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (stage, session, over) = (&stage, &session, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(stage.status(number % 2, session), 200);
                }
            });
        }
        let rounds = || stage.provider.hits(Endpoint::Token) - before;
        until("checked again", PATIENCE, rounds, |rounds| *rounds >= 5);
        over.store(true, Ordering::Relaxed);
    });
    let sum = |outcome: &str| counted(&stage, 0, outcome) + counted(&stage, 1, outcome);
    let asked = stage.provider.hits(Endpoint::Token) - before;
    // A token that was used twice would have been refused once.
    for outcome in ["refused", "elsewhere", "misbehaving", "lost_right"] {
        assert_eq!(sum(outcome), 0, "{outcome}");
    }
    assert!(sum("confirmed") >= 5 && asked >= 5, "{asked}");
}

#[test]
fn a_right_that_is_gone_at_one_replica_is_gone_at_all() {
    let stage = checked(3);
    let session = session_line(&stage.somebody(Account::Member, 0));
    for at in 0..3 {
        assert_eq!(stage.status(at, &session), 200, "replica {at}");
    }
    let nobody = json!({ "groups": [] });
    let nobody = nobody.as_object().expect("an object").clone();
    stage.provider.set(|knobs| knobs.extra_claims = nobody);
    let status = || stage.status(1, &session);
    until("signed out", PATIENCE, status, |status| *status == 401);
    for at in 0..3 {
        let status = || stage.status(at, &session);
        until("signed out", PATIENCE, status, |status| *status == 401);
    }
    let lost: u64 = (0..3).map(|at| counted(&stage, at, "lost_right")).sum();
    assert_eq!(lost, 1, "one of them found out for all");
}

#[test]
fn a_replica_that_is_killed_while_it_refreshes_locks_nobody_out_of_the_others() {
    let mut stage = checked(2);
    let session = session_line(&stage.somebody(Account::Member, 0));
    let held = stage.provider.hold(Endpoint::Token);
    let before = stage.provider.hits(Endpoint::Token);
    // Due again after a second; the one that asks then waits for the provider.
    let asked = || {
        assert_eq!(stage.status(0, &session), 200);
        stage.provider.hits(Endpoint::Token) - before
    };
    until("asked", PATIENCE, asked, |asked| *asked == 1);
    stage.replicas[0].restart(&[]);
    assert_eq!(stage.status(1, &session), 200, "from what is known");
    drop(held);
    stage.replicas[0].wait_for_log("serving");
    for at in [0, 1] {
        assert_eq!(stage.status(at, &session), 200, "replica {at}");
    }
}

#[test]
fn a_logout_of_the_provider_at_one_replica_holds_at_all_and_its_token_counts_once() {
    let stage = Stage::start(3);
    let sessions = [0, 1].map(|at| session_line(&stage.somebody(Account::Member, at)));
    for (at, session) in (0..3).flat_map(|at| sessions.iter().map(move |session| (at, session))) {
        assert_eq!(stage.status(at, session), 200, "replica {at}");
    }
    let all = (&json!({}), &json!({ "sid": null }));
    let token = stage.provider.logout_token(Account::Member, all.0, all.1);
    let post = |at: usize| {
        stage.post(
            at,
            "/.headwarden/backchannel-logout",
            &format!("logout_token={token}"),
        )
    };
    assert_eq!(post(2).status(), 200);
    for (at, session) in (0..3).flat_map(|at| sessions.iter().map(move |session| (at, session))) {
        let status = || stage.status(at, session);
        until("signed out", PATIENCE, status, |status| *status == 401);
    }
    for at in 0..3 {
        assert_eq!(post(at).status(), 400, "used before, replica {at}");
    }
}
