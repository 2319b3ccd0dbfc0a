//! The devices of people who are gone: from what the provider says to Headscale's API, from outside. Which
//! words prove what is a table beside `domain::offboarding`; here it is shown that they arrive there, and
//! what becomes of them.

use std::process::Output;
use std::time::Instant;

use serde_json::{Value, json};

use crate::faulty_provider::{Endpoint, Fault, Person as Account};
use crate::outages::probe;
use crate::stage::{Faulty, Stage, ask, member, request, send, session_line};
use crate::support::audit;
use crate::support::certified_provider::MEMBER;
use crate::support::headscale_standin::{Device, HeadscaleStandin, Options, Script};
use crate::support::house::{House, More, Plan, headwarden};
use crate::support::person::Person;
use crate::support::raw::PATIENCE;
use crate::support::tailnet::{AUTH_ID, Tailnet};

const OFFLINE: &str = "  scope: [openid, profile, email, offline_access]\n  timeout: 2s\n";
const KEY: &str = "  api_key: hskey-api-standin\n";
/// In a year that nobody of us sees.
const LATER: &str = "2126-01-02T03:04:05Z";
const EARLIER: &str = "2026-01-02T03:04:05Z";

/// A configuration with off-boarding by these keys, and a re-check each second.
fn config(plan: &Plan, url: &str, issuer: &str, keys: &str) -> String {
    let files = plan.files.display();
    let top = format!(
        "session: {{ recheck: 1s }}\naudit: {{ path: {files}/audit.jsonl }}\n\
         offboarding: {{ expire_nodes: true, state_path: {files}/offboarding.json, {keys} }}\n"
    );
    let more = More {
        top: top.leak(),
        headscale: KEY,
        oidc: OFFLINE,
        ..More::default()
    };
    let socket = format!("admin: {{ socket_path: {files}/admin.sock, ");
    plan.config(url, issuer, &more)
        .replace("admin: { ", &socket)
}

/// A house at a provider that can misbehave, with refresh tokens.
fn stage(keys: &str) -> Stage {
    let faulty = Faulty::start();
    faulty.provider.set(|knobs| knobs.refresh_tokens = true);
    let headscale = HeadscaleStandin::start(Options::default());
    let (url, issuer) = (headscale.url(), faulty.provider.issuer());
    let house = House::start(|plan| config(plan, &url, &issuer, keys));
    Stage {
        house,
        headscale,
        faulty,
    }
}

fn counted(house: &House, series: &str) -> u64 {
    let text = probe(&house.plan, "GET", "/metrics").text();
    let series = format!("{series} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.expect("it is there").parse().expect("a number")
}

fn refreshed(house: &House, outcome: &str) -> u64 {
    counted(
        house,
        &format!("headwarden_refreshes_total{{outcome=\"{outcome}\"}}"),
    )
}

/// Looks again and again, until what is looked at is right.
fn until<T: std::fmt::Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    right: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = look();
        if right(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: {found:?} for ever");
        std::thread::yield_now();
    }
}

/// Who is written down, as `subject: reason`.
fn written(plan: &Plan) -> Vec<String> {
    let Ok(text) = std::fs::read(plan.files.join("offboarding.json")) else {
        return Vec::new();
    };
    let file: Value = serde_json::from_slice(&text).expect("whole at any time");
    let cases = file["people"]["cases"]
        .as_object()
        .expect("people by subject");
    let of = |(subject, case): (&String, &Value)| format!("{subject}: {}", case["why"]);
    cases.iter().map(of).collect()
}

/// Lines of the audit log of these acts, as `act outcome reason device`.
fn acts(plan: &Plan) -> Vec<String> {
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or("-").to_owned();
    audit::lines(&plan.files)
        .into_iter()
        .filter(|line| {
            let act = line["act"].as_str().unwrap_or_default();
            act.starts_with("offboarding") || act == "device_expired"
        })
        .map(|line| {
            ["act", "outcome", "reason", "node"]
                .map(|name| word(&line, name))
                .join(" ")
        })
        .collect()
}

fn owner(house: &House, account: Account) -> String {
    format!("{}/{}", house.plan.issuer_url(), account.subject())
}

fn expiry(headscale: &HeadscaleStandin, id: u64) -> Option<String> {
    headscale.device(id).expect("it is there").expiry
}

fn has_expired(headscale: &HeadscaleStandin, id: u64) -> bool {
    expiry(headscale, id).is_some_and(|end| end.as_str() < "2100")
}

/// Asks for a page with `session` until its person is checked again with this outcome.
fn checked(house: &House, session: &str, outcome: &str) {
    let before = refreshed(house, outcome);
    let look = || {
        ask(house, "GET", "/windows", &[session]);
        refreshed(house, outcome)
    };
    until(outcome, look, |now| *now > before);
}

fn signed_out_by_token(stage: &Stage) {
    let provider = &stage.faulty.provider;
    let token = provider.logout_token(Account::Member, &json!({}), &json!({}));
    let body = format!("logout_token={token}");
    let length = format!("Content-Length: {}", body.len());
    let form = "Content-Type: application/x-www-form-urlencoded";
    let target = "/.headwarden/backchannel-logout";
    let mut bytes = request(&stage.house, "POST", target, &[form, &length]);
    bytes.extend_from_slice(body.as_bytes());
    assert_eq!(send(stage.house.plan.public, &bytes).status(), 200);
}

fn command(house: &House, arguments: &[&str]) -> Output {
    headwarden(&house.plan, &[&["offboarding"], arguments].concat())
}

fn says(house: &House, arguments: &[&str]) -> String {
    let output = command(house, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim_end()
        .to_owned()
}

/// What the provider does, the outcome of the re-check, and what is written down.
/// What happens, how, to whom, and the reason that is written down.
type Row<'a> = (&'a str, &'a dyn Fn(), &'a str, Option<&'a str>);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn only_what_proves_that_a_person_is_gone_is_written_down() {
    let stage = stage("after: 1h, most: 1000");
    let (house, provider) = (&stage.house, &stage.faulty.provider);
    let answers = |error: &str, description: &str| {
        let said = json!({ "error": error, "error_description": description });
        provider.set(|knobs| knobs.token_answer = said.as_object().cloned().expect("an object"));
    };
    let groups = |groups: Value| {
        provider.set(|knobs| drop(knobs.extra_claims.insert("groups".to_owned(), groups)));
    };
    let rows: &[Row<'_>] = &[
        (
            "the account is deactivated",
            &|| provider.set(|knobs| knobs.deactivated.push(Account::Member)),
            "refused",
            Some("refused"),
        ),
        (
            "another group",
            &|| groups(json!(["visitors"])),
            "lost_right",
            Some("lost_right"),
        ),
        ("no group", &|| groups(json!([])), "lost_right", None),
        ("no such claim", &|| groups(Value::Null), "lost_right", None),
        (
            "blocked by where the house is",
            &|| answers("invalid_grant", "AADSTS53003: Access has been blocked"),
            "refused",
            None,
        ),
        (
            "a word about the account",
            &|| answers("invalid_grant", "User disabled"),
            "refused",
            Some("refused"),
        ),
        (
            "the token has expired",
            &|| answers("invalid_grant", "Token is not active"),
            "refused",
            None,
        ),
        (
            "its session has ended",
            &|| answers("invalid_grant", "Session not active"),
            "refused",
            None,
        ),
        (
            "a second factor is due",
            &|| answers("interaction_required", ""),
            "refused",
            None,
        ),
        (
            "our request",
            &|| answers("invalid_request", ""),
            "refused",
            None,
        ),
        ("nonsense", &|| answers("who_knows", "x"), "refused", None),
        (
            "our own secret",
            &|| provider.bend(Fault::InvalidClient),
            "unavailable",
            None,
        ),
        (
            "its own trouble",
            &|| answers("temporarily_unavailable", ""),
            "unavailable",
            None,
        ),
        (
            "5xx",
            &|| provider.bend(Fault::TokenIsDown),
            "unavailable",
            None,
        ),
        (
            "userinfo is down",
            &|| provider.bend(Fault::UserinfoIsDown),
            "unavailable",
            None,
        ),
        (
            "somebody else",
            &|| provider.bend(Fault::UserinfoOfSomebodyElse),
            "misbehaving",
            None,
        ),
    ];
    for (name, act, outcome, expected) in rows {
        let session = session_line(house, &stage.somebody(Account::Member));
        assert_eq!(
            written(&house.plan),
            Vec::<String>::new(),
            "{name}: signing in takes off"
        );
        act();
        checked(house, &session, outcome);
        let subject = Account::Member.subject();
        let expected: Vec<String> = expected
            .iter()
            .map(|why| format!("{subject}: \"{why}\""))
            .collect();
        // Written before the session ends.
        if *outcome != "unavailable" {
            let status = || ask(house, "GET", "/windows", &[&session]).status();
            until(name, status, |status| *status == 401);
        }
        assert_eq!(written(&house.plan), expected, "{name}");
        provider.mend();
        provider.set(|knobs| {
            knobs.deactivated.clear();
            knobs.extra_claims.clear();
        });
    }
    let listed = acts(&house.plan);
    assert_eq!(
        listed
            .iter()
            .filter(|act| act.starts_with("offboarding_due done"))
            .count(),
        3
    );
    assert_eq!(
        listed
            .iter()
            .filter(|act| act.starts_with("offboarding_dropped done back"))
            .count(),
        3
    );
    assert_eq!(
        stage
            .headscale
            .requests()
            .iter()
            .filter(|seen| seen.method == "POST")
            .count(),
        0
    );
}

/// A provider that rotates may have done so when its answer was lost, and refuses the old token then.
#[test]
fn a_refusal_after_an_answer_that_was_lost_tells_of_nobody_until_a_refresh_succeeds() {
    let mut stage = stage("after: 1h");
    let refuse = |stage: &Stage| {
        let said = json!({ "error": "invalid_grant" });
        let said = said.as_object().cloned().expect("an object");
        stage.faulty.provider.set(|knobs| knobs.token_answer = said);
    };
    let loses_an_answer = |stage: &Stage| {
        let session = session_line(&stage.house, &stage.somebody(Account::Member));
        stage.faulty.provider.bend(Fault::TokenIsDown);
        checked(&stage.house, &session, "unavailable");
        stage.faulty.provider.mend();
        session
    };
    let session = loses_an_answer(&stage);
    refuse(&stage);
    checked(&stage.house, &session, "refused");
    let line = stage
        .house
        .wait_for_log("not off-boarded: this does not prove");
    assert!(line.contains("an earlier refresh was lost"), "{line}");
    assert_eq!(written(&stage.house.plan), Vec::<String>::new());
    stage.faulty.provider.mend();
    let session = loses_an_answer(&stage);
    checked(&stage.house, &session, "confirmed");
    refuse(&stage);
    checked(&stage.house, &session, "refused");
    stage.house.wait_for_log("a person is gone");
    let subject = Account::Member.subject();
    assert_eq!(
        written(&stage.house.plan),
        [format!("{subject}: \"refused\"")]
    );
}

/// Some providers take it off what was asked for where nobody was asked for consent, and say so.
#[test]
fn a_refusal_of_a_token_that_came_without_offline_access_tells_of_nobody() {
    let mut stage = stage("after: 1h");
    let answers = |answer: Value| {
        let answer = answer.as_object().cloned().expect("an object");
        stage
            .faulty
            .provider
            .set(|knobs| knobs.token_answer = answer);
    };
    answers(json!({ "scope": "openid profile email" }));
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    answers(json!({ "error": "invalid_grant" }));
    checked(&stage.house, &session, "refused");
    let line = stage
        .house
        .wait_for_log("not off-boarded: this does not prove");
    assert!(line.contains("without offline_access"), "{line}");
    assert_eq!(written(&stage.house.plan), Vec::<String>::new());
}

#[test]
fn what_is_read_of_the_claims_since_a_reload_is_nobodys_loss() {
    let mut stage = stage("after: 1h");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    checked(&stage.house, &session, "confirmed");
    let roles = json!(["visitors"]);
    stage
        .faulty
        .provider
        .set(|knobs| drop(knobs.extra_claims.insert("roles".to_owned(), roles)));
    let file = stage.house.plan.files.join("config.yaml");
    let text = std::fs::read_to_string(&file).expect("ours");
    let otherwise = text.replace("  timeout: 2s\n", "  timeout: 2s\n  groups_claim: roles\n");
    assert_ne!(otherwise, text);
    std::fs::write(&file, otherwise).expect("ours");
    stage.house.signal("HUP");
    checked(&stage.house, &session, "lost_right");
    let line = stage
        .house
        .wait_for_log("not off-boarded: this does not prove");
    assert!(line.contains("the settings by which claims"), "{line}");
    assert_eq!(written(&stage.house.plan), Vec::<String>::new());
}

#[test]
fn a_logout_token_tells_of_nobody_who_is_gone_and_the_last_refresh_does() {
    let mut stage = stage("after: 1h");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let asked = stage.faulty.provider.hits(Endpoint::Token);
    signed_out_by_token(&stage);
    assert_eq!(
        ask(&stage.house, "GET", "/windows", &[&session]).status(),
        401
    );
    stage
        .house
        .wait_for_log("which still vouches for the person");
    assert!(stage.faulty.provider.hits(Endpoint::Token) > asked);
    assert_eq!(written(&stage.house.plan), Vec::<String>::new());
    // An outage in that moment is no word either, and is outlasted.
    stage.somebody(Account::Member);
    let asked = stage.faulty.provider.hits(Endpoint::Token);
    stage.faulty.provider.bend(Fault::TokenIsDown);
    signed_out_by_token(&stage);
    let hits = || stage.faulty.provider.hits(Endpoint::Token);
    until("the first try", hits, |hits| *hits > asked);
    // Whose answer may have been lost: from now on only a word about the account counts.
    let said = json!({ "error": "invalid_grant", "error_description": "User disabled" });
    let said = said.as_object().cloned().expect("an object");
    stage.faulty.provider.set(|knobs| {
        knobs.fault = None;
        knobs.token_answer = said;
    });
    stage.house.wait_for_log("a person is gone");
    let subject = Account::Member.subject();
    assert_eq!(
        written(&stage.house.plan),
        [format!("{subject}: \"refused\"")]
    );
}

#[test]
fn the_devices_of_who_is_gone_expire_and_nobody_elses_in_every_version() {
    let mut stage = stage("after: 0s, most: 1000");
    for (version, times) in ["v0.26.1", "v0.27.1", "v0.28.0", "v0.29.2", "v0.30.0"]
        .iter()
        .zip(1..)
    {
        stage
            .headscale
            .configure(|options| (*version).clone_into(&mut options.version));
        let (ours, others) = (
            owner(&stage.house, Account::Member),
            owner(&stage.house, Account::Admin),
        );
        let ended = |at: &str| Some(at.to_owned());
        let device = |of: &str, expiry| Device {
            expiry,
            ..Device::of(of, "laptop")
        };
        let add = |device| stage.headscale.add_node(device);
        let expires = [add(device(&ours, None)), add(device(&ours, ended(LATER)))];
        let tag = vec!["tag:server".to_owned()];
        // Which versions before 0.28 tell apart.
        let old = *version < "v0.28";
        let (tags, valid_tags) = if old {
            (Vec::new(), tag.clone())
        } else {
            (tag.clone(), Vec::new())
        };
        let stays = [
            add(device(&others, None)),
            add(Device {
                tags: tag.clone(),
                ..device(&ours, None)
            }),
            add(Device {
                tags,
                valid_tags,
                ..device(&ours, None)
            }),
            // Made by hand, with the name that the person has at the provider.
            add(device("ben", None)),
            add(device(
                &format!(
                    "{}{}",
                    stage.faulty.provider.issuer(),
                    Account::Member.subject()
                ),
                None,
            )),
            add(device(&ours, ended(EARLIER))),
        ];
        let before = stays.map(|id| expiry(&stage.headscale, id));
        let session = session_line(&stage.house, &stage.somebody(Account::Member));
        stage
            .faulty
            .provider
            .set(|knobs| knobs.deactivated.push(Account::Member));
        checked(&stage.house, &session, "refused");
        let done = |acts: &Vec<String>| {
            acts.iter()
                .filter(|act| act.starts_with("offboarding_done done"))
                .count()
                == times
        };
        let acts = until(version, || acts(&stage.house.plan), done);
        for id in expires {
            assert!(has_expired(&stage.headscale, id), "{version}: {acts:#?}");
            assert!(
                acts.contains(&format!("device_expired done refresh_refused {id}")),
                "{acts:#?}"
            );
        }
        let after = stays.map(|id| expiry(&stage.headscale, id));
        assert_eq!(after, before, "{version}: {acts:#?}");
        assert_eq!(
            stage.headscale.devices().len(),
            8 * times,
            "{version}: none is removed"
        );
        stage.faulty.provider.set(|knobs| knobs.deactivated.clear());
        // What only this version tells apart is nothing for the next one to find.
        for device in stage.headscale.devices() {
            let end = |device: &mut Device| device.expiry = ended(EARLIER);
            stage.headscale.change_device(device.id, end);
        }
    }
    assert_eq!(
        counted(
            &stage.house,
            "headwarden_offboarding_devices_total{outcome=\"expired\"}"
        ),
        10
    );
    let line = stage.house.wait_for_log("off-boarded: devices expired");
    assert!(line.contains("devices=2"), "{line}");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let stage = stage("after: 0s, dry_run: true");
    let id = stage
        .headscale
        .add_node(Device::of(&owner(&stage.house, Account::Member), "laptop"));
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    stage
        .faulty
        .provider
        .set(|knobs| knobs.deactivated.push(Account::Member));
    checked(&stage.house, &session, "refused");
    let done = |acts: &Vec<String>| acts.iter().any(|act| act.starts_with("offboarding_done"));
    let acts = until("done", || acts(&stage.house.plan), done);
    assert_eq!(
        acts,
        [
            "offboarding_due done refresh_refused -".to_owned(),
            format!("device_expired dry_run refresh_refused {id}"),
            "offboarding_done dry_run refresh_refused -".to_owned(),
        ]
    );
    assert_eq!(expiry(&stage.headscale, id), None);
    assert!(
        !stage
            .headscale
            .requests()
            .iter()
            .any(|seen| seen.target.contains("expire"))
    );
}

#[test]
fn who_is_written_down_is_so_after_a_restart_and_a_headscale_that_is_away_is_tried_again() {
    let mut stage = stage("after: 3s");
    let id = stage
        .headscale
        .add_node(Device::of(&owner(&stage.house, Account::Member), "laptop"));
    let path = format!("/api/v1/node/{id}/expire");
    stage.headscale.script(&path, Script::Close);
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    stage
        .faulty
        .provider
        .set(|knobs| knobs.deactivated.push(Account::Member));
    checked(&stage.house, &session, "refused");
    stage.house.restart(&[]);
    stage.house.wait_for_log("serving");
    let line = stage.house.wait_for_log("did not expire");
    assert!(line.contains(&format!("device=\"{id}\"")), "{line}");
    assert_eq!(written(&stage.house.plan).len(), 1);
    until(
        "it expires",
        || has_expired(&stage.headscale, id),
        |expired| *expired,
    );
    until(
        "nobody is left",
        || written(&stage.house.plan),
        Vec::is_empty,
    );
    assert!(
        acts(&stage.house.plan).contains(&format!("device_expired failed refresh_refused {id}"))
    );
}

#[test]
fn who_has_a_session_that_the_provider_vouches_for_is_not_gone_and_an_outage_decides_nothing() {
    let mut stage = stage("after: 5s");
    let owner = owner(&stage.house, Account::Member);
    let id = stage.headscale.add_node(Device::of(&owner, "laptop"));
    let [one, other, third] =
        [(); 3].map(|()| session_line(&stage.house, &stage.somebody(Account::Member)));
    let refuse = |stage: &Stage| {
        let said = json!({ "error": "invalid_grant" });
        let said = said.as_object().cloned().expect("an object");
        stage.faulty.provider.set(|knobs| knobs.token_answer = said);
    };
    let dropped = |acts: &Vec<String>| {
        acts.iter()
            .filter(|act| *act == "offboarding_dropped done back -")
            .count()
    };
    refuse(&stage);
    checked(&stage.house, &other, "refused");
    stage.faulty.provider.mend();
    // Nobody asks with the session that is left: the last look does.
    until(
        "the last look",
        || acts(&stage.house.plan),
        |acts| dropped(acts) == 1,
    );
    assert_eq!(written(&stage.house.plan), Vec::<String>::new());
    refuse(&stage);
    checked(&stage.house, &third, "refused");
    stage.faulty.provider.mend();
    stage.faulty.provider.bend(Fault::TokenIsDown);
    stage
        .house
        .wait_for_log("has a session that cannot be checked now");
    assert_eq!(written(&stage.house.plan).len(), 1);
    assert_eq!(expiry(&stage.headscale, id), None);
    stage.faulty.provider.mend();
    checked(&stage.house, &one, "confirmed");
    until(
        "the re-check",
        || acts(&stage.house.plan),
        |acts| dropped(acts) == 2,
    );
    assert_eq!(expiry(&stage.headscale, id), None);
    let metric = "headwarden_offboarding_failures_total{stage=\"provider\"}";
    assert!(counted(&stage.house, metric) >= 1);
}

#[test]
fn whoever_is_switched_off_in_the_middle_of_a_round_ends_nobodys_devices() {
    let mut stage = stage("after: 0s");
    let id = stage
        .headscale
        .add_node(Device::of(&owner(&stage.house, Account::Member), "laptop"));
    let gate = stage.headscale.gate("/api/v1/node");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    stage
        .faulty
        .provider
        .set(|knobs| knobs.deactivated.push(Account::Member));
    checked(&stage.house, &session, "refused");
    let headscale = &stage.headscale;
    stage.house.wait_until("the devices to be looked up", || {
        headscale
            .requests()
            .iter()
            .any(|seen| seen.path() == "/api/v1/node")
    });
    let file = stage.house.plan.files.join("config.yaml");
    let text = std::fs::read_to_string(&file).expect("ours");
    let off = text.replace("expire_nodes: true", "expire_nodes: false");
    assert_ne!(off, text);
    std::fs::write(&file, off).expect("ours");
    stage.house.wait_for_log("configuration taken over");
    drop(gate);
    let acts = until(
        "nobody is pending",
        || acts(&stage.house.plan),
        |acts| {
            acts.iter()
                .any(|act| act.starts_with("offboarding_dropped"))
        },
    );
    assert!(
        !acts.iter().any(|act| act.starts_with("device_expired")),
        "{acts:#?}"
    );
    assert_eq!(expiry(&stage.headscale, id), None);
}

#[test]
fn whoever_could_not_be_written_down_is_when_that_works_again() {
    let mut stage = stage("after: 1h");
    let journal = stage.house.plan.files.join("offboarding.json");
    std::fs::create_dir(&journal).expect("ours");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    stage
        .faulty
        .provider
        .set(|knobs| knobs.deactivated.push(Account::Member));
    checked(&stage.house, &session, "refused");
    let status = || ask(&stage.house, "GET", "/windows", &[&session]).status();
    until("the end of the session", status, |status| *status == 401);
    stage
        .house
        .wait_for_log("who is to be off-boarded cannot be read or written down");
    std::fs::remove_dir(&journal).expect("ours");
    let subject = Account::Member.subject();
    until(
        "it is written",
        || written(&stage.house.plan),
        |written| *written == [format!("{subject}: \"refused\"")],
    );
}

#[test]
fn whom_the_provider_speaks_of_in_another_session_was_not_refused() {
    let stage = stage("after: 1h");
    let [one, other] =
        [(); 2].map(|()| session_line(&stage.house, &stage.somebody(Account::Member)));
    let provider = &stage.faulty.provider;
    let said = json!({ "error": "invalid_grant" });
    let said = said.as_object().cloned().expect("an object");
    provider.set(|knobs| knobs.token_answer = said);
    checked(&stage.house, &one, "refused");
    assert_eq!(written(&stage.house.plan).len(), 1);
    // No group at all proves nothing against the person; that they are told of does, for them.
    provider.mend();
    provider.set(|knobs| drop(knobs.extra_claims.insert("groups".to_owned(), json!([]))));
    checked(&stage.house, &other, "lost_right");
    until(
        "nobody is written down",
        || written(&stage.house.plan),
        Vec::is_empty,
    );
    let acts = acts(&stage.house.plan);
    assert!(
        acts.contains(&"offboarding_dropped done back -".to_owned()),
        "{acts:#?}"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is written down and what comes later are told apart by whole seconds"
)]
fn seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("it is later than 1970").as_secs()
}

#[test]
fn a_sign_in_that_could_not_be_written_down_counts_when_the_time_has_come() {
    let stage = stage("after: 5s");
    let id = stage
        .headscale
        .add_node(Device::of(&owner(&stage.house, Account::Member), "laptop"));
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let provider = &stage.faulty.provider;
    let said = json!({ "error": "invalid_grant" });
    let said = said.as_object().cloned().expect("an object");
    // The round may not come before the person does.
    let journal = stage.house.plan.files.join("offboarding.json");
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&journal, mode).expect("ours");
    };
    provider.set(|knobs| knobs.token_answer = said);
    checked(&stage.house, &session, "refused");
    mode(0o644);
    let noticed = seconds();
    until("the next second", seconds, |now| *now > noticed);
    provider.mend();
    // Of this session nobody can ask again.
    provider.set(|knobs| knobs.refresh_tokens = false);
    stage.somebody(Account::Member);
    mode(0o600);
    let over = |acts: &Vec<String>| {
        acts.iter()
            .any(|act| act.starts_with("offboarding_d") && !act.starts_with("offboarding_due"))
    };
    let acts = until("the last look", || acts(&stage.house.plan), over);
    assert!(
        acts.contains(&"offboarding_dropped done back -".to_owned()),
        "{acts:#?}"
    );
    assert_eq!(expiry(&stage.headscale, id), None);
}

#[test]
fn more_people_than_expected_wait_for_an_operator() {
    let mut stage = stage("after: 0s, most: 1");
    let all = [Account::Admin, Account::Member];
    let ids = all.map(|account| {
        stage
            .headscale
            .add_node(Device::of(&owner(&stage.house, account), "laptop"))
    });
    // Headscale does not answer before both are noticed.
    let gate = stage.headscale.gate("/api/v1/node");
    let sessions = all.map(|account| session_line(&stage.house, &stage.somebody(account)));
    stage
        .faulty
        .provider
        .set(|knobs| knobs.deactivated.extend(all));
    for session in &sessions {
        checked(&stage.house, session, "refused");
    }
    let line = stage
        .house
        .wait_for_log("more people are gone than offboarding.most");
    assert!(line.contains("held=2") && line.contains("ERROR"), "{line}");
    drop(gate);
    until(
        "both are held",
        || {
            counted(
                &stage.house,
                "headwarden_offboarding_people{state=\"held\"}",
            )
        },
        |held| *held == 2,
    );
    let listed = says(&stage.house, &["list"]);
    assert_eq!(listed.matches("HELD").count(), 2, "{listed}");
    for id in ids {
        assert_eq!(expiry(&stage.headscale, id), None);
    }
    let json: Vec<Value> = says(&stage.house, &["list", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(json.iter().all(|person| person["held"] == true), "{json:?}");
    let admin = Account::Admin.subject();
    assert_eq!(
        says(&stage.house, &["cancel", &admin]),
        "taken off: the devices stay"
    );
    let again = command(&stage.house, &["cancel", &admin]);
    assert!(!again.status.success(), "{again:?}");
    assert_eq!(says(&stage.house, &["run"]), "1 person confirmed");
    until(
        "who was confirmed",
        || has_expired(&stage.headscale, ids[1]),
        |expired| *expired,
    );
    assert_eq!(expiry(&stage.headscale, ids[0]), None);
    until(
        "nobody is left",
        || says(&stage.house, &["list"]),
        |text| text.starts_with("nobody"),
    );
    let acts = acts(&stage.house.plan);
    for act in [
        "offboarding_held done refresh_refused -",
        "offboarding_dropped done operator -",
        "offboarding_confirmed done - -",
    ] {
        assert!(acts.contains(&act.to_owned()), "{act}: {acts:#?}");
    }
}

#[test]
fn an_account_that_is_disabled_loses_its_devices_and_keeps_them_when_it_is_enabled_again() {
    let settings = json!({ "refresh_tokens": true });
    let headscale = HeadscaleStandin::start(Options::default());
    let mut tailnet = Tailnet::start_written(&settings, headscale, |plan, url, issuer| {
        config(plan, url, issuer, "after: 0s")
    });
    let mut person = member(&tailnet);
    let join = |tailnet: &Tailnet, person: &mut Person, id: &str| {
        let page = person.open(&tailnet.house.url(&format!("/register/{id}")));
        let done = person.fill_in(&page, "", &[]);
        assert!(done.text().contains("Node registered"), "{}", done.text());
    };
    join(&tailnet, &mut person, AUTH_ID);
    let device = tailnet.headscale.devices().pop().expect("it joined");
    let session = session_line(&tailnet.house, &person);
    tailnet.provider.deactivate(MEMBER);
    checked(&tailnet.house, &session, "refused");
    until(
        "it expires",
        || has_expired(&tailnet.headscale, device.id),
        |expired| *expired,
    );
    // The account is enabled again, and the device asks to sign in.
    let claims =
        json!({ "name": "Mia Member", "email": "mia@acmecorp.net", "groups": ["headscale"] });
    tailnet.provider.set_person(MEMBER, &claims);
    let mut person = member(&tailnet);
    let id = AUTH_ID.replace("0123", "3210");
    tailnet.headscale.returns(&id, device.id);
    join(&tailnet, &mut person, &id);
    assert_eq!(tailnet.headscale.devices(), [device]);
    assert_eq!(written(&tailnet.house.plan), Vec::<String>::new());
}
