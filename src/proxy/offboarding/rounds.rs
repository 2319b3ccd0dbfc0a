//! What is done when the time has come: a last look at the person's other sessions, and then their devices
//! one by one. Whatever fails stays in the journal, and is tried again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LOOK, Offboarding};
use crate::domain::identity::Subject;
use crate::domain::offboarding::{Case, Ledger};
use crate::domain::time::Timestamp;
use crate::headscale::{ApiError, Node, is_theirs, provider_id};
use crate::ops::audit::{Act, Actor, DropReason, Entry, Outcome};
use crate::ops::metrics::{Device, Stage};
use crate::proxy::house::{House, Houses};
use crate::proxy::recheck::LastLook;

/// For how long nobody else tries what one replica has begun.
const LEASE: Duration = Duration::from_mins(1);
/// Most people of one round, which should be over before [`LEASE`] is: each may take a while at the provider and
/// at Headscale.
const MOST_AT_ONCE: usize = 2;
/// How often the journal is looked at while this is switched off: a store's value stays sealed with a key of now.
const SELDOM: Duration = Duration::from_hours(1);
/// A clock that is behind for longer is one that was set back. One that is behind for a moment, as after a machine
/// has slept, is put right again, and must not bring anybody's time nearer.
const SET_BACK: Duration = Duration::from_mins(10);
/// Shortest pause between two rounds: times are whole seconds.
const SECOND: Duration = Duration::from_secs(1);

impl Offboarding {
    /// Does what is due, without end.
    pub async fn keep(self: Arc<Self>, houses: Houses) {
        // What an earlier process left, too.
        let (mut to_forget, mut was_on) = (true, false);
        let mut forgot_at = self.clock.now();
        let mut ahead_since = None;
        loop {
            let house = houses.now();
            let on = self.is_on();
            let pause = if house.rechecks.is_retired() {
                // Another process does this.
                LOOK
            } else if on {
                if !was_on {
                    self.try_journal().await;
                }
                (to_forget, was_on) = (true, true);
                self.round(&house, &mut ahead_since).await
            } else {
                was_on = false;
                let now = self.clock.now();
                if to_forget || now.since(forgot_at) >= SELDOM {
                    to_forget = !self.off().await;
                    forgot_at = now;
                }
                LOOK
            };
            drop(house);
            let _ = tokio::time::timeout(pause, self.news.notified()).await;
        }
    }

    /// Switched on: says at once, and not with the first person who is gone, that nobody can be written down.
    async fn try_journal(&self) {
        if let Err(why) = self.journal.try_out().await {
            self.journal_failed(&why);
        }
    }

    /// The operator switched it off: nobody is pending, also if it is switched on again. Whether that is
    /// written; where it cannot be, it is tried again.
    async fn off(&self) -> bool {
        self.unwritten().clear();
        self.metrics.offboarding_people((0, 0));
        let dropped = match self.journal.change(Ledger::forget_all).await {
            Ok(dropped) => dropped,
            Err(why) => {
                self.journal_failed(&why);
                return false;
            }
        };
        for subject in &dropped {
            self.audit.record(&Entry {
                subject: Some(subject),
                reason: Some(DropReason::Operator.label()),
                ..Entry::new(Act::OffboardingDropped, Actor::Headwarden, "")
            });
        }
        true
    }

    /// One round; how long until the next.
    async fn round(&self, house: &House, ahead_since: &mut Option<Instant>) -> Duration {
        self.write_what_was_not().await;
        let ledger = match self.journal.read().await {
            Ok(ledger) => ledger,
            Err(why) => {
                self.journal_failed(&why);
                return LOOK;
            }
        };
        self.metrics.offboarding_people(ledger.counts());
        let now = self.clock.now();
        // Of several processes that share a journal nobody knows whose clock is wrong: there it waits.
        if !ledger.is_ahead(now) || self.journal.is_shared() {
            *ahead_since = None;
        } else if ahead_since.get_or_insert_with(Instant::now).elapsed() < SET_BACK {
            return LOOK;
        } else {
            return self.set_back(now).await;
        }
        let Some(next) = ledger.next() else {
            return LOOK;
        };
        if next > now {
            return next.since(now).clamp(SECOND, LOOK);
        }
        let taken = self
            .journal
            .change(move |ledger| ledger.take_due(now, LEASE, MOST_AT_ONCE));
        match taken.await {
            Ok(taken) => self.carry_out(house, taken).await,
            Err(why) => self.journal_failed(&why),
        }
        if let Ok(ledger) = self.journal.read().await {
            self.metrics.offboarding_people(ledger.counts());
        }
        SECOND
    }

    async fn set_back(&self, now: Timestamp) -> Duration {
        tracing::warn!(
            "the clock was set back: who is to be off-boarded waits for offboarding.after once more"
        );
        let set_back = self.journal.change(move |ledger| ledger.set_back(now));
        if let Err(why) = set_back.await {
            self.journal_failed(&why);
            return LOOK;
        }
        SECOND
    }

    async fn write_what_was_not(&self) {
        let heard = std::mem::take(&mut *self.unwritten());
        for one in heard {
            if !self.write_down(&one).await {
                self.unwritten().push(one);
            }
        }
    }

    async fn carry_out(&self, house: &House, taken: Vec<(Subject, Case)>) {
        let mut gone = Vec::new();
        for (subject, case) in taken {
            match house
                .rechecks
                .last_look(&subject, case.refused_since())
                .await
            {
                LastLook::Here => self.is_here(&subject, None).await,
                LastLook::Nobody => gone.push((subject, case)),
                LastLook::Unknown => {
                    self.metrics.offboarding_failed(Stage::Provider);
                    tracing::info!(
                        %subject,
                        "not off-boarded yet: the person has a session that cannot be checked now"
                    );
                    self.again_later(&subject).await;
                }
            }
        }
        if gone.is_empty() {
            return;
        }
        let nodes = match house.api.nodes().await {
            Ok(nodes) => nodes,
            Err(why) => {
                self.metrics.offboarding_failed(Stage::Headscale);
                tracing::error!(
                    people = gone.len(), reason = %why,
                    "devices of people who are gone cannot be looked up; it is tried again"
                );
                for (subject, _) in &gone {
                    self.again_later(subject).await;
                }
                return;
            }
        };
        for (subject, case) in gone {
            // Whoever switches it off means now, and not after this round.
            if !self.is_on() {
                return;
            }
            if self.is_still_gone(&subject).await {
                self.expire(house, &subject, &case, &nodes).await;
            }
        }
    }

    /// Who came back in the last moment is not in the journal any more.
    async fn is_still_gone(&self, subject: &Subject) -> bool {
        let still = self.journal.read().await;
        still.is_ok_and(|ledger| ledger.case(subject).is_some_and(|case| !case.held))
    }

    async fn again_later(&self, subject: &Subject) {
        let (of, now) = (subject.clone(), self.clock.now());
        let noted = self.journal.change(move |ledger| ledger.failed(&of, now));
        // Where it cannot be written, the lease says the same.
        if let Err(why) = noted.await {
            self.journal_failed(&why);
        }
    }

    async fn expire(&self, house: &House, subject: &Subject, case: &Case, nodes: &[Node]) {
        let settings = self.settings.now();
        let issuer = settings
            .headscale
            .sign_in
            .users_issuer(&settings.oidc.issuer);
        let Some(id) = issuer.and_then(|issuer| provider_id(issuer, subject)) else {
            tracing::error!(
                %subject,
                "whose devices these are cannot be told by headscale's users: expire them by hand"
            );
            self.finished(subject, case, Outcome::Failed).await;
            return;
        };
        let now = self.clock.now();
        let dry_run = settings.offboarding.dry_run;
        let (mut ended, mut failed) = (0_usize, false);
        let theirs = |node: &&Node| is_theirs(node, &id) && node.tags.is_empty();
        for node in nodes.iter().filter(theirs) {
            if !self.is_on() {
                return;
            }
            if node.expiry.is_some_and(|expiry| expiry <= now) {
                continue;
            }
            if ended > 0 && !self.is_still_gone(subject).await {
                tracing::info!(
                    %subject, devices = ended,
                    "no more devices expire: the person came back, or who is gone cannot be read"
                );
                return;
            }
            let outcome = if dry_run {
                Ok(Device::DryRun)
            } else {
                expire_one(house, node).await
            };
            failed |= outcome.is_err();
            ended += usize::from(outcome.is_ok());
            self.told(subject, case, node, &outcome);
        }
        if failed {
            self.metrics.offboarding_failed(Stage::Headscale);
            self.again_later(subject).await;
            return;
        }
        let known = nodes.iter().any(|node| is_theirs(node, &id));
        tracing::warn!(
            %subject, devices = ended, known_to_headscale = known, dry_run,
            "off-boarded: {}", if dry_run { "devices would have expired" } else { "devices expired" }
        );
        let outcome = if dry_run {
            Outcome::DryRun
        } else {
            Outcome::Done
        };
        self.finished(subject, case, outcome).await;
    }

    fn told(
        &self,
        subject: &Subject,
        case: &Case,
        node: &Node,
        outcome: &Result<Device, ApiError>,
    ) {
        let (metric, word) = match outcome {
            Ok(Device::DryRun) => (Device::DryRun, Outcome::DryRun),
            Ok(Device::Expired) => (Device::Expired, Outcome::Done),
            Ok(Device::Failed) | Err(_) => (Device::Failed, Outcome::Failed),
        };
        if let Err(why) = outcome {
            tracing::error!(
                %subject, device = node.id, reason = %why,
                "a device of a person who is gone did not expire; it is tried again"
            );
        }
        self.metrics.offboarded_device(metric);
        self.audit.record(&Entry {
            outcome: word,
            subject: Some(subject),
            node: Some(&node.id),
            reason: Some(case.why.label()),
            ..Entry::new(Act::DeviceExpired, Actor::Headwarden, "")
        });
    }

    async fn finished(&self, subject: &Subject, case: &Case, outcome: Outcome) {
        let of = subject.clone();
        // Where it cannot be written, it is done once more later: a device expires once.
        if let Err(why) = self.journal.change(move |ledger| ledger.done(&of)).await {
            self.journal_failed(&why);
            return;
        }
        self.audit.record(&Entry {
            outcome,
            subject: Some(subject),
            reason: Some(case.why.label()),
            ..Entry::new(Act::OffboardingDone, Actor::Headwarden, "")
        });
    }
}

/// A device that is gone is as good as an expired one.
async fn expire_one(house: &House, node: &Node) -> Result<Device, ApiError> {
    match house.api.expire_node(&node.id).await {
        Ok(()) | Err(ApiError::NotFound) => Ok(Device::Expired),
        Err(why) => Err(why),
    }
}
