//! Tailscale's own connections: the control protocol and DERP, each in its native form and over a
//! WebSocket. Decided at the head of the request, then carried here, outside pingora's proxy loop,
//! which tears down some upgrades right after the 101, closes quiet ones after a minute, and cannot
//! half-close.
//!
//! No session, no cookie, no rule: the protocols inside authenticate their own peers. What the
//! client sends before the 101 waits, and is never taken for a request.

mod held;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tracing::field::display;

pub use self::held::Held;
use super::chunks::Chunks;
use super::connection::Connection;
use super::head::{Framing, read_some};
use super::headers::{self, Reserved};
use super::plain::{self, Status};
use super::relay::Relay;
use super::response::{Body, ResponseHead};
use super::stream::Transport;
use super::traced;
use super::upstream::Origin;
use super::visit::Visit;
use crate::domain::door::Tunnel;
use crate::domain::policy::Permit;
use crate::ops::metrics::Metrics;
use crate::ops::trace::Trace;

/// The largest response head we read from Headscale.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// Longest time that passing on an answer other than 101 may take: it is a sentence, not a stream.
const REFUSAL: Duration = Duration::from_secs(30);
/// Longest wait for a client to take the 101.
const SWITCH: Duration = Duration::from_secs(10);

/// Opens tunnels to one Headscale.
#[derive(Debug)]
pub struct Tunnels {
    /// Headscale's main listener.
    pub origin: Arc<Origin>,
    /// Longest wait for its answer to an upgrade.
    pub response_timeout: Duration,
    /// Our public authority, for `Host` and `X-Forwarded-Host`.
    pub authority: String,
    /// Whether our public origin is https.
    pub secure: bool,
    /// Names that no client's field may have.
    pub reserved: Arc<Reserved>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Turns true when whatever is still open must end.
    pub cut: watch::Receiver<bool>,
}

/// Why an upgrade did not become a tunnel. The client has its answer already.
#[derive(Debug, thiserror::Error)]
enum NotOpened {
    #[error("headscale answered {0}")]
    Refused(u16),
    #[error("headscale cannot be reached: {0}")]
    Unreachable(#[from] super::upstream::ConnectError),
    #[error("headscale did not answer in time")]
    Hung,
    #[error("headscale's answer cannot be used: {0}")]
    Unusable(&'static str),
    #[error("the client's request has a body")]
    Body,
    #[error("the client does not take the 101")]
    Deaf,
    #[error("a connection broke: {0}")]
    Io(#[from] std::io::Error),
}

impl NotOpened {
    /// What the client was answered, or would have been.
    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(status) => {
                StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            Self::Body => StatusCode::BAD_REQUEST,
            Self::Hung => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(_) | Self::Unusable(_) | Self::Deaf | Self::Io(_) => {
                StatusCode::BAD_GATEWAY
            }
        }
    }
}

impl Tunnels {
    /// Opens a tunnel for `visit`. None where there is none to carry: the client has its answer then.
    pub async fn open(
        self: Arc<Self>,
        _permit: Permit,
        kind: Tunnel,
        visit: Visit,
        trace: Option<Box<Trace>>,
        connection: Connection,
    ) -> Option<Held> {
        // Before that it may have waited for its turn with us.
        let began = Instant::now();
        let (client, early) = connection.into_parts();
        let trace_id = trace.as_ref().map(|trace| display(trace.id()));
        let switched = self.switched(kind, &visit, trace.as_deref(), client, early);
        let opened = Box::pin(switched).await;
        if let Some(trace) = trace {
            let status = match &opened {
                Ok(_) => StatusCode::SWITCHING_PROTOCOLS,
                Err(why) => why.status(),
            };
            self.traced(*trace, &visit, began, status);
        }
        match opened {
            Ok(relay) => {
                self.metrics
                    .request(&visit.door, StatusCode::SWITCHING_PROTOCOLS);
                self.metrics.upstream_answered(&visit.door, began.elapsed());
                tracing::info!(
                    request_id = visit.id, client = %visit.client, tunnel = kind.label(),
                    status = 101, trace_id, "tunnel opened"
                );
                Some(Held::new(kind, relay, &self))
            }
            Err(why) => {
                let status = why.status();
                self.metrics.tunnel_refused(kind);
                self.metrics.request(&visit.door, status);
                tracing::info!(
                    request_id = visit.id, client = %visit.client, tunnel = kind.label(),
                    status = status.as_u16(), trace_id, reason = %why, "tunnel not opened"
                );
                None
            }
        }
    }

    /// A tunnel is there, or is not: that is where its trace ends.
    fn traced(&self, trace: Trace, visit: &Visit, began: Instant, status: StatusCode) {
        traced::upstream_over(&trace, visit, &self.origin, began, Some(status));
        traced::over(trace, visit, self.secure, status.as_u16());
    }

    /// The way from the client's request to the 101 that both sides have.
    async fn switched(
        &self,
        kind: Tunnel,
        visit: &Visit,
        trace: Option<&Trace>,
        mut client: Transport,
        early: Bytes,
    ) -> Result<Relay<Transport, Transport>, NotOpened> {
        if visit.head.body != Framing::None {
            plain::answer(
                &mut client,
                Status(400, "Bad Request"),
                "",
                "an upgrade has no body",
            )
            .await;
            return Err(NotOpened::Body);
        }
        match self.ask(kind, visit, trace).await {
            Ok((head, upstream, late)) if head.status == 101 => {
                if let Err(why) = check_switch(kind, &head) {
                    bad_gateway(&mut client, &visit.id).await;
                    return Err(why);
                }
                switch(&mut client, &head).await?;
                Ok(Relay::new(client, upstream, early, late))
            }
            Ok((head, upstream, late)) => {
                Err(refuse(&mut client, &visit.id, &head, upstream, late).await)
            }
            Err(why @ NotOpened::Hung) => {
                let text = format!("headscale did not answer in time (request {})", visit.id);
                plain::answer(&mut client, Status(504, "Gateway Timeout"), "", &text).await;
                Err(why)
            }
            Err(why) => {
                bad_gateway(&mut client, &visit.id).await;
                Err(why)
            }
        }
    }

    /// Sends the upgrade to Headscale and reads the head of its final answer.
    async fn ask(
        &self,
        kind: Tunnel,
        visit: &Visit,
        trace: Option<&Trace>,
    ) -> Result<(ResponseHead, Transport, Bytes), NotOpened> {
        let mut upstream = self.origin.connect().await?;
        let asking = async {
            upstream
                .write_all(&self.request(kind, visit, trace))
                .await?;
            upstream.flush().await?;
            final_head(&mut upstream).await
        };
        match tokio::time::timeout(self.response_timeout, asking).await {
            Ok(answer) => {
                let (head, late) = answer?;
                Ok((head, upstream, late))
            }
            Err(_) => Err(NotOpened::Hung),
        }
    }

    /// The upgrade request as Headscale gets it: the client's own fields, scrubbed, and ours. No
    /// cookie and no `Authorization`: a tunnel carries no identity.
    fn request(&self, kind: Tunnel, visit: &Visit, trace: Option<&Trace>) -> Vec<u8> {
        let mut request = Vec::with_capacity(1024);
        let mut line = |name: &str, value: &[u8]| {
            request.extend_from_slice(name.as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value);
            request.extend_from_slice(b"\r\n");
        };
        line("Host", self.authority.as_bytes());
        for (name, value) in headers::passed(&visit.head.headers, &self.reserved) {
            if traced::passes(name.as_str(), trace) {
                line(name.as_str(), value.as_bytes());
            }
        }
        if let Some(trace) = trace {
            let parent = trace.for_upstream().to_string();
            line("Traceparent", parent.as_bytes());
        }
        if visit.has("content-length") {
            line("Content-Length", b"0");
        }
        for (name, value) in headers::truth(visit.client, &self.authority, self.secure, &visit.id) {
            line(name.as_str(), value.as_bytes());
        }
        line("Connection", b"Upgrade");
        line("Upgrade", kind.upgrade_token().as_bytes());
        request.extend_from_slice(b"\r\n");
        let mut whole = format!(
            "{} {} HTTP/1.1\r\n",
            visit.head.method,
            visit.head.target.as_str()
        )
        .into_bytes();
        whole.append(&mut request);
        whole
    }
}

/// Reads response heads, past interim ones, until the one that counts; and what came behind it.
async fn final_head(upstream: &mut Transport) -> Result<(ResponseHead, Bytes), NotOpened> {
    let mut raw = BytesMut::new();
    loop {
        while let Some((head, length)) = ResponseHead::parse(&raw).map_err(NotOpened::Unusable)? {
            let rest = raw.split_off(length);
            raw = rest;
            let interim = (100..200).contains(&head.status) && head.status != 101;
            if !interim {
                return Ok((head, raw.freeze()));
            }
        }
        if raw.len() > MAX_RESPONSE_HEAD {
            return Err(NotOpened::Unusable("its head is too large"));
        }
        if read_some(upstream, &mut raw).await? == 0 {
            return Err(NotOpened::Unusable("it closed the connection"));
        }
    }
}

/// A 101 opens a tunnel only when it switches to what was asked for: Tailscale's client compares the
/// value, and a mismatch means that somebody on the way did not understand.
fn check_switch(kind: Tunnel, head: &ResponseHead) -> Result<(), NotOpened> {
    match head.only("upgrade") {
        Some(token) if token.eq_ignore_ascii_case(kind.upgrade_token()) => Ok(()),
        Some(_) => Err(NotOpened::Unusable("it switched to another protocol")),
        None => Err(NotOpened::Unusable("its 101 names no protocol")),
    }
}

async fn bad_gateway(client: &mut Transport, request_id: &str) {
    let text = format!("headscale cannot be reached (request {request_id})");
    plain::answer(client, Status(502, "Bad Gateway"), "", &text).await;
}

/// Tells the client that it is switched.
async fn switch(client: &mut Transport, head: &ResponseHead) -> Result<(), NotOpened> {
    let switching = async {
        client.write_all(&head.switching()).await?;
        client.flush().await
    };
    match tokio::time::timeout(SWITCH, switching).await {
        Ok(switched) => Ok(switched?),
        Err(_) => Err(NotOpened::Deaf),
    }
}

/// Passes an answer that is no 101 on, if it can be, and says why there is no tunnel.
async fn refuse(
    client: &mut Transport,
    request_id: &str,
    head: &ResponseHead,
    upstream: Transport,
    late: Bytes,
) -> NotOpened {
    let body = match head.body() {
        Ok(body) => body,
        Err(why) => {
            bad_gateway(client, request_id).await;
            return NotOpened::Unusable(why);
        }
    };
    let passing = pass_on(client, head, body, upstream, late);
    match tokio::time::timeout(REFUSAL, passing).await {
        Ok(Ok(())) => NotOpened::Refused(head.status),
        Ok(Err(why)) => why,
        Err(_) => NotOpened::Unusable("passing it on took too long"),
    }
}

/// Passes an answer that is no 101 on to the client, then ends both connections: it opens nothing.
async fn pass_on(
    client: &mut Transport,
    head: &ResponseHead,
    body: Body,
    mut upstream: Transport,
    late: Bytes,
) -> Result<(), NotOpened> {
    client.write_all(&head.closing()).await?;
    match body {
        Body::Length(length) => {
            let mut body = AsyncReadExt::chain(late.as_ref(), &mut upstream).take(length);
            tokio::io::copy(&mut body, client).await?;
        }
        Body::Chunked => copy_chunks(client, &mut upstream, &late).await?,
        Body::UntilEnd => {
            let mut body = AsyncReadExt::chain(late.as_ref(), &mut upstream);
            tokio::io::copy(&mut body, client).await?;
        }
    }
    client.flush().await?;
    // Headscale's side has nothing to wait for.
    drop(upstream);
    plain::end(client).await;
    Ok(())
}

/// A body in chunks, to its last one and no further.
async fn copy_chunks<C, U>(client: &mut C, upstream: &mut U, late: &[u8]) -> Result<(), NotOpened>
where
    C: AsyncWrite + Unpin,
    U: AsyncRead + Unpin,
{
    let mut chunks = Chunks::default();
    let mut piece = BytesMut::from(late);
    loop {
        let end = chunks.feed(&piece).map_err(NotOpened::Unusable)?;
        let of_it = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
        client.write_all(of_it).await?;
        piece.clear();
        if end.is_some() || read_some(upstream, &mut piece).await? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
