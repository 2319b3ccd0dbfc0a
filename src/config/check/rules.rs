//! Who may pass: the lists of the `oidc` section.

use super::super::file;
use super::super::report::Report;
use super::values::texts;
use super::{Checks, oidc};
use crate::domain::policy::{Rules, is_plain_address};

/// The rules in the `oidc` section.
pub(super) fn rules(file: &file::Oidc, checks: &mut Checks<'_>) -> Option<Rules> {
    let report = &mut checks.report;
    let groups = texts("oidc.allowed_groups", file.allowed_groups.clone(), report);
    let domains = texts("oidc.allowed_domains", file.allowed_domains.clone(), report)
        .filter(|domains| check_each("oidc.allowed_domains", domains, domain_mistake, report));
    let users = texts("oidc.allowed_users", file.allowed_users.clone(), report)
        .filter(|users| check_each("oidc.allowed_users", users, user_mistake, report));
    let broken = [
        "oidc.allowed_groups",
        "oidc.allowed_domains",
        "oidc.allowed_users",
    ]
    .iter()
    .any(|key| report.is_broken(key));
    let rules = Rules {
        allowed_groups: groups?,
        allowed_domains: domains?,
        allowed_users: users?,
        email_verified_required: file.email_verified_required.unwrap_or(true),
        exact_groups: file.exact_group_names.unwrap_or(false),
    };
    if broken {
        return None;
    }
    check_everyone(&rules, file.allow_everyone == Some(true), report);
    check_stripping(&rules, file, report);
    warn(&rules, file, report);
    Some(rules)
}

/// Reports each entry that `mistake` finds something in; whether there was none.
pub(super) fn check_each(
    key: &str,
    list: &[String],
    mistake: fn(&str) -> Option<(&'static str, &'static str)>,
    report: &mut Report,
) -> bool {
    let mut good = true;
    for (index, text) in list.iter().enumerate() {
        if let Some((reason, hint)) = mistake(text) {
            report.refuse_with(&format!("{key}[{index}]"), reason, hint);
            good = false;
        }
    }
    good
}

pub(super) fn domain_mistake(text: &str) -> Option<(&'static str, &'static str)> {
    if text.contains('@') {
        Some(("a domain has no @", "write the part after the @ only"))
    } else if text.contains(['*', '?']) {
        Some((
            "domains have no patterns",
            "name each domain; sub-domains do not count",
        ))
    } else if text.starts_with('.') || text.ends_with('.') || !is_plain(text) {
        Some(("not a domain", "for example acmecorp.net"))
    } else {
        None
    }
}

pub(super) fn user_mistake(text: &str) -> Option<(&'static str, &'static str)> {
    match text.split_once('@') {
        _ if text.contains(['*', '?']) => Some((
            "users have no patterns",
            "use allowed_domains for everybody of a domain",
        )),
        Some((_, domain)) if domain_mistake(domain).is_none() && is_plain_address(text) => None,
        _ => Some((
            "users are matched by e-mail, and this is none",
            "write name@domain",
        )),
    }
}

/// What the domain of an e-mail that counts for a rule consists of.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"@\\".contains(&byte))
}

fn check_everyone(rules: &Rules, everyone: bool, report: &mut Report) {
    let none = rules.allowed_groups.is_empty()
        && rules.allowed_domains.is_empty()
        && rules.allowed_users.is_empty();
    if none && !everyone {
        report.refuse_with(
            "oidc.allow_everyone",
            "no rule says who may pass, and an empty list does not restrict",
            "write allowed_groups, allowed_domains or allowed_users; or allow_everyone: true, so \
             that everybody with an account at the provider may pass",
        );
    } else if everyone && !none {
        report.warn(
            "oidc.allow_everyone",
            "no effect, since the lists restrict all the same",
        );
    }
}

/// Without their domain, `ann@a.example` and `ann@b.example` are one user.
fn check_stripping(rules: &Rules, file: &file::Oidc, report: &mut Report) {
    const KEY: &str = "oidc.strip_email_domain";
    let mut domains: Vec<String> = rules
        .allowed_domains
        .iter()
        .map(|domain| domain.to_ascii_lowercase())
        .collect();
    domains.sort();
    domains.dedup();
    if file.strip_email_domain != Some(true) || domains.len() == 1 {
        return;
    }
    if file.allow_name_collisions == Some(true) {
        report.warn(
            KEY,
            "people with the same name in different domains become one user name",
        );
        return;
    }
    report.refuse_with(
        KEY,
        "needs exactly one entry in oidc.allowed_domains, or people of different domains become \
         one user name",
        "name the one domain, or write false (user.domain), or remove the key (user@domain), or \
         allow_name_collisions: true",
    );
}

fn warn(rules: &Rules, file: &file::Oidc, report: &mut Report) {
    if !rules.email_verified_required {
        report.warn(
            "oidc.email_verified_required",
            "e-mails count unverified: people must not be able to change theirs at the provider",
        );
    }
    let by_mail = !rules.allowed_domains.is_empty() || !rules.allowed_users.is_empty();
    let authentik = file.issuer.as_deref().is_some_and(oidc::is_authentik);
    if authentik && by_mail && file.email_verified_required.is_none() {
        report.warn(
            "oidc.email_verified_required",
            "authentik 2025.10 and newer call every e-mail unverified, and then the e-mail rules \
             admit nobody: map email_verified there, or write false here",
        );
    }
    if authentik && rules.exact_groups {
        for group in rules
            .allowed_groups
            .iter()
            .filter(|group| group.starts_with('/'))
        {
            report.warn(
                "oidc.allowed_groups",
                format!(
                    "authentik's groups have no leading slash, so {group} never matches exactly"
                ),
            );
        }
    }
    if !rules.allowed_domains.is_empty() {
        for user in &rules.allowed_users {
            let domain = user.rsplit('@').next().unwrap_or("");
            if !rules
                .allowed_domains
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(domain))
            {
                report.warn(
                    "oidc.allowed_users",
                    format!("{user} is in no allowed domain, and both lists must agree"),
                );
            }
        }
    }
}
