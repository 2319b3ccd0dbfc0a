//! The catalogue of `docs/threat-model.md`: no case is left out, and every test it names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Groups, and how many cases each has.
const GROUPS: &[(&str, usize)] = &[
    ("A", 14),
    ("B", 12),
    ("C", 18),
    ("D", 12),
    ("E", 9),
    ("F", 7),
    ("G", 15),
    ("HS", 8),
    ("I", 10),
    ("J", 13),
    ("K", 7),
    ("L", 11),
    ("M", 12),
    ("N", 11),
    ("O", 10),
    ("P", 8),
    ("S", 10),
    ("V", 11),
    ("W", 6),
];

/// A row of a table of the catalogue: id, shape, what stops it, what shows it.
struct Row {
    id: String,
    shown_by: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line
                .strip_prefix('|')?
                .split(" | ")
                .map(str::trim)
                .collect();
            let [id, _, _, shown_by] = cells[..] else {
                return None;
            };
            let letters = id.trim_end_matches(|c: char| c.is_ascii_digit());
            let numbered = letters.len() < id.len();
            (numbered && GROUPS.iter().any(|(group, _)| *group == letters)).then(|| Row {
                id: id.to_owned(),
                shown_by: shown_by.trim_end_matches('|').trim().to_owned(),
            })
        })
        .collect()
}

/// The tests a cell names: `binary::module::function` in backticks.
fn named(cell: &str) -> Vec<&str> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::"))
        .collect()
}

/// Where a test binary's or the library's modules are.
fn home(binary: &str) -> PathBuf {
    match binary {
        "headwarden" => root().join("src"),
        other => root().join("tests").join(other),
    }
}

/// The source of the module that a test's path leads to: the deepest file there is; what is left of
/// the path is a module inside of it.
fn source(test: &str) -> Option<String> {
    let mut segments: Vec<&str> = test.split("::").collect();
    segments.pop();
    let home = home(segments.first()?);
    let modules = &segments[1..];
    let inner = (0..=modules.len()).rev().find_map(|depth| {
        let base = modules[..depth]
            .iter()
            .fold(home.clone(), |at, name| at.join(name));
        [
            base.with_extension("rs"),
            base.join("mod.rs"),
            base.join("main.rs"),
        ]
        .into_iter()
        .find(|file| file.is_file())
    })?;
    std::fs::read_to_string(inner).ok()
}

#[test]
fn every_case_of_the_catalogue_has_its_row_and_only_one() {
    let mut met = BTreeMap::<String, usize>::new();
    for row in rows() {
        *met.entry(row.id).or_default() += 1;
    }
    let wanted: BTreeSet<String> = GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}{number}")))
        .collect();
    for id in &wanted {
        assert_eq!(met.get(id), Some(&1), "rows of {id}");
    }
    for id in met.keys() {
        assert!(wanted.contains(id), "{id} is no case of the catalogue");
    }
}

#[test]
fn every_test_that_the_catalogue_names_exists() {
    let mut count = 0;
    for row in rows() {
        let tests = named(&row.shown_by);
        let says_why_not = row.shown_by.starts_with("not offered");
        assert!(
            !tests.is_empty() || says_why_not,
            "{} is shown by nothing",
            row.id
        );
        for test in tests {
            let code = source(test).unwrap_or_else(|| panic!("{}: no module for {test}", row.id));
            let function = test.rsplit("::").next().unwrap();
            assert!(
                code.contains(&format!("fn {function}(")),
                "{}: there is no test {test}",
                row.id
            );
            count += 1;
        }
    }
    assert!(count > 150, "only {count} tests named: is the scan broken?");
}
