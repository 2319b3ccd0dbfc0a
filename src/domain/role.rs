//! What a person may do on Headscale's API through a session.

use super::identity::Identity;
use super::policy::Rules;

/// A role on the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Any method.
    Admin,
    /// Methods that change nothing.
    Viewer,
    /// Nothing.
    None,
}

impl Role {
    /// The role of whoever is in one of the groups of `admins`, or else of `viewers`.
    pub fn of(rules: &Rules, who: &Identity, admins: &[String], viewers: &[String]) -> Self {
        if rules.has_any_group(who, admins) {
            Self::Admin
        } else if rules.has_any_group(who, viewers) {
            Self::Viewer
        } else {
            Self::None
        }
    }

    /// Whether it allows a request; `safe` is one whose method changes nothing (RFC 9110 section
    /// 9.2.1).
    pub const fn allows(self, safe: bool) -> bool {
        match self {
            Self::Admin => true,
            Self::Viewer => safe,
            Self::None => false,
        }
    }

    /// A name for what an operator reads.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::claims::NamedClaims;
    use crate::domain::identity::{Issuer, Subject};

    #[test]
    fn the_stronger_role_wins_and_nobody_has_one_by_default() {
        let rules = Rules {
            allowed_groups: vec![],
            allowed_domains: vec![],
            allowed_users: vec![],
            email_verified_required: true,
            exact_groups: false,
        };
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        for (groups, admins, viewers, role) in [
            (&["a", "v"][..], &["a"][..], &["v"][..], Role::Admin),
            (&["v"], &["a"], &["v"], Role::Viewer),
            (&["/v"], &["a"], &["v"], Role::Viewer),
            (&["x"], &["a"], &["v"], Role::None),
            (&["x"], &[], &[], Role::None),
            (&[], &["a"], &["v"], Role::None),
        ] {
            let who = Identity {
                issuer: Issuer::new("https://id.example/"),
                subject: Subject::new("7"),
                email: None,
                email_verified: false,
                username: None,
                name: None,
                picture: None,
                groups: list(groups).into(),
                claims: NamedClaims::default(),
            };
            let found = Role::of(&rules, &who, &list(admins), &list(viewers));
            assert_eq!(found, role, "{groups:?} {admins:?} {viewers:?}");
        }
        let allowed = |role: Role| [role.allows(true), role.allows(false)];
        assert_eq!(allowed(Role::Admin), [true, true]);
        assert_eq!(allowed(Role::Viewer), [true, false]);
        assert_eq!(allowed(Role::None), [false, false]);
    }
}
