//! The binary as an operator runs it, with many people at once, while everything around it fails
//! and its own process is stopped, continued, killed and started anew.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::bookkeeper::{Bookkeeper, Limits};
use crate::draw::{Confession, Draw};
use crate::faulty_provider::{Fault, FaultyProvider, Key, Person};
use crate::inside::{SIDES, hold};
use crate::support::headscale_standin::{HeadscaleStandin, Oidc, Options, Script};
use crate::support::house::{HEADSCALE_ID, HEADSCALE_SECRET, House};
use crate::support::raw::Raw;
use crate::visitor::{Asked, Ground, NAVIGATION, SAME_ORIGIN, Visitor};
use crate::wire::{Mood, Wire};

/// Nobody's session ends by a clock here: it is the machine's.
const NO_LIMITS: Limits = Limits {
    idle: u64::MAX,
    lifetime: u64::MAX,
};
/// People at once.
const PEOPLE: usize = 6;
/// What each of them does.
const REQUESTS: usize = 120;
/// Requests between two faults.
const RHYTHM: usize = 8;
/// The longest wait for those requests: somebody may hang on a fault that only another one mends.
const HASTE: Duration = Duration::from_millis(300);

const FAULTS: &[Fault] = &[
    Fault::TokenIsDown,
    Fault::TokenHangs,
    Fault::TokenIsHtml,
    Fault::TokenRedirects,
    Fault::DiscoveryIsDown,
    Fault::JwksIsDown,
    Fault::JwksWithoutKeys,
    Fault::UnknownKid,
    Fault::SignedByForger,
    Fault::AlgNone,
    Fault::BadSignature,
    Fault::NonceWrong,
    Fault::AudienceOfSomebodyElse,
    Fault::ExpiredFor(3600),
    Fault::ErrorWith200,
];

const TARGETS: &[(&str, &str, &[&str])] = &[
    ("GET", "/windows", NAVIGATION),
    ("GET", "/windows", &[]),
    ("POST", "/windows", &[]),
    ("HEAD", "/windows", &[]),
    ("GET", "/", &[]),
    ("GET", "/admin/users", NAVIGATION),
    (
        "GET",
        "/register/hskey-authreq-0123456789abcdef01234567",
        NAVIGATION,
    ),
    (
        "GET",
        "/auth/hskey-authreq-0123456789abcdef01234567",
        NAVIGATION,
    ),
    ("GET", "/api/v1/user", &[SAME_ORIGIN]),
    (
        "GET",
        "/api/v1/user",
        &["Authorization: Bearer hskey-api-standin"],
    ),
    (
        "GET",
        "/oidc/callback?state=0123456789&code=abc",
        NAVIGATION,
    ),
    ("GET", "/swagger", NAVIGATION),
    ("GET", "/key?v=140", &[]),
];

/// What everybody shares.
struct Scene {
    ground: Ground,
    /// Held to write while there is no process: nobody begins anything then.
    up: Arc<RwLock<()>>,
    /// Cookies that were good once.
    lost: Mutex<Vec<String>>,
    answered: AtomicUsize,
    unanswered: AtomicUsize,
    signed_in: AtomicUsize,
}

/// Somebody who signs in, looks around, signs out, and sometimes tries it with what is not theirs.
fn live(scene: &Scene, number: usize, mut draw: Draw, ticks: &Sender<()>) {
    let mut visitor = Visitor::new(&format!("p{number}"), number);
    let mut own: Option<String> = None;
    for turn in 0..REQUESTS {
        // Not held: what is under way when the process is killed is under way then.
        drop(scene.up.read());
        visitor.moves(number * REQUESTS + turn);
        if own.is_none() && draw.percent(60) {
            let who = *draw.one(&[Person::Member, Person::Admin]);
            own = visitor.sign_in(&scene.ground, who, None, || {});
            scene
                .signed_in
                .fetch_add(usize::from(own.is_some()), Ordering::Relaxed);
        }
        let lost = {
            let lost = scene.lost.lock().expect("nobody panics with it");
            lost.get(draw.below(lost.len().max(1))).cloned()
        };
        let cookie = match draw.below(10) {
            0 => None,
            1 => Some(draw.text(43)),
            2 | 3 => lost,
            _ => own.clone(),
        };
        look_around(scene, &mut visitor, &mut draw, cookie.as_deref());
        if own.is_some() && draw.percent(8) {
            // Without an answer nobody knows whether it is over: then it is not used any more.
            let gone = own.take().expect("it is some");
            if visitor.sign_out(&scene.ground, &gone) {
                scene.lost.lock().expect("nobody panics with it").push(gone);
            }
        }
        if draw.percent(5) {
            own = None;
        }
        // Nobody listens any more when the faults are over.
        let _ = ticks.send(());
    }
}

/// One request, or two on one connection.
fn look_around(scene: &Scene, visitor: &mut Visitor, draw: &mut Draw, cookie: Option<&str>) {
    let Ok(mut raw) = Raw::connect(scene.ground.public) else {
        scene.unanswered.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let sessions: Vec<&str> = cookie.into_iter().collect();
    let both = [sessions.as_slice(), &[]];
    let count = if draw.percent(30) { 2 } else { 1 };
    for sessions in &both[..count] {
        let (method, target, lines) = *draw.one(TARGETS);
        let asked = Asked {
            method,
            target,
            lines,
            sessions,
            looks_up: false,
        };
        let answer = visitor.ask_on(&mut raw, &scene.ground, asked);
        let counter = match answer {
            Some(_) => &scene.answered,
            None => &scene.unanswered,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if answer.is_none() {
            return;
        }
    }
}

/// What surrounds the house, and the house itself.
struct Around<'a> {
    provider: &'a FaultyProvider,
    headscale: &'a HeadscaleStandin,
    wire: &'a Wire,
    house: &'a mut House,
    books: &'a Bookkeeper,
    up: &'a RwLock<()>,
    restarts: usize,
}

impl Around<'_> {
    /// One more thing goes wrong, or right again.
    fn fail(&mut self, draw: &mut Draw, ticks: &Receiver<()>) {
        match draw.below(16) {
            0..4 => self.provider.bend(*draw.one(FAULTS)),
            4 => self.provider.rotate_to(*draw.one(&[Key::Rsa, Key::Ec])),
            5 => self.wire.set(*draw.one(&[
                Mood::Closes,
                Mood::Babbles,
                Mood::Breaks,
                Mood::Swallows,
            ])),
            6 => self.headscale.script("/windows", Script::Close),
            7 => self
                .headscale
                .script("/windows", Script::Bytes(b"HTTP/1.1 200\r\n".to_vec())),
            8 => self.house.signal("HUP"),
            9 => {
                self.house.signal("STOP");
                // Somebody may hang now, and then nobody counts.
                let _ = ticks.recv_timeout(HASTE);
                self.house.signal("CONT");
            }
            10 if self.restarts < 4 => self.restart(draw),
            11 => {
                let version = *draw.one(&["v0.26.1", "v0.28.0", "v0.29.2", "v0.30.0", "?"]);
                self.headscale
                    .configure(|options| version.clone_into(&mut options.version));
            }
            _ => self.mend(),
        }
    }

    fn mend(&mut self) {
        self.provider.mend();
        self.wire.set(Mood::Carries);
    }

    /// The process is killed; the next one finds its key ring as it was, gone, or broken.
    fn restart(&mut self, draw: &mut Draw) {
        self.mend();
        let _down = self.up.write().unwrap_or_else(PoisonError::into_inner);
        self.house.signal("KILL");
        self.house.wait();
        // Before anybody can sign in at the next one.
        self.books.all_ended();
        let ring = self.house.plan.files.join("keys.json");
        let good = std::fs::read(&ring).expect("it is there");
        match draw.below(3) {
            0 => {}
            1 => std::fs::remove_file(&ring).expect("it was there"),
            _ => {
                std::fs::write(&ring, &good[..draw.below(good.len() - 1)]).expect("it is ours");
                self.house.restart(&[]);
                let code = self.house.wait().code();
                assert_eq!(code, Some(6), "{}", self.house.log());
                std::fs::write(&ring, good).expect("it is ours");
            }
        }
        self.house.restart(&[]);
        self.house.wait_for_log("serving");
        self.restarts += 1;
    }
}

/// Faults in the rhythm of the requests, until everybody has left.
fn upset(around: &mut Around<'_>, draw: &mut Draw, ticks: &Receiver<()>) {
    loop {
        for _ in 0..RHYTHM {
            match ticks.recv_timeout(HASTE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return around.mend(),
            }
        }
        around.fail(draw, ticks);
    }
}

#[test]
fn nothing_is_forwarded_without_a_session_by_a_process_that_everything_happens_to() {
    let _confession = Confession("the processes".to_owned());
    let mut draw = Draw::seeded(1000);
    let runtime = Runtime::new().expect("a runtime");
    let provider = runtime.block_on(FaultyProvider::start());
    let headscale = HeadscaleStandin::start(Options::default());
    let wire = Wire::to(headscale.address());
    let mut held = Vec::new();
    let mut house = House::start(|plan| {
        held = hold(plan);
        plan.config(&wire.url(), &provider.issuer(), &SIDES)
    });
    headscale.configure(|options| {
        let trusted = house.plan.issuer_url();
        options.server_url = house.plan.origin();
        options.oidc = Some(Oidc::trusting(&trusted, HEADSCALE_ID, HEADSCALE_SECRET));
    });
    let books = Arc::new(Bookkeeper::new(NO_LIMITS));
    let up = Arc::new(RwLock::new(()));
    let scene = Scene {
        ground: Ground {
            public: house.plan.public,
            books: Arc::clone(&books),
            now: Box::new(|| 0),
        },
        up: Arc::clone(&up),
        lost: Mutex::default(),
        answered: AtomicUsize::new(0),
        unanswered: AtomicUsize::new(0),
        signed_in: AtomicUsize::new(0),
    };
    let mut around = Around {
        provider: &provider,
        headscale: &headscale,
        wire: &wire,
        house: &mut house,
        books: &books,
        up: &up,
        restarts: 0,
    };
    std::thread::scope(|scope| {
        let (sender, ticks) = channel();
        for number in 0..PEOPLE {
            let (scene, draw, sender) = (&scene, draw.apart(), sender.clone());
            scope.spawn(move || live(scene, number, draw, &sender));
        }
        drop(sender);
        upset(&mut around, &mut draw, &ticks);
    });
    let mut forwarded = 0;
    for seen in headscale.requests() {
        match books.judge(&seen) {
            Ok(with_session) => forwarded += usize::from(with_session),
            Err(why) => panic!("{why}"),
        }
    }
    let restarts = around.restarts;
    let (answered, unanswered) = (scene.answered.into_inner(), scene.unanswered.into_inner());
    let signed_in = scene.signed_in.into_inner();
    println!(
        "{answered} answered, {unanswered} not; {signed_in} sign-ins, {forwarded} forwarded with a \
         session, {restarts} restarts"
    );
    drop(held);
    assert!(
        forwarded > 20 && signed_in > 10,
        "too quiet: {forwarded} of {answered}"
    );
    assert!(
        answered > unanswered,
        "{answered} answered, {unanswered} not"
    );
}
