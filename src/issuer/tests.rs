//! The issuer as Headscale meets it: requests in, answers out.

use std::time::UNIX_EPOCH;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CACHE_CONTROL, CONTENT_TYPE,
    HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
};
use openidconnect::core::{
    CoreClient, CoreGenderClaim, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{AdditionalClaims, ClientId, ClientSecret, IdToken, IdTokenClaims, Nonce};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fixture::*;
use super::*;
use crate::domain::time::Timestamp;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Groups {
    groups: Vec<String>,
}

impl AdditionalClaims for Groups {}

type Token =
    IdToken<Groups, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

/// Reads discovery and keys from the handler and verifies the answer's ID token with them, as a
/// relying party of the name `client_id` does.
fn verified(
    house: &House,
    answer: &Answer,
    nonce: &str,
    client_id: &str,
) -> Result<IdTokenClaims<Groups, CoreGenderClaim>, String> {
    let discovery = house.ask(&get("/.well-known/openid-configuration")).body;
    let metadata: CoreProviderMetadata = serde_json::from_value(discovery).unwrap();
    let jwks: CoreJsonWebKeySet = serde_json::from_value(house.ask(&get("/jwks")).body).unwrap();
    let algorithms = metadata.id_token_signing_alg_values_supported().clone();
    let client = CoreClient::from_provider_metadata(
        metadata.set_jwks(jwks),
        ClientId::new(client_id.to_owned()),
        Some(ClientSecret::new(SECRET.to_owned())),
    );
    let now = UNIX_EPOCH + Duration::from_secs(house.clock.now().unix());
    let verifier = client
        .id_token_verifier()
        .set_allowed_algs(algorithms)
        .set_time_fn(move || now.into());
    let token: Token = serde_json::from_value(answer.body["id_token"].clone()).unwrap();
    token
        .claims(&verifier, &Nonce::new(nonce.to_owned()))
        .cloned()
        .map_err(|error| format!("{error:?}"))
}

/// The payload of the answer's ID token, unverified.
fn payload(answer: &Answer) -> Value {
    use base64::Engine as _;
    let part = answer.body["id_token"]
        .as_str()
        .unwrap()
        .split('.')
        .nth(1)
        .unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(part)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn assert_invalid_grant(answer: &Answer, why: &str) {
    assert_eq!(answer.status, 400, "{why}");
    assert_eq!(answer.body, json!({"error": "invalid_grant"}), "{why}");
}

#[test]
fn discovery_names_the_issuer_byte_for_byte_and_browsers_go_to_the_public_origin() {
    let answer = House::new().ask(&get("/.well-known/openid-configuration"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
    assert_eq!(answer.body["issuer"], ISSUER);
    let authorize = "https://headscale.company/.headwarden/authorize";
    assert_eq!(answer.body["authorization_endpoint"], authorize);
    assert_eq!(answer.body["token_endpoint"], "http://127.0.0.1:8181/token");
    assert_eq!(
        answer.body["userinfo_endpoint"],
        "http://127.0.0.1:8181/userinfo"
    );
    assert_eq!(answer.body["jwks_uri"], "http://127.0.0.1:8181/jwks");
    assert_eq!(
        answer.body["id_token_signing_alg_values_supported"],
        json!(["ES256"])
    );
}

#[test]
fn the_key_set_holds_one_public_key_and_nothing_private() {
    let answer = House::new().ask(&get("/jwks"));
    assert_eq!(answer.status, 200);
    let keys = answer.body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    let names: Vec<_> = keys[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
}

#[test]
fn a_relying_party_verifies_the_token_with_what_we_publish() {
    let house = House::new();
    let answer = house.redeem(&house.code(true), &[]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers[CACHE_CONTROL], "no-store");
    assert_eq!(answer.body["token_type"], "Bearer");
    let token = verified(&house, &answer, "nonce-of-headscale", "headscale").unwrap();
    let person = claims();
    assert_eq!(token.subject().as_str(), person.sub);
    assert_eq!(token.issuer().as_str(), ISSUER);
    assert_eq!(token.preferred_username().unwrap().as_str(), "zoe");
    assert_eq!(token.email().unwrap().as_str(), "zoe@acmecorp.net");
    assert_eq!(token.email_verified(), Some(true));
    assert_eq!(
        token.name().unwrap().get(None).unwrap().as_str(),
        "Zo\u{eb} \u{5d0}"
    );
    assert_eq!(token.additional_claims().groups, person.groups);
    let auth_time = token.auth_time().unwrap().timestamp();
    assert_eq!(
        u64::try_from(auth_time).ok(),
        person.auth_time.map(Timestamp::unix)
    );
}

#[test]
fn a_relying_party_refuses_the_token_of_another_house_client_nonce_or_time() {
    let house = House::new();
    let answer = house.redeem(&house.code(true), &[]);
    let nonce = "nonce-of-headscale";
    assert!(
        verified(&House::new(), &answer, nonce, "headscale").is_err(),
        "another key"
    );
    assert!(
        verified(&house, &answer, "another", "headscale").is_err(),
        "another nonce"
    );
    assert!(
        verified(&house, &answer, nonce, "another").is_err(),
        "another audience"
    );
    house.clock.forward(301);
    assert!(
        verified(&house, &answer, nonce, "headscale").is_err(),
        "expired"
    );
}

#[test]
fn credentials_may_come_in_the_body() {
    let house = House::new();
    let fields = [("client_id", "headscale"), ("client_secret", SECRET)];
    let answer = house.ask(&token_request(&house.code(true), &fields, None));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn another_client_or_a_wrong_secret_is_refused_and_does_not_cost_the_code() {
    let house = House::new();
    let code = house.code(true);
    for (id, secret) in [("headscale", "wrong"), ("other", SECRET), ("", "")] {
        let answer = house.ask(&token_request(&code, &[], Some(basic(id, secret))));
        assert_eq!(answer.status, 401);
        assert_eq!(answer.body, json!({"error": "invalid_client"}));
        assert_eq!(
            answer.headers[WWW_AUTHENTICATE],
            "Basic realm=\"headwarden\""
        );
    }
    let body = [("client_id", "headscale"), ("client_secret", "wrong")];
    assert_eq!(house.ask(&token_request(&code, &body, None)).status, 401);
    assert_eq!(house.ask(&token_request(&code, &[], None)).status, 401);
    assert_eq!(house.redeem(&code, &[]).status, 200);
}

#[test]
fn a_wrong_redirect_uri_or_verifier_does_not_cost_the_code() {
    let house = House::new();
    let code = house.code(true);
    for change in [
        ("redirect_uri", ""),
        ("redirect_uri", "https://evil.example/oidc/callback"),
        ("redirect_uri", "https://headscale.company/oidc/callback/"),
        ("code_verifier", ""),
        (
            "code_verifier",
            "another-verifier-that-is-long-enough-for-rfc-7636",
        ),
    ] {
        assert_invalid_grant(&house.redeem(&code, &[change]), &format!("{change:?}"));
    }
    assert_eq!(house.redeem(&code, &[]).status, 200);
}

#[test]
fn a_challenge_itself_is_no_verifier() {
    let house = House::new();
    let challenge = authorize_request(true).challenge.unwrap();
    let answer = house.redeem(&house.code(true), &[("code_verifier", &challenge)]);
    assert_invalid_grant(&answer, "the method is S256, never plain");
}

#[test]
fn a_code_without_challenge_is_redeemed_without_verifier_only() {
    let house = House::new();
    let code = house.code(false);
    assert_invalid_grant(&house.redeem(&code, &[]), "a verifier nobody asked for");
    assert_eq!(house.redeem(&code, &[("code_verifier", "")]).status, 200);
}

#[test]
fn a_code_is_good_once() {
    let house = House::new();
    let code = house.code(true);
    let first = house.redeem(&code, &[]);
    assert_eq!(first.status, 200);
    assert_invalid_grant(&house.redeem(&code, &[]), "used");
    let access_token = first.body["access_token"].as_str().unwrap();
    assert_eq!(
        house.userinfo(access_token).status,
        200,
        "a repeat takes nothing back"
    );
}

#[test]
fn a_code_is_good_for_a_minute() {
    let house = House::new();
    let (in_time, late) = (house.code(true), house.code(true));
    house.clock.forward(60);
    assert_eq!(house.redeem(&in_time, &[]).status, 200);
    house.clock.forward(1);
    assert_invalid_grant(&house.redeem(&late, &[]), "late");
}

#[test]
fn codes_and_access_tokens_are_different_things() {
    let house = House::new();
    let code = house.code(true);
    assert_eq!(house.userinfo(&code).status, 401);
    let access_token = house.redeem(&code, &[]).body["access_token"].clone();
    assert_invalid_grant(
        &house.redeem(access_token.as_str().unwrap(), &[]),
        "no code",
    );
}

#[test]
fn a_session_that_ended_or_lost_its_right_gets_no_tokens() {
    let house = House::new();
    let code = house.code(true);
    house.stands(None);
    assert_invalid_grant(&house.redeem(&code, &[]), "nobody stands");
    let code = house.code(true);
    house.stands(Some(Claims {
        sub: "somebody-else".to_owned(),
        ..claims()
    }));
    assert_invalid_grant(
        &house.redeem(&code, &[]),
        "the holder is another person now",
    );
}

#[test]
fn what_changed_since_the_code_was_issued_is_told() {
    let house = House::new();
    let code = house.code(true);
    house.stands(Some(Claims {
        groups: vec!["new".to_owned()],
        ..claims()
    }));
    assert_eq!(payload(&house.redeem(&code, &[]))["groups"], json!(["new"]));
}

#[test]
fn the_id_token_and_userinfo_say_the_same_about_the_person() {
    for person in [
        claims(),
        Claims {
            email: None,
            name: None,
            picture: None,
            groups: vec![],
            ..claims()
        },
    ] {
        let house = House::new();
        house.stands(Some(person));
        let answer = house.redeem(&house.code(true), &[]);
        let mut token = payload(&answer);
        for protocol in ["iss", "aud", "exp", "iat", "auth_time", "nonce"] {
            assert!(
                token.as_object_mut().unwrap().remove(protocol).is_some(),
                "{protocol}"
            );
        }
        // A later change must not make userinfo contradict the token.
        house.stands(Some(Claims {
            groups: vec!["later".to_owned()],
            ..claims()
        }));
        let userinfo = house.userinfo(answer.body["access_token"].as_str().unwrap());
        assert_eq!(userinfo.status, 200);
        assert_eq!(userinfo.body, token);
    }
}

#[test]
fn an_address_that_does_not_count_is_not_told_at_all() {
    let house = House::new();
    house.stands(Some(Claims {
        email: None,
        ..claims()
    }));
    let token = payload(&house.redeem(&house.code(true), &[]));
    assert_eq!(token.get("email"), None);
    assert_eq!(token.get("email_verified"), None);
}

#[test]
fn userinfo_needs_a_token_that_lives_and_a_person_that_stands() {
    let house = House::new();
    let answer = house.redeem(&house.code(true), &[]);
    let access_token = answer.body["access_token"].as_str().unwrap();
    let nothing = house.ask(&get("/userinfo"));
    assert_eq!(
        (nothing.status, &nothing.headers[WWW_AUTHENTICATE]),
        (401, &"Bearer".parse().unwrap())
    );
    let wrong = house.userinfo("wrong");
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.headers[WWW_AUTHENTICATE],
        "Bearer error=\"invalid_token\""
    );
    assert_eq!(
        house
            .userinfo(answer.body["id_token"].as_str().unwrap())
            .status,
        401
    );
    house.stands(None);
    assert_eq!(house.userinfo(access_token).status, 401);
    house.stands(Some(claims()));
    assert_eq!(house.userinfo(access_token).status, 200);
    house.clock.forward(301);
    assert_eq!(house.userinfo(access_token).status, 401);
}

#[test]
fn the_expiry_is_five_minutes_or_the_operators_or_the_providers() {
    let now = 1_800_000_000;
    let hours = |hours| Some(Duration::from_hours(hours));
    for (node_expiry, provider, exp) in [
        (None, None, now + 300),
        (hours(24 * 180), None, now + 180 * 86_400),
        (None, Some(now + 3600), now + 3600),
        (None, Some(now + 1), now + 1),
    ] {
        let house = House::with(&IssuerSettings {
            node_expiry,
            ..settings()
        });
        house.stands(Some(Claims {
            expires_at: provider.map(Timestamp::from_unix),
            ..claims()
        }));
        let token = payload(&house.redeem(&house.code(true), &[]));
        assert_eq!(token["exp"], exp, "{node_expiry:?} {provider:?}");
        assert_eq!(token["iat"], now);
    }
}

#[test]
fn an_expiry_that_is_over_is_no_code_and_no_token() {
    let house = House::new();
    let over = Claims {
        expires_at: Some(house.clock.now()),
        ..claims()
    };
    let refused = wait_for(house.issuer.issue(&authorize_request(true), HOLDER, &over));
    assert_eq!(refused, Err(IssueError::ProviderTokenExpired));
    house.stands(Some(Claims {
        expires_at: Some(house.clock.now().plus(Duration::from_secs(10))),
        ..claims()
    }));
    let code = house.code(true);
    house.clock.forward(10);
    assert_invalid_grant(&house.redeem(&code, &[]), "over by now");
}

#[test]
fn a_subject_that_headscale_would_take_for_another_gets_no_code() {
    let house = House::new();
    let odd = Claims {
        sub: "0f1e2d3c/".to_owned(),
        ..claims()
    };
    let refused = wait_for(house.issuer.issue(&authorize_request(true), HOLDER, &odd));
    assert_eq!(refused, Err(IssueError::Subject(SubjectError::Slash)));
}

#[test]
fn a_request_that_is_not_oauth_is_told_what_is_wrong() {
    let house = House::new();
    let code = house.code(true);
    let ask = |change| house.redeem(&code, &[change]);
    assert_eq!(ask(("grant_type", "")).body["error"], "invalid_request");
    assert_eq!(ask(("code", "")).body["error"], "invalid_request");
    for grant in [
        "refresh_token",
        "client_credentials",
        "password",
        "Authorization_code",
    ] {
        let answer = ask(("grant_type", grant));
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (400, &"unsupported_grant_type".into())
        );
    }
    let mut twice = token_request(&code, &[], Some(basic("headscale", SECRET)));
    let body = [twice.body().as_ref(), b"&code=", code.as_bytes()].concat();
    *twice.body_mut() = body.into();
    assert_eq!(house.ask(&twice).body["error"], "invalid_request");
    let mut json = token_request(&code, &[], Some(basic("headscale", SECRET)));
    json.headers_mut()
        .insert(CONTENT_TYPE, "application/json".parse().unwrap());
    assert_eq!(house.ask(&json).body["error"], "invalid_request");
    let long = "a".repeat(MAX_BODY);
    assert_eq!(ask(("padding", &long)).body["error"], "invalid_request");
    assert_eq!(
        house.redeem(&code, &[]).status,
        200,
        "none of this cost the code"
    );
}

#[test]
fn a_body_of_16_kib_is_read_and_one_of_a_byte_more_is_not() {
    let house = House::new();
    let code = house.code(true);
    for (length, status) in [(16 * 1024 + 1, 400), (16 * 1024, 200)] {
        let mut request = token_request(&code, &[], Some(basic("headscale", SECRET)));
        let mut body = [request.body().as_ref(), b"&padding="].concat();
        body.resize(length, b'a');
        *request.body_mut() = body.into();
        assert_eq!(house.ask(&request).status, status, "{length}");
    }
}

#[test]
fn too_many_failures_of_one_peer_are_429_for_that_peer() {
    let house = House::new();
    let from = |last: u8, secret| {
        let mut request = token_request("code", &[], Some(basic("headscale", secret)));
        request
            .extensions_mut()
            .insert(Peer([192, 0, 2, last].into()));
        house.ask(&request)
    };
    for _ in 0..MAX_FAILURES {
        assert_eq!(from(1, "wrong").status, 401);
    }
    let limited = from(1, SECRET);
    assert_eq!(limited.status, 429);
    assert_eq!(limited.headers[RETRY_AFTER], "61");
    assert_invalid_grant(&from(2, SECRET), "another peer is heard");
    house.clock.forward(60);
    assert_invalid_grant(&from(1, SECRET), "a minute later the first is heard again");
}

#[test]
fn another_host_is_421_everywhere() {
    let house = House::new();
    for path in [
        "/.well-known/openid-configuration",
        "/jwks",
        "/token",
        "/userinfo",
        "/x",
    ] {
        for host in ["evil.example", "localhost:8181", "127.0.0.1"] {
            let mut request = get(path);
            request.headers_mut().insert(HOST, host.parse().unwrap());
            assert_eq!(house.ask(&request).status, 421, "{path} {host}");
        }
        let mut request = get(path);
        request.headers_mut().remove(HOST);
        assert_eq!(house.ask(&request).status, 421, "{path} without host");
    }
}

#[test]
fn no_answer_has_a_cors_header() {
    let house = House::new();
    let code = house.code(true);
    let mut requests = vec![token_request(&code, &[], Some(basic("headscale", SECRET)))];
    requests.push(token_request(&code, &[], Some(basic("headscale", "wrong"))));
    for path in [
        "/.well-known/openid-configuration",
        "/jwks",
        "/token",
        "/userinfo",
        "/x",
    ] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let mut request = get(path);
            *request.method_mut() = method;
            requests.push(request);
        }
    }
    for mut request in requests {
        request
            .headers_mut()
            .insert(ORIGIN, "https://evil.example".parse().unwrap());
        request
            .headers_mut()
            .insert(ACCESS_CONTROL_REQUEST_METHOD, "POST".parse().unwrap());
        let name = format!("{} {}", request.method(), request.uri());
        let answer = house.ask(&request);
        assert!(
            !answer.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN),
            "{name}"
        );
        let cors = |header: &http::HeaderName| header.as_str().starts_with("access-control-");
        assert!(!answer.headers.keys().any(cors), "{name}");
    }
}

#[test]
fn each_place_has_its_methods() {
    let house = House::new();
    for (path, method, allowed) in [
        (
            "/.well-known/openid-configuration",
            Method::POST,
            "GET, HEAD",
        ),
        ("/jwks", Method::DELETE, "GET, HEAD"),
        ("/token", Method::GET, "POST"),
        ("/token", Method::OPTIONS, "POST"),
        ("/userinfo", Method::PUT, "GET, POST"),
    ] {
        let mut request = get(path);
        *request.method_mut() = method;
        let answer = house.ask(&request);
        assert_eq!(
            (answer.status, &answer.headers[ALLOW]),
            (405, &allowed.parse().unwrap())
        );
    }
    assert_eq!(house.ask(&get("/authorize")).status, 404);
    let mut head = get("/jwks");
    *head.method_mut() = Method::HEAD;
    let answer = house.ask(&head);
    assert_eq!((answer.status, answer.body), (200, Value::Null));
}

#[test]
fn the_browser_is_sent_back_with_code_and_state() {
    let mut request = authorize_request(true);
    request.state = "a&b=c#d".to_owned();
    assert_eq!(
        Issuer::callback_location(&request, "the-code"),
        "https://headscale.company/oidc/callback?code=the-code&state=a%26b%3Dc%23d"
    );
}

#[test]
fn headscales_request_is_checked_against_the_settings() {
    let house = House::new();
    let mut query: Vec<(String, String)> = [
        ("client_id", "headscale"),
        ("nonce", "nonce-of-headscale"),
        ("redirect_uri", "https://headscale.company/oidc/callback"),
        ("response_type", "code"),
        ("scope", "openid profile email"),
        ("state", "state-of-headscale"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    assert_eq!(house.issuer.authorize(&query), Ok(authorize_request(false)));
    query[0].1 = "other".to_owned();
    assert_eq!(
        house.issuer.authorize(&query),
        Err(AuthorizeError::UnknownClient)
    );
}

#[test]
fn nothing_secret_is_in_the_debug_print() {
    let house = House::new();
    let code = house.code(true);
    let text = format!("{:?}", house.issuer);
    assert!(!text.contains(SECRET) && !text.contains(&code), "{text}");
}
