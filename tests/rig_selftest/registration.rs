//! The stand-in as a relying party of the certified provider: device registrations and SSH checks.

use serde_json::json;

use crate::support::certified_provider::{ADMIN, CertifiedProvider, MEMBER, OUTSIDER};
use crate::support::headscale_standin::Options;
use crate::support::person::Person;
use crate::{AUTH_ID, SHORT_AUTH_ID, sign_in, trusting};

#[test]
fn the_certified_provider_has_the_issuer_and_the_paths_of_authentik() {
    let provider = CertifiedProvider::start();
    let origin = provider.origin().to_owned();
    assert_eq!(
        provider.issuer(),
        format!("{origin}/application/o/headscale/")
    );
    let url = format!("{}.well-known/openid-configuration", provider.issuer());
    let document = Person::new().get(&url).response.json();
    let global = format!("{origin}/application/o");
    for (member, expected) in [
        ("issuer", format!("{global}/headscale/")),
        ("authorization_endpoint", format!("{global}/authorize/")),
        ("token_endpoint", format!("{global}/token/")),
        ("userinfo_endpoint", format!("{global}/userinfo/")),
        ("revocation_endpoint", format!("{global}/revoke/")),
        ("introspection_endpoint", format!("{global}/introspect/")),
        ("jwks_uri", format!("{global}/headscale/jwks/")),
        (
            "end_session_endpoint",
            format!("{global}/headscale/end-session/"),
        ),
    ] {
        assert_eq!(document[member], expected, "{member}");
    }
    assert_eq!(document["backchannel_logout_session_supported"], true);
}

#[test]
fn a_person_signs_in_through_the_forms_and_the_device_is_registered() {
    for (algorithm, pkce) in [("ES256", true), ("RS256", false)] {
        let (_provider, standin) = trusting(Options::default(), pkce, algorithm);
        let mut person = Person::new();
        let asked = sign_in(
            &mut person,
            &standin,
            &format!("/register/{AUTH_ID}"),
            ADMIN,
        );
        assert_eq!(standin.problems(), Vec::<String>::new());
        assert!(
            asked.text().contains("Confirm node registration"),
            "{}",
            asked.text()
        );
        assert!(standin.nodes().is_empty());
        let done = person.fill_in(&asked, "", &[]);
        assert!(done.text().contains("Node registered"), "{}", done.text());

        let [user] = &standin.users()[..] else {
            panic!("{:?}", standin.users())
        };
        assert_eq!(
            (user.name.as_str(), user.display_name.as_str()),
            ("dominic", "Dominic Admin")
        );
        assert_eq!(user.email.as_deref(), Some("dominic@acmecorp.net"));
        assert_eq!(user.groups, ["headscale", "headscale-admins"]);
        let [node] = &standin.nodes()[..] else {
            panic!("{:?}", standin.nodes())
        };
        assert_eq!(
            (&node.auth_id[..], &node.provider_identifier),
            (AUTH_ID, &user.provider_identifier)
        );
    }
}

#[test]
fn headscale_before_0_29_registers_at_once() {
    let options = Options {
        version: "v0.28.0".to_owned(),
        ..Options::default()
    };
    let (_provider, standin) = trusting(options, false, "RS256");
    let mut person = Person::new();
    let done = sign_in(
        &mut person,
        &standin,
        &format!("/register/{SHORT_AUTH_ID}"),
        MEMBER,
    );
    assert!(done.text().contains("Node registered"), "{}", done.text());
    assert_eq!(standin.nodes().len(), 1);
}

#[test]
fn an_ssh_check_is_approved_without_asking_and_only_for_the_owner() {
    let (_provider, standin) = trusting(Options::default(), false, "ES256");
    standin.set_ssh_owner(AUTH_ID, "somebody else");
    let mut person = Person::new();
    let refused = sign_in(&mut person, &standin, &format!("/auth/{AUTH_ID}"), OUTSIDER);
    assert_eq!(refused.status(), 403);
    standin.set_ssh_owner(AUTH_ID, &standin.users()[0].provider_identifier);
    // The session at the provider answers this time.
    let approved = person.open(&format!("{}/auth/{AUTH_ID}", standin.url()));
    assert!(
        approved.text().contains("SSH session authorized"),
        "{}",
        approved.text()
    );
    assert_eq!(standin.approved_ssh().len(), 1);
}

#[test]
fn headscale_refuses_a_callback_that_does_not_belong_to_this_browser() {
    let (_provider, standin) = trusting(Options::default(), true, "ES256");
    let mut victim = Person::new();
    let form = victim.open(&format!("{}/register/{AUTH_ID}", standin.url()));
    let mut page = victim.submit(&form, "login", &[("username", MEMBER)]);
    while page
        .redirect()
        .is_none_or(|next| next.path() != "/oidc/callback")
    {
        page = victim.step(page);
    }
    let callback = page.redirect().expect("the callback").clone();
    let mut thief = Person::new();
    assert_eq!(thief.get(callback.as_str()).status(), 400);
    let state = callback
        .query_pairs()
        .find(|(name, _)| name == "state")
        .expect("a state")
        .1;
    let guess = format!(
        "state_{}={}; Path=/",
        &state[..6],
        state.replace(&state[6..], "guess")
    );
    thief.jar.set(&callback, &guess);
    assert_eq!(thief.get(callback.as_str()).status(), 403);
    assert_eq!(
        victim
            .get(&format!("{}/oidc/callback", standin.url()))
            .status(),
        400
    );
    assert_eq!(victim.step(page).status(), 200);
    // A code works once.
    assert_eq!(victim.get(callback.as_str()).status(), 404);
    assert_eq!(standin.users().len(), 1);
}

#[test]
fn a_confirmation_without_its_cookie_or_field_registers_nothing() {
    let (_provider, standin) = trusting(Options::default(), false, "ES256");
    let mut person = Person::new();
    let asked = sign_in(
        &mut person,
        &standin,
        &format!("/register/{AUTH_ID}"),
        MEMBER,
    );
    let forged = person.submit(&asked, "", &[("headscale_register_confirm", "0")]);
    assert_eq!(forged.status(), 403);
    person.jar.clear();
    assert_eq!(person.submit(&asked, "", &[]).status(), 403);
    assert!(standin.nodes().is_empty());
}

#[test]
fn a_client_secret_that_is_wrong_ends_in_a_refused_exchange() {
    let (mut provider, standin) = trusting(Options::default(), false, "ES256");
    let callback = format!("{}/oidc/callback", standin.url());
    provider.register("headscale", "another secret", &callback, "ES256");
    let mut person = Person::new();
    let refused = sign_in(
        &mut person,
        &standin,
        &format!("/register/{AUTH_ID}"),
        MEMBER,
    );
    assert_eq!(refused.status(), 403);
    assert!(
        standin.problems()[0].contains("invalid_client"),
        "{:?}",
        standin.problems()
    );
    assert!(
        provider
            .requests()
            .contains(&"POST /application/o/token/".to_owned())
    );
}

#[test]
fn the_provider_can_say_no_and_can_be_told_about_people() {
    let (mut provider, standin) = trusting(Options::default(), false, "ES256");
    let mut person = Person::new();
    let form = person.open(&format!("{}/register/{AUTH_ID}", standin.url()));
    let unknown = person.submit(&form, "login", &[("username", "nobody")]);
    assert_eq!(unknown.status(), 401);
    let cancelled = person.fill_in(&form, "deny", &[]);
    assert!(
        cancelled
            .url
            .query()
            .is_some_and(|query| query.contains("error=access_denied"))
    );

    provider.set_person(
        "zoë",
        &json!({ "name": "Zoë", "email": "zoe@acmecorp.net", "groups": ["a"] }),
    );
    provider.set(&json!({ "email_verified": false }));
    sign_in(
        &mut person,
        &standin,
        &format!("/register/{AUTH_ID}"),
        "zoë",
    );
    let [user] = &standin.users()[..] else {
        panic!("{:?}", standin.problems())
    };
    assert_eq!((user.name.as_str(), user.email.as_deref()), ("zoë", None));
    let told = provider.end_sessions("zoë");
    assert_eq!(
        told,
        [json!({ "client_id": "headscale", "outcome": "accepted" })]
    );
    provider.deactivate("zoë");
    let again = person.open(&format!("{}/register/{AUTH_ID}", standin.url()));
    assert!(again.text().contains("Sign in"), "{}", again.text());
}
