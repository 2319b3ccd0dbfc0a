//! A file that cannot be used changes nothing, and the operator hears why: in the log, in the metrics, and
//! when they ask.

use std::os::unix::fs::symlink;

use crate::faulty_provider::Person as Account;
use crate::ground::{BY_SIGNAL, Ground};
use crate::support::house::{HEADSCALE_SECRET, More};

#[test]
fn a_bad_file_changes_nothing_and_is_told_in_log_metric_and_status() {
    let ground = Ground::start(&More::default(), BY_SIGNAL);
    let member = ground.sign_in(Account::Member);
    let path = ground.file("config.yaml");
    let good = ground.text.clone();
    let everybody = good.replace("allowed_groups: [/headscale]", "allow_everyone: true");
    let rows: &[(&str, &str, &dyn Fn())] = &[
        ("broken YAML", "not valid YAML", &|| {
            ground.write(&format!("{everybody}open: ["));
        }),
        ("an unknown key", "there is no such key", &|| {
            ground.write(&format!("{everybody}opne: []\n"));
        }),
        ("nothing", "server_url", &|| ground.write("")),
        ("the first half", "", &|| {
            ground.write(&good[..good.len() / 2]);
        }),
        ("not text", "cannot be read", &|| {
            std::fs::write(&path, [everybody.as_bytes(), b"#\xff"].concat()).expect("ours");
        }),
        ("more than anybody writes", "larger than 1 MiB", &|| {
            ground.write(&format!("{everybody}#{}\n", "x".repeat(1 << 20)));
        }),
        ("a directory", "not a regular file", &|| {
            std::fs::remove_file(&path).expect("ours");
            std::fs::create_dir(&path).expect("ours");
        }),
        ("no file", "No such file", &|| {
            std::fs::remove_dir(&path).expect("ours");
        }),
        ("a link to nowhere", "No such file", &|| {
            symlink("/nowhere", &path).expect("ours");
        }),
        ("a contradiction", "session.idle_timeout", &|| {
            std::fs::remove_file(&path).expect("ours");
            ground.write(&format!(
                "{everybody}session: {{ idle_timeout: 2h, lifetime: 1h }}\n"
            ));
        }),
        (
            "a certificate store that is none",
            "no certificate in",
            &|| {
                std::fs::write(ground.file("ca.pem"), "no certificate").expect("ours");
                let files = ground.file("ca.pem").display().to_string();
                ground
                    .write(&everybody.replace("oidc:\n", &format!("oidc:\n  ca_path: {files}\n")));
            },
        ),
        ("a secret's file gone", "client_secret_path", &|| {
            ground.write(&everybody);
            std::fs::remove_file(ground.file("client_secret")).expect("ours");
        }),
    ];
    for (number, (what, told, make_bad)) in (1_u64..).zip(rows) {
        make_bad();
        assert!(!ground.hang_up(), "{what}: {}", ground.status());
        let problems = ground.last_reload()["problems"].to_string();
        assert!(problems.contains(told), "{what}: {problems}");
        assert!(!problems.contains(HEADSCALE_SECRET), "{what}: {problems}");
        let log = ground.house().log();
        let lines = log
            .lines()
            .filter(|line| line.contains("ERROR headwarden::app::reload"));
        let lines: Vec<&str> = lines.collect();
        assert!(
            lines.iter().any(|line| line.contains(told)),
            "{what}: {lines:#?}"
        );
        assert!(
            log.contains("cannot be taken over, and nothing has changed"),
            "{what}"
        );
        assert_eq!(
            ground.metric("headwarden_config_reload_failures_total"),
            number,
            "{what}"
        );
        assert_eq!(
            ground.metric("headwarden_config_last_reload_successful"),
            0,
            "{what}"
        );
        // Nobody else came in, and nobody was put out.
        assert_eq!(ground.get("/windows", &[&member]), 200, "{what}");
        ground.stage.is_at_the_provider(Account::Outsider);
        let mut outsider = crate::support::person::Person::new();
        let page = outsider.open(&ground.house().url("/windows"));
        assert_eq!(page.status(), 403, "{what}: {}", page.text());
    }
    std::fs::write(
        ground.file("client_secret"),
        crate::support::house::CLIENT_SECRET,
    )
    .expect("ours");
    ground.change_to(&everybody);
    assert_eq!(ground.metric("headwarden_config_last_reload_successful"), 1);
    ground.sign_in(Account::Outsider);
}

#[test]
fn what_is_written_in_pieces_is_taken_over_once_it_is_whole() {
    let ground = Ground::start(&More::default(), "");
    let member = ground.sign_in(Account::Member);
    let stricter = ground.with("allowed_groups: [/headscale]", "allowed_groups: [nobody]");
    let path = ground.file("config.yaml");
    // Truncated, and left so: that is a bad file, and is told.
    std::fs::write(&path, "").expect("ours");
    ground.wait_for_reloads(1);
    assert_eq!(ground.last_reload()["taken_over"], false);
    assert_eq!(ground.last_reload()["by"], "file");
    assert_eq!(ground.get("/windows", &[&member]), 200);
    std::fs::write(&path, &stricter).expect("ours");
    ground.wait("the whole file", || {
        ground.last_reload()["taken_over"] == true
    });
    assert_eq!(ground.get("/windows", &[&member]), 403);
}

#[test]
fn what_looks_cut_off_is_taken_over_by_a_signal_and_not_by_itself() {
    let mut ground = Ground::start(
        &More::default(),
        "access: [{ path: /a/**, groups: [admins] }]\n",
    );
    let member = ground.sign_in(Account::Member);
    let whole = ground.text.clone();
    let (cut, _) = whole.split_once("access:").expect("it is there");
    ground.write(cut);
    ground.stage.house.wait_for_log("as if it had been cut off");
    assert_eq!(ground.last_reload()["taken_over"], false);
    assert_eq!(ground.get("/a/x", &[&member]), 403);
    assert!(ground.hang_up(), "{}", ground.status());
    assert_ne!(ground.get("/a/x", &[&member]), 403);
}
