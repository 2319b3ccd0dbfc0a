//! What one request pays to find its session, with few and with many of them in memory.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use headwarden::domain::session::Limits;
use headwarden::ops::clock::SystemClock;
use headwarden::ops::entropy::SystemRandom;
use headwarden::session::{Cookies, Live, SessionId, Sessions};
use http::header::{COOKIE, HeaderMap, HeaderValue};

#[path = "support/people.rs"]
mod people;
#[path = "support/ready.rs"]
mod ready;
use people::session;
use ready::ready;

/// Looked up in turn, so that not one hot entry is measured; odd, so that they spread.
const PROBES: usize = 997;

/// A store of `count` sessions, and some of their ids.
fn filled(count: u64) -> (Sessions, Vec<SessionId>) {
    let limits = Limits {
        idle: Duration::from_hours(8),
        lifetime: Duration::from_hours(24),
    };
    let random = Arc::new(SystemRandom::new());
    let sessions = Sessions::new(limits, count, Arc::new(SystemClock), random);
    let every = (count / PROBES as u64).max(1);
    let mut ids = Vec::new();
    for n in 0..count {
        let Some((id, _)) = ready(sessions.start(session(n))) else {
            continue;
        };
        if n % every == 0 {
            ids.push(id);
        }
    }
    assert_eq!(sessions.len(), count);
    (sessions, ids)
}

fn request(id: &SessionId) -> HeaderMap {
    let cookie = format!("theme=dark; __Host-headwarden={}; lang=en", id.expose());
    let cookie = HeaderValue::try_from(cookie).into_iter();
    cookie.map(|cookie| (COOKIE, cookie)).collect()
}

/// What is measured: from a request's headers to its session.
fn find(sessions: &Sessions, request: &HeaderMap) -> Option<Live> {
    ready(sessions.find(&Cookies::new(true).session_id(black_box(request))?))?
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session_lookup");
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let (sessions, ids) = filled(count);
        let requests: Vec<HeaderMap> = ids.iter().map(request).collect();
        assert!(
            requests
                .iter()
                .all(|request| find(&sessions, request).is_some())
        );
        let mut turn = requests.iter().cycle();
        group.bench_function(BenchmarkId::new("cookie_to_session", count), |bencher| {
            bencher.iter(|| find(&sessions, turn.next()?));
        });
        let stranger = request(&SessionId::generate(&SystemRandom::new()));
        assert!(find(&sessions, &stranger).is_none());
        group.bench_function(BenchmarkId::new("unknown_cookie", count), |bencher| {
            bencher.iter(|| find(&sessions, &stranger));
        });
    }
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
