//! What an answer from behind a session says to whoever stands between us and the browser.
//!
//! A cache in front (a CDN keeps `.js` and `.css` by default, whatever cookies a request brought)
//! must not hand one person's page to the next one. Web UIs know nothing of that: they have no
//! sign-in of their own. The browser's own cache is left to them.

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;

use crate::domain::door::Door;

/// Fields that a proxy in front of us would take for orders: to serve one of its own files, or to
/// keep an answer whatever `Cache-Control` says (RFC 9213). And the one that a browser takes for an
/// order about the whole origin: to throw cookies away, ours and everybody's.
const ORDERS: &[&str] = &[
    "cdn-cache-control",
    "clear-site-data",
    "surrogate-control",
    "x-lighttpd-send-file",
    "x-sendfile",
];

/// Keeps what came through `door` out of shared caches, if it is a door that asks who is there and no
/// rule opened the page to everybody (`public`); and takes the orders out, whichever it is. Gives the
/// `Cache-Control` that has to stand in place of the upstream's, where that is not right.
#[must_use = "without it shared caches may keep the answer"]
pub fn keep_out(response: &mut ResponseHeader, door: &Door, public: bool) -> Option<HeaderValue> {
    let for_anybody = public
        || matches!(
            door,
            Door::Open | Door::Verify | Door::NoContent | Door::Machine(_)
        );
    for order in orders(&response.headers) {
        response.remove_header(&order);
    }
    if for_anybody || response.status == StatusCode::SWITCHING_PROTOCOLS {
        return None;
    }
    private(&response.headers)
}

/// The `Cache-Control` that keeps an answer out of shared caches (RFC 9111 section 5.2.2.7): what the
/// upstream wrote, without what speaks to shared caches, and `private`. `None` where it is right.
fn private(headers: &HeaderMap) -> Option<HeaderValue> {
    if !headers.contains_key(CACHE_CONTROL) {
        return Some(HeaderValue::from_static("private"));
    }
    let all: Vec<&str> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        // What is not text is not understood by a cache either.
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
        .collect();
    let name = |directive: &str| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        name.to_ascii_lowercase()
    };
    let is = |directive: &&str, wanted: &[&str]| wanted.contains(&name(directive).as_str());
    let shared = ["public", "s-maxage", "proxy-revalidate"];
    let closed = |directive: &&str| {
        is(directive, &["no-store"]) || directive.eq_ignore_ascii_case("private")
    };
    // `private="set-cookie"` keeps single fields back and lets the rest be shared; a list within
    // quotes is not taken apart here.
    if all.iter().any(|directive| directive.contains('"')) {
        return Some(HeaderValue::from_static("no-store"));
    }
    if all.iter().any(closed) && !all.iter().any(|directive| is(directive, &shared)) {
        return None;
    }
    let mut kept: Vec<&str> = all
        .into_iter()
        .filter(|directive| !is(directive, &shared) && !is(directive, &["private"]))
        .collect();
    kept.push("private");
    Some(HeaderValue::from_str(&kept.join(", ")).unwrap_or(HeaderValue::from_static("no-store")))
}

/// The names of an answer's fields that are orders to a proxy in front of us. `X-Accel-Buffering`
/// is left: it only asks not to wait, for events that are pushed.
fn orders(headers: &HeaderMap) -> Vec<HeaderName> {
    let is_order = |name: &&HeaderName| {
        let name = name.as_str();
        ORDERS.contains(&name)
            || name.ends_with("-cdn-cache-control")
            || (name.starts_with("x-accel-") && name != "x-accel-buffering")
    };
    headers.keys().filter(is_order).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn no_shared_cache_may_keep_an_answer_and_the_browsers_own_rules_stay() {
        for (written, meant) in [
            (&[][..], Some("private")),
            (&[""], Some("private")),
            (&["max-age=60"], Some("max-age=60, private")),
            (
                &["public, max-age=31536000, immutable"],
                Some("max-age=31536000, immutable, private"),
            ),
            (
                &["Public,S-MaxAge=9", "must-revalidate"],
                Some("must-revalidate, private"),
            ),
            (&["no-cache"], Some("no-cache, private")),
            (&["private"], None),
            (&["Private, max-age=1"], None),
            (&["no-store"], None),
            (&["no-store, public"], Some("no-store, private")),
            (&["private", "s-maxage=5"], Some("private")),
            (&["private=\"set-cookie\""], Some("no-store")),
            (&["private=\"set-cookie, x\", max-age=5"], Some("no-store")),
            (&["no-store, no-cache=\"set-cookie\""], Some("no-store")),
        ] {
            let fields: Vec<_> = written.iter().map(|v| ("cache-control", *v)).collect();
            let made = private(&answer(&fields));
            let made = made.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(made, meant, "{written:?}");
        }
    }

    #[test]
    fn orders_to_a_proxy_in_front_are_found_and_nothing_else() {
        let headers = answer(&[
            ("x-accel-redirect", "/internal/secret"),
            ("x-accel-buffering", "no"),
            ("x-accel-expires", "3600"),
            ("surrogate-control", "max-age=3600"),
            ("cdn-cache-control", "public"),
            ("cloudflare-cdn-cache-control", "public"),
            ("x-sendfile", "/etc/passwd"),
            ("x-lighttpd-send-file", "/etc/passwd"),
            ("clear-site-data", "\"cookies\""),
            ("x-powered-by", "a web UI"),
            ("content-type", "text/html"),
        ]);
        let mut found = orders(&headers);
        found.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let names: Vec<&str> = found.iter().map(HeaderName::as_str).collect();
        assert_eq!(
            names,
            [
                "cdn-cache-control",
                "clear-site-data",
                "cloudflare-cdn-cache-control",
                "surrogate-control",
                "x-accel-expires",
                "x-accel-redirect",
                "x-lighttpd-send-file",
                "x-sendfile",
            ]
        );
    }
}
