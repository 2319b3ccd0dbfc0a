//! Client addresses. Input: the peer's address, then `X-Forwarded-For`, one field a line.

use std::net::{IpAddr, SocketAddr};

use headwarden::domain::client_ip::{client_ip, is_trusted, limit_key};
use ipnet::IpNet;

use super::support::text_lines;

const TRUSTED: [&str; 3] = ["10.0.0.0/8", "2001:db8::/32", "::ffff:192.0.2.0/120"];

pub fn run(data: &[u8]) {
    let Some(([peer], fields)) = text_lines::<1>(data) else {
        return;
    };
    let Ok(peer) = peer.parse::<IpAddr>() else {
        return;
    };
    let fields: Vec<&str> = fields.lines().collect();
    check(peer, &fields);
}

/// The same walk, over one joined list, as RFC 7239 section 7.4 and every proxy's manual describe it.
fn walk(peer: IpAddr, fields: &[&str]) -> IpAddr {
    let mut client = canonical(peer);
    let joined = fields.join(",");
    let mut entries: Vec<&str> = if fields.is_empty() {
        Vec::new()
    } else {
        joined.split(',').collect()
    };
    while in_trusted(client) {
        let Some(entry) = entries.pop() else {
            return client;
        };
        let Some(address) = read(entry.trim()) else {
            return client;
        };
        client = canonical(address);
    }
    client
}

fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn in_trusted(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => v4.octets()[0] == 10 || v4.octets()[..3] == [192, 0, 2],
        IpAddr::V6(v6) => v6.segments()[..2] == [0x2001, 0xdb8],
    }
}

fn read(entry: &str) -> Option<IpAddr> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = entry.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bare = entry.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse().ok().map(IpAddr::V6)
}

pub fn check(peer: IpAddr, fields: &[&str]) {
    let trusted: Vec<IpNet> = TRUSTED.iter().map(|net| net.parse().unwrap()).collect();
    let found = client_ip(peer, fields, &trusted);
    let asked = format!("{peer} {fields:?}");
    assert_eq!(found, walk(peer, fields), "{asked}");
    assert_eq!(is_trusted(peer, &trusted), in_trusted(peer), "{asked}");
    if !in_trusted(peer) {
        assert_eq!(
            found,
            canonical(peer),
            "a stranger chose an address: {asked}"
        );
    }
    if !in_trusted(found) {
        // Whatever a client puts in front stays without effect.
        let mut more = vec!["6.6.6.6, 2001:db9::1"];
        more.extend(fields);
        assert_eq!(client_ip(peer, &more, &trusted), found, "{asked}");
    }
    assert_eq!(client_ip(peer, fields, &[]), canonical(peer), "{asked}");
    let key = limit_key(found);
    assert_eq!(limit_key(key), key, "{asked}");
    if let (IpAddr::V6(key), IpAddr::V6(address)) = (key, found) {
        assert_eq!(key.segments()[..4], address.segments()[..4], "{asked}");
        assert_eq!(key.segments()[4..], [0; 4], "{asked}");
    }
}
