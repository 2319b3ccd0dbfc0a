//! Text of strangers: which characters may be shown as they are.

use std::fmt::Write as _;

/// A text not longer than a log line should be: its first 200 characters.
pub fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Whether `c` draws something of its own: not a control character, and not one that redraws its
/// neighbours (bidirectional overrides, zero-width characters, separators of lines, tags). A name
/// with such a character could look like another, and a log line like two.
pub fn draws(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` with what does not draw replaced, for a line of a terminal.
pub fn shown(text: &str) -> String {
    let shown = text.chars().map(|c| if draws(c) { c } else { '\u{fffd}' });
    shown.collect()
}

/// A JSON text with JSON's escapes also where JSON asks for none: for every character that does not
/// draw. Such characters stand within strings only, where an escape means the same.
pub fn escaped_json(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if draws(c) {
            line.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_draw_reaches_no_terminal() {
        let text = "a\u{1b}[2J\u{202e}b\u{e0041}";
        assert_eq!(shown(text), "a\u{fffd}[2J\u{fffd}b\u{fffd}");
        let json = serde_json::to_string(text).unwrap();
        let escaped = escaped_json(&json);
        assert!(escaped.chars().all(draws), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
