//! The keys that sign what upstreams are told ([`SigningKeys`]): ES256 (RFC 7518 section 3.4), one for
//! each key of the ring and made of it. Replicas that share the ring share them, and the rotation of the
//! ring is theirs.
//!
//! Not here: what is signed (`proxy::assertion`), and the key that signs for Headscale (`issuer::keys`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::keyring::KeyRing;

/// The key that signs, and the public halves of all.
pub struct SigningKeys {
    signing: SigningKey,
    public: Vec<Value>,
}

struct SigningKey {
    pair: EcdsaKeyPair,
    /// Its RFC 7638 thumbprint.
    kid: String,
    jwk: Value,
}

/// No key can be made, or nothing be signed: the operating system has no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be signed for upstreams")]
pub struct SigningError;

impl SigningKeys {
    /// The keys that belong to `ring`. The one that signs is the newest that was in the ring before its
    /// last rotation: replicas that were not restarted since have its public half too, and so has
    /// whoever fetched the set before. All of them verify.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn of(ring: &KeyRing) -> Result<Self, SigningError> {
        let mut keys = Vec::new();
        for seeds in ring.seeds(b"headwarden key that signs for upstreams, ES256") {
            keys.push(SigningKey::from_seeds(seeds).ok_or(SigningError)?);
        }
        let public = keys.iter().map(|key| key.jwk.clone()).collect();
        let before_last = usize::from(keys.len() > 1);
        let signing = keys.into_iter().nth(before_last).ok_or(SigningError)?;
        Ok(Self { signing, public })
    }

    /// The public halves as a JWK set (RFC 7517 section 5), newest first.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.public })
    }

    /// The name of the key that signs.
    pub fn kid(&self) -> &str {
        &self.signing.kid
    }

    /// `claims`, a JSON object, as a compact JWS (RFC 7515 section 7.1) of this `typ`.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn sign(&self, typ: &str, claims: &Value) -> Result<String, SigningError> {
        let header = json!({ "alg": "ES256", "kid": self.signing.kid, "typ": typ });
        let [header, claims] =
            [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let mut token = format!("{header}.{claims}");
        let pair = &self.signing.pair;
        let signature = pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| SigningError)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }
}

impl SigningKey {
    /// The key of the first seed that is one: nearly every text of 32 bytes is, and the chance to need a
    /// second one is 2^-32 (FIPS 186-5 appendix A.2.2).
    fn from_seeds(mut seeds: impl Iterator<Item = [u8; 32]>) -> Option<Self> {
        let private = seeds.find_map(|seed| p256::SecretKey::from_slice(&seed).ok())?;
        // ring signs and cannot tell the public half of a private key; it compares the two.
        let public = private.public_key().to_encoded_point(false);
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &private.to_bytes(),
            public.as_bytes(),
            &SystemRandom::new(),
        )
        .ok()?;
        // SEC 1 section 2.3.3: 0x04 says that both coordinates follow, uncompressed.
        let (4, coordinates) = pair
            .public_key()
            .as_ref()
            .split_first()
            .map(|(f, c)| (*f, c))?
        else {
            return None;
        };
        let (x, y) = coordinates.split_at_checked(32)?;
        let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
        // RFC 7638 section 3: the required members, in this order, no blanks.
        let required = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, required.as_bytes()));
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y,
        });
        Some(Self { pair, kid, jwk })
    }
}

impl fmt::Debug for SigningKeys {
    /// The name of the key that signs; never a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys")
            .field(&self.signing.kid)
            .finish()
    }
}

#[cfg(test)]
mod tests;
