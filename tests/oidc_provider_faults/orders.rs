//! Whatever happens in whatever order, a request is told what the provider said when it was last asked,
//! and nobody passes for longer than the re-check and its grace allow.

use headwarden::proxy::recheck::Checked;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::recheck::{EVERY, GRACE, Room, word};
use super::*;

/// Most seconds that a session pauses after a failure.
const LONGEST_PAUSE: u64 = 30;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Requests at once.
    Requests(usize),
    Pass(u64),
    Groups(bool),
    Active(bool),
    Outage(Option<Fault>),
    SignOut,
    SignIn,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1..4_usize).prop_map(Event::Requests),
        4 => (1..40_u64).prop_map(Event::Pass),
        4 => (EVERY - 5..EVERY + 50).prop_map(Event::Pass),
        1 => (EVERY..EVERY + GRACE + 100).prop_map(Event::Pass),
        1 => Just(Event::Groups(false)),
        2 => Just(Event::Groups(true)),
        1 => Just(Event::Active(false)),
        2 => Just(Event::Active(true)),
        1 => Just(Event::Outage(Some(Fault::TokenIsDown))),
        1 => Just(Event::Outage(Some(Fault::UserinfoIsDown))),
        3 => Just(Event::Outage(None)),
        1 => Just(Event::SignOut),
        3 => Just(Event::SignIn),
    ]
}

/// What is known from outside.
struct World {
    room: Room,
    groups: bool,
    active: bool,
    outage: Option<Fault>,
    /// Whether the session was begun and nothing has ended it.
    alive: bool,
    /// When the provider last said that the person may pass.
    vouched_at: u64,
    /// When it was last asked in vain.
    failed_at: u64,
}

impl World {
    async fn start() -> Self {
        Self {
            room: Room::start().await,
            groups: true,
            active: true,
            outage: None,
            alive: true,
            vouched_at: START,
            failed_at: 0,
        }
    }

    fn now(&self) -> u64 {
        self.room.scene.clock.now().unix()
    }

    fn tell_the_provider(&self) {
        let groups = if self.groups { "headscale" } else { "visitors" };
        self.room.scene.idp.set(|knobs| {
            knobs.fault = self.outage;
            knobs
                .extra_claims
                .insert("groups".to_owned(), json!([groups]));
            knobs.deactivated = if self.active {
                vec![]
            } else {
                vec![Person::Member]
            };
        });
    }

    async fn happens(&mut self, event: Event) -> TestCaseResult {
        match event {
            Event::Requests(count) => return self.requests(count).await,
            Event::Pass(seconds) => self.room.scene.clock.advance(seconds),
            Event::Groups(groups) => self.groups = groups,
            Event::Active(active) => self.active = active,
            Event::Outage(outage) => self.outage = outage,
            Event::SignOut => {
                let ended = self.room.sessions.end(&self.room.id.key()).await.unwrap();
                prop_assert_eq!(ended.is_some(), self.alive);
                self.alive = false;
            }
            // Who is deactivated cannot sign in, and whom the rules refuse has no session.
            Event::SignIn if self.outage.is_none() && self.active && self.groups => {
                self.room.signs_in().await;
                (self.alive, self.vouched_at, self.failed_at) = (true, self.now(), 0);
            }
            Event::SignIn => {}
        }
        self.tell_the_provider();
        Ok(())
    }

    async fn requests(&mut self, count: usize) -> TestCaseResult {
        let before = self.room.refreshes();
        let mut told = Vec::new();
        for checked in self.room.ask_at_once(count).await {
            told.push(word(&checked));
            if let Checked::Unavailable(seconds) = checked {
                prop_assert!((1..=LONGEST_PAUSE).contains(&u64::from(seconds)));
            }
        }
        let asked = self.room.refreshes() - before;
        prop_assert!(asked <= 1, "asked {} times", asked);
        let since = self.now() - self.vouched_at;
        let due = self.alive && since >= EVERY;
        if asked == 0 && due {
            prop_assert!(self.now() - self.failed_at < LONGEST_PAUSE, "not asked");
        }
        prop_assert!(asked == 0 || due, "asked {} s after the last time", since);
        let answered = asked == 1 && self.outage != Some(Fault::TokenIsDown);
        if answered && !self.active {
            self.alive = false;
        } else if asked == 1 && self.outage.is_some() {
            self.failed_at = self.now();
        } else if asked == 1 && !self.groups {
            self.alive = false;
        } else if asked == 1 {
            self.vouched_at = self.now();
        }
        let since = self.now() - self.vouched_at;
        let expected = match self.alive {
            false => "over",
            true if since >= EVERY + GRACE => "unavailable",
            true => "good",
        };
        prop_assert!(
            told.iter().all(|word| *word == expected),
            "{:?}, not {}",
            told,
            expected
        );
        Ok(())
    }
}

#[test]
fn whatever_happens_nobody_passes_longer_than_the_provider_and_the_grace_allow() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    };
    let events = proptest::collection::vec(event(), 10..60);
    let ran = TestRunner::new(config).run(&events, |events| {
        runtime.block_on(async {
            let mut world = World::start().await;
            for event in events {
                world.happens(event).await?;
            }
            Ok(())
        })
    });
    ran.unwrap_or_else(|why| panic!("{why}"));
}
