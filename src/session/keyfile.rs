//! The file the key ring lives in: a JSON array of `{"id": "<8 hex>", "key": "<base64, 32 bytes>"}`,
//! newest first, readable by its owner only. [`rotate`] puts a new one in front; the process reads
//! the file when it starts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
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
        /// What was tried: `read`, `create`, `replace`.
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
    match read(path) {
        Err(Unread::Io(error)) if error.kind() == ErrorKind::NotFound => {
            create(path, random).map_err(|source| failed("create", path, source))?;
            read(path)
        }
        other => other,
    }
    .map_err(|unread| unread.at(path))
}

/// What a rotation made of the file: ids, never keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Seals from the next start on.
    pub newest: String,
    /// Those before it, newest first, which still open what they sealed.
    pub kept: Vec<String>,
    /// Open nothing any more.
    pub dropped: Vec<String>,
}

/// Old keys that a rotation keeps: the one that sealed until now, and the one before it, by which a
/// replica that was not restarted yet may still sign for upstreams.
const KEPT: usize = 2;

/// Puts a new key in front of the ring at `path`, which must be there. The two before it are kept,
/// unless `forget_old` says that nothing of them may be believed any more; older ones go.
/// Everybody reads the old file or the new one, whole, with the same owner and mode.
///
/// # Errors
/// [`KeyRingError`]; the file is as it was then.
pub fn rotate(
    path: &Path,
    random: &dyn Random,
    forget_old: bool,
) -> Result<Rotation, KeyRingError> {
    let keys = read(path).map_err(|unread| unread.at(path))?;
    let mut new = fresh(random);
    while keys.iter().any(|key| hex(&key.id) == new.id) {
        new = fresh(random);
    }
    let mut old = keys.iter().map(Entry::from);
    let keep = if forget_old { 0 } else { KEPT };
    let kept: Vec<Entry> = old.by_ref().take(keep).collect();
    let rotation = Rotation {
        newest: new.id.clone(),
        kept: kept.iter().map(|entry| entry.id.clone()).collect(),
        dropped: old.map(|entry| entry.id).collect(),
    };
    let entries: Vec<Entry> = std::iter::once(new).chain(kept).collect();
    replace(path, random, &entries).map_err(|source| failed("replace", path, source))?;
    Ok(rotation)
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> KeyRingError {
    KeyRingError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

enum Unread {
    Io(io::Error),
    Exposed(u32),
    Broken(String),
}

impl Unread {
    fn at(self, path: &Path) -> KeyRingError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => failed("read", &path, source),
            Self::Exposed(mode) => KeyRingError::Exposed { path, mode },
            Self::Broken(reason) => KeyRingError::Broken { path, reason },
        }
    }
}

impl From<&StoredKey> for Entry {
    fn from(stored: &StoredKey) -> Self {
        Self {
            id: hex(&stored.id),
            key: STANDARD.encode(stored.key.expose()),
        }
    }
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
    let draft = draft_beside(path, random);
    let written = write(&draft, &[fresh(random)]).map(drop);
    let placed = written.and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match placed {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    removed?;
    File::open(directory_of(path))?.sync_all()
}

/// Writes a ring beside the one at `path`, and puts it in its place.
fn replace(path: &Path, random: &dyn Random, entries: &[Entry]) -> io::Result<()> {
    // A link would be replaced, and not what it leads to.
    let path = fs::canonicalize(path)?;
    let owner = fs::metadata(&path)?;
    let draft = draft_beside(&path, random);
    let placed = write(&draft, entries)
        // Run by root for a service with a user of its own, the file stays the service's.
        .and_then(|file| fchown(&file, Some(owner.uid()), Some(owner.gid())))
        .and_then(|()| fs::rename(&draft, &path));
    if placed.is_err() {
        let _ = fs::remove_file(&draft);
    }
    placed?;
    File::open(directory_of(&path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn draft_beside(path: &Path, random: &dyn Random) -> PathBuf {
    let mut unique = [0; 8];
    random.fill(&mut unique);
    directory_of(path).join(format!(".headwarden-keys.{}.new", hex(&unique)))
}

fn write(path: &Path, entries: &[Entry]) -> io::Result<File> {
    let mut text = serde_json::to_vec_pretty(entries)?;
    text.push(b'\n');
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(path)?;
    file.write_all(&text)?;
    file.sync_all()?;
    Ok(file)
}

fn fresh(random: &dyn Random) -> Entry {
    let (mut id, mut key) = ([0; KEY_ID_LENGTH], [0; KEY_LENGTH]);
    random.fill(&mut id);
    random.fill(&mut key);
    Entry {
        id: hex(&id),
        key: STANDARD.encode(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_file_name_is_in_the_directory_of_the_process() {
        for (path, directory) in [
            ("keys.json", "."),
            ("a/keys.json", "a"),
            ("/keys.json", "/"),
            ("/a/b/keys.json", "/a/b"),
        ] {
            assert_eq!(
                directory_of(Path::new(path)),
                Path::new(directory),
                "{path}"
            );
        }
    }
}
