//! What a rule for a path asks of a person, on top of the general rules: AND between the kinds, OR
//! inside each list. Here, and nowhere else, a list may hold stars ([`super::glob`]).

use std::collections::BTreeMap;
use std::fmt;

use super::glob;
use super::identity::Identity;
use super::policy::{Rules, split_email};

/// What is asked. An empty list asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// One of these groups.
    pub groups: Vec<String>,
    /// An e-mail address of one of these domains.
    pub domains: Vec<String>,
    /// One of these e-mail addresses.
    pub users: Vec<String>,
    /// In each of these claims one of the values; no list of them is empty.
    pub claims: BTreeMap<String, Vec<String>>,
}

/// The first kind that a person does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// In none of the groups.
    Groups,
    /// Of none of the domains, or without an address that counts.
    Domains,
    /// None of the users, or without an address that counts.
    Users,
    /// Without one of the values in this claim.
    Claim(String),
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups => f.write_str("groups"),
            Self::Domains => f.write_str("domains"),
            Self::Users => f.write_str("users"),
            Self::Claim(name) => write!(f, "the claim {name}"),
        }
    }
}

impl Demands {
    /// Whether everybody satisfies it.
    pub fn is_nothing(&self) -> bool {
        self.groups.is_empty()
            && self.domains.is_empty()
            && self.users.is_empty()
            && self.claims.is_empty()
    }
}

impl Rules {
    /// Whether `who` satisfies `demands`.
    ///
    /// # Errors
    /// The first kind that is not satisfied.
    pub fn meet(&self, who: &Identity, demands: &Demands) -> Result<(), Unmet> {
        let Demands {
            groups,
            domains,
            users,
            claims,
        } = demands;
        if !groups.is_empty() && !self.has_fitting_group(who, groups) {
            return Err(Unmet::Groups);
        }
        if !domains.is_empty() && !self.has_fitting_domain(who, domains) {
            return Err(Unmet::Domains);
        }
        if !users.is_empty() && !self.is_fitting_user(who, users) {
            return Err(Unmet::Users);
        }
        let mut lacking = claims
            .iter()
            .filter(|(name, values)| !has_fitting_claim(who, name, values));
        match lacking.next() {
            Some((name, _)) => Err(Unmet::Claim(name.clone())),
            None => Ok(()),
        }
    }

    /// Whether `who` is in a group that one of `wanted` means.
    pub fn has_fitting_group(&self, who: &Identity, wanted: &[String]) -> bool {
        wanted.iter().any(|want| {
            who.groups.iter().any(|has| {
                if !glob::is_wild(want) {
                    return self.same_group(has, want);
                }
                let (has, want) = (self.group(has), self.group(want));
                !has.is_empty() && glob::fits_name(want, has)
            })
        })
    }

    /// Whether the e-mail address of `who`, verified if it has to be, is of a domain that one of
    /// `wanted` means.
    pub fn has_fitting_domain(&self, who: &Identity, wanted: &[String]) -> bool {
        self.counting_email(who)
            .is_some_and(|(_, domain)| wanted.iter().any(|want| glob::fits_domain(want, domain)))
    }

    /// Whether the e-mail address of `who`, verified if it has to be, is what one of `wanted` means.
    pub fn is_fitting_user(&self, who: &Identity, wanted: &[String]) -> bool {
        self.counting_email(who)
            .is_some_and(|parts| wanted.iter().any(|want| glob::fits_address(want, parts)))
    }

    fn counting_email<'a>(&self, who: &'a Identity) -> Option<(&'a str, &'a str)> {
        let email = who.email.as_ref().filter(|_| self.trusts_email(who))?;
        split_email(email.as_str())
    }
}

/// Whether `who` has in the claim `name` a value that one of `wanted` means. Byte for byte; an empty
/// value satisfies nothing.
pub fn has_fitting_claim(who: &Identity, name: &str, wanted: &[String]) -> bool {
    let mut values = who.claims.values(name).iter();
    values.any(|has| !has.is_empty() && wanted.iter().any(|want| glob::fits_name(want, has)))
}

#[cfg(test)]
mod tests;
