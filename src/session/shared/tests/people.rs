//! Who is in which group, in the store of all replicas.

use super::faults::rotated;
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

#[test]
fn whom_an_older_key_ring_cannot_read_is_not_taken_for_nobody_and_moves_to_the_newest_key() {
    let server = Arc::new(Server::default());
    let [old, new] = rotated(&server);
    let before = People::shared(Arc::clone(&old.sessions));
    let after = People::shared(Arc::clone(&new.sessions));
    let oldest = Timestamp::from_unix(START);
    for who in ["ann", "bob"] {
        ready(before.note(known(who, &["x"], &server), LIFE)).unwrap();
    }
    assert_eq!(all(&before).len(), 2);
    server.pass(SECOND);
    ready(after.note(known("ann", &["x"], &server), LIFE)).unwrap();
    let why = ready(before.all(oldest)).unwrap_err().to_string();
    assert!(
        why.contains("not everybody in the store can be read"),
        "{why}"
    );
    let places = server.keys();
    assert_eq!(all(&after).len(), 2);
    assert_ne!(server.keys(), places, "bob has moved");
    assert_eq!(server.keys().len(), places.len());
    assert_eq!(all(&after).len(), 2);
    assert!(ready(after.forget(&Subject::new("bob"), None)));
    assert_eq!(all(&after).len(), 1);
    // Heard by both, somebody is known once, as they were seen last.
    server.pass(SECOND);
    ready(before.note(known("ann", &["y"], &server), LIFE)).unwrap();
    let ann = known("ann", &["y"], &server);
    assert_eq!(all(&after), std::slice::from_ref(&ann));
    assert_eq!(all(&after), [ann]);
}
