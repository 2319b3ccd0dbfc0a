use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::domain::identity::Subject;
use crate::domain::offboarding::Why;
use crate::domain::time::Timestamp;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const OURS: &[&str] = &["https://a.example", "https://idp.example/", "headwarden"];

async fn notice(journal: &Journal, name: &str) -> Result<(), JournalError> {
    let subject = Subject::new(name);
    let delay = Duration::from_mins(15);
    let noticed = journal.change(move |ledger| {
        ledger.notice(&subject, Why::Refused, NOW, delay, 1000);
    });
    noticed.await
}

async fn names(journal: &Journal) -> Vec<String> {
    let ledger = journal.read().await.unwrap();
    let names = ledger
        .cases()
        .map(|(subject, _)| subject.as_str().to_owned());
    names.collect()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_is_written_down_is_there_for_the_next_process_and_for_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("offboarding.json");
    let journal = Journal::in_file(path.clone(), OURS);
    assert_eq!(names(&journal).await, Vec::<String>::new());
    let files = || std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files(), 0, "nothing is made for nobody");
    notice(&journal, "ann").await.unwrap();
    notice(&journal, "ben").await.unwrap();
    assert_eq!(files(), 2, "the file and its lock");
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let next = Journal::in_file(path.clone(), OURS);
    assert_eq!(names(&next).await, ["ann", "ben"]);
    let before = std::fs::read(&path).unwrap();
    assert!(
        !String::from_utf8(before.clone())
            .unwrap()
            .contains("https://")
    );
    let other = Journal::in_file(path.clone(), &["https://b.example", OURS[1], OURS[2]]);
    for (spoil, words) in [
        (None, "of another server_url"),
        (Some(&b"{\"version\":1"[..]), "damaged"),
        (Some(b""), "damaged"),
        (
            Some(b"{\"version\":2,\"deployment\":\"\",\"people\":{}}"),
            "another version",
        ),
    ] {
        if let Some(text) = spoil {
            std::fs::write(&path, text).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        let why = notice(&other, "eve").await.unwrap_err().to_string();
        assert!(
            why.contains(words) && why.contains("offboarding.state_path"),
            "{why}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before, "{words}: left alone");
    }
    std::fs::write(&path, &before).unwrap();
    set_mode(&path, 0o640);
    let why = next.read().await.unwrap_err().to_string();
    assert!(why.contains("must be 0600"), "{why}");
    set_mode(&path, 0o600);
    assert_eq!(names(&next).await, ["ann", "ben"]);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    let why = next.read().await.unwrap_err().to_string();
    assert!(why.contains("not a regular file"), "{why}");
}

#[tokio::test]
async fn that_nobody_can_be_written_down_is_known_before_anybody_is() {
    let directory = tempfile::tempdir().unwrap();
    let good = Journal::in_file(directory.path().join("offboarding.json"), OURS);
    good.try_out().await.unwrap();
    assert_eq!(names(&good).await, Vec::<String>::new());
    let nowhere = Journal::in_file(directory.path().join("none/offboarding.json"), OURS);
    assert_eq!(names(&nowhere).await, Vec::<String>::new(), "no sign of it");
    let why = nowhere.try_out().await.unwrap_err().to_string();
    assert!(why.contains("cannot lock offboarding.state_path"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_time_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("offboarding.json");
    let all = (0..20).map(|n| {
        let journal = Journal::in_file(path.clone(), OURS);
        tokio::spawn(async move { notice(&journal, &format!("p{n:02}")).await })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    let found = names(&Journal::in_file(path, OURS)).await;
    let expected: Vec<String> = (0..20).map(|n| format!("p{n:02}")).collect();
    assert_eq!(found, expected);
}
