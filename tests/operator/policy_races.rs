//! The groups of the policy while others are at work: an administrator who writes in that moment, a Headscale
//! that refuses, a process that takes over, and an operator who switches it off.

use crate::faulty_provider::Person as Account;
use crate::policy::{POLICY, becomes, group, has_a_device, policy, puts, scene, with};
use crate::scene::Scene;
use crate::stage::request;
use crate::support::raw::Raw;

const THE_POLICY: &str = "/api/v1/policy";
const CHECK: &str = "/api/v1/policy/check";

/// How often Headscale was asked so.
fn asked_so(scene: &Scene, method: &str, path: &str) -> usize {
    let all = scene.stage.headscale.requests();
    let so = all
        .iter()
        .filter(|seen| seen.method == method && seen.path() == path);
    so.count()
}

/// Waits until Headscale is asked so once more than `before`.
fn is_asked(scene: &Scene, (method, path): (&str, &str), before: usize) {
    scene
        .house()
        .wait_until(path, || asked_so(scene, method, path) > before);
}

/// The configuration with something else in it; taken over when `told`.
fn reconfigure(scene: &Scene, from: &str, to: &str) {
    let path = scene.house().plan.files.join("config.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let other = config.replace(from, to);
    assert_ne!(other, config);
    std::fs::write(&path, other).unwrap();
}

/// Both groups with these members, in a policy that an administrator has changed.
fn meant(scene: &Scene, admins: &[Account], all: &[Account], until: &str) -> String {
    let groups = [
        group(scene, "admins", admins),
        group(scene, "headscale", all),
    ];
    with(&groups).replace("until May", until)
}

#[test]
fn what_an_administrator_writes_in_the_middle_of_ours_stays() {
    let scene = scene(Some(POLICY), "");
    let (ada, ben) = (Account::Admin, Account::Member);
    let headscale = &scene.stage.headscale;
    for account in [ada, ben] {
        has_a_device(&scene, account);
    }
    // Before it is written.
    let check = headscale.gate(CHECK);
    scene.sign_in(ada);
    is_asked(&scene, ("POST", CHECK), 0);
    headscale.set_policy(&POLICY.replace("until May", "until June"));
    drop(check);
    becomes(&scene, &meant(&scene, &[ada], &[ada], "until June"));
    // And before it is read again, with a copy from before.
    let check = headscale.gate(CHECK);
    let checks = asked_so(&scene, "POST", CHECK);
    scene.sign_in(ben);
    is_asked(&scene, ("POST", CHECK), checks);
    let mut held = check;
    for method in ["GET", "PUT", "GET"] {
        let before = asked_so(&scene, method, THE_POLICY);
        let next = headscale.gate(THE_POLICY);
        drop(std::mem::replace(&mut held, next));
        is_asked(&scene, (method, THE_POLICY), before);
    }
    assert_eq!(
        policy(&scene),
        meant(&scene, &[ada], &[ada, ben], "until June")
    );
    headscale.set_policy(&POLICY.replace("until May", "until July"));
    drop(held);
    becomes(&scene, &meant(&scene, &[ada], &[ada, ben], "until July"));
}

#[test]
fn what_headscale_refused_it_is_not_asked_again_before_something_is_different() {
    let mut scene = scene(Some(POLICY), "reload: { watch: false }\n");
    has_a_device(&scene, Account::Admin);
    scene.stage.headscale.configure(|options| {
        options.policy_faults = vec![("group:headscale".to_owned(), "a test failed".to_owned())];
    });
    scene.sign_in(Account::Admin);
    scene.stage.house.wait_for_log("kind=\"rejected\"");
    let checks = asked_so(&scene, "POST", CHECK);
    reconfigure(
        &scene,
        "callbacks_per_minute: 1000000",
        "callbacks_per_minute: 999999",
    );
    scene.stage.house.signal("HUP");
    let still = "the policy's groups still are not what they should be";
    scene.stage.house.wait_for_log(still);
    assert_eq!(asked_so(&scene, "POST", CHECK), checks);
    // Another policy is something else.
    let other = POLICY.replace("until May", "until June");
    scene.stage.headscale.set_policy(&other);
    reconfigure(
        &scene,
        "callbacks_per_minute: 999999",
        "callbacks_per_minute: 1000000",
    );
    scene.stage.house.signal("HUP");
    is_asked(&scene, ("POST", CHECK), checks);
    assert_eq!((policy(&scene), puts(&scene)), (other, 0));
}

#[test]
fn who_was_known_before_it_was_switched_off_is_not_when_it_is_on_again() {
    const GROUPS: &str = "  groups:\n    - { name: admins, from: [headscale-admins] }\n    - { from: [headscale] }\n";
    const NONE: &str = "  groups: []\n";
    let scene = scene(Some(POLICY), "reload: { watch: false }\n");
    let ada = Account::Admin;
    has_a_device(&scene, ada);
    scene.sign_in(ada);
    becomes(&scene, &meant(&scene, &[ada], &[ada], "until May"));
    let people = scene.house().plan.files.join("people");
    let before = std::fs::read(&people).unwrap();
    reconfigure(&scene, GROUPS, NONE);
    scene.house().signal("HUP");
    let forgets = || std::fs::read(&people).is_ok_and(|now| now != before);
    scene
        .house()
        .wait_until("everybody to be forgotten", forgets);
    assert_eq!(policy(&scene), meant(&scene, &[ada], &[ada], "until May"));
    reconfigure(&scene, NONE, GROUPS);
    scene.house().signal("HUP");
    becomes(&scene, &meant(&scene, &[], &[], "until May"));
}

/// The process that took over; killed at the end.
struct Successor(String);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill")
            .args(["-s", "KILL", &self.0])
            .status();
    }
}

/// It hears of nobody any more, and would bring back whom the other process has taken out.
#[test]
fn a_process_that_was_replaced_while_it_wrote_writes_no_more() {
    let mut scene = scene(Some(POLICY), "reload: { watch: false }\n");
    has_a_device(&scene, Account::Admin);
    // The old process stays for as long as something of it is open.
    let open = scene.stage.headscale.gate("/key");
    let mut kept = Raw::connect(scene.house().plan.public).unwrap();
    kept.send(&request(scene.house(), "GET", "/key?v=106", &[]))
        .unwrap();
    let gate = scene.stage.headscale.gate(CHECK);
    scene.sign_in(Account::Admin);
    let headscale = &scene.stage.headscale;
    for path in ["/key", CHECK] {
        scene.stage.house.wait_until(path, || {
            headscale.requests().iter().any(|seen| seen.path() == path)
        });
    }
    // The one that takes over goes by other names.
    reconfigure(
        &scene,
        "{ from: [headscale] }",
        "{ name: all, from: [headscale] }",
    );
    scene.stage.house.signal("USR2");
    let line = scene.stage.house.wait_for_log("another process serves");
    let (_, pid) = line.split_once("pid=").expect("it is told");
    let _successor = Successor(pid.split(' ').next().unwrap_or_default().to_owned());
    let meant = with(&[
        group(&scene, "admins", &[Account::Admin]),
        group(&scene, "all", &[Account::Admin]),
    ]);
    becomes(&scene, &meant);
    let before = puts(&scene);
    drop(gate);
    scene
        .stage
        .house
        .wait_for_log("the process that took over writes the policy");
    assert_eq!((policy(&scene), puts(&scene)), (meant, before));
    drop(open);
    assert_eq!(kept.read_response("GET").unwrap().status(), 200);
}
