//! The provider's groups in the policy of the tailnet: written where they belong and nowhere else, by every
//! version of Headscale, and not at all where that is not certain.

use std::time::Instant;

use serde_json::{Value, json};

use crate::faulty_provider::Person as Account;
use crate::scene::{Scene, over};
use crate::stage::{log_at_info, request, send};
use crate::support::headscale_standin::{PolicyMode, User};
use crate::support::house::{More, headwarden};
use crate::support::raw::PATIENCE;

/// As an administrator writes one.
pub(crate) const POLICY: &str = "{
  // people
  \"groups\": {
    \"group:guests\": [\"visitor@\"], // until May
  },
  \"acls\": [{\"action\": \"accept\", \"src\": [\"group:admins\"], \"dst\": [\"*:*\"]}],
}
";
const BEGIN: &str =
    "// headwarden: begin (written by Headwarden; changes between these lines are lost)";

pub(crate) fn sync(more: &str) -> String {
    format!(
        "policy_sync:\n  groups:\n    - {{ name: admins, from: [headscale-admins] }}\n    \
         - {{ from: [headscale] }}\n  state_path: STATE\n{more}"
    )
}

/// A house that writes groups into the policy of a Headscale with this one.
pub(crate) fn scene(policy: Option<&str>, more: &str) -> Scene {
    scene_of(policy, sync(more), "")
}

/// The same, with this section, and these keys of the provider.
pub(crate) fn scene_of(policy: Option<&str>, sync: String, oidc: &'static str) -> Scene {
    let top: &'static str = Box::leak(sync.into_boxed_str());
    let mut scene = Scene::start(
        "",
        &More {
            headscale: "  api_key: hskey-api-standin\n",
            top,
            oidc,
            ..More::default()
        },
    );
    // The first look is over, at a policy that is a file.
    let house = &mut scene.stage.house;
    house.wait_for_log("kind=\"file_mode\"");
    scene
        .stage
        .headscale
        .configure(|options| options.policy = PolicyMode::Database);
    if let Some(policy) = policy {
        scene.stage.headscale.set_policy(policy);
    }
    scene
}

fn id(scene: &Scene, account: Account) -> String {
    format!("{}/{}", scene.house().plan.issuer_url(), account.subject())
}

/// Headscale has a user for them.
pub(crate) fn has_a_device(scene: &Scene, account: Account) {
    scene.stage.headscale.add_user(User {
        provider_identifier: id(scene, account),
        name: account.username().to_owned(),
        email: Some(account.email().to_owned()),
        ..User::default()
    });
}

pub(crate) fn policy(scene: &Scene) -> String {
    scene.stage.headscale.policy().unwrap_or_default()
}

/// Waits until the policy is this one.
pub(crate) fn becomes(scene: &Scene, meant: &str) {
    let deadline = Instant::now() + PATIENCE;
    while policy(scene) != meant {
        assert!(
            Instant::now() < deadline,
            "it is\n{}\nand not\n{meant}",
            policy(scene)
        );
        std::thread::yield_now();
    }
}

/// The policy with these lines as our part.
pub(crate) fn with(lines: &[String]) -> String {
    let indented: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    let open = "\"groups\": {\n";
    POLICY.replace(
        open,
        &format!("{open}    {BEGIN}\n{indented}    // headwarden: end\n"),
    )
}

/// One group with these members.
pub(crate) fn group(scene: &Scene, name: &str, members: &[Account]) -> String {
    if members.is_empty() {
        return format!("\"group:{name}\": [],");
    }
    let mut lines: Vec<String> = members
        .iter()
        .map(|it| format!("      \"{}@\", // {}\n", id(scene, *it), it.username()))
        .collect();
    lines.sort();
    format!("\"group:{name}\": [\n{}    ],", lines.concat())
}

fn asked(scene: &Scene, method: &str) -> Value {
    let (status, told) = over(&scene.socket(), method, "/policy-sync", &[]);
    assert_eq!(status, 200, "{told}");
    told
}

pub(crate) fn puts(scene: &Scene) -> usize {
    let all = scene.stage.headscale.requests();
    let puts = all
        .iter()
        .filter(|seen| seen.method == "PUT" && seen.path() == "/api/v1/policy");
    puts.count()
}

#[test]
fn who_signs_in_is_in_their_groups_with_every_version_of_headscale_and_nothing_else_changes() {
    let scene = scene(Some(POLICY), "");
    let (ada, ben) = (Account::Admin, Account::Member);
    assert_eq!(asked(&scene, "POST")["outcome"], "written");
    let nobody = [
        group(&scene, "admins", &[]),
        group(&scene, "headscale", &[]),
    ];
    assert_eq!(policy(&scene), with(&nobody));
    has_a_device(&scene, ada);
    has_a_device(&scene, ben);
    // One after the other: nothing is on its way any more when the last is there.
    scene.sign_in(ada);
    becomes(
        &scene,
        &with(&[
            group(&scene, "admins", &[ada]),
            group(&scene, "headscale", &[ada]),
        ]),
    );
    scene.sign_in(ben);
    let meant = with(&[
        group(&scene, "admins", &[ada]),
        group(&scene, "headscale", &[ada, ben]),
    ]);
    becomes(&scene, &meant);
    // In its turn: whoever wrote has also looked at what is there.
    asked(&scene, "GET");
    let log = log_at_info(scene.house());
    assert!(!log.contains("company.example"), "{log}");
    for version in ["v0.26.1", "v0.27.1", "v0.28.0", "v0.29.2", "v0.30.0"] {
        scene
            .stage
            .headscale
            .configure(|options| options.version = version.to_owned());
        scene.stage.headscale.set_policy(POLICY);
        let told = asked(&scene, "GET");
        assert_eq!(told["outcome"], "not_written", "{version}: {told}");
        assert_eq!(
            (&told["members_added"], &told["members_removed"]),
            (&3.into(), &0.into())
        );
        assert_eq!(policy(&scene), POLICY, "{version}: it was only asked for");
        assert_eq!(asked(&scene, "POST")["outcome"], "written", "{version}");
        assert_eq!(policy(&scene), meant, "{version}");
        let before = puts(&scene);
        assert_eq!(asked(&scene, "POST")["outcome"], "unchanged", "{version}");
        assert_eq!(puts(&scene), before, "{version}: nothing is written twice");
        // What is wrong with a policy, Headscale says in its own words.
        scene.stage.headscale.configure(|options| {
            options.policy_faults = vec![("group:admins".to_owned(), "a test failed".to_owned())];
        });
        scene.stage.headscale.set_policy("{}");
        let told = asked(&scene, "POST");
        assert_eq!(told["failure"]["kind"], "rejected", "{version}: {told}");
        let why = told["failure"]["why"].as_str().unwrap();
        assert!(why.contains("a test failed"), "{version}: {why}");
        assert_eq!(policy(&scene), "{}", "{version}");
        scene
            .stage
            .headscale
            .configure(|options| options.policy_faults.clear());
    }
    let lines = scene.audit();
    let line = lines
        .iter()
        .find(|line| line.contains("policy_written") && line.contains("outcome=\"done\""))
        .expect("a line");
    for part in ["by=headwarden", "outcome=\"done\"", "groups=2"] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn an_operator_sees_the_difference_and_has_it_written() {
    let scene = scene(Some(POLICY), "  dry_run: true\n");
    has_a_device(&scene, Account::Admin);
    scene.sign_in(Account::Admin);
    let run = |arguments: &[&str]| {
        let output = headwarden(&scene.house().plan, &[&["policy-sync"], arguments].concat());
        let told = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code(),
            told,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    // The roll is called when somebody asks, too.
    let (code, told, _) = run(&["--dry-run"]);
    assert_eq!(code, Some(0), "{told}");
    let ada = id(&scene, Account::Admin);
    for part in [
        "--- policy\n+++ policy\n@@ -1,6 +1,14 @@\n {\n   // people\n   \"groups\": {\n+    // headwarden: begin",
        &format!("\n+      \"{ada}@\", // ada\n"),
        "\n+    // headwarden: end\n     \"group:guests\": [\"visitor@\"], // until May\n",
        "\n# nothing was written\n# group:admins: 1\n# group:headscale: 1\n",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    // The configuration says that nothing is to be written, and so the operator cannot either.
    let (code, told, _) = run(&["--once"]);
    assert!(
        code == Some(0) && told.contains("# nothing was written"),
        "{told}"
    );
    assert_eq!((policy(&scene).as_str(), puts(&scene)), (POLICY, 0));
    let log = log_at_info(scene.house());
    assert!(
        log.contains("policy_sync.dry_run") && !log.contains(&ada),
        "{log}"
    );
    // Without the line it is written at once.
    let path = scene.house().plan.files.join("config.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("  dry_run: true\n", "")).unwrap();
    scene.house().signal("HUP");
    let meant = with(&[
        group(&scene, "admins", &[Account::Admin]),
        group(&scene, "headscale", &[Account::Admin]),
    ]);
    becomes(&scene, &meant);
    let (code, told, _) = run(&["--once"]);
    assert!(
        code == Some(0) && told.starts_with("# the policy has its groups"),
        "{told}"
    );
    let (code, told, _) = run(&["--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(code == Some(0) && told["outcome"] == "unchanged", "{told}");
    let (code, told, error) = run(&["--once", "--dry-run"]);
    assert!(code == Some(2) && told.is_empty(), "{error}");
    let (status, told) = over(&scene.socket(), "GET", "/status", &[]);
    assert_eq!(status, 200);
    assert_eq!(
        told["policy_sync"]["last"]["groups"]["group:admins"], 1,
        "{told}"
    );
    let (code, told, error) = run(&["--socket", "/nowhere"]);
    assert!(code == Some(7) && told.is_empty(), "{error}");
}

#[test]
fn what_is_not_certain_is_not_written() {
    let scene = scene(Some(POLICY), "");
    let (ada, ben) = (Account::Admin, Account::Member);
    for account in [ada, ben] {
        scene.sign_in(account);
    }
    let headscale = &scene.stage.headscale;
    // Names and addresses that look like somebody are nobody.
    for row in [
        User {
            name: "ada".to_owned(),
            email: Some(ada.email().to_owned()),
            ..User::default()
        },
        User {
            name: id(&scene, ada),
            ..User::default()
        },
        User {
            provider_identifier: format!("http://elsewhere/{}", ada.subject()),
            name: "ada2".to_owned(),
            ..User::default()
        },
    ] {
        headscale.add_user(row);
    }
    let nobody = with(&[
        group(&scene, "admins", &[]),
        group(&scene, "headscale", &[]),
    ]);
    asked(&scene, "POST");
    assert_eq!(policy(&scene), nobody);
    let told = asked(&scene, "GET");
    assert_eq!(told["left_out"][0]["why"], "unknown", "{told}");
    // Two users of one person.
    has_a_device(&scene, ada);
    has_a_device(&scene, ada);
    has_a_device(&scene, ben);
    let told = asked(&scene, "POST");
    assert_eq!(told["left_out"][0]["why"], "ambiguous", "{told}");
    assert_eq!(
        policy(&scene),
        with(&[
            group(&scene, "admins", &[]),
            group(&scene, "headscale", &[ben]),
        ])
    );
    // Policies that are left alone, and why.
    for (policy_there, kind, why) in [
        (
            Some("{\"groups\": {\"group:admins\": []}}"),
            "policy",
            "stands in the policy already",
        ),
        (
            Some("{\"groups\": {/* headwarden: begin */}}"),
            "policy",
            "once each",
        ),
        (
            Some("{\"groups\": {}, \"Groups\": {}}"),
            "policy",
            "more than once",
        ),
        (Some("{\"groups\": []}"), "policy", "not an object"),
        (Some("{ nonsense"), "policy", "cannot be read: line 1"),
        (Some(""), "policy", "has no policy"),
    ] {
        headscale.set_policy(policy_there.unwrap_or_default());
        let before = puts(&scene);
        let told = asked(&scene, "POST");
        assert_eq!(told["failure"]["kind"], kind, "{policy_there:?}: {told}");
        let said = told["failure"]["why"].as_str().unwrap();
        assert!(said.contains(why), "{policy_there:?}: {said}");
        assert_eq!(
            (policy(&scene).as_str(), puts(&scene)),
            (policy_there.unwrap_or_default(), before)
        );
    }
    let log = scene.house().log();
    assert!(
        log.contains("the policy's groups are not what they should be"),
        "{log}"
    );
}

#[test]
fn a_headscale_without_a_policy_in_its_database_is_told_of_once_and_not_hammered() {
    for (mode, kind, why) in [
        (PolicyMode::Database, "policy", "headscale has no policy"),
        (
            PolicyMode::File(Some(POLICY.to_owned())),
            "file_mode",
            "policy.mode: database",
        ),
        (PolicyMode::File(None), "file_mode", "policy.mode: database"),
    ] {
        for version in ["v0.28.0", "v0.29.2", "v0.30.0"] {
            let scene = scene(None, "");
            scene.stage.headscale.configure(|options| {
                options.policy = mode.clone();
                version.clone_into(&mut options.version);
            });
            let told = asked(&scene, "POST");
            assert_eq!(told["failure"]["kind"], kind, "{version} {told}");
            assert!(
                told["failure"]["why"].as_str().unwrap().contains(why),
                "{told}"
            );
            let before = puts(&scene);
            scene.sign_in(Account::Admin);
            // Whoever asks hears the same; nobody asks Headscale to write it again.
            assert_eq!(
                asked(&scene, "GET")["outcome"] == "failed",
                kind == "policy" || mode == PolicyMode::File(None)
            );
            assert_eq!(puts(&scene), before, "{version}");
            let log = log_at_info(scene.house());
            let said = log
                .matches("the policy's groups are not what they should be")
                .count();
            assert!(said <= 2, "{said} times: {log}");
        }
    }
}

fn logs_out(scene: &Scene, account: Account) {
    let provider = &scene.stage.faulty.provider;
    let token = provider.logout_token(account, &json!({}), &json!({}));
    let body = format!("logout_token={token}");
    let length = format!("Content-Length: {}", body.len());
    let form = "Content-Type: application/x-www-form-urlencoded";
    let target = "/.headwarden/backchannel-logout";
    let mut bytes = request(scene.house(), "POST", target, &[form, &length]);
    bytes.extend_from_slice(body.as_bytes());
    assert_eq!(send(scene.house().plan.public, &bytes).status(), 200);
}

#[test]
fn a_logout_token_takes_the_groups_of_who_is_gone_and_of_nobody_who_signed_out() {
    let offline = "  scope: [openid, profile, email, offline_access]\n";
    let mut scene = scene_of(Some(POLICY), sync(""), offline);
    let ben = Account::Member;
    has_a_device(&scene, ben);
    scene
        .stage
        .faulty
        .provider
        .set(|knobs| knobs.refresh_tokens = true);
    let meant = |scene: &Scene, members: &[Account]| {
        with(&[
            group(scene, "admins", &[]),
            group(scene, "headscale", members),
        ])
    };
    scene.sign_in(ben);
    becomes(&scene, &meant(&scene, &[ben]));
    logs_out(&scene, ben);
    let house = &mut scene.stage.house;
    house.wait_for_log("which still vouches for the person");
    asked(&scene, "POST");
    assert_eq!(policy(&scene), meant(&scene, &[ben]), "signed out, no more");
    scene.sign_in(ben);
    scene
        .stage
        .faulty
        .provider
        .set(|knobs| knobs.deactivated.push(ben));
    logs_out(&scene, ben);
    becomes(&scene, &meant(&scene, &[]));
    // Headscale does not take who comes meanwhile: whoever is to go goes all the same.
    let ada = Account::Admin;
    let provider = &scene.stage.faulty.provider;
    provider.set(|knobs| knobs.deactivated.clear());
    scene.sign_in(ben);
    becomes(&scene, &meant(&scene, &[ben]));
    scene.stage.headscale.configure(|options| {
        options.policy_faults = vec![(ada.subject(), "a test failed".to_owned())];
    });
    has_a_device(&scene, ada);
    scene.sign_in(ada);
    let told = asked(&scene, "POST");
    assert_eq!(told["failure"]["kind"], "rejected", "{told}");
    assert_eq!(policy(&scene), meant(&scene, &[ben]));
    provider.set(|knobs| knobs.deactivated.push(ben));
    logs_out(&scene, ben);
    becomes(&scene, &meant(&scene, &[]));
    let told = asked(&scene, "POST");
    assert_eq!(told["failure"]["kind"], "rejected", "{told}");
}

#[test]
fn a_group_that_only_a_star_brought_does_not_stop_the_others() {
    let stars = sync("").replace("[headscale]", "[\"headscale*\"]");
    let there = "{\"groups\": {\"group:headscale\": [\"visitor@\"]}}";
    let scene = scene_of(Some(there), stars, "");
    let ada = Account::Admin;
    has_a_device(&scene, ada);
    scene.sign_in(ada);
    let told = asked(&scene, "POST");
    let without = &told["groups_without_a_name"];
    assert_eq!(without, &json!(["headscale"]), "{told}");
    for (name, count) in [("admins", 1), ("headscale-admins", 1)] {
        assert_eq!(told["groups"][format!("group:{name}")], count, "{told}");
        assert!(policy(&scene).contains(&format!("\"group:{name}\": [")));
    }
    assert!(policy(&scene).contains("\"group:headscale\": [\"visitor@\"]"));
}

#[test]
fn people_are_in_their_groups_also_after_a_restart_and_until_they_are_forgotten() {
    let mut scene = scene(Some(POLICY), "");
    let ada = Account::Admin;
    has_a_device(&scene, ada);
    scene.sign_in(ada);
    let meant = with(&[
        group(&scene, "admins", &[ada]),
        group(&scene, "headscale", &[ada]),
    ]);
    becomes(&scene, &meant);
    let state = scene.house().plan.files.join("people");
    let sealed = std::fs::read(&state).unwrap();
    for secret in [ada.subject(), "headscale-admins".to_owned()] {
        let found = sealed
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret}");
    }
    scene.stage.house.restart(&[]);
    scene.stage.house.wait_for_log("serving");
    let told = asked(&scene, "POST");
    assert!(
        told["outcome"] == "unchanged" && told["people"] == 1,
        "{told}"
    );
    // Without it nobody is known, and with one that is not ours nobody is sure of that.
    scene.stage.house.signal("TERM");
    scene.stage.house.wait();
    std::fs::write(&state, "something else").unwrap();
    scene.stage.house.restart(&[]);
    scene.stage.house.wait_for_log("serving");
    let told = asked(&scene, "POST");
    assert_eq!(told["failure"]["kind"], "state", "{told}");
    assert_eq!(policy(&scene), meant);
    std::fs::remove_file(&state).unwrap();
    asked(&scene, "POST");
    assert_eq!(
        policy(&scene),
        with(&[
            group(&scene, "admins", &[]),
            group(&scene, "headscale", &[])
        ])
    );
}
