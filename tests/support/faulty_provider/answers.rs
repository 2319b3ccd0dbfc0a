//! What each endpoint answers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Collected};
use hyper::body::Incoming;
use ring::digest;
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::fault::Fault;
use super::ill::{self, Answer, whole};
use super::{CLIENT_ID, CLIENT_SECRET, Endpoint, Grant, Person, Shared, tokens, who};

pub(super) type Fields = HashMap<String, String>;

pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(Collected::to_bytes)
        .unwrap_or_default();
    let endpoint = endpoint(parts.uri.path());
    shared.hits[endpoint as usize].fetch_add(1, Ordering::SeqCst);
    let query = fields(parts.uri.query().unwrap_or_default().as_bytes());
    let held = shared.knobs().held.clone();
    if let Some((_, mut held)) = held.filter(|(at, _)| *at == endpoint) {
        // An error is a release too.
        let _ = held.wait_for(|released| *released).await;
    }
    let fault = shared.knobs().fault;
    if hangs(endpoint, fault) {
        return std::future::pending().await;
    }
    let ill = shared.knobs().ill.filter(|(at, _)| *at == endpoint);
    if let Some((_, ill)) = ill {
        return match ill::answer(ill, parts.uri.path()) {
            Some(answer) => Ok(answer),
            None => std::future::pending().await,
        };
    }
    if let Some(answer) = fault.and_then(|fault| broken(endpoint, fault)) {
        return Ok(answer);
    }
    Ok(match (endpoint, &parts.method) {
        (Endpoint::Discovery, &Method::GET) => discovery(&shared),
        (Endpoint::Jwks, &Method::GET) => jwks(&shared),
        (Endpoint::Authorize, &Method::GET) if shared.knobs().asks => {
            let cookies = parts.headers.get(header::COOKIE);
            ask(
                &shared,
                &query,
                cookies.and_then(|value| value.to_str().ok()),
            )
        }
        (Endpoint::Authorize, &Method::GET) => authorize(&shared, &query),
        (Endpoint::Token, &Method::POST) => {
            let authorization = parts.headers.get(header::AUTHORIZATION);
            let basic = authorization.and_then(|value| value.to_str().ok());
            token(&shared, &fields(&body), basic)
        }
        (Endpoint::Userinfo, &Method::GET | &Method::POST) => {
            let authorization = parts.headers.get(header::AUTHORIZATION);
            userinfo(&shared, authorization.and_then(|value| value.to_str().ok()))
        }
        (Endpoint::EndSession, &Method::GET) => end_session(&shared, &query),
        _ => html(404, "not found"),
    })
}

fn endpoint(path: &str) -> Endpoint {
    match path {
        "/application/o/headscale/.well-known/openid-configuration" => Endpoint::Discovery,
        "/application/o/headscale/jwks/" => Endpoint::Jwks,
        "/application/o/authorize/" => Endpoint::Authorize,
        "/application/o/token/" => Endpoint::Token,
        "/application/o/userinfo/" => Endpoint::Userinfo,
        "/application/o/headscale/end-session/" => Endpoint::EndSession,
        _ => Endpoint::Other,
    }
}

fn fields(encoded: &[u8]) -> Fields {
    form_urlencoded::parse(encoded).into_owned().collect()
}

fn hangs(endpoint: Endpoint, fault: Option<Fault>) -> bool {
    matches!(
        (endpoint, fault),
        (Endpoint::Discovery, Some(Fault::DiscoveryHangs))
            | (Endpoint::Token, Some(Fault::TokenHangs))
            | (Endpoint::Userinfo, Some(Fault::UserinfoHangs))
    )
}

/// Answers that have nothing to do with what was asked.
fn broken(endpoint: Endpoint, fault: Fault) -> Option<Answer> {
    Some(match (endpoint, fault) {
        (Endpoint::Discovery, Fault::DiscoveryIsDown)
        | (Endpoint::Jwks, Fault::JwksIsDown)
        | (Endpoint::Token, Fault::TokenIsDown)
        | (Endpoint::Userinfo, Fault::UserinfoIsDown) => html(503, "starting"),
        (Endpoint::Discovery, Fault::DiscoveryIsHtml)
        | (Endpoint::Jwks, Fault::JwksIsHtml)
        | (Endpoint::Token, Fault::TokenIsHtml)
        | (Endpoint::Userinfo, Fault::UserinfoIsHtml) => html(200, "<html>hello</html>"),
        (Endpoint::Discovery, Fault::DiscoveryRedirects)
        | (Endpoint::Jwks, Fault::JwksRedirects)
        | (Endpoint::Token, Fault::TokenRedirects) => redirect("https://elsewhere.example/"),
        (Endpoint::Discovery, Fault::DiscoveryIsHuge) | (Endpoint::Token, Fault::TokenIsHuge) => {
            json_answer(200, &json!({ "padding": "x".repeat(2 * 1024 * 1024) }))
        }
        (Endpoint::Discovery, Fault::DiscoveryIsGzip) => {
            let mut answer = json_answer(200, &json!({}));
            answer
                .headers_mut()
                .insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
            answer
        }
        (Endpoint::Token, Fault::TokenIsMissing) => html(404, "not found"),
        (Endpoint::Token, Fault::ErrorWith200) => json_answer(
            200,
            &json!({ "error": "invalid_grant", "error_description": "no" }),
        ),
        (Endpoint::Userinfo, Fault::UserinfoIsSigned) => Response::builder()
            .header(header::CONTENT_TYPE, "application/jwt")
            .body(whole(Bytes::from_static(b"e30.e30.c2ln")))
            .unwrap(),
        (Endpoint::Userinfo, Fault::UserinfoRefuses) => unauthorized(),
        _ => return None,
    })
}

fn discovery(shared: &Shared) -> Answer {
    let (origin, issuer) = (&shared.origin, shared.issuer());
    let knobs = shared.knobs();
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{origin}/application/o/authorize/"),
        "token_endpoint": format!("{origin}/application/o/token/"),
        "userinfo_endpoint": format!("{origin}/application/o/userinfo/"),
        "end_session_endpoint": format!("{issuer}end-session/"),
        "introspection_endpoint": format!("{origin}/application/o/introspect/"),
        "revocation_endpoint": format!("{origin}/application/o/revoke/"),
        "jwks_uri": format!("{issuer}jwks/"),
        "response_types_supported": ["code", "id_token", "code token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [knobs.signing_key.alg()],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "scopes_supported": ["openid", "profile", "email"],
        "request_parameter_supported": false,
        "claims_parameter_supported": false,
    });
    if knobs.advertises_iss {
        document["authorization_response_iss_parameter_supported"] = true.into();
    }
    if let Some(fault) = knobs.fault {
        bend_discovery(document.as_object_mut().unwrap(), fault);
    }
    patch(document.as_object_mut().unwrap(), &knobs.discovery);
    json_answer(200, &document)
}

/// Puts members in, and takes out those that are null.
pub(super) fn patch(object: &mut Map<String, Value>, members: &Map<String, Value>) {
    object.extend(members.clone());
    object.retain(|name, value| !(value.is_null() && members.contains_key(name)));
}

fn bend_discovery(document: &mut Map<String, Value>, fault: Fault) {
    match fault {
        Fault::IssuerWithoutSlash => {
            let issuer = document["issuer"]
                .as_str()
                .unwrap()
                .trim_end_matches('/')
                .to_owned();
            document["issuer"] = issuer.into();
        }
        Fault::IssuerOfSomebodyElse => document["issuer"] = json!("https://evil.example/"),
        Fault::PlaintextTokenEndpoint => {
            document["token_endpoint"] = json!("http://elsewhere.example/token/");
        }
        Fault::PlaintextJwks => document["jwks_uri"] = json!("http://elsewhere.example/jwks/"),
        Fault::EndpointWithCredentials => {
            document["token_endpoint"] = json!("https://user:password@elsewhere.example/token/");
        }
        Fault::NoTokenEndpoint => drop(document.remove("token_endpoint")),
        Fault::OnlyHs256 => {
            document["id_token_signing_alg_values_supported"] = json!(["HS256"]);
        }
        Fault::OnlyEs512 => {
            document["id_token_signing_alg_values_supported"] = json!(["ES512"]);
        }
        Fault::OnlyPostAuth => {
            document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
        }
        _ => {}
    }
}

fn jwks(shared: &Shared) -> Answer {
    let knobs = shared.knobs();
    if let Some(document) = &knobs.jwks {
        return json_answer(200, document);
    }
    let mut keys: Vec<Value> = knobs
        .published_keys
        .iter()
        .filter_map(|key| key.jwk())
        .collect();
    match knobs.fault {
        Some(Fault::JwksWithoutKeys) => keys.clear(),
        Some(Fault::JwksWithMalformedKey) => {
            keys.insert(0, json!({ "kty": "RSA", "kid": 7, "n": "%%%" }));
        }
        _ => {}
    }
    if keys.is_empty() {
        // Not even an empty list, in authentik.
        return json_answer(200, &json!({}));
    }
    json_answer(200, &json!({ "keys": keys }))
}

/// Asks who is there, unless the browser knows; from there on as ever.
fn ask(shared: &Shared, query: &Fields, cookies: Option<&str>) -> Answer {
    let person = match who::known(query, cookies.unwrap_or_default()) {
        who::Known::Nobody => return html(200, &who::page(query)),
        who::Known::Chosen(person) => {
            // Whatever they proved before, they do it anew.
            shared.memory().sessions.remove(&person);
            person
        }
        who::Known::Remembered(person) => person,
    };
    let mut query = query.clone();
    query.insert("login_hint".to_owned(), person.username().to_owned());
    remembering(authorize(shared, &query), Some(person))
}

fn remembering(mut answer: Answer, person: Option<Person>) -> Answer {
    let cookie = who::cookie(person).parse().unwrap();
    answer.headers_mut().append(header::SET_COOKIE, cookie);
    answer
}

fn authorize(shared: &Shared, query: &Fields) -> Answer {
    let get = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let redirect_uri = get("redirect_uri");
    if get("client_id") != CLIENT_ID || !is_registered(shared, redirect_uri) {
        return html(400, "The redirect URI or the client is not registered");
    }
    let error = shared.knobs().authorize_error.clone();
    let error = error.or_else(|| {
        (get("response_type") != "code").then(|| "unsupported_response_type".to_owned())
    });
    if let Some(error) = error {
        // authentik does not encode the state here.
        let state = get("state");
        return redirect(&format!(
            "{redirect_uri}?error={error}&error_description=no&state={state}"
        ));
    }
    for name in ["state", "nonce"] {
        shared.note(name, get(name));
    }
    let code = shared.fresh("code");
    let grant = grant(shared, query);
    shared.memory().codes.insert(code.clone(), grant);
    let mut target = Url::parse(redirect_uri).unwrap();
    target
        .query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", get("state"));
    if shared.knobs().advertises_iss {
        target
            .query_pairs_mut()
            .append_pair("iss", &shared.issuer());
    }
    redirect(target.as_str())
}

/// authentik trusts the first redirect URI where none was registered.
fn is_registered(shared: &Shared, redirect_uri: &str) -> bool {
    let mut knobs = shared.knobs();
    if knobs.redirect_uris.is_empty() {
        knobs.redirect_uris.push(redirect_uri.to_owned());
    }
    knobs.redirect_uris.iter().any(|uri| uri == redirect_uri)
}

/// Signs the person in, again where the request asks for it.
fn grant(shared: &Shared, query: &Fields) -> Grant {
    let hinted = query
        .get("login_hint")
        .and_then(|hint| Person::hinted(hint));
    let (person, fault) = {
        let knobs = shared.knobs();
        (hinted.unwrap_or(knobs.person), knobs.fault)
    };
    let (now, sid) = (shared.now(), shared.fresh("sid"));
    let mut memory = shared.memory();
    let session = memory.sessions.entry(person).or_insert((now, sid.clone()));
    let max_age = query.get("max_age").and_then(|age| age.parse::<u64>().ok());
    let too_old = max_age.is_some_and(|age| age > 0 && now.saturating_sub(session.0) > age);
    let again = query.get("prompt").is_some_and(|prompt| prompt == "login");
    if (too_old || again) && fault != Some(Fault::AuthTimeStale) {
        *session = (now, sid);
    }
    let challenge = query.get("code_challenge").map(|challenge| {
        let method = query
            .get("code_challenge_method")
            .map_or("plain", String::as_str);
        (challenge.clone(), method.to_owned())
    });
    Grant {
        person,
        redirect_uri: query["redirect_uri"].clone(),
        nonce: query.get("nonce").cloned(),
        challenge,
        auth_time: session.0,
        sid: session.1.clone(),
        refreshed: false,
    }
}

fn token(shared: &Shared, form: &Fields, authorization: Option<&str>) -> Answer {
    let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if !is_client(form, authorization) || shared.has(Fault::InvalidClient) {
        return refusal("invalid_client", "Client authentication failed");
    }
    match get("grant_type") {
        "authorization_code" => match code_grant(shared, form) {
            Ok(grant) => {
                let refresh = shared.knobs().refresh_tokens;
                tokens_for(shared, &grant, refresh)
            }
            Err(refused) => refused,
        },
        "refresh_token" => refresh(shared, form),
        _ => refusal(
            "unsupported_grant_type",
            "The authorization grant type is not supported",
        ),
    }
}

fn code_grant(shared: &Shared, form: &Fields) -> Result<Grant, Answer> {
    let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let invalid = || {
        refusal(
            "invalid_grant",
            "The provided authorization grant is invalid",
        )
    };
    let Some(grant) = shared.memory().codes.get(get("code")).cloned() else {
        return Err(invalid());
    };
    if grant.redirect_uri != get("redirect_uri") {
        // Misleading, but that is what authentik says.
        return Err(refusal("invalid_client", "Client authentication failed"));
    }
    if !verifies(grant.challenge.as_ref(), form.get("code_verifier")) {
        return Err(invalid());
    }
    shared.memory().codes.remove(get("code"));
    shared.note("verifier", get("code_verifier"));
    Ok(grant)
}

/// As in authentik: no other scope than before, no nonce in the new ID token, and neither `sid` nor
/// `amr` once the person has signed out. A refresh token that was used is refused, and those that
/// came after it stay good.
fn refresh(shared: &Shared, form: &Fields) -> Answer {
    let invalid = || {
        refusal(
            "invalid_grant",
            "The provided authorization grant is invalid",
        )
    };
    if form.contains_key("scope") {
        return refusal("invalid_scope", "The requested scope is invalid");
    }
    let token = form
        .get("refresh_token")
        .map(String::as_str)
        .unwrap_or_default();
    let stays = shared.knobs().refresh_tokens_stay;
    let grant = {
        let mut memory = shared.memory();
        if stays {
            memory.refresh_tokens.get(token).cloned()
        } else {
            memory.refresh_tokens.remove(token)
        }
    };
    let Some(grant) = grant else { return invalid() };
    if shared.knobs().deactivated.contains(&grant.person) {
        return invalid();
    }
    let grant = Grant {
        nonce: None,
        refreshed: true,
        ..grant
    };
    tokens_for(shared, &grant, !stays)
}

fn tokens_for(shared: &Shared, grant: &Grant, with_refresh_token: bool) -> Answer {
    let access_token = shared.fresh("access");
    shared
        .memory()
        .access_tokens
        .insert(access_token.clone(), grant.clone());
    let id_token = tokens::id_token(shared, grant, &access_token);
    shared.note("id token", &id_token);
    let scope = if with_refresh_token {
        "email offline_access openid profile"
    } else {
        "email openid profile"
    };
    let mut answer = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "scope": scope,
        "expires_in": 300,
        "id_token": id_token,
    });
    if with_refresh_token {
        let token = shared.fresh("refresh");
        let mut memory = shared.memory();
        memory.refresh_tokens.insert(token.clone(), grant.clone());
        answer["refresh_token"] = token.into();
    }
    match shared.knobs().fault {
        Some(Fault::NoIdToken) => drop(answer.as_object_mut().unwrap().remove("id_token")),
        Some(Fault::NoAccessToken) => drop(answer.as_object_mut().unwrap().remove("access_token")),
        Some(Fault::TokenTypeMac) => answer["token_type"] = json!("mac"),
        _ => {}
    }
    patch(
        answer.as_object_mut().unwrap(),
        &shared.knobs().token_answer,
    );
    json_answer(200, &answer)
}

/// Basic or post, not decoded further, as in authentik.
fn is_client(form: &Fields, authorization: Option<&str>) -> bool {
    if let Some(basic) = authorization.and_then(|value| value.strip_prefix("Basic ")) {
        let decoded = STANDARD.decode(basic).unwrap_or_default();
        return decoded == format!("{CLIENT_ID}:{CLIENT_SECRET}").as_bytes();
    }
    form.get("client_id").is_some_and(|id| id == CLIENT_ID)
        && form
            .get("client_secret")
            .is_some_and(|secret| secret == CLIENT_SECRET)
}

/// RFC 7636 section 4.6; a verifier without a challenge is refused too, as in authentik.
fn verifies(challenge: Option<&(String, String)>, verifier: Option<&String>) -> bool {
    match (challenge, verifier) {
        (None, None) => true,
        (Some((challenge, method)), Some(verifier)) => match method.as_str() {
            "S256" => {
                let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
                URL_SAFE_NO_PAD.encode(hash) == *challenge
            }
            _ => verifier == challenge,
        },
        _ => false,
    }
}

fn userinfo(shared: &Shared, authorization: Option<&str>) -> Answer {
    let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
    let grant = token.and_then(|token| shared.memory().access_tokens.get(token).cloned());
    let Some(grant) = grant else {
        return unauthorized();
    };
    let knobs = shared.knobs();
    let mut claims = grant.person.claims();
    claims.extend(knobs.extra_claims.clone());
    claims.insert("nonce".to_owned(), json!(grant.nonce));
    match knobs.fault {
        Some(Fault::UserinfoOfSomebodyElse) => {
            claims.insert("sub".to_owned(), json!("f".repeat(64)));
        }
        Some(Fault::UserinfoWithoutSub) => {}
        _ => {
            claims.insert("sub".to_owned(), json!(grant.person.subject()));
        }
    }
    patch(&mut claims, &knobs.userinfo);
    json_answer(200, &Value::Object(claims))
}

fn end_session(shared: &Shared, query: &Fields) -> Answer {
    shared.memory().sessions.clear();
    let uri = query.get("post_logout_redirect_uri");
    let answer = match uri.filter(|uri| shared.knobs().post_logout_redirect_uris.contains(uri)) {
        Some(uri) => {
            let mut target = Url::parse(uri).unwrap();
            if let Some(state) = query.get("state") {
                target.query_pairs_mut().append_pair("state", state);
            }
            redirect(target.as_str())
        }
        None => html(200, "You've logged out"),
    };
    if shared.knobs().asks {
        remembering(answer, None)
    } else {
        answer
    }
}

/// Without the word Bearer, as authentik has it.
fn unauthorized() -> Answer {
    Response::builder()
        .status(401)
        .header(
            header::WWW_AUTHENTICATE,
            "error=\"invalid_token\", error_description=\"no\"",
        )
        .body(whole(Bytes::new()))
        .unwrap()
}

/// All of authentik's refusals have status 400, `invalid_client` too.
fn refusal(error: &str, description: &str) -> Answer {
    json_answer(
        400,
        &json!({ "error": error, "error_description": description, "request_id": "0123456789" }),
    )
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .body(whole(body.to_string().into()))
        .unwrap()
}

fn html(status: u16, text: &str) -> Answer {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .body(whole(text.to_owned().into()))
        .unwrap()
}

fn redirect(target: &str) -> Answer {
    Response::builder()
        .status(302)
        .header(header::LOCATION, target)
        .body(whole(Bytes::new()))
        .unwrap()
}
