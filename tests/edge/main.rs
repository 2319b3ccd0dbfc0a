//! The edge of the process: who a connection comes from, with real load balancers in front; what probes
//! and a service manager are told; how it stops.

#![cfg(test)]

mod announced;
mod balancer;
mod balancers;
#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
mod manager;
mod probes;
#[expect(dead_code, reason = "another test crate uses the rest of its words")]
#[path = "../gate/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod upgrade;
