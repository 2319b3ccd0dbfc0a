//! The words of pages are those of the catalogue, all of them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_LANGUAGE, VARY};

use super::super::language::tests::{SAID, keys, without_letters};
use super::{ID, Language, all_in, header, html, person};
use crate::domain::policy::Denial;
use crate::domain::session::Browser;
use crate::domain::time::Timestamp;
use crate::domain::username::UsernameError;
use crate::pages::*;

/// What no language says otherwise.
const NAMES: &[&str] = &[
    // An attribute, in a block of its own.
    "class=\"wide\"",
    "ssh",
    "sudo tailscale up --login-server",
    "tailscale up --login-server",
];

/// Attributes that somebody sees or hears.
const SAID_ATTRIBUTES: &[&str] = &[
    "alt",
    "aria-description",
    "aria-label",
    "aria-roledescription",
    "aria-valuetext",
    "data-copied",
    "data-copy",
    "label",
    "placeholder",
    "title",
];

/// Everything with a letter in it that somebody would see or hear of this HTML, names aside.
fn words(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some((text, tag)) = rest.split_once('<') {
        found.push(text.to_owned());
        let (tag, after) = tag.split_once('>').expect("a tag ends");
        found.extend(said_by(tag));
        // What stands in these is for the browser.
        let skipped = ["style", "script"].into_iter().find(|name| tag == *name);
        rest = match skipped {
            Some(name) => after
                .split_once(&format!("</{name}>"))
                .map_or("", |(_, rest)| rest),
            None => after,
        };
    }
    found.push(rest.to_owned());
    let found = found.iter().map(|text| text.trim());
    found
        .filter(|text| text.contains(char::is_alphabetic) && !NAMES.contains(text))
        .map(str::to_owned)
        .collect()
}

fn said_by(tag: &str) -> Vec<String> {
    let value = |name: &&str| {
        let (_, value) = tag.split_once(&format!(" {name}=\""))?;
        Some(value.split('"').next()?.to_owned())
    };
    SAID_ATTRIBUTES.iter().filter_map(value).collect()
}

/// A template without its expressions and statements.
fn bare(template: &str) -> String {
    let mut bare = String::new();
    let mut rest = template;
    while let Some((before, inside)) = rest.split_once('{') {
        bare.push_str(before);
        let end = match inside.chars().next() {
            Some('{') => "}}",
            Some('%') => "%}",
            Some('#') => "#}",
            _ => panic!("a brace alone: {inside}"),
        };
        rest = inside.split_once(end).expect("it ends").1;
    }
    bare + rest
}

#[test]
fn no_template_holds_a_word() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages/templates");
    let mut looked_at = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "html") {
            continue;
        }
        looked_at += 1;
        let template = std::fs::read_to_string(&path).unwrap();
        assert_eq!(words(&bare(&template)), [""; 0], "{}", path.display());
    }
    assert!(looked_at > 15, "{looked_at}");
}

#[test]
fn a_word_in_a_template_is_found_wherever_somebody_sees_or_hears_it() {
    for (template, found) in [
        ("<p>{{ shell.say(\"key\") }}</p>", &[][..]),
        ("<p>Hello, {{ name }}</p>", &["Hello,"]),
        ("{% if a %}Yes{% endif %}", &["Yes"]),
        ("<a href=\"/windows\" title=\"More\">·</a>", &["More"]),
        (
            "<svg aria-label=\"{{ x }} code\"></svg>Ärger",
            &["code", "Ärger"],
        ),
        ("<style>{{ style|safe }} p { color: red }</style>", &[]),
    ] {
        let template = template.replace("{ color: red }", "");
        assert_eq!(words(&bare(&template)), found, "{template}");
    }
}

/// All pages in a language without letters: whatever has some comes from somewhere else.
#[test]
fn no_page_says_a_word_that_is_not_in_the_catalogue() {
    let language = without_letters();
    let theirs = [
        ID,
        "1@acmecorp.net",
        "what-it-calls-itself",
        "sudo tailscale up --login-server 1",
        "tailscale up --login-server 1",
    ];
    let (mut pages, mut dots) = (0, 0);
    for (name, _, _, response) in all_in(language, "1", &[]) {
        pages += 1;
        let html = html(&response);
        dots += html.matches('·').count();
        let mut said = words(html);
        said.retain(|text| !theirs.contains(&text.as_str()));
        assert_eq!(said, [""; 0], "{name}: {html}");
    }
    assert!(pages > 70 && dots > 1000, "{pages} pages, {dots} dots");
}

#[test]
fn no_page_lacks_a_text_in_any_language_and_each_says_which_it_is_in() {
    for language in Language::all() {
        let tag = language.tag();
        for (name, _, _, response) in all_in(language, "x", &[]) {
            let html = html(&response);
            assert!(!html.contains('⟦'), "{tag} {name}: {html}");
            assert!(
                html.contains(&format!("<html lang=\"{tag}\">")),
                "{tag} {name}"
            );
            assert_eq!(header(&response, CONTENT_LANGUAGE), tag, "{name}");
            assert_eq!(header(&response, VARY), "accept-language", "{name}");
        }
    }
}

#[test]
fn every_text_is_on_some_page() {
    SAID.take();
    let language = Language::english();
    let _pages = all_in(language, "x", &[]);
    for month in 0..12 {
        language.date(Timestamp::from_unix(month * 31 * 86_400));
    }
    for minutes in [0, 1, 60, 1440] {
        let time = std::time::Duration::from_secs(minutes * 60);
        let _said = (language.ago(time), language.ahead(time));
    }
    let context = context_in(language);
    let _devices = super::device_pages::of_every_kind(&context);
    for agent in ["Firefox/131.0 (Windows)", "(Windows)"] {
        let _sessions = session_in(&context, agent);
    }
    for error in NAMES_REFUSED {
        denied(&context, Refusal::Username(error), &person("x"), None);
    }
    let said = SAID.take();
    let unused: BTreeSet<String> = keys()
        .into_iter()
        .filter(|key| !said.contains(key))
        .collect();
    assert_eq!(unused, BTreeSet::new());
}

fn session_in(context: &Context<'_>, agent: &str) -> Response<Bytes> {
    let browser = &Browser::new(Ipv4Addr::LOCALHOST.into(), agent);
    let session = OwnSession {
        id: "x",
        is_this: false,
        browser,
        started_at: Timestamp::from_unix(0),
        last_used: Timestamp::from_unix(60),
    };
    let own = OwnSessions {
        who: &person("x"),
        list: &[session],
        token: "x",
        now: Timestamp::from_unix(300),
        refused: false,
    };
    sessions(context, &own)
}

#[test]
fn a_browser_is_told_in_the_language_of_whoever_looks() {
    let german = Language::accepted(["de"]);
    for (agent, english_words, german_words) in [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Safari/604.1",
            "Safari on iPhone",
            "Safari auf iPhone",
        ),
        ("curl/8.5.0", "<h2>curl</h2>", "<h2>curl</h2>"),
        (
            "Mozilla/5.0 (Windows NT 10.0)",
            "A browser on Windows",
            "Ein Browser auf Windows",
        ),
        (
            "<script>",
            "<h2>An unknown browser</h2>",
            "<h2>Ein unbekannter Browser</h2>",
        ),
        (
            "",
            "Signed in on <time datetime=\"1970-01-01T00:00:00Z\">1 January 1970, 00:00 UTC</time>, \
             from <code>127.0.0.1</code>.",
            "Angemeldet am <time datetime=\"1970-01-01T00:00:00Z\">1. Januar 1970, 00:00 Uhr UTC\
             </time>, von <code>127.0.0.1</code>.",
        ),
        (
            "",
            "Last used 4 minutes ago.",
            "Zuletzt verwendet: vor 4 Minuten.",
        ),
    ] {
        for (language, words) in [(Language::english(), english_words), (german, german_words)] {
            let response = session_in(&context_in(language), agent);
            let html = html(&response);
            assert!(html.contains(words), "{words} in {html}");
        }
    }
}

fn context_in(language: Language) -> Context<'static> {
    Context {
        site: "x",
        support_id: "k7rd2m9x",
        form_action: &[],
        language,
        shows_devices: true,
    }
}

const NAMES_REFUSED: &[UsernameError] = &[
    UsernameError::Missing,
    UsernameError::TooShort,
    UsernameError::FirstNotLetter,
    UsernameError::Character('<'),
    UsernameError::SecondAt,
    UsernameError::FinalAt,
];

#[test]
fn whoever_is_refused_for_a_name_hears_the_rule_as_the_log_has_it() {
    for error in NAMES_REFUSED {
        let sentence = Refusal::Username(error).sentence();
        let rule = format!("Headscale cannot use your user name: {error}.");
        assert_eq!(sentence, rule);
    }
    let unseen = Refusal::Username(&UsernameError::Character('\u{202e}')).sentence();
    assert!(unseen.contains(r"'\u{202e}'"), "{unseen}");
}

/// What the page says to programs is English, whoever looks.
#[test]
fn a_refusal_is_told_in_the_language_of_whoever_looks_and_to_programs_in_english() {
    let context = context_in(Language::accepted(["de"]));
    let denial = Denial::Group { has: vec![] };
    let refusal = Refusal::Rule(&denial);
    let page = denied(&context, refusal, &person("mia"), None);
    let page = html(&page);
    for part in [
        "<html lang=\"de\">",
        "Sie haben keinen Zugriff",
        "in keiner der Gruppen",
        "Kennung für Rückfragen <code>k7rd2m9x</code>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(refusal.sentence().contains("in none of the groups"));
}

#[test]
fn pages_of_somebody_who_is_signed_in_lead_to_the_others_and_say_where_one_is() {
    let pages = all_in(Language::english(), "x", &[]);
    let page = |name: &str| {
        let found = pages.iter().find(|(other, ..)| *other == name);
        let (head, _) = html(found.map(|(.., response)| response).unwrap())
            .split_once("<main>")
            .unwrap();
        head.split_once("</style>").unwrap().1.to_owned()
    };
    let way = |href: &str, current: &str, text: &str| {
        format!("<a href=\"/.headwarden/{href}\"{current}>{text}</a>")
    };
    let here = |text: &str| format!("<span aria-current=\"page\">{text}</span>");
    let near = " aria-current=\"true\"";
    let sessions = way("sessions", "", "Sessions");
    let (devices, near_devices) = (
        way("devices", "", "Devices"),
        way("devices", near, "Devices"),
    );
    let out = way("logout", "", "Sign out");
    for (name, ways) in [
        ("devices", [&here("Devices"), &sessions, &out]),
        ("no devices yet", [&here("Devices"), &sessions, &out]),
        ("another's devices", [&near_devices, &sessions, &out]),
        ("people", [&near_devices, &sessions, &out]),
        ("ask removal", [&near_devices, &sessions, &out]),
        ("add", [&near_devices, &sessions, &out]),
        ("add only", [&here("Add a device"), &sessions, &out]),
        ("away", [&near_devices, &sessions, &out]),
        ("sessions", [&devices, &here("Sessions"), &out]),
        ("sign out", [&devices, &sessions, &here("Sign out")]),
        ("page", [&devices, &sessions, &out]),
    ] {
        let head = page(name);
        for way in ways {
            assert_eq!(
                head.matches(way.as_str()).count(),
                1,
                "{name}: {way} in {head}"
            );
        }
        assert_eq!(head.matches("<li>").count(), 3, "{name}: {head}");
    }
    // Nobody is signed in there, or something else is asked just now.
    for name in [
        "group",
        "username",
        "sign out, unknown",
        "signed out",
        "register",
        "ssh",
        "failed",
        "not found",
        "step-up",
    ] {
        assert!(!page(name).contains("<nav"), "{name}");
    }
}
