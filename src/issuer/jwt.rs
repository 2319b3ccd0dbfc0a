//! ES256 (RFC 7518 section 3.4) by ring: the one algorithm the issuer signs with. Which claims are signed
//! is `token`'s business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Serialize;
use serde_json::json;

/// Nothing was signed: the operating system gave no randomness, or the claims are no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningError;

/// The key pair of a PKCS#8 document; `None` where it is no P-256 key.
pub(super) fn key_pair(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        pkcs8,
        &SystemRandom::new(),
    )
    .ok()
}

/// The public point: x and y, 32 bytes each.
pub(super) fn point(pair: &EcdsaKeyPair) -> Option<(&[u8], &[u8])> {
    // SEC 1 section 2.3.3: 0x04 says that both coordinates follow, uncompressed.
    let (form, coordinates) = pair.public_key().as_ref().split_first()?;
    let (x, y) = coordinates.split_at_checked(32)?;
    (*form == 4 && y.len() == 32).then_some((x, y))
}

/// `claims` as a compact JWS (RFC 7515 section 7.1) under a header that names the key.
///
/// # Errors
/// [`SigningError`].
pub(super) fn sign<T: Serialize>(
    pair: &EcdsaKeyPair,
    kid: &str,
    claims: &T,
) -> Result<String, SigningError> {
    let header = json!({ "typ": "JWT", "alg": "ES256", "kid": kid });
    let claims = serde_json::to_vec(claims).map_err(|_| SigningError)?;
    let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = pair
        .sign(&SystemRandom::new(), token.as_bytes())
        .map_err(|_| SigningError)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
    Ok(token)
}

#[cfg(test)]
mod tests {
    use openidconnect::JsonWebKey as _;
    use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm as Algorithm};
    use serde_json::Value;

    use super::*;

    fn pkcs8() -> Vec<u8> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .unwrap()
            .as_ref()
            .to_vec()
    }

    /// The public half, as a library that is not ours reads it.
    fn public(pair: &EcdsaKeyPair) -> CoreJsonWebKey {
        let (x, y) = point(pair).unwrap();
        serde_json::from_value(json!({
            "kty": "EC", "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }))
        .unwrap()
    }

    fn json_of(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_token_signed_with_one_key_verifies_with_that_key_only() {
        let (ours, other) = (key_pair(&pkcs8()).unwrap(), key_pair(&pkcs8()).unwrap());
        let token = sign(&ours, "name", &json!({ "sub": "s" })).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for (pair, right) in [(&ours, true), (&other, false)] {
            let verdict = public(pair).verify_signature(
                &Algorithm::EcdsaP256Sha256,
                signed.as_bytes(),
                &signature,
            );
            assert_eq!(verdict.is_ok(), right);
        }
        let (header, claims) = signed.split_once('.').unwrap();
        let header = json_of(header);
        assert_eq!(
            header,
            json!({ "typ": "JWT", "alg": "ES256", "kid": "name" })
        );
        assert_eq!(json_of(claims), json!({ "sub": "s" }));
    }

    #[test]
    fn what_is_no_p_256_key_is_none() {
        use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, Ed25519KeyPair};
        let random = SystemRandom::new();
        let p384 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        assert!(key_pair(p384.as_ref()).is_none());
        assert!(key_pair(ed25519.as_ref()).is_none());
        assert!(key_pair(b"not a key").is_none());
        assert!(key_pair(&pkcs8()).is_some());
    }

    #[test]
    fn what_cannot_be_written_as_json_is_not_signed() {
        let pair = key_pair(&pkcs8()).unwrap();
        let no_json = std::collections::BTreeMap::from([(vec![1], 2)]);
        assert_eq!(sign(&pair, "name", &no_json), Err(SigningError));
    }
}
