//! What an operator sees of a running house: the audit log's own file, metrics as Prometheus takes them,
//! traces as a collector gets them, and the dashboard and alerts that are made of them.

#![cfg(test)]

mod acts;
mod audit;
mod collector;
mod deploy;
#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
mod metrics;
#[expect(dead_code, reason = "another test crate uses the rest of its words")]
#[path = "../operator/scene.rs"]
mod scene;
mod schema;
#[expect(dead_code, reason = "another test crate uses the rest of its words")]
#[path = "../gate/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod traces;
