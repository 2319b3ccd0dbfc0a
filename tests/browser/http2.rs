//! What a browser makes of HTTP/2: it chooses it for pages, and opens WebSockets over HTTP/1.1 beside it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use serde_json::json;

use crate::scene::{HOST, Scene};
use crate::support::browser::Browser;
use crate::support::certified_provider::MEMBER;
use crate::support::house::More;

const PAGE: &str = "<!doctype html><title>Console</title>";
/// RFC 6455 section 1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The protocols that the page and a script's own request came by, and what a WebSocket sent back.
const SCRIPT: &str = "(async () => {\
    await (await fetch('/ui/data')).text();\
    const by = (kind) => performance.getEntriesByType(kind).at(-1).nextHopProtocol;\
    const heard = await new Promise((resolve) => {\
        const socket = new WebSocket(`wss://${location.host}/ui/socket`);\
        socket.onopen = () => socket.send('through the house');\
        socket.onmessage = (message) => resolve(message.data);\
        socket.onclose = (event) => resolve(`closed: ${event.code}`);\
    });\
    return [by('navigation'), by('resource'), heard];\
})()";

/// A web UI: a WebSocket for whoever asks for one as over HTTP/1.1, and otherwise a page.
fn web_ui() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || drop(serve(tcp)));
        }
    });
    address
}

fn serve(tcp: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(tcp);
    let (mut line, mut key) = (String::new(), None);
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("sec-websocket-key")
        {
            key = Some(value.trim().to_owned());
        }
        line.clear();
    }
    let Some(key) = key else {
        let length = PAGE.len();
        return write!(
            reader.get_mut(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{PAGE}"
        );
    };
    let sum = digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}{MAGIC}").as_bytes(),
    );
    write!(
        reader.get_mut(),
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(sum)
    )?;
    echo(&mut reader)
}

/// Short messages go back, until the browser is gone (RFC 6455 section 5.2).
fn echo(reader: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    loop {
        let (mut head, mut mask) = ([0; 2], [0; 4]);
        reader.read_exact(&mut head)?;
        reader.read_exact(&mut mask)?;
        let mut payload = vec![0; usize::from(head[1] & 0x7f)];
        reader.read_exact(&mut payload)?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        let length = head[1] & 0x7f;
        reader.get_mut().write_all(&[head[0], length])?;
        reader.get_mut().write_all(&payload)?;
    }
}

/// A browser sends the key that this web UI waits for over HTTP/1.1 alone (RFC 8441 section 5).
#[test]
fn a_page_comes_by_http_2_and_its_websocket_by_http_1_1() {
    let top = format!(
        "access:\n  - {{ path: \"/ui/**\", upstream: \"http://{}\" }}\n",
        web_ui()
    );
    let scene = Scene::start_with(
        "v0.29.2",
        More {
            top: top.leak(),
            ..More::default()
        },
    );
    let settings = json!({ "hosts": { HOST: "127.0.0.1" }, "trust_any_certificate": true });
    let mut browser = Browser::start_with(&settings);
    let form = browser.open(&scene.url("/ui/"));
    scene.is_asked_by_the_provider(&form);
    browser.sign_in(MEMBER);
    // Once more, without the way by the provider.
    let page = browser.open(&scene.url("/ui/"));
    assert_eq!((&*page.title, page.status), ("Console", 200), "{page:?}");
    let seen = browser.evaluate(SCRIPT);
    assert_eq!(seen, json!(["h2", "h2", "through the house"]));
}
