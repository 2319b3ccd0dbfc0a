//! What is counted of TLS: handshakes that came to nothing, and certificates.

use std::path::Path;

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use super::label::{Handshake, Order};
use super::{Families, Metrics};
use crate::domain::time::Timestamp;

/// The families of TLS.
#[derive(Debug)]
pub(super) struct TlsFamilies {
    handshake_failures: IntCounterVec,
    certificate_expiry: IntGaugeVec,
    certificate_failures: IntCounter,
    orders: IntCounterVec,
}

impl TlsFamilies {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        Ok(Self {
            handshake_failures: families.counters(
                (
                    "tls_handshake_failures_total",
                    "TLS handshakes of listeners that came to nothing, by reason.",
                ),
                &[("reason", Handshake::ALL)],
            )?,
            certificate_expiry: families.by_file(
                "certificate_expiry_seconds",
                "When a certificate of a listener expires, in seconds since 1970, by its file.",
            )?,
            certificate_failures: families.counter(
                "certificate_reload_failures_total",
                "Changes of certificate files that could not be used.",
            )?,
            orders: families.counters(
                (
                    "acme_orders_total",
                    "Orders at the ACME directory, by outcome.",
                ),
                &[("outcome", Order::ALL)],
            )?,
        })
    }
}

impl Metrics {
    /// Counts a TLS handshake that came to nothing.
    pub fn handshake_failed(&self, reason: Handshake) {
        let family = &self.tls.handshake_failures;
        family.with_label_values(&[reason.label()]).inc();
    }

    /// Notes when the certificate in `file` expires. There are as many as the operator configured.
    pub fn certificate_expires(&self, file: &Path, at: Timestamp) {
        let family = &self.tls.certificate_expiry;
        family
            .with_label_values(&[file.to_string_lossy().as_ref()])
            .set(i64::try_from(at.unix()).unwrap_or(i64::MAX));
    }

    /// Counts an order at the ACME directory.
    pub fn ordered(&self, outcome: Order) {
        let family = &self.tls.orders;
        family.with_label_values(&[outcome.label()]).inc();
    }

    /// Counts a change of certificate files that cannot be used.
    pub fn certificate_unusable(&self) {
        self.tls.certificate_failures.inc();
    }
}
