//! Configuration in two stages: the file as written (`file`), then [`Settings`] that cannot hold
//! nonsense (`check` makes them and collects every [`Problem`]). Nothing here opens a network
//! connection; the files it reads are the configuration and the secrets that it names.

mod change;
mod check;
mod current;
mod env;
mod file;
mod files;
mod keys;
mod problem;
mod reference;
mod report;
mod seen;
mod settings;
mod source;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use change::{Change, changes};
pub use current::Current;
pub use env::Environment;
pub use files::{FileText, ReadFile, exposed, read_file};
pub use problem::{Problem, Problems, Refusal};
pub use reference::{schema, with_tables};
pub use seen::Seen;
pub use settings::*;
pub use source::{Loaded, Reading, Source, Taken};

use check::Checks;
use keys::Kind;
use report::Report;
use serde_json::Value;

/// Reads and checks the configuration at `path`, with what `environment` overrides.
///
/// # Errors
/// Every mistake there is. Neither a problem nor a warning holds a secret.
pub fn load(path: &Path, environment: &Environment) -> Result<Settings, Refusal> {
    let source = Source::new(path.to_owned(), environment.clone());
    source.read().outcome.map(|loaded| loaded.settings)
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
    let draft = draft(text, "the file", None, environment)?;
    judge(draft, environment, read_file)
        .map(|(settings, _)| settings)
        .map_err(|refusal| *refusal)
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

/// The file as written, with what the environment overrides, before any check.
#[derive(Clone)]
struct Draft {
    name: String,
    text: Arc<str>,
    tree: Value,
    lines: BTreeMap<String, u64>,
    origins: env::Origins,
    problems: Vec<Problem>,
    /// The file's permissions, where it holds secrets that everybody may read.
    open: Option<u32>,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets may stand in it.
        f.debug_struct("Draft").finish_non_exhaustive()
    }
}

fn draft(
    text: &str,
    name: &str,
    mode: Option<u32>,
    environment: &Environment,
) -> Result<Draft, Refusal> {
    let document = yaml::parse_document(text, name).map_err(|problem| *problem)?;
    let mut problems = Vec::new();
    let mut tree = document.value;
    let open = mode.filter(|mode| mode & 0o007 != 0 && holds_secrets(&tree));
    let origins = env::apply(&mut tree, environment, &mut problems);
    Ok(Draft {
        name: name.to_owned(),
        text: text.into(),
        tree,
        lines: document.lines,
        origins,
        problems,
        open,
    })
}

/// Keys, and the files that they name.
type Named = Vec<(String, PathBuf)>;

/// Every check; with the settings come the files that keys name.
fn judge(
    draft: Draft,
    environment: &Environment,
    read_file: ReadFile<'_>,
) -> Result<(Settings, Named), Box<Refusal>> {
    let mut report = Report::new(
        draft.tree.clone(),
        draft.lines,
        draft.origins,
        draft.problems,
    );
    if let Some(mode) = draft.open {
        report.warn(
            &draft.name,
            format!("holds a secret and everybody may read it (mode {mode:04o})"),
        );
    }
    let (file, offenders) = file::decode(draft.tree);
    for offender in offenders {
        report.undecodable(&offender);
    }
    let mut checks = Checks {
        report,
        environment,
        read_file,
        named: Vec::new(),
    };
    let settings = check::check(file, &mut checks);
    let (problems, warnings) = checks.report.finish();
    match settings {
        Some(settings) if problems.is_empty() => Ok((
            Settings {
                warnings,
                ..settings
            },
            checks.named,
        )),
        _ if problems.is_empty() => {
            let problem = Problem::new(draft.name, "a check failed without a word");
            Err(Box::new(problem.into()))
        }
        _ => Err(Box::new(Refusal { problems, warnings })),
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
