//! Which of a client's header fields an upstream gets to see, and what we say in their place.
//!
//! Judged as classes, not as names: a field whose name is not plain letters, digits and hyphens is
//! dropped whatever it says (`X_Forwarded_User` and `X.Forwarded.User` reach some upstreams as
//! `X-Forwarded-User`), and so is everything that claims an identity, an origin, another URL or
//! another method. What an upstream may believe is then set from what we know.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names that are dropped wherever they stand, in lower case.
const DROPPED: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "connection",
    "derp-fast-start",
    "fastly-client-ip",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "true-client-ip",
    "upgrade",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-email",
    "x-groups",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-user",
    "x-username",
];

/// Beginnings of names that are dropped, in lower case.
const DROPPED_PREFIXES: &[&str] = &[
    "remote-",
    "x-accel-",
    "x-auth-",
    "x-authentik-",
    "x-envoy-",
    "x-forwarded-",
    "x-headwarden-",
    "x-original-",
    "x-remote-",
    "x-webauth-",
];

/// Whether a client's field of this name never reaches an upstream.
pub fn is_dropped(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !plain || name.is_empty() {
        return true;
    }
    let name = name.to_ascii_lowercase();
    DROPPED.binary_search(&name.as_str()).is_ok()
        || DROPPED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || name == "x-forwarded"
}

/// The names that `Connection` nominates (RFC 9110 section 7.6.1), in lower case; they end here too.
fn nominated(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .filter_map(|token| std::str::from_utf8(token.trim_ascii()).ok())
        .map(str::to_ascii_lowercase)
        .collect()
}

/// What we say about a request, on every door. Headscale believes `True-Client-IP` before
/// `X-Real-IP` before `X-Forwarded-For`, so each is set.
pub fn truth(
    client: IpAddr,
    authority: &str,
    secure: bool,
    request_id: &str,
) -> [(&'static str, String); 6] {
    let client = client.to_canonical().to_string();
    [
        ("X-Forwarded-For", client.clone()),
        ("X-Real-IP", client.clone()),
        ("True-Client-IP", client),
        (
            "X-Forwarded-Proto",
            if secure { "https" } else { "http" }.to_owned(),
        ),
        ("X-Forwarded-Host", authority.to_owned()),
        ("X-Request-Id", request_id.to_owned()),
    ]
}

/// The fields of a client's request that may go on, as sent. `Host`, framing, `Cookie` and
/// `Authorization` are the caller's business and left out.
pub fn passed(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    const OURS: [&str; 5] = [
        "host",
        "cookie",
        "authorization",
        "content-length",
        "transfer-encoding",
    ];
    let nominated = nominated(headers);
    headers.iter().filter(move |(name, _)| {
        !is_dropped(name.as_str())
            && !OURS.contains(&name.as_str())
            && !nominated.iter().any(|gone| gone == name.as_str())
    })
}

/// A claim as one header value: visible ASCII as it is; everything else, whatever could be taken for
/// a separator, and blanks at the edges (which readers trim), percent-encoded (RFC 3986 section 2.1),
/// so that no value can forge another.
pub fn encode_claim(claim: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const INNER: &AsciiSet = &CONTROLS.add(b'%').add(b',').add(b'|').add(b';').add(b'"');
    let rest = claim.trim_start_matches(' ');
    let inner = rest.trim_end_matches(' ');
    let (before, after) = (claim.len() - rest.len(), rest.len() - inner.len());
    let blanks = |count: usize| "%20".repeat(count);
    format!(
        "{}{}{}",
        blanks(before),
        utf8_percent_encode(inner, INNER),
        blanks(after)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_dropped_names_is_sorted_so_that_it_can_be_searched() {
        assert!(DROPPED.is_sorted());
    }

    #[test]
    fn every_spelling_of_an_identity_or_forwarding_field_is_dropped() {
        for name in [
            "Remote-User",
            "REMOTE-EMAIL",
            "remote-groups",
            "Remote_User",
            "Remote.User",
            "X-Forwarded-For",
            "x-forwarded-host",
            "X_Forwarded_For",
            "X-Forwarded_For",
            "X.Forwarded.For",
            "X!Forwarded!For",
            "X~Real~IP",
            "Forwarded",
            "True-Client-IP",
            "X-Real-IP",
            "CF-Connecting-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "Fastly-Client-IP",
            "X-Original-URL",
            "X-Original-Forwarded-For",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-Method-Override",
            "X-Envoy-Original-Path",
            "X-authentik-username",
            "X-Auth-Request-User",
            "X-Headwarden-Assertion",
            "Via",
            "Derp-Fast-Start",
            "HTTP2-Settings",
            "Upgrade",
            "Connection",
            "TE",
            "Trailer",
            "Proxy-Authorization",
            "HTTP_X_FORWARDED_FOR",
            "Accept ",
            "",
        ] {
            assert!(is_dropped(name), "{name:?} would pass");
        }
    }

    #[test]
    fn ordinary_fields_pass_in_order_and_as_sent() {
        let headers: HeaderMap = [
            ("host", "a"),
            ("accept", "*/*"),
            ("x-tailscale-handshake", "AAAA"),
            ("connection", "keep-alive, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("cookie", "a=b"),
            ("sec-websocket-key", "k"),
        ]
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
        let names: Vec<&str> = passed(&headers).map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["accept", "x-tailscale-handshake", "sec-websocket-key"]
        );
    }

    #[test]
    fn no_claim_can_forge_another_or_end_the_line() {
        for (claim, encoded) in [
            ("admins", "admins"),
            ("a,b", "a%2Cb"),
            ("a|b", "a%7Cb"),
            ("a\r\nX: y", "a%0D%0AX: y"),
            ("100%", "100%25"),
            ("Zoë", "Zo%C3%AB"),
            ("  padded ", "%20%20padded%20"),
            ("two words", "two words"),
            (" ", "%20"),
            ("", ""),
        ] {
            assert_eq!(encode_claim(claim), encoded);
        }
    }
}
