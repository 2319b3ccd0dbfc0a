//! The file: of our own making, for nobody else's eyes, there as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::{Here, Known, StoreAway, Written};
use crate::session::live::lock;

const OWNER_ONLY: u32 = 0o600;
/// No number of people comes near this.
const LONGEST: u64 = 256 * 1024 * 1024;
/// What the sealed bytes are called.
const NAME: &str = "people";

/// Why nobody is known, or nothing is kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store that replicas share does not answer.
    #[error(transparent)]
    Away(#[from] StoreAway),
    /// Somebody in the store cannot be read. They are not taken for nobody.
    #[error(
        "not everybody in the store can be read: a replica has a newer key ring than this one (restart this one), or their key has left the ring for good (remove the list {list} from Redis; people are in their groups again once they sign in or are checked again). Nothing is written into the policy until then"
    )]
    Sealed {
        /// The list of all places.
        list: String,
    },
    /// The file or its directory could not be used.
    #[error("cannot {action} policy_sync.state_path {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else may have read or changed it, or nobody of ours wrote it. It is left where it is.
    #[error(
        "policy_sync.state_path {} is not used: {reason}. Nothing is written into the policy until it is removed or put right; without it, people are in their groups again once they sign in", path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Here {
    /// Whom the file knows; nobody where there is none.
    pub(super) fn read(&self) -> Result<Vec<Known>, StateError> {
        let sealed = match self.bytes() {
            Err(StateError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let opened = self.keys.open_bytes(NAME, &self.purpose, sealed);
        let opened = opened.ok_or_else(|| {
            self.unusable(
                "it is damaged, or of another deployment, or its key has left the key ring",
            )
        })?;
        let all: Vec<Written> = serde_json::from_slice(&opened)
            .map_err(|_| self.unusable("it is of another version"))?;
        Ok(all.into_iter().map(Known::from).collect())
    }

    fn bytes(&self) -> Result<Vec<u8>, StateError> {
        let failed = |source| self.failed("read", source);
        // Asked before opening, which would follow a link, and wait for ever on a pipe.
        let found = fs::symlink_metadata(&self.path).map_err(failed)?;
        if !found.is_file() {
            return Err(self.unusable("it is not a regular file"));
        }
        let file = File::open(&self.path).map_err(failed)?;
        let opened = file.metadata().map_err(failed)?;
        if opened.permissions().mode() & 0o077 != 0 {
            return Err(self.unusable("others may use it: its mode must be 0600"));
        }
        let mut sealed = Vec::new();
        let read = file.take(LONGEST + 1).read_to_end(&mut sealed);
        if read.map_err(failed)? as u64 > LONGEST {
            return Err(self.unusable("it is larger than it can be"));
        }
        Ok(sealed)
    }

    /// Writes what is known, if the file says something else, and its own people are among them.
    pub(super) fn keep(&self) -> Result<(), StateError> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Written> = {
            let mut inner = lock(&self.inner);
            if !inner.read || !inner.changed || inner.retired {
                return Ok(());
            }
            inner.changed = false;
            inner.all.values().map(Known::written).collect()
        };
        let written = serde_json::to_vec(&all)
            .map_err(io::Error::other)
            .and_then(|plain| {
                let sealed = self.keys.seal_bytes(NAME, &self.purpose, &plain);
                write(&self.path, &sealed.map_err(io::Error::other)?)
            });
        written.map_err(|source| {
            lock(&self.inner).changed = true;
            self.failed("write", source)
        })
    }

    fn failed(&self, action: &'static str, source: io::Error) -> StateError {
        let path = self.path.clone();
        StateError::Io {
            action,
            path,
            source,
        }
    }

    fn unusable(&self, reason: &'static str) -> StateError {
        let path = self.path.clone();
        StateError::Unusable { path, reason }
    }
}

/// Beside the file, and then in its place.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.to_owned().into_os_string();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
        return written;
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}
