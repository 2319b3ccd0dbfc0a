//! One connection's frames, watched as they are read, with a timer for what must end soon.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::frames::{Excess, Frames};

/// Watches the frames of one connection.
#[derive(Debug)]
pub struct Watch {
    frames: Frames,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    excess: Option<Excess>,
}

impl Watch {
    /// What has begun must end within `patience`, the preface from now on.
    pub fn new(patience: Duration) -> Self {
        Self {
            frames: Frames::new(Instant::now()),
            patience,
            timer: None,
            excess: None,
        }
    }

    /// What is wrong, and what to say of it.
    pub fn excess(&self) -> Option<(Excess, [u8; 17])> {
        self.excess.map(|excess| (excess, self.frames.farewell()))
    }

    /// Judges what was just read.
    ///
    /// # Errors
    /// When there was too much of something, and ever after.
    pub fn look(&mut self, read: &[u8]) -> io::Result<()> {
        if self.excess.is_none() {
            self.excess = self.frames.feed(read, Instant::now()).err();
        }
        match self.excess {
            Some(excess) => Err(failure(excess)),
            None => Ok(()),
        }
    }

    /// Nothing is there to be read: ready when that has been so for too long.
    pub fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(excess) = self.excess {
            return Poll::Ready(failure(excess));
        }
        let Some(end) = self.frames.deadline(self.patience) else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx).map(|()| {
            self.excess = Some(Excess::Slow);
            failure(Excess::Slow)
        })
    }
}

fn failure(excess: Excess) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, excess.label())
}
