//! What was let through is judged again when the settings change, or what is known of the person: whoever lost
//! a right to what is open (a stream, a WebSocket, a transfer) loses it there too, and not only at the next
//! request.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::house::House;
use super::visit::Visit;
use crate::domain::door::Door;
use crate::session::Live;

/// A request that goes on by a session, or by a rule that asks for none.
pub struct Hold {
    by: Option<(Live, oneshot::Receiver<()>)>,
    visit: Arc<Visit>,
    house: Arc<House>,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.by.as_ref().map(|(live, _)| live);
        f.debug_tuple("Hold").field(&live).finish()
    }
}

impl Hold {
    /// `visit` was let through by `live` in `house`.
    pub(super) fn new(live: &Live, visit: &Arc<Visit>, house: &Arc<House>) -> Self {
        Self {
            by: Some((live.clone(), live.end())),
            visit: Arc::clone(visit),
            house: Arc::clone(house),
        }
    }

    /// `visit` was let through in `house` by a rule that asks for no session.
    pub(super) fn public(visit: &Arc<Visit>, house: &Arc<House>) -> Self {
        Self {
            by: None,
            visit: Arc::clone(visit),
            house: Arc::clone(house),
        }
    }

    /// Ready when it may not go on any longer: its session has ended, or would not let it through by the
    /// settings and the groups of now; or no rule opens its page any more.
    pub(super) async fn over(self) {
        let Self { by, visit, house } = self;
        match by {
            Some((live, end)) => hold_by_session(live, end, &visit, house).await,
            None => hold_while_public(&visit, house).await,
        }
    }
}

async fn hold_by_session(
    mut live: Live,
    mut end: oneshot::Receiver<()>,
    visit: &Visit,
    house: Arc<House>,
) {
    let mut changes = house.changes();
    let mut judged = (house, Arc::clone(&live.session));
    loop {
        let updated = live.change();
        let present = (changes.present(&judged.0), live.latest().session);
        if !Arc::ptr_eq(&present.0, &judged.0) || !Arc::ptr_eq(&present.1, &judged.1) {
            live = live.latest();
            if !present.0.still_admits(visit, &live) {
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

async fn hold_while_public(visit: &Visit, mut house: Arc<House>) {
    let mut changes = house.changes();
    loop {
        let present = changes.present(&house);
        if !Arc::ptr_eq(&present, &house) {
            if !present.is_public(visit) {
                return;
            }
            house = present;
        }
        changes.next().await;
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
                    && self.listed_page(visit, who).is_ok_and(|page| {
                        page.is_none_or(|page| self.is_assured_at_but_for_age(&page, live))
                    })
                    && self.is_assured_but_for_age(visit, live)
            }
            Door::Own(_) => true,
            // Nothing hangs on a session there.
            Door::Open | Door::NoContent | Door::Verify | Door::Machine(_) | Door::Closed => false,
        }
    }

    fn path_admits(&self, visit: &Visit, live: &Live) -> bool {
        self.rules_admit(visit, &live.session.identity) && self.is_assured_but_for_age(visit, live)
    }
}
