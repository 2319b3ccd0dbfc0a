//! Whoever reads the store, or its file, learns nothing.

use crate::faulty_provider::Person as Account;
use crate::stage::{Stage, session_line, url};
use crate::support::tailnet::AUTH_ID;

#[test]
fn what_is_in_the_store_is_sealed_and_its_names_are_hashed() {
    let mut stage = Stage::start(2);
    stage.replicas[1].wait_for_log("headscale's version");
    let person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    let mut person = stage.moved(person, 1);
    let page = person.open(&url(&format!("/register/{AUTH_ID}")));
    assert!(page.text().contains("Confirm node"), "{}", page.text());
    let (_, value) = session.rsplit_once('=').unwrap();

    let written = stage.redis.everything_written();
    let text = String::from_utf8_lossy(&written);
    // The scan can find something: names that we gave are there.
    assert!(text.contains("headwarden:s:") && text.contains("headwarden:code:"));
    let claims = Account::Member.claims();
    let mut secret = vec![value.to_owned(), AUTH_ID.to_owned(), "127.0.0.1".to_owned()];
    secret.push(Account::Member.subject());
    for name in ["email", "name"] {
        let claim = claims.get(name).and_then(|claim| claim.as_str());
        secret.push(
            claim
                .unwrap_or_else(|| panic!("{name} in {claims:?}"))
                .to_owned(),
        );
    }
    stage.provider.set(|knobs| {
        secret.extend(knobs.secrets.iter().map(|(_, text)| text.clone()));
    });
    secret.extend(
        [
            "eyJhbGciOi",
            "Mozilla/5.0",
            "\"pkcs8\"",
            "\"state\"",
            "\"subject\"",
        ]
        .map(str::to_owned),
    );
    for text in &secret {
        let found = written
            .windows(text.len())
            .any(|window| window == text.as_bytes());
        assert!(!found, "{text:?} is in the store's file");
    }
}
