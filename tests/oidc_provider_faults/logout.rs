//! Signing out at the provider, and the provider's word that somebody did so there.

use headwarden::domain::departure::Departure;
use headwarden::oidc::logout_token::LogoutToken;

use super::*;

const BACK: &str = "https://headscale.example/.headwarden/signed-out";

impl Scene {
    async fn told(&self, header: &Value, claims: &Value) -> Result<LogoutToken, TokenFault> {
        let token = self.idp.logout_token(Person::Member, header, claims);
        match self.rp.verify_logout_token(&token).await {
            Ok(token) => Ok(token),
            Err(LogoutRefused::Token(fault)) => Err(fault),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn signing_out_goes_to_the_provider_and_back() {
    let scene = Scene::known().await;
    let back = vec![BACK.to_owned()];
    scene
        .idp
        .set(|knobs| knobs.post_logout_redirect_uris = back);
    let hint = scene.sign_in().await.unwrap().id_token;
    let url = scene.rp.end_session_url(&hint, BACK, "st-ate").unwrap();
    assert_eq!(
        location(&url).await.unwrap(),
        format!("{BACK}?state=st-ate")
    );
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(&query["id_token_hint"], hint.expose());
    assert_eq!(query["client_id"], CLIENT_ID);
    assert_eq!(scene.idp.hits(Endpoint::EndSession), 1);
    assert_eq!(scene.rp.origins(), [scene.idp.origin()]);
    let elsewhere = "https://evil.example/";
    let elsewhere = scene.rp.end_session_url(&hint, elsewhere, "s").unwrap();
    assert_eq!(location(&elsewhere).await, None);
}

#[tokio::test]
async fn nobody_is_sent_to_a_provider_that_could_not_take_the_hint() {
    let scene = Scene::quick(|_| {}).await;
    // Three bytes of a claim make four of a token.
    for (claim, taken) in [(3_500, true), (6_000, false), (100_000, false)] {
        let claims = json!({ "padding": "x".repeat(claim) });
        scene.idp.set(|knobs| knobs.id_claims = members(&claims));
        let signed_in = scene.sign_in().await.unwrap();
        let url = scene.rp.end_session_url(&signed_in.id_token, BACK, "s");
        assert_eq!(url.is_some(), taken, "{claim}");
        assert!(
            url.is_none_or(|url| url.as_str().len() < 7 * 1024),
            "{claim}"
        );
    }
}

#[tokio::test]
async fn a_provider_without_an_end_session_endpoint_is_not_visited() {
    let scene = Scene::quick(|_| {}).await;
    let hint = scene.sign_in().await.unwrap().id_token;
    let without = json!({ "end_session_endpoint": null });
    scene.idp.set(|knobs| knobs.discovery = members(&without));
    scene.rp.refresh().await.unwrap();
    assert_eq!(scene.rp.end_session_url(&hint, BACK, "s"), None);
}

#[tokio::test]
async fn the_providers_pages_may_frame_us_wherever_it_has_them() {
    let scene = Scene::unknown(|_| {}).await;
    assert_eq!(scene.rp.framing_origins(), [scene.idp.origin()]);
    let elsewhere = json!({
        "authorization_endpoint": "https://login.example/authorize",
        "end_session_endpoint": "https://logout.example/out",
    });
    scene.idp.set(|knobs| knobs.discovery = members(&elsewhere));
    scene.rp.refresh().await.unwrap();
    assert_eq!(
        scene.rp.framing_origins(),
        [
            scene.idp.origin(),
            "https://login.example",
            "https://logout.example"
        ]
    );
}

#[tokio::test]
async fn a_logout_token_names_the_person_and_the_session_that_signed_in() {
    let scene = Scene::quick(|_| {}).await;
    let signed_in = scene.sign_in().await.unwrap();
    let (session, subject) = (
        signed_in.provider_session.unwrap(),
        signed_in.identity.subject,
    );
    let told = scene.told(&json!({}), &json!({})).await.unwrap();
    assert_eq!(told.departure, Departure::SessionOf(session, subject));
    let again = scene.told(&json!({}), &json!({})).await.unwrap();
    assert_ne!(told.used_as, again.used_as, "each token is another");
}

#[tokio::test]
async fn an_id_token_is_no_logout_token_and_a_logout_token_no_id_token() {
    let scene = Scene::quick(|_| {}).await;
    let id_token = scene.sign_in().await.unwrap().id_token;
    let refused = scene.rp.verify_logout_token(id_token.expose()).await;
    assert_eq!(
        refused,
        Err(LogoutRefused::Token(TokenFault::NoLogoutEvent))
    );
    for kind in ["JWT", "logout+jwt"] {
        let header = json!({ "typ": kind });
        let token = scene.idp.logout_token(Person::Member, &header, &json!({}));
        let answer = json!({ "id_token": token });
        scene.idp.set(|knobs| knobs.token_answer = members(&answer));
        assert!(matches!(
            scene.refused().await,
            CallbackError::TokenInvalid { .. }
        ));
        scene.idp.mend();
    }
}

#[tokio::test]
async fn a_logout_token_under_a_new_key_works_after_one_fetch() {
    let scene = Scene::known().await;
    let before = scene.idp.hits(Endpoint::Jwks);
    assert!(scene.told(&json!({}), &json!({})).await.is_ok());
    assert_eq!(scene.idp.hits(Endpoint::Jwks), before);
    scene.idp.rotate_to(Key::Ec);
    for _ in 0..3 {
        assert!(scene.told(&json!({}), &json!({})).await.is_ok());
    }
    assert_eq!(scene.idp.hits(Endpoint::Jwks), before + 1);
}

#[tokio::test]
async fn forged_logout_tokens_make_us_fetch_keys_once_per_cool_down() {
    let scene = Scene::quick(|_| {}).await;
    let before = scene.idp.hits(Endpoint::Jwks);
    let unknown = json!({ "kid": "nobody-knows-this-key" });
    for _ in 0..20 {
        let refused = scene.told(&unknown, &json!({})).await;
        assert!(matches!(refused, Err(TokenFault::UnknownKey { .. })));
    }
    assert_eq!(scene.idp.hits(Endpoint::Jwks), before + 1);
    // What no key could make good is refused without asking for one.
    for claims in [
        json!({ "iss": "https://evil.example/" }),
        json!({ "aud": "another-client" }),
        json!({ "exp": 1 }),
        json!({ "events": null }),
    ] {
        scene.clock.advance(31);
        assert!(scene.told(&unknown, &claims).await.is_err(), "{claims}");
    }
    assert_eq!(scene.idp.hits(Endpoint::Jwks), before + 1);
}
