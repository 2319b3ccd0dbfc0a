//! A device joins with each step at another replica.

use crate::faulty_provider::Person as Account;
use crate::stage::{Stage, url};
use crate::support::tailnet::AUTH_ID;

#[test]
fn a_device_joins_with_each_step_at_another_replica_and_each_step_works_once() {
    let mut stage = Stage::start(3);
    stage.headscale.configure(|options| {
        options.oidc.as_mut().expect("it trusts us").pkce = true;
    });
    for replica in &mut stage.replicas {
        // From then on it is Headscale that asks for a confirmation.
        replica.wait_for_log("headscale's version");
    }
    for at in 0..3 {
        let person = stage.somebody(Account::Member, at);
        let mut person = stage.moved(person, (at + 1) % 3);
        let link = person.get(&url(&format!("/register/{AUTH_ID}")));
        let authorize = link
            .redirect()
            .unwrap_or_else(|| panic!("{}", link.text()))
            .clone();
        assert_eq!(authorize.path(), "/.headwarden/authorize");
        // The leg was recorded at one, is answered at another, its callback goes to the third, and the
        // code is redeemed at the first.
        let mut person = stage.moved(person, (at + 2) % 3);
        let answered = person.get(authorize.as_str());
        let callback = answered
            .redirect()
            .unwrap_or_else(|| panic!("{}", answered.text()))
            .clone();
        assert_eq!(callback.path(), "/oidc/callback");
        let mut person = stage.moved(person, at);
        let page = person.open(callback.as_str());
        assert!(page.text().contains("Confirm node"), "{}", page.text());
        for again in 0..3 {
            person = stage.moved(person, again);
            for used in [&authorize, &callback] {
                let page = person.get(used.as_str());
                assert!(
                    page.text().contains("tart again"),
                    "{used}: {}",
                    page.text()
                );
            }
        }
    }
}
