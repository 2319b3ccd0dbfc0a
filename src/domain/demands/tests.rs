use super::*;
use crate::domain::claims::NamedClaims;
use crate::domain::identity::{Email, Issuer, Subject};

fn rules() -> Rules {
    Rules {
        allowed_groups: Vec::new(),
        allowed_domains: Vec::new(),
        allowed_users: Vec::new(),
        email_verified_required: true,
        exact_groups: false,
    }
}

fn list(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn claims(all: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let each = all.iter();
    each.map(|(name, values)| ((*name).to_owned(), list(values)))
        .collect()
}

/// Ann: in two groups, with a verified address and two claims.
fn ann() -> Identity {
    Identity {
        issuer: Issuer::new("https://idp.example/"),
        subject: Subject::new("ann"),
        email: Some(Email::new("ann@eu.company.example")),
        email_verified: true,
        username: None,
        name: None,
        picture: None,
        groups: list(&["/staff", "teams/red"]).into(),
        claims: NamedClaims::from(claims(&[("department", &["it", "ops"]), ("level", &["3"])])),
    }
}

fn demands(
    groups: &[&str],
    domains: &[&str],
    users: &[&str],
    named: &[(&str, &[&str])],
) -> Demands {
    Demands {
        groups: list(groups),
        domains: list(domains),
        users: list(users),
        claims: claims(named),
    }
}

#[test]
fn each_kind_is_asked_and_one_of_a_list_is_enough() {
    let claim = |name: &str| Err(Unmet::Claim(name.to_owned()));
    for (demands, expected) in [
        (demands(&[], &[], &[], &[]), Ok(())),
        (demands(&["staff"], &[], &[], &[]), Ok(())),
        (demands(&["x", "teams/*"], &[], &[], &[]), Ok(())),
        (demands(&["*"], &[], &[], &[]), Ok(())),
        (demands(&["teams*"], &[], &[], &[]), Err(Unmet::Groups)),
        (demands(&["Staff"], &[], &[], &[]), Err(Unmet::Groups)),
        (demands(&[], &["*.company.example"], &[], &[]), Ok(())),
        (demands(&[], &["EU.company.example"], &[], &[]), Ok(())),
        (
            demands(&[], &["company.example"], &[], &[]),
            Err(Unmet::Domains),
        ),
        (demands(&[], &[], &["a*@eu.company.example"], &[]), Ok(())),
        (
            demands(&[], &[], &["*@company.example"], &[]),
            Err(Unmet::Users),
        ),
        (
            demands(&[], &[], &[], &[("department", &["hr", "ops"])]),
            Ok(()),
        ),
        (demands(&[], &[], &[], &[("level", &["3"])]), Ok(())),
        (demands(&[], &[], &[], &[("level", &["4"])]), claim("level")),
        (
            demands(&[], &[], &[], &[("missing", &["*"])]),
            claim("missing"),
        ),
        (
            demands(&[], &[], &[], &[("department", &["it"]), ("level", &["4"])]),
            claim("level"),
        ),
        // All kinds together, and the first that fails is told.
        (
            demands(
                &["staff"],
                &["eu.company.example"],
                &["ann@eu.company.example"],
                &[("department", &["it"])],
            ),
            Ok(()),
        ),
        (
            demands(&["staff"], &["elsewhere.example"], &["x@y.example"], &[]),
            Err(Unmet::Domains),
        ),
        (
            demands(&["other"], &["eu.company.example"], &[], &[]),
            Err(Unmet::Groups),
        ),
    ] {
        assert_eq!(rules().meet(&ann(), &demands), expected, "{demands:?}");
    }
}

/// What an outsider might call themselves, against each kind alone.
#[test]
fn a_star_lets_nobody_in_who_only_looks_alike() {
    let wild = demands(&[], &["*.company.example"], &[], &[]);
    let users = demands(&[], &[], &["*@company.example"], &[]);
    for address in [
        "ann@eu.company.example@evil.example",
        "ann@evil.example@eu.company.example",
        "\"ann@eu.company.example\"@evil.example",
        "ann@eu.company.example.evil.example",
        "ann@eucompany.example",
        "ann@.company.example",
        "ann@a.b.company.example",
        "@eu.company.example",
        "ann@company.example@evil.example",
        "ann@company.example.",
        "ann@xcompany.example",
        "",
    ] {
        let who = Identity {
            email: Some(Email::new(address)),
            ..ann()
        };
        for demands in [&wild, &users] {
            assert!(rules().meet(&who, demands).is_err(), "{address}");
        }
    }
    let unverified = Identity {
        email_verified: false,
        ..ann()
    };
    let nobody = Identity {
        email: None,
        groups: list(&[""]).into(),
        claims: NamedClaims::from(claims(&[("department", &[""])])),
        ..ann()
    };
    for who in [unverified, nobody.clone()] {
        assert_eq!(rules().meet(&who, &wild), Err(Unmet::Domains));
        assert_eq!(
            rules().meet(&who, &demands(&[], &[], &["*@*.company.example"], &[])),
            Err(Unmet::Users)
        );
    }
    for (asked, unmet) in [
        (demands(&["*"], &[], &[], &[]), Unmet::Groups),
        (
            demands(&[], &[], &[], &[("department", &["*"])]),
            Unmet::Claim("department".to_owned()),
        ),
    ] {
        assert_eq!(rules().meet(&nobody, &asked), Err(unmet));
    }
}

#[test]
fn an_unverified_address_counts_where_the_general_rules_say_so() {
    let lenient = Rules {
        email_verified_required: false,
        ..rules()
    };
    let who = Identity {
        email_verified: false,
        ..ann()
    };
    let wanted = demands(&[], &["eu.company.example"], &[], &[]);
    assert_eq!(lenient.meet(&who, &wanted), Ok(()));
    assert_eq!(rules().meet(&who, &wanted), Err(Unmet::Domains));
}

#[test]
fn a_leading_slash_counts_where_groups_are_exact() {
    let exact = Rules {
        exact_groups: true,
        ..rules()
    };
    for (pattern, loose, strict) in [
        ("staff", true, false),
        ("/staff", true, true),
        ("/st*", true, true),
        ("st*", true, false),
        ("/teams/*", true, false),
        ("teams/*", true, true),
    ] {
        let asked = demands(&[pattern], &[], &[], &[]);
        assert_eq!(rules().meet(&ann(), &asked).is_ok(), loose, "{pattern}");
        assert_eq!(exact.meet(&ann(), &asked).is_ok(), strict, "{pattern}");
    }
}
