//! SIGHUP at any time, in any number; and files that change while others are read.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::faulty_provider::Person as Account;
use crate::ground::{BY_SIGNAL, Ground};
use crate::stage::Faulty;
use crate::support::house::{House, More, Plan};

#[test]
fn a_hundred_signals_end_with_the_last_files_state() {
    let ground = Ground::start(&More::default(), BY_SIGNAL);
    let member = ground.sign_in(Account::Member);
    let other = ground.with("allowed_groups: [/headscale]", "allowed_groups: [nobody]");
    for number in 0..100 {
        ground.write(if number % 2 == 0 {
            &ground.text
        } else {
            &other
        });
        ground.house().signal("HUP");
    }
    ground.wait("the last file", || {
        ground.get("/windows", &[&member]) == 403
    });
    ground.wait("the last file's name", || {
        ground.status()["config"]["same_as_files"] == true
    });
    ground.change_to(&ground.text);
    // One of the hundred may still have been under way, and be the one that was waited for.
    ground.wait("the file after that", || {
        ground.get("/windows", &[&member]) == 200
    });
}

#[test]
fn a_file_that_goes_on_changing_is_taken_over_as_it_ends() {
    let ground = Ground::start(&More::default(), "");
    let member = ground.sign_in(Account::Member);
    for round in 0..200 {
        let groups = format!("allowed_groups: [headscale, round-{round}]");
        ground.write(&ground.with("allowed_groups: [/headscale]", &groups));
        if round % 50 == 0 {
            ground.house().signal("HUP");
        }
    }
    let last = ground.with("allowed_groups: [/headscale]", "allowed_groups: [the-last]");
    ground.write(&last);
    ground.wait("the last file", || {
        ground.get("/windows", &[&member]) == 403
    });
    // What counts is told once it counts.
    ground.wait("the last file's name", || {
        ground.status()["config"]["same_as_files"] == true
    });
}

#[test]
fn a_file_behind_links_that_are_swapped_is_seen_as_kubernetes_swaps_them() {
    let ground = Ground::start(&More::default(), "");
    let member = ground.sign_in(Account::Member);
    let versions = [
        ground.text.clone(),
        ground.with("allowed_groups: [/headscale]", "allowed_groups: [nobody]"),
    ];
    for (number, text) in versions.iter().enumerate() {
        let directory = ground.file(&format!("..{number}"));
        std::fs::create_dir(&directory).expect("ours");
        std::fs::write(directory.join("config.yaml"), text).expect("ours");
    }
    let (data, path) = (ground.file("..data"), ground.file("config.yaml"));
    symlink("..0", &data).expect("ours");
    std::fs::remove_file(&path).expect("ours");
    symlink("..data/config.yaml", &path).expect("ours");
    for (number, status) in [(1, 403), (0, 200)] {
        symlink(format!("..{number}"), ground.file("..new")).expect("ours");
        std::fs::rename(ground.file("..new"), &data).expect("ours");
        ground.wait("the other version", || {
            ground.get("/windows", &[&member]) == status
        });
    }
}

#[test]
fn a_secret_that_changes_is_read_again_by_itself() {
    let ground = Ground::start(&More::default(), "");
    let path = ground.file("client_secret");
    std::fs::write(&path, "another-secret-0123456789abcdef").expect("ours");
    ground.wait_for_reloads(1);
    let last = ground.last_reload();
    assert_eq!(
        last["changed"],
        serde_json::json!(["oidc.client_secret_path"]),
        "{last}"
    );
    ground.stage.is_at_the_provider(Account::Member);
    let page = crate::support::person::Person::new().open(&ground.house().url("/windows"));
    assert_ne!(page.status(), 200, "the provider knows another secret");
    std::fs::write(&path, crate::support::house::CLIENT_SECRET).expect("ours");
    ground.wait_for_reloads(2);
    ground.sign_in(Account::Member);
}

#[test]
fn a_signal_before_the_house_is_ready_ends_nothing() {
    let faulty = Faulty::start();
    let nobody = crate::support::house::free_addresses::<1>()[0];
    let config = |plan: &crate::support::house::Plan| {
        let elsewhere = format!("http://{nobody}");
        plan.config("http://127.0.0.1:9", &elsewhere, &More::default())
    };
    let mut house = House::launch(config, &[]);
    house.wait_for_log("waiting for the provider");
    house.signal("HUP");
    house.wait_for_log("configuration read again");
    let url = faulty.provider.issuer();
    drop(url);
    house.signal("TERM");
    assert_eq!(house.wait().code(), Some(0), "{}", house.log());
}

#[test]
fn the_service_manager_hears_when_a_reload_begins_and_when_it_is_over() {
    let files = tempfile::tempdir().expect("a directory");
    let path = files.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    let patience = Some(Duration::from_mins(1));
    manager.set_read_timeout(patience).expect("it is open");
    let hears = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).expect("it is told in time");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let more = More {
        waits_for_provider: false,
        ..More::default()
    };
    let nowhere = "http://127.0.0.1:9";
    let config = |plan: &Plan| format!("{}{BY_SIGNAL}", plan.config(nowhere, nowhere, &more));
    let house = House::launch_in(config, &[], |_, command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_eq!(hears(), "READY=1");
    // Taken over or not: it is over.
    for broken in [false, true] {
        if broken {
            std::fs::write(house.plan.files.join("config.yaml"), "open: [").expect("ours");
        }
        house.signal("HUP");
        let begun = hears();
        let since = begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let since = since.and_then(|since| since.parse::<u64>().ok());
        assert!(since.is_some(), "{begun}");
        assert_eq!(hears(), "READY=1");
    }
}
