use std::sync::Barrier;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::domain::identity::ProviderSession;
use crate::ops::entropy::SystemRandom;
use crate::session::testing::{START, SetClock, ready, session};
use crate::session::{Sessions, State};

const HOUR: i64 = 3600;
const LIMITS: Limits = Limits {
    idle: Duration::from_hours(8),
    lifetime: Duration::from_hours(24 * 7),
};

fn store(capacity: u64) -> (Sessions, Arc<SetClock>) {
    let clock = Arc::new(SetClock::new());
    let random = Arc::new(SystemRandom::new());
    (
        Sessions::new(
            LIMITS,
            capacity,
            Arc::clone(&clock) as Arc<dyn Clock>,
            random,
        ),
        clock,
    )
}

/// Evictions settled, the index names exactly the sessions that are kept.
fn assert_consistent(sessions: &Sessions) {
    let kept = usize::try_from(sessions.len()).unwrap();
    let with_sid = sessions
        .memory()
        .unwrap()
        .live
        .iter()
        .filter(|(_, l)| l.session().provider_session.is_some());
    assert_eq!(
        sessions.memory().unwrap().index.sizes(),
        (kept, with_sid.count())
    );
}

#[test]
fn a_session_is_found_by_its_cookie_and_by_its_key_and_by_nothing_else() {
    let (sessions, _) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", None))).unwrap();
    assert!(Arc::ptr_eq(
        &ready(sessions.find(&id)).unwrap().unwrap().entry,
        &live.entry
    ));
    assert!(Arc::ptr_eq(
        &ready(sessions.find_by_key(&live.key))
            .unwrap()
            .unwrap()
            .entry,
        &live.entry
    ));
    assert!(
        ready(sessions.find(&SessionId::generate(&SystemRandom::new())))
            .unwrap()
            .is_none()
    );
    assert_eq!((sessions.len(), sessions.is_empty()), (1, false));
    assert_consistent(&sessions);
}

#[test]
fn the_key_in_a_cookie_is_not_the_session() {
    let (sessions, _) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", None))).unwrap();
    // Whoever read the server's memory knows the hash. Sent as a cookie, it must open nothing.
    let hash: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&live.key.to_hex()[at * 2..at * 2 + 2], 16).unwrap())
        .collect();
    let planted = URL_SAFE_NO_PAD.encode(hash);
    let planted = SessionId::parse(planted.as_bytes()).unwrap();
    assert_ne!(planted, id);
    assert!(ready(sessions.find(&planted)).unwrap().is_none());
}

#[test]
fn an_id_that_a_browser_brought_is_never_kept_over_a_sign_in() {
    let (sessions, _) = store(10);
    let (old_id, old) = ready(sessions.start(session("attacker", None))).unwrap();
    let (new_id, new) = ready(sessions.replace([old.key], session("victim", None))).unwrap();
    assert_ne!(old_id, new_id);
    assert!(ready(sessions.find(&old_id)).unwrap().is_none());
    assert_eq!(
        ready(sessions.find(&new_id))
            .unwrap()
            .unwrap()
            .session
            .identity
            .subject
            .as_str(),
        "victim"
    );
    assert!(Arc::ptr_eq(
        &ready(sessions.find(&new_id)).unwrap().unwrap().entry,
        &new.entry
    ));
    assert_consistent(&sessions);
}

#[test]
fn of_several_ids_that_a_browser_brought_none_survives_a_sign_in() {
    let (sessions, _) = store(10);
    let (planted_id, planted) = ready(sessions.start(session("attacker", None))).unwrap();
    let (own_id, own) = ready(sessions.start(session("victim", None))).unwrap();
    let (new_id, _) =
        ready(sessions.replace([planted.key, own.key], session("victim", None))).unwrap();
    assert!(
        ready(sessions.find(&planted_id)).unwrap().is_none()
            && ready(sessions.find(&own_id)).unwrap().is_none()
    );
    assert!(ready(sessions.find(&new_id)).unwrap().is_some());
    assert_consistent(&sessions);
}

#[test]
fn what_follows_a_session_follows_the_one_that_takes_its_place_at_a_step_up() {
    use tokio::sync::oneshot::error::TryRecvError::{Closed, Empty};
    let (sessions, _) = store(10);
    let (_, old) = ready(sessions.start(session("dominic", None))).unwrap();
    let mut end = old.end();
    let (_, new) = ready(sessions.renew(&old.key, session("dominic", None)))
        .unwrap()
        .unwrap();
    assert_eq!(end.try_recv(), Err(Empty));
    assert_eq!(old.end().try_recv(), Err(Closed), "the old one is over");
    ready(sessions.end(&new.key)).unwrap();
    assert_eq!(end.try_recv(), Err(Closed));
}

#[test]
fn who_wants_to_hear_of_a_change_hears_of_the_next_one_even_after_a_step_up() {
    use tokio::sync::oneshot::error::TryRecvError::{Closed, Empty};
    let (sessions, _) = store(10);
    let (_, old) = ready(sessions.start(session("dominic", None))).unwrap();
    let (mut end, mut change) = (old.end(), old.change());
    let (_, new) = ready(sessions.renew(&old.key, session("dominic", None)))
        .unwrap()
        .unwrap();
    assert_eq!(change.try_recv().map(|live| live.key), Err(Empty));
    let other = session("dominic", Some("sid"));
    ready(sessions.update(&new, other)).unwrap().unwrap();
    let live = change.try_recv().unwrap();
    assert_eq!(live.key, new.key);
    assert!(live.session.provider_session.is_some());
    assert_eq!(end.try_recv(), Err(Empty), "it goes on");
    let mut change = live.change();
    ready(sessions.end(&new.key)).unwrap();
    assert_eq!(change.try_recv().map(|live| live.key), Err(Closed));
    assert_eq!(end.try_recv(), Err(Closed));
}

#[test]
fn a_session_that_is_over_is_not_renewed() {
    let (sessions, clock) = store(10);
    let (old_id, old) = ready(sessions.start(session("dominic", None))).unwrap();
    let (id, live) = ready(sessions.renew(&old.key, session("dominic", None)))
        .unwrap()
        .unwrap();
    assert!(
        ready(sessions.find(&old_id)).unwrap().is_none()
            && ready(sessions.find(&id)).unwrap().is_some()
    );
    assert!(
        ready(sessions.renew(&old.key, session("dominic", None)))
            .unwrap()
            .is_none(),
        "it was renewed before"
    );
    ready(sessions.end(&live.key)).unwrap();
    assert!(
        ready(sessions.renew(&live.key, session("dominic", None)))
            .unwrap()
            .is_none(),
        "it was signed out meanwhile"
    );
    let (_, idle) = ready(sessions.start(session("dominic", None))).unwrap();
    clock.set(8 * HOUR);
    assert!(
        ready(sessions.renew(&idle.key, session("dominic", None)))
            .unwrap()
            .is_none()
    );
    assert!(sessions.is_empty());
}

#[test]
fn of_many_renewals_and_a_logout_at_once_one_wins_and_nothing_comes_back() {
    let (sessions, _) = store(1000);
    for _ in 0..50 {
        let (_, old) = ready(sessions.start(session("dominic", None))).unwrap();
        let barrier = std::sync::Barrier::new(5);
        let (renewed, ended): (usize, usize) = std::thread::scope(|scope| {
            let renewals: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let renewed =
                            ready(sessions.renew(&old.key, session("dominic", None))).unwrap();
                        renewed
                            .map(|(_, live)| ready(sessions.end(&live.key)).unwrap())
                            .is_some()
                    })
                })
                .collect();
            barrier.wait();
            let ended = usize::from(ready(sessions.end(&old.key)).unwrap().is_some());
            let renewed = renewals
                .into_iter()
                .map(|it| usize::from(it.join().unwrap()));
            (renewed.sum(), ended)
        });
        assert_eq!(renewed + ended, 1);
    }
    assert!(sessions.is_empty());
}

#[test]
fn whoever_follows_a_session_is_told_of_its_end_however_it_ends() {
    use tokio::sync::oneshot::error::TryRecvError::{Closed, Empty};
    let (sessions, clock) = store(10);
    let begin = || ready(sessions.start(session("dominic", None))).unwrap().1;
    let (left, signed_out, replaced, outlived) = (begin(), begin(), begin(), begin());
    let mut ends = [&left, &signed_out, &replaced, &outlived].map(Live::end);
    assert!(ends.iter_mut().all(|end| end.try_recv() == Err(Empty)));
    ready(sessions.end(&signed_out.key)).unwrap();
    ready(sessions.replace([replaced.key], session("dominic", None))).unwrap();
    assert_eq!(ends[1].try_recv(), Err(Closed));
    assert_eq!(ends[2].try_recv(), Err(Closed));
    assert_eq!(
        signed_out.end().try_recv(),
        Err(Closed),
        "it was over before"
    );
    assert_eq!(ends[0].try_recv(), Err(Empty));
    clock.set(8 * HOUR);
    assert!(
        ready(sessions.find_by_key(&outlived.key))
            .unwrap()
            .is_none()
    );
    assert_eq!(ends[3].try_recv(), Err(Closed));
    // Those that stopped following are forgotten.
    for _ in 0..1000 {
        left.end();
    }
    assert!(left.entry.followers_kept() <= 2);
}

#[test]
fn the_limits_hold_beyond_2038_and_2106() {
    let start = i64::try_from(START).unwrap();
    for begin in [i64::from(i32::MAX), i64::from(u32::MAX), 1 << 40] {
        let (sessions, clock) = store(10);
        let mut begun = session("dominic", None);
        begun.started_at = Timestamp::from_unix(u64::try_from(begin).unwrap());
        clock.set(begin - start);
        let (id, _) = ready(sessions.start(begun)).unwrap();
        for (hours, alive) in [(7, true), (14, true), (22, false)] {
            clock.set(begin - start + hours * HOUR);
            assert_eq!(
                ready(sessions.find(&id)).unwrap().is_some(),
                alive,
                "{begin}: {hours} h"
            );
        }
    }
}

#[test]
fn idle_ends_a_session_and_use_prevents_it() {
    let (sessions, clock) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", None))).unwrap();
    for (hours, alive) in [(7, true), (14, true), (22, false), (22, false)] {
        clock.set(hours * HOUR);
        assert_eq!(
            ready(sessions.find(&id)).unwrap().is_some(),
            alive,
            "after {hours} h"
        );
    }
    assert!(ready(sessions.find_by_key(&live.key)).unwrap().is_none());
    assert_eq!(sessions.len(), 0);
    assert_consistent(&sessions);
}

#[test]
fn a_look_up_by_key_is_not_a_use() {
    let (sessions, clock) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", None))).unwrap();
    clock.set(7 * HOUR);
    assert!(ready(sessions.find_by_key(&live.key)).unwrap().is_some());
    clock.set(8 * HOUR);
    assert!(ready(sessions.find(&id)).unwrap().is_none());
}

#[test]
fn activity_never_carries_a_session_past_its_absolute_limit() {
    let (sessions, clock) = store(10);
    let (id, _) = ready(sessions.start(session("dominic", None))).unwrap();
    for hours in 0..24 * 7 {
        clock.set(hours * HOUR);
        assert!(
            ready(sessions.find(&id)).unwrap().is_some(),
            "after {hours} h"
        );
    }
    clock.set(24 * 7 * HOUR - 1);
    assert!(ready(sessions.find(&id)).unwrap().is_some());
    clock.set(24 * 7 * HOUR);
    assert!(ready(sessions.find(&id)).unwrap().is_none());
}

#[test]
fn a_clock_that_jumps_ends_sessions_or_leaves_them_and_never_revives_one() {
    let (sessions, clock) = store(10);
    let (id, _) = ready(sessions.start(session("dominic", None))).unwrap();
    clock.set(-5 * HOUR);
    assert!(ready(sessions.find(&id)).unwrap().is_some());
    clock.set(i64::from(u32::MAX));
    assert!(ready(sessions.find(&id)).unwrap().is_none());
    clock.set(0);
    assert!(ready(sessions.find(&id)).unwrap().is_none());
}

#[test]
fn a_wall_clock_that_stands_still_cannot_keep_a_session_for_ever() {
    let limits = Limits {
        idle: Duration::ZERO,
        ..LIMITS
    };
    let clock = Arc::new(SetClock::new());
    let sessions = Sessions::new(limits, 10, clock, Arc::new(SystemRandom::new()));
    let (id, live) = ready(sessions.start(session("dominic", None))).unwrap();
    assert!(
        sessions
            .memory()
            .unwrap()
            .live
            .get(&live.key.number())
            .is_none(),
        "the store's own clock is the second judge"
    );
    assert!(ready(sessions.find(&id)).unwrap().is_none());
    assert_consistent(&sessions);
}

#[test]
fn a_copied_cookie_is_dead_after_the_end_even_for_a_request_on_its_way() {
    let (sessions, _) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", Some("sid-1")))).unwrap();
    let copy = SessionId::parse(id.expose().as_bytes()).unwrap();
    let on_its_way = ready(sessions.find(&id)).unwrap().unwrap();
    let ended = ready(sessions.end(&live.key)).unwrap().unwrap();
    assert_eq!(ended.identity.subject.as_str(), "dominic");
    drop(on_its_way);
    assert!(ready(sessions.find(&copy)).unwrap().is_none());
    assert!(ready(sessions.find_by_key(&live.key)).unwrap().is_none());
    assert!(
        ready(sessions.end(&live.key)).unwrap().is_none(),
        "ending twice is no error and no session"
    );
    assert_consistent(&sessions);
}

#[test]
fn an_outlived_session_can_still_be_signed_out() {
    let (sessions, clock) = store(10);
    let (_, live) = ready(sessions.start(session("dominic", None))).unwrap();
    clock.set(9 * HOUR);
    assert!(ready(sessions.end(&live.key)).unwrap().is_some());
}

#[test]
fn a_logout_by_subject_ends_that_persons_sessions_only() {
    let (sessions, _) = store(10);
    let ended = [
        ready(sessions.start(session("dominic", Some("a")))).unwrap(),
        ready(sessions.start(session("dominic", None))).unwrap(),
    ];
    let (others, _) = ready(sessions.start(session("dominica", Some("c")))).unwrap();
    assert_eq!(
        ready(sessions.end_subject(&Subject::new("dominic"))).unwrap(),
        2
    );
    assert!(
        ended
            .iter()
            .all(|(id, _)| ready(sessions.find(id)).unwrap().is_none())
    );
    assert!(ready(sessions.find(&others)).unwrap().is_some());
    for unknown in ["dominic", "Dominica", ""] {
        assert_eq!(
            ready(sessions.end_subject(&Subject::new(unknown))).unwrap(),
            0
        );
    }
    assert_consistent(&sessions);
}

#[test]
fn a_logout_by_sid_ends_the_sessions_of_that_sid_only() {
    let (sessions, _) = store(10);
    let (first, _) = ready(sessions.start(session("dominic", Some("a")))).unwrap();
    let (second, _) = ready(sessions.start(session("dominic", Some("b")))).unwrap();
    let (none, _) = ready(sessions.start(session("dominic", None))).unwrap();
    assert_eq!(
        ready(sessions.end_provider_session(&ProviderSession::new("a"))).unwrap(),
        1
    );
    assert!(ready(sessions.find(&first)).unwrap().is_none());
    assert!(ready(sessions.find(&second)).unwrap().is_some());
    assert!(ready(sessions.find(&none)).unwrap().is_some());
    assert_eq!(
        ready(sessions.end_provider_session(&ProviderSession::new("a"))).unwrap(),
        0
    );
    assert_consistent(&sessions);
}

#[test]
fn eviction_takes_the_least_recently_used_and_keeps_the_index_consistent() {
    let (sessions, _) = store(4);
    let started: Vec<_> = (0..4)
        .map(|n| {
            ready(sessions.start(session(&format!("user-{n}"), Some(&format!("sid-{n}"))))).unwrap()
        })
        .collect();
    assert_consistent(&sessions);
    assert!(ready(sessions.find(&started[0].0)).unwrap().is_some());
    let (newest, _) = ready(sessions.start(session("newcomer", Some("sid-new")))).unwrap();
    assert_consistent(&sessions);
    assert_eq!(sessions.len(), 4);
    assert!(
        ready(sessions.find(&newest)).unwrap().is_some(),
        "a newcomer is always admitted"
    );
    assert!(ready(sessions.find(&started[0].0)).unwrap().is_some());
    assert!(ready(sessions.find(&started[1].0)).unwrap().is_none());
    assert_eq!(
        ready(sessions.end_subject(&Subject::new("user-1"))).unwrap(),
        0
    );
    assert_eq!(
        ready(sessions.end_provider_session(&ProviderSession::new("sid-2"))).unwrap(),
        1
    );
    assert_consistent(&sessions);
}

#[test]
fn one_person_with_many_sessions_pushes_out_their_own_oldest_and_nobody_else() {
    let (sessions, _) = store(10_000);
    let (mia, _) = ready(sessions.start(session("mia", Some("sid-of-mia")))).unwrap();
    let started: Vec<SessionId> = (0..150)
        .map(|_| {
            ready(sessions.start(session("dominic", Some("sid"))))
                .unwrap()
                .0
        })
        .collect();
    let (over, alive) = started.split_at(50);
    assert!(
        over.iter()
            .all(|id| ready(sessions.find(id)).unwrap().is_none())
    );
    assert!(
        alive
            .iter()
            .all(|id| ready(sessions.find(id)).unwrap().is_some())
    );
    assert!(ready(sessions.find(&mia)).unwrap().is_some());
    assert_consistent(&sessions);
    assert_eq!(
        ready(sessions.end_subject(&Subject::new("dominic"))).unwrap(),
        100
    );
}

#[test]
fn sign_ins_of_one_person_at_once_leave_no_more_than_theirs() {
    let (sessions, _) = store(10_000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    ready(sessions.start(session("dominic", None))).unwrap();
                }
            });
        }
    });
    assert_consistent(&sessions);
    assert_eq!(
        ready(sessions.end_subject(&Subject::new("dominic"))).unwrap(),
        100
    );
}

#[test]
fn a_flood_of_sign_ins_stays_within_the_capacity() {
    let (sessions, _) = store(64);
    for n in 0..2000 {
        ready(sessions.start(session(
            &format!("user-{}", n % 7),
            Some(&format!("sid-{n}")),
        )))
        .unwrap();
    }
    assert!(sessions.len() <= 64);
    assert_consistent(&sessions);
}

#[test]
fn sign_ins_look_ups_and_logouts_at_once_leave_nothing_behind() {
    let (sessions, _) = store(32);
    let (barrier, sid) = (Barrier::new(4), ProviderSession::new("sid"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (sessions, barrier, sid) = (&sessions, &barrier, &sid);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..300 {
                    let (id, live) =
                        ready(sessions.start(session(&format!("user-{}", n % 3), Some("sid"))))
                            .unwrap();
                    ready(sessions.find(&id)).unwrap();
                    let _ended = match (n + thread) % 4 {
                        0 => usize::from(ready(sessions.end(&live.key)).unwrap().is_some()),
                        1 => ready(sessions.end_subject(&Subject::new("user-1"))).unwrap(),
                        2 if n % 30 == 0 => ready(sessions.end_provider_session(sid)).unwrap(),
                        _ => 0,
                    };
                }
            });
        }
    });
    assert!(sessions.len() <= 32);
    assert_consistent(&sessions);
    for user in 0..3 {
        ready(sessions.end_subject(&Subject::new(format!("user-{user}")))).unwrap();
    }
    assert!(sessions.is_empty());
    assert_eq!(sessions.memory().unwrap().index.sizes(), (0, 0));
}

#[test]
fn a_session_that_was_ended_is_not_brought_back_by_a_request_that_still_holds_it() {
    let (sessions, _) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", None))).unwrap();
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            barrier.wait();
            for _ in 0..5000 {
                ready(sessions.find(&id)).unwrap();
            }
        });
        barrier.wait();
        assert!(ready(sessions.end(&live.key)).unwrap().is_some());
    });
    assert!(ready(sessions.find(&id)).unwrap().is_none());
    assert!(sessions.is_empty());
}

#[test]
fn limits_of_many_years_are_not_shortened() {
    let years = |years: u64| Duration::from_hours(24 * 365 * years);
    let limits = Limits {
        idle: years(50),
        lifetime: years(99),
    };
    let clock = Arc::new(SetClock::new());
    let sessions = Sessions::new(limits, 10, clock, Arc::new(SystemRandom::new()));
    let policy = sessions.memory().unwrap().live.policy();
    assert_eq!(policy.time_to_idle(), Some(limits.idle));
    assert_eq!(policy.time_to_live(), Some(limits.lifetime));
}

#[test]
fn bounds_that_make_no_sense_do_not_panic() {
    let limits = Limits {
        idle: Duration::MAX,
        lifetime: Duration::MAX,
    };
    let clock = Arc::new(SetClock::new());
    let sessions = Sessions::new(limits, 0, clock, Arc::new(SystemRandom::new()));
    let (id, _) = ready(sessions.start(session("dominic", None))).unwrap();
    assert!(ready(sessions.find(&id)).unwrap().is_some());
}

#[test]
fn a_debug_print_shows_no_token_and_no_id() {
    let (sessions, _) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", None))).unwrap();
    for text in [
        format!("{live:?}"),
        format!("{sessions:?}"),
        format!("{id:?}"),
    ] {
        assert!(
            !text.contains("e30.e30.e30") && !text.contains(&id.expose()),
            "{text}"
        );
    }
}

#[test]
fn an_update_shows_at_the_next_look_under_the_same_name_and_keeps_the_limits() {
    let (sessions, clock) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", Some("s1")))).unwrap();
    let mut end = live.end();
    clock.set(7 * 24 * HOUR - 1);
    live.entry.used(clock.now());
    let mut changed = session("dominic", Some("s2"));
    changed.identity.groups = vec!["new".to_owned()].into();
    changed.checked_at = clock.now();
    let after = ready(sessions.update(&live, changed)).unwrap().unwrap();
    assert_eq!((after.key, after.last_used()), (live.key, live.last_used()));
    assert!(
        live.session.identity.groups.is_empty(),
        "one request, one view"
    );
    let found = ready(sessions.find(&id)).unwrap().unwrap();
    assert_eq!(found.session.identity.groups, ["new"]);
    assert_consistent(&sessions);
    for (sid, ended) in [("s1", 0), ("s2", 1)] {
        let sid = ProviderSession::new(sid);
        assert_eq!(ready(sessions.end_provider_session(&sid)), Ok(ended));
    }
    assert!(end.try_recv().is_err() && after.is_over());
    assert_consistent(&sessions);
}

#[test]
fn an_update_brings_back_no_session_that_ended_meanwhile() {
    let (sessions, clock) = store(10);
    let (id, live) = ready(sessions.start(session("dominic", Some("s1")))).unwrap();
    ready(sessions.end(&live.key)).unwrap();
    let updated = ready(sessions.update(&live, session("dominic", Some("s2")))).unwrap();
    assert!(updated.is_none() && ready(sessions.find(&id)).unwrap().is_none());
    let (id, live) = ready(sessions.start(session("dominic", None))).unwrap();
    clock.set(7 * 24 * HOUR);
    let updated = ready(sessions.update(&live, session("dominic", None))).unwrap();
    assert!(updated.is_none() && ready(sessions.find(&id)).unwrap().is_none());
    assert_consistent(&sessions);
}

#[test]
fn what_a_session_remembers_is_there_for_its_next_request_and_for_no_other_session() {
    let (sessions, _) = store(10);
    let begin = || ready(sessions.start(session("dominic", None))).unwrap();
    let ((id, live), (_, other)) = (begin(), begin());
    let code = |state: &mut State| {
        state
            .legs
            .issued("state", "code", Timestamp::from_unix(START));
    };
    ready(sessions.with_state(&live, code)).unwrap();
    let take = |state: &mut State| {
        let now = Timestamp::from_unix(START);
        state.legs.take_callback("state", "code", now)
    };
    let again = ready(sessions.find(&id)).unwrap().unwrap();
    assert_eq!(ready(sessions.with_state(&other, take)), Ok(false));
    assert_eq!(ready(sessions.with_state(&again, take)), Ok(true));
    assert_eq!(ready(sessions.with_state(&live, take)), Ok(false));
}

#[test]
fn a_session_is_refreshed_by_one_at_a_time() {
    let (sessions, _) = store(10);
    let begin = || ready(sessions.start(session("dominic", None))).unwrap().1;
    let (one, other) = (begin(), begin());
    let held = ready(sessions.refresh_lock(&one.key)).unwrap();
    assert!(held.is_some() && ready(sessions.refresh_lock(&one.key)).unwrap().is_none());
    assert!(ready(sessions.refresh_lock(&other.key)).unwrap().is_some());
    drop(held);
    assert!(ready(sessions.refresh_lock(&one.key)).unwrap().is_some());
}

#[test]
fn sessions_that_something_hangs_on_are_known_for_as_long_as_it_does() {
    let (sessions, clock) = store(10);
    let begin = || ready(sessions.start(session("dominic", None))).unwrap().1;
    let (open, closed, _) = (begin(), begin(), begin());
    let _following = open.end();
    drop(closed.end());
    let keys = || {
        sessions
            .followed()
            .iter()
            .map(|live| live.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(), [open.key]);
    let (_, renewed) = ready(sessions.renew(&open.key, session("dominic", None)))
        .unwrap()
        .unwrap();
    assert_eq!(keys(), [renewed.key]);
    clock.set(8 * HOUR);
    assert!(
        keys().is_empty() && renewed.is_over(),
        "a follower is not a use"
    );
}

#[test]
fn everything_can_be_listed_and_ended_at_once() {
    let (sessions, clock) = store(10);
    for subject in ["dominic", "dominic", "ada"] {
        ready(sessions.start(session(subject, None))).unwrap();
    }
    let dominic = Subject::new("dominic");
    assert_eq!(ready(sessions.of_subject(&dominic)).unwrap().len(), 2);
    assert_eq!(ready(sessions.every()).unwrap().len(), 3);
    assert_eq!(ready(sessions.end_every()), Ok(3));
    assert!(ready(sessions.every()).unwrap().is_empty());
    ready(sessions.start(session("dominic", None))).unwrap();
    clock.set(8 * HOUR);
    assert!(ready(sessions.of_subject(&dominic)).unwrap().is_empty());
    assert_consistent(&sessions);
}

/// A key that begins like another one's: such a session is not that one.
#[test]
fn a_session_is_told_from_another_one_whose_key_begins_alike() {
    let (sessions, clock) = store(10);
    let key = |last: u8| {
        let mut bytes = [7; SessionKey::LENGTH];
        bytes[SessionKey::LENGTH - 1] = last;
        SessionKey::from_bytes(&bytes).unwrap()
    };
    assert_eq!(key(1).number(), key(2).number());
    let kept = Kept {
        key: key(1),
        last_used: clock.now(),
        session: Arc::new(session("ada", None)),
    };
    assert_eq!(sessions.put_back(vec![kept]), 1);
    assert!(ready(sessions.find_by_key(&key(2))).unwrap().is_none());
    assert!(ready(sessions.end(&key(2))).unwrap().is_none());
    assert!(ready(sessions.find_by_key(&key(1))).unwrap().is_some());
    assert!(ready(sessions.end(&key(1))).unwrap().is_some());
    assert_consistent(&sessions);
}

#[test]
fn what_a_session_remembered_takes_no_room_when_it_is_used_up() {
    let (sessions, clock) = store(10);
    let (_, live) = ready(sessions.start(session("ada", None))).unwrap();
    assert!(!live.entry.remembers());
    let (random, now) = (SystemRandom::new(), clock.now());
    let asked = crate::session::Purpose::Sessions;
    let token = ready(sessions.with_state(&live, |state| {
        state.confirmations.issue(asked, None, &random, now)
    }))
    .unwrap();
    assert!(live.entry.remembers());
    let taken = ready(sessions.with_state(&live, |state| {
        state.confirmations.take(asked, None, &token, now)
    }));
    assert_eq!(taken, Ok(true));
    assert!(!live.entry.remembers());
}

/// Of 2 KB for a session in memory, what is not its texts and tokens. Who makes it larger should know, and
/// measure (`session_memory`).
#[test]
fn a_session_is_no_larger_than_it_has_to_be() {
    assert!(size_of::<Session>() <= 304, "{}", size_of::<Session>());
    assert!(size_of::<Entry>() <= 112, "{}", size_of::<Entry>());
}
