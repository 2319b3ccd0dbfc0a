//! Who is in which group of the policy: people, as Headscale finds them. Pure.
//!
//! Somebody stands in the policy by their provider id, which Headscale looks for before names and addresses,
//! and of which there is one: no name that anybody gives themselves can be taken for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::group_name::{GroupName, GroupSources, Named};
use crate::domain::identity::{Issuer, Subject};
use crate::domain::policy_groups::{Groups, Member};
use crate::headscale::{User, provider_id};
use crate::session::Known;

/// Why somebody is in none of their groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Headscale has no such user: they have no device yet.
    Unknown,
    /// Headscale has two, or two people are one user there.
    Ambiguous,
    /// Headscale cannot keep their subject apart from others.
    Subject,
}

impl Why {
    pub(super) const ALL: [Self; 3] = [Self::Unknown, Self::Ambiguous, Self::Subject];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ambiguous => "ambiguous",
            Self::Subject => "subject",
        }
    }
}

/// What the policy should say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) groups: Groups,
    pub(super) left_out: BTreeMap<Subject, Why>,
    /// Groups of the provider's that can have no name of their own.
    pub(super) unnamed: BTreeSet<String>,
    /// The provider's groups behind each name.
    pub(super) names: BTreeMap<GroupName, BTreeSet<String>>,
}

/// Puts `people`, who signed in at the issuer that Headscale knows as `issuer`, into the groups of `sources`.
pub(super) fn assign(
    sources: &GroupSources,
    people: &[Known],
    users: &[User],
    issuer: &Issuer,
) -> Assigned {
    let all = people.iter().flat_map(|known| &known.groups);
    let Named { names, unnamed } = sources.name(&all.map(String::as_str));
    let mut by_group: HashMap<&str, Vec<&GroupName>> = HashMap::new();
    for (name, groups) in &names {
        for group in groups {
            by_group.entry(group).or_default().push(name);
        }
    }
    let mut by_id: HashMap<&str, Vec<&User>> = HashMap::new();
    for user in users {
        by_id.entry(&user.provider_id).or_default().push(user);
    }
    let ids: Vec<Option<String>> = people
        .iter()
        .map(|known| id(issuer, &known.subject))
        .collect();
    let mut bearers: HashMap<&str, usize> = HashMap::new();
    for id in ids.iter().flatten() {
        *bearers.entry(id).or_default() += 1;
    }
    let empty = names.keys().map(|name| (name.clone(), BTreeSet::new()));
    let mut assigned = Assigned {
        groups: empty.collect(),
        left_out: BTreeMap::new(),
        unnamed,
        names: BTreeMap::new(),
    };
    for (known, id) in people.iter().zip(&ids) {
        let member = member(id.as_deref(), &by_id, &bearers);
        match member {
            Ok(member) => {
                let names = known
                    .groups
                    .iter()
                    .filter_map(|group| by_group.get(group.as_str()));
                for name in names.flatten() {
                    let members = assigned.groups.entry((*name).clone()).or_default();
                    members.insert(member.clone());
                }
            }
            Err(why) => drop(assigned.left_out.insert(known.subject.clone(), why)),
        }
    }
    assigned.names = names;
    assigned
}

fn id(issuer: &Issuer, subject: &Subject) -> Option<String> {
    provider_id(issuer, subject)
}

fn member(
    id: Option<&str>,
    by_id: &HashMap<&str, Vec<&User>>,
    bearers: &HashMap<&str, usize>,
) -> Result<Member, Why> {
    let id = id.ok_or(Why::Subject)?;
    if bearers.get(id).is_some_and(|count| *count > 1) {
        return Err(Why::Ambiguous);
    }
    match by_id.get(id).map(Vec::as_slice) {
        None | Some([]) => Err(Why::Unknown),
        Some([user]) => Ok(Member {
            // Headscale takes one at sign away, and wants one to be there.
            token: format!("{id}@"),
            name: user.name.clone(),
        }),
        Some(_) => Err(Why::Ambiguous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::group_name::GroupSource;
    use crate::domain::time::Timestamp;

    fn user(name: &str, email: &str, provider_id: &str) -> User {
        User {
            id: "1".to_owned(),
            name: name.to_owned(),
            email: email.to_owned(),
            provider_id: provider_id.to_owned(),
        }
    }

    fn known(subject: &str, groups: &[&str]) -> Known {
        Known {
            subject: Subject::new(subject),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            seen: Timestamp::from_unix(1),
        }
    }

    #[test]
    fn only_whom_headscale_knows_by_their_sign_in_is_in_a_group() {
        let entry = |name: Option<&str>, from: &[&str]| GroupSource {
            name: name.and_then(GroupName::parse),
            from: from.iter().map(|group| (*group).to_owned()).collect(),
        };
        let sources = GroupSources {
            entries: vec![
                entry(Some("admins"), &["hs-admins"]),
                entry(None, &["staff", "vpn-*"]),
            ],
            exact: false,
        };
        let issuer = &Issuer::new("https://auth/o/hs/");
        let users = [
            user("ann", "ann@company", "https://auth/o/hs/1"),
            user("eve", "eve@company", "https://auth/o/hs/2"),
            user("two", "", "https://auth/o/hs/4"),
            user("two-again", "", "https://auth/o/hs/4"),
            // Made by hand, or from elsewhere, with names that look like somebody.
            user("https://auth/o/hs/3", "3@company", ""),
            user("3", "https://auth/o/hs/3", "https://elsewhere/3"),
            user("odd", "", "https://auth/o/hs/ann"),
        ];
        let people = [
            known("1", &["hs-admins", "staff"]),
            known("2", &["staff", "vpn-x"]),
            known("3", &["hs-admins"]),
            known("4", &["hs-admins"]),
            known("ann/", &["hs-admins"]),
        ];
        let assigned = assign(&sources, &people, &users, issuer);
        let told: Vec<String> = assigned
            .groups
            .iter()
            .map(|(name, members)| {
                let members: Vec<String> = members
                    .iter()
                    .map(|it| format!("{} {}", it.token, it.name))
                    .collect();
                format!("{name}: {}", members.join(", "))
            })
            .collect();
        assert_eq!(
            told,
            [
                "group:admins: https://auth/o/hs/1@ ann",
                "group:staff: https://auth/o/hs/1@ ann, https://auth/o/hs/2@ eve",
                "group:vpn-x: https://auth/o/hs/2@ eve",
            ]
        );
        let left_out: Vec<(&str, Why)> = assigned
            .left_out
            .iter()
            .map(|(who, why)| (who.as_str(), *why))
            .collect();
        assert_eq!(
            left_out,
            [
                ("3", Why::Unknown),
                ("4", Why::Ambiguous),
                ("ann/", Why::Subject)
            ]
        );
    }

    #[test]
    fn two_people_whom_headscale_takes_for_one_are_both_left_out() {
        let sources = GroupSources {
            entries: vec![GroupSource {
                name: GroupName::parse("a"),
                from: vec!["*".to_owned()],
            }],
            exact: false,
        };
        let users = [user("ann", "", "https://auth/ann")];
        let people = [known("ann", &["x"]), known("ann", &["y"])];
        let assigned = assign(&sources, &people, &users, &Issuer::new("https://auth"));
        assert!(assigned.groups.values().all(BTreeSet::is_empty));
        assert_eq!(
            assigned.left_out.into_values().collect::<Vec<_>>(),
            [Why::Ambiguous]
        );
    }
}
