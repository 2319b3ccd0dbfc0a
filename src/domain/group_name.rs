//! What a group is called in Headscale's policy, and which groups of the provider become it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// `group:` and a name. Headscale takes any text there; these are the ones that are safe in every place of a
/// policy: behind it may stand `:` and ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

/// What every group's name begins with.
pub const PREFIX: &str = "group:";
/// Longest name, without the prefix.
const LONGEST: usize = 63;

impl GroupName {
    /// A name with or without its prefix, as an operator writes it. `None` if it begins with something else
    /// than a letter or digit, holds something else than those and `-`, `.` or `_`, or is longer than 63.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix(PREFIX).unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let first = name.bytes().next()?.is_ascii_alphanumeric();
        (first && name.len() <= LONGEST && name.bytes().all(plain))
            .then(|| Self(format!("{PREFIX}{name}")))
    }

    /// The name for a group of the provider's: in lower case, with a hyphen for what cannot be part of a name.
    /// `None` if nothing of it can.
    pub fn derive(group: &str) -> Option<Self> {
        let mut name = String::with_capacity(group.len());
        for c in group.chars() {
            match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') => name.push(c),
                _ if name.ends_with('-') => {}
                _ => name.push('-'),
            }
        }
        let name = name.trim_matches(['-', '.', '_']);
        Self::parse(name)
    }

    /// With its prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entry of `policy_sync.groups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSource {
    /// Everybody in one of the groups is in this one; `None` makes a group of its own of each.
    pub name: Option<GroupName>,
    /// Groups of the provider's; `*` stands for any number of characters.
    pub from: Vec<String>,
}

/// Which groups of the provider's are in the policy, and under which names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSources {
    /// In their order.
    pub entries: Vec<GroupSource>,
    /// Whether a leading slash of a group name is significant.
    pub exact: bool,
}

/// The names of the policy for a number of the provider's groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Which groups each name stands for.
    pub names: BTreeMap<GroupName, BTreeSet<String>>,
    /// Groups that would all get one name, so that none of them has it, and those that cannot have any.
    pub unnamed: BTreeSet<String>,
}

impl GroupSources {
    /// Whether this group of the provider's is in the policy.
    pub fn wants(&self, group: &str) -> bool {
        let mut patterns = self.entries.iter().flat_map(|entry| &entry.from);
        patterns.any(|pattern| self.matches(pattern, group))
    }

    /// Whether the operator wrote what becomes `name`, so that nobody at the provider can make it appear.
    pub fn gives(&self, name: &GroupName) -> bool {
        self.entries.iter().any(|entry| match &entry.name {
            Some(given) => given == name,
            None => entry.from.iter().any(|group| {
                !group.contains('*') && GroupName::derive(self.plain(group)).as_ref() == Some(name)
            }),
        })
    }

    fn matches(&self, pattern: &str, group: &str) -> bool {
        let (pattern, group) = (self.plain(pattern), self.plain(group));
        !group.is_empty() && matches(pattern, group)
    }

    /// A group's name as it is compared.
    pub fn plain<'a>(&self, group: &'a str) -> &'a str {
        if self.exact {
            group
        } else {
            group.strip_prefix('/').unwrap_or(group)
        }
    }

    /// What `groups` of the provider's are called. A name that the operator gave is there also if it stands
    /// for none of them. One that is derived belongs to one group: where two would have it, a rule about it
    /// would be about whoever is in the other one, so that neither gets it; also while nobody is known who
    /// is in the other.
    pub fn name<'a>(&self, groups: &(impl Iterator<Item = &'a str> + Clone)) -> Named {
        let mut named = Named::default();
        // The groups that would have each, also those of which nobody is known.
        let mut derived: BTreeMap<GroupName, (BTreeSet<String>, BTreeSet<String>)> =
            BTreeMap::new();
        for entry in &self.entries {
            let matching = groups.clone().filter(|group| {
                let mut patterns = entry.from.iter();
                patterns.any(|pattern| self.matches(pattern, group))
            });
            if let Some(name) = &entry.name {
                let members = named.names.entry(name.clone()).or_default();
                members.extend(matching.map(str::to_owned));
                continue;
            }
            for pattern in entry.from.iter().filter(|pattern| !pattern.contains('*')) {
                if let Some(name) = GroupName::derive(self.plain(pattern)) {
                    let (plain, _) = derived.entry(name).or_default();
                    plain.insert(self.plain(pattern).to_owned());
                }
            }
            for group in matching {
                match self.derived(entry, group) {
                    Some(name) => {
                        let (plain, groups) = derived.entry(name).or_default();
                        plain.insert(self.plain(group).to_owned());
                        groups.insert(group.to_owned());
                    }
                    None => drop(named.unnamed.insert(group.to_owned())),
                }
            }
        }
        for (name, (plain, groups)) in derived {
            if plain.len() > 1 || named.names.contains_key(&name) {
                named.unnamed.extend(groups);
            } else {
                named.names.insert(name, groups);
            }
        }
        named
    }

    /// The name of a group's own. Whoever is there first must not have another one's: a group that only a star
    /// matches has one only if nothing of it has to be changed for that.
    fn derived(&self, entry: &GroupSource, group: &str) -> Option<GroupName> {
        let group = self.plain(group);
        let name = GroupName::derive(group)?;
        let is_named = entry.from.iter().any(|it| self.plain(it) == group);
        let same = name.as_str().strip_prefix(PREFIX) == Some(group);
        (is_named || same).then_some(name)
    }
}

/// Whether `text` is what `pattern` says, in which `*` stands for any number of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        match text.find(part) {
            Some(at) => text = text.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_safe_in_every_place_of_a_policy_are_names() {
        for (text, name) in [
            ("admins", Some("group:admins")),
            ("group:admins", Some("group:admins")),
            ("group:Net-Ops_2.eu", Some("group:Net-Ops_2.eu")),
            ("2fa", Some("group:2fa")),
            ("", None),
            ("group:", None),
            ("-x", None),
            ("a:b", None),
            ("a b", None),
            ("a\"b", None),
            ("a@b", None),
            ("\u{e9}", None),
            ("group:group:a", None),
        ] {
            let parsed = GroupName::parse(text);
            assert_eq!(parsed.as_ref().map(GroupName::as_str), name, "{text:?}");
        }
        assert!(GroupName::parse(&"a".repeat(63)).is_some());
        assert!(GroupName::parse(&"a".repeat(64)).is_none());
    }

    #[test]
    fn a_derived_name_is_the_group_in_characters_that_headscale_takes() {
        for (group, name) in [
            ("headscale-admins", Some("group:headscale-admins")),
            ("Headscale Admins", Some("group:headscale-admins")),
            ("/infra/Net & Ops", Some("group:infra-net-ops")),
            ("infra:eu", Some("group:infra-eu")),
            ("ann@company", Some("group:ann-company")),
            ("Gr\u{fc}n", Some("group:gr-n")),
            ("\u{7ba1}\u{7406}", None),
            ("---", None),
            ("", None),
        ] {
            let derived = GroupName::derive(group);
            assert_eq!(derived.as_ref().map(GroupName::as_str), name, "{group:?}");
        }
    }

    #[test]
    fn a_star_is_any_number_of_characters() {
        for (pattern, text, is) in [
            ("vpn-*", "vpn-berlin", true),
            ("vpn-*", "vpn-", true),
            ("vpn-*", "my-vpn-x", false),
            ("*", "anything", true),
            ("*-eu", "ops-eu", true),
            ("*-eu", "ops-eu-2", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("**", "x", true),
            ("x", "x", true),
            ("x", "X", false),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }

    fn sources(entries: &[(Option<&str>, &[&str])], exact: bool) -> GroupSources {
        let entry = |(name, from): &(Option<&str>, &[&str])| GroupSource {
            name: name.and_then(GroupName::parse),
            from: from.iter().map(|text| (*text).to_owned()).collect(),
        };
        GroupSources {
            entries: entries.iter().map(entry).collect(),
            exact,
        }
    }

    fn told(named: &Named) -> (Vec<String>, Vec<&str>) {
        let names = named.names.iter().map(|(name, groups)| {
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            format!("{name}={}", groups.join("+"))
        });
        let unnamed = named.unnamed.iter().map(String::as_str);
        (names.collect(), unnamed.collect())
    }

    #[test]
    fn a_given_name_stands_for_all_its_groups_and_a_derived_one_for_one() {
        let sources = sources(
            &[
                (Some("admins"), &["hs-admins", "/infra/*"]),
                (None, &["staff", "vpn-*"]),
            ],
            false,
        );
        let groups = [
            "hs-admins",
            "infra/net",
            "/staff",
            "vpn-berlin",
            "other",
            "/vpn-x",
        ];
        let named = sources.name(&groups.into_iter());
        let (names, unnamed) = told(&named);
        assert_eq!(
            names,
            [
                "group:admins=hs-admins+infra/net",
                "group:staff=/staff",
                "group:vpn-berlin=vpn-berlin",
                "group:vpn-x=/vpn-x",
            ]
        );
        assert!(unnamed.is_empty());
        assert!(sources.wants("/hs-admins") && !sources.wants("other") && !sources.wants(""));
        // Names of the operator's are there before anybody is in them.
        let nobody = sources.name(&[].into_iter());
        let (names, _) = told(&nobody);
        assert_eq!(names, ["group:admins=", "group:staff="]);
    }

    /// What is in `from`, whose people are known, and what has a name and what has none.
    #[test]
    fn a_derived_name_is_not_for_whoever_is_known_first() {
        for (from, groups, names, unnamed) in [
            (
                &["Team A", "team*"][..],
                &["team-a"][..],
                &[][..],
                &["team-a"][..],
            ),
            (
                &["Team A", "team*"],
                &["Team A"],
                &["group:team-a=Team A"],
                &[],
            ),
            (
                &["Team A", "team*"],
                &["Team A", "team-a"],
                &[],
                &["Team A", "team-a"],
            ),
            (&["*"], &["VPN Berlin"], &[], &["VPN Berlin"]),
            (&["*"], &["-admins"], &[], &["-admins"]),
            (
                &["*"],
                &["vpn-berlin", "VPN Berlin"],
                &["group:vpn-berlin=vpn-berlin"],
                &["VPN Berlin"],
            ),
            (&["*"], &["/a.b_c-1"], &["group:a.b_c-1=/a.b_c-1"], &[]),
        ] {
            let named = sources(&[(None, from)], false).name(&groups.iter().copied());
            let (told, rest) = told(&named);
            let told: Vec<&str> = told
                .iter()
                .map(String::as_str)
                .filter(|it| !it.ends_with('='))
                .collect();
            assert_eq!(
                (&told[..], &rest[..]),
                (names, unnamed),
                "{from:?} {groups:?}"
            );
        }
    }

    #[test]
    fn a_name_that_two_groups_would_have_is_for_neither() {
        let sources = sources(&[(Some("net"), &["hs-net"]), (None, &["*"])], true);
        let groups = [
            "Team A", "team-a", "hs-net", "net", "ok", "\u{7ba1}", "/ok2", "ok2",
        ];
        let named = sources.name(&groups.into_iter());
        let (names, unnamed) = told(&named);
        assert_eq!(
            names,
            [
                "group:hs-net=hs-net",
                "group:net=hs-net",
                "group:ok=ok",
                "group:ok2=ok2",
                "group:team-a=team-a"
            ]
        );
        assert_eq!(unnamed, ["/ok2", "Team A", "net", "\u{7ba1}"]);
    }
}
