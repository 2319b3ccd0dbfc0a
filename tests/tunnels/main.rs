//! Tunnels from a client through Headwarden to Headscale and back, WebSockets of web UIs, and the life
//! of the process. Everything here is seen from outside: sockets, signals, exit codes, `/proc`.

#![cfg(test)]

mod carrying;
mod many;
mod memory;
mod opening;
mod process;
mod refusing;
mod rig;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
mod web_uis;
mod wire;
