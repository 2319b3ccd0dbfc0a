//! Signed requests (RFC 8555 section 6.2) and the keys that sign them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;

/// A public key on P-256 (RFC 7518 section 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Jwk {
    x: String,
    y: String,
}

/// A request whose parts are decoded and whose signature is not looked at yet.
pub(crate) struct Signed {
    pub(crate) header: Value,
    pub(crate) payload: Vec<u8>,
    input: String,
    signature: Vec<u8>,
}

impl Jwk {
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        if value["kty"] != "EC" || value["crv"] != "P-256" {
            return Err(format!("not a key on P-256: {value}"));
        }
        let part = |name: &str| {
            let text = value[name].as_str().map(str::to_owned);
            text.ok_or_else(|| format!("no {name}"))
        };
        Ok(Self {
            x: part("x")?,
            y: part("y")?,
        })
    }

    /// RFC 7638.
    pub(crate) fn thumbprint(&self) -> String {
        let canonical = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            self.x, self.y
        );
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }
}

fn decode(text: &Value) -> Result<Vec<u8>, String> {
    let text = text.as_str().ok_or("not a text")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|why| why.to_string())
}

impl Signed {
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        let header = decode(&value["protected"])?;
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            header: serde_json::from_slice(&header).map_err(|why| why.to_string())?,
            payload: decode(&value["payload"])?,
            input: format!("{}.{}", text("protected"), text("payload")),
            signature: decode(&value["signature"])?,
        })
    }

    /// Whether `key` signed it, with ES256.
    pub(crate) fn verify(&self, key: &Jwk) -> Result<(), String> {
        if self.header["alg"] != "ES256" {
            return Err(format!("not ES256: {}", self.header));
        }
        let mut point = vec![4];
        for part in [&key.x, &key.y] {
            point.extend(
                URL_SAFE_NO_PAD
                    .decode(part)
                    .map_err(|why| why.to_string())?,
            );
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(self.input.as_bytes(), &self.signature)
            .map_err(|_| "the signature is wrong".to_owned())
    }

    /// Whether this HMAC key signed it, as an external account does (RFC 8555 section 7.3.4).
    pub(crate) fn verify_hmac(&self, key: &[u8]) -> Result<(), String> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, self.input.as_bytes(), &self.signature)
            .map_err(|_| "the HMAC is wrong".to_owned())
    }
}
