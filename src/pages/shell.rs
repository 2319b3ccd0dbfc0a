//! What all pages share: the frame, the style sheet, and the headers.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::language::{Language, Markup, Part};
use super::text::Person;
use super::ways::{Place, Way, ways};

/// What every page needs to know about its request.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The host of `server_url`, as people know it.
    pub site: &'a str,
    /// 8 to 16 characters that find this request in the log.
    pub support_id: &'a str,
    /// Origins beside our own at which a form of the page may end, through redirects: the
    /// provider's. Anything that is no origin is left out of the policy.
    pub form_action: &'a [String],
    /// The one that the person reads.
    pub language: Language,
    /// Whether people's devices can be shown to them here.
    pub shows_devices: bool,
}

/// The one style sheet, in every page's head.
const STYLE: &str = include_str!("templates/style.css");

/// The one script, in pages where it makes something easier that works without it.
pub(super) const SCRIPT: &str = include_str!("templates/comfort.js");

/// `style-src` source of [`STYLE`] (CSP Level 3, section 2.3.1).
static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| source_of(STYLE));
/// `script-src` source of [`SCRIPT`].
static SCRIPT_SOURCE: LazyLock<String> = LazyLock::new(|| source_of(SCRIPT));

pub(super) fn source_of(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(digest))
}

/// The frame around a page's own words.
pub(super) struct Shell<'a> {
    pub(super) site: &'a str,
    pub(super) support_id: &'a str,
    pub(super) status: u16,
    pub(super) language: Language,
    /// None of a page that others see than those who are signed in.
    place: Option<Place>,
    shows_devices: bool,
}

impl<'a> Shell<'a> {
    pub(super) fn new(context: &Context<'a>, status: StatusCode) -> Self {
        Self {
            site: context.site,
            support_id: context.support_id,
            status: status.as_u16(),
            language: context.language,
            place: None,
            shows_devices: context.shows_devices,
        }
    }

    /// The frame of a page for somebody who is signed in, with the ways to the other ones.
    pub(super) fn at(place: Place, context: &Context<'a>, status: StatusCode) -> Self {
        Self {
            place: Some(place),
            ..Self::new(context, status)
        }
    }

    /// None where nobody is known to be signed in.
    pub(super) fn ways(&self) -> Vec<Way> {
        let ways = |place| ways(place, self.shows_devices).to_vec();
        self.place.map(ways).unwrap_or_default()
    }

    pub(super) const fn shows_devices(&self) -> bool {
        self.shows_devices
    }

    /// The catalogue's text of `key`.
    pub(super) fn say(&self, key: &str) -> String {
        self.language.say(key)
    }

    /// The same with a text in it.
    pub(super) fn with(&self, key: &str, name: &str, value: &str) -> String {
        self.language.with(key, name, value)
    }

    /// The same with a number in it.
    pub(super) fn count(&self, key: &str, count: u64) -> String {
        self.language.count(key, count)
    }

    pub(super) fn http_status(&self) -> String {
        self.with("footer-status", "status", &self.status.to_string())
    }

    /// The same about somebody: `$who`.
    pub(super) fn about(&self, key: &str, who: &Person) -> Markup {
        self.language.rich(key, &[("who", Part::Person(who))])
    }

    /// The same with a link in it: `$link`, whose own text is that of `key` with `-link` behind it.
    pub(super) fn linked(&self, key: &str, href: &str) -> Markup {
        let text = self.say(&format!("{key}-link"));
        let link = Part::Link { href, text: &text };
        self.language.rich(key, &[("link", link)])
    }

    /// The same with something in it that stands on a screen letter by letter: `$code`.
    pub(super) fn quoting(&self, key: &str, code: &str) -> Markup {
        self.language.rich(key, &[("code", Part::Code(code))])
    }

    #[expect(clippy::unused_self, reason = "templates call it on the shell")]
    pub(super) const fn style(&self) -> &'static str {
        STYLE
    }

    #[expect(clippy::unused_self, reason = "templates call it on the shell")]
    pub(super) const fn script(&self) -> &'static str {
        SCRIPT
    }
}

/// Whether a page holds a form, which needs a referrer for its same-origin proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Yes,
    No,
}

/// Fills `template` and guards it with headers.
pub(super) fn page(
    context: &Context<'_>,
    status: StatusCode,
    form: Form,
    template: &impl Template,
) -> Response<Bytes> {
    let (status, kind, body) = match template.render() {
        Ok(html) => (status, "text/html; charset=utf-8", html),
        // A template fails only where formatting a value fails, and ours are strings.
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain; charset=utf-8",
            format!("internal error, support id {}\n", context.support_id),
        ),
    };
    let mut response = guarded(status, kind, body);
    let headers = response.headers_mut();
    set(
        headers,
        CONTENT_SECURITY_POLICY,
        &policy(context.form_action),
    );
    headers.insert(VARY, HeaderValue::from_static("accept-language"));
    headers.insert(
        CONTENT_LANGUAGE,
        HeaderValue::from_static(context.language.tag()),
    );
    if form == Form::Yes {
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    response
}

/// The same for a template with the script in it.
pub(super) fn page_with_script(
    context: &Context<'_>,
    status: StatusCode,
    form: Form,
    template: &impl Template,
) -> Response<Bytes> {
    let mut response = page(context, status, form, template);
    let policy = format!(
        "{}; script-src {}",
        policy(context.form_action),
        *SCRIPT_SOURCE
    );
    set(response.headers_mut(), CONTENT_SECURITY_POLICY, &policy);
    response
}

/// A response that nobody caches, frames, sniffs or learns a referrer from.
pub(super) fn guarded(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let length = response.body().len();
    let headers = response.headers_mut();
    guard(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// The fields that guard every answer of ours, redirects included.
pub fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A page that pages of these origins may frame, and nobody else. Anything that is no origin is left out
/// of the policy; without any, nobody may.
pub(super) fn framed_by(origins: &[String], html: String) -> Response<Bytes> {
    let mut response = guarded(StatusCode::OK, "text/html; charset=utf-8", html);
    let mut policy =
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors".to_owned();
    let mut allowed = 0;
    for origin in origins.iter().filter(|origin| is_origin(origin)) {
        policy.push(' ');
        policy.push_str(origin);
        allowed += 1;
    }
    if allowed == 0 {
        policy.push_str(" 'none'");
    } else {
        // It knows no origins, and would forbid all of them.
        response.headers_mut().remove(X_FRAME_OPTIONS);
    }
    set(response.headers_mut(), CONTENT_SECURITY_POLICY, &policy);
    response
}

/// Adds `Retry-After` in whole seconds (RFC 9110 section 10.2.3).
pub(super) fn retry_after(mut response: Response<Bytes>, seconds: u32) -> Response<Bytes> {
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// `img-src data:` is for the icon in the tab: without one, a browser asks for `/favicon.ico`, and
/// complains that this policy forbids it.
fn policy(form_action: &[String]) -> String {
    let mut policy = format!(
        "default-src 'none'; style-src {}; img-src data:; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'self'",
        *STYLE_SOURCE
    );
    for origin in form_action.iter().filter(|origin| is_origin(origin)) {
        policy.push(' ');
        policy.push_str(origin);
    }
    policy
}

/// Scheme, host and optional port, and nothing that could end or widen a directive.
fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
    })
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
