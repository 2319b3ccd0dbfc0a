//! The query of the callback that two sign-ins share. Input: the query, without its `?`.

use headwarden::domain::login::{is_ours, tag};
use headwarden::domain::path::Target;
use headwarden::session::{Attempts, Cookies};
use http::HeaderValue;

use super::support::{key_ring, unescape};

pub fn run(data: &[u8]) {
    thread_local! {
        static ATTEMPTS: Attempts = Attempts::new(Cookies::new(true), key_ring());
    }
    let raw = [b"/oidc/callback?", data].concat();
    let Ok(target) = Target::parse(&raw) else {
        return;
    };
    assert_eq!(target.path(), "/oidc/callback");
    for name in ["state", "code", "iss", "error", "error_description"] {
        let found = target.query_values(name);
        assert_eq!(found, values(data, name), "{target}: {name}");
    }
    for state in target.query_values("state") {
        check_state(&state);
        let forgotten = ATTEMPTS.with(|attempts| attempts.forget(&state));
        assert_eq!(forgotten.is_some(), !tag(&state).is_empty());
        if let Some(set_cookie) = forgotten {
            check_set_cookie(&set_cookie, &tag(&state));
        }
    }
}

/// The values of a parameter, as RFC 6749 appendix B and the URL standard have forms decoded.
fn values(query: &[u8], name: &str) -> Vec<String> {
    query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (decoded(&pair[..at]), decoded(&pair[at + 1..])),
            None => (decoded(pair), String::new()),
        })
        .filter(|(found, _)| found == name)
        .map(|(_, value)| value)
        .collect()
}

fn decoded(text: &[u8]) -> String {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    String::from_utf8_lossy(&unescape(&spaced)).into_owned()
}

/// Whose a state is has one answer, and nothing but a state of ours names a cookie.
pub fn check_state(state: &str) {
    assert_eq!(is_ours(state), state.starts_with("hw1."));
    let tag = tag(state);
    if !tag.is_empty() {
        assert!(is_ours(state) && state.len() == 47 && state[4..].starts_with(&tag));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(tag.len() == 8 && tag.bytes().all(plain), "{tag:?}");
    }
}

fn check_set_cookie(set_cookie: &str, tag: &str) {
    let start = format!("__Host-headwarden-login-{tag}=;");
    assert!(set_cookie.starts_with(&start), "{set_cookie}");
    assert_eq!(set_cookie.matches("Max-Age").count(), 1, "{set_cookie}");
    assert!(
        set_cookie.contains("Path=/") && set_cookie.contains("Secure"),
        "{set_cookie}"
    );
    assert!(HeaderValue::from_str(set_cookie).is_ok());
}
