//! What several replicas share: a store of small values with an end, and a channel to all of them.
//!
//! Every operation is about one key, so that a cluster, which keeps keys on different machines, can do
//! it. What stands in the store is sealed and its names are hashed ([`names`]); what it means is
//! said by [`sessions`].
//! Not here: how the store is reached ([`super::redis`]).

mod front;
#[cfg(test)]
mod in_process;
mod link;
mod message;
mod names;
mod over;
mod sessions;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::sessions::StoreAway;

pub use sessions::{AgreeError, Held, MOST_LOGGED, SharedSessions, SharedSettings};

/// Under which circumstances a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// There is nothing under this key, not even what [`SharedStore::bury`] left.
    Absent,
    /// There is a value.
    Present,
}

/// A store that replicas share. A buried key counts as empty for everything but [`When::Absent`].
#[async_trait]
pub trait SharedStore: Send + Sync + fmt::Debug {
    /// The value under `key`.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway>;

    /// Writes `value`, gone after `life`; false when `when` forbade it.
    async fn set(
        &self,
        key: &str,
        value: &[u8],
        life: Duration,
        when: When,
    ) -> Result<bool, StoreAway>;

    /// Writes `new` in place of `old` (`None`: of nothing); false when something else is there.
    async fn swap(
        &self,
        key: &str,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
    ) -> Result<bool, StoreAway>;

    /// Overwrites the first bytes of a value and lets it live for `life` from now; false when there is
    /// none.
    async fn stamp(&self, key: &str, head: &[u8], life: Duration) -> Result<bool, StoreAway>;

    /// Takes the value out: of any number of callers one gets it.
    async fn take(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway>;

    /// Takes the value out, and keeps the key from being written for `life`.
    async fn bury(&self, key: &str, life: Duration) -> Result<Option<Vec<u8>>, StoreAway>;

    /// Removes `key` if `value` is what it holds.
    async fn remove_if(&self, key: &str, value: &[u8]) -> Result<bool, StoreAway>;

    /// Adds `member` to a list that is ordered by `score`, drops everything with a score below
    /// `oldest`, and says how many are left. The list is gone `life` after the last addition.
    async fn file(
        &self,
        list: &str,
        member: &[u8],
        (score, oldest): (u64, u64),
        life: Duration,
    ) -> Result<u64, StoreAway>;

    /// At most `count` members of a list with their scores, the lowest first, from the one numbered
    /// `from`.
    async fn filed(
        &self,
        list: &str,
        from: u64,
        count: u64,
    ) -> Result<Vec<(Vec<u8>, u64)>, StoreAway>;

    /// Removes members from a list.
    async fn unfile(&self, list: &str, members: &[Vec<u8>]) -> Result<(), StoreAway>;

    /// Adds `entry` to a log that keeps the `most` newest, and is gone `life` after the last addition.
    async fn append(
        &self,
        log: &str,
        entry: &[u8],
        most: u64,
        life: Duration,
    ) -> Result<(), StoreAway>;

    /// How many entries were ever added to a log: where whoever reads it later begins.
    async fn position(&self, log: &str) -> Result<u64, StoreAway>;

    /// What was added to a log since, the oldest first.
    async fn since(&self, log: &str, position: u64) -> Result<Vec<Vec<u8>>, StoreAway>;

    /// Sends `message` to every subscriber that is connected; no more is promised.
    async fn publish(&self, message: &[u8]) -> Result<(), StoreAway>;

    /// Messages from now on.
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreAway>;
}

/// Messages that arrive.
#[async_trait]
pub trait Subscription: Send {
    /// The next message; `None` when messages may have been missed: the connection is gone, or
    /// nobody is sure of it.
    async fn next(&mut self) -> Option<Vec<u8>>;
}

#[cfg(test)]
mod tests;
