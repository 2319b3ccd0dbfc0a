//! Where the requests of a rule go: several addresses, those that are not there, other paths and hosts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::faulty_provider::Person as Account;
use crate::stage::{HTML, SAME_ORIGIN, Stage, ask, request, seen, send, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options, Seen};
use crate::support::house::{More, free_addresses, headwarden};
use crate::support::raw::Raw;

/// Longest wait for a health check.
const PATIENCE: Duration = Duration::from_mins(1);

fn web_ui() -> HeadscaleStandin {
    HeadscaleStandin::start(Options::default())
}

/// A house with these rules, and somebody's session.
fn start(rules: &str) -> (Stage, String) {
    let top = format!("access:\n{rules}");
    let stage = Stage::start_with(|_| More {
        top: Box::leak(top.into_boxed_str()),
        ..More::default()
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
         - path: /gone/**\n    upstream: {{ urls: [\"http://{dead}\", \"http://[::1]:{2}\"] }}\n",
        one.url(),
        two.url(),
        dead.port(),
    ));
    let uis = [&one, &two];
    for (path, expected) in [
        ("/turns/x", [0, 1, 0, 1]),
        ("/first/x", [1; 4]),
        ("/dead/x", [0; 4]),
        ("/deads/x", [1; 4]),
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
}

/// A web UI whose every answer has a status that can be set, and which switches protocols.
struct Patient {
    address: SocketAddr,
    status: Arc<AtomicU16>,
}

impl Patient {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let status = Arc::new(AtomicU16::new(200));
        let told = Arc::clone(&status);
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&told);
                std::thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") {
                        match client.read(&mut byte) {
                            Ok(1..) => head.extend(byte),
                            _ => return,
                        }
                    }
                    let port = address.port();
                    let upgrade = head.to_ascii_lowercase();
                    let upgrade = upgrade.windows(18).any(|it| it == b"upgrade: websocket");
                    let answer = if upgrade {
                        format!(
                            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                             Upgrade: websocket\r\n\r\n{port}"
                        )
                    } else {
                        let status = told.load(Ordering::SeqCst);
                        format!(
                            "HTTP/1.1 {status} X\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{port:05}"
                        )
                    };
                    let _ = client.write_all(answer.as_bytes());
                    // Until the other side has gone.
                    while let Ok(1..) = client.read(&mut byte) {}
                });
            }
        });
        Self { address, status }
    }

    fn say(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn port(&self) -> String {
        format!("{:05}", self.address.port())
    }
}

#[test]
fn an_address_that_fails_its_checks_gets_nothing_until_it_passes_them_again() {
    let (one, two) = (Patient::start(), Patient::start());
    let (mut stage, session) = start(&format!(
        "  - path: /ui/**\n    upstream:\n      urls: [\"http://{}\", \"http://{}\"]\n      balance: first\n      \
         health_check: {{ path: /healthz, interval: 1s, timeout: 5s, healthy_after: 1, unhealthy_after: 2 }}\n",
        one.address, two.address
    ));
    let get = |stage: &Stage| ask(&stage.house, "GET", "/ui/x", &[HTML, &session]);
    let until = |stage: &Stage, what: &str, is_so: &dyn Fn(&Stage) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(stage) {
            assert!(Instant::now() < deadline, "{what}: {}", stage.house.log());
        }
    };
    assert_eq!(get(&stage).text(), one.port());
    let metric = |stage: &Stage, ui: &Patient| {
        let answer = send(
            stage.house.plan.admin,
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        let name = format!(
            "headwarden_upstream_healthy{{upstream=\"{}\"}} ",
            ui.address
        );
        let text = answer.text();
        let found = text.lines().find_map(|line| line.strip_prefix(&name));
        found.map(str::to_owned)
    };
    one.say(500);
    let line = stage.house.wait_for_log("fails its health checks");
    assert!(
        line.contains(&one.address.to_string()) && line.contains("it answers 500"),
        "{line}"
    );
    until(&stage, "the second", &|stage| {
        get(stage).text() == two.port()
    });
    until(&stage, "the metric", &|stage| {
        metric(stage, &one).as_deref() == Some("0")
    });
    until(&stage, "the other metric", &|stage| {
        metric(stage, &two).as_deref() == Some("1")
    });
    two.say(404);
    until(&stage, "nobody", &|stage| get(stage).status() == 503);
    let nobody = get(&stage);
    assert!(
        nobody.text().contains("No server of the service"),
        "{}",
        nobody.text()
    );
    assert!(nobody.header("retry-after").is_some());
    let json = ask(&stage.house, "GET", "/ui/x", &[&session]);
    assert!(
        json.text().contains("upstream_unavailable"),
        "{}",
        json.text()
    );
    one.say(204);
    stage.house.wait_for_log("passes its health checks again");
    until(&stage, "the first again", &|stage| {
        get(stage).status() == 204
    });
    until(&stage, "the metric", &|stage| {
        metric(stage, &one).as_deref() == Some("1")
    });
}

#[test]
fn a_websocket_goes_to_the_address_that_is_there() {
    let [dead] = free_addresses();
    let ui = Patient::start();
    let (stage, session) = start(&format!(
        "  - path: /ui/**\n    upstream: {{ urls: [\"http://{dead}\", \"http://{}\"], balance: first }}\n",
        ui.address
    ));
    for _ in 0..2 {
        let mut raw = Raw::connect(stage.house.plan.public).expect("it listens");
        let lines = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            session.as_str(),
        ];
        raw.send(&request(&stage.house, "GET", "/ui/socket", &lines))
            .expect("it is sent");
        assert_eq!(raw.read_head().expect("an answer").status, 101);
        let told = raw.read_exact(ui.address.port().to_string().len());
        assert_eq!(
            told.expect("a word"),
            ui.address.port().to_string().as_bytes()
        );
    }
}

#[test]
fn explain_and_status_tell_where_a_request_goes() {
    let (one, two) = (web_ui(), web_ui());
    let (stage, _) = start(&format!(
        "  - path: /ui/**\n    upstream: {{ urls: [\"{}\", \"{}\"], strip_prefix: /ui }}\n",
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
}
