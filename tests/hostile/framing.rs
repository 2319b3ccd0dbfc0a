//! S: where one message ends and the next begins, and what an upgrade lets through.

#[path = "framing/bodies.rs"]
mod bodies;
#[path = "framing/place.rs"]
pub(crate) mod place;
#[path = "framing/tls.rs"]
pub(crate) mod tls;
#[path = "framing/upgrades.rs"]
mod upgrades;
#[path = "framing/witness.rs"]
pub(crate) mod witness;

use place::{NO_LIMITS, Place};

use crate::stage::seen;

/// Lengths and codings of which two readers could think differently.
const FRAMINGS: &[&[u8]] = &[
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx",
    b"Transfer-Encoding: chunk",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked;q=1",
    b"Transfer-Encoding: \"chunked\"",
    b"Transfer-Encoding: 'chunked'",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: chunked chunked",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked\x0b",
    b"Transfer-Encoding: chunked\x0c",
    b"Transfer-Encoding: chunked\0",
    b"Transfer-Encoding: \xc2\xa0chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\ntransfer-encoding: x",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding: chunked\r\n ,identity",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Content-Length: 0\r\nTransfer-Encoding: chunked",
    b"Content-Length: 5\r\nTransfer-Encoding: identity",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"Content-Length: 5\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 0\r\ncontent-length: 5",
    b"Content-Length: 5, 5",
    b"Content-Length: 5,6",
    b"Content-Length: 5;",
    b"Content-Length: 5 5",
    b"Content-Length: +5",
    b"Content-Length: -5",
    b"Content-Length: -0",
    b"Content-Length: 0x5",
    b"Content-Length: 5.0",
    b"Content-Length: 5e0",
    b"Content-Length: 1_0",
    b"Content-Length: \xef\xbc\x95",
    b"Content-Length:",
    b"Content-Length: abc",
    b"Content-Length: 18446744073709551616",
    b"Content-Length: 99999999999999999999999999",
    b"Content-Length: 5\x0b",
    b"Content-Length: \x0c5",
    b"Content-Length: 5\0",
    b"Content-Length : 5",
    b"Content-Length:\r\n 5",
];

#[test]
fn a_length_that_two_readers_could_read_differently_is_a_400_on_every_door() {
    let place = Place::start(NO_LIMITS);
    let host = place.host();
    let behind = format!("GET /ui/open?smuggled HTTP/1.1\r\n{host}\r\n\r\n");
    for (method, target, lines) in place.ways() {
        for framing in FRAMINGS {
            let shown = framing.escape_ascii();
            let first = format!("{method} {target} HTTP/1.1\r\n{host}\r\nX-Row: framing\r\n");
            let rest = lines.iter().map(|line| format!("{line}\r\n"));
            let last = format!(
                "\r\n{}\r\n5\r\nhello\r\n0\r\n\r\n{behind}",
                rest.collect::<String>()
            );
            let bytes = [first.as_bytes(), framing, last.as_bytes()].concat();
            let mut raw = place.connect();
            raw.send(&bytes).unwrap();
            let answer = raw.read_response("GET");
            let answer = answer.unwrap_or_else(|error| panic!("{shown} {target}: {error}"));
            assert_eq!(answer.status(), 400, "{shown} on {method} {target}");
            assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{shown}");
        }
    }
    assert!(seen(&place.stage.headscale, "framing").is_empty());
    assert!(place.ui.asked().is_empty() && !place.ui.heard("smuggled"));
}

#[test]
fn a_name_that_only_looks_like_a_length_frames_nothing() {
    let place = Place::start(NO_LIMITS);
    let host = place.host();
    for field in [
        "Transfer_Encoding: chunked",
        "Content_Length: 40",
        "X-Transfer-Encoding: chunked",
        "TransferEncoding: chunked",
        "Content.Length: 40",
    ] {
        place.ui.forget();
        let mut raw = place.connect();
        // No body: what follows the head is the next request, and judged as one.
        let next = format!("GET /ui/page?smuggled HTTP/1.1\r\n{host}\r\n\r\n");
        let bytes = format!("GET /ui/open HTTP/1.1\r\n{host}\r\n{field}\r\n\r\n");
        assert_eq!(
            raw.exchange(bytes.as_bytes()).unwrap().status(),
            200,
            "{field}"
        );
        assert_eq!(
            raw.exchange(next.as_bytes()).unwrap().status(),
            401,
            "{field}"
        );
        let asked = place.ui.asked();
        assert_eq!((asked.len(), asked[0].body.len()), (1, 0), "{field}");
        assert!(!place.ui.heard("Transfer_Encoding") && !place.ui.heard("Content_Length"));
    }
}

#[test]
fn a_request_line_that_is_not_http_1_ends_the_connection() {
    let place = Place::start(NO_LIMITS);
    let host = place.host();
    for line in [
        "GET /ui/open",
        "GET /ui/open HTTP/0.9",
        "GET /ui/open HTTP/1.2",
        "GET /ui/open HTTP/2.0",
        "GET /ui/open HTTP/2",
        "GET /ui/open HTTP/3",
        "GET /ui/open HTTP/1",
        "GET /ui/open HTTP/1.10",
        "GET /ui/open HTTP/01.1",
        "GET /ui/open http/1.1",
        "GET /ui/open HTTP/1.1 ",
        "GET /ui/open HTTP/1.1\t",
        "GET /ui/open HTTP/1.1 HTTP/1.1",
        "GET /ui/open HTTP /1.1",
        "GET /ui/open HTTP/1,1",
        "GET /ui/open HTTPS/1.1",
        " GET /ui/open HTTP/1.1",
        "GET\t/ui/open\tHTTP/1.1",
        "GET  /ui/open HTTP/1.1",
        "GET /ui/open  HTTP/1.1",
        "GET /ui/open\x0bHTTP/1.1",
        "GET\x0c/ui/open HTTP/1.1",
        "G\0T /ui/open HTTP/1.1",
        "\u{feff}GET /ui/open HTTP/1.1",
        "\r\n\r\nGET /ui/open HTTP/1.1",
        "\nGET /ui/open HTTP/1.1",
        "\r\r\nGET /ui/open HTTP/1.1",
        "\0GET /ui/open HTTP/1.1",
        "/ui/open",
        "HTTP/1.1 200 OK",
        ":method: GET",
    ] {
        let bytes = format!("{line}\r\n{host}\r\n\r\n");
        let behind = format!("GET /ui/open HTTP/1.1\r\n{host}\r\n\r\n");
        let mut raw = place.connect();
        raw.send(format!("{bytes}{behind}").as_bytes()).unwrap();
        let answer = raw.read_response("GET");
        let answer = answer.unwrap_or_else(|error| panic!("{line:?}: {error}"));
        assert_eq!(answer.status(), 400, "{line:?}");
        assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{line:?}");
    }
    assert!(
        place.ui.bytes().is_empty(),
        "something reached the upstream"
    );
    // RFC 9112 section 2.2 lets one empty line pass.
    let bytes = format!("\r\nGET /ui/open HTTP/1.1\r\n{host}\r\n\r\n");
    let mut raw = place.connect();
    raw.send(bytes.as_bytes()).unwrap();
    assert_eq!(raw.read_response("GET").unwrap().status(), 200);
}

#[test]
fn http_1_0_has_neither_chunks_nor_upgrades_and_ends_its_connection() {
    let place = Place::start(NO_LIMITS);
    let host = place.host();
    let session = place.session.as_str();
    for (method, target, lines, status) in [
        ("GET", "/ui/open", vec![], 200),
        ("GET", "/windows", vec![], 401),
        ("GET", "/windows", vec![session], 200),
        ("GET", "/ui/open", vec!["Transfer-Encoding: chunked"], 400),
        (
            "POST",
            "/ui/form",
            vec![session, "Transfer-Encoding: chunked"],
            400,
        ),
        ("POST", "/ts2021", place::CONTROL.to_vec(), 401),
        (
            "GET",
            "/derp",
            vec!["Connection: Upgrade", "Upgrade: DERP"],
            401,
        ),
        (
            "GET",
            "/ui/page",
            vec![session, "Connection: Upgrade", "Upgrade: websocket"],
            200,
        ),
    ] {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("{method} {target} HTTP/1.0\r\n{host}\r\n{lines}\r\n");
        let behind = format!("GET /ui/open?smuggled HTTP/1.1\r\n{host}\r\n\r\n");
        let mut raw = place.connect();
        let answer = raw.exchange(format!("{head}{behind}").as_bytes()).unwrap();
        assert_eq!(answer.status(), status, "{head}");
        assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{head}");
    }
    assert!(!place.ui.heard("smuggled") && !place.ui.heard("upgrade"));
    assert_eq!(place.stage.headscale.tunnels(), 0);
}

#[test]
fn requests_in_one_write_are_served_each_by_its_own_right_or_not_at_all() {
    let place = Place::start(NO_LIMITS);
    let house = &place.stage.house;
    let mine = crate::stage::request(house, "GET", "/ui/page?mine", &[&place.session]);
    let stranger = crate::stage::request(house, "GET", "/ui/page?stranger", &[]);
    let open = crate::stage::request(house, "GET", "/ui/open?open", &[]);
    for order in [
        vec![&mine, &stranger, &mine],
        vec![&open, &stranger, &mine],
        vec![&stranger, &stranger, &open],
        vec![&open; 40],
        [vec![&mine], vec![&stranger; 40]].concat(),
    ] {
        let mut raw = place.connect();
        let bytes: Vec<u8> = order
            .iter()
            .flat_map(|bytes| bytes.iter().copied())
            .collect();
        raw.send(&bytes).unwrap();
        for request in &order {
            let expected = if *request == &stranger { 401 } else { 200 };
            match raw.read_response("GET") {
                // The connection may end early; then nothing more is answered.
                Err(_) => break,
                Ok(answer) => assert!(
                    answer.status() == expected || answer.status() == 400,
                    "{}",
                    answer.status()
                ),
            }
        }
    }
    assert!(!place.ui.heard("stranger"));
}
