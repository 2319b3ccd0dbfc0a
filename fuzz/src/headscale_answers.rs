//! What Headscale answers. Input: `version` and the body of `GET /version`, or `redirect` and the
//! `Location` of its redirect to the issuer.

use headwarden::domain::door::AuthId;
use headwarden::domain::leg::{Leg, LegKind};
use headwarden::domain::time::Timestamp;
use headwarden::headscale::{Support, Version, parse_authorize_redirect};
use serde_json::Value;
use url::Url;

use super::support::{NOW, lines};

const AUTHORIZE: &str = "https://headscale.company/.headwarden/authorize";

pub fn run(data: &[u8]) {
    match lines::<1>(data) {
        Some(([b"version"], body)) => {
            let version = Version::parse(body);
            check_version(version);
            check_said(body, version);
        }
        Some(([b"redirect"], location)) => {
            let Ok(location) = std::str::from_utf8(location) else {
                return;
            };
            // What no field has: a browser would leave it out, we would not.
            if location.contains(char::is_control) || location.trim() != location {
                return;
            }
            let id = AuthId::parse("hskey-authreq-0123456789abcdef01234567").unwrap();
            let kind = LegKind::Register(id);
            let now = Timestamp::from_unix(NOW);
            if let Ok(leg) = parse_authorize_redirect(location, AUTHORIZE, kind, now) {
                check_leg(location, &leg);
            }
        }
        _ => {}
    }
}

/// Only a release of which we know that it asks for a confirmation is trusted to do so.
pub fn check_version(version: Version) {
    let shown = version.to_string();
    assert!(shown.len() < 64 && shown.is_ascii(), "{shown}");
    match version {
        Version::Unknown => {
            assert!(!version.confirms_registration());
            assert_eq!(version.support(), Support::Unknown);
        }
        Version::Known {
            major,
            minor,
            before,
        } => {
            let new = major > 0 || minor > 29 || (minor == 29 && !before);
            assert_eq!(version.confirms_registration(), new, "{shown}");
            let old = major == 0 && minor < 26;
            assert_eq!(version.support() == Support::TooOld, old, "{shown}");
            assert!((major, minor) != (0, 0), "{shown}");
        }
    }
}

/// A version is what the answer says, and a build from before a release is not that release.
fn check_said(body: &[u8], version: Version) {
    let Version::Known { major, minor, .. } = version else {
        return;
    };
    // What nobody looks at need not be text.
    let Ok(body) = serde_json::from_str::<Value>(&String::from_utf8_lossy(body)) else {
        return;
    };
    let said = body["version"].as_str().expect("a version that is no text");
    let said = said.strip_prefix('v').unwrap_or(said);
    let number = |text: &str| text.trim_start_matches('+').parse::<u32>().ok();
    let mut numbers = said.split(['.', '-', '+']).map(number);
    if !said.contains('+') {
        assert_eq!(numbers.next(), Some(Some(major)), "{said}");
        assert_eq!(numbers.next(), Some(Some(minor)), "{said}");
    }
    let before = said.starts_with("0.29.0-") || said.starts_with("0.29-");
    assert!(
        !before || !version.confirms_registration(),
        "{said} was taken for 0.29"
    );
}

pub fn check_leg(location: &str, leg: &Leg) {
    let url = Url::parse(location).expect("a redirect that is no address");
    let expected = Url::parse(AUTHORIZE).unwrap();
    assert_eq!(url.origin(), expected.origin(), "{location}");
    assert_eq!(url.path(), expected.path(), "{location}");
    for name in ["state", "nonce", "redirect_uri", "scope"] {
        let found: Vec<String> = url
            .query_pairs()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
            .collect();
        let kept = match name {
            "state" => &leg.request.state,
            "nonce" => &leg.request.nonce,
            "scope" => &leg.request.scope,
            _ => &leg.request.redirect_uri,
        };
        assert!(!kept.is_empty(), "{location}");
        assert_eq!(found, [kept.as_str()], "{name} of {location}");
    }
}
