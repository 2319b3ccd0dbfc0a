use proptest::prelude::*;

use super::super::claims::NamedClaims;
use super::super::identity::{Email, Issuer, Subject};
use super::*;

fn ann() -> Identity {
    Identity {
        issuer: Issuer::new("https://idp.example/"),
        subject: Subject::new("7b2f"),
        email: Some(Email::new("ann@company.example")),
        email_verified: true,
        username: Some("ann".into()),
        name: Some("Ann A.".into()),
        picture: None,
        groups: vec!["staff".to_owned(), "admins".to_owned()].into(),
        claims: NamedClaims::default(),
    }
}

fn fill(template: &str, who: &Identity) -> Option<String> {
    let told = Told {
        who,
        email: who.email_verified,
    };
    Template::parse(template).unwrap().fill(told)
}

fn sent(preset_word: &str, who: &Identity) -> String {
    let told = Told {
        who,
        email: who.email_verified,
    };
    let fields = preset(preset_word).unwrap();
    let lines = fields.iter().filter_map(|field| {
        let value = field.value(told)?;
        Some(format!("{}: {value}\n", field.name.as_str()))
    });
    lines.collect()
}

#[test]
fn a_preset_sends_what_its_namesake_does() {
    for (word, lines) in [
        (
            "remote",
            "Remote-User: ann\nRemote-Email: ann@company.example\nRemote-Name: Ann A.\n\
             Remote-Groups: staff,admins\n",
        ),
        (
            "forwarded",
            "X-Forwarded-User: 7b2f\nX-Forwarded-Email: ann@company.example\n\
             X-Forwarded-Preferred-Username: ann\nX-Forwarded-Groups: staff,admins\n",
        ),
        (
            "authentik",
            "X-authentik-username: ann\nX-authentik-groups: staff|admins\n\
             X-authentik-email: ann@company.example\nX-authentik-name: Ann A.\n\
             X-authentik-uid: 7b2f\n",
        ),
    ] {
        assert_eq!(sent(word, &ann()), lines, "{word}");
    }
    assert!(preset("none").is_none());
}

#[test]
fn what_is_missing_or_unverified_is_left_out_and_an_empty_list_is_not_a_name() {
    let nobody = Identity {
        email_verified: false,
        username: Some(" ".into()),
        name: None,
        groups: Vec::new().into(),
        ..ann()
    };
    for (word, lines) in [
        ("remote", "Remote-Groups: \n"),
        ("forwarded", "X-Forwarded-User: 7b2f\n"),
        ("authentik", "X-authentik-groups: \nX-authentik-uid: 7b2f\n"),
    ] {
        assert_eq!(sent(word, &nobody), lines, "{word}");
    }
    for template in [
        "{username}",
        "{email}",
        "{name}",
        "{groups}",
        "id={subject};{email}",
    ] {
        assert_eq!(fill(template, &nobody), None, "{template}");
    }
}

#[test]
fn a_template_is_filled_and_no_claim_forges_what_stands_beside_it() {
    let sly = Identity {
        username: Some("ann/admin".into()),
        name: Some("Ann <root@company.example>".into()),
        groups: [
            "a,admins",
            "b|admins",
            "c admins",
            "Zoë",
            "d\r\nX: y",
            " e ",
            "",
        ]
        .map(str::to_owned)
        .to_vec()
        .into(),
        ..ann()
    };
    for (template, value) in [
        ("{username}", "ann/admin"),
        ("user:{username}", "user:ann/admin"),
        ("{subject}/{username}", "7b2f/ann%2Fadmin"),
        (
            "{name} <{email}>",
            "Ann%20%3Croot@company.example%3E <ann@company.example>",
        ),
        ("{{{subject}}}", "{7b2f}"),
        ("{issuer}", "https://idp.example/"),
        (
            "{groups}",
            "a%2Cadmins,b%7Cadmins,c admins,Zo%C3%AB,d%0D%0AX: y,%20e%20",
        ),
        (
            "{groups:|}",
            "a%2Cadmins|b%7Cadmins|c admins|Zo%C3%AB|d%0D%0AX: y|%20e%20",
        ),
        (
            "{groups: }",
            "a%2Cadmins b%7Cadmins c%20admins Zo%C3%AB d%0D%0AX:%20y %20e%20",
        ),
    ] {
        assert_eq!(fill(template, &sly).as_deref(), Some(value), "{template}");
    }
}

#[test]
fn a_text_that_is_no_template_says_why() {
    use TemplateFault::*;
    for (text, fault) in [
        ("username", NoClaim),
        ("", NoClaim),
        ("{{username}}", NoClaim),
        ("{user}", Unknown("user".to_owned())),
        ("{Username}", Unknown("Username".to_owned())),
        ("{}", Unknown(String::new())),
        ("{ username }", Unknown(" username ".to_owned())),
        ("{email:,}", Unknown("email:,".to_owned())),
        ("{groups:}", Separator),
        ("{groups:/}", Separator),
        ("{groups:||}", Separator),
        ("{username", Brace),
        ("username}", Brace),
        ("{username}}", Brace),
        (" {username}", Text),
        ("{username}\r\nX: y", Text),
        ("ü{username}", Text),
        ("{username}{email}", Ambiguous),
        ("{username}x{email}", Ambiguous),
        ("{groups},{username}", Ambiguous),
        ("{groups} {groups: }", Ambiguous),
    ] {
        assert_eq!(Template::parse(text), Err(fault), "{text:?}");
    }
    assert_eq!(
        Template::parse(&format!("{{name}}{}", "x".repeat(500))),
        Err(Text)
    );
    for word in claims() {
        assert!(Template::parse(&format!("{{{word}}}")).is_ok(), "{word}");
    }
}

#[test]
fn a_field_is_about_a_person_or_it_is_refused() {
    use NameFault::*;
    for good in [
        "X-User",
        "Remote-User",
        "x-webauth-user",
        "X-Forwarded-User",
        "X-Auth-Request-Email",
        "X-Team",
        "Impersonate-User",
        "A1",
        "X-Grafana-Role",
        "Tailscale-User-Login",
    ] {
        assert_eq!(
            FieldName::parse(good).map(FieldName::into_cow),
            Ok(good.into())
        );
    }
    for (bad, fault) in [
        ("", Spelling),
        ("X_User", Spelling),
        ("X.User", Spelling),
        ("X User", Spelling),
        ("X-User:", Spelling),
        ("-User", Spelling),
        ("X--User", Spelling),
        ("X-User-", Spelling),
        ("1-User", Spelling),
        ("X-Üser", Spelling),
        ("X-User\r\nX-A", Spelling),
        ("Authorization", Standard),
        ("COOKIE", Standard),
        ("Host", Standard),
        ("Connection", Standard),
        ("Content-Length", Standard),
        ("Transfer-Encoding", Standard),
        ("Upgrade", Standard),
        ("TE", Standard),
        ("Proxy-Authorization", Standard),
        ("Sec-Fetch-Site", Standard),
        ("Origin", Standard),
        ("User-Agent", Standard),
        ("Accept-Language", Standard),
        ("If-Match", Standard),
        ("Traceparent", Standard),
        ("X-Tailscale-Handshake", Standard),
        ("X-Forwarded-For", Origin),
        ("X-Forwarded", Origin),
        ("X-ForwardedFor", Origin),
        ("x-forwarded-proto", Origin),
        ("X-Forwarded-Uri", Origin),
        ("X-Real-IP", Origin),
        ("True-Client-IP", Origin),
        ("Remote-Addr", Origin),
        ("X-Original-Method", Origin),
        ("X-Request-Id", Ours),
        ("X-Headwarden-Assertion", Ours),
        ("X-Headwarden", Ours),
    ] {
        assert_eq!(FieldName::parse(bad).err(), Some(fault), "{bad:?}");
    }
    assert_eq!(FieldName::parse(&"x".repeat(65)).err(), Some(Spelling));
    assert!(FieldName::ours("Remote-User").is_some_and(|name| name.is("REMOTE-user")));
}

#[test]
fn no_claim_can_forge_another_or_end_the_line() {
    for (claim, encoded) in [
        ("admins", "admins"),
        ("a,b", "a%2Cb"),
        ("a|b", "a%7Cb"),
        ("a;b\"c", "a%3Bb%22c"),
        ("a\r\nX: y", "a%0D%0AX: y"),
        ("\0\u{7f}", "%00%7F"),
        ("100%", "100%25"),
        ("Zoë", "Zo%C3%AB"),
        ("  padded ", "%20%20padded%20"),
        ("two words", "two words"),
        (" ", "%20"),
        ("", ""),
    ] {
        assert_eq!(encode_claim(claim), encoded);
    }
}

const TEMPLATES: &[&str] = &[
    "{username}/{email}",
    "{name} <{email}>",
    "{username}-{groups}",
    "{groups:|};{subject}",
    "u.{subject}.{username}.x",
    "{groups: }{{{username}",
];

proptest! {
    /// Whoever knows the template reads the claims back: two persons that differ in one of them never get
    /// the same value, and the value is one line of visible ASCII that nobody trims.
    #[test]
    fn two_people_are_never_told_as_one(
        which in 0..TEMPLATES.len(),
        one in ("[ -~ë\r]{1,6}", "[ -~]{1,6}", proptest::collection::vec("[ -~]{1,4}", 1..3)),
        other in ("[ -~ë\r]{1,6}", "[ -~]{1,6}", proptest::collection::vec("[ -~]{1,4}", 1..3)),
    ) {
        let template = TEMPLATES[which];
        let person = |(username, rest, groups): (String, String, Vec<String>)| Identity {
            username: Some(username.as_str().into()),
            name: Some(username.into()),
            email: Some(Email::new(rest.clone())),
            subject: Subject::new(rest),
            groups: groups.into(),
            ..ann()
        };
        let (one, other) = (person(one), person(other));
        let values = (fill(template, &one), fill(template, &other));
        let (Some(first), Some(second)) = values else { return Ok(()) };
        for value in [&first, &second] {
            prop_assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{value:?}");
            prop_assert_eq!(value.trim(), value);
        }
        let named = |who: &Identity| {
            (
                template.contains("name}").then(|| who.username.clone()),
                template.contains("email}").then(|| who.email.clone()),
                template.contains("subject}").then(|| who.subject.clone()),
                template.contains("groups").then(|| who.groups.clone()),
            )
        };
        prop_assert_eq!(first == second, named(&one) == named(&other), "{} {}", first, second);
    }
}
