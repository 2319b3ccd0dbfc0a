//! The property of `session::shared` once more, with real processes and a real server: people sign in, use
//! what they have and sign out at replicas that are drawn, and in between a replica is killed or the
//! server goes away and comes back. What was signed out is refused by every replica as soon as it hears of it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use crate::faulty_provider::Person as Account;
use crate::stage::{HEARD, Stage, eventually, session_line, until, url};
use crate::support::person::Person;

const REPLICAS: usize = 3;
const STEPS: usize = 60;

/// Numbers that a seed repeats (xorshift).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Says the seed when a walk fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("REPLICAS_SEED={}", self.0);
        }
    }
}

#[test]
fn what_was_signed_out_is_refused_everywhere_whatever_is_killed_in_between() {
    let drawn = RandomState::new().build_hasher().finish() | 1;
    let named = std::env::var_os("REPLICAS_SEED");
    let named = named.and_then(|text| text.to_str()?.parse().ok());
    let seed = Seed(named.unwrap_or(drawn));
    let mut draw = Draw(seed.0);
    let mut stage = Stage::start(REPLICAS);
    let mut alive: Vec<Person> = Vec::new();
    let mut over: Vec<String> = Vec::new();
    for step in 0..STEPS {
        let at = draw.below(REPLICAS);
        match draw.below(10) {
            0..3 => {
                let account = [Account::Member, Account::Admin][draw.below(2)];
                alive.push(stage.somebody(account, at));
            }
            3..6 => {
                for person in &alive {
                    assert_eq!(
                        stage.status(at, &session_line(person)),
                        200,
                        "step {step} at {at}"
                    );
                }
                for session in &over {
                    assert_eq!(stage.status(at, session), 401, "step {step} at {at}");
                }
            }
            6..8 if !alive.is_empty() => {
                let person = alive.swap_remove(draw.below(alive.len()));
                let mut person = stage.moved(person, at);
                let session = session_line(&person);
                let asked = person.open(&url("/.headwarden/logout"));
                let out = person.submit(&asked, "", &[]);
                assert_eq!(out.status(), 303, "step {step} at {at}: {}", out.text());
                for other in 0..REPLICAS {
                    let status = || stage.status(other, &session);
                    until("refused", HEARD, status, |status| *status == 401);
                }
                over.push(session);
            }
            8 => {
                stage.replicas[at].restart(&[]);
                stage.replicas[at].wait_for_log("serving");
            }
            9 => {
                stage.redis.stop();
                for session in &over {
                    assert_ne!(stage.status(at, session), 200, "step {step} at {at}");
                }
                stage.redis.start_again();
                for other in 0..REPLICAS {
                    eventually(
                        "connected",
                        || stage.store_check(other),
                        |said| said == "pass",
                    );
                }
            }
            _ => {}
        }
    }
    for at in 0..REPLICAS {
        for person in &alive {
            assert_eq!(stage.status(at, &session_line(person)), 200, "at {at}");
        }
        for session in &over {
            assert_eq!(stage.status(at, session), 401, "at {at}");
        }
    }
}
