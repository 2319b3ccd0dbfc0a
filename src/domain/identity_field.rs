//! What an upstream is told about a person: fields of the request, each a name and a template that
//! claims fill. Presets are tables of the same.
//!
//! Which claims may be told, an e-mail that nobody verified for one, is the caller's decision: see
//! [`Told`].

mod name;
mod template;

use super::identity::Identity;

pub use name::{FieldName, NameFault};
pub use template::{Claim, Template, TemplateFault, claims, encode_claim};

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityField {
    /// Its name.
    pub name: FieldName,
    /// Its value.
    pub template: Template,
    /// Whether it is sent with an empty value where its claim is missing, instead of not at all. Only for
    /// lists: an empty one says that there is nothing in it, an empty name could be somebody's.
    pub also_empty: bool,
}

/// What of an identity may be told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Whose.
    pub who: &'a Identity,
    /// Whether the e-mail counts: it was verified, or the operator does not ask for that.
    pub email: bool,
}

impl IdentityField {
    /// The value for `told`, as it is sent; `None` where the field is left out.
    pub fn value(&self, told: Told<'_>) -> Option<String> {
        let value = self.template.fill(told);
        value.or_else(|| self.also_empty.then(String::new))
    }
}

/// A field's name, what is in it, and whether it is sent empty.
type Sent = (&'static str, Claim, bool);

/// The words for presets, as they are configured, and what each sends.
const PRESETS: &[(&str, &[Sent])] = &[
    // Authelia's names, and those of Headplane's `proxy_auth`.
    (
        "remote",
        &[
            ("Remote-User", Claim::Username, false),
            ("Remote-Email", Claim::Email, false),
            ("Remote-Name", Claim::Name, false),
            ("Remote-Groups", Claim::Groups(','), true),
        ],
    ),
    // oauth2-proxy's with `pass_user_headers`. Its user is the `sub`.
    (
        "forwarded",
        &[
            ("X-Forwarded-User", Claim::Subject, false),
            ("X-Forwarded-Email", Claim::Email, false),
            ("X-Forwarded-Preferred-Username", Claim::Username, false),
            ("X-Forwarded-Groups", Claim::Groups(','), false),
        ],
    ),
    // Those of authentik's proxy outpost that are about the person.
    (
        "authentik",
        &[
            ("X-authentik-username", Claim::Username, false),
            ("X-authentik-groups", Claim::Groups('|'), true),
            ("X-authentik-email", Claim::Email, false),
            ("X-authentik-name", Claim::Name, false),
            ("X-authentik-uid", Claim::Subject, false),
        ],
    ),
];

/// The words that [`preset`] knows.
pub fn presets() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(word, _)| *word)
}

/// The fields of a preset.
pub fn preset(word: &str) -> Option<Vec<IdentityField>> {
    let (_, fields) = PRESETS.iter().find(|(known, _)| *known == word)?;
    let fields = fields.iter().map(|(name, claim, also_empty)| {
        Some(IdentityField {
            name: FieldName::ours(name)?,
            template: Template::of(*claim),
            also_empty: *also_empty,
        })
    });
    fields.collect()
}

#[cfg(test)]
mod tests;
