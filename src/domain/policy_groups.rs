//! Our groups in Headscale's policy: a part of its `groups`, between two comments that mark it. What stands
//! outside of them is an administrator's, and stays byte for byte.
//!
//! ```text
//! "groups": {
//!   // headwarden: begin
//!   "group:admins": [
//!     "https://auth.company/application/o/headscale/4f1c@", // ann
//!   ],
//!   // headwarden: end
//!   "group:guests": ["visitor@"],
//! },
//! ```
//!
//! Pure: a text and groups become a text, or a refusal with a name. A group of ours that nobody wants any more
//! goes, unless a rule of the administrator's names it: then it stays and is empty, for Headscale refuses a
//! policy that names a group which is not there.

mod layout;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::group_name::GroupName;
use super::hujson::{Document, HujsonError, Kind};
use layout::{Layout, Region};

/// Longest policy that is read or made: what Headscale itself takes through its API.
pub const LONGEST: usize = 1024 * 1024;
/// The comments around our part, as we write them.
const BEGIN: &str =
    "headwarden: begin (written by Headwarden; changes between these lines are lost)";
const END: &str = "headwarden: end";
/// Most characters of a name in a comment.
const LONGEST_NOTE: usize = 64;

/// Somebody in a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// What Headscale finds them by.
    pub token: String,
    /// How a person calls them, for a comment.
    pub name: String,
}

/// Who is in which group.
pub type Groups = BTreeMap<GroupName, BTreeSet<Member>>;

/// Why a policy cannot have our groups. It is left alone then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error(
        "headscale has no policy, so that every device may reach every other one, and groups would mean nothing: write a policy first"
    )]
    NoPolicy,
    /// Longer than [`LONGEST`].
    #[error("the policy is longer than 1 MiB")]
    TooLong,
    /// It cannot be read.
    #[error("the policy cannot be read: {0}")]
    Unreadable(#[from] HujsonError),
    /// It is a list, or a text.
    #[error("the policy is not an object")]
    NotAnObject,
    /// Nobody knows which one counts.
    #[error("the policy has \"groups\" more than once")]
    GroupsTwice,
    /// It is no object.
    #[error("\"groups\" of the policy is not an object")]
    GroupsNotAnObject,
    /// The comments that mark our part are not one pair in \"groups\".
    #[error("{0}")]
    Markers(&'static str),
    /// An administrator has this one.
    #[error(
        "{0} stands in the policy already, outside of the lines `// headwarden: begin` and `// headwarden: end`: give it another name in policy_sync.groups, or move it between them, where only those stay in it whom headwarden knows"
    )]
    Taken(GroupName),
    /// What was made would mean something else: a mistake of ours.
    #[error("the policy would mean something else than it should")]
    Differs,
}

/// `policy` with `groups` as our part of it, and nothing else changed. The same text, if it says that already.
///
/// # Errors
/// [`Refusal`].
pub fn with_groups(policy: &str, groups: &Groups) -> Result<String, Refusal> {
    if policy.is_empty() {
        return Err(Refusal::NoPolicy);
    }
    if policy.len() > LONGEST {
        return Err(Refusal::TooLong);
    }
    let document = Document::parse(policy)?;
    let layout = Layout::of(&document)?;
    if let Some(taken) = groups
        .keys()
        .find(|name| layout.theirs.contains(name.as_str()))
    {
        return Err(Refusal::Taken(taken.clone()));
    }
    let ours = ours(&document, &layout, groups);
    let made = match &layout.region {
        Some(region) => region.filled(policy, &ours),
        None if ours.is_empty() => policy.to_owned(),
        None => layout.inserted(policy, &ours),
    };
    if made.len() > LONGEST {
        return Err(Refusal::TooLong);
    }
    check(&document, &layout, &made, &ours)?;
    Ok(made)
}

/// The groups that are in our part of `policy` now, with their members' tokens. None if it has no such part,
/// or cannot be read.
pub fn groups_of(policy: &str) -> BTreeMap<String, BTreeSet<String>> {
    let Ok(document) = Document::parse(policy) else {
        return BTreeMap::new();
    };
    let Ok(layout) = Layout::of(&document) else {
        return BTreeMap::new();
    };
    let groups = layout.key.as_ref().and_then(|key| document.value.get(key));
    let members = |name: &String| {
        let list = groups
            .and_then(|groups| groups.get(name))
            .and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let named = layout.ours.iter().map(|name| (name.clone(), members(name)));
    named.collect()
}

/// What is to stand in our part: the groups that are wanted, and empty ones that a rule still names.
fn ours(
    document: &Document<'_>,
    layout: &Layout,
    groups: &Groups,
) -> BTreeMap<String, BTreeSet<Member>> {
    let mut ours: BTreeMap<String, BTreeSet<Member>> = groups
        .iter()
        .map(|(name, members)| (name.to_string(), members.clone()))
        .collect();
    let unwanted = layout.ours.iter().filter(|name| !ours.contains_key(*name));
    let unwanted: Vec<String> = unwanted.cloned().collect();
    if !unwanted.is_empty() {
        let texts = texts(document, layout);
        let named = unwanted.into_iter().filter(|name| is_named(&texts, name));
        ours.extend(named.map(|name| (name, BTreeSet::new())));
    }
    ours
}

/// What stands outside of \"groups\" as a text.
fn texts(document: &Document<'_>, layout: &Layout) -> BTreeSet<String> {
    let groups = layout.groups.clone().unwrap_or_default();
    let outside = document.tokens.iter().enumerate();
    outside
        .filter(|(index, token)| token.kind == Kind::Text && !groups.contains(index))
        .map(|(_, token)| document.said(token))
        .collect()
}

/// Whether one of these is this group, or one with ports behind it.
fn is_named(texts: &BTreeSet<String>, group: &str) -> bool {
    let with_ports = format!("{group}:");
    let next = texts.range(with_ports.clone()..).next();
    texts.contains(group) || next.is_some_and(|text| text.starts_with(&with_ports))
}

/// The result means what the policy meant, with our groups; read anew from its text.
fn check(
    document: &Document<'_>,
    layout: &Layout,
    made: &str,
    ours: &BTreeMap<String, BTreeSet<Member>>,
) -> Result<(), Refusal> {
    let mut meant = document.value.clone();
    let key = layout.key.clone().unwrap_or_else(|| "groups".to_owned());
    if layout.key.is_some() || !ours.is_empty() {
        let object = meant.as_object_mut().ok_or(Refusal::NotAnObject)?;
        let groups = object
            .entry(key)
            .or_insert_with(|| Value::Object(serde_json::Map::new()))
            .as_object_mut()
            .ok_or(Refusal::GroupsNotAnObject)?;
        groups.retain(|name, _| layout.theirs.contains(name));
        for (name, members) in ours {
            let tokens = members
                .iter()
                .map(|member| Value::from(member.token.clone()));
            groups.insert(name.clone(), tokens.collect());
        }
    }
    let read = Document::parse(made).map_err(|_| Refusal::Differs)?;
    if read.value == meant {
        Ok(())
    } else {
        Err(Refusal::Differs)
    }
}

impl Region {
    /// `policy` with other groups between the marks.
    fn filled(&self, policy: &str, ours: &BTreeMap<String, BTreeSet<Member>>) -> String {
        let mut inner = String::new();
        let Style {
            newline,
            indent,
            unit,
        } = &self.style;
        if self.needs_comma && (!ours.is_empty() || self.followed) {
            inner.push_str(newline);
            inner.push_str(indent);
            inner.push(',');
        }
        for (name, members) in ours {
            write_group(&mut inner, (newline, indent, unit), name, members);
        }
        inner.push_str(newline);
        inner.push_str(indent);
        splice(policy, self.inside.clone(), &inner)
    }
}

impl Layout {
    /// `policy` with our part, which it does not have yet, at the beginning of its `groups`.
    fn inserted(&self, policy: &str, ours: &BTreeMap<String, BTreeSet<Member>>) -> String {
        let Style {
            newline,
            indent,
            unit,
        } = &self.style;
        // A line comment would swallow what follows it on its line.
        let mark = |text: &str| {
            if self.line_follows {
                format!("{newline}{indent}// {text}")
            } else {
                format!("{newline}{indent}/* {text} */")
            }
        };
        let mut part = mark(BEGIN);
        for (name, members) in ours {
            write_group(&mut part, (newline, indent, unit), name, members);
        }
        part.push_str(&mark(END));
        if self.groups.is_none() {
            let outer = indent.strip_suffix(unit.as_str()).unwrap_or_default();
            part = format!("{newline}{outer}\"groups\": {{{part}{newline}{outer}}},");
        }
        splice(policy, self.insert_at..self.insert_at, &part)
    }
}

/// How the text around is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Style {
    newline: &'static str,
    /// In front of a group.
    indent: String,
    /// One step further in.
    unit: String,
}

fn write_group(
    out: &mut String,
    (newline, indent, unit): (&str, &str, &str),
    name: &str,
    members: &BTreeSet<Member>,
) {
    // A text that is written to cannot fail.
    let _ = write!(out, "{newline}{indent}{}: [", Value::from(name));
    for member in members {
        let token = Value::from(member.token.as_str());
        let _ = write!(out, "{newline}{indent}{unit}{token},");
        let name = note(&member.name);
        if !name.is_empty() {
            let _ = write!(out, " // {name}");
        }
    }
    if !members.is_empty() {
        let _ = write!(out, "{newline}{indent}");
    }
    out.push_str("],");
}

/// A name that is no more than that in a comment.
fn note(name: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "._@+-".contains(*c);
    name.chars().filter(plain).take(LONGEST_NOTE).collect()
}

fn splice(text: &str, range: std::ops::Range<usize>, middle: &str) -> String {
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    [before, middle, after].concat()
}

#[cfg(test)]
mod tests;
