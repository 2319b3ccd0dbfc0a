use super::*;
use crate::domain::session::Limits;
use crate::ops::entropy::SystemRandom;
use crate::session::testing::{SetClock, session};

fn sessions() -> Arc<Sessions> {
    let limits = Limits {
        idle: Duration::from_mins(10),
        lifetime: Duration::from_hours(1),
    };
    let (clock, random) = (Arc::new(SetClock::new()), Arc::new(SystemRandom::new()));
    Arc::new(Sessions::new(limits, 100, clock, random))
}

/// Two processes: what the first says is heard by the second at once.
fn kin() -> (Arc<Sessions>, Arc<Sessions>) {
    let (old, new) = (sessions(), sessions());
    let (kin, mut news) = mpsc::unbounded_channel::<News>();
    old.tell(kin);
    let hearing = Arc::clone(&new);
    tokio::spawn(async move {
        while let Some(News { change, heard }) = news.recv().await {
            match change {
                Change::Began(bytes) => drop(hearing.hear_of_new(&bytes).unwrap()),
                Change::Updated(bytes) => drop(hearing.hear_of_update(&bytes).unwrap()),
                Change::Ended(key) => hearing.hear_of_end(&key),
                Change::Replaced => {}
            }
            heard.map(|heard| heard.send(()));
        }
    });
    (old, new)
}

#[tokio::test(start_paused = true)]
async fn what_begins_in_one_is_known_in_the_other_before_its_browser_hears_of_it() {
    let (old, new) = kin();
    let (id, live) = old.start(session("mia", Some("sid"))).await.unwrap();
    let there = new.find(&id).await.unwrap().unwrap();
    assert_eq!(there.key, live.key);
    let subject = &live.session.identity.subject;
    assert_eq!(
        new.of_subject(subject).await.unwrap().len(),
        1,
        "it is filed"
    );
    assert_eq!(new.end_subject(subject).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_changes_in_one_changes_in_the_other_and_what_is_over_there_stays_over() {
    let (old, new) = kin();
    let (id, live) = old.start(session("mia", None)).await.unwrap();
    let changed = old
        .update(&live, session("mia", Some("sid")))
        .await
        .unwrap();
    let there = new.find(&id).await.unwrap().unwrap();
    assert_eq!(
        there.session.provider_session,
        changed.unwrap().session.provider_session
    );
    let sid = there.session.provider_session.clone().unwrap();
    assert_eq!(
        new.end_provider_session(&sid).await.unwrap(),
        1,
        "it is filed anew"
    );
    // The old one has not heard of that, and goes on changing it.
    let live = old.find(&id).await.unwrap().unwrap();
    old.update(&live, session("mia", None)).await.unwrap();
    assert!(new.find(&id).await.unwrap().is_none(), "it is brought back");
}

#[tokio::test(start_paused = true)]
async fn what_ends_in_one_ends_in_the_other_and_whatever_hangs_on_it() {
    let (old, new) = kin();
    let (id, live) = old.start(session("mia", None)).await.unwrap();
    let there = new.find(&id).await.unwrap().unwrap();
    let over = there.end();
    old.end(&live.key).await.unwrap().unwrap();
    drop(over.await);
    assert!(new.find(&id).await.unwrap().is_none());
    // Another one's end is no news to whom it was told by.
    let (id, live) = old.start(session("mia", None)).await.unwrap();
    let (kin, mut news) = mpsc::unbounded_channel();
    new.tell(kin);
    new.hear_of_end(&live.key);
    assert!(news.try_recv().is_err(), "it would go back and forth");
    assert!(old.find(&id).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn all_of_a_session_goes_over_and_nothing_else_does() {
    let (old, new) = (sessions(), sessions());
    let (id, live) = old.start(session("mia", None)).await.unwrap();
    let remembered = live
        .entry
        .with_state(|state| serde_json::to_string(state))
        .unwrap();
    let bytes: Vec<_> = old
        .names()
        .iter()
        .filter_map(|key| old.to_bytes(key))
        .collect();
    assert_eq!(bytes.len(), 1);
    assert_eq!(new.hear_of_new(&bytes[0]), Ok(true));
    let there = new.find(&id).await.unwrap().unwrap();
    assert_eq!(
        there
            .entry
            .with_state(|state| serde_json::to_string(state))
            .unwrap(),
        remembered
    );
    for wrong in [
        &[][..],
        b"\0\0\0\x01",
        b"\xff\xff\xff\xff{}",
        &bytes[0][..bytes[0].len() - 9],
    ] {
        assert_eq!(new.hear_of_new(wrong), Err(Unreadable), "{wrong:?}");
        assert_eq!(new.hear_of_update(wrong), Err(Unreadable), "{wrong:?}");
    }
    assert_eq!(new.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_answer_delays_a_beginning_by_a_second_and_no_more() {
    let old = sessions();
    let (kin, _news) = mpsc::unbounded_channel();
    old.tell(kin);
    let started = tokio::time::Instant::now();
    let (id, _) = old.start(session("mia", None)).await.unwrap();
    assert_eq!(started.elapsed(), PATIENCE);
    assert!(old.find(&id).await.unwrap().is_some());
    old.tell_nobody();
    let started = tokio::time::Instant::now();
    old.start(session("mia", None)).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_earlier_process_does_not_keep_a_later_one_from_hearing() {
    let sessions = sessions();
    let (earlier, _gone) = mpsc::unbounded_channel();
    let (later, mut news) = mpsc::unbounded_channel();
    sessions.tell(earlier.clone());
    sessions.tell(later.clone());
    sessions.tell_no_more(&earlier);
    sessions.start(session("mia", None)).await.unwrap();
    assert!(news.try_recv().is_ok());
    sessions.tell_no_more(&later);
    sessions.start(session("mia", None)).await.unwrap();
    assert!(news.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_last_that_is_told_of_a_session_that_ended_while_it_began_is_its_end() {
    let old = sessions();
    let (_, live) = old.start(session("mia", None)).await.unwrap();
    let (kin, mut news) = mpsc::unbounded_channel();
    old.tell(kin);
    old.end(&live.key).await.unwrap().unwrap();
    old.memory().unwrap().tell_began(&live).await;
    let mut last = None;
    while let Ok(news) = news.try_recv() {
        last = Some(news.change);
    }
    let ended = matches!(last, Some(Change::Ended(key)) if key == live.key);
    assert!(ended, "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_checked_later_stays_whoever_tells_of_it_last() {
    let (old, new) = (sessions(), sessions());
    let (id, live) = old.start(session("mia", None)).await.unwrap();
    let told = old.to_bytes(&live.key).unwrap();
    assert_eq!(new.hear_of_new(&told), Ok(true));
    let there = new.find(&id).await.unwrap().unwrap();
    let mut newer = session("mia", Some("sid"));
    newer.checked_at = newer.checked_at.plus(Duration::from_secs(1));
    new.update(&there, newer).await.unwrap().unwrap();
    assert_eq!(new.hear_of_update(&told), Ok(true));
    let there = new.find(&id).await.unwrap().unwrap();
    assert!(there.session.provider_session.is_some(), "it is the older");
    // And the other way round.
    assert_eq!(
        old.hear_of_update(&new.to_bytes(&live.key).unwrap()),
        Ok(true)
    );
    let here = old.find(&id).await.unwrap().unwrap();
    assert!(here.session.provider_session.is_some(), "it is the newer");
}
