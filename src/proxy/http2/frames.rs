//! A client's HTTP/2 frames, counted before the library reads them (RFC 9113 section 4.1): what costs
//! the client nothing and us an answer is bounded, and what has begun must end in time.
//!
//! The library bounds what it must keep: streams, header lists, CONTINUATION frames of one list, empty
//! DATA frames, resets before a request was taken. What it does not: resets of requests that we have
//! begun to serve, frames that ask for an acknowledgement, and time.

use std::time::Duration;

use tokio::time::Instant;

/// The client connection preface (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;
/// `ENHANCE_YOUR_CALM` (RFC 9113 section 7).
const CALM: u8 = 0xb;

/// Requests that a client may break off: at once, and a second. A page that is left breaks off all of
/// its own, a hundred at most.
const RESETS: Budget = Budget::new(200, 20);
/// Frames that we answer or that bring nothing: settings, pings, priorities, empty data, frames of a
/// kind that nobody knows. Browsers send a few for each request.
const IDLE_TALK: Budget = Budget::new(1000, 100);
/// Window updates. A fast download brings thousands a second.
const WINDOWS: Budget = Budget::new(20_000, 20_000);

/// Why a connection is not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// Too many requests were broken off.
    Resets,
    /// Too many frames that bring nothing.
    IdleTalk,
    /// A frame, or a list of header fields, did not end in time.
    Slow,
}

impl Excess {
    /// For the log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Resets => "too many requests were broken off",
            Self::IdleTalk => "too many frames that bring nothing",
            Self::Slow => "a list of header fields did not arrive in time",
        }
    }
}

/// Where one client's frames are.
#[derive(Debug)]
pub struct Frames {
    at: At,
    /// A list of header fields goes on in the next frame.
    in_fields: bool,
    /// Since when something is under way that must end soon.
    begun: Option<Instant>,
    last_stream: u32,
    resets: Budget,
    idle_talk: Budget,
    windows: Budget,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// So many bytes of the preface are still to come.
    Preface(usize),
    /// So many bytes of a frame's head are there.
    Head([u8; 9], usize),
    /// So many bytes of a frame's payload are still to come.
    Payload(usize),
}

const NEXT: At = At::Head([0; 9], 0);

impl Frames {
    /// A connection's, from its preface on, which must come soon after `now`.
    pub const fn new(now: Instant) -> Self {
        Self {
            at: At::Preface(PREFACE.len()),
            in_fields: false,
            begun: Some(now),
            last_stream: 0,
            resets: RESETS,
            idle_talk: IDLE_TALK,
            windows: WINDOWS,
        }
    }

    /// When that which is under way must have ended, if it may take `patience`. Data may take its time:
    /// a body's is counted elsewhere.
    pub fn deadline(&self, patience: Duration) -> Option<Instant> {
        self.begun.map(|begun| begun + patience)
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// When there was too much of something; nothing more should be read then.
    pub fn feed(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Excess> {
        while let Some(&byte) = bytes.first() {
            let taken = match self.at {
                At::Preface(left) => {
                    let taken = left.min(bytes.len());
                    self.at = match left - taken {
                        0 => NEXT,
                        left => At::Preface(left),
                    };
                    taken
                }
                At::Head(mut head, have) => {
                    self.begun.get_or_insert(now);
                    if let Some(place) = head.get_mut(have) {
                        *place = byte;
                    }
                    self.at = At::Head(head, have + 1);
                    if have + 1 == head.len() {
                        self.head(head, now)?;
                    }
                    1
                }
                At::Payload(left) => {
                    let taken = left.min(bytes.len());
                    self.payload(left - taken);
                    taken
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn head(&mut self, head: [u8; 9], now: Instant) -> Result<(), Excess> {
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match kind {
            HEADERS => {
                self.last_stream = self
                    .last_stream
                    .max(u32::from_be_bytes(stream) & 0x7fff_ffff);
                self.in_fields = flags & END_HEADERS == 0;
            }
            CONTINUATION => {
                self.idle_talk.take(now).ok_or(Excess::IdleTalk)?;
                self.in_fields = flags & END_HEADERS == 0;
            }
            RST_STREAM => self.resets.take(now).ok_or(Excess::Resets)?,
            WINDOW_UPDATE => self.windows.take(now).ok_or(Excess::IdleTalk)?,
            DATA if length > 0 => {
                if !self.in_fields {
                    self.begun = None;
                }
            }
            _ => self.idle_talk.take(now).ok_or(Excess::IdleTalk)?,
        }
        self.payload(length);
        Ok(())
    }

    /// So much of a frame's payload is still to come.
    fn payload(&mut self, left: usize) {
        self.at = match left {
            0 => NEXT,
            left => At::Payload(left),
        };
        if left == 0 && !self.in_fields {
            self.begun = None;
        }
    }

    /// The frame that tells the client why it is left: GOAWAY with `ENHANCE_YOUR_CALM`.
    pub fn farewell(&self) -> [u8; 17] {
        let [a, b, c, d] = self.last_stream.to_be_bytes();
        [0, 0, 8, 0x7, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, CALM]
    }
}

/// So many at once, and so many more a second.
#[derive(Debug)]
struct Budget {
    most: u32,
    a_second: u32,
    left: u32,
    /// Up to when `left` counts what came back.
    since: Option<Instant>,
}

impl Budget {
    const fn new(most: u32, a_second: u32) -> Self {
        Self {
            most,
            a_second,
            left: most,
            since: None,
        }
    }

    fn take(&mut self, now: Instant) -> Option<()> {
        let since = *self.since.get_or_insert(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        if seconds > 0 {
            let back = u32::try_from(seconds).unwrap_or(u32::MAX);
            let back = back.saturating_mul(self.a_second);
            self.left = self.left.saturating_add(back).min(self.most);
            self.since = Some(now);
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }
}

#[cfg(test)]
mod tests;
