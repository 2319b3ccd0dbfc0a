//! What a request's trace says: who may go on with one of their own, how an upstream is told of it, and
//! what the spans hold. Nothing that the log may not hold.

use std::time::Instant;

use http::{HeaderName, HeaderValue, StatusCode};

use super::house::House;
use super::outgoing::Fields;
use super::reason;
use super::upstream::Origin;
use super::visit::Visit;
use crate::ops::trace::{Attributes, Parent, Trace, Tracer, Value};

/// The field that says where a span hangs (W3C Trace Context section 3.2).
pub const TRACEPARENT: &str = "traceparent";
/// What vendors add to it (section 3.3).
pub const TRACESTATE: &str = "tracestate";

/// The trace of a request: that of a trusted proxy, if it brings one, or a new one. What anybody else
/// brings is not believed: it would let strangers decide what is recorded, and where it hangs. None,
/// where there are no traces.
pub fn begin(tracer: &Tracer, visit: &Visit) -> Option<Box<Trace>> {
    if !tracer.is_on() {
        return None;
    }
    let parent = visit
        .trusted
        .then(|| visit.only(TRACEPARENT).and_then(Parent::parse));
    tracer.begin(parent.flatten(), visit.started)
}

/// Tells an upstream where its spans hang, in place of what the client said.
pub fn tell_upstream(request: &mut impl Fields, trace: &Trace) {
    if let Ok(parent) = HeaderValue::from_str(&trace.for_upstream().to_string()) {
        request.set(HeaderName::from_static(TRACEPARENT), parent);
    }
    if !trace.is_continued() {
        request.take_out(&HeaderName::from_static(TRACESTATE));
    }
}

/// Whether a client's field goes on to the upstream of a tunnel beside what [`Parent`] says: what is not
/// ours to say does.
pub fn passes(name: &str, trace: Option<&Trace>) -> bool {
    match trace {
        None => true,
        Some(trace) => name != TRACEPARENT && (name != TRACESTATE || trace.is_continued()),
    }
}

/// The end of a request that was answered with `status`; 0 if it was not.
pub fn over(trace: Trace, visit: &Visit, secure: bool, status: u16) {
    let failed = status == 0 || status >= 500;
    trace.over(failed, || {
        let method = method(visit);
        let name = format!("{method} {}", visit.door.label());
        let mut attributes: Attributes = vec![
            ("http.request.method", text(method)),
            ("url.scheme", text(if secure { "https" } else { "http" })),
            (
                "url.path",
                Value::Text(reason::path(visit).into_owned().into()),
            ),
            ("client.address", said(&visit.client)),
            ("network.peer.address", said(&visit.peer.ip())),
            ("headwarden.door", text(visit.door.label())),
            ("headwarden.request_id", said(&visit.id)),
        ];
        if let Some(host) = &visit.head.host {
            attributes.push(("server.address", said(&host.host())));
        }
        push_status(&mut attributes, status);
        (name, attributes)
    });
}

/// The end of an upstream's turn, which began at `began`.
pub fn upstream_over(
    trace: &Trace,
    visit: &Visit,
    origin: &Origin,
    began: Instant,
    status: Option<StatusCode>,
) {
    let status = status.map_or(0, |status| status.as_u16());
    let failed = status == 0 || status >= 500;
    trace.upstream_over(began, failed, || {
        let mut attributes: Attributes = vec![
            ("http.request.method", text(method(visit))),
            ("server.address", said(&origin.host())),
            ("server.port", Value::Number(i64::from(origin.port()))),
        ];
        push_status(&mut attributes, status);
        attributes
    });
}

fn push_status(attributes: &mut Attributes, status: u16) {
    if status > 0 {
        let number = Value::Number(i64::from(status));
        attributes.push(("http.response.status_code", number));
    }
    if status >= 500 {
        attributes.push(("error.type", said(&status)));
    }
}

/// The methods of HTTP by name, all others together: anybody may invent some.
fn method(visit: &Visit) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
    ];
    let mut known = KNOWN.into_iter();
    known
        .find(|known| *known == visit.head.method)
        .unwrap_or("_OTHER")
}

const fn text(text: &'static str) -> Value {
    Value::Text(std::borrow::Cow::Borrowed(text))
}

fn said(what: &dyn std::fmt::Display) -> Value {
    Value::Text(what.to_string().into())
}

impl House {
    /// The trace of a request; see [`begin`].
    pub(super) fn trace(&self, visit: &Visit) -> Option<Box<Trace>> {
        begin(&self.tracer, visit)
    }
}
