use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::headscale::VersionWatch;

/// A Headscale that gives every connection the next of `answers`, and closes it.
async fn headscale(answers: Vec<Vec<u8>>) -> (Probe, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(connection.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(head).unwrap());
            // The client may hang up on what it does not want to read.
            let _ = connection.write_all(&answer).await;
        }
        asked
    });
    (probe(port), asked)
}

fn probe(port: u16) -> Probe {
    let upstream = Upstream {
        tls: false,
        host: "127.0.0.1".to_owned(),
        port,
        ca_path: None,
    };
    let patience = Duration::from_secs(20);
    Probe::for_upstream(&upstream, patience, patience).unwrap()
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn health_is_the_status_of_health() {
    let answers = vec![
        answer("200 OK", "{\"status\":\"pass\"}"),
        answer("500 Internal Server Error", "{\"status\":\"fail\"}"),
        answer("404 Not Found", ""),
    ];
    let (probe, asked) = headscale(answers).await;
    assert_eq!(probe.health().await, Ok(Health::Pass));
    assert_eq!(probe.health().await, Ok(Health::Fail(500)));
    assert_eq!(probe.health().await, Ok(Health::Fail(404)));
    let asked = asked.await.unwrap();
    assert!(
        asked[0].starts_with("GET /health HTTP/1.1\r\n"),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains("headwarden/"), "{}", asked[0]);
}

#[tokio::test]
async fn a_missing_parameter_means_trust_and_a_missing_route_means_none() {
    let answers = vec![
        answer("400 Bad Request", "missing code or state parameter"),
        answer("404 Not Found", "404 page not found"),
        answer("200 OK", "<html>"),
        answer("302 Found\r\nLocation: http://127.0.0.1:1/", ""),
        answer("502 Bad Gateway", ""),
    ];
    let (probe, asked) = headscale(answers).await;
    assert_eq!(probe.trust().await, Ok(Trust::Trusts));
    assert_eq!(probe.trust().await, Ok(Trust::FellBack));
    assert_eq!(
        probe.trust().await,
        Ok(Trust::FellBack),
        "the blank page of 0.28"
    );
    assert_eq!(probe.trust().await, Ok(Trust::Unclear(302)), "not followed");
    assert_eq!(probe.trust().await, Ok(Trust::Unclear(502)));
    assert!(asked.await.unwrap()[0].starts_with("GET /oidc/callback HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_headscale_without_the_route_has_no_version() {
    let answers = vec![
        answer("200 OK", "{\"version\":\"v0.29.2\",\"dirty\":false}"),
        answer("404 Not Found", "{\"version\":\"v0.29.2\"}"),
    ];
    let (probe, _asked) = headscale(answers).await;
    let known = Version::Known {
        major: 0,
        minor: 29,
        before: false,
    };
    assert_eq!(probe.version().await, Ok(known));
    assert_eq!(probe.version().await, Ok(Version::Unknown));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let long = "x".repeat(65 * 1024);
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.extend_from_slice(long.as_bytes());
    let (probe, _asked) = headscale(vec![answer("200 OK", &long), endless]).await;
    assert_eq!(probe.version().await, Err(FetchError::TooLong));
    assert_eq!(probe.version().await, Err(FetchError::TooLong));
}

#[tokio::test]
async fn nobody_there_and_nonsense_are_told_apart() {
    let error = probe(free_port().await).health().await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(_)), "{error}");
    let (probe, _asked) = headscale(vec![b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()]).await;
    let error = probe.health().await.unwrap_err();
    assert!(matches!(error, FetchError::Broken(_)), "{error}");
}

#[tokio::test]
async fn silence_ends_with_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = Upstream {
        tls: false,
        host: "127.0.0.1".to_owned(),
        port,
        ca_path: None,
    };
    let limit = Duration::from_millis(50);
    let probe = Probe::for_upstream(&upstream, Duration::from_secs(20), limit).unwrap();
    assert_eq!(probe.health().await, Err(FetchError::Timeout));
    drop(listener);
}

#[tokio::test]
async fn the_watch_knows_nothing_then_the_version_then_nothing_again() {
    let answers = vec![
        answer("200 OK", "{\"version\":\"v0.29.2\"}"),
        answer("502 Bad Gateway", ""),
    ];
    let (probe, _asked) = headscale(answers).await;
    let watch = VersionWatch::new(probe);
    assert_eq!(watch.current(), Version::Unknown);
    watch.refresh().await;
    assert!(watch.current().confirms_registration());
    watch.refresh().await;
    assert_eq!(watch.current(), Version::Unknown);
}

#[tokio::test]
async fn the_watch_asks_at_once_and_ends_with_the_process() {
    let (probe, asked) = headscale(vec![answer("200 OK", "{\"version\":\"v0.28.0\"}")]).await;
    let watch = Arc::new(VersionWatch::new(probe));
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn({
        let watch = watch.clone();
        async move { watch.run(stopped).await }
    });
    asked.await.unwrap();
    stop.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn a_headscale_that_starts_after_us_is_known_within_seconds() {
    let port = free_port().await;
    let watch = Arc::new(VersionWatch::new(probe(port)));
    assert_eq!(watch.refresh().await, Version::Unknown);
    let (stop, stopping) = watch::channel(false);
    let running = Arc::clone(&watch);
    let running = tokio::spawn(async move { running.run(stopping).await });
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(10), listener.accept()).await;
    let (mut connection, _) = asked.expect("it asks again soon").unwrap();
    let known = answer("200 OK", "{\"version\":\"v0.29.2\"}");
    connection.write_all(&known).await.unwrap();
    let is_known = async {
        while watch.current() == Version::Unknown {
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(10), is_known).await;
    assert!(found.is_ok(), "the answer counts");
    stop.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn an_https_headscale_is_verified_with_its_bundle_and_refused_without() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ca_path = directory.path().join("ca.pem");
    std::fs::write(&ca_path, issued.cert.pem()).unwrap();
    let port = tls_headscale(&issued).await;
    let upstream = |ca_path| Upstream {
        tls: true,
        host: "localhost".to_owned(),
        port,
        ca_path,
    };
    let patience = Duration::from_secs(20);
    let trusting = Probe::for_upstream(&upstream(Some(ca_path)), patience, patience).unwrap();
    assert_eq!(trusting.health().await, Ok(Health::Pass));
    let wary = Probe::for_upstream(&upstream(None), patience, patience).unwrap();
    let error = wary.health().await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

async fn tls_headscale(issued: &rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key.unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            if let Ok(mut connection) = acceptor.accept(connection).await {
                let mut head = [0; 1024];
                let _ = connection.read(&mut head).await;
                let _ = connection.write_all(&answer("200 OK", "{}")).await;
                let _ = connection.shutdown().await;
            }
        }
    });
    port
}

#[test]
fn a_bundle_without_certificates_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for path in [empty, directory.path().join("missing.pem")] {
        let upstream = Upstream {
            tls: true,
            host: "localhost".to_owned(),
            port: 1,
            ca_path: Some(path.clone()),
        };
        let second = Duration::from_secs(1);
        let error = Probe::for_upstream(&upstream, second, second).unwrap_err();
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
}
