//! A house with a TLS listener, and short words for asking it.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};

use crate::support::headscale_standin::{HeadscaleStandin, Options};
use crate::support::house::{House, More, Plan, free_addresses};
use crate::support::raw::{PATIENCE, Raw, Response};
use crate::support::tls::{Authority, ServerCertificate};

/// What every door answers to anybody.
pub(crate) const ANYBODY: &[u8] = b"GET /generate_204 HTTP/1.1\r\nHost: a\r\n\r\n";

pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) headscale: HeadscaleStandin,
    pub(crate) authority: Authority,
    pub(crate) tls: SocketAddr,
}

/// What a handshake brought.
pub(crate) struct Shown {
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) version: ProtocolVersion,
    pub(crate) protocol: Option<Vec<u8>>,
    /// An earlier session went on.
    pub(crate) resumed: bool,
}

/// A pair in the flow style of YAML.
pub(crate) fn pair(directory: &Path) -> String {
    let at = directory.display();
    format!("{{ cert_path: {at}/tls.crt, key_path: {at}/tls.key }}")
}

impl Scene {
    /// `tls` writes files below a directory, and says what stands behind the listener's `tls:`.
    pub(crate) fn start(tls: impl FnOnce(&Path, &Authority) -> String) -> Self {
        Self::start_with(tls, |_, config| config)
    }

    /// The same with the whole configuration changed.
    pub(crate) fn start_with(
        tls: impl FnOnce(&Path, &Authority) -> String,
        change: impl FnOnce(&Plan, String) -> String,
    ) -> Self {
        Self::start_at(tls, |plan, _, config| change(plan, config))
    }

    /// The same for whom the TLS listener's address matters.
    pub(crate) fn start_at(
        tls: impl FnOnce(&Path, &Authority) -> String,
        change: impl FnOnce(&Plan, SocketAddr, String) -> String,
    ) -> Self {
        let authority = Authority::new();
        let headscale = HeadscaleStandin::start(Options::default());
        let [address] = free_addresses();
        let house = House::start(|plan| {
            let tls = tls(&plan.files, &authority);
            let listen = format!("listen:\n  - address: \"{address}\"\n    tls: {tls}\n");
            let more = More {
                sign_in: "none",
                waits_for_provider: false,
                ..More::default()
            };
            let config = plan.config(&headscale.url(), "http://127.0.0.1:9/", &more);
            change(plan, address, config.replace("listen:\n", &listen))
        });
        Self {
            house,
            headscale,
            authority,
            tls: address,
        }
    }

    /// A listener with one pair for `localhost`.
    pub(crate) fn with_one_pair() -> (Self, ServerCertificate) {
        let mut first = None;
        let scene = Self::start(|files, authority| {
            let certificate = authority.certificate(&["localhost"]);
            certificate.write(files);
            first = Some(certificate);
            pair(files)
        });
        (scene, first.expect("it was written"))
    }

    /// What a client that asks for `name` is shown.
    pub(crate) fn shown(&self, name: &str) -> io::Result<Shown> {
        handshake(self.tls, name, self.authority.client(&["http/1.1"]))
    }

    /// A connection of a client that offers HTTP/1.1.
    pub(crate) fn connect(&self) -> Raw {
        self.connect_with(self.authority.client(&["http/1.1"]))
    }

    pub(crate) fn connect_with(&self, config: Arc<ClientConfig>) -> Raw {
        Raw::connect_tls(self.tls, "localhost", config).expect("the listener is there")
    }

    /// What the admin listener answers.
    pub(crate) fn admin(&self, path: &str) -> Response {
        let mut raw = Raw::connect(self.house.plan.admin).expect("the admin listener is there");
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        raw.exchange(request.as_bytes()).expect("an answer")
    }

    /// The value of a series.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = self.admin("/metrics").text();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{series} ")))
            .unwrap_or_else(|| panic!("no {series} in\n{text}"));
        let value = line.rsplit(' ').next().expect("a value");
        value.parse().unwrap_or_else(|_| panic!("{line}"))
    }

    /// How a check of readiness ended, and what it says.
    pub(crate) fn check(&self, name: &str) -> (String, String) {
        let found = self.admin("/readyz").json();
        let check = &found["checks"][name][0];
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        (text("status"), text("output"))
    }

    /// How often the log says `text`.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.house.log().matches(text).count()
    }
}

/// Asks until `done`; no longer than a test may wait.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it never came: {what}");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

/// A whole handshake, and nothing more.
pub(crate) fn handshake(
    address: SocketAddr,
    name: &str,
    config: Arc<ClientConfig>,
) -> io::Result<Shown> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    let leaf = tls.peer_certificates().and_then(<[_]>::first);
    let shown = Shown {
        leaf: leaf.ok_or(io::ErrorKind::NotFound)?.clone().into_owned(),
        version: tls.protocol_version().ok_or(io::ErrorKind::NotFound)?,
        protocol: tls.alpn_protocol().map(<[u8]>::to_vec),
        resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
    };
    tls.send_close_notify();
    tls.write_tls(&mut tcp)?;
    tcp.flush()?;
    Ok(shown)
}
