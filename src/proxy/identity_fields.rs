//! What an upstream is told about the person, in fields of the request.

use super::headers::encode_claim;
use crate::config::IdentityHeaders;
use crate::domain::identity::Identity;
use crate::domain::policy::Rules;

/// The fields of `preset` for `who`, in their order, each value as it is sent.
pub(super) fn identity_fields(
    rules: &Rules,
    preset: IdentityHeaders,
    who: &Identity,
) -> Vec<(&'static str, String)> {
    match preset {
        IdentityHeaders::None => Vec::new(),
        IdentityHeaders::Remote => remote(rules, who),
    }
}

fn remote(rules: &Rules, who: &Identity) -> Vec<(&'static str, String)> {
    let trusted = who.email_verified || !rules.email_verified_required;
    let email = who.email.as_ref().filter(|_| trusted);
    let groups: Vec<String> = who.groups.iter().map(|g| encode_claim(g)).collect();
    // No other claim stands in for a missing name: it could be somebody else's name.
    let user = who
        .username
        .as_deref()
        .filter(|name| !name.trim().is_empty());
    let mut fields = Vec::with_capacity(4);
    fields.extend(user.map(|user| ("Remote-User", encode_claim(user))));
    fields.extend(email.map(|email| ("Remote-Email", encode_claim(email.as_str()))));
    fields.extend(
        who.name
            .as_ref()
            .map(|name| ("Remote-Name", encode_claim(name))),
    );
    fields.push(("Remote-Groups", groups.join(",")));
    fields
}
