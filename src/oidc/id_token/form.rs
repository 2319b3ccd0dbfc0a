//! The types of what a token says: its header (RFC 7515 section 4.1) and its claims (OpenID Connect Core
//! sections 2 and 5.1). A value of another type is not guessed at: another reader might guess otherwise.

use serde_json::{Map, Value};

use super::super::algorithm::Named;
use super::TokenFault;
use crate::domain::text::shortened;

/// `typ` of an ID token.
pub(in crate::oidc) const ID_TOKEN: &[&str] = &["application/jwt", "application/jose"];

/// Claims that are texts.
const TEXTS: &[&str] = &[
    "nonce",
    "at_hash",
    "c_hash",
    "acr",
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
];

/// Claims that are yes or no; some providers write them as texts.
const BOOLEANS: &[&str] = &["email_verified", "phone_number_verified"];

/// What `alg` says, in a header whose parameters all have the type that they should.
///
/// # Errors
/// [`TokenFault::Malformed`]. The value is not quoted.
pub(super) fn algorithm(header: &Map<String, Value>) -> Result<Named, TokenFault> {
    let typed = ["typ", "cty", "kid"]
        .into_iter()
        .all(|name| member(header, name).is_none_or(Value::is_string))
        && member(header, "crit").is_none_or(is_texts);
    let named = header.get("alg").and_then(Value::as_str);
    named
        .filter(|_| typed)
        .and_then(Named::parse)
        .ok_or_else(|| TokenFault::Malformed("a header or claim has the wrong type".to_owned()))
}

/// Whether this is a signed token of one of these types, with nothing in its header that must be understood
/// and is not (RFC 7515 sections 4.1.9 to 4.1.11).
///
/// # Errors
/// [`TokenFault::Header`].
pub(super) fn check_header(header: &Map<String, Value>, types: &[&str]) -> Result<(), TokenFault> {
    let text = |name| member(header, name).and_then(Value::as_str);
    let refused = |what: &str| Err(TokenFault::Header(shortened(what)));
    if let Some(found) = text("typ")
        && !types.contains(&media_type(found).as_str())
    {
        return refused(&format!("unexpected or unsupported JWT type `{found}`"));
    }
    match text("cty") {
        Some(kind) if kind.eq_ignore_ascii_case("jwt") => {
            return refused("nested JWT's are not currently supported");
        }
        Some(kind) => {
            return refused(&format!(
                "unexpected or unsupported JWT content type `{kind}`"
            ));
        }
        None => {}
    }
    if member(header, "crit").is_some() {
        return refused("critical JWT header fields are unsupported");
    }
    Ok(())
}

/// Section 4.1.9: `application/` goes without saying.
fn media_type(written: &str) -> String {
    let written = written.to_ascii_lowercase();
    if written.contains('/') {
        written
    } else {
        format!("application/{written}")
    }
}

/// The claims that every token of the provider is judged by.
///
/// # Errors
/// [`TokenFault::Malformed`], with the claim's name and not its value.
pub(super) fn check_common(claims: &Map<String, Value>) -> Result<(), TokenFault> {
    check("iss", member(claims, "iss").is_some_and(Value::is_string))?;
    let aud = member(claims, "aud");
    check(
        "aud",
        aud.is_none_or(|aud| aud.is_string() || is_texts(aud)),
    )?;
    check("azp", member(claims, "azp").is_none_or(Value::is_string))
}

/// The claims of an ID token that this or another reader takes something from.
///
/// # Errors
/// As [`check_common`].
pub(super) fn check_all(claims: &Map<String, Value>) -> Result<(), TokenFault> {
    check_common(claims)?;
    for name in TEXTS {
        check(name, member(claims, name).is_none_or(Value::is_string))?;
    }
    for name in BOOLEANS {
        let fine = |value: &Value| {
            value.is_boolean() || value.as_str().is_some_and(|it| it.parse::<bool>().is_ok())
        };
        check(name, member(claims, name).is_none_or(fine))?;
    }
    check("amr", member(claims, "amr").is_none_or(is_texts))
}

fn check(name: &str, fine: bool) -> Result<(), TokenFault> {
    if fine {
        return Ok(());
    }
    Err(TokenFault::Malformed(format!(
        "its claim {name:?} has the wrong type"
    )))
}

/// A member, null being none.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn is_texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|all| all.iter().all(Value::is_string))
}
