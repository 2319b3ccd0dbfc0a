//! The provider's public keys (RFC 7517): which entries of a key set are kept, and how often an
//! unknown key may cause another fetch.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKeySet;
use openidconnect::core::CoreJsonWebKey;
use serde_json::{Map, Value};

use super::http::HttpError;
use crate::domain::time::Timestamp;

/// The shortest time between two fetches that were caused by a token with an unknown key, so that
/// forged tokens cannot make us hammer the provider.
pub const COOL_DOWN: Duration = Duration::from_secs(30);

/// The same after a fetch that failed: long enough for no storm, and short for the person who waits for
/// the provider to come back.
pub const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The shortest RSA modulus that counts, in bits (RFC 7518 section 3.3). Shorter ones can be factored,
/// and then anybody signs.
const SHORTEST_RSA: usize = 2048;

/// The usable keys of one key set.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: JsonWebKeySet<CoreJsonWebKey>,
    skipped: usize,
}

impl KeySet {
    /// Takes the usable keys of a JWK set. A set without `keys` is empty, not broken: authentik
    /// answers `{}` while a provider has no signing key. An entry that is malformed, symmetric, too
    /// weak or of an unknown type is skipped, as RFC 7517 section 5 asks.
    pub fn from_json(document: &Map<String, Value>) -> Self {
        let entries = document
            .get("keys")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let keys: Vec<CoreJsonWebKey> = entries.iter().filter_map(usable_key).collect();
        let skipped = entries.len().saturating_sub(keys.len());
        Self {
            keys: JsonWebKeySet::new(keys),
            skipped,
        }
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.keys.keys().len()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries were not usable.
    pub const fn skipped(&self) -> usize {
        self.skipped
    }

    pub(super) const fn keys(&self) -> &JsonWebKeySet<CoreJsonWebKey> {
        &self.keys
    }
}

/// Reads a key set. `keys` must be an array where it is present.
pub(super) fn parse_keys(document: &Map<String, Value>) -> Result<KeySet, HttpError> {
    if document.get("keys").is_some_and(|keys| !keys.is_array()) {
        return Err(HttpError::NotJson(
            "a key set whose keys are not an array".to_owned(),
        ));
    }
    Ok(KeySet::from_json(document))
}

/// The key of an entry, if its type is known and the members that the type needs are there (RFC
/// 7518 section 6, RFC 8037 section 2). A half key must not count: it would make a token without
/// `kid` ambiguous.
fn usable_key(entry: &Value) -> Option<CoreJsonWebKey> {
    let needed: &[&str] = match entry.get("kty")?.as_str()? {
        "RSA" => &["n", "e"],
        "EC" => &["crv", "x", "y"],
        "OKP" => &["crv", "x"],
        _ => return None,
    };
    let present = |name: &&str| {
        entry
            .get(*name)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    if !needed.iter().all(present) {
        return None;
    }
    if entry.get("n").is_some() && !is_strong_rsa(entry) {
        return None;
    }
    serde_json::from_value(entry.clone()).ok()
}

/// Whether an RSA key is long enough, with an exponent that does something: with 1, a signature is
/// the hash it signs.
fn is_strong_rsa(entry: &Value) -> bool {
    let number = |name: &str| {
        let text = entry.get(name)?.as_str()?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(bytes.split_off(zeros))
    };
    let bits = |number: &[u8]| {
        let leading = number.first().map_or(0, |first| first.leading_zeros());
        (number.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(0))
    };
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    let (Some(n), Some(e)) = (number("n"), number("e")) else {
        return false;
    };
    bits(&n) >= SHORTEST_RSA && odd(&n) && bits(&e) > 1 && odd(&e)
}

/// Whether another fetch has to wait: `last` is when the previous one was, and how long it holds. A
/// clock that was set back does not block fetches until it has caught up.
pub(super) fn is_cooling_down(last: Option<(Timestamp, Duration)>, now: Timestamp) -> bool {
    last.is_some_and(|(last, pause)| last <= now && now.since(last) < pause)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A modulus of so many bits.
    fn n(bits: usize) -> String {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] = 0xff >> ((8 - bits % 8) % 8);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn set(document: &Value) -> KeySet {
        KeySet::from_json(document.as_object().unwrap())
    }

    #[test]
    fn a_set_without_keys_is_empty() {
        assert!(set(&json!({})).is_empty());
        assert!(set(&json!({ "keys": [] })).is_empty());
    }

    #[test]
    fn one_malformed_key_does_not_spoil_the_others() {
        let good = json!({ "kty": "RSA", "n": n(2048), "e": "AQAB", "kid": "good" });
        for bad in [
            json!({ "kty": "RSA", "e": "AQAB", "kid": "no modulus" }),
            json!({ "kty": "RSA", "n": "", "e": "AQAB" }),
            json!({ "kty": "RSA", "n": 5, "e": "AQAB" }),
            json!({ "kty": "RSA", "n": n(2048), "e": "AQAB", "kid": 7 }),
            json!({ "kty": "RSA", "n": "%%%", "e": "AQAB" }),
            json!({ "kty": "oct", "k": "c2VjcmV0", "n": n(2048), "e": "AQAB" }),
            json!({ "kty": "EC", "crv": "P-256", "x": "AA" }),
            json!({ "kty": "OKP", "x": "AA" }),
            json!({ "kty": "oct", "k": "c2VjcmV0" }),
            json!({ "kty": "ML-DSA" }),
            json!({ "n": n(2048) }),
            json!([good]),
            json!("text"),
            json!(null),
        ] {
            let set = set(&json!({ "keys": [bad.clone(), good.clone()] }));
            assert_eq!((set.len(), set.skipped()), (1, 1), "{bad}");
        }
    }

    #[test]
    fn a_weak_rsa_key_is_no_key() {
        // 3, 65537, 2^32 + 1; then 0, 1, 2, 65536, 1 behind zeros.
        let (good, bad) = (
            ["Aw", "AQAB", "AQAAAAE"],
            ["AA", "AQ", "Ag", "AQAA", "AAAB"],
        );
        let taken = |n: &str, e: &str| {
            let set = set(&json!({ "keys": [{ "kty": "RSA", "n": n, "e": e }] }));
            set.len() == 1
        };
        for bits in [512, 1024, 2040, 2047] {
            assert!(!taken(&n(bits), "AQAB"), "{bits}");
        }
        for bits in [2048, 3072, 4096] {
            assert!(taken(&n(bits), "AQAB"), "{bits}");
        }
        for e in good {
            assert!(taken(&n(2048), e), "{e}");
        }
        for e in bad {
            assert!(!taken(&n(2048), e), "{e}");
        }
        let padded = URL_SAFE_NO_PAD.encode([vec![0; 200], vec![0xff; 64]].concat());
        assert!(!taken(&padded, "AQAB"), "512 bits behind zeros");
        let even = URL_SAFE_NO_PAD.encode([0xfe; 256]);
        assert!(!taken(&even, "AQAB"));
    }

    #[test]
    fn a_fetch_waits_for_the_cool_down_only() {
        let at = Timestamp::from_unix;
        for (last, now, cooling) in [
            (None, 1000, false),
            (Some(1000), 1000, true),
            (Some(1000), 1029, true),
            (Some(1000), 1030, false),
            (Some(1000), 900, false),
        ] {
            assert_eq!(
                is_cooling_down(last.map(|last| (at(last), COOL_DOWN)), at(now)),
                cooling,
                "{last:?} {now}"
            );
        }
        for (now, cooling) in [(1004, true), (1005, false)] {
            let last = Some((at(1000), AFTER_FAILURE));
            assert_eq!(is_cooling_down(last, at(now)), cooling, "{now}");
        }
    }
}
