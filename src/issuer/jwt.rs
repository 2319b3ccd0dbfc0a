//! ES256 for `jsonwebtoken`, by ring: the one algorithm the issuer signs with. What belongs here is
//! the backend only; which claims are signed is `token`'s business.

use std::sync::OnceLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::jwk::{EllipticCurve, ThumbprintHash};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    VerificationAlgorithm as _,
};

type Result<T> = std::result::Result<T, JwtError>;

/// Another part of the process gave `jsonwebtoken` a different backend first; what that one would
/// do with our keys is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("jsonwebtoken already has another cryptographic backend in this process")]
pub struct BackendTaken;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(refused()),
        rsa_pub_components_from_public_key: |_| Err(refused()),
        ec_pub_components_from_private_key: public_point,
        ed_pub_components_from_private_key: |_, _| Err(refused()),
        compute_digest,
    },
};

/// Installs this backend for the process. May be called any number of times; all calls answer as
/// the first did.
///
/// # Errors
///
/// [`BackendTaken`] when `jsonwebtoken` was given another backend before the first call.
pub(crate) fn install() -> std::result::Result<(), BackendTaken> {
    static FIRST: OnceLock<std::result::Result<(), BackendTaken>> = OnceLock::new();
    *FIRST.get_or_init(|| PROVIDER.install_default().map_err(|_| BackendTaken))
}

/// The public point of a PKCS#8 P-256 private key: x and y, 32 bytes each.
pub(crate) fn point(pkcs8: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let pair = key_pair(pkcs8).ok()?;
    // SEC 1 section 2.3.3: 0x04 says that both coordinates follow, uncompressed.
    let (form, coordinates) = pair.public_key().as_ref().split_first()?;
    let (x, y) = coordinates.split_at_checked(32)?;
    (*form == 4 && y.len() == 32).then(|| (x.to_vec(), y.to_vec()))
}

fn refused() -> JwtError {
    ErrorKind::InvalidAlgorithm.into()
}

fn key_pair(pkcs8: &[u8]) -> Result<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        pkcs8,
        &SystemRandom::new(),
    )
    .map_err(|_| ErrorKind::InvalidEcdsaKey.into())
}

fn public_point(pkcs8: &[u8], algorithm: Algorithm) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>)> {
    if algorithm != Algorithm::ES256 {
        return Err(refused());
    }
    let (x, y) = point(pkcs8).ok_or_else(|| JwtError::from(ErrorKind::InvalidEcdsaKey))?;
    Ok((EllipticCurve::P256, x, y))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature is jsonwebtoken's"
)]
fn compute_digest(data: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    let algorithm = match hash {
        ThumbprintHash::SHA256 => &digest::SHA256,
        ThumbprintHash::SHA384 => &digest::SHA384,
        ThumbprintHash::SHA512 => &digest::SHA512,
        _ => return Err(refused()),
    };
    Ok(digest::digest(algorithm, data).as_ref().to_vec())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is jsonwebtoken's"
)]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if *algorithm != Algorithm::ES256 || key.family() != AlgorithmFamily::Ec {
        return Err(refused());
    }
    Ok(Box::new(Es256Signer(key_pair(key.as_bytes())?)))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is jsonwebtoken's"
)]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if *algorithm != Algorithm::ES256 || key.family() != AlgorithmFamily::Ec {
        return Err(refused());
    }
    Ok(Box::new(Es256Verifier(key.try_get_as_bytes()?.to_vec())))
}

struct Es256Signer(EcdsaKeyPair);

impl Signer<Vec<u8>> for Es256Signer {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        let signature = self
            .0
            .sign(&SystemRandom::new(), message)
            .map_err(|_| SignatureError::new())?;
        Ok(signature.as_ref().to_vec())
    }
}

impl JwtSigner for Es256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

struct Es256Verifier(Vec<u8>);

impl Verifier<Vec<u8>> for Es256Verifier {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), SignatureError> {
        ECDSA_P256_SHA256_FIXED
            .verify(
                self.0.as_slice().into(),
                message.into(),
                signature.as_slice().into(),
            )
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Es256Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Header, Validation, decode, encode};
    use serde_json::{Value, json};

    use super::*;

    fn pkcs8() -> Vec<u8> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .unwrap()
            .as_ref()
            .to_vec()
    }

    fn public(pkcs8: &[u8]) -> DecodingKey {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let (x, y) = point(pkcs8).unwrap();
        DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y))
            .unwrap()
    }

    fn validation() -> Validation {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation
    }

    #[test]
    fn a_token_signed_with_one_key_verifies_with_that_key_only() {
        install().unwrap();
        let (ours, other) = (pkcs8(), pkcs8());
        let token = encode(
            &Header::new(Algorithm::ES256),
            &json!({"sub": "s"}),
            &EncodingKey::from_ec_der(&ours),
        )
        .unwrap();
        assert!(decode::<Value>(&token, &public(&ours), &validation()).is_ok());
        assert!(decode::<Value>(&token, &public(&other), &validation()).is_err());
    }

    #[test]
    fn every_other_algorithm_is_an_error_and_no_panic() {
        install().unwrap();
        let key = EncodingKey::from_ec_der(&pkcs8());
        let secret = EncodingKey::from_secret(b"secret");
        for algorithm in [
            Algorithm::HS256,
            Algorithm::HS512,
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::ES384,
            Algorithm::EdDSA,
        ] {
            for key in [&key, &secret] {
                assert!(
                    encode(&Header::new(algorithm), &json!({}), key).is_err(),
                    "{algorithm:?}"
                );
            }
        }
        assert!(encode(&Header::new(Algorithm::ES256), &json!({}), &secret).is_err());
        let garbage = EncodingKey::from_ec_der(b"not a key");
        assert!(encode(&Header::new(Algorithm::ES256), &json!({}), &garbage).is_err());
    }

    /// `jsonwebtoken` asks for the algorithm, too; here the backend is asked alone.
    #[test]
    fn no_other_algorithm_signs_or_verifies_whatever_the_key() {
        let pkcs8 = pkcs8();
        let (private, public) = (EncodingKey::from_ec_der(&pkcs8), public(&pkcs8));
        assert!(signer(&Algorithm::ES256, &private).is_ok());
        assert!(verifier(&Algorithm::ES256, &public).is_ok());
        for algorithm in [Algorithm::ES384, Algorithm::HS256, Algorithm::RS256] {
            assert!(signer(&algorithm, &private).is_err(), "{algorithm:?}");
            assert!(verifier(&algorithm, &public).is_err(), "{algorithm:?}");
        }
        let secret = EncodingKey::from_secret(&pkcs8);
        assert!(signer(&Algorithm::ES256, &secret).is_err());
        let secret = DecodingKey::from_secret(b"secret");
        assert!(verifier(&Algorithm::ES256, &secret).is_err());
    }

    #[test]
    fn a_public_key_is_the_point_of_its_private_key() {
        let pkcs8 = pkcs8();
        let (x, y) = point(&pkcs8).unwrap();
        assert_eq!((x.len(), y.len()), (32, 32));
        let (curve, same_x, same_y) = public_point(&pkcs8, Algorithm::ES256).unwrap();
        assert_eq!((curve, same_x, same_y), (EllipticCurve::P256, x, y));
        assert!(public_point(&pkcs8, Algorithm::ES384).is_err());
        assert!(public_point(b"not a key", Algorithm::ES256).is_err());
    }

    #[test]
    fn each_digest_is_the_one_that_was_asked_for() {
        for (hash, length) in [
            (ThumbprintHash::SHA256, 32),
            (ThumbprintHash::SHA384, 48),
            (ThumbprintHash::SHA512, 64),
        ] {
            assert_eq!(compute_digest(b"", hash).unwrap().len(), length);
        }
    }

    #[test]
    fn installing_twice_is_as_good_as_once() {
        assert_eq!(install(), Ok(()));
        assert_eq!(install(), Ok(()));
    }
}
