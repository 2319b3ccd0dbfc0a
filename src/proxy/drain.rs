//! What is still open, so that the process can end when nothing is, and must end at a deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::doorkeeper::{Door, Doorkeeper};
use crate::ops::pulse::Pulse;

/// Tells everybody when to stop, and knows who has not yet.
#[derive(Clone, Debug)]
pub struct Drain {
    leave: Arc<watch::Sender<bool>>,
    stop: Arc<watch::Sender<bool>>,
    cut: Arc<watch::Sender<bool>>,
    cut_tunnels: Arc<watch::Sender<bool>>,
    door: Arc<watch::Sender<Door>>,
    open: Arc<watch::Sender<usize>>,
}

/// Something open; dropping it says that it has ended.
#[derive(Debug)]
pub struct Open(Arc<watch::Sender<usize>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            leave: Arc::new(watch::Sender::new(false)),
            stop: Arc::new(watch::Sender::new(false)),
            cut: Arc::new(watch::Sender::new(false)),
            cut_tunnels: Arc::new(watch::Sender::new(false)),
            door: Arc::new(watch::Sender::new(Door::Open)),
            open: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Drain {
    /// Counts something as open until the guard is dropped.
    pub fn hold(&self) -> Open {
        self.open.send_modify(|open| *open += 1);
        Open(Arc::clone(&self.open))
    }

    /// Turns true when clients had better go elsewhere: what begins is served all the same, and its
    /// connection not kept.
    pub fn leaving(&self) -> watch::Receiver<bool> {
        self.leave.subscribe()
    }

    /// Turns true when nothing new may begin.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// For the loop of a listener.
    pub fn doorkeeper(&self, pulse: &Pulse) -> Doorkeeper {
        Doorkeeper::new(self.door.subscribe(), pulse)
    }

    /// Whom listeners let in.
    pub fn set_door(&self, door: Door) {
        self.door.send_replace(door);
    }

    /// Turns true when whatever is still open must end, tunnels aside.
    pub fn cutting(&self) -> watch::Receiver<bool> {
        self.cut.subscribe()
    }

    /// The same for tunnels.
    pub fn cutting_tunnels(&self) -> watch::Receiver<bool> {
        self.cut_tunnels.subscribe()
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        *self.open.borrow()
    }

    /// Sends clients elsewhere with their next request.
    pub fn leave(&self) {
        self.leave.send_replace(true);
    }

    /// They may stay after all.
    pub fn stay(&self) {
        self.leave.send_replace(false);
    }

    /// Lets nothing new begin.
    pub fn stop(&self) {
        self.leave();
        self.set_door(Door::Closed);
        self.stop.send_replace(true);
    }

    /// Ends whatever is open.
    pub fn cut(&self) {
        self.cut_requests();
        self.cut_tunnels.send_replace(true);
    }

    /// Ends whatever is open and is no tunnel.
    pub fn cut_requests(&self) {
        self.cut.send_replace(true);
    }

    /// Waits until nothing is open, at most `grace`. True when nothing is.
    pub async fn wait(&self, grace: Duration) -> bool {
        let mut open = self.open.subscribe();
        tokio::time::timeout(grace, open.wait_for(|open| *open == 0))
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_once_when_nothing_is_open() {
        let started = tokio::time::Instant::now();
        assert!(Drain::default().wait(Duration::from_secs(10)).await);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_last_or_at_the_deadline() {
        let drain = Drain::default();
        let guard = drain.hold();
        assert!(!drain.wait(Duration::from_secs(10)).await);
        drop(guard);
        assert!(drain.wait(Duration::from_secs(10)).await);
    }
}
