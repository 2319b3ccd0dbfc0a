//! The configuration is read again while the process runs: on SIGHUP, and when one of its files changes.
//! What can change is taken over in one step, what cannot is said by its name, and a file with a mistake
//! changes nothing at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::Signal;
use tracing::Level;

use super::refurbish::Rooms;
use super::status::{Reload, Status};
use super::tls::Tls;
use crate::config::{Loaded, Problem, Reading, Refusal, Seen, Settings, Source, Taken};
use crate::domain::time::Clock;
use crate::headscale::KeyFile;
use crate::ops::audit::{self, Act, Actor, Entry, Outcome};
use crate::ops::metrics::Metrics;
use crate::ops::{log, notify};

/// Between two looks at the files. What two looks in a row find is read: whoever writes a file takes less
/// from one to the next, and what is half written is not taken for the whole.
const LOOK: Duration = Duration::from_secs(1);

/// Looks that are left out when good files could not be taken over, before that is tried again.
const REST: u32 = 5;

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
    /// Whether the service manager has heard that we are ready.
    pub(super) announced: Arc<AtomicBool>,
    /// Looks to be left out.
    pub(super) rest: u32,
    /// What kept the files that are there from being taken over, if that may pass.
    pub(super) kept_from: Option<String>,
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
                    self.hung_up().await;
                    found = None;
                }
                () = tokio::time::sleep(LOOK) => {
                    found = self.look_again(found).await;
                }
            }
        }
    }

    /// SIGHUP. A manager that is waiting for us to be ready hears nothing else before that.
    async fn hung_up(&mut self) {
        let told = self.announced.load(Ordering::Acquire);
        if told {
            notify::reloading();
        }
        self.reload(None).await;
        if told {
            notify::ready();
        }
    }

    /// One look at the files, after one that `found` something new; what this one found.
    async fn look_again(&mut self, found: Option<Seen>) -> Option<Seen> {
        if !self.rooms.current.now().watch {
            return None;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        let now = self.look().await;
        if now.is_some() && now == found {
            self.reload(now).await;
            return None;
        }
        now
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

    /// Reads it because files are as `found`, or because of a signal.
    async fn reload(&mut self, found: Option<Seen>) {
        let by = found.as_ref().map_or(By::Signal, |_| By::File);
        let source = self.configuration.source.clone();
        let mut running = self.configuration.loaded.clone();
        if let Some(key) = self.rooms.houses.now().api.key().now() {
            // As a renewal writes it: what waits for a restart must not wait for the next one too.
            running.wrote("headscale.api_key_path", &KeyFile::content(&key));
        }
        let read = tokio::task::spawn_blocking(move || {
            if let Some(found) = found {
                return source.read_found(&running, &found);
            }
            let reading = source.read();
            let taken = source.take(&running, &reading);
            Some((reading, taken))
        });
        match read.await {
            Ok(Some((reading, taken))) => self.have_read(by, taken, reading),
            // Still being written: the next looks find what it becomes.
            Ok(None) => return,
            Err(_) => {
                return self.failed(by, vec!["the configuration could not be read".to_owned()]);
            }
        }
        // They look after themselves; whoever sends a signal says that they are complete.
        if by == By::Signal {
            self.status.certificates(self.tls.reload().await);
        }
    }

    fn have_read(&mut self, by: By, taken: Result<Taken, Refusal>, reading: Reading) {
        let seen = reading.seen.clone();
        match taken {
            Ok(taken) => {
                if let Err(why) = self.take_over(by, taken, reading) {
                    // It may be for want of something else than other files: they stay unread.
                    self.rest = REST;
                    return self.kept_from(by, why);
                }
                self.kept_from = None;
            }
            Err(refusal) => self.failed(by, told(&refusal)),
        }
        self.configuration.seen = seen;
    }

    /// The files are good, and could not be taken over all the same. Told once, however often it is tried.
    fn kept_from(&mut self, by: By, why: String) {
        if by == By::Signal || self.kept_from.as_ref() != Some(&why) {
            self.failed(by, vec![why.clone()]);
        }
        self.kept_from = Some(why);
    }

    fn take_over(&mut self, by: By, taken: Taken, reading: Reading) -> Result<(), String> {
        let settings = Arc::new(taken.loaded.settings.clone());
        log::check_level(&settings.log.level).map_err(|why| format!("log.level: {why}"))?;
        self.rooms.refurbish(&settings, &taken.changed)?;
        self.tell(by, &settings, &taken);
        self.configuration.loaded = taken.loaded;
        let now = self.clock.now();
        self.metrics.config_loaded(now);
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
        Ok(())
    }

    /// Changes how much the log tells, and tells of all changes where the log tells it: before, if it did
    /// until now, for it may not any longer.
    fn tell(&self, by: By, settings: &Settings, taken: &Taken) {
        let log_tells = tracing::enabled!(Level::INFO);
        let audit_tells = tracing::enabled!(target: audit::TARGET, Level::INFO);
        if audit_tells {
            self.record(by, Outcome::Done);
        }
        if log_tells {
            self.told_in_log(by, settings, taken);
        }
        // Checked before; and a line at the old level is no reason to go back.
        if settings.log.level != self.configuration.loaded.settings.log.level
            && let Err(why) = self.configuration.log.set_level(&settings.log.level)
        {
            tracing::warn!(%why, "the log keeps its level");
        }
        if !audit_tells {
            self.record(by, Outcome::Done);
        }
        if !log_tells {
            self.told_in_log(by, settings, taken);
        }
    }

    fn told_in_log(&self, by: By, settings: &Settings, taken: &Taken) {
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
            if !self
                .configuration
                .loaded
                .settings
                .warnings
                .contains(warning)
            {
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
