//! Rules for paths that change while people look at what is behind them.

use crate::faulty_provider::Person as Account;
use crate::ground::{BY_SIGNAL, Ground, NO_LIMITS};
use crate::stage::{request, session_line};
use crate::support::house::More;
use crate::support::raw::Raw;
use crate::support::streams::Streams;

fn open(ground: &Ground, streams: &Streams, path: &str, lines: &[&str]) -> Raw {
    let house = ground.house();
    let mut raw = Raw::connect(house.plan.public).expect("it listens");
    raw.send(&request(house, "GET", path, lines))
        .expect("it is taken");
    assert_eq!(raw.read_head().expect("a head").status, 200, "{path}");
    assert_eq!(streams.begun(), path);
    raw
}

#[test]
fn what_is_open_ends_when_a_rule_asks_for_more_and_a_claim_counts_from_the_next_sign_in_on() {
    let streams = Streams::start();
    let at = format!("upstream: \"http://{}\"", streams.address);
    let rules = format!(
        "access:\n  - {{ path: /a/**, {at}, public: true }}\n  - {{ path: /b/**, {at}, methods: [GET, POST] }}\n  \
         - {{ path: /c/**, {at} }}\n  - {{ path: /d/**, {at}, public: true }}\n"
    );
    let ground = Ground::start(&More::default(), &[BY_SIGNAL, NO_LIMITS, &rules].concat());
    ground.stage.faulty.provider.set(|knobs| {
        let claims = serde_json::json!({ "department": "it" });
        knobs.extra_claims = claims.as_object().expect("an object").clone();
    });
    let session = ground.sign_in(Account::Member);
    for (path, lines, from, to) in [
        (
            "/a/1/silent",
            vec![],
            "public: true }\n  - { path: /b",
            "groups: [headscale] }\n  - { path: /b",
        ),
        (
            "/b/2/silent",
            vec![session.as_str()],
            "methods: [GET, POST]",
            "methods: [POST]",
        ),
        (
            "/c/3/silent",
            vec![session.as_str()],
            "path: /c/**, ",
            "path: /c/**, domains: [\"*.other.example\"], ",
        ),
        (
            "/c/4/silent",
            vec![session.as_str()],
            "path: /c/**, ",
            "path: /c/**, claims: { department: [it] }, ",
        ),
    ] {
        let mut lost = open(&ground, &streams, path, &lines);
        let kept = open(&ground, &streams, "/d/silent", &[]);
        ground.change_to(&ground.with(from, to));
        assert_eq!(streams.ended(), path);
        assert!(lost.is_cut());
        assert!(streams.all_others_go_on());
        // The session of before has no such claim; the next one has.
        if to.contains("claims") {
            let person = ground.stage.somebody(Account::Member);
            let newer = session_line(ground.house(), &person);
            assert_eq!(ground.get("/c/x", &[&session]), 403);
            assert_eq!(ground.get("/c/x", &[&newer]), 200);
        }
        ground.change_to(&ground.text);
        drop(kept);
        assert_eq!(streams.ended(), "/d/silent");
    }
}
