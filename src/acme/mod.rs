//! Certificates from an ACME directory (RFC 8555): ordered when there is none, renewed before the one
//! there is expires.
//!
//! This room speaks to the directory, keeps what it gets in files, and knows what validators have to be
//! answered ([`Challenges`]); listeners ask it. It does not show certificates: listeners watch the file,
//! as they watch any other.

mod challenges;
mod http;
mod order;
mod storage;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

pub use self::challenges::{Challenges, HTTP_PATH, PROTOCOL};
pub use self::http::ClientError;
pub use self::order::OrderError;
pub use self::storage::StorageError;

use self::http::Http;
use self::storage::Storage;
use crate::config::{AcmeSettings, ChallengeKind};
use crate::domain::causes::causes;
use crate::domain::random::Random;
use crate::domain::time::{Clock, Timestamp};
use crate::ops::health::Outcome;
use crate::ops::metrics::{Metrics, Order};

/// Longest sleep: the clock may be set, the file replaced.
const NAP: Duration = Duration::from_hours(1);
/// After an order that another process is at, or that brought a certificate which is due already.
const SOON: Duration = Duration::from_mins(1);
/// After the first order that failed; twice that after each further one. Five fit in an hour, which is
/// what Let's Encrypt lets fail.
const FIRST_RETRY: Duration = Duration::from_mins(2);
/// Never longer than this, unless the directory asks for it.
const LAST_RETRY: Duration = Duration::from_hours(6);
/// The longest wait that a directory can ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// A directory, and the one certificate we have from it.
#[derive(Debug)]
pub struct Acme {
    settings: AcmeSettings,
    storage: Storage,
    http: Http,
    challenges: Arc<Challenges>,
    /// Why the last order failed, if it did.
    trouble: Mutex<Option<String>>,
    /// Somebody says that it is worth trying again.
    again: Notify,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Acme {
    /// Nothing is asked, nothing is written.
    ///
    /// # Errors
    /// When there can be no client.
    pub fn new(
        settings: AcmeSettings,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ClientError> {
        let http = Http::new(settings.ca_path.as_deref())?;
        let storage = Storage::new(settings.place(), settings.certificate_path());
        Ok(Self {
            settings,
            storage,
            http,
            challenges: Arc::default(),
            trouble: Mutex::default(),
            again: Notify::new(),
            metrics,
            clock,
            random,
        })
    }

    /// What listeners answer validators with.
    pub fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// Does not wait any longer before the next try: what was in the way is gone, somebody says.
    pub fn try_again(&self) {
        self.again.notify_one();
    }

    /// Orders and renews, and not while `leaving` is true; an order that is under way is given up then, since validators
    /// come to whoever takes our place. A directory that is away is asked again, later each time.
    pub async fn keep(self: Arc<Self>, mut leaving: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let wait = tokio::select! {
                wait = self.step(&mut failures) => wait,
                _ = leaving.wait_for(|leave| *leave) => Duration::ZERO,
            };
            tokio::select! {
                () = tokio::time::sleep(wait), if !*leaving.borrow() => {}
                () = self.again.notified() => {}
                _ = leaving.wait_for(|leave| *leave) => {}
            }
            // Whoever was to take our place may fail to.
            if leaving.wait_for(|leave| !*leave).await.is_err() {
                return;
            }
        }
    }

    /// Does what is due; how long to wait then.
    async fn step(&self, failures: &mut u32) -> Duration {
        match self.due() {
            Ok(Some(at)) if at > self.clock.now() => {
                return at.since(self.clock.now()).min(NAP);
            }
            Ok(_) => {}
            Err(why) => return self.failed(&why.into(), failures),
        }
        match self.order().await {
            Ok(leaf) => {
                *failures = 0;
                self.metrics.ordered(Order::Issued);
                self.note(None);
                tracing::info!(
                    names = self.settings.names.join(" "),
                    expires = leaf.expires.unix(),
                    renewal = leaf.renewal().unix(),
                    "certificate obtained from the ACME directory"
                );
                SOON
            }
            Err(OrderError::Storage(StorageError::Busy)) => SOON,
            Err(why) => self.failed(&why, failures),
        }
    }

    fn failed(&self, why: &OrderError, failures: &mut u32) -> Duration {
        *failures = failures.saturating_add(1);
        let wait = retry(*failures, self.http.take_wait(), self.random.as_ref());
        self.metrics.ordered(Order::Failed);
        let reason = with_causes(why);
        tracing::error!(
            directory = self.settings.directory_url,
            reason,
            retry_seconds = wait.as_secs(),
            "no certificate from the ACME directory"
        );
        self.note(Some(reason));
        wait
    }

    /// When the certificate has to be renewed; `None` where there is none for our names.
    fn due(&self) -> Result<Option<Timestamp>, StorageError> {
        let leaf = self.storage.certificate()?;
        let leaf = leaf.filter(|leaf| leaf.covers(&self.settings.names));
        Ok(leaf.map(|leaf| leaf.renewal()))
    }

    fn note(&self, trouble: Option<String>) {
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *last = trouble;
    }

    /// How it goes, for readiness. It never fails it: the certificate there is may be good for weeks.
    pub fn health(&self) -> Outcome {
        let last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (last.as_ref(), self.due()) {
            (Some(why), Ok(None)) => Outcome::Warn(format!("no certificate yet: {why}")),
            (Some(why), _) => Outcome::Warn(format!("not renewed: {why}")),
            (None, Ok(None)) => {
                Outcome::Warn("no certificate yet: the order is running".to_owned())
            }
            (None, Ok(Some(_))) => Outcome::Pass,
            (None, Err(why)) => Outcome::Warn(why.to_string()),
        }
    }
}

/// How long to wait after so many failures in a row: as long as the directory asks, and at least our
/// own time, which varies by a quarter so that not everybody comes back at once.
fn retry(failures: u32, asked: Option<Duration>, random: &dyn Random) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let own = FIRST_RETRY.saturating_mul(1 << doublings).min(LAST_RETRY);
    let mut byte = [0];
    random.fill(&mut byte);
    let [byte] = byte;
    let own = own + (own / 4 / 256) * u32::from(byte);
    own.max(asked.unwrap_or_default().min(LONGEST_WAIT))
}

fn with_causes(why: &OrderError) -> String {
    let mut told = why.to_string();
    for cause in causes(why) {
        told.push_str(": ");
        told.push_str(&cause.to_string());
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::testing::Always;

    #[test]
    fn each_failure_waits_longer_than_the_one_before_up_to_a_quarter_of_a_day() {
        let minutes = [2, 4, 8, 16, 32, 64, 128, 256, 360, 360];
        for (failures, expected) in (1..).zip(minutes) {
            let expected = Duration::from_mins(expected);
            assert_eq!(retry(failures, None, &Always(0)), expected, "{failures}");
            let late = retry(failures, None, &Always(255));
            assert!(
                late > expected && late < expected * 5 / 4,
                "{failures}: {late:?}"
            );
        }
        assert!(retry(u32::MAX, None, &Always(255)) < LAST_RETRY * 5 / 4);
        let hour: Duration = (1..=5)
            .map(|failures| retry(failures, None, &Always(0)))
            .sum();
        assert!(
            hour >= Duration::from_hours(1),
            "five orders an hour at most: {hour:?}"
        );
    }

    #[test]
    fn a_directory_is_given_the_time_it_asks_for_up_to_a_day() {
        for (asked, expected) in [(0, 2), (60, 2), (3 * 3600, 180), (7 * 86_400, 24 * 60)] {
            let wait = retry(1, Some(Duration::from_secs(asked)), &Always(0));
            assert_eq!(wait, Duration::from_mins(expected), "{asked} s");
        }
    }
}
