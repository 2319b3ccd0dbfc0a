//! An upstream for which the test speaks: upgrades wait for it, everything else gets a short answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::tls::Authority;
use crate::wire::{Wire, soon};

/// A request for an upgrade, and its connection.
pub(crate) struct Peer {
    pub(crate) head: String,
    pub(crate) wire: Wire,
}

/// What happens to upgrades.
#[derive(Clone)]
enum Upgrades {
    /// The test answers them.
    Handed(UnboundedSender<Peer>),
    /// They become what was asked for, and everything comes back.
    Echoed,
}

/// A running upstream; it ends with the test.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    peers: UnboundedReceiver<Peer>,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Upgrades wait for the test.
    pub(crate) fn start(authority: Option<&Authority>) -> Self {
        let (sender, peers) = unbounded_channel();
        Self::with(authority, Upgrades::Handed(sender), peers)
    }

    /// Every upgrade is granted, and echoes.
    pub(crate) fn echo(authority: Option<&Authority>) -> Self {
        let (_, peers) = unbounded_channel();
        Self::with(authority, Upgrades::Echoed, peers)
    }

    fn with(
        authority: Option<&Authority>,
        upgrades: Upgrades,
        peers: UnboundedReceiver<Peer>,
    ) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        let any = "127.0.0.1:0".parse().expect("an address");
        socket.bind(any).expect("a free port");
        let listener = socket.listen(4096).expect("a bound socket");
        let address = listener.local_addr().expect("it is bound");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let tls = authority.map(acceptor);
        let accepting = tokio::spawn(accept(listener, tls, upgrades, Arc::clone(&heads)));
        Self {
            address,
            peers,
            heads,
            accepting,
        }
    }

    /// The next upgrade.
    pub(crate) async fn upgrade(&mut self) -> Peer {
        soon("an upgrade", self.peers.recv())
            .await
            .expect("it listens")
    }

    /// The request lines of everything that was asked of it so far, but for the house's own probes.
    pub(crate) fn asked(&self) -> Vec<String> {
        let heads = self.heads.lock().expect("nobody panics with it");
        let lines = heads.iter().filter_map(|head| head.lines().next());
        lines
            .filter(|line| !line.starts_with("GET /version "))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Peer {
    /// Grants the upgrade, with these bytes behind it in the same write.
    pub(crate) async fn switch(&mut self, behind: &str) {
        let token = value(&self.head, "upgrade").expect("an upgrade names one");
        let answer = format!("{}{behind}", switching(&token));
        self.wire.send(answer).await;
    }
}

/// A 101 to `token`.
pub(crate) fn switching(token: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\
         X-Of-Headscale: yes\r\n\r\n"
    )
}

/// The values of a field, joined; none when it is not there.
pub(crate) fn value(head: &str, name: &str) -> Option<String> {
    let values: Vec<&str> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect();
    (!values.is_empty()).then(|| values.join(" | "))
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    upgrades: Upgrades,
    heads: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            return;
        };
        let (tls, upgrades, heads) = (tls.clone(), upgrades.clone(), Arc::clone(&heads));
        tokio::spawn(async move {
            let _ = tcp.set_nodelay(true);
            serve(tcp, tls, upgrades, &heads).await;
        });
    }
}

async fn serve(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    upgrades: Upgrades,
    heads: &Mutex<Vec<String>>,
) {
    let mut wire = match tls {
        None => Wire::new(tcp),
        Some(acceptor) => match acceptor.accept(tcp).await {
            Ok(tls) => Wire::new(tls),
            Err(_) => return,
        },
    };
    while let Some(head) = wire.try_head().await {
        heads
            .lock()
            .expect("nobody panics with it")
            .push(head.clone());
        match (value(&head, "upgrade"), upgrades.clone()) {
            (Some(_), Upgrades::Handed(sender)) => {
                let _ = sender.send(Peer { head, wire });
                return;
            }
            (Some(token), Upgrades::Echoed) => return echo(wire, &token).await,
            (None, _) => {
                let version = "{\"version\":\"v0.29.2\"}";
                let length = version.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Content-Length: {length}\r\n\r\n{version}"
                );
                if wire.try_send(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn echo(mut wire: Wire, token: &str) {
    if wire.try_send(switching(token).as_bytes()).await.is_err() {
        return;
    }
    let (mut from, mut to) = tokio::io::split(wire.into_stream());
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = tokio::io::AsyncWriteExt::shutdown(&mut to).await;
}

fn acceptor(authority: &Authority) -> TlsAcceptor {
    let certificate = authority.certificate(&["localhost", "127.0.0.1"]);
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("a chain");
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}
