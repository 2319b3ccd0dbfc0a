//! The command line: what it shows, what it ends, and what it says when it cannot.

use std::process::Output;

use serde_json::json;

use crate::faulty_provider::Person as Account;
use crate::scene::{Scene, SignedIn};
use crate::stage::SESSION;
use crate::support::house::{More, headwarden};

#[test]
fn the_list_tells_who_is_signed_in_and_where_and_no_secret() {
    let scene = Scene::start("", &More::default());
    let people = [Account::Member, Account::Member, Account::Admin];
    let cookies = people.map(|account| scene.sign_in(account).cookie);
    let listed = scene.list(&[]);
    assert_eq!(listed.len(), 3, "{listed:#?}");
    let of_ben = |session: &&serde_json::Value| session["username"] == "ben";
    assert_eq!(listed.iter().filter(of_ben).count(), 2);
    let ben = listed.iter().find(of_ben).unwrap();
    for (field, value) in [
        ("subject", json!("b".repeat(64))),
        ("username", json!("ben")),
        ("email", json!("ben@company.example")),
        ("name", json!("Ben Member")),
        ("groups", json!(["headscale"])),
        ("address", json!("127.0.0.1")),
        ("device", json!("Chrome on Linux")),
    ] {
        assert_eq!(ben[field], value, "{field}");
    }
    let fields: Vec<&String> = ben.as_object().unwrap().keys().collect();
    let documented = std::fs::read_to_string("docs/sessions.md").unwrap();
    for field in &fields {
        assert!(documented.contains(&format!("| `{field}` |")), "{field}");
    }
    assert_eq!(fields.len(), 16, "{fields:?}");
    for times in [
        ["started_at", "last_used", "idle_expires_at", "expires_at"],
        ["started_at", "checked_at", "idle_expires_at", "expires_at"],
    ] {
        let times = times.map(|field| ben[field].as_str().unwrap().to_owned());
        assert!(times.iter().all(|time| time.ends_with('Z')), "{times:?}");
        assert!(times.is_sorted(), "{times:?}");
    }
    let all = scene.told(&["list", "--json"]) + &scene.told(&["list"]);
    for cookie in &cookies {
        let value = cookie.strip_prefix(&format!("Cookie: {SESSION}=")).unwrap();
        assert!(!all.contains(value), "{all}");
    }
    assert!(!all.contains("eyJ"), "a token: {all}");
    // To be listed is no use of a session.
    assert_eq!(scene.list(&[]), listed);
}

#[test]
fn lists_are_narrowed_by_name_address_and_subject_and_ids_may_be_short() {
    let scene = Scene::start("", &More::default());
    let (ben, ada) = (Account::Member, Account::Admin);
    for account in [ben, ben, ada] {
        scene.sign_in(account);
    }
    let (sub_ben, sub_ada) = (ben.subject(), ada.subject());
    for (arguments, count) in [
        (&["--user", "ben"][..], 2),
        (&["--user", "ada"], 1),
        (&["--user", "Ben"], 0),
        (&["--user", "be"], 0),
        (&["--user", "BEN@company.example"], 2),
        (&["--user", "eve"], 0),
        (&["--user", "*"], 0),
        (&["--sub", &sub_ben], 2),
        (&["--sub", &sub_ada], 1),
        (&["--sub", &sub_ada[1..]], 0),
    ] {
        assert_eq!(scene.list(arguments).len(), count, "{arguments:?}");
    }
    let id = scene.ids(ada).remove(0);
    for short in [&id[..6], &id[..8], &id, &id.to_uppercase()] {
        let shown = scene.told(&["show", short, "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["id"], id.as_str(), "{short}");
    }
    let shown = scene.told(&["show", &id]);
    assert!(shown.contains("username: ada") && shown.contains("device: Chrome on Linux"));
    let table = scene.told(&["list"]);
    assert!(table.starts_with("ID            USER  SUBJECT"), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");
    // With the socket's path, the configuration is not even read.
    let socket = scene.socket().display().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_headwarden"))
        .args([
            "sessions", "list", "--socket", &socket, "--config", "/nowhere",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), table);
}

/// Ben twice and Ada: who of them is still in after `revoke` with these arguments.
fn left(scene: &Scene, people: &[SignedIn; 3], arguments: &[&str]) -> ([bool; 3], String) {
    let told = scene.told(&[&["revoke"], arguments].concat());
    (people.each_ref().map(|who| scene.is_in(who)), told)
}

#[test]
fn what_is_revoked_is_refused_at_the_next_request_and_nothing_else() {
    let scene = Scene::start("", &More::default());
    let (ben, ada) = (Account::Member.subject(), Account::Admin.subject());
    for (arguments, in_after, count) in [
        (&["--user", "ben"][..], [false, false, true], 2),
        (&["--user", "ada@Company.example"], [true, true, false], 1),
        (&["--sub", &ben], [false, false, true], 2),
        (&["--sub", &ada], [true, true, false], 1),
        (&["--sub", "nobody"], [true, true, true], 0),
        (&["--user", "eve"], [true, true, true], 0),
        (&["--all", "--yes"], [false, false, false], 3),
    ] {
        // What the row before left over must not count here.
        scene.told(&["revoke", "--all", "--yes"]);
        let accounts = [Account::Member, Account::Member, Account::Admin];
        let people = accounts.map(|account| scene.sign_in(account));
        let (found, told) = left(&scene, &people, arguments);
        assert_eq!(found, in_after, "{arguments:?}");
        let noun = if count == 1 { "session" } else { "sessions" };
        assert_eq!(told, format!("{count} {noun} ended\n"), "{arguments:?}");
    }
    scene.sign_in(Account::Member);
    let people = [Account::Member, Account::Admin, Account::Admin].map(|who| scene.sign_in(who));
    let id = scene.ids(Account::Member).remove(0);
    assert_eq!(
        scene.told(&["revoke", "--id", &id[..8], "--json"]),
        "{\"ended\":1}\n"
    );
    assert_eq!(scene.ids(Account::Member).len(), 1);
    assert!(scene.is_in(&people[1]) && scene.is_in(&people[2]));
    // Whoever was signed out can sign in again: to revoke is not to forbid.
    assert!(scene.is_in(&scene.sign_in(Account::Member)));
}

fn failed(output: &Output) -> (Option<i32>, String) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), error)
}

#[test]
fn what_cannot_be_done_is_told_with_an_exit_code_and_ends_nothing() {
    let mut scene = Scene::start("", &More::default());
    let who = scene.sign_in(Account::Member);
    for (arguments, code, part) in [
        (&["revoke"][..], 2, "required"),
        (&["revoke", "--yes"], 2, "required"),
        (
            &["revoke", "--user", "ben", "--sub", "b"],
            2,
            "cannot be used",
        ),
        (&["revoke", "--user", "ben", "--all"], 2, "cannot be used"),
        (&["revoke", "--all"], 2, "say --yes too"),
        (&["revoke", "--user", ""], 1, "has no value"),
        (&["revoke", "--sub", ""], 1, "has no value"),
        (&["revoke", "--id", ""], 2, "an id is hex digits"),
        (
            &["revoke", "--id", "../../metrics"],
            2,
            "an id is hex digits",
        ),
        (&["revoke", "--id", "?all=true"], 2, "an id is hex digits"),
        (&["revoke", "--id", "012"], 1, "6 to 64 hex digits"),
        (
            &["revoke", "--id", "000000000000"],
            1,
            "no session has this id",
        ),
        (&["show", "000000000000"], 1, "no session has this id"),
        (&["list", "--user", "a", "--sub", "b"], 2, "cannot be used"),
        (&[], 2, "Usage"),
    ] {
        let (found, told) = failed(&scene.run(arguments));
        assert_eq!(found, Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
        assert!(scene.is_in(&who), "{arguments:?}");
    }
    assert_eq!(scene.audit().len(), 1, "one sign-in: {:#?}", scene.audit());
    scene.stage.house.signal("KILL");
    scene.stage.house.wait();
    let (code, told) = failed(&scene.run(&["list"]));
    assert!(
        code == Some(7) && told.contains("nobody listens at"),
        "{told}"
    );
    std::fs::remove_file(scene.socket()).unwrap();
    let (code, told) = failed(&scene.run(&["list"]));
    assert!(
        code == Some(7) && told.contains("there is no socket at"),
        "{told}"
    );
}

#[test]
fn without_a_socket_nobody_can_be_asked() {
    let stage = crate::stage::Stage::start();
    let output = headwarden(&stage.house.plan, &["sessions", "list"]);
    let (code, told) = failed(&output);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("admin.socket_path is not set"), "{told}");
    assert!(!stage.house.plan.files.join("admin.sock").exists());
}
