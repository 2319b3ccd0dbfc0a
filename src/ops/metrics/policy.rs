//! The provider's groups in Headscale's policy.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::label::{LEFT_OUT, SyncFailure};
use super::{Families, Metrics};
use crate::domain::time::Timestamp;

#[derive(Debug)]
pub(super) struct PolicyFamilies {
    success_seconds: IntGauge,
    failures: IntCounterVec,
    groups: IntGauge,
    members: IntGauge,
    left_out: IntGaugeVec,
}

impl PolicyFamilies {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        Ok(Self {
            success_seconds: families.gauge(
                "policy_sync_last_success_timestamp_seconds",
                "When the policy of the tailnet last had the groups that it should have.",
            )?,
            failures: families.counters(
                (
                    "policy_sync_failures_total",
                    "Attempts after which the policy did not have them, by reason.",
                ),
                &[("reason", SyncFailure::ALL)],
            )?,
            groups: families.gauge(
                "policy_sync_groups",
                "Groups of the provider's that are in the policy.",
            )?,
            members: families.gauge(
                "policy_sync_members",
                "Members of these groups, whoever is in two counted twice.",
            )?,
            left_out: families.gauges(
                (
                    "policy_sync_left_out",
                    "People who should be in a group and are not, by reason.",
                ),
                &[("reason", LEFT_OUT)],
            )?,
        })
    }
}

impl Metrics {
    /// Notes that the policy is as it should be.
    pub fn policy_synced(&self, at: Timestamp) {
        let seconds = i64::try_from(at.unix()).unwrap_or(i64::MAX);
        self.policy.success_seconds.set(seconds);
    }

    /// Counts an attempt after which it is not.
    pub fn policy_failed(&self, why: SyncFailure) {
        self.policy.failures.with_label_values(&[why.label()]).inc();
    }

    /// Notes what is in the policy.
    pub fn policy_holds(&self, groups: usize, members: usize) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.policy.groups.set(count(groups));
        self.policy.members.set(count(members));
    }

    /// Notes how many people are left out. A reason that is not known here is left out, too.
    pub fn policy_leaves_out(&self, why: &'static str, people: usize) {
        if LEFT_OUT.contains(&why) {
            let count = i64::try_from(people).unwrap_or(i64::MAX);
            self.policy.left_out.with_label_values(&[why]).set(count);
        }
    }
}
