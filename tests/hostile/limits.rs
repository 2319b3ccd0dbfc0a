//! N: bounds on what one client can take, each with its answer.

use std::time::{Duration, Instant};

use crate::framing::place::{NO_LIMITS, Place};
use crate::framing::tls::Secure;
use crate::stage::{HTML, SAME_ORIGIN, request};
use crate::support::house::House;
use crate::support::raw::Raw;

#[test]
fn odd_and_endless_queries_are_answered_and_too_long_ones_are_refused() {
    let place = Place::start(NO_LIMITS);
    let session = place.session.as_str();
    let queries = [
        "&".to_owned(),
        "=".to_owned(),
        "?".to_owned(),
        "&&=".to_owned(),
        "&=&=&".to_owned(),
        "==&&??".to_owned(),
        "a=1&".repeat(1500),
        "&".repeat(7000),
        "=".repeat(7000),
        "state=hw1.x&".repeat(500),
        "a%3d=%26&+=+".to_owned(),
    ];
    for target in [
        "/",
        "/windows",
        "/ui/open",
        "/key",
        "/oidc/callback",
        "/.headwarden/authorize",
        "/.headwarden/sign-in",
        "/.headwarden/logout",
        "/api/v1/user",
        "/metrics",
    ] {
        for query in &queries {
            for lines in [&[][..], &[HTML], &[session, HTML]] {
                let bytes = request(
                    &place.stage.house,
                    "GET",
                    &format!("{target}?{query}"),
                    lines,
                );
                let answer = place.connect().exchange(&bytes);
                let shown = &query[..query.len().min(12)];
                let answer = answer.unwrap_or_else(|error| panic!("{target}?{shown}: {error}"));
                assert!(
                    answer.status() < 500,
                    "{target}?{shown}: {}",
                    answer.status()
                );
            }
        }
        for (parameters, status) in [(3000, 414), (100_000, 431)] {
            let long = format!("{target}?{}", "a=1&".repeat(parameters));
            let mut raw = place.connect();
            let _ = raw.send(&request(&place.stage.house, "GET", &long, &[]));
            let answer = raw.read_response("GET").unwrap();
            assert_eq!(answer.status(), status, "{target} {parameters}");
            assert_eq!(answer.header("connection"), Some("close"));
        }
    }
}

#[test]
fn a_post_without_a_type_or_without_a_body_is_an_ordinary_refusal() {
    let place = Place::start(NO_LIMITS);
    for target in [
        "/oidc/callback",
        "/oidc/callback?state=hw1.x&code=a",
        "/.headwarden/authorize",
        "/.headwarden/sign-in",
        "/.headwarden/step-up?for=/a",
        "/.headwarden/logout",
        "/.headwarden/signed-out",
        "/.headwarden/backchannel-logout",
        "/.headwarden/frontchannel-logout",
        "/.headwarden/confirm-register",
        "/.headwarden/confirm-ssh",
        "/.headwarden/sessions",
        "/.headwarden/devices",
        "/.headwarden/nothing",
    ] {
        for (lines, body) in [
            (vec!["Content-Length: 0"], ""),
            (vec![], ""),
            (vec!["Content-Length: 3"], "a=b"),
            (
                vec!["Content-Length: 3", "Content-Type: application/json"],
                "{}\n",
            ),
            (
                vec![
                    "Content-Length: 3",
                    "Content-Type: multipart/form-data; boundary=x",
                ],
                "\0\x01\x02",
            ),
            (vec!["Content-Length: 6", SAME_ORIGIN], "&&===&"),
            (
                vec!["Transfer-Encoding: chunked", SAME_ORIGIN],
                "3\r\na=b\r\n0\r\n\r\n",
            ),
        ] {
            let head = request(&place.stage.house, "POST", target, &lines);
            let answer = place.connect().exchange(&[&head, body.as_bytes()].concat());
            let answer = answer.unwrap_or_else(|error| panic!("{target} {lines:?}: {error}"));
            assert!(
                matches!(answer.status(), 200 | 303 | 400..=405),
                "{target} {lines:?}: {}",
                answer.status()
            );
        }
    }
    assert!(
        place
            .stage
            .headscale
            .requests()
            .iter()
            .all(|seen| seen.method != "POST")
    );
}

#[test]
fn our_own_endpoints_read_sixteen_kilobytes_and_no_more() {
    let place = Place::start("");
    let most = 16 * 1024;
    let chunked = |length: usize| format!("{:x}\r\n{}\r\n0\r\n\r\n", length, "a".repeat(length));
    for target in [
        "/.headwarden/logout",
        "/.headwarden/backchannel-logout",
        "/oidc/callback",
        "/.headwarden/confirm-ssh",
        "/.headwarden/sessions",
        "/.headwarden/devices",
    ] {
        for (framing, body, too_large) in [
            (format!("Content-Length: {most}"), "a".repeat(most), false),
            (
                format!("Content-Length: {}", most + 1),
                "a".repeat(most + 1),
                true,
            ),
            (
                format!("Content-Length: {}", 1 << 20),
                "a".repeat(1 << 20),
                true,
            ),
            // It says more than it sends, and enough already.
            (
                "Content-Length: 99999999".to_owned(),
                "a".repeat(most + 1),
                true,
            ),
            (
                "Transfer-Encoding: chunked".to_owned(),
                chunked(most),
                false,
            ),
            (
                "Transfer-Encoding: chunked".to_owned(),
                chunked(most + 1),
                true,
            ),
            (
                "Transfer-Encoding: chunked".to_owned(),
                "1\r\na\r\n".repeat(most + 1),
                true,
            ),
        ] {
            let head = request(&place.stage.house, "POST", target, &[&framing, SAME_ORIGIN]);
            let mut raw = place.connect();
            let _ = raw.send(&[&head, body.as_bytes()].concat());
            let answer = raw.read_response("POST");
            let answer = answer.unwrap_or_else(|error| panic!("{target} {framing}: {error}"));
            assert_eq!(
                answer.status() == 413,
                too_large,
                "{target} {framing}: {}",
                answer.status()
            );
            if too_large {
                assert_eq!(
                    answer.header("connection"),
                    Some("close"),
                    "{target} {framing}"
                );
            }
        }
    }
}

#[test]
fn our_own_endpoints_do_not_wait_for_the_rest_of_a_form() {
    let place = Place::start("limits: { header_timeout: 1s }\n");
    let mut waiting = Vec::new();
    // Lengths that lie, and bodies that stop: all at a time, since each is waited for.
    let bodies = [
        ("Content-Length: 10", "a=b"),
        ("Content-Length: 10", ""),
        ("Transfer-Encoding: chunked", "3\r\na=b\r\n"),
        ("Transfer-Encoding: chunked", "3\r\na="),
    ];
    place.stage.house.while_it_stands_still(|| {
        for target in [
            "/.headwarden/logout",
            "/oidc/callback",
            "/.headwarden/confirm-ssh",
            "/.headwarden/sessions",
            "/.headwarden/devices",
        ] {
            for (framing, body) in bodies {
                let head = request(&place.stage.house, "POST", target, &[framing, SAME_ORIGIN]);
                let mut raw = place.connect();
                raw.send(&[&head, body.as_bytes()].concat()).unwrap();
                waiting.push((raw, target, framing));
            }
        }
    });
    for (mut raw, target, framing) in waiting {
        assert_eq!(
            raw.read_response("POST").unwrap().status(),
            408,
            "{target} {framing}"
        );
    }
}

#[test]
fn an_address_with_too_many_connections_is_told_so_once_for_each_and_logged_once() {
    let mut secure = Secure::start("limits: { connections_per_address: 3 }\n");
    let public = secure.house.plan.public;
    let key = b"GET /key?v=140 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut held: Vec<Raw> = (0..3).map(|_| Raw::connect(public).unwrap()).collect();
    for raw in &mut held {
        assert_eq!(raw.exchange(key).unwrap().status(), 200);
    }
    // Whether it asks anything or not.
    for asks in [false, true, true, false, true] {
        let mut raw = Raw::connect(public).unwrap();
        if asks {
            let _ = raw.send(key);
        }
        let answer = raw.read_response("GET").unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.header("retry-after"), Some("10"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(
            answer.text().contains("too many connections"),
            "{}",
            answer.text()
        );
        assert_eq!(raw.read_to_end().unwrap_or_default(), b"");
    }
    // Behind TLS that would take a handshake: it is just closed.
    let mut raw = Raw::connect(secure.tls).unwrap();
    assert_eq!(raw.read_to_end().unwrap_or_default(), b"");
    assert!(
        secure
            .connect(&["http/1.1"])
            .and_then(|mut raw| raw.exchange(key))
            .is_err()
    );
    let log = secure.house.log();
    assert_eq!(log.matches("turning connections away").count(), 1, "{log}");
    assert!(limit_hits(&secure.house, "connections") >= 7);
    // Those that are in are not disturbed, and a place is given back.
    for raw in &mut held {
        assert_eq!(raw.exchange(key).unwrap().status(), 200);
    }
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(30);
    while Raw::connect(public)
        .and_then(|mut raw| raw.exchange(key))
        .map_or(0, |answer| answer.status())
        != 200
    {
        assert!(Instant::now() < deadline, "no place is given back");
    }
    secure.house.signal("TERM");
    assert!(secure.house.wait().success());
}

/// The counter of a limit, as the operator sees it.
fn limit_hits(house: &House, kind: &str) -> u64 {
    let mut raw = Raw::connect(house.plan.admin).unwrap();
    let bytes = format!(
        "GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n",
        house.plan.admin
    );
    let text = raw.exchange(bytes.as_bytes()).unwrap().text();
    let series = format!("headwarden_limits_hit_total{{kind=\"{kind}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{text}"))
}

/// How much memory the house has had in RAM at most, in KiB.
fn peak_kib(house: &House) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", house.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_large_upload_and_a_large_answer_pass_through_in_constant_memory() {
    let place = Place::start(NO_LIMITS);
    let piece = vec![b'x'; 1024 * 1024];
    let pieces = 64;
    let as_chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
    let length = format!("Content-Length: {}", pieces * piece.len());
    let before = peak_kib(&place.stage.house);
    for (framing, piece, end) in [
        (length.as_str(), &piece, &b""[..]),
        ("Transfer-Encoding: chunked", &as_chunk, b"0\r\n\r\n"),
    ] {
        let mut raw = place.connect();
        raw.send(&request(
            &place.stage.house,
            "POST",
            "/ui/form",
            &[&place.session, framing],
        ))
        .unwrap();
        for _ in 0..pieces {
            raw.send(piece).unwrap();
        }
        raw.send(end).unwrap();
        assert_eq!(
            raw.read_response("POST").unwrap().status(),
            200,
            "{framing}"
        );
        let asked = place.ui.asked();
        assert_eq!(
            asked.last().unwrap().body.len(),
            pieces * 1024 * 1024,
            "{framing}"
        );
        place.ui.forget();
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        pieces * piece.len()
    );
    place.ui.answer(
        "/ui/page",
        &[head.as_bytes(), &piece.repeat(pieces)].concat(),
    );
    let answer = place.connect().exchange(&request(
        &place.stage.house,
        "GET",
        "/ui/page",
        &[&place.session],
    ));
    assert_eq!(answer.unwrap().body.len(), pieces * piece.len());
    let grown = peak_kib(&place.stage.house) - before;
    assert!(grown < 32 * 1024, "{grown} KiB for 3 x {pieces} MiB");
}

#[test]
fn a_client_that_leaves_in_the_middle_takes_its_upstream_along() {
    let place = Place::start(NO_LIMITS);
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut raw = place.connect();
        let head = request(
            &place.stage.house,
            "POST",
            "/ui/form",
            &[&place.session, framing],
        );
        raw.send(&[&head[..], b"5\r\nhello\r\n"].concat()).unwrap();
        place.ui.wait_for("part of the body", |bytes| {
            bytes.windows(5).any(|part| part == b"hello")
        });
        drop(raw);
        place.ui.wait_until_alone();
        assert!(place.ui.asked().is_empty(), "{framing}");
        place.ui.forget();
    }
}
