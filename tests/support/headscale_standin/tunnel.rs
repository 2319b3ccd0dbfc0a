//! Upgrades: `/ts2021` and `/derp`, natively and as WebSocket. After the 101 it is bytes both ways.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::super::framing::Inbox;
use super::super::raw::PATIENCE;
use super::{FIRST_BYTES, Options, Seen, Shared};

/// RFC 6455 section 1.3.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How the client's side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It finished sending.
    Finished,
    /// The connection broke.
    Broken,
}

/// One upgraded connection.
pub(crate) struct Tunnel {
    /// The request that opened it.
    pub(crate) request: Seen,
    socket: TcpStream,
    state: Mutex<TunnelState>,
    changed: Condvar,
}

#[derive(Default)]
struct TunnelState {
    received: Vec<u8>,
    end: Option<End>,
    closed: bool,
}

impl Tunnel {
    fn state(&self) -> MutexGuard<'_, TunnelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut TunnelState)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait(
        &self,
        what: &str,
        ready: impl Fn(&TunnelState) -> bool,
    ) -> MutexGuard<'_, TunnelState> {
        let (state, timeout) = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| !ready(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "no {what}; got {:?}", state.received);
        state
    }

    /// What the client has sent so far.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.state().received.clone()
    }

    /// Waits for so many bytes in all, and returns everything.
    pub(crate) fn wait_for_bytes(&self, length: usize) -> Vec<u8> {
        self.wait("bytes", |state| state.received.len() >= length)
            .received
            .clone()
    }

    /// Waits for the client's end.
    pub(crate) fn wait_for_end(&self) -> End {
        let state = self.wait("end", |state| state.end.is_some());
        state.end.unwrap_or(End::Broken)
    }

    /// Sends bytes of the server's own.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.socket).write_all(bytes)
    }

    /// Finishes sending; what the client still sends is taken, and no longer echoed.
    pub(crate) fn finish_sending(&self) -> io::Result<()> {
        self.state().closed = true;
        self.socket.shutdown(Shutdown::Write)
    }

    /// Cuts the connection.
    pub(crate) fn cut(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Both)
    }
}

/// What an upgrade is answered with, first bytes included; `None` if this is not one that succeeds
/// or the request is none.
pub(super) fn opening(seen: &Seen, options: &Options) -> Option<Vec<u8>> {
    let token = seen.fields.value("upgrade")?.to_ascii_lowercase();
    let opening = match (seen.method.as_str(), seen.path(), token.as_str()) {
        ("POST", "/ts2021", "tailscale-control-protocol") => {
            seen.fields.value("x-tailscale-handshake")?;
            switching("tailscale-control-protocol", "upgrade", &[])
        }
        ("GET", "/ts2021", "websocket") if !refuses_control_websocket(&options.version) => {
            websocket(seen, "tailscale-control-protocol")?
        }
        // The fast start leaves out the HTTP answer altogether.
        (_, "/derp", "derp") if seen.fields.value("derp-fast-start") == Some("1") => Vec::new(),
        (_, "/derp", "derp") => switching("DERP", "Upgrade", &[]),
        (_, "/derp", "websocket") => websocket(seen, "derp")?,
        _ => return None,
    };
    Some(
        options
            .upgrade_answer
            .clone()
            .unwrap_or_else(|| [&opening, FIRST_BYTES].concat()),
    )
}

/// 0.29.0 and 0.29.1 answered 405.
pub(super) fn refuses_control_websocket(version: &str) -> bool {
    matches!(version.trim_start_matches('v'), "0.29.0" | "0.29.1")
}

fn switching(token: &str, connection: &str, more: &[String]) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {token}\r\nConnection: {connection}\r\n"
    );
    for line in more {
        head.push_str(line);
        head.push_str("\r\n");
    }
    (head + "\r\n").into_bytes()
}

fn websocket(seen: &Seen, protocol: &str) -> Option<Vec<u8>> {
    let key = seen.fields.value("sec-websocket-key")?;
    let offered = seen.fields.value("sec-websocket-protocol")?;
    offered.split(',').find(|offer| offer.trim() == protocol)?;
    let keyed = format!("{key}{WEBSOCKET_GUID}");
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, keyed.as_bytes());
    let accept = format!("Sec-WebSocket-Accept: {}", STANDARD.encode(hash));
    Some(switching(
        "websocket",
        "Upgrade",
        &[accept, format!("Sec-WebSocket-Protocol: {protocol}")],
    ))
}

/// Answers the upgrade and carries bytes until both sides are done.
pub(super) fn open(
    opening: &[u8],
    seen: &Seen,
    inbox: &mut Inbox<TcpStream>,
    writer: &mut TcpStream,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let (refused, echo, farewell) = {
        let options = &shared.state().options;
        (
            options.upgrade_answer.is_some(),
            options.echo,
            options.farewell.clone(),
        )
    };
    if refused {
        return writer.write_all(opening);
    }
    let tunnel = Arc::new(Tunnel {
        request: seen.clone(),
        socket: writer.try_clone()?,
        state: Mutex::default(),
        changed: Condvar::new(),
    });
    writer.write_all(opening)?;
    shared.change(|state| state.tunnels.push(Arc::clone(&tunnel)));
    let end = carry(&tunnel, inbox, echo);
    tunnel.change(|state| state.end = Some(end));
    if end == End::Finished && !tunnel.state().closed {
        writer.write_all(&farewell)?;
    }
    Ok(())
}

fn carry(tunnel: &Tunnel, inbox: &mut Inbox<TcpStream>, echo: bool) -> End {
    loop {
        let Ok(bytes) = inbox.some() else {
            return End::Broken;
        };
        if bytes.is_empty() {
            return End::Finished;
        }
        tunnel.change(|state| state.received.extend_from_slice(&bytes));
        if echo && !tunnel.state().closed && tunnel.send(&bytes).is_err() {
            return End::Broken;
        }
    }
}
