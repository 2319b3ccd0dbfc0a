//! The project's files, and tools that are run on them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A path of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the project.
pub(crate) fn text(path: &str) -> String {
    let path = project(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML text.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let documents = yaml.split("\n---\n").filter(|text| !text.trim().is_empty());
    documents
        .map(|text| {
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
        })
        .collect()
}

/// A list in a YAML tree; nothing is an empty one.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text in a YAML tree.
pub(crate) fn word(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

/// Everything that a command said.
pub(crate) fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

/// Runs a command that has to succeed, and returns what it said.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; see tests/setup.sh"));
    let said = said(&output);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}",
        output.status
    );
    said
}

/// What `headwarden check` says of a configuration, where its secrets are files of its owner.
pub(crate) fn check(config: &str, environment: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, config).unwrap();
    for name in ["headscale_client_secret", "oidc_client_secret"] {
        let secret = directory.path().join(name);
        std::fs::write(&secret, format!("0123456789abcdef-{name}\n")).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o400)).unwrap();
    }
    Command::new(env!("CARGO_BIN_EXE_headwarden"))
        .args(["check", "--config"])
        .arg(&path)
        .env_clear()
        .env("CREDENTIALS_DIRECTORY", directory.path())
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// A configuration that `headwarden check` must accept.
pub(crate) fn accepted(name: &str, config: &str, environment: &[(&str, &str)]) {
    let output = check(config, environment);
    assert!(output.status.success(), "{name}: {}", said(&output));
}

/// That an image names one version, and none that moves.
pub(crate) fn pinned(image: &str) {
    let (_, version) = image
        .rsplit_once(':')
        .unwrap_or_else(|| panic!("{image} names no version"));
    assert!(
        version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.')
            || image.contains("@sha256:"),
        "{image} is no version that stays"
    );
}
