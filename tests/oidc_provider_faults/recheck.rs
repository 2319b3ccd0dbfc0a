//! Sessions whose people are checked again: who may still pass goes on, whoever may not is signed out,
//! and while nobody knows, the grace decides.

use std::net::Ipv4Addr;

use headwarden::domain::identity::ProviderSession;
use headwarden::domain::policy::Rules;
use headwarden::domain::session::{Browser, Limits, Recheck, Session};
use headwarden::domain::token::Token;
use headwarden::oidc::{Known, Refreshed};
use headwarden::ops::audit::Audit;
use headwarden::ops::metrics::Metrics;
use headwarden::proxy::recheck::{Checked, Rechecks};
use headwarden::session::{Live, SessionId, Sessions};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

/// A hang becomes a failure.
const PATIENCE: Duration = Duration::from_mins(1);
/// Seconds.
pub(super) const EVERY: u64 = 300;
pub(super) const GRACE: u64 = 900;

/// A house as far as sessions and re-checks go, with one person in it.
pub(super) struct Room {
    pub(super) scene: Scene,
    pub(super) sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
    rechecks: Arc<Rechecks>,
    pub(super) id: SessionId,
    sign_ins: usize,
}

impl Room {
    async fn with(recheck: Recheck) -> Self {
        let scene = Scene::quick(|settings| settings.timeout = Duration::from_secs(2)).await;
        scene.idp.set(|knobs| knobs.refresh_tokens = true);
        let person = scene.sign_in().await.unwrap();
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&scene.clock);
        let limits = Limits {
            idle: Duration::from_hours(24),
            lifetime: Duration::from_hours(24),
        };
        let entropy = Arc::new(SystemEntropy);
        let sessions = Arc::new(Sessions::new(limits, 100, Arc::clone(&clock), entropy));
        let metrics = Arc::new(Metrics::new().unwrap());
        let rules = Rules {
            allowed_groups: vec!["headscale".to_owned()],
            allowed_domains: Vec::new(),
            allowed_users: Vec::new(),
            email_verified_required: true,
            exact_groups: false,
        };
        let rechecks = Arc::new(Rechecks::new(
            recheck,
            rules,
            Arc::clone(&scene.rp),
            Arc::clone(&sessions),
            Arc::clone(&metrics),
            Audit::in_log(Arc::clone(&clock)),
            clock,
        ));
        let session = begun(person, scene.clock.now());
        let (id, _) = sessions.start(session).await.unwrap();
        Self {
            scene,
            sessions,
            metrics,
            rechecks,
            id,
            sign_ins: 1,
        }
    }

    /// The person signs in again, in place of the session there is.
    pub(super) async fn signs_in(&mut self) {
        let person = self.scene.sign_in().await.unwrap();
        self.sign_ins += 1;
        let session = begun(person, self.scene.clock.now());
        let old = [self.id.key()];
        (self.id, _) = self.sessions.replace(old, session).await.unwrap();
    }

    pub(super) async fn start() -> Self {
        Self::with(Recheck {
            every: Duration::from_secs(EVERY),
            grace: Duration::from_secs(GRACE),
        })
        .await
    }

    /// The session, if it lives.
    async fn live(&self) -> Option<Live> {
        self.sessions.find(&self.id).await.unwrap()
    }

    /// What a request with the session's cookie is told.
    async fn asks(&self) -> Checked {
        match self.live().await {
            Some(live) => self.rechecks.check(live, Some("request")).await,
            None => Checked::Over,
        }
    }

    /// The same in one word.
    async fn says(&self) -> &'static str {
        word(&self.asks().await)
    }

    /// What so many requests at once are told.
    pub(super) async fn ask_at_once(&self, count: usize) -> Vec<Checked> {
        let Some(live) = self.live().await else {
            return vec![Checked::Over];
        };
        let mut asking = JoinSet::new();
        for _ in 0..count {
            let (rechecks, live) = (Arc::clone(&self.rechecks), live.clone());
            asking.spawn(async move { rechecks.check(live, None).await });
        }
        asking.join_all().await
    }

    pub(super) fn refreshes(&self) -> usize {
        self.scene.idp.hits(Endpoint::Token) - self.sign_ins
    }

    fn counted(&self, outcome: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let series = format!("headwarden_refreshes_total{{outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap().parse().unwrap()
    }

    /// The provider is asked for the so-many-th time, and does not answer yet.
    async fn asked(&self, times: usize) {
        let asked = async {
            while self.refreshes() < times {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asked).await.unwrap();
    }

    /// What the provider tells whoever asks with the session's refresh token: another replica, say.
    async fn elsewhere(&self) -> Refreshed {
        let live = self.live().await.unwrap();
        let known = Known {
            issuer: &live.session.identity.issuer,
            subject: &live.session.identity.subject,
            id_token: &live.session.id_token.unpack(),
            refresh_token: &live.session.refresh_token.as_ref().unwrap().unpack(),
        };
        self.scene.rp.recheck(known).await.unwrap()
    }

    /// What another replica does with it.
    async fn stores(&self, news: Refreshed) {
        let live = self.live().await.unwrap();
        let session = Session {
            refresh_token: news.refresh_token.as_ref().map(Token::pack),
            checked_at: self.scene.clock.now(),
            ..Session::clone(&live.session)
        };
        assert!(
            self.sessions
                .update(&live, session)
                .await
                .unwrap()
                .is_some()
        );
    }
}

/// What follows a session was told to end.
async fn closed(end: oneshot::Receiver<()>) {
    let told = timeout(PATIENCE, end).await.unwrap();
    assert!(told.is_err());
}

pub(super) fn word(checked: &Checked) -> &'static str {
    match checked {
        Checked::Good(_) => "good",
        Checked::Over => "over",
        Checked::Unavailable(_) => "unavailable",
    }
}

fn begun(person: SignedIn, now: Timestamp) -> Session {
    Session {
        identity: person.identity,
        provider_session: person.provider_session,
        auth_time: person.auth_time,
        id_token: Token::pack(&person.id_token),
        token_expires_at: person.token_expires_at,
        started_at: now,
        refresh_token: person.refresh_token.as_ref().map(Token::pack),
        acr: person.acr.map(Into::into),
        amr: person.amr.into(),
        checked_at: now,
        browser: Browser::new(Ipv4Addr::LOCALHOST.into(), "test"),
        footing: person.footing,
    }
}

#[tokio::test]
async fn a_person_is_checked_again_when_the_time_has_come_and_not_before() {
    let room = Room::start().await;
    for (seconds, refreshes) in [(299, 0), (1, 1), (299, 1), (1, 2), (3000, 3), (10, 3)] {
        room.scene.clock.advance(seconds);
        for _ in 0..3 {
            assert_eq!(room.says().await, "good");
        }
        assert_eq!(room.refreshes(), refreshes);
    }
    assert_eq!(room.counted("confirmed"), 3);
}

#[tokio::test]
async fn without_a_refresh_token_nobody_is_asked() {
    let room = Room::start().await;
    let live = room.live().await.unwrap();
    let session = Session {
        refresh_token: None,
        ..Session::clone(&live.session)
    };
    room.sessions.update(&live, session).await.unwrap();
    for _ in 0..5 {
        room.scene.clock.advance(3600);
        assert_eq!(room.says().await, "good");
    }
    assert_eq!(room.refreshes(), 0);
}

/// What changes with a re-check, and what does not.
#[tokio::test]
async fn a_session_goes_on_with_what_the_provider_says_and_remains_the_one_it_was() {
    let room = Room::start().await;
    let before = room.live().await.unwrap().session;
    room.scene.clock.advance(EVERY);
    room.scene.idp.set(|knobs| {
        let groups = json!(["headscale", "headscale-admins"]);
        knobs.extra_claims.insert("groups".to_owned(), groups);
        knobs.id_claims.insert("acr".to_owned(), json!("stronger"));
        knobs.id_claims.insert("amr".to_owned(), json!(["mfa"]));
        knobs.id_claims.insert("sid".to_owned(), json!("another"));
    });
    let Checked::Good(live) = room.asks().await else {
        panic!("not good");
    };
    let after = live.session;
    assert_eq!(after.identity.groups, ["headscale", "headscale-admins"]);
    assert_eq!(after.identity.subject, before.identity.subject);
    assert_eq!(after.checked_at, Timestamp::from_unix(START + EVERY));
    let expiry = Timestamp::from_unix(START + EVERY + 300);
    assert_eq!(after.token_expires_at, expiry);
    assert_ne!(after.id_token, before.id_token);
    let token = |session: &Session| session.refresh_token.clone().unwrap().unpack();
    assert_ne!(token(&after), token(&before));
    // No sign-in: how and when the person proved who they are is as it was, and so is its age.
    assert_eq!(after.auth_time, before.auth_time);
    assert_eq!(after.acr, before.acr);
    assert_eq!(after.amr, before.amr);
    assert_eq!(after.started_at, before.started_at);
    assert_eq!(after.browser, before.browser);
    // The provider ends it under its newest name for it.
    let old = before.provider_session.clone().unwrap();
    assert_eq!(room.sessions.end_provider_session(&old).await, Ok(0));
    let new = ProviderSession::new("another");
    assert_eq!(room.sessions.end_provider_session(&new).await, Ok(1));
    assert_eq!(room.says().await, "over");
}

/// authentik: no new refresh token below its threshold, and after a sign-out there no `sid`.
#[tokio::test]
async fn what_the_provider_leaves_out_stays_as_it_was() {
    let room = Room::start().await;
    let before = room.live().await.unwrap().session;
    room.scene.idp.set(|knobs| knobs.refresh_tokens_stay = true);
    let rp = &room.scene.rp;
    let out = rp.end_session_url(&before.id_token.unpack(), "https://x.example/", "s");
    location(&out.unwrap()).await;
    for _ in 0..3 {
        room.scene.clock.advance(EVERY);
        assert_eq!(room.says().await, "good");
    }
    let after = room.live().await.unwrap().session;
    assert_eq!(room.counted("confirmed"), 3);
    assert_eq!(after.provider_session, before.provider_session);
    let token = |session: &Session| session.refresh_token.clone().unwrap().unpack();
    assert_eq!(token(&after), token(&before));
    let sid = before.provider_session.clone().unwrap();
    assert_eq!(room.sessions.end_provider_session(&sid).await, Ok(1));
}

#[tokio::test]
async fn many_requests_at_once_are_one_refresh() {
    let room = Room::start().await;
    for round in 1..=3 {
        room.scene.clock.advance(EVERY);
        let held = room.scene.idp.hold(Endpoint::Token);
        let live = room.live().await.unwrap();
        let asking: Vec<_> = (0..500)
            .map(|_| {
                let (rechecks, live) = (Arc::clone(&room.rechecks), live.clone());
                tokio::spawn(async move { rechecks.check(live, None).await })
            })
            .collect();
        room.asked(round).await;
        drop(held);
        for one in asking {
            let Checked::Good(live) = one.await.unwrap() else {
                panic!("not good");
            };
            assert_eq!(live.session.checked_at, room.scene.clock.now());
        }
        // One that saw the session as it was before.
        assert_eq!(word(&room.rechecks.check(live, None).await), "good");
        assert_eq!(room.refreshes(), round);
    }
    assert_eq!(room.counted("confirmed"), 3);
}

/// More sessions than are checked at a time wait for locks that nobody gives back.
#[tokio::test]
async fn a_lock_that_a_dead_replica_left_holds_up_nobody_elses_recheck() {
    let room = Room::start().await;
    let due = room.live().await.unwrap();
    room.scene.clock.advance(EVERY);
    let (mut held, mut waiting) = (Vec::new(), JoinSet::new());
    for _ in 0..40 {
        let session = Session::clone(&due.session);
        let (_, live) = room.sessions.start(session).await.unwrap();
        let lock = room.sessions.refresh_lock(&live.key).await.unwrap();
        held.push(lock.expect("nobody has it"));
        let rechecks = Arc::clone(&room.rechecks);
        waiting.spawn(async move { rechecks.check(live, None).await });
    }
    let told = waiting.join_all().await;
    assert!(
        told.iter().all(|one| word(one) == "good"),
        "within the grace"
    );
    assert_eq!(room.refreshes(), 0);
    assert_eq!(room.says().await, "good");
    assert_eq!(room.refreshes(), 1);
    drop(held);
}

#[tokio::test]
async fn who_may_not_pass_any_more_is_signed_out_for_good() {
    type Turn = fn(&mut faulty_provider::Knobs);
    let rows: [(&str, Turn); 6] = [
        ("lost_right", |knobs| {
            knobs
                .extra_claims
                .insert("groups".to_owned(), json!(["visitors"]));
        }),
        ("lost_right", |knobs| {
            knobs.extra_claims.insert("groups".to_owned(), json!(null));
        }),
        ("refused", |knobs| knobs.deactivated = vec![Person::Member]),
        ("refused", |knobs| knobs.fault = Some(Fault::ErrorWith200)),
        ("misbehaving", |knobs| {
            knobs.fault = Some(Fault::UserinfoOfSomebodyElse);
        }),
        ("misbehaving", |knobs| {
            knobs.fault = Some(Fault::AudienceOfSomebodyElse);
        }),
    ];
    for (at, (outcome, turn)) in rows.into_iter().enumerate() {
        let room = Room::start().await;
        let end = room.live().await.unwrap().end();
        room.scene.clock.advance(EVERY);
        room.scene.idp.set(turn);
        assert_eq!(room.says().await, "over", "{at}: {outcome}");
        assert_eq!(room.counted(outcome), 1, "{at}: {outcome}");
        // What was open has heard of it, and nothing brings it back.
        closed(end).await;
        room.scene.idp.mend();
        room.scene.idp.set(|knobs| {
            knobs.extra_claims.clear();
            knobs.deactivated.clear();
        });
        assert!(room.live().await.is_none(), "{at}: {outcome}");
        assert_eq!(room.refreshes(), 1, "{at}: {outcome}");
    }
}

/// Seconds since the last check, and what becomes of a request then.
#[tokio::test]
async fn while_the_provider_is_away_the_grace_decides_and_the_session_outlives_it() {
    for fault in [
        Fault::TokenIsDown,
        Fault::TokenHangs,
        Fault::TokenIsHtml,
        Fault::UserinfoIsDown,
        Fault::InvalidClient,
    ] {
        let room = Room::start().await;
        let end = room.live().await.unwrap().end();
        room.scene.idp.bend(fault);
        let mut passed = 0;
        for (seconds, says) in [
            (EVERY - 1, "good"),
            (EVERY, "good"),
            (EVERY + 31, "good"),
            (EVERY + GRACE - 1, "good"),
            (EVERY + GRACE, "unavailable"),
            (EVERY + GRACE + 3600, "unavailable"),
        ] {
            room.scene.clock.advance(seconds - passed);
            passed = seconds;
            assert_eq!(room.says().await, says, "{fault:?} after {seconds} s");
        }
        // What hangs on it went with the grace, and the session waits for better times.
        closed(end).await;
        room.scene.idp.mend();
        room.scene.clock.advance(31);
        assert_eq!(room.says().await, "good", "{fault:?}");
        let follower = room.live().await.unwrap().end().try_recv();
        assert_eq!(follower, Err(TryRecvError::Empty), "{fault:?}");
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_not_asked_for_every_request() {
    let room = Room::start().await;
    room.scene.idp.bend(Fault::TokenIsDown);
    room.scene.clock.advance(EVERY);
    let mut asked = 0;
    for pause in [5, 10, 20, 30, 30] {
        for _ in 0..20 {
            assert_eq!(room.says().await, "good");
        }
        asked += 1;
        assert_eq!(room.refreshes(), asked);
        room.scene.clock.advance(pause - 1);
        assert_eq!(room.says().await, "good");
        assert_eq!(room.refreshes(), asked, "within {pause} s");
        room.scene.clock.advance(1);
    }
    // The next try is announced to whoever is refused.
    room.scene.clock.advance(GRACE);
    let Checked::Unavailable(30) = room.asks().await else {
        panic!("not unavailable for 30 s");
    };
    assert_eq!(room.counted("unavailable"), asked as u64 + 1);
}

/// The person may be somebody else by then, for all that is known.
#[tokio::test]
async fn a_clock_that_was_set_back_does_not_spare_anybody_the_next_check() {
    let room = Room::start().await;
    room.scene.clock.advance(3600);
    assert_eq!(room.says().await, "good");
    room.scene.clock.set(START + 3000);
    room.scene.idp.bend(Fault::TokenIsDown);
    assert_eq!(room.says().await, "unavailable");
    room.scene.idp.mend();
    room.scene.clock.advance(31);
    assert_eq!(room.says().await, "good");
    assert_eq!(room.refreshes(), 3);
}

#[tokio::test]
async fn a_request_does_not_wait_for_a_lock_that_another_replica_keeps() {
    let room = Room::start().await;
    let key = room.id.key();
    let lock = room.sessions.refresh_lock(&key).await.unwrap().unwrap();
    room.scene.clock.advance(EVERY);
    assert_eq!(room.says().await, "good");
    room.scene.clock.advance(GRACE);
    assert_eq!(room.says().await, "unavailable");
    assert_eq!(room.refreshes(), 0);
    // It has checked the person meanwhile.
    let news = room.elsewhere().await;
    room.stores(news).await;
    drop(lock);
    room.rechecks.settled().await;
    assert_eq!(room.says().await, "good");
    assert_eq!((room.refreshes(), room.counted("confirmed")), (1, 0));
}

/// authentik gives two that refresh at once tokens once, and revokes nothing.
#[tokio::test]
async fn a_refresh_that_lost_against_another_replica_ends_nothing() {
    let room = Room::start().await;
    room.scene.clock.advance(EVERY);
    let news = room.elsewhere().await;
    let held = room.scene.idp.hold(Endpoint::Token);
    let (checked, ()) = tokio::join!(room.asks(), async {
        room.asked(2).await;
        room.stores(news).await;
        drop(held);
    });
    assert_eq!(word(&checked), "good");
    assert_eq!((room.counted("elsewhere"), room.counted("refused")), (1, 0));
    // With the winner's token it goes on.
    room.scene.clock.advance(EVERY);
    assert_eq!(room.says().await, "good");
    assert_eq!(room.counted("confirmed"), 1);
}

/// The other replica never stored what it got: it crashed, say.
#[tokio::test]
async fn a_refresh_that_lost_against_nobody_who_tells_ends_the_session() {
    let room = Room::start().await;
    room.scene.clock.advance(EVERY);
    drop(room.elsewhere().await);
    assert_eq!(room.says().await, "over");
    assert_eq!(room.counted("refused"), 1);
}

#[tokio::test]
async fn a_sign_out_in_the_middle_of_a_refresh_is_final() {
    let room = Room::start().await;
    room.scene.clock.advance(EVERY);
    let held = room.scene.idp.hold(Endpoint::Token);
    let (checked, ()) = tokio::join!(room.asks(), async {
        room.asked(1).await;
        let ended = room.sessions.end(&room.id.key()).await.unwrap();
        assert!(ended.is_some());
        drop(held);
    });
    assert_eq!(word(&checked), "over");
    assert!(room.live().await.is_none());
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_break_off_the_refresh() {
    let room = Room::start().await;
    room.scene.clock.advance(EVERY);
    let held = room.scene.idp.hold(Endpoint::Token);
    let (rechecks, live) = (Arc::clone(&room.rechecks), room.live().await.unwrap());
    let request = tokio::spawn(async move { rechecks.check(live, None).await });
    room.asked(1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    drop(held);
    room.rechecks.settled().await;
    let live = room.live().await.unwrap();
    assert_eq!(live.session.checked_at, room.scene.clock.now());
}

/// The new refresh token came, and then userinfo failed.
#[tokio::test]
async fn a_refresh_that_fails_halfway_does_not_cost_the_session() {
    let room = Room::start().await;
    room.scene.clock.advance(EVERY);
    room.scene.idp.bend(Fault::UserinfoIsDown);
    for _ in 0..3 {
        assert_eq!(room.says().await, "good");
        room.scene.clock.advance(31);
    }
    let checked_at = room.live().await.unwrap().session.checked_at;
    assert_eq!(checked_at, Timestamp::from_unix(START));
    room.scene.idp.mend();
    assert_eq!(room.says().await, "good");
    assert_eq!(
        (room.counted("unavailable"), room.counted("confirmed")),
        (3, 1)
    );
}

#[tokio::test]
async fn what_is_open_is_watched_over_without_a_request() {
    let every_second = Recheck {
        every: Duration::from_secs(1),
        grace: Duration::from_secs(GRACE),
    };
    let room = Room::with(every_second).await;
    let watching = Arc::clone(&room.rechecks).watch_over_what_is_open();
    let watching = tokio::spawn(watching);
    let end = room.live().await.unwrap().end();
    room.scene.clock.advance(2);
    room.asked(1).await;
    room.scene.idp.set(|knobs| {
        let nothing = json!([]);
        knobs.extra_claims.insert("groups".to_owned(), nothing);
    });
    room.rechecks.settled().await;
    room.scene.clock.advance(2);
    closed(end).await;
    assert!(room.live().await.is_none());
    watching.abort();

    // And where the provider is away for too long.
    let room = Room::with(every_second).await;
    let watching = Arc::clone(&room.rechecks).watch_over_what_is_open();
    let watching = tokio::spawn(watching);
    let end = room.live().await.unwrap().end();
    room.scene.idp.bend(Fault::TokenIsDown);
    room.scene.clock.advance(GRACE + 2);
    closed(end).await;
    assert!(room.live().await.is_some());
    watching.abort();
}
