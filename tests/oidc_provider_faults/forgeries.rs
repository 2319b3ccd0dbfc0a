//! ID tokens that somebody bent, signed or not: header parameters that bring their own key, tokens that
//! were made for something else, claims with two meanings, keys that are none.

#![expect(
    clippy::unnecessary_wraps,
    reason = "the rows compare with what may be no fault at all"
)]

use super::*;

/// A token with these header parameters and claims, signed by the right key.
async fn verdict(scene: &Scene, header: &Value, claims: &Value) -> Option<TokenFault> {
    scene.idp.set(|knobs| {
        knobs.header = members(header);
        knobs.id_claims = members(claims);
    });
    let outcome = scene.sign_in().await;
    scene.idp.mend();
    match outcome {
        Ok(_) => None,
        Err(CallbackError::TokenInvalid { reason }) => Some(reason),
        Err(CallbackError::SubjectMissing) => Some(TokenFault::SubjectMissing),
        Err(other) => panic!("{header} {claims}: {other}"),
    }
}

fn header(text: &str) -> Option<TokenFault> {
    Some(TokenFault::Header(text.to_owned()))
}

fn malformed(text: &str) -> Option<TokenFault> {
    Some(TokenFault::Malformed(text.to_owned()))
}

fn algorithm(found: &str) -> Option<TokenFault> {
    Some(TokenFault::Algorithm {
        found: found.to_owned(),
    })
}

fn unknown_key(kid: &str) -> Option<TokenFault> {
    Some(TokenFault::UnknownKey {
        kid: Some(kid.to_owned()),
    })
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_is_not_looked_at_and_not_fetched() {
    let scene = Scene::quick(|_| {}).await;
    let elsewhere = format!("{}/application/o/forger/jwks/", scene.idp.origin());
    for header in [
        json!({"jwk": Key::EcOther.jwk()}),
        json!({"jku": elsewhere}),
        json!({"x5u": elsewhere}),
        json!({"x5c": ["MIIB"], "x5t": "AAAA", "x5t#S256": "AAAA"}),
        json!({"jwk": Key::EcOther.jwk(), "kid": null}),
    ] {
        scene.idp.set(|knobs| {
            knobs.fault = Some(Fault::SignedByForger);
            knobs.header = members(&header);
        });
        let error = scene.refused().await;
        assert!(
            matches!(
                error,
                CallbackError::TokenInvalid {
                    reason: TokenFault::Signature { .. }
                }
            ),
            "{header}: {error}"
        );
        scene.idp.mend();
    }
    let unknown = json!({"jwk": Key::EcOther.jwk(), "kid": "other-ec-key"});
    assert_eq!(
        verdict(&scene, &unknown, &json!({})).await,
        unknown_key("other-ec-key")
    );
    assert_eq!(scene.idp.hits(Endpoint::Other), 0);
}

#[tokio::test]
async fn a_header_that_says_something_else_than_a_signed_token_of_a_known_key_is_refused() {
    let scene = Scene::quick(|_| {}).await;
    let wrong_type = || malformed("a header or claim has the wrong type");
    let typ = |found: &str| header(&format!("unexpected or unsupported JWT type `{found}`"));
    let critical = || header("critical JWT header fields are unsupported");
    for (parameters, fault) in [
        (json!({"alg": "HS256"}), algorithm("HS256")),
        (json!({"alg": "RS256"}), algorithm("RS256")),
        (json!({"alg": "RS512"}), algorithm("RS512")),
        (json!({"alg": "ES512"}), algorithm("ES512")),
        (json!({"alg": "PS256"}), algorithm("PS256")),
        (json!({"alg": "none"}), Some(TokenFault::Unsigned)),
        (json!({"alg": "dir", "enc": "A256GCM"}), wrong_type()),
        (json!({"alg": "b64"}), wrong_type()),
        (json!({"alg": "nOnE"}), wrong_type()),
        (json!({"alg": "es256"}), wrong_type()),
        (json!({"alg": ["ES256"]}), wrong_type()),
        (json!({"alg": null}), wrong_type()),
        (
            json!({"crit": ["b64"], "b64": false}),
            header("b64 is not supported"),
        ),
        (json!({"b64": false}), header("b64 is not supported")),
        (json!({"b64": true}), header("b64 is not supported")),
        (json!({"crit": []}), critical()),
        (json!({"crit": ["http://a.example/"]}), critical()),
        (json!({"crit": "exp"}), wrong_type()),
        (json!({"typ": "logout+jwt"}), typ("logout+jwt")),
        (json!({"typ": "at+jwt"}), typ("at+jwt")),
        (
            json!({"typ": "application/at+jwt"}),
            typ("application/at+jwt"),
        ),
        (json!({"typ": "dpop+jwt"}), typ("dpop+jwt")),
        (json!({"typ": "secevent+jwt"}), typ("secevent+jwt")),
        (json!({"typ": 5}), wrong_type()),
        (
            json!({"cty": "JWT"}),
            header("nested JWT's are not currently supported"),
        ),
        (json!({"kid": "\u{0}"}), unknown_key("\u{0}")),
        (
            json!({"kid": "../../../dev/null"}),
            unknown_key("../../../dev/null"),
        ),
        (
            json!({"kid": "ec-key' OR 1=1"}),
            unknown_key("ec-key' OR 1=1"),
        ),
        (json!({"kid": "EC-KEY"}), unknown_key("EC-KEY")),
        (json!({"kid": ""}), unknown_key("")),
        (json!({"kid": 7}), wrong_type()),
    ] {
        assert_eq!(
            verdict(&scene, &parameters, &json!({})).await,
            fault,
            "{parameters}"
        );
        scene.clock.advance(30);
    }
    for fine in [
        json!({"typ": "jwt"}),
        json!({"typ": null}),
        json!({"kid": null}),
        json!({"zip": null, "unknown": {"a": 1}}),
    ] {
        assert_eq!(verdict(&scene, &fine, &json!({})).await, None, "{fine}");
    }
}

#[tokio::test]
async fn a_token_that_was_made_for_somebody_or_something_else_is_refused() {
    let scene = Scene::quick(|_| {}).await;
    let issuer = scene.idp.issuer();
    let sibling = issuer.replace("/headscale/", "/wiki/");
    let issued_by = |found: &str| {
        Some(TokenFault::Issuer {
            expected: issuer.clone(),
            found: found.to_owned(),
        })
    };
    let audience = |found: Value| {
        Some(TokenFault::Audience {
            found: found.to_string(),
        })
    };
    let party = |found: Option<&str>| {
        Some(TokenFault::AuthorizedParty {
            found: found.map(str::to_owned),
        })
    };
    let both = json!(["wiki", CLIENT_ID]);
    let logout = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    for (claims, fault) in [
        // authentik signs the tokens of all its applications with one key.
        (json!({"iss": sibling, "aud": "wiki"}), issued_by(&sibling)),
        (json!({"iss": sibling}), issued_by(&sibling)),
        (json!({"aud": "wiki"}), audience(json!("wiki"))),
        (
            json!({"aud": "wiki", "azp": CLIENT_ID}),
            audience(json!("wiki")),
        ),
        (json!({"aud": both, "azp": "wiki"}), party(Some("wiki"))),
        (json!({"aud": both}), party(None)),
        (json!({"azp": ""}), party(Some(""))),
        (json!({"azp": "Headwarden"}), party(Some("Headwarden"))),
        (json!({"aud": []}), audience(json!([]))),
        (
            json!({"aud": "headwarden "}),
            audience(json!("headwarden ")),
        ),
        (
            json!({"iss": format!("{issuer}/")}),
            issued_by(&format!("{issuer}/")),
        ),
        (
            json!({"iss": issuer.trim_end_matches('/')}),
            issued_by(issuer.trim_end_matches('/')),
        ),
        (
            json!({"iss": issuer.to_uppercase()}),
            issued_by(&issuer.to_uppercase()),
        ),
        // A logout token must not have a nonce, and an ID token must.
        (
            json!({"events": logout, "nonce": null}),
            Some(TokenFault::NonceMissing),
        ),
        (json!({"nonce": ""}), Some(TokenFault::Nonce)),
        (
            json!({"nonce": "x".repeat(100_000)}),
            Some(TokenFault::Nonce),
        ),
        (json!({"sub": null}), Some(TokenFault::SubjectMissing)),
        (json!({"sub": ""}), Some(TokenFault::SubjectMissing)),
        (json!({"sub": 7}), Some(TokenFault::SubjectMissing)),
        (json!({"sub": ["a"]}), Some(TokenFault::SubjectMissing)),
        (
            json!({"at_hash": "AAAA"}),
            Some(TokenFault::AccessTokenHash),
        ),
        (json!({"at_hash": ""}), Some(TokenFault::AccessTokenHash)),
    ] {
        assert_eq!(
            verdict(&scene, &json!({}), &claims).await,
            fault,
            "{claims}"
        );
    }
    for wrong_type in [
        json!({"aud": {"headwarden": true}}),
        json!({"aud": 5}),
        json!({"azp": [CLIENT_ID]}),
        json!({"nonce": 5}),
        json!({"nonce": ["a"]}),
        json!({"iss": [issuer]}),
        json!({"at_hash": 5}),
    ] {
        let fault = verdict(&scene, &json!({}), &wrong_type).await;
        assert!(
            matches!(fault, Some(TokenFault::Malformed(_))),
            "{wrong_type}: {fault:?}"
        );
    }
    // c_hash belongs to a flow that is not used; a right at_hash is tested beside.
    let fine = json!({"c_hash": "AAAA", "s_hash": "AAAA", "aud": [CLIENT_ID], "azp": CLIENT_ID});
    assert_eq!(verdict(&scene, &json!({}), &fine).await, None);
    assert_eq!(scene.idp.hits(Endpoint::Userinfo), 1);
}

#[tokio::test]
async fn something_that_is_no_id_token_is_not_taken_for_one() {
    let scene = Scene::quick(|_| {}).await;
    for (token, fault) in [
        (json!("opaque-access-token"), "it has 1 parts"),
        (json!("a.b"), "it has 2 parts"),
        (json!("a.b.c.d"), "it has 4 parts"),
        (json!("a.b.c.d.e.f"), "it has 6 parts"),
        (
            json!("é.é.é"),
            "its header is not base64url of a JSON object",
        ),
        (
            json!("e30=.e30=.e30="),
            "its header is not base64url of a JSON object",
        ),
        (
            json!("W10.W10.W10"),
            "its header is not base64url of a JSON object",
        ),
    ] {
        scene
            .idp
            .set(|knobs| knobs.token_answer = members(&json!({"id_token": token})));
        let reason = malformed(fault).unwrap();
        assert_eq!(scene.refused().await, invalid(reason), "{token}");
    }
    // RFC 7516 section 3.1: five parts are an encrypted token, whatever is in them.
    for token in [
        "a.b.c.d.e",
        "....",
        "eyJhbGciOiJSU0EtT0FFUC0yNTYifQ.a.b.c.d",
    ] {
        scene
            .idp
            .set(|knobs| knobs.token_answer = members(&json!({"id_token": token})));
        let error = scene.refused().await;
        assert_eq!(error, CallbackError::Encrypted, "{token}");
        assert!(
            error.to_string().contains("unset the Encryption Key"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_claim_that_stands_twice_is_not_read_at_all() {
    let scene = Scene::quick(|_| {}).await;
    for before in [
        r#""sub":"somebody-else","#,
        r#""nonce":"another","#,
        r#""\u0061ud":"wiki","#,
        r#""email":"root@company.example","#,
        r#""groups":["headscale-admins"],"#,
        r#""exp":9999999999,"#,
        r#""address":{"a":1,"a":2},"#,
    ] {
        scene.idp.set(|knobs| knobs.before_claims = before);
        let reason = malformed("its payload repeats a name").unwrap();
        assert_eq!(scene.refused().await, invalid(reason), "{before}");
    }
    scene
        .idp
        .set(|knobs| knobs.before_claims = r#""address":{"a":1,"b":{"a":2}},"#);
    assert!(scene.sign_in().await.is_ok());
}

#[tokio::test]
async fn a_date_is_a_number_of_seconds_and_nothing_else_escapes_the_clock() {
    let scene = Scene::quick(|_| {}).await;
    let now = START;
    let no_date =
        |claim: &str| malformed(&format!("its claim {claim:?} is not a number of seconds"));
    let expired = |seconds| Some(TokenFault::Expired { seconds });
    for (claims, fault) in [
        (json!({"exp": null}), Some(TokenFault::ExpiryMissing)),
        (json!({"exp": "2999-01-01T00:00:00Z"}), no_date("exp")),
        (json!({"exp": "9999999999"}), no_date("exp")),
        (json!({"exp": [9_999_999_999_u64]}), no_date("exp")),
        (json!({"exp": true}), no_date("exp")),
        (json!({"exp": 0}), expired(now)),
        (json!({"exp": now - 61}), expired(61)),
        (json!({"iat": null}), Some(TokenFault::IssuedAtMissing)),
        (json!({"iat": "2999-01-01T00:00:00Z"}), no_date("iat")),
        (json!({"iat": "0"}), no_date("iat")),
        (json!({"iat": {}}), no_date("iat")),
        (json!({"nbf": "2999-01-01T00:00:00Z"}), no_date("nbf")),
        (json!({"nbf": [0]}), no_date("nbf")),
        (json!({"nbf": false}), no_date("nbf")),
        (
            json!({"nbf": 1e300}),
            Some(TokenFault::NotYetValid {
                seconds: u64::MAX - now,
            }),
        ),
        (
            json!({"auth_time": "2999-01-01T00:00:00Z"}),
            no_date("auth_time"),
        ),
        (json!({"auth_time": []}), no_date("auth_time")),
        (
            json!({"auth_time": now + 61}),
            Some(TokenFault::AuthTimeInFuture { seconds: 61 }),
        ),
    ] {
        assert_eq!(
            verdict(&scene, &json!({}), &claims).await,
            fault,
            "{claims}"
        );
    }
    for refused in [
        json!({"exp": -1}),
        json!({"exp": -1e300}),
        json!({"exp": 1e300}),
        json!({"exp": u64::MAX}),
        json!({"iat": u64::MAX}),
        json!({"iat": 1e300}),
        json!({"auth_time": 1e300}),
    ] {
        assert!(
            verdict(&scene, &json!({}), &refused).await.is_some(),
            "{refused}"
        );
    }
    for fine in [
        json!({"exp": now + 1}),
        json!({"exp": 1_800_000_000.5}),
        // Beyond 2038, and the last second of 9999.
        json!({"exp": 2_147_483_648_u64}),
        json!({"exp": 4_294_967_296_u64}),
        json!({"exp": 253_402_300_799_u64}),
        json!({"iat": now - 86_400}),
        json!({"iat": 1_799_999_999.9}),
        json!({"nbf": now, "auth_time": now}),
        json!({"auth_time": null, "nbf": null}),
        json!({"nbf": -5}),
    ] {
        assert_eq!(verdict(&scene, &json!({}), &fine).await, None, "{fine}");
    }
}

#[tokio::test]
async fn the_skew_is_sixty_seconds_for_every_date() {
    assert_eq!(headwarden::oidc::id_token::SKEW, Duration::from_mins(1));
    let scene = Scene::quick(|_| {}).await;
    for (off, tolerated) in [(59, true), (60, true), (61, false)] {
        for claims in [
            json!({"exp": START - off}),
            json!({"iat": START + off}),
            json!({"nbf": START + off}),
            json!({"auth_time": START + off}),
        ] {
            let fault = verdict(&scene, &json!({}), &claims).await;
            assert_eq!(fault.is_none(), tolerated, "{claims}: {fault:?}");
        }
        let signed_in = scene.sign_in().await.unwrap();
        let asked = Timestamp::from_unix(START + off);
        let fresh = signed_in.check_step_up(&Person::Member.subject(), Some(asked));
        assert_eq!(fresh.is_ok(), tolerated, "a step-up {off} s later");
    }
}

#[tokio::test]
async fn hs256_needs_the_operator_and_the_provider_and_the_secret() {
    let announced =
        |algorithms: &Value| members(&json!({"id_token_signing_alg_values_supported": algorithms}));
    let signature = || invalid(TokenFault::Signature { kid: None });
    let not_accepted = || invalid(algorithm("HS256").unwrap());
    for (allowed, algorithms, fault, outcome) in [
        (
            false,
            json!(["HS256", "ES256"]),
            Fault::Hs256WithClientSecret,
            Err(not_accepted()),
        ),
        (
            false,
            json!(["HS256", "ES256"]),
            Fault::Hs256WithPublicKey,
            Err(not_accepted()),
        ),
        (
            true,
            json!(["ES256"]),
            Fault::Hs256WithClientSecret,
            Err(not_accepted()),
        ),
        (
            true,
            json!(["HS256", "ES256"]),
            Fault::Hs256WithPublicKey,
            Err(signature()),
        ),
        (
            true,
            json!(["HS256", "RS256"]),
            Fault::Hs256WithPublicKey,
            Err(signature()),
        ),
        (
            true,
            json!(["HS256", "ES256"]),
            Fault::Hs256WithClientSecret,
            Ok(()),
        ),
    ] {
        for key in [Key::Ec, Key::Rsa] {
            let scene = Scene::unknown(|settings| settings.allow_hs256 = allowed).await;
            scene.idp.rotate_to(key);
            scene.idp.set(|knobs| {
                knobs.discovery = announced(&algorithms);
                knobs.fault = Some(fault);
            });
            scene.rp.refresh().await.unwrap();
            let found = scene.sign_in().await.map(drop);
            assert_eq!(found, outcome, "{allowed} {algorithms} {fault:?} {key:?}");
        }
    }
}

#[tokio::test]
async fn a_key_set_is_read_key_by_key_and_no_weak_or_secret_key_is_in_it() {
    let scene = Scene::quick(|_| {}).await;
    let good = || Key::Ec.jwk().unwrap();
    let with = |first: Value| json!({"keys": [first, good()]});
    let mut same_kid = Key::EcOther.jwk().unwrap();
    same_kid["kid"] = json!("ec-key");
    let mut rsa_of_the_same_kid = Key::Rsa.jwk().unwrap();
    rsa_of_the_same_kid["kid"] = json!("ec-key");
    let many: Vec<Value> = (0..2000)
        .map(
            |at| json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": format!("{at}")}),
        )
        .chain([good()])
        .collect();
    let mut for_encryption = good();
    for_encryption["use"] = json!("enc");
    for (jwks, outcome) in [
        (json!({}), unknown_key("ec-key")),
        (json!({"keys": []}), unknown_key("ec-key")),
        (
            json!({"keys": [null, 5, "x", [], {}]}),
            unknown_key("ec-key"),
        ),
        (json!({"keys": [for_encryption]}), unknown_key("ec-key")),
        (with(same_kid), Some(TokenFault::AmbiguousKey)),
        (with(rsa_of_the_same_kid), None),
        (
            with(json!({"kty": "oct", "k": "c2VjcmV0", "kid": "ec-key"})),
            None,
        ),
        (with(json!({"kty": "ML-DSA", "kid": "ec-key"})), None),
        (
            with(json!({"kty": "EC", "crv": "P-256", "x": "AA", "kid": "ec-key"})),
            None,
        ),
        (
            with(json!({"kty": "RSA", "n": "AA", "e": "AQ", "kid": "ec-key"})),
            None,
        ),
        (with(json!("%%%")), None),
        (json!({"keys": many}), None),
        (json!({"keys": [good()], "unknown": 5}), None),
    ] {
        scene.idp.set(|knobs| knobs.jwks = Some(jwks.clone()));
        scene.rp.refresh().await.unwrap();
        let found = scene.sign_in().await.map(drop).err();
        let shown: String = jwks.to_string().chars().take(200).collect();
        assert_eq!(found, outcome.map(invalid), "{shown}");
        scene.clock.advance(30);
    }
    for broken in [
        json!({"keys": null}),
        json!({"keys": {}}),
        json!({"keys": "x"}),
    ] {
        scene.idp.set(|knobs| knobs.jwks = Some(broken.clone()));
        assert!(scene.rp.refresh().await.is_err(), "{broken}");
        assert!(scene.sign_in().await.is_ok(), "{broken}: the old keys stay");
    }
}

#[tokio::test]
async fn a_key_of_512_bits_verifies_nothing() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.rotate_to(Key::Weak);
    scene.rp.refresh().await.unwrap();
    assert_eq!(
        scene.refused().await,
        invalid(unknown_key("weak-key").unwrap())
    );
}

#[tokio::test]
async fn a_key_that_could_not_be_fetched_is_asked_for_again_after_five_seconds() {
    let scene = Scene::quick(|_| {}).await;
    scene.idp.rotate_to(Key::EcOther);
    scene.idp.sicken(Endpoint::Jwks, Ill::Status(503));
    let before = scene.idp.hits(Endpoint::Jwks);
    for (later, fetches) in [(0, 1), (4, 1), (1, 2), (4, 2)] {
        scene.clock.advance(later);
        for _ in 0..3 {
            let unknown = unknown_key("other-ec-key").unwrap();
            assert_eq!(scene.refused().await, invalid(unknown), "{later}");
        }
        assert_eq!(scene.idp.hits(Endpoint::Jwks), before + fetches, "{later}");
    }
    scene.idp.mend();
    scene.clock.advance(1);
    assert!(scene.sign_in().await.is_ok(), "the provider is well again");
    assert_eq!(scene.idp.hits(Endpoint::Jwks), before + 3);
}

#[tokio::test]
async fn a_new_key_under_the_name_of_the_old_one_works_after_one_fetch() {
    let scene = Scene::quick(|_| {}).await;
    let mut renamed = Key::EcOther.jwk().unwrap();
    renamed["kid"] = json!("ec-key");
    scene.idp.set(|knobs| {
        knobs.jwks = Some(json!({"keys": [renamed]}));
        knobs.fault = Some(Fault::SignedByForger);
    });
    let before = scene.idp.hits(Endpoint::Jwks);
    for _ in 0..3 {
        assert!(scene.sign_in().await.is_ok());
    }
    assert_eq!(scene.idp.hits(Endpoint::Jwks), before + 1);
}
