//! People are checked again at the provider while their sessions live, where it gave refresh tokens:
//! who is refused there, or has lost a right here, is signed out.
//!
//! One refresh of a session at a time, in this process and over all replicas. It is a task of its own;
//! a request waits a bounded time for it, and is then answered from the session, as long as the grace
//! lasts. While the provider is away, nobody is signed out, and nobody is let through for longer than
//! that.

mod errand;
mod farewell;
mod pauses;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use self::farewell::Unheard;
use self::pauses::Pauses;
use super::flights::{Flight, Flights};
use super::offboarding::Offboarding;
use super::roll::Roll;
use crate::domain::identity::Subject;
use crate::domain::policy::Rules;
use crate::domain::session::{Due, Recheck, Session};
use crate::domain::time::{Clock, Timestamp};
use crate::oidc::Provider;
use crate::ops::audit::Audit;
use crate::ops::metrics::Metrics;
use crate::ops::trace;
use crate::session::{Live, SessionKey, Sessions};

/// Longest that a request waits for a re-check, counted from the beginning of that.
pub const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Longest that the last look at somebody waits for one session.
const LONGEST_LOOK: Duration = Duration::from_secs(30);
/// Refreshes at a time, of all sessions of this process: the provider is not run down when many are
/// due at once.
const MOST_AT_ONCE: usize = 32;

/// What a re-check says of a session that is wanted now.
#[derive(Clone, Debug)]
pub enum Checked {
    /// It is good, as it is here.
    Good(Live),
    /// It has ended.
    Over,
    /// It is not good until the provider answers; worth another try in so many seconds.
    Unavailable(u32),
}

/// What the sessions of somebody who seems to be gone say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastLook {
    /// The person is here.
    Here,
    /// Nobody can tell now.
    Unknown,
    /// There is none, or none that anybody vouches for.
    Nobody,
}

/// How one flight ended.
#[derive(Clone, Debug)]
enum Landed {
    Confirmed(Live),
    Over,
    /// Nothing was decided.
    Away,
}

/// Whom a line in the log is about.
#[derive(Clone, Debug)]
struct Cause {
    /// `None` for what nobody asked for.
    request: Option<String>,
    session: SessionKey,
    /// It is due unless it was checked after this.
    unless_since: Option<Timestamp>,
}

/// By what people are checked again.
#[derive(Debug)]
pub struct Terms {
    /// How often.
    pub recheck: Recheck,
    /// Who may pass.
    pub rules: Rules,
    /// Whom to ask.
    pub provider: Arc<Provider>,
}

/// Re-checks people.
#[derive(Debug)]
pub struct Rechecks {
    terms: ArcSwap<Terms>,
    sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
    audit: Audit,
    /// Who hears of those who are gone.
    offboarding: Option<Arc<Offboarding>>,
    roll: Option<Arc<Roll>>,
    clock: Arc<dyn Clock>,
    flights: Flights<SessionKey, Landed>,
    /// Held by each who is asked about for the last time.
    farewells: Arc<()>,
    /// Of whom the provider has not said yet whether they are gone.
    unheard: Mutex<Vec<Unheard>>,
    /// Sessions that a logout token ended while they were being checked here.
    departing: Mutex<HashSet<SessionKey>>,
    pauses: Pauses<SessionKey>,
    places: Semaphore,
    /// When an outage was last complained about.
    complained: AtomicU64,
    /// Another process does this from now on.
    retired: AtomicBool,
    /// Whether it was said that the provider gives no refresh tokens.
    said: AtomicBool,
}

impl Rechecks {
    /// Nobody is checked yet.
    pub fn new(
        recheck: Recheck,
        rules: Rules,
        provider: Arc<Provider>,
        sessions: Arc<Sessions>,
        metrics: Arc<Metrics>,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            terms: ArcSwap::from_pointee(Terms {
                recheck,
                rules,
                provider,
            }),
            sessions,
            metrics,
            audit,
            offboarding: None,
            roll: None,
            clock,
            flights: Flights::new(),
            farewells: Arc::default(),
            unheard: Mutex::default(),
            departing: Mutex::default(),
            pauses: Pauses::new(),
            places: Semaphore::new(MOST_AT_ONCE),
            complained: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            said: AtomicBool::new(false),
        }
    }

    /// The same, and who is gone and who is here is told to `offboarding`.
    #[must_use]
    pub fn telling_departures(self, offboarding: Arc<Offboarding>) -> Self {
        Self {
            offboarding: Some(offboarding),
            ..self
        }
    }

    /// The same, and what is found is told to `roll`.
    #[must_use]
    pub fn telling(self, roll: Arc<Roll>) -> Self {
        Self {
            roll: Some(roll),
            ..self
        }
    }

    /// Whoever is checked from now on is checked by `terms`.
    pub fn change(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    /// Says once that nobody can be checked again, when the first session shows it.
    pub fn begun(&self, session: &Session) {
        if session.refresh_token.is_none() && !self.said.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "the provider gave no refresh token: people are not checked again, and sessions \
                 live to their limits; is offline_access in oidc.scope, and does the provider \
                 grant it?"
            );
        }
    }

    /// Whether `live` is good for something that is asked for now, on behalf of `request`. Asks the
    /// provider where that is due; takes no longer than [`LONGEST_WAIT`].
    pub async fn check(self: &Arc<Self>, live: Live, request: Option<&str>) -> Checked {
        if self.due(&live.session) == Due::Later {
            return Checked::Good(live);
        }
        if let Some(flight) = self.take_off(&live, request, None) {
            match Box::pin(flight.outcome(LONGEST_WAIT)).await {
                Some(Landed::Confirmed(live)) => return Checked::Good(live),
                Some(Landed::Over) => return Checked::Over,
                Some(Landed::Away) | None => {}
            }
        }
        match self.due(&live.session) {
            _ if live.is_over() => Checked::Over,
            Due::Later | Due::Now => Checked::Good(live),
            Due::Overdue => {
                let pause = self.pauses.left(&live.key, self.clock.now());
                Checked::Unavailable(u32::try_from(pause.max(1)).unwrap_or(u32::MAX))
            }
        }
    }

    /// Checks sessions that something open hangs on, without end: there, nobody asks.
    pub async fn watch_over_what_is_open(self: Arc<Self>) {
        loop {
            self.pauses.forget_old(self.clock.now());
            for live in self.sessions.followed() {
                if self.due(&live.session) != Due::Later {
                    self.take_off(&live, None, None);
                }
            }
            let every = self.terms.load().recheck.every / 4;
            sleep(every.clamp(Duration::from_secs(1), Duration::from_secs(5))).await;
        }
    }

    /// Asks the provider no more: another process has the same sessions, and of two refreshes with one token
    /// the provider takes the second for a theft. What the provider was asked is finished, see
    /// [`Self::settled`].
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Asks again: there is no other process after all.
    pub fn go_on(&self) {
        self.retired.store(false, Ordering::Relaxed);
    }

    /// Whether another process asks.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether somebody vouches for `subject`, of whom it was heard at `since` that they are gone: one of
    /// their sessions began or was checked after that, or is good when it is checked now.
    pub(super) async fn last_look(
        self: &Arc<Self>,
        subject: &Subject,
        since: Timestamp,
    ) -> LastLook {
        let Ok(sessions) = self.sessions.of_subject(subject).await else {
            return LastLook::Unknown;
        };
        let mut found = LastLook::Nobody;
        for live in sessions {
            if live.session.checked_at > since {
                return LastLook::Here;
            }
            if live.session.refresh_token.is_none() {
                continue;
            }
            let landed = match self.take_off(&live, None, Some(since)) {
                Some(flight) => flight.outcome(LONGEST_LOOK).await,
                None => None,
            };
            match landed {
                Some(Landed::Confirmed(_)) => return LastLook::Here,
                Some(Landed::Over) => {}
                Some(Landed::Away) | None => found = LastLook::Unknown,
            }
        }
        found
    }

    /// Refreshes that are under way.
    pub fn under_way(&self) -> usize {
        self.flights.len() + Arc::strong_count(&self.farewells).saturating_sub(1)
    }

    /// Ready when no refresh is under way: at the end, so that no new refresh token is lost.
    pub async fn settled(&self) {
        while self.under_way() > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn unheard(&self) -> MutexGuard<'_, Vec<Unheard>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn departing(&self) -> MutexGuard<'_, HashSet<SessionKey>> {
        self.departing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_departing(&self, key: &SessionKey) -> bool {
        self.departing().contains(key)
    }

    fn due(&self, session: &Session) -> Due {
        match session.refresh_token {
            Some(_) => {
                let recheck = self.terms.load().recheck;
                recheck.due(session.checked_at, self.clock.now())
            }
            None => Due::Later,
        }
    }

    /// The flight of this session; `None` while it pauses after a failure.
    fn take_off(
        self: &Arc<Self>,
        live: &Live,
        request: Option<&str>,
        unless_since: Option<Timestamp>,
    ) -> Option<Flight<Landed>> {
        if self.is_retired() || self.pauses.left(&live.key, self.clock.now()) > 0 {
            return None;
        }
        Some(self.flights.join(live.key, || {
            let cause = Cause {
                request: request.map(str::to_owned),
                session: live.key,
                unless_since,
            };
            let (this, live) = (Arc::clone(self), live.clone());
            trace::carried(async move { this.fly(live, &cause).await })
        }))
    }

    async fn fly(&self, live: Live, cause: &Cause) -> Landed {
        let mut crash = Crash(Some((self, live.key, self.clock.now())));
        let landed = self.turn(&live, cause).await.unwrap_or_else(|away| {
            tracing::warn!(
                request_id = cause.request, session = %cause.session, reason = %away,
                "not checked again"
            );
            Landed::Away
        });
        crash.0 = None;
        self.departing().remove(&live.key);
        match landed {
            Landed::Confirmed(_) | Landed::Over => self.pauses.over(&live.key),
            Landed::Away => {
                self.pauses.failed(live.key, self.clock.now());
                // What hangs on it is let through no longer than a request.
                if self.due(&live.session) == Due::Overdue {
                    live.let_go();
                }
            }
        }
        landed
    }
}

/// A flight that is not over, and when it began: if it never is, that was a failure.
struct Crash<'a>(Option<(&'a Rechecks, SessionKey, Timestamp)>);

impl Drop for Crash<'_> {
    fn drop(&mut self) {
        if let Some((rechecks, key, began)) = self.0 {
            rechecks.pauses.failed(key, began);
        }
    }
}
