//! `headwarden status`.

use serde_json::{Value, json};

use crate::faulty_provider::Person as Account;
use crate::ground::{BY_SIGNAL, Ground};
use crate::stage::send;
use crate::support::house::{HEADSCALE_SECRET, More, headwarden};

fn told(ground: &Ground, arguments: &[&str]) -> String {
    let output = headwarden(&ground.house().plan, &[&["status"], arguments].concat());
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn an_operator_sees_what_runs_and_what_came_of_the_configuration() {
    let ground = Ground::start(&More::default(), BY_SIGNAL);
    ground.sign_in(Account::Member);
    ground.wait("the version", || {
        ground.status()["headscale"]["version"] == "0.29"
    });
    let socket = ground.file("admin.sock");
    let socket = ["--socket", socket.to_str().expect("text")];
    let words = told(&ground, &[]);
    for part in [
        "version 0.1.0, pid ",
        "the files are as they were read",
        "ready: pass",
        "provider: http://",
        "version 0.29",
        "sessions: 1 (memory)",
        "tunnels open: 0",
        "(public)",
        "(issuer)",
    ] {
        assert!(words.contains(part), "{part:?} is not in\n{words}");
    }
    let status: Value = serde_json::from_str(&told(&ground, &["--json"])).expect("JSON");
    for (pointer, value) in [
        ("/version", json!("0.1.0")),
        ("/config/same_as_files", json!(true)),
        ("/config/watched", json!(false)),
        ("/config/last_reload", Value::Null),
        ("/config/waiting_for_restart", json!([])),
        ("/ready/status", json!("pass")),
        ("/provider/known", json!(true)),
    ] {
        assert_eq!(status.pointer(pointer), Some(&value), "{pointer}: {status}");
    }
    // A good file that waits to be read, one that was, and a bad one.
    ground.write(&ground.with(BY_SIGNAL, "reload: { watch: false }\nworkers: 3\n"));
    assert!(told(&ground, &[]).contains("SIGHUP has them read again"));
    assert!(ground.hang_up());
    assert!(told(&ground, &[]).contains("waiting for a restart: workers"));
    ground.write("server_url: 5\nopne: [a]\n");
    assert!(!ground.hang_up());
    let words = told(&ground, &socket);
    assert!(words.contains("REFUSED; nothing has changed"), "{words}");
    assert!(words.contains("opne (line 2)"), "{words}");
    assert!(words.contains("did you mean open?"), "{words}");
    assert!(!words.contains(HEADSCALE_SECRET), "{words}");
    assert!(ground.status()["config"]["waiting_for_restart"] == json!(["workers"]));
}

#[test]
fn status_is_on_the_admin_listener_only_where_sessions_are() {
    let more = More::default();
    let ground = Ground::start(&more, BY_SIGNAL);
    let ask = |lines: &str| {
        let request = format!("GET /status HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
        send(ground.house().plan.admin, request.as_bytes()).status()
    };
    assert_eq!(ask("Host: 127.0.0.1\r\n"), 404);
    ground.change_to(&ground.with("admin: { ", "admin: { sessions: true, "));
    assert_eq!(ask("Host: 127.0.0.1\r\n"), 200);
    assert_eq!(ask("Host: evil.example\r\n"), 403);
    assert_eq!(ask("Host: 127.0.0.1\r\nOrigin: null\r\n"), 403);
    let public = ground.get("/status", &[]);
    assert_eq!(public, 401, "to the public it is a path like any other");
}

#[test]
fn whoever_reloads_is_in_the_audit_log() {
    let ground = Ground::start(&More::default(), BY_SIGNAL);
    assert!(ground.hang_up());
    ground.write("");
    assert!(!ground.hang_up());
    let log = ground.house().log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" headwarden::audit: "))
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("configuration_reloaded") && lines[0].contains("by=signal"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("refused") && lines[1].contains("by=signal"),
        "{lines:?}"
    );
}
