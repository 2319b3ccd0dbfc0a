//! One mistake in the configuration, as the operator reads it: where, what, why, and what to do.

use std::fmt;

use serde::Serialize;

use crate::domain::text::draws;

/// What is shown instead of a value that is, or may be, a secret.
pub(super) const MASK: &str = "[secret]";

/// One mistake. `Display` is a readable block of two to four lines without a final line break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key path, e.g. `oidc.client_secret` or `listen[0].address`; the name of a variable or
    /// file when there is no key.
    pub key: String,
    /// Where the file says it, counted from 1.
    pub line: Option<u64>,
    /// The environment variable that the value came from.
    pub variable: Option<String>,
    /// The value as written; never a secret.
    pub value: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A mistake that is known by its key and reason only.
    pub(super) fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            line: None,
            variable: None,
            value: None,
            reason: reason.into(),
            hint: None,
        }
    }

    /// The same with advice.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the variable that is to blame.
    pub(super) fn blame(mut self, name: impl Into<String>) -> Self {
        self.variable = Some(name.into());
        self
    }

    /// The same on one line.
    pub fn on_one_line(&self) -> String {
        let block = self.to_string().replace("\n  ", "; ");
        block
            .replace("; value:  ", "; value: ")
            .replace("; hint:   ", "; hint: ")
    }

    /// The order in which problems are printed: as they stand in the file, then those that stand
    /// nowhere, by key.
    pub(super) fn order(&self) -> impl Ord + use<> {
        (
            self.line.unwrap_or(u64::MAX),
            self.key.clone(),
            self.reason.clone(),
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Plain(&self.key).fmt(f)?;
        match (self.line, &self.variable) {
            (_, Some(variable)) if *variable != self.key => {
                write!(f, " (from {})", Plain(variable))?;
            }
            (Some(line), None) => write!(f, " (line {line})")?,
            _ => {}
        }
        if let Some(value) = &self.value {
            write!(f, "\n  value:  {value}")?;
        }
        write!(f, "\n  reason: {}", Plain(&self.reason))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint:   {}", Plain(hint))?;
        }
        Ok(())
    }
}

/// Text on one line that moves no terminal: names of keys and variables are anybody's to misspell.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if draws(c) {
                write!(f, "{c}")
            } else {
                write!(f, "{}", c.escape_debug())
            }
        })
    }
}

/// Why a configuration cannot be used, and what else should be known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Every mistake there is, in the order of the file; never empty.
    pub problems: Vec<Problem>,
    /// What is allowed but should be known.
    pub warnings: Vec<String>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            warnings: Vec::new(),
        }
    }
}

/// The problems as a person reads them.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Problems(&self.problems).fmt(f)
    }
}

/// Prints many problems, a blank line between two.
#[derive(Clone, Copy, Debug)]
pub struct Problems<'a>(pub &'a [Problem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Problem> = self.0.iter().collect();
        sorted.sort_by_key(|problem| problem.order());
        for (index, problem) in sorted.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_one_block() {
        let mut problem = Problem::new("oidc.issuer", "must be https").hint("write https://");
        problem.line = Some(12);
        problem.value = Some("http://id.example".into());
        assert_eq!(
            problem.to_string(),
            "oidc.issuer (line 12)\n  value:  http://id.example\n  reason: must be https\n  hint:   write https://"
        );
    }

    #[test]
    fn the_variable_is_named_instead_of_a_line_it_overrode() {
        let mut problem = Problem::new("oidc.issuer", "no").blame("HEADWARDEN_OIDC_ISSUER");
        problem.line = Some(3);
        assert_eq!(
            problem.to_string(),
            "oidc.issuer (from HEADWARDEN_OIDC_ISSUER)\n  reason: no"
        );
    }

    #[test]
    fn a_key_can_forge_no_line_and_move_no_terminal() {
        let mut problem = Problem::new("a\u{1b}[31m", "did you mean b\t?").hint("c\u{7}");
        problem.variable = Some("D\n  reason: fine".into());
        assert_eq!(
            problem.to_string(),
            "a\\u{1b}[31m (from D\\n  reason: fine)\n  reason: did you mean b\\t?\n  hint:   c\\u{7}"
        );
    }

    #[test]
    fn what_turns_the_text_around_or_cannot_be_seen_is_spelt_out() {
        assert_eq!(
            Problem::new("a\u{202e}b\u{200b}c\u{e0041}é", "1").to_string(),
            "a\\u{202e}b\\u{200b}c\\u{e0041}é\n  reason: 1"
        );
    }

    #[test]
    fn problems_are_printed_in_the_order_of_the_file_then_by_key() {
        let mut late = Problem::new("a", "1");
        late.line = Some(9);
        let mut early = Problem::new("z", "2");
        early.line = Some(2);
        let list = [Problem::new("c", "4"), late, Problem::new("b", "3"), early];
        assert_eq!(
            Problems(&list).to_string(),
            "z (line 2)\n  reason: 2\n\na (line 9)\n  reason: 1\n\nb\n  reason: 3\n\nc\n  reason: 4"
        );
    }
}
