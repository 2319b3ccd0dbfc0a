//! What replicas tell each other. Names of sessions only, which are hashes; and each message can do no
//! more than make a replica ask the store, or take a session for over.

use super::super::id::SessionKey;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The session is over.
    Ended(SessionKey),
    /// It changed.
    Changed(SessionKey),
    /// The second one took the place of the first.
    Renewed(SessionKey, SessionKey),
}

impl Message {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Ended(key) => [b"e", &key.bytes()[..]].concat(),
            Self::Changed(key) => [b"c", &key.bytes()[..]].concat(),
            Self::Renewed(old, new) => [b"r", &old.bytes()[..], &new.bytes()[..]].concat(),
        }
    }

    /// Whether whoever hears it has to ask the store.
    pub(super) fn asks(bytes: &[u8]) -> bool {
        bytes.first() == Some(&b'r')
    }

    /// `None` for what no version wrote that this one knows.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (first, second) = rest.split_at_checked(SessionKey::LENGTH)?;
        let key = SessionKey::from_bytes(first)?;
        match (kind, second) {
            (b'e', []) => Some(Self::Ended(key)),
            (b'c', []) => Some(Self::Changed(key)),
            (b'r', second) => Some(Self::Renewed(key, SessionKey::from_bytes(second)?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_nothing_else_is_one() {
        let [one, two] = [[1; 32], [2; 32]].map(|bytes| SessionKey::from_bytes(&bytes).unwrap());
        for message in [
            Message::Ended(one),
            Message::Changed(two),
            Message::Renewed(one, two),
        ] {
            assert_eq!(Message::parse(&message.to_bytes()), Some(message));
            for (cut, _) in message.to_bytes().iter().enumerate() {
                assert_ne!(Message::parse(&message.to_bytes()[..cut]), Some(message));
            }
        }
        for other in [
            &b""[..],
            b"e",
            b"x0123456789abcdef0123456789abcdef",
            &[0; 200],
        ] {
            assert_eq!(Message::parse(other), None, "{other:?}");
        }
    }
}
