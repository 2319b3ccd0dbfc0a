//! The `access` rules for a request: which of them are asked, which says where it goes, and which is
//! open to everybody. What a rule means is `domain`'s business; here it is put to a request, once for
//! the gate, for what is open already, and for `headwarden explain`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::backend::Backend;
use super::gate::{Authorization, CookieRule, Route, Verdict};
use super::house::House;
use super::rates::Rated;
use super::visit::Visit;
use crate::config::{Access, Settings};
use crate::domain::access::{self, Found, NEVER_PUBLIC};
use crate::domain::demands::Unmet;
use crate::domain::door::{Door, Guarded};
use crate::domain::identity::Identity;
use crate::domain::methods::Methods;
use crate::domain::path::TargetError;
use crate::domain::policy::Permit;
use crate::domain::rewrite::RewriteError;
use crate::ops::metrics::Rule;
use crate::pages::{self, Fault, UpstreamFailure};

/// The access rule that holds on a path, and its upstream if that is not Headscale.
pub(super) type Ruled<'a> = (&'a Access, Option<&'a Arc<Backend>>);

/// Walks the rules for a request; see [`access::walk`]. `ask` gets each rule with its place.
///
/// # Errors
/// The first that `ask` gives.
pub(super) fn walk<E>(
    settings: &Settings,
    method: &str,
    path: &str,
    mut ask: impl FnMut(usize, &Access) -> Result<(), E>,
) -> Result<Found, E> {
    let rules = &settings.access;
    let about = rules.iter().map(Access::about);
    access::walk(&about, method, path, |place| match rules.get(place) {
        Some(rule) => ask(place, rule),
        None => Ok(()),
    })
}

/// The rule that opens a page to everybody, by its place: one that is public, as is every other that a
/// careless upstream could take the path for.
pub(super) fn public_rule(settings: &Settings, method: &str, path: &str) -> Option<usize> {
    if !settings.access.iter().any(|rule| rule.public) {
        return None;
    }
    let asks_nobody = |_, rule: &Access| if rule.public { Ok(()) } else { Err(()) };
    match walk(settings, method, path, asks_nobody) {
        Ok(Found::Rule(place)) if !access::could_be_any(NEVER_PUBLIC, path) => Some(place),
        Ok(_) | Err(()) => None,
    }
}

impl Route {
    /// There was no connection, for the reason `why`: goes to another address of the web UI, if one is left.
    pub(super) fn goes_elsewhere(&mut self, why: &str) -> bool {
        let next = self.pick.as_ref().and_then(|pick| pick.next(why));
        let next = next.and_then(|next| {
            let origin = Arc::clone(next.origin()?);
            Some((next, origin))
        });
        let Some((next, origin)) = next else {
            return false;
        };
        self.pick = Some(next);
        self.origin = origin;
        true
    }
}

impl House {
    /// What health checks say of each address of the web UIs that are checked. One that fails one of several
    /// checks is unhealthy.
    pub fn upstreams_health(&self) -> BTreeMap<String, bool> {
        let mut all = BTreeMap::new();
        let checked = self.web_uis.iter().flatten();
        let checked = checked.filter(|web_ui| web_ui.settings().health.is_some());
        for (address, healthy) in checked.flat_map(|web_ui| web_ui.health()) {
            *all.entry(address).or_insert(true) &= healthy;
        }
        all
    }

    /// Whether `visit` is for a page that a rule opens to everybody.
    pub(super) fn is_public(&self, visit: &Visit) -> bool {
        self.public_place(visit).is_some()
    }

    fn public_place(&self, visit: &Visit) -> Option<usize> {
        let is_page = matches!(visit.door, Door::Guarded(Guarded::Page));
        let (method, path) = (&visit.head.method, visit.head.target.path());
        public_rule(&self.settings, method, path).filter(|_| is_page)
    }

    /// A page that a rule opens to everybody goes on as if nobody were signed in, whoever is.
    pub(super) fn public_page(&self, visit: &Visit) -> Option<Verdict> {
        let (rule, web_ui) = self.ruled(self.public_place(visit)?)?;
        let permit = Permit::for_public_page(&visit.door, rule.public)?;
        if let Some(answer) = self.held_back(visit, Rated::Open) {
            return Some(Verdict::Answer(answer));
        }
        if visit.head.upgrade.is_some() && self.is_foreign_origin(visit) {
            return Some(Verdict::Answer(self.cross_site(visit)));
        }
        let to_headscale = Route {
            public: true,
            cookies: CookieRule::None,
            ..self.route_to_headscale(permit)
        };
        Some(match web_ui {
            Some(web_ui) => {
                let route = Route {
                    authorization: Authorization::Keep,
                    cookies: CookieRule::Others,
                    ..to_headscale
                };
                self.to_web_ui(visit, web_ui, route)
            }
            None => Verdict::Forward(Box::new(to_headscale)),
        })
    }

    /// `route`, to one of the addresses of a web UI, under the path that it knows.
    pub(super) fn to_web_ui(&self, visit: &Visit, web_ui: &Arc<Backend>, route: Route) -> Verdict {
        let settings = web_ui.settings();
        let target = if settings.rewrite.is_nothing() {
            None
        } else {
            match settings.rewrite.apply(&visit.head.target) {
                Ok(target) => Some(target),
                Err(RewriteError::Target(TargetError::TooLong)) => {
                    return Verdict::Answer(self.too_long(visit));
                }
                // No rule leads here: whatever it is, nobody was let through to it.
                Err(RewriteError::Elsewhere | RewriteError::Target(_)) => {
                    return Verdict::Answer(self.not_found(visit));
                }
            }
        };
        let Some((pick, origin)) = web_ui.pick().and_then(|pick| {
            let origin = Arc::clone(pick.origin()?);
            Some((pick, origin))
        }) else {
            let upstream = settings.authorities();
            tracing::warn!(
                request_id = visit.id,
                upstream,
                "no address of a web UI is healthy"
            );
            let failure = UpstreamFailure::NoneHealthy;
            let page = |context: &pages::Context<'_>| pages::upstream_down(context, failure);
            let message = "no address of the upstream is healthy";
            let answer = self.page_or_json(visit, page, "upstream_unavailable", message);
            return Verdict::Answer(answer);
        };
        Verdict::Forward(Box::new(Route {
            origin,
            pick: Some(pick),
            target,
            to_headscale: false,
            read_timeout: settings.response_timeout,
            ..route
        }))
    }

    fn too_long(&self, visit: &Visit) -> Response<Bytes> {
        let page = |context: &pages::Context<'_>| {
            pages::error(context, StatusCode::URI_TOO_LONG, Fault::TooLong)
        };
        self.page_or_json(visit, page, "uri_too_long", "this address is too long")
    }

    /// The first `access` rule for this request, if the person satisfies it, and with it every other
    /// rule whose path a careless upstream could take this one for; else the denial page. It holds on
    /// every guarded path, whoever answers there.
    ///
    /// # Errors
    /// The denial, or 405 where rules mean the path and none of them the method: whoever wrote them did
    /// not mean it to go elsewhere.
    pub(super) fn access_rule(
        &self,
        visit: &Visit,
        who: &Identity,
    ) -> Result<Option<Ruled<'_>>, Response<Bytes>> {
        let (method, path) = (&visit.head.method, visit.head.target.path());
        let rules = &self.settings.rules;
        let found = walk(&self.settings, method, path, |_, rule| {
            let met = rules.meet(who, &rule.demands);
            met.map_err(|unmet| self.denied_by(visit, rule, &unmet, who))
        })?;
        match found {
            Found::Nothing => Ok(None),
            Found::Rule(place) => Ok(self.ruled(place)),
            Found::OtherMethods(methods) => Err(self.other_methods(visit, methods)),
        }
    }

    /// Where a path that the operator opened goes: where it would go behind the door.
    ///
    /// # Errors
    /// 405, as for [`House::access_rule`].
    pub(super) fn rule_of_open_path(
        &self,
        visit: &Visit,
    ) -> Result<Option<Ruled<'_>>, Response<Bytes>> {
        let (method, path) = (&visit.head.method, visit.head.target.path());
        match walk(
            &self.settings,
            method,
            path,
            |_, _| Ok::<(), Infallible>(()),
        ) {
            Ok(Found::Nothing) => Ok(None),
            Ok(Found::Rule(place)) => Ok(self.ruled(place)),
            Ok(Found::OtherMethods(methods)) => Err(self.other_methods(visit, methods)),
            Err(never) => match never {},
        }
    }

    /// Whether the rules for `visit` let `who` through.
    pub(super) fn rules_admit(&self, visit: &Visit, who: &Identity) -> bool {
        let (method, path) = (&visit.head.method, visit.head.target.path());
        let rules = &self.settings.rules;
        let found = walk(&self.settings, method, path, |_, rule| {
            rules.meet(who, &rule.demands)
        });
        matches!(found, Ok(Found::Nothing | Found::Rule(_)))
    }

    fn ruled(&self, place: usize) -> Option<Ruled<'_>> {
        let web_ui = self.web_uis.get(place)?.as_ref();
        let rule = self.settings.access.get(place)?;
        Some((rule, web_ui))
    }

    fn other_methods(&self, visit: &Visit, methods: Methods) -> Response<Bytes> {
        self.method_not_allowed(visit, &methods.to_string())
    }

    fn denied_by(
        &self,
        visit: &Visit,
        access: &Access,
        unmet: &Unmet,
        who: &Identity,
    ) -> Response<Bytes> {
        self.refused_by(visit, Rule::Page, who);
        tracing::info!(
            request_id = visit.id, subject = %who.subject, rule = access.path, unmet = %unmet,
            "denied: an access rule asks for something that this person has not"
        );
        self.denied_page(visit, pages::Refusal::Page, who)
    }
}
