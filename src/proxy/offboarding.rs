//! Off-boarding: the devices of people who are gone expire, after a while in which they may come back.
//!
//! Here: what was heard of whom becomes a case in the journal, or is none. What proves anything is decided
//! in `domain::offboarding`; what is done when the time has come, in [`rounds`]. Never on an outage: only
//! what the provider said counts.

mod rounds;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::Current;
use crate::domain::identity::Subject;
use crate::domain::offboarding::{
    Doubt, Ledger, Noticed, Refusals, Why, weigh_denial, weigh_refusal,
};
use crate::domain::policy::{Denial, Rules};
use crate::domain::session::Session;
use crate::domain::time::{Clock, Timestamp};
use crate::ops::audit::{Act, Actor, Audit, DropReason, Entry};
use crate::ops::metrics::{Metrics, Stage};
use crate::session::{Journal, JournalError};

/// Longest time between two looks at the journal: other replicas write it too.
const LOOK: Duration = Duration::from_secs(5);

/// Who is to be off-boarded.
#[derive(Debug)]
pub struct Offboarding {
    journal: Journal,
    settings: Current,
    metrics: Arc<Metrics>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    /// What could not be written down yet.
    unwritten: Mutex<Vec<Heard>>,
    /// Something changed.
    news: Notify,
}

/// What was heard of a person, and when.
#[derive(Clone, Debug)]
struct Heard {
    subject: Subject,
    why: Why,
    at: Timestamp,
    /// Under which request; empty where nobody asked.
    request: String,
}

impl Offboarding {
    /// Nobody is heard of yet, beside those who are in the journal.
    pub const fn new(
        journal: Journal,
        settings: Current,
        metrics: Arc<Metrics>,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            journal,
            settings,
            metrics,
            audit,
            clock,
            unwritten: Mutex::new(Vec::new()),
            news: Notify::const_new(),
        }
    }

    /// Whether devices are to expire at all.
    pub(super) fn is_on(&self) -> bool {
        self.settings.now().offboarding.expire_nodes
    }

    /// The provider refused the refresh token of `session`, and nobody else was faster.
    pub(super) async fn refused(
        &self,
        session: &Session,
        (error, description): (&str, &str),
        request: Option<&str>,
    ) {
        let settings = self.settings.now();
        let refusals = Refusals {
            count: settings.offboarding.refused_refresh,
            footing: session.footing,
        };
        let weighed = weigh_refusal(error, description, refusals);
        self.weighed(session, weighed, request).await;
    }

    /// The provider vouches for the person of `session`, and `rules` do not admit them any more as they
    /// are by claims that were `read_by` these settings.
    pub(super) async fn denied(
        &self,
        session: &Session,
        (rules, denial): (&Rules, &Denial),
        read_by: NonZeroU32,
        request: Option<&str>,
    ) {
        let same_reading = session.footing.read_by == Some(read_by);
        let weighed = weigh_denial(rules, &session.identity, denial, same_reading);
        if weighed.is_err() {
            self.not_refused(&session.identity.subject, request).await;
        }
        self.weighed(session, weighed, request).await;
    }

    /// The provider did not refuse a refresh token of the person: whatever else it said, an earlier refusal
    /// of another one was not about the account.
    pub(super) async fn not_refused(&self, subject: &Subject, request: Option<&str>) {
        if !self.is_on() {
            return;
        }
        let of = subject.clone();
        let change = move |ledger: &mut Ledger| match ledger.case(&of) {
            Some(case) if case.why == Why::Refused => ledger.forget(&of),
            _ => None,
        };
        self.unwritten()
            .retain(|heard| heard.subject != *subject || heard.why != Why::Refused);
        match self.journal.change(change).await {
            Ok(Some(_)) => {
                self.dropped(subject, Actor::Provider, DropReason::Back, request);
            }
            Ok(None) => {}
            Err(why) => self.journal_failed(&why),
        }
    }

    async fn weighed(&self, session: &Session, weighed: Result<Why, Doubt>, request: Option<&str>) {
        if !self.is_on() {
            return;
        }
        let subject = &session.identity.subject;
        match weighed {
            Ok(why) => {
                let heard = Heard {
                    subject: subject.clone(),
                    why,
                    at: self.clock.now(),
                    request: request.unwrap_or_default().to_owned(),
                };
                if !self.write_down(&heard).await {
                    self.unwritten().push(heard);
                }
                self.news.notify_one();
            }
            Err(doubt) => tracing::info!(
                request_id = request, %subject, reason = %doubt,
                "not off-boarded: this does not prove that the person is gone"
            ),
        }
    }

    /// Whether it is in the journal now.
    async fn write_down(&self, heard: &Heard) -> bool {
        let terms = self.settings.now().offboarding.clone();
        let Heard {
            subject,
            why,
            at,
            request,
        } = heard.clone();
        let changed = self
            .journal
            .change(move |ledger| ledger.notice(&subject, why, at, terms.after, terms.most));
        let noticed = match changed.await {
            Ok(noticed) => noticed,
            Err(why) => {
                self.journal_failed(&why);
                return false;
            }
        };
        let (subject, after) = (&heard.subject, terms.after.as_secs());
        match noticed {
            Noticed::Known => {}
            Noticed::New { held } => {
                tracing::warn!(
                    request_id = Some(&request).filter(|id| !id.is_empty()), %subject,
                    reason = why.label(), after_s = after, dry_run = terms.dry_run,
                    "a person is gone: their devices expire when the time has come"
                );
                self.audit.record(&Entry {
                    subject: Some(subject),
                    reason: Some(why.label()),
                    ..Entry::new(Act::OffboardingDue, actor(why), &request)
                });
                self.held(&held, terms.most).await;
            }
            Noticed::Full => tracing::error!(
                %subject,
                "there is no room for another person who is gone: look at `headwarden offboarding list`"
            ),
        }
        true
    }

    /// The guard holds these people.
    async fn held(&self, held: &[Subject], most: usize) {
        if held.is_empty() {
            return;
        }
        tracing::error!(
            held = held.len(),
            most,
            "more people are gone than offboarding.most allows in an hour: nobody's devices expire \
             until an operator runs `headwarden offboarding run`, or takes people off with \
             `headwarden offboarding cancel`"
        );
        let Ok(ledger) = self.journal.read().await else {
            return;
        };
        for subject in held {
            self.audit.record(&Entry {
                subject: Some(subject),
                reason: ledger.case(subject).map(|case| case.why.label()),
                ..Entry::new(Act::OffboardingHeld, Actor::Headwarden, "")
            });
        }
    }

    /// The person is here: they signed in, or the provider vouches for them and the rules admit them.
    /// Where that cannot be written, their session says so when the time has come.
    pub(super) async fn is_here(&self, subject: &Subject, request: Option<&str>) {
        if !self.is_on() {
            return;
        }
        self.unwritten().retain(|heard| heard.subject != *subject);
        let by = Actor::Person;
        if let Err(why) = self.forget(subject, by, DropReason::Back, request).await {
            self.journal_failed(&why);
        }
    }

    async fn forget(
        &self,
        subject: &Subject,
        by: Actor,
        reason: DropReason,
        request: Option<&str>,
    ) -> Result<bool, JournalError> {
        let of = subject.clone();
        let gone = self.journal.change(move |ledger| ledger.forget(&of));
        if gone.await?.is_none() {
            return Ok(false);
        }
        self.dropped(subject, by, reason, request);
        Ok(true)
    }

    fn dropped(&self, subject: &Subject, by: Actor, reason: DropReason, request: Option<&str>) {
        tracing::info!(request_id = request, %subject, reason = reason.label(), "not off-boarded");
        self.audit.record(&Entry {
            subject: Some(subject),
            reason: Some(reason.label()),
            ..Entry::new(Act::OffboardingDropped, by, request.unwrap_or_default())
        });
    }

    /// Everybody who is to be off-boarded.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn list(&self) -> Result<Ledger, JournalError> {
        self.journal.read().await
    }

    /// An operator takes a person off; whether they were there.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn cancel(
        &self,
        subject: &Subject,
        by: Actor,
        request: &str,
    ) -> Result<bool, JournalError> {
        self.unwritten().retain(|heard| heard.subject != *subject);
        let reason = DropReason::Operator;
        self.forget(subject, by, reason, Some(request)).await
    }

    /// An operator has looked at what is held, and it is right: of one person, or of everybody. How many
    /// that were.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn confirm(
        &self,
        only: Option<Subject>,
        by: Actor,
        request: &str,
    ) -> Result<usize, JournalError> {
        let confirmed = self
            .journal
            .change(move |ledger| ledger.confirm(only.as_ref()));
        let confirmed = confirmed.await?;
        for subject in &confirmed {
            self.audit.record(&Entry {
                subject: Some(subject),
                ..Entry::new(Act::OffboardingConfirmed, by, request)
            });
        }
        self.news.notify_one();
        Ok(confirmed.len())
    }

    fn journal_failed(&self, why: &JournalError) {
        self.metrics.offboarding_failed(Stage::Journal);
        tracing::error!(
            reason = %why,
            "who is to be off-boarded cannot be read or written down; it is tried again"
        );
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose word it was.
const fn actor(why: Why) -> Actor {
    match why {
        Why::Refused => Actor::Provider,
        Why::LostRight => Actor::Headwarden,
    }
}
