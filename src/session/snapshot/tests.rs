use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::domain::session::Limits;
use crate::domain::time::Clock;
use crate::ops::entropy::SystemRandom;
use crate::session::testing::{START, SetClock, ready, session};
use crate::session::{SessionId, Sessions};

const NOW: Timestamp = Timestamp::from_unix(START);
const MOST: u64 = 100;
const IDLE: u64 = 600;
const LIFETIME: u64 = 6000;

/// Puts something where the snapshot belongs.
type Make<'a> = Box<dyn Fn() + 'a>;

/// A directory with a key ring, and the snapshot of a deployment in it.
struct Place {
    directory: TempDir,
    snapshot: Snapshot,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let snapshot = snapshot(directory.path(), "keys.json", &["https://a.example", "idp"]);
        Self {
            directory,
            snapshot,
        }
    }

    fn path(&self) -> &Path {
        &self.snapshot.path
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// Puts `bytes` there, as nobody but the owner could.
    fn plant(&self, bytes: &[u8]) {
        fs::write(self.path(), bytes).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn snapshot(directory: &Path, keys: &str, deployment: &[&str]) -> Snapshot {
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let keys = KeyRing::load_or_create(&directory.join(keys), Arc::clone(&random)).unwrap();
    Snapshot::new(directory.join("sessions"), Arc::new(keys), random).bound_to(deployment)
}

fn store(clock: &Arc<SetClock>, capacity: u64) -> Sessions {
    let limits = Limits {
        idle: Duration::from_secs(IDLE),
        lifetime: Duration::from_secs(LIFETIME),
    };
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Sessions::new(limits, capacity, clock, Arc::new(SystemRandom::new()))
}

fn kept(store: &Sessions) -> Vec<Kept> {
    ready(store.every())
        .unwrap()
        .iter()
        .map(Kept::from)
        .collect()
}

fn few() -> Vec<Kept> {
    let store = store(&Arc::new(SetClock::new()), 100);
    for subject in ["ann", "bob", "cid"] {
        ready(store.start(session(subject, Some(subject)))).unwrap();
    }
    kept(&store)
}

fn subjects(all: &[Kept]) -> Vec<&str> {
    let mut all: Vec<&str> = all
        .iter()
        .map(|kept| kept.session.identity.subject.as_str())
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn what_was_written_is_taken_back_once_and_by_nobody_else() {
    let place = Place::new();
    let all = few();
    place.snapshot.check().unwrap();
    place.snapshot.write(NOW, &all).unwrap();
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(place.files(), ["keys.json", "sessions"]);
    let text = place.bytes();
    for secret in ["ann", "example.net", "e30.e30", "subject"] {
        let shown = text
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!shown, "{secret}");
    }
    let taken = place.snapshot.take(NOW, MOST).unwrap();
    let print = |all: &[Kept]| {
        let mut lines: Vec<String> = all.iter().map(|kept| format!("{kept:?}")).collect();
        lines.sort();
        lines
    };
    assert_eq!(print(&taken), print(&all));
    assert_eq!(place.files(), ["keys.json"]);
    assert!(place.snapshot.take(NOW, MOST).unwrap().is_empty());
}

#[test]
fn a_cookie_finds_its_session_again_with_the_time_it_was_used_and_what_was_signed_out_stays_so() {
    let place = Place::new();
    let clock = Arc::new(SetClock::new());
    let before = store(&clock, 100);
    let start = |subject| {
        ready(before.start(session(subject, Some("sid"))))
            .unwrap()
            .0
    };
    let [ann, bob, cid]: [SessionId; 3] = ["ann", "bob", "cid"].map(start);
    clock.set(50);
    ready(before.find(&ann)).unwrap().unwrap();
    ready(before.end(&bob.key())).unwrap().unwrap();
    clock.set(60);
    place.snapshot.write(clock.now(), &kept(&before)).unwrap();

    clock.set(620);
    let after = store(&clock, 100);
    let taken = place.snapshot.take(clock.now(), MOST).unwrap();
    assert_eq!(subjects(&taken), ["ann", "cid"]);
    assert_eq!(after.put_back(taken), 1, "cid was idle for too long");
    assert!(ready(after.find(&bob)).unwrap().is_none());
    assert!(ready(after.find(&cid)).unwrap().is_none());
    let key = ann.key();
    let found = ready(after.find_by_key(&key)).unwrap().unwrap();
    assert_eq!(found.last_used(), NOW.plus(Duration::from_secs(50)));
    assert!(ready(after.find(&ann)).unwrap().is_some());
    // It is found from the provider's side as well.
    let sid = crate::domain::identity::ProviderSession::new("sid");
    assert_eq!(ready(after.end_provider_session(&sid)), Ok(1));
    assert!(ready(after.find(&ann)).unwrap().is_none());
}

/// Seconds from the last use to the start, and how many of two sessions are kept: one was used when
/// both began, the other the whole time.
#[test]
fn limits_go_on_while_the_process_is_stopped() {
    for (stopped, count) in [(0, 2), (9, 2), (10, 1), (599, 1), (600, 0), (1_000_000, 0)] {
        let place = Place::new();
        let clock = Arc::new(SetClock::new());
        let before = store(&clock, 100);
        ready(before.start(session("idle", None))).unwrap();
        let (busy, _) = ready(before.start(session("busy", None))).unwrap();
        clock.set(590);
        ready(before.find(&busy)).unwrap().unwrap();
        place.snapshot.write(clock.now(), &kept(&before)).unwrap();
        clock.set(590 + stopped);
        let after = store(&clock, 100);
        let taken = place.snapshot.take(clock.now(), MOST).unwrap();
        assert_eq!(after.put_back(taken), count, "{stopped}");
        assert_eq!(ready(after.every()).unwrap().len(), count, "{stopped}");
    }
}

#[test]
fn where_there_is_less_room_than_before_the_last_used_are_kept() {
    let clock = Arc::new(SetClock::new());
    let before = store(&clock, 100);
    let mut ids = Vec::new();
    for second in 0..10 {
        clock.set(second);
        ids.push(ready(before.start(session("ann", None))).unwrap().0);
    }
    let after = store(&clock, 3);
    after.put_back(kept(&before));
    assert_eq!(after.len(), 3);
    for (place, id) in ids.iter().enumerate() {
        let found = ready(after.find(id)).unwrap().is_some();
        assert_eq!(found, place >= 7, "{place}");
    }
}

/// Every way to change a snapshot that we wrote. It is refused, and it is gone all the same.
#[test]
fn a_snapshot_that_is_not_byte_for_byte_ours_is_not_used_and_not_read_twice() {
    let place = Place::new();
    let all = few();
    place.snapshot.write(NOW, &all).unwrap();
    let good = place.bytes();
    place.snapshot.write(NOW, &all).unwrap();
    let other = place.bytes();
    let frames = frames(&good);
    let join = |parts: &[&[u8]]| {
        [FORMAT]
            .iter()
            .chain(parts)
            .copied()
            .collect::<Vec<_>>()
            .concat()
    };
    let [head, first, second, third] = frames.as_slice() else {
        panic!("{} frames", frames.len())
    };
    assert_eq!(join(&[head, first, second, third]), good);
    let mut rows: Vec<(String, Vec<u8>)> = vec![
        ("empty".to_owned(), Vec::new()),
        ("text".to_owned(), b"[]".to_vec()),
        (
            "another format".to_owned(),
            [b"headwarden sessions 2\n", &good[FORMAT.len()..]].concat(),
        ),
        ("a byte more".to_owned(), [&good[..], b"\0"].concat()),
        (
            "a frame more".to_owned(),
            join(&[head, first, second, third, third]),
        ),
        ("a frame less".to_owned(), join(&[head, first, second])),
        ("no frames".to_owned(), join(&[head])),
        ("no head".to_owned(), join(&[first, second, third])),
        ("swapped".to_owned(), join(&[head, second, first, third])),
        ("repeated".to_owned(), join(&[head, first, first, third])),
        (
            "of another".to_owned(),
            join(&[head, first, second, &self::frames(&other)[3]]),
        ),
        ("a long frame".to_owned(), join(&[&[0xff; 4], head])),
    ];
    for length in (0..good.len()).step_by(7) {
        rows.push((format!("cut at {length}"), good[..length].to_vec()));
    }
    for at in (0..good.len()).step_by(5) {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        rows.push((format!("flipped at {at}"), flipped));
    }
    for (what, bytes) in rows {
        place.plant(&bytes);
        let refused = place.snapshot.take(NOW, MOST);
        assert!(matches!(refused, Err(SnapshotError::Io { .. })), "{what}");
        assert_eq!(place.files(), ["keys.json"], "{what}");
    }
    place.plant(&good);
    assert_eq!(place.snapshot.take(NOW, MOST).unwrap().len(), 3);
}

/// The head and the sessions, each with its length.
fn frames(snapshot: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &snapshot[FORMAT.len()..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (frame, after) = rest.split_at(4 + length);
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}

#[test]
fn a_snapshot_of_another_deployment_or_key_is_not_used() {
    let place = Place::new();
    place.snapshot.write(NOW, &few()).unwrap();
    let good = place.bytes();
    let directory = place.directory.path();
    for (what, foreign) in [
        (
            "another origin",
            snapshot(directory, "keys.json", &["https://b.example", "idp"]),
        ),
        ("no deployment", snapshot(directory, "keys.json", &[])),
        (
            "run together",
            snapshot(directory, "keys.json", &["https://a.exampleidp"]),
        ),
        (
            "another key",
            snapshot(directory, "other.json", &["https://a.example", "idp"]),
        ),
    ] {
        place.plant(&good);
        let refused = foreign.take(NOW, MOST).unwrap_err().to_string();
        assert!(refused.contains("another deployment"), "{what}: {refused}");
        assert!(!place.path().exists(), "{what}");
    }
}

#[test]
fn what_is_not_a_file_of_our_own_is_refused_and_left_alone() {
    let place = Place::new();
    place.snapshot.write(NOW, &few()).unwrap();
    let good = place.bytes();
    let elsewhere = place.directory.path().join("elsewhere");
    fs::rename(place.path(), &elsewhere).unwrap();
    let path = place.path().to_owned();
    let clear = || {
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
    };
    let mode = |mode: u32| -> Make<'_> {
        let (good, path) = (&good, &path);
        Box::new(move || {
            fs::write(path, good).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        })
    };
    let rows: Vec<(&str, Make<'_>)> = vec![
        ("a link", Box::new(|| symlink(&elsewhere, &path).unwrap())),
        (
            "a link to nothing",
            Box::new(|| symlink("nowhere", &path).unwrap()),
        ),
        ("a directory", Box::new(|| fs::create_dir(&path).unwrap())),
        (
            "a pipe",
            Box::new(|| {
                assert!(
                    Command::new("mkfifo")
                        .arg(&path)
                        .status()
                        .unwrap()
                        .success()
                );
            }),
        ),
        ("readable by all", mode(0o644)),
        ("writable by all", mode(0o602)),
        ("readable by the group", mode(0o640)),
        (
            "too large",
            Box::new(|| {
                place.plant(&good);
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(MOST * 16 * 1024 + 64 * 1024 + 1).unwrap();
            }),
        ),
    ];
    for (what, make) in rows {
        make();
        let refused = place.snapshot.take(NOW, MOST).unwrap_err();
        let left = matches!(
            refused,
            SnapshotError::Exposed { .. } | SnapshotError::Unusable { .. }
        );
        assert!(left, "{what}: {refused}");
        assert!(fs::symlink_metadata(&path).is_ok(), "{what}");
        clear();
    }
    assert!(elsewhere.exists(), "what the link led to");
    place.plant(&good);
    assert!(matches!(
        place.snapshot.take(NOW, 2),
        Err(SnapshotError::Io { .. })
    ));
}

#[test]
fn a_snapshot_from_the_future_gives_nothing() {
    for (set_back, used) in [(0, true), (60, true), (61, false), (1_000_000, false)] {
        let place = Place::new();
        place
            .snapshot
            .write(NOW.plus(Duration::from_secs(set_back)), &few())
            .unwrap();
        let taken = place.snapshot.take(NOW, MOST);
        assert_eq!(taken.is_ok(), used, "{set_back}");
    }
}

#[test]
fn a_new_snapshot_takes_the_place_of_an_old_one_and_of_what_a_killed_process_left() {
    let place = Place::new();
    let victim = place.directory.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, place.directory.path().join("sessions.new")).unwrap();
    place.plant(b"old");
    place.snapshot.write(NOW, &few()[..1]).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_eq!(place.files(), ["keys.json", "sessions", "victim"]);
    assert_eq!(place.snapshot.take(NOW, MOST).unwrap().len(), 1);
}

#[test]
fn where_nothing_can_be_written_it_is_said_at_the_start_and_at_the_end() {
    let place = Place::new();
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let nowhere = place.directory.path().join("missing/sessions");
    let snapshot = Snapshot::new(nowhere, Arc::clone(&place.snapshot.keys), random);
    for failure in [snapshot.check(), snapshot.write(NOW, &few())] {
        let failure = failure.unwrap_err().to_string();
        assert!(
            failure.starts_with("cannot write the session snapshot"),
            "{failure}"
        );
    }
    assert!(snapshot.take(NOW, MOST).unwrap().is_empty());
}

#[test]
fn a_snapshot_that_cannot_be_removed_is_emptied_and_not_used_by_a_later_start() {
    let place = Place::new();
    place.snapshot.write(NOW, &few()).unwrap();
    let busy = || std::io::Error::from(std::io::ErrorKind::ResourceBusy);
    let told = place.snapshot.is_stuck(busy()).to_string();
    let path = place.path().display().to_string();
    assert!(told.contains(&path) && told.contains("emptied"), "{told}");
    assert_eq!(fs::metadata(place.path()).unwrap().len(), 0);
    assert!(matches!(
        place.snapshot.take(NOW, MOST),
        Err(SnapshotError::Io { action: "read", .. })
    ));
    // Where it cannot be emptied either, somebody has to.
    let told = place.snapshot.is_stuck(busy()).to_string();
    assert!(
        told.contains(&path) && told.contains("before the next start"),
        "{told}"
    );
}
