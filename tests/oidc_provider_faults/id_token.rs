//! What an ID token must be.

use super::*;

#[tokio::test]
async fn every_signature_algorithm_of_the_provider_is_verified() {
    for key in [Key::Rsa, Key::Ec] {
        let scene = Scene::unknown(|_| {}).await;
        scene.idp.rotate_to(key);
        scene.rp.refresh().await.unwrap();
        assert!(scene.sign_in().await.is_ok(), "{key:?}");
    }
}

#[tokio::test]
async fn each_fault_of_an_id_token_is_refused_by_its_name_before_userinfo_is_asked() {
    let issuer = |scene: &Scene| scene.idp.issuer();
    let scene = Scene::known().await;
    let rsa = || Some("rsa-key".to_owned());
    let issued_by = |found: &str| TokenFault::Issuer {
        expected: issuer(&scene),
        found: found.to_owned(),
    };
    let without_slash = issuer(&scene).trim_end_matches('/').to_owned();
    let cases = [
        (
            Fault::AudienceOfSomebodyElse,
            TokenFault::Audience {
                found: "\"another-client\"".to_owned(),
            },
        ),
        (
            Fault::TwoAudiencesWithoutAzp,
            TokenFault::AuthorizedParty { found: None },
        ),
        (
            Fault::AzpOfSomebodyElse,
            TokenFault::AuthorizedParty {
                found: Some("another-client".to_owned()),
            },
        ),
        (Fault::IssWithoutSlash, issued_by(&without_slash)),
        (Fault::IssOfSomebodyElse, issued_by("https://evil.example/")),
        (Fault::NonceAbsent, TokenFault::NonceMissing),
        (Fault::NonceWrong, TokenFault::Nonce),
        (Fault::AlgNone, TokenFault::Unsigned),
        (
            Fault::Hs256WithPublicKey,
            TokenFault::Algorithm {
                found: "HS256".to_owned(),
            },
        ),
        (
            Fault::Hs256WithClientSecret,
            TokenFault::Algorithm {
                found: "HS256".to_owned(),
            },
        ),
        (Fault::BadSignature, TokenFault::Signature { kid: rsa() }),
        (Fault::SignedByForger, TokenFault::Signature { kid: rsa() }),
        (
            Fault::UnknownKid,
            TokenFault::UnknownKey {
                kid: Some("nobody-knows-this-key".to_owned()),
            },
        ),
        (
            Fault::ExpiredFor(3600),
            TokenFault::Expired { seconds: 3600 },
        ),
        (Fault::ExpAbsent, TokenFault::ExpiryMissing),
        (
            Fault::IatAhead(3600),
            TokenFault::IssuedInFuture { seconds: 3600 },
        ),
        (Fault::IatAbsent, TokenFault::IssuedAtMissing),
        (
            Fault::NbfAhead(3600),
            TokenFault::NotYetValid { seconds: 3600 },
        ),
        (
            Fault::AuthTimeAhead(3600),
            TokenFault::AuthTimeInFuture { seconds: 3600 },
        ),
        (Fault::BadAtHash, TokenFault::AccessTokenHash),
        (
            Fault::TwoParts,
            TokenFault::Malformed("it has 2 parts".to_owned()),
        ),
        (
            Fault::PayloadIsNoJson,
            TokenFault::Malformed("its payload is not base64url of a JSON object".to_owned()),
        ),
        (
            Fault::TypIsLogoutToken,
            TokenFault::Header("unexpected or unsupported JWT type `logout+jwt`".to_owned()),
        ),
        (
            Fault::CriticalHeader,
            TokenFault::Header("critical JWT header fields are unsupported".to_owned()),
        ),
    ];
    for (fault, reason) in cases {
        scene.idp.bend(fault);
        assert_eq!(scene.refused().await, invalid(reason), "{fault:?}");
    }
    assert_eq!(scene.idp.hits(Endpoint::Userinfo), 0);
    scene.idp.mend();
    assert!(scene.sign_in().await.is_ok());
}

#[tokio::test]
async fn a_token_that_is_encrypted_or_names_nobody_is_refused_by_its_own_name() {
    let scene = Scene::known().await;
    for (fault, error) in [
        (Fault::Encrypted, CallbackError::Encrypted),
        (Fault::SubAbsent, CallbackError::SubjectMissing),
        (Fault::SubEmpty, CallbackError::SubjectMissing),
    ] {
        scene.idp.bend(fault);
        assert_eq!(scene.refused().await, error, "{fault:?}");
    }
    assert_eq!(scene.idp.hits(Endpoint::Userinfo), 0);
}

#[tokio::test]
async fn a_clock_may_be_off_by_sixty_seconds_and_no_more() {
    let scene = Scene::known().await;
    for (fault, refused) in [
        (Fault::ExpiredFor(60), None),
        (
            Fault::ExpiredFor(61),
            Some(TokenFault::Expired { seconds: 61 }),
        ),
        (Fault::IatAhead(60), None),
        (
            Fault::IatAhead(61),
            Some(TokenFault::IssuedInFuture { seconds: 61 }),
        ),
        (Fault::NbfAhead(60), None),
        (
            Fault::NbfAhead(61),
            Some(TokenFault::NotYetValid { seconds: 61 }),
        ),
        (Fault::AuthTimeAhead(60), None),
        (
            Fault::AuthTimeAhead(61),
            Some(TokenFault::AuthTimeInFuture { seconds: 61 }),
        ),
    ] {
        scene.idp.bend(fault);
        let verdict = scene.sign_in().await.map(|_| ()).err();
        assert_eq!(verdict, refused.map(invalid), "{fault:?}");
    }
}

#[tokio::test]
async fn other_audiences_are_fine_when_the_token_was_issued_to_us() {
    let scene = Scene::known().await;
    scene.idp.bend(Fault::TwoAudiencesWithAzp);
    assert!(scene.sign_in().await.is_ok());
}

#[tokio::test]
async fn a_right_at_hash_is_fine() {
    for (key, allow_hs256) in [
        (Key::Rsa, false),
        (Key::Ec, false),
        (Key::ClientSecret, true),
    ] {
        let scene = Scene::unknown(|settings| settings.allow_hs256 = allow_hs256).await;
        scene.idp.rotate_to(key);
        scene.idp.set(|knobs| knobs.at_hash = true);
        scene.rp.refresh().await.unwrap();
        assert!(scene.sign_in().await.is_ok(), "{key:?}");
        scene.idp.bend(Fault::BadAtHash);
        assert_eq!(
            scene.refused().await,
            invalid(TokenFault::AccessTokenHash),
            "{key:?}"
        );
    }
}

#[tokio::test]
async fn hs256_is_taken_only_where_the_operator_allows_it() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.rotate_to(Key::ClientSecret);
    let error = scene.rp.refresh().await.unwrap_err();
    assert!(
        matches!(error, DiscoveryError::Algorithms { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("signing key"), "{error}");

    let scene = Scene::unknown(|settings| settings.allow_hs256 = true).await;
    scene.idp.rotate_to(Key::ClientSecret);
    scene.rp.refresh().await.unwrap();
    assert!(scene.sign_in().await.is_ok());
    scene.idp.bend(Fault::BadSignature);
    assert!(matches!(
        scene.refused().await,
        CallbackError::TokenInvalid {
            reason: TokenFault::Signature { .. }
        }
    ));
}

#[tokio::test]
async fn hs256_with_the_public_key_is_refused_even_where_hs256_is_allowed() {
    let scene = Scene::unknown(|settings| settings.allow_hs256 = true).await;
    scene.idp.bend(Fault::Hs256WithPublicKey);
    scene.rp.refresh().await.unwrap();
    // The provider announces RS256, so HS256 is out whatever the operator allows.
    let refused = invalid(TokenFault::Algorithm {
        found: "HS256".to_owned(),
    });
    assert_eq!(scene.refused().await, refused);
}

#[tokio::test]
async fn tokens_of_the_present_are_valid_in_the_present() {
    #[derive(Debug)]
    struct Present;

    impl Clock for Present {
        #[expect(
            clippy::disallowed_methods,
            reason = "both sides are to have the real time"
        )]
        fn now(&self) -> Timestamp {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Timestamp::from_unix(since.unwrap().as_secs())
        }
    }

    let clock = Arc::new(TestClock(AtomicU64::new(Present.now().unix())));
    let idp = FaultyProvider::start().await;
    let rp = Provider::new(
        &settings(idp.issuer()),
        REDIRECT_URI.to_owned(),
        Arc::new(Present),
        crate::metrics(),
    );
    let scene = Scene {
        idp,
        clock,
        rp: rp.unwrap(),
    };
    scene.rp.refresh().await.unwrap();
    assert!(scene.sign_in().await.is_ok());
}
