//! As much of JSON Schema as `docs/audit.schema.json` uses; a word that is not known here fails.

use serde_json::{Map, Value};

/// What is wrong with `value`, which should be as `schema` says.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, value, "", &mut faults);
    faults
}

fn check(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let empty = Map::new();
    let object = value.as_object().unwrap_or(&empty);
    for (word, asked) in schema.as_object().expect("a schema is an object") {
        let good = match word.as_str() {
            "$schema" | "title" | "description" | "then" => true,
            "const" => value == asked,
            "enum" => asked.as_array().expect("a list").contains(value),
            "type" => match asked.as_str().expect("a word") {
                "object" => value.is_object(),
                "string" => value.is_string(),
                "integer" => value.is_u64(),
                other => panic!("type {other}"),
            },
            "pattern" => matches(
                asked.as_str().expect("a text"),
                value.as_str().unwrap_or(""),
            ),
            "required" => {
                let mut names = asked.as_array().expect("a list").iter();
                names.all(|name| object.contains_key(name.as_str().expect("a name")))
            }
            "additionalProperties" => {
                assert_eq!(*asked, Value::Bool(false));
                object
                    .keys()
                    .all(|name| schema["properties"].get(name).is_some())
            }
            "properties" => {
                for (name, schema) in asked.as_object().expect("an object") {
                    if let Some(value) = object.get(name) {
                        check(schema, value, &format!("{at}.{name}"), faults);
                    }
                }
                true
            }
            "allOf" => {
                for schema in asked.as_array().expect("a list") {
                    check(schema, value, at, faults);
                }
                true
            }
            "if" => {
                if self::faults(asked, value).is_empty() {
                    check(&schema["then"], value, at, faults);
                }
                true
            }
            other => panic!("the word {other} is not known here"),
        };
        if !good {
            faults.push(format!("{at} {word} {asked}: {value}"));
        }
    }
}

/// Anchored patterns of classes, counts and alternatives, as the schema has them.
fn matches(pattern: &str, text: &str) -> bool {
    let inner = pattern
        .strip_prefix('^')
        .and_then(|rest| rest.strip_suffix('$'));
    let inner = inner.expect("an anchored pattern");
    let alternatives: Vec<&str> = match inner.strip_prefix('(').and_then(|r| r.strip_suffix(')')) {
        Some(all) => all.split('|').collect(),
        None => vec![inner],
    };
    alternatives.iter().any(|one| matches_one(one, text))
}

fn matches_one(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    while let Some(first) = pattern.chars().next() {
        let (class, rest) = if first == '[' {
            let end = pattern.find(']').expect("a class ends");
            (&pattern[1..end], &pattern[end + 1..])
        } else {
            pattern.split_at(first.len_utf8())
        };
        let (least, most, rest) = if let Some(rest) = rest.strip_prefix('+') {
            (1, usize::MAX, rest)
        } else if let Some(count) = rest.strip_prefix('{') {
            let (count, rest) = count.split_once('}').expect("a count ends");
            let count = count.parse().expect("a number");
            (count, count, rest)
        } else {
            (1, 1, rest)
        };
        let taken = text
            .chars()
            .take_while(|c| is_in(class, *c))
            .take(most)
            .count();
        if taken < least {
            return false;
        }
        text = &text[taken..];
        pattern = rest;
    }
    text.is_empty()
}

fn is_in(class: &str, c: char) -> bool {
    let all: Vec<char> = class.chars().collect();
    let ranged = all
        .windows(3)
        .any(|range| range[1] == '-' && (range[0]..=range[2]).contains(&c));
    // A hyphen at the end stands for itself.
    ranged || (c.is_ascii() && all.contains(&c) && (c != '-' || all.last() == Some(&'-')))
}

#[test]
fn the_validator_finds_what_a_schema_forbids() {
    let schema: Value = serde_json::json!({
        "type": "object",
        "required": ["a"],
        "additionalProperties": false,
        "properties": {
            "a": { "type": "string", "pattern": "^(x|uid:[0-9]+)$" },
            "b": { "enum": ["p", "q"] },
            "c": { "type": "integer" },
            "d": { "pattern": "^[A-Za-z0-9_-]{3}$" },
        },
        "allOf": [{ "if": { "properties": { "b": { "const": "q" } } }, "then": { "required": ["b", "c"] } }],
    });
    for (value, good) in [
        (serde_json::json!({"a": "uid:12", "b": "p"}), true),
        (
            serde_json::json!({"a": "x", "b": "q", "c": 1, "d": "a-_"}),
            true,
        ),
        (serde_json::json!({"a": "x", "b": "q"}), false),
        (serde_json::json!({"a": "uid:", "b": "p"}), false),
        (serde_json::json!({"a": "uid:1 ", "b": "p"}), false),
        (serde_json::json!({"b": "p"}), false),
        (serde_json::json!({"a": "x", "b": "r"}), false),
        (serde_json::json!({"a": "x", "b": "p", "c": "1"}), false),
        (serde_json::json!({"a": "x", "b": "p", "d": "abcd"}), false),
        (serde_json::json!({"a": "x", "b": "p", "d": "a.b"}), false),
        (serde_json::json!({"a": "x", "b": "p", "e": 1}), false),
    ] {
        assert_eq!(faults(&schema, &value).is_empty(), good, "{value}");
    }
}
