//! The systemd units, by systemd's own verifiers.

use std::path::Path;
use std::process::Command;

use crate::files::{project, said, succeed, text};

const SERVICE: &str = "deploy/systemd/headwarden.service";
const SOCKET: &str = "deploy/systemd/headwarden.socket";

/// The values of a key, in the order of the file; the last one counts for most keys.
pub(crate) fn values(unit: &str, key: &str) -> Vec<String> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value.to_owned())
        .collect()
}

fn seconds(unit: &str, key: &str) -> u64 {
    let value = values(unit, key)
        .pop()
        .unwrap_or_else(|| panic!("no {key}"));
    value.strip_suffix('s').unwrap().parse().unwrap()
}

/// The units in a directory of their own, with the binary that was built in the place of the one that is installed.
fn installed(directory: &Path) -> [String; 2] {
    [SERVICE, SOCKET].map(|unit| {
        let binary = env!("CARGO_BIN_EXE_headwarden");
        let text = text(unit).replace("=headwarden ", &format!("={binary} "));
        let path = directory.join(Path::new(unit).file_name().unwrap());
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let directory = tempfile::tempdir().unwrap();
    let verify = || {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no", "--recursive-errors=no"]);
        command.args(installed(directory.path()));
        command
    };
    assert_eq!(succeed(&mut verify()), "");
}

#[test]
fn a_compromised_service_could_do_little() {
    let security = |threshold: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager", threshold]);
        command.arg(project(SERVICE));
        command
    };
    // In tenths: what a proxy cannot do without (the network, low ports, Unix sockets) makes most of it.
    succeed(&mut security("--threshold=15"));
    let stricter = security("--threshold=13").output().unwrap();
    assert!(
        !stricter.status.success(),
        "better than the test says:\n{}",
        said(&stricter)
    );
}

#[test]
fn systemd_waits_longer_than_headwarden_does() {
    let unit = text(SERVICE);
    let defaults = text("docs/configuration.md");
    let default = |key: &str| -> u64 {
        let row = defaults
            .lines()
            .find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("{key} is not documented"));
        let value = row.split('|').nth(2).unwrap().trim().trim_matches('`');
        value
            .strip_suffix('s')
            .unwrap_or_else(|| panic!("{key}: {value}"))
            .parse()
            .unwrap()
    };
    assert!(seconds(&unit, "TimeoutStartSec") > default("oidc.start_timeout"));
    assert!(
        seconds(&unit, "TimeoutStopSec") > default("shutdown.grace") + default("shutdown.lead")
    );
    // Ten seconds hold five starts of systemd's default limit: a provider that is away must not use them up.
    assert!(seconds(&unit, "RestartSec") * 5 > 10);
}

#[test]
fn only_what_does_not_get_better_by_itself_is_not_tried_again() {
    let codes = values(&text(SERVICE), "RestartPreventExitStatus")
        .pop()
        .unwrap();
    let documented = text("docs/deployment.md");
    for code in codes.split(' ') {
        assert!(
            documented.contains(&format!("\n| {code} |")),
            "exit code {code} is not documented"
        );
    }
    assert_eq!(codes, "2 6");
}

#[test]
fn every_credential_is_one_that_the_examples_read() {
    let names: Vec<String> = values(&text(SERVICE), "LoadCredential")
        .iter()
        .map(|credential| {
            let (name, path) = credential.split_once(':').unwrap();
            assert_eq!(path, format!("/etc/headwarden/secrets/{name}"));
            name.to_owned()
        })
        .collect();
    let examples = [
        "config/full.yaml",
        "config/minimal.yaml",
        "deploy/debian/config.yaml",
    ]
    .map(text)
    .concat();
    let mut read: Vec<&str> = examples
        .split("${CREDENTIALS_DIRECTORY}/")
        .skip(1)
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next()
                .unwrap()
        })
        .collect();
    read.sort_unstable();
    read.dedup();
    // One whose file is not there is empty.
    let empty: Vec<String> = names.iter().map(|name| format!("{name}:\\n")).collect();
    assert_eq!(values(&text(SERVICE), "SetCredential"), empty);
    let mut names = names;
    names.sort_unstable();
    assert_eq!(names, read);
}

#[test]
fn the_sockets_are_the_public_listeners_of_the_configuration_that_is_installed() {
    let example = text("deploy/debian/config.yaml");
    let (listen, _) = example.split_once("\nadmin:").unwrap();
    let addresses: Vec<&str> = listen
        .lines()
        .filter_map(|line| line.strip_prefix("  - address: \"")?.split('"').next())
        .collect();
    assert_eq!(values(&text(SOCKET), "ListenStream"), addresses);
}
