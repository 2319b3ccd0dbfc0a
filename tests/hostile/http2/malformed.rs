//! Requests that no library would send, written frame by frame (RFC 9113 section 8).

use super::connect;
use crate::faulty_provider::Person as Account;
use crate::framing::place::{NO_LIMITS, Place};
use crate::stage::{Stage, session_line};
use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Outcome, frame, section,
};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn fields(list: &[(&str, &str)]) -> Fields {
    list.iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

fn encoded(list: &Fields) -> Vec<u8> {
    let list: Vec<(&[u8], &[u8])> = list.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    section(&list)
}

/// The four pseudo-header fields, then these.
fn with(authority: &str, more: &[(&str, &str)]) -> Fields {
    let pseudo = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", authority),
        (":path", "/windows"),
    ];
    fields(&[&pseudo[..], more].concat())
}

/// Everything that has been tried with the fields of a request. Each would be served without its flaw.
#[expect(clippy::too_many_lines, reason = "a table")]
fn flawed(at: &str) -> Vec<(String, Fields)> {
    let mut rows: Vec<(String, Fields)> = Vec::new();
    let pseudo = with(at, &[]);
    for missing in 0..4 {
        let mut list = pseudo.clone();
        let (name, _) = list.remove(missing);
        // Without a path the library has "/", which is what is judged and forwarded.
        if name != b":path" {
            rows.push((format!("without {}", String::from_utf8_lossy(&name)), list));
        }
    }
    for again in 0..4 {
        let mut list = pseudo.clone();
        list.push(pseudo[again].clone());
        rows.push((format!("{again} twice"), list));
        let mut list = fields(&[("a", "b")]);
        list.extend(pseudo.clone());
        rows.push(("behind another".to_owned(), list));
    }
    for (name, value) in [
        (":status", "200"),
        (":protocol", "websocket"),
        (":unknown", "x"),
        (":", "x"),
        (":path ", "/key"),
        ("X-Upper", "x"),
        ("Cookie", "a=b"),
        ("a b", "x"),
        ("a:b", "x"),
        ("a\r\nb", "x"),
        ("a\0", "x"),
        ("", "x"),
        ("a\u{80}", "x"),
        ("a", "b\r\nx-evil: 1"),
        ("a", "b\nx"),
        ("a", "b\rx"),
        ("a", "b\0x"),
        ("a", "b\u{1}x"),
        ("a", "b\u{7f}x"),
        ("a", " b"),
        ("a", "b "),
        ("a", "\tb"),
        ("cookie", "a=b\r\nx: y"),
        ("connection", "close"),
        ("connection", "x-forwarded-for"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("content-length", "5"),
        ("content-length", "+0"),
        ("content-length", "0x0"),
        ("content-length", ""),
        ("content-length", "0, 0"),
        ("content-length", "99999999999999999999"),
        ("host", "elsewhere.example"),
        ("host", "user@127.0.0.1"),
        ("host", ""),
    ] {
        rows.push((format!("{name:?}: {value:?}"), with(at, &[(name, value)])));
    }
    for twice in [("content-length", "0"), ("host", at)] {
        rows.push((format!("{twice:?} twice"), with(at, &[twice, twice])));
    }
    rows.push((
        "two lengths".to_owned(),
        with(at, &[("content-length", "0"), ("content-length", "1")]),
    ));
    for (place, values) in [
        (
            0,
            &[
                "",
                "G ET",
                "GET /key HTTP/1.1\r\n",
                "CONNECT",
                "get",
                "PRI",
                "TRACE",
            ][..],
        ),
        (1, &["", "ftp", "javascript", "http://x"]),
        (
            2,
            &[
                "",
                "user@127.0.0.1",
                "127.0.0.1:1:2",
                "127.0.0.1/key",
                "a, b",
                "[::1",
                "127.0.0.1:0x50",
            ],
        ),
        (
            3,
            &[
                "",
                "*",
                "windows",
                "http://127.0.0.1/windows",
                "/win dows",
                "/windows\r\nx: y",
                "/windows\0",
                "/a/../windows",
                "//windows",
                "/windows\\x",
                "/%2e%2e/windows",
                "/caf\u{e9}",
            ],
        ),
    ] {
        for value in values {
            let mut list = pseudo.clone();
            list[place].1 = value.as_bytes().to_vec();
            rows.push((format!("{place}: {value:?}"), list));
        }
    }
    rows
}

/// What is left of a connection, or a new one.
fn still(client: Http2, stage: &Stage, outcome: &Outcome) -> Http2 {
    match outcome {
        Outcome::Gone(_) => connect(&stage.house),
        Outcome::Answer(_) | Outcome::Reset(_) => client,
    }
}

#[test]
fn a_flawed_request_is_refused_with_the_best_of_cookies_and_its_neighbours_are_served() {
    let place = Place::start(NO_LIMITS);
    let stage = &place.stage;
    let cookie = place.session.strip_prefix("Cookie: ").unwrap().to_owned();
    let at = stage.house.plan.public.to_string();
    let mut client = connect(&stage.house);
    for (number, (what, mut list)) in flawed(&at).into_iter().enumerate() {
        list.push((b"cookie".to_vec(), cookie.clone().into_bytes()));
        list.push((b"x-row".to_vec(), format!("flaw-{number}").into_bytes()));
        let stream = match client.open(&encoded(&list), true) {
            Ok(stream) => stream,
            Err(error) => panic!("{what}: {error}"),
        };
        let outcome = client.outcome(stream);
        match &outcome {
            Outcome::Answer(answer) => {
                let status = answer.response.status();
                assert!((400..500).contains(&status), "{what}: {status}");
            }
            Outcome::Reset(code) => assert_ne!(*code, 0, "{what}"),
            Outcome::Gone(code) => assert_ne!(*code, Some(0), "{what}"),
        }
        let seen = stage.headscale.requests();
        let row = format!("flaw-{number}");
        let seen = seen
            .iter()
            .find(|seen| seen.fields.value("x-row") == Some(&row));
        assert!(seen.is_none(), "{what} was forwarded: {seen:?}");
        client = still(client, stage, &outcome);
        // A connection may have so many; the next begins afresh.
        if number % 20 == 19 {
            client = connect(&stage.house);
        }
        let good = with(&at, &[("cookie", &cookie)]);
        let stream = client.open(&encoded(&good), true).unwrap();
        assert_eq!(client.outcome(stream).status(), Some(200), "after {what}");
    }
    let whole = stage.headscale.heads().concat();
    assert!(!String::from_utf8_lossy(&whole).contains("x-evil"));
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_no_whole_request() {
    let place = Place::start(NO_LIMITS);
    let at = place.stage.house.plan.public.to_string();
    let cookie = place.session.strip_prefix("Cookie: ").unwrap().to_owned();
    let smuggled = b"GET /ui/admin HTTP/1.1\r\nHost: x\r\nX-Smuggled: 1\r\n\r\n";
    for (what, length, pieces, ends) in [
        ("longer", Some("5"), vec![&b"hello, world"[..]], true),
        ("shorter", Some("50"), vec![&b"hello"[..]], true),
        ("nothing", Some("5"), vec![&b""[..]], true),
        ("more than nothing", Some("0"), vec![&smuggled[..]], true),
        (
            "longer by a request",
            Some("5"),
            vec![&b"hello"[..], &smuggled[..]],
            true,
        ),
        (
            "as chunks",
            None,
            vec![&b"0\r\n\r\n"[..], &smuggled[..]],
            true,
        ),
    ] {
        let mut client = connect(&place.stage.house);
        let mut list = with(&at, &[("cookie", &cookie), ("x-row", what)]);
        list[0].1 = b"POST".to_vec();
        list[3].1 = b"/ui/form".to_vec();
        if let Some(length) = length {
            list.push((b"content-length".to_vec(), length.as_bytes().to_vec()));
        }
        let stream = client.open(&encoded(&list), false).unwrap();
        for (number, piece) in pieces.iter().enumerate() {
            let last = ends && number + 1 == pieces.len();
            let _ = client.data(stream, piece, last);
        }
        let outcome = client.outcome(stream);
        assert!(
            outcome.status().is_none_or(|status| status < 500),
            "{what}: {outcome:?}"
        );
        let asked = place.ui.asked();
        for asked in &asked {
            assert_eq!(asked.fields.value("x-smuggled"), None, "{what}: {asked:?}");
            assert!(
                asked.line.starts_with("POST /ui/form"),
                "{what}: {}",
                asked.line
            );
        }
        let whole = asked
            .iter()
            .filter(|asked| asked.fields.value("x-row") == Some(what));
        let bodies: Vec<&[u8]> = whole.map(|asked| &asked.body[..]).collect();
        if what == "as chunks" {
            assert_eq!(bodies, [pieces.concat()], "{what}");
        } else {
            assert!(
                bodies.iter().all(|body| body.is_empty()) || bodies.is_empty(),
                "{what}: {bodies:?}"
            );
        }
    }
}

#[test]
fn trailers_bring_no_field_to_any_upstream() {
    let place = Place::start(NO_LIMITS);
    let at = place.stage.house.plan.public.to_string();
    let cookie = place.session.strip_prefix("Cookie: ").unwrap().to_owned();
    for (number, trailers) in [
        fields(&[("remote-user", "f0rged"), ("x-forwarded-for", "f0rged")]),
        fields(&[("x-harmless", "f0rged"), ("cookie", "headwarden=f0rged")]),
        fields(&[(":path", "/f0rged")]),
        fields(&[("content-length", "0"), ("transfer-encoding", "f0rged")]),
        fields(&[("X-Upper", "f0rged")]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = connect(&place.stage.house);
        let mut list = with(&at, &[("cookie", &cookie), ("trailer", "remote-user")]);
        list[0].1 = b"POST".to_vec();
        list[3].1 = format!("/ui/form{number}").into_bytes();
        let stream = client.open(&encoded(&list), false).unwrap();
        client.data(stream, b"body", false).unwrap();
        let flags = END_HEADERS | END_STREAM;
        client
            .send(&frame(HEADERS, flags, stream, &encoded(&trailers)))
            .unwrap();
        let outcome = client.outcome(stream);
        assert!(
            outcome.status().is_none_or(|status| status < 500),
            "{number}: {outcome:?}"
        );
    }
    assert!(!place.ui.heard("f0rged"));
    assert!(!place.ui.heard("remote-user: f"));
}

#[test]
fn frames_out_of_order_end_the_stream_or_the_connection_and_reach_nobody() {
    let place = Place::start(NO_LIMITS);
    let stage = &place.stage;
    let cookie = session_line(&stage.house, &stage.somebody(Account::Admin));
    let sample = connect(&stage.house);
    let head = sample.fields("GET", "/windows", &[&cookie, "X-Row: order"]);
    let (first, second) = head.split_at(head.len() / 2);
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("data before a head", frame(DATA, 1, 1, b"x")),
        ("a head on an even stream", frame(HEADERS, 5, 2, &head)),
        ("a head on the connection", frame(HEADERS, 5, 0, &head)),
        ("data on the connection", frame(DATA, 1, 0, b"x")),
        ("going on with nothing", frame(CONTINUATION, 4, 1, &head)),
        (
            "something between",
            [
                frame(HEADERS, 1, 1, first),
                frame(0x6, 0, 0, &[0; 8]),
                frame(CONTINUATION, 4, 1, second),
            ]
            .concat(),
        ),
        (
            "going on elsewhere",
            [
                frame(HEADERS, 1, 1, first),
                frame(CONTINUATION, 4, 3, second),
            ]
            .concat(),
        ),
        (
            "a push",
            frame(0x5, 4, 1, &[&[0, 0, 0, 2][..], &head].concat()),
        ),
        ("a frame too large", frame(HEADERS, 5, 1, &vec![0; 70_000])),
        (
            "a length of settings that is none",
            frame(0x4, 0, 0, &[0; 5]),
        ),
        ("a reset of nothing", frame(0x3, 0, 9, &[0; 4])),
        (
            "padding longer than the frame",
            frame(HEADERS, 0xd, 1, &[&[255][..], &head].concat()),
        ),
        (
            "a stream that depends on itself",
            frame(HEADERS, 0x25, 1, &[&[0, 0, 0, 1, 0][..], &head].concat()),
        ),
        (
            "an index that is not there",
            frame(HEADERS, 5, 1, &[0xff, 0x80, 0x10]),
        ),
        (
            "a table that is too large",
            frame(
                HEADERS,
                5,
                1,
                &[&[0x3f, 0xe1, 0xff, 0x7f][..], &head].concat(),
            ),
        ),
        (
            "bad huffman",
            frame(HEADERS, 5, 1, &[0x10, 0x81, 0x00, 0x81, 0x00]),
        ),
    ];
    for (what, bytes) in rows {
        let mut client = connect(&stage.house);
        let _ = client.send(&bytes);
        let outcome = client.outcome(1);
        assert_eq!(outcome.status(), None, "{what}: {outcome:?}");
    }
    let seen = stage.headscale.requests();
    assert!(seen.iter().all(|seen| seen.fields.value("x-row").is_none()));
}

#[test]
fn another_authority_is_another_question_and_host_cannot_hide_it() {
    let place = Place::start(NO_LIMITS);
    let at = place.stage.house.plan.public.to_string();
    let port = place.stage.house.plan.public.port();
    let cookie = place.session.strip_prefix("Cookie: ").unwrap().to_owned();
    let mut client = connect(&place.stage.house);
    for (authority, host, status) in [
        (Some(at.clone()), None, 200),
        (Some("127.0.0.1".to_owned()), None, 200),
        (None, Some(at.clone()), 200),
        (Some(at.clone()), Some(at.clone()), 200),
        (Some("elsewhere.example".to_owned()), None, 421),
        (None, Some("elsewhere.example".to_owned()), 421),
        (Some("127.0.0.1.".to_owned()), None, 421),
        (Some("127.0.0.2".to_owned()), None, 421),
        (Some("0x7f.1".to_owned()), None, 421),
        (Some("[::1]".to_owned()), None, 421),
        (Some("elsewhere.example".to_owned()), Some(at.clone()), 400),
        (Some(at.clone()), Some("elsewhere.example".to_owned()), 400),
        (Some(at.clone()), Some("127.0.0.1".to_owned()), 400),
        (Some(format!("user@127.0.0.1:{port}")), None, 400),
        (Some("127.0.0.1:99999".to_owned()), None, 400),
        (Some("127.0.0.1,elsewhere.example".to_owned()), None, 400),
    ] {
        let mut list = with(&at, &[("cookie", &cookie)]);
        match &authority {
            Some(authority) => list[2].1 = authority.clone().into_bytes(),
            None => drop(list.remove(2)),
        }
        list.extend(
            host.clone()
                .map(|host| (b"host".to_vec(), host.into_bytes())),
        );
        let stream = client.open(&encoded(&list), true).unwrap();
        let outcome = client.outcome(stream);
        let found = outcome.status().unwrap_or(400);
        assert_eq!(found, status, "{authority:?} {host:?}: {outcome:?}");
        client = still(client, &place.stage, &outcome);
    }
}
