//! A byte stream: over TCP with or without TLS, accepted or opened; or over a Unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::handshake::Terminator;
use super::tls::Tls;

/// A byte stream.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS that we accepted.
    Accepted(Box<Tls<UnbufferedServerConnection>>),
    /// TLS that we opened.
    Opened(Box<Tls<UnbufferedClientConnection>>),
    /// A Unix socket's, which we accepted.
    Local(UnixStream),
}

impl Transport {
    /// Takes the TLS of `tcp` off, where there is any to take.
    ///
    /// # Errors
    /// Those of [`Terminator::accept`].
    pub async fn accept(tcp: TcpStream, tls: Option<Arc<Terminator>>) -> io::Result<Self> {
        match tls {
            None => Ok(Self::Plain(tcp)),
            Some(tls) => Ok(Self::Accepted(Box::new(tls.accept(tcp).await?))),
        }
    }

    /// The protocol that both sides agreed on by ALPN (RFC 7301); `None` where the client offered none,
    /// and without TLS.
    pub fn agreed(&self) -> Option<&[u8]> {
        match self {
            Self::Accepted(tls) => tls.agreed(),
            Self::Opened(tls) => tls.agreed(),
            Self::Plain(_) | Self::Local(_) => None,
        }
    }

    /// Whether the client asked for HTTP/2 by ALPN (RFC 7301), and was granted it.
    pub fn agreed_on_http2(&self) -> bool {
        self.agreed() == Some(b"h2")
    }

    /// Closing it resets it from now on, where it is TCP.
    pub fn reset_when_closed(&self) {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Accepted(tls) => tls.tcp(),
            Self::Opened(tls) => tls.tcp(),
            Self::Local(_) => return,
        };
        // Where the kernel does not take it, closing is all that is left.
        let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    }
}

/// The socket underneath.
impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(tcp) => tcp.as_fd(),
            Self::Accepted(tls) => tls.tcp().as_fd(),
            Self::Opened(tls) => tls.tcp().as_fd(),
            Self::Local(socket) => socket.as_fd(),
        }
    }
}

impl AsRawFd for Transport {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
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
            Transport::Local(stream) => {
                let $stream = Pin::new(stream);
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
            Self::Local(stream) => stream.is_write_vectored(),
        }
    }
}
