//! What a discovery document must be, and life without one.

use super::*;

#[tokio::test]
async fn each_fault_of_discovery_is_refused_by_its_name_and_leaves_the_provider_unknown() {
    let scene = Scene::unknown(|_| {}).await;
    let issuer = scene.idp.issuer();
    let url = format!("{issuer}.well-known/openid-configuration");
    let fetch = |source| DiscoveryError::Fetch {
        url: url.clone(),
        source,
    };
    let html = || HttpError::NotJson("text/html; charset=utf-8".to_owned());
    let mismatch = |found: &str| DiscoveryError::IssuerMismatch {
        expected: issuer.clone(),
        found: found.to_owned(),
    };
    let keys = |source| DiscoveryError::Keys {
        url: format!("{issuer}jwks/"),
        source,
    };
    let endpoint = |member, url: &str| DiscoveryError::Endpoint {
        member,
        url: url.to_owned(),
    };
    let algorithms = |announced: &str| DiscoveryError::Algorithms {
        announced: vec![announced.to_owned()],
        accepted: ["RS256", "ES256", "ES384", "EdDSA"]
            .map(str::to_owned)
            .to_vec(),
    };
    for (fault, error) in [
        (
            Fault::IssuerWithoutSlash,
            mismatch(issuer.trim_end_matches('/')),
        ),
        (
            Fault::IssuerOfSomebodyElse,
            mismatch("https://evil.example/"),
        ),
        (
            Fault::PlaintextTokenEndpoint,
            endpoint("token_endpoint", "http://elsewhere.example/token/"),
        ),
        (
            Fault::PlaintextJwks,
            endpoint("jwks_uri", "http://elsewhere.example/jwks/"),
        ),
        (
            Fault::EndpointWithCredentials,
            endpoint(
                "token_endpoint",
                "https://user:...@elsewhere.example/token/",
            ),
        ),
        (Fault::DiscoveryRedirects, fetch(HttpError::Redirect(302))),
        (Fault::DiscoveryIsGzip, fetch(HttpError::Encoded)),
        (Fault::DiscoveryIsDown, fetch(HttpError::Status(503))),
        (Fault::DiscoveryIsHtml, fetch(html())),
        (Fault::DiscoveryIsHuge, fetch(HttpError::TooLarge)),
        (Fault::OnlyHs256, algorithms("HS256")),
        (Fault::OnlyEs512, algorithms("ES512")),
        (Fault::JwksIsDown, keys(HttpError::Status(503))),
        (Fault::JwksIsHtml, keys(html())),
        (Fault::JwksRedirects, keys(HttpError::Redirect(302))),
    ] {
        scene.idp.bend(fault);
        assert_eq!(scene.rp.refresh().await, Err(error), "{fault:?}");
        assert!(scene.rp.snapshot().is_none(), "{fault:?}");
    }
    scene.idp.bend(Fault::NoTokenEndpoint);
    let error = scene.rp.refresh().await.unwrap_err().to_string();
    assert!(error.contains("token_endpoint"), "{error}");
    scene.idp.mend();
    assert_eq!(scene.rp.refresh().await, Ok(()));
}

#[tokio::test]
async fn a_known_provider_stays_known_while_it_is_down() {
    let scene = Scene::known().await;
    scene.idp.bend(Fault::DiscoveryIsDown);
    assert!(scene.rp.refresh().await.is_err());
    assert!(scene.sign_in().await.is_ok());

    let attempt = scene.attempt();
    let callback = scene
        .authorize(&attempt, &AuthorizeOptions::default())
        .await;
    drop(scene.idp);
    assert!(scene.rp.refresh().await.is_err());
    assert!(
        scene
            .rp
            .authorization_url(&attempt, &AuthorizeOptions::default())
            .is_ok()
    );
    let error = scene.rp.redeem(&attempt, &callback).await.unwrap_err();
    assert!(
        matches!(
            error,
            CallbackError::ProviderUnavailable {
                source: HttpError::Failed(_),
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_provider_sends_nobody_anywhere() {
    let scene = Scene::unknown(|_| {}).await;
    let attempt = scene.attempt();
    assert!(
        scene
            .rp
            .authorization_url(&attempt, &AuthorizeOptions::default())
            .is_err()
    );
    assert!(
        scene
            .rp
            .end_session_url(&Secret::new("hint".into()), "https://x.example/", "s")
            .is_none()
    );
    assert!(scene.rp.origins().is_empty());
    assert_eq!(scene.rp.framing_origins(), [scene.idp.origin()]);
    let refused = scene.rp.verify_logout_token("a.b.c").await.unwrap_err();
    assert!(matches!(refused, LogoutRefused::ProviderUnknown(_)));
    let callback = Callback {
        state: attempt.state.clone(),
        code: Secret::new("c".into()),
        iss: None,
    };
    let error = scene.rp.redeem(&attempt, &callback).await.unwrap_err();
    assert!(
        matches!(error, CallbackError::ProviderUnknown(_)),
        "{error}"
    );
}

#[tokio::test]
async fn the_start_waits_for_a_provider_that_comes_late() {
    let scene = Scene::unknown(|_| {}).await;
    scene.idp.bend(Fault::DiscoveryIsDown);
    // What was said last, however often it was asked until then.
    let short = Duration::from_secs(3);
    let error = scene
        .rp
        .wait_until_available(short, &SystemEntropy)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");

    let before = scene.idp.hits(Endpoint::Discovery);
    let waiting = {
        let rp = Arc::clone(&scene.rp);
        tokio::spawn(async move {
            rp.wait_until_available(Duration::from_mins(1), &SystemEntropy)
                .await
        })
    };
    // The second attempt is the first that can succeed.
    while scene.idp.hits(Endpoint::Discovery) < before + 2 {
        tokio::task::yield_now().await;
    }
    scene.idp.mend();
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn keeping_fresh_learns_the_provider_and_ends_at_shutdown() {
    let scene = Scene::unknown(|_| {}).await;
    let (stop, stopped) = watch::channel(false);
    let keeping = {
        let rp = Arc::clone(&scene.rp);
        tokio::spawn(async move {
            Provider::keep_fresh(|| Arc::clone(&rp), stopped, &SystemEntropy).await;
        })
    };
    while scene.rp.snapshot().is_none() {
        tokio::task::yield_now().await;
    }
    stop.send(true).unwrap();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_certificate_must_be_trusted_by_the_system_or_by_ca_path() {
    let (idp, certificate) = FaultyProvider::start_tls().await;
    let directory = tempfile::tempdir().unwrap();
    let ca_path = directory.path().join("ca.pem");
    std::fs::write(&ca_path, certificate).unwrap();
    let clock = Arc::new(TestClock(AtomicU64::new(START)));
    let provider = |ca_path| {
        let settings = Oidc {
            ca_path,
            ..settings(idp.issuer())
        };
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
        Provider::new(&settings, REDIRECT_URI.to_owned(), clock, crate::metrics()).unwrap()
    };
    let error = provider(None).refresh().await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(idp.hits(Endpoint::Discovery), 0);
    assert_eq!(provider(Some(ca_path)).refresh().await, Ok(()));
}
