//! A client's connection: the bytes that were read ahead are given back first, a chunked body must be
//! framed as everybody reads it, frames of HTTP/2 are counted, and a client that takes nothing does not
//! keep us for ever.
//!
//! Owning this type is what lets a connection be looked at before pingora sees it, be lent to
//! pingora, come home after a request, and become a tunnel, without a byte lost.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use super::chunks::Chunks;
use super::http2::frames::Excess;
use super::http2::watch::Watch;
use super::stream::Transport;

/// Longest time that a client may take nothing of what we say. A slow one takes something now and
/// then; pingora has no such limit for heads, nor by default for bodies.
const STALL: Duration = Duration::from_mins(1);

/// How much of a next request is read while the one before is answered.
const AHEAD: usize = 1024;

/// One accepted client connection.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    ahead: Bytes,
    /// The framing so far of a chunked body that is being read.
    body: Option<Chunks>,
    /// Counts the frames of HTTP/2, where that is spoken.
    frames: Option<Box<Watch>>,
    stall: Stall,
    /// Something was said since it was lent.
    spoken: bool,
    socket: Arc<SocketDigest>,
    peer: SocketAddr,
}

impl Connection {
    /// Wraps a connection accepted from `peer`.
    pub fn new(transport: Transport, peer: SocketAddr) -> Self {
        let socket = SocketDigest::from_raw_fd(transport.as_raw_fd());
        // The peer was known at accept; asking the kernel again would fail once it has gone.
        let _ = socket.peer_addr.set(Some(peer.into()));
        Self {
            transport,
            ahead: Bytes::new(),
            body: None,
            frames: None,
            stall: Stall::default(),
            spoken: false,
            socket: Arc::new(socket),
            peer,
        }
    }

    /// The TCP peer: the client, or a load balancer in front of us.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Gives back bytes that were read from this connection; the next read returns them first.
    pub fn give_back(&mut self, bytes: Bytes) {
        debug_assert!(self.ahead.is_empty(), "bytes are given back once");
        self.ahead = bytes;
    }

    /// Behind the first `head` bytes of those given back comes a chunked body. Reading it fails with
    /// [`io::ErrorKind::InvalidData`] where two readers could find its end in two places.
    ///
    /// # Errors
    /// When that is so already in what was given back.
    pub fn expect_chunks(&mut self, head: usize) -> Result<(), &'static str> {
        let mut chunks = Chunks::default();
        let ended = chunks.feed(self.ahead.get(head..).unwrap_or_default())?;
        self.body = ended.is_none().then_some(chunks);
        Ok(())
    }

    /// HTTP/2 is spoken from here on, also in what was given back. Reading fails with
    /// [`io::ErrorKind::InvalidData`] where the client asks for too much, or leaves open for longer than
    /// `patience` what it has begun.
    pub fn expect_frames(&mut self, patience: Duration) {
        self.frames = Some(Box::new(Watch::new(patience)));
    }

    /// What was wrong with the frames, and the last ones to send because of it.
    pub fn excess(&self) -> Option<(Excess, [u8; 17])> {
        self.frames.as_ref().and_then(|frames| frames.excess())
    }

    /// What the two sides agreed on when TLS was set up.
    pub fn agreed_on_http2(&self) -> bool {
        self.transport.agreed_on_http2()
    }

    /// The socket, as pingora wants to know it.
    pub fn socket(&self) -> Arc<SocketDigest> {
        Arc::clone(&self.socket)
    }

    /// Nobody reads the body, or the frames, any more: what still comes is not judged.
    pub fn abandon_body(&mut self) {
        self.body = None;
        self.frames = None;
    }

    /// Nothing was said yet of the answer to the request that came.
    pub const fn await_answer(&mut self) {
        self.spoken = false;
    }

    /// Ready when the client has gone, or will say nothing more. What it says meanwhile is kept for
    /// whoever reads next; once that is much, no more is read, and nobody hears of its end.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.ahead.len() < AHEAD {
            let mut chunk = [const { MaybeUninit::uninit() }; AHEAD];
            let mut buffer = ReadBuf::uninit(&mut chunk);
            match ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.ahead = [&self.ahead, buffer.filled()].concat().into();
                }
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Whether the client was told anything since the connection was lent.
    pub const fn has_spoken(&self) -> bool {
        self.spoken
    }

    /// Ends the connection so that nobody takes what was said for all there is: with a reset, where an
    /// orderly end could be the end of a message (RFC 9112 section 6.3), and over TLS without a farewell.
    pub fn cut(self) {
        self.transport.reset_when_closed();
    }

    /// Takes the connection apart: the raw stream, and the bytes that were read ahead of it.
    pub fn into_parts(self) -> (Transport, Bytes) {
        (self.transport, self.ahead)
    }

    /// The connection as pingora may have it, and where it comes home to when pingora lets go of it.
    pub fn lend(mut self) -> (Lent, oneshot::Receiver<Self>) {
        self.spoken = false;
        let (home, back) = oneshot::channel();
        let lent = Lent {
            connection: Some(self),
            home: Some(home),
            held: Held::Nothing,
        };
        (lent, back)
    }

    fn take_ahead(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead.split_to(count));
        if self.ahead.is_empty() {
            // Lets go of the allocation behind it.
            self.ahead = Bytes::new();
        }
    }

    /// Judges what was just read, if it belongs to a chunked body.
    fn check_body(&mut self, read: &[u8]) -> io::Result<()> {
        let Some(chunks) = &mut self.body else {
            return Ok(());
        };
        let fed = chunks.feed(read);
        if fed
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?
            .is_some()
        {
            self.body = None;
        }
        Ok(())
    }
}

/// How long writes have been waiting: from the first that has to, until one gets on. Nothing is
/// allocated for a write that does not wait.
#[derive(Debug, Default)]
struct Stall(Option<Pin<Box<Sleep>>>);

impl Stall {
    /// What came of a write, or an error when it has waited for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.0 = None;
            return write;
        }
        let since = self.0.get_or_insert_with(|| Box::pin(sleep(STALL)));
        let over = since.as_mut().poll(cx);
        over.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let is_ahead = this.ahead.has_remaining();
        if is_ahead {
            this.take_ahead(buf);
        } else {
            let read = Pin::new(&mut this.transport).poll_read(cx, buf)?;
            if read.is_pending() {
                return match &mut this.frames {
                    Some(frames) => frames.wait(cx).map(Err),
                    None => Poll::Pending,
                };
            }
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        let checked = match &mut this.frames {
            Some(frames) => frames.look(read),
            // Judged when it was given back.
            None if is_ahead => Ok(()),
            None => this.check_body(read),
        };
        if checked.is_err() {
            buf.set_filled(before);
        }
        Poll::Ready(checked)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.transport).poll_write(cx, buf);
        this.spoken |= write.is_ready();
        this.stall.watch(cx, write)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flush = Pin::new(&mut this.transport).poll_flush(cx);
        this.stall.watch(cx, flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shutdown = Pin::new(&mut this.transport).poll_shutdown(cx);
        this.stall.watch(cx, shutdown)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.transport).poll_write_vectored(cx, bufs);
        this.spoken |= write.is_ready();
        this.stall.watch(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

/// A connection that pingora holds. It goes home when dropped, whether or not it can be used again:
/// whoever lent it ends it in good order, or reads the next request from it.
#[derive(Debug)]
pub struct Lent {
    /// Always there until dropped.
    connection: Option<Connection>,
    home: Option<oneshot::Sender<Connection>>,
    held: Held,
}

/// The head of an answer waits for the beginning of its body, so that both leave together: in one segment
/// of TCP, and one call of the kernel. pingora flushes what must not wait, and before it lets go.
///
/// What is still held when the connection goes home was never said: nobody would have known whether it
/// was all of it.
#[derive(Debug)]
enum Held {
    /// Nothing was written yet.
    Nothing,
    Head(Vec<u8>),
    /// Everything is passed on at once.
    Over,
}

/// Longest write that is held back: what a head may be.
const LONGEST_HELD: usize = 8 * 1024;

impl Lent {
    fn with<T>(
        self: Pin<&mut Self>,
        poll: impl FnOnce(Pin<&mut Connection>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.get_mut().connection {
            Some(connection) => poll(Pin::new(connection)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Says what was held back, and `more` with it. How much of `more` was taken is told once all of what was
    /// held is out.
    fn say_with(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        more: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let Held::Head(head) = std::mem::replace(&mut self.held, Held::Over) else {
                return Poll::Ready(Ok(0));
            };
            let both = [io::IoSlice::new(&head), io::IoSlice::new(more)];
            let written = self
                .as_mut()
                .with(|connection| connection.poll_write_vectored(cx, &both));
            let count = match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.held = Held::Head(head);
                    return Poll::Pending;
                }
            };
            match head.get(count..) {
                Some([]) | None => return Poll::Ready(Ok(count.saturating_sub(head.len()))),
                Some(rest) => self.held = Held::Head(rest.to_vec()),
            }
        }
    }

    fn say_held(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_with(cx, &[]).map_ok(|_| ())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(connection), Some(home)) = (self.connection.take(), self.home.take()) {
            // Nobody at home: then this is its end.
            drop(home.send(connection));
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self
            .as_mut()
            .with(|connection| connection.poll_read(cx, buf));
        // Nothing follows at once: whoever waits for the head of an answer gets it now.
        if read.is_pending()
            && matches!(self.held, Held::Head(_))
            && let Poll::Ready(Err(error)) = self.poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if matches!(self.held, Held::Nothing) && (1..=LONGEST_HELD).contains(&buf.len()) {
            self.held = Held::Head(buf.to_vec());
            return Poll::Ready(Ok(buf.len()));
        }
        match ready!(self.as_mut().say_with(cx, buf))? {
            0 => self.with(|connection| connection.poll_write(cx, buf)),
            taken => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().say_held(cx))?;
        self.with(|connection| connection.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().say_held(cx))?;
        self.with(|connection| connection.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().say_held(cx))?;
        self.with(|connection| connection.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(AsyncWrite::is_write_vectored)
    }
}

#[async_trait]
impl Shutdown for Lent {
    async fn shutdown(&mut self) {
        // Whoever lent it does that, after its last word.
    }
}

impl UniqueID for Lent {
    fn id(&self) -> UniqueIDType {
        let connection = self.connection.as_ref();
        connection.map_or(-1, |connection| connection.transport.as_raw_fd())
    }
}

impl Ssl for Lent {}
impl Peek for Lent {}

impl GetTimingDigest for Lent {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Lent {
    fn get_proxy_digest(&self) -> Option<Arc<pingora::protocols::raw_connect::ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Lent {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        let connection = self.connection.as_ref();
        connection.map(|connection| Arc::clone(&connection.socket))
    }
}

#[cfg(test)]
mod tests;
