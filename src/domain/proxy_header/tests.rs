use super::*;
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: command, family and transport, what follows.
fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, kind], &length, rest].concat()
}

const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x34, 1, 187];

fn v4(values: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&V4[..], values].concat())
}

fn v6(source: &str) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().unwrap();
    let rest = [&source.octets()[..], &[0; 16], &[0x12, 0x34, 1, 187]].concat();
    binary(0x21, 0x21, &rest)
}

/// With a checksum as its last value, changed by `flip`.
fn summed(before: &[u8], flip: u32) -> Vec<u8> {
    let mut header = v4(&[before, &[3, 0, 4, 0, 0, 0, 0]].concat());
    let sum = crc32c(header.iter().copied()) ^ flip;
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

/// Reads a header from what a balancer sends, `step` bytes at a time, as a socket would give them.
fn read(sent: &[u8], step: usize) -> Result<(Announced, usize), HeaderError> {
    let mut at = 0;
    loop {
        let most = match wanted(&sent[..at])? {
            Wanted::Nothing => return Ok((parse(&sent[..at])?, at)),
            Wanted::Bytes(count) => count,
            Wanted::Line(most) => {
                let rest = &sent[at..sent.len().min(at + most)];
                let end = rest.iter().position(|byte| *byte == b'\n');
                end.map_or(rest.len(), |end| end + 1)
            }
        };
        assert!(at < sent.len(), "it waits for more than was sent");
        at = (at + most.min(step)).min(sent.len());
    }
}

fn told(sent: &[u8]) -> String {
    let behind = b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n";
    let whole = [sent, behind].concat();
    let results: Vec<_> = [1, 7, 10_000]
        .iter()
        .map(|step| read(&whole, *step))
        .collect();
    assert!(
        results.iter().all(|one| one.ok() == results[0].ok()),
        "{results:?}"
    );
    match results[0] {
        Ok((announced, end)) => {
            assert_eq!(
                end,
                sent.len(),
                "a byte of the client was taken, or one left"
            );
            let source = announced
                .source
                .map_or("nobody".to_owned(), |from| from.to_string());
            format!(
                "{source}{}",
                if announced.over_tls { " over TLS" } else { "" }
            )
        }
        Err(why) => why.to_string(),
    }
}

#[test]
fn a_header_of_version_1_names_the_source_and_takes_no_byte_of_the_client() {
    for (sent, expected) in [
        (
            "PROXY TCP4 203.0.113.9 10.0.0.1 4660 443\r\n",
            "203.0.113.9:4660",
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            "255.255.255.255:65535",
        ),
        (
            "PROXY TCP6 2001:db8::9 2001:db8::1 4660 443\r\n",
            "[2001:db8::9]:4660",
        ),
        (
            "PROXY TCP6 ::ffff:203.0.113.9 ::1 4660 443\r\n",
            "203.0.113.9:4660",
        ),
        ("PROXY TCP4 203.0.113.9 10.0.0.1 0 0\r\n", "203.0.113.9:0"),
        ("PROXY UNKNOWN\r\n", "nobody"),
        ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "nobody"),
        ("PROXY UNKNOWN anything at all\r\n", "nobody"),
    ] {
        assert_eq!(told(sent.as_bytes()), expected, "{sent:?}");
    }
}

#[test]
fn what_is_not_exactly_version_1_is_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(92));
    let longest = format!("PROXY UNKNOWN {}\r\n", "a".repeat(91));
    assert_eq!(told(longest.as_bytes()), "nobody", "{}", longest.len());
    for sent in [
        "GET / HTTP/1.1\r\n",
        "PROXYTCP4 203.0.113.9 10.0.0.1 1 2\r\n",
        "proxy TCP4 203.0.113.9 10.0.0.1 1 2\r\n",
        " PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n",
        "PROXY  TCP4 203.0.113.9 10.0.0.1 1 2\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 1 2 \r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 1 2\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 1\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 1 2 3\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 +1 2\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 1 +2\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 01 2\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 -1 2\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 65536 2\r\n",
        "PROXY TCP4 203.0.113.09 10.0.0.1 1 2\r\n",
        "PROXY TCP4 203.0.113.256 10.0.0.1 1 2\r\n",
        "PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n",
        "PROXY TCP6 203.0.113.9 10.0.0.1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP5 203.0.113.9 10.0.0.1 1 2\r\n",
        "PROXY UDP4 203.0.113.9 10.0.0.1 1 2\r\n",
        "PROXY TCP4\t203.0.113.9 10.0.0.1 1 2\r\n",
        "PROXY TCP4 203.0.113.9\0 10.0.0.1 1 2\r\n",
        "PROXY TCP4 203.0.113.9 10.0.0.1 1 2\rPROXY\r\n",
        "PROXY UNKNOWN\0\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\nGET / HTTP/1.1\r\n",
        &long,
        &"PROXY ".repeat(40),
    ] {
        let found = told(sent.as_bytes());
        assert!(found.contains("PROXY header"), "{sent:?}: {found}");
    }
}

#[test]
fn a_header_of_version_2_names_the_source_and_what_took_the_tls_off() {
    let tls = |client: u8| [0x20, 0, 5, client, 0, 0, 0, 0];
    let unix = [0; 216];
    for (what, sent, expected) in [
        ("IPv4", v4(&[]), "203.0.113.9:4660"),
        ("IPv6", v6("2001:db8::9"), "[2001:db8::9]:4660"),
        ("mapped", v6("::ffff:203.0.113.9"), "203.0.113.9:4660"),
        ("with a value", v4(&[0x04, 0, 2, 0, 0]), "203.0.113.9:4660"),
        ("an unknown value", v4(&[0xe0, 0, 1, 7]), "203.0.113.9:4660"),
        ("over TLS", v4(&tls(1)), "203.0.113.9:4660 over TLS"),
        (
            "with a certificate",
            v4(&tls(7)),
            "203.0.113.9:4660 over TLS",
        ),
        ("in clear", v4(&tls(0)), "203.0.113.9:4660"),
        ("with a checksum", summed(&[], 0), "203.0.113.9:4660"),
        (
            "over TLS, summed",
            summed(&tls(1), 0),
            "203.0.113.9:4660 over TLS",
        ),
        ("LOCAL", binary(0x20, 0x00, &[]), "nobody"),
        ("LOCAL with an address", binary(0x20, 0x11, &V4), "nobody"),
        ("LOCAL of another family", binary(0x20, 0x11, &[]), "nobody"),
        (
            "LOCAL over TLS",
            binary(0x20, 0x11, &[&V4[..], &tls(1)].concat()),
            "nobody",
        ),
        ("unspecified", binary(0x21, 0x00, &[1, 2, 3]), "nobody"),
        ("a Unix socket", binary(0x21, 0x31, &unix), "nobody"),
        (
            "4096 bytes",
            v4(&[&[4, 0x0f, 0xe1][..], &[0; 4065]].concat()),
            "203.0.113.9:4660",
        ),
    ] {
        assert_eq!(told(&sent), expected, "{what}");
    }
}

#[test]
fn what_is_not_exactly_version_2_is_refused() {
    for (what, sent) in [
        ("version 1 in it", binary(0x11, 0x11, &V4)),
        ("version 3", binary(0x31, 0x11, &V4)),
        ("another command", binary(0x22, 0x11, &V4)),
        ("another family", binary(0x21, 0x41, &V4)),
        ("another transport", binary(0x21, 0x13, &V4)),
        ("datagrams", binary(0x21, 0x12, &V4)),
        ("datagrams of IPv6", binary(0x21, 0x22, &[0; 36])),
        ("an unspecified transport", binary(0x21, 0x10, &V4)),
        ("a Unix datagram", binary(0x21, 0x32, &[0; 216])),
        ("half an address", binary(0x21, 0x11, &V4[..11])),
        ("IPv4 for IPv6", binary(0x21, 0x21, &V4)),
        ("a value over the end", v4(&[0x04, 0, 3, 0, 0])),
        ("a value's head cut", v4(&[0x04, 0])),
        ("a byte behind", v4(&[0x04, 0, 1, 0, 0])),
        ("TLS without a word", v4(&[0x20, 0, 0])),
        ("a short checksum", v4(&[0x03, 0, 3, 0, 0, 0])),
        ("a wrong checksum", summed(&[], 1)),
        ("two checksums", summed(&[3, 0, 4, 0, 0, 0, 0], 0)),
        (
            "4097 bytes",
            v4(&[&[4, 0x0f, 0xe2][..], &[0; 4066]].concat()),
        ),
        ("64 KiB", binary(0x21, 0x11, &vec![0; 65535])),
        (
            "another signature",
            [b"\r\n\r\n\0\r\nQUIS\n", &v4(&[])[12..]].concat(),
        ),
    ] {
        let found = told(&sent);
        assert!(found.contains("PROXY header"), "{what}: {found}");
    }
}

#[test]
fn the_checksum_is_that_of_sctp() {
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xE306_9283);
    assert_eq!(crc32c(std::iter::empty()), 0);
}

#[test]
fn a_wrong_first_byte_is_told_at_once() {
    for sent in [
        &b"G"[..],
        b"\x16",
        b"\0",
        b"\n",
        b"\rX",
        b"PROXX",
        b"\r\n\r\n\0\r\nQUIT\r",
    ] {
        assert_eq!(wanted(sent), Err(HeaderError::Absent), "{sent:?}");
    }
    for sent in [&b""[..], b"P", b"\r", b"PROXY", b"\r\n\r\n\0\r\nQUIT\n"] {
        assert!(
            matches!(wanted(sent), Ok(Wanted::Bytes(1..=15))),
            "{sent:?}"
        );
    }
}

proptest! {
    /// Whatever comes: an end within the bounds, no panic, and the same at any speed.
    #[test]
    fn any_bytes_end_within_the_bounds(
        text in any::<bool>(), mut rest in prop::collection::vec(any::<u8>(), 0..300), step in 1_usize..40
    ) {
        let mut sent = if text { b"PROXY ".to_vec() } else { SIGNATURE.to_vec() };
        sent.append(&mut rest);
        sent.resize(5000, b'\n');
        let whole = read(&sent, 10_000);
        prop_assert_eq!(whole.ok(), read(&sent, step).ok());
        if let Ok((_, end)) = whole {
            let most = if text { LONGEST_TEXT } else { LONGEST_BINARY };
            prop_assert!(end <= most);
        }
    }
}
