use std::future::poll_fn;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A client's end, and ours.
async fn pair() -> (TcpStream, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let (ours, peer) = accepted.unwrap();
    (
        client.unwrap(),
        Connection::new(Transport::Plain(ours), peer),
    )
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let (_client, mut ours) = pair().await;
    let started = tokio::time::Instant::now();
    let piece = vec![b'x'; 1024 * 1024];
    // Until the buffers of both kernels are full, and then for as long as we wait.
    let stopped = loop {
        if let Err(stopped) = ours.write_all(&piece).await {
            break stopped;
        }
    };
    assert_eq!(stopped.kind(), io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), STALL.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_something_now_and_then_is_not_given_up() {
    let mut stall = Stall::default();
    let mut context = Context::from_waker(std::task::Waker::noop());
    let cx = &mut context;
    for _ in 0..3 {
        assert!(stall.watch::<()>(cx, Poll::Pending).is_pending());
        tokio::time::advance(STALL.saturating_sub(Duration::from_secs(1))).await;
        assert!(stall.watch::<()>(cx, Poll::Pending).is_pending());
        assert!(stall.watch(cx, Poll::Ready(Ok(()))).is_ready());
    }
    assert!(stall.watch::<()>(cx, Poll::Pending).is_pending());
    tokio::time::advance(STALL).await;
    let over = stall.watch::<()>(cx, Poll::Pending);
    assert!(matches!(over, Poll::Ready(Err(_))), "{over:?}");
}

#[tokio::test]
async fn a_chunked_body_is_judged_behind_its_head_and_the_next_request_is_not() {
    for (ahead, sent, ok) in [
        ("HEAD5\r\nhe", "llo\r\n0\r\n\r\nGET 5;\n", Some(true)),
        ("HEAD5\r\nhello\r\n0\r\n\r\nGET 5;\n", "5;\n", Some(true)),
        ("HEAD5", ";\nhello\r\n0\r\n\r\n", Some(false)),
        ("HEAD5;\nhello", "\r\n0\r\n\r\n", None),
    ] {
        let (mut client, mut ours) = pair().await;
        ours.give_back(Bytes::from_static(ahead.as_bytes()));
        assert_eq!(ours.expect_chunks(4).is_ok(), ok.is_some(), "{ahead:?}");
        if ok.is_none() {
            continue;
        }
        client.write_all(sent.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut read = String::new();
        match ours.read_to_string(&mut read).await {
            Ok(_) => assert!(
                ok == Some(true) && read == format!("{ahead}{sent}"),
                "{read:?}"
            ),
            Err(why) => assert!(
                ok == Some(false) && why.kind() == io::ErrorKind::InvalidData,
                "{why}"
            ),
        }
    }
}

#[tokio::test]
async fn a_lent_connection_comes_home_with_what_was_not_read() {
    let (mut client, mut ours) = pair().await;
    ours.give_back(Bytes::from_static(b"ahead"));
    let (mut lent, home) = ours.lend();
    let mut two = [0; 2];
    lent.read_exact(&mut two).await.unwrap();
    AsyncWriteExt::shutdown(&mut lent).await.unwrap();
    Shutdown::shutdown(&mut lent).await;
    drop(lent);
    let mut ours = home.await.unwrap();
    let mut three = [0; 3];
    ours.read_exact(&mut three).await.unwrap();
    assert_eq!((&two, &three), (b"ah", b"ead"));
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn an_answers_head_waits_no_longer_than_there_is_something_to_follow() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let (mut client, ours) = pair().await;
    let (mut lent, _home) = ours.lend();
    lent.write_all(head).await.unwrap();
    // Whoever serves it listens to the client meanwhile, and hears nothing.
    let mut byte = [0];
    let mut read = ReadBuf::new(&mut byte);
    let heard = poll_fn(|cx| Poll::Ready(Pin::new(&mut lent).poll_read(cx, &mut read).is_ready()));
    assert!(!heard.await);
    let mut said = vec![0; head.len()];
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(said, head);
}

#[tokio::test]
async fn an_answers_head_waits_for_what_follows_and_is_never_said_without_it_unless_it_may() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    for (body, flushed, said) in [
        // Nothing follows, and nobody asks for it: whether that is all of it, nobody could tell.
        (0, false, false),
        (0, true, true),
        (1, false, true),
        // More than the kernel takes at once.
        (8 * 1024 * 1024, false, true),
        (8 * 1024 * 1024, true, true),
    ] {
        let (mut client, ours) = pair().await;
        let (mut lent, home) = ours.lend();
        let body = vec![b'x'; body];
        let write = async {
            lent.write_all(head).await.unwrap();
            if flushed {
                lent.flush().await.unwrap();
            }
            lent.write_all(&body).await.unwrap();
            drop(lent);
            home.await.unwrap().has_spoken()
        };
        let mut read = Vec::new();
        let (spoken, _) = tokio::join!(write, client.read_to_end(&mut read));
        assert_eq!(spoken, said, "{} {flushed}", body.len());
        let all = [&head[..], &body].concat();
        assert!(read == if said { &all[..] } else { b"" });
    }
}
