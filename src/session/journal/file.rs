//! The journal as a file: read and written anew for each change, under a lock, so that two processes of
//! one deployment (an upgrade has two for a while) make theirs one after the other.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::offboarding::Ledger;

const OWNER_ONLY: u32 = 0o600;
const VERSION: u32 = 1;
/// The ledger has at most 10 000 people, with subjects of at most 255 characters as a rule.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;
/// How often the lock is tried, and the pause after each.
const TRIES: u32 = 500;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It, its lock or its directory.
    #[error("cannot {action} offboarding.state_path {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else may have written it, and have devices expire. It is left where it is.
    #[error("offboarding.state_path {} has mode {mode:04o}, so that others may use it; it must be 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is nothing that we wrote, or of another deployment. It is left where it is.
    #[error("offboarding.state_path {} is not used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Where it is, and whose.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) deployment: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    deployment: String,
    people: Ledger,
}

impl Place {
    /// Blocks until it is written, where anything has changed.
    pub(super) fn change<R>(
        &self,
        mut change: impl FnMut(&mut Ledger) -> R,
    ) -> Result<R, FileError> {
        // Nobody was ever noticed: there is nothing to lock, and perhaps no right to.
        let quiet = matches!(fs::symlink_metadata(&self.path), Err(error) if error.kind() == ErrorKind::NotFound);
        if quiet {
            let mut ledger = Ledger::default();
            let said = change(&mut ledger);
            if ledger.is_empty() {
                return Ok(said);
            }
        }
        let lock = self.locked()?;
        let before = self.read()?;
        let mut ledger = before.clone();
        let said = change(&mut ledger);
        if ledger != before {
            self.write(ledger)
                .map_err(|source| self.failed("write", source))?;
        }
        drop(lock);
        Ok(said)
    }

    /// Blocks until it is known whether a change could be made.
    pub(super) fn try_out(&self) -> Result<(), FileError> {
        let lock = self.locked()?;
        self.read()?;
        drop(lock);
        Ok(())
    }

    fn locked(&self) -> Result<File, FileError> {
        self.lock().map_err(|source| self.failed("lock", source))
    }

    /// Held until it is dropped. Not waited for without end: sign-ins wait here. A file of its own: the journal itself is another one after each change.
    #[expect(
        clippy::disallowed_methods,
        reason = "callers are on a thread where blocking is the way to wait"
    )]
    fn lock(&self) -> io::Result<File> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(OWNER_ONLY)
            .open(self.beside(".lock"))?;
        for _ in 0..TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::from(ErrorKind::TimedOut))
    }

    fn read(&self) -> Result<Ledger, FileError> {
        // Asked before opening, which would follow a link, and wait for ever on a pipe.
        let found = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ledger::default()),
            other => other.map_err(|source| self.failed("read", source))?,
        };
        if !found.is_file() {
            return Err(self.unusable("it is not a regular file"));
        }
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let path = self.path.clone();
            return Err(FileError::Exposed { path, mode });
        }
        let mut text = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut text))
            .map_err(|source| self.failed("read", source))?;
        let written: Written = serde_json::from_slice(&text)
            .map_err(|_| self.unusable("it is damaged, or of another version"))?;
        if written.version != VERSION {
            return Err(self.unusable("it is of another version"));
        }
        if written.deployment != self.deployment {
            return Err(self.unusable(
                "it is of another server_url, oidc.issuer or oidc.client_id; move it away",
            ));
        }
        Ok(written.people)
    }

    fn write(&self, people: Ledger) -> io::Result<()> {
        let written = Written {
            version: VERSION,
            deployment: self.deployment.clone(),
            people,
        };
        let text = serde_json::to_vec(&written)?;
        let draft = self.beside(".new");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER_ONLY)
            .open(&draft)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    fn failed(&self, action: &'static str, source: io::Error) -> FileError {
        FileError::Io {
            action,
            path: self.path.clone(),
            source,
        }
    }

    fn unusable(&self, reason: &'static str) -> FileError {
        FileError::Unusable {
            path: self.path.clone(),
            reason,
        }
    }
}
