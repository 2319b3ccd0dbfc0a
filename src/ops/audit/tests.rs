use std::collections::BTreeSet;

use serde_json::Value;

use super::super::clock::SystemClock;
use super::super::metrics::{CallbackFailure, Rule, SyncFailure};
use super::*;
use crate::domain::offboarding::Why;
use crate::domain::text::draws;
use crate::domain::time::Timestamp;

/// Everything is there, and `value` wherever a text of somebody else can be.
fn full<'a>(subject: &'a Subject, value: &'a str) -> Entry<'a> {
    Entry {
        outcome: Outcome::Refused,
        client: Some("2001:db8::7".parse().unwrap()),
        subject: Some(subject),
        user: Some(value),
        session: Some("0123456789ab"),
        scope: Some(Scope::Session),
        sessions: Some(1),
        reason: Some(EndReason::Operator.label()),
        rule: Some("group"),
        step: Some(Step::Confirmed),
        device: Some(value),
        node: Some(value),
        owner: Some(value),
        method: Some(value),
        path: Some(value),
        status: Some(200),
        role: Some(Role::Admin),
        key: Some(value),
        groups: Some(2),
        members_added: Some(1),
        members_removed: Some(0),
        ..Entry::new(Act::Ended, Actor::LocalUser(0), "abcdefghijkl")
    }
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/audit.schema.json")).unwrap()
}

fn words(schema: &Value, field: &str) -> BTreeSet<String> {
    let words = schema["properties"][field]["enum"].as_array().unwrap();
    let text = |word: &Value| word.as_str().unwrap().to_owned();
    words.iter().map(text).collect()
}

#[test]
fn whatever_its_values_are_an_act_is_one_bounded_line_of_json() {
    let hostile = [
        "x\r\n{\"act\":\"signed_in\",\"by\":\"headwarden\"}",
        "a\u{7f}\u{9b}2J\u{202e}b\u{2028}c\u{85}d\u{0}e\u{feff}f\u{e0041}g",
        "\",\"outcome\":\"done",
        "\\",
    ];
    let endless = "é".repeat(1 << 20);
    for value in hostile.into_iter().chain([endless.as_str()]) {
        let subject = Subject::new(value);
        let line = full(&subject, value).line(Timestamp::from_unix(0), true);
        assert!(line.chars().all(draws), "{line}");
        assert!(line.len() < 16 * 1024, "{}", line.len());
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["act"], "sessions_ended");
        assert_eq!(object["outcome"], "refused");
        assert_eq!(object["time"], "1970-01-01T00:00:00Z");
        let path = object["path"].as_str().unwrap();
        assert!(value.starts_with(path.trim_end_matches('…')), "{path}");
    }
}

#[test]
fn the_schema_has_exactly_the_fields_and_words_there_are() {
    let (schema, subject) = (schema(), Subject::new("7b2f-41"));
    let line = full(&subject, "x").line(Timestamp::from_unix(0), true);
    let line: Value = serde_json::from_str(&line).unwrap();
    let fields: BTreeSet<&String> = line.as_object().unwrap().keys().collect();
    let documented: BTreeSet<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(fields, documented);
    assert_eq!(schema["properties"]["schema"]["const"], line::SCHEMA);
    let labels = |all: &mut dyn Iterator<Item = &'static str>| -> BTreeSet<String> {
        all.map(str::to_owned).collect()
    };
    for (field, there) in [
        ("act", labels(&mut Act::ALL.iter().map(|word| word.label()))),
        (
            "outcome",
            labels(&mut Outcome::ALL.iter().map(|word| word.label())),
        ),
        (
            "scope",
            labels(&mut Scope::ALL.iter().map(|word| word.label())),
        ),
        (
            "step",
            labels(&mut Step::ALL.iter().map(|word| word.label())),
        ),
        (
            "role",
            labels(&mut [Role::Admin, Role::Viewer].map(Role::label).into_iter()),
        ),
        ("rule", labels(&mut Rule::ALL.iter().copied())),
        (
            "reason",
            labels(
                &mut EndReason::ALL
                    .iter()
                    .map(|word| word.label())
                    .chain(DropReason::ALL.iter().map(|word| word.label()))
                    .chain([Why::Refused, Why::LostRight].map(Why::label))
                    .chain(CallbackFailure::ALL.iter().copied())
                    // Nobody's sign-in: there is no line about them.
                    .filter(|word| !["cookie", "state"].contains(word))
                    // What Headscale does not take.
                    .chain([SyncFailure::Rejected, SyncFailure::FileMode].map(SyncFailure::label)),
            ),
        ),
    ] {
        assert_eq!(words(&schema, field), there, "{field}");
    }
}

#[test]
fn the_page_about_it_names_every_field_and_every_word() {
    let (schema, page) = (schema(), include_str!("../../../docs/audit.md"));
    let rows: Vec<&str> = page.lines().filter(|row| row.starts_with("| `")).collect();
    for (field, about) in schema["properties"].as_object().unwrap() {
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("| `{field}` |")));
        let row = row.unwrap_or_else(|| panic!("{field} is not in docs/audit.md"));
        let words = about["enum"].as_array().cloned().unwrap_or_default();
        for word in words.iter().map(|word| word.as_str().unwrap()) {
            let place = if field == "act" { page } else { row };
            assert!(place.contains(&format!("`{word}`")), "{field}: {word}");
        }
    }
}

#[test]
fn a_user_name_is_written_where_it_was_asked_for_and_nowhere_else() {
    let subject = Subject::new("ada@company.example");
    for (asked, told) in [(true, true), (false, false)] {
        let line = full(&subject, "ada").line(Timestamp::from_unix(0), asked);
        assert_eq!(line.contains("\"user\":\"ada\""), told, "{line}");
        assert!(!line.contains("ada@company"), "{line}");
    }
}

#[test]
fn how_a_request_ended_is_told_by_its_status() {
    for (status, outcome) in [
        (Some(101), Outcome::Done),
        (Some(200), Outcome::Done),
        (Some(303), Outcome::Done),
        (Some(400), Outcome::Refused),
        (Some(499), Outcome::Refused),
        (Some(500), Outcome::Failed),
        (None, Outcome::Unknown),
    ] {
        assert_eq!(Outcome::of_status(status), outcome, "{status:?}");
    }
}

#[test]
fn what_was_not_answered_is_recorded_when_its_request_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let metrics = Arc::new(Metrics::new().unwrap());
    let to = Destination::File(path.clone());
    let audit = Audit::open(to, false, Arc::new(SystemClock), metrics).unwrap();
    drop(Pending {
        audit: audit.clone(),
        act: Act::ApiWrite,
        by: Actor::ApiKey,
        request_id: "abcdefghijkl".to_owned(),
        client: "192.0.2.7".parse().unwrap(),
        person: None,
        session: None,
        step: None,
        device: None,
        method: "DELETE".to_owned(),
        path: "/api/v1/node/1".to_owned(),
        role: None,
        key: None,
        status: None,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime
        .unwrap()
        .block_on(audit.flush(Duration::from_mins(1)));
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(line["outcome"], "unknown");
    assert_eq!(line["path"], "/api/v1/node/1");
    assert!(line.get("status").is_none() && line.get("subject").is_none());
}
