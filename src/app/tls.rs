//! Certificates of our own listeners.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::{TlsFiles, exposed};

/// Why a listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// There is nothing in it.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    /// Certificate and key do not belong together, or one of them is unusable.
    #[error("{cert_path} and {key_path} cannot be used together: {source}")]
    Pair {
        /// The chain.
        cert_path: PathBuf,
        /// The key.
        key_path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// An acceptor for a listener: TLS 1.2 and 1.3, HTTP/1.1, and HTTP/2 where `http2` says so. A client that
/// offers no protocol by ALPN gets HTTP/1.1: Tailscale's offers none for its control connection.
///
/// # Errors
/// See [`TlsError`].
pub fn acceptor(files: &TlsFiles, http2: bool) -> Result<TlsAcceptor, TlsError> {
    let chain = read_chain(&files.cert_path)?;
    if let Some(mode) = exposed(&files.key_path) {
        tracing::warn!(
            path = %files.key_path.display(),
            "others may read this private key (mode {mode:04o}); chmod 600 it"
        );
    }
    let key = PrivateKeyDer::from_pem_file(&files.key_path).map_err(|source| TlsError::File {
        path: files.key_path.clone(),
        source,
    })?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Pair {
            cert_path: files.cert_path.clone(),
            key_path: files.key_path.clone(),
            source,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| TlsError::File {
            path: path.to_owned(),
            source,
        })?;
    if chain.is_empty() {
        Err(TlsError::Empty(path.to_owned()))
    } else {
        Ok(chain)
    }
}
