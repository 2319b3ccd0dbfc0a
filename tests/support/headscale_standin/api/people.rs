//! Users.

use serde_json::{Value, json};

use super::super::{State, User};
use super::{Answer, Call, Fault, number};

/// When every user of the stand-in came.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// A user as the API shows it. From 0.28 on an empty name is shown as the address, the provider's
/// identifier or the id.
pub(super) fn shown(user: &User, id: usize, version: u32) -> Value {
    let email = user.email.clone().unwrap_or_default();
    let id = id.to_string();
    let mut name = user.name.clone();
    if version >= 28 && name.is_empty() {
        let others = [&email, &user.provider_identifier, &id];
        name = others
            .into_iter()
            .find(|other| !other.is_empty())
            .cloned()
            .unwrap_or_default();
    }
    let provider = if user.provider_identifier.is_empty() {
        ""
    } else {
        "oidc"
    };
    json!({
        "id": id,
        "name": name,
        "createdAt": CREATED,
        "displayName": user.display_name,
        "email": email,
        "providerId": user.provider_identifier,
        "provider": provider,
        "profilePicUrl": user.picture.clone().unwrap_or_default(),
    })
}

/// Position of the user whose provider identifier or stored name this is.
pub(super) fn position(state: &State, who: &str) -> Option<usize> {
    let by = |fits: &dyn Fn(&User) -> bool| state.users.iter().position(fits);
    by(&|user| user.provider_identifier == who && !who.is_empty())
        .or_else(|| by(&|user| user.name == who && !who.is_empty()))
}

pub(super) fn list(state: &State, call: &Call<'_>) -> Answer {
    if let Some(id) = call.parameter("id") {
        number(id, "id")?;
    }
    // The first filter that is given wins.
    let given = |name: &str| call.parameter(name).filter(|value| !value.is_empty());
    let (name, email, id) = (given("name"), given("email"), given("id"));
    let fits = |(at, user): &(usize, &User)| match (name, email, id) {
        (Some(name), ..) => user.name == name,
        (None, Some(email), _) => user.email.as_deref() == Some(email),
        (None, None, Some(id)) => id == "0" || (at + 1).to_string() == id,
        (None, None, None) => true,
    };
    let users: Vec<Value> = (state.users.iter().enumerate().filter(fits))
        .map(|(at, user)| shown(user, at + 1, call.version))
        .collect();
    Ok(json!({ "users": users }))
}

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Answer {
    let body = call.object(&["name", "displayName", "email", "pictureUrl"])?;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let optional = |name: &str| Some(text(name)).filter(|value| !value.is_empty());
    let name = text("name");
    let is_local = |user: &User| user.provider_identifier.is_empty() && user.name == name;
    if !name.is_empty() && state.users.iter().any(is_local) {
        let error = "UNIQUE constraint failed: users.name";
        return Err(Fault::error(409, "creating user", error)
            .before(format!("creating user: creating user: {error}")));
    }
    let user = User {
        name,
        display_name: text("displayName"),
        email: optional("email"),
        picture: optional("pictureUrl"),
        ..User::default()
    };
    state.users.push(user.clone());
    Ok(json!({ "user": shown(&user, state.users.len(), call.version) }))
}
