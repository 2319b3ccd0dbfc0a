//! A certificate authority of the test's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

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
        self.certificate_with(names, |_| ())
    }

    /// The same with something else about it changed.
    pub(crate) fn certificate_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> ServerCertificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names that can be certified");
        change(&mut params);
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
        self.client_showing(protocols, None)
    }

    /// The same that has a certificate of its own to show.
    pub(crate) fn client_showing(
        &self,
        protocols: &[&str],
        own: Option<&ServerCertificate>,
    ) -> Arc<ClientConfig> {
        self.client_of(rustls::ALL_VERSIONS, protocols, own)
    }

    /// The same that speaks these versions of TLS.
    pub(crate) fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        own: Option<&ServerCertificate>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.issuer.der().clone())
            .expect("our own certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions of TLS")
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
                config
                    .with_client_auth_cert(vec![own.leaf()], key)
                    .expect("they belong together")
            }
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Arc::new(config)
    }
}

impl ServerCertificate {
    /// The first of the chain.
    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).expect("a certificate")
    }

    /// Writes `tls.crt` and `tls.key` into a directory; their paths.
    pub(crate) fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (chain, key) = (directory.join("tls.crt"), directory.join("tls.key"));
        std::fs::write(&chain, &self.chain).expect("a directory to write to");
        std::fs::write(&key, &self.key).expect("a directory to write to");
        (chain, key)
    }
}
