//! The examples in `config/` load, and `docs/configuration.md` names every key there is, no other.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
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
    assert_eq!(settings.access.len(), 3);
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
fn the_configuration_that_benchmarks_write_loads_and_warns_of_plain_http_only() {
    let script = text("benches/rig/headwarden.py");
    let (_, rest) = script.split_once("CONFIG = \"\"\"\\\n").unwrap();
    let mut config = rest.split_once("\"\"\"").unwrap().0.to_owned();
    for (field, value) in [
        ("origin", "http://127.0.0.1:8000"),
        ("host", "127.0.0.1"),
        ("port", "8000"),
        ("admin", "9181"),
        ("workers", "1"),
        ("keys", "/var/lib/headwarden/keys.json"),
        ("headscale", "http://127.0.0.1:8080"),
        ("upstream", "http://127.0.0.1:8081"),
        ("issuer", "http://127.0.0.1:9000/application/o/headscale/"),
        ("client", "headwarden"),
        ("secret", "0123456789abcdef"),
        ("identity", "remote"),
        ("grace", "10s"),
    ] {
        config = config.replace(&format!("{{{field}}}"), value);
    }
    // Where a benchmark adds lines.
    for place in ["{listen}", "{oidc}", "{access}", "{top}"] {
        config = config.replace(place, "");
    }
    let config = config.replace("{{", "{").replace("}}", "}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, config).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let settings = load(path.to_str().unwrap(), &[]);
    assert_eq!(settings.access.len(), 1);
    let [warning] = &settings.warnings[..] else {
        panic!("{:?}", settings.warnings)
    };
    assert!(warning.starts_with("server_url: plain http"), "{warning}");
}

#[test]
fn every_file_in_config_is_an_example_that_is_tested() {
    let mut names: Vec<String> = std::fs::read_dir(root().join("config"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let schema = "headwarden.schema.json";
    assert_eq!(
        names,
        ["development.yaml", "full.yaml", schema, "minimal.yaml"]
    );
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
        serde_json::Value::Object(map)
            if !["oidc.extra_params", "access[].claims"].contains(&path) =>
        {
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
        excluded, 12,
        "client_secret twice, api_key, password, sentinel_name, snapshot_path, state_path, eab_hmac_key, headers_path, ca_path and a pair"
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

/// Made anew by `cargo run --example config_reference`.
#[test]
fn the_schema_and_the_tables_say_what_the_keys_do() {
    assert_eq!(text("config/headwarden.schema.json"), config::schema());
    let document = text("docs/configuration.md");
    assert_eq!(document, config::with_tables(&document));
}

/// Whether a validator that is not ours takes this configuration.
fn fits_the_schema(yaml: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let instance = directory.path().join("instance.json");
    let value: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
    std::fs::write(&instance, value.to_string()).unwrap();
    let schema = root().join("config/headwarden.schema.json");
    let told = std::process::Command::new("jsonschema")
        .arg("-i")
        .args([&instance, &schema])
        .output()
        .unwrap_or_else(|why| panic!("jsonschema: {why}; run tests/setup.sh first"));
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        !said.contains("Traceback") && !said.contains("schema is"),
        "{said}"
    );
    told.status.success()
}

#[test]
fn every_example_fits_the_schema_and_what_is_no_configuration_does_not() {
    for example in ["minimal.yaml", "development.yaml", "full.yaml"] {
        assert!(
            fits_the_schema(&text(&format!("config/{example}"))),
            "{example}"
        );
    }
    let compose = text("deploy/compose/headwarden/config.yaml");
    assert!(fits_the_schema(&compose), "{compose}");
    for (yaml, fits) in [
        ("oidc:\nlisten:\n- address:\n", true),
        ("oidc: { client_id: x, extra_params: { a: b } }", true),
        ("oidc: { clientid: x }", false),
        ("oidc: { extra_params: { a: 1 } }", false),
        ("listen: { address: \"127.0.0.1:80\" }", false),
        ("listen: [{ adress: \"127.0.0.1:80\" }]", false),
        ("headscale: { sign_in: proxy }", false),
        ("workers: many", false),
        ("workers: -1", false),
        ("admin: { enabled: \"yes\" }", false),
        ("session: { idle_timeout: 8 }", false),
        ("session: { idle_timeout: 8h 30m }", true),
        ("session: { idle_timeout: soon }", false),
        ("open: [1]", false),
    ] {
        assert_eq!(fits_the_schema(yaml), fits, "{yaml}");
    }
}

/// Whose configurations the guides show. Each block says so in its first line.
const OF: [&str; 2] = ["# Headwarden", "# Headplane"];

/// Every YAML block of a document, without the blanks it is indented by.
fn yaml_blocks(document: &str) -> Vec<String> {
    let (mut blocks, mut block) = (Vec::new(), None::<(usize, String)>);
    for line in document.lines() {
        match (&mut block, line.trim_start()) {
            (None, "```yaml") => block = Some((line.len() - "```yaml".len(), String::new())),
            (Some(_), "```") => blocks.extend(block.take().map(|(_, text)| text)),
            (Some((indent, text)), _) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

/// `over` written over `under`, key by key.
fn merged(under: &mut serde_json::Value, over: serde_json::Value) {
    match (under, over) {
        (serde_json::Value::Object(under), serde_json::Value::Object(over)) => {
            for (key, value) in over {
                merged(under.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

#[test]
fn every_configuration_in_the_guides_passes_the_check_on_top_of_the_minimal_one() {
    let mut guides = 0;
    for guide in std::fs::read_dir(root().join("docs/guides")).unwrap() {
        let path = guide.unwrap().path();
        guides += 1;
        let mut tried = 0;
        for block in yaml_blocks(&std::fs::read_to_string(&path).unwrap()) {
            let whose = block.lines().next().unwrap_or_default();
            assert!(OF.contains(&whose), "{}: {block}", path.display());
            if whose != OF[0] {
                continue;
            }
            tried += 1;
            // A file that can be replaced, which no credential of systemd's is.
            let directory = tempfile::tempdir().unwrap();
            let there = directory.path().display();
            let key = directory.path().join("headscale_api_key");
            std::fs::write(&key, "0123456789abcdef\n").unwrap();
            std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
            let block = block.replace("/var/lib/headwarden/", &format!("{there}/"));
            let mut whole: serde_json::Value =
                serde_saphyr::from_str(&text("config/minimal.yaml")).unwrap();
            merged(&mut whole, serde_saphyr::from_str(&block).unwrap());
            if whole["headscale"]["sign_in"] != "issuer" {
                whole["headscale"]["issuer"] = serde_json::Value::Null;
            }
            let file = directory.path().join("config.yaml");
            std::fs::write(&file, whole.to_string()).unwrap();
            let settings = load(file.to_str().unwrap(), &[]);
            assert_eq!(
                settings.warnings,
                Vec::<String>::new(),
                "{}: {block}",
                path.display()
            );
        }
        assert!(tried > 0, "{} shows none", path.display());
    }
    assert_eq!(guides, 9);
}
