//! The provider's groups in the policy of the tailnet: whichever replica heard of somebody, one of them writes.

use std::sync::mpsc::channel;

use crate::faulty_provider::Person as Account;
use crate::redis::Redis;
use crate::stage::{Stage, until};
use crate::support::headscale_standin::{PolicyMode, Script, User};
use crate::support::raw::PATIENCE;

const TOP: &str = "policy_sync:\n  groups: [{ name: all, from: [headscale] }]\n";

fn has_a_device(stage: &Stage, account: Account) -> String {
    let issuer = stage.replicas[0].plan.issuer_url();
    let id = format!("{issuer}/{}", account.subject());
    stage.headscale.add_user(User {
        provider_identifier: id.clone(),
        name: account.username().to_owned(),
        ..User::default()
    });
    id
}

fn puts(stage: &Stage) -> usize {
    let all = stage.headscale.requests();
    let puts = all
        .iter()
        .filter(|seen| seen.method == "PUT" && seen.path() == "/api/v1/policy");
    puts.count()
}

fn says(stage: &Stage, parts: &[&str]) {
    let there = || stage.headscale.policy().unwrap_or_default();
    let all = |policy: &String| parts.iter().all(|part| policy.contains(part));
    until("in the policy", PATIENCE, there, all);
}

#[test]
fn of_all_replicas_one_writes_at_a_time_and_what_each_heard_is_in_the_policy() {
    let mut stage = Stage::start_with(2, Redis::start(), "", TOP);
    // Each has had its first look, at a policy that is a file.
    for replica in &mut stage.replicas {
        replica.wait_for_log("kind=\"file_mode\"");
    }
    stage
        .headscale
        .configure(|options| options.policy = PolicyMode::Database);
    let (ada, ben) = (
        has_a_device(&stage, Account::Admin),
        has_a_device(&stage, Account::Member),
    );
    stage.headscale.set_policy("{\"groups\": {}}");
    // The first one to write is held up in the middle.
    let (go, held) = channel();
    stage
        .headscale
        .script("/api/v1/policy/check", Script::Gate(held));
    stage.somebody(Account::Admin, 0);
    let checks = || {
        let all = stage.headscale.requests();
        all.iter()
            .filter(|seen| seen.path() == "/api/v1/policy/check")
            .count()
    };
    until("a check", PATIENCE, checks, |count| *count == 1);
    stage.somebody(Account::Member, 1);
    stage.replicas[1].wait_for_log("another replica writes the policy");
    assert_eq!(puts(&stage), 0);
    drop(go);
    says(
        &stage,
        &[
            &format!("\"{ada}@\", // ada"),
            &format!("\"{ben}@\", // ben"),
        ],
    );
    // What is in the store is sealed.
    let written = stage.redis.everything_written();
    for secret in [Account::Admin.subject(), Account::Member.subject()] {
        let found = written
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret}");
    }
    // A replica that starts again knows everybody.
    stage.replicas[0].restart(&[]);
    stage.replicas[0].wait_for_log("serving");
    stage.replicas[0].wait_for_log("the policy was looked at outcome=\"unchanged\"");
    says(&stage, &[&ada, &ben]);
}
