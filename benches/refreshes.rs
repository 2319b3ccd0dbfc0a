//! A thousand requests at once on one session whose re-check is due: how often is the provider asked?
//!
//! The process itself, over a thousand connections that are open before. Prints what it measured, and
//! fails if it is more than one.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that cannot be run has nothing to say, and what it says is its result"
)]

use std::time::{Duration, Instant};

use crate::faulty_provider::{Endpoint, Key, Person as Account};
use crate::stage::{Stage, request, session_line};
use crate::support::house::More;
use crate::support::raw::Raw;

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/faulty_provider/mod.rs"]
mod faulty_provider;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/gate/stage.rs"]
mod stage;
#[path = "../tests/support/mod.rs"]
mod support;

const REQUESTS: usize = 1000;
const ROUNDS: usize = 5;
/// Longer than a round.
const EVERY: Duration = Duration::from_secs(5);

fn main() {
    let stage = Stage::start_with(|_| More {
        top: "session: { recheck: 5s }\nlimits: { connections_per_address: 2000 }\n\
              log: { level: info }\n",
        ..More::default()
    });
    stage.faulty.provider.rotate_to(Key::Ec);
    stage
        .faulty
        .provider
        .set(|knobs| knobs.refresh_tokens = true);
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    // Answered here, behind session and rules: what is measured is no upstream's.
    let asked = request(&stage.house, "GET", "/swagger", &[&session]);
    let mut connections: Vec<Raw> = (0..REQUESTS)
        .map(|_| Raw::connect(stage.house.plan.public).expect("a connection"))
        .collect();
    for round in 1..=ROUNDS {
        pause(EVERY + Duration::from_secs(1));
        let before = stage.faulty.provider.hits(Endpoint::Token);
        let began = Instant::now();
        for connection in &mut connections {
            connection.send(&asked).expect("it is sent");
        }
        let sent = began.elapsed();
        let mut waits: Vec<Duration> = connections
            .iter_mut()
            .map(|connection| {
                let answer = connection.read_response("GET").expect("an answer");
                assert_eq!(answer.status(), 403, "{}", answer.text());
                began.elapsed()
            })
            .collect();
        waits.sort();
        let refreshes = stage.faulty.provider.hits(Endpoint::Token) - before;
        println!(
            "round {round}: {REQUESTS} requests sent within {} ms, {refreshes} refresh; answered after \
             {} ms (first), {} ms (median), {} ms (last)",
            sent.as_millis(),
            waits.first().expect("some").as_millis(),
            waits.get(REQUESTS / 2).expect("many").as_millis(),
            waits.last().expect("some").as_millis(),
        );
        assert_eq!(refreshes, 1);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is due after some seconds is waited for"
)]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
