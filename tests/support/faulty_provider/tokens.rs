//! ID tokens and logout tokens: authentik's claims, the faults that bend them, and the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::signing::{self, Key};
use super::{CLIENT_ID, CLIENT_SECRET, Grant, Person, Shared, answers};

/// How long tokens are valid: what authentik's web interface fills in.
const VALIDITY: u64 = 5 * 60;

pub(super) fn id_token(shared: &Shared, grant: &Grant, access_token: &str) -> String {
    let knobs = shared.knobs();
    let (fault, key) = (knobs.fault, knobs.signing_key);
    let mut claims = protocol_claims(shared, grant);
    if knobs.claims_in_id_token {
        claims.extend(grant.person.claims());
        claims.extend(knobs.extra_claims.clone());
    }
    if knobs.at_hash || fault == Some(Fault::BadAtHash) {
        claims.insert("at_hash".to_owned(), at_hash(access_token).into());
    }
    let mut header = json!({ "alg": key.alg(), "typ": "JWT" });
    if let Some(kid) = key.kid() {
        header["kid"] = kid.into();
    }
    if let Some(fault) = fault {
        bend_claims(&mut claims, fault, shared.now());
        bend_header(&mut header, fault);
    }
    answers::patch(&mut claims, &knobs.id_claims);
    answers::patch(header.as_object_mut().unwrap(), &knobs.header);
    let before = knobs.before_claims;
    drop(knobs);
    assemble(&header, &claims, before, key, fault)
}

/// What is posted to clients when a session ends (OpenID Connect Back-Channel Logout section 2.4), with
/// these changes: put in, or taken out where null.
pub(super) fn logout_token(
    shared: &Shared,
    person: Person,
    changed_header: &Value,
    changed: &Value,
) -> String {
    let sid = shared.memory().sessions.get(&person).map(|it| it.1.clone());
    let (fault, key) = {
        let knobs = shared.knobs();
        (knobs.fault, knobs.signing_key)
    };
    let now = shared.now();
    let mut claims = json!({
        "iss": shared.issuer(),
        "sub": person.subject(),
        "sid": sid,
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + VALIDITY,
        "jti": signing::random_text(),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let mut header = json!({ "alg": key.alg(), "kid": key.kid(), "typ": "logout+jwt" });
    for object in [&mut claims, &mut header] {
        let object = object.as_object_mut().unwrap();
        object.retain(|_, value| !value.is_null());
    }
    if let Some(fault) = fault {
        bend_header(&mut header, fault);
    }
    let members = |object: &Value| object.as_object().unwrap().clone();
    answers::patch(header.as_object_mut().unwrap(), &members(changed_header));
    answers::patch(claims.as_object_mut().unwrap(), &members(changed));
    assemble(&header, &members(&claims), "", key, fault)
}

fn protocol_claims(shared: &Shared, grant: &Grant) -> Map<String, Value> {
    let now = shared.now();
    let claims = json!({
        "iss": shared.issuer(),
        "sub": grant.person.subject(),
        "aud": CLIENT_ID,
        "exp": now + VALIDITY,
        "iat": now,
        "auth_time": grant.auth_time,
        "acr": "goauthentik.io/providers/oauth2/default",
        "amr": ["pwd"],
        "nonce": grant.nonce,
        "sid": grant.sid,
        "jti": signing::random_text(),
    });
    let Value::Object(mut claims) = claims else {
        unreachable!()
    };
    claims.retain(|_, value| !value.is_null());
    if grant.refreshed && !is_signed_in(shared, grant) {
        claims.remove("sid");
        claims.remove("amr");
    }
    claims
}

/// Whether the session at the provider that somebody signed in with is still there.
fn is_signed_in(shared: &Shared, grant: &Grant) -> bool {
    let memory = shared.memory();
    memory
        .sessions
        .get(&grant.person)
        .is_some_and(|(_, sid)| *sid == grant.sid)
}

/// OpenID Connect Core section 3.1.3.6, for the two algorithms here, which both hash with SHA-256.
fn at_hash(access_token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16])
}

fn bend_claims(claims: &mut Map<String, Value>, fault: Fault, now: u64) {
    let mut set = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    match fault {
        Fault::AudienceOfSomebodyElse => set("aud", json!("another-client")),
        Fault::TwoAudiencesWithoutAzp => set("aud", json!([CLIENT_ID, "another-client"])),
        Fault::TwoAudiencesWithAzp => {
            set("aud", json!(["another-client", CLIENT_ID]));
            set("azp", json!(CLIENT_ID));
        }
        Fault::AzpOfSomebodyElse => set("azp", json!("another-client")),
        Fault::IssOfSomebodyElse => set("iss", json!("https://evil.example/")),
        Fault::NonceWrong => set("nonce", json!("another-nonce")),
        Fault::ExpiredFor(seconds) => set("exp", json!(now.saturating_sub(seconds))),
        Fault::IatAhead(seconds) => set("iat", json!(now + seconds)),
        Fault::NbfAhead(seconds) => set("nbf", json!(now + seconds)),
        Fault::AuthTimeAhead(seconds) => set("auth_time", json!(now + seconds)),
        Fault::SubEmpty => set("sub", json!("")),
        Fault::BadAtHash => set("at_hash", json!(at_hash("another token"))),
        Fault::IssWithoutSlash => {
            let issuer = claims["iss"]
                .as_str()
                .unwrap()
                .trim_end_matches('/')
                .to_owned();
            claims["iss"] = issuer.into();
        }
        Fault::NonceAbsent => drop(claims.remove("nonce")),
        Fault::ExpAbsent => drop(claims.remove("exp")),
        Fault::IatAbsent => drop(claims.remove("iat")),
        Fault::AuthTimeAbsent => drop(claims.remove("auth_time")),
        Fault::SubAbsent => drop(claims.remove("sub")),
        _ => {}
    }
}

fn bend_header(header: &mut Value, fault: Fault) {
    match fault {
        Fault::AlgNone => *header = json!({ "alg": "none", "typ": "JWT" }),
        Fault::Hs256WithPublicKey | Fault::Hs256WithClientSecret => {
            *header = json!({ "alg": "HS256", "typ": "JWT" });
        }
        Fault::NoKid => drop(header.as_object_mut().unwrap().remove("kid")),
        Fault::UnknownKid => header["kid"] = json!("nobody-knows-this-key"),
        Fault::TypIsLogoutToken => header["typ"] = json!("logout+jwt"),
        Fault::CriticalHeader => header["crit"] = json!(["exp"]),
        _ => {}
    }
}

fn assemble(
    header: &Value,
    claims: &Map<String, Value>,
    before: &str,
    key: Key,
    fault: Option<Fault>,
) -> String {
    let encode = |json: String| URL_SAFE_NO_PAD.encode(json);
    let payload = if fault == Some(Fault::PayloadIsNoJson) {
        encode("not JSON".to_owned())
    } else {
        let claims = serde_json::to_string(claims).unwrap();
        encode(claims.replacen('{', &format!("{{{before}"), 1))
    };
    let input = format!("{}.{payload}", encode(header.to_string()));
    let signature = match fault {
        Some(Fault::Encrypted) => return encrypted(),
        Some(Fault::TwoParts) => return input,
        Some(Fault::AlgNone) => Vec::new(),
        Some(Fault::Hs256WithPublicKey) => {
            signing::hs256(key.public_pem().as_bytes(), input.as_bytes())
        }
        Some(Fault::Hs256WithClientSecret) => {
            signing::hs256(CLIENT_SECRET.as_bytes(), input.as_bytes())
        }
        Some(Fault::BadSignature) => {
            let mut signature = key.sign(input.as_bytes());
            *signature.last_mut().unwrap() ^= 1;
            signature
        }
        Some(Fault::SignedByForger) => Key::EcOther.sign(input.as_bytes()),
        _ => key.sign(input.as_bytes()),
    };
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What authentik sends once an Encryption Key is set: five parts (RFC 7516 section 3.1).
fn encrypted() -> String {
    let header = json!({
        "alg": "RSA-OAEP-256", "enc": "A256CBC-HS512", "kid": "encryption-key", "typ": "JWE",
    });
    let parts: Vec<String> = (0..4).map(|_| signing::random_text()).collect();
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        parts.join(".")
    )
}
