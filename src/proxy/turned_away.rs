//! Connections that are not taken, because their address, or everybody together, has too many. One
//! write that does not wait, and a line in the log now and then: whoever floods us gets no more than
//! that out of us.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::announcement::Unannounced;
use super::plain;
use crate::domain::client_ip::limit_key;
use crate::ops::rate::{Asker, RateLimiter};

/// Lines in the log a minute, for each address.
const LINES: u32 = 1;
/// Addresses remembered for that.
const ADDRESSES: usize = 10_000;
/// Refused connections that are ended in good order at a time; others are just closed.
const FAREWELLS: usize = 64;

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Its address holds all the places it may have.
    Address,
    /// Everybody together holds all there are.
    House,
}

impl Full {
    /// The whole answer to whatever would have been asked.
    const fn answer(self) -> &'static [u8] {
        match self {
            Self::Address => {
                b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n\
                  Content-Length: 40\r\nCache-Control: no-store\r\nRetry-After: 10\r\n\
                  Connection: close\r\n\r\ntoo many connections from this address\r\n"
            }
            Self::House => {
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
                  Content-Length: 22\r\nCache-Control: no-store\r\nRetry-After: 10\r\n\
                  Connection: close\r\n\r\ntoo many connections\r\n"
            }
        }
    }
}

/// Turns connections away.
#[derive(Debug)]
pub struct TurnedAway {
    lines: RateLimiter,
    farewells: Arc<Semaphore>,
}

impl Default for TurnedAway {
    fn default() -> Self {
        Self {
            lines: RateLimiter::new(LINES, ADDRESSES),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
        }
    }
}

impl TurnedAway {
    /// A line about a connection from `peer` that is closed because it is not announced as its listener
    /// wants it. Nobody hears a word: whoever speaks HTTP there is none of our clients.
    pub fn unannounced(&self, peer: IpAddr, why: &Unannounced) {
        let counted_as = limit_key(peer);
        let line = self.lines.take(Asker::Client(counted_as), Instant::now());
        if line.is_ok() {
            tracing::warn!(
                peer = %counted_as, reason = %why,
                "closing connections to a listener with proxy_protocol: required"
            );
        }
    }

    /// Ends a connection from `client`. On plaintext with a sentence; behind TLS that would take a
    /// handshake, which is what there is no place for.
    pub fn turn_away(&self, mut tcp: TcpStream, client: IpAddr, full: Full, secure: bool) {
        let counted_as = match full {
            Full::Address => limit_key(client),
            Full::House => Ipv4Addr::UNSPECIFIED.into(),
        };
        let line = self.lines.take(Asker::Client(counted_as), Instant::now());
        if line.is_ok() {
            match full {
                Full::Address => tracing::warn!(
                    client = %counted_as,
                    "turning connections away: this address has limits.connections_per_address"
                ),
                Full::House => tracing::warn!("turning connections away: no place is left"),
            }
        }
        if secure {
            return;
        }
        // The buffer of a new socket takes it whole; if not, there is nobody to wait for.
        let _ = SockRef::from(&tcp).send(full.answer());
        if let Ok(farewell) = Arc::clone(&self.farewells).try_acquire_owned() {
            tokio::spawn(async move {
                plain::end(&mut tcp).await;
                drop(farewell);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_as_long_as_it_says() {
        for full in [Full::Address, Full::House] {
            let text = std::str::from_utf8(full.answer()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let length = format!("\r\nContent-Length: {}\r\n", body.len());
            assert!(head.contains(&length), "{text}");
            assert!(!text.contains("  "), "{text}");
        }
    }
}
