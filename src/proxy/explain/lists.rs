//! Each list of the rules by itself: what it wants, what the person has, what of it fits. Asked of the
//! rules with the other lists left empty, so that no comparison is made here.

use super::told::{List, RulesTold};
use crate::domain::demands::has_fitting_claim;
use crate::domain::identity::Identity;
use crate::domain::policy::{Denial, Rules};

/// The verdict of all lists together, then each list's own.
pub(super) fn rules(rules: &Rules, who: &Identity) -> RulesTold {
    let denial = rules.decide(who).err();
    RulesTold {
        admitted: denial.is_none(),
        denial: denial.as_ref().map(Denial::kind),
        refusal: denial.as_ref().map(ToString::to_string),
        lists: vec![
            groups("oidc.allowed_groups", rules, who, &rules.allowed_groups),
            domains(rules, who),
            users("oidc.allowed_users", rules, who, &rules.allowed_users),
        ],
    }
}

/// `groups` of a rule for a path.
pub(super) fn groups_at(rules: &Rules, who: &Identity, wanted: &[String]) -> List {
    let fits = |one: &&String| rules.has_fitting_group(who, std::slice::from_ref(*one));
    told("groups", wanted, &who.groups.to_strings(), fits)
}

/// `domains` of a rule for a path.
pub(super) fn domains_at(rules: &Rules, who: &Identity, wanted: &[String]) -> List {
    let fits = |one: &&String| rules.has_fitting_domain(who, std::slice::from_ref(*one));
    told("domains", wanted, &email(who), fits)
}

/// `users` of a rule for a path.
pub(super) fn users_at(rules: &Rules, who: &Identity, wanted: &[String]) -> List {
    let fits = |one: &&String| rules.is_fitting_user(who, std::slice::from_ref(*one));
    told("users", wanted, &email(who), fits)
}

/// One of the `claims` of a rule for a path.
pub(super) fn claim(who: &Identity, name: &str, wanted: &[String]) -> List {
    let fits = |one: &&String| has_fitting_claim(who, name, std::slice::from_ref(*one));
    let found: Vec<String> = who
        .claims
        .values(name)
        .iter()
        .map(ToString::to_string)
        .collect();
    told(format!("claims.{name}"), wanted, &found, fits)
}

fn groups(list: &'static str, rules: &Rules, who: &Identity, wanted: &[String]) -> List {
    let fits = |one: &&String| rules.has_any_group(who, std::slice::from_ref(*one));
    told(list, wanted, &who.groups.to_strings(), fits)
}

fn users(list: &'static str, rules: &Rules, who: &Identity, wanted: &[String]) -> List {
    let fits = |one: &&String| rules.is_any_user(who, std::slice::from_ref(*one));
    told(list, wanted, &email(who), fits)
}

fn domains(rules: &Rules, who: &Identity) -> List {
    let fits = |one: &&String| {
        let alone = Rules {
            allowed_groups: Vec::new(),
            allowed_domains: vec![(*one).clone()],
            allowed_users: Vec::new(),
            ..*rules
        };
        alone.decide(who).is_ok()
    };
    told(
        "oidc.allowed_domains",
        &rules.allowed_domains,
        &email(who),
        fits,
    )
}

fn told(
    list: impl Into<String>,
    wanted: &[String],
    found: &[String],
    fits: impl FnMut(&&String) -> bool,
) -> List {
    let matches: Vec<String> = wanted.iter().filter(fits).cloned().collect();
    List {
        list: list.into(),
        restricts: !wanted.is_empty(),
        matched: wanted.is_empty() || !matches.is_empty(),
        wanted: wanted.to_vec(),
        found: found.to_vec(),
        matches,
    }
}

fn email(who: &Identity) -> Vec<String> {
    let email = who.email.iter();
    email.map(|email| email.as_str().to_owned()).collect()
}
