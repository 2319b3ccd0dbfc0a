//! The shell scripts.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::files::{project, succeed};

/// Every file below `directory` that a shell reads.
fn scripts(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["target", "node_modules", ".git", ".development"].contains(&name) {
                scripts(&path, found);
            }
        } else if std::fs::read_to_string(&path).is_ok_and(|text| {
            text.starts_with("#!/bin/sh") || text.starts_with("#!/usr/bin/env bash")
        }) {
            found.push(path);
        }
    }
}

#[test]
fn shellcheck_has_nothing_to_say_about_any_script() {
    let mut found = Vec::new();
    scripts(&project("."), &mut found);
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
