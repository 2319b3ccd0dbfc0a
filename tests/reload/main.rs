//! The configuration read again while people and devices are in the house: what changes, what does not, and
//! how the operator hears of it.

#![cfg(test)]

mod bad;
#[expect(dead_code, reason = "another test crate draws more")]
#[path = "../fail_closed/draw.rs"]
mod draw;
mod equal;
#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
mod ground;
mod live;
mod load;
mod restart;
mod rules;
mod signals;
#[expect(dead_code, reason = "another test crate uses the rest of its words")]
#[path = "../gate/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod told;
