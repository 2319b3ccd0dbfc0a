//! The certified provider, seen by a relying party that is nothing but these lines.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::Url;

use crate::support::certified_provider::{ADMIN, CertifiedProvider, MEMBER};
use crate::support::person::Person;
use crate::support::raw::Response;

/// Nobody listens there: nothing may go there by itself.
const CALLBACK: &str = "http://127.0.0.1:1/oidc/callback";
const SIGNED_OUT: &str = "http://127.0.0.1:1/signed-out";

fn provider(settings: &Value) -> CertifiedProvider {
    let mut provider = CertifiedProvider::start_with(settings);
    provider.register_client(&json!({
        "client_id": "rp",
        "client_secret": "secret",
        "redirect_uris": [CALLBACK],
        "post_logout_redirect_uris": [SIGNED_OUT],
    }));
    provider
}

fn authorize(provider: &CertifiedProvider, more: &str) -> String {
    format!(
        "{}/application/o/authorize/?client_id=rp&response_type=code&state=s&nonce=n{more}\
         &scope=openid+profile+email+custom+offline_access&redirect_uri={CALLBACK}",
        provider.origin()
    )
}

/// Signs in up to the callback; the callback's address.
fn sign_in(person: &mut Person, provider: &CertifiedProvider, who: &str) -> Url {
    let form = person.open(&authorize(provider, ""));
    let mut page = person.submit(&form, "login", &[("username", who)]);
    loop {
        let next = page.redirect().expect("a redirect").clone();
        if next.as_str().starts_with(CALLBACK) {
            return next;
        }
        page = person.step(page);
    }
}

fn token(person: &mut Person, provider: &CertifiedProvider, form: &str) -> Response {
    let basic = format!("Authorization: Basic {}", STANDARD.encode("rp:secret"));
    let lines = [
        basic.as_str(),
        "Content-Type: application/x-www-form-urlencoded",
    ];
    let endpoint = format!("{}/application/o/token/", provider.origin());
    person.request("POST", &endpoint, &lines, form.as_bytes())
}

fn redeem(person: &mut Person, provider: &CertifiedProvider, callback: &Url) -> Value {
    let code = callback
        .query_pairs()
        .find(|(name, _)| name == "code")
        .expect("a code")
        .1;
    let form = format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}");
    let answer = token(person, provider, &form);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

fn claims(tokens: &Value) -> Value {
    let token = tokens["id_token"].as_str().expect("an ID token");
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn the_id_token_has_the_claims_of_authentik() {
    let provider = provider(&json!({}));
    let mut person = Person::new();
    let callback = sign_in(&mut person, &provider, ADMIN);
    let issuer = callback
        .query_pairs()
        .find(|(name, _)| name == "iss")
        .expect("RFC 9207")
        .1;
    assert_eq!(issuer, provider.issuer());
    let tokens = redeem(&mut person, &provider, &callback);
    assert_eq!(tokens["refresh_token"], Value::Null);
    let claims = claims(&tokens);
    for (name, expected) in [
        ("iss", json!(provider.issuer())),
        ("aud", json!("rp")),
        ("nonce", json!("n")),
        ("name", json!("Dominic Admin")),
        ("given_name", json!("Dominic Admin")),
        ("preferred_username", json!("dominic")),
        ("nickname", json!("dominic")),
        ("email", json!("dominic@acmecorp.net")),
        ("email_verified", json!(true)),
        ("groups", json!(["headscale", "headscale-admins"])),
        ("amr", json!(["pwd"])),
        ("acr", json!("goauthentik.io/providers/oauth2/default")),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    assert_eq!(claims["sub"].as_str().map(str::len), Some(64));
    assert!(
        claims["sid"].is_string() && claims["auth_time"].is_u64(),
        "{claims}"
    );
}

#[test]
fn claims_can_be_kept_out_of_the_id_token() {
    let provider = provider(&json!({ "claims_in_id_token": false, "email_verified": false }));
    let mut person = Person::new();
    let callback = sign_in(&mut person, &provider, MEMBER);
    let tokens = redeem(&mut person, &provider, &callback);
    assert_eq!(claims(&tokens)["groups"], Value::Null);
    let bearer = format!(
        "Authorization: Bearer {}",
        tokens["access_token"].as_str().unwrap()
    );
    let endpoint = format!("{}/application/o/userinfo/", provider.origin());
    let userinfo = person.request("GET", &endpoint, &[&bearer], b"").json();
    assert_eq!(userinfo["groups"], json!(["headscale"]));
    assert_eq!(userinfo["email_verified"], false);
}

#[test]
fn a_refresh_rotates_shows_new_groups_and_ends_with_the_account() {
    let mut provider = provider(&json!({ "refresh_tokens": true }));
    let mut person = Person::new();
    let callback = sign_in(&mut person, &provider, MEMBER);
    let first = redeem(&mut person, &provider, &callback);
    provider.set_person(MEMBER, &json!({ "groups": ["other"] }));
    let refresh = |tokens: &Value| {
        format!(
            "grant_type=refresh_token&refresh_token={}",
            tokens["refresh_token"].as_str().unwrap()
        )
    };
    let second = token(&mut person, &provider, &refresh(&first)).json();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(claims(&second)["groups"], json!(["other"]));
    provider.deactivate(MEMBER);
    let refused = token(&mut person, &provider, &refresh(&second));
    assert_eq!(
        (refused.status(), refused.json()["error"].as_str()),
        (400, Some("invalid_grant"))
    );
}

#[test]
fn prompt_login_asks_again_and_the_session_answers_otherwise() {
    // Granting it takes a step more, in which nobody is asked.
    let provider = provider(&json!({ "grants_offline": false }));
    let mut person = Person::new();
    sign_in(&mut person, &provider, MEMBER);
    let silent = person
        .get(&authorize(&provider, ""))
        .redirect()
        .expect("a redirect")
        .clone();
    assert!(silent.as_str().starts_with(CALLBACK));
    let asked = person.open(&authorize(&provider, "&prompt=login&login_hint=mia"));
    assert_eq!(
        asked.form("login").fields,
        [("username".to_owned(), "mia".to_owned())]
    );
    let none = Person::new().get(&authorize(&provider, "&prompt=none"));
    assert!(
        none.redirect()
            .is_some_and(|to| to.as_str().contains("error=login_required"))
    );
}

#[test]
fn logout_by_the_relying_party_ends_the_session_only_if_the_provider_is_set_so() {
    for ends in [true, false] {
        let provider = provider(&json!({ "logout_ends_session": ends, "grants_offline": false }));
        let mut person = Person::new();
        let callback = sign_in(&mut person, &provider, MEMBER);
        let tokens = redeem(&mut person, &provider, &callback);
        let asked = person.open(&format!(
            "{}end-session/?id_token_hint={}&post_logout_redirect_uri={SIGNED_OUT}&state=bye",
            provider.issuer(),
            tokens["id_token"].as_str().unwrap()
        ));
        let left = person.submit(&asked, "op.logoutForm", &[]);
        let back = left.redirect().expect("a redirect");
        assert_eq!(back.as_str(), format!("{SIGNED_OUT}?state=bye"));
        let next = person
            .get(&authorize(&provider, ""))
            .redirect()
            .expect("a redirect")
            .clone();
        assert_eq!(next.as_str().starts_with(CALLBACK), !ends, "{next}");
    }
}

#[test]
fn the_provider_can_live_on_another_host_name() {
    let provider = CertifiedProvider::start_with(&json!({ "host": "localhost" }));
    assert!(provider.origin().starts_with("http://localhost:"));
    let url = format!("{}.well-known/openid-configuration", provider.issuer());
    assert_eq!(
        Person::new().get(&url).response.json()["issuer"],
        provider.issuer()
    );
}
