//! The checks as tables: what is written, which key is blamed, and with what words. Every secret
//! in here holds the word `canary`, and no problem and no warning may.

mod access;
mod guide;
mod provider;
mod reading_again;
mod rest;
mod sides;
mod tls;
mod whole;

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::username::StripDomain;

const CANARY: &str = "canary-0123456789abcdef";

/// A good configuration, as small as the tests allow.
fn base() -> Value {
    json!({
        "server_url": "https://headscale.company",
        "trusted_proxies": ["10.0.0.0/8"],
        "headscale": {
            "sign_in": "issuer",
            "api_key": CANARY,
            "issuer": {"url": "http://127.0.0.1:8181", "client_secret": CANARY},
        },
        "oidc": {
            "issuer": "https://id.company/realms/staff",
            "client_id": "headwarden",
            "client_secret": CANARY,
            "allowed_groups": ["headscale"],
        },
    })
}

/// Sets (or, with null, removes) `path` in `tree`.
fn set(tree: &mut Value, path: &str, value: Value) {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = parent
        .split('.')
        .filter(|name| !name.is_empty())
        .fold(tree, |tree, name| &mut tree[name]);
    parent[name] = value;
}

fn changed(changes: &[(&str, Value)]) -> Value {
    let mut tree = base();
    for (path, value) in changes {
        set(&mut tree, path, value.clone());
    }
    tree
}

fn files(path: &Path) -> std::io::Result<FileText> {
    let text = match path.to_str() {
        Some("/run/good" | "/run/open") => format!("  {CANARY}\n"),
        Some("/run/short") => "canary".into(),
        Some("/run/empty") => " \n".into(),
        Some("/run/lines") => format!("{CANARY}\n{CANARY}\n"),
        Some("/run/placeholder") => "changeme\n".into(),
        Some("/run/binary") => return Err(Error::new(ErrorKind::InvalidData, "not UTF-8")),
        _ => return Err(ErrorKind::NotFound.into()),
    };
    let mode = if path.ends_with("open") { 0o644 } else { 0o600 };
    Ok(FileText { text, mode })
}

fn read_with(text: &str, pairs: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let result = read_text(
        text,
        &Environment::from_pairs(pairs.iter().copied()),
        &files,
    );
    let told = match &result {
        Ok(settings) => format!("{settings:?}"),
        Err(refusal) => format!("{refusal} {refusal:?}"),
    };
    assert!(!told.contains("canary"), "a secret is told: {told}");
    result.map_err(|refusal| refusal.problems)
}

/// The settings of a configuration that must be good.
#[track_caller]
fn good(changes: &[(&str, Value)]) -> Settings {
    match read_with(&changed(changes).to_string(), &[]) {
        Ok(settings) => settings,
        Err(problems) => panic!("{changes:?}:\n{}", Problems(&problems)),
    }
}

/// The problems of a configuration that must be bad.
#[track_caller]
fn bad(changes: &[(&str, Value)]) -> Vec<Problem> {
    match read_with(&changed(changes).to_string(), &[]) {
        Ok(settings) => panic!("{changes:?} passes: {:?}", settings.warnings),
        Err(problems) => problems,
    }
}

/// A table of lines `path | JSON | key | words`: the path set to the value is alone refused with
/// exactly one problem, at this key, with these words.
#[track_caller]
fn refused(table: &str) {
    let mut rows = 0;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [path, value, key, words] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not a row: {line}")
        };
        let problems = bad(&[(path, serde_json::from_str(value).unwrap())]);
        let text = Problems(&problems).to_string();
        assert_eq!(problems.len(), 1, "{line}:\n{text}");
        assert_eq!(problems[0].key, key, "{line}:\n{text}");
        assert!(text.contains(words), "{line}: {words:?} is not in\n{text}");
        rows += 1;
    }
    assert!(rows > 0, "an empty table");
}

/// The warnings of a good configuration.
#[track_caller]
fn warned(changes: &[(&str, Value)], words: &str) {
    let warnings = good(changes).warnings;
    assert!(
        warnings.iter().any(|text| text.contains(words)),
        "{changes:?}: {warnings:?}"
    );
}
