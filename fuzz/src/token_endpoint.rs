//! The token endpoint and userinfo, on the private listener. Input: method, path, `Host`,
//! `Authorization` (empty for none), `Content-Type`, then the body. `CODE` in the body stands for a code
//! that can be redeemed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION};
use http::{Request, Response};
use serde_json::Value;

use super::issuing::{CALLBACK, CLIENT, House, SECRET, VERIFIER};
use super::support::{lines, ready, replaced, unescape};

pub fn run(data: &[u8]) {
    thread_local! {
        static HOUSE: House = House::new();
    }
    let Some(([method, path, host, authorization, kind], body)) = lines::<5>(data) else {
        return;
    };
    HOUSE.with(|house| {
        // Old codes and counted failures are over.
        house.clock.forward(120);
        let code = house.code();
        let body = replaced(body, "CODE", &code);
        let request = Request::builder().method(method).uri(path);
        let request = request.header(HOST, host).header(CONTENT_TYPE, kind);
        let request = if authorization.is_empty() {
            request
        } else {
            request.header(AUTHORIZATION, authorization)
        };
        let Ok(request) = request.body(Bytes::from(body)) else {
            return;
        };
        let answer = ready(house.issuer.handle(&request));
        check_answer(&request, &answer);
        let redeemed = is_token(&request) && answer.status() == 200;
        if redeemed {
            check_redeemed(&request, &code);
        }
        // Nothing wrong costs the person their sign-in, and nothing works twice.
        let after = ready(house.issuer.handle(&genuine(&code)));
        assert_eq!(
            after.status() == 200,
            !redeemed,
            "{request:?}: {:?}",
            after.body()
        );
        let again = ready(house.issuer.handle(&genuine(&code)));
        assert_eq!(again.status(), 400, "a code was redeemed twice");
    });
}

fn is_token(request: &Request<Bytes>) -> bool {
    request.method() == "POST" && request.uri().path() == "/token"
}

/// What Headscale's client sends.
fn genuine(code: &str) -> Request<Bytes> {
    let secret = "canary-secret%3A+%2B%25%26";
    let basic = STANDARD.encode(format!("{CLIENT}:{secret}"));
    let body = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={}&code_verifier={VERIFIER}",
        "https%3A%2F%2Fheadscale.company%2Foidc%2Fcallback"
    );
    Request::post("/token")
        .header(HOST, "127.0.0.1:8181")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(AUTHORIZATION, format!("Basic {basic}"))
        .body(body.into())
        .unwrap()
}

fn check_answer(request: &Request<Bytes>, answer: &Response<Bytes>) {
    let status = answer.status().as_u16();
    let known = [200, 400, 401, 404, 405, 421, 429];
    assert!(known.contains(&status), "{request:?}: {answer:?}");
    let told = format!("{answer:?}");
    assert!(!told.contains("canary"), "the secret is told: {told}");
    assert!(!answer.headers().contains_key(LOCATION), "{answer:?}");
    let cors = answer
        .headers()
        .keys()
        .any(|name| name.as_str().starts_with("access-control"));
    assert!(!cors, "{answer:?}");
    if request.uri().path() == "/token" || request.uri().path() == "/userinfo" {
        assert_eq!(
            answer.headers().get(CACHE_CONTROL).unwrap(),
            "no-store",
            "{answer:?}"
        );
    }
    let told = status == 200 && request.uri().path() == "/userinfo";
    assert!(
        !told,
        "userinfo answers a token that was never given out: {request:?}"
    );
    if status >= 400 && request.method() != "HEAD" && !answer.body().is_empty() {
        let body: Value = serde_json::from_slice(answer.body()).expect("an error is JSON");
        assert!(body.get("error").is_some_and(Value::is_string), "{body}");
    }
}

/// RFC 6749 section 4.1.3 and RFC 7636 section 4.6, written down once more for the one client.
pub fn check_redeemed(request: &Request<Bytes>, code: &str) {
    assert!(
        request.body().len() <= 16 * 1024,
        "a body of {} bytes",
        request.body().len()
    );
    let fields = form(request.body());
    let one = |name: &str| {
        let mut found = fields.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice: {request:?}");
        value
    };
    assert_eq!(one("grant_type"), Some("authorization_code"), "{request:?}");
    assert_eq!(one("code"), Some(code), "{request:?}");
    assert_eq!(one("redirect_uri"), Some(CALLBACK), "{request:?}");
    assert_eq!(one("code_verifier"), Some(VERIFIER), "{request:?}");
    let (id, secret) = match request.headers().get(AUTHORIZATION) {
        None => (
            one("client_id").map(str::to_owned),
            one("client_secret").map(str::to_owned),
        ),
        Some(value) => {
            assert_eq!(one("client_secret").unwrap_or_default(), "", "{request:?}");
            let (scheme, text) = value.to_str().unwrap().split_once(' ').unwrap();
            assert!(scheme.eq_ignore_ascii_case("basic"), "{request:?}");
            let text = STANDARD.decode(text.trim()).unwrap();
            let colon = text.iter().position(|byte| *byte == b':').unwrap();
            (
                Some(decoded(&text[..colon])),
                Some(decoded(&text[colon + 1..])),
            )
        }
    };
    assert_eq!(id.as_deref(), Some(CLIENT), "{request:?}");
    assert_eq!(secret.as_deref(), Some(SECRET), "{request:?}");
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair
                .iter()
                .position(|byte| *byte == b'=')
                .unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            (decoded(&pair[..at]), decoded(value))
        })
        .collect()
}

fn decoded(text: &[u8]) -> String {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    String::from_utf8_lossy(&unescape(&spaced)).into_owned()
}
