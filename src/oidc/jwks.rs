//! The provider's public keys (RFC 7517): which entries of a key set are kept, which of them a signature
//! is judged by, and how often an unknown key may cause another fetch.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Named};
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
/// What ring verifies with, exponents of at most 33 bits.
const LONGEST_RSA: usize = 8192;

/// The usable keys of one key set.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: usize,
}

/// A public key, and what its owner wants it used for.
#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    /// `use`: anything but `sig` is for something else (section 4.2).
    usage: Option<String>,
    /// `alg`: the only algorithm it is for (section 4.4).
    alg: Option<Named>,
    public: Public,
}

/// What of a key is needed to verify with it.
#[derive(Clone, Debug)]
enum Public {
    /// RFC 7518 section 6.3: modulus and exponent, with no zeros before them.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Section 6.2: a point, uncompressed (SEC 1 section 2.3.3).
    P256(Vec<u8>),
    P384(Vec<u8>),
    /// RFC 8037 section 2.
    Ed25519(Vec<u8>),
}

/// Why no key of the set verified something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// None has that name and is for that algorithm.
    Unknown,
    /// Several are: it was not said which.
    Ambiguous,
    /// The one that is has another curve than the algorithm.
    Unusable,
    /// It did not sign this.
    Wrong,
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
        let keys: Vec<Key> = entries.iter().filter_map(Key::parse).collect();
        let skipped = entries.len().saturating_sub(keys.len());
        Self { keys, skipped }
    }

    /// How many keys are usable.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is usable.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries were not usable.
    pub const fn skipped(&self) -> usize {
        self.skipped
    }

    /// Whether the key of the set that `kid` names signed this, by `algorithm`. Without a `kid`, one key
    /// only must be for it (OpenID Connect Core section 10.1). What the token says of itself chooses the
    /// key; what the key is for decides whether it may be chosen.
    pub(super) fn verify(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyFault> {
        let mut eligible = self.keys.iter().filter(|key| {
            kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)) && key.is_for(algorithm)
        });
        let key = eligible.next().ok_or(KeyFault::Unknown)?;
        if eligible.next().is_some() {
            return Err(KeyFault::Ambiguous);
        }
        key.public.verify(algorithm, signed, signature)
    }
}

impl Key {
    /// The key of an entry, if its type is known and the members that the type needs are there (RFC
    /// 7518 section 6, RFC 8037 section 2). A half key must not count: it would make a token without
    /// `kid` ambiguous.
    fn parse(entry: &Value) -> Option<Self> {
        let text = |name: &str| match entry.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text.clone())),
            Some(_) => None,
        };
        let alg = match text("alg")? {
            Some(name) => Some(Named::parse(&name)?),
            None => None,
        };
        Some(Self {
            kid: text("kid")?,
            usage: text("use")?,
            alg,
            public: Public::parse(entry)?,
        })
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.alg.is_none_or(|alg| alg == Named::Accepted(algorithm))
            && algorithm.key_type() == Some(self.public.key_type())
    }
}

impl Public {
    fn parse(entry: &Value) -> Option<Self> {
        let bytes = |name: &str| {
            let text = entry.get(name)?.as_str()?;
            URL_SAFE_NO_PAD.decode(text).ok()
        };
        let curve = || entry.get("crv")?.as_str();
        match entry.get("kty")?.as_str()? {
            "RSA" => {
                let [n, e] = [bytes("n")?, bytes("e")?].map(without_zeros);
                is_strong_rsa(&n, &e).then_some(Self::Rsa { n, e })
            }
            "EC" => {
                let point = |length| point(&bytes("x")?, &bytes("y")?, length);
                match curve()? {
                    "P-256" => point(32).map(Self::P256),
                    "P-384" => point(48).map(Self::P384),
                    _ => None,
                }
            }
            "OKP" if curve()? == "Ed25519" => {
                bytes("x").filter(|x| x.len() == 32).map(Self::Ed25519)
            }
            _ => None,
        }
    }

    const fn key_type(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RSA",
            Self::P256(_) | Self::P384(_) => "EC",
            Self::Ed25519(_) => "OKP",
        }
    }

    fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyFault> {
        let by = |how: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key).verify(signed, signature)
        };
        let verdict = match (algorithm, self) {
            (Algorithm::Rs256, Self::Rsa { n, e }) => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                signed,
                signature,
            ),
            (Algorithm::Es256, Self::P256(point)) => by(&ECDSA_P256_SHA256_FIXED, point),
            (Algorithm::Es384, Self::P384(point)) => by(&ECDSA_P384_SHA384_FIXED, point),
            (Algorithm::EdDsa, Self::Ed25519(x)) => by(&ED25519, x),
            _ => return Err(KeyFault::Unusable),
        };
        verdict.map_err(|_| KeyFault::Wrong)
    }
}

/// RFC 7518 section 6.2.1.2: each coordinate has the length of the field.
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}

/// Section 6.3.1.1 wants none; there are implementations that write one.
fn without_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.split_off(zeros)
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

/// Whether an RSA key is long enough, with an exponent that does something: with 1, a signature is
/// the hash it signs. Both without zeros before them.
fn is_strong_rsa(n: &[u8], e: &[u8]) -> bool {
    let bits = |number: &[u8]| {
        let leading = number.first().map_or(0, |first| first.leading_zeros());
        (number.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(0))
    };
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    (SHORTEST_RSA..=LONGEST_RSA).contains(&bits(n))
        && odd(n)
        && (2..=33).contains(&bits(e))
        && odd(e)
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
        // 3, 65537, 2^32 + 1; then 0, 1, 2, 65536, 1 behind zeros, 2^33 + 1.
        let (good, bad) = (
            ["Aw", "AQAB", "AQAAAAE"],
            ["AA", "AQ", "Ag", "AQAA", "AAAB", "AgAAAAE"],
        );
        let taken = |n: &str, e: &str| {
            let set = set(&json!({ "keys": [{ "kty": "RSA", "n": n, "e": e }] }));
            set.len() == 1
        };
        for bits in [512, 1024, 2040, 2047, 8200] {
            assert!(!taken(&n(bits), "AQAB"), "{bits}");
        }
        for bits in [2048, 3072, 4096, 8192] {
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
