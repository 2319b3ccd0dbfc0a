//! The audit log: where it is, and whether it names people.

use super::super::file;
use super::super::report::Report;
use super::super::settings::{Audit, AuditPlace, Settings};
use super::files::is_taken;
use super::{Checks, secrets};

const PATH: &str = "audit.path";
/// The word that is no path.
const STDOUT: &str = "stdout";

/// The `audit` section.
pub(super) fn audit(file: file::Audit, checks: &mut Checks<'_>) -> Option<Audit> {
    let user_names = file.user_names == Some(true);
    let place = place(file.path, checks)?;
    if user_names && place == AuditPlace::Log {
        checks.report.refuse_with(
            "audit.user_names",
            "the audit log is part of the ordinary log, which names nobody",
            "give it a file of its own: audit.path",
        );
        return None;
    }
    Some(Audit { place, user_names })
}

fn place(text: Option<String>, checks: &mut Checks<'_>) -> Option<AuditPlace> {
    if checks.report.is_broken(PATH) {
        return None;
    }
    let Some(text) = text else {
        return Some(AuditPlace::Log);
    };
    if text == STDOUT {
        return Some(AuditPlace::Stdout);
    }
    let path = secrets::path(PATH, Some(text), checks)?;
    if !path.is_absolute() || path.file_name().is_none() {
        checks.report.refuse_with(
            PATH,
            "not the absolute path of a file",
            "for example /var/log/headwarden/audit.jsonl, or the word stdout",
        );
        return None;
    }
    Some(AuditPlace::File(path))
}

/// Lines are added to whatever has its name.
pub(super) fn check_file(settings: &Settings, report: &mut Report) {
    let AuditPlace::File(path) = &settings.audit.place else {
        return;
    };
    let others = [
        &settings.offboarding.state_path,
        &settings.policy_sync.state_path,
    ];
    if is_taken(settings, path, &others) {
        report.refuse_with(
            PATH,
            "the same file as another one of ours",
            "a file of its own: /var/log/headwarden/audit.jsonl",
        );
    }
}
