//! The file of the API key, where a renewal may replace it. Everybody reads the old key or the new one,
//! whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::domain::random::Random;
use crate::domain::secret::Secret;

/// Longest file that is read.
const LONGEST: u64 = 64 * 1024;

/// Why the file cannot be used. Never holds a key.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the file of the API key {}: {source}", path.display())]
pub struct KeyFileError {
    /// What was tried: `read`, `lock`, `replace`, `tidy up beside`.
    action: &'static str,
    /// The file.
    path: PathBuf,
    /// The system's reason.
    source: io::Error,
}

/// The file at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile(PathBuf);

/// What a draft is called: a token between the two.
const DRAFT: (&str, &str) = (".headwarden-api-key.", ".new");

/// Whoever has this is the only one that replaces the file. Gone with the process, however it ends.
pub(super) struct Held {
    #[expect(dead_code, reason = "it is locked while it is open")]
    directory: File,
    place: PathBuf,
}

impl Held {
    /// The drafts of those who were broken off: nobody else has one while this is held.
    pub(super) fn drafts(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.place) else {
            return Vec::new();
        };
        let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
        names.filter(|path| is_draft(path)).collect()
    }
}

impl KeyFile {
    /// The file at `path`, or what a link there leads to.
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What a renewal writes.
    pub fn content(key: &Secret<String>) -> String {
        format!("{}\n", key.expose())
    }

    /// Whether it could be replaced: writes an empty file beside it, and takes that away again.
    ///
    /// # Errors
    /// [`KeyFileError`] where not.
    pub fn can_be_replaced(&self, random: &dyn Random) -> Result<(), KeyFileError> {
        let tried = self.place().and_then(|(path, owner)| {
            let draft = draft_beside(&path, random);
            let written = write(&draft, b"", &owner).map(drop);
            // A renewal of the same time may have taken it away.
            let gone = fs::remove_file(&draft).or_else(|why| match why.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(why),
            });
            written.and(gone)
        });
        tried.map_err(self.failed("replace"))
    }

    /// Takes a draft away that nobody goes on with.
    ///
    /// # Errors
    /// [`KeyFileError`] where it stays.
    pub(super) fn remove_draft(&self, draft: &Path) -> Result<(), KeyFileError> {
        fs::remove_file(draft).map_err(self.failed("tidy up beside"))
    }

    /// Keeps other processes from replacing it; `None` while one of them keeps us from it. The directory is
    /// what is locked: the file will be another one.
    pub(super) fn hold(&self) -> Result<Option<Held>, KeyFileError> {
        let (place, directory) = self
            .place()
            .and_then(|(path, _)| {
                let place = directory_of(&path).to_owned();
                let directory = File::open(&place)?;
                Ok((place, directory))
            })
            .map_err(self.failed("lock"))?;
        match directory.try_lock() {
            Ok(()) => Ok(Some(Held { directory, place })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(why)) => Err(self.failed("lock")(why)),
        }
    }

    /// The key in it.
    pub(super) fn read(&self) -> Result<Secret<String>, KeyFileError> {
        let mut text = String::new();
        File::open(&self.0)
            .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
            .map_err(self.failed("read"))?;
        Ok(Secret::new(text.trim().to_owned()))
    }

    /// Puts a new file in its place, of the same owner and mode.
    pub(super) fn replace(
        &self,
        key: &Secret<String>,
        random: &dyn Random,
    ) -> Result<(), KeyFileError> {
        let placed = self.place().and_then(|(path, owner)| {
            let draft = draft_beside(&path, random);
            let placed = write(&draft, Self::content(key).as_bytes(), &owner)
                .and_then(|file| file.sync_all())
                .and_then(|()| fs::rename(&draft, &path));
            if placed.is_err() {
                let _ = fs::remove_file(&draft);
            }
            placed?;
            File::open(directory_of(&path))?.sync_all()
        });
        placed.map_err(self.failed("replace"))
    }

    /// Where it really is (a link would be replaced, and not what it leads to), and whose it is.
    fn place(&self) -> io::Result<(PathBuf, fs::Metadata)> {
        let path = fs::canonicalize(&self.0)?;
        let owner = fs::metadata(&path)?;
        if !owner.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok((path, owner))
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> KeyFileError {
        let path = self.0.clone();
        move |source| KeyFileError {
            action,
            path: path.clone(),
            source,
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn draft_beside(path: &Path, random: &dyn Random) -> PathBuf {
    let (before, behind) = DRAFT;
    directory_of(path).join(format!("{before}{}{behind}", random.token()))
}

fn is_draft(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let token = name.and_then(|name| name.strip_prefix(DRAFT.0)?.strip_suffix(DRAFT.1));
    token.is_some_and(|token| !token.is_empty())
        && fs::symlink_metadata(path).is_ok_and(|it| it.is_file())
}

fn write(draft: &Path, text: &[u8], owner: &fs::Metadata) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    let written = file.write_all(text).and_then(|()| {
        let mode = given_to(&file, owner)?;
        // Last, when it belongs to whom it should: a group may read it where it could.
        file.set_permissions(fs::Permissions::from_mode(mode))
    });
    if let Err(why) = written {
        let _ = fs::remove_file(draft);
        return Err(why);
    }
    Ok(file)
}

/// Gives a draft to whom the file belongs, and says which mode it may then have. Run by root for a service
/// with a user of its own, the file stays the service's. A group that we are not in cannot be given anything:
/// then no other group gets what was meant for it.
fn given_to(file: &File, owner: &fs::Metadata) -> io::Result<u32> {
    let (mode, ours) = (owner.mode() & 0o777, file.metadata()?);
    if owner.uid() != ours.uid() {
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    } else if owner.gid() != ours.gid() && fchown(file, None, Some(owner.gid())).is_err() {
        return Ok(mode & 0o707);
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::testing::Always;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_file_is_replaced_whole_with_its_mode_also_behind_a_link() {
        let files = tempfile::tempdir().unwrap();
        let (path, link) = (files.path().join("key"), files.path().join("link"));
        fs::write(&path, "old\n").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (at, mode) in [(&path, 0o600), (&link, 0o640)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let file = KeyFile::new(at.clone());
            let before = fs::metadata(&path).unwrap();
            file.can_be_replaced(&Always(1)).unwrap();
            assert_eq!(names(files.path()), ["key", "link"]);
            let new = Secret::new(format!("new-{mode:o}"));
            file.replace(&new, &Always(1)).unwrap();
            assert!(file.read().unwrap() == new);
            let after = fs::metadata(&path).unwrap();
            assert_eq!(after.mode() & 0o777, mode);
            assert_ne!(after.ino(), before.ino(), "never written in place");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(names(files.path()), ["key", "link"]);
        }
    }

    /// Where another group can be given at all, as by root.
    #[test]
    fn the_file_stays_the_groups_that_it_was() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("key");
        fs::write(&path, "old\n").unwrap();
        let own = fs::metadata(&path).unwrap().gid();
        let other = own + 4321;
        let given = std::os::unix::fs::chown(&path, None, Some(other)).is_ok();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let file = KeyFile::new(path.clone());
        let key = Secret::new("new".to_owned());
        file.replace(&key, &Always(1)).unwrap();
        let after = fs::metadata(&path).unwrap();
        let expected = if given { other } else { own };
        assert_eq!((after.gid(), after.mode() & 0o777), (expected, 0o640));
    }

    #[test]
    fn drafts_of_those_who_broke_off_are_found_and_nothing_else_is() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("key");
        fs::write(&path, "old").unwrap();
        let draft = draft_beside(&path, &Always(1));
        fs::write(&draft, "left").unwrap();
        for other in [
            ".headwarden-api-key.new",
            ".headwarden-api-key..new",
            "x.new",
        ] {
            fs::write(files.path().join(other), "theirs").unwrap();
        }
        let link = draft_beside(&path, &Always(2));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let file = KeyFile::new(path.clone());
        let held = file.hold().unwrap().unwrap();
        assert_eq!(held.drafts(), [fs::canonicalize(&draft).unwrap()]);
        file.remove_draft(&draft).unwrap();
        assert!(held.drafts().is_empty() && file.remove_draft(&draft).is_err());
        assert_eq!(file.read().unwrap().expose(), "old");
    }

    #[test]
    fn one_at_a_time_replaces_it() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("key");
        fs::write(&path, "old").unwrap();
        let (one, other) = (KeyFile::new(path.clone()), KeyFile::new(path));
        let held = one.hold().unwrap();
        assert!(held.is_some());
        assert!(other.hold().unwrap().is_none());
        drop(held);
        assert!(other.hold().unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_replaced_is_told_and_left() {
        let files = tempfile::tempdir().unwrap();
        let gone = KeyFile::new(files.path().join("gone"));
        let key = Secret::new("canary".to_owned());
        let why = gone.replace(&key, &Always(1)).unwrap_err().to_string();
        assert!(
            why.contains("cannot replace") && why.contains("gone"),
            "{why}"
        );
        assert!(!why.contains("canary"), "{why}");
        assert!(gone.can_be_replaced(&Always(1)).is_err());
        assert!(gone.hold().is_err() && gone.read().is_err());
        let directory = KeyFile::new(files.path().to_owned());
        assert!(directory.replace(&key, &Always(1)).is_err());
        // A draft of that name is somebody else's.
        fs::write(files.path().join("key"), "old").unwrap();
        let draft = draft_beside(&files.path().join("key"), &Always(1));
        fs::write(&draft, "theirs").unwrap();
        let file = KeyFile::new(files.path().join("key"));
        assert!(file.replace(&key, &Always(1)).is_err());
        assert_eq!(file.read().unwrap().expose(), "old");
    }
}
