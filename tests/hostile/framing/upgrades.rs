//! Upgrades: only what is permitted becomes a tunnel, and bytes behind one are never a request.

use super::place::{NO_LIMITS, Place};
use super::tls::Secure;
use crate::stage::{request, seen};
use crate::support::headscale_standin::Script;
use crate::support::raw::Raw;

const TOKENS: [&str; 8] = [
    "websocket",
    "tailscale-control-protocol",
    "DERP",
    "h2c",
    "foo",
    "TLS/1.0",
    "websocket, h2c",
    "HTTP/2.0",
];

/// An upstream's answer to an upgrade, and what a client hears of it where there is no tunnel.
fn answers(token: &str) -> [(String, u16); 4] {
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\nsecret"
    );
    [
        (switch, 502),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\nsecret".to_owned(),
            502,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            200,
        ),
        (
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno".to_owned(),
            400,
        ),
    ]
}

#[test]
fn no_token_makes_a_tunnel_where_none_is_permitted_whatever_the_upstream_says() {
    let place = Place::start(NO_LIMITS);
    let session = place.session.as_str();
    let behind = request(&place.stage.house, "GET", "/ui/page?smuggled", &[]);
    for token in TOKENS {
        let upgrade = format!("Upgrade: {token}");
        for (at, (answer, heard)) in answers(token).into_iter().enumerate() {
            for (method, target, lines) in [
                ("GET", "/ui/open", vec![]),
                ("GET", "/key?v=140", vec!["X-Row: key"]),
                ("GET", "/ui/socket", vec![session]),
                ("POST", "/ui/socket", vec![session, "Content-Length: 0"]),
            ] {
                let permitted = token == "websocket" && target == "/ui/socket";
                if permitted && (at < 2 || method == "POST") {
                    continue;
                }
                place.ui.forget();
                place.ui.answer(target, answer.as_bytes());
                let scripted = Script::Bytes(answer.clone().into_bytes());
                place.stage.headscale.script("/key", scripted);
                let settings = [
                    "Connection: keep-alive, Upgrade, HTTP2-Settings",
                    "HTTP2-Settings: AAMAAABkAAQAAP__",
                ];
                let lines = [&lines[..], &settings, &[&upgrade]].concat();
                let bytes = request(&place.stage.house, method, target, &lines);
                let mut raw = place.connect();
                raw.send(&[&bytes[..], &behind].concat()).unwrap();
                let first = raw.read_response(method);
                let what = format!("{method} {target} {token} {answer:?}");
                let first = first.unwrap_or_else(|error| panic!("{what}: {error}"));
                // An upgrade is more than a path that the operator opened.
                let refused = target == "/ui/open" && first.status() == 401;
                assert!(
                    first.status() == heard || first.status() == 400 || refused,
                    "{what}: {}",
                    first.status()
                );
                // What comes behind is a stranger's request, or nothing.
                if let Ok(second) = raw.read_response("GET") {
                    assert_eq!(second.status(), 401, "{what}");
                }
                assert!(!place.ui.heard("smuggled"), "{what}");
                assert!(!place.ui.heard("http2-settings"), "{what}");
                assert_eq!(place.ui.heard("\r\nupgrade: "), permitted, "{what}");
                assert!(place.ui.asked().len() <= 1, "{what}");
            }
        }
    }
    let keys = seen(&place.stage.headscale, "key");
    assert_eq!(keys.len(), 4 * TOKENS.len());
    for key in keys {
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(key.fields.value(name), None, "{name}");
        }
    }
}

#[test]
fn a_tunnels_path_with_another_token_is_a_guarded_page() {
    let place = Place::start(NO_LIMITS);
    let behind = request(
        &place.stage.house,
        "GET",
        "/windows?smuggled",
        &["X-Row: smuggled"],
    );
    for token in TOKENS {
        let upgrade = format!("Upgrade: {token}");
        for (method, target) in [
            ("POST", "/ts2021"),
            ("GET", "/ts2021"),
            ("GET", "/derp"),
            ("PUT", "/derp"),
        ] {
            let permitted = matches!(
                (method, target, token),
                ("POST", "/ts2021", "tailscale-control-protocol")
                    | ("GET", "/ts2021" | "/derp", "websocket")
                    | ("GET", "/derp", "DERP")
            );
            if permitted {
                continue;
            }
            let lines = ["Connection: Upgrade", &upgrade, "X-Row: refused"];
            let mut raw = place.connect();
            let bytes = request(&place.stage.house, method, target, &lines);
            raw.send(&[bytes, behind.clone()].concat()).unwrap();
            assert_eq!(
                raw.read_response(method).unwrap().status(),
                401,
                "{target} {token}"
            );
            if let Ok(second) = raw.read_response("GET") {
                assert_eq!(second.status(), 401, "{target} {token}");
            }
        }
    }
    for row in ["refused", "smuggled"] {
        assert!(seen(&place.stage.headscale, row).is_empty(), "{row}");
    }
    assert_eq!(place.stage.headscale.tunnels(), 0);
}

#[test]
fn a_refused_tunnel_ends_its_connection_and_what_came_behind_it() {
    let place = Place::start(NO_LIMITS);
    let behind = request(&place.stage.house, "GET", "/key?v=140", &["X-Row: behind"]);
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        place.stage.headscale.configure(|options| {
            options.upgrade_answer =
                Some(format!("{answer}HTTP/1.1 200 OK\r\n\r\npoison").into_bytes());
        });
        for (method, target, lines) in place.ways() {
            if !lines.iter().any(|line| line.starts_with("Upgrade: ")) {
                continue;
            }
            let bytes = request(&place.stage.house, method, target, &lines);
            let mut raw = place.connect();
            raw.send(&[bytes, behind.clone()].concat()).unwrap();
            let head = raw.read_head().unwrap();
            assert_eq!(head.fields.value("connection"), Some("close"), "{target}");
            let rest = raw.read_to_end().unwrap_or_default();
            let rest = String::from_utf8_lossy(&rest).into_owned();
            assert!(
                !rest.contains("poison") && !rest.contains("HTTP/1.1"),
                "{target}: {rest}"
            );
        }
    }
    // A refusal whose end is not clear is not passed on.
    for answer in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: +5\r\n\r\nhello",
    ] {
        place.stage.headscale.configure(|options| {
            options.upgrade_answer = Some(answer.as_bytes().to_vec());
        });
        let bytes = request(
            &place.stage.house,
            "POST",
            "/ts2021",
            &super::place::CONTROL,
        );
        assert_eq!(
            place.connect().exchange(&bytes).unwrap().status(),
            502,
            "{answer:?}"
        );
    }
    assert!(seen(&place.stage.headscale, "behind").is_empty());
}

#[test]
fn an_upgrade_counts_by_its_exact_token_and_its_nomination() {
    let place = Place::start(NO_LIMITS);
    let control = "Upgrade: tailscale-control-protocol";
    let handshake = "X-Tailscale-Handshake: AAAA";
    for (lines, status) in [
        (vec!["Connection: Upgrade", control], 101),
        (vec!["Connection: upgrade", control], 101),
        (vec!["Connection: keep-alive, Upgrade", control], 101),
        (
            vec!["Connection: keep-alive", "Connection: Upgrade", control],
            101,
        ),
        (
            vec![
                "Connection: Upgrade, X-Auth-User",
                "X-Auth-User: f0rged",
                control,
            ],
            101,
        ),
        (
            vec![
                "Connection: Upgrade, HTTP2-Settings",
                "HTTP2-Settings: AA",
                control,
            ],
            101,
        ),
        (vec!["Connection: Upgrade,,close", control], 101),
        (vec![control], 401),
        (vec!["Connection: close", control], 401),
        (vec!["Connection: xUpgrade", control], 401),
        (vec!["Connection: \"Upgrade\"", control], 401),
        (vec!["Connection: Upgrade", control, control], 401),
        (vec!["Connection: Upgrade", control, "Upgrade: h2c"], 401),
        (
            vec![
                "Connection: Upgrade",
                "Upgrade: tailscale-control-protocol, h2c",
            ],
            401,
        ),
        (
            vec![
                "Connection: Upgrade",
                "Upgrade: tailscale-control-protocol/1",
            ],
            401,
        ),
        (
            vec!["Connection: Upgrade", "Upgrade: TAILSCALE-CONTROL-PROTOCOL"],
            401,
        ),
        (vec!["Connection: Upgrade", "Upgrade:"], 401),
        (
            vec!["Connection: Upgrade", control, "Content-Length: 0"],
            101,
        ),
        (
            vec!["Connection: Upgrade", control, "Content-Length: 4"],
            400,
        ),
        (
            vec!["Connection: Upgrade", control, "Transfer-Encoding: chunked"],
            400,
        ),
    ] {
        let lines = [&lines[..], &[handshake]].concat();
        let bytes = request(&place.stage.house, "POST", "/ts2021", &lines);
        assert_eq!(
            place.connect().exchange(&bytes).unwrap().status(),
            status,
            "{lines:?}"
        );
    }
    let heads = place.stage.headscale.heads().concat();
    assert!(!String::from_utf8_lossy(&heads).contains("f0rged"));
}

/// The preface of HTTP/2 (RFC 9113 section 3.4), settings, and what has brought servers down.
fn http2(flood: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for _ in 0..2000 {
        bytes.extend_from_slice(flood);
    }
    bytes
}

#[test]
fn http_2_is_not_spoken_where_nobody_agreed_on_it_and_its_floods_meet_one_400() {
    let secure = Secure::start(NO_LIMITS);
    // GET / and its reset; a head without end; empty settings and pings.
    let reset = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
    let continuation = b"\0\0\x01\x09\0\0\0\0\x01\x82";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let ping = b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for flood in [&reset[..], continuation, settings, ping, b""] {
        for tls in [false, true] {
            let mut raw = if tls {
                secure.connect(&["http/1.1"]).unwrap()
            } else {
                Raw::connect(secure.house.plan.public).unwrap()
            };
            // The house may have closed before it all went out.
            let _ = raw.send(&http2(flood));
            let answer = raw.read_response("GET").unwrap();
            assert_eq!(answer.status(), 400, "tls {tls}");
            assert_eq!(answer.header("connection"), Some("close"), "tls {tls}");
            assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "tls {tls}");
        }
    }
    let key = b"GET /key?v=140 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (offered, speaks) in [
        (&["http/1.1", "http/1.0"][..], true),
        (&["http/1.1"], true),
        (&[], true),
        // What is spoken then is no HTTP/1.1.
        (&["h2"], false),
        (&["h2", "http/1.1"], false),
        (&["h2c"], false),
        (&["spdy/3.1"], false),
    ] {
        let answer = secure
            .connect(offered)
            .and_then(|mut raw| raw.exchange(key));
        match answer {
            Ok(answer) => assert!(speaks && answer.status() == 200, "{offered:?}"),
            Err(error) => assert!(!speaks, "{offered:?}: {error}"),
        }
    }
    let keys = secure.headscale.requests();
    assert!(
        keys.iter()
            .all(|seen| matches!(seen.path(), "/key" | "/version" | "/health"))
    );
}
