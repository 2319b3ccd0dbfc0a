//! What is done about one request, whichever way it goes to an upstream: decided, told who is there,
//! its answer judged, its failure answered, its end said. The two ways are pingora's [`super::phases`]
//! and our own [`super::fetch`]; neither decides anything.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, LOCATION, SET_COOKIE, TRANSFER_ENCODING,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};
use tracing::field::display;

use super::backend::{self, Pick};
use super::gate::{Authorization, CookieRule, Route, Verdict};
use super::house::House;
use super::outgoing::{Fields, anew, is_the_same, is_websocket, passed_on, restate};
use super::reply;
use super::upload::{Progress, Upload};
use super::visit::{Follow, Porch, Visit};
use super::{assertion, grpc, headers, reason, shared_caches, traced};
use crate::domain::door::{Door, Guarded};
use crate::ops::trace::Trace;
use crate::pages::{self, Fault, UpstreamFailure};

/// What one request carries from its head to its end.
#[derive(Default)]
pub struct Context {
    pub(super) visit: Option<Arc<Visit>>,
    /// The house as it was when the request came.
    pub(super) house: Option<Arc<House>>,
    pub(super) route: Option<Box<Route>>,
    /// Tells the porch which session this hangs on.
    pub(super) follow: Option<Follow>,
    /// An answer that takes the place of the upstream's.
    instead: Option<Response<Bytes>>,
    pub(super) status: Option<StatusCode>,
    /// When the request went on to an upstream.
    pub(super) sent_on: Option<Instant>,
    /// It may have been heard there, as far as we know.
    was_sent: bool,
    /// What that answered.
    heard: Option<StatusCode>,
    pub(super) trace: Option<Box<Trace>>,
    /// A second address of the upstream was tried.
    pub(super) retried: bool,
    pub(super) upload: Upload,
    /// Where the body is watched.
    pub(super) progress: Option<Arc<Progress>>,
}

/// The cookies of Headscale's own sign-in: with a suffix since 0.27.1, without one before.
const HEADSCALES_COOKIES: &[&str] = &["state", "nonce"];

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// A request that pingora brings without having passed our porch. Cannot happen; ends here if it
/// does.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
pub(super) fn unseen() -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(500), "a request came past the porch")
}

/// What we say of a request cannot be written: it does not go on without it.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
fn unsayable() -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(500), "a field cannot be written")
}

fn said(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| unsayable())
}

impl Context {
    /// For a request that pingora does not see.
    pub(super) fn of(visit: Arc<Visit>, house: Arc<House>) -> Self {
        Self {
            trace: house.trace(&visit),
            visit: Some(visit),
            house: Some(house),
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, porch: Porch) {
        self.visit = Some(porch.visit);
        self.house = Some(porch.house);
        self.follow = Some(porch.follow);
        self.progress = porch.progress;
    }

    /// Whether another address of a web UI may be tried: nobody has heard the request, or hearing it twice
    /// does nothing (RFC 9110 section 9.2.1).
    pub(super) fn may_go_elsewhere(&self) -> bool {
        let is_safe = |visit: &Arc<Visit>| matches!(visit.head.method.as_str(), "GET" | "HEAD");
        !self.was_sent || self.visit.as_ref().is_some_and(is_safe)
    }

    /// Decides about the request, whose body is `body` where it is for us, and which was whole at `began`.
    ///
    /// # Errors
    /// When nothing is known of the request.
    pub(super) async fn decide(&mut self, body: &Bytes, began: Instant) -> Result<Verdict> {
        let (Some(visit), Some(house)) = (&self.visit, &self.house) else {
            return Err(unseen());
        };
        let decide = house.decide(visit, body);
        let verdict = match &self.trace {
            Some(trace) => trace.around(decide).await,
            None => decide.await,
        };
        let decided = Instant::now();
        let added = decided.saturating_duration_since(began);
        house.metrics.added(&visit.door, added);
        match &verdict {
            Verdict::Answer(answer) => self.status = Some(answer.status()),
            Verdict::Forward(_) => self.sent_on = Some(decided),
        }
        Ok(verdict)
    }

    /// The request as it goes on to the upstream; it has no body.
    ///
    /// # Errors
    /// When it cannot be written; nothing was sent then.
    pub(super) fn request(&mut self) -> Result<RequestHeader> {
        self.was_sent = true;
        let (Some(route), Some(visit), Some(house)) = (&self.route, &self.visit, &self.house)
        else {
            return Err(unseen());
        };
        let target = route.target.as_ref().unwrap_or(&visit.head.target);
        let mut fields = passed_on(&visit.head, &house.reserved);
        self.tell(&mut fields, house, visit, route)?;
        let request = anew(&visit.head.method, target, fields)?;
        if is_the_same(&visit.head.method, target, &request) {
            Ok(request)
        } else {
            Err(unseen())
        }
    }

    /// States `request`, as pingora read it, as it goes on to the upstream.
    ///
    /// # Errors
    /// When it is not the one that was decided about, or cannot be written; nothing was sent then.
    pub(super) fn restate(&mut self, request: &mut RequestHeader) -> Result<()> {
        self.was_sent = true;
        let (Some(route), Some(visit), Some(house)) = (&self.route, &self.visit, &self.house)
        else {
            return Err(unseen());
        };
        let target = route.target.as_ref().unwrap_or(&visit.head.target);
        restate(request, visit, target, &house.reserved)?;
        if grpc::is_grpc(visit) {
            grpc::restate(request)?;
        }
        request.remove_header(&COOKIE);
        self.tell(request, house, visit, route)?;
        if is_the_same(&visit.head.method, target, request) {
            Ok(())
        } else {
            Err(unseen())
        }
    }

    /// Says what is true of the request, and of the person where a rule wants it said. `to` has no cookies.
    ///
    /// # Errors
    /// When something of that cannot be written in a field.
    fn tell(
        &self,
        to: &mut impl Fields,
        house: &House,
        visit: &Visit,
        route: &Route,
    ) -> Result<()> {
        if let Some(trace) = &self.trace {
            traced::tell_upstream(to, trace);
        }
        let settings = &house.settings;
        let (authority, secure) = (
            settings.server_url.authority.as_str(),
            settings.server_url.secure,
        );
        let web_ui = route.pick.as_ref().map(Pick::settings);
        let host = match web_ui {
            Some(web_ui) => backend::host_field(web_ui, &route.origin, authority),
            None => Cow::Borrowed(authority),
        };
        to.set(HOST, said(&host)?);
        if let Some(prefix) = web_ui.and_then(|web_ui| web_ui.rewrite.stripped()) {
            to.set(X_FORWARDED_PREFIX, said(prefix)?);
        }
        for (name, value) in headers::truth(visit.client, authority, secure, &visit.id) {
            to.set(name, value);
        }
        for (name, value) in &route.identity {
            to.set(name.clone(), said(value)?);
        }
        if let Some(assertion) = &route.assertion {
            to.set(assertion::FIELD, said(assertion.text())?);
        }
        match route.authorization {
            Authorization::Keep => {}
            Authorization::Drop => to.take_out(&AUTHORIZATION),
            Authorization::ApiKey => {
                to.take_out(&AUTHORIZATION);
                if let Some(key) = house.api.key().now() {
                    to.set(AUTHORIZATION, said(&format!("Bearer {}", key.expose()))?);
                }
            }
        }
        for cookies in &visit.head.headers.get_all(COOKIE) {
            let kept = match route.cookies {
                CookieRule::None => None,
                CookieRule::Others => house.cookies.strip_ours(cookies.as_bytes()),
                CookieRule::HeadscaleSignIn => {
                    crate::session::cookie::only_named(cookies.as_bytes(), HEADSCALES_COOKIES)
                }
            };
            if let Some(kept) = kept
                && let Ok(kept) = HeaderValue::from_maybe_shared(Bytes::from(kept))
            {
                to.add(COOKIE, kept);
            }
        }
        Ok(())
    }

    /// Judges the head of an upstream's answer: what of it the client gets, or that it gets something else. Gives
    /// the `Cache-Control` that the client gets in place of the upstream's, where that is not right.
    ///
    /// # Errors
    /// When the client does not get it; [`Self::answer_to`] says what it gets.
    pub(super) async fn judge(
        &mut self,
        response: &mut ResponseHeader,
    ) -> Result<Option<HeaderValue>> {
        let (Some(route), Some(visit), Some(house)) = (&self.route, &self.visit, &self.house)
        else {
            return Err(unseen());
        };
        if let (Some(sent_on), None) = (self.sent_on, self.heard) {
            let metrics = &house.metrics;
            metrics.upstream_answered(&visit.door, sent_on.elapsed());
            self.heard = Some(response.status);
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !is_websocket(visit) {
            // pingora passes it on, and the client would wait for a protocol that nobody speaks.
            let why = "an upgrade that nobody asked for";
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        }
        Self::keep_cookies_apart(house, response, route)?;
        if response.status == StatusCode::NO_CONTENT {
            // It has no body, whatever it says (RFC 9110 section 8.6).
            response.remove_header(&CONTENT_LENGTH);
            response.remove_header(&TRANSFER_ENCODING);
        }
        if let Some(answer) = Self::newer_link(house, visit, response) {
            self.instead = Some(answer);
            return Err(Error::explain(
                ErrorType::HTTPStatus(404),
                "replaced by our own page",
            ));
        }
        if let Some((kind, live)) = &route.leg {
            let location = response.headers.get(LOCATION);
            house
                .remember_leg(visit, kind, live, response.status, location)
                .await;
        }
        self.status = Some(response.status);
        Ok(shared_caches::keep_out(response, &visit.door, route.public))
    }

    /// What the client hears instead of an answer that never came, or that it does not get; none when it has
    /// gone.
    pub(super) fn answer_to(&mut self, error: &Error) -> Option<Response<Bytes>> {
        match (self.instead.take(), &self.visit, &self.house) {
            (Some(answer), ..) => Some(answer),
            (None, Some(visit), Some(house)) => Self::answer_for(house, visit, error),
            (None, ..) => None,
        }
    }

    /// The end of the request, `now`: what the client heard, if anything, and what failed.
    pub(super) fn over(&mut self, now: Instant, heard: Option<StatusCode>, error: Option<&Error>) {
        let (Some(visit), Some(house)) = (&self.visit, &self.house) else {
            return;
        };
        let status = heard.or(self.status);
        if let Some(record) = self.route.as_mut().and_then(|route| route.record.as_mut()) {
            record.status = status.map(|status| status.as_u16());
        }
        let status = status.map_or(0, |status| status.as_u16());
        if let Ok(status) = StatusCode::from_u16(status) {
            house.metrics.request(&visit.door, status);
        }
        let took = now.saturating_duration_since(visit.started);
        house.metrics.request_took(&visit.door, took);
        // JSON has no numbers of 128 bits.
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // Of a callback, the path alone: its query holds a code.
        let path = reason::path(visit);
        let path = path.as_ref();
        let trace_id = self.trace.as_ref().map(|trace| display(trace.id()));
        match error.filter(|_| self.route.is_some()) {
            Some(error) if status >= 500 => tracing::warn!(
                request_id = visit.id, client = %visit.client, method = visit.head.method, path,
                door = visit.door.label(), status, duration_ms, trace_id,
                reason = reason::of(error), "request failed"
            ),
            _ => tracing::info!(
                request_id = visit.id, client = %visit.client, method = visit.head.method, path,
                door = visit.door.label(), status, duration_ms, trace_id, "request"
            ),
        }
        if let Some(trace) = self.trace.take() {
            if let (Some(route), Some(began)) = (&self.route, self.sent_on) {
                traced::upstream_over(&trace, visit, &route.origin, began, self.heard);
            }
            let secure = house.settings.server_url.secure;
            traced::over(*trace, visit, secure, status);
        }
    }

    /// Our cookies are never set by an upstream, and Headscale's own only by Headscale.
    fn keep_cookies_apart(
        house: &House,
        response: &mut ResponseHeader,
        route: &Route,
    ) -> Result<()> {
        let all: Vec<HeaderValue> = response
            .headers
            .get_all(SET_COOKIE)
            .iter()
            .cloned()
            .collect();
        if all.is_empty() {
            return Ok(());
        }
        response.remove_header(&SET_COOKIE);
        for cookie in all {
            let name = cookie.as_bytes().split(|&b| b == b'=' || b == b';').next();
            let name = name.unwrap_or_default().trim_ascii().to_ascii_lowercase();
            let of_headscale = name.starts_with(b"__host-")
                || name.starts_with(b"state")
                || name.starts_with(b"nonce")
                || name == b"headscale_register_confirm";
            // A cookie without a name is sent back as its bare value, which may look like ours.
            let passes = !name.is_empty() && !house.cookies.is_ours(&name);
            if passes && (route.to_headscale || !of_headscale) {
                response.append_header(SET_COOKIE, cookie)?;
            }
        }
        Ok(())
    }

    /// Headscale's 404 and 410 for a device's link: the link is old, and the client shows a newer
    /// one.
    fn newer_link(
        house: &House,
        visit: &Visit,
        response: &ResponseHeader,
    ) -> Option<Response<Bytes>> {
        let is_link = match &visit.door {
            Door::Guarded(guarded) => !matches!(guarded, Guarded::Page),
            Door::Own(crate::domain::door::Own::Callback) => true,
            _ => false,
        };
        let is_gone = matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        (is_link && is_gone && visit.wants_page()).then(|| {
            house.page(visit, |context| {
                pages::newest_link(context, response.status)
            })
        })
    }

    /// The answer to a failure on the way, or none when the client has gone.
    fn answer_for(house: &House, visit: &Visit, error: &Error) -> Option<Response<Bytes>> {
        if let ErrorType::HTTPStatus(500) = error.etype {
            return Some(house.page(visit, |context| {
                pages::error(context, StatusCode::INTERNAL_SERVER_ERROR, Fault::Internal)
            }));
        }
        if let Some((status, code)) = reply::unusable_request(error) {
            let page =
                |context: &pages::Context<'_>| pages::error(context, status, Fault::Unpassable);
            let message = "this request cannot be passed on";
            return Some(house.page_or_json(visit, page, code, message));
        }
        let failure = reply::upstream_failure(error)?;
        if grpc::is_grpc(visit) {
            return Some(grpc::failed(failure, visit));
        }
        let message = match failure {
            UpstreamFailure::BadAnswer => "the upstream gave no proper answer",
            UpstreamFailure::Unreachable | UpstreamFailure::NoneHealthy => {
                "the upstream cannot be reached"
            }
            UpstreamFailure::Timeout => "the upstream did not answer in time",
        };
        let page = |context: &pages::Context<'_>| pages::upstream_down(context, failure);
        Some(house.page_or_json(visit, page, "upstream_unavailable", message))
    }
}
