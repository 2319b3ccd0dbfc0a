//! `HuJSON`: JSON (RFC 8259) with comments and trailing commas, the language of Headscale's policy. It is
//! cut into tokens whose places are known, so that whoever changes a text changes nothing but what stands
//! between two of them. No recursion, whatever the text is.

use std::ops::Range;

use serde_json::Value;

/// Deepest nesting that is read. A policy has six levels.
const DEEPEST: usize = 64;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{` or `[`.
    Open,
    /// `}` or `]`.
    Close,
    /// `:`
    Colon,
    /// `,`
    Comma,
    /// A text, with its quotes.
    Text,
    /// A number, `true`, `false` or `null`; or what is none of them.
    Word,
    /// `// …`, without the end of its line.
    LineComment,
    /// `/* … */`
    BlockComment,
}

/// A part of the text that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it is, in bytes.
    pub at: Range<usize>,
    /// In how many brackets it is; a bracket is as deep as what is around it.
    pub depth: usize,
}

impl Token {
    /// Whether it is a comment.
    pub const fn is_comment(&self) -> bool {
        matches!(self.kind, Kind::LineComment | Kind::BlockComment)
    }
}

/// Why a text is no `HuJSON`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct HujsonError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong there; nothing of the text itself.
    pub what: &'static str,
}

/// A text that is `HuJSON`: its tokens in their order, and what it means.
#[derive(Debug)]
pub struct Document<'a> {
    /// The whole.
    pub text: &'a str,
    /// Every token.
    pub tokens: Vec<Token>,
    /// What it means; of a key that is there twice, the last.
    pub value: Value,
}

impl<'a> Document<'a> {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`HujsonError`].
    pub fn parse(text: &'a str) -> Result<Self, HujsonError> {
        let tokens = Reader::new(text).tokens()?;
        let json = standard(text, &tokens);
        // The parser's own words would quote the text.
        let value = serde_json::from_str(&json).map_err(|error| HujsonError {
            line: error.line(),
            what: "not JSON with comments and trailing commas",
        })?;
        Ok(Self {
            text,
            tokens,
            value,
        })
    }

    /// The text of a token.
    pub fn of(&self, token: &Token) -> &'a str {
        self.text.get(token.at.clone()).unwrap_or_default()
    }

    /// What a token of [`Kind::Text`] says, its escapes resolved.
    pub fn said(&self, token: &Token) -> String {
        serde_json::from_str(self.of(token)).unwrap_or_default()
    }

    /// The next token behind the one numbered `index` that is no comment.
    pub fn next(&self, index: usize) -> Option<usize> {
        let rest = self.tokens.get(index.checked_add(1)?..)?;
        let found = rest.iter().position(|token| !token.is_comment())?;
        index.checked_add(1)?.checked_add(found)
    }

    /// The last token before the one numbered `index` that is no comment.
    pub fn before(&self, index: usize) -> Option<usize> {
        let first = self.tokens.get(..index)?;
        first.iter().rposition(|token| !token.is_comment())
    }
}

/// The same text as JSON: blanks in place of comments and of commas at an end. Every byte stays where it
/// is, and every line.
fn standard(text: &str, tokens: &[Token]) -> String {
    let mut json = String::with_capacity(text.len());
    let mut from = 0;
    let mut rest = tokens.iter().filter(|token| !token.is_comment()).peekable();
    let mut last = None;
    for token in tokens {
        let blank = if token.is_comment() {
            true
        } else {
            rest.next();
            let closes = rest.peek().is_some_and(|next| next.kind == Kind::Close);
            let behind = matches!(last, Some(Kind::Text | Kind::Word | Kind::Close));
            last = Some(token.kind);
            token.kind == Kind::Comma && closes && behind
        };
        if blank {
            json.push_str(text.get(from..token.at.start).unwrap_or_default());
            let hidden = text.get(token.at.clone()).unwrap_or_default().bytes();
            json.extend(hidden.map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            from = token.at.end;
        }
    }
    json.push_str(text.get(from..).unwrap_or_default());
    json
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    fn tokens(mut self) -> Result<Vec<Token>, HujsonError> {
        let mut tokens = Vec::new();
        while let Some(first) = self.rest().bytes().next() {
            if matches!(first, b' ' | b'\t' | b'\n' | b'\r') {
                self.at += 1;
                continue;
            }
            tokens.push(self.token(first)?);
        }
        Ok(tokens)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn token(&mut self, first: u8) -> Result<Token, HujsonError> {
        let start = self.at;
        if matches!(first, b'}' | b']') {
            self.depth = self.depth.saturating_sub(1);
        }
        let depth = self.depth;
        let kind = match first {
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return Err(self.no("nested too deeply"));
                }
                Kind::Open
            }
            b'}' | b']' => Kind::Close,
            b':' => Kind::Colon,
            b',' => Kind::Comma,
            b'"' => Kind::Text,
            b'/' if self.rest().starts_with("//") => Kind::LineComment,
            b'/' if self.rest().starts_with("/*") => Kind::BlockComment,
            _ => Kind::Word,
        };
        let length = match kind {
            Kind::Open | Kind::Close | Kind::Colon | Kind::Comma => 1,
            Kind::Text => self.quoted()?,
            Kind::LineComment => {
                let line = self.rest().split('\n').next().unwrap_or_default();
                line.strip_suffix('\r').unwrap_or(line).len()
            }
            Kind::BlockComment => match self.rest().get(2..).and_then(|rest| rest.find("*/")) {
                Some(end) => end + 4,
                None => return Err(self.no("a comment without an end")),
            },
            Kind::Word => self.word()?,
        };
        self.at += length;
        let at = start..self.at;
        Ok(Token { kind, at, depth })
    }

    /// The length of a text, quotes included.
    fn quoted(&self) -> Result<usize, HujsonError> {
        let mut escaped = false;
        for (index, byte) in self.rest().bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Ok(index + 1),
                _ => {}
            }
        }
        Err(self.no("a text without an end"))
    }

    /// The length of a number or name.
    fn word(&self) -> Result<usize, HujsonError> {
        let is_of_a_word = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let length = self.rest().bytes().take_while(|b| is_of_a_word(*b)).count();
        if length == 0 {
            return Err(self.no("a character that has no place outside of a text or comment"));
        }
        Ok(length)
    }

    fn no(&self, what: &'static str) -> HujsonError {
        let before = self.text.get(..self.at).unwrap_or_default();
        HujsonError {
            line: before.matches('\n').count() + 1,
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_read_and_no_other_leniency_is() {
        for (text, meant) in [
            ("{}", Some(json!({}))),
            ("{\"a\": [1, 2,], } // end", Some(json!({"a": [1, 2]}))),
            (
                "/* a */ {\"a\" /**/ : // x\n 1 /* , } */ , }",
                Some(json!({"a": 1})),
            ),
            (
                "{\"// no\": \"/* no */\\\" // \"}",
                Some(json!({"// no": "/* no */\" // "})),
            ),
            ("{\"a\": 1 // x\r, \"b\": 2\n}", Some(json!({"a": 1}))),
            (
                "{\"a\": -1.5e3, \"b\": null}",
                Some(json!({"a": -1500.0, "b": null})),
            ),
            ("[\"\u{e9}\", /* \u{e9} */ 1,]", Some(json!(["\u{e9}", 1]))),
            ("", None),
            ("// only", None),
            ("[,]", None),
            ("{,}", None),
            ("[1,,]", None),
            ("[1 2]", None),
            ("{\"a\" 1}", None),
            ("{\"a\": 1,} {}", None),
            ("{a: 1}", None),
            ("{'a': 1}", None),
            ("[0x10]", None),
            ("[+1]", None),
            ("[.5]", None),
            ("[NaN]", None),
            ("[\"\\x41\"]", None),
            ("[\"a\nb\"]", None),
            ("# x\n{}", None),
            ("/ {}", None),
            ("/* {}", None),
            ("[\"a]", None),
            ("\u{feff}{}", None),
            ("\u{a0}{}", None),
            ("\u{b}{}", None),
            ("[}", None),
            ("]", None),
        ] {
            let read = Document::parse(text).ok().map(|document| document.value);
            assert_eq!(read, meant, "{text:?}");
        }
    }

    #[test]
    fn a_token_knows_its_place_and_its_depth_and_a_mistake_its_line() {
        let text = "{ // x\r\n\"a\": [/* y */ true],\n}";
        let document = Document::parse(text).unwrap();
        let told: Vec<(&str, usize)> = document
            .tokens
            .iter()
            .map(|token| (document.of(token), token.depth))
            .collect();
        let meant = [
            ("{", 0),
            ("// x", 1),
            ("\"a\"", 1),
            (":", 1),
            ("[", 1),
            ("/* y */", 2),
            ("true", 2),
            ("]", 1),
            (",", 1),
            ("}", 0),
        ];
        assert_eq!(told, meant);
        assert_eq!(document.next(4), Some(6));
        assert_eq!(document.before(6), Some(4));
        assert_eq!(document.before(0), None);
        assert_eq!(document.next(9), None);
        let wrong = Document::parse("{\n\n  ~}").unwrap_err();
        assert_eq!(wrong.line, 3);
        let wrong = Document::parse("{\n// x\n \"a\" 1}").unwrap_err();
        assert_eq!(wrong.line, 3);
    }

    #[test]
    fn no_depth_breaks_anything() {
        for open in ["[", "{\"a\":", "[{\"a\":"] {
            let deep = open.repeat(300_000);
            let wrong = Document::parse(&deep).unwrap_err();
            assert_eq!(wrong.what, "nested too deeply");
        }
        let fine = format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        assert!(Document::parse(&fine).is_ok());
    }
}
