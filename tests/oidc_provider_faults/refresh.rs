//! A person who is checked again: what the provider says now counts, if it may be believed.

use headwarden::oidc::{Known, Outage, RefreshError, RefreshFault, Refreshed};

use super::endpoints::ills;
use super::*;

/// A person with a refresh token at a provider whose keys are quick.
async fn scene() -> (Scene, SignedIn) {
    let scene = Scene::quick(|settings| settings.timeout = Duration::from_secs(2)).await;
    scene.idp.set(|knobs| knobs.refresh_tokens = true);
    let person = scene.sign_in().await.unwrap();
    (scene, person)
}

/// The person as a session knows them after `news`.
fn after(person: &SignedIn, news: &Refreshed) -> SignedIn {
    let mut person = person.clone();
    person.identity = news.identity.clone();
    if let Some((id_token, expires_at)) = &news.id_token {
        person.id_token = id_token.clone();
        person.token_expires_at = *expires_at;
    }
    if let Some(token) = &news.refresh_token {
        person.refresh_token = Some(token.clone());
    }
    person
}

async fn recheck(scene: &Scene, person: &SignedIn) -> Result<Refreshed, RefreshError> {
    let known = Known {
        issuer: &person.identity.issuer,
        subject: &person.identity.subject,
        id_token: &person.id_token,
        refresh_token: person.refresh_token.as_ref().unwrap(),
    };
    scene.rp.recheck(known).await
}

/// What was decided, in one word, and why.
fn verdict(error: &RefreshError) -> (&'static str, String) {
    let word = match error {
        RefreshError::Refused { .. } => "refused",
        RefreshError::Misbehaved(_) => "misbehaved",
        RefreshError::Unavailable { .. } => "unavailable",
    };
    (word, error.to_string())
}

fn misbehaved(error: &RefreshError) -> &RefreshFault {
    match error {
        RefreshError::Misbehaved(fault) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refresh_tells_who_the_person_is_now_and_gives_the_tokens_that_count_from_now_on() {
    let (scene, person) = scene().await;
    scene.clock.advance(400);
    scene.idp.set(|knobs| {
        let groups = json!(["headscale", "headscale-admins"]);
        knobs.extra_claims.insert("groups".to_owned(), groups);
    });
    let news = recheck(&scene, &person).await.unwrap();
    assert_eq!(news.identity.subject, person.identity.subject);
    assert_eq!(news.identity.groups, ["headscale", "headscale-admins"]);
    assert_eq!(news.provider_session, person.provider_session);
    let (id_token, expires_at) = news.id_token.as_ref().unwrap();
    assert_ne!(id_token.expose(), person.id_token.expose());
    assert_eq!(*expires_at, Timestamp::from_unix(START + 700));
    let rotated = news.refresh_token.as_ref().unwrap();
    assert_ne!(
        rotated.expose(),
        person.refresh_token.as_ref().unwrap().expose()
    );
    // And so on, from what it gave.
    let person = after(&person, &news);
    let person = after(&person, &recheck(&scene, &person).await.unwrap());
    assert!(recheck(&scene, &person).await.is_ok());
}

/// authentik below its `refresh_token_threshold`.
#[tokio::test]
async fn where_no_new_refresh_token_comes_the_old_one_goes_on() {
    let (scene, person) = scene().await;
    scene.idp.set(|knobs| knobs.refresh_tokens_stay = true);
    for _ in 0..3 {
        let news = recheck(&scene, &person).await.unwrap();
        assert!(news.refresh_token.is_none());
    }
}

/// authentik, once the person has signed out there: the refresh token works on.
#[tokio::test]
async fn a_refresh_after_the_person_signed_out_at_the_provider_names_no_session_there() {
    let (scene, person) = scene().await;
    let rp = &scene.rp;
    let out = rp.end_session_url(&person.id_token, "https://x.example/", "s");
    location(&out.unwrap()).await;
    let news = recheck(&scene, &person).await.unwrap();
    assert!(person.provider_session.is_some());
    assert_eq!(news.provider_session, None);
    assert_eq!(news.identity, person.identity);
}

/// authentik does not revoke the family.
#[tokio::test]
async fn of_two_refreshes_with_one_token_one_is_refused_and_the_other_goes_on() {
    let (scene, person) = scene().await;
    let asked = scene.idp.hits(Endpoint::Token) + 2;
    let held = scene.idp.hold(Endpoint::Token);
    let both_asked = async {
        while scene.idp.hits(Endpoint::Token) < asked {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    let (one, other, ()) = tokio::join!(
        recheck(&scene, &person),
        recheck(&scene, &person),
        both_asked
    );
    let (won, lost) = match (one, other) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        both => panic!("{both:?}"),
    };
    assert_eq!(verdict(&lost).0, "refused", "{lost}");
    assert!(recheck(&scene, &after(&person, &won)).await.is_ok());
}

#[tokio::test]
async fn a_deactivated_account_is_refused() {
    let (scene, person) = scene().await;
    scene
        .idp
        .set(|knobs| knobs.deactivated = vec![Person::Member]);
    let error = recheck(&scene, &person).await.unwrap_err();
    let expected = "the provider refused the refresh: invalid_grant (The provided authorization \
                    grant is invalid)";
    assert_eq!(verdict(&error), ("refused", expected.to_owned()));
}

/// The claim of the new ID token alone, and whether it is believed then. The sign-in's has the nonce of
/// the attempt, `auth_time` and `iat` of the beginning; an hour has passed.
#[tokio::test]
async fn the_new_id_token_continues_the_sign_in_or_is_refused() {
    let (scene, person) = scene().await;
    scene.clock.advance(3600);
    scene.idp.set(|knobs| knobs.refresh_tokens_stay = true);
    let payload = person.id_token.expose().split('.').nth(1).unwrap();
    let payload =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
    let signed: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    let token = |fault: TokenFault| Some(RefreshFault::Token(fault));
    for (claim, value, fault) in [
        ("nonce", json!(null), None),
        ("nonce", signed["nonce"].clone(), None),
        ("nonce", json!("another"), token(TokenFault::Nonce)),
        ("nonce", json!(""), token(TokenFault::Nonce)),
        ("auth_time", json!(null), None),
        ("auth_time", json!(START), None),
        // A sign-in elsewhere since, in the same session at the provider.
        ("auth_time", json!(START + 1), None),
        ("auth_time", json!(START + 3600), None),
        ("auth_time", json!(START - 1), Some(RefreshFault::AuthTime)),
        ("iat", json!(START), None),
        // By a clock that was set back.
        ("iat", json!(START - 3600), None),
        (
            "iat",
            json!(START + 3661),
            token(TokenFault::IssuedInFuture { seconds: 61 }),
        ),
        (
            "sub",
            json!("a".repeat(64)),
            Some(RefreshFault::OtherSubject),
        ),
        ("sub", json!(null), token(TokenFault::SubjectMissing)),
        ("azp", json!(CLIENT_ID), None),
        (
            "azp",
            json!("another"),
            token(TokenFault::AuthorizedParty {
                found: Some("another".to_owned()),
            }),
        ),
        ("sid", json!("another"), None),
    ] {
        scene.idp.mend();
        scene.idp.set(|knobs| {
            knobs.id_claims.insert(claim.to_owned(), value.clone());
        });
        match (recheck(&scene, &person).await, fault) {
            (Ok(_), None) => {}
            (Err(error), Some(fault)) => {
                assert_eq!(*misbehaved(&error), fault, "{claim}: {value}");
            }
            (found, fault) => panic!("{claim}: {value}: {found:?}, not {fault:?}"),
        }
    }
}

/// After a refresh without nonce, that of the sign-in is not known any more.
#[tokio::test]
async fn a_nonce_that_appears_where_the_token_before_had_none_is_refused() {
    let (scene, person) = scene().await;
    let person = after(&person, &recheck(&scene, &person).await.unwrap());
    scene.idp.set(|knobs| {
        knobs.id_claims.insert("nonce".to_owned(), json!("any"));
    });
    let error = recheck(&scene, &person).await.unwrap_err();
    assert_eq!(*misbehaved(&error), RefreshFault::Token(TokenFault::Nonce));
}

#[tokio::test]
async fn each_fault_of_an_answer_ends_it_waits_or_is_harmless() {
    let (scene, person) = scene().await;
    scene.idp.set(|knobs| knobs.refresh_tokens_stay = true);
    for (fault, expected) in [
        (Fault::TokenIsDown, "unavailable"),
        (Fault::TokenIsHtml, "unavailable"),
        (Fault::TokenIsHuge, "unavailable"),
        (Fault::TokenRedirects, "unavailable"),
        (Fault::TokenIsMissing, "unavailable"),
        (Fault::TokenHangs, "unavailable"),
        (Fault::InvalidClient, "unavailable"),
        (Fault::UserinfoIsDown, "unavailable"),
        (Fault::UserinfoIsHtml, "unavailable"),
        (Fault::UserinfoIsSigned, "unavailable"),
        (Fault::UserinfoHangs, "unavailable"),
        (Fault::ErrorWith200, "refused"),
        (Fault::NoAccessToken, "misbehaved"),
        (Fault::TokenTypeMac, "misbehaved"),
        (Fault::UserinfoOfSomebodyElse, "misbehaved"),
        (Fault::UserinfoWithoutSub, "misbehaved"),
        (Fault::UserinfoRefuses, "misbehaved"),
        (Fault::AudienceOfSomebodyElse, "misbehaved"),
        (Fault::TwoAudiencesWithoutAzp, "misbehaved"),
        (Fault::AzpOfSomebodyElse, "misbehaved"),
        (Fault::IssWithoutSlash, "misbehaved"),
        (Fault::IssOfSomebodyElse, "misbehaved"),
        (Fault::AlgNone, "misbehaved"),
        (Fault::Hs256WithPublicKey, "misbehaved"),
        (Fault::Hs256WithClientSecret, "misbehaved"),
        (Fault::BadSignature, "misbehaved"),
        (Fault::SignedByForger, "misbehaved"),
        (Fault::UnknownKid, "misbehaved"),
        (Fault::ExpiredFor(61), "misbehaved"),
        (Fault::ExpAbsent, "misbehaved"),
        (Fault::IatAhead(61), "misbehaved"),
        (Fault::IatAbsent, "misbehaved"),
        (Fault::NbfAhead(61), "misbehaved"),
        (Fault::AuthTimeAhead(61), "misbehaved"),
        (Fault::SubAbsent, "misbehaved"),
        (Fault::SubEmpty, "misbehaved"),
        (Fault::BadAtHash, "misbehaved"),
        (Fault::Encrypted, "misbehaved"),
        (Fault::TwoParts, "misbehaved"),
        (Fault::PayloadIsNoJson, "misbehaved"),
        (Fault::CriticalHeader, "misbehaved"),
        (Fault::NoIdToken, "harmless"),
        (Fault::NonceAbsent, "harmless"),
        (Fault::AuthTimeAbsent, "harmless"),
        (Fault::TwoAudiencesWithAzp, "harmless"),
        (Fault::NoKid, "harmless"),
    ] {
        // Newer keys are asked for again.
        scene.clock.advance(31);
        scene.idp.bend(fault);
        let found = match recheck(&scene, &person).await {
            Ok(_) => ("harmless", String::new()),
            Err(error) => verdict(&error),
        };
        assert_eq!(found.0, expected, "{fault:?}: {}", found.1);
    }
}

/// The newest claims are those of this answer, and of no earlier one.
#[tokio::test]
async fn without_an_id_token_the_userinfo_of_the_same_person_tells_all_there_is() {
    let (scene, person) = scene().await;
    scene.idp.bend(Fault::NoIdToken);
    let news = recheck(&scene, &person).await.unwrap();
    assert!(news.id_token.is_none());
    assert_eq!(news.identity, person.identity);

    let person = after(&person, &news);
    scene.idp.set(|knobs| {
        knobs.userinfo.insert("groups".to_owned(), json!(null));
    });
    let news = recheck(&scene, &person).await.unwrap();
    assert!(news.identity.groups.is_empty());

    // Without userinfo nobody says about whom it is.
    scene.idp.set(|knobs| {
        knobs
            .discovery
            .insert("userinfo_endpoint".to_owned(), json!(null));
    });
    scene.rp.refresh().await.unwrap();
    let error = recheck(&scene, &after(&person, &news)).await.unwrap_err();
    let expected = RefreshFault::Answer(AnswerFault::NoIdToken);
    assert_eq!(*misbehaved(&error), expected);
}

/// The old one is worth nothing any more.
#[tokio::test]
async fn a_refresh_token_that_came_before_something_else_failed_is_not_lost() {
    let (scene, mut person) = scene().await;
    for fault in [Fault::UserinfoIsDown, Fault::UserinfoHangs] {
        scene.idp.bend(fault);
        let error = recheck(&scene, &person).await.unwrap_err();
        let RefreshError::Unavailable { reason, rotated } = error else {
            panic!("{error:?}")
        };
        let Outage::NoAnswer { endpoint, .. } = reason else {
            panic!("{reason:?}")
        };
        assert_eq!(endpoint, Answering::Userinfo);
        assert!(rotated.is_some(), "{fault:?}");
        person.refresh_token = rotated;
    }
    scene.idp.mend();
    assert!(recheck(&scene, &person).await.is_ok());
}

/// Signed with a key of which nobody could hear yet.
#[tokio::test]
async fn a_token_that_newer_keys_might_verify_waits_for_them() {
    let (scene, mut person) = scene().await;
    scene.idp.rotate_to(Key::EcOther);
    scene.idp.bend(Fault::JwksIsDown);
    for _ in 0..2 {
        let error = recheck(&scene, &person).await.unwrap_err();
        let RefreshError::Unavailable { reason, rotated } = error else {
            panic!("{error:?}")
        };
        assert!(matches!(reason, Outage::Keys(_)), "{reason}");
        person.refresh_token = rotated;
    }
    scene.idp.mend();
    scene.clock.advance(6);
    assert!(recheck(&scene, &person).await.is_ok());
}

/// Whatever its body says.
#[tokio::test]
async fn an_ill_endpoint_decides_nothing_about_the_person() {
    let (scene, person) = scene().await;
    scene.idp.set(|knobs| knobs.refresh_tokens_stay = true);
    let refusal = r#"{"error":"invalid_grant"}"#;
    let mut ills: Vec<Ill> = ills().into_iter().map(|(ill, _)| ill).collect();
    ills.extend([429, 500, 502, 503].map(|status| Ill::StatusSays(status, refusal)));
    for endpoint in [Endpoint::Token, Endpoint::Userinfo] {
        for ill in &ills {
            scene.idp.sicken(endpoint, *ill);
            let error = recheck(&scene, &person).await.unwrap_err();
            assert_eq!(
                verdict(&error).0,
                "unavailable",
                "{endpoint:?} {ill:?}: {error}"
            );
        }
    }
    scene.idp.mend();
    assert!(recheck(&scene, &person).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_is_not_known_or_another_one_is_not_asked() {
    let (scene, person) = scene().await;
    let asked = scene.idp.hits(Endpoint::Token);
    let unknown = Scene::unknown(|_| {}).await;
    let mut stranger = person.clone();
    stranger.identity.issuer = Issuer::new(unknown.idp.issuer());
    let error = recheck(&unknown, &stranger).await.unwrap_err();
    assert_eq!(verdict(&error).0, "unavailable", "{error}");
    let error = recheck(&scene, &stranger).await.unwrap_err();
    assert_eq!(*misbehaved(&error), RefreshFault::OtherIssuer);
    assert_eq!(scene.idp.hits(Endpoint::Token), asked);
    assert_eq!(unknown.idp.hits(Endpoint::Token), 0);
}

#[tokio::test]
async fn what_went_wrong_with_a_refresh_can_be_logged_without_a_secret() {
    let (scene, person) = scene().await;
    let token = person.refresh_token.clone().unwrap();
    scene.idp.set(|knobs| {
        let repeated = json!(format!("no such token: {}", token.expose()));
        knobs.token_answer.extend([
            ("error".to_owned(), json!("invalid_grant")),
            ("error_description".to_owned(), repeated),
        ]);
    });
    let error = recheck(&scene, &person).await.unwrap_err();
    let logged = format!("{error} {error:?}");
    assert!(!logged.contains(token.expose()), "{logged}");
    scene.idp.mend();
    let again = scene.sign_in().await.unwrap();
    let news = recheck(&scene, &again).await.unwrap();
    scene.idp.bend(Fault::UserinfoIsDown);
    let lost = recheck(&scene, &after(&again, &news)).await.unwrap_err();
    let logged = format!("{news:?} {lost:?} {lost}");
    let mut secrets = Vec::new();
    scene.idp.set(|knobs| secrets.clone_from(&knobs.secrets));
    assert!(secrets.len() > 5);
    for (name, secret) in secrets {
        assert!(!logged.contains(&secret), "{name}: {logged}");
    }
}
