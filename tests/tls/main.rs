//! TLS of our own listeners, from outside: certificates by name, files that change while connections
//! are open, certificates of clients.

#![cfg(test)]

mod certificates;
mod clients;
mod rotation;
mod scene;
#[path = "../support/mod.rs"]
mod support;
