//! What Headscale asks the provider for: discovery, tokens, keys, userinfo. No caches: the stand-in
//! asks anew each time, so that a test sees what the provider says now.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::super::raw::{Raw, Response, request_to};
use super::relying_party::{Checked, note, refuse};
use super::{Oidc, Shared, jwt};

/// The discovery document; the issuer is compared byte for byte.
pub(super) fn discover(oidc: &Oidc) -> Result<Value, String> {
    let url = format!(
        "{}/.well-known/openid-configuration",
        oidc.issuer.trim_end_matches('/')
    );
    let answer = fetch("GET", &url, &[], "")?;
    if answer.status() != 200 {
        return Err(format!("discovery at {url}: {}", answer.status()));
    }
    let document = answer.json();
    if document["issuer"] != oidc.issuer.as_str() {
        return Err(format!(
            "issuer did not match: {} and {}",
            oidc.issuer, document["issuer"]
        ));
    }
    Ok(document)
}

/// One request as Go's client sends it, on a connection of its own; plain http only.
fn fetch(method: &str, url: &str, lines: &[String], body: &str) -> Result<Response, String> {
    let url = Url::parse(url).map_err(|error| format!("{url:?}: {error}"))?;
    let address = url
        .socket_addrs(|| None)
        .map_err(|error| format!("{url}: {error}"))?;
    let address = *address.first().ok_or("no address")?;
    let mut all = vec!["User-Agent: Go-http-client/1.1".to_owned()];
    all.extend_from_slice(lines);
    let request = request_to(method, &url, &all, body.as_bytes());
    let answer = Raw::connect(address).and_then(|mut raw| raw.exchange(&request));
    answer.map_err(|error| format!("{url}: {error}"))
}

pub(super) fn exchange(
    oidc: &Oidc,
    provider: &Value,
    server_url: &str,
    code: &str,
    verifier: Option<&str>,
) -> Checked<Value> {
    let mut form = BTreeMap::from([("code", code), ("grant_type", "authorization_code")]);
    let redirect = format!("{server_url}/oidc/callback");
    form.insert("redirect_uri", &redirect);
    if let Some(verifier) = verifier {
        form.insert("code_verifier", verifier);
    }
    let body = Serializer::new(String::new()).extend_pairs(form).finish();
    // RFC 6749 section 2.3.1: both are form-encoded first, as Go's client does.
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!(
        "{}:{}",
        encoded(&oidc.client_id),
        encoded(&oidc.client_secret)
    );
    let lines = [
        format!("Authorization: Basic {}", STANDARD.encode(pair)),
        "Content-Type: application/x-www-form-urlencoded".to_owned(),
    ];
    let endpoint = provider["token_endpoint"].as_str().unwrap_or_default();
    let answer = fetch("POST", endpoint, &lines, &body).or_else(|why| refuse(403, why))?;
    if answer.status() != 200 {
        return refuse(
            403,
            format!("code exchange: {} {}", answer.status(), answer.text()),
        );
    }
    Ok(answer.json())
}

pub(super) fn id_token(oidc: &Oidc, provider: &Value, tokens: &Value) -> Checked<Value> {
    let Some(token) = tokens["id_token"].as_str() else {
        return refuse(400, "no id_token in the token answer");
    };
    let jwks = provider["jwks_uri"].as_str().unwrap_or_default();
    let keys = fetch("GET", jwks, &[], "")
        .or_else(|why| refuse(403, why))?
        .json();
    let algorithms =
        serde_json::from_value(provider["id_token_signing_alg_values_supported"].clone())
            .unwrap_or_else(|_| vec!["RS256".to_owned()]);
    let expected = jwt::Expected {
        issuer: &oidc.issuer,
        client_id: &oidc.client_id,
        algorithms: &algorithms,
        now: now(),
    };
    jwt::verify(token, &keys, &expected).or_else(|why| refuse(403, why))
}

/// Userinfo wins over the ID token if it is about the same subject; without it, life goes on.
pub(super) fn with_userinfo(
    shared: &Shared,
    mut claims: Value,
    provider: &Value,
    tokens: &Value,
) -> Value {
    let bearer = tokens["access_token"].as_str().unwrap_or_default();
    let lines = [format!("Authorization: Bearer {bearer}")];
    let endpoint = provider["userinfo_endpoint"].as_str().unwrap_or_default();
    match fetch("GET", endpoint, &lines, "") {
        Ok(answer) if answer.status() == 200 => {
            let more = answer.json();
            if more["sub"] == claims["sub"] {
                for (name, value) in more.as_object().into_iter().flatten() {
                    claims[name] = value.clone();
                }
            }
        }
        Ok(answer) => note(shared, format!("userinfo: {}", answer.status())),
        Err(why) => note(shared, format!("userinfo: {why}")),
    }
    claims
}

#[expect(
    clippy::disallowed_methods,
    reason = "a peer has its own clock, as Headscale does"
)]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("the clock is past 1970").as_secs()).unwrap_or(i64::MAX)
}
