//! The examples in `config/` load, and `docs/configuration.md` names every key there is, no other.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use headwarden::config::{self, Environment, Settings};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// A directory as systemd makes one for the secrets of a service.
fn credentials() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "headscale_client_secret",
        "headscale_api_key",
        "oidc_client_secret",
        "redis_password",
        "acme_eab_secret",
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("0123456789abcdef-{name}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    }
    dir
}

fn load(example: &str, pairs: &[(&str, &str)]) -> Settings {
    let credentials = credentials();
    let directory = credentials.path().to_str().unwrap();
    let pairs = pairs
        .iter()
        .copied()
        .chain([("CREDENTIALS_DIRECTORY", directory)]);
    let path = root().join("config").join(example);
    config::load(&path, &Environment::from_pairs(pairs))
        .unwrap_or_else(|refusal| panic!("{example}:\n{refusal}"))
}

#[test]
fn the_minimal_example_loads_without_a_warning() {
    let settings = load("minimal.yaml", &[]);
    assert_eq!(settings.server_url.origin, "https://headscale.company");
    assert_eq!(settings.warnings, Vec::<String>::new());
}

/// The first YAML block of a document.
fn yaml_of(document: &str) -> String {
    let text = text(document);
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_readmes_configuration_is_the_minimal_example() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, yaml_of("README.md")).unwrap();
    // A path that is absolute stands for itself.
    let readme = load(path.to_str().unwrap(), &[]);
    let minimal = load("minimal.yaml", &[]);
    assert_eq!(readme.warnings, Vec::<String>::new());
    assert_eq!(format!("{readme:?}"), format!("{minimal:?}"));
}

#[test]
fn the_example_for_containers_loads_and_warns_of_its_private_network() {
    let environment = [
        ("HEADWARDEN_SERVER_URL", "https://headscale.company"),
        (
            "HEADWARDEN_OIDC_ISSUER",
            "https://authentik.company/application/o/headscale/",
        ),
    ];
    let settings = load("../deploy/compose/headwarden/config.yaml", &environment);
    let [warning] = &settings.warnings[..] else {
        panic!("{:?}", settings.warnings)
    };
    assert!(warning.starts_with("headscale.issuer.address"), "{warning}");
}

#[test]
fn the_full_example_loads_without_a_warning() {
    let settings = load("full.yaml", &[]);
    assert_eq!(settings.listen.len(), 4);
    assert_eq!(settings.access.len(), 2);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn the_development_example_needs_only_the_providers_secret() {
    let settings = load(
        "development.yaml",
        &[("HEADWARDEN_OIDC_CLIENT_SECRET", "0123456789abcdef")],
    );
    assert!(!settings.server_url.secure);
}

#[test]
fn every_file_in_config_is_an_example_that_is_tested() {
    let mut names: Vec<String> = std::fs::read_dir(root().join("config"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    assert_eq!(names, ["development.yaml", "full.yaml", "minimal.yaml"]);
}

/// The keys in the first column of the tables, as `docs/configuration.md` has them.
fn documented() -> BTreeSet<String> {
    let text = text("docs/configuration.md");
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let keys: Vec<String> = rows.map(|(key, _)| key.to_owned()).collect();
    let set: BTreeSet<String> = keys.iter().cloned().collect();
    assert_eq!(keys.len(), set.len(), "a key is documented twice");
    set
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let known: BTreeSet<String> = config::key_paths().map(str::to_owned).collect();
    assert!(known.len() > 60, "the table of keys is gone");
    assert_eq!(documented(), known);
}

/// The key paths of a YAML tree: those with a value that is no map of keys.
fn leaves(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) if path != "oidc.extra_params" => {
            for (key, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(value, &format!("{path}{dot}{key}"), found);
            }
        }
        serde_json::Value::Array(list) if list.iter().any(serde_json::Value::is_object) => {
            found.insert(path.to_owned());
            for value in list {
                leaves(value, &format!("{path}[]"), found);
            }
        }
        _ => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn the_full_example_holds_every_key_that_is_documented() {
    let text = text("config/full.yaml");
    // A line `# key: "…"` stands for a key that excludes one beside it.
    let excluded = text.matches(": \"…\"").count();
    assert_eq!(
        excluded, 9,
        "client_secret twice, api_key, password, sentinel_name, snapshot_path, eab_hmac_key and a pair"
    );
    let uncommented: Vec<String> = text
        .lines()
        .map(|line| {
            if line.contains(": \"…\"") {
                line.replace("# ", "")
            } else {
                line.into()
            }
        })
        .collect();
    let tree: serde_json::Value = serde_saphyr::from_str(&uncommented.join("\n")).unwrap();
    let mut found = BTreeSet::new();
    leaves(&tree, "", &mut found);
    assert_eq!(found, documented());
}
