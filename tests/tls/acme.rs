//! Certificates from an ACME directory: a small one that checks everything and validates for real.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::acme_standin::{AcmeStandin, Knobs};
use crate::certificates::blind;
use crate::scene::{ANYBODY, Scene, Shown, handshake, until};
use crate::support::raw::{Raw, Response};

const NAME: &str = "headscale.test";
const OBTAINED: &str = "certificate obtained from the ACME directory";
const FAILED: &str = "no certificate from the ACME directory";

/// A house that orders a certificate, and the directory.
struct Ordering {
    scene: Scene,
    directory: AcmeStandin,
}

impl Ordering {
    /// `more` are further keys of the section, each with a comma in front.
    fn start(more: &str, knobs: impl FnOnce(&mut Knobs)) -> Self {
        let directory = AcmeStandin::start();
        directory.set(knobs);
        let scene = Scene::start_at(
            |_, _| "{ acme: true }".to_owned(),
            |plan, tls, config| {
                directory.validates_at(plan.public, tls);
                let acme = format!(
                    "acme: {{ terms_of_service_agreed: true, directory_url: \"{}\", \
                     contact: [ops@headscale.test], storage_path: {}/acme{more} }}\n",
                    directory.directory(),
                    plan.files.display()
                );
                config.replace(&plan.origin(), &format!("https://{NAME}")) + &acme
            },
        );
        Self { scene, directory }
    }

    /// What a client that trusts the directory's authority is shown.
    fn shown(&self) -> std::io::Result<Shown> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.directory.pem().as_bytes());
        roots.add(root.expect("PEM")).expect("a certificate");
        let provider = rustls::crypto::ring::default_provider();
        let client = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        handshake(self.scene.tls, NAME, client.into())
    }

    /// A GET over plaintext.
    fn ask(&self, path: &str) -> Response {
        let mut raw = Raw::connect(self.scene.house.plan.public).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
        raw.exchange(request.as_bytes()).expect("an answer")
    }

    /// What is kept of this directory.
    fn kept(&self, name: &str) -> PathBuf {
        let storage = self.scene.house.plan.files.join("acme");
        let mut places = std::fs::read_dir(storage).expect("the storage");
        let place = places.next().expect("a place").expect("its name");
        place.path().join(name)
    }

    fn orders(&self, outcome: &str) -> u64 {
        let series = format!("headwarden_acme_orders_total{{outcome=\"{outcome}\"}}");
        self.scene.metric(&series)
    }
}

#[test]
fn a_certificate_is_ordered_shown_kept_and_not_ordered_again() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let more = format!(", challenge: {challenge}");
        let mut ordering = Ordering::start(&more, |_| ());
        ordering.scene.house.wait_for_log(OBTAINED);
        until("the certificate", || ordering.shown().is_ok());
        let leaf = ordering.shown().expect("it is verified").leaf;
        let validations = ordering.directory.validations();
        assert_eq!(validations, [(challenge.to_owned(), Ok(()))]);
        assert_eq!(
            ordering.directory.contacts(),
            [serde_json::json!(["mailto:ops@headscale.test"])]
        );
        assert_eq!(
            (ordering.orders("issued"), ordering.orders("failed")),
            (1, 0)
        );
        for check in ["acme", "certificates"] {
            assert_eq!(ordering.scene.check(check).0, "pass", "{check}");
        }
        for name in ["account.json", "certificate.pem"] {
            let mode = std::fs::metadata(ordering.kept(name))
                .expect(name)
                .permissions()
                .mode();
            assert_eq!(mode & 0o7777, 0o600, "{name}");
        }
        // Nothing is left of the challenge.
        for token in ordering.directory.tokens() {
            let answer = ordering.ask(&format!("/.well-known/acme-challenge/{token}"));
            assert_eq!(answer.status(), 308, "{}", answer.text());
        }
        let mut validator = rustls::ClientConfig::clone(&blind());
        validator.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let refused = handshake(ordering.scene.tls, NAME, validator.into()).err();
        let refused = refused.expect("no order is running").to_string();
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");

        let asked = ordering.directory.asked("/");
        ordering.scene.house.restart(&[]);
        ordering.scene.house.wait_for_log("serving");
        assert_eq!(ordering.shown().expect("it is there at once").leaf, leaf);
        assert_eq!(ordering.scene.check("acme").0, "pass");
        assert_eq!(ordering.directory.asked("/"), asked, "nothing was asked");
    }
}

#[test]
fn while_the_directory_is_away_everything_else_is_served_and_the_reason_is_told() {
    let mut ordering = Ordering::start("", |knobs| knobs.away = true);
    let line = ordering.scene.house.wait_for_log(FAILED);
    assert!(line.contains("cannot be reached"), "{line}");
    assert!(
        line.contains("retry_seconds=1"),
        "two minutes or a little more: {line}"
    );
    let (status, output) = ordering.scene.check("acme");
    assert_eq!(status, "warn");
    assert!(output.starts_with("no certificate yet: "), "{output}");
    assert_eq!(ordering.orders("failed"), 1);
    // No made-up certificate is shown to anybody.
    assert!(handshake(ordering.scene.tls, NAME, blind()).is_err());
    let series = "headwarden_tls_handshake_failures_total{reason=\"no_certificate\"}";
    // The client hears of it before it is counted.
    until("one failure", || ordering.scene.metric(series) == 1);
    let mut plain = Raw::connect(ordering.scene.house.plan.public).expect("it listens");
    assert_eq!(plain.exchange(ANYBODY).expect("an answer").status(), 204);

    ordering.directory.set(|knobs| knobs.away = false);
    ordering.scene.house.restart(&[]);
    ordering.scene.house.wait_for_log(OBTAINED);
    until("the certificate", || ordering.shown().is_ok());
}

#[test]
fn a_certificate_that_is_due_is_renewed_and_used_until_then() {
    let mut ordering = Ordering::start("", |knobs| knobs.years = Some((20, 2)));
    ordering.scene.house.wait_for_log(OBTAINED);
    until("the certificate", || ordering.shown().is_ok());
    let old = ordering.shown().expect("it is verified").leaf;

    ordering.directory.set(|knobs| knobs.away = true);
    ordering.scene.house.restart(&[]);
    ordering.scene.house.wait_for_log(FAILED);
    assert_eq!(ordering.shown().expect("the old one").leaf, old);
    let (status, output) = ordering.scene.check("acme");
    assert_eq!(status, "warn");
    assert!(output.starts_with("not renewed: "), "{output}");
    let mut secure = Raw::connect_tls(ordering.scene.tls, NAME, blind()).expect("it listens");
    assert_eq!(secure.exchange(ANYBODY).expect("an answer").status(), 204);

    ordering.directory.set(|knobs| {
        knobs.away = false;
        knobs.years = None;
    });
    ordering.scene.house.restart(&[]);
    ordering.scene.house.wait_for_log(OBTAINED);
    until("the new one", || {
        ordering.shown().expect("one of them").leaf != old
    });
    assert_eq!(ordering.scene.check("acme").0, "pass");
    assert_eq!(
        ordering.directory.asked("/account"),
        1,
        "one account for both"
    );
    assert_eq!(ordering.directory.issued(), 2);
}

/// Makes the directory fail.
type Fault = fn(&mut Knobs);

#[test]
fn whatever_a_directory_does_wrong_is_told_and_nothing_of_it_is_shown() {
    let faults: [(Fault, &str); 6] = [
        (
            |knobs| knobs.finds_nothing = true,
            "headscale.test could not be validated: the directory says unauthorized: a wall is in the way",
        ),
        (
            |knobs| knobs.rate_limited = Some(7200),
            "the directory says rateLimited: too many new orders",
        ),
        (
            |knobs| knobs.rate_limited = Some(7200),
            "retry_seconds=7200",
        ),
        (
            |knobs| knobs.other_name = Some("other.test".to_owned()),
            "it is not for the names that were ordered",
        ),
        (|knobs| knobs.years = Some((20, -2)), "it has expired"),
        (
            |knobs| knobs.bad_nonces = 100,
            "the directory says badNonce",
        ),
    ];
    let mut ordering = Ordering::start("", |knobs| knobs.away = true);
    for (fault, told) in faults {
        ordering.directory.set(|knobs| {
            *knobs = Knobs::default();
            fault(knobs);
        });
        ordering.scene.house.restart(&[]);
        let line = ordering.scene.house.wait_for_log(FAILED);
        assert!(line.contains(told), "{told}: {line}");
        assert!(
            handshake(ordering.scene.tls, NAME, blind()).is_err(),
            "{told}"
        );
        assert_eq!(ordering.scene.check("acme").0, "warn", "{told}");
    }
    ordering.directory.set(|knobs| {
        *knobs = Knobs::default();
        // An odd nonce now and then is part of the protocol.
        knobs.bad_nonces = 2;
    });
    ordering.scene.house.restart(&[]);
    ordering.scene.house.wait_for_log(OBTAINED);
    until("the certificate", || ordering.shown().is_ok());
}

#[test]
fn an_account_may_be_bound_to_one_with_the_authority() {
    let hmac = b"0123456789abcdef0123456789abcdef".to_vec();
    let more = ", eab_key_id: kid-1, eab_hmac_key: \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"";
    let mut ordering = Ordering::start(more, |knobs| {
        knobs.external = Some(("kid-1".to_owned(), hmac));
    });
    ordering.scene.house.wait_for_log(OBTAINED);
    let mut without = Ordering::start("", |knobs| {
        knobs.external = Some(("kid-1".to_owned(), vec![1; 32]));
    });
    let line = without.scene.house.wait_for_log(FAILED);
    assert!(line.contains("externalAccountRequired"), "{line}");
}

#[test]
fn what_is_broken_in_the_storage_is_an_error_and_stays_as_it_is() {
    let mut ordering = Ordering::start("", |knobs| knobs.years = Some((20, 2)));
    ordering.scene.house.wait_for_log(OBTAINED);
    let (account, certificate) = (
        ordering.kept("account.json"),
        ordering.kept("certificate.pem"),
    );
    // It is due, so that the account is needed.
    std::fs::write(&account, "{").expect("it is written");
    ordering.scene.house.restart(&[]);
    let line = ordering.scene.house.wait_for_log(FAILED);
    assert!(
        line.contains("account.json is broken: restore it"),
        "{line}"
    );
    assert_eq!(std::fs::read_to_string(&account).expect("it is there"), "{");
    assert_eq!(ordering.directory.asked("/account"), 1, "no new account");

    std::fs::write(&certificate, "junk").expect("it is written");
    ordering.scene.house.restart(&[]);
    assert_eq!(ordering.scene.house.wait().code(), Some(4));
    let log = ordering.scene.house.log();
    assert!(log.contains("certificate.pem cannot be used"), "{log}");
    assert_eq!(
        std::fs::read_to_string(&certificate).expect("it is there"),
        "junk"
    );
}

#[test]
fn no_secret_of_an_order_is_in_the_log() {
    let mut ordering = Ordering::start("", |_| ());
    ordering.scene.house.wait_for_log(OBTAINED);
    let log = ordering.scene.house.log();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
    for token in ordering.directory.tokens() {
        assert!(!log.contains(&token), "{token}: {log}");
    }
    let kept = std::fs::read_to_string(ordering.kept("account.json")).expect("it is there");
    let account: serde_json::Value = serde_json::from_str(&kept).expect("JSON");
    let key = account["key_pkcs8"].as_str().expect("a key");
    assert!(!log.contains(key), "{log}");
}
