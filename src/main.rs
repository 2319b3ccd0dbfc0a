//! The `headwarden` binary: the allocator, and the command line.

use std::process::ExitCode;

/// Connections come and go by the thousand; jemalloc's background thread gives their memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    headwarden::cli::run()
}
