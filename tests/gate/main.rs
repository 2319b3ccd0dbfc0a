//! The gate, from outside: the binary between a provider, a Headscale stand-in and people, asked
//! over raw sockets and through a browser's eyes.

#![cfg(test)]

mod api;
mod assertions;
mod devices;
mod doors;
#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
mod headers;
mod offboarding;
mod outages;
mod provider_logout;
mod recheck;
mod restarts;
mod rules;
mod sessions;
mod sign_in;
mod sign_modes;
mod stage;
mod step_up;
#[path = "../support/mod.rs"]
mod support;
mod upstreams;
