//! The connection to the other replicas: hearing what they do, and finding out what was missed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::super::StoreAway;
use super::message::Message;
use super::sessions::SharedSessions;

/// Between two attempts to be connected.
const PAUSE: Duration = Duration::from_millis(300);
/// How often sessions that something open hangs on are looked up.
const ROUND: Duration = Duration::from_secs(2);
/// How often the memory in front is tidied.
const SWEEP: Duration = Duration::from_mins(1);

impl SharedSessions {
    /// Hears the other replicas for as long as it is polled. `connected` counts how often the store was
    /// reached anew.
    pub async fn keep_up(self: Arc<Self>, connected: watch::Sender<u64>) {
        let (listening, rounds) = (Arc::clone(&self), self);
        tokio::join!(
            async move { listening.listen(connected).await },
            async move { rounds.go_round().await },
        );
    }

    async fn listen(self: Arc<Self>, connected: watch::Sender<u64>) {
        loop {
            if let Ok(mut messages) = self.store().subscribe().await {
                self.front().listen(true);
                let paying = Arc::clone(&self);
                let debts = tokio::spawn(async move { paying.pay_and_remind().await });
                connected.send_modify(|times| *times += 1);
                while let Some(message) = messages.next().await {
                    // What asks the store must not keep the next end waiting.
                    let hearing = Arc::clone(&self);
                    if Message::asks(&message) {
                        tokio::spawn(async move { hearing.heard(&message).await });
                    } else {
                        hearing.heard(&message).await;
                    }
                }
                self.front().listen(false);
                debts.abort();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn go_round(&self) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut until_swept = SWEEP;
        loop {
            rounds.tick().await;
            self.pay_in_between().await;
            self.check_followed().await;
            until_swept = until_swept.saturating_sub(ROUND);
            if until_swept.is_zero() {
                until_swept = SWEEP;
                self.sweep();
            }
        }
    }

    /// Commands may fail while messages arrive: what is owed is not left until the next connection.
    pub(super) async fn pay_in_between(&self) {
        if self.front().is_listening() && self.front().owes() {
            // What fails is tried in the next round.
            let _ = self.pay().await;
        }
    }

    /// What another replica (or this one) said.
    pub(super) async fn heard(&self, message: &[u8]) {
        match Message::parse(message) {
            Some(Message::Ended(key)) => self.front().end(&key, self.ticks()),
            Some(Message::Changed(key)) => self.front().doubt(&key),
            Some(Message::Renewed(old, new)) => self.renewed(&old, &new).await,
            None => tracing::debug!("another replica says what this version does not know"),
        }
    }

    /// Ends what is followed here and over elsewhere. What is in doubt for longer than the grace is over
    /// for those who follow it.
    pub(super) async fn check_followed(&self) {
        for live in self.front().followed() {
            match self.find_by_key(&live.key).await {
                Ok(_) => {}
                Err(StoreAway) => self.front().forget(&live.key),
            }
        }
    }
}
