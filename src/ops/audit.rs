//! The audit log: who did what to whose session, device or API, one line for each act. What the fields
//! mean is in `docs/audit.md`, and for programs in `docs/audit.schema.json`.
//!
//! Lines go into the ordinary log, as `tracing` events of the target [`TARGET`] that are written whatever
//! its level is (`ops::log`); or, where the operator wants a log of its own, as JSON to a file
//! (`file`). A line that cannot be written there is in the ordinary log, and counted: nobody waits for a
//! disk, and nothing is lost in silence.
//!
//! People are named by their subject, as everywhere in the log. Their user names are in the file where
//! the operator asks for them, and nowhere else.

mod act;
mod file;
mod line;
mod pending;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::act::{Act, Actor, DropReason, EndReason, Outcome, Scope, Step};
use self::file::Writer;
pub use self::pending::Pending;
use super::metrics::Metrics;
use crate::domain::identity::Subject;
use crate::domain::role::Role;
use crate::domain::time::Clock;

/// The `target` of every line of the audit log that is in the ordinary one.
pub const TARGET: &str = "headwarden::audit";

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Into the ordinary log, in its format.
    Log,
    /// As JSON to standard output.
    Stdout,
    /// As JSON to the end of a file, which is made when it is not there, and again when it was moved
    /// away.
    File(PathBuf),
}

/// The audit log. Cheap to clone; every method may be called from any thread.
#[derive(Clone, Debug)]
pub struct Audit {
    writer: Option<Writer>,
    user_names: bool,
    clock: Arc<dyn Clock>,
}

impl Audit {
    /// Opens the audit log at its destination; `user_names` are written to one of its own only. What
    /// cannot be written there later is counted in `metrics`.
    ///
    /// # Errors
    /// When the file cannot be opened now.
    pub fn open(
        to: Destination,
        user_names: bool,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        Ok(Self {
            writer: Writer::start(to, metrics)?,
            user_names,
            clock,
        })
    }

    /// Into the ordinary log.
    pub fn in_log(clock: Arc<dyn Clock>) -> Self {
        Self {
            writer: None,
            user_names: false,
            clock,
        }
    }

    /// Writes one act. Called once it is done. Never waits.
    pub fn record(&self, entry: &Entry<'_>) {
        match &self.writer {
            None => entry.log(),
            Some(writer) => {
                let now = self.clock.now();
                writer.write(file::Line {
                    text: entry.line(now, self.user_names),
                    for_log: self.user_names.then(|| entry.line(now, false)),
                });
            }
        }
    }

    /// Waits until what was recorded before is written, but not longer than `most`.
    pub async fn flush(&self, most: Duration) {
        if let Some(writer) = &self.writer {
            writer.flush(most).await;
        }
    }
}

/// One act. What does not apply is left out of its line.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What was done.
    pub act: Act,
    /// How it ended.
    pub outcome: Outcome,
    /// By whom.
    pub by: Actor,
    /// Under which request; empty where nobody asked.
    pub request_id: &'a str,
    /// The address it came from.
    pub client: Option<IpAddr>,
    /// Who, or whose session, if it is one person.
    pub subject: Option<&'a Subject>,
    /// That person's user name, as the provider said it.
    pub user: Option<&'a str>,
    /// Which session, if it is one: as in the list of sessions.
    pub session: Option<&'a str>,
    /// Which sessions were asked for.
    pub scope: Option<Scope>,
    /// How many there were.
    pub sessions: Option<usize>,
    /// Why: a word of a fixed set.
    pub reason: Option<&'static str>,
    /// Which kind of rule refused.
    pub rule: Option<&'static str>,
    /// How far a device or an SSH check has come.
    pub step: Option<Step>,
    /// The end of the link's id, as in the log.
    pub device: Option<&'a str>,
    /// Which device, by Headscale's id.
    pub node: Option<&'a str>,
    /// Whose device it is, if it is not theirs who did it: a subject, or Headscale's id of a user.
    pub owner: Option<&'a str>,
    /// The request's method.
    pub method: Option<&'a str>,
    /// The request's path, as the log may be told it.
    pub path: Option<&'a str>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The session's role on the API.
    pub role: Option<Role>,
    /// The public part of a key of Headscale's API.
    pub key: Option<&'a str>,
    /// How many groups of the policy are the provider's.
    pub groups: Option<usize>,
    /// Members that came into them.
    pub members_added: Option<usize>,
    /// Members that went.
    pub members_removed: Option<usize>,
}

impl<'a> Entry<'a> {
    /// `act` by `by`, done, and nothing more known of it.
    pub const fn new(act: Act, by: Actor, request_id: &'a str) -> Self {
        Self {
            act,
            outcome: Outcome::Done,
            by,
            request_id,
            client: None,
            subject: None,
            user: None,
            session: None,
            scope: None,
            sessions: None,
            reason: None,
            rule: None,
            step: None,
            device: None,
            node: None,
            owner: None,
            method: None,
            path: None,
            status: None,
            role: None,
            key: None,
            groups: None,
            members_added: None,
            members_removed: None,
        }
    }

    /// Into the ordinary log.
    fn log(&self) {
        tracing::info!(
            target: TARGET,
            act = self.act.label(),
            outcome = self.outcome.label(),
            by = %self.by,
            request_id = Some(self.request_id).filter(|id| !id.is_empty()),
            client = self.client.map(tracing::field::display),
            subject = self.subject.map(tracing::field::display),
            session = self.session.map(tracing::field::display),
            scope = self.scope.map(Scope::label),
            sessions = self.sessions,
            reason = self.reason,
            rule = self.rule,
            step = self.step.map(Step::label),
            device = self.device,
            node = self.node,
            owner = self.owner,
            method = self.method,
            path = self.path,
            status = self.status,
            role = self.role.map(Role::label),
            key = self.key,
            groups = self.groups,
            members_added = self.members_added,
            members_removed = self.members_removed,
            "{}", self.act.message()
        );
    }
}

#[cfg(test)]
mod tests;
