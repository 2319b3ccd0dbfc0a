//! Key sets. Input: the algorithm that a token claims, the `kid` it claims (empty for none), how many
//! bytes its signature has, then the set.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwarden::oidc::jwks::KeySet;
use serde_json::{Map, Value, json};

use super::id_token::{self, CLIENT, ISSUER, NONCE, jwk};
use super::support::{NOW, text_lines};

pub fn run(data: &[u8]) {
    let Some(([alg, kid, length], document)) = text_lines::<3>(data) else {
        return;
    };
    let Ok(document) = serde_json::from_str::<Map<String, Value>>(document) else {
        return;
    };
    let keys = KeySet::from_json(&document);
    let entries = document
        .get("keys")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    assert_eq!(keys.len() + keys.skipped(), entries, "{document:?}");
    assert_eq!(keys.is_empty(), keys.skipped() == entries);
    let mut header = json!({"alg": alg});
    if !kid.is_empty() {
        header["kid"] = kid.into();
    }
    let header = header.to_string();
    let payload = claims();
    let length = length.parse::<usize>().unwrap_or(64).min(1024);
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let signing = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(payload.as_bytes())
    );
    for byte in [0, 1, 0xff] {
        let raw = format!("{signing}.{}", encode(&vec![byte; length]));
        assert!(
            id_token::ask(&raw, &keys).is_none(),
            "a made-up signature verified"
        );
    }
    // The genuine token verifies with a set that has the genuine key, and with no other.
    let genuine = id_token::signed(header.as_bytes(), payload.as_bytes());
    if id_token::ask(&genuine, &keys).is_some() {
        let has_key = document["keys"].as_array().is_some_and(|keys| {
            keys.iter()
                .any(|key| key["x"] == jwk()["x"] && key["crv"] == "Ed25519")
        });
        assert!(
            has_key && alg == "EdDSA",
            "a key verified that is not the provider's"
        );
    }
}

fn claims() -> String {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "s", "nonce": NONCE, "iat": NOW, "exp": NOW + 300,
    })
    .to_string()
}
