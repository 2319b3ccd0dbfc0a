//! The container image: by a linter where one is named, and by what it must hold.

use std::process::Command;

use crate::files::{pinned, project, succeed, text};

#[test]
fn every_base_of_the_image_is_of_one_version() {
    let dockerfile = text("Dockerfile");
    let bases: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next())
        .collect();
    assert_eq!(bases.len(), 2);
    pinned(bases[0]);
    // Distroless has no versions: the release of Debian, and in production the digest.
    assert_eq!(bases[1], "gcr.io/distroless/cc-debian12:nonroot");
    let wanted = text("Cargo.toml");
    let wanted = wanted
        .split("rust-version = \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert!(
        bases[0].starts_with(&format!("rust:{wanted}")),
        "{}",
        bases[0]
    );
}

#[test]
fn the_image_runs_as_nobody_and_says_how_it_is() {
    let dockerfile = text("Dockerfile");
    for line in [
        "USER 65532:65532",
        "STOPSIGNAL SIGTERM",
        "    CMD [\"/usr/local/bin/headwarden\", \"health\"]",
        "ENTRYPOINT [\"/usr/local/bin/headwarden\"]",
        "VOLUME [\"/var/lib/headwarden\"]",
    ] {
        assert!(dockerfile.contains(&format!("\n{line}\n")), "no {line}");
    }
}

#[test]
fn what_the_image_is_built_from_reaches_the_builder_and_nothing_else_does() {
    let ignored = text(".dockerignore");
    let mut let_through: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let dockerfile = text("Dockerfile");
    let mut copied: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            words[..words.len() - 1].to_vec()
        })
        .collect();
    let_through.sort_unstable();
    copied.sort_unstable();
    assert_eq!(copied, let_through);
    for path in copied {
        assert!(project(path).exists(), "{path}");
    }
}

#[test]
fn the_linter_has_nothing_to_say_where_it_is_named() {
    let Some(linter) = std::env::var_os("HADOLINT_BIN") else {
        eprintln!("NOT TESTED: HADOLINT_BIN names no hadolint");
        return;
    };
    assert_eq!(succeed(Command::new(linter).arg(project("Dockerfile"))), "");
}
