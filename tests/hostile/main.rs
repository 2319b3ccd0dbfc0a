//! Nothing gets in: what has broken proxies that authenticate, asked of the whole house over raw
//! sockets. The witness is the upstream, which records the bytes it received: whatever reached it
//! either leads to an open door when *that* is judged, or came with a valid session or a key.
//!
//! The cases are those of `docs/threat-model.md`, by the ids used there.

#![cfg(test)]

#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
#[expect(dead_code, reason = "another test crate uses the rest of its words")]
#[path = "../gate/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;

mod callbacks;
mod catalogue;
#[expect(dead_code, reason = "another test crate uses the rest of its manners")]
#[path = "../observe/collector.rs"]
mod collector;
mod cookies;
mod fields;
mod framing;
mod http2;
mod leaks;
mod limits;
mod logout;
mod magic;
mod neighbours;
mod output;
mod peers;
mod provider;
mod redirects;
mod rules;
mod streams;
mod targets;
mod tokens;
