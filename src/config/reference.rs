//! What people and editors are told about the keys: the tables of `docs/configuration.md` and the JSON
//! Schema are made of this. What the program needs to know of a key is in [`super::keys`]; that every
//! key there has its entry here, and no other, the compiler sees to.

mod api;
mod browser_paths;
mod headscale;
mod limits;
mod offboarding;
mod own_side;
mod policy_sync;
mod provider;
mod schema;
mod sessions;

use super::keys::KEYS;

pub use schema::schema;

/// The keys of a table, in its order.
pub(super) struct Section {
    /// The heading that the table stands under.
    heading: &'static str,
    entries: &'static [Entry],
}

/// One key.
pub(super) struct Entry {
    /// As in [`KEYS`].
    key: &'static str,
    default: Default,
    allowed: Allowed,
    /// A value that is accepted, in YAML on one line.
    example: &'static str,
    /// What it does, in Markdown on one line; links begin in `docs/`.
    meaning: &'static str,
}

/// What counts where the key is absent.
pub(super) enum Default {
    /// There is none.
    Required,
    /// This value, in YAML on one line.
    Is(&'static str),
    /// What no value says, in Markdown.
    Told(&'static str),
}

/// Which values of its kind a key takes.
pub(super) enum Allowed {
    /// What its meaning says.
    Any,
    /// These texts and no others.
    OneOf(&'static [&'static str]),
}

const SECTIONS: &[Section] = &[
    own_side::SECTION,
    headscale::SECTION,
    provider::SECTION,
    sessions::SECTION,
    browser_paths::SECTION,
    api::SECTION,
    offboarding::SECTION,
    policy_sync::SECTION,
    limits::SECTION,
];

/// Runs while this is compiled.
const _: () = {
    let mut keys = KEYS;
    while let [(key, _), rest @ ..] = keys {
        must(
            times(key) == 1,
            "a key of config/keys.rs needs an entry in config/reference, one",
            key,
        );
        keys = rest;
    }
    let mut sections = SECTIONS;
    while let [section, rest @ ..] = sections {
        let mut entries = section.entries;
        while let [entry, rest @ ..] = entries {
            must(
                is_key(entry.key),
                "config/keys.rs has no such key",
                entry.key,
            );
            entries = rest;
        }
        sections = rest;
    }
};

#[expect(clippy::panic, reason = "this is how a constant tells the compiler")]
const fn must(holds: bool, what: &'static str, key: &'static str) {
    if !holds {
        // The compiler shows the arguments of the call, and with them the reason.
        let _ = what;
        panic!("{}", key);
    }
}

/// How many entries there are for `key`.
const fn times(key: &str) -> usize {
    let mut count = 0;
    let mut sections = SECTIONS;
    while let [section, rest @ ..] = sections {
        let mut entries = section.entries;
        while let [entry, rest @ ..] = entries {
            if same(entry.key, key) {
                count += 1;
            }
            entries = rest;
        }
        sections = rest;
    }
    count
}

const fn is_key(wanted: &str) -> bool {
    let mut keys = KEYS;
    while let [(key, _), rest @ ..] = keys {
        if same(key, wanted) {
            return true;
        }
        keys = rest;
    }
    false
}

const fn same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    while let ([a, rest @ ..], [b, others @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (rest, others);
    }
    true
}

/// The entry of a key of the table.
fn entry(key: &str) -> Option<&'static Entry> {
    let mut all = SECTIONS.iter().flat_map(|section| section.entries);
    all.find(|entry| entry.key == key)
}

/// `document` with the rows of its tables made anew: of each table of keys that stands under the heading
/// of a section. What stands around them is left alone.
pub fn with_tables(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    let mut section = None;
    let mut in_table = false;
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = SECTIONS.iter().find(|section| section.heading == heading);
        }
        if in_table && line.starts_with('|') {
            continue;
        }
        in_table = false;
        out.push_str(line);
        out.push('\n');
        if line == HEADER
            && let Some(section) = section.take()
        {
            in_table = true;
            out.push_str("|---|---|---|\n");
            out.extend(section.entries.iter().map(Entry::row));
        }
    }
    out
}

const HEADER: &str = "| key | default | meaning |";

impl Entry {
    fn row(&self) -> String {
        let default = match self.default {
            Default::Required => "required".to_owned(),
            Default::Is(value) => format!("`{value}`"),
            Default::Told(text) => text.to_owned(),
        };
        let blank = if default.is_empty() { "" } else { " " };
        format!("| `{}` |{blank}{default} | {} |\n", self.key, self.meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::{decode, tree};
    use super::super::keys::{self, Kind};
    use super::*;

    #[test]
    fn every_example_and_default_is_a_value_that_its_key_takes() {
        for entry in SECTIONS.iter().flat_map(|section| section.entries) {
            let kind = keys::kind(entry.key).unwrap();
            let default = match entry.default {
                Default::Is(value) => Some(value),
                Default::Required | Default::Told(_) => None,
            };
            for written in default.into_iter().chain([entry.example]) {
                let value = schema::value(kind, written);
                let (_, offenders) = decode(tree(entry.key, value.clone()));
                assert!(offenders.is_empty(), "{}: {written}", entry.key);
                if let Allowed::OneOf(texts) = entry.allowed {
                    assert!(texts.contains(&value.as_str().unwrap()), "{}", entry.key);
                    assert_eq!(kind, Kind::Text, "{}", entry.key);
                }
            }
            assert!(
                !entry.example.is_empty() && !entry.meaning.is_empty(),
                "{}",
                entry.key
            );
            let told = [entry.meaning, entry.example];
            assert!(
                !told.iter().any(|text| text.contains(['|', '\n'])),
                "{}",
                entry.key
            );
        }
    }

    #[test]
    fn only_the_rows_of_tables_of_keys_are_made_anew() {
        let document = "# X\n\n| key | default | meaning |\n|---|---|---|\n| a | b | c |\n\n\
                        ## Headscale's API\n\ntext | text\n\n| key | default | meaning |\n|---|---|---|\n\
                        | `api.old` | x | y |\n\ntext\n\n| other | table |\n|---|---|\n| a | b |\n";
        let made = with_tables(document);
        assert!(
            made.contains("| a | b | c |\n")
                && made.contains("| other | table |\n|---|---|\n| a | b |\n")
        );
        assert!(!made.contains("api.old"));
        assert!(made.contains("| `api.bearer` | `allow` | "), "{made}");
        assert_eq!(with_tables(&made), made);
    }
}
