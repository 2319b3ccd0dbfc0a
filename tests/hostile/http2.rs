//! The same over HTTP/2: the tables of the other modules, on one connection after the other, before the
//! same witness. What only HTTP/2 can say is in `malformed`, what comes back in `answers`.

mod answers;
mod malformed;

use crate::fields::names::{BELIEVED, spellings};
use crate::framing::place::{NO_LIMITS, Place};
use crate::neighbours::{OPEN_DOORS, neighbours};
use crate::stage::{HTML, seen};
use crate::support::house::House;
use crate::support::http2::{Http2, Outcome};
use crate::targets::scene::{Scene, With, judge};
use crate::targets::{Refused, TARGETS, Want, expected, only};

const FORGED: &str = "f0rged";

fn connect(house: &House) -> Http2 {
    Http2::connect(house.plan.public).expect("the house listens")
}

/// One request on a connection of its own.
fn ask(house: &House, method: &str, target: &str, lines: &[&str]) -> Outcome {
    connect(house).exchange(method, target, lines)
}

/// The library cuts a fragment off before anybody sees it; what is left is judged and forwarded.
fn without_fragment(target: &str) -> &str {
    match target.split('#').next() {
        Some("") | None => "/",
        Some(rest) => rest,
    }
}

#[test]
fn every_target_is_what_it_says_or_refused_and_goes_on_byte_for_byte() {
    let scene = Scene::start();
    let askers = [
        ("nobody", None),
        ("member", Some(&scene.member)),
        ("admin", Some(&scene.admin)),
    ];
    for (at, (case, target, want)) in TARGETS.iter().enumerate() {
        for (who, cookie) in askers {
            let row = format!("X-Row: {at}-{who}");
            let mut lines = vec![row.as_str()];
            lines.extend(cookie.map(String::as_str));
            let outcome = ask(&scene.stage.house, "GET", target, &lines);
            let what = format!("{case} {target:?} of {who}: {outcome:?}");
            let Some(status) = outcome.status() else {
                // A path that is none is reset by the library.
                assert_eq!(*want, Refused, "{what}");
                continue;
            };
            assert!(status < 500, "{what}");
            let (statuses, _) = expected(*want, who);
            let cut = target.contains('#');
            assert!(
                cut || statuses.is_empty() || statuses.contains(&status),
                "{what}"
            );
        }
    }
    let seen = scene.seen();
    for (at, (case, target, want)) in TARGETS.iter().enumerate() {
        for (who, cookie) in askers {
            let what = format!("{case} {target:?} of {who}");
            let found = only(&seen, &format!("{at}-{who}"));
            if !target.contains('#') {
                assert_eq!(found.is_some(), expected(*want, who).1, "{what}");
            }
            if let Some(seen) = found {
                assert_eq!(seen.target, without_fragment(target), "{what}");
                let with = cookie.map_or(With::Nothing, |_| With::Session);
                judge(seen, with, &what);
            }
        }
    }
}

#[test]
fn no_neighbour_of_an_open_door_opens_it_and_no_field_names_another_path() {
    let scene = Scene::start();
    let mut client = connect(&scene.stage.house);
    let mut asked = 0;
    for (at, (method, path, ..)) in OPEN_DOORS.iter().enumerate() {
        let path = path.split('?').next().unwrap();
        for (number, target) in neighbours(path).iter().enumerate() {
            let row = format!("X-Row: {at}-{number}");
            let lines = [
                row.as_str(),
                "X-Original-URL: /key",
                "X-Forwarded-Uri: /health",
                "X-HTTP-Method-Override: OPTIONS",
            ];
            let outcome = client.exchange(method, target, &lines);
            asked += 1;
            match outcome {
                Outcome::Answer(answer) => assert!(answer.response.status() < 500, "{target}"),
                Outcome::Reset(_) => {}
                Outcome::Gone(_) => client = connect(&scene.stage.house),
            }
        }
    }
    for (row, seen) in scene.seen() {
        for seen in seen {
            judge(&seen, With::Nothing, &row);
            let lower = String::from_utf8_lossy(&seen.head).to_lowercase();
            assert!(
                !lower.contains("x-original-url") && !lower.contains("override"),
                "{lower}"
            );
        }
    }
    assert!(asked > 1000, "only {asked} neighbours");
}

/// The ways through every door that take no upgrade.
fn ways(place: &Place) -> Vec<(&'static str, &'static str, Vec<&str>)> {
    let mut ways = place.ways();
    ways.retain(|(.., lines)| !lines.iter().any(|line| line.starts_with("Connection")));
    ways
}

impl Place {
    /// What an upstream saw of requests with this row: their heads.
    fn heads(&self, row: &str) -> Vec<String> {
        let of_headscale = seen(&self.stage.headscale, row);
        let mut heads: Vec<String> = of_headscale
            .iter()
            .map(|seen| String::from_utf8_lossy(&seen.head).into_owned())
            .collect();
        for asked in self.ui.asked() {
            if asked.fields.value("x-row") == Some(row) {
                heads.push(format!("{}\r\n{:?}", asked.line, asked.fields));
            }
        }
        heads
    }
}

#[test]
fn no_spelling_of_a_name_that_somebody_believes_leads_to_an_upstream_or_back() {
    let place = Place::start(NO_LIMITS);
    let mut all: Vec<String> = BELIEVED
        .iter()
        .flat_map(|name| spellings(name))
        .map(|name| format!("{}: {FORGED}", name.to_lowercase()))
        .collect();
    all.sort();
    all.dedup();
    let mut client = connect(&place.stage.house);
    for (at, (method, target, lines)) in ways(&place).into_iter().enumerate() {
        let mine: Vec<&str> = all
            .iter()
            .skip(at % 3)
            .step_by(3)
            .map(String::as_str)
            .collect();
        for (part, forged) in mine.chunks(80).enumerate() {
            let row = format!("{at}-{part}");
            let tag = format!("X-Row: {row}");
            let lines = [&lines[..], forged, &[&tag]].concat();
            let answer = client.exchange(method, target, &lines).response();
            assert!(
                answer.status() < 500,
                "{method} {target}: {}",
                answer.text()
            );
            let said = String::from_utf8_lossy(&answer.head.raw).into_owned() + &answer.text();
            assert!(!said.contains(FORGED), "{method} {target}: {said}");
            let heads = place.heads(&row);
            assert_eq!(heads.len(), 1, "{method} {target}");
            assert!(
                !heads[0].contains(FORGED),
                "{method} {target}: {}",
                heads[0]
            );
        }
    }
}

#[test]
fn our_cookies_reach_no_upstream_however_they_are_crumbled() {
    let place = Place::start(NO_LIMITS);
    let ours = place.session.strip_prefix("Cookie: ").unwrap().to_owned();
    let id = ours.split_once('=').unwrap().1.to_owned();
    let login = "headwarden-login-AAAAAAAA=s3aled";
    let mut client = connect(&place.stage.house);
    for (at, crumbs) in [
        vec![ours.clone(), login.to_owned()],
        vec![
            "a=1".to_owned(),
            ours.clone(),
            login.to_owned(),
            "b=2".to_owned(),
        ],
        vec![format!("a=1; {ours}"), format!("{login}; b=2")],
        vec![
            format!("{ours};"),
            format!(";{login}"),
            "a=\"1".to_owned(),
            "b=2\"".to_owned(),
        ],
        vec![String::new(), ours.clone(), String::new(), login.to_owned()],
    ]
    .into_iter()
    .enumerate()
    {
        for target in ["/windows", "/ui/page"] {
            let row = format!("{target}{at}");
            let mut lines: Vec<String> = crumbs.iter().map(|c| format!("Cookie: {c}")).collect();
            lines.push(format!("X-Row: {row}"));
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(
                client.exchange("GET", target, &lines).status(),
                Some(200),
                "{crumbs:?}"
            );
            let heads = place.heads(&row);
            assert_eq!(heads.len(), 1, "{crumbs:?}");
            assert!(
                !heads[0].contains(&id) && !heads[0].contains("s3aled"),
                "{}",
                heads[0]
            );
        }
    }
}

#[test]
fn each_request_of_a_connection_is_judged_by_itself_whoever_asked_before() {
    let scene = Scene::start();
    let mut client = connect(&scene.stage.house);
    let cookies = [None, Some(&scene.member), Some(&scene.admin)];
    let mut streams = Vec::new();
    for round in 0..10 {
        for (who, cookie) in cookies.iter().enumerate() {
            for target in ["/ui/private", "/ui/admin/x", "/public/page"] {
                let row = format!("X-Row: {round}-{who}-{target}");
                let mut lines = vec![row.as_str()];
                lines.extend(cookie.map(String::as_str));
                let stream = client.ask("GET", target, &lines).unwrap();
                streams.push((who, target, stream));
            }
        }
    }
    for (who, target, stream) in streams {
        let status = client.outcome(stream).status().unwrap();
        let refused = match (who, target) {
            (_, "/public/page") | (2, _) | (1, "/ui/private") => None,
            (0, _) => Some(401),
            _ => Some(403),
        };
        match refused {
            Some(refused) => assert_eq!(status, refused, "{who} {target}"),
            None => assert!(!matches!(status, 401 | 403), "{who} {target}: {status}"),
        }
    }
    for (row, seen) in scene.seen() {
        let with = match row.split('-').nth(1) {
            Some("0") => With::Nothing,
            _ => With::Session,
        };
        assert_eq!(seen.len(), 1, "{row}");
        judge(&seen[0], with, &row);
    }
}

#[test]
fn a_redirect_leads_to_the_provider_or_nowhere_whatever_was_asked_for() {
    let scene = Scene::start();
    let provider = scene.stage.faulty.provider.issuer();
    let origin = provider.split("/application").next().unwrap();
    for (case, target, want) in TARGETS {
        let answer = match ask(&scene.stage.house, "GET", target, &[HTML]) {
            Outcome::Answer(answer) => answer.response,
            Outcome::Reset(_) | Outcome::Gone(_) => continue,
        };
        if let Some(location) = answer.header("location") {
            assert!(
                location.starts_with(&format!("{origin}/")),
                "{case} {target:?}: {location}"
            );
            let cut = target.contains('#');
            assert!(
                cut || matches!(want, Want::Guarded | Want::Admins),
                "{case} {target:?}"
            );
        }
    }
}
