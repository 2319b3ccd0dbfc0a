use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::config::Upstream;
use crate::domain::door::Door;
use crate::proxy::head::Head;

const REQUEST: &[u8] = b"GET /derp HTTP/1.1\r\nHost: derp.example\r\nConnection: upgrade\r\n\
    Upgrade: DERP\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: DERP\r\n\r\n";

fn tunnels(upstream: SocketAddr, cut: watch::Receiver<bool>) -> Arc<Tunnels> {
    let upstream = Upstream {
        tls: false,
        host: upstream.ip().to_string(),
        port: upstream.port(),
        ca_path: None,
    };
    Arc::new(Tunnels {
        reserved: Arc::default(),
        origin: Arc::new(Origin::new(upstream, Duration::from_secs(10)).unwrap()),
        response_timeout: Duration::from_secs(10),
        authority: "headscale.example".to_owned(),
        secure: true,
        metrics: Arc::new(Metrics::new().unwrap()),
        cut,
    })
}

fn visit(peer: SocketAddr) -> Visit {
    Visit {
        head: Head::parse(REQUEST).unwrap(),
        door: Door::Machine(Tunnel::Derp),
        client: peer.ip(),
        peer,
        trusted: false,
        id: "a-request".to_owned(),
        started: Instant::now(),
    }
}

fn carry(
    tunnels: &Arc<Tunnels>,
    client: TcpStream,
    peer: SocketAddr,
) -> impl Future<Output = ()> + use<> {
    let visit = visit(peer);
    let permit = Permit::for_open_door(&visit.door).unwrap();
    let connection = Connection::new(Transport::Plain(client), peer);
    let opening = Arc::clone(tunnels).open(permit, Tunnel::Derp, visit, None, connection);
    async move {
        if let Some(tunnel) = opening.await {
            tunnel.carry(()).await;
        }
    }
}

/// Both ends of an open tunnel, and the task that carries it.
async fn open(cut: watch::Receiver<bool>) -> (Arc<Tunnels>, TcpStream, TcpStream, JoinHandle<()>) {
    let (public, headscale) = (listener().await, listener().await);
    let tunnels = tunnels(headscale.local_addr().unwrap(), cut);
    let mut client = TcpStream::connect(public.local_addr().unwrap())
        .await
        .unwrap();
    let (accepted, peer) = public.accept().await.unwrap();
    let carried = tokio::spawn(carry(&tunnels, accepted, peer));
    let (mut upstream, _) = headscale.accept().await.unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        upstream.read_buf(&mut asked).await.unwrap();
    }
    upstream.write_all(SWITCH).await.unwrap();
    let mut head = vec![0; SWITCH.len()];
    client.read_exact(&mut head).await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
    (tunnels, client, upstream, carried)
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn assert_carries(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"word").await.unwrap();
    let mut heard = [0; 4];
    to.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"word");
}

fn open_gauge(metrics: &Metrics) -> String {
    let text = metrics.render().unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("tunnels_open{") && line.contains("\"derp\""));
    line.unwrap_or_default()
        .rsplit(' ')
        .next()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_tunnel_that_says_nothing_for_twenty_minutes_still_carries() {
    let (_cut, cut) = watch::channel(false);
    let (_tunnels, mut client, mut upstream, carried) = open(cut).await;
    // From here on, every timer there is fires at once.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert_carries(&mut client, &mut upstream).await;
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert_carries(&mut upstream, &mut client).await;
    assert!(!carried.is_finished());
}

#[tokio::test]
async fn the_process_can_cut_a_tunnel_and_it_is_no_longer_counted() {
    let (cut, cutting) = watch::channel(false);
    let (tunnels, mut client, mut upstream, carried) = open(cutting).await;
    assert_carries(&mut client, &mut upstream).await;
    assert_eq!(open_gauge(&tunnels.metrics), "1");
    cut.send_replace(true);
    carried.await.unwrap();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(upstream.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(open_gauge(&tunnels.metrics), "0");
}

#[tokio::test]
async fn what_is_owned_for_each_tunnel_is_small() {
    /// A fortieth of what nginx takes for one. Measured: 416.
    const MOST: usize = 512;
    let listener = listener().await;
    let (_cut, cut) = watch::channel(false);
    let tunnels = tunnels(listener.local_addr().unwrap(), cut);
    let mut ends = Vec::new();
    for _ in 0..2 {
        let end = TcpStream::connect(listener.local_addr().unwrap()).await;
        ends.push(Transport::Plain(end.unwrap()));
    }
    let (client, upstream) = (ends.pop().unwrap(), ends.pop().unwrap());
    let relay = Relay::new(client, upstream, Bytes::new(), Bytes::new());
    let carrying = Held::new(Tunnel::Derp, relay, &tunnels).carry(());
    let size = size_of_val(&carrying);
    println!("{size} bytes");
    assert!(size <= MOST, "{size} bytes");
}
