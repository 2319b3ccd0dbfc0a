//! The head of a request. Input: its bytes up to the first empty line, which is added when there is none.

use headwarden::proxy::head::{Framing, Head, MAX_FIELDS};

use super::door::check_target;

pub fn run(data: &[u8]) {
    let mut raw = data.to_vec();
    match data.windows(4).position(|part| part == b"\r\n\r\n") {
        Some(at) => raw.truncate(at + 4),
        None if data.ends_with(b"\r\n") => raw.extend(b"\r\n"),
        None => raw.extend(b"\r\n\r\n"),
    }
    if let Ok(head) = Head::parse(&raw) {
        check_head(&head, &raw);
    }
}

/// A field as the plainest reader of RFC 9112 has it: name in lower case, value without blanks around.
fn field(line: &[u8]) -> (String, &[u8]) {
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .expect("a line without a colon");
    let name = String::from_utf8(line[..colon].to_ascii_lowercase()).expect("a name of text");
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    assert!(
        !name.is_empty() && name.bytes().all(token),
        "the name {name:?} passed"
    );
    (name, line[colon + 1..].trim_ascii())
}

/// An accepted head says the same to a reader that knows no leniency at all.
pub fn check_head(head: &Head, raw: &[u8]) {
    assert!(!raw.contains(&0), "a NUL passed");
    let text = raw
        .strip_suffix(b"\r\n\r\n")
        .expect("no empty line at the end");
    // Empty lines before the request line may be skipped (RFC 9112 section 2.2).
    let mut text = text;
    while let Some(rest) = text.strip_prefix(b"\r\n") {
        text = rest;
    }
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    assert!(
        lines
            .iter()
            .all(|line| !line.contains(&b'\r') && !line.contains(&b'\n')),
        "a bare line end passed"
    );
    let wanted = format!(
        "{} {} HTTP/1.{}",
        head.method,
        head.target,
        u8::from(head.http11)
    );
    assert_eq!(
        lines[0],
        wanted.as_bytes(),
        "the request line has two readings"
    );
    check_target(&head.target, head.target.as_str().as_bytes());
    let fields: Vec<(String, &[u8])> = lines[1..].iter().map(|line| field(line)).collect();
    assert!(fields.len() <= MAX_FIELDS);
    assert_eq!(fields.len(), head.headers.len(), "fields were lost or made");
    for name in head.headers.keys() {
        let found: Vec<&[u8]> = values(&fields, name.as_str());
        let kept: Vec<&[u8]> = head
            .headers
            .get_all(name)
            .iter()
            .map(http::HeaderValue::as_bytes)
            .collect();
        assert_eq!(found, kept, "{name}");
    }
    check_meaning(head, &fields);
}

fn values<'a>(fields: &[(String, &'a [u8])], name: &str) -> Vec<&'a [u8]> {
    fields
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| *value)
        .collect()
}

fn check_meaning(head: &Head, fields: &[(String, &[u8])]) {
    let hosts = values(fields, "host");
    assert!(
        hosts.len() == 1 || (hosts.is_empty() && !head.http11),
        "{hosts:?}"
    );
    let host = head.host.as_ref().map(ToString::to_string);
    assert_eq!(host.is_some(), hosts.len() == 1, "{hosts:?}");
    if let Some(host) = host {
        // An IPv6 address has several spellings, a name has one but for case.
        let sent = String::from_utf8_lossy(hosts[0]);
        let same =
            host.eq_ignore_ascii_case(&sent) || (host.starts_with('[') && sent.starts_with('['));
        assert!(same, "{sent:?} became {host:?}");
        assert!(
            !host.contains(['@', '/', ',', ' ', '\\', '?', '#', '%']),
            "{host}"
        );
        let parsed: Result<http::uri::Authority, _> = host.parse();
        assert!(parsed.is_ok(), "the host {host:?} is no authority");
    }
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    match head.body {
        Framing::None => {
            assert!(codings.is_empty() && lengths.len() < 2);
            assert!(
                lengths
                    .iter()
                    .all(|length| length.iter().all(|b| *b == b'0'))
            );
        }
        Framing::Length(length) => {
            assert!(codings.is_empty() && lengths.len() == 1 && length > 0);
            assert!(lengths[0].iter().all(u8::is_ascii_digit));
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && codings.len() == 1 && head.http11);
            assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
        }
    }
    if let Some(upgrade) = &head.upgrade {
        assert!(head.http11, "an upgrade in HTTP/1.0");
        assert_eq!(values(fields, "upgrade"), [upgrade.as_bytes()]);
        let nominated = values(fields, "connection").iter().any(|value| {
            String::from_utf8_lossy(value)
                .split(',')
                .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        });
        assert!(nominated, "an upgrade that Connection does not nominate");
    }
}
