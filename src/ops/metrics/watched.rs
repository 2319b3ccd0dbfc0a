//! What an operator is called for: tunnels that end, lines and spans that do not arrive, checks that do not
//! pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::label::{Check, KeyRenewed, Spans, TUNNELS, TunnelEnd};
use super::{Families, Metrics};
use crate::domain::door::Tunnel;
use crate::domain::time::Timestamp;

#[derive(Debug)]
pub(super) struct WatchFamilies {
    tunnels_ended: IntCounterVec,
    audit_write_failures: IntCounter,
    spans: IntCounterVec,
    ready: IntGauge,
    checks: IntGaugeVec,
    api_key_expiry: IntGauge,
    api_key_renewals: IntCounterVec,
    upstreams: IntGaugeVec,
    /// Of which addresses there is a gauge.
    upstreams_told: Mutex<BTreeMap<String, bool>>,
}

impl WatchFamilies {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        Ok(Self {
            tunnels_ended: families.counters(
                (
                    "tunnels_ended_total",
                    "Tunnels that were open and are not any more, by kind and cause.",
                ),
                &[("kind", TUNNELS), ("cause", TunnelEnd::ALL)],
            )?,
            audit_write_failures: families.counter(
                "audit_write_failures_total",
                "Lines of the audit log that are in the ordinary log, since its own could not be written.",
            )?,
            spans: families.counters(
                (
                    "trace_spans_total",
                    "Spans of traces that were recorded, by what became of them.",
                ),
                &[("outcome", Spans::ALL)],
            )?,
            ready: families.gauge(
                "ready",
                "Whether every check of readiness passed when this was asked for.",
            )?,
            checks: families.gauges(
                (
                    "check_passing",
                    "Whether a check of readiness passed when this was asked for.",
                ),
                &[("check", Check::ALL)],
            )?,
            api_key_expiry: families.gauge(
                "api_key_expiry_seconds",
                "When the key of Headscale's API ends, in seconds since 1970; 0 if it is not renewed, or never ends.",
            )?,
            api_key_renewals: families.counters(
                (
                    "api_key_renewals_total",
                    "Renewals of the key of Headscale's API, by outcome.",
                ),
                &[("outcome", KeyRenewed::ALL)],
            )?,
            upstreams: families.by_upstream(
                "upstream_healthy",
                "Whether an address of a web UI passes its health checks, where it has any.",
            )?,
            upstreams_told: Mutex::default(),
        })
    }
}

impl Metrics {
    /// Counts the end of a tunnel that was open.
    pub fn tunnel_ended(&self, kind: Tunnel, cause: TunnelEnd) {
        let labels = &[kind.label(), cause.label()];
        self.watched.tunnels_ended.with_label_values(labels).inc();
    }

    /// Notes when the key of Headscale's API ends.
    pub fn api_key_ends(&self, at: Option<Timestamp>) {
        let at = at.map_or(0, |at| i64::try_from(at.unix()).unwrap_or(i64::MAX));
        self.watched.api_key_expiry.set(at);
    }

    /// Counts a renewal of that key.
    pub fn api_key_renewed(&self, outcome: KeyRenewed) {
        let renewals = &self.watched.api_key_renewals;
        renewals.with_label_values(&[outcome.label()]).inc();
    }

    /// Counts a line that could not be written to the audit log's own file.
    pub fn audit_write_failed(&self) {
        self.watched.audit_write_failures.inc();
    }

    /// Notes what health checks say of the addresses of web UIs, of all that there are: others are not told
    /// of any more. There are as many as the operator configured.
    pub fn upstreams_are(&self, all: BTreeMap<String, bool>) {
        let told = self.watched.upstreams_told.lock();
        let mut told = told.unwrap_or_else(PoisonError::into_inner);
        for (upstream, healthy) in &all {
            let gauge = self.watched.upstreams.with_label_values(&[upstream]);
            gauge.set(i64::from(*healthy));
        }
        for gone in told.keys().filter(|upstream| !all.contains_key(*upstream)) {
            // It was told of before.
            let _ = self.watched.upstreams.remove_label_values(&[gone]);
        }
        *told = all;
    }

    /// Counts spans that were recorded.
    pub fn spans(&self, outcome: Spans, count: usize) {
        let spans = self.watched.spans.with_label_values(&[outcome.label()]);
        spans.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Notes readiness, and each of its checks by name, and whether it passes. A check that is not there
    /// has nothing to complain about; one of a name that is not known here is left out.
    pub fn checked(&self, ready: bool, checks: impl Iterator<Item = (&'static str, bool)>) {
        self.watched.ready.set(i64::from(ready));
        let found: Vec<(&str, bool)> = checks.collect();
        for name in Check::ALL {
            let passes = found.iter().all(|(check, passes)| check != name || *passes);
            self.watched
                .checks
                .with_label_values(&[name])
                .set(i64::from(passes));
        }
    }
}
