//! Small listeners that serve a function: the issuer's private one, and the operator's. HTTP/1.1,
//! bounded in every direction, through the same porch as the public ones.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::server::HttpSession;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::connection::{Connection, Lent};
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
/// Pause after the kernel refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `handle` on `listener` until `stop` turns true, to at most `most` connections at a time.
pub async fn serve<H, F>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    most: usize,
    stop: watch::Receiver<bool>,
    handle: H,
) where
    H: Fn(Request<Bytes>, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send,
{
    let handle = Arc::new(handle);
    let places = Arc::new(Semaphore::new(most));
    let mut stopping = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%peer, "too many connections on a private listener");
            continue;
        };
        let (handle, tls, mut stop) = (Arc::clone(&handle), tls.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection(tcp, peer, tls, handle.as_ref()) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
    }
}

async fn connection<H, F>(tcp: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, handle: &H)
where
    H: Fn(Request<Bytes>, SocketAddr) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let Ok(transport) = Transport::accept(tcp, tls).await else {
        return;
    };
    let mut next = Some(Connection::new(transport, peer));
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
                    next = exchange(connection, peer, has_body, handle).await;
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
    peer: SocketAddr,
    has_body: bool,
    handle: &H,
) -> Option<Connection>
where
    H: Fn(Request<Bytes>, SocketAddr) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let (lent, home) = connection.lend();
    let again = answer(lent, peer, has_body, handle).await.is_some();
    let mut connection = home.await.ok()?;
    if again {
        return Some(connection);
    }
    connection.abandon_body();
    plain::end(&mut connection).await;
    None
}

/// `Some` when another request may follow on this connection.
async fn answer<H, F>(lent: Lent, peer: SocketAddr, has_body: bool, handle: &H) -> Option<()>
where
    H: Fn(Request<Bytes>, SocketAddr) -> F,
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
    let response = handle(request, peer).await;
    reply::write(&mut session, response, is_head).await.ok()?;
    let (_, behind) = session.finish().await.ok()??.into_parts();
    behind.is_none().then_some(())
}
