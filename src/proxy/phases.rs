//! pingora's phases, a few lines each: the gate's verdict is carried out here, nothing is decided.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, LOCATION, SET_COOKIE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tracing::field::display;

use super::backend::{self, Pick};
use super::gate::{Authorization, CookieRule, Route, Verdict};
use super::head::Framing;
use super::house::House;
use super::outgoing::{is_the_same, is_websocket, restate};
use super::reply::{self, BodyError};
use super::upload::{Progress, Upload};
use super::visit::{Follow, HandedOver, Porch, Visit};
use super::{assertion, grpc, headers, reason, shared_caches, traced, websocket};
use crate::domain::door::{Door, Guarded};
use crate::ops::trace::Trace;
use crate::pages::{self, Fault, UpstreamFailure};

/// The proxy's logic, as pingora calls it. It has no house of its own: each request brings the one by
/// which it is decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases;

/// What one request carries from phase to phase.
#[derive(Default)]
pub struct Context {
    visit: Option<Arc<Visit>>,
    /// The house as it was when the request came.
    house: Option<Arc<House>>,
    route: Option<Box<Route>>,
    /// Tells the porch which session this hangs on.
    follow: Option<Follow>,
    /// An answer that takes the place of the upstream's.
    instead: Option<Response<Bytes>>,
    status: Option<StatusCode>,
    /// When the request went on to an upstream.
    sent_on: Option<Instant>,
    /// It may have been heard there, as far as we know.
    was_sent: bool,
    /// What that answered.
    heard: Option<StatusCode>,
    trace: Option<Box<Trace>>,
    /// A second address of the upstream was tried.
    retried: bool,
    upload: Upload,
    /// Where the body is watched.
    progress: Option<Arc<Progress>>,
}

impl Context {
    fn take(&mut self, porch: Porch) {
        self.visit = Some(porch.visit);
        self.house = Some(porch.house);
        self.follow = Some(porch.follow);
        self.progress = porch.progress;
    }

    /// Whether another address of a web UI may be tried: nobody has heard the request, or hearing it twice
    /// does nothing (RFC 9110 section 9.2.1).
    fn may_go_elsewhere(&self) -> bool {
        let is_safe = |visit: &Arc<Visit>| matches!(visit.head.method.as_str(), "GET" | "HEAD");
        !self.was_sent || self.visit.as_ref().is_some_and(is_safe)
    }
}

/// The cookies of Headscale's own sign-in: with a suffix since 0.27.1, without one before.
const HEADSCALES_COOKIES: &[&str] = &["state", "nonce"];

/// A request that pingora brings without having passed our porch. Cannot happen; ends here if it
/// does.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
fn unseen() -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(500), "a request came past the porch")
}

#[async_trait]
impl ProxyHttp for Phases {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    /// None: by default there would be one for compression, which does nothing for every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// Fires right after pingora parsed the head: takes over what the porch knows of the request.
    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        ctx: &mut Context,
        porch: Box<dyn Any + Send + Sync>,
    ) {
        if let Ok(porch) = porch.downcast::<Porch>() {
            ctx.take(*porch);
        }
    }

    /// The same for a request of HTTP/2, which has no connection's context.
    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        let request = session.req_header_mut();
        let porch = request.extensions_mut().remove::<HandedOver>();
        if let Some(porch) = porch.and_then(HandedOver::take) {
            // A body's end is not told apart later where there is none.
            if porch.visit.head.body == Framing::None
                && let Some(progress) = &porch.progress
            {
                progress.note(true);
            }
            ctx.take(porch);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let (Some(visit), Some(house)) = (&ctx.visit, &ctx.house) else {
            return Err(unseen());
        };
        if !is_the_same(&visit.head.method, &visit.head.target, session.req_header()) {
            return Err(unseen());
        }
        ctx.trace = house.trace(visit);
        let body = match Self::own_body(house, session, visit).await {
            Ok(body) => body,
            Err(answer) => {
                session.set_keepalive(None);
                ctx.status = Some(answer.status());
                reply::write(session.as_downstream_mut(), answer, false).await?;
                return Ok(true);
            }
        };
        // What a form took to arrive is the client's time.
        let began = if body.is_empty() {
            visit.started
        } else {
            Instant::now()
        };
        let decide = house.decide(visit, &body);
        let verdict = match &ctx.trace {
            Some(trace) => trace.around(decide).await,
            None => decide.await,
        };
        let decided = Instant::now();
        let added = decided.saturating_duration_since(began);
        house.metrics.added(&visit.door, added);
        match verdict {
            Verdict::Answer(answer) => {
                // A body that nobody read would be taken for the next request.
                if visit.head.body != Framing::None && body.is_empty() {
                    session.set_keepalive(None);
                }
                ctx.status = Some(answer.status());
                let is_head = visit.head.method == "HEAD";
                reply::write(session.as_downstream_mut(), answer, is_head).await?;
                Ok(true)
            }
            Verdict::Forward(route) => {
                // A long poll's client says nothing for as long as it waits.
                if visit.head.body == Framing::None {
                    session.set_read_timeout(None);
                }
                // An upstream's interim answers end here, but for a 100 that was asked for: some
                // clients take a `Set-Cookie`, or the whole answer, from them.
                session.set_ignore_info_resp(true);
                match (&route.session, ctx.follow.take()) {
                    (Some(live), Some(follow)) => follow.until(live, visit, house),
                    (None, Some(follow)) if route.public => follow.while_public(visit, house),
                    (_, Some(_) | None) => {}
                }
                ctx.route = Some(route);
                ctx.sent_on = Some(decided);
                Ok(false)
            }
        }
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        ctx: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        let may_go_elsewhere = ctx.may_go_elsewhere();
        let (Some(route), Some(visit)) = (&mut ctx.route, &ctx.visit) else {
            return Err(unseen());
        };
        let websocket = is_websocket(visit);
        let timeout = (!websocket).then_some(route.read_timeout);
        let mut peer = loop {
            match route.origin.peer(timeout).await {
                Ok(peer) => break peer,
                Err(why) if may_go_elsewhere && route.goes_elsewhere(&why.to_string()) => {}
                Err(why) => {
                    let what = "cannot resolve the upstream";
                    return Err(Error::because(ErrorType::ConnectError, what, why));
                }
            }
        };
        if websocket {
            websocket::prepare(&mut peer);
        }
        if grpc::is_grpc(visit) {
            grpc::prepare(&mut peer);
        }
        Ok(Box::new(peer))
    }

    /// Another address of a web UI is tried, each once; of a name with several addresses the next one, once
    /// for each request. Nothing was sent over this connection.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let may_go_elsewhere = ctx.may_go_elsewhere();
        let Some(route) = &mut ctx.route else {
            return error;
        };
        let more = route.origin.failed();
        if may_go_elsewhere && route.goes_elsewhere(&reason::of(&error)) {
            error.set_retry(true);
        } else {
            error.set_retry(more && !std::mem::replace(&mut ctx.retried, true));
        }
        error
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        if let Some(progress) = &ctx.progress {
            progress.note(end);
        }
        let (Some(visit), Some(piece)) = (&ctx.visit, body) else {
            return Ok(());
        };
        // A WebSocket may be as quiet as it likes.
        if session.was_upgraded() || ctx.upload.gets_on(piece.len(), visit.started.elapsed()) {
            return Ok(());
        }
        Err(Error::explain(
            ErrorType::HTTPStatus(408),
            "the request's body does not get on",
        ))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.was_sent = true;
        let (Some(route), Some(visit), Some(house)) = (&ctx.route, &ctx.visit, &ctx.house) else {
            return Err(unseen());
        };
        let target = route.target.as_ref().unwrap_or(&visit.head.target);
        restate(request, visit, target, &house.reserved)?;
        if grpc::is_grpc(visit) {
            grpc::restate(request)?;
        }
        if let Some(trace) = &ctx.trace {
            traced::tell_upstream(request, trace)?;
        }
        Self::say_who(house, request, visit, route)?;
        if is_the_same(&visit.head.method, target, request) {
            Ok(())
        } else {
            Err(unseen())
        }
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let (Some(route), Some(visit), Some(house)) = (&ctx.route, &ctx.visit, &ctx.house) else {
            return Err(unseen());
        };
        if let (Some(sent_on), None) = (ctx.sent_on, ctx.heard) {
            let metrics = &house.metrics;
            metrics.upstream_answered(&visit.door, sent_on.elapsed());
            ctx.heard = Some(response.status);
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
            ctx.instead = Some(answer);
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
        shared_caches::keep_out(response, &visit.door, route.public)?;
        ctx.status = Some(response.status);
        Ok(())
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        _ctx: &mut Context,
    ) -> Result<Option<Bytes>> {
        grpc::clean(trailers);
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        let answer = match (ctx.instead.take(), &ctx.visit, &ctx.house) {
            (Some(answer), ..) => Some(answer),
            (None, Some(visit), Some(house)) => Self::answer_for(house, visit, error),
            (None, ..) => None,
        };
        let written = session
            .response_written()
            .is_some_and(|response| !response.status.is_informational());
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        if let Some(answer) = answer
            && !written
        {
            session.set_keepalive(None);
            ctx.status = Some(answer.status());
            let is_head = ctx
                .visit
                .as_ref()
                .is_some_and(|visit| visit.head.method == "HEAD");
            let _ = reply::write(session.as_downstream_mut(), answer, is_head).await;
        }
        FailToProxy {
            error_code: status,
            can_reuse_downstream: false,
        }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Context, _error: &Error) -> bool {
        // `logging` writes the one line about it.
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        let (Some(visit), Some(house)) = (&ctx.visit, &ctx.house) else {
            return;
        };
        let status = session
            .response_written()
            .map(|response| response.status)
            .or(ctx.status);
        if let Some(record) = ctx.route.as_mut().and_then(|route| route.record.as_mut()) {
            record.status = status.map(|status| status.as_u16());
        }
        let status = status.map_or(0, |status| status.as_u16());
        if let Ok(status) = StatusCode::from_u16(status) {
            house.metrics.request(&visit.door, status);
        }
        let took = visit.started.elapsed();
        house.metrics.request_took(&visit.door, took);
        // JSON has no numbers of 128 bits.
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // Of a callback, the path alone: its query holds a code.
        let path = reason::path(visit);
        let path = path.as_ref();
        let trace_id = ctx.trace.as_ref().map(|trace| display(trace.id()));
        match error.filter(|_| ctx.route.is_some()) {
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
        if let Some(trace) = ctx.trace.take() {
            if let (Some(route), Some(began)) = (&ctx.route, ctx.sent_on) {
                traced::upstream_over(&trace, visit, &route.origin, began, ctx.heard);
            }
            let secure = house.settings.server_url.secure;
            traced::over(*trace, visit, secure, status);
        }
    }
}

impl Phases {
    /// The body of a form sent to one of our own endpoints; empty for everything else.
    async fn own_body(
        house: &House,
        session: &mut Session,
        visit: &Visit,
    ) -> std::result::Result<Bytes, Response<Bytes>> {
        let is_form = matches!(visit.door, Door::Own(_)) && visit.head.method == "POST";
        if !is_form {
            return Ok(Bytes::new());
        }
        let waits = visit
            .only("expect")
            .is_some_and(|what| what.eq_ignore_ascii_case("100-continue"));
        if waits && visit.head.http11 {
            // A client that has gone is found out when its body is read.
            let _ = session.as_downstream_mut().write_continue_response().await;
        }
        let patience = house.settings.limits.header_timeout;
        let status = match reply::read_body(session.as_downstream_mut(), patience).await {
            Ok(body) => return Ok(body),
            Err(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Err(BodyError::Slow) => StatusCode::REQUEST_TIMEOUT,
            Err(BodyError::Broken) => StatusCode::BAD_REQUEST,
        };
        Err(house.page(visit, |context| {
            pages::error(context, status, Fault::Unreadable)
        }))
    }

    /// Says what is true of the request, and of the person where a rule wants it said.
    fn say_who(
        house: &House,
        request: &mut RequestHeader,
        visit: &Visit,
        route: &Route,
    ) -> Result<()> {
        let settings = &house.settings;
        let (authority, secure) = (
            settings.server_url.authority.as_str(),
            settings.server_url.secure,
        );
        let web_ui = route.pick.as_ref().map(Pick::settings);
        match web_ui {
            Some(web_ui) => {
                let host = backend::host_field(web_ui, &route.origin, authority);
                request.insert_header(HOST, host.as_ref())?;
            }
            None => request.insert_header(HOST, authority)?,
        }
        if let Some(prefix) = web_ui.and_then(|web_ui| web_ui.rewrite.stripped()) {
            request.insert_header("X-Forwarded-Prefix", prefix)?;
        }
        for (name, value) in headers::truth(visit.client, authority, secure, &visit.id) {
            request.insert_header(name, value)?;
        }
        for (name, value) in &route.identity {
            match name.clone().into_cow() {
                Cow::Borrowed(name) => request.insert_header(name, value)?,
                Cow::Owned(name) => request.insert_header(name, value)?,
            }
        }
        if let Some(assertion) = &route.assertion {
            request.insert_header(assertion::FIELD, assertion.text())?;
        }
        match route.authorization {
            Authorization::Keep => {}
            Authorization::Drop => {
                request.remove_header(&AUTHORIZATION);
            }
            Authorization::ApiKey => {
                request.remove_header(&AUTHORIZATION);
                if let Some(key) = house.api.key().now() {
                    request.insert_header(AUTHORIZATION, format!("Bearer {}", key.expose()))?;
                }
            }
        }
        Self::pass_cookies(house, request, route.cookies)
    }

    fn pass_cookies(house: &House, request: &mut RequestHeader, rule: CookieRule) -> Result<()> {
        let all: Vec<HeaderValue> = request.headers.get_all(COOKIE).iter().cloned().collect();
        if all.is_empty() {
            return Ok(());
        }
        request.remove_header(&COOKIE);
        for cookies in all {
            let kept = match rule {
                CookieRule::None => None,
                CookieRule::Others => house.cookies.strip_ours(cookies.as_bytes()),
                CookieRule::HeadscaleSignIn => {
                    crate::session::cookie::only_named(cookies.as_bytes(), HEADSCALES_COOKIES)
                }
            };
            if let Some(kept) = kept
                && let Ok(kept) = HeaderValue::from_maybe_shared(Bytes::from(kept))
            {
                request.append_header(COOKIE, kept)?;
            }
        }
        Ok(())
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
