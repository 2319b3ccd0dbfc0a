//! The rules: who may pass. Pure; the caller brings the identity.
//!
//! `allowed_groups` AND `allowed_domains` AND `allowed_users`, OR inside each list, as Headscale
//! does. Users are matched by e-mail. Domains are compared without (ASCII) case, everything else
//! exactly. A missing claim denies. An empty list does not restrict.
//!
//! What a passed check is worth to the forwarding code is a [`Permit`].

use std::fmt;

use super::door::{ApiKind, Door, Guarded};
use super::identity::Identity;

/// The operator's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// One of these groups; empty does not restrict.
    pub allowed_groups: Vec<String>,
    /// One of these e-mail domains; empty does not restrict.
    pub allowed_domains: Vec<String>,
    /// One of these e-mail addresses; empty does not restrict.
    pub allowed_users: Vec<String>,
    /// Whether an unverified e-mail fails an e-mail rule.
    pub email_verified_required: bool,
    /// Whether a leading slash of a group name is significant.
    pub exact_groups: bool,
}

/// Why the rules refused. The variants are what the denial page may say; the fields are for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// In none of the allowed groups.
    Group {
        /// Every group the provider sent.
        has: Vec<String>,
    },
    /// The e-mail's domain is not allowed, or there is no usable e-mail.
    Domain {
        /// The address as sent.
        email: Option<String>,
    },
    /// The e-mail is not among the allowed users, or there is none.
    User {
        /// The address as sent.
        email: Option<String>,
    },
    /// An e-mail rule exists and the provider did not verify the address.
    UnverifiedEmail {
        /// The address as sent.
        email: String,
    },
}

impl Rules {
    /// Whether `identity` may pass.
    ///
    /// # Errors
    /// The first rule that refused, in the order groups, verification, domains, users (as Headscale
    /// checks them).
    pub fn decide(&self, identity: &Identity) -> Result<(), Denial> {
        if !self.allowed_groups.is_empty() && !self.has_any_group(identity, &self.allowed_groups) {
            return Err(Denial::Group {
                has: identity.groups.to_strings(),
            });
        }
        if self.allowed_domains.is_empty() && self.allowed_users.is_empty() {
            return Ok(());
        }
        let sent = || {
            identity
                .email
                .as_ref()
                .map(|email| email.as_str().to_owned())
        };
        if !self.trusts_email(identity)
            && let Some(email) = sent()
        {
            return Err(Denial::UnverifiedEmail { email });
        }
        if !self.allowed_domains.is_empty() && !self.has_any_domain(identity, &self.allowed_domains)
        {
            return Err(Denial::Domain { email: sent() });
        }
        if !self.allowed_users.is_empty() && !self.is_any_user(identity, &self.allowed_users) {
            return Err(Denial::User { email: sent() });
        }
        Ok(())
    }

    /// Whether `identity` is in one of the `wanted` groups. Nobody is in one of no groups: where an
    /// empty list means "no restriction", the caller asks first.
    pub fn has_any_group(&self, identity: &Identity, wanted: &[String]) -> bool {
        identity
            .groups
            .iter()
            .any(|has| wanted.iter().any(|want| self.same_group(has, want)))
    }

    /// Whether `identity`'s e-mail, verified if it has to be, is one of the `wanted` addresses, byte
    /// for byte. Nobody is one of no users.
    pub fn is_any_user(&self, identity: &Identity, wanted: &[String]) -> bool {
        self.trusts_email(identity)
            && identity.email.as_ref().is_some_and(|email| {
                let email = email.as_str();
                split_email(email).is_some() && wanted.iter().any(|want| want == email)
            })
    }

    /// Whether two group names mean the same group: a single leading slash is not significant
    /// unless `exact_groups`. The empty name is no group at all.
    pub fn same_group(&self, a: &str, b: &str) -> bool {
        let (a, b) = (self.group(a), self.group(b));
        !a.is_empty() && a == b
    }

    /// What is significant of a group's name.
    pub(super) fn group<'a>(&self, name: &'a str) -> &'a str {
        let bare = name.strip_prefix('/').filter(|_| !self.exact_groups);
        bare.unwrap_or(name)
    }

    fn has_any_domain(&self, identity: &Identity, wanted: &[String]) -> bool {
        self.trusts_email(identity)
            && identity
                .email
                .as_ref()
                .and_then(|email| split_email(email.as_str()))
                .is_some_and(|(_, domain)| wanted.iter().any(|w| w.eq_ignore_ascii_case(domain)))
    }

    /// Whether the address of `identity` counts for a rule, verified or not.
    pub(super) fn trusts_email(&self, identity: &Identity) -> bool {
        identity.email_verified || !self.email_verified_required
    }
}

/// Whether an address can satisfy an e-mail rule at all.
pub fn is_plain_address(email: &str) -> bool {
    split_email(email).is_some()
}

/// The local part and the domain of an address that is safe to judge by its domain: exactly one `@`,
/// before it the characters of an atom and dots (RFC 5322 section 3.2.3), so that no reader sees a
/// quote, a comment, a display name or a list of addresses in it; behind it visible ASCII without an
/// empty label. Anything else satisfies no e-mail rule.
pub(super) fn split_email(email: &str) -> Option<(&str, &str)> {
    let (local, domain) = email.split_once('@')?;
    let atom = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&b);
    let visible = |b: u8| b.is_ascii_graphic() && b != b'@' && b != b'"';
    let labels = domain.split('.').all(|label| !label.is_empty());
    let plain = !local.is_empty() && local.bytes().all(atom) && domain.bytes().all(visible);
    (plain && labels).then_some((local, domain))
}

impl Denial {
    /// The rule that refused, as a label for metrics and for the page.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Group { .. } => "group",
            Self::Domain { .. } => "domain",
            Self::User { .. } => "user",
            Self::UnverifiedEmail { .. } => "unverified_email",
        }
    }
}

/// The exact reason, for the log: one line, whatever the provider sent, and without the local part
/// of an e-mail address.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { has } if has.is_empty() => {
                f.write_str("in none of the allowed groups, the provider sent no group")
            }
            Self::Group { has } => {
                let shown: Vec<_> = has.iter().take(SHOWN_GROUPS).map(|g| shorten(g)).collect();
                write!(f, "in none of the allowed groups, has {shown:?}")?;
                match has.len().saturating_sub(SHOWN_GROUPS) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Domain { email: None } => {
                f.write_str("a domain is required, the provider sent no e-mail address")
            }
            Self::Domain { email: Some(email) } => match split_email(email) {
                Some((_, domain)) => {
                    write!(f, "e-mail domain {:?} is not allowed", shorten(domain))
                }
                None => f.write_str("the e-mail address is malformed, its domain cannot be judged"),
            },
            Self::User { email: None } => {
                f.write_str("a listed user is required, the provider sent no e-mail address")
            }
            Self::User { email: Some(_) } => {
                f.write_str("the e-mail address is not among the allowed users")
            }
            Self::UnverifiedEmail { .. } => f.write_str(
                "the provider did not verify the e-mail address, and an e-mail rule needs that",
            ),
        }
    }
}

/// Most groups that a denial names in the log.
const SHOWN_GROUPS: usize = 10;
/// Most characters of one name in the log.
const SHOWN_CHARS: usize = 64;

fn shorten(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => name
            .get(..end)
            .map(|cut| format!("{cut}…"))
            .unwrap_or_default(),
        None => name.to_owned(),
    }
}

/// Proof that a request may be forwarded. Only the checks below make one; it is consumed by the one
/// request it was made for.
#[derive(Debug)]
#[must_use = "a permit is spent by forwarding a request"]
pub struct Permit(());

impl Permit {
    /// For the doors that ask for nobody: the machine protocol, the open paths, and `Verify`, whose
    /// peer address the caller has checked.
    pub fn for_open_door(door: &Door) -> Option<Self> {
        match door {
            Door::Machine(_) | Door::Open | Door::Verify => Some(Self(())),
            Door::NoContent
            | Door::Own(_)
            | Door::Api(_)
            | Door::ApiDocs
            | Door::Guarded(_)
            | Door::Closed => None,
        }
    }

    /// For a path that a rule opened to everybody; never for a device's link or any other door.
    pub fn for_public_page(door: &Door, rule_is_public: bool) -> Option<Self> {
        let is_page = matches!(door, Door::Guarded(Guarded::Page));
        (is_page && rule_is_public).then_some(Self(()))
    }

    /// For a live session's identity that the rules admit.
    ///
    /// # Errors
    /// The denial, as [`Rules::decide`] gave it.
    pub fn for_identity(rules: &Rules, identity: &Identity) -> Result<Self, Denial> {
        rules.decide(identity).map(|()| Self(()))
    }

    /// For an API request that brings credentials Headscale itself will check: Bearer on v1 and gRPC,
    /// Bearer or Basic on v2, and the v2 token endpoint, which carries them in its body.
    pub fn for_api_credentials(door: &Door, authorization: Option<&str>) -> Option<Self> {
        let Door::Api(kind) = door else { return None };
        let scheme = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(_, credentials)| !credentials.trim().is_empty())
            .map(|(scheme, _)| scheme);
        let is = |name: &str| scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(name));
        let brings = match kind {
            ApiKind::V1 | ApiKind::Grpc => is("bearer"),
            ApiKind::V2 => is("bearer") || is("basic"),
            ApiKind::V2Token => true,
        };
        brings.then_some(Self(()))
    }
}

#[cfg(test)]
mod tests;
