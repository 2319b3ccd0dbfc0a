//! Who a request comes from, when proxies stand between: the rightmost address of
//! `X-Forwarded-For` that no trusted proxy of ours has.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// Whether `peer` is a trusted proxy. An IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2) is
/// the IPv4 address, on both sides.
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| match (net, peer) {
        // A shorter prefix names IPv6 networks, and does not mean the mapped addresses in it.
        (IpNet::V6(net), IpAddr::V4(peer)) => {
            net.prefix_len() >= 96 && net.contains(&peer.to_ipv6_mapped())
        }
        _ => net.contains(&peer),
    })
}

/// The client of a request that came from `peer` with these `X-Forwarded-For` values, in the order of
/// the fields. Values from anybody else than a trusted proxy are not looked at; one that cannot be
/// read ends the walk at the last address that could be vouched for.
pub fn client_ip(peer: IpAddr, forwarded_for: &[&str], trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    for entry in forwarded_for
        .iter()
        .rev()
        .flat_map(|value| value.rsplit(','))
    {
        let Some(address) = parse_entry(entry.trim_matches([' ', '\t'])) else {
            return client;
        };
        client = address.to_canonical();
        if !is_trusted(client, trusted) {
            return client;
        }
    }
    client
}

/// An address, with or without a port (some proxies write one), IPv6 with or without brackets; no
/// zone, no name, no `unknown`.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(bare) = bare {
        return bare.parse().ok().map(IpAddr::V6);
    }
    entry
        .parse()
        .or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
}

/// What a limit counts by: the address, or the /64 that one IPv6 customer has.
pub fn limit_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ];
        client_ip(peer.parse().unwrap(), forwarded, &trusted).to_string()
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &["6.6.6.6"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
            (
                "10.0.0.1",
                &["6.6.6.6, 198.51.100.7, 10.0.0.2"],
                "198.51.100.7",
            ),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db9::1]:443"], "2001:db9::1"),
            ("10.0.0.1", &["[2001:db9::1]"], "2001:db9::1"),
            ("10.0.0.1", &["2001:db8::5, 10.0.0.2"], "2001:db8::5"),
            ("10.0.0.1", &["6.6.6.6, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, _hidden, 10.0.0.9"], "10.0.0.9"),
            ("10.0.0.1", &["6.6.6.6,,10.0.0.9"], "10.0.0.9"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
            ("10.0.0.1", &["010.1.1.1"], "10.0.0.1"),
            ("10.0.0.1", &["0x7f.1"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6,"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6", ""], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, a"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.7:99999"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, [2001:db9::1"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, [198.51.100.7]"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, \"198.51.100.7\""], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, for=198.51.100.7"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.7 10.0.0.9"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.7\u{a0}"], "10.0.0.1"),
            (
                "10.0.0.1",
                &["  198.51.100.7\t,\t10.0.0.2 "],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                &["::ffff:10.0.0.9, ::ffff:10.0.0.2"],
                "10.0.0.9",
            ),
            (
                "10.0.0.1",
                &["6.6.6.6, 2001:db9::1, 2001:db8::2"],
                "2001:db9::1",
            ),
            ("2001:db8::1", &["2001:db9::7"], "2001:db9::7"),
            ("2001:db9::1", &["10.0.0.1"], "2001:db9::1"),
            ("::ffff:192.0.2.1", &["6.6.6.6"], "192.0.2.1"),
        ] {
            assert_eq!(client(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_network_of_mapped_addresses_is_the_ipv4_network_and_a_wider_one_is_not() {
        for (net, peer, trusted) in [
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("::ffff:10.0.0.1/128", "10.0.0.1", true),
            ("::/64", "10.0.0.1", false),
            ("::/64", "::1", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::10.1.2.3", false),
            ("10.0.0.1/32", "10.0.0.2", false),
        ] {
            let nets = [net.parse().unwrap()];
            let peer: IpAddr = peer.parse().unwrap();
            assert_eq!(is_trusted(peer, &nets), trusted, "{net} {peer}");
        }
        assert!(!is_trusted("127.0.0.1".parse().unwrap(), &[]));
    }

    proptest! {
        /// Whatever a client writes before what the trusted proxy appends, it stays who it is.
        #[test]
        fn nothing_that_a_client_wrote_changes_who_it_is(written in "[0-9a-f.:, \\[\\]]{0,40}") {
            let appended = format!("{written}, 198.51.100.7, 10.0.0.2");
            prop_assert_eq!(client("10.0.0.1", &[&appended]), "198.51.100.7");
            prop_assert_eq!(client("10.0.0.1", &[&written, "198.51.100.7"]), "198.51.100.7");
            prop_assert_eq!(client("192.0.2.1", &[&written]), "192.0.2.1");
        }
    }

    #[test]
    fn a_thousand_entries_end_at_the_first_that_counts() {
        let many = vec!["6.6.6.6"; 1000].join(", ");
        assert_eq!(client("10.0.0.1", &[&many]), "6.6.6.6");
    }

    #[test]
    fn limits_count_an_ipv6_customer_as_one() {
        let key = |address: &str| limit_key(address.parse().unwrap()).to_string();
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(key("2001:db8:1:2::"), "2001:db8:1:2::");
        assert_eq!(key("2001:db8:1:3::"), "2001:db8:1:3::");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
    }
}
