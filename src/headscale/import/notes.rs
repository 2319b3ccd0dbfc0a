//! What is told about a key beside the two files.

use serde::Serialize;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Somebody has to do something about it.
    ToDo,
    /// No Headscale since 0.23 knows it.
    Unknown,
    /// It is not carried over, and has to go from Headscale's file or does nothing there.
    Dropped,
    /// It means another thing here, or has another value now.
    Changed,
    /// It is in Headwarden's configuration as it was.
    Carried,
    /// It is Headscale's own business and stays there.
    Stays,
}

impl What {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ToDo => "to do",
            Self::Unknown => "unknown",
            Self::Dropped => "dropped",
            Self::Changed => "changed",
            Self::Carried => "carried",
            Self::Stays => "stays",
        }
    }
}

/// One key, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The key path in Headscale's file; of Headwarden where only that has it.
    pub key: String,
    /// In one word.
    pub what: What,
    /// In a sentence.
    pub text: String,
}

/// Notes on their way.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    /// Adds one.
    pub(super) fn add(&mut self, key: &str, what: What, text: impl Into<String>) {
        self.0.push(Note {
            key: key.to_owned(),
            what,
            text: text.into(),
        });
    }

    /// Whether something was said about `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|note| note.key == key)
    }

    /// All of them, what has to be done first; in the order they were added otherwise.
    pub(super) fn finish(mut self) -> Vec<Note> {
        self.0.sort_by_key(|note| note.what);
        self.0
    }
}
