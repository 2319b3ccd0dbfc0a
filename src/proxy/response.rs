//! The head of a response that Headscale gave to an upgrade, and where its body ends.

use bytes::Bytes;

/// A response's status and fields.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    reason: String,
    fields: Vec<(String, Bytes)>,
}

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// After so many bytes.
    Length(u64),
    /// At its last chunk.
    Chunked,
    /// With the connection.
    UntilEnd,
}

impl ResponseHead {
    /// Parses a head at the beginning of `raw`, with its length; `None` when more must come.
    ///
    /// # Errors
    /// When it is not HTTP/1.x.
    pub fn parse(raw: &[u8]) -> Result<Option<(Self, usize)>, &'static str> {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(raw) {
            Ok(httparse::Status::Complete(length)) => {
                let head = Self {
                    status: response.code.unwrap_or_default(),
                    reason: response.reason.unwrap_or_default().to_owned(),
                    fields: response
                        .headers
                        .iter()
                        .map(|field| (field.name.to_owned(), Bytes::copy_from_slice(field.value)))
                        .collect(),
                };
                Ok(Some((head, length)))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(_) => Err("it is not HTTP/1.1"),
        }
    }

    /// The field `name` when it is there exactly once and is text.
    pub fn only(&self, name: &str) -> Option<&str> {
        let mut all = self
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        match (all.next(), all.next()) {
            (Some((_, value)), None) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }

    /// How the body of a refusal is framed (RFC 9112 section 6.3). A 204 or 304 has none.
    ///
    /// # Errors
    /// When it could be read in two ways.
    pub fn body(&self) -> Result<Body, &'static str> {
        if matches!(self.status, 204 | 304) {
            return Ok(Body::Length(0));
        }
        match (self.has("content-length"), self.has("transfer-encoding")) {
            (false, false) => Ok(Body::UntilEnd),
            (true, false) => self
                .only("content-length")
                .filter(|length| length.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|length| length.parse().ok())
                .map(Body::Length)
                .ok_or("it has no usable length"),
            (false, true) => self
                .only("transfer-encoding")
                .filter(|coding| coding.eq_ignore_ascii_case("chunked"))
                .map(|_| Body::Chunked)
                .ok_or("it has no usable transfer coding"),
            (true, true) => Err("it is framed in two ways"),
        }
    }

    fn has(&self, name: &str) -> bool {
        let mut names = self.fields.iter().map(|(field, _)| field);
        names.any(|field| field.eq_ignore_ascii_case(name))
    }

    /// The head of a 101 as the client gets it: `Connection` and `Upgrade` stay.
    pub fn switching(&self) -> Vec<u8> {
        self.write(is_ours, "")
    }

    /// The head of any other answer as the client gets it: the last on its connection.
    pub fn closing(&self) -> Vec<u8> {
        self.write(
            |name| is_ours(name) || name == "connection" || name == "keep-alive",
            "Connection: close\r\n",
        )
    }

    fn write(&self, dropped: impl Fn(&str) -> bool, extra: &str) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason).into_bytes();
        for (name, value) in &self.fields {
            if !dropped(&name.to_ascii_lowercase()) {
                head.extend_from_slice(name.as_bytes());
                head.extend_from_slice(b": ");
                head.extend_from_slice(value);
                head.extend_from_slice(b"\r\n");
            }
        }
        head.extend_from_slice(extra.as_bytes());
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Fields that no answer to a machine may carry: nothing on these doors sets a cookie.
fn is_ours(name: &str) -> bool {
    name == "set-cookie"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_passed_on_as_the_last_answer() {
        let raw = b"HTTP/1.1 426 Upgrade Required\r\nConnection: keep-alive\r\nSet-Cookie: a=b\r\n\
            Content-Length: 2\r\n\r\nno";
        let (head, length) = ResponseHead::parse(raw).unwrap().unwrap();
        assert_eq!(
            (head.status, head.body(), &raw[length..]),
            (426, Ok(Body::Length(2)), &b"no"[..])
        );
        assert_eq!(
            String::from_utf8(head.closing()).unwrap(),
            "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_body_ends_where_everybody_would_say_or_is_refused() {
        for (fields, body) in [
            ("", Some(Body::UntilEnd)),
            ("Content-Length: 0", Some(Body::Length(0))),
            ("content-length: 12", Some(Body::Length(12))),
            ("Transfer-Encoding: Chunked", Some(Body::Chunked)),
            ("Content-Length: +5", None),
            ("Content-Length: 5,5", None),
            ("Content-Length:", None),
            ("Content-Length: 5\r\nContent-Length: 5", None),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", None),
            ("Transfer-Encoding: gzip, chunked", None),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                None,
            ),
        ] {
            let end = if fields.is_empty() { "" } else { "\r\n" };
            let raw = format!("HTTP/1.1 403 Forbidden\r\n{fields}{end}\r\n");
            let (head, _) = ResponseHead::parse(raw.as_bytes()).unwrap().unwrap();
            assert_eq!(head.body().ok(), body, "{fields:?}");
        }
    }
}
