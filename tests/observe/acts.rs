//! What is done to devices, to people who are gone, to the key of the API, to the policy and to the
//! configuration: each is done for real, and its line is as the schema says.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::wait_for;
use crate::faulty_provider::Person as Account;
use crate::scene::{Scene, over};
use crate::schema::faults;
use crate::stage::{ask, session_line};
use crate::support::audit::lines;
use crate::support::headscale_standin::{Device, HeadscaleStandin, Options, PolicyMode, User};
use crate::support::house::{More, headwarden};
use crate::support::raw::PATIENCE;

/// What this test has, and the one of [`crate::audit`] has not.
pub(crate) const ACTS: &[&str] = &[
    "api_key_renewed",
    "configuration_reloaded",
    "device_expired",
    "device_removed",
    "device_renamed",
    "offboarding_confirmed",
    "offboarding_done",
    "offboarding_dropped",
    "offboarding_due",
    "offboarding_held",
    "offboarding_listed",
    "policy_written",
];

/// The key of the API, which ends in twenty days.
const OLD: &str =
    "hskey-api-AbCdEfGhIjKl-7777777777777777777777777777777777777777777777777777777777777777";

#[expect(
    clippy::disallowed_methods,
    reason = "the stand-in's keys end by the real clock"
)]
fn in_twenty_days() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed()) + 20 * 86_400
}

/// A house that does all of it by itself, with its files in `directory`.
fn scene(directory: &Path) -> Scene {
    let key = directory.join("api_key");
    std::fs::write(&key, OLD).expect("a file");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("it is ours");
    let headscale = HeadscaleStandin::start(Options::default());
    headscale.add_api_key(OLD, Some(in_twenty_days()));
    let place = directory.display();
    let top = format!(
        "api: {{ admins: [headscale-admins] }}\naudit: {{ path: {place}/audit.jsonl }}\n\
         session: {{ recheck: 1s }}\n\
         offboarding: {{ expire_nodes: true, after: 0s, most: 1, state_path: {place}/gone.json }}\n\
         policy_sync:\n  groups: [{{ name: admins, from: [headscale-admins] }}]\n  \
         state_path: {place}/people\n"
    );
    let keyed = format!(
        "  api_key_path: {}\n  api_key_rotate: {{ enabled: true }}\n",
        key.display()
    );
    let more = More {
        headscale: keyed.leak(),
        oidc: "  scope: [openid, profile, email, offline_access]\n",
        top: top.leak(),
        ..More::default()
    };
    let scene = Scene::start_around(headscale, "", &more);
    let provider = &scene.stage.faulty.provider;
    provider.set(|knobs| knobs.refresh_tokens = true);
    scene
}

fn known_as(scene: &Scene, account: Account) -> String {
    format!("{}/{}", scene.house().plan.issuer_url(), account.subject())
}

/// Each has a laptop and a phone; the ids.
fn furnish(scene: &Scene) -> [[u64; 2]; 2] {
    [Account::Admin, Account::Member].map(|account| {
        let owner = known_as(scene, account);
        scene.stage.headscale.add_user(User {
            provider_identifier: owner.clone(),
            name: account.username().to_owned(),
            ..User::default()
        });
        ["laptop", "phone"].map(|name| {
            let name = format!("{}-{name}", account.username());
            scene.stage.headscale.add_node(Device::of(&owner, &name))
        })
    })
}

/// A member renames, signs out and removes; an administrator renames another's.
fn devices_change(scene: &Scene, [laptop, phone]: [u64; 2]) {
    let url = |rest: &str| scene.house().url(&format!("/.headwarden/devices{rest}"));
    let mut ben = scene.stage.somebody(Account::Member);
    let page = ben.open(&url(""));
    let rename = format!("rename-{phone}");
    let page = ben.fill_in(&page, &rename, &[("name", "pocket")]);
    assert!(page.text().contains("has its new name"), "{}", page.text());
    for what in ["sign-out", "remove"] {
        let asked = ben.open(&url(&format!("/{what}?id={phone}")));
        let done = ben.fill_in(&asked, "", &[]);
        assert_eq!(done.status(), 200, "{}", done.text());
    }
    let mut ada = scene.stage.somebody(Account::Admin);
    let page = ada.open(&url("?user=2"));
    let rename = format!("rename-{laptop}");
    let page = ada.fill_in(&page, &rename, &[("name", "notebook")]);
    assert!(page.text().contains("has its new name"), "{}", page.text());
}

/// Somebody signs in, their account is deactivated, and the house hears of it. It stays so: whatever other session
/// they have is asked for as well, before anything is done.
fn leaves(scene: &Scene, account: Account) {
    let back = |deactivated: &mut Vec<Account>| deactivated.retain(|it| *it != account);
    let provider = &scene.stage.faulty.provider;
    provider.set(|knobs| back(&mut knobs.deactivated));
    let session = session_line(scene.house(), &scene.stage.somebody(account));
    provider.set(|knobs| knobs.deactivated.push(account));
    let deadline = Instant::now() + PATIENCE;
    while ask(scene.house(), "GET", "/windows", &[&session]).status() != 401 {
        assert!(Instant::now() < deadline, "{account:?} is let in for ever");
        std::thread::yield_now();
    }
}

fn operator(scene: &Scene, arguments: &[&str]) {
    let output = headwarden(&scene.house().plan, &[&["offboarding"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn what_happens_to_devices_people_keys_and_policies_is_a_line_of_the_schema_too() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let scene = scene(at);
    let (ada, ben) = (Account::Admin.subject(), Account::Member.subject());
    let renewed = wait_for(at, &json!({"act": "api_key_renewed", "by": "headwarden"}));
    assert_ne!(renewed["key"], "AbCdEfGhIjKl", "the new one's");
    let [_, bens] = furnish(&scene);
    devices_change(&scene, bens);

    let headscale = &scene.stage.headscale;
    headscale.configure(|options| options.policy = PolicyMode::Database);
    headscale.set_policy("{}");
    let (status, told) = over(&scene.socket(), "POST", "/policy-sync", &[]);
    assert_eq!(status, 200, "{told}");
    wait_for(at, &json!({"act": "policy_written", "outcome": "done"}));

    let of = |act: &str, who: &str| json!({ "act": act, "subject": who });
    leaves(&scene, Account::Member);
    wait_for(at, &of("offboarding_done", &ben));
    // Another one in this hour is too many.
    leaves(&scene, Account::Admin);
    wait_for(at, &of("offboarding_held", &ada));
    operator(&scene, &["list"]);
    operator(&scene, &["run", &ada]);
    wait_for(at, &of("offboarding_done", &ada));
    leaves(&scene, Account::Member);
    wait_for(at, &of("offboarding_held", &ben));
    operator(&scene, &["cancel", &ben]);
    // Who is neither there nor held is no success.
    for action in ["run", "cancel"] {
        let output = headwarden(&scene.house().plan, &["offboarding", action, &ben]);
        assert!(!output.status.success(), "{action}: {output:?}");
    }
    scene.house().signal("HUP");

    for wanted in [
        json!({"act": "device_renamed", "by": "person", "subject": ben, "node": bens[1].to_string(),
            "outcome": "done"}),
        json!({"act": "device_expired", "by": "person", "subject": ben, "outcome": "done"}),
        json!({"act": "device_removed", "by": "person", "subject": ben, "outcome": "done"}),
        json!({"act": "device_renamed", "by": "person", "subject": ada, "owner": ben,
            "role": "admin", "node": bens[0].to_string()}),
        json!({"act": "offboarding_due", "by": "provider", "subject": ben,
            "reason": "refresh_refused"}),
        json!({"act": "device_expired", "by": "headwarden", "subject": ben,
            "reason": "refresh_refused", "node": bens[0].to_string(), "outcome": "done"}),
        json!({"act": "offboarding_listed", "outcome": "done"}),
        json!({"act": "offboarding_confirmed", "subject": ada}),
        json!({"act": "offboarding_dropped", "subject": ben, "reason": "operator"}),
        json!({"act": "configuration_reloaded", "by": "signal"}),
    ] {
        wait_for(at, &wanted);
    }
    let text = std::fs::read_to_string("docs/audit.schema.json").unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let all = lines(at);
    for line in &all {
        assert_eq!(faults(&schema, line), Vec::<String>::new(), "{line}");
    }
    let acts: BTreeSet<&str> = all.iter().filter_map(|line| line["act"].as_str()).collect();
    let missing: Vec<_> = ACTS.iter().filter(|act| !acts.contains(**act)).collect();
    assert_eq!(missing, Vec::<&&str>::new(), "{all:#?}");
    let file = std::fs::read_to_string(at.join("audit.jsonl")).unwrap();
    let new = std::fs::read_to_string(at.join("api_key")).unwrap();
    for hidden in [
        &OLD[24..],
        &new.trim()[24..],
        "company.example",
        "laptop",
        "pocket",
    ] {
        assert!(!file.contains(hidden), "{hidden}: {file}");
    }
}
