//! The authorization request (OpenID Connect Core section 3.1.2.1), as Headscale makes browsers
//! bring it. Parsing and checking only: who the person is, and whether the request belongs to a leg
//! that began here, is for the caller.

use crate::domain::leg::AuthorizeRequest;

/// Longest value that is taken; Headscale's are 64 characters.
const MAX_VALUE: usize = 512;

/// Why a request is not answered. None of these goes back to the redirect URI as an OAuth error:
/// Headscale would only say "missing code"; the person gets a page from us instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// A parameter that counts is there twice.
    #[error("the parameter {0} is given more than once")]
    Duplicate(&'static str),
    /// Another client than the one there is.
    #[error("the client_id is not that of headscale; compare headscale's oidc.client_id")]
    UnknownClient,
    /// Not exactly `<server_url>/oidc/callback`.
    #[error("the redirect_uri is {found:?}, expected {expected:?}; compare headscale's server_url")]
    RedirectUri {
        /// What was asked for, cut short.
        found: String,
        /// The only one there is.
        expected: String,
    },
    /// Not `code`.
    #[error("the response_type is not \"code\"")]
    ResponseType,
    /// `openid` is missing from the scope.
    #[error("the scope does not contain openid; compare headscale's oidc.scope")]
    Scope,
    /// Absent, too long, or with characters that no state or nonce of Headscale has.
    #[error("the {0} is missing or malformed")]
    Malformed(&'static str),
    /// A PKCE challenge that is not S256 (RFC 7636 section 4.3; a missing method means plain).
    #[error("the code challenge is not S256; set headscale's oidc.pkce.method to S256")]
    ChallengeMethod,
}

/// Checks an authorization request for the client `client_id` with its one `redirect_uri`.
/// Parameters that do not concern us (`access_type`, what the operator put into `extra_params`) are
/// ignored, however often they appear (RFC 6749 section 3.1).
pub(crate) fn parse(
    query: &[(String, String)],
    client_id: &str,
    redirect_uri: &str,
) -> Result<AuthorizeRequest, AuthorizeError> {
    if one(query, "client_id")? != Some(client_id) {
        return Err(AuthorizeError::UnknownClient);
    }
    check_redirect_uri(one(query, "redirect_uri")?, redirect_uri)?;
    if one(query, "response_type")? != Some("code") {
        return Err(AuthorizeError::ResponseType);
    }
    let scope = one(query, "scope")?.unwrap_or_default();
    if !scope.split(' ').any(|word| word == "openid") || scope.len() > MAX_VALUE {
        return Err(AuthorizeError::Scope);
    }
    Ok(AuthorizeRequest {
        state: token(query, "state")?,
        nonce: token(query, "nonce")?,
        challenge: challenge(query)?,
        redirect_uri: redirect_uri.to_owned(),
        scope: scope.to_owned(),
    })
}

fn one<'a>(
    query: &'a [(String, String)],
    name: &'static str,
) -> Result<Option<&'a str>, AuthorizeError> {
    let mut found = query
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value);
    match (found.next(), found.next()) {
        (value, None) => Ok(value.map(String::as_str).filter(|value| !value.is_empty())),
        (_, Some(_)) => Err(AuthorizeError::Duplicate(name)),
    }
}

fn check_redirect_uri(found: Option<&str>, expected: &str) -> Result<(), AuthorizeError> {
    let found = found.unwrap_or_default();
    if found == expected {
        return Ok(());
    }
    Err(AuthorizeError::RedirectUri {
        found: found.chars().take(200).collect(),
        expected: expected.to_owned(),
    })
}

fn token(query: &[(String, String)], name: &'static str) -> Result<String, AuthorizeError> {
    one(query, name)?
        .filter(|value| value.len() <= MAX_VALUE && value.bytes().all(|b| b.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or(AuthorizeError::Malformed(name))
}

/// A challenge is 32 bytes in base64url, so 43 characters (RFC 7636 section 4.2).
fn challenge(query: &[(String, String)]) -> Result<Option<String>, AuthorizeError> {
    let method = one(query, "code_challenge_method")?;
    let Some(challenge) = one(query, "code_challenge")? else {
        return match method {
            None => Ok(None),
            Some(_) => Err(AuthorizeError::Malformed("code_challenge")),
        };
    };
    if method != Some("S256") {
        return Err(AuthorizeError::ChallengeMethod);
    }
    let base64url = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if challenge.len() != 43 || !challenge.bytes().all(base64url) {
        return Err(AuthorizeError::Malformed("code_challenge"));
    }
    Ok(Some(challenge.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLBACK: &str = "https://headscale.company/oidc/callback";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    /// What Headscale 0.29 with PKCE and extra parameters sends.
    fn good() -> Vec<(String, String)> {
        [
            ("access_type", "offline"),
            ("client_id", "headscale"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("domain_hint", "acmecorp.net"),
            ("nonce", "nOnCe0123456789-_"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid profile email custom"),
            ("state", "sTaTe0123456789-_"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn with(name: &str, value: Option<&str>) -> Vec<(String, String)> {
        let mut query = good();
        query.retain(|(known, _)| known != name);
        query.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        query
    }

    fn parsed(query: &[(String, String)]) -> Result<AuthorizeRequest, AuthorizeError> {
        parse(query, "headscale", CALLBACK)
    }

    #[test]
    fn headscales_own_request_is_understood() {
        let request = parsed(&good()).unwrap();
        assert_eq!(request.state, "sTaTe0123456789-_");
        assert_eq!(request.nonce, "nOnCe0123456789-_");
        assert_eq!(request.challenge.as_deref(), Some(CHALLENGE));
        assert_eq!(request.redirect_uri, CALLBACK);
        assert_eq!(request.scope, "openid profile email custom");
    }

    #[test]
    fn pkce_may_be_left_out_altogether() {
        let mut query = with("code_challenge", None);
        query.retain(|(name, _)| name != "code_challenge_method");
        assert_eq!(parsed(&query).unwrap().challenge, None);
    }

    #[test]
    fn a_scope_of_512_bytes_is_taken_and_a_longer_one_is_not() {
        for (length, taken) in [(511, true), (512, true), (513, false), (600, false)] {
            let scope = format!("openid {}", "x".repeat(length - 7));
            let request = parsed(&with("scope", Some(&scope)));
            assert_eq!(
                request.is_ok_and(|request| request.scope == scope),
                taken,
                "{length}"
            );
        }
    }

    #[test]
    fn parameters_of_others_are_ignored_even_twice() {
        let mut query = good();
        query.push(("domain_hint".to_owned(), "other".to_owned()));
        query.push(("prompt".to_owned(), "login".to_owned()));
        assert!(parsed(&query).is_ok());
    }

    #[test]
    fn a_request_with_one_property_broken_is_refused_for_that_property() {
        let redirect = |found: &str| AuthorizeError::RedirectUri {
            found: found.to_owned(),
            expected: CALLBACK.to_owned(),
        };
        let long = "a".repeat(513);
        for (name, value, error) in [
            ("client_id", Some("other"), AuthorizeError::UnknownClient),
            ("client_id", None, AuthorizeError::UnknownClient),
            ("redirect_uri", None, redirect("")),
            (
                "redirect_uri",
                Some("https://evil.example/"),
                redirect("https://evil.example/"),
            ),
            (
                "redirect_uri",
                Some("https://headscale.company/oidc/callback/"),
                redirect("https://headscale.company/oidc/callback/"),
            ),
            ("response_type", Some("token"), AuthorizeError::ResponseType),
            (
                "response_type",
                Some("code id_token"),
                AuthorizeError::ResponseType,
            ),
            ("response_type", None, AuthorizeError::ResponseType),
            ("scope", Some("profile email"), AuthorizeError::Scope),
            ("scope", Some("openidx"), AuthorizeError::Scope),
            ("scope", None, AuthorizeError::Scope),
            ("state", None, AuthorizeError::Malformed("state")),
            ("state", Some(""), AuthorizeError::Malformed("state")),
            ("state", Some("a b"), AuthorizeError::Malformed("state")),
            ("state", Some("a\r\nb"), AuthorizeError::Malformed("state")),
            ("state", Some(&long), AuthorizeError::Malformed("state")),
            ("nonce", None, AuthorizeError::Malformed("nonce")),
            (
                "code_challenge_method",
                Some("plain"),
                AuthorizeError::ChallengeMethod,
            ),
            (
                "code_challenge_method",
                None,
                AuthorizeError::ChallengeMethod,
            ),
            (
                "code_challenge",
                None,
                AuthorizeError::Malformed("code_challenge"),
            ),
            (
                "code_challenge",
                Some("short"),
                AuthorizeError::Malformed("code_challenge"),
            ),
        ] {
            assert_eq!(parsed(&with(name, value)), Err(error), "{name} {value:?}");
        }
    }

    #[test]
    fn what_counts_may_appear_once_only() {
        for name in [
            "client_id",
            "redirect_uri",
            "response_type",
            "scope",
            "state",
            "nonce",
            "code_challenge",
            "code_challenge_method",
        ] {
            let mut query = good();
            let (_, same) = query
                .iter()
                .find(|(known, _)| known == name)
                .unwrap()
                .clone();
            query.push((name.to_owned(), same));
            assert_eq!(parsed(&query), Err(AuthorizeError::Duplicate(name)));
        }
    }
}
