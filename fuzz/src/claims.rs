//! From claims to a person. Input: the name of the user name claim, that of the groups claim, then an
//! array of the ID token's claims and userinfo's.

use headwarden::domain::identity::{Email, Identity, Issuer, Subject};
use headwarden::domain::username::{StripDomain, for_headscale};
use headwarden::issuer;
use headwarden::oidc::claims::{Claims, Names, identity, merge};
use serde_json::{Value, json};

use super::support::text_lines;

pub fn run(data: &[u8]) {
    let Some(([username, groups], documents)) = text_lines::<2>(data) else {
        return;
    };
    let Ok([token, userinfo]) = serde_json::from_str::<[Claims; 2]>(documents) else {
        return;
    };
    let merged = merge(token.clone(), userinfo.clone());
    let names = Names {
        username,
        groups,
        kept: &[],
    };
    let who = identity(
        &merged,
        &Issuer::new("https://i.test/"),
        Subject::new("s"),
        names,
    );
    check_email(&token, &userinfo, &who);
    assert!(who.groups.iter().all(|group| !group.is_empty()));
    assert!(who.username.as_ref().is_none_or(|name| !name.is_empty()));
    if let Ok(name) = for_headscale(&who, StripDomain::Strip) {
        for required in [true, false] {
            let told = issuer::Claims::new(&who, name.clone(), required, None, None).unwrap();
            let counts = who.email_verified || !required;
            assert!(
                told.email.is_none() || counts,
                "an unverified address is told"
            );
        }
    }
}

/// An address counts as verified only if whoever sent it said so.
pub fn check_email(token: &Claims, userinfo: &Claims, who: &Identity) {
    let says = |claims: &Claims, name: &str| claims.get(name).filter(|it| !it.is_null()).cloned();
    let sent = says(userinfo, "email").or_else(|| says(token, "email"));
    let text = sent
        .as_ref()
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty());
    assert_eq!(
        who.email.as_ref().map(Email::as_str),
        text,
        "{token:?} {userinfo:?}"
    );
    if who.email_verified && text.is_some() {
        let same = says(userinfo, "email").is_none_or(|email| Some(&email) == token.get("email"));
        let from_token = says(token, "email_verified").filter(|_| same);
        let word = says(userinfo, "email_verified").or(from_token);
        let yes = [Some(json!(true)), Some(json!("true"))].contains(&word);
        assert!(yes, "verified by nobody: {token:?} {userinfo:?}");
    }
}
