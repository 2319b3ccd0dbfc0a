//! What may go wrong on the way to the provider and back.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::notice::{Link, notice};
use super::shell::{Context, retry_after};
use super::{SIGN_IN, SWITCH_USER};

const TRY_AGAIN: Link<'static> = Link {
    href: SIGN_IN,
    text: "Try again",
};
const SIGN_IN_AGAIN: Link<'static> = Link {
    href: SIGN_IN,
    text: "Sign in again",
};
const SOMEONE_ELSE: Link<'static> = Link {
    href: SWITCH_USER,
    text: "Sign in as someone else",
};
const CONTINUE: Link<'static> = Link {
    href: "/",
    text: "Continue",
};

/// 400: the sign-in was begun more than ten minutes ago.
pub fn attempt_expired(context: &Context<'_>) -> Response<Bytes> {
    let words = [
        "This sign-in took too long",
        "A sign-in has to be finished within ten minutes.",
        "Nothing is wrong with your account. Start once more.",
    ];
    notice(context, StatusCode::BAD_REQUEST, words, &[SIGN_IN_AGAIN])
}

/// 400: the same answer of the provider came a second time.
pub fn attempt_used(context: &Context<'_>) -> Response<Bytes> {
    let words = [
        "This sign-in was already used",
        "Each sign-in works once. This happens after a reload, or with the browser's Back button.",
        "If you are signed in already, just continue.",
    ];
    notice(
        context,
        StatusCode::BAD_REQUEST,
        words,
        &[CONTINUE, SIGN_IN_AGAIN],
    )
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
            let words = [
                "Your identity provider said no",
                "It did not let your account sign in to this service, or the sign-in was cancelled.",
                "If you should have access, ask your administrator.",
            ];
            notice(
                context,
                StatusCode::FORBIDDEN,
                words,
                &[TRY_AGAIN, SOMEONE_ELSE],
            )
        }
        ProviderError::NotFinished => {
            let words = [
                "The sign-in was not finished",
                "Your identity provider still needs something from you.",
                "Start once more and follow its questions to the end.",
            ];
            notice(context, StatusCode::FORBIDDEN, words, &[TRY_AGAIN])
        }
        ProviderError::Unavailable => provider_unavailable(context, 30),
        ProviderError::Misconfigured => {
            let words = [
                "Your identity provider reported an error",
                "It could not handle the sign-in request of this service.",
                "Trying again seldom helps: tell your administrator, with the support id below.",
            ];
            notice(context, StatusCode::BAD_GATEWAY, words, &[TRY_AGAIN])
        }
    }
}

/// 502: the provider's answer came and could not be trusted. The reason is in the log.
pub fn sign_in_failed(context: &Context<'_>) -> Response<Bytes> {
    let words = [
        "The sign-in failed",
        "The answer of your identity provider could not be accepted.",
        "Try once more. If it fails again, tell your administrator, with the support id below.",
    ];
    notice(context, StatusCode::BAD_GATEWAY, words, &[TRY_AGAIN])
}

/// 503 with `Retry-After` (seconds): nobody new can sign in, whoever is connected stays so.
pub fn provider_unavailable(context: &Context<'_>, retry_seconds: u32) -> Response<Bytes> {
    let words = [
        "Sign-in is not available right now",
        "The identity provider cannot be reached.",
        "Devices that are connected stay connected. Try again in a minute.",
    ];
    let response = notice(
        context,
        StatusCode::SERVICE_UNAVAILABLE,
        words,
        &[TRY_AGAIN],
    );
    retry_after(response, retry_seconds)
}

/// 403: the provider ended its session while the sign-in was on its way.
pub fn signed_out_meanwhile(context: &Context<'_>) -> Response<Bytes> {
    let words = [
        "You were signed out meanwhile",
        "Your identity provider ended your session while this sign-in was on its way.",
        "Sign in once more to go on.",
    ];
    notice(
        context,
        StatusCode::FORBIDDEN,
        words,
        &[SIGN_IN_AGAIN, SOMEONE_ELSE],
    )
}

/// 400: the browser came back from the provider without our cookie.
pub fn cookies_needed(context: &Context<'_>) -> Response<Bytes> {
    let words = [
        "Cookies are needed to sign in",
        "Your browser came back from the identity provider without the cookie it was given here.",
        "Allow cookies for this site, and finish the sign-in in the window in which it began.",
    ];
    notice(context, StatusCode::BAD_REQUEST, words, &[TRY_AGAIN])
}
