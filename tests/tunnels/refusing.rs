//! Upgrades that open nothing: each has its answer, and its connection ends.

use crate::rig::{DERP, Extra, Front, KINDS, NO_LIMITS, PAIRINGS, Rig, house, request};
use crate::support::house::free_addresses;
use crate::support::tls::Authority;
use crate::upstream::value;
use crate::wire::Wire;

#[tokio::test]
async fn an_answer_other_than_101_is_passed_on_whole_and_opens_nothing() {
    let answers = [
        (
            "403 Forbidden",
            "Content-Length: 12\r\n",
            "not for you\n",
            "not for you\n",
        ),
        (
            "403 Forbidden",
            "Transfer-Encoding: chunked\r\n",
            "4\r\nnot \r\n8\r\nfor you\n\r\n0\r\n\r\n",
            "4\r\nnot \r\n8\r\nfor you\n\r\n0\r\n\r\n",
        ),
        (
            "500 Internal Server Error",
            "",
            "until the end",
            "until the end",
        ),
        (
            "426 Upgrade Required",
            "Upgrade: websocket\r\nContent-Length: 0\r\n",
            "",
            "",
        ),
        (
            "200 OK",
            "Content-Length: 2\r\n",
            "ok and what is not part of it",
            "ok",
        ),
        ("204 No Content", "", "", ""),
    ];
    for (front, behind) in PAIRINGS {
        let mut rig = Rig::start(behind, Extra::default());
        for (status, fields, body, expected) in answers {
            let what = format!("{status} with {fields:?} over {front:?} to {behind:?}");
            let mut client = rig.connect(front).await;
            client.send(request(KINDS[0])).await;
            let mut peer = rig.upstream.upgrade().await;
            let answer = format!(
                "HTTP/1.1 {status}\r\n{fields}Set-Cookie: a=b\r\nX-Reason: why\r\n\
                 Connection: keep-alive\r\n\r\n{body}"
            );
            peer.wire.send(answer).await;
            if fields.is_empty() {
                peer.wire.finish().await;
            }
            let head = client.head().await;
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{what}: {head}"
            );
            assert_eq!(
                value(&head, "connection").as_deref(),
                Some("close"),
                "{what}"
            );
            assert_eq!(value(&head, "x-reason").as_deref(), Some("why"), "{what}");
            assert_eq!(value(&head, "set-cookie"), None, "{what}");
            let rest = String::from_utf8(client.rest().await).unwrap();
            assert_eq!(rest, expected, "{what}");
            // Nothing that the client says now goes anywhere.
            let _ = client.try_send(b"GET /private HTTP/1.1\r\n\r\n").await;
            let heard = peer.wire.try_rest().await.unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&heard), "", "{what}");
        }
    }
}

#[tokio::test]
async fn a_101_that_switches_to_something_else_is_a_bad_gateway() {
    let mut rig = Rig::start(Front::Plain, Extra::default());
    for fields in [
        "",
        "Upgrade: h2c\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: DERP, websocket\r\n",
        "Upgrade: DERP\r\nUpgrade: DERP\r\n",
    ] {
        let mut client = rig.connect(Front::Plain).await;
        client.send(DERP).await;
        let mut peer = rig.upstream.upgrade().await;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{fields}\r\nsecret"
        );
        peer.wire.send(answer).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{fields:?}: {head}");
        let body = String::from_utf8(client.rest().await).unwrap();
        assert!(!body.contains("secret"), "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_or_none_at_all_is_a_bad_gateway() {
    let mut rig = Rig::start(Front::Plain, Extra::default());
    for answer in ["", "\x02\x00\x30raw derp without a status line\r\n\r\n"] {
        let mut client = rig.connect(Front::Plain).await;
        client.send(DERP).await;
        let mut peer = rig.upstream.upgrade().await;
        peer.wire.send(answer).await;
        peer.wire.finish().await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{answer:?}: {head}");
        client.rest().await;
    }
}

#[tokio::test]
async fn a_headscale_that_is_down_is_a_bad_gateway() {
    let [nobody] = free_addresses();
    let authority = Authority::new();
    let (house, _) = house(
        &format!("http://{nobody}"),
        &authority,
        false,
        Extra::default(),
    );
    let mut client = Wire::connect(house.plan.public).await;
    client.send(DERP).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    let text = String::from_utf8(client.rest().await).unwrap();
    assert!(text.contains("request "), "an id to look for: {text}");
    assert!(!text.contains(&nobody.to_string()), "{text}");
}

#[tokio::test]
async fn a_headscale_whose_certificate_is_not_trusted_is_a_bad_gateway() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let upstream = crate::upstream::Upstream::start(Some(&theirs));
    let url = format!("https://localhost:{}", upstream.address.port());
    let (house, _) = house(&url, &ours, true, Extra::default());
    let mut client = Wire::connect(house.plan.public).await;
    client.send(DERP).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert_eq!(upstream.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_headscale_that_hangs_is_a_gateway_timeout() {
    let extra = Extra {
        headscale: "  response_timeout: 1s\n",
        ..Extra::default()
    };
    let mut rig = Rig::start(Front::Plain, extra);
    let mut client = rig.connect(Front::Plain).await;
    client.send(DERP).await;
    let mut peer = rig.upstream.upgrade().await;
    peer.wire.send("HTTP/1.1 101 Swi").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    client.rest().await;
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_refused_before_headscale_hears_of_it() {
    let rig = Rig::start(Front::Plain, Extra::default());
    for body in [
        "Content-Length: 4\r\n\r\nbody",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ] {
        let mut client = rig.connect(Front::Plain).await;
        let upgrade = "POST /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
            Upgrade: tailscale-control-protocol\r\n";
        client.send(format!("{upgrade}{body}")).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        client.rest().await;
    }
    assert_eq!(rig.upstream.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn one_address_opens_only_so_many_tunnels_a_minute() {
    let extra = Extra {
        top: "limits: { tunnels_per_minute: 3 }\ntrusted_proxies: [127.0.0.0/8]\n",
        ..Extra::default()
    };
    let mut rig = Rig::start(Front::Plain, extra);
    let from = |client: &str| {
        DERP.replace(
            "\r\n\r\n",
            &format!("\r\nX-Forwarded-For: {client}\r\n\r\n"),
        )
    };
    for _ in 0..3 {
        let mut client = rig.connect(Front::Plain).await;
        client.send(from("203.0.113.1")).await;
        rig.upstream.upgrade().await.switch("").await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    }
    let mut client = rig.connect(Front::Plain).await;
    client.send(from("203.0.113.1")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    let wait = value(&head, "retry-after").and_then(|wait| wait.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (1..=20).contains(&wait)), "{head}");
    client.rest().await;

    let mut neighbour = rig.connect(Front::Plain).await;
    neighbour.send(from("203.0.113.2")).await;
    rig.upstream.upgrade().await.switch("").await;
    assert!(neighbour.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(rig.upstream.asked().len(), 4);
}

#[tokio::test]
async fn an_endless_refusal_does_not_keep_a_client_that_has_gone() {
    let mut rig = Rig::start(
        Front::Plain,
        Extra {
            top: NO_LIMITS,
            ..Extra::default()
        },
    );
    let mut client = rig.connect(Front::Plain).await;
    client.send(DERP).await;
    let mut peer = rig.upstream.upgrade().await;
    peer.wire.send("HTTP/1.1 200 OK\r\n\r\nthere is more").await;
    client.head().await;
    client.exact(13).await;
    drop(client);
    // The house finds out when it writes, and ends the other side too.
    let more = vec![b'x'; 64 * 1024];
    while peer.wire.try_send(&more).await.is_ok() {}
}
