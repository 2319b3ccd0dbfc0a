//! `headwarden check`: every mistake of the configuration at once.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::{BAD_CONFIG, report, say, say_json};
use crate::config::{self, Environment, Problem};

/// What is found, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// The configuration that was read.
    file: String,
    /// Whether it can be used.
    good: bool,
    /// Every mistake, in the order of the file.
    problems: Vec<Problem>,
    /// What is allowed and should be known.
    warnings: Vec<Warning>,
}

/// A warning: its key, and what to know.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Warning {
    /// The key path, or the name of the file.
    pub(super) key: String,
    /// What to know.
    pub(super) text: String,
}

impl Warning {
    /// A warning of the configuration taken apart again.
    pub(super) fn parse(line: &str) -> Self {
        let (key, text) = line.split_once(": ").unwrap_or(("", line));
        Self {
            key: key.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// Checks the configuration at `path`.
pub(super) fn run(path: &Path, environment: &Environment, json: bool) -> io::Result<ExitCode> {
    let loaded = config::load(path, environment);
    if !json {
        return match loaded {
            Ok(settings) => {
                for warning in &settings.warnings {
                    say(&format!("warning: {warning}"))?;
                }
                say(&format!("{} is good", path.display()))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(refusal) => Ok(report(path, &refusal)),
        };
    }
    let (problems, warnings) = match loaded {
        Ok(settings) => (Vec::new(), settings.warnings),
        Err(refusal) => (refusal.problems, refusal.warnings),
    };
    let good = problems.is_empty();
    say_json(&Told {
        file: path.display().to_string(),
        good,
        problems,
        warnings: warnings.iter().map(|line| Warning::parse(line)).collect(),
    })?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BAD_CONFIG)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_has_its_key_and_its_text() {
        let told = Warning::parse("oidc.pkce.method: plain protects little: S256 works");
        assert_eq!(told.key, "oidc.pkce.method");
        assert_eq!(told.text, "plain protects little: S256 works");
    }
}
