//! Bytes both ways between a client and Headscale, until both sides have finished.
//!
//! An idle tunnel owns no buffer: each worker thread has one, bytes pass through it, and only what a
//! slow reader did not take is kept, which also stops reading from the fast side (back-pressure).
//! A half-close is passed on in either direction; the other direction goes on.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much one read may bring, and so the most that a slow reader makes us keep for each direction.
const SCRATCH: usize = 64 * 1024;
/// Reads of one direction in a row, before the other one and other tunnels have their turn.
const ROUNDS: usize = 8;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
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
    /// Bytes that were written.
    carried: u64,
}

impl Direction {
    const fn new(pending: Bytes) -> Self {
        Self {
            pending,
            ended: false,
            closed: false,
            dirty: false,
            carried: 0,
        }
    }

    /// Moves what can be moved now, for at most [`ROUNDS`]. Ready when this direction has finished for
    /// good.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..ROUNDS {
            while self.pending.has_remaining() {
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, &self.pending))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.dirty = true;
                self.pending.advance(written);
                self.carried += written as u64;
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
            match self.poll_move(cx, reader, writer) {
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
        // There may be more at once.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One read into the thread's buffer, and out of it what the writer takes; the rest is kept.
    fn poll_move<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut *reader).poll_read(cx, &mut buffer)) {
                // TLS without a farewell (RFC 8446 section 6.1): the protocols inside know where
                // their own messages end, and what the other side still has to say is not cut off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                other => other?,
            }
            let read = buffer.filled();
            if read.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            let mut rest = read;
            while !rest.is_empty()
                && let Poll::Ready(written) = Pin::new(&mut *writer).poll_write(cx, rest)
            {
                let written = written?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.dirty = true;
                self.carried += written as u64;
                rest = rest.get(written..).unwrap_or_default();
            }
            if !rest.is_empty() {
                self.pending = Bytes::copy_from_slice(rest);
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// Both directions of a tunnel, and its two ends: all that it needs from the 101 on.
#[derive(Debug)]
pub struct Relay<C, U> {
    client: C,
    upstream: U,
    up: Direction,
    down: Direction,
    down_first: bool,
}

impl<C, U> Relay<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// Between `client` and `upstream`. `early` was read from the client already, `late` from the upstream;
    /// each is delivered first.
    pub const fn new(client: C, upstream: U, early: Bytes, late: Bytes) -> Self {
        Self {
            client,
            upstream,
            up: Direction::new(early),
            down: Direction::new(late),
            down_first: false,
        }
    }

    /// Carries what can be carried now. Ready when both directions have ended.
    ///
    /// # Errors
    /// The first failure of either socket; the tunnel is over then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (client, upstream) = (&mut self.client, &mut self.upstream);
        // tokio gives a task so many reads and writes a turn: whoever is always first could use up
        // all of them.
        self.down_first = !self.down_first;
        let (upward, downward) = if self.down_first {
            let downward = self.down.poll(cx, upstream, client)?;
            (self.up.poll(cx, client, upstream)?, downward)
        } else {
            let upward = self.up.poll(cx, client, upstream)?;
            (upward, self.down.poll(cx, upstream, client)?)
        };
        if upward.is_ready() && downward.is_ready() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Bytes from the client that the upstream's socket took.
    pub const fn upward(&self) -> u64 {
        self.up.carried
    }

    /// The same from the upstream.
    pub const fn downward(&self) -> u64 {
        self.down.carried
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// How many bytes went which way.
    #[derive(Default)]
    struct Carried {
        upward: AtomicU64,
        downward: AtomicU64,
    }

    /// A tunnel from its first byte to its end.
    async fn relay<C, U>(
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
        let mut relay = Relay::new(client, upstream, early, late);
        let ended = poll_fn(|cx| relay.poll(cx)).await;
        carried.upward.store(relay.upward(), Ordering::Relaxed);
        carried.downward.store(relay.downward(), Ordering::Relaxed);
        ended
    }

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

    /// A peer that always has more to say and always takes what it is told. A relay that goes on
    /// with one direction only finds out after a while, as an error.
    struct Flood<'a> {
        said: &'a AtomicU64,
        said_by_the_other: &'a AtomicU64,
    }

    impl AsyncRead for Flood<'_> {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let said = self.said.fetch_add(1, Ordering::Relaxed);
            if said > 100 + 10 * self.said_by_the_other.load(Ordering::Relaxed) {
                return Poll::Ready(Err(io::Error::other("the other one has no turn")));
            }
            buf.put_slice(b"more");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Flood<'_> {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn neither_direction_starves_the_other_nor_the_thread() {
        let (by_client, by_upstream) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut client = Flood {
            said: &by_client,
            said_by_the_other: &by_upstream,
        };
        let mut upstream = Flood {
            said: &by_upstream,
            said_by_the_other: &by_client,
        };
        let (none, carried) = (Bytes::new, Carried::default());
        let tunnel = relay(&mut client, &mut upstream, none(), none(), &carried);
        tokio::pin!(tunnel);
        for _ in 0..1000 {
            tokio::select! {
                biased;
                ended = &mut tunnel => panic!("{ended:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert!(by_client.load(Ordering::Relaxed) > 500);
        assert!(by_upstream.load(Ordering::Relaxed) > 500);
    }

    #[tokio::test]
    async fn a_direction_that_breaks_ends_the_other_one_that_only_waits() {
        struct Broken;
        impl AsyncRead for Broken {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                _: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
        }
        let (_client, mut client_side) = duplex(64);
        let (writer, _held) = duplex(64);
        let mut upstream_side = tokio::io::join(Broken, writer);
        let (none, carried) = (Bytes::new, Carried::default());
        let ended = relay(
            &mut client_side,
            &mut upstream_side,
            none(),
            none(),
            &carried,
        )
        .await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn an_end_without_a_farewell_does_not_cut_off_the_other_side() {
        struct Rude(&'static [u8]);
        impl AsyncRead for Rude {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let said = std::mem::take(&mut self.0);
                if said.is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                buf.put_slice(said);
                Poll::Ready(Ok(()))
            }
        }
        let (mut answer, writer) = duplex(64);
        let mut client_side = tokio::io::join(Rude(b"question"), writer);
        let (mut upstream, mut upstream_side) = duplex(64);
        let talk = async {
            let mut question = String::new();
            upstream.read_to_string(&mut question).await.unwrap();
            upstream.write_all(b"the whole answer").await.unwrap();
            upstream.shutdown().await.unwrap();
            let mut heard = String::new();
            answer.read_to_string(&mut heard).await.unwrap();
            (question, heard)
        };
        let (none, carried) = (Bytes::new, Carried::default());
        let tunnel = relay(
            &mut client_side,
            &mut upstream_side,
            none(),
            none(),
            &carried,
        );
        let talk = async { Ok::<_, io::Error>(talk.await) };
        let ((), (question, heard)) = tokio::try_join!(tunnel, talk).unwrap();
        assert_eq!(
            (question.as_str(), heard.as_str()),
            ("question", "the whole answer")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_silent_minutes_end_nothing() {
        let (mut client, mut client_side) = duplex(64);
        let (mut upstream, mut upstream_side) = duplex(64);
        let (none, carried) = (Bytes::new, Carried::default());
        let tunnel = relay(
            &mut client_side,
            &mut upstream_side,
            none(),
            none(),
            &carried,
        );
        let talk = async {
            let mut word = [0; 3];
            for _ in 0..3 {
                tokio::time::sleep(std::time::Duration::from_mins(20)).await;
                client.write_all(b"ask").await.unwrap();
                upstream.read_exact(&mut word).await.unwrap();
                assert_eq!(&word, b"ask");
                upstream.write_all(b"say").await.unwrap();
                client.read_exact(&mut word).await.unwrap();
                assert_eq!(&word, b"say");
            }
        };
        tokio::select! {
            ended = tunnel => panic!("{ended:?}"),
            () = talk => {}
        }
    }
}
