//! Group HS: the doors of Headscale beside its web UIs. Each opens to its own method, path and upgrade
//! token; what is next to it does not open it; and whoever comes in by one is nobody.

use headwarden::domain::door::Door;

use crate::stage::{HTML, SAME_ORIGIN};
use crate::support::headscale_standin::FIRST_BYTES;
use crate::support::raw::Raw;
use crate::support::tailnet::AUTH_ID;
use crate::targets::scene::{Scene, With, door_of, judge};

/// A door that asks nobody who they are: method, path, header lines, and what it answers.
pub(crate) type Opens = (&'static str, &'static str, &'static [&'static str], u16);

const CONTROL: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: tailscale-control-protocol",
    "X-Tailscale-Handshake: AAAA",
];
const CONTROL_WEBSOCKET: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: k",
    "Sec-WebSocket-Protocol: tailscale-control-protocol",
];
const DERP: &[&str] = &["Connection: Upgrade", "Upgrade: DERP"];
const DERP_WEBSOCKET: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: k",
    "Sec-WebSocket-Protocol: derp",
];

pub(crate) const OPEN_DOORS: &[Opens] = &[
    ("POST", "/ts2021", CONTROL, 101),
    ("GET", "/ts2021", CONTROL_WEBSOCKET, 101),
    ("GET", "/derp", DERP, 101),
    ("GET", "/derp", DERP_WEBSOCKET, 101),
    ("GET", "/key?v=140", &[], 200),
    ("GET", "/derp/probe", &[], 200),
    ("HEAD", "/derp/probe", &[], 200),
    ("GET", "/derp/latency-check", &[], 200),
    ("HEAD", "/derp/latency-check", &[], 200),
    ("GET", "/bootstrap-dns", &[], 200),
    ("GET", "/health", &[], 200),
    ("HEAD", "/machine/ping-response?id=1", &[], 200),
    ("POST", "/verify", &["Content-Length: 0"], 200),
    ("GET", "/public/page", &[], 404),
    ("HEAD", "/public/page", &[], 404),
    ("GET", "/ui/logo.png", &[], 404),
];

/// Paths next to `path`, as people have tried them.
pub(crate) fn neighbours(path: &str) -> Vec<String> {
    let name = path.trim_start_matches('/');
    let letter = name.chars().next().expect("a name");
    let mut all: Vec<String> = [
        "/",
        "//",
        "x",
        "0",
        "_",
        "-",
        "~",
        "*",
        "!",
        "$",
        "'",
        ",",
        "+",
        "@",
        ":",
        "=",
        "&",
        ".",
        "..",
        ".json",
        ".php",
        ".html",
        ".css",
        "/x",
        "/.",
        "/..",
        "/../admin",
        "/./",
        "/../",
        "/%2e%2e/admin",
        "/..%2fadmin",
        "/..;/admin",
        "/..%5cadmin",
        "\\..\\admin",
        "/*",
        "%20",
        "%20/",
        "%09",
        "%0a",
        "%0d%0a",
        "%00",
        "%00.png",
        "%2f",
        "%2F..",
        "%5c",
        "%23",
        "%3f",
        "%3F/admin",
        "%3b",
        ";",
        ";x=1",
        ";/../admin",
        "%25",
        "%2500",
        "%c0%af",
        "%ef%bc%8f",
        "%e2%80%8b",
        "%C3%A9",
        "%",
        "%2",
        "#",
        "#/",
        "\\",
        "/ui/admin",
        "/index.html",
    ]
    .iter()
    .map(|end| format!("{path}{end}"))
    .collect();
    all.extend(
        [
            "//", "///", "/./", "/../", "/x/../", "/%2e/", "/%2f", "/%2e%2e/", "/;/", "/x;/", "\\",
            "/\\", "/x/", "/ui/", "/%20/", "/..",
        ]
        .iter()
        .map(|front| format!("{front}{name}")),
    );
    all.extend([
        path.to_uppercase(),
        path.replacen(letter, &letter.to_uppercase().to_string(), 1),
        path.replacen(letter, &format!("%{:02x}", u32::from(letter)), 1),
        path.replacen(letter, &format!("%25{:02x}", u32::from(letter)), 1),
        path.replace('/', "//"),
        path.replace('/', "/./"),
        path.replace('/', "%2f"),
        path.replace('/', "\\"),
        path[..path.len() - 1].to_owned(),
        format!("/ui/private?{path}"),
        format!("/ui/private?x={path}"),
        format!("/ui/private%3F{path}"),
        format!("/ui/private/..{path}"),
        format!("/ui/private;{path}"),
        format!("/ui/private#{path}"),
        format!("http://127.0.0.1{path}"),
        name.to_owned(),
    ]);
    all
}

#[test]
fn no_neighbour_of_an_open_door_opens_it() {
    let scene = Scene::start();
    let mut asked = 0;
    for (method, target, lines, _) in OPEN_DOORS {
        let path = target.split('?').next().unwrap();
        for neighbour in neighbours(path) {
            // `/derp/` is next to `/derp`, and so is `/derp/probe`, a door of its own.
            let row = format!("X-Row: {method} {neighbour}");
            let row = row.escape_default().to_string();
            let line = format!("{method} {neighbour} HTTP/1.1");
            let answer = scene.ask(line.as_bytes(), &[lines, &[row.as_str()][..]].concat());
            assert!(
                matches!(answer.status(), 400 | 401 | 404),
                "{method} {neighbour:?}: {} {}",
                answer.status(),
                answer.text()
            );
            asked += 1;
        }
    }
    let seen = scene.seen();
    assert!(seen.is_empty(), "{:?}", seen.keys());
    assert!(asked >= 1400, "{asked}");
}

#[test]
fn no_other_method_and_no_other_token_opens_a_door() {
    let scene = Scene::start();
    let tokens = [
        None,
        Some("tailscale-control-protocol"),
        Some("Tailscale-Control-Protocol"),
        Some("tailscale-control-protocol/1"),
        Some("tailscale-control-protocol, websocket"),
        Some("DERP"),
        Some("derp"),
        Some("DERP/1"),
        Some("websocket"),
        Some("WebSocket"),
        Some("websocket, DERP"),
        Some("h2c"),
        Some("TLS/1.0"),
        Some("foo"),
    ];
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "GETX",
    ];
    for path in [
        "/ts2021",
        "/derp",
        "/key",
        "/health",
        "/machine/ping-response",
        "/verify",
        "/derp/probe",
        "/ui/private",
    ] {
        for method in methods {
            for (at, token) in tokens.iter().enumerate() {
                for nominated in [true, false] {
                    let row = format!("X-Row: {method} {path} {at} {nominated}");
                    let upgrade = token.map(|token| format!("Upgrade: {token}"));
                    let mut lines = vec![
                        row.as_str(),
                        "X-Tailscale-Handshake: AAAA",
                        "Sec-WebSocket-Key: k",
                        "Content-Length: 0",
                    ];
                    lines.extend(upgrade.as_deref());
                    lines.extend(nominated.then_some("Connection: Upgrade"));
                    let answer = scene.ask(format!("{method} {path} HTTP/1.1").as_bytes(), &lines);
                    assert!(
                        answer.status() < 502,
                        "{row} {token:?}: {}",
                        answer.status()
                    );
                    // A token opens its tunnel, or nothing: never less than what it asked for.
                    let tunnel = match (method, path, *token) {
                        ("POST", "/ts2021", Some("tailscale-control-protocol"))
                        | ("GET", "/ts2021" | "/derp", Some("websocket" | "WebSocket"))
                        | ("GET", "/derp", Some("DERP")) => nominated,
                        _ => false,
                    };
                    // The stand-in wants the subprotocol, which these do not name.
                    let switched = answer.status() == 101;
                    assert!(!switched || tunnel, "{row} {token:?}");
                }
            }
        }
    }
    for (row, all) in scene.seen() {
        for seen in all {
            judge(&seen, With::Nothing, &row);
            let upgrade = seen.fields.value("upgrade");
            let machine = matches!(door_of(&seen), Door::Machine(_));
            assert_eq!(upgrade.is_some(), machine, "{row}: {upgrade:?}");
        }
    }
}

/// What says who somebody is, where they are, or what they may do.
const CLAIMS: [&str; 34] = [
    "Remote-User: forged",
    "Remote-Email: forged",
    "Remote-Name: forged",
    "Remote-Groups: forged",
    "Remote-Picture: forged",
    "REMOTE-USER: forged",
    "remote-user: forged",
    "Remote_User: forged",
    "Remote.User: forged",
    "Remote!User: forged",
    "HTTP_REMOTE_USER: forged",
    "X-Remote-User: forged",
    "X-Forwarded-User: forged",
    "X-Forwarded-Email: forged",
    "X-Forwarded-For: 198.51.100.7",
    "X-Forwarded-For: 10.0.0.1, 198.51.100.7",
    "X-Forwarded-Host: forged.example",
    "X-Forwarded-Proto: forged",
    "X-Forwarded-Port: 99999",
    "X-Forwarded-Prefix: /forged",
    "Forwarded: for=198.51.100.7;host=forged.example",
    "X-Real-IP: 198.51.100.7",
    "True-Client-IP: 198.51.100.7",
    "CF-Connecting-IP: 198.51.100.7",
    "X-Client-IP: 198.51.100.7",
    "X-Auth-Request-User: forged",
    "X-authentik-username: forged",
    "X-WEBAUTH-USER: forged",
    "X-User: forged",
    "X-Request-Id: forged",
    "Via: 1.1 forged",
    "Authorization: Bearer hskey-api-forged",
    "Proxy-Authorization: Basic forged",
    "Cookie: other=forged; headwarden=forged",
];

#[test]
fn whoever_comes_in_by_an_open_door_is_nobody() {
    let scene = Scene::start();
    for (at, (method, target, lines, status)) in OPEN_DOORS.iter().enumerate() {
        // With a session as well: what is open asks nobody, and tells nobody.
        for (who, session) in [("nobody", None), ("admin", Some(scene.admin.as_str()))] {
            let row = format!("X-Row: {at}-{who}");
            let mut all = [*lines, &CLAIMS, &[row.as_str()]].concat();
            all.retain(|line| session.is_none() || !line.starts_with("Cookie: "));
            all.extend(session);
            let answer = scene.ask(format!("{method} {target} HTTP/1.1").as_bytes(), &all);
            assert_eq!(
                answer.status(),
                *status,
                "{method} {target}: {}",
                answer.text()
            );
            assert_eq!(answer.header("set-cookie"), None, "{method} {target}");
        }
    }
    let seen = scene.seen();
    assert_eq!(seen.len(), 2 * OPEN_DOORS.len());
    for (row, seen) in &seen {
        let [seen] = &seen[..] else { panic!("{row}") };
        judge(seen, With::Nothing, row);
        let head = String::from_utf8_lossy(&seen.head).to_lowercase();
        for word in ["forged", "198.51.100.7", "headwarden=", "remote-", "99999"] {
            assert!(!head.contains(word), "{row}: {word} in\n{head}");
        }
        for name in [
            "authorization",
            "cookie",
            "forwarded",
            "via",
            "proxy-authorization",
        ] {
            assert_eq!(seen.fields.value(name), None, "{row}: {name}");
        }
        for name in ["x-forwarded-for", "x-real-ip", "true-client-ip"] {
            assert_eq!(seen.fields.values(name), ["127.0.0.1"], "{row}: {name}");
        }
        assert_eq!(seen.fields.values("x-forwarded-proto"), ["http"], "{row}");
    }
}

/// Pages of Headscale and of web UIs, behind a session whoever asks.
const LOGIN_FIRST: [&str; 14] = [
    "/",
    "/windows",
    "/apple",
    "/apple/ios",
    "/apple/macos-app-store",
    "/version",
    "/robots.txt",
    "/favicon.ico",
    "/register/hskey-authreq-0123456789abcdef01234567",
    "/register/0123456789abcdef01234567",
    "/auth/hskey-authreq-0123456789abcdef01234567",
    "/ui",
    "/ui/",
    "/ui/private",
];

#[test]
fn a_page_without_a_session_is_a_redirect_for_a_navigation_and_a_401_for_a_script() {
    let scene = Scene::start();
    let navigations: [&[&str]; 4] = [
        &[HTML],
        &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", HTML],
        &[
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-Dest: document",
            "Sec-Fetch-Site: cross-site",
        ],
        &["Sec-Fetch-Mode: navigate"],
    ];
    let others: [&[&str]; 16] = [
        &[],
        &["Accept: */*"],
        &["Accept: application/json"],
        &["Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", HTML],
        &["Sec-Fetch-Mode: same-origin", HTML],
        &["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", HTML],
        &["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script", HTML],
        &["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: style"],
        &["Sec-Fetch-Mode: websocket", "Sec-Fetch-Dest: empty", HTML],
        &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", HTML],
        &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: frame", HTML],
        &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: embed", HTML],
        &["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object", HTML],
        &[
            "Sec-Fetch-Mode: navigate",
            "Sec-Fetch-Dest: document",
            "Sec-Purpose: prefetch",
            HTML,
        ],
        &["Purpose: prefetch", HTML],
        &[
            "Authorization: Bearer hskey-api-standin",
            "Accept: application/json",
        ],
    ];
    for page in LOGIN_FIRST {
        let line = format!("GET {page} HTTP/1.1");
        for lines in navigations {
            let answer = scene.ask(line.as_bytes(), &[lines, &["X-Row: x"]].concat());
            assert_eq!(answer.status(), 303, "{page} {lines:?}");
            assert!(answer.header("set-cookie").is_some(), "{page} {lines:?}");
        }
        for lines in others {
            let answer = scene.ask(line.as_bytes(), &[lines, &["X-Row: x"]].concat());
            assert_eq!(answer.status(), 401, "{page} {lines:?}");
            assert_eq!(answer.header("set-cookie"), None, "{page} {lines:?}");
            assert_eq!(answer.json()["error"], "unauthorized", "{page} {lines:?}");
        }
        for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            let line = format!("{method} {page} HTTP/1.1");
            let lines = [
                HTML,
                "Sec-Fetch-Mode: navigate",
                "Content-Length: 0",
                "X-Row: x",
            ];
            let answer = scene.ask(line.as_bytes(), &lines);
            assert_eq!(answer.status(), 401, "{method} {page}");
            assert_eq!(answer.header("set-cookie"), None, "{method} {page}");
        }
    }
    assert!(scene.seen().is_empty());
}

#[test]
fn a_key_of_headscales_counts_on_its_api_and_nowhere_else() {
    let scene = Scene::start();
    let key = "Authorization: Bearer hskey-api-standin";
    for (at, (method, target, status, forwarded)) in [
        ("GET", "/api/v1/user", 200, true),
        ("GET", "/api/v1/node", 200, true),
        ("DELETE", "/api/v1/node/1", 404, true),
        ("GET", "/api/v2/devices", 404, true),
        ("GET", "/api/v1/docs", 401, false),
        ("GET", "/api/v1/openapi.json", 401, false),
        ("GET", "/swagger", 401, false),
        ("GET", "/api/v3/user", 401, false),
        ("GET", "/api/v/user", 401, false),
        ("GET", "/api/v1beta/user", 401, false),
        ("GET", "/api/user", 401, false),
        ("GET", "/API/v1/user", 401, false),
        ("GET", "/Api/V1/user", 401, false),
        ("GET", "/x/api/v1/user", 401, false),
        ("GET", "/ui/api/v1/user", 401, false),
        ("GET", "/ui/private?/api/v1/user", 401, false),
        ("GET", "/api/v1/../../ui/private", 400, false),
        ("GET", "/api/v1/..%2f..%2fui", 400, false),
        ("GET", "/api/v1;/../../ui", 400, false),
        ("GET", "/api/v1//user", 400, false),
        ("GET", "//api/v1/user", 400, false),
        ("GET", "/api%2fv1%2fuser", 400, false),
        ("GET", "/ap%69/v1/user", 400, false),
        ("GET", "/windows", 401, false),
        ("GET", "/ui/private", 401, false),
        ("GET", "/register/0123456789abcdef01234567", 401, false),
        ("GET", "/metrics", 404, false),
        ("GET", "/.headwarden/authorize", 400, false),
        ("TRACE", "/api/v1/user", 404, false),
        ("get", "/api/v1/user", 404, false),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("X-Row: {at}");
        let answer = scene.ask(
            format!("{method} {target} HTTP/1.1").as_bytes(),
            &[key, &row],
        );
        assert_eq!(
            answer.status(),
            status,
            "{method} {target}: {}",
            answer.text()
        );
        let seen = scene.seen();
        let seen = seen.get(&at.to_string());
        assert_eq!(seen.is_some(), forwarded, "{method} {target}");
        if let Some(seen) = seen {
            judge(&seen[0], With::Key, target);
            assert_eq!(
                seen[0].fields.values("authorization"),
                ["Bearer hskey-api-standin"]
            );
        }
    }
    // Two keys, or one that is none, are no key.
    for lines in [
        vec![key, key],
        vec![key, "Authorization: Bearer other"],
        vec!["Authorization: Bearer"],
        vec!["Authorization: Bearer "],
        vec!["Authorization: bearer\thskey-api-standin"],
        vec!["Authorization: Digest x"],
        vec!["Authorization: hskey-api-standin"],
        vec!["X-Authorization: Bearer hskey-api-standin"],
        vec!["Authorization_: Bearer hskey-api-standin"],
        vec!["Proxy-Authorization: Bearer hskey-api-standin"],
        vec!["Cookie: Authorization=Bearer hskey-api-standin"],
    ] {
        let lines = [&lines[..], &["X-Row: none"]].concat();
        let answer = scene.ask(b"GET /api/v1/user HTTP/1.1", &lines);
        assert_eq!(answer.status(), 401, "{lines:?}");
    }
    assert!(!scene.seen().contains_key("none"));
}

#[test]
fn metrics_and_debugging_are_never_forwarded_whoever_asks() {
    let scene = Scene::start();
    let key = "Authorization: Bearer hskey-api-standin";
    for target in [
        "/metrics",
        "/metrics/",
        "/metrics?x",
        "/metrics/x",
        "/debug",
        "/debug/",
        "/debug/pprof",
        "/debug/pprof/heap",
        "/debug/pprof/profile?seconds=1",
        "/debug/vars",
        "/debug/config",
        "/debug/statsviz/ws",
        "/debug?x=/key",
        "/oidc/register",
        "/oidc/register/mkey:00",
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE"] {
            for lines in [
                vec![],
                vec![HTML],
                vec![key],
                vec![scene.admin.as_str()],
                vec![scene.admin.as_str(), SAME_ORIGIN, key, HTML],
                vec![
                    scene.admin.as_str(),
                    "Connection: Upgrade",
                    "Upgrade: websocket",
                ],
            ] {
                let lines = [&lines[..], &["X-Row: x", "Content-Length: 0"]].concat();
                let answer = scene.ask(format!("{method} {target} HTTP/1.1").as_bytes(), &lines);
                assert_eq!(answer.status(), 404, "{method} {target} {lines:?}");
                assert!(!answer.text().contains("secret"), "{method} {target}");
            }
        }
    }
    assert!(scene.seen().is_empty());
}

#[test]
fn derp_without_an_upgrade_says_426_to_a_person_and_whatever_headscale_says_to_a_device() {
    let scene = Scene::start();
    assert_eq!(
        scene
            .ask(b"GET /derp HTTP/1.1", &["X-Row: nobody"])
            .status(),
        401
    );
    assert!(scene.seen().is_empty());
    let answer = scene.ask(b"GET /derp HTTP/1.1", &[&scene.member]);
    assert_eq!(
        (answer.status(), answer.text().trim()),
        (426, "DERP requires connection upgrade")
    );
    let refusal = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 32\r\n\r\nDERP requires connection upgrade";
    scene
        .stage
        .headscale
        .configure(|options| options.upgrade_answer = Some(refusal.to_vec()));
    for lines in [DERP, DERP_WEBSOCKET] {
        let answer = scene.ask(b"GET /derp HTTP/1.1", lines);
        assert_eq!(
            (answer.status(), answer.text().trim()),
            (426, "DERP requires connection upgrade")
        );
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

#[test]
fn a_stream_and_a_tunnel_go_on_while_others_come_and_go() {
    let scene = Scene::start();
    let public = scene.stage.house.plan.public;
    let host = format!("Host: {public}");
    let open = |line: &str, lines: &[&str]| {
        let head = [&[line, &host], lines].concat().join("\r\n") + "\r\n\r\n";
        let mut raw = Raw::connect(public).unwrap();
        raw.send(head.as_bytes()).unwrap();
        let head = raw.read_head().unwrap();
        (raw, head.status)
    };
    let chunks = scene.ui.stream("/ui/poll");
    let (mut poll, status) = open("GET /ui/poll HTTP/1.1", &[&scene.member]);
    assert_eq!(status, 200);
    let (mut tunnel, status) = open("POST /ts2021 HTTP/1.1", CONTROL);
    assert_eq!(
        (status, tunnel.read_exact(FIRST_BYTES.len()).unwrap()),
        (101, FIRST_BYTES.to_vec())
    );
    for word in ["one", "two", "three"] {
        for _ in 0..20 {
            assert_eq!(scene.ask(b"GET /health HTTP/1.1", &[]).status(), 200);
            assert_eq!(scene.ask(b"GET /ui/private HTTP/1.1", &[]).status(), 401);
        }
        chunks.send(word.as_bytes().to_vec()).unwrap();
        assert_eq!(poll.read_chunk().unwrap().unwrap(), word.as_bytes());
        tunnel.send(word.as_bytes()).unwrap();
        assert_eq!(tunnel.read_exact(word.len()).unwrap(), word.as_bytes());
    }
    drop(chunks);
    assert_eq!(poll.read_chunk().unwrap(), None);
}

#[test]
fn a_link_of_a_device_is_one_id_and_its_neighbours_lead_nowhere() {
    let scene = Scene::start();
    let id = AUTH_ID;
    let short = "0123456789abcdef01234567";
    for (target, status) in [
        (format!("/register/{id}"), 401),
        (format!("/register/{short}"), 401),
        (format!("/auth/{id}"), 401),
        (format!("/register/{id}/"), 404),
        (format!("/register/{id}x"), 404),
        (format!("/register/{id}/../admin"), 400),
        (format!("/register/{id}%2f..%2fadmin"), 400),
        (format!("/register/{id};x"), 400),
        (format!("/register/{id}%00"), 400),
        (format!("/register/{id}%20"), 404),
        (format!("/register/{id}%3Fx"), 404),
        (format!("/register/{id}.html"), 404),
        (format!("/register/{}", id.to_uppercase()), 404),
        (format!("/register/x/{id}"), 404),
        (format!("/register/confirm/{id}"), 401),
        (format!("/register/confirm/{id}/"), 404),
        (format!("/register/confirm/x/{id}"), 404),
        (format!("/register/confirm/{id}/x"), 404),
        ("/register/confirm/".to_owned(), 404),
        ("/register/confirm".to_owned(), 404),
        ("/register/".to_owned(), 404),
        ("/register/a/b".to_owned(), 404),
        ("/register/%2e%2e/admin".to_owned(), 400),
        ("/register/../admin".to_owned(), 400),
        ("/register/mkey:0000".to_owned(), 404),
        ("/register/nodekey:0000".to_owned(), 404),
        ("/register/<script>".to_owned(), 400),
        ("/register/%3Cscript%3E".to_owned(), 404),
        ("/register/%E2%80%AE".to_owned(), 400),
        (format!("/auth/{id}/"), 404),
        (format!("/auth/{id}x"), 404),
        (format!("/auth/x/{id}"), 404),
        ("/auth/".to_owned(), 404),
        ("/auth/login".to_owned(), 404),
        ("/apple/../../admin".to_owned(), 400),
        ("/derp/../admin".to_owned(), 400),
    ] {
        for lines in [vec![], vec![scene.admin.as_str()]] {
            if status == 401 && !lines.is_empty() {
                continue;
            }
            let lines = [&lines[..], &["X-Row: x"]].concat();
            let answer = scene.ask(format!("GET {target} HTTP/1.1").as_bytes(), &lines);
            assert_eq!(answer.status(), status, "{target}: {}", answer.text());
            assert_eq!(answer.header("location"), None, "{target}");
        }
    }
    assert!(scene.seen().is_empty());
}

/// What a person does to devices here: pages, and forms that change something.
const DEVICES: &[&str] = &[
    "/.headwarden/devices",
    "/.headwarden/devices/add",
    "/.headwarden/devices/people",
    "/.headwarden/devices/sign-out",
    "/.headwarden/devices/remove",
];

#[test]
fn no_neighbour_of_a_page_of_devices_is_one_and_neither_a_key_nor_another_method_opens_it() {
    let scene = Scene::start();
    let key = "Authorization: Bearer hskey-api-standin";
    let shown = |text: &str| text.contains("Your devices") || text.contains("Add a device");
    for page in DEVICES {
        for target in neighbours(page) {
            let line = format!("GET {target} HTTP/1.1");
            // What is below another page of devices, or this page with a query, is no neighbour.
            let path = target.split(['?', '#']).next().unwrap_or_default();
            if DEVICES.contains(&path) {
                continue;
            }
            let lines = [HTML, SAME_ORIGIN, scene.admin.as_str(), "X-Row: x"];
            let answer = scene.ask(line.as_bytes(), &lines);
            assert!(!shown(&answer.text()), "{target}: {}", answer.text());
        }
        // A key is nobody's session here.
        let line = format!("GET {page} HTTP/1.1");
        let answer = scene.ask(line.as_bytes(), &[key, SAME_ORIGIN, "X-Row: x"]);
        assert_eq!(answer.status(), 401, "{page}");
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS"] {
            let line = format!("{method} {page} HTTP/1.1");
            let lines = [
                SAME_ORIGIN,
                scene.admin.as_str(),
                "Content-Length: 0",
                "X-Row: x",
            ];
            let answer = scene.ask(line.as_bytes(), &lines);
            assert_eq!(answer.status(), 405, "{method} {page}");
        }
    }
    let seen = scene.seen();
    for seen in seen.values().flatten() {
        judge(seen, With::Session, "a neighbour of a page of devices");
    }
    let asked = scene.stage.headscale.requests();
    let by_us = asked.iter().find(|seen| seen.path().starts_with("/api/"));
    assert!(by_us.is_none(), "{by_us:?}");
}
