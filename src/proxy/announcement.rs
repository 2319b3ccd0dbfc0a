//! The first bytes of a connection from a load balancer that speaks the PROXY protocol: read with a
//! deadline, before TLS, and not one byte further. What they mean is `domain::proxy_header`'s business.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::domain::proxy_header::{self, Announced, HeaderError, LONGEST_TEXT, Wanted};
use crate::ops::metrics::ProxyHeader;

/// Headers are shorter than this, almost always.
const USUAL: usize = 128;

/// Why a connection that must begin with a header is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Unannounced {
    /// It comes from nobody whose word counts.
    #[error("it does not come from trusted_proxies")]
    Untrusted,
    /// The header did not arrive in time.
    #[error("no whole PROXY header in time")]
    Slow,
    /// The header cannot be used.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The connection ended or broke; nobody's fault that could be told.
    #[error("the connection ended")]
    Gone(#[from] io::Error),
}

impl Unannounced {
    /// What is counted; nothing where nobody is at fault.
    pub const fn label(&self) -> Option<ProxyHeader> {
        match self {
            Self::Untrusted => Some(ProxyHeader::Untrusted),
            Self::Slow => Some(ProxyHeader::Slow),
            Self::Header(_) => Some(ProxyHeader::Malformed),
            Self::Gone(_) => None,
        }
    }
}

/// Takes the header off `tcp`; what follows it is still there.
///
/// # Errors
/// [`Unannounced`].
pub async fn take_off(tcp: &mut TcpStream, patience: Duration) -> Result<Announced, Unannounced> {
    let read = tokio::time::timeout(patience, read(tcp)).await;
    let header = read.map_err(|_| Unannounced::Slow)??;
    Ok(proxy_header::parse(&header)?)
}

/// A whole header, as `domain::proxy_header` bounds it.
async fn read(tcp: &mut TcpStream) -> Result<Vec<u8>, Unannounced> {
    let mut header = Vec::with_capacity(USUAL);
    loop {
        let count = match proxy_header::wanted(&header)? {
            Wanted::Nothing => return Ok(header),
            Wanted::Bytes(count) => count,
            Wanted::Line(most) => up_to_line_feed(tcp, most).await?,
        };
        let mut part = (&mut *tcp).take(count as u64);
        if part.read_buf(&mut header).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// How many of the bytes that are there may be taken, of at most `most`.
async fn up_to_line_feed(tcp: &TcpStream, most: usize) -> io::Result<usize> {
    let mut ahead = [0; LONGEST_TEXT];
    let there = tcp.peek(&mut ahead).await?;
    let ahead = ahead.get(..there.min(most)).unwrap_or_default();
    let end = ahead.iter().position(|byte| *byte == b'\n');
    // None are there at the end of the connection; reading says so.
    Ok(end.map_or(ahead.len().max(1), |end| end + 1))
}
