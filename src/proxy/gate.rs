//! Door, session and rules become a verdict: an answer of ours, or a route that carries a permit.
//!
//! Everything here fails closed: a path that is not spelled out ends in a refusal, and nothing is
//! forwarded without the [`Permit`] that only the rules, or an open door, can give.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::assertion::Assertion;
use super::backend::Pick;
use super::house::House;
use super::identity_fields::identity_fields;
use super::rates::Rated;
use super::ruling::Ruled;
use super::upstream::Origin;
use super::visit::Visit;
use crate::domain::client_ip::is_trusted;
use crate::domain::door::{ApiKind, Door, Guarded, Own};
use crate::domain::identity::Identity;
use crate::domain::leg::LegKind;
use crate::domain::path::Target;
use crate::domain::policy::{Denial, Permit};
use crate::ops::audit::{Pending, Step};
use crate::pages::{self, Fault};
use crate::session::Live;

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// We answer it.
    Answer(Response<Bytes>),
    /// It goes on.
    Forward(Box<Route>),
}

impl Verdict {
    /// What goes on by it ends with the session `live`.
    pub(super) fn while_alive(self, live: Live) -> Self {
        match self {
            Self::Forward(mut route) => {
                route.session = Some(live);
                Self::Forward(route)
            }
            answer @ Self::Answer(_) => answer,
        }
    }
}

/// Where a request goes, and what goes with it.
#[derive(Debug)]
pub struct Route {
    /// Proof that it may.
    pub permit: Permit,
    /// To whom.
    pub origin: Arc<Origin>,
    /// Which of the addresses of a web UI that is.
    pub pick: Option<Pick>,
    /// What is asked there, where that is another path than was asked here.
    pub target: Option<Target>,
    /// Whether that is Headscale, whose cookies for its own sign-in may pass.
    pub to_headscale: bool,
    /// Identity fields for the upstream.
    pub identity: Vec<(HeaderName, String)>,
    /// The same under our signature, where the rule wants that.
    pub assertion: Option<Arc<Assertion>>,
    /// What becomes of `Authorization`.
    pub authorization: Authorization,
    /// Which cookies go on.
    pub cookies: CookieRule,
    /// Headscale's answer begins a leg that this session will be asked about.
    pub leg: Option<(LegKind, Live)>,
    /// The session that lets it through, where that is one: it ends when that does.
    pub session: Option<Live>,
    /// A rule lets everybody through, and it ends when that does not any more.
    pub public: bool,
    /// Longest wait for each piece of the answer.
    pub read_timeout: Duration,
    /// What the audit log is told when it has been answered.
    pub record: Option<Box<Pending>>,
}

/// What becomes of a client's `Authorization` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// It ends here.
    Drop,
    /// It goes on as it is; it is the upstream's business.
    Keep,
    /// Ours takes its place.
    ApiKey,
}

/// Which cookies go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieRule {
    /// None.
    None,
    /// All but ours.
    Others,
    /// Only those of Headscale's own sign-in.
    HeadscaleSignIn,
}

impl House {
    /// Decides about a request. `body` is the whole body of a request to one of our own endpoints,
    /// and empty otherwise.
    pub async fn decide(&self, visit: &Visit, body: &Bytes) -> Verdict {
        let any_host = matches!(visit.door, Door::Open | Door::NoContent);
        if !any_host && !self.is_our_host(visit) {
            return Verdict::Answer(self.page_or_json(
                visit,
                pages::misdirected,
                "misdirected_request",
                "this service does not answer under that host name",
            ));
        }
        match &visit.door {
            Door::Open => self.open(visit),
            Door::NoContent => Verdict::Answer(no_content(visit)),
            Door::Verify => self.verify(visit),
            // Boxed, so that a request behind a session does not carry the room that these take.
            Door::Own(own) => Box::pin(self.own(visit, *own, body)).await,
            Door::Api(ApiKind::Grpc) => self.grpc(visit),
            Door::Api(kind) => Box::pin(self.api(visit, *kind)).await,
            Door::ApiDocs => Box::pin(self.api_docs(visit)).await,
            Door::Guarded(guarded) => self.guarded(visit, guarded).await,
            // A tunnel never comes this far; if one does, something is wrong, and it ends here.
            Door::Closed | Door::Machine(_) => Verdict::Answer(self.not_found(visit)),
        }
    }

    /// The host of `server_url`, which is canonical as well; port ignored (tailscale-rs sends none).
    fn is_our_host(&self, visit: &Visit) -> bool {
        let ours = self.settings.server_url.authority.host();
        visit
            .head
            .host
            .as_ref()
            .is_some_and(|asked| asked.host() == ours)
    }

    fn open(&self, visit: &Visit) -> Verdict {
        match self.held_back(visit, Rated::Open) {
            Some(answer) => Verdict::Answer(answer),
            None => self.through_open_door(visit),
        }
    }

    fn through_open_door(&self, visit: &Visit) -> Verdict {
        let Some(permit) = Permit::for_open_door(&visit.door) else {
            return Verdict::Answer(self.not_found(visit));
        };
        let to_headscale = Route {
            cookies: CookieRule::None,
            ..self.route_to_headscale(permit)
        };
        // A path that the operator opened goes where it would go behind the door.
        let rule = match self.rule_of_open_path(visit) {
            Ok(rule) => rule,
            Err(refusal) => return Verdict::Answer(refusal),
        };
        match rule {
            Some((_, Some(web_ui))) => self.to_web_ui(visit, web_ui, to_headscale),
            Some((_, None)) | None => Verdict::Forward(Box::new(to_headscale)),
        }
    }

    fn verify(&self, visit: &Visit) -> Verdict {
        if !is_trusted(visit.client, &self.settings.headscale.verify_from) {
            return Verdict::Answer(self.not_found(visit));
        }
        // Not limited: a DERP server asks for every client, and the operator named it.
        self.through_open_door(visit)
    }

    async fn own(&self, visit: &Visit, own: Own, body: &Bytes) -> Verdict {
        match own {
            Own::Callback => self.callback(visit).await,
            Own::Authorize => Verdict::Answer(self.authorize(visit).await),
            Own::SignIn => Verdict::Answer(self.sign_in(visit)),
            Own::StepUp => Verdict::Answer(self.step_up(visit).await),
            Own::Logout => Verdict::Answer(self.logout(visit).await),
            Own::SignedOut => Verdict::Answer(self.signed_out(visit).await),
            Own::Jwks => Verdict::Answer(self.jwks(visit)),
            Own::Sessions => Verdict::Answer(self.own_sessions(visit, body).await),
            Own::Devices
            | Own::DevicesAdd
            | Own::DevicesPeople
            | Own::DevicesSignOut
            | Own::DevicesRemove => Verdict::Answer(self.devices(visit, own, body).await),
            Own::BackchannelLogout => Verdict::Answer(self.backchannel_logout(visit, body).await),
            Own::FrontchannelLogout => Verdict::Answer(self.frontchannel_logout(visit).await),
            Own::ConfirmRegister => {
                Verdict::Answer(self.confirm(visit, Purpose::Register, body).await)
            }
            Own::ConfirmSsh => Verdict::Answer(self.confirm(visit, Purpose::SshCheck, body).await),
            Own::Unknown => Verdict::Answer(self.not_found(visit)),
        }
    }

    async fn guarded(&self, visit: &Visit, guarded: &Guarded) -> Verdict {
        if let Some(verdict) = self.public_page(visit) {
            return verdict;
        }
        let live = match self.session(visit).await {
            Ok(Some(live)) => live,
            Ok(None) => return Verdict::Answer(self.ask_to_sign_in(visit)),
            Err(away) => return Verdict::Answer(away),
        };
        let permit = match self.admit(visit, &live) {
            Ok(permit) => permit,
            Err(refusal) => return Verdict::Answer(refusal),
        };
        let rule = match self.access_rule(visit, &live.session.identity) {
            Ok(rule) => rule,
            Err(refusal) => return Verdict::Answer(refusal),
        };
        if let Err(answer) = self.assured(visit, &live) {
            return Verdict::Answer(answer);
        }
        if *guarded != Guarded::Page
            && let Some(answer) = self.held_back(visit, Rated::Registration)
        {
            return Verdict::Answer(answer);
        }
        let verdict = match guarded {
            Guarded::Register(id) => Box::pin(self.register(visit, id, permit, live.clone())).await,
            Guarded::SshCheck(id) => {
                Box::pin(self.ssh_check(visit, id, permit, live.clone())).await
            }
            Guarded::RegisterConfirm(_) if visit.only("sec-fetch-site") == Some("cross-site") => {
                Verdict::Answer(self.cross_site(visit))
            }
            Guarded::RegisterConfirm(_) if visit.head.method != "POST" => {
                Verdict::Answer(self.method_not_allowed(visit, "POST"))
            }
            Guarded::RegisterConfirm(id) => {
                let kind = LegKind::Register(id.clone());
                let record = self.coming_to(visit, &kind, Step::ApprovalPassedOn, &live);
                Verdict::Forward(Box::new(Route {
                    record: Some(Box::new(record)),
                    ..self.route_to_headscale(permit)
                }))
            }
            Guarded::Page => self.page_behind(visit, permit, &live.session.identity, rule),
        };
        verdict.while_alive(live)
    }

    /// The permit of a session, or the page that says why there is none.
    pub(super) fn admit(&self, visit: &Visit, live: &Live) -> Result<Permit, Response<Bytes>> {
        Permit::for_identity(&self.settings.rules, &live.session.identity)
            .map_err(|denial| self.denied(visit, &denial, &live.session.identity))
    }

    /// A path that `access` may send elsewhere.
    fn page_behind(
        &self,
        visit: &Visit,
        permit: Permit,
        who: &Identity,
        rule: Option<Ruled<'_>>,
    ) -> Verdict {
        if visit.head.upgrade.is_some() && self.is_foreign_origin(visit) {
            return Verdict::Answer(self.cross_site(visit));
        }
        match rule {
            Some((access, Some(web_ui))) => {
                let told = identity_fields(&self.settings.rules, &access.identity_headers, who);
                let route = Route {
                    identity: told
                        .map(|(name, value)| (name.header().clone(), value))
                        .collect(),
                    assertion: match self.assertion(visit, access, who) {
                        Ok(assertion) => assertion,
                        Err(answer) => return Verdict::Answer(answer),
                    },
                    authorization: Authorization::Keep,
                    ..self.route_to_headscale(permit)
                };
                self.to_web_ui(visit, web_ui, route)
            }
            Some((_, None)) | None => self.forward_to_headscale(permit),
        }
    }

    /// A WebSocket takes cookies along from any page, so its `Origin` must be ours where a browser
    /// sends one.
    pub(super) fn is_foreign_origin(&self, visit: &Visit) -> bool {
        visit.has("origin") && visit.only("origin") != Some(&self.settings.server_url.origin)
    }

    pub(super) fn route_to_headscale(&self, permit: Permit) -> Route {
        Route {
            permit,
            origin: Arc::clone(&self.headscale),
            pick: None,
            target: None,
            to_headscale: true,
            identity: Vec::new(),
            assertion: None,
            authorization: Authorization::Drop,
            cookies: CookieRule::Others,
            leg: None,
            session: None,
            public: false,
            read_timeout: self.settings.headscale.response_timeout,
            record: None,
        }
    }

    pub(super) fn forward_to_headscale(&self, permit: Permit) -> Verdict {
        Verdict::Forward(Box::new(self.route_to_headscale(permit)))
    }

    // ---- refusals -------------------------------------------------------------------------

    pub(super) fn denied(&self, visit: &Visit, denial: &Denial, who: &Identity) -> Response<Bytes> {
        self.refused_by(visit, denial.into(), who);
        // The reason names no address, at most its domain.
        tracing::info!(
            request_id = visit.id, subject = %who.subject, rule = denial.kind(), reason = %denial,
            "denied by a rule"
        );
        self.denied_page(visit, pages::Refusal::Rule(denial), who)
    }

    pub(super) fn denied_page(
        &self,
        visit: &Visit,
        refusal: pages::Refusal<'_>,
        who: &Identity,
    ) -> Response<Bytes> {
        let sentence = refusal.sentence();
        let page = |context: &pages::Context<'_>| pages::denied(context, refusal, who, None);
        self.page_or_json(visit, page, "forbidden", &sentence)
    }

    pub(super) fn not_found(&self, visit: &Visit) -> Response<Bytes> {
        self.page_or_json(
            visit,
            pages::not_found,
            "not_found",
            "there is nothing at this address",
        )
    }

    pub(super) fn cross_site(&self, visit: &Visit) -> Response<Bytes> {
        let page = |context: &pages::Context<'_>| {
            pages::error(context, StatusCode::FORBIDDEN, Fault::CrossSite)
        };
        self.page_or_json(visit, page, "cross_site", "a same-origin proof is missing")
    }

    pub(super) fn method_not_allowed(&self, visit: &Visit, allow: &str) -> Response<Bytes> {
        let page = |context: &pages::Context<'_>| {
            pages::error(context, StatusCode::METHOD_NOT_ALLOWED, Fault::Method)
        };
        let mut response = self.page_or_json(
            visit,
            page,
            "method_not_allowed",
            "this method is not for this address",
        );
        // Names of methods, which any field can hold.
        if let Ok(allow) = HeaderValue::from_str(allow) {
            response.headers_mut().insert(http::header::ALLOW, allow);
        }
        response
    }
}

/// What one of our confirmations is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A device that wants to join.
    Register,
    /// An SSH session that wants to begin.
    SshCheck,
}

/// `/generate_204`, as Tailscale's captive-portal check wants it: the challenge comes back, if it is
/// of the form that the client sends.
fn no_content(visit: &Visit) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    pages::guard(headers);
    if let Some(challenge) = visit.only("x-tailscale-challenge") {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if (1..=64).contains(&challenge.len()) && challenge.bytes().all(plain) {
            let echoed = HeaderValue::from_str(&format!("response {challenge}"));
            if let Ok(echoed) = echoed {
                headers.insert("x-tailscale-response", echoed);
            }
        }
    }
    response
}
