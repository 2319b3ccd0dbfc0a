//! What an upstream is told about the person, in fields of the request.

use crate::domain::identity::Identity;
use crate::domain::identity_field::{FieldName, IdentityField, Told};
use crate::domain::policy::Rules;

/// The `fields` of a rule for `who`, in their order, each value as it is sent.
pub(super) fn identity_fields<'a>(
    rules: &Rules,
    fields: &'a [IdentityField],
    who: &'a Identity,
) -> impl Iterator<Item = (&'a FieldName, String)> + use<'a> {
    let told = told(rules, who);
    fields
        .iter()
        .filter_map(move |field| Some((&field.name, field.value(told)?)))
}

/// What of `who` may be told: an e-mail under the condition under which the rules believe it.
pub(super) fn told<'a>(rules: &Rules, who: &'a Identity) -> Told<'a> {
    Told {
        who,
        email: who.email_verified || !rules.email_verified_required,
    }
}
