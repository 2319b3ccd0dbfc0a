//! Every door over a raw socket, and its neighbours. What the upstream saw is the witness: whatever
//! reached it either leads to an open door when *that* is judged, or came with a session or a key.

use std::collections::BTreeMap;

use headwarden::domain::door::{self, Asked, Door};
use headwarden::domain::path::Target;

use crate::outages::probe;
use crate::stage::{HTML, SAME_ORIGIN, ask, member, request, seen, send, session_line};
use crate::support::certified_provider::CertifiedProvider;
use crate::support::headscale_standin::{FIRST_BYTES, HeadscaleStandin, Options, Seen};
use crate::support::house::{House, More};
use crate::support::raw::Raw;
use crate::support::tailnet::{AUTH_ID, Tailnet};

const UPGRADE: &str = "Connection: Upgrade";
const CONTROL: &str = "Upgrade: tailscale-control-protocol";
const WEBSOCKET: &str = "Upgrade: websocket";
const DERP: &str = "Upgrade: DERP";
const HANDSHAKE: &str = "X-Tailscale-Handshake: AAAA";
const EMPTY: &str = "Content-Length: 0";

/// Method, target, header lines, the status without a session, whether it reaches the upstream then.
type Row = (
    &'static str,
    &'static str,
    &'static [&'static str],
    u16,
    bool,
);

/// The door that what the upstream saw leads to.
fn door_of(seen: &Seen) -> Door {
    let target = Target::parse(seen.target.as_bytes())
        .unwrap_or_else(|why| panic!("the upstream saw {:?}: {why}", seen.target));
    let asked = Asked {
        method: &seen.method,
        target: &target,
        upgrade: seen.fields.value("upgrade"),
    };
    door::decide(&asked, &[])
}

fn is_open(seen: &Seen) -> bool {
    matches!(door_of(seen), Door::Machine(_) | Door::Open)
}

const DOORS: &[Row] = &[
    // Open.
    ("GET", "/key?v=140", &[], 200, true),
    ("GET", "/key", &[], 400, true),
    ("GET", "/derp/probe", &[], 200, true),
    ("HEAD", "/derp/probe", &[], 200, true),
    ("GET", "/derp/latency-check", &[], 200, true),
    ("GET", "/bootstrap-dns?q=derp.test", &[], 200, true),
    ("HEAD", "/machine/ping-response?id=1", &[], 200, true),
    ("GET", "/health", &[], 200, true),
    ("GET", "/generate_204", &[], 204, false),
    ("HEAD", "/generate_204", &[], 204, false),
    // Machine.
    (
        "POST",
        "/ts2021",
        &[UPGRADE, CONTROL, HANDSHAKE, EMPTY],
        101,
        true,
    ),
    (
        "POST",
        "/ts2021",
        &["Connection: keep-alive, Upgrade", CONTROL, HANDSHAKE],
        101,
        true,
    ),
    ("GET", "/derp", &[UPGRADE, DERP], 101, true),
    (
        "GET",
        "/derp",
        &[
            UPGRADE,
            "Upgrade: WebSocket",
            "Sec-WebSocket-Key: k",
            "Sec-WebSocket-Protocol: derp",
        ],
        101,
        true,
    ),
    (
        "GET",
        "/ts2021",
        &[
            UPGRADE,
            WEBSOCKET,
            "Sec-WebSocket-Key: k",
            "Sec-WebSocket-Protocol: tailscale-control-protocol",
        ],
        101,
        true,
    ),
    // Own.
    ("GET", "/oidc/callback", &[], 400, false),
    ("POST", "/oidc/callback", &[EMPTY], 405, false),
    ("GET", "/oidc/callback?state=abc&code=a", &[], 400, false),
    ("GET", "/.headwarden/authorize", &[], 400, false),
    ("POST", "/.headwarden/authorize", &[EMPTY], 405, false),
    ("GET", "/.headwarden/sign-in", &[], 401, false),
    ("GET", "/.headwarden/sign-in", &[HTML], 303, false),
    ("GET", "/.headwarden/logout", &[], 200, false),
    ("PUT", "/.headwarden/logout", &[EMPTY], 405, false),
    ("GET", "/.headwarden/signed-out", &[], 200, false),
    ("GET", "/.headwarden/jwks.json", &[], 200, false),
    ("HEAD", "/.headwarden/jwks.json", &[], 200, false),
    ("POST", "/.headwarden/jwks.json", &[EMPTY], 405, false),
    ("GET", "/.headwarden/jwks.json/x", &[], 404, false),
    ("GET", "/.headwarden/step-up", &[], 401, false),
    ("GET", "/.headwarden/step-up?for=/x", &[HTML], 303, false),
    ("POST", "/.headwarden/step-up", &[EMPTY], 405, false),
    ("GET", "/.headwarden/sessions", &[], 401, false),
    ("GET", "/.headwarden/sessions", &[HTML], 303, false),
    ("POST", "/.headwarden/sessions", &[EMPTY], 403, false),
    (
        "POST",
        "/.headwarden/sessions",
        &[EMPTY, SAME_ORIGIN],
        303,
        false,
    ),
    ("GET", "/.headwarden/devices", &[], 401, false),
    ("GET", "/.headwarden/devices", &[HTML], 303, false),
    ("POST", "/.headwarden/devices", &[EMPTY], 403, false),
    (
        "POST",
        "/.headwarden/devices",
        &[EMPTY, SAME_ORIGIN],
        303,
        false,
    ),
    ("DELETE", "/.headwarden/devices", &[EMPTY], 405, false),
    ("GET", "/.headwarden/devices/add", &[HTML], 303, false),
    ("POST", "/.headwarden/devices/add", &[EMPTY], 405, false),
    ("GET", "/.headwarden/devices/people", &[HTML], 303, false),
    (
        "POST",
        "/.headwarden/devices/people",
        &[EMPTY, SAME_ORIGIN],
        405,
        false,
    ),
    (
        "GET",
        "/.headwarden/devices/sign-out?id=1",
        &[HTML],
        303,
        false,
    ),
    (
        "POST",
        "/.headwarden/devices/sign-out",
        &[EMPTY],
        403,
        false,
    ),
    (
        "GET",
        "/.headwarden/devices/remove?id=1",
        &[HTML],
        303,
        false,
    ),
    (
        "POST",
        "/.headwarden/devices/remove",
        &[EMPTY, SAME_ORIGIN],
        303,
        false,
    ),
    ("GET", "/.headwarden/devices/", &[HTML], 404, false),
    ("GET", "/.headwarden/devices/1", &[HTML], 404, false),
    ("GET", "/.headwarden", &[], 404, false),
    ("GET", "/.headwarden/", &[], 404, false),
    ("GET", "/.headwarden/metrics", &[], 404, false),
    ("GET", "/.headwarden/logout/", &[], 404, false),
    // Api.
    ("GET", "/api/v1/user", &[], 401, false),
    ("GET", "/api/v1/user", &[HTML], 401, false),
    (
        "GET",
        "/api/v1/user",
        &["Authorization: Bearer x"],
        401,
        true,
    ),
    (
        "GET",
        "/api/v1/user",
        &["Authorization: Basic x"],
        401,
        false,
    ),
    (
        "GET",
        "/api/v1/user",
        &["Authorization: Bearer"],
        401,
        false,
    ),
    ("GET", "/api/v1", &[], 401, false),
    ("GET", "/api/v2/devices", &[], 401, false),
    (
        "GET",
        "/api/v2/devices",
        &["Authorization: Basic x"],
        401,
        true,
    ),
    ("POST", "/api/v2/oauth/token", &[EMPTY], 401, true),
    ("GET", "/api/v2/oauth/token", &[], 401, false),
    (
        "OPTIONS",
        "/api/v1/user",
        &["Origin: https://evil.example"],
        401,
        false,
    ),
    ("GET", "/api/v1/docs", &[], 401, false),
    (
        "GET",
        "/api/v1/docs",
        &["Authorization: Bearer x"],
        401,
        false,
    ),
    ("GET", "/api/v1/openapi.json", &[], 401, false),
    ("GET", "/api/v2/openapi-3.0.yaml", &[], 401, false),
    ("GET", "/swagger", &[], 401, false),
    ("GET", "/swagger/v1/openapiv2.json", &[HTML], 303, false),
    // Guarded.
    ("GET", "/", &[], 401, false),
    ("GET", "/", &[HTML], 303, false),
    ("GET", "/windows", &[HTML], 303, false),
    ("GET", "/apple", &[], 401, false),
    ("GET", "/apple/ios", &[], 401, false),
    ("GET", "/version", &[], 401, false),
    ("GET", "/robots.txt", &[], 401, false),
    (
        "GET",
        "/register/hskey-authreq-0123456789abcdef01234567",
        &[],
        401,
        false,
    ),
    (
        "GET",
        "/register/hskey-authreq-0123456789abcdef01234567",
        &[HTML],
        303,
        false,
    ),
    (
        "GET",
        "/auth/hskey-authreq-0123456789abcdef01234567",
        &[],
        401,
        false,
    ),
    (
        "POST",
        "/register/confirm/hskey-authreq-0123456789abcdef01234567",
        &[EMPTY],
        401,
        false,
    ),
    ("GET", "/oidc", &[], 401, false),
    ("GET", "/oidc/callback/", &[], 401, false),
    ("GET", "/admin", &["User-Agent: GoogleHC/1.0"], 401, false),
    (
        "GET",
        "/admin",
        &["User-Agent: kube-probe/1.30"],
        401,
        false,
    ),
    (
        "GET",
        "/admin",
        &["Authorization: Bearer hskey-api-standin"],
        401,
        false,
    ),
    ("GET", "/verify", &[], 401, false),
    // Closed.
    ("POST", "/verify", &[EMPTY], 404, false),
    ("GET", "/metrics", &[], 404, false),
    ("GET", "/metrics", &[HTML], 404, false),
    ("GET", "/metrics/x", &[], 404, false),
    ("GET", "/debug", &[], 404, false),
    ("GET", "/debug/pprof/heap", &[], 404, false),
    ("GET", "/oidc/register/mkey:00", &[], 404, false),
    ("TRACE", "/key", &[], 404, false),
    ("get", "/key", &[], 404, false),
    ("GETX", "/key", &[], 404, false),
    ("PRI", "/key", &[], 404, false),
];

const NEIGHBOURS: &[Row] = &[
    ("POST", "/ts2021", &[EMPTY], 401, false),
    ("POST", "/ts2021", &[CONTROL, HANDSHAKE, EMPTY], 401, false),
    (
        "POST",
        "/ts2021/",
        &[UPGRADE, CONTROL, HANDSHAKE],
        401,
        false,
    ),
    (
        "POST",
        "/ts2021x",
        &[UPGRADE, CONTROL, HANDSHAKE],
        401,
        false,
    ),
    (
        "POST",
        "/TS2021",
        &[UPGRADE, CONTROL, HANDSHAKE],
        401,
        false,
    ),
    (
        "POST",
        "/%74s2021",
        &[UPGRADE, CONTROL, HANDSHAKE],
        400,
        false,
    ),
    ("GET", "/ts2021", &[UPGRADE, CONTROL, HANDSHAKE], 401, false),
    ("PUT", "/ts2021", &[UPGRADE, CONTROL, HANDSHAKE], 401, false),
    (
        "POST",
        "/ts2021",
        &[UPGRADE, "Upgrade: h2c", HANDSHAKE],
        401,
        false,
    ),
    (
        "POST",
        "/ts2021",
        &[UPGRADE, "Upgrade: tailscale-control-protocol, h2c"],
        401,
        false,
    ),
    (
        "POST",
        "/ts2021",
        &[UPGRADE, CONTROL, WEBSOCKET, HANDSHAKE],
        401,
        false,
    ),
    (
        "POST",
        "/ts2021",
        &[UPGRADE, "Upgrade: Tailscale-Control-Protocol"],
        401,
        false,
    ),
    ("POST", "/admin", &[UPGRADE, CONTROL, HANDSHAKE], 401, false),
    ("GET", "/derp", &[], 401, false),
    ("GET", "/derp", &[UPGRADE, "Upgrade: derp"], 401, false),
    ("POST", "/derp", &[UPGRADE, DERP], 401, false),
    ("GET", "/derp/", &[UPGRADE, DERP], 401, false),
    ("GET", "/derp/admin", &[UPGRADE, DERP], 401, false),
    ("GET", "/derp/../admin", &[UPGRADE, DERP], 400, false),
    ("GET", "/admin", &[UPGRADE, "Upgrade: foo"], 401, false),
    (
        "GET",
        "/admin",
        &[UPGRADE, WEBSOCKET, "Sec-WebSocket-Key: k"],
        401,
        false,
    ),
    ("GET", "/admin?/ts2021", &[UPGRADE, WEBSOCKET], 401, false),
    (
        "GET",
        "/admin",
        &[UPGRADE, "Upgrade: h2c", "HTTP2-Settings: AA"],
        401,
        false,
    ),
    ("GET", "/key/../admin", &[], 400, false),
    ("GET", "/key/", &[], 401, false),
    ("GET", "/KEY", &[], 401, false),
    ("GET", "/keys", &[], 401, false),
    ("GET", "/key~", &[], 401, false),
    ("GET", "/key%20", &[], 401, false),
    ("GET", "/key;x=1", &[], 400, false),
    ("GET", "/key%2f..%2fadmin", &[], 400, false),
    ("GET", "/key%00", &[], 400, false),
    ("GET", "//key", &[], 400, false),
    ("GET", "/./key", &[], 400, false),
    ("GET", "/admin?x=/key", &[], 401, false),
    ("GET", "/admin?/key", &[], 401, false),
    ("GET", "/admin/%3F/key", &[], 401, false),
    ("GET", "/key?x=1/../../admin", &[], 400, true),
    ("HEAD", "/key", &[], 401, false),
    ("POST", "/key", &[EMPTY], 401, false),
    ("POST", "/health", &[EMPTY], 401, false),
    ("HEAD", "/health", &[], 401, false),
    ("GET", "/healthz", &[], 401, false),
    ("GET", "/health/", &[], 401, false),
    ("GET", "/health/../admin", &[], 400, false),
    ("GET", "/machine/ping-response?id=1", &[], 401, false),
    ("GET", "/machine/map", &[], 401, false),
    ("POST", "/bootstrap-dns", &[EMPTY], 401, false),
    ("GET", "/generate_204/", &[], 401, false),
    ("POST", "/generate_204", &[EMPTY], 401, false),
    ("GET", "/register/../admin", &[], 400, false),
    ("GET", "/register/a/b", &[], 404, false),
    ("GET", "/register/%2e%2e/admin", &[], 400, false),
    ("GET", "/apple/../../admin", &[], 400, false),
    (
        "GET",
        "/api/v1/../../admin",
        &["Authorization: Bearer x"],
        400,
        false,
    ),
    (
        "GET",
        "/api/v10/user",
        &["Authorization: Bearer x"],
        401,
        false,
    ),
    ("GET", "/api/v1x", &["Authorization: Bearer x"], 401, false),
    ("GET", "/api", &["Authorization: Bearer x"], 401, false),
    (
        "GET",
        "/API/v1/user",
        &["Authorization: Bearer x"],
        401,
        false,
    ),
    ("GET", "/metricsx", &[], 401, false),
    ("GET", "/Metrics", &[], 401, false),
    ("GET", "/.Headwarden/logout", &[], 401, false),
    ("GET", "/.headwardenx", &[], 401, false),
    ("GET", "/admin", &["X-Original-URL: /key"], 401, false),
    (
        "GET",
        "/admin",
        &["X-Rewrite-URL: /key", "X-Forwarded-Uri: /key"],
        401,
        false,
    ),
    (
        "GET",
        "/admin",
        &["X-Forwarded-Prefix: /key", "X-Original-URI: /key"],
        401,
        false,
    ),
    (
        "POST",
        "/admin",
        &["X-HTTP-Method-Override: OPTIONS", EMPTY],
        401,
        false,
    ),
    (
        "GET",
        "/admin",
        &["X-Forwarded-Method: OPTIONS"],
        401,
        false,
    ),
];

fn walk(tailnet: &Tailnet, name: &str, rows: &[Row]) {
    for (at, (method, target, lines, status, forwarded)) in rows.iter().enumerate() {
        let row = format!("{name}-{at}");
        let tag = format!("X-Row: {row}");
        let lines = [*lines, &[&tag]].concat();
        let mut raw = Raw::connect(tailnet.house.plan.public).unwrap();
        let answer = raw.exchange(&request(&tailnet.house, method, target, &lines));
        let answer = answer.unwrap_or_else(|error| panic!("{method} {target} {lines:?}: {error}"));
        assert_eq!(
            answer.status(),
            *status,
            "{method} {target} {lines:?}: {}",
            answer.text()
        );
        if *status == 101 {
            assert_eq!(raw.read_exact(FIRST_BYTES.len()).unwrap(), FIRST_BYTES);
        }
        let seen = seen(&tailnet.headscale, &row);
        assert_eq!(!seen.is_empty(), *forwarded, "{method} {target} {lines:?}");
        let keyed = lines.iter().any(|line| line.starts_with("Authorization: "));
        for seen in seen {
            let to_api = matches!(door_of(&seen), Door::Api(kind)
                if keyed || kind == door::ApiKind::V2Token);
            assert!(
                is_open(&seen) || to_api,
                "{method} {target} opened {}",
                seen.target
            );
            assert_eq!(seen.target, *target, "forwarded byte for byte");
        }
        assert_eq!(
            answer.header("access-control-allow-origin").is_some(),
            *forwarded && target.starts_with("/derp/")
        );
    }
}

#[test]
fn every_door_opens_to_exactly_those_it_is_for() {
    walk(&Tailnet::start("v0.29.2"), "doors", DOORS);
}

#[test]
fn neighbours_of_a_door_do_not_open_it() {
    walk(&Tailnet::start("v0.29.2"), "neighbours", NEIGHBOURS);
}

#[test]
fn a_session_opens_what_is_guarded_and_never_what_is_closed() {
    let tailnet = Tailnet::start("v0.29.2");
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    for (at, (method, target, lines, status, _)) in DOORS
        .iter()
        .chain(NEIGHBOURS)
        .enumerate()
        .filter(|(_, (.., status, forwarded))| *status >= 303 && !forwarded)
    {
        let row = format!("{at}");
        let tag = format!("X-Row: {row}");
        let lines = [*lines, &[&session, &tag]].concat();
        let answer = ask(&tailnet.house, method, target, &lines);
        let seen = seen(&tailnet.headscale, &row);
        let guarded = matches!(status, 401 | 303)
            && !target.starts_with("/.headwarden/")
            && !target.starts_with("/api/v1/")
            && !target.starts_with("/api/v2/")
            && *target != "/api/v1"
            // An SSH check is confirmed on a page of ours first.
            && !target.starts_with("/auth/")
            && !target.starts_with("/swagger");
        assert_eq!(
            !seen.is_empty(),
            guarded,
            "{method} {target} {lines:?}: {}",
            answer.text()
        );
        for seen in seen {
            assert!(matches!(door_of(&seen), Door::Guarded(_)), "{target}");
            assert_eq!(seen.target, *target);
            assert_eq!(seen.fields.value("cookie"), None);
        }
    }
}

#[test]
fn a_strange_host_is_misdirected_except_at_open_doors() {
    let tailnet = Tailnet::start("v0.29.2");
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let with_host = |host: &str, method: &str, target: &str, lines: &[&str]| {
        let fields = lines.join("\r\n");
        let end = if fields.is_empty() { "" } else { "\r\n" };
        let text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{end}\r\n");
        send(tailnet.house.plan.public, text.as_bytes()).status()
    };
    for (method, target, lines, status) in [
        ("GET", "/key?v=140", &[][..], 200),
        ("GET", "/generate_204", &[], 204),
        ("POST", "/ts2021", &[UPGRADE, CONTROL, HANDSHAKE], 101),
        ("GET", "/derp", &[UPGRADE, DERP], 101),
        ("GET", "/windows", &[&session], 421),
        ("GET", "/windows", &[&session, HTML], 421),
        ("GET", "/.headwarden/logout", &[], 421),
        (
            "POST",
            "/.headwarden/logout",
            &[SAME_ORIGIN, &session, EMPTY],
            421,
        ),
        ("GET", "/.headwarden/sign-in", &[HTML], 421),
        ("GET", "/oidc/callback?state=hw1.x&code=a", &[], 421),
        (
            "GET",
            "/api/v1/user",
            &["Authorization: Bearer hskey-api-standin"],
            421,
        ),
        ("POST", "/verify", &[EMPTY], 421),
    ] {
        for host in [
            "evil.example",
            "127.0.0.2",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "localhost",
            "[::1]",
        ] {
            assert_eq!(
                with_host(host, method, target, lines),
                status,
                "{host} {method} {target}"
            );
        }
    }
    for (host, status) in [
        ("127.0.0.1", 200),
        ("127.0.0.1:443", 200),
        ("127.0.0.1:1", 200),
        ("127.0.0.1:99999", 400),
        ("127.0.0.1:", 400),
        ("127.0.0.1, evil.example", 400),
        ("user@127.0.0.1", 400),
        ("127.0.0.1/x", 400),
        ("", 400),
    ] {
        assert_eq!(
            with_host(host, "GET", "/windows", &[&session]),
            status,
            "{host:?}"
        );
    }
    let old = format!("GET /windows HTTP/1.0\r\n{session}\r\n\r\n");
    assert_eq!(
        send(tailnet.house.plan.public, old.as_bytes()).status(),
        421
    );
}

#[test]
fn a_plaintext_listener_beside_https_serves_devices_and_sends_the_rest_away() {
    let headscale = HeadscaleStandin::start(Options::default());
    let mut provider = CertifiedProvider::start();
    let house = House::start(|plan| {
        let more = More {
            top: "trusted_proxies: [10.0.0.0/8]\n",
            ..More::default()
        };
        plan.config(&headscale.url(), provider.issuer(), &more)
            .replace(&plan.origin(), "https://headscale.company")
    });
    for (method, target, lines, status, location) in [
        (
            "GET",
            "/admin?a=1",
            &[][..],
            308,
            Some("https://headscale.company/admin?a=1"),
        ),
        ("HEAD", "/", &[], 308, Some("https://headscale.company/")),
        (
            "GET",
            "/",
            &["X-Forwarded-Proto: https"],
            308,
            Some("https://headscale.company/"),
        ),
        (
            "GET",
            "/key?v=140",
            &[],
            308,
            Some("https://headscale.company/key?v=140"),
        ),
        (
            "GET",
            "/.headwarden/sign-in",
            &[HTML],
            308,
            Some("https://headscale.company/.headwarden/sign-in"),
        ),
        ("GET", "/evil.example/%0a", &[], 400, None),
        ("GET", "//evil.example", &[], 400, None),
        ("GET", "http://evil.example/", &[], 400, None),
        ("POST", "/admin", &[EMPTY], 403, None),
        (
            "POST",
            "/.headwarden/logout",
            &[SAME_ORIGIN, EMPTY],
            403,
            None,
        ),
        ("POST", "/api/v2/oauth/token", &[EMPTY], 403, None),
        ("OPTIONS", "/", &[], 403, None),
        ("GET", "/generate_204", &[], 204, None),
        ("POST", "/ts2021", &[UPGRADE, CONTROL, HANDSHAKE], 101, None),
        ("GET", "/derp", &[UPGRADE, DERP], 101, None),
    ] {
        let answer = ask(&house, method, target, lines);
        assert_eq!(
            (answer.status(), answer.header("location")),
            (status, location),
            "{method} {target}"
        );
        assert_eq!(answer.header("set-cookie"), None);
    }
    let asked = provider.requests();
    assert!(
        asked.iter().all(|asked| !asked.contains("authorize")),
        "{asked:?}"
    );
    let _both = headscale.tunnel(1);
    assert_eq!(headscale.tunnels(), 2);
}

#[test]
fn the_captive_portal_check_gets_its_challenge_back_if_it_is_one() {
    let tailnet = Tailnet::start("v0.29.2");
    let long = format!("X-Tailscale-Challenge: {}", "a".repeat(65));
    for (lines, echoed) in [
        (
            &["X-Tailscale-Challenge: ts_headscale.company"][..],
            Some("response ts_headscale.company"),
        ),
        (&[], None),
        (&["X-Tailscale-Challenge: a b"], None),
        (&["X-Tailscale-Challenge: <script>"], None),
        (
            &["X-Tailscale-Challenge: a", "X-Tailscale-Challenge: b"],
            None,
        ),
        (&[&long], None),
    ] {
        let answer = ask(&tailnet.house, "GET", "/generate_204", lines);
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.header("x-tailscale-response"), echoed, "{lines:?}");
    }
}

#[test]
fn relays_are_verified_for_the_networks_that_may_ask() {
    let tailnet = Tailnet::start_with("v0.29.2", |_| More {
        headscale: "  verify_from: [127.0.0.0/8, 2001:db8::/32]\n",
        top: "trusted_proxies: [127.0.0.1/32]\n",
        ..More::default()
    });
    let key = "nodekey:00";
    tailnet.headscale.configure(|options| {
        options.members.insert(key.to_owned());
    });
    let body = format!("{{\"NodePublic\":\"{key}\"}}");
    let length = format!("Content-Length: {}", body.len());
    for (lines, status) in [
        (&[][..], 200),
        (&["X-Forwarded-For: 127.0.0.9"], 200),
        (&["X-Forwarded-For: 2001:db8::7"], 200),
        (&["X-Forwarded-For: 127.0.0.9, 203.0.113.1"], 404),
        (&["X-Forwarded-For: 203.0.113.1"], 404),
        (&["X-Forwarded-For: 2001:db9::7"], 404),
    ] {
        let mut bytes = request(
            &tailnet.house,
            "POST",
            "/verify",
            &[lines, &[&length]].concat(),
        );
        bytes.extend_from_slice(body.as_bytes());
        let answer = send(tailnet.house.plan.public, &bytes);
        assert_eq!(answer.status(), status, "{lines:?}");
        if status == 200 {
            assert_eq!(answer.json()["Allow"], true);
        }
    }
}

/// A head for an open door with these fields behind `Host`.
fn open_head(host: &str, rest: &str) -> Vec<u8> {
    format!("GET /key?v=140 HTTP/1.1\r\n{host}\r\n{rest}\r\n\r\n").into_bytes()
}

/// Heads that two parsers could read differently, or that are too large, and their status.
fn malformed_heads(host: &str) -> Vec<(Vec<u8>, u16)> {
    let get = |rest: &str| open_head(host, rest);
    let fields: String = (0..120).fold(String::new(), |all, n| format!("{all}X-{n}: 1\r\n"));
    let whole = |text: &str| text.replace("HOST", host).into_bytes();
    vec![
        (get("Content-Length: 1\r\nContent-Length: 1"), 400),
        (get("Content-Length: 1\r\nTransfer-Encoding: chunked"), 400),
        (get("Transfer-Encoding: xchunked"), 400),
        (get("Transfer-Encoding: chunked, identity"), 400),
        (
            get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            400,
        ),
        (get("Content-Length: +5"), 400),
        (get("Content-Length: 0x5"), 400),
        (get("Content-Length: 5, 5"), 400),
        (get("Content-Length: -1"), 400),
        (get("Remote-User : a"), 400),
        (get("X-A: a\r\n b"), 400),
        (get(" X-A: a"), 400),
        (get(": a"), 400),
        (get("X-A: a\0b"), 400),
        (get("X-A: a\rb"), 400),
        (get("X-A: a\nRemote-User: b"), 400),
        (get("X-\u{80}: a"), 400),
        (get("Host: evil.example"), 400),
        (whole("GET /key HTTP/1.1\nHOST\n\n\r\n\r\n"), 400),
        (b"GET /key HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"GET /key\r\n\r\n".to_vec(), 400),
        (whole("GET  /key HTTP/1.1\r\nHOST\r\n\r\n"), 400),
        (whole("GET /k ey HTTP/1.1\r\nHOST\r\n\r\n"), 400),
        (whole("GET /key HTTP/1.1 \r\nHOST\r\n\r\n"), 400),
        (whole("GET /key HTTP/2.0\r\nHOST\r\n\r\n"), 400),
        (whole("GET * HTTP/1.1\r\nHOST\r\n\r\n"), 400),
        (
            whole("CONNECT evil.example:443 HTTP/1.1\r\nHOST\r\n\r\n"),
            400,
        ),
        (
            whole("GET http://127.0.0.1/key HTTP/1.1\r\nHOST\r\n\r\n"),
            400,
        ),
        (whole("GET /key#a HTTP/1.1\r\nHOST\r\n\r\n"), 400),
        (
            [
                b"GET /\xff HTTP/1.1\r\n".as_slice(),
                host.as_bytes(),
                b"\r\n\r\n",
            ]
            .concat(),
            400,
        ),
        (
            format!("GET /key HTTP/1.0\r\n{host}\r\nTransfer-Encoding: chunked\r\n\r\n")
                .into_bytes(),
            400,
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            400,
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400),
        (
            format!("GET /{} HTTP/1.1\r\n{host}\r\n\r\n", "a".repeat(9000)).into_bytes(),
            414,
        ),
        (get(&format!("X-A: {}", "a".repeat(40_000))), 431),
        (get(fields.trim_end()), 431),
    ]
}

#[test]
fn a_head_that_could_be_read_in_two_ways_ends_the_connection() {
    let tailnet = Tailnet::start("v0.29.2");
    let host = format!("Host: {}", tailnet.house.plan.public);
    let before = tailnet
        .headscale
        .requests()
        .iter()
        .filter(|s| s.path() == "/key")
        .count();
    for (bytes, status) in malformed_heads(&host) {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        let mut raw = Raw::connect(tailnet.house.plan.public).unwrap();
        // What comes behind is never taken for a request.
        let behind = [bytes, open_head(&host, "X-Row: behind")].concat();
        let answer = raw
            .exchange(&behind)
            .unwrap_or_else(|error| panic!("{error}: {shown:?}"));
        assert_eq!(answer.status(), status, "{shown:?}: {}", answer.text());
        assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{shown:?}");
    }
    let after = tailnet
        .headscale
        .requests()
        .iter()
        .filter(|s| s.path() == "/key")
        .count();
    assert_eq!(after, before, "nothing of it reached the upstream");
    let refused = refused(&tailnet);
    let of = |status: u16| {
        let rows = malformed_heads(&host);
        rows.iter().filter(|(_, wanted)| *wanted == status).count()
    };
    assert_eq!(refused["large"], of(431), "{refused:?}");
    assert_eq!(refused["target_too_long"], of(414), "{refused:?}");
    let bad = refused["target"] + refused["malformed"] + refused["body"];
    assert_eq!((bad, refused["slow"]), (of(400), 0), "{refused:?}");
}

/// Requests that were counted as refused before they had a door, by reason.
fn refused(tailnet: &Tailnet) -> BTreeMap<String, usize> {
    let text = probe(&tailnet.house.plan, "GET", "/metrics").text();
    let series = text.lines().filter_map(|line| {
        line.strip_prefix("headwarden_requests_refused_total{reason=\"")?
            .split_once("\"} ")
    });
    series
        .map(|(reason, count)| (reason.to_owned(), count.parse().unwrap()))
        .collect()
}

#[test]
fn a_head_that_trickles_is_given_up_and_a_silent_connection_just_ends() {
    let mut tailnet = Tailnet::start_with("v0.29.2", |_| More {
        top: "limits: { header_timeout: 1s }\n",
        ..More::default()
    });
    let public = tailnet.house.plan.public;
    let mut slow = tailnet.house.while_it_stands_still(|| {
        let mut slow = Raw::connect(public).unwrap();
        slow.send(b"GET /key HTTP/1.1\r\nHost: ").unwrap();
        slow
    });
    let mut silent = Raw::connect(public).unwrap();
    let answer = slow.read_response("GET").unwrap();
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (408, Some("close"))
    );
    assert_eq!(silent.read_to_end().unwrap(), b"");
    tailnet
        .house
        .wait_for_log("the head did not arrive in time");
    assert_eq!(refused(&tailnet)["slow"], 1);
}

#[test]
fn a_second_request_on_a_connection_is_judged_by_itself() {
    let tailnet = Tailnet::start("v0.29.2");
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let with = request(&tailnet.house, "GET", "/windows", &[&session]);
    let without = request(&tailnet.house, "GET", "/windows", &["X-Row: without"]);
    let mut raw = Raw::connect(tailnet.house.plan.public).unwrap();
    assert_eq!(raw.exchange(&with).unwrap().status(), 200);
    assert_eq!(raw.exchange(&without).unwrap().status(), 401);
    assert_eq!(raw.exchange(&with).unwrap().status(), 200);
    // Pipelined: served one by one, or not at all, and never with the first one's rights.
    raw.send(&[with.as_slice(), &without, &with].concat())
        .unwrap();
    assert_eq!(raw.read_response("GET").unwrap().status(), 200);
    if let Ok(second) = raw.read_response("GET") {
        assert_eq!(second.status(), 401);
    }
    assert!(seen(&tailnet.headscale, "without").is_empty());
}

#[test]
fn bytes_sent_behind_an_upgrade_are_never_taken_for_a_request() {
    let tailnet = Tailnet::start("v0.29.2");
    let behind = request(
        &tailnet.house,
        "GET",
        &format!("/register/{AUTH_ID}"),
        &["X-Row: behind"],
    );
    for (method, target, lines) in [
        ("GET", "/admin", &[UPGRADE, WEBSOCKET][..]),
        ("GET", "/admin", &[UPGRADE, "Upgrade: foo"]),
        ("POST", "/admin", &[UPGRADE, CONTROL]),
        // An upgrade that the upstream refuses.
        ("POST", "/ts2021", &[UPGRADE, CONTROL]),
        ("GET", "/ts2021", &[UPGRADE, WEBSOCKET]),
    ] {
        let mut raw = Raw::connect(tailnet.house.plan.public).unwrap();
        let first = request(&tailnet.house, method, target, lines);
        raw.send(&[first, behind.clone()].concat()).unwrap();
        let answer = raw.read_response(method).unwrap();
        assert!(
            matches!(answer.status(), 400 | 401 | 405),
            "{method} {target}: {}",
            answer.status()
        );
        // Judged by itself, or not at all.
        if let Ok(second) = raw.read_response("GET") {
            assert_eq!(second.status(), 401, "{method} {target}");
        }
        assert!(
            seen(&tailnet.headscale, "behind").is_empty(),
            "{method} {target}"
        );
    }
}

#[test]
fn a_page_that_the_operator_opened_needs_no_session_and_its_neighbours_do() {
    let tailnet = Tailnet::start_with("v0.29.2", |_| More {
        top: "open: [GET /windows]\n",
        ..More::default()
    });
    for (method, target, status) in [
        ("GET", "/windows", 200),
        ("GET", "/windows?x=1", 200),
        ("POST", "/windows", 401),
        ("GET", "/windows/", 401),
        ("GET", "/Windows", 401),
        ("GET", "/apple", 401),
    ] {
        let answer = ask(&tailnet.house, method, target, &[]);
        assert_eq!(answer.status(), status, "{method} {target}");
    }
}

#[test]
fn an_access_rule_holds_on_device_links_too() {
    let tailnet = Tailnet::start_with("v0.29.2", |_| More {
        top: "access:\n  - { path: \"/register/**\", groups: [headscale-admins] }\n",
        ..More::default()
    });
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let link = format!("/register/{AUTH_ID}");
    let answer = ask(&tailnet.house, "GET", &link, &[&session]);
    assert_eq!(answer.status(), 403);
    let paths = tailnet.headscale.requests();
    assert!(
        paths
            .iter()
            .all(|seen| !seen.path().starts_with("/register")),
        "it was forwarded"
    );
    assert_eq!(
        ask(&tailnet.house, "GET", "/windows", &[&session]).status(),
        200
    );
}
