//! The server that replicas share goes away and comes back.

use crate::faulty_provider::Person as Account;
use crate::redis::Redis;
use crate::servers::Sentinel;
use crate::stage::{HTML, Stage, callback_for, eventually, session_line, url};
use crate::support::house::House;

fn away(answer: &crate::support::raw::Response) {
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(
        answer.header("set-cookie"),
        None,
        "nobody is signed in or out"
    );
}

#[test]
fn without_the_store_known_sessions_go_on_nobody_new_comes_in_and_it_recovers_by_itself() {
    let mut stage = Stage::start(2);
    let person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    let mut on_the_way = stage.nobody(0);
    let (_, callback) = callback_for(&mut on_the_way, "/windows");
    assert_eq!(stage.store_check(0), "pass");
    stage.redis.stop();

    assert_eq!(stage.status(0, &session), 200, "known where it began");
    // Unknown at the other one: neither let in nor sent away.
    let page = stage.ask(1, "GET", "/windows", &[HTML, &session]);
    away(&page);
    assert!(
        page.text().contains("Sign-ins cannot be looked up"),
        "{}",
        page.text()
    );
    let json = stage.ask(1, "GET", "/windows", &[&session]);
    away(&json);
    assert_eq!(json.json()["error"], "session_store_unavailable");
    let callback = on_the_way.get(callback.as_str());
    assert_eq!(callback.status(), 503, "{}", callback.text());
    // Without a cookie there is nothing to look up, and tunnels and open doors need nobody.
    assert_eq!(stage.ask(1, "GET", "/windows", &[]).status(), 401);
    assert_eq!(stage.ask(1, "GET", "/key?v=140", &[]).status(), 200);
    for at in 0..2 {
        eventually(
            "readiness says so",
            || stage.store_check(at),
            |said| said == "warn",
        );
        assert_eq!(stage.probe(at, "/readyz").status(), 200, "a warning only");
        eventually(
            "it is counted",
            || stage.probe(at, "/metrics").text(),
            |metrics| metrics.contains("\nheadwarden_store_up 0\n"),
        );
    }
    stage.redis.start_again();
    for at in 0..2 {
        eventually(
            "readiness says so",
            || stage.store_check(at),
            |said| said == "pass",
        );
        eventually(
            "it recovers",
            || stage.status(at, &session),
            |status| *status == 200,
        );
        eventually(
            "it is counted",
            || stage.probe(at, "/metrics").text(),
            |metrics| metrics.contains("\nheadwarden_store_up 1\n"),
        );
        stage.replicas[at].wait_for_log("the session store answers again");
        let log = stage.replicas[at].log();
        let lost = log.matches("sessions known here go on").count();
        assert_eq!(lost, 1, "told once: {log}");
    }
    stage.somebody(Account::Member, 1);
}

#[test]
fn a_session_that_the_store_did_not_confirm_for_the_grace_is_not_let_through() {
    let mut stage = Stage::start_with(1, Redis::start(), "  store_grace: 8s\n", "");
    let person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    stage.redis.stop();
    assert_eq!(stage.status(0, &session), 200);
    let answer = eventually(
        "the grace is over",
        || stage.ask(0, "GET", "/windows", &[&session]),
        |answer| answer.status() != 200,
    );
    away(&answer);
    stage.redis.start_again();
    eventually(
        "it recovers",
        || stage.status(0, &session),
        |status| *status == 200,
    );
}

#[test]
fn a_sign_out_without_the_store_holds_here_at_once_and_everywhere_when_it_is_back() {
    let mut stage = Stage::start(2);
    let mut person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    for at in 0..2 {
        assert_eq!(stage.status(at, &session), 200);
    }
    let asked = person.open(&url("/.headwarden/logout"));
    stage.redis.stop();
    let out = person.submit(&asked, "", &[]);
    assert_eq!(
        out.status(),
        503,
        "not done is not said to be done: {}",
        out.text()
    );
    assert_ne!(
        stage.status(0, &session),
        200,
        "nobody uses it here any more"
    );
    let log = stage.replicas[0].log();
    let audited = log.lines().filter(|line| {
        line.contains(" headwarden::audit: ") && line.contains("act=\"signed_out\"")
    });
    let audited: Vec<&str> = audited.collect();
    let [line] = audited[..] else {
        panic!("{audited:?}\n{log}")
    };
    assert!(
        line.contains("by=person") && line.contains("subject="),
        "{line}"
    );
    stage.redis.start_again();
    for at in 0..2 {
        eventually(
            "refused",
            || stage.status(at, &session),
            |status| *status == 401,
        );
    }
}

#[test]
fn a_replica_starts_without_the_store_and_serves_when_it_is_there() {
    let mut stage = Stage::start(1);
    let person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    stage.redis.stop();
    stage.replicas[0].restart(&[]);
    stage.replicas[0].wait_for_log("starting without the session store");
    stage.replicas[0].wait_for_log("serving");
    assert_eq!(stage.ask(0, "GET", "/key?v=140", &[]).status(), 200);
    away(&stage.ask(0, "GET", "/windows", &[HTML, &session]));
    stage.redis.start_again();
    eventually(
        "it recovers",
        || stage.status(0, &session),
        |status| *status == 200,
    );
}

#[test]
fn the_server_is_asked_over_tls_and_with_a_password() {
    const PASSWORD: &str = "a-password-for-the-server";
    let mut redis = Redis::start_with(Some(PASSWORD), true);
    let port = redis.address.port();
    let ca = redis.ca_path.clone().unwrap().display().to_string();
    let url = format!("url: \"rediss://localhost:{port}\", password: {PASSWORD}");
    let good = format!("  redis: {{ {url}, ca_path: {ca} }}\n");
    let stage = Stage::start_with(2, redis, &good, "");
    let person = stage.somebody(Account::Member, 0);
    assert_eq!(stage.status(1, &session_line(&person)), 200);
    assert_eq!(stage.store_check(0), "pass");
    redis = stage.redis;

    // Nothing is told to a server that is not the right one, and a wrong password is no way in.
    let port = redis.address.port();
    let wrong = "not-the-password-of-it";
    let untrusted = format!("  redis: {{ {url} }}\n");
    let refused = format!(
        "  redis: {{ url: \"rediss://localhost:{port}\", password: {wrong}, ca_path: {ca} }}\n"
    );
    let none = format!("  redis: {{ url: \"rediss://localhost:{port}\", ca_path: {ca} }}\n");
    let mut rest = Stage::start_with(0, redis, "", "");
    for (session, why) in [
        (untrusted, "certificate"),
        (refused, "WRONGPASS"),
        (none, "NOAUTH"),
    ] {
        let house = House::start(|plan| rest.config(plan, &session, ""));
        rest.replicas = vec![house];
        assert_eq!(rest.store_check(0), "warn", "{why}");
        let told = rest.replicas[0].wait_for_log("known here go on");
        let told = told.to_lowercase();
        let log = rest.replicas[0].log();
        assert!(told.contains(&why.to_lowercase()), "{why}: {told}");
        assert!(!log.contains(PASSWORD) && !log.contains(wrong), "{log}");
        away(&rest.ask(0, "GET", "/windows", &[&session_line(&person)]));
    }
}

/// Signs in at one replica, out at the other, and asks for what is listed.
fn works(stage: &Stage) {
    let mut person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    for at in 0..2 {
        assert_eq!(stage.store_check(at), "pass");
        assert_eq!(stage.status(at, &session), 200, "replica {at}");
    }
    person = stage.moved(person, 1);
    let asked = person.open(&url("/.headwarden/logout"));
    assert_eq!(person.submit(&asked, "", &[]).status(), 303);
    for at in 0..2 {
        let status = || stage.status(at, &session);
        eventually("refused", status, |status| *status == 401);
    }
}

#[test]
fn the_store_may_be_a_cluster() {
    let redis = Redis::start_cluster();
    let port = redis.address.port();
    let session = format!("  redis: {{ url: \"redis://localhost:{port}\", topology: cluster }}\n");
    works(&Stage::start_with(2, redis, &session, ""));
}

#[test]
fn the_store_may_be_found_through_sentinels() {
    let redis = Redis::start();
    let sentinel = Sentinel::start(&redis, 1);
    let (port, nowhere) = (sentinel.address.port(), "localhost:9");
    let session = format!(
        "  redis: {{ url: \"redis://{nowhere}\", nodes: [\"localhost:{port}\"], \
         topology: sentinel, sentinel_name: primary }}\n"
    );
    works(&Stage::start_with(2, redis, &session, ""));
}
