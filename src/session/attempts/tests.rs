use http::HeaderValue;
use http::header::COOKIE;

use std::time::Duration;

use super::*;
use crate::domain::assurance::Assurance;
use crate::domain::login::AttemptKind;
use crate::domain::random::Random;
use crate::domain::return_to::ReturnTo;
use crate::ops::entropy::SystemRandom;
use crate::session::testing::START;

const NOW: Timestamp = Timestamp::from_unix(START);
const TLS: Cookies = Cookies::new(true);

fn keys() -> Arc<KeyRing> {
    let directory = tempfile::tempdir().unwrap();
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    Arc::new(KeyRing::load_or_create(&directory.path().join("keys.json"), random).unwrap())
}

fn attempts() -> Attempts {
    Attempts::new(TLS, keys())
}

fn begin(path: &str, now: Timestamp) -> Attempt {
    let return_to = ReturnTo::parse(path).unwrap();
    Attempt::begin(&SystemRandom::new(), return_to, AttemptKind::SignIn, now)
}

fn at(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// A browser's jar: applies `Set-Cookie` as browsers do, in one flat list.
#[derive(Default)]
struct Jar(Vec<(String, String)>);

impl Jar {
    fn take(&mut self, set_cookies: &[String]) {
        for set_cookie in set_cookies {
            let (pair, attributes) = set_cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.0.retain(|(held, _)| held != name);
            if !attributes.contains("Max-Age=0") {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn header(&self) -> String {
        self.0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn headers(&self) -> HeaderMap {
        headers(&self.header())
    }
}

fn headers(cookie: &str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
}

#[test]
fn an_attempt_comes_back_from_its_own_cookie() {
    let attempts = attempts();
    let mut jar = Jar::default();
    let attempt = begin("/admin?tab=2", NOW);
    let set = attempts.plant(&attempt, &HeaderMap::new(), NOW).unwrap();
    assert_eq!(set.len(), 1);
    assert!(
        set[0].ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600"),
        "{}",
        set[0]
    );
    assert!(!set[0].contains("admin") && !set[0].contains(&attempt.state));
    jar.take(&set);
    let found = attempts
        .find(&attempt.state, &jar.headers(), at(599))
        .unwrap();
    assert_eq!(found.state, attempt.state);
    assert_eq!(found.return_to.as_str(), "/admin?tab=2");
    jar.take(&[attempts.forget(&attempt.state).unwrap()]);
    assert!(jar.0.is_empty());
}

#[test]
fn several_tabs_each_find_their_own_attempt() {
    let attempts = attempts();
    let mut jar = Jar::default();
    let begun: Vec<_> = (0..8).map(|n| begin(&format!("/tab-{n}"), at(n))).collect();
    for attempt in &begun {
        jar.take(&attempts.plant(attempt, &jar.headers(), at(8)).unwrap());
    }
    for (n, attempt) in begun.iter().enumerate() {
        let found = attempts
            .find(&attempt.state, &jar.headers(), at(9))
            .unwrap();
        assert_eq!(found.return_to.as_str(), format!("/tab-{n}"));
    }
}

#[test]
fn one_tabs_cookie_cannot_finish_another_tabs_attempt() {
    let attempts = attempts();
    let (a, b) = (begin("/a", NOW), begin("/b", NOW));
    let set = attempts.plant(&a, &HeaderMap::new(), NOW).unwrap();
    let (_, sealed) = set[0].split_once('=').unwrap();
    let sealed = sealed.split(';').next().unwrap();
    // The cookie of A under the name of B's, and a state that shares A's tag.
    let moved = format!("{}={sealed}", TLS.login_name(&login::tag(&b.state)));
    assert_eq!(
        attempts.find(&b.state, &headers(&moved), NOW).unwrap_err(),
        AttemptError::Missing
    );
    let mut jar = Jar::default();
    jar.take(&set);
    let changed = format!("{}x", &a.state[..a.state.len() - 1]);
    if changed != a.state {
        assert_eq!(
            attempts.find(&changed, &jar.headers(), NOW).unwrap_err(),
            AttemptError::Missing
        );
    }
    assert!(attempts.find(&a.state, &jar.headers(), NOW).is_ok());
}

#[test]
fn an_attempt_of_another_browser_deployment_or_scheme_is_missing() {
    let ours = attempts();
    let attempt = begin("/", NOW);
    let mut jar = Jar::default();
    jar.take(&ours.plant(&attempt, &HeaderMap::new(), NOW).unwrap());
    let missing = |attempts: &Attempts, headers: &HeaderMap| {
        attempts.find(&attempt.state, headers, NOW).unwrap_err() == AttemptError::Missing
    };
    assert!(missing(&ours, &HeaderMap::new()));
    assert!(missing(&attempts(), &jar.headers()));
    assert!(missing(
        &Attempts::new(Cookies::new(false), Arc::clone(&ours.keys)),
        &jar.headers()
    ));
    let plain = jar.header().replace("__Host-", "");
    let insecure = Attempts::new(Cookies::new(false), Arc::clone(&ours.keys));
    assert!(missing(&insecure, &headers(&plain)));
    let twice = format!("{}; {}", jar.header(), jar.header());
    assert!(missing(&ours, &headers(&twice)));
}

#[test]
fn an_attempt_of_another_origin_provider_or_client_with_the_same_keys_is_missing() {
    let keys = keys();
    let of = |deployment: &[&str]| Attempts::new(TLS, Arc::clone(&keys)).bound_to(deployment);
    let here = ["https://a.example", "https://id.example/", "client"];
    let attempt = begin("/", NOW);
    let mut jar = Jar::default();
    jar.take(&of(&here).plant(&attempt, &HeaderMap::new(), NOW).unwrap());
    assert!(of(&here).find(&attempt.state, &jar.headers(), NOW).is_ok());
    for there in [
        &[][..],
        &["https://b.example", "https://id.example/", "client"],
        &["https://a.example", "https://id.example", "client"],
        &["https://a.example", "https://id.example/", "clienT"],
        &["https://a.example", "https://id.example/client"],
        &["https://a.example", "https://id.example/", "client", ""],
        &["https://a.example 19:https://id.example/", "client"],
    ] {
        assert_eq!(
            of(there).find(&attempt.state, &jar.headers(), NOW),
            Err(AttemptError::Missing),
            "{there:?}"
        );
    }
}

#[test]
fn an_attempt_with_any_bit_of_its_cookie_or_state_flipped_is_missing() {
    let attempts = attempts();
    let attempt = begin("/admin/?tab=2", NOW);
    let set = attempts.plant(&attempt, &HeaderMap::new(), NOW).unwrap();
    let pair = set[0].split(';').next().unwrap();
    let name = pair.find('=').unwrap();
    let mut flipped_bits = 0;
    for bit in 0..pair.len() * 8 {
        let mut flipped = pair.as_bytes().to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(value) = HeaderValue::from_bytes(&flipped) else {
            // No request with such a byte gets this far.
            continue;
        };
        let headers = HeaderMap::from_iter([(COOKIE, value)]);
        assert_eq!(
            attempts.find(&attempt.state, &headers, NOW),
            Err(AttemptError::Missing),
            "bit {bit} of {}",
            if bit / 8 < name {
                "the name"
            } else {
                "the value"
            }
        );
        flipped_bits += 1;
    }
    assert!(flipped_bits > 2000, "{flipped_bits}");
    let headers = headers(pair);
    for bit in 0..attempt.state.len() * 8 {
        let mut flipped = attempt.state.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let flipped = String::from_utf8_lossy(&flipped);
        assert_eq!(
            attempts.find(&flipped, &headers, NOW),
            Err(AttemptError::Missing),
            "bit {bit} of the state"
        );
    }
    assert!(attempts.find(&attempt.state, &headers, NOW).is_ok());
}

#[test]
fn attempts_live_ten_minutes_in_2038_and_2106_too() {
    let attempts = attempts();
    for start in [
        u64::from(u32::MAX >> 1) - 5,
        u64::from(u32::MAX) - 5,
        1 << 40,
    ] {
        let begun = Timestamp::from_unix(start);
        let attempt = begin("/", begun);
        let mut jar = Jar::default();
        jar.take(&attempts.plant(&attempt, &HeaderMap::new(), begun).unwrap());
        for (after, found) in [(0, true), (599, true), (600, false), (1 << 32, false)] {
            let now = Timestamp::from_unix(start + after);
            let outcome = attempts.find(&attempt.state, &jar.headers(), now);
            assert_eq!(outcome.is_ok(), found, "{start} + {after}: {outcome:?}");
        }
    }
}

#[test]
fn an_expired_attempt_says_so() {
    let attempts = attempts();
    let attempt = begin("/", NOW);
    let mut jar = Jar::default();
    jar.take(&attempts.plant(&attempt, &HeaderMap::new(), NOW).unwrap());
    let found = attempts.find(&attempt.state, &jar.headers(), at(3600));
    assert_eq!(found.unwrap_err(), AttemptError::Expired);
}

#[test]
fn a_state_or_cookie_of_nonsense_is_missing_and_never_a_panic() {
    let attempts = attempts();
    let attempt = begin("/", NOW);
    let name = TLS.login_name(&login::tag(&attempt.state));
    for value in ["", "A", "=", "\"x\"", "%00", &"A".repeat(65_536)] {
        let headers = headers(&format!("{name}={value}"));
        assert_eq!(
            attempts.find(&attempt.state, &headers, NOW).unwrap_err(),
            AttemptError::Missing
        );
    }
    let mut jar = Jar::default();
    jar.take(&attempts.plant(&attempt, &HeaderMap::new(), NOW).unwrap());
    for state in [
        "",
        "hw1.",
        "hw1.é",
        "hw1.éééééééé",
        "x",
        "é",
        &attempt.state[4..],
        &"A".repeat(10_000),
    ] {
        assert_eq!(
            attempts.find(state, &jar.headers(), NOW).unwrap_err(),
            AttemptError::Missing
        );
        assert_eq!(attempts.forget(state), None);
    }
}

#[test]
fn what_is_sealed_for_another_purpose_is_no_attempt() {
    let attempts = attempts();
    let attempt = begin("/", NOW);
    let name = TLS.login_name(&login::tag(&attempt.state));
    let text = serde_json::to_vec(&attempt).unwrap();
    let right = attempts.keys.seal(&name, PURPOSE, &text).unwrap();
    let wrong = attempts.keys.seal(&name, "something else", &text).unwrap();
    let find = |sealed| attempts.find(&attempt.state, &headers(&format!("{name}={sealed}")), NOW);
    assert!(find(right).is_ok());
    assert_eq!(find(wrong).unwrap_err(), AttemptError::Missing);
}

#[test]
fn fifty_login_cookies_become_the_eight_newest() {
    let attempts = attempts();
    let mut jar = Jar::default();
    let begun: Vec<_> = (0..50).map(|n| begin(&format!("/{n}"), at(n))).collect();
    for attempt in &begun {
        // Begun at once: no request knew of the others' cookies.
        jar.take(
            &attempts
                .plant(attempt, &HeaderMap::new(), at(n_of(attempt)))
                .unwrap(),
        );
    }
    assert_eq!(jar.0.len(), 50);
    // The order in the header is the browser's affair.
    jar.0.sort();
    let newest = begin("/newest", at(50));
    let set = attempts.plant(&newest, &jar.headers(), at(50)).unwrap();
    assert_eq!(set.len(), 1 + 43);
    jar.take(&set);
    assert_eq!(jar.0.len(), 8);
    for attempt in begun[43..].iter().chain([&newest]) {
        assert!(
            attempts
                .find(&attempt.state, &jar.headers(), at(51))
                .is_ok()
        );
    }
}

fn n_of(attempt: &Attempt) -> u64 {
    attempt.started_at.unix() - START
}

#[test]
fn garbage_and_expired_attempts_go_before_any_live_one() {
    let attempts = attempts();
    let mut jar = Jar::default();
    let live = begin("/live", at(700));
    jar.take(&attempts.plant(&live, &HeaderMap::new(), at(700)).unwrap());
    let expired = begin("/expired", NOW);
    jar.take(&attempts.plant(&expired, &HeaderMap::new(), NOW).unwrap());
    for n in 0..9 {
        jar.0
            .push((TLS.login_name(&format!("planted{n}")), "x".to_owned()));
    }
    jar.0.push(("other".to_owned(), "1".to_owned()));
    let new = begin("/new", at(800));
    jar.0.push((
        TLS.login_name(&login::tag(&new.state)),
        "replaced".to_owned(),
    ));
    jar.take(&attempts.plant(&new, &jar.headers(), at(800)).unwrap());
    let left: Vec<_> = jar.0.iter().map(|(name, _)| name.clone()).collect();
    let name = |attempt: &Attempt| TLS.login_name(&login::tag(&attempt.state));
    assert_eq!(left, [name(&live), "other".to_owned(), name(&new)]);
}

#[test]
fn a_thousand_attempts_never_outgrow_a_request_head() {
    let attempts = attempts();
    let mut jar = Jar::default();
    for n in 0..1000 {
        let path = format!("/{}", "a".repeat(n * 37 % 2000));
        let attempt = begin(&path, at(n as u64 / 10));
        jar.take(
            &attempts
                .plant(&attempt, &jar.headers(), at(n as u64 / 10))
                .unwrap(),
        );
        assert!(jar.0.len() <= MOST);
        assert!(jar.header().len() < 7 * 1024, "{}", jar.header().len());
        assert!(
            attempts
                .find(&attempt.state, &jar.headers(), at(n as u64 / 10))
                .is_ok()
        );
    }
}

#[test]
fn the_longest_return_path_still_fits_a_cookie_or_gives_way_to_the_root() {
    let attempts = attempts();
    for path in [
        format!("/{}", "a".repeat(2047)),
        format!("/?{}", "\"".repeat(2046)),
    ] {
        let Some(return_to) = ReturnTo::parse(&path) else {
            continue;
        };
        let attempt = Attempt::begin(&SystemRandom::new(), return_to, AttemptKind::SignIn, NOW);
        let mut jar = Jar::default();
        jar.take(&attempts.plant(&attempt, &HeaderMap::new(), NOW).unwrap());
        assert!(
            jar.header().len() <= LONGEST_COOKIE,
            "{}",
            jar.header().len()
        );
        let found = attempts.find(&attempt.state, &jar.headers(), NOW).unwrap();
        assert!(["/", path.as_str()].contains(&found.return_to.as_str()));
    }
}

#[test]
fn an_attempt_keeps_its_return_path_in_a_cookie_of_4096_bytes_and_not_in_a_longer_one() {
    let attempts = attempts();
    let path = format!("/{}", "a".repeat(2047));
    let (mut longest, mut given_up) = (0, 0);
    for length in 500..640 {
        let kind = AttemptKind::StepUp {
            session: "0".repeat(64),
            subject: "s".repeat(length),
            since: NOW,
            afresh: true,
            asked: Assurance::default(),
        };
        let return_to = ReturnTo::parse(&path).unwrap();
        let attempt = Attempt::begin(&SystemRandom::new(), return_to, kind, NOW);
        let mut jar = Jar::default();
        jar.take(&attempts.plant(&attempt, &HeaderMap::new(), NOW).unwrap());
        let found = attempts.find(&attempt.state, &jar.headers(), NOW).unwrap();
        if found.return_to == attempt.return_to {
            let size: usize = jar
                .0
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum();
            longest = longest.max(size);
        } else {
            assert_eq!(found.return_to, ReturnTo::root());
            assert_eq!(found.kind, attempt.kind);
            given_up += 1;
        }
    }
    assert_eq!(longest, 4096);
    assert!(given_up > 40, "{given_up}");
}

#[test]
fn two_attempts_of_6_kib_together_stay_and_a_byte_more_costs_the_older_one() {
    let attempts = attempts();
    let held = |jar: &Jar| -> usize {
        jar.0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    };
    let path = |length| format!("/{}", "a".repeat(length));
    let mut sums = Vec::new();
    for older in 2040..2044 {
        let mut jar = Jar::default();
        jar.take(
            &attempts
                .plant(&begin(&path(older), NOW), &HeaderMap::new(), NOW)
                .unwrap(),
        );
        let size = held(&jar);
        for newer in 1980..2020 {
            let mut both = Jar(jar.0.clone());
            let set = attempts
                .plant(&begin(&path(newer), at(1)), &jar.headers(), at(1))
                .unwrap();
            both.take(&set[..1]);
            let sum = held(&both);
            assert!(sum > size);
            assert_eq!(set.len() == 1, sum <= 6 * 1024, "{sum}");
            sums.push(sum);
        }
    }
    assert!(sums.contains(&(6 * 1024)) && sums.contains(&(6 * 1024 + 1)));
}

#[test]
fn a_flood_of_planted_cookies_is_cleared_in_portions() {
    let attempts = attempts();
    let mut jar = Jar::default();
    for n in 0..150 {
        jar.0
            .push((TLS.login_name(&format!("p{n}")), "x".to_owned()));
    }
    let mut left = Vec::new();
    for n in 0..3 {
        let set = attempts
            .plant(&begin("/", at(n)), &jar.headers(), at(n))
            .unwrap();
        assert!(set.len() <= 1 + MOST_DELETIONS);
        jar.take(&set);
        left.push(jar.0.len());
    }
    assert_eq!(left, [87, 24, 3]);
}

#[test]
fn an_attempt_whose_state_is_not_one_of_ours_cannot_be_planted() {
    let attempt = Attempt {
        state: "hw1.short".to_owned(),
        ..begin("/", NOW)
    };
    assert!(attempts().plant(&attempt, &HeaderMap::new(), NOW).is_err());
}
