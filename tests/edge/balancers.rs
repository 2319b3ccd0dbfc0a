//! Who the client is, behind real load balancers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::balancer::{Balancer, documented, with};
use crate::stage::Faulty;
use crate::support::headscale_standin::{FIRST_BYTES, HeadscaleStandin, Options};
use crate::support::house::{House, More, free_addresses};
use crate::support::raw::Raw;
use crate::support::tls::Authority;

const NAME: &str = "headscale.example";
/// What one address may do with the open doors in a minute.
const MOST: usize = 3;

/// A house with a listener for a balancer that speaks HTTP (`plan.public`), one for a balancer that
/// announces connections it took the TLS off, and one for a balancer that passes TLS through.
struct Edge {
    house: House,
    headscale: HeadscaleStandin,
    faulty: Faulty,
    clear: SocketAddr,
    tls: SocketAddr,
    trust: Arc<ClientConfig>,
}

impl Edge {
    fn start() -> Self {
        let authority = Authority::new();
        let certificate = authority.certificate(&[NAME]);
        let [clear, tls] = free_addresses();
        let faulty = Faulty::start();
        let headscale = HeadscaleStandin::start(Options::default());
        let house = House::start(|plan| {
            let more = More {
                sign_in: "none",
                top: "trusted_proxies: [127.0.0.1/32]\nlimits: { open_requests_per_minute: 3 }\n",
                ..More::default()
            };
            let (chain, key) = certificate.write(&plan.files);
            let both = format!("{}{}", certificate.chain, certificate.key);
            std::fs::write(plan.files.join("both.pem"), both).unwrap();
            let listen = format!(
                "listen:\n  - address: \"{clear}\"\n    proxy_protocol: required\n  \
                 - address: \"{tls}\"\n    proxy_protocol: required\n    \
                 tls: {{ cert_path: {}, key_path: {} }}\n",
                chain.display(),
                key.display()
            );
            let text = plan.config(&headscale.url(), &faulty.provider.issuer(), &more);
            with(
                &text,
                &[
                    ("listen:\n", &listen),
                    (
                        &format!("server_url: {}", plan.origin()),
                        "server_url: https://headscale.example",
                    ),
                ],
            )
        });
        Self {
            house,
            headscale,
            faulty,
            clear,
            tls,
            trust: authority.client(&["http/1.1"]),
        }
    }

    fn connect(&self, client: IpAddr, front: SocketAddr) -> Raw {
        Raw::connect_tls_from(client, front, NAME, Arc::clone(&self.trust)).unwrap()
    }

    fn file(&self, name: &str) -> String {
        self.house.plan.files.join(name).display().to_string()
    }

    /// HAProxy with a block of the documentation, at `front`.
    fn haproxy(&self, title: &str, front: SocketAddr, changes: &[(&str, &str)]) -> Balancer {
        let bind = format!("bind {front}");
        let pem = self.file("both.pem");
        let mut text = with(&documented(title), &[("bind :443", &bind)]);
        text = text.replace("/etc/haproxy/headscale.pem", &pem);
        text = text.replace(
            "port 9181",
            &format!("port {}", self.house.plan.admin.port()),
        );
        Balancer::haproxy(&with(&text, changes), front)
    }
}

fn request(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {NAME}\r\n{more}\r\n")
}

fn forged() -> &'static str {
    "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
}

/// A browser, a tunnel and a limit through `front`, by clients of this row alone.
fn check(edge: &mut Edge, what: &str, row: u8, front: SocketAddr) {
    let [client, other] = [1, 2].map(|net| IpAddr::V4(Ipv4Addr::new(127, 0, net, row)));

    let browser = request(
        "GET /windows",
        &format!("Accept: text/html\r\n{}", forged()),
    );
    let answer = edge
        .connect(client, front)
        .exchange(browser.as_bytes())
        .unwrap();
    assert_eq!(answer.status(), 303, "{what}: {}", answer.text());
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with(edge.faulty.provider.origin()),
        "{what}: {location}"
    );
    let seen = format!("client={client} method=\"GET\" path=\"/windows\"");
    edge.house.wait_for_log(&seen);

    let tag = format!("X-Row: {row}\r\n");
    let upgrade = format!(
        "Connection: Upgrade\r\nUpgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: AAAA\r\nContent-Length: 0\r\n{tag}{}",
        forged()
    );
    let mut tunnel = edge.connect(client, front);
    tunnel
        .send(request("POST /ts2021", &upgrade).as_bytes())
        .unwrap();
    assert_eq!(tunnel.read_head().unwrap().status, 101, "{what}");
    tunnel.send(b"and back").unwrap();
    let heard = tunnel.read_exact(FIRST_BYTES.len() + 8).unwrap();
    assert!(heard.ends_with(b"and back"), "{what}: {heard:?}");
    let row = row.to_string();
    let mut all = edge.headscale.requests();
    all.retain(|seen| seen.fields.value("x-row") == Some(&row));
    assert_eq!(all.len(), 1, "{what}");
    for name in ["x-forwarded-for", "x-real-ip", "true-client-ip"] {
        assert_eq!(
            all[0].fields.values(name),
            [client.to_string()],
            "{what} {name}"
        );
    }
    assert_eq!(
        all[0].fields.values("x-forwarded-proto"),
        ["https"],
        "{what}"
    );
    assert_eq!(all[0].fields.values("x-forwarded-host"), [NAME], "{what}");

    let key = request("GET /key?v=140", forged());
    let ask = |from| {
        edge.connect(from, front)
            .exchange(key.as_bytes())
            .unwrap()
            .status()
    };
    let answers: Vec<u16> = (0..=MOST).map(|_| ask(client)).collect();
    assert_eq!(answers, [200, 200, 200, 429], "{what}");
    assert_eq!(ask(other), 200, "{what}: its neighbour is not held back");
}

#[test]
fn behind_haproxy_and_nginx_log_limits_and_headscale_hear_of_the_same_client() {
    let mut edge = Edge::start();
    let [http, v1, v2, ended, web, stream] = free_addresses();
    let at = |address: SocketAddr| address.to_string();
    let (clear, tls, public) = (at(edge.clear), at(edge.tls), at(edge.house.plan.public));

    let _http = edge.haproxy(
        "haproxy.cfg: it ends TLS and speaks HTTP",
        http,
        &[("127.0.0.1:8000", &public)],
    );
    check(&mut edge, "HAProxy, HTTP", 1, http);

    let passing = "haproxy.cfg: it passes TLS through";
    let to = [("127.0.0.1:8443", tls.as_str())];
    let _v2 = edge.haproxy(passing, v2, &to);
    check(&mut edge, "HAProxy, version 2", 2, v2);
    let _v1 = edge.haproxy(
        passing,
        v1,
        &[
            to[0],
            ("send-proxy-v2 proxy-v2-options crc32c", "send-proxy"),
        ],
    );
    check(&mut edge, "HAProxy, version 1", 3, v1);
    let _ended = edge.haproxy(
        "haproxy.cfg: it ends TLS and says so",
        ended,
        &[("127.0.0.1:8000", &clear)],
    );
    check(&mut edge, "HAProxy, version 2 with TLS", 4, ended);

    let nginx = |title: &str, section: &str, front: SocketAddr, changes: &[(&str, &str)]| {
        let block = with(&documented(title), changes);
        Balancer::nginx(
            &format!("{section} {{\naccess_log off;\n{block}\n}}\n"),
            front,
        )
    };
    let files = Path::new(&edge.file("")).display().to_string();
    let listen = format!(
        "listen {web} ssl;\nssl_certificate {files}/tls.crt;\nssl_certificate_key {files}/tls.key;\n"
    );
    let changes = [
        ("listen 443 ssl;", listen.as_str()),
        ("127.0.0.1:8000", &public),
        ("headscale.company", NAME),
    ];
    let _web = nginx("nginx: it ends TLS and speaks HTTP", "http", web, &changes);
    check(&mut edge, "nginx, HTTP", 5, web);
    let listen = format!("listen {stream};");
    let changes = [("listen 443;", listen.as_str()), ("127.0.0.1:8443", &tls)];
    let _stream = nginx("nginx: it passes TLS through", "stream", stream, &changes);
    check(&mut edge, "nginx, version 1", 6, stream);

    let log = edge.house.log();
    assert!(!log.contains("6.6.6.6"), "{log}");
    assert!(!log.contains("closing connections"), "{log}");
}
