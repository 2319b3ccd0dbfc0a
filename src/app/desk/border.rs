//! Who may not ask over TCP: a browser. Any site that a person on this machine looks at can make their
//! browser ask the loopback interface; with a name of its own that leads there (DNS rebinding), it may
//! even read the answer and choose the method.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{HOST, ORIGIN, REFERER};
use http::{HeaderName, Request};

use crate::domain::authority::Authority;

/// Whether this is not the request of an operator's own program: it names a host that could be
/// anybody's, or says what only browsers say.
pub(super) fn is_foreign(request: &Request<Bytes>) -> bool {
    let headers = request.headers();
    let from_a_browser = |name: &HeaderName| {
        let name = name.as_str();
        *name == *ORIGIN.as_str() || *name == *REFERER.as_str() || name.starts_with("sec-")
    };
    if headers.keys().any(from_a_browser) || request.uri().authority().is_some() {
        return true;
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => !is_nobodys_name(host.as_bytes()),
        _ => true,
    }
}

/// An address, or `localhost`: nobody can make these lead elsewhere.
fn is_nobodys_name(host: &[u8]) -> bool {
    Authority::parse(host).is_some_and(|authority| {
        let host = authority.host();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        host == "localhost" || bare.unwrap_or(host).parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, lines: &[(&str, &str)]) -> Request<Bytes> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(Bytes::new()).unwrap()
    }

    #[test]
    fn only_addresses_and_localhost_are_names_that_nobody_else_can_have() {
        for (host, foreign) in [
            ("127.0.0.1:9181", false),
            ("127.0.0.1", false),
            ("10.0.0.5:9181", false),
            ("[::1]:9181", false),
            ("[fd00::1]", false),
            ("localhost:9181", false),
            ("LOCALHOST", false),
            ("evil.example", true),
            ("evil.example:9181", true),
            ("localhost.evil.example", true),
            ("127.0.0.1.nip.io", true),
            ("localhost.", true),
            ("headwarden", true),
            ("0x7f.1", true),
            ("2130706433", true),
            ("evil@127.0.0.1", true),
            ("", true),
        ] {
            let request = request("/sessions", &[("host", host)]);
            assert_eq!(is_foreign(&request), foreign, "{host}");
        }
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert!(is_foreign(&request("/sessions", &twice)));
        assert!(is_foreign(&request("/sessions", &[])));
        let absolute = request("http://127.0.0.1/sessions", &[("host", "127.0.0.1")]);
        assert!(is_foreign(&absolute));
    }

    #[test]
    fn what_only_a_browser_says_is_refused_whatever_it_says() {
        for (name, value) in [
            ("origin", "null"),
            ("origin", "http://127.0.0.1:9181"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "no-cors"),
            ("sec-ch-ua", "\"Chromium\""),
            ("referer", "http://127.0.0.1:9181/"),
        ] {
            let lines = [("host", "127.0.0.1:9181"), (name, value)];
            assert!(is_foreign(&request("/sessions", &lines)), "{name}: {value}");
        }
        let plain = [
            ("host", "127.0.0.1"),
            ("user-agent", "curl/8"),
            ("accept", "*/*"),
        ];
        assert!(!is_foreign(&request("/sessions", &plain)));
    }
}
