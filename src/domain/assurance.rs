//! What a rule asks of a sign-in beyond who it was: how recent, of which class (`acr`), by which
//! methods (`amr`). What is missing is asked for at the provider, as RFC 9470 does it for tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::session::Session;
use super::time::Timestamp;

/// How far the provider's clock may be ahead of ours. A sign-in from later than that is no proof: a
/// clock that was set back makes one of an old one.
pub const AHEAD: Duration = Duration::from_mins(1);

/// What is asked of a sign-in. Of each inner list one value is enough, and every list must be met; so
/// what two rules ask can be put together without asking for less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assurance {
    /// Longest time since the person proved who they are (`auth_time`).
    pub max_age: Option<Duration>,
    /// Authentication context classes.
    pub acr: Vec<Vec<String>>,
    /// Authentication methods (RFC 8176).
    pub amr: Vec<Vec<String>>,
}

/// What of it a session does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// The sign-in is too old, not dated, or from the future.
    pub age: bool,
    /// It is of another class, or of none.
    pub acr: bool,
    /// It was done by other methods, or nobody said by which.
    pub amr: bool,
}

impl Missing {
    /// Whether nothing is.
    pub const fn is_nothing(self) -> bool {
        !self.age && !self.acr && !self.amr
    }

    /// Whether the person must be asked again, although the provider knows them: to be there now, or
    /// to use another method, for which an authorization request has no parameter.
    pub const fn needs_a_prompt(self) -> bool {
        self.age || self.amr
    }
}

impl Assurance {
    /// Asks for all three; an empty list asks for nothing.
    pub fn new(max_age: Option<Duration>, acr: Vec<String>, amr: Vec<String>) -> Self {
        let list = |values: Vec<String>| {
            if values.is_empty() {
                vec![]
            } else {
                vec![values]
            }
        };
        Self {
            max_age,
            acr: list(acr),
            amr: list(amr),
        }
    }

    /// Whether every sign-in will do.
    pub const fn asks_nothing(&self) -> bool {
        self.max_age.is_none() && self.acr.is_empty() && self.amr.is_empty()
    }

    /// Asks for what both ask for.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let joined = |mut lists: Vec<Vec<String>>, more: &[Vec<String>]| {
            lists.extend(more.iter().cloned());
            lists.dedup();
            lists
        };
        Self {
            max_age: match (self.max_age, other.max_age) {
                (Some(one), Some(another)) => Some(one.min(another)),
                (one, another) => one.or(another),
            },
            acr: joined(self.acr, &other.acr),
            amr: joined(self.amr, &other.amr),
        }
    }

    /// What of it `session` does not have at `now`.
    pub fn missing(&self, session: &Session, now: Timestamp) -> Missing {
        let fresh = |most: Duration| {
            session
                .auth_time
                .is_some_and(|at| at <= now.plus(AHEAD) && now.since(at) <= most)
        };
        let of_class =
            |list: &Vec<String>| list.iter().any(|acr| session.acr.as_deref() == Some(acr));
        let by_method = |list: &Vec<String>| list.iter().any(|amr| session.amr.has(amr));
        Missing {
            age: !self.max_age.is_none_or(fresh),
            acr: !self.acr.iter().all(of_class),
            amr: !self.amr.iter().all(by_method),
        }
    }

    /// The classes that would do for every list, in the operator's order; those of the first list
    /// where no class is in all of them.
    pub fn acr_values(&self) -> Vec<&str> {
        common(&self.acr)
    }

    /// The same for the methods.
    pub fn amr_values(&self) -> Vec<&str> {
        common(&self.amr)
    }
}

fn common(lists: &[Vec<String>]) -> Vec<&str> {
    let Some((first, rest)) = lists.split_first() else {
        return Vec::new();
    };
    let everywhere = |value: &&String| rest.iter().all(|list| list.contains(*value));
    let mut found: Vec<&str> = first
        .iter()
        .filter(everywhere)
        .map(String::as_str)
        .collect();
    if found.is_empty() {
        found = first.iter().map(String::as_str).collect();
    }
    found
}

#[cfg(test)]
mod tests;
