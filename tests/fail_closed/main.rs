//! Fail closed: whatever goes wrong, at whatever moment, nothing that needs a session is forwarded
//! without a valid one. Faults are drawn at random, and a bookkeeper of our own, which shares no
//! line with Headwarden, knows who is signed in.
//!
//! `FAIL_CLOSED_SEED` draws other faults than the usual ones; a failure prints its seed.

#![cfg(test)]

mod bookkeeper;
mod claims;
mod clocks;
mod draw;
mod faults;
mod inside;
mod open;
mod panics;
mod processes;
mod rechecks;
mod sequences;
mod visitor;
mod wire;

#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
#[path = "../support/mod.rs"]
mod support;
