//! One attempt: read, put together, check, look again, write, and look whether that is what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use super::assign::{Assigned, Why, assign};
use super::report::{Failure, Outcome, Report};
use super::{JUST, PolicySync};
use crate::config::SignIn;
use crate::domain::diff::unified;
use crate::domain::hash::sha256;
use crate::domain::policy_groups::{groups_of, with_groups};
use crate::domain::time::Timestamp;
use crate::headscale::ApiError;
use crate::ops::metrics::SyncFailure;
use crate::proxy::house::House;
use crate::session::Known;

/// How often an attempt begins anew because somebody else wrote meanwhile.
const TRIES: usize = 3;
/// How long what was refused is not asked for again.
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
    at: Timestamp,
    failure: Failure,
}

/// A policy, and what it should be.
struct Draft {
    before: String,
    after: String,
}

impl PolicySync {
    pub(super) async fn once(&self, house: &House, way: Way) -> Report {
        let mut report = Report::of(Outcome::Unchanged);
        match self.known(house).await {
            Ok((people, assigned)) => {
                report.people = people.len();
                report.waits_for_somebody = waits(&people, &assigned, house.clock.now());
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

    async fn with(&self, house: &House, way: Way, assigned: Assigned, report: &mut Report) {
        report.left_out.clone_from(&assigned.left_out);
        report.unnamed.clone_from(&assigned.unnamed);
        for _ in 0..TRIES {
            let draft = match draft(house, &assigned).await {
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
                    report.outcome = Outcome::Failed(failure);
                    return;
                }
            }
        }
        let why = "somebody else keeps changing the policy";
        report.outcome = Outcome::Failed(Failure::new(SyncFailure::Changed, why));
    }

    /// Writes it. False, if somebody else wrote meanwhile, so that it has to be put together anew.
    async fn put(&self, house: &House, draft: &Draft) -> Result<bool, Failure> {
        let what = sha256(format!("{:?}", (&draft.before, &draft.after)).as_bytes());
        let now = house.clock.now();
        if let Some(failure) = self.refused_lately(&what, now) {
            return Err(failure);
        }
        let done = write(house, draft).await;
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = match &done {
            Err(failure) if failure.is_verdict() => Some(Refused {
                what,
                at: now,
                failure: failure.clone(),
            }),
            _ => None,
        };
        drop(refused);
        done
    }

    fn refused_lately(&self, what: &[u8; 32], now: Timestamp) -> Option<Failure> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let same = refused.as_ref().filter(|refused| refused.what == *what);
        let lately = same.filter(|it| now.since(it.at) < PAUSE && it.at <= now);
        lately.map(|refused| refused.failure.clone())
    }
}

/// Checked where that is possible, and only over the policy that it was made of.
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
        Err(why) => return Err(asked(&why)),
    }
    if policy(house).await? != draft.before {
        return Ok(false);
    }
    house
        .api
        .set_policy(&draft.after)
        .await
        .map_err(|why| asked(&why))?;
    // Headscale has no condition for a write: what came in between is found here at the latest.
    Ok(policy(house).await? == draft.after)
}

async fn draft(house: &House, assigned: &Assigned) -> Result<Draft, Failure> {
    let before = policy(house).await?;
    let after = with_groups(&before, &assigned.groups)
        .map_err(|why| Failure::new(SyncFailure::Policy, &why.to_string()))?;
    Ok(Draft { before, after })
}

/// The policy as it is; empty where there is none.
async fn policy(house: &House) -> Result<String, Failure> {
    match house.api.policy().await {
        Err(ApiError::NotFound) => Ok(String::new()),
        other => other.map_err(|why| asked(&why)),
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
        ApiError::Rejected { .. } => Failure::new(SyncFailure::Rejected, &why.to_string()),
        ApiError::NoKey
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

/// Whether somebody who just came is no user of Headscale's yet.
fn waits(people: &[Known], assigned: &Assigned, now: Timestamp) -> bool {
    people.iter().any(|known| {
        now.since(known.seen) < JUST && assigned.left_out.get(&known.subject) == Some(&Why::Unknown)
    })
}
