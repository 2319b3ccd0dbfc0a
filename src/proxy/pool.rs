//! Connections to an upstream that wait for their next request.
//!
//! Whoever takes one looks first whether the upstream has closed it, or said something that nobody
//! asked for; a kept one is not watched by a task of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::stream::Transport;

/// The most that are kept for one upstream.
const MOST: usize = 128;
/// How often those that nobody takes are looked at.
const ROUND: Duration = Duration::from_secs(5);

/// What is kept for one upstream.
#[derive(Debug)]
pub struct Pool {
    /// How long each is kept.
    idle: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The one that came last is taken first.
    connections: Vec<(Instant, Stream)>,
    /// Somebody looks after them.
    swept: bool,
}

impl Pool {
    /// Keeps each connection for `idle`.
    pub fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            idle,
            kept: Mutex::default(),
        })
    }

    /// One that may be used `now`, as far as can be known before it is, and that leads to an address which is `good`.
    pub fn take(&self, now: Instant, good: impl Fn(SocketAddr) -> bool) -> Option<Stream> {
        loop {
            let (since, mut stream) = self.with(|kept| kept.connections.pop())?;
            let is_good = address(&stream).is_some_and(&good);
            let age = now.saturating_duration_since(since);
            if is_good && age < self.idle && is_silent(&mut stream) {
                return Some(stream);
            }
        }
    }

    /// Keeps one whose last answer was read to its end `now`.
    pub fn put(self: &Arc<Self>, stream: Stream, now: Instant) {
        let is_swept = self.with(|kept| {
            if kept.connections.len() < MOST {
                kept.connections.push((now, stream));
            }
            std::mem::replace(&mut kept.swept, true)
        });
        if !is_swept {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Lets go of those that are too old or were closed. False when none is left.
    fn round(&self) -> bool {
        let idle = self.idle;
        self.with(|kept| {
            kept.connections
                .retain_mut(|(since, stream)| since.elapsed() < idle && is_silent(stream));
            kept.swept = !kept.connections.is_empty();
            kept.swept
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(ROUND).await;
        match pool.upgrade() {
            Some(pool) if pool.round() => {}
            Some(_) | None => return,
        }
    }
}

/// Whether the upstream has neither closed it nor said anything. Looked at in any case: tokio lets a task
/// read no more in this turn once it has read much, and that would look like silence.
fn is_silent(stream: &mut Stream) -> bool {
    let look = tokio::task::unconstrained(std::future::poll_fn(|cx| {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        Poll::Ready(read.is_pending())
    }));
    let mut nobody = Context::from_waker(Waker::noop());
    matches!(std::pin::pin!(look).poll(&mut nobody), Poll::Ready(true))
}

/// Where a connection leads.
fn address(stream: &Stream) -> Option<SocketAddr> {
    let reached = stream.as_any().downcast_ref::<Reached>();
    reached.map(|reached| reached.1)
}

/// A connection of ours to an upstream's address, as pingora's reader of answers wants it.
#[derive(Debug)]
pub struct Reached(Transport, SocketAddr);

impl Reached {
    /// Wraps one to `address`.
    pub const fn new(transport: Transport, address: SocketAddr) -> Self {
        Self(transport, address)
    }
}

impl AsyncRead for Reached {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Reached {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Reached {
    async fn shutdown(&mut self) {
        // It is over in any case.
        let _ = self.0.shutdown().await;
    }
}

impl UniqueID for Reached {
    fn id(&self) -> UniqueIDType {
        self.0.as_raw_fd()
    }
}

impl Ssl for Reached {}
impl Peek for Reached {}

impl GetTimingDigest for Reached {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Reached {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Reached {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Ours, and the upstream's end of it.
    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        let ours = ours.unwrap();
        let address = ours.peer_addr().unwrap();
        let ours = Reached::new(Transport::Plain(ours), address);
        (Box::new(ours), theirs.unwrap().0)
    }

    /// Waits until `stream` has something to read, or has ended.
    async fn heard(stream: &Stream) {
        let ours = stream.as_any().downcast_ref::<Reached>().unwrap();
        let Transport::Plain(tcp) = &ours.0 else {
            unreachable!("these are plain")
        };
        tcp.readable().await.unwrap();
    }

    #[tokio::test]
    async fn a_kept_connection_is_taken_once_and_the_last_one_first() {
        let pool = Pool::new(Duration::from_secs(20));
        let ((first, _first), (second, _second)) = (pair().await, pair().await);
        let ids = (first.id(), second.id());
        pool.put(first, Instant::now());
        pool.put(second, Instant::now());
        assert_eq!(
            pool.take(Instant::now(), |_| true).map(|one| one.id()),
            Some(ids.1)
        );
        assert_eq!(
            pool.take(Instant::now(), |_| true).map(|one| one.id()),
            Some(ids.0)
        );
        assert!(pool.take(Instant::now(), |_| true).is_none());
    }

    #[tokio::test]
    async fn one_that_the_upstream_closed_or_spoke_on_is_not_taken() {
        let pool = Pool::new(Duration::from_secs(20));
        let (good, _good) = pair().await;
        let id = good.id();
        pool.put(good, Instant::now());
        let (closed, theirs) = pair().await;
        drop(theirs);
        heard(&closed).await;
        pool.put(closed, Instant::now());
        let (spoken_on, mut theirs) = pair().await;
        theirs.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        heard(&spoken_on).await;
        pool.put(spoken_on, Instant::now());
        assert_eq!(
            pool.take(Instant::now(), |_| true).map(|one| one.id()),
            Some(id)
        );
        assert!(pool.take(Instant::now(), |_| true).is_none());
    }

    #[tokio::test]
    async fn one_that_is_too_old_is_not_taken() {
        let pool = Pool::new(Duration::ZERO);
        let (ours, _theirs) = pair().await;
        pool.put(ours, Instant::now());
        assert!(pool.take(Instant::now(), |_| true).is_none());
    }

    #[tokio::test]
    async fn one_to_an_address_that_the_name_means_no_more_is_not_taken() {
        let pool = Pool::new(Duration::from_secs(20));
        let ((first, _first), (second, _second)) = (pair().await, pair().await);
        let (id, present) = (first.id(), address(&first).unwrap());
        pool.put(first, Instant::now());
        pool.put(second, Instant::now());
        let taken = pool.take(Instant::now(), |to| to == present);
        assert_eq!(taken.map(|one| one.id()), Some(id));
        assert!(pool.take(Instant::now(), |_| true).is_none());
    }

    #[tokio::test]
    async fn there_is_a_most_that_is_kept() {
        let pool = Pool::new(Duration::from_secs(20));
        let mut ends = Vec::new();
        for _ in 0..=MOST {
            let (ours, theirs) = pair().await;
            pool.put(ours, Instant::now());
            ends.push(theirs);
        }
        let taken = std::iter::from_fn(|| pool.take(Instant::now(), |_| true)).count();
        assert_eq!(taken, MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_nobody_takes_are_closed_after_a_while() {
        let pool = Pool::new(Duration::ZERO);
        let (ours, mut theirs) = pair().await;
        pool.put(ours, Instant::now());
        // Ends only when ours is closed.
        let mut byte = [0];
        assert_eq!(theirs.read(&mut byte).await.unwrap(), 0);
        assert!(!pool.with(|kept| kept.swept));
    }
}
