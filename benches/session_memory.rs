//! What a session costs in this process's memory: the resident set before and after so many of them
//! began, with the allocator that the program has. Prints a table; one run says it all.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use headwarden::domain::identity::{Email, Identity, Issuer, ProviderSession, Subject};
use headwarden::domain::secret::Secret;
use headwarden::domain::session::{Browser, Limits, Session};
use headwarden::domain::time::Clock as _;
use headwarden::ops::clock::SystemClock;
use headwarden::ops::entropy::SystemRandom;
use headwarden::session::Sessions;

#[path = "support/ready.rs"]
mod ready;
use ready::ready;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes of an ID token with five short groups, signed with RS256, and of an opaque refresh token.
const ID_TOKEN: usize = 1000;
const REFRESH_TOKEN: usize = 128;

fn session(n: u64) -> Session {
    let now = SystemClock.now();
    let groups = ["headscale", "headscale-admins", "staff", "berlin", "vpn"];
    Session {
        identity: Identity {
            issuer: Issuer::new("https://authentik.company/application/o/headscale/"),
            // authentik's are 64 hex digits.
            subject: Subject::new(format!("{n:064x}")),
            email: Some(Email::new(format!("user-{n}@acmecorp.net"))),
            email_verified: true,
            username: Some(format!("user-{n}")),
            name: Some(format!("User Number {n}")),
            picture: None,
            groups: groups.map(str::to_owned).to_vec(),
        },
        provider_session: Some(ProviderSession::new(format!("{n:064x}"))),
        auth_time: Some(now),
        id_token: Secret::new("x".repeat(ID_TOKEN)),
        token_expires_at: now,
        started_at: now,
        refresh_token: Some(Secret::new("x".repeat(REFRESH_TOKEN))),
        acr: Some("goauthentik.io/providers/oauth2/default".to_owned()),
        amr: vec!["pwd".to_owned(), "mfa".to_owned()],
        checked_at: now,
        browser: Browser::new(
            Ipv4Addr::LOCALHOST.into(),
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
    }
}

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
    for count in [10_000, 100_000, 1_000_000] {
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
