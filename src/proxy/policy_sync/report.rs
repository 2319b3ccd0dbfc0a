//! What came of an attempt, and who is told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::assign::Why;
use crate::domain::identity::Subject;
use crate::domain::time::Timestamp;
use crate::ops::audit;
use crate::ops::metrics::SyncFailure;
use crate::proxy::house::House;

/// How often a failure that stays the same is said again.
const AGAIN: Duration = Duration::from_hours(1);
/// Most people who are named in one line.
const NAMED: usize = 10;

/// Why the policy is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for metrics.
    pub kind: SyncFailure,
    /// A sentence for the operator; may hold Headscale's own words.
    pub why: String,
    /// The same status would be there if Headscale had not been able to look.
    pub(super) perhaps: bool,
}

impl Failure {
    pub(super) fn new(kind: SyncFailure, why: &str) -> Self {
        Self {
            kind,
            why: why.to_owned(),
            perhaps: false,
        }
    }

    /// The same, which Headscale may see otherwise soon.
    pub(super) fn perhaps(self) -> Self {
        Self {
            perhaps: true,
            ..self
        }
    }

    /// Whether the same would be said of the same policy again.
    pub(super) const fn is_verdict(&self) -> bool {
        match self.kind {
            SyncFailure::Rejected | SyncFailure::FileMode => true,
            SyncFailure::State
            | SyncFailure::Headscale
            | SyncFailure::Policy
            | SyncFailure::Changed => false,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `policy_sync.groups` names none.
    Off,
    /// The policy is as it should be.
    Unchanged,
    /// It is now.
    Written,
    /// It would be written, and was not to be.
    NotWritten,
    /// Another replica is at it, or the process that took over from this one.
    Elsewhere,
    /// It is not.
    Failed(Failure),
}

impl Outcome {
    /// A word for it.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Unchanged => "unchanged",
            Self::Written => "written",
            Self::NotWritten => "not_written",
            Self::Elsewhere => "elsewhere",
            Self::Failed(_) => "failed",
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Each group, and how many members it should have.
    pub groups: BTreeMap<String, usize>,
    /// Memberships that come, and that go.
    pub added: usize,
    /// See above.
    pub removed: usize,
    /// People whose groups are known.
    pub people: usize,
    /// The difference, unified; empty where there is none.
    pub diff: String,
    pub(super) left_out: BTreeMap<Subject, Why>,
    pub(super) unnamed: BTreeSet<String>,
    /// Somebody who just came is no user of Headscale's yet.
    pub(super) waits_for_somebody: bool,
}

impl Report {
    pub(super) const fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            groups: BTreeMap::new(),
            added: 0,
            removed: 0,
            people: 0,
            diff: String::new(),
            left_out: BTreeMap::new(),
            unnamed: BTreeSet::new(),
            waits_for_somebody: false,
        }
    }

    pub(super) const fn is_good(&self) -> bool {
        matches!(self.outcome, Outcome::Unchanged | Outcome::Written)
    }

    /// For an operator who asks; with the difference, if that is `whole`.
    pub fn json(&self, whole: bool) -> Value {
        let failure = match &self.outcome {
            Outcome::Failed(failure) => json!({"kind": failure.kind.label(), "why": failure.why}),
            _ => Value::Null,
        };
        let left_out: Vec<Value> = self
            .left_out
            .iter()
            .map(|(who, why)| json!({"subject": who.to_string(), "why": why.label()}))
            .collect();
        let mut told = json!({
            "outcome": self.outcome.label(), "failure": failure, "groups": self.groups,
            "members_added": self.added, "members_removed": self.removed, "people": self.people,
            "left_out": left_out, "groups_without_a_name": self.unnamed,
        });
        if let (true, Some(told)) = (whole, told.as_object_mut()) {
            told.insert("diff".to_owned(), self.diff.clone().into());
        }
        told
    }
}

/// What the log was told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    failure: Option<(Failure, Timestamp)>,
    left_out: BTreeMap<Subject, Why>,
    unnamed: BTreeSet<String>,
    pending: (usize, usize),
}

impl Told {
    /// Says what is new, and what failed also after a while. False where that was said before.
    pub(super) fn tell(&mut self, report: &Report, now: Timestamp) -> bool {
        match &report.outcome {
            Outcome::Failed(failure) => self.failed(failure, now),
            outcome => {
                if self.failure.take().is_some() {
                    tracing::info!("the policy's groups can be written again");
                }
                self.went_well(outcome, report);
                self.people(report);
                true
            }
        }
    }

    fn failed(&mut self, failure: &Failure, now: Timestamp) -> bool {
        let said = self.failure.as_ref();
        let again = said.is_none_or(|(said, at)| said != failure || now.since(*at) >= AGAIN);
        if again {
            tracing::error!(
                kind = failure.kind.label(),
                reason = failure.why,
                "the policy's groups are not what they should be"
            );
            self.failure = Some((failure.clone(), now));
        } else {
            tracing::debug!(
                reason = failure.why,
                "the policy's groups still are not what they should be"
            );
        }
        again
    }

    fn went_well(&mut self, outcome: &Outcome, report: &Report) {
        let moved = (report.added, report.removed);
        let groups = report.groups.len();
        match outcome {
            Outcome::Written => {
                tracing::info!(
                    groups,
                    members_added = report.added,
                    members_removed = report.removed,
                    "the policy's groups were written"
                );
            }
            Outcome::NotWritten if self.pending != moved => {
                tracing::info!(
                    groups,
                    members_added = report.added,
                    members_removed = report.removed,
                    "policy_sync.dry_run: the policy's groups would be written; headwarden policy-sync shows the difference"
                );
            }
            _ => tracing::debug!(outcome = outcome.label(), "the policy was looked at"),
        }
        self.pending = if *outcome == Outcome::NotWritten {
            moved
        } else {
            (0, 0)
        };
    }

    fn people(&mut self, report: &Report) {
        let new = |why: &Why, who: &Subject| self.left_out.get(who) != Some(why);
        for (who, why) in report
            .left_out
            .iter()
            .filter(|(who, why)| new(why, who))
            .take(NAMED)
        {
            match why {
                Why::Unknown => {
                    tracing::debug!(subject = %who, "no user of headscale's yet, so in no group of the policy");
                }
                Why::Ambiguous => tracing::warn!(
                    subject = %who,
                    "in no group of the policy: headscale has more than one user for this person, or takes two people for one"
                ),
                Why::Subject => tracing::warn!(
                    subject = %who,
                    "in no group of the policy: headscale cannot keep this subject apart from others"
                ),
            }
        }
        for group in report.unnamed.difference(&self.unnamed).take(NAMED) {
            tracing::warn!(
                group,
                "not in the policy: another group has or would get the same name there, or there is none; give it one in policy_sync.groups"
            );
        }
        self.left_out.clone_from(&report.left_out);
        self.unnamed.clone_from(&report.unnamed);
    }
}

pub(super) fn count(house: &House, report: &Report, now: Timestamp) {
    let metrics = &house.metrics;
    if let Outcome::Failed(failure) = &report.outcome {
        metrics.policy_failed(failure.kind);
        return;
    }
    if report.is_good() {
        metrics.policy_synced(now);
    }
    metrics.policy_holds(report.groups.len(), report.groups.values().sum());
    for why in Why::ALL {
        let count = report.left_out.values().filter(|it| **it == why).count();
        metrics.policy_leaves_out(why.label(), count);
    }
}

/// A policy that was written, with memberships that came and that went.
pub(super) fn audit_written(house: &House, groups: usize, moved: (usize, usize)) {
    audit(house, (audit::Outcome::Done, None), groups, moved);
}

/// A policy that Headscale refused.
pub(super) fn audit_refused(house: &House, report: &Report) {
    if let Outcome::Failed(failure) = &report.outcome
        && failure.is_verdict()
    {
        let said = (audit::Outcome::Refused, Some(failure.kind.label()));
        let moved = (report.added, report.removed);
        audit(house, said, report.groups.len(), moved);
    }
}

fn audit(
    house: &House,
    (outcome, reason): (audit::Outcome, Option<&'static str>),
    groups: usize,
    (added, removed): (usize, usize),
) {
    house.audit.record(&audit::Entry {
        outcome,
        reason,
        groups: Some(groups),
        members_added: Some(added),
        members_removed: Some(removed),
        ..audit::Entry::new(audit::Act::PolicyWritten, audit::Actor::Headwarden, "")
    });
}
