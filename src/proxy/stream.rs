//! A client's connection: plain or TLS, with the bytes that were read ahead given back first.
//!
//! Owning this type is what lets a connection be looked at before pingora sees it, be handed to
//! pingora, come back after a request, and become a tunnel, without a byte lost.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Buf as _, Bytes};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

/// A byte stream over TCP, with or without TLS.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS that we accepted.
    Accepted(Box<server::TlsStream<TcpStream>>),
    /// TLS that we opened.
    Opened(Box<client::TlsStream<TcpStream>>),
}

impl Transport {
    /// The socket underneath.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Accepted(tls) => tls.get_ref().0,
            Self::Opened(tls) => tls.get_ref().0,
        }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Transport::Accepted(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
            Transport::Opened(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Accepted(stream) => stream.is_write_vectored(),
            Self::Opened(stream) => stream.is_write_vectored(),
        }
    }
}

/// One accepted client connection.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    ahead: Bytes,
    socket: Arc<SocketDigest>,
    peer: SocketAddr,
}

impl Connection {
    /// Wraps a connection accepted from `peer`.
    pub fn new(transport: Transport, peer: SocketAddr) -> Self {
        let socket = SocketDigest::from_raw_fd(transport.tcp().as_raw_fd());
        // The peer was known at accept; asking the kernel again would fail once it has gone.
        let _ = socket.peer_addr.set(Some(peer.into()));
        Self {
            transport,
            ahead: Bytes::new(),
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

    /// Takes the connection apart: the raw stream, and the bytes that were read ahead of it.
    pub fn into_parts(self) -> (Transport, Bytes) {
        (self.transport, self.ahead)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.has_remaining() {
            let count = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead.split_to(count));
            if this.ahead.is_empty() {
                // Lets go of the allocation behind it.
                this.ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.transport).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // A peer that has already gone is no news.
        let _ = AsyncWriteExt::shutdown(&mut self.transport).await;
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.transport.tcp().as_raw_fd()
    }
}

impl Ssl for Connection {}
impl Peek for Connection {}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<pingora::protocols::raw_connect::ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}
