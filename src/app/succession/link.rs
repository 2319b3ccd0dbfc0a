//! What the two processes go on saying to each other, until one of them has ended.
//!
//! Whoever reads never waits for room to write, so the two cannot wait for each other.

use std::io::{self, ErrorKind};
use std::os::unix::net as std_unix;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::wire::{self, Kind};
use crate::session::memory::kin::{Change, Kin, News};
use crate::session::{SessionKey, Sessions};

/// How long the other process may take nothing before it is given up.
const STUCK: Duration = Duration::from_secs(10);

/// One end.
pub struct Link {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    news: mpsc::UnboundedReceiver<News>,
    kin: Kin,
    /// The other one said that a third has taken its place.
    replaced: watch::Sender<bool>,
}

/// What the reader needs.
struct Ear {
    sessions: Arc<Sessions>,
    /// Who waits for the other process to have heard of something, the first first.
    waiting: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    /// One for each thing that the other process is to be told that it was heard.
    owes: mpsc::UnboundedSender<()>,
    replaced: watch::Sender<bool>,
}

/// What the writer needs.
struct Mouth {
    news: mpsc::UnboundedReceiver<News>,
    waits: mpsc::UnboundedSender<oneshot::Sender<()>>,
    owed: mpsc::UnboundedReceiver<()>,
}

impl Link {
    /// Over `socket`.
    pub fn new(socket: std_unix::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(socket)?.into_split();
        let (kin, news) = mpsc::unbounded_channel();
        Ok(Self {
            reader,
            writer,
            news,
            kin,
            replaced: watch::Sender::new(false),
        })
    }

    /// What takes news to the other process.
    pub fn kin(&self) -> Kin {
        self.kin.clone()
    }

    /// Turns true when a third process serves in the place of the other one.
    pub fn replaced(&self) -> watch::Receiver<bool> {
        self.replaced.subscribe()
    }

    /// Says one thing.
    pub async fn say(&mut self, kind: Kind, body: &[u8]) -> io::Result<()> {
        wire::say(&mut self.writer, kind, body).await
    }

    /// The next thing that the other one says.
    pub async fn hear(&mut self) -> io::Result<(Kind, Vec<u8>)> {
        wire::hear(&mut self.reader).await
    }

    /// Waits until the other one says `wanted`, and nothing else.
    pub async fn wait_for(&mut self, wanted: Kind) -> io::Result<()> {
        match self.hear().await? {
            (kind, _) if kind == wanted => Ok(()),
            (kind, _) => Err(unexpected(kind)),
        }
    }

    /// Tells what is to be told by now, to a process that does not serve yet. That one says nothing to it:
    /// it hears of it before it is told to begin. So whoever waits need wait no longer.
    pub async fn tell_news(&mut self) -> io::Result<()> {
        while let Ok(news) = self.news.try_recv() {
            self.tell(news).await?;
        }
        Ok(())
    }

    /// The same, and whatever there is to tell until `done` is ready.
    pub async fn tell_news_until(&mut self, done: impl Future<Output = ()>) -> io::Result<()> {
        tokio::pin!(done);
        loop {
            tokio::select! {
                Some(news) = self.news.recv() => self.tell(news).await?,
                () = &mut done => return Ok(()),
            }
        }
    }

    async fn tell(&mut self, News { change, heard }: News) -> io::Result<()> {
        let (kind, body) = words(change);
        self.say(kind, &body).await?;
        if let Some(heard) = heard {
            // Who gave up waiting does not mind.
            let _ = heard.send(());
        }
        Ok(())
    }

    /// Tells and hears what changes about `sessions`, until the other one is gone.
    pub async fn run(self, sessions: Arc<Sessions>) {
        let (waits, waiting) = mpsc::unbounded_channel();
        let (owes, owed) = mpsc::unbounded_channel();
        let ear = Ear {
            sessions: Arc::clone(&sessions),
            waiting,
            owes,
            replaced: self.replaced,
        };
        let mouth = Mouth {
            news: self.news,
            waits,
            owed,
        };
        let done = tokio::select! {
            done = ear.hear(self.reader) => done,
            done = mouth.tell(self.writer) => done,
        };
        sessions.tell_no_more(&self.kin);
        if let Err(error) = done
            && error.kind() != ErrorKind::UnexpectedEof
        {
            tracing::warn!(%error, "the other process cannot be told of sessions any more");
        }
    }
}

impl Ear {
    async fn hear(mut self, mut reader: OwnedReadHalf) -> io::Result<()> {
        loop {
            match wire::hear(&mut reader).await? {
                (Kind::Heard, _) => {
                    if let Ok(waiting) = self.waiting.try_recv() {
                        let _ = waiting.send(());
                    }
                    continue;
                }
                (Kind::Ended, body) => {
                    take(&self.sessions, Kind::Ended, &body)?;
                    continue;
                }
                (Kind::Replaced, _) => {
                    self.replaced.send_replace(true);
                }
                (kind, body) => take(&self.sessions, kind, &body)?,
            }
            self.owes.send(()).map_err(io::Error::other)?;
        }
    }
}

impl Mouth {
    async fn tell(mut self, mut writer: OwnedWriteHalf) -> io::Result<()> {
        loop {
            let (kind, body) = tokio::select! {
                Some(()) = self.owed.recv() => (Kind::Heard, Vec::new()),
                Some(News { change, heard }) = self.news.recv() => {
                    // Before it is told: the answer may be there at once.
                    if let Some(heard) = heard {
                        self.waits.send(heard).map_err(io::Error::other)?;
                    }
                    words(change)
                }
                else => return Ok(()),
            };
            let said = timeout(STUCK, wire::say(&mut writer, kind, &body)).await;
            said.map_err(|_| io::Error::new(ErrorKind::TimedOut, "it takes nothing"))??;
        }
    }
}

/// Acts on what the other process says of a session.
///
/// # Errors
/// What cannot be read, and what is not of a session.
pub fn take(sessions: &Sessions, kind: Kind, body: &[u8]) -> io::Result<()> {
    match kind {
        Kind::Began => sessions.hear_of_new(body).map(drop),
        Kind::Updated => sessions.hear_of_update(body).map(drop),
        Kind::Ended => {
            sessions.hear_of_end(&name(body)?);
            Ok(())
        }
        kind => return Err(unexpected(kind)),
    }
    .map_err(io::Error::other)
}

/// A change, as it is told.
fn words(change: Change) -> (Kind, Vec<u8>) {
    match change {
        Change::Began(bytes) => (Kind::Began, bytes),
        Change::Updated(bytes) => (Kind::Updated, bytes),
        Change::Ended(key) => (Kind::Ended, key.to_hex().into_bytes()),
        Change::Replaced => (Kind::Replaced, Vec::new()),
    }
}

/// A session's name, as it is told.
fn name(body: &[u8]) -> io::Result<SessionKey> {
    let text = std::str::from_utf8(body).map_err(io::Error::other)?;
    SessionKey::parse(text).map_err(io::Error::other)
}

fn unexpected(kind: Kind) -> io::Error {
    let text = format!("it said {kind:?}, which nobody waited for");
    io::Error::new(ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests;
