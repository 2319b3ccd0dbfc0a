//! What a client of HTTP/2 may not do, and what becomes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::faulty_provider::Person as Account;
use crate::serving::{connect, stage};
use crate::stage::{Stage, session_line};
use crate::support::house::House;
use crate::support::http2::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, ENHANCE_YOUR_CALM, HEADERS, Http2, NO_ERROR, Outcome,
    PING, PREFACE, PRIORITY, REFUSED_STREAM, SETTINGS, WINDOW_UPDATE, frame, section, settings,
};
use crate::support::raw::Raw;

/// How often a limit of this kind was hit.
fn hits(house: &House, kind: &str) -> u64 {
    count(house, &format!("limits_hit_total{{kind=\"{kind}\"}}"))
}

/// The value of a series of ours.
fn count(house: &House, series: &str) -> u64 {
    let mut raw = Raw::connect(house.plan.admin).unwrap();
    let host = house.plan.admin;
    let ask = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let text = raw.exchange(ask.as_bytes()).unwrap().text();
    let name = format!("headwarden_{series} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap().parse().unwrap()
}

/// Waits for the first count.
fn wait_for_hit(stage: &Stage, kind: &str, what: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while hits(&stage.house, kind) == 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "{what}: {kind} was not counted"
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn the_bounds_are_told_at_once() {
    let stage = stage("");
    let mut client = connect(&stage.house);
    assert!(client.is_alive());
    let told: BTreeMap<u16, u32> = [(0x3, 100), (0x4, 64 * 1024), (0x6, 32 * 1024 + 3200)].into();
    assert_eq!(client.told, told);
}

#[test]
fn more_requests_at_once_than_were_allowed_are_refused_and_the_others_served() {
    let stage = stage("");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let mut client = connect(&stage.house);
    let gate = stage.headscale.gate("/windows");
    let mut streams: Vec<u32> = (0..101)
        .map(|_| client.ask("GET", "/windows", &[&session]).unwrap())
        .collect();
    let last = streams.pop().unwrap();
    let outcome = client.outcome(last);
    assert!(
        matches!(outcome, Outcome::Reset(REFUSED_STREAM)),
        "{outcome:?}"
    );
    drop(gate);
    for stream in streams {
        assert_eq!(client.outcome(stream).status(), Some(200));
    }
    assert_eq!(
        client.exchange("GET", "/windows", &[&session]).status(),
        Some(200)
    );
}

#[test]
fn each_request_at_once_takes_one_of_its_addresss_places_as_a_connection_does() {
    let stage = stage("limits: { connections_per_address: 3 }\n");
    let person = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &person);
    drop(person);
    let before = hits(&stage.house, "connections");
    let mut client = connect(&stage.house);
    // The first two have the place of their connection.
    let (gates, held): (Vec<_>, Vec<u32>) = ["/windows", "/apple", "/", "/version"]
        .map(|path| {
            let gate = stage.headscale.gate(path);
            (gate, client.ask("GET", path, &[&session]).unwrap())
        })
        .into_iter()
        .unzip();
    let outcome = client.exchange("GET", "/windows", &[&session]);
    assert!(
        matches!(outcome, Outcome::Reset(REFUSED_STREAM)),
        "{outcome:?}"
    );
    assert_eq!(hits(&stage.house, "connections"), before + 1);
    drop(gates);
    for stream in held {
        assert_eq!(client.outcome(stream).status(), Some(200));
    }
    // It was not begun, so it may be asked again.
    assert_eq!(
        client.exchange("GET", "/windows", &[&session]).status(),
        Some(200)
    );
}

#[test]
fn one_place_is_enough_for_one_request_at_a_time() {
    let stage = stage("limits: { connections_per_address: 1 }\n");
    let mut client = connect(&stage.house);
    for _ in 0..3 {
        let answer = client.exchange("GET", "/key?v=140", &[]);
        assert_eq!(answer.status(), Some(200), "{answer:?}");
    }
}

/// The next frames to send.
type Flood = Box<dyn Fn(&mut Http2) -> Vec<u8>>;

/// What has brought servers down: frames to send again and again on one connection.
fn floods() -> Vec<(&'static str, Flood)> {
    let get = |client: &mut Http2, ends: bool| {
        let fields = client.fields("GET", "/key?v=140", &["X-Row: flood"]);
        let stream = client.next_stream();
        let flags = END_HEADERS | u8::from(ends);
        (stream, frame(HEADERS, flags, stream, &fields))
    };
    vec![
        (
            "rapid reset",
            Box::new(move |client| {
                let (stream, head) = get(client, true);
                let reset = frame(0x3, 0, stream, &CANCEL.to_be_bytes());
                [head, reset].concat()
            }),
        ),
        (
            "made you reset",
            Box::new(move |client| {
                let (stream, head) = get(client, true);
                // A window that is too wide is an error of the stream.
                let wide = 0x7fff_ffff_u32.to_be_bytes();
                [head, frame(WINDOW_UPDATE, 0, stream, &wide)].concat()
            }),
        ),
        (
            "malformed",
            Box::new(move |client| {
                let stream = client.next_stream();
                let fields = section(&[(b":method", b"GET"), (b":path", b"/key")]);
                frame(HEADERS, END_HEADERS | 1, stream, &fields)
            }),
        ),
        (
            "two authorities",
            Box::new(move |client| {
                let mut fields = client.fields("GET", "/key", &[]);
                fields.extend(section(&[(b"host", b"elsewhere.example")]));
                let stream = client.next_stream();
                frame(HEADERS, END_HEADERS | 1, stream, &fields)
            }),
        ),
        ("pings", Box::new(|_| frame(PING, 0, 0, &[0; 8]))),
        ("settings", Box::new(|_| settings(&[(0x4, 1000)]))),
        ("empty settings", Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        (
            "priorities",
            Box::new(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ),
        ("unknown frames", Box::new(|_| frame(0x42, 0, 0, b"x"))),
        (
            "no data",
            Box::new(move |client| {
                let (stream, head) = get(client, false);
                [head, frame(DATA, 0, stream, &[]).repeat(20)].concat()
            }),
        ),
    ]
}

#[test]
fn a_flood_ends_its_connection_with_a_word_and_no_other() {
    for (what, flood) in floods() {
        let stage = stage("limits: { open_requests_per_minute: 1000000 }\n");
        let mut bystander = connect(&stage.house);
        let mut client = connect(&stage.house);
        for _ in 0..3000 {
            let bytes = flood(&mut client);
            if client.send(&bytes).is_err() {
                break;
            }
        }
        let end = client.end();
        assert!(
            matches!(end, None | Some(ENHANCE_YOUR_CALM)),
            "{what}: {end:?}"
        );
        wait_for_hit(&stage, "http2", &format!("{what}, {end:?}"));
        let answer = bystander.exchange("GET", "/key?v=140", &[]);
        assert_eq!(answer.status(), Some(200), "{what}");
        let reached = stage.headscale.requests();
        let reached = reached
            .iter()
            .filter(|seen| seen.fields.value("x-row").is_some());
        assert!(reached.count() < 500, "{what}");
    }
}

#[test]
fn a_list_of_fields_without_end_ends_its_connection() {
    let stage = stage("");
    let mut client = connect(&stage.house);
    let fields = client.fields("GET", "/key?v=140", &["X-Row: endless"]);
    client.send(&frame(HEADERS, 1, 1, &fields)).unwrap();
    let more = section(&[(b"a", &[b'x'; 1000])]);
    for _ in 0..10_000 {
        if client.send(&frame(CONTINUATION, 0, 1, &more)).is_err() {
            break;
        }
    }
    let end = client.end();
    assert!(end.is_none_or(|code| code != 0), "{end:?}");
    assert!(
        stage
            .headscale
            .requests()
            .iter()
            .all(|seen| seen.path() != "/key")
    );
}

#[test]
fn a_list_of_fields_may_be_as_long_as_a_head_of_http_1_1() {
    let stage = stage("");
    let mut client = connect(&stage.house);
    let value = "x".repeat(300);
    let lines: Vec<String> = (0..99).map(|at| format!("x-{at}: {value}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(
        client.exchange("GET", "/key?v=140", &lines[..95]).status(),
        Some(200)
    );
    let long = format!("x: {}", "x".repeat(40 * 1024));
    let many: Vec<&str> = vec!["a: b"; 101];
    for lines in [&[long.as_str()][..], &many] {
        let status = client.exchange("GET", "/key?v=140", lines).status();
        assert_eq!(status, Some(431), "{:.20}", lines[0]);
    }
    assert!(client.is_alive());
    let target = format!("/{}", "x".repeat(8 * 1024));
    assert_eq!(client.exchange("GET", &target, &[]).status(), Some(414));
    // What is longer than we say that we take is refused by the library, and is not counted.
    for (reason, expected) in [("large", 1), ("target_too_long", 1), ("malformed", 0)] {
        let series = format!("requests_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(count(&stage.house, &series), expected, "{reason}");
    }
}

#[test]
fn what_has_begun_must_end_in_time() {
    let stage = stage("limits: { header_timeout: 1s, keepalive_timeout: 1h }\n");
    let address = stage.house.plan.public;
    let silent = || Http2::silent(Raw::connect(address).unwrap(), address.to_string(), false);
    for (what, bytes) in [("nothing", &b""[..]), ("half a preface", &PREFACE[..10])] {
        let mut client = silent();
        client.send(bytes).unwrap();
        assert_eq!(client.end(), None, "{what}");
    }
    let mut client = silent();
    client.send(PREFACE).unwrap();
    let end = client.end();
    assert!(
        matches!(end, None | Some(NO_ERROR | ENHANCE_YOUR_CALM)),
        "{end:?}"
    );
    // The others have made their request when the house looks: after it no other time runs.
    let clients = stage.house.while_it_stands_still(|| {
        std::array::from_fn::<_, 4, _>(|_| {
            let mut client = connect(&stage.house);
            let stream = client.ask("GET", "/key?v=140", &[]).unwrap();
            (client, stream)
        })
    });
    let mut clients = clients.into_iter().map(|(mut client, stream)| {
        assert_eq!(client.outcome(stream).status(), Some(200));
        client
    });
    let mut next = || clients.next().unwrap();
    let whole = connect(&stage.house).fields("GET", "/key?v=140", &[]);
    let head = frame(HEADERS, 1, 3, &whole);
    for (what, bytes) in [
        ("half a frame", &head[..20]),
        ("half a head of a frame", &head[..5]),
        ("an open list", &head),
    ] {
        let mut client = next();
        client.send(bytes).unwrap();
        assert_eq!(client.end(), Some(ENHANCE_YOUR_CALM), "{what}");
    }
    // What trickles has no more time than what stands still.
    let mut client = next();
    client.send(&head).unwrap();
    let mut sent = 0;
    while client.send(&frame(CONTINUATION, 0, 3, b"")).is_ok() && sent < 500 {
        sent += 1;
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let end = client.end();
    assert!(matches!(end, None | Some(ENHANCE_YOUR_CALM)), "{end:?}");
    wait_for_hit(&stage, "header_timeout", "slow");
}
