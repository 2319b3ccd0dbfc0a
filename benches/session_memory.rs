//! What a session costs in this process's memory: the resident set before and after so many of them
//! began, with the allocator that the program has. Prints a table; a number after `--` is the only row.

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

/// Each number of sessions in a process of its own: what an earlier one gave back to the allocator would be counted as
/// free for the next.
#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
fn main() {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    if let Some(count) = asked {
        println!("| {count} | {} |", bytes_for_each(count));
        return;
    }
    println!("| sessions | bytes for each |\n|---|---|");
    let this = std::env::current_exe().unwrap_or_default();
    for count in [1_000, 10_000, 100_000, 920_000, 1_000_000] {
        let mut alone = std::process::Command::new(&this);
        assert!(
            alone
                .arg(count.to_string())
                .status()
                .is_ok_and(|end| end.success())
        );
    }
}

fn bytes_for_each(count: u64) -> u64 {
    let limits = Limits {
        idle: Duration::from_hours(8),
        lifetime: Duration::from_hours(24),
    };
    let random = Arc::new(SystemRandom::new());
    let before = resident();
    let sessions = Sessions::new(limits, count, Arc::new(SystemClock), random);
    for n in 0..count {
        let _ = ready(sessions.start(session(n)));
    }
    assert_eq!(sessions.len(), count);
    resident().saturating_sub(before) / count
}
