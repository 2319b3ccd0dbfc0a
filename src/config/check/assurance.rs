//! What a sign-in must have: its age, its class, its methods.

use std::time::Duration;

use super::super::file::List;
use super::super::report::Report;
use super::super::settings::Settings;
use super::values::{DAY, MINUTE, SECOND, duration, texts};
use crate::domain::assurance::Assurance;

/// What may be asked for: shorter, and the way back from the provider would take too long; longer, and
/// the session has ended before.
const AGES: (Duration, Duration) = (MINUTE, Duration::from_hours(24 * 365));
/// Values of one list, and characters of each: all of them go into one address and one cookie.
const MOST_VALUES: usize = 16;
const LONGEST_VALUE: usize = 100;

/// Age, class and methods, as written.
pub(super) struct Written {
    pub(super) max_age: Option<String>,
    pub(super) acr: List<String>,
    pub(super) amr: List<String>,
}

/// The keys they stand at.
pub(super) struct Keys<'a> {
    pub(super) max_age: &'a str,
    pub(super) acr: &'a str,
    pub(super) amr: &'a str,
}

/// What a rule asks for.
pub(super) fn assurance(
    written: Written,
    keys: &Keys<'_>,
    report: &mut Report,
) -> Option<Assurance> {
    let max_age = match written.max_age {
        None if report.is_broken(keys.max_age) => None,
        None => Some(None),
        Some(text) => duration(keys.max_age, Some(&text), DAY, AGES, report).map(Some),
    };
    let acr = values(keys.acr, written.acr, report);
    let amr = values(keys.amr, written.amr, report);
    Some(Assurance::new(max_age?, acr?, amr?))
}

/// What an SSH check asks for; its age always.
pub(super) fn of_ssh(written: Written, report: &mut Report) -> Option<Assurance> {
    let keys = Keys {
        max_age: "headscale.issuer.ssh_max_age",
        acr: "headscale.issuer.ssh_acr",
        amr: "headscale.issuer.ssh_amr",
    };
    let text = written.max_age.as_deref();
    let bounds = (30 * SECOND, DAY);
    let default = Duration::from_mins(5);
    let max_age = duration(keys.max_age, text, default, bounds, report);
    let acr = values(keys.acr, written.acr, report);
    let amr = values(keys.amr, written.amr, report);
    Some(Assurance::new(Some(max_age?), acr?, amr?))
}

/// What a session would never live to see.
pub(super) fn check_with_lifetime(settings: &Settings, report: &mut Report) {
    let lifetime = settings.session.limits.lifetime;
    for (index, rule) in settings.access.iter().enumerate() {
        if rule.assurance.max_age.is_some_and(|age| age > lifetime) {
            report.refuse_with(
                &format!("access[{index}].max_auth_age"),
                "longer than session.lifetime, which would always come first",
                "shorten it, or delete the line",
            );
        }
    }
}

/// A list of one value at least, of which none has a blank: `acr_values` separates them by blanks.
fn values(key: &str, list: List<String>, report: &mut Report) -> Option<Vec<String>> {
    let written = list.is_some();
    let found = texts(key, list, report)?;
    if written && found.is_empty() {
        report.refuse_with(key, "an empty list asks for nothing", "delete the line");
        return None;
    }
    if found.len() > MOST_VALUES {
        report.refuse(key, format!("more than {MOST_VALUES} values"));
        return None;
    }
    for (index, value) in found.iter().enumerate() {
        if value.len() > LONGEST_VALUE || value.contains(char::is_whitespace) {
            report.refuse_with(
                &format!("{key}[{index}]"),
                format!("has a blank, or more than {LONGEST_VALUE} bytes"),
                "one value to an entry",
            );
            return None;
        }
    }
    Some(found)
}
