//! One event, one line: bounded, and without a character that could end it, move a cursor or turn
//! text around. What a client or the provider sent may hold all of these.

use std::io::{self, Write};

use serde_json::{Map, Value};
use tracing_subscriber::fmt::MakeWriter;

use super::Format;
use crate::domain::text::{draws, escaped_json};

/// Longest line in bytes.
pub(super) const LONGEST_LINE: usize = 16 * 1024;
/// Longest value, in characters, of a JSON line that would be longer than that.
const LONGEST_VALUE: usize = 512;

/// Writes each event on one line to `writer`.
pub(super) struct OneLine<W> {
    format: Format,
    writer: W,
}

impl<W> OneLine<W> {
    pub(super) const fn new(format: Format, writer: W) -> Self {
        Self { format, writer }
    }
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        OneLine::new(self.format, self.writer.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    /// The formatter writes each event whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if is_a_plain_line(event) {
            self.writer.write_all(event)?;
            return Ok(event.len());
        }
        let text = String::from_utf8_lossy(event.strip_suffix(b"\n").unwrap_or(event));
        let mut line = match self.format {
            Format::Human => for_people(&text),
            Format::Json => as_json(&text),
        };
        line.push('\n');
        self.writer.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Whether `event` can be written as it is: visible ASCII and blanks, one line feed behind them, and not
/// too long. Most are.
fn is_a_plain_line(event: &[u8]) -> bool {
    let Some(line) = event.strip_suffix(b"\n") else {
        return false;
    };
    // All of them are looked at: that is what a processor does many at a time.
    let plain = |all: bool, byte: &u8| all & matches!(byte, b' '..=b'~');
    line.len() < LONGEST_LINE && line.iter().fold(true, plain)
}

/// The text with Rust's escapes, cut where it is too long.
fn for_people(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST_LINE) + 1);
    for c in text.chars() {
        if draws(c) {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
        if line.len() >= LONGEST_LINE {
            line.push('…');
            break;
        }
    }
    line
}

/// The object with JSON's escapes also where JSON asks for none. One that is too long keeps all its
/// fields, their texts cut; if that does not help, only those that say what it is about.
fn as_json(text: &str) -> String {
    if text.len() <= LONGEST_LINE {
        return escaped_json(text);
    }
    let Ok(Value::Object(mut event)) = serde_json::from_str(text) else {
        return escaped_json(
            "{\"level\":\"ERROR\",\"message\":\"a log line could not be bounded\"}",
        );
    };
    event.values_mut().for_each(shorten);
    let line = escaped_json(&Value::Object(event.clone()).to_string());
    if line.len() <= LONGEST_LINE {
        return line;
    }
    let kept = ["timestamp", "level", "target", "message"];
    let event: Map<String, Value> = event
        .into_iter()
        .filter(|(name, _)| kept.contains(&name.as_str()))
        .collect();
    escaped_json(&Value::Object(event).to_string())
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((at, _)) = text.char_indices().nth(LONGEST_VALUE) {
                text.truncate(at);
                text.push('…');
            }
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
