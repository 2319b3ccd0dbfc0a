//! One attempt: read, put together, check, look again, write, and look whether that is what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use super::assign::{Assigned, Why, assign};
use super::report::{self, Failure, Outcome, Report};
use super::{JUST, PolicySync};
use crate::config::SignIn;
use crate::domain::diff::unified;
use crate::domain::hash::sha256;
use crate::domain::identity::Subject;
use crate::domain::policy_groups::{Groups, Member, Refusal, groups_of, with_groups};
use crate::domain::time::Timestamp;
use crate::headscale::ApiError;
use crate::ops::metrics::SyncFailure;
use crate::proxy::house::House;
use crate::session::Known;

/// How often an attempt begins anew because somebody else wrote meanwhile.
const TRIES: usize = 3;
/// How long what was refused is not asked for again, at most.
const PAUSE: Duration = Duration::from_hours(1);
/// What Headscale says where its policy is a file, or should be one.
const FILE_MODE: &[&str] = &[
    "update is disabled for modes other than",
    "reading policy from",
    "no such file or directory",
];

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is, unless the settings say `dry_run`.
    Write,
    /// It is not, whatever they say.
    Show,
}

/// What Headscale did not take, of which policy, and when.
#[derive(Debug)]
pub(super) struct Refused {
    what: [u8; 32],
    until: Timestamp,
    failure: Failure,
}

/// A policy, and what it should be.
struct Draft {
    before: String,
    after: String,
    /// What was meant.
    groups: Groups,
}

impl PolicySync {
    pub(super) async fn once(&self, house: &House, way: Way) -> Report {
        let mut report = Report::of(Outcome::Unchanged);
        match self.known(house).await {
            Ok((people, assigned)) => {
                report.people = people.len();
                report.waits_for_somebody = self.waits(&assigned, house.clock.now());
                let groups = assigned.groups.iter();
                let counts = groups.map(|(name, members)| (name.to_string(), members.len()));
                report.groups = counts.collect();
                self.with(house, way, assigned, &mut report).await;
            }
            Err(failure) => report.outcome = Outcome::Failed(failure),
        }
        report
    }

    /// Everybody, and their places in the policy.
    async fn known(&self, house: &House) -> Result<(Vec<Known>, Assigned), Failure> {
        let sync = &house.settings.policy_sync;
        let people = self.roll.all(sync.forget_after).await;
        let state =
            |why: &dyn std::fmt::Display| Failure::new(SyncFailure::State, &why.to_string());
        let people = people.map_err(|why| state(&why))?;
        // Before anybody is written into a policy: it must be known when they are to go, too.
        self.roll.keep().await.map_err(|why| state(&why))?;
        let users = house.api.users().await.map_err(|why| asked(&why))?;
        let issuer = match &house.settings.headscale.sign_in {
            SignIn::Issuer(issuer) => &issuer.url,
            SignIn::Own | SignIn::None => &house.settings.oidc.issuer,
        };
        let assigned = assign(&sync.sources, &people, &users, issuer);
        Ok((people, assigned))
    }

    /// Whether somebody is no user of Headscale's yet, and has not been for long.
    fn waits(&self, assigned: &Assigned, now: Timestamp) -> bool {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = |who: &Subject| assigned.left_out.get(who) == Some(&Why::Unknown);
        awaited.retain(|who, _| unknown(who));
        for who in assigned.left_out.keys().filter(|who| unknown(who)) {
            awaited.entry(who.clone()).or_insert(now);
        }
        awaited.values().any(|since| now.since(*since) < JUST)
    }

    async fn with(&self, house: &House, way: Way, assigned: Assigned, report: &mut Report) {
        report.left_out.clone_from(&assigned.left_out);
        report.unnamed.clone_from(&assigned.unnamed);
        for _ in 0..TRIES {
            // It knows of people that this one does not hear of any more.
            if house.rechecks.is_retired() {
                tracing::debug!("the process that took over writes the policy");
                report.outcome = Outcome::Elsewhere;
                return;
            }
            let draft = match draft(house, &assigned, report).await {
                Ok(draft) => draft,
                Err(failure) => {
                    report.outcome = Outcome::Failed(failure);
                    return;
                }
            };
            (report.added, report.removed) = moved(&draft);
            report.diff = unified(&draft.before, &draft.after, "policy");
            if draft.before == draft.after {
                report.outcome = Outcome::Unchanged;
                return;
            }
            if way == Way::Show || house.settings.policy_sync.dry_run {
                report.outcome = Outcome::NotWritten;
                return;
            }
            match self.put(house, &draft).await {
                Ok(true) => {
                    report.outcome = Outcome::Written;
                    return;
                }
                Ok(false) => {}
                Err(failure) => {
                    let failure = self.without_additions(house, &draft, failure).await;
                    report.outcome = Outcome::Failed(failure);
                    return;
                }
            }
        }
        let why = "somebody else keeps changing the policy";
        report.outcome = Outcome::Failed(Failure::new(SyncFailure::Changed, why));
    }

    /// Headscale does not take the whole: whoever is to go goes all the same.
    async fn without_additions(&self, house: &House, draft: &Draft, failure: Failure) -> Failure {
        if failure.kind != SyncFailure::Rejected {
            return failure;
        }
        let there = groups_of(&draft.before);
        let staying = draft.groups.iter().filter_map(|(name, members)| {
            let there = there.get(name.as_str())?;
            let stays = |it: &&Member| there.contains(&it.token);
            Some((
                name.clone(),
                members.iter().filter(stays).cloned().collect(),
            ))
        });
        let groups: Groups = staying.collect();
        let after = with_groups(&draft.before, &groups);
        let less = after.ok().map(|after| Draft {
            before: draft.before.clone(),
            after,
            groups,
        });
        match less.filter(|less| moved(less).1 > 0 && less.after != draft.after) {
            Some(less) if matches!(self.put(house, &less).await, Ok(true)) => Failure {
                why: format!("{}; who is to go was taken out", failure.why),
                ..failure
            },
            _ => failure,
        }
    }

    /// Writes it. False, if somebody else wrote meanwhile, so that it has to be put together anew.
    async fn put(&self, house: &House, draft: &Draft) -> Result<bool, Failure> {
        let what = sha256(format!("{:?}", (&draft.before, &draft.after)).as_bytes());
        let now = house.clock.now();
        let lock = || self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |it: &&Refused| it.what == what && now < it.until;
        if let Some(refused) = lock().iter().find(lately) {
            return Err(refused.failure.clone());
        }
        let done = write(house, draft).await;
        let mut refused = lock();
        refused.retain(|it| now < it.until && it.until.since(now) <= PAUSE);
        match &done {
            Err(failure) if failure.is_verdict() => refused.push(Refused {
                what,
                until: now.plus(if failure.perhaps {
                    PAUSE.min(house.settings.policy_sync.interval * 2)
                } else {
                    PAUSE
                }),
                failure: failure.clone(),
            }),
            _ => {}
        }
        drop(refused);
        done
    }
}

/// Checked where that is possible, and only over the policy that it was made of, by the process that hears
/// of people.
async fn write(house: &House, draft: &Draft) -> Result<bool, Failure> {
    match house.api.check_policy(&draft.after).await {
        // Before 0.29 there is no such question; writing it asks the same.
        Ok(())
        | Err(
            ApiError::NotFound
            | ApiError::Rejected {
                status: 405 | 501, ..
            },
        ) => {}
        Err(why) => return Err(judged(&why)),
    }
    if policy(house).await? != draft.before || house.rechecks.is_retired() {
        return Ok(false);
    }
    let put = house.api.set_policy(&draft.after).await;
    put.map_err(|why| judged(&why))?;
    report::audit_written(house, draft.groups.len(), moved(draft));
    // Headscale has no condition for a write. What was written before ours is lost, and what was written
    // since is found here.
    match policy(house).await {
        Ok(now) => Ok(now == draft.after),
        Err(why) => {
            tracing::debug!(
                reason = why.why,
                "the policy was written, and not read again"
            );
            Ok(true)
        }
    }
}

async fn draft(house: &House, assigned: &Assigned, report: &mut Report) -> Result<Draft, Failure> {
    let before = policy(house).await?;
    let mut groups = assigned.groups.clone();
    loop {
        let after = match with_groups(&before, &groups) {
            // Whoever can make a group at the provider must not stop everything.
            Err(Refusal::Taken(name)) if !house.settings.policy_sync.sources.gives(&name) => {
                groups.remove(&name);
                report.groups.remove(name.as_str());
                let behind = assigned.names.get(&name).into_iter().flatten();
                report.unnamed.extend(behind.cloned());
                continue;
            }
            made => made.map_err(|why| Failure::new(SyncFailure::Policy, &why.to_string()))?,
        };
        return Ok(Draft {
            before,
            after,
            groups,
        });
    }
}

/// The policy as it is; empty where there is none.
async fn policy(house: &House) -> Result<String, Failure> {
    match house.api.policy().await {
        Err(ApiError::NotFound) => Ok(String::new()),
        other => other.map_err(|why| asked(&why)),
    }
}

/// What Headscale says of a policy. Most of it has the status 500, and so has a database that is busy; what
/// else has a status of its own is about Headscale, or about what stands before it.
fn judged(why: &ApiError) -> Failure {
    let failure = asked(why);
    let verdict = Failure {
        kind: SyncFailure::Rejected,
        ..failure.clone()
    };
    match (failure.kind, why) {
        (SyncFailure::FileMode, _) => failure,
        (_, ApiError::Rejected { status: 500, .. }) => verdict.perhaps(),
        (
            _,
            ApiError::Rejected {
                status: 400 | 409 | 422,
                ..
            },
        ) => verdict,
        _ => failure,
    }
}

fn asked(why: &ApiError) -> Failure {
    match why {
        ApiError::Rejected { message, .. } if FILE_MODE.iter().any(|it| message.contains(it)) => {
            Failure::new(
                SyncFailure::FileMode,
                "headscale's policy is a file, which nothing can be written into: set policy.mode: database in its configuration, and put the policy in with `headscale policy set --file`",
            )
        }
        ApiError::Rejected { .. }
        | ApiError::NoKey
        | ApiError::KeyRefused
        | ApiError::NotFound
        | ApiError::Unreadable
        | ApiError::Fetch(_) => Failure::new(SyncFailure::Headscale, &why.to_string()),
    }
}

/// How many memberships come and go.
fn moved(draft: &Draft) -> (usize, usize) {
    let pairs = |text: &str| -> BTreeSet<(String, String)> {
        let groups: BTreeMap<String, BTreeSet<String>> = groups_of(text);
        let all = groups.into_iter().flat_map(|(name, members)| {
            members
                .into_iter()
                .map(move |member| (name.clone(), member))
        });
        all.collect()
    };
    let (before, after) = (pairs(&draft.before), pairs(&draft.after));
    (
        after.difference(&before).count(),
        before.difference(&after).count(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_policy_is_a_word_about_the_policy() {
        let rejected = SyncFailure::Rejected;
        for (status, message, kind, perhaps) in [
            (400, "a test failed", rejected, false),
            (409, "", rejected, false),
            (422, "", rejected, false),
            (500, "a test failed", rejected, true),
            (
                500,
                "update is disabled for modes other than",
                SyncFailure::FileMode,
                false,
            ),
            (429, "slower", SyncFailure::Headscale, false),
            (502, "bad gateway", SyncFailure::Headscale, false),
            (503, "busy", SyncFailure::Headscale, false),
            (504, "", SyncFailure::Headscale, false),
        ] {
            let message = message.to_owned();
            let failure = judged(&ApiError::Rejected { status, message });
            assert_eq!((failure.kind, failure.perhaps), (kind, perhaps), "{status}");
        }
        let busy = asked(&ApiError::Rejected {
            status: 500,
            message: "database is locked".to_owned(),
        });
        assert!(!busy.is_verdict(), "a question is no policy");
    }
}
