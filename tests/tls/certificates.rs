//! Which certificate is shown to whom, and in which versions of TLS.

use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::scene::{ANYBODY, Scene, handshake, until};
use crate::support::tls::ServerCertificate;

#[test]
fn a_client_is_shown_the_certificate_for_the_name_it_asks_for() {
    const PAIRS: &[(&str, &[&str])] = &[
        ("first", &["localhost", "headscale.company"]),
        ("wild", &["*.company"]),
        ("exact", &["ui.company"]),
    ];
    let mut made: Vec<(&str, ServerCertificate)> = Vec::new();
    let scene = Scene::start(|files, authority| {
        let mut list = Vec::new();
        for (name, names) in PAIRS {
            let certificate = authority.certificate(names);
            let directory = files.join(name);
            std::fs::create_dir(&directory).expect("a directory");
            certificate.write(&directory);
            list.push(crate::scene::pair(&directory));
            made.push((name, certificate));
        }
        format!("{{ certificates: [{}] }}", list.join(", "))
    });
    for (asked, expected) in [
        ("headscale.company", "first"),
        ("HEADSCALE.company", "first"),
        ("other.company", "wild"),
        ("ui.company", "exact"),
        // A client that names an address sends no name.
        ("127.0.0.1", "first"),
        ("a.b.company", "first"),
        ("elsewhere.example", "first"),
    ] {
        // Whether the client finds that certificate good is not the question here.
        let config = blind();
        let shown = handshake(scene.tls, asked, config).expect("a handshake");
        let found = made
            .iter()
            .find(|(_, certificate)| certificate.leaf() == shown.leaf);
        assert_eq!(found.map(|(name, _)| *name), Some(expected), "{asked}");
    }
    for (name, _) in PAIRS {
        let path = scene.house.plan.files.join(name).join("tls.crt");
        let series = format!(
            "headwarden_certificate_expiry_seconds{{path=\"{}\"}}",
            path.display()
        );
        assert!(scene.metric(&series) > 1_700_000_000, "{series}");
    }
    assert_eq!(scene.check("certificates").0, "pass");
}

/// A client that takes whatever it is shown.
pub(crate) fn blind() -> Arc<rustls::ClientConfig> {
    #[derive(Debug)]
    struct Blind(rustls::crypto::CryptoProvider);
    use rustls::DigitallySignedStruct;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    impl ServerCertVerifier for Blind {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let known = &self.0.signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, cert, dss, known)
        }
        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let known = &self.0.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, dss, known)
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            let known = &self.0.signature_verification_algorithms;
            known.supported_schemes()
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.clone().into())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Blind(provider)))
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn tls_1_2_and_1_3_are_spoken_with_and_without_alpn_and_nothing_older() {
    let (scene, _) = Scene::with_one_pair();
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for (protocols, agreed) in [(&["http/1.1"][..], Some("http/1.1")), (&[], None)] {
            let config = scene.authority.client_of(&[version], protocols, None);
            let shown =
                handshake(scene.tls, "localhost", Arc::clone(&config)).expect("a handshake");
            assert_eq!(shown.version, expected);
            let agreed = agreed.map(|name: &str| name.as_bytes().to_vec());
            assert_eq!(shown.protocol, agreed, "{expected:?}");
            let answer = scene
                .connect_with(config)
                .exchange(ANYBODY)
                .expect("HTTP/1.1");
            assert_eq!(answer.status(), 204, "{expected:?} {protocols:?}");
        }
    }
    let refused =
        || scene.metric("headwarden_tls_handshake_failures_total{reason=\"incompatible\"}");
    for old in ["1.0", "1.1"] {
        let before = refused();
        let curl = Command::new("curl")
            .args(["--silent", "--insecure", "--tlsv1.0", "--tls-max", old])
            // Debian's OpenSSL would not even try.
            .args(["--ciphers", "DEFAULT@SECLEVEL=0"])
            .arg(format!("https://{}/generate_204", scene.tls))
            .stdin(Stdio::null())
            .output()
            .expect("curl runs");
        assert_eq!(curl.status.code(), Some(35), "TLS {old}: {curl:?}");
        // The client hears of it before it is counted.
        until(&format!("TLS {old}: it was we who refused"), || {
            refused() == before + 1
        });
    }
    let now = Command::new("curl")
        .args(["--silent", "--insecure", "--write-out", "%{http_code}"])
        .arg(format!("https://{}/generate_204", scene.tls))
        .output()
        .expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&now.stdout), "204", "{now:?}");
}

/// What is needed to resume is in the ticket: nobody is forgotten for others who came in between.
#[test]
fn a_client_that_comes_back_resumes_however_many_came_since() {
    let (scene, _) = Scene::with_one_pair();
    let of = |version| scene.authority.client_of(&[version], &["http/1.1"], None);
    let clients = [&TLS12, &TLS13].map(of);
    for client in &clients {
        let answer = scene.connect_with(client.clone()).exchange(ANYBODY);
        assert_eq!(answer.expect("an answer").status(), 204);
    }
    // More than a server remembers that keeps a list: 256 of rustls's own, two for each client.
    for _ in 0..260 {
        let stranger = handshake(scene.tls, "localhost", of(&TLS12));
        assert!(!stranger.expect("a handshake").resumed);
    }
    for client in &clients {
        let again = handshake(scene.tls, "localhost", client.clone()).expect("a handshake");
        assert!(again.resumed, "{:?}", again.version);
    }
}
