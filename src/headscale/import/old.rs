//! Headscale's configuration as written. Its keys have no case there, and values are taken as what they
//! can be read as: a number is a text too, and `"true"` is true.

use serde_json::{Map, Value};

/// The tree, all keys in lower case.
#[derive(Debug)]
pub(in crate::headscale) struct Old(Value);

impl Old {
    /// Of a document.
    pub(in crate::headscale) fn new(tree: Value) -> Self {
        Self(lower(tree))
    }

    /// What stands at a key path; null counts as nothing.
    fn find(&self, key: &str) -> Option<&Value> {
        key.split('.')
            .try_fold(&self.0, |value, name| value.get(name))
            .filter(|value| !value.is_null())
    }

    /// A text that is not empty.
    pub(in crate::headscale) fn text(&self, key: &str) -> Option<String> {
        self.find(key)
            .and_then(text)
            .filter(|text| !text.trim().is_empty())
    }

    /// A flag.
    pub(in crate::headscale) fn flag(&self, key: &str) -> Option<bool> {
        match self.find(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }

    /// A list of texts, or one text with commas or blanks between, as variables of the environment
    /// have it.
    pub(in crate::headscale) fn list(&self, key: &str) -> Vec<String> {
        match self.find(key) {
            Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
            Some(Value::String(text)) => {
                let words = text.split([',', ' ']).map(str::trim);
                words
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// A map of texts.
    pub(in crate::headscale) fn map(&self, key: &str) -> Vec<(String, String)> {
        let map = self.find(key).and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs
            .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect()
    }

    /// Whether the key is there at all, with or without a value.
    pub(in crate::headscale) fn has(&self, key: &str) -> bool {
        let found = key
            .split('.')
            .try_fold(&self.0, |value, name| value.get(name));
        found.is_some()
    }

    /// The path of everything that is no map, sorted.
    pub(in crate::headscale) fn leaves(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        collect(&self.0, "", &mut leaves);
        leaves
    }
}

fn collect(value: &Value, path: &str, leaves: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                collect(value, &format!("{path}{dot}{key}"), leaves);
            }
        }
        _ if path.is_empty() => {}
        _ => leaves.push(path.to_owned()),
    }
}

fn lower(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let pairs = map
                .into_iter()
                .map(|(key, value)| (key.to_lowercase(), lower(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
