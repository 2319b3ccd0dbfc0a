//! What a look at the world found: one sentence that says what is, and one that says what to do.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Nobody looked, and why.
    Skipped,
    /// It works, and should be known.
    Warning,
    /// It does not work.
    Failure,
}

impl Level {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: a stable name, `area.thing`.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is; never a secret.
    pub told: String,
    /// What to do; always there for a warning or a failure.
    pub fix: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, told: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, told.into(), None)
    }

    /// Nobody looked.
    pub fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Level::Skipped, why.into(), None)
    }

    /// It works, and should be known.
    pub fn warning(check: &'static str, told: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, told.into(), Some(fix.into()))
    }

    /// It does not work.
    pub fn failure(check: &'static str, told: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Level::Failure, told.into(), Some(fix.into()))
    }

    const fn new(check: &'static str, level: Level, told: String, fix: Option<String>) -> Self {
        Self {
            check,
            level,
            told,
            fix,
        }
    }
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or(Level::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_worse_than_a_warning_and_that_than_nothing() {
        let (ok, warning) = (Finding::ok("a", "b"), Finding::warning("a", "b", "c"));
        let (failure, skipped) = (Finding::failure("a", "b", "c"), Finding::skipped("a", "b"));
        assert_eq!(worst(&[]), Level::Ok);
        assert_eq!(worst(&[ok.clone(), skipped.clone()]), Level::Skipped);
        assert_eq!(
            worst(&[ok.clone(), warning.clone(), skipped]),
            Level::Warning
        );
        assert_eq!(worst(&[failure, warning, ok]), Level::Failure);
    }
}
