//! Sealed values. Input: a name, a purpose, which of the genuine values to begin with (its first
//! byte), then what is done to it: pairs of a position and a byte that is put there (by exclusive or),
//! or, after a line break, a text that replaces it altogether.

use std::sync::Arc;

use headwarden::domain::login::{Attempt, AttemptKind};
use headwarden::domain::return_to::ReturnTo;
use headwarden::domain::time::Timestamp;
use headwarden::session::{Attempts, Cookies, KeyRing};
use http::HeaderMap;

use super::support::{Counting, NOW, key_ring, lines, old_key_ring};

const PURPOSE: &str = "login attempt";

thread_local! {
    static RING: Arc<KeyRing> = key_ring();
    static VALUES: Vec<(String, String)> = values();
    static ATTEMPTS: Vec<Attempt> = attempts();
}

pub fn run(data: &[u8]) {
    let Some(([name, purpose], rest)) = lines::<2>(data) else {
        return;
    };
    let (Ok(name), Ok(purpose)) = (std::str::from_utf8(name), std::str::from_utf8(purpose)) else {
        return;
    };
    let Some((which, change)) = rest.split_first() else {
        return;
    };
    VALUES.with(|values| {
        let (own_name, value) = &values[usize::from(*which) % values.len()];
        let name = if name.is_empty() { own_name } else { name };
        let purpose = if purpose.is_empty() { PURPOSE } else { purpose };
        let text = changed(value.as_bytes(), change);
        let opened = RING.with(|ring| ring.open(name, purpose, &text));
        let untouched = purpose == PURPOSE
            && values
                .iter()
                .any(|(own, value)| own == name && value.as_bytes() == text);
        assert_eq!(
            opened.is_some(),
            untouched,
            "a sealed value that is not as it was sealed: {name} {purpose}"
        );
    });
    round_trip(name, purpose, change);
}

/// `value` with what `change` says done to it.
fn changed(value: &[u8], change: &[u8]) -> Vec<u8> {
    if let Some(text) = change.strip_prefix(b"\n") {
        return text.to_vec();
    }
    let mut text = value.to_vec();
    for pair in change.chunks_exact(2) {
        let at = usize::from(pair[0]) % (text.len() + 1);
        match (pair[1], at == text.len()) {
            (byte, true) => text.push(byte),
            (0, false) => drop(text.remove(at)),
            (byte, false) => text[at] ^= byte,
        }
        if text.is_empty() {
            break;
        }
    }
    text
}

/// What is sealed opens again under its own name and purpose, and under no other.
fn round_trip(name: &str, purpose: &str, plaintext: &[u8]) {
    RING.with(|ring| {
        let Ok(sealed) = ring.seal(name, purpose, plaintext) else {
            return;
        };
        let opened = ring.open(name, purpose, sealed.as_bytes());
        if sealed.len() <= 8 * 1024 {
            assert_eq!(opened.as_deref(), Some(plaintext));
        }
        for (other_name, other_purpose) in [
            (format!("{name}x"), purpose.to_owned()),
            (name.to_owned(), format!("{purpose}x")),
            (purpose.to_owned(), name.to_owned()),
            (format!("{name}{purpose}"), String::new()),
            (String::new(), format!("{name}{purpose}")),
        ] {
            if (other_name.as_str(), other_purpose.as_str()) != (name, purpose) {
                let opened = ring.open(&other_name, &other_purpose, sealed.as_bytes());
                assert!(
                    opened.is_none(),
                    "a value moved to {other_name:?} {other_purpose:?}"
                );
            }
        }
    });
}

/// Genuine values with their names; the last one is from before the key was rotated.
fn values() -> Vec<(String, String)> {
    let name = "__Host-headwarden-login-oldvalue".to_owned();
    let old = old_key_ring().seal(&name, PURPOSE, b"{}").unwrap();
    let mut values: Vec<_> = genuine().iter().map(planted).collect();
    values.push((name, old));
    values
}

/// The attempts whose cookies are genuine: the same ones in every run.
pub fn genuine() -> Vec<Attempt> {
    ATTEMPTS.with(Clone::clone)
}

fn attempts() -> Vec<Attempt> {
    let now = Timestamp::from_unix(NOW);
    let random = Counting::default();
    [
        "/",
        "/admin?tab=2",
        "/register/hskey-authreq-0123456789abcdef01234567",
    ]
    .into_iter()
    .map(|path| {
        let return_to = ReturnTo::parse(path).unwrap();
        Attempt::begin(&random, return_to, AttemptKind::SignIn, now)
    })
    .collect()
}

/// Name and value of the cookie that holds `attempt`. The ring counts instead of drawing lots, so a
/// fresh one gives the same text again.
pub fn planted(attempt: &Attempt) -> (String, String) {
    let now = Timestamp::from_unix(NOW);
    let cookies = Attempts::new(Cookies::new(true), key_ring());
    let set = cookies.plant(attempt, &HeaderMap::new(), now).unwrap();
    let pair = set[0].split(';').next().unwrap();
    let (name, value) = pair.split_once('=').unwrap();
    (name.to_owned(), value.to_owned())
}
