//! Metrics as Prometheus takes them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::faulty_provider::Person as Account;
use crate::scene::Scene;
use crate::stage::{request, send};
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::raw::Raw;

/// The content type and the text of `/metrics`.
pub(crate) fn scrape(house: &House) -> (String, String) {
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = send(house.plan.admin, request);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let kind = answer.header("content-type").unwrap_or_default().to_owned();
    (kind, answer.text())
}

/// What `promtool` says with these arguments and this input; nothing, where all is well.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: run tests/setup.sh");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it listens");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        String::new()
    } else {
        said
    }
}

#[test]
fn prometheus_takes_the_metrics_and_finds_nothing_to_mend() {
    let scene = Scene::start("", &More::default());
    scene.sign_in(Account::Member);
    let (kind, text) = scrape(scene.house());
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert_eq!(promtool(&["check", "metrics"], &text), "");
    let spoiled = text.replace("headwarden_sign_ins_total", "headwarden_sign_ins");
    assert_ne!(promtool(&["check", "metrics"], &spoiled), "");
}

/// The series of a scrape, without their values.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series.to_owned())
        .collect()
}

#[test]
fn nobody_makes_a_series_whatever_they_send() {
    let scene = Scene::start("", &More::default());
    let house = scene.house();
    scene.sign_in(Account::Member);
    let before = series(&scrape(house).1);
    for method in ["GET", "BREW", "get", "PROPFIND", "M-SEARCH", "X"] {
        for target in [
            "/",
            "/\u{7f}",
            "/register/x\"} 1",
            "/api/v1/%22%7D%201",
            "/oidc/callback?state=hw1.x&error=a%22b&code=c",
            "/oidc/callback?state=x",
            "/.headwarden/x\\",
            "/key?door=\"",
            "/derp",
            "/metrics",
        ] {
            let lines = [
                "Connection: Upgrade",
                "Upgrade: x\"y",
                "Authorization: Bearer x",
            ];
            let request = request(house, method, target, &lines);
            // Some of it is answered with the end of the connection.
            let _ = Raw::connect(house.plan.public).and_then(|mut raw| raw.exchange(&request));
        }
    }
    scene.stage.is_at_the_provider(Account::Outsider);
    Person::new().open(&house.url("/windows"));
    let after = series(&scrape(house).1);
    assert_eq!(before, after);
    assert!(before.len() > 300, "{}", before.len());
}

#[test]
fn every_check_of_readiness_is_a_series() {
    let scene = Scene::start("", &More::default());
    let (_, text) = scrape(scene.house());
    let source = std::fs::read_to_string("src/app/probes.rs").unwrap();
    let names: BTreeSet<&str> = source
        .split(".with(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let series = format!("headwarden_check_passing{{check=\"{name}\"}} 1");
        assert!(text.contains(&series), "{series}: {text}");
    }
    assert!(text.contains("\nheadwarden_ready 1\n"), "{text}");
}
