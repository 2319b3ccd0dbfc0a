//! Times in words. Always UTC, as `domain::calendar` has it: nothing here knows where somebody is.

use std::time::Duration;

use fluent_bundle::FluentValue;

use super::Language;
use crate::domain::calendar::Civil;
use crate::domain::time::Timestamp;

impl Language {
    /// `26 November 2026, 01:05 UTC`
    pub(in super::super) fn date(self, at: Timestamp) -> String {
        let civil = Civil::of(at);
        let month = self.say(&format!("month-{}", civil.month));
        self.fill(
            "date",
            &[
                ("day", FluentValue::from(civil.day)),
                ("month", FluentValue::from(month)),
                ("year", FluentValue::from(civil.year)),
                (
                    "time",
                    FluentValue::from(format!("{:02}:{:02}", civil.hour, civil.minute)),
                ),
            ],
        )
    }

    /// `just now`, `5 minutes ago`
    pub(in super::super) fn ago(self, since: Duration) -> String {
        match units(since) {
            Some((unit, count)) => self.count(&format!("ago-{unit}"), count),
            None => self.say("ago-moment"),
        }
    }

    /// `in a moment`, `in 5 minutes`
    pub(in super::super) fn ahead(self, until: Duration) -> String {
        match units(until) {
            Some((unit, count)) => self.count(&format!("ahead-{unit}"), count),
            None => self.say("ahead-moment"),
        }
    }
}

/// The largest whole unit, and how many of them.
fn units(time: Duration) -> Option<(&'static str, u64)> {
    let minutes = time.as_secs() / 60;
    match minutes {
        0 => None,
        1..60 => Some(("minutes", minutes)),
        60..1440 => Some(("hours", minutes / 60)),
        _ => Some(("days", minutes / 1440)),
    }
}
