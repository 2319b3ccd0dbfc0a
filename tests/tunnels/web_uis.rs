//! WebSockets of web UIs: behind a session, an access rule and our own origin, and through pingora.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::many::TWO_WORKERS;
use crate::support::certified_provider::MEMBER;
use crate::support::house::More;
use crate::support::jar::Sending;
use crate::support::person::Person;
use crate::support::tailnet::Tailnet;
use crate::upstream::{Upstream, value};
use crate::wire::Wire;

/// Enough to lose eight of, were three in a thousand lost.
const UPGRADES: usize = 3_000;
const AT_ONCE: usize = 64;

/// A tailnet with a web UI at `/ui/`, and the `Cookie` of somebody who may use it.
struct Ui {
    tailnet: Tailnet,
    upstream: Upstream,
    cookie: String,
}

impl Ui {
    async fn start() -> Self {
        let upstream = Upstream::echo(None).await;
        let url = format!("http://{}", upstream.address);
        let top =
            format!("{TWO_WORKERS}access:\n  - {{ path: \"/ui/**\", upstream: \"{url}\" }}\n");
        let top: &'static str = top.leak();
        // Here, and not on a thread of the runtime's: the house ends with the thread that started it.
        let (tailnet, cookie) = tokio::task::block_in_place(move || {
            let tailnet = Tailnet::start_with("v0.29.2", |_| More {
                top,
                ..More::default()
            });
            let mut person = Person::new();
            let page = tailnet.sign_in(&mut person, "/ui/", MEMBER);
            assert_eq!(page.status(), 200, "{}", page.text());
            let sending = Sending {
                same_site: true,
                safe_navigation: false,
            };
            let cookie = person.jar.header(&page.url, sending);
            (tailnet, cookie.expect("somebody signed in"))
        });
        Self {
            tailnet,
            upstream,
            cookie,
        }
    }

    fn address(&self) -> SocketAddr {
        self.tailnet.house.plan.public
    }

    fn upgrade(&self, lines: &str) -> String {
        let host = self.address();
        format!(
            "GET /ui/socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
        )
    }

    fn signed_in(&self) -> String {
        let (origin, cookie) = (self.tailnet.house.plan.origin(), &self.cookie);
        self.upgrade(&format!("Origin: {origin}\r\nCookie: {cookie}\r\n"))
    }

    /// The head of the answer to an upgrade.
    async fn answer(&self, request: String) -> String {
        let mut client = Wire::connect(self.address()).await;
        client.send(request).await;
        client.head().await
    }

    fn sockets(&self) -> usize {
        let asked = self.upstream.asked();
        let sockets = asked.iter().filter(|line| line.contains("/ui/socket"));
        sockets.count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_needs_a_session_and_our_own_origin() {
    let ui = Ui::start().await;
    let (origin, cookie) = (ui.tailnet.house.plan.origin(), ui.cookie.clone());

    let nobody = ui
        .answer(ui.upgrade(&format!("Origin: {origin}\r\n")))
        .await;
    assert!(nobody.starts_with("HTTP/1.1 401 "), "{nobody}");
    assert_eq!(value(&nobody, "upgrade"), None);
    for foreign in ["https://elsewhere.example", "null", "http://127.0.0.1"] {
        let lines = format!("Origin: {foreign}\r\nCookie: {cookie}\r\n");
        let head = ui.answer(ui.upgrade(&lines)).await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{foreign}: {head}");
    }
    let twice = format!("Origin: {origin}\r\nOrigin: {origin}\r\nCookie: {cookie}\r\n");
    let head = ui.answer(ui.upgrade(&twice)).await;
    assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    assert_eq!(ui.sockets(), 0, "nothing of it reached the web UI");

    let mut client = Wire::connect(ui.address()).await;
    client.send(ui.signed_in()).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(value(&head, "upgrade").as_deref(), Some("websocket"));
    for word in ["one", "two", "three"] {
        client.send(word).await;
        assert_eq!(client.exact(word.len()).await, word.as_bytes());
    }
    assert_eq!(ui.sockets(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_websocket_of_a_web_ui_is_torn_down_after_its_101() {
    let ui = Ui::start().await;
    let (address, request) = (ui.address(), ui.signed_in());
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut sockets = JoinSet::new();
    for index in 0..UPGRADES {
        let (places, request) = (Arc::clone(&places), request.clone());
        sockets.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let mut client = Wire::connect(address).await;
            client.send(request).await;
            let head = client.try_head().await.unwrap_or_default();
            let word = format!("socket {index:05}");
            // What is lost is lost at once: an upgrade that ended does not take this any more.
            let sent = client.try_send(word.as_bytes()).await.is_ok();
            let heard = client.try_exact(word.len()).await;
            let echoed = sent && heard.is_ok_and(|heard| heard == word.as_bytes());
            (head.starts_with("HTTP/1.1 101 "), echoed)
        });
    }
    let (mut opened, mut lost) = (0, 0);
    while let Some(socket) = sockets.join_next().await {
        let (switched, echoed) = socket.unwrap();
        opened += usize::from(switched);
        lost += usize::from(switched && !echoed);
    }
    println!("{opened} of {UPGRADES} upgraded, {lost} torn down");
    assert_eq!((opened, lost), (UPGRADES, 0));
}
