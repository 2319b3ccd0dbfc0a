//! Listeners that want a PROXY header: what they take, from whom, and what they make of it.

use std::net::{IpAddr, SocketAddr};

use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, Plan, free_addresses};
use crate::support::raw::{Raw, Response};

const NOWHERE: &str = "http://127.0.0.1:9/";
const KEY: &[u8] = b"GET /key?v=140 HTTP/1.1\r\nHost: a\r\n\r\n";
const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x34, 1, 187];

/// A house with a listener that wants a header, from 127.0.0.1 or 10.0.0.0/8; and that listener.
fn start(headscale: &HeadscaleStandin, top: &'static str) -> (House, SocketAddr) {
    let [announced] = free_addresses();
    let house = House::start(|plan| {
        let listen =
            format!("listen:\n  - address: \"{announced}\"\n    proxy_protocol: required\n");
        alone(plan, &headscale.url(), top).replace("listen:\n", &listen)
    });
    (house, announced)
}

fn alone(plan: &Plan, headscale: &str, top: &'static str) -> String {
    let more = More {
        sign_in: "none",
        top,
        waits_for_provider: false,
        ..More::default()
    };
    plan.config(headscale, NOWHERE, &more)
}

const TRUSTED: &str = "trusted_proxies: [127.0.0.1/32, 10.0.0.0/8]\n\
    limits: { connections_per_address: 100000, open_requests_per_minute: 100000 }\n";

fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, kind][..], &length, rest].concat()
}

/// What Headscale is told of the client, behind this header and with this field.
fn client(
    headscale: &HeadscaleStandin,
    to: SocketAddr,
    row: usize,
    header: &[u8],
    field: &str,
) -> String {
    let request = format!("GET /key?v=140 HTTP/1.1\r\nHost: a\r\nX-Row: {row}\r\n{field}\r\n");
    let mut raw = Raw::connect(to).unwrap();
    // In one write: what follows the header must not be lost with it.
    let answer = raw.exchange_behind(header, request.as_bytes());
    assert_eq!(answer.status(), 200, "{row} {header:?}");
    let mut seen = headscale.requests();
    let row = row.to_string();
    seen.retain(|seen| seen.fields.value("x-row") == Some(&row));
    assert_eq!(seen.len(), 1, "{row}");
    seen[0].fields.value("x-forwarded-for").unwrap().to_owned()
}

impl Raw {
    fn exchange_behind(&mut self, header: &[u8], request: &[u8]) -> Response {
        self.send(&[header, request].concat()).unwrap();
        self.read_response("GET").unwrap()
    }
}

#[test]
fn the_client_is_whom_a_trusted_header_names_and_forwarding_fields_count_behind_a_trusted_one_only()
{
    let headscale = HeadscaleStandin::start(Options::default());
    let (house, to) = start(&headscale, TRUSTED);
    let v1 = |source: &str| format!("PROXY TCP4 {source} 10.0.0.1 4660 443\r\n").into_bytes();
    let mapped = [
        &[0; 10][..],
        &[0xff, 0xff, 203, 0, 113, 9],
        &[0; 16],
        &[1, 2, 3, 4],
    ]
    .concat();
    let forged = "X-Forwarded-For: 6.6.6.6\r\n";
    let rows: [(Vec<u8>, &str, &str); 17] = [
        (v1("203.0.113.9"), "", "203.0.113.9"),
        (v1("203.0.113.9"), forged, "203.0.113.9"),
        (v1("10.0.0.7"), "", "10.0.0.7"),
        (
            v1("10.0.0.7"),
            "X-Forwarded-For: 6.6.6.6, 203.0.113.8\r\n",
            "203.0.113.8",
        ),
        (
            v1("127.0.0.1"),
            "X-Forwarded-For: 203.0.113.8\r\n",
            "203.0.113.8",
        ),
        (
            b"PROXY TCP6 2001:db8::9 ::1 1 2\r\n".to_vec(),
            forged,
            "2001:db8::9",
        ),
        (
            b"PROXY TCP6 ::ffff:10.0.0.7 ::1 1 2\r\n".to_vec(),
            "X-Forwarded-For: 203.0.113.8\r\n",
            "203.0.113.8",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), "", "127.0.0.1"),
        // The balancer does not know its client, who says what it likes.
        (b"PROXY UNKNOWN\r\n".to_vec(), forged, "127.0.0.1"),
        (binary(0x21, 0x00, &[]), forged, "127.0.0.1"),
        (binary(0x21, 0x31, &[0; 216]), forged, "127.0.0.1"),
        (binary(0x21, 0x11, &V4), forged, "203.0.113.9"),
        (binary(0x21, 0x21, &mapped), forged, "203.0.113.9"),
        (binary(0x20, 0x11, &V4), "", "127.0.0.1"),
        (
            binary(0x20, 0x00, &[]),
            "X-Forwarded-For: 203.0.113.8\r\n",
            "203.0.113.8",
        ),
        (binary(0x21, 0x00, &[1, 2, 3]), "", "127.0.0.1"),
        (binary(0x21, 0x31, &[0; 216]), "", "127.0.0.1"),
    ];
    for (row, (header, field, expected)) in rows.iter().enumerate() {
        let found = client(&headscale, to, row, header, field);
        assert_eq!(found, *expected, "{row} {header:?} {field:?}");
    }
    assert!(!house.log().contains("6.6.6.6"), "{}", house.log());
}

/// The value of a series of the house.
fn count(house: &House, series: &str) -> String {
    let get = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let text = Raw::connect(house.plan.admin)
        .unwrap()
        .exchange(get)
        .unwrap()
        .text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{series} ")));
    line.unwrap_or_else(|| panic!("{series} is not in {text}"))
        .to_owned()
}

#[test]
fn whoever_is_not_announced_or_not_trusted_is_closed_and_hears_nothing() {
    let headscale = HeadscaleStandin::start(Options::default());
    let (house, to) = start(&headscale, TRUSTED);
    let good = b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 443\r\n";
    let [ours, stranger]: [IpAddr; 2] =
        ["127.0.0.1", "127.0.0.2"].map(|text| text.parse().unwrap());
    let refused = |what: &str, from: IpAddr, sent: &[u8]| {
        let mut raw = Raw::connect_from(from, to).unwrap();
        let _ = raw.send(sent);
        let heard = raw.read_to_end().unwrap_or_default();
        assert_eq!(heard, b"", "{what}");
    };
    let trusted: [(&str, Vec<u8>); 9] = [
        ("no header", KEY.to_vec()),
        ("a header behind data", [KEY, good].concat()),
        ("a space in front", [b" ", &good[..], KEY].concat()),
        (
            "HTTP/2's preface",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        (
            "a header too long",
            [b"PROXY UNKNOWN ", &[b'a'; 200][..], b"\r\n", KEY].concat(),
        ),
        (
            "a value over the end",
            [
                &binary(0x21, 0x11, &[&V4[..], &[4, 0, 9, 0]].concat())[..],
                KEY,
            ]
            .concat(),
        ),
        (
            "a wrong checksum",
            [
                &binary(0x21, 0x11, &[&V4[..], &[3, 0, 4, 1, 2, 3, 4]].concat())[..],
                KEY,
            ]
            .concat(),
        ),
        ("64 KiB of values", binary(0x21, 0x11, &vec![0; 65535])),
    ];
    for (what, sent) in &trusted {
        refused(what, ours, sent);
    }
    for (what, sent) in [
        ("spoofed", [&good[..], KEY].concat()),
        ("a plain request", KEY.to_vec()),
        ("nothing", Vec::new()),
    ] {
        refused(what, stranger, &sent);
    }
    assert_eq!(
        count(
            &house,
            "headwarden_proxy_headers_refused_total{reason=\"malformed\"}"
        ),
        "9"
    );
    assert_eq!(
        count(
            &house,
            "headwarden_proxy_headers_refused_total{reason=\"untrusted\"}"
        ),
        "3"
    );
    assert!(
        headscale
            .requests()
            .iter()
            .all(|seen| seen.path() != "/key"),
        "nothing got through"
    );
    // Two headers: the second is a request, and none that HTTP knows.
    let mut twice = Raw::connect(to).unwrap();
    twice.send(&[&good[..], good, KEY].concat()).unwrap();
    assert_eq!(twice.read_head().unwrap().status, 400);
    // A listener that does not ask for headers takes none, from whomever.
    for from in [ours, stranger] {
        let mut raw = Raw::connect_from(from, house.plan.public).unwrap();
        raw.send(&[&good[..], KEY].concat()).unwrap();
        assert_eq!(raw.read_head().unwrap().status, 400);
    }
    let log = house.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("closing connections"))
        .count();
    assert_eq!(lines, 2, "one line for each address and minute: {log}");
}

#[test]
fn a_header_that_trickles_or_never_ends_is_given_up() {
    let headscale = HeadscaleStandin::start(Options::default());
    let (house, to) = start(
        &headscale,
        "trusted_proxies: [127.0.0.1/32]\nlimits: { header_timeout: 1s }\n",
    );
    let whole = binary(0x21, 0x11, &V4);
    let mut waiting = Vec::new();
    for sent in [
        &b""[..],
        b"P",
        b"PROXY TCP4 203.0.113.9 ",
        b"\r\n\r\n",
        &whole[..20],
    ] {
        let mut raw = Raw::connect(to).unwrap();
        raw.send(sent).unwrap();
        waiting.push(raw);
    }
    for mut raw in waiting {
        assert_eq!(raw.read_to_end().unwrap_or_default(), b"");
    }
    assert_eq!(
        count(
            &house,
            "headwarden_proxy_headers_refused_total{reason=\"slow\"}"
        ),
        "5"
    );
}

#[test]
fn places_are_those_of_the_announced_client_and_a_health_check_takes_none() {
    let headscale = HeadscaleStandin::start(Options::default());
    let (house, to) = start(
        &headscale,
        "trusted_proxies: [127.0.0.1/32]\nlimits: { connections_per_address: 2 }\n",
    );
    let open = |header: &[u8]| {
        let mut raw = Raw::connect(to).unwrap();
        raw.send(&[header, KEY].concat()).unwrap();
        let status = raw.read_response("GET").unwrap().status();
        (status, raw)
    };
    let one = b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 443\r\n";
    let other = b"PROXY TCP4 203.0.113.8 10.0.0.1 4660 443\r\n";
    let held = [open(one), open(one)];
    assert_eq!(held.each_ref().map(|(status, _)| *status), [200, 200]);
    assert_eq!(open(one).0, 429);
    assert_eq!(open(other).0, 200);
    let checks: Vec<_> = (0..5).map(|_| open(&binary(0x20, 0, &[]))).collect();
    assert!(checks.iter().all(|(status, _)| *status == 200));
    assert_eq!(
        count(&house, "headwarden_limits_hit_total{kind=\"connections\"}"),
        "1"
    );
    assert!(
        house.log().contains("client=203.0.113.9 "),
        "{}",
        house.log()
    );
}

#[test]
fn a_listener_that_would_let_nobody_in_is_a_mistake() {
    let mut house = House::launch(
        |plan| alone(plan, NOWHERE, "").replace("admin:", "    proxy_protocol: required\nadmin:"),
        &[],
    );
    assert_eq!(house.wait().code(), Some(2), "{}", house.log());
    assert!(
        house.log().contains("listen[0].proxy_protocol"),
        "{}",
        house.log()
    );
}
