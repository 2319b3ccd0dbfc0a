//! The operations of a shared store, as commands.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::cmd;

use super::super::sessions::StoreAway;
use super::super::shared::{SharedStore, Subscription, When};
use super::messages::Messages;
use super::{Redis, scripts};
use crate::ops::metrics::StoreOperation;

fn millis(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl SharedStore for Redis {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        let value: Option<Vec<u8>> = self.run(StoreOperation::Read, cmd("GET").arg(key)).await?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    async fn set(
        &self,
        key: &str,
        value: &[u8],
        life: Duration,
        when: When,
    ) -> Result<bool, StoreAway> {
        let written: Option<()> = match when {
            When::Absent => {
                let mut command = cmd("SET");
                command
                    .arg(key)
                    .arg(value)
                    .arg("NX")
                    .arg("PX")
                    .arg(millis(life));
                self.run_once(StoreOperation::Write, &command).await?
            }
            When::Present => {
                let command = scripts::call(scripts::SET_PRESENT, key, |script| {
                    script.arg(value).arg(millis(life));
                });
                let done: bool = self.run(StoreOperation::Write, &command).await?;
                done.then_some(())
            }
        };
        Ok(written.is_some())
    }

    async fn swap(
        &self,
        key: &str,
        old: Option<&[u8]>,
        new: &[u8],
        life: Duration,
    ) -> Result<bool, StoreAway> {
        let command = scripts::call(scripts::SWAP, key, |script| {
            script
                .arg(old.unwrap_or_default())
                .arg(new)
                .arg(millis(life));
        });
        self.run_once(StoreOperation::Write, &command).await
    }

    async fn stamp(&self, key: &str, head: &[u8], life: Duration) -> Result<bool, StoreAway> {
        let command = scripts::call(scripts::STAMP, key, |script| {
            script.arg(head).arg(millis(life));
        });
        self.run(StoreOperation::Write, &command).await
    }

    async fn take(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        let value: Option<Vec<u8>> = self
            .run_once(StoreOperation::Write, cmd("GETDEL").arg(key))
            .await?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    async fn bury(&self, key: &str, life: Duration) -> Result<Option<Vec<u8>>, StoreAway> {
        let command = scripts::call(scripts::BURY, key, |script| {
            script.arg(millis(life));
        });
        let value: Option<Vec<u8>> = self.run_once(StoreOperation::Write, &command).await?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    async fn remove_if(&self, key: &str, value: &[u8]) -> Result<bool, StoreAway> {
        let command = scripts::call(scripts::REMOVE_IF, key, |script| {
            script.arg(value);
        });
        self.run_once(StoreOperation::Write, &command).await
    }

    async fn file(
        &self,
        list: &str,
        member: &[u8],
        (score, oldest): (u64, u64),
        life: Duration,
    ) -> Result<u64, StoreAway> {
        let command = scripts::call(scripts::FILE, list, |script| {
            script.arg(member).arg(score).arg(oldest).arg(millis(life));
        });
        self.run(StoreOperation::Index, &command).await
    }

    async fn filed(
        &self,
        list: &str,
        from: u64,
        count: u64,
    ) -> Result<Vec<(Vec<u8>, u64)>, StoreAway> {
        let last = from.saturating_add(count).saturating_sub(1);
        let mut command = cmd("ZRANGE");
        command.arg(list).arg(from).arg(last).arg("WITHSCORES");
        let members: Vec<(Vec<u8>, f64)> = self.run(StoreOperation::Index, &command).await?;
        // A score is a number of seconds; what is none, nobody of us wrote.
        let members = members.into_iter().filter_map(|(member, score)| {
            let score = format!("{score:.0}").parse().ok()?;
            Some((member, score))
        });
        Ok(members.collect())
    }

    async fn unfile(&self, list: &str, members: &[Vec<u8>]) -> Result<(), StoreAway> {
        if members.is_empty() {
            return Ok(());
        }
        let mut command = cmd("ZREM");
        command.arg(list).arg(members);
        let _gone: u64 = self.run(StoreOperation::Index, &command).await?;
        Ok(())
    }

    async fn append(
        &self,
        log: &str,
        entry: &[u8],
        most: u64,
        life: Duration,
    ) -> Result<(), StoreAway> {
        let command = scripts::call(scripts::APPEND, log, |script| {
            script.arg(entry).arg(most).arg(millis(life));
        });
        let _done: bool = self.run_once(StoreOperation::Index, &command).await?;
        Ok(())
    }

    async fn position(&self, log: &str) -> Result<u64, StoreAway> {
        let command = scripts::call(scripts::POSITION, log, |_| ());
        self.run(StoreOperation::Index, &command).await
    }

    async fn since(&self, log: &str, position: u64) -> Result<Vec<Vec<u8>>, StoreAway> {
        let mut command = cmd("ZRANGE");
        let from = format!("({position}");
        command.arg(log).arg(from).arg("+inf").arg("BYSCORE");
        let numbered: Vec<Vec<u8>> = self.run(StoreOperation::Index, &command).await?;
        let entries = numbered.into_iter().map(|mut entry| {
            let number = scripts::NUMBER.min(entry.len());
            entry.split_off(number)
        });
        Ok(entries.collect())
    }

    async fn publish(&self, message: &[u8]) -> Result<(), StoreAway> {
        let mut command = cmd("PUBLISH");
        command.arg(&self.channel).arg(message);
        let _heard: u64 = self.run(StoreOperation::Publish, &command).await?;
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreAway> {
        let begun = Instant::now();
        let messages = Messages::open(&self.connector, &self.channel, self.timeout).await;
        self.metrics
            .store_asked(StoreOperation::Subscribe, begun.elapsed(), messages.is_ok());
        match messages {
            Ok(messages) => {
                self.reached_anew();
                Ok(Box::new(messages))
            }
            Err(why) => {
                self.tell(false, &why);
                Err(StoreAway)
            }
        }
    }
}
