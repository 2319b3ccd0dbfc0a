//! The key that signs ID tokens, and the identity it belongs to: one JSON file, mode 0600.
//!
//! Headscale's name for a person is our issuer string and the provider's `sub`. Both issuer strings
//! are therefore kept beside the key: starting with another of either would make every user a new
//! one, and is refused until the operator says that this is wanted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::{Deserialize, Serialize};

use super::jwt::{self, SigningError};
use crate::domain::identity::Issuer;
use crate::domain::secret::Secret;

/// Largest key file that is read; a real one has under 1 KiB.
const MAX_FILE: u64 = 64 * 1024;

/// Whom the key speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyIdentity {
    /// Our own issuer string, as Headscale knows it.
    pub issuer: Issuer,
    /// The issuer string of the provider that people sign in with.
    pub provider_issuer: Issuer,
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, created or replaced.
    #[error("the issuer key file {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what we wrote. It is never replaced: a new key without a word would hide
    /// that the old one, and the identity beside it, were lost.
    #[error(
        "the issuer key file {path} is broken ({reason}); restore it from a backup, or move it \
         away to start with a new key"
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Others than the owner can read the file.
    #[error(
        "the issuer key file {path} has mode {mode:03o}; others must not read it, run chmod 600"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The configuration names another identity than the file.
    #[error(
        "the {what} is now {configured:?}, but the issuer key file {path} belongs to {stored:?}; \
         Headscale would take every user for a new one; set it back, or start once with \
         --accept-new-identity after migrating the users (headwarden headscale-migrate)"
    )]
    IdentityChanged {
        /// The file.
        path: PathBuf,
        /// Which of the two issuers differs.
        what: &'static str,
        /// What the file says.
        stored: String,
        /// What the configuration says.
        configured: String,
    },
    /// The system gave no key; it has no entropy or too little memory.
    #[error("an ES256 key could not be generated")]
    Generate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    issuer: String,
    provider_issuer: String,
    pkcs8: String,
}

/// The ES256 signing key.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<EcdsaKeyPair>,
    kid: String,
    x: String,
    y: String,
    pkcs8: Secret<Vec<u8>>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads the key at `path`, or creates it (mode 0600) when there is no file. With
    /// `accept_new_identity` a file of another identity keeps its key and is given the new one.
    ///
    /// # Errors
    ///
    /// See [`KeyError`]; an existing file is never replaced by a new key.
    pub fn load_or_create(
        path: &Path,
        identity: &KeyIdentity,
        accept_new_identity: bool,
    ) -> Result<Self, KeyError> {
        let Some(stored) = read(path)? else {
            return create(path, identity);
        };
        let pkcs8 = STANDARD
            .decode(&stored.pkcs8)
            .map_err(|_| broken(path, "pkcs8: not base64"))?;
        let key = Self::from_pkcs8(&pkcs8).ok_or_else(|| broken(path, "pkcs8: not a P-256 key"))?;
        match changed(path, &stored, identity) {
            None => {}
            Some(_) if accept_new_identity => replace(path, &to_text(identity, &pkcs8))?,
            Some(error) => return Err(error),
        }
        Ok(key)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = jwt::key_pair(pkcs8)?;
        let (x, y) = jwt::point(&pair)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 section 3: the thumbprint of the required members, in this order, no blanks.
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, thumbprint.as_bytes()));
        Some(Self {
            pair: Arc::new(pair),
            kid,
            x,
            y,
            pkcs8: Secret::new(pkcs8.to_vec()),
        })
    }

    /// The key and its identity, for replicas that seal what they share.
    pub fn to_shared(&self, identity: &KeyIdentity) -> Secret<String> {
        Secret::new(to_text(identity, self.pkcs8.expose()))
    }

    /// Reads what [`SigningKey::to_shared`] wrote.
    ///
    /// # Errors
    ///
    /// See [`KeyError`]: it is broken, or belongs to another identity.
    pub fn from_shared(text: &[u8], identity: &KeyIdentity) -> Result<Self, KeyError> {
        let place = Path::new("in the session store");
        let stored: Stored = serde_json::from_slice(text)
            .map_err(|_| broken(place, "not the JSON object that was written"))?;
        let pkcs8 = STANDARD
            .decode(&stored.pkcs8)
            .map_err(|_| broken(place, "pkcs8: not base64"))?;
        if let Some(error) = changed(place, &stored, identity) {
            return Err(error);
        }
        Self::from_pkcs8(&pkcs8).ok_or_else(|| broken(place, "pkcs8: not a P-256 key"))
    }

    /// The key's name: its RFC 7638 thumbprint, so the same after every start.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK set (RFC 7517 section 5).
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({"keys": [{
            "kty": "EC",
            "crv": "P-256",
            "alg": "ES256",
            "use": "sig",
            "kid": self.kid,
            "x": self.x,
            "y": self.y,
        }]})
    }

    /// Signs `claims` as a compact JWS (RFC 7515 section 3.1) that names this key.
    ///
    /// # Errors
    ///
    /// See [`SigningError`].
    pub(crate) fn sign<T: Serialize>(&self, claims: &T) -> Result<String, SigningError> {
        jwt::sign(&self.pair, &self.kid, claims)
    }
}

fn broken(path: &Path, reason: &'static str) -> KeyError {
    KeyError::Broken {
        path: path.to_owned(),
        reason,
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyError + '_ {
    |source| KeyError::Io {
        path: path.to_owned(),
        source,
    }
}

/// `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Stored>, KeyError> {
    // Opening a pipe would wait for whoever writes into it.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(broken(path, "not a regular file"));
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
    };
    // Asked of the open file, not of the path, which could be another one by now.
    let mode = file
        .metadata()
        .map_err(io_error(path))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Vec::new();
    file.take(MAX_FILE)
        .read_to_end(&mut text)
        .map_err(io_error(path))?;
    let stored = serde_json::from_slice(&text)
        .map_err(|_| broken(path, "not the JSON object that was written"))?;
    Ok(Some(stored))
}

fn changed(path: &Path, stored: &Stored, identity: &KeyIdentity) -> Option<KeyError> {
    let pairs = [
        (
            "issuer (headscale.issuer.url)",
            &stored.issuer,
            &identity.issuer,
        ),
        (
            "provider (oidc.issuer)",
            &stored.provider_issuer,
            &identity.provider_issuer,
        ),
    ];
    let (what, stored, configured) = pairs
        .into_iter()
        .find(|(_, stored, configured)| *stored != configured.as_str())?;
    Some(KeyError::IdentityChanged {
        path: path.to_owned(),
        what,
        stored: stored.clone(),
        configured: configured.as_str().to_owned(),
    })
}

fn to_text(identity: &KeyIdentity, pkcs8: &[u8]) -> String {
    serde_json::json!({
        "issuer": identity.issuer.as_str(),
        "provider_issuer": identity.provider_issuer.as_str(),
        "pkcs8": STANDARD.encode(pkcs8),
    })
    .to_string()
}

fn create(path: &Path, identity: &KeyIdentity) -> Result<SigningKey, KeyError> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Generate)?;
    let key = SigningKey::from_pkcs8(document.as_ref()).ok_or(KeyError::Generate)?;
    write_new(path, &to_text(identity, document.as_ref())).map_err(io_error(path))?;
    Ok(key)
}

/// Writes a file that must not exist yet, and has it on the disk before returning. A half-written
/// one is taken away again, or the next start would call it broken.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory(path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// Replaces the file in one step: either the old or the new text is there, whatever happens.
fn replace(path: &Path, text: &str) -> Result<(), KeyError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error(&fresh)(error));
        }
        _ => {}
    }
    write_new(&fresh, text).map_err(io_error(&fresh))?;
    std::fs::rename(&fresh, path)
        .and_then(|()| sync_directory(path))
        .map_err(io_error(path))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
