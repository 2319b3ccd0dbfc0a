//! The configuration is read again while the process runs: on SIGHUP, and when one of its files changes.
//! What can change is taken over in one step, what cannot is said by its name, and a file with a mistake
//! changes nothing at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;

use super::refurbish::Rooms;
use super::status::{Reload, Status};
use super::tls::Tls;
use crate::config::{Loaded, Problem, Reading, Refusal, Seen, Source, Taken};
use crate::domain::time::Clock;
use crate::ops::audit::{Act, Actor, Entry, Outcome};
use crate::ops::log;
use crate::ops::metrics::Metrics;

/// Between two looks at the files. What two looks in a row find is read: whoever writes a file takes less
/// from one to the next, and what is half written is not taken for the whole.
const LOOK: Duration = Duration::from_secs(1);

/// What the process was started with, as far as that can change.
pub struct Configuration {
    /// Where it comes from.
    pub source: Source,
    /// What it held.
    pub loaded: Loaded,
    /// What was looked at for that.
    pub seen: Seen,
    /// Where the log's level is changed.
    pub log: log::Handle,
    /// Each asks for it to be read again.
    pub hangups: Signal,
}

/// Why it is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// SIGHUP.
    Signal,
    /// A file changed.
    File,
}

impl By {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::File => "file",
        }
    }
}

/// Reads it again.
pub(super) struct Reloader {
    pub(super) configuration: Configuration,
    pub(super) rooms: Rooms,
    pub(super) tls: Arc<Tls>,
    pub(super) status: Arc<Status>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Reloader {
    /// Reads it whenever that is due, without end.
    pub(super) async fn run(mut self) {
        // What the last look found, where that was something new.
        let mut found: Option<Seen> = None;
        loop {
            tokio::select! {
                received = self.configuration.hangups.recv() => {
                    if received.is_none() {
                        return;
                    }
                    self.reload(By::Signal).await;
                    found = None;
                }
                () = tokio::time::sleep(LOOK) => {
                    if !self.rooms.current.now().watch {
                        found = None;
                        continue;
                    }
                    let now = self.look().await;
                    found = match now {
                        None => None,
                        Some(now) if found.as_ref() == Some(&now) => {
                            self.reload(By::File).await;
                            None
                        }
                        now => now,
                    };
                }
            }
        }
    }

    /// The files as they are now, if they are not as they were when they were last read.
    async fn look(&self) -> Option<Seen> {
        let seen = self.configuration.seen.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let now = seen.again();
            (now != seen).then_some(now)
        });
        looked.await.ok().flatten()
    }

    async fn reload(&mut self, by: By) {
        let (source, running) = (
            self.configuration.source.clone(),
            self.configuration.loaded.clone(),
        );
        let read = tokio::task::spawn_blocking(move || {
            let reading = source.read();
            let taken = source.take(&running, &reading);
            (reading, taken)
        });
        let Ok((reading, taken)) = read.await else {
            self.failed(by, vec!["the configuration could not be read".to_owned()]);
            return;
        };
        self.configuration.seen.clone_from(&reading.seen);
        match taken {
            Ok(taken) => self.take_over(by, taken, reading),
            Err(refusal) => self.failed(by, told(&refusal)),
        }
        // They look after themselves; whoever sends a signal says that they are complete.
        if by == By::Signal {
            self.status.certificates(self.tls.reload().await);
        }
    }

    fn take_over(&mut self, by: By, taken: Taken, reading: Reading) {
        let settings = Arc::new(taken.loaded.settings.clone());
        if let Err(why) = log::check_level(&settings.log.level) {
            return self.failed(by, vec![format!("log.level: {why}")]);
        }
        if let Err(why) = self.rooms.refurbish(&settings, &taken.changed) {
            return self.failed(by, vec![why]);
        }
        let before = &self.configuration.loaded.settings;
        // Checked above; and a line at the old level is no reason to go back.
        if settings.log.level != before.log.level
            && let Err(why) = self.configuration.log.set_level(&settings.log.level)
        {
            tracing::warn!(%why, "the log keeps its level");
        }
        let changed = taken.changed.join(", ");
        if taken.changed.is_empty() {
            tracing::info!(
                by = by.label(),
                "configuration read again: nothing that runs is changed by it"
            );
        } else {
            tracing::info!(by = by.label(), changed, "configuration taken over");
        }
        for warning in &settings.warnings {
            if !before.warnings.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        if !taken.waiting.is_empty() && taken.waiting != self.status.waiting() {
            let waiting = taken.waiting.join(", ");
            tracing::warn!(
                waiting,
                "these keys count from the next start on, and not before"
            );
        }
        self.configuration.loaded = taken.loaded;
        let now = self.clock.now();
        self.metrics.config_loaded(now);
        self.record(by, Outcome::Done);
        self.status.loaded(
            Reload {
                at: now,
                by: by.label(),
                changed: taken.changed,
                problems: Vec::new(),
                certificates: Vec::new(),
            },
            taken.waiting,
            reading.seen,
        );
    }

    /// Nothing has changed.
    fn failed(&self, by: By, problems: Vec<String>) {
        tracing::error!(
            by = by.label(),
            problems = problems.len(),
            "the configuration cannot be taken over, and nothing has changed"
        );
        for problem in &problems {
            tracing::error!("{problem}");
        }
        self.metrics.config_refused();
        self.record(by, Outcome::Refused);
        self.status.refused(Reload {
            at: self.clock.now(),
            by: by.label(),
            changed: Vec::new(),
            problems,
            certificates: Vec::new(),
        });
    }

    fn record(&self, by: By, outcome: Outcome) {
        let by = match by {
            By::Signal => Actor::Signal,
            By::File => Actor::File,
        };
        let entry = Entry {
            outcome,
            ..Entry::new(Act::Reloaded, by, "")
        };
        self.rooms.houses.now().audit.record(&entry);
    }
}

/// Each mistake on a line of its own.
fn told(refusal: &Refusal) -> Vec<String> {
    refusal.problems.iter().map(Problem::on_one_line).collect()
}
