//! After a logout token: is the person gone, or only signed out? The provider sends the same token for
//! both. The refresh tokens of the sessions that end know: they are asked once more before they are
//! forgotten, and only what the provider says then counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Rechecks;
use super::errand::without_answer;
use crate::domain::departure::Departure;
use crate::domain::identity::Subject;
use crate::domain::policy::Rules;
use crate::domain::session::Session;
use crate::oidc::{Known, RefreshError, Refreshed};
use crate::session::{Live, RefreshLock, SessionKey};

/// Pauses before each try, while the provider does not answer.
const TRIES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
];
/// Most sessions of one logout that are asked: they are one person's, as a rule.
const MOST: usize = 8;
/// Longest wait for one of the places.
const IN_LINE: Duration = Duration::from_mins(1);
/// Longest that a logout waits for the sessions that it ends to be looked up.
const LONGEST_SEARCH: Duration = Duration::from_secs(2);
/// Most checks under way that are to tell of somebody whose session ended meanwhile.
const MOST_DEPARTING: usize = 1000;

/// A session that is about to end, and the right to use its refresh token for the last time.
#[derive(Debug)]
pub(in crate::proxy) struct Last {
    live: Live,
    _lock: RefreshLock,
    /// The process waits for whoever has one.
    _first: Arc<()>,
}

impl Rechecks {
    /// Sessions that `departure` is about to end, for [`Self::ask_for_the_last_time`]. One that is being
    /// checked this moment is not among them: its own check decides. None where the search takes long: a
    /// logout is not held up for it.
    pub(in crate::proxy) async fn before_they_end(&self, departure: &Departure) -> Vec<Last> {
        let is_on = self.offboarding.as_ref().is_some_and(|it| it.is_on())
            || self.roll.as_ref().is_some_and(|it| it.is_on());
        // Before the look: whoever retires waits for this one then, or it sees that somebody did.
        let first = Arc::clone(&self.farewells);
        if !is_on || self.is_retired() {
            return Vec::new();
        }
        let search = timeout(LONGEST_SEARCH, self.search(departure, &first)).await;
        search.unwrap_or_else(|_| {
            tracing::warn!(
                "the sessions that a logout of the provider ends are not asked about: looking them \
                 up took too long"
            );
            Vec::new()
        })
    }

    async fn search(&self, departure: &Departure, first: &Arc<()>) -> Vec<Last> {
        let found = match departure.subject() {
            Some(subject) => self.sessions.of_subject(subject).await,
            None => self.sessions.every().await,
        };
        let mut last = Vec::new();
        let covered =
            |live: &Live| departure.covers(&live.session) && live.session.refresh_token.is_some();
        for live in found
            .unwrap_or_default()
            .into_iter()
            .filter(covered)
            .take(MOST)
        {
            let Ok(Some(lock)) = self.sessions.refresh_lock(&live.key).await else {
                self.departs_under_check(live.key);
                continue;
            };
            // Its newest refresh token: with the lock nobody makes another.
            if let Ok(Some(live)) = self.sessions.find_by_key(&live.key).await {
                last.push(Last {
                    live,
                    _lock: lock,
                    _first: Arc::clone(first),
                });
            }
        }
        last
    }

    /// The check of this session that is under way here hears what nobody asks any more.
    fn departs_under_check(&self, key: SessionKey) {
        let mut departing = self.departing();
        // One that landed meanwhile leaves its name behind.
        if departing.len() >= MOST_DEPARTING {
            departing.clear();
        }
        departing.insert(key);
    }

    /// Asks the provider about the people of sessions that have ended, without anybody waiting for it.
    pub(in crate::proxy) fn ask_for_the_last_time(self: &Arc<Self>, all: Vec<Last>, request: &str) {
        for last in all {
            let (this, request) = (Arc::clone(self), request.to_owned());
            tokio::spawn(async move {
                let session = Session::clone(&last.live.session);
                let asked = this.ask_once(session, &request).await;
                // The process does not end before the first answer.
                drop(last);
                if let Asked::Again(session) = asked {
                    this.ask_again(*session, &request).await;
                }
            });
        }
    }

    async fn ask_again(&self, session: Session, request: &str) {
        let asked = Unheard {
            subject: session.identity.subject.clone(),
            request: request.to_owned(),
        };
        self.unheard().push(asked.clone());
        let said = self.ask_for_long(session, request).await;
        let mut unheard = self.unheard();
        // Nobody else's: told already where it is not there.
        if let Some(at) = unheard.iter().position(|it| *it == asked) {
            unheard.swap_remove(at);
            drop(unheard);
            if !said {
                asked.tell();
            }
        }
    }

    /// Nobody is asked about any more: says of whom it is not known whether they are gone.
    pub fn give_up(&self) {
        let unheard = std::mem::take(&mut *self.unheard());
        unheard.iter().for_each(Unheard::tell);
    }

    /// Whether the provider said something.
    async fn ask_for_long(&self, mut session: Session, request: &str) -> bool {
        for pause in TRIES.into_iter().skip(1) {
            sleep(pause).await;
            match self.ask_once(session, request).await {
                Asked::Said => return true,
                Asked::Again(same) => session = *same,
            }
        }
        false
    }

    async fn ask_once(&self, session: Session, request: &str) -> Asked {
        let Some(refresh_token) = &session.refresh_token else {
            return Asked::Said;
        };
        let Ok(Ok(_place)) = timeout(IN_LINE, self.places.acquire()).await else {
            return Asked::Again(Box::new(session));
        };
        let terms = self.terms.load_full();
        let known = Known {
            issuer: &session.identity.issuer,
            subject: &session.identity.subject,
            id_token: &session.id_token.unpack(),
            refresh_token: &refresh_token.unpack(),
        };
        match terms.provider.recheck(known).await {
            Ok(news) => {
                self.still_there(&session, &news, &terms.rules, request)
                    .await;
                Asked::Said
            }
            Err(RefreshError::Refused { error, description }) => {
                let said = (error.as_str(), description.as_str());
                if let Some(offboarding) = &self.offboarding {
                    offboarding.refused(&session, said, Some(request)).await;
                }
                if let Some(roll) = &self.roll {
                    roll.refused_after_logout(&session, said).await;
                }
                Asked::Said
            }
            Err(RefreshError::Misbehaved(why)) => {
                tracing::warn!(
                    request_id = request, subject = %session.identity.subject, reason = %why,
                    "whether this person is gone is not known: the provider's word cannot be believed"
                );
                let subject = &session.identity.subject;
                if let Some(offboarding) = &self.offboarding {
                    offboarding.not_refused(subject, Some(request)).await;
                }
                Asked::Said
            }
            Err(RefreshError::Unavailable { reason, rotated }) => {
                let session = without_answer(&session, &reason, rotated);
                Asked::Again(Box::new(session))
            }
        }
    }

    /// The provider vouches for a person whose session it has ended.
    async fn still_there(&self, before: &Session, news: &Refreshed, rules: &Rules, request: &str) {
        let now = &news.identity;
        let decided = rules.decide(now);
        if decided.is_ok() {
            tracing::debug!(
                request_id = request, subject = %now.subject,
                "signed out by the provider, which still vouches for the person"
            );
        }
        if let Some(offboarding) = &self.offboarding {
            let request = Some(request);
            match &decided {
                Ok(()) => offboarding.is_here(&now.subject, request).await,
                Err(denial) => {
                    let ruling = (rules, denial);
                    offboarding
                        .denied(before, ruling, news.read_by, request)
                        .await;
                }
            }
        }
        if let Some(roll) = &self.roll {
            match decided {
                Ok(()) => roll.vouched(now, self.clock.now()).await,
                Err(_) => roll.gone(&now.subject, None).await,
            }
        }
    }
}

/// Somebody of whom the provider has not said whether they are gone, and under which request that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unheard {
    subject: Subject,
    request: String,
}

impl Unheard {
    fn tell(&self) {
        tracing::warn!(
            request_id = self.request, subject = %self.subject,
            "the provider ended this person's session and did not say for long whether they are gone: \
             their devices and their groups are left alone"
        );
    }
}

/// What came of it.
enum Asked {
    /// The provider answered.
    Said,
    /// Nothing: with this session's refresh token again.
    Again(Box<Session>),
}
