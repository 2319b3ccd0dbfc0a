//! What comes and goes with a request: the `traceparent` field of W3C's Trace Context. Pure.

use std::fmt;

/// A trace's id; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub(super) [u8; 16]);

/// A span's id; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub(super) [u8; 8]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Where a span hangs in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: TraceId,
    /// The span above.
    pub span: SpanId,
    /// Whether whoever began the trace records it.
    pub sampled: bool,
}

impl Parent {
    /// Reads a `traceparent` (section 3.2): version, trace, span and flags, in lower case. Of a version
    /// that is newer than 00 the same parts are read, whatever follows.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = octets::<1>(parts.next()?)?;
        let trace = octets::<16>(parts.next()?)?;
        let span = octets::<8>(parts.next()?)?;
        let flags = octets::<1>(parts.next()?)?;
        let more = parts.next().is_some();
        let known = match version {
            [0] => !more,
            [0xff] => false,
            _ => true,
        };
        let there = trace != [0; 16] && span != [0; 8];
        (known && there).then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            sampled: flags.first().is_some_and(|flags| flags & 1 == 1),
        })
    }
}

impl fmt::Display for Parent {
    /// The value of a `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{}-{}-{flags:02x}", self.trace, self.span)
    }
}

fn octets<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (high, low) = (pair.first()?, pair.get(1)?);
        *octet = digit(high)? << 4 | digit(low)?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_field_is_read_as_the_standard_says_and_said_again() {
        let parent = Parent::parse(GOOD).unwrap();
        assert_eq!(parent.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span.to_string(), "00f067aa0ba902b7");
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), GOOD);
        for (text, sampled) in [
            (GOOD.replace("-01", "-00"), Some(false)),
            (GOOD.replace("-01", "-03"), Some(true)),
            (GOOD.replace("-01", "-fe"), Some(false)),
            (GOOD.replace("00-4", "01-4"), Some(true)),
            (GOOD.replace("00-4", "cc-4") + "-what-follows", Some(true)),
            (GOOD.to_owned() + "-x", None),
            (GOOD.replace("00-4", "ff-4"), None),
            (GOOD.to_uppercase(), None),
            (
                GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
                None,
            ),
            (GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), None),
            (GOOD.replace("00f067", "00g067"), None),
            (GOOD.replace("00f067", "0f067"), None),
            (GOOD.replace('-', "_"), None),
            (GOOD[..52].to_owned(), None),
            (format!(" {GOOD}"), None),
            ("00".to_owned(), None),
            (String::new(), None),
            ("é".repeat(30), None),
        ] {
            let found = Parent::parse(&text).map(|parent| parent.sampled);
            assert_eq!(found, sampled, "{text:?}");
        }
    }
}
