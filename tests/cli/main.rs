//! The command line as an operator runs it: what each subcommand prints, in words and as JSON, and its
//! exit code.

#![cfg(test)]

mod databases;
mod desk;
mod explain;
mod import;
mod manual;
mod migrate;
#[path = "../support/mod.rs"]
mod support;
mod words;
