//! Metrics as Prometheus takes them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::faulty_provider::Person as Account;
use crate::scene::Scene;
use crate::stage::send;
use crate::support::house::{House, More};

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
