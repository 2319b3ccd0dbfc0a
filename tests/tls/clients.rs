//! Certificates of clients.

use std::path::Path;

use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls::version::{TLS12, TLS13};

use crate::scene::{ANYBODY, Scene, handshake, pair, until};
use crate::support::tls::{Authority, ServerCertificate};

/// A certificate for a load balancer, of `authority`.
fn client(authority: &Authority, names: &[&str]) -> ServerCertificate {
    authority.certificate_with(names, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    })
}

/// A house whose listener asks for certificates of `clients`.
fn scene(clients: &Authority, more: &str) -> Scene {
    Scene::start(|files, authority| {
        authority.certificate(&["localhost"]).write(files);
        std::fs::write(files.join("clients.pem"), clients.pem()).expect("it is written");
        with(files, more)
    })
}

fn with(files: &Path, more: &str) -> String {
    let ca = format!(", client_ca_path: {}/clients.pem{more} }}", files.display());
    pair(files).replace(" }", &ca)
}

/// Whether a client that shows this is served.
fn served(scene: &Scene, shows: Option<&ServerCertificate>) -> Vec<bool> {
    let versions = [&TLS12, &TLS13];
    let answers = versions.map(|version| {
        let config = scene.authority.client_of(&[version], &["http/1.1"], shows);
        let answer = scene.connect_with(config).exchange(ANYBODY);
        answer.is_ok_and(|answer| answer.status() == 204)
    });
    answers.to_vec()
}

fn failures(scene: &Scene, reason: &str) -> u64 {
    scene.metric(&format!(
        "headwarden_tls_handshake_failures_total{{reason=\"{reason}\"}}"
    ))
}

#[test]
fn only_a_client_with_a_good_certificate_of_the_authority_is_served() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let good = client(&ours, &["lb.internal"]);
    let other = client(&ours, &["other.internal"]);
    let foreign = client(&theirs, &["lb.internal"]);
    let expired = ours.certificate_with(&["lb.internal"], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let server = ours.certificate_with(&["lb.internal"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let spiffe = ours.certificate_with(&[], |params| {
        let name = "spiffe://company/lb".try_into().expect("a URI");
        params.subject_alt_names.push(SanType::URI(name));
    });
    let named = ", client_names: [LB.internal, \"spiffe://company/lb\"]";
    let optional = ", client_auth: optional";
    let both = [named, optional].concat();
    let refused = Some("client_certificate");
    // What the listener asks for; what the client shows; what is counted, or nothing: it is served.
    let houses = [
        ("", scene(&ours, "")),
        (optional, scene(&ours, optional)),
        (named, scene(&ours, named)),
        (&both, scene(&ours, &both)),
    ];
    let rows = [
        ("", "none", None, Some("no_client_certificate")),
        ("", "good", Some(&good), None),
        ("", "other", Some(&other), None),
        ("", "foreign", Some(&foreign), refused),
        ("", "expired", Some(&expired), refused),
        ("", "for servers", Some(&server), refused),
        (optional, "none", None, None),
        (optional, "good", Some(&good), None),
        (optional, "foreign", Some(&foreign), refused),
        (named, "none", None, Some("no_client_certificate")),
        (named, "good", Some(&good), None),
        (named, "a URI", Some(&spiffe), None),
        (named, "other", Some(&other), refused),
        (named, "foreign", Some(&foreign), refused),
        (&both, "none", None, None),
        (&both, "good", Some(&good), None),
        (&both, "other", Some(&other), refused),
    ];
    for (asks, what, shows, counted) in rows {
        let (_, scene) = houses
            .iter()
            .find(|(known, _)| *known == asks)
            .expect("a house for each");
        let before = counted.map(|reason| failures(scene, reason));
        let expected = counted.is_none();
        assert_eq!(served(scene, shows), [expected; 2], "{asks:?} {what}");
        if let (Some(reason), Some(before)) = (counted, before) {
            // The client hears of it before it is counted.
            until(&format!("{asks:?} {what}"), || {
                failures(scene, reason) == before + 2
            });
        }
    }
    for (asks, scene) in &houses {
        let log = scene.house.log();
        let loud = log
            .lines()
            .find(|line| line.contains("no TLS") && !line.contains("DEBUG"));
        assert_eq!(loud, None, "{asks:?}: refusals are no flood");
    }
}

#[test]
fn a_new_authority_counts_for_new_connections_and_resumes_nothing_of_the_old_one() {
    let (old, new) = (Authority::new(), Authority::new());
    let (of_old, of_new) = (client(&old, &["lb"]), client(&new, &["lb"]));
    let mut scene = scene(&old, "");
    let path = scene.house.plan.files.join("clients.pem");
    // One client configuration keeps its sessions, and would resume them.
    let resuming = scene.authority.client_showing(&["http/1.1"], Some(&of_old));
    let ask = |scene: &Scene| scene.connect_with(resuming.clone()).exchange(ANYBODY);
    for _ in 0..3 {
        assert_eq!(ask(&scene).expect("an answer").status(), 204);
    }
    let mut open = scene.connect_with(resuming.clone());
    assert_eq!(open.exchange(ANYBODY).expect("an answer").status(), 204);

    std::fs::write(&path, "no bundle").expect("it is written");
    scene.house.wait_for_log("clients.pem: there is none in it");
    assert_eq!(ask(&scene).expect("the old one still counts").status(), 204);
    assert_eq!(scene.check("certificates").0, "warn");

    std::fs::write(&path, new.pem()).expect("it is written");
    until("the new authority", || {
        served(&scene, Some(&of_new)) == [true; 2]
    });
    assert!(
        ask(&scene).is_err(),
        "no session of the old authority is resumed"
    );
    assert_eq!(served(&scene, Some(&of_old)), [false; 2]);
    assert_eq!(open.exchange(ANYBODY).expect("it lives").status(), 204);
    assert_eq!(scene.check("certificates").0, "pass");
}

#[test]
fn a_client_shows_its_certificate_again_each_time() {
    let clients = Authority::new();
    let of_client = client(&clients, &["lb"]);
    let asked = scene(&clients, "");
    let (anybody, _) = Scene::with_one_pair();
    for (scene, shows, resumed) in [(&asked, Some(&of_client), false), (&anybody, None, true)] {
        // TLS 1.2 tells what can be resumed in the handshake itself.
        let config = scene.authority.client_of(&[&TLS12], &["http/1.1"], shows);
        let again = [(); 2].map(|()| handshake(scene.tls, "localhost", config.clone()));
        let again = again.map(|shown| shown.expect("a handshake").resumed);
        assert_eq!(again, [false, resumed], "{}", shows.is_some());
    }
}
