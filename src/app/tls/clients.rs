//! Certificates of clients: from one of the authorities, and, where the operator lists names, with one
//! of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::pair::certificates;
use super::provider;
use crate::config::ClientCertificates;

/// The authorities of a PEM bundle.
///
/// # Errors
/// Why it cannot be used; all of them must be readable.
pub(super) fn authorities(text: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text).map_err(str::to_owned)? {
        roots
            .add(certificate)
            .map_err(|_| "one of its certificates cannot be parsed".to_owned())?;
    }
    Ok(roots)
}

/// What looks at the certificates of clients.
///
/// # Errors
/// When nothing can be verified with these authorities.
pub(super) fn verifier(
    roots: Arc<RootCertStore>,
    clients: &ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = if clients.required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    let authority = builder.build().map_err(|why| why.to_string())?;
    if clients.names.is_empty() {
        return Ok(authority);
    }
    Ok(Arc::new(Named {
        authority,
        names: clients.names.iter().map(|name| folded(name)).collect(),
    }))
}

/// One of the listed names is needed too.
#[derive(Debug)]
struct Named {
    authority: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.authority.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.authority.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authority.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .authority
            .verify_client_cert(end_entity, intermediates, now)?;
        let names = names_of(end_entity);
        if names.iter().any(|name| self.names.contains(name)) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.supported_verify_schemes()
    }
}

/// As names are compared: those that are no URI, without case.
fn folded(name: &str) -> String {
    if name.contains("://") {
        name.to_owned()
    } else {
        name.to_ascii_lowercase()
    }
}

/// DNS names, mail addresses, URIs and IP addresses of a certificate. A wildcard is a name like any
/// other: it stands for nobody else here.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some(folded(name))
            }
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(sixteen).into())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::super::testing::pair;
    use super::*;

    #[test]
    fn every_kind_of_name_is_read() {
        let mut params = CertificateParams::new(vec!["LB.internal".to_owned()]).unwrap();
        for san in [
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::URI("spiffe://company/LB".try_into().unwrap()),
            SanType::Rfc822Name("Ops@company".try_into().unwrap()),
            SanType::DnsName("*.internal".try_into().unwrap()),
        ] {
            params.subject_alt_names.push(san);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(
            names_of(certificate.der()),
            [
                "lb.internal",
                "10.0.0.1",
                "2001:db8::1",
                "spiffe://company/LB",
                "ops@company",
                "*.internal"
            ]
        );
        assert!(names_of(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }

    #[test]
    fn a_bundle_holds_at_least_one_authority_and_nothing_that_is_none() {
        let (one, _) = pair(&["a"]);
        let (two, _) = pair(&["b"]);
        assert_eq!(authorities(&format!("{one}{two}")).unwrap().len(), 2);
        let bent = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
        for text in ["", "text", &format!("{one}{bent}"), &one[..one.len() / 2]] {
            assert!(authorities(text).is_err(), "{text}");
        }
    }
}
