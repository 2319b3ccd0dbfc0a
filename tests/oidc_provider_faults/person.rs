//! Who comes out of a sign-in.

use super::*;

#[tokio::test]
async fn each_person_signs_in_with_their_own_claims() {
    let scene = Scene::known().await;
    for person in [Person::Admin, Person::Member, Person::Outsider] {
        let hint = AuthorizeOptions {
            login_hint: Some(person.username().to_owned()),
            ..AuthorizeOptions::default()
        };
        let signed_in = scene.sign_in_with(&hint).await.unwrap();
        let identity = &signed_in.identity;
        assert_eq!(identity.subject.as_str(), person.subject());
        assert_eq!(identity.issuer.as_str(), scene.idp.issuer());
        assert_eq!(identity.username.as_deref(), Some(person.username()));
        assert_eq!(identity.email.as_ref().unwrap().as_str(), person.email());
        assert!(identity.email_verified);
        assert_eq!(
            json!(identity.groups.to_strings()),
            person.claims()["groups"]
        );
        assert_eq!(signed_in.auth_time, Some(Timestamp::from_unix(START)));
        assert_eq!(
            signed_in.token_expires_at,
            Timestamp::from_unix(START + 300)
        );
        assert!(signed_in.provider_session.is_some());
        assert!(signed_in.refresh_token.is_none());
    }
}

#[tokio::test]
async fn each_fault_of_userinfo_is_refused_by_its_name() {
    let scene = Scene::known().await;
    let not_json = |found: &str| HttpError::NotJson(found.to_owned());
    for (fault, error) in [
        (
            Fault::UserinfoOfSomebodyElse,
            CallbackError::UserinfoSubject,
        ),
        (Fault::UserinfoWithoutSub, CallbackError::UserinfoSubject),
        (Fault::UserinfoRefuses, CallbackError::UserinfoRefused(401)),
        (
            Fault::UserinfoIsDown,
            unavailable(Answering::Userinfo, HttpError::Status(503)),
        ),
        (
            Fault::UserinfoIsHtml,
            unavailable(Answering::Userinfo, not_json("text/html; charset=utf-8")),
        ),
        (
            Fault::UserinfoIsSigned,
            unavailable(Answering::Userinfo, not_json("application/jwt")),
        ),
    ] {
        scene.idp.bend(fault);
        assert_eq!(scene.refused().await, error, "{fault:?}");
    }
}

#[tokio::test]
async fn claims_that_are_only_in_userinfo_count() {
    let scene = Scene::known().await;
    scene.idp.set(|knobs| {
        knobs.claims_in_id_token = false;
        knobs.refresh_tokens = true;
        knobs
            .extra_claims
            .insert("email_verified".to_owned(), json!("true"));
    });
    let signed_in = scene.sign_in().await.unwrap();
    assert_eq!(signed_in.identity.groups, ["headscale"]);
    assert!(signed_in.identity.email_verified);
    assert!(signed_in.refresh_token.is_some());
}

#[tokio::test]
async fn userinfo_cannot_change_who_signed_in_or_when() {
    let scene = Scene::known().await;
    scene.idp.set(|knobs| {
        knobs.claims_in_id_token = false;
        for (name, value) in [
            ("iss", json!("https://evil.example/")),
            ("auth_time", json!(START + 5000)),
            ("exp", json!(START + 500_000)),
            ("sid", json!("another-session")),
        ] {
            knobs.extra_claims.insert(name.to_owned(), value);
        }
    });
    let signed_in = scene.sign_in().await.unwrap();
    assert_eq!(signed_in.identity.issuer.as_str(), scene.idp.issuer());
    assert_eq!(signed_in.auth_time, Some(Timestamp::from_unix(START)));
    assert_eq!(
        signed_in.token_expires_at,
        Timestamp::from_unix(START + 300)
    );
    assert_ne!(
        signed_in.provider_session.unwrap().as_str(),
        "another-session"
    );
}

#[tokio::test]
async fn a_step_up_needs_the_same_person_to_prove_it_again() {
    let scene = Scene::known().await;
    let subject = Person::Member.subject();
    assert!(scene.sign_in().await.is_ok());
    scene.clock.advance(1000);
    let asked = scene.clock.now();

    let silent = scene.sign_in().await.unwrap();
    assert_eq!(silent.auth_time, Some(Timestamp::from_unix(START)));
    assert_eq!(
        silent.check_step_up(&subject, Some(asked)),
        Err(StepUpError::Stale)
    );

    let again = AuthorizeOptions {
        prompt_login: true,
        ..AuthorizeOptions::default()
    };
    let fresh = scene.sign_in_with(&again).await.unwrap();
    assert_eq!(fresh.check_step_up(&subject, Some(asked)), Ok(()));
    let admin = Person::Admin.subject();
    assert_eq!(
        fresh.check_step_up(&admin, Some(asked)),
        Err(StepUpError::OtherSubject)
    );
    assert_ne!(fresh.provider_session, silent.provider_session);

    scene.clock.advance(1000);
    let asked = scene.clock.now();
    for (fault, error) in [
        (Fault::AuthTimeStale, StepUpError::Stale),
        (Fault::AuthTimeAbsent, StepUpError::NoAuthTime),
    ] {
        scene.idp.bend(fault);
        let signed_in = scene.sign_in_with(&again).await.unwrap();
        assert_eq!(
            signed_in.check_step_up(&subject, Some(asked)),
            Err(error),
            "{fault:?}"
        );
    }
    scene.idp.mend();

    let young = AuthorizeOptions {
        max_age: Some(Duration::from_mins(5)),
        ..AuthorizeOptions::default()
    };
    scene.clock.advance(301);
    let asked = scene.clock.now();
    let signed_in = scene.sign_in_with(&young).await.unwrap();
    assert_eq!(signed_in.check_step_up(&subject, Some(asked)), Ok(()));
}
