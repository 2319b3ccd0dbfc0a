//! What two processes say to each other over a Unix socket while one takes the place of the other: frames of
//! a kind, a length and a body, and in front of them, listeners. Nobody else holds an end of it.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// No session is longer, nor is any list of names of codes.
const LONGEST: u32 = 64 * 1024 * 1024;
/// One byte that a listener goes with.
const BESIDE: u8 = b'+';

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From the new process: everything is there; it could serve.
    Ready,
    /// To it: a session that there is. Not answered: there may be very many.
    Known,
    /// To it: a session has just begun.
    Began,
    /// To it: a session is another than it was.
    Updated,
    /// From either: a session ended.
    Ended,
    /// To it: states of sign-ins that were used.
    States,
    /// To it: logout tokens that were.
    Logouts,
    /// To it: the issuer's codes and access tokens.
    Tickets,
    /// To it: nobody else accepts any more, begin.
    Begin,
    /// From it: it accepts.
    Serving,
    /// From either: another process serves in its place.
    Replaced,
    /// From either: one more beginning, update or replacement is known.
    Heard,
}

impl Kind {
    const ALL: [(Self, u8); 12] = [
        (Self::Ready, b'R'),
        (Self::Known, b'K'),
        (Self::Began, b'S'),
        (Self::Updated, b'U'),
        (Self::Ended, b'E'),
        (Self::States, b's'),
        (Self::Logouts, b'l'),
        (Self::Tickets, b't'),
        (Self::Begin, b'B'),
        (Self::Serving, b'V'),
        (Self::Replaced, b'r'),
        (Self::Heard, b'h'),
    ];

    fn byte(self) -> u8 {
        let found = Self::ALL.iter().find(|(kind, _)| *kind == self);
        found.map_or(0, |(_, byte)| *byte)
    }

    fn of(byte: u8) -> io::Result<Self> {
        let found = Self::ALL.iter().find(|(_, of)| *of == byte);
        let found = found.map(|(kind, _)| *kind);
        found.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it speaks another language"))
    }
}

/// Says one thing.
pub async fn say(to: &mut (impl AsyncWrite + Unpin), kind: Kind, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    to.write_u8(kind.byte()).await?;
    to.write_u32(length).await?;
    to.write_all(body).await?;
    to.flush().await
}

/// The next thing that is said.
pub async fn hear(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(Kind, Vec<u8>)> {
    let kind = Kind::of(from.read_u8().await?)?;
    let length = from.read_u32().await?;
    if length > LONGEST {
        return Err(io::Error::new(ErrorKind::InvalidData, "it says too much"));
    }
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// Hands a descriptor over.
pub fn send_descriptor(socket: impl AsFd, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("a descriptor does not fit"));
    }
    let byte = [BESIDE];
    rustix::net::sendmsg(
        socket,
        &[IoSlice::new(&byte)],
        &mut beside,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// A descriptor that the other side hands over.
pub fn receive_descriptor(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, &mut parts, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = beside.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let descriptor = descriptors.next();
    descriptor.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no descriptor came"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn what_is_said_is_heard_and_what_is_none_of_ours_is_not() {
        let mut said = Vec::new();
        for (kind, _) in Kind::ALL {
            say(&mut said, kind, b"body").await.unwrap();
        }
        let mut rest = said.as_slice();
        for (kind, _) in Kind::ALL {
            assert_eq!(hear(&mut rest).await.unwrap(), (kind, b"body".to_vec()));
        }
        for wrong in [
            &b""[..],
            b"R",
            b"R\0\0\0\x05body",
            b"?\0\0\0\0",
            b"R\xff\xff\xff\xff",
        ] {
            assert!(hear(&mut &*wrong).await.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_listener_that_is_handed_over_is_the_same_listener() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        send_descriptor(&ours, listener.as_fd()).unwrap();
        drop(listener);
        let listener = std::net::TcpListener::from(receive_descriptor(&theirs).unwrap());
        assert_eq!(listener.local_addr().unwrap(), address);
        drop(ours);
        assert!(receive_descriptor(&theirs).is_err());
    }
}
