//! What passes to an upstream. Input: header fields, one a line, and `Connection` among them as
//! the others.

use headwarden::proxy::headers::{Reserved, encode_claim, is_dropped, passed};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::support::unescape;

pub fn run(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            check_claim(line);
            continue;
        };
        let value = line[colon + 1..].trim_ascii();
        check_claim(value);
        check_dropped(&line[..colon]);
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    check_passed(&headers);
}

/// What upstreams make of a name: WSGI, CGI, PHP and some servers cannot tell these apart.
fn folded(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_prefix("http_").unwrap_or(&lower);
    bare.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

/// Names by which an upstream learns who asks, from where, or for what, written down once more.
pub fn is_believed(name: &str) -> bool {
    let name = folded(name);
    let whole = [
        "cf-connecting-ip",
        "fastly-client-ip",
        "forwarded",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forwarded",
        "x-http-method-override",
        "x-method-override",
        "x-real-ip",
        "x-rewrite-url",
        "connection",
        "derp-fast-start",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "host",
        "cookie",
        "authorization",
        "proxy-authorization",
    ];
    let families = [
        "remote-",
        "x-auth-request-",
        "x-authentik-",
        "x-envoy-original-",
        "x-forwarded-",
        "x-headwarden-",
        "x-original-",
        "x-remote-",
        "x-webauth-",
    ];
    whole.contains(&name.as_str()) || families.iter().any(|family| name.starts_with(family))
}

pub fn check_passed(headers: &HeaderMap) {
    let nominated: Vec<String> = headers
        .get_all("connection")
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|token| String::from_utf8_lossy(token.trim_ascii()).to_ascii_lowercase())
        .collect();
    let none = Reserved::default();
    for (name, value) in passed(headers, &none) {
        assert!(!is_believed(name.as_str()), "{name} passed");
        assert!(
            !nominated.contains(&name.as_str().to_owned()),
            "{name} passed although Connection nominates it"
        );
        assert!(
            headers.get_all(name).iter().any(|sent| sent == value),
            "{name} was changed"
        );
    }
    // What nothing speaks against passes, all of it: dropping everything would be safe, and useless.
    let ours = |name: &&HeaderName| {
        matches!(
            name.as_str(),
            "accept" | "user-agent" | "origin" | "sec-websocket-key" | "sec-websocket-protocol"
        )
    };
    for name in headers.keys().filter(ours) {
        if !nominated.contains(&name.as_str().to_owned()) {
            let sent = headers.get_all(name).iter().count();
            let kept = passed(headers, &none)
                .filter(|(found, _)| *found == name)
                .count();
            assert_eq!(kept, sent, "{name} was lost");
        }
    }
}

/// A name that some upstream could read as one of those is dropped, in whatever spelling.
fn check_dropped(name: &[u8]) {
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    let apart = [
        "host",
        "cookie",
        "authorization",
        "content-length",
        "transfer-encoding",
    ];
    if is_believed(name) && !apart.contains(&folded(name).as_str()) {
        assert!(is_dropped(name), "{name} passes");
    }
    let upper = name.to_ascii_uppercase();
    assert_eq!(is_dropped(name), is_dropped(&upper), "{name}");
}

/// A claim in a header is one line, has no separator, and is read back as it was.
pub fn check_claim(claim: &[u8]) {
    let Ok(claim) = std::str::from_utf8(claim) else {
        return;
    };
    let encoded = encode_claim(claim);
    assert!(
        encoded.bytes().all(|b| (b' '..=b'~').contains(&b)),
        "{encoded:?}"
    );
    assert!(!encoded.contains([',', '|', ';', '"']), "{encoded:?}");
    assert_eq!(encoded.trim(), encoded, "a reader trims {encoded:?}");
    assert_eq!(
        unescape(encoded.as_bytes()),
        claim.as_bytes(),
        "{encoded:?}"
    );
    assert!(HeaderValue::from_str(&encoded).is_ok());
}
