//! Group M: nothing is let in for what it calls itself, and nothing goes on after we have answered.

use headwarden::domain::door::{Door, Guarded};

use crate::stage::{HTML, SAME_ORIGIN, send};
use crate::support::raw::Raw;
use crate::targets::scene::{Scene, With, door_of, judge};

/// Who is waved through elsewhere.
const KNOWN_AGENTS: [&str; 20] = [
    "GoogleHC/1.0",
    "kube-probe/1.30",
    "ELB-HealthChecker/2.0",
    "Amazon-Route53-Health-Check-Service",
    "Amazon CloudFront",
    "Envoy/HC",
    "HAProxy/2.9",
    "Consul Health Check",
    "Prometheus/2.53.0",
    "Blackbox Exporter/0.25.0",
    "UptimeRobot/2.0",
    "Better Uptime Bot",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
    "bingbot/2.0",
    "Slackbot-LinkExpanding 1.0",
    "facebookexternalhit/1.1",
    "Go-http-client/1.1",
    "tailscale/1.80",
    "curl/8.5.0",
    "",
];

#[test]
fn no_user_agent_is_a_way_in() {
    let scene = Scene::start();
    for agent in KNOWN_AGENTS {
        let agent = format!("User-Agent: {agent}");
        for (target, status) in [
            ("/ui/private", 401),
            ("/windows", 401),
            ("/", 401),
            ("/healthz", 401),
            ("/ping", 401),
            ("/ready", 401),
            ("/api/v1/user", 401),
            ("/metrics", 404),
            ("/.headwarden/nothing", 404),
            ("/oidc/callback", 400),
            ("/.headwarden/authorize", 400),
        ] {
            for lines in [
                vec!["X-Row: x", &agent],
                vec![
                    "X-Row: x",
                    &agent,
                    "X-Health-Check: 1",
                    "X-Kubernetes-Probe: true",
                ],
                vec![
                    "X-Row: x",
                    &agent,
                    "Accept: text/plain",
                    "Connection: close",
                ],
            ] {
                let answer = scene.ask(format!("GET {target} HTTP/1.1").as_bytes(), &lines);
                assert_eq!(answer.status(), status, "{target} {agent:?}");
            }
        }
    }
    assert!(scene.seen().is_empty());
}

#[test]
fn credentials_for_somebody_else_are_none_here() {
    let scene = Scene::start();
    for line in [
        "Authorization: Basic",
        "Authorization: Basic ",
        "Authorization: Basic Og==",
        "Authorization: Basic YWRtaW46YWRtaW4=",
        "Authorization: Basic !!!",
        "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.",
        "Authorization: Bearer hskey-api-standin",
        "Authorization: Negotiate YII=",
        "Authorization: ",
        "Proxy-Authorization: Basic YWRtaW46YWRtaW4=",
        "X-Api-Key: hskey-api-standin",
        "Cookie: headwarden=admin",
        "Cookie: authentik_session=x; authelia_session=x; _oauth2_proxy=x",
        "X-Forwarded-User: admin",
        "Remote-User: ada",
        "X-authentik-username: akadmin",
        "X-Auth-Request-Redirect: /ui/private",
        "X-Requested-With: XMLHttpRequest",
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Site: none",
        "Origin: null",
    ] {
        for target in [
            "/ui/private",
            "/ui/logo.pngx",
            "/windows",
            "/api/v1/docs",
            "/swagger",
        ] {
            let answer = scene.ask(
                format!("GET {target} HTTP/1.1").as_bytes(),
                &[line, "X-Row: x"],
            );
            assert_eq!(answer.status(), 401, "{target} {line}");
        }
        // What is open stays open with it, and hears nothing of it.
        let answer = scene.ask(b"GET /public/page HTTP/1.1", &[line, "X-Row: open"]);
        assert_eq!(answer.status(), 404, "{line}");
    }
    let seen = scene.seen();
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["open"]);
    for seen in &seen["open"] {
        judge(seen, With::Nothing, "open");
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "remote-user",
        ] {
            assert_eq!(seen.fields.value(name), None, "{name}");
        }
    }
}

/// Targets that mean something to this house's own endpoints, to its private listeners, or to other
/// proxies; and what they are here to somebody without a session.
const INTERNAL: &[(&str, u16)] = &[
    ("/.headwarden", 404),
    ("/.headwarden/", 404),
    ("/.headwarden/x", 404),
    ("/.headwarden/callback", 404),
    ("/.headwarden/authorize/", 404),
    ("/.headwarden/authorize/x", 404),
    ("/.headwarden/Authorize", 404),
    ("/.headwarden/logout/", 404),
    ("/.headwarden/logout.", 404),
    ("/.headwarden/logout%20", 404),
    ("/.headwarden/logout%00", 400),
    ("/.headwarden/logout;x", 400),
    ("/.headwarden/logout%3Fx", 404),
    ("/.headwarden/token", 404),
    ("/.headwarden/userinfo", 404),
    ("/.headwarden/jwks", 404),
    ("/.headwarden/healthz", 404),
    ("/.headwarden/../ui/private", 400),
    ("/.headwarden/..%2fui/private", 400),
    ("/.headwarden/%2e%2e/ui/private", 400),
    ("/.headwarden//logout", 400),
    ("//.headwarden/logout", 400),
    ("/./.headwarden/logout", 400),
    ("/%2eheadwarden/logout", 400),
    ("/.headwarden%2flogout", 400),
    ("/.Headwarden/logout", 401),
    ("/.HEADWARDEN/LOGOUT", 401),
    ("/.headwardenx", 401),
    ("/.headwarden%20/logout", 401),
    ("/.headwarde", 401),
    ("/headwarden/logout", 401),
    ("/ui/.headwarden/logout", 401),
    ("/oidc/callback", 400),
    ("/oidc/callback/", 401),
    ("/oidc/callback.", 401),
    ("/oidc/callback%20", 401),
    ("/oidc/callback%3Fstate=hw1.x", 401),
    ("/oidc/callback%00", 400),
    ("/oidc/callback;x", 400),
    ("/oidc/callbackx", 401),
    ("/oidc/Callback", 401),
    ("/OIDC/callback", 401),
    ("/oidc", 401),
    ("/oidc/", 401),
    ("/oidc/../ui/private", 400),
    ("/oidc//callback", 400),
    ("/oidc%2fcallback", 400),
    ("/oauth2/callback", 401),
    ("/oauth2/auth", 401),
    ("/oauth2/sign_in", 401),
    ("/oauth2/../ui/private", 400),
    ("/oauth2", 401),
    ("/oauth2x", 401),
    ("/OAuth2/callback", 401),
    ("/outpost.goauthentik.io/auth/nginx", 401),
    ("/outpost.goauthentik.io/ping", 401),
    (
        "/outpost.goauthentik.io/callback?X-authentik-auth-callback=true",
        401,
    ),
    ("/api/verify", 401),
    ("/api/authz/forward-auth", 401),
    ("/_auth", 401),
    ("/ping", 401),
    ("/health/live", 401),
    ("/healthz", 401),
    ("/readyz", 401),
    ("/livez", 401),
    ("/status", 401),
    ("/server-status", 401),
    ("/nginx_status", 401),
    ("/actuator/health", 401),
    ("/token", 401),
    ("/userinfo", 401),
    ("/jwks", 401),
    ("/keys", 401),
    ("/.well-known/openid-configuration", 401),
    ("/.well-known/oauth-authorization-server", 401),
    ("/.well-known/acme-challenge/x", 401),
    (
        "/application/o/headscale/.well-known/openid-configuration",
        401,
    ),
    ("/ui/private?X-authentik-auth-callback=true", 401),
    ("/ui/private?X-authentik-logout=true", 401),
    ("/ui/private?X-Original-URI=/oidc/callback", 401),
    ("/ui/private?state=hw1.x&code=x", 401),
    ("/ui/private?rd=/key", 401),
    ("/ui/private?skip_auth=1&public=1&debug=1", 401),
];

#[test]
fn nothing_but_its_exact_path_is_an_endpoint_of_ours() {
    let scene = Scene::start();
    let fields = [
        "X-Original-URI: /oidc/callback?state=hw1.x&code=x",
        "X-Original-URL: /.headwarden/signed-out",
        "X-Rewrite-URL: /.headwarden/signed-out",
        "X-Forwarded-Uri: /outpost.goauthentik.io/ping",
    ];
    for (at, (target, status)) in INTERNAL.iter().enumerate() {
        let line = format!("GET {target} HTTP/1.1");
        for fields in [&[][..], &fields] {
            let answer = scene.ask(line.as_bytes(), &[fields, &["X-Row: nobody"]].concat());
            assert_eq!(
                answer.status(),
                *status,
                "{target} {fields:?}: {}",
                answer.text()
            );
            // Nothing of the private listeners' is said here.
            let text = answer.text();
            for word in [
                "jwks_uri",
                "\"keys\"",
                "access_token",
                "headwarden_requests",
                "\"checks\"",
            ] {
                assert!(!text.contains(word), "{target}: {text}");
            }
        }
        // With a session it is a page like any other, or nothing.
        let row = format!("X-Row: {at}");
        let answer = scene.ask(line.as_bytes(), &[&row, &scene.member]);
        assert_eq!(answer.header("location"), None, "{target}");
        assert!(
            matches!(answer.status(), 400..500),
            "{target}: {}",
            answer.status()
        );
    }
    let seen = scene.seen();
    assert!(!seen.contains_key("nobody"));
    for (at, (target, status)) in INTERNAL.iter().enumerate() {
        let seen = seen.get(&at.to_string());
        assert_eq!(seen.is_some(), *status == 401, "{target}");
        if let Some(seen) = seen {
            assert_eq!(seen[0].target, *target);
            assert_eq!(door_of(&seen[0]), Door::Guarded(Guarded::Page), "{target}");
        }
    }
}

#[test]
fn a_preflight_is_a_request_like_any_other_and_gets_no_permission() {
    let scene = Scene::start();
    let preflight = [
        "Origin: https://evil.example",
        "Access-Control-Request-Method: DELETE",
        "Access-Control-Request-Headers: authorization, remote-user",
        "Access-Control-Request-Private-Network: true",
    ];
    let identity = [
        "Remote-User: ada",
        "X-Forwarded-User: ada",
        "X_Auth_User: ada",
    ];
    let shapes: [Vec<&str>; 4] = [
        vec![],
        vec!["Origin: https://evil.example"],
        preflight.to_vec(),
        [&preflight[..], &identity].concat(),
    ];
    // Target, status without a session, and with one.
    for (target, status, with_session) in [
        ("/ui/private", 401, 404),
        ("/ui/admin/x", 401, 403),
        ("/windows", 401, 405),
        ("/public/page", 401, 404),
        ("/key", 401, 405),
        ("/health", 401, 405),
        ("/derp", 401, 426),
        ("/derp/probe", 401, 404),
        ("/api/v1/user", 401, 401),
        ("/api/v2/oauth/token", 401, 401),
        ("/api/v1/docs", 401, 403),
        ("/register/hskey-authreq-0123456789abcdef01234567", 401, 405),
        (
            "/register/confirm/hskey-authreq-0123456789abcdef01234567",
            401,
            405,
        ),
        ("/oidc/callback", 405, 405),
        ("/.headwarden/logout", 405, 405),
        ("/.headwarden/sign-in", 405, 405),
        ("/.headwarden/step-up", 405, 405),
        ("/.headwarden/authorize", 405, 405),
        ("/.headwarden/confirm-ssh", 405, 405),
        ("/metrics", 404, 404),
        ("*", 400, 400),
    ] {
        for lines in &shapes {
            for (who, session) in [("nobody", None), ("member", Some(scene.member.as_str()))] {
                let row = format!("X-Row: {who}");
                let mut lines = lines.clone();
                lines.push(&row);
                lines.extend(session);
                let answer = scene.ask(format!("OPTIONS {target} HTTP/1.1").as_bytes(), &lines);
                let expected = if session.is_some() {
                    with_session
                } else {
                    status
                };
                assert_eq!(
                    answer.status(),
                    expected,
                    "{target} {lines:?}: {}",
                    answer.text()
                );
                let fields = &answer.head.fields.0;
                let permission = |(name, _): &(String, String)| {
                    name.to_ascii_lowercase().starts_with("access-control-")
                };
                assert!(
                    !fields.iter().any(permission),
                    "{target} {lines:?}: {fields:?}"
                );
            }
        }
    }
    let seen = scene.seen();
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["member"]);
    for seen in &seen["member"] {
        judge(seen, With::Session, "member");
        assert_ne!(seen.fields.value("remote-user"), Some("ada"));
        assert_eq!(seen.fields.value("x-forwarded-user"), None);
    }
}

/// Requests that we answer ourselves: method, target, lines, status.
fn answered_here(scene: &Scene) -> Vec<(&'static str, &'static str, Vec<&str>, u16)> {
    let member = scene.member.as_str();
    vec![
        ("POST", "/ui/private", vec![], 401),
        ("PUT", "/windows", vec![HTML], 401),
        ("POST", "/api/v1/user", vec![], 401),
        ("POST", "/metrics", vec![], 404),
        ("POST", "/debug/x", vec![member], 404),
        ("POST", "/ui/admin/x", vec![member], 403),
        (
            "POST",
            "/register/hskey-authreq-0123456789abcdef01234567",
            vec![member],
            405,
        ),
        ("POST", "/oidc/callback", vec![], 405),
        ("POST", "/.headwarden/nothing", vec![], 404),
        ("POST", "/.headwarden/sign-in", vec![], 405),
        (
            "POST",
            "/.headwarden/logout",
            vec!["Sec-Fetch-Site: cross-site"],
            403,
        ),
        ("POST", "/.headwarden/confirm-ssh", vec![], 403),
        ("GET", "/windows", vec![HTML], 303),
        ("GET", "/.headwarden/signed-out", vec![], 200),
        ("GET", "/generate_204", vec![], 204),
        ("TRACE", "/key", vec![], 404),
    ]
}

#[test]
fn after_an_answer_of_ours_nothing_goes_on_and_a_body_is_no_request() {
    let scene = Scene::start();
    let public = scene.stage.house.plan.public;
    let smuggled =
        format!("GET /public/page HTTP/1.1\r\nHost: {public}\r\nX-Row: smuggled\r\n\r\n");
    let chunk = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    for (method, target, lines, status) in answered_here(&scene) {
        for (framing, body) in [
            (
                format!("Content-Length: {}", smuggled.len()),
                smuggled.as_str(),
            ),
            ("Transfer-Encoding: chunked".to_owned(), chunk.as_str()),
            // Announced, and never sent whole.
            ("Content-Length: 100000".to_owned(), smuggled.as_str()),
        ] {
            let mut head = format!(
                "{method} {target} HTTP/1.1\r\nHost: {public}\r\nX-Row: first\r\n{framing}\r\n"
            );
            for line in &lines {
                head.push_str(line);
                head.push_str("\r\n");
            }
            let mut raw = Raw::connect(public).unwrap();
            raw.send(format!("{head}\r\n{body}").as_bytes()).unwrap();
            // A form of ours that never comes whole is waited for.
            let is_form = method == "POST"
                && (target.starts_with("/.headwarden/") || target == "/oidc/callback")
                && framing.ends_with("100000");
            if is_form {
                raw.finish_sending().unwrap();
            }
            let what = format!("{method} {target} {framing}");
            match raw.read_response(method) {
                Ok(answer) => assert!(
                    answer.status() == status || (is_form && answer.status() == 400),
                    "{what}: {}",
                    answer.status()
                ),
                Err(error) => assert!(is_form, "{what}: {error}"),
            }
            // Whatever comes behind is not an answer to what was in the body.
            drop(raw.finish_sending());
            let rest = raw.read_to_end().unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&rest), "", "{what}");
        }
    }
    let seen = scene.seen();
    assert!(seen.is_empty(), "{:?}", seen.keys());
}

#[test]
fn the_operators_listener_is_not_reached_by_a_host_or_a_path() {
    let scene = Scene::start();
    let plan = &scene.stage.house.plan;
    let (admin, issuer) = (plan.admin.to_string(), plan.issuer.to_string());
    for host in [
        admin.as_str(),
        issuer.as_str(),
        "127.0.0.1",
        "localhost",
        "[::1]",
    ] {
        let line = format!("Host: {host}");
        for target in [
            "/metrics",
            "/healthz",
            "/readyz",
            "/livez",
            "/sessions",
            "/debug/pprof",
            "/token",
            "/jwks",
            "/userinfo",
            "/.well-known/openid-configuration",
        ] {
            for method in ["GET", "POST", "HEAD"] {
                let lines = [
                    line.as_str(),
                    &scene.admin,
                    "Content-Length: 0",
                    "X-Forwarded-Host: localhost",
                ];
                let answer =
                    scene.ask_any(format!("{method} {target} HTTP/1.1").as_bytes(), &lines);
                assert!(
                    matches!(answer.status(), 404 | 405 | 421),
                    "{method} {target} at {host}: {}",
                    answer.status()
                );
                let text = answer.text();
                for word in [
                    "headwarden_",
                    "\"checks\"",
                    "jwks_uri",
                    "\"keys\"",
                    "secret",
                ] {
                    assert!(!text.contains(word), "{method} {target} at {host}: {text}");
                }
            }
            let absolute = format!("GET http://{host}{target} HTTP/1.1");
            assert_eq!(
                scene.ask_any(absolute.as_bytes(), &[&line]).status(),
                400,
                "{absolute}"
            );
        }
    }
    // And the other way round: what is public is not on the private ones.
    for address in [plan.admin, plan.issuer] {
        for target in [
            "/windows",
            "/key?v=140",
            "/ui/private",
            "/public/page",
            "/.headwarden/logout",
            "/api/v1/user",
        ] {
            let head = format!(
                "GET {target} HTTP/1.1\r\nHost: {address}\r\nX-Row: private\r\n{}\r\n\r\n",
                scene.admin
            );
            let answer = send(address, head.as_bytes());
            assert_eq!(
                answer.status(),
                404,
                "{target} at {address}: {}",
                answer.text()
            );
        }
    }
    assert!(!scene.seen().contains_key("private"));
}

#[test]
fn an_upgrade_skips_no_question() {
    let scene = Scene::start();
    for (at, token) in [
        "websocket",
        "WebSocket",
        "h2c",
        "DERP",
        "tailscale-control-protocol",
        "TLS/1.0",
        "HTTP/2.0",
        "foo",
        "",
        "websocket, h2c",
        "h2c, websocket",
    ]
    .iter()
    .enumerate()
    {
        let upgrade = format!("Upgrade: {token}");
        for connection in [
            "Connection: Upgrade",
            "Connection: keep-alive, Upgrade",
            "Connection: Upgrade, HTTP2-Settings",
        ] {
            for (method, target) in [
                ("GET", "/ui/private"),
                ("POST", "/ui/private"),
                ("GET", "/public/page"),
                ("GET", "/windows"),
                ("GET", "/api/v1/user"),
                ("GET", "/oidc/callback"),
                ("GET", "/.headwarden/authorize"),
            ] {
                let lines = [
                    connection,
                    &upgrade,
                    "HTTP2-Settings: AAMAAABkAAQAAP__",
                    "X-Row: nobody",
                ];
                let answer = scene.ask(format!("{method} {target} HTTP/1.1").as_bytes(), &lines);
                let one = !token.is_empty() && !token.contains(',');
                // What was opened for reading was not opened for upgrades; what is none is a request.
                let opened = target == "/public/page" && !one;
                let expected = if opened { &[404][..] } else { &[400, 401] };
                assert!(
                    expected.contains(&answer.status()),
                    "{method} {target} {token}: {}",
                    answer.status()
                );
            }
            let row = format!("X-Row: {at}");
            let lines = [
                connection,
                &upgrade,
                "HTTP2-Settings: AA",
                &row,
                &scene.member,
            ];
            let answer = scene.ask(b"GET /ui/private HTTP/1.1", &lines);
            assert_ne!(answer.status(), 101, "{token}");
        }
        let seen = &scene.seen()[&at.to_string()];
        let websocket = token.eq_ignore_ascii_case("websocket");
        for seen in seen {
            assert_eq!(
                seen.fields.value("upgrade"),
                websocket.then_some("websocket"),
                "{token}"
            );
            assert_eq!(
                seen.fields.value("connection").is_some(),
                websocket,
                "{token}"
            );
            assert_eq!(seen.fields.value("http2-settings"), None, "{token}");
        }
    }
    for seen in scene.seen().remove("nobody").unwrap_or_default() {
        judge(&seen, With::Nothing, "nobody");
        assert_eq!(seen.fields.value("upgrade"), None);
    }
}

#[test]
fn conditions_and_ranges_change_nothing_about_a_redirect_or_a_refusal() {
    let scene = Scene::start();
    for lines in [
        vec!["Range: bytes=0-10"],
        vec!["Range: bytes=-1", "If-Range: \"x\""],
        vec!["Range: bytes=0-0,5-6,10-"],
        vec!["If-None-Match: *"],
        vec!["If-None-Match: \"x\", W/\"y\""],
        vec!["If-Match: *"],
        vec!["If-Match: \"x\""],
        vec!["If-Modified-Since: Wed, 25 Nov 2099 00:00:00 GMT"],
        vec!["If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"],
        vec!["Cache-Control: only-if-cached"],
        vec!["Cache-Control: no-cache", "Pragma: no-cache"],
        vec!["Accept-Encoding: gzip, br, zstd"],
        vec!["TE: trailers", "Connection: TE"],
        vec!["Expect: 100-continue"],
        vec!["Expect: 200-ok"],
        vec!["Expect: 100-continue", "Content-Length: 5"],
    ] {
        for (target, html, status) in [
            ("/ui/private", true, 303),
            ("/ui/private", false, 401),
            ("/metrics", true, 404),
            ("/.headwarden/signed-out", true, 200),
        ] {
            let mut lines = lines.clone();
            lines.push("X-Row: x");
            lines.extend(html.then_some(HTML));
            let answer = scene.ask(format!("GET {target} HTTP/1.1").as_bytes(), &lines);
            assert_eq!(
                answer.status(),
                status,
                "{target} {lines:?}: {}",
                answer.text()
            );
            for name in ["content-range", "etag", "accept-ranges", "content-encoding"] {
                assert_eq!(answer.header(name), None, "{target} {lines:?}: {name}");
            }
            assert_eq!(
                answer.header("cache-control"),
                Some("no-store"),
                "{target} {lines:?}"
            );
            assert_eq!(
                answer.header("location").is_some(),
                status == 303,
                "{target} {lines:?}"
            );
        }
    }
    assert!(scene.seen().is_empty());
}

/// One request of a conversation: its lines without `Host`, who it comes from, and its answer.
#[derive(Clone, Copy)]
struct Said<'a> {
    line: &'a str,
    lines: &'a [&'a str],
    session: Option<&'a str>,
    status: u16,
}

impl Said<'_> {
    fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    fn bytes(&self, scene: &Scene, row: &str) -> Vec<u8> {
        let host = format!("Host: {}", scene.stage.house.plan.public);
        let row = format!("X-Row: {row}");
        let mut lines = vec![self.line, &host, &row];
        lines.extend(self.lines);
        lines.extend(self.session);
        (lines.join("\r\n") + "\r\n\r\n").into_bytes()
    }

    fn with(&self) -> With {
        match (self.session, self.lines) {
            (Some(_), _) => With::Session,
            (None, [line]) if line.starts_with("Authorization") => With::Key,
            (None, _) => With::Nothing,
        }
    }
}

/// People and nobody in turn, as a proxy in front of us might mix them on one connection.
fn conversation(scene: &Scene) -> Vec<Said<'_>> {
    let (member, admin) = (Some(scene.member.as_str()), Some(scene.admin.as_str()));
    let said = |line, lines, session, status| Said {
        line,
        lines,
        session,
        status,
    };
    vec![
        said("GET /ui/admin/x HTTP/1.1", &[], admin, 404),
        said("GET /ui/admin/x HTTP/1.1", &[], member, 403),
        said("GET /ui/admin/x HTTP/1.1", &[], None, 401),
        said("GET /ui/private HTTP/1.1", &[], member, 404),
        said("GET /ui/private HTTP/1.1", &[], None, 401),
        said("GET /ui/private HTTP/1.1", &[HTML], None, 303),
        said("GET /public/page HTTP/1.1", &[], None, 404),
        said(
            "GET /ui/private HTTP/1.1",
            &["Cookie: headwarden=AAAA"],
            None,
            401,
        ),
        said("HEAD /ui/private HTTP/1.1", &[], member, 404),
        said("HEAD /ui/private HTTP/1.1", &[], None, 401),
        said("OPTIONS /ui/private HTTP/1.1", &[], None, 401),
        said(
            "GET /api/v1/user HTTP/1.1",
            &["Authorization: Bearer hskey-api-standin"],
            None,
            200,
        ),
        said("GET /api/v1/user HTTP/1.1", &[], None, 401),
        said("GET /windows HTTP/1.1", &[], admin, 200),
        said("GET /windows HTTP/1.1", &[], None, 401),
        said("GET /metrics HTTP/1.1", &[], admin, 404),
        said("GET /ui/private HTTP/1.1", &[SAME_ORIGIN], admin, 404),
        said("GET /ui/private HTTP/1.1", &[SAME_ORIGIN], None, 401),
    ]
}

/// What reached an upstream came with what it needed, each for itself. Rows end in `-<at>`.
fn judge_each(scene: &Scene, script: &[Said<'_>]) {
    for (row, all) in scene.seen() {
        let at: usize = row.rsplit('-').next().unwrap().parse().unwrap();
        let said = script[at];
        for seen in all {
            judge(&seen, said.with(), &row);
            if seen.path() == "/ui/private" {
                let is_admin = said.session == Some(scene.admin.as_str());
                let who = if is_admin { "ada" } else { "ben" };
                assert_eq!(seen.fields.values("remote-user"), [who], "{row}");
            }
        }
    }
}

#[test]
fn every_request_on_a_connection_is_judged_by_itself() {
    let scene = Scene::start();
    let script = conversation(&scene);
    let mut raw = Raw::connect(scene.stage.house.plan.public).unwrap();
    for (at, said) in script.iter().enumerate() {
        let answer = raw
            .exchange(&said.bytes(&scene, &format!("one-{at}")))
            .unwrap();
        assert_eq!(
            answer.status(),
            said.status,
            "{} {:?}",
            said.line,
            said.lines
        );
    }
    judge_each(&scene, &script);
}

#[test]
fn of_two_requests_in_one_write_the_second_is_answered_for_itself_or_not_at_all() {
    let scene = Scene::start();
    let script = conversation(&scene);
    let mut answered = 0;
    for (first_at, first) in script.iter().enumerate() {
        for (second_at, second) in script.iter().enumerate() {
            let mut both = first.bytes(&scene, &format!("first-{first_at}"));
            both.extend(second.bytes(&scene, &format!("second-{second_at}")));
            let mut raw = Raw::connect(scene.stage.house.plan.public).unwrap();
            raw.send(&both).unwrap();
            let answer = raw.read_response(first.method()).unwrap();
            assert_eq!(answer.status(), first.status, "{}", first.line);
            raw.finish_sending().unwrap();
            if let Ok(answer) = raw.read_response(second.method()) {
                let what = format!("{} behind {}", second.line, first.line);
                assert_eq!(answer.status(), second.status, "{what}");
                answered += 1;
            }
        }
    }
    println!(
        "{answered} of {} second requests were answered",
        script.len().pow(2)
    );
    judge_each(&scene, &script);
}

#[test]
fn another_host_on_the_same_connection_is_another_question() {
    let scene = Scene::start();
    let public = scene.stage.house.plan.public;
    let mut raw = Raw::connect(public).unwrap();
    for (host, target, status) in [
        (public.to_string(), "/windows", 200),
        ("evil.example".to_owned(), "/windows", 421),
        (public.to_string(), "/windows", 200),
        ("evil.example".to_owned(), "/key?v=140", 200),
        ("evil.example".to_owned(), "/.headwarden/logout", 421),
        (public.to_string(), "/.headwarden/logout", 200),
    ] {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\n{}\r\n\r\n",
            scene.member
        );
        let answer = raw.exchange(head.as_bytes()).unwrap();
        assert_eq!(answer.status(), status, "{target} at {host}");
    }
}
