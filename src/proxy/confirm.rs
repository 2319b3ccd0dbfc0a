//! Devices and SSH checks: asked about before Headscale is, then tied to the session that asked.
//!
//! Headscale approves an SSH check without asking, and before 0.29 a registration too; a link that
//! somebody else sent would be enough. So we ask first: a form of ours, answered by a POST with a
//! same-origin proof and a one-time token bound to session and id, lets the link through once.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Response, StatusCode};

use super::gate::{Purpose, Verdict};
use super::house::{House, see_other};
use super::rates::Rated;
use super::visit::Visit;
use crate::config::SignIn;
use crate::domain::door::AuthId;
use crate::domain::leg::LegKind;
use crate::domain::policy::Permit;
use crate::headscale::{Support, parse_authorize_redirect};
use crate::ops::audit::Step;
use crate::pages::{self, Fault};
use crate::session::{Live, Purpose as Question, State, StoreAway};

impl Purpose {
    const fn question(self) -> Question {
        match self {
            Self::Register => Question::Register,
            Self::SshCheck => Question::Ssh,
        }
    }

    fn path(self, id: &AuthId) -> String {
        match self {
            Self::Register => format!("/register/{id}"),
            Self::SshCheck => format!("/auth/{id}"),
        }
    }
}

impl House {
    /// `/register/{id}`: confirmed by us unless Headscale is known to ask itself (0.29 and newer).
    pub(super) async fn register(
        &self,
        visit: &Visit,
        id: &AuthId,
        permit: Permit,
        live: Live,
    ) -> Verdict {
        if !self.headscale_signs_in() {
            return self.forward_to_headscale(permit);
        }
        if visit.head.method != "GET" {
            return Verdict::Answer(self.method_not_allowed(visit, "GET"));
        }
        if self.versions.current().support() == Support::TooOld {
            return Verdict::Answer(self.too_old(visit));
        }
        let kind = LegKind::Register(id.clone());
        if self.versions.current().confirms_registration() {
            return self.forward_leg(visit, permit, kind, live);
        }
        match self.was_confirmed(Purpose::Register, id, &live).await {
            Ok(true) => self.forward_leg(visit, permit, kind, live),
            Ok(false) => Verdict::Answer(self.ask(visit, Purpose::Register, id, &live).await),
            Err(away) => Verdict::Answer(self.store_away(visit, away)),
        }
    }

    /// `/auth/{id}`, behind a sign-in that is fresh ([`House::assured`]): our question, then Headscale.
    pub(super) async fn ssh_check(
        &self,
        visit: &Visit,
        id: &AuthId,
        permit: Permit,
        live: Live,
    ) -> Verdict {
        if !self.headscale_signs_in() {
            return self.forward_to_headscale(permit);
        }
        if visit.head.method != "GET" {
            return Verdict::Answer(self.method_not_allowed(visit, "GET"));
        }
        match self.was_confirmed(Purpose::SshCheck, id, &live).await {
            Ok(true) => self.forward_leg(visit, permit, LegKind::SshCheck(id.clone()), live),
            Ok(false) => Verdict::Answer(self.ask(visit, Purpose::SshCheck, id, &live).await),
            Err(away) => Verdict::Answer(self.store_away(visit, away)),
        }
    }

    /// Headscale before 0.26: what it does with a sign-in was never looked at, so it gets none.
    fn too_old(&self, visit: &Visit) -> Response<Bytes> {
        let version = self.versions.current();
        tracing::error!(
            request_id = visit.id, %version,
            "registration refused: headscale is older than 0.26, which is not supported"
        );
        let page = |context: &pages::Context<'_>| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            pages::error(context, status, Fault::HeadscaleTooOld)
        };
        let message = "headscale is older than 0.26, which is not supported";
        self.page_or_json(visit, page, "headscale_too_old", message)
    }

    async fn was_confirmed(
        &self,
        purpose: Purpose,
        id: &AuthId,
        live: &Live,
    ) -> Result<bool, StoreAway> {
        let (question, now) = (purpose.question(), self.clock.now());
        self.sessions
            .with_state(live, |state| {
                state.confirmations.use_approval(question, id, now)
            })
            .await
    }

    fn forward_leg(&self, visit: &Visit, permit: Permit, kind: LegKind, live: Live) -> Verdict {
        let mut route = self.route_to_headscale(permit);
        let record = self.coming_to(visit, &kind, Step::LinkPassedOn, &live);
        route.record = Some(Box::new(record));
        if matches!(self.settings.headscale.sign_in, SignIn::Issuer(_)) {
            route.leg = Some((kind, live));
        }
        Verdict::Forward(Box::new(route))
    }

    /// The page that asks.
    async fn ask(
        &self,
        visit: &Visit,
        purpose: Purpose,
        id: &AuthId,
        live: &Live,
    ) -> Response<Bytes> {
        if !visit.wants_page() {
            let message = "open this link in a browser";
            return pages::json(
                StatusCode::FORBIDDEN,
                "confirmation_needed",
                message,
                &visit.id,
            );
        }
        let who = &live.session.identity;
        let username = match (&self.settings.headscale.sign_in, self.username(who)) {
            (SignIn::Issuer(_), Err(why)) => {
                return self.denied_page(visit, pages::Refusal::Username(&why), who);
            }
            (SignIn::Issuer(_), Ok(name)) => Some(name),
            (SignIn::Own | SignIn::None, _) => None,
        };
        let now = self.clock.now();
        let question = purpose.question();
        let issued = self.sessions.with_state(live, |state| {
            let random = self.random.as_ref();
            state.confirmations.issue(question, id, random, now)
        });
        let token = match issued.await {
            Ok(token) => token,
            Err(away) => return self.store_away(visit, away),
        };
        let confirmation = pages::Confirmation {
            auth_id: id,
            who,
            username: username.as_deref(),
            token: &token,
        };
        self.page(visit, |context| match purpose {
            Purpose::Register => pages::confirm_register(context, &confirmation),
            Purpose::SshCheck => pages::confirm_ssh(context, &confirmation),
        })
    }

    /// The answer to that page.
    pub(super) async fn confirm(
        &self,
        visit: &Visit,
        purpose: Purpose,
        body: &Bytes,
    ) -> Response<Bytes> {
        if visit.head.method != "POST" {
            return self.method_not_allowed(visit, "POST");
        }
        if !visit.is_same_origin(&self.settings.server_url.origin) {
            return self.cross_site(visit);
        }
        let live = match self.session(visit).await {
            Ok(Some(live)) => live,
            Ok(None) => return self.page(visit, pages::start_again),
            Err(away) => return away,
        };
        if let Err(refusal) = self.admit(visit, &live) {
            return refusal;
        }
        if let Some(answer) = self.held_back(visit, Rated::Registration) {
            return answer;
        }
        let form = Form::parse(body);
        let (Some(id), Some(token)) = (form.one("id").and_then(AuthId::parse), form.one("token"))
        else {
            return self.page(visit, pages::start_again);
        };
        let now = self.clock.now();
        let question = purpose.question();
        let confirmed = self
            .sessions
            .with_state(&live, |State { confirmations, .. }| {
                let taken = confirmations.take(question, &id, token, now);
                if taken {
                    confirmations.approve(question, &id, now);
                }
                taken
            });
        match confirmed.await {
            Ok(true) => {}
            Ok(false) => return self.page(visit, pages::start_again),
            Err(away) => return self.store_away(visit, away),
        }
        tracing::info!(
            request_id = visit.id, subject = %live.session.identity.subject, ?purpose,
            "confirmed by the person"
        );
        let kind = match purpose {
            Purpose::Register => LegKind::Register(id.clone()),
            Purpose::SshCheck => LegKind::SshCheck(id.clone()),
        };
        self.came_to(visit, &kind, Step::Confirmed, &live);
        see_other(&purpose.path(&id))
    }

    /// Headscale answered a forwarded link: if it sends the browser to our authorization endpoint,
    /// what it asks there is recorded, for this session alone.
    pub(super) async fn remember_leg(
        &self,
        visit: &Visit,
        kind: &LegKind,
        live: &Live,
        status: StatusCode,
        location: Option<&HeaderValue>,
    ) {
        let Some(issuer) = &self.issuer else { return };
        let Some(location) = location.and_then(|value| value.to_str().ok()) else {
            return;
        };
        if !status.is_redirection() {
            return;
        }
        let now = self.clock.now();
        match parse_authorize_redirect(location, issuer.authorization_endpoint(), kind.clone(), now)
        {
            Ok(leg) => {
                let record = |state: &mut State| state.legs.record(leg.clone(), now);
                if let Err(why) = self.sessions.with_state(live, record).await {
                    tracing::warn!(request_id = visit.id, reason = %why, "a leg is not recorded");
                }
            }
            Err(why) => tracing::warn!(
                request_id = visit.id, reason = %why,
                "headscale's redirect does not lead to our issuer; compare its oidc block with \
                 `headwarden headscale-config`"
            ),
        }
    }
}

/// A form's fields, `application/x-www-form-urlencoded`.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// The value of a field that is there exactly once.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(field, _)| field == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}
