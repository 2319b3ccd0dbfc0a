//! The provider's groups in Headscale's policy: who is in them is put together from the people who signed
//! in, the users that Headscale knows and the policy as it is, and written where it differs.
//!
//! Whatever is not certain is not written. Of several replicas one writes at a time. What Headscale refused
//! is not asked for again until something is different, or an hour has passed.

mod assign;
mod attempt;
mod report;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use self::attempt::{Refused, Way};
use self::report::Told;
use super::house::{House, Houses};
use super::roll::Roll;
use crate::domain::identity::Subject;
use crate::domain::time::Timestamp;
use crate::ops::metrics::SyncFailure;
use crate::session::shared::SharedSessions;

pub use self::report::{Failure, Outcome, Report};

/// From a change to writing it: people sign in together, and a device follows its person.
const SETTLE: Duration = Duration::from_secs(2);
/// While somebody who just signed in is no user of Headscale's yet.
const SOON: Duration = Duration::from_secs(15);
/// How long ago "just" is, in seconds.
const JUST: Duration = Duration::from_mins(10);
/// How long one attempt may take, and how long it keeps other replicas out: a little longer.
const LONGEST: Duration = Duration::from_secs(100);
const HELD: Duration = Duration::from_secs(110);
/// Between two looks whether another replica is done.
const NEXT_TURN: Duration = Duration::from_secs(1);
/// Between two looks at settings that ask for nothing.
const IDLE: Duration = Duration::from_mins(1);
/// What the right to write is called.
const RIGHT: &str = "policy sync";

/// Keeps the policy as it should be.
#[derive(Debug)]
pub struct PolicySync {
    roll: Arc<Roll>,
    shared: Option<Arc<SharedSessions>>,
    /// One attempt at a time.
    turn: tokio::sync::Mutex<()>,
    refused: Mutex<Vec<Refused>>,
    /// Since when somebody is awaited in Headscale.
    awaited: Mutex<BTreeMap<Subject, Timestamp>>,
    last: Mutex<Last>,
}

/// What came of it so far.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// The newest attempt of this process, and when it was.
    pub tried: Option<(Timestamp, Report)>,
    /// When the policy was last as it should be.
    pub good: Option<Timestamp>,
    told: Told,
}

impl PolicySync {
    /// Writes what `roll` knows; replicas that share a store, one at a time.
    pub fn new(roll: Arc<Roll>, shared: Option<Arc<SharedSessions>>) -> Self {
        Self {
            roll,
            shared,
            turn: tokio::sync::Mutex::default(),
            refused: Mutex::default(),
            awaited: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// Looks after the policy, and not while `leaving` is true. Ends with whoever may say so.
    pub async fn run(self: Arc<Self>, houses: Houses, mut leaving: watch::Receiver<bool>) {
        let mut pause = Duration::ZERO;
        let mut changes = houses.now().changes();
        loop {
            let settles = tokio::select! {
                () = sleep(pause) => Duration::ZERO,
                () = self.roll.changed() => SETTLE,
                () = changes.next() => Duration::ZERO,
                () = async { drop(leaving.wait_for(|leaving| *leaving).await) } => {
                    self.keep().await;
                    // Whoever was to take over may fail to, and then this goes on.
                    if leaving.wait_for(|leaving| !*leaving).await.is_err() {
                        return;
                    }
                    Duration::ZERO
                }
            };
            sleep(settles).await;
            if *leaving.borrow() {
                continue;
            }
            let house = houses.now();
            let sync = &house.settings.policy_sync;
            pause = if sync.is_on() {
                let report = self.attempt(&house, Way::Write).await;
                match report.outcome {
                    Outcome::Elsewhere => NEXT_TURN,
                    _ if report.waits_for_somebody => SOON.min(sync.interval),
                    _ => sync.interval,
                }
            } else {
                self.roll.off().await;
                IDLE
            };
        }
    }

    async fn keep(&self) {
        if let Err(why) = self.roll.keep().await {
            tracing::error!(%why, "who is in which group is not kept");
        }
    }

    /// What would be written now; writes nothing.
    pub async fn show(&self, house: &House) -> Report {
        self.attempt(house, Way::Show).await
    }

    /// Writes now, also what Headscale refused before.
    pub async fn write(&self, house: &House) -> Report {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.attempt(house, Way::Write).await
    }

    /// What came of it so far.
    pub fn last(&self) -> Last {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn attempt(&self, house: &House, way: Way) -> Report {
        let _turn = self.turn.lock().await;
        if !house.settings.policy_sync.is_on() {
            return Report::of(Outcome::Off);
        }
        let report = match timeout(LONGEST, self.in_turn(house, way)).await {
            Ok(report) => report,
            Err(_) => Report::of(Outcome::Failed(Failure::new(
                SyncFailure::Headscale,
                "headscale takes too long",
            ))),
        };
        if way == Way::Write && !matches!(report.outcome, Outcome::Elsewhere) {
            self.tell(house, &report);
        }
        report
    }

    /// In its turn among the replicas.
    async fn in_turn(&self, house: &House, way: Way) -> Report {
        let _held = match (&self.shared, way) {
            (None, _) | (_, Way::Show) => None,
            (Some(shared), Way::Write) => match shared.hold(RIGHT, HELD).await {
                Ok(Some(held)) => Some(held),
                Ok(None) => {
                    tracing::debug!("another replica writes the policy");
                    return Report::of(Outcome::Elsewhere);
                }
                Err(away) => {
                    let failure = Failure::new(SyncFailure::State, &away.to_string());
                    return Report::of(Outcome::Failed(failure));
                }
            },
        };
        self.once(house, way).await
    }

    /// Log, audit log, metrics, and what an operator who asks is told.
    fn tell(&self, house: &House, report: &Report) {
        let now = house.clock.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let news = last.told.tell(report, now);
        if report.is_good() {
            last.good = Some(now);
        }
        last.tried = Some((now, report.clone()));
        drop(last);
        report::count(house, report, now);
        if news {
            report::audit_refused(house, report);
        }
    }
}
