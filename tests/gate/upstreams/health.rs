//! What health checks find, and what follows from it.

use super::patient::Patient;
use super::start;
use crate::stage::{HTML, Stage, ask, send};
use crate::support::raw::Response;

fn get(stage: &Stage, session: &str) -> Response {
    ask(&stage.house, "GET", "/ui/x", &[HTML, session])
}

/// What the metrics say of an address.
fn metric(stage: &Stage, ui: &Patient) -> Option<String> {
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
}

#[test]
fn an_address_that_fails_its_checks_gets_nothing_until_it_passes_them_again() {
    let (one, two) = (Patient::start(), Patient::start());
    let (mut stage, session) = start(&format!(
        "  - path: /ui/**\n    identity_headers: remote\n    assertion: true\n    upstream:\n      \
         urls: [\"http://{}\", \"http://{}\"]\n      balance: first\n      \
         health_check: {{ path: \"/healthz?deep\", interval: 1s, timeout: 5s, healthy_after: 1, unhealthy_after: 2 }}\n",
        one.address, two.address
    ));
    assert_eq!(get(&stage, &session).text(), one.port());
    one.say(500);
    let line = stage.house.wait_for_log("fails its health checks");
    assert!(
        line.contains(&one.address.to_string()) && line.contains("it answers 500"),
        "{line}"
    );
    assert_eq!(get(&stage, &session).text(), two.port());
    assert_eq!(metric(&stage, &one).as_deref(), Some("0"));
    assert_eq!(metric(&stage, &two).as_deref(), Some("1"));
    two.say(404);
    stage.house.wait_for_log("it answers 404");
    let nobody = get(&stage, &session);
    assert_eq!(nobody.status(), 503);
    assert!(
        nobody.text().contains("No server of the service"),
        "{}",
        nobody.text()
    );
    assert!(nobody.header("retry-after").is_some());
    let json = ask(&stage.house, "GET", "/ui/x", &[&session]);
    assert_eq!(json.status(), 503);
    assert!(
        json.text().contains("upstream_unavailable"),
        "{}",
        json.text()
    );
    // Nobody gets in by that: without a session, it is the way to sign in.
    let stranger = ask(&stage.house, "GET", "/ui/x", &[]);
    assert_eq!(stranger.status(), 401, "{}", stranger.text());
    // A redirect is an answer, and nobody follows it.
    one.say(302);
    stage.house.wait_for_log("passes its health checks again");
    assert_eq!(get(&stage, &session).status(), 302);
    assert_eq!(metric(&stage, &one).as_deref(), Some("1"));
    assert!(one.heads("/elsewhere").is_empty());
    // A check is nobody's request.
    let checks = one.heads("GET /healthz?deep HTTP/1.1\r\n");
    let [check, ..] = &checks[..] else {
        panic!("no check")
    };
    let public = stage.house.plan.public;
    let expected = format!(
        "GET /healthz?deep HTTP/1.1\r\nHost: {public}\r\nUser-Agent: Headwarden health check\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(*check, expected);
}

#[test]
fn what_is_known_of_an_address_stays_known_when_the_configuration_is_read_again() {
    let [one, two, three] = [(); 3].map(|()| Patient::start());
    let of = |urls: &[&Patient], groups: &str| {
        let urls: Vec<String> = urls
            .iter()
            .map(|ui| format!("\"http://{}\"", ui.address))
            .collect();
        // Three checks would be needed for a new opinion.
        format!(
            "  - path: /ui/**\n    upstream:\n      urls: [{}]\n      balance: first\n      \
             health_check: {{ path: /healthz, interval: 1s, unhealthy_after: 3 }}\n  \
             - path: /other/**\n    groups: [{groups}]\n    upstream: http://{}\n",
            urls.join(", "),
            two.address
        )
    };
    let mut rules = of(&[&one, &two], "/headscale");
    let (mut stage, session) = start(&rules);
    one.say(500);
    stage.house.wait_for_log("fails its health checks");
    assert_eq!(get(&stage, &session).text(), two.port());
    let config = stage.house.plan.files.join("config.yaml");
    for (taken_over, (what, next)) in [
        ("another rule", of(&[&one, &two], "/other")),
        ("one address more", of(&[&one, &two, &three], "/other")),
    ]
    .into_iter()
    .enumerate()
    {
        let text = std::fs::read_to_string(&config).expect("a file");
        assert!(text.contains(&rules), "{text}");
        std::fs::write(&config, text.replace(&rules, &next)).expect("the directory is ours");
        rules = next;
        stage.house.signal("HUP");
        stage.house.wait_until(what, || {
            let log = stage.house.log();
            log.matches("configuration taken over").count() > taken_over
        });
        assert_eq!(get(&stage, &session).text(), two.port(), "{what}");
        assert_eq!(metric(&stage, &one).as_deref(), Some("0"), "{what}");
    }
    // Who is not there any more is not told of.
    let text = std::fs::read_to_string(&config).expect("a file");
    let next = of(&[&two, &three], "/other");
    std::fs::write(&config, text.replace(&rules, &next)).expect("the directory is ours");
    stage.house.signal("HUP");
    stage
        .house
        .wait_until("no metric", || metric(&stage, &one).is_none());
    assert_eq!(metric(&stage, &two).as_deref(), Some("1"));
}
