//! Sessions seen and ended: by an operator through the socket and the admin listener, and by the person
//! whose they are.

#![cfg(test)]

mod commands;
#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
mod listener;
mod own;
mod policy;
mod policy_races;
mod scene;
mod socket;
#[expect(dead_code, reason = "another test crate uses the rest of its words")]
#[path = "../gate/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
