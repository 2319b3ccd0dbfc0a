use super::*;
use crate::domain::session::Limits;
use crate::ops::entropy::SystemRandom;
use crate::session::testing::{SetClock, session};

/// More than a socket has room for, told or answered.
const MANY: usize = 2000;
const LONG: Duration = Duration::from_mins(10);

fn sessions() -> Arc<Sessions> {
    let limits = Limits {
        idle: Duration::from_mins(10),
        lifetime: Duration::from_hours(1),
    };
    let (clock, random) = (Arc::new(SetClock::new()), Arc::new(SystemRandom::new()));
    Arc::new(Sessions::new(limits, 100, clock, random))
}

fn links() -> (Link, Link) {
    let (one, other) = std_unix::UnixStream::pair().unwrap();
    (Link::new(one).unwrap(), Link::new(other).unwrap())
}

/// A session of `old` as bytes, and one who waits for it to be known.
async fn told(old: &Sessions) -> Vec<u8> {
    let (_, live) = old.start(session("mia", None)).await.unwrap();
    old.to_bytes(&live.key).unwrap()
}

fn tell(kin: &Kin, change: Change) -> oneshot::Receiver<()> {
    let (heard, waiting) = oneshot::channel();
    let heard = Some(heard);
    kin.send(News { change, heard }).unwrap();
    waiting
}

#[tokio::test(start_paused = true)]
async fn however_much_changes_before_the_new_process_begins_neither_waits_for_the_other() {
    let (mut old, mut new) = links();
    let (here, there) = (sessions(), sessions());
    let bytes = told(&here).await;
    let kin = old.kin();
    let waiting: Vec<_> = (0..MANY)
        .map(|_| tell(&kin, Change::Began(bytes.clone())))
        .collect();
    let telling = async {
        old.tell_news().await.unwrap();
        old.say(Kind::Begin, &[]).await.unwrap();
        old.wait_for(Kind::Serving).await.unwrap();
    };
    let hearing = async {
        loop {
            match new.hear().await.unwrap() {
                (Kind::Begin, _) => break,
                (kind, body) => take(&there, kind, &body).unwrap(),
            }
        }
        new.say(Kind::Serving, &[]).await.unwrap();
    };
    let both = timeout(LONG, async { tokio::join!(telling, hearing) });
    both.await.expect("both go on");
    assert_eq!(there.len(), 1);
    for waiting in waiting {
        waiting.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_something_is_waited_for_is_told_meanwhile() {
    let (mut old, mut new) = links();
    let here = sessions();
    let kin = old.kin();
    let bytes = told(&here).await;
    let done = async move { tell(&kin, Change::Began(bytes)).await.unwrap() };
    let told = timeout(LONG, old.tell_news_until(done)).await;
    told.expect("it was told").unwrap();
    assert_eq!(new.hear().await.unwrap().0, Kind::Began);
}

#[tokio::test(start_paused = true)]
async fn two_processes_that_both_have_much_to_say_hear_all_of_it() {
    let (old, new) = links();
    let (here, there) = (sessions(), sessions());
    let bytes = told(&here).await;
    let waiting: Vec<_> = [old.kin(), new.kin()]
        .iter()
        .flat_map(|kin| (0..MANY).map(|_| tell(kin, Change::Began(bytes.clone()))))
        .collect();
    let (one, other) = (tokio::spawn(old.run(here)), tokio::spawn(new.run(there)));
    for waiting in waiting {
        let heard = timeout(LONG, waiting).await;
        heard.expect("it was heard").unwrap();
    }
    one.abort();
    timeout(LONG, other).await.expect("it ends").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_takes_nothing_is_given_up() {
    let (old, _stopped) = links();
    let here = sessions();
    let kin = old.kin();
    here.tell(kin.clone());
    let waiting = tell(&kin, Change::Updated(vec![0; 16 * 1024 * 1024]));
    let running = timeout(LONG, old.run(Arc::clone(&here))).await;
    running.expect("it is given up");
    assert!(waiting.await.is_err(), "nobody heard of it");
    let started = tokio::time::Instant::now();
    here.start(session("mia", None)).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO, "nobody is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_process_hears_that_a_third_serves_before_the_second_has_ended() {
    let (first, second) = links();
    let mut replaced = first.replaced();
    let kin = second.kin();
    let running = [first, second].map(|link| tokio::spawn(link.run(sessions())));
    assert!(!*replaced.borrow_and_update());
    let heard = timeout(LONG, tell(&kin, Change::Replaced)).await;
    heard.expect("it is answered").unwrap();
    assert!(*replaced.borrow_and_update());
    for running in running {
        assert!(!running.is_finished());
        running.abort();
    }
}

#[test]
fn what_cannot_be_read_or_is_of_no_session_is_an_error() {
    let here = sessions();
    for (kind, body) in [
        (Kind::Began, &b"\0\0\0\x02{}{}"[..]),
        (Kind::Updated, b""),
        (Kind::Ended, b"none"),
        (Kind::Ready, b""),
        (Kind::Heard, b""),
    ] {
        assert!(take(&here, kind, body).is_err(), "{kind:?}");
    }
}
