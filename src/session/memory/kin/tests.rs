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
                Change::Began(bytes) => drop(hearing.hear_of_new(&bytes)),
                Change::Updated(bytes) => drop(hearing.hear_of_update(&bytes)),
                Change::Ended(key) => hearing.hear_of_end(&key),
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
    assert!(new.hear_of_new(&bytes[0]));
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
        assert!(!new.hear_of_new(wrong), "{wrong:?}");
        assert!(!new.hear_of_update(wrong), "{wrong:?}");
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
async fn a_session_of_another_format_is_told_from_one_that_is_over() {
    let old = sessions();
    let (_, live) = old.start(session("mia", None)).await.unwrap();
    let bytes = old.to_bytes(&live.key).unwrap();
    assert!(Sessions::reads(&bytes));
    for cut in [0, 3, bytes.len() / 2, bytes.len() - 1] {
        let torn = &bytes[..cut];
        assert!(
            !Sessions::reads(torn) && !sessions().hear_of_new(torn),
            "{cut}"
        );
    }
}
