//! Traces as a collector gets them: what hangs below what, whose trace goes on, what is never in them,
//! and a collector that fails.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::collector::{Collector, Manner, hex, text};
use crate::faulty_provider::Person as Account;
use crate::metrics::scrape;
use crate::stage::{Stage, ask, cookie, seen, session_line};
use crate::support::house::More;
use crate::support::person::Person;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "Tracestate: vendor=value";

fn stage(top: String) -> Stage {
    Stage::start_with(|_| More {
        top: Box::leak(top.into_boxed_str()),
        ..More::default()
    })
}

/// What the upstream was told of the request of this row: `traceparent` and `tracestate`.
fn told(stage: &Stage, row: &str) -> (String, Option<String>) {
    let [request] = &seen(&stage.headscale, row)[..] else {
        panic!("one request of {row}")
    };
    let field = |name| request.fields.value(name).map(str::to_owned);
    (
        field("traceparent").unwrap_or_default(),
        field("tracestate"),
    )
}

/// The spans below `above`, by name.
fn below<'a>(all: &'a [Span], above: &Span) -> Vec<&'a str> {
    let below = all
        .iter()
        .filter(|span| span.parent_span_id == above.span_id);
    let mut names: Vec<&str> = below.map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_request_is_a_trace_with_what_was_asked_of_others_below_it_and_no_secret_in_it() {
    let collector = Collector::start(Manner::Well);
    let directory = tempfile::tempdir().unwrap();
    let headers = directory.path().join("headers");
    std::fs::write(
        &headers,
        "Authorization: Basic for-the-collector\nx-scope: 7\n",
    )
    .unwrap();
    let more = format!(", service_name: gate, headers_path: {}", headers.display());
    let stage = stage(collector.config(&more));
    let house = &stage.house;
    stage.is_at_the_provider(Account::Member);
    let mut ben = Person::new();
    let (answered, callback) = stage.callback_for(&mut ben, "/windows?with=secret-query");
    let page = ben.follow(answered);
    assert_eq!(page.status(), 200, "{}", page.text());
    let line = session_line(house, &ben);
    ask(house, "GET", "/windows", &[&line, "X-Row: page"]);
    ask(house, "BREW", "/windows/coffee", &[&line]);

    let came_back = collector.wait_for("GET own", "url.path", "/oidc/callback");
    let page = collector.wait_for("GET guarded", "http.response.status_code", "200");
    let odd = collector.wait_for("_OTHER closed", "url.path", "/windows/coffee");
    assert_eq!(text(&odd, "http.request.method"), "_OTHER");
    let all = collector.spans();
    let asked = below(&all, &came_back);
    assert!(asked.contains(&"provider token"), "{asked:?}");
    assert_eq!(below(&all, &page), ["upstream"]);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("url.path", "/windows"),
        ("http.response.status_code", "200"),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("server.address", "127.0.0.1"),
        ("headwarden.door", "guarded"),
    ] {
        assert_eq!(text(&page, key), value, "{key}");
    }
    assert_eq!(page.kind, i32::from(SpanKind::Server));
    assert_eq!((page.trace_id.len(), page.span_id.len()), (16, 8));
    assert!(page.parent_span_id.is_empty() && page.status.is_none());
    assert!(page.start_time_unix_nano < page.end_time_unix_nano);
    let upstream: Vec<&Span> = all.iter().filter(|span| span.name == "upstream").collect();
    assert!(
        upstream
            .iter()
            .all(|span| span.kind == i32::from(SpanKind::Client))
    );
    let (parent, state) = told(&stage, "page");
    let known =
        |span: &&&Span| parent == format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
    assert!(
        upstream.iter().any(|span| known(&span)),
        "{parent}: {upstream:#?}"
    );
    assert_eq!(state, None);
    let trace_id = format!("trace_id={}", hex(&page.trace_id));
    let request_id = text(&page, "headwarden.request_id");
    let log = house.log();
    let mut lines = log.lines().filter(|line| line.contains(&request_id));
    assert!(lines.any(|line| line.contains(&trace_id)), "{log}");

    let posts = collector.posts();
    let resource = format!("{:?}", posts[0].request.resource_spans[0].resource);
    assert!(resource.contains("\"gate\""), "{resource}");
    for post in &posts {
        let head = post.head.to_ascii_lowercase();
        assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
        assert!(
            head.contains("content-type: application/x-protobuf"),
            "{head}"
        );
        assert!(
            head.contains("authorization: basic for-the-collector"),
            "{head}"
        );
    }
    let told = format!("{posts:?}");
    let code = callback
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1;
    let session = cookie(house, &ben, crate::stage::SESSION).unwrap();
    let subject = Account::Member.subject();
    for secret in [
        &code,
        session.as_str(),
        "secret-query",
        "company.example",
        &subject,
        "ben",
    ] {
        assert!(!told.contains(secret), "{secret}");
    }
    assert!(!log.contains("for-the-collector"));
}

#[test]
fn the_trace_of_a_trusted_proxy_goes_on_that_of_a_stranger_does_not_and_without_traces_all_pass() {
    let collector = Collector::start(Manner::Well);
    let trusted = "trusted_proxies: [127.0.0.1/32]\n";
    let behind = stage(collector.config("") + trusted);
    let fields = |row| [PARENT, STATE, row];
    ask(&behind.house, "GET", "/key", &fields("X-Row: trusted"));
    let span = collector.wait_for("GET open", "url.path", "/key");
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    let (parent, state) = told(&behind, "trusted");
    assert!(
        parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"),
        "{parent}"
    );
    assert!(
        !parent.contains("00f067aa0ba902b7"),
        "ours is in between: {parent}"
    );
    assert_eq!(state.as_deref(), Some("vendor=value"));

    let silent = PARENT.replace("-01", "-00");
    ask(&behind.house, "GET", "/health", &[&silent, "X-Row: silent"]);
    assert!(told(&behind, "silent").0.ends_with("-00"));
    // Tunnels too.
    let derp = [
        "Connection: Upgrade",
        "Upgrade: DERP",
        PARENT,
        STATE,
        "X-Row: tunnel",
    ];
    ask(&behind.house, "GET", "/derp", &derp);
    let (parent, state) = told(&behind, "tunnel");
    assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
    assert_eq!(state.as_deref(), Some("vendor=value"));
    let tunnel = collector.wait_for("GET machine", "url.path", "/derp");
    assert_eq!(text(&tunnel, "http.response.status_code"), "101");
    // What came before the tunnel is there by now.
    assert!(
        !collector
            .spans()
            .iter()
            .any(|span| text(span, "url.path") == "/health")
    );

    let strangers = Collector::start(Manner::Well);
    let open = stage(strangers.config(""));
    let twice = [PARENT, PARENT, STATE, "X-Row: stranger"];
    ask(&open.house, "GET", "/key", &twice);
    ask(&open.house, "GET", "/derp", &derp);
    for row in ["stranger", "tunnel"] {
        let (parent, state) = told(&open, row);
        assert!(
            parent.starts_with("00-") && !parent.contains(TRACE),
            "{row}: {parent}"
        );
        assert_eq!(state, None, "{row}");
    }
    let span = strangers.wait_for("GET open", "url.path", "/key");
    assert!(hex(&span.trace_id) != TRACE && span.parent_span_id.is_empty());

    let off = stage(String::new());
    ask(&off.house, "GET", "/key", &fields("X-Row: off"));
    ask(&off.house, "GET", "/derp", &derp);
    for row in ["off", "tunnel"] {
        let (parent, state) = told(&off, row);
        assert_eq!(
            Some(parent.as_str()),
            PARENT.strip_prefix("Traceparent: "),
            "{row}"
        );
        assert_eq!(state.as_deref(), Some("vendor=value"), "{row}");
    }
    assert!(!off.house.log().contains("trace_id"));
}

fn count(stage: &Stage, outcome: &str) -> u64 {
    let (_, metrics) = scrape(&stage.house);
    let name = format!("headwarden_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("it is there").parse().expect("a number")
}

#[test]
fn a_collector_that_is_away_silent_endless_or_broken_disturbs_nobody() {
    for (manner, outcome) in [
        (Manner::Away, Some("not_taken")),
        (Manner::Status(500), Some("not_taken")),
        (Manner::Status(307), Some("not_taken")),
        (Manner::Endless, Some("sent")),
        (Manner::Silent, None),
    ] {
        let collector = Collector::start(manner);
        let mut stage = stage(collector.config(""));
        let ben = stage.somebody(Account::Member);
        let line = session_line(&stage.house, &ben);
        for _ in 0..20 {
            assert_eq!(ask(&stage.house, "GET", "/windows", &[&line]).status(), 200);
        }
        let deadline = Instant::now() + Duration::from_mins(1);
        while outcome.is_some_and(|outcome| count(&stage, outcome) == 0) {
            assert!(
                Instant::now() < deadline,
                "{manner:?}: {}",
                stage.house.log()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
        assert_eq!(ask(&stage.house, "GET", "/windows", &[&line]).status(), 200);
        stage.house.signal("TERM");
        assert!(stage.house.wait().success(), "{manner:?}");
        let log = stage.house.log();
        let complains = log.contains("traces do not reach the collector");
        assert_eq!(complains, outcome == Some("not_taken"), "{manner:?}: {log}");
        assert!(!log.contains("the-collectors-word"), "{log}");
    }
}
