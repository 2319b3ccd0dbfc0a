//! Where the requests of a rule go: several addresses, those that are not there, other paths and hosts.

use std::sync::atomic::{AtomicU16, Ordering};

use crate::faulty_provider::Person as Account;
use crate::stage::{HTML, SAME_ORIGIN, Stage, ask, request, seen, send, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options, Script, Seen};
use crate::support::house::{free_addresses, headwarden};

mod health;
mod once;
mod passed_on;
mod patient;

fn web_ui() -> HeadscaleStandin {
    HeadscaleStandin::start(Options::default())
}

/// A house with these rules, and somebody's session.
fn start(rules: &str) -> (Stage, String) {
    let stage = Stage::start_written(|plan, text| {
        let socket = plan.files.join("admin.sock").display().to_string();
        let text = text.replace("admin: { ", &format!("admin: {{ socket_path: {socket}, "));
        format!("{text}open: [GET /app/in/logo.png]\naccess:\n{rules}")
    });
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    (stage, session)
}

/// What one of the web UIs heard of a request that is passed on.
fn heard(stage: &Stage, session: &str, uis: &[&HeadscaleStandin], target: &str) -> (usize, Seen) {
    static ROW: AtomicU16 = AtomicU16::new(0);
    let row = format!("row-{}", ROW.fetch_add(1, Ordering::Relaxed));
    let line = format!("X-Row: {row}");
    let answer = ask(&stage.house, "GET", target, &[session, &line]);
    let mut all = uis.iter().enumerate().flat_map(|(place, ui)| {
        let each = seen(ui, &row).into_iter();
        each.map(move |seen| (place, seen))
    });
    let first = all.next();
    let (place, seen) = first.unwrap_or_else(|| panic!("{target}: {}", answer.text()));
    assert!(all.next().is_none(), "{target} came twice");
    (place, seen)
}

#[test]
fn a_path_changes_by_whole_segments_and_the_host_is_the_one_that_was_chosen() {
    let ui = web_ui();
    let url = ui.url();
    let (stage, session) = start(&format!(
        "  - path: /plain/**\n    upstream: {url}\n  \
         - path: /web/**\n    upstream: {{ url: \"{url}\", strip_prefix: /web, host_header: upstream }}\n  \
         - path: /app/in/**\n    upstream: {{ url: \"{url}\", strip_prefix: /app, add_prefix: /other/one }}\n  \
         - path: /a@b/**\n    upstream: {{ url: \"{url}\", strip_prefix: /a@b, host_header: \"ui.internal:81\" }}\n  \
         - path: /add/**\n    upstream: {{ url: \"{url}\", add_prefix: /x }}\n"
    ));
    let public = stage.house.plan.public.to_string();
    let own = url.trim_start_matches("http://").to_owned();
    for (target, expected, host, prefix) in [
        ("/plain/a?b=c", "/plain/a?b=c", public.as_str(), None),
        ("/web", "/", &own, Some("/web")),
        ("/web/", "/", &own, Some("/web")),
        ("/web/a/b?c=/../d", "/a/b?c=/../d", &own, Some("/web")),
        ("/web/web/a%20b", "/web/a%20b", &own, Some("/web")),
        ("/web/register/x", "/register/x", &own, Some("/web")),
        ("/app/in/a", "/other/one/in/a", &public, Some("/app")),
        ("/a%40b/c", "/c", "ui.internal:81", Some("/a@b")),
        ("/a@b", "/", "ui.internal:81", Some("/a@b")),
        ("/add/a", "/x/add/a", &public, None),
    ] {
        let (_, seen) = heard(&stage, &session, &[&ui], target);
        assert_eq!(seen.target, expected, "{target}");
        assert_eq!(seen.fields.value("host"), Some(host), "{target}");
        assert_eq!(
            seen.fields.value("x-forwarded-host"),
            Some(public.as_str()),
            "{target}"
        );
        assert_eq!(seen.fields.value("x-forwarded-prefix"), prefix, "{target}");
    }
    let before = ui.requests().len();
    for target in [
        "/web/../admin",
        "/web/..",
        "/web//x",
        "/web/%2e%2e/x",
        "/web/.%2e/",
        "/webx/a",
        "/Web/a",
    ] {
        ask(&stage.house, "GET", target, &[&session]);
        assert_eq!(ui.requests().len(), before, "{target}");
    }
    // A page that is open to everybody goes the same way.
    let open = ask(&stage.house, "GET", "/app/in/logo.png", &["X-Row: open"]);
    let [found] = &seen(&ui, "open")[..] else {
        panic!("{}", open.text())
    };
    assert_eq!(found.target, "/other/one/in/logo.png");
    let long = format!("/add/{}", "a".repeat(8 * 1024 - 6));
    let answer = ask(&stage.house, "GET", &long, &[HTML, &session]);
    assert_eq!(answer.status(), 414, "{}", answer.text());
}

#[test]
fn requests_are_shared_out_and_an_address_that_is_not_there_costs_nobody_anything() {
    let (one, two) = (web_ui(), web_ui());
    let [dead] = free_addresses();
    let (stage, session) = start(&format!(
        "  - path: /turns/**\n    upstream: {{ urls: [\"{0}\", \"{1}\"] }}\n  \
         - path: /first/**\n    upstream: {{ urls: [\"{1}\", \"{0}\"], balance: first }}\n  \
         - path: /dead/**\n    upstream: {{ urls: [\"http://{dead}\", \"{0}\"], balance: first }}\n  \
         - path: /deads/**\n    upstream: {{ urls: [\"http://{dead}\", \"{1}\"] }}\n  \
         - path: /nameless/**\n    upstream: {{ urls: [\"http://{3}.invalid:80\", \"{0}\"], balance: first }}\n  \
         - path: /gone/**\n    upstream: {{ urls: [\"http://{dead}\", \"http://[::1]:{2}\"] }}\n",
        one.url(),
        two.url(),
        dead.port(),
        // No resolver is asked for a label of this length (RFC 1035 section 2.3.4).
        "a".repeat(64),
    ));
    let uis = [&one, &two];
    for (path, expected) in [
        ("/turns/x", [0, 1, 0, 1]),
        ("/first/x", [1; 4]),
        ("/dead/x", [0; 4]),
        ("/deads/x", [1; 4]),
        ("/nameless/x", [0; 4]),
    ] {
        let found = [(); 4].map(|()| heard(&stage, &session, &uis, path).0);
        assert_eq!(found, expected, "{path}");
    }
    // A body goes along to the address that is there.
    let body = "hello";
    for row in ["form", "again"] {
        let line = format!("X-Row: {row}");
        let lines = ["Content-Length: 5", SAME_ORIGIN, &line, &session];
        let mut bytes = request(&stage.house, "POST", "/dead/form", &lines);
        bytes.extend_from_slice(body.as_bytes());
        send(stage.house.plan.public, &bytes);
        let [seen] = &seen(&one, row)[..] else {
            panic!("{row}")
        };
        assert_eq!(seen.body, body.as_bytes());
    }
    let answer = ask(&stage.house, "GET", "/gone/x", &[HTML, &session]);
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(
        answer.text().contains("cannot be reached"),
        "{}",
        answer.text()
    );
    let log = stage.house.log();
    let passed_over =
        "an address of a web UI cannot be connected to: it is passed over for a while";
    for address in [dead.to_string(), format!("{}.invalid:80", "a".repeat(64))] {
        let mut lines = log.lines().filter(|line| line.contains(passed_over));
        assert!(
            lines.any(|line| line.contains(&address)),
            "{address}: {log}"
        );
    }
}

#[test]
fn what_comes_back_from_another_path_is_passed_on_as_it_is() {
    let ui = web_ui();
    let (stage, session) = start(&format!(
        "  - path: /web/**\n    upstream: {{ url: \"{}\", strip_prefix: /web }}\n",
        ui.url()
    ));
    let fields = [
        ("Location", "/login?next=/web"),
        ("Content-Location", "/a"),
        ("Set-Cookie", "ui=1; Path=/; HttpOnly"),
        ("Refresh", "5; url=/b"),
    ];
    let lines: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let bytes = format!("HTTP/1.1 302 Found\r\n{lines}Content-Length: 0\r\n\r\n");
    ui.script("/a", Script::Bytes(bytes.into_bytes()));
    let answer = ask(&stage.house, "GET", "/web/a", &[&session]);
    assert_eq!(answer.status(), 302, "{}", answer.text());
    for (name, value) in fields {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
}

#[test]
fn explain_and_status_tell_where_a_request_goes() {
    let (one, two) = (web_ui(), web_ui());
    let (stage, _) = start(&format!(
        "  - path: /ui/**\n    upstream: {{ urls: [\"{0}\", \"{1}\"], strip_prefix: /ui }}\n  \
         - path: /app/**\n    upstream: {{ url: \"{0}\", strip_prefix: /app, add_prefix: /other, \
         health_check: {{ path: /health }} }}\n",
        one.url(),
        two.url()
    ));
    let claims = stage.house.plan.files.join("claims.json");
    let text = r#"{"sub": "x", "groups": ["headscale"], "preferred_username": "x"}"#;
    std::fs::write(&claims, text).expect("the directory is ours");
    let claims = claims.to_str().expect("a plain path");
    let told = headwarden(
        &stage.house.plan,
        &["explain", "--claims", claims, "--path", "/ui/a?b"],
    );
    let told = String::from_utf8(told.stdout).expect("text");
    let addresses = [&one, &two].map(|ui| ui.url().trim_start_matches("http://").to_owned());
    let line = format!("{}, as /a?b", addresses.join(", "));
    assert!(told.contains(&line), "{told}");
    let told = headwarden(
        &stage.house.plan,
        &["explain", "--claims", claims, "--path", "/app/in/logo.png"],
    );
    let told = String::from_utf8(told.stdout).expect("text");
    let line = format!("{}, as /other/in/logo.png", addresses[0]);
    assert!(told.contains(&line), "{told}");
    let status = headwarden(&stage.house.plan, &["status"]);
    let status = String::from_utf8(status.stdout).expect("text");
    for line in [
        format!("web UI /ui/**: {}", addresses.join(", ")),
        // Its first check may be on its way: it is taken for healthy until then.
        format!("web UI /app/**: {} (healthy)", addresses[0]),
    ] {
        assert!(
            status.lines().any(|found| found == line),
            "{line} in {status}"
        );
    }
    let json = headwarden(&stage.house.plan, &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        json["web_uis"][1],
        serde_json::json!({
            "path": "/app/**", "checked": true,
            "addresses": [{ "address": addresses[0], "healthy": true }],
        })
    );
}
