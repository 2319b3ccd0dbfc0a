//! After the 101: half-closes, bursts, slow readers, sudden ends.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::rig::{Extra, Front, PAIRINGS, Rig};
use crate::wire::soon;

#[tokio::test]
async fn a_side_that_has_finished_still_hears_the_other_out() {
    for (front, behind) in PAIRINGS {
        let mut rig = Rig::start(behind, Extra::default());
        let what = format!("{front:?} to {behind:?}");

        let (mut client, mut headscale) = rig.tunnel(front).await;
        client.send(vec![b'q'; 300_000]).await;
        client.finish().await;
        assert_eq!(headscale.rest().await, vec![b'q'; 300_000], "{what}");
        headscale.send(vec![b'a'; 300_000]).await;
        headscale.finish().await;
        assert_eq!(client.rest().await, vec![b'a'; 300_000], "{what}");

        let (mut client, mut headscale) = rig.tunnel(front).await;
        headscale.send("goodbye").await;
        headscale.finish().await;
        assert_eq!(client.rest().await, b"goodbye", "{what}");
        for _ in 0..3 {
            client.send("still here").await;
            assert_eq!(headscale.exact(10).await, b"still here", "{what}");
        }
        client.finish().await;
        assert_eq!(headscale.rest().await, b"", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_both_ways_at_once_arrive_whole() {
    const SIZE: usize = 8 * 1024 * 1024;
    let pattern = |seed: usize| -> Vec<u8> {
        (0..SIZE)
            .map(|at| u8::try_from((at * 31 + at / 4096 + seed) % 251).expect("a byte"))
            .collect()
    };
    for (front, behind) in PAIRINGS {
        let mut rig = Rig::start(behind, Extra::default());
        let (client, headscale) = rig.tunnel(front).await;
        let (up, down) = (pattern(1), pattern(2));
        let ends = [(client, up.clone(), down.clone()), (headscale, down, up)];
        let talks = ends.map(|(wire, said, expected)| {
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(wire.into_stream());
                let speaks = async {
                    to.write_all(&said).await.unwrap();
                    to.shutdown().await.unwrap();
                };
                let listens = async {
                    let mut heard = Vec::new();
                    from.read_to_end(&mut heard).await.unwrap();
                    assert!(heard == expected, "{} bytes, or others", heard.len());
                };
                soon("a burst", async { tokio::join!(speaks, listens) }).await;
            })
        });
        for talk in talks {
            talk.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer_and_not_the_house() {
    /// Far more than the sockets on the way hold.
    const FLOOD: usize = 64 * 1024 * 1024;
    const TUNNELS: u64 = 4;
    for (front, behind) in [(Front::Plain, Front::Plain), (Front::Tls, Front::Tls)] {
        let mut rig = Rig::start(behind, Extra::default());
        let before = rig.resident_kib();
        let mut stuck = Vec::new();
        for _ in 0..TUNNELS {
            let (mut client, headscale) = rig.tunnel(front).await;
            let piece = vec![b'x'; 64 * 1024];
            let mut taken = 0;
            // A piece that nobody takes for so long means that every buffer on the way is full.
            let limit = std::time::Duration::from_millis(500);
            while taken < FLOOD {
                match tokio::time::timeout(limit, client.try_send(&piece)).await {
                    Ok(sent) => sent.unwrap(),
                    Err(_) => break,
                }
                taken += piece.len();
            }
            assert!(taken < FLOOD, "the house took {taken} bytes for nobody");
            stuck.push((client, headscale));
        }
        let grown = rig.resident_kib().saturating_sub(before);
        println!("{front:?} to {behind:?}: {grown} KiB more for {TUNNELS} stuck tunnels");
        // One buffer of 64 KiB each, and twice as much in each TLS session; the rest is what the
        // process grows by anyway as it begins to work. The flood itself would be 64 MiB each.
        assert!(grown < 24 * 1024, "{grown} KiB");
        // And nobody else is held up.
        let (mut client, mut headscale) = rig.tunnel(front).await;
        client.send("hello").await;
        assert_eq!(headscale.exact(5).await, b"hello");
    }
}

#[tokio::test]
async fn a_reader_that_goes_on_gets_all_of_it() {
    let mut rig = Rig::start(Front::Tls, Extra::default());
    let (client, mut headscale) = rig.tunnel(Front::Tls).await;
    let writes = tokio::spawn(async move {
        let (_from, mut to) = tokio::io::split(client.into_stream());
        for piece in 0..512_usize {
            let byte = u8::try_from(piece % 256).unwrap();
            to.write_all(&vec![byte; 64 * 1024]).await.unwrap();
        }
        to.shutdown().await.unwrap();
    });
    let mut total = 0;
    for piece in 0..512_usize {
        // Slower than the writer: other tasks run between any two reads.
        tokio::task::yield_now().await;
        let bytes = headscale.exact(64 * 1024).await;
        assert!(
            bytes.iter().all(|byte| usize::from(*byte) == piece % 256),
            "at {piece}"
        );
        total += bytes.len();
    }
    assert_eq!(total, 32 * 1024 * 1024);
    assert_eq!(headscale.rest().await, b"");
    writes.await.unwrap();
}

#[tokio::test]
async fn a_client_that_vanishes_ends_headscales_side() {
    for (front, behind) in PAIRINGS {
        let mut rig = Rig::start(behind, Extra::default());
        let (mut client, mut headscale) = rig.tunnel(front).await;
        client.send("last words").await;
        assert_eq!(headscale.exact(10).await, b"last words");
        drop(client);
        let end = headscale.try_rest().await.unwrap_or_default();
        assert_eq!(end, b"", "{front:?} to {behind:?}");

        let (mut client, headscale) = rig.tunnel(front).await;
        drop(headscale);
        let end = client.try_rest().await.unwrap_or_default();
        assert_eq!(end, b"", "{front:?} to {behind:?}");
    }
}
