//! The same over the admin listener: only where the operator wants it, and never for a browser.

use std::collections::BTreeSet;

use crate::faulty_provider::Person as Account;
use crate::scene::{Scene, over};
use crate::stage::send;
use crate::support::house::More;
use crate::support::raw::Response;

fn ask(scene: &Scene, method: &str, target: &str, lines: &[&str]) -> Response {
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !lines.iter().any(|line| line.starts_with("Host:")) {
        text.push_str("Host: 127.0.0.1\r\n");
    }
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    send(scene.house().plan.admin, format!("{text}\r\n").as_bytes())
}

#[test]
fn sessions_are_on_the_listener_only_where_the_operator_wants_them_there() {
    let scene = Scene::start("", &More::default());
    let who = scene.sign_in(Account::Member);
    let id = scene.ids(Account::Member).remove(0);
    let one = format!("/sessions/{id}");
    for (method, target, status) in [
        ("GET", "/sessions", 404),
        ("GET", &*one, 404),
        ("DELETE", &*one, 405),
        ("DELETE", "/sessions?all=true", 405),
    ] {
        assert_eq!(
            ask(&scene, method, target, &[]).status(),
            status,
            "{target}"
        );
    }
    assert!(scene.is_in(&who));
    // The listener of the public has no such thing either, whatever it is asked.
    let public = scene.house().plan.public;
    let host = format!("Host: {public}");
    let text = format!("DELETE /sessions?all=true HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n");
    assert_eq!(send(public, text.as_bytes()).status(), 401);

    let scene = Scene::start("sessions: true,", &More::default());
    let people = [Account::Member, Account::Admin].map(|account| scene.sign_in(account));
    let listed = ask(&scene, "GET", "/sessions", &[]);
    assert_eq!(listed.status(), 200);
    assert_eq!(listed.header("content-type"), Some("application/json"));
    assert_eq!(listed.header("cache-control"), Some("no-store"));
    assert_eq!(listed.header("access-control-allow-origin"), None);
    assert_eq!(
        listed.json(),
        over(&scene.socket(), "GET", "/sessions", &[]).1
    );
    let id = scene.ids(Account::Member).remove(0);
    let ended = ask(&scene, "DELETE", &format!("/sessions/{id}"), &[]);
    assert_eq!((ended.status(), &*ended.text()), (200, "{\"ended\":1}\n"));
    assert!(!scene.is_in(&people[0]) && scene.is_in(&people[1]));
    let ended = ask(&scene, "DELETE", "/sessions?user=ada", &[]);
    assert_eq!(&*ended.text(), "{\"ended\":1}\n");
    assert!(!scene.is_in(&people[1]));
}

#[test]
fn nothing_that_a_browser_sends_is_answered_there() {
    let scene = Scene::start("sessions: true,", &More::default());
    let who = scene.sign_in(Account::Member);
    let admin = scene.house().plan.admin;
    let (own, port) = (format!("Origin: http://{admin}"), admin.port());
    let rebound = format!("Host: evil.example:{port}");
    let rows: &[&[&str]] = &[
        &["Origin: https://evil.example"],
        &["Origin: null"],
        &[&own],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"],
        &["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"],
        &["Sec-CH-UA: \"Chromium\""],
        &["Referer: http://127.0.0.1/"],
        // A name that leads here for a moment: to the browser, this is its own origin.
        &[&rebound],
        &["Host: localhost.evil.example"],
        &["Host: headwarden"],
    ];
    for lines in rows {
        for (method, target) in [
            ("GET", "/sessions"),
            ("DELETE", "/sessions?all=true"),
            ("OPTIONS", "/sessions"),
            ("POST", "/sessions"),
        ] {
            let answer = ask(&scene, method, target, lines);
            assert_eq!(answer.status(), 403, "{method} {target} {lines:?}");
            let text = answer.text();
            assert!(!text.contains("ben") && !text.contains("ended"), "{text}");
            let cors = answer.head.fields.value("access-control-allow-origin");
            assert_eq!(cors, None);
        }
    }
    assert!(scene.is_in(&who));
    assert_eq!(scene.audit().len(), 1, "one sign-in: {:#?}", scene.audit());
    // Probes come by any name, as ever.
    assert_eq!(
        ask(&scene, "GET", "/livez", &["Host: headwarden"]).status(),
        200
    );
    assert_eq!(
        ask(&scene, "GET", "/metrics", &["Host: headwarden"]).status(),
        200
    );
    for host in [format!("Host: {admin}"), format!("Host: localhost:{port}")] {
        assert_eq!(
            ask(&scene, "GET", "/sessions", &[&host]).status(),
            200,
            "{host}"
        );
    }
}

#[test]
fn a_long_list_comes_in_pages_that_hold_each_session_once() {
    let scene = Scene::start("sessions: true,", &More::default());
    for account in [Account::Member, Account::Admin, Account::Member] {
        scene.sign_in(account);
    }
    let (mut seen, mut after) = (BTreeSet::new(), String::new());
    for page in 0..3 {
        let target = format!("/sessions?limit=1{after}");
        let answer = ask(&scene, "GET", &target, &[]).json();
        assert_eq!(answer["total"], 3);
        let sessions = answer["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), 1, "{answer}");
        assert!(seen.insert(sessions[0]["id"].to_string()), "{answer}");
        match answer["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => assert_eq!(page, 2),
        }
    }
    let ben = ask(&scene, "GET", "/sessions?user=ben&limit=1", &[]).json();
    assert_eq!((&ben["total"], ben["next"].is_string()), (&2.into(), true));
}

#[test]
fn each_act_is_one_line_of_the_audit_log_and_says_whose_hand_it_was() {
    let scene = Scene::start("sessions: true,", &More::default());
    let uid = {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::symlink_metadata(scene.socket()).unwrap().uid()
    };
    let local = format!("by=uid:{uid} ");
    let ben = format!("subject={}", "b".repeat(64));
    let mut lines = 0;
    let mut expect = |act: &str, parts: &[&str], absent: &[&str]| {
        let audit = scene.audit();
        lines += 1;
        assert_eq!(audit.len(), lines, "{act}: {audit:#?}");
        // Each field has a blank behind it, the last one too.
        let line = &format!("{} ", audit.last().unwrap());
        assert!(line.contains(&format!("act=\"{act}\"")), "{line}");
        assert!(line.contains("request_id=\""), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        for part in absent.iter().chain(&["ben", "company.example", "Chrome"]) {
            assert!(!line.contains(part), "{part}: {line}");
        }
    };
    scene.sign_in(Account::Member);
    expect(
        "signed_in",
        &["by=person ", "client=127.0.0.1", &ben, "session="],
        &["scope"],
    );
    scene.sign_in(Account::Member);
    expect("signed_in", &["by=person "], &[]);
    scene.sign_in(Account::Admin);
    expect("signed_in", &["by=person "], &[]);
    scene.told(&["list"]);
    expect(
        "sessions_listed",
        &[&local, "scope=\"all\"", "sessions=3"],
        &["subject", "client"],
    );
    scene.told(&["list", "--user", "ben"]);
    expect(
        "sessions_listed",
        &[&local, "scope=\"user\"", "sessions=2", &ben],
        &[],
    );
    let answer = ask(&scene, "GET", "/sessions?sub=x", &[]);
    assert_eq!(answer.status(), 200);
    let parts = [
        "by=admin_listener ",
        "client=127.0.0.1",
        "subject=x",
        "sessions=0",
    ];
    expect("sessions_listed", &parts, &[]);
    let answer = ask(&scene, "GET", "/sessions?user=ada", &[]).json();
    expect(
        "sessions_listed",
        &["by=admin_listener ", "sessions=1"],
        &[],
    );
    let ada = answer["sessions"][0]["id"].as_str().unwrap().to_owned();
    let named = format!("session={ada} ");
    scene.told(&["show", &ada]);
    expect(
        "session_shown",
        &[&local, &named, "subject=aaa"],
        &["scope"],
    );
    scene.told(&["revoke", "--id", &ada]);
    let parts = [
        &*local,
        &named,
        "scope=\"session\"",
        "sessions=1",
        "subject=aaa",
    ];
    expect("sessions_ended", &parts, &[]);
    ask(
        &scene,
        "DELETE",
        "/sessions?user=ben%40company.example",
        &[],
    );
    let parts = ["by=admin_listener ", "scope=\"user\"", "sessions=2", &ben];
    expect("sessions_ended", &parts, &[]);
    scene.told(&["revoke", "--sub", &"b".repeat(64)]);
    expect(
        "sessions_ended",
        &[&local, "scope=\"subject\"", "sessions=0", &ben],
        &[],
    );
    scene.told(&["revoke", "--all", "--yes"]);
    expect(
        "sessions_ended",
        &[&local, "scope=\"all\"", "sessions=0"],
        &["subject"],
    );
}
