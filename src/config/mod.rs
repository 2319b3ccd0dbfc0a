//! Configuration in two stages: the file as written (`file`), then [`Settings`] that cannot hold
//! nonsense (`check` makes them and collects every [`Problem`]). Nothing here opens a network
//! connection; the files it reads are the configuration and the secrets that it names.

mod check;
mod current;
mod env;
mod file;
mod files;
mod keys;
mod problem;
mod report;
mod settings;
mod yaml;

use std::path::Path;

pub use current::Current;
pub use env::Environment;
pub use files::{FileText, ReadFile, exposed, read_file};
pub use problem::{Problem, Problems, Refusal};
pub use settings::*;

use check::Checks;
use keys::Kind;
use report::Report;
use serde_json::Value;

/// Reads and checks the configuration at `path`, with what `environment` overrides.
///
/// # Errors
/// Every mistake there is. Neither a problem nor a warning holds a secret.
pub fn load(path: &Path, environment: &Environment) -> Result<Settings, Refusal> {
    let name = path.display().to_string();
    let file = read_file(path).map_err(|error| {
        let reason = format!("the configuration cannot be read: {error}");
        Problem::new(name.as_str(), reason).hint("name another with --config")
    })?;
    read(&file.text, &name, Some(file.mode), environment, &read_file)
}

/// The same for a text, with secret files read by `read_file`.
///
/// # Errors
/// Those of [`load`].
pub fn read_text(
    text: &str,
    environment: &Environment,
    read_file: ReadFile<'_>,
) -> Result<Settings, Refusal> {
    read(text, "the file", None, environment, read_file)
}

/// The tree of another program's YAML, read as ours is: no key twice, no bomb. `name` is what to call
/// it in a problem.
///
/// # Errors
/// A text that is no such YAML; the problem quotes none of it.
pub fn parse_foreign(text: &str, name: &str) -> Result<Value, Box<Problem>> {
    Ok(yaml::parse_document(text, name)?.value)
}

/// Whether an issuer looks like one of authentik's.
pub fn is_authentik(issuer: &str) -> bool {
    check::is_authentik(issuer)
}

/// Every key there is, in the order of the documentation; `[]` stands for an entry of a list.
pub fn key_paths() -> impl Iterator<Item = &'static str> {
    keys::KEYS.iter().map(|(key, _)| *key)
}

fn read(
    text: &str,
    name: &str,
    mode: Option<u32>,
    environment: &Environment,
    read_file: ReadFile<'_>,
) -> Result<Settings, Refusal> {
    let document = yaml::parse_document(text, name).map_err(|problem| *problem)?;
    let mut problems = Vec::new();
    let mut tree = document.value;
    let open_file = mode.filter(|mode| mode & 0o007 != 0 && holds_secrets(&tree));
    let origins = env::apply(&mut tree, environment, &mut problems);
    let mut report = Report::new(tree.clone(), document.lines, origins, problems);
    if let Some(mode) = open_file {
        report.warn(
            name,
            format!("holds a secret and everybody may read it (mode {mode:04o})"),
        );
    }
    let (file, offenders) = file::decode(tree);
    for offender in offenders {
        report.undecodable(&offender);
    }
    let mut checks = Checks {
        report,
        environment,
        read_file,
    };
    let settings = check::check(file, &mut checks);
    let (problems, warnings) = checks.report.finish();
    match settings {
        Some(settings) if problems.is_empty() => Ok(Settings {
            warnings,
            ..settings
        }),
        _ if problems.is_empty() => Err(Problem::new(name, "a check failed without a word").into()),
        _ => Err(Refusal { problems, warnings }),
    }
}

/// Whether a secret stands in the file itself.
fn holds_secrets(tree: &Value) -> bool {
    keys::KEYS
        .iter()
        .filter(|(_, kind)| *kind == Kind::Secret)
        .any(|(key, _)| {
            let found = key.split('.').try_fold(tree, |value, name| value.get(name));
            found.is_some_and(|value| !value.is_null())
        })
}

#[cfg(test)]
mod tests;
