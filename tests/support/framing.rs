//! HTTP/1.1 message framing (RFC 9112), for both ends of the rig: it keeps the exact bytes of a
//! head, and never reads past a message's end unless asked to.

use std::io::{self, Read};

/// The longest head that anybody here reads.
const HEAD_LIMIT: usize = 256 * 1024;

/// A byte source with what was read too early.
pub(crate) struct Inbox<R> {
    pub(crate) reader: R,
    buffer: Vec<u8>,
}

/// How long a body is (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Exactly so many bytes.
    Length(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the peer closes.
    UntilEnd,
}

/// Header fields in the order they came, values as text (bytes outside UTF-8 replaced).
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// The first value of a field.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    /// Every value of a field, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let same = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.0
            .iter()
            .filter(same)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(crate) fn from_parsed(parsed: &[httparse::Header<'_>]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self(
            parsed
                .iter()
                .map(|field| (field.name.to_owned(), text(field.value)))
                .collect(),
        )
    }

    /// What the fields say about the body; `otherwise` when they say nothing.
    pub(crate) fn framing(&self, otherwise: Framing) -> Framing {
        let chunked = self.values("transfer-encoding");
        if chunked
            .iter()
            .any(|value| value.to_ascii_lowercase().contains("chunked"))
        {
            return Framing::Chunked;
        }
        match self
            .value("content-length")
            .map(|value| value.trim().parse())
        {
            Some(Ok(length)) => Framing::Length(length),
            Some(Err(_)) | None => otherwise,
        }
    }
}

impl<R: Read> Inbox<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
        }
    }

    /// Reads more; the number of new bytes, 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let read = self.reader.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read)
    }

    fn fill_or_fail(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "the peer closed after {:?}",
                    String::from_utf8_lossy(&self.buffer)
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A message head, with its final empty line, byte for byte; `None` if the peer closed before
    /// its first byte.
    pub(crate) fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(self.buffer.drain(..at + 4).collect()));
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the head is too long",
                ));
            }
            if self.buffer.is_empty() {
                if self.fill()? == 0 {
                    return Ok(None);
                }
            } else {
                self.fill_or_fail()?;
            }
        }
    }

    /// A body, its chunks joined, trailers dropped.
    pub(crate) fn body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(length) => self.exact(length),
            Framing::UntilEnd => self.until_end(),
            Framing::Chunked => {
                let mut body = Vec::new();
                while let Some(chunk) = self.chunk()? {
                    body.extend_from_slice(&chunk);
                }
                Ok(body)
            }
        }
    }

    /// The next chunk of a chunked body; `None` for the last one, whose trailers are consumed.
    pub(crate) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim().to_owned();
        let length = usize::from_str_radix(&digits, 16).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, format!("chunk size {line:?}"))
        })?;
        if length == 0 {
            while !self.line()?.is_empty() {}
            return Ok(None);
        }
        let data = self.exact(length)?;
        let end = self.line()?;
        if end.is_empty() {
            Ok(Some(data))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{end:?} after a chunk"),
            ))
        }
    }

    /// One line without its CR LF.
    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill_or_fail()?;
        }
    }

    /// Exactly `length` bytes.
    pub(crate) fn exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill_or_fail()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// At least one byte, or nothing at the end.
    pub(crate) fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Everything until the peer closes its side.
    pub(crate) fn until_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }
}
