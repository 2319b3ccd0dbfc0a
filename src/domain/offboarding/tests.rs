use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::claims::NamedClaims;
use crate::domain::identity::{Email, Issuer, Subject};
use crate::domain::time::Timestamp;

const ASKED: Refusals = Refusals {
    count: true,
    footing: Footing {
        offline: true,
        in_doubt: false,
        read_by: None,
    },
};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_refusal_proves_that_a_person_is_gone_only_where_nothing_else_explains_it() {
    let unasked = Refusals {
        footing: Footing::default(),
        ..ASKED
    };
    let lost = Refusals {
        footing: Footing {
            in_doubt: true,
            ..ASKED.footing
        },
        ..ASKED
    };
    let unwanted = Refusals {
        count: false,
        ..ASKED
    };
    for (error, description, refusals, expected) in [
        // authentik's words for everything, and none at all.
        (
            "invalid_grant",
            "The provided authorization grant or refresh token is invalid, expired, revoked",
            ASKED,
            Ok(Why::Refused),
        ),
        ("invalid_grant", "", ASKED, Ok(Why::Refused)),
        ("invalid_grant", "", unasked, Err(Doubt::EndsWithSession)),
        ("invalid_grant", "", unwanted, Err(Doubt::Unwanted)),
        ("invalid_grant", "User disabled", ASKED, Ok(Why::Refused)),
        ("invalid_grant", "User disabled", unasked, Ok(Why::Refused)),
        (
            "invalid_grant",
            "User disabled",
            unwanted,
            Err(Doubt::Unwanted),
        ),
        // The answer before was lost: a word about the account counts all the same.
        ("invalid_grant", "", lost, Err(Doubt::LostAnswer)),
        (
            "invalid_grant",
            "Token is not active",
            lost,
            Err(Doubt::LostAnswer),
        ),
        ("invalid_grant", "User disabled", lost, Ok(Why::Refused)),
        (
            "invalid_grant",
            "AADSTS50034: no such account",
            lost,
            Ok(Why::Refused),
        ),
        (
            "invalid_grant",
            "Token is not active",
            ASKED,
            Err(Doubt::TokenOnly),
        ),
        (
            "invalid_grant",
            "session not active.",
            ASKED,
            Err(Doubt::TokenOnly),
        ),
        (
            "invalid_grant",
            "Stale token",
            unasked,
            Err(Doubt::TokenOnly),
        ),
        (
            "invalid_grant",
            "Maximum allowed refresh token reuse exceeded",
            ASKED,
            Err(Doubt::TokenOnly),
        ),
        (
            "invalid_grant",
            "AADSTS50057: The user account is disabled. Trace ID: 1",
            unasked,
            Ok(Why::Refused),
        ),
        (
            "invalid_grant",
            "AADSTS700082: The refresh token has expired due to inactivity.",
            ASKED,
            Err(Doubt::TokenOnly),
        ),
        (
            "invalid_grant",
            "AADSTS500571: other",
            ASKED,
            Err(Doubt::TokenOnly),
        ),
        (
            "invalid_grant",
            "AADSTS53003: Access has been blocked by Conditional Access policies.",
            ASKED,
            Err(Doubt::TokenOnly),
        ),
        ("invalid_grant", "AADSTS", ASKED, Err(Doubt::TokenOnly)),
        ("invalid_request", "", ASKED, Err(Doubt::OtherError)),
        (
            "interaction_required",
            "AADSTS50057: x",
            ASKED,
            Err(Doubt::OtherError),
        ),
        ("access_denied", "", ASKED, Err(Doubt::OtherError)),
        ("Invalid_Grant", "", ASKED, Err(Doubt::OtherError)),
        ("", "User disabled", ASKED, Err(Doubt::OtherError)),
    ] {
        let found = weigh_refusal(error, description, refusals);
        assert_eq!(found, expected, "{error} {description:?} {refusals:?}");
    }
    for description in OF_TOKENS {
        let found = weigh_refusal("invalid_grant", description, ASKED);
        assert_eq!(found, Err(Doubt::TokenOnly), "{description}");
    }
}

fn person(groups: &[&str], email: Option<&str>, verified: bool) -> Identity {
    let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
    Identity {
        issuer: Issuer::new("https://idp.example/"),
        subject: Subject::new("ann"),
        email: email.map(Email::new),
        email_verified: verified,
        username: None,
        name: None,
        picture: None,
        groups: groups.into(),
        claims: NamedClaims::default(),
    }
}

fn rules(groups: &[&str], domains: &[&str], users: &[&str]) -> Rules {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Rules {
        allowed_groups: texts(groups),
        allowed_domains: texts(domains),
        allowed_users: texts(users),
        email_verified_required: true,
        exact_groups: false,
    }
}

#[test]
fn a_right_is_lost_at_the_provider_and_not_by_another_rule() {
    let staff = person(&["staff"], Some("ann@a.example"), true);
    for (rules, now, expected) in [
        (
            rules(&["staff"], &[], &[]),
            person(&["guests"], None, false),
            Ok(Why::LostRight),
        ),
        (
            rules(&["staff"], &[], &[]),
            person(&[], None, false),
            Err(Doubt::NotTold),
        ),
        (
            rules(&[], &["a.example"], &[]),
            person(&[], Some("ann@b.example"), true),
            Ok(Why::LostRight),
        ),
        (
            rules(&[], &["a.example"], &[]),
            person(&[], None, false),
            Err(Doubt::NotTold),
        ),
        (
            rules(&[], &[], &["ann@a.example"]),
            person(&["staff"], None, false),
            Err(Doubt::NotTold),
        ),
        (
            rules(&[], &[], &["ann@a.example"]),
            person(&[], Some("eve@a.example"), true),
            Ok(Why::LostRight),
        ),
        // The operator's own doing, whatever the person lost besides.
        (
            rules(&["admins"], &[], &[]),
            person(&["staff"], None, false),
            Err(Doubt::OurRules),
        ),
        (
            rules(&["admins"], &[], &[]),
            person(&["guests"], None, false),
            Err(Doubt::OurRules),
        ),
        // A mapping of the provider's that changed.
        (
            rules(&[], &["a.example"], &[]),
            person(&["staff"], Some("ann@a.example"), false),
            Err(Doubt::Unverified),
        ),
    ] {
        let denial = rules.decide(&now).unwrap_err();
        assert_eq!(
            weigh_denial(&rules, &staff, &denial, true),
            expected,
            "{rules:?} {now:?}"
        );
        let read_otherwise = weigh_denial(&rules, &staff, &denial, false);
        assert!(read_otherwise.is_err(), "{rules:?} {now:?}");
    }
}

const DELAY: Duration = Duration::from_mins(15);
const LEASE: Duration = Duration::from_mins(1);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(1_800_000_000 + seconds)
}

fn subject(name: &str) -> Subject {
    Subject::new(name)
}

fn due(ledger: &mut Ledger, now: u64) -> Vec<String> {
    let taken = ledger.take_due(at(now), LEASE, 100);
    let names = taken.iter().map(|(subject, _)| subject.as_str().to_owned());
    names.collect()
}

fn notice(ledger: &mut Ledger, name: &str, now: u64) -> Noticed {
    ledger.notice(&subject(name), Why::Refused, at(now), DELAY, 3)
}

/// Somebody new, with whom these are held.
fn new(held: &[&str]) -> Noticed {
    let held = held.iter().map(|name| subject(name)).collect();
    Noticed::New { held }
}

#[test]
fn the_first_notice_counts_and_who_comes_back_is_taken_off() {
    let mut ledger = Ledger::default();
    assert_eq!(notice(&mut ledger, "ann", 0), new(&[]));
    assert_eq!(notice(&mut ledger, "ann", 600), Noticed::Known);
    assert_eq!(ledger.next(), Some(at(900)));
    assert_eq!(due(&mut ledger, 899), Vec::<String>::new());
    assert_eq!(due(&mut ledger, 900), ["ann"]);
    // Somebody tries.
    assert_eq!(due(&mut ledger, 959), Vec::<String>::new());
    // And did not say what became of it.
    assert_eq!(due(&mut ledger, 960), ["ann"]);
    assert!(ledger.forget(&subject("ann")).is_some());
    assert!(ledger.forget(&subject("ann")).is_none());
    assert_eq!(due(&mut ledger, 5000), Vec::<String>::new());
    assert!(ledger.is_empty());
    assert_eq!(ledger.next(), None);
}

#[test]
fn what_fails_is_tried_again_ever_more_seldom_and_never_forgotten() {
    let mut ledger = Ledger::default();
    notice(&mut ledger, "ann", 0);
    let mut now = 900;
    for pause in [5, 10, 20, 40, 80, 160, 320, 640, 900, 900] {
        assert_eq!(due(&mut ledger, now), ["ann"]);
        ledger.failed(&subject("ann"), at(now));
        assert_eq!(ledger.next(), Some(at(now + pause)));
        assert_eq!(due(&mut ledger, now + pause - 1), Vec::<String>::new());
        now += pause;
    }
    ledger.done(&subject("ann"));
    assert_eq!(ledger.counts(), (0, 0));
}

#[test]
fn more_people_in_an_hour_than_expected_are_held_until_an_operator_says_so() {
    let mut ledger = Ledger::default();
    for (name, now) in [("a", 0), ("b", 10), ("c", 20)] {
        assert_eq!(notice(&mut ledger, name, now), new(&[]));
    }
    // One of them is gone already, and counts all the same.
    assert_eq!(due(&mut ledger, 900), ["a"]);
    ledger.done(&subject("a"));
    assert_eq!(notice(&mut ledger, "d", 905), new(&["b", "c", "d"]));
    assert_eq!(ledger.counts(), (0, 3));
    assert_eq!(due(&mut ledger, 90_000), Vec::<String>::new());
    assert_eq!(ledger.next(), None);
    // Whoever is noticed while nobody has looked is held too, however late and alone.
    assert_eq!(notice(&mut ledger, "e", 90_000), new(&["e"]));
    assert_eq!(due(&mut ledger, 90_900), Vec::<String>::new());
    assert!(ledger.forget(&subject("b")).is_some());
    assert_eq!(ledger.confirm(Some(&subject("nobody"))), []);
    assert_eq!(ledger.confirm(Some(&subject("c"))), [subject("c")]);
    assert_eq!(ledger.confirm(None), [subject("d"), subject("e")]);
    assert_eq!(due(&mut ledger, 90_901), ["c", "d", "e"]);
    // With the last word the guard is open again, and those stay confirmed, whoever comes behind them.
    assert_eq!(notice(&mut ledger, "f", 90_902), new(&[]));
    for name in ["g", "h", "i"] {
        notice(&mut ledger, name, 95_000);
    }
    assert_eq!(ledger.counts(), (7, 0));
    assert_eq!(
        notice(&mut ledger, "j", 95_000),
        new(&["f", "g", "h", "i", "j"])
    );
    assert_eq!(ledger.counts(), (3, 5));
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_wait_for_it() {
    let day = 86_400;
    let mut ledger = Ledger::default();
    notice(&mut ledger, "ann", day);
    notice(&mut ledger, "bob", day);
    // As far as replicas' clocks may be apart is no such thing, and neither is a pause.
    assert!(!ledger.is_ahead(at(day - 300)) && ledger.is_ahead(at(day - 301)));
    assert_eq!(due(&mut ledger, day + 900), ["ann", "bob"]);
    ledger.done(&subject("bob"));
    for _ in 0..9 {
        ledger.failed(&subject("ann"), at(day + 900));
    }
    assert!(!ledger.is_ahead(at(day + 600)) && ledger.is_ahead(at(0)));
    ledger.set_back(at(0));
    assert!(!ledger.is_ahead(at(0)));
    // The whole delay from now on, neither less nor more.
    assert_eq!(ledger.next(), Some(at(900)));
    // Nobody knows what was checked since.
    let case = ledger.case(&subject("ann")).unwrap();
    assert!(case.moved && case.refused_since() > at(day * 10_000));
    assert_eq!(due(&mut ledger, 899), Vec::<String>::new());
    assert_eq!(due(&mut ledger, 900), ["ann"]);
    // What nobody noticed in the future stays as it is.
    let before = ledger.clone();
    ledger.set_back(at(900));
    assert_eq!(ledger, before);
    // Whose devices have ended counts for an hour from now on, and not for a day.
    let most = |ledger: &mut Ledger, now: u64| {
        ledger.notice(&subject("c"), Why::Refused, at(now), DELAY, 1)
    };
    assert_eq!(most(&mut ledger.clone(), 3600), new(&["ann", "c"]));
    assert_eq!(most(&mut ledger, 3901), new(&[]));
}

#[test]
fn who_lost_a_right_was_not_refused() {
    let mut ledger = Ledger::default();
    let mut hear = |why| {
        ledger.notice(&subject("ann"), why, at(0), DELAY, 3);
        ledger.case(&subject("ann")).expect("she is there").why
    };
    for (why, then) in [
        (Why::Refused, Why::Refused),
        (Why::LostRight, Why::LostRight),
        (Why::Refused, Why::LostRight),
    ] {
        assert_eq!(hear(why), then);
    }
}

#[test]
fn the_ledger_is_read_as_it_was_written_and_by_what_is_known_of_it() {
    let mut ledger = Ledger::default();
    notice(&mut ledger, "auth0|Ann \"x\"", 0);
    ledger.failed(&subject("auth0|Ann \"x\""), at(1));
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    let old = r#"{"cases":{"ann":{"why":"lost_right","noticed_at":1,"due_at":2}}}"#;
    let mut old: Ledger = serde_json::from_str(old).unwrap();
    assert_eq!(due(&mut old, 0), ["ann"]);
}

#[derive(Clone, Debug)]
enum Step {
    Notice(u8),
    Forget(u8),
    Confirm,
    Round { fails: bool },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..6_u8).prop_map(Step::Notice),
        (0..6_u8).prop_map(Step::Forget),
        Just(Step::Confirm),
        any::<bool>().prop_map(|fails| Step::Round { fails }),
        (0..4000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever happens, in whatever order.
    #[test]
    fn nobody_ends_early_or_unasked_and_never_more_than_expected_at_once(steps in steps()) {
        let (mut ledger, mut now, most) = (Ledger::default(), 0, 2);
        // When each was noticed, and whether an operator had a word.
        let mut noticed: BTreeMap<String, u64> = BTreeMap::new();
        let mut confirmed: BTreeMap<String, u64> = BTreeMap::new();
        let mut ended: Vec<u64> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Notice(who) => {
                    let name = who.to_string();
                    let of = ledger.notice(&subject(&name), Why::Refused, at(now), DELAY, most);
                    if of != Noticed::Known {
                        noticed.insert(name, now);
                    }
                }
                Step::Forget(who) => {
                    let gone = ledger.forget(&subject(&who.to_string()));
                    prop_assert_eq!(gone.is_some(), noticed.remove(&who.to_string()).is_some());
                    confirmed.remove(&who.to_string());
                }
                Step::Confirm => {
                    for subject in ledger.confirm(None) {
                        confirmed.insert(subject.as_str().to_owned(), now);
                    }
                }
                Step::Round { fails } => {
                    for (who, _) in ledger.take_due(at(now), LEASE, 100) {
                        let name = who.as_str().to_owned();
                        let since = *noticed.get(&name).expect("nobody ends who was not noticed");
                        prop_assert!(now >= since + DELAY.as_secs());
                        if fails {
                            ledger.failed(&who, at(now));
                            continue;
                        }
                        ledger.done(&who);
                        noticed.remove(&name);
                        if confirmed.remove(&name).is_none() {
                            ended.push(since);
                        }
                    }
                }
            }
            prop_assert_eq!(ledger.cases().count(), noticed.len());
        }
        // Of those whom nobody confirmed, no more than expected were noticed in any hour.
        for first in &ended {
            let wave = ended.iter().filter(|at| (*first..first + 3600).contains(at)).count();
            prop_assert!(wave <= most, "{:?}", ended);
        }
    }
}
