use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::domain::claims::NamedClaims;
use crate::domain::identity::{Identity, Issuer, Subject};
use crate::domain::secret::Secret;
use crate::domain::session::{Browser, Footing};
use crate::domain::token::Token;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

fn asks(max_age: Option<u64>, acr: &[&str], amr: &[&str]) -> Assurance {
    Assurance::new(max_age.map(Duration::from_secs), texts(acr), texts(amr))
}

/// Somebody who signed in at `auth_time` with this `acr` and `amr`.
fn signed_in(auth_time: Option<u64>, acr: Option<&str>, amr: &[&str]) -> Session {
    Session {
        identity: Identity {
            issuer: Issuer::new("https://authentik.test/application/o/headscale/"),
            subject: Subject::new("mia"),
            email: None,
            email_verified: false,
            username: None,
            name: None,
            picture: None,
            groups: Vec::new().into(),
            claims: NamedClaims::default(),
        },
        provider_session: None,
        auth_time: auth_time.map(Timestamp::from_unix),
        acr: acr.map(Into::into),
        amr: texts(amr).into(),
        id_token: Token::pack(&Secret::new(String::new())),
        refresh_token: None,
        token_expires_at: NOW,
        started_at: NOW,
        checked_at: NOW,
        footing: Footing::default(),
        browser: Browser {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            agent: "".into(),
        },
    }
}

const NOTHING: Missing = Missing {
    age: false,
    acr: false,
    amr: false,
};

/// Seconds that are allowed, when the person proved who they are, and whether that is too old.
#[test]
fn a_sign_in_is_recent_to_the_second_and_not_from_the_future() {
    let now = NOW.unix();
    for (most, auth_time, age) in [
        (300, Some(now), false),
        (300, Some(now - 300), false),
        (300, Some(now - 301), true),
        (300, Some(now + 60), false),
        (300, Some(now + 61), true),
        (300, Some(0), true),
        (300, None, true),
    ] {
        let missing = asks(Some(most), &[], &[]).missing(&signed_in(auth_time, None, &[]), NOW);
        assert_eq!(missing, Missing { age, ..NOTHING }, "{auth_time:?}");
        assert_eq!(missing.needs_a_prompt(), age);
    }
}

#[test]
fn one_of_the_classes_and_one_of_the_methods_is_enough_and_each_is_compared_exactly() {
    let both = asks(None, &["silver", "gold"], &["mfa", "hwk"]);
    for (acr, amr, no_acr, no_amr) in [
        (Some("gold"), &["pwd", "mfa"][..], false, false),
        (Some("silver"), &["hwk"], false, false),
        (Some("bronze"), &["mfa"], true, false),
        (Some("Gold"), &["MFA"], true, true),
        (Some("gold "), &["mfa "], true, true),
        (Some(""), &[""], true, true),
        (None, &[], true, true),
        (Some("silver gold"), &["mfa hwk"], true, true),
    ] {
        let missing = both.missing(&signed_in(None, acr, amr), NOW);
        let expected = Missing {
            age: false,
            acr: no_acr,
            amr: no_amr,
        };
        assert_eq!(missing, expected, "{acr:?} {amr:?}");
    }
    assert!(!both.asks_nothing());
    let class_alone = both.missing(&signed_in(None, None, &["mfa"]), NOW);
    assert!(class_alone.acr && !class_alone.needs_a_prompt());
}

#[test]
fn what_asks_for_nothing_is_met_by_everybody_and_adds_nothing() {
    let nothing = asks(None, &[], &[]);
    assert!(nothing.asks_nothing());
    assert!(
        nothing
            .missing(&signed_in(None, None, &[]), NOW)
            .is_nothing()
    );
    let something = asks(Some(60), &["gold"], &["mfa"]);
    assert_eq!(nothing.clone().and(&something), something);
    assert_eq!(something.clone().and(&nothing), something);
    assert_eq!(something.clone().and(&something), something);
}

#[test]
fn two_rules_together_ask_for_no_less_than_either() {
    let together = asks(Some(600), &["silver", "gold"], &["mfa"]).and(&asks(
        Some(60),
        &["gold", "platinum"],
        &["hwk", "swk"],
    ));
    assert_eq!(together.max_age, Some(Duration::from_mins(1)));
    assert_eq!(together.acr_values(), ["gold"]);
    for (acr, amr, met) in [
        ("gold", &["mfa", "hwk"][..], true),
        ("gold", &["mfa"], false),
        ("gold", &["hwk"], false),
        ("silver", &["mfa", "hwk"], false),
        ("platinum", &["mfa", "hwk"], false),
    ] {
        let missing = together.missing(&signed_in(Some(NOW.unix()), Some(acr), amr), NOW);
        assert_eq!(missing.is_nothing(), met, "{acr} {amr:?}");
    }
    // What cannot be met is asked for all the same, and stays unmet.
    let never = asks(None, &["silver"], &[]).and(&asks(None, &["gold"], &[]));
    assert_eq!(never.acr_values(), ["silver"]);
    for acr in ["silver", "gold"] {
        assert!(never.missing(&signed_in(None, Some(acr), &[]), NOW).acr);
    }
}
