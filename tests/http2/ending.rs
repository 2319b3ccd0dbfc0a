//! How requests and connections of HTTP/2 end: with their session, with the process, and by themselves.

use crate::faulty_provider::Person as Account;
use crate::serving::{KNOWN, connect, stage};
use crate::stage::{Faulty, SAME_ORIGIN, ask, session_line};
use crate::support::house::{House, More};
use crate::support::http2::{NO_ERROR, Outcome};
use crate::support::person::Person;
use crate::support::streams::{EVENT, Streams};

struct Scene {
    house: House,
    streams: Streams,
    faulty: Faulty,
}

impl Scene {
    fn start() -> Self {
        let (faulty, streams) = (Faulty::start(), Streams::start());
        let url = format!("http://{}", streams.address);
        let top = format!(
            "access:\n  - {{ path: \"/ui/**\", upstream: \"{url}\" }}\nopen: [GET /open/silent]\n"
        );
        let issuer = faulty.provider.issuer();
        let more = More {
            listen: KNOWN,
            sign_in: "none",
            headscale: "  response_timeout: 5m\n",
            top: top.leak(),
            ..More::default()
        };
        let house = House::start(|plan| plan.config(&url, &issuer, &more));
        Self {
            house,
            streams,
            faulty,
        }
    }

    fn session(&self) -> String {
        self.faulty
            .provider
            .set(|knobs| knobs.person = Account::Admin);
        let mut person = Person::new();
        let page = person.open(&self.house.url("/windows"));
        assert_eq!(page.status(), 200, "{}", page.text());
        session_line(&self.house, &person)
    }
}

#[test]
fn a_session_that_ends_takes_its_streams_along_and_leaves_the_connection() {
    let scene = Scene::start();
    let (ours, theirs) = (scene.session(), scene.session());
    let mut client = connect(&scene.house);
    let mut open = |path: &str, lines: &[&str]| {
        let stream = client.ask("GET", path, lines).unwrap();
        assert_eq!(scene.streams.begun(), path);
        stream
    };
    let cut = [open("/ui/silent", &[&ours]), open("/ui/chatty", &[&ours])];
    let poll = open("/ui/poll", &[&ours]);
    let others = [open("/ui/silent", &[&theirs]), open("/open/silent", &[])];
    for stream in cut.iter().chain(&others) {
        let status = client.wait_for_body(*stream, EVENT.len());
        assert_eq!(status.as_deref(), Some("200"));
    }
    let lines = ["Content-Length: 0", SAME_ORIGIN, &ours];
    let answer = ask(&scene.house, "POST", "/.headwarden/logout", &lines);
    assert_eq!(answer.status(), 303);
    for stream in cut.into_iter().chain([poll]) {
        let outcome = client.outcome(stream);
        assert!(matches!(outcome, Outcome::Reset(_)), "{outcome:?}");
    }
    for _ in 0..3 {
        scene.streams.ended();
    }
    assert!(scene.streams.all_others_go_on());
    assert!(client.is_alive());
    // Nobody gets in by what was left of it.
    assert_eq!(
        client.exchange("GET", "/ui/silent", &[&ours]).status(),
        Some(401)
    );
    let cuts = scene.house.log();
    let cuts = cuts.matches("request cut: its session has ended").count();
    assert_eq!(cuts, 3);
}

#[test]
fn a_process_that_stops_says_so_and_lets_requests_finish() {
    let mut stage = stage("");
    let session = session_line(&stage.house, &stage.somebody(Account::Member));
    let mut busy = connect(&stage.house);
    let mut idle = connect(&stage.house);
    let gate = stage.headscale.gate("/windows");
    let slow = busy.ask("GET", "/windows", &[&session]).unwrap();
    stage.headscale.wait_for_request("/windows");
    assert_eq!(idle.exchange("GET", "/key?v=140", &[]).status(), Some(200));
    stage.house.signal("TERM");
    assert_eq!(busy.farewell(), Some(NO_ERROR));
    assert_eq!(idle.end(), Some(NO_ERROR));
    drop(gate);
    assert_eq!(busy.outcome(slow).status(), Some(200));
    assert_eq!(busy.end(), Some(NO_ERROR));
    assert!(stage.house.wait().success());
}

#[test]
fn a_connection_without_requests_is_told_to_go_and_ends() {
    let stage = stage("limits: { keepalive_timeout: 1s }\n");
    let mut client = connect(&stage.house);
    assert_eq!(
        client.exchange("GET", "/key?v=140", &[]).status(),
        Some(200)
    );
    assert_eq!(client.end(), Some(NO_ERROR));
    let mut silent = connect(&stage.house);
    assert_eq!(silent.end(), Some(NO_ERROR), "and one that never asks");
}

#[test]
fn a_client_that_goes_takes_its_requests_along() {
    let scene = Scene::start();
    let session = scene.session();
    let mut client = connect(&scene.house);
    for path in ["/ui/silent", "/ui/poll", "/ui/download"] {
        client.ask("GET", path, &[&session]).unwrap();
        assert_eq!(scene.streams.begun(), path);
    }
    drop(client);
    for _ in 0..3 {
        scene.streams.ended();
    }
}
