//! What may go wrong on the way to the provider and back.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::notice::{CONTINUE, SIGN_IN_AGAIN, SOMEONE_ELSE, TRY_AGAIN, notice};
use super::shell::{Context, retry_after};

/// 400: the sign-in was begun more than ten minutes ago.
pub fn attempt_expired(context: &Context<'_>) -> Response<Bytes> {
    let status = StatusCode::BAD_REQUEST;
    notice(context, status, "attempt-expired", &[SIGN_IN_AGAIN])
}

/// 400: the same answer of the provider came a second time.
pub fn attempt_used(context: &Context<'_>) -> Response<Bytes> {
    let links = [CONTINUE, SIGN_IN_AGAIN];
    notice(context, StatusCode::BAD_REQUEST, "attempt-used", &links)
}

/// What the provider's `error` parameter may be (RFC 6749 section 4.1.2.1, OpenID Connect Core
/// section 3.1.2.6). Never shown as it came: the text of a callback is anybody's to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// `access_denied`: the person or the provider's own policy refused.
    AccessDenied,
    /// `login_required`, `interaction_required`, `consent_required`, `account_selection_required`.
    NotFinished,
    /// `temporarily_unavailable`, `server_error`.
    Unavailable,
    /// Anything else: the request was wrong, so the configuration is.
    Misconfigured,
}

impl ProviderError {
    /// Sorts the parameter's value.
    pub fn parse(code: &str) -> Self {
        match code {
            "access_denied" => Self::AccessDenied,
            "login_required"
            | "interaction_required"
            | "consent_required"
            | "account_selection_required" => Self::NotFinished,
            "temporarily_unavailable" | "server_error" => Self::Unavailable,
            _ => Self::Misconfigured,
        }
    }

    /// A stable word, for metrics and the JSON twin.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AccessDenied => "provider_access_denied",
            Self::NotFinished => "provider_not_finished",
            Self::Unavailable => "provider_unavailable",
            Self::Misconfigured => "provider_error",
        }
    }
}

/// The provider answered with an error: 403, 503 or 502.
pub fn provider_refused(context: &Context<'_>, error: ProviderError) -> Response<Bytes> {
    match error {
        ProviderError::AccessDenied => {
            let links = [TRY_AGAIN, SOMEONE_ELSE];
            notice(context, StatusCode::FORBIDDEN, "provider-denied", &links)
        }
        ProviderError::NotFinished => {
            let status = StatusCode::FORBIDDEN;
            notice(context, status, "provider-not-finished", &[TRY_AGAIN])
        }
        ProviderError::Unavailable => provider_unavailable(context, 30),
        ProviderError::Misconfigured => {
            let status = StatusCode::BAD_GATEWAY;
            notice(context, status, "provider-error", &[TRY_AGAIN])
        }
    }
}

/// 502: the provider's answer came and could not be trusted. The reason is in the log.
pub fn sign_in_failed(context: &Context<'_>) -> Response<Bytes> {
    let status = StatusCode::BAD_GATEWAY;
    notice(context, status, "sign-in-failed", &[TRY_AGAIN])
}

/// 503 with `Retry-After` (seconds): nobody new can sign in, whoever is connected stays so.
pub fn provider_unavailable(context: &Context<'_>, retry_seconds: u32) -> Response<Bytes> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let response = notice(context, status, "provider-away", &[TRY_AGAIN]);
    retry_after(response, retry_seconds)
}

/// 403: the provider ended its session while the sign-in was on its way.
pub fn signed_out_meanwhile(context: &Context<'_>) -> Response<Bytes> {
    let links = [SIGN_IN_AGAIN, SOMEONE_ELSE];
    notice(
        context,
        StatusCode::FORBIDDEN,
        "signed-out-meanwhile",
        &links,
    )
}

/// 400: the browser came back from the provider without our cookie.
pub fn cookies_needed(context: &Context<'_>) -> Response<Bytes> {
    let status = StatusCode::BAD_REQUEST;
    notice(context, status, "cookies-needed", &[TRY_AGAIN])
}
