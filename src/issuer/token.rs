//! The token endpoint (RFC 6749 section 4.1.3): a code becomes an ID token and an access token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use ring::digest;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::answer;
use super::claims::{Claims, Person};
use super::client::{ClientError, Peer};
use super::form::Form;
use super::{Access, Issuer, MAX_BODY};
use crate::domain::time::Timestamp;

/// `exp` of an ID token that says nothing about the device's expiry.
const ID_TOKEN_LIFETIME: Duration = Duration::from_mins(5);
/// How long userinfo answers. Headscale asks at once.
pub(crate) const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_mins(5);

/// What was decided when the code was given out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// The session's name, for [`super::Standing`].
    pub(crate) holder: String,
    /// Who it was then.
    pub(crate) sub: String,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<String>,
    pub(crate) nonce: String,
}

/// Why there are no tokens. The client hears the error code only; the reason is for our log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TokenError {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("client authentication failed: {0}")]
    InvalidClient(&'static str),
    #[error("too many failed client authentications")]
    Limited(u64),
    #[error("the grant type is not authorization_code")]
    UnsupportedGrantType,
    #[error("{0}")]
    InvalidGrant(&'static str),
    #[error("the ID token could not be signed")]
    Signing,
    #[error(transparent)]
    Unavailable(#[from] super::codes::Unavailable),
}

#[derive(Serialize)]
struct IdToken<'a> {
    iss: &'a str,
    aud: &'a str,
    exp: u64,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    nonce: &'a str,
    #[serde(flatten)]
    person: Person<'a>,
}

#[derive(Serialize)]
struct Tokens {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    id_token: String,
}

/// `exp` of the ID token (design: the device's expiry, where one is wanted): the provider's own, or
/// `node_expiry` from now, or five minutes. `None` when it is already over: Headscale would refuse
/// the token, and the person has to sign in to the provider again.
pub(crate) fn expiry(
    claims: &Claims,
    node_expiry: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let exp = match claims.expires_at {
        Some(provider) => provider,
        None => now.plus(node_expiry.unwrap_or(ID_TOKEN_LIFETIME)),
    };
    (exp > now).then_some(exp)
}

/// Answers a request to the token endpoint.
pub(crate) async fn handle(issuer: &Issuer, request: &Request<Bytes>) -> Response<Bytes> {
    if request.method() != Method::POST {
        return answer::method_not_allowed("POST");
    }
    match redeem(issuer, request).await {
        Ok(tokens) => answer::json(StatusCode::OK, &tokens),
        Err(error) => refusal(error),
    }
}

fn refusal(error: TokenError) -> Response<Bytes> {
    if let TokenError::Limited(seconds) = error {
        tracing::debug!(%error, "headscale gets no tokens");
        return answer::too_many(seconds);
    }
    tracing::warn!(%error, "headscale gets no tokens");
    let bad = StatusCode::BAD_REQUEST;
    match error {
        TokenError::InvalidRequest(text) => answer::error(bad, "invalid_request", Some(text)),
        TokenError::InvalidClient(_) | TokenError::Limited(_) => answer::challenge(
            answer::error(StatusCode::UNAUTHORIZED, "invalid_client", None),
            "Basic realm=\"headwarden\"",
        ),
        TokenError::UnsupportedGrantType => answer::error(bad, "unsupported_grant_type", None),
        // One answer for all reasons: nothing to learn about codes of others.
        TokenError::InvalidGrant(_) => answer::error(bad, "invalid_grant", None),
        TokenError::Unavailable(_) => answer::unavailable(),
        TokenError::Signing => {
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None)
        }
    }
}

async fn redeem(issuer: &Issuer, request: &Request<Bytes>) -> Result<Tokens, TokenError> {
    let now = issuer.clock.now();
    let form = form(request)?;
    let peer = request.extensions().get::<Peer>().copied();
    issuer
        .client
        .authenticate(request.headers(), &form, peer, now)
        .map_err(|error| match error {
            ClientError::Failed(reason) => TokenError::InvalidClient(reason),
            ClientError::Limited(seconds) => TokenError::Limited(seconds),
        })?;
    match form.get("grant_type") {
        Some("authorization_code") => {}
        Some(_) => return Err(TokenError::UnsupportedGrantType),
        None => return Err(TokenError::InvalidRequest("grant_type is missing")),
    }
    let code = form
        .get("code")
        .ok_or(TokenError::InvalidRequest("code is missing"))?;
    let grant = grant(issuer, code, &form, now).await?;
    let claims = issuer
        .standing
        .claims(&grant.holder)
        .await
        .filter(|claims| claims.sub == grant.sub)
        .ok_or(TokenError::InvalidGrant(
            "the session ended, or the rules no longer admit it",
        ))?;
    tokens(issuer, &grant, claims, now).await
}

fn form(request: &Request<Bytes>) -> Result<Form, TokenError> {
    let media_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TokenError::InvalidRequest("the body is not form-encoded"));
    }
    if request.body().len() > MAX_BODY {
        return Err(TokenError::InvalidRequest("the body is too long"));
    }
    Form::parse(request.body()).map_err(|_| TokenError::InvalidRequest("a parameter is repeated"))
}

/// Takes the code's grant, but only for a request that has everything right: a wrong one must not
/// cost the person their sign-in.
async fn grant(
    issuer: &Issuer,
    code: &str,
    form: &Form,
    now: Timestamp,
) -> Result<Grant, TokenError> {
    let unknown = TokenError::InvalidGrant("the code is unknown, used or older than a minute");
    let grant = issuer.codes.peek(code, now).await?.ok_or(unknown)?;
    if form.get("redirect_uri") != Some(grant.redirect_uri.as_str()) {
        return Err(TokenError::InvalidGrant("the redirect_uri is another one"));
    }
    check_verifier(grant.challenge.as_deref(), form.get("code_verifier"))?;
    issuer.codes.take(code, now).await?.ok_or(unknown)
}

/// RFC 7636 section 4.6; and a verifier without a challenge is an error too, or an attacker could
/// take the challenge out of the request unnoticed (RFC 9700 section 4.8.2).
fn check_verifier(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), TokenError> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(TokenError::InvalidGrant("the code_verifier is missing")),
        (None, Some(_)) => Err(TokenError::InvalidGrant(
            "a code_verifier for a code without challenge",
        )),
        (Some(challenge), Some(verifier)) => {
            let digest = digest::digest(&digest::SHA256, verifier.as_bytes());
            let expected = URL_SAFE_NO_PAD.encode(digest);
            let same = bool::from(expected.as_bytes().ct_eq(challenge.as_bytes()));
            same.then_some(())
                .ok_or(TokenError::InvalidGrant("the code_verifier is wrong"))
        }
    }
}

async fn tokens(
    issuer: &Issuer,
    grant: &Grant,
    claims: Claims,
    now: Timestamp,
) -> Result<Tokens, TokenError> {
    let exp = expiry(&claims, **issuer.node_expiry.load(), now)
        .ok_or(TokenError::InvalidGrant("the provider's token expired"))?;
    let id_token = issuer
        .signing
        .load()
        .key
        .sign(&IdToken {
            iss: &issuer.endpoints.issuer,
            aud: issuer.client.id(),
            exp: exp.unix(),
            iat: now.unix(),
            auth_time: claims.auth_time.map(Timestamp::unix),
            nonce: &grant.nonce,
            person: claims.person(),
        })
        .map_err(|error| {
            tracing::error!(%error, "signing failed");
            TokenError::Signing
        })?;
    let access = Access {
        holder: grant.holder.clone(),
        claims,
    };
    tracing::info!(
        session = super::short(&grant.holder),
        "headscale was told who signed in"
    );
    Ok(Tokens {
        access_token: issuer.access.issue(&*issuer.random, now, access).await?,
        token_type: "Bearer",
        expires_in: ACCESS_TOKEN_LIFETIME.as_secs(),
        id_token,
    })
}
