//! A house without a provider between clients and an [`Upstream`], with a plain and a TLS listener.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use crate::support::house::{House, More, Plan, free_addresses};
use crate::support::tls::Authority;
use crate::upstream::Upstream;
use crate::wire::Wire;

/// Limits that no test here means to meet.
pub(crate) const NO_LIMITS: &str =
    "limits: { connections_per_address: 1000000, tunnels_per_minute: 1000000 }\n";

/// The upgrades that Tailscale's clients ask for: name, request and `Upgrade` token.
pub(crate) const KINDS: [(&str, &str, &str); 5] = [
    (
        "control",
        "POST /ts2021 HTTP/1.1\r\nContent-Length: 0\r\n",
        "tailscale-control-protocol",
    ),
    (
        "control without a length",
        "POST /ts2021 HTTP/1.1\r\n",
        "tailscale-control-protocol",
    ),
    (
        "control over a websocket",
        "GET /ts2021?X-Tailscale-Handshake=AQID HTTP/1.1\r\n",
        "websocket",
    ),
    ("derp", "GET /derp HTTP/1.1\r\n", "DERP"),
    (
        "derp over a websocket",
        "GET /derp HTTP/1.1\r\n",
        "websocket",
    ),
];

/// A request for the relay.
pub(crate) const DERP: &str =
    "GET /derp HTTP/1.1\r\nHost: derp\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n";

/// The request for one of [`KINDS`].
pub(crate) fn request((_, start, token): (&str, &str, &str)) -> String {
    let websocket = if token == "websocket" {
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else {
        ""
    };
    format!(
        "{start}Host: headscale.example\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n{websocket}\r\n"
    )
}

/// A listener's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Plain,
    Tls,
}

/// Peers and the house between them.
pub(crate) struct Rig {
    pub(crate) house: House,
    pub(crate) upstream: Upstream,
    pub(crate) authority: Authority,
    tls: SocketAddr,
}

/// Additions to the configuration: under `headscale`, and at the top.
#[derive(Clone, Copy)]
pub(crate) struct Extra {
    pub(crate) headscale: &'static str,
    pub(crate) top: &'static str,
}

impl Default for Extra {
    fn default() -> Self {
        Self {
            headscale: "",
            top: NO_LIMITS,
        }
    }
}

impl Rig {
    /// A house before an upstream that the test speaks for.
    pub(crate) fn start(upstream: Front, extra: Extra) -> Self {
        let authority = Authority::new();
        let tls = (upstream == Front::Tls).then_some(&authority);
        let upstream = Upstream::start(tls);
        Self::before(upstream, tls.is_some(), authority, extra)
    }

    /// A house before an upstream that echoes.
    pub(crate) fn echoing(upstream: Front, extra: Extra) -> Self {
        let authority = Authority::new();
        let tls = (upstream == Front::Tls).then_some(&authority);
        let upstream = Upstream::echo(tls);
        Self::before(upstream, tls.is_some(), authority, extra)
    }

    /// The same with a program around the house.
    pub(crate) fn around(extra: Extra, around: impl FnOnce(&mut Command)) -> Self {
        let authority = Authority::new();
        let upstream = Upstream::echo(None);
        let url = format!("http://localhost:{}", upstream.address.port());
        let (house, tls) = house_around(&url, &authority, false, extra, around);
        Self {
            house,
            upstream,
            authority,
            tls,
        }
    }

    fn before(upstream: Upstream, secure: bool, authority: Authority, extra: Extra) -> Self {
        let scheme = if secure { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}", upstream.address.port());
        let (house, tls) = house(&url, &authority, secure, extra);
        Self {
            house,
            upstream,
            authority,
            tls,
        }
    }

    /// A client's connection.
    pub(crate) async fn connect(&self, front: Front) -> Wire {
        match front {
            Front::Plain => Wire::connect(self.house.plan.public).await,
            Front::Tls => Wire::connect_tls(self.tls, self.authority.client(&["http/1.1"])).await,
        }
    }

    /// The TLS listener's address.
    pub(crate) fn tls(&self) -> SocketAddr {
        self.tls
    }

    /// A tunnel: the client's end and the upstream's.
    pub(crate) async fn tunnel(&mut self, front: Front) -> (Wire, Wire) {
        let mut client = self.connect(front).await;
        client.send(DERP).await;
        let mut peer = self.upstream.upgrade().await;
        peer.switch("").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (client, peer.wire)
    }

    /// How much memory the house has in RAM, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.house.pid());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number
            .and_then(|number| number.parse().ok())
            .expect("Linux says so")
    }
}

/// A house before `url` with both listeners; and the TLS listener's address.
pub(crate) fn house(
    url: &str,
    authority: &Authority,
    trust: bool,
    extra: Extra,
) -> (House, SocketAddr) {
    house_around(url, authority, trust, extra, |_| ())
}

fn house_around(
    url: &str,
    authority: &Authority,
    trust: bool,
    extra: Extra,
    around: impl FnOnce(&mut Command),
) -> (House, SocketAddr) {
    let [tls] = free_addresses();
    let config = |plan: &Plan| {
        let more = More {
            sign_in: "none",
            headscale: extra.headscale,
            top: extra.top,
            waits_for_provider: false,
            ..More::default()
        };
        let files = &plan.files;
        let (chain, key) = authority
            .certificate(&["localhost", "127.0.0.1"])
            .write(files);
        let ca = files.join("ca.pem");
        std::fs::write(&ca, authority.pem()).expect("a directory to write to");
        let mut listen = format!("listen:\n  - address: \"{tls}\"\n    tls:\n");
        let _ = write!(
            listen,
            "      cert_path: {}\n      key_path: {}\n",
            chain.display(),
            key.display()
        );
        let mut upstream = format!("  url: {url}\n");
        if trust {
            let _ = writeln!(upstream, "  ca_path: {}", ca.display());
        }
        plan.config(url, "http://127.0.0.1:9/", &more)
            .replace("listen:\n", &listen)
            .replace(&format!("  url: {url}\n"), &upstream)
    };
    let mut house = House::launch_in(config, &[], |_, command| around(command));
    house.wait_for_log("serving");
    (house, tls)
}

/// Every pairing of listener and upstream.
pub(crate) const PAIRINGS: [(Front, Front); 4] = [
    (Front::Plain, Front::Plain),
    (Front::Tls, Front::Plain),
    (Front::Plain, Front::Tls),
    (Front::Tls, Front::Tls),
];
