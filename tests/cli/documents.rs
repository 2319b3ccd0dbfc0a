//! What the documents quote is what the program says.

use std::path::{Path, PathBuf};

fn sources(directory: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else {
            all.push(path);
        }
    }
}

/// The text of all sources, each literal on one line.
fn everything_said() -> String {
    let mut all = Vec::new();
    sources(Path::new("src"), &mut all);
    assert!(all.len() > 100, "{}", all.len());
    let texts = all
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let texts: Vec<String> = texts.collect();
    // A literal goes on behind a backslash.
    let texts = texts.join("\n");
    let mut pieces = texts.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |said, piece| said + piece.trim_start())
}

#[test]
fn every_line_that_troubleshooting_quotes_is_one_that_the_program_says() {
    let said = everything_said();
    let document = std::fs::read_to_string("docs/troubleshooting.md").unwrap();
    let quoted = document
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split('`').next());
    let mut count = 0;
    for quote in quoted {
        // What differs stands in angle brackets.
        for part in quote
            .split(['<', '>'])
            .step_by(2)
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            assert!(said.contains(part), "nobody says {part:?}");
        }
        count += 1;
    }
    assert!(count > 25, "only {count} quotes: is the scan broken?");
}
