//! Tunnels by the thousand, with two workers: none may end by itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::rig::{Extra, Front, KINDS, Rig, request};
use crate::wire::Wire;

/// What all batches together open.
const TUNNELS: usize = 20_000;
/// At a time: two descriptors each in the house, and two here, where other tests need some as well.
const BATCH: usize = 4_000;
/// Opening at the same time.
const AT_ONCE: usize = 128;

pub(crate) const TWO_WORKERS: &str = "workers: 2\n\
    limits: { connections_per_address: 1000000, tunnels_per_minute: 1000000 }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_twenty_thousand_tunnels_ends_early() {
    let extra = Extra {
        top: TWO_WORKERS,
        ..Extra::default()
    };
    let rig = Rig::echoing(Front::Plain, extra);
    let (started, mut opened) = (Instant::now(), 0);
    for batch in 0..TUNNELS / BATCH {
        // An address for each batch, so that its ports are its own.
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(batch).unwrap());
        opened += batch_of_tunnels(rig.house.plan.public, from).await;
    }
    let seconds = started.elapsed().as_secs_f32();
    println!("{opened} tunnels opened, each alive when asked a second time, in {seconds:.0} s");
    assert_eq!(opened, TUNNELS);
    let asked = rig.upstream.asked().len();
    assert_eq!(asked, TUNNELS, "each upgrade reached Headscale once");
}

/// A restart with as many devices as descriptors are left for, beside other tests.
const DEVICES: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_that_all_come_back_at_once_after_a_restart_all_get_through_at_once() {
    let extra = Extra {
        top: TWO_WORKERS,
        ..Extra::default()
    };
    let mut rig = Rig::echoing(Front::Plain, extra);
    let house = rig.house.plan.public;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let (open, again) = (watch::Sender::new(0_usize), watch::Sender::new(false));
    let mut devices = JoinSet::new();
    for index in 0..DEVICES {
        let (places, open, mut again) = (Arc::clone(&places), open.clone(), again.subscribe());
        devices.spawn(async move {
            let place = places.acquire_owned().await.unwrap();
            let mut before = tunnel(house, index).await.expect("a tunnel before");
            drop(place);
            open.send_modify(|open| *open += 1);
            let _ = before.try_rest().await;
            again.wait_for(|again| *again).await.unwrap();
            // Nobody waits for anybody, and nobody tries twice.
            let after = tunnel(house, index).await;
            // All of them are open at the end.
            (index, after)
        });
    }
    let mut all = open.subscribe();
    all.wait_for(|open| *open == DEVICES).await.unwrap();
    rig.house.restart(&[]);
    rig.house.wait_for_log("serving");
    again.send_replace(true);
    let mut back = devices.join_all().await;
    let mut lost = 0;
    for (index, device) in &mut back {
        let alive = match device {
            Some(device) => is_alive(device, *index).await,
            None => false,
        };
        lost += usize::from(!alive);
    }
    assert_eq!((back.len(), lost), (DEVICES, 0));
}

#[tokio::test]
async fn a_house_with_few_descriptors_takes_as_many_as_it_may_and_turns_away_who_would_be_too_many()
{
    // Of 600 descriptors, 256 are kept for ourselves; each client may need two. Of the 64 that it starts
    // with, not even its own files and workers could live for long.
    const PLACES: usize = (600 - 256) / 2;
    let extra = Extra {
        top: TWO_WORKERS,
        ..Extra::default()
    };
    let rig = Rig::around(extra, |command| {
        command.args(["prlimit", "--nofile=64:600"]);
    });
    let house = rig.house.plan.public;
    let mut tunnels = Vec::new();
    for index in 0..PLACES {
        tunnels.push(tunnel(house, index).await.expect("a place"));
    }
    let mut one_more = Wire::connect(house).await;
    let answer = one_more.head().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    for (index, tunnel) in tunnels.iter_mut().enumerate() {
        assert!(is_alive(tunnel, index).await, "tunnel {index}");
    }
    let log = rig.house.log();
    assert!(!log.contains("cannot accept a connection"), "{log}");
    // A place that is given back is somebody else's.
    let mut gone = tunnels.pop().unwrap();
    gone.finish().await;
    gone.rest().await;
    let mut tries = 0;
    while tunnel(house, PLACES).await.is_none() {
        tries += 1;
        assert!(tries < 10_000, "no place is given back");
    }
}

/// A tunnel, from one of a few addresses, so that there are ports enough.
async fn tunnel(house: SocketAddr, index: usize) -> Option<Wire> {
    let from = Ipv4Addr::new(127, 0, 2, u8::try_from(index % 8).unwrap() + 1);
    let mut client = Wire::new(connect(house, from).await);
    client
        .try_send(request(KINDS[index % KINDS.len()]).as_bytes())
        .await
        .ok()?;
    let head = client.try_head().await.unwrap_or_default();
    head.starts_with("HTTP/1.1 101 ").then_some(client)
}

/// Opens a batch, talks through each, and again once all are open; how many were alive both times.
async fn batch_of_tunnels(house: SocketAddr, from: Ipv4Addr) -> usize {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let all_open = watch::Sender::new(false);
    let count = watch::Sender::new(0_usize);
    let mut tunnels = JoinSet::new();
    for index in 0..BATCH {
        let (places, count) = (Arc::clone(&places), count.clone());
        let mut all_open = all_open.subscribe();
        tunnels.spawn(async move {
            let place = places.acquire_owned().await.unwrap();
            let mut client = Wire::new(connect(house, from).await);
            client.send(request(KINDS[index % KINDS.len()])).await;
            let head = client.try_head().await.unwrap_or_default();
            let opened = head.starts_with("HTTP/1.1 101 ");
            let first = opened && is_alive(&mut client, index).await;
            drop(place);
            count.send_modify(|count| *count += 1);
            all_open.wait_for(|all| *all).await.unwrap();
            first && is_alive(&mut client, index).await
        });
    }
    let mut counted = count.subscribe();
    counted.wait_for(|count| *count == BATCH).await.unwrap();
    all_open.send_replace(true);
    let mut alive = 0;
    while let Some(tunnel) = tunnels.join_next().await {
        alive += usize::from(tunnel.unwrap());
    }
    alive
}

async fn connect(to: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn is_alive(client: &mut Wire, index: usize) -> bool {
    let word = format!("tunnel {index:05}");
    client.try_send(word.as_bytes()).await.is_ok()
        && client
            .try_exact(word.len())
            .await
            .is_ok_and(|heard| heard == word.as_bytes())
}
