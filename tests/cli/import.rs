//! `headwarden import`, as it is called. What each key becomes is tested beside the code.

use crate::desk::Desk;

const HEADSCALE: &str = "\
server_url: https://hs.company
listen_addr: 0.0.0.0:8080
trusted_proxies: [10.0.0.0/8]
oidc:
  issuer: https://id.company/
  client_id: hs
  client_secret: canary-secret
  allowed_groups: [staff]
  misspelt: canary
";

#[test]
fn what_is_printed_is_a_configuration_and_the_rest_goes_elsewhere() {
    let desk = Desk::new("");
    desk.write("headscale.yaml", HEADSCALE);
    let ran = desk.run(&["import", "headscale.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.out.contains("canary") && !ran.err.contains("canary"));
    for part in [
        "listen_addr: \"127.0.0.1:8081\"",
        "to do    oidc.client_secret: stands in headscale's file",
        "unknown  oidc.misspelt: ",
    ] {
        assert!(ran.err.contains(part), "{part}\n{}", ran.err);
    }
    // The way of the README: into a file, the secret beside, and then it is good.
    let out = desk.run(&["import", "headscale.yaml", "--out", "made.yaml"]);
    assert_eq!(out.code, 0, "{}", out.err);
    assert!(out.out.starts_with("made.yaml is written\n"), "{}", out.out);
    assert!(out.out.contains("listen_addr: \"127.0.0.1:8081\""));
    let made = std::fs::read_to_string(desk.path("made.yaml")).unwrap();
    assert_eq!(made.trim_end(), ran.out.trim_end());
    desk.write("oidc_client_secret", "0123456789abcdef");
    let made = made.replace(
        "${CREDENTIALS_DIRECTORY}",
        desk.directory.path().to_str().unwrap(),
    );
    desk.write("config.yaml", &made);
    let checked = desk.run(&["check"]);
    assert_eq!(checked.out, "config.yaml is good\n", "{}", checked.err);
}

#[test]
fn a_file_that_is_there_is_not_written_over() {
    let desk = Desk::new("");
    desk.write("headscale.yaml", HEADSCALE);
    desk.write("made.yaml", "mine");
    let ran = desk.run(&["import", "headscale.yaml", "--out", "made.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("made.yaml cannot be written"),
        "{}",
        ran.err
    );
    assert_eq!(
        std::fs::read_to_string(desk.path("made.yaml")).unwrap(),
        "mine"
    );
}

#[test]
fn as_json_there_is_everything_and_what_check_would_say() {
    let desk = Desk::new("");
    desk.write(
        "headscale.yaml",
        &HEADSCALE.replace("[staff]", "[staff]\n  allowed_users: [ann]"),
    );
    let ran = desk.run(&["import", "headscale.yaml", "--json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let told = ran.json();
    assert!(told["config"].as_str().unwrap().contains("sign_in: own"));
    assert!(told["headscale"].as_str().unwrap().contains("listen_addr"));
    assert_eq!(told["problems"][0]["key"], "oidc.allowed_users[0]");
    let notes = told["notes"].as_array().unwrap();
    assert!(
        notes
            .iter()
            .any(|note| note["key"] == "oidc.misspelt" && note["what"] == "unknown")
    );
    assert!(!ran.out.contains("canary"));
}

#[test]
fn what_cannot_be_read_is_told() {
    let desk = Desk::new("");
    desk.write("other.yaml", "a: 1");
    for (file, part) in [
        ("nowhere.yaml", "cannot be read"),
        ("other.yaml", "server_url is missing"),
    ] {
        let ran = desk.run(&["import", file]);
        assert_eq!(ran.code, 2, "{file}");
        assert!(ran.err.contains(part), "{file}: {}", ran.err);
    }
}
