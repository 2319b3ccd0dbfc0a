//! How things are called in the store, and how they are sealed there.
//!
//! Whoever reads the store learns neither a session id, nor who is signed in, nor a token: a session
//! is found by its id's hash, lists by a keyed hash of what they are about, and every value is sealed
//! for its own key and this deployment.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use super::super::id::SessionKey;
use super::super::keyring::{KeyRing, bound};
use super::super::live::State;
use super::super::record;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

/// Digits of the last use in front of a sealed session: it changes without the rest.
pub(super) const HEAD: usize = 10;

/// What two callers know by one name, in one deployment.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    purpose: String,
    keys: Arc<KeyRing>,
}

impl Names {
    /// Names that begin with `prefix`; values that only the deployment of these texts opens.
    pub(super) fn new(prefix: &str, deployment: &[&str], keys: Arc<KeyRing>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            purpose: bound("shared store", deployment),
            keys,
        }
    }

    /// Where a session is.
    pub(super) fn session(&self, key: &SessionKey) -> String {
        self.of_session("s", key)
    }

    /// Where its [`State`] is.
    pub(super) fn state(&self, key: &SessionKey) -> String {
        self.of_session("t", key)
    }

    /// Where the right to refresh it is.
    pub(super) fn refresh(&self, key: &SessionKey) -> String {
        self.of_session("r", key)
    }

    fn of_session(&self, kind: &str, key: &SessionKey) -> String {
        format!(
            "{}:{kind}:{}",
            self.prefix,
            URL_SAFE_NO_PAD.encode(key.bytes())
        )
    }

    /// The list of every session.
    pub(super) fn all(&self) -> String {
        format!("{}:all", self.prefix)
    }

    /// The lists of what `kind` and `text` name (a person, say), one for each key of the ring: what is
    /// sealed under a key of the ring is listed under it too.
    pub(super) fn lists(&self, kind: &str, text: &str) -> Vec<String> {
        let what = format!("{} {kind}:{text}", self.purpose);
        let hashes = self.keys.hashes(what.as_bytes());
        hashes
            .map(|hash| format!("{}:l:{}", self.prefix, URL_SAFE_NO_PAD.encode(hash)))
            .collect()
    }

    /// Where something random or unique is remembered.
    pub(super) fn once(&self, kind: &str, text: &str) -> String {
        let what = format!("{} {kind}:{text}", self.purpose);
        let hash = digest(&SHA256, what.as_bytes());
        format!("{}:{kind}:{}", self.prefix, URL_SAFE_NO_PAD.encode(hash))
    }

    /// `plain`, sealed for `place`; `None` when nothing may be sealed.
    pub(super) fn seal(&self, place: &str, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.seal_bytes(place, &self.purpose, plain).ok()
    }

    /// Whether it was sealed with the newest key.
    pub(super) fn is_newest(&self, sealed: &[u8]) -> bool {
        self.keys.is_newest(sealed)
    }

    /// What [`Names::seal`] sealed for this very place.
    pub(super) fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.keys.open_bytes(place, &self.purpose, sealed.to_vec())
    }

    /// A session as it stands in the store.
    pub(super) fn seal_session(
        &self,
        key: &SessionKey,
        session: &Session,
        last_used: Timestamp,
    ) -> Option<Vec<u8>> {
        let plain = record::to_bytes(session, last_used);
        let sealed = self.seal(&self.session(key), &plain)?;
        Some([&head(last_used), &sealed[..]].concat())
    }

    /// Reads what [`Names::seal_session`] wrote.
    pub(super) fn open_session(
        &self,
        key: &SessionKey,
        value: &[u8],
    ) -> Option<(Session, Timestamp)> {
        let (head, sealed) = value.split_at_checked(HEAD)?;
        let last_used = std::str::from_utf8(head).ok()?.parse().ok()?;
        let plain = self.open(&self.session(key), sealed)?;
        let (session, _) = record::from_bytes(&plain)?;
        Some((session, Timestamp::from_unix(last_used)))
    }

    /// A session's state as it stands in the store.
    pub(super) fn seal_state(&self, key: &SessionKey, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(&self.state(key), plain)
    }

    /// Reads what [`Names::seal_state`] wrote.
    pub(super) fn open_state(&self, key: &SessionKey, value: &[u8]) -> Option<State> {
        let plain = self.open(&self.state(key), value)?;
        serde_json::from_slice(&plain).ok()
    }
}

/// The head of a session's value.
pub(super) fn head(last_used: Timestamp) -> [u8; HEAD] {
    let mut head = [b'0'; HEAD];
    let text = format!("{:010}", last_used.unix().min(9_999_999_999));
    for (to, from) in head.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    head
}
