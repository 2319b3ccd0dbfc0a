//! Seals what a browser keeps for us: AES-256-GCM, under a key that this deployment's replicas share.
//!
//! A sealed text is base64url of `version || key id || nonce || ciphertext and tag`. The version, the
//! key id, the purpose and the cookie's name are authenticated with it, each with its length in
//! front, so that no text can be moved to another cookie, purpose or key.
//!
//! Not here: the file the keys live in (`keyfile`), and what is sealed ([`super::attempts`]).

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use super::id::hex;
use super::keyfile::{self, KEY_ID_LENGTH, StoredKey};
use crate::domain::random::Random;

pub use super::keyfile::{KeyRingError, Rotation, rotate};

const VERSION: u8 = 1;
const ID_AT: usize = 1;
const NONCE_AT: usize = ID_AT + KEY_ID_LENGTH;
const CIPHERTEXT_AT: usize = NONCE_AT + NONCE_LEN;
/// No cookie is longer than 4 KiB; nothing longer is worth decoding.
const LONGEST_TEXT: usize = 8 * 1024;

/// The keys, newest first. The newest seals; all of them open.
pub struct KeyRing {
    newest: Key,
    older: Vec<Key>,
    random: Arc<dyn Random>,
}

struct Key {
    id: [u8; KEY_ID_LENGTH],
    sealing: LessSafeKey,
    /// Derived from the same bytes, and good for names only.
    naming: hmac::Key,
    /// What other keys are made of.
    root: hmac::Key,
}

/// Nothing may be sealed: the value is too long for AES-GCM, or not what belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value could not be sealed")]
pub struct SealError;

impl KeyRing {
    /// Reads the key ring at `path`, or creates it with one new key (mode 0600) when there is no such
    /// file. Of several processes that create it at once, all end up with the same keys.
    ///
    /// # Errors
    /// [`KeyRingError`] when the file cannot be read or created, others may read it, or it is broken.
    /// An existing file is never changed.
    pub fn load_or_create(path: &Path, random: Arc<dyn Random>) -> Result<Self, KeyRingError> {
        let stored = keyfile::load_or_create(path, random.as_ref())?;
        let keys: Option<Vec<Key>> = stored.iter().map(Key::new).collect();
        let mut keys = keys.unwrap_or_default().into_iter();
        let newest = keys.next().ok_or_else(|| KeyRingError::Broken {
            path: path.to_owned(),
            reason: "its keys do not fit AES-256".to_owned(),
        })?;
        Ok(Self {
            newest,
            older: keys.collect(),
            random,
        })
    }

    /// Seals `plaintext` for the cookie `name` and `purpose`: text of `[A-Za-z0-9_-]`.
    ///
    /// # Errors
    /// [`SealError`] for a plaintext of many gigabytes.
    pub fn seal(&self, name: &str, purpose: &str, plaintext: &[u8]) -> Result<String, SealError> {
        let sealed = self.seal_bytes(name, purpose, plaintext)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The same as bytes, for what no browser keeps: of any length.
    ///
    /// # Errors
    /// As [`KeyRing::seal`].
    pub fn seal_bytes(
        &self,
        name: &str,
        purpose: &str,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let key = &self.newest;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce);
        let mut sealed = plaintext.to_vec();
        let aad = Aad::from(associated(VERSION, &key.id, purpose, name));
        key.sealing
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| SealError)?;
        Ok([&[VERSION], &key.id[..], &nonce, &sealed].concat())
    }

    /// Opens what [`KeyRing::seal`] wrote for this very `name` and `purpose`, under any key of the
    /// ring. `None` for everything else, with no difference in between.
    pub fn open(&self, name: &str, purpose: &str, text: &[u8]) -> Option<Vec<u8>> {
        if text.len() > LONGEST_TEXT {
            return None;
        }
        self.open_bytes(name, purpose, URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    /// The same for what [`KeyRing::seal_bytes`] made.
    pub fn open_bytes(&self, name: &str, purpose: &str, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let version = *bytes.first()?;
        let id: [u8; KEY_ID_LENGTH] = bytes.get(ID_AT..NONCE_AT)?.try_into().ok()?;
        let nonce: [u8; NONCE_LEN] = bytes.get(NONCE_AT..CIPHERTEXT_AT)?.try_into().ok()?;
        let key = self.keys().find(|key| version == VERSION && key.id == id)?;
        let aad = Aad::from(associated(version, &id, purpose, name));
        let sealed = bytes.get_mut(CIPHERTEXT_AT..)?;
        let opened = key
            .sealing
            .open_in_place(Nonce::assume_unique_for_key(nonce), aad, sealed)
            .ok()?;
        Some(opened.to_vec())
    }

    /// Whether the newest key sealed this; what an older one sealed is lost with it one day.
    pub fn is_newest(&self, sealed: &[u8]) -> bool {
        sealed.get(ID_AT..NONCE_AT) == Some(&self.newest.id[..])
    }

    /// `what` under each key of the ring, newest first, so that only its holders can tell what a name
    /// is about. The same in every process that has the key.
    pub fn hashes(&self, what: &[u8]) -> impl Iterator<Item = [u8; 32]> {
        self.keys()
            .map(move |key| bytes(&hmac::sign(&key.naming, what)))
    }

    /// For each key of the ring, newest first, bytes of which another key may be made: as many as are
    /// wanted, each as secret as the key and of no use for anything but `purpose`. The same in every
    /// process that has the key.
    pub(super) fn seeds(
        &self,
        purpose: &'static [u8],
    ) -> impl Iterator<Item = impl Iterator<Item = [u8; 32]> + use<>> {
        self.keys().map(move |key| {
            let made = hmac::sign(&key.root, purpose);
            let made = hmac::Key::new(hmac::HMAC_SHA256, made.as_ref());
            (0..=u8::MAX).map(move |count| bytes(&hmac::sign(&made, &[count])))
        })
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

/// A tag of HMAC-SHA256, which is as long.
fn bytes(tag: &hmac::Tag) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    bytes
}

impl Key {
    fn new(stored: &StoredKey) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, stored.key.expose()).ok()?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, stored.key.expose());
        let naming = hmac::sign(&root, b"headwarden names in a shared store");
        Some(Self {
            id: stored.id,
            naming: hmac::Key::new(hmac::HMAC_SHA256, naming.as_ref()),
            sealing: LessSafeKey::new(key),
            root,
        })
    }
}

impl fmt::Debug for KeyRing {
    /// The keys' ids, newest first; never a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys().map(|key| hex(&key.id)))
            .finish()
    }
}

/// A purpose that belongs to one deployment, named by these texts (its origin, its provider, its client
/// id): another one with the same keys opens nothing that was sealed for it.
pub(super) fn bound(purpose: &str, deployment: &[&str]) -> String {
    let mut bound = purpose.to_owned();
    for text in deployment {
        // With its length, so that no two lists of texts are the same purpose.
        let _ = write!(bound, " {}:{text}", text.len());
    }
    bound
}

/// What is authenticated beside the ciphertext. Each field carries its length, so that no two
/// different sets of fields give the same bytes.
fn associated(version: u8, key_id: &[u8], purpose: &str, name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + purpose.len() + name.len());
    for field in [&[version], key_id, purpose.as_bytes(), name.as_bytes()] {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

#[cfg(test)]
mod tests;
