//! From claims to an [`Identity`]: which claim is which, and how userinfo is merged over the ID
//! token. Whether the person may pass is `domain::policy`'s business.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::domain::claims::{LONGEST_VALUE, MOST_VALUES, NamedClaims};
use crate::domain::identity::{Email, Identity, Issuer, Subject};
use crate::domain::texts::Texts;

/// Claims as JSON.
pub type Claims = Map<String, Value>;

/// Which claims the operator chose.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// `oidc.username_claim`.
    pub username: &'a str,
    /// `oidc.groups_claim`.
    pub groups: &'a str,
    /// Those that `access` rules name.
    pub kept: &'a [String],
}

/// Puts userinfo over the ID token's claims. The caller has proven that both have the same `sub`.
///
/// A `null` says nothing. Another address does not inherit the `email_verified` of the one it
/// replaces.
pub fn merge(id_token: Claims, userinfo: Claims) -> Claims {
    let mut merged = id_token;
    let replaced = |name: &str| userinfo.get(name).is_some_and(|new| !new.is_null());
    if replaced("email") && userinfo.get("email") != merged.get("email") {
        merged.remove("email_verified");
    }
    merged.extend(userinfo.into_iter().filter(|(_, value)| !value.is_null()));
    merged
}

/// Reads the person out of merged claims. Empty texts count as missing.
pub fn identity(claims: &Claims, issuer: &Issuer, subject: Subject, names: Names<'_>) -> Identity {
    Identity {
        issuer: issuer.clone(),
        subject,
        email: text(claims, "email").map(Email::new),
        email_verified: is_true(claims.get("email_verified")),
        username: find(claims, names.username)
            .and_then(plain_text)
            .map(Into::into),
        name: text(claims, "name").map(Into::into),
        picture: text(claims, "picture").map(Into::into),
        groups: find(claims, names.groups)
            .map(texts)
            .unwrap_or_default()
            .into(),
        claims: kept(claims, names.kept),
    }
}

/// The claims that rules name, as far as they are there.
fn kept(claims: &Claims, names: &[String]) -> NamedClaims {
    let found = names.iter().filter_map(|name| {
        let values: Texts = find(claims, name).map(scalars)?.into();
        Some((Arc::from(name.as_str()), values))
    });
    found.collect()
}

/// A list of texts, numbers and booleans, or one of them, as a text. What is neither is left out, and
/// so is what no rule could mean.
fn scalars(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let fits = |text: &String| !text.is_empty() && text.len() <= LONGEST_VALUE;
    match value {
        Value::Array(values) => {
            let each = values.iter().filter_map(text).filter(fits);
            each.take(MOST_VALUES).collect()
        }
        other => text(other).filter(fits).into_iter().collect(),
    }
}

/// How the person signed in: `acr`, and the texts of `amr`.
pub fn assurance(claims: &Claims) -> (Option<String>, Vec<String>) {
    let acr = claims.get("acr").and_then(Value::as_str);
    let amr = claims.get("amr").and_then(Value::as_array);
    let amr = amr.into_iter().flatten().filter_map(Value::as_str);
    (acr.map(str::to_owned), amr.map(str::to_owned).collect())
}

/// A claim by its name: the name as it stands first, since namespaced claims have dots
/// (`https://company.example/groups`), then as a path (`realm_access.roles`). A path may pass
/// through members whose own names have dots.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    name.match_indices('.').find_map(|(dot, _)| {
        let (head, rest) = name.split_at(dot);
        let inner = claims.get(head)?.as_object()?;
        find(inner, rest.strip_prefix('.')?)
    })
}

fn text(claims: &Claims, name: &str) -> Option<String> {
    claims.get(name).and_then(plain_text)
}

fn plain_text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// A list of texts, or one text. What is neither is left out: it names no group.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().filter_map(plain_text).collect(),
        other => plain_text(other).into_iter().collect(),
    }
}

/// JSON `true`, or the text that some providers send instead. Nothing else, and no other case.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    fn read(value: &Value, username: &str, groups: &str) -> Identity {
        let names = Names {
            username,
            groups,
            kept: &[],
        };
        let issuer = Issuer::new("https://idp.example/");
        identity(&claims(value), &issuer, Subject::new("s"), names)
    }

    #[test]
    fn groups_come_from_a_list_or_one_text_under_a_plain_dotted_or_namespaced_name() {
        for (document, name, groups) in [
            (json!({"groups": ["b", "a"]}), "groups", vec!["b", "a"]),
            (json!({"groups": "one"}), "groups", vec!["one"]),
            (json!({"groups": "a, b"}), "groups", vec!["a, b"]),
            (
                json!({"groups": ["a", 1, null, "", {"name": "x"}, ["y"]]}),
                "groups",
                vec!["a"],
            ),
            (json!({"groups": {"a": true}}), "groups", vec![]),
            (json!({"groups": null}), "groups", vec![]),
            (json!({}), "groups", vec![]),
            (
                json!({"realm_access": {"roles": ["r"]}}),
                "realm_access.roles",
                vec!["r"],
            ),
            (json!({"a": {"b": {"c": ["d"]}}}), "a.b.c", vec!["d"]),
            (json!({"a.b": {"c": ["d"]}}), "a.b.c", vec!["d"]),
            (json!({"a": "text"}), "a.b", vec![]),
            (
                json!({"https://x.y/groups": ["n"]}),
                "https://x.y/groups",
                vec!["n"],
            ),
            (
                json!({"a.b": ["exact"], "a": {"b": ["walk"]}}),
                "a.b",
                vec!["exact"],
            ),
            (json!({"Groups": ["case"]}), "groups", vec![]),
        ] {
            let identity = read(&document, "preferred_username", name);
            assert_eq!(identity.groups.to_strings(), groups, "{document} {name}");
        }
    }

    #[test]
    fn a_named_claim_is_kept_as_texts_whatever_it_is_and_nothing_else_is() {
        let long = "x".repeat(LONGEST_VALUE + 1);
        let crowd: Vec<String> = (0..=MOST_VALUES).map(|n| n.to_string()).collect();
        for (value, expected) in [
            (json!("it"), Some(vec!["it"])),
            (json!(["it", "ops"]), Some(vec!["it", "ops"])),
            (json!(3), Some(vec!["3"])),
            (json!(1.5), Some(vec!["1.5"])),
            (json!(true), Some(vec!["true"])),
            (
                json!([1, false, "x", null, {"a": 1}, ["y"], ""]),
                Some(vec!["1", "false", "x"]),
            ),
            (json!(""), Some(vec![])),
            (json!({"it": true}), Some(vec![])),
            (json!(null), Some(vec![])),
            (json!([long, "short"]), Some(vec!["short"])),
        ] {
            for (name, document) in [
                ("department", json!({ "department": value, "other": "x" })),
                (
                    "org.department",
                    json!({ "org": { "department": value }, "other": "x" }),
                ),
                (
                    "https://x.y/dep",
                    json!({ "https://x.y/dep": value, "other": "x" }),
                ),
            ] {
                let names = Names {
                    username: "u",
                    groups: "g",
                    kept: &[name.to_owned(), "missing".to_owned()],
                };
                let issuer = Issuer::new("https://idp.example/");
                let who = identity(&claims(&document), &issuer, Subject::new("s"), names);
                let map = who.claims.to_map();
                assert_eq!(map.len(), 1, "{document}");
                let found: Option<Vec<&str>> = map
                    .get(name)
                    .map(|all| all.iter().map(String::as_str).collect());
                assert_eq!(found, expected, "{document}");
            }
        }
        assert_eq!(scalars(&json!(crowd)).len(), MOST_VALUES);
    }

    /// Each is taken where it is a text, as it is.
    #[test]
    fn an_address_a_name_and_a_picture_are_texts_or_absent() {
        for (value, expected) in [
            (json!("Ben"), Some("Ben")),
            (json!(" Ben "), Some(" Ben ")),
            (json!(""), None),
            (json!(7), None),
            (json!(["Ben"]), None),
            (json!(null), None),
        ] {
            for claim in ["email", "name", "picture"] {
                let found = read(&json!({ claim: value }), "u", "g");
                let email = found.email.map(|email| email.as_str().to_owned());
                let all = [
                    ("email", email),
                    ("name", found.name.map(String::from)),
                    ("picture", found.picture.map(String::from)),
                ];
                for (name, found) in all {
                    let expected = expected.filter(|_| name == claim);
                    assert_eq!(found.as_deref(), expected, "{name} of {claim}: {value}");
                }
            }
        }
    }

    #[test]
    fn an_email_is_verified_only_by_true() {
        for (value, verified) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("false"), false),
            (json!("True"), false),
            (json!("yes"), false),
            (json!(1), false),
            (json!(null), false),
            (json!(["true"]), false),
        ] {
            let document = json!({"email": "a@b.example", "email_verified": value});
            let identity = read(&document, "preferred_username", "groups");
            assert_eq!(identity.email_verified, verified, "{value}");
        }
    }

    #[test]
    fn the_user_name_is_the_chosen_claim_untouched() {
        for (name, expected) in [
            ("preferred_username", Some(" Ada ")),
            ("email", Some("ada@x.example")),
            ("profile.handle", Some("ada42")),
            ("empty", None),
            ("number", None),
            ("missing", None),
        ] {
            let document = json!({
                "preferred_username": " Ada ", "email": "ada@x.example",
                "profile": {"handle": "ada42"}, "empty": "", "number": 7,
            });
            assert_eq!(
                read(&document, name, "groups").username.as_deref(),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn userinfo_replaces_what_it_says_and_nothing_else() {
        let merged = merge(
            claims(&json!({"name": "old", "groups": ["a"], "picture": "p"})),
            claims(&json!({"name": "new", "groups": null, "nickname": "n"})),
        );
        let wanted = json!({"name": "new", "groups": ["a"], "picture": "p", "nickname": "n"});
        assert_eq!(Value::Object(merged), wanted);
    }

    #[test]
    fn another_address_does_not_inherit_a_verification() {
        for (userinfo, verified) in [
            (json!({"email": "b@x.example"}), false),
            (json!({"email": "a@x.example"}), true),
            (
                json!({"email": "b@x.example", "email_verified": true}),
                true,
            ),
            (json!({"email_verified": false}), false),
            (json!({"email": null}), true),
            (json!({}), true),
        ] {
            let token = claims(&json!({"email": "a@x.example", "email_verified": true}));
            let merged = merge(token, claims(&userinfo));
            assert_eq!(
                is_true(merged.get("email_verified")),
                verified,
                "{userinfo}"
            );
        }
    }
}
