//! TLS towards upstreams: whom we trust, through pingora, in a tunnel, and when we ask for health.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::house::{House, More};
use crate::support::raw::{PATIENCE, Raw};
use crate::support::tls::{Authority, ServerCertificate};

/// Answers 200 to everything and 101 to the control protocol, over TLS.
fn upstream(certificate: &ServerCertificate) -> SocketAddr {
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.leaf()], key)
        .expect("they belong together");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            std::thread::spawn(move || serve(tcp, config));
        }
    });
    address
}

fn serve(tcp: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    tcp.set_read_timeout(Some(PATIENCE)).ok()?;
    let tls = ServerConnection::new(config).ok()?;
    let mut stream = StreamOwned::new(tls, tcp);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.extend(byte);
        }
        let tunnel = head.starts_with(b"POST /ts2021");
        let answer = if tunnel {
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\n\
              Connection: upgrade\r\n\r\n"
                .to_owned()
        } else {
            let asked_for = stream.conn.server_name().unwrap_or("nobody");
            // Kept open: the next request may come on the same connection.
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Asked-For: {asked_for}\r\n\
                 Content-Length: 17\r\n\r\n{{\"status\":\"pass\"}}"
            )
        };
        stream.write_all(answer.as_bytes()).ok()?;
        stream.flush().ok()?;
        if tunnel {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            return Some(());
        }
    }
}

fn ca(files: &Path, name: &str, authority: &Authority) -> String {
    let path = files.join(name);
    std::fs::write(&path, authority.pem()).expect("it is written");
    format!("ca_path: {}", path.display())
}

#[test]
fn an_upstream_is_believed_with_the_operators_authority_and_its_name_alone() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let good = upstream(&ours.certificate(&["localhost"]));
    let elsewhere = upstream(&ours.certificate(&["elsewhere.internal"]));
    let foreign = upstream(&theirs.certificate(&["localhost"]));
    for (what, address, served) in [
        ("good", good, true),
        ("another name", elsewhere, false),
        ("another authority", foreign, false),
    ] {
        let url = format!("https://localhost:{}", address.port());
        let house = House::start(|plan| {
            let bundle = ca(&plan.files, "ca.pem", &ours);
            // The same place for whoever has the other authority: no connection of one is the other's.
            let other = ca(&plan.files, "other.pem", &theirs);
            let access = format!(
                "open: [GET /ui/a, GET /other/a]\naccess:\n  - {{ path: \"/ui/**\", upstream: \"{url}\", {bundle} }}\n  \
                 - {{ path: \"/other/**\", upstream: \"{url}\", {other} }}\n"
            );
            let more = More {
                sign_in: "none",
                waits_for_provider: false,
                ..More::default()
            };
            let config = plan.config(&url, "http://127.0.0.1:9/", &more);
            config.replace(
                "  sign_in: none\n",
                &format!("  sign_in: none\n  {bundle}\n"),
            ) + &access
        });
        let ask = |request: &str| {
            let mut raw = Raw::connect(house.plan.public).expect("it listens");
            let request = format!("{request} HTTP/1.1\r\nHost: {}\r\n", house.plan.public);
            let upgrade = if request.starts_with("POST /ts2021") {
                "Upgrade: tailscale-control-protocol\r\nConnection: upgrade\r\nContent-Length: 0\r\n"
            } else {
                ""
            };
            let answer = raw.exchange(format!("{request}{upgrade}\r\n").as_bytes());
            answer.expect("an answer").status()
        };
        let theirs = what == "another authority";
        for (request, expected) in [
            ("GET /health", served),
            ("GET /ui/a", served),
            ("POST /ts2021", served),
            // Whoever trusts the other authority believes that one alone.
            ("GET /other/a", theirs),
            ("GET /ui/a", served),
            ("GET /other/a", theirs),
        ] {
            let status = ask(request);
            let refused = matches!(status, 502 | 503);
            assert_eq!(refused, !expected, "{what}: {request}: {status}");
        }
        let mut admin = Raw::connect(house.plan.admin).expect("it listens");
        let ready = admin
            .exchange(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("an answer")
            .json();
        let expected = if served { "pass" } else { "fail" };
        assert_eq!(
            ready["checks"]["headscale"][0]["status"], expected,
            "{what}: {ready}"
        );
    }
}

#[test]
fn a_web_ui_is_believed_by_the_name_that_was_written_and_another_address_stands_in_for_it() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let of = |authority: &Authority, name: &str| {
        format!("\"https://{}\"", upstream(&authority.certificate(&[name])))
    };
    let (good, foreign) = (of(&ours, "ui.internal"), of(&theirs, "ui.internal"));
    let by_address = of(&ours, "127.0.0.1");
    // The kernel takes connections for it, and nobody says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = format!("\"https://{}\"", silent.local_addr().expect("it is bound"));
    let name = "tls_server_name: ui.internal";
    let served = Some("ui.internal");
    let rows = [
        ("its name", format!("url: {good}, {name}, CA"), served),
        ("its address", format!("url: {good}, CA"), None),
        (
            "another name",
            format!("url: {good}, tls_server_name: other.internal, CA"),
            None,
        ),
        (
            "a name above",
            format!("url: {good}, tls_server_name: internal, CA"),
            None,
        ),
        (
            "an address",
            format!("url: {by_address}, CA"),
            Some("nobody"),
        ),
        (
            "a name for an address",
            format!("url: {by_address}, {name}, CA"),
            None,
        ),
        (
            "another authority",
            format!("url: {foreign}, {name}, CA"),
            None,
        ),
        ("the system's", format!("url: {good}, {name}"), None),
        (
            "stands in",
            format!("urls: [{foreign}, {by_address}, {good}], {name}, balance: first, CA"),
            served,
        ),
        (
            "none of them",
            format!("urls: [{foreign}, {by_address}], {name}, CA"),
            None,
        ),
        (
            "slow",
            format!("url: {silent}, {name}, connect_timeout: 1s, CA"),
            None,
        ),
        (
            "slow first",
            format!("urls: [{silent}, {good}], {name}, connect_timeout: 1s, balance: first, CA"),
            served,
        ),
    ];
    let house = House::start(|plan| {
        let bundle = ca(&plan.files, "ca.pem", &ours);
        let paths = (0..rows.len()).map(|row| format!("GET /row{row}/a"));
        let mut access = format!(
            "open: [{}]\naccess:\n",
            paths.collect::<Vec<_>>().join(", ")
        );
        for (row, (_, upstream, _)) in rows.iter().enumerate() {
            let upstream = upstream.replace("CA", &bundle);
            let rule = format!("  - {{ path: \"/row{row}/**\", upstream: {{ {upstream} }} }}\n");
            access += &rule;
        }
        let more = More {
            sign_in: "none",
            waits_for_provider: false,
            ..More::default()
        };
        plan.config("http://127.0.0.1:9", "http://127.0.0.1:9/", &more) + &access
    });
    // Twice: a connection that is kept was opened for that name, and by that authority.
    for (row, (what, _, expected)) in rows.iter().enumerate().chain(rows.iter().enumerate()) {
        let mut raw = Raw::connect(house.plan.public).expect("it listens");
        let request = format!(
            "GET /row{row}/a HTTP/1.1\r\nHost: {}\r\n\r\n",
            house.plan.public
        );
        let answer = raw.exchange(request.as_bytes()).expect("an answer");
        assert_eq!(answer.header("x-asked-for"), *expected, "{what}");
        let status = match (expected, *what) {
            (Some(_), _) => 200,
            (None, "slow") => 504,
            (None, _) => 503,
        };
        assert_eq!(answer.status(), status, "{what}: {}", answer.text());
    }
}
