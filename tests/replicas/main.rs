//! Several replicas of one deployment behind one name, with a real redis-server between them: one of
//! them ends what another one began, and any of them, and the server, may go away in the middle.
#![cfg(test)]

mod ending;
mod failover;
#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
mod keys;
mod offboarding;
mod outages;
mod people;
mod policy;
mod redis;
mod refusals;
mod registration;
mod secrecy;
mod sequences;
mod servers;
mod sign_in;
mod stage;
#[path = "../support/mod.rs"]
mod support;
