//! A person whom Headscale would not take, or could take for somebody else, is not told to it: the
//! sign-in ends here, before there is a code.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::bookkeeper::{Bookkeeper, Limits};
use crate::faulty_provider::{Fault, Person};
use crate::inside::Inside;
use crate::support::raw::Response;
use crate::visitor::{Asked, Ground, NAVIGATION, Visitor};

const NOW: u64 = 1_800_000_000;
const LINK: &str = "/register/hskey-authreq-0123456789abcdef01234567";

fn get(visitor: &mut Visitor, ground: &Ground, target: &str, session: &str) -> Response {
    let asked = Asked {
        method: "GET",
        target,
        lines: NAVIGATION,
        sessions: &[session],
        looks_up: false,
    };
    visitor.ask(ground, asked).expect("it answers")
}

/// A claim, what the provider says of it, and the status of our authorization endpoint.
#[test]
fn a_person_whom_headscale_cannot_tell_from_others_gets_no_code() {
    let house = Inside::start(NOW, 10_000);
    let ground = Ground {
        public: house.public(),
        books: Arc::new(Bookkeeper::new(Limits {
            idle: 600,
            lifetime: 3600,
        })),
        now: Box::new(|| NOW),
    };
    let mut visitor = Visitor::new("v", 0);
    // Until Headscale's version is known, the person would be asked first.
    house.headscale.wait_for_request("/version");
    let rows: &[(&str, Value, u16)] = &[
        ("name", json!("Ben"), 303),
        ("preferred_username", json!("1ben"), 403),
        ("preferred_username", json!("b@n@c"), 403),
        ("preferred_username", json!(null), 403),
        ("sub", json!("ben/../ada"), 403),
        ("sub", json!("ben?"), 403),
        ("sub", json!("/ben"), 403),
    ];
    for (claim, value, expected) in rows {
        house.provider.set(|knobs| {
            knobs.extra_claims.clear();
            knobs
                .extra_claims
                .insert((*claim).to_owned(), value.clone());
            // Then userinfo says what the ID token says, instead of who it is.
            knobs.fault = (*claim == "sub").then_some(Fault::UserinfoWithoutSub);
        });
        let session = visitor.sign_in(&ground, Person::Member, None, || {});
        let session = session.unwrap_or_else(|| panic!("{claim} {value}: {}", visitor.last));
        let begun = get(&mut visitor, &ground, LINK, &session);
        let location = begun
            .header("location")
            .unwrap_or_else(|| panic!("{claim} {value}: {} {}", begun.status(), begun.text()));
        let target = location.trim_start_matches(&format!("http://{}", ground.public));
        let answer = get(&mut visitor, &ground, target, &session);
        let got = (answer.status(), answer.header("location").is_some());
        assert_eq!(got, (*expected, *expected == 303), "{claim} {value}");
        // The request is used up: the same again gets nothing.
        let again = get(&mut visitor, &ground, target, &session);
        assert_eq!(again.header("location"), None, "{claim} {value}");
    }
    assert_eq!(house.headscale.users(), []);
}
