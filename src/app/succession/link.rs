//! What the two processes go on saying to each other, until one of them has ended.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net as std_unix;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::wire::{self, Kind};
use crate::session::memory::kin::{Change, Kin, News};
use crate::session::{SessionKey, Sessions};

/// One end.
pub struct Link {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    news: mpsc::UnboundedReceiver<News>,
    kin: Kin,
    /// Who waits for the other process to have heard of something, the first first.
    waiting: VecDeque<oneshot::Sender<()>>,
    /// The other process is of another deployment.
    strangers: bool,
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
            waiting: VecDeque::new(),
            strangers: false,
        })
    }

    /// The same to a process whose sessions mean nothing here: none is taken from it.
    pub fn with_strangers(self) -> Self {
        Self {
            strangers: true,
            ..self
        }
    }

    /// Whether it is that.
    pub const fn is_with_strangers(&self) -> bool {
        self.strangers
    }

    /// What takes news to the other process.
    pub fn kin(&self) -> Kin {
        self.kin.clone()
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

    /// The same, with whatever is said beside; `ended` hears of ends.
    pub async fn wait_hearing(
        &mut self,
        wanted: Kind,
        ended: impl Fn(&SessionKey),
    ) -> io::Result<()> {
        loop {
            match self.hear().await? {
                (kind, _) if kind == wanted => return Ok(()),
                (Kind::Heard, _) => self.was_heard(),
                (Kind::Ended, body) => ended(&name(&body)?),
                (kind, _) => return Err(unexpected(kind)),
            }
        }
    }

    /// Tells what is to be told by now.
    pub async fn tell_news(&mut self) -> io::Result<()> {
        while let Ok(news) = self.news.try_recv() {
            tell(&mut self.writer, &mut self.waiting, news).await?;
        }
        Ok(())
    }

    /// Acts on what the other one says of a session.
    pub async fn take(&mut self, sessions: &Sessions, kind: Kind, body: &[u8]) -> io::Result<()> {
        let sessions = (!self.strangers).then_some(sessions);
        take(sessions, &mut self.writer, kind, body).await
    }

    fn was_heard(&mut self) {
        if let Some(waiting) = self.waiting.pop_front() {
            // Who gave up waiting does not mind.
            let _ = waiting.send(());
        }
    }

    /// Tells and hears what changes about `sessions`, until the other one is gone.
    pub async fn run(self, sessions: Arc<Sessions>) {
        let Self {
            mut reader,
            mut writer,
            mut news,
            kin,
            mut waiting,
            strangers,
        } = self;
        let known = (!strangers).then(|| sessions.as_ref());
        // What is heard is passed on whole: reading is never given up in the middle.
        let (heard, mut hearing) = mpsc::channel(16);
        let reading = tokio::spawn(async move {
            while let Ok(frame) = wire::hear(&mut reader).await {
                if heard.send(frame).await.is_err() {
                    return;
                }
            }
        });
        loop {
            let done = tokio::select! {
                Some(news) = news.recv() => tell(&mut writer, &mut waiting, news).await,
                frame = hearing.recv() => match frame {
                    Some((Kind::Heard, _)) => {
                        if let Some(waiting) = waiting.pop_front() {
                            let _ = waiting.send(());
                        }
                        Ok(())
                    }
                    Some((kind, body)) => take(known, &mut writer, kind, &body).await,
                    None => break,
                },
            };
            if let Err(error) = done {
                tracing::warn!(%error, "the other process cannot be told of sessions any more");
                break;
            }
        }
        sessions.tell_nobody();
        drop(kin);
        reading.abort();
    }
}

/// What the other process says of sessions; without any here, it is heard and no more.
async fn take(
    sessions: Option<&Sessions>,
    writer: &mut OwnedWriteHalf,
    kind: Kind,
    body: &[u8],
) -> io::Result<()> {
    match kind {
        Kind::Began => {
            if let Some(sessions) = sessions {
                sessions.hear_of_new(body);
            }
        }
        Kind::Updated => {
            if let Some(sessions) = sessions {
                sessions.hear_of_update(body);
            }
        }
        Kind::Ended => {
            let ended = name(body)?;
            if let Some(sessions) = sessions {
                sessions.hear_of_end(&ended);
            }
            return Ok(());
        }
        kind => return Err(unexpected(kind)),
    }
    wire::say(writer, Kind::Heard, &[]).await
}

async fn tell(
    writer: &mut OwnedWriteHalf,
    waiting: &mut VecDeque<oneshot::Sender<()>>,
    news: News,
) -> io::Result<()> {
    let (kind, body) = match news.change {
        Change::Began(bytes) => (Kind::Began, bytes),
        Change::Updated(bytes) => (Kind::Updated, bytes),
        Change::Ended(key) => (Kind::Ended, key.to_hex().into_bytes()),
    };
    wire::say(writer, kind, &body).await?;
    waiting.extend(news.heard);
    Ok(())
}

/// A session's name, as it is told.
fn name(body: &[u8]) -> io::Result<SessionKey> {
    let text = std::str::from_utf8(body).map_err(io::Error::other)?;
    SessionKey::parse(text).map_err(io::Error::other)
}

fn unexpected(kind: Kind) -> io::Error {
    let text = format!("it said {kind:?}, which nobody waited for");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
