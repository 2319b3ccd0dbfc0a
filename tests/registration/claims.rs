//! What Headscale is told about a person, and until when.

use serde_json::json;

use crate::support::certified_provider::{MEMBER, OUTSIDER};
use crate::support::headscale_standin::{Node, User};
use crate::support::house::More;
use crate::support::person::{Page, Person};
use crate::support::tailnet::{AUTH_ID, Tailnet};
use crate::{asked, register};

/// Signs in with a device's link in a fresh browser; says yes to Headscale if it asks.
fn join(tailnet: &Tailnet, id: &str, who: &str) -> Page {
    let mut person = Person::new();
    let page = tailnet.sign_in(&mut person, &register(id), who);
    if page.text().contains("Confirm node") {
        return person.fill_in(&page, "", &[]);
    }
    page
}

fn only_user(tailnet: &Tailnet) -> User {
    let users = tailnet.headscale.users();
    assert_eq!(users.len(), 1, "{users:?}");
    users[0].clone()
}

fn only_node(tailnet: &Tailnet) -> Node {
    let nodes = tailnet.headscale.nodes();
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    nodes[0].clone()
}

fn oidc(lines: &'static str) -> More {
    More {
        oidc: lines,
        ..More::default()
    }
}

#[test]
fn an_unverified_address_is_left_out_unless_the_operator_vouches_for_it() {
    let lenient = "  allowed_groups: [/headscale]\n  email_verified_required: false\n";
    for (lines, expected) in [("", None), (lenient, Some("mia@acmecorp.net"))] {
        let mut tailnet = Tailnet::start_with("v0.29.2", |_| oidc(lines));
        tailnet.provider.set(&json!({ "email_verified": false }));
        // So that it would take whatever it is told.
        tailnet.headscale.configure(|options| {
            options
                .oidc
                .as_mut()
                .expect("it trusts us")
                .email_verified_required = false;
        });
        let done = join(&tailnet, AUTH_ID, MEMBER);
        assert!(done.text().contains("Node registered"), "{}", done.text());
        assert_eq!(only_user(&tailnet).email.as_deref(), expected, "{lines}");
        assert_eq!(only_user(&tailnet).picture, None);
    }
}

#[test]
fn an_address_that_the_operator_vouches_for_is_taken_by_a_headscale_that_wants_it_verified() {
    let lenient = "  allowed_groups: [/headscale]\n  email_verified_required: false\n";
    let mut tailnet = Tailnet::start_with("v0.29.2", |_| oidc(lenient));
    tailnet.provider.set(&json!({ "email_verified": false }));
    join(&tailnet, AUTH_ID, MEMBER);
    assert_eq!(
        only_user(&tailnet).email.as_deref(),
        Some("mia@acmecorp.net")
    );
}

#[test]
fn two_people_may_share_a_name_only_where_the_operator_says_so_and_stay_two() {
    let mut tailnet = Tailnet::start_with("v0.29.2", |_| {
        oidc(
            "  allowed_domains: [acmecorp.net, elsewhere.example]\n  username_claim: email\n  \
             strip_email_domain: true\n  allow_name_collisions: true\n",
        )
    });
    tailnet
        .provider
        .set_person(OUTSIDER, &json!({ "email": "mia@elsewhere.example" }));
    join(&tailnet, AUTH_ID, MEMBER);
    join(&tailnet, "hskey-authreq-0123456789abcdef0123456x", OUTSIDER);
    let users = tailnet.headscale.users();
    let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["mia", "mia"]);
    assert_ne!(users[0].provider_identifier, users[1].provider_identifier);
}

#[test]
fn a_name_that_headscale_refuses_is_a_page_with_the_rule_and_no_user() {
    for (name, rule) in [
        ("9lives", "must begin with a letter"),
        ("m", "at least two characters"),
        ("mia smith", "may not contain"),
        ("mia@", "may not end in"),
        ("", "sent no user name"),
    ] {
        let mut tailnet = Tailnet::start("v0.29.2");
        tailnet
            .provider
            .set_person(MEMBER, &json!({ "preferred_username": name }));
        let mut person = Person::new();
        let page = tailnet.sign_in(&mut person, &register(AUTH_ID), MEMBER);
        assert_eq!(page.status(), 403, "{name:?}: {}", page.text());
        assert!(page.text().contains(rule), "{name:?}: {}", page.text());
        assert_eq!(asked(&tailnet, "/oidc/callback"), 0, "{name:?}");
        assert!(tailnet.headscale.users().is_empty(), "{name:?}");
    }
}

/// `exp` of the ID token as Headscale sees it, in seconds from now.
fn lifetime(tailnet: &Tailnet) -> i64 {
    tailnet.headscale.configure(|options| {
        options
            .oidc
            .as_mut()
            .expect("it trusts us")
            .use_expiry_from_token = true;
    });
    let done = join(tailnet, AUTH_ID, MEMBER);
    assert!(done.text().contains("Node registered"), "{}", done.text());
    only_node(tailnet).expiry.expect("an expiry") - now()
}

#[expect(clippy::disallowed_methods, reason = "a test has a clock")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("the clock is past 1970").as_secs()).expect("a time")
}

#[test]
fn the_token_lives_five_minutes_or_as_long_as_devices_shall_or_as_the_providers() {
    let node_expiry = More {
        issuer: "    node_expiry: 30d\n",
        ..More::default()
    };
    let from_token = oidc("  use_expiry_from_token: true\n");
    for (more, expected) in [
        (More::default(), 300),
        (node_expiry, 30 * 24 * 3600),
        (from_token, 1234),
    ] {
        let tailnet = Tailnet::start_providing(&json!({ "id_token_ttl": 1234 }), |_| more);
        let lifetime = lifetime(&tailnet);
        assert!(
            (expected - 30..=expected).contains(&lifetime),
            "{lifetime} for {expected}"
        );
    }
}
