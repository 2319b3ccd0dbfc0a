use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::id_token::accepted_algorithms;
use super::super::id_token::tests::Signer;
use super::*;
use crate::domain::identity::Issuer;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;

const ISSUER: &str = "https://idp.example/application/o/headscale/";
const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3600;
const SECRET: &str = "a client secret of some length";

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "subject", "sid": "session", "aud": "headwarden",
        "iat": NOW, "exp": NOW + 300, "jti": "once", "events": { EVENT: {} },
    })
}

/// Puts members in, and takes out those that are null.
fn patched(mut object: Value, members: &Value) -> Value {
    let object_members = object.as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            object_members.remove(name);
        } else {
            object_members.insert(name.clone(), value.clone());
        }
    }
    object
}

/// A token with these changes to its header and its claims, signed by the provider.
fn token(signer: &Signer, header: &Value, changed: &Value) -> String {
    let usual = json!({ "alg": signer.alg, "kid": "key", "typ": "logout+jwt" });
    signer.token_with(&patched(usual, header), &patched(claims(), changed))
}

fn check(raw: &str, keys: &KeySet) -> Result<LogoutToken, TokenFault> {
    check_with(raw, keys, false)
}

fn check_with(raw: &str, keys: &KeySet, hs256: bool) -> Result<LogoutToken, TokenFault> {
    let (issuer, secret) = (Issuer::new(ISSUER), Secret::new(SECRET.to_owned()));
    let trust = Trust {
        issuer: &issuer,
        client_id: "headwarden",
        hs256_secret: hs256.then_some(&secret),
        algorithms: &accepted_algorithms(hs256),
        now: Timestamp::from_unix(NOW),
    };
    verify(raw, keys, &trust)
}

fn person() -> Subject {
    Subject::new("subject")
}

fn session() -> ProviderSession {
    ProviderSession::new("session")
}

#[test]
fn each_accepted_algorithm_verifies_and_says_whose_sessions_end() {
    for signer in [Signer::es256(), Signer::es384(), Signer::ed25519()] {
        let keys = signer.keys();
        for (changed, departure) in [
            (json!({}), Departure::SessionOf(session(), person())),
            (json!({ "sid": null }), Departure::Person(person())),
            (json!({ "sub": null }), Departure::Session(session())),
        ] {
            let verified = check(&token(&signer, &json!({}), &changed), &keys);
            assert_eq!(
                verified.map(|token| token.departure),
                Ok(departure),
                "{changed}"
            );
        }
    }
}

#[test]
fn what_is_not_forbidden_is_no_reason_to_refuse_it() {
    let signer = Signer::es256();
    let keys = signer.keys();
    for (header, changed) in [
        (json!({ "typ": "JWT" }), json!({})),
        (json!({ "typ": "jwt" }), json!({})),
        (json!({ "typ": "application/logout+jwt" }), json!({})),
        (json!({ "typ": "Logout+JWT" }), json!({})),
        (json!({ "typ": null }), json!({})),
        (json!({ "kid": null }), json!({})),
        (json!({}), json!({ "aud": ["headwarden"] })),
        (
            json!({}),
            json!({ "aud": ["other", "headwarden"], "azp": "headwarden" }),
        ),
        (
            json!({}),
            json!({ "events": { EVENT: { "why": "asked" }, "https://a.example": 5 } }),
        ),
        (
            json!({}),
            json!({ "email": 5, "auth_time": NOW, "nbf": NOW, "amr": "x" }),
        ),
        (json!({}), json!({ "exp": NOW - 60 })),
        (json!({}), json!({ "iat": NOW + 60 })),
        (json!({}), json!({ "iat": NOW - HOUR - 60 })),
        (json!({}), json!({ "iat": 1_800_000_000.5 })),
    ] {
        let verdict = check(&token(&signer, &header, &changed), &keys);
        assert!(verdict.is_ok(), "{header} {changed}: {verdict:?}");
    }
}

#[test]
fn a_token_of_another_or_for_another_or_out_of_time_is_refused() {
    let signer = Signer::es256();
    let keys = signer.keys();
    let issuer = |found: &str| TokenFault::Issuer {
        expected: ISSUER.to_owned(),
        found: found.to_owned(),
    };
    let audience = |found: &str| TokenFault::Audience {
        found: found.to_owned(),
    };
    for (changed, fault) in [
        (
            json!({ "iss": "https://evil.example/" }),
            issuer("https://evil.example/"),
        ),
        (
            json!({ "iss": ISSUER.trim_end_matches('/') }),
            issuer(ISSUER.trim_end_matches('/')),
        ),
        (json!({ "aud": "other" }), audience("\"other\"")),
        (json!({ "aud": [] }), audience("[]")),
        (json!({ "aud": null }), audience("")),
        (
            json!({ "aud": ["headwarden", "other"] }),
            TokenFault::AuthorizedParty { found: None },
        ),
        (
            json!({ "azp": "other" }),
            TokenFault::AuthorizedParty {
                found: Some("other".to_owned()),
            },
        ),
        (
            json!({ "exp": NOW - 61 }),
            TokenFault::Expired { seconds: 61 },
        ),
        (json!({ "exp": null }), TokenFault::ExpiryMissing),
        (json!({ "iat": null }), TokenFault::IssuedAtMissing),
        (
            json!({ "iat": NOW + 61 }),
            TokenFault::IssuedInFuture { seconds: 61 },
        ),
        (
            json!({ "nbf": NOW + 61 }),
            TokenFault::NotYetValid { seconds: 61 },
        ),
        (
            json!({ "iat": NOW - HOUR - 61 }),
            TokenFault::Stale { seconds: HOUR + 61 },
        ),
    ] {
        let verdict = check(&token(&signer, &json!({}), &changed), &keys);
        assert_eq!(verdict, Err(fault), "{changed}");
    }
    for changed in [
        json!({ "exp": "soon" }),
        json!({ "iat": "now" }),
        json!({ "iat": [NOW] }),
        json!({ "exp": 1e300 }),
        json!({ "iss": [ISSUER] }),
        json!({ "iss": null }),
    ] {
        let verdict = check(&token(&signer, &json!({}), &changed), &keys);
        assert!(
            matches!(verdict, Err(TokenFault::Malformed(_))),
            "{changed}: {verdict:?}"
        );
    }
}

#[test]
fn one_wrong_claim_is_enough_to_refuse_it() {
    let signer = Signer::es256();
    let keys = signer.keys();
    let event = |value: Value| json!({ "events": { EVENT: value } });
    let no_text = |name: &str| TokenFault::Malformed(format!("its claim {name:?} is not a text"));
    for (changed, fault) in [
        (json!({ "sub": null, "sid": null }), TokenFault::NobodyNamed),
        (json!({ "sub": "" }), no_text("sub")),
        (json!({ "sid": "" }), no_text("sid")),
        (json!({ "sub": ["subject"] }), no_text("sub")),
        (json!({ "sid": 7 }), no_text("sid")),
        (json!({ "jti": null }), TokenFault::IdentifierMissing),
        (json!({ "jti": "" }), no_text("jti")),
        (json!({ "jti": 7 }), no_text("jti")),
        (json!({ "nonce": "nonce" }), TokenFault::NonceForbidden),
        (json!({ "nonce": "" }), TokenFault::NonceForbidden),
        (json!({ "events": null }), TokenFault::NoLogoutEvent),
        (json!({ "events": {} }), TokenFault::NoLogoutEvent),
        (json!({ "events": EVENT }), TokenFault::NoLogoutEvent),
        (json!({ "events": [EVENT] }), TokenFault::NoLogoutEvent),
        (
            json!({ "events": { "https://a.example/event": {} } }),
            TokenFault::NoLogoutEvent,
        ),
        (
            json!({ "events": { EVENT.to_uppercase(): {} } }),
            TokenFault::NoLogoutEvent,
        ),
        (
            json!({ "events": { format!("{EVENT}/"): {} } }),
            TokenFault::NoLogoutEvent,
        ),
        (event(json!(null)), TokenFault::NoLogoutEvent),
        (event(json!(true)), TokenFault::NoLogoutEvent),
        (event(json!("{}")), TokenFault::NoLogoutEvent),
        (event(json!([])), TokenFault::NoLogoutEvent),
    ] {
        let verdict = check(&token(&signer, &json!({}), &changed), &keys);
        assert_eq!(verdict, Err(fault), "{changed}");
    }
    let null = patched(claims(), &json!({}))
        .to_string()
        .replacen('{', "{\"nonce\":null,", 1);
    let null: Value = serde_json::from_str(&null).unwrap();
    let header = json!({ "alg": "ES256", "kid": "key", "typ": "logout+jwt" });
    let verdict = check(&signer.token_with(&header, &null), &keys);
    assert_eq!(verdict, Err(TokenFault::NonceForbidden));
}

#[test]
fn a_header_of_something_else_is_refused() {
    let signer = Signer::es256();
    let keys = signer.keys();
    let typ =
        |found: &str| TokenFault::Header(format!("unexpected or unsupported JWT type `{found}`"));
    let algorithm = |found: &str| TokenFault::Algorithm {
        found: found.to_owned(),
    };
    let malformed = || TokenFault::Malformed("a header or claim has the wrong type".to_owned());
    for (header, fault) in [
        (json!({ "typ": "at+jwt" }), typ("at+jwt")),
        (json!({ "typ": "secevent+jwt" }), typ("secevent+jwt")),
        (json!({ "typ": "JOSE" }), typ("JOSE")),
        (json!({ "typ": "" }), typ("")),
        (json!({ "typ": "logout+jwt; a=b" }), typ("logout+jwt; a=b")),
        (json!({ "typ": 5 }), malformed()),
        (json!({ "alg": "none" }), TokenFault::Unsigned),
        (json!({ "alg": "None" }), malformed()),
        (json!({ "alg": null }), malformed()),
        (json!({ "alg": "HS256" }), algorithm("HS256")),
        (json!({ "alg": "RS512" }), algorithm("RS512")),
        (json!({ "alg": "ES512" }), algorithm("ES512")),
        (
            json!({ "b64": false }),
            TokenFault::Header("b64 is not supported".to_owned()),
        ),
        (
            json!({ "crit": ["exp"] }),
            TokenFault::Header("critical JWT header fields are unsupported".to_owned()),
        ),
        (
            json!({ "cty": "JWT" }),
            TokenFault::Header("nested JWT's are not currently supported".to_owned()),
        ),
        (
            json!({ "kid": "other" }),
            TokenFault::UnknownKey {
                kid: Some("other".to_owned()),
            },
        ),
    ] {
        let verdict = check(&token(&signer, &header, &json!({})), &keys);
        assert_eq!(verdict, Err(fault), "{header}");
    }
}

#[test]
fn only_the_providers_key_signs() {
    let (signer, forger) = (Signer::es256(), Signer::es256());
    let raw = token(&signer, &json!({}), &json!({}));
    let wrong = TokenFault::Signature {
        kid: Some("key".to_owned()),
    };
    assert_eq!(check(&raw, &forger.keys()), Err(wrong.clone()));
    // What was signed is what counts: the claims of one token with the signature of another.
    let other = token(&signer, &json!({}), &json!({ "sub": "somebody else" }));
    let (signed, _) = raw.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    assert_eq!(
        check(&format!("{signed}.{signature}"), &signer.keys()),
        Err(wrong)
    );
    let unknown = TokenFault::UnknownKey {
        kid: Some("key".to_owned()),
    };
    assert_eq!(check(&raw, &KeySet::default()), Err(unknown));
    for keyless in [format!("{signed}."), format!("{signed}.AAAA")] {
        assert!(check(&keyless, &signer.keys()).is_err(), "{keyless}");
    }
    let mut encryption = Signer::es256();
    encryption.jwk = signer.jwk.clone();
    encryption.jwk["use"] = "enc".into();
    assert!(matches!(
        check(&raw, &encryption.keys()),
        Err(TokenFault::UnknownKey { .. })
    ));
}

#[test]
fn the_client_secret_signs_only_where_the_operator_said_so() {
    use ring::hmac;
    let sign = |secret: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signer = Signer {
            alg: "HS256",
            jwk: json!({}),
            sign: Box::new(move |input| hmac::sign(&key, input).as_ref().to_vec()),
        };
        token(&signer, &json!({ "kid": null }), &json!({}))
    };
    let (right, wrong, none) = (
        sign(SECRET),
        sign("another secret of some length"),
        KeySet::default(),
    );
    assert!(check_with(&right, &none, true).is_ok());
    let refused = TokenFault::Algorithm {
        found: "HS256".to_owned(),
    };
    assert_eq!(check_with(&right, &none, false), Err(refused));
    assert_eq!(
        check_with(&wrong, &none, true),
        Err(TokenFault::Signature { kid: None })
    );
}

#[test]
fn what_is_no_signed_token_has_a_name() {
    let signer = Signer::es256();
    let keys = signer.keys();
    assert_eq!(check("a.b.c.d.e", &keys), Err(TokenFault::Encrypted));
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"key"}"#);
    let twice = URL_SAFE_NO_PAD.encode(r#"{"sub":"a","sub":"b"}"#);
    let list = URL_SAFE_NO_PAD.encode("[]");
    for raw in [
        "",
        ".",
        "..",
        "a",
        "a.b",
        "a.b.c.d",
        "%.%.%",
        &format!("{header}.{twice}.AAAA"),
        &format!("{header}.{list}.AAAA"),
        &format!(
            "{header}.{}.AAAA=",
            URL_SAFE_NO_PAD.encode(claims().to_string())
        ),
    ] {
        let verdict = check(raw, &keys);
        assert!(
            matches!(verdict, Err(TokenFault::Malformed(_))),
            "{raw:?}: {verdict:?}"
        );
    }
}

#[test]
fn a_token_is_remembered_by_its_issuer_and_identifier() {
    let signer = Signer::es256();
    let used_as = |jti: &str| {
        let raw = token(&signer, &json!({}), &json!({ "jti": jti }));
        check(&raw, &signer.keys()).unwrap().used_as
    };
    assert_eq!(used_as("a"), used_as("a"));
    assert_ne!(used_as("a"), used_as("b"));
    assert!(used_as("a").contains(ISSUER) && used_as("a").ends_with(" a"));
}
