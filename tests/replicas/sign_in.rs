//! A sign-in is one, whichever replicas carry it.

use crate::faulty_provider::Person as Account;
use crate::stage::{HTML, Stage, callback_for, eventually, session_line, url};

#[test]
fn a_sign_in_begun_at_one_replica_is_finished_at_another_and_good_at_all() {
    let stage = Stage::start(3);
    let mut person = stage.nobody(0);
    let (answered, callback) = callback_for(&mut person, "/windows");
    let mut person = stage.moved(person, 1);
    let page = person.follow(answered);
    assert_eq!(page.status(), 200, "{}", page.text());
    let session = session_line(&person);
    for at in 0..3 {
        assert_eq!(stage.status(at, &session), 200, "replica {at}");
    }
    // Answered at one, it is answered at all.
    let mut person = stage.moved(person, 2);
    let again = person.get(callback.as_str());
    assert_ne!(again.status(), 303, "answered before");
    for at in 0..3 {
        assert_eq!(stage.status(at, &session), 200, "replica {at}");
    }
}

#[test]
fn a_callback_that_another_replica_answered_signs_nobody_in() {
    let stage = Stage::start(2);
    let mut person = stage.nobody(0);
    let (_, callback) = callback_for(&mut person, "/windows");
    // Two copies of one browser, as an attacker with its cookies has.
    let lines = {
        let at = url::Url::parse(&url("/oidc/callback")).unwrap();
        let kept = person.jar.at(&at);
        let cookies: Vec<String> = kept
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        format!("Cookie: {}", cookies.join("; "))
    };
    let target = &callback[url::Position::BeforePath..];
    let first = stage.ask(0, "GET", target, &[HTML, &lines]);
    assert_eq!(first.status(), 303, "{}", first.text());
    assert!(first.header("set-cookie").is_some());
    for at in [1, 0] {
        let second = stage.ask(at, "GET", target, &[HTML, &lines]);
        assert_eq!(second.status(), 400, "replica {at}: {}", second.text());
    }
}

#[test]
fn a_replica_that_is_killed_in_the_middle_of_sign_ins_costs_nobody_anything() {
    let mut stage = Stage::start(2);
    let signed_in = stage.somebody(Account::Member, 0);
    let mut on_the_way = stage.nobody(0);
    let (answered, _) = callback_for(&mut on_the_way, "/windows");
    stage.replicas[0].restart(&[]);
    // The other one finishes it while the first is away.
    let mut on_the_way = stage.moved(on_the_way, 1);
    let page = on_the_way.follow(answered);
    assert_eq!(page.status(), 200, "{}", page.text());
    stage.replicas[0].wait_for_log("serving");
    for person in [&signed_in, &on_the_way] {
        let session = session_line(person);
        for at in 0..2 {
            assert_eq!(stage.status(at, &session), 200, "replica {at}");
        }
    }
    // And what it begins after its return is finished by it, though killed in between once more.
    let mut person = stage.nobody(0);
    let (answered, _) = callback_for(&mut person, "/windows");
    stage.replicas[0].restart(&[]);
    stage.replicas[0].wait_for_log("serving");
    let page = person.follow(answered);
    assert_eq!(page.status(), 200, "{}", page.text());
}

#[test]
fn one_person_has_a_hundred_sessions_at_most_over_all_replicas() {
    let stage = Stage::start(2);
    let mut sessions = Vec::new();
    for n in 0..101 {
        let person = stage.somebody(Account::Member, n % 2);
        sessions.push(session_line(&person));
    }
    let alive = |session: &String| stage.status(1, session) == 200;
    let alive = sessions.iter().filter(|session| alive(session)).count();
    assert_eq!(alive, 100);
    let newest = sessions.last().unwrap();
    assert_eq!(
        stage.status(0, newest),
        200,
        "the newest is never the one to go"
    );
    eventually(
        "the first replica hears of it",
        || {
            sessions
                .iter()
                .filter(|session| stage.status(0, session) == 200)
                .count()
        },
        |alive| *alive == 100,
    );
}
