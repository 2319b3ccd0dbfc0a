//! Who is to be off-boarded, written down so that it outlives the process: in a file, or where replicas
//! share a store, there. Each change is one step, whoever else makes one at the same time: another replica,
//! or the process that takes over.
//!
//! It holds subjects and times, and no secret. What is in it and how that changes is `domain`'s business
//! ([`Ledger`]). Not here: the file ([`file`]).

mod file;

use std::path::PathBuf;
use std::sync::Arc;

use super::id::hex;
use super::shared::{AgreeError, SharedSessions};
use crate::domain::hash::sha256;
use crate::domain::offboarding::Ledger;

pub use file::FileError;

/// What it is called in a shared store.
const NAME: &str = "off-boarding";

/// Why it was not read, or not written. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The shared store cannot.
    #[error(transparent)]
    Shared(#[from] AgreeError),
    /// It holds something that is not understood.
    #[error("the list of people to off-board in the shared store is of another version")]
    Unreadable,
    /// The process ends.
    #[error("the process ends")]
    Ending,
}

/// The journal of a deployment. A copy is the same one.
#[derive(Clone, Debug)]
pub struct Journal(Place);

#[derive(Clone, Debug)]
enum Place {
    File(Arc<file::Place>),
    Shared(Arc<SharedSessions>),
}

impl Journal {
    /// In a file at `path`, of the deployment that these texts name: that of another one is not touched.
    pub fn in_file(path: PathBuf, deployment: &[&str]) -> Self {
        let name = sha256(format!("{deployment:?}").as_bytes());
        let place = file::Place {
            path,
            deployment: hex(name.get(..8).unwrap_or_default()),
        };
        Self(Place::File(Arc::new(place)))
    }

    /// In the store that replicas share.
    pub const fn shared(sessions: Arc<SharedSessions>) -> Self {
        Self(Place::Shared(sessions))
    }

    /// Whether processes with clocks of their own write into it.
    pub const fn is_shared(&self) -> bool {
        matches!(self.0, Place::Shared(_))
    }

    /// What is written down.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn read(&self) -> Result<Ledger, JournalError> {
        self.change(|ledger| ledger.clone()).await
    }

    /// Whether it can be read, and written as far as that can be told without a change.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn try_out(&self) -> Result<(), JournalError> {
        if let Place::File(place) = &self.0 {
            let place = Arc::clone(place);
            let tried = tokio::task::spawn_blocking(move || place.try_out());
            return Ok(tried.await.map_err(|_| JournalError::Ending)??);
        }
        self.read().await.map(drop)
    }

    /// Changes it in one step, and says what `change` said. That may be called several times, each time
    /// for a newer state; what it is called for last is what is written.
    ///
    /// # Errors
    /// [`JournalError`]: nothing has changed.
    pub async fn change<R: Send + 'static>(
        &self,
        mut change: impl FnMut(&mut Ledger) -> R + Send + 'static,
    ) -> Result<R, JournalError> {
        match &self.0 {
            Place::File(place) => {
                let place = Arc::clone(place);
                let changed = tokio::task::spawn_blocking(move || place.change(change));
                Ok(changed.await.map_err(|_| JournalError::Ending)??)
            }
            Place::Shared(shared) => {
                let mut said = None;
                let mut step = |old: Option<Vec<u8>>| {
                    // Of an earlier try, which came to nothing.
                    said = None;
                    let before = match &old {
                        Some(text) => serde_json::from_slice(text).ok()?,
                        None => Ledger::default(),
                    };
                    let mut ledger = before.clone();
                    said = Some(change(&mut ledger));
                    if ledger == before {
                        return old;
                    }
                    serde_json::to_vec(&ledger).ok()
                };
                shared.rewrite(NAME, &mut step).await?;
                said.ok_or(JournalError::Unreadable)
            }
        }
    }
}

#[cfg(test)]
mod tests;
