//! The operator's Unix socket. Whoever may connect to it may do everything there, so its permissions
//! are the wall: it never exists under its name with others than those it is to have, and it is made where
//! nobody else could put one of theirs in its place. A link that has its name is left alone; one on the way
//! there is followed, if nobody else could have made it.
//!
//! A socket that a dead process left is replaced; that of a running one is not. A lock that the kernel
//! takes back with the process tells the two apart, also where both start at once.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

use crate::config::AdminSocket;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error("{} is in use by a process that runs", .0.display())]
    InUse(PathBuf),
    /// Whatever it is, it is not ours to remove.
    #[error("{} is there already, and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// Somebody else could put another socket in its place.
    #[error(
        "the directory {} {reason}: whoever may write there could put a socket of theirs in the place \
         of ours", directory.display()
    )]
    Directory {
        /// Where the socket would be.
        directory: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refuses.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket's name in the file system; removed when dropped, if it still is that socket's.
#[derive(Debug)]
pub struct Name {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    lock: File,
    /// Who may use it, as a file's mode.
    mode: u32,
    /// Another process uses it too: it stays when this one ends.
    stays: AtomicBool,
}

impl Name {
    /// Another process goes on with it.
    pub fn leave(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// It is this process's from now on, and open to whom its configuration says.
    pub fn keep(&self) {
        self.stays.store(false, Ordering::Relaxed);
        if self.is_ours()
            && let Err(error) = fs::set_permissions(&self.path, Permissions::from_mode(self.mode))
        {
            tracing::error!(%error, "the operator's socket is open to whom it was before");
        }
    }

    /// Whether what is there is the socket that we listen at.
    fn is_ours(&self) -> bool {
        let found = fs::symlink_metadata(&self.path);
        found.is_ok_and(|file| (file.dev(), file.ino()) == self.file)
    }

    /// Held by every process that uses the name.
    pub fn lock(&self) -> &File {
        &self.lock
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if !self.stays.load(Ordering::Relaxed) && self.is_ours() {
            // A socket that stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at the path of `settings`, for as long as the name is kept.
///
/// # Errors
/// [`SocketError`].
pub fn listen(settings: &AdminSocket) -> Result<(UnixListener, Name), SocketError> {
    let path = settings.path.as_path();
    check_directory(path)?;
    let lock = lock(path)?;
    check_place(path)?;
    let (listener, file) = bind(path, mode(settings))?;
    let name = Name {
        path: path.to_owned(),
        file,
        lock,
        mode: mode(settings),
        stays: AtomicBool::new(false),
    };
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| UnixListener::from_std(listener))
        .map_err(failed("listen at", path))?;
    Ok((listener, name))
}

/// Goes on with a socket that another process listens at; its name stays, and whom it is open to, until
/// [`Name::keep`].
///
/// # Errors
/// [`SocketError`].
pub fn adopt(
    settings: &AdminSocket,
    listener: std_unix::UnixListener,
    lock: File,
) -> Result<(UnixListener, Name), SocketError> {
    let path = settings.path.as_path();
    check_directory(path)?;
    let found = fs::symlink_metadata(path).map_err(failed("look at", path))?;
    let name = Name {
        path: path.to_owned(),
        file: (found.dev(), found.ino()),
        lock,
        mode: mode(settings),
        stays: AtomicBool::new(true),
    };
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| UnixListener::from_std(listener))
        .map_err(failed("listen at", path))?;
    Ok((listener, name))
}

fn mode(settings: &AdminSocket) -> u32 {
    if settings.group { 0o660 } else { 0o600 }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io {
        action,
        path,
        source,
    }
}

/// Nobody but us and root may write where the socket is to be, nor above it, as the path is written and as
/// its links lead: who may could put another directory there.
fn check_directory(path: &Path) -> Result<(), SocketError> {
    let written = path.parent().unwrap_or(path);
    let real = fs::canonicalize(written).map_err(failed("use the directory", written))?;
    let us = own_user().map_err(failed("find out who owns", written))?;
    for directory in [written, &real] {
        let way = directory.ancestors();
        let way = way.filter(|place| !place.as_os_str().is_empty());
        for (above, place) in way.enumerate() {
            check_place_on_the_way(place, above > 0, us)?;
        }
    }
    Ok(())
}

/// Above the socket's directory, a sticky one will do (`/tmp`): only owners may move what it holds.
fn check_place_on_the_way(directory: &Path, above: bool, us: u32) -> Result<(), SocketError> {
    let link = fs::symlink_metadata(directory).map_err(failed("look at", directory))?;
    let found = fs::metadata(directory).map_err(failed("use the directory", directory))?;
    let refused = |reason| SocketError::Directory {
        directory: directory.to_owned(),
        reason,
    };
    for owner in [link.uid(), found.uid()] {
        if ![0, us].contains(&owner) {
            return Err(refused(format!("belongs to user {owner}")));
        }
    }
    let mode = found.mode() & 0o7777;
    let sticky = above && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !sticky {
        return Err(refused(format!(
            "is open for others to write to (mode {mode:04o})"
        )));
    }
    Ok(())
}

/// The user we run as: who the kernel says is at the other end of a pair of our own.
fn own_user() -> io::Result<u32> {
    let (ours, _other) = UnixStream::pair()?;
    Ok(ours.peer_cred()?.uid())
}

/// Beside the socket, and left there: its owner's alone, so that nobody else can hold it.
fn lock(path: &Path) -> Result<File, SocketError> {
    let beside = beside(path, ".lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&beside)
        .map_err(failed("open", &beside))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", &beside)(source)),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Nothing is there, or a socket that nobody listens at.
fn check_place(path: &Path) -> Result<(), SocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(failed("look at", path)(why)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match knock(path) {
        Err(why) if why.kind() == ErrorKind::ConnectionRefused => Ok(()),
        // Also where it cannot be told: another's socket is not replaced.
        Ok(()) | Err(_) => Err(SocketError::InUse(path.to_owned())),
    }
}

/// Connects, without waiting for anybody to have a place.
fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// The socket begins in a directory of ours alone, gets its permissions there, and is then moved to
/// its name: `bind` itself would open it as wide as the umask lets it.
fn bind(path: &Path, mode: u32) -> Result<(std_unix::UnixListener, (u64, u64)), SocketError> {
    let directory = beside(path, ".new");
    let inside = directory.join("s");
    if directory.symlink_metadata().is_ok() {
        // Of a process that died in the middle of this: the lock says that none is at it now.
        let _ = fs::remove_file(&inside);
        fs::remove_dir(&directory).map_err(failed("remove", &directory))?;
    }
    DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .map_err(failed("make", &directory))?;
    let bound = bind_inside(&inside, path, mode);
    if bound.is_err() {
        let _ = fs::remove_file(&inside);
    }
    let _ = fs::remove_dir(&directory);
    bound
}

fn bind_inside(
    inside: &Path,
    path: &Path,
    mode: u32,
) -> Result<(std_unix::UnixListener, (u64, u64)), SocketError> {
    let listener = std_unix::UnixListener::bind(inside).map_err(failed("listen at", inside))?;
    fs::set_permissions(inside, Permissions::from_mode(mode))
        .map_err(failed("set the mode of", inside))?;
    let file = fs::symlink_metadata(inside).map_err(failed("look at", inside))?;
    fs::rename(inside, path).map_err(failed("move the socket to", path))?;
    Ok((listener, (file.dev(), file.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: &Path, group: bool) -> AdminSocket {
        AdminSocket {
            path: path.to_owned(),
            group,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_or_its_groups_and_goes_with_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        for (group, expected) in [(false, 0o600), (true, 0o660)] {
            let (listener, name) = listen(&settings(&path, group)).unwrap();
            assert_eq!(mode(&path), expected);
            assert_eq!(mode(&beside(&path, ".lock")), 0o600);
            assert_eq!(names(directory.path()), ["admin.sock", "admin.sock.lock"]);
            let (client, server) = tokio::join!(UnixStream::connect(&path), listener.accept());
            let uid = server.unwrap().0.peer_cred().unwrap().uid();
            assert_eq!(uid, own_user().unwrap());
            drop((client, name));
            assert_eq!(names(directory.path()), ["admin.sock.lock"]);
        }
    }

    #[tokio::test]
    async fn a_socket_that_is_taken_over_is_opened_to_others_when_it_is_ours_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let (listener, name) = listen(&settings(&path, false)).unwrap();
        let handed = listener.into_std().unwrap();
        let lock = name.lock().try_clone().unwrap();
        let (_listener, ours) = adopt(&settings(&path, true), handed, lock).unwrap();
        assert_eq!(mode(&path), 0o600);
        ours.keep();
        assert_eq!(mode(&path), 0o660);
        // What is somebody else's by now is left alone.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        ours.keep();
        assert_eq!(mode(&path), 0o640);
    }

    #[tokio::test]
    async fn the_socket_of_a_running_process_is_left_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let (_listener, name) = listen(&settings(&path, false)).unwrap();
        let refused = listen(&settings(&path, false)).unwrap_err();
        assert!(matches!(refused, SocketError::InUse(_)), "{refused}");
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(name);
        // Somebody else's, who knows no lock of ours.
        let _other = std_unix::UnixListener::bind(&path).unwrap();
        let refused = listen(&settings(&path, false)).unwrap_err();
        assert!(matches!(refused, SocketError::InUse(_)), "{refused}");
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        drop(std_unix::UnixListener::bind(&path).unwrap());
        // It died between two steps.
        fs::create_dir(beside(&path, ".new")).unwrap();
        drop(std_unix::UnixListener::bind(beside(&path, ".new").join("s")).unwrap());
        let (_listener, _name) = listen(&settings(&path, false)).unwrap();
        assert!(UnixStream::connect(&path).await.is_ok());
        assert_eq!(names(directory.path()), ["admin.sock", "admin.sock.lock"]);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone_and_no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = directory.path().join("elsewhere");
        fs::write(&elsewhere, "precious").unwrap();
        let path = directory.path().join("admin.sock");
        let refused = || listen(&settings(&path, false)).unwrap_err();
        fs::write(&path, "a file").unwrap();
        assert!(matches!(refused(), SocketError::NotASocket(_)));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(refused(), SocketError::NotASocket(_)));
        fs::remove_dir(&path).unwrap();
        for target in [elsewhere.as_path(), Path::new("/nowhere")] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            assert!(matches!(refused(), SocketError::NotASocket(_)));
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
        assert_eq!(
            names(directory.path()),
            ["admin.sock.lock", "elsewhere"],
            "nothing is left behind"
        );
    }

    #[tokio::test]
    async fn a_directory_that_others_may_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        for (mode, fine) in [
            (0o700, true),
            (0o750, true),
            (0o755, true),
            (0o770, false),
            (0o777, false),
            (0o1777, false),
        ] {
            fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
            let found = listen(&settings(&path, false));
            assert_eq!(found.is_ok(), fine, "{mode:o}: {found:?}");
            if let Err(why) = found {
                assert!(matches!(why, SocketError::Directory { .. }), "{why}");
                assert!(why.to_string().contains(&format!("{mode:04o}")), "{why}");
            }
        }
        let nowhere = directory.path().join("no/admin.sock");
        let refused = listen(&settings(&nowhere, false)).unwrap_err();
        assert!(matches!(refused, SocketError::Io { .. }), "{refused}");
    }

    #[tokio::test]
    async fn nobody_else_may_write_above_the_directory_or_where_a_link_leads() {
        let root = tempfile::tempdir().unwrap();
        let above = root.path().join("above");
        fs::create_dir_all(above.join("inside")).unwrap();
        std::os::unix::fs::symlink(above.join("inside"), root.path().join("link")).unwrap();
        std::os::unix::fs::symlink(&above, root.path().join("higher")).unwrap();
        for way in ["above/inside", "link", "higher/inside"] {
            let path = root.path().join(way).join("admin.sock");
            for (mode, fine) in [
                (0o755, true),
                // As `/tmp` is.
                (0o1777, true),
                (0o775, false),
                (0o777, false),
            ] {
                fs::set_permissions(&above, Permissions::from_mode(mode)).unwrap();
                let found = listen(&settings(&path, false));
                assert_eq!(found.is_ok(), fine, "{way} {mode:o}: {found:?}");
                if let Err(why) = found {
                    assert!(matches!(why, SocketError::Directory { .. }), "{why}");
                }
            }
        }
        let lost = root.path().join("lost");
        std::os::unix::fs::symlink("/nowhere", &lost).unwrap();
        let refused = listen(&settings(&lost.join("admin.sock"), false)).unwrap_err();
        assert!(matches!(refused, SocketError::Io { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_name_that_is_somebody_elses_by_now_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let (_listener, name) = listen(&settings(&path, false)).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another").unwrap();
        drop(name);
        assert_eq!(fs::read_to_string(&path).unwrap(), "another");
    }
}
