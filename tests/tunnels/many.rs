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
