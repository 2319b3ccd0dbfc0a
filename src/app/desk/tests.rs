mod read_only;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::domain::claims::NamedClaims;
use crate::domain::identity::{Email, Identity, Issuer};
use crate::domain::secret::Secret;
use crate::domain::session::{Browser, Footing, Limits, Session};
use crate::domain::time::{Clock, Timestamp};
use crate::domain::token::Token;

const LIMITS: Limits = Limits {
    idle: Duration::from_hours(8),
    lifetime: Duration::from_hours(24 * 7),
};
const NOW: Timestamp = Timestamp::from_unix(1_795_655_109);

/// A clock that stands, and randomness that counts: every run has the same ids.
#[derive(Debug, Default)]
struct Fixed(AtomicU64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

impl Random for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.fill(0);
        for (to, from) in buffer.iter_mut().zip(count) {
            *to = from;
        }
    }
}

fn desk() -> Desk {
    let fixed = Arc::new(Fixed::default());
    let (clock, random) = (Arc::clone(&fixed), fixed);
    Desk {
        sessions: Arc::new(Sessions::new(LIMITS, 1 << 20, clock, random.clone())),
        complete: Arc::new(AtomicBool::new(true)),
        random,
        audit: Audit::in_log(Arc::new(Fixed::default())),
    }
}

fn session(subject: &str, email: &str) -> Session {
    Session {
        identity: Identity {
            issuer: Issuer::new("https://authentik.company/"),
            subject: Subject::new(subject),
            email: Some(Email::new(email)),
            email_verified: true,
            username: Some(subject.into()),
            name: None,
            picture: None,
            groups: vec!["\u{202e}staff\u{1b}[2J".to_owned()].into(),
            claims: NamedClaims::default(),
        },
        provider_session: None,
        auth_time: None,
        id_token: Token::pack(&Secret::new("eyJ-id-token".to_owned())),
        token_expires_at: NOW,
        started_at: NOW,
        refresh_token: Some(Token::pack(&Secret::new("refresh-token".to_owned()))),
        acr: None,
        amr: Vec::new().into(),
        checked_at: NOW,
        footing: Footing::default(),
        browser: Browser::new(Ipv4Addr::LOCALHOST.into(), "curl/8.5.0"),
    }
}

async fn ask(desk: &Desk, method: Method, target: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(target);
    let request = request.body(Bytes::new()).unwrap();
    let answer = desk.answer(&request, Caller::Local { uid: 1000 }).await;
    let body = serde_json::from_slice(answer.body()).unwrap();
    (answer.status().as_u16(), body)
}

#[tokio::test]
async fn thousands_of_sessions_come_in_pages_and_an_id_that_two_share_names_neither() {
    let desk = desk();
    let mut ids = BTreeMap::new();
    // Until two share as many digits as an id must have.
    let shared = loop {
        let subject = format!("person-{}", ids.len());
        let begun = desk.sessions.start(session(&subject, "x@y")).await.unwrap();
        let key = begun.1.key.to_hex();
        if let Some(other) = ids.insert(key[..6].to_owned(), key.clone()) {
            break [key, other];
        }
    };
    let count = ids.len() + 1;
    assert!((1001..100_000).contains(&count), "{count} sessions");
    let (mut seen, mut after, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let (status, page) = ask(&desk, Method::GET, &format!("/sessions?{after}")).await;
        assert_eq!((status, page["total"].as_u64()), (200, Some(count as u64)));
        let sessions = page["sessions"].as_array().unwrap();
        assert!(sessions.len() <= 1000);
        seen.extend(sessions.iter().map(|one| one["subject"].to_string()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = format!("after={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (count, count.div_ceil(1000)));
    let six = format!("/sessions/{}", &shared[0][..6]);
    for method in [Method::GET, Method::DELETE] {
        let (status, told) = ask(&desk, method, &six).await;
        assert_eq!((status, &told["error"]), (409, &"ambiguous".into()));
    }
    let whole = format!("/sessions/{}", shared[0]);
    assert_eq!(ask(&desk, Method::DELETE, &whole).await.1["ended"], 1);
    let (status, left) = ask(&desk, Method::GET, &six).await;
    assert_eq!(status, 200, "now it is the only one: {left}");
    assert!(shared[1].starts_with(left["id"].as_str().unwrap()));
    let (_, ended) = ask(&desk, Method::DELETE, "/sessions?all=true").await;
    assert_eq!(ended["ended"].as_u64(), Some(count as u64 - 1));
    assert!(desk.sessions.is_empty());
}

#[tokio::test]
async fn nothing_is_told_or_ended_before_the_sessions_of_the_process_before_are_back() {
    let desk = desk();
    desk.complete.store(false, Ordering::Release);
    desk.sessions.start(session("ada", "a@x")).await.unwrap();
    for (method, target) in [
        (Method::GET, "/sessions"),
        (Method::DELETE, "/sessions?all=true"),
        (Method::DELETE, "/sessions/012345"),
    ] {
        let (status, told) = ask(&desk, method, target).await;
        assert_eq!((status, &told["error"]), (503, &"starting".into()));
    }
    desk.complete.store(true, Ordering::Release);
    let (_, ended) = ask(&desk, Method::DELETE, "/sessions?all=true").await;
    assert_eq!(ended["ended"], 1);
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_too() {
    let desk = desk();
    for number in 0..30 {
        let mut session = session(&format!("person-{number}"), "x@y");
        session.identity.groups = vec!["g".repeat(1 << 20)].into();
        desk.sessions.start(session).await.unwrap();
    }
    let (_, page) = ask(&desk, Method::GET, "/sessions").await;
    let sessions = page["sessions"].as_array().unwrap().len();
    assert!((1..=8).contains(&sessions), "{sessions} sessions");
    assert!(page["next"].is_string() && page["total"] == 30);
}

#[tokio::test]
async fn what_is_shown_holds_no_secret_and_no_character_that_moves_a_cursor() {
    let desk = desk();
    let begun = desk.sessions.start(session("ada", "ada@x")).await.unwrap();
    let (id, live) = begun;
    let request = Request::get("/sessions").body(Bytes::new()).unwrap();
    let answer = desk.answer(&request, Caller::Local { uid: 0 }).await;
    let text = std::str::from_utf8(answer.body()).unwrap();
    for secret in ["eyJ", "refresh-token", &id.expose()] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(
        text.trim_end().chars().all(crate::domain::text::draws),
        "{text}"
    );
    let page: Value = serde_json::from_str(text).unwrap();
    let shown = &page["sessions"][0];
    for (field, value) in [
        ("id", live.key.to_string()),
        ("groups", "staff".to_owned()),
        ("started_at", "2026-11-26T01:05:09Z".to_owned()),
        ("idle_expires_at", "2026-11-26T09:05:09Z".to_owned()),
        ("expires_at", "2026-12-03T01:05:09Z".to_owned()),
        ("device", "curl".to_owned()),
        ("auth_time", "null".to_owned()),
    ] {
        assert!(
            shown[field].to_string().contains(&value),
            "{field}: {shown}"
        );
    }
}

#[tokio::test]
async fn people_who_share_an_address_are_all_meant_by_it_and_nobody_else() {
    let desk = desk();
    for (subject, email) in [
        ("a", "shared@x"),
        ("b", "SHARED@x"),
        ("shared", "c@x"),
        ("d", "shared@x.y"),
    ] {
        desk.sessions.start(session(subject, email)).await.unwrap();
    }
    let (_, page) = ask(&desk, Method::GET, "/sessions?user=shared%40x").await;
    assert_eq!(page["total"], 2);
    let (_, ended) = ask(&desk, Method::DELETE, "/sessions?user=shared%40x").await;
    assert_eq!(ended["ended"], 2);
    let (_, ended) = ask(&desk, Method::DELETE, "/sessions?user=shared").await;
    assert_eq!(ended["ended"], 1);
    let (_, page) = ask(&desk, Method::GET, "/sessions").await;
    assert_eq!(page["sessions"][0]["subject"], "d");
}
