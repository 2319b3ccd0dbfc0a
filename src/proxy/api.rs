//! Headscale's API: a caller's own credentials, which Headscale checks, or a session whose role
//! allows the method, for which our API key is put in.

use http::StatusCode;

use url::Url;

use super::gate::{Authorization, CookieRule, Route, Verdict};
use super::house::House;
use super::rates::Rated;
use super::ruling;
use super::visit::Visit;
use crate::domain::access::Found;
use crate::domain::door::{ApiKind, Door};
use crate::domain::identity::Identity;
use crate::domain::path::Target;
use crate::domain::policy::Permit;
use crate::domain::return_to::ReturnTo;
use crate::domain::role::Role;
use crate::ops::metrics::Rule;
use crate::pages::{self, Readers};
use crate::session::Live;

/// Why a request is none of a page of `api.from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// The browser does not say which page it is.
    Untold,
    /// It is another page, or one that this person may not see.
    Unlisted,
}

impl Elsewhere {
    const fn reason(self) -> &'static str {
        match self {
            Self::Untold => "no Referer says which page this comes from, and api.from is set",
            Self::Unlisted => "it does not come from a page of api.from",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Untold => {
                "the browser does not say which page asks (Referer), and only some may use the API"
            }
            Self::Unlisted => "this page may not use the API",
        }
    }
}

impl House {
    /// With a live session and a same-origin proof the session's role decides; otherwise the session
    /// is ignored and credentials pass unchanged. Without either it is a 401, never a redirect.
    pub(super) async fn api(&self, visit: &Visit, kind: ApiKind) -> Verdict {
        let proven = visit.is_same_origin(&self.settings.server_url.origin);
        let keyed = self.api.key().is_set();
        let found = match self.known_session(visit).await {
            Ok(Some(live)) if proven && keyed && !matches!(kind, ApiKind::V2Token) => {
                self.checked(visit, live).await
            }
            Ok(_) => Ok(None),
            Err(away) => Err(away),
        };
        match found {
            Ok(Some(live)) => self.api_by_role(visit, live),
            Ok(None) => self.api_by_credentials(visit),
            Err(answer) => Verdict::Answer(answer),
        }
    }

    fn api_by_role(&self, visit: &Visit, live: Live) -> Verdict {
        let permit = match self.admit(visit, &live) {
            Ok(permit) => permit,
            Err(refusal) => return Verdict::Answer(refusal),
        };
        let role = self.role(&live);
        if !role.allows_at(visit.is_safe(), visit.head.target.path()) {
            let message = "your account has no role for this on the API";
            return self.no_role(visit, &live, "no api role for this method", message);
        }
        let page = match self.listed_page(visit, &live.session.identity) {
            Ok(page) => page,
            Err(elsewhere) => {
                return self.no_role(visit, &live, elsewhere.reason(), elsewhere.message());
            }
        };
        let assured_there = page.map_or(Ok(()), |page| {
            self.assured_at(visit, &live, ("GET", &page), ReturnTo::root())
        });
        if let Err(answer) = assured_there.and_then(|()| self.assured(visit, &live)) {
            return Verdict::Answer(answer);
        }
        let record = self.write_by_role(visit, role, &live);
        Verdict::Forward(Box::new(Route {
            authorization: Authorization::ApiKey,
            cookies: CookieRule::None,
            record: record.map(Box::new),
            ..self.route_to_headscale(permit)
        }))
        .while_alive(live)
    }

    fn no_role(&self, visit: &Visit, live: &Live, why: &str, message: &'static str) -> Verdict {
        self.refused_by(visit, Rule::ApiRole, &live.session.identity);
        tracing::info!(
            request_id = visit.id, subject = %live.session.identity.subject,
            method = visit.head.method, "denied: {why}"
        );
        let status = StatusCode::FORBIDDEN;
        Verdict::Answer(self.json(visit, status, "forbidden", message))
    }

    /// Whose clients read an error of ours at this door.
    pub(super) fn readers(&self, visit: &Visit) -> Readers {
        match &visit.door {
            Door::Api(ApiKind::V2) => Readers::Problem,
            Door::Api(ApiKind::V1) if self.versions.current().answers_with_problems() => {
                Readers::Problem
            }
            Door::Api(ApiKind::V1) => Readers::Gateway,
            _ => Readers::Any,
        }
    }

    /// Whether the request comes from a page of `api.from`, by its `Referer`, which the browser sets
    /// (RFC 9110 section 10.1.3), and the person is one of those who may see that page: what it asks of the sign-in
    /// is the caller's business. `None` where any page will do. A page of this origin that is hostile can have the
    /// browser say another one of this origin.
    pub(super) fn listed_page(
        &self,
        visit: &Visit,
        who: &Identity,
    ) -> Result<Option<Target>, Elsewhere> {
        let from = &self.settings.api.from;
        if from.is_empty() {
            return Ok(None);
        }
        let referer = visit.only("referer").ok_or(Elsewhere::Untold)?;
        let page = Url::parse(referer).map_err(|_| Elsewhere::Unlisted)?;
        if page.origin().ascii_serialization() != self.settings.server_url.origin {
            return Err(Elsewhere::Unlisted);
        }
        let page = Target::parse(page.path().as_bytes()).map_err(|_| Elsewhere::Unlisted)?;
        let rules = &self.settings.rules;
        let found = ruling::walk(&self.settings, "GET", page.path(), |_, rule| {
            let met = rules.meet(who, &rule.demands);
            met.map_err(|_| Elsewhere::Unlisted)
        })?;
        let Found::Rule(place) = found else {
            return Err(Elsewhere::Unlisted);
        };
        match self.settings.access.get(place) {
            Some(rule) if from.contains(&rule.path) => Ok(Some(page)),
            Some(_) | None => Err(Elsewhere::Unlisted),
        }
    }

    fn api_by_credentials(&self, visit: &Visit) -> Verdict {
        let credentials = visit.only("authorization");
        let permit = Permit::for_api_credentials(&visit.door, credentials);
        let Some(permit) = permit.filter(|_| self.settings.api.bearer) else {
            let message = "an API key, or a signed-in page of this site, is needed";
            let status = StatusCode::UNAUTHORIZED;
            let mut response = self.json(visit, status, "unauthorized", message);
            let challenge = http::HeaderValue::from_static("Bearer realm=\"headscale\"");
            response
                .headers_mut()
                .insert(http::header::WWW_AUTHENTICATE, challenge);
            return Verdict::Answer(response);
        };
        if let Some(answer) = self.held_back(visit, Rated::Api) {
            return Verdict::Answer(answer);
        }
        Verdict::Forward(Box::new(Route {
            authorization: Authorization::Keep,
            cookies: CookieRule::None,
            record: self.write_by_key(visit).map(Box::new),
            ..self.route_to_headscale(permit)
        }))
    }

    /// The API's documentation is public at Headscale; here it takes a session with an API role.
    pub(super) async fn api_docs(&self, visit: &Visit) -> Verdict {
        let live = match self.session(visit).await {
            Ok(Some(live)) => live,
            Ok(None) => return Verdict::Answer(self.ask_to_sign_in(visit)),
            Err(away) => return Verdict::Answer(away),
        };
        let permit = match self.admit(visit, &live) {
            Ok(permit) => permit,
            Err(refusal) => return Verdict::Answer(refusal),
        };
        if let Err(refusal) = self.access_rule(visit, &live.session.identity) {
            return Verdict::Answer(refusal);
        }
        if let Err(answer) = self.assured(visit, &live) {
            return Verdict::Answer(answer);
        }
        match self.role(&live) {
            Role::Admin | Role::Viewer => self.forward_to_headscale(permit).while_alive(live),
            Role::None => {
                self.refused_by(visit, Rule::ApiRole, &live.session.identity);
                let who = &live.session.identity;
                Verdict::Answer(self.denied_page(visit, pages::Refusal::Page, who))
            }
        }
    }

    pub(super) fn role(&self, live: &Live) -> Role {
        let (rules, api) = (&self.settings.rules, &self.settings.api);
        Role::of(rules, &live.session.identity, &api.admins, &api.viewers)
    }
}
