//! What is kept between starts: the account, and the certificate with its key. Each file is its owner's
//! alone, and is there whole or not at all. One that is broken is an error and stays as it is: a new
//! account would hide the accident, and a new order would cost the directory's patience.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::{exposed, read_file};
use crate::domain::certificate::Leaf;

/// Why the storage cannot be used. Never holds what is in it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file system says no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else may read it.
    #[error("{} has mode {mode:04o}, so that others may use it; it must be 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what it should be.
    #[error("{} is broken: restore it, or move it away to begin anew", .0.display())]
    Broken(PathBuf),
    /// Another process is at it.
    #[error("another process orders a certificate with the same storage")]
    Busy,
}

/// Nobody else orders with this storage while it lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, and never looked at")] File);

/// The directory of one ACME directory.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    directory: PathBuf,
    certificate: PathBuf,
}

impl Storage {
    /// Keeps things in `directory`, the certificate at `certificate` below it.
    pub(super) fn new(directory: PathBuf, certificate: PathBuf) -> Self {
        Self {
            directory,
            certificate,
        }
    }

    /// Keeps other processes from ordering until the value is dropped.
    pub(super) fn lock(&self) -> Result<Lock, StorageError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(failed("make", &self.directory))?;
        let path = self.directory.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(StorageError::Busy),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }

    /// The account, if there is one.
    pub(super) fn account(&self) -> Result<Option<AccountCredentials>, StorageError> {
        let path = self.account_path();
        let Some(text) = own_text(&path)? else {
            return Ok(None);
        };
        match serde_json::from_str(&text) {
            Ok(account) => Ok(Some(account)),
            // The parser's message may quote the key.
            Err(_) => Err(StorageError::Broken(path)),
        }
    }

    /// Keeps an account.
    pub(super) fn keep_account(&self, account: &AccountCredentials) -> Result<(), StorageError> {
        let path = self.account_path();
        let text = serde_json::to_string(account);
        let text = text.map_err(|why| failed("write", &path)(why.into()))?;
        write(&path, &text)
    }

    fn account_path(&self) -> PathBuf {
        self.directory.join("account.json")
    }

    /// What the kept certificate says of itself, if there is one.
    pub(super) fn certificate(&self) -> Result<Option<Leaf>, StorageError> {
        let Some(text) = own_text(&self.certificate)? else {
            return Ok(None);
        };
        let leaf = CertificateDer::from_pem_slice(text.as_bytes()).ok();
        let leaf = leaf.and_then(|der| Leaf::parse(&der));
        let broken = || StorageError::Broken(self.certificate.clone());
        leaf.map(Some).ok_or_else(broken)
    }

    /// Keeps a chain and its key, in one file, so that they always belong together.
    pub(super) fn keep_certificate(&self, chain: &str, key: &str) -> Result<(), StorageError> {
        let text = format!("{}\n{}\n", chain.trim_end(), key.trim_end());
        write(&self.certificate, &text)
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_owned();
    move |source| StorageError::Io {
        action,
        path,
        source,
    }
}

/// A file of ours alone; `None` where there is none.
fn own_text(path: &Path) -> Result<Option<String>, StorageError> {
    let text = match read_file(path) {
        Ok(file) => file.text,
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        Err(why) if why.kind() == ErrorKind::InvalidData => {
            return Err(StorageError::Broken(path.to_owned()));
        }
        Err(why) => return Err(failed("read", path)(why)),
    };
    match exposed(path) {
        Some(mode) => Err(StorageError::Exposed {
            path: path.to_owned(),
            mode,
        }),
        None => Ok(Some(text)),
    }
}

/// Written beside, and then moved to its name: whoever reads finds the old or the new, whole. Only
/// who holds the lock writes.
fn write(path: &Path, text: &str) -> Result<(), StorageError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let written = draft_with(&draft, text)
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.map_err(failed("write", path))
}

fn draft_with(draft: &Path, text: &str) -> io::Result<()> {
    // Of a process that died in the middle of this.
    match fs::remove_file(draft) {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn storage(directory: &Path) -> Storage {
        let place = directory.join("acme/one");
        Storage::new(place.clone(), place.join("certificate.pem"))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_certificate_is_kept_with_its_key_in_one_file_of_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let storage = storage(directory.path());
        assert!(storage.certificate().unwrap().is_none());
        let lock = storage.lock().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.company".to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        fs::write(
            directory.path().join("acme/one/certificate.pem.new"),
            "half",
        )
        .unwrap();
        storage
            .keep_certificate(&chain, &key.serialize_pem())
            .unwrap();
        let path = &storage.certificate;
        assert_eq!((mode(path), mode(&storage.directory)), (0o600, 0o700));
        assert_eq!(storage.certificate().unwrap().unwrap().names, ["a.company"]);
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("BEGIN CERTIFICATE") && text.contains("PRIVATE KEY"));
        let names: Vec<_> = fs::read_dir(&storage.directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(matches!(storage.lock(), Err(StorageError::Busy)));
        drop(lock);
        assert!(storage.lock().is_ok());
    }

    #[test]
    fn what_is_broken_or_open_to_others_is_an_error_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let storage = storage(directory.path());
        drop(storage.lock().unwrap());
        for text in [
            "",
            "{",
            "text",
            "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        ] {
            write(&storage.certificate, text).unwrap();
            write(&storage.account_path(), text).unwrap();
            let broken = storage.certificate().unwrap_err();
            assert!(
                matches!(broken, StorageError::Broken(_)),
                "{text:?}: {broken}"
            );
            let broken = storage.account().err().unwrap();
            assert!(
                matches!(broken, StorageError::Broken(_)),
                "{text:?}: {broken}"
            );
            assert_eq!(fs::read_to_string(&storage.certificate).unwrap(), text);
        }
        let path = storage.account_path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let open = storage.account().err().unwrap();
        assert!(
            matches!(open, StorageError::Exposed { mode: 0o640, .. }),
            "{open}"
        );
    }
}
