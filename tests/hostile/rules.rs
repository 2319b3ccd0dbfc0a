//! Authorization data (group I): claims that look like somebody who may pass. Each person is really at
//! the provider with these claims, signed; each gets the denial of their rule, and nothing else.

use serde_json::{Value, json};

use super::provider::{members, pages_served, stage_with, support_id};
use crate::faulty_provider::Person as Account;
use crate::stage::{HTML, SESSION, Stage, ask, cookie, log_at_info, seen, session_line};
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::More;
use crate::support::person::{Page, Person};

/// Opens a page as somebody with these claims.
fn open(stage: &Stage, claims: &Value) -> (Person, Page) {
    let claims = members(claims);
    stage
        .faulty
        .provider
        .set(|knobs| knobs.extra_claims = claims);
    let mut person = Person::new();
    let page = person.open(&stage.house.url("/windows"));
    (person, page)
}

/// The rule that refuses somebody with these claims, as the log names it.
#[track_caller]
fn denied_by(stage: &mut Stage, claims: &Value) -> String {
    let row: String = claims.to_string().chars().take(200).collect();
    let before = pages_served(stage);
    let (person, page) = open(stage, claims);
    assert_eq!(page.status(), 403, "{row}: {}", page.text());
    assert_eq!(cookie(&stage.house, &person, SESSION), None, "{row}");
    assert_eq!(pages_served(stage), before, "{row}: forwarded");
    let line = format!("denied by a rule request_id=\"{}\"", support_id(&page));
    let line = stage.house.wait_for_log(&line);
    assert!(line.len() < 2000, "{row}: {} bytes of log", line.len());
    let rule = line
        .split("rule=\"")
        .nth(1)
        .and_then(|it| it.split('"').next());
    rule.unwrap_or_else(|| panic!("{row}: {line}")).to_owned()
}

#[track_caller]
fn passes(stage: &Stage, claims: &Value) {
    let (_, page) = open(stage, claims);
    assert_eq!(page.status(), 200, "{claims}: {}", page.text());
}

#[test]
fn an_address_that_only_looks_like_one_of_an_allowed_domain_is_denied() {
    let mut stage = stage_with(More {
        oidc: "  allowed_domains: [company.example, kiosk.example, strasse.example, \
               file.example, cafe.example]\n",
        ..More::default()
    });
    for email in [
        "attacker@evil.example@company.example",
        "ben@company.example@evil.example",
        "\"ben@company.example\"@evil.example",
        "\"ben\"@company.example",
        "ben@company.example.evil.example",
        "ben@evilcompany.example",
        "ben@sub.company.example",
        "ben@company.example.",
        "ben@.company.example",
        "ben@company..example",
        "ben@company.example%00",
        "ben@company.example\u{0}",
        "ben@company.example\u{0}.evil.example",
        "ben@company.example\r\nBcc: x",
        "ben@company\u{3002}example",
        "ben@company\u{ff0e}example",
        "ben@company\u{ff61}example",
        "ben\u{ff20}company.example",
        "ben@\u{ff43}ompany.example",
        "@company.example",
        "company.example",
        "ben@",
        "@",
        " ben@company.example",
        "ben@company.example ",
        "ben@ company.example",
        "ben@company.example\t",
        "\u{feff}ben@company.example",
        "ben@company.example\u{200b}",
        "ben@company\u{ad}.example",
        "ben@\u{202e}elpmaxe.ynapmoc",
        "ben%40company.example",
        "ben(@company.example)@evil.example",
        "<ben@company.example>",
        "Ben <ben@company.example>",
        "ben@company.example,ben@evil.example",
        "ben@company.example;ben@evil.example",
        "mailto:ben@company.example",
        "ben@[127.0.0.1]",
        "ben@xn--company-.example",
        "ben:x@company.example",
        "ben,eve@company.example",
        "ben(eve)@company.example",
        "ben\\@company.example",
        "[ben]@company.example",
        // Letters that become another one's lower case, or two.
        "ben@\u{212a}iosk.example",
        "ben@kio\u{17f}k.example",
        "ben@stra\u{df}e.example",
        "ben@f\u{131}le.example",
        "ben@F\u{130}LE.example",
        "ben@\u{fb01}le.example",
        "ben@caf\u{e9}.example",
        "ben@cafe\u{301}.example",
        "ben@c\u{430}fe.example",
    ] {
        assert_eq!(
            denied_by(&mut stage, &json!({"email": email})),
            "domain",
            "{email:?}"
        );
    }
    for email in ["", "   "] {
        let rule = denied_by(&mut stage, &json!({"email": email}));
        assert_eq!(rule, "domain", "{email:?}");
    }
    for email in [
        "ben@company.example",
        "ben@COMPANY.Example",
        "BEN@company.example",
        "be.n+x@KIOSK.EXAMPLE",
    ] {
        passes(&stage, &json!({"email": email}));
    }
    let log = log_at_info(&stage.house);
    assert!(!log.contains("ben@") && !log.contains("Bcc"), "{log}");
}

#[test]
fn an_address_is_a_listed_user_byte_for_byte() {
    let mut stage = stage_with(More {
        oidc: "  allowed_users: [mark@company.example, ann.lee@company.example]\n",
        ..More::default()
    });
    for email in [
        "MARK@company.example",
        "mark@COMPANY.example",
        "mar\u{212a}@company.example",
        "ma\u{72}\u{301}k@company.example",
        "mark+admin@company.example",
        "annlee@company.example",
        "annXlee@company.example",
        "mark@company.example.",
        " mark@company.example",
        "mark@company.example\n",
        "mark@company.example,ann.lee@company.example",
        "*@company.example",
        ".*",
        "mark",
    ] {
        assert_eq!(
            denied_by(&mut stage, &json!({"email": email})),
            "user",
            "{email:?}"
        );
    }
    // Another name for the same person proves nothing.
    let names = json!({
        "email": "eve@company.example", "preferred_username": "mark@company.example",
        "upn": "mark@company.example", "sub_email": "mark@company.example",
    });
    assert_eq!(denied_by(&mut stage, &names), "user");
    for email in ["mark@company.example", "ann.lee@company.example"] {
        passes(&stage, &json!({"email": email}));
    }
}

#[test]
fn an_address_counts_only_when_the_provider_says_in_so_many_words_that_it_is_verified() {
    let mut stage = stage_with(More {
        oidc: "  allowed_domains: [company.example]\n",
        ..More::default()
    });
    for verified in [json!(false), json!(null), json!("false")] {
        let rule = denied_by(&mut stage, &json!({"email_verified": verified}));
        assert_eq!(rule, "unverified_email", "{verified}");
    }
    for verified in [json!(true), json!("true")] {
        passes(&stage, &json!({"email_verified": verified}));
    }
    // What is neither is no claim at all, and the token is not believed.
    for strange in [
        json!(1),
        json!(0),
        json!("yes"),
        json!(""),
        json!(""),
        json!("True"),
        json!(["true"]),
        json!({"value": true}),
    ] {
        let (person, page) = open(&stage, &json!({"email_verified": strange}));
        assert_ne!(page.status(), 200, "{strange}");
        assert_eq!(cookie(&stage.house, &person, SESSION), None, "{strange}");
    }
    let absent = json!({"email": null});
    assert_eq!(denied_by(&mut stage, &absent), "domain");
}

#[test]
fn a_group_is_a_text_of_its_own_with_exactly_that_name() {
    let mut stage = stage_with(More {
        oidc: "  allowed_groups: [admins, /tailnet users]\n",
        ..More::default()
    });
    let crowd = |last: &str| {
        let mut groups: Vec<String> = (0..5000).map(|at| format!("group number {at}")).collect();
        groups.push(last.to_owned());
        json!({ "groups": groups })
    };
    for claims in [
        json!({"groups": null}),
        json!({"groups": []}),
        json!({"groups": ""}),
        json!({"groups": [""]}),
        json!({"groups": ["/"]}),
        json!({"groups": "admins,users"}),
        json!({"groups": "users admins"}),
        json!({"groups": "[\"admins\"]"}),
        json!({"groups": {"admins": true}}),
        json!({"groups": {"0": "admins"}}),
        json!({"groups": [["admins"]]}),
        json!({"groups": [{"name": "admins"}]}),
        json!({"groups": [1, true, null, 0.5]}),
        json!({"groups": true}),
        json!({"groups": 1}),
        json!({"groups": ["Admins", "ADMINS", "admin", "adminss"]}),
        json!({"groups": [" admins", "admins ", "admins\n", "admins\u{0}", "admins\u{200b}"]}),
        json!({"groups": ["//admins", "admins/", "/admins/", "./admins", "sub/admins"]}),
        json!({"groups": ["adm\u{131}ns", "\u{430}dmins", "admin\u{17f}", "ADM\u{130}NS"]}),
        json!({"groups": ["tailnet%20users", "tailnet+users", "tailnet\u{a0}users"]}),
        json!({"groups": ["*", ".*", "admin*", "admins|x", "^admins$"]}),
        json!({"Groups": ["admins"], "groups": null}),
        json!({"roles": ["admins"], "group": "admins", "groups": null}),
        crowd("nobody"),
    ] {
        assert_eq!(denied_by(&mut stage, &claims), "group");
    }
    for claims in [
        json!({"groups": ["admins"]}),
        json!({"groups": "admins"}),
        json!({"groups": ["/admins"]}),
        json!({"groups": [1, null, ["x"], "tailnet users"]}),
        crowd("admins"),
    ] {
        let (_, page) = open(&stage, &claims);
        assert_eq!(page.status(), 200, "{}", page.text());
    }
}

#[test]
fn each_rule_alone_keeps_an_outsider_out() {
    for (oidc, rule) in [
        ("  allowed_groups: [headscale]\n", "group"),
        ("  allowed_domains: [company.example]\n", "domain"),
        ("  allowed_users: [ben@company.example]\n", "user"),
        (
            "  allowed_groups: [visitors]\n  allowed_domains: [company.example]\n",
            "domain",
        ),
        (
            "  allowed_domains: [elsewhere.example]\n  allowed_users: [x@elsewhere.example]\n",
            "user",
        ),
    ] {
        let mut stage = stage_with(More {
            oidc,
            ..More::default()
        });
        stage.is_at_the_provider(Account::Outsider);
        assert_eq!(denied_by(&mut stage, &json!({})), rule, "{oidc}");
    }
}

#[test]
fn the_rules_of_a_path_are_asked_on_every_request_upgrades_included() {
    let ui = HeadscaleStandin::start(Options::default());
    let access = format!(
        "access:\n  - path: /ui/**\n    upstream: {}\n    groups: [headscale-admins]\n",
        ui.url()
    );
    let stage = stage_with(More {
        top: Box::leak(access.into_boxed_str()),
        ..More::default()
    });
    let member = stage.somebody(Account::Member);
    let admin = stage.somebody(Account::Admin);
    let (member, admin) = (
        session_line(&stage.house, &member),
        session_line(&stage.house, &admin),
    );
    let origin = format!("Origin: {}", stage.house.plan.origin());
    let websocket = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        origin.as_str(),
    ];
    for (row, target) in [
        ("deep", "/ui/a/b"),
        ("top", "/ui"),
        ("query", "/ui/x?groups=headscale-admins"),
    ] {
        let row_line = format!("X-Row: {row}");
        for upgrade in [&[][..], &websocket] {
            let mut lines = vec![HTML, row_line.as_str(), member.as_str()];
            lines.extend_from_slice(upgrade);
            let answer = ask(&stage.house, "GET", target, &lines);
            assert_eq!(answer.status(), 403, "{row}: {}", answer.text());
            assert_eq!(seen(&ui, row).len(), 0, "{row}");
        }
        let answer = ask(&stage.house, "GET", target, &[HTML, &row_line, &admin]);
        assert_ne!(answer.status(), 403, "{row}: {}", answer.text());
        assert_eq!(seen(&ui, row).len(), 1, "{row}");
    }
    assert!(
        stage
            .headscale
            .requests()
            .iter()
            .all(|seen| !seen.path().starts_with("/ui"))
    );
}

#[test]
fn another_subject_with_the_same_address_is_another_person() {
    // A recycled address: the rules admit it, as the operator wrote; but it is nobody's old session.
    let stage = stage_with(More {
        oidc: "  allowed_users: [ben@company.example]\n",
        ..More::default()
    });
    let first = stage.somebody(Account::Member);
    let old = session_line(&stage.house, &first);
    let recycled = json!({"sub": "c".repeat(64), "email": "ben@company.example"});
    let claims = members(&recycled);
    stage.faulty.provider.set(|knobs| {
        knobs.id_claims = claims.clone();
        knobs.userinfo = claims;
    });
    let mut second = Person::new();
    let page = second.open(&stage.house.url("/windows"));
    assert_eq!(page.status(), 200, "{}", page.text());
    let new = session_line(&stage.house, &second);
    assert_ne!(old, new);
    let log = stage.house.log();
    for subject in ["b".repeat(64), "c".repeat(64)] {
        assert!(log.contains(&format!("subject={subject}")), "{log}");
    }
}

#[test]
fn neither_a_broken_file_nor_a_hangup_changes_who_may_pass() {
    let mut stage = stage_with(More::default());
    let member = stage.somebody(Account::Member);
    let session = session_line(&stage.house, &member);
    let file = stage.house.plan.files.join("config.yaml");
    for text in [
        "",
        "oidc: { allowed_groups: [] ",
        "oidc: { allow_everyone: true }\n",
    ] {
        std::fs::write(&file, text).expect("the file is ours");
        stage.house.signal("HUP");
        stage.house.wait_for_log("SIGHUP");
        let nobody = json!({"groups": ["visitors"]});
        assert_eq!(denied_by(&mut stage, &nobody), "group", "{text:?}");
        let answer = ask(&stage.house, "GET", "/windows", &[HTML, &session]);
        assert_eq!(answer.status(), 200, "{text:?}");
        passes(&stage, &json!({"groups": ["headscale"]}));
    }
}
