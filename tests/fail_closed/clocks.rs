//! A clock that is set, forward or back, makes nothing valid that was not.

use std::sync::Arc;

use crate::bookkeeper::{Bookkeeper, Limits};
use crate::faulty_provider::Person;
use crate::inside::Inside;
use crate::visitor::{Asked, Ground, NAVIGATION, Visitor};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const SSH_CHECK: &str = "/auth/hskey-authreq-0123456789abcdef01234567";

fn stage() -> (Inside, Ground, Visitor) {
    let house = Inside::start(NOW, 10_000);
    let hands = Arc::clone(&house.hands);
    let ground = Ground {
        public: house.public(),
        books: Arc::new(Bookkeeper::new(Limits {
            idle: 600,
            lifetime: 3600,
        })),
        now: Box::new(move || hands.seconds()),
    };
    (house, ground, Visitor::new("v", 0))
}

fn status(visitor: &mut Visitor, ground: &Ground, target: &str, session: &str) -> u16 {
    let asked = Asked {
        method: "GET",
        target,
        lines: NAVIGATION,
        sessions: &[session],
        looks_up: true,
    };
    let answer = visitor.ask(ground, asked).expect("it answers");
    answer.status()
}

/// Where the clock is when the link of an SSH check is opened, and whether the sign-in at `NOW` still
/// proves that the person is there: then they are asked (200), else sent to the provider (303).
#[test]
fn a_clock_that_is_set_back_makes_no_old_proof_of_presence_fresh() {
    let (house, ground, mut visitor) = stage();
    for (now, expected) in [
        (NOW, 200),
        (NOW + 300, 200),
        (NOW + 301, 303),
        // The provider's clock may be ahead of ours by a minute.
        (NOW - 60, 200),
        (NOW - 61, 303),
        (NOW - DAY, 303),
        (0, 303),
    ] {
        house.hands.set(NOW);
        let session = visitor.sign_in(&ground, Person::Member, None, || {});
        let session = session.expect("nothing is wrong");
        house.hands.set(now);
        let got = status(&mut visitor, &ground, SSH_CHECK, &session);
        assert_eq!(got, expected, "at {now}");
        if expected == 303 {
            // A script is not sent to the provider, and gets no further either.
            let asked = Asked {
                method: "GET",
                target: SSH_CHECK,
                lines: &[],
                sessions: &[&session],
                looks_up: true,
            };
            let answer = visitor.ask(&ground, asked).expect("it answers");
            assert_eq!(
                (answer.status(), &answer.json()["error"]),
                (401, &"step_up_needed".into())
            );
        }
    }
    let reached = house.headscale.requests();
    let checks = reached.iter().filter(|seen| seen.path() == SSH_CHECK);
    assert_eq!(checks.count(), 0);
}

/// Where the clock goes, one reading after the other, and whether the session is still valid then.
#[test]
fn a_session_that_a_clock_has_ended_stays_ended_when_the_clock_is_set_back() {
    let (house, ground, mut visitor) = stage();
    let rows: &[&[(u64, bool)]] = &[
        &[
            (NOW + 599, true),
            (NOW + 599 + 599, true),
            (NOW + 599 + 599 + 600, false),
            (NOW, false),
        ],
        &[(NOW + 600, false), (NOW, false)],
        &[(NOW + 3600, false), (NOW + 1, false)],
        &[(4_102_444_800, false), (NOW + 1, false)],
        // Used at the beginning of time: then it was idle for very long.
        &[(0, true), (NOW + 1, false), (0, false)],
    ];
    for row in rows {
        house.hands.set(NOW);
        let session = visitor.sign_in(&ground, Person::Member, None, || {});
        let session = session.expect("nothing is wrong");
        for (now, valid) in *row {
            house.hands.set(*now);
            let got = status(&mut visitor, &ground, "/windows", &session);
            assert_eq!(got == 200, *valid, "at {now} of {row:?}: {got}");
        }
    }
}
