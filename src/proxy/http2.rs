//! HTTP/2 from clients (RFC 9113): one connection, many requests, each through the same porch as one of
//! HTTP/1.1, and from there the same way through pingora.
//!
//! The library and pingora's thin layer above it speak the protocol; what they leave open is bounded
//! here and in [`frames`]. Nothing is upgraded over HTTP/2: extended CONNECT (RFC 8441) is not offered, so
//! a browser opens a connection of HTTP/1.1 beside it for a WebSocket, and Tailscale's clients speak
//! HTTP/1.1 anyway.

pub(super) mod frames;
mod request;
pub(super) mod watch;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{Reason, server};
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, handshake};
use pingora::protocols::{Digest, Stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::frames::{Excess, PREFACE};
use super::accept::{Front, Manner};
use super::connection::{Connection, Lent};
use super::head::{MAX_FIELDS, MAX_HEAD, read_some};
use super::plain;
use crate::ops::metrics::Limit;

/// Requests of one connection under way at a time.
const MOST_STREAMS: u32 = 100;
/// Bytes of one request's body that may be on their way, and of all bodies of a connection together.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of one answer that we keep while the client takes them.
const SEND_BUFFER: usize = 64 * 1024;
/// Malformed requests after which a connection ends: those that the library resets, and those that
/// pingora turns away.
const MOST_MALFORMED: usize = 32;
/// Longest wait for a client that was asked to go.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long requests may take to find out that their connection has ended.
const LAST_LINES: Duration = Duration::from_secs(10);

/// How a connection ended.
enum End {
    /// In good order, or by the client's doing.
    Over,
    /// The library gave it up as a danger.
    Calmed,
}

fn options() -> H2Options {
    let mut options = H2Options::new();
    // A field counts for 32 bytes more than it has (RFC 9113 section 6.5.2).
    let list = MAX_HEAD + MAX_FIELDS * 32;
    options
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_concurrent_streams(MOST_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MOST_MALFORMED));
    options
}

impl Front {
    /// Serves the requests of one connection until it ends.
    pub(super) async fn streams(self: &Arc<Self>, mut connection: Connection, manner: Manner) {
        connection.expect_frames(self.houses.now().settings.limits.header_timeout);
        let digest = Digest {
            socket_digest: Some(connection.socket()),
            ..Digest::default()
        };
        let mut requests = JoinSet::new();
        let client = Client {
            front: self,
            peer: connection.peer(),
            manner,
            digest: Arc::new(digest),
        };
        let (lent, home) = connection.lend();
        let end = client.serve(lent, &mut requests).await;
        if let Ok(connection) = home.await {
            self.part(connection, &end).await;
        }
        // They hear of it by themselves, and say so in the log.
        let heard = async { while requests.join_next().await.is_some() {} };
        let _ = timeout(LAST_LINES, heard).await;
    }

    async fn part(&self, mut connection: Connection, end: &End) {
        let peer = connection.peer();
        let excess = connection.excess();
        connection.abandon_body();
        match (excess, end) {
            (Some((excess, farewell)), _) => {
                self.metrics.limit_hit(match excess {
                    Excess::Slow => Limit::HeaderTimeout,
                    Excess::Resets | Excess::IdleTalk => Limit::Http2,
                });
                tracing::info!(%peer, reason = excess.label(), "connection ended");
                plain::end_with(&mut connection, &farewell).await;
            }
            (None, End::Calmed) => {
                self.metrics.limit_hit(Limit::Http2);
                tracing::info!(%peer, reason = "too much of something", "connection ended");
                plain::end(&mut connection).await;
            }
            (None, End::Over) => plain::end(&mut connection).await,
        }
    }
}

/// Whether a client on plaintext begins with the preface of HTTP/2 (RFC 9113 section 3.3). What was read
/// is given back.
pub(super) async fn is_begun(connection: &mut Connection) -> io::Result<bool> {
    let mut read = BytesMut::new();
    while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
        if read_some(connection, &mut read).await? == 0 {
            break;
        }
    }
    let begins = read.starts_with(PREFACE);
    connection.give_back(read.freeze());
    Ok(begins)
}

/// One connection's client.
struct Client<'a> {
    front: &'a Arc<Front>,
    peer: SocketAddr,
    manner: Manner,
    digest: Arc<Digest>,
}

/// How long a connection stays without requests.
struct Stay {
    quiet_until: Instant,
    /// The client was asked to go: nothing new is begun, and what is under way may finish.
    leaving: bool,
}

impl Stay {
    fn lengthen(&mut self, patience: Duration) {
        let patience = if self.leaving { FAREWELL } else { patience };
        self.quiet_until = Instant::now() + patience;
    }

    fn leave(&mut self, client: &mut server::Connection<Stream, Bytes>) {
        self.leaving = true;
        self.quiet_until = Instant::now() + FAREWELL;
        client.graceful_shutdown();
    }
}

impl Client<'_> {
    /// Takes one request after the other, each a task of its own among `requests`.
    async fn serve(&self, lent: Lent, requests: &mut JoinSet<()>) -> End {
        let limits = self.front.houses.now().settings.limits;
        let mut stay = Stay {
            quiet_until: Instant::now() + limits.header_timeout,
            leaving: false,
        };
        let greeting = handshake(Box::new(lent), Some(options()));
        let Ok(Ok(mut client)) = timeout(limits.header_timeout, greeting).await else {
            return End::Over;
        };
        // Also where another process has taken over, or will be asked instead.
        let mut stopping = self.front.drain.leaving();
        let mut malformed = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop), if !stay.leaving => {
                    stay.leave(&mut client);
                    continue;
                }
                Some(_) = requests.join_next() => {
                    stay.lengthen(limits.keepalive_timeout);
                    continue;
                }
                accepted = HttpSession::from_h2_conn(&mut client, Arc::clone(&self.digest)) => accepted,
                () = sleep_until(stay.quiet_until), if requests.is_empty() => {
                    if stay.leaving {
                        return End::Over;
                    }
                    stay.leave(&mut client);
                    continue;
                }
            };
            match accepted {
                Ok(Some(H2Accept::Session(request))) => self.take(request, requests),
                Ok(Some(H2Accept::Rejected)) => {
                    malformed += 1;
                    if malformed == MOST_MALFORMED {
                        client.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    }
                }
                _ if malformed >= MOST_MALFORMED => return End::Calmed,
                Ok(None) => return End::Over,
                Err(error) => return end_of(&error),
            }
        }
    }

    /// A request takes a place, as a connection of its own would. Two at a time have that of their connection
    /// among the places of its address, so that one that ends is not in the way of the next; the second takes one of
    /// the house's, since its way to an upstream takes a descriptor. Without one, and when nothing new may begin, it was
    /// not begun, and the client may ask again.
    fn take(&self, mut request: HttpSession, requests: &mut JoinSet<()>) {
        if *self.front.drain.stopping().borrow() {
            request.shutdown_with_reason(Reason::REFUSED_STREAM);
            return;
        }
        let places = match requests.len() {
            0 => Ok(None),
            1 => self.front.place().map(Some),
            _ => self.front.places(self.peer).map(Some),
        };
        let Ok(places) = places else {
            self.front.metrics.limit_hit(Limit::Connections);
            request.shutdown_with_reason(Reason::REFUSED_STREAM);
            return;
        };
        let (front, peer, manner) = (Arc::clone(self.front), self.peer, self.manner);
        requests.spawn(async move {
            front.request(request, peer, manner).await;
            drop(places);
        });
    }
}

/// The library ends a connection with `ENHANCE_YOUR_CALM` where it sees an attack.
fn end_of(error: &pingora::Error) -> End {
    let cause = error.root_cause().downcast_ref::<h2::Error>();
    match cause.and_then(h2::Error::reason) {
        Some(Reason::ENHANCE_YOUR_CALM) => End::Calmed,
        Some(_) | None => End::Over,
    }
}
