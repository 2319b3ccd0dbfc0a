//! What was in the files that a reading looked at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::files::{FileText, hash_of_file, read_file};
use crate::domain::hash::sha256;

/// What is in a file, as far as a change of it has to be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Print {
    /// The SHA-256 of its content.
    Content([u8; 32]),
    /// It cannot be read.
    Unreadable(ErrorKind),
}

impl Print {
    pub(super) fn of(path: &Path) -> Self {
        match hash_of_file(path) {
            Ok(hash) => Self::Content(hash),
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

/// The files that a reading looked at, and what was in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(pub(super) BTreeMap<PathBuf, Print>);

impl Seen {
    /// The same files as they are now.
    #[must_use]
    pub fn again(&self) -> Self {
        let look = |path: &PathBuf| (path.clone(), Print::of(path));
        Self(self.0.keys().map(look).collect())
    }

    /// Whether no file that both looked at held another thing for `other`.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let differs = |(path, print)| other.0.get(path).is_some_and(|other| other != print);
        !self.0.iter().any(differs)
    }
}

/// Reads a file, and notes what was in it.
pub(super) fn noting(
    seen: &RefCell<BTreeMap<PathBuf, Print>>,
) -> impl Fn(&Path) -> std::io::Result<FileText> {
    |path| {
        let read = read_file(path);
        let print = match &read {
            Ok(file) => Print::Content(sha256(file.text.as_bytes())),
            Err(_) => Print::of(path),
        };
        seen.borrow_mut().insert(path.to_owned(), print);
        read
    }
}
