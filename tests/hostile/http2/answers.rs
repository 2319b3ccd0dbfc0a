//! What comes back over HTTP/2: nothing of an upstream's connection, none of our cookies, and one answer
//! for each request.

use std::fmt::Write as _;

use super::connect;
use crate::framing::place::{KEY, NO_LIMITS, Place};
use crate::support::headscale_standin::Script;
use crate::support::http2::Outcome;

const OURS: [&str; 5] = [
    "headwarden=planted",
    "Headwarden=planted; Path=/",
    " headwarden=planted",
    "headwarden-login-x=planted",
    "=headwarden=planted",
];

#[test]
fn an_upstream_plants_no_cookie_and_orders_nobody_about_in_any_answer() {
    let place = Place::start(NO_LIMITS);
    let mut client = connect(&place.stage.house);
    for status in ["200 OK", "302 Found", "404 Not Found", "500 Oops"] {
        let mut answer = format!("HTTP/1.1 {status}\r\n");
        for cookie in OURS {
            let _ = write!(answer, "Set-Cookie: {cookie}\r\n");
        }
        answer.push_str(
            "Set-Cookie: theme=dark\r\nX-Accel-Redirect: /secret\r\nClear-Site-Data: \"*\"\r\n\
             Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nConnection: X-Gone\r\n\
             X-Gone: 1\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
        );
        place.ui.answer("/ui/page", answer.as_bytes());
        place.ui.answer("/ui/open", answer.as_bytes());
        for (target, lines) in [
            ("/ui/page", vec![place.session.as_str()]),
            ("/ui/open", vec![]),
            ("/windows", vec![place.session.as_str()]),
            ("/api/v1/user", vec![KEY]),
        ] {
            let script = Script::Bytes(answer.clone().into_bytes());
            place.stage.headscale.script(target, script);
            let answer = client.exchange("GET", target, &lines).response();
            let head = String::from_utf8_lossy(&answer.head.raw).into_owned();
            assert_eq!(
                answer.head.fields.values("set-cookie"),
                ["theme=dark"],
                "{target} {status}"
            );
            for name in [
                "x-accel-redirect",
                "clear-site-data",
                "keep-alive",
                "proxy-connection",
                "connection",
                "upgrade",
                "transfer-encoding",
            ] {
                assert_eq!(answer.header(name), None, "{target} {status}: {head}");
            }
            assert!(!head.contains("planted"), "{target}: {head}");
        }
    }
}

#[test]
fn an_answer_that_is_none_is_a_502_or_a_reset_and_never_somebody_elses() {
    let place = Place::start(NO_LIMITS);
    let session = [place.session.as_str()];
    let mut client = connect(&place.stage.house);
    for (what, bytes, whole) in [
        ("a protocol", &b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"[..], Some(502)),
        ("nothing", b"", Some(502)),
        ("no HTTP", b"SSH-2.0-OpenSSH\r\n", Some(502)),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello", Some(502)),
        ("half a body", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", None),
        ("half a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhalf", None),
        ("two answers", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond", Some(200)),
    ] {
        place.stage.headscale.script("/windows", Script::Bytes(bytes.to_vec()));
        let outcome = client.exchange("GET", "/windows", &session);
        match (&outcome, whole) {
            (Outcome::Answer(answer), Some(status)) => {
                assert_eq!(answer.response.status(), status, "{what}");
                assert!(!answer.response.text().contains("second"), "{what}");
            }
            (Outcome::Reset(code), None) => assert_ne!(*code, 0, "{what}"),
            _ => panic!("{what}: {outcome:?}"),
        }
    }
    assert!(client.is_alive());
}

#[test]
fn an_interim_answer_ends_here_and_the_final_one_arrives() {
    let place = Place::start(NO_LIMITS);
    let bytes = b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: headwarden=planted\r\n\r\n\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    place
        .stage
        .headscale
        .script("/windows", Script::Bytes(bytes.to_vec()));
    let mut client = connect(&place.stage.house);
    let answer = client
        .exchange("GET", "/windows", &[&place.session])
        .response();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("set-cookie"), None);
}

#[test]
fn answers_without_a_body_have_none() {
    let place = Place::start(NO_LIMITS);
    let session = [place.session.as_str()];
    let mut client = connect(&place.stage.house);
    for (method, bytes, status) in [
        (
            "HEAD",
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"[..],
            200,
        ),
        (
            "GET",
            b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
            204,
        ),
        (
            "GET",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            304,
        ),
    ] {
        place
            .stage
            .headscale
            .script("/windows", Script::Bytes(bytes.to_vec()));
        let answer = client.exchange(method, "/windows", &session).response();
        assert_eq!(
            (answer.status(), answer.body.len()),
            (status, 0),
            "{method}"
        );
    }
}
