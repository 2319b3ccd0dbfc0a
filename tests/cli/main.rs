//! The command line as an operator runs it: what each subcommand prints, in words and as JSON, and its
//! exit code.

#![cfg(test)]

mod databases;
mod desk;
mod doctor;
mod documents;
mod explain;
#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
mod import;
mod manual;
mod migrate;
#[expect(dead_code, reason = "another test crate uses the rest of it")]
#[path = "../replicas/redis.rs"]
mod redis;
#[expect(dead_code, reason = "another test crate uses the rest of its words")]
#[path = "../gate/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod words;
