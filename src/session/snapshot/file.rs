//! The file of a snapshot: of our own making, for nobody else's eyes, there as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{Kept, Snapshot};
use crate::domain::time::Timestamp;

const OWNER_ONLY: u32 = 0o600;
/// A session takes one to three KiB; a file of more than this for each is not ours.
const LONGEST_SESSION: u64 = 16 * 1024;
/// What a file may have beside its sessions.
const REST: u64 = 64 * 1024;

/// Why sessions were not written, or not taken back. Never holds anything of one.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file or its directory could not be used.
    #[error("cannot {action} the session snapshot {}: {source}", path.display())]
    Io {
        /// What was tried: `write`, `read`, `remove`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason, or what is wrong with what was read.
        source: io::Error,
    },
    /// It was not used, and could not be removed.
    #[error("cannot remove the session snapshot {}: {source}; {left}", path.display())]
    Stuck {
        /// The file.
        path: PathBuf,
        /// What became of it, or what is to be done.
        left: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else may have read or changed it. It is left where it is.
    #[error("the session snapshot {} has mode {mode:04o}, so that others may use it; it must be 0600. It stays there until the next planned stop replaces it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is nothing that we wrote. It is left where it is.
    #[error("the session snapshot {} is not used: {reason}. It stays there", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Snapshot {
    /// Writes these sessions, in place of whatever is there.
    ///
    /// # Errors
    /// [`SnapshotError`]; there is no new snapshot then.
    pub fn write(&self, now: Timestamp, all: &[Kept]) -> Result<(), SnapshotError> {
        let draft = self.draft();
        let written = create(&draft).and_then(|file| {
            let mut out = BufWriter::new(file);
            self.encode(&mut out, now, all)?;
            out.flush()?;
            out.get_ref().sync_all()
        });
        let placed = written.and_then(|()| fs::rename(&draft, &self.path));
        if placed.is_err() {
            let _ = fs::remove_file(&draft);
        }
        placed
            .and_then(|()| sync_directory(&self.path))
            .map_err(|source| self.failed("write", source))
    }

    /// Takes the snapshot out of the file system, and then reads it: nobody can do so again. At most
    /// `most` sessions; none where there is no snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing of it may be used then.
    pub fn take(&self, now: Timestamp, most: u64) -> Result<Vec<Kept>, SnapshotError> {
        let Some(file) = self.open(most)? else {
            return Ok(Vec::new());
        };
        let removed = fs::remove_file(&self.path).and_then(|()| sync_directory(&self.path));
        removed.map_err(|source| self.is_stuck(source))?;
        self.decode(&mut BufReader::new(file), now, most)
            .map_err(|source| self.failed("read", source))
    }

    /// What cannot be taken away is not used, now or later: another start would bring back who was signed
    /// out since. So it is emptied, where that is possible.
    pub(super) fn is_stuck(&self, source: io::Error) -> SnapshotError {
        let emptied = OpenOptions::new().write(true).open(&self.path);
        let emptied = emptied.and_then(|file| file.set_len(0).and_then(|()| file.sync_all()));
        SnapshotError::Stuck {
            path: self.path.clone(),
            left: if emptied.is_ok() {
                "it was emptied instead"
            } else {
                "remove it before the next start, which would take it for its own"
            },
            source,
        }
    }

    /// Whether a snapshot could be written when the process ends.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn check(&self) -> Result<(), SnapshotError> {
        let draft = self.draft();
        create(&draft)
            .and_then(|_| fs::remove_file(&draft))
            .map_err(|source| self.failed("write", source))
    }

    fn open(&self, most: u64) -> Result<Option<File>, SnapshotError> {
        // Asked before opening, which would follow a link, and wait for ever on a pipe.
        let found = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| self.failed("read", source))?,
        };
        if !found.is_file() {
            return Err(self.unusable("it is not a regular file"));
        }
        let file = File::open(&self.path).map_err(|source| self.failed("read", source))?;
        let opened = file.metadata();
        let opened = opened.map_err(|source| self.failed("read", source))?;
        if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
            return Err(self.unusable("somebody replaced it just now"));
        }
        let mode = opened.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let path = self.path.clone();
            return Err(SnapshotError::Exposed { path, mode });
        }
        if opened.len() > most.saturating_mul(LONGEST_SESSION).saturating_add(REST) {
            return Err(self.unusable("it is larger than session.capacity sessions can be"));
        }
        Ok(Some(file))
    }

    /// Of a fixed name: a process that is killed while it writes leaves one behind, and not more.
    fn draft(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        name.into()
    }

    fn failed(&self, action: &'static str, source: io::Error) -> SnapshotError {
        SnapshotError::Io {
            action,
            path: self.path.clone(),
            source,
        }
    }

    fn unusable(&self, reason: &'static str) -> SnapshotError {
        SnapshotError::Unusable {
            path: self.path.clone(),
            reason,
        }
    }
}

/// A new file at `path`, in place of what a process left there that was killed.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}
