//! An upstream that keeps every byte it gets, in the order it came, and answers as it is told.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::support::framing::{Fields, Framing, Inbox};
use crate::support::raw::PATIENCE;

/// What it says where nothing else was told.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// A whole request, body included.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The request line.
    pub(crate) line: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct Kept {
    /// Everything that came, by connection.
    bytes: Vec<Vec<u8>>,
    /// Whole requests, as this upstream reads them.
    asked: Vec<Asked>,
    answers: BTreeMap<String, Vec<u8>>,
    sockets: Vec<TcpStream>,
    ended: usize,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    kept: Mutex<Kept>,
    changed: Condvar,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running witness; its connections end when it is dropped.
pub(crate) struct Witness {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Witness {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &serving));
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on `path` (without query) is answered with these bytes, whatever they are.
    pub(crate) fn answer(&self, path: &str, bytes: &[u8]) {
        let mut kept = self.shared.kept();
        kept.answers.insert(path.to_owned(), bytes.to_vec());
    }

    /// Every whole request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.kept().asked.clone()
    }

    /// Every byte so far, whole request or not.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shared.kept().bytes.concat()
    }

    /// Whether these bytes came, anywhere.
    pub(crate) fn heard(&self, text: &str) -> bool {
        let bytes = self.bytes();
        bytes
            .windows(text.len())
            .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    }

    /// Forgets what came until now.
    pub(crate) fn forget(&self) {
        let mut kept = self.shared.kept();
        kept.asked.clear();
        kept.bytes.iter_mut().for_each(Vec::clear);
    }

    /// Waits until `ready` holds of the bytes that came.
    pub(crate) fn wait_for(&self, what: &str, ready: impl Fn(&[u8]) -> bool) {
        let kept = self.shared.kept();
        let waiting = |kept: &mut Kept| !ready(&kept.bytes.concat());
        let (kept, timeout) = self
            .shared
            .changed
            .wait_timeout_while(kept, PATIENCE, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        let heard = String::from_utf8_lossy(&kept.bytes.concat()).into_owned();
        assert!(!timeout.timed_out(), "no {what}; got {heard}");
    }

    /// Waits until every connection so far has ended.
    pub(crate) fn wait_until_alone(&self) {
        let kept = self.shared.kept();
        let waiting = |kept: &mut Kept| kept.ended < kept.bytes.len();
        let (_kept, timeout) = self
            .shared
            .changed
            .wait_timeout_while(kept, PATIENCE, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "a connection to the upstream stays");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let mut kept = self.shared.kept();
        kept.stopped = true;
        for socket in kept.sockets.drain(..) {
            drop(socket.shutdown(Shutdown::Both));
        }
        drop(kept);
        // Wakes the accepting thread.
        drop(TcpStream::connect(self.address));
    }
}

/// Notes every byte that is read from a socket.
struct Noting {
    socket: TcpStream,
    shared: Arc<Shared>,
    index: usize,
}

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(buffer)?;
        let mut kept = self.shared.kept();
        if let Some(bytes) = kept.bytes.get_mut(self.index) {
            bytes.extend_from_slice(&buffer[..read]);
        }
        drop(kept);
        self.shared.changed.notify_all();
        Ok(read)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        let mut kept = shared.kept();
        if kept.stopped {
            return;
        }
        let Ok(socket) = socket else { continue };
        let Ok(copy) = socket.try_clone() else {
            continue;
        };
        kept.sockets.push(copy);
        kept.bytes.push(Vec::new());
        let index = kept.bytes.len() - 1;
        drop(kept);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // What goes wrong on a socket is what the peer sees.
            let noting = Noting {
                socket,
                shared: Arc::clone(&shared),
                index,
            };
            drop(converse(noting, &shared));
            shared.kept().ended += 1;
            shared.changed.notify_all();
        });
    }
}

fn converse(noting: Noting, shared: &Arc<Shared>) -> io::Result<()> {
    let mut writer = noting.socket.try_clone()?;
    let mut inbox = Inbox::new(noting);
    let outcome = requests(&mut inbox, &mut writer, shared);
    drop(writer.shutdown(Shutdown::Both));
    outcome
}

fn requests(
    inbox: &mut Inbox<Noting>,
    writer: &mut TcpStream,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    while let Some(head) = inbox.head()? {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut parsed = httparse::Request::new(&mut fields);
        parsed.parse(&head).map_err(io::Error::other)?;
        let target = parsed.path.unwrap_or_default().to_owned();
        let line = format!("{} {target}", parsed.method.unwrap_or_default());
        let fields = Fields::from_parsed(parsed.headers);
        let body = inbox.body(fields.framing(Framing::Length(0)))?;
        let path = target.split('?').next().unwrap_or_default();
        let mut kept = shared.kept();
        kept.asked.push(Asked { line, fields, body });
        let answer = kept.answers.get(path).cloned();
        drop(kept);
        shared.changed.notify_all();
        let answer = answer.unwrap_or_else(|| OK.to_vec());
        writer.write_all(&answer)?;
        if answer.starts_with(b"HTTP/1.1 101 ") {
            inbox.until_end()?;
            return Ok(());
        }
    }
    Ok(())
}
