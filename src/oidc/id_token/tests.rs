use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use serde_json::json;

use super::*;

pub(super) const ISSUER: &str = "https://idp.example/application/o/headscale/";
pub(super) const NOW: u64 = 1_800_000_000;

pub(in crate::oidc) type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key of a provider: what signs, and what is published.
pub(in crate::oidc) struct Signer {
    pub(in crate::oidc) alg: &'static str,
    pub(in crate::oidc) jwk: Value,
    pub(in crate::oidc) sign: Sign,
}

impl Signer {
    fn ec(alg: &'static str, crv: &str, algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({
            "kty": "EC", "crv": crv, "kid": "key", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        let sign = move |input: &[u8]| pair.sign(&random, input).unwrap().as_ref().to_vec();
        Self {
            alg,
            jwk,
            sign: Box::new(sign),
        }
    }

    pub(in crate::oidc) fn es256() -> Self {
        Self::ec("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(in crate::oidc) fn es384() -> Self {
        Self::ec("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    pub(in crate::oidc) fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "key", "x": x });
        Self {
            alg: "EdDSA",
            jwk,
            sign: Box::new(move |input| pair.sign(input).as_ref().to_vec()),
        }
    }

    pub(in crate::oidc) fn keys(&self) -> KeySet {
        KeySet::from_json(json!({ "keys": [self.jwk] }).as_object().unwrap())
    }

    fn token(&self, claims: &Value) -> String {
        self.token_with(
            &json!({ "alg": self.alg, "kid": "key", "typ": "JWT" }),
            claims,
        )
    }

    pub(in crate::oidc) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = (self.sign)(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "subject", "aud": "headwarden", "nonce": "nonce",
        "iat": NOW, "exp": NOW + 300, "auth_time": NOW - 5, "sid": "session",
        "groups": ["headscale"],
    })
}

/// The RSA key of a provider; made once, since that takes a while.
pub(super) fn rs256() -> Signer {
    use rsa::sha2::{Digest as _, Sha256};
    use rsa::traits::PublicKeyParts as _;
    static KEY: std::sync::LazyLock<rsa::RsaPrivateKey> = std::sync::LazyLock::new(|| {
        rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap()
    });
    let jwk = json!({
        "kty": "RSA", "kid": "key", "use": "sig",
        "n": URL_SAFE_NO_PAD.encode(KEY.n().to_bytes_be()),
        "e": URL_SAFE_NO_PAD.encode(KEY.e().to_bytes_be()),
    });
    let sign = |input: &[u8]| {
        let padding = rsa::Pkcs1v15Sign::new::<Sha256>();
        KEY.sign(padding, &Sha256::digest(input)).unwrap()
    };
    Signer {
        alg: "RS256",
        jwk,
        sign: Box::new(sign),
    }
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub(super) fn check(raw: &str, keys: &KeySet) -> Result<Verified, TokenFault> {
    verify(
        raw,
        keys,
        &Expected {
            issuer: &Issuer::new(ISSUER),
            client_id: "headwarden",
            hs256_secret: None,
            algorithms: &accepted_algorithms(false),
            nonce: ExpectedNonce::Equal("nonce"),
            access_token: &Secret::new("access".to_owned()),
            now: Timestamp::from_unix(NOW),
        },
    )
}

#[test]
fn each_accepted_algorithm_verifies_and_gives_the_claims() {
    for signer in [rs256(), Signer::es256(), Signer::es384(), Signer::ed25519()] {
        let verified = check(&signer.token(&claims()), &signer.keys()).unwrap();
        assert_eq!(verified.subject.as_str(), "subject");
        assert_eq!(verified.expires_at, Timestamp::from_unix(NOW + 300));
        assert_eq!(verified.auth_time, Some(Timestamp::from_unix(NOW - 5)));
        assert_eq!(verified.provider_session.unwrap().as_str(), "session");
        assert_eq!(verified.claims["groups"], json!(["headscale"]));
    }
}

#[test]
fn a_key_of_another_curve_or_use_does_not_verify() {
    let signer = Signer::es256();
    let token = signer.token(&claims());
    let mut encryption = Signer::es256();
    encryption.jwk = signer.jwk.clone();
    encryption.jwk["use"] = "enc".into();
    let unknown = TokenFault::UnknownKey {
        kid: Some("key".to_owned()),
    };
    assert_eq!(check(&token, &encryption.keys()).unwrap_err(), unknown);
    assert_eq!(check(&token, &KeySet::default()).unwrap_err(), unknown);
    let other_curve = check(&token, &Signer::es384().keys()).unwrap_err();
    assert!(
        matches!(other_curve, TokenFault::UnusableKey(_)),
        "{other_curve}"
    );
}

/// RFC 7518 section 6.3.1.1 wants no zero before a modulus; there are libraries that write one.
#[test]
fn a_zero_before_the_modulus_changes_nothing_and_another_modulus_everything() {
    let signer = rs256();
    let token = signer.token(&claims());
    let n = URL_SAFE_NO_PAD
        .decode(signer.jwk["n"].as_str().unwrap())
        .unwrap();
    let mut other = n.clone();
    other[5] ^= 1;
    for (n, accepted) in [([vec![0], n].concat(), true), (other, false)] {
        let mut jwk = signer.jwk.clone();
        jwk["n"] = URL_SAFE_NO_PAD.encode(n).into();
        let keys = KeySet::from_json(json!({ "keys": [jwk] }).as_object().unwrap());
        assert_eq!(check(&token, &keys).is_ok(), accepted);
    }
}

#[test]
fn es512_and_made_up_algorithms_are_refused() {
    let signer = Signer::es256();
    for (alg, refused) in [
        (
            "ES512",
            TokenFault::Algorithm {
                found: "ES512".to_owned(),
            },
        ),
        (
            "PS256",
            TokenFault::Algorithm {
                found: "PS256".to_owned(),
            },
        ),
        ("none", TokenFault::Unsigned),
    ] {
        let token = signer.token_with(&json!({ "alg": alg, "kid": "key" }), &claims());
        assert_eq!(check(&token, &signer.keys()).unwrap_err(), refused);
    }
    for alg in [
        json!("None"),
        json!("ES256K"),
        json!(""),
        json!(7),
        json!(null),
    ] {
        let token = signer.token_with(&json!({ "alg": alg, "kid": "key" }), &claims());
        let fault = check(&token, &signer.keys()).unwrap_err();
        assert!(matches!(fault, TokenFault::Malformed(_)), "{alg}: {fault}");
    }
}

#[test]
fn the_audience_may_be_a_list_but_must_be_about_us() {
    let signer = Signer::es256();
    for (aud, azp, accepted) in [
        (json!("headwarden"), json!(null), true),
        (json!("headwarden"), json!("headwarden"), true),
        (json!(["headwarden"]), json!(null), true),
        (json!(["headwarden", "project"]), json!("headwarden"), true),
        (json!(["headwarden", "project"]), json!(null), false),
        (json!(["headwarden", "project"]), json!("project"), false),
        (json!(["project"]), json!("headwarden"), false),
        (json!([]), json!("headwarden"), false),
        (json!(null), json!("headwarden"), false),
        (json!("Headwarden"), json!(null), false),
        (json!("headwarden "), json!(null), false),
    ] {
        let mut claims = with("aud", aud.clone());
        claims["azp"] = azp.clone();
        let verdict = check(&signer.token(&claims), &signer.keys());
        assert_eq!(verdict.is_ok(), accepted, "{aud} {azp}: {verdict:?}");
    }
}

#[test]
fn dates_may_have_fractions_and_nonsense_is_refused_without_a_panic() {
    let signer = Signer::es256();
    let late = u64::MAX;
    for (claims, accepted) in [
        (with("iat", json!(1_800_000_000.5)), true),
        (with("exp", json!(1_800_000_000.5)), true),
        (with("exp", json!(0)), false),
        (with("exp", json!(-1)), false),
        (with("exp", json!(late)), false),
        (with("exp", json!(1e300)), false),
        (with("exp", json!("soon")), false),
        (with("exp", json!(null)), false),
        (with("iat", json!(late)), false),
        (with("iat", json!(-1e300)), false),
        (with("iat", json!(null)), false),
        (with("auth_time", json!(late)), false),
        (with("auth_time", json!("now")), false),
        (with("auth_time", json!(null)), true),
        (with("nbf", json!(NOW - 1)), true),
        (with("sub", json!(7)), false),
        (with("sub", json!(null)), false),
        (with("nonce", json!(null)), false),
        (with("nonce", json!("Nonce")), false),
        (with("iss", json!(null)), false),
        (with("sid", json!(7)), true),
        (with("sid", json!("")), true),
    ] {
        let verdict = check(&signer.token(&claims), &signer.keys());
        assert_eq!(verdict.is_ok(), accepted, "{claims}: {verdict:?}");
    }
}

#[test]
fn a_claim_of_a_wrong_type_is_named_but_not_quoted() {
    let signer = Signer::es256();
    let claims = with("email", json!(["ada@company.example"]));
    let fault = check(&signer.token(&claims), &signer.keys()).unwrap_err();
    assert_eq!(
        fault,
        TokenFault::Malformed("its claim \"email\" has the wrong type".to_owned())
    );
}

#[test]
fn a_token_with_any_bit_flipped_is_refused() {
    // The last character of a part carries bits that belong to no byte: they must be zero.
    let signer = Signer::ed25519();
    let keys = signer.keys();
    let token = signer.token(&claims()).into_bytes();
    assert!(check(std::str::from_utf8(&token).unwrap(), &keys).is_ok());
    let mut tried = 0;
    for at in 0..token.len() {
        for bit in 0..7 {
            let mut flipped = token.clone();
            flipped[at] ^= 1 << bit;
            let flipped = String::from_utf8(flipped).unwrap();
            assert!(
                check(&flipped, &keys).is_err(),
                "bit {bit} of byte {at}: {flipped}"
            );
            tried += 1;
        }
    }
    assert!(tried > 2000, "{tried}");
}

#[test]
fn what_is_not_a_token_is_refused() {
    let keys = Signer::es256().keys();
    assert_eq!(
        check("a.b.c.d.e", &keys).unwrap_err(),
        TokenFault::Encrypted
    );
    for raw in [
        "",
        ".",
        "..",
        "a.b.c",
        "e30.e30.",
        "a.b.c.d",
        "....",
        "e30=.e30=.",
        "é.é.é",
    ] {
        let fault = check(raw, &keys).unwrap_err();
        let refused = matches!(
            fault,
            TokenFault::Malformed(_) | TokenFault::SubjectMissing | TokenFault::Encrypted
        );
        assert!(refused, "{raw:?}: {fault}");
    }
}

proptest! {
    #[test]
    fn a_token_with_any_byte_changed_is_refused(at in any::<prop::sample::Index>(), new in any::<u8>()) {
        let signer = Signer::es256();
        let token = signer.token(&claims());
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != new && new.is_ascii());
        bytes[at] = new;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(check(&changed, &signer.keys()).is_err(), "{changed}");
    }

    #[test]
    fn no_text_makes_verification_panic(raw in "\\PC{0,200}") {
        let keys = Signer::es256().keys();
        prop_assert!(check(&raw, &keys).is_err());
    }
}

/// The provider's clock may be off by a minute, and by no second more.
#[test]
fn a_minute_of_skew_is_tolerated_in_every_date() {
    let signer = Signer::es256();
    for (claim, date, accepted) in [
        ("exp", NOW - 60, true),
        ("exp", NOW - 61, false),
        ("iat", NOW + 60, true),
        ("iat", NOW + 61, false),
        ("nbf", NOW + 60, true),
        ("nbf", NOW + 61, false),
        ("auth_time", NOW + 60, true),
        ("auth_time", NOW + 61, false),
    ] {
        let verdict = check(&signer.token(&with(claim, json!(date))), &signer.keys());
        assert_eq!(verdict.is_ok(), accepted, "{claim} {date}: {verdict:?}");
    }
}

/// OpenID Connect Core section 3.1.3.6: the left half of the hash that belongs to the algorithm.
#[test]
fn the_at_hash_must_belong_to_the_access_token_where_there_is_one() {
    use ring::digest::{SHA256, SHA384, SHA512, digest};
    for (signer, hash) in [
        (Signer::es256(), &SHA256),
        (Signer::es384(), &SHA384),
        (Signer::ed25519(), &SHA512),
    ] {
        let half = |text: &str| {
            let whole = digest(hash, text.as_bytes());
            URL_SAFE_NO_PAD.encode(&whole.as_ref()[..whole.as_ref().len() / 2])
        };
        let token = |at_hash: String| signer.token(&with("at_hash", at_hash.into()));
        assert!(check(&token(half("access")), &signer.keys()).is_ok());
        for wrong in [
            half("another"),
            String::new(),
            half("access").to_lowercase(),
        ] {
            let fault = check(&token(wrong), &signer.keys()).unwrap_err();
            assert_eq!(fault, TokenFault::AccessTokenHash, "{}", signer.alg);
        }
    }
}

#[test]
fn a_claim_that_is_missing_or_cannot_be_judged_is_refused_by_its_name() {
    let signer = Signer::es256();
    let fault = |claims: &Value| check(&signer.token(claims), &signer.keys()).unwrap_err();
    for (claim, missing) in [
        ("sub", TokenFault::SubjectMissing),
        ("exp", TokenFault::ExpiryMissing),
        ("iat", TokenFault::IssuedAtMissing),
        ("nonce", TokenFault::NonceMissing),
    ] {
        assert_eq!(fault(&with(claim, json!(null))), missing);
    }
    for claim in ["exp", "iat", "nbf", "auth_time"] {
        assert_eq!(
            fault(&with(claim, json!("2027-01-15T08:00:00Z"))),
            TokenFault::Malformed(format!("its claim {claim:?} is not a number of seconds"))
        );
    }
    assert_eq!(
        fault(&with("email_verified", json!(["yes"]))),
        TokenFault::Malformed("its claim \"email_verified\" has the wrong type".to_owned())
    );
    let header = json!({ "alg": "ES256", "kid": "key", "b64": true });
    assert!(matches!(
        check(&signer.token_with(&header, &claims()), &signer.keys()),
        Err(TokenFault::Header(_))
    ));
}

#[test]
fn an_algorithm_has_the_name_that_tokens_have_for_it() {
    let names: Vec<_> = accepted_algorithms(true)
        .into_iter()
        .map(Algorithm::name)
        .collect();
    assert_eq!(names, ["RS256", "ES256", "ES384", "EdDSA", "HS256"]);
}

#[test]
fn only_what_newer_keys_could_change_is_asked_again() {
    let kid = Some("key".to_owned());
    for (fault, again) in [
        (TokenFault::UnknownKey { kid: kid.clone() }, true),
        (TokenFault::Signature { kid }, true),
        (
            TokenFault::Algorithm {
                found: "ES256".to_owned(),
            },
            true,
        ),
        (TokenFault::Unsigned, false),
        (TokenFault::Nonce, false),
        (TokenFault::Expired { seconds: 61 }, false),
    ] {
        assert_eq!(fault.may_be_rotation(), again, "{fault}");
    }
}
