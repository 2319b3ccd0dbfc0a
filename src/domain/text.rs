//! Text of strangers: which characters may be shown as they are.

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
