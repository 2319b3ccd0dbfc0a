//! What many sessions say alike, kept once: the provider, groups, ways of signing in, browsers. People
//! of one company have a handful of each, and each session of theirs would hold a copy.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use super::live::lock;
use crate::domain::claims::NamedClaims;
use crate::domain::identity::Issuer;
use crate::domain::session::Session;
use crate::domain::texts::Texts;

/// How many there may be before the first look for those that nobody holds any more.
const FEW: usize = 64;

/// Texts and lists of them that sessions hold.
#[derive(Debug, Default)]
pub(super) struct Commons(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    texts: Table<Arc<str>>,
    lists: Table<Texts>,
    claims: Table<NamedClaims>,
}

/// Values of which there is one of each.
#[derive(Debug)]
struct Table<T> {
    kept: HashSet<T>,
    /// With how many it is tidied next.
    tidied_at: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            kept: HashSet::new(),
            tidied_at: FEW,
        }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    /// The one that is equal to `value`, which is kept if there is none. Those that nobody but this table
    /// holds, as `is_held` says, go when there are twice as many as were held last time.
    fn one<Q: Eq + Hash + ?Sized>(&mut self, value: &T, is_held: impl Fn(&T) -> bool) -> T
    where
        T: Borrow<Q>,
    {
        if let Some(known) = self.kept.get(value.borrow()) {
            return known.clone();
        }
        if self.kept.len() >= self.tidied_at {
            self.kept.retain(is_held);
            self.tidied_at = self.kept.len().saturating_mul(2).max(FEW);
            self.kept.shrink_to(self.tidied_at);
        }
        self.kept.insert(value.clone());
        value.clone()
    }
}

impl Tables {
    fn text(&mut self, text: &Arc<str>) -> Arc<str> {
        self.texts
            .one::<str>(text, |text| Arc::strong_count(text) > 1)
    }

    fn list(&mut self, list: &Texts) -> Texts {
        let list: Texts = list.iter().map(|text| self.text(text)).collect();
        self.lists.one::<Texts>(&list, Texts::is_held)
    }

    fn claims(&mut self, claims: &NamedClaims) -> NamedClaims {
        let each = claims.iter();
        let claims: NamedClaims = each
            .map(|(name, values)| (self.text(name), self.list(values)))
            .collect();
        self.claims
            .one::<NamedClaims>(&claims, NamedClaims::is_held)
    }
}

impl Commons {
    /// The same session, holding what others hold where that is equal, and no spare room.
    pub(super) fn share(&self, mut session: Session) -> Session {
        let mut tables = lock(&self.0);
        let who = &mut session.identity;
        who.issuer = Issuer::from(tables.text(who.issuer.text()));
        who.groups = tables.list(&who.groups);
        who.claims = tables.claims(&who.claims);
        session.acr = session.acr.map(|acr| tables.text(&acr));
        session.amr = tables.list(&session.amr);
        session.browser.agent = tables.text(&session.browser.agent);
        drop(tables);
        session
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::session::testing::session;

    fn of(agent: &str, group: &str) -> Session {
        let mut session = session("ann", None);
        session.identity.groups = vec!["staff".to_owned(), group.to_owned()].into();
        session.browser.agent = agent.into();
        session.acr = Some("gold".into());
        session.amr = vec!["pwd".to_owned()].into();
        let claims = BTreeMap::from([("department".to_owned(), vec![group.to_owned()])]);
        session.identity.claims = claims.into();
        session
    }

    fn sizes(commons: &Commons) -> (usize, usize) {
        let tables = lock(&commons.0);
        (tables.texts.kept.len(), tables.lists.kept.len())
    }

    #[test]
    fn what_two_sessions_say_alike_is_there_once_and_the_rest_is_as_it_was() {
        let commons = Commons::default();
        let (one, other) = (of("Firefox", "a"), of("Firefox", "b"));
        let shared = [&one, &other].map(|session| commons.share(session.clone()));
        assert_eq!(format!("{:?}", shared[0]), format!("{one:?}"));
        assert_eq!(format!("{:?}", shared[1]), format!("{other:?}"));
        let [one, other] = shared;
        assert!(Arc::ptr_eq(&one.browser.agent, &other.browser.agent));
        assert!(Arc::ptr_eq(&one.acr.unwrap(), &other.acr.unwrap()));
        assert!(Arc::ptr_eq(
            one.identity.issuer.text(),
            other.identity.issuer.text()
        ));
        assert!(one.amr.is(&other.amr) && !one.identity.groups.is(&other.identity.groups));
        assert!(Arc::ptr_eq(
            &one.identity.groups[0],
            &other.identity.groups[0]
        ));
        let third = commons.share(of("curl", "a"));
        assert!(third.identity.groups.is(&one.identity.groups));
        assert!(third.identity.claims.is(&one.identity.claims));
        assert!(!third.identity.claims.is(&other.identity.claims));
    }

    #[test]
    fn what_no_session_says_any_more_does_not_stay() {
        let commons = Commons::default();
        let held = commons.share(of("held", "held"));
        for n in 0..10 * FEW {
            drop(commons.share(of(&format!("agent-{n}"), &format!("group-{n}"))));
        }
        let (texts, lists) = sizes(&commons);
        assert!(texts <= 4 * FEW && lists <= 2 * FEW, "{texts} {lists}");
        let again = commons.share(of("held", "held"));
        assert!(again.identity.groups.is(&held.identity.groups));
        assert!(Arc::ptr_eq(&again.browser.agent, &held.browser.agent));
    }
}
