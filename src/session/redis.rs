//! Redis or Valkey as the store that replicas share: one server, a set behind Sentinels, or a cluster.
//!
//! One connection carries the commands of the whole process, a second one the messages. Either is made
//! anew when it broke. Every command has a bound, and while nothing can be reached, commands fail at
//! once instead of waiting one by one. What the server refuses fails alone.

mod connect;
mod messages;
mod operations;
mod scripts;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError};
use tokio::time::{Instant, timeout_at};

pub use self::connect::BuildError;
use self::connect::{Connection, Connector};
use super::sessions::StoreAway;
use crate::config::RedisSettings;
use crate::ops::metrics::{Metrics, StoreOperation};
use crate::ops::trace::{self, Value};

/// After a failure nothing is tried for so long.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two complaints about refused commands.
const COMPLAINTS: Duration = Duration::from_mins(1);

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
    /// When the log was last told of a command that was refused.
    refused_at: Option<Instant>,
    /// What the log last said; nothing yet is `None`.
    told: Option<bool>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

/// Which server answers, with its version, as it says so itself.
///
/// # Errors
/// Why none does, in words; no password is in them.
pub async fn version(settings: &RedisSettings) -> Result<String, String> {
    let connector = Connector::new(settings).map_err(|why| why.to_string())?;
    let asked = async {
        let mut connection = connector.connect(settings.timeout).await?;
        connection.ask(redis::cmd("INFO").arg("server")).await
    };
    let answer = tokio::time::timeout(settings.timeout.saturating_mul(2), asked).await;
    let answer = answer.map_err(|_| "no answer in session.redis.timeout".to_owned())?;
    let answer = answer.map_err(|why| why.to_string())?;
    let text = String::from_owned_redis_value(answer).unwrap_or_default();
    let line = |name: &str| {
        let mut lines = text.lines();
        lines
            .find_map(|line| line.strip_prefix(name))
            .map(str::to_owned)
    };
    let valkey = line("valkey_version:").map(|version| format!("Valkey {version}"));
    let redis = || line("redis_version:").map(|version| format!("Redis {version}"));
    Ok(valkey
        .or_else(redis)
        .unwrap_or_else(|| "a store".to_owned()))
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

    /// Runs a command that does no harm when it is done twice, on a new connection if the one at hand turns
    /// out to be broken.
    async fn run<T: FromRedisValue>(
        &self,
        operation: StoreOperation,
        command: &Cmd,
    ) -> Result<T, StoreAway> {
        self.measured(operation, command, true).await
    }

    /// Runs a command whose second time would have another answer: where the connection breaks, it may have
    /// been done or not.
    async fn run_once<T: FromRedisValue>(
        &self,
        operation: StoreOperation,
        command: &Cmd,
    ) -> Result<T, StoreAway> {
        self.measured(operation, command, false).await
    }

    async fn measured<T: FromRedisValue>(
        &self,
        operation: StoreOperation,
        command: &Cmd,
        again: bool,
    ) -> Result<T, StoreAway> {
        let begun = Instant::now();
        let span = trace::child(|| format!("store {}", operation.label()).into());
        // Of everything together: the connection, the command, and a second attempt.
        let deadline = begun + self.timeout;
        let mut result = self.attempt(command, deadline).await;
        if again && matches!(&result, Err(Failure::Broken)) {
            result = self.attempt(command, deadline).await;
            if matches!(&result, Err(Failure::Broken)) {
                result = Err(self.pause("the connection broke at once".to_owned()));
            }
        }
        self.metrics
            .store_asked(operation, begun.elapsed(), result.is_ok());
        if let Some(span) = span {
            let system = ("db.system.name", Value::Text("redis".into()));
            let what = ("db.operation.name", Value::Text(operation.label().into()));
            span.over(result.is_err(), vec![system, what]);
        }
        let failure = match result {
            Ok(value) => {
                self.tell(true, "");
                return Ok(value);
            }
            Err(failure) => failure,
        };
        match failure {
            Failure::Away(why) => self.tell(false, &why),
            Failure::Refused(why) => self.tell_refused(&why),
            Failure::Broken | Failure::Paused => {}
        }
        Err(StoreAway)
    }

    async fn attempt<T: FromRedisValue>(
        &self,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let (number, mut connection) = self.connection(deadline).await?;
        let error = match timeout_at(deadline, connection.ask(command)).await {
            Ok(Ok(value)) => {
                return T::from_owned_redis_value(value).map_err(|_| {
                    Failure::Refused("an answer of another kind than expected".to_owned())
                });
            }
            Ok(Err(error)) => error,
            Err(_) => {
                self.drop_connection(number);
                return Err(self.pause("no answer in time".to_owned()));
            }
        };
        match error.code() {
            // Another server may be the primary by now: to be looked for.
            Some("READONLY" | "MASTERDOWN" | "LOADING" | "CLUSTERDOWN") => {
                self.drop_connection(number);
                Err(Failure::Away(error.to_string()))
            }
            // The server's word about this command; the connection is fine.
            Some(_) => Err(Failure::Refused(error.to_string())),
            None => {
                self.drop_connection(number);
                // It was broken before the command, mostly: the server was restarted.
                let broken = error.is_connection_dropped() || error.is_io_error();
                if broken && !error.is_timeout() {
                    Err(Failure::Broken)
                } else {
                    Err(self.failed(&error))
                }
            }
        }
    }

    /// The connection at hand, or a new one.
    async fn connection(&self, deadline: Instant) -> Result<(u64, Connection), Failure> {
        if let Some(found) = self.at_hand()? {
            return Ok(found);
        }
        let Ok(_turn) = timeout_at(deadline, self.connecting.lock()).await else {
            return Err(Failure::Away("no connection in time".to_owned()));
        };
        if let Some(found) = self.at_hand()? {
            return Ok(found);
        }
        match timeout_at(deadline, self.connector.connect(self.timeout)).await {
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

    /// The messages' connection was made anew: the one for commands broke with it, as a rule.
    fn reached_anew(&self) {
        let mut state = self.state();
        state.connection = None;
        // The way is open: commands need not wait out their pause.
        state.failed_at = None;
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

    /// Says, now and then, that the server refuses what it is asked: it is full, or read-only, or this user
    /// may not.
    fn tell_refused(&self, why: &str) {
        let mut state = self.state();
        let lately = |at: Instant| at.elapsed() < COMPLAINTS;
        if !state.refused_at.is_some_and(lately) {
            state.refused_at = Some(Instant::now());
            tracing::warn!(why, "the session store refuses a command");
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
    /// The server refused this command; others may go through.
    Refused(String),
    /// Something failed a moment ago, and nothing was tried.
    Paused,
    /// For the log.
    Away(String),
}

#[cfg(test)]
mod tests;
