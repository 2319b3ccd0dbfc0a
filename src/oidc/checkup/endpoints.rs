//! The two endpoints that know our client: one is asked where it would send a browser, the other to
//! redeem a code that nobody gave out.

use url::Url;

use super::super::discovery::Metadata;
use super::super::exchange::{self, Grant};
use super::super::http::{Http, Look};
use super::super::login;
use super::super::refusal::NoTokens;
use super::{Checkup, unknown};
use crate::config::Oidc;
use crate::domain::finding::Finding;

const REDIRECT_URI: &str = "provider.redirect_uri";
const CLIENT_SECRET: &str = "provider.client_secret";

/// What is no code, no state and no verifier of anybody's; 43 characters, as RFC 7636 asks.
const NOTHING: &str = "headwarden-doctor-asks-whether-it-is-known-";

/// Answers of a provider that took the request and would have to ask a person (OpenID Connect Core
/// section 3.1.2.6).
const WOULD_ASK: &[&str] = &[
    "login_required",
    "interaction_required",
    "consent_required",
    "account_selection_required",
];

pub(super) async fn look(
    http: &Http,
    metadata: Option<&Metadata>,
    checkup: &Checkup<'_>,
    findings: &mut Vec<Finding>,
) {
    let Some(metadata) = metadata else {
        findings.extend([unknown(REDIRECT_URI), unknown(CLIENT_SECRET)]);
        return;
    };
    findings.push(redirect_uri(http, metadata, checkup).await);
    findings.push(client_secret(http, metadata, checkup).await);
}

/// The authorization request of a sign-in, but one that may not ask anybody.
fn silent_request(metadata: &Metadata, checkup: &Checkup<'_>) -> Url {
    let settings = checkup.settings;
    let mut url = metadata.authorization_endpoint.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", checkup.redirect_uri)
        .append_pair("scope", &settings.scope.join(" "))
        .append_pair("state", NOTHING)
        .append_pair("nonce", NOTHING)
        .append_pair("code_challenge", NOTHING)
        .append_pair("code_challenge_method", login::method(settings.pkce))
        .append_pair("prompt", "none")
        .extend_pairs(&settings.extra_params);
    url
}

async fn redirect_uri(http: &Http, metadata: &Metadata, checkup: &Checkup<'_>) -> Finding {
    let uri = checkup.redirect_uri;
    let fix = format!(
        "register exactly {uri} at the provider (in authentik: Strict), and check oidc.client_id"
    );
    match http.look(&silent_request(metadata, checkup)).await {
        Err(why) => {
            let told = format!("the authorization endpoint gives no answer: {why}");
            Finding::failure(REDIRECT_URI, told, super::fetch_fix(&why))
        }
        Ok(look) => judge(&look, uri, fix),
    }
}

fn judge(look: &Look, uri: &str, fix: String) -> Finding {
    let status = look.status.as_u16();
    let Some(to) = look
        .location
        .as_ref()
        .filter(|_| look.status.is_redirection())
    else {
        if status == 200 {
            return Finding::warning(
                REDIRECT_URI,
                "the provider shows a page, which does not tell whether it knows the redirect URI",
                format!("sign in once to see; if it fails there, {fix}"),
            );
        }
        let told = format!("the provider refuses {uri} with status {status}");
        return Finding::failure(REDIRECT_URI, told, fix);
    };
    let back = to.as_str().starts_with(uri);
    let error = to.query_pairs().find(|(name, _)| name == "error");
    match error {
        Some((_, error)) if back && !WOULD_ASK.contains(&error.as_ref()) => {
            let error: String = error
                .chars()
                .filter(char::is_ascii_graphic)
                .take(64)
                .collect();
            let told = format!("the provider knows {uri}, and answers {error}");
            let fix = "check the client's grant types, response types and scopes at the provider";
            Finding::failure(REDIRECT_URI, told, fix)
        }
        Some(_) | None => Finding::ok(REDIRECT_URI, format!("the provider takes {uri}")),
    }
}

async fn client_secret(http: &Http, metadata: &Metadata, checkup: &Checkup<'_>) -> Finding {
    let settings: &Oidc = checkup.settings;
    let grant = Grant::Code {
        code: NOTHING,
        verifier: NOTHING,
        redirect_uri: checkup.redirect_uri,
    };
    let fix = "copy client id and client secret from the provider again; the client must be \
               confidential, with the authorization code grant";
    match exchange::redeem(http, metadata, settings, grant).await {
        Err(NoTokens::Refused { error, .. }) if error == "invalid_grant" => Finding::ok(
            CLIENT_SECRET,
            "the provider knows the client and its secret",
        ),
        Err(NoTokens::Refused { error, description }) => {
            let told = format!("the token endpoint refuses the client: {error} ({description})");
            match error.as_str() {
                "invalid_client" | "unauthorized_client" => {
                    Finding::failure(CLIENT_SECRET, told, fix)
                }
                _ => Finding::warning(CLIENT_SECRET, told, fix),
            }
        }
        Err(NoTokens::Unavailable(why)) => {
            let told = format!("the token endpoint gives no answer that can be used: {why}");
            Finding::failure(CLIENT_SECRET, told, super::fetch_fix(&why))
        }
        Ok(_) | Err(NoTokens::Unusable(_)) => Finding::failure(
            CLIENT_SECRET,
            "the token endpoint gave something for a code that nobody gave out",
            "do not use this provider: it would sign anybody in",
        ),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::domain::finding::Level;

    #[test]
    fn where_the_provider_sends_a_browser_tells_whether_it_knows_the_redirect_uri() {
        let uri = "https://hs.company/oidc/callback";
        let back = |query: &str| Some(format!("{uri}?{query}"));
        for (status, location, level) in [
            (302, back("error=login_required&state=x"), Level::Ok),
            (303, back("error=interaction_required"), Level::Ok),
            (302, back("code=abc&state=x"), Level::Ok),
            (302, back("error=invalid_scope"), Level::Failure),
            (302, back("error=unauthorized_client"), Level::Failure),
            (
                302,
                Some("https://id.company/if/flow/login/?next=x".to_owned()),
                Level::Ok,
            ),
            (400, None, Level::Failure),
            (404, None, Level::Failure),
            (500, None, Level::Failure),
            (200, None, Level::Warning),
        ] {
            let look = Look {
                status: StatusCode::from_u16(status).unwrap(),
                location: location.as_deref().map(|to| Url::parse(to).unwrap()),
            };
            let finding = judge(&look, uri, "fix".to_owned());
            assert_eq!(
                finding.level, level,
                "{status} {location:?}: {}",
                finding.told
            );
        }
    }
}
