//! One request of HTTP/1.1 on a connection of its own, as a Tailscale client or a browser would send it,
//! and the head of the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest wait for a connection, and for a head.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head, in bytes.
const LONGEST: usize = 32 * 1024;
/// Most fields of one.
const FIELDS: usize = 100;

/// Where to.
#[derive(Clone)]
pub(super) struct Place {
    /// The name that is asked for.
    pub(super) host: String,
    /// The port, where no address says otherwise.
    pub(super) port: u16,
    /// The address, where the name is not to be looked up.
    pub(super) address: Option<SocketAddr>,
    /// TLS, if it is spoken.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// A status and the two fields that tell something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) upgrade: Option<String>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Sends `request` and reads the head of the answer.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn ask(place: &Place, request: &str) -> Result<Head, String> {
    let whole = async {
        let mut stream = connect(place).await?;
        let sent = stream.write_all(request.as_bytes()).await;
        sent.map_err(|why| format!("the connection broke: {why}"))?;
        read(&mut stream).await
    };
    timeout(PATIENCE, whole)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

async fn connect(place: &Place) -> Result<Box<dyn Stream>, String> {
    let tcp = match place.address {
        Some(address) => TcpStream::connect(address).await,
        None => TcpStream::connect((place.host.as_str(), place.port)).await,
    };
    let tcp = tcp.map_err(|why| format!("no connection: {why}"))?;
    let Some(config) = &place.tls else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::try_from(place.host.trim_matches(['[', ']']).to_owned());
    let name = name.map_err(|_| "the host is no name that a certificate has".to_owned())?;
    let connector = TlsConnector::from(Arc::clone(config));
    let tls = connector.connect(name, tcp).await;
    Ok(Box::new(tls.map_err(|why| format!("no TLS: {why}"))?))
}

async fn read(stream: &mut Box<dyn Stream>) -> Result<Head, String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await;
        let count = count.map_err(|why| format!("the connection broke: {why}"))?;
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(head) = parse(&bytes)? {
            return Ok(head);
        }
        if count == 0 || bytes.len() > LONGEST {
            return Err("the answer is no HTTP".to_owned());
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    match head.parse(bytes) {
        Err(_) => Err("the answer is no HTTP".to_owned()),
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(_)) => {
            let field = |name: &str| {
                let mut found = head.headers.iter();
                let found = found.find(|field| field.name.eq_ignore_ascii_case(name))?;
                String::from_utf8(found.value.to_vec()).ok()
            };
            Ok(Some(Head {
                status: head.code.unwrap_or_default(),
                location: field("location"),
                upgrade: field("upgrade"),
            }))
        }
    }
}
