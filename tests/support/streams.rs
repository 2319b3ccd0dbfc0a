//! A web UI (or a Headscale) whose answers do not end by themselves, told by the last segment of the
//! path. It says when each of its connections has ended.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::raw::PATIENCE;

/// What a download promises.
pub(crate) const PROMISED: usize = 1 << 30;
/// The first event of a stream.
pub(crate) const EVENT: &[u8] = b"data: hello\n\n";
/// The time between two events of the one that chats.
const TICK: Duration = Duration::from_millis(5);

/// A running one; it ends with the test's process.
pub(crate) struct Streams {
    pub(crate) address: SocketAddr,
    begun: Receiver<String>,
    ended: Receiver<String>,
}

impl Streams {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (begins, begun) = channel();
        let (ends, ended) = channel();
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let (begins, ends) = (begins.clone(), ends.clone());
                std::thread::spawn(move || serve(tcp, &begins, &ends));
            }
        });
        Self {
            address,
            begun,
            ended,
        }
    }

    /// The path of the next request that does not end by itself, as soon as it is there.
    pub(crate) fn begun(&self) -> String {
        self.begun.recv_timeout(PATIENCE).expect("a stream begins")
    }

    /// The path of the next one whose connection has ended.
    pub(crate) fn ended(&self) -> String {
        self.ended.recv_timeout(PATIENCE).expect("a stream ends")
    }

    /// Whether no other has ended.
    pub(crate) fn all_others_go_on(&self) -> bool {
        self.ended.try_recv().is_err()
    }
}

fn serve(mut tcp: TcpStream, begins: &Sender<String>, ends: &Sender<String>) {
    let _ = tcp.set_nodelay(true);
    while let Some(head) = head(&mut tcp) {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer: &[u8] = match path.rsplit('/').next().unwrap_or_default() {
            "silent" | "chatty" => {
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                  Transfer-Encoding: chunked\r\n\r\nd\r\ndata: hello\n\n\r\n"
            }
            "download" => b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n",
            "until-end" => b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: hello\n\n",
            "socket" => {
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                  Upgrade: websocket\r\n\r\n"
            }
            "derp" => {
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n"
            }
            "poll" | "upload" => b"",
            _ => {
                let whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                              Content-Length: 21\r\n\r\n{\"version\":\"v0.29.2\"}";
                if tcp.write_all(whole).is_err() {
                    return;
                }
                continue;
            }
        };
        let _ = tcp.write_all(answer);
        let _ = begins.send(path.clone());
        go_on(&mut tcp, &path);
        let _ = ends.send(path);
        return;
    }
}

/// Until the other side is gone.
fn go_on(tcp: &mut TcpStream, path: &str) {
    let mut bytes = vec![b'x'; 64 * 1024];
    if path.ends_with("/chatty") {
        let _ = tcp.set_read_timeout(Some(TICK));
    }
    loop {
        if path.ends_with("/download") {
            if tcp.write_all(&bytes).is_err() {
                return;
            }
            continue;
        }
        match tcp.read(&mut bytes) {
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if tcp.write_all(b"6\r\ndata: \r\n").is_err() {
                    return;
                }
            }
            Ok(0) | Err(_) => return,
            Ok(read) if path.ends_with("/socket") || path == "/derp" => {
                if tcp.write_all(&bytes[..read]).is_err() {
                    return;
                }
            }
            Ok(_) => {}
        }
    }
}

fn head(tcp: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if tcp.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}
