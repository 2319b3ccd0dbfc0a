//! Sessions while the process is stopped: written, sealed, when it ends as planned, and taken out once
//! when it starts again. Read twice, a snapshot would bring back what was signed out in between; so it
//! is removed before anything of it is used, and a process that is killed leaves none.
//!
//! A snapshot is a line that names the format, and then frames: a length of four bytes, most significant
//! first, and a sealed text. The first frame says how many follow, and names this snapshot; each of the
//! others is one session, and its place in this very snapshot is authenticated with it. Nothing can be
//! taken out, put in, or moved to another snapshot or deployment.
//!
//! Not here: the file ([`file`]). Legs and confirmations on their way do not survive: they are minutes
//! old at most, and their pages say what to do.

mod file;

use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::SessionKey;
use super::keyring::{KeyRing, bound};
use super::live::Live;
use super::record;
use crate::domain::random::Random;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

pub use file::SnapshotError;

/// What is sealed here, as the key ring's purpose. What follows names the deployment.
const PURPOSE: &str = "session snapshot";
/// The first line.
const FORMAT: &[u8] = b"headwarden sessions 1\n";
/// The first frame's name.
const HEAD: &str = "head";
/// Digits of a session's key.
const KEY: usize = 64;
const OTHER_VERSION: &str = "it holds a session of another version";
/// No session comes near this: a provider's tokens have to fit into a request's head.
const LONGEST_FRAME: usize = 1024 * 1024;
/// How far a clock may have been set back since a snapshot was written. With more, its sessions would
/// be taken for younger than they are.
const SET_BACK: Duration = Duration::from_mins(1);

/// The snapshot of a deployment.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    keys: Arc<KeyRing>,
    random: Arc<dyn Random>,
    purpose: String,
}

/// One session in a snapshot.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The name under which it is found again: the cookies of browsers go on working.
    pub key: SessionKey,
    /// When a request last used it.
    pub last_used: Timestamp,
    /// Who signed in.
    pub session: Arc<Session>,
}

impl From<&Live> for Kept {
    fn from(live: &Live) -> Self {
        Self {
            key: live.key,
            last_used: live.last_used(),
            session: Arc::clone(&live.session),
        }
    }
}

impl Kept {
    /// The key's 64 digits, and the session behind them.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.key.to_hex().into_bytes();
        bytes.extend(record::to_bytes(&self.session, self.last_used));
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_at_checked(KEY)?;
        let key = SessionKey::parse(std::str::from_utf8(key).ok()?).ok()?;
        let (session, last_used) = record::from_bytes(rest)?;
        Some(Self {
            key,
            last_used,
            session: Arc::new(session),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    id: String,
    written_at: Timestamp,
    count: u64,
}

impl Snapshot {
    /// The snapshot at `path`, sealed with `keys`.
    pub fn new(path: PathBuf, keys: Arc<KeyRing>, random: Arc<dyn Random>) -> Self {
        Self {
            path,
            keys,
            random,
            purpose: PURPOSE.to_owned(),
        }
    }

    /// Ties it to one deployment, named by these texts: another one with the same keys reads nothing
    /// of it.
    #[must_use]
    pub fn bound_to(mut self, deployment: &[&str]) -> Self {
        self.purpose = bound(&self.purpose, deployment);
        self
    }

    fn encode(&self, out: &mut impl Write, now: Timestamp, all: &[Kept]) -> io::Result<()> {
        let head = Head {
            id: self.random.token(),
            written_at: now,
            count: all.len() as u64,
        };
        out.write_all(FORMAT)?;
        self.write_frame(out, HEAD, &serde_json::to_vec(&head)?)?;
        for (place, kept) in all.iter().enumerate() {
            self.write_frame(out, &name(&head.id, place), &kept.to_bytes())?;
        }
        Ok(())
    }

    fn write_frame(&self, out: &mut impl Write, name: &str, text: &[u8]) -> io::Result<()> {
        let sealed = self.keys.seal_bytes(name, &self.purpose, text);
        let sealed = sealed.map_err(io::Error::other)?;
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(&sealed)
    }

    /// Everything or nothing: a snapshot that is not whole was not written by a process that ended in
    /// good order.
    fn decode(&self, from: &mut impl Read, now: Timestamp, most: u64) -> io::Result<Vec<Kept>> {
        let mut format = [0; FORMAT.len()];
        from.read_exact(&mut format)?;
        if format != FORMAT {
            return Err(no("it is no snapshot of this version"));
        }
        let head = self.read_frame(from, HEAD)?;
        // The parser's own message would quote what it read.
        let head: Head = serde_json::from_slice(&head).map_err(|_| no(OTHER_VERSION))?;
        if head.written_at > now.plus(SET_BACK) {
            return Err(no("it is from the future: the clock was set back"));
        }
        if head.count > most {
            return Err(no("it holds more sessions than there is room for"));
        }
        let count = usize::try_from(head.count).map_err(io::Error::other)?;
        let mut all = Vec::with_capacity(count.min(1024));
        for place in 0..count {
            let kept = Kept::from_bytes(&self.read_frame(from, &name(&head.id, place))?);
            all.push(kept.ok_or_else(|| no(OTHER_VERSION))?);
        }
        if from.read(&mut [0])? != 0 {
            return Err(no("something follows its end"));
        }
        Ok(all)
    }

    fn read_frame(&self, from: &mut impl Read, name: &str) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > LONGEST_FRAME {
            return Err(no("a part of it is longer than a session can be"));
        }
        let mut sealed = vec![0; length];
        from.read_exact(&mut sealed)?;
        let text = self.keys.open_bytes(name, &self.purpose, sealed);
        text.ok_or_else(|| {
            no("it is damaged, or of another deployment, or its key has left the key ring")
        })
    }
}

fn name(id: &str, place: usize) -> String {
    format!("{id}.{place}")
}

fn no(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests;
