//! A certificate authority of the test's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};

/// Trusted by whoever takes its [`client`](Self::client) configuration, and by nobody else.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// PEM texts of a server.
pub(crate) struct ServerCertificate {
    /// The chain, leaf first.
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer }
    }

    /// A certificate for these host names and IP addresses.
    pub(crate) fn certificate(&self, names: &[&str]) -> ServerCertificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names that can be certified");
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        ServerCertificate {
            chain: leaf.pem(),
            key: key.serialize_pem(),
        }
    }

    /// The authority's own certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A client that trusts this authority, and offers these protocols (ALPN; none for none).
    pub(crate) fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.issuer.der().clone())
            .expect("our own certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Arc::new(config)
    }
}

impl ServerCertificate {
    /// Writes `tls.crt` and `tls.key` into a directory; their paths.
    pub(crate) fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (chain, key) = (directory.join("tls.crt"), directory.join("tls.key"));
        std::fs::write(&chain, &self.chain).expect("a directory to write to");
        std::fs::write(&key, &self.key).expect("a directory to write to");
        (chain, key)
    }
}
