//! A Headwarden configuration from an existing Headscale one, of any version since 0.23, with what to
//! change in Headscale's own file.
//!
//! Headwarden takes the address that Headscale listens on, so that nothing in front of it has to change,
//! and Headscale moves to loopback. No key is dropped without a [`Note`], no secret is copied: a path to
//! one is kept, and a secret that stands in the file stays there.

mod fates;
mod notes;
mod old;
mod place;
mod provider;
mod render;

use serde::Serialize;

use crate::config::{Problem, parse_foreign};

use notes::Notes;
pub use notes::{Note, What};
pub(super) use old::Old;
use place::Place;

/// What came out of it.
#[derive(Clone, Debug, Serialize)]
pub struct Import {
    /// Headwarden's configuration, as YAML with comments.
    pub config: String,
    /// What changes in Headscale's configuration, as YAML with comments.
    pub headscale: String,
    /// What became of each key, and what is left to do.
    pub notes: Vec<Note>,
}

/// Why nothing came out of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// No YAML that can be read.
    #[error("{0}")]
    Unreadable(Box<Problem>),
    /// Without it, nothing says what people and devices open.
    #[error("server_url is missing, so this is no configuration of headscale")]
    NoServerUrl,
    /// It is no URL that a Headscale could be reached at.
    #[error("server_url is not an http or https URL with a host")]
    ServerUrl,
}

/// Makes the configuration out of the text of Headscale's; `name` is what to call it in comments.
///
/// # Errors
/// [`ImportError`].
pub fn import(text: &str, name: &str) -> Result<Import, ImportError> {
    let tree = parse_foreign(text, name).map_err(ImportError::Unreadable)?;
    let old = Old::new(tree);
    let mut notes = Notes::default();
    let place = Place::of(&old, &mut notes)?;
    let provider = provider::provider(&old, &place, &mut notes);
    fates::tell(&old, &mut notes);
    Ok(Import {
        config: render::config(name, &old, &place, &provider),
        headscale: render::headscale(name, &place, &provider),
        notes: notes.finish(),
    })
}

#[cfg(test)]
mod tests;
