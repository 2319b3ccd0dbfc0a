//! Where a person goes after signing in. Input: the target as it was asked for.

use headwarden::domain::return_to::ReturnTo;
use http::HeaderValue;
use url::Url;

use super::support::unescape;

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for text in decodings(&text) {
        let stored = serde_json::from_value::<ReturnTo>(text.as_str().into()).ok();
        let parsed = ReturnTo::parse(&text);
        assert_eq!(
            parsed, stored,
            "{text:?} is judged otherwise when it is read back"
        );
        if let Some(accepted) = parsed {
            assert_eq!(accepted.as_str(), text);
            check_accepted(&text);
        }
    }
}

/// `text` itself, decoded once and twice, and with `+` for a blank.
fn decodings(text: &str) -> Vec<String> {
    let decode = |text: &str| String::from_utf8_lossy(&unescape(text.as_bytes())).into_owned();
    let once = decode(text);
    let form = decode(&text.replace('+', " "));
    vec![text.to_owned(), decode(&once), form, once]
}

/// Every reading of an accepted target stays on this origin, as a browser resolves it.
pub fn check_accepted(text: &str) {
    let base = Url::parse("https://headscale.company/oidc/callback").unwrap();
    for reading in decodings(text) {
        let url = base
            .join(&reading)
            .unwrap_or_else(|why| panic!("{text:?} read as {reading:?}: {why}"));
        assert_eq!(url.origin(), base.origin(), "{text:?} read as {reading:?}");
        assert!(
            url.username().is_empty() && url.password().is_none(),
            "{text:?}"
        );
        assert!(
            reading.starts_with('/') && !reading.starts_with("//") && !reading.starts_with("/\\"),
            "{text:?} read as {reading:?}"
        );
    }
    let value = HeaderValue::from_str(text).expect("a target that breaks the Location field");
    assert!(value.as_bytes().iter().all(u8::is_ascii_graphic));
    let once = unescape(text.as_bytes());
    assert!(
        !once.contains(&b'\r') && !once.contains(&b'\n'),
        "{text:?} has a line end"
    );
    let path = text.split('?').next().unwrap();
    for loops in ["/oidc/callback", "/.headwarden"] {
        let below = path == loops || path.starts_with(&format!("{loops}/"));
        assert!(!below, "{text:?} leads back to us");
    }
    assert!(text.len() <= 2048);
}
