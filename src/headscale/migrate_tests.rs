use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

/// Headscale 0.29's `users`, from an empty database, and five people in it.
const USERS: &str = "
CREATE TABLE users(
  id integer PRIMARY KEY AUTOINCREMENT,
  name text,
  display_name text,
  email text,
  provider_identifier text,
  provider text,
  profile_pic_url text,
  created_at datetime,
  updated_at datetime,
  deleted_at datetime
);
CREATE INDEX idx_users_deleted_at ON users(deleted_at);
CREATE UNIQUE INDEX idx_provider_identifier ON users(provider_identifier)
  WHERE provider_identifier IS NOT NULL;
CREATE UNIQUE INDEX idx_name_provider_identifier ON users(name, provider_identifier);
CREATE UNIQUE INDEX idx_name_no_provider_identifier ON users(name)
  WHERE provider_identifier IS NULL;
INSERT INTO users(name, email, provider, provider_identifier) VALUES
  ('zoe', 'zoe@acmecorp.net', 'oidc', 'https://ak.company/application/o/head_scale/0f1e'),
  ('bob', 'bob@acmecorp.net', 'oidc', 'https://ak.company/application/o/head_scale/2d3c'),
  ('eve', 'eve@acmecorp.net', 'oidc', 'https://ak.company/application/o/headXscale/4b5a'),
  ('dan', 'dan@acmecorp.net', 'oidc', 'https://ak.company/application/o/head_scale-2/6978'),
  ('cli', NULL, NULL, NULL);
";

/// Runs a script against a fresh database, as the `sqlite3` shell with `-bail` would: what each
/// statement gave, the users' identifiers after all of them, and the error that ended it.
const PYTHON: &str = r#"
import json, sqlite3, sys
given = json.load(sys.stdin)
db = sqlite3.connect(":memory:", isolation_level=None)
db.executescript(given["users"])
error, rows, statement = None, [], ""
try:
    for line in given["script"].splitlines(True):
        statement += line
        if sqlite3.complete_statement(statement):
            rows.append(db.execute(statement).fetchall())
            statement = ""
except sqlite3.Error as e:
    error, statement = str(e), ""
    if db.in_transaction:
        db.execute("ROLLBACK")
found = db.execute("SELECT provider_identifier FROM users ORDER BY id").fetchall()
print(json.dumps({"users": [f[0] for f in found], "error": error, "rows": rows, "rest": statement.strip()}))
"#;

fn run(users: &str, script: &str) -> serde_json::Value {
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = serde_json::json!({ "users": users, "script": script }).to_string();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(given.as_bytes())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["rest"], "", "the script ends within a statement");
    found
}

fn script(from: &str, to: &str, database: Database) -> Result<String, MigrateError> {
    migration(&Issuer::new(from), &Issuer::new(to), database)
}

fn sqlite(from: &str, to: &str) -> serde_json::Value {
    run(USERS, &script(from, to, Database::Sqlite).unwrap())
}

const OLD: &str = "https://ak.company/application/o/head_scale/";
const NEW: &str = "http://127.0.0.1:8181";

#[test]
fn the_users_of_the_old_issuer_move_and_nobody_else() {
    let found = sqlite(OLD, NEW);
    assert_eq!(found["error"], serde_json::Value::Null);
    assert_eq!(
        found["users"],
        serde_json::json!([
            "http://127.0.0.1:8181/0f1e",
            "http://127.0.0.1:8181/2d3c",
            "https://ak.company/application/o/headXscale/4b5a",
            "https://ak.company/application/o/head_scale-2/6978",
            null,
        ])
    );
}

#[test]
fn the_check_prints_who_moves_who_stays_and_who_is_in_the_way() {
    let found = sqlite(OLD, NEW);
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows[0][0][0], 2, "how many");
    let moving = rows[1].as_array().unwrap();
    assert_eq!(moving.len(), 2);
    assert_eq!(
        moving[0],
        serde_json::json!([
            1,
            "zoe",
            "zoe@acmecorp.net",
            "https://ak.company/application/o/head_scale/0f1e",
            "http://127.0.0.1:8181/0f1e",
        ])
    );
    for (place, count) in [(2, 2), (3, 0), (4, 0)] {
        assert_eq!(rows[place].as_array().unwrap().len(), count, "{place}");
    }
    assert_eq!(rows.last().unwrap()[0][0], 2, "how many are there now");
}

#[test]
fn a_person_who_is_there_already_stops_the_move_of_all() {
    let users = format!(
        "{USERS} INSERT INTO users(name, provider_identifier) VALUES ('zoe', '{NEW}/0f1e');"
    );
    let found = run(&users, &script(OLD, NEW, Database::Sqlite).unwrap());
    assert!(
        found["error"].as_str().unwrap().contains("UNIQUE"),
        "{found}"
    );
    assert_eq!(
        found["users"][0],
        "https://ak.company/application/o/head_scale/0f1e"
    );
    assert_eq!(
        found["users"][1],
        "https://ak.company/application/o/head_scale/2d3c"
    );
    assert_eq!(found["rows"][4][0][0], 6, "the check says who");
}

#[test]
fn slashes_and_case_are_read_as_headscale_writes_them() {
    for from in [
        "https://ak.company/application/o/head_scale",
        "https://ak.company/application/o/head_scale///",
        "https://ak.company//application/o//head_scale/",
        "HTTPS://ak.company/application/o/head_scale/",
    ] {
        assert_eq!(
            sqlite(from, NEW)["users"][0],
            "http://127.0.0.1:8181/0f1e",
            "{from}"
        );
    }
    assert_eq!(
        sqlite(OLD, &format!("{NEW}/"))["users"][0],
        "http://127.0.0.1:8181/0f1e"
    );
}

#[test]
fn moving_there_and_back_is_as_before() {
    let there = script(OLD, NEW, Database::Sqlite).unwrap();
    let back = script(NEW, OLD, Database::Sqlite).unwrap();
    let found = run(USERS, &format!("{there}{back}"));
    assert_eq!(found["users"], run(USERS, "")["users"]);
}

#[test]
fn an_issuer_that_is_a_prefix_of_another_takes_only_its_own() {
    let found = sqlite("https://ak.company/application/o/head", NEW);
    assert_eq!(found["users"], run(USERS, "")["users"]);
}

#[test]
fn a_quote_is_text() {
    let users = USERS.replace("head_scale/", "it''s/");
    let text = script(
        "https://ak.company/application/o/it's/",
        "http://o'hs",
        Database::Sqlite,
    );
    let found = run(&users, &text.unwrap());
    assert_eq!(found["error"], serde_json::Value::Null);
    assert_eq!(found["users"][0], "http://o'hs/0f1e");
}

#[test]
fn both_databases_get_the_same_move_in_one_transaction() {
    let postgres = script(OLD, NEW, Database::Postgres).unwrap();
    let sqlite = script(OLD, NEW, Database::Sqlite).unwrap();
    assert!(postgres.contains("\nBEGIN;\nUPDATE users\n"), "{postgres}");
    assert!(
        sqlite.contains("\nBEGIN IMMEDIATE;\nUPDATE users\n"),
        "{sqlite}"
    );
    for text in [&postgres, &sqlite] {
        let (_, rest) = text.split_once("COMMIT;\n").unwrap();
        assert!(rest.contains("SELECT count(*)"), "{rest}");
        assert_eq!(text.matches("UPDATE").count(), 1);
        assert!(!text.contains(" LIKE "));
    }
    let moved = |text: &str| text.split_once("UPDATE").unwrap().1.to_owned();
    assert_eq!(moved(&postgres), moved(&sqlite));
    assert_eq!(
        run(USERS, &postgres)["users"][0],
        "http://127.0.0.1:8181/0f1e"
    );
}

#[test]
fn what_is_no_issuer_gets_no_script() {
    for issuer in [
        "",
        "ak.company",
        "ldap://ak.company/",
        "https://ak.company/?a=b",
        "https://ak.company/#x",
        "https://ak.company/\n-- x",
        "https://ak.company/\\",
        "https://ak.company/a b",
        "https://ak.company/\u{e9}",
    ] {
        let expected = |which| {
            Err(MigrateError::Issuer {
                which,
                issuer: issuer.to_owned(),
            })
        };
        assert_eq!(script(issuer, NEW, Database::Sqlite), expected("old"));
        assert_eq!(script(OLD, issuer, Database::Postgres), expected("new"));
    }
    let same = script(OLD, OLD.trim_end_matches('/'), Database::Sqlite);
    assert_eq!(same, Err(MigrateError::Same));
}
