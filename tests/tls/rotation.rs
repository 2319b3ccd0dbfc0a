//! Files that change while connections are open.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::scene::{ANYBODY, Scene, pair, until};
use crate::support::raw::Raw;
use crate::support::tls::ServerCertificate;

const TAKEN: &str = "a certificate file changed: new connections use it";
const REFUSED: &str = "a certificate file changed and cannot be used";
const FAILURES: &str = "headwarden_certificate_reload_failures_total";
const CONTROL: &[u8] = b"POST /ts2021 HTTP/1.1\r\nHost: a\r\n\
    Upgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\
    X-Tailscale-Handshake: AAAA\r\nContent-Length: 0\r\n\r\n";

/// Waits until new connections are shown this certificate.
fn until_shown(scene: &Scene, certificate: &ServerCertificate) {
    until("the new certificate", || {
        let shown = scene.shown("localhost").expect("a handshake");
        shown.leaf == certificate.leaf()
    });
}

fn expiry(scene: &Scene) -> u64 {
    let path = scene.house.plan.files.join("tls.crt");
    let path = path.display();
    scene.metric(&format!(
        "headwarden_certificate_expiry_seconds{{path=\"{path}\"}}"
    ))
}

#[test]
fn a_renewed_certificate_is_for_new_connections_and_none_of_twenty_old_ones_is_lost() {
    let (scene, first) = Scene::with_one_pair();
    scene.headscale.configure(|options| options.echo = true);
    let mut requests: Vec<Raw> = (0..10).map(|_| scene.connect()).collect();
    for raw in &mut requests {
        assert_eq!(raw.exchange(ANYBODY).expect("an answer").status(), 204);
    }
    let mut tunnels: Vec<Raw> = (0..10).map(|_| scene.connect()).collect();
    for raw in &mut tunnels {
        assert_eq!(raw.exchange(CONTROL).expect("an answer").status(), 101);
        let first = crate::support::headscale_standin::FIRST_BYTES;
        assert_eq!(raw.read_exact(first.len()).expect("its bytes"), first);
    }
    assert_eq!(scene.shown("localhost").expect("it").leaf, first.leaf());
    let before = expiry(&scene);
    let renewed = scene.authority.certificate_with(&["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    });
    renewed.write(&scene.house.plan.files);
    until_shown(&scene, &renewed);
    for (index, raw) in requests.iter_mut().enumerate() {
        let answer = raw.exchange(ANYBODY).expect("the connection lives");
        assert_eq!(answer.status(), 204, "{index}");
    }
    for (index, raw) in tunnels.iter_mut().enumerate() {
        raw.send(b"still there?").expect("the tunnel lives");
        assert_eq!(
            raw.read_exact(12).expect("an echo"),
            b"still there?",
            "{index}"
        );
    }
    assert_eq!(scene.said(TAKEN), 1);
    assert_eq!((scene.said(REFUSED), scene.metric(FAILURES)), (0, 0));
    assert_ne!(expiry(&scene), before);
    assert_eq!(expiry(&scene), 1_924_992_000, "2031-01-01");
}

#[test]
fn half_a_pair_is_never_shown_and_told_once_and_the_other_half_makes_it_whole() {
    let (mut scene, first) = Scene::with_one_pair();
    let files = scene.house.plan.files.clone();
    let mut current = first;
    for half in ["tls.crt", "tls.key"] {
        let told = scene.said(REFUSED);
        let renewed = scene.authority.certificate(&["localhost"]);
        let (one, other) = (("tls.crt", &renewed.chain), ("tls.key", &renewed.key));
        let (early, late) = if half == one.0 {
            (one, other)
        } else {
            (other, one)
        };
        std::fs::write(files.join(early.0), early.1).expect("it is written");
        until("a line in the log", || scene.said(REFUSED) > told);
        let line = scene.house.wait_for_log("the private key is not that of");
        assert!(line.contains("tls.crt"), "{line}");
        assert_eq!(scene.shown("localhost").expect("it").leaf, current.leaf());
        let (status, output) = scene.check("certificates");
        assert_eq!(status, "warn");
        assert!(
            output.contains("cannot be used: the private key"),
            "{output}"
        );
        std::fs::write(files.join(late.0), late.1).expect("it is written");
        until_shown(&scene, &renewed);
        assert_eq!(scene.check("certificates").0, "pass");
        current = renewed;
    }
    assert_eq!((scene.said(REFUSED), scene.metric(FAILURES)), (2, 2));
}

/// Makes of a file something that cannot be used, with another authority's pair at hand.
type Spoil = fn(&Path, &ServerCertificate);

#[test]
fn whatever_a_file_becomes_the_old_pair_stays_until_a_good_one_comes() {
    let (mut scene, first) = Scene::with_one_pair();
    let files = scene.house.plan.files.clone();
    let spoilers: [(&str, Spoil); 3] = [
        ("cannot be read: there is none in it", |files, _| {
            std::fs::write(files.join("tls.crt"), "").expect("it is written");
        }),
        ("the private key is not that of", |files, other| {
            std::fs::write(files.join("tls.key"), &other.key).expect("it is written");
        }),
        ("tls.key: entity not found", |files, _| {
            std::fs::remove_file(files.join("tls.key")).expect("it was there");
        }),
    ];
    for (reason, spoil) in spoilers {
        let other = scene.authority.certificate(&["localhost"]);
        spoil(&files, &other);
        scene.house.wait_for_log(reason);
        assert_eq!(
            scene.shown("localhost").expect("it").leaf,
            first.leaf(),
            "{reason}"
        );
        assert_eq!(scene.check("certificates").0, "warn", "{reason}");
        let taken = scene.said(TAKEN);
        first.write(&files);
        until("the old pair is there again", || scene.said(TAKEN) > taken);
        assert_eq!(scene.check("certificates").0, "pass", "{reason}");
    }
    assert_eq!(scene.metric(FAILURES), 3);
    let log = scene.house.log();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn an_expired_certificate_is_used_and_warned_of() {
    let (mut scene, _) = Scene::with_one_pair();
    let expired = scene.authority.certificate_with(&["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    expired.write(&scene.house.plan.files);
    scene.house.wait_for_log("this certificate has expired");
    let (status, output) = scene.check("certificates");
    assert_eq!(status, "warn");
    assert!(output.ends_with("tls.crt has expired"), "{output}");
    assert_eq!(expiry(&scene), 1_009_843_200, "2002-01-01");
    let refused = scene.shown("localhost").err().expect("the client sees it");
    assert!(refused.to_string().contains("expired"), "{refused}");
}

#[test]
fn a_directory_that_is_swapped_as_kubernetes_does_is_one_change() {
    let write = |files: &Path, version: &str, certificate: &ServerCertificate| {
        let directory = files.join(version);
        std::fs::create_dir(&directory).expect("a directory");
        certificate.write(&directory);
        let link = files.join("..data.new");
        symlink(version, &link).expect("a link");
        std::fs::rename(link, files.join("..data")).expect("it is swapped");
    };
    let scene = Scene::start(|files, authority| {
        write(files, "..v1", &authority.certificate(&["localhost"]));
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), files.join(name)).expect("a link");
        }
        pair(files)
    });
    let files = scene.house.plan.files.clone();
    for version in ["..v2", "..v3"] {
        let renewed = scene.authority.certificate(&["localhost"]);
        write(&files, version, &renewed);
        until_shown(&scene, &renewed);
    }
    assert_eq!((scene.said(TAKEN), scene.said(REFUSED)), (2, 0));
}

#[test]
fn the_private_listeners_certificate_is_read_again_too() {
    use crate::scene::handshake;
    let mut inside = None;
    let scene = Scene::start_with(
        |files, authority| {
            authority.certificate(&["localhost"]).write(files);
            let directory = files.join("inside");
            std::fs::create_dir(&directory).expect("a directory");
            let certificate = authority.certificate(&["headwarden.internal"]);
            certificate.write(&directory);
            inside = Some(certificate);
            pair(files)
        },
        |plan, config| {
            let tls = pair(&plan.files.join("inside"));
            let issuer = format!(
                "sign_in: issuer\n  issuer:\n    url: https://{0}\n    address: \"{0}\"\n    \
                 tls: {tls}\n    client_secret: headscales-own-secret-0000\n    \
                 key_path: {1}/issuer_key.json\n",
                plan.issuer,
                plan.files.display()
            );
            config.replace("sign_in: none\n", &issuer)
        },
    );
    let shown = || {
        let client = scene.authority.client(&["http/1.1"]);
        handshake(scene.house.plan.issuer, "headwarden.internal", client)
    };
    let first = inside.expect("it was written");
    assert_eq!(shown().expect("a handshake").leaf, first.leaf());
    let renewed = scene.authority.certificate(&["headwarden.internal"]);
    renewed.write(&scene.house.plan.files.join("inside"));
    until("the new certificate", || {
        shown().expect("a handshake").leaf == renewed.leaf()
    });
    let line = scene.house.log();
    assert!(line.contains("headscale.issuer.tls"), "{line}");
}
