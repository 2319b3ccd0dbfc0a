//! ID token verification as go-oidc does it, with ring and nothing of Headwarden's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value;

/// What the token is checked against.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// `id_token_signing_alg_values_supported`.
    pub(crate) algorithms: &'a [String],
    /// Unix seconds.
    pub(crate) now: i64,
}

/// The claims of a good token, or what is wrong with it.
pub(crate) fn verify(token: &str, keys: &Value, expected: &Expected<'_>) -> Result<Value, String> {
    let (signed, signature) = token.rsplit_once('.').ok_or("not a compact JWS")?;
    let (header, payload) = signed.split_once('.').ok_or("not a compact JWS")?;
    let header = json_part(header)?;
    let claims = json_part(payload)?;
    let algorithm = header["alg"].as_str().unwrap_or_default();
    if !expected.algorithms.iter().any(|known| known == algorithm) {
        return Err(format!(
            "id token signed with unsupported algorithm {algorithm:?}"
        ));
    }
    let signature = decoded(signature)?;
    let keys = keys["keys"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let fits = |key: &&Value| header["kid"].is_null() || key["kid"] == header["kid"];
    let good = keys
        .iter()
        .filter(fits)
        .any(|key| signed_by(key, algorithm, signed.as_bytes(), &signature).unwrap_or(false));
    if !good {
        return Err("failed to verify id token signature".to_owned());
    }
    check(&claims, expected)?;
    Ok(claims)
}

fn check(claims: &Value, expected: &Expected<'_>) -> Result<(), String> {
    if claims["iss"] != expected.issuer {
        return Err(format!(
            "id token issued by {}, not {}",
            claims["iss"], expected.issuer
        ));
    }
    let audience = match &claims["aud"] {
        Value::Array(all) => all.iter().any(|one| one == expected.client_id),
        one => one == expected.client_id,
    };
    if !audience {
        return Err(format!("id token is for {}", claims["aud"]));
    }
    match claims["exp"].as_i64() {
        Some(expiry) if expiry > expected.now => Ok(()),
        _ => Err("id token is expired".to_owned()),
    }
}

fn signed_by(
    key: &Value,
    algorithm: &str,
    signed: &[u8],
    signature: &[u8],
) -> Result<bool, String> {
    let part = |name: &str| decoded(key[name].as_str().unwrap_or_default());
    Ok(match (algorithm, key["kty"].as_str()) {
        ("ES256", Some("EC")) => {
            let point = [vec![4], part("x")?, part("y")?].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature)
                .is_ok()
        }
        ("RS256", Some("RSA")) => RsaPublicKeyComponents {
            n: part("n")?,
            e: part("e")?,
        }
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
        .is_ok(),
        _ => false,
    })
}

fn json_part(part: &str) -> Result<Value, String> {
    serde_json::from_slice(&decoded(part)?).map_err(|error| error.to_string())
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| error.to_string())
}
