//! Answers that have nothing to do with what was asked: an endpoint that is down, mad or malicious.

use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};

pub(super) type Answer = Response<AnyBody>;
pub(super) type AnyBody = http_body_util::combinators::BoxBody<Bytes, io::Error>;

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ill {
    /// No answer, ever.
    Hangs,
    /// A head, and then nothing.
    HangsInTheBody,
    /// A byte now and then, always before anybody could lose patience with one, without an end.
    Trickles,
    /// The connection breaks off within the body.
    BreaksOff,
    /// Chunks without an end, as fast as they are taken.
    Endless,
    /// So many bytes, with their length said first: a JSON object all the same.
    Huge(usize),
    /// So many bytes of an object, in chunks.
    HugeInChunks(usize),
    /// A small gzip of an object of ten megabytes, and says so.
    GzipBomb,
    /// The same, and does not say so.
    GzipUnsaid,
    /// Says gzip, and sends plain JSON.
    GzipClaimed,
    /// Says br.
    Brotli,
    /// This status, with an object.
    Status(u16),
    /// This status, with this object.
    StatusSays(u16, &'static str),
    /// A redirect to there.
    Redirect(&'static str),
    /// A redirect to itself.
    RedirectToItself,
    /// 200 with this content type (none if empty) and this body.
    Says(&'static str, &'static str),
    /// Lists in lists.
    Deep(usize),
    /// 200 without a body.
    Empty,
    /// So many fields in the head.
    Fields(usize),
    /// A field of so many bytes.
    LongField(usize),
}

/// A body in pieces of 64 KiB.
struct Pieces {
    left: usize,
    end: End,
}

enum End {
    Whole,
    Never,
    Broken,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return match self.end {
                End::Whole => Poll::Ready(None),
                End::Never => Poll::Pending,
                End::Broken => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            };
        }
        let piece = self.left.min(64 * 1024);
        if self.left != usize::MAX {
            self.left -= piece;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; piece])))))
    }
}

/// A body that never ends and is never silent for long.
struct Drops(tokio::time::Interval);

impl Body for Drops {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0
            .poll_tick(context)
            .map(|_| Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

/// The answer of an ill endpoint at `path`; `None` never comes.
pub(super) fn answer(ill: Ill, path: &str) -> Option<Answer> {
    let json = |body: Bytes| with("application/json", whole(body));
    Some(match ill {
        Ill::Hangs => return None,
        Ill::HangsInTheBody => with("application/json", pieces(1, End::Never)),
        Ill::Trickles => {
            let drops = Drops(tokio::time::interval(Duration::from_millis(20)));
            with("application/json", drops.boxed())
        }
        Ill::BreaksOff => with("application/json", pieces(70_000, End::Broken)),
        Ill::Endless => with("application/json", pieces(usize::MAX, End::Never)),
        Ill::Huge(bytes) => json(padded(bytes)),
        Ill::HugeInChunks(bytes) => with("application/json", pieces(bytes, End::Whole)),
        Ill::GzipBomb => encoded("gzip", bomb()),
        Ill::GzipUnsaid => json(bomb()),
        Ill::GzipClaimed => encoded("gzip", Bytes::from_static(b"{}")),
        Ill::Brotli => encoded("br", Bytes::from_static(b"{}")),
        Ill::Status(status) => return self::answer(Ill::StatusSays(status, "{}"), path),
        Ill::StatusSays(status, body) => {
            let mut answer = json(Bytes::from_static(body.as_bytes()));
            *answer.status_mut() = status.try_into().unwrap();
            answer
        }
        Ill::Redirect(to) => redirect(to),
        Ill::RedirectToItself => redirect(path),
        Ill::Says(kind, body) => with(kind, whole(Bytes::from_static(body.as_bytes()))),
        Ill::Deep(depth) => {
            json(format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into())
        }
        Ill::Empty => json(Bytes::new()),
        Ill::Fields(count) => {
            let mut answer = json(Bytes::from_static(b"{}"));
            for at in 0..count {
                let name: header::HeaderName = format!("x-field-{at}").parse().unwrap();
                answer.headers_mut().insert(name, "x".parse().unwrap());
            }
            answer
        }
        Ill::LongField(bytes) => {
            let mut answer = json(Bytes::from_static(b"{}"));
            let value = "x".repeat(bytes).parse().unwrap();
            answer.headers_mut().insert("x-long", value);
            answer
        }
    })
}

pub(super) fn whole(body: Bytes) -> AnyBody {
    Full::new(body).map_err(|never| match never {}).boxed()
}

fn pieces(left: usize, end: End) -> AnyBody {
    Pieces { left, end }.boxed()
}

fn with(kind: &str, body: AnyBody) -> Answer {
    let mut answer = Response::new(body);
    if !kind.is_empty() {
        let kind = kind.parse().unwrap();
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    answer
}

fn encoded(coding: &str, body: Bytes) -> Answer {
    let mut answer = with("application/json", whole(body));
    let coding = coding.parse().unwrap();
    answer
        .headers_mut()
        .insert(header::CONTENT_ENCODING, coding);
    answer
}

fn redirect(to: &str) -> Answer {
    let mut answer = with("", whole(Bytes::new()));
    *answer.status_mut() = http::StatusCode::FOUND;
    answer
        .headers_mut()
        .insert(header::LOCATION, to.parse().unwrap());
    answer
}

/// An object with this many bytes of blanks in it.
fn padded(bytes: usize) -> Bytes {
    let mut text = vec![b' '; bytes];
    *text.first_mut().unwrap() = b'{';
    *text.last_mut().unwrap() = b'}';
    text.into()
}

/// `{`, ten million blanks and `}` in a gzip of a few kilobytes (RFC 1952), without a compressor: a
/// block of RFC 1951 with the fixed code, whose copies repeat one blank.
fn bomb() -> Bytes {
    static BOMB: OnceLock<Bytes> = OnceLock::new();
    BOMB.get_or_init(packed).clone()
}

fn packed() -> Bytes {
    let mut bits = Bits::default();
    let plain = [&[b'{', b' '][..], &vec![b' '; 258 * 40_000], b"}"].concat();
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    bits.literal(b'{');
    bits.literal(b' ');
    for _ in 0..40_000 {
        // Length 258 is the code 285 without further bits; distance 1 is the code 0.
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.literal(b'}');
    bits.code(0, 7);
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    file.extend(bits.bytes);
    file.extend(crc32(&plain).to_le_bytes());
    file.extend(u32::try_from(plain.len()).unwrap().to_le_bytes());
    file.into()
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// Least significant bit first.
    fn push(&mut self, value: u32, count: u32) {
        for at in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::try_from(value >> at & 1).unwrap();
            *self.bytes.last_mut().unwrap() |= bit << (self.used % 8);
            self.used += 1;
        }
    }

    /// A Huffman code: most significant bit first.
    fn code(&mut self, value: u32, count: u32) {
        for at in (0..count).rev() {
            self.push(value >> at & 1, 1);
        }
    }

    /// A byte below 144.
    fn literal(&mut self, byte: u8) {
        self.code(0x30 + u32::from(byte), 8);
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    let table: Vec<u32> = (0..256).map(|byte| (0..8).fold(byte, step)).collect();
    let all = bytes.iter().fold(u32::MAX, |crc, byte| {
        crc >> 8 ^ table[((crc ^ u32::from(*byte)) & 0xff) as usize]
    });
    !all
}
