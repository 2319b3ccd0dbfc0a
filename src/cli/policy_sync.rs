//! `headwarden policy-sync`: the provider's groups in the policy of the tailnet, asked for at the running
//! process, which knows who is in them.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::running::{Refused, Running, as_json, get, post};
use super::{FAILED, complain, say};
use crate::config::Settings;
use crate::domain::text::shown;

/// See what the running process would write into the policy of the tailnet, or have it written
#[derive(Args, Debug)]
pub(super) struct PolicySync {
    /// Show the difference and write nothing (what happens without --once)
    #[arg(long, conflicts_with = "once")]
    dry_run: bool,
    /// Have it written now, unless `policy_sync.dry_run` says otherwise; also what headscale refused before
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    running: Running,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl PolicySync {
    /// Whether the configuration has to be read to know the socket.
    pub(super) const fn needs_settings(&self) -> bool {
        self.running.needs_settings()
    }

    /// Asks the running process. Fails where the policy cannot have the groups.
    pub(super) fn run(self, settings: Option<&Settings>) -> io::Result<ExitCode> {
        let asked = self.running.socket(settings).and_then(|socket| {
            if self.once {
                post::<Value>(&socket, "/policy-sync")
            } else {
                get::<Value>(&socket, "/policy-sync")
            }
        });
        match asked {
            Ok(report) => {
                let told = if self.json {
                    as_json(&report)
                } else {
                    in_words(&report)
                };
                say(told.trim_end())?;
                let failed = report.get("outcome").and_then(Value::as_str) == Some("failed");
                Ok(if failed {
                    ExitCode::from(FAILED)
                } else {
                    ExitCode::SUCCESS
                })
            }
            Err(Refused(why, code)) => {
                complain(&why);
                Ok(ExitCode::from(code))
            }
        }
    }
}

/// For a person: the difference, which `patch` reads, and behind it what else is to be known, as comments.
fn in_words(report: &Value) -> String {
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        shown(text.unwrap_or_default())
    };
    let mut out = String::new();
    let diff = report.get("diff").and_then(Value::as_str);
    for line in diff.unwrap_or_default().split_inclusive('\n') {
        // The end of a line is part of what `patch` compares.
        let (text, end) = match line.strip_suffix("\r\n") {
            Some(text) => (text, "\r\n"),
            None => (line.strip_suffix('\n').unwrap_or(line), "\n"),
        };
        let _ = write!(out, "{}{end}", shown(text));
    }
    let sentence = match text(report, "outcome").as_str() {
        "off" => "policy_sync.groups is empty: nothing is written into the policy".to_owned(),
        "unchanged" => "the policy has its groups: nothing to write".to_owned(),
        "written" => "written".to_owned(),
        "not_written" => "nothing was written".to_owned(),
        "elsewhere" => "another replica is at it".to_owned(),
        _ => {
            let why = report.get("failure").map(|failure| text(failure, "why"));
            format!("FAILED: {}", why.unwrap_or_default())
        }
    };
    let _ = writeln!(out, "# {sentence}");
    let groups = report.get("groups").and_then(Value::as_object);
    for (name, members) in groups.into_iter().flatten() {
        let _ = writeln!(out, "# {}: {members}", shown(name));
    }
    let list = |key: &str| {
        report
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    for one in list("left_out") {
        let why = match text(&one, "why").as_str() {
            "unknown" => "is no user of headscale's yet",
            "ambiguous" => "is more than one user of headscale's, or shares one",
            _ => "has a subject that headscale cannot keep apart from others",
        };
        let _ = writeln!(out, "# left out: {} {why}", text(&one, "subject"));
    }
    for group in list("groups_without_a_name") {
        let group = shown(group.as_str().unwrap_or_default());
        let _ = writeln!(
            out,
            "# left out: the group {group} gets no name of its own: give it one"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_reads_the_difference_and_what_is_left_out() {
        let report = json!({
            "outcome": "failed", "failure": {"kind": "policy", "why": "no\u{202e}"},
            "diff": "--- policy\n+++ policy\n@@ -1,1 +1,1 @@\n-a\n+b\u{1b}\n",
            "groups": {"group:admins": 2}, "left_out": [{"subject": "4f1c", "why": "unknown"}],
            "groups_without_a_name": ["Team A"],
        });
        let told = in_words(&report);
        let (diff, rest) = told.split_once("# ").unwrap();
        assert!(
            diff.starts_with("--- policy\n") && diff.contains("\n-a\n+b"),
            "{told}"
        );
        assert!(!told.contains(['\u{1b}', '\u{202e}']), "{told:?}");
        for part in ["FAILED: no", "group:admins: 2", "4f1c is no user", "Team A"] {
            assert!(rest.contains(part), "{part}: {told}");
        }
    }
}
