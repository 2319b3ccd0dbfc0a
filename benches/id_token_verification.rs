//! What a sign-in costs in cryptography: verifying one ID token, claims and all, for the two
//! algorithms that providers use most.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up has to stop"
)]

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use headwarden::domain::identity::Issuer;
use headwarden::domain::secret::Secret;
use headwarden::domain::time::Timestamp;
use headwarden::oidc::id_token::{Expected, ExpectedNonce, accepted_algorithms, verify};
use headwarden::oidc::jwks::KeySet;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rsa::sha2::{Digest as _, Sha256};
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.example/application/o/headscale/";
const NOW: u64 = 1_800_000_000;

fn token(alg: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let header = json!({ "alg": alg, "kid": "key", "typ": "JWT" });
    let claims = json!({
        "iss": ISSUER, "sub": "b".repeat(64), "aud": "headwarden", "exp": NOW + 300, "iat": NOW,
        "auth_time": NOW, "acr": "goauthentik.io/providers/oauth2/default", "amr": ["pwd"],
        "nonce": "nonce", "sid": "c".repeat(64), "email": "ben@company.example",
        "email_verified": true, "name": "Ben Member", "given_name": "Ben Member",
        "preferred_username": "ben", "nickname": "ben", "groups": ["headscale", "staff"],
    });
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let input = format!("{}.{}", encode(&header), encode(&claims));
    let signature = sign(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn rs256() -> (String, Value) {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("a key");
    let jwk = json!({
        "kty": "RSA", "kid": "key", "use": "sig", "alg": "RS256",
        "n": URL_SAFE_NO_PAD.encode(key.n().to_bytes_be()),
        "e": URL_SAFE_NO_PAD.encode(key.e().to_bytes_be()),
    });
    let sign = |input: &[u8]| {
        key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(input))
            .expect("a signature")
    };
    (token("RS256", sign), jwk)
}

fn es256() -> (String, Value) {
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("the key");
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": "key", "use": "sig", "alg": "ES256",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    let sign = |input: &[u8]| {
        key.sign(&random, input)
            .expect("a signature")
            .as_ref()
            .to_vec()
    };
    (token("ES256", sign), jwk)
}

fn id_token_verification(criterion: &mut Criterion) {
    let issuer = Issuer::new(ISSUER);
    let access_token = Secret::new("access".to_owned());
    let algorithms = accepted_algorithms(false);
    let expected = Expected {
        issuer: &issuer,
        client_id: "headwarden",
        hs256_secret: None,
        algorithms: &algorithms,
        nonce: ExpectedNonce::Equal("nonce"),
        access_token: &access_token,
        now: Timestamp::from_unix(NOW),
    };
    let mut group = criterion.benchmark_group("id_token_verification");
    for (name, (token, jwk)) in [("rs256", rs256()), ("es256", es256())] {
        let document = json!({ "keys": [jwk] });
        let keys = KeySet::from_json(document.as_object().expect("an object"));
        assert!(verify(&token, &keys, &expected).is_ok());
        group.bench_function(name, |bencher| {
            bencher.iter(|| verify(black_box(&token), &keys, &expected));
        });
    }
    group.finish();
}

criterion_group!(benches, id_token_verification);
criterion_main!(benches);
