//! Pages that say what happened and what to do next.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::shell::{Context, Form, Shell, page, retry_after};
use super::text::tame;
use super::{SIGN_IN, SWITCH_USER};

/// Where a page leads.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) href: &'a str,
    /// The catalogue's key of what it says.
    pub(super) key: &'static str,
}

pub(super) const TRY_AGAIN: Link<'static> = Link {
    href: SIGN_IN,
    key: "go-try-again",
};
pub(super) const SIGN_IN_AGAIN: Link<'static> = Link {
    href: SIGN_IN,
    key: "go-sign-in",
};
pub(super) const SOMEONE_ELSE: Link<'static> = Link {
    href: SWITCH_USER,
    key: "go-switch",
};
pub(super) const CONTINUE: Link<'static> = Link {
    href: "/",
    key: "go-continue",
};
const FRONT: Link<'static> = Link {
    href: "/",
    key: "go-front",
};

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'a> {
    shell: Shell<'a>,
    title: String,
    sentence: String,
    hint: Option<String>,
    links: &'a [Link<'a>],
}

/// The page of the message `key`: its title, `.sentence`, `.hint` where it has one, and links, the first
/// of them prominent.
pub(super) fn notice(
    context: &Context<'_>,
    status: StatusCode,
    key: &str,
    links: &[Link<'_>],
) -> Response<Bytes> {
    let language = context.language;
    let sentence = language.say(&format!("{key}.sentence"));
    let hint = language.find(&format!("{key}.hint"));
    with_words(context, status, (key, sentence, hint), links)
}

/// The same with a sentence and a hint that are not simply those of the message.
fn with_words(
    context: &Context<'_>,
    status: StatusCode,
    (key, sentence, hint): (&str, String, Option<String>),
    links: &[Link<'_>],
) -> Response<Bytes> {
    let template = Notice {
        shell: Shell::new(context, status),
        title: context.language.say(key),
        sentence,
        hint,
        links,
    };
    page(context, status, Form::No, &template)
}

/// How the service behind the proxy failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// It answered nonsense, or broke off: 502.
    BadAnswer,
    /// No connection: 503.
    Unreachable,
    /// None of its addresses passes its health checks: 503.
    NoneHealthy,
    /// No answer in time: 504.
    Timeout,
}

/// 502, 503 (with `Retry-After`) or 504: Headscale, or the web UI, is not there.
pub fn upstream_down(context: &Context<'_>, failure: UpstreamFailure) -> Response<Bytes> {
    let (status, sentence) = match failure {
        UpstreamFailure::BadAnswer => (StatusCode::BAD_GATEWAY, "upstream-down.bad-answer"),
        UpstreamFailure::Unreachable => {
            (StatusCode::SERVICE_UNAVAILABLE, "upstream-down.unreachable")
        }
        UpstreamFailure::NoneHealthy => {
            (StatusCode::SERVICE_UNAVAILABLE, "upstream-down.unhealthy")
        }
        UpstreamFailure::Timeout => (StatusCode::GATEWAY_TIMEOUT, "upstream-down.timeout"),
    };
    let hint = Some(context.language.say("upstream-down.hint"));
    let words = ("upstream-down", context.language.say(sentence), hint);
    let response = with_words(context, status, words, &[]);
    match failure {
        UpstreamFailure::Unreachable | UpstreamFailure::NoneHealthy => retry_after(response, 5),
        UpstreamFailure::BadAnswer | UpstreamFailure::Timeout => response,
    }
}

/// 400: an answer that belongs to no registration or SSH check begun in this browser.
pub fn start_again(context: &Context<'_>) -> Response<Bytes> {
    notice(context, StatusCode::BAD_REQUEST, "start-again", &[])
}

/// Headscale no longer knows the link: `status` is its own 404 or 410.
pub fn newest_link(context: &Context<'_>, status: StatusCode) -> Response<Bytes> {
    notice(context, status, "newest-link", &[])
}

/// 404.
pub fn not_found(context: &Context<'_>) -> Response<Bytes> {
    notice(context, StatusCode::NOT_FOUND, "not-found", &[FRONT])
}

/// 421: the request named another host (RFC 9110 section 15.5.20).
pub fn misdirected(context: &Context<'_>) -> Response<Bytes> {
    let language = context.language;
    let hint = language.with("misdirected.hint", "site", &tame(context.site));
    let sentence = language.say("misdirected.sentence");
    let words = ("misdirected", sentence, Some(hint));
    with_words(context, StatusCode::MISDIRECTED_REQUEST, words, &[])
}

/// 429 with `Retry-After` (seconds).
pub fn too_many_requests(context: &Context<'_>, retry_seconds: u32) -> Response<Bytes> {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let response = notice(context, status, "too-many-requests", &[]);
    retry_after(response, retry_seconds)
}
