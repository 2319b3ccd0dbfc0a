//! Every endpoint, ill in every way: the answer is cut off, not guessed at and not followed, and the
//! next one counts again.

use super::*;

const ENDPOINTS: [Endpoint; 4] = [
    Endpoint::Discovery,
    Endpoint::Jwks,
    Endpoint::Token,
    Endpoint::Userinfo,
];

const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

/// What comes of asking an ill endpoint.
async fn asked(scene: &Scene, endpoint: Endpoint) -> HttpError {
    match endpoint {
        Endpoint::Discovery => match scene.rp.refresh().await.unwrap_err() {
            DiscoveryError::Fetch { source, .. } => source,
            other => panic!("{other}"),
        },
        Endpoint::Jwks => match scene.rp.refresh().await.unwrap_err() {
            DiscoveryError::Keys { source, .. } => source,
            other => panic!("{other}"),
        },
        _ => match scene.refused().await {
            CallbackError::ProviderUnavailable {
                source,
                endpoint: Answering::Token,
            } if endpoint == Endpoint::Token => source,
            CallbackError::ProviderUnavailable {
                source,
                endpoint: Answering::Userinfo,
            } if endpoint == Endpoint::Userinfo => source,
            other => panic!("{other}"),
        },
    }
}

/// What an operating system says about a broken connection is its own business.
fn named(error: HttpError) -> HttpError {
    match error {
        HttpError::Failed(_) => HttpError::Failed(String::new()),
        other => other,
    }
}

fn not_json(kind: &str) -> HttpError {
    HttpError::NotJson(kind.to_owned())
}

pub(super) fn ills() -> Vec<(Ill, HttpError)> {
    let json = || not_json("application/json");
    vec![
        (Ill::BreaksOff, HttpError::Failed(String::new())),
        (Ill::Endless, HttpError::TooLarge),
        (Ill::Huge(1024 * 1024 + 1), HttpError::TooLarge),
        (Ill::Huge(TEN_MEGABYTES), HttpError::TooLarge),
        (Ill::HugeInChunks(TEN_MEGABYTES), HttpError::TooLarge),
        (Ill::GzipBomb, HttpError::Encoded),
        (Ill::GzipClaimed, HttpError::Encoded),
        (Ill::Brotli, HttpError::Encoded),
        (Ill::GzipUnsaid, json()),
        (Ill::Status(201), HttpError::Status(201)),
        (Ill::Status(204), HttpError::Status(204)),
        (Ill::Status(206), HttpError::Status(206)),
        (Ill::Status(304), HttpError::Redirect(304)),
        (Ill::Status(400), HttpError::Status(400)),
        (Ill::Status(404), HttpError::Status(404)),
        (Ill::Status(429), HttpError::Status(429)),
        (Ill::Status(500), HttpError::Status(500)),
        (Ill::Status(502), HttpError::Status(502)),
        (Ill::Status(503), HttpError::Status(503)),
        (
            Ill::Redirect("https://elsewhere.example/"),
            HttpError::Redirect(302),
        ),
        (
            Ill::Redirect("http://169.254.169.254/latest/meta-data/"),
            HttpError::Redirect(302),
        ),
        (
            Ill::Redirect("/application/o/elsewhere/"),
            HttpError::Redirect(302),
        ),
        (
            Ill::Redirect("file:///etc/passwd"),
            HttpError::Redirect(302),
        ),
        (Ill::RedirectToItself, HttpError::Redirect(302)),
        (Ill::Says("text/html", "<html>"), not_json("text/html")),
        (Ill::Says("text/html", "{}"), not_json("text/html")),
        (Ill::Says("text/plain", "{}"), not_json("text/plain")),
        (
            Ill::Says("application/jwt", "e30.e30.c2ln"),
            not_json("application/jwt"),
        ),
        (
            Ill::Says("application/jose", "e30.e30.c2ln.e30.e30"),
            not_json("application/jose"),
        ),
        (Ill::Says("", "<html>"), not_json("")),
        (Ill::Says("application/json", "[]"), json()),
        (Ill::Says("application/json", "[{}]"), json()),
        (Ill::Says("application/json", "null"), json()),
        (Ill::Says("application/json", "\"text\""), json()),
        (Ill::Says("application/json", "{"), json()),
        (Ill::Says("application/json", "{}{}"), json()),
        (Ill::Says("application/json", "{'a':1}"), json()),
        (
            Ill::Says("application/json", r#"{"a":1,"a":2}"#),
            HttpError::RepeatedName,
        ),
        (Ill::Fields(10_000), HttpError::Failed(String::new())),
        (
            Ill::LongField(1024 * 1024),
            HttpError::Failed(String::new()),
        ),
        (Ill::Deep(200), json()),
        (Ill::Deep(100_000), json()),
        (Ill::Empty, json()),
    ]
}

#[tokio::test]
async fn an_ill_endpoint_is_named_and_nobody_is_signed_in_until_it_is_well() {
    let scene = Scene::quick(|_| {}).await;
    for endpoint in ENDPOINTS {
        for (ill, error) in ills() {
            scene.idp.sicken(endpoint, ill);
            let before = scene.idp.hits(endpoint);
            assert_eq!(
                named(asked(&scene, endpoint).await),
                error,
                "{endpoint:?} {ill:?}"
            );
            assert_eq!(scene.idp.hits(endpoint), before + 1, "{endpoint:?} {ill:?}");
            scene.idp.mend();
            assert_eq!(scene.rp.refresh().await, Ok(()), "{endpoint:?} {ill:?}");
            assert!(scene.sign_in().await.is_ok(), "{endpoint:?} {ill:?}");
        }
    }
    assert_eq!(
        scene.idp.hits(Endpoint::Other),
        0,
        "a redirect was followed"
    );
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_given_up_and_asked_again() {
    let mut all = tokio::task::JoinSet::new();
    for endpoint in ENDPOINTS {
        all.spawn(async move {
            let scene = Scene::quick(|it| it.timeout = Duration::from_secs(2)).await;
            for ill in [Ill::Hangs, Ill::HangsInTheBody, Ill::Trickles] {
                scene.idp.sicken(endpoint, ill);
                let row = format!("{endpoint:?} {ill:?}");
                assert_eq!(asked(&scene, endpoint).await, HttpError::Timeout, "{row}");
                scene.idp.mend();
                assert!(scene.sign_in().await.is_ok(), "{row}");
            }
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_status_that_means_no_is_a_no_and_no_outage() {
    let scene = Scene::quick(|_| {}).await;
    for status in [401, 403] {
        scene.idp.sicken(Endpoint::Userinfo, Ill::Status(status));
        assert_eq!(
            scene.refused().await,
            CallbackError::UserinfoRefused(status)
        );
    }
    for status in [401, 403] {
        scene.idp.sicken(Endpoint::Token, Ill::Status(status));
        let error = unavailable(Answering::Token, HttpError::Status(status));
        assert_eq!(scene.refused().await, error);
    }
}

#[tokio::test]
async fn a_token_answer_has_what_it_must_in_the_type_it_must() {
    let scene = Scene::quick(|_| {}).await;
    let no = |error: &str| CallbackError::CodeRefused {
        error: error.to_owned(),
        description: String::new(),
    };
    let kind = |found: &str| AnswerFault::TokenType(found.to_owned()).into();
    for (answer, error) in [
        (json!({"token_type": null}), kind("")),
        (json!({"token_type": "N_A"}), kind("N_A")),
        (json!({"token_type": ["Bearer"]}), kind("")),
        (json!({"token_type": "DPoP"}), kind("DPoP")),
        (json!({"id_token": null}), AnswerFault::NoIdToken.into()),
        (json!({"id_token": 5}), AnswerFault::NoIdToken.into()),
        (
            json!({"id_token": ["a.b.c"]}),
            AnswerFault::NoIdToken.into(),
        ),
        (
            json!({"access_token": null}),
            AnswerFault::NoAccessToken.into(),
        ),
        (
            json!({"access_token": {}}),
            AnswerFault::NoAccessToken.into(),
        ),
        (
            json!({"access_token": ""}),
            AnswerFault::NoAccessToken.into(),
        ),
        (json!({"error": "access_denied"}), no("access_denied")),
        (json!({"error": ""}), no("")),
        (json!({"error": "use_dpop_nonce"}), no("use_dpop_nonce")),
    ] {
        scene.idp.set(|knobs| knobs.token_answer = members(&answer));
        assert_eq!(scene.refused().await, error, "{answer}");
        scene.idp.mend();
    }
    for fine in [
        json!({"token_type": "bearer"}),
        json!({"expires_in": "soon", "scope": 5, "refresh_token": {}}),
        json!({"error": null, "unknown": [1, 2]}),
    ] {
        scene.idp.set(|knobs| knobs.token_answer = members(&fine));
        assert!(scene.sign_in().await.is_ok(), "{fine}");
        scene.idp.mend();
    }
}

#[tokio::test]
async fn a_discovery_document_that_contradicts_what_is_sent_is_refused() {
    let scene = Scene::quick(|_| {}).await;
    let issuer = scene.idp.issuer();
    for document in [
        json!({"issuer": issuer.replace("http://", "https://")}),
        json!({"issuer": format!("{issuer}?")}),
        json!({"issuer": issuer.to_uppercase()}),
        json!({"issuer": [issuer]}),
        json!({"issuer": null}),
        json!({"token_endpoint": "http://169.254.169.254/token"}),
        json!({"jwks_uri": "https://169.254.169.254/jwks"}),
        json!({"userinfo_endpoint": "https://[fe80::1]/"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
        json!({"token_endpoint": null}),
        json!({"authorization_endpoint": null}),
        json!({"jwks_uri": null}),
        json!({"jwks_uri": ["https://a.example/"]}),
        json!({"code_challenge_methods_supported": ["plain"]}),
        json!({"code_challenge_methods_supported": {}}),
        json!({"response_types_supported": ["id_token"]}),
        json!({"response_modes_supported": ["fragment"]}),
        json!({"id_token_signing_alg_values_supported": ["none"]}),
        json!({"id_token_signing_alg_values_supported": ["HS256"]}),
        json!({"id_token_signing_alg_values_supported": "RS256"}),
        json!({"token_endpoint_auth_methods_supported": 5}),
    ] {
        scene.idp.set(|knobs| knobs.discovery = members(&document));
        assert!(scene.rp.refresh().await.is_err(), "{document}");
        scene.idp.mend();
        assert!(
            scene.sign_in().await.is_ok(),
            "{document}: what was known stays known"
        );
    }
    scene.idp.set(|knobs| {
        knobs.discovery = members(&json!({
            "code_challenge_methods_supported": null, "response_types_supported": null,
            "response_modes_supported": null, "userinfo_endpoint": null, "unknown": {"a": [1]},
            "id_token_encryption_alg_values_supported": ["RSA-OAEP-256"],
        }));
    });
    assert_eq!(scene.rp.refresh().await, Ok(()));
    assert!(scene.sign_in().await.is_ok());
}

#[tokio::test]
async fn userinfo_is_about_the_same_person_or_nobody_comes_in() {
    let scene = Scene::quick(|_| {}).await;
    for claims in [
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": Person::Admin.subject()}),
        json!({"sub": [Person::Member.subject()]}),
        json!({"sub": Person::Member.subject().to_uppercase()}),
        json!({"sub": format!("{} ", Person::Member.subject())}),
    ] {
        scene.idp.set(|knobs| knobs.userinfo = members(&claims));
        assert_eq!(
            scene.refused().await,
            CallbackError::UserinfoSubject,
            "{claims}"
        );
    }
    scene.idp.mend();
    assert!(scene.sign_in().await.is_ok());
}
