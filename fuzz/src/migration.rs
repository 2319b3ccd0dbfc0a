//! The SQL that moves users to another issuer. Input: the old issuer, then the new one.

use headwarden::domain::identity::Issuer;
use headwarden::headscale::{Database, migration};

use super::support::text_lines;

pub fn run(data: &[u8]) {
    let Some(([from], to)) = text_lines::<1>(data) else {
        return;
    };
    let (from, to) = (Issuer::new(from), Issuer::new(to.trim_end_matches('\n')));
    for database in [Database::Sqlite, Database::Postgres] {
        match migration(&from, &to, database) {
            Ok(script) => check_script(&script, database),
            Err(error) => {
                let line = error.to_string();
                assert!(!line.contains('\n'), "{line:?}");
            }
        }
    }
}

/// A script is the same whatever the issuers are, but for two string literals: what identifiers begin with.
pub fn check_script(script: &str, database: Database) {
    let known = migration(
        &Issuer::new("https://old.test"),
        &Issuer::new("https://new.test"),
        database,
    );
    let (known, fixed) = taken_apart(&known.unwrap());
    let (frame, literals) = taken_apart(script);
    assert_eq!(frame, known, "{script}");
    let mut issuers = Vec::new();
    for (literal, fixed) in literals.into_iter().zip(fixed) {
        if fixed.contains("://") {
            issuers.push(literal);
        } else {
            assert_eq!(literal, fixed, "{script}");
        }
    }
    issuers.sort();
    issuers.dedup();
    assert_eq!(issuers.len(), 2, "{script}");
    for literal in issuers {
        assert!(
            literal.ends_with('/') && literal.contains("://"),
            "{literal}"
        );
        assert!(literal.chars().all(|c| c.is_ascii_graphic()), "{literal}");
    }
}

/// What stands outside of string literals, and these; comments have no quotes but Headscale's own.
fn taken_apart(script: &str) -> (String, Vec<String>) {
    let (mut frame, mut literals) = (String::new(), Vec::new());
    for line in script.lines() {
        if line.starts_with("--") {
            frame.push_str(line);
        } else {
            line_apart(line, &mut frame, &mut literals);
        }
        frame.push('\n');
    }
    (frame, literals)
}

fn line_apart(line: &str, frame: &mut String, literals: &mut Vec<String>) {
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '\'' {
            frame.push(c);
            continue;
        }
        let mut literal = String::new();
        loop {
            match characters.next() {
                Some('\'') if characters.peek() == Some(&'\'') => {
                    characters.next();
                    literal.push('\'');
                }
                Some('\'') => break,
                Some(c) => literal.push(c),
                None => panic!("a literal without an end: {line}"),
            }
        }
        frame.push('?');
        literals.push(literal);
    }
}
