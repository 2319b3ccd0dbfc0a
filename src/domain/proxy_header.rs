//! The PROXY protocol, versions 1 and 2: what a load balancer says of a connection, before the first byte
//! of its client. How much of it is still to come, and what it means; the bytes come from `proxy`.
//!
//! The parser behind this one is lenient here and there. What two readers of a header could read
//! differently is refused: signs before ports, control characters, bytes behind the end. A checksum that
//! is there must be right.

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

/// The longest header of version 1, in bytes, with its line end.
pub const LONGEST_TEXT: usize = 107;
/// The longest header of version 2 that we take: room for what balancers say of a client's certificate.
pub const LONGEST_BINARY: usize = 4096;

/// How a header of version 1 begins.
const TEXT: &[u8] = b"PROXY ";
/// `PROXY UNKNOWN` and a line end: no header is shorter, of either version.
const SHORTEST: usize = 15;
/// Version 2 up to the length of the rest.
const FIXED: usize = 16;
/// What a value is preceded by: its kind and its length.
const VALUE_HEAD: usize = 3;
/// The client's connection was over TLS (`PP2_CLIENT_SSL`).
const OVER_TLS: u8 = 1;

/// What a load balancer says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Where the connection comes from; an IPv4 address mapped into IPv6 is the IPv4 address. `None` when
    /// the balancer speaks for itself (`LOCAL`: a health check), or does not know (`UNKNOWN`, a Unix
    /// socket).
    pub source: Option<SocketAddr>,
    /// There is a client behind the balancer, which does not know its address: what that client says of
    /// itself is not the balancer's word.
    pub nameless: bool,
    /// The balancer says that it took the client's TLS off (version 2 only).
    pub over_tls: bool,
}

/// Nothing was said that counts.
const NOTHING: Announced = Announced {
    source: None,
    nameless: false,
    over_tls: false,
};

/// How much of a header is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// So many bytes belong to it, whatever they are; more may follow.
    Bytes(usize),
    /// It goes on up to the next line feed, for at most so many bytes.
    Line(usize),
    /// Nothing: it is whole.
    Nothing,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The connection begins with something else.
    #[error("no PROXY header")]
    Absent,
    /// Longer than any we take.
    #[error("the PROXY header is too long")]
    TooLong,
    /// It is not what the protocol says.
    #[error("the PROXY header is malformed: {0}")]
    Malformed(&'static str),
    /// It was changed on the way.
    #[error("the checksum of the PROXY header is wrong")]
    Checksum,
}

/// What of a header is to be read, after `read`.
///
/// # Errors
/// [`HeaderError`], as soon as what was read cannot become a header.
pub fn wanted(read: &[u8]) -> Result<Wanted, HeaderError> {
    let begins = |with: &[u8]| read.iter().zip(with).all(|(a, b)| a == b);
    if begins(v2::PROTOCOL_PREFIX) && !read.is_empty() {
        return wanted_of_binary(read);
    }
    if !begins(TEXT) {
        return Err(HeaderError::Absent);
    }
    match read.iter().position(|byte| *byte == b'\n') {
        Some(at) if at >= LONGEST_TEXT => Err(HeaderError::TooLong),
        Some(at) if at + 1 == read.len() => Ok(Wanted::Nothing),
        Some(_) => Err(HeaderError::Malformed("it ends too early")),
        None if read.len() >= LONGEST_TEXT => Err(HeaderError::TooLong),
        None if read.len() < SHORTEST => Ok(Wanted::Bytes(SHORTEST - read.len())),
        None => Ok(Wanted::Line(LONGEST_TEXT - read.len())),
    }
}

fn wanted_of_binary(read: &[u8]) -> Result<Wanted, HeaderError> {
    let (Some(high), Some(low)) = (read.get(FIXED - 2), read.get(FIXED - 1)) else {
        return Ok(Wanted::Bytes(FIXED.saturating_sub(read.len())));
    };
    let whole = FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if whole > LONGEST_BINARY {
        return Err(HeaderError::TooLong);
    }
    match whole.saturating_sub(read.len()) {
        0 => Ok(Wanted::Nothing),
        rest => Ok(Wanted::Bytes(rest)),
    }
}

/// What a whole header says.
///
/// # Errors
/// [`HeaderError`].
pub fn parse(header: &[u8]) -> Result<Announced, HeaderError> {
    if header.starts_with(TEXT) {
        parse_text(header)
    } else {
        parse_binary(header)
    }
}

fn parse_text(header: &[u8]) -> Result<Announced, HeaderError> {
    let line = header.strip_suffix(b"\r\n");
    let line = line.ok_or(HeaderError::Malformed("its line does not end with CRLF"))?;
    if !line.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(HeaderError::Malformed("it holds control characters"));
    }
    let parsed = v1::Header::try_from(header)
        .map_err(|_| HeaderError::Malformed("its fields are not those of version 1"))?;
    let source = match parsed.addresses {
        v1::Addresses::Unknown => {
            return Ok(Announced {
                nameless: true,
                ..NOTHING
            });
        }
        // A number may be written in one way only.
        _ if line.contains(&b'+') => {
            return Err(HeaderError::Malformed("a port has a sign"));
        }
        v1::Addresses::Tcp4(told) => (IpAddr::from(told.source_address), told.source_port),
        v1::Addresses::Tcp6(told) => (IpAddr::from(told.source_address), told.source_port),
    };
    Ok(Announced {
        source: Some(canonical(source)),
        ..NOTHING
    })
}

fn canonical((address, port): (IpAddr, u16)) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

fn parse_binary(header: &[u8]) -> Result<Announced, HeaderError> {
    // `LOCAL`: whatever else is in it is to be ignored, the family included.
    if header.get(FIXED - 4) == Some(&0x20) {
        return Ok(NOTHING);
    }
    let parsed = v2::Header::try_from(header)
        .map_err(|_| HeaderError::Malformed("its fields are not those of version 2"))?;
    let over_tls = check_values(header, &parsed)?;
    let source = match (parsed.addresses, parsed.protocol) {
        (v2::Addresses::Unspecified, _) | (v2::Addresses::Unix(_), v2::Protocol::Stream) => None,
        (_, v2::Protocol::Datagram | v2::Protocol::Unspecified) => {
            return Err(HeaderError::Malformed("the connection is no stream"));
        }
        (v2::Addresses::IPv4(told), v2::Protocol::Stream) => {
            Some((IpAddr::from(told.source_address), told.source_port))
        }
        (v2::Addresses::IPv6(told), v2::Protocol::Stream) => {
            Some((IpAddr::from(told.source_address), told.source_port))
        }
    };
    Ok(Announced {
        source: source.map(canonical),
        nameless: source.is_none(),
        over_tls,
    })
}

/// Whether the values behind the addresses say that the client's connection was over TLS. They must fill
/// the header exactly.
fn check_values(header: &[u8], parsed: &v2::Header<'_>) -> Result<bool, HeaderError> {
    let mut at = header.len().saturating_sub(parsed.tlv_bytes().len());
    let (mut over_tls, mut summed) = (None, false);
    for value in parsed.tlvs() {
        let value = value.map_err(|_| HeaderError::Malformed("a value runs over its end"))?;
        let begin = at + VALUE_HEAD;
        at = begin + value.value.len();
        if value.kind == u8::from(v2::Type::SSL) {
            let client = value.value.first();
            let client = client.ok_or(HeaderError::Malformed("a value of TLS is empty"))?;
            if over_tls.replace(client & OVER_TLS != 0).is_some() {
                return Err(HeaderError::Malformed("it has two values of TLS"));
            }
        } else if value.kind == u8::from(v2::Type::CRC32C) {
            if std::mem::replace(&mut summed, true) {
                return Err(HeaderError::Malformed("it has two checksums"));
            }
            let told = <[u8; 4]>::try_from(value.value.as_ref());
            let told = told.map_err(|_| HeaderError::Malformed("a checksum has four bytes"))?;
            let blanked = header.iter().enumerate();
            let blanked = blanked.map(|(place, byte)| {
                if (begin..at).contains(&place) {
                    0
                } else {
                    *byte
                }
            });
            if crc32c(blanked) != u32::from_be_bytes(told) {
                return Err(HeaderError::Checksum);
            }
        }
    }
    Ok(over_tls == Some(true))
}

/// RFC 9260 appendix A.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests;
