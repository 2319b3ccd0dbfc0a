//! What tunnels cost in memory, as the kernel counts it.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::many::TWO_WORKERS;
use crate::rig::{DERP, Extra, Front, Rig};
use crate::wire::{PATIENCE, Wire};

const TUNNELS: u64 = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_tunnel_owns_no_buffer_and_a_closed_one_nothing() {
    // jemalloc gives freed memory back over ten seconds, and its thread wakes when it likes.
    const GIVEN_BACK: Duration = Duration::from_mins(1);
    let extra = Extra {
        top: TWO_WORKERS,
        ..Extra::default()
    };
    // In bytes. nginx takes 18 KB over plain TCP; this is less than half, and what is measured less than half of
    // that. rustls needs its keys and its state on both sides, 4 KiB more for each where it keeps a buffer.
    for (front, most) in [(Front::Plain, 8 * 1024), (Front::Tls, 14 * 1024)] {
        let rig = Rig::echoing(front, extra);
        // What the process grows by once, whatever comes later.
        drop(open(&rig, front, 50).await);
        let before = rig.resident_kib();
        let tunnels = open(&rig, front, TUNNELS).await;
        let idle = rig.resident_kib();
        let tunnels = push(tunnels).await;
        let used = rig.resident_kib();
        let each = |now: u64| now.saturating_sub(before) * 1024 / TUNNELS;
        let (idle, after) = (each(idle), each(used));
        println!(
            "{front:?}: {idle} bytes for each of {TUNNELS} idle tunnels, {after} after 256 KiB both ways"
        );
        assert!(idle < most && after < most, "{idle} and {after} bytes");

        drop(tunnels);
        let deadline = tokio::time::Instant::now() + GIVEN_BACK;
        let mut poll = tokio::time::interval(Duration::from_millis(500));
        loop {
            poll.tick().await;
            let kept = rig.resident_kib().saturating_sub(before);
            if kept < (used - before) / 2 {
                println!("{front:?}: {kept} KiB of {} kept", used - before);
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{kept} KiB are kept"
            );
        }
    }
}

async fn open(rig: &Rig, front: Front, count: u64) -> Vec<Wire> {
    let mut tunnels = Vec::new();
    for _ in 0..count {
        let mut client = rig.connect(front).await;
        client.send(DERP).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        tunnels.push(client);
    }
    tunnels
}

/// 256 KiB through each, and back.
async fn push(tunnels: Vec<Wire>) -> Vec<Wire> {
    let mut pushing = JoinSet::new();
    for mut client in tunnels {
        pushing.spawn(async move {
            for _ in 0..8 {
                client.send(vec![b'x'; 32 * 1024]).await;
                client.exact(32 * 1024).await;
            }
            client
        });
    }
    tokio::time::timeout(4 * PATIENCE, pushing.join_all())
        .await
        .expect("all of it comes back")
}
