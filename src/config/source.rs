//! Where the configuration comes from, so that it can be read again: the file, the files it names, and
//! the environment, which does not change while a process runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::change::{self, at, put};
use super::env::Environment;
use super::files::{hash_of_file, read_file};
use super::keys::{self, Kind};
use super::problem::{Problem, Refusal};
use super::settings::Settings;
use super::{Draft, draft, judge};
use crate::domain::hash::sha256;

/// What is in a file, as far as a change of it has to be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Print {
    /// The SHA-256 of its content.
    Content([u8; 32]),
    /// It cannot be read.
    Unreadable(ErrorKind),
}

impl Print {
    fn of(path: &Path) -> Self {
        match hash_of_file(path) {
            Ok(hash) => Self::Content(hash),
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

/// The files that a reading looked at, and what was in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Print>);

impl Seen {
    /// The same files as they are now.
    #[must_use]
    pub fn again(&self) -> Self {
        let look = |path: &PathBuf| (path.clone(), Print::of(path));
        Self(self.0.keys().map(look).collect())
    }
}

/// A configuration that is good: what it means, and what it was made from. Neither is shown by `Debug`:
/// secrets may stand in the file itself.
#[derive(Clone)]
pub struct Loaded {
    /// What it means.
    pub settings: Settings,
    tree: Value,
    /// Files that count by their content.
    contents: BTreeMap<String, Print>,
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
        let seen = RefCell::new(BTreeMap::new());
        let reader = |path: &Path| {
            let read = read_file(path);
            let print = match &read {
                Ok(file) => Print::Content(sha256(file.text.as_bytes())),
                Err(_) => Print::of(path),
            };
            seen.borrow_mut().insert(path.to_owned(), print);
            read
        };
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
            seen: Seen(seen.into_inner()),
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
            tree: draft.tree.clone(),
            contents,
        })
    }

    /// What a process that runs by `running` takes over from `reading`: everything but what waits for a
    /// restart.
    ///
    /// # Errors
    /// The mistakes of the reading; or what keeps it from being taken over by halves.
    pub fn take(&self, running: &Loaded, reading: &Reading) -> Result<Taken, Refusal> {
        let new = match (&reading.outcome, &reading.draft) {
            (Ok(new), Some(draft)) => (new, draft),
            (Err(refusal), _) => return Err(refusal.clone()),
            (Ok(_), None) => return Err(Problem::new("", "read without a word").into()),
        };
        let (new, draft) = new;
        let (tree, waiting) = change::merge(&running.tree, &draft.tree);
        let judged = |tree: Value| {
            let draft = Draft {
                tree,
                ..draft.clone()
            };
            judge(draft, &self.environment, &read_file)
        };
        let (settings, _) =
            judged(tree.clone()).map_err(|refusal| needs_a_restart(*refusal, &waiting))?;
        // `480m` for `8h`, or a default that is spelled out, is no change.
        let means_another = |key: &&str| {
            let mut other = tree.clone();
            put(&mut other, key, at(&draft.tree, key));
            let other = judged(other);
            is_secret(key) || other.map_or(true, |(other, _)| !same(&other, &settings))
        };
        let waiting = waiting.into_iter().filter(means_another);
        let mut waiting: Vec<String> = waiting.map(str::to_owned).collect();
        let written = change::differences(&running.tree, &tree);
        let mut changed: Vec<String> = written.into_iter().map(str::to_owned).collect();
        let mut contents = new.contents.clone();
        for (key, print) in &mut contents {
            let Some(before) = running.contents.get(key).filter(|before| *before != print) else {
                continue;
            };
            let key = keys::whole(key);
            let told = if change::waits(key) {
                *print = *before;
                &mut waiting
            } else {
                &mut changed
            };
            if !told.iter().any(|it| it == key) {
                told.push(key.to_owned());
            }
        }
        let loaded = Loaded {
            settings,
            tree,
            contents,
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
