//! TLS of our own listeners, from outside: certificates by name, files that change while connections
//! are open, certificates of clients.

#![cfg(test)]

mod acme;
#[path = "../support/acme/mod.rs"]
mod acme_standin;
mod certificates;
mod clients;
mod pebble;
mod rotation;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
