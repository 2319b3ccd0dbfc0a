//! What the discovery document says about scopes, claims and logout, set against the rules.

use serde_json::{Map, Value};
use strsim::jaro_winkler;

use super::{Checkup, texts, unknown};
use crate::domain::finding::Finding;

const SCOPES: &str = "provider.scopes";
const EMAIL: &str = "provider.email";
const GROUPS: &str = "provider.groups";
const LOGOUT: &str = "provider.logout";

/// Above this, two names are taken for one with a typing mistake.
const SIMILAR: f64 = 0.9;

pub(super) fn look(
    document: Option<&Map<String, Value>>,
    checkup: &Checkup<'_>,
    findings: &mut Vec<Finding>,
) {
    findings.push(scopes(document, checkup));
    findings.push(email(document, checkup));
    findings.extend(groups(document, checkup));
    findings.push(logout(document));
}

fn scopes(document: Option<&Map<String, Value>>, checkup: &Checkup<'_>) -> Finding {
    let Some(document) = document else {
        return unknown(SCOPES);
    };
    let wanted = &checkup.settings.scope;
    if let Some(offered) = texts(document, "scopes_supported") {
        let lacks = |name: &&String| !offered.contains(name);
        let missing: Vec<&str> = wanted.iter().filter(lacks).map(String::as_str).collect();
        if !missing.is_empty() {
            let told = format!("the provider does not offer {}", missing.join(", "));
            let fix = "map these scopes at the provider, or take them out of oidc.scope";
            return Finding::warning(SCOPES, told, fix);
        }
    }
    let offered = format!("{} are offered", wanted.join(", "));
    if wanted.iter().any(|name| name == "offline_access") {
        return Finding::ok(SCOPES, offered);
    }
    if checkup.rechecks {
        return Finding::warning(
            SCOPES,
            "without offline_access there is most likely no refresh token, and nobody is checked \
             again while signed in, whatever session.recheck says",
            "add offline_access to oidc.scope, and allow it at the provider",
        );
    }
    // To go without is a choice.
    let told = format!(
        "{offered}; without offline_access people are most likely not checked again while signed in"
    );
    Finding::ok(SCOPES, told)
}

fn email(document: Option<&Map<String, Value>>, checkup: &Checkup<'_>) -> Finding {
    let rules = checkup.rules;
    if rules.allowed_domains.is_empty() && rules.allowed_users.is_empty() {
        return Finding::ok(EMAIL, "no rule asks for an address");
    }
    if !rules.email_verified_required {
        return Finding::ok(
            EMAIL,
            "addresses count unverified, as email_verified_required says",
        );
    }
    let fix = "map email_verified to true at the provider, if people cannot change their address \
               themselves; or write email_verified_required: false, with the same condition";
    match checkup.person.map(|person| person.email_verified) {
        Some(Some(true)) => return Finding::ok(EMAIL, "the address in the claims is verified"),
        Some(Some(false)) => {
            let told = "the address in the claims is not verified, so the e-mail rules admit nobody \
                        like this person";
            return Finding::failure(EMAIL, told, fix);
        }
        Some(None) => {
            let told = "the claims have no address, and a rule asks for one";
            return Finding::failure(
                EMAIL,
                told,
                "add email to oidc.scope, and map it at the provider",
            );
        }
        None => {}
    }
    let Some(document) = document else {
        return unknown(EMAIL);
    };
    let claims = texts(document, "claims_supported");
    let says = claims.is_none_or(|claims| claims.iter().any(|name| name == "email_verified"));
    if crate::config::is_authentik(checkup.settings.issuer.as_str()) || !says {
        let told = "a rule asks for a verified address; authentik 2025.10 and newer, and providers \
                    that do not announce email_verified, call every address unverified";
        return Finding::warning(EMAIL, told, format!("{fix}; see it with --claims"));
    }
    Finding::ok(EMAIL, "the provider says which addresses are verified")
}

/// Names in the configuration against those in somebody's claims, or else against what providers do.
fn groups(document: Option<&Map<String, Value>>, checkup: &Checkup<'_>) -> Vec<Finding> {
    if checkup.groups.is_empty() {
        return vec![Finding::ok(GROUPS, "no rule asks for a group")];
    }
    let found = match checkup.person {
        Some(person) => against(&person.groups, checkup),
        None => without_claims(document, checkup),
    };
    if found.is_empty() {
        let told = match checkup.person {
            Some(_) => "the names of groups that the claims have are written as there",
            None => "nothing speaks against the names; see them against a person's with --claims",
        };
        return vec![Finding::ok(GROUPS, told)];
    }
    found
}

fn against(has: &[String], checkup: &Checkup<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if has.is_empty() {
        let claim = &checkup.settings.groups_claim;
        let told = format!("the claims have no groups in {claim}");
        let fix = "check oidc.groups_claim, and that the provider sends groups (in authentik they \
                   come with the scope profile)";
        findings.push(Finding::failure(GROUPS, told, fix));
    }
    for (key, wanted) in checkup.groups {
        if has
            .iter()
            .any(|group| checkup.rules.same_group(group, wanted))
        {
            continue;
        }
        if let Some(near) = has.iter().find(|group| is_near(group, wanted)) {
            let told =
                format!("{key} has {wanted:?}, the claims have {near:?}: not the same group");
            findings.push(Finding::warning(
                GROUPS,
                told,
                format!("write {near:?} in {key}"),
            ));
        }
    }
    findings
}

/// The same but for case or a slash, or for a letter or two.
fn is_near(group: &str, wanted: &str) -> bool {
    let plain = |name: &str| {
        let last = name.rsplit('/').next().unwrap_or(name);
        last.to_lowercase().replace([' ', '_'], "-")
    };
    let (group, wanted) = (plain(group), plain(wanted));
    group == wanted || jaro_winkler(&group, &wanted) >= SIMILAR
}

fn without_claims(document: Option<&Map<String, Value>>, checkup: &Checkup<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, wanted) in checkup.groups {
        let slash = wanted.starts_with('/') && checkup.rules.exact_groups;
        if slash && crate::config::is_authentik(checkup.settings.issuer.as_str()) {
            let told =
                format!("{key} has {wanted:?}, but authentik's groups have no leading slash");
            let fix = "take the slash away, or exact_group_names";
            findings.push(Finding::warning(GROUPS, told, fix));
        }
    }
    let claim = &checkup.settings.groups_claim;
    let claims = document.and_then(|document| texts(document, "claims_supported"));
    let first = claim.split('.').next().unwrap_or(claim);
    let said = |name: &String| name == claim || name == first;
    if claims.is_some_and(|claims| !claims.iter().any(said)) {
        let told = format!("the provider does not announce the claim {claim}");
        let fix =
            "check oidc.groups_claim, and that the provider sends groups; see it with --claims";
        findings.push(Finding::warning(GROUPS, told, fix));
    }
    findings
}

fn logout(document: Option<&Map<String, Value>>) -> Finding {
    let Some(document) = document else {
        return unknown(LOGOUT);
    };
    let has = |member: &str| document.get(member).is_some_and(|value| !value.is_null());
    let says = |member: &str| document.get(member) == Some(&Value::Bool(true));
    if !has("end_session_endpoint") {
        return Finding::warning(
            LOGOUT,
            "the provider has no end_session_endpoint: signing out here leaves people signed in there",
            "nothing to do here; people sign out at the provider themselves",
        );
    }
    if !says("backchannel_logout_supported") && !says("frontchannel_logout_supported") {
        return Finding::warning(
            LOGOUT,
            "the provider tells nobody that somebody signed out there",
            "keep session.recheck short: that is when it is noticed",
        );
    }
    Finding::ok(
        LOGOUT,
        "the provider signs out, and tells when somebody did",
    )
}
