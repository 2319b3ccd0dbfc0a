use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Randomness that counts in steps that are spread over all values.
#[derive(Debug, Default)]
struct Spread(AtomicU64);

impl Random for Spread {
    fn fill(&self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            let mixed = next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            for (to, from) in piece.iter_mut().zip(mixed) {
                *to = from;
            }
        }
    }
}

/// A tracer, and what it would send.
fn tracer(one_in: u64, room: usize) -> (Tracer, mpsc::Receiver<Item>, Arc<Metrics>) {
    let (queue, items) = mpsc::channel(room);
    let metrics = Arc::new(Metrics::new().unwrap());
    let inner = Inner {
        queue,
        idle: Mutex::new(None),
        one_in,
        random: Arc::new(Spread::default()),
        metrics: Arc::clone(&metrics),
    };
    (Tracer(Some(Arc::new(inner))), items, metrics)
}

fn spans(items: &mut mpsc::Receiver<Item>) -> Vec<Finished> {
    std::iter::from_fn(|| items.try_recv().ok())
        .filter_map(|item| match item {
            Item::Span(span) => Some(*span),
            Item::Flush(_) => None,
        })
        .collect()
}

fn end(trace: Trace) {
    trace.over(false, || ("GET guarded".to_owned(), Vec::new()));
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn what_is_asked_on_behalf_of_a_request_hangs_below_it_also_in_a_task_of_its_own() {
    let (tracer, mut items, _) = tracer(1, 16);
    let parent = Parent::parse(PARENT);
    let trace = tracer.begin(parent, Instant::now()).unwrap();
    let ask = |name: &'static str| async move {
        let child = child(|| name.into()).unwrap();
        child.over(name == "b", vec![("x", Value::Number(1))]);
    };
    trace
        .around(async {
            ask("a").await;
            tokio::spawn(carried(ask("b"))).await.unwrap();
            assert!(
                tokio::spawn(async { child(|| "c".into()).is_none() })
                    .await
                    .unwrap()
            );
        })
        .await;
    assert!(child(|| "outside".into()).is_none());
    let told = trace.for_upstream();
    trace.upstream_over(Instant::now(), false, Vec::new);
    end(*trace);
    let all = spans(&mut items);
    let names: Vec<&str> = all.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "upstream", "GET guarded"]);
    let [a, b, upstream, server] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(server.parent, parent.map(|parent| parent.span));
    assert!(server.parent_is_remote);
    assert_eq!((told.trace, told.span), (upstream.trace, upstream.span));
    assert!(told.sampled && b.failed && !a.failed);
    for below in [a, b, upstream] {
        assert_eq!(below.parent, Some(server.span));
        assert_eq!(below.trace, parent.unwrap().trace);
        assert!(below.began <= below.ended && !below.parent_is_remote);
        assert!(server.began <= below.began && below.ended <= server.ended);
    }
}

#[test]
fn one_of_so_many_is_recorded_and_whoever_began_a_trace_decides_for_it() {
    let (rare, mut items, _) = tracer(10, 4096);
    for _ in 0..2000 {
        let trace = rare.begin(None, Instant::now()).unwrap();
        let sampled = trace.for_upstream().sampled;
        end(*trace);
        assert_eq!(spans(&mut items).len(), usize::from(sampled));
    }
    let (rare, mut items, _) = tracer(10, 4096);
    for _ in 0..2000 {
        end(*rare.begin(None, Instant::now()).unwrap());
    }
    let count = spans(&mut items).len();
    assert!((150..250).contains(&count), "{count} of 2000");
    for (flags, recorded) in [("01", 2), ("00", 0)] {
        let parent = Parent::parse(&PARENT.replace("-01", &format!("-{flags}")));
        let trace = rare.begin(parent, Instant::now()).unwrap();
        assert_eq!(trace.for_upstream().sampled, recorded > 0);
        let mut asked = false;
        trace.upstream_over(Instant::now(), false, || {
            asked = true;
            Vec::new()
        });
        end(*trace);
        assert_eq!((asked, spans(&mut items).len()), (recorded > 0, recorded));
    }
}

#[test]
fn a_queue_that_is_full_takes_no_more_and_that_is_counted() {
    let (tracer, mut items, metrics) = tracer(1, 2);
    for _ in 0..5 {
        end(*tracer.begin(None, Instant::now()).unwrap());
    }
    assert_eq!(spans(&mut items).len(), 2);
    let text = metrics.render().unwrap();
    let line = "headwarden_trace_spans_total{outcome=\"overflowed\"} 3\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn where_there_are_no_traces_nothing_begins() {
    let off = Tracer::default();
    assert!(!off.is_on());
    assert!(off.begin(Parent::parse(PARENT), Instant::now()).is_none());
    assert!(child(|| panic!("nobody asks")).is_none());
}
