//! Readiness: named results in, one verdict and its JSON out. Pure; whoever runs the checks brings
//! the results.
//!
//! The body follows the health check draft that Headscale's own `/health` follows
//! (draft-inadarei-api-health-check), so that one reader understands both.

use http::StatusCode;
use serde_json::{Map, Value, json};

/// Media type of [`Checks::body`].
pub const CONTENT_TYPE: &str = "application/health+json";

/// How one check ended. The texts are shown on the admin listener: no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Pass,
    /// Something is wrong that does not keep us from serving: the provider is down, say, while
    /// tunnels and sessions go on.
    Warn(String),
    /// Traffic had better go elsewhere.
    Fail(String),
}

impl Outcome {
    const fn status(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn(_) => "warn",
            Self::Fail(_) => "fail",
        }
    }

    fn output(&self) -> Option<&str> {
        match self {
            Self::Pass => None,
            Self::Warn(output) | Self::Fail(output) => Some(output),
        }
    }
}

/// The results of all checks, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Checks(Vec<(&'static str, Outcome)>);

impl Checks {
    /// No checks: ready.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the result of the check called `name`.
    #[must_use]
    pub fn with(mut self, name: &'static str, outcome: Outcome) -> Self {
        self.0.push((name, outcome));
        self
    }

    /// 503 when any check failed, else 200: a warning does not take us out of service.
    pub fn status(&self) -> StatusCode {
        if self.any("fail") {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        }
    }

    /// `{"status": worst, "checks": {name: [{"status": …, "output": …}]}}`, one line.
    pub fn body(&self) -> String {
        let worst = ["fail", "warn"].into_iter().find(|status| self.any(status));
        let mut checks = Map::new();
        for (name, outcome) in &self.0 {
            let mut check = json!({ "status": outcome.status() });
            if let (Some(output), Value::Object(check)) = (outcome.output(), &mut check) {
                check.insert("output".to_owned(), output.into());
            }
            let entry = checks
                .entry(*name)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(results) = entry {
                results.push(check);
            }
        }
        let body = json!({ "status": worst.unwrap_or("pass"), "checks": checks });
        format!("{body}\n")
    }

    /// Each check by name, and whether it passed; a warning is none.
    pub fn passing(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let all = self.0.iter();
        all.map(|(name, outcome)| (*name, matches!(outcome, Outcome::Pass)))
    }

    fn any(&self, status: &str) -> bool {
        self.0.iter().any(|(_, outcome)| outcome.status() == status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_the_worst_result_and_only_a_failure_is_a_503() {
        let fail = || Outcome::Fail("connection refused".to_owned());
        let warn = || Outcome::Warn("discovery is an hour old".to_owned());
        for (outcomes, status, word) in [
            (vec![], 200, "pass"),
            (vec![Outcome::Pass], 200, "pass"),
            (vec![Outcome::Pass, warn()], 200, "warn"),
            (vec![fail(), warn(), Outcome::Pass], 503, "fail"),
            (vec![Outcome::Pass, fail()], 503, "fail"),
        ] {
            let names = ["headscale", "provider", "issuer"];
            let checks = names
                .into_iter()
                .zip(outcomes)
                .fold(Checks::new(), |checks, (n, o)| checks.with(n, o));
            assert_eq!(checks.status().as_u16(), status);
            let body: Value = serde_json::from_str(&checks.body()).unwrap();
            assert_eq!(body["status"], word);
        }
    }

    #[test]
    fn each_check_is_listed_with_what_it_found() {
        let checks = Checks::new()
            .with("headscale", Outcome::Pass)
            .with("listener", Outcome::Fail("\"in use\"\n".to_owned()))
            .with("listener", Outcome::Pass);
        let body: Value = serde_json::from_str(&checks.body()).unwrap();
        let expected = json!({
            "headscale": [{"status": "pass"}],
            "listener": [{"status": "fail", "output": "\"in use\"\n"}, {"status": "pass"}],
        });
        assert_eq!(body["checks"], expected);
        assert_eq!(checks.body().matches('\n').count(), 1);
    }
}
