//! The environment: the only place that reads the process's, and the overrides it makes.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::keys::{self, KEYS, Kind};
use super::problem::Problem;
use super::yaml;

const PREFIX: &str = "HEADWARDEN_";

/// Names that are no keys: the path of the configuration itself.
const NOT_KEYS: &[&str] = &["HEADWARDEN_CONFIG"];

/// Headscale's own variable for the secret, honoured so that it need not be set twice.
const HEADSCALE_SECRET: &str = "HEADSCALE_OIDC_CLIENT_SECRET";

/// The environment variables the configuration looks at. A variable that is set to nothing counts
/// as not set. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    garbled: Vec<String>,
}

impl Environment {
    /// The process's own environment.
    pub fn from_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => drop(environment.variables.insert(name, value)),
                (Ok(name), Err(_)) => environment.garbled.push(name),
                (Err(_), _) => {}
            }
        }
        environment
    }

    /// An environment of exactly these names and values.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = pairs
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        Self {
            variables,
            garbled: Vec::new(),
        }
    }

    /// The value of a variable; `None` when it is not set, or set to nothing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Key path to the variable that set it.
pub(super) type Origins = BTreeMap<String, String>;

/// Writes the environment's overrides into the tree.
///
/// A secret that is set here replaces the file's value *and* the file's path (and a path the
/// value): whoever sets a variable means that one.
pub(super) fn apply(
    tree: &mut Value,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Origins {
    let names = names();
    let mut origins = Origins::new();
    for name in environment
        .garbled
        .iter()
        .filter(|name| name.starts_with(PREFIX))
    {
        problems.push(Problem::new(name, "the variable's value is not UTF-8"));
    }
    for (name, value) in &environment.variables {
        if !name.starts_with(PREFIX) || value.is_empty() || is_foreign(name, value) {
            continue;
        }
        let Some((key, kind)) = names.get(name) else {
            problems.push(unknown(name, &names));
            continue;
        };
        if let Some(other) = origins.get(*key) {
            problems.push(
                Problem::new(*key, format!("set twice, by {other} and by {name}"))
                    .hint("unset one of them"),
            );
            continue;
        }
        match read(*kind, value) {
            Some(value) => set(tree, key, value),
            None => problems.push(
                Problem::new(*key, "the variable's value is not a YAML list or map")
                    .blame(name)
                    .hint("write it on one line, like [a, b], [{ path: \"/x\" }] or { a: b }"),
            ),
        }
        origins.insert((*key).to_owned(), name.clone());
    }
    replace_secrets(tree, environment, &mut origins);
    origins
}

/// Every variable's name, in both spellings, with its key.
fn names() -> BTreeMap<String, (&'static str, Kind)> {
    let mut names = BTreeMap::new();
    for (key, kind) in KEYS.iter().filter(|(key, _)| !key.contains("[]")) {
        for separator in ["_", "__"] {
            let name = format!(
                "{PREFIX}{}",
                key.replace('.', separator).to_ascii_uppercase()
            );
            names.insert(name, (*key, *kind));
        }
    }
    names
}

/// Variables that Kubernetes sets in every pod beside a Service whose name begins with
/// `headwarden`, and those that name no key on purpose.
fn is_foreign(name: &str, value: &str) -> bool {
    let numbered = || {
        name.split("_PORT_").skip(1).any(|rest| {
            let (number, protocol) = rest.split_once('_').unwrap_or((rest, ""));
            number.bytes().all(|b| b.is_ascii_digit())
                && ["TCP", "UDP", "SCTP"]
                    .iter()
                    .any(|known| protocol.starts_with(known))
        })
    };
    NOT_KEYS.contains(&name)
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || numbered()
}

fn unknown(name: &str, names: &BTreeMap<String, (&'static str, Kind)>) -> Problem {
    let path = name
        .strip_prefix(PREFIX)
        .unwrap_or(name)
        .to_ascii_lowercase()
        .replace("__", "_");
    let retired = path.replacen("oidc_", "oidc.", 1);
    if let (reason, Some(hint)) = keys::unknown(&retired)
        && !hint.starts_with("did you mean")
    {
        return Problem::new(name, reason).hint(hint);
    }
    let problem = Problem::new(name, "there is no key for this variable");
    match keys::closest_of(name, names.keys().map(String::as_str)) {
        Some(closest) => problem.hint(format!("did you mean {closest}?")),
        None => problem.hint("variables that begin with HEADWARDEN_ are keys; unset it"),
    }
}

/// The variable's text as a value of this kind; what does not fit stays text, for the decoder to
/// complain about. `None` is a list or map that is not YAML.
fn read(kind: Kind, text: &str) -> Option<Value> {
    let text = text.trim();
    let yaml = || {
        yaml::parse_document(text, "variable")
            .ok()
            .map(|document| document.value)
    };
    Some(match kind {
        Kind::Items | Kind::Map => yaml()?,
        Kind::Texts if text.starts_with('[') => yaml()?,
        Kind::Texts => text
            .split(',')
            .map(|item| Value::String(item.trim().to_owned()))
            .collect(),
        Kind::Flag if text == "true" => Value::Bool(true),
        Kind::Flag if text == "false" => Value::Bool(false),
        Kind::Number if text.parse::<u64>().is_ok() => {
            text.parse::<u64>().map_or(Value::Null, Value::from)
        }
        _ => Value::String(text.to_owned()),
    })
}

fn replace_secrets(tree: &mut Value, environment: &Environment, origins: &mut Origins) {
    let secret = "oidc.client_secret";
    if let Some(value) = environment.get(HEADSCALE_SECRET)
        && !origins.contains_key(secret)
        && !origins.contains_key("oidc.client_secret_path")
        && !(beside_an_issuer(tree)
            && (is_set(tree, secret) || is_set(tree, "oidc.client_secret_path")))
    {
        set(tree, secret, Value::String(value.trim().to_owned()));
        origins.insert(secret.to_owned(), HEADSCALE_SECRET.to_owned());
    }
    for (key, _) in KEYS.iter().filter(|(_, kind)| *kind == Kind::Secret) {
        let path = format!("{key}_path");
        match (origins.contains_key(*key), origins.contains_key(&path)) {
            (true, false) => set(tree, &path, Value::Null),
            (false, true) => set(tree, key, Value::Null),
            _ => {}
        }
    }
}

/// Whether Headscale is our own client: then its variable, in an environment that we share with it, is
/// its secret for us.
fn beside_an_issuer(tree: &Value) -> bool {
    let sign_in = tree
        .get("headscale")
        .and_then(|headscale| headscale.get("sign_in"));
    sign_in.and_then(Value::as_str) == Some("issuer")
}

/// Whether the file gives `path` a value.
fn is_set(tree: &Value, path: &str) -> bool {
    let found = path
        .split('.')
        .try_fold(tree, |value, name| value.get(name));
    found.is_some_and(|value| !value.is_null())
}

/// Writes `value` at `path`, making the maps on the way. A value that is in the way and is no map
/// stays: the decoder complains about it.
fn set(tree: &mut Value, path: &str, value: Value) {
    let mut here = tree;
    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    for segment in parents.split('.').filter(|segment| !segment.is_empty()) {
        match map(here) {
            Some(map) => here = map.entry(segment).or_insert(Value::Null),
            None => return,
        }
    }
    if let Some(map) = map(here) {
        map.insert(name.to_owned(), value);
    }
}

fn map(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn applied(tree: Value, pairs: &[(&str, &str)]) -> (Value, Vec<Problem>) {
        let mut tree = tree;
        let mut problems = Vec::new();
        apply(
            &mut tree,
            &Environment::from_pairs(pairs.iter().copied()),
            &mut problems,
        );
        (tree, problems)
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let keys: Vec<&str> = KEYS
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| !key.contains("[]"))
            .collect();
        let names = names();
        for key in keys {
            for separator in ["_", "__"] {
                let name = format!(
                    "{PREFIX}{}",
                    key.replace('.', separator).to_ascii_uppercase()
                );
                assert_eq!(names.get(&name).map(|(key, _)| *key), Some(key), "{name}");
            }
        }
    }

    #[test]
    fn variables_become_values_of_the_keys_kind() {
        for (name, text, expected) in [
            (
                "HEADWARDEN_OIDC_CLIENT_ID",
                "123",
                json!({"oidc": {"client_id": "123"}}),
            ),
            (
                "HEADWARDEN_OIDC__CLIENT_ID",
                "true",
                json!({"oidc": {"client_id": "true"}}),
            ),
            (
                "HEADWARDEN_OIDC_PKCE_ENABLED",
                "false",
                json!({"oidc": {"pkce": {"enabled": false}}}),
            ),
            (
                "HEADWARDEN_OIDC_PKCE_ENABLED",
                "yes",
                json!({"oidc": {"pkce": {"enabled": "yes"}}}),
            ),
            ("HEADWARDEN_WORKERS", "4", json!({"workers": 4})),
            (
                "HEADWARDEN_OIDC_SCOPE",
                "openid, email",
                json!({"oidc": {"scope": ["openid", "email"]}}),
            ),
            (
                "HEADWARDEN_OIDC_SCOPE",
                "[openid, \"e,f\"]",
                json!({"oidc": {"scope": ["openid", "e,f"]}}),
            ),
            (
                "HEADWARDEN_OIDC_ALLOWED_GROUPS",
                "[]",
                json!({"oidc": {"allowed_groups": []}}),
            ),
            (
                "HEADWARDEN_OIDC_EXTRA_PARAMS",
                "{\"a\": \"b\"}",
                json!({"oidc": {"extra_params": {"a": "b"}}}),
            ),
            (
                "HEADWARDEN_LISTEN",
                "[{address: \"[::]:80\"}]",
                json!({"listen": [{"address": "[::]:80"}]}),
            ),
            ("HEADWARDEN_SERVER_URL", "", json!({})),
        ] {
            assert_eq!(
                applied(json!({}), &[(name, text)]),
                (expected, vec![]),
                "{name}={text}"
            );
        }
    }

    #[test]
    fn a_variable_wins_over_the_file_and_leaves_the_rest() {
        let file = json!({"oidc": {"client_id": "a", "issuer": "i"}, "headscale": null});
        let pairs = [
            ("HEADWARDEN_OIDC_CLIENT_ID", "b"),
            ("HEADWARDEN_HEADSCALE_SIGN_IN", "own"),
        ];
        assert_eq!(
            applied(file, &pairs).0,
            json!({"oidc": {"client_id": "b", "issuer": "i"}, "headscale": {"sign_in": "own"}})
        );
    }

    #[test]
    fn a_secret_from_the_environment_replaces_value_and_path() {
        let ours = ("HEADWARDEN_OIDC_CLIENT_SECRET", "ours");
        let path = ("HEADWARDEN_OIDC_CLIENT_SECRET_PATH", "/p");
        let theirs = ("HEADSCALE_OIDC_CLIENT_SECRET", "theirs");
        for (pairs, secret, file) in [
            (vec![ours], json!("ours"), Value::Null),
            (vec![theirs], json!("theirs"), Value::Null),
            (vec![ours, theirs], json!("ours"), Value::Null),
            (vec![path, theirs], Value::Null, json!("/p")),
            (vec![ours, path], json!("ours"), json!("/p")),
        ] {
            for written in [
                json!({"client_secret": "x"}),
                json!({"client_secret_path": "/x"}),
            ] {
                let (tree, problems) = applied(json!({ "oidc": written }), &pairs);
                assert!(problems.is_empty());
                assert_eq!(tree["oidc"]["client_secret"], secret, "{pairs:?}");
                assert_eq!(tree["oidc"]["client_secret_path"], file, "{pairs:?}");
            }
        }
    }

    #[test]
    fn an_unknown_variable_is_a_problem_that_names_the_closest() {
        for (name, hint) in [
            ("HEADWARDEN_OIDC_CLIENTID", "HEADWARDEN_OIDC_CLIENT_ID"),
            ("HEADWARDEN_SERVERURL", "HEADWARDEN_SERVER_URL"),
            ("HEADWARDEN_OIDC_EXPIRY", "headscale.issuer.node_expiry"),
            ("HEADWARDEN_OIDC_MAP_LEGACY_USERS", "headscale-migrate"),
            ("HEADWARDEN_QQQQQQQQQQQQQQQQQ", "unset"),
        ] {
            let (_, problems) = applied(json!({}), &[(name, "canary")]);
            assert_eq!(problems.len(), 1, "{name}");
            assert_eq!(problems[0].key, name);
            assert!(
                problems[0].hint.as_deref().unwrap().contains(hint),
                "{}",
                problems[0]
            );
            assert!(!problems[0].to_string().contains("canary"));
        }
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_is_not_taken_for_a_key() {
        let pairs = [
            ("HEADWARDEN_SERVICE_HOST", "10.0.0.1"),
            ("HEADWARDEN_SERVICE_PORT", "443"),
            ("HEADWARDEN_SERVICE_PORT_HTTPS", "443"),
            ("HEADWARDEN_PORT", "tcp://10.0.0.1:443"),
            ("HEADWARDEN_PORT_443_TCP", "tcp://10.0.0.1:443"),
            ("HEADWARDEN_PORT_443_TCP_ADDR", "10.0.0.1"),
            ("HEADWARDEN_ADMIN_PORT_9181_TCP_PROTO", "tcp"),
            ("HEADWARDEN_CONFIG", "/etc/headwarden/config.yaml"),
        ];
        assert_eq!(applied(json!({}), &pairs), (json!({}), vec![]));
    }

    #[test]
    fn both_spellings_of_one_key_are_a_problem() {
        let pairs = [
            ("HEADWARDEN_OIDC_ISSUER", "a"),
            ("HEADWARDEN_OIDC__ISSUER", "b"),
        ];
        let (_, problems) = applied(json!({}), &pairs);
        assert_eq!(problems[0].key, "oidc.issuer");
        assert!(problems[0].reason.contains("HEADWARDEN_OIDC__ISSUER"));
    }

    #[test]
    fn the_environment_shows_no_values() {
        let environment = Environment::from_pairs([("HEADWARDEN_OIDC_CLIENT_SECRET", "canary")]);
        assert!(!format!("{environment:?}").contains("canary"));
    }
}
