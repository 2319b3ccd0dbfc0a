//! What an upstream may believe: identity, address and origin come from the house, whatever a
//! client says and however it spells it.

use crate::stage::{
    HTML, SAME_ORIGIN, SESSION, admin, ask, member, request, seen, send, session_line,
    session_value,
};
use crate::support::headscale_standin::{HeadscaleStandin, Options, Script, Seen};
use crate::support::house::More;
use crate::support::raw::Raw;
use crate::support::tailnet::Tailnet;

/// What a client writes, and no upstream may read.
const FORGED: &str = "forged";

/// Names that upstreams believe, as their owners write them.
const BELIEVED: [&str; 44] = [
    "Remote-User",
    "Remote-Email",
    "Remote-Name",
    "Remote-Groups",
    "X-Remote-User",
    "X-Auth-User",
    "X-Auth-Request-Email",
    "X-authentik-username",
    "X-WEBAUTH-USER",
    "X-Headwarden-User",
    "X-User",
    "X-Email",
    "X-Groups",
    "X-Username",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Uri",
    "X-Forwarded-Prefix",
    "X-Forwarded-Method",
    "X-Forwarded-Server",
    "X-Forwarded",
    "Forwarded",
    "X-Real-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "Fastly-Client-IP",
    "X-Original-Forwarded-For",
    "X-Original-URL",
    "X-Original-URI",
    "X-Rewrite-URL",
    "X-Envoy-Original-Path",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Accel-Redirect",
    "Via",
    "Proxy-Authorization",
    "X-Request-Id",
];

/// The same name, as lenient upstreams would still read it.
fn spellings(name: &str) -> [String; 7] {
    [
        name.to_owned(),
        name.to_lowercase(),
        name.to_uppercase(),
        name.replace('-', "_"),
        name.replacen('-', "_", 1),
        name.replace('-', "."),
        format!("HTTP_{}", name.replace('-', "_").to_uppercase()),
    ]
}

/// A house with a web UI under `/ui` and an API key.
fn start(top: &'static str) -> (Tailnet, HeadscaleStandin) {
    let ui = HeadscaleStandin::start(Options::default());
    let rules = [
        ("ui", "remote"),
        ("forwarded", "forwarded"),
        ("both", "[remote, authentik]"),
        (
            "crew",
            r#"{ X-Crew: "{name} <{email}>", X-Crews: "{groups:;}", X-Crew-Id: "{issuer}{{{subject}" }"#,
        ),
    ];
    let rules = rules.map(|(path, told)| {
        let url = ui.url();
        format!("  - {{ path: /{path}/**, upstream: \"{url}\", identity_headers: {told} }}\n")
    });
    let access = rules.concat();
    let more = format!("{top}api: {{ admins: [headscale-admins] }}\naccess:\n{access}");
    let tailnet = Tailnet::start_with("v0.29.2", |_| More {
        headscale: "  api_key: hskey-api-standin\n",
        top: Box::leak(more.into_boxed_str()),
        ..More::default()
    });
    (tailnet, ui)
}

const UPGRADE: [&str; 3] = [
    "Connection: Upgrade",
    "Upgrade: tailscale-control-protocol",
    "X-Tailscale-Handshake: AAAA",
];

/// A request through every door that leads to an upstream.
fn doors(session: &str) -> Vec<(&'static str, &'static str, Vec<&str>)> {
    vec![
        ("GET", "/key?v=140", vec![]),
        ("HEAD", "/machine/ping-response", vec![]),
        ("POST", "/ts2021", UPGRADE.to_vec()),
        ("GET", "/derp", vec!["Connection: Upgrade", "Upgrade: DERP"]),
        ("GET", "/windows", vec![session]),
        ("OPTIONS", "/windows", vec![session]),
        ("GET", "/ui/page", vec![session]),
        ("GET", "/api/v1/user", vec![session, SAME_ORIGIN]),
        (
            "GET",
            "/api/v1/user",
            vec!["Authorization: Bearer hskey-api-standin"],
        ),
    ]
}

fn witness(tailnet: &Tailnet, ui: &HeadscaleStandin, row: &str) -> Seen {
    let mut all = seen(&tailnet.headscale, row);
    all.extend(seen(ui, row));
    let [one] = &all[..] else {
        panic!("{row}: {} requests", all.len())
    };
    one.clone()
}

#[test]
fn no_field_that_an_upstream_believes_comes_from_a_client() {
    let (tailnet, ui) = start(
        "limits: { open_requests_per_minute: 100000, api_requests_per_minute: 100000, \
            tunnels_per_minute: 10000 }\n",
    );
    let person = admin(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let all: Vec<String> = BELIEVED
        .iter()
        .flat_map(|name| spellings(name))
        .map(|name| format!("{name}: {FORGED}"))
        .collect();
    for (at, (method, target, lines)) in doors(&session).into_iter().enumerate() {
        // Heads hold a hundred fields at most.
        for (part, forged) in all.chunks(80).enumerate() {
            let row = format!("{at}-{part}");
            let tag = format!("X-Row: {row}");
            let mut all: Vec<&str> = vec![&tag];
            all.extend(&lines);
            all.extend(forged.iter().map(String::as_str));
            let answer = ask(&tailnet.house, method, target, &all);
            assert!(
                answer.status() < 500,
                "{method} {target}: {}",
                answer.text()
            );
            let seen = witness(&tailnet, &ui, &row);
            let head = String::from_utf8_lossy(&seen.head).into_owned();
            assert!(!head.contains(FORGED), "{method} {target}:\n{head}");
        }
    }
}

#[test]
fn every_upstream_is_told_the_truth_about_where_a_request_came_from() {
    let (tailnet, ui) = start("");
    let person = admin(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let ours = tailnet.house.plan.public.to_string();
    for (at, (method, target, lines)) in doors(&session).into_iter().enumerate() {
        let row = format!("{at}");
        let tag = format!("X-Row: {row}");
        let more = [
            "X-Forwarded-For: 6.6.6.6",
            "True-Client-IP: 6.6.6.6",
            "Accept-Language: de",
            &tag,
        ];
        ask(
            &tailnet.house,
            method,
            target,
            &[&lines[..], &more].concat(),
        );
        let seen = witness(&tailnet, &ui, &row);
        for (name, value) in [
            ("True-Client-IP", "127.0.0.1"),
            ("X-Real-IP", "127.0.0.1"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", &ours),
            ("Host", &ours),
            ("Accept-Language", "de"),
        ] {
            assert_eq!(
                seen.fields.values(name),
                [value],
                "{method} {target} {name}"
            );
        }
        assert_eq!(seen.fields.values("x-request-id").len(), 1);
    }
}

#[test]
fn the_client_behind_a_trusted_proxy_is_the_last_address_nobody_vouches_for() {
    let (tailnet, ui) = start("trusted_proxies: [127.0.0.1/32, 10.0.0.0/8]\n");
    for (at, (lines, client)) in [
        (&["X-Forwarded-For: 203.0.113.9"][..], "203.0.113.9"),
        (&["X-Forwarded-For: 6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (&["X-Forwarded-For: 203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (
            &[
                "X-Forwarded-For: 6.6.6.6",
                "X-Forwarded-For: 203.0.113.9, 10.0.0.1",
            ],
            "203.0.113.9",
        ),
        (
            &["X-Forwarded-For: 203.0.113.9,::ffff:10.0.0.1"],
            "203.0.113.9",
        ),
        (&["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
        (&["X-Real-IP: 6.6.6.6"], "127.0.0.1"),
        (
            &["True-Client-IP: 6.6.6.6", "Forwarded: for=6.6.6.6"],
            "127.0.0.1",
        ),
        (&[], "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        for (door, target, more) in [
            ("open", "/key?v=140", &[][..]),
            ("machine", "/ts2021", &UPGRADE[..]),
        ] {
            let row = format!("{door}-{at}");
            let tag = format!("X-Row: {row}");
            let method = if door == "open" { "GET" } else { "POST" };
            ask(
                &tailnet.house,
                method,
                target,
                &[lines, more, &[&tag]].concat(),
            );
            let seen = witness(&tailnet, &ui, &row);
            for name in ["True-Client-IP", "X-Real-IP", "X-Forwarded-For"] {
                assert_eq!(
                    seen.fields.values(name),
                    [client],
                    "{door} {lines:?} {name}"
                );
            }
        }
    }
}

#[test]
fn fields_that_connection_nominates_end_here_and_cannot_take_ours_along() {
    let (tailnet, ui) = start("");
    let person = admin(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let nominated = "Connection: keep-alive, X-Secret-Hop, True-Client-IP, X-Real-IP, Remote-User, \
                     Content-Length, Cookie";
    for (at, (method, target, lines)) in doors(&session).into_iter().enumerate() {
        if method == "POST" || target == "/derp" {
            continue;
        }
        let row = format!("{at}");
        let tag = format!("X-Row: {row}");
        let more = [
            nominated,
            "X-Secret-Hop: 1",
            "TE: trailers",
            "Keep-Alive: timeout=5",
            &tag,
        ];
        ask(
            &tailnet.house,
            method,
            target,
            &[&lines[..], &more].concat(),
        );
        let seen = witness(&tailnet, &ui, &row);
        for (name, count) in [
            ("x-secret-hop", 0),
            ("te", 0),
            ("keep-alive", 0),
            ("host", 1),
            ("true-client-ip", 1),
            ("x-real-ip", 1),
            ("x-forwarded-for", 1),
        ] {
            assert_eq!(seen.fields.values(name).len(), count, "{target} {name}");
        }
        if target.starts_with("/ui/") {
            assert_eq!(seen.fields.values("remote-user"), ["dominic"]);
        }
        if target.starts_with("/api/") {
            assert_eq!(
                seen.fields.values("authorization"),
                ["Bearer hskey-api-standin"]
            );
        }
    }
}

#[test]
fn a_connection_field_that_would_take_the_way_itself_away_is_a_400() {
    let (tailnet, _ui) = start("");
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    for nominated in [
        "Host",
        "X-Forwarded-For",
        "x-forwarded-host",
        "a b",
        "\"host\"",
        ":authority",
    ] {
        let line = format!("Connection: close, {nominated}");
        for (target, lines) in [("/key?v=140", &[][..]), ("/windows", &[session.as_str()])] {
            let all = [lines, &[line.as_str(), "X-Row: nominated"]].concat();
            let answer = ask(&tailnet.house, "GET", target, &all);
            assert_eq!(answer.status(), 400, "{nominated} {target}");
            assert_eq!(answer.json()["error"], "bad_request");
        }
    }
    assert!(seen(&tailnet.headscale, "nominated").is_empty());
    // Framing that is nominated is still framing.
    for (framing, body) in [
        ("Content-Length: 5", &b"hello"[..]),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let name = framing.split(':').next().unwrap();
        let line = format!("Connection: {name}");
        let tag = format!("X-Row: {name}");
        let lines = [framing, &line, &tag, &session];
        let mut bytes = request(&tailnet.house, "POST", "/windows", &lines);
        bytes.extend_from_slice(body);
        assert_eq!(
            send(tailnet.house.plan.public, &bytes).status(),
            405,
            "{framing}"
        );
        let seen = seen(&tailnet.headscale, name);
        assert_eq!(
            (seen.len(), seen[0].body.as_slice()),
            (1, &b"hello"[..]),
            "{framing}"
        );
    }
}

#[test]
fn a_web_ui_is_told_who_is_there_by_us_and_nobody_else_is() {
    let (mut tailnet, ui) = start("");
    tailnet.provider.set_person(
        "zoe",
        &serde_json::json!({
            "name": "Zoë | \u{1f600}, admin",
            "email": "zoe@acmecorp.net",
            "groups": ["headscale", "a,headscale-admins", "b|c"],
        }),
    );
    let person = crate::stage::somebody(&tailnet, "zoe");
    let session = session_line(&tailnet.house, &person);
    ask(
        &tailnet.house,
        "GET",
        "/ui/",
        &[&session, "X-Row: ui", "Remote-User: root"],
    );
    let seen_there = witness(&tailnet, &ui, "ui");
    for (name, value) in [
        ("Remote-User", "zoe"),
        ("Remote-Email", "zoe@acmecorp.net"),
        ("Remote-Name", "Zo%C3%AB %7C %F0%9F%98%80%2C admin"),
        ("Remote-Groups", "headscale,a%2Cheadscale-admins,b%7Cc"),
    ] {
        assert_eq!(seen_there.fields.values(name), [value]);
    }
    ask(
        &tailnet.house,
        "GET",
        "/windows",
        &[&session, "X-Row: headscale"],
    );
    let head = witness(&tailnet, &ui, "headscale").head;
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(!head.contains("remote-") && !head.contains("zoe"), "{head}");
}

#[test]
fn each_rule_tells_its_upstream_in_its_own_fields_and_in_no_others() {
    let (mut tailnet, ui) = start("");
    tailnet.provider.set_person(
        "zoe",
        &serde_json::json!({
            "name": "Zoë <root@acmecorp.net>",
            "email": "zoe@acmecorp.net",
            "groups": ["headscale", "a,b", "c|d", "e;f"],
        }),
    );
    let person = crate::stage::somebody(&tailnet, "zoe");
    let session = session_line(&tailnet.house, &person);
    ask(
        &tailnet.house,
        "GET",
        "/both/a",
        &[&session, "X-Row: subject"],
    );
    let told = witness(&tailnet, &ui, "subject").fields;
    let [subject] = told.values("x-authentik-uid")[..] else {
        panic!("{told:?}")
    };
    assert!(!subject.is_empty() && subject != "zoe", "{subject}");
    let id = format!("{}{{{subject}", tailnet.provider.issuer());
    let remote = [
        ("Remote-User", "zoe"),
        ("Remote-Email", "zoe@acmecorp.net"),
        ("Remote-Name", "Zo%C3%AB <root@acmecorp.net>"),
        ("Remote-Groups", "headscale,a%2Cb,c%7Cd,e%3Bf"),
    ];
    let forwarded = [
        ("X-Forwarded-User", subject),
        ("X-Forwarded-Email", "zoe@acmecorp.net"),
        ("X-Forwarded-Preferred-Username", "zoe"),
        ("X-Forwarded-Groups", "headscale,a%2Cb,c%7Cd,e%3Bf"),
    ];
    let authentik = [
        ("X-authentik-username", "zoe"),
        ("X-authentik-groups", "headscale|a%2Cb|c%7Cd|e%3Bf"),
        ("X-authentik-email", "zoe@acmecorp.net"),
        ("X-authentik-name", "Zo%C3%AB <root@acmecorp.net>"),
        ("X-authentik-uid", subject),
    ];
    let crew = [
        (
            "X-Crew",
            "Zo%C3%AB%20%3Croot@acmecorp.net%3E <zoe@acmecorp.net>",
        ),
        ("X-Crews", "headscale;a%2Cb;c%7Cd;e%3Bf"),
        ("X-Crew-Id", id.as_str()),
    ];
    let all = [&remote[..], &forwarded, &authentik, &crew].concat();
    let forged: Vec<String> = all
        .iter()
        .map(|(name, _)| format!("{name}: {FORGED}"))
        .collect();
    for (path, told) in [
        ("/ui/a", remote.to_vec()),
        ("/forwarded/a", forwarded.to_vec()),
        ("/both/a", [&remote[..], &authentik].concat()),
        ("/crew/a", crew.to_vec()),
        ("/windows", Vec::new()),
    ] {
        let tag = format!("X-Row: {path}");
        let lines: Vec<&str> = forged.iter().map(String::as_str).collect();
        let lines = [&lines[..], &[session.as_str(), tag.as_str()]].concat();
        ask(&tailnet.house, "GET", path, &lines);
        let seen = witness(&tailnet, &ui, path);
        for (name, _) in &all {
            let value = told.iter().find(|(known, _)| known == name);
            let expected: Vec<&str> = value.iter().map(|(_, value)| *value).collect();
            assert_eq!(seen.fields.values(name), expected, "{path} {name}");
        }
    }
}

#[test]
fn our_cookies_stay_here_and_others_pass_byte_for_byte() {
    let (tailnet, ui) = start("");
    let person = member(&tailnet);
    let id = session_value(&tailnet.house, &person);
    let ours = format!("{SESSION}={id}");
    let login = "headwarden-login-AAAAAAAA=sealed";
    for (at, (sent, passed)) in [
        (ours.clone(), None),
        (format!("{ours}; {login}"), None),
        (format!("a=1; {ours}; b=2"), Some("a=1; b=2")),
        (
            format!("{ours}; a=\"q; x\";  b = 2"),
            Some("a=\"q; x\";  b = 2"),
        ),
        (
            format!("theme=dark; {login}; {ours}; state_abc=1"),
            Some("theme=dark; state_abc=1"),
        ),
        (
            format!("headwardenx=1; {ours}; xheadwarden=2"),
            Some("headwardenx=1; xheadwarden=2"),
        ),
        (format!("{ours}; noequals; =v"), Some("noequals; =v")),
        (
            format!("{ours}; HEADWARDEN={id}; Headwarden-Login-x=1; a=1"),
            Some("a=1"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        for (target, to) in [("/windows", "headscale"), ("/ui/", "ui")] {
            let row = format!("{to}-{at}");
            let lines = [format!("Cookie: {sent}"), format!("X-Row: {row}")];
            let answer = ask(&tailnet.house, "GET", target, &[&lines[0], &lines[1]]);
            assert_ne!(answer.status(), 401, "{sent}");
            let seen = witness(&tailnet, &ui, &row);
            assert_eq!(seen.fields.value("cookie"), passed, "{sent}");
            assert!(!String::from_utf8_lossy(&seen.head).contains(&id));
        }
    }
    // Doors that need no cookie pass none at all.
    for (at, (method, target, lines)) in [
        ("GET", "/key?v=140", &[][..]),
        ("POST", "/ts2021", &UPGRADE[..]),
        ("GET", "/api/v1/user", &["Authorization: Bearer x"]),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("none-{at}");
        let more = [format!("Cookie: a=1; {ours}"), format!("X-Row: {row}")];
        ask(
            &tailnet.house,
            method,
            target,
            &[lines, &[&more[0], &more[1]]].concat(),
        );
        assert_eq!(
            witness(&tailnet, &ui, &row).fields.value("cookie"),
            None,
            "{target}"
        );
    }
}

#[test]
fn an_upstream_sets_neither_our_cookies_nor_those_of_headscales_sign_in() {
    let (tailnet, ui) = start("");
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let cookies = [
        "headwarden=planted; Path=/",
        "HEADWARDEN=planted; Path=/",
        " headwarden =planted",
        "headwarden-login-AAAAAAAA=planted",
        "__Host-other=1; Secure; Path=/",
        "state_abcdef=1; Path=/oidc/callback",
        "nonce_abcdef=1; Path=/oidc/callback",
        "headscale_register_confirm=1; Path=/register/confirm/x",
        "theme=dark; Path=/",
    ];
    let fields = cookies
        .map(|cookie| format!("Set-Cookie: {cookie}\r\n"))
        .concat();
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok").into_bytes();
    for (target, upstream, kept) in [
        ("/windows", &tailnet.headscale, &cookies[4..]),
        ("/ui/a", &ui, &cookies[8..]),
    ] {
        upstream.script(target, Script::Bytes(answer.clone()));
        let answer = ask(&tailnet.house, "GET", target, &[&session]);
        assert_eq!(answer.head.fields.values("set-cookie"), kept, "{target}");
        assert_eq!(answer.body, b"ok");
    }
    tailnet.headscale.script("/key", Script::Bytes(answer));
    let open = ask(&tailnet.house, "GET", "/key", &[]);
    assert!(!String::from_utf8_lossy(&open.head.raw).contains("planted"));
}

#[test]
fn credentials_of_a_client_reach_the_api_and_a_web_ui_and_nobody_else() {
    let (tailnet, ui) = start("");
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let typed = "Authorization: Bearer typed";
    for (at, (method, target, lines, passed)) in [
        ("GET", "/key?v=140", &[][..], &[][..]),
        ("GET", "/health", &[], &[]),
        ("POST", "/ts2021", &UPGRADE, &[]),
        ("GET", "/windows", &[&session], &[]),
        ("GET", "/", &[&session, HTML], &[]),
        ("GET", "/ui/", &[&session], &["Bearer typed"]),
        ("GET", "/api/v1/user", &[], &["Bearer typed"]),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("{at}");
        let tag = format!("X-Row: {row}");
        ask(
            &tailnet.house,
            method,
            target,
            &[lines, &[typed, &tag]].concat(),
        );
        let seen = witness(&tailnet, &ui, &row);
        assert_eq!(seen.fields.values("authorization"), passed, "{target}");
    }
}

#[test]
fn trailers_bring_no_fields_to_an_upstream() {
    let (tailnet, _ui) = start("");
    let person = member(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let lines = [
        &session,
        "Transfer-Encoding: chunked",
        "Trailer: Remote-User",
        "X-Row: trailer",
    ];
    let mut bytes = request(&tailnet.house, "POST", "/windows", &lines);
    bytes.extend_from_slice(b"2\r\nhi\r\n0\r\nRemote-User: forged\r\n\r\n");
    let answer = send(tailnet.house.plan.public, &bytes);
    assert_eq!(answer.status(), 405, "{}", answer.text());
    let seen = seen(&tailnet.headscale, "trailer");
    assert_eq!((seen.len(), seen[0].body.as_slice()), (1, &b"hi"[..]));
    assert_eq!(seen[0].fields.value("trailer"), None);
    let mut raw = Raw::connect(tailnet.house.plan.public).unwrap();
    let after = raw.exchange(&request(&tailnet.house, "GET", "/windows", &[&session]));
    assert_eq!(after.unwrap().status(), 200);
}
