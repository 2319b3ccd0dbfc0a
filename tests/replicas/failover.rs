//! The server that replicas share dies, and another one takes its place.

use crate::faulty_provider::Person as Account;
use crate::redis::Redis;
use crate::servers::{Watched, caught_up, cluster};
use crate::stage::{Stage, eventually, session_line, url};

/// Two people who signed in, of whom the second one signed out again: their sessions.
fn one_in_and_one_out(stage: &Stage) -> [String; 2] {
    let [there, gone] = [0, 1].map(|at| stage.somebody(Account::Member, at));
    let sessions = [&there, &gone].map(session_line);
    for at in 0..2 {
        assert_eq!(stage.status(at, &sessions[0]), 200, "replica {at}");
    }
    let mut gone = stage.moved(gone, 0);
    let asked = gone.open(&url("/.headwarden/logout"));
    assert_eq!(gone.submit(&asked, "", &[]).status(), 303);
    sessions
}

/// While nothing answers, who is known goes on, and who was signed out does not; and then it works again,
/// with what was known before.
fn survives(stage: &Stage, [there, gone]: &[String; 2]) {
    for at in 0..2 {
        eventually(
            "the store answers again",
            || {
                assert_eq!(stage.status(at, there), 200, "known goes on: replica {at}");
                assert_ne!(stage.status(at, gone), 200, "signed out: replica {at}");
                stage.store_check(at)
            },
            |said| said == "pass",
        );
    }
    let session = eventually(
        "somebody can sign in",
        || {
            let person = stage.try_sign_in(Account::Member, 0)?;
            Some(session_line(&person))
        },
        Option::is_some,
    );
    let session = session.expect("it is there");
    for at in 0..2 {
        for known in [there, &session] {
            eventually(
                "it is known",
                || stage.status(at, known),
                |status| *status == 200,
            );
        }
        eventually(
            "it is over",
            || stage.status(at, gone),
            |status| *status == 401,
        );
    }
}

#[test]
fn when_the_primary_dies_sentinels_name_another_one_and_everybody_goes_on() {
    let primary = Redis::start();
    let watched = Watched::start(&primary);
    let nodes = watched.sentinels.each_ref();
    let nodes = nodes.map(|sentinel| format!("\"localhost:{}\"", sentinel.address.port()));
    let session = format!(
        "  redis: {{ url: \"redis://localhost:9\", nodes: [{}], topology: sentinel, \
         sentinel_name: primary }}\n",
        nodes.join(", ")
    );
    let mut stage = Stage::start_with(2, primary, &session, "");
    let sessions = one_in_and_one_out(&stage);
    caught_up(&stage.redis, &watched.replica);
    stage.redis.stop();
    survives(&stage, &sessions);
    let role = watched.replica.ask("ROLE");
    assert!(role.contains("master"), "{role}");

    // The old one comes back and is told that it is not the primary any more: nothing changes.
    stage.redis.start_again();
    eventually(
        "it follows the new one",
        || stage.redis.ask("INFO replication"),
        |said| said.contains("role:slave"),
    );
    survives(&stage, &sessions);
}

#[test]
fn when_a_node_of_a_cluster_dies_its_replica_takes_its_place_and_everybody_goes_on() {
    let [first, second, third, replica] = cluster();
    let nodes =
        [&first, &second, &third].map(|node| format!("\"localhost:{}\"", node.address.port()));
    let session = format!(
        "  redis: {{ url: \"redis://localhost:{}\", nodes: [{}], topology: cluster }}\n",
        first.address.port(),
        nodes.join(", ")
    );
    let mut stage = Stage::start_with(2, first, &session, "");
    let sessions = one_in_and_one_out(&stage);
    caught_up(&stage.redis, &replica);
    stage.redis.stop();
    eventually(
        "it takes the role",
        || replica.ask("ROLE"),
        |said| said.contains("master"),
    );
    survives(&stage, &sessions);
}
