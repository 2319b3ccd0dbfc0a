//! pingora's phases, a few lines each: the gate's verdict is carried out here, nothing is decided.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Response, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::context::{Context, unseen};
use super::gate::Verdict;
use super::head::Framing;
use super::house::House;
use super::outgoing::{is_the_same, is_websocket};
use super::reply::{self, BodyError};
use super::visit::{HandedOver, Porch, Visit};
use super::{grpc, reason, websocket};
use crate::domain::door::Door;
use crate::pages::{self, Fault};

/// The proxy's logic, as pingora calls it. It has no house of its own: each request brings the one by
/// which it is decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases;

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
        let visit = Arc::clone(visit);
        let house = Arc::clone(house);
        let verdict = ctx.decide(&body, began).await?;
        match verdict {
            Verdict::Answer(answer) => {
                // A body that nobody read would be taken for the next request.
                if visit.head.body != Framing::None && body.is_empty() {
                    session.set_keepalive(None);
                }
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
                    (Some(live), Some(follow)) => follow.until(live, &visit, &house),
                    (None, Some(follow)) if route.public => follow.while_public(&visit, &house),
                    (_, Some(_) | None) => {}
                }
                ctx.route = Some(route);
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
        ctx.restate(request)
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        if let Some(cached) = ctx.judge(response).await? {
            response.insert_header(CACHE_CONTROL, cached)?;
        }
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
        let answer = ctx.answer_to(error);
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
        let heard = session.response_written().map(|response| response.status);
        ctx.over(Instant::now(), heard, error);
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
}
