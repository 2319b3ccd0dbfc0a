//! Devices and SSH checks, from the link that a device shows to Headscale's rows, and everything that
//! must not work on the way.
#![cfg(test)]

mod claims;
mod commands;
mod confirmation;
mod legs;
mod private_listener;
mod ssh_check;
#[path = "../support/mod.rs"]
mod support;

use support::certified_provider::MEMBER;
use support::person::{Page, Person};
use support::tailnet::{AUTH_ID, Tailnet};
use url::Url;

/// An id as Headscale before 0.29 makes them.
const SHORT_AUTH_ID: &str = "0123456789abcdefABCDEF-_";

/// A browser in which `who` has signed in, without any device.
fn signed_in(tailnet: &Tailnet, who: &str) -> Person {
    let mut person = Person::new();
    let page = tailnet.sign_in(&mut person, "/windows", who);
    assert_eq!(page.status(), 200, "{}", page.text());
    person
}

fn register(id: &str) -> String {
    format!("/register/{id}")
}

/// Opens a device's link, signed in: where Headscale sends the browser.
fn authorize_url(tailnet: &Tailnet, person: &mut Person, id: &str) -> Url {
    let page = person.get(&tailnet.house.url(&register(id)));
    let Some(next) = page.redirect() else {
        panic!("{} {}", page.status(), page.text())
    };
    assert_eq!(next.path(), "/.headwarden/authorize");
    next.clone()
}

/// Answers Headscale's authorization request: where that sends the browser, with a code.
fn callback_url(person: &mut Person, authorize: &Url) -> Url {
    let page = person.get(authorize.as_str());
    let Some(next) = page.redirect() else {
        panic!("{} {}", page.status(), page.text())
    };
    assert_eq!(next.path(), "/oidc/callback");
    next.clone()
}

/// A query parameter.
fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(known, _)| known == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {url}"))
        .1
        .into_owned()
}

/// The same URL with a query parameter set to something else, or without it.
fn with(url: &Url, name: &str, value: Option<&str>) -> String {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    pairs.retain(|(known, _)| known != name);
    pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    let mut other = url.clone();
    other.query_pairs_mut().clear().extend_pairs(pairs);
    other.into()
}

/// How often Headscale was asked for a path.
fn asked(tailnet: &Tailnet, path: &str) -> usize {
    let requests = tailnet.headscale.requests();
    requests.iter().filter(|seen| seen.path() == path).count()
}

fn is_start_again(page: &Page) -> bool {
    page.status() == 400 && page.text().contains("Start again from your device")
}

#[test]
fn a_device_belongs_to_the_person_who_signed_in() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = Person::new();
    let asked = tailnet.sign_in(&mut person, &register(AUTH_ID), MEMBER);
    assert!(
        asked.text().contains("Confirm node registration"),
        "{}",
        asked.text()
    );
    assert!(tailnet.headscale.nodes().is_empty(), "Headscale asks first");

    let done = person.fill_in(&asked, "", &[]);
    assert!(done.text().contains("Node registered"), "{}", done.text());
    assert_eq!(tailnet.headscale.problems(), Vec::<String>::new());
    let [user] = &tailnet.headscale.users()[..] else {
        panic!("{:?}", tailnet.headscale.users())
    };
    assert_eq!(
        (&user.name[..], user.email.as_deref()),
        ("mia", Some("mia@acmecorp.net"))
    );
    assert_eq!(user.groups, ["headscale"]);
    let issuer = tailnet.house.plan.issuer_url();
    assert!(
        user.provider_identifier.starts_with(&format!("{issuer}/")),
        "{user:?}"
    );
    let [node] = &tailnet.headscale.nodes()[..] else {
        panic!("{:?}", tailnet.headscale.nodes())
    };
    assert_eq!(
        (&node.auth_id[..], &node.provider_identifier),
        (AUTH_ID, &user.provider_identifier)
    );
}
