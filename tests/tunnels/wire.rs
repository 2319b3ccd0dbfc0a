//! One end of a connection, plain or TLS, on whichever side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// No test waits longer than this for bytes: a hang becomes a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection, and what was read of it beyond what was asked for.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    ahead: Vec<u8>,
}

/// Fails the test instead of waiting for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

impl Wire {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            ahead: Vec::new(),
        }
    }

    /// A plain client connection.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.expect("it listens");
        tcp.set_nodelay(true).expect("it is open");
        Self::new(tcp)
    }

    /// A TLS client connection to `localhost`.
    pub(crate) async fn connect_tls(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let tcp = TcpStream::connect(address).await.expect("it listens");
        tcp.set_nodelay(true).expect("it is open");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = TlsConnector::from(config).connect(name, tcp).await;
        Self::new(tls.expect("TLS"))
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("a send", self.try_send(bytes.as_ref()))
            .await
            .expect("the peer takes it");
    }

    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next head, with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        self.try_head().await.expect("a whole head")
    }

    /// The next head, or none when the peer closes before it is whole.
    pub(crate) async fn try_head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.ahead.drain(..at + 4).collect();
                return Some(String::from_utf8(head).expect("a head is text"));
            }
            let read = soon("a head", self.stream.read_buf(&mut self.ahead)).await;
            if read.unwrap_or_default() == 0 {
                return None;
            }
        }
    }

    /// Exactly `length` bytes.
    pub(crate) async fn exact(&mut self, length: usize) -> Vec<u8> {
        self.try_exact(length).await.expect("as many bytes")
    }

    pub(crate) async fn try_exact(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            if soon("bytes", self.stream.read_buf(&mut self.ahead)).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// Everything until the peer says that it has finished; over TLS, with its farewell.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        self.try_rest().await.expect("an orderly end")
    }

    pub(crate) async fn try_rest(&mut self) -> std::io::Result<Vec<u8>> {
        soon("the end", self.stream.read_to_end(&mut self.ahead)).await?;
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Says that nothing more comes from this side.
    pub(crate) async fn finish(&mut self) {
        soon("an end", self.stream.shutdown())
            .await
            .expect("it is open");
    }

    /// The stream itself, when nothing was read ahead.
    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        assert!(self.ahead.is_empty(), "bytes would be lost");
        self.stream
    }
}
