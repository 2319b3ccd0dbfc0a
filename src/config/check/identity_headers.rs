//! What the upstream of a rule is told about a person.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::file::IdentityHeaders;
use super::super::keys::closest_of;
use super::super::report::Report;
use super::super::settings::WebUi;
use super::Reported;
use crate::domain::identity_field::{
    FieldName, IdentityField, NameFault, Template, TemplateFault, claims, preset, presets,
};

/// Most fields of a rule: more are no head that every server takes.
const MOST_FIELDS: usize = 32;

/// The fields of a rule; none where nothing is written.
pub(super) fn identity_headers(
    key: &str,
    written: Option<IdentityHeaders>,
    report: &mut Report,
) -> Option<Vec<IdentityField>> {
    match written {
        None => Some(Vec::new()),
        Some(IdentityHeaders::Word(word)) if word == "none" => Some(Vec::new()),
        Some(IdentityHeaders::Word(word)) => of_preset(key, &word, report),
        Some(IdentityHeaders::Words(words)) => of_presets(key, words, report),
        Some(IdentityHeaders::Templates(templates)) => of_templates(key, templates, report),
    }
}

fn of_preset(key: &str, word: &str, report: &mut Report) -> Option<Vec<IdentityField>> {
    let fields = preset(word);
    if fields.is_none() {
        let words: Vec<&str> = presets().collect();
        report.refuse_with(
            key,
            "not one of the words this key takes",
            format!(
                "none, {}, or a map of names and templates",
                words.join(", ")
            ),
        );
    }
    fields
}

fn of_presets(
    key: &str,
    words: Vec<Option<String>>,
    report: &mut Report,
) -> Option<Vec<IdentityField>> {
    if words.is_empty() {
        report.refuse_with(key, "an empty list tells nothing", "write none");
        return None;
    }
    let count = words.len();
    let mut seen: Vec<String> = Vec::with_capacity(count);
    let mut all = Vec::new();
    for (index, word) in words.into_iter().enumerate() {
        let key = format!("{key}[{index}]");
        let word = word.unwrap_or_default();
        if seen.contains(&word) {
            report.refuse(&key, "stands in the list already");
        } else if let Some(fields) = of_preset(&key, &word, report) {
            all.extend(fields);
            seen.push(word);
        }
    }
    (seen.len() == count).then_some(all)
}

fn of_templates(
    key: &str,
    templates: BTreeMap<String, Option<String>>,
    report: &mut Report,
) -> Option<Vec<IdentityField>> {
    if templates.is_empty() || templates.len() > MOST_FIELDS {
        let reason = format!("a map of 1 to {MOST_FIELDS} names");
        report.refuse_with(key, reason, "write none to tell nothing");
        return None;
    }
    let count = templates.len();
    let mut fields: Vec<IdentityField> = Vec::with_capacity(count);
    for (name, template) in templates {
        let key = format!("{key}.{name}");
        let twice = fields.iter().any(|field| field.name.is(&name));
        let name = FieldName::parse(&name);
        let template = Template::parse(&template.unwrap_or_default());
        if let Err(fault) = &name {
            report.refuse_with(&key, fault.to_string(), advice(*fault));
        }
        if let Err(fault) = &template {
            report.refuse_with(&key, fault.to_string(), help(fault));
        }
        if twice {
            report.refuse(&key, "the same name in another case");
        } else if let (Ok(name), Ok(template)) = (name, template) {
            fields.push(IdentityField {
                name,
                template,
                also_empty: false,
            });
        }
    }
    (fields.len() == count).then_some(fields)
}

/// Whether anything is told.
pub(super) fn tell_something(written: Option<&IdentityHeaders>) -> bool {
    !matches!(written, None | Some(IdentityHeaders::Word(_)))
        || matches!(written, Some(IdentityHeaders::Word(word)) if word != "none")
}

/// Most bytes of an audience.
const LONGEST_AUDIENCE: usize = 255;

/// The audience of a rule's assertion, if it has one: of several addresses the first, where none is written.
pub(super) fn assertion(
    rule: &str,
    wanted: Option<bool>,
    audience: Option<String>,
    upstream: &Result<Option<WebUi>, Reported>,
    report: &mut Report,
) -> Result<Option<Arc<str>>, Reported> {
    let (key, audience_key) = (
        format!("{rule}.assertion"),
        format!("{rule}.assertion_audience"),
    );
    if wanted != Some(true) {
        if audience.is_some() && !report.is_broken(&key) {
            report.refuse_with(
                &audience_key,
                "means nothing without an assertion",
                "write assertion: true",
            );
            return Err(Reported);
        }
        return Ok(None);
    }
    let upstream = match upstream {
        Err(Reported) => return Err(Reported),
        Ok(None) => {
            let reason = "means nothing without an upstream";
            report.refuse_with(&key, reason, "headscale asks for no assertion");
            return Err(Reported);
        }
        Ok(Some(upstream)) => upstream.origin(),
    };
    let Some(audience) = audience else {
        return Ok(upstream.map(Into::into));
    };
    if (1..=LONGEST_AUDIENCE).contains(&audience.len())
        && audience.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(Some(audience.into()));
    }
    let reason = format!("must be 1 to {LONGEST_AUDIENCE} visible ASCII characters, no blanks");
    report.refuse_with(&audience_key, reason, "for example headplane");
    Err(Reported)
}

/// The claim that is meant by `word`, most likely.
fn closest(word: &str) -> Option<&'static str> {
    let begins = |claim: &&str| word.len() > 2 && claim.starts_with(word);
    claims().find(begins).or_else(|| closest_of(word, claims()))
}

const fn advice(fault: NameFault) -> &'static str {
    match fault {
        NameFault::Spelling => "for example X-Webauth-User",
        NameFault::Standard | NameFault::Origin | NameFault::Ours => {
            "take a name that is the upstream's own, for example X-Webauth-User"
        }
    }
}

fn help(fault: &TemplateFault) -> String {
    let all = || {
        let words: Vec<String> = claims().map(|word| format!("{{{word}}}")).collect();
        words.join(", ")
    };
    match fault {
        TemplateFault::Unknown(word) => match closest(word) {
            Some(closest) => format!("did you mean {{{closest}}}?"),
            None => all(),
        },
        TemplateFault::NoClaim => format!("name one of {}", all()),
        TemplateFault::Separator => "for example {groups:|}".to_owned(),
        TemplateFault::Brace => "a brace that is meant as such is written twice".to_owned(),
        TemplateFault::Text => "values of claims may hold anything, they are encoded".to_owned(),
        TemplateFault::Ambiguous => "for example {name} <{email}>".to_owned(),
    }
}
