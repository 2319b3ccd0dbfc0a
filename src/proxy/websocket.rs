//! WebSockets to web UIs stay in pingora's loop, which loses about three upgrades in a thousand with
//! more than one worker (its issue 946): when the upstream's 101 is read before the loop has dealt with
//! the request's empty body, it takes the request for finished. A socket whose first read after a
//! write waits one turn of the scheduler lets the loop deal with the body first.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::connectors::l4::Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::upstream::keep_alive;

/// Connections for WebSockets are kept apart from others, whose sockets wait for nobody.
const GROUP: u64 = 1;

/// Makes `peer` fit for a WebSocket.
pub fn prepare(peer: &mut HttpPeer) {
    peer.options.custom_l4 = Some(Arc::new(Patient));
    peer.group_key = GROUP;
}

/// Connects sockets that wait a turn.
#[derive(Debug)]
struct Patient;

#[async_trait]
impl Connect for Patient {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let address = address
            .as_inet()
            .ok_or_else(|| Error::explain(ErrorType::ConnectError, "not an internet address"))?;
        let tcp = TcpStream::connect(address)
            .await
            .map_err(|why| Error::because(ErrorType::ConnectRefused, "cannot connect", why))?;
        keep_alive(&tcp);
        let socket = Socket {
            tcp,
            written: false,
        };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(socket))))
    }
}

#[derive(Debug)]
struct Socket {
    tcp: TcpStream,
    /// Something was written since the last read.
    written: bool,
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.written) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut this.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.written = true;
        Pin::new(&mut this.tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

impl VirtualSocket for Socket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.tcp.set_nodelay(true),
            // Keep-alive was set when it was connected; nothing else is asked for.
            _ => Ok(()),
        }
    }
}
