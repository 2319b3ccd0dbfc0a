//! Where the configuration comes from, so that it can be read again: the file, the files it names, and
//! the environment, which does not change while a process runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::change::{self, at, put};
use super::env::Environment;
use super::files::read_file;
use super::keys::{self, Kind};
use super::problem::{Problem, Refusal};
use super::seen::{Print, Seen, noting};
use super::settings::Settings;
use super::{Draft, draft, judge};
use crate::domain::hash::sha256;

/// A configuration that is good: what it means, and what it was made from. Neither is shown by `Debug`:
/// secrets may stand in the file itself.
#[derive(Clone)]
pub struct Loaded {
    /// What it means.
    pub settings: Settings,
    /// The file itself.
    text: Arc<str>,
    tree: Value,
    /// Files that count by their content.
    contents: BTreeMap<String, Print>,
    /// What such a file holds that this process wrote into it.
    wrote: BTreeMap<String, Print>,
}

impl Loaded {
    /// The process wrote `content` into the file that `key` names, and goes by it already.
    pub fn wrote(&mut self, key: &str, content: &str) {
        let print = Print::Content(sha256(content.as_bytes()));
        self.wrote.insert(key.to_owned(), print);
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").finish_non_exhaustive()
    }
}

/// One reading of the configuration.
#[derive(Debug)]
pub struct Reading {
    /// What it holds, or every mistake in it.
    pub outcome: Result<Loaded, Refusal>,
    /// What was looked at for that. A file that is not the same any more may hold something else.
    pub seen: Seen,
    draft: Option<Draft>,
}

impl Reading {
    /// Whether the file is that of `running` with something missing at its end.
    fn is_beginning_of(&self, running: &Loaded) -> bool {
        let text = self.draft.as_ref().map(|draft| draft.text.as_ref());
        let missing = text.and_then(|text| running.text.strip_prefix(text));
        missing.is_some_and(|missing| !missing.trim().is_empty())
    }
}

/// What a running process may take over from a file.
#[derive(Debug)]
pub struct Taken {
    /// The configuration by which it runs from then on.
    pub loaded: Loaded,
    /// Keys whose values are others now.
    pub changed: Vec<String>,
    /// Keys whose values the file changes, and which count from the next start on.
    pub waiting: Vec<String>,
}

/// The file of the configuration, and the environment that overrides it.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    environment: Environment,
}

impl Source {
    /// The file at `path`.
    pub const fn new(path: PathBuf, environment: Environment) -> Self {
        Self { path, environment }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks it.
    pub fn read(&self) -> Reading {
        let seen = RefCell::default();
        let reader = noting(&seen);
        let name = self.path.display().to_string();
        let drafted = reader(&self.path)
            .map_err(|error| {
                let reason = format!("the configuration cannot be read: {error}");
                Refusal::from(
                    Problem::new(name.as_str(), reason).hint("name another with --config"),
                )
            })
            .and_then(|file| draft(&file.text, &name, Some(file.mode), &self.environment));
        let (outcome, draft) = match drafted {
            Ok(draft) => (
                self.judged(&draft, &reader, &seen).map_err(|it| *it),
                Some(draft),
            ),
            Err(refusal) => (Err(refusal), None),
        };
        Reading {
            outcome,
            seen: Seen(seen.take()),
            draft,
        }
    }

    fn judged(
        &self,
        draft: &Draft,
        reader: &dyn Fn(&Path) -> std::io::Result<super::FileText>,
        seen: &RefCell<BTreeMap<PathBuf, Print>>,
    ) -> Result<Loaded, Box<Refusal>> {
        let (settings, named) = judge(draft.clone(), &self.environment, reader)?;
        let mut contents = BTreeMap::new();
        for (key, path) in named {
            let mut seen = seen.borrow_mut();
            let counts = change::counts_by_content(&keys::general(&key));
            let print = match seen.get(&path) {
                Some(print) => *print,
                None if counts => Print::of(&path),
                None => continue,
            };
            seen.insert(path, print);
            contents.insert(key, print);
        }
        Ok(Loaded {
            settings,
            text: Arc::clone(&draft.text),
            tree: draft.tree.clone(),
            contents,
            wrote: BTreeMap::new(),
        })
    }

    /// Reads it because files changed: what a process that runs by `running` takes over. `None` if they are
    /// not any more as `found` has them: they are still being written.
    ///
    /// What is only the beginning of the text that runs is not taken over: a copy that broke off looks like
    /// that, and rules at the end would be missing.
    pub fn read_found(
        &self,
        running: &Loaded,
        found: &Seen,
    ) -> Option<(Reading, Result<Taken, Refusal>)> {
        let reading = self.read();
        let taken = if reading.is_beginning_of(running) {
            Err(cut_off(&self.path))
        } else {
            self.take(running, &reading)
        };
        let as_found = reading.seen.agrees_with(found) && reading.seen.again() == reading.seen;
        as_found.then_some((reading, taken))
    }

    /// What a process that runs by `running` takes over from `reading`: everything but what waits for a
    /// restart.
    ///
    /// # Errors
    /// The mistakes of the reading; or what keeps it from being taken over by halves.
    pub fn take(&self, running: &Loaded, reading: &Reading) -> Result<Taken, Refusal> {
        let draft = match (&reading.outcome, &reading.draft) {
            (Ok(_), Some(draft)) => draft,
            (Err(refusal), _) => return Err(refusal.clone()),
            (Ok(_), None) => return Err(Problem::new("", "read without a word").into()),
        };
        let (tree, all) = change::merge(&running.tree, &draft.tree);
        let by = |tree: Value| Draft {
            tree,
            ..draft.clone()
        };
        let seen = RefCell::default();
        let merged = self
            .judged(&by(tree.clone()), &noting(&seen), &seen)
            .map_err(|refusal| needs_a_restart(*refusal, &all))?;
        // `480m` for `8h`, or a default that is spelled out, is no change.
        let means_another = |key: &&str| {
            let mut other = tree.clone();
            put(&mut other, key, at(&draft.tree, key));
            let other = judge(by(other), &self.environment, &read_file);
            is_secret(key) || other.map_or(true, |(other, _)| !same(&other, &merged.settings))
        };
        // What belongs together is told together.
        let together = |key: &&str| {
            let with = |other: &&&'static str| change::waits_with(other, &all) == Some(*key);
            change::waits_with(key, &all).is_some() || all.iter().any(|other| with(&other))
        };
        let waiting = all
            .iter()
            .copied()
            .filter(|key| together(key) || means_another(key));
        let mut waiting: Vec<String> = waiting.map(str::to_owned).collect();
        let written = change::differences(&running.tree, &tree);
        let mut changed: Vec<String> = written.into_iter().map(str::to_owned).collect();
        let mut contents = merged.contents;
        for (key, print) in &mut contents {
            let ours = running.wrote.get(key) == Some(print);
            let before = running.contents.get(key);
            let Some(before) = before.filter(|before| !ours && *before != print) else {
                continue;
            };
            let key = keys::whole(key);
            let told = if change::waits(key) {
                *print = *before;
                &mut waiting
            } else if let Some(first) = change::waits_with(key, &all) {
                return Err(cannot_be_split(key, first));
            } else {
                &mut changed
            };
            if !told.iter().any(|it| it == key) {
                told.push(key.to_owned());
            }
        }
        let loaded = Loaded {
            settings: merged.settings,
            text: merged.text,
            tree,
            contents,
            wrote: BTreeMap::new(),
        };
        Ok(Taken {
            loaded,
            changed,
            waiting,
        })
    }
}

/// Whether two settings mean the same, secrets aside.
fn same(a: &Settings, b: &Settings) -> bool {
    let told = |settings: &Settings| {
        let settings = Settings {
            warnings: Vec::new(),
            ..settings.clone()
        };
        format!("{settings:?}")
    };
    told(a) == told(b)
}

/// Whether a key holds a secret, or says where one is: two of them may be told alike.
fn is_secret(key: &str) -> bool {
    let of = |key| keys::kind(key) == Some(Kind::Secret);
    of(key) || key.strip_suffix("_path").is_some_and(of)
}

/// It may be meant so; then somebody says so.
fn cut_off(path: &Path) -> Refusal {
    let reason = "holds only the beginning of what it held, as if it had been cut off";
    let hint = "if it is meant to end there, send SIGHUP (systemctl reload)";
    Problem::new(path.display().to_string(), reason)
        .hint(hint)
        .into()
}

/// What was in a file before is not kept, so it cannot wait as a value does.
fn cannot_be_split(key: &str, first: &str) -> Refusal {
    let reason =
        format!("another content of its file belongs to {first}, which waits for a restart");
    let hint = "restart headwarden: nothing of the configuration counts until then";
    Problem::new(key, reason).hint(hint).into()
}

/// The file is good, but not beside what has to stay.
fn needs_a_restart(mut refusal: Refusal, waiting: &[&str]) -> Refusal {
    for problem in &mut refusal.problems {
        problem.line = None;
        problem.hint = Some(format!(
            "restart headwarden: the file changes what cannot change while it runs ({})",
            waiting.join(", ")
        ));
    }
    refusal
}
