//! The socket as a file: who may use it, whose it is, and what becomes of it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use crate::faulty_provider::Person as Account;
use crate::scene::{Scene, over};
use crate::stage::request;
use crate::support::house::{House, More};
use crate::support::raw::Raw;

/// Nobody in particular.
const STRANGER: &str = "65534";

/// What a process of this user and group is told that connects to the socket.
fn knocks(scene: &Scene, user: &str, group: &str) -> String {
    let script = "require('net').connect(process.argv[1])\
        .on('connect', function () { console.log('connected'); this.destroy(); })\
        .on('error', (error) => console.log(error.code));";
    let output = Command::new("setpriv")
        .args(["--reuid", user, "--regid", group, "--clear-groups"])
        .args(["node", "-e", script])
        .arg(scene.socket())
        .output()
        .expect("setpriv runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn only_its_owner_may_use_the_socket_or_also_its_group_where_the_operator_says_so() {
    for (keys, mode, member) in [
        ("", 0o600, "EACCES"),
        ("socket_access: owner,", 0o600, "EACCES"),
        ("socket_access: group,", 0o660, "connected"),
    ] {
        let scene = Scene::start(keys, &More::default());
        let file = std::fs::symlink_metadata(scene.socket()).unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.mode() & 0o7777, mode, "{keys}");
        assert_eq!(over(&scene.socket(), "GET", "/sessions", &[]).0, 200);
        if file.uid() != 0 {
            // Only root can be somebody else for a moment.
            continue;
        }
        // The directory lets everybody by, so that it is the socket that decides.
        let directory = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(&scene.house().plan.files, directory).unwrap();
        let group = file.gid().to_string();
        assert_eq!(knocks(&scene, STRANGER, STRANGER), "EACCES", "{keys}");
        assert_eq!(knocks(&scene, STRANGER, &group), member, "{keys}");
        assert_eq!(knocks(&scene, "0", STRANGER), "connected", "{keys}");
    }
}

#[test]
fn a_second_process_does_not_take_the_socket_of_the_first() {
    let scene = Scene::start("", &More::default());
    let socket = scene.socket();
    let (headscale, issuer) = (
        scene.stage.headscale.url(),
        scene.stage.faulty.provider.issuer(),
    );
    let mut second = House::launch(
        |plan| {
            let config = plan.config(&headscale, &issuer, &More::default());
            let key = format!("admin: {{ socket_path: {}, ", socket.display());
            config.replace("admin: { ", &key)
        },
        &[],
    );
    assert_eq!(second.wait().code(), Some(3));
    let log = second.log();
    assert!(log.contains("is in use by a process that runs"), "{log}");
    // Not even after it has gone.
    assert_eq!(over(&socket, "GET", "/sessions", &[]).0, 200);
    scene.sign_in(Account::Member);
    assert_eq!(scene.list(&[]).len(), 1);
}

#[test]
fn the_socket_goes_with_its_process_and_one_that_a_dead_process_left_is_replaced() {
    let mut scene = Scene::start("", &More::default());
    let socket = scene.socket();
    let before = std::fs::symlink_metadata(&socket).unwrap().ino();
    // Killed: nobody could tidy up.
    scene.stage.house.restart(&[]);
    scene.stage.house.wait_for_log("serving");
    assert_ne!(std::fs::symlink_metadata(&socket).unwrap().ino(), before);
    assert_eq!(over(&socket, "GET", "/sessions", &[]).0, 200);
    scene.stage.house.signal("TERM");
    assert!(scene.stage.house.wait().success());
    assert!(!socket.exists());
    // What is no socket is not replaced.
    std::fs::write(&socket, "precious").unwrap();
    scene.stage.house.restart(&[]);
    assert_eq!(scene.stage.house.wait().code(), Some(3));
    let log = scene.stage.house.log();
    assert!(log.contains("is there already, and is no socket"), "{log}");
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
}

#[test]
fn the_socket_speaks_of_health_too_and_takes_no_nonsense() {
    let scene = Scene::start("", &More::default());
    let who = scene.sign_in(Account::Member);
    let socket = scene.socket();
    for (method, target, status) in [
        ("GET", "/livez", 200),
        ("GET", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("GET", "/", 404),
        ("GET", "/sessionsx", 404),
        ("GET", "/Sessions", 404),
        ("POST", "/sessions?all=true", 405),
        ("PUT", "/sessions?all=true", 405),
        ("OPTIONS", "/sessions", 405),
        ("DELETE", "/sessions", 400),
        ("DELETE", "/sessions?all", 400),
        ("DELETE", "/sessions?all=yes", 400),
        ("DELETE", "/sessions?usr=ben", 400),
        ("DELETE", "/sessions?user=ben&limit=1", 400),
        ("DELETE", "/sessions?user=ben&sub=x", 400),
        ("DELETE", "/sessions/", 400),
        ("DELETE", "/sessions/*", 400),
        ("DELETE", "/sessions/000000?all=true", 400),
        ("DELETE", "/sessions/000000", 404),
        ("DELETE", "/sessions/000000/x", 400),
        ("GET", "/sessions?limit=0", 400),
        ("GET", "/sessions?after=x", 400),
        ("POST", "/sessions/000000", 405),
    ] {
        let (found, _) = over(&socket, method, target, &[]);
        assert_eq!(found, status, "{method} {target}");
        assert!(scene.is_in(&who), "{method} {target}");
    }
    // The porch is the one of every listener.
    for lines in [
        &["Content-Length: 5", "Transfer-Encoding: chunked"][..],
        &["Content-Length: 1", "Content-Length: 2"],
        &["Host: localhost"],
        &["Bad Name: x"],
    ] {
        let (found, _) = over(&socket, "DELETE", "/sessions?all=true", lines);
        assert_eq!(found, 400, "{lines:?}");
        assert!(scene.is_in(&who), "{lines:?}");
    }
}

#[test]
fn a_websocket_closes_when_its_session_is_revoked_and_no_other_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ui = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let (mut bytes, mut head) = ([0; 4096], Vec::new());
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read(&mut bytes) {
                        Ok(read @ 1..) => head.extend_from_slice(&bytes[..read]),
                        _ => return,
                    }
                }
                let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
                let mut open = socket.write_all(switch).is_ok();
                while open {
                    let read = socket.read(&mut bytes).unwrap_or_default();
                    open = read > 0 && socket.write_all(&bytes[..read]).is_ok();
                }
            });
        }
    });
    let access = format!("access:\n  - {{ path: \"/ui/**\", upstream: \"http://{ui}\" }}\n");
    let more = More {
        top: Box::leak(access.into_boxed_str()),
        ..More::default()
    };
    let scene = Scene::start("", &more);
    let mut sockets = [Account::Member, Account::Admin].map(|account| {
        let who = scene.sign_in(account);
        let lines = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            &who.cookie,
        ];
        let mut raw = Raw::connect(scene.house().plan.public).unwrap();
        raw.send(&request(scene.house(), "GET", "/ui/socket", &lines))
            .unwrap();
        assert_eq!(raw.read_head().unwrap().status, 101);
        raw
    });
    let echoes = |raw: &mut Raw| {
        raw.send(b"ping").unwrap();
        assert_eq!(raw.read_exact(4).unwrap(), b"ping");
    };
    sockets.iter_mut().for_each(echoes);
    scene.told(&["revoke", "--user", "ben"]);
    assert!(sockets[0].is_cut());
    echoes(&mut sockets[1]);
}
