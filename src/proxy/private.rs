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
use super::drain::Drain;
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

/// Serves `handle` on `listening` until `closing` stops or nobody is let in any more, to at most
/// [`CONNECTIONS`] at a time. When `closing` leaves, connections end after the answer that is under way:
/// whoever asks next is to ask another process.
pub async fn serve<H, F>(
    listening: Listening,
    mut doorkeeper: Doorkeeper,
    closing: Drain,
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
        let (handle, leaving) = (Arc::clone(&handle), closing.leaving());
        let mut stop = closing.stopping();
        tokio::spawn(async move {
            tokio::select! {
                () = connection(arrived, caller, leaving, handle.as_ref()) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
    }
    doorkeeper.leave();
}

async fn connection<H, F>(
    arrived: Arrived,
    caller: Caller,
    mut leaving: watch::Receiver<bool>,
    handle: &H,
) where
    H: Fn(Request<Bytes>, Caller) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let mut next = arrived.connection(caller).await.ok();
    let mut is_first = true;
    while let Some(mut connection) = next.take() {
        let head = tokio::select! {
            biased;
            head = read_head(&mut connection, PATIENCE) => head,
            // Nobody has asked anything.
            _ = leaving.wait_for(|leaving| *leaving), if !is_first => return,
        };
        is_first = false;
        match head {
            Ok((head, length, bytes)) => {
                connection.give_back(bytes);
                let has_body = head.body != Framing::None;
                if head.body == Framing::Chunked
                    && let Err(why) = connection.expect_chunks(length)
                {
                    plain::answer(&mut connection, Status(400, "Bad Request"), "", why).await;
                } else {
                    next = exchange(connection, caller, has_body, &leaving, handle).await;
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
    leaving: &watch::Receiver<bool>,
    handle: &H,
) -> Option<Connection>
where
    H: Fn(Request<Bytes>, Caller) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let (lent, home) = connection.lend();
    let again = answer(lent, caller, has_body, leaving, handle).await;
    let again = again.is_some();
    let mut connection = home.await.ok()?;
    if again {
        return Some(connection);
    }
    connection.abandon_body();
    plain::end(&mut connection).await;
    None
}

/// `Some` when another request may follow on this connection.
async fn answer<H, F>(
    lent: Lent,
    caller: Caller,
    has_body: bool,
    leaving: &watch::Receiver<bool>,
    handle: &H,
) -> Option<()>
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
    if *leaving.borrow() {
        session.set_keepalive(None);
    }
    reply::write(&mut session, response, is_head).await.ok()?;
    let (_, behind) = session.finish().await.ok()??.into_parts();
    behind.is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::ops::pulse::Pulse;

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    async fn answer(client: &mut TcpStream) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(text).unwrap().to_lowercase()
    }

    #[tokio::test]
    async fn when_another_process_serves_a_connection_ends_with_the_answer_under_way_or_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = Drain::default();
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        let go = Arc::new(Semaphore::new(1));
        let may = Arc::clone(&go);
        let serving = serve(
            Listening::Tcp(Arc::new(listener), None),
            closing.doorkeeper(&Pulse::default()),
            closing.clone(),
            move |_, _| {
                let (asked, may) = (asked.clone(), Arc::clone(&may));
                async move {
                    asked.send(()).unwrap();
                    may.acquire().await.unwrap().forget();
                    Response::new(Bytes::new())
                }
            },
        );
        let serving = tokio::spawn(serving);
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(ASK).await.unwrap();
        assert!(!answer(&mut idle).await.contains("connection: close"));
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(ASK).await.unwrap();
        for _ in 0..2 {
            asks.recv().await.unwrap();
        }
        closing.leave();
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0, "it is closed");
        go.add_permits(1);
        assert!(answer(&mut busy).await.contains("connection: close"));
        assert_eq!(busy.read(&mut [0]).await.unwrap(), 0, "it is closed");
        serving.abort();
    }
}
