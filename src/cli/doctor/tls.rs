//! TLS to `server_url` as a client makes it, with what the listener showed kept for the findings.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// What the listener showed.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The leaf, in DER.
    pub(super) leaf: Option<Vec<u8>>,
    /// How many certificates came with it.
    pub(super) others: usize,
    /// Why it is not believed.
    pub(super) refused: Option<Error>,
}

/// Verifies as every client does, and remembers.
#[derive(Debug)]
struct Recorder {
    inner: Arc<WebPkiServerVerifier>,
    shown: Arc<Mutex<Shown>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(leaf, others, name, ocsp, now);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Shown {
            leaf: Some(leaf.to_vec()),
            others: others.len(),
            refused: verified.as_ref().err().cloned(),
        };
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A client that offers no ALPN, as Tailscale's, and trusts the system's certificates and those of `ca`.
pub(super) fn client(ca: Option<&Path>, shown: &Arc<Mutex<Shown>>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let own: Vec<_> = read.map_err(|why| format!("{}: {why}", path.display()))?;
        roots.add_parsable_certificates(own);
    }
    let provider = Arc::new(default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|_| "no trusted certificates: install the system's CA bundle".to_owned())?;
    let recorder = Recorder {
        inner,
        shown: Arc::clone(shown),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(recorder))
        .with_no_client_auth())
}
