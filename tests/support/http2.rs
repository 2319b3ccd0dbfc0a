//! A client of HTTP/2 (RFC 9113) that sends exactly the frames it is told to, malformed ones as well,
//! and reads the answers.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use super::framing::Fields;
use super::hpack::{Decoder, literal};
use super::raw::{Head, Raw, Response};

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
const ACK: u8 = 0x1;

/// Error codes (RFC 9113 section 7).
pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const PROTOCOL_ERROR: u32 = 0x1;
pub(crate) const REFUSED_STREAM: u32 = 0x7;
pub(crate) const CANCEL: u32 = 0x8;
pub(crate) const COMPRESSION_ERROR: u32 = 0x9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What begins every connection (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As much as anybody may send.
const WIDE: u32 = 0x7fff_0000;

/// One frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It was answered.
    Answer(Answer),
    /// The stream was reset, with this error code.
    Reset(u32),
    /// The connection has ended, with this error code where one was given.
    Gone(Option<u32>),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) trailers: Fields,
}

/// What has come of an answer.
#[derive(Default)]
struct Partial {
    fields: Option<Vec<(String, String)>>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
    ended: bool,
    reset: Option<u32>,
}

/// A connection.
pub(crate) struct Http2 {
    raw: Raw,
    decoder: Decoder,
    next: u32,
    partial: BTreeMap<u32, Partial>,
    /// The error code of a GOAWAY.
    gone: Option<u32>,
    ended: bool,
    authority: String,
    secure: bool,
    /// Settings that the server has told.
    pub(crate) told: BTreeMap<u16, u32>,
    pongs: usize,
    /// Bytes of data sent, and granted by window updates, by stream; 0 is the connection.
    sent: BTreeMap<u32, usize>,
    granted: BTreeMap<u32, usize>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A SETTINGS frame.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A list of fields, written out in full.
pub(crate) fn section(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

impl Http2 {
    /// With prior knowledge, over plaintext. The greeting is sent.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::greeted(Raw::connect(address)?, address.to_string(), false)
    }

    /// Over TLS, by ALPN.
    pub(crate) fn connect_tls(
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let raw = Raw::connect_tls(address, name, config)?;
        Self::greeted(raw, format!("{name}:{}", address.port()), true)
    }

    fn greeted(raw: Raw, authority: String, secure: bool) -> io::Result<Self> {
        let mut client = Self::silent(raw, authority, secure);
        client.send(&[PREFACE, &settings(&[(0x4, WIDE)])].concat())?;
        client.send(&frame(WINDOW_UPDATE, 0, 0, &WIDE.to_be_bytes()))?;
        Ok(client)
    }

    /// Nothing is sent yet.
    pub(crate) fn silent(raw: Raw, authority: String, secure: bool) -> Self {
        Self {
            raw,
            decoder: Decoder::default(),
            next: 1,
            partial: BTreeMap::new(),
            gone: None,
            ended: false,
            authority,
            secure,
            told: BTreeMap::new(),
            pongs: 0,
            sent: BTreeMap::new(),
            granted: BTreeMap::new(),
        }
    }

    /// Sends these bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.send(bytes)
    }

    /// The number of the next stream that this client opens.
    pub(crate) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// The usual pseudo-header fields, then these lines (each `Name: value`), the names in lower case.
    /// `Host` becomes `:authority`.
    pub(crate) fn fields(&self, method: &str, target: &str, lines: &[&str]) -> Vec<u8> {
        let scheme = if self.secure { "https" } else { "http" };
        let split = |line: &str| {
            let (name, value) = line.split_once(':').expect("a line");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let mut lines: Vec<(String, String)> = lines.iter().map(|line| split(line)).collect();
        let hosts = lines.extract_if(.., |(name, _)| name == "host");
        let authority = hosts.map(|(_, host)| host).last();
        let authority = authority.unwrap_or_else(|| self.authority.clone());
        let pseudo = [
            (":method", method),
            (":scheme", scheme),
            (":authority", &authority),
            (":path", target),
        ];
        let mut fields: Vec<(&[u8], &[u8])> = pseudo
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        let lines = lines.iter();
        fields.extend(lines.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        section(&fields)
    }

    /// Opens a stream with these fields, already encoded, in as many frames as they need.
    pub(crate) fn open(&mut self, fields: &[u8], ends: bool) -> io::Result<u32> {
        let stream = self.next_stream();
        let mut bytes = Vec::new();
        let count = fields.chunks(16 * 1024).count().max(1);
        let mut chunks = fields.chunks(16 * 1024);
        for at in 0..count {
            let kind = if at == 0 { HEADERS } else { CONTINUATION };
            let last = if at + 1 == count { END_HEADERS } else { 0 };
            let end = if ends && at == 0 { END_STREAM } else { 0 };
            let chunk = chunks.next().unwrap_or_default();
            bytes.extend(frame(kind, last | end, stream, chunk));
        }
        self.send(&bytes)?;
        Ok(stream)
    }

    /// One request without a body, not waited for.
    pub(crate) fn ask(&mut self, method: &str, target: &str, lines: &[&str]) -> io::Result<u32> {
        let fields = self.fields(method, target, lines);
        self.open(&fields, true)
    }

    /// Waits until so many bytes of a body may be sent.
    pub(crate) fn wait_for_window(&mut self, stream: u32, length: usize) {
        let window = |client: &Self, stream, initial: usize| {
            let granted = client.granted.get(&stream).copied().unwrap_or_default();
            let sent = client.sent.get(&stream).copied().unwrap_or_default();
            (initial + granted).saturating_sub(sent)
        };
        loop {
            let initial = self.told.get(&0x4).copied().unwrap_or(65_535) as usize;
            let enough =
                window(self, stream, initial) >= length && window(self, 0, 65_535) >= length;
            if enough || self.ended {
                return;
            }
            self.step();
        }
    }

    /// A piece of a body.
    pub(crate) fn data(&mut self, stream: u32, piece: &[u8], ends: bool) -> io::Result<()> {
        for stream in [stream, 0] {
            *self.sent.entry(stream).or_default() += piece.len();
        }
        self.send(&frame(DATA, u8::from(ends), stream, piece))
    }

    /// One request without a body, and what became of it.
    pub(crate) fn exchange(&mut self, method: &str, target: &str, lines: &[&str]) -> Outcome {
        match self.ask(method, target, lines) {
            Ok(stream) => self.outcome(stream),
            Err(_) => Outcome::Gone(self.gone),
        }
    }

    /// Breaks a request off.
    pub(crate) fn reset(&mut self, stream: u32, code: u32) -> io::Result<()> {
        self.send(&frame(RST_STREAM, 0, stream, &code.to_be_bytes()))
    }

    /// Waits for the end of a stream. Without one within the patience of the rig, the test fails.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let partial = self.partial.entry(stream).or_default();
            if partial.ended {
                let partial = self.partial.remove(&stream).expect("it is there");
                return Outcome::Answer(whole(partial));
            }
            if let Some(code) = partial.reset {
                return Outcome::Reset(code);
            }
            if self.ended {
                return Outcome::Gone(self.gone);
            }
            self.step();
        }
    }

    /// Waits until so much of a stream's body is there; the status.
    pub(crate) fn wait_for_body(&mut self, stream: u32, length: usize) -> Option<String> {
        loop {
            let partial = self.partial.entry(stream).or_default();
            if partial.body.len() >= length && partial.fields.is_some() {
                let fields = partial.fields.as_deref().unwrap_or_default();
                let status = fields.iter().find(|(name, _)| name == ":status");
                return status.map(|(_, status)| status.clone());
            }
            if partial.ended || partial.reset.is_some() || self.ended {
                return None;
            }
            self.step();
        }
    }

    /// Reads until the connection ends; the error code of its GOAWAY.
    pub(crate) fn end(&mut self) -> Option<u32> {
        while !self.ended {
            self.step();
        }
        self.gone
    }

    /// Waits for a GOAWAY; its error code.
    pub(crate) fn farewell(&mut self) -> Option<u32> {
        while self.gone.is_none() && !self.ended {
            self.step();
        }
        self.gone
    }

    /// Whether the connection still answers.
    pub(crate) fn is_alive(&mut self) -> bool {
        let before = self.pongs;
        if self.send(&frame(PING, 0, 0, b"12345678")).is_err() {
            return false;
        }
        while self.pongs == before && !self.ended {
            self.step();
        }
        self.pongs > before
    }

    /// Takes in one frame.
    pub(crate) fn step(&mut self) {
        let Some(frame) = self.read_frame() else {
            self.ended = true;
            return;
        };
        let partial = self.partial.entry(frame.stream).or_default();
        match frame.kind {
            DATA => {
                partial.body.extend_from_slice(&frame.payload);
                partial.ended |= frame.flags & END_STREAM != 0;
            }
            HEADERS => {
                assert!(frame.flags & END_HEADERS != 0, "a short list of fields");
                let fields = self.decoder.decode(&frame.payload);
                match partial.fields {
                    None => partial.fields = Some(fields),
                    Some(_) => partial.trailers = fields,
                }
                partial.ended |= frame.flags & END_STREAM != 0;
            }
            RST_STREAM => partial.reset = Some(number(&frame.payload, 0)),
            SETTINGS if frame.flags & ACK == 0 => {
                for pair in frame.payload.chunks_exact(6) {
                    let name = u16::from_be_bytes([pair[0], pair[1]]);
                    self.told.insert(name, number(pair, 2));
                }
                let _ = self.send(&super::http2::frame(SETTINGS, ACK, 0, &[]));
            }
            PING if frame.flags & ACK == 0 => {
                let _ = self.send(&super::http2::frame(PING, ACK, 0, &frame.payload));
            }
            PING => self.pongs += 1,
            WINDOW_UPDATE => {
                let more = number(&frame.payload, 0) as usize;
                *self.granted.entry(frame.stream).or_default() += more;
            }
            GOAWAY => self.gone = Some(number(&frame.payload, 4)),
            _ => {}
        }
    }

    /// The next frame; `None` when the connection has ended. Silence is a failure.
    pub(crate) fn read_frame(&mut self) -> Option<Frame> {
        let head = self.exact(9)?;
        let length = number(&head, 0) >> 8;
        let payload = self.exact(length as usize)?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: number(&head, 5) & 0x7fff_ffff,
            payload,
        })
    }

    fn exact(&mut self, length: usize) -> Option<Vec<u8>> {
        match self.raw.read_exact(length) {
            Ok(bytes) => Some(bytes),
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server says nothing")
            }
            Err(_) => None,
        }
    }
}

impl Outcome {
    /// The answer, which must be there.
    pub(crate) fn response(self) -> Response {
        match self {
            Self::Answer(answer) => answer.response,
            other => panic!("{other:?}"),
        }
    }

    /// The status, where there is one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(answer) => Some(answer.response.status()),
            Self::Reset(_) | Self::Gone(_) => None,
        }
    }
}

fn whole(partial: Partial) -> Answer {
    let mut fields = partial.fields.unwrap_or_default();
    let status = fields.iter().find(|(name, _)| name == ":status");
    let status = status.map_or("0", |(_, status)| status).parse();
    let status = status.expect("a number");
    fields.retain(|(name, _)| !name.starts_with(':'));
    let lines = fields.iter();
    let lines: String = lines
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    Answer {
        response: Response {
            head: Head {
                raw: format!("HTTP/2 {status}\r\n{lines}\r\n").into_bytes(),
                status,
                fields: Fields(fields),
            },
            body: partial.body,
        },
        trailers: Fields(partial.trailers),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}
