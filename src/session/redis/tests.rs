//! What is sent to a server that answers the greeting and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::shared::{SharedStore as _, When};
use super::*;
use crate::config::RedisTopology;

/// What the server does when it is asked for something.
#[derive(Clone, Copy, Debug)]
enum Manner {
    HangsUp,
    IsSilent,
    /// Writes are refused, as by a server that is full.
    Refuses,
}

#[derive(Debug, Default)]
struct Count {
    connections: AtomicUsize,
    asked: AtomicUsize,
}

/// The commands that are whole in `read`, which are taken out of it.
fn commands(read: &mut Vec<u8>) -> Vec<String> {
    let text = String::from_utf8_lossy(read).into_owned();
    let mut lines = text.split_inclusive("\r\n").peekable();
    let (mut all, mut used) = (Vec::new(), 0);
    while let Some(head) = lines.next() {
        let count: usize = head[1..].trim_end().parse().unwrap();
        let words: Vec<&str> = lines.by_ref().take(count * 2).collect();
        if words.len() < count * 2 || !words.concat().ends_with("\r\n") {
            break;
        }
        used += head.len() + words.concat().len();
        all.push(words[1].trim_end().to_uppercase());
    }
    read.drain(..used);
    all
}

async fn serve(mut socket: TcpStream, manner: Manner, count: Arc<Count>) {
    count.connections.fetch_add(1, Ordering::SeqCst);
    let mut read = Vec::new();
    while socket.read_buf(&mut read).await.is_ok_and(|n| n > 0) {
        for command in commands(&mut read) {
            if command == "CLIENT" || command == "HELLO" {
                socket.write_all(b"+OK\r\n").await.unwrap();
                continue;
            }
            count.asked.fetch_add(1, Ordering::SeqCst);
            match manner {
                Manner::HangsUp => return,
                Manner::IsSilent => {}
                Manner::Refuses if command == "GET" => socket.write_all(b"_\r\n").await.unwrap(),
                Manner::Refuses => socket
                    .write_all(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n")
                    .await
                    .unwrap(),
            }
        }
    }
}

async fn store(manner: Manner) -> (Redis, Arc<Count>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(Count::default());
    let counting = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, manner, Arc::clone(&counting)));
        }
    });
    let settings = RedisSettings {
        topology: RedisTopology::One,
        nodes: vec![("127.0.0.1".to_owned(), port)],
        tls: false,
        ca_path: None,
        username: None,
        password: None,
        database: 0,
        prefix: "hw".to_owned(),
        timeout: match manner {
            Manner::IsSilent => Duration::from_millis(300),
            Manner::HangsUp | Manner::Refuses => Duration::from_mins(1),
        },
        grace: Duration::ZERO,
    };
    let metrics = Arc::new(Metrics::new().unwrap());
    (Redis::new(&settings, metrics).unwrap(), count)
}

/// Asks by its name.
async fn ask(store: &Redis, what: &str) -> Result<(), StoreAway> {
    let life = Duration::from_secs(1);
    match what {
        "get" => store.get("k").await.map(drop),
        "file" => store.file("l", b"m", (1, 0), life).await.map(drop),
        "take" => store.take("k").await.map(drop),
        "bury" => store.bury("k", life).await.map(drop),
        "set" => store.set("k", b"v", life, When::Absent).await.map(drop),
        "swap" => store.swap("k", None, b"v", life).await.map(drop),
        "remove" => store.remove_if("k", b"v").await.map(drop),
        _ => store.append("l", b"e", 1, life).await,
    }
}

#[tokio::test]
async fn what_must_not_be_done_twice_is_sent_once_when_the_connection_breaks() {
    for (what, times) in [
        ("get", 2),
        ("file", 2),
        ("take", 1),
        ("bury", 1),
        ("set", 1),
        ("swap", 1),
        ("remove", 1),
        ("append", 1),
    ] {
        let (store, count) = store(Manner::HangsUp).await;
        assert_eq!(ask(&store, what).await, Err(StoreAway), "{what}");
        assert_eq!(count.asked.load(Ordering::SeqCst), times, "{what}");
    }
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_not_sent_again() {
    for what in ["get", "take"] {
        let (store, count) = store(Manner::IsSilent).await;
        assert_eq!(ask(&store, what).await, Err(StoreAway), "{what}");
        assert_eq!(count.asked.load(Ordering::SeqCst), 1, "{what}");
    }
}

#[tokio::test]
async fn a_command_that_the_server_refuses_fails_alone() {
    let (store, count) = store(Manner::Refuses).await;
    for _ in 0..3 {
        assert_eq!(ask(&store, "bury").await, Err(StoreAway));
        assert_eq!(ask(&store, "get").await, Ok(()));
    }
    assert_eq!(count.connections.load(Ordering::SeqCst), 1);
    assert_eq!(count.asked.load(Ordering::SeqCst), 6);
}
