//! Pages that say what happened and what to do next.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::shell::{Context, Form, Shell, page, retry_after};
use super::text::tame;

/// Where a page leads.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) href: &'a str,
    pub(super) text: &'a str,
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'a> {
    shell: Shell<'a>,
    title: &'a str,
    sentence: &'a str,
    hint: Option<&'a str>,
    links: &'a [Link<'a>],
}

/// A page of title, sentence, hint (may be empty) and links, the first of them prominent.
pub(super) fn notice(
    context: &Context<'_>,
    status: StatusCode,
    [title, sentence, hint]: [&str; 3],
    links: &[Link<'_>],
) -> Response<Bytes> {
    let template = Notice {
        shell: Shell::new(&context.in_english(), status),
        title,
        sentence,
        hint: Some(hint).filter(|hint| !hint.is_empty()),
        links,
    };
    page(&context.in_english(), status, Form::No, &template)
}

/// Whatever has no page of its own. The texts are shown to anybody: no source chain, no secret.
pub fn error(
    context: &Context<'_>,
    status: StatusCode,
    title: &str,
    sentence: &str,
    hint: Option<&str>,
) -> Response<Bytes> {
    notice(
        context,
        status,
        [title, sentence, hint.unwrap_or_default()],
        &[],
    )
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
        UpstreamFailure::BadAnswer => (
            StatusCode::BAD_GATEWAY,
            "The service behind this address gave no proper answer.",
        ),
        UpstreamFailure::Unreachable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The service behind this address cannot be reached.",
        ),
        UpstreamFailure::NoneHealthy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "No server of the service behind this address is healthy at the moment.",
        ),
        UpstreamFailure::Timeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "The service behind this address took too long.",
        ),
    };
    let hint = "It may be restarting: try again in a moment. If it stays like this, tell your \
                administrator.";
    let response = notice(
        context,
        status,
        ["The service is not available", sentence, hint],
        &[],
    );
    match failure {
        UpstreamFailure::Unreachable | UpstreamFailure::NoneHealthy => retry_after(response, 5),
        UpstreamFailure::BadAnswer | UpstreamFailure::Timeout => response,
    }
}

/// 400: an answer that belongs to no registration or SSH check begun in this browser.
pub fn start_again(context: &Context<'_>) -> Response<Bytes> {
    let words = [
        "Start again from your device",
        "This page belongs to no device registration or SSH check that was begun in this browser.",
        "Run tailscale up (or ssh) again, and open the link that it shows in this browser.",
    ];
    notice(context, StatusCode::BAD_REQUEST, words, &[])
}

/// Headscale no longer knows the link: `status` is its own 404 or 410.
pub fn newest_link(context: &Context<'_>, status: StatusCode) -> Response<Bytes> {
    let words = [
        "This link is no longer valid",
        "Links from a device work for about 15 minutes, and only until the device shows a new one.",
        "Go back to the device and open the newest link. If there is none, run tailscale up (or \
         ssh) again.",
    ];
    notice(context, status, words, &[])
}

/// 404.
pub fn not_found(context: &Context<'_>) -> Response<Bytes> {
    let words = ["Page not found", "There is nothing at this address.", ""];
    let front = Link {
        href: "/",
        text: "Go to the front page",
    };
    notice(context, StatusCode::NOT_FOUND, words, &[front])
}

/// 421: the request named another host (RFC 9110 section 15.5.20).
pub fn misdirected(context: &Context<'_>) -> Response<Bytes> {
    let hint = format!("Open {} instead.", tame(context.site));
    let words = [
        "Wrong address",
        "This service does not answer under the name you used.",
        &hint,
    ];
    notice(context, StatusCode::MISDIRECTED_REQUEST, words, &[])
}

/// 429 with `Retry-After` (seconds).
pub fn too_many_requests(context: &Context<'_>, retry_seconds: u32) -> Response<Bytes> {
    let words = [
        "Too many requests",
        "Your network address has sent more requests than this service takes at once.",
        "Wait a moment, then try again.",
    ];
    retry_after(
        notice(context, StatusCode::TOO_MANY_REQUESTS, words, &[]),
        retry_seconds,
    )
}
