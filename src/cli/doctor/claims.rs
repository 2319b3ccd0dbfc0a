//! A person's claims, and every group that the configuration names.

use std::path::Path;

use crate::config::{Settings, read_file};
use crate::oidc::{CheckedPerson, Unverified};

/// Reads claims as `explain` does.
pub(super) fn read(path: &Path, settings: &Settings) -> Result<CheckedPerson, String> {
    let name = path.display();
    let file =
        read_file(path).map_err(|why| format!("the claims in {name} cannot be read: {why}"))?;
    let claims = Unverified::read(&file.text).map_err(|why| why.to_string())?;
    let person = claims
        .person(&settings.oidc)
        .map_err(|why| why.to_string())?;
    let who = person.identity;
    Ok(CheckedPerson {
        email_verified: who.email.as_ref().map(|_| who.email_verified),
        groups: who.groups.to_strings(),
    })
}

/// Each group with the key it stands at.
pub(super) fn groups(settings: &Settings) -> Vec<(String, String)> {
    let lists = [
        ("oidc.allowed_groups", &settings.rules.allowed_groups),
        ("api.admins", &settings.api.admins),
        ("api.viewers", &settings.api.viewers),
    ];
    let lists = lists.map(|(key, groups)| (key.to_owned(), groups));
    let rules = settings.access.iter().enumerate();
    let rules =
        rules.map(|(index, rule)| (format!("access[{index}].groups"), &rule.demands.groups));
    let all = lists.into_iter().chain(rules);
    all.flat_map(|(key, groups)| groups.iter().map(move |group| (key.clone(), group.clone())))
        .collect()
}
