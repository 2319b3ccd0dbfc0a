//! Groups of the provider's in Headscale's policy.

use std::collections::BTreeMap;

use super::super::file;
use super::super::report::Report;
use super::super::settings::{PolicySync, Settings, SignIn, Store};
use super::files::is_taken;
use super::values::{DAY, MINUTE, SECOND, duration, texts};
use super::{Checks, secrets};
use crate::domain::group_name::{GroupName, GroupSource, GroupSources};

const DEFAULT_STATE: &str = "/var/lib/headwarden/people";
const STATE: &str = "policy_sync.state_path";
const GROUPS: &str = "policy_sync.groups";

/// The `policy_sync` section; a leading slash of a group counts where names are `exact`.
pub(super) fn policy_sync(
    file: file::PolicySync,
    exact: bool,
    checks: &mut Checks<'_>,
) -> Option<PolicySync> {
    let entries = file.groups.unwrap_or_default();
    let count = entries.len();
    let written = file.state_path.is_some();
    let state_path = file.state_path.unwrap_or_else(|| DEFAULT_STATE.to_owned());
    let state_path = secrets::path(STATE, Some(state_path), checks);
    let report = &mut checks.report;
    let mut sources = Vec::with_capacity(count);
    for (index, entry) in entries.into_iter().enumerate() {
        sources.extend(source(index, entry.unwrap_or_default(), report));
    }
    let whole = sources.len() == count && !report.is_broken(GROUPS);
    let sources = GroupSources {
        entries: sources,
        exact,
    };
    check_names(&sources, report);
    let mut time = |key: &str, text: Option<String>, default, bounds| {
        duration(key, text.as_deref(), default, bounds, report)
    };
    let bounds = (30 * SECOND, DAY);
    let interval = time("policy_sync.interval", file.interval, 5 * MINUTE, bounds);
    let bounds = (DAY, 3650 * DAY);
    let forget_after = time(
        "policy_sync.forget_after",
        file.forget_after,
        90 * DAY,
        bounds,
    );
    if count == 0 && (written || file.dry_run.is_some()) && whole {
        report.warn("policy_sync", "does nothing without policy_sync.groups");
    }
    Some(PolicySync {
        sources: whole.then_some(sources)?,
        interval: interval?,
        forget_after: forget_after?,
        dry_run: file.dry_run.unwrap_or(false),
        state_path: state_path?,
    })
}

fn source(index: usize, entry: file::PolicyGroup, report: &mut Report) -> Option<GroupSource> {
    let key = |name: &str| format!("{GROUPS}[{index}].{name}");
    let from = texts(&key("from"), entry.from, report);
    if from.as_ref().is_some_and(Vec::is_empty) {
        report.refuse_with(
            &key("from"),
            "is required",
            "groups of the provider's: [headscale-admins]; a star stands for any characters",
        );
        return None;
    }
    let name = match entry.name {
        None => None,
        Some(text) => {
            let name = GroupName::parse(&text);
            if name.is_none() {
                report.refuse_with(
                    &key("name"),
                    "no name that is safe in a policy",
                    "letters, digits, `-`, `.` and `_`, a letter or digit first, at most 63: admins",
                );
                return None;
            }
            name
        }
    };
    let from = from?;
    if name.is_none() {
        for (at, group) in from
            .iter()
            .enumerate()
            .filter(|(_, group)| !group.contains('*'))
        {
            if GroupName::derive(group).is_none() {
                let key = format!("{}[{at}]", key("from"));
                report.refuse_with(
                    &key,
                    "nothing of it can be part of a group's name in the policy",
                    "give the entry a name",
                );
                return None;
            }
        }
    }
    Some(GroupSource { name, from })
}

/// Each name is for one entry, and each derived one for one group: whoever is in one group must not get what
/// a rule gives to another one.
fn check_names(sources: &GroupSources, report: &mut Report) {
    let mut seen: BTreeMap<GroupName, (usize, &str)> = BTreeMap::new();
    for (index, source) in sources.entries.iter().enumerate() {
        let plain = source.from.iter().filter(|group| !group.contains('*'));
        let derived = plain.filter_map(|group| {
            let plain = sources.plain(group);
            Some((GroupName::derive(plain)?, plain))
        });
        let names: Vec<(GroupName, &str)> = match &source.name {
            Some(name) => vec![(name.clone(), "")],
            None => derived.collect(),
        };
        for (name, group) in names {
            let Some((other, same)) = seen.insert(name.clone(), (index, group)) else {
                continue;
            };
            if group.is_empty() || group != same {
                report.refuse_with(
                    &format!("{GROUPS}[{index}]"),
                    format!("{name} is what {GROUPS}[{other}] makes, too"),
                    "another name; or one entry with a name, and all groups in its from",
                );
            }
        }
    }
}

/// The policy is changed through the API, and people are found by what Headscale knows of their sign-in.
pub(super) fn check_with_headscale(settings: &Settings, report: &mut Report) {
    if !settings.policy_sync.is_on() {
        return;
    }
    if settings.headscale.api_key.is_none() {
        report.refuse_with(
            GROUPS,
            "cannot be written without headscale.api_key_path",
            "make a key with: headscale apikeys create --expiration 90d",
        );
    }
    if let SignIn::None = settings.headscale.sign_in {
        report.refuse_with(
            GROUPS,
            "cannot be written with headscale.sign_in: none, where headscale's users have no sign-in that tells who they are",
            "headscale.sign_in: issuer or own",
        );
    }
}

/// The state takes the place of whatever has its name.
pub(super) fn check_state(settings: &Settings, report: &mut Report) {
    let path = &settings.policy_sync.state_path;
    if is_taken(settings, path, &[&settings.offboarding.state_path]) {
        report.refuse_with(
            STATE,
            "the same file as another one of ours",
            format!("a file of its own: {DEFAULT_STATE}"),
        );
    }
    if matches!(settings.session.store, Store::Redis(_)) && path.to_str() != Some(DEFAULT_STATE) {
        report.warn(STATE, "not used with session.store: redis, which keeps it");
    }
}
