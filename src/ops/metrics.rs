//! What is counted. One [`Metrics`] value holds its own registry; there is no global one.
//!
//! Every label comes from an enum here or in `domain`, or is a file that the configuration names, so
//! that nobody's path, name or address can grow the number of series; and every series is there from
//! the start, at zero where it counts. The table of all
//! of them is `docs/metrics.md`, which a test compares with the registry.

use std::time::Duration;

use http::StatusCode;
use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use self::by_door::{ByClass, ByDoor};
pub use self::label::{
    Answer, CallbackFailure, ChangeOutcome, Check, DeviceChange, DeviceHand, Direction, Endpoint,
    Handshake, KeyRenewed, Limit, Logout, LogoutOutcome, Order, ProxyHeader, Refresh, Refused,
    Rule, SignIn, Spans, StoreOperation, SyncFailure, TunnelEnd,
};
use self::label::{CLASSES, DOORS, TUNNELS};
use self::offboarding::OffboardingFamilies;
pub use self::offboarding::{Device, Stage};
use self::policy::PolicyFamilies;
use self::times::TimeFamilies;
use self::tls::TlsFamilies;
use self::watched::WatchFamilies;
use super::clock::SystemClock;
use crate::domain::door::{Door, Tunnel};
use crate::domain::time::{Clock as _, Timestamp};

mod by_door;
mod label;
mod offboarding;
mod policy;
mod process;
mod times;
mod tls;
mod watched;

/// Media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Upper bounds in seconds: a store near by answers within one millisecond.
const STORE_BUCKETS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// All counters of the process. Shared behind an `Arc`; every method may be called from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Timestamp,
    requests: ByDoor<ByClass<IntCounter>>,
    requests_cut: IntCounterVec,
    requests_refused: IntCounterVec,
    sign_ins: IntCounterVec,
    callback_failures: IntCounterVec,
    denials: IntCounterVec,
    logouts: IntCounterVec,
    refreshes: IntCounterVec,
    device_changes: IntCounterVec,
    tunnels_open: IntGaugeVec,
    tunnels_opened: IntCounterVec,
    tunnels_refused: IntCounterVec,
    limits: IntCounterVec,
    proxy_headers_refused: IntCounterVec,
    store_up: IntGauge,
    store_seconds: HistogramVec,
    store_failures: IntCounterVec,
    reload: ReloadFamilies,
    relayed_up: IntCounter,
    relayed_down: IntCounter,
    tls: TlsFamilies,
    times: TimeFamilies,
    watched: WatchFamilies,
    offboarding: OffboardingFamilies,
    policy: PolicyFamilies,
}

fn proxy_headers_refused(families: &Families) -> Result<IntCounterVec, prometheus::Error> {
    families.counters(
        (
            "proxy_headers_refused_total",
            "Connections closed for want of a PROXY header, by reason.",
        ),
        &[("reason", ProxyHeader::ALL)],
    )
}

fn device_changes(families: &Families) -> Result<IntCounterVec, prometheus::Error> {
    families.counters(
        (
            "device_changes_total",
            "Changes to devices by people, by what it was, whose hand, and outcome.",
        ),
        &[
            ("change", DeviceChange::ALL),
            ("by", DeviceHand::ALL),
            ("outcome", ChangeOutcome::ALL),
        ],
    )
}

fn requests(families: &Families) -> Result<ByDoor<ByClass<IntCounter>>, prometheus::Error> {
    let family = families.counters(
        (
            "requests_total",
            "Requests answered, by door and status class.",
        ),
        &[("door", DOORS), ("status", CLASSES)],
    )?;
    Ok(ByDoor::of(|door| {
        ByClass::of(|class| family.with_label_values(&[door, class]))
    }))
}

impl Metrics {
    /// A registry of its own with every series at zero.
    ///
    /// # Errors
    /// When two families have one name: a mistake of ours that any test shows.
    #[expect(clippy::too_many_lines, reason = "a list of families")]
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
            requests: requests(&families)?,
            requests_cut: families.counters(
                (
                    "requests_cut_total",
                    "Requests that ended with their session, by door.",
                ),
                &[("door", DOORS)],
            )?,
            requests_refused: families.counters(
                (
                    "requests_refused_total",
                    "Requests refused before they had a door, by reason.",
                ),
                &[("reason", Refused::ALL)],
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
            device_changes: device_changes(&families)?,
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
            limits: families.counters(
                (
                    "limits_hit_total",
                    "Bounds on a client address that were hit, by kind.",
                ),
                &[("kind", Limit::ALL)],
            )?,
            proxy_headers_refused: proxy_headers_refused(&families)?,
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
            reload: ReloadFamilies::new(&families)?,
            started: SystemClock.now(),
            relayed_up: relayed.with_label_values(&[Direction::Up.label()]),
            relayed_down: relayed.with_label_values(&[Direction::Down.label()]),
            tls: TlsFamilies::new(&families)?,
            times: TimeFamilies::new(&families)?,
            watched: WatchFamilies::new(&families)?,
            offboarding: OffboardingFamilies::new(&families)?,
            policy: PolicyFamilies::new(&families)?,
            registry: families.0,
        })
    }

    /// Counts a change to a device.
    pub fn device_changed(&self, change: DeviceChange, by: DeviceHand, outcome: ChangeOutcome) {
        let labels = [change.label(), by.label(), outcome.label()];
        self.device_changes.with_label_values(&labels).inc();
    }

    /// Counts an answered request.
    pub fn request(&self, door: &Door, status: StatusCode) {
        self.requests.at(door).at(status.as_u16()).inc();
    }

    /// Counts a request that ended with its session.
    pub fn request_cut(&self, door: &Door) {
        self.requests_cut.with_label_values(&[door.label()]).inc();
    }

    /// Counts a request that was refused before it had a door.
    pub fn request_refused(&self, why: Refused) {
        self.requests_refused
            .with_label_values(&[why.label()])
            .inc();
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

    /// Counts a connection that was closed for want of a PROXY header.
    pub fn proxy_header_refused(&self, why: ProxyHeader) {
        self.proxy_headers_refused
            .with_label_values(&[why.label()])
            .inc();
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

    /// Notes that a configuration was taken over.
    pub fn config_loaded(&self, at: Timestamp) {
        self.reload.successful.set(1);
        let seconds = i64::try_from(at.unix()).unwrap_or(i64::MAX);
        self.reload.success_seconds.set(seconds);
    }

    /// Counts a configuration that could not be taken over.
    pub fn config_refused(&self) {
        self.reload.failures.inc();
        self.reload.successful.set(0);
    }

    /// Tunnels that are open now, of all kinds.
    pub fn tunnels_open(&self) -> i64 {
        let open = |kind: &&str| self.tunnels_open.with_label_values(&[*kind]).get();
        TUNNELS.iter().map(open).sum()
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

/// What became of the configuration.
#[derive(Debug)]
struct ReloadFamilies {
    failures: IntCounter,
    successful: IntGauge,
    success_seconds: IntGauge,
}

impl ReloadFamilies {
    fn new(families: &Families) -> Result<Self, prometheus::Error> {
        Ok(Self {
            failures: families.counter(
                "config_reload_failures_total",
                "Configurations that were read while the process ran and could not be taken over.",
            )?,
            successful: families.gauge(
                "config_last_reload_successful",
                "Whether the configuration that was read last was taken over.",
            )?,
            success_seconds: families.gauge(
                "config_last_reload_success_timestamp_seconds",
                "When a configuration was last taken over, the one of the start included.",
            )?,
        })
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

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.registered(IntCounter::new(name, help)?)
    }

    /// One series for each file of the configuration; none before it is known.
    fn by_upstream(&self, name: &str, help: &str) -> Result<IntGaugeVec, prometheus::Error> {
        self.registered(IntGaugeVec::new(Opts::new(name, help), &["upstream"])?)
    }

    fn by_file(&self, name: &str, help: &str) -> Result<IntGaugeVec, prometheus::Error> {
        self.registered(IntGaugeVec::new(Opts::new(name, help), &["path"])?)
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
