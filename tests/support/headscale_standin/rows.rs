//! Headscale's user rows, as a sign-in writes them.

use serde_json::Value;

use super::{Oidc, State, User};

/// Creates or updates the user row; its provider identifier.
pub(super) fn remember(state: &mut State, claims: &Value, oidc: &Oidc) -> String {
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let id = format!("{}/{}", text("iss").trim_end_matches('/'), text("sub"));
    let at = state
        .users
        .iter()
        .position(|user| user.provider_identifier == id);
    let at = at.unwrap_or_else(|| {
        state.users.push(User {
            provider_identifier: id.clone(),
            ..User::default()
        });
        state.users.len() - 1
    });
    let user = &mut state.users[at];
    if valid_username(&text("preferred_username")) {
        user.name = text("preferred_username");
    }
    let verified = claims["email_verified"] == true || claims["email_verified"] == "true";
    if (verified || !oidc.email_verified_required) && text("email").contains('@') {
        user.email = Some(text("email"));
    }
    user.display_name = text("name");
    user.picture = claims["picture"].as_str().map(str::to_owned);
    user.groups = match &claims["groups"] {
        Value::Array(all) => all
            .iter()
            .filter_map(|g| g.as_str().map(str::to_owned))
            .collect(),
        Value::String(one) => vec![one.clone()],
        _ => Vec::new(),
    };
    id
}

/// Headscale's `ValidateUsername`.
fn valid_username(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '@');
    name.chars().count() >= 2
        && name.starts_with(char::is_alphabetic)
        && name.chars().all(fits)
        && name.matches('@').count() <= 1
}
