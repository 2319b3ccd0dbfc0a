//! How long things take: requests, what we add to them, upstreams, the provider.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounterVec};

use super::by_door::ByDoor;
use super::label::{Answer, DOORS, Endpoint};
use super::{Families, Metrics};
use crate::domain::door::Door;

/// Of what we add to a request: microseconds when all is well, and more where the provider is asked.
const ADDED_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0,
];
/// Of whole requests, and of upstreams and the provider: over a network, and with long polls.
const REQUEST_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

#[derive(Debug)]
pub(super) struct TimeFamilies {
    request_seconds: ByDoor<Histogram>,
    added_seconds: ByDoor<Histogram>,
    upstream_seconds: ByDoor<Histogram>,
    provider_requests: IntCounterVec,
    provider_seconds: HistogramVec,
}

impl TimeFamilies {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        Ok(Self {
            request_seconds: by_door(&families.histograms(
                (
                    "request_seconds",
                    "Time from the whole head of a request to the end of its answer, by door.",
                ),
                REQUEST_BUCKETS,
                &[("door", DOORS)],
            )?),
            added_seconds: by_door(&families.histograms(
                (
                    "added_seconds",
                    "Time from the whole head of a request to our answer, or to the upstream's turn, by door.",
                ),
                ADDED_BUCKETS,
                &[("door", DOORS)],
            )?),
            upstream_seconds: by_door(&families.histograms(
                (
                    "upstream_seconds",
                    "Time from an upstream's turn to the head of its answer, by door.",
                ),
                REQUEST_BUCKETS,
                &[("door", DOORS)],
            )?),
            provider_requests: families.counters(
                (
                    "provider_requests_total",
                    "Questions to the provider, by endpoint and outcome.",
                ),
                &[("endpoint", Endpoint::ALL), ("outcome", Answer::ALL)],
            )?,
            provider_seconds: families.histograms(
                (
                    "provider_seconds",
                    "Time that the provider took, answered or not, by endpoint.",
                ),
                REQUEST_BUCKETS,
                &[("endpoint", Endpoint::ALL)],
            )?,
        })
    }
}

fn by_door(family: &HistogramVec) -> ByDoor<Histogram> {
    ByDoor::of(|door| family.with_label_values(&[door]))
}

impl Metrics {
    /// Notes how long a request took, to the end of its answer.
    pub fn request_took(&self, door: &Door, took: Duration) {
        let seconds = self.times.request_seconds.at(door);
        seconds.observe(took.as_secs_f64());
    }

    /// Notes how long we needed to answer a request ourselves, or to let it go on.
    pub fn added(&self, door: &Door, took: Duration) {
        let seconds = self.times.added_seconds.at(door);
        seconds.observe(took.as_secs_f64());
    }

    /// Notes how long an upstream took until the head of its answer.
    pub fn upstream_answered(&self, door: &Door, took: Duration) {
        let seconds = self.times.upstream_seconds.at(door);
        seconds.observe(took.as_secs_f64());
    }

    /// Counts a question to the provider, and how long it took.
    pub fn provider_asked(&self, endpoint: Endpoint, answer: Answer, took: Duration) {
        let (asked, endpoint) = (&self.times.provider_requests, endpoint.label());
        asked.with_label_values(&[endpoint, answer.label()]).inc();
        let seconds = self.times.provider_seconds.with_label_values(&[endpoint]);
        seconds.observe(took.as_secs_f64());
    }
}
