//! Logout tokens, and ID tokens in their place. Input as that of [`super::id_token`]: how the token is
//! signed, its header, then its payload.

use std::cell::OnceCell;

use headwarden::domain::departure::Departure;
use headwarden::domain::identity::Issuer;
use headwarden::domain::time::Timestamp;
use headwarden::oidc::id_token::{Trust, accepted_algorithms};
use headwarden::oidc::jwks::KeySet;
use headwarden::oidc::logout_token::{LogoutToken, verify};
use serde_json::{Map, Value, json};

use super::id_token::{CLIENT, ISSUER, keys, token};
use super::support::{NOW, lines};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const SKEW: f64 = 60.0;
const HOUR: f64 = 3600.0;

fn ask(raw: &str, keys: &KeySet) -> Option<LogoutToken> {
    let algorithms = accepted_algorithms(false);
    let issuer = Issuer::new(ISSUER);
    let trust = Trust {
        issuer: &issuer,
        client_id: CLIENT,
        hs256_secret: None,
        algorithms: &algorithms,
        now: Timestamp::from_unix(NOW),
    };
    match verify(raw, keys, &trust) {
        Ok(token) => Some(token),
        Err(fault) => {
            let line = fault.to_string();
            assert!(line.len() < 4096, "a fault of {} bytes", line.len());
            None
        }
    }
}

pub fn run(data: &[u8]) {
    thread_local! {
        static KEYS: OnceCell<KeySet> = const { OnceCell::new() };
    }
    let Some(([how, header], payload)) = lines::<2>(data) else {
        return;
    };
    let Some(raw) = token(how, header, payload) else {
        return;
    };
    if let Some(told) = KEYS.with(|cell| ask(&raw, cell.get_or_init(keys))) {
        assert_eq!(
            how, b"signed",
            "a token verified that the provider never signed"
        );
        check_told(header, payload, &told);
    }
}

/// OpenID Connect Back-Channel Logout sections 2.4 and 2.6, written down once more.
pub fn check_told(header: &[u8], payload: &[u8], told: &LogoutToken) {
    let header: Map<String, Value> = serde_json::from_slice(header).expect("a header of JSON");
    assert_eq!(header.get("alg"), Some(&json!("EdDSA")), "{header:?}");
    let kind = header
        .get("typ")
        .and_then(Value::as_str)
        .unwrap_or("JWT")
        .to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    assert!(matches!(kind, "jwt" | "logout+jwt"), "{header:?}");
    assert!(!header.contains_key("crit"), "{header:?}");
    let claims: Map<String, Value> = serde_json::from_slice(payload).expect("claims of JSON");
    assert_eq!(claims.get("iss"), Some(&json!(ISSUER)), "{claims:?}");
    let ours = match claims.get("aud") {
        Some(Value::Array(all)) => all.contains(&json!(CLIENT)),
        Some(one) => *one == json!(CLIENT),
        None => false,
    };
    assert!(ours, "{claims:?}");
    assert!(!claims.contains_key("nonce"), "{claims:?}");
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    assert!(event.is_some_and(Value::is_object), "{claims:?}");
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let (subject, sid) = match &told.departure {
        Departure::Person(subject) => (Some(subject.as_str()), None),
        Departure::Session(sid) => (None, Some(sid.as_str())),
        Departure::SessionOf(sid, subject) => (Some(subject.as_str()), Some(sid.as_str())),
    };
    assert_eq!((text("sub"), text("sid")), (subject, sid), "{claims:?}");
    assert!(subject != Some("") && sid != Some(""), "{claims:?}");
    let jti = text("jti").unwrap_or_default();
    assert!(!jti.is_empty() && told.used_as.ends_with(jti), "{claims:?}");
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact")]
    let now = NOW as f64;
    let date = |name: &str| claims.get(name).and_then(Value::as_f64);
    let (exp, iat) = (date("exp").expect("an exp"), date("iat").expect("an iat"));
    assert!(exp + SKEW + 1.0 >= now, "{claims:?}");
    assert!(iat <= now + SKEW + 1.0, "{claims:?}");
    assert!(iat + HOUR + SKEW + 1.0 >= now, "{claims:?}");
}
