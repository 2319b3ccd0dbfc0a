//! A session's two names: the secret one in the browser's cookie, and the one the server keeps.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::domain::hash::sha256;
use crate::domain::random::Random;

/// Bytes of a session id, and of its key.
const LENGTH: usize = 32;

/// What the browser holds: 256 random bits. A bearer secret, so it has no `Display` and its `Debug`
/// shows nothing; the server forgets it once the cookie is written.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId([u8; LENGTH]);

impl SessionId {
    /// A new id, never one that a browser brought.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; LENGTH];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// Reads a cookie's value: exactly 43 characters of base64url without padding (RFC 4648
    /// section 5), canonical. Anything else is `None`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(LENGTH) => Some(Self(bytes)),
            _ => None,
        }
    }

    /// The cookie's value.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The name under which the server keeps the session.
    pub fn key(&self) -> SessionKey {
        SessionKey(sha256(&self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[session id]")
    }
}

/// What the server keeps: the SHA-256 of the id. Reading the server's memory or log gives nobody a
/// cookie, and finding it by hash leaves nothing to time. `Display` is its first 12 hex digits, for
/// logs; serde and [`SessionKey::to_hex`] give all 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SessionKey([u8; LENGTH]);

/// The text is not 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session key is 64 lower-case hex digits")]
pub struct NotAKey;

impl SessionKey {
    /// Its length in bytes.
    pub(super) const LENGTH: usize = LENGTH;

    pub(super) fn bytes(self) -> [u8; LENGTH] {
        self.0
    }

    /// `None` unless there are 32 bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// All 64 hex digits, for handing the key to another room as text.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// Its first 64 bits, to tell sessions apart where a number is needed.
    pub const fn number(self) -> u64 {
        match self.0.first_chunk() {
            Some(number) => u64::from_be_bytes(*number),
            // A key is longer.
            None => 0,
        }
    }

    /// Reads what [`SessionKey::to_hex`] wrote.
    ///
    /// # Errors
    /// [`NotAKey`] for anything else.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let mut key = [0; LENGTH];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != LENGTH || !rest.is_empty() {
            return Err(NotAKey);
        }
        for (to, [high, low]) in key.iter_mut().zip(pairs) {
            *to = nibble(*high).ok_or(NotAKey)? << 4 | nibble(*low).ok_or(NotAKey)?;
        }
        Ok(Self(key))
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(6)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({self})")
    }
}

impl From<SessionKey> for String {
    fn from(key: SessionKey) -> Self {
        key.to_hex()
    }
}

impl TryFrom<String> for SessionKey {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        Self::parse(&text)
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    nibbles
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::entropy::SystemRandom;

    #[test]
    fn an_id_survives_its_cookie_and_no_two_are_alike() {
        let (a, b) = (
            SessionId::generate(&SystemRandom::new()),
            SessionId::generate(&SystemRandom::new()),
        );
        assert_eq!(SessionId::parse(a.expose().as_bytes()), Some(a.clone()));
        assert_eq!(a.expose().len(), 43);
        assert_ne!(a, b);
        assert_ne!(a.key(), b.key());
    }

    #[test]
    fn only_the_canonical_spelling_of_32_bytes_is_an_id() {
        let good = SessionId([7; 32]).expose();
        let mut bad: Vec<Vec<u8>> = vec![
            Vec::new(),
            b"A".to_vec(),
            good.as_bytes()[..42].to_vec(),
            format!("{good}A").into_bytes(),
            format!("{good}=").into_bytes(),
            format!("\"{good}\"").into_bytes(),
            format!(" {good}").into_bytes(),
            vec![b'A'; 65_536],
            vec![0; 43],
            vec![0xff; 43],
            "é".repeat(21).into_bytes(),
        ];
        // The last character carries two bits of nothing: 32 bytes must have one spelling.
        bad.push(format!("{}d", &good[..42]).into_bytes());
        bad.push([&good.as_bytes()[..42], b"+"].concat());
        bad.push([&good.as_bytes()[..42], b"/"].concat());
        for text in bad {
            assert_eq!(
                SessionId::parse(&text),
                None,
                "{}",
                String::from_utf8_lossy(&text)
            );
        }
    }

    #[test]
    fn the_key_is_the_sha_256_of_the_id_and_shows_twelve_digits() {
        let key = SessionId([0; 32]).key();
        let all = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        assert_eq!(key.to_hex(), all);
        assert_eq!(key.to_string(), "66687aadf862");
        assert_eq!(format!("{key:?}"), "SessionKey(66687aadf862)");
        assert_eq!(key.number(), 0x6668_7aad_f862_bd77);
        assert_eq!(serde_json::to_string(&key).unwrap(), format!("\"{all}\""));
        assert_eq!(
            serde_json::from_str::<SessionKey>(&format!("\"{all}\"")).unwrap(),
            key
        );
    }

    #[test]
    fn a_key_is_read_back_only_from_its_own_spelling() {
        let good = SessionId([9; 32]).key().to_hex();
        assert!(SessionKey::parse(&good).is_ok());
        for bad in [
            "",
            "66",
            &good[..63],
            &format!("{good}0"),
            &good.to_uppercase(),
            &good.replace('a', "g"),
            &"é".repeat(32),
        ] {
            if bad != good {
                assert_eq!(SessionKey::parse(bad), Err(NotAKey), "{bad}");
            }
        }
    }

    #[test]
    fn a_debug_print_never_shows_the_id() {
        let id = SessionId([1; 32]);
        assert_eq!(format!("{id:?}"), "[session id]");
    }
}
