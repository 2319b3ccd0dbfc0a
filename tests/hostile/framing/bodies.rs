//! Bodies: chunks that two readers could cut differently, lengths that lie, bodies that nobody reads,
//! and answers of an upstream that do not end where they should.

use super::place::{KEY, NO_LIMITS, Place, Way};
use crate::stage::{HTML, SAME_ORIGIN, request};

/// Ways that take a body to an upstream.
fn ways(place: &Place) -> Vec<Way<'_>> {
    vec![
        ("GET", "/ui/open", vec![]),
        ("POST", "/ui/form", vec![place.session.as_str()]),
        ("POST", "/api/v1/user", vec![KEY]),
    ]
}

/// How many requests with a body the upstreams were asked, as they read them.
fn whole(place: &Place) -> usize {
    let of_headscale = place.stage.headscale.requests();
    let of_headscale = of_headscale.iter().filter(|seen| !seen.body.is_empty());
    of_headscale.count() + place.ui.asked().len()
}

const BROKEN: &[&[u8]] = &[
    b"x\r\nhello\r\n0\r\n\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b";a\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\t\r\nhello\r\n0\r\n\r\n",
    b"5 ;a\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"5.\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5\r\r\nhello\r\n0\r\n\r\n",
    b"5;\nhello\r\n0\r\n\r\n",
    b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    b"5;\rhello\r\n0\r\n\r\n",
    b"5;\0\r\nhello\r\n0\r\n\r\n",
    b"4\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloGET ",
    b"10000000000000000\r\nhello",
    b"fffffffffffffffff\r\nhello",
    b"00000000000000005\r\nhello",
    b"5\r\nhello\r\n\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
    b"5\r\nhello\r\n0\r\nT: v\n\r\n",
    b"5\r\nhello\r\n0\r\nT: v\r\n folded\r\n\r\n",
    b"5\r\nhello\r\n0\r\nT: \0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\rX",
    b"5\r\nhello\r\n-0\r\n\r\n",
];

#[test]
fn chunks_that_two_readers_could_cut_differently_are_a_400_and_no_whole_request() {
    let place = Place::start(NO_LIMITS);
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(2000));
    let many = format!("{}0\r\n\r\n", "1;xxxxxxxxxxxxxxxxxxxx\r\na\r\n".repeat(100));
    let trailer = format!(
        "0\r\n{}\r\n",
        "T: xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".repeat(400)
    );
    let more = [long.as_bytes(), many.as_bytes(), trailer.as_bytes()];
    let before = whole(&place);
    for (method, target, lines) in ways(&place) {
        let lines = [&lines[..], &["Transfer-Encoding: chunked"]].concat();
        let head = request(&place.stage.house, method, target, &lines);
        let behind = request(&place.stage.house, "GET", "/ui/open?smuggled", &[]);
        for body in BROKEN.iter().copied().chain(more) {
            let shown = body[..body.len().min(60)].escape_ascii();
            let whole = [body, &behind].concat();
            // In one write with the head, and after the upstream has the head already.
            for at_once in [true, false] {
                place.ui.forget();
                let mut raw = place.connect();
                raw.send(&head[..head.len() - usize::from(at_once)])
                    .unwrap();
                if at_once {
                    raw.send(&[b"\n", &whole[..]].concat()).unwrap();
                } else if target.starts_with("/ui/") {
                    place
                        .ui
                        .wait_for("head", |bytes| bytes.ends_with(b"\r\n\r\n"));
                    raw.send(&whole).unwrap();
                } else {
                    raw.send(&whole).unwrap();
                }
                let answer = raw.read_response("POST");
                let answer = answer.unwrap_or_else(|error| panic!("{shown} {target}: {error}"));
                assert_eq!(
                    answer.status(),
                    400,
                    "{shown} {target} {at_once}: {}",
                    answer.text()
                );
                assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{shown}");
                assert!(place.ui.asked().is_empty(), "{shown} was a whole request");
                assert!(!place.ui.heard("smuggled"), "{shown}");
            }
        }
    }
    assert_eq!(whole(&place), before, "a broken body was a whole request");
    // The same on our own endpoints.
    let head = request(
        &place.stage.house,
        "POST",
        "/.headwarden/logout",
        &["Transfer-Encoding: chunked", SAME_ORIGIN],
    );
    for body in BROKEN {
        let mut raw = place.connect();
        raw.send(&[&head, *body].concat()).unwrap();
        assert_eq!(
            raw.read_response("POST").unwrap().status(),
            400,
            "{}",
            body.escape_ascii()
        );
    }
}

#[test]
fn a_body_reaches_the_upstream_once_framed_in_one_way() {
    let place = Place::start(NO_LIMITS);
    for (framing, body, read) in [
        ("Content-Length: 5", "hello", "hello"),
        ("content-length:5", "hello", "hello"),
        ("Content-Length: \t5 ", "hello", "hello"),
        ("Content-Length: 05", "hello", "hello"),
        ("Content-Length: 0", "", ""),
        ("Content-Length: 9", "0\r\n\r\nGET ", "0\r\n\r\nGET "),
        (
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
            "hello",
        ),
        (
            "transfer-encoding:CHUNKED",
            "5\r\nhello\r\n0\r\n\r\n",
            "hello",
        ),
        (
            "Transfer-Encoding: \tchunked\t ",
            "005\r\nhello\r\n000\r\n\r\n",
            "hello",
        ),
        (
            "Transfer-Encoding: chunked",
            "5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n",
            "hello",
        ),
        (
            "Transfer-Encoding: chunked",
            "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "hello",
        ),
        (
            "Transfer-Encoding: chunked",
            "A\r\n0\r\n\r\nGET /\r\n0\r\n\r\n",
            "0\r\n\r\nGET /",
        ),
        ("Transfer-Encoding: chunked", "0\r\n\r\n", ""),
        (
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\nT: v\r\nU: w\r\n\r\n",
            "hello",
        ),
    ] {
        for session in [false, true] {
            let (method, target, line) = if session {
                ("POST", "/ui/form", place.session.as_str())
            } else {
                ("GET", "/ui/open", "X-Nobody: 1")
            };
            place.ui.forget();
            let mut raw = place.connect();
            let head = request(&place.stage.house, method, target, &[line, framing]);
            let answer = raw.exchange(&[&head, body.as_bytes()].concat()).unwrap();
            assert_eq!(answer.status(), 200, "{framing} {body:?}");
            let asked = place.ui.asked();
            assert_eq!(asked.len(), 1, "{framing} {body:?}");
            assert_eq!(asked[0].body, read.as_bytes(), "{framing} {body:?}");
            let lengths = asked[0].fields.values("content-length").len();
            let codings = asked[0].fields.values("transfer-encoding");
            assert_eq!(lengths + codings.len(), 1, "{framing} {body:?}");
            assert!(codings.iter().all(|coding| *coding == "chunked"));
            // The next request begins where this one ended.
            let next = request(&place.stage.house, "GET", "/ui/open", &[]);
            assert_eq!(
                raw.exchange(&next).unwrap().status(),
                200,
                "{framing} {body:?}"
            );
        }
    }
}

#[test]
fn a_body_that_ends_too_early_is_never_a_whole_request() {
    let place = Place::start(NO_LIMITS);
    let before = whole(&place);
    for (method, target, lines) in ways(&place) {
        for (framing, body) in [
            ("Content-Length: 10", ""),
            ("Content-Length: 10", "hello"),
            ("Content-Length: 18446744073709551615", "hello"),
            ("Transfer-Encoding: chunked", ""),
            ("Transfer-Encoding: chunked", "5"),
            ("Transfer-Encoding: chunked", "5\r\nhel"),
            ("Transfer-Encoding: chunked", "5\r\nhello"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n0"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\nT: v\r\n"),
        ] {
            let lines = [&lines[..], &[framing]].concat();
            let head = request(&place.stage.house, method, target, &lines);
            let mut raw = place.connect();
            raw.send(&[&head, body.as_bytes()].concat()).unwrap();
            raw.finish_sending().unwrap();
            let end = raw.read_to_end().unwrap_or_default();
            let end = String::from_utf8_lossy(&end).into_owned();
            assert!(
                !end.starts_with("HTTP/1.1 2"),
                "{target} {framing} {body:?}: {end}"
            );
        }
    }
    place.ui.wait_until_alone();
    assert_eq!(whole(&place), before);
    assert!(place.ui.asked().is_empty());
}

#[test]
fn a_body_that_nobody_reads_leaves_an_answer_and_no_request() {
    let place = Place::start(NO_LIMITS);
    let host = place.host();
    let smuggled = format!("GET /ui/open?smuggled HTTP/1.1\r\n{host}\r\n\r\n");
    let body = smuggled.repeat(1024 * 1024 / smuggled.len());
    let length = format!("Content-Length: {}", body.len());
    let as_chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let session = place.session.as_str();
    for (method, target, lines, status) in [
        ("POST", "/windows", vec![], 401),
        ("GET", "/windows", vec![HTML], 303),
        ("POST", "/api/v1/user", vec![], 401),
        ("POST", "/metrics", vec![], 404),
        ("POST", "/generate_204", vec![], 401),
        ("GET", "/generate_204", vec![], 204),
        ("PUT", "/.headwarden/logout", vec![], 405),
        ("POST", "/.headwarden/logout", vec![SAME_ORIGIN], 413),
        ("POST", "/oidc/callback", vec![], 413),
        ("GET", "/oidc/callback?state=hw1.x", vec![], 400),
        ("GET", "/.headwarden/sign-in", vec![HTML], 303),
        ("GET", "/windows", vec![session, "Connection: host"], 400),
    ] {
        for (framing, body) in [
            (length.as_str(), &body),
            ("Transfer-Encoding: chunked", &as_chunk),
        ] {
            let lines = [&lines[..], &[framing]].concat();
            let head = request(&place.stage.house, method, target, &lines);
            let mut raw = place.connect();
            raw.send(&head).unwrap();
            // Not all of it is taken, and that is no reason not to hear the answer.
            let _ = raw.send(body.as_bytes());
            let answer = raw.read_response(method);
            let answer =
                answer.unwrap_or_else(|error| panic!("{method} {target} {framing}: {error}"));
            assert_eq!(answer.status(), status, "{method} {target} {framing}");
            assert_eq!(
                raw.read_to_end().unwrap_or_default(),
                b"",
                "{method} {target}"
            );
        }
    }
    assert!(!place.ui.heard("smuggled"));
}

#[test]
fn a_refusal_ends_its_connection_without_a_reset_while_the_client_still_sends() {
    let place = Place::start(NO_LIMITS);
    let body = vec![b'x'; 100 * 1024];
    let length = format!("Content-Length: {}", body.len());
    for (target, status) in [
        ("/windows", 401),
        ("/metrics", 404),
        ("/.headwarden/logout", 413),
    ] {
        let head = request(&place.stage.house, "POST", target, &[&length, SAME_ORIGIN]);
        let mut raw = place.connect();
        raw.send(&head).unwrap();
        raw.send(&body).unwrap();
        assert_eq!(
            raw.read_response("POST").unwrap().status(),
            status,
            "{target}"
        );
        // A reset would be an error here, and could have taken the answer along.
        raw.finish_sending().unwrap();
        assert_eq!(raw.read_to_end().unwrap(), b"", "{target}");
    }
}

#[test]
fn whoever_waits_to_be_asked_for_a_body_is_answered_at_once() {
    let place = Place::start(NO_LIMITS);
    let session = place.session.as_str();
    let expect = "Expect: 100-continue";
    // An answer that needs no body comes without a 100 before it.
    for (method, target, lines, status) in [
        ("POST", "/windows", vec![], 401),
        ("GET", "/windows", vec![HTML], 303),
        ("POST", "/api/v1/user", vec![], 401),
        ("PUT", "/.headwarden/logout", vec![], 405),
        ("POST", "/metrics", vec![], 404),
    ] {
        for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let lines = [&lines[..], &[expect, framing]].concat();
            let mut raw = place.connect();
            raw.send(&request(&place.stage.house, method, target, &lines))
                .unwrap();
            let head = raw.read_head().unwrap();
            assert_eq!(head.status, status, "{method} {target}");
            assert_eq!(
                head.fields.value("connection"),
                Some("close"),
                "{method} {target}"
            );
        }
    }
    // A form of ours is asked for.
    let lines = [expect, SAME_ORIGIN, session, "Content-Length: 5"];
    let mut raw = place.connect();
    raw.send(&request(
        &place.stage.house,
        "POST",
        "/.headwarden/logout",
        &lines,
    ))
    .unwrap();
    assert_eq!(raw.read_head().unwrap().status, 100);
    raw.send(b"a=b&c").unwrap();
    let answer = raw.read_head().unwrap();
    assert!((300..500).contains(&answer.status), "{}", answer.status);
    // An upstream's 100 is passed on to who asked for one, and to nobody else.
    place.ui.answer(
        "/ui/open",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    for (line, first) in [(expect, 100), ("X-Expect: nothing", 200)] {
        let mut raw = place.connect();
        let head = request(
            &place.stage.house,
            "GET",
            "/ui/open",
            &[line, "Content-Length: 5"],
        );
        raw.send(&[&head[..], b"hello"].concat()).unwrap();
        assert_eq!(raw.read_head().unwrap().status, first, "{line}");
        if first == 100 {
            assert_eq!(raw.read_head().unwrap().status, 200, "{line}");
        }
    }
}

#[test]
fn what_an_upstream_says_too_much_is_nobodys_answer() {
    let place = Place::start(NO_LIMITS);
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (method, answer, status) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            204,
        ),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n", 304),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            304,
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            200,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
        ),
    ] {
        let whole = format!("{answer}{poison}");
        place.ui.answer("/ui/open", whole.as_bytes());
        place.ui.answer("/ui/page", whole.as_bytes());
        for (target, lines) in [
            ("/ui/open", vec![]),
            ("/ui/page", vec![place.session.as_str()]),
        ] {
            let mut raw = place.connect();
            raw.send(&request(&place.stage.house, method, target, &lines))
                .unwrap();
            let head = raw.read_head().unwrap();
            assert_eq!(head.status, status, "{method} {answer:?}");
            let lengths = head.fields.values("content-length").len();
            let codings = head.fields.values("transfer-encoding").len();
            assert!(lengths + codings <= 1, "{answer:?}: {:?}", head.fields);
            let body = raw.read_body(method, &head).unwrap();
            assert!(body.is_empty() || body == b"ok", "{answer:?}: {body:?}");
            // Whoever comes next, on this connection or another, hears their own answer.
            for _ in 0..2 {
                let next = request(&place.stage.house, "GET", "/ui/other", &[&place.session]);
                if let Ok(answered) = raw.exchange(&next) {
                    assert_eq!(answered.body, b"ok", "{answer:?}");
                }
                let answered = place.connect().exchange(&next).unwrap();
                assert_eq!(
                    (answered.status(), &answered.body[..]),
                    (200, &b"ok"[..]),
                    "{answer:?}"
                );
            }
        }
    }
    // An answer whose end is not clear is a bad gateway, or ends with the connection.
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 60\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 60\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: y\r\nSet-Cookie : headwarden=1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: y\r\nSet-Cookie\t: headwarden=1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        "ok\r\n\r\n",
    ] {
        let whole = format!("{answer}{poison}");
        place.ui.answer("/ui/open", whole.as_bytes());
        let mut raw = place.connect();
        raw.send(&request(&place.stage.house, "GET", "/ui/open", &[]))
            .unwrap();
        // Broken off, a bad gateway, or said again in one way.
        let Ok(answered) = raw.read_response("GET") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answered.head.raw);
        assert!(!answered.text().contains("poison"), "{answer:?}");
        if answered.status() != 502 {
            assert_eq!(answered.body, b"ok", "{answer:?}");
            assert!(answer.contains('X'), "{answer:?}: {head}");
        }
        assert!(!head.contains(" : ") && !head.contains("\r\n "), "{head}");
        let cookies = answered.head.fields.values("set-cookie");
        assert!(cookies.is_empty(), "{answer:?}: {head}");
    }
}
