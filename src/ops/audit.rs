//! The audit log: who did what to whose session, one line for each act. The lines are `tracing` events of
//! the target [`TARGET`], at level info, and are written whatever the log's level is (`ops::log`); what
//! their fields mean is in `docs/audit.md`.
//!
//! People are named by their subject, as everywhere in the log: no name, no address of theirs.

use std::fmt;
use std::net::IpAddr;

use crate::domain::identity::Subject;

/// The `target` of every line of the audit log.
pub const TARGET: &str = "headwarden::audit";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Somebody signed in.
    SignedIn,
    /// A person ended their session in the browser they sit at.
    SignedOut,
    /// Sessions were ended from elsewhere.
    Ended,
    /// Sessions were listed.
    Listed,
    /// One session was looked at.
    Shown,
    /// The configuration was read again and taken over.
    Reloaded,
    /// The configuration was read again, and refused.
    ReloadRefused,
}

impl Act {
    /// The value of `act`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::SignedIn => "signed_in",
            Self::SignedOut => "signed_out",
            Self::Ended => "sessions_ended",
            Self::Listed => "sessions_listed",
            Self::Shown => "session_shown",
            Self::Reloaded => "configuration_reloaded",
            Self::ReloadRefused => "configuration_refused",
        }
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The person whose sessions these are, with a browser.
    Person,
    /// The identity provider.
    Provider,
    /// Headwarden itself, by a rule of the configuration.
    Headwarden,
    /// A user of this machine, over the operator's socket; the kernel says who.
    LocalUser(u32),
    /// Whoever reached the operator's listener.
    AdminListener,
    /// Whoever may send us a signal.
    Signal,
    /// Whoever may write the configuration's files.
    File,
}

impl fmt::Display for Actor {
    /// The value of `by`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => f.write_str("person"),
            Self::Provider => f.write_str("provider"),
            Self::Headwarden => f.write_str("headwarden"),
            Self::LocalUser(uid) => write!(f, "uid:{uid}"),
            Self::AdminListener => f.write_str("admin_listener"),
            Self::Signal => f.write_str("signal"),
            Self::File => f.write_str("file"),
        }
    }
}

/// Which sessions were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One, by its id.
    Session,
    /// Those of one subject.
    Subject,
    /// Those of whoever has a user name or an e-mail address.
    User,
    /// A person's own but the one they sit at.
    Others,
    /// Every one there is.
    All,
}

impl Scope {
    /// The value of `scope`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Subject => "subject",
            Self::User => "user",
            Self::Others => "others",
            Self::All => "all",
        }
    }
}

/// One act. What does not apply is left out of its line.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What was done.
    pub act: Act,
    /// By whom.
    pub by: Actor,
    /// Under which request; empty where nobody asked.
    pub request_id: &'a str,
    /// The address it came from.
    pub client: Option<IpAddr>,
    /// Whose session, if it is one person's.
    pub subject: Option<&'a Subject>,
    /// Which one, if it is one: as in the list of sessions.
    pub session: Option<&'a str>,
    /// Which ones were asked for.
    pub scope: Option<Scope>,
    /// How many there were.
    pub sessions: Option<usize>,
}

impl<'a> Entry<'a> {
    /// `act` by `by`, and nothing more known of it.
    pub const fn new(act: Act, by: Actor, request_id: &'a str) -> Self {
        Self {
            act,
            by,
            request_id,
            client: None,
            subject: None,
            session: None,
            scope: None,
            sessions: None,
        }
    }

    /// Writes it into the log. Called once the act is done.
    pub fn record(&self) {
        macro_rules! line {
            ($message:literal) => {
                tracing::info!(
                    target: TARGET,
                    act = self.act.label(),
                    by = %self.by,
                    request_id = Some(self.request_id).filter(|id| !id.is_empty()),
                    client = self.client.map(tracing::field::display),
                    subject = self.subject.map(tracing::field::display),
                    session = self.session.map(tracing::field::display),
                    scope = self.scope.map(Scope::label),
                    sessions = self.sessions,
                    $message
                )
            };
        }
        match self.act {
            Act::SignedIn => line!("signed in"),
            Act::SignedOut => line!("signed out"),
            Act::Ended => line!("sessions ended"),
            Act::Listed => line!("sessions listed"),
            Act::Shown => line!("session shown"),
            Act::Reloaded => line!("configuration reloaded"),
            Act::ReloadRefused => line!("configuration refused"),
        }
    }
}
