//! TLS over a TCP socket that owns no buffer while nothing is under way.
//!
//! rustls's usual connection keeps four KiB for what may come next; here it is given what did come, in a
//! buffer of the worker thread, and only a record that is not whole yet is kept, or one that the socket did
//! not take. Closing one direction leaves the other as it is, and an end without a farewell is told from one
//! with it (RFC 8446 section 6.1).
//!
//! Here belongs: records between rustls and the socket. Not here: whom to trust, and which configuration a
//! handshake is made with.

mod session;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use rustls::unbuffered::WriteTraffic;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub use self::session::Session;
use self::session::work_off;

/// The longest record there is, with what is around it.
const RECORD: usize = 17 * 1024;
/// What one read may bring, beside what was kept. rustls takes no message of a handshake beyond 64 KiB.
const INCOMING: usize = 64 * 1024 + RECORD;
/// Sealed at a time: two whole records.
const PIECE: usize = 32 * 1024;
/// Beyond a piece: what each of its records adds, and a change of keys.
const OUTGOING: usize = PIECE + 1024;

thread_local! {
    static CAME: RefCell<Box<[u8]>> = RefCell::new(vec![0; INCOMING].into_boxed_slice());
    static PLAIN: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into_boxed_slice());
    static SEALED: RefCell<Box<[u8]>> = RefCell::new(vec![0; OUTGOING].into_boxed_slice());
}

/// One end of a TLS connection, whose handshake is done.
pub struct Tls<S> {
    tcp: TcpStream,
    session: S,
    /// Came, and is no whole record or message yet.
    incoming: Vec<u8>,
    /// Came, was opened, and nobody has asked for it yet.
    opened: Bytes,
    /// Sealed, and not taken by the socket yet.
    outgoing: BytesMut,
    heard: Heard,
    /// We said that nothing more comes from us.
    finished: bool,
}

/// What may be done when bytes can be sealed.
type OnTraffic<'a, S> = &'a mut dyn FnMut(&mut WriteTraffic<'_, <S as Session>::Data>);

/// What the peer said of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// More may come.
    Open,
    /// Nothing more comes.
    Farewell,
    /// Nothing: it closed the connection.
    Gone,
    /// Something that no peer may say: rustls is not asked again.
    Broken,
}

impl<S> fmt::Debug for Tls<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: Session> Tls<S> {
    /// Makes the handshake of `session` over `tcp`, of which `came` was read already.
    ///
    /// # Errors
    /// rustls's own as `InvalidData`, after the peer was told; `UnexpectedEof` when the peer has gone.
    pub async fn begin(tcp: TcpStream, session: S, came: Vec<u8>) -> io::Result<Self> {
        let mut tls = Self {
            tcp,
            session,
            incoming: came,
            opened: Bytes::new(),
            outgoing: BytesMut::new(),
            heard: Heard::Open,
            finished: false,
        };
        loop {
            let worked = tls.catch_up(&mut |_| ());
            let said = poll_fn(|cx| tls.poll_outgoing(cx)).await;
            worked?;
            said?;
            if !tls.session.state().is_handshaking() {
                return Ok(tls);
            }
            if !poll_fn(|cx| tls.poll_more(cx)).await? {
                let why = "the connection ended during the handshake";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
        }
    }

    /// The protocol that both sides agreed on by ALPN (RFC 7301).
    pub fn agreed(&self) -> Option<&[u8]> {
        self.session.state().alpn_protocol()
    }

    /// The socket underneath.
    pub const fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Bytes on the heap that are kept between two turns; rustls's own are not among them.
    #[cfg(test)]
    fn kept(&self) -> usize {
        self.incoming.capacity() + self.opened.len() + self.outgoing.capacity()
    }

    /// Lets rustls work off what was kept, and `traffic` seal something when that can be done.
    fn catch_up(&mut self, traffic: OnTraffic<'_, S>) -> io::Result<()> {
        let mut came = std::mem::take(&mut self.incoming);
        let mut opened = Vec::new();
        let worked = self.work_off(
            &mut came,
            &mut |piece| opened.extend_from_slice(piece),
            traffic,
        );
        if !opened.is_empty() {
            self.opened = [self.opened.as_ref(), &opened].concat().into();
        }
        match worked? {
            // Nothing was whole yet: it stays where it is.
            0 => self.incoming = came,
            done => self.keep(came.get(done..).unwrap_or_default()),
        }
        Ok(())
    }

    /// Lets rustls work `came` off, and gives what it opens to `opened`; how much of it is done with. What
    /// rustls has to say is in `outgoing` then, also where it fails.
    fn work_off(
        &mut self,
        came: &mut [u8],
        opened: &mut dyn FnMut(&[u8]),
        traffic: OnTraffic<'_, S>,
    ) -> io::Result<usize> {
        let worked = work_off(&mut self.session, came, &mut self.outgoing, opened, traffic);
        let worked = match worked {
            Ok(worked) => worked,
            Err(error) => {
                // rustls counts on bytes that are gone now, and nothing may be believed behind them.
                (self.heard, self.finished) = (Heard::Broken, true);
                return Err(invalid(error));
            }
        };
        if worked.farewell {
            self.heard = Heard::Farewell;
        }
        Ok(worked.done)
    }

    fn keep(&mut self, rest: &[u8]) {
        // Nothing owns nothing: an empty vector has no allocation.
        self.incoming = rest.to_vec();
    }

    /// Reads more of a handshake. False when nothing more comes.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        CAME.with_borrow_mut(|space| {
            let room = INCOMING.saturating_sub(self.incoming.len()).min(RECORD);
            let mut read = ReadBuf::new(space.get_mut(..room).unwrap_or_default());
            if room == 0 {
                return Poll::Ready(Err(too_large()));
            }
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut read))?;
            self.incoming.extend_from_slice(read.filled());
            Poll::Ready(Ok(!read.filled().is_empty()))
        })
    }

    /// One read of the socket: what it brings goes into `buf`, and beyond that is kept.
    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        CAME.with_borrow_mut(|space| {
            let kept = self.incoming.len();
            let end = kept
                .saturating_add(buf.remaining().max(RECORD))
                .min(INCOMING);
            let Some(space) = space.get_mut(..end).filter(|space| space.len() > kept) else {
                return Poll::Ready(Err(too_large()));
            };
            let (before, room) = space.split_at_mut(kept);
            let mut read = ReadBuf::new(room);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut read))?;
            let new = read.filled().len();
            if new == 0 {
                self.heard = Heard::Gone;
                return Poll::Ready(Ok(()));
            }
            before.copy_from_slice(&self.incoming);
            let came = space.get_mut(..kept + new).unwrap_or_default();
            let mut beyond = Vec::new();
            let mut take = |piece: &[u8]| {
                let (now, later) = piece.split_at(piece.len().min(buf.remaining()));
                buf.put_slice(now);
                beyond.extend_from_slice(later);
            };
            let worked = self.work_off(came, &mut take, &mut |_| ());
            // An answer of rustls's own: an alert, or new keys. What the socket does not take now goes with
            // the next write.
            // That it takes nothing at all, the next write finds out.
            let _ = self.poll_outgoing(cx);
            let done = worked?;
            self.keep(came.get(done..).unwrap_or_default());
            self.opened = beyond.into();
            Poll::Ready(Ok(()))
        })
    }

    /// Gives the socket what it has not taken yet.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let taken = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.outgoing))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(taken);
        }
        // Lets go of the allocation behind it.
        self.outgoing = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Seals `piece`, or a farewell where there is none, and gives the socket what it takes of it.
    fn seal(&mut self, cx: &mut Context<'_>, piece: Option<&[u8]>) -> io::Result<()> {
        SEALED.with_borrow_mut(|space| {
            let mut sealed = None;
            self.catch_up(&mut |traffic| {
                sealed = Some(match piece {
                    Some(piece) => traffic.encrypt(piece, space),
                    None => traffic.queue_close_notify(space),
                });
            })?;
            let length = match sealed {
                Some(sealed) => sealed.map_err(io::Error::other)?,
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let sealed = space.get(..length).unwrap_or_default();
            let mut taken = 0;
            // In order: what rustls had to say by itself comes first.
            if self.outgoing.is_empty()
                && let Poll::Ready(count) = Pin::new(&mut self.tcp).poll_write(cx, sealed)
            {
                taken = count?;
            }
            let rest = sealed.get(taken..).unwrap_or_default();
            self.outgoing.extend_from_slice(rest);
            Ok(())
        })
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message of TLS is too large")
}

impl<S: Session + Unpin> AsyncRead for Tls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        while buf.remaining() > 0 && buf.filled().len() == before {
            if !this.opened.is_empty() {
                let count = this.opened.len().min(buf.remaining());
                buf.put_slice(&this.opened.split_to(count));
                if this.opened.is_empty() {
                    // Lets go of the allocation behind it.
                    this.opened = Bytes::new();
                }
                break;
            }
            match this.heard {
                Heard::Open => ready!(this.poll_incoming(cx, buf))?,
                Heard::Farewell => break,
                Heard::Gone => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Heard::Broken => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Session + Unpin> AsyncWrite for Tls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // One piece at a time: a peer that takes nothing makes us keep no more.
        ready!(this.poll_outgoing(cx))?;
        if this.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let piece = buf.get(..PIECE).unwrap_or(buf);
        if !piece.is_empty() {
            this.seal(cx, Some(piece))?;
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A head and its body belong into one record.
        PLAIN.with_borrow_mut(|space| {
            let mut whole = ReadBuf::new(space);
            for buf in bufs {
                let count = buf.len().min(whole.remaining());
                whole.put_slice(buf.get(..count).unwrap_or_default());
            }
            self.poll_write(cx, whole.filled())
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.finished {
            this.finished = true;
            // Where no farewell can be said any more, the end of the connection has to do.
            let _ = this.seal(cx, None);
        }
        ready!(this.poll_outgoing(cx))?;
        match ready!(Pin::new(&mut this.tcp).poll_shutdown(cx)) {
            // It has gone already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            ended => Poll::Ready(ended),
        }
    }
}

#[cfg(test)]
mod tests;
