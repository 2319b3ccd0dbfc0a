//! A planned restart: sessions wait in a sealed file, and come back once. What a process that is killed
//! leaves, and what somebody else put there, brings nobody back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::faulty_provider::Person as Account;
use crate::stage::{SAME_ORIGIN, Stage, ask, session_line};
use crate::support::house::More;

const LOGOUT: &str = "/.headwarden/logout";
const EMPTY: &str = "Content-Length: 0";

/// What happens to the file, in words and in deed.
type Harm<'a> = (&'static str, Box<dyn Fn() + 'a>);

/// A house that keeps its sessions over a restart, and the file.
fn stage() -> (Stage, PathBuf) {
    let stage = Stage::start_with(|plan| {
        let path = plan.files.join("sessions");
        let top = format!("session: {{ snapshot_path: {} }}\n", path.display());
        More {
            top: top.leak(),
            ..More::default()
        }
    });
    let path = stage.house.plan.files.join("sessions");
    (stage, path)
}

/// Ends the process in good order, with whatever happens to its files before it starts again.
fn restart(stage: &mut Stage, meanwhile: impl FnOnce()) {
    stage.house.signal("TERM");
    assert!(stage.house.wait().success(), "{}", stage.house.log());
    meanwhile();
    stage.house.restart(&[]);
    stage.house.wait_for_log("serving");
}

fn status(stage: &Stage, session: &str) -> u16 {
    ask(&stage.house, "GET", "/windows", &[session]).status()
}

#[test]
fn people_stay_signed_in_over_a_planned_restart_and_who_signed_out_stays_out() {
    let (mut stage, path) = stage();
    let [stays, leaves] = [Account::Member, Account::Admin]
        .map(|account| session_line(&stage.house, &stage.somebody(account)));
    let lines = [EMPTY, SAME_ORIGIN, &leaves];
    assert_eq!(ask(&stage.house, "POST", LOGOUT, &lines).status(), 303);
    assert!(!path.exists(), "only while nobody serves");
    restart(&mut stage, || {
        let mode = std::fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
    });
    assert!(!path.exists(), "it is taken out before it is used");
    assert!(
        stage
            .house
            .log()
            .contains("sessions taken back sessions=1 expired=0")
    );
    assert_eq!(
        (status(&stage, &stays), status(&stage, &leaves)),
        (200, 401)
    );
    // Signed out after the restart, it does not come back either.
    let lines = [EMPTY, SAME_ORIGIN, &stays];
    assert_eq!(ask(&stage.house, "POST", LOGOUT, &lines).status(), 303);
    restart(&mut stage, || ());
    assert_eq!(status(&stage, &stays), 401);
}

#[test]
fn a_process_that_is_killed_brings_nobody_back() {
    let (mut stage, path) = stage();
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    restart(&mut stage, || ());
    assert_eq!(status(&stage, &session), 200);
    stage.house.signal("KILL");
    stage.house.wait();
    assert!(!path.exists());
    stage.house.restart(&[]);
    stage.house.wait_for_log("serving");
    assert_eq!(status(&stage, &session), 401);
}

/// What becomes of the file while the process is stopped.
#[test]
fn a_file_that_is_not_as_it_was_left_costs_a_sign_in_and_nothing_else() {
    let (mut stage, path) = stage();
    let keys = stage.house.plan.files.join("keys.json");
    let rows: [Harm<'_>; 6] = [
        (
            "cut",
            Box::new(|| {
                let bytes = std::fs::read(&path).expect("it is there");
                std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("it is ours");
            }),
        ),
        (
            "flipped",
            Box::new(|| {
                let mut bytes = std::fs::read(&path).expect("it is there");
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                std::fs::write(&path, bytes).expect("it is ours");
            }),
        ),
        (
            "exposed",
            Box::new(|| {
                let mode = std::fs::Permissions::from_mode(0o666);
                std::fs::set_permissions(&path, mode).expect("it is ours");
            }),
        ),
        (
            "a link",
            Box::new(|| {
                let elsewhere = path.with_extension("moved");
                std::fs::rename(&path, &elsewhere).expect("it is ours");
                std::os::unix::fs::symlink(&elsewhere, &path).expect("it is free");
            }),
        ),
        (
            "no file",
            Box::new(|| {
                std::fs::remove_file(&path).expect("it is ours");
                std::fs::create_dir(&path).expect("it is free");
            }),
        ),
        (
            "of another key",
            Box::new(|| std::fs::remove_file(&keys).expect("it is ours")),
        ),
    ];
    for (what, harm) in rows {
        let session = session_line(&stage.house, &stage.somebody(Account::Member));
        assert_eq!(status(&stage, &session), 200, "{what}");
        restart(&mut stage, harm);
        assert_eq!(status(&stage, &session), 401, "{what}");
        let log = stage.house.log();
        assert!(
            log.contains("people have to sign in again"),
            "{what}: {log}"
        );
        if path.is_dir() {
            std::fs::remove_dir(&path).expect("it is empty");
        }
    }
}
