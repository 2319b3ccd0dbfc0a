//! Redis or Valkey as the store that replicas share: one server, a set behind Sentinels, or a cluster.
//!
//! One connection carries the commands of the whole process, a second one the messages. Either is made
//! anew when it broke. Every command has a bound, and while nothing can be reached, commands fail at
//! once instead of waiting one by one.

mod connect;
mod messages;
mod scripts;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue, RedisError, cmd};

pub use self::connect::BuildError;
use self::connect::{Connection, Connector};
use self::messages::Messages;
use super::memory::StoreAway;
use super::shared::{SharedStore, Subscription, When};
use crate::config::RedisSettings;
use crate::ops::metrics::{Metrics, StoreOperation};

/// After a failure nothing is tried for so long.
const PAUSE: Duration = Duration::from_millis(250);

/// The store in Redis.
pub struct Redis {
    connector: Connector,
    channel: String,
    timeout: Duration,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Whoever holds it makes the connection; the others wait for theirs.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    connection: Option<(u64, Connection)>,
    made: u64,
    failed_at: Option<Instant>,
    /// What the log last said; nothing yet is `None`.
    told: Option<bool>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// A store that connects when it is first asked.
    ///
    /// # Errors
    /// [`BuildError`] when the settings cannot be used: the certificates cannot be read.
    pub fn new(settings: &RedisSettings, metrics: Arc<Metrics>) -> Result<Self, BuildError> {
        Ok(Self {
            connector: Connector::new(settings)?,
            channel: format!("{}:messages", settings.prefix),
            timeout: settings.timeout,
            metrics,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    /// Runs a command, on a new connection if the one at hand turns out to be broken.
    async fn run<T: FromRedisValue>(
        &self,
        operation: StoreOperation,
        command: &Cmd,
    ) -> Result<T, StoreAway> {
        let begun = Instant::now();
        let mut result = self.attempt(command).await;
        if matches!(&result, Err(Failure::Broken)) {
            result = self.attempt(command).await;
        }
        self.metrics
            .store_asked(operation, begun.elapsed(), result.is_ok());
        match result {
            Ok(value) => {
                self.tell(true, "");
                Ok(value)
            }
            Err(failure) => {
                if let Failure::Away(why) = failure {
                    self.tell(false, &why);
                }
                Err(StoreAway)
            }
        }
    }

    async fn attempt<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let (number, mut connection) = self.connection().await?;
        let answer = tokio::time::timeout(self.timeout, connection.ask(command)).await;
        let error = match answer {
            Ok(Ok(value)) => {
                return T::from_redis_value(value).map_err(|_| {
                    Failure::Away("an answer of another kind than expected".to_owned())
                });
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        self.drop_connection(number);
        match error {
            // It was broken before the command, mostly: the server was restarted.
            Some(error) if error.is_connection_dropped() || error.is_io_error() => {
                Err(Failure::Broken)
            }
            Some(error) => Err(self.failed(&error)),
            None => Err(self.pause("no answer in time".to_owned())),
        }
    }

    /// The connection at hand, or a new one.
    async fn connection(&self) -> Result<(u64, Connection), Failure> {
        if let Some(found) = self.at_hand()? {
            return Ok(found);
        }
        let _turn = self.connecting.lock().await;
        if let Some(found) = self.at_hand()? {
            return Ok(found);
        }
        let made = tokio::time::timeout(self.timeout, self.connector.connect(self.timeout)).await;
        match made {
            Ok(Ok(connection)) => {
                let mut state = self.state();
                state.made += 1;
                state.failed_at = None;
                let made = (state.made, connection);
                state.connection = Some(made.clone());
                Ok(made)
            }
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.pause("no connection in time".to_owned())),
        }
    }

    fn at_hand(&self) -> Result<Option<(u64, Connection)>, Failure> {
        let state = self.state();
        if state.failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(Failure::Paused);
        }
        Ok(state.connection.clone())
    }

    fn drop_connection(&self, number: u64) {
        let mut state = self.state();
        if state
            .connection
            .as_ref()
            .is_some_and(|(at, _)| *at == number)
        {
            state.connection = None;
        }
    }

    fn failed(&self, error: &RedisError) -> Failure {
        self.pause(error.to_string())
    }

    fn pause(&self, why: String) -> Failure {
        self.state().failed_at = Some(Instant::now());
        Failure::Away(why)
    }

    /// Says once that the store went away, and once that it came back.
    fn tell(&self, answers: bool, why: &str) {
        let before = self.state().told.replace(answers);
        if before == Some(answers) {
            return;
        }
        self.metrics.store_up(answers);
        match (before, answers) {
            (_, false) => tracing::warn!(
                why,
                "the session store does not answer: sessions known here go on for a while, nobody \
                 can sign in"
            ),
            (Some(false), true) => tracing::info!("the session store answers again"),
            (_, true) => tracing::info!("the session store answers"),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a command was not answered.
enum Failure {
    /// The connection was gone.
    Broken,
    /// Something failed a moment ago, and nothing was tried.
    Paused,
    /// For the log.
    Away(String),
}

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
                self.run(StoreOperation::Write, &command).await?
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
        self.run(StoreOperation::Write, &command).await
    }

    async fn stamp(&self, key: &str, head: &[u8], life: Duration) -> Result<bool, StoreAway> {
        let command = scripts::call(scripts::STAMP, key, |script| {
            script.arg(head).arg(millis(life));
        });
        self.run(StoreOperation::Write, &command).await
    }

    async fn take(&self, key: &str) -> Result<Option<Vec<u8>>, StoreAway> {
        let value: Option<Vec<u8>> = self
            .run(StoreOperation::Write, cmd("GETDEL").arg(key))
            .await?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    async fn bury(&self, key: &str, life: Duration) -> Result<Option<Vec<u8>>, StoreAway> {
        let command = scripts::call(scripts::BURY, key, |script| {
            script.arg(millis(life));
        });
        let value: Option<Vec<u8>> = self.run(StoreOperation::Write, &command).await?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    async fn remove_if(&self, key: &str, value: &[u8]) -> Result<bool, StoreAway> {
        let command = scripts::call(scripts::REMOVE_IF, key, |script| {
            script.arg(value);
        });
        self.run(StoreOperation::Write, &command).await
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

    async fn filed(&self, list: &str, from: u64, count: u64) -> Result<Vec<Vec<u8>>, StoreAway> {
        let last = from.saturating_add(count).saturating_sub(1);
        let mut command = cmd("ZRANGE");
        command.arg(list).arg(from).arg(last);
        self.run(StoreOperation::Index, &command).await
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
        let _done: bool = self.run(StoreOperation::Index, &command).await?;
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
                // The way is open: commands need not wait out their pause.
                self.state().failed_at = None;
                Ok(Box::new(messages))
            }
            Err(why) => {
                self.tell(false, &why);
                Err(StoreAway)
            }
        }
    }
}
