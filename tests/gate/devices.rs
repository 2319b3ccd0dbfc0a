//! A person's own devices: what the page shows, and what its forms do at Headscale, version by version.

use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::stage::{HTML, SAME_ORIGIN, admin, ask, log_at_info, member, session_line, somebody};
use crate::support::certified_provider::{ADMIN, MEMBER};
use crate::support::headscale_standin::{Device, HeadscaleStandin, Options, Script, User};
use crate::support::house::More;
use crate::support::person::{Page, Person};
use crate::support::tailnet::Tailnet;

const LIST: &str = "/.headwarden/devices";
const VERSIONS: [&str; 5] = ["v0.26.1", "v0.27.1", "v0.28.0", "v0.29.2", "v0.30.0"];
const KEY: &str = "  api_key: hskey-api-standin\n";
const ROLES: &str = "api: { admins: [headscale-admins], viewers: [headscale-auditors] }\n";

const RULED: &str = "api: { admins: [headscale-admins] }\naccess:\n  \
    - { path: \"/api/v1/**\", amr: [mfa] }\n";
const CHANGES_RULED: &str = "api: { admins: [headscale-admins] }\naccess:\n  \
    - { path: \"/api/v1/**\", methods: [POST, DELETE], amr: [mfa] }\n";

fn start(version: &str, headscale: &'static str) -> Tailnet {
    let mut tailnet = Tailnet::start_with(version, |_| More {
        headscale,
        top: ROLES,
        ..More::default()
    });
    let vera = json!({
        "name": "Vera Viewer",
        "email": "vera@acmecorp.net",
        "groups": ["headscale", "headscale-auditors"],
    });
    tailnet.provider.set_person("vera", &vera);
    tailnet
}

/// By what Headscale knows one of the provider's people.
fn known_as(tailnet: &Tailnet, who: &str) -> String {
    let sum = digest(&SHA256, format!("headwarden-rig-{who}").as_bytes());
    let hex: Vec<String> = sum.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("{}/{}", tailnet.house.plan.issuer_url(), hex.concat())
}

/// The member's laptop and phone, the administrator's server, and a tagged one; their ids.
fn furnish(tailnet: &Tailnet) -> [u64; 4] {
    let (mia, dominic) = (known_as(tailnet, MEMBER), known_as(tailnet, ADMIN));
    for (id, name) in [(&mia, "mia"), (&dominic, "dominic")] {
        tailnet.headscale.add_user(User {
            provider_identifier: id.clone(),
            name: name.to_owned(),
            email: Some(format!("{name}@acmecorp.net")),
            ..User::default()
        });
    }
    let laptop = Device::of(&mia, "laptop");
    let phone = Device {
        online: false,
        expiry: Some("2026-01-02T03:04:05Z".to_owned()),
        ..Device::of(&mia, "phone")
    };
    let server = Device::of(&dominic, "server");
    let tagged = Device {
        tags: vec!["tag:web".to_owned()],
        ..Device::of(&mia, "tagged")
    };
    [laptop, phone, server, tagged].map(|device| tailnet.headscale.add_node(device))
}

fn open(tailnet: &Tailnet, person: &mut Person, path: &str) -> Page {
    person.open(&tailnet.house.url(path))
}

/// The list as it is after what other tests did.
fn list(tailnet: &Tailnet, person: &mut Person) -> Page {
    let page = open(tailnet, person, LIST);
    assert_eq!(page.status(), 200, "{}", page.text());
    page
}

fn names(tailnet: &Tailnet) -> Vec<String> {
    let devices = tailnet.headscale.devices();
    devices
        .into_iter()
        .map(|device| device.given_name)
        .collect()
}

#[test]
fn on_every_version_a_person_sees_renames_signs_out_and_removes_their_own() {
    for version in VERSIONS {
        let tailnet = start(version, KEY);
        let [laptop, phone, server, _] = furnish(&tailnet);
        let mut mia = member(&tailnet);
        let page = list(&tailnet, &mut mia);
        let text = page.text();
        for part in [
            "laptop",
            "phone",
            "Mia Member",
            "100.64.0.1",
            "Signed out",
            "Online",
        ] {
            assert!(text.contains(part), "{version}: {part} in {text}");
        }
        assert!(!text.contains("server"), "{version}: {text}");
        // Up to 0.27 Headscale shows a tagged device as its person's: it may be seen, and no more.
        let shows_tagged = ["v0.26.1", "v0.27.1"].contains(&version);
        assert_eq!(text.contains("tag:web"), shows_tagged, "{version}");
        assert_eq!(page.forms().len(), 2, "{version}: {:#?}", page.forms());

        let form = format!("rename-{laptop}");
        let renamed = mia.fill_in(&page, &form, &[("name", " Desk-1 ")]);
        assert_eq!(renamed.url.query(), Some("done=renamed"), "{version}");
        assert!(renamed.text().contains("has its new name"), "{version}");
        assert_eq!(names(&tailnet)[0], "desk-1", "{version}");
        // Its own name once more, which 0.26 takes for another's.
        let again = mia.fill_in(&renamed, &form, &[]);
        assert_eq!(again.status(), 200, "{version}: {}", again.text());
        let taken = mia.fill_in(&again, &form, &[("name", "server")]);
        assert_eq!(taken.status(), 409, "{version}: {}", taken.text());
        assert!(
            taken.text().contains("another device has that name"),
            "{version}"
        );
        for bad in ["", "a", "-a-", "a b", "a/b", "<script>", "../../user"] {
            let page = list(&tailnet, &mut mia);
            let refused = mia.fill_in(&page, &form, &[("name", bad)]);
            assert_eq!(refused.status(), 400, "{version} {bad:?}");
        }
        assert_eq!(names(&tailnet)[0], "desk-1", "{version}");

        let question = open(&tailnet, &mut mia, &format!("{LIST}/sign-out?id={laptop}"));
        assert!(
            question.text().contains("Sign out this device?"),
            "{version}"
        );
        let done = mia.fill_in(&question, "", &[]);
        assert_eq!(done.url.query(), Some("done=expired"), "{version}");
        let expiry = tailnet
            .headscale
            .device(laptop)
            .and_then(|device| device.expiry);
        assert!(expiry.is_some(), "{version}");
        assert_eq!(done.text().matches("Signed out").count(), 2, "{version}");

        let question = open(&tailnet, &mut mia, &format!("{LIST}/remove?id={phone}"));
        let done = mia.fill_in(&question, "", &[]);
        assert_eq!(done.url.query(), Some("done=removed"), "{version}");
        assert_eq!(tailnet.headscale.device(phone), None, "{version}");
        assert!(!done.text().contains("phone"), "{version}: {}", done.text());
        assert!(tailnet.headscale.device(server).is_some(), "{version}");
        assert_eq!(
            tailnet.headscale.problems(),
            Vec::<String>::new(),
            "{version}"
        );
        let log = tailnet.house.log();
        for act in ["device_renamed", "device_expired", "device_removed"] {
            let line = log.lines().find(|line| line.contains(act));
            let line = line.unwrap_or_else(|| panic!("{version}: no {act} in {log}"));
            assert!(
                line.contains("outcome=\"done\"") && line.contains("node="),
                "{line}"
            );
            assert!(
                !line.contains("owner=") && !line.contains("laptop"),
                "{line}"
            );
        }
    }
}

#[test]
fn what_a_device_runs_is_shown_where_headscale_says_it_and_missed_by_no_page_where_not() {
    for (version, says) in [("v0.29.2", false), ("v0.30.0", true)] {
        let tailnet = start(version, KEY);
        let mia = known_as(&tailnet, MEMBER);
        for (name, os) in [
            ("laptop", "linux"),
            ("phone", "iOS"),
            ("odd", "<b>\u{202e}"),
        ] {
            let device = Device::of(&mia, name);
            tailnet.headscale.add_node(Device { os, ..device });
        }
        tailnet.headscale.add_node(Device::of(&mia, "silent"));
        let mut mia = member(&tailnet);
        let page = list(&tailnet, &mut mia);
        for shown in ["<bdi>Linux</bdi>", "<bdi>iOS</bdi>", "<bdi>&#60;b&#62;"] {
            assert_eq!(
                page.text().contains(shown),
                says,
                "{version}: {}",
                page.text()
            );
        }
        assert_eq!(
            page.text().matches("<dt>System</dt>").count(),
            if says { 3 } else { 0 }
        );
        let asked = |tailnet: &Tailnet| {
            let requests = tailnet.headscale.requests();
            let v2 = requests
                .iter()
                .filter(|seen| seen.path().starts_with("/api/v2/"));
            v2.count()
        };
        assert_eq!(asked(&tailnet), usize::from(says), "{version}");
        // A change of ours asks for the list anew, and not for what hardly changes.
        let renamed = mia.fill_in(&page, "rename-1", &[("name", "desk")]);
        assert!(renamed.text().contains("has its new name"), "{version}");
        assert_eq!(asked(&tailnet), usize::from(says), "{version}");
    }
    for answer in [
        "",
        "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    ] {
        let tailnet = start("v0.30.0", KEY);
        furnish(&tailnet);
        let script = Script::Bytes(answer.as_bytes().to_vec());
        tailnet
            .headscale
            .script("/api/v2/tailnet/-/devices", script);
        let mut mia = member(&tailnet);
        let page = list(&tailnet, &mut mia);
        assert!(page.text().contains("laptop"), "{answer}: {}", page.text());
        assert!(!page.text().contains("<dt>System</dt>"), "{answer}");
    }
}

#[test]
fn somebody_who_is_called_as_headscale_calls_its_tags_has_their_devices() {
    for version in ["v0.26.1", "v0.29.2"] {
        let tailnet = start(version, KEY);
        let mia = known_as(&tailnet, MEMBER);
        tailnet.headscale.add_user(User {
            provider_identifier: mia.clone(),
            name: "tagged-devices".to_owned(),
            ..User::default()
        });
        tailnet.headscale.add_node(Device::of(&mia, "laptop"));
        let page = list(&tailnet, &mut member(&tailnet));
        assert!(page.text().contains("laptop"), "{version}: {}", page.text());
        let everybody = open(
            &tailnet,
            &mut admin(&tailnet),
            "/.headwarden/devices/people",
        );
        assert!(everybody.text().contains("tagged-devices"), "{version}");
    }
}

#[test]
fn only_a_new_name_is_refused_for_a_name_and_other_failures_are_failures() {
    let tailnet = start("v0.29.2", KEY);
    let [laptop, ..] = furnish(&tailnet);
    let mut mia = member(&tailnet);
    let body = "{\"code\":2,\"message\":\"invalid name of a table\",\"details\":[]}";
    let answer = format!(
        "HTTP/1.1 500 Oops\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let path = format!("/api/v1/node/{laptop}/expire");
    tailnet
        .headscale
        .script(&path, Script::Bytes(answer.into_bytes()));
    let question = open(&tailnet, &mut mia, &format!("{LIST}/sign-out?id={laptop}"));
    let told = mia.fill_in(&question, "", &[]);
    assert_eq!(told.status(), 502, "{}", told.text());
    let log = tailnet.house.log();
    let line = log
        .lines()
        .find(|line| line.contains("act=\"device_expired\""));
    let line = line.unwrap_or_else(|| panic!("no line in {log}"));
    assert!(line.contains("outcome=\"failed\""), "{line}");
    let counted =
        "headwarden_device_changes_total{by=\"owner\",change=\"expired\",outcome=\"failed\"} 1";
    assert!(
        ask_metrics(&tailnet).contains(counted),
        "{}",
        ask_metrics(&tailnet)
    );
}

/// Every path that does something, as its form would be sent.
fn acts(id: &str) -> [(&'static str, String); 3] {
    [
        (LIST, format!("id={id}&name=taken-over")),
        ("/.headwarden/devices/sign-out", format!("id={id}")),
        ("/.headwarden/devices/remove", format!("id={id}")),
    ]
}

fn token(page: &Page) -> String {
    let forms = page.forms();
    let mut fields = forms.iter().flat_map(|form| &form.fields);
    let (_, token) = fields.find(|(name, _)| name == "token").expect("a token");
    token.clone()
}

#[test]
fn another_ones_device_is_answered_as_one_that_is_not_there_and_stays_as_it_is() {
    let tailnet = start("v0.29.2", KEY);
    let [_, _, server, tagged] = furnish(&tailnet);
    let before = tailnet.headscale.devices();
    let mut mia = member(&tailnet);
    for id in [
        &*server.to_string(),
        &tagged.to_string(),
        "99",
        "0",
        "",
        "-1",
        "1 ",
        "01",
        "1/../3",
        "%2531",
        "3?x",
        "a",
    ] {
        let mut answers = Vec::new();
        for (path, body) in acts(id) {
            let token = token(&list(&tailnet, &mut mia));
            let body = format!("{body}&token={token}");
            let url = tailnet.house.url(path);
            let answer = mia.request("POST", &url, &[HTML, SAME_ORIGIN], body.as_bytes());
            assert_eq!(answer.status(), 404, "{id:?} {path}: {}", answer.text());
            answers.push(answer.text());
        }
        for question in ["sign-out", "remove"] {
            let path = format!("{LIST}/{question}?id={}", id.replace([' ', '/', '?'], "+"));
            assert_eq!(open(&tailnet, &mut mia, &path).status(), 404, "{path}");
        }
        assert!(
            answers.iter().all(|text| text.contains("Page not found")),
            "{id:?}"
        );
    }
    for path in [
        "/.headwarden/devices?user=2",
        "/.headwarden/devices?user=",
        "/.headwarden/devices/people",
    ] {
        assert_eq!(open(&tailnet, &mut mia, path).status(), 404, "{path}");
    }
    assert_eq!(tailnet.headscale.devices(), before);
}

#[test]
fn a_form_counts_once_from_our_own_page_and_only_in_its_session() {
    let tailnet = start("v0.29.2", KEY);
    let [laptop, ..] = furnish(&tailnet);
    let before = tailnet.headscale.devices();
    let (mut mia, mut elsewhere) = (member(&tailnet), member(&tailnet));
    let ours = format!("Origin: {}", tailnet.house.plan.origin());
    let id = laptop.to_string();
    for (lines, status) in [
        (&[][..], 403),
        (&["Sec-Fetch-Site: cross-site", &ours], 403),
        (&["Sec-Fetch-Site: same-site", &ours], 403),
        (&["Sec-Fetch-Site: none"], 403),
        (&["Origin: null"], 403),
        (&["Origin: https://evil.example"], 403),
    ] {
        for (path, body) in acts(&id) {
            let token = token(&list(&tailnet, &mut mia));
            let body = format!("{body}&token={token}");
            let lines = [lines, &[HTML]].concat();
            let answer = mia.request("POST", &tailnet.house.url(path), &lines, body.as_bytes());
            assert_eq!(answer.status(), status, "{path} {lines:?}");
        }
    }
    let foreign = token(&list(&tailnet, &mut elsewhere));
    let good = token(&list(&tailnet, &mut mia));
    for token in [
        "",
        "x",
        &foreign,
        &good[1..],
        &format!("{good}A"),
        &format!("{good}&token={good}"),
    ] {
        for (path, body) in acts(&id) {
            let body = format!("{body}&token={token}");
            let url = tailnet.house.url(path);
            let answer = mia.request("POST", &url, &[HTML, SAME_ORIGIN], body.as_bytes());
            assert_eq!(answer.status(), 400, "{path} {token:?}");
            assert!(
                answer.text().contains("Nothing was changed"),
                "{path} {token:?}"
            );
        }
    }
    assert_eq!(tailnet.headscale.devices(), before);
    // The good one works once, and not again.
    let body = format!("id={id}&name=desk&token={good}");
    for status in [303, 400] {
        let url = tailnet.house.url(LIST);
        let answer = mia.request("POST", &url, &[HTML, SAME_ORIGIN], body.as_bytes());
        assert_eq!(answer.status(), status, "{}", answer.text());
    }
    assert_eq!(names(&tailnet)[0], "desk");
    // A link from elsewhere that says what was not done is not believed.
    let told = mia.request(
        "GET",
        &tailnet.house.url("/.headwarden/devices?done=removed"),
        &[HTML, "Sec-Fetch-Site: cross-site"],
        b"",
    );
    assert!(
        told.status() == 200 && !told.text().contains("is removed"),
        "{}",
        told.text()
    );
}

#[test]
fn the_role_decides_who_sees_and_who_changes_the_devices_of_others() {
    let tailnet = start("v0.30.0", KEY);
    let [laptop, ..] = furnish(&tailnet);
    let mut vera = somebody(&tailnet, "vera");
    let mut dominic = admin(&tailnet);
    for person in [&mut vera, &mut dominic] {
        let people = open(&tailnet, person, "/.headwarden/devices/people");
        for part in [
            "mia",
            "mia@acmecorp.net",
            "2 devices",
            "1 online",
            "1 device belongs to its tags",
        ] {
            assert!(people.text().contains(part), "{part} in {}", people.text());
        }
        let found = person.fill_in(&people, "", &[("search", "MIA@")]);
        assert!(found.text().contains("mia") && !found.text().contains("dominic@"));
        let none = person.fill_in(&people, "", &[("search", "<nobody>")]);
        assert!(
            none.text().contains("Nobody is called that"),
            "{}",
            none.text()
        );
        assert_eq!(
            open(&tailnet, person, "/.headwarden/devices?user=99").status(),
            404
        );
    }
    let before = tailnet.headscale.devices();
    let seen = open(&tailnet, &mut vera, "/.headwarden/devices?user=1");
    assert!(seen.text().contains("laptop") && seen.text().contains("change nothing"));
    assert_eq!(
        (seen.status(), seen.forms().len()),
        (200, 0),
        "{}",
        seen.text()
    );
    for (path, body) in acts(&laptop.to_string()) {
        // A token of a page of hers: there is none for devices on it, so it takes one from nowhere.
        let body = format!("{body}&user=1&token=x");
        let url = tailnet.house.url(path);
        let answer = vera.request("POST", &url, &[HTML, SAME_ORIGIN], body.as_bytes());
        assert_eq!(answer.status(), 400, "{path}");
        let path = format!("{path}?id={laptop}");
        if path.contains('-') || path.contains("remove") {
            assert_eq!(open(&tailnet, &mut vera, &path).status(), 404, "{path}");
        }
    }
    assert_eq!(tailnet.headscale.devices(), before);
    let seen = open(&tailnet, &mut dominic, "/.headwarden/devices?user=1");
    assert!(
        seen.text().contains("under your own name"),
        "{}",
        seen.text()
    );
    let done = dominic.fill_in(&seen, &format!("rename-{laptop}"), &[("name", "of-mia")]);
    assert_eq!(done.url.query(), Some("done=renamed&user=1"));
    assert_eq!(names(&tailnet)[0], "of-mia");
    let question = open(
        &tailnet,
        &mut dominic,
        &format!("{LIST}/remove?id={laptop}&user=1"),
    );
    assert!(
        question.text().contains("mia@acmecorp.net"),
        "{}",
        question.text()
    );
    dominic.fill_in(&question, "", &[]);
    assert_eq!(tailnet.headscale.device(laptop), None);
    let log = log_at_info(&tailnet.house);
    let line = log
        .lines()
        .find(|line| line.contains("device_removed"))
        .expect("a line");
    let owner = known_as(&tailnet, MEMBER);
    let owner = owner.rsplit('/').next().expect("a subject");
    assert!(
        line.contains(owner) && line.contains("role=\"admin\""),
        "{line}"
    );
    assert!(
        !log.contains("of-mia"),
        "names are nobody's business: {log}"
    );
    let metrics = ask_metrics(&tailnet);
    let counted =
        "headwarden_device_changes_total{by=\"admin\",change=\"removed\",outcome=\"done\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

/// What a rule for the API asks holds on the page too, where a role does something; what is one's own takes none.
#[test]
fn a_role_on_the_page_takes_the_sign_in_that_rules_ask_of_it_on_the_api() {
    let mut tailnet = Tailnet::start_with("v0.29.2", |_| More {
        headscale: KEY,
        top: RULED,
        ..More::default()
    });
    let [laptop, phone, server, tagged] = furnish(&tailnet);
    tailnet.provider.set(&json!({ "amr": ["pwd"] }));
    let mut dominic = admin(&tailnet);
    let before = tailnet.headscale.devices();
    let provider = tailnet.provider.origin().to_owned();
    for path in [
        "/.headwarden/devices/people",
        "/.headwarden/devices?user=1",
        &format!("{LIST}/sign-out?id={laptop}"),
        &format!("{LIST}/remove?id={tagged}"),
    ] {
        let sent = dominic.get(&tailnet.house.url(path));
        let there = sent.redirect().map(ToString::to_string).unwrap_or_default();
        assert!(there.starts_with(&provider), "{path}: {}", sent.text());
        let line = session_line(&tailnet.house, &dominic);
        let script = ask(
            &tailnet.house,
            "GET",
            path,
            &[&line, HTML, SAME_ORIGIN, "Sec-Fetch-Mode: cors"],
        );
        assert!(
            [401, 403].contains(&script.status()),
            "{path}: {}",
            script.text()
        );
        assert!(
            !script.text().contains("laptop"),
            "{path}: {}",
            script.text()
        );
    }
    for id in [laptop, phone, tagged] {
        for (path, body) in acts(&id.to_string()) {
            let token = token(&list(&tailnet, &mut dominic));
            for body in [
                format!("{body}&token={token}"),
                format!("{body}&user=1&token=x"),
            ] {
                let url = tailnet.house.url(path);
                let answer = dominic.request("POST", &url, &[HTML, SAME_ORIGIN], body.as_bytes());
                let text = answer.text();
                assert_eq!(answer.status(), 403, "{path} {body}: {text}");
                assert!(
                    text.contains("Nothing has been sent"),
                    "{path} {body}: {text}"
                );
                assert!(!text.contains("phone"), "{path} {body}: {text}");
            }
        }
    }
    assert_eq!(tailnet.headscale.devices(), before);

    // What is his own is his as before.
    let page = list(&tailnet, &mut dominic);
    let done = dominic.fill_in(&page, &format!("rename-{server}"), &[("name", "rack")]);
    assert_eq!(done.url.query(), Some("done=renamed"), "{}", done.text());

    // With the factor he comes back to the page of everybody, and may.
    tailnet.provider.set(&json!({ "amr": ["pwd", "mfa"] }));
    let form = open(&tailnet, &mut dominic, "/.headwarden/devices?user=1");
    let people = dominic.fill_in(&form, "login", &[("username", ADMIN)]);
    assert_eq!(
        people.url.path(),
        "/.headwarden/devices/people",
        "{}",
        people.text()
    );
    assert_eq!(people.status(), 200, "{}", people.text());
    let question = open(
        &tailnet,
        &mut dominic,
        &format!("{LIST}/remove?id={laptop}"),
    );
    let done = dominic.fill_in(&question, "", &[]);
    assert_eq!(
        done.url.query(),
        Some("done=removed&user=1"),
        "{}",
        done.text()
    );
    assert_eq!(tailnet.headscale.device(laptop), None);
}

/// A rule may be about some methods only: then those alone are asked about.
#[test]
fn a_rule_for_changes_on_the_api_is_none_for_looking_on_the_page() {
    let tailnet = Tailnet::start_with("v0.29.2", |_| More {
        headscale: KEY,
        top: CHANGES_RULED,
        ..More::default()
    });
    let [laptop, ..] = furnish(&tailnet);
    let mut dominic = admin(&tailnet);
    let seen = open(&tailnet, &mut dominic, "/.headwarden/devices?user=1");
    assert!(
        seen.status() == 200 && seen.text().contains("laptop"),
        "{}",
        seen.text()
    );
    let refused = dominic.fill_in(&seen, &format!("rename-{laptop}"), &[("name", "desk")]);
    assert!(
        refused.text().contains("Nothing has been sent"),
        "{}",
        refused.text()
    );
    assert!(refused.text().contains("method=POST"), "{}", refused.text());
    assert_eq!(names(&tailnet)[0], "laptop");
}

fn ask_metrics(tailnet: &Tailnet) -> String {
    let url = format!("http://{}/metrics", tailnet.house.plan.admin);
    Person::new().get(&url).text()
}

#[test]
fn what_a_device_calls_itself_is_text_and_a_thousand_of_them_are_a_list() {
    let tailnet = start("v0.29.2", KEY);
    let mia = known_as(&tailnet, MEMBER);
    let hostile = "\"'></bdi><script>alert(1)</script>\u{202e}\u{1b}[2J";
    tailnet.headscale.add_node(Device {
        addresses: vec![hostile.to_owned()],
        tags: Vec::new(),
        given_name: format!("a{hostile}"),
        ..Device::of(&mia, hostile)
    });
    for at in 0..999 {
        tailnet
            .headscale
            .add_node(Device::of(&mia, &format!("z-{at:03}")));
    }
    let mut mia = member(&tailnet);
    let page = list(&tailnet, &mut mia);
    let text = page.text();
    assert!(
        text.contains("a&#34;&#39;&#62;&#60;/bdi&#62;&#60;script&#62;"),
        "{text}"
    );
    assert!(
        !text.contains("<script>alert") && !text.contains(['\u{202e}', '\u{1b}']),
        "{text}"
    );
    assert_eq!(page.forms().len(), 50);
    let last = open(&tailnet, &mut mia, "/.headwarden/devices?page=20");
    assert!(last.text().contains("z-998") && last.text().contains("Page 20 of 20"));
}

#[test]
fn many_who_look_cost_headscale_one_question_and_a_change_is_seen_at_once() {
    let tailnet = start("v0.29.2", KEY);
    let [laptop, ..] = furnish(&tailnet);
    let mut mia = member(&tailnet);
    let asked = |path: &str| {
        let requests = tailnet.headscale.requests();
        requests.iter().filter(|seen| seen.path() == path).count()
    };
    let pages: Vec<Page> = (0..10).map(|_| list(&tailnet, &mut mia)).collect();
    // A machine may take longer than five seconds for ten pages, and not for two.
    assert!(asked("/api/v1/node") < 10, "{}", asked("/api/v1/node"));
    let page = &pages[9];
    let renamed = mia.fill_in(page, &format!("rename-{laptop}"), &[("name", "seen-now")]);
    assert!(renamed.text().contains("seen-now"), "{}", renamed.text());
}

#[test]
fn what_is_amiss_at_headscale_has_a_page_and_a_line_of_the_log() {
    let tailnet = start("v0.29.2", KEY);
    let [laptop, ..] = furnish(&tailnet);
    let mut mia = member(&tailnet);
    let bytes = |text: &str| Script::Bytes(text.as_bytes().to_vec());
    let page = list(&tailnet, &mut mia);
    // What is known is dropped with each change, so that each row asks anew.
    let mut page = mia.fill_in(&page, &format!("rename-{laptop}"), &[("name", "one")]);
    for (script, status, words, logged) in [
        (
            Script::Close,
            503,
            "Headscale does not answer",
            "headscale was not asked",
        ),
        (
            bytes("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
            502,
            "did not say",
            "does not take headscale.api_key",
        ),
        (
            bytes("HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}"),
            502,
            "did not say",
            "answers 500",
        ),
        (
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"),
            502,
            "did not say",
            "cannot be read",
        ),
        (
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n["),
            503,
            "does not answer",
            "headscale was not asked",
        ),
    ] {
        tailnet
            .headscale
            .script(&format!("/api/v1/node/{laptop}"), script);
        let told = mia.fill_in(&page, &format!("rename-{laptop}"), &[("name", "two")]);
        assert_eq!(told.status(), status, "{words}: {}", told.text());
        assert!(told.text().contains(words), "{words}: {}", told.text());
        assert_eq!(told.header("retry-after").is_some(), status == 503);
        let headscale = tailnet.headscale.address().port().to_string();
        assert!(!told.text().contains(&headscale), "{}", told.text());
        assert!(log_at_info(&tailnet.house).contains(logged), "{logged}");
        page = list(&tailnet, &mut mia);
    }
    assert_eq!(names(&tailnet)[0], "one");
}

#[test]
fn where_devices_cannot_be_shown_the_page_says_so_and_the_log_says_why() {
    for (old, headscale, sign_in, status, words, logged) in [
        (
            false,
            "",
            "issuer",
            200,
            "no access to the list of devices",
            "set headscale.api_key",
        ),
        (
            false,
            KEY,
            "none",
            200,
            "nobody knows here which device is whose",
            "",
        ),
        (true, KEY, "issuer", 501, "too old for showing devices", ""),
    ] {
        let standin = HeadscaleStandin::start(Options::default());
        if old {
            let body = "{\"version\":\"v0.25.1\"}";
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            standin.script("/version", Script::Bytes(answer.into_bytes()));
        }
        let tailnet = Tailnet::start_around(standin, |_| More {
            headscale,
            sign_in,
            top: ROLES,
            ..More::default()
        });
        let mut mia = member(&tailnet);
        let page = open(&tailnet, &mut mia, LIST);
        assert_eq!(page.status(), status, "{}", page.text());
        assert!(page.text().contains(words), "{words}: {}", page.text());
        assert!(log_at_info(&tailnet.house).contains(logged), "{logged}");
        let add = open(&tailnet, &mut mia, "/.headwarden/devices/add");
        let command = format!(
            "tailscale up --login-server {}",
            tailnet.house.plan.origin()
        );
        assert!(
            add.text().contains(&command) && add.text().contains("<svg"),
            "{}",
            add.text()
        );
        assert_eq!(
            add.text().contains("your administrator, who adds"),
            sign_in == "none"
        );
        assert!(
            !tailnet
                .headscale
                .requests()
                .iter()
                .any(|seen| seen.path() == "/api/v1/node")
        );
    }
}

#[test]
fn a_page_is_in_the_language_that_the_browser_asks_for_and_says_so() {
    let tailnet = start("v0.29.2", KEY);
    furnish(&tailnet);
    let mia = member(&tailnet);
    let session = session_line(&tailnet.house, &mia);
    for (accepted, tag, words) in [
        ("de-AT, de;q=0.9, en;q=0.5", "de", "Ihre Geräte"),
        ("fr, en;q=0.5", "en", "Your devices"),
        ("de;q=0", "en", "Your devices"),
    ] {
        let field = format!("Accept-Language: {accepted}");
        let page = ask(&tailnet.house, "GET", LIST, &[HTML, &session, &field]);
        assert_eq!(page.header("content-language"), Some(tag), "{accepted}");
        assert_eq!(page.header("vary"), Some("accept-language"));
        let lang = format!("<html lang=\"{tag}\">");
        assert!(
            page.text().contains(words) && page.text().contains(&lang),
            "{accepted}"
        );
    }
}
