//! A raw HTTP/1.1 client: it sends exactly the bytes it is given, reads the answer by its framing,
//! and keeps the socket, so that a test can go on with a tunnel.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use url::{Position, Url};

use super::framing::{Fields, Framing, Inbox};

/// No test waits longer than this for bytes: a hang becomes a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub(crate) struct Raw {
    inbox: Inbox<Wire>,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Byte for byte, with the final empty line.
    pub(crate) raw: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
}

/// A whole response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.fields.value(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Raw {
    /// Opens a plain connection.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            inbox: Inbox::new(Wire::Plain(socket(address)?)),
        })
    }

    /// Opens a plain connection from `source`: an address of this machine's own.
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            inbox: Inbox::new(Wire::Plain(socket_from(source, address)?)),
        })
    }

    /// The same over TLS.
    pub(crate) fn connect_tls_from(
        source: IpAddr,
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        Self::over_tls(socket_from(source, address)?, name, config)
    }

    /// Opens a TLS connection (RFC 8446), with `name` for SNI and verification.
    pub(crate) fn connect_tls(
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        Self::over_tls(socket(address)?, name, config)
    }

    /// Begins TLS on a connection.
    fn over_tls(socket: TcpStream, name: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let stream = StreamOwned::new(tls, socket);
        Ok(Self {
            inbox: Inbox::new(Wire::Tls(Box::new(stream))),
        })
    }

    /// Sends these bytes and nothing else.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.inbox.reader {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// The next response head, whatever its status. An answer of nothing at all is an error.
    pub(crate) fn read_head(&mut self) -> io::Result<Head> {
        let raw = self.inbox.head()?.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer closed without an answer",
            )
        })?;
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Response::new(&mut fields);
        parsed.parse(&raw).map_err(io::Error::other)?;
        let status = parsed.code.unwrap_or_default();
        let fields = Fields::from_parsed(parsed.headers);
        Ok(Head {
            raw,
            status,
            fields,
        })
    }

    /// The body that belongs to `head`, in answer to `method`.
    pub(crate) fn read_body(&mut self, method: &str, head: &Head) -> io::Result<Vec<u8>> {
        let bodiless = method == "HEAD" || head.status < 200 || matches!(head.status, 204 | 304);
        let framing = if bodiless {
            Framing::Length(0)
        } else {
            head.fields.framing(Framing::UntilEnd)
        };
        self.inbox.body(framing)
    }

    /// The response to `method`: 100 to 199 are skipped, except 101.
    pub(crate) fn read_response(&mut self, method: &str) -> io::Result<Response> {
        loop {
            let head = self.read_head()?;
            if head.status >= 200 || head.status == 101 {
                let body = self.read_body(method, &head)?;
                return Ok(Response { head, body });
            }
        }
    }

    /// Sends one request and reads its response.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.send(request)?;
        let method = request
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or_default();
        self.read_response(&String::from_utf8_lossy(method))
    }

    /// The next chunk of a chunked body, as soon as it is there; `None` for the last.
    pub(crate) fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.inbox.chunk()
    }

    /// Exactly `length` bytes.
    pub(crate) fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.inbox.exact(length)
    }

    /// What is there, at least one byte; nothing if the peer closed its side.
    pub(crate) fn read_some(&mut self) -> io::Result<Vec<u8>> {
        self.inbox.some()
    }

    /// Everything until the peer closes its side.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        self.inbox.until_end()
    }

    /// Whether nothing more comes, and no orderly end: what a request hears whose session has ended.
    pub(crate) fn is_cut(&mut self) -> bool {
        let end = self.read_to_end();
        end.is_err_and(|why| why.kind() == io::ErrorKind::ConnectionReset)
    }

    /// Closes our side only; the peer may go on.
    pub(crate) fn finish_sending(&mut self) -> io::Result<()> {
        if let Wire::Tls(stream) = &mut self.inbox.reader {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.inbox.reader.socket().shutdown(Shutdown::Write)
    }

    /// Our own address, as the peer sees it.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.inbox.reader.socket().local_addr()
    }
}

/// The bytes of a request to `url`: `Host`, then these lines (each `Name: value`), then the length.
pub(crate) fn request_to(method: &str, url: &Url, lines: &[String], body: &[u8]) -> Vec<u8> {
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let first = [
        format!("{method} {target} HTTP/1.1"),
        format!("Host: {host}"),
    ];
    let sized = !body.is_empty() || method == "POST";
    let length = sized.then(|| format!("Content-Length: {}", body.len()));
    let mut bytes = Vec::new();
    for line in first.iter().chain(lines).chain(&length) {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

fn socket_from(source: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        None,
    )?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    patient(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<TcpStream> {
    patient(TcpStream::connect_timeout(&address, PATIENCE)?)
}

fn patient(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}
