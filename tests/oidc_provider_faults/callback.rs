//! What a callback must be, and the exchange behind it.

use super::*;

#[tokio::test]
async fn the_authorization_request_says_what_it_must_and_what_was_asked_for() {
    let scene = Scene::known().await;
    let attempt = scene.attempt();
    let options = AuthorizeOptions {
        prompt_login: true,
        max_age: Some(Duration::ZERO),
        acr_values: vec!["gold".to_owned(), "silver".to_owned()],
        login_hint: Some("ada".to_owned()),
    };
    let query = |options| {
        let url = scene.rp.authorization_url(&attempt, &options).unwrap();
        assert!(url.as_str().starts_with(scene.idp.origin()));
        url.query_pairs().into_owned().collect::<Vec<_>>()
    };
    let usual: Vec<(String, String)> = [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid profile email"),
        ("state", &attempt.state),
        ("nonce", &attempt.nonce),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let plain = query(AuthorizeOptions::default());
    assert_eq!(plain[..6], usual);
    assert_eq!(
        plain[7],
        ("code_challenge_method".to_owned(), "S256".to_owned())
    );
    assert_eq!(plain[8], ("acr_values".to_owned(), "bronze".to_owned()));
    assert_eq!(
        plain[9],
        ("domain_hint".to_owned(), "company.example".to_owned())
    );
    assert_eq!(plain.len(), 10);
    assert!(!plain.iter().any(|(_, value)| *value == attempt.verifier));

    let asked = query(options);
    // Of the classes that the operator asks for at every sign-in, none is left.
    for (name, value) in [
        ("prompt", "login"),
        ("max_age", "1"),
        ("acr_values", "gold silver"),
        ("login_hint", "ada"),
    ] {
        let times = asked.iter().filter(|(asked, _)| asked == name).count();
        assert_eq!(times, 1, "{name}");
        assert!(
            asked.contains(&(name.to_owned(), value.to_owned())),
            "{name}"
        );
    }
}

#[tokio::test]
async fn each_fault_of_the_token_endpoint_is_refused_by_its_name() {
    let scene = Scene::known().await;
    let html = || HttpError::NotJson("text/html; charset=utf-8".to_owned());
    for (fault, error) in [
        (
            Fault::TokenIsDown,
            unavailable(Answering::Token, HttpError::Status(503)),
        ),
        (Fault::TokenIsHtml, unavailable(Answering::Token, html())),
        (
            Fault::TokenIsHuge,
            unavailable(Answering::Token, HttpError::TooLarge),
        ),
        (
            Fault::TokenRedirects,
            unavailable(Answering::Token, HttpError::Redirect(302)),
        ),
        (
            Fault::TokenIsMissing,
            unavailable(Answering::Token, HttpError::Status(404)),
        ),
        (Fault::NoIdToken, AnswerFault::NoIdToken.into()),
        (Fault::NoAccessToken, AnswerFault::NoAccessToken.into()),
        (
            Fault::TokenTypeMac,
            AnswerFault::TokenType("mac".to_owned()).into(),
        ),
        (
            Fault::ErrorWith200,
            CallbackError::CodeRefused {
                error: "invalid_grant".to_owned(),
                description: "no".to_owned(),
            },
        ),
        (
            Fault::InvalidClient,
            CallbackError::CodeRefused {
                error: "invalid_client".to_owned(),
                description: "Client authentication failed".to_owned(),
            },
        ),
    ] {
        scene.idp.bend(fault);
        assert_eq!(scene.refused().await, error, "{fault:?}");
    }
    assert_eq!(scene.idp.hits(Endpoint::Userinfo), 0);
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up() {
    let scene = Scene::unknown(|it| it.timeout = Duration::from_secs(2)).await;
    scene.idp.bend(Fault::DiscoveryHangs);
    let error = scene.rp.refresh().await.unwrap_err();
    assert!(
        matches!(
            error,
            DiscoveryError::Fetch {
                source: HttpError::Timeout,
                ..
            }
        ),
        "{error}"
    );
    scene.idp.mend();
    scene.rp.refresh().await.unwrap();
    scene.idp.bend(Fault::TokenHangs);
    assert_eq!(
        scene.refused().await,
        unavailable(Answering::Token, HttpError::Timeout)
    );
    scene.idp.bend(Fault::UserinfoHangs);
    assert_eq!(
        scene.refused().await,
        unavailable(Answering::Userinfo, HttpError::Timeout)
    );
}

#[tokio::test]
async fn a_callback_with_a_wrong_state_or_iss_or_age_never_reaches_the_token_endpoint() {
    let scene = Scene::known().await;
    let attempt = scene.attempt();
    let good = scene
        .authorize(&attempt, &AuthorizeOptions::default())
        .await;
    for state in [
        String::new(),
        good.state.to_uppercase(),
        format!("{}x", good.state),
    ] {
        let callback = Callback {
            state,
            ..good.clone()
        };
        let error = scene.rp.redeem(&attempt, &callback).await.unwrap_err();
        assert_eq!(error, CallbackError::StateMismatch);
    }
    let other = scene.attempt();
    let error = scene.rp.redeem(&other, &good).await.unwrap_err();
    assert_eq!(error, CallbackError::StateMismatch);

    let issuer = scene.idp.issuer();
    for found in [
        "",
        "https://evil.example/",
        issuer.trim_end_matches('/'),
        &issuer.to_uppercase(),
    ] {
        let callback = Callback {
            iss: Some(found.to_owned()),
            ..good.clone()
        };
        let error = scene.rp.redeem(&attempt, &callback).await.unwrap_err();
        let wanted = IssMismatch::Other {
            expected: issuer.clone(),
            found: found.to_owned(),
        };
        assert_eq!(error, CallbackError::IssMismatch(wanted));
    }

    scene.clock.advance(3600);
    let error = scene.rp.redeem(&attempt, &good).await.unwrap_err();
    assert_eq!(error, CallbackError::AttemptExpired);
    assert_eq!(scene.idp.hits(Endpoint::Token), 0);
}

#[tokio::test]
async fn an_announced_iss_must_be_there() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.set(|knobs| knobs.advertises_iss = true);
    scene.rp.refresh().await.unwrap();
    assert!(scene.sign_in().await.is_ok());
    let before = scene.idp.hits(Endpoint::Token);

    let attempt = scene.attempt();
    let mut callback = scene
        .authorize(&attempt, &AuthorizeOptions::default())
        .await;
    assert_eq!(callback.iss.take(), Some(scene.idp.issuer()));
    let error = scene.rp.redeem(&attempt, &callback).await.unwrap_err();
    assert_eq!(error, CallbackError::IssMismatch(IssMismatch::Missing));
    assert_eq!(scene.idp.hits(Endpoint::Token), before);
}

#[tokio::test]
async fn a_code_works_once() {
    let scene = Scene::known().await;
    let attempt = scene.attempt();
    let callback = scene
        .authorize(&attempt, &AuthorizeOptions::default())
        .await;
    assert!(scene.rp.redeem(&attempt, &callback).await.is_ok());
    let error = scene.rp.redeem(&attempt, &callback).await.unwrap_err();
    assert!(
        matches!(&error, CallbackError::CodeRefused { error, .. } if error == "invalid_grant"),
        "{error}"
    );
}

#[tokio::test]
async fn a_code_of_another_sign_in_is_refused() {
    for pkce in [Pkce::S256, Pkce::Plain] {
        let scene = Scene::unknown(|settings| settings.pkce = pkce).await;
        scene.rp.refresh().await.unwrap();
        let (victim, attacker) = (scene.attempt(), scene.attempt());
        let stolen = scene
            .authorize(&attacker, &AuthorizeOptions::default())
            .await;
        let injected = Callback {
            state: victim.state.clone(),
            ..stolen
        };
        let error = scene.rp.redeem(&victim, &injected).await.unwrap_err();
        assert!(
            matches!(error, CallbackError::CodeRefused { .. }),
            "{pkce:?} {error}"
        );
        assert!(scene.sign_in().await.is_ok(), "{pkce:?}");
    }
}

#[tokio::test]
async fn the_client_authenticates_in_the_way_the_provider_takes() {
    for fault in [None, Some(Fault::OnlyPostAuth)] {
        let scene = Scene::unknown(|_| {}).await;
        scene.idp.set(|knobs| knobs.fault = fault);
        scene.rp.refresh().await.unwrap();
        assert!(scene.sign_in().await.is_ok(), "{fault:?}");
    }
}

#[tokio::test]
async fn what_went_wrong_can_be_logged_without_a_secret() {
    let scene = Scene::known().await;
    let attempt = scene.attempt();
    let callback = scene
        .authorize(&attempt, &AuthorizeOptions::default())
        .await;
    let code = callback.code.expose().clone();
    scene.idp.bend(Fault::InvalidClient);
    let error = scene.rp.redeem(&attempt, &callback).await.unwrap_err();
    scene.idp.mend();
    let signed_in = scene.rp.redeem(&attempt, &callback).await.unwrap();
    let logged = format!(
        "{error} {error:?} {signed_in:?} {:?} {callback:?}",
        scene.rp
    );
    for secret in [&code, CLIENT_SECRET, signed_in.id_token.expose()] {
        assert!(!logged.contains(secret), "{logged}");
    }
}
