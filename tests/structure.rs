//! The structure itself: who may import whom, and that what is documented exists.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which rooms a room may import; `lib.rs` draws the same map in words.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("pages", &["domain"]),
    ("config", &["domain"]),
    ("ops", &["domain"]),
    ("oidc", &["domain", "config", "ops"]),
    ("session", &["domain", "config", "ops"]),
    ("issuer", &["domain", "config", "ops"]),
    ("headscale", &["domain", "config", "ops"]),
    ("acme", &["domain", "config", "ops"]),
    (
        "proxy",
        &[
            "acme",
            "domain",
            "config",
            "ops",
            "oidc",
            "session",
            "issuer",
            "headscale",
            "pages",
        ],
    ),
    (
        "app",
        &[
            "acme",
            "domain",
            "config",
            "ops",
            "oidc",
            "session",
            "issuer",
            "headscale",
            "pages",
            "proxy",
        ],
    ),
    // The subcommands use what prints and parses, ask the rooms that decide (`explain`) or look at the
    // world (`doctor`), and leave serving to `app`.
    (
        "cli",
        &[
            "domain",
            "config",
            "ops",
            "oidc",
            "session",
            "issuer",
            "headscale",
            "proxy",
            "app",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// What only some files may touch: a word, those files (a room stands for all of its files), and why
/// the ones behind the first are there.
const KEPT_APART: &[(&str, &[&str])] = &[
    ("pingora::", &["proxy", "app.rs"]),
    (
        "reqwest::",
        // Spans go to a collector that no request waits for.
        &[
            "oidc/http.rs",
            "oidc/http",
            "headscale/http.rs",
            "ops/trace/export.rs",
            "acme/http.rs",
        ],
    ),
    ("use redis::", &["session/redis.rs", "session/redis"]),
    ("prometheus::", &["ops/metrics.rs", "ops/metrics"]),
    ("SystemTime::now", &["ops/clock.rs"]),
    ("SystemTime", &["ops/clock.rs"]),
    ("env::var", &["config/env.rs"]),
    // ring signs and makes keys with its own source of randomness only.
    (
        "ring::rand",
        &[
            "ops/entropy.rs",
            "issuer/jwt.rs",
            "issuer/keys.rs",
            "session/signing.rs",
        ],
    ),
    ("prost::", &["ops/trace/message.rs", "ops/trace/export.rs"]),
    ("tikv_jemallocator", &["main.rs"]),
    ("clap::", &["cli.rs", "cli"]),
    ("askama::", &["pages"]),
    ("serde_saphyr", &["config/yaml.rs"]),
    (
        "std::fs",
        &[
            "config/files.rs",
            "ops/audit/file.rs",
            "ops/metrics/process.rs",
            "session/keyfile.rs",
            "session/people/file.rs",
            "session/snapshot/file.rs",
            "session/journal/file.rs",
            "issuer/keys.rs",
            "app/socket.rs",
            // The key of Headscale's API, where it is renewed.
            "headscale/keyfile.rs",
            "acme/storage.rs",
            // The lock of the operator's socket goes from one process to the next.
            "app/succession.rs",
            "app/succession",
            // What `import` makes, where it was told to write it.
            "cli/files.rs",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_a(kind: &str, name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|found| found == kind)
}

/// Every file below `directory`, without what is built, installed or git's.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["target", "node_modules", ".git", ".development"].contains(&name) {
                found.extend(files(&path));
            }
        } else if name != ".git" {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file of `src`, as the rules look at it: no comments, no tests.
struct Source {
    /// Below `src`, with slashes.
    name: String,
    room: String,
    code: String,
}

impl Source {
    /// How many `super::` lead from here to the crate's root.
    fn depth(&self) -> usize {
        let path = self.name.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').count()
    }
}

/// Modules that exist for tests: their imports are nobody's business.
fn is_for_tests(name: &str) -> bool {
    let stem = name.trim_end_matches(".rs");
    stem.ends_with("tests")
        || name.contains("tests/")
        || [
            "session/testing.rs",
            "issuer/fixture.rs",
            "app/tls/testing.rs",
        ]
        .contains(&name)
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut sources = Vec::new();
    for path in files(&src) {
        let name = path
            .strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if !is_a("rs", &name) || is_for_tests(&name) {
            continue;
        }
        let text = read(&path);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code: Vec<&str> = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let room = name.split(['/', '.']).next().unwrap().to_owned();
        sources.push(Source {
            name,
            room,
            code: code.join("\n"),
        });
    }
    assert!(sources.len() > 80, "only {} files found", sources.len());
    sources
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The rooms that a file names, by `crate::room` or by enough `super::`.
fn imports(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        let rest = &source.code[at + "crate::".len()..];
        assert!(
            !rest.starts_with('{'),
            "{}: one `use crate::room` for each room",
            source.name
        );
        found.push(identifier(rest).to_owned());
    }
    let up = "super::".repeat(source.depth());
    for (at, _) in source.code.match_indices(&up) {
        let rest = source.code[at..].trim_start_matches("super::");
        found.push(identifier(rest).to_owned());
    }
    found
}

#[test]
fn arrows_between_the_rooms_point_one_way() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(allowed) = arrows.get(source.room.as_str()) else {
            panic!("{}: a room that nobody drew into the map", source.name)
        };
        for room in imports(&source) {
            if room == source.room || !arrows.contains_key(room.as_str()) {
                continue;
            }
            if allowed.contains(&room.as_str()) {
                seen.insert((source.room.clone(), room));
            } else {
                wrong.push(format!("{} imports {room}", source.name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    for arrow in [
        ("proxy", "pages"),
        ("app", "proxy"),
        ("issuer", "config"),
        ("cli", "app"),
    ] {
        let arrow = (arrow.0.to_owned(), arrow.1.to_owned());
        assert!(
            seen.contains(&arrow),
            "{arrow:?} was not found: is the scan broken?"
        );
    }
}

#[test]
fn the_rooms_are_those_of_the_library() {
    let lib = read(&root().join("src/lib.rs"));
    let declared: BTreeSet<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let drawn: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    let rest: BTreeSet<&str> = drawn.difference(&declared).copied().collect();
    assert_eq!(rest, BTreeSet::from(["lib", "main"]));
    assert!(declared.is_subset(&drawn), "{declared:?}");
}

#[test]
fn outside_worlds_are_touched_where_they_belong_and_nowhere_else() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (word, places) in KEPT_APART {
        let mut met = BTreeSet::new();
        for source in sources.iter().filter(|source| source.code.contains(word)) {
            let place = places.iter().find(|place| {
                let below = source.name.strip_prefix(**place);
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            match place {
                Some(place) => drop(met.insert(*place)),
                None => wrong.push(format!("{} names {word}", source.name)),
            }
        }
        assert!(
            met.contains(places[0]),
            "{word}: not in {}: is the scan broken?",
            places[0]
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_core_does_no_input_or_output() {
    for source in sources() {
        if ["domain", "pages"].contains(&source.room.as_str()) {
            for word in [
                "tokio",
                "std::fs",
                "std::io",
                "TcpStream",
                "tracing",
                "async ",
            ] {
                assert!(!source.code.contains(word), "{} names {word}", source.name);
            }
        }
    }
}

// ---- what is documented -----------------------------------------------------------------------

/// The text files of the project that people write.
fn texts() -> Vec<(String, String)> {
    const KINDS: &[&str] = &[
        "rs",
        "md",
        "toml",
        "yaml",
        "yml",
        "sh",
        "mjs",
        "html",
        "css",
        "service",
        "run",
        "Dockerfile",
        ".justfile",
        ".gitignore",
        ".dockerignore",
        ".editorconfig",
    ];
    let root = root();
    let texts: Vec<(String, String)> = files(&root)
        .iter()
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            KINDS.contains(&name.rsplit('.').next().unwrap()) || KINDS.contains(&name)
        })
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            (name.to_owned(), read(path))
        })
        .collect();
    assert!(texts.len() > 150, "only {} files found", texts.len());
    texts
}

fn markdown() -> Vec<(String, String)> {
    texts()
        .into_iter()
        .filter(|(name, _)| is_a("md", name))
        .collect()
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_headwarden"))
        .args(arguments)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The long flags in a help text or in a command line.
fn flags(text: &str) -> BTreeSet<String> {
    text.match_indices("--")
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '-'))
        .map(|(at, _)| {
            let rest = &text[at + 2..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            rest[..end.unwrap_or(rest.len())].to_owned()
        })
        .filter(|flag| !flag.is_empty())
        .collect()
}

/// The names under `Commands:` in a help text; none where there are no such.
fn subcommands(help: &str) -> Vec<String> {
    let Some((_, commands)) = help.split_once("Commands:") else {
        return Vec::new();
    };
    let commands = commands.split_once("\n\n").unwrap().0;
    commands
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .map(|line| identifier_with_hyphens(line).to_owned())
        .filter(|name| name != "help")
        .collect()
}

/// The flags of a subcommand, with those of its own subcommands.
fn flags_of(command: &[&str]) -> BTreeSet<String> {
    let help = help(command);
    let mut all = flags(&help);
    for name in subcommands(&help) {
        all.extend(flags_of(&[command, &[&name]].concat()));
    }
    all
}

/// Subcommands, each with its flags.
fn command_line() -> BTreeMap<String, BTreeSet<String>> {
    let names = subcommands(&help(&[]));
    assert!(!names.is_empty());
    let map: BTreeMap<_, _> = names
        .into_iter()
        .map(|name| (name.clone(), flags_of(&[&name])))
        .collect();
    assert!(
        map.len() >= 5 && map.values().all(|flags| flags.contains("config")),
        "{map:?}"
    );
    map
}

fn identifier_with_hyphens(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    &text[..end.unwrap_or(text.len())]
}

/// Command lines that call the program: in backticks, or a line of their own.
fn calls(text: &str) -> Vec<String> {
    let mut calls = Vec::new();
    for line in text.lines() {
        let line = line
            .trim()
            .trim_start_matches("$ ")
            .trim_start_matches("sudo ");
        if let Some(rest) = line.strip_prefix("headwarden ") {
            calls.push(rest.to_owned());
        }
        for rest in line.split("`headwarden ").skip(1) {
            calls.push(rest.split('`').next().unwrap().to_owned());
        }
        for start in ["bin/headwarden ", "run --rm headwarden ", "cargo run -- "] {
            for rest in line.split(start).skip(1) {
                calls.push(rest.split('`').next().unwrap().to_owned());
            }
        }
    }
    calls
}

#[test]
fn every_documented_subcommand_and_flag_exists_and_every_existing_one_is_documented() {
    let known = command_line();
    let mut met: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    for (name, text) in texts() {
        let is_document = is_a("md", &name) || name.starts_with("deploy/");
        if !is_document {
            continue;
        }
        for call in calls(&text) {
            let first = call.split_whitespace().find(|word| !word.starts_with('-'));
            let command = identifier_with_hyphens(first.unwrap_or_default());
            let Some(existing) = known.get(command) else {
                panic!("{name}: no such subcommand: headwarden {call}")
            };
            for flag in flags(&call) {
                assert!(
                    existing.contains(&flag),
                    "{name}: no such flag: headwarden {call}"
                );
                met.entry(command.to_owned()).or_default().insert(flag);
            }
            met.entry(command.to_owned()).or_default();
            count += 1;
        }
    }
    assert!(count > 10, "only {count} calls found: is the scan broken?");
    let everywhere = ["config", "help", "version"].map(str::to_owned);
    for (command, flags) in known {
        let Some(documented) = met.get(&command) else {
            panic!("headwarden {command} is documented nowhere")
        };
        for flag in flags.iter().filter(|flag| !everywhere.contains(flag)) {
            assert!(
                documented.contains(flag),
                "headwarden {command} --{flag} is documented nowhere"
            );
        }
    }
}

#[test]
fn relative_links_lead_to_files() {
    let mut count = 0;
    for (name, text) in markdown() {
        let directory = root().join(&name).parent().unwrap().to_path_buf();
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap();
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap();
            assert!(
                directory.join(path).exists(),
                "{name}: {target} leads nowhere"
            );
            count += 1;
        }
    }
    assert!(count > 10, "only {count} links found: is the scan broken?");
}

#[test]
fn the_exit_codes_of_the_documentation_are_those_of_the_program() {
    let app = read(&root().join("src/app/start_error.rs"));
    let body = app
        .split("fn exit_code")
        .nth(1)
        .unwrap()
        .split("\n    }\n")
        .next()
        .unwrap();
    let mut codes: BTreeSet<u8> = body
        .split("=> ")
        .skip(1)
        .filter_map(|rest| rest.split(',').next()?.trim().parse().ok())
        .collect();
    assert!(codes.len() >= 4, "{codes:?}");
    codes.extend([0, 1, 2]);
    let cli = read(&root().join("src/cli/running.rs"));
    let own = cli.lines().filter_map(|line| {
        let (_, code) = line.strip_prefix("const ")?.split_once(": u8 = ")?;
        code.trim_end_matches(';').parse::<u8>().ok()
    });
    codes.extend(own);
    let text = read(&root().join("docs/deployment.md"));
    let documented: BTreeSet<u8> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next()?.parse().ok())
        .collect();
    assert_eq!(documented, codes);
}

#[test]
fn the_recipes_are_steps_of_the_ci() {
    let ci = read(&root().join(".ci/run"));
    let steps = ci.split_once("all=(").unwrap().1.split_once(')').unwrap().0;
    let steps: Vec<&str> = steps.split_whitespace().collect();
    let recipes = read(&root().join(".justfile"));
    let called = recipes
        .lines()
        .filter_map(|line| line.strip_prefix("    .ci/run "));
    let called: Vec<&str> = called.collect();
    assert!(called.len() >= 4, "{called:?}");
    for step in called {
        assert!(steps.contains(&step), "{step} is no step of {steps:?}");
    }
}

#[test]
fn no_file_names_a_machine_or_a_place_outside_the_project() {
    let outside = [
        ["..", "/shared"].concat(),
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
        ["/wo", "rk/"].concat(),
    ];
    for (name, text) in texts() {
        for path in &outside {
            assert!(!text.contains(path.as_str()), "{name} names {path}");
        }
        if is_a("css", &name) || is_a("html", &name) {
            continue;
        }
        for (at, _) in text.match_indices('#') {
            let digits = text[at + 1..]
                .chars()
                .take_while(char::is_ascii_digit)
                .count();
            let before = text[..at].chars().next_back().unwrap_or(' ');
            let alone = before.is_whitespace() || "([".contains(before);
            assert!(
                !(alone && digits >= 2),
                "{name} names an issue: {}",
                &text[at..=at + digits]
            );
        }
    }
}

/// What is compiled for the binary on `x86_64` Linux: this package, and its normal and build dependencies, each
/// version of a crate once. More of them is a longer cold build, and more people whose code is trusted: what
/// a new one brings (`cargo tree -e normal,build -i <crate>`) has to be worth that. Pingora alone brings 199.
const MOST_CRATES: usize = 330;

#[test]
fn no_more_crates_are_compiled_for_the_binary_than_agreed() {
    let tree = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--locked", "--offline", "--prefix", "none"])
        .args(["--edges", "normal,build", "--target"])
        .args(["x86_64-unknown-linux-gnu", "--format", "{p}"])
        .output()
        .unwrap();
    let listed = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<(&str, &str)> = listed
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    let said = String::from_utf8_lossy(&tree.stderr);
    assert!(crates.len() > 200, "no list of crates: {said}");
    let many = crates.len();
    assert!(many <= MOST_CRATES, "{many} crates: {crates:#?}");
    // The place of the first was taken by ring, which TLS needs anyway: tests may use them, the binary does
    // not. The others nobody calls, see `patches`.
    for name in [
        "openidconnect",
        "oauth2",
        "jsonwebtoken",
        "rsa",
        "ed25519-dalek",
        "brotli-decompressor",
        "libz-ng-sys",
        "zstd-safe",
    ] {
        let found = crates.iter().any(|(found, _)| *found == name);
        assert!(!found, "{name} is compiled for the binary");
    }
}
