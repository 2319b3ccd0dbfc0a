//! Replicas in one process: a store that can be away, slow and silent, and a clock that obeys.

mod bounds;
mod faults;
mod people;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;

use super::super::testing::{START, ready, session};
use super::super::{KeyRing, Live, SessionId, SessionKey, StoreAway};
use super::front::TRUST;
use super::in_process::{InProcess, Server};
use super::{SharedSessions, SharedSettings};
use crate::domain::departure::Departure;
use crate::domain::door::AuthId;
use crate::domain::identity::{ProviderSession, Subject};
use crate::domain::session::Limits;
use crate::domain::time::{Clock, Timestamp};
use crate::ops::entropy::SystemRandom;
use crate::session::Purpose;

const GRACE: Duration = Duration::from_mins(1);
const LIMITS: Limits = Limits {
    idle: Duration::from_hours(8),
    lifetime: Duration::from_hours(24 * 7),
};
const SECOND: Duration = Duration::from_secs(1);

/// The wall clock goes with the server's.
#[derive(Debug)]
struct Wall(Arc<Server>);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(START).plus(self.0.now())
    }
}

fn keys() -> Arc<KeyRing> {
    static KEYS: OnceLock<Arc<KeyRing>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        Arc::new(KeyRing::load_or_create(&path, Arc::new(SystemRandom::new())).unwrap())
    });
    Arc::clone(keys)
}

struct Replica {
    way: Arc<InProcess>,
    sessions: Arc<SharedSessions>,
    /// Messages that were carried to it.
    heard: usize,
}

impl Replica {
    /// One that hears the others.
    fn start(server: &Arc<Server>) -> Self {
        Self::start_with(server, keys(), &["https://hw.test"])
    }

    fn start_with(server: &Arc<Server>, keys: Arc<KeyRing>, deployment: &[&str]) -> Self {
        Self::start_small(server, keys, deployment, 1000)
    }

    /// One with room for so many sessions in its memory.
    fn start_small(
        server: &Arc<Server>,
        keys: Arc<KeyRing>,
        deployment: &[&str],
        capacity: u64,
    ) -> Self {
        let way = Arc::new(InProcess::new(Arc::clone(server)));
        let settings = SharedSettings {
            limits: LIMITS,
            capacity,
            grace: GRACE,
            prefix: "hw",
            deployment,
            refresh: SECOND,
        };
        let (clock, random) = (Wall(Arc::clone(server)), SystemRandom::new());
        let store = Arc::clone(&way);
        let sessions =
            SharedSessions::new(store, &settings, keys, Arc::new(clock), Arc::new(random));
        let ticking = Arc::clone(server);
        let sessions = Arc::new(sessions.with_ticks(Arc::new(move || ticking.now())));
        sessions.front().listen(true);
        Self {
            way,
            sessions,
            heard: server.messages(0).len(),
        }
    }

    /// Carries every message there is.
    fn hear(&mut self, server: &Server) {
        for message in server.messages(self.heard) {
            self.heard += 1;
            ready(self.sessions.heard(&message));
        }
    }

    fn begin(&self, who: &str, sid: Option<&str>) -> (SessionId, Live) {
        let mut session = session(who, sid);
        session.started_at = self.sessions.clock().now();
        ready(self.sessions.start(session)).unwrap()
    }

    fn find(&self, id: &SessionId) -> Option<Live> {
        ready(self.sessions.find(id)).unwrap()
    }

    fn is_alive(&self, id: &SessionId) -> bool {
        self.find(id).is_some()
    }
}

impl SharedSessions {
    async fn end_subject(&self, subject: &Subject) -> Result<usize, StoreAway> {
        self.end_departed(&Departure::Person(subject.clone())).await
    }

    async fn end_provider_session(&self, sid: &ProviderSession) -> Result<usize, StoreAway> {
        self.end_departed(&Departure::Session(sid.clone())).await
    }
}

fn replicas<const N: usize>() -> (Arc<Server>, [Replica; N]) {
    let server = Arc::new(Server::default());
    let all = [(); N].map(|()| Replica::start(&server));
    (server, all)
}

#[test]
fn what_one_begins_another_finds_and_what_one_ends_is_over_for_all_that_hear_of_it() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", Some("sid"));
    assert_eq!(
        two.find(&id).unwrap().session.identity.subject.as_str(),
        "dominic"
    );
    let ended = ready(one.sessions.end(&live.key)).unwrap().unwrap();
    assert_eq!(ended.identity.subject.as_str(), "dominic");
    assert!(!one.is_alive(&id));
    assert!(
        two.is_alive(&id),
        "its memory is trusted until it hears of it"
    );
    two.hear(&server);
    assert!(!two.is_alive(&id));
    assert_eq!(ready(two.sessions.end(&live.key)).unwrap().map(drop), None);
}

#[test]
fn what_nobody_heard_of_is_over_when_the_memory_is_not_trusted_any_more() {
    let (server, [one, two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    assert!(two.is_alive(&id));
    ready(one.sessions.end(&live.key)).unwrap();
    server.pass(TRUST.saturating_sub(Duration::from_millis(1)));
    assert!(two.is_alive(&id), "not asked again before");
    server.pass(Duration::from_millis(1));
    assert!(!two.is_alive(&id));
}

#[test]
fn whoever_stops_hearing_trusts_nothing_it_knows() {
    let (_, [one, two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    assert!(two.is_alive(&id));
    ready(one.sessions.end(&live.key)).unwrap();
    two.sessions.front().listen(false);
    assert!(!two.is_alive(&id));
    let (id, live) = one.begin("dominic", None);
    assert!(two.is_alive(&id), "the store is asked each time");
    ready(one.sessions.end(&live.key)).unwrap();
    two.sessions.front().listen(true);
    assert!(
        !two.is_alive(&id),
        "what was missed is not trusted after the return"
    );
}

/// Reads take a turn: the store's answer is on its way while something happens.
fn overtaken(
    happens: impl FnOnce(&Replica, &mut Replica, &Live),
) -> (Option<Live>, Replica, SessionId) {
    use std::future::Future as _;
    use std::task::{Context, Poll, Waker};
    let (_, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    two.way.slow(true);
    let (sessions, key) = (Arc::clone(&two.sessions), id.key());
    // By name: a use would ask the store once more, to note it.
    let mut finding = Box::pin(async move { sessions.find_by_key(&key).await });
    let mut context = Context::from_waker(Waker::noop());
    assert!(finding.as_mut().poll(&mut context).is_pending());
    two.way.slow(false);
    happens(&one, &mut two, &live);
    let Poll::Ready(found) = finding.as_mut().poll(&mut context) else {
        panic!("it waits for ever")
    };
    (found.unwrap(), two, id)
}

#[test]
fn an_answer_that_a_revocation_overtook_is_not_taken_in() {
    let (found, two, id) = overtaken(|one, two, live| {
        ready(one.sessions.end(&live.key)).unwrap();
        // It is known there that it ended, and nothing else is known.
        ready(
            two.sessions
                .heard(&super::message::Message::Ended(live.key).to_bytes()),
        );
        two.sessions.front().end(&live.key, Duration::ZERO);
    });
    assert!(found.is_none());
    assert!(!two.is_alive(&id));
}

#[test]
fn an_answer_that_a_change_overtook_is_asked_for_again() {
    let (found, two, id) = overtaken(|one, two, live| {
        let mut changed = (*live.session).clone();
        changed.identity.groups = vec!["new".to_owned()].into();
        ready(one.sessions.update(live, changed)).unwrap().unwrap();
        ready(
            two.sessions
                .heard(&super::message::Message::Changed(live.key).to_bytes()),
        );
    });
    assert!(
        found.unwrap().session.identity.groups.is_empty(),
        "what was on its way"
    );
    assert_eq!(two.find(&id).unwrap().session.identity.groups, ["new"]);
}

#[test]
fn an_update_never_brings_a_session_back() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    let there = two.find(&id).unwrap();
    ready(one.sessions.end(&live.key)).unwrap();
    for _ in 0..2 {
        let update = two.sessions.update(&there, (*there.session).clone());
        assert!(ready(update).unwrap().is_none());
        assert!(!two.is_alive(&id) && !one.is_alive(&id));
        two.hear(&server);
    }
    assert!(there.is_over(), "who follows it there was told");
}

#[test]
fn an_update_is_seen_by_all_and_files_a_new_sid() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", Some("old"));
    assert!(two.is_alive(&id));
    let mut changed = (*live.session).clone();
    changed.provider_session = Some(ProviderSession::new("new"));
    changed.identity.groups = vec!["a".to_owned()].into();
    let live = ready(one.sessions.update(&live, changed)).unwrap().unwrap();
    assert_eq!(live.session.identity.groups, ["a"]);
    two.hear(&server);
    assert_eq!(two.find(&id).unwrap().session.identity.groups, ["a"]);
    for (sid, ended) in [("old", 0), ("new", 1)] {
        let name = ProviderSession::new(sid);
        let end = two.sessions.end_provider_session(&name);
        assert_eq!(ready(end), Ok(ended), "{sid}");
    }
    assert!(!two.is_alive(&id));
}

#[test]
fn a_logout_ends_what_it_names_and_leaves_nothing_in_the_store() {
    let (server, [mut one, two]) = replicas();
    let ids = [
        ("dominic", Some("a")),
        ("dominic", None),
        ("mia", Some("b")),
    ]
    .map(|(who, sid)| one.begin(who, sid).0);
    let alive = |one: &Replica| ids.each_ref().map(|id| one.is_alive(id));
    assert_eq!(
        ready(two.sessions.end_subject(&Subject::new("Dominic"))),
        Ok(0)
    );
    assert_eq!(
        ready(two.sessions.end_subject(&Subject::new("dominic"))),
        Ok(2)
    );
    one.hear(&server);
    assert_eq!(alive(&one), [false, false, true]);
    assert_eq!(
        ready(two.sessions.of_subject(&Subject::new("mia")))
            .unwrap()
            .len(),
        1
    );
    assert_eq!(ready(two.sessions.every()).unwrap().len(), 1);
    assert_eq!(ready(two.sessions.end_every()), Ok(1));
    one.hear(&server);
    assert_eq!(alive(&one), [false; 3]);
    server.pass(Duration::from_mins(2));
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[test]
fn a_session_that_a_logout_is_faster_than_does_not_begin() {
    let (_, [one, two]) = replicas();
    let session = session("dominic", None);
    let key = SessionKey::from_bytes(&[7; 32]).unwrap();
    // Filed, and not written yet.
    ready(one.sessions.list(key, &session)).unwrap();
    assert_eq!(
        ready(two.sessions.end_subject(&Subject::new("dominic"))),
        Ok(0)
    );
    assert_eq!(ready(one.sessions.write(key, &session)), Ok(false));
}

#[test]
fn idle_counts_from_the_last_use_at_any_replica() {
    let (server, [one, two]) = replicas();
    let (id, _) = one.begin("dominic", None);
    for _ in 0..3 {
        server.pass(Duration::from_hours(7));
        assert!(two.is_alive(&id));
    }
    server.pass(Duration::from_hours(7));
    let seen = ready(one.sessions.find_by_key(&id.key())).unwrap().unwrap();
    assert_eq!(
        seen.last_used().unix(),
        START + 3 * 7 * 3600,
        "a look is no use"
    );
    server.pass(Duration::from_hours(1));
    assert!(!one.is_alive(&id) && !two.is_alive(&id));
}

#[test]
fn no_use_carries_a_session_past_its_absolute_limit() {
    let (server, [one, two]) = replicas();
    let (id, _) = one.begin("dominic", None);
    for hour in 0..24 * 7 {
        let at = if hour % 2 == 0 { &one } else { &two };
        assert!(at.is_alive(&id), "after {hour} h");
        server.pass(Duration::from_hours(1));
    }
    assert!(!one.is_alive(&id) && !two.is_alive(&id));
    assert_eq!(server.keys().len(), 2, "the lists go with the next sign-in");
}

#[test]
fn a_renewed_session_takes_its_followers_and_sign_ins_along_everywhere() {
    let (server, [mut one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    let there = two.find(&id).unwrap();
    let (mut here, mut elsewhere) = (live.end(), there.end());
    let device = AuthId::parse(&format!("hskey-authreq-{}", "a".repeat(24))).unwrap();
    let random = SystemRandom::new();
    let now = Timestamp::from_unix(START);
    let token = ready(two.sessions.with_state(&there, |state| {
        state
            .confirmations
            .issue(Purpose::Ssh, &device, &random, now)
    }))
    .unwrap();
    let renewed = ready(one.sessions.renew(&live.key, session("dominic", None))).unwrap();
    let (new_id, new) = renewed.unwrap();
    for replica in [&mut one, &mut two] {
        replica.hear(&server);
        assert!(!replica.is_alive(&id) && replica.is_alive(&new_id));
        ready(replica.sessions.check_followed());
        assert_eq!(replica.sessions.followed().len(), 1);
    }
    assert!(here.try_recv().is_err() && elsewhere.try_recv().is_err());
    let taken = ready(two.sessions.with_state(&new, |state| {
        state.confirmations.take(Purpose::Ssh, &device, &token, now)
    }));
    assert_eq!(
        taken,
        Ok(false),
        "a form of the old session is worth nothing in the new one"
    );
    ready(one.sessions.end(&new.key)).unwrap();
    two.hear(&server);
    assert_eq!(
        (here.try_recv(), elsewhere.try_recv()),
        (Err(TryRecvError::Closed), Err(TryRecvError::Closed))
    );
    assert_eq!(
        ready(one.sessions.renew(&new.key, session("dominic", None)))
            .unwrap()
            .map(drop),
        None
    );
}

#[test]
fn a_state_that_two_replicas_change_at_once_keeps_both_changes() {
    let (_, [one, two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    let there = two.find(&id).unwrap();
    let [a, b] = ["a", "b"]
        .map(|last| AuthId::parse(&format!("hskey-authreq-{}{last}", "a".repeat(23))).unwrap());
    let (random, now) = (SystemRandom::new(), Timestamp::from_unix(START));
    let mut inner = None;
    let mut times = 0;
    let outer = ready(one.sessions.with_state(&live, |state| {
        times += 1;
        if inner.is_none() {
            // In between, the other one is faster.
            inner = Some(ready(two.sessions.with_state(&there, |state| {
                state.confirmations.issue(Purpose::Ssh, &b, &random, now)
            })));
        }
        state.confirmations.issue(Purpose::Ssh, &a, &random, now)
    }));
    assert_eq!(times, 2);
    for (device, token) in [(&a, outer.unwrap()), (&b, inner.unwrap().unwrap())] {
        for expected in [true, false] {
            let take = two.sessions.with_state(&there, |state| {
                state.confirmations.take(Purpose::Ssh, device, &token, now)
            });
            assert_eq!(ready(take), Ok(expected));
        }
    }
}

#[test]
fn without_the_store_what_was_confirmed_lately_counts_and_nothing_else() {
    let (server, [one, two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    for replica in [&one, &two] {
        replica.way.cut(true);
        replica.sessions.front().listen(false);
    }
    assert!(one.is_alive(&id));
    assert_eq!(ready(two.sessions.find(&id)).map(drop), Err(StoreAway));
    for made in [
        ready(one.sessions.start(session("mia", None))).map(drop),
        ready(one.sessions.first_use("state", "a", SECOND)).map(drop),
        ready(one.sessions.hold_refresh(&live.key)).map(drop),
        ready(one.sessions.with_state(&live, |_| ())),
        ready(one.sessions.update(&live, session("mia", None))).map(drop),
        ready(one.sessions.take("code", "a")).map(drop),
    ] {
        assert_eq!(made, Err(StoreAway));
    }
    server.pass(GRACE.saturating_sub(SECOND));
    assert!(one.is_alive(&id));
    let mut follower = one.find(&id).unwrap().end();
    ready(one.sessions.check_followed());
    assert!(
        follower
            .try_recv()
            .is_err_and(|why| why == TryRecvError::Empty)
    );
    server.pass(SECOND);
    assert_eq!(ready(one.sessions.find(&id)).map(drop), Err(StoreAway));
    ready(one.sessions.check_followed());
    assert!(
        follower
            .try_recv()
            .is_err_and(|why| why == TryRecvError::Closed)
    );
    one.way.cut(false);
    assert!(one.is_alive(&id), "it recovers");
}

#[test]
fn an_end_that_the_store_was_not_told_of_holds_here_and_is_told_later() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    let (other, _) = two.begin("dominic", None);
    assert!(two.is_alive(&id) && one.is_alive(&other));
    one.way.cut(true);
    assert_eq!(ready(one.sessions.end(&live.key)).map(drop), Err(StoreAway));
    assert_eq!(ready(one.sessions.find(&id)).unwrap().map(drop), None);
    assert_eq!(
        ready(one.sessions.end_subject(&Subject::new("dominic"))),
        Err(StoreAway)
    );
    assert_eq!(ready(one.sessions.find(&other)).unwrap().map(drop), None);
    assert!(two.is_alive(&id) && two.is_alive(&other));
    // Not told in vain: it is still owed.
    assert_eq!(ready(one.sessions.pay()), Err(StoreAway));
    one.way.cut(false);
    assert_eq!(ready(one.sessions.pay()), Ok(()));
    assert!(!one.sessions.front().owes());
    two.hear(&server);
    assert!(!two.is_alive(&id) && !two.is_alive(&other));
}

#[test]
fn what_the_store_did_and_could_not_say_is_not_taken_for_done() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    assert!(two.is_alive(&id));
    one.way.deaf(true);
    assert_eq!(
        ready(one.sessions.start(session("mia", None))).map(drop),
        Err(StoreAway)
    );
    assert_eq!(
        ready(one.sessions.first_use("state", "a", SECOND)),
        Err(StoreAway)
    );
    assert_eq!(ready(one.sessions.end(&live.key)).map(drop), Err(StoreAway));
    one.way.deaf(false);
    assert!(!one.is_alive(&id));
    assert_eq!(
        ready(one.sessions.first_use("state", "a", SECOND)),
        Ok(false),
        "once is once"
    );
    // The others are told whatever the store's answer was.
    two.hear(&server);
    assert!(!two.is_alive(&id));
}

#[test]
fn a_store_that_was_restored_from_a_copy_is_told_what_ended_since() {
    let (server, [mut one, _]) = replicas();
    let (id, live) = one.begin("dominic", None);
    let copy = server.copy();
    ready(one.sessions.end(&live.key)).unwrap();
    server.restore(copy);
    one.hear(&server);
    assert!(!one.is_alive(&id), "here it is known");
    let fresh = Replica::start(&server);
    assert!(fresh.is_alive(&id), "to whom it is not, it looks alive");
    ready(one.sessions.pay_and_remind()).unwrap();
    let fresh = Replica::start(&server);
    assert!(!fresh.is_alive(&id));
}

#[test]
fn names_work_once_rights_are_held_by_one_and_tickets_are_taken_by_one() {
    let (server, [one, two]) = replicas();
    let minute = Duration::from_mins(1);
    let first = |replica: &Replica, kind: &str, name: &str| {
        ready(replica.sessions.first_use(kind, name, minute)).unwrap()
    };
    assert!(first(&one, "state", "a"));
    assert!(!first(&one, "state", "a") && !first(&two, "state", "a"));
    assert!(first(&two, "jti", "a") && first(&two, "state", "b"));
    assert_eq!(ready(two.sessions.was_used("state", "a")), Ok(true));
    assert_eq!(ready(two.sessions.was_used("state", "c")), Ok(false));

    ready(one.sessions.put("code", "n", b"value", minute)).unwrap();
    assert_eq!(
        ready(two.sessions.peek("code", "n")),
        Ok(Some(b"value".to_vec()))
    );
    assert_eq!(
        ready(two.sessions.take("access", "n")),
        Ok(None),
        "another kind"
    );
    assert_eq!(
        ready(two.sessions.take("code", "n")),
        Ok(Some(b"value".to_vec()))
    );
    assert_eq!(ready(one.sessions.take("code", "n")), Ok(None));
    ready(one.sessions.put("code", "m", b"value", minute)).unwrap();

    let (_, live) = one.begin("dominic", None);
    let held = ready(one.sessions.hold_refresh(&live.key)).unwrap();
    assert!(held.is_some());
    assert!(
        ready(two.sessions.hold_refresh(&live.key))
            .unwrap()
            .is_none()
    );
    server.pass(minute);
    assert!(
        ready(two.sessions.hold_refresh(&live.key))
            .unwrap()
            .is_some(),
        "not for ever"
    );
    assert_eq!(ready(two.sessions.take("code", "m")), Ok(None), "over");
    assert!(
        first(&two, "state", "a"),
        "its lifetime is over, and with it what it was good for"
    );
}

#[test]
fn a_log_is_read_by_all_from_where_each_began() {
    let (server, [one, two]) = replicas();
    let read = |replica: &Replica, from: u64| {
        let entries = ready(replica.sessions.since("who left", from)).unwrap();
        entries
            .into_iter()
            .flatten()
            .map(|entry| String::from_utf8(entry).unwrap())
            .collect::<Vec<_>>()
    };
    let end = |replica: &Replica| ready(replica.sessions.position("who left")).unwrap();
    assert_eq!(end(&one), 0);
    ready(one.sessions.append("who left", b"dominic")).unwrap();
    let between = end(&two);
    ready(two.sessions.append("who left", b"mia")).unwrap();
    ready(two.sessions.append("who left", b"mia")).unwrap();
    assert_eq!(read(&one, 0), ["dominic", "mia", "mia"]);
    assert_eq!(read(&one, between), ["mia", "mia"]);
    assert_eq!(read(&one, end(&one)), Vec::<String>::new());
    assert!(!String::from_utf8_lossy(&server.dump()).contains("mia"));
}

#[tokio::test]
async fn a_right_is_given_back_when_it_is_dropped_and_only_by_its_holder() {
    let (server, [one, two]) = replicas();
    let key = SessionKey::from_bytes(&[1; 32]).unwrap();
    let held = one.sessions.hold_refresh(&key).await.unwrap().unwrap();
    drop(held);
    tokio::task::yield_now().await;
    let second = two.sessions.hold_refresh(&key).await.unwrap();
    assert!(second.is_some(), "given back");
    server.pass(SECOND * 2);
    let third = one.sessions.hold_refresh(&key).await.unwrap();
    drop(second);
    tokio::task::yield_now().await;
    assert!(
        two.sessions.hold_refresh(&key).await.unwrap().is_none(),
        "not the other's to give"
    );
    drop(third);
}

#[test]
fn replicas_agree_on_what_was_said_first_and_only_with_one_key_ring() {
    let (server, [one, two]) = replicas();
    let agree = |replica: &Replica, mine: &[u8]| ready(replica.sessions.agree("key", mine));
    assert_eq!(agree(&one, b"one"), Ok(b"one".to_vec()));
    assert_eq!(agree(&two, b"two"), Ok(b"one".to_vec()));
    ready(two.sessions.insist("key", b"two")).unwrap();
    assert_eq!(agree(&one, b"one"), Ok(b"two".to_vec()));
    let directory = tempfile::tempdir().unwrap();
    let random = Arc::new(SystemRandom::new());
    let others = KeyRing::load_or_create(&directory.path().join("keys.json"), random).unwrap();
    let stranger = Replica::start_with(&server, Arc::new(others), &["https://hw.test"]);
    assert_eq!(agree(&stranger, b"x"), Err(super::AgreeError::Sealed));
    let (id, _) = one.begin("dominic", None);
    assert!(
        !stranger.is_alive(&id),
        "what cannot be opened is no session"
    );
    let neighbour = Replica::start_with(&server, keys(), &["https://other.test"]);
    assert!(
        !neighbour.is_alive(&id),
        "nor is that of another deployment with the same keys"
    );
    assert_eq!(
        ready(neighbour.sessions.end_subject(&Subject::new("dominic"))),
        Ok(0)
    );
    assert!(one.is_alive(&id));
}

#[test]
fn a_rotation_keeps_what_was_agreed_and_a_second_one_does_too() {
    let server = Arc::new(Server::default());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let replica = || {
        let keys = KeyRing::load_or_create(&path, Arc::new(SystemRandom::new())).unwrap();
        Replica::start_with(&server, Arc::new(keys), &["https://hw.test"])
    };
    let first = replica();
    assert_eq!(
        ready(first.sessions.agree("key", b"one")),
        Ok(b"one".to_vec())
    );
    let (id, _) = first.begin("dominic", None);
    for rotation in 1..4 {
        crate::session::keyring::rotate(&path, &SystemRandom::new(), false).unwrap();
        let next = replica();
        assert_eq!(
            ready(next.sessions.agree("key", b"two")),
            Ok(b"one".to_vec())
        );
        assert_eq!(
            next.is_alive(&id),
            rotation == 1,
            "sealed with the key before"
        );
        let (newer, _) = next.begin("mia", None);
        let old = ready(next.sessions.end_subject(&Subject::new("dominic")));
        assert_eq!(
            old,
            Ok(usize::from(rotation == 1)),
            "found by the key before"
        );
        assert_eq!(
            ready(next.sessions.end_subject(&Subject::new("mia"))),
            Ok(1)
        );
        assert!(!next.is_alive(&newer));
    }
}

#[test]
fn a_hundred_sessions_of_one_person_are_the_most_and_those_that_are_over_do_not_count() {
    let (server, [one, mut two]) = replicas();
    let (mia, _) = one.begin("mia", None);
    let mut ids: Vec<SessionId> = Vec::new();
    for n in 0..100 {
        ids.push([&one, &two][n % 2].begin("dominic", None).0);
        server.pass(SECOND);
    }
    ready(one.sessions.end(&ids[50].key())).unwrap();
    ids.push(one.begin("dominic", None).0);
    two.hear(&server);
    let alive = |two: &Replica, ids: &[SessionId]| ids.iter().filter(|id| two.is_alive(id)).count();
    assert_eq!(alive(&two, &ids), 100, "an ended one made room");
    ids.push(two.begin("dominic", None).0);
    assert_eq!(alive(&two, &ids), 100);
    assert!(!two.is_alive(&ids[0]) && two.is_alive(&ids[1]) && two.is_alive(&ids[101]));
    assert!(two.is_alive(&mia));
}

#[test]
fn nothing_in_the_store_or_in_a_message_can_be_read() {
    let (server, [one, two]) = replicas();
    let (id, live) = one.begin("dominic-the-subject", Some("the-sid-of-it"));
    let device = AuthId::parse(&format!("hskey-authreq-{}", "a".repeat(24))).unwrap();
    let (random, now) = (SystemRandom::new(), Timestamp::from_unix(START));
    let there = two.find(&id).unwrap();
    let token = ready(two.sessions.with_state(&there, |state| {
        state
            .confirmations
            .issue(Purpose::Ssh, &device, &random, now)
    }))
    .unwrap();
    ready(one.sessions.first_use("jti", "the-jti", SECOND)).unwrap();
    ready(one.sessions.put("code", "the-code", b"the-grant", SECOND)).unwrap();
    ready(one.sessions.agree("key", b"the-private-key")).unwrap();
    ready(two.sessions.update(&live, (*live.session).clone())).unwrap();
    let dump = server.dump();
    let shown = String::from_utf8_lossy(&dump);
    assert!(shown.contains("hw:s:"), "the scan can find something");
    for secret in [
        "dominic",
        "the-sid",
        "the-jti",
        "the-code",
        "the-grant",
        "the-private-key",
        "example.net",
        "e30.e30.e30",
        "authentik",
        "127.0.0.1",
        "Test/1.0",
        "hskey",
        "authreq",
        &token,
        &id.expose(),
    ] {
        assert!(!shown.contains(secret), "{secret}");
    }
    assert!(!format!("{:?} {:?}", one.sessions, live).contains("dominic"));
}

/// Nobody has to look a session up for that.
#[test]
fn what_is_open_ends_with_the_limits_of_its_session() {
    for (hours, stays) in [(0, true), (7, true), (9, false), (24 * 8, false)] {
        let (server, [one]) = replicas();
        let (_, live) = one.begin("ada", None);
        let mut end = live.end();
        server.pass(Duration::from_hours(hours));
        let left = one.sessions.followed();
        assert_eq!(left.len(), usize::from(stays), "{hours} h");
        let open = end.try_recv() == Err(TryRecvError::Empty);
        assert_eq!(open, stays, "{hours} h");
    }
}
