//! Traces: what a request did, span by span, for a collector that speaks OpenTelemetry's protocol. Off
//! unless the operator names one; then nothing here is ever allocated.
//!
//! A [`Tracer`] begins a [`Trace`] for each request; whatever happens on its behalf while it is decided
//! finds it by the task it runs in ([`Trace::around`], [`child`]). Spans are gathered and sent by a task
//! of its own (`export`). They hold what the log may hold, and nothing else: no query, no field, no
//! name.

mod context;
mod export;
mod message;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

pub use self::context::{Parent, SpanId, TraceId};
pub use self::export::{Collector, ExportError};
use self::export::{Exporter, Item, QUEUE};
use super::clock;
use super::metrics::{Metrics, Spans};
use crate::domain::random::Random;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
}

/// What a span says about itself, by the names of the semantic conventions.
pub type Attributes = Vec<(&'static str, Value)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Somebody asked us.
    Server,
    /// We asked somebody.
    Client,
}

/// A span that is over. Times are nanoseconds since 1970.
#[derive(Debug)]
struct Finished {
    trace: TraceId,
    span: SpanId,
    parent: Option<SpanId>,
    parent_is_remote: bool,
    kind: Kind,
    name: String,
    began: u64,
    ended: u64,
    attributes: Attributes,
    failed: bool,
}

/// Begins traces, or none. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Item>,
    /// Until somebody begins to send.
    idle: Mutex<Option<(Exporter, mpsc::Receiver<Item>)>>,
    /// One request of so many is recorded.
    one_in: u64,
    random: Arc<dyn Random>,
    metrics: Arc<Metrics>,
}

impl Tracer {
    /// Records one request of `one_in`, for `collector`. Nothing is dialled.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn new(
        collector: Collector,
        one_in: u64,
        random: Arc<dyn Random>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ExportError> {
        let (queue, items) = mpsc::channel(QUEUE);
        let exporter = Exporter::new(collector, Arc::clone(&metrics))?;
        Ok(Self(Some(Arc::new(Inner {
            queue,
            idle: Mutex::new(Some((exporter, items))),
            one_in: one_in.max(1),
            random,
            metrics,
        }))))
    }

    /// Sends what is recorded, until the last handle is gone; the second time, nothing.
    pub async fn run(self) {
        let Some(inner) = self.0 else { return };
        let idle = inner
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(inner);
        if let Some((exporter, items)) = idle {
            exporter.run(items).await;
        }
    }

    /// Waits until what was recorded before is sent, but not longer than `most`.
    pub async fn flush(&self, most: Duration) {
        let Some(inner) = &self.0 else { return };
        let (sent, done) = oneshot::channel();
        let flushed = async {
            if inner.queue.send(Item::Flush(sent)).await.is_ok() {
                let _ = done.await;
            }
        };
        if tokio::time::timeout(most, flushed).await.is_err() {
            tracing::warn!("the last traces were not sent");
        }
    }

    /// Whether there are traces at all.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The trace of a request that began at `began`: that of `parent`, or a new one. None, when there are
    /// no traces.
    pub fn begin(&self, parent: Option<Parent>, began: Instant) -> Option<Box<Trace>> {
        let inner = self.0.as_ref()?;
        let (trace, sampled) = parent.map_or_else(
            || {
                let trace = TraceId(not_zero(inner.random.as_ref()));
                (trace, inner.chooses(trace))
            },
            |parent| (parent.trace, parent.sampled),
        );
        Some(Box::new(Trace {
            here: Arc::new(Here {
                inner: Arc::clone(inner),
                trace,
                span: SpanId(not_zero(inner.random.as_ref())),
                sampled,
            }),
            parent: parent.map(|parent| parent.span),
            upstream: SpanId(not_zero(inner.random.as_ref())),
            began,
        }))
    }
}

impl Inner {
    /// By the trace's id alone, so that everybody who is asked chooses the same.
    fn chooses(&self, trace: TraceId) -> bool {
        let end = trace.0.last_chunk::<8>();
        end.is_some_and(|end| u64::from_be_bytes(*end) <= u64::MAX / self.one_in)
    }

    fn finished(&self, span: Finished) {
        if self.queue.try_send(Item::Span(Box::new(span))).is_err() {
            self.metrics.spans(Spans::Overflowed, 1);
        }
    }
}

fn not_zero<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    if bytes == [0; N]
        && let Some(last) = bytes.last_mut()
    {
        *last = 1;
    }
    bytes
}

/// A request's span, while it lasts.
#[derive(Debug)]
pub struct Trace {
    here: Arc<Here>,
    parent: Option<SpanId>,
    upstream: SpanId,
    began: Instant,
}

/// What spans below need to know of the one above.
#[derive(Debug)]
struct Here {
    inner: Arc<Inner>,
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

tokio::task_local! {
    /// The span on whose behalf this task does what it does.
    static HERE: Arc<Here>;
}

impl Trace {
    /// Which trace it is.
    pub fn id(&self) -> TraceId {
        self.here.trace
    }

    /// What the upstream is told: its own span will hang below ours for it.
    pub fn for_upstream(&self) -> Parent {
        Parent {
            trace: self.here.trace,
            span: self.upstream,
            sampled: self.here.sampled,
        }
    }

    /// Whether the trace goes on from somebody before us.
    pub const fn is_continued(&self) -> bool {
        self.parent.is_some()
    }

    /// Does `work` on behalf of this request: what it asks of others hangs below it.
    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        HERE.scope(Arc::clone(&self.here), work).await
    }

    /// The upstream's turn is over, which began at `began`. `None` when it is not recorded.
    pub fn upstream_over(&self, began: Instant, failed: bool, tell: impl FnOnce() -> Attributes) {
        if !self.here.sampled {
            return;
        }
        let span = self.upstream;
        self.here
            .below(span, "upstream".to_owned(), began, tell(), failed);
    }

    /// The request is over. `tell` gives its name and what there is to say; it is not asked where nothing
    /// is recorded.
    pub fn over(self, failed: bool, tell: impl FnOnce() -> (String, Attributes)) {
        if !self.here.sampled {
            return;
        }
        let (name, attributes) = tell();
        let ended = clock::unix_nanos();
        self.here.inner.finished(Finished {
            trace: self.here.trace,
            span: self.here.span,
            parent: self.parent,
            parent_is_remote: self.parent.is_some(),
            kind: Kind::Server,
            name,
            began: ended.saturating_sub(nanos(self.began.elapsed())),
            ended,
            attributes,
            failed,
        });
    }
}

impl Here {
    /// Records a question of ours that hangs below this span.
    fn below(
        &self,
        span: SpanId,
        name: String,
        began: Instant,
        attributes: Attributes,
        failed: bool,
    ) {
        let ended = clock::unix_nanos();
        self.inner.finished(Finished {
            trace: self.trace,
            span,
            parent: Some(self.span),
            parent_is_remote: false,
            kind: Kind::Client,
            name,
            began: ended.saturating_sub(nanos(began.elapsed())),
            ended,
            attributes,
            failed,
        });
    }
}

/// A question of ours to somebody, on behalf of the request that this task works for.
#[derive(Debug)]
pub struct Child {
    here: Arc<Here>,
    name: Cow<'static, str>,
    began: Instant,
}

/// Begins a span below the one of this task; none, where there is none or it is not recorded.
pub fn child(name: impl FnOnce() -> Cow<'static, str>) -> Option<Child> {
    let here = HERE.try_with(|here| here.sampled.then(|| Arc::clone(here)));
    let here = here.ok().flatten()?;
    Some(Child {
        here,
        name: name(),
        began: Instant::now(),
    })
}

impl Child {
    /// It was answered, or not.
    pub fn over(self, failed: bool, attributes: Attributes) {
        let span = SpanId(not_zero(self.here.inner.random.as_ref()));
        self.here
            .below(span, self.name.into_owned(), self.began, attributes, failed);
    }
}

/// `work`, on behalf of whom this task works for: for a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let here = HERE.try_with(Arc::clone).ok();
    async move {
        match here {
            Some(here) => HERE.scope(here, work).await,
            None => work.await,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
