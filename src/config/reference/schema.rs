//! The keys as a JSON Schema (draft 2020-12), for editors. It knows what a file may hold and not what a
//! configuration needs: a key may come from the environment, and `headwarden check` knows the rest.

use serde_json::{Map, Value, json};

use super::super::keys::{self, Kind};
use super::super::yaml;
use super::{Allowed, Default, Entry, entry};

/// Numbers with units, as in `1h 30m`.
const DURATION: &str = r"^\s*([0-9]+\s*[a-z]+\s*)+$";

/// The schema, as JSON of several lines.
pub fn schema() -> String {
    let mut schema = object("");
    if let Value::Object(schema) = &mut schema {
        schema.insert(
            "$schema".into(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        schema.insert("title".into(), "The configuration of Headwarden".into());
    }
    format!("{schema:#}\n")
}

/// A map with these keys and no others. A key without a value counts as absent, wherever it is.
fn object(path: &str) -> Value {
    let mut properties = Map::new();
    for name in keys::children(path) {
        let key = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        properties.insert(name.to_owned(), property(&key));
    }
    json!({"type": ["object", "null"], "additionalProperties": false, "properties": properties})
}

fn property(key: &str) -> Value {
    let (Some(entry), Some(kind)) = (entry(key), keys::kind(key)) else {
        return object(key);
    };
    let mut schema = of_kind(kind, key);
    if let (Value::Object(schema), Value::Object(told)) = (&mut schema, told(entry, kind)) {
        schema.extend(told);
    }
    schema
}

fn of_kind(kind: Kind, key: &str) -> Value {
    match kind {
        Kind::Text | Kind::Secret | Kind::Path => json!({"type": ["string", "null"]}),
        Kind::Duration => json!({"type": ["string", "null"], "pattern": DURATION}),
        Kind::Flag => json!({"type": ["boolean", "null"]}),
        Kind::Number => json!({"type": ["integer", "null"], "minimum": 0}),
        Kind::Texts => json!({"type": ["array", "null"], "items": {"type": ["string", "null"]}}),
        Kind::Map => json!({
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "null"]},
        }),
        Kind::TextOrKeys => {
            let mut schema = object(key);
            if let Some(kinds) = schema.get_mut("type") {
                *kinds = json!(["string", "object", "null"]);
            }
            schema
        }
        Kind::Lists => json!({
            "type": ["object", "null"],
            "additionalProperties": {
                "type": ["array", "null"],
                "items": {"type": ["string", "number", "boolean", "null"]},
            },
        }),
        Kind::Fields => json!({
            "type": ["string", "array", "object", "null"],
            "items": {"type": ["string", "null"]},
            "additionalProperties": {"type": ["string", "null"]},
        }),
        Kind::Items => json!({"type": ["array", "null"], "items": object(&format!("{key}[]"))}),
    }
}

fn told(entry: &Entry, kind: Kind) -> Value {
    let mut told = Map::new();
    let mut say = |what: &str, value| told.insert(what.to_owned(), value);
    say("description", plain(entry.meaning).into());
    say("examples", json!([value(kind, entry.example)]));
    if let Default::Is(default) = entry.default {
        say("default", value(kind, default));
    }
    if let Allowed::OneOf(texts) = entry.allowed {
        let texts = texts.iter().map(|text| Value::from(*text));
        say("enum", texts.chain([Value::Null]).collect());
    }
    told.into()
}

/// A value as written on one line of YAML.
pub(super) fn value(kind: Kind, written: &str) -> Value {
    let read = yaml::parse_document(written, "").map(|document| document.value);
    match (kind, read) {
        (
            Kind::Flag
            | Kind::Number
            | Kind::Texts
            | Kind::Map
            | Kind::Lists
            | Kind::Items
            | Kind::Fields,
            Ok(value),
        ) => value,
        (_, Ok(Value::String(text))) => Value::String(text),
        // A text that looks like something else: a plain one stands in quotes in a file.
        _ => Value::String(written.to_owned()),
    }
}

/// Markdown without its links: `[text](address)` is its text.
fn plain(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        out.push_str(before);
        let target = link.split_once("](");
        let target = target.and_then(|(text, at)| Some((text, at.split_once(')')?.1)));
        if let Some((text, after)) = target.filter(|(text, _)| !text.contains(']')) {
            out.push_str(text);
            rest = after;
        } else {
            out.push('[');
            rest = link;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_its_text_and_brackets_that_are_none_stay() {
        for (markdown, text) in [
            ("a [b](c.md#d), e", "a b, e"),
            ("`[mfa]` or [x](y)", "`[mfa]` or x"),
            ("[a", "[a"),
            ("[a](b", "[a](b"),
            ("", ""),
        ] {
            assert_eq!(plain(markdown), text);
        }
    }

    #[test]
    fn the_schema_has_every_key_in_its_place() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        for (pointer, expected) in [
            ("/properties/server_url/type", json!(["string", "null"])),
            (
                "/properties/listen/items/properties/address/examples/0",
                json!("0.0.0.0:443"),
            ),
            (
                "/properties/oidc/properties/pkce/properties/method/enum",
                json!(["S256", "plain", null]),
            ),
            (
                "/properties/oidc/properties/scope/default",
                json!(["openid", "profile", "email"]),
            ),
            (
                "/properties/oidc/properties/timeout/pattern",
                json!(DURATION),
            ),
            ("/properties/admin/properties/enabled/default", json!(true)),
            (
                "/properties/session/properties/capacity/default",
                json!(100_000),
            ),
            ("/properties/oidc/additionalProperties", json!(false)),
        ] {
            assert_eq!(schema.pointer(pointer), Some(&expected), "{pointer}");
        }
    }
}
