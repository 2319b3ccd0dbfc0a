//! Who is let in at a listener: whoever comes, nobody for a moment, or nobody any more. While nobody is let
//! in, connections wait in the kernel's queue; what becomes of the queue is decided by whoever holds the
//! listener too.

use std::future::Future;

use tokio::sync::watch;

use crate::ops::pulse::{Beat, Pulse};

/// What a listener's loop is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Take what comes.
    Open,
    /// Take nothing: another process may be about to.
    Held,
    /// Let go of the listener.
    Closed,
}

/// At one listener.
#[derive(Debug)]
pub struct Doorkeeper {
    door: watch::Receiver<Door>,
    beat: Beat,
}

impl Doorkeeper {
    /// Heeds `door`, and answers `pulse`.
    pub fn new(door: watch::Receiver<Door>, pulse: &Pulse) -> Self {
        Self {
            door,
            beat: pulse.join(),
        }
    }

    /// What `accept` brings next; `None` when nobody is let in any more. Whatever `accept` was doing is
    /// dropped and begun again at every change.
    pub async fn next<T, F>(&mut self, accept: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = T>,
    {
        loop {
            let door = *self.door.borrow_and_update();
            let come = async {
                match door {
                    Door::Open => accept().await,
                    Door::Held | Door::Closed => std::future::pending().await,
                }
            };
            if door == Door::Closed {
                return None;
            }
            tokio::select! {
                come = come => return Some(come),
                changed = self.door.changed() => changed.ok()?,
                () = self.beat.heard() => self.beat.answer(),
            }
        }
    }

    /// The loop ends as it should.
    pub fn leave(self) {
        self.beat.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_let_in_while_the_door_is_held_and_whoever_waited_is_when_it_opens() {
        let (door, pulse) = (watch::Sender::new(Door::Open), Pulse::default());
        let mut keeper = Doorkeeper::new(door.subscribe(), &pulse);
        assert_eq!(keeper.next(async || 1).await, Some(1));
        door.send_replace(Door::Held);
        let waiting = tokio::spawn(async move {
            let come = keeper.next(async || 2).await;
            (come, keeper)
        });
        // It answers all the same: a beat that it has answered is followed by another.
        for _ in 0..3 {
            while !pulse.beat() {
                tokio::task::yield_now().await;
            }
        }
        assert!(!waiting.is_finished());
        door.send_replace(Door::Open);
        let (come, mut keeper) = waiting.await.unwrap();
        assert_eq!(come, Some(2));
        door.send_replace(Door::Closed);
        assert_eq!(keeper.next(async || 3).await, None);
        keeper.leave();
    }
}
