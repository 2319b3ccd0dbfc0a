//! Reading the configuration and the secrets it points to: the only input this room has beside
//! the environment.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::domain::hash::sha256;

/// Largest file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A text file as read.
#[derive(Clone)]
pub struct FileText {
    /// What is in it.
    pub text: String,
    /// Its permission bits.
    pub mode: u32,
}

/// How files are read; tests bring their own.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<FileText>;

/// Reads a regular file of at most 1 MiB.
///
/// # Errors
/// Those of the file system, and `InvalidData` for a file that is none, too large or not UTF-8.
pub fn read_file(path: &Path) -> Result<FileText> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(Error::new(ErrorKind::InvalidData, "not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_BYTES) {
        return Err(Error::new(ErrorKind::InvalidData, "larger than 1 MiB"));
    }
    Ok(FileText {
        text,
        mode: metadata.permissions().mode() & 0o7777,
    })
}

/// The SHA-256 of what is in a regular file; of its first 16 MiB, where it is larger.
///
/// # Errors
/// Those of the file system, and `InvalidData` for a file that is none.
pub(super) fn hash_of_file(path: &Path) -> Result<[u8; 32]> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidData, "not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(16 * MAX_BYTES)
        .read_to_end(&mut content)?;
    Ok(sha256(&content))
}

/// The permission bits of a file that others than its owner may use; none for one that is its owner's
/// alone, or that is not there.
pub fn exposed(path: &Path) -> Option<u32> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_its_owner_alone_is_not_exposed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tls.key");
        assert_eq!(exposed(&path), None);
        std::fs::write(&path, "key").unwrap();
        for (mode, told) in [
            (0o600, None),
            (0o400, None),
            (0o640, Some(0o640)),
            (0o604, Some(0o604)),
        ] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(exposed(&path), told, "{mode:o}");
        }
    }

    #[test]
    fn only_regular_files_of_sensible_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "text\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let read = read_file(&path).unwrap();
        assert_eq!((read.text.as_str(), read.mode), ("text\n", 0o640));
        assert_eq!(
            read_file(dir.path()).err().unwrap().kind(),
            ErrorKind::InvalidData
        );
        std::fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert_eq!(
            read_file(&path).err().unwrap().kind(),
            ErrorKind::InvalidData
        );
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(
            read_file(&path).err().unwrap().kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(
            read_file(&dir.path().join("no")).err().unwrap().kind(),
            ErrorKind::NotFound
        );
    }
}
