//! What deciding about one guarded request costs: head, door, cookie, session, rules, headers. No
//! socket and no upstream; what pingora adds is not in it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use headwarden::domain::door::{self, Asked, Door};
use headwarden::domain::policy::{Permit, Rules};
use headwarden::domain::session::Limits;
use headwarden::ops::clock::SystemClock;
use headwarden::ops::entropy::SystemRandom;
use headwarden::proxy::head::Head;
use headwarden::session::{Cookies, Sessions};

#[path = "support/people.rs"]
mod people;
#[path = "support/ready.rs"]
mod ready;
use people::session;
use ready::ready;

/// What a browser sends, with the session's cookie among others.
fn request(cookie: &str) -> String {
    format!(
        "GET /admin/machines?sort=name HTTP/1.1\r\nHost: headscale.company\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Cookie: theme=dark; __Host-headwarden={cookie}; lang=en\r\n\
         Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\
         Upgrade-Insecure-Requests: 1\r\nConnection: keep-alive\r\n\r\n"
    )
}

/// The whole decision, as the gate makes it; `None` would be a refusal.
fn decide(raw: &[u8], sessions: &Sessions, rules: &Rules) -> Option<Permit> {
    let head = Head::parse(raw).ok()?;
    let asked = Asked {
        method: &head.method,
        target: &head.target,
        upgrade: head.upgrade.as_deref(),
    };
    let Door::Guarded(_) = door::decide(&asked, &[]) else {
        return None;
    };
    let live = ready(sessions.find(&Cookies::new(true).session_id(&head.headers)?))??;
    Permit::for_identity(rules, &live.session.identity).ok()
}

fn bench(c: &mut Criterion) {
    let limits = Limits {
        idle: Duration::from_hours(8),
        lifetime: Duration::from_hours(24),
    };
    let clock = Arc::new(SystemClock);
    let sessions = Sessions::new(limits, 1000, clock, Arc::new(SystemRandom::new()));
    let Some((id, _)) = ready(sessions.start(session(1))) else {
        return;
    };
    let rules = Rules {
        allowed_groups: vec!["/headscale".to_owned()],
        allowed_domains: vec!["acmecorp.net".to_owned()],
        allowed_users: Vec::new(),
        email_verified_required: true,
        exact_groups: false,
    };
    let raw = request(&id.expose());
    let stranger = request("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert!(decide(raw.as_bytes(), &sessions, &rules).is_some());
    assert!(decide(stranger.as_bytes(), &sessions, &rules).is_none());

    let mut group = c.benchmark_group("decision");
    group.bench_function("head", |b| {
        b.iter(|| Head::parse(black_box(raw.as_bytes())).is_ok());
    });
    group.bench_function("signed in", |b| {
        b.iter(|| decide(black_box(raw.as_bytes()), &sessions, &rules).is_some());
    });
    group.bench_function("stranger", |b| {
        b.iter(|| decide(black_box(stranger.as_bytes()), &sessions, &rules).is_none());
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
