//! A token of the provider's while it waits to be sent back: in three quarters of its bytes, since
//! almost every token is base64url, or texts of that with dots between (a JWS in its compact form,
//! RFC 7515 section 3.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::secret::Secret;

/// A token, packed. What was packed comes back byte for byte, whatever it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Secret<Box<[u8]>>);

/// What the first byte says of a text that is kept as it is; else it is the number of parts.
const AS_IT_IS: u8 = 0;

impl Token {
    /// Packs `text`.
    pub fn pack(text: &Secret<String>) -> Self {
        let text = text.expose();
        let packed = decoded(text).unwrap_or_else(|| [&[AS_IT_IS], text.as_bytes()].concat());
        Self(Secret::new(packed.into_boxed_slice()))
    }

    /// The token's text.
    pub fn unpack(&self) -> Secret<String> {
        Secret::new(encoded(self.0.expose()).unwrap_or_default())
    }

    /// How many bytes it is kept in.
    pub fn len(&self) -> usize {
        self.0.expose().len()
    }

    /// Whether it is kept in no bytes: never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The number of parts in a byte, the length of each but the last in two (most significant first), and
/// their bytes. `None` for what would not come back as it was: another alphabet, padding, bits beyond
/// the last byte (the decoder refuses all three); and for parts too many or too long to be counted so.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let parts = text
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .collect::<Option<Vec<Vec<u8>>>>()?;
    let mut packed = Vec::with_capacity(text.len());
    packed.push(u8::try_from(parts.len()).ok()?);
    let (_, but_the_last) = parts.split_last()?;
    for part in but_the_last {
        packed.extend(u16::try_from(part.len()).ok()?.to_be_bytes());
    }
    packed.extend(parts.concat());
    Some(packed)
}

/// What [`Token::pack`] packed; `None` for anything else, which there is not.
fn encoded(packed: &[u8]) -> Option<String> {
    let (count, mut rest) = packed.split_first()?;
    if *count == AS_IT_IS {
        return String::from_utf8(rest.to_vec()).ok();
    }
    let mut lengths = Vec::with_capacity(usize::from(*count));
    for _ in 1..*count {
        let (length, others) = rest.split_first_chunk()?;
        lengths.push(usize::from(u16::from_be_bytes(*length)));
        rest = others;
    }
    let mut text = String::with_capacity(rest.len() * 4 / 3 + usize::from(*count) * 2);
    for length in lengths {
        let (part, others) = rest.split_at_checked(length)?;
        URL_SAFE_NO_PAD.encode_string(part, &mut text);
        text.push('.');
        rest = others;
    }
    URL_SAFE_NO_PAD.encode_string(rest, &mut text);
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(text: &str) -> Token {
        Token::pack(&Secret::new(text.to_owned()))
    }

    /// Text, and the bytes it is kept in.
    #[test]
    fn a_token_comes_back_byte_for_byte_and_takes_fewer_bytes_where_it_is_base64url() {
        for (text, bytes) in [
            ("", 1),
            ("e30", 3),
            ("e30.e30.", 9),
            ("e30.e30.AAAA", 12),
            (".", 3),
            ("..", 5),
            ("a", 2),
            ("_-8", 3),
            // Bits beyond the last byte: it is not what the decoded bytes would be written as.
            ("_-9", 4),
            ("e31", 4),
            ("e30=", 5),
            ("e+0/", 5),
            ("e30 ", 5),
            ("e30\n", 5),
            ("Änn", 5),
            (&"A".repeat(128), 97),
            (
                &["A".repeat(88), "A".repeat(568), "A".repeat(342)].join("."),
                753,
            ),
            // More parts, and longer ones, than are counted.
            (&".".repeat(254), 509),
            (&".".repeat(255), 256),
            (&format!("{}.", "A".repeat(4 * 21_845)), 65_538),
            (&format!("{}.", "A".repeat(4 * 21_846)), 87_386),
        ] {
            let token = packed(text);
            assert_eq!(token.unpack().expose(), text);
            assert_eq!((token.len(), token.is_empty()), (bytes, false), "{text}");
        }
    }

    #[test]
    fn a_debug_print_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", packed("e30.e30.e30")), "Token([secret])");
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_back(text in "\\PC*") {
            prop_assert_eq!(packed(&text).unpack(), Secret::new(text));
        }

        #[test]
        fn whatever_looks_like_a_token_comes_back(text in "[A-Za-z0-9_-]{0,9}(\\.[A-Za-z0-9_=+-]{0,9}){0,5}") {
            prop_assert_eq!(packed(&text).unpack(), Secret::new(text));
        }

        #[test]
        fn no_two_tokens_are_packed_alike(one in "[AQgw.]{0,6}", other in "[AQgw.]{0,6}") {
            prop_assert_eq!(packed(&one) == packed(&other), one == other);
        }
    }
}
