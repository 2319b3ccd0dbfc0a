//! Templates: `{username}`, `{groups:|}`, `{name} <{email}>`. A claim's value is encoded so that whoever
//! knows the template reads exactly the claims out of it again: no value can forge a separator, another
//! claim, or the end of the line.

use super::super::identity::Email;
use super::Told;

/// A claim that a template names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `{username}`: the value of `oidc.username_claim`.
    Username,
    /// `{email}`.
    Email,
    /// `{name}`.
    Name,
    /// `{groups}`, joined with a comma, or with what stands behind the colon of `{groups:|}`.
    Groups(char),
    /// `{subject}`: the provider's `sub`.
    Subject,
    /// `{issuer}`: the provider's `iss`.
    Issuer,
}

/// Words and what they stand for.
const CLAIMS: &[(&str, Claim)] = &[
    ("username", Claim::Username),
    ("email", Claim::Email),
    ("name", Claim::Name),
    ("groups", Claim::Groups(',')),
    ("subject", Claim::Subject),
    ("issuer", Claim::Issuer),
];

/// What may stand between two groups.
const SEPARATORS: &[char] = &[',', '|', ';', ' '];

/// Most bytes of a template.
const LONGEST: usize = 500;

/// Text with claims in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    /// Bytes that no value may show, beside those of every value.
    apart: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Claim(Claim),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// Every person would be called the same.
    #[error("names no claim, so that everybody would be told as the same person")]
    NoClaim,
    /// A name in braces that is no claim's.
    #[error("there is no claim {{{0}}} to tell")]
    Unknown(String),
    /// `{groups:…}` with something else than one separator.
    #[error("groups are joined with a comma, a bar, a semicolon or a blank")]
    Separator,
    /// A brace without its other half.
    #[error("a brace without its other half")]
    Brace,
    /// What a field's value cannot hold, or a reader would trim.
    #[error("holds something else than visible ASCII and blanks between, or more than 500 of it")]
    Text,
    /// Two claims that nobody could tell apart in the value.
    #[error(
        "two claims need a punctuation mark between them, and groups one that does not join them"
    )]
    Ambiguous,
}

impl Template {
    /// A claim alone.
    pub(super) fn of(claim: Claim) -> Self {
        Self::made(vec![Piece::Claim(claim)])
    }

    /// Parses what the operator wrote. `{{` and `}}` are braces.
    ///
    /// # Errors
    /// [`TemplateFault`].
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let visible = |c: char| c == ' ' || c.is_ascii_graphic();
        if text.len() > LONGEST || text.trim() != text || !text.chars().all(visible) {
            return Err(TemplateFault::Text);
        }
        let template = Self::made(pieces(text)?);
        if !template
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Claim(_)))
        {
            return Err(TemplateFault::NoClaim);
        }
        if template.is_ambiguous() {
            return Err(TemplateFault::Ambiguous);
        }
        Ok(template)
    }

    fn made(pieces: Vec<Piece>) -> Self {
        let claims = pieces
            .iter()
            .filter(|piece| matches!(piece, Piece::Claim(_)));
        let several = claims.count() > 1;
        let mut apart = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Text(text) if several => {
                    apart.extend(text.bytes().filter(|byte| !byte.is_ascii_alphanumeric()));
                }
                // The others are encoded in every value.
                Piece::Claim(Claim::Groups(' ')) => apart.push(b' '),
                Piece::Text(_) | Piece::Claim(_) => {}
            }
        }
        Self { pieces, apart }
    }

    /// Whether two values could run into one another: no mark between them that both would have to
    /// encode, or one that stands between groups as well.
    fn is_ambiguous(&self) -> bool {
        let marks = |text: &str| text.contains(|c: char| !c.is_ascii_alphanumeric());
        let separators: Vec<char> = self
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Claim(Claim::Groups(separator)) => Some(*separator),
                Piece::Claim(_) | Piece::Text(_) => None,
            })
            .collect();
        // What stands before the first claim or behind the last one separates nothing.
        let is_claim = |piece: &Piece| matches!(piece, Piece::Claim(_));
        let first = self.pieces.iter().position(is_claim).unwrap_or(0);
        let last = self.pieces.iter().rposition(is_claim).unwrap_or(0);
        let inner = self.pieces.get(first..=last).unwrap_or_default();
        let touching = inner.windows(2).any(|pair| pair.iter().all(is_claim));
        let weak = inner.iter().any(|piece| match piece {
            Piece::Text(text) => !marks(text) || text.contains(&separators[..]),
            Piece::Claim(_) => false,
        });
        touching || weak
    }

    /// The value for `told`: visible ASCII. `None` where a claim that it names is missing, since a name
    /// with a hole in it could be somebody else's.
    pub fn fill(&self, told: Told<'_>) -> Option<String> {
        let mut value = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Claim(claim) => self.say(*claim, told, &mut value)?,
            }
        }
        Some(value)
    }

    fn say(&self, claim: Claim, told: Told<'_>, value: &mut String) -> Option<()> {
        let who = told.who;
        let text = match claim {
            // No other claim stands in for a missing name: it could be somebody else's name.
            Claim::Username => who.username.as_deref(),
            Claim::Name => who.name.as_deref(),
            Claim::Email => who.email.as_ref().filter(|_| told.email).map(Email::as_str),
            Claim::Subject => Some(who.subject.as_str()),
            Claim::Issuer => Some(who.issuer.as_str()),
            Claim::Groups(separator) => {
                let mut groups = who.groups.iter().filter(|group| !group.is_empty());
                encode(groups.next()?, &self.apart, value);
                for group in groups {
                    value.push(separator);
                    encode(group, &self.apart, value);
                }
                return Some(());
            }
        };
        let text = text.filter(|text| !text.trim().is_empty())?;
        encode(text, &self.apart, value);
        Some(())
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateFault> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let doubled = rest.as_str().starts_with(c);
        match c {
            '{' | '}' if doubled => {
                rest.next();
                plain.push(c);
            }
            '{' => {
                let (inner, behind) = rest.as_str().split_once('}').ok_or(TemplateFault::Brace)?;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Claim(claim(inner)?));
                rest = behind.chars();
            }
            '}' => return Err(TemplateFault::Brace),
            _ => plain.push(c),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn claim(inner: &str) -> Result<Claim, TemplateFault> {
    if let Some(separator) = inner.strip_prefix("groups:") {
        let mut separators = SEPARATORS.iter();
        let known = separators.find(|known| separator.strip_prefix(**known) == Some(""));
        return known
            .map(|known| Claim::Groups(*known))
            .ok_or(TemplateFault::Separator);
    }
    let known = CLAIMS.iter().find(|(word, _)| *word == inner);
    known
        .map(|(_, claim)| *claim)
        .ok_or_else(|| TemplateFault::Unknown(inner.to_owned()))
}

/// The words that may stand in braces.
pub fn claims() -> impl Iterator<Item = &'static str> {
    CLAIMS.iter().map(|(word, _)| *word)
}

/// A claim as one header value: visible ASCII as it is; everything else, whatever could be taken for
/// a separator, and blanks at the edges (which readers trim), percent-encoded (RFC 3986 section 2.1),
/// so that no value can forge another.
pub fn encode_claim(claim: &str) -> String {
    let mut value = String::with_capacity(claim.len());
    encode(claim, &[], &mut value);
    value
}

/// The same at the end of `value`, with the bytes of `apart` encoded too.
fn encode(claim: &str, apart: &[u8], value: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| {
        DIGITS
            .get(usize::from(nibble))
            .copied()
            .map_or('0', char::from)
    };
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !b"%,|;\"".contains(&byte) && !apart.contains(&byte);
    value.reserve(claim.len());
    if claim.bytes().all(is_plain) {
        return value.push_str(claim);
    }
    let rest = claim.trim_start_matches(' ');
    let inner =
        claim.len() - rest.len()..claim.len() - rest.len() + rest.trim_end_matches(' ').len();
    for (at, byte) in claim.bytes().enumerate() {
        let blank = byte == b' ' && inner.contains(&at);
        if is_plain(byte) || (blank && !apart.contains(&byte)) {
            value.push(char::from(byte));
        } else {
            value.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}
