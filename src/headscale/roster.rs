//! Headscale's devices and users as they were a few seconds ago. Whatever is shown of them comes from
//! here: each question to the API costs Headscale a comparison of passwords, whoever asks and however
//! little is new. What is done to a device asks Headscale afresh, and does not come by here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::api::{Api, ApiError, Node, User};
use crate::domain::time::{Clock, Timestamp};

/// How long an answer counts.
const KEPT: Duration = Duration::from_secs(5);
/// How long it counts that there is none: those who waited together hear of it together.
const FAILED: Duration = Duration::from_secs(1);

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
}

#[derive(Debug)]
struct Kept<T> {
    asked_at: Timestamp,
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
        }
    }

    /// Every device, as of at most five seconds ago, and never as of before a change of ours. Many who ask
    /// at once make one question.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn nodes(&self) -> Answer<Node> {
        self.look_up(&self.nodes, || self.api.nodes()).await
    }

    /// Every user; the same.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn users(&self) -> Answer<User> {
        self.look_up(&self.users, || self.api.users()).await
    }

    /// Something was changed: what is known does not count any more.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    async fn look_up<T, F>(
        &self,
        kept: &Mutex<Option<Kept<T>>>,
        ask: impl Fn() -> F + Send,
    ) -> Answer<T>
    where
        T: Send + Sync,
        F: Future<Output = Result<Vec<T>, ApiError>> + Send,
    {
        let mut kept = kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| self.counts(kept)) {
            return kept.answer.clone();
        }
        let (asked_at, after) = (self.clock.now(), self.changes.load(Ordering::SeqCst));
        let answer = ask().await.map(Arc::new);
        *kept = Some(Kept {
            asked_at,
            after,
            answer: answer.clone(),
        });
        answer
    }

    fn counts<T>(&self, kept: &Kept<T>) -> bool {
        let now = self.clock.now();
        let life = if kept.answer.is_ok() { KEPT } else { FAILED };
        // A clock that was set back must not keep it for ever.
        let young = now >= kept.asked_at && now.since(kept.asked_at) < life;
        young && kept.after == self.changes.load(Ordering::SeqCst)
    }
}
