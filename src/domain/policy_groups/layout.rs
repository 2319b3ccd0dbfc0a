//! Where our part is in a policy, or where it would be.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::super::hujson::{Document, Kind, Token};
use super::{Refusal, Style};

/// What a policy's `groups` look like.
#[derive(Debug)]
pub(super) struct Layout {
    /// How the key is spelled: Headscale does not look at its case.
    pub(super) key: Option<String>,
    /// The tokens of the object, brackets included.
    pub(super) groups: Option<Range<usize>>,
    /// Names outside of our part.
    pub(super) theirs: BTreeSet<String>,
    /// Names in it.
    pub(super) ours: BTreeSet<String>,
    /// Our part, where there is one.
    pub(super) region: Option<Region>,
    /// Where it would begin otherwise.
    pub(super) insert_at: usize,
    /// Whether a line ends there.
    pub(super) line_follows: bool,
    pub(super) style: Style,
}

/// Our part.
#[derive(Debug)]
pub(super) struct Region {
    /// Between the two comments.
    pub(super) inside: Range<usize>,
    /// A value stands before it, and no comma.
    pub(super) needs_comma: bool,
    /// Something of the object stands behind it.
    pub(super) followed: bool,
    pub(super) style: Style,
}

/// The comments around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Begin,
    End,
}

impl Layout {
    pub(super) fn of(document: &Document<'_>) -> Result<Self, Refusal> {
        if !document.value.is_object() {
            return Err(Refusal::NotAnObject);
        }
        let root = first_bracket(document).ok_or(Refusal::NotAnObject)?;
        let newline = newline(document.text);
        let Some((key, open)) = groups(document)? else {
            return Ok(Self::without_groups(document, root, newline));
        };
        let close = closing(document, open).ok_or(Refusal::GroupsNotAnObject)?;
        let region = region(document, open, close, newline)?;
        let inside = region.as_ref().map(|region| region.inside.clone());
        let (mut theirs, mut ours) = (BTreeSet::new(), BTreeSet::new());
        for (_, token) in keys(document, open..close) {
            let is_ours = inside
                .as_ref()
                .is_some_and(|at| at.contains(&token.at.start));
            let names = if is_ours { &mut ours } else { &mut theirs };
            names.insert(document.said(token));
        }
        let (insert_at, line_follows) = behind(document, open);
        Ok(Self {
            key: Some(key),
            groups: Some(open..close + 1),
            theirs,
            ours,
            region,
            insert_at,
            line_follows,
            style: style(document, open, newline),
        })
    }

    fn without_groups(document: &Document<'_>, root: usize, newline: &'static str) -> Self {
        let (insert_at, _) = behind(document, root);
        let Style { indent, unit, .. } = style(document, root, newline);
        Self {
            key: None,
            groups: None,
            theirs: BTreeSet::new(),
            ours: BTreeSet::new(),
            region: None,
            insert_at,
            line_follows: true,
            style: Style {
                newline,
                indent: format!("{indent}{unit}"),
                unit,
            },
        }
    }
}

fn first_bracket(document: &Document<'_>) -> Option<usize> {
    let mut tokens = document.tokens.iter();
    tokens.position(|token| token.kind == Kind::Open)
}

/// The keys of the object whose tokens these are, its opening bracket first.
fn keys<'a>(
    document: &'a Document<'_>,
    object: Range<usize>,
) -> impl Iterator<Item = (usize, &'a Token)> {
    let depth = document.tokens.get(object.start).map(|open| open.depth + 1);
    let tokens = document.tokens.iter().enumerate();
    let inside = tokens.skip(object.start).take(object.len());
    inside.filter(move |(index, token)| {
        let next = || {
            document
                .next(*index)
                .and_then(|next| document.tokens.get(next))
        };
        token.kind == Kind::Text
            && Some(token.depth) == depth
            && next().is_some_and(|next| next.kind == Kind::Colon)
    })
}

/// The key that Headscale takes for `groups`, and the bracket behind it. It reads keys without regard to their
/// case, to underscores and to hyphens.
fn groups(document: &Document<'_>) -> Result<Option<(String, usize)>, Refusal> {
    let is_groups = |key: &str| {
        let folded: String = key.chars().filter(|c| !matches!(c, '_' | '-')).collect();
        folded.eq_ignore_ascii_case("groups")
    };
    let root = first_bracket(document).unwrap_or_default();
    let found: Vec<(usize, String)> = keys(document, root..document.tokens.len())
        .map(|(index, token)| (index, document.said(token)))
        .filter(|(_, key)| is_groups(key))
        .collect();
    match found.as_slice() {
        [] => Ok(None),
        [(index, key)] => {
            let value = document.next(*index).and_then(|colon| document.next(colon));
            let open = value.filter(|_| document.value.get(key).is_some_and(Value::is_object));
            let open = open.ok_or(Refusal::GroupsNotAnObject)?;
            Ok(Some((key.clone(), open)))
        }
        _ => Err(Refusal::GroupsTwice),
    }
}

/// The bracket that closes the one numbered `open`.
fn closing(document: &Document<'_>, open: usize) -> Option<usize> {
    let depth = document.tokens.get(open)?.depth;
    let rest = document.tokens.iter().enumerate().skip(open);
    let mut closes = rest.filter(|(_, token)| token.kind == Kind::Close && token.depth == depth);
    closes.next().map(|(index, _)| index)
}

fn mark(comment: &str) -> Option<Mark> {
    let text = comment
        .strip_prefix("//")
        .or_else(|| comment.strip_prefix("/*")?.strip_suffix("*/"))?
        .trim();
    let word = text.strip_prefix("headwarden:")?.trim_start();
    let is = |name: &str| {
        let rest = word.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '(']))
    };
    if is("begin") {
        Some(Mark::Begin)
    } else {
        is("end").then_some(Mark::End)
    }
}

/// Our part of the object between these brackets.
fn region(
    document: &Document<'_>,
    open: usize,
    close: usize,
    newline: &'static str,
) -> Result<Option<Region>, Refusal> {
    let inside = document
        .tokens
        .iter()
        .enumerate()
        .skip(open)
        .take(close - open);
    let marks: Vec<(usize, &Token, Mark)> = inside
        .filter(|(_, token)| token.is_comment())
        .filter_map(|(index, token)| Some((index, token, mark(document.of(token))?)))
        .collect();
    let (begin, end) = match marks.as_slice() {
        [] => return Ok(None),
        [(begin, _, Mark::Begin), (end, _, Mark::End)] => (*begin, *end),
        _ => {
            return Err(Refusal::Markers(
                "\"groups\" of the policy needs `// headwarden: begin` and, behind it, `// headwarden: end` once each, or neither",
            ));
        }
    };
    let depth = document.tokens.get(open).map(|open| open.depth + 1);
    let kind_at = |index: Option<usize>| {
        index
            .and_then(|at| document.tokens.get(at))
            .map(|it| it.kind)
    };
    let all_at_depth = marks.iter().all(|(_, token, _)| Some(token.depth) == depth);
    let before = kind_at(document.before(begin));
    let last = kind_at(document.before(end));
    let behind = kind_at(document.next(end));
    let between_groups = all_at_depth
        && before != Some(Kind::Colon)
        && last != Some(Kind::Colon)
        && behind != Some(Kind::Colon)
        && kind_at(document.next(begin)) != Some(Kind::Colon);
    if !between_groups {
        return Err(Refusal::Markers(
            "`// headwarden: begin` and `// headwarden: end` have to stand between groups of the policy, not within one",
        ));
    }
    if behind == Some(Kind::Comma) {
        return Err(Refusal::Markers(
            "a comma stands behind `// headwarden: end` in the policy: put it before that line",
        ));
    }
    let (Some(first), Some(second)) = (document.tokens.get(begin), document.tokens.get(end)) else {
        return Ok(None);
    };
    let line = document.text.get(..first.at.start).unwrap_or_default();
    let line = line.rsplit('\n').next().unwrap_or_default();
    let mut style = style(document, open, newline);
    if line.chars().all(|c| matches!(c, ' ' | '\t')) {
        line.clone_into(&mut style.indent);
    }
    Ok(Some(Region {
        inside: first.at.end..second.at.start,
        needs_comma: matches!(before, Some(Kind::Text | Kind::Word | Kind::Close)),
        followed: behind != Some(Kind::Close),
        style,
    }))
}

/// Where something can be put behind the bracket numbered `open`: at the end of its line, if nothing but
/// comments stands there, or at once. And whether a line ends there.
fn behind(document: &Document<'_>, open: usize) -> (usize, bool) {
    let Some(bracket) = document.tokens.get(open) else {
        return (0, false);
    };
    let at = bracket.at.end;
    let rest = document.text.get(at..).unwrap_or_default();
    let Some(line) = rest
        .find('\n')
        .map(|end| rest.get(..end).unwrap_or_default())
    else {
        return (at, false);
    };
    let line = line.strip_suffix('\r').unwrap_or(line);
    let end = at + line.len();
    let next = document.tokens.iter().skip(open + 1);
    let mut on_this_line = next.take_while(|token| token.at.start < end);
    if on_this_line.all(|token| token.is_comment() && token.at.end <= end) {
        (end, true)
    } else {
        (at, false)
    }
}

fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text.get(..at).is_some_and(|line| line.ends_with('\r')) => "\r\n",
        _ => "\n",
    }
}

/// How the members of the object that the bracket numbered `open` begins are written: as the first one, or
/// two blanks further in than the bracket's line.
fn style(document: &Document<'_>, open: usize, newline: &'static str) -> Style {
    let blank = |line: &str| -> String {
        let blanks = line.chars().take_while(|c| matches!(c, ' ' | '\t'));
        blanks.collect()
    };
    let line_before = |at: usize| {
        let before = document.text.get(..at).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default()
    };
    let bracket = document.tokens.get(open);
    let outer = bracket.map_or_else(String::new, |open| blank(line_before(open.at.start)));
    let depth = bracket.map_or(0, |open| open.depth + 1);
    let unit = if outer.contains('\t') { "\t" } else { "  " };
    let first = document
        .tokens
        .get(open + 1)
        .filter(|first| first.depth == depth);
    let line = first.map(|first| line_before(first.at.start));
    let own_line = line.filter(|line| line.chars().all(|c| matches!(c, ' ' | '\t')));
    let indent = match own_line {
        Some(line) if line.len() > outer.len() => line.to_owned(),
        _ => format!("{outer}{unit}"),
    };
    let step = indent.strip_prefix(outer.as_str()).unwrap_or(unit);
    Style {
        newline,
        unit: step.to_owned(),
        indent,
    }
}
