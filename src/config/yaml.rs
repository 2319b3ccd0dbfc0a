//! YAML text to a tree, with the line of every key. The parser's own messages may quote the text
//! and the text holds secrets, so its errors are told in our words.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Options, Spanned};

use super::problem::Problem;

/// Largest configuration in bytes; the largest sensible one has a few kilobytes.
const MAX_BYTES: usize = 1 << 20;

/// A document: values, and the line of each key path.
#[derive(Debug)]
pub(super) struct Document {
    /// The values; null for an empty document.
    pub(super) value: Value,
    /// Key path (`listen[0].address`) to line, counted from 1.
    pub(super) lines: BTreeMap<String, u64>,
}

/// Parses one YAML document.
///
/// # Errors
/// A syntax error, a key that stands twice, several documents, or a text over the limits; `name`
/// becomes the problem's key when the parser knows none.
pub(super) fn parse_document(text: &str, name: &str) -> Result<Document, Box<Problem>> {
    if text.len() > MAX_BYTES {
        return Err(Box::new(Problem::new(name, "larger than 1 MiB")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let node: Node =
        serde_saphyr::from_str_with_options(text, options()).map_err(|e| problem(&e, name))?;
    let mut lines = BTreeMap::new();
    let value = node.flatten("", &mut lines);
    Ok(Document { value, lines })
}

fn options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_documents: 1,
            max_nodes: 20_000,
            max_events: 50_000,
            max_aliases: 100,
            max_anchors: 100,
            max_merge_keys: 100,
            max_total_scalar_bytes: MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
    }
}

/// The parser's error in our words: kind and line, and text only where it is a key.
fn problem(error: &Error, name: &str) -> Box<Problem> {
    let mut problem = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            Problem::new(key, "this key stands twice in the same place").hint("delete one of them")
        }
        Error::DuplicateMappingKey { .. } => Problem::new(name, "a key stands twice"),
        Error::MultipleDocuments { .. } => {
            Problem::new(name, "more than one document").hint("delete the `---` line")
        }
        Error::UnknownAnchor { .. } => Problem::new(name, "an alias (`*name`) without its anchor")
            .hint("put a value that begins with `*` in quotes"),
        Error::UnsupportedTag { .. } => {
            Problem::new(name, "a tag (`!name`) that means nothing here")
                .hint("put a value that begins with `!` in quotes")
        }
        Error::NonFiniteFloat { .. } => Problem::new(name, "a number that is not finite")
            .hint("put a text that looks like a number in quotes"),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            Problem::new(name, "too deep or too large for a configuration")
        }
        _ => Problem::new(name, "not valid YAML here").hint(
            "look at this line and the one before: indentation with blanks only, a blank after \
             each `:`, values that hold `: `, ` #`, `{` or `*` in quotes",
        ),
    };
    problem.line = error
        .location()
        .map(|location| location.line())
        .filter(|line| *line > 0);
    Box::new(problem)
}

/// A value with the lines of the keys inside.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    fn flatten(self, path: &str, lines: &mut BTreeMap<String, u64>) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    lines.insert(path.clone(), item.referenced.line());
                    values.push(item.value.flatten(&path, lines));
                }
                Value::Array(values)
            }
            Self::Map(entries) => {
                let mut map = Map::new();
                for (key, node) in entries {
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{}", key.value);
                    lines.insert(path.clone(), key.referenced.line());
                    map.insert(key.value, node.flatten(&path, lines));
                }
                Value::Object(map)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Scalar(Value::String(value.to_string())))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Scalar(Value::String(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(
            Number::from_f64(value).map_or(Value::Null, Value::Number),
        ))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Value::String(value.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_key_knows_its_line() {
        let text = "# a comment\na: 1\nb:\n  c: [x, y]\n  d:\n    - e: true\n    - e: no\n";
        let document = parse_document(text, "file").unwrap();
        assert_eq!(
            document.value,
            json!({"a": 1, "b": {"c": ["x", "y"], "d": [{"e": true}, {"e": "no"}]}})
        );
        for (path, line) in [
            ("a", 2),
            ("b", 3),
            ("b.c", 4),
            ("b.c[1]", 4),
            ("b.d[1].e", 7),
        ] {
            assert_eq!(document.lines.get(path), Some(&line), "{path}");
        }
    }

    #[test]
    fn texts_keep_their_spelling() {
        let document = parse_document("a: 007\nb: 1_000\nc: on\nd: \"5\"\ne: ~\n", "file").unwrap();
        assert_eq!(
            document.value,
            json!({"a": "007", "b": "1_000", "c": "on", "d": "5", "e": null})
        );
    }

    #[test]
    fn an_empty_document_is_null_and_a_byte_order_mark_is_skipped() {
        assert_eq!(parse_document("", "file").unwrap().value, Value::Null);
        assert_eq!(
            parse_document("# only\n", "file").unwrap().value,
            Value::Null
        );
        assert_eq!(
            parse_document("\u{feff}a: b\r\n", "file").unwrap().value,
            json!({"a": "b"})
        );
    }

    #[test]
    fn no_error_quotes_the_text() {
        for text in [
            "client_secret: canary\nclient_secret: canary\n",
            "client_secret: \"canary\n",
            "client_secret: *canary\n",
            "client_secret: !canary canary\n",
            "client_secret: @canary\n",
            "client_secret: `canary\n",
            "client_secret: {canary\n",
            "client_secret: [canary\n",
            "client_secret: canary: canary\n",
            "client_secret: %canary\n x: canary\ny\n",
            "a:\n\tclient_secret: canary\n",
            "client_secret: |\ncanary\n",
            "client_secret: \"\\canary\"\n",
            "client_secret: !!int canary\n",
            "client_secret: !!binary canary\n",
            "canary\n---\ncanary\n",
            "? [canary]\n: canary\n",
            "<<: canary\n",
        ] {
            match parse_document(text, "file") {
                Ok(document) => panic!("{text:?} parsed: {:?}", document.value),
                Err(problem) => {
                    assert!(
                        !format!("{problem} {problem:?}").contains("canary"),
                        "{problem}"
                    );
                    assert!(problem.line.is_some(), "{text:?}: {problem}");
                }
            }
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut deep = String::new();
        deep.push_str(&"[".repeat(400));
        deep.push_str(&"]".repeat(400));
        let mut laughs = vec!["a0: &a0 [x, x, x, x, x, x, x, x]".to_owned()];
        for n in 1..9 {
            let alias = format!("*a{}, ", n - 1).repeat(8);
            laughs.push(format!("a{n}: &a{n} [{alias}]"));
        }
        for text in [deep, laughs.join("\n"), "x".repeat(MAX_BYTES + 1)] {
            assert!(parse_document(&text, "file").is_err());
        }
    }
}
