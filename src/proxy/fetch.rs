//! A page is fetched for a client of HTTP/1.1: the way of requests without a body, which nearly all are. The
//! head that the porch has read is decided about and said again to the upstream, and the answer
//! is passed on as it comes: nothing is parsed twice, no task or channel stands between.
//!
//! pingora reads what upstreams answer here too (heads, framing, interim answers). Whatever is not as plain
//! (a body, an upgrade, HTTP/2, a `Connection` field that nominates something) goes through pingora's
//! own loop. Both ways share the [`Context`].

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, DATE, EXPECT, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::http::date::get_cached_date;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

use super::accept::Front;
use super::connection::Connection;
use super::context::{Context, unseen};
use super::gate::{Route, Verdict};
use super::head::{Framing, Head};
use super::headers;
use super::house::House;
use super::plain;
use super::still::Hold;
use super::upstream::ConnectError;
use super::visit::Visit;

/// Up to this, a piece of a body is sent in one call with what stands before it.
const SMALL: usize = 16 * 1024;

/// Fields of an answer that are about the connection to the upstream (RFC 9110 section 7.6.1), beside those
/// that its `Connection` nominates.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    UPGRADE,
];

/// Fields of an answer of ours that are written by whoever sends it.
const SAID_HERE: [HeaderName; 3] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

/// Whether a request is as plain as it must be for this way.
pub fn is_plain(head: &Head) -> bool {
    let connection = head.headers.get_all(CONNECTION);
    let says_nothing_new = connection.iter().all(|value| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    });
    matches!(head.method.as_str(), "GET" | "HEAD")
        && head.http11
        && !head.http2
        && head.body == Framing::None
        && says_nothing_new
        && ![CONTENT_LENGTH, UPGRADE, EXPECT, TE, TRAILER]
            .iter()
            .any(|name| head.headers.contains_key(name))
}

/// How a body is framed on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// There is none.
    None,
    /// `Content-Length`.
    Length,
    /// Chunks.
    Chunked,
}

impl Front {
    /// Answers the request `visit`, of which nothing but its head was read from `connection`. That comes back
    /// where it may be used for another one; where not, it ends in good order.
    pub(super) async fn fetched(
        &self,
        house: Arc<House>,
        mut connection: Connection,
        visit: Visit,
        is_leaving: bool,
    ) -> Option<Connection> {
        let started = visit.started;
        let visit = Arc::new(visit);
        let keeps = !is_leaving && !asks_to_close(&visit.head);
        connection.await_answer();
        let mut fetch = Fetch {
            context: Context::of(Arc::clone(&visit), Arc::clone(&house)),
            connection: &mut connection,
            is_head: visit.head.method == "HEAD",
            keeps,
            said: None,
            ended: None,
        };
        let served = match fetch.context.decide(&Bytes::new(), started).await {
            Ok(Verdict::Answer(answer)) => {
                let told = fetch.answer(answer).await;
                Some(told.map_err(io_error))
            }
            Ok(Verdict::Forward(route)) => {
                let over = over(&route, &visit, &house);
                fetch.context.route = Some(route);
                tokio::select! {
                    biased;
                    served = fetch.pass_on() => Some(served),
                    // Looked at also where the answer comes so fast that nothing else has its turn.
                    () = tokio::task::unconstrained(over) => None,
                }
            }
            Err(error) => Some(Err(error)),
        };
        let Some(served) = served else {
            drop(fetch);
            self.cut(connection, &visit).await;
            return None;
        };
        if fetch.finish(served).await {
            return Some(connection);
        }
        plain::end(&mut connection).await;
        None
    }
}

/// Ready when what `route` lets through may not go on any longer; see [`Hold::over`].
fn over(route: &Route, visit: &Arc<Visit>, house: &Arc<House>) -> impl Future<Output = ()> + use<> {
    let hold = match &route.session {
        Some(live) => Some(Hold::new(live, visit, house)),
        None => route.public.then(|| Hold::public(visit, house)),
    };
    async move {
        match hold {
            Some(hold) => hold.over().await,
            None => std::future::pending().await,
        }
    }
}

/// Whether the client wants its connection closed behind the answer (RFC 9112 section 9.6).
fn asks_to_close(head: &Head) -> bool {
    let mut fields = head.headers.get_all(CONNECTION).iter();
    fields.any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// One request, and the connection that its answer goes to.
struct Fetch<'a> {
    context: Context,
    connection: &'a mut Connection,
    is_head: bool,
    /// Whether the connection may be used again.
    keeps: bool,
    /// The answer's status, once its head was sent.
    said: Option<StatusCode>,
    /// When all of the upstream's answer had been sent.
    ended: Option<Instant>,
}

impl Fetch<'_> {
    /// Sends a whole answer of ours.
    async fn answer(&mut self, answer: Response<Bytes>) -> io::Result<()> {
        let (parts, body) = answer.into_parts();
        let status = parts.status;
        let mut out = BytesMut::with_capacity(1024 + body.len());
        begin_head(&mut out, status, status.canonical_reason());
        let fields = parts.headers.iter();
        for (name, value) in fields.filter(|(name, _)| !SAID_HERE.contains(name)) {
            put_field(&mut out, name.as_str().as_bytes(), value.as_bytes());
        }
        if status != StatusCode::NO_CONTENT {
            put_field(
                &mut out,
                b"content-length",
                body.len().to_string().as_bytes(),
            );
        }
        self.end_head(&mut out, parts.headers.contains_key(DATE));
        if !self.is_head && !has_no_body(status) {
            out.extend_from_slice(&body);
        }
        self.said = Some(status);
        self.say(&mut out).await
    }

    /// Asks the upstream, and passes its answer on.
    async fn pass_on(&mut self) -> Result<()> {
        let (mut upstream, was_used) = self.reach(false).await?;
        let mut heard = self.ask(&mut upstream).await;
        if was_used && heard.as_ref().is_err_and(|error| is_closed(error)) {
            // It was closed while the request was on its way. Asking again does no harm (RFC 9112 section
            // 9.3.1).
            upstream = self.reach(true).await?.0;
            heard = self.ask(&mut upstream).await;
        }
        let mut response = heard?;
        let body = self.framing(&mut response)?;
        let cached = self.context.judge(&mut response).await?;
        if cached.is_some() {
            response.remove_header(&CACHE_CONTROL);
        }
        self.hand_over(&response, cached, body, &mut upstream)
            .await?;
        let Some(route) = &self.context.route else {
            return Err(unseen());
        };
        let now = Instant::now();
        self.ended = Some(now);
        upstream.respect_keepalive();
        if let Some(stream) = upstream.reuse().await {
            route.origin.keep(stream, now);
        }
        Ok(())
    }

    /// A connection to the upstream; of several addresses, one that lets itself be connected to. True where
    /// it was used before; `anew` asks for one that was not.
    async fn reach(&mut self, anew: bool) -> Result<(HttpSession, bool)> {
        let may_go_elsewhere = self.context.may_go_elsewhere();
        let now = self.context.sent_on.unwrap_or_else(Instant::now);
        let mut again = true;
        let Some(route) = &mut self.context.route else {
            return Err(unseen());
        };
        loop {
            let reached = if anew {
                let stream = route.origin.new_stream().await;
                stream.map(|stream| (stream, false))
            } else {
                route.origin.stream(now).await
            };
            match reached {
                Ok((stream, was_used)) => return Ok((HttpSession::new(stream), was_used)),
                Err(why) if may_go_elsewhere && route.goes_elsewhere(&why.to_string()) => {}
                // Of a name with several addresses, the next one is first by now.
                Err(_) if again && route.origin.has_several() => again = false,
                Err(why) => return Err(unreachable(why)),
            }
        }
    }

    /// Sends the request, and waits for the head of its answer.
    async fn ask(&mut self, upstream: &mut HttpSession) -> Result<Box<ResponseHeader>> {
        let request = Box::new(self.context.request()?);
        let asked = async {
            upstream.write_request_header(request).await?;
            loop {
                let response = upstream.read_resp_header_parts().await?;
                // Interim answers end here: some clients take a `Set-Cookie` from them.
                if !response.status.is_informational()
                    || response.status == StatusCode::SWITCHING_PROTOCOLS
                {
                    return Ok(response);
                }
            }
        };
        self.patiently(asked)
            .await?
            .map_err(|error: Box<Error>| error.into_up())
    }

    /// How the client finds the end of the answer's body. Fields about the upstream's connection are taken out.
    fn framing(&self, response: &mut ResponseHeader) -> Result<Body> {
        let unusable = |what| Error::explain(ErrorType::InvalidHTTPHeader, what).into_up();
        let mut codings = response.headers.get_all(TRANSFER_ENCODING).iter();
        let is_chunked = match (codings.next(), codings.next()) {
            (None, _) => false,
            (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
            (Some(_), _) => return Err(unusable("an unusable Transfer-Encoding")),
        };
        let mut lengths = response.headers.get_all(CONTENT_LENGTH).iter();
        let length = lengths.next();
        let is_digits = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        if lengths.next().is_some() || length.is_some_and(|length| !is_digits(length.as_bytes())) {
            return Err(unusable("an unusable Content-Length"));
        }
        let has_length = length.is_some();
        if is_chunked {
            response.remove_header(&TRANSFER_ENCODING);
        }
        let nominated = headers::nominated(&response.headers);
        for name in nominated.iter().chain(&HOP_BY_HOP) {
            // Whatever an upstream nominates, the end of its body stays known.
            if ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
                response.remove_header(name);
            }
        }
        Ok(if self.is_head || has_no_body(response.status) {
            Body::None
        } else if has_length {
            Body::Length
        } else {
            Body::Chunked
        })
    }

    /// Sends the answer to the client, with this `Cache-Control` if there is one.
    async fn hand_over(
        &mut self,
        response: &ResponseHeader,
        cached: Option<HeaderValue>,
        body: Body,
        upstream: &mut HttpSession,
    ) -> Result<()> {
        let mut out = BytesMut::with_capacity(2048);
        begin_head(&mut out, response.status, response.get_reason_phrase());
        response.header_to_h1_wire(&mut out);
        // Written here, since adding to the fields of an answer means to move them all.
        if let Some(cached) = cached {
            put_field(&mut out, b"Cache-Control", cached.as_bytes());
        }
        if body == Body::Chunked {
            put_field(&mut out, b"Transfer-Encoding", b"chunked");
        }
        self.end_head(&mut out, response.headers.contains_key(DATE));
        self.said = Some(response.status);
        if body != Body::None {
            self.pass_body_on(&mut out, body, upstream).await?;
        }
        self.say(&mut out).await.map_err(io_error)
    }

    /// Passes the body on as it comes. What is left in `out` is still to be sent.
    async fn pass_body_on(
        &mut self,
        out: &mut BytesMut,
        body: Body,
        upstream: &mut HttpSession,
    ) -> Result<()> {
        loop {
            let mut read = pin!(upstream.read_body_ref());
            let piece = match once(read.as_mut()).await {
                Poll::Ready(piece) => piece,
                Poll::Pending => {
                    // Whoever waits for the head, or for a piece, gets it now.
                    self.say(out).await.map_err(io_error)?;
                    self.patiently(read).await?
                }
            };
            let Some(piece) = piece.map_err(Error::into_up)? else {
                break;
            };
            if body == Body::Chunked && !piece.is_empty() {
                out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            }
            if piece.len() > SMALL {
                self.say(out).await.map_err(io_error)?;
                self.connection.write_all(piece).await.map_err(io_error)?;
            } else {
                out.extend_from_slice(piece);
            }
            if body == Body::Chunked && !piece.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
            if out.len() > SMALL {
                self.say(out).await.map_err(io_error)?;
            }
        }
        if body == Body::Chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }

    /// Sends what is in `out`.
    async fn say(&mut self, out: &mut BytesMut) -> io::Result<()> {
        if !out.is_empty() {
            self.connection.write_all(out).await?;
            out.clear();
        }
        self.connection.flush().await
    }

    /// What comes of `work` with the upstream, unless that is silent for too long, or the client goes meanwhile. A clock is
    /// looked at only where there is something to wait for.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let Some(patience) = self.context.route.as_ref().map(|route| route.read_timeout) else {
            return Err(unseen());
        };
        let (mut work, mut silence) = (pin!(work), pin!(None));
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if self.connection.poll_gone(cx).is_ready() {
                let what = "the client has gone";
                let gone = Error::explain(ErrorType::ConnectionClosed, what);
                return Poll::Ready(Err(gone.into_down()));
            }
            if silence.is_none() {
                silence.set(Some(sleep(patience)));
            }
            let over = silence.as_mut().as_pin_mut();
            over.map_or(Poll::Pending, |over| over.poll(cx)).map(|()| {
                let what = format!("the upstream was silent for {patience:?}");
                Err(Error::explain(ErrorType::ReadTimedout, what).into_up())
            })
        })
        .await
    }

    /// The fields that each answer ends with, and the line behind them.
    fn end_head(&self, out: &mut BytesMut, has_date: bool) {
        if !has_date {
            put_field(out, b"Date", get_cached_date().as_bytes());
        }
        let kept: &[u8] = if self.keeps { b"keep-alive" } else { b"close" };
        put_field(out, b"Connection", kept);
        out.extend_from_slice(b"\r\n");
    }

    /// The end of the request, with what the client hears if it has heard nothing. True where its connection
    /// may be used again.
    async fn finish(mut self, served: Result<()>) -> bool {
        let Err(error) = served else {
            let now = self.ended.unwrap_or_else(Instant::now);
            self.context.over(now, self.said, None);
            return self.keeps;
        };
        self.keeps = false;
        let answer = self.context.answer_to(&error);
        if let Some(answer) = answer
            && !self.connection.has_spoken()
        {
            // Where it cannot be told, there is nobody.
            let _ = self.answer(answer).await;
        }
        self.context.over(Instant::now(), self.said, Some(&error));
        false
    }
}

/// An answer to GET that has no body, whatever it says (RFC 9112 section 6.3).
fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn begin_head(out: &mut BytesMut, status: StatusCode, reason: Option<&str>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.extend_from_slice(reason.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put_field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What a future says when it is asked once; it may be asked again later.
pub(super) async fn once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Whether the upstream had closed the connection, as far as can be told: it could not be written to, or
/// ended before an answer's head (which pingora marks so).
fn is_closed(error: &Error) -> bool {
    let is_marked = matches!(error.retry, RetryType::ReusedOnly);
    let is_of_connection = is_marked || error.etype == ErrorType::WriteError;
    is_of_connection && error.esource == ErrorSource::Upstream
}

/// The client does not take what it is sent.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
fn io_error(error: io::Error) -> Box<Error> {
    Error::because(ErrorType::WriteError, "while answering", error).into_down()
}

#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
fn unreachable(why: ConnectError) -> Box<Error> {
    let (kind, what) = match &why {
        ConnectError::Name { .. } => (ErrorType::ConnectError, "cannot resolve the upstream"),
        ConnectError::Tcp { .. } => (ErrorType::ConnectRefused, "cannot connect to the upstream"),
        ConnectError::Tls { .. } => (
            ErrorType::TLSHandshakeFailure,
            "cannot speak TLS with the upstream",
        ),
        ConnectError::Slow(_) => (ErrorType::ConnectTimedout, "the upstream does not answer"),
    };
    Error::because(kind, what, why).into_up()
}
