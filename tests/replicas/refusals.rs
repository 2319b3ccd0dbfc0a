//! The server answers, and refuses some of what it is asked.

use crate::faulty_provider::Person as Account;
use crate::stage::{HEARD, HOST, Stage, eventually, session_line, until, url};
use crate::support::raw::Raw;

/// Sessions that stand in the server; what is buried is none.
fn sessions(stage: &Stage) -> usize {
    let answer = stage.redis.ask("KEYS *:s:*");
    let keys = answer.lines().filter(|line| line.contains(":s:"));
    keys.filter(|key| !stage.redis.ask(&format!("STRLEN {key}")).starts_with(":0"))
        .count()
}

#[test]
fn what_the_server_refuses_fails_alone_and_is_made_up_for_without_a_new_connection() {
    let stage = Stage::start(2);
    let mut person = stage.somebody(Account::Member, 0);
    let [two, three] =
        [Account::Member, Account::Admin].map(|account| session_line(&stage.somebody(account, 0)));
    let session = session_line(&person);
    for at in 0..2 {
        assert_eq!(stage.status(at, &session), 200);
    }
    assert_eq!(sessions(&stage), 3);
    let asked = person.open(&url("/.headwarden/logout"));
    stage.redis.ask("ACL SETUSER default -getdel -eval");
    let out = person.submit(&asked, "", &[]);
    assert_eq!(out.status(), 503, "{}", out.text());
    assert_ne!(stage.status(0, &session), 200);
    // The others hear of it, whatever the server said.
    until(
        "told",
        HEARD,
        || stage.status(1, &session),
        |status| *status == 401,
    );
    // To note a use is refused; to look up is not.
    for session in [&two, &three] {
        assert_eq!(stage.status(1, session), 200, "not known there before");
    }
    assert_eq!(sessions(&stage), 3);
    stage.redis.ask("ACL SETUSER default +getdel +eval");
    eventually("made up for", || sessions(&stage), |count| *count == 2);
    for at in 0..2 {
        assert_eq!(stage.status(at, &session), 401);
        assert_eq!(stage.status(at, &two), 200);
        let log = stage.replicas[at].log();
        assert!(!log.contains("sessions known here go on"), "{log}");
        assert!(log.contains("the session store refuses a command"), "{log}");
    }
}

#[test]
fn a_server_that_is_full_signs_nobody_in_and_lets_everybody_go_on_and_out() {
    let stage = Stage::start(2);
    let mut person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    let other = session_line(&stage.somebody(Account::Admin, 0));
    stage.redis.ask("CONFIG SET maxmemory 1");
    let refused = stage.nobody(1).open(&url("/windows"));
    assert_eq!(refused.status(), 503, "{}", refused.text());
    for session in [&session, &other] {
        assert_eq!(stage.status(1, session), 200, "not known there before");
    }
    let asked = person.open(&url("/.headwarden/logout"));
    let out = person.submit(&asked, "", &[]);
    assert_eq!(out.status(), 303, "{}", out.text());
    for at in 0..2 {
        let status = || stage.status(at, &session);
        until("refused", HEARD, status, |status| *status == 401);
        assert_eq!(stage.status(at, &other), 200);
    }
    stage.redis.ask("CONFIG SET maxmemory 0");
    stage.somebody(Account::Member, 1);
}

#[test]
fn a_logout_that_the_server_does_not_take_holds_and_counts_when_it_is_sent_again() {
    let stage = Stage::start(2);
    let person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    for at in 0..2 {
        assert_eq!(stage.status(at, &session), 200);
    }
    let none = serde_json::json!({});
    let token = stage.provider.logout_token(Account::Member, &none, &none);
    let post = |at: usize| {
        let body = format!("logout_token={token}");
        let text = format!(
            "POST /.headwarden/backchannel-logout HTTP/1.1\r\nHost: {HOST}:8000\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Raw::connect(stage.replicas[at].plan.public)
            .and_then(|mut raw| raw.exchange(text.as_bytes()));
        answer.expect("an answer").status()
    };
    stage.redis.ask("ACL SETUSER default -eval");
    assert_eq!(post(0), 503);
    assert_ne!(stage.status(0, &session), 200, "over here at once");
    let status = || stage.status(1, &session);
    until("told", HEARD, status, |status| *status == 401);
    assert_eq!(sessions(&stage), 1, "it is owed");
    stage.redis.ask("ACL SETUSER default +eval");
    assert_eq!((post(0), post(1)), (200, 400), "it counts once");
    assert_eq!(sessions(&stage), 0);
}
