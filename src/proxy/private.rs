//! Small listeners that serve a function: the issuer's private one, the operator's, and the operator's
//! socket. HTTP/1.1, bounded in every direction, through the same porch as the public ones.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::server::HttpSession;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::connection::{Connection, Lent};
use super::doorkeeper::Doorkeeper;
use super::handshake::Terminator;
use super::head::{Framing, HeadError, Patience, read_head};
use super::plain::{self, Status};
use super::reply::{self, BodyError};
use super::stream::Transport;

/// Longest wait for what a request still lacks once it has begun.
const SOON: Duration = Duration::from_secs(10);
/// Longest wait for a head, and between requests.
const PATIENCE: Patience = Patience {
    first_byte: Duration::from_secs(30),
    head: Some(SOON),
};
/// Connections at a time.
const CONNECTIONS: usize = 64;
/// Pause after the kernel refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from.
pub enum Listening {
    /// A port, with TLS where there is something to end it.
    Tcp(Arc<TcpListener>, Option<Arc<Terminator>>),
    /// A Unix socket.
    Local(Arc<UnixListener>),
}

/// Who is at the other end of a connection, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A TCP peer.
    Remote(SocketAddr),
    /// A process of this user on this machine (`SO_PEERCRED`).
    Local {
        /// The user's id.
        uid: u32,
    },
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(address) => address.fmt(f),
            Self::Local { uid } => write!(f, "uid:{uid}"),
        }
    }
}

/// A connection whose handshake is still to come.
enum Arrived {
    Tcp(TcpStream, Option<Arc<Terminator>>),
    Local(UnixStream),
}

impl Listening {
    async fn accept(&self) -> io::Result<(Arrived, Caller)> {
        match self {
            Self::Tcp(listener, tls) => {
                let (tcp, peer) = listener.accept().await?;
                Ok((Arrived::Tcp(tcp, tls.clone()), Caller::Remote(peer)))
            }
            Self::Local(listener) => {
                let (socket, _) = listener.accept().await?;
                let uid = socket.peer_cred()?.uid();
                Ok((Arrived::Local(socket), Caller::Local { uid }))
            }
        }
    }
}

impl Arrived {
    async fn connection(self, caller: Caller) -> io::Result<Connection> {
        let transport = match self {
            Self::Tcp(tcp, tls) => Transport::accept(tcp, tls).await?,
            Self::Local(socket) => Transport::Local(socket),
        };
        let peer = match caller {
            Caller::Remote(peer) => peer,
            // There is none; pingora wants one.
            Caller::Local { .. } => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        };
        Ok(Connection::new(transport, peer))
    }
}

/// Serves `handle` on `listening` until `stop` turns true or nobody is let in any more, to at most
/// [`CONNECTIONS`] at a time.
pub async fn serve<H, F>(
    listening: Listening,
    mut doorkeeper: Doorkeeper,
    stop: watch::Receiver<bool>,
    handle: H,
) where
    H: Fn(Request<Bytes>, Caller) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send,
{
    let handle = Arc::new(handle);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some(accepted) = doorkeeper.next(|| listening.accept()).await {
        let (arrived, caller) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(peer = %caller, "too many connections on a private listener");
            continue;
        };
        let (handle, mut stop) = (Arc::clone(&handle), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection(arrived, caller, handle.as_ref()) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
    }
    doorkeeper.leave();
}

async fn connection<H, F>(arrived: Arrived, caller: Caller, handle: &H)
where
    H: Fn(Request<Bytes>, Caller) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let mut next = arrived.connection(caller).await.ok();
    while let Some(mut connection) = next.take() {
        match read_head(&mut connection, PATIENCE).await {
            Ok((head, length, bytes)) => {
                connection.give_back(bytes);
                let has_body = head.body != Framing::None;
                if head.body == Framing::Chunked
                    && let Err(why) = connection.expect_chunks(length)
                {
                    plain::answer(&mut connection, Status(400, "Bad Request"), "", why).await;
                } else {
                    next = exchange(connection, caller, has_body, handle).await;
                }
            }
            Err(HeadError::Gone | HeadError::Idle) => {}
            Err(why) => {
                let status = Status(400, "Bad Request");
                plain::answer(&mut connection, status, "", &why.to_string()).await;
            }
        }
    }
}

/// One request and its answer; the connection comes back when it may be used again.
async fn exchange<H, F>(
    connection: Connection,
    caller: Caller,
    has_body: bool,
    handle: &H,
) -> Option<Connection>
where
    H: Fn(Request<Bytes>, Caller) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let (lent, home) = connection.lend();
    let again = answer(lent, caller, has_body, handle).await.is_some();
    let mut connection = home.await.ok()?;
    if again {
        return Some(connection);
    }
    connection.abandon_body();
    plain::end(&mut connection).await;
    None
}

/// `Some` when another request may follow on this connection.
async fn answer<H, F>(lent: Lent, caller: Caller, has_body: bool, handle: &H) -> Option<()>
where
    H: Fn(Request<Bytes>, Caller) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let mut session = ServerSession::H1(HttpSession::new(Box::new(lent)));
    if !session.read_request().await.ok()? {
        return None;
    }
    let body = if has_body {
        match reply::read_body(&mut session, SOON).await {
            Ok(body) => body,
            Err(BodyError::TooLarge) => {
                let _ = session.respond_error(413).await;
                return None;
            }
            Err(BodyError::Slow | BodyError::Broken) => return None,
        }
    } else {
        Bytes::new()
    };
    let header = session.req_header();
    let is_head = header.method == http::Method::HEAD;
    let mut request = Request::new(body);
    *request.method_mut() = header.method.clone();
    *request.uri_mut() = header.uri.clone();
    *request.headers_mut() = header.headers.clone();
    let response = handle(request, caller).await;
    reply::write(&mut session, response, is_head).await.ok()?;
    let (_, behind) = session.finish().await.ok()??.into_parts();
    behind.is_none().then_some(())
}
