//! Headscale's API: a key of one's own, or a session with a role, for which ours is put in.

use serde_json::json;

use crate::stage::{HTML, SAME_ORIGIN, admin, ask, member, seen, session_line, somebody};
use crate::support::headscale_standin::{Device, HeadscaleStandin, Options, Script};
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::raw::{Raw, Response};
use crate::support::tailnet::Tailnet;

const KEY: &str = "hskey-api-standin";
const EMPTY: &str = "Content-Length: 0";

fn start(headscale: &'static str, more: &'static str) -> Tailnet {
    start_at("v0.29.2", headscale, more)
}

fn start_at(version: &str, headscale: &'static str, more: &'static str) -> Tailnet {
    let mut tailnet = Tailnet::start_with(version, |_| More {
        headscale,
        top: Box::leak(
            format!("api:\n  admins: [headscale-admins]\n  viewers: [headscale-auditors]\n{more}")
                .into_boxed_str(),
        ),
        ..More::default()
    });
    tailnet.provider.set_person(
        "vera",
        &json!({
            "name": "Vera Viewer",
            "email": "vera@acmecorp.net",
            "groups": ["headscale", "headscale-auditors"],
        }),
    );
    tailnet
}

fn keyed() -> Tailnet {
    start("  api_key: hskey-api-standin\n", "")
}

/// An answer that never holds the key.
fn asked(house: &House, method: &str, target: &str, lines: &[&str]) -> Response {
    let answer = ask(house, method, target, lines);
    let head = String::from_utf8_lossy(&answer.head.raw).into_owned();
    assert!(
        !head.contains(KEY) && !answer.text().contains(KEY),
        "{method} {target}"
    );
    for field in ["location", "access-control-allow-origin", "set-cookie"] {
        assert_eq!(answer.header(field), None, "{method} {target} {field}");
    }
    answer
}

#[test]
fn a_session_may_do_what_its_role_allows() {
    let tailnet = keyed();
    let people = [
        ("admin", admin(&tailnet)),
        ("viewer", somebody(&tailnet, "vera")),
        ("member", member(&tailnet)),
    ];
    for (role, person) in people {
        let session = session_line(&tailnet.house, &person);
        for (at, (method, target, safe)) in [
            ("GET", "/api/v1/user", true),
            ("HEAD", "/api/v1/user", true),
            ("POST", "/api/v1/user", false),
            ("PUT", "/api/v1/policy", false),
            ("DELETE", "/api/v1/node/1", false),
            ("PATCH", "/api/v1/node/1", false),
            ("OPTIONS", "/api/v1/user", false),
            ("GET", "/api/v2/tailnet/-/devices", true),
            ("POST", "/api/v2/tailnet/-/keys", false),
        ]
        .into_iter()
        .enumerate()
        {
            let row = format!("{role}-{at}");
            let tag = format!("X-Row: {row}");
            let lines = [
                &session,
                SAME_ORIGIN,
                "Authorization: Bearer typed-by-hand",
                EMPTY,
                &tag,
            ];
            let answer = asked(&tailnet.house, method, target, &lines);
            let allowed = role == "admin" || (role == "viewer" && safe);
            let seen = seen(&tailnet.headscale, &row);
            assert_eq!(seen.len(), usize::from(allowed), "{role} {method} {target}");
            if allowed {
                assert_ne!(answer.status(), 401, "{role} {method} {target}");
                let ours = format!("Bearer {KEY}");
                assert_eq!(seen[0].fields.values("authorization"), [ours.as_str()]);
                assert_eq!(seen[0].fields.value("cookie"), None);
            } else {
                assert_eq!(answer.status(), 403, "{role} {method} {target}");
                assert!(method == "HEAD" || answer.json()["error"] == "forbidden");
            }
        }
    }
    let log = tailnet.house.log();
    assert!(
        !log.contains(KEY) && !log.contains("typed-by-hand"),
        "{log}"
    );
    assert!(log.contains("act=\"api_write\"") && log.contains("no api role for this method"));
}

/// headscale-admin shows `message` where there is a `code`, headscale-ui shows `message`; what is made for
/// 0.30 looks for `detail` in v1, and what is made for Tailscale for `message` and `status` in v2.
#[test]
fn a_refusal_is_in_the_words_that_clients_of_the_version_and_of_others_look_for() {
    let plain = "application/json";
    let problem = "application/problem+json";
    for (version, of_v1) in [("v0.27.1", plain), ("v0.29.2", plain), ("v0.30.0", problem)] {
        let tailnet = start_at(
            version,
            "  api_key: hskey-api-standin\n",
            "access:\n  - { path: \"/api/v1/policy\", amr: [mfa] }\n  \
             - { path: \"/api/v2/policy\", amr: [mfa] }\n",
        );
        let line = |person: &Person| session_line(&tailnet.house, person);
        let nobody = "Accept: */*".to_owned();
        let viewer = line(&somebody(&tailnet, "vera"));
        let member = line(&member(&tailnet));
        let admin = line(&admin(&tailnet));
        let no_answer = Script::Bytes(b"hello\r\n\r\n".to_vec());
        tailnet.headscale.script("/api/v1/node", no_answer);
        for (api, kind) in [("/api/v1", of_v1), ("/api/v2", problem)] {
            for (who, method, path, status, code, error, words) in [
                (
                    &nobody,
                    "GET",
                    "/user",
                    401,
                    16,
                    "unauthorized",
                    "an API key, or",
                ),
                (
                    &member,
                    "GET",
                    "/user",
                    403,
                    7,
                    "forbidden",
                    "no role for this",
                ),
                (
                    &viewer,
                    "POST",
                    "/user",
                    403,
                    7,
                    "forbidden",
                    "no role for this",
                ),
                (
                    &admin,
                    "GET",
                    "/policy",
                    401,
                    16,
                    "step_up_needed",
                    "a stronger sign-in",
                ),
                (
                    &admin,
                    "GET",
                    "/node",
                    502,
                    14,
                    "upstream_unavailable",
                    "no proper answer",
                ),
            ] {
                if (api, status) == ("/api/v2", 502) {
                    continue;
                }
                let target = format!("{api}{path}");
                let lines = [who, SAME_ORIGIN, EMPTY, "Accept: application/json"];
                let answer = asked(&tailnet.house, method, &target, &lines);
                let row = format!("{version} {method} {target}: {}", answer.text());
                assert_eq!(answer.status(), status, "{row}");
                assert_eq!(answer.header("content-type"), Some(kind), "{row}");
                let body = answer.json();
                let message = body["message"].as_str().unwrap_or_default();
                assert!(message.contains(words), "{row}");
                let title = http::StatusCode::from_u16(status).unwrap();
                let wanted = json!({
                    "code": code, "details": [], "title": title.canonical_reason(),
                    "status": status, "detail": message, "error": error,
                });
                for (name, value) in wanted.as_object().unwrap() {
                    assert_eq!(&body[name], value, "{name}: {row}");
                }
                assert!(body["support_id"].is_string(), "{row}");
            }
        }
        // Elsewhere it is as it always was.
        let other = ask(
            &tailnet.house,
            "GET",
            "/windows",
            &["Accept: application/json"],
        );
        assert_eq!((other.status(), &other.json()["code"]), (401, &json!(null)));
        assert_eq!(other.header("content-type"), Some(plain));
    }
}

#[test]
fn without_a_same_origin_proof_a_session_is_nothing_here() {
    let tailnet = keyed();
    let person = admin(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let ours = format!("Origin: {}", tailnet.house.plan.origin());
    for (at, lines) in [
        &[][..],
        &[HTML],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site", &ours],
        &["Sec-Fetch-Site: none", &ours],
        &["Sec-Fetch-Site: Same-Origin"],
        &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        &["Origin: null"],
        &["Origin: https://evil.example"],
        &["Referer: http://127.0.0.1/"],
        &["X-Requested-With: XMLHttpRequest"],
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("{at}");
        let tag = format!("X-Row: {row}");
        let all = [lines, &[&session, &tag]].concat();
        let answer = asked(&tailnet.house, "GET", "/api/v1/user", &all);
        assert_eq!(answer.status(), 401, "{lines:?}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"headscale\"")
        );
        assert!(seen(&tailnet.headscale, &row).is_empty());
        // Credentials of one's own go on as they are, session or not.
        let all = [lines, &[&session, &tag, "Authorization: Bearer mine"]].concat();
        asked(
            &tailnet.house,
            "POST",
            "/api/v1/user",
            &[&all[..], &[EMPTY]].concat(),
        );
        let seen = seen(&tailnet.headscale, &row);
        assert_eq!(seen[0].fields.values("authorization"), ["Bearer mine"]);
        assert_eq!(seen[0].fields.value("cookie"), None);
    }
    let proven = asked(&tailnet.house, "GET", "/api/v1/user", &[&session, &ours]);
    assert_eq!(proven.status(), 200, "an older browser's proof");
}

#[test]
fn credentials_of_ones_own_pass_unchanged_and_are_headscales_business() {
    let tailnet = keyed();
    for (at, (method, target, authorization, status, passes)) in [
        ("GET", "/api/v1/user", "Bearer hskey-api-standin", 200, true),
        ("GET", "/api/v1/user", "bearer  hskey-wrong", 401, true),
        ("GET", "/api/v1/user", "Basic dXNlcjpwYXNz", 401, false),
        ("GET", "/api/v1/user", "Bearer", 401, false),
        ("GET", "/api/v1/user", "Digest a", 401, false),
        (
            "GET",
            "/api/v2/tailnet/-/devices",
            "Basic dXNlcjpwYXNz",
            401,
            true,
        ),
        ("GET", "/api/v2/tailnet/-/devices", "Bearer x", 401, true),
        ("GET", "/api/v2/tailnet/-/devices", "Digest a", 401, false),
        (
            "POST",
            "/api/v2/oauth/token",
            "Basic dXNlcjpwYXNz",
            401,
            true,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("{at}");
        let lines = [
            format!("X-Row: {row}"),
            format!("Authorization: {authorization}"),
        ];
        let answer = ask(
            &tailnet.house,
            method,
            target,
            &[&lines[0], &lines[1], HTML, EMPTY],
        );
        assert_eq!(answer.status(), status, "{target} {authorization}");
        assert_eq!(answer.header("location"), None);
        let seen = seen(&tailnet.headscale, &row);
        assert_eq!(seen.len(), usize::from(passes), "{target} {authorization}");
        for seen in seen {
            assert_eq!(seen.fields.values("authorization"), [authorization]);
        }
    }
    let twice = [
        "Authorization: Bearer a",
        "Authorization: Bearer b",
        "X-Row: twice",
    ];
    assert_eq!(
        asked(&tailnet.house, "GET", "/api/v1/user", &twice).status(),
        401
    );
    assert!(seen(&tailnet.headscale, "twice").is_empty());
    // The token endpoint has its credentials in the form; a session adds nothing to it.
    let person = admin(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let lines = [&session, SAME_ORIGIN, EMPTY, "X-Row: token"];
    asked(&tailnet.house, "POST", "/api/v2/oauth/token", &lines);
    let seen = seen(&tailnet.headscale, "token");
    assert_eq!(
        (seen.len(), seen[0].fields.value("authorization")),
        (1, None)
    );
}

#[test]
fn without_a_key_of_ours_only_credentials_of_ones_own_count() {
    let tailnet = start("", "");
    let person = admin(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let answer = asked(
        &tailnet.house,
        "GET",
        "/api/v1/user",
        &[&session, SAME_ORIGIN],
    );
    assert_eq!(answer.status(), 401);
    let typed = format!("Authorization: Bearer {KEY}");
    let answer = asked(
        &tailnet.house,
        "GET",
        "/api/v1/user",
        &[&session, SAME_ORIGIN, &typed],
    );
    assert_eq!(answer.status(), 200);
}

#[test]
fn keys_of_ones_own_can_be_switched_off() {
    let tailnet = start("  api_key: hskey-api-standin\n", "  bearer: deny\n");
    let typed = format!("Authorization: Bearer {KEY}");
    for (method, target) in [("GET", "/api/v1/user"), ("POST", "/api/v2/oauth/token")] {
        let answer = asked(
            &tailnet.house,
            method,
            target,
            &[&typed, EMPTY, "X-Row: typed"],
        );
        assert_eq!(answer.status(), 401, "{target}");
    }
    assert!(seen(&tailnet.headscale, "typed").is_empty());
    let person = admin(&tailnet);
    let session = session_line(&tailnet.house, &person);
    let answer = asked(
        &tailnet.house,
        "GET",
        "/api/v1/user",
        &[&session, SAME_ORIGIN],
    );
    assert_eq!(answer.status(), 200);
}

#[test]
fn the_apis_documentation_is_for_those_with_a_role() {
    let tailnet = keyed();
    tailnet
        .headscale
        .configure(|options| options.version = "v0.30.0".to_owned());
    let viewer = session_line(&tailnet.house, &somebody(&tailnet, "vera"));
    let member = session_line(&tailnet.house, &member(&tailnet));
    for target in ["/api/v1/docs", "/api/v2/openapi.json", "/swagger"] {
        let anonymous = ask(&tailnet.house, "GET", target, &[HTML]);
        assert_eq!(anonymous.status(), 303, "{target}");
        let keyed = format!("Authorization: Bearer {KEY}");
        assert_eq!(
            ask(&tailnet.house, "GET", target, &[&keyed]).status(),
            401,
            "{target}"
        );
        let refused = ask(
            &tailnet.house,
            "GET",
            target,
            &[HTML, &member, "X-Row: member"],
        );
        assert_eq!(refused.status(), 403, "{target}");
        let tag = format!("X-Row: {target}");
        ask(&tailnet.house, "GET", target, &[&viewer, &tag]);
        let seen = seen(&tailnet.headscale, target);
        assert_eq!(seen.len(), 1, "{target}");
        assert_eq!(
            seen[0].fields.value("authorization"),
            None,
            "no key for documents"
        );
    }
    assert!(seen(&tailnet.headscale, "member").is_empty());
}

#[test]
fn a_viewer_does_not_list_the_keys_that_let_devices_in() {
    let tailnet = keyed();
    tailnet.headscale.add_node(Device {
        pre_auth_key: Some("0123-a-key-of-old".to_owned()),
        ..Device::of("ben", "server")
    });
    let people = [
        ("admin", admin(&tailnet), 200),
        ("viewer", somebody(&tailnet, "vera"), 403),
    ];
    for (role, person, status) in people {
        let session = session_line(&tailnet.house, &person);
        for target in ["/api/v1/preauthkey", "/api/v1/preauthkey?user=1"] {
            let answer = asked(&tailnet.house, "GET", target, &[&session, SAME_ORIGIN]);
            assert_eq!(answer.status(), status, "{role} {target}");
            let told = answer.text().contains("a-key-of-old");
            assert_eq!(told, status == 200, "{role} {target}");
        }
        for target in [
            "/api/v1/preauthkey/",
            "/api/v1/PreAuthKey",
            "/api/v1/%70reauthkey",
        ] {
            let answer = asked(&tailnet.house, "GET", target, &[&session, SAME_ORIGIN]);
            let expected = if role == "admin" { 404 } else { 403 };
            let refused = [400, expected].contains(&answer.status());
            assert!(refused, "{role} {target} {}", answer.status());
        }
    }
}

#[test]
fn with_api_from_a_session_counts_for_the_pages_that_are_listed_and_that_the_person_may_see() {
    let tailnet = start(
        "  api_key: hskey-api-standin\n",
        "  from: [\"/web/**\"]\naccess:\n  - { path: \"/web/secret/**\", groups: [headscale-admins] }\n  \
         - { path: \"/web/**\", groups: [headscale-admins, headscale-auditors] }\n  \
         - { path: \"/other/**\" }\n",
    );
    let origin = tailnet.house.plan.origin();
    let admin = session_line(&tailnet.house, &admin(&tailnet));
    let viewer = session_line(&tailnet.house, &somebody(&tailnet, "vera"));
    let at = |path: &str| format!("Referer: {origin}{path}");
    for (row, (lines, who, status, told)) in [
        (vec![at("/web/")], &admin, 200, ""),
        (vec![at("/web")], &admin, 200, ""),
        (vec![at("/web/a/b?c=d")], &viewer, 200, ""),
        (vec![], &admin, 403, "Referer"),
        (vec![at("/")], &admin, 403, "this page"),
        (vec![at("")], &admin, 403, "this page"),
        (vec![at("/other/web/")], &admin, 403, "this page"),
        (vec![at("/webs")], &admin, 403, "this page"),
        (vec![at("/web/../other/")], &admin, 403, "this page"),
        (vec![at("/other/..%2fweb/")], &admin, 403, "this page"),
        (vec![at("/web%2f")], &admin, 403, "this page"),
        (vec![at("/WEB/")], &admin, 403, "this page"),
        // The rule before it is another one, and not for everybody.
        (vec![at("/web/secret/")], &admin, 403, "this page"),
        (vec![at("/web/Secret/")], &viewer, 403, "this page"),
        (
            vec!["Referer: https://evil.example/web/".to_owned()],
            &admin,
            403,
            "this page",
        ),
        (vec!["Referer: /web/".to_owned()], &admin, 403, "this page"),
        (
            vec![format!("Referer: {origin}@evil.example/web/")],
            &admin,
            403,
            "this page",
        ),
        (vec![at("/web/"), at("/web/")], &admin, 403, "Referer"),
    ]
    .into_iter()
    .enumerate()
    {
        let tag = format!("X-Row: from-{row}");
        let mut all = vec![who.as_str(), SAME_ORIGIN, &tag];
        all.extend(lines.iter().map(String::as_str));
        let answer = asked(&tailnet.house, "GET", "/api/v1/user", &all);
        assert_eq!(answer.status(), status, "{lines:?}");
        assert!(answer.text().contains(told), "{lines:?} {}", answer.text());
        let seen = seen(&tailnet.headscale, &format!("from-{row}"));
        assert_eq!(seen.len(), usize::from(status == 200), "{lines:?}");
    }
    // Whoever has a key of their own needs no page.
    let own = format!("Authorization: Bearer {KEY}");
    let answer = ask(&tailnet.house, "GET", "/api/v1/user", &[&own]);
    assert_eq!(answer.status(), 200);
    let log = tailnet.house.log();
    assert!(log.contains("no Referer says") && log.contains("not come from a page of api.from"));
}

#[test]
fn a_page_of_api_from_that_asks_for_a_stronger_sign_in_asks_it_of_its_requests_too() {
    let tailnet = start(
        "  api_key: hskey-api-standin\n",
        "  from: [\"/web/**\", \"/plain/**\"]\naccess:\n  - { path: \"/web/**\", amr: [mfa] }\n  \
         - { path: \"/plain/**\" }\n",
    );
    let origin = tailnet.house.plan.origin();
    let admin = session_line(&tailnet.house, &admin(&tailnet));
    for (page, status) in [("/plain/", 200), ("/web/", 401), ("/web/a?b", 401)] {
        let tag = format!("X-Row: page-{status}");
        let from = format!("Referer: {origin}{page}");
        let lines = [&*admin, SAME_ORIGIN, &tag, &from];
        let answer = asked(&tailnet.house, "GET", "/api/v1/user", &lines);
        assert_eq!(answer.status(), status, "{page}: {}", answer.text());
        let told =
            answer.text().contains("step_up_needed") && answer.text().contains("for=%2Fweb%2F");
        assert_eq!(told, status == 401, "{page}: {}", answer.text());
    }
    assert!(seen(&tailnet.headscale, "page-401").is_empty());
}

/// Unix seconds, so many days from now.
#[expect(
    clippy::disallowed_methods,
    reason = "the stand-in's keys end by the real clock"
)]
fn in_days(days: i64) -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed()) + days * 86_400
}

#[test]
fn the_key_is_renewed_while_people_use_it_and_is_told_to_nobody() {
    let old = format!("hskey-api-AbCdEfGhIjKl-{}", "7".repeat(64));
    let headscale = HeadscaleStandin::start(Options::default());
    headscale.add_api_key(&old, Some(in_days(20)));
    let mut path = std::path::PathBuf::new();
    let mut tailnet = Tailnet::start_around(headscale, |plan| {
        path = plan.files.join("api_key");
        std::fs::write(&path, format!("{old}\n")).expect("a file");
        let headscale = format!(
            "  api_key_path: {}\n  api_key_rotate: {{ enabled: true }}\n",
            path.display()
        );
        More {
            headscale: Box::leak(headscale.into_boxed_str()),
            top: "api: { admins: [headscale-admins] }\n",
            ..More::default()
        }
    });
    tailnet.house.wait_for_log("the API key is renewed");
    // Our own write is noticed as any other is, and changes nothing.
    tailnet
        .house
        .wait_for_log("nothing that runs is changed by it");
    let new = std::fs::read_to_string(&path).expect("a file");
    let new = new.trim();
    assert_ne!(new, old);
    let session = session_line(&tailnet.house, &admin(&tailnet));
    let lines = [session.as_str(), SAME_ORIGIN, "X-Row: renewed"];
    let answer = ask(&tailnet.house, "GET", "/api/v1/user", &lines);
    assert_eq!(answer.status(), 200);
    let seen = seen(&tailnet.headscale, "renewed");
    let ours = format!("Bearer {new}");
    assert_eq!(seen[0].fields.values("authorization"), [ours.as_str()]);
    let log = tailnet.house.log();
    assert!(
        !log.contains(&new[24..]) && !log.contains(&old[24..]),
        "{log}"
    );
    let line = tailnet.house.wait_for_log("act=\"api_key_renewed\"");
    assert!(
        line.contains(&new[10..22]) && line.contains("headwarden"),
        "{line}"
    );
    let metrics = metrics(&tailnet.house);
    let done = "headwarden_api_key_renewals_total{outcome=\"done\"} 1";
    assert!(metrics.contains(done), "{metrics}");
    assert!(!metrics.contains(&new[24..]));
}

fn metrics(house: &House) -> String {
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut raw = Raw::connect(house.plan.admin).expect("the admin listener");
    raw.exchange(request).expect("an answer").text()
}
