//! What is counted. One [`Metrics`] value holds its own registry; there is no global one.
//!
//! Every label comes from an enum here or in `domain`, so that nobody's path, name or address can
//! grow the number of series; and every series is there from the start, at zero. The table of all
//! of them is `docs/metrics.md`, which a test compares with the registry.

use std::time::Duration;

use http::StatusCode;
use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use self::label::{
    Answer, CallbackFailure, Check, Direction, Endpoint, Limit, Logout, LogoutOutcome, Refresh,
    Rule, SignIn, Spans, StoreOperation, TunnelEnd,
};
use self::label::{CLASSES, DOORS, TUNNELS};
use super::clock::SystemClock;
use crate::domain::door::{Door, Tunnel};
use crate::domain::time::{Clock as _, Timestamp};

mod label;
mod process;

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Upper bounds in seconds: a store near by answers within one millisecond.
const STORE_BUCKETS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// Of what we add to a request: microseconds when all is well, and more where the provider is asked.
const ADDED_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0,
];
/// Of whole requests, and of upstreams and the provider: over a network, and with long polls.
const REQUEST_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// All counters of the process. Shared behind an `Arc`; every method may be called from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Timestamp,
    requests: IntCounterVec,
    requests_cut: IntCounterVec,
    request_seconds: HistogramVec,
    added_seconds: HistogramVec,
    upstream_seconds: HistogramVec,
    provider_requests: IntCounterVec,
    provider_seconds: HistogramVec,
    sign_ins: IntCounterVec,
    callback_failures: IntCounterVec,
    denials: IntCounterVec,
    logouts: IntCounterVec,
    refreshes: IntCounterVec,
    tunnels_open: IntGaugeVec,
    tunnels_opened: IntCounterVec,
    tunnels_refused: IntCounterVec,
    tunnels_ended: IntCounterVec,
    limits: IntCounterVec,
    store_up: IntGauge,
    store_seconds: HistogramVec,
    store_failures: IntCounterVec,
    audit_write_failures: IntCounter,
    spans: IntCounterVec,
    ready: IntGauge,
    checks: IntGaugeVec,
    relayed_up: IntCounter,
    relayed_down: IntCounter,
}

impl Metrics {
    /// A registry of its own with every series at zero.
    ///
    /// # Errors
    /// When two families have one name: a mistake of ours that any test shows.
    pub fn new() -> Result<Self, prometheus::Error> {
        let families = Families(Registry::new_custom(Some("headwarden".to_owned()), None)?);
        let relayed = families.counters(
            (
                "relayed_bytes_total",
                "Bytes relayed through tunnels, by direction.",
            ),
            &[("direction", Direction::ALL)],
        )?;
        families.build_info()?;
        Ok(Self {
            requests: families.counters(
                (
                    "requests_total",
                    "Requests answered, by door and status class.",
                ),
                &[("door", DOORS), ("status", CLASSES)],
            )?,
            requests_cut: families.counters(
                (
                    "requests_cut_total",
                    "Requests that ended with their session, by door.",
                ),
                &[("door", DOORS)],
            )?,
            request_seconds: families.histograms(
                (
                    "request_seconds",
                    "Time from the whole head of a request to the end of its answer, by door.",
                ),
                REQUEST_BUCKETS,
                &[("door", DOORS)],
            )?,
            added_seconds: families.histograms(
                (
                    "added_seconds",
                    "Time from the whole head of a request to our answer, or to the upstream's turn, by door.",
                ),
                ADDED_BUCKETS,
                &[("door", DOORS)],
            )?,
            upstream_seconds: families.histograms(
                (
                    "upstream_seconds",
                    "Time from an upstream's turn to the head of its answer, by door.",
                ),
                REQUEST_BUCKETS,
                &[("door", DOORS)],
            )?,
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
            sign_ins: families.counters(
                ("sign_ins_total", "Sign-ins completed, by purpose."),
                &[("purpose", SignIn::ALL)],
            )?,
            callback_failures: families.counters(
                (
                    "callback_failures_total",
                    "Sign-ins that failed at the callback, by reason.",
                ),
                &[("reason", CallbackFailure::ALL)],
            )?,
            denials: families.counters(
                ("denials_total", "People whom the rules refused, by rule."),
                &[("rule", Rule::ALL)],
            )?,
            logouts: families.counters(
                (
                    "logouts_total",
                    "Logouts, by the way they came and their outcome.",
                ),
                &[("kind", Logout::ALL), ("outcome", LogoutOutcome::ALL)],
            )?,
            refreshes: families.counters(
                (
                    "refreshes_total",
                    "Re-checks of people at the provider, by outcome.",
                ),
                &[("outcome", Refresh::ALL)],
            )?,
            tunnels_open: families.gauges(
                ("tunnels_open", "Tunnels open now, by kind."),
                &[("kind", TUNNELS)],
            )?,
            tunnels_opened: families.counters(
                ("tunnels_opened_total", "Tunnels opened, by kind."),
                &[("kind", TUNNELS)],
            )?,
            tunnels_refused: families.counters(
                ("tunnels_refused_total", "Tunnels not opened, by kind."),
                &[("kind", TUNNELS)],
            )?,
            tunnels_ended: families.counters(
                (
                    "tunnels_ended_total",
                    "Tunnels that were open and are not any more, by kind and cause.",
                ),
                &[("kind", TUNNELS), ("cause", TunnelEnd::ALL)],
            )?,
            limits: families.counters(
                (
                    "limits_hit_total",
                    "Bounds on a client address that were hit, by kind.",
                ),
                &[("kind", Limit::ALL)],
            )?,
            store_up: families.gauge(
                "store_up",
                "Whether the session store that replicas share answered when last asked.",
            )?,
            store_seconds: families.histograms(
                (
                    "store_seconds",
                    "Time that the session store took to answer, by operation.",
                ),
                STORE_BUCKETS,
                &[("operation", StoreOperation::ALL)],
            )?,
            store_failures: families.counters(
                (
                    "store_failures_total",
                    "Operations that the session store did not answer, by operation.",
                ),
                &[("operation", StoreOperation::ALL)],
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
            started: SystemClock.now(),
            relayed_up: relayed.with_label_values(&[Direction::Up.label()]),
            relayed_down: relayed.with_label_values(&[Direction::Down.label()]),
            registry: families.0,
        })
    }

    /// Counts an answered request.
    pub fn request(&self, door: &Door, status: StatusCode) {
        let class = match status.as_u16() {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.requests
            .with_label_values(&[door.label(), class])
            .inc();
    }

    /// Counts a request that ended with its session.
    pub fn request_cut(&self, door: &Door) {
        self.requests_cut.with_label_values(&[door.label()]).inc();
    }

    /// Notes how long a request took, to the end of its answer.
    pub fn request_took(&self, door: &Door, took: Duration) {
        let seconds = self.request_seconds.with_label_values(&[door.label()]);
        seconds.observe(took.as_secs_f64());
    }

    /// Notes how long we needed to answer a request ourselves, or to let it go on.
    pub fn added(&self, door: &Door, took: Duration) {
        let seconds = self.added_seconds.with_label_values(&[door.label()]);
        seconds.observe(took.as_secs_f64());
    }

    /// Notes how long an upstream took until the head of its answer.
    pub fn upstream_answered(&self, door: &Door, took: Duration) {
        let seconds = self.upstream_seconds.with_label_values(&[door.label()]);
        seconds.observe(took.as_secs_f64());
    }

    /// Counts a question to the provider, and how long it took.
    pub fn provider_asked(&self, endpoint: Endpoint, answer: Answer, took: Duration) {
        let (asked, endpoint) = (&self.provider_requests, endpoint.label());
        asked.with_label_values(&[endpoint, answer.label()]).inc();
        let seconds = self.provider_seconds.with_label_values(&[endpoint]);
        seconds.observe(took.as_secs_f64());
    }

    /// Counts a sign-in that the provider and the rules let through.
    pub fn signed_in(&self, purpose: SignIn) {
        self.sign_ins.with_label_values(&[purpose.label()]).inc();
    }

    /// Counts a callback that ended in an error page.
    pub fn callback_failed(&self, reason: CallbackFailure) {
        self.callback_failures
            .with_label_values(&[reason.label()])
            .inc();
    }

    /// Counts a person whom a rule refused.
    pub fn denied(&self, rule: Rule) {
        self.denials.with_label_values(&[rule.label()]).inc();
    }

    /// Counts a logout.
    pub fn logout(&self, kind: Logout, outcome: LogoutOutcome) {
        self.logouts
            .with_label_values(&[kind.label(), outcome.label()])
            .inc();
    }

    /// Counts a re-check that the provider was asked for.
    pub fn refreshed(&self, outcome: Refresh) {
        self.refreshes.with_label_values(&[outcome.label()]).inc();
    }

    /// Counts a tunnel, as opened and as open until the returned value is dropped.
    pub fn tunnel_opened(&self, kind: Tunnel) -> OpenTunnel {
        self.tunnels_opened.with_label_values(&[kind.label()]).inc();
        let gauge = self.tunnels_open.with_label_values(&[kind.label()]);
        gauge.inc();
        OpenTunnel(gauge)
    }

    /// Counts the end of a tunnel that was open.
    pub fn tunnel_ended(&self, kind: Tunnel, cause: TunnelEnd) {
        let labels = &[kind.label(), cause.label()];
        self.tunnels_ended.with_label_values(labels).inc();
    }

    /// Counts a tunnel that did not come to be: a limit, or an upstream that would not switch.
    pub fn tunnel_refused(&self, kind: Tunnel) {
        self.tunnels_refused
            .with_label_values(&[kind.label()])
            .inc();
    }

    /// Counts a bound that was hit.
    pub fn limit_hit(&self, limit: Limit) {
        self.limits.with_label_values(&[limit.label()]).inc();
    }

    /// Counts bytes relayed through a tunnel.
    pub fn relayed(&self, direction: Direction, bytes: u64) {
        match direction {
            Direction::Up => self.relayed_up.inc_by(bytes),
            Direction::Down => self.relayed_down.inc_by(bytes),
        }
    }

    /// Notes whether the shared session store answers.
    pub fn store_up(&self, answers: bool) {
        self.store_up.set(i64::from(answers));
    }

    /// Counts an operation of the shared session store, and how long it took.
    pub fn store_asked(&self, operation: StoreOperation, took: Duration, answered: bool) {
        let labels = &[operation.label()];
        if answered {
            let seconds = self.store_seconds.with_label_values(labels);
            seconds.observe(took.as_secs_f64());
        } else {
            self.store_failures.with_label_values(labels).inc();
        }
    }

    /// Counts a line that could not be written to the audit log's own file.
    pub fn audit_write_failed(&self) {
        self.audit_write_failures.inc();
    }

    /// Counts spans that were recorded.
    pub fn spans(&self, outcome: Spans, count: usize) {
        let spans = self.spans.with_label_values(&[outcome.label()]);
        spans.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Notes readiness, and each of its checks by name, and whether it passes. A check that is not there
    /// has nothing to complain about; one of a name that is not known here is left out.
    pub fn checked(&self, ready: bool, checks: impl Iterator<Item = (&'static str, bool)>) {
        self.ready.set(i64::from(ready));
        let found: Vec<(&str, bool)> = checks.collect();
        for name in Check::ALL {
            let passes = found.iter().all(|(check, passes)| check != name || *passes);
            self.checks
                .with_label_values(&[name])
                .set(i64::from(passes));
        }
    }

    /// Everything, in the text exposition format ([`CONTENT_TYPE`]).
    ///
    /// # Errors
    /// When a family cannot be written, which the registry has ruled out.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = TextEncoder::new().encode_to_string(&self.registry.gather())?;
        process::append(&mut text, self.started);
        Ok(text)
    }
}

/// A tunnel that counts as open for as long as this lives.
#[derive(Debug)]
#[must_use = "the tunnel counts as closed when this is dropped"]
pub struct OpenTunnel(IntGauge);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Registers families, with each of their series already there.
struct Families(Registry);

/// A label's name and all its values.
type Label = (&'static str, &'static [&'static str]);

impl Families {
    fn counters(
        &self,
        (name, help): (&str, &str),
        labels: &[Label],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let family = IntCounterVec::new(Opts::new(name, help), &names(labels))?;
        for values in combinations(labels) {
            family.get_metric_with_label_values(&values)?;
        }
        self.registered(family)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.registered(IntCounter::new(name, help)?)
    }

    fn gauges(
        &self,
        (name, help): (&str, &str),
        labels: &[Label],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        let family = IntGaugeVec::new(Opts::new(name, help), &names(labels))?;
        for values in combinations(labels) {
            family.get_metric_with_label_values(&values)?;
        }
        self.registered(family)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.registered(IntGauge::new(name, help)?)
    }

    fn histograms(
        &self,
        (name, help): (&str, &str),
        buckets: &[f64],
        labels: &[Label],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let family = HistogramVec::new(options, &names(labels))?;
        for values in combinations(labels) {
            family.get_metric_with_label_values(&values)?;
        }
        self.registered(family)
    }

    fn build_info(&self) -> Result<(), prometheus::Error> {
        let options = Opts::new("build_info", "Always 1; the version is the label.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        self.registered(IntGauge::with_opts(options)?)?.set(1);
        Ok(())
    }

    fn registered<C: Collector + Clone + 'static>(
        &self,
        family: C,
    ) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

fn names(labels: &[Label]) -> Vec<&'static str> {
    labels.iter().map(|(name, _)| *name).collect()
}

fn combinations(labels: &[Label]) -> Vec<Vec<&'static str>> {
    labels.iter().fold(vec![Vec::new()], |rows, (_, values)| {
        rows.iter()
            .flat_map(|row| {
                values
                    .iter()
                    .map(move |value| row.iter().copied().chain([*value]).collect())
            })
            .collect()
    })
}

#[cfg(test)]
mod tests;
