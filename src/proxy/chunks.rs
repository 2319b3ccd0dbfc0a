//! Where a chunked body ends (RFC 9112 section 7.1), read so that nobody could read it otherwise.
//!
//! Stricter than the grammar, and than pingora's reader, which takes anything for an extension, bare
//! line feeds included, and a missing size for the last chunk. Whoever stands before or behind us may
//! see a message's end there (and what follows it as another message), so such a body is refused.

/// The most bytes of chunk extensions in one body; nobody needs any.
const MAX_EXTENSIONS: usize = 1024;
/// The most bytes of the trailer section, which ends here anyway.
const MAX_TRAILER: usize = 8 * 1024;
/// Hexadecimal digits of a chunk's size: what a `u64` holds.
const MAX_DIGITS: u8 = 16;

/// Finds the end of a chunked body without keeping any of it.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    extensions: usize,
    trailer: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before the first digit of a size.
    #[default]
    SizeStart,
    Size {
        size: u64,
        digits: u8,
    },
    Extension(u64),
    /// Behind the CR of a size's line.
    SizeEnd(u64),
    Data(u64),
    /// Before the CR, then the LF, that close a chunk.
    DataEnd,
    DataLineFeed,
    /// At the beginning of a trailer field, or of the empty line that ends the body.
    TrailerStart,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
    Done,
    Broken,
}

impl Chunks {
    /// Looks at the next piece. `Some` once the body has ended: so many bytes of this piece belong to
    /// it.
    ///
    /// # Errors
    /// When the framing is broken, or could be read in two ways; and ever after.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Option<usize>, &'static str> {
        let mut at = 0_usize;
        while let Some(&byte) = piece.get(at) {
            match self.state {
                State::Done => return Ok(Some(at)),
                State::Data(left) => {
                    let here = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(piece.len() - at);
                    self.state = match left.saturating_sub(here as u64) {
                        0 => State::DataEnd,
                        left => State::Data(left),
                    };
                    at += here;
                }
                _ => {
                    self.state = self
                        .step(byte)
                        .inspect_err(|_| self.state = State::Broken)?;
                    at += 1;
                }
            }
        }
        Ok(matches!(self.state, State::Done).then_some(at))
    }

    /// What follows one byte of the framing.
    fn step(&mut self, byte: u8) -> Result<State, &'static str> {
        match (self.state, byte) {
            (State::SizeStart, _) => match digit(byte) {
                Some(size) => Ok(State::Size { size, digits: 1 }),
                None => Err("a chunk size is not a number"),
            },
            (State::Size { size, .. } | State::Extension(size), b'\r') => Ok(State::SizeEnd(size)),
            (State::Size { size, .. }, b';') => Ok(State::Extension(size)),
            (State::Size { size, digits }, _) => match digit(byte) {
                Some(value) if digits < MAX_DIGITS => Ok(State::Size {
                    size: (size << 4) | value,
                    digits: digits + 1,
                }),
                Some(_) | None => Err("a chunk size is not a number"),
            },
            (State::Extension(size), _) if is_text(byte) && self.extensions < MAX_EXTENSIONS => {
                self.extensions += 1;
                Ok(State::Extension(size))
            }
            (State::SizeEnd(0), b'\n') => Ok(State::TrailerStart),
            (State::SizeEnd(size), b'\n') => Ok(State::Data(size)),
            (State::DataEnd, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::SizeStart),
            _ => self.step_in_trailer(byte),
        }
    }

    /// The same behind the last chunk.
    fn step_in_trailer(&mut self, byte: u8) -> Result<State, &'static str> {
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::LastLineFeed),
            (State::TrailerStart, b' ' | b'\t') => Err("a folded line in a trailer"),
            (State::Trailer, b'\r') => Ok(State::TrailerLineFeed),
            (State::TrailerStart | State::Trailer, _)
                if is_text(byte) && self.trailer < MAX_TRAILER =>
            {
                self.trailer += 1;
                Ok(State::Trailer)
            }
            (State::TrailerLineFeed, b'\n') => Ok(State::TrailerStart),
            (State::LastLineFeed, b'\n') => Ok(State::Done),
            (State::DataEnd, _) => Err("a chunk is longer than it said"),
            (State::Extension(_), _) => Err("a chunk extension that nobody should send"),
            (State::TrailerStart | State::Trailer, _) => Err("a trailer that nobody should send"),
            _ => Err("a line of a chunk's framing does not end with CR LF"),
        }
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// Tab, visible ASCII, and what is beyond ASCII.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_a_body_is_found_however_it_is_cut() {
        let body =
            b"5\r\nhello\r\n1A;x=\"y\"\r\nabcdefghijklmnopqrstuvwxyz\r\n000\r\nT: v\r\nU:\r\n\r\n";
        for cut in 1..body.len() {
            let mut chunks = Chunks::default();
            let (first, second) = body.split_at(cut);
            assert_eq!(chunks.feed(first), Ok(None), "cut at {cut}");
            let behind = [second, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(chunks.feed(&behind), Ok(Some(second.len())), "cut at {cut}");
        }
        let mut bytes = Chunks::default();
        let ends: Vec<_> = body.iter().map(|byte| bytes.feed(&[*byte])).collect();
        assert!(ends.iter().rev().skip(1).all(|end| *end == Ok(None)));
        assert_eq!(ends.last(), Some(&Ok(Some(1))));
        assert_eq!(bytes.feed(b"x"), Ok(Some(0)), "an end stays the end");
    }

    #[test]
    fn what_two_readers_could_end_differently_is_an_error_and_stays_one() {
        let rows: &[&[u8]] = &[
            b"x\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b";a\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"5\t;a\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"-5\r\nhello\r\n",
            b"5_0\r\n",
            b"5\nhello\r\n",
            b"5\r\nhello\n",
            b"5\rhello\r\n",
            b"5\r\r\nhello\r\n",
            b"5;a\nhello\r\n",
            b"5;a\r5\r\n",
            b"5;a\0\r\n",
            b"2\r\nabc\r\n",
            b"2\r\nab0\r\n",
            b"2\r\nab\rx",
            b"10000000000000000\r\n",
            b"00000000000000005\r\nhello\r\n",
            b"fffffffffffffffff\r\n",
            b"0\n\r\n",
            b"0\r\n\n",
            b"0\r\nT: v\n\r\n",
            b"0\r\nT: v\r\n folded\r\n\r\n",
            b"0\r\nT: \0\r\n\r\n",
            b"0\r\n\rx",
        ];
        for body in rows {
            let mut chunks = Chunks::default();
            let shown = body.escape_ascii();
            assert!(chunks.feed(body).is_err(), "{shown}");
            assert!(chunks.feed(b"0\r\n\r\n").is_err(), "{shown} afterwards");
        }
    }

    #[test]
    fn extensions_and_trailers_have_their_limit_over_the_whole_body() {
        let extension = format!("1;{}\r\na\r\n", "x".repeat(400));
        let mut chunks = Chunks::default();
        assert_eq!(chunks.feed(extension.repeat(2).as_bytes()), Ok(None));
        assert!(chunks.feed(extension.as_bytes()).is_err());
        let trailer = format!(
            "0\r\n{}\r\n",
            format!("T: {}\r\n", "x".repeat(97)).repeat(90)
        );
        assert!(Chunks::default().feed(trailer.as_bytes()).is_err());
    }

    proptest! {
        /// No input panics, and how it is cut changes neither the end nor the error.
        #[test]
        fn how_a_body_is_cut_changes_nothing(
            body in "([0-9a-fA-F]{0,3}(;[ -~]{0,4})?\r?\n[a-z\r\n]{0,20}\r?\n?){0,4}(0\r\n([A-Z: ]{0,5}\r\n)?\r\n)?[a-z]{0,3}",
            cut in 0_usize..80,
        ) {
            let body = body.as_bytes();
            let whole = Chunks::default().feed(body);
            let (first, second) = body.split_at(cut.min(body.len()));
            let mut chunks = Chunks::default();
            let parts = match chunks.feed(first) {
                Ok(None) => chunks.feed(second).map(|end| end.map(|end| end + first.len())),
                ended => ended,
            };
            prop_assert_eq!(whole, parts);
        }
    }
}
