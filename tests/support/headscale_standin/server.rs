//! Sockets, heads and bodies of the stand-in.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use super::super::framing::{Fields, Framing, Inbox};
use super::super::raw::PATIENCE;
use super::{Script, Seen, Shared, routes, tunnel};

/// An answer, before it has a length.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        let fields = vec![("Content-Type", content_type.to_owned())];
        Self {
            status,
            fields,
            body: body.into(),
        }
    }

    pub(super) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(super) fn html(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn bytes(&self, method: &str) -> Vec<u8> {
        let reason = http::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Unknown");
        let mut lines = vec![format!("HTTP/1.1 {} {reason}", self.status)];
        lines.extend(
            self.fields
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        if self.status != 204 {
            lines.push(format!("Content-Length: {}", self.body.len()));
        }
        let mut head = lines.join("\r\n") + "\r\n\r\n";
        if method != "HEAD" {
            head.push_str(&self.body);
        }
        head.into_bytes()
    }
}

/// Accepts until told to stop; each connection gets a thread.
pub(super) fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        let mut state = shared.state();
        if state.stopped {
            return;
        }
        let Ok(socket) = socket else { continue };
        let Ok(copy) = socket.try_clone() else {
            continue;
        };
        state.sockets.push(copy);
        drop(state);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // What goes wrong on a socket is what the peer sees; there is nobody else to tell.
            drop(serve(socket, &shared));
        });
    }
}

fn serve(socket: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut writer = socket.try_clone()?;
    let mut inbox = Inbox::new(socket);
    let outcome = conversation(&mut inbox, &mut writer, shared);
    // The stand-in keeps a copy of the socket, so dropping ours would not close it.
    drop(writer.shutdown(std::net::Shutdown::Both));
    outcome
}

fn conversation(
    inbox: &mut Inbox<TcpStream>,
    writer: &mut TcpStream,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    while let Some(head) = inbox.head()? {
        let Some(seen) = request(inbox, head)? else {
            return writer.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        };
        // In one step: who has seen this request may know that its script is taken.
        let script = shared.change(|state| {
            state.seen.push(seen.clone());
            state.scripts.remove(seen.path())
        });
        match script {
            Some(Script::Gate(gate)) => drop(gate.recv_timeout(PATIENCE)),
            Some(Script::Close) => return Ok(()),
            Some(Script::Bytes(bytes)) => return writer.write_all(&bytes),
            Some(Script::Stream(chunks)) => {
                stream(writer, &chunks)?;
                continue;
            }
            None => {}
        }
        let opening = tunnel::opening(&seen, &shared.state().options);
        if let Some(opening) = opening {
            return tunnel::open(&opening, &seen, inbox, writer, shared);
        }
        writer.write_all(&routes::answer(&seen, shared).bytes(&seen.method))?;
        if seen
            .fields
            .value("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"))
        {
            return Ok(());
        }
    }
    Ok(())
}

fn request(inbox: &mut Inbox<TcpStream>, head: Vec<u8>) -> io::Result<Option<Seen>> {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Request::new(&mut fields);
    if parsed.parse(&head).is_err() {
        return Ok(None);
    }
    let method = parsed.method.unwrap_or_default().to_owned();
    let target = parsed.path.unwrap_or_default().to_owned();
    let fields = Fields::from_parsed(parsed.headers);
    let body = inbox.body(fields.framing(Framing::Length(0)))?;
    Ok(Some(Seen {
        head,
        method,
        target,
        fields,
        body,
    }))
}

fn stream(writer: &mut TcpStream, chunks: &std::sync::mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    writer.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
          Transfer-Encoding: chunked\r\n\r\n",
    )?;
    while let Ok(chunk) = chunks.recv_timeout(PATIENCE) {
        let size = format!("{:x}\r\n", chunk.len());
        writer.write_all(&[size.as_bytes(), chunk.as_slice(), b"\r\n"].concat())?;
    }
    writer.write_all(b"0\r\n\r\n")
}
