//! What the phases of a request share: the rooms, built by `app`.
//!
//! What lives as long as the process is shared by every [`House`]; what the operator may change while it
//! runs is a new house. A request takes the present one when its head is read and keeps it: however the
//! settings change meanwhile, everything about it is decided by the same ones.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};

use tokio::sync::watch;

use super::assertion::Assertions;
use super::backend::Backend;
use super::headers::Reserved;
use super::offboarding::Offboarding;
use super::policy_sync::PolicySync;
use super::rates::Rates;
use super::recheck::{Checked, Rechecks};
use super::roll::Roll;
use super::tunnel::Tunnels;
use super::upstream::Origin;
use super::visit::Visit;
use crate::config::{Settings, SignIn};
use crate::domain::random::Random;
use crate::domain::time::Clock;
use crate::headscale::{Api, Roster, VersionWatch};
use crate::issuer::Issuer;
use crate::oidc::Provider;
use crate::ops::audit::Audit;
use crate::ops::metrics::Metrics;
use crate::ops::trace::Tracer;
use crate::pages::{self, Fault};
use crate::session::{
    Attempts, Cookies, Departures, Live, Sessions, SignOuts, StoreAway, UsedOnce,
};

/// When a browser may try again while the session store does not answer.
pub(super) const STORE_RETRY_SECONDS: &str = "5";

/// Everything a request may need. A copy shares whatever lives longer than the settings.
#[derive(Clone)]
pub struct House {
    /// What the operator configured.
    pub settings: Arc<Settings>,
    /// The provider people sign in with.
    pub provider: Arc<Provider>,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// Who is checked again.
    pub rechecks: Arc<Rechecks>,
    /// Who is gone.
    pub offboarding: Arc<Offboarding>,
    /// Who is in which group of the policy.
    pub roll: Arc<Roll>,
    /// What keeps the policy so.
    pub policy_sync: Arc<PolicySync>,
    /// Sign-ins on their way.
    pub attempts: Arc<Attempts>,
    /// Login attempts that came back already.
    pub used: Arc<UsedOnce>,
    /// Logout tokens that counted already.
    pub used_logouts: Arc<UsedOnce>,
    /// Who left lately, for the sign-ins on their way.
    pub departures: Arc<Departures>,
    /// Sign-outs that are at the provider.
    pub sign_outs: Arc<SignOuts>,
    /// The issuer that Headscale trusts, in that mode.
    pub issuer: Option<Arc<Issuer>>,
    /// Which Headscale it is.
    pub versions: Arc<VersionWatch>,
    /// What we ask of its API ourselves, with the key as it is now.
    pub api: Api,
    /// Its devices and users, as of a few seconds ago.
    pub roster: Arc<Roster>,
    /// Cookie names and attributes.
    pub cookies: Cookies,
    /// Headscale's listener for gRPC, where there is one.
    pub grpc: Option<Arc<Origin>>,
    /// Headscale's main listener.
    pub headscale: Arc<Origin>,
    /// The web UIs, beside `settings.access`; `None` is Headscale.
    pub web_uis: Vec<Option<Arc<Backend>>>,
    /// Who signs what upstreams are told.
    pub assertions: Arc<Assertions>,
    /// The operator's own names for fields about a person.
    pub reserved: Arc<Reserved>,
    /// Where tunnels go.
    pub tunnels: Arc<Tunnels>,
    /// How often one address may do what costs something.
    pub rates: Arc<Rates>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who did what.
    pub audit: Audit,
    /// Traces, if there are any.
    pub tracer: Tracer,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What takes its place.
    pub succession: Succession,
}

/// The house as it is now. A copy is the same place.
#[derive(Clone)]
pub struct Houses(Arc<Present>);

struct Present {
    house: ArcSwap<House>,
    /// Counts the houses.
    changed: watch::Sender<u64>,
}

/// Where a house learns of the one that takes its place.
#[derive(Clone)]
pub struct Succession(Weak<Present>);

/// Tells of a house that takes the place of another.
pub(super) struct Changes {
    succession: Succession,
    heard: Option<watch::Receiver<u64>>,
}

impl Changes {
    /// The house as it is now; `last` if there is none any more.
    pub(super) fn present(&self, last: &Arc<House>) -> Arc<House> {
        match self.succession.0.upgrade() {
            Some(present) => present.house.load_full(),
            None => Arc::clone(last),
        }
    }

    /// Ready when there may be another one.
    pub(super) async fn next(&mut self) {
        if let Some(heard) = &mut self.heard
            && heard.changed().await.is_ok()
        {
            return;
        }
        // There will be none.
        std::future::pending::<()>().await;
    }
}

impl Houses {
    /// Begins with the house that `build` makes.
    pub fn new(build: impl FnOnce(Succession) -> House) -> Self {
        Self(Arc::new_cyclic(|present| Present {
            house: ArcSwap::from_pointee(build(Succession(Weak::clone(present)))),
            changed: watch::Sender::new(0),
        }))
    }

    /// The present one: to be taken once for each request.
    pub fn now(&self) -> Arc<House> {
        self.0.house.load_full()
    }

    /// Whoever comes from now on finds `house`, and what is open is judged by it.
    pub fn replace(&self, house: House) {
        self.0.house.store(Arc::new(house));
        self.0.changed.send_modify(|count| *count += 1);
    }
}

impl House {
    /// Tells of the houses that come after this one.
    pub(super) fn changes(&self) -> Changes {
        let present = self.succession.0.upgrade();
        Changes {
            heard: present.map(|present| present.changed.subscribe()),
            succession: self.succession.clone(),
        }
    }

    /// The session of a request's cookie, if it has one that is alive and may let something through:
    /// where a re-check is due, that comes first.
    ///
    /// # Errors
    /// The answer for a person whose session cannot be looked up, or not be checked again.
    pub async fn session(&self, visit: &Visit) -> Result<Option<Live>, Response<Bytes>> {
        match self.known_session(visit).await? {
            Some(live) => self.checked(visit, live).await,
            None => Ok(None),
        }
    }

    /// The session `live` if it may let something through. `None` if a re-check ended it.
    ///
    /// # Errors
    /// The answer for a person who cannot be checked again.
    pub async fn checked(
        &self,
        visit: &Visit,
        live: Live,
    ) -> Result<Option<Live>, Response<Bytes>> {
        match self.rechecks.check(live, Some(&visit.id)).await {
            Checked::Good(live) => Ok(Some(live)),
            Checked::Over => Ok(None),
            Checked::Unavailable(retry_seconds) => {
                let page = |context: &pages::Context<'_>| {
                    pages::provider_unavailable(context, retry_seconds)
                };
                let message = "your sign-in cannot be checked again at the moment";
                Err(self.page_or_json(visit, page, "provider_unavailable", message))
            }
        }
    }

    /// The session of a request's cookie, if it has one that is alive; for what lets nothing through,
    /// as signing out.
    ///
    /// # Errors
    /// The answer for a person whose session cannot be looked up.
    pub async fn known_session(&self, visit: &Visit) -> Result<Option<Live>, Response<Bytes>> {
        let Some(id) = self.cookies.session_id(&visit.head.headers) else {
            return Ok(None);
        };
        let found = self.sessions.find(&id).await;
        found.map_err(|away| self.store_away(visit, away))
    }

    /// What a person hears while nobody's session is known.
    pub fn store_away(&self, visit: &Visit, away: StoreAway) -> Response<Bytes> {
        tracing::warn!(request_id = visit.id, reason = %away, "not served");
        let page = |context: &pages::Context<'_>| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let mut page = pages::error(context, status, Fault::StoreAway);
            let seconds = HeaderValue::from_static(STORE_RETRY_SECONDS);
            page.headers_mut().insert(RETRY_AFTER, seconds);
            page
        };
        self.page_or_json(
            visit,
            page,
            "session_store_unavailable",
            "try again in a few seconds",
        )
    }

    /// Whether Headscale's own sign-in passes through us (so that its legs are worth a confirmation).
    pub fn headscale_signs_in(&self) -> bool {
        match self.settings.headscale.sign_in {
            SignIn::Issuer(_) | SignIn::Own => true,
            SignIn::None => false,
        }
    }

    /// Renders a page for `visit`.
    pub fn page(
        &self,
        visit: &Visit,
        page: impl FnOnce(&pages::Context<'_>) -> Response<Bytes>,
    ) -> Response<Bytes> {
        let origins = self.provider.origins();
        page(&pages::Context {
            site: self.settings.server_url.authority.as_str(),
            support_id: &visit.id,
            form_action: &origins,
            language: visit.language(),
            shows_devices: self.headscale_signs_in() && self.api.key().is_set(),
        })
    }

    /// An error for programs, in the words that they know at this door.
    pub(super) fn json(
        &self,
        visit: &Visit,
        status: StatusCode,
        code: &str,
        message: &str,
    ) -> Response<Bytes> {
        pages::json_for(self.readers(visit), status, code, message, &visit.id)
    }

    /// A page for a person, or its JSON twin for everybody else.
    pub fn page_or_json(
        &self,
        visit: &Visit,
        page: impl FnOnce(&pages::Context<'_>) -> Response<Bytes>,
        code: &str,
        message: &str,
    ) -> Response<Bytes> {
        let page = self.page(visit, page);
        if visit.wants_page() {
            return page;
        }
        let mut twin = self.json(visit, page.status(), code, message);
        for name in [RETRY_AFTER, ALLOW] {
            if let Some(value) = page.headers().get(&name) {
                twin.headers_mut().insert(name, value.clone());
            }
        }
        twin
    }
}

/// 303 See Other (RFC 9110 section 15.4.4): whatever the method was, a GET follows and no body is
/// sent again.
pub fn see_other(location: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    pages::guard(headers);
    match HeaderValue::from_str(location) {
        Ok(location) => {
            headers.insert(LOCATION, location);
        }
        // Locations are built from URLs and canonical targets, which hold nothing a field cannot.
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

/// Adds a `Set-Cookie` field.
pub fn set_cookie(response: &mut Response<Bytes>, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}
