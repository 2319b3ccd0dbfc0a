//! What ends at one replica ends at all of them.

use crate::faulty_provider::Person as Account;
use crate::redis::Redis;
use crate::stage::{HEARD, HOST, Stage, session_line, until, url};
use crate::support::person::Person;
use crate::support::raw::Raw;

fn sign_out(person: &mut Person) {
    let asked = person.open(&url("/.headwarden/logout"));
    let out = person.submit(&asked, "", &[]);
    assert_eq!(out.status(), 303, "{}", out.text());
}

#[test]
fn the_others_hear_of_a_revocation_at_one_replica() {
    let stage = Stage::start(3);
    for round in 0..5 {
        let mut person = stage.somebody(Account::Member, round % 3);
        let session = session_line(&person);
        // Each of them has it in its memory, and trusts that.
        for at in 0..3 {
            assert_eq!(stage.status(at, &session), 200, "replica {at}");
        }
        sign_out(&mut person);
        assert_eq!(
            stage.status(round % 3, &session),
            401,
            "where it ended, at once"
        );
        for at in 0..3 {
            let status = || stage.status(at, &session);
            until("refused", HEARD, status, |status| *status == 401);
        }
    }
}

#[test]
fn a_session_that_ended_elsewhere_closes_the_websockets_that_hang_on_it() {
    let upstream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap();
    let top = format!("access:\n  - {{ path: \"/ui/**\", upstream: \"http://{address}\" }}\n");
    let stage = Stage::start_with(2, Redis::start(), "", &top);
    let mut person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    let ui = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut socket, _) = upstream.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        socket
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            )
            .unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
    });
    let mut socket = Raw::connect(stage.replicas[1].plan.public).unwrap();
    let request = format!(
        "GET /ui/socket HTTP/1.1\r\nHost: {HOST}:8000\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Origin: http://{HOST}:8000\r\n{session}\r\n\r\n"
    );
    socket.send(request.as_bytes()).unwrap();
    assert_eq!(socket.read_head().unwrap().status, 101);
    sign_out(&mut person);
    assert!(socket.is_cut());
    ui.join().unwrap();
}

#[test]
fn what_ended_does_not_come_back_with_a_replica_or_a_server_that_starts_again() {
    let mut stage = Stage::start(2);
    let mut person = stage.somebody(Account::Member, 0);
    let session = session_line(&person);
    assert_eq!(stage.status(1, &session), 200);
    sign_out(&mut person);
    until(
        "refused",
        HEARD,
        || stage.status(1, &session),
        |status| *status == 401,
    );
    stage.replicas[1].restart(&[]);
    stage.replicas[1].wait_for_log("serving");
    assert_eq!(stage.status(1, &session), 401);
    stage.redis.stop();
    stage.redis.start_again();
    for at in 0..2 {
        let refused = |status: &u16| *status == 401;
        crate::stage::eventually(
            "refused again",
            || {
                let status = stage.status(at, &session);
                assert_ne!(status, 200, "replica {at}");
                status
            },
            refused,
        );
    }
}
