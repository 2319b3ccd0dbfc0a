//! One certificate with its key, read from PEM texts. What cannot be used is said without quoting it:
//! one of the texts is a private key.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::provider;
use crate::domain::certificate::Leaf;

/// A chain and its key, ready to be shown to clients.
pub(super) struct Pair {
    /// What rustls shows.
    pub(super) key: Arc<CertifiedKey>,
    /// What the first certificate says of itself.
    pub(super) leaf: Leaf,
}

/// Why two texts are no pair.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PairError {
    /// Nothing in it, or half of something.
    #[error("the certificate cannot be read: {0}")]
    Certificate(&'static str),
    /// The leaf is PEM, and not X.509.
    #[error("the first certificate is not one that can be parsed")]
    Leaf,
    /// Nothing in it, or half of something.
    #[error("the private key cannot be read: {0}")]
    Key(&'static str),
    /// A kind of key that is not known.
    #[error("the private key is of no kind that can be used")]
    KeyKind,
    /// They do not belong together.
    #[error("the private key is not that of the first certificate")]
    Mismatch,
}

impl Pair {
    /// Reads a chain, leaf first, and the leaf's key. They may stand in one text.
    ///
    /// # Errors
    /// See [`PairError`]. That a certificate has expired is none.
    pub(super) fn parse(chain: &str, key: &str) -> Result<Self, PairError> {
        let chain = certificates(chain).map_err(PairError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|why| PairError::Key(described(&why)))?;
        let leaf = chain.first().and_then(|leaf| Leaf::parse(leaf));
        let leaf = leaf.ok_or(PairError::Leaf)?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| PairError::KeyKind)?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| PairError::Mismatch)?;
        Ok(Self {
            key: Arc::new(key),
            leaf,
        })
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("names", &self.leaf.names)
            .finish_non_exhaustive()
    }
}

/// Every certificate in a PEM text; at least one.
pub(super) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|why| described(&why))?;
    if found.is_empty() {
        return Err("there is none in it");
    }
    Ok(found)
}

/// What a PEM reader says, without what it read.
fn described(why: &pem::Error) -> &'static str {
    match why {
        pem::Error::MissingSectionEnd { .. } => "it ends in the middle of a section",
        pem::Error::NoItemsFound => "there is none in it",
        _ => "it is not PEM",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{expired, pair};
    use super::*;

    #[test]
    fn a_pair_knows_whom_it_is_for_and_may_have_expired() {
        let (chain, key) = pair(&["Headscale.Company", "*.company"]);
        let read = Pair::parse(&chain, &key).unwrap();
        assert_eq!(read.leaf.names, ["headscale.company", "*.company"]);
        let (chain, key) = expired(&["old.company"]);
        let old = Pair::parse(&chain, &key).unwrap();
        assert!(old.leaf.expires < read.leaf.expires);
    }

    #[test]
    fn both_may_stand_in_one_text_in_any_order() {
        let (chain, key) = pair(&["a.company"]);
        for text in [format!("{chain}{key}"), format!("{key}{chain}")] {
            assert!(Pair::parse(&text, &text).is_ok());
        }
    }

    #[test]
    fn what_is_no_pair_is_told_apart_and_never_quoted() {
        let (chain, key) = pair(&["a.company"]);
        let (_, other) = pair(&["a.company"]);
        let half = |text: &str| text[..text.len() / 2].to_owned();
        let bent = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
        let stub = "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n";
        for (chain, key, expected) in [
            (
                "",
                key.as_str(),
                PairError::Certificate("there is none in it"),
            ),
            (
                "text\n",
                &key,
                PairError::Certificate("there is none in it"),
            ),
            (
                &half(&chain),
                &key,
                PairError::Certificate("it ends in the middle of a section"),
            ),
            (bent, &key, PairError::Leaf),
            (&key, &key, PairError::Certificate("there is none in it")),
            (&chain, "", PairError::Key("there is none in it")),
            (
                &chain,
                &half(&key),
                PairError::Key("it ends in the middle of a section"),
            ),
            (&chain, stub, PairError::KeyKind),
            (&chain, &other, PairError::Mismatch),
        ] {
            let found = Pair::parse(chain, key).unwrap_err();
            assert_eq!(found, expected);
            assert!(!found.to_string().contains("BEGIN"), "{found}");
        }
    }
}
