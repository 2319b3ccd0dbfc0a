//! The provider's keys, real ones, made once per test process.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rsa::pkcs8::EncodePublicKey as _;
use rsa::sha2::{Digest as _, Sha256};
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde_json::{Value, json};

use super::CLIENT_SECRET;

/// A key of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// RS256.
    Rsa,
    /// ES256.
    Ec,
    /// ES256, another one.
    EcOther,
    /// RS256 with 512 bits, which a laptop factors in a day.
    Weak,
    /// HS256 with the client secret and no `kid`: authentik without a signing key.
    ClientSecret,
}

impl Key {
    pub(crate) fn alg(self) -> &'static str {
        match self {
            Self::Rsa | Self::Weak => "RS256",
            Self::Ec | Self::EcOther => "ES256",
            Self::ClientSecret => "HS256",
        }
    }

    pub(crate) fn kid(self) -> Option<&'static str> {
        match self {
            Self::Rsa => Some("rsa-key"),
            Self::Ec => Some("ec-key"),
            Self::EcOther => Some("other-ec-key"),
            Self::Weak => Some("weak-key"),
            Self::ClientSecret => None,
        }
    }

    /// The public half, as authentik publishes it; a secret has none.
    pub(crate) fn jwk(self) -> Option<Value> {
        let mut jwk = match self {
            Self::ClientSecret => return None,
            Self::Rsa | Self::Weak => json!({
                "kty": "RSA",
                "n": URL_SAFE_NO_PAD.encode(self.rsa_key().n().to_bytes_be()),
                "e": URL_SAFE_NO_PAD.encode(self.rsa_key().e().to_bytes_be()),
            }),
            Self::Ec | Self::EcOther => {
                let point = self.ec_key().public_key().as_ref();
                let (x, y) = point[1..].split_at(32);
                json!({
                    "kty": "EC",
                    "crv": "P-256",
                    "x": URL_SAFE_NO_PAD.encode(x),
                    "y": URL_SAFE_NO_PAD.encode(y),
                })
            }
        };
        jwk["kid"] = self.kid().into();
        jwk["alg"] = self.alg().into();
        jwk["use"] = "sig".into();
        Some(jwk)
    }

    pub(crate) fn sign(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa | Self::Weak => {
                let hash = Sha256::digest(message);
                self.rsa_key()
                    .sign(Pkcs1v15Sign::new::<Sha256>(), &hash)
                    .unwrap()
            }
            Self::Ec | Self::EcOther => {
                let signature = self.ec_key().sign(&SystemRandom::new(), message).unwrap();
                signature.as_ref().to_vec()
            }
            Self::ClientSecret => hs256(CLIENT_SECRET.as_bytes(), message),
        }
    }

    /// What somebody who confuses HS256 with RS256 would use as the secret.
    pub(crate) fn public_pem(self) -> String {
        match self {
            Self::Rsa | Self::Weak => self
                .rsa_key()
                .to_public_key()
                .to_public_key_pem(rsa::pkcs8::LineEnding::LF)
                .unwrap(),
            _ => self.jwk().unwrap().to_string(),
        }
    }

    /// Makes the key that takes long to make. Whoever asks for it meanwhile would be kept waiting: on a busy
    /// machine for longer than anybody waits for a provider.
    pub(crate) fn prepare() {
        Self::Rsa.rsa_key();
    }

    fn rsa_key(self) -> &'static RsaPrivateKey {
        static KEYS: [OnceLock<RsaPrivateKey>; 2] = [OnceLock::new(), OnceLock::new()];
        let (at, bits) = if self == Self::Weak {
            (1, 512)
        } else {
            (0, 2048)
        };
        KEYS[at].get_or_init(|| RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap())
    }

    fn ec_key(self) -> &'static EcdsaKeyPair {
        static KEYS: [OnceLock<EcdsaKeyPair>; 2] = [OnceLock::new(), OnceLock::new()];
        KEYS[usize::from(self == Self::EcOther)].get_or_init(|| {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
        })
    }
}

/// HMAC-SHA256, for the two HS256 forgeries.
pub(super) fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message)
        .as_ref()
        .to_vec()
}

pub(super) fn random_text() -> String {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).unwrap();
    URL_SAFE_NO_PAD.encode(bytes)
}
