//! The `open` section: paths that nobody is asked at.

use super::super::super::file::List;
use super::super::super::report::Report;
use super::super::super::settings::{Access, Settings};
use super::super::Checks;
use super::super::values::texts;
use crate::domain::access::path_matches;
use crate::domain::door::{self, Asked, Door, Guarded, OpenPath};
use crate::domain::path::Target;

/// A method and an exact path, as in `GET /logo.png`. Only what would be a guarded
/// page can be opened, and only for reading.
pub(in super::super) fn open(list: List<String>, checks: &mut Checks<'_>) -> Option<Vec<OpenPath>> {
    let entries = texts("open", list, &mut checks.report)?;
    let count = entries.len();
    let opened: Vec<OpenPath> = entries
        .into_iter()
        .enumerate()
        .filter_map(|(index, entry)| {
            let parsed = opened(&entry);
            if let Err((reason, hint)) = parsed {
                checks
                    .report
                    .refuse_with(&format!("open[{index}]"), reason, hint);
            }
            parsed.ok()
        })
        .collect();
    (opened.len() == count).then_some(opened)
}

fn opened(entry: &str) -> Result<OpenPath, (&'static str, &'static str)> {
    let Some(("GET", path)) = entry.split_once(' ') else {
        return Err((
            "must be GET, a blank and a path",
            "for example: GET /logo.png",
        ));
    };
    if path.contains('*') {
        return Err(("opens one path only", "no star; name each path"));
    }
    let target = Target::parse(path.as_bytes())
        .ok()
        .filter(|target| target.query().is_none());
    let Some(target) = target else {
        return Err((
            "is no canonical path",
            "name one exact path, without query, * or escapes",
        ));
    };
    let asked = Asked {
        method: "GET",
        target: &target,
        upgrade: None,
    };
    match door::decide(&asked, &[]) {
        Door::Guarded(Guarded::Page) => Ok(OpenPath {
            method: "GET".to_owned(),
            path: path.to_owned(),
        }),
        _ => Err((
            "cannot be opened",
            "another door decides there, or nobody may pass",
        )),
    }
}

/// An opened path below a rule that asks for something, or that means other methods: whoever wrote it may have
/// forgotten that.
pub(in super::super) fn warn_opened(settings: &Settings, report: &mut Report) {
    for open in &settings.open {
        let about = |rule: &&Access| path_matches(&rule.path, &open.path);
        let mut rules = settings.access.iter().filter(about);
        let rule = rules.clone().find(|rule| rule.methods.has("GET"));
        if rule.is_none() && rules.next().is_some() {
            report.warn(
                "open",
                format!(
                    "{} is answered with 405: the access rules for it are about other methods",
                    open.path
                ),
            );
        }
        let asks = |it: &&Access| !it.demands.is_nothing() || !it.assurance.asks_nothing();
        if let Some(rule) = rule.filter(asks) {
            report.warn(
                "open",
                format!(
                    "{} needs no session, although the access rule for {} asks for more than one",
                    open.path, rule.path
                ),
            );
        }
    }
}
