//! The stand-in's own verification of ID tokens: it has to refuse what Headscale refuses.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::support::headscale_standin::jwt::{Expected, verify};

struct Signer {
    key: EcdsaKeyPair,
    jwks: Value,
}

impl Signer {
    fn new() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let point = key.public_key().as_ref();
        let (x, y) = (
            URL_SAFE_NO_PAD.encode(&point[1..33]),
            URL_SAFE_NO_PAD.encode(&point[33..]),
        );
        let jwks = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y }] });
        Self { key, jwks }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn expected(algorithms: &[String]) -> Expected<'_> {
    Expected {
        issuer: "http://i",
        client_id: "c",
        algorithms,
        now: 1000,
    }
}

#[test]
fn a_good_token_is_accepted_and_each_broken_property_refuses_it() {
    let signer = Signer::new();
    let algorithms = ["ES256".to_owned()];
    let header = json!({ "alg": "ES256", "kid": "k" });
    let good = json!({ "iss": "http://i", "aud": "c", "sub": "s", "exp": 1001 });
    assert_eq!(
        verify(
            &signer.sign(&header, &good),
            &signer.jwks,
            &expected(&algorithms)
        ),
        Ok(good.clone())
    );
    let listed = json!({ "iss": "http://i", "aud": ["x", "c"], "exp": 1001 });
    assert!(
        verify(
            &signer.sign(&header, &listed),
            &signer.jwks,
            &expected(&algorithms)
        )
        .is_ok()
    );

    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signer.sign(&header, &claims)
    };
    let flipped = {
        let token = signer.sign(&header, &good);
        let last = if token.ends_with('A') { 'Q' } else { 'A' };
        format!("{}{last}", &token[..token.len() - 1])
    };
    let unsigned = {
        let token = signer.sign(&json!({ "alg": "none" }), &good);
        token[..=token.rfind('.').unwrap()].to_owned()
    };
    for (what, token) in [
        ("issuer", with("iss", json!("http://i/"))),
        ("audience", with("aud", json!("d"))),
        ("no audience", with("aud", Value::Null)),
        ("expired", with("exp", json!(1000))),
        ("no expiry", with("exp", Value::Null)),
        (
            "unknown key",
            signer.sign(&json!({ "alg": "ES256", "kid": "other" }), &good),
        ),
        (
            "algorithm",
            signer.sign(&json!({ "alg": "RS256", "kid": "k" }), &good),
        ),
        ("foreign key", Signer::new().sign(&header, &good)),
        ("flipped bit", flipped),
        ("unsigned", unsigned),
        ("not a token", "a.b".to_owned()),
    ] {
        assert!(
            verify(&token, &signer.jwks, &expected(&algorithms)).is_err(),
            "{what}"
        );
    }
    let token = signer.sign(&header, &good);
    assert!(verify(&token, &json!({}), &expected(&algorithms)).is_err());
}
