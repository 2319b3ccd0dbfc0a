//! gRPC of Headscale up to 0.29, which has its own listener there: a caller's own credentials pass, which
//! Headscale checks, as on the rest of the API; a session counts for nothing.
//!
//! What is not passed on is answered in the words of gRPC: a status in the head of an answer that has
//! nothing else ("Trailers-Only"), since its clients look for nothing but that.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, SET_COOKIE, TE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;

use super::gate::{Authorization, CookieRule, Route, Verdict};
use super::house::House;
use super::rates::Rated;
use super::visit::Visit;
use crate::domain::door::{ApiKind, Door};
use crate::domain::policy::Permit;
use crate::pages::{self, UpstreamFailure};

/// Calls on one connection to Headscale; pingora's own default is one.
const CALLS: usize = 100;

/// Statuses of gRPC that we say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl House {
    /// A call goes on with credentials that Headscale checks.
    pub(super) fn grpc(&self, visit: &Visit) -> Verdict {
        if !visit.head.http2 {
            let message = "gRPC needs HTTP/2";
            return Verdict::Answer(pages::json(
                StatusCode::BAD_REQUEST,
                "http_2_required",
                message,
                &visit.id,
            ));
        }
        if !is_call(visit) {
            let message = "this takes gRPC";
            return Verdict::Answer(pages::json(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                message,
                &visit.id,
            ));
        }
        let Some(origin) = &self.grpc else {
            return refused(Status::Unimplemented, "gRPC is not served here", visit);
        };
        let credentials = visit.only("authorization");
        let permit = Permit::for_api_credentials(&visit.door, credentials);
        let Some(permit) = permit.filter(|_| self.settings.api.bearer) else {
            return refused(Status::Unauthenticated, "an API key is needed", visit);
        };
        if self.held_back(visit, Rated::Api).is_some() {
            return refused(Status::ResourceExhausted, "slow down", visit);
        }
        // Each call is a POST; which of them only ask, their names tell.
        let record = (!only_asks(visit.head.target.path()))
            .then(|| self.write_by_key(visit))
            .flatten();
        Verdict::Forward(Box::new(Route {
            origin: Arc::clone(origin),
            authorization: Authorization::Keep,
            cookies: CookieRule::None,
            record: record.map(Box::new),
            ..self.route_to_headscale(permit)
        }))
    }
}

/// By the last part of its path: `ListNodes`, `GetPolicy`. Whatever has another name may change something.
fn only_asks(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    ["List", "Get"]
        .into_iter()
        .filter_map(|verb| method.strip_prefix(verb))
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// By its media type, as "gRPC over HTTP2" has it.
fn is_call(visit: &Visit) -> bool {
    let kind = visit.only("content-type");
    kind.is_some_and(|kind| {
        kind.strip_prefix("application/grpc")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
    })
}

/// Whether a request is one for Headscale's gRPC.
pub(super) fn is_grpc(visit: &Visit) -> bool {
    visit.door == Door::Api(ApiKind::Grpc)
}

/// An upstream of gRPC speaks HTTP/2, over plaintext with prior knowledge.
pub(super) fn prepare(peer: &mut HttpPeer) {
    peer.options.set_http_version(2, 2);
    peer.options.max_h2_streams = CALLS;
}

/// The field that gRPC wants from whoever understands trailers, which was dropped as one of a connection.
///
/// # Errors
/// When it cannot be written.
pub(super) fn restate(request: &mut RequestHeader) -> pingora::Result<()> {
    request.insert_header(TE, "trailers")
}

/// Trailers carry the outcome and whatever metadata Headscale adds, and no cookies.
pub(super) fn clean(trailers: &mut HeaderMap) {
    trailers.remove(SET_COOKIE);
}

/// What a call hears whose way to Headscale failed.
pub(super) fn failed(failure: UpstreamFailure, visit: &Visit) -> Response<Bytes> {
    match failure {
        UpstreamFailure::Timeout => answer(Status::DeadlineExceeded, "headscale is slow", visit),
        UpstreamFailure::BadAnswer
        | UpstreamFailure::Unreachable
        | UpstreamFailure::NoneHealthy => {
            answer(Status::Unavailable, "headscale cannot be reached", visit)
        }
    }
}

fn refused(status: Status, message: &str, visit: &Visit) -> Verdict {
    Verdict::Answer(answer(status, message, visit))
}

fn answer(status: Status, message: &str, visit: &Visit) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    pages::guard(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(status as u16));
    // Plain words and an id of letters: nothing in it needs an escape.
    if let Ok(message) = HeaderValue::from_str(&format!("{message} (request {})", visit.id)) {
        headers.insert("grpc-message", message);
    }
    response
}
