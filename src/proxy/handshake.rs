//! TLS handshakes of a listener: with the configuration of the moment, in bounded time, and counted by
//! reason where they come to nothing.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{Acceptor, UnbufferedServerConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tls::Tls;
use crate::acme::{Challenges, PROTOCOL};
use crate::ops::metrics::{Handshake, Metrics};

/// Longest wait for a whole handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of a first message one read may bring.
const CHUNK: usize = 4 * 1024;

/// TLS that a client began.
type Accepted = Tls<UnbufferedServerConnection>;

/// What ends the TLS of one listener.
pub struct Terminator {
    current: ArcSwap<ServerConfig>,
    /// What validators of our certificates are answered with, where we order any.
    challenges: Option<Arc<Challenges>>,
    metrics: Arc<Metrics>,
}

/// A validator heard what it came for; there is nothing else for it here.
#[derive(Debug, thiserror::Error)]
#[error("a validator of the ACME directory was answered")]
struct Validated;

impl Terminator {
    /// Handshakes with `config`.
    pub fn new(
        config: Arc<ServerConfig>,
        challenges: Option<Arc<Challenges>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            current: ArcSwap::new(config),
            challenges,
            metrics,
        }
    }

    /// Handshakes that begin from now on are made with `config`. Connections that are open stay as they
    /// are; sessions of the old configuration are not resumed.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.current.store(config);
    }

    /// Takes the TLS of `tcp` off.
    ///
    /// # Errors
    /// What rustls makes of the handshake, and `TimedOut` where it takes longer than 10 s. A validator
    /// of the ACME directory is an error too: its connection ends with the handshake.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Accepted> {
        // On the heap, so that the task of a connection is no larger for it afterwards.
        let handshake = Box::pin(self.handshake(tcp));
        let ended = match tokio::time::timeout(PATIENCE, handshake).await {
            Ok(ended) => ended,
            Err(_) => Err(ErrorKind::TimedOut.into()),
        };
        if let Err(error) = &ended
            && !is_validated(error)
        {
            self.metrics.handshake_failed(reason(error));
        }
        ended
    }

    async fn handshake(&self, mut tcp: TcpStream) -> io::Result<Accepted> {
        let Some(challenges) = &self.challenges else {
            return accept(tcp, self.current.load_full(), Vec::new()).await;
        };
        let (validation, came) = first_message(&mut tcp, challenges).await?;
        let Some(validation) = validation else {
            return accept(tcp, self.current.load_full(), came).await;
        };
        let mut answered = accept(tcp, validation, came).await?;
        debug_assert_eq!(answered.agreed(), Some(PROTOCOL));
        answered.shutdown().await?;
        Err(io::Error::other(Validated))
    }
}

async fn accept(tcp: TcpStream, config: Arc<ServerConfig>, came: Vec<u8>) -> io::Result<Accepted> {
    let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
    Tls::begin(tcp, session, came).await
}

/// Reads the first message of a handshake: what it is to be answered with, if a validator sent it; and what
/// was read.
async fn first_message(
    tcp: &mut TcpStream,
    challenges: &Challenges,
) -> io::Result<(Option<Arc<ServerConfig>>, Vec<u8>)> {
    let mut acceptor = Acceptor::default();
    let mut came = Vec::new();
    loop {
        match acceptor.accept() {
            Ok(Some(begun)) => {
                let hello = begun.client_hello();
                let offered = hello.alpn().into_iter().flatten();
                return Ok((challenges.over_tls(hello.server_name(), offered), came));
            }
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut said = Vec::new();
                alert.write_all(&mut said)?;
                tcp.write_all(&said).await?;
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        let before = came.len();
        if (&mut *tcp).take(CHUNK as u64).read_buf(&mut came).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut new = came.get(before..).unwrap_or_default();
        while !new.is_empty() {
            acceptor.read_tls(&mut new)?;
        }
    }
}

fn is_validated(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Validated>)
}

/// What became of a handshake, as far as it can be told from here.
fn reason(error: &io::Error) -> Handshake {
    use rustls::Error as Tls;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match (tls, error.kind()) {
        (Some(Tls::NoCertificatesPresented), _) => Handshake::NoClientCertificate,
        (Some(Tls::InvalidCertificate(_)), _) => Handshake::ClientCertificate,
        (Some(Tls::PeerIncompatible(_) | Tls::NoApplicationProtocol), _) => Handshake::Incompatible,
        (Some(Tls::AlertReceived(_)), _) => Handshake::Alert,
        // rustls's own words for a choice that came to nothing.
        (Some(Tls::General(what)), _) if what.contains("no server certificate chain") => {
            Handshake::NoCertificate
        }
        (Some(_), _) => Handshake::Broken,
        (None, ErrorKind::TimedOut) => Handshake::Timeout,
        (None, _) => Handshake::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_that_came_to_nothing_has_a_reason() {
        use rustls::{AlertDescription, CertificateError, PeerIncompatible};
        let tls = |error: rustls::Error| io::Error::new(ErrorKind::InvalidData, error);
        for (error, expected) in [
            (
                tls(rustls::Error::NoCertificatesPresented),
                Handshake::NoClientCertificate,
            ),
            (
                tls(rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer,
                )),
                Handshake::ClientCertificate,
            ),
            (
                tls(PeerIncompatible::NoCipherSuitesInCommon.into()),
                Handshake::Incompatible,
            ),
            (
                tls(rustls::Error::NoApplicationProtocol),
                Handshake::Incompatible,
            ),
            (
                tls(rustls::Error::AlertReceived(AlertDescription::UnknownCA)),
                Handshake::Alert,
            ),
            (
                tls(rustls::Error::General(
                    "no server certificate chain resolved".to_owned(),
                )),
                Handshake::NoCertificate,
            ),
            (tls(rustls::Error::DecryptError), Handshake::Broken),
            (ErrorKind::TimedOut.into(), Handshake::Timeout),
            (ErrorKind::UnexpectedEof.into(), Handshake::Gone),
            (ErrorKind::ConnectionReset.into(), Handshake::Gone),
        ] {
            assert_eq!(reason(&error), expected, "{error:?}");
        }
    }
}
