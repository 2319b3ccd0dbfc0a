use super::*;
use proptest::prelude::*;

const ID: &str = "hskey-authreq-0123456789abcdef01234567";
const OLD_ID: &str = "0123456789abcdef01234567";
const PAGE: Door = Door::Guarded(Guarded::Page);
const CONTROL: Option<&str> = Some("tailscale-control-protocol");
const WEBSOCKET: Option<&str> = Some("websocket");
const DERP: Option<&str> = Some("DERP");

fn decide_with(method: &str, target: &str, upgrade: Option<&str>, open: &[OpenPath]) -> Door {
    let target = Target::parse(target.as_bytes()).unwrap();
    let asked = Asked {
        method,
        target: &target,
        upgrade,
    };
    decide(&asked, open)
}

fn decide_on(method: &str, target: &str, upgrade: Option<&str>) -> Door {
    decide_with(method, target, upgrade, &[])
}

fn id(text: &str) -> AuthId {
    AuthId::parse(text).unwrap()
}

#[test]
fn ids_of_headscale_0_25_and_newer_are_ids() {
    for text in [
        ID,
        OLD_ID,
        "hskey-authreq-AAAAAAAAAAAAAAAAAAAAAAAA",
        "hskey-authreq-_-_-_-_-_-_-_-_-_-_-_-_-",
        "AZaz09_-AZaz09_-AZaz09_-",
    ] {
        assert_eq!(
            AuthId::parse(text).map(|id| id.to_string()).as_deref(),
            Some(text)
        );
        assert_eq!(id(text).as_str(), text);
    }
}

#[test]
fn what_no_headscale_made_is_no_id() {
    let mkey = format!("mkey:{}", "0".repeat(64));
    for text in [
        "",
        "hskey-authreq-",
        "hskey-authreq-0123456789",
        "confirm",
        "0123456789abcdef0123456",
        "0123456789abcdef012345678",
        "hskey-authreq-0123456789abcdef0123456",
        "hskey-authreq-0123456789abcdef012345678",
        "hskey-authreq-hskey-authreq-0123456789abcdef01234567",
        "HSKEY-AUTHREQ-0123456789abcdef01234567",
        "hskey-api-0123456789ab",
        "0123456789abcdef0123456.",
        "0123456789abcdef0123456/",
        "0123456789abcdef0123%34x",
        "0123456789abcdef 1234567",
        "0123456789abcdef0123456\n",
        "<script>alert(1)</script>",
        "0123456789abcdef0123456é",
        "éééééééééééé",
        &mkey,
    ] {
        assert_eq!(AuthId::parse(text), None, "{text:?}");
    }
}

#[test]
fn tunnels_open_for_their_exact_method_path_and_token() {
    for (method, path, token, tunnel) in [
        ("POST", "/ts2021", CONTROL, Tunnel::Control),
        ("POST", "/ts2021?x=/admin", CONTROL, Tunnel::Control),
        ("GET", "/ts2021", WEBSOCKET, Tunnel::ControlWebSocket),
        (
            "GET",
            "/ts2021?X-Tailscale-Handshake=AA",
            Some("WebSocket"),
            Tunnel::ControlWebSocket,
        ),
        ("GET", "/derp", DERP, Tunnel::Derp),
        ("GET", "/derp", WEBSOCKET, Tunnel::DerpWebSocket),
    ] {
        assert_eq!(
            decide_on(method, path, token),
            Door::Machine(tunnel),
            "{path}"
        );
    }
}

#[test]
fn a_tunnel_asks_for_the_token_that_opened_it() {
    for (tunnel, token, label) in [
        (Tunnel::Control, "tailscale-control-protocol", "control"),
        (Tunnel::ControlWebSocket, "websocket", "control_websocket"),
        (Tunnel::Derp, "DERP", "derp"),
        (Tunnel::DerpWebSocket, "websocket", "derp_websocket"),
    ] {
        assert_eq!((tunnel.upgrade_token(), tunnel.label()), (token, label));
    }
}

#[test]
fn neighbours_of_a_tunnel_are_guarded_like_everything_unknown() {
    for (method, path, token) in [
        ("POST", "/ts2021", None),
        ("GET", "/ts2021", None),
        ("GET", "/ts2021", CONTROL),
        ("POST", "/ts2021", WEBSOCKET),
        ("POST", "/ts2021", DERP),
        ("POST", "/ts2021", Some("h2c")),
        ("POST", "/ts2021", Some("")),
        ("POST", "/ts2021", Some("tailscale-control-protocol/1")),
        (
            "POST",
            "/ts2021",
            Some("tailscale-control-protocol, websocket"),
        ),
        ("POST", "/ts2021", Some(" tailscale-control-protocol")),
        ("POST", "/ts2021", Some("Tailscale-Control-Protocol")),
        ("PUT", "/ts2021", CONTROL),
        ("HEAD", "/ts2021", WEBSOCKET),
        ("OPTIONS", "/ts2021", CONTROL),
        ("POST", "/ts2021/", CONTROL),
        ("POST", "/ts2021x", CONTROL),
        ("POST", "/ts2021/x", CONTROL),
        ("POST", "/x/ts2021", CONTROL),
        ("POST", "/TS2021", CONTROL),
        ("POST", "/ts2021%20", CONTROL),
        ("POST", "/private", CONTROL),
        ("POST", "/key", CONTROL),
        ("GET", "/derp", None),
        ("GET", "/derp", Some("derp")),
        ("GET", "/derp", CONTROL),
        ("GET", "/derp", Some("h2c")),
        ("HEAD", "/derp", DERP),
        ("POST", "/derp", DERP),
        ("POST", "/derp", WEBSOCKET),
        ("GET", "/derp/", DERP),
        ("GET", "/derp/admin", DERP),
        ("GET", "/DERP", DERP),
        ("GET", "/derpx", DERP),
        ("GET", "/private?/ts2021", WEBSOCKET),
        ("GET", "/private?/derp", DERP),
        ("GET", "/", WEBSOCKET),
    ] {
        assert_eq!(
            decide_on(method, path, token),
            PAGE,
            "{method} {path} {token:?}"
        );
    }
}

#[test]
fn open_doors_are_one_method_and_one_path() {
    for (method, path) in [
        ("GET", "/key"),
        ("GET", "/key?v=39"),
        ("GET", "/derp/probe"),
        ("HEAD", "/derp/probe"),
        ("GET", "/derp/latency-check"),
        ("HEAD", "/derp/latency-check"),
        ("GET", "/bootstrap-dns"),
        ("GET", "/bootstrap-dns?q=example.net"),
        ("HEAD", "/machine/ping-response?id=1"),
        ("GET", "/health"),
    ] {
        assert_eq!(decide_on(method, path, None), Door::Open, "{method} {path}");
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(decide_on(method, "/generate_204?x", None), Door::NoContent);
    }
    assert_eq!(decide_on("POST", "/verify", None), Door::Verify);
}

#[test]
fn neighbours_of_an_open_door_are_guarded() {
    for method in ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for path in ["/key", "/bootstrap-dns", "/health"] {
            assert_eq!(decide_on(method, path, None), PAGE, "{method} {path}");
        }
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for path in ["/derp/probe", "/derp/latency-check", "/generate_204"] {
            assert_eq!(decide_on(method, path, None), PAGE, "{method} {path}");
        }
        assert_eq!(
            decide_on(method, "/machine/ping-response", None),
            PAGE,
            "{method}"
        );
    }
    for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
        assert_eq!(decide_on(method, "/verify", None), PAGE, "{method}");
    }
    for path in [
        "/key",
        "/bootstrap-dns",
        "/health",
        "/derp/probe",
        "/derp/latency-check",
        "/generate_204",
        "/machine/ping-response",
        "/verify",
    ] {
        let upper = path.to_uppercase();
        let neighbours = [
            format!("{path}/"),
            format!("{path}x"),
            format!("{path}.php"),
            format!("{path}~"),
            format!("{path}%20"),
            format!("{path}%3F"),
            format!("{path}../private"),
            format!("{path}/x"),
            format!("/x{path}"),
            format!("/private?{path}"),
            format!("/private%3F{path}"),
            upper,
        ];
        for neighbour in &neighbours {
            for method in ["GET", "HEAD", "POST"] {
                assert_eq!(
                    decide_on(method, neighbour, None),
                    PAGE,
                    "{method} {neighbour}"
                );
            }
        }
    }
    assert_eq!(decide_on("GET", "/machine/ping-response?id=1", None), PAGE);
    assert_eq!(decide_on("GET", "/healthz", None), PAGE);
}

#[test]
fn pages_and_whatever_is_unknown_need_a_session() {
    for path in [
        "/",
        "/version",
        "/windows",
        "/apple",
        "/apple/ios",
        "/robots.txt",
        "/favicon.ico",
        "/admin",
        "/web/",
        "/machine/register",
        "/machine/map",
        "/api",
        "/api/",
        "/register",
        "/auth",
        "/oidc",
        "/private?/public/",
        "/private?x=/health",
        "/public/a",
        "/derp/",
        "/authx/y",
        "/registerx/y",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            assert_eq!(decide_on(method, path, None), PAGE, "{method} {path}");
        }
    }
}

#[test]
fn metrics_debugging_and_the_registration_of_old_are_closed() {
    for path in [
        "/metrics",
        "/metrics/",
        "/metrics/x",
        "/metrics?x",
        "/debug",
        "/debug/",
        "/debug/pprof/heap",
        "/debug/statsviz/ws",
        "/debug/config",
        "/oidc/register",
        "/oidc/register/",
        "/oidc/register/mkey:00",
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            for upgrade in [None, WEBSOCKET] {
                assert_eq!(
                    decide_on(method, path, upgrade),
                    Door::Closed,
                    "{method} {path}"
                );
            }
        }
    }
    for path in [
        "/metricsx",
        "/debugx",
        "/Metrics",
        "/x/metrics",
        "/x/debug",
        "/oidc/registerx",
    ] {
        assert_eq!(decide_on("GET", path, None), PAGE, "{path}");
    }
}

#[test]
fn a_method_that_is_not_known_is_closed_everywhere() {
    let long = "A".repeat(200);
    for method in [
        "TRACE", "CONNECT", "get", "Get", "GETX", "GET ", "", "PRI", "PROPFIND", "TRACK", "DEBUG",
        "*", "G\0T", &long,
    ] {
        for (path, upgrade) in [
            ("/", None),
            ("/key", None),
            ("/ts2021", CONTROL),
            ("/derp", DERP),
            ("/oidc/callback", None),
            ("/.headwarden/logout", None),
            ("/api/v1/node", None),
            ("/verify", None),
        ] {
            assert_eq!(
                decide_on(method, path, upgrade),
                Door::Closed,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn our_own_endpoints_are_told_by_their_exact_path() {
    for (path, own) in [
        ("/oidc/callback", Own::Callback),
        ("/oidc/callback?code=a&state=b", Own::Callback),
        ("/.headwarden/authorize", Own::Authorize),
        ("/.headwarden/sign-in", Own::SignIn),
        ("/.headwarden/step-up", Own::StepUp),
        ("/.headwarden/step-up?for=%2Fadmin", Own::StepUp),
        ("/.headwarden/logout", Own::Logout),
        ("/.headwarden/signed-out", Own::SignedOut),
        ("/.headwarden/sessions", Own::Sessions),
        ("/.headwarden/sessions/", Own::Unknown),
        ("/.headwarden/Sessions", Own::Unknown),
        ("/.headwarden/devices", Own::Devices),
        ("/.headwarden/devices?user=7", Own::Devices),
        ("/.headwarden/devices/add", Own::DevicesAdd),
        ("/.headwarden/devices/people", Own::DevicesPeople),
        ("/.headwarden/devices/sign-out?id=7", Own::DevicesSignOut),
        ("/.headwarden/devices/remove?id=7", Own::DevicesRemove),
        ("/.headwarden/devices/", Own::Unknown),
        ("/.headwarden/devices/7", Own::Unknown),
        ("/.headwarden/devices/remove/7", Own::Unknown),
        ("/.headwarden/devicesx", Own::Unknown),
        ("/.headwarden/Devices", Own::Unknown),
        ("/.headwarden/backchannel-logout", Own::BackchannelLogout),
        (
            "/.headwarden/backchannel-logout?x=y",
            Own::BackchannelLogout,
        ),
        ("/.headwarden/frontchannel-logout", Own::FrontchannelLogout),
        (
            "/.headwarden/frontchannel-logout?iss=a&sid=b",
            Own::FrontchannelLogout,
        ),
        ("/.headwarden/confirm-register", Own::ConfirmRegister),
        ("/.headwarden/confirm-ssh", Own::ConfirmSsh),
        ("/.headwarden", Own::Unknown),
        ("/.headwarden/", Own::Unknown),
        ("/.headwarden/x", Own::Unknown),
        ("/.headwarden/logout/", Own::Unknown),
        ("/.headwarden/logout/x", Own::Unknown),
        ("/.headwarden/logoutx", Own::Unknown),
        ("/.headwarden/Logout", Own::Unknown),
        ("/.headwarden/backchannel-logout/", Own::Unknown),
        ("/.headwarden/backchannel-logout/x", Own::Unknown),
        ("/.headwarden/backchannel-logoutx", Own::Unknown),
        ("/.headwarden/backchannel_logout", Own::Unknown),
        ("/.headwarden/back-channel-logout", Own::Unknown),
        ("/.headwarden/Backchannel-Logout", Own::Unknown),
        ("/.headwarden/backchannel-logout%20", Own::Unknown),
        ("/.headwarden/logout/backchannel", Own::Unknown),
        ("/.headwarden/frontchannel-logout/", Own::Unknown),
        ("/.headwarden/front-channel-logout", Own::Unknown),
        ("/.headwarden/FrontChannel-logout", Own::Unknown),
        ("/.headwarden/oidc/callback", Own::Unknown),
        ("/.headwarden/authorize%20", Own::Unknown),
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            assert_eq!(
                decide_on(method, path, None),
                Door::Own(own),
                "{method} {path}"
            );
        }
        assert_eq!(decide_on("GET", path, WEBSOCKET), Door::Own(own), "{path}");
    }
    for path in [
        "/oidc/callback/",
        "/oidc/callbackx",
        "/oidc/callback/x",
        "/OIDC/callback",
        "/oidc/Callback",
        "/oidc/callback%20",
        "/oidc",
        "/oidc/",
        "/x/oidc/callback",
        "/.headwardenx",
        "/.Headwarden/logout",
        "/headwarden/logout",
        "/x/.headwarden/logout",
        "/?/.headwarden/logout",
        "/private?state=hw1.x&code=y",
        "/?X-authentik-auth-callback=true",
        "/private?rd=/oidc/callback",
    ] {
        assert_eq!(decide_on("GET", path, None), PAGE, "{path}");
    }
}

#[test]
fn the_api_and_its_description_are_different_doors() {
    for (method, path, door) in [
        ("GET", "/api/v1", Door::Api(ApiKind::V1)),
        ("GET", "/api/v1/", Door::Api(ApiKind::V1)),
        ("GET", "/api/v1/node", Door::Api(ApiKind::V1)),
        ("DELETE", "/api/v1/node/1", Door::Api(ApiKind::V1)),
        ("OPTIONS", "/api/v1/node", Door::Api(ApiKind::V1)),
        ("POST", "/api/v1/oauth/token", Door::Api(ApiKind::V1)),
        (
            "POST",
            "/headscale.v1.HeadscaleService/ListNodes",
            Door::Api(ApiKind::Grpc),
        ),
        ("GET", "/api/v1/node/docs", Door::Api(ApiKind::V1)),
        ("GET", "/api/v1/docsx", Door::Api(ApiKind::V1)),
        ("GET", "/api/v2", Door::Api(ApiKind::V2)),
        ("GET", "/api/v2/tailnet/-/devices", Door::Api(ApiKind::V2)),
        ("POST", "/api/v2/oauth/token", Door::Api(ApiKind::V2Token)),
        ("POST", "/api/v2/oauth/token?x", Door::Api(ApiKind::V2Token)),
        ("GET", "/api/v2/oauth/token", Door::Api(ApiKind::V2)),
        ("PUT", "/api/v2/oauth/token", Door::Api(ApiKind::V2)),
        ("POST", "/api/v2/oauth/token/", Door::Api(ApiKind::V2)),
        ("POST", "/api/v2/oauth/tokens", Door::Api(ApiKind::V2)),
        ("GET", "/api/v1/docs", Door::ApiDocs),
        ("GET", "/api/v1/docs/", Door::ApiDocs),
        ("GET", "/api/v2/docs/x", Door::ApiDocs),
        ("GET", "/api/v3/docs", Door::ApiDocs),
        ("GET", "/api/v1/openapi.json", Door::ApiDocs),
        ("GET", "/api/v1/openapi.yaml", Door::ApiDocs),
        ("HEAD", "/api/v1/openapi-3.0.json", Door::ApiDocs),
        ("POST", "/api/v2/openapi", Door::ApiDocs),
        ("GET", "/api/v1/schemas/Node.json", Door::ApiDocs),
        ("GET", "/swagger", Door::ApiDocs),
        ("GET", "/swagger/v1/openapiv2.json", Door::ApiDocs),
        ("GET", "/swagger.json", Door::ApiDocs),
        ("GET", "/api/v12", PAGE),
        ("GET", "/api/v1x/node", PAGE),
        ("GET", "/api/v", PAGE),
        ("GET", "/api/v/docs", PAGE),
        ("GET", "/api/v3/node", PAGE),
        ("GET", "/api/v01/node", PAGE),
        ("GET", "/api/v%2B1/node", PAGE),
        ("GET", "/API/v1/node", PAGE),
        ("GET", "/api/V1/node", PAGE),
        ("GET", "/x/api/v1/node", PAGE),
        ("GET", "/api?/api/v1/node", PAGE),
        ("GET", "/Swagger", PAGE),
    ] {
        assert_eq!(decide_on(method, path, None), door, "{method} {path}");
    }
}

#[test]
fn links_of_devices_and_ssh_are_told_by_their_path_whatever_the_method() {
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
        for text in [ID, OLD_ID] {
            let register = decide_on(method, &format!("/register/{text}"), None);
            assert_eq!(register, Door::Guarded(Guarded::Register(id(text))));
            let ssh = decide_on(method, &format!("/auth/{text}?x=y"), None);
            assert_eq!(ssh, Door::Guarded(Guarded::SshCheck(id(text))));
            let confirm = decide_on(method, &format!("/register/confirm/{text}"), None);
            assert_eq!(confirm, Door::Guarded(Guarded::RegisterConfirm(id(text))));
        }
    }
}

#[test]
fn what_stands_where_an_id_belongs_and_is_none_is_closed() {
    let mkey = format!("/register/mkey:{}", "0".repeat(64));
    for path in [
        "/register/",
        "/register/short",
        "/register/a/b",
        "/register/confirm",
        "/register/confirm/",
        "/register/confirm/x",
        "/register/hskey-authreq-0123456789abcdef01234567/",
        "/register/hskey-authreq-0123456789abcdef01234567/x",
        "/register/hskey-authreq-0123456789abcdef0123456%20",
        "/register/confirm/hskey-authreq-0123456789abcdef01234567/",
        "/register/confirm/confirm/hskey-authreq-0123456789abcdef01234567",
        "/register/%3Cscript%3Ealert(1)%3C",
        "/auth/",
        "/auth/short",
        "/auth/a/b",
        "/auth/confirm/hskey-authreq-0123456789abcdef01234567",
        &mkey,
    ] {
        for method in ["GET", "POST"] {
            assert_eq!(
                decide_on(method, path, None),
                Door::Closed,
                "{method} {path}"
            );
        }
    }
    for path in ["/Register/x", "/x/register/a", "/registered/a"] {
        assert_eq!(decide_on("GET", path, None), PAGE, "{path}");
    }
}

#[test]
fn an_upgrade_token_changes_no_door_but_the_tunnels() {
    for token in [
        "websocket",
        "h2c",
        "DERP",
        "tailscale-control-protocol",
        "foo",
        "",
    ] {
        for method in ["GET", "POST", "HEAD"] {
            for path in [
                "/",
                "/admin",
                "/register",
                "/version",
                "/key",
                "/health",
                "/derp/probe",
                "/generate_204",
                "/verify",
                "/metrics",
                "/api/v1/node",
                "/api/v2/oauth/token",
                "/swagger",
                "/oidc/callback",
                "/.headwarden/x",
                "/machine/ping-response",
                "/auth/hskey-authreq-0123456789abcdef01234567",
            ] {
                let with = decide_on(method, path, Some(token));
                assert_eq!(
                    with,
                    decide_on(method, path, None),
                    "{method} {path} {token}"
                );
            }
        }
    }
}

fn open(method: &str, path: &str) -> OpenPath {
    OpenPath {
        method: method.to_owned(),
        path: path.to_owned(),
    }
}

#[test]
fn what_the_operator_opens_is_one_method_and_one_exact_path() {
    let lines = [
        open("GET", "/logo.png"),
        open("POST", "/hook"),
        open("TRACE", "/t"),
    ];
    for (method, path, upgrade, is_open) in [
        ("GET", "/logo.png?v=1", None, true),
        ("HEAD", "/logo.png", None, true),
        ("POST", "/logo.png", None, false),
        ("OPTIONS", "/logo.png", None, false),
        ("GET", "/logo.png", WEBSOCKET, false),
        ("GET", "/logo.png/", None, false),
        ("GET", "/logo.png.php", None, false),
        ("GET", "/logo.png%20", None, false),
        ("GET", "/Logo.png", None, false),
        ("GET", "/?/logo.png", None, false),
        ("POST", "/hook", None, true),
        ("GET", "/hook", None, false),
        ("HEAD", "/hook", None, false),
        ("TRACE", "/t", None, false),
    ] {
        let door = decide_with(method, path, upgrade, &lines);
        assert_eq!(door == Door::Open, is_open, "{method} {path} {upgrade:?}");
    }
}

#[test]
fn the_operator_cannot_open_what_has_another_door() {
    let register = format!("/register/{ID}");
    for (method, path) in [
        ("GET", "/metrics"),
        ("GET", "/debug"),
        ("GET", "/oidc/callback"),
        ("GET", "/.headwarden/authorize"),
        ("GET", "/api/v1/node"),
        ("GET", "/api/v1/docs"),
        ("GET", "/swagger"),
        ("GET", "/register/short"),
        ("GET", &register),
        ("POST", "/verify"),
        ("GET", "/generate_204"),
    ] {
        let closed = decide_on(method, path, None);
        assert_ne!(closed, Door::Open);
        assert_eq!(
            decide_with(method, path, None, &[open(method, path)]),
            closed,
            "{path}"
        );
    }
}

#[test]
fn every_door_has_a_label() {
    for (method, path, upgrade, label) in [
        ("POST", "/ts2021", CONTROL, "machine"),
        ("GET", "/key", None, "open"),
        ("GET", "/generate_204", None, "open"),
        ("POST", "/verify", None, "open"),
        ("GET", "/oidc/callback", None, "own"),
        ("GET", "/api/v1/node", None, "api"),
        ("GET", "/swagger", None, "guarded"),
        ("GET", "/", None, "guarded"),
        ("GET", "/metrics", None, "closed"),
    ] {
        assert_eq!(decide_on(method, path, upgrade).label(), label, "{path}");
    }
}

/// Where anyone passes, and nowhere else.
const ANYONE: [(&str, &str); 14] = [
    ("POST", "/ts2021"),
    ("GET", "/ts2021"),
    ("GET", "/derp"),
    ("GET", "/key"),
    ("GET", "/bootstrap-dns"),
    ("GET", "/health"),
    ("GET", "/derp/probe"),
    ("HEAD", "/derp/probe"),
    ("GET", "/derp/latency-check"),
    ("HEAD", "/derp/latency-check"),
    ("HEAD", "/machine/ping-response"),
    ("GET", "/generate_204"),
    ("HEAD", "/generate_204"),
    ("POST", "/verify"),
];

fn near_a_door() -> impl Strategy<Value = String> {
    let stem = proptest::sample::select(vec![
        "/ts2021",
        "/derp",
        "/key",
        "/health",
        "/derp/probe",
        "/generate_204",
        "/verify",
        "/bootstrap-dns",
        "/machine/ping-response",
        "/register",
        "/auth",
        "/api/v1",
        "/.headwarden",
        "/oidc/callback",
        "/",
    ]);
    (stem, "[/a-z0-9.~%@?&=A-Z-]{0,6}").prop_map(|(stem, rest)| format!("{stem}{rest}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn nothing_but_the_listed_doors_lets_anyone_through(
        raw in near_a_door(),
        method in proptest::sample::select(vec!["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "get"]),
        upgrade in proptest::option::of(proptest::sample::select(vec![
            "websocket", "DERP", "tailscale-control-protocol", "h2c",
        ])),
    ) {
        if let Ok(target) = Target::parse(raw.as_bytes()) {
            let door = decide(&Asked { method, target: &target, upgrade }, &[]);
            let anyone = matches!(door, Door::Machine(_) | Door::Open | Door::NoContent | Door::Verify);
            if anyone {
                prop_assert!(ANYONE.contains(&(method, target.path())), "{} {}", method, raw);
            }
            prop_assert_eq!(matches!(door, Door::Machine(_)), anyone && upgrade.is_some()
                && matches!(target.path(), "/ts2021" | "/derp"));
        }
    }

    #[test]
    fn a_query_changes_no_door(raw in near_a_door(), query in "[ -~&&[^#]]{0,20}") {
        let path = raw.split('?').next().unwrap().to_owned();
        let with = Target::parse(format!("{path}?{}", query.replace(' ', "+")).as_bytes());
        if let (Ok(bare), Ok(with)) = (Target::parse(path.as_bytes()), with) {
            for method in ["GET", "POST"] {
                let door = |target| decide(&Asked { method, target, upgrade: None }, &[]);
                prop_assert_eq!(door(&bare), door(&with));
            }
        }
    }
}
