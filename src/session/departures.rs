//! Who left lately, for the sign-ins that were on their way meanwhile: one whose code was redeemed
//! before the provider ended the session it came from must not begin after all.
//!
//! A sign-in asks for the [`Moment`] before it redeems its code, begins its session, and then asks who
//! left since. A logout is noted first, and ends sessions then. So of the two, in whatever order they
//! come, one sees the other.
//!
//! A moment is a count of departures, not a time: no two clocks need agree. Where replicas share a store,
//! it is a log of theirs that is counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::sessions::StoreAway;
use super::shared::{MOST_LOGGED, SharedSessions};
use crate::domain::departure::Departure;
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::session::Session;

/// What the log is called.
const LOG: &str = "departures";

/// The newest departures, up to a number.
#[derive(Debug)]
pub struct Departures {
    capacity: usize,
    lately: Mutex<Lately>,
    shared: Option<Arc<SharedSessions>>,
}

/// A departure in the log.
#[derive(Serialize, Deserialize)]
struct Entry {
    sub: Option<String>,
    sid: Option<String>,
}

impl Entry {
    fn of(departure: &Departure) -> Self {
        let sub = departure.subject().map(|sub| sub.as_str().to_owned());
        let sid = departure.provider_session();
        let sid = sid.map(|sid| sid.as_str().to_owned());
        Self { sub, sid }
    }

    fn departure(self) -> Option<Departure> {
        let (sub, sid) = (
            self.sub.map(Subject::new),
            self.sid.map(ProviderSession::new),
        );
        match (sub, sid) {
            (Some(sub), Some(sid)) => Some(Departure::SessionOf(sid, sub)),
            (Some(sub), None) => Some(Departure::Person(sub)),
            (None, Some(sid)) => Some(Departure::Session(sid)),
            (None, None) => None,
        }
    }
}

#[derive(Debug, Default)]
struct Lately {
    /// How many there were since the process began.
    count: u64,
    /// The last of them, the oldest first.
    newest: VecDeque<Departure>,
}

/// A point between two departures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

impl Departures {
    /// Remembers at most `capacity` departures (at least one), at about 200 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            lately: Mutex::default(),
            shared: None,
        }
    }

    /// Those of all replicas.
    #[must_use]
    pub fn shared(self, sessions: Arc<SharedSessions>) -> Self {
        Self {
            shared: Some(sessions),
            ..self
        }
    }

    /// Now.
    ///
    /// # Errors
    /// [`StoreAway`]: nothing is known.
    pub async fn moment(&self) -> Result<Moment, StoreAway> {
        match &self.shared {
            Some(shared) => Ok(Moment(shared.position(LOG).await?)),
            None => Ok(Moment(self.lately().count)),
        }
    }

    /// Somebody left. Call it before the sessions that exist are ended.
    ///
    /// # Errors
    /// [`StoreAway`]: it is not noted.
    pub async fn note(&self, departure: Departure) -> Result<(), StoreAway> {
        if let Some(shared) = &self.shared {
            return note(shared, &departure).await;
        }
        let mut lately = self.lately();
        lately.count += 1;
        lately.newest.push_back(departure);
        while lately.newest.len() > self.capacity {
            lately.newest.pop_front();
        }
        drop(lately);
        Ok(())
    }

    /// Whether a departure since `moment` covers `session`; also where more came than are remembered, for
    /// then nobody knows. Call it when the session has begun.
    ///
    /// # Errors
    /// [`StoreAway`]: nothing is known, and the session must end.
    pub async fn ended_since(&self, moment: Moment, session: &Session) -> Result<bool, StoreAway> {
        if let Some(shared) = &self.shared {
            return ended_elsewhere(shared, moment, session).await;
        }
        let lately = self.lately();
        let since = usize::try_from(lately.count.saturating_sub(moment.0)).unwrap_or(usize::MAX);
        let mut newest = lately.newest.iter().rev().take(since);
        Ok(since > lately.newest.len() || newest.any(|departure| departure.covers(session)))
    }

    /// Nothing panics while it holds this lock, and an entry is there or not.
    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a departure to what replicas read.
pub(super) async fn note(shared: &SharedSessions, departure: &Departure) -> Result<(), StoreAway> {
    let entry = serde_json::to_vec(&Entry::of(departure)).map_err(|_| StoreAway)?;
    shared.append(LOG, &entry).await
}

/// Whether the session at the provider that `session` came from is over there, as far as that was said in
/// the last day. Such a name is not given again. What cannot be read may have said it.
pub(super) async fn is_over(shared: &SharedSessions, session: &Session) -> Result<bool, StoreAway> {
    let entries = shared.since(LOG, 0).await?;
    Ok(entries.iter().any(|entry| {
        let departure = entry.as_deref().and_then(read);
        departure.is_none_or(|departure| {
            departure.provider_session().is_some() && departure.covers(session)
        })
    }))
}

fn read(entry: &[u8]) -> Option<Departure> {
    let entry: Entry = serde_json::from_slice(entry).ok()?;
    entry.departure()
}

async fn ended_elsewhere(
    shared: &SharedSessions,
    moment: Moment,
    session: &Session,
) -> Result<bool, StoreAway> {
    let entries = shared.since(LOG, moment.0).await?;
    // The store was emptied, or more came than it keeps.
    let emptied = shared.position(LOG).await? < moment.0;
    if emptied || entries.len() as u64 >= MOST_LOGGED {
        return Ok(true);
    }
    Ok(entries.iter().any(|entry| {
        let departure = entry.as_deref().and_then(read);
        departure.is_none_or(|departure| departure.covers(session))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::{ProviderSession, Subject};
    use crate::session::testing::session;

    fn left(subject: &str) -> Departure {
        Departure::Person(Subject::new(subject))
    }

    #[tokio::test]
    async fn a_departure_counts_for_the_sign_ins_that_were_on_their_way_and_for_no_other() {
        let departures = Departures::new(10);
        let of = |subject: &str| session(subject, None);
        departures.note(left("early")).await.unwrap();
        let before = departures.moment().await.unwrap();
        assert_eq!(
            departures.ended_since(before, &of("early")).await,
            Ok(false)
        );
        departures.note(left("ann")).await.unwrap();
        let sid = Departure::Session(ProviderSession::new("sid"));
        departures.note(sid).await.unwrap();
        let after = departures.moment().await.unwrap();
        for (session, ended) in [
            (of("ann"), true),
            (of("ben"), false),
            (of("early"), false),
            (session("ben", Some("sid")), true),
            (session("ben", Some("other")), false),
        ] {
            assert_eq!(departures.ended_since(before, &session).await, Ok(ended));
            assert_eq!(departures.ended_since(after, &session).await, Ok(false));
        }
    }

    #[tokio::test]
    async fn whoever_missed_more_than_is_remembered_does_not_begin() {
        let departures = Departures::new(3);
        let before = departures.moment().await.unwrap();
        for n in 0..3 {
            departures.note(left(&n.to_string())).await.unwrap();
        }
        let ann = session("ann", None);
        assert_eq!(departures.ended_since(before, &ann).await, Ok(false));
        departures.note(left("3")).await.unwrap();
        assert_eq!(departures.ended_since(before, &ann).await, Ok(true));
        let now = departures.moment().await.unwrap();
        assert_eq!(departures.ended_since(now, &ann).await, Ok(false));
        assert_eq!(departures.lately().newest.len(), 3);
    }
}
