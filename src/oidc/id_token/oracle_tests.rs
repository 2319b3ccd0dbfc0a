//! The same tokens, put to another library: whatever `openidconnect` refuses is refused here. What it
//! leaves to its caller may be refused here on top, and nothing else.

use std::str::FromStr as _;
use std::time::SystemTime;

use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey, CoreJwsSigningAlgorithm as Theirs,
};
use openidconnect::{ClientId, IssuerUrl, JsonWebKeySet, Nonce};
use serde_json::json;

use super::tests::{ISSUER, NOW, Signer, check, claims};
use super::*;

/// Whether `openidconnect` believes it, with the same provider, client, nonce and clock.
fn theirs(raw: &str, document: &Value) -> bool {
    let Ok(token) = CoreIdToken::from_str(raw) else {
        return false;
    };
    let keys = document["keys"].as_array().unwrap().iter();
    let keys = keys
        .filter_map(|key| serde_json::from_value::<CoreJsonWebKey>(key.clone()).ok())
        .collect();
    let earlier = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - SKEW.as_secs() - 1);
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new("headwarden".to_owned()),
        IssuerUrl::new(ISSUER.to_owned()).unwrap(),
        JsonWebKeySet::new(keys),
    )
    .set_allowed_algs([
        Theirs::RsaSsaPkcs1V15Sha256,
        Theirs::EcdsaP256Sha256,
        Theirs::EcdsaP384Sha384,
        Theirs::EdDsa,
    ])
    .set_time_fn(move || earlier.into())
    .set_other_audience_verifier_fn(|_| true);
    token
        .claims(&verifier, &Nonce::new("nonce".to_owned()))
        .is_ok()
}

/// Refusals that are ours alone: of what that library does not judge, or judges more mildly.
fn is_ours(fault: &TokenFault) -> bool {
    match fault {
        TokenFault::AuthorizedParty { .. }
        | TokenFault::AccessTokenHash
        | TokenFault::IssuedInFuture { .. }
        | TokenFault::NotYetValid { .. }
        | TokenFault::AuthTimeInFuture { .. }
        | TokenFault::SubjectMissing => true,
        TokenFault::Header(why) => why == "b64 is not supported",
        TokenFault::Malformed(why) => {
            why.contains("is not a number of seconds") || why.contains("no date of a calendar")
        }
        _ => false,
    }
}

fn compare(what: &str, raw: &str, document: &Value) {
    let ours = check(raw, &KeySet::from_json(document.as_object().unwrap()));
    match (ours, theirs(raw, document)) {
        (Ok(_), true) => {}
        (Ok(_), false) => panic!("believed by us alone: {what}"),
        (Err(fault), true) => assert!(is_ours(&fault), "refused by us alone: {what}: {fault}"),
        (Err(_), false) => {}
    }
}

/// Values of every type, and some that are nearly right.
fn values() -> Vec<Value> {
    let mut all = vec![
        json!(null),
        json!(true),
        json!("true"),
        json!("yes"),
        json!(0),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!(1e300),
        json!(-1e300),
        json!([]),
        json!({}),
        json!(""),
        json!([7]),
        json!([["headwarden"]]),
        json!({ "headwarden": true }),
    ];
    for text in [
        "headwarden",
        "Headwarden",
        "nonce",
        "key",
        "subject",
        "2030-01-01T00:00:00Z",
        "JWT",
        "application/JWT",
        "JOSE",
        "application/jose",
        "at+jwt",
        "jwt; a=b",
        "sig",
        "enc",
        "RS256",
        "PS256",
        "ES256",
        "es256",
        "ES384",
        "EdDSA",
        "HS256",
        "none",
        "A128GCM",
        "RSA-OAEP",
        "P-256",
        "P-384",
        "Ed25519",
        "EC",
        "RSA",
        "AA",
        "%",
        ISSUER,
        ISSUER.trim_end_matches('/'),
    ] {
        all.push(json!(text));
        all.push(json!([text]));
        all.push(json!([text, "another"]));
    }
    for seconds in [NOW - 61, NOW - 60, NOW, NOW + 60, NOW + 61] {
        all.push(json!(seconds));
    }
    all
}

#[test]
fn nothing_is_believed_that_another_library_refuses_and_what_only_we_refuse_has_a_reason() {
    let usual = |signer: &Signer| json!({ "alg": signer.alg, "kid": "key", "typ": "JWT" });
    let signers = [Signer::es256(), Signer::es384(), Signer::ed25519()];
    let mut compared = 0;
    for (at, signer) in signers.iter().enumerate() {
        let published = json!({ "keys": [signer.jwk] });
        for value in values() {
            for name in ["alg", "kid", "typ", "cty", "crit", "b64", "x"] {
                let mut header = usual(signer);
                header[name] = value.clone();
                let raw = signer.token_with(&header, &claims());
                compare(&format!("header {header}"), &raw, &published);
            }
            for name in ["kty", "use", "kid", "alg", "crv", "x", "y"] {
                let mut jwk = signer.jwk.clone();
                jwk[name] = value.clone();
                let raw = signer.token_with(&usual(signer), &claims());
                compare(&format!("key {jwk}"), &raw, &json!({ "keys": [jwk] }));
            }
            // The claims are read alike, whoever signed them.
            let names = [
                "iss",
                "aud",
                "azp",
                "sub",
                "nonce",
                "exp",
                "iat",
                "nbf",
                "auth_time",
                "at_hash",
                "c_hash",
                "acr",
                "amr",
                "email",
                "email_verified",
                "name",
                "locale",
                "sid",
                "x",
            ];
            for name in names.into_iter().filter(|_| at == 0) {
                let mut claims = claims();
                claims[name] = value.clone();
                let raw = signer.token_with(&usual(signer), &claims);
                compare(&format!("claims {claims}"), &raw, &published);
            }
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared}");
}

#[test]
fn among_several_keys_the_same_one_is_chosen() {
    let rsa = super::tests::rs256();
    let (one, other, longer) = (Signer::es256(), Signer::es256(), Signer::es384());
    let named = |signer: &Signer, kid: Value, usage: &str| {
        let mut jwk = signer.jwk.clone();
        jwk["kid"] = kid;
        jwk["use"] = usage.into();
        jwk
    };
    let sets = [
        json!([]),
        json!([one.jwk]),
        json!([other.jwk]),
        json!([one.jwk, other.jwk]),
        json!([one.jwk, longer.jwk]),
        json!([one.jwk, rsa.jwk]),
        json!([
            named(&one, json!("key"), "sig"),
            named(&other, json!("b"), "sig")
        ]),
        json!([
            named(&one, json!("a"), "sig"),
            named(&other, json!("key"), "sig")
        ]),
        json!([
            named(&one, json!(null), "sig"),
            named(&other, json!("key"), "enc")
        ]),
        json!([named(&one, json!("key"), "enc")]),
        json!([named(&rsa, json!("key"), "sig")]),
    ];
    for keys in &sets {
        let document = json!({ "keys": keys });
        for signer in [&one, &other, &longer, &rsa] {
            for alg in ["RS256", "ES256", "ES384", "EdDSA", "HS256", "none"] {
                for kid in [json!("key"), json!("b"), json!(null), json!("")] {
                    let header = json!({ "alg": alg, "kid": kid });
                    let raw = signer.token_with(&header, &claims());
                    let what = format!("{} says {header}, keys {document}", signer.alg);
                    compare(&what, &raw, &document);
                }
            }
        }
    }
}
