//! Whom the client trusts: the system's certificates and those of `oidc.ca_path`, with one crypto
//! provider that is named here and not looked up in the process.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::BuildError;

fn roots(ca_path: Option<&Path>) -> Result<RootCertStore, BuildError> {
    let mut store = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a certificate of the system's bundle cannot be read");
    }
    store.add_parsable_certificates(system.certs);
    if let Some(path) = ca_path {
        store.add_parsable_certificates(read_certificates(path)?);
    }
    if store.is_empty() {
        Err(BuildError::NoRoots)
    } else {
        Ok(store)
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let unreadable = |error: &dyn std::fmt::Display| BuildError::CaFile {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| unreadable(&error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&error))?;
    if certificates.is_empty() {
        return Err(BuildError::CaEmpty(path.to_owned()));
    }
    Ok(certificates)
}

pub(super) fn client_config(ca_path: Option<&Path>) -> Result<ClientConfig, BuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BuildError::Client(error.to_string()))?
        .with_root_certificates(roots(ca_path)?)
        .with_no_client_auth();
    // A preconfigured TLS is taken as it is: without ALPN, HTTP/2 would never be chosen.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_must_exist_and_hold_a_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem");
        assert!(matches!(
            read_certificates(&missing),
            Err(BuildError::CaFile { .. })
        ));
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "no certificate here").unwrap();
        assert!(matches!(
            read_certificates(&empty),
            Err(BuildError::CaEmpty(_))
        ));
    }

    #[test]
    fn a_ca_file_is_added_to_the_trusted_certificates() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["ca.example".to_owned()]).unwrap();
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        assert_eq!(read_certificates(&file).unwrap().len(), 1);
        assert!(client_config(Some(&file)).is_ok());
    }
}
