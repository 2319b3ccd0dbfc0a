//! What cannot change while the process runs is said by its name, and the rest of the file counts.

use crate::faulty_provider::Person as Account;
use crate::ground::{BY_SIGNAL, Ground};
use crate::stage::Faulty;
use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More};

#[test]
fn what_waits_for_a_restart_is_said_by_name_and_the_rest_is_taken_over() {
    let top = format!("workers: 2\n{BY_SIGNAL}");
    let mut ground = Ground::start(&More::default(), &top);
    let member = ground.sign_in(Account::Member);
    let address = format!("listen:\n  - address: \"{}\"", ground.house().plan.public);
    let elsewhere = crate::support::house::free_addresses::<1>()[0];
    let moved = format!("listen:\n  - address: \"{elsewhere}\"");
    let text = ground
        .with(&address, &moved)
        .replace("workers: 2", "workers: 3")
        .replace("client_id: headwarden", "client_id: other")
        .replace("allowed_groups: [/headscale]", "allowed_groups: [nobody]");
    ground.change_to(&text);
    let line = ground
        .stage
        .house
        .wait_for_log("count from the next start on");
    for key in ["listen", "workers", "oidc.client_id"] {
        assert!(line.contains(key), "{line}");
        let waiting = &ground.status()["config"]["waiting_for_restart"];
        assert!(
            waiting.as_array().expect("a list").contains(&key.into()),
            "{waiting}"
        );
    }
    assert_eq!(
        ground.get("/windows", &[&member]),
        403,
        "the new rules, at the old address"
    );
    // Said once.
    let again = text.replace("allowed_groups: [nobody]", "allowed_groups: [headscale]");
    ground.change_to(&again);
    assert_eq!(ground.get("/windows", &[&member]), 200);
    let said = ground
        .house()
        .log()
        .matches("count from the next start on")
        .count();
    assert_eq!(said, 1);
    // And after the restart it counts.
    ground.stage.house.restart(&[]);
    ground.stage.house.wait_for_log("serving");
    assert!(std::net::TcpStream::connect(elsewhere).is_ok());
}

#[test]
fn a_file_that_is_good_alone_and_not_beside_what_has_to_stay_is_refused_whole() {
    let top =
        format!("{BY_SIGNAL}access: [{{ path: /ui/**, upstream: \"http://127.0.0.1:9\" }}]\n");
    let ground = Ground::start(&More::default(), &top);
    let member = ground.sign_in(Account::Member);
    let admin = ground.house().plan.admin.to_string();
    let elsewhere = crate::support::house::free_addresses::<1>()[0];
    let loops = ground
        .with(
            &format!("address: \"{admin}\" }}"),
            &format!("address: \"{elsewhere}\" }}"),
        )
        .replace("http://127.0.0.1:9\"", &format!("http://{admin}\""))
        .replace("allowed_groups: [/headscale]", "allowed_groups: [nobody]");
    ground.write(&loops);
    assert!(!ground.hang_up());
    let problems = ground.last_reload()["problems"].to_string();
    assert!(problems.contains("access[0].upstream"), "{problems}");
    assert!(problems.contains("restart headwarden"), "{problems}");
    assert_eq!(
        ground.get("/windows", &[&member]),
        200,
        "not a part of it counts"
    );
}

#[test]
fn the_rules_for_another_provider_admit_nobody_of_the_old_one() {
    let ground = Ground::start(&More::default(), BY_SIGNAL);
    let issuer = ground.stage.faulty.provider.issuer();
    let text = ground
        .with(
            &format!("issuer: \"{issuer}\""),
            "issuer: \"https://id.elsewhere.example/\"",
        )
        .replace("allowed_groups: [/headscale]", "allow_everyone: true");
    ground.change_to(&text);
    let waiting = ground.status()["config"]["waiting_for_restart"].to_string();
    for key in ["oidc.issuer", "oidc.allowed_groups", "oidc.allow_everyone"] {
        assert!(waiting.contains(&format!("\"{key}\"")), "{waiting}");
    }
    ground.stage.is_at_the_provider(Account::Outsider);
    let page = crate::support::person::Person::new().open(&ground.house().url("/windows"));
    assert_eq!(page.status(), 403, "{}", page.text());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the stand-in's keys end by the real clock"
)]
fn tomorrow() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.expect("it is later than 1970").as_secs() + 86_400;
    i64::try_from(seconds).expect("a time")
}

#[test]
fn a_key_that_was_renewed_keeps_no_rules_from_being_taken_over_while_something_waits() {
    const KEY: &str = "hskey-api-AbCdEfGhIjKl-0123456789012345678901234567890123456789012345";
    let (faulty, headscale) = (
        Faulty::start(),
        HeadscaleStandin::start(Options {
            api_key: "hskey-api-another".to_owned(),
            ..Options::default()
        }),
    );
    headscale.add_api_key(KEY, Some(tomorrow()));
    let (url, issuer) = (headscale.url(), faulty.provider.issuer());
    let mut house = House::start(|plan| {
        let path = plan.files.join("api_key");
        std::fs::write(&path, KEY).expect("the directory is ours");
        let rotate = format!(
            "  api_key_path: {}\n  api_key_rotate: {{ enabled: true }}\n",
            path.display()
        );
        let more = More {
            headscale: rotate.leak(),
            top: BY_SIGNAL,
            ..More::default()
        };
        plan.config(&url, &issuer, &more)
    });
    house.wait_for_log("the API key is renewed");
    let path = house.plan.files.join("config.yaml");
    let text = std::fs::read_to_string(&path).expect("ours");
    let text = text
        .replace(&url, "http://127.0.0.1:9")
        .replace("callbacks_per_minute: 1000000", "callbacks_per_minute: 10");
    std::fs::write(&path, text).expect("ours");
    house.signal("HUP");
    let line = house.wait_for_log("configuration taken over");
    assert!(
        line.contains("limits.callbacks_per_minute") && !line.contains("api_key"),
        "{line}"
    );
    let line = house.wait_for_log("count from the next start on");
    assert!(line.contains("headscale.url"), "{line}");
    // What somebody else puts there may be meant for the other Headscale.
    let key = house.plan.files.join("api_key");
    std::fs::write(&key, "hskey-api-0123456789ab-of-another").expect("ours");
    house.signal("HUP");
    house.wait_for_log("belongs to headscale.url, which waits for a restart");
}
