use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::domain::random::Random;
use crate::ops::entropy::SystemRandom;
use crate::session::testing::ready;

const LIFE: Duration = Duration::from_hours(24);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn known(subject: &str, groups: &[&str], seen: u64) -> Known {
    Known {
        subject: Subject::new(subject),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        seen: at(seen),
    }
}

fn keys(directory: &Path) -> Arc<KeyRing> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    Arc::new(KeyRing::load_or_create(&directory.join("keys.json"), random).unwrap())
}

/// Those of one process, in a directory that others may begin in, too.
fn people(directory: &Path, deployment: &str) -> People {
    People::at(directory.join("people"), keys(directory), &[deployment])
}

fn all(people: &People, oldest: u64) -> Vec<Known> {
    people.load().unwrap();
    ready(people.all(at(oldest))).unwrap()
}

#[test]
fn groups_are_known_until_they_change_or_the_person_goes() {
    let directory = tempfile::tempdir().unwrap();
    let people = people(directory.path(), "a");
    people.load().unwrap();
    let note = |known: Known| ready(people.note(known, LIFE)).unwrap();
    assert!(note(known("ann", &["x"], 10)), "somebody new");
    assert!(!note(known("ann", &["x"], 20)), "the same again");
    assert!(note(known("ann", &["x", "y"], 30)), "another group");
    assert!(note(known("bob", &["y"], 40)));
    assert!(!note(known("eve", &[], 40)), "in none of the groups");
    assert_eq!(
        all(&people, 0),
        [known("ann", &["x", "y"], 30), known("bob", &["y"], 40)]
    );
    assert!(note(known("ann", &[], 50)), "has left them");
    assert_eq!(all(&people, 0), [known("bob", &["y"], 40)]);
    let forget =
        |who: &str, since: Option<u64>| ready(people.forget(&Subject::new(who), since.map(at)));
    assert!(!forget("bob", Some(39)), "vouched for since");
    assert!(!forget("eve", None), "nobody knows her");
    assert!(forget("bob", Some(40)));
    assert!(note(known("bob", &["y"], 60)));
    assert!(forget("bob", None));
    assert!(all(&people, 0).is_empty());
    // Whoever was not seen for long goes by themselves.
    note(known("ann", &["x"], 70));
    note(known("bob", &["x"], 90));
    assert_eq!(all(&people, 80), [known("bob", &["x"], 90)]);
    assert_eq!(all(&people, 0), [known("bob", &["x"], 90)]);
}

#[test]
fn a_process_goes_on_with_what_the_one_before_knew_and_what_it_heard_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let before = people(directory.path(), "a");
    all(&before, 0);
    for who in ["ann", "bob", "cid", "dan"] {
        ready(before.note(known(who, &["x"], 10), LIFE)).unwrap();
    }
    before.keep().unwrap();
    let file = directory.path().join("people");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let written = std::fs::read(&file).unwrap();
    assert!(
        !written.windows(3).any(|part| part == b"ann"),
        "it is sealed"
    );
    let after = people(directory.path(), "a");
    // Before the file was read, which nobody hurries with.
    ready(after.note(known("ann", &["y"], 20), LIFE)).unwrap();
    assert!(ready(after.forget(&Subject::new("bob"), None)));
    ready(after.note(known("cid", &[], 20), LIFE)).unwrap();
    after.keep().unwrap();
    assert_eq!(
        std::fs::read(&file).unwrap(),
        written,
        "nothing is lost by not having read it"
    );
    let now = [known("ann", &["y"], 20), known("dan", &["x"], 10)];
    assert_eq!(all(&after, 0), now);
    after.retire().unwrap();
    assert_eq!(all(&people(directory.path(), "a"), 0), now);
    // Another process has the file now.
    ready(after.note(known("eve", &["x"], 30), LIFE)).unwrap();
    after.keep().unwrap();
    assert_eq!(all(&people(directory.path(), "a"), 0), now);
    after.go_on();
    after.keep().unwrap();
    assert_eq!(all(&people(directory.path(), "a"), 0).len(), 3);
}

#[test]
fn whoever_was_known_before_it_was_off_is_not_known_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("people");
    let before = people(directory.path(), "a");
    before.clear().unwrap();
    assert!(!file.exists(), "there is nothing to write");
    ready(before.note(known("ann", &["x"], 10), LIFE)).unwrap();
    before.keep().unwrap();
    let off = people(directory.path(), "a");
    off.clear().unwrap();
    off.clear().unwrap();
    assert!(all(&people(directory.path(), "a"), 0).is_empty());
    before.clear().unwrap();
    assert!(all(&before, 0).is_empty());
}

#[test]
fn a_file_that_is_not_surely_ours_is_not_used_and_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let first = people(directory.path(), "a");
    all(&first, 0);
    ready(first.note(known("ann", &["x"], 10), LIFE)).unwrap();
    first.keep().unwrap();
    let file = directory.path().join("people");
    let good = std::fs::read(&file).unwrap();
    let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    let refused = |deployment: &str| {
        let people = people(directory.path(), deployment);
        let why = people.load().unwrap_err().to_string();
        ready(people.note(known("eve", &["x"], 20), LIFE)).unwrap();
        people.keep().unwrap();
        why
    };
    assert!(refused("another").contains("of another deployment"));
    mode(0o640);
    assert!(refused("a").contains("0600"));
    mode(0o600);
    assert_eq!(std::fs::read(&file).unwrap(), good);
    for bad in [&good[..good.len() - 1], b"", b"[]"] {
        std::fs::write(&file, bad).unwrap();
        assert!(refused("a").contains("damaged"));
        assert_eq!(std::fs::read(&file).unwrap(), bad);
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(refused("a").contains("not a regular file"));
    std::fs::remove_dir(&file).unwrap();
    assert!(all(&people(directory.path(), "a"), 0).is_empty());
    // A directory that is not there is no reason to forget anybody.
    let nowhere = People::at(
        directory.path().join("no/people"),
        keys(directory.path()),
        &["a"],
    );
    all(&nowhere, 0);
    ready(nowhere.note(known("ann", &["x"], 10), LIFE)).unwrap();
    assert!(
        nowhere
            .keep()
            .unwrap_err()
            .to_string()
            .contains("cannot write")
    );
    assert_eq!(all(&nowhere, 0).len(), 1);
}
