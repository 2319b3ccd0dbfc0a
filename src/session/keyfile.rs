//! The file the key ring lives in: a JSON array of `{"id": "<8 hex>", "key": "<base64, 32 bytes>"}`,
//! newest first, readable by its owner only. To rotate, put a new entry in front and restart; take the
//! last one out once nothing sealed with it can still be alive (ten minutes).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::id::hex;
use crate::domain::random::Random;
use crate::domain::secret::Secret;

/// Bytes of a key's id.
pub(super) const KEY_ID_LENGTH: usize = 4;
const KEY_LENGTH: usize = 32;
const LONGEST_FILE: u64 = 64 * 1024;
const OWNER_ONLY: u32 = 0o600;

/// Why there is no key ring. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The file or its directory could not be used.
    #[error("cannot {action} the key ring {}", path.display())]
    Io {
        /// What was tried: `read`, `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else may read the keys; `chmod 600` it, and replace the keys if somebody did.
    #[error("the key ring {} has mode {mode:04o}, so that others may use it; it must be 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key ring. It is left as it is: a new one would sign everybody out and hide the accident.
    #[error("the key ring {} is broken: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, without its content.
        reason: String,
    },
}

/// One key as stored.
pub(super) struct StoredKey {
    pub(super) id: [u8; KEY_ID_LENGTH],
    pub(super) key: Secret<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    key: String,
}

/// Reads the keys at `path`, creating the file first when it is missing.
pub(super) fn load_or_create(
    path: &Path,
    random: &dyn Random,
) -> Result<Vec<StoredKey>, KeyRingError> {
    let io = |action| {
        move |source| KeyRingError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    match read(path) {
        Err(Unread::Io(error)) if error.kind() == ErrorKind::NotFound => {
            create(path, random).map_err(io("create"))?;
            read(path)
        }
        other => other,
    }
    .map_err(|unread| match unread {
        Unread::Io(source) => io("read")(source),
        Unread::Exposed(mode) => KeyRingError::Exposed {
            path: path.to_owned(),
            mode,
        },
        Unread::Broken(reason) => KeyRingError::Broken {
            path: path.to_owned(),
            reason,
        },
    })
}

enum Unread {
    Io(io::Error),
    Exposed(u32),
    Broken(String),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn broken<T>(reason: &str) -> Result<T, Unread> {
    Err(Unread::Broken(reason.to_owned()))
}

fn read(path: &Path) -> Result<Vec<StoredKey>, Unread> {
    // Asked before opening, which would wait for ever on a pipe.
    if !fs::metadata(path)?.is_file() {
        return broken("it is not a regular file");
    }
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Unread::Exposed(mode));
    }
    let mut text = Vec::new();
    if file.take(LONGEST_FILE + 1).read_to_end(&mut text)? as u64 > LONGEST_FILE {
        return broken("it is larger than 64 KiB");
    }
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Vec<StoredKey>, Unread> {
    // The parser's own message may quote the file, and with it a key.
    let entries: Vec<Entry> = serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Unread::Broken(format!(
            "not a JSON list of keys (line {line}, column {column})"
        ))
    })?;
    let mut keys: Vec<StoredKey> = Vec::with_capacity(entries.len());
    for entry in entries {
        let key = parse_entry(&entry)?;
        if keys.iter().any(|other| other.id == key.id) {
            return broken("two keys have the same id");
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return broken("it holds no key");
    }
    Ok(keys)
}

fn parse_entry(entry: &Entry) -> Result<StoredKey, Unread> {
    let digits = entry
        .id
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = u32::from_str_radix(&entry.id, 16).map(u32::to_be_bytes);
    let (Ok(id), true, true) = (id, digits, entry.id.len() == KEY_ID_LENGTH * 2) else {
        return broken("a key's id is not 8 lower-case hex digits");
    };
    match STANDARD.decode(&entry.key) {
        Ok(key) if key.len() == KEY_LENGTH => Ok(StoredKey {
            id,
            key: Secret::new(key),
        }),
        _ => broken("a key is not the base64 of 32 bytes"),
    }
}

/// Writes a new key ring beside `path` and links it into place: the file appears whole or not at
/// all, and a file that another process put there first stays.
fn create(path: &Path, random: &dyn Random) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut unique = [0; 8];
    random.fill(&mut unique);
    let draft = directory.join(format!(".headwarden-keys.{}.new", hex(&unique)));
    let placed = write(&draft, &fresh(random)?).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match placed {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    removed?;
    File::open(directory)?.sync_all()
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn fresh(random: &dyn Random) -> io::Result<Vec<u8>> {
    let (mut id, mut key) = ([0; KEY_ID_LENGTH], [0; KEY_LENGTH]);
    random.fill(&mut id);
    random.fill(&mut key);
    let entry = Entry {
        id: hex(&id),
        key: STANDARD.encode(key),
    };
    let mut text = serde_json::to_vec_pretty(&[entry])?;
    text.push(b'\n');
    Ok(text)
}
