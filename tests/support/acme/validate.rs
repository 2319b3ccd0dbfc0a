//! Validators: they connect back, as a directory's do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::support::raw::PATIENCE;

/// RFC 8555 section 8.3.
pub(crate) fn over_http(
    at: SocketAddr,
    name: &str,
    token: &str,
    expected: &str,
) -> Result<(), String> {
    let told = |why: std::io::Error| format!("cannot connect: {why}");
    let mut tcp = TcpStream::connect(at).map_err(told)?;
    tcp.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\n\
         User-Agent: validator\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).map_err(told)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("not a 200: {head}"));
    }
    if body != expected {
        return Err(format!("{body:?} is not {expected:?}"));
    }
    Ok(())
}

/// RFC 8737 section 3.
pub(crate) fn over_tls(at: SocketAddr, name: &str, expected: &str) -> Result<(), String> {
    let shown = Arc::new(Shown {
        leaf: Mutex::default(),
        provider: rustls::crypto::ring::default_provider(),
    });
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(&shown) as _;
    let mut config = ClientConfig::builder_with_provider(shown.provider.clone().into())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let server = ServerName::try_from(name.to_owned()).map_err(|why| why.to_string())?;
    let mut tls = ClientConnection::new(config.into(), server).map_err(|why| why.to_string())?;
    let mut tcp = TcpStream::connect(at).map_err(|why| why.to_string())?;
    tcp.set_read_timeout(Some(PATIENCE))
        .map_err(|why| why.to_string())?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).map_err(|why| why.to_string())?;
    }
    if tls.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("another protocol was agreed on".to_owned());
    }
    let leaf = shown.leaf.lock().unwrap_or_else(PoisonError::into_inner);
    check(&leaf, name, expected)?;
    // The connection is for nothing else: it ends by itself.
    let mut rest = Vec::new();
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    match stream.read_to_end(&mut rest) {
        _ if rest.is_empty() => Ok(()),
        _ => Err("it answers more than a validator may ask".to_owned()),
    }
}

fn check(leaf: &[u8], name: &str, expected: &str) -> Result<(), String> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|why| why.to_string())?;
    let mut found = false;
    for extension in leaf.extensions() {
        if extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31" {
            let hash = digest(&SHA256, expected.as_bytes());
            let wanted = [&[4, 32], hash.as_ref()].concat();
            if !extension.critical || extension.value != wanted {
                return Err("acmeIdentifier is not critical, or not the hash".to_owned());
            }
            found = true;
        }
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension()
            && names.general_names != [GeneralName::DNSName(name)]
        {
            return Err(format!("it is for {:?}", names.general_names));
        }
    }
    if found {
        Ok(())
    } else {
        Err("no acmeIdentifier".to_owned())
    }
}

/// Takes whatever it is shown, and keeps it.
#[derive(Debug)]
struct Shown {
    leaf: Mutex<Vec<u8>>,
    provider: CryptoProvider,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.leaf.lock().unwrap_or_else(PoisonError::into_inner) = leaf.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    // webpki parses no certificate with a critical extension that it does not know.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}
