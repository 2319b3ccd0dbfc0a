//! People who are gone, and their devices.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::label::label;
use super::{Families, Metrics};

label! {
    /// What became of a device.
    Device {
        /// Its key has ended.
        Expired = "expired",
        /// It would have.
        DryRun = "dry_run",
        /// Headscale did not do it.
        Failed = "failed",
    }
}

label! {
    /// What is in the way.
    Stage {
        /// The list of people.
        Journal = "journal",
        /// Nobody says whether a person who has a session is there.
        Provider = "provider",
        /// Headscale's API.
        Headscale = "headscale",
    }
}

/// Whether an operator has to look.
const STATES: [&str; 2] = ["waiting", "held"];

#[derive(Debug)]
pub(super) struct OffboardingFamilies {
    people: IntGaugeVec,
    devices: IntCounterVec,
    failures: IntCounterVec,
}

impl OffboardingFamilies {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        Ok(Self {
            people: families.gauges(
                (
                    "offboarding_people",
                    "People who are to be off-boarded, by whether an operator has to look.",
                ),
                &[("state", &STATES)],
            )?,
            devices: families.counters(
                (
                    "offboarding_devices_total",
                    "Devices of people who are gone, by outcome.",
                ),
                &[("outcome", Device::ALL)],
            )?,
            failures: families.counters(
                (
                    "offboarding_failures_total",
                    "What kept an off-boarding from its end, by stage.",
                ),
                &[("stage", Stage::ALL)],
            )?,
        })
    }
}

impl Metrics {
    /// Notes how many people wait to be off-boarded, and how many are held.
    pub fn offboarding_people(&self, (waiting, held): (usize, usize)) {
        for (state, count) in STATES.into_iter().zip([waiting, held]) {
            let gauge = self.offboarding.people.with_label_values(&[state]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts a device of somebody who is gone.
    pub fn offboarded_device(&self, outcome: Device) {
        let labels = &[outcome.label()];
        self.offboarding.devices.with_label_values(labels).inc();
    }

    /// Counts what keeps an off-boarding from its end.
    pub fn offboarding_failed(&self, stage: Stage) {
        let labels = &[stage.label()];
        self.offboarding.failures.with_label_values(labels).inc();
    }
}
