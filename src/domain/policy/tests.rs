use super::*;
use crate::domain::claims::NamedClaims;
use crate::domain::door::{AuthId, Guarded, Own, Tunnel};
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

fn domains(entries: &[&str]) -> Rules {
    Rules {
        allowed_domains: list(entries),
        ..rules()
    }
}

fn users(entries: &[&str]) -> Rules {
    Rules {
        allowed_users: list(entries),
        ..rules()
    }
}

fn groups(entries: &[&str]) -> Rules {
    Rules {
        allowed_groups: list(entries),
        ..rules()
    }
}

fn nobody() -> Identity {
    Identity {
        issuer: Issuer::new("https://id.example/"),
        subject: Subject::new("7"),
        email: None,
        email_verified: false,
        username: None,
        name: None,
        picture: None,
        groups: Vec::new().into(),
        claims: NamedClaims::default(),
    }
}

fn mailed(email: &str) -> Identity {
    Identity {
        email: Some(Email::new(email)),
        email_verified: true,
        ..nobody()
    }
}

fn grouped(names: &[&str]) -> Identity {
    Identity {
        groups: list(names).into(),
        ..nobody()
    }
}

#[test]
fn empty_lists_restrict_nobody() {
    assert_eq!(rules().decide(&nobody()), Ok(()));
    assert_eq!(rules().decide(&mailed("not an address")), Ok(()));
}

#[test]
fn each_rule_alone_refuses_an_outsider_and_a_missing_claim() {
    let outsider = Identity {
        groups: list(&["other"]).into(),
        ..mailed("mallory@evil.net")
    };
    for (rules, kind) in [
        (groups(&["headscale"]), "group"),
        (domains(&["acmecorp.net"]), "domain"),
        (users(&["dominic@acmecorp.net"]), "user"),
    ] {
        assert_eq!(rules.decide(&outsider).map_err(|d| d.kind()), Err(kind));
        assert_eq!(rules.decide(&nobody()).map_err(|d| d.kind()), Err(kind));
    }
}

#[test]
fn lists_are_anded_and_entries_are_ored() {
    let all = Rules {
        allowed_groups: list(&["ops", "headscale"]),
        allowed_domains: list(&["acmecorp.org", "acmecorp.net"]),
        allowed_users: list(&["erin@acmecorp.net", "dominic@acmecorp.net"]),
        ..rules()
    };
    let dominic = Identity {
        groups: list(&["x", "headscale"]).into(),
        ..mailed("dominic@acmecorp.net")
    };
    assert_eq!(all.decide(&dominic), Ok(()));
    let denied = |identity: &Identity| all.decide(identity).map_err(|denial| denial.kind());
    let email = |address: &str| Some(Email::new(address));
    assert_eq!(
        denied(&Identity {
            groups: list(&["x"]).into(),
            ..dominic.clone()
        }),
        Err("group")
    );
    assert_eq!(
        denied(&Identity {
            email: email("dominic@evil.net"),
            ..dominic.clone()
        }),
        Err("domain")
    );
    assert_eq!(
        denied(&Identity {
            email: email("eve@acmecorp.net"),
            ..dominic.clone()
        }),
        Err("user")
    );
    assert_eq!(
        denied(&Identity {
            email: None,
            ..dominic.clone()
        }),
        Err("domain")
    );
    assert_eq!(
        denied(&Identity {
            email_verified: false,
            ..dominic
        }),
        Err("unverified_email")
    );
}

#[test]
fn domains_are_compared_without_ascii_case_and_with_nothing_else_forgiven() {
    let admits = |allowed: &str, email: &str| domains(&[allowed]).decide(&mailed(email)).is_ok();
    for (allowed, email) in [
        ("company.com", "a@company.com"),
        ("company.com", "a@COMPANY.com"),
        ("Company.COM", "a@company.com"),
        ("company.com", "A.b+c'd@company.com"),
    ] {
        assert!(admits(allowed, email), "{email}");
    }
    for email in [
        "attacker@evil.com@company.com",
        "a@company.com@evil.com",
        "\"a@company.com\"@evil.com",
        "\"a@evil.com\"@company.com",
        "\"a\"@company.com",
        "a@company.com.evil.com",
        "a@evilcompany.com",
        "a@sub.company.com",
        "a@company.com.",
        "a@.company.com",
        "a@company..com",
        "a@company.com%00",
        "a@company.com\0",
        "a@company.com\n",
        "a\r\n@company.com",
        "a@company。com",
        "ä@company.com",
        "a@\u{441}ompany.com",
        "a＠company.com",
        "@company.com",
        "a@",
        "@",
        "company.com",
        "",
        " a@company.com",
        "a@company.com ",
        "a b@company.com",
        "a\t@company.com",
        "a\u{a0}@company.com",
        "a@company.com, b@evil.com",
        "<a@company.com>",
        "<a@company.com",
        "mailto:a@company.com",
        "a,b@company.com",
        "a;b@company.com",
        "a(b)@company.com",
        "a[b]@company.com",
        "a\\@company.com",
        "a:@company.com",
    ] {
        assert!(!admits("company.com", email), "{email:?}");
    }
    for local in ["o'neil", "a.b-c_d", "x+y=z", "!#$%&*/?^`{|}~", "0"] {
        assert!(
            admits("company.com", &format!("{local}@company.com")),
            "{local}"
        );
    }
    // Unicode would fold the Kelvin sign, the long s and the dotless i; ASCII does not.
    for (allowed, email) in [
        ("kompany.com", "a@\u{212a}ompany.com"),
        ("\u{212a}ompany.com", "a@kompany.com"),
        ("sales.com", "a@\u{17f}ales.com"),
        ("strasse.de", "a@straße.de"),
        ("inc.com", "a@\u{131}nc.com"),
    ] {
        assert!(!admits(allowed, email), "{allowed} {email}");
    }
    // An entry that is not a plain domain admits nobody rather than more.
    for allowed in [
        "",
        "*",
        "*.com",
        ".com",
        "com",
        "@company.com",
        "company.com.",
    ] {
        assert!(!admits(allowed, "a@company.com"), "{allowed}");
        assert!(!admits(allowed, "a@"), "{allowed}");
    }
}

#[test]
fn users_are_compared_byte_for_byte() {
    let admits = |email: &str| {
        users(&["dominic@acmecorp.net"])
            .decide(&mailed(email))
            .is_ok()
    };
    assert!(admits("dominic@acmecorp.net"));
    for email in [
        "Dominic@acmecorp.net",
        "dominic@ACMECORP.net",
        "dominic@acmecorp.net ",
        " dominic@acmecorp.net",
        "dominic@acmecorp.net\0",
        "dominic@acmecorp.net.",
        "dominic+x@acmecorp.net",
        "dominic",
        "",
    ] {
        assert!(!admits(email), "{email:?}");
    }
    // A listed text that is no address matches nobody, even where the provider sends the same.
    for entry in ["", "dominic", "a b@acmecorp.net", "a@b@acmecorp.net"] {
        assert!(users(&[entry]).decide(&mailed(entry)).is_err(), "{entry:?}");
    }
}

#[test]
fn an_unverified_email_fails_an_email_rule_and_only_that() {
    let unverified = Identity {
        email_verified: false,
        ..mailed("a@company.com")
    };
    let denial = Denial::UnverifiedEmail {
        email: "a@company.com".to_owned(),
    };
    assert_eq!(
        domains(&["company.com"]).decide(&unverified),
        Err(denial.clone())
    );
    assert_eq!(users(&["a@company.com"]).decide(&unverified), Err(denial));
    assert!(!users(&[]).is_any_user(&unverified, &list(&["a@company.com"])));
    let in_group = Identity {
        groups: list(&["headscale"]).into(),
        ..unverified.clone()
    };
    assert_eq!(groups(&["headscale"]).decide(&in_group), Ok(()));
    let lenient = Rules {
        email_verified_required: false,
        ..domains(&["company.com"])
    };
    assert_eq!(lenient.decide(&unverified), Ok(()));
}

#[test]
fn group_names_are_equal_but_for_one_leading_slash() {
    for (a, b, loose, exact) in [
        ("headscale", "headscale", true, true),
        ("/headscale", "headscale", true, false),
        ("headscale", "/headscale", true, false),
        ("/headscale", "/headscale", true, true),
        ("//headscale", "headscale", false, false),
        ("//headscale", "/headscale", false, false),
        ("headscale/", "headscale", false, false),
        ("/a/headscale", "headscale", false, false),
        ("Headscale", "headscale", false, false),
        ("headscale ", "headscale", false, false),
        ("headscale-admins", "headscale", false, false),
        ("\u{212a}ings", "kings", false, false),
        ("", "", false, false),
        ("/", "", false, false),
        ("/", "/", false, true),
    ] {
        assert_eq!(rules().same_group(a, b), loose, "{a:?} {b:?}");
        let strict = Rules {
            exact_groups: true,
            ..rules()
        };
        assert_eq!(strict.same_group(a, b), exact, "{a:?} {b:?} exactly");
    }
}

#[test]
fn nobody_is_in_one_of_no_groups_or_is_one_of_no_users() {
    assert!(!rules().has_any_group(&grouped(&["headscale"]), &[]));
    assert!(!rules().is_any_user(&mailed("a@company.com"), &[]));
    assert!(rules().has_any_group(&grouped(&["x", "headscale"]), &list(&["ops", "/headscale"])));
}

#[test]
fn five_thousand_groups_are_searched_and_a_denial_names_few_of_them() {
    let mut many: Vec<String> = (0..5000).map(|n| format!("group-{n}")).collect();
    let outsider = Identity {
        groups: many.clone().into(),
        ..nobody()
    };
    let denial = groups(&["headscale"])
        .decide(&outsider)
        .unwrap_err()
        .to_string();
    assert!(denial.ends_with(" and 4990 more"), "{denial}");
    assert!(denial.len() < 300);
    many.push("headscale".to_owned());
    assert_eq!(
        groups(&["headscale"]).decide(&Identity {
            groups: many.into(),
            ..nobody()
        }),
        Ok(())
    );
}

#[test]
fn a_denial_is_one_line_without_the_persons_address() {
    let hostile = "x\r\n\u{1b}[31m{\"a\":1}\u{202e}%s${jndi:ldap://x}";
    for denial in [
        Denial::Group {
            has: vec![hostile.to_owned(), "y".repeat(1 << 20)],
        },
        Denial::Group { has: Vec::new() },
        Denial::Domain { email: None },
        Denial::Domain {
            email: Some(format!("dominic@{hostile}")),
        },
        Denial::Domain {
            email: Some(format!("dominic@{}", "e".repeat(1 << 20))),
        },
        Denial::User {
            email: Some(format!("dominic{hostile}")),
        },
        Denial::User { email: None },
        Denial::UnverifiedEmail {
            email: format!("dominic{hostile}"),
        },
    ] {
        let text = denial.to_string();
        assert!(
            !text.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{text:?}"
        );
        assert!(!text.contains("dominic"), "{text}");
        assert!(text.len() < 300, "{}", text.len());
    }
    assert_eq!(
        Denial::Domain {
            email: Some("dominic@evil.net".to_owned())
        }
        .to_string(),
        "e-mail domain \"evil.net\" is not allowed"
    );
}

#[test]
fn a_denial_for_want_of_a_group_says_whether_the_provider_sent_any() {
    for (has, reason) in [
        (
            vec![],
            "in none of the allowed groups, the provider sent no group",
        ),
        (
            vec!["visitors".to_owned()],
            "in none of the allowed groups, has [\"visitors\"]",
        ),
    ] {
        assert_eq!(Denial::Group { has }.to_string(), reason);
    }
}

#[test]
fn an_identity_gets_a_permit_only_if_the_rules_admit_it() {
    let rules = groups(&["headscale"]);
    assert!(Permit::for_identity(&rules, &grouped(&["headscale"])).is_ok());
    let denied = Permit::for_identity(&rules, &grouped(&["other"])).map(|_| ());
    assert_eq!(
        denied,
        Err(Denial::Group {
            has: list(&["other"])
        })
    );
}

fn doors() -> Vec<Door> {
    let id = || AuthId::parse("hskey-authreq-0123456789abcdef01234567").unwrap();
    vec![
        Door::Machine(Tunnel::Control),
        Door::Machine(Tunnel::DerpWebSocket),
        Door::Open,
        Door::Verify,
        Door::NoContent,
        Door::Own(Own::Callback),
        Door::Own(Own::Authorize),
        Door::Own(Own::Unknown),
        Door::Api(ApiKind::V1),
        Door::Api(ApiKind::V2),
        Door::Api(ApiKind::V2Token),
        Door::ApiDocs,
        Door::Guarded(Guarded::Page),
        Door::Guarded(Guarded::Register(id())),
        Door::Guarded(Guarded::SshCheck(id())),
        Door::Guarded(Guarded::RegisterConfirm(id())),
        Door::Closed,
    ]
}

#[test]
fn only_open_doors_give_a_permit_without_a_person() {
    for door in doors() {
        let open = matches!(door, Door::Machine(_) | Door::Open | Door::Verify);
        assert_eq!(Permit::for_open_door(&door).is_some(), open, "{door:?}");
    }
}

#[test]
fn api_credentials_open_the_api_that_checks_them() {
    let permits = |kind, authorization| {
        Permit::for_api_credentials(&Door::Api(kind), authorization).is_some()
    };
    for (authorization, v1, v2) in [
        (Some("Bearer hskey-api-x"), true, true),
        (Some("bearer hskey-api-x"), true, true),
        (Some("Basic aHNrZXk6"), false, true),
        (Some("Digest x"), false, false),
        (Some("Bearer"), false, false),
        (Some("Bearer "), false, false),
        (Some("Bearer   "), false, false),
        (Some("BearerX y"), false, false),
        (Some(" Bearer y"), false, false),
        (Some("hskey-api-x"), false, false),
        (Some(""), false, false),
        (None, false, false),
    ] {
        assert_eq!(
            permits(ApiKind::V1, authorization),
            v1,
            "v1 {authorization:?}"
        );
        assert_eq!(
            permits(ApiKind::V2, authorization),
            v2,
            "v2 {authorization:?}"
        );
        assert!(
            permits(ApiKind::V2Token, authorization),
            "token {authorization:?}"
        );
    }
    for door in doors()
        .into_iter()
        .filter(|door| !matches!(door, Door::Api(_)))
    {
        assert!(
            Permit::for_api_credentials(&door, Some("Bearer x")).is_none(),
            "{door:?}"
        );
    }
}
