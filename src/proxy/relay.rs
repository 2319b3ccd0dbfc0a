//! Bytes both ways between a client and Headscale, until both sides have finished.
//!
//! An idle tunnel owns no buffer: each worker thread has one, bytes pass through it, and only what a
//! slow reader did not take is kept, which also stops reading from the fast side (back-pressure).
//! A half-close is passed on in either direction; the other direction goes on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much one read may bring, and so the most that a slow reader makes us keep for each direction.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// How many bytes went which way.
#[derive(Debug, Default)]
pub struct Carried {
    /// From the client to Headscale.
    pub upward: AtomicU64,
    /// From Headscale to the client.
    pub downward: AtomicU64,
}

/// One direction of a tunnel.
#[derive(Debug)]
struct Direction {
    /// Read but not yet written.
    pending: Bytes,
    /// The reader has said that nothing more comes.
    ended: bool,
    /// And the writer has been told so.
    closed: bool,
    /// Written since the last flush (TLS keeps records until flushed).
    dirty: bool,
}

impl Direction {
    const fn new(pending: Bytes) -> Self {
        Self {
            pending,
            ended: false,
            closed: false,
            dirty: false,
        }
    }

    /// Moves what can be moved now. Ready when this direction has finished for good.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        carried: &AtomicU64,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while self.pending.has_remaining() {
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, &self.pending))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.dirty = true;
                self.pending.advance(written);
                carried.fetch_add(written as u64, Ordering::Relaxed);
            }
            // Lets go of the allocation behind what was kept.
            self.pending = Bytes::new();
            if self.ended {
                if !self.closed {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                    self.closed = true;
                }
                return Poll::Ready(Ok(()));
            }
            match self.poll_move(cx, reader, writer, carried) {
                Poll::Ready(moved) => moved?,
                Poll::Pending => {
                    if self.dirty {
                        ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                        self.dirty = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// One read into the thread's buffer and one write out of it; the rest is kept.
    fn poll_move<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        carried: &AtomicU64,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *reader).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            let written = match Pin::new(&mut *writer).poll_write(cx, read) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            if written > 0 {
                self.dirty = true;
                carried.fetch_add(written as u64, Ordering::Relaxed);
            }
            if let Some(rest) = read.get(written..)
                && !rest.is_empty()
            {
                self.pending = Bytes::copy_from_slice(rest);
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// Carries bytes between `client` and `upstream` until both directions have ended.
///
/// `early` was read from the client already, `late` from the upstream; each is delivered first.
///
/// # Errors
/// The first failure of either socket; the tunnel is over then.
pub async fn relay<C, U>(
    client: &mut C,
    upstream: &mut U,
    early: Bytes,
    late: Bytes,
    carried: &Carried,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::new(early);
    let mut down = Direction::new(late);
    poll_fn(|cx| {
        let upward = up.poll(cx, client, upstream, &carried.upward)?;
        let downward = down.poll(cx, upstream, client, &carried.downward)?;
        if upward.is_ready() && downward.is_ready() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn bytes_read_ahead_arrive_before_all_others() {
        let (mut client, mut client_side) = duplex(64);
        let (mut upstream, mut upstream_side) = duplex(64);
        let carried = Carried::default();
        let tunnel = relay(
            &mut client_side,
            &mut upstream_side,
            Bytes::from_static(b"early "),
            Bytes::from_static(b"hello "),
            &carried,
        );
        let talk = async {
            client.write_all(b"later").await.unwrap();
            client.shutdown().await.unwrap();
            upstream.write_all(b"world").await.unwrap();
            upstream.shutdown().await.unwrap();
            let (mut up, mut down) = (String::new(), String::new());
            upstream.read_to_string(&mut up).await.unwrap();
            client.read_to_string(&mut down).await.unwrap();
            (up, down)
        };
        let (tunnel, (up, down)) = tokio::join!(tunnel, talk);
        tunnel.unwrap();
        assert_eq!((up.as_str(), down.as_str()), ("early later", "hello world"));
        assert_eq!(carried.upward.load(Ordering::Relaxed), 11);
        assert_eq!(carried.downward.load(Ordering::Relaxed), 11);
    }

    #[tokio::test]
    async fn a_client_that_closes_its_side_still_gets_the_answer() {
        let (mut client, mut client_side) = duplex(16);
        let (mut upstream, mut upstream_side) = duplex(16);
        let tunnel = tokio::spawn(async move {
            let carried = Carried::default();
            let none = Bytes::new;
            relay(
                &mut client_side,
                &mut upstream_side,
                none(),
                none(),
                &carried,
            )
            .await
        });
        let server = tokio::spawn(async move {
            let mut question = String::new();
            upstream.read_to_string(&mut question).await.unwrap();
            upstream.write_all(&[b'x'; 1000]).await.unwrap();
            upstream.shutdown().await.unwrap();
            question
        });
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(server.await.unwrap(), "question");
        assert_eq!(answer.len(), 1000);
        tunnel.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_stops_makes_us_keep_no_more_than_one_buffer() {
        let (mut client, mut client_side) = duplex(1024);
        let (_upstream, mut upstream_side) = duplex(8);
        let carried = Carried::default();
        let mut taken = 0_usize;
        {
            let tunnel = relay(
                &mut client_side,
                &mut upstream_side,
                Bytes::new(),
                Bytes::new(),
                &carried,
            );
            tokio::pin!(tunnel);
            // Writes until neither side makes progress: the upstream's reader never reads.
            loop {
                let write = client.write(&[b'x'; 512]);
                tokio::select! {
                    biased;
                    written = write => taken += written.unwrap(),
                    result = &mut tunnel => panic!("the tunnel ended: {result:?}"),
                    () = tokio::task::yield_now() => break,
                }
            }
        }
        assert!(taken <= SCRATCH + 2 * 1024, "took {taken} bytes");
    }
}
