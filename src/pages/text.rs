//! Text of strangers, made fit to be shown. Escaping is the templates' business.

use crate::domain::identity::{Email, Identity};
use crate::domain::text::draws;

/// Most characters of one foreign value on a page.
const LONGEST: usize = 120;

/// `text` without characters that draw nothing or redraw their neighbours (controls, bidirectional
/// overrides, zero-width), and no longer than a line or two.
pub(super) fn tame(text: &str) -> String {
    let mut tame: String = text
        .chars()
        .take(LONGEST)
        .map(|c| if draws(c) { c } else { '\u{fffd}' })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        tame.push('…');
    }
    tame
}

/// A person as the provider described them: what they are called, and the address or user name
/// that tells two people of one name apart.
pub(super) struct Person {
    pub(super) name: String,
    pub(super) detail: Option<String>,
}

impl Person {
    pub(super) fn new(identity: &Identity) -> Self {
        let texts = [
            identity.name.as_deref(),
            identity.email.as_ref().map(Email::as_str),
            identity.username.as_deref(),
        ];
        let mut given = texts
            .into_iter()
            .flatten()
            .filter(|text| !text.trim().is_empty());
        let name = given.next().unwrap_or_else(|| identity.subject.as_str());
        let detail = given.find(|text| *text != name);
        Self {
            name: tame(name),
            detail: detail.map(tame),
        }
    }
}
