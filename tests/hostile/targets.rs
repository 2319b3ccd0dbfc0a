//! Group A: the target that was judged is the target that is forwarded, and what can be read in two
//! ways is a 400. The property over random targets is `headwarden::domain::door::differential`.

pub(crate) mod scene;

use std::collections::BTreeMap;

use crate::stage::{HTML, send};
use crate::support::headscale_standin::Seen;
use crate::support::raw::Raw;
use scene::{Scene, With, door_of, judge};

/// What becomes of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// 400, or 414 where it is too long.
    Refused,
    /// Needs a session; a member's is enough.
    Guarded,
    /// Needs a session, and an admin's.
    Admins,
    /// Passes without a session.
    Open,
    /// 404 for everybody.
    Closed,
}

pub(crate) use Want::{Admins, Closed, Guarded, Open, Refused};

/// Case, target, what becomes of it.
pub(crate) const TARGETS: &[(&str, &str, Want)] = &[
    // Query and fragment feed nothing.
    ("A1", "/ui/private?x=/public/page", Guarded),
    ("A1", "/ui/private?/public/page", Guarded),
    ("A1", "/ui/private?path=/health", Guarded),
    ("A1", "/ui/private?../../public/page", Guarded),
    ("A1", "/ui/private?%2e%2e%2fpublic%2fpage", Guarded),
    ("A1", "/ui/private?;/../public/page", Guarded),
    ("A1", "/ui/private?a\\..\\b", Guarded),
    ("A1", "/ui/private?//public/page?/key", Guarded),
    ("A1", "/ui/private/%3F/public/page", Guarded),
    ("A1", "/ui/private%3F/public/page", Guarded),
    ("A1", "/?/public/page", Guarded),
    ("A1", "/?/key", Guarded),
    ("A1", "/ui/admin?/ui/private", Admins),
    ("A1", "/ui/private?url=http://127.0.0.1/key", Guarded),
    ("A1", "/public/page?x=/ui/private", Open),
    ("A1", "/key?v=140&x=/../ui/private", Open),
    ("A1", "/ui/private?a=\"", Refused),
    ("A1", "/ui/private?<script>", Refused),
    // Dot segments.
    ("A2", "/public/../ui/private", Refused),
    ("A2", "/public/./../ui/private", Refused),
    ("A2", "/public/.../ui/private", Refused),
    ("A2", "/public/....//ui/private", Refused),
    ("A2", "/..//ui/private", Refused),
    ("A2", "/public/..", Refused),
    ("A2", "/public/.", Refused),
    ("A2", "/public/page/..", Refused),
    ("A2", "/public/page/.", Refused),
    ("A2", "/public/../../..", Refused),
    ("A2", "/public/page/../../ui/private", Refused),
    ("A2", "/./ui/private", Refused),
    ("A2", "/ui/./private", Refused),
    ("A2", "/ui/private/./", Refused),
    ("A2", "/../etc/passwd", Refused),
    ("A2", "/public/..?x", Refused),
    ("A2", "/public/.%20./ui/private", Refused),
    ("A2", "/public/..%20/ui/private", Refused),
    ("A2", "/public/%20../ui/private", Refused),
    ("A2", "/public../ui/private", Guarded),
    ("A2", "/public/..ui/private", Guarded),
    ("A2", "/public/page../x", Guarded),
    // Encoded separators.
    ("A3", "/public/..%2fui/private", Refused),
    ("A3", "/public%2f..%2fui/private", Refused),
    ("A3", "/public%2F..%2Fui/private", Refused),
    ("A3", "/public/..%5cui/private", Refused),
    ("A3", "/public%5cpage", Refused),
    ("A3", "/public\\..\\ui/private", Refused),
    ("A3", "\\ui\\private", Refused),
    ("A3", "/\\ui/private", Refused),
    ("A3", "//ui/private", Refused),
    ("A3", "///ui/private", Refused),
    ("A3", "////ui/private", Refused),
    ("A3", "//evil.com/ui/private", Refused),
    ("A3", "//public/page", Refused),
    ("A3", "/public//page", Refused),
    ("A3", "/public/page//", Refused),
    ("A3", "/public//../ui/private", Refused),
    ("A3", "/%2fui/private", Refused),
    ("A3", "/ui%2fprivate", Refused),
    ("A3", "/public/%2f%2fui/private", Refused),
    ("A3", "/public/page%2f", Refused),
    ("A3", "/ui/admin%2fx", Refused),
    // Encoded dots, double encoding, look-alikes.
    ("A4", "/public/%2e%2e/ui/private", Refused),
    ("A4", "/public/%2E%2e%2fui/private", Refused),
    ("A4", "/public/%2e./ui/private", Refused),
    ("A4", "/public/.%2e/ui/private", Refused),
    ("A4", "/public/%252e%252e/ui/private", Refused),
    ("A4", "/public/%252f/page", Refused),
    ("A4", "/public/%25252e/page", Refused),
    ("A4", "/public/page%25", Refused),
    ("A4", "/%75i/private", Refused),
    ("A4", "/%70ublic/page", Refused),
    ("A4", "/public/pag%65", Refused),
    ("A4", "/ui/%61dmin/x", Refused),
    ("A4", "/public/%c0%ae%c0%ae/ui", Refused),
    ("A4", "/public/%c0%afui", Refused),
    ("A4", "/public/%c1%9cui", Refused),
    ("A4", "/public/%e0%80%ae/ui", Refused),
    ("A4", "/public/%e0%80%af/ui", Refused),
    ("A4", "/public/%f0%80%80%ae/ui", Refused),
    ("A4", "/public/%f8%80%80%80%ae/ui", Refused),
    ("A4", "/public/%ed%a0%80/ui", Refused),
    ("A4", "/public/%u002e%u002e/ui", Refused),
    ("A4", "/public/%u2216ui", Refused),
    ("A4", "/public/%ef%bc%8e%ef%bc%8e/ui", Refused),
    ("A4", "/public/..%ef%bc%8fui", Refused),
    ("A4", "/public%ef%bc%bcpage", Refused),
    ("A4", "/public/%e2%80%a5/ui", Refused),
    ("A4", "/public%e2%88%95page", Refused),
    ("A4", "/public%e2%81%84page", Refused),
    ("A4", "/public%c2%a5page", Refused),
    ("A4", "/public%e2%82%a9page", Refused),
    ("A4", "/public%e2%83%a5page", Refused),
    ("A4", "/public%d9%aa2fpage", Refused),
    ("A4", "/ui/%ef%bd%81dmin", Refused),
    ("A4", "/ui/caf%C3%A9/%e6%97%a5", Guarded),
    ("A4", "/ui/a%40b,%2Cc", Guarded),
    // Fragments.
    ("A5", "/ui/private#/public/page", Refused),
    ("A5", "/public/page#", Refused),
    ("A5", "/public/page#/../ui", Refused),
    ("A5", "/key?v=140#x", Refused),
    ("A5", "#/public/page", Refused),
    ("A5", "/#/../ui/private", Refused),
    ("A5", "/public/secret%23/x", Refused),
    ("A5", "/ui/private%23/public/page", Refused),
    ("A5", "/public/page%23", Refused),
    ("A5", "/public/%3f/../ui/private", Refused),
    ("A5", "/public/..%3F/ui/private", Refused),
    ("A5", "/public/..%3fx", Refused),
    ("A5", "/public/page%3F", Guarded),
    ("A5", "/public/page%3f/../x", Refused),
    // Path parameters.
    ("A6", "/public;/../ui/private", Refused),
    ("A6", "/ui/private;x=/public/page", Refused),
    ("A6", "/public/..;/ui/private", Refused),
    ("A6", "/public/..;x=1/ui/private", Refused),
    ("A6", "/;/ui/private", Refused),
    ("A6", "/;x=1/ui/private", Refused),
    ("A6", "/public/;jsessionid=1/../ui/private", Refused),
    ("A6", "/public/page;jsessionid=1", Refused),
    ("A6", "/public/page;", Refused),
    ("A6", "/public/page%3bx", Refused),
    ("A6", "/public/page%3B", Refused),
    ("A6", "/public/page%cd%bex", Refused),
    ("A6", "/public/page?;x=1", Open),
    // Malformed.
    ("A7", "%", Refused),
    ("A7", "%z", Refused),
    ("A7", "/%", Refused),
    ("A7", "/%z", Refused),
    ("A7", "/%zz", Refused),
    ("A7", "/public/%0", Refused),
    ("A7", "/public/page%", Refused),
    ("A7", "/public/page%2", Refused),
    ("A7", "/public/%%32%65/page", Refused),
    ("A7", "/public/%-1", Refused),
    ("A7", "/public/% 2e", Refused),
    ("A7", "*", Refused),
    ("A7", ":80/", Refused),
    ("A7", "public/page", Refused),
    ("A7", "?/public/page", Refused),
    ("A7", ".", Refused),
    ("A7", "..", Refused),
    ("A7", "~/key", Refused),
    ("A7", "@127.0.0.1/key", Refused),
    ("A7", "/public/page|x", Refused),
    ("A7", "/public/page^", Refused),
    ("A7", "/public/page`", Refused),
    ("A7", "/public/{page}", Refused),
    ("A7", "/public/[page]", Refused),
    ("A7", "/public/\"page\"", Refused),
    ("A7", "/public/<page>", Refused),
    ("A7", "/public/pag\u{e9}", Refused),
    ("A7", "/public/\u{ff0e}\u{ff0e}/ui", Refused),
    ("A7", "/public/page\u{2028}", Refused),
    // Control characters.
    ("A8", "/ui/private%00/public/page", Refused),
    ("A8", "/public/page%00", Refused),
    ("A8", "/public/page%00.png", Refused),
    ("A8", "/public%00/../ui/private", Refused),
    ("A8", "/public/page%0d%0a", Refused),
    ("A8", "/public/page%0aX-Row:%20x", Refused),
    ("A8", "/public/page%09", Refused),
    ("A8", "/public/page%0b", Refused),
    ("A8", "/public/page%0c", Refused),
    ("A8", "/public/page%1b", Refused),
    ("A8", "/public/page%7f", Refused),
    ("A8", "/public/page%ad", Refused),
    ("A8", "/public/page%c2%ad", Refused),
    ("A8", "/public/page%c2%85", Refused),
    ("A8", "/public/page%e2%80%8b", Refused),
    ("A8", "/public/page%e2%80%ae", Refused),
    ("A8", "/public/page%e2%80%a8", Refused),
    ("A8", "/public/page%ef%bb%bf", Refused),
    ("A8", "/public/page\t", Refused),
    ("A8", "/public/pa\tge", Refused),
    ("A8", "/public/page\u{b}", Refused),
    ("A8", "/public/page\u{1b}[2J", Refused),
    ("A8", "/public/page\u{7f}", Refused),
    ("A8", "/public/page\0", Refused),
    ("A8", "/public/page%20", Guarded),
    // Where an open path ends.
    ("A10", "/public/page", Open),
    ("A10", "/public", Guarded),
    ("A10", "/public/", Guarded),
    ("A10", "/publicity", Guarded),
    ("A10", "/publicity/page", Guarded),
    ("A10", "/public/page/", Guarded),
    ("A10", "/public/page/x", Guarded),
    ("A10", "/public/pages", Guarded),
    ("A10", "/public/page.php", Guarded),
    ("A10", "/public/page~", Guarded),
    ("A10", "/public/page*", Guarded),
    ("A10", "/public/page.", Guarded),
    ("A10", "/public/page+", Guarded),
    ("A10", "/public/page,x", Guarded),
    ("A10", "/public/page%C2%A0", Guarded),
    ("A10", "/public%2e%2e/ui/private", Refused),
    ("A10", "/x/public/page", Guarded),
    ("A10", "/health", Open),
    ("A10", "/health/", Guarded),
    ("A10", "/healthz", Guarded),
    ("A10", "/health%20", Guarded),
    ("A10", "/health.json", Guarded),
    ("A10", "/health/../ui/private", Refused),
    ("A10", "/ui/logo.png", Open),
    ("A10", "/ui/logo.png/", Guarded),
    ("A10", "/ui/logo.png.map", Guarded),
    ("A10", "/ui/logopng", Guarded),
    ("A10", "/metrics", Closed),
    ("A10", "/metrics/", Closed),
    ("A10", "/debug/pprof/", Closed),
    ("A10", "/oidc/register/x", Closed),
    ("A10", "/register/x", Closed),
    ("A10", "/.headwarden/x", Closed),
    // Where a rule for fewer people ends, and what careless upstreams take for it.
    ("A10", "/ui/admin", Admins),
    ("A10", "/ui/admin/", Admins),
    ("A10", "/ui/admin/x", Admins),
    ("A10", "/ui/administrator", Guarded),
    ("A10", "/ui/admin~", Guarded),
    ("A10", "/ui/admin.php", Guarded),
    ("A10", "/ui/admin-x/y", Guarded),
    ("A10", "/ui/xadmin", Guarded),
    ("A10", "/ui/admin./x", Admins),
    ("A10", "/ui/admin../x", Admins),
    ("A10", "/ui/admin%20/x", Admins),
    ("A10", "/ui/admin%3Fx", Admins),
    ("A10", "/ui/page%3F", Admins),
    ("A10", "/ui/Page%3F/../x", Refused),
    ("A10", "/ui/Admin%20%3Fx", Admins),
    ("A10", "/ui/page", Admins),
    ("A10", "/ui/page/", Admins),
    ("A10", "/ui/page.", Admins),
    ("A10", "/ui/page/x", Guarded),
    // Case.
    ("A11", "/PUBLIC/page", Guarded),
    ("A11", "/public/Page", Guarded),
    ("A11", "/Health", Guarded),
    ("A11", "/KEY", Guarded),
    ("A11", "/UI/LOGO.PNG", Guarded),
    ("A11", "/ui/Logo.png", Guarded),
    ("A11", "/ui/Admin/x", Admins),
    ("A11", "/UI/ADMIN/x", Admins),
    ("A11", "/ui/ADMIN", Admins),
    ("A11", "/ui/Page", Admins),
    ("A11", "/ui/adm%C4%B1n", Admins),
    ("A11", "/.HEADWARDEN/logout", Guarded),
    ("A11", "/OIDC/callback", Guarded),
    ("A11", "/Ts2021", Guarded),
];

/// Who asks, and over which version.
const ASKERS: [(&str, &str); 5] = [
    ("nobody", "HTTP/1.1"),
    ("nobody", "HTTP/1.0"),
    ("member", "HTTP/1.1"),
    ("member", "HTTP/1.0"),
    ("admin", "HTTP/1.1"),
];

/// The statuses that an asker may get, and whether an upstream may see it; `None` where the upstream
/// answers.
pub(crate) fn expected(want: Want, who: &str) -> (&'static [u16], bool) {
    match (want, who) {
        (Refused, _) => (&[400], false),
        (Closed, _) => (&[404], false),
        (Guarded | Admins, "nobody") => (&[401], false),
        (Admins, "member") => (&[403], false),
        (Open | Guarded | Admins, _) => (&[], true),
    }
}

pub(crate) fn only<'a>(seen: &'a BTreeMap<String, Vec<Seen>>, row: &str) -> Option<&'a Seen> {
    match seen.get(row).map(Vec::as_slice) {
        None => None,
        Some([one]) => Some(one),
        Some(many) => panic!("{row} reached an upstream {} times", many.len()),
    }
}

#[test]
fn every_target_is_what_it_says_or_refused_and_goes_on_byte_for_byte() {
    let scene = Scene::start();
    for (at, (case, target, want)) in TARGETS.iter().enumerate() {
        for (who, version) in ASKERS {
            let row = format!("X-Row: {at}-{who}-{version}");
            let mut lines = vec![row.as_str()];
            lines.extend(match who {
                "member" => Some(scene.member.as_str()),
                "admin" => Some(scene.admin.as_str()),
                _ => None,
            });
            let line = format!("GET {target} {version}");
            let answer = scene.ask(line.as_bytes(), &lines);
            let (statuses, _) = expected(*want, who);
            let status = answer.status();
            assert!(
                status < 500 && (statuses.is_empty() || statuses.contains(&status)),
                "{case} {target:?} of {who}: {status} {}",
                answer.text()
            );
            assert_eq!(answer.header("location"), None, "{case} {target:?}");
        }
    }
    let seen = scene.seen();
    for (at, (case, target, want)) in TARGETS.iter().enumerate() {
        for (who, version) in ASKERS {
            let row = format!("{at}-{who}-{version}");
            let what = format!("{case} {target:?} of {who}, {version}");
            let found = only(&seen, &row);
            assert_eq!(found.is_some(), expected(*want, who).1, "{what}");
            if let Some(seen) = found {
                assert_eq!(seen.target, *target, "{what}");
                let with = match who {
                    "nobody" => With::Nothing,
                    _ => With::Session,
                };
                judge(seen, with, &what);
            }
        }
    }
}

#[test]
fn a_person_without_a_session_is_sent_to_the_provider_and_nowhere_else() {
    let scene = Scene::start();
    let provider = scene.stage.faulty.provider.issuer();
    let origin = provider.split("/application").next().unwrap();
    for (case, target, want) in TARGETS.iter().filter(|(.., want)| *want != Open) {
        let answer = scene.ask(format!("GET {target} HTTP/1.1").as_bytes(), &[HTML]);
        let location = answer.header("location");
        match want {
            Guarded | Admins => {
                let away = location.is_some_and(|to| to.starts_with(&format!("{origin}/")));
                assert!(away, "{case} {target:?}: {location:?}");
                assert_eq!(answer.status(), 303, "{case} {target:?}");
            }
            Refused | Closed | Open => assert_eq!(location, None, "{case} {target:?}"),
        }
    }
}

/// Request lines that are none, as bytes.
fn malformed_lines() -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = [
        "GET  /public/page HTTP/1.1",
        "GET /pub lic/page HTTP/1.1",
        "GET /public/page  HTTP/1.1",
        "GET /public/page HTTP/1.1 ",
        " GET /public/page HTTP/1.1",
        "GET\t/public/page HTTP/1.1",
        "GET /public/page\tHTTP/1.1",
        "GET  HTTP/1.1",
        "GET HTTP/1.1",
        "GET",
        "GET /public/page",
        "GET /public/page HTTP",
        "GET /public/page HTTP/",
        "GET /public/page HTTP/1",
        "GET /public/page HTTP/1.1.1",
        "GET /public/page HTTP/1.2",
        "GET /public/page HTTP/2.0",
        "GET /public/page HTTP/0.9",
        "GET /public/page http/1.1",
        "GET /public/page HTTPS/1.1",
        "GET /public/page HTTP/1.1x",
        "/public/page HTTP/1.1",
        "G\u{e9}T /public/page HTTP/1.1",
        "GET( /public/page HTTP/1.1",
        "GET, /public/page HTTP/1.1",
        "GET\0 /public/page HTTP/1.1",
        "GET /public/page HTTP/1.1\rX: y",
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec();
    for byte in (0..=b' ').chain(0x7f..=0xff).filter(|byte| *byte != b'\n') {
        lines.push([b"GET /public/page", &[byte][..], b" HTTP/1.1"].concat());
        lines.push([b"GET /key?v=140", &[byte][..], b" HTTP/1.1"].concat());
    }
    lines
}

#[test]
fn what_is_no_request_line_is_a_400_and_the_last_word_on_its_connection() {
    let scene = Scene::start();
    let host = format!("Host: {}", scene.stage.house.plan.public);
    let behind = format!("GET /public/page HTTP/1.1\r\n{host}\r\nX-Row: behind\r\n\r\n");
    for line in malformed_lines() {
        let shown = String::from_utf8_lossy(&line).into_owned();
        let mut raw = Raw::connect(scene.stage.house.plan.public).unwrap();
        let head = [
            &line,
            &b"\r\n"[..],
            host.as_bytes(),
            b"\r\nX-Row: first\r\n\r\n",
        ]
        .concat();
        let answer = raw.exchange(&[head, behind.clone().into_bytes()].concat());
        let answer = answer.unwrap_or_else(|error| panic!("{error}: {shown:?}"));
        assert_eq!(answer.status(), 400, "{shown:?}: {}", answer.text());
        assert_eq!(raw.read_to_end().unwrap_or_default(), b"", "{shown:?}");
    }
    assert_eq!(scene.seen().len(), 0, "nothing of it reached an upstream");
}

#[test]
fn a_target_of_any_length_is_read_whole_or_refused() {
    let scene = Scene::start();
    let long = |length: usize| format!("/ui/{}", "a".repeat(length - 4));
    let query = |length: usize| format!("/public/page?{}", "a".repeat(length - 13));
    for (target, status) in [
        (long(8 * 1024), 401),
        (long(8 * 1024 + 1), 414),
        (long(16 * 1024), 414),
        (long(64 * 1024), 431),
        (query(8 * 1024), 404),
        (query(8 * 1024 + 1), 414),
        (query(64 * 1024), 431),
        (format!("/{}", "../".repeat(2000)), 400),
        (format!("/{}", "%2e%2e%2f".repeat(800)), 400),
        (format!("/public/page{}", "/".repeat(8000)), 400),
    ] {
        let answer = scene.ask(
            format!("GET {target} HTTP/1.1").as_bytes(),
            &["X-Row: long"],
        );
        let shown = &target[..24];
        assert_eq!(answer.status(), status, "{shown}… of {}", target.len());
    }
    let seen = scene.seen();
    assert_eq!(
        only(&seen, "long").map(|seen| seen.target.len()),
        Some(8 * 1024)
    );
}

/// Fields that name another URL, method or host to somebody.
const ALTERNATIVES: [&str; 30] = [
    "X-Forwarded-Uri: /public/page",
    "X-Forwarded-Path: /public/page",
    "X-Forwarded-Prefix: /public",
    "X-Forwarded-Method: OPTIONS",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Proto: javascript",
    "X-Forwarded-Scheme: https",
    "X-Forwarded-Uri: %zz",
    "X-Original-URI: /public/page",
    "X-Original-URL: /public/page",
    "X-Original-Method: OPTIONS",
    "X-Original-Host: evil.example",
    "X-Rewrite-URL: /public/page",
    "X-Rewrite-URL: /.headwarden/logout",
    "X-Original-URL: /oidc/callback?state=hw1.x",
    "X-Envoy-Original-Path: /public/page",
    "X-Envoy-Original-Method: OPTIONS",
    "X-Accel-Redirect: /public/page",
    "X-HTTP-Method-Override: OPTIONS",
    "X-HTTP-Method: OPTIONS",
    "X-Method-Override: OPTIONS",
    "x-original-url: /public/page",
    "X_Original_URL: /public/page",
    "X.Original.URL: /public/page",
    "X-Original_URL: /public/page",
    "HTTP_X_ORIGINAL_URL: /public/page",
    "X-Authentik-Auth-Callback: true",
    "X-Authentik-Host: https://evil.example",
    "Forwarded: for=127.0.0.1;host=evil.example;proto=https",
    "Via: 1.1 evil.example",
];

#[test]
fn no_field_names_another_url_or_method_and_none_of_them_goes_on() {
    let scene = Scene::start();
    // Method, target, session, status without one of the fields, whether it is forwarded.
    let routes = [
        ("GET", "/windows", None, 401, false),
        ("GET", "/ui/private", None, 401, false),
        ("POST", "/ui/private", None, 401, false),
        ("GET", "/metrics", Some(&scene.member), 404, false),
        ("GET", "/ui/admin/x", Some(&scene.member), 403, false),
        ("GET", "/.headwarden/nothing", None, 404, false),
        ("GET", "/oidc/callback", None, 400, false),
        ("GET", "/api/v1/user", None, 401, false),
        ("GET", "/key?v=140", None, 200, true),
        ("GET", "/public/page", None, 404, true),
        ("GET", "/windows", Some(&scene.member), 200, true),
        ("GET", "/ui/private", Some(&scene.member), 404, true),
        ("POST", "/ui/private", Some(&scene.member), 404, true),
    ];
    for (number, (method, target, session, status, _)) in routes.iter().enumerate() {
        for (at, field) in ALTERNATIVES.iter().enumerate() {
            let row = format!("X-Row: {number}-{at}");
            let mut lines = vec![row.as_str(), field];
            lines.extend(session.map(String::as_str));
            lines.extend((*method == "POST").then_some("Content-Length: 0"));
            let answer = scene.ask(format!("{method} {target} HTTP/1.1").as_bytes(), &lines);
            assert_eq!(answer.status(), *status, "{method} {target} {field}");
            assert_eq!(answer.header("location"), None, "{method} {target} {field}");
        }
    }
    let seen = scene.seen();
    for (number, (method, target, session, _, forwarded)) in routes.iter().enumerate() {
        for (at, field) in ALTERNATIVES.iter().enumerate() {
            let what = format!("{method} {target} {field}");
            let found = only(&seen, &format!("{number}-{at}"));
            assert_eq!(found.is_some(), *forwarded, "{what}");
            let Some(seen) = found else { continue };
            assert_eq!(
                (seen.method.as_str(), seen.target.as_str()),
                (*method, *target)
            );
            let (name, value) = field.split_once(": ").unwrap();
            assert!(!seen.fields.values(name).contains(&value), "{what}");
            judge(
                seen,
                session.map_or(With::Nothing, |_| With::Session),
                &what,
            );
        }
    }
}

#[test]
fn a_method_opens_what_was_opened_for_it_and_head_follows_get() {
    let scene = Scene::start();
    let long = "X".repeat(200);
    // Method, target, status without a session, and whether it is forwarded then.
    let rows = [
        ("GET", "/public/page", 404, true),
        ("HEAD", "/public/page", 404, true),
        ("POST", "/public/page", 401, false),
        ("PUT", "/public/page", 401, false),
        ("PATCH", "/public/page", 401, false),
        ("DELETE", "/public/page", 401, false),
        ("OPTIONS", "/public/page", 401, false),
        ("TRACE", "/public/page", 404, false),
        ("TRACK", "/public/page", 404, false),
        ("CONNECT", "/public/page", 404, false),
        ("CONNECT", "127.0.0.1:80", 400, false),
        ("CONNECT", "public.page:443", 400, false),
        ("get", "/public/page", 404, false),
        ("Get", "/public/page", 404, false),
        ("gET", "/key", 404, false),
        ("GETX", "/public/page", 404, false),
        ("GE", "/public/page", 404, false),
        ("PRI", "/public/page", 404, false),
        ("PROPFIND", "/public/page", 404, false),
        ("MKCOL", "/public/page", 404, false),
        ("SEARCH", "/public/page", 404, false),
        ("PURGE", "/public/page", 404, false),
        ("BASELINE-CONTROL", "/public/page", 404, false),
        ("G!#$%&'*+-.^_`|~T", "/public/page", 404, false),
        (&long, "/public/page", 404, false),
        ("OPTIONS", "*", 400, false),
        ("GET", "/ui/logo.png", 404, true),
        ("HEAD", "/ui/logo.png", 404, true),
        ("POST", "/ui/logo.png", 401, false),
        ("HEAD", "/ui/admin", 401, false),
        ("OPTIONS", "/ui/admin", 401, false),
        ("HEAD", "/key", 401, false),
        ("GET", "/machine/ping-response", 401, false),
    ];
    for (at, (method, target, status, _)) in rows.iter().enumerate() {
        for (who, lines) in [("nobody", vec![]), ("member", vec![scene.member.as_str()])] {
            let row = format!("X-Row: {at}-{who}");
            let length = "Content-Length: 0";
            let lines = [lines, vec![row.as_str(), length]].concat();
            let answer = scene.ask(format!("{method} {target} HTTP/1.1").as_bytes(), &lines);
            let found = answer.status();
            match who {
                // pingora refuses CONNECT by itself.
                _ if *method == "CONNECT" => assert!(matches!(found, 400 | 404 | 405), "{found}"),
                "nobody" => assert_eq!(found, *status, "{method} {target}"),
                _ => assert!(matches!(found, 200..500), "{method} {target}: {found}"),
            }
        }
    }
    let seen = scene.seen();
    for (at, (method, target, status, forwarded)) in rows.iter().enumerate() {
        let what = format!("{method} {target}");
        let nobodys = only(&seen, &format!("{at}-nobody"));
        assert_eq!(nobodys.is_some(), *forwarded, "{what}");
        let members = only(&seen, &format!("{at}-member"));
        let behind_the_door = *status == 401 && !target.starts_with("/ui/admin");
        assert_eq!(members.is_some(), *forwarded || behind_the_door, "{what}");
        for (found, with) in [(nobodys, With::Nothing), (members, With::Session)] {
            if let Some(seen) = found {
                assert_eq!((&seen.method[..], &seen.target[..]), (*method, *target));
                judge(seen, with, &what);
            }
        }
    }
}

#[test]
fn an_authority_has_one_form_and_a_request_has_one_authority() {
    let scene = Scene::start();
    let port = scene.stage.house.plan.public.port();
    let ours = format!("127.0.0.1:{port}");
    let cookie = scene.member.as_str();
    let host = |value: &str| format!("Host: {value}");
    // The authority lines of a request, the status of a member's page with them.
    let rows: Vec<(Vec<String>, u16)> = vec![
        (vec![host(&ours)], 200),
        (vec![host("127.0.0.1")], 200),
        (vec![host("127.0.0.1:1")], 200),
        (vec![host(&format!(" {ours} "))], 200),
        (vec![format!("hOsT:{ours}")], 200),
        // Another host, or another spelling of it.
        (vec![host("127.0.0.1.")], 421),
        (vec![host(&format!("127.0.0.1.:{port}"))], 421),
        (vec![host("127.1")], 421),
        (vec![host("127.0.1")], 421),
        (vec![host("0x7f.1")], 421),
        (vec![host("0177.0.0.1")], 421),
        (vec![host("2130706433")], 421),
        (vec![host("127.0.0.01")], 421),
        (vec![host("[::ffff:127.0.0.1]")], 421),
        (vec![host("[::1]")], 421),
        (vec![host("localhost")], 421),
        (vec![host("evil.example")], 421),
        (vec![host("127.0.0.1.evil.example")], 421),
        (vec![host("evil127.0.0.1")], 421),
        (vec![host("a127.0.0.1")], 421),
        (vec![host("127.0.0.1-evil.example")], 421),
        (vec![host("127_0_0_1")], 421),
        (vec![host("xn--127-0-0-1")], 421),
        (vec![host(&scene.stage.house.plan.admin.to_string())], 200),
        // None, two, or one that two readers see differently.
        (vec![], 400),
        (vec![host("")], 400),
        (vec![host(&ours), host(&ours)], 400),
        (vec![host(&ours), host("evil.example")], 400),
        (vec![host("evil.example"), host(&ours)], 400),
        (vec![host(&format!("{ours}, evil.example"))], 400),
        (vec![host(&format!("{ours},{ours}"))], 400),
        (vec![host(&format!("{ours} evil.example"))], 400),
        (vec![host(&format!("evil.example@{ours}"))], 400),
        (vec![host(&format!("{ours}@evil.example"))], 400),
        (vec![host(&format!("u:p@{ours}"))], 400),
        (vec![host("127.0.0.1:")], 400),
        (vec![host("127.0.0.1:80:80")], 400),
        (vec![host("127.0.0.1:080")], 400),
        (vec![host("127.0.0.1:99999")], 400),
        (vec![host("127.0.0.1:port")], 400),
        (vec![host("127.0.0.1/")], 400),
        (vec![host("127.0.0.1/../evil.example")], 400),
        (vec![host("http://127.0.0.1")], 400),
        (vec![host("127.0.0.1\\evil.example")], 400),
        (vec![host("127.0.0.1#evil.example")], 400),
        (vec![host("127.0.0.1?evil.example")], 400),
        (vec![host("127.0.0.1%00.evil.example")], 400),
        (vec![host("127.0.0.1%2eevil.example")], 400),
        (vec![host("127.0.0.1\u{3002}evil.example")], 400),
        (vec![host("\u{ff11}27.0.0.1")], 400),
        (vec![host("127..0.0.1")], 400),
        (vec![host(".127.0.0.1")], 400),
        (vec![host("[::1")], 400),
        (vec![host("[::1]x")], 400),
        (vec![host("[::1%25lo]")], 400),
        (vec![host("::1")], 400),
        (vec![host("127.0.0.1;x")], 400),
        (vec![host("*.0.0.1")], 400),
        (vec![host(&"a.".repeat(200))], 400),
        (vec![format!("Host : {ours}")], 400),
        (vec![format!(" Host: {ours}")], 400),
    ];
    for (lines, status) in &rows {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let hostless = lines.is_empty();
            lines.push(cookie);
            // HTTP/1.0 has no Host by right: then it is nobody's.
            let status = if hostless && version == "HTTP/1.0" {
                421
            } else {
                *status
            };
            let answer = scene.ask_any(format!("GET /windows {version}").as_bytes(), &lines);
            assert_eq!(
                answer.status(),
                status,
                "{version} {lines:?}: {}",
                answer.text()
            );
            assert_eq!(answer.header("location"), None, "{lines:?}");
        }
    }
}

#[test]
fn the_upstream_hears_our_own_authority_whatever_was_asked_for() {
    let scene = Scene::start();
    let ours = scene.stage.house.plan.public.to_string();
    for (at, (host, target, lines)) in [
        ("evil.example", "/key?v=140", vec![]),
        ("evil.example:8080", "/health", vec![]),
        ("EVIL.example.", "/public/page", vec![]),
        ("[::1]:1", "/ui/logo.png", vec![]),
        ("127.0.0.1", "/windows", vec![scene.member.as_str()]),
        ("127.0.0.1:1", "/ui/private", vec![scene.member.as_str()]),
        (
            "evil.example",
            "/derp",
            vec!["Connection: Upgrade", "Upgrade: DERP"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (row, host) = (format!("X-Row: {at}"), format!("Host: {host}"));
        let lines = [lines, vec![&row, &host, "X-Forwarded-Host: evil.example"]].concat();
        scene.ask_any(format!("GET {target} HTTP/1.1").as_bytes(), &lines);
    }
    // Without any Host, where the version has none by right.
    scene.ask_any(b"GET /key?v=140 HTTP/1.0", &["X-Row: none"]);
    let seen = scene.seen();
    assert_eq!(seen.len(), 8);
    for (row, seen) in &seen {
        assert_eq!(seen[0].fields.values("host"), [&ours], "{row}");
        let head = String::from_utf8_lossy(&seen[0].head).to_lowercase();
        assert!(!head.contains("evil.example"), "{head}");
    }
}

#[test]
fn a_target_in_absolute_form_is_refused_whatever_host_it_names() {
    let scene = Scene::start();
    let ours = scene.stage.house.plan.public.to_string();
    let behind = format!("GET /public/page HTTP/1.1\r\nHost: {ours}\r\nX-Row: behind\r\n\r\n");
    for target in [
        "http://evil.example/windows".to_owned(),
        format!("http://{ours}/windows"),
        format!("http://{ours}/public/page"),
        format!("HTTP://{ours}/public/page"),
        format!("https://{ours}/public/page"),
        format!("http://user@{ours}/public/page"),
        format!("http:{ours}/public/page"),
        format!("http:/{ours}/public/page"),
        format!("http:///{ours}/public/page"),
        format!("//{ours}/public/page"),
        format!("{ours}/public/page"),
        ours.clone(),
        "http:".to_owned(),
        "http://".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://evil.example/".to_owned(),
        "javascript:alert(1)".to_owned(),
        "urn:x".to_owned(),
        "*".to_owned(),
        String::new(),
    ] {
        for host in [ours.as_str(), "evil.example"] {
            for method in ["GET", "POST", "OPTIONS", "CONNECT"] {
                let head = format!(
                    "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{}\r\nX-Row: first\r\n\r\n{behind}",
                    scene.member
                );
                let answer = send(scene.stage.house.plan.public, head.as_bytes());
                assert_eq!(answer.status(), 400, "{method} {target:?} at {host}");
                assert_eq!(answer.header("location"), None, "{method} {target:?}");
                assert_eq!(answer.header("connection"), Some("close"));
            }
        }
    }
    assert_eq!(scene.seen().len(), 0);
}

/// Targets that differ from one another in what a browser or a tool may still write.
#[test]
fn one_page_under_two_spellings_has_one_door() {
    let scene = Scene::start();
    for (at, target) in [
        "/ui/a@b",
        "/ui/a%40b",
        "/ui/caf%C3%A9",
        "/ui/caf%c3%a9",
        "/ui/a,b",
        "/ui/a%2Cb",
        "/ui/a%2cb",
        "/ui/a+b",
        "/ui/a%2Bb",
        "/ui/a=b&c",
        "/ui/a%3Db%26c",
        "/ui/(x)",
        "/ui/%28x%29",
        "/ui/a:b",
        "/ui/a%3Ab",
        "/ui/!$&'()*+,=:@-._~",
    ]
    .iter()
    .enumerate()
    {
        let row = format!("X-Row: {at}");
        let nobody = scene.ask(format!("GET {target} HTTP/1.1").as_bytes(), &[]);
        assert_eq!(nobody.status(), 401, "{target}");
        scene.ask(
            format!("GET {target} HTTP/1.1").as_bytes(),
            &[&row, &scene.member],
        );
        let seen = scene.seen();
        let seen = only(&seen, &at.to_string()).expect("a member's request is forwarded");
        assert_eq!(seen.target, *target);
        let page = headwarden::domain::door::Guarded::Page;
        assert_eq!(door_of(seen), headwarden::domain::door::Door::Guarded(page));
    }
}
