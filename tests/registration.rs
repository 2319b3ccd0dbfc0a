//! A device joins: from the link that it shows to Headscale's user and node, through both sign-ins.
#![cfg(test)]

mod support;

use support::certified_provider::MEMBER;
use support::person::Person;
use support::tailnet::{AUTH_ID, Tailnet};

#[test]
fn a_device_belongs_to_the_person_who_signed_in() {
    let tailnet = Tailnet::start("v0.29.2");
    let mut person = Person::new();
    let asked = tailnet.sign_in(&mut person, &format!("/register/{AUTH_ID}"), MEMBER);
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
