//! F: who a request comes from.

use crate::faulty_provider::Person as Account;
use crate::framing::place::{CONTROL, NO_LIMITS, Place};
use crate::framing::tls::Secure;
use crate::stage::{Faulty, HTML, Stage, request, seen, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More};
use crate::support::raw::{Raw, Response};

const TRUSTED: &str = "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, \"2001:db8:ffff::/48\"]\n";
/// What upstreams believe about an address.
const ADDRESSES: [&str; 3] = ["x-forwarded-for", "x-real-ip", "true-client-ip"];

fn ask(place: &Place, method: &str, target: &str, lines: &[&str]) -> Response {
    let bytes = request(&place.stage.house, method, target, lines);
    let answer = place.connect().exchange(&bytes);
    answer.unwrap_or_else(|error| panic!("{method} {target} {lines:?}: {error}"))
}

#[test]
fn whatever_an_untrusted_peer_says_about_addresses_every_upstream_hears_its_own() {
    let place = Place::start(NO_LIMITS);
    let said = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-For: 127.0.0.1, 6.6.6.6",
        "X-Forwarded-For:",
        "X-Real-IP: 6.6.6.6",
        "True-Client-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6;host=evil.example;proto=https",
        "CF-Connecting-IP: 6.6.6.6",
        "X-Client-IP: 6.6.6.6",
        "X-Cluster-Client-IP: 6.6.6.6",
        "Fastly-Client-IP: 6.6.6.6",
        "X-Original-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: javascript",
        "X-Forwarded-Port: 66666",
        "X-Forwarded-Server: evil.example",
        "Via: 1.1 evil.example",
    ];
    let ours = place.stage.house.plan.public.to_string();
    for (at, (method, target, lines)) in place.ways().into_iter().enumerate() {
        let row = format!("{at}");
        let tag = format!("X-Row: {row}");
        ask(
            &place,
            method,
            target,
            &[&lines[..], &said, &[&tag]].concat(),
        );
        let of_ui = place.ui.asked();
        let of_ui = of_ui
            .iter()
            .filter(|asked| asked.fields.value("x-row") == Some(row.as_str()));
        let of_headscale = seen(&place.stage.headscale, &row);
        let mut fields = of_headscale
            .iter()
            .map(|seen| &seen.fields)
            .chain(of_ui.map(|asked| &asked.fields));
        let fields = fields
            .next()
            .unwrap_or_else(|| panic!("{method} {target} did not arrive"));
        for name in ADDRESSES {
            assert_eq!(
                fields.values(name),
                ["127.0.0.1"],
                "{method} {target} {name}"
            );
        }
        assert_eq!(fields.values("x-forwarded-proto"), ["http"], "{target}");
        assert_eq!(
            fields.values("x-forwarded-host"),
            [ours.as_str()],
            "{target}"
        );
        assert_eq!(fields.values("host"), [ours.as_str()], "{target}");
        for (name, value) in &fields.0 {
            let forged = value.contains("6.6.6.6")
                || value.contains("evil.example")
                || value.contains("66666");
            assert!(!forged, "{target} {name}: {value}");
        }
    }
    let log = crate::stage::log_at_info(&place.stage.house);
    assert!(!log.contains("6.6.6.6"), "{log}");
}

#[test]
fn behind_trusted_proxies_the_client_is_the_rightmost_address_nobody_vouches_for() {
    let place = Place::start(&format!("{TRUSTED}{NO_LIMITS}"));
    let thousand = format!("X-Forwarded-For: {}203.0.113.9", "6.6.6.6, ".repeat(1000));
    let trusted_thousand = format!(
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9{}",
        ", 10.0.0.1".repeat(1000)
    );
    let ninety = vec!["X-Forwarded-For: 10.0.0.7"; 90];
    let rows: Vec<(Vec<&str>, &str)> = vec![
        (vec!["X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
        (vec!["x-forwarded-for:203.0.113.9"], "203.0.113.9"),
        (vec!["X-Forwarded-For: 6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (vec!["X-Forwarded-For: 10.0.0.1, 6.6.6.6"], "6.6.6.6"),
        (
            vec!["X-Forwarded-For: 127.0.0.1, 203.0.113.9, 10.0.0.1"],
            "203.0.113.9",
        ),
        (
            vec!["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9"],
            "203.0.113.9",
        ),
        (
            vec!["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 10.0.0.1"],
            "203.0.113.9",
        ),
        (
            vec!["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For:"],
            "127.0.0.1",
        ),
        (vec![thousand.as_str()], "203.0.113.9"),
        (vec![trusted_thousand.as_str()], "203.0.113.9"),
        (ninety, "10.0.0.7"),
        (vec!["X-Forwarded-For: 203.0.113.9:1234"], "203.0.113.9"),
        (vec!["X-Forwarded-For: [2001:db8::1]:443"], "2001:db8::1"),
        (vec!["X-Forwarded-For: [2001:db8::1]"], "2001:db8::1"),
        (vec!["X-Forwarded-For: 2001:DB8:0::0001"], "2001:db8::1"),
        (
            vec!["X-Forwarded-For: 203.0.113.9, 2001:db8:ffff::1"],
            "203.0.113.9",
        ),
        (vec!["X-Forwarded-For: ::ffff:203.0.113.9"], "203.0.113.9"),
        (
            vec!["X-Forwarded-For: 203.0.113.9, ::ffff:10.0.0.1"],
            "203.0.113.9",
        ),
        (vec!["X-Forwarded-For: ::ffff:0a00:0001"], "10.0.0.1"),
        (vec!["X-Forwarded-For: fe80::1%eth0"], "127.0.0.1"),
        (
            vec!["X-Forwarded-For: 6.6.6.6, fe80::1%25eth0"],
            "127.0.0.1",
        ),
        (vec!["X-Forwarded-For: unknown"], "127.0.0.1"),
        (vec!["X-Forwarded-For: 6.6.6.6, unknown"], "127.0.0.1"),
        (
            vec!["X-Forwarded-For: 6.6.6.6, _hidden, 10.0.0.1"],
            "10.0.0.1",
        ),
        (vec!["X-Forwarded-For: 6.6.6.6,,"], "127.0.0.1"),
        (vec!["X-Forwarded-For: ,"], "127.0.0.1"),
        (vec!["X-Forwarded-For:"], "127.0.0.1"),
        (vec!["X-Forwarded-For: a"], "127.0.0.1"),
        (vec!["X-Forwarded-For: 6.6.6.6 203.0.113.9"], "127.0.0.1"),
        (vec!["X-Forwarded-For: \"203.0.113.9\""], "127.0.0.1"),
        (vec!["X-Forwarded-For: for=203.0.113.9"], "127.0.0.1"),
        (vec!["X-Forwarded-For: 203.0.113.9;6.6.6.6"], "127.0.0.1"),
        (vec!["X-Forwarded-For: 0x7f.1"], "127.0.0.1"),
        (vec!["X-Forwarded-For: 010.0.0.1"], "127.0.0.1"),
        (vec!["X-Forwarded-For: 256.1.1.1"], "127.0.0.1"),
        (vec!["X-Forwarded-For: 3405803785"], "127.0.0.1"),
        (vec!["X-Forwarded-For: localhost"], "127.0.0.1"),
        (vec!["X-Forwarded-For: 203.0.113.9\u{a0}"], "127.0.0.1"),
        (vec!["X_Forwarded_For: 6.6.6.6"], "127.0.0.1"),
        (
            vec!["X-Real-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6"],
            "127.0.0.1",
        ),
        (vec!["Forwarded: for=6.6.6.6"], "127.0.0.1"),
        (vec![], "127.0.0.1"),
    ];
    for (at, (lines, client)) in rows.into_iter().enumerate() {
        for (method, target, more) in [
            ("GET", "/key?v=140", &[][..]),
            ("POST", "/ts2021", &CONTROL),
        ] {
            let row = format!("{target}{at}");
            let tag = format!("X-Row: {row}");
            ask(
                &place,
                method,
                target,
                &[&lines[..], more, &[&tag]].concat(),
            );
            let seen = seen(&place.stage.headscale, &row);
            assert_eq!(seen.len(), 1, "{lines:?}");
            for name in ADDRESSES {
                assert_eq!(seen[0].fields.values(name), [client], "{lines:?} {name}");
            }
        }
    }
}

/// How many of these in a row are let through before the first 429.
fn passed(house: &House, rows: impl Iterator<Item = String>, way: (&str, &str, &[&str])) -> usize {
    let (method, target, lines) = way;
    rows.take_while(|line| {
        let lines = [lines, &[line.as_str()]].concat();
        let mut raw = Raw::connect(house.plan.public).unwrap();
        let answer = raw
            .exchange(&request(house, method, target, &lines))
            .unwrap();
        if answer.status() == 429 {
            assert!(answer.header("retry-after").is_some(), "{target}");
        }
        answer.status() != 429
    })
    .count()
}

#[test]
fn no_word_of_a_client_moves_it_to_another_limit() {
    let ways: [(&str, &str, &[&str]); 3] = [
        ("GET", "/key?v=140", &[]),
        ("POST", "/ts2021", &CONTROL),
        ("GET", "/api/v1/user", &["Authorization: Bearer x"]),
    ];
    let few = "limits: { tunnels_per_minute: 3, open_requests_per_minute: 3, api_requests_per_minute: 3 }\n";
    let lines: [fn(usize) -> String; 8] = [
        |at| format!("X-Forwarded-For: 203.0.113.{at}"),
        |at| format!("X-Real-IP: 203.0.113.{at}"),
        |at| format!("True-Client-IP: 203.0.113.{at}"),
        |at| format!("Forwarded: for=203.0.113.{at}"),
        |at| format!("CF-Connecting-IP: 203.0.113.{at}"),
        |at| format!("X-Forwarded-For: 203.0.113.{at}, 198.51.100.7"),
        |at| format!("X-Forwarded-For: 2001:db8:1:2:{at}::1"),
        |at| format!("X-Forwarded-For: 198.51.100.8:{}", 1000 + at),
    ];
    // From an untrusted peer nothing counts; from a trusted one, the rightmost address, by /64.
    for (top, counted, expected) in [
        (few.to_owned(), vec![0, 2, 3], 3),
        (format!("{TRUSTED}{few}"), vec![5, 6, 7], 3),
    ] {
        for kind in counted {
            let headscale = HeadscaleStandin::start(Options::default());
            let house = alone(&headscale, Box::leak(top.clone().into_boxed_str()));
            for way in ways {
                let rows = (0..12).map(lines[kind]);
                assert_eq!(
                    passed(&house, rows, way),
                    expected,
                    "{} {}",
                    way.1,
                    lines[kind](0)
                );
            }
        }
    }
    // What a trusted proxy says does move it.
    let headscale = HeadscaleStandin::start(Options::default());
    let house = alone(
        &headscale,
        Box::leak(format!("{TRUSTED}{few}").into_boxed_str()),
    );
    for way in &ways[..2] {
        assert_eq!(passed(&house, (0..12).map(lines[0]), *way), 12, "{}", way.1);
        let networks = (0..12).map(|at| format!("X-Forwarded-For: 2001:db8:1:{at}::1"));
        assert_eq!(passed(&house, networks, *way), 12, "{}", way.1);
    }
}

/// A house without a provider.
fn alone(headscale: &HeadscaleStandin, top: &'static str) -> House {
    House::start(|plan| {
        let more = More {
            sign_in: "none",
            top,
            waits_for_provider: false,
            ..More::default()
        };
        plan.config(&headscale.url(), "http://127.0.0.1:9/", &more)
    })
}

#[test]
fn no_forwarded_host_scheme_or_port_shows_in_a_redirect_a_cookie_or_a_page() {
    let forwarded: [&[&str]; 10] = [
        &["X-Forwarded-Host: evil.example"],
        &[
            "X-Forwarded-Host: evil.example, evil.example",
            "X-Forwarded-Proto: https",
        ],
        &["X-Forwarded-Host:"],
        &["X-Forwarded-Proto: javascript"],
        &["X-Forwarded-Proto: https,http"],
        &["X-Forwarded-Proto: https", "X-Forwarded-Port: 99999"],
        &[
            "X-Forwarded-Port: 66666",
            "X-Forwarded-Prefix: /evil.example",
        ],
        &[
            "X-Forwarded-Uri: //evil.example",
            "X-Original-URL: //evil.example",
        ],
        &[
            "Forwarded: host=evil.example;proto=javascript",
            "X-Host: evil.example",
        ],
        &[
            "X-HTTP-Host-Override: evil.example",
            "X-Forwarded-Server: evil.example",
        ],
    ];
    for top in ["", TRUSTED] {
        let place = Place::start(&format!("{top}{NO_LIMITS}"));
        let origin = place.stage.house.plan.origin();
        let redirect: String =
            url::form_urlencoded::byte_serialize(format!("{origin}/oidc/callback").as_bytes())
                .collect();
        for lines in forwarded {
            let begun = ask(&place, "GET", "/admin?a=1", &[lines, &[HTML]].concat());
            assert_eq!(begun.status(), 303, "{lines:?}");
            let location = begun.header("location").unwrap();
            assert!(
                location.starts_with(&place.stage.faulty.provider.issuer()[..20]),
                "{location}"
            );
            assert!(
                location.contains(&format!("redirect_uri={redirect}")),
                "{location}"
            );
            for (target, more) in [
                ("/admin", vec![HTML]),
                ("/metrics", vec![HTML]),
                ("/.headwarden/logout", vec![HTML, place.session.as_str()]),
                ("/oidc/callback", vec![HTML]),
            ] {
                let answer = ask(&place, "GET", target, &[lines, &more].concat());
                let text = format!(
                    "{}{}",
                    String::from_utf8_lossy(&answer.head.raw),
                    answer.text()
                );
                for forged in ["evil.example", "javascript", "66666", "99999"] {
                    assert!(!text.contains(forged), "{target} {lines:?}: {text}");
                }
                let cookie = answer.header("set-cookie").unwrap_or_default();
                assert!(!cookie.to_lowercase().contains("domain="), "{cookie}");
            }
        }
    }
}

#[test]
fn only_a_trusted_proxy_that_says_https_exactly_takes_the_place_of_tls() {
    let headscale = HeadscaleStandin::start(Options::default());
    let faulty = Faulty::start();
    for (top, trusted) in [
        ("trusted_proxies: [127.0.0.1/32]\n", true),
        ("trusted_proxies: [10.0.0.0/8]\n", false),
    ] {
        let house = House::start(|plan| {
            let more = More {
                top,
                ..More::default()
            };
            plan.config(&headscale.url(), &faulty.provider.issuer(), &more)
                .replace(&plan.origin(), "https://headscale.company")
        });
        for (lines, secure) in [
            (&["X-Forwarded-Proto: https"][..], true),
            (&["X-Forwarded-Proto: HTTPS"], true),
            (&["X-Forwarded-Proto: http"], false),
            (&["X-Forwarded-Proto: https,http"], false),
            (&["X-Forwarded-Proto: http, https"], false),
            (
                &["X-Forwarded-Proto: https", "X-Forwarded-Proto: https"],
                false,
            ),
            (
                &["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"],
                false,
            ),
            (&["X-Forwarded-Proto: https://"], false),
            (&["X-Forwarded-Proto: wss"], false),
            (&["X-Forwarded-Proto:"], false),
            (&["X_Forwarded_Proto: https"], false),
            (
                &[
                    "X-Forwarded-Ssl: on",
                    "X-Forwarded-Scheme: https",
                    "Front-End-Https: on",
                ],
                false,
            ),
            (&["Forwarded: proto=https"], false),
            (&[], false),
        ] {
            let text = lines.join("\r\n");
            let end = if text.is_empty() { "" } else { "\r\n" };
            let bytes =
                format!("GET /metrics HTTP/1.1\r\nHost: headscale.company\r\n{text}{end}\r\n");
            let mut raw = Raw::connect(house.plan.public).unwrap();
            let answer = raw.exchange(bytes.as_bytes()).unwrap();
            let expected = if secure && trusted { 404 } else { 308 };
            assert_eq!(answer.status(), expected, "{lines:?} trusted {trusted}");
            if expected == 308 {
                assert_eq!(
                    answer.header("location"),
                    Some("https://headscale.company/metrics")
                );
            }
        }
    }
}

#[test]
fn a_configuration_that_trusts_everybody_does_not_start() {
    for nets in [
        "0.0.0.0/0",
        "\"::/0\"",
        "0.0.0.0/1, 128.0.0.0/1",
        "\"::/1\", \"8000::/1\"",
        "10.0.0.300",
        "everybody",
    ] {
        let mut house = House::launch(
            |plan| {
                let top = format!("trusted_proxies: [{nets}]\n");
                let more = More {
                    sign_in: "none",
                    top: Box::leak(top.into_boxed_str()),
                    waits_for_provider: false,
                    ..More::default()
                };
                plan.config("http://127.0.0.1:9", "http://127.0.0.1:9/", &more)
            },
            &[],
        );
        let status = house.wait();
        assert!(!status.success(), "{nets}");
        assert!(
            house.log().contains("trusted_proxies"),
            "{nets}: {}",
            house.log()
        );
    }
}

/// Headers of the PROXY protocol, whole, odd and broken.
fn proxy_headers() -> Vec<Vec<u8>> {
    let v2 = |rest: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", rest].concat();
    vec![
        b"PROXY TCP4 6.6.6.6 127.0.0.1 1234 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::1 1234 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(),
        b"PROXY TCP4 6.6.6.6\r\n".to_vec(),
        b"PROXY\r\n".to_vec(),
        b"PROXY TCP4 6.6.6.6 127.0.0.1 1234 443\n".to_vec(),
        b"proxy tcp4 6.6.6.6 127.0.0.1 1234 443\r\n".to_vec(),
        // LOCAL, TCP4, TCP6, AF_UNIX, one with a TLV that overruns, one of another version.
        v2(b"\x20\x00\x00\x00"),
        v2(b"\x21\x11\x00\x0c\x06\x06\x06\x06\x7f\0\0\x01\x04\xd2\x01\xbb"),
        v2(&[&b"\x21\x21\x00\x24"[..], &[6; 32], b"\x04\xd2\x01\xbb"].concat()),
        v2(&[&b"\x21\x31\x00\xd8"[..], &[b'/'; 216]].concat()),
        v2(b"\x21\x11\x00\x0f\x06\x06\x06\x06\x7f\0\0\x01\x04\xd2\x01\xbb\x04\xff\xff"),
        v2(b"\x31\x11\x00\x0c\x06\x06\x06\x06\x7f\0\0\x01\x04\xd2\x01\xbb"),
        v2(b""),
    ]
}

#[test]
fn a_proxy_header_is_no_request_from_whomever_it_comes() {
    for top in [NO_LIMITS, "trusted_proxies: [127.0.0.0/8]\n"] {
        let secure = Secure::start(top);
        let key = "GET /key?v=140 HTTP/1.1\r\nHost: localhost\r\nX-Row: proxied\r\n\r\n";
        for header in proxy_headers() {
            let shown = header.escape_ascii().to_string();
            let mut raw = Raw::connect(secure.house.plan.public).unwrap();
            raw.send(&[&header, key.as_bytes()].concat()).unwrap();
            let answer = raw
                .read_response("GET")
                .unwrap_or_else(|error| panic!("{shown}: {error}"));
            assert_eq!(answer.status(), 400, "{shown}");
            assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{shown}");
            // Before TLS it is no handshake.
            let mut raw = Raw::connect(secure.tls).unwrap();
            let _ = raw.send(&[&header, key.as_bytes()].concat());
            let said = raw.read_to_end().unwrap_or_default();
            assert!(!said.starts_with(b"HTTP/"), "{shown}");
            // Behind a request it is no request either.
            let mut raw = Raw::connect(secure.house.plan.public).unwrap();
            let first = raw.exchange(b"GET /key?v=140 HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(first.unwrap().status(), 200);
            raw.send(&[&header, key.as_bytes()].concat()).unwrap();
            assert_eq!(raw.read_response("GET").unwrap().status(), 400, "{shown}");
        }
        assert!(seen(&secure.headscale, "proxied").is_empty());
    }
    // One that never ends has the time of a head, and no more.
    let secure = Secure::start("limits: { header_timeout: 1s }\n");
    let mut raw = secure.house.while_it_stands_still(|| {
        let mut raw = Raw::connect(secure.house.plan.public).unwrap();
        raw.send(b"PROXY TCP4 6.6.6.6 127.0").unwrap();
        raw
    });
    assert_eq!(raw.read_response("GET").unwrap().status(), 408);
}

#[test]
fn a_person_behind_a_trusted_proxy_signs_in_as_anybody_else() {
    let stage = Stage::start_with(|_| More {
        top: TRUSTED,
        ..More::default()
    });
    let person = stage.somebody(Account::Member);
    let lines = [
        &session_line(&stage.house, &person),
        "X-Forwarded-For: 203.0.113.9",
        "X-Row: behind",
    ];
    let bytes = request(&stage.house, "GET", "/windows", &lines);
    let mut raw = Raw::connect(stage.house.plan.public).unwrap();
    assert_eq!(raw.exchange(&bytes).unwrap().status(), 200);
    let seen = seen(&stage.headscale, "behind");
    assert_eq!(seen[0].fields.values("true-client-ip"), ["203.0.113.9"]);
}
