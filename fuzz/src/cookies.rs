//! The `Cookie` fields of a request. Input: a state, then one field a line. `@0` to `@2` stand for
//! something genuine: as the state that of an attempt, in a field its cookie.

use headwarden::domain::login::is_ours;
use headwarden::domain::time::Timestamp;
use headwarden::session::{Attempts, Cookies, SessionId, only_named};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::sealed::{genuine, planted};
use super::support::{NOW, key_ring, lines, replaced};

const SESSION: &[u8] = b"__Host-headwarden";
const SIGN_OUT: &[u8] = b"__Host-headwarden-sign-out";
const LOGIN: &[u8] = b"__Host-headwarden-login-";

pub fn run(data: &[u8]) {
    thread_local! {
        static ATTEMPTS: Attempts = Attempts::new(Cookies::new(true), key_ring());
    }
    thread_local! {
        static GENUINE: Vec<(String, String)> = genuine()
            .iter()
            .map(|attempt| (attempt.state.clone(), planted(attempt)))
            .map(|(state, (name, value))| (state, format!("{name}={value}")))
            .collect();
    }
    let Some(([state], rest)) = lines::<1>(data) else {
        return;
    };
    let (state, rest) = GENUINE.with(|genuine| {
        let state = genuine
            .iter()
            .enumerate()
            .fold(state.to_vec(), |text, (at, (state, _))| {
                replaced(&text, &format!("@{at}"), state)
            });
        let rest = genuine
            .iter()
            .enumerate()
            .fold(rest.to_vec(), |text, (at, (_, pair))| {
                replaced(&text, &format!("@{at}"), pair)
            });
        (state, rest)
    });
    let fields: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').take(100).collect();
    let mut headers = HeaderMap::new();
    for value in &fields {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(COOKIE, value);
        }
        check_stripped(value);
        check_chosen(value);
    }
    check_session(&headers);
    let Ok(state) = std::str::from_utf8(&state) else {
        return;
    };
    let now = Timestamp::from_unix(NOW);
    let found = ATTEMPTS.with(|attempts| attempts.find(state, &headers, now));
    if let Ok(attempt) = found {
        assert!(
            is_ours(state) && attempt.state == state,
            "{state} found another attempt"
        );
        let brought = pairs(&headers);
        let (name, value) = planted(&attempt);
        let same = |pair: &&(Vec<u8>, Vec<u8>)| pair.0 == name.as_bytes();
        assert_eq!(
            brought.iter().filter(same).count(),
            1,
            "one of two cookies was chosen"
        );
        assert!(
            brought.contains(&(name.into_bytes(), value.into_bytes())),
            "something opened that was never sealed"
        );
        assert!(genuine().contains(&attempt));
    }
}

/// Names and values as RFC 6265bis section 5.6 cuts them.
fn cut(field: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    field
        .split(|byte| *byte == b';')
        .map(|part| match part.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                part[..at].trim_ascii().to_vec(),
                part[at + 1..].trim_ascii().to_vec(),
            ),
            None => (Vec::new(), part.trim_ascii().to_vec()),
        })
        .collect()
}

fn pairs(headers: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fields = headers.get_all(COOKIE);
    fields
        .iter()
        .flat_map(|field| cut(field.as_bytes()))
        .collect()
}

fn check_session(headers: &HeaderMap) {
    let cookies = Cookies::new(true);
    let brought: Vec<Vec<u8>> = pairs(headers)
        .into_iter()
        .filter(|(name, _)| name == SESSION)
        .map(|(_, value)| value)
        .collect();
    assert_eq!(cookies.has_session_cookie(headers), !brought.is_empty());
    if let Some(id) = cookies.session_id(headers) {
        assert_eq!(
            brought.len(),
            1,
            "one of several session cookies was chosen"
        );
        assert_eq!(
            id.expose().as_bytes(),
            brought[0],
            "an id has two spellings"
        );
        assert_eq!(SessionId::parse(&brought[0]), Some(id));
    }
    for cookie in cookies.login_cookies(headers) {
        assert!(!cookie.tag.is_empty() && cookie.tag.len() <= 32);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(cookie.tag.bytes().all(plain), "{:?}", cookie.tag);
    }
}

fn is_one_of_ours(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    name == SESSION.to_ascii_lowercase()
        || name == SIGN_OUT.to_ascii_lowercase()
        || name.starts_with(&LOGIN.to_ascii_lowercase())
}

/// No upstream sees a cookie of ours, and every other cookie as it was.
pub fn check_stripped(field: &[u8]) {
    let left = Cookies::new(true).strip_ours(field);
    let kept = left.as_deref().map(cut).unwrap_or_default();
    assert!(
        !kept.iter().any(|(name, _)| is_one_of_ours(name)),
        "one of ours passed"
    );
    let said = |pairs: Vec<(Vec<u8>, Vec<u8>)>| -> Vec<(Vec<u8>, Vec<u8>)> {
        let empty = |(name, value): &(Vec<u8>, Vec<u8>)| name.is_empty() && value.is_empty();
        pairs.into_iter().filter(|pair| !empty(pair)).collect()
    };
    let wanted: Vec<_> = cut(field)
        .into_iter()
        .filter(|(name, _)| !is_one_of_ours(name))
        .collect();
    assert_eq!(
        said(kept),
        said(wanted.clone()),
        "cookies of others were changed"
    );
    if !field.is_empty() && wanted.len() == cut(field).len() {
        assert_eq!(
            left.as_deref(),
            Some(field),
            "a field without ours was changed"
        );
    }
}

/// The callback that two sign-ins share gives Headscale its own cookies and no others.
fn check_chosen(field: &[u8]) {
    let kept = only_named(field, &["state", "nonce"]);
    for (name, _) in kept.as_deref().map(cut).unwrap_or_default() {
        let name = String::from_utf8_lossy(&name).into_owned();
        let wanted = ["state", "nonce"]
            .iter()
            .any(|known| name == *known || name.starts_with(&format!("{known}_")));
        assert!(wanted, "{name:?} passed to the callback");
    }
}
