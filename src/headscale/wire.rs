//! How Headscale's redirect to its issuer reads. `/register/{id}` and `/auth/{id}` answer with it;
//! what it asks for is remembered, so that only a request that began at Headscale, in this browser's
//! session, is answered later.

use url::form_urlencoded;

use crate::domain::leg::{AuthorizeRequest, Leg, LegKind};
use crate::domain::time::Timestamp;

/// Why a redirect is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// Headscale sends people to another place than our authorization endpoint.
    #[error(
        "headscale redirects to another issuer than headwarden; compare its oidc.issuer with \
         headscale.issuer.url"
    )]
    Elsewhere,
    /// A parameter that counts is there twice.
    #[error("the parameter {0} is given more than once")]
    Duplicate(&'static str),
    /// A parameter that counts is not there.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// A PKCE challenge that is not S256.
    #[error("the code challenge is not S256; set headscale's oidc.pkce.method to S256")]
    ChallengeMethod,
}

/// Reads the `Location` of Headscale's redirect, which must point at `authorize_url` exactly, as a
/// leg of the given kind.
///
/// # Errors
///
/// See [`RedirectError`].
pub fn parse_authorize_redirect(
    location: &str,
    authorize_url: &str,
    kind: LegKind,
    now: Timestamp,
) -> Result<Leg, RedirectError> {
    let query = location
        .strip_prefix(authorize_url)
        .and_then(|rest| rest.strip_prefix('?'))
        .filter(|query| !query.contains('#'))
        .ok_or(RedirectError::Elsewhere)?;
    let fields: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let request = AuthorizeRequest {
        state: required(&fields, "state")?,
        nonce: required(&fields, "nonce")?,
        challenge: challenge(&fields)?,
        redirect_uri: required(&fields, "redirect_uri")?,
        scope: required(&fields, "scope")?,
    };
    Ok(Leg {
        request,
        kind,
        recorded_at: now,
    })
}

fn one<'a>(
    fields: &'a [(String, String)],
    name: &'static str,
) -> Result<Option<&'a str>, RedirectError> {
    let mut found = fields
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value);
    match (found.next(), found.next()) {
        (value, None) => Ok(value.map(String::as_str).filter(|value| !value.is_empty())),
        (_, Some(_)) => Err(RedirectError::Duplicate(name)),
    }
}

fn required(fields: &[(String, String)], name: &'static str) -> Result<String, RedirectError> {
    one(fields, name)?
        .map(str::to_owned)
        .ok_or(RedirectError::Missing(name))
}

fn challenge(fields: &[(String, String)]) -> Result<Option<String>, RedirectError> {
    match (
        one(fields, "code_challenge")?,
        one(fields, "code_challenge_method")?,
    ) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(RedirectError::Missing("code_challenge")),
        (Some(challenge), Some("S256")) => Ok(Some(challenge.to_owned())),
        (Some(_), Some(_) | None) => Err(RedirectError::ChallengeMethod),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::door::AuthId;

    const AUTHORIZE: &str = "https://headscale.company/.headwarden/authorize";
    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    /// The query of Headscale 0.29.2 with PKCE and extra parameters, as Go's encoder writes it.
    const QUERY: &str = "access_type=offline&client_id=headscale\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256\
        &domain_hint=acmecorp.net&nonce=nOnCe-_0\
        &redirect_uri=https%3A%2F%2Fheadscale.company%2Foidc%2Fcallback\
        &response_type=code&scope=openid+profile+email&state=sTaTe-_0";

    fn kind() -> LegKind {
        LegKind::Register(AuthId::parse("hskey-authreq-0123456789abcdef01234567").unwrap())
    }

    fn parsed(location: &str) -> Result<Leg, RedirectError> {
        parse_authorize_redirect(location, AUTHORIZE, kind(), NOW)
    }

    fn refused(location: &str) -> Option<RedirectError> {
        parsed(location).err()
    }

    #[test]
    fn headscales_redirect_is_read() {
        let leg = parsed(&format!("{AUTHORIZE}?{QUERY}")).unwrap();
        assert_eq!(leg.request.state, "sTaTe-_0");
        assert_eq!(leg.request.nonce, "nOnCe-_0");
        assert_eq!(
            leg.request.challenge.as_deref(),
            Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
        );
        assert_eq!(
            leg.request.redirect_uri,
            "https://headscale.company/oidc/callback"
        );
        assert_eq!(leg.request.scope, "openid profile email");
        assert_eq!(leg.kind, kind());
        assert_eq!(leg.recorded_at, NOW);
    }

    #[test]
    fn without_pkce_there_is_no_challenge() {
        let query: Vec<_> = QUERY
            .split('&')
            .filter(|field| !field.starts_with("code_"))
            .collect();
        let leg = parsed(&format!("{AUTHORIZE}?{}", query.join("&"))).unwrap();
        assert_eq!(leg.request.challenge, None);
    }

    #[test]
    fn a_redirect_to_any_other_place_is_told_apart() {
        for location in [
            format!("https://authentik.company/application/o/authorize/?{QUERY}"),
            format!("https://headscale.company/.headwarden/authorize/?{QUERY}"),
            format!("https://headscale.company.evil.example/.headwarden/authorize?{QUERY}"),
            format!("http://headscale.company/.headwarden/authorize?{QUERY}"),
            format!("/.headwarden/authorize?{QUERY}"),
            format!("{AUTHORIZE}2?{QUERY}"),
            format!("{AUTHORIZE}?{QUERY}#fragment"),
            AUTHORIZE.to_owned(),
            String::new(),
        ] {
            assert_eq!(
                refused(&location),
                Some(RedirectError::Elsewhere),
                "{location}"
            );
        }
    }

    #[test]
    fn what_is_missing_or_twice_is_named() {
        for name in ["state", "nonce", "redirect_uri", "scope", "code_challenge"] {
            let without: Vec<_> = QUERY
                .split('&')
                .filter(|field| field.split('=').next() != Some(name))
                .collect();
            let location = format!("{AUTHORIZE}?{}", without.join("&"));
            assert_eq!(refused(&location), Some(RedirectError::Missing(name)));
            let location = format!("{AUTHORIZE}?{QUERY}&{name}=x");
            assert_eq!(refused(&location), Some(RedirectError::Duplicate(name)));
        }
    }

    #[test]
    fn a_plain_challenge_is_refused() {
        for method in ["code_challenge_method=plain", "x=y"] {
            let query = QUERY.replace("code_challenge_method=S256", method);
            let location = format!("{AUTHORIZE}?{query}");
            assert_eq!(
                refused(&location),
                Some(RedirectError::ChallengeMethod),
                "{method}"
            );
        }
    }
}
