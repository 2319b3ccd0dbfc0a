//! Sentences with markup in them. A catalogue says where in the sentence a part stands and what it is
//! called; what kind of element that is is decided here, and everything in it is escaped.

use askama::filters::{Html, Safe, escape};

use super::super::text::Person;
use super::Language;

/// Stand around a part's number while a sentence is put together. Catalogues have no such characters, and
/// no value of a stranger is in the sentence yet.
const OPENS: char = '\u{1}';
const CLOSES: char = '\u{2}';

/// Text that is HTML already.
pub(in super::super) type Markup = Safe<String>;

/// What stands in a sentence.
#[derive(Clone, Copy)]
pub(in super::super) enum Part<'a> {
    /// What somebody is called, and what tells them apart.
    Person(&'a Person),
    /// What stands on a screen letter by letter.
    Code(&'a str),
    /// A way elsewhere.
    Link {
        /// Where it leads.
        href: &'a str,
        /// What it says.
        text: &'a str,
    },
    /// A time.
    Time {
        /// For programs (RFC 3339).
        machine: &'a str,
        /// As it is said.
        words: &'a str,
    },
}

impl Language {
    /// The sentence `key` with these parts in it.
    pub(in super::super) fn rich(self, key: &str, parts: &[(&str, Part<'_>)]) -> Markup {
        let marks: Vec<String> = (0..parts.len())
            .map(|at| format!("{OPENS}{at}{CLOSES}"))
            .collect();
        let values: Vec<(&str, fluent_bundle::FluentValue<'_>)> = parts
            .iter()
            .zip(&marks)
            .map(|((name, _), mark)| (*name, mark.as_str().into()))
            .collect();
        let sentence = self.fill(key, &values);
        let mut html = String::new();
        for piece in sentence.split(OPENS) {
            let (part, text) = match piece.split_once(CLOSES) {
                Some((at, text)) => (at.parse().ok().and_then(|at: usize| parts.get(at)), text),
                None => (None, piece),
            };
            if let Some((_, part)) = part {
                part.write(&mut html);
            }
            html.push_str(&escaped(text));
        }
        Safe(html)
    }
}

impl Part<'_> {
    fn write(self, html: &mut String) {
        let piece = match self {
            Self::Person(person) => {
                let name = format!("<bdi>{}</bdi>", escaped(&person.name));
                match &person.detail {
                    Some(detail) => {
                        format!("{name} <bdi class=\"detail\">{}</bdi>", escaped(detail))
                    }
                    None => name,
                }
            }
            Self::Code(text) => format!("<code>{}</code>", escaped(text)),
            Self::Link { href, text } => {
                format!("<a href=\"{}\">{}</a>", escaped(href), escaped(text))
            }
            Self::Time { machine, words } => {
                let machine = escaped(machine);
                format!("<time datetime=\"{machine}\">{}</time>", escaped(words))
            }
        };
        html.push_str(&piece);
    }
}

fn escaped(text: &str) -> String {
    // It cannot fail.
    escape(text, Html).map_or_else(|never| match never {}, |text| text.to_string())
}
