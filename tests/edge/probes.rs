//! What probes are told while the process starts and stops.

use std::net::TcpStream;

use crate::stage::Faulty;
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, Plan};
use crate::support::raw::{Raw, Response};

const NOWHERE: &str = "http://127.0.0.1:9/";
const KEY: &[u8] = b"GET /key?v=140 HTTP/1.1\r\nHost: a\r\n\r\n";

fn probe(plan: &Plan, path: &str) -> Response {
    let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    Raw::connect(plan.admin)
        .unwrap()
        .exchange(get.as_bytes())
        .unwrap()
}

fn alive(headscale: &HeadscaleStandin, faulty: &Faulty, top: &'static str) -> House {
    House::start(|plan| {
        let more = More {
            sign_in: "none",
            top,
            ..More::default()
        };
        plan.config(&headscale.url(), &faulty.provider.issuer(), &more)
    })
}

#[test]
fn the_start_is_over_when_the_public_listeners_are_open_and_not_before() {
    let mut waiting = House::launch(|plan| plan.config(NOWHERE, NOWHERE, &More::default()), &[]);
    waiting.wait_for_log("no discovery");
    for (path, status) in [
        ("/startupz", 503),
        ("/readyz", 503),
        ("/livez", 200),
        ("/healthz", 200),
    ] {
        assert_eq!(probe(&waiting.plan, path).status(), status, "{path}");
    }
    let why = probe(&waiting.plan, "/startupz").json();
    assert_eq!(why["checks"]["startup"][0]["status"], "fail", "{why}");
    assert!(TcpStream::connect(waiting.plan.public).is_err());

    // Whatever else is wrong, it has started.
    let house = House::start(|plan| {
        let more = More {
            waits_for_provider: false,
            ..More::default()
        };
        plan.config(NOWHERE, NOWHERE, &more)
    });
    for (path, status) in [("/startupz", 200), ("/readyz", 503), ("/livez", 200)] {
        assert_eq!(probe(&house.plan, path).status(), status, "{path}");
    }
}

#[test]
fn readiness_goes_first_and_everybody_is_served_until_the_lead_is_over() {
    let (headscale, faulty) = (HeadscaleStandin::start(Options::default()), Faulty::start());
    let mut house = alive(&headscale, &faulty, "shutdown: { lead: 5m, grace: 10m }\n");
    assert_eq!(probe(&house.plan, "/readyz").status(), 200);
    let mut kept = Raw::connect(house.plan.public).unwrap();
    assert_eq!(
        kept.exchange(KEY).unwrap().header("connection"),
        Some("keep-alive")
    );
    let mut idle = Raw::connect(house.plan.public).unwrap();
    assert_eq!(idle.exchange(KEY).unwrap().status(), 200);
    house.signal("TERM");
    house.wait_for_log("not ready any more");
    let ready = probe(&house.plan, "/readyz");
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.json()["checks"]["shutdown"][0]["status"], "fail");
    for path in ["/livez", "/startupz"] {
        assert_eq!(probe(&house.plan, path).status(), 200, "{path}");
    }
    // Connections that are there and new ones: served, and not kept.
    let mut new = Raw::connect(house.plan.public).unwrap();
    for raw in [&mut kept, &mut new] {
        let answer = raw.exchange(KEY).unwrap();
        assert_eq!(
            (answer.status(), answer.header("connection")),
            (200, Some("close"))
        );
        assert_eq!(raw.read_to_end().unwrap(), b"");
    }
    assert!(!house.log().contains("stopping"), "{}", house.log());
    // A second word, and it does not wait any longer.
    house.signal("TERM");
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
    assert!(house.log().contains("told twice"), "{}", house.log());
    assert_eq!(idle.read_to_end().unwrap_or_default(), b"");
}

#[test]
fn after_the_lead_nothing_new_begins_and_the_grace_is_for_what_is_open() {
    let (headscale, faulty) = (HeadscaleStandin::start(Options::default()), Faulty::start());
    let mut house = alive(
        &headscale,
        &faulty,
        "shutdown: { lead: 100ms, grace: 10m }\n",
    );
    let gate = headscale.gate("/key");
    let mut open = Raw::connect(house.plan.public).unwrap();
    open.send(KEY).unwrap();
    headscale.wait_for_request("/key");
    house.signal("TERM");
    house.wait_for_log("stopping: nothing new begins");
    assert_eq!(probe(&house.plan, "/readyz").status(), 503);
    drop(gate);
    assert_eq!(open.read_response("GET").unwrap().status(), 200);
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
    let log = house.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(at("not ready any more") < at("stopping: nothing new begins"));
}
