//! Reaching an upstream: names, connections for tunnels, and peers for pingora.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use pingora::upstreams::peer::HttpPeer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stream::Transport;
use crate::config::Upstream;

/// How long a resolved name is believed.
const NAME_TTL: Duration = Duration::from_secs(30);
/// Silence after which the kernel probes a tunnel's peer, and the time between probes. There is no
/// other idle limit on a tunnel.
const KEEPALIVE: Duration = Duration::from_mins(1);
/// How long pingora keeps an idle connection to an upstream. Headscale closes its own after 30 s,
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
    connect_timeout: Duration,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    ca: Option<Arc<[pingora::utils::tls::WrappedX509]>>,
    names: Cache<(), SocketAddr>,
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
        let (tls, ca) = if upstream.tls {
            let certificates = roots(&upstream)?;
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(certificates.iter().cloned());
            if store.is_empty() {
                return Err(TrustError::NoRoots);
            }
            let mut config = ClientConfig::builder()
                .with_root_certificates(store)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let name = ServerName::try_from(upstream.host.clone())
                .map_err(|_| TrustError::Name(upstream.host.clone()))?;
            let ca = upstream.ca_path.is_some().then(|| {
                certificates
                    .iter()
                    .map(|der| {
                        pingora::utils::tls::WrappedX509::new(
                            der.to_vec(),
                            pingora::utils::tls::parse_x509,
                        )
                    })
                    .collect::<Vec<_>>()
                    .into()
            });
            (Some((TlsConnector::from(Arc::new(config)), name)), ca)
        } else {
            (None, None)
        };
        Ok(Self {
            upstream,
            connect_timeout,
            tls,
            ca,
            names: Cache::builder()
                .max_capacity(1)
                .time_to_live(NAME_TTL)
                .build(),
        })
    }

    /// `host:port`, for logs and `Host`.
    pub fn authority(&self) -> String {
        self.upstream.authority()
    }

    async fn address(&self) -> Result<SocketAddr, ConnectError> {
        if let Ok(ip) = self.upstream.host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, self.upstream.port));
        }
        if let Some(address) = self.names.get(&()) {
            return Ok(address);
        }
        let host = self.upstream.host.as_str();
        let found = tokio::net::lookup_host((host, self.upstream.port)).await;
        let first = found.and_then(|mut all| {
            all.next()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        });
        let address = first.map_err(|source| ConnectError::Name {
            host: host.to_owned(),
            source,
        })?;
        self.names.insert((), address);
        Ok(address)
    }

    /// Opens a connection of its own, for a tunnel.
    ///
    /// # Errors
    /// Whatever keeps it from being reached within the configured time.
    pub async fn connect(&self) -> Result<Transport, ConnectError> {
        match tokio::time::timeout(self.connect_timeout, self.connect_without_limit()).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::Slow(self.connect_timeout)),
        }
    }

    async fn connect_without_limit(&self) -> Result<Transport, ConnectError> {
        let address = self.address().await?;
        let tcp = TcpStream::connect(address).await.map_err(|source| {
            self.names.invalidate(&());
            ConnectError::Tcp { address, source }
        })?;
        keep_alive(&tcp);
        match &self.tls {
            None => Ok(Transport::Plain(tcp)),
            Some((connector, name)) => match connector.connect(name.clone(), tcp).await {
                Ok(tls) => Ok(Transport::Opened(Box::new(tls))),
                Err(source) => Err(ConnectError::Tls {
                    host: self.upstream.host.clone(),
                    source,
                }),
            },
        }
    }

    /// The peer pingora connects to. `read_timeout` bounds each read of the answer; `None` waits for
    /// ever.
    ///
    /// # Errors
    /// When the name has no address.
    pub async fn peer(&self, read_timeout: Option<Duration>) -> Result<HttpPeer, ConnectError> {
        let address = self.address().await?;
        let mut peer = HttpPeer::new(address, self.upstream.tls, self.upstream.host.clone());
        peer.options.connection_timeout = Some(self.connect_timeout);
        peer.options.total_connection_timeout = Some(self.connect_timeout);
        peer.options.read_timeout = read_timeout;
        peer.options.idle_timeout = Some(POOL_IDLE);
        peer.options.ca.clone_from(&self.ca);
        Ok(peer)
    }
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

/// Tells the kernel to find out when a tunnel's peer has silently gone, and to send small writes at
/// once. Failing to do so costs nothing but the finding out.
pub fn keep_alive(tcp: &TcpStream) {
    let probes = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&probes);
    let _ = tcp.set_nodelay(true);
}
