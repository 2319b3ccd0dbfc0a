//! What was let through is judged again when the settings change, or what is known of the person: whoever lost
//! a right to what is open (a stream, a WebSocket, a transfer) loses it there too, and not only at the next
//! request.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::house::House;
use super::visit::Visit;
use crate::domain::access;
use crate::domain::door::Door;
use crate::session::Live;

/// A request that goes on by a session.
pub struct Hold {
    live: Live,
    end: oneshot::Receiver<()>,
    visit: Arc<Visit>,
    house: Arc<House>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.live).finish()
    }
}

impl Hold {
    /// `visit` was let through by `live` in `house`.
    pub(super) fn new(live: &Live, visit: &Arc<Visit>, house: &Arc<House>) -> Self {
        Self {
            end: live.end(),
            live: live.clone(),
            visit: Arc::clone(visit),
            house: Arc::clone(house),
        }
    }

    /// Ready when it may not go on any longer: its session has ended, or would not let it through by the
    /// settings and the groups of now.
    pub(super) async fn over(self) {
        let Self {
            mut live,
            mut end,
            visit,
            house,
        } = self;
        let mut changes = house.changes();
        let mut judged = (house, Arc::clone(&live.session));
        loop {
            let updated = live.change();
            let present = (changes.present(&judged.0), live.latest().session);
            if !Arc::ptr_eq(&present.0, &judged.0) || !Arc::ptr_eq(&present.1, &judged.1) {
                live = live.latest();
                if !present.0.still_admits(&visit, &live) {
                    return;
                }
                judged = (present.0, Arc::clone(&live.session));
            }
            tokio::select! {
                _ = &mut end => return,
                () = changes.next() => {}
                // Perhaps that which took the place of the one before.
                Ok(now) = updated => live = now,
            }
        }
    }
}

impl House {
    /// Whether what was let through for `visit` by the session `live` may go on by these settings. How recent
    /// the sign-in is does not count: that was asked for when it began.
    fn still_admits(&self, visit: &Visit, live: &Live) -> bool {
        let who = &live.session.identity;
        if self.settings.rules.decide(who).is_err() {
            return false;
        }
        match &visit.door {
            Door::Guarded(_) => self.path_admits(visit, live),
            Door::ApiDocs => self.role(live).allows(true) && self.path_admits(visit, live),
            Door::Api(_) => {
                self.api.key().is_set()
                    && self
                        .role(live)
                        .allows_at(visit.is_safe(), visit.head.target.path())
                    && self.from_listed_page(visit, who).is_ok()
                    && self.is_assured_but_for_age(visit, live)
            }
            Door::Own(_) => true,
            // Nothing hangs on a session there.
            Door::Open | Door::NoContent | Door::Verify | Door::Machine(_) | Door::Closed => false,
        }
    }

    fn path_admits(&self, visit: &Visit, live: &Live) -> bool {
        let rules = &self.settings.access;
        let patterns = rules.iter().map(|access| access.path.as_str());
        let who = &live.session.identity;
        let asked = access::walk(&patterns, visit.head.target.path(), |place| {
            match rules.get(place) {
                Some(access) if !self.access_admits(access, who) => Err(()),
                Some(_) | None => Ok(()),
            }
        });
        asked.is_ok() && self.is_assured_but_for_age(visit, live)
    }
}
