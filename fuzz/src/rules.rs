//! The rules. Input: three flags (`1` for yes: an unverified address fails, group names are exact, the
//! address is verified), allowed groups, allowed domains, allowed users (each separated by commas), the
//! person's groups, and behind these lines their e-mail address (empty for none).

use headwarden::domain::claims::NamedClaims;
use headwarden::domain::door::{ApiKind, Door, Guarded};
use headwarden::domain::identity::{Email, Identity, Issuer, Subject};
use headwarden::domain::policy::{Permit, Rules};

use super::support::{entries, text_lines};

pub fn run(data: &[u8]) {
    let Some(([flags, groups, domains, users, has], email)) = text_lines::<5>(data) else {
        return;
    };
    let flag = |at: usize| flags.as_bytes().get(at) == Some(&b'1');
    let rules = Rules {
        allowed_groups: entries(groups),
        allowed_domains: entries(domains),
        allowed_users: entries(users),
        email_verified_required: flag(0),
        exact_groups: flag(1),
    };
    let identity = Identity {
        issuer: Issuer::new("https://authentik.company/"),
        subject: Subject::new("s"),
        email: Some(email)
            .filter(|email| !email.is_empty())
            .map(Email::new),
        email_verified: flag(2),
        username: None,
        name: None,
        picture: None,
        groups: entries(has).into(),
        claims: NamedClaims::default(),
    };
    check(&rules, &identity);
    check_permits(email);
}

/// The verdict, written down once more.
fn admits(rules: &Rules, identity: &Identity) -> bool {
    let name = |group: &str| match group.strip_prefix('/') {
        Some(rest) if !rules.exact_groups => rest.to_owned(),
        _ => group.to_owned(),
    };
    let in_group = identity.groups.iter().map(|group| name(group)).any(|has| {
        !has.is_empty()
            && rules
                .allowed_groups
                .iter()
                .map(|group| name(group))
                .any(|wanted| wanted == has)
    });
    let email = identity.email.as_ref().map_or("", Email::as_str);
    let counts = identity.email_verified || !rules.email_verified_required;
    let domain = domain(email).filter(|_| counts);
    let in_domain = domain.is_some_and(|domain| {
        let domain = domain.to_ascii_lowercase();
        rules
            .allowed_domains
            .iter()
            .any(|wanted| wanted.to_ascii_lowercase() == domain)
    });
    let is_user = domain.is_some() && rules.allowed_users.iter().any(|wanted| wanted == email);
    (rules.allowed_groups.is_empty() || in_group)
        && (rules.allowed_domains.is_empty() || in_domain)
        && (rules.allowed_users.is_empty() || is_user)
}

/// The domain of an address that has one reading only.
fn domain(email: &str) -> Option<&str> {
    let at = email.find('@')?;
    let (local, domain) = (&email[..at], &email[at + 1..]);
    let one = email.matches('@').count() == 1;
    let plain = email.chars().all(|c| ('!'..='~').contains(&c) && c != '"');
    // An atom with dots (RFC 5322 section 3.2.3, but for where the dots stand).
    let atom = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
    let plain = plain && local.chars().all(atom);
    let dots = domain.starts_with('.') || domain.ends_with('.') || domain.contains("..");
    (one && plain && !local.is_empty() && !domain.is_empty() && !dots).then_some(domain)
}

pub fn check(rules: &Rules, identity: &Identity) {
    let verdict = rules.decide(identity);
    let asked = format!("{rules:?} {identity:?}");
    assert_eq!(verdict.is_ok(), admits(rules, identity), "{asked}");
    assert_eq!(
        Permit::for_identity(rules, identity).is_ok(),
        verdict.is_ok(),
        "{asked}"
    );
    if let Err(denial) = verdict {
        let line = denial.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.len() < 8192, "a denial of {} bytes", line.len());
        let email = identity.email.as_ref().map_or("", Email::as_str);
        let local = email.split('@').next().unwrap_or_default();
        let elsewhere = identity.groups.iter().any(|group| group.contains(local))
            || email.matches(local).count() > 1;
        if local.len() > 16 && !elsewhere {
            assert!(!line.contains(local), "the log has an address: {line}");
        }
    }
}

/// Credentials open the API and nothing else.
fn check_permits(authorization: &str) {
    let scheme = authorization
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let brings = authorization
        .split_once(' ')
        .is_some_and(|(_, rest)| !rest.trim().is_empty());
    for (door, schemes) in [
        (Door::Api(ApiKind::V1), &["bearer"][..]),
        (Door::Api(ApiKind::V2), &["bearer", "basic"]),
        (Door::ApiDocs, &[]),
        (Door::Guarded(Guarded::Page), &[]),
        (Door::Closed, &[]),
        (Door::Open, &[]),
    ] {
        let permit = Permit::for_api_credentials(&door, Some(authorization));
        let wanted = brings && schemes.contains(&scheme.as_str());
        assert_eq!(permit.is_some(), wanted, "{door:?} {authorization:?}");
        assert!(Permit::for_api_credentials(&door, None).is_none());
    }
}
