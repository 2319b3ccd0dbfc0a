use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use fluent_syntax::ast::{
    Attribute, Entry, Expression, InlineExpression, Pattern, PatternElement, Resource,
};

use super::super::text::Person;
use super::*;

thread_local! {
    /// Every key that was looked up.
    pub(in crate::pages) static SAID: RefCell<BTreeSet<String>> = RefCell::default();
}

/// Every key there is.
pub(in crate::pages) fn keys() -> BTreeSet<String> {
    said(ENGLISH.1).into_keys().collect()
}

/// A language in which no text has a letter, but for what pages put into them.
pub(in crate::pages) fn without_letters() -> Language {
    let masked: Vec<String> = ENGLISH.1.lines().map(mask).collect();
    let text: &str = masked.join("\n").leak();
    let catalogue = Catalogue::read(("x-none", text));
    Language(Box::leak(Box::new(catalogue)))
}

/// A line of a catalogue, its text in dots.
fn mask(line: &str) -> String {
    let texts = [" = ", "] "].map(|before| line.find(before).map(|at| at + before.len()));
    let Some(from) = texts.into_iter().flatten().min() else {
        return line.to_owned();
    };
    let (before, text) = line.split_at(from);
    let mut depth = 0;
    let dot = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c.is_alphabetic() && depth == 0 {
            '·'
        } else {
            c
        }
    };
    before.chars().chain(text.chars().map(dot)).collect()
}

/// What a catalogue says: each message and attribute, with the names that are put in.
type Said = BTreeMap<String, BTreeSet<String>>;

fn parsed(text: &'static str) -> Resource<&'static str> {
    fluent_syntax::parser::parse(text).unwrap_or_else(|(_, errors)| panic!("{errors:?}"))
}

fn said(text: &'static str) -> Said {
    let mut said = Said::new();
    for entry in parsed(text).body {
        let Entry::Message(message) = entry else {
            continue;
        };
        let key = message.id.name;
        let value = message.value.expect("a message says something itself");
        assert_eq!(
            said.insert(key.to_owned(), names(&value)),
            None,
            "{key} twice"
        );
        for Attribute { id, value } in message.attributes {
            let key = format!("{key}.{}", id.name);
            assert_eq!(said.insert(key.clone(), names(&value)), None, "{key} twice");
        }
    }
    said
}

fn names(pattern: &Pattern<&str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for element in &pattern.elements {
        if let PatternElement::Placeable { expression } = element {
            match expression {
                Expression::Inline(inline) => inline_name(inline, &mut found),
                Expression::Select { selector, variants } => {
                    inline_name(selector, &mut found);
                    for variant in variants {
                        found.extend(names(&variant.value));
                    }
                }
            }
        }
    }
    found
}

fn inline_name(expression: &InlineExpression<&str>, found: &mut BTreeSet<String>) {
    match expression {
        InlineExpression::VariableReference { id } => drop(found.insert(id.name.to_owned())),
        other => panic!("{other:?}: a catalogue has texts and names, and nothing else"),
    }
}

#[test]
fn every_language_says_exactly_what_english_does_with_the_same_names_in_it() {
    let english = said(ENGLISH.1);
    assert!(english.len() > 100, "{}", english.len());
    for (tag, text) in OTHERS {
        let other = said(text);
        let differs = |(key, names): &(&String, &BTreeSet<String>)| other.get(*key) != Some(names);
        let lacks: Vec<_> = english.iter().filter(differs).collect();
        let extra: Vec<_> = other
            .keys()
            .filter(|key| !english.contains_key(*key))
            .collect();
        assert_eq!((lacks, extra), (vec![], vec![]), "{tag}");
    }
}

#[test]
fn every_catalogue_is_read_whole_and_holds_no_markup() {
    for (tag, text) in OTHERS.iter().copied().chain([ENGLISH]) {
        let said = said(text);
        let language = Language::all()
            .find(|it| it.tag() == tag)
            .expect("it is there");
        for key in said.keys() {
            let (message, attribute) = key.split_once('.').unwrap_or((key, ""));
            let message = language.0.bundle.get_message(message).expect("it was read");
            assert!(
                attribute.is_empty() || message.get_attribute(attribute).is_some(),
                "{key}"
            );
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let markup = line
                .replace("->", "")
                .contains(['<', '>', '\u{1}', '\u{2}'])
                || line.contains("&#");
            assert!(!markup, "{tag}: {line}");
        }
    }
}

#[test]
fn every_file_beside_english_is_a_language() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/pages/texts");
    let mut files: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut tags: Vec<String> = Language::all()
        .map(|it| format!("{}.ftl", it.tag()))
        .collect();
    tags.sort();
    assert_eq!(files, tags);
}

#[test]
fn the_language_is_the_best_that_there_is_of_what_somebody_reads() {
    for (values, tag) in [
        (&[][..], "en"),
        (&["de"], "de"),
        (&["en"], "en"),
        (&["de-DE,de;q=0.9,en;q=0.8"], "de"),
        (&["de-AT"], "de"),
        (&["DE-ch"], "de"),
        (&["en-GB,en;q=0.9,de;q=0.8"], "en"),
        (&["en;q=0.5, de;q=0.7"], "de"),
        (&["fr-FR, fr;q=0.9, de;q=0.4"], "de"),
        (&["fr", "de;q=0.1"], "de"),
        (&["fr"], "en"),
        (&["de;q=0, en"], "en"),
        (&["de;q=0"], "en"),
        (&["de;q=0.000, fr"], "en"),
        (&["*"], "en"),
        (&["de;q=0.5, *"], "de"),
        (&["de; Q=1.000"], "de"),
        (&["de;q=1.001"], "en"),
        (&["de;q=2"], "en"),
        (&["de;q=-1"], "en"),
        (&["de;q=0.1234"], "en"),
        (&["de;level=1"], "en"),
        (&["de;"], "de"),
        (&["", ",,", ";", "q=1"], "en"),
        (&["../../etc/passwd"], "en"),
        (&["de\u{0}"], "en"),
    ] {
        assert_eq!(
            Language::accepted(values.iter().copied()).tag(),
            tag,
            "{values:?}"
        );
    }
    let long = format!("{}de", "fr,".repeat(1 << 20));
    assert_eq!(
        Language::accepted([long.as_str()]).tag(),
        "en",
        "nobody reads a million languages"
    );
}

#[test]
fn counts_have_the_plural_of_their_language() {
    let all: Vec<Language> = Language::all().collect();
    let minutes = |count: u64| std::time::Duration::from_secs(count * 60);
    for (count, english, german) in [
        (0, "just now", "gerade eben"),
        (1, "1 minute ago", "vor 1 Minute"),
        (2, "2 minutes ago", "vor 2 Minuten"),
        (60, "1 hour ago", "vor 1 Stunde"),
        (1439, "23 hours ago", "vor 23 Stunden"),
        (1440, "1 day ago", "vor 1 Tag"),
        (14_400, "10 days ago", "vor 10 Tagen"),
    ] {
        assert_eq!(all[0].ago(minutes(count)), english);
        assert_eq!(all[1].ago(minutes(count)), german);
    }
    let at = crate::domain::time::Timestamp::from_unix(1_795_655_109);
    assert_eq!(all[0].date(at), "26 November 2026, 01:05 UTC");
    assert_eq!(all[1].date(at), "26. November 2026, 01:05 Uhr UTC");
}

#[test]
fn what_stands_in_a_sentence_cannot_get_out_of_its_place() {
    let hostile = "\u{1}0\u{2}</bdi><script>{ $who } \u{1}1\u{2}";
    let who = Person {
        name: hostile.to_owned(),
        detail: Some(hostile.to_owned()),
    };
    let html = Language::english().rich("devices.whose", &[("who", Part::Person(&who))]);
    let html = html.to_string();
    assert_eq!(html.matches("<bdi").count(), 2, "{html}");
    assert!(
        !html.contains("<script>") && html.contains("{ $who }"),
        "{html}"
    );
    assert!(
        html.starts_with("They belong to <bdi>\u{1}0\u{2}&#60;/bdi&#62;"),
        "{html}"
    );
}

#[test]
fn what_no_catalogue_says_is_seen() {
    assert_eq!(Language::english().say("no-such-key"), "⟦no-such-key⟧");
    assert_eq!(
        Language::english().say("devices.whose"),
        "⟦devices.whose⟧",
        "a name is missing"
    );
}

/// The lines that say something: each key with its text; attributes by their message.
fn lines(text: &str) -> BTreeMap<String, &str> {
    let mut message = "";
    let mut lines = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, text)) = line.split_once(" = ") else {
            continue;
        };
        if let Some(attribute) = name.trim_start().strip_prefix('.') {
            lines.insert(format!("{message}.{attribute}"), text);
        } else {
            message = name;
            lines.insert(name.to_owned(), text);
        }
    }
    lines
}

#[test]
fn a_text_that_another_language_has_from_english_is_a_name() {
    const NAMES: &[&str] = &[
        "HTTP { $status }",
        "April",
        "August",
        "September",
        "November",
        "Online",
        "Offline",
        "System",
        "Tags",
        "Linux",
        "macOS",
        "Windows",
        "Android",
    ];
    let english = lines(ENGLISH.1);
    assert!(english.len() > 200, "{}", english.len());
    for (tag, text) in OTHERS {
        let copied: Vec<_> = lines(text)
            .into_iter()
            .filter(|(key, text)| english.get(key) == Some(text) && !NAMES.contains(text))
            .collect();
        assert_eq!(copied, vec![], "{tag}");
    }
}
