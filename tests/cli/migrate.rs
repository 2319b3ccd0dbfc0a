//! `headwarden headscale-migrate`: its script, run by the shells of real databases.

use crate::databases::{Postgres, Sqlite, Users};
use crate::desk::{Desk, ISSUER};

const NEW: &str = "http://127.0.0.1:8181";

/// An old issuer, people's identifiers, and where each is afterwards (as it was, if empty).
const MOVES: &[(&str, &[(&str, &str)])] = &[
    (
        "https://ak.company/application/o/headscale/",
        &[
            ("https://ak.company/application/o/headscale/0f1e", "0f1e"),
            ("https://ak.company/application/o/headscale-2/0f1e", ""),
            ("https://ak.company/application/o/Headscale/4b5a", ""),
            ("https://other.company/0f1e", ""),
            ("-", ""),
        ],
    ),
    // `_` and `%` are no patterns.
    (
        "https://ak.company/o/head_scale%/",
        &[
            ("https://ak.company/o/head_scale%/7", "7"),
            ("https://ak.company/o/headXscale%/8", ""),
            ("https://ak.company/o/head_scale123/9", ""),
        ],
    ),
    // A quote ends nothing, and a subject may be anything.
    (
        "https://ak.company/o/it's/",
        &[
            (
                "https://ak.company/o/it's/7'; DROP TABLE users; --",
                "7'; DROP TABLE users; --",
            ),
            ("https://ak.company/o/it's/a\\b_%|é", "a\\b_%|é"),
            ("https://ak.company/o/its/8", ""),
        ],
    ),
    // An issuer that others lie below takes its own people only.
    (
        "https://ak.company/",
        &[
            ("https://ak.company/0f1e", "0f1e"),
            ("https://ak.company/application/o/headscale/0f1e", ""),
            ("https://ak.company.evil/0f1e", ""),
            ("https://ak.company/", ""),
        ],
    ),
];

fn script(desk: &Desk, from: &str, database: &str) -> std::path::PathBuf {
    let ran = desk.run(&["headscale-migrate", "--from", from, "--database", database]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    desk.write("move.sql", &ran.out)
}

/// Adds the people, runs the script twice, and looks.
fn moves(desk: &Desk, database: &dyn Users, name: &str, from: &str, people: &[(&str, &str)]) {
    for (index, (identifier, _)) in people.iter().enumerate() {
        let identifier = Some(*identifier).filter(|identifier| *identifier != "-");
        database.add(&format!("person{index}"), identifier);
    }
    let script = script(desk, from, database.kind());
    let expected: Vec<String> = people
        .iter()
        .map(|(was, subject)| match *subject {
            "" => (*was).to_owned(),
            subject => format!("{NEW}/{subject}"),
        })
        .collect();
    let moving = people
        .iter()
        .filter(|(_, subject)| !subject.is_empty())
        .count();
    for (round, count) in [("once", moving), ("again", 0)] {
        let ran = database.run(&script);
        assert!(ran.content, "{name} {from} {round}: {}", ran.err);
        assert_eq!(database.identifiers(), expected, "{name} {from} {round}");
        let counts: Vec<&str> = ran
            .out
            .lines()
            .filter(|line| line.parse::<u32>().is_ok())
            .collect();
        let told = [count.to_string(), moving.to_string()];
        assert_eq!(
            counts, told,
            "{name} {from} {round}: how many move, how many are there"
        );
    }
}

/// Somebody is there already: nothing moves, and the shell says that it failed.
fn collides(desk: &Desk, database: &dyn Users, name: &str) {
    let old = "https://ak.company/o/hs";
    let people = [format!("{old}/1"), format!("{old}/2"), format!("{NEW}/2")];
    for (index, identifier) in people.iter().enumerate() {
        database.add(&format!("person{index}"), Some(identifier));
    }
    let ran = database.run(&script(desk, old, database.kind()));
    assert!(
        !ran.content && ran.err.to_lowercase().contains("unique"),
        "{name}: {}",
        ran.err
    );
    assert_eq!(database.identifiers(), people, "{name}");
    assert!(
        ran.out.lines().any(|line| line.starts_with("3|person2|")),
        "{name}: {}",
        ran.out
    );
}

#[test]
fn sqlite_moves_whom_it_should_once_and_for_all() {
    let desk = Desk::new(ISSUER);
    for (from, people) in MOVES {
        for (versions, database) in Sqlite::of_each_version() {
            moves(&desk, &database, versions, from, people);
        }
    }
    for (versions, database) in Sqlite::of_each_version() {
        collides(&desk, &database, versions);
    }
}

#[test]
fn postgresql_moves_whom_it_should_once_and_for_all() {
    let desk = Desk::new(ISSUER);
    let server = Postgres::start();
    for (name, (from, people)) in ["one", "two", "three", "four"].into_iter().zip(MOVES) {
        moves(&desk, &server.database(name), name, from, people);
    }
    collides(&desk, &server.database("five"), "five");
}

#[test]
fn the_new_issuer_may_be_the_origin_of_the_old_one() {
    let desk = Desk::new(&ISSUER.replace(NEW, "https://ak.company:8443"));
    let below = "https://ak.company:8443";
    for (versions, database) in Sqlite::of_each_version() {
        let old = format!("{below}/o/hs");
        database.add("ann", Some(&format!("{old}/1")));
        for _ in 0..2 {
            assert!(database.run(&script(&desk, &old, "sqlite")).content);
            assert_eq!(database.identifiers(), [format!("{below}/1")], "{versions}");
        }
    }
}

#[test]
fn as_json_the_script_has_its_issuers_beside_it() {
    let desk = Desk::new(ISSUER);
    let ran = desk.run(&[
        "headscale-migrate",
        "--from",
        "https://a.company/",
        "--json",
    ]);
    let told = ran.json();
    assert_eq!(told["database"], "sqlite");
    assert_eq!(
        (&told["from"], &told["to"]),
        (&"https://a.company/".into(), &NEW.into())
    );
    assert!(told["sql"].as_str().unwrap().contains("UPDATE users"));
}
