//! The porch: the head of a request, read with a deadline and judged before anything acts on it.
//!
//! Whatever two HTTP/1.1 parsers could read differently is refused here, because pingora is lenient
//! where a gate must not be: bare line feeds, folded lines, `Content-Length` beside
//! `Transfer-Encoding`, repeated lengths, a missing or repeated `Host` (RFC 9112 sections 2.2, 3.2,
//! 5.2, 6.3). Bytes behind the head are kept and given back to whoever serves the request.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::{memchr, memchr_iter};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::domain::authority::Authority;
use crate::domain::path::{Target, TargetError};
use crate::ops::metrics::Refused;

/// The longest head we read, in bytes.
pub const MAX_HEAD: usize = 32 * 1024;
/// The most header fields a request may have.
pub const MAX_FIELDS: usize = 100;
/// How much one read may bring.
const CHUNK: usize = 8 * 1024;

/// A request's head, canonical or refused. `Debug` shows no field and no query: cookies and codes.
pub struct Head {
    /// The method token as sent.
    pub method: String,
    /// The request target in origin form.
    pub target: Target,
    /// HTTP/1.1 or 2 rather than 1.0.
    pub http11: bool,
    /// HTTP/2, which carries trailers from end to end.
    pub http2: bool,
    /// What the one `Host` field (or `:authority`) names, when there was one.
    pub host: Option<Authority>,
    /// The `Upgrade` token, when there is exactly one and `Connection` nominates it.
    pub upgrade: Option<String>,
    /// Whether a body follows.
    pub body: Framing,
    /// Every field; repeated ones in order.
    pub headers: HeaderMap,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none (or `Content-Length: 0`).
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`, or until an HTTP/2 stream ends.
    Chunked,
}

/// Why there is no head.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The connection ended or broke before a whole head; nothing is owed.
    #[error("the connection ended")]
    Gone,
    /// No request came within the keep-alive time; nothing is owed.
    #[error("no request came")]
    Idle,
    /// The head did not arrive in time: 408.
    #[error("the head did not arrive in time")]
    Slow,
    /// The request line or the fields are too large: 431.
    #[error("the head is too large")]
    TooLarge,
    /// The target is too long: 414.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The target is not canonical: 400.
    #[error("the request target is refused: {0}")]
    Target(TargetError),
    /// The head can be read in more than one way, or not at all: 400.
    #[error("the head is malformed: {0}")]
    Malformed(&'static str),
    /// The same of the body's framing: 400.
    #[error("the body is malformed: {0}")]
    Body(&'static str),
}

impl HeadError {
    /// As what it counts; nothing where nothing is owed.
    pub(super) fn refused(&self) -> Option<Refused> {
        match self {
            Self::Gone | Self::Idle => None,
            Self::Slow => Some(Refused::Slow),
            Self::TooLarge => Some(Refused::Large),
            Self::TargetTooLong => Some(Refused::TargetTooLong),
            Self::Target(_) => Some(Refused::Target),
            Self::Malformed(_) => Some(Refused::Malformed),
            Self::Body(_) => Some(Refused::Body),
        }
    }
}

/// When a head must have arrived.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest wait for the first byte.
    pub first_byte: Duration,
    /// Longest wait from then to the end of the head; `None` is what is left of the first wait.
    pub head: Option<Duration>,
}

impl Head {
    /// Parses a whole head: `raw` ends with the empty line.
    ///
    /// # Errors
    /// Whatever is ambiguous, see the module's words.
    pub fn parse(raw: &[u8]) -> Result<Self, HeadError> {
        Self::within(&Bytes::copy_from_slice(raw))
    }

    /// The same, and the values of its fields stay where they are.
    fn within(raw: &Bytes) -> Result<Self, HeadError> {
        check_line_ends(raw)?;
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(raw) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(HeadError::Malformed("incomplete")),
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(_) => return Err(HeadError::Malformed("not HTTP/1.1")),
        }
        let (Some(method), Some(path), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(HeadError::Malformed("no request line"));
        };
        let target = Target::parse(path.as_bytes()).map_err(|why| match why {
            TargetError::TooLong => HeadError::TargetTooLong,
            why => HeadError::Target(why),
        })?;
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for field in request.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_maybe_shared(raw.slice_ref(field.value));
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(HeadError::Malformed("an unusable field"));
            };
            headers.append(name, value);
        }
        let http11 = version == 1;
        Ok(Self {
            method: method.to_owned(),
            target,
            http11,
            http2: false,
            host: the_host(&headers, http11)?,
            upgrade: the_upgrade(&headers, http11),
            body: the_framing(&headers, http11)?,
            headers,
        })
    }
}

/// Every line ends with CR LF, no line is folded, no byte is NUL.
fn check_line_ends(raw: &[u8]) -> Result<(), HeadError> {
    if is_clean(raw) {
        return Ok(());
    }
    what_is_wrong(raw).map_or(Ok(()), |what| Err(HeadError::Malformed(what)))
}

/// The first thing that is.
fn what_is_wrong(raw: &[u8]) -> Option<&'static str> {
    raw.iter().enumerate().find_map(|(at, &byte)| {
        let before = at.checked_sub(1).and_then(|at| raw.get(at));
        let after = raw.get(at + 1);
        match byte {
            b'\n' if before != Some(&b'\r') => Some("a bare line feed"),
            b'\r' if after != Some(&b'\n') => Some("a bare carriage return"),
            b'\n' if matches!(after, Some(b' ' | b'\t')) => Some("a folded line"),
            0 => Some("a NUL byte"),
            _ => None,
        }
    })
}

/// Whether nothing is, in a few looks at all of it: as many carriage returns as line feeds, and one before
/// each.
fn is_clean(raw: &[u8]) -> bool {
    let mut lines = 0;
    for at in memchr_iter(b'\n', raw) {
        lines += 1;
        let before = at.checked_sub(1).and_then(|at| raw.get(at));
        if before != Some(&b'\r') || matches!(raw.get(at + 1), Some(b' ' | b'\t')) {
            return false;
        }
    }
    memchr_iter(b'\r', raw).count() == lines && memchr(0, raw).is_none()
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect()
}

fn the_host(headers: &HeaderMap, http11: bool) -> Result<Option<Authority>, HeadError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if http11 => Err(HeadError::Malformed("no Host")),
        (None, _) => Ok(None),
        (Some(host), None) => match Authority::parse(host.as_bytes()) {
            Some(host) => Ok(Some(host)),
            None => Err(HeadError::Malformed("an unusable Host")),
        },
        (Some(_), Some(_)) => Err(HeadError::Malformed("more than one Host")),
    }
}

fn the_upgrade(headers: &HeaderMap, http11: bool) -> Option<String> {
    let mut tokens = headers.get_all(UPGRADE).iter();
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return None;
    };
    let nominated = headers.get_all(CONNECTION).iter().any(|value| {
        let mut named = value.as_bytes().split(|&b| b == b',');
        named.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let token = std::str::from_utf8(token.as_bytes()).ok()?.trim();
    let one = !token.is_empty() && !token.contains([',', ' ', '\t']);
    (nominated && http11 && one).then(|| token.to_owned())
}

fn the_framing(headers: &HeaderMap, http11: bool) -> Result<Framing, HeadError> {
    let lengths = values(headers, &CONTENT_LENGTH);
    let codings = values(headers, &TRANSFER_ENCODING);
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::None),
        ([length], []) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().filter(|_| digits);
            match length.and_then(|length| length.parse().ok()) {
                Some(0) => Ok(Framing::None),
                Some(length) => Ok(Framing::Length(length)),
                None => Err(HeadError::Malformed("an unusable Content-Length")),
            }
        }
        ([], [coding]) if http11 && coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        ([], _) => Err(HeadError::Malformed("an unusable Transfer-Encoding")),
        ([_, ..], [_, ..]) => Err(HeadError::Malformed("two ways of framing")),
        ([_, _, ..], []) => Err(HeadError::Malformed("more than one Content-Length")),
    }
}

/// Reads one head from `stream`. Gives it back with all bytes read, head included: the head's
/// length, and everything.
///
/// # Errors
/// See [`HeadError`]; what was read is lost then, and the connection must end.
pub async fn read_head<S>(
    stream: &mut S,
    patience: Patience,
) -> Result<(Head, usize, Bytes), HeadError>
where
    S: AsyncRead + Unpin,
{
    let mut raw = BytesMut::new();
    let first = Instant::now() + patience.first_byte;
    match timeout_at(first, read_some(stream, &mut raw)).await {
        Err(_) => return Err(HeadError::Idle),
        Ok(Err(_) | Ok(0)) => return Err(HeadError::Gone),
        Ok(Ok(_)) => {}
    }
    let mut deadline = None;
    let mut searched = 0_usize;
    loop {
        // RFC 9112 section 2.2 lets a server skip empty lines before a request; we do not need to.
        let from = searched.saturating_sub(3);
        if let Some(end) = find_end(raw.get(from..).unwrap_or_default()) {
            let length = from + end;
            if length > MAX_HEAD {
                return Err(HeadError::TooLarge);
            }
            let raw = raw.freeze();
            let head = Head::within(&raw.slice(..length))?;
            return Ok((head, length, raw));
        }
        searched = raw.len();
        if searched > MAX_HEAD {
            return Err(HeadError::TooLarge);
        }
        // Nearly every head comes whole, and nobody looks at a clock for those.
        let whole = || patience.head.map_or(first, |head| Instant::now() + head);
        let deadline = *deadline.get_or_insert_with(whole);
        match timeout_at(deadline, read_some(stream, &mut raw)).await {
            Err(_) => return Err(HeadError::Slow),
            Ok(Err(_) | Ok(0)) => return Err(HeadError::Gone),
            Ok(Ok(_)) => {}
        }
    }
}

/// The offset just behind the first empty line. A bare line feed ends lines here too, so that such a
/// head is found, and refused, at once.
fn find_end(raw: &[u8]) -> Option<usize> {
    let mut line = None;
    for end in memchr_iter(b'\n', raw) {
        let inside = line.and_then(|start| raw.get(start..end));
        if inside.is_some_and(|inside| inside.iter().all(|byte| *byte == b'\r')) {
            return Some(end + 1);
        }
        line = Some(end + 1);
    }
    None
}

/// One read appended to `into`; only what came is allocated, so a silent connection owns nothing.
pub async fn read_some<S>(stream: &mut S, into: &mut BytesMut) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
{
    poll_fn(|cx| {
        let mut chunk = [const { MaybeUninit::uninit() }; CHUNK];
        let mut buffer = ReadBuf::uninit(&mut chunk);
        std::task::ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        into.extend_from_slice(buffer.filled());
        std::task::Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}

mod http2;
#[cfg(test)]
mod tests;
