//! A web UI that does what it is told, and remembers what it heard.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Every answer has the status that was set last, and the port as its body. It switches protocols where
/// it is asked to; to `…/silent` it says nothing, and at `…/closes` it goes.
pub(super) struct Patient {
    pub(super) address: SocketAddr,
    status: Arc<AtomicU16>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Patient {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let status = Arc::new(AtomicU16::new(200));
        let heads = Arc::default();
        let (told, heard) = (Arc::clone(&status), Arc::clone(&heads));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (told, heard) = (Arc::clone(&told), Arc::clone(&heard));
                std::thread::spawn(move || serve(client, address.port(), &told, &heard));
            }
        });
        Self {
            address,
            status,
            heads,
        }
    }

    pub(super) fn say(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// What it says of itself.
    pub(super) fn port(&self) -> String {
        format!("{:05}", self.address.port())
    }

    /// The heads that it heard and that hold `text`.
    pub(super) fn heads(&self, text: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let with_it = heads.iter().filter(|head| head.contains(text));
        with_it.cloned().collect()
    }
}

/// The head of a request; `None` where the other side goes first.
pub(super) fn read_head(client: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1..) => head.extend(byte),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

fn serve(mut client: TcpStream, port: u16, status: &AtomicU16, heads: &Mutex<Vec<String>>) {
    let Some(head) = read_head(&mut client) else {
        return;
    };
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let upgrade = head.to_ascii_lowercase().contains("upgrade: websocket\r\n");
    heads
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(head);
    if target.ends_with("/closes") {
        return;
    }
    let status = status.load(Ordering::SeqCst);
    let answer = if target.ends_with("/silent") {
        String::new()
    } else if upgrade {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{port:05}"
        )
    } else {
        format!(
            "HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{port:05}"
        )
    };
    let _ = client.write_all(answer.as_bytes());
    // Until the other side has gone.
    let mut byte = [0];
    while let Ok(1..) = client.read(&mut byte) {}
}
