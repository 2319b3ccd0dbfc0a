//! The requests behind a callback and behind a re-check: a code or a refresh token for tokens (RFC
//! 6749 sections 4.1.3 and 6, OpenID Connect Core sections 3.1.3 and 12), and the access token for
//! claims (section 5.3). Whether to believe the ID token belongs to `id_token`.

use http::StatusCode;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::discovery::{ClientAuth, Metadata};
use super::http::{Http, HttpError};
use super::refusal::{AnswerFault, NoClaims, NoTokens};
use crate::config::Oidc;
use crate::domain::identity::Subject;
use crate::domain::secret::Secret;
use crate::ops::metrics::Endpoint;

/// What the token endpoint gave, not yet verified.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) access_token: Secret<String>,
    /// Required behind a code; may be missing behind a refresh token (section 12.2).
    pub(super) id_token: Option<Secret<String>>,
    pub(super) refresh_token: Option<Secret<String>>,
    /// What was granted, where the provider says it: it has to where that is not what was asked for.
    pub(super) scope: Option<String>,
}

impl Tokens {
    /// Whether `scope` may have been granted. Providers leave scopes out that they do not give.
    pub(super) fn may_have(&self, scope: &str) -> bool {
        let granted = |text: &str| text.split_ascii_whitespace().any(|it| it == scope);
        self.scope.as_deref().is_none_or(granted)
    }
}

/// What is exchanged for tokens.
#[derive(Clone, Copy)]
pub(super) enum Grant<'a> {
    /// What identifies one code.
    Code {
        code: &'a str,
        verifier: &'a str,
        redirect_uri: &'a str,
    },
    /// No `scope` goes along: it is that of the sign-in then, and authentik takes no other.
    Refresh { token: &'a str },
}

impl<'a> Grant<'a> {
    fn form(self) -> Vec<(&'static str, &'a str)> {
        match self {
            Self::Code {
                code,
                verifier,
                redirect_uri,
            } => vec![
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier),
            ],
            Self::Refresh { token } => {
                vec![("grant_type", "refresh_token"), ("refresh_token", token)]
            }
        }
    }

    /// What it is counted as.
    const fn endpoint(self) -> Endpoint {
        match self {
            Self::Code { .. } => Endpoint::Token,
            Self::Refresh { .. } => Endpoint::Refresh,
        }
    }

    /// What an answer must not repeat into a log.
    fn secrets(self) -> Vec<&'a str> {
        match self {
            Self::Code { code, verifier, .. } => vec![code, verifier],
            Self::Refresh { token } => vec![token],
        }
    }
}

/// Exchanges a code or a refresh token.
pub(super) async fn redeem(
    http: &Http,
    metadata: &Metadata,
    settings: &Oidc,
    grant: Grant<'_>,
) -> Result<Tokens, NoTokens> {
    let (id, secret) = (
        settings.client_id.as_str(),
        settings.client_secret.expose().as_str(),
    );
    let mut form = grant.form();
    let basic = match client_auth(&metadata.client_auth, id, secret) {
        ClientAuth::Basic => Some((id, secret)),
        ClientAuth::Post => {
            form.extend([("client_id", id), ("client_secret", secret)]);
            None
        }
    };
    let answer = http
        .post(grant.endpoint(), &metadata.token_endpoint, &form, basic)
        .await?;
    let mut sent = grant.secrets();
    sent.push(secret);
    let body = answer
        .object()
        .map(|body| without_what_was_sent(body, &sent));
    match (answer.status, body) {
        (StatusCode::OK, body) => tokens(&body?),
        // Too many requests say nothing about the one who is asked about, whatever comes with them.
        (StatusCode::TOO_MANY_REQUESTS, _) => Err(HttpError::Status(429).into()),
        (_, Ok(body)) if refusal(&body).is_some() => tokens(&body),
        (status, _) => Err(HttpError::Status(status.as_u16()).into()),
    }
}

/// Basic is what RFC 6749 section 2.3.1 recommends, but half the world forgets that both parts are
/// form-encoded there (authentik does not decode them). Where that would make a difference, the form
/// is used if the provider takes it.
fn client_auth(offered: &[ClientAuth], id: &str, secret: &str) -> ClientAuth {
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte))
    };
    match offered {
        [ClientAuth::Basic, ClientAuth::Post] if !(plain(id) && plain(secret)) => ClientAuth::Post,
        [first, ..] => *first,
        [] => ClientAuth::Basic,
    }
}

/// Reads a token answer. An `error` counts whatever the status is: some providers send it with 200.
fn tokens(body: &Map<String, Value>) -> Result<Tokens, NoTokens> {
    if let Some(refused) = refusal(body) {
        return Err(refused);
    }
    let text = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let token_type = text("token_type").unwrap_or_default();
    if !token_type.eq_ignore_ascii_case("bearer") {
        return Err(AnswerFault::TokenType(printable(&token_type, 40)).into());
    }
    Ok(Tokens {
        access_token: Secret::new(text("access_token").ok_or(AnswerFault::NoAccessToken)?),
        id_token: text("id_token").map(Secret::new),
        refresh_token: text("refresh_token").map(Secret::new),
        scope: text("scope"),
    })
}

fn refusal(body: &Map<String, Value>) -> Option<NoTokens> {
    let error = body.get("error")?.as_str()?;
    let description = body
        .get("error_description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(NoTokens::Refused {
        error: printable(error, 64),
        description: printable(description, 200),
    })
}

/// Takes out the texts of a refusal that repeat a code, a verifier or a secret of the request: they
/// are for the log.
fn without_what_was_sent(mut body: Map<String, Value>, sent: &[&str]) -> Map<String, Value> {
    for name in ["error", "error_description"] {
        let text = body.get(name).and_then(Value::as_str).unwrap_or_default();
        if sent
            .iter()
            .any(|secret| !secret.is_empty() && text.contains(secret))
        {
            body.insert(name.to_owned(), "(it repeats what was sent)".into());
        }
    }
    body
}

/// Text of the provider for a log line or a page: visible ASCII (RFC 6749 section 5.2), bounded.
fn printable(text: &str, limit: usize) -> String {
    text.chars()
        .filter(|c| (' '..='~').contains(c))
        .take(limit)
        .collect()
}

/// Reads the claims that belong to an access token, which must be those of `subject` (section
/// 5.3.2). Empty where the provider has no userinfo endpoint.
pub(super) async fn userinfo(
    http: &Http,
    metadata: &Metadata,
    access_token: &Secret<String>,
    subject: &Subject,
) -> Result<Claims, NoClaims> {
    let Some(url) = &metadata.userinfo_endpoint else {
        return Ok(Claims::new());
    };
    let answer = http
        .get(Endpoint::Userinfo, url, Some(access_token))
        .await?;
    if matches!(
        answer.status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    ) {
        return Err(NoClaims::Refused(answer.status.as_u16()));
    }
    let claims = answer.ok()?.object()?;
    if claims.get("sub").and_then(Value::as_str) != Some(subject.as_str()) {
        return Err(NoClaims::OtherSubject);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Tokens, NoTokens> {
        tokens(body.as_object().unwrap())
    }

    #[test]
    fn a_complete_answer_gives_its_tokens() {
        let body = json!({
            "token_type": "bearer", "access_token": "a", "id_token": "i", "refresh_token": "r",
        });
        let tokens = read(&body).unwrap();
        assert_eq!(tokens.access_token.expose(), "a");
        assert_eq!(tokens.id_token.unwrap().expose(), "i");
        assert_eq!(tokens.refresh_token.unwrap().expose(), "r");
    }

    /// RFC 6749 section 5.1: without the member, what was asked for was granted.
    #[test]
    fn a_scope_that_is_left_out_of_what_was_granted_was_not() {
        for (scope, may) in [
            (Value::Null, true),
            (json!(""), true),
            (json!(["openid"]), true),
            (json!("openid offline_access"), true),
            (json!("offline_access"), true),
            (json!("openid profile"), false),
            (json!("openid offline_access2"), false),
        ] {
            let body = json!({"token_type": "Bearer", "access_token": "a", "scope": scope});
            let tokens = read(&body).unwrap();
            assert_eq!(tokens.may_have("offline_access"), may, "{body}");
        }
    }

    #[test]
    fn a_refusal_that_repeats_what_was_sent_is_not_told() {
        let sent = ["code-1", "verifier-2", "secret-3", ""];
        let told = |error: &str, description: &str| {
            let body = json!({"error": error, "error_description": description});
            let body = without_what_was_sent(body.as_object().unwrap().clone(), &sent);
            tokens(&body).unwrap_err().to_string()
        };
        for (error, description) in [
            ("invalid_grant", "no such code: code-1"),
            ("invalid_grant", "verifier-2 does not match"),
            ("invalid_client", "secret-3"),
            ("code-1", "no"),
        ] {
            let told = told(error, description);
            assert!(told.contains("repeats what was sent"), "{told}");
            assert!(
                !sent[..3].iter().any(|secret| told.contains(secret)),
                "{told}"
            );
        }
        assert!(told("invalid_grant", "expired").ends_with("invalid_grant (expired)"));
    }

    #[test]
    fn an_incomplete_answer_is_refused_by_the_name_of_what_is_missing() {
        for (body, fault) in [
            (json!({}), AnswerFault::TokenType(String::new())),
            (
                json!({"token_type": "mac", "access_token": "a", "id_token": "i"}),
                AnswerFault::TokenType("mac".to_owned()),
            ),
            (
                json!({"token_type": "Bearer", "id_token": "i"}),
                AnswerFault::NoAccessToken,
            ),
        ] {
            match read(&body) {
                Err(NoTokens::Unusable(found)) => assert_eq!(found, fault, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_id_token_is_not_there() {
        for body in [
            json!({"token_type": "Bearer", "access_token": "a"}),
            json!({"token_type": "Bearer", "access_token": "a", "id_token": ""}),
            json!({"token_type": "Bearer", "access_token": "a", "id_token": {"x": 1}}),
        ] {
            assert!(read(&body).unwrap().id_token.is_none(), "{body}");
        }
    }

    #[test]
    fn a_refresh_asks_for_no_scope_of_its_own() {
        let form = Grant::Refresh { token: "t" }.form();
        assert_eq!(
            form,
            [("grant_type", "refresh_token"), ("refresh_token", "t")]
        );
    }

    #[test]
    fn an_error_is_a_refusal_even_beside_tokens_and_cannot_break_a_log_line() {
        let body = json!({
            "error": "invalid_grant\r\nfake: line", "error_description": "a\u{1b}[31mb",
            "token_type": "Bearer", "access_token": "a", "id_token": "i",
        });
        let Err(NoTokens::Refused { error, description }) = read(&body) else {
            panic!("not refused");
        };
        assert_eq!(error, "invalid_grantfake: line");
        assert_eq!(description, "a[31mb");
    }

    #[test]
    fn basic_is_used_unless_encoding_it_would_be_ambiguous() {
        use ClientAuth::{Basic, Post};
        for (offered, secret, expected) in [
            (&[Basic, Post][..], "abcXYZ019-._", Basic),
            (&[Basic, Post], "with:colon", Post),
            (&[Basic, Post], "with space", Post),
            (&[Basic, Post], "ümlaut", Post),
            (&[Basic], "with:colon", Basic),
            (&[Post], "plain", Post),
        ] {
            assert_eq!(
                client_auth(offered, "headwarden", secret),
                expected,
                "{offered:?} {secret}"
            );
        }
    }
}
