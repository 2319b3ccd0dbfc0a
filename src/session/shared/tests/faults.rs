//! What must not go wrong while the store answers one and not the other, while others list, rotate and
//! renew, and while the memory is full.

use std::future::Future as _;
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot::Receiver;

use super::super::message::Message;
use super::super::over::Debt;
use super::*;
use crate::domain::departure::Departure;
use crate::session::Departures;
use crate::session::keyring;

fn dominic() -> Subject {
    Subject::new("dominic")
}

fn logout(sid: &str) -> Departure {
    Departure::SessionOf(ProviderSession::new(sid), dominic())
}

fn listed(replica: &Replica) -> usize {
    ready(replica.sessions.of_subject(&dominic()))
        .unwrap()
        .len()
}

fn is_told(follower: &mut Receiver<()>) -> bool {
    follower.try_recv() == Err(TryRecvError::Closed)
}

/// An old replica and one whose key ring has a newer key.
pub(super) fn rotated(server: &Arc<Server>) -> [Replica; 2] {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let replica = || {
        let keys = KeyRing::load_or_create(&path, Arc::new(SystemRandom::new())).unwrap();
        Replica::start_with(server, Arc::new(keys), &["https://hw.test"])
    };
    let old = replica();
    keyring::rotate(&path, &SystemRandom::new(), false).unwrap();
    [old, replica()]
}

#[test]
fn what_is_owed_is_paid_while_messages_still_arrive() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    let (other, _) = one.begin("mia", None);
    assert!(two.is_alive(&id) && two.is_alive(&other));
    // Commands fail, and the connection for messages does not break.
    one.way.cut(true);
    assert_eq!(ready(one.sessions.end(&live.key)).map(drop), Err(StoreAway));
    assert_eq!(ready(one.sessions.end_every()), Err(StoreAway));
    ready(one.sessions.pay_in_between());
    assert!(one.sessions.front().owes());
    one.way.cut(false);
    ready(one.sessions.pay_in_between());
    assert!(!one.sessions.front().owes());
    two.hear(&server);
    assert!(!two.is_alive(&id) && !two.is_alive(&other));
    assert!(!Replica::start(&server).is_alive(&id));
}

#[test]
fn a_logout_that_is_tried_again_finds_what_ended_at_this_replica_only() {
    let (server, [one, mut two]) = replicas();
    let (id, _) = one.begin("dominic", Some("sid"));
    let (elsewhere, _) = one.begin("dominic", Some("other"));
    let (unnamed, _) = one.begin("dominic", None);
    assert!(two.is_alive(&id));
    one.way.cut(true);
    assert_eq!(
        ready(one.sessions.end_departed(&logout("sid"))),
        Err(StoreAway)
    );
    one.way.cut(false);
    server.pass(Duration::from_mins(2));
    assert_eq!(listed(&one), 1, "what is over here is not shown");
    assert_eq!(ready(one.sessions.end_departed(&logout("sid"))), Ok(2));
    two.hear(&server);
    assert!(!two.is_alive(&id) && !two.is_alive(&unnamed));
    assert!(two.is_alive(&elsewhere));
}

#[test]
fn a_listing_takes_nobody_out_of_the_lists_who_is_there_or_is_about_to_be() {
    let (server, [one, two]) = replicas();
    let starting = session("dominic", None);
    let key = SessionKey::from_bytes(&[7; 32]).unwrap();
    ready(one.sessions.list(key, &starting)).unwrap();
    assert_eq!(listed(&two), 0);
    assert_eq!(ready(one.sessions.write(key, &starting)), Ok(true));
    assert_eq!(ready(two.sessions.end_subject(&dominic())), Ok(1));

    let (_, live) = one.begin("dominic", None);
    one.way.cut(true);
    ready(one.sessions.end(&live.key)).unwrap_err();
    one.way.cut(false);
    server.pass(Duration::from_mins(2));
    assert_eq!((listed(&one), listed(&two)), (0, 1));
    assert_eq!(ready(two.sessions.end_subject(&dominic())), Ok(1));
}

#[test]
fn what_is_gone_for_long_leaves_the_lists() {
    let (server, [one, two]) = replicas();
    one.begin("dominic", None);
    server.pass(LIMITS.idle);
    assert_eq!(server.keys().len(), 2);
    assert_eq!(listed(&two), 0);
    assert_eq!(ready(two.sessions.every()).unwrap().len(), 0);
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[test]
fn what_a_newer_key_sealed_is_neither_taken_for_gone_nor_missed_by_a_logout() {
    let server = Arc::new(Server::default());
    let [old, mut new] = rotated(&server);
    let (id, live) = old.begin("dominic", Some("sid"));
    let there = new.find(&id).unwrap();
    assert!(old.is_alive(&id));
    let update = new.sessions.update(&there, (*there.session).clone());
    assert!(ready(update).unwrap().is_some());
    server.pass(Duration::from_mins(2));
    assert!(!old.is_alive(&id), "it cannot be read there");
    assert_eq!((listed(&old), listed(&new)), (0, 1));
    assert!(live.is_over(), "and nobody there hangs on it");
    ready(old.sessions.pay_and_remind()).unwrap();
    assert!(new.is_alive(&id), "nothing was ended by that");
    ready(old.sessions.end_departed(&logout("sid"))).unwrap();
    new.hear(&server);
    assert!(!new.is_alive(&id));
    assert_eq!(listed(&new), 0);
}

#[test]
fn an_answer_that_something_overtook_is_newer_than_what_was_remembered() {
    let (_, [one, two]) = replicas();
    let (_, live) = one.begin("dominic", None);
    let other = SessionKey::from_bytes(&[9; 32]).unwrap();
    let there = ready(two.sessions.find_by_key(&live.key)).unwrap().unwrap();
    let mut changed = (*there.session).clone();
    changed.identity.groups = vec!["new".to_owned()].into();
    ready(one.sessions.update(&live, changed)).unwrap().unwrap();
    // Nobody told it; whoever refreshes asks.
    let held = ready(two.sessions.hold_refresh(&live.key)).unwrap();
    two.way.slow(true);
    let mut finding = Box::pin(two.sessions.find_by_key(&live.key));
    let mut context = Context::from_waker(Waker::noop());
    assert!(finding.as_mut().poll(&mut context).is_pending());
    two.way.slow(false);
    ready(two.sessions.heard(&Message::Changed(other).to_bytes()));
    let Poll::Ready(found) = finding.as_mut().poll(&mut context) else {
        panic!("it waits for ever")
    };
    assert_eq!(found.unwrap().unwrap().session.identity.groups, ["new"]);
    drop(held);
}

#[test]
fn of_two_answers_the_one_that_was_asked_for_later_counts() {
    let (_, [one, two]) = replicas();
    let (_, live) = one.begin("dominic", None);
    two.way.slow(true);
    let mut context = Context::from_waker(Waker::noop());
    let mut early = Box::pin(two.sessions.find_by_key(&live.key));
    assert!(early.as_mut().poll(&mut context).is_pending());
    two.way.slow(false);
    let mut changed = (*live.session).clone();
    changed.identity.groups = vec!["new".to_owned()].into();
    ready(one.sessions.update(&live, changed)).unwrap().unwrap();
    let groups = || {
        let found = ready(two.sessions.find_by_key(&live.key)).unwrap().unwrap();
        found.session.identity.groups.clone()
    };
    assert_eq!(groups(), ["new"]);
    assert!(early.as_mut().poll(&mut context).is_ready());
    assert_eq!(groups(), ["new"], "the late answer changes nothing");
}

#[test]
fn nothing_hangs_on_a_session_that_the_memory_has_no_room_for_or_let_go_of() {
    let server = Arc::new(Server::default());
    let small = Replica::start_small(&server, keys(), &["https://hw.test"], 1);
    let (_, first) = small.begin("dominic", None);
    let mut following = first.end();
    let (id, second) = small.begin("mia", None);
    assert!(is_told(&mut second.end()), "no room");
    assert!(small.is_alive(&id) && !second.is_over());
    assert!(!is_told(&mut following));
    ready(small.sessions.end(&first.key)).unwrap();
    assert!(is_told(&mut following));

    let replica = Replica::start(&server);
    let looked_up = replica.find(&id).unwrap();
    let (_, live) = replica.begin("dominic", None);
    let mut following = live.end();
    server.pass(GRACE + TRUST);
    replica.sessions.sweep();
    assert!(is_told(&mut looked_up.end()), "let go of");
    let again = replica.find(&id).unwrap();
    let mut watching = again.end();
    assert!(!is_told(&mut watching) && !is_told(&mut following));
    ready(replica.sessions.end(&again.key)).unwrap();
    assert!(is_told(&mut watching) && !is_told(&mut following));
}

#[test]
fn names_that_somebody_made_up_wash_nothing_out() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    assert!(two.is_alive(&id));
    one.way.cut(true);
    ready(one.sessions.end(&live.key)).unwrap_err();
    for made_up in 0_u32..5000 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&made_up.to_be_bytes());
        let key = SessionKey::from_bytes(&bytes).unwrap();
        assert_eq!(ready(one.sessions.end(&key)).map(drop), Err(StoreAway));
    }
    let front = one.sessions.front();
    assert_eq!(front.debts(), [Debt::One(live.key)]);
    assert_eq!(front.ended(), [live.key]);
    // Not even names that ended since, which are forgotten one after the other.
    for ended in 0..=super::super::over::MOST_ENDED {
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&(ended as u64).to_be_bytes());
        front.end(&SessionKey::from_bytes(&bytes).unwrap(), server.now());
    }
    assert!(!front.ended().contains(&live.key));
    one.way.cut(false);
    assert!(!one.is_alive(&id));
    ready(one.sessions.pay_in_between());
    two.hear(&server);
    assert!(!two.is_alive(&id));
}

#[test]
fn what_is_owed_stays_so_until_it_is_paid() {
    let (_, [one, two]) = replicas();
    let (id, _) = two.begin("dominic", Some("sid"));
    one.way.cut(true);
    let departure = logout("sid");
    ready(one.sessions.end_departed(&departure)).unwrap_err();
    let owed = [Debt::Left(departure)];
    assert_eq!(ready(one.sessions.pay_and_remind()), Err(StoreAway));
    assert_eq!(one.sessions.front().debts(), owed);
    one.way.cut(false);
    // The connection breaks in the middle of it.
    one.way.slow(true);
    let mut paying = Box::pin(one.sessions.pay_and_remind());
    let polled = paying
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(paying);
    assert_eq!(one.sessions.front().debts(), owed);
    one.way.slow(false);
    ready(one.sessions.pay_and_remind()).unwrap();
    assert_eq!(one.sessions.front().debts(), []);
    assert!(!one.is_alive(&id));
}

#[test]
fn a_replica_that_does_not_agree_serves_nobody_and_ends_what_it_is_told_to() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    assert!(two.is_alive(&id));
    one.sessions.serve(false);
    assert!(!one.sessions.is_connected());
    for refused in [
        ready(one.sessions.find(&id)).map(drop),
        ready(one.sessions.start(session("mia", None))).map(drop),
        ready(one.sessions.update(&live, session("mia", None))).map(drop),
        ready(one.sessions.renew(&live.key, session("mia", None))).map(drop),
        ready(one.sessions.with_state(&live, |_| ())),
        ready(one.sessions.every()).map(drop),
        ready(one.sessions.hold_refresh(&live.key)).map(drop),
        ready(one.sessions.first_use("state", "a", SECOND)).map(drop),
        ready(one.sessions.put("code", "a", b"", SECOND)),
        ready(one.sessions.peek("code", "a")).map(drop),
        ready(one.sessions.take("code", "a")).map(drop),
    ] {
        assert_eq!(refused, Err(StoreAway));
    }
    ready(one.sessions.end(&live.key)).unwrap().unwrap();
    two.hear(&server);
    assert!(!two.is_alive(&id));
    one.sessions.serve(true);
    assert!(!one.is_alive(&id) && one.sessions.is_connected());
}

#[test]
fn what_looks_idle_here_is_asked_for_and_is_over_for_nobody_else() {
    let (server, [one, two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    server.pass(LIMITS.idle.saturating_sub(SECOND));
    assert!(
        ready(one.sessions.find_by_key(&live.key))
            .unwrap()
            .is_some()
    );
    assert!(two.is_alive(&id));
    server.pass(SECOND);
    assert!(
        ready(one.sessions.find_by_key(&live.key))
            .unwrap()
            .is_some(),
        "it was used there"
    );
    server.pass(LIMITS.idle.saturating_sub(SECOND * 2));
    assert!(
        ready(one.sessions.find_by_key(&live.key))
            .unwrap()
            .is_some()
    );
    server.pass(SECOND);
    one.way.cut(true);
    let found = ready(one.sessions.find_by_key(&live.key));
    assert_eq!(found.map(drop), Err(StoreAway), "nobody knows");
}

#[test]
fn a_use_that_the_store_was_not_told_of_is_told_with_the_next() {
    let (server, [one, _]) = replicas();
    let (id, _) = one.begin("dominic", None);
    server.pass(Duration::from_mins(2));
    assert!(one.is_alive(&id));
    let at = |server: &Arc<Server>| {
        let fresh = Replica::start(server);
        let seen = ready(fresh.sessions.find_by_key(&id.key()))
            .unwrap()
            .unwrap();
        seen.last_used().unix() - START
    };
    assert_eq!(at(&server), 120);
    server.pass(Duration::from_mins(1));
    assert!(
        ready(one.sessions.find_by_key(&id.key()))
            .unwrap()
            .is_some()
    );
    one.way.cut(true);
    assert!(one.is_alive(&id));
    one.way.cut(false);
    server.pass(SECOND);
    assert!(one.is_alive(&id));
    assert_eq!(at(&server), 181);
}

#[test]
fn what_follows_the_new_session_stays_when_the_old_ones_followers_come() {
    let (server, [one, mut two]) = replicas();
    let (id, live) = one.begin("dominic", None);
    let mut of_old = two.find(&id).unwrap().end();
    let renewed = ready(one.sessions.renew(&live.key, session("dominic", None))).unwrap();
    let (new_id, new) = renewed.unwrap();
    let mut of_new = two.find(&new_id).unwrap().end();
    two.hear(&server);
    assert!(!is_told(&mut of_old) && !is_told(&mut of_new));
    ready(one.sessions.end(&new.key)).unwrap();
    two.hear(&server);
    assert!(is_told(&mut of_old) && is_told(&mut of_new));
}

#[test]
fn a_refresh_does_not_move_to_a_session_that_ended_at_the_provider() {
    let (server, [one, mut two]) = replicas();
    let departures = Departures::new(10).shared(Arc::clone(&two.sessions));
    for (gone, sid, goes_on) in [("b", "b", false), ("c", "d", true)] {
        let (id, live) = one.begin("dominic", Some("a"));
        assert!(two.is_alive(&id));
        // The logout is whole before the refresh has written anything.
        let departure = Departure::Session(ProviderSession::new(gone));
        ready(departures.note(departure.clone())).unwrap();
        assert_eq!(ready(two.sessions.end_departed(&departure)), Ok(0));
        let mut moved = (*live.session).clone();
        moved.provider_session = Some(ProviderSession::new(sid));
        let updated = ready(one.sessions.update(&live, moved)).unwrap();
        assert_eq!(updated.is_some(), goes_on, "{sid}");
        two.hear(&server);
        assert_eq!(two.is_alive(&id), goes_on, "{sid}");
    }
}

/// A sign-in that had redeemed its code, and lists its session after the debts were paid, finds what came
/// late all the same.
#[test]
fn a_departure_that_is_paid_late_counts_for_the_sign_ins_that_are_on_their_way_then() {
    let (_, [one, two]) = replicas();
    let departures = Departures::new(10).shared(Arc::clone(&two.sessions));
    for departure in [
        Departure::Person(dominic()),
        Departure::Session(ProviderSession::new("sid")),
        Departure::SessionOf(ProviderSession::new("sid"), dominic()),
    ] {
        let before = ready(departures.moment()).unwrap();
        one.way.cut(true);
        assert!(ready(one.sessions.end_departed(&departure)).is_err());
        one.way.cut(false);
        ready(one.sessions.pay()).unwrap();
        let (_, live) = two.begin("dominic", Some("sid"));
        let ended = ready(departures.ended_since(before, &live.session));
        assert_eq!(ended, Ok(true), "{departure:?}");
        let (_, other) = two.begin("mia", Some("other"));
        let ended = ready(departures.ended_since(before, &other.session));
        assert_eq!(ended, Ok(false), "{departure:?}");
        ready(two.sessions.end_every()).unwrap();
    }
}
