//! The running process, from outside: its certificate, a real upgrade, a sign-in as far as the provider,
//! its plaintext listener, its readiness, its socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{CertificateError, Error};
use url::Url;

use super::super::client;
use super::super::health;
use super::tls::{Shown, client as tls_client};
use super::wire::{Head, Place, ask};
use crate::config::Settings;
use crate::domain::calendar::rfc3339;
use crate::domain::finding::Finding;
use crate::domain::time::{Clock as _, Timestamp};
use crate::ops::clock::SystemClock;

const CERTIFICATE: &str = "house.certificate";
const CONTROL: &str = "house.control";
const DERP: &str = "house.derp";
const SIGN_IN: &str = "house.sign_in";
const PLAINTEXT: &str = "house.plaintext";
const READY: &str = "house.ready";
const SOCKET: &str = "house.socket";

/// A certificate that ends sooner gets a warning: two weeks.
const SOON: Duration = Duration::from_hours(14 * 24);

/// The length of the first message of a Noise handshake, with its head; see Tailscale's controlbase.
const INITIATION: usize = 101;

/// Looks at everything, in a fixed order.
pub(super) async fn look(
    settings: &Settings,
    connect: Option<SocketAddr>,
    ca: Option<&Path>,
) -> Vec<Finding> {
    let shown = Arc::new(Mutex::new(Shown::default()));
    let place = match place(settings, connect, ca, &shown) {
        Ok(place) => place,
        Err(why) => {
            let fix = "mend the file of --ca, or install the system's CA certificates";
            return vec![Finding::failure(CERTIFICATE, why, fix)];
        }
    };
    let control = ask(&place, &control(&place)).await;
    vec![
        certificate(settings, &shown, control.as_ref().err()),
        judge_control(&control),
        judge_derp(&ask(&place, &derp(&place)).await),
        judge_sign_in(&ask(&place, &navigation(&place)).await, settings),
        plaintext(settings).await,
        ready(settings),
        socket(settings),
    ]
}

fn place(
    settings: &Settings,
    connect: Option<SocketAddr>,
    ca: Option<&Path>,
    shown: &Arc<Mutex<Shown>>,
) -> Result<Place, String> {
    let url = &settings.server_url;
    let tls = if url.secure {
        Some(Arc::new(tls_client(ca, shown)?))
    } else {
        None
    };
    Ok(Place {
        host: url.authority.host().to_owned(),
        port: url
            .authority
            .port_u16()
            .unwrap_or(if url.secure { 443 } else { 80 }),
        address: connect,
        tls,
    })
}

fn certificate(settings: &Settings, shown: &Mutex<Shown>, failed: Option<&String>) -> Finding {
    if !settings.server_url.secure {
        return Finding::skipped(CERTIFICATE, "server_url is plain http");
    }
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(leaf) = &shown.leaf else {
        let why = failed.map_or("nothing was shown", String::as_str);
        let told = format!(
            "no certificate was shown at {}: {why}",
            settings.server_url.origin
        );
        let fix = "is headwarden running, and does server_url lead to it? --connect ADDRESS:PORT looks \
                   at a listener directly";
        return Finding::failure(CERTIFICATE, told, fix);
    };
    if let Some(refused) = &shown.refused {
        return untrusted(refused, shown.others);
    }
    let Some(ends) = ends(leaf) else {
        return Finding::ok(
            CERTIFICATE,
            "the certificate is trusted, and its chain is complete",
        );
    };
    let told = format!(
        "the certificate is trusted until {}, and its chain is complete",
        rfc3339(ends)
    );
    if ends.since(SystemClock.now()) < SOON {
        return Finding::warning(CERTIFICATE, told, "renew it: clients refuse it afterwards");
    }
    Finding::ok(CERTIFICATE, told)
}

fn untrusted(why: &Error, others: usize) -> Finding {
    let (told, fix) = match why {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) if others == 0 => (
            "the certificate comes alone, and nobody trusts who signed it: Android and DERP refuse it",
            "put the whole chain, leaf first, into tls.cert_path; for a private authority, --ca",
        ),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => (
            "nobody trusts who signed the certificate",
            "get one from a public authority, or install the private one on every device (here: --ca)",
        ),
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            "the certificate is not for the name in server_url",
            "get one for that name, or have server_url name what it is for",
        ),
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => (
            "the certificate has ended, or has not begun",
            "renew it, or set the clock of this machine",
        ),
        _ => (
            "the certificate is not trusted",
            "look at it with `openssl s_client -showcerts`",
        ),
    };
    Finding::failure(CERTIFICATE, format!("{told} ({why})"), fix)
}

fn ends(leaf: &[u8]) -> Option<Timestamp> {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let ends = u64::try_from(leaf.validity().not_after.timestamp()).ok()?;
    Some(Timestamp::from_unix(ends))
}

/// As Tailscale's client begins; the handshake inside is nobody's, and ends right after the 101.
fn control(place: &Place) -> String {
    let mut initiation = vec![0; INITIATION];
    let head = [0, 100, 1, 0, 96];
    initiation.splice(..head.len(), head);
    format!(
        "POST /ts2021 HTTP/1.1\r\nHost: {}\r\nUser-Agent: headwarden-doctor\r\nUpgrade: \
         tailscale-control-protocol\r\nConnection: upgrade\r\nContent-Length: 0\r\n\
         X-Tailscale-Handshake: {}\r\n\r\n",
        place.host,
        STANDARD.encode(&initiation)
    )
}

fn derp(place: &Place) -> String {
    format!(
        "GET /derp HTTP/1.1\r\nHost: {}\r\nUser-Agent: headwarden-doctor\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: derp\r\n\
         Sec-WebSocket-Key: {}\r\n\r\n",
        place.host,
        STANDARD.encode([0; 16])
    )
}

fn navigation(place: &Place) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nUser-Agent: headwarden-doctor\r\nAccept: text/html\r\n\
         Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nConnection: close\r\n\r\n",
        place.host
    )
}

const THE_WAY: &str = "is headwarden running, and does server_url lead to it, past no proxy that does not \
                       pass Upgrade on (Cloudflare's does not)?";

fn judge_control(answer: &Result<Head, String>) -> Finding {
    match answer {
        Ok(Head {
            status: 101,
            upgrade: Some(token),
            ..
        }) if token == "tailscale-control-protocol" => Finding::ok(
            CONTROL,
            "an upgrade to Tailscale's control protocol went through to headscale",
        ),
        Ok(Head { status: 101, .. }) => {
            let told =
                "an upgrade went through, and lost its Upgrade field on the way: clients end there";
            Finding::failure(
                CONTROL,
                told,
                "have the proxy in front pass Upgrade and Connection on",
            )
        }
        Ok(Head {
            status: 502 | 503, ..
        }) => {
            let told = "headwarden reaches no headscale for the control protocol";
            Finding::failure(CONTROL, told, "see headscale.health")
        }
        Ok(Head { status: 429, .. }) => {
            let told = "this address has opened too many tunnels: limits.tunnels_per_minute";
            Finding::warning(CONTROL, told, "wait a minute")
        }
        Ok(head) => {
            let told = format!(
                "the control protocol is answered with {}, no device gets in",
                head.status
            );
            Finding::failure(CONTROL, told, THE_WAY)
        }
        Err(why) => {
            let told = format!("the control protocol cannot be tried: {why}");
            Finding::failure(CONTROL, told, THE_WAY)
        }
    }
}

fn judge_derp(answer: &Result<Head, String>) -> Finding {
    match answer {
        Ok(Head { status: 101, .. }) => Finding::ok(DERP, "headscale's own relay is reached"),
        Ok(Head {
            status: 404 | 426, ..
        }) => Finding::ok(
            DERP,
            "headscale has no relay of its own, which is as it may be",
        ),
        Ok(head) => {
            let told = format!("/derp is answered with {}", head.status);
            Finding::warning(
                DERP,
                told,
                "if headscale's derp.server is on, see house.control",
            )
        }
        Err(why) => Finding::skipped(DERP, format!("{why}: see house.control")),
    }
}

fn judge_sign_in(answer: &Result<Head, String>, settings: &Settings) -> Finding {
    let provider = Url::parse(settings.oidc.issuer.as_str()).ok();
    let host = provider.as_ref().and_then(Url::host_str);
    match answer {
        Ok(Head {
            status: 303,
            location: Some(to),
            ..
        }) if Url::parse(to).is_ok_and(|to| to.host_str() == host) => Finding::ok(
            SIGN_IN,
            "a browser without a session is sent to the provider",
        ),
        Ok(Head {
            status: 301 | 302 | 307 | 308,
            location,
            ..
        }) => {
            let to = location.as_deref().unwrap_or("nowhere");
            let told = format!("a browser is redirected to {to} instead of the provider");
            let fix = "if that is server_url again, X-Forwarded-Proto is missing, or trusted_proxies does \
                       not name the proxy in front";
            Finding::failure(SIGN_IN, told, fix)
        }
        Ok(Head { status: 421, .. }) => {
            let told = "headwarden does not answer under the host of server_url";
            Finding::failure(
                SIGN_IN,
                told,
                "the running process has another server_url: restart it",
            )
        }
        Ok(Head { status: 503, .. }) => {
            let told = "headwarden does not know the provider yet";
            Finding::failure(SIGN_IN, told, "see provider.discovery")
        }
        Ok(head) => {
            let told = format!(
                "a browser without a session gets {} instead of the provider",
                head.status
            );
            Finding::failure(
                SIGN_IN,
                told,
                "does server_url lead to headwarden, or past it to headscale?",
            )
        }
        Err(why) => Finding::skipped(
            SIGN_IN,
            format!("{why}: see house.certificate and house.control"),
        ),
    }
}

/// The plaintext listener beside an https `server_url`, at its own address.
async fn plaintext(settings: &Settings) -> Finding {
    if !settings.server_url.secure {
        return Finding::skipped(PLAINTEXT, "server_url is plain http");
    }
    let plain = settings
        .listen
        .iter()
        .find(|listener| listener.tls.is_none());
    let Some(listener) = plain else {
        let told = "no listener is plaintext: clients come to TLS half a second later";
        return Finding::ok(PLAINTEXT, told);
    };
    let place = Place {
        host: settings.server_url.authority.host().to_owned(),
        port: listener.address.port(),
        address: Some(reachable(listener.address)),
        tls: None,
    };
    match ask(&place, &navigation(&place)).await {
        Ok(Head {
            status: 308,
            location: Some(to),
            ..
        }) if to.starts_with(&settings.server_url.origin) => {
            Finding::ok(PLAINTEXT, "the plaintext listener redirects to server_url")
        }
        Ok(head) => {
            let told = format!(
                "the plaintext listener answers {} instead of a redirect",
                head.status
            );
            Finding::failure(PLAINTEXT, told, "does another program listen there?")
        }
        Err(why) => {
            let told = format!(
                "the plaintext listener at {} does not answer: {why}",
                listener.address
            );
            Finding::failure(
                PLAINTEXT,
                told,
                "is headwarden running, with this configuration?",
            )
        }
    }
}

/// An address that can be connected to: every address is loopback, too.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = address.ip();
    if ip.is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

fn ready(settings: &Settings) -> Finding {
    let Some(address) = settings.admin.address else {
        return Finding::skipped(READY, "admin.address is not set");
    };
    match health::ask_ready(address) {
        Ok((200, _)) => Finding::ok(READY, "the running process is ready"),
        Ok((status, failing)) => {
            let told = format!(
                "the running process is not ready, status {status}: {}",
                failing.join("; ")
            );
            Finding::failure(READY, told, "mend what fails there; its log says more")
        }
        Err(why) => {
            let told = format!("{address} does not answer: {why}");
            Finding::failure(READY, told, "start headwarden with this configuration")
        }
    }
}

fn socket(settings: &Settings) -> Finding {
    let Some(socket) = &settings.admin.socket else {
        return Finding::skipped(SOCKET, "admin.socket_path is not set");
    };
    match client::ask(&socket.path, "GET", "/livez") {
        Ok(answer) if answer.status == 200 => Finding::ok(SOCKET, "the admin socket answers"),
        Ok(answer) => {
            let told = format!("the admin socket answers {}", answer.status);
            Finding::failure(SOCKET, told, "does another version of headwarden run?")
        }
        Err(why) => Finding::failure(
            SOCKET,
            why.to_string(),
            "restart headwarden, or run this as root",
        ),
    }
}
