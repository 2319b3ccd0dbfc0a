//! Rules that ask for more than a session: a recent sign-in, one of a class, one by a method.

use serde_json::json;
use url::Url;

use crate::faulty_provider::{Fault, Person as Account};
use crate::stage::{HTML, SAME_ORIGIN, Stage, ask, cookie, seen, session_line, session_value};
use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::house::More;
use crate::support::html;
use crate::support::person::{Page, Person};
use crate::support::raw::Response;
use crate::support::tailnet::{AUTH_ID, Tailnet};

const RULES: &str = "access:\n  - { path: /windows, max_auth_age: 10m }\n  \
    - { path: /apple, acr: [silver, gold] }\n  - { path: \"/mfa/**\", amr: [mfa, hwk] }\n  \
    - { path: \"/all/**\", max_auth_age: 10m, acr: [gold], amr: [mfa] }\n  \
    - { path: \"/api/v1/**\", max_auth_age: 10m }\napi: { admins: [headscale-admins] }\n";
const KEY: &str = "  api_key: hskey-api-standin\n";
const EMPTY: &str = "Content-Length: 0";
const PAGE: [&str; 2] = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
/// Longer than any rule here allows, in seconds.
const LONG_AGO: u32 = 3600;

fn tailnet() -> Tailnet {
    Tailnet::start_with("v0.29.2", |_| More {
        headscale: KEY,
        top: RULES,
        ..More::default()
    })
}

/// A house whose provider signs in without asking, and says what it likes about it.
fn stage() -> Stage {
    Stage::start_with(|_| More {
        headscale: KEY,
        top: RULES,
        issuer: "    ssh_acr: [gold]\n    ssh_amr: [mfa]\n",
        ..More::default()
    })
}

/// Somebody with a session, who proved long ago who they are.
fn signed_in_long_ago(tailnet: &mut Tailnet, who: &str) -> Person {
    let mut person = Person::new();
    let page = tailnet.sign_in(&mut person, "/", who);
    assert_eq!(page.status(), 200, "{}", page.text());
    tailnet.provider.age(who, LONG_AGO);
    let again = person.open(&tailnet.house.url("/.headwarden/sign-in"));
    assert_eq!(again.status(), 200, "{}", again.text());
    person
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut found = url.query_pairs().filter(|(known, _)| known == name);
    found.next().map(|(_, value)| value.into_owned())
}

/// Path, what the provider is asked for (`prompt`, `max_age`, `acr_values`), and whether it asks the
/// person.
#[test]
fn what_a_session_lacks_is_asked_for_at_the_provider_and_the_person_comes_back_to_the_page() {
    let mut tailnet = tailnet();
    tailnet
        .provider
        .set(&json!({ "acr_values": ["silver", "gold"] }));
    for (path, status, [prompt, max_age, acr_values], amr) in [
        (
            "/windows?x=%2F&y=2",
            200,
            [Some("login"), Some("600"), None],
            &["pwd"][..],
        ),
        (
            "/apple?x=1",
            200,
            [None, None, Some("silver gold")],
            &["pwd"],
        ),
        (
            "/mfa/page",
            404,
            [Some("login"), None, None],
            &["pwd", "mfa"],
        ),
        ("/MFA/page", 404, [Some("login"), None, None], &["hwk"]),
        (
            "/all/page?a",
            404,
            [Some("login"), Some("600"), Some("gold")],
            &["pwd", "mfa"],
        ),
    ] {
        tailnet.provider.set(&json!({ "amr": ["pwd"] }));
        let mut person = signed_in_long_ago(&mut tailnet, MEMBER);
        let before = session_line(&tailnet.house, &person);
        let sent = person.get(&tailnet.house.url(path));
        let there = sent.redirect().expect("off to the provider").clone();
        assert!(
            there.as_str().starts_with(tailnet.provider.origin()),
            "{there}"
        );
        for (name, value) in [
            ("prompt", prompt),
            ("max_age", max_age),
            ("acr_values", acr_values),
        ] {
            assert_eq!(parameter(&there, name).as_deref(), value, "{path}: {name}");
        }
        tailnet.provider.set(&json!({ "amr": amr }));
        let form = person.follow(sent);
        let back = person.fill_in(&form, "login", &[("username", MEMBER)]);
        assert_eq!(
            back.url.as_str(),
            tailnet.house.url(path),
            "{}",
            back.text()
        );
        assert_eq!(back.status(), status, "{path}: {}", back.text());
        // It is the same session, renewed: the old cookie is dead, and the page is not asked for twice.
        let fields = [before.as_str()];
        assert_eq!(ask(&tailnet.house, "GET", "/", &fields).status(), 401);
        let again = person.open(&tailnet.house.url(path));
        assert_eq!((again.status(), again.hops.len()), (status, 1), "{path}");
    }
}

#[test]
fn a_session_that_has_what_is_asked_for_is_never_sent_away() {
    let mut tailnet = tailnet();
    tailnet.provider.set(&json!({ "amr": ["mfa"] }));
    let mut person = Person::new();
    tailnet.sign_in(&mut person, "/", MEMBER);
    for (path, status) in [("/windows", 200), ("/mfa/a", 404), ("/", 200)] {
        let page = person.open(&tailnet.house.url(path));
        assert_eq!((page.status(), page.hops.len()), (status, 1), "{path}");
    }
}

fn is_told(page: &Page, title: &str) -> bool {
    page.status() == 403 && page.text().contains(title)
}

/// Path, what the provider says of the new sign-in, and what the person is told.
#[test]
fn a_provider_that_does_not_do_it_is_asked_once_and_the_person_told_so() {
    const WEAK: &str = "A stronger sign-in is needed";
    const OLD: &str = "A fresh sign-in is needed";
    let stage = stage();
    let now = now();
    let ssh = format!("/auth/{AUTH_ID}");
    for (path, claims, fault, title) in [
        // authentik: ignores what it is asked for, and says what it always says.
        ("/apple", json!({}), None, WEAK),
        ("/apple", json!({ "acr": null }), None, WEAK),
        ("/apple", json!({ "acr": "Gold" }), None, WEAK),
        ("/mfa/a", json!({}), None, WEAK),
        ("/mfa/a", json!({ "amr": null }), None, WEAK),
        ("/mfa/a", json!({ "amr": ["MFA", "mfa hwk"] }), None, WEAK),
        ("/windows", json!({ "auth_time": now - 3600 }), None, OLD),
        ("/windows", json!({}), Some(Fault::AuthTimeAbsent), OLD),
        ("/all/a", json!({ "acr": "gold" }), None, WEAK),
        (
            "/all/a",
            json!({ "acr": "gold", "amr": ["mfa"], "auth_time": now - 3600 }),
            None,
            OLD,
        ),
        (&ssh, json!({ "acr": "gold" }), None, WEAK),
        (&ssh, json!({ "amr": ["mfa"] }), None, WEAK),
    ] {
        let provider = &stage.faulty.provider;
        provider.mend();
        provider.set(|knobs| {
            knobs.person = Account::Member;
            knobs
                .id_claims
                .insert("auth_time".to_owned(), json!(now - 3600));
        });
        let mut person = Person::new();
        assert_eq!(person.open(&stage.house.url("/")).status(), 200);
        let before = session_value(&stage.house, &person);
        provider.mend();
        provider.set(|knobs| knobs.id_claims.extend(claims.as_object().unwrap().clone()));
        if let Some(fault) = fault {
            provider.bend(fault);
        }
        let told = person.open(&stage.house.url(path));
        assert!(
            is_told(&told, title),
            "{path} {claims}: {} {}",
            told.status(),
            told.text()
        );
        assert_eq!(told.url.path(), "/oidc/callback", "{path} {claims}");
        assert_eq!(told.hops.len(), 3, "{path} {claims}");
        // Who was signed in still is, by the same cookie, and no further.
        assert_eq!(
            session_value(&stage.house, &person),
            before,
            "{path} {claims}"
        );
        assert_eq!(person.open(&stage.house.url("/")).status(), 200);
        let once_more = person.get(&stage.house.url(path));
        assert!(once_more.redirect().is_some(), "{path} {claims}");
    }
    let reached: Vec<String> = stage
        .headscale
        .requests()
        .iter()
        .map(|seen| seen.path().to_owned())
        .filter(|path| path != "/" && path != "/version" && !path.starts_with("/oidc/"))
        .collect();
    assert_eq!(reached, Vec::<String>::new());
    assert!(
        stage
            .house
            .log()
            .contains("did not do what a step-up asked for")
    );
}

#[test]
fn a_step_up_by_somebody_else_or_of_a_session_that_is_over_is_none() {
    let stage = stage();
    let strong = |account| {
        stage.faulty.provider.set(|knobs| {
            knobs.person = account;
            knobs.id_claims.insert("acr".to_owned(), json!("gold"));
        });
    };
    let mut person = stage.somebody_at("/", Account::Member);
    strong(Account::Admin);
    let told = person.open(&stage.house.url("/apple"));
    assert!(
        is_told(&told, "A fresh sign-in is needed"),
        "{}",
        told.text()
    );
    // Signed out in another tab, while this one is at the provider.
    strong(Account::Member);
    let (answered, _) = stage.callback_for(&mut person, "/apple");
    let line = session_line(&stage.house, &person);
    let lines = [EMPTY, SAME_ORIGIN, &line];
    assert_eq!(
        ask(&stage.house, "POST", "/.headwarden/logout", &lines).status(),
        303
    );
    let told = person.follow(answered);
    assert!(
        is_told(&told, "A fresh sign-in is needed"),
        "{}",
        told.text()
    );
    assert_eq!(ask(&stage.house, "GET", "/", &[&line]).status(), 401);
}

#[test]
fn an_ssh_check_can_ask_for_a_class_and_a_method() {
    let stage = stage();
    let link = stage.house.url(&format!("/auth/{AUTH_ID}"));
    let mut person = stage.somebody_at("/", Account::Member);
    let sent = person.get(&link);
    let there = sent.redirect().expect("off to the provider").clone();
    assert_eq!(parameter(&there, "acr_values").as_deref(), Some("gold"));
    assert_eq!(parameter(&there, "prompt").as_deref(), Some("login"));
    stage.faulty.provider.set(|knobs| {
        knobs.id_claims.insert("acr".to_owned(), json!("gold"));
        knobs
            .id_claims
            .insert("amr".to_owned(), json!(["pwd", "mfa"]));
    });
    let asked = person.follow(sent);
    assert!(
        asked.text().contains("/.headwarden/confirm-ssh"),
        "{}",
        asked.text()
    );
    let done = person.fill_in(&asked, "", &[]);
    assert!(
        done.text().contains("SSH session authorized"),
        "{}",
        done.text()
    );
    assert_eq!(stage.headscale.approved_ssh().len(), 1);
}

fn told(answer: &Response, expected: &serde_json::Value) {
    assert_eq!(answer.status(), 401, "{}", answer.text());
    let told = answer.json();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&told[name], value, "{name} of {told}");
    }
    for name in ["max_auth_age", "acr", "amr"] {
        assert_eq!(told.get(name), expected.get(name), "{name} of {told}");
    }
    assert_eq!(told["error"], "step_up_needed");
    assert_eq!(answer.header("location"), None);
    assert_eq!(answer.header("set-cookie"), None);
}

#[test]
fn what_is_no_navigation_hears_what_is_needed_and_is_not_passed_on() {
    let mut tailnet = tailnet();
    let admin = signed_in_long_ago(&mut tailnet, ADMIN);
    let line = session_line(&tailnet.house, &admin);
    let socket = ["Connection: Upgrade", "Upgrade: websocket"];
    let step_up = |of: &str| format!("/.headwarden/step-up?for={of}");
    for (method, target, lines, expected) in [
        (
            "GET",
            "/windows",
            &[][..],
            json!({ "max_auth_age": 600, "step_up": step_up("%2Fwindows") }),
        ),
        (
            "GET",
            "/windows?secret=1",
            &["Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"],
            json!({ "max_auth_age": 600, "step_up": step_up("%2Fwindows") }),
        ),
        (
            "GET",
            "/apple",
            &["Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
            json!({ "acr": ["silver", "gold"] }),
        ),
        (
            "GET",
            "/mfa/a",
            &["Sec-Purpose: prefetch", HTML],
            json!({ "amr": ["mfa", "hwk"] }),
        ),
        (
            "GET",
            "/mfa/socket",
            &socket,
            json!({ "amr": ["mfa", "hwk"] }),
        ),
        (
            "POST",
            "/all/a",
            &[EMPTY],
            json!({ "max_auth_age": 600, "acr": ["gold"], "amr": ["mfa"] }),
        ),
        (
            "DELETE",
            "/all/a",
            &[SAME_ORIGIN],
            json!({ "max_auth_age": 600, "acr": ["gold"], "amr": ["mfa"] }),
        ),
        (
            "GET",
            "/api/v1/node",
            &[SAME_ORIGIN],
            json!({ "max_auth_age": 600, "step_up": step_up("%2Fapi%2Fv1%2Fnode") }),
        ),
        (
            "POST",
            "/api/v1/node",
            &[SAME_ORIGIN, EMPTY],
            json!({ "max_auth_age": 600 }),
        ),
        // The API answers programs, whoever asks.
        (
            "GET",
            "/api/v1/node",
            &[SAME_ORIGIN, HTML, PAGE[0], PAGE[1]],
            json!({ "max_auth_age": 600 }),
        ),
        (
            "POST",
            "/api/v1/node",
            &[SAME_ORIGIN, EMPTY, HTML],
            json!({ "max_auth_age": 600 }),
        ),
    ] {
        let row = ["X-Row: step-up", &line];
        let answer = ask(&tailnet.house, method, target, &[lines, &row].concat());
        told(&answer, &expected);
    }
    let head = ask(&tailnet.house, "HEAD", "/windows", &[&line, HTML]);
    assert_eq!((head.status(), head.header("location")), (401, None));
    assert!(seen(&tailnet.headscale, "step-up").is_empty());
    // An API key of one's own is no session, and no rule asks it.
    let key = ["Authorization: Bearer hskey-api-standin"];
    let answer = ask(&tailnet.house, "GET", "/api/v1/user", &key);
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

/// `Referer` of the form, and where the link of the page leads back to.
#[test]
fn a_form_is_not_lost_silently_and_its_sender_comes_back_to_it() {
    let mut tailnet = tailnet();
    let origin = tailnet.house.plan.origin();
    for (referer, back) in [
        (
            Some(format!("{origin}/apple/ios?tab=1")),
            "/apple/ios?tab=1",
        ),
        (
            Some(format!("{origin}/windows?draft=%26a")),
            "/windows?draft=%26a",
        ),
        (Some(format!("{origin}/windows#part")), "/windows"),
        (Some(origin.clone()), "/"),
        (None, "/"),
        (Some("https://evil.example/page".to_owned()), "/"),
        (Some(format!("{origin}.evil.example/page")), "/"),
        (Some(format!("{origin}/.headwarden/logout")), "/"),
        (Some(format!("{origin}/oidc/callback?code=a")), "/"),
        (Some(format!("{origin}//evil.example/")), "/"),
        (Some("not an address".to_owned()), "/"),
    ] {
        let mut person = signed_in_long_ago(&mut tailnet, MEMBER);
        let url = tailnet.house.url("/windows?q=1");
        let mut lines = vec![HTML, PAGE[0], PAGE[1], "X-Row: form"];
        lines.push("Content-Type: application/x-www-form-urlencoded");
        let from = referer.map(|referer| format!("Referer: {referer}"));
        lines.extend(from.as_deref());
        let answer = person.request("POST", &url, &lines, b"name=value");
        assert_eq!(answer.status(), 403, "{from:?}");
        let text = answer.text();
        assert!(text.contains("Nothing has been sent"), "{from:?}: {text}");
        assert!(!text.contains("evil"), "{from:?}: {text}");
        let links = html::links(&text, &Url::parse(&url).unwrap());
        let [link] = links.as_slice() else {
            panic!("{from:?}: {text}")
        };
        assert_eq!(
            parameter(link, "for").as_deref(),
            Some("/windows"),
            "{from:?}"
        );
        let form = person.open(link.as_str());
        assert!(
            form.url.as_str().starts_with(tailnet.provider.origin()),
            "{from:?}"
        );
        let landed = person.fill_in(&form, "login", &[("username", MEMBER)]);
        assert_eq!(landed.url.as_str(), tailnet.house.url(back), "{from:?}");
        assert_eq!(landed.status(), 200, "{from:?}");
        // Now it can be sent.
        let answer = person.request("POST", &url, &["X-Row: again"], b"name=value");
        assert_eq!(answer.status(), 405, "{from:?}: Headscale's own");
    }
    assert!(seen(&tailnet.headscale, "form").is_empty());
    assert_eq!(seen(&tailnet.headscale, "again").len(), 11);
}

/// The query of the endpoint, and where somebody whose sign-in is long ago, and somebody whose is not,
/// are sent. `P` is the provider.
#[test]
fn the_way_to_a_step_up_leads_to_the_provider_or_to_a_page_of_ours() {
    let mut tailnet = tailnet();
    let mut old = signed_in_long_ago(&mut tailnet, MEMBER);
    let mut fresh = Person::new();
    tailnet.sign_in(&mut fresh, "/", ADMIN);
    for (query, of_old, of_fresh) in [
        ("for=/windows&back=/apple/ios?a%26b", "P", "/apple/ios?a&b"),
        ("for=/windows", "P", "/"),
        ("for=/WINDOWS/&back=/x", "P", "/x"),
        ("for=/windows&back=//evil.example", "P", "/"),
        ("for=/windows&back=https://evil.example/", "P", "/"),
        ("for=/windows&back=/.headwarden/step-up", "P", "/"),
        ("for=/windows&back=/a&back=/b", "P", "/"),
        ("for=/windows&for=/windows&back=/a", "/a", "/a"),
        ("for=//windows&back=/a", "/a", "/a"),
        ("for=/apple/ios&back=/a", "/a", "/a"),
        ("", "/", "/"),
        ("back=/a", "/a", "/a"),
    ] {
        for (person, expected) in [(&mut old, of_old), (&mut fresh, of_fresh)] {
            let page = person.get(&tailnet.house.url(&format!("/.headwarden/step-up?{query}")));
            assert_eq!(page.status(), 303, "{query}: {}", page.text());
            let there = page.redirect().expect("a redirect");
            if expected == "P" {
                assert!(
                    there.as_str().starts_with(tailnet.provider.origin()),
                    "{query}: {there}"
                );
            } else {
                assert_eq!(page.header("location"), Some(expected), "{query}");
            }
        }
    }
    let target = "/.headwarden/step-up?for=/windows";
    let line = session_line(&tailnet.house, &old);
    for (method, lines, status) in [
        ("GET", &[HTML][..], 303),
        ("GET", &[], 401),
        ("GET", &[line.as_str()], 401),
        ("GET", &[&line, HTML, "Sec-Purpose: prefetch"], 401),
        ("HEAD", &[&line, HTML], 405),
        ("POST", &[&line, EMPTY], 405),
    ] {
        let answer = ask(&tailnet.house, method, target, lines);
        assert_eq!(answer.status(), status, "{method} {lines:?}");
    }
    assert!(cookie(&tailnet.house, &old, "headwarden").is_some());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the provider of this test has a clock"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is past 1970").as_secs()
}
