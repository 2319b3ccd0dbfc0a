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

    /// The body's length, where one is declared. A 204 or 304 has none (RFC 9112 section 6.3).
    pub fn length(&self) -> Option<u64> {
        if matches!(self.status, 204 | 304) {
            return Some(0);
        }
        if self.is_chunked() {
            return None;
        }
        self.only("content-length")
            .and_then(|length| length.trim().parse().ok())
    }

    /// Whether the body is in chunks.
    pub fn is_chunked(&self) -> bool {
        self.only("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
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

/// Finds the end of a chunked body (RFC 9112 section 7.1) without keeping any of it.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    SizeStart,
    Size(u64),
    Extension(u64),
    Data(u64),
    DataEnd,
    Trailer {
        line_is_empty: bool,
    },
    Done,
}

impl Chunks {
    /// Looks at the next piece. True once the last chunk and its trailer have been seen.
    ///
    /// # Errors
    /// When the framing is broken.
    pub fn feed(&mut self, piece: &[u8]) -> Result<bool, &'static str> {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            let mut next = after;
            self.state = match self.state {
                State::SizeStart => State::Size(digit(byte)?),
                State::Size(size) => match byte {
                    b'\n' => begin(size),
                    b'\r' | b';' | b' ' | b'\t' => State::Extension(size),
                    _ => State::Size(
                        size.checked_mul(16)
                            .and_then(|size| size.checked_add(digit(byte).ok()?))
                            .ok_or("a chunk size is not a number")?,
                    ),
                },
                State::Extension(size) if byte == b'\n' => begin(size),
                State::Extension(size) => State::Extension(size),
                State::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    next = rest.get(here..).unwrap_or_default();
                    match left - here as u64 {
                        0 => State::DataEnd,
                        left => State::Data(left),
                    }
                }
                State::DataEnd if byte == b'\n' => State::SizeStart,
                State::DataEnd if byte == b'\r' => State::DataEnd,
                State::DataEnd => return Err("a chunk is longer than it said"),
                State::Trailer {
                    line_is_empty: true,
                } if byte == b'\n' => State::Done,
                State::Trailer { line_is_empty } if byte == b'\r' => {
                    State::Trailer { line_is_empty }
                }
                State::Trailer { .. } => State::Trailer {
                    line_is_empty: byte == b'\n',
                },
                State::Done => return Ok(true),
            };
            rest = next;
        }
        Ok(matches!(self.state, State::Done))
    }
}

const fn begin(size: u64) -> State {
    match size {
        0 => State::Trailer {
            line_is_empty: true,
        },
        size => State::Data(size),
    }
}

fn digit(byte: u8) -> Result<u64, &'static str> {
    char::from(byte)
        .to_digit(16)
        .map(u64::from)
        .ok_or("a chunk size is not a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_chunked_body_is_found_however_it_is_cut() {
        let body = b"5\r\nhello\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nT: v\r\n\r\n";
        for cut in 1..body.len() {
            let mut chunks = Chunks::default();
            let (first, second) = body.split_at(cut);
            assert_eq!(chunks.feed(first), Ok(false), "cut at {cut}");
            assert_eq!(chunks.feed(second), Ok(true), "cut at {cut}");
        }
    }

    #[test]
    fn a_broken_chunk_is_an_error() {
        for body in [&b"x\r\n"[..], b"2\r\nabc\r\n", b"fffffffffffffffff\r\n"] {
            assert!(Chunks::default().feed(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_refusal_is_passed_on_as_the_last_answer() {
        let raw = b"HTTP/1.1 426 Upgrade Required\r\nConnection: keep-alive\r\nSet-Cookie: a=b\r\n\
            Content-Length: 2\r\n\r\nno";
        let (head, length) = ResponseHead::parse(raw).unwrap().unwrap();
        assert_eq!(
            (head.status, head.length(), &raw[length..]),
            (426, Some(2), &b"no"[..])
        );
        assert_eq!(
            String::from_utf8(head.closing()).unwrap(),
            "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        );
    }
}
