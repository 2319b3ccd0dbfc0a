//! Headscale's devices and users as they were a few seconds ago. Whatever is shown of them comes from
//! here: each question to the API costs Headscale a comparison of passwords, whoever asks and however
//! little is new. What is done to a device asks Headscale afresh, and does not come by here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::api::{Api, ApiError, Node, System, User};
use crate::domain::time::{Clock, Timestamp};

/// How long an answer counts.
const KEPT: Duration = Duration::from_secs(5);
/// How long it counts that there is none, from when that is known: those who waited together hear of it
/// together.
const FAILED: Duration = Duration::from_secs(1);
/// How long either counts of what hardly ever changes.
const KEPT_LONG: Duration = Duration::from_mins(1);

/// A list, as Headscale answered.
type Answer<T> = Result<Arc<Vec<T>>, ApiError>;

/// The lists. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Roster {
    api: Api,
    clock: Arc<dyn Clock>,
    /// Counts what was changed here.
    changes: AtomicU64,
    nodes: Mutex<Option<Kept<Node>>>,
    users: Mutex<Option<Kept<User>>>,
    systems: Mutex<Option<Kept<System>>>,
}

#[derive(Debug)]
struct Kept<T> {
    /// Of an answer, when it was asked for; of none, when that was known.
    since: Timestamp,
    /// How many changes there had been when it was asked for.
    after: u64,
    answer: Answer<T>,
}

impl Roster {
    /// Nothing is known yet.
    pub fn new(api: Api, clock: Arc<dyn Clock>) -> Self {
        Self {
            api,
            clock,
            changes: AtomicU64::new(0),
            nodes: Mutex::new(None),
            users: Mutex::new(None),
            systems: Mutex::new(None),
        }
    }

    /// Every device, as of at most five seconds ago, and never as of before a change of ours. Many who ask
    /// at once make one question.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn nodes(&self) -> Answer<Node> {
        self.look_up(&self.nodes, |kept| self.counts(kept), || self.api.nodes())
            .await
    }

    /// Every user; the same.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn users(&self) -> Answer<User> {
        self.look_up(&self.users, |kept| self.counts(kept), || self.api.users())
            .await
    }

    /// What every device runs, as of at most a minute ago. Changes of ours do not touch it.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn systems(&self) -> Answer<System> {
        let counts = |kept: &Kept<System>| self.is_younger(kept, KEPT_LONG);
        self.look_up(&self.systems, counts, || self.api.systems())
            .await
    }

    /// Something was changed: what is known does not count any more.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    async fn look_up<T, F>(
        &self,
        kept: &Mutex<Option<Kept<T>>>,
        counts: impl Fn(&Kept<T>) -> bool + Send,
        ask: impl Fn() -> F + Send,
    ) -> Answer<T>
    where
        T: Send + Sync,
        F: Future<Output = Result<Vec<T>, ApiError>> + Send,
    {
        let mut kept = kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| counts(kept)) {
            return kept.answer.clone();
        }
        let (asked_at, after) = (self.clock.now(), self.changes.load(Ordering::SeqCst));
        let answer = ask().await.map(Arc::new);
        let since = match &answer {
            Ok(_) => asked_at,
            // It may have taken longer to fail than failures count.
            Err(_) => self.clock.now(),
        };
        *kept = Some(Kept {
            since,
            after,
            answer: answer.clone(),
        });
        answer
    }

    fn counts<T>(&self, kept: &Kept<T>) -> bool {
        let life = if kept.answer.is_ok() { KEPT } else { FAILED };
        self.is_younger(kept, life) && kept.after == self.changes.load(Ordering::SeqCst)
    }

    fn is_younger<T>(&self, kept: &Kept<T>, life: Duration) -> bool {
        let now = self.clock.now();
        // A clock that was set back must not keep it for ever.
        now >= kept.since && now.since(kept.since) < life
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::super::http::FetchError;
    use super::super::key::ApiKey;
    use super::super::probe::Probe;
    use super::*;
    use crate::config::Upstream;

    #[derive(Debug, Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(self.0.load(Ordering::SeqCst))
        }
    }

    /// As the API: it takes its time, and then there is no answer, or an empty one.
    async fn slowly(
        clock: &Hands,
        asked: &AtomicU64,
        seconds: u64,
        works: bool,
    ) -> Result<Vec<Node>, ApiError> {
        asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        clock.0.fetch_add(seconds, Ordering::SeqCst);
        if works {
            Ok(Vec::new())
        } else {
            Err(ApiError::Fetch(FetchError::Timeout))
        }
    }

    #[tokio::test]
    async fn those_who_wait_together_hear_together_that_there_is_no_answer() {
        let clock = Arc::new(Hands::default());
        let nowhere = Upstream {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port: 1,
            ca_path: None,
        };
        let probe = Probe::for_upstream(&nowhere, KEPT, KEPT).unwrap();
        let api = Api::new(probe, ApiKey::new(None));
        let roster = Roster::new(api, Arc::clone(&clock) as Arc<dyn Clock>);
        let asked = AtomicU64::new(0);
        let (hands, count, lists) = (&*clock, &asked, &roster);
        let look = |seconds, works| {
            let counts = |kept: &Kept<Node>| lists.counts(kept);
            let ask = move || slowly(hands, count, seconds, works);
            lists.look_up(&lists.nodes, counts, ask)
        };
        // It takes five seconds to fail, and failures count one.
        let found = tokio::join!(
            look(5, false),
            look(5, false),
            look(5, false),
            look(5, false)
        );
        assert!(found.0.is_err() && found.3.is_err());
        assert_eq!(
            asked.load(Ordering::SeqCst),
            1,
            "one question for all of them"
        );
        clock.0.fetch_add(1, Ordering::SeqCst);
        assert!(look(4, true).await.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 2, "and not for ever");
        // An answer counts from when it was asked for: it says how things were then.
        assert!(look(0, true).await.is_ok());
        clock.0.fetch_add(1, Ordering::SeqCst);
        assert!(look(0, true).await.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
}
