//! The audit log in a file of its own: every kind of act, as the schema says, and nothing lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::faulty_provider::Person as Account;
use crate::scene::Scene;
use crate::schema::faults;
use crate::stage::{SAME_ORIGIN, ask, session_line};
use crate::support::audit::lines;
use crate::support::house::{House, More};
use crate::support::person::Person;
use crate::support::tailnet::AUTH_ID;

const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(5);

/// A house with an audit log of its own in `directory`, and roles on the API.
fn scene(directory: &Path, more: &str) -> Scene {
    let top = format!(
        "api:\n  admins: [headscale-admins]\naudit: {{ path: {}/audit.jsonl{more} }}\n",
        directory.display()
    );
    let scene = Scene::start(
        "",
        &More {
            headscale: "  api_key: hskey-api-standin\n",
            top: Box::leak(top.into_boxed_str()),
            ..More::default()
        },
    );
    scene.stage.headscale.configure(|options| {
        "hskey-api-standin".clone_into(&mut options.api_key);
    });
    scene
}

fn has(line: &Value, wanted: &Value) -> bool {
    let mut wanted = wanted.as_object().expect("an object").iter();
    wanted.all(|(name, value)| line[name] == *value)
}

/// Waits for a line with these fields.
pub(crate) fn wait_for(directory: &Path, wanted: &Value) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = lines(directory);
        if let Some(line) = all.iter().find(|line| has(line, wanted)) {
            return line.clone();
        }
        assert!(Instant::now() < deadline, "no {wanted} in {all:#?}");
        std::thread::park_timeout(LOOK);
    }
}

/// What people do at a browser.
fn people_come_and_go(scene: &Scene) {
    let (stage, house) = (&scene.stage, scene.house());
    let eve = {
        stage.is_at_the_provider(Account::Outsider);
        Person::new().open(&house.url("/windows"))
    };
    assert_eq!(eve.status(), 403);
    stage.is_at_the_provider(Account::Admin);
    let mut late = Person::new();
    let (_, callback) = stage.callback_for(&mut late, "/windows");
    assert_eq!(late.get(callback.as_str()).status(), 303);
    assert_eq!(late.get(callback.as_str()).status(), 400);

    let mut ada = stage.somebody(Account::Admin);
    let asked = ada.open(&house.url(&format!("/register/{AUTH_ID}")));
    let done = ada.fill_in(&asked, "", &[]);
    assert!(done.text().contains("Node registered"), "{}", done.text());
    let asked = ada.open(&house.url(&format!("/auth/{AUTH_ID}")));
    let done = ada.fill_in(&asked, "", &[]);
    assert!(done.text().contains("authorized"), "{}", done.text());
    let user = house.url("/api/v1/user");
    let made = ada.request("POST", &user, &[SAME_ORIGIN], b"{\"name\":\"x\"}");
    assert_eq!(made.status(), 200, "{}", made.text());
    assert_eq!(ada.request("GET", &user, &[SAME_ORIGIN], b"").status(), 200);
    let page = ada.open(&house.url("/.headwarden/logout"));
    assert_eq!(ada.submit(&page, "", &[]).status(), 303);
}

/// What programs do, and the operator.
fn programs_ask(scene: &Scene, directory: &Path) {
    let house = scene.house();
    let ben = scene.stage.somebody(Account::Member);
    let line = session_line(house, &ben);
    let denied = ["Content-Length: 0", SAME_ORIGIN, &line];
    assert_eq!(
        ask(house, "DELETE", "/api/v1/node/1", &denied).status(),
        403
    );
    let key = format!(
        "Authorization: Bearer hskey-api-AbCdEfGhIjKl-{}",
        "0".repeat(64)
    );
    let by_key = ["Content-Length: 0", key.as_str()];
    assert_eq!(
        ask(house, "DELETE", "/api/v1/node/1", &by_key).status(),
        401
    );
    wait_for(directory, &json!({"act": "api_write", "by": "api_key"}));
    let sub = Account::Member.subject();
    let [id] = &scene.ids(Account::Member)[..] else {
        panic!("one session")
    };
    scene.told(&["show", id]);
    scene.told(&["revoke", "--sub", &sub]);
}

#[test]
fn every_act_is_a_line_of_the_schema_in_the_file_and_not_in_the_log() {
    let directory = TempDir::new().unwrap();
    let scene = scene(directory.path(), "");
    people_come_and_go(&scene);
    programs_ask(&scene, directory.path());
    let ben = Account::Member.subject();
    let ada = Account::Admin.subject();
    for wanted in [
        json!({"act": "denied", "outcome": "refused", "by": "person", "client": "127.0.0.1",
            "subject": Account::Outsider.subject(), "path": "/oidc/callback", "method": "GET"}),
        json!({"act": "sign_in_failed", "outcome": "refused", "reason": "used"}),
        json!({"act": "signed_in", "outcome": "done", "by": "person", "subject": ada}),
        json!({"act": "device_registration", "step": "link_passed_on", "outcome": "done",
            "subject": ada, "device": "234567", "status": 302, "path": "/register/…234567"}),
        json!({"act": "device_registration", "step": "code_issued", "device": "234567"}),
        json!({"act": "device_registration", "step": "approval_passed_on", "outcome": "done",
            "method": "POST", "status": 200, "path": "/register/confirm/…234567"}),
        json!({"act": "ssh_check", "step": "confirmed", "subject": ada, "device": "234567"}),
        json!({"act": "ssh_check", "step": "link_passed_on", "outcome": "done"}),
        json!({"act": "ssh_check", "step": "code_issued"}),
        json!({"act": "api_write", "by": "person", "subject": ada, "role": "admin",
            "method": "POST", "path": "/api/v1/user", "status": 200, "outcome": "done"}),
        json!({"act": "signed_out", "by": "person", "subject": ada}),
        json!({"act": "denied", "rule": "api_role", "method": "DELETE", "path": "/api/v1/node/1"}),
        json!({"act": "api_write", "by": "api_key", "key": "AbCdEfGhIjKl", "status": 401,
            "outcome": "refused"}),
        json!({"act": "sessions_listed", "scope": "subject", "sessions": 1}),
        json!({"act": "session_shown", "subject": ben}),
        json!({"act": "sessions_ended", "scope": "subject", "subject": ben, "sessions": 1,
            "reason": "operator", "outcome": "done"}),
    ] {
        wait_for(directory.path(), &wanted);
    }
    let text = std::fs::read_to_string("docs/audit.schema.json").unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let all = lines(directory.path());
    for line in &all {
        assert_eq!(faults(&schema, line), Vec::<String>::new(), "{line}");
    }
    let writes = all.iter().filter(|line| line["act"] == "api_write").count();
    assert_eq!(writes, 2, "to read is no write: {all:#?}");
    let acts: BTreeSet<&str> = all.iter().filter_map(|line| line["act"].as_str()).collect();
    let known: BTreeSet<&str> = schema["properties"]["act"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .filter(|act| !crate::acts::ACTS.contains(act))
        .collect();
    assert_eq!(acts, known, "every kind there is");
    let file = std::fs::read_to_string(directory.path().join("audit.jsonl")).unwrap();
    for hidden in [AUTH_ID, "company.example", "\"user\"", &"0".repeat(64)] {
        assert!(!file.contains(hidden), "{hidden}: {file}");
    }
    assert!(!scene.house().log().contains("headwarden::audit"));
}

#[test]
fn a_house_that_ends_writes_its_audit_log_to_the_end_and_names_people_where_that_is_asked_for() {
    let directory = TempDir::new().unwrap();
    let mut scene = scene(directory.path(), ", user_names: true");
    for _ in 0..3 {
        scene.sign_in(Account::Member);
    }
    scene.stage.house.signal("TERM");
    assert!(scene.stage.house.wait().success());
    let all = lines(directory.path());
    assert_eq!(all.len(), 3, "{all:#?}");
    assert!(all.iter().all(|line| line["user"] == "ben"), "{all:#?}");
}

#[test]
fn what_cannot_be_written_to_the_file_is_in_the_log_and_counted_and_nobody_is_kept_waiting() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("logs");
    std::fs::create_dir(&place).unwrap();
    let mut scene = scene(&place, ", user_names: true");
    scene.sign_in(Account::Member);
    wait_for(&place, &json!({"act": "signed_in"}));
    std::fs::remove_dir_all(&place).unwrap();
    scene.sign_in(Account::Admin);
    let house = &mut scene.stage.house;
    let complaint = house.wait_for_log("the audit log cannot be written");
    assert!(complaint.contains("ERROR"), "{complaint}");
    let line = house.wait_for_log("not written to the audit log");
    let (_, json) = line.split_once("line=").expect("the line itself");
    let line: Value = serde_json::from_str(json).unwrap();
    assert!(has(
        &line,
        &json!({"act": "signed_in", "subject": Account::Admin.subject()})
    ));
    assert_eq!(line.get("user"), None, "never in the ordinary log");
    let (_, metrics) = crate::metrics::scrape(scene.house());
    assert!(metrics.contains("\nheadwarden_audit_write_failures_total 1\n"));
    std::fs::create_dir(&place).unwrap();
    scene.sign_in(Account::Member);
    wait_for(&place, &json!({"subject": Account::Member.subject()}));
    scene.stage.house.wait_for_log("can be written again");
}

#[test]
fn a_house_does_not_start_without_the_audit_log_it_is_to_write() {
    let directory = TempDir::new().unwrap();
    let there = directory.path().display();
    for path in [format!("{there}"), format!("{there}/no/audit.jsonl")] {
        let config = format!("audit: {{ path: {path} }}\n");
        let mut house = House::launch(
            |plan| {
                plan.config("http://127.0.0.1:1", "http://127.0.0.1:2", &More::default()) + &config
            },
            &[],
        );
        assert_eq!(house.wait().code(), Some(3), "{path}");
        assert!(house.log().contains("the audit log"), "{}", house.log());
    }
}
