//! Who is in which group, as far as somebody asked to have it kept: told at every sign-in and re-check, and
//! asked when the policy of the tailnet is written.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::Current;
use crate::domain::identity::{Identity, Subject};
use crate::domain::offboarding::{Refusals, weigh_refusal};
use crate::domain::session::Session;
use crate::domain::time::{Clock, Timestamp};
use crate::session::{Known, People, StateError};

/// What is told of people, and what was.
#[derive(Debug)]
pub struct Roll {
    people: Arc<People>,
    settings: Current,
    clock: Arc<dyn Clock>,
    changed: Notify,
}

impl Roll {
    /// Keeps in `people` what the present settings ask for.
    pub fn new(people: People, settings: Current, clock: Arc<dyn Clock>) -> Self {
        Self {
            people: Arc::new(people),
            settings,
            clock,
            changed: Notify::new(),
        }
    }

    /// The provider vouched for somebody `at` that time, and the rules let them pass. Of a session this is when
    /// it was checked, so that its own end does not come before it.
    pub async fn vouched(&self, identity: &Identity, at: Timestamp) {
        let settings = self.settings.now();
        let sync = &settings.policy_sync;
        if !sync.is_on() {
            return;
        }
        let groups = identity.groups.iter();
        let known = Known {
            subject: identity.subject.clone(),
            groups: groups
                .filter(|group| sync.sources.wants(group))
                .map(|group| group.as_ref().to_owned())
                .collect(),
            seen: at,
        };
        match self.people.note(known, sync.forget_after).await {
            Ok(true) => self.changed.notify_one(),
            Ok(false) => {}
            Err(away) => tracing::warn!(
                subject = %identity.subject, reason = %away,
                "the groups of somebody were not noted for the policy: they will be at the next re-check"
            ),
        }
    }

    /// The provider does not vouch for somebody any more, unless it did after `since`; or a rule refused
    /// them, whatever was before.
    pub async fn gone(&self, subject: &Subject, since: Option<Timestamp>) {
        // Also while nothing is kept: another replica may, or this one again.
        if self.people.forget(subject, since).await {
            self.changed.notify_one();
        }
    }

    /// Whether anybody is to be known.
    pub(super) fn is_on(&self) -> bool {
        self.settings.now().policy_sync.is_on()
    }

    /// The provider refused the refresh token of `session`, which it had ended itself. Without
    /// an offline token an ordinary sign-out does the same, which takes nobody's rights away.
    pub(super) async fn refused_after_logout(
        &self,
        session: &Session,
        (error, description): (&str, &str),
    ) {
        let refusals = Refusals {
            count: true,
            footing: session.footing,
        };
        if weigh_refusal(error, description, refusals).is_ok() {
            let subject = &session.identity.subject;
            self.gone(subject, Some(session.checked_at)).await;
        }
    }

    /// There may be something to write.
    pub fn nudge(&self) {
        self.changed.notify_one();
    }

    /// Ready when there may be.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Everybody who was seen within `forget_after`.
    pub(super) async fn all(&self, forget_after: Duration) -> Result<Vec<Known>, StateError> {
        let people = Arc::clone(&self.people);
        let loaded = tokio::task::spawn_blocking(move || people.load()).await;
        loaded.unwrap_or(Ok(()))?;
        let now = self.clock.now().unix();
        let oldest = Timestamp::from_unix(now.saturating_sub(forget_after.as_secs()));
        self.people.all(oldest).await
    }

    /// Nothing is to be known: what changes from now on would not be heard, and must not be there again when
    /// something is.
    pub(super) async fn off(&self) {
        let people = Arc::clone(&self.people);
        let cleared = tokio::task::spawn_blocking(move || people.clear()).await;
        if let Ok(Err(why)) = cleared {
            tracing::debug!(%why, "nobody was forgotten, since nobody can be read");
        }
    }

    /// Writes down who is known, where that is needed.
    pub async fn keep(&self) -> Result<(), StateError> {
        let people = Arc::clone(&self.people);
        let kept = tokio::task::spawn_blocking(move || people.keep()).await;
        kept.unwrap_or(Ok(()))
    }

    /// The same for the last time: another process goes on with it.
    pub async fn retire(&self) {
        let people = Arc::clone(&self.people);
        let kept = tokio::task::spawn_blocking(move || people.retire()).await;
        if let Ok(Err(why)) = kept {
            tracing::warn!(%why, "who is in which group is not known to the process that takes over");
        }
    }

    /// There is no other process after all.
    pub fn go_on(&self) {
        self.people.go_on();
    }
}
