//! Headscale's side of OpenID Connect: the same requests, cookies, checks and statuses.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use url::form_urlencoded::{Serializer, parse as parse_form};

use super::server::Reply;
use super::{Node, Oidc, Seen, Shared, provider, routes, rows};

const CONFIRM_NAME: &str = "headscale_register_confirm";

/// What a sign-in is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    SshCheck,
}

/// Sign-ins under way.
#[derive(Default)]
pub(super) struct SignIns {
    by_state: BTreeMap<String, SignIn>,
    /// Auth id → CSRF value and the node that a confirmation makes.
    unconfirmed: BTreeMap<String, (String, Node)>,
}

#[derive(Clone)]
struct SignIn {
    kind: Kind,
    auth_id: String,
    verifier: Option<String>,
}

/// An answer that refuses, with what Headscale would have logged.
pub(super) struct Refusal(u16, String);

pub(super) type Checked<T> = Result<T, Refusal>;

pub(super) fn refuse<T>(status: u16, why: impl Into<String>) -> Checked<T> {
    Err(Refusal(status, why.into()))
}

/// `GET /register/{id}` and `GET /auth/{id}` with an `oidc:` block.
pub(super) fn begin(shared: &Shared, kind: Kind, auth_id: &str) -> Reply {
    let (oidc, server_url) = configured(shared);
    let document = match provider::discover(&oidc) {
        Ok(document) => document,
        Err(why) => return refused(shared, Refusal(500, why)),
    };
    let (state, nonce) = (hex(32), hex(32));
    let verifier = oidc.pkce.then(|| URL_SAFE_NO_PAD.encode(random(32)));
    shared.change(|now| {
        let made = [("headscale's state", &state), ("headscale's nonce", &nonce)];
        let made = made.into_iter().map(|(name, value)| (name, value.clone()));
        now.secrets.extend(made);
        let verifier = verifier.clone();
        now.secrets
            .extend(verifier.map(|it| ("headscale's verifier", it)));
    });
    // Go sorts the query's parameters by name.
    let mut query: BTreeMap<String, String> = oidc.extra_params.clone();
    let mut put = |name: &str, value: String| query.insert(name.to_owned(), value);
    put("client_id", oidc.client_id.clone());
    put("redirect_uri", format!("{server_url}/oidc/callback"));
    put("response_type", "code".to_owned());
    put("scope", oidc.scope.join(" "));
    put("state", state.clone());
    put("nonce", nonce.clone());
    if let Some(verifier) = &verifier {
        let hash = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
        put("access_type", "offline".to_owned());
        put("code_challenge", URL_SAFE_NO_PAD.encode(hash));
        put("code_challenge_method", "S256".to_owned());
    }
    let endpoint = document["authorization_endpoint"]
        .as_str()
        .unwrap_or_default();
    let separator = if endpoint.contains('?') { '&' } else { '?' };
    let query = Serializer::new(String::new()).extend_pairs(&query).finish();
    let location = format!("{endpoint}{separator}{query}");
    let sign_in = SignIn {
        kind,
        auth_id: auth_id.to_owned(),
        verifier,
    };
    shared.change(|now| now.sign_ins.by_state.insert(state.clone(), sign_in));
    let body = format!(
        "<a href=\"{}\">Found</a>.\n",
        location.replace('&', "&amp;")
    );
    Reply::html(302, body)
        .with("Set-Cookie", login_cookie("state", &state, &server_url))
        .with("Set-Cookie", login_cookie("nonce", &nonce, &server_url))
        .with("Location", location)
}

fn login_cookie(name: &str, value: &str, server_url: &str) -> String {
    let secure = if server_url.starts_with("https:") {
        "; Secure"
    } else {
        ""
    };
    let tag = &value[..6];
    format!(
        "{name}_{tag}={value}; Path=/oidc/callback; Max-Age=3600; HttpOnly{secure}; SameSite=Lax"
    )
}

/// `GET /oidc/callback`.
pub(super) fn callback(seen: &Seen, shared: &Shared, version: u32) -> Reply {
    redeem(seen, shared, version).unwrap_or_else(|refusal| refused(shared, refusal))
}

fn redeem(seen: &Seen, shared: &Shared, version: u32) -> Checked<Reply> {
    let query = seen.target.split_once('?').map_or("", |(_, query)| query);
    let parameter = |wanted: &str| {
        let found = parse_form(query.as_bytes()).find(|(name, _)| name == wanted);
        found
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let (code, state) = (parameter("code"), parameter("state"));
    if code.is_empty() || state.len() < 6 {
        return refuse(400, "missing code or state parameter");
    }
    compare_cookie(seen, "state", &state)?;
    let (oidc, server_url) = configured(shared);
    let sign_in = shared.state().sign_ins.by_state.get(&state).cloned();
    if oidc.pkce && sign_in.is_none() {
        return refuse(404, "the PKCE verifier of this sign-in is gone");
    }
    let document = provider::discover(&oidc).or_else(|why| refuse(500, why))?;
    let verifier = sign_in
        .as_ref()
        .and_then(|sign_in| sign_in.verifier.clone());
    let tokens = provider::exchange(&oidc, &document, &server_url, &code, verifier.as_deref())?;
    shared.change(|now| {
        now.secrets.push(("our code", code.clone()));
        for (name, field) in [
            ("our access token", "access_token"),
            ("our id token", "id_token"),
        ] {
            let token = tokens[field].as_str().unwrap_or_default();
            now.secrets.push((name, token.to_owned()));
        }
    });
    let claims = provider::id_token(&oidc, &document, &tokens)?;
    let nonce = claims["nonce"].as_str().unwrap_or_default().to_owned();
    if nonce.len() < 6 {
        return refuse(400, "no nonce in the ID token");
    }
    compare_cookie(seen, "nonce", &nonce)?;
    let expiry = oidc
        .use_expiry_from_token
        .then(|| claims["exp"].as_i64())
        .flatten();
    let claims = provider::with_userinfo(shared, claims, &document, &tokens);
    let owner = shared.change(|now| rows::remember(now, &claims, &oidc));
    // As in Headscale, the user exists by now, whatever comes of the registration.
    let sign_in = shared.change(|now| now.sign_ins.by_state.remove(&state));
    let Some(SignIn { kind, auth_id, .. }) = sign_in else {
        return refuse(410, "the sign-in has expired");
    };
    if shared.state().expired.contains(&auth_id) {
        return refuse(410, "the session has expired");
    }
    let node = Node {
        auth_id,
        provider_identifier: owner,
        expiry,
    };
    match kind {
        Kind::SshCheck => approve_ssh(shared, node),
        Kind::Register if version >= 29 => Ok(ask(shared, node)),
        Kind::Register => Ok(admit(shared, node)),
    }
}

fn compare_cookie(seen: &Seen, kind: &str, value: &str) -> Checked<()> {
    let name = format!("{kind}_{}", &value[..6]);
    match cookie(seen, &name) {
        None => refuse(400, format!("{kind} cookie not found")),
        Some(kept) if kept == value => Ok(()),
        Some(_) => refuse(403, format!("{kind} did not match")),
    }
}

fn cookie(seen: &Seen, name: &str) -> Option<String> {
    let fields = seen.fields.values("cookie");
    let mut pairs = fields.iter().flat_map(|field| field.split(';'));
    pairs.find_map(|pair| {
        pair.trim()
            .strip_prefix(name)?
            .strip_prefix('=')
            .map(str::to_owned)
    })
}

fn approve_ssh(shared: &Shared, node: Node) -> Checked<Reply> {
    let owner = shared.state().ssh_owners.get(&node.auth_id).cloned();
    if owner.is_some_and(|owner| owner != node.provider_identifier) {
        return refuse(403, "not the owner of the source node");
    }
    shared.change(|state| state.approved_ssh.push(node));
    Ok(page(200, "SSH session authorized", ""))
}

fn ask(shared: &Shared, node: Node) -> Reply {
    let (id, csrf) = (node.auth_id.clone(), hex(16));
    let secure = shared.state().options.server_url.starts_with("https:");
    shared.change(|state| {
        state
            .sign_ins
            .unconfirmed
            .insert(id.clone(), (csrf.clone(), node));
    });
    let form = format!(
        "<form method=\"POST\" action=\"/register/confirm/{id}\">\
         <input type=\"hidden\" name=\"{CONFIRM_NAME}\" value=\"{csrf}\">\
         <button type=\"submit\">Confirm registration</button></form>"
    );
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!(
        "{CONFIRM_NAME}={csrf}; Path=/register/confirm/{id}; Max-Age=900; HttpOnly{secure}; \
         SameSite=Strict"
    );
    page(200, "Confirm node registration", &form).with("Set-Cookie", cookie)
}

/// `POST /register/confirm/{id}`.
pub(super) fn confirm(seen: &Seen, shared: &Shared, auth_id: &str) -> Reply {
    let field = parse_form(&seen.body).find(|(name, _)| name == CONFIRM_NAME);
    let field = field
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let pending = shared.state().sign_ins.unconfirmed.get(auth_id).cloned();
    let Some((csrf, node)) = pending else {
        return refused(shared, Refusal(410, "the session has expired".to_owned()));
    };
    if field != csrf || cookie(seen, CONFIRM_NAME).as_ref() != Some(&csrf) {
        return refused(
            shared,
            Refusal(403, "the confirmation does not match".to_owned()),
        );
    }
    shared.change(|state| state.sign_ins.unconfirmed.remove(auth_id));
    admit(shared, node)
}

fn admit(shared: &Shared, node: Node) -> Reply {
    shared.change(|state| {
        let (id, owner) = (&node.auth_id, &node.provider_identifier);
        super::api::devices::admit(state, id, owner, node.expiry);
        state.nodes.push(node);
    });
    page(200, "Node registered", "You can close this window.")
}

fn page(status: u16, title: &str, body: &str) -> Reply {
    Reply::html(
        status,
        format!("<!DOCTYPE html><title>{title} - Headscale</title><h1>{title}</h1>{body}"),
    )
}

fn refused(shared: &Shared, Refusal(status, why): Refusal) -> Reply {
    let old = routes::minor(&shared.state().options.version) < 29;
    note(shared, format!("{status}: {why}"));
    if old {
        Reply::text(status, why)
    } else {
        page(status, "Sign-in failed", "")
    }
}

pub(super) fn note(shared: &Shared, problem: String) {
    shared.change(|state| state.problems.push(problem));
}

fn configured(shared: &Shared) -> (Oidc, String) {
    let options = &shared.state().options;
    let oidc = options
        .oidc
        .clone()
        .expect("routed here only with an oidc block");
    (oidc, options.server_url.clone())
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has randomness");
    bytes
}

/// So many random bytes in hexadecimal.
fn hex(length: usize) -> String {
    let digits = random(length)
        .into_iter()
        .flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}
