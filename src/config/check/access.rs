//! Rules for browser paths: patterns, where they lead, and rules that never get a turn.

use super::super::file::{self, List};
use super::super::report::Report;
use super::super::settings::{Access, Settings};
use super::assurance::{self, assurance};
use super::headscale::path_if;
use super::identity_headers::{assertion, identity_headers};
use super::values::{self, texts};
use super::{Checks, Reported};
use crate::domain::access::path_matches;
use crate::domain::door::{self, Asked, Door, Guarded, OpenPath};
use crate::domain::path::Target;

/// What a rule cannot govern: other doors decide there, before any rule is looked at.
const NOT_OURS: &[&str] = &[
    "/.headwarden",
    "/bootstrap-dns",
    "/debug",
    "/derp",
    "/generate_204",
    "/health",
    "/key",
    "/machine",
    "/metrics",
    "/oidc",
    "/ts2021",
    "/verify",
];

/// Where a role decides, or a key of one's own. A rule can ask a session there for a recent or a
/// stronger sign-in, and for nothing else.
const APIS: &[&str] = &["/api/v1", "/api/v2"];

/// What only Headscale can answer.
const HEADSCALES: &[&str] = &["/auth", "/register"];

/// The `access` section.
pub(super) fn access(list: List<file::Access>, checks: &mut Checks<'_>) -> Option<Vec<Access>> {
    let list = list.unwrap_or_default();
    let count = list.len();
    let mut rules: Vec<Access> = Vec::with_capacity(count);
    for (index, entry) in list.into_iter().enumerate() {
        let key = format!("access[{index}]");
        rules.extend(rule(&key, entry.unwrap_or_default(), checks));
    }
    warn_covered(&rules, &mut checks.report);
    (rules.len() == count && !checks.report.is_broken("access")).then_some(rules)
}

/// The `open` section: a method and an exact path, as in `GET /logo.png`. Only what would be a guarded
/// page can be opened, and only for reading.
pub(super) fn open(list: List<String>, checks: &mut Checks<'_>) -> Option<Vec<OpenPath>> {
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

fn rule(key: &str, entry: file::Access, checks: &mut Checks<'_>) -> Option<Access> {
    let upstream_key = format!("{key}.upstream");
    let ca_path = path_if(&format!("{key}.ca_path"), entry.ca_path, checks);
    let report = &mut checks.report;
    let written = assurance::Written {
        max_age: entry.max_auth_age,
        acr: entry.acr,
        amr: entry.amr,
    };
    let asks = written.max_age.is_some() || written.acr.is_some() || written.amr.is_some();
    let means = Means {
        elsewhere: entry.upstream.is_some(),
        a_sign_in_alone: asks
            && entry.upstream.is_none()
            && entry.groups.is_none()
            && entry.users.is_none()
            && entry.identity_headers.is_none()
            && entry.assertion.is_none(),
    };
    let path = path(&format!("{key}.path"), entry.path, means, report);
    let asked = assurance(
        written,
        &assurance::Keys {
            max_age: &format!("{key}.max_auth_age"),
            acr: &format!("{key}.acr"),
            amr: &format!("{key}.amr"),
        },
        report,
    );
    let upstream = match (entry.upstream, ca_path) {
        (None, Ok(None)) => Some(None),
        (_, Err(Reported)) => None,
        (None, Ok(Some(_))) => {
            report.refuse(
                &format!("{key}.ca_path"),
                "means nothing without an upstream",
            );
            None
        }
        (Some(text), Ok(ca_path)) => {
            values::upstream(&upstream_key, &text, ca_path, report).map(Some)
        }
    };
    let groups = texts(&format!("{key}.groups"), entry.groups, report);
    let users = texts(&format!("{key}.users"), entry.users, report);
    let identity_headers = identity_headers(
        &format!("{key}.identity_headers"),
        entry.identity_headers,
        report,
    );
    let assertion = assertion(
        key,
        entry.assertion,
        entry.assertion_audience,
        &upstream,
        report,
    );
    Some(Access {
        path: path?,
        upstream: upstream?,
        groups: groups?,
        users: users?,
        assurance: asked?,
        identity_headers: identity_headers?,
        assertion: assertion?,
    })
}

/// What else a rule says.
#[derive(Clone, Copy)]
struct Means {
    /// It has an upstream of its own.
    elsewhere: bool,
    /// It asks for a sign-in of some kind, and says nothing else.
    a_sign_in_alone: bool,
}

fn path(key: &str, text: Option<String>, means: Means, report: &mut Report) -> Option<String> {
    let Some(text) = text else {
        report.refuse_with(key, "is required", "for example /admin/**");
        return None;
    };
    if let Some((reason, hint)) = mistake(&text) {
        report.refuse_with(key, reason, hint);
        return None;
    }
    let below = |tops: &[&str]| {
        let path = head(&text);
        tops.iter().any(|top| {
            path.strip_prefix(top)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    if below(NOT_OURS) {
        report.refuse_with(
            key,
            "no rule is looked at for this path",
            "machines and Headwarden's own pages have fixed doors",
        );
        return None;
    }
    if below(APIS) && !means.a_sign_in_alone {
        report.refuse_with(
            key,
            "on the API a rule can ask for max_auth_age, acr and amr only",
            "who may use it is in the api section",
        );
        return None;
    }
    if means.elsewhere && below(HEADSCALES) {
        report.refuse_with(
            key,
            "only Headscale can answer here",
            "remove the rule's upstream",
        );
        return None;
    }
    Some(text)
}

/// What is wrong with a pattern: it must have one meaning, and be one that a canonical path can
/// match.
fn mistake(pattern: &str) -> Option<(&'static str, &'static str)> {
    let example = "for example /admin/** (all below), /web/* (one segment), /page (exactly)";
    let Some(rest) = pattern.strip_prefix('/') else {
        return Some(("must begin with /", example));
    };
    let wild = matches!(rest.rsplit('/').next(), Some("*" | "**"));
    let body = if wild {
        format!("{}/x", head(pattern))
    } else {
        pattern.to_owned()
    };
    if body.contains('*') {
        Some(("`*` stands only as the last segment, /* or /**", example))
    } else if body.contains("//") || body.split('/').any(|segment| matches!(segment, "." | "..")) {
        Some(("empty and dot segments never match", example))
    } else if body.contains(|c: char| !c.is_ascii_graphic() || "%?#;\\\"<>".contains(c)) {
        Some((
            "a character that is not plain in a path",
            "use /** above it",
        ))
    } else {
        None
    }
}

/// The pattern without its last `/*` or `/**`.
fn head(pattern: &str) -> &str {
    pattern
        .strip_suffix("/**")
        .or_else(|| pattern.strip_suffix("/*"))
        .unwrap_or(pattern)
}

/// Whether every path that `later` matches is matched by `earlier`.
fn covers(earlier: &str, later: &str) -> bool {
    let below = |path: &str, top: &str| {
        path.strip_prefix(top)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if earlier.ends_with("/**") {
        below(head(later), head(earlier))
    } else if earlier.ends_with("/*") && !later.ends_with('*') {
        later
            .strip_prefix(head(earlier))
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|segment| !segment.is_empty() && !segment.contains('/'))
    } else {
        earlier == later
    }
}

fn warn_covered(rules: &[Access], report: &mut Report) {
    for (index, later) in rules.iter().enumerate() {
        if let Some(earlier) = rules
            .iter()
            .take(index)
            .find(|rule| covers(&rule.path, &later.path))
        {
            report.warn(
                "access",
                format!(
                    "the rule for {} is never reached: the one for {} stands before it and the \
                     first match wins",
                    later.path, earlier.path
                ),
            );
        }
    }
}

/// An opened path below a rule that asks for something: whoever wrote it may have forgotten that.
pub(super) fn warn_opened(settings: &Settings, report: &mut Report) {
    for open in &settings.open {
        let rule = settings
            .access
            .iter()
            .find(|rule| path_matches(&rule.path, &open.path));
        let asks = |it: &&Access| {
            !it.groups.is_empty() || !it.users.is_empty() || !it.assurance.asks_nothing()
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_one_meaning_or_is_refused() {
        for good in [
            "/", "/a", "/a/b", "/a/*", "/a/**", "/*", "/**", "/a.b/c~d", "/a/",
        ] {
            assert_eq!(mistake(good), None, "{good}");
        }
        for bad in [
            "", "a", "a/**", "/*/a", "/**/a", "/a*", "/a/b*", "/a/***", "//", "//a", "/a//b",
            "/a/../b", "/./a", "/a/..", "/a/..", "/a%2fb", "/a?b", "/a#b", "/a;b", "/a\\b", "/a b",
            "/ä", "/a//**", "/../**",
        ] {
            assert!(mistake(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_rule_covers_what_it_matches_completely() {
        for (earlier, later, expected) in [
            ("/**", "/a", true),
            ("/**", "/a/**", true),
            ("/a/**", "/a", true),
            ("/a/**", "/a/*", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/a/**", "/**", false),
            ("/a/b/**", "/a/**", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/b/c", false),
            ("/a/*", "/a", false),
            ("/a/*", "/a/*", true),
            ("/a/*", "/a/**", false),
            ("/a", "/a", true),
            ("/a", "/a/**", false),
            ("/a", "/a/b", false),
        ] {
            assert_eq!(covers(earlier, later), expected, "{earlier} {later}");
        }
    }
}
