//! What a person may do on Headscale's API through a session.

use super::access::{Holds, holds};
use super::identity::Identity;
use super::policy::Rules;

/// Where Headscale lists pre-auth keys: in full before 0.28, and later those that were made before. Its list of
/// devices shows the same of keys that devices came with, and is a viewer's all the same.
const PRE_AUTH_KEYS: &str = "/api/v1/preauthkey/**";

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

    /// Whether it allows a request for `path`, a [`super::path::Target`]'s. Reading is not harmless where
    /// Headscale shows a key in full: whoever has a pre-auth key lets devices in.
    pub fn allows_at(self, safe: bool, path: &str) -> bool {
        let secret = matches!(self, Self::Viewer) && holds(PRE_AUTH_KEYS, path) != Holds::No;
        self.allows(safe) && !secret
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
        for (path, viewer) in [
            ("/api/v1/node", true),
            ("/api/v1/apikey", true),
            ("/api/v1/preauthkeys", true),
            ("/api/v1/preauthkey", false),
            ("/api/v1/preauthkey/", false),
            ("/api/v1/preauthkey/1", false),
            ("/api/v1/PreAuthKey", false),
            ("/api/v1/%70reauthkey", false),
        ] {
            assert_eq!(Role::Viewer.allows_at(true, path), viewer, "{path}");
            assert!(!Role::Viewer.allows_at(false, path), "{path}");
            assert!(Role::Admin.allows_at(true, path), "{path}");
            assert!(!Role::None.allows_at(true, path), "{path}");
        }
    }
}
