//! Where both listen from now on, and who terminates TLS.

use std::net::SocketAddr;

use ipnet::IpNet;
use url::Url;

use super::ImportError;
use super::notes::{Notes, What};
use super::old::Old;

/// Ports of Headwarden's own that Headscale must not get.
const OURS: [u16; 2] = [9181, 8181];
/// The directory that Headscale asks unless it is told otherwise, and Headwarden too.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Who terminates TLS, seen from `server_url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Headscale did, with these files; Headwarden does now.
    Files {
        /// `tls_cert_path`.
        cert: String,
        /// `tls_key_path`.
        key: String,
    },
    /// Headscale did, with certificates that it ordered itself; Headwarden orders them now.
    Acme(Acme),
    /// Something in front does.
    InFront,
    /// Nobody: `server_url` is plain http.
    Nobody,
}

/// What certificates are ordered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acme {
    /// `acme_url`, where that is not the default.
    pub(super) directory_url: Option<String>,
    /// `acme_email`.
    pub(super) contact: Option<String>,
    /// `tls_letsencrypt_hostname`.
    pub(super) name: String,
    /// `http-01` or `tls-alpn-01`.
    pub(super) challenge: &'static str,
}

/// Where both listen.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `server_url`, as an origin.
    pub(super) server_url: String,
    /// Plain http on an address that others reach.
    pub(super) insecure: bool,
    /// Where Headwarden listens: where Headscale did.
    pub(super) listen: SocketAddr,
    /// As Headscale's file had it.
    pub(super) was: String,
    /// Where Headscale listens from now on.
    pub(super) headscale: SocketAddr,
    /// Who terminates TLS.
    pub(super) tls: Tls,
    /// A plaintext listener beside, for the control protocol and redirects.
    pub(super) plaintext: Option<SocketAddr>,
    /// Whose `X-Forwarded-For` counts.
    pub(super) trusted_proxies: Vec<String>,
}

impl Place {
    /// Reads it out of Headscale's file.
    pub(super) fn of(old: &Old, notes: &mut Notes) -> Result<Self, ImportError> {
        let written = old.text("server_url").ok_or(ImportError::NoServerUrl)?;
        let url = Url::parse(written.trim()).map_err(|_| ImportError::ServerUrl)?;
        let web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        if !web {
            return Err(ImportError::ServerUrl);
        }
        let server_url = url.origin().ascii_serialization();
        if url.path() != "/" || url.query().is_some() {
            let text = "headscale takes no path here, and neither does headwarden: it is left out";
            notes.add("server_url", What::ToDo, text);
        }
        let secure = url.scheme() == "https";
        let (listen, was) = listen(old, notes);
        let tls = tls(old, secure, notes);
        let trusted_proxies = trusted_proxies(old, &tls, notes);
        let plaintext = (matches!(tls, Tls::Acme(_)) && !is_tls_alpn(old) && listen.port() != 80)
            .then(|| SocketAddr::new(listen.ip(), 80));
        let taken: Vec<u16> = [Some(listen.port()), plaintext.map(|it| it.port())]
            .into_iter()
            .flatten()
            .chain(ports(old))
            .chain(OURS)
            .collect();
        let free = (8080..=u16::MAX).find(|port| !taken.contains(port));
        Ok(Self {
            insecure: !secure && !is_loopback(&url),
            server_url,
            listen,
            was,
            headscale: SocketAddr::from(([127, 0, 0, 1], free.unwrap_or(8080))),
            tls,
            plaintext,
            trusted_proxies,
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Go's way to write an address: an empty host is every address of both families.
fn listen(old: &Old, notes: &mut Notes) -> (SocketAddr, String) {
    let Some(was) = old.text("listen_addr") else {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let text = "headscale's file has none: headwarden takes 127.0.0.1:8080";
        notes.add("listen_addr", What::ToDo, text);
        return (address, "not set".to_owned());
    };
    let written = was.trim();
    let full = match written.rsplit_once(':') {
        Some(("", port)) => format!("[::]:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        _ => written.to_owned(),
    };
    let full = full.replace(":http", ":80").replace(":80s", ":443");
    if let Ok(address) = full.parse() {
        return (address, was);
    }
    let port = full
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    // A name could be any of the machine's addresses: loopback opens nothing to anybody.
    let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(8080)));
    let text = format!("not an address and a port: headwarden takes {address}, change it");
    notes.add("listen_addr", What::ToDo, text);
    (address, was)
}

fn tls(old: &Old, secure: bool, notes: &mut Notes) -> Tls {
    let files = (old.text("tls_cert_path"), old.text("tls_key_path"));
    if let (Some(cert), Some(key)) = files {
        return Tls::Files { cert, key };
    }
    if let Some(name) = old.text("tls_letsencrypt_hostname") {
        let text = "headwarden orders the certificate now, from the same authority: read its terms \
                    of service, to which headscale agreed by itself";
        notes.add("headwarden: acme.terms_of_service_agreed", What::ToDo, text);
        return Tls::Acme(Acme {
            directory_url: old.text("acme_url").filter(|url| url != LETS_ENCRYPT),
            contact: old.text("acme_email"),
            name,
            challenge: if is_tls_alpn(old) {
                "tls-alpn-01"
            } else {
                "http-01"
            },
        });
    }
    if secure { Tls::InFront } else { Tls::Nobody }
}

fn is_tls_alpn(old: &Old) -> bool {
    let kind = old.text("tls_letsencrypt_challenge_type");
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("TLS-ALPN-01"))
}

/// Networks as Headwarden takes them: no bits beyond the prefix, never everybody.
fn trusted_proxies(old: &Old, tls: &Tls, notes: &mut Notes) -> Vec<String> {
    let mut networks = Vec::new();
    for text in old.list("trusted_proxies") {
        match text.parse::<IpNet>() {
            Ok(network) if network.prefix_len() > 0 => networks.push(network.trunc().to_string()),
            Ok(_) => {
                let text = "trusts everybody, which headscale refuses and headwarden too: left out";
                notes.add("trusted_proxies", What::ToDo, text);
            }
            Err(_) => {
                let text = "an entry is no network: left out";
                notes.add("trusted_proxies", What::ToDo, text);
            }
        }
    }
    if networks.is_empty() && *tls == Tls::InFront {
        let text = "server_url is https and headscale speaks plaintext, so something in front \
                    terminates TLS: put its address in the place of loopback, and have it send \
                    X-Forwarded-Proto";
        notes.add("headwarden: trusted_proxies", What::ToDo, text);
        return vec!["127.0.0.1/32".to_owned(), "::1/128".to_owned()];
    }
    networks
}

/// Ports that Headscale's other listeners have.
fn ports(old: &Old) -> impl Iterator<Item = u16> + use<> {
    let keys = [
        "metrics_listen_addr",
        "grpc_listen_addr",
        "tls_letsencrypt_listen",
    ];
    let ports = keys.map(|key| {
        let address = old.text(key)?;
        let (_, port) = address.rsplit_once(':')?;
        port.parse().ok()
    });
    ports.into_iter().flatten()
}
