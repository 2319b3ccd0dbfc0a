//! The messages of OTLP that we send (opentelemetry-proto 1.x, `trace/v1/trace.proto`), as far as we
//! fill them; the numbers are the fields' own.

use prost::Message;

use super::{Finished, Kind, Value};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    /// 0 unset, 1 ok, 2 error.
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Inner", tags = "1, 3")]
    value: Option<Inner>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Inner {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE` and `SPAN_FLAGS_CONTEXT_IS_REMOTE`, beside the sampled flag of W3C.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const SAMPLED: u32 = 1;

impl Request {
    /// Spans of the service that calls itself `service`.
    pub(super) fn new(service: &str, spans: Vec<Finished>) -> Self {
        let attributes = vec![
            text("service.name", service),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ];
        Self {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(Scope {
                        name: env!("CARGO_PKG_NAME").to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                    }),
                    spans: spans.into_iter().map(span).collect(),
                }],
            }],
        }
    }
}

fn span(finished: Finished) -> Span {
    let remote = if finished.parent_is_remote {
        IS_REMOTE
    } else {
        0
    };
    Span {
        trace: finished.trace.0.to_vec(),
        id: finished.span.0.to_vec(),
        parent: finished
            .parent
            .map(|parent| parent.0.to_vec())
            .unwrap_or_default(),
        name: finished.name,
        kind: match finished.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: finished.began,
        end_time_unix_nano: finished.ended,
        attributes: finished.attributes.into_iter().map(attribute).collect(),
        status: finished.failed.then_some(Status { code: 2 }),
        flags: HAS_IS_REMOTE | remote | SAMPLED,
    }
}

fn attribute((key, value): (&'static str, Value)) -> KeyValue {
    let value = match value {
        Value::Text(text) => Inner::Text(text.into_owned()),
        Value::Number(number) => Inner::Number(number),
    };
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

fn text(key: &'static str, value: &str) -> KeyValue {
    attribute((key, Value::Text(value.to_owned().into())))
}
