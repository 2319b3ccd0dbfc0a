//! The authority that a request names in `Host` (RFC 9110 section 7.2), in one form or none.
//!
//! Case does not count (RFC 3986 section 3.2.2). A dot at the end does: browsers keep such a host apart
//! from the one without. Nothing else is made equal: `0x7f.1` is a name here, and never `127.0.0.1`.

use std::fmt;
use std::net::Ipv6Addr;

/// The longest name (RFC 1035 section 2.3.4), with a dot at its end.
const LONGEST: usize = 254;

/// `uri-host [ ":" port ]`, canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// Parses the value of a `Host` field; `None` for what two readers could take for two hosts: user
    /// information, lists, empty labels, escapes, a port that is no number.
    pub fn parse(raw: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(raw).ok()?;
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if rest.is_empty() => None,
                    None => return None,
                };
                (url::Host::<&str>::Ipv6(address).to_string(), port)
            }
            None => match text.split_once(':') {
                Some((name, port)) => (canonical_name(name)?, Some(port)),
                None => (canonical_name(text)?, None),
            },
        };
        let port = match port {
            Some(port) => Some(parse_port(port)?),
            None => None,
        };
        Some(Self { host, port })
    }

    /// The host: a name in lower case, or an address, IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one is named.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Labels of letters, digits, hyphens and underscores; a dot may end the name.
fn canonical_name(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let labels = name.strip_suffix('.').unwrap_or(name).split('.');
    let mut good = labels.map(|label| !label.is_empty() && label.bytes().all(plain));
    (name.len() <= LONGEST && good.all(|good| good)).then(|| name.to_ascii_lowercase())
}

fn parse_port(port: &str) -> Option<u16> {
    let written_once = port == "0" || !port.starts_with('0');
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    port.parse().ok().filter(|_| written_once && digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> Option<String> {
        Authority::parse(raw.as_bytes()).map(|authority| authority.to_string())
    }

    #[test]
    fn one_host_has_one_form() {
        for (raw, host, port) in [
            ("headscale.company", "headscale.company", None),
            ("HeadScale.Company", "headscale.company", None),
            ("headscale.company:443", "headscale.company", Some(443)),
            ("headscale.company.", "headscale.company.", None),
            ("under_score:0", "under_score", Some(0)),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("0x7f.1", "0x7f.1", None),
            ("3627734734", "3627734734", None),
            ("[::1]", "[::1]", None),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]", Some(80)),
            ("[2001:DB8::A]", "[2001:db8::a]", None),
            ("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", None),
            ("xn--urs-1na", "xn--urs-1na", None),
        ] {
            let parsed = Authority::parse(raw.as_bytes()).unwrap();
            assert_eq!((parsed.host(), parsed.port()), (host, port), "{raw}");
        }
        assert_eq!(canonical("A:80").as_deref(), Some("a:80"));
        assert_eq!(canonical("[::0:1]:80").as_deref(), Some("[::1]:80"));
    }

    #[test]
    fn what_two_readers_could_take_for_two_hosts_is_none() {
        for raw in [
            "",
            " ",
            ".",
            "..",
            ":",
            ":80",
            "a:",
            "a:80:80",
            "a:b",
            "a:+80",
            "a:-1",
            "a:080",
            "a:00",
            "a:65536",
            "a:99999999999999999999",
            "a: 80",
            "a :80",
            " a",
            "a ",
            "a,b",
            "a, b",
            "a;b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "u@a",
            "u:p@a",
            "a@",
            "@a",
            "a%2eb",
            "a%00",
            "a..b",
            ".a",
            "a..",
            "a\tb",
            "a\0",
            "http://a",
            "//a",
            "é",
            "a\u{3002}b",
            "\u{ff41}",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[::1]80",
            "[::1%25eth0]",
            "[::1%eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "[a]",
            "a[::1]",
            "*",
            "a*",
            "<a>",
            "a\"",
            "\"a\"",
            "'a'",
            "{a}",
            "$a",
            "a!",
            "a~b",
            "a+b",
        ] {
            assert_eq!(canonical(raw), None, "{raw:?}");
        }
        let long = format!("{}a", "a.".repeat(127));
        assert_eq!(canonical(&long), None);
        assert!(canonical(&long[2..]).is_some());
        assert_eq!(Authority::parse(b"\xff"), None);
    }
}
