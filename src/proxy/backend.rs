//! The addresses of one web UI, and which of them a request goes to. An address that did not let itself
//! be connected to is passed over for a while; where there are health checks ([`health`]), one that fails
//! them is not used at all.
//!
//! Another address is tried when there was no connection: then nothing of the request was sent, so that any
//! request may be sent again. What was sent over a connection that was kept, and had closed, goes elsewhere
//! only where it is a GET or a HEAD.

pub mod health;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::upstream::{Origin, TrustError};
use crate::config::{Balance, HostField, Upstream, WebUi};

/// How long an address is passed over that could not be connected to.
const PASSED_OVER: Duration = Duration::from_secs(10);

/// A web UI, ready to be connected to.
pub struct Backend {
    settings: WebUi,
    members: Vec<Member>,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// What times here are counted from.
    began: Instant,
    /// Somebody checks its health already.
    watched: AtomicBool,
}

/// One address.
#[derive(Debug)]
pub struct Member {
    origin: Arc<Origin>,
    /// What health checks say; true where there are none.
    healthy: AtomicBool,
    /// Until when it is passed over, in milliseconds since the beginning.
    passed_over_until: AtomicU64,
    /// Requests that are there now.
    open: AtomicUsize,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&self.settings).finish()
    }
}

impl Backend {
    /// Prepares a web UI. `origin` makes what is behind each address, and gets the longest wait for a
    /// connection; `otherwise` is that where the web UI has none of its own.
    ///
    /// # Errors
    /// Those of `origin`.
    pub fn new(
        settings: &WebUi,
        otherwise: Duration,
        origin: &impl Fn(&Upstream, Option<&str>, Duration) -> Result<Arc<Origin>, TrustError>,
    ) -> Result<Self, TrustError> {
        let name = settings.server_name.as_deref();
        let timeout = settings.connect_timeout.unwrap_or(otherwise);
        let members = settings.addresses.iter().map(|address| {
            Ok(Member {
                origin: origin(address, name, timeout)?,
                healthy: AtomicBool::new(true),
                passed_over_until: AtomicU64::new(0),
                open: AtomicUsize::new(0),
            })
        });
        Ok(Self {
            members: members.collect::<Result<_, _>>()?,
            settings: settings.clone(),
            turn: AtomicUsize::new(0),
            began: Instant::now(),
            watched: AtomicBool::new(false),
        })
    }

    /// What was configured.
    pub const fn settings(&self) -> &WebUi {
        &self.settings
    }

    /// Whether `other` is for the same, with the same behind each address: then what is known of its
    /// health is worth keeping.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let all = self.origins().zip(other.origins());
        self.settings == other.settings
            && self.members.len() == other.members.len()
            && all.into_iter().all(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Takes over what `before` knows of the health of addresses that are checked in the same way here: one
    /// that failed its checks gets nothing until it passes them.
    pub fn remember(&self, before: &Self) {
        if self.settings.health.is_none() || self.settings.health != before.settings.health {
            return;
        }
        for member in &self.members {
            let same = |it: &&Member| Arc::ptr_eq(&it.origin, &member.origin);
            if let Some(known) = before.members.iter().find(same) {
                member.healthy.store(known.is_healthy(), Ordering::Relaxed);
            }
        }
    }

    /// What is behind each address.
    pub fn origins(&self) -> impl Iterator<Item = &Arc<Origin>> {
        self.members.iter().map(|member| &member.origin)
    }

    /// Each address, as configured, and whether health checks let it be used.
    pub fn health(&self) -> impl Iterator<Item = (String, bool)> {
        let healthy = self.members.iter().map(Member::is_healthy);
        let addresses = self.settings.addresses.iter().map(Upstream::authority);
        addresses.zip(healthy)
    }

    /// An address for a request. `None` where every one fails its health checks.
    pub fn pick(self: &Arc<Self>) -> Option<Pick> {
        self.pick_another(0)
    }

    /// One that is not in `tried`, a bit for each.
    fn pick_another(self: &Arc<Self>, tried: u32) -> Option<Pick> {
        let place = match self.members.as_slice() {
            // Rather the only one than none, however it was a moment ago.
            [only] => (tried == 0 && only.is_healthy()).then_some(0)?,
            _ => self.best_but(tried)?,
        };
        let member = self.members.get(place)?;
        member.open.fetch_add(1, Ordering::Relaxed);
        Some(Pick {
            backend: Arc::clone(self),
            place,
            tried: tried | bit(place),
        })
    }

    /// Of several, the place of one that is not in `tried`.
    fn best_but(&self, tried: u32) -> Option<usize> {
        let now = self.now();
        let left =
            |(place, member): &(usize, &Member)| member.is_healthy() && tried & bit(*place) == 0;
        let candidates: Vec<(usize, &Member)> =
            self.members.iter().enumerate().filter(left).collect();
        let at_hand: Vec<(usize, &Member)> = candidates
            .iter()
            .copied()
            .filter(|(_, member)| !member.is_passed_over(now))
            .collect();
        if at_hand.is_empty() {
            // Rather one that did not answer a moment ago than none: the longest ago first.
            let since =
                |(_, member): &&(usize, &Member)| member.passed_over_until.load(Ordering::Relaxed);
            return Some(candidates.iter().min_by_key(since)?.0);
        }
        self.choose(&at_hand)
    }

    fn choose(&self, among: &[(usize, &Member)]) -> Option<usize> {
        let turn = || {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            turn.checked_rem(among.len()).unwrap_or_default()
        };
        let chosen = match self.settings.balance {
            Balance::First => among.first(),
            Balance::RoundRobin => among.get(turn()),
            Balance::LeastConnections => {
                // Of those with equally few, each in its turn.
                let (before, behind) = among.split_at_checked(turn())?;
                let open = |(_, member): &&(usize, &Member)| member.open.load(Ordering::Relaxed);
                behind.iter().chain(before).min_by_key(open)
            }
        };
        chosen.map(|(place, _)| *place)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn bit(place: usize) -> u32 {
    u32::try_from(place)
        .ok()
        .and_then(|place| 1_u32.checked_shl(place))
        .unwrap_or(0)
}

impl Member {
    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    fn is_passed_over(&self, now: u64) -> bool {
        self.passed_over_until.load(Ordering::Relaxed) > now
    }
}

/// What `Host` says to a web UI at `origin`, where people call it `public`.
pub fn host_field<'a>(web_ui: &'a WebUi, origin: &Origin, public: &'a str) -> Cow<'a, str> {
    match &web_ui.host {
        HostField::Public => Cow::Borrowed(public),
        HostField::Upstream => Cow::Owned(origin.host_field()),
        HostField::Name(name) => Cow::Borrowed(name),
    }
}

/// The address of one request, which counts as open there until this is dropped.
#[derive(Debug)]
pub struct Pick {
    backend: Arc<Backend>,
    place: usize,
    tried: u32,
}

impl Pick {
    /// What was configured for where it leads.
    pub fn settings(&self) -> &WebUi {
        &self.backend.settings
    }

    /// What is behind it.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        self.member().map(|member| &member.origin)
    }

    /// There was no connection, for the reason `why`: another address, if one is left that was not tried for
    /// this request. This one is passed over for a while.
    pub fn next(&self, why: &str) -> Option<Self> {
        let backend = &self.backend;
        if let Some(member) = self.member().filter(|_| backend.members.len() > 1) {
            let length = u64::try_from(PASSED_OVER.as_millis()).unwrap_or(u64::MAX);
            let now = backend.now();
            let until = now.saturating_add(length);
            if member.passed_over_until.swap(until, Ordering::Relaxed) <= now {
                tracing::warn!(
                    upstream = member.origin.authority(),
                    seconds = PASSED_OVER.as_secs(),
                    why,
                    "an address of a web UI cannot be connected to: it is passed over for a while"
                );
            }
        }
        backend.pick_another(self.tried)
    }

    fn member(&self) -> Option<&Member> {
        self.backend.members.get(self.place)
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        if let Some(member) = self.member() {
            member.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
