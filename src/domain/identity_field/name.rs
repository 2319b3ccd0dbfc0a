//! Names that an operator may give to fields about a person: judged as classes, since every server has
//! names of its own for addresses, origins and paths.

use std::borrow::Cow;

use http::HeaderName;

/// The name of a field about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName {
    /// In the case in which it is written.
    text: Cow<'static, str>,
    /// As it is sent: read once, and not for each request.
    header: HeaderName,
}

/// Why a name cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Another spelling of it would reach some upstreams as the same name.
    #[error("is no name of letters, digits and single hyphens between them, 64 at most")]
    Spelling,
    /// It means something to every server.
    #[error("is a field of HTTP, or of a browser, with a meaning of its own")]
    Standard,
    /// It says where a request came from, or where it goes.
    #[error("says an address, an origin, a path or a method, not who somebody is")]
    Origin,
    /// Headwarden's own.
    #[error("is set by Headwarden itself")]
    Ours,
}

/// Most characters of a name.
const LONGEST: usize = 64;

/// Names that mean something of their own, in lower case.
const STANDARD: &[&str] = &[
    "age",
    "allow",
    "authorization",
    "baggage",
    "connection",
    "cookie",
    "date",
    "dnt",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "last-event-id",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "purpose",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "tracestate",
    "traceparent",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "vary",
    "via",
    "warning",
];

/// Beginnings of such names.
const STANDARD_PREFIXES: &[&str] = &[
    "accept",
    "access-control-",
    "cache-",
    "content-",
    "derp-",
    "ideal-",
    "if-",
    "proxy-",
    "sec-",
    "set-cookie",
    "x-accel-",
    "x-csrf-",
    "x-requested-",
    "x-sendfile",
    "x-tailscale-",
    "x-user-agent",
    "x-xsrf-",
];

/// Words, between the hyphens of a name, that are not about a person.
const ORIGINS: &[&str] = &[
    "addr", "address", "cert", "forward", "host", "https", "ip", "ips", "method", "original",
    "path", "port", "prefix", "proto", "protocol", "rewrite", "scheme", "server", "ssl", "tls",
    "uri", "url",
];

/// Of the names that begin with `x-forwarded-`, those that are about a person.
const FORWARDED: &[&str] = &[
    "email",
    "fullname",
    "groups",
    "name",
    "preferred-username",
    "roles",
    "sub",
    "subject",
    "uid",
    "user",
    "username",
];

impl FieldName {
    /// A name that the operator wrote.
    ///
    /// # Errors
    /// [`NameFault`].
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        let plain =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let letter = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
        if text.len() > LONGEST || !letter || !text.split('-').all(plain) {
            return Err(NameFault::Spelling);
        }
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("x-headwarden") || lower == "x-request-id" {
            return Err(NameFault::Ours);
        }
        if STANDARD.contains(&lower.as_str())
            || STANDARD_PREFIXES
                .iter()
                .any(|prefix| lower.starts_with(prefix))
        {
            return Err(NameFault::Standard);
        }
        let forwarded = lower.strip_prefix("x-forwarded");
        if forwarded.is_some_and(|rest| {
            let rest = rest.strip_prefix('-').unwrap_or_default();
            !FORWARDED.contains(&rest)
        }) || lower.split('-').any(|word| ORIGINS.contains(&word))
        {
            return Err(NameFault::Origin);
        }
        Self::of(Cow::Owned(text.to_owned())).ok_or(NameFault::Spelling)
    }

    /// A name of a preset; `None` where it is none.
    pub(super) fn ours(name: &'static str) -> Option<Self> {
        Self::of(Cow::Borrowed(name))
    }

    fn of(text: Cow<'static, str>) -> Option<Self> {
        let header = HeaderName::from_bytes(text.as_bytes()).ok()?;
        Some(Self { text, header })
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name as it is sent.
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Whether `other` is the same name: they are compared without case (RFC 9110 section 5.1).
    pub fn is(&self, other: &str) -> bool {
        self.text.eq_ignore_ascii_case(other)
    }

    /// The name as it is written, without a copy where there need not be one.
    pub fn into_cow(self) -> Cow<'static, str> {
        self.text
    }
}
