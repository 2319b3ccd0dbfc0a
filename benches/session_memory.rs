//! What a session costs in this process's memory: the resident set before and after so many of them
//! began, with the allocator that the program has. Prints a table; one run says it all.

use std::sync::Arc;
use std::time::Duration;

use headwarden::domain::session::Limits;
use headwarden::ops::clock::SystemClock;
use headwarden::ops::entropy::SystemRandom;
use headwarden::session::Sessions;

#[path = "support/people.rs"]
mod people;
#[path = "support/ready.rs"]
mod ready;
use people::session;
use ready::ready;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The resident set of this process, in bytes; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
fn main() {
    let limits = Limits {
        idle: Duration::from_hours(8),
        lifetime: Duration::from_hours(24),
    };
    println!("| sessions | bytes for each |\n|---|---|");
    for count in [10_000, 100_000, 920_000, 1_000_000] {
        let random = Arc::new(SystemRandom::new());
        let before = resident();
        let sessions = Sessions::new(limits, count, Arc::new(SystemClock), random);
        for n in 0..count {
            let _ = ready(sessions.start(session(n)));
        }
        assert_eq!(sessions.len(), count);
        println!(
            "| {count} | {} |",
            resident().saturating_sub(before) / count
        );
    }
}
