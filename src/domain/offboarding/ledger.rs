//! Who is to be off-boarded, and when: what is written down, and how it changes. Time is a parameter,
//! and whoever keeps it makes each change one step.
//!
//! Whoever is not sure that somebody is gone does nothing: a person who comes back is taken off; more
//! people in an hour than the operator expects are held until the operator says that it is right, and
//! so is everybody who is noticed before that.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Why;
use crate::domain::identity::Subject;
use crate::domain::time::Timestamp;

/// How long a person counts for the guard.
pub const HOUR: Duration = Duration::from_hours(1);
/// Most people that are written down: with more, something else is wrong.
const MOST: usize = 10_000;
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(15));

/// How far the clocks of replicas may be apart.
const APART: Duration = Duration::from_mins(5);

/// One person who is to be off-boarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What was heard first.
    pub why: Why,
    /// When.
    pub noticed_at: Timestamp,
    /// When their devices end, if nothing else is heard.
    pub due_at: Timestamp,
    /// There are too many: an operator is to look first.
    #[serde(default)]
    pub held: bool,
    /// An operator has.
    #[serde(default)]
    pub confirmed: bool,
    /// Tries that failed.
    #[serde(default)]
    pub failures: u32,
    /// Nobody tries before: somebody does, or did in vain.
    #[serde(default = "long_ago")]
    pub next_at: Timestamp,
    /// `noticed_at` was moved with the clock: what was checked after it may have been checked before.
    #[serde(default)]
    pub moved: bool,
}

impl Case {
    /// Whom was seen at the provider later than this is no more refused; nobody, where the order is not known.
    pub const fn refused_since(&self) -> Timestamp {
        if self.moved {
            Timestamp::from_unix(u64::MAX)
        } else {
            self.noticed_at
        }
    }
}

const fn long_ago() -> Timestamp {
    Timestamp::from_unix(0)
}

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// The person was not known to be gone.
    New {
        /// Whom the guard holds since, and did not before: there are too many now.
        held: Vec<Subject>,
    },
    /// The person was.
    Known,
    /// There is no room for more.
    Full,
}

/// Everybody who is to be off-boarded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    #[serde(default)]
    cases: BTreeMap<String, Case>,
    /// When those were noticed whose devices have ended in the last hour, for the guard.
    #[serde(default)]
    done: Vec<Timestamp>,
}

fn is_ahead(case: &Case, now: Timestamp) -> bool {
    let (_, longest) = PAUSES;
    case.noticed_at > now.plus(APART) || case.next_at > now.plus(longest + APART)
}

impl Ledger {
    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.done.is_empty()
    }

    /// Each, by subject.
    pub fn cases(&self) -> impl Iterator<Item = (Subject, &Case)> {
        self.cases
            .iter()
            .map(|(subject, case)| (Subject::new(subject.as_str()), case))
    }

    /// How many wait, and how many are held.
    pub fn counts(&self) -> (usize, usize) {
        let held = self.cases.values().filter(|case| case.held).count();
        (self.cases.len().saturating_sub(held), held)
    }

    /// `subject` is gone, as heard `now`: their devices end after `delay`. With more than `most` people
    /// in an hour everybody is held whom no operator confirmed; while anybody is, new ones are too.
    pub fn notice(
        &mut self,
        subject: &Subject,
        why: Why,
        now: Timestamp,
        delay: Duration,
        most: usize,
    ) -> Noticed {
        if let Some(case) = self.cases.get_mut(subject.as_str()) {
            // Whom the provider vouches for was not refused; what they lost counts instead.
            if why == Why::LostRight {
                case.why = why;
            }
            return Noticed::Known;
        }
        if self.cases.len() >= MOST {
            return Noticed::Full;
        }
        let case = Case {
            why,
            noticed_at: now,
            due_at: now.plus(delay),
            held: false,
            confirmed: false,
            failures: 0,
            next_at: long_ago(),
            moved: false,
        };
        self.cases.insert(subject.as_str().to_owned(), case);
        let held = self.guard(now, most);
        Noticed::New { held }
    }

    fn guard(&mut self, now: Timestamp, most: usize) -> Vec<Subject> {
        let recent = |at: Timestamp| now.since(at) < HOUR;
        self.done.retain(|at| recent(*at));
        let waiting = self.cases.values();
        let lately = waiting.filter(|case| recent(case.noticed_at)).count() + self.done.len();
        let shut = self.cases.values().any(|case| case.held);
        if lately <= most && !shut {
            return Vec::new();
        }
        let mut held = Vec::new();
        for (subject, case) in &mut self.cases {
            if !case.confirmed && !case.held {
                case.held = true;
                held.push(Subject::new(subject.as_str()));
            }
        }
        held
    }

    /// The case of a person.
    pub fn case(&self, subject: &Subject) -> Option<&Case> {
        self.cases.get(subject.as_str())
    }

    /// Takes everybody off. Whose cases they were.
    pub fn forget_all(&mut self) -> Vec<Subject> {
        let all = std::mem::take(&mut self.cases);
        all.into_keys().map(Subject::new).collect()
    }

    /// The person is not gone: takes them off. The case, if there was one.
    pub fn forget(&mut self, subject: &Subject) -> Option<Case> {
        self.cases.remove(subject.as_str())
    }

    /// An operator says that what is held is right, of `only` or of everybody. Whose it was.
    pub fn confirm(&mut self, only: Option<&Subject>) -> Vec<Subject> {
        let mut confirmed = Vec::new();
        for (subject, case) in &mut self.cases {
            let meant = only.is_none_or(|only| only.as_str() == subject);
            if meant && case.held {
                (case.held, case.confirmed) = (false, true);
                confirmed.push(Subject::new(subject.as_str()));
            }
        }
        confirmed
    }

    /// Up to `most` people whose time has come, for one who tries: nobody else does for `lease`.
    pub fn take_due(
        &mut self,
        now: Timestamp,
        lease: Duration,
        most: usize,
    ) -> Vec<(Subject, Case)> {
        let ready = |case: &Case| !case.held && case.due_at <= now && case.next_at <= now;
        let mut taken = Vec::new();
        for (subject, case) in self.cases.iter_mut().filter(|(_, case)| ready(case)) {
            if taken.len() >= most {
                break;
            }
            case.next_at = now.plus(lease);
            taken.push((Subject::new(subject.as_str()), case.clone()));
        }
        taken
    }

    /// It failed `now`, or nothing could be decided: again later, each time twice as much.
    pub fn failed(&mut self, subject: &Subject, now: Timestamp) {
        if let Some(case) = self.cases.get_mut(subject.as_str()) {
            let (first, longest) = PAUSES;
            let pause = first.saturating_mul(1 << case.failures.min(10));
            case.failures = case.failures.saturating_add(1);
            case.next_at = now.plus(pause.min(longest));
        }
    }

    /// Whether something is written down of a time that has not come yet: the clock was set back.
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        let mut cases = self.cases.values();
        cases.any(|case| is_ahead(case, now)) || self.done.iter().any(|at| *at > now.plus(APART))
    }

    /// Counts what is ahead from `now` on. With a clock that was a year ahead nobody waits for a year.
    pub fn set_back(&mut self, now: Timestamp) {
        for case in self.cases.values_mut().filter(|case| is_ahead(case, now)) {
            let delay = case.due_at.since(case.noticed_at);
            (case.noticed_at, case.due_at) = (now, now.plus(delay));
            case.next_at = case.next_at.min(now);
            case.moved = true;
        }
        for at in &mut self.done {
            *at = (*at).min(now.plus(APART));
        }
    }

    /// Their devices have ended.
    pub fn done(&mut self, subject: &Subject) {
        if let Some(case) = self.cases.remove(subject.as_str()) {
            self.done.push(case.noticed_at);
        }
    }

    /// When there is something to do next, if nothing else is heard.
    pub fn next(&self) -> Option<Timestamp> {
        let waiting = self.cases.values().filter(|case| !case.held);
        waiting.map(|case| case.due_at.max(case.next_at)).min()
    }
}
