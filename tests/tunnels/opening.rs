//! From the request to the 101: what reaches Headscale, what comes back, and no byte lost.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::rig::{DERP, Extra, Front, KINDS, PAIRINGS, Rig, request};
use crate::upstream::{switching, value};
use crate::wire::Wire;

/// What would be a request, were it taken for one.
const LIKE_A_REQUEST: &str = "GET /private HTTP/1.1\r\nHost: headscale.example\r\n\r\n";

#[tokio::test]
async fn every_tailscale_upgrade_passes_over_every_pairing_of_listener_and_upstream() {
    for (front, behind) in PAIRINGS {
        let mut rig = Rig::start(behind, Extra::default());
        for kind in KINDS {
            let (name, _, token) = kind;
            let what = format!("{name} over {front:?} to {behind:?}");
            let mut client = rig.connect(front).await;
            client.send(request(kind)).await;
            let mut peer = rig.upstream.upgrade().await;
            assert_eq!(
                value(&peer.head, "upgrade").as_deref(),
                Some(token),
                "{what}"
            );
            assert_eq!(
                value(&peer.head, "connection").as_deref(),
                Some("Upgrade"),
                "{what}"
            );
            let start = kind.1.lines().next();
            assert_eq!(peer.head.lines().next(), start, "{what}");

            peer.switch("in the same write").await;
            let head = client.head().await;
            assert_eq!(head, switching(token), "{what}");
            assert_eq!(client.exact(17).await, b"in the same write", "{what}");
            client.send("a question").await;
            assert_eq!(peer.wire.exact(10).await, b"a question", "{what}");
            peer.wire.send("an answer").await;
            assert_eq!(client.exact(9).await, b"an answer", "{what}");
        }
    }
}

#[tokio::test]
async fn what_the_client_says_before_the_101_arrives_after_it_and_is_no_request() {
    for (front, behind) in PAIRINGS {
        let mut rig = Rig::start(behind, Extra::default());
        for kind in KINDS {
            let what = format!("{} over {front:?} to {behind:?}", kind.0);
            let mut client = rig.connect(front).await;
            client
                .send(format!("{}{LIKE_A_REQUEST}", request(kind)))
                .await;
            let mut peer = rig.upstream.upgrade().await;
            // Headscale has the request and says nothing yet.
            client.send(LIKE_A_REQUEST).await;
            client.send("and more").await;
            peer.switch("first").await;
            let expected = format!("{LIKE_A_REQUEST}{LIKE_A_REQUEST}and more");
            let heard = peer.wire.exact(expected.len()).await;
            assert_eq!(String::from_utf8(heard).unwrap(), expected, "{what}");
            client.head().await;
            assert_eq!(client.exact(5).await, b"first", "{what}");
        }
        let asked = rig.upstream.asked();
        assert_eq!(asked.len(), KINDS.len(), "{asked:?}");
        assert!(
            !asked.iter().any(|line| line.contains("private")),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn what_the_client_says_is_held_back_until_headscale_has_agreed() {
    let mut rig = Rig::start(Front::Plain, Extra::default());
    let mut client = rig.connect(Front::Plain).await;
    client.send(format!("{DERP}{LIKE_A_REQUEST}")).await;
    let mut peer = rig.upstream.upgrade().await;
    client.send(LIKE_A_REQUEST).await;
    peer.wire
        .send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 403 "));
    assert_eq!(client.rest().await, b"no");
    // Whatever came behind the head reached nobody.
    let heard = peer.wire.try_rest().await.unwrap_or_default();
    assert_eq!(String::from_utf8(heard).unwrap(), "");
    assert_eq!(rig.upstream.asked(), ["GET /derp HTTP/1.1"]);
}

#[tokio::test]
async fn an_interim_answer_is_waited_past() {
    let mut rig = Rig::start(Front::Plain, Extra::default());
    let mut client = rig.connect(Front::Plain).await;
    client.send(DERP).await;
    let mut peer = rig.upstream.upgrade().await;
    peer.wire
        .send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        .await;
    peer.switch("").await;
    assert_eq!(client.head().await, switching("DERP"));
}

#[tokio::test]
async fn nothing_that_says_who_somebody_is_reaches_headscale() {
    let mut rig = Rig::start(Front::Plain, Extra::default());
    let mut client = rig.connect(Front::Plain).await;
    let claims = "Derp-Fast-Start: 1\r\nCookie: headwarden=1; other=2\r\nAuthorization: Bearer key\r\n\
        Remote-User: root\r\nX-Forwarded-User: root\r\nX_Forwarded_User: root\r\n\
        X-Forwarded-For: 203.0.113.66\r\nX-Real-IP: 203.0.113.66\r\nTrue-Client-IP: 203.0.113.66\r\n\
        Forwarded: for=203.0.113.66\r\nX-Headwarden-Assertion: root\r\nX-Authentik-Username: root\r\n\
        Proxy-Authorization: Basic eA==\r\nX-Hop: 1\r\nX-Tailscale-Handshake: AQID\r\n";
    let asked = DERP
        .replace("Connection: Upgrade", "Connection: Upgrade, X-Hop")
        .replace("\r\n\r\n", &format!("\r\n{claims}\r\n"));
    client.send(asked).await;
    let peer = rig.upstream.upgrade().await;
    let head = peer.head.to_ascii_lowercase();
    for gone in [
        "derp-fast-start",
        "cookie",
        "authorization",
        "root",
        "203.0.113",
        "x-hop",
    ] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    let sent = |name| value(&peer.head, name).unwrap_or_default();
    assert_eq!(sent("x-tailscale-handshake"), "AQID");
    for name in ["x-forwarded-for", "x-real-ip", "true-client-ip"] {
        assert_eq!(sent(name), "127.0.0.1", "{name}");
    }
    assert_eq!(sent("x-forwarded-proto"), "http");
    assert_eq!(sent("host"), rig.house.plan.public.to_string());
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is() {
    let extra = Extra {
        top: "trusted_proxies: [127.0.0.0/8]\n",
        ..Extra::default()
    };
    let mut rig = Rig::start(Front::Plain, extra);
    let mut client = rig.connect(Front::Plain).await;
    let forwarded = "\r\nX-Forwarded-For: 198.51.100.1, 203.0.113.66\r\n\r\n";
    client.send(DERP.replace("\r\n\r\n", forwarded)).await;
    let peer = rig.upstream.upgrade().await;
    let sent = value(&peer.head, "x-forwarded-for");
    assert_eq!(sent.as_deref(), Some("203.0.113.66"));
}

#[tokio::test]
async fn an_upgrade_on_a_used_connection_is_the_same() {
    for (front, behind) in PAIRINGS {
        let mut rig = Rig::start(behind, Extra::default());
        let mut client = rig.connect(front).await;
        for _ in 0..3 {
            client
                .send("GET /key?v=1 HTTP/1.1\r\nHost: derp\r\n\r\n")
                .await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let length = value(&head, "content-length").unwrap().parse().unwrap();
            client.exact(length).await;
        }
        client.send(format!("{DERP}{LIKE_A_REQUEST}")).await;
        let mut peer = rig.upstream.upgrade().await;
        peer.switch("hello").await;
        assert_eq!(
            client.head().await,
            switching("DERP"),
            "{front:?} {behind:?}"
        );
        assert_eq!(client.exact(5).await, b"hello");
        let heard = peer.wire.exact(LIKE_A_REQUEST.len()).await;
        assert_eq!(heard, LIKE_A_REQUEST.as_bytes());
    }
}

#[tokio::test]
async fn a_foreign_host_passes_and_headscale_hears_the_public_name() {
    let mut rig = Rig::start(Front::Plain, Extra::default());
    let mut client = rig.connect(Front::Plain).await;
    let foreign = "\r\nHost: 192.0.2.7:8443\r\n";
    client
        .send(DERP.replace("\r\nHost: derp\r\n", foreign))
        .await;
    let mut peer = rig.upstream.upgrade().await;
    let host = value(&peer.head, "host");
    assert_eq!(host, Some(rig.house.plan.public.to_string()));
    peer.switch("").await;
    assert_eq!(client.head().await, switching("DERP"));
}

#[tokio::test]
async fn a_tls_client_without_alpn_and_one_with_tls_1_2_get_their_tunnel() {
    let mut rig = Rig::start(Front::Plain, Extra::default());
    let old = {
        let mut config = ClientConfig::clone(&rig.authority.client(&[]));
        let provider = Arc::clone(config.crypto_provider());
        let mut roots = rustls::RootCertStore::empty();
        let pem = rig.authority.pem();
        let root = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes());
        roots.add(root.unwrap()).unwrap();
        config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    };
    for config in [rig.authority.client(&[]), old] {
        let mut client = Wire::connect_tls(rig.tls(), config).await;
        client.send(DERP).await;
        let mut peer = rig.upstream.upgrade().await;
        peer.switch("hello").await;
        assert_eq!(client.head().await, switching("DERP"));
        assert_eq!(client.exact(5).await, b"hello");
        client.send("a question").await;
        client.finish().await;
        assert_eq!(peer.wire.rest().await, b"a question");
    }
}
