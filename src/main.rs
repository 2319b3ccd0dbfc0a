//! The `headwarden` binary.

fn main() {}
