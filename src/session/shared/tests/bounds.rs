//! Whatever happens in whatever order, no replica accepts a session later than the bound that
//! `docs/sessions.md` states.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;

const REPLICAS: usize = 3;
const PEOPLE: [&str; 2] = ["dominic", "mia"];
/// A replica that is connected hears what happened within this time.
const HEARS: Duration = SECOND;
/// A connection that is broken is noticed within this time.
const NOTICES: Duration = Duration::from_secs(2);
/// Sessions in the memory of a replica: fewer than there are at times.
const CAPACITY: u64 = 3;

/// Something happens, at one of the replicas mostly.
#[derive(Clone, Copy, Debug)]
enum Step {
    SignIn(usize, usize),
    /// The other replicas list the person's sessions before the new one is written.
    SignInSlowly(usize, usize),
    List(usize, usize),
    /// Something open begins to hang on what was found last.
    Follow(usize, usize),
    Find(usize, usize),
    /// The answer of the store is on its way until [`Step::Arrive`].
    FindSlowly(usize, usize),
    Arrive,
    /// A refresh: another session changes while the store is asked. Where the session is over, the end of
    /// one that began with what was found last.
    Refresh(usize, usize),
    SignOut(usize, usize),
    Logout(usize, usize),
    Crash(usize),
    /// Commands fail, and messages arrive.
    Fail(usize),
    /// Nothing comes through.
    Cut(usize),
    /// Messages are lost, and nobody notices at first.
    Deafen(usize),
    Heal(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..REPLICAS;
    let which = || (0..REPLICAS, any::<usize>());
    let who = || (0..REPLICAS, 0..PEOPLE.len());
    prop_oneof![
        2 => who().prop_map(|(at, who)| Step::SignIn(at, who)),
        1 => who().prop_map(|(at, who)| Step::SignInSlowly(at, who)),
        1 => who().prop_map(|(at, who)| Step::List(at, who)),
        2 => which().prop_map(|(at, which)| Step::Follow(at, which)),
        8 => which().prop_map(|(at, which)| Step::Find(at, which)),
        3 => which().prop_map(|(at, which)| Step::FindSlowly(at, which)),
        3 => Just(Step::Arrive),
        3 => which().prop_map(|(at, which)| Step::Refresh(at, which)),
        2 => which().prop_map(|(at, which)| Step::SignOut(at, which)),
        1 => who().prop_map(|(at, who)| Step::Logout(at, who)),
        1 => at().prop_map(Step::Crash),
        2 => at().prop_map(Step::Fail),
        1 => at().prop_map(Step::Cut),
        1 => at().prop_map(Step::Deafen),
        2 => at().prop_map(Step::Heal),
        4 => prop_oneof![1_u64..900, 1_u64..90_000].prop_map(Step::Pass),
    ]
}

/// How a replica is connected, and since when.
#[derive(Clone, Copy, Debug)]
enum Link {
    /// It hears everything.
    Whole(Duration),
    /// It hears nothing; the store answers, or it is cut off from that too.
    Broken { since: Duration, cut: bool },
}

fn small(server: &Arc<Server>) -> Replica {
    Replica::start_small(server, keys(), &["https://hw.test"], CAPACITY)
}

type Finding = Pin<Box<dyn Future<Output = Result<Option<Live>, StoreAway>>>>;

struct World {
    server: Arc<Server>,
    replicas: Vec<Replica>,
    links: Vec<Link>,
    ids: Vec<(SessionId, usize)>,
    /// When it was said to be over, and where.
    over: BTreeMap<usize, (Duration, usize)>,
    /// Where it was ended in vain: that replica owes it to the store.
    owed: BTreeMap<usize, usize>,
    views: BTreeMap<(usize, usize), Live>,
    /// Where something open hangs on which session.
    following: Vec<(usize, usize, oneshot::Receiver<()>)>,
    failing: [bool; REPLICAS],
    /// What was last written of a session.
    written: BTreeMap<usize, usize>,
    /// Answers on their way; with the time where the session was over before they were asked for.
    slow: Vec<(usize, usize, Option<Duration>, Finding)>,
    all_heard: Duration,
}

impl World {
    fn new() -> Self {
        let server = Arc::new(Server::default());
        Self {
            replicas: (0..REPLICAS).map(|_| small(&server)).collect(),
            links: vec![Link::Whole(Duration::ZERO); REPLICAS],
            server,
            ids: Vec::new(),
            over: BTreeMap::new(),
            owed: BTreeMap::new(),
            views: BTreeMap::new(),
            following: Vec::new(),
            failing: [false; REPLICAS],
            written: BTreeMap::new(),
            slow: Vec::new(),
            all_heard: Duration::ZERO,
        }
    }

    fn take(&mut self, step: Step) {
        // No two steps are at one time.
        self.pass(Duration::from_millis(1));
        let now = self.server.now();
        match step {
            Step::SignIn(at, who) => self.sign_in(at, who),
            Step::SignInSlowly(at, who) => self.sign_in_slowly(at, who),
            Step::List(at, who) => {
                let _ = ready(
                    self.replicas[at]
                        .sessions
                        .of_subject(&Subject::new(PEOPLE[who])),
                );
            }
            Step::Follow(at, which) => {
                if let Some(n) = self.pick(which)
                    && let Some(live) = self.views.get(&(at, n))
                {
                    self.following.push((at, n, live.end()));
                }
            }
            Step::Fail(at) => {
                if matches!(self.links[at], Link::Whole(_)) {
                    self.replicas[at].way.cut(true);
                    self.failing[at] = true;
                }
            }
            Step::Find(at, which) => {
                if let Some(n) = self.pick(which) {
                    let (sessions, id) = (&self.replicas[at].sessions, &self.ids[n].0);
                    let found = if which % 2 == 0 {
                        ready(sessions.find(id))
                    } else {
                        ready(sessions.find_by_key(&id.key()))
                    };
                    self.judge(at, n, now, found);
                }
            }
            Step::FindSlowly(at, which) => self.find_slowly(at, which, now),
            Step::Arrive => {
                for (at, n, asked, finding) in std::mem::take(&mut self.slow) {
                    self.arrive(at, n, asked, finding);
                }
            }
            Step::Refresh(at, which) => self.refresh(at, which),
            Step::SignOut(at, which) => {
                if let Some(n) = self.pick(which) {
                    let key = self.ids[n].0.key();
                    let sessions = &self.replicas[at].sessions;
                    let real = sessions.front().is_real(&key);
                    match ready(sessions.end(&key)) {
                        // For all that is known there it was nobody's: another one ended it, and that one's
                        // word counts.
                        Ok(None) if !real => self.ended(n, REPLICAS, true),
                        Ok(_) => self.ended(n, at, true),
                        Err(StoreAway) if real => self.ended(n, at, false),
                        // In vain, and nobody's: it is not owed.
                        Err(StoreAway) => {}
                    }
                    let found = ready(self.replicas[at].sessions.find(&self.ids[n].0));
                    assert!(!matches!(found, Ok(Some(_))), "{n} was ended at {at}");
                }
            }
            Step::Logout(at, who) => {
                let subject = Subject::new(PEOPLE[who]);
                let front = self.replicas[at].sessions.front();
                let known: Vec<bool> = self
                    .ids
                    .iter()
                    .map(|(id, _)| front.is_real(&id.key()))
                    .collect();
                let told = ready(self.replicas[at].sessions.end_subject(&subject)).is_ok();
                for (n, known) in known.into_iter().enumerate() {
                    if self.ids[n].1 == who {
                        // What it did not know may have been over by another one's word.
                        let place = if told && !known { REPLICAS } else { at };
                        self.ended(n, place, told);
                    }
                }
            }
            Step::Crash(at) => self.crash(at, now),
            Step::Cut(at) => self.break_link(at, now, true),
            Step::Deafen(at) => self.break_link(at, now, false),
            Step::Heal(at) => self.heal(at),
            Step::Pass(millis) => self.pass(Duration::from_millis(millis)),
        }
    }

    fn pick(&self, which: usize) -> Option<usize> {
        (!self.ids.is_empty()).then(|| which % self.ids.len())
    }

    fn sign_in(&mut self, at: usize, who: usize) {
        let mut session = session(PEOPLE[who], None);
        session.started_at = Wall(Arc::clone(&self.server)).now();
        if let Ok((id, live)) = ready(self.replicas[at].sessions.start(session)) {
            self.views.insert((at, self.ids.len()), live);
            self.ids.push((id, who));
        }
    }

    fn sign_in_slowly(&mut self, at: usize, who: usize) {
        let mut session = session(PEOPLE[who], None);
        session.started_at = Wall(Arc::clone(&self.server)).now();
        let id = SessionId::generate(&SystemRandom::new());
        let sessions = Arc::clone(&self.replicas[at].sessions);
        if ready(sessions.list(id.key(), &session)).is_err() {
            return;
        }
        for other in 0..REPLICAS {
            self.take(Step::List(other, who));
        }
        if let Ok(true) = ready(sessions.write(id.key(), &session)) {
            self.ids.push((id, who));
        }
    }

    fn find_slowly(&mut self, at: usize, which: usize, now: Duration) {
        let Some(n) = self.pick(which) else { return };
        let (replica, key) = (&self.replicas[at], self.ids[n].0.key());
        let sessions = Arc::clone(&replica.sessions);
        // By name: a use would ask the store once more, to note it.
        let mut finding: Finding = Box::pin(async move { sessions.find_by_key(&key).await });
        replica.way.slow(true);
        let polled = finding
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        replica.way.slow(false);
        match polled {
            Poll::Ready(found) => self.judge(at, n, now, found),
            Poll::Pending => {
                let asked = self.over.contains_key(&n).then_some(now);
                self.slow.push((at, n, asked, finding));
            }
        }
    }

    fn arrive(&mut self, at: usize, n: usize, asked: Option<Duration>, mut finding: Finding) {
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(found) = finding.as_mut().poll(&mut context) else {
            return;
        };
        let ended_here = self.over.get(&n).is_some_and(|(_, place)| *place == at);
        match (asked, found) {
            (Some(asked), found) => self.judge(at, n, asked, found),
            // It was on its way when the session ended: not late, except where that is known.
            (None, Ok(Some(live))) => {
                assert!(!ended_here, "{n} was ended at {at}");
                self.views.insert((at, n), live);
            }
            (None, Ok(None) | Err(StoreAway)) => {}
        }
    }

    fn refresh(&mut self, at: usize, which: usize) {
        let Some(n) = self.pick(which) else { return };
        let sessions = Arc::clone(&self.replicas[at].sessions);
        if self.over.contains_key(&n) {
            let Some(view) = self.views.get(&(at, n)).cloned() else {
                return;
            };
            let updated = ready(sessions.update(&view, (*view.session).clone()));
            assert!(
                !matches!(updated, Ok(Some(_))),
                "{n} was brought back at {at}"
            );
            return;
        }
        let key = self.ids[n].0.key();
        let Ok(Some(_held)) = ready(sessions.hold_refresh(&key)) else {
            return;
        };
        let Ok(Some(live)) = self.found_meanwhile(at, &key) else {
            return;
        };
        let before = self.written.get(&n).copied().unwrap_or_default();
        assert_eq!(
            live.session.identity.groups.len(),
            before,
            "{n} is refreshed at {at} from what is not the newest"
        );
        let mut session = (*live.session).clone();
        session.identity.groups = vec!["again".to_owned(); before + 1].into();
        if let Ok(Some(_)) = ready(sessions.update(&live, session)) {
            self.written.insert(n, before + 1);
        }
    }

    /// What is found while another session changes.
    fn found_meanwhile(&self, at: usize, key: &SessionKey) -> Result<Option<Live>, StoreAway> {
        let replica = &self.replicas[at];
        let mut finding = Box::pin(replica.sessions.find_by_key(key));
        let mut context = Context::from_waker(Waker::noop());
        replica.way.slow(true);
        let polled = finding.as_mut().poll(&mut context);
        replica.way.slow(false);
        if let Poll::Ready(found) = polled {
            return found;
        }
        let other = SessionKey::from_bytes(&[1; SessionKey::LENGTH]).unwrap();
        replica.sessions.front().doubt(&other);
        ready(finding)
    }

    fn ended(&mut self, n: usize, at: usize, told: bool) {
        if told {
            let now = self.server.now();
            self.over.entry(n).or_insert((now, at));
        } else if !self.over.contains_key(&n) {
            self.owed.insert(n, at);
        }
    }

    fn crash(&mut self, at: usize, now: Duration) {
        self.slow.retain(|(place, ..)| *place != at);
        self.views.retain(|(place, _), _| *place != at);
        // What it owed is lost with it, and so is what it remembered.
        self.owed.retain(|_, place| *place != at);
        for (_, place) in self.over.values_mut().filter(|(_, place)| *place == at) {
            *place = REPLICAS;
        }
        self.following.retain(|(place, ..)| *place != at);
        self.failing[at] = false;
        self.replicas[at] = small(&self.server);
        self.links[at] = Link::Whole(now);
    }

    fn break_link(&mut self, at: usize, now: Duration, cut: bool) {
        let since = match self.links[at] {
            Link::Whole(_) => now,
            Link::Broken { since, .. } => since,
        };
        self.replicas[at].way.cut(cut);
        self.failing[at] = false;
        self.links[at] = Link::Broken { since, cut };
    }

    /// Connected anew: from here on it hears, what it missed is lost, and what it owes it pays.
    fn heal(&mut self, at: usize) {
        if matches!(self.links[at], Link::Whole(_)) {
            // Commands go through again, and nothing else tells it so.
            if std::mem::replace(&mut self.failing[at], false) {
                self.replicas[at].way.cut(false);
            }
            return;
        }
        let (now, replica) = (self.server.now(), &mut self.replicas[at]);
        replica.way.cut(false);
        replica.sessions.front().listen(false);
        replica.heard = self.server.messages(0).len();
        replica.sessions.front().listen(true);
        ready(replica.sessions.pay_and_remind()).unwrap();
        self.links[at] = Link::Whole(now);
        self.has_paid(at);
    }

    fn has_paid(&mut self, at: usize) {
        let now = self.server.now();
        let paid = self.owed.extract_if(.., |_, place| *place == at);
        for (n, place) in paid.collect::<Vec<_>>() {
            self.over.entry(n).or_insert((now, place));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.server.pass(time);
        let now = self.server.now();
        let all = now.saturating_sub(self.all_heard) >= HEARS;
        for (link, replica) in self.links.iter().zip(&mut self.replicas) {
            match link {
                Link::Whole(_) if all => replica.hear(&self.server),
                Link::Broken { since, .. } if now.saturating_sub(*since) >= NOTICES => {
                    replica.sessions.front().listen(false);
                }
                Link::Whole(_) | Link::Broken { .. } => {}
            }
        }
        if all {
            self.all_heard = now;
            self.rounds();
        }
    }

    /// What each replica does by itself now and then.
    fn rounds(&mut self) {
        for at in 0..REPLICAS {
            let sessions = Arc::clone(&self.replicas[at].sessions);
            ready(sessions.pay_in_between());
            ready(sessions.check_followed());
            sessions.sweep();
            if matches!(self.links[at], Link::Whole(_)) && !self.failing[at] {
                self.has_paid(at);
            }
        }
    }

    /// The property.
    fn judge(
        &mut self,
        at: usize,
        n: usize,
        asked: Duration,
        found: Result<Option<Live>, StoreAway>,
    ) {
        let Ok(Some(live)) = found else { return };
        assert_eq!(
            live.session.identity.subject.as_str(),
            PEOPLE[self.ids[n].1]
        );
        self.views.insert((at, n), live);
        let Some((ended, place)) = self.over.get(&n).copied() else {
            return;
        };
        let link = self.links[at];
        let bound = match link {
            _ if place == at => Duration::ZERO,
            // Messages are carried in rounds here: one that is said in a round is heard after the next.
            Link::Whole(since) if since <= ended => HEARS * 2,
            // It missed the message, and cannot ask.
            Link::Whole(_) if self.failing[at] => GRACE,
            Link::Whole(_) => Duration::ZERO,
            Link::Broken { cut: false, .. } => TRUST,
            Link::Broken { cut: true, .. } => GRACE,
        };
        assert!(
            asked.saturating_sub(ended) < bound,
            "{n} ended at {ended:?}, {at} accepts it at {asked:?}: {link:?}"
        );
    }

    /// When everything is whole again, what ended is over everywhere.
    fn settle(&mut self) {
        self.slow.clear();
        for at in 0..REPLICAS {
            self.heal(at);
        }
        // What is paid in the first round is heard in the second.
        self.pass(HEARS);
        self.pass(HEARS);
        assert!(self.owed.is_empty());
        for (at, n, end) in &mut self.following {
            let told = end.try_recv() == Err(TryRecvError::Closed);
            assert!(
                told || !self.over.contains_key(n),
                "{n} is over, and something at {at} hangs on it still"
            );
        }
        for (who, name) in PEOPLE.iter().enumerate() {
            let alive =
                |n: &usize| self.ids[*n].1 == who && self.replicas[0].is_alive(&self.ids[*n].0);
            let alive = (0..self.ids.len()).filter(alive).count();
            let listed = ready(self.replicas[1].sessions.of_subject(&Subject::new(*name)));
            assert_eq!(listed.unwrap().len(), alive, "all of {name}'s are listed");
        }
        for (n, (id, _)) in self.ids.iter().enumerate() {
            let found = self.replicas.iter().map(|replica| replica.is_alive(id));
            let alive: Vec<bool> = found.collect();
            let expected = !self.over.contains_key(&n);
            // Where somebody lost what they owed, it lives; else it is dead or alive for all.
            if !expected {
                assert_eq!(alive, [false; REPLICAS], "{n} is over");
            }
        }
    }
}

/// Runs the steps, to the end.
fn world_after(steps: &[Step]) -> World {
    let mut world = World::new();
    for step in steps {
        world.take(*step);
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_replica_accepts_what_ended_later_than_the_bound(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        world_after(&steps);
    }

    #[test]
    fn what_nobody_ended_stays_alive_at_every_replica(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let ends = |step: &Step| matches!(step, Step::SignOut(..) | Step::Logout(..));
        let harmless: Vec<Step> = steps.into_iter().filter(|step| !ends(step)).collect();
        let world = world_after(&harmless);
        for (id, _) in &world.ids {
            for replica in &world.replicas {
                prop_assert!(replica.is_alive(id));
            }
        }
    }
}
