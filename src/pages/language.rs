//! Which language a page is in, and its words: one catalogue for each language, `texts/<tag>.ftl`, in the
//! format of Project Fluent. English is the one that every other is held against, and what stands in
//! where another has nothing to say.
//!
//! A catalogue holds text and never markup: whatever comes out of one is escaped like the text of a
//! stranger, and the few sentences with a link or a command in them are put together in `rich`.

mod accept;
mod rich;
mod when;

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

pub(super) use rich::{Markup, Part};

/// The other languages: a file is one line here.
const OTHERS: &[(&str, &str)] = &[("de", include_str!("texts/de.ftl"))];

const ENGLISH: (&str, &str) = ("en", include_str!("texts/en.ftl"));

/// Compiled in, and read once.
static CATALOGUES: LazyLock<Catalogues> = LazyLock::new(|| Catalogues {
    english: Catalogue::read(ENGLISH),
    others: OTHERS.iter().copied().map(Catalogue::read).collect(),
});

struct Catalogues {
    english: Catalogue,
    others: Vec<Catalogue>,
}

struct Catalogue {
    /// As `lang` and `Content-Language` say it (RFC 5646).
    tag: &'static str,
    identifier: LanguageIdentifier,
    bundle: FluentBundle<FluentResource>,
}

impl Catalogue {
    fn read((tag, text): (&'static str, &'static str)) -> Self {
        let identifier: LanguageIdentifier = tag.parse().unwrap_or_default();
        // What cannot be read is left out, and a test finds it.
        let resource = match FluentResource::try_new(text.to_owned()) {
            Ok(resource) | Err((resource, _)) => resource,
        };
        let mut bundle = FluentBundle::new_concurrent(vec![identifier.clone()]);
        // HTML isolates by `bdi`, where a stranger's text comes in.
        bundle.set_use_isolating(false);
        bundle.add_resource_overriding(resource);
        Self {
            tag,
            identifier,
            bundle,
        }
    }

    /// The text of `key`, or of one of its attributes (`key.attribute`).
    fn find(&self, key: &str, args: &FluentArgs<'_>) -> Option<String> {
        let (message, attribute) = match key.split_once('.') {
            Some((message, attribute)) => (message, Some(attribute)),
            None => (key, None),
        };
        let message = self.bundle.get_message(message)?;
        let pattern = match attribute {
            Some(name) => message.get_attribute(name)?.value(),
            None => message.value()?,
        };
        let mut wrong = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(args), &mut wrong);
        wrong.is_empty().then(|| text.into_owned())
    }
}

/// A language that pages are written in. Costs nothing to copy.
#[derive(Clone, Copy)]
pub struct Language(&'static Catalogue);

impl Language {
    /// The one that is there for everybody.
    pub fn english() -> Self {
        Self(&CATALOGUES.english)
    }

    /// Every one there is, English first.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = CATALOGUES.others.iter();
        std::iter::once(&CATALOGUES.english).chain(others).map(Self)
    }

    /// What somebody reads best of what there is, by the values of their `Accept-Language` fields
    /// (RFC 9110 section 12.5.4). English where they name nothing that there is.
    pub fn accepted<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let wanted = accept::in_order(values);
        Self::for_any_of(&wanted)
    }

    fn for_any_of(wanted: &[LanguageIdentifier]) -> Self {
        let there: Vec<&LanguageIdentifier> = Self::all().map(|it| &it.0.identifier).collect();
        let best = fluent_langneg::negotiate_languages(
            wanted,
            &there,
            None,
            fluent_langneg::NegotiationStrategy::Filtering,
        );
        let best = best.first().map(|best| (**best).clone());
        Self::all()
            .find(|it| Some(&it.0.identifier) == best.as_ref())
            .unwrap_or_else(Self::english)
    }

    /// `en`
    pub fn tag(self) -> &'static str {
        self.0.tag
    }

    /// The text of `key`.
    pub(super) fn say(self, key: &str) -> String {
        self.put(key, &FluentArgs::new())
    }

    /// The text of `key`, if the catalogues have one: what a page may do without.
    pub(super) fn find(self, key: &str) -> Option<String> {
        self.look_up(key, &FluentArgs::new())
    }

    /// The text of `key`, with a value for each of its names.
    pub(super) fn fill<'a>(self, key: &str, values: &[(&'a str, FluentValue<'a>)]) -> String {
        let values = values.iter().map(|(name, value)| (*name, value.clone()));
        self.put(key, &values.collect())
    }

    /// The text of `key`, with a text in it.
    pub(super) fn with(self, key: &str, name: &str, value: &str) -> String {
        self.fill(key, &[(name, FluentValue::String(Cow::Borrowed(value)))])
    }

    /// The text of `key`, with a number in it, by which its plural goes.
    pub(super) fn count(self, key: &str, count: u64) -> String {
        self.fill(key, &[("count", FluentValue::from(count))])
    }

    fn put(self, key: &str, args: &FluentArgs<'_>) -> String {
        // No page has one: a test shows every page in every language.
        self.look_up(key, args)
            .unwrap_or_else(|| format!("⟦{key}⟧"))
    }

    fn look_up(self, key: &str, args: &FluentArgs<'_>) -> Option<String> {
        #[cfg(test)]
        tests::SAID.with_borrow_mut(|said| said.insert(key.to_owned()));
        let found = self.0.find(key, args);
        found.or_else(|| CATALOGUES.english.find(key, args))
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

#[cfg(test)]
pub(super) mod tests;
