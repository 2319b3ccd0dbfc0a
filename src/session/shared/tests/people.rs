//! Who is in which group, in the store of all replicas.

use super::*;
use crate::session::{Known, People};

const LIFE: Duration = Duration::from_hours(24 * 90);

fn known(subject: &str, groups: &[&str], server: &Server) -> Known {
    Known {
        subject: Subject::new(subject),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        seen: Timestamp::from_unix(START).plus(server.now()),
    }
}

fn all(people: &People) -> Vec<Known> {
    people.load().unwrap();
    let mut all = ready(people.all(Timestamp::from_unix(START))).unwrap();
    all.sort_by(|a, b| a.subject.cmp(&b.subject));
    all
}

#[test]
fn what_one_replica_heard_of_somebody_all_know_and_nobody_reads_in_the_store() {
    let (server, [one, other]) = replicas();
    let here = People::shared(Arc::clone(&one.sessions));
    let there = People::shared(Arc::clone(&other.sessions));
    let note = |people: &People, known| ready(people.note(known, LIFE)).unwrap();
    assert!(note(&here, known("ann", &["hs-admins"], &server)));
    assert!(!note(&there, known("ann", &["hs-admins"], &server)));
    assert!(note(&there, known("bob", &["hs-staff"], &server)));
    assert_eq!(all(&here), all(&there));
    assert_eq!(all(&here).len(), 2);
    let dump = server.dump();
    for secret in ["ann", "hs-admins", "hs-staff"] {
        let found = dump
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret}");
    }
    server.pass(SECOND);
    assert!(note(&here, known("bob", &["hs-admins"], &server)));
    assert_eq!(all(&there)[1].groups.len(), 1);
    // In another session the provider vouched for him since.
    let ago = Timestamp::from_unix(START);
    assert!(!ready(there.forget(&Subject::new("bob"), Some(ago))));
    assert!(ready(there.forget(&Subject::new("bob"), None)));
    assert!(note(&there, known("ann", &[], &server)));
    assert!(all(&here).is_empty());
    assert!(server.keys().is_empty(), "{:?}", server.keys());
}

#[test]
fn whoever_goes_while_the_store_is_away_is_forgotten_when_it_answers() {
    let (server, [one, other]) = replicas();
    let here = People::shared(Arc::clone(&one.sessions));
    let there = People::shared(Arc::clone(&other.sessions));
    ready(here.note(known("ann", &["x"], &server), LIFE)).unwrap();
    one.way.cut(true);
    assert!(ready(here.forget(&Subject::new("ann"), None)));
    assert!(ready(here.all(Timestamp::from_unix(START))).is_err());
    assert!(ready(here.note(known("bob", &["x"], &server), LIFE)).is_err());
    assert_eq!(all(&there).len(), 1);
    one.way.cut(false);
    assert!(all(&here).is_empty());
    assert!(all(&there).is_empty());
}

#[test]
fn of_all_replicas_one_holds_a_right_and_not_for_ever() {
    let (server, [one, other]) = replicas();
    let hold =
        |replica: &Replica| ready(replica.sessions.hold("policy sync", SECOND * 10)).unwrap();
    let held = hold(&one);
    assert!(held.is_some());
    assert!(hold(&other).is_none() && hold(&one).is_none());
    server.pass(SECOND * 11);
    assert!(hold(&other).is_some(), "whoever had it is dead");
    other.way.cut(true);
    assert!(ready(other.sessions.hold("policy sync", SECOND)).is_err());
}
