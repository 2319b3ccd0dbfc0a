//! Many at once: one fetch for a storm of unknown keys, and memory that does not grow with what
//! strangers begin or a provider sends.

use crate::faulty_provider::{Endpoint, Fault, Ill, Person as Account};
use crate::stage::{HTML, Stage, request};
use crate::support::house::More;
use crate::support::person::Person;
use crate::support::raw::Raw;

use super::{impatient, somebody_comes_in, stage_with};

/// People on their way back from the provider, with what they bring.
fn on_their_way(stage: &Stage, count: usize) -> Vec<(Person, String)> {
    (0..count)
        .map(|_| {
            let mut person = Person::new();
            let (_, callback) = stage.callback_for(&mut person, "/windows");
            (person, callback.to_string())
        })
        .collect()
}

/// All of them come back at once: how often each status was the answer.
fn come_back(people: Vec<(Person, String)>) -> Vec<u16> {
    std::thread::scope(|scope| {
        let all: Vec<_> = people
            .into_iter()
            .map(|(mut person, callback)| scope.spawn(move || person.get(&callback).status()))
            .collect();
        all.into_iter()
            .map(|one| one.join().expect("an answer"))
            .collect()
    })
}

#[test]
fn two_hundred_people_with_an_unknown_key_cause_one_fetch_and_two_hundred_behind_one_address_get_in()
 {
    let stage = stage_with(More::default());
    let crowd = on_their_way(&stage, 200);
    stage.faulty.provider.bend(Fault::UnknownKid);
    let (keys, documents) = (
        stage.faulty.provider.hits(Endpoint::Jwks),
        stage.faulty.provider.hits(Endpoint::Discovery),
    );
    let statuses = come_back(crowd);
    assert_eq!(statuses, [502; 200]);
    assert_eq!(stage.faulty.provider.hits(Endpoint::Jwks), keys + 1);
    assert_eq!(
        stage.faulty.provider.hits(Endpoint::Discovery),
        documents + 1
    );

    // With the limits as they come: a Monday morning.
    stage.faulty.provider.mend();
    let fresh = stage_with(More {
        top: "limits: {}\n",
        ..More::default()
    });
    let crowd = on_their_way(&fresh, 200);
    assert_eq!(come_back(crowd), [303; 200]);
    somebody_comes_in(&stage, "the storm is over");
}

#[test]
fn a_storm_while_the_key_set_hangs_waits_for_one_fetch_and_not_for_one_each() {
    let mut stage = stage_with(impatient());
    let crowd = on_their_way(&stage, 50);
    stage.faulty.provider.set(|knobs| {
        knobs.fault = Some(Fault::UnknownKid);
        knobs.ill = Some((Endpoint::Jwks, Ill::Hangs));
    });
    let before = stage.faulty.provider.hits(Endpoint::Jwks);
    assert_eq!(come_back(crowd), [502; 50]);
    assert_eq!(stage.faulty.provider.hits(Endpoint::Jwks), before + 1);
    let line = stage
        .house
        .wait_for_log("the provider's keys cannot be renewed");
    assert!(
        line.contains("WARN") && line.contains("no complete answer in time"),
        "{line}"
    );
    stage.faulty.provider.mend();
    somebody_comes_in(&stage, "well again");
}

/// What the process holds, or has held at most, in KiB.
fn memory(stage: &Stage, what: &str) -> u64 {
    let path = format!("/proc/{}/status", stage.house.pid());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(what));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse().ok())
        .expect("Linux says so")
}

#[test]
fn ten_megabytes_or_no_end_of_them_take_no_more_memory_than_the_cap() {
    const MOST_KIB: u64 = 16 * 1024;
    let stage = stage_with(More::default());
    somebody_comes_in(&stage, "before");
    let before = memory(&stage, "VmHWM:");
    for endpoint in [Endpoint::Token, Endpoint::Userinfo] {
        for ill in [
            Ill::Huge(10_000_000),
            Ill::HugeInChunks(10_000_000),
            Ill::Endless,
            Ill::GzipBomb,
        ] {
            stage.faulty.provider.sicken(endpoint, ill);
            for _ in 0..3 {
                let page = Person::new().open(&stage.house.url("/windows"));
                assert_eq!(page.status(), 503, "{endpoint:?} {ill:?}");
            }
            let grown = memory(&stage, "VmHWM:") - before;
            assert!(grown < MOST_KIB, "{endpoint:?} {ill:?}: {grown} KiB");
        }
    }
    stage.faulty.provider.mend();
    somebody_comes_in(&stage, "after");
}

#[test]
fn five_thousand_half_finished_sign_ins_are_kept_by_the_browsers_and_not_here() {
    const SIGN_INS: u64 = 5_000;
    let stage = stage_with(More {
        top: "limits: { sign_ins_per_minute: 1000000 }\n",
        ..More::default()
    });
    drop(stage.somebody(Account::Member));
    let mut raw = Raw::connect(stage.house.plan.public).expect("a connection");
    let mut begin = |count: u64| {
        for _ in 0..count {
            let answer = raw.exchange(&request(&stage.house, "GET", "/windows", &[HTML]));
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), 303, "{}", answer.text());
            assert!(answer.header("set-cookie").is_some());
        }
    };
    begin(500);
    let before = memory(&stage, "VmRSS:");
    begin(SIGN_INS);
    let grown = memory(&stage, "VmRSS:").saturating_sub(before);
    println!("{grown} KiB for {SIGN_INS} half-finished sign-ins");
    // A state, a nonce, a verifier and a return path alone would be about 300 bytes.
    assert!(grown * 1024 / SIGN_INS < 300, "{grown} KiB");
}
