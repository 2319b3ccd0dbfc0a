//! The scripts: shell and Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::files::{project, succeed};

/// Every file below `directory` that begins with one of `lines`, or has a name that ends with `suffix`.
fn scripts(directory: &Path, lines: &[&str], suffix: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["target", "node_modules", ".git", ".development"].contains(&name) {
                scripts(&path, lines, suffix, found);
            }
        } else if (!suffix.is_empty() && name.ends_with(suffix))
            || std::fs::read_to_string(&path)
                .is_ok_and(|text| lines.iter().any(|line| text.starts_with(line)))
        {
            found.push(path);
        }
    }
}

#[test]
fn shellcheck_has_nothing_to_say_about_any_script() {
    let mut found = Vec::new();
    let lines = ["#!/bin/sh", "#!/usr/bin/env bash"];
    scripts(&project("."), &lines, "", &mut found);
    for needed in [
        ".ci/run",
        "tests/setup.sh",
        "deploy/debian/build",
        "deploy/debian/postinst",
        "deploy/compose/up",
    ] {
        assert!(
            found.contains(&project(".").join(needed)),
            "{needed} was not found"
        );
    }
    assert_eq!(succeed(Command::new("shellcheck").args(&found)), "");
}

#[test]
fn pyflakes_has_nothing_to_say_about_any_python_script() {
    let mut found = Vec::new();
    scripts(
        &project("."),
        &["#!/usr/bin/env python3"],
        ".py",
        &mut found,
    );
    for needed in [
        "benches/compare/run",
        "benches/growth/run",
        "benches/soak/run",
        "benches/storms/run",
        "benches/rig/stage.py",
    ] {
        assert!(
            found.contains(&project(".").join(needed)),
            "{needed} was not found"
        );
    }
    assert_eq!(succeed(Command::new("pyflakes3").args(&found)), "");
}
