//! Secrets and paths: `${VAR}` in paths, one of value and file, no placeholders.

use std::path::PathBuf;

use super::{Checks, Reported};
use crate::domain::secret::Secret;

/// Words that documentation writes where a secret belongs.
const PLACEHOLDERS: &[&str] = &[
    "changeme",
    "change_me",
    "change-me",
    "client_secret",
    "clientsecret",
    "example",
    "generated-secret",
    "insecure_secret",
    "password",
    "placeholder",
    "replaceme",
    "replace_me",
    "secret",
    "tbd",
    "todo",
    "none",
    "null",
];

/// Words that are names in other places, and no secrets here.
const NO_SECRETS: &[&str] = &[
    "admin",
    "changeit",
    "default",
    "dummy",
    "headscale",
    "headwarden",
    "my-secret",
    "my_secret",
    "mysecret",
    "redacted",
    "supersecret",
    "test",
];

/// Whether a text only stands for the value that belongs there.
pub(super) fn is_placeholder(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let first = text.chars().next();
    PLACEHOLDERS.contains(&text.as_str())
        || (text.starts_with('<') && text.ends_with('>'))
        || text.starts_with("your_")
        || text.starts_with("your-")
        || text.chars().all(|c| Some(c) == first || c == '…')
}

/// The secret at `key` or in the file at `key` + `_path`; none when neither is written.
pub(super) fn secret(
    key: &str,
    inline: Option<String>,
    path_text: Option<String>,
    checks: &mut Checks<'_>,
) -> Result<Option<Secret<String>>, Reported> {
    let path_key = format!("{key}_path");
    if checks.report.is_broken(key) || checks.report.is_broken(&path_key) {
        return Err(Reported);
    }
    let (text, place) = match (inline, path_text) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            checks.report.refuse_with(
                key,
                format!("{path_key} is set too, and only one of them can be meant"),
                "delete one of the two",
            );
            return Err(Reported);
        }
        (Some(text), None) => (text, key.to_owned()),
        (None, Some(text)) => (read(&path_key, text, checks).ok_or(Reported)?, path_key),
    };
    check(&place, &text, checks)
        .map(|text| Some(Secret::new(text)))
        .ok_or(Reported)
}

/// A secret that must be there.
pub(super) fn required(
    key: &str,
    inline: Option<String>,
    path: Option<String>,
    checks: &mut Checks<'_>,
) -> Option<Secret<String>> {
    let secret = secret(key, inline, path, checks).ok()?;
    if secret.is_none() {
        let variable = format!("HEADWARDEN_{}", key.replace('.', "_").to_ascii_uppercase());
        let hint = format!("write {key}_path, or set {variable}");
        checks.report.refuse_with(key, "is required", hint);
    }
    secret
}

/// What every secret must be, wherever it came from: trimmed, not empty, no placeholder, one line.
fn check(key: &str, text: &str, checks: &mut Checks<'_>) -> Option<String> {
    let text = text.trim();
    let (reason, hint) = if text.is_empty() {
        ("the secret is empty", "write the secret itself")
    } else if text.starts_with("${") && text.ends_with('}') {
        (
            "variables are not expanded here",
            "use the key that ends in _path, or set the variable named after the key",
        )
    } else if is_placeholder(text) || NO_SECRETS.contains(&text.to_ascii_lowercase().as_str()) {
        (
            "this is a placeholder, not a secret",
            "write the secret itself",
        )
    } else if text.contains(|c: char| c.is_control()) {
        (
            "the secret has several lines or a control character",
            "write the secret alone, on one line",
        )
    } else {
        return Some(text.to_owned());
    };
    checks.report.refuse_with(key, reason, hint);
    None
}

/// Reads a secret's file, and warns when others can read it too.
pub(super) fn read(key: &str, text: String, checks: &mut Checks<'_>) -> Option<String> {
    let path = path(key, Some(text), checks)?;
    match (checks.read_file)(&path) {
        Ok(file) => {
            if file.mode & 0o077 != 0 {
                checks.report.warn(
                    key,
                    format!(
                        "others may read this file (mode {:04o}); chmod 600 it",
                        file.mode
                    ),
                );
            }
            Some(file.text)
        }
        Err(error) => {
            let reason = match error.kind() {
                std::io::ErrorKind::InvalidData => format!("the file is no text: {error}"),
                kind => format!("the file cannot be read: {kind}"),
            };
            checks.report.refuse_with(
                key,
                reason,
                "this key takes the path of a file that the service's user can read",
            );
            None
        }
    }
}

/// A path with its variables expanded; `None` for a missing or an impossible one.
pub(super) fn path(key: &str, text: Option<String>, checks: &mut Checks<'_>) -> Option<PathBuf> {
    let text = text?;
    if text.trim().is_empty() || text.contains('\0') {
        checks.report.refuse(key, "the path is empty");
        return None;
    }
    match expand(text.trim(), |name| checks.environment.get(name)) {
        Ok(path) => Some(path.into()),
        Err(Expansion::Unset(name)) => {
            checks.report.refuse_with(
                key,
                format!("the environment variable {name} is not set"),
                "systemd sets it where the unit has LoadCredential=; by hand, export it",
            );
            None
        }
        Err(Expansion::Syntax) => {
            checks
                .report
                .refuse_with(key, "a `$` without the name of a variable", "write ${NAME}");
            None
        }
    }
}

/// Why a path could not be expanded.
#[derive(Debug, PartialEq, Eq)]
enum Expansion {
    /// This variable is not set, or empty.
    Unset(String),
    /// A `$` that begins no `${NAME}` or `$NAME`.
    Syntax,
}

/// Expands `${NAME}` and `$NAME` once; what a variable holds is taken as it is.
fn expand<'a>(text: &str, get: impl Fn(&str) -> Option<&'a str>) -> Result<String, Expansion> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').ok_or(Expansion::Syntax)?,
            None => after.split_at(
                after
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(after.len()),
            ),
        };
        let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() || !valid {
            return Err(Expansion::Syntax);
        }
        out.push_str(get(name).ok_or_else(|| Expansion::Unset(name.to_owned()))?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_paths_are_expanded_once() {
        let get = |name: &str| match name {
            "DIR" => Some("/run/x"),
            "DOLLAR" => Some("$DIR"),
            _ => None,
        };
        let unset = |name: &str| Err(Expansion::Unset(name.to_owned()));
        for (text, expected) in [
            ("/plain", Ok("/plain".to_owned())),
            ("${DIR}/a", Ok("/run/x/a".into())),
            ("$DIR/a", Ok("/run/x/a".into())),
            ("/a${DIR}b$DIR", Ok("/a/run/xb/run/x".into())),
            ("${DOLLAR}/a", Ok("$DIR/a".into())),
            ("${NO}/a", unset("NO")),
            ("$DIRS", unset("DIRS")),
            ("${DIR", Err(Expansion::Syntax)),
            ("${}", Err(Expansion::Syntax)),
            ("${A-B}", Err(Expansion::Syntax)),
            ("a$", Err(Expansion::Syntax)),
            ("$/a", Err(Expansion::Syntax)),
        ] {
            assert_eq!(expand(text, get), expected, "{text}");
        }
    }

    #[test]
    fn placeholders_are_known_and_secrets_are_not_taken_for_them() {
        for text in [
            "...",
            "…",
            "changeme",
            "ChangeMe",
            "your_client_secret",
            "your-oidc-client-secret",
            "<Client secret from authentik>",
            "xxxxxxxx",
            "****",
            "secret",
            "insecure_secret",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in [
            "n0t-a-placeholder",
            "secret1",
            "yours",
            "a<b>",
            "0123456789abcdef",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
