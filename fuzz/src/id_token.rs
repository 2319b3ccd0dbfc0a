//! ID tokens, and logout tokens in their place. Input: how the token is signed, its header, then its
//! payload. The first line is `signed` (with the provider's key, whatever the header says), `other` (with
//! somebody else's key), `public` (HMAC with the public key as its secret), `none` (no signature) or
//! `raw`: then what follows is the whole token. Times in seeds are around [`NOW`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwarden::domain::identity::Issuer;
use headwarden::domain::secret::Secret;
use headwarden::domain::time::Timestamp;
use headwarden::oidc::id_token::{Expected, ExpectedNonce, Verified, accepted_algorithms, verify};
use headwarden::oidc::jwks::KeySet;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Map, Value, json};

use super::support::{NOW, lines};

pub const ISSUER: &str = "https://authentik.company/application/o/headscale/";
pub const CLIENT: &str = "headwarden";
pub const NONCE: &str = "nonce-of-this-sign-in";
const SKEW: f64 = 60.0;

/// The provider's key.
pub fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// Its public half.
pub fn jwk() -> Value {
    json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "alg": "EdDSA",
        "x": URL_SAFE_NO_PAD.encode(key().public_key()),
    })
}

/// The key set of a provider that is changing its keys: of other types, and one without a name.
pub fn keys() -> KeySet {
    let keys = json!({"keys": [
        jwk(),
        {
            "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        },
        {
            "kty": "RSA", "kid": "rs", "use": "sig", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L\
                  6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v\
                  -65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qN\
                  LyrdkpFwVZ9UtjEHoP4GxHo7cSZ8VKN4wfX5mKkuwMxEfDc6jN6ZkFn1sxCV9h7tGdB1eQbCiGGHJGiYzJEr\
                  ZJQ".replace(' ', ""),
        },
    ]});
    KeySet::from_json(keys.as_object().unwrap())
}

/// Header and payload, signed with the provider's key.
pub fn signed(header: &[u8], payload: &[u8]) -> String {
    let signing = signing_input(header, payload);
    let signature = key().sign(signing.as_bytes());
    format!("{signing}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn signing_input(header: &[u8], payload: &[u8]) -> String {
    let encode = |part| URL_SAFE_NO_PAD.encode(part);
    format!("{}.{}", encode(header), encode(payload))
}

/// Header and payload, signed in this way; `None` where there is no such way.
pub fn token(how: &[u8], header: &[u8], payload: &[u8]) -> Option<String> {
    let signing = signing_input(header, payload);
    let with = |signature: &[u8]| format!("{signing}.{}", URL_SAFE_NO_PAD.encode(signature));
    Some(match how {
        b"signed" => signed(header, payload),
        b"other" => {
            let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
            with(other.sign(signing.as_bytes()).as_ref())
        }
        b"public" => {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, key().public_key().as_ref());
            with(hmac::sign(&secret, signing.as_bytes()).as_ref())
        }
        b"none" => with(b""),
        _ => return None,
    })
}

/// Asks the verifier about `raw`.
pub fn ask(raw: &str, keys: &KeySet) -> Option<Verified> {
    let algorithms = accepted_algorithms(false);
    let access_token = Secret::new("access-token-of-this-answer".to_owned());
    let issuer = Issuer::new(ISSUER);
    let expected = Expected {
        issuer: &issuer,
        client_id: CLIENT,
        hs256_secret: None,
        algorithms: &algorithms,
        nonce: ExpectedNonce::Equal(NONCE),
        access_token: &access_token,
        now: Timestamp::from_unix(NOW),
    };
    match verify(raw, keys, &expected) {
        Ok(verified) => Some(verified),
        Err(fault) => {
            let line = fault.to_string();
            assert!(line.len() < 4096, "a fault of {} bytes", line.len());
            None
        }
    }
}

pub fn run(data: &[u8]) {
    thread_local! {
        static KEYS: KeySet = keys();
    }
    let Some(([how, header], payload)) = lines::<2>(data) else {
        return;
    };
    let raw = if how == b"raw" {
        match std::str::from_utf8(&[header, payload].concat()) {
            Ok(raw) => raw.trim().to_owned(),
            Err(_) => return,
        }
    } else {
        match token(how, header, payload) {
            Some(token) => token,
            None => return,
        }
    };
    if let Some(verified) = KEYS.with(|keys| ask(&raw, keys)) {
        assert_eq!(
            how, b"signed",
            "a token verified that the provider never signed"
        );
        check_verified(header, payload, &verified);
    }
}

/// Steps 2 to 11 of OpenID Connect Core section 3.1.3.7, written down once more.
pub fn check_verified(header: &[u8], payload: &[u8], verified: &Verified) {
    let header: Map<String, Value> = serde_json::from_slice(header).expect("a header of JSON");
    assert_eq!(header.get("alg"), Some(&json!("EdDSA")), "{header:?}");
    let kind = header
        .get("typ")
        .and_then(Value::as_str)
        .unwrap_or("JWT")
        .to_ascii_lowercase();
    // RFC 7515 section 4.1.9: `application/` may be left out.
    let jwt = matches!(kind.as_str(), "jwt" | "application/jwt");
    assert!(jwt, "a token of type {kind} was taken for an ID token");
    assert!(!header.contains_key("crit"), "{header:?}");
    let claims: Map<String, Value> = serde_json::from_slice(payload).expect("claims of JSON");
    assert_eq!(claims.get("iss"), Some(&json!(ISSUER)), "{claims:?}");
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    assert!(audiences.contains(&CLIENT), "{claims:?}");
    let party = claims.get("azp").and_then(Value::as_str);
    assert!(
        party == Some(CLIENT) || (party.is_none() && audiences.len() == 1),
        "{claims:?}"
    );
    assert_eq!(claims.get("nonce"), Some(&json!(NONCE)), "{claims:?}");
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    assert!(
        !subject.is_empty() && verified.subject.as_str() == subject,
        "{claims:?}"
    );
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact")]
    let now = NOW as f64;
    let date = |name: &str| claims.get(name).and_then(Value::as_f64);
    assert!(
        date("exp").is_some_and(|exp| exp + SKEW + 1.0 >= now),
        "{claims:?}"
    );
    assert!(
        date("iat").is_some_and(|iat| iat <= now + SKEW + 1.0),
        "{claims:?}"
    );
    for name in ["nbf", "auth_time"] {
        assert!(
            date(name).is_none_or(|at| at <= now + SKEW + 1.0),
            "{name}: {claims:?}"
        );
    }
}
