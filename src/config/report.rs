//! Where problems and warnings are collected while the checks run, with what each needs to be
//! told well: the value as written (masked), its line, the variable it came from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::env::Origins;
use super::keys::{self, Kind};
use super::problem::{MASK, Problem};

/// Longest value that is shown.
const SHOWN_CHARS: usize = 100;

/// Collects what the checks find.
#[derive(Debug)]
pub(super) struct Report {
    tree: Value,
    lines: BTreeMap<String, u64>,
    origins: Origins,
    broken: Vec<String>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Report {
    /// A report on `tree`, beginning with the problems met on the way to it.
    pub(super) fn new(
        tree: Value,
        lines: BTreeMap<String, u64>,
        origins: Origins,
        problems: Vec<Problem>,
    ) -> Self {
        Self {
            tree,
            lines,
            origins,
            broken: Vec::new(),
            problems,
            warnings: Vec::new(),
        }
    }

    /// Reports a key path that could not be decoded: unknown, or of the wrong type. Nothing more is
    /// reported about it or anything below it.
    pub(super) fn undecodable(&mut self, key: &str) {
        let container = key.is_empty() || keys::is_container(key);
        match keys::kind(key) {
            None if !container => {
                let (reason, hint) = keys::unknown(key);
                let mut problem = Problem::new(key, reason);
                problem.hint = hint;
                self.push(problem);
            }
            kind => {
                let of_map = matches!(kind, Some(Kind::Map | Kind::Lists));
                let entry = key.ends_with(']') || of_map && !is_whole(key);
                let (reason, hint) = expected(kind, entry);
                self.push(Problem::new(key, reason).hint(hint));
            }
        }
        self.broken.push(key.to_owned());
    }

    /// Reports a problem with what `key` says.
    pub(super) fn refuse(&mut self, key: &str, reason: impl Into<String>) {
        self.push(Problem::new(key, reason));
    }

    /// The same with advice.
    pub(super) fn refuse_with(
        &mut self,
        key: &str,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Problem::new(key, reason).hint(hint));
    }

    /// Notes something that is allowed but should be known.
    pub(super) fn warn(&mut self, key: &str, text: impl AsRef<str>) {
        self.warnings.push(format!("{key}: {}", text.as_ref()));
    }

    /// Whether `key`, or what it lies in, could not be decoded, so that its absence means nothing.
    pub(super) fn is_broken(&self, key: &str) -> bool {
        self.broken.iter().any(|broken| {
            key.strip_prefix(broken.as_str()).is_some_and(|rest| {
                rest.is_empty() || broken.is_empty() || rest.starts_with(['.', '['])
            })
        })
    }

    /// Where `key` is, for people: its name, and its line where the file has it.
    pub(super) fn at(&self, key: &str) -> String {
        match self.lines.get(key) {
            Some(line) if self.origin(keys::whole(key)).is_none() => format!("{key}, line {line}"),
            Some(_) | None => key.to_owned(),
        }
    }

    /// Whether the file has `key` and nothing behind it.
    pub(super) fn is_without_value(&self, key: &str) -> bool {
        self.find(key).is_some_and(Value::is_null)
    }

    /// The environment variable that set `key`.
    pub(super) fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str)
    }

    /// Problems in printing order, and warnings.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<String>) {
        self.problems.sort_by_key(Problem::order);
        (self.problems, self.warnings)
    }

    fn push(&mut self, mut problem: Problem) {
        if self.is_broken(&problem.key) {
            return;
        }
        problem.variable = self.origin(keys::whole(&problem.key)).map(str::to_owned);
        if problem.variable.is_none() {
            problem.line = self.lines.get(&problem.key).copied();
        }
        problem.value = self.shown(&problem.key);
        if problem.key.is_empty() {
            "the file".clone_into(&mut problem.key);
        }
        self.problems.push(problem);
    }

    /// The value at `key` as it may be printed.
    fn shown(&self, key: &str) -> Option<String> {
        let kind = keys::kind(key);
        let value = self.find(key)?;
        let secret = matches!(kind, Some(Kind::Secret | Kind::Map));
        Some(match value {
            Value::Null => return None,
            Value::Object(_) => "(a map)".to_owned(),
            Value::Array(_) => "(a list)".to_owned(),
            // Nobody knows what it is; it may be a secret under a misspelt name.
            _ if kind.is_none() => "(not shown)".to_owned(),
            _ if secret => MASK.to_owned(),
            Value::String(text) if text.is_empty() => "(empty)".to_owned(),
            Value::String(text) if kind == Some(Kind::Path) && !looks_like_a_path(text) => {
                MASK.to_owned()
            }
            Value::String(text) => printable(text),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
        })
    }

    fn find(&self, key: &str) -> Option<&Value> {
        key.split(['.', '['])
            .filter(|segment| !segment.is_empty())
            .try_fold(&self.tree, |value, segment| {
                match segment.strip_suffix(']') {
                    Some(index) => value.get(index.parse::<usize>().ok()?),
                    None => value.get(segment),
                }
            })
    }
}

/// Whether the table has this very key.
fn is_whole(key: &str) -> bool {
    let key = keys::general(key);
    keys::KEYS.iter().any(|(known, _)| *known == key)
}

/// Whether a text may be shown where a path to a secret belongs: people paste the secret itself.
fn looks_like_a_path(text: &str) -> bool {
    text.starts_with(['/', '.', '$'])
}

/// One line, no control characters, not endless, and without the password or the query of a URL.
fn printable(text: &str) -> String {
    let text = match text.split_once("://") {
        None => text.to_owned(),
        Some((scheme, rest)) => {
            let rest = match (rest.rsplit_once('@'), rest.split_once(['?', '#'])) {
                (None, None) => rest.to_owned(),
                (Some((_, host)), None) => format!("{MASK}@{host}"),
                (None, Some((place, _))) => format!("{place}?{MASK}"),
                // Which of them stands in the other cannot be told.
                (Some(_), Some(_)) => MASK.to_owned(),
            };
            format!("{scheme}://{rest}")
        }
    };
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// What a key of this kind takes, and how to write it.
fn expected(kind: Option<Kind>, entry: bool) -> (&'static str, &'static str) {
    match kind {
        Some(Kind::Flag) => (
            "must be true or false",
            "write true or false, without quotes",
        ),
        Some(Kind::Number) => (
            "must be a whole number",
            "write digits only, without quotes",
        ),
        Some(Kind::Duration) => (
            "must be a number with a unit",
            "for example 30s, 5m, 8h or 7d",
        ),
        Some(Kind::Texts) if !entry => ("must be a list", "write [value] or one `- value` a line"),
        Some(Kind::Items) if !entry => ("must be a list", "begin each entry with `-`"),
        Some(Kind::Map) if !entry => ("must be a map of texts", "write { name: value }"),
        Some(Kind::TextOrKeys) => (
            "must be a text or a map of keys",
            "write one address, or url (or urls) with what else there is to say",
        ),
        Some(Kind::Lists) if !entry => ("must be a map of lists", "write { name: [value] }"),
        Some(Kind::Lists) => (
            "must be a list of texts, numbers and booleans",
            "write [value] or one `- value` a line",
        ),
        Some(Kind::Fields) => (
            "must be a word, a list of words, or a map of names and templates",
            "put a template in quotes: { X-User: \"{username}\" }",
        ),
        Some(Kind::Text | Kind::Secret | Kind::Path | Kind::Texts | Kind::Map) => {
            ("must be a text", "put it in quotes")
        }
        Some(Kind::Items) | None => ("must be a map of keys", "indent its keys below it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(tree: Value) -> Report {
        Report::new(tree, BTreeMap::new(), Origins::new(), Vec::new())
    }

    #[test]
    fn secrets_are_masked_and_other_values_shown() {
        let tree = json!({
            "server_url": "https://user:canary@host",
            "workers": 5,
            "listen": [{"address": "1.2.3.4"}],
            "headscale": {"api_key": "canary", "api_key_path": "canary"},
            "oidc": {
                "client_secret": "canary", "client_secret_path": "/run/secret",
                "extra_params": {"a": "canary"}, "scope": ["x", "y"], "clientsecret": "canary",
                "issuer": "a\u{1b}[0m\nb",
            },
        });
        let report = report(tree);
        for (key, shown) in [
            ("server_url", Some("https://[secret]@host")),
            ("workers", Some("5")),
            ("listen[0].address", Some("1.2.3.4")),
            ("headscale.api_key", Some("[secret]")),
            ("headscale.api_key_path", Some("[secret]")),
            ("headscale.url", None),
            ("headscale", Some("(a map)")),
            ("oidc.client_secret", Some("[secret]")),
            ("oidc.client_secret_path", Some("/run/secret")),
            ("oidc.extra_params.a", Some("[secret]")),
            ("oidc.scope[1]", Some("y")),
            ("oidc.scope", Some("(a list)")),
            ("oidc.clientsecret", Some("(not shown)")),
            ("oidc.issuer", Some("a\\u{1b}[0m\\nb")),
        ] {
            assert_eq!(report.shown(key).as_deref(), shown, "{key}");
        }
    }

    #[test]
    fn of_a_url_neither_the_password_nor_the_query_is_shown() {
        for (written, shown) in [
            ("https://host/path", "https://host/path"),
            (
                "https://user:canary@host/path",
                "https://[secret]@host/path",
            ),
            ("https://user:c@nary@host", "https://[secret]@host"),
            ("https://host/?key=canary", "https://host/?[secret]"),
            ("https://host/#canary", "https://host/?[secret]"),
            ("https://user:can?ary@host", "https://[secret]"),
            ("https://host/?key=can@ary", "https://[secret]"),
            ("what?", "what?"),
        ] {
            assert_eq!(printable(written), shown);
        }
    }

    #[test]
    fn what_could_not_be_decoded_is_reported_once() {
        let mut report = report(json!({"oidc": 5, "workers": "x"}));
        report.undecodable("oidc");
        report.refuse("oidc.issuer", "is required");
        report.undecodable("workers");
        report.refuse("workers", "too many");
        let (problems, _) = report.finish();
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, ["oidc", "workers"]);
    }
}
