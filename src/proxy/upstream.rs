//! Reaching an upstream: names, connections for tunnels, and peers for pingora.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use pingora::protocols::Stream;
use pingora::upstreams::peer::HttpPeer;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::pool::{Pool, Reached};
use super::stream::Transport;
use super::tls::Tls;
use crate::config::Upstream;
use crate::domain::hash::sha256;

/// How long a resolved name is believed.
const NAME_TTL: Duration = Duration::from_secs(30);
/// Silence after which the kernel probes a tunnel's peer, and the time between probes. There is no
/// other idle limit on a tunnel.
const KEEPALIVE: Duration = Duration::from_mins(1);
/// How long an idle connection to an upstream is kept. Headscale closes its own after 30 s,
/// and a request that meets the closing end is lost unless it may be repeated.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Why an upstream cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot resolve {host}")]
    Name {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// TCP failed.
    #[error("cannot connect to {address}")]
    Tcp {
        /// Where to.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// TLS failed.
    #[error("cannot speak TLS with {host}")]
    Tls {
        /// The name it should have proven.
        host: String,
        /// What rustls said.
        source: io::Error,
    },
    /// It took too long.
    #[error("no connection within {} s", .0.as_secs())]
    Slow(Duration),
}

/// Why an upstream cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A CA bundle cannot be read.
    #[error("cannot read the CA bundle {path}: {source}")]
    Bundle {
        /// The file.
        path: String,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A CA bundle has nothing in it.
    #[error("the CA bundle {0} has no usable certificate")]
    EmptyBundle(String),
    /// The system's store has no usable certificate.
    #[error(
        "the system's certificate store has no usable certificate; install ca-certificates or set ca_path"
    )]
    NoRoots,
    /// The host is no name that a certificate could hold.
    #[error("{0} cannot be a certificate's name")]
    Name(String),
}

/// An upstream, ready to be connected to.
pub struct Origin {
    upstream: Upstream,
    /// Where it is, if its host is an address.
    fixed: Option<SocketAddr>,
    /// What its certificate must hold.
    name: String,
    connect_timeout: Duration,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    ca: Option<Arc<[pingora::utils::tls::WrappedX509]>>,
    /// Names the bundle by what is in it; 0 is the system's certificates.
    trust: u64,
    /// What the name resolved to, for a while.
    names: Cache<(), Arc<[SocketAddr]>>,
    /// Which of the addresses is tried first: the next one after each failure.
    first: AtomicUsize,
    /// Connections that wait for their next request.
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Origin").field(&self.upstream).finish()
    }
}

impl Origin {
    /// Prepares an upstream.
    ///
    /// # Errors
    /// When its certificate could never be verified. Nothing is dialled.
    pub fn new(upstream: Upstream, connect_timeout: Duration) -> Result<Self, TrustError> {
        Self::verifying(upstream, None, connect_timeout)
    }

    /// The same for one whose certificate holds another name than its host.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn verifying(
        upstream: Upstream,
        name: Option<&str>,
        connect_timeout: Duration,
    ) -> Result<Self, TrustError> {
        let proven = name.unwrap_or(&upstream.host).to_owned();
        let mut trust = 0;
        let (tls, ca) = if upstream.tls {
            let certificates = roots(&upstream)?;
            if upstream.ca_path.is_some() {
                trust = name_of(&certificates);
            }
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(certificates.iter().cloned());
            if store.is_empty() {
                return Err(match &upstream.ca_path {
                    Some(path) => TrustError::EmptyBundle(path.display().to_string()),
                    None => TrustError::NoRoots,
                });
            }
            let mut config = ClientConfig::builder()
                .with_root_certificates(store)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let name = ServerName::try_from(proven.clone())
                .map_err(|_| TrustError::Name(proven.clone()))?;
            // pingora reads no store of its own: each peer brings what it is believed by.
            let usable = certificates.iter().filter(|der| is_usable(der));
            let wrapped = usable.map(|der| {
                pingora::utils::tls::WrappedX509::new(der.to_vec(), pingora::utils::tls::parse_x509)
            });
            let ca = Some(wrapped.collect());
            (Some((Arc::new(config), name)), ca)
        } else {
            (None, None)
        };
        let ip = upstream.host.parse::<IpAddr>().ok();
        Ok(Self {
            fixed: ip.map(|ip| SocketAddr::new(ip, upstream.port)),
            upstream,
            name: proven,
            connect_timeout,
            tls,
            ca,
            trust,
            names: Cache::builder()
                .max_capacity(1)
                .time_to_live(NAME_TTL)
                .build(),
            first: AtomicUsize::new(0),
            pool: Pool::new(POOL_IDLE),
        })
    }

    /// Whether this is one for `upstream`, as far as its settings tell.
    pub fn is_for(&self, upstream: &Upstream, name: Option<&str>, timeout: Duration) -> bool {
        let name = name.unwrap_or(&upstream.host);
        self.upstream == *upstream && self.name == name && self.connect_timeout == timeout
    }

    /// Whether it believes the same certificates as `other`.
    pub const fn trusts_like(&self, other: &Self) -> bool {
        self.trust == other.trust
    }

    /// What is said to it in `Host` where it is called by its own name.
    pub fn host_field(&self) -> String {
        self.upstream.host_field()
    }

    /// `host:port`, as configured.
    pub fn authority(&self) -> String {
        self.upstream.authority()
    }

    /// Its host name or address, as configured.
    pub fn host(&self) -> &str {
        &self.upstream.host
    }

    /// Its TCP port.
    pub const fn port(&self) -> u16 {
        self.upstream.port
    }

    /// Every address of the upstream, the one to try first in front.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Some(fixed) = self.fixed {
            return Ok(vec![fixed]);
        }
        let known = match self.names.get(&()) {
            Some(known) => known,
            None => self.resolve().await?,
        };
        let mut addresses = known.to_vec();
        let count = addresses.len().max(1);
        addresses.rotate_left(self.first.load(Ordering::Relaxed) % count);
        Ok(addresses)
    }

    async fn resolve(&self) -> Result<Arc<[SocketAddr]>, ConnectError> {
        let host = self.upstream.host.as_str();
        let found = tokio::net::lookup_host((host, self.upstream.port)).await;
        let failed = |source| ConnectError::Name {
            host: host.to_owned(),
            source,
        };
        let addresses: Arc<[SocketAddr]> = found.map_err(failed)?.collect();
        if addresses.is_empty() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        self.names.insert((), Arc::clone(&addresses));
        Ok(addresses)
    }

    /// Whether the name had more than one address when it was last looked up.
    pub fn has_several(&self) -> bool {
        self.names.get(&()).is_some_and(|known| known.len() > 1)
    }

    /// The first address did not answer: the next one goes first from now on. True when there is
    /// one, so that trying once more makes sense.
    pub fn failed(&self) -> bool {
        self.first.fetch_add(1, Ordering::Relaxed);
        self.has_several()
    }

    /// A connection for a request, in HTTP/1.1, `now`: one that was used before, or a new one; true where it was
    /// used before. To be given back with [`Self::keep`].
    ///
    /// # Errors
    /// Those of [`Self::connect`].
    pub async fn stream(&self, now: Instant) -> Result<(Stream, bool), ConnectError> {
        let kept = if self.fixed.is_some() {
            self.pool.take(now, |_| true)
        } else {
            let found = tokio::time::timeout(self.connect_timeout, self.addresses()).await;
            let present = found.map_err(|_| ConnectError::Slow(self.connect_timeout))??;
            self.pool.take(now, |address| present.contains(&address))
        };
        match kept {
            Some(stream) => Ok((stream, true)),
            None => Ok((self.new_stream().await?, false)),
        }
    }

    /// A new one.
    ///
    /// # Errors
    /// Those of [`Self::connect`].
    pub async fn new_stream(&self) -> Result<Stream, ConnectError> {
        let (transport, address) = self.reach().await?;
        Ok(Box::new(Reached::new(transport, address)))
    }

    /// Keeps a connection whose last answer was read to its end `now`.
    pub fn keep(&self, stream: Stream, now: Instant) {
        self.pool.put(stream, now);
    }

    /// Opens a connection of its own, for a tunnel.
    ///
    /// # Errors
    /// Whatever keeps it from being reached within the configured time.
    pub async fn connect(&self) -> Result<Transport, ConnectError> {
        Ok(self.reach().await?.0)
    }

    /// The same, and where it leads. An address that takes too long, or speaks no TLS that we believe, is not
    /// the first one the next time.
    async fn reach(&self) -> Result<(Transport, SocketAddr), ConnectError> {
        let reached = tokio::time::timeout(self.connect_timeout, self.reach_without_limit()).await;
        let reached = reached.unwrap_or(Err(ConnectError::Slow(self.connect_timeout)));
        if let Err(ConnectError::Slow(_) | ConnectError::Tls { .. }) = &reached {
            self.failed();
        }
        reached
    }

    async fn reach_without_limit(&self) -> Result<(Transport, SocketAddr), ConnectError> {
        let (tcp, address) = self.connect_tcp().await?;
        keep_alive(&tcp);
        match &self.tls {
            None => Ok((Transport::Plain(tcp), address)),
            Some((config, name)) => {
                let session = UnbufferedClientConnection::new(Arc::clone(config), name.clone());
                let begun = match session {
                    Ok(session) => Tls::begin(tcp, session, Vec::new()).await,
                    Err(error) => Err(io::Error::other(error)),
                };
                let tls = begun.map_err(|source| ConnectError::Tls {
                    host: self.name.clone(),
                    source,
                })?;
                Ok((Transport::Opened(Box::new(tls)), address))
            }
        }
    }

    async fn connect_tcp(&self) -> Result<(TcpStream, SocketAddr), ConnectError> {
        let mut last = None;
        for address in self.addresses().await? {
            match TcpStream::connect(address).await {
                Ok(tcp) => return Ok((tcp, address)),
                Err(source) => last = Some(ConnectError::Tcp { address, source }),
            }
            self.failed();
        }
        Err(last.unwrap_or_else(|| ConnectError::Name {
            host: self.upstream.host.clone(),
            source: io::ErrorKind::NotFound.into(),
        }))
    }

    /// The peer pingora connects to. `silence` bounds each read of the answer, and each write of the
    /// request; `None` waits for ever.
    ///
    /// # Errors
    /// When the name has no address, or none within the time for a connection.
    pub async fn peer(&self, silence: Option<Duration>) -> Result<HttpPeer, ConnectError> {
        let address = if self.fixed.is_some() {
            self.fixed
        } else {
            let found = tokio::time::timeout(self.connect_timeout, self.addresses()).await;
            let found = found.map_err(|_| ConnectError::Slow(self.connect_timeout))?;
            found?.into_iter().next()
        };
        let address = address.ok_or_else(|| ConnectError::Name {
            host: self.upstream.host.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        let mut peer = HttpPeer::new(address, self.upstream.tls, self.name.clone());
        peer.options.connection_timeout = Some(self.connect_timeout);
        peer.options.total_connection_timeout = Some(self.connect_timeout);
        peer.options.read_timeout = silence;
        peer.options.write_timeout = silence;
        peer.options.idle_timeout = Some(POOL_IDLE);
        peer.options.ca.clone_from(&self.ca);
        // pingora shares connections between peers of one address and name, whoever they trust, and as long as
        // somebody uses them.
        peer.group_key = self.trust;
        Ok(peer)
    }
}

/// Whether pingora takes it for one to believe: where it does not, no connection would come to be.
fn is_usable(der: &CertificateDer<'_>) -> bool {
    RootCertStore::empty().add(der.clone()).is_ok()
        && x509_parser::parse_x509_certificate(der).is_ok()
}

fn roots(upstream: &Upstream) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    match &upstream.ca_path {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|source| TrustError::Bundle {
                path: path.display().to_string(),
                source,
            }),
        None => Ok(rustls_native_certs::load_native_certs().certs),
    }
}

/// Two bundles have the same name if they hold the same certificates in the same order, wherever they are.
/// So a connection that one vouched for is not used under another.
fn name_of(certificates: &[CertificateDer<'_>]) -> u64 {
    let each = certificates.iter().flat_map(|der| sha256(der));
    let name = sha256(&each.collect::<Vec<u8>>());
    let name = name.iter().take(8);
    name.fold(0, |name, byte| name << 8 | u64::from(*byte))
}

/// Tells the kernel to find out when a tunnel's peer has silently gone, and to send small writes at
/// once. Failing to do so costs nothing but the finding out.
pub fn keep_alive(tcp: &TcpStream) {
    let probes = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&probes);
    let _ = tcp.set_nodelay(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_takes_too_long_is_not_the_first_one_the_next_time() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = (silent.local_addr().unwrap(), silent);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let made = rcgen::generate_simple_self_signed(["hs.internal".to_owned()]);
        std::fs::write(&path, made.unwrap().cert.pem()).unwrap();
        let upstream = Upstream {
            tls: true,
            host: "hs.internal".to_owned(),
            port: 443,
            ca_path: Some(path),
        };
        let origin = Origin::new(upstream, Duration::from_millis(20)).unwrap();
        let other = SocketAddr::from(([127, 0, 0, 1], 1));
        origin.names.insert((), [silent.0, other].into());
        assert!(origin.has_several());
        // It is there, and says nothing.
        let reached = origin.connect().await;
        assert!(matches!(reached, Err(ConnectError::Slow(_))), "{reached:?}");
        assert_eq!(origin.addresses().await.unwrap(), [other, silent.0]);
    }

    #[test]
    fn connections_under_one_bundle_are_not_used_under_another_also_where_it_has_the_same_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let elsewhere = directory.path().join("same.pem");
        let certificate = || {
            let made = rcgen::generate_simple_self_signed(["hs.internal".to_owned()]);
            made.unwrap().cert.pem()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        let group = |path: &std::path::Path| {
            let upstream = Upstream {
                tls: true,
                host: "127.0.0.1".to_owned(),
                port: 443,
                ca_path: Some(path.to_owned()),
            };
            let origin = Origin::new(upstream, Duration::from_secs(1)).unwrap();
            runtime.block_on(origin.peer(None)).unwrap().group_key
        };
        let (first, second) = (certificate(), certificate());
        std::fs::write(&path, &first).unwrap();
        let before = group(&path);
        std::fs::write(&elsewhere, &first).unwrap();
        assert_eq!(group(&elsewhere), before);
        std::fs::write(&path, &second).unwrap();
        let after = group(&path);
        assert_ne!(after, before);
        std::fs::write(&path, first + &second).unwrap();
        assert!(![0, before, after].contains(&group(&path)));
    }
}
