//! The issuer's private listener, as Headscale and as somebody else on the machine sees it, and what
//! of it is not on the public one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::support::certified_provider::MEMBER;
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET};
use crate::support::person::Person;
use crate::support::raw::{Raw, Response};
use crate::support::tailnet::{AUTH_ID, Tailnet};
use crate::{authorize_url, callback_url, parameter, signed_in};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

struct Redeem<'a> {
    tailnet: &'a Tailnet,
    code: String,
}

impl Redeem<'_> {
    /// The form that Headscale sends, with `more` instead of or beside its fields.
    fn form(&self, more: &[(&str, &str)]) -> String {
        let redirect = self.tailnet.house.url("/oidc/callback");
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", &self.code),
            ("redirect_uri", &redirect),
        ];
        fields.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        fields.extend_from_slice(more);
        Serializer::new(String::new()).extend_pairs(fields).finish()
    }

    fn post(&self, lines: &[&str], more: &[(&str, &str)]) -> Response {
        let url = format!("{}/token", self.tailnet.house.plan.issuer_url());
        let mut all = vec![FORM];
        all.extend_from_slice(lines);
        Person::new().request("POST", &url, &all, self.form(more).as_bytes())
    }
}

fn basic(id: &str, secret: &str) -> String {
    format!(
        "Authorization: Basic {}",
        STANDARD.encode(format!("{id}:{secret}"))
    )
}

/// A fresh code, with the state that goes with it.
fn code<'a>(tailnet: &'a Tailnet, person: &mut Person) -> (Redeem<'a>, Url) {
    let url = authorize_url(tailnet, person, AUTH_ID);
    let callback = callback_url(person, &url);
    let code = parameter(&callback, "code");
    (Redeem { tailnet, code }, url)
}

fn error(response: &Response) -> (u16, String) {
    let text = response.json()["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (response.status(), text)
}

fn payload(token: &Value) -> Value {
    let token = token.as_str().expect("a token");
    let part = token.split('.').nth(1).expect("three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_code_is_redeemed_by_basic_or_post_once_and_wrong_requests_do_not_cost_it() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = signed_in(&tailnet, MEMBER);
    let good = basic(HEADSCALE_ID, HEADSCALE_SECRET);
    // Go form-encodes both halves; these stand for the same letters.
    let encoded = basic("%68eadscale", &HEADSCALE_SECRET.replace('-', "%2D"));
    let body = [
        ("client_id", HEADSCALE_ID),
        ("client_secret", HEADSCALE_SECRET),
    ];
    for (lines, more) in [
        (&[&good[..]][..], &[][..]),
        (&[&encoded], &[]),
        (&[], &body),
    ] {
        let (redeem, asked) = code(&tailnet, &mut person);
        let wrong = basic(HEADSCALE_ID, "wrong");
        let invalid_grant = (400, "invalid_grant".to_owned());
        let invalid_client = (401, "invalid_client".to_owned());
        assert_eq!(error(&redeem.post(&[&wrong], &[])), invalid_client);
        assert_eq!(error(&redeem.post(&[], &[])), invalid_client);
        for bad in [
            ("redirect_uri", "https://evil.example/oidc/callback"),
            ("redirect_uri", ""),
            (
                "code_verifier",
                "a-verifier-for-a-code-without-challenge-0000",
            ),
            ("code", "guessed"),
        ] {
            assert_eq!(
                error(&redeem.post(&[&good], &[bad])),
                invalid_grant,
                "{bad:?}"
            );
        }
        let kind = ("grant_type", "client_credentials");
        let (status, text) = error(&redeem.post(&[&good], &[kind]));
        assert_eq!((status, &text[..]), (400, "unsupported_grant_type"));

        let answer = redeem.post(lines, more);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let tokens = answer.json();
        let claims = payload(&tokens["id_token"]);
        assert_eq!(claims["nonce"], parameter(&asked, "nonce").as_str());
        assert_eq!(claims["iss"], tailnet.house.plan.issuer_url().as_str());
        let bearer = tokens["access_token"].as_str().expect("a token");
        let url = format!("{}/userinfo", tailnet.house.plan.issuer_url());
        let line = format!("Authorization: Bearer {bearer}");
        let userinfo = Person::new().request("GET", &url, &[&line], b"").json();
        for (name, value) in userinfo.as_object().expect("claims") {
            assert_eq!(claims[name], *value, "{name}");
        }
        assert_eq!(userinfo["email"], "mia@acmecorp.net");
        assert_eq!(userinfo["preferred_username"], "mia");
        assert_eq!(
            error(&redeem.post(&[&good], &[])),
            invalid_grant,
            "a repeat"
        );
    }
}

#[test]
fn with_pkce_the_verifier_decides_and_a_wrong_one_does_not_cost_the_code() {
    let tailnet = Tailnet::start("v0.29.2");
    tailnet.headscale.configure(|options| {
        options.oidc.as_mut().expect("it trusts us").pkce = true;
    });
    let mut person = signed_in(&tailnet, MEMBER);
    let url = authorize_url(&tailnet, &mut person, AUTH_ID);
    let callback = callback_url(&mut person, &url);
    let redeem = Redeem {
        tailnet: &tailnet,
        code: parameter(&callback, "code"),
    };
    let good = basic(HEADSCALE_ID, HEADSCALE_SECRET);
    let challenge = parameter(&url, "code_challenge");
    for more in [
        &[][..],
        &[("code_verifier", "wrong")],
        &[("code_verifier", &challenge)],
    ] {
        let (status, text) = error(&redeem.post(&[&good], more));
        assert_eq!((status, &text[..]), (400, "invalid_grant"), "{more:?}");
    }
    let page = person.open(callback.as_str());
    assert!(page.text().contains("Confirm node"), "{}", page.text());
}

#[test]
fn a_code_of_a_session_that_has_ended_is_worth_nothing() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = signed_in(&tailnet, MEMBER);
    let (redeem, _) = code(&tailnet, &mut person);
    let url = tailnet.house.url("/.headwarden/logout");
    let out = person.request("POST", &url, &[FORM, "Sec-Fetch-Site: same-origin"], b"");
    assert_eq!(out.status(), 303);
    let (status, text) = error(&redeem.post(&[&basic(HEADSCALE_ID, HEADSCALE_SECRET)], &[]));
    assert_eq!((status, &text[..]), (400, "invalid_grant"));
}

#[test]
fn another_host_gets_421_on_both_listeners() {
    let tailnet = Tailnet::start("v0.29.2");
    let plan = &tailnet.house.plan;
    for (address, path) in [
        (plan.issuer, "/.well-known/openid-configuration"),
        (plan.issuer, "/token"),
        (plan.public, "/.headwarden/authorize"),
        (plan.public, "/oidc/callback?state=a&code=b"),
        (
            plan.public,
            "/register/hskey-authreq-0123456789abcdef01234567",
        ),
        (plan.public, "/"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        let answer = Raw::connect(address).and_then(|mut raw| raw.exchange(request.as_bytes()));
        assert_eq!(answer.expect("an answer").status(), 421, "{path}");
    }
}

#[test]
fn discovery_keys_tokens_and_userinfo_are_not_on_the_public_listener_nor_the_rest_on_the_private() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = signed_in(&tailnet, MEMBER);
    let (redeem, _) = code(&tailnet, &mut person);
    let good = basic(HEADSCALE_ID, HEADSCALE_SECRET);
    for path in [
        "/.well-known/openid-configuration",
        "/jwks",
        "/token",
        "/userinfo",
        "/.headwarden/token",
        "/.headwarden/userinfo",
        "/.headwarden/jwks",
        "/.headwarden/.well-known/openid-configuration",
    ] {
        let url = tailnet.house.url(path);
        for method in ["GET", "POST"] {
            let form = redeem.form(&[]);
            let body = if method == "POST" {
                form.as_bytes()
            } else {
                b""
            };
            let answer = person.request(method, &url, &[FORM, &good], body);
            assert_eq!(answer.status(), 404, "{method} {path}: {}", answer.text());
        }
    }
    let private = tailnet.house.plan.issuer_url();
    for path in [
        "/",
        "/.headwarden/authorize",
        "/oidc/callback",
        "/key",
        "/health",
        "/metrics",
    ] {
        let answer = person.request("GET", &format!("{private}{path}"), &[], b"");
        assert_eq!(answer.status(), 404, "{path}");
    }
    // The code was not touched by any of them.
    assert_eq!(redeem.post(&[&good], &[]).status(), 200);
}
