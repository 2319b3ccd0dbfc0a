//! Which keys verify, and when they are fetched again.

use super::*;

#[tokio::test]
async fn a_token_without_kid_needs_a_key_set_with_one_candidate() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.rotate_to(Key::Ec);
    scene.idp.bend(Fault::NoKid);
    scene.rp.refresh().await.unwrap();
    assert!(scene.sign_in().await.is_ok());

    scene
        .idp
        .set(|knobs| knobs.published_keys = vec![Key::Rsa, Key::Ec]);
    scene.rp.refresh().await.unwrap();
    assert!(
        scene.sign_in().await.is_ok(),
        "only one of the two can be meant by ES256"
    );

    scene
        .idp
        .set(|knobs| knobs.published_keys = vec![Key::EcOther, Key::Ec]);
    scene.rp.refresh().await.unwrap();
    assert_eq!(scene.refused().await, invalid(TokenFault::AmbiguousKey));
}

#[tokio::test]
async fn a_malformed_key_beside_a_good_one_does_not_matter() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.bend(Fault::JwksWithMalformedKey);
    scene.rp.refresh().await.unwrap();
    assert_eq!(scene.rp.snapshot().unwrap().keys().skipped(), 1);
    assert!(scene.sign_in().await.is_ok());
}

#[tokio::test]
async fn a_key_set_without_keys_is_empty_and_verifies_nothing() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.bend(Fault::JwksWithoutKeys);
    scene.rp.refresh().await.unwrap();
    assert!(scene.rp.snapshot().unwrap().keys().is_empty());
    let unknown = TokenFault::UnknownKey {
        kid: Some("rsa-key".to_owned()),
    };
    assert_eq!(scene.refused().await, invalid(unknown));
}

#[tokio::test]
async fn a_rotation_to_a_key_of_another_algorithm_works_after_one_fetch() {
    let scene = Scene::known().await;
    let before = scene.idp.hits(Endpoint::Jwks);
    for _ in 0..2 {
        assert!(scene.sign_in().await.is_ok());
    }
    assert_eq!(
        scene.idp.hits(Endpoint::Jwks),
        before,
        "known keys need no fetch"
    );
    scene.idp.rotate_to(Key::Ec);
    for _ in 0..3 {
        assert!(scene.sign_in().await.is_ok());
    }
    assert_eq!(scene.idp.hits(Endpoint::Jwks), before + 1);
}

#[tokio::test]
async fn a_new_key_of_the_same_algorithm_works_after_one_fetch() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.rotate_to(Key::Ec);
    scene.rp.refresh().await.unwrap();
    let before = scene.idp.hits(Endpoint::Jwks);
    scene.idp.rotate_to(Key::EcOther);
    for _ in 0..3 {
        assert!(scene.sign_in().await.is_ok());
    }
    assert_eq!(scene.idp.hits(Endpoint::Jwks), before + 1);
}

#[tokio::test]
async fn a_new_key_without_kid_works_after_one_fetch() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.rotate_to(Key::Ec);
    scene.idp.bend(Fault::NoKid);
    scene.rp.refresh().await.unwrap();
    scene.idp.rotate_to(Key::EcOther);
    assert!(scene.sign_in().await.is_ok());
}

#[tokio::test]
async fn a_storm_of_unknown_keys_causes_one_fetch_per_cool_down() {
    let scene = Arc::new(Scene::known().await);
    scene.idp.bend(Fault::UnknownKid);
    let before = scene.idp.hits(Endpoint::Jwks);
    let storm = async || {
        let mut sign_ins = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let scene = Arc::clone(&scene);
            sign_ins.spawn(async move { scene.refused().await });
        }
        for error in sign_ins.join_all().await {
            assert!(matches!(
                error,
                CallbackError::TokenInvalid {
                    reason: TokenFault::UnknownKey { .. }
                }
            ));
        }
        scene.idp.hits(Endpoint::Jwks) - before
    };
    assert_eq!(storm().await, 1);
    scene.clock.advance(29);
    assert_eq!(storm().await, 1);
    scene.clock.advance(1);
    assert_eq!(storm().await, 2);
    scene.idp.mend();
    assert!(scene.sign_in().await.is_ok(), "good keys work all the time");
}

#[tokio::test]
async fn the_old_keys_serve_while_the_key_set_is_down() {
    let scene = Scene::known().await;
    for fault in [Fault::JwksIsDown, Fault::JwksIsHtml, Fault::JwksRedirects] {
        scene.idp.bend(fault);
        assert!(scene.rp.refresh().await.is_err(), "{fault:?}");
        assert!(scene.sign_in().await.is_ok(), "{fault:?}");
    }
    scene.idp.set(|knobs| knobs.signing_key = Key::EcOther);
    assert!(
        scene.sign_in().await.is_err(),
        "a key that cannot be fetched verifies nothing"
    );
    scene.idp.set(|knobs| knobs.signing_key = Key::Rsa);
    assert!(
        scene.sign_in().await.is_ok(),
        "and does not spoil the old ones"
    );
}
