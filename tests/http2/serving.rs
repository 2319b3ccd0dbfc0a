//! What is served over HTTP/2, and how.

use std::collections::BTreeSet;

use crate::faulty_provider::Person as Account;
use crate::stage::{HTML, SAME_ORIGIN, Stage, ask, seen, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, free_addresses};
use crate::support::http2::{CANCEL, Http2, Outcome};
use crate::support::raw::{Raw, Response};
use crate::support::tailnet::AUTH_ID;
use crate::support::tls::Authority;

/// On a plaintext listener it has to be asked for.
pub(crate) const KNOWN: &str = "    http2: true\n";
const KEY: &str = "Authorization: Bearer hskey-api-standin";

pub(crate) fn stage(top: &'static str) -> Stage {
    Stage::start_with(|_| More {
        listen: KNOWN,
        headscale: "  api_key: hskey-api-standin\n  verify_from: [127.0.0.0/8]\n",
        top,
        ..More::default()
    })
}

pub(crate) fn connect(house: &House) -> Http2 {
    Http2::connect(house.plan.public).expect("the house listens")
}

#[test]
fn a_client_gets_what_it_agreed_on_and_http_1_1_without_alpn() {
    let authority = Authority::new();
    let headscale = HeadscaleStandin::start(Options::default());
    let [with, without] = free_addresses();
    let house = House::start(|plan| {
        let (chain, key) = authority.certificate(&["localhost"]).write(&plan.files);
        let tls = format!(
            "tls: {{ cert_path: {}, key_path: {} }}",
            chain.display(),
            key.display()
        );
        let listen = format!(
            "listen:\n  - address: \"{with}\"\n    {tls}\n  - address: \"{without}\"\n    {tls}\n    \
             http2: false\n"
        );
        let more = More {
            sign_in: "none",
            waits_for_provider: false,
            ..More::default()
        };
        plan.config(&headscale.url(), "http://127.0.0.1:9/", &more)
            .replace("listen:\n", &listen)
    });
    for (address, offered, http2) in [
        (with, &["h2", "http/1.1"][..], true),
        (with, &["http/1.1", "h2"], true),
        (with, &["h2"], true),
        (with, &["http/1.1"], false),
        (with, &[], false),
        (without, &["h2", "http/1.1"], false),
        (without, &[], false),
    ] {
        let config = authority.client(offered);
        let status = if http2 {
            let client = Http2::connect_tls(address, "localhost", config);
            let answer = client.unwrap().exchange("GET", "/key?v=140", &[]);
            answer.response().status()
        } else {
            let mut raw = Raw::connect_tls(address, "localhost", config).unwrap();
            let host = house.plan.public;
            let key = format!("GET /key?v=140 HTTP/1.1\r\nHost: {host}\r\n\r\n");
            raw.exchange(key.as_bytes()).unwrap().status()
        };
        assert_eq!(status, 200, "{offered:?} at {address}");
    }
    let nothing = Raw::connect_tls(without, "localhost", authority.client(&["h2"]))
        .and_then(|mut raw| raw.exchange(b"GET /key?v=140 HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(nothing.is_err(), "nothing was agreed on");
    // Plaintext does not know it unless it is told to.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut raw = Raw::connect(house.plan.public).unwrap();
    assert_eq!(raw.exchange(preface).unwrap().status(), 400);
}

/// A request through every door that does not tunnel, and some that nobody serves.
fn requests(session: &str) -> Vec<(&'static str, &'static str, Vec<&str>)> {
    let register: &'static str = format!("/register/{AUTH_ID}").leak();
    vec![
        ("GET", "/key?v=140", vec![]),
        ("HEAD", "/machine/ping-response", vec![]),
        ("POST", "/verify", vec!["Content-Length: 0"]),
        ("GET", "/generate_204", vec!["X-Tailscale-Challenge: a"]),
        ("GET", "/windows", vec![]),
        ("GET", "/windows", vec![HTML]),
        ("HEAD", "/windows", vec![HTML]),
        ("GET", "/windows", vec![session]),
        ("POST", "/windows", vec![session, "Content-Length: 0"]),
        ("OPTIONS", "/windows", vec![session]),
        ("GET", "/", vec![session, HTML]),
        ("GET", register, vec![HTML]),
        ("GET", "/api/v1/user", vec![]),
        ("GET", "/api/v1/user", vec![KEY]),
        ("GET", "/api/v1/user", vec![session, SAME_ORIGIN]),
        ("GET", "/swagger", vec![session]),
        ("GET", "/metrics", vec![]),
        ("GET", "/.headwarden/nothing", vec![]),
        ("GET", "/.headwarden/signed-out", vec![HTML]),
        ("GET", "/oidc/callback?state=x&code=y", vec![HTML]),
        ("DELETE", "/oidc/callback", vec![]),
        ("TRACE", "/key", vec![]),
        ("GET", "/key", vec!["Host: elsewhere.example"]),
        ("GET", "/windows", vec!["Host: elsewhere.example"]),
        ("GET", "/a/../b", vec![session]),
        ("GET", "//a", vec![session]),
    ]
}

/// What must be equal, and what a connection's version decides.
fn shape(answer: &Response) -> (u16, Vec<String>, usize) {
    let connection = [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "date",
        "content-length",
    ];
    let names = answer.head.fields.0.iter();
    let mut names: Vec<String> = names
        .map(|(name, _)| name.to_ascii_lowercase())
        .filter(|name| !connection.contains(&name.as_str()))
        .collect();
    names.sort();
    (answer.status(), names, answer.body.len())
}

#[test]
fn every_door_answers_as_it_does_over_http_1_1_all_on_one_connection() {
    let stage = stage("api: { admins: [headscale-admins] }\n");
    let session = session_line(&stage.house, &stage.somebody(Account::Admin));
    let mut client = connect(&stage.house);
    for (method, target, lines) in requests(&session) {
        let foreign = lines.iter().any(|line| line.starts_with("Host"));
        let old = if foreign {
            let host = lines[0];
            let text = format!("{method} {target} HTTP/1.1\r\n{host}\r\n\r\n");
            crate::stage::send(stage.house.plan.public, text.as_bytes())
        } else {
            ask(&stage.house, method, target, &lines)
        };
        let new = client.exchange(method, target, &lines).response();
        assert_eq!(shape(&new), shape(&old), "{method} {target} {lines:?}");
        for (name, value) in &new.head.fields.0 {
            assert_eq!(name, &name.to_lowercase(), "{method} {target}");
            let of_connections = ["connection", "keep-alive", "transfer-encoding", "upgrade"];
            assert!(!of_connections.contains(&name.as_str()), "{name}: {value}");
        }
    }
    assert!(client.is_alive());
}

#[test]
fn cookies_in_crumbs_are_one_field_with_one_session_and_without_ours_upstream() {
    let stage = stage("");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let mut client = connect(&stage.house);
    let lines = ["Cookie: a=1", &session, "Cookie: b=2; c=3", "X-Row: crumbs"];
    assert_eq!(
        client.exchange("GET", "/windows", &lines).status(),
        Some(200)
    );
    let seen = seen(&stage.headscale, "crumbs");
    let cookies: Vec<_> = seen
        .iter()
        .flat_map(|seen| seen.fields.values("cookie"))
        .collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
    let host = seen.iter().flat_map(|seen| seen.fields.values("host"));
    assert_eq!(
        host.collect::<Vec<_>>(),
        [stage.house.plan.public.to_string()]
    );
}

#[test]
fn a_body_reaches_the_upstream_whole_however_it_was_framed() {
    let stage = stage("");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let mut client = connect(&stage.house);
    let body: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    let length = format!("Content-Length: {}", body.len());
    for (row, lines) in [
        ("sized", vec![session.as_str(), &length]),
        ("open", vec![session.as_str()]),
    ] {
        let tag = format!("X-Row: {row}");
        let lines = [&lines[..], &[&tag]].concat();
        let fields = client.fields("POST", "/windows", &lines);
        let stream = client.open(&fields, false).unwrap();
        for piece in body.chunks(16_000) {
            // The window of the stream is smaller than the body.
            client.wait_for_window(stream, piece.len());
            client.data(stream, piece, false).unwrap();
        }
        client.data(stream, b"", true).unwrap();
        let answer = client.outcome(stream).response();
        assert!(answer.status() < 500, "{row}: {}", answer.text());
        let seen = seen(&stage.headscale, row);
        assert_eq!(seen.len(), 1, "{row}");
        assert!(seen[0].body == body, "{row}");
        let framed = (
            seen[0].fields.value("content-length").is_some(),
            seen[0].fields.value("transfer-encoding").is_some(),
        );
        assert_eq!(framed, (row == "sized", row == "open"), "{row}");
    }
}

#[test]
fn forms_of_our_own_are_read_and_too_large_ones_refused() {
    let stage = stage("");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let mut client = connect(&stage.house);
    for (length, status) in [(10, 303), (20_000, 413)] {
        let lines = [session.as_str(), SAME_ORIGIN];
        let fields = client.fields("POST", "/.headwarden/logout", &lines);
        let stream = client.open(&fields, false).unwrap();
        for piece in vec![b'x'; length].chunks(10_000) {
            let _ = client.data(stream, piece, false);
        }
        let _ = client.data(stream, b"", true);
        assert_eq!(client.outcome(stream).status(), Some(status), "{length}");
    }
    assert!(client.is_alive());
}

#[test]
fn a_hundred_requests_at_once_are_answered_each_with_its_own() {
    let stage = stage("");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let mut client = connect(&stage.house);
    let rows: Vec<String> = (0..100).map(|row| format!("/windows?row={row}")).collect();
    let streams: Vec<u32> = rows
        .iter()
        .map(|target| client.ask("GET", target, &[&session]).unwrap())
        .collect();
    for stream in streams.iter().rev() {
        assert_eq!(client.outcome(*stream).status(), Some(200));
    }
    let seen = stage.headscale.requests();
    let seen: BTreeSet<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert!(rows.iter().all(|row| seen.contains(row.as_str())));
    // Each has its own line, and its own id.
    stage.house.wait_until("a hundred lines", || {
        let log = stage.house.log();
        let lines = log.lines().filter(|line| line.contains("context: request"));
        let ids: BTreeSet<&str> = lines
            .filter_map(|line| line.split("request_id=").nth(1)?.split(' ').next())
            .collect();
        ids.len() >= 100
    });
}

#[test]
fn tunnels_need_http_1_1_and_say_so() {
    let stage = stage("");
    let mut client = connect(&stage.house);
    for (method, target) in [("POST", "/ts2021"), ("GET", "/ts2021"), ("GET", "/derp")] {
        let answer = client.exchange(method, target, &[]).response();
        assert_eq!(answer.status(), 400, "{method} {target}");
        assert!(answer.text().contains("need HTTP/1.1"), "{}", answer.text());
    }
    let machines = ["/ts2021", "/derp"];
    let seen = stage.headscale.requests();
    assert!(!seen.iter().any(|seen| machines.contains(&seen.path())));
    // Nor does anybody offer to tunnel otherwise (RFC 8441: SETTINGS_ENABLE_CONNECT_PROTOCOL).
    assert_eq!(client.told.get(&0x8).copied().unwrap_or_default(), 0);
}

#[test]
fn plaintext_beside_an_https_origin_sends_people_there_and_serves_nothing_else() {
    let headscale = HeadscaleStandin::start(Options::default());
    let house = House::start(|plan| {
        let more = More {
            listen: KNOWN,
            sign_in: "none",
            top: "trusted_proxies: [192.0.2.1]\n",
            waits_for_provider: false,
            ..More::default()
        };
        let text = plan.config(&headscale.url(), "http://127.0.0.1:9/", &more);
        text.replace(
            &format!("server_url: {}", plan.origin()),
            "server_url: https://hs.example",
        )
    });
    let mut client = connect(&house);
    let host = "Host: hs.example";
    for (method, target, status, location) in [
        ("GET", "/a?b=c", 308, Some("https://hs.example/a?b=c")),
        ("HEAD", "/key", 308, Some("https://hs.example/key")),
        ("POST", "/a", 403, None),
        ("GET", "/generate_204", 204, None),
    ] {
        let answer = client.exchange(method, target, &[host]).response();
        assert_eq!(answer.status(), status, "{method} {target}");
        assert_eq!(answer.header("location"), location, "{method} {target}");
    }
    let seen = headscale.requests();
    assert!(!seen.iter().any(|seen| matches!(seen.path(), "/key" | "/a")));
}

#[test]
fn a_stream_that_is_broken_off_ends_upstream_and_nothing_else_does() {
    let stage = stage("");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let mut client = connect(&stage.house);
    let hold = stage.headscale.gate("/windows");
    let slow = client.ask("GET", "/windows", &[&session]).unwrap();
    stage.headscale.wait_for_request("/windows");
    client.reset(slow, CANCEL).unwrap();
    assert!(matches!(
        client.exchange("GET", "/apple", &[&session]),
        Outcome::Answer(_)
    ));
    drop(hold);
}
